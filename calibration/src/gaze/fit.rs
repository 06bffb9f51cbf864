//! One eye: from points or a moving target to a map. Its order is chosen by the error on what each fit left out, not by how well
//! it passes through what it was fitted on.

use super::calibration::{PursuitResult, Rejection};
use super::map::{GazeMap, MapOrder, Pair, distance};
use super::points::{Candidate, FitRule, Fixated, reject_scarce, reject_scattered};
use super::pursuit::Followed;
use super::{GazeInput, GazePoint, GazePursuit, GazeSample, PointUse};
use crate::error::{CalibrationError, Result};

/// Fewest usable points for an affine map, so that one can be left out.
const MIN_POINTS: usize = 4;
/// Fewest points for a second-order map, so that one can be left out.
const MIN_POINTS_SECOND_ORDER: usize = 7;
/// Parts of a pursuit, of which each is left out in turn.
const PURSUIT_PARTS: usize = 8;

/// Which samples are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// Those of both eyes together, or of the one position there is.
    Both,
    Left,
    Right,
}

impl View {
    pub(super) fn of_point(self, point: &GazePoint) -> &[GazeSample] {
        match (self, &point.eyes) {
            (Self::Both, _) => &point.samples,
            (Self::Left, Some(eyes)) => &eyes.left,
            (Self::Right, Some(eyes)) => &eyes.right,
            (_, None) => &[],
        }
    }

    fn of_pursuit(self, pursuit: &GazePursuit) -> &[GazeSample] {
        match (self, &pursuit.eyes) {
            (Self::Both, _) => &pursuit.samples,
            (Self::Left, Some(eyes)) => &eyes.left,
            (Self::Right, Some(eyes)) => &eyes.right,
            (_, None) => &[],
        }
    }
}

/// The map of one eye, and what it is judged by.
pub(super) struct EyeFit {
    pub(super) map: GazeMap,
    pub(super) affine_deg: Option<f64>,
    pub(super) second_order_deg: Option<f64>,
    pub(super) pursuit: Option<PursuitResult>,
    /// Per point: its middle in the tracker's unit, or why there is none.
    pub(super) centres: Vec<std::result::Result<(f64, f64), Rejection>>,
    /// Per point: the map without it; `None` where it took no part in the fit, or the others determine no map.
    without: Vec<Option<GazeMap>>,
    /// Per point: whether the map was fitted on it.
    fitted_on: Vec<bool>,
}

impl EyeFit {
    /// # Errors
    /// As [`super::calibrate_gaze`].
    pub(super) fn of(input: &GazeInput, view: View, rule: FitRule) -> Result<Self> {
        let mut candidates: Vec<Candidate> = input
            .points
            .iter()
            .map(|point| Candidate {
                target: (point.x_deg, point.y_deg),
                use_as: point.use_as,
                fixated: Fixated::of(point, view.of_point(point), rule),
            })
            .collect();
        let given = if input.calibrated {
            Some((Chosen::given(), None))
        } else if input.pursuits.is_empty() {
            None
        } else {
            let seen: Vec<_> = input
                .pursuits
                .iter()
                .map(|pursuit| (pursuit, view.of_pursuit(pursuit)))
                .collect();
            let followed = Followed::of(&seen, rule)?;
            let part = followed.pairs.len().div_ceil(PURSUIT_PARTS).max(1);
            let parts: Vec<Vec<Pair>> = followed.pairs.chunks(part).map(<[Pair]>::to_vec).collect();
            let chosen = Chosen::of(&parts)?;
            let result = PursuitResult::of(&followed, &chosen.map);
            Some((chosen, Some(result)))
        };
        reject_scarce(&mut candidates);
        reject_scattered(
            &mut candidates,
            given.as_ref().map(|(chosen, _)| &chosen.map),
        );
        let (chosen, pursuit, fitted_on) = match given {
            Some((chosen, pursuit)) => (chosen, pursuit, vec![false; candidates.len()]),
            None => {
                let is_fit = |c: &Candidate| c.use_as == PointUse::Fit && c.fixated.is_ok();
                let fitted_on: Vec<bool> = candidates.iter().map(is_fit).collect();
                let fit = candidates.iter().filter(|c| is_fit(c));
                let parts: Vec<Vec<Pair>> = fit.filter_map(|c| Some(vec![c.pair()?])).collect();
                if parts.len() < MIN_POINTS {
                    return Err(CalibrationError::TooFew {
                        what: "gaze points with enough valid samples at one place",
                        found: parts.len(),
                        needed: MIN_POINTS,
                    });
                }
                (Chosen::of(&parts)?, None, fitted_on)
            }
        };
        let mut left_out = chosen.without.iter().copied();
        let without = fitted_on
            .iter()
            .map(|fitted| fitted.then(|| left_out.next()).flatten().flatten())
            .collect();
        Ok(Self {
            map: chosen.map,
            affine_deg: chosen.affine_deg,
            second_order_deg: chosen.second_order_deg,
            pursuit,
            centres: candidates
                .into_iter()
                .map(|c| c.fixated.map(|f| f.centre))
                .collect(),
            without,
            fitted_on,
        })
    }

    /// The map that judges point number `point`, and whether it was fitted without it. Fit points are judged as they are where
    /// check points are there to do it better.
    pub(super) fn judge(&self, point: usize, checks: bool) -> (GazeMap, bool) {
        let fitted = self.fitted_on.get(point).copied().unwrap_or(false);
        match self.without.get(point).copied().flatten() {
            _ if !fitted => (self.map, true),
            Some(map) if !checks => (map, true),
            _ => (self.map, false),
        }
    }
}

/// A map of the order that does better on what is left out.
struct Chosen {
    map: GazeMap,
    affine_deg: Option<f64>,
    second_order_deg: Option<f64>,
    /// Per part: the map of the others.
    without: Vec<Option<GazeMap>>,
}

impl Chosen {
    /// Degrees already.
    fn given() -> Self {
        Self {
            map: GazeMap::IDENTITY,
            affine_deg: None,
            second_order_deg: None,
            without: Vec::new(),
        }
    }

    fn of(parts: &[Vec<Pair>]) -> Result<Self> {
        let all: Vec<Pair> = parts.concat();
        let affine = leave_out(MapOrder::Affine, parts);
        let affine_deg = mean_error(parts, &affine);
        let second = (parts.len() >= MIN_POINTS_SECOND_ORDER)
            .then(|| leave_out(MapOrder::SecondOrder, parts))
            // A pattern such as a cross determines the affine terms only.
            .filter(|maps| maps.iter().all(Option::is_some));
        let second_order_deg = second.as_ref().map(|maps| mean_error(parts, maps));
        let (order, without) = match (second, second_order_deg) {
            (Some(maps), Some(deg)) if deg < affine_deg => (MapOrder::SecondOrder, maps),
            _ => (MapOrder::Affine, affine),
        };
        Ok(Self {
            map: GazeMap::fit(order, &all)?,
            affine_deg: Some(affine_deg),
            second_order_deg,
            without,
        })
    }
}

/// Per part the map of the others; `None` where they determine none.
fn leave_out(order: MapOrder, parts: &[Vec<Pair>]) -> Vec<Option<GazeMap>> {
    (0..parts.len())
        .map(|left_out| {
            let others = parts.iter().enumerate();
            let others: Vec<Pair> = others
                .filter(|(index, _)| *index != left_out)
                .flat_map(|(_, part)| part.iter().copied())
                .collect();
            GazeMap::fit(order, &others).ok()
        })
        .collect()
}

/// Mean distance of each pair from where the map of the other parts puts it.
fn mean_error(parts: &[Vec<Pair>], maps: &[Option<GazeMap>]) -> f64 {
    let errors = parts.iter().zip(maps).flat_map(|(part, map)| {
        let of = |&((x, y), target): &Pair| Some(distance((*map)?.apply(x, y), target));
        part.iter().filter_map(of)
    });
    let (sum, n) = errors.fold((0.0, 0.0), |(sum, n), e| (sum + e, n + 1.0));
    sum / f64::max(n, 1.0)
}
