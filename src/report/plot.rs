//! Plots as inline SVG: scales, axes, marks.
//!
//! Colours are classes of the page's style sheet, so that a plot follows the reader's light or dark scheme and prints in
//! black on white; a plotting library that writes its colours into the picture could not.

use maud::{Markup, html};

/// How a quantity lies along an axis.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scale {
    /// Evenly.
    Linear {
        /// At the start of the axis.
        from: f64,
        /// At its end.
        to: f64,
    },
    /// By its logarithm; both ends are positive.
    Log {
        /// At the start of the axis.
        from: f64,
        /// At its end.
        to: f64,
    },
}

impl Scale {
    /// From 0 to a round number not below `max`.
    pub(super) fn from_zero(max: f64) -> Self {
        let max = if max.is_finite() && max > 0.0 {
            max
        } else {
            1.0
        };
        let decade = 10.0_f64.powf(max.log10().floor());
        let to = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
            .map(|step| step * decade)
            .into_iter()
            .find(|&to| to >= max * (1.0 - 1e-9))
            .unwrap_or(max);
        Self::Linear { from: 0.0, to }
    }

    /// Whole decades around all positive values; `None` when there are none.
    pub(super) fn decades(values: impl Iterator<Item = f64>) -> Option<Self> {
        let (low, high) = values
            .filter(|value| value.is_finite() && *value > 0.0)
            .fold((f64::INFINITY, 0.0_f64), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        (high > 0.0).then(|| {
            let (from, to) = (low.log10().floor(), high.log10().ceil());
            Self::Log {
                from: 10.0_f64.powf(from),
                to: 10.0_f64.powf(to.max(from + 1.0)),
            }
        })
    }

    /// Where `value` lies, 0 at the start and 1 at the end; values beyond an end lie on it.
    pub(super) fn share(&self, value: f64) -> f64 {
        let share = match *self {
            Self::Linear { from, to } => (value - from) / (to - from),
            Self::Log { from, to } => (value / from).ln() / (to / from).ln(),
        };
        if share.is_nan() {
            0.0
        } else {
            share.clamp(0.0, 1.0)
        }
    }

    /// Whether a value lies between the ends.
    pub(super) fn holds(&self, value: f64) -> bool {
        let (Self::Linear { from, to } | Self::Log { from, to }) = *self;
        (from..=to).contains(&value)
    }

    /// Values to be written at the axis.
    pub(super) fn ticks(&self) -> Vec<f64> {
        match *self {
            Self::Linear { from, to } => {
                let leading = (to - from) / 10.0_f64.powf((to - from).log10().floor());
                let parts = match (leading * 10.0).round() as i32 {
                    15 | 30 | 60 => 3,
                    20 | 40 | 80 => 4,
                    _ => 5,
                };
                (0..=parts)
                    .map(|part| from + (to - from) * f64::from(part) / f64::from(parts))
                    .collect()
            }
            Self::Log { from, to } => {
                let decades = (to / from).log10().round() as i32;
                (0..=decades)
                    .map(|decade| from * 10.0_f64.powi(decade))
                    .collect()
            }
        }
    }
}

/// A rectangle for data inside a picture, in the picture's units (CSS pixels at natural size).
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// Width of the picture.
    pub(super) width: f64,
    /// Height of the picture.
    pub(super) height: f64,
    /// Left edge of the data.
    pub(super) left: f64,
    /// Right edge of the data.
    pub(super) right: f64,
    /// Upper edge of the data.
    pub(super) top: f64,
    /// Lower edge of the data.
    pub(super) bottom: f64,
}

impl Frame {
    /// Horizontal position of a share of the axis.
    pub(super) fn x(&self, share: f64) -> f64 {
        self.left + share * (self.right - self.left)
    }

    /// Vertical position of a share of the axis, upwards.
    pub(super) fn y(&self, share: f64) -> f64 {
        self.bottom - share * (self.bottom - self.top)
    }

    /// The picture, with its content and a title for those who do not see it.
    pub(super) fn picture(&self, title: &str, content: &Markup) -> Markup {
        html! {
            svg role="img" width=(at(self.width)) height=(at(self.height))
                viewBox=(format!("0 0 {} {}", at(self.width), at(self.height))) {
                title { (title) }
                (content)
            }
        }
    }

    /// The horizontal axis: a line, ticks and their values.
    pub(super) fn x_axis(&self, scale: &Scale, label: impl Fn(f64) -> String) -> Markup {
        html! {
            line class="axis" x1=(at(self.left)) x2=(at(self.right)) y1=(at(self.bottom)) y2=(at(self.bottom)) {}
            @for value in scale.ticks() {
                @let x = self.x(scale.share(value));
                line class="axis" x1=(at(x)) x2=(at(x)) y1=(at(self.bottom)) y2=(at(self.bottom + 4.0)) {}
                text class="tick" x=(at(x)) y=(at(self.bottom + 16.0)) text-anchor="middle" { (label(value)) }
            }
        }
    }

    /// Faint lines across the data at the ticks of the horizontal axis.
    pub(super) fn x_grid(&self, scale: &Scale) -> Markup {
        html! {
            @for value in scale.ticks() {
                @let x = self.x(scale.share(value));
                line class="grid" x1=(at(x)) x2=(at(x)) y1=(at(self.top)) y2=(at(self.bottom)) {}
            }
        }
    }

    /// Faint lines at these values of the vertical axis, with the values.
    pub(super) fn y_grid(
        &self,
        scale: &Scale,
        values: &[f64],
        label: impl Fn(f64) -> String,
    ) -> Markup {
        html! {
            @for &value in values {
                @let y = self.y(scale.share(value));
                line class="grid" x1=(at(self.left)) x2=(at(self.right)) y1=(at(y)) y2=(at(y)) {}
                text class="tick" x=(at(self.left - 5.0)) y=(at(y + 3.5)) text-anchor="end" { (label(value)) }
            }
        }
    }
}

/// A coordinate with one decimal; what is not finite becomes 0.
pub(super) fn at(coordinate: f64) -> String {
    if coordinate.is_finite() {
        let text = format!("{coordinate:.1}");
        text.strip_suffix(".0")
            .map_or_else(|| text.clone(), str::to_owned)
    } else {
        "0".to_owned()
    }
}

/// The `points` of a polyline.
pub(super) fn points(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let pairs: Vec<String> = points
        .into_iter()
        .map(|(x, y)| format!("{},{}", at(x), at(y)))
        .collect();
    pairs.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_axis_ends_at_a_round_number() {
        for (max, to) in [
            (0.25, 0.3),
            (1.0, 1.0),
            (7.2, 8.0),
            (8.1, 10.0),
            (12.0, 15.0),
            (f64::NAN, 1.0),
        ] {
            let Scale::Linear { to: end, .. } = Scale::from_zero(max) else {
                panic!("linear")
            };
            assert!((end - to).abs() < 1e-9, "{max}: {end}");
        }
        assert_eq!(Scale::from_zero(20.0).ticks(), [0.0, 5.0, 10.0, 15.0, 20.0]);
    }

    #[test]
    fn a_logarithmic_axis_covers_whole_decades() {
        let scale = Scale::decades([30.0, 4_000.0, 0.0].into_iter()).unwrap();
        let ticks = scale.ticks();
        assert_eq!(ticks.len(), 4);
        assert!((ticks[0] - 10.0).abs() < 1e-9 && (ticks[3] - 10_000.0).abs() < 1e-6);
        assert!((scale.share(100.0) - 1.0 / 3.0).abs() < 1e-12);
        assert!(Scale::decades([0.0].into_iter()).is_none());
    }

    #[test]
    fn values_off_the_axis_stay_in_the_picture() {
        let scale = Scale::Linear { from: 0.0, to: 2.0 };
        assert_eq!(
            [scale.share(-1.0), scale.share(9.0), scale.share(f64::NAN)],
            [0.0, 1.0, 0.0]
        );
        assert_eq!(points([(1.0, 2.25), (f64::INFINITY, 0.04)]), "1,2.2 0,0");
    }
}
