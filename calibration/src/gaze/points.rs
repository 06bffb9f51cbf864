//! Which points can be fitted on: enough samples, at one place.

use super::calibration::Rejection;
use super::map::{GazeMap, MapOrder, Pair, distance, median};
use super::{GazePoint, GazeSample, PointUse};

/// Fewest usable samples of a usable point.
pub(super) const MIN_SAMPLES: usize = 10;
/// A point with a smaller share of the samples that points usually have was mostly not seen.
const SAMPLES_SHARE: f64 = 0.3;
/// Three quarters of a two-dimensional standard Gaussian lie within this.
const RAYLEIGH_75: f64 = 1.665_109_222_315_395_6;
/// A point may scatter so much in any case, degrees (standard deviation of one axis) ...
const SCATTER_DEG: f64 = 1.5;
/// ... or so many times as much as the points usually do.
const SCATTER_RATIO: f64 = 4.0;

/// How samples become a fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitRule {
    /// Time after a point appears that the eye is given to arrive, seconds, 0 to 2; 0.5 by default.
    pub settle_s: f64,
}

impl Default for FitRule {
    fn default() -> Self {
        Self { settle_s: 0.5 }
    }
}

impl FitRule {
    /// Indices of the samples of a point after the eye has had time to arrive.
    pub(super) fn settled(self, point: &GazePoint) -> impl Iterator<Item = usize> + '_ {
        let from = point.shown_s + self.settle_s;
        let stamps = point.samples.iter().map(|s| s.t_s).enumerate();
        stamps.filter(move |(_, t_s)| *t_s >= from).map(|(i, _)| i)
    }
}

/// Where one eye was while it looked at a point.
pub(super) struct Fixated {
    /// Median, in the tracker's unit.
    pub(super) centre: (f64, f64),
    places: Vec<(f64, f64)>,
}

impl Fixated {
    /// The usable samples after the eye had time to arrive.
    pub(super) fn of(
        point: &GazePoint,
        samples: &[GazeSample],
        rule: FitRule,
    ) -> Result<Self, Rejection> {
        let settled = rule.settled(point).filter_map(|index| samples.get(index));
        let places: Vec<(f64, f64)> = settled.filter(|s| s.usable()).map(|s| (s.x, s.y)).collect();
        if places.len() < MIN_SAMPLES {
            return Err(Rejection::TooFewSamples {
                samples: places.len(),
                needed: MIN_SAMPLES,
            });
        }
        let middle =
            |axis: fn(&(f64, f64)) -> f64| median(&places.iter().map(axis).collect::<Vec<_>>());
        Ok(Self {
            centre: (middle(|p| p.0), middle(|p| p.1)),
            places,
        })
    }

    /// Standard deviation of one axis, by the radius that holds three quarters of the samples; degrees.
    fn scatter_deg(&self, map: &GazeMap) -> f64 {
        let centre = map.apply(self.centre.0, self.centre.1);
        let distances = self.places.iter();
        let mut distances: Vec<f64> = distances
            .map(|&(x, y)| distance(map.apply(x, y), centre))
            .collect();
        distances.sort_by(f64::total_cmp);
        let at = (3 * distances.len() / 4).min(distances.len().saturating_sub(1));
        distances.get(at).copied().unwrap_or(0.0) / RAYLEIGH_75
    }
}

/// A point on its way to be fitted on.
pub(super) struct Candidate {
    pub(super) target: (f64, f64),
    pub(super) use_as: PointUse,
    pub(super) fixated: Result<Fixated, Rejection>,
}

impl Candidate {
    /// Position and target, if it is usable.
    pub(super) fn pair(&self) -> Option<Pair> {
        Some((self.fixated.as_ref().ok()?.centre, self.target))
    }

    fn scatter_deg(&self, map: &GazeMap) -> Option<f64> {
        Some(self.fixated.as_ref().ok()?.scatter_deg(map))
    }
}

/// Takes out the points that the tracker mostly did not see.
pub(super) fn reject_scarce(candidates: &mut [Candidate]) {
    let counts = candidates
        .iter()
        .filter_map(|c| Some(c.fixated.as_ref().ok()?.places.len() as f64));
    let usual = median(&counts.collect::<Vec<f64>>());
    let needed = (SAMPLES_SHARE * usual).ceil() as usize;
    for candidate in candidates {
        let samples = match &candidate.fixated {
            Ok(fixated) if fixated.places.len() < needed => fixated.places.len(),
            _ => continue,
        };
        candidate.fixated = Err(Rejection::TooFewSamples { samples, needed });
    }
}

/// Takes out the points that scatter too much. `map` leads to degrees; without one, a first affine map of the points that are
/// fitted does, which then alone say how much is usual.
pub(super) fn reject_scattered(candidates: &mut [Candidate], map: Option<&GazeMap>) {
    let says = |c: &&Candidate| map.is_some() || c.use_as == PointUse::Fit;
    let pairs: Vec<Pair> = candidates
        .iter()
        .filter(says)
        .filter_map(Candidate::pair)
        .collect();
    let first = match map {
        Some(map) => *map,
        None => match GazeMap::fit(MapOrder::Affine, &pairs) {
            Ok(map) => map,
            // The fit that follows says what is wrong.
            Err(_) => return,
        },
    };
    let saying = candidates.iter().filter(says);
    let usual: Vec<f64> = saying.filter_map(|c| c.scatter_deg(&first)).collect();
    let limit_deg = (SCATTER_RATIO * median(&usual)).max(SCATTER_DEG);
    for candidate in candidates {
        if let Some(scatter_deg) = candidate.scatter_deg(&first)
            && scatter_deg > limit_deg
        {
            candidate.fixated = Err(Rejection::Scattered {
                scatter_deg,
                limit_deg,
            });
        }
    }
}
