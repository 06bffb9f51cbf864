//! Scalp maps of the difference between the average responses to targets and non-targets.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::canvas::{Area, Drawn, INK, MUTED, anchored, draw, line, pos, tick_label};
use crate::error::Result;
use crate::scalp::{Direction, SphericalSpline, angle_deg, direction, electrode};
use crate::session::Erp;

/// Fewest electrodes of known place for a map.
pub(super) const PLACED_MIN: usize = 6;
/// Beyond this angle from every electrode nothing is drawn: half the diagonal between electrodes of the 10-20 system, so that their
/// grid has no holes, and splines run little beyond what was measured.
pub(super) const REACH_DEG: f64 = 26.0;
/// Equal windows that the epoch is cut into, beside the map of the peak.
const WINDOWS: usize = 4;
/// Steps of colour on either side of zero.
const LEVELS: i32 = 10;
/// Rows of a map.
const ROWS: u32 = 96;
/// Columns of a map: boxes reach over many, so finer ones cost no boxes.
const COLUMNS: u32 = 192;
/// Angle from the vertex beyond which a mark or its name leaves the circle.
const RIM_DEG: f64 = 80.0;
/// Most electrodes whose names are written.
const NAMED_MAX: usize = 20;
/// What the style sheet does not map: a map has the same colours on paper of any colour.
const MARK: RGBColor = RGBColor(0x1a, 0x1f, 0x24);
const ZERO: RGBColor = RGBColor(0xf3, 0xf1, 0xee);
const MORE: RGBColor = RGBColor(0xae, 0x42, 0x10);
const LESS: RGBColor = RGBColor(0x1d, 0x56, 0x90);

/// Channels in use whose label is a place, with that place.
pub(super) fn placed(labels: &[String], used: &[bool]) -> Vec<(usize, Direction)> {
    let mut placed: Vec<(usize, Direction)> = Vec::new();
    for (channel, label) in labels.iter().enumerate() {
        let Some(place) = electrode(label).filter(|_| used.get(channel) == Some(&true)) else {
            continue;
        };
        // A place named twice keeps its first channel.
        if placed
            .iter()
            .all(|(_, other)| angle_deg(*other, place) > 1.0)
        {
            placed.push((channel, place));
        }
    }
    placed
}

/// One map: what it shows and the difference at each placed electrode, microvolts.
struct Map {
    title: String,
    values_uv: Vec<f64>,
}

/// The bin where the difference is largest in the root mean square over the placed channels, and four equal windows.
fn maps_of(erp: &Erp, placed: &[(usize, Direction)]) -> Vec<Map> {
    let bins = erp.time_s.len();
    let difference = |channel: usize, bin: usize| {
        let i = channel * bins + bin;
        erp.target_mean[i] - erp.other_mean[i]
    };
    let power = |bin: usize| -> f64 {
        placed
            .iter()
            .map(|(c, _)| difference(*c, bin).powi(2))
            .sum()
    };
    let peak = (0..bins).max_by(|&a, &b| power(a).total_cmp(&power(b)));
    let half_s = erp
        .time_s
        .get(1)
        .map_or(0.0, |second| (second - erp.time_s[0]) / 2.0);
    let mut maps: Vec<Map> = peak
        .into_iter()
        .map(|bin| Map {
            title: format!("largest, at {:.0} ms", 1e3 * erp.time_s[bin]),
            values_uv: placed.iter().map(|(c, _)| difference(*c, bin)).collect(),
        })
        .collect();
    for window in 0..WINDOWS {
        let own = window * bins / WINDOWS..(window + 1) * bins / WINDOWS;
        let (Some(first), Some(last)) = (own.clone().next(), own.clone().next_back()) else {
            continue;
        };
        maps.push(Map {
            title: format!(
                "{:.0} to {:.0} ms",
                1e3 * (erp.time_s[first] - half_s),
                1e3 * (erp.time_s[last] + half_s)
            ),
            values_uv: placed
                .iter()
                .map(|(c, _)| {
                    own.clone().map(|bin| difference(*c, bin)).sum::<f64>() / own.len() as f64
                })
                .collect(),
        });
    }
    maps
}

/// The maps, all on one scale of colour, seen from above with the nose up.
pub(super) fn scalp(erp: &Erp, labels: &[String], placed: &[(usize, Direction)]) -> Result<String> {
    let maps = maps_of(erp, placed);
    let places: Vec<Direction> = placed.iter().map(|(_, place)| *place).collect();
    let surfaces: Vec<SphericalSpline> = maps
        .iter()
        .map(|map| SphericalSpline::through(&places, &map.values_uv))
        .collect::<Result<_>>()?;
    let values = maps.iter().flat_map(|map| &map.values_uv);
    let most_uv = values.fold(0.1_f64, |most, v| most.max(v.abs()));
    draw(
        "scalp map",
        "Scalp maps of the difference between the responses to targets and non-targets",
        (912, 312),
        |area| {
            for (index, (map, surface)) in maps.iter().zip(&surfaces).enumerate() {
                let head = if index == 0 {
                    Head {
                        x: 140.0,
                        y: 174.0,
                        radius: 116.0,
                    }
                } else {
                    Head {
                        x: 205.0 + 133.0 * index as f64,
                        y: 174.0,
                        radius: 58.0,
                    }
                };
                head.colours(area, &places, |at| surface.at(at) / most_uv)?;
                head.outline(area)?;
                for (channel, place) in placed {
                    let at = head.at(*place);
                    let size = if index == 0 { 2.6 } else { 1.6 };
                    // At the rim and beyond, the page is behind the mark and not the map.
                    let rim = angle_deg(*place, direction(0.0, 0.0)) > RIM_DEG;
                    let ink = if rim { INK } else { MARK };
                    area.draw(&Circle::new(at, pos(size), ink.filled()))?;
                    if index == 0 && placed.len() <= NAMED_MAX {
                        let below = (at.0, at.1 + pos(4.0));
                        let style = anchored(10.0, ink, HPos::Center, VPos::Top);
                        area.draw_text(labels[*channel].trim(), &style, below)?;
                    }
                }
                let style = anchored(12.0, INK, HPos::Center, VPos::Bottom);
                let above = (pos(head.x), pos(head.y - 1.16 * head.radius - 6.0));
                area.draw_text(&map.title, &style, above)?;
            }
            colour_bar(area, most_uv)
        },
    )
}

/// Where a head is drawn, pixels shown. Its circle is 90 degrees from the vertex; angles from the vertex are kept.
struct Head {
    x: f64,
    y: f64,
    radius: f64,
}

impl Head {
    fn at(&self, place: Direction) -> (i32, i32) {
        let r = self.radius * angle_deg(place, direction(0.0, 0.0)) / 90.0;
        let azimuth = place[0].atan2(place[1]);
        (
            pos(self.x + r * azimuth.sin()),
            pos(self.y - r * azimuth.cos()),
        )
    }

    /// Fills the circle with the value in each direction, -1 to 1, row by row, one box for a stretch of one colour.
    fn colours(
        &self,
        area: &Area<'_>,
        places: &[Direction],
        value: impl Fn(Direction) -> f64,
    ) -> Drawn {
        let (height, width) = (2.0 / f64::from(ROWS), 2.0 / f64::from(COLUMNS));
        for row in 0..ROWS {
            let y = 1.0 - (f64::from(row) + 0.5) * height;
            let chord = (1.0 - y * y).max(0.0).sqrt();
            let level = |column: u32| -> Option<i32> {
                let x = -1.0 + (f64::from(column) + 0.5) * width;
                if x.abs() > chord + width / 2.0 {
                    return None;
                }
                let at = direction(90.0 * x.hypot(y).min(1.0), x.atan2(y).to_degrees());
                let near = places
                    .iter()
                    .any(|place| angle_deg(*place, at) <= REACH_DEG);
                near.then(|| (value(at).clamp(-1.0, 1.0) * f64::from(LEVELS)).round() as i32)
            };
            let levels: Vec<Option<i32>> = (0..COLUMNS).map(level).collect();
            let mut begun = 0;
            for stretch in levels.chunk_by(|a, b| a == b) {
                let end = begun + stretch.len();
                if let Some(Some(own)) = stretch.first() {
                    let x = |column: usize| (-1.0 + column as f64 * width).clamp(-chord, chord);
                    let right = pos(self.x + self.radius * x(end)) + 2;
                    let top = pos(self.y - self.radius * (y + height / 2.0));
                    // A little more than its own size, so that no seam shows between boxes.
                    let bottom = pos(self.y - self.radius * (y - height / 2.0)) + 3;
                    let corners = [(pos(self.x + self.radius * x(begun)), top), (right, bottom)];
                    area.draw(&Rectangle::new(corners, colour(*own).filled()))?;
                }
                begun = end;
            }
        }
        Ok(())
    }

    fn outline(&self, area: &Area<'_>) -> Drawn {
        let point = |x: f64, y: f64| (pos(self.x + self.radius * x), pos(self.y - self.radius * y));
        let ring = (0..=120).map(|i| f64::from(i) * std::f64::consts::TAU / 120.0);
        let ring: Vec<(i32, i32)> = ring.map(|a| point(a.cos(), a.sin())).collect();
        let nose = vec![point(-0.12, 0.993), point(0.0, 1.13), point(0.12, 0.993)];
        let ear = |side: f64| -> Vec<(i32, i32)> {
            [
                (0.985, 0.17),
                (1.05, 0.2),
                (1.08, 0.08),
                (1.06, -0.1),
                (1.03, -0.2),
                (0.98, -0.18),
            ]
            .map(|(x, y)| point(side * x, y))
            .to_vec()
        };
        for path in [ring, nose, ear(1.0), ear(-1.0)] {
            area.draw(&PathElement::new(path, line(MUTED, 1.6)))?;
        }
        Ok(())
    }
}

fn colour(level: i32) -> RGBColor {
    let end = if level < 0 { LESS } else { MORE };
    let share = f64::from(level.abs().min(LEVELS)) / f64::from(LEVELS);
    let mix = |from: u8, to: u8| {
        (f64::from(from) + share * (f64::from(to) - f64::from(from))).round() as u8
    };
    RGBColor(mix(ZERO.0, end.0), mix(ZERO.1, end.1), mix(ZERO.2, end.2))
}

fn colour_bar(area: &Area<'_>, most_uv: f64) -> Drawn {
    const BOX: (f64, f64, f64, f64) = (830.0, 110.0, 846.0, 236.0);
    let height = (BOX.3 - BOX.1) / f64::from(2 * LEVELS + 1);
    for level in -LEVELS..=LEVELS {
        let top = BOX.1 + f64::from(LEVELS - level) * height;
        let corners = [(pos(BOX.0), pos(top)), (pos(BOX.2), pos(top + height) + 1)];
        area.draw(&Rectangle::new(corners, colour(level).filled()))?;
    }
    for share in [-1.0, 0.0, 1.0] {
        let y = (BOX.1 + BOX.3) / 2.0 - share * (BOX.3 - BOX.1 - height) / 2.0;
        let sign = if share > 0.0 { "+" } else { "" };
        let text = format!("{sign}{}", tick_label(share * most_uv, 0.1));
        let style = anchored(11.0, MUTED, HPos::Left, VPos::Center);
        area.draw_text(&text, &style, (pos(BOX.2 + 6.0), pos(y)))?;
    }
    let style = anchored(11.0, MUTED, HPos::Left, VPos::Bottom);
    area.draw_text("microvolts", &style, (pos(BOX.0), pos(BOX.1 - 8.0)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_where_the_difference_is_largest_and_windows_hold_its_means() {
        let bins = 8;
        let mut target_mean = vec![0.0; 2 * bins];
        target_mean[5] = 3.0;
        target_mean[bins + 5] = -1.0;
        let erp = Erp {
            time_s: (0..bins).map(|b| (b as f64 + 0.5) * 0.1).collect(),
            target_se: vec![0.1; 2 * bins],
            other_mean: vec![0.0; 2 * bins],
            other_se: vec![0.1; 2 * bins],
            target_mean,
        };
        let placed = placed(&["Cz".into(), "Pz".into()], &[true, true]);
        let maps = maps_of(&erp, &placed);
        assert_eq!(maps[0].title, "largest, at 550 ms");
        assert_eq!(maps[0].values_uv, [3.0, -1.0]);
        assert_eq!(maps[3].title, "400 to 600 ms");
        assert_eq!(maps[3].values_uv, [1.5, -0.5]);
    }

    #[test]
    fn channels_left_out_and_places_named_twice_have_no_mark() {
        let labels = ["Cz", "cz", "Pz", "nowhere", "Oz"].map(str::to_owned);
        let placed = placed(&labels, &[true, true, false, true, true]);
        let channels: Vec<usize> = placed.iter().map(|(channel, _)| *channel).collect();
        assert_eq!(channels, [0, 4]);
    }

    #[test]
    fn no_colour_of_a_map_is_one_that_the_style_sheet_maps() {
        for level in -LEVELS..=LEVELS {
            let own = colour(level);
            for mapped in [
                INK,
                MUTED,
                super::super::canvas::TARGET,
                super::super::canvas::OTHER,
            ] {
                assert_ne!(own, mapped);
            }
        }
        assert_eq!(colour(0), ZERO);
    }
}
