//! Where the tiles stand: branches in a row above, controls in a row below, in degrees from the centre.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use razvilka_calibration::PursuitPath;

use crate::config::ScreenSection;
use crate::fork::Fork;
use crate::marker::{OptionKind, OptionTile};
use razvilka_dsp::gaze_evidence::Tile;

/// A row of tiles: its middle and its height, relative to half the screen's height.
struct Row {
    middle: f64,
    height: f64,
}

const BRANCHES: Row = Row {
    middle: 0.0,
    height: 0.5,
};
const CONTROLS: Row = Row {
    middle: 0.65,
    height: 0.3,
};

/// The stream of the seed's random numbers that the order of points takes.
const POINT_STREAM: u64 = 0x6761_7a65;
/// Share of the half screen that calibration points and the moving target span.
const SPAN: f64 = 0.8;

/// Half the visible width and height in degrees of visual angle: the angle from the centre to the edge.
#[must_use]
pub fn half_extent_deg(screen: &ScreenSection) -> (f64, f64) {
    let half = |size_cm: f64| (size_cm / 2.0 / screen.distance_cm).atan().to_degrees();
    (half(screen.width_cm), half(screen.height_cm))
}

/// From the text down to the branches: at most this much, degrees, and this much of half the screen's height. Who reads the text with a tracker
/// that errs by 1.5 degrees is else taken to look at the branch below.
const TEXT_GAP: (f64, f64) = (3.0, 0.25);

/// Where the text stands that has been written so far: above the branches, its last line lowest.
#[must_use]
pub fn text_area(screen: &ScreenSection) -> Tile {
    let (half_w, half_h) = half_extent_deg(screen);
    let top = (BRANCHES.middle - 0.5 * BRANCHES.height) * half_h;
    let below = top - TEXT_GAP.0.min(TEXT_GAP.1 * half_h);
    let above = -half_h;
    Tile {
        x_deg: 0.0,
        y_deg: 0.5 * (above + below),
        w_deg: 2.0 * half_w,
        h_deg: below - above,
        words: 0,
    }
}

/// The tiles of a fork: item numbers run with `kinds`, branch tiles carry the branches' phrases.
#[must_use]
pub fn tiles(fork: &Fork, kinds: &[OptionKind], screen: &ScreenSection) -> Vec<OptionTile> {
    let texts = fork.branches.iter().map(|branch| branch.text.clone());
    place(kinds, texts, screen)
}

/// Items without meaning, for calibration: as many as flash in a session, at the places of a fork of three branches.
#[must_use]
pub fn calibration_tiles(items: usize, screen: &ScreenSection) -> Vec<OptionTile> {
    let upper = items.div_ceil(2);
    let kinds: Vec<_> = (0..items)
        .map(|item| {
            if item < upper {
                OptionKind::Branch
            } else {
                OptionKind::Item
            }
        })
        .collect();
    let mut tiles = place(&kinds, (1..=upper).map(|number| number.to_string()), screen);
    for (index, tile) in tiles.iter_mut().enumerate() {
        tile.kind = OptionKind::Item;
        tile.text = (index + 1).to_string();
    }
    tiles
}

/// Options to read in a calibration of the pupil, at the places of a fork's branches.
#[must_use]
pub fn wish_tiles<'a>(
    texts: impl ExactSizeIterator<Item = &'a &'a str>,
    screen: &ScreenSection,
) -> Vec<OptionTile> {
    let kinds = vec![OptionKind::Branch; texts.len()];
    place(&kinds, texts.map(|text| (*text).to_owned()), screen)
}

fn place(
    kinds: &[OptionKind],
    mut texts: impl Iterator<Item = String>,
    screen: &ScreenSection,
) -> Vec<OptionTile> {
    let (half_w, half_h) = half_extent_deg(screen);
    let branches = kinds
        .iter()
        .filter(|kind| **kind == OptionKind::Branch)
        .count();
    let controls = kinds.len() - branches;
    let (mut branch, mut control) = (0, 0);
    kinds
        .iter()
        .enumerate()
        .map(|(item, kind)| {
            let (index, count, y_deg, h_deg, text) = if *kind == OptionKind::Branch {
                branch += 1;
                (
                    branch - 1,
                    branches,
                    BRANCHES.middle * half_h,
                    BRANCHES.height * half_h,
                    texts.next().unwrap_or_default(),
                )
            } else {
                control += 1;
                (
                    control - 1,
                    controls,
                    CONTROLS.middle * half_h,
                    CONTROLS.height * half_h,
                    control_text(*kind).to_owned(),
                )
            };
            let pitch = 2.0 * half_w / count.max(1) as f64;
            let x_deg = -half_w + pitch * (f64::from(index) + 0.5);
            OptionTile {
                item: item as i32,
                kind: *kind,
                text,
                x_deg,
                y_deg,
                w_deg: 0.8 * pitch,
                h_deg,
            }
        })
        .collect()
}

/// What a control tile says.
#[must_use]
pub fn control_text(kind: OptionKind) -> &'static str {
    match kind {
        OptionKind::Other => "other",
        OptionKind::Undo => "undo",
        OptionKind::GoOn => "go on",
        OptionKind::Branch | OptionKind::Item => "",
    }
}

/// `count` gaze points (5, 9 or 13) that span four fifths of the screen; other counts give the nearest of these.
#[must_use]
pub fn gaze_points(count: u32, screen: &ScreenSection) -> Vec<(f64, f64)> {
    let (w, h) = half_extent_deg(screen);
    let (w, h) = (SPAN * w, SPAN * h);
    let mut points = vec![(0.0, 0.0), (-w, -h), (w, -h), (-w, h), (w, h)];
    if count >= 9 {
        points.extend([(0.0, -h), (-w, 0.0), (w, 0.0), (0.0, h)]);
    }
    if count >= 13 {
        points.extend([
            (-w / 2.0, -h / 2.0),
            (w / 2.0, -h / 2.0),
            (-w / 2.0, h / 2.0),
            (w / 2.0, h / 2.0),
        ]);
    }
    points
}

/// Up to eight points that lie between those of [`gaze_points`].
#[must_use]
pub fn check_points(count: u32, screen: &ScreenSection) -> Vec<(f64, f64)> {
    let (w, h) = half_extent_deg(screen);
    let (w, h) = (SPAN * w, SPAN * h);
    let all = [
        (-0.45, -0.55),
        (0.55, -0.45),
        (0.45, 0.55),
        (-0.55, 0.45),
        (-0.25, 0.2),
        (0.25, -0.2),
        (0.7, 0.15),
        (-0.7, -0.15),
    ];
    all.iter()
        .take(count as usize)
        .map(|(x, y)| (x * w, y * h))
        .collect()
}

/// Points in an order that follows from the seed alone, so that none can be foreseen: the middle of the screen first, if it is one of
/// them.
#[must_use]
pub fn in_random_order(mut points: Vec<(f64, f64)>, seed: u64, round: u64) -> Vec<(f64, f64)> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(POINT_STREAM + round);
    let first = usize::from(points.first() == Some(&(0.0, 0.0)));
    for last in (first + 1..points.len()).rev() {
        points.swap(last, random.random_range(first..=last));
    }
    points
}

/// The way of the target that moves.
#[must_use]
pub fn pursuit_path(speed_deg_s: f64, screen: &ScreenSection) -> PursuitPath {
    let (w, h) = half_extent_deg(screen);
    PursuitPath::at_speed((SPAN * w, SPAN * h), speed_deg_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fork::{Branch, ForkId, ForkOrigin, options_of};

    fn fork(branches: usize) -> Fork {
        let branch = |text: usize| Branch {
            text: text.to_string(),
            tokens: vec![1],
            prior: 0.3,
            log_prob_nats: -1.0,
        };
        Fork {
            id: ForkId(0),
            position: 0,
            context: String::new(),
            branches: (0..branches).map(branch).collect(),
            origin: ForkOrigin::Detected,
        }
    }

    #[test]
    fn tiles_neither_overlap_nor_leave_the_screen() {
        let screen = ScreenSection::default();
        let (w, h) = half_extent_deg(&screen);
        for branches in 2..=3 {
            for can_undo in [false, true] {
                let tiles = tiles(&fork(branches), &options_of(branches, can_undo), &screen);
                for (index, a) in tiles.iter().enumerate() {
                    assert_eq!(a.item as usize, index);
                    assert!(
                        a.x_deg.abs() + a.w_deg / 2.0 <= w && a.y_deg.abs() + a.h_deg / 2.0 <= h,
                        "{a:?}"
                    );
                    for b in &tiles[index + 1..] {
                        let apart = (a.x_deg - b.x_deg).abs() >= (a.w_deg + b.w_deg) / 2.0
                            || (a.y_deg - b.y_deg).abs() >= (a.h_deg + b.h_deg) / 2.0;
                        assert!(apart, "{a:?} overlaps {b:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_order_of_points_follows_from_the_seed_and_leaves_none_out() {
        let screen = ScreenSection::default();
        for count in [5, 9, 13] {
            let points = gaze_points(count, &screen);
            let orders: Vec<_> = (0..20)
                .map(|seed| in_random_order(points.clone(), seed, 0))
                .collect();
            for (seed, order) in (0..).zip(&orders) {
                assert_eq!(order, &in_random_order(points.clone(), seed, 0));
                assert_eq!(order[0], (0.0, 0.0));
                assert!(points.iter().all(|point| order.contains(point)));
                assert_eq!(order.len(), points.len());
            }
            assert!(orders.iter().any(|order| order != &orders[0]));
        }
    }

    #[test]
    fn the_text_stands_on_the_screen_above_every_tile() {
        for (width_cm, height_cm, distance_cm) in [(52.0, 29.0, 60.0), (5.0, 3.0, 200.0)] {
            let screen = ScreenSection {
                width_cm,
                height_cm,
                distance_cm,
                ..ScreenSection::default()
            };
            let (half_w, half_h) = half_extent_deg(&screen);
            let text = text_area(&screen);
            let (above, below) = (text.y_deg - 0.5 * text.h_deg, text.y_deg + 0.5 * text.h_deg);
            assert!(above >= -half_h - 1e-9 && text.w_deg <= 2.0 * half_w + 1e-9);
            for tile in tiles(&fork(3), &options_of(3, true), &screen) {
                assert!(below < tile.y_deg - 0.5 * tile.h_deg, "{tile:?}");
            }
        }
    }

    #[test]
    fn check_points_are_no_fit_points() {
        let screen = ScreenSection::default();
        for count in [5, 9, 13] {
            let fit = gaze_points(count, &screen);
            assert_eq!(fit.len(), count as usize);
            for check in check_points(8, &screen) {
                assert!(
                    fit.iter()
                        .all(|point| (point.0 - check.0).hypot(point.1 - check.1) > 1.0)
                );
            }
        }
    }
}
