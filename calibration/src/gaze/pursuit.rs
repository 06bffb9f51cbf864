//! Calibration by a target that moves and that the eye follows (Pfeuffer et al. 2013, "Pursuit calibration: making gaze calibration
//! less tedious and more flexible", UIST '13, 261).
//!
//! Beyond that paper: the eye's lag behind the target is estimated and taken out, and what follows is told from what does not by
//! least trimmed squares (Rousseeuw & Van Driessen 2006, "Computing LTS regression for large data sets", Data Min. Knowl. Discov.
//! 12:29) instead of a correlation with the target's path alone.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use super::map::{GazeMap, MapOrder, Pair, distance, median};
use super::points::FitRule;
use super::{EyeSamples, GazeSample};
use crate::error::{CalibrationError, Result};

/// Cycles of the target across and down in one lap.
const CYCLES: (f64, f64) = (2.0, 3.0);
/// Samples are gathered over so long, seconds.
const WINDOW_S: f64 = 0.1;
/// Fewest usable samples of a window.
const WINDOW_SAMPLES: usize = 3;
/// Lags that are tried: none to this, seconds, in steps of [`LAG_STEP_S`].
const LAG_MAX_S: f64 = 0.4;
const LAG_STEP_S: f64 = 0.01;
/// Share of the windows that the eye is trusted to follow in.
const TRUSTED: f64 = 0.6;
/// Triples of windows that each lag is tried from.
const STARTS: usize = 60;
/// Rounds of concentration.
const ROUNDS: usize = 10;
/// A window is not followed when its gaze lies further from the target than this, degrees, ...
const OFF_DEG: f64 = 1.0;
/// ... and than so many standard deviations of those that follow.
const OFF_SDS: f64 = 3.5;
/// The eye's step from window to window may differ from the target's by this share of it, and by [`OFF_DEG`].
const STEP_SHARE: f64 = 0.6;
/// Fewest windows that are followed.
const WINDOWS_MIN: usize = 30;
/// Smallest share of windows that are followed.
const FOLLOWED_MIN: f64 = 0.4;
/// Median length of a two-dimensional standard Gaussian vector.
const RAYLEIGH_MEDIAN: f64 = 1.177_410_022_515_474_7;

/// Where the moving target is: a Lissajous figure about the centre of the screen, twice across and three times down in a lap,
/// `x = w sin(2 p)`, `y = h sin(3 p)`, `p = 2 pi t / period`, degrees, y downwards.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PursuitPath {
    /// How far it goes to the left and right, degrees.
    pub half_w_deg: f64,
    /// How far up and down, degrees.
    pub half_h_deg: f64,
    /// Time of one lap, seconds.
    pub period_s: f64,
}

impl PursuitPath {
    /// A path whose mean speed is `speed_deg_s`.
    #[must_use]
    pub fn at_speed((half_w_deg, half_h_deg): (f64, f64), speed_deg_s: f64) -> Self {
        const STEPS: u32 = 2_000;
        let unit = Self {
            half_w_deg,
            half_h_deg,
            period_s: 1.0,
        };
        let at = |i: u32| unit.at(f64::from(i) / f64::from(STEPS));
        let length_deg: f64 = (0..STEPS).map(|i| distance(at(i), at(i + 1))).sum();
        Self {
            period_s: length_deg / speed_deg_s,
            ..unit
        }
    }

    /// Where it is `t_s` seconds after its beginning, degrees; before that, where it begins.
    #[must_use]
    pub fn at(&self, t_s: f64) -> (f64, f64) {
        let p = TAU * t_s.max(0.0) / self.period_s;
        (
            self.half_w_deg * (CYCLES.0 * p).sin(),
            self.half_h_deg * (CYCLES.1 * p).sin(),
        )
    }
}

/// A moving target the person was told to follow, and the samples until it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GazePursuit {
    /// Where it was.
    pub path: PursuitPath,
    /// When it began to move, seconds on the samples' clock.
    pub shown_s: f64,
    /// Samples while it moved, as of a [`super::GazePoint`].
    pub samples: Vec<GazeSample>,
    /// The same of each eye alone.
    #[serde(default)]
    pub eyes: Option<EyeSamples>,
}

/// Gaze over a tenth of a second: its time since the target began to move, and its middle in the tracker's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Window {
    pursuit: usize,
    t_s: f64,
    raw: (f64, f64),
}

/// What was followed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Followed {
    /// Gaze and the target's place when the eye was aimed there, of the windows that were followed, in order.
    pub(super) pairs: Vec<Pair>,
    pub(super) lag_s: f64,
    pub(super) windows: usize,
}

impl Followed {
    /// What one eye followed of moving targets; `samples` of each pursuit.
    pub(super) fn of(seen: &[(&GazePursuit, &[GazeSample])], rule: FitRule) -> Result<Self> {
        let windows: Vec<Window> = seen
            .iter()
            .enumerate()
            .flat_map(|(number, (pursuit, samples))| windows_of(number, pursuit, samples, rule))
            .collect();
        if windows.len() < WINDOWS_MIN {
            return Err(CalibrationError::TooFew {
                what: "tenths of a second in which the eye was seen while the target moved",
                found: windows.len(),
                needed: WINDOWS_MIN,
            });
        }
        let pairs_at = |lag_s: f64| -> Vec<Pair> {
            let place = |w: &Window| seen[w.pursuit].0.path.at(w.t_s - lag_s);
            windows.iter().map(|w| (w.raw, place(w))).collect()
        };
        let steps = (LAG_MAX_S / LAG_STEP_S).round() as usize;
        let fits: Vec<(f64, Option<GazeMap>)> = (0..=steps)
            .map(|step| trimmed(&pairs_at(LAG_STEP_S * step as f64)))
            .collect();
        let best = (0..=steps)
            .min_by(|a, b| fits[*a].0.total_cmp(&fits[*b].0))
            .unwrap_or(0);
        let did_not = CalibrationError::Degenerate {
            what: "the gaze map",
            reason: "the eye did not follow the moving target. Follow it with the eyes, the head still, or calibrate by points",
        };
        let Some(map) = fits[best].1 else {
            return Err(did_not);
        };
        let lag_s = LAG_STEP_S * (best as f64 + vertex(&fits, best));
        let pairs = pairs_at(lag_s);
        let kept = follows(&windows, &pairs, &map);
        let pairs: Vec<Pair> = pairs
            .into_iter()
            .zip(kept)
            .filter_map(|(pair, kept)| kept.then_some(pair))
            .collect();
        if pairs.len() < WINDOWS_MIN || (pairs.len() as f64) < FOLLOWED_MIN * windows.len() as f64 {
            return Err(did_not);
        }
        Ok(Self {
            pairs,
            lag_s,
            windows: windows.len(),
        })
    }
}

fn windows_of(
    pursuit: usize,
    shown: &GazePursuit,
    samples: &[GazeSample],
    rule: FitRule,
) -> Vec<Window> {
    let usable = samples.iter().filter(|s| s.usable());
    let settled: Vec<(f64, &GazeSample)> = usable
        .map(|s| (s.t_s - shown.shown_s, s))
        .filter(|(t_s, _)| *t_s >= rule.settle_s)
        .collect();
    let number = |t_s: f64| (t_s / WINDOW_S) as i64;
    settled
        .chunk_by(|a, b| number(a.0) == number(b.0))
        .filter(|window| window.len() >= WINDOW_SAMPLES)
        .map(|window| {
            let middle = |of: &dyn Fn(&(f64, &GazeSample)) -> f64| {
                median(&window.iter().map(of).collect::<Vec<_>>())
            };
            Window {
                pursuit,
                t_s: middle(&|(t_s, _)| *t_s),
                raw: (middle(&|(_, s)| s.x), middle(&|(_, s)| s.y)),
            }
        })
        .collect()
}

/// Least trimmed squares, second order: the mean of the smallest [`TRUSTED`] squared distances, and its map. The affine map that it starts
/// from is found from triples drawn by a fixed
/// sequence, so that the same samples give the same map.
fn trimmed(pairs: &[Pair]) -> (f64, Option<GazeMap>) {
    let trusted = ((TRUSTED * pairs.len() as f64) as usize).max(8);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut draw = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % pairs.len()
    };
    let mut best = (f64::INFINITY, None);
    for _ in 0..STARTS {
        let start = [draw(), draw(), draw()].map(|i| pairs[i]);
        if let Ok(map) = GazeMap::least_squares(MapOrder::Affine, &start) {
            let (loss, _) = smallest(pairs, &map, trusted);
            if loss < best.0 {
                best = (loss, Some(map));
            }
        }
    }
    let (_, affine) = concentrate(pairs, best, MapOrder::Affine, trusted);
    // A bent tracker is neither a lag nor an eye that strays.
    let start = (f64::INFINITY, affine);
    concentrate(pairs, start, MapOrder::SecondOrder, trusted)
}

/// Fits again and again on the pairs that are nearest, as long as they come nearer.
fn concentrate(
    pairs: &[Pair],
    mut best: (f64, Option<GazeMap>),
    order: MapOrder,
    trusted: usize,
) -> (f64, Option<GazeMap>) {
    for _ in 0..ROUNDS {
        let Some(map) = best.1 else { break };
        let (_, near) = smallest(pairs, &map, trusted);
        let Ok(map) = GazeMap::least_squares(order, &near) else {
            break;
        };
        let (loss, _) = smallest(pairs, &map, trusted);
        if loss >= best.0 {
            break;
        }
        best = (loss, Some(map));
    }
    best
}

/// Mean of the smallest squared distances, and their pairs.
fn smallest(pairs: &[Pair], map: &GazeMap, count: usize) -> (f64, Vec<Pair>) {
    let mut all: Vec<(f64, Pair)> = pairs
        .iter()
        .map(|&((x, y), target)| (distance(map.apply(x, y), target).powi(2), ((x, y), target)))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.truncate(count);
    let sum: f64 = all.iter().map(|(d, _)| d).sum();
    (
        sum / count.max(1) as f64,
        all.into_iter().map(|(_, pair)| pair).collect(),
    )
}

/// How far beside the best step the parabola through it and its neighbours has its lowest point, -0.5 to 0.5 steps.
fn vertex(fits: &[(f64, Option<GazeMap>)], best: usize) -> f64 {
    let loss = |i: usize| fits.get(i).map(|fit| fit.0);
    let before = best.checked_sub(1).and_then(loss);
    match (before, loss(best), loss(best + 1)) {
        (Some(a), Some(b), Some(c)) if a + c - 2.0 * b > 0.0 => {
            (0.5 * (a - c) / (a + c - 2.0 * b)).clamp(-0.5, 0.5)
        }
        _ => 0.0,
    }
}

/// Which windows the eye follows in: it is near the target, and moves with it.
fn follows(windows: &[Window], pairs: &[Pair], map: &GazeMap) -> Vec<bool> {
    let gaze: Vec<(f64, f64)> = pairs.iter().map(|((x, y), _)| map.apply(*x, *y)).collect();
    let off: Vec<f64> = gaze
        .iter()
        .zip(pairs)
        .map(|(g, (_, target))| distance(*g, *target))
        .collect();
    let limit = (OFF_SDS * median(&off) / RAYLEIGH_MEDIAN).max(OFF_DEG);
    let moves_with = |i: usize, j: usize| {
        let neighbours = windows[i].pursuit == windows[j].pursuit
            && (windows[j].t_s - windows[i].t_s).abs() < 1.6 * WINDOW_S;
        let eye = (gaze[j].0 - gaze[i].0, gaze[j].1 - gaze[i].1);
        let target = (pairs[j].1.0 - pairs[i].1.0, pairs[j].1.1 - pairs[i].1.1);
        !neighbours || distance(eye, target) <= (STEP_SHARE * target.0.hypot(target.1)).max(OFF_DEG)
    };
    (0..windows.len())
        .map(|i| {
            off[i] <= limit
                && (i == 0 || moves_with(i - 1, i))
                && (i + 1 == windows.len() || moves_with(i, i + 1))
        })
        .collect()
}
