//! What all plots share: size, type, colours, and how an SVG gets into the page.
//!
//! plotters places everything on whole pixels, so plots are drawn four times too large and scaled down by their viewBox.
//! Colours are few and fixed here; the page's style sheet maps the neutral ones to the reader's light or dark scheme.

use std::sync::OnceLock;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, RGBAColor, register_font};

use crate::error::{CalibrationError, Result};

/// Drawn pixels per pixel shown.
pub(super) const SCALE: u32 = 4;
/// Text and frames.
pub(super) const INK: RGBColor = RGBColor(0x2b, 0x35, 0x3f);
/// Secondary text.
pub(super) const MUTED: RGBColor = RGBColor(0x6b, 0x76, 0x80);
/// Grid lines and guides.
pub(super) const GRID: RGBColor = RGBColor(0xdd, 0xe2, 0xe6);
/// Targets.
pub(super) const TARGET: RGBColor = RGBColor(0xc8, 0x5a, 0x1e);
/// Non-targets.
pub(super) const OTHER: RGBColor = RGBColor(0x3a, 0x74, 0xa8);
/// What is graded good.
pub(super) const GOOD: RGBColor = RGBColor(0x2f, 0x7d, 0x4f);
/// What is graded fair.
pub(super) const FAIR: RGBColor = RGBColor(0x96, 0x69, 0x0a);
/// What is graded poor.
pub(super) const POOR: RGBColor = RGBColor(0xb3, 0x38, 0x2c);

/// The one family plots are set in; measured with the embedded DejaVu Sans, shown in whatever the reader's system has.
const FAMILY: &str = "sans-serif";
static FONT: &[u8] = include_bytes!("../../../fixtures/fonts/DejaVuSans.ttf");

/// A drawing area of a plot in progress.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// What drawing can return: plotters' many error types have nothing in common but their text.
pub(super) type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

/// Pixels shown to pixels drawn.
pub(super) fn px(shown: u32) -> u32 {
    shown * SCALE
}

/// Pixels shown to pixels drawn, for positions.
pub(super) fn pos(shown: f64) -> i32 {
    (shown * f64::from(SCALE)).round() as i32
}

/// A text style of this size in pixels shown.
pub(super) fn text(size: f64, colour: RGBColor) -> TextStyle<'static> {
    // The backend divides by 1.24 to get from line height to type size.
    (FAMILY, size * 1.24 * f64::from(SCALE))
        .into_font()
        .color(&colour)
}

/// A text style anchored at its point.
pub(super) fn anchored(size: f64, colour: RGBColor, h: HPos, v: VPos) -> TextStyle<'static> {
    text(size, colour).pos(Pos::new(h, v))
}

/// A line style of this width in pixels shown.
pub(super) fn line(colour: impl Into<RGBAColor>, width: f64) -> ShapeStyle {
    ShapeStyle {
        color: colour.into(),
        filled: false,
        stroke_width: (width * f64::from(SCALE)).round().max(1.0) as u32,
    }
}

/// Draws a plot of `width` by `height` pixels shown and returns it as an `<svg>` element that scales with the page.
///
/// # Errors
/// [`CalibrationError::Plot`].
pub(super) fn draw(
    plot: &'static str,
    described: &str,
    (width, height): (u32, u32),
    body: impl FnOnce(&Area<'_>) -> Drawn,
) -> Result<String> {
    let failed = |reason: String| CalibrationError::Plot { plot, reason };
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    if !*REGISTERED.get_or_init(|| register_font(FAMILY, FontStyle::Normal, FONT).is_ok()) {
        return Err(failed("the embedded font is damaged".into()));
    }
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (px(width), px(height))).into_drawing_area();
        body(&root).map_err(|e| failed(e.to_string()))?;
        root.present().map_err(|e| failed(e.to_string()))?;
    }
    // Everything from the first element on; the head is written anew, without a fixed size.
    let inner = svg.find('>').map_or("", |end| &svg[end + 1..]);
    Ok(format!(
        "<svg class=\"plot\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {} {}\" style=\"max-width:{width}px\" \
         xmlns=\"http://www.w3.org/2000/svg\">{inner}",
        super::markup::escape(described),
        px(width),
        px(height),
    ))
}

/// A step of 1, 2 or 5 times a power of ten that cuts `span` into about `count` parts.
pub(super) fn nice_step(span: f64, count: f64) -> f64 {
    let raw = (span / count).max(f64::MIN_POSITIVE);
    let decade = 10_f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|f| f * decade >= raw);
    factor.unwrap_or(10.0) * decade
}

/// Multiples of `step` within `low..=high`.
pub(super) fn ticks(low: f64, high: f64, step: f64) -> Vec<f64> {
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|k| k as f64 * step).collect()
}

/// A number with as many decimals as its step needs, and a true minus sign.
pub(super) fn tick_label(value: f64, step: f64) -> String {
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let value = if value.abs() < step / 1e6 { 0.0 } else { value };
    format!("{value:.decimals$}").replace('-', "\u{2212}")
}

/// A frame with ticks, grid and axis titles, and the mapping from data to pixels drawn.
pub(super) struct Axes {
    x: (f64, f64),
    y: (f64, f64),
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Axes {
    /// Axes over data `x` and `y` (from, to; `from` stands left or at the bottom) in the box (left, top, right, bottom), pixels shown.
    pub(super) fn new(
        x: (f64, f64),
        y: (f64, f64),
        (left, top, right, bottom): (f64, f64, f64, f64),
    ) -> Self {
        Self {
            x,
            y,
            left,
            right,
            top,
            bottom,
        }
    }

    /// Data to pixels drawn.
    pub(super) fn at(&self, x: f64, y: f64) -> (i32, i32) {
        let fx = (x - self.x.0) / (self.x.1 - self.x.0);
        let fy = (y - self.y.0) / (self.y.1 - self.y.0);
        (
            pos(self.left + fx * (self.right - self.left)),
            pos(self.bottom - fy * (self.bottom - self.top)),
        )
    }

    /// A broken or whole line through data.
    pub(super) fn curve(&self, area: &Area<'_>, points: &[(f64, f64)], style: ShapeStyle) -> Drawn {
        let path: Vec<(i32, i32)> = points.iter().map(|&(x, y)| self.at(x, y)).collect();
        Ok(area.draw(&PathElement::new(path, style))?)
    }

    /// A filled polygon through data.
    pub(super) fn fill(&self, area: &Area<'_>, points: &[(f64, f64)], colour: RGBAColor) -> Drawn {
        let path: Vec<(i32, i32)> = points.iter().map(|&(x, y)| self.at(x, y)).collect();
        Ok(area.draw(&Polygon::new(path, colour.filled()))?)
    }

    /// Grid lines and tick labels at these values, formatted for this step.
    pub(super) fn grid(
        &self,
        area: &Area<'_>,
        x: (&[f64], f64),
        y: (&[f64], f64),
        size: f64,
    ) -> Drawn {
        let (low, high) = (self.y.0, self.y.1);
        for &value in x.0 {
            self.curve(area, &[(value, low), (value, high)], line(GRID, 1.0))?;
            let (px, _) = self.at(value, low);
            let place = (px, pos(self.bottom + 5.0));
            let style = anchored(size, MUTED, HPos::Center, VPos::Top);
            area.draw_text(&tick_label(value, x.1), &style, place)?;
        }
        for &value in y.0 {
            self.curve(
                area,
                &[(self.x.0, value), (self.x.1, value)],
                line(GRID, 1.0),
            )?;
            let (_, py) = self.at(self.x.0, value);
            let place = (pos(self.left - 6.0), py);
            let style = anchored(size, MUTED, HPos::Right, VPos::Center);
            area.draw_text(&tick_label(value, y.1), &style, place)?;
        }
        Ok(())
    }

    /// Titles: of the horizontal axis below its labels, of the vertical one above the plot's left edge, unrotated.
    pub(super) fn titles(&self, area: &Area<'_>, x: &str, y: &str, size: f64) -> Drawn {
        let middle = (self.left + self.right) / 2.0;
        let below = (pos(middle), pos(self.bottom + 22.0));
        area.draw_text(x, &anchored(size, INK, HPos::Center, VPos::Top), below)?;
        let above = (pos(self.left), pos(self.top - 8.0));
        area.draw_text(y, &anchored(size, INK, HPos::Left, VPos::Bottom), above)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_within_the_axis() {
        assert_eq!(nice_step(9.7, 5.0), 2.0);
        assert_eq!(nice_step(0.8, 4.0), 0.2);
        assert_eq!(ticks(-3.1, 4.2, 2.0), [-2.0, 0.0, 2.0, 4.0]);
        assert_eq!(tick_label(-0.4, 0.2), "\u{2212}0.4");
        assert_eq!(tick_label(-1e-17, 0.2), "0.0");
        assert_eq!(tick_label(100.0, 50.0), "100");
    }

    #[test]
    fn a_plot_scales_with_the_page_and_escapes_its_description() {
        let svg = draw("test", "a < b", (10, 20), |_| Ok(())).unwrap();
        assert!(svg.starts_with("<svg class=\"plot\"") && svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains("viewBox=\"0 0 40 80\"") && !svg.contains("width=\"40\""));
        assert!(svg.contains("a &lt; b"));
    }
}
