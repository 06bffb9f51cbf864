//! The map from a tracker's position to the screen: affine or second-order, fitted robustly.

use faer::{Mat, prelude::SolveLstsq};
use serde::{Deserialize, Serialize};

use crate::error::{CalibrationError, Result, finite};

/// Huber's constant: 95 % efficiency when errors are Gaussian.
const HUBER: f64 = 1.345;
/// Median of the length of a two-dimensional standard Gaussian vector.
const RAYLEIGH_MEDIAN: f64 = 1.177_410_022_515_474_7;
/// Rounds of reweighting.
const ROUNDS: usize = 100;

/// Terms of the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapOrder {
    /// 1, x, y.
    Affine,
    /// 1, x, y, x², xy, y².
    SecondOrder,
}

impl MapOrder {
    /// Number of coefficients per axis.
    #[must_use]
    pub const fn terms(self) -> usize {
        match self {
            Self::Affine => 3,
            Self::SecondOrder => 6,
        }
    }
}

/// A fitted map. Coefficients stand for 1, x, y, x², xy, y²; the last three are 0 in an affine map.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GazeMap {
    /// Terms in use.
    pub order: MapOrder,
    /// Coefficients of the horizontal position.
    pub x: [f64; 6],
    /// Coefficients of the vertical position.
    pub y: [f64; 6],
}

/// A pair of positions (x, y): as the tracker gave it, in its unit, and where the person looked, degrees.
pub(crate) type Pair = ((f64, f64), (f64, f64));

impl GazeMap {
    /// The map that changes nothing, for a tracker that gives degrees.
    pub const IDENTITY: Self = Self {
        order: MapOrder::Affine,
        x: [0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        y: [0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
    };

    /// Where on the screen a tracker's position is, degrees. Does not allocate.
    #[must_use]
    pub fn apply(&self, x: f64, y: f64) -> (f64, f64) {
        let terms = terms(x, y);
        let dot = |c: &[f64; 6]| c.iter().zip(&terms).map(|(a, b)| a * b).sum();
        (dot(&self.x), dot(&self.y))
    }

    /// Least squares with Huber weights on the distance of each pair, reweighted until nothing moves (Huber, Robust
    /// Statistics, 1981, section 7.8); the scale is the median distance, for as much freedom as the pairs leave beside the terms:
    /// without that, six terms on eight points end up passing through six of them.
    ///
    /// # Errors
    /// [`CalibrationError::TooFew`] with fewer pairs than terms, [`CalibrationError::Degenerate`] when the pairs do not
    /// determine the terms (points on one line), [`CalibrationError::NotFinite`].
    pub(crate) fn fit(order: MapOrder, pairs: &[Pair]) -> Result<Self> {
        if pairs.len() < order.terms() {
            return Err(CalibrationError::TooFew {
                what: "usable gaze points",
                found: pairs.len(),
                needed: order.terms(),
            });
        }
        let freedom = (1.0 - order.terms() as f64 / pairs.len() as f64).max(0.1);
        let mut weights = vec![1.0; pairs.len()];
        let mut map = weighted(order, pairs, &weights)?;
        for _ in 0..ROUNDS {
            let distances: Vec<f64> = pairs
                .iter()
                .map(|&((x, y), target)| distance(map.apply(x, y), target))
                .collect();
            let scale = median(&distances) / (RAYLEIGH_MEDIAN * freedom.sqrt());
            let limit = HUBER * scale;
            let mut moved = 0.0_f64;
            for (weight, &d) in weights.iter_mut().zip(&distances) {
                let new = if d > limit && limit > 1e-12 {
                    limit / d
                } else {
                    1.0
                };
                moved = moved.max((new - *weight).abs());
                *weight = new;
            }
            if moved < 1e-9 {
                break;
            }
            map = weighted(order, pairs, &weights)?;
        }
        Ok(map)
    }

    /// Plain least squares, for as many pairs as terms or more.
    ///
    /// # Errors
    /// As [`Self::fit`].
    pub(super) fn least_squares(order: MapOrder, pairs: &[Pair]) -> Result<Self> {
        weighted(order, pairs, &vec![1.0; pairs.len()])
    }

    /// Checks that all coefficients are finite.
    ///
    /// # Errors
    /// [`CalibrationError::NotFinite`].
    pub fn validate(&self) -> Result<()> {
        finite("gaze map", &self.x)?;
        finite("gaze map", &self.y)
    }
}

fn terms(x: f64, y: f64) -> [f64; 6] {
    [1.0, x, y, x * x, x * y, y * y]
}

/// Distance of two positions.
pub(crate) fn distance(a: (f64, f64), b: (f64, f64)) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

/// Median of finite values, 0 when there are none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]),
    }
}

/// Weighted least squares by Householder QR, columns scaled to unit length so that rank can be judged.
fn weighted(order: MapOrder, pairs: &[Pair], weights: &[f64]) -> Result<GazeMap> {
    let count = order.terms();
    let root: Vec<f64> = weights.iter().map(|w| w.sqrt()).collect();
    let mut design = Mat::from_fn(pairs.len(), count, |row, column| {
        let ((x, y), _) = pairs[row];
        root[row] * terms(x, y)[column]
    });
    let mut length = [0.0; 6];
    for (column, length) in length.iter_mut().enumerate().take(count) {
        *length = design.col(column).norm_l2();
        for row in 0..pairs.len() {
            design[(row, column)] /= length.max(f64::MIN_POSITIVE);
        }
    }
    let qr = design.qr();
    let diagonal: Vec<f64> = (0..count).map(|i| qr.R()[(i, i)].abs()).collect();
    // Columns have unit length: a diagonal entry is the sine of the angle to the span of the columns before it.
    if diagonal.iter().any(|d| d.is_nan() || *d < 1e-6) {
        return Err(CalibrationError::Degenerate {
            what: "the gaze map",
            reason: "the points lie on one line or in one place",
        });
    }
    let right = Mat::from_fn(pairs.len(), 2, |row, axis| {
        let (_, (x, y)) = pairs[row];
        root[row] * if axis == 0 { x } else { y }
    });
    let solution = qr.solve_lstsq(right);
    let mut map = GazeMap {
        order,
        x: [0.0; 6],
        y: [0.0; 6],
    };
    for (term, length) in length.iter().enumerate().take(count) {
        map.x[term] = solution[(term, 0)] / length;
        map.y[term] = solution[(term, 1)] / length;
    }
    map.validate()?;
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Vec<(f64, f64)> {
        [-10.0, 0.0, 10.0]
            .iter()
            .flat_map(|&x| [-6.0, 0.0, 6.0].map(|y| (x, y)))
            .collect()
    }

    #[test]
    fn a_second_order_distortion_is_recovered_exactly() {
        let truth = GazeMap {
            order: MapOrder::SecondOrder,
            x: [0.7, 1.05, -0.03, 0.002, -0.001, 0.003],
            y: [-0.4, 0.02, 0.97, 0.001, 0.002, -0.004],
        };
        let pairs: Vec<Pair> = grid().iter().map(|&p| (p, truth.apply(p.0, p.1))).collect();
        let map = GazeMap::fit(MapOrder::SecondOrder, &pairs).unwrap();
        for (a, b) in map
            .x
            .iter()
            .chain(&map.y)
            .zip(truth.x.iter().chain(&truth.y))
        {
            assert!((a - b).abs() < 1e-12, "{map:?}");
        }
    }

    #[test]
    fn one_point_where_the_person_looked_elsewhere_hardly_moves_the_map() {
        let mut pairs: Vec<Pair> = grid()
            .iter()
            .map(|&p| (p, (p.0 + 0.5, p.1 - 0.3)))
            .collect();
        // Fixational scatter keeps the scale honest.
        for (i, pair) in pairs.iter_mut().enumerate() {
            pair.0.0 += 0.05 * ((i * 7 % 5) as f64 - 2.0);
        }
        pairs[4].0 = (8.0, 5.0);
        let map = GazeMap::fit(MapOrder::Affine, &pairs).unwrap();
        let error = distance(map.apply(10.0, 6.0), (10.5, 5.7));
        assert!(error < 0.35, "{error}");
    }

    #[test]
    fn points_on_a_line_are_refused() {
        let pairs: Vec<Pair> = (0..9)
            .map(|i| ((f64::from(i), 2.0 * f64::from(i)), (f64::from(i), 0.0)))
            .collect();
        assert!(matches!(
            GazeMap::fit(MapOrder::Affine, &pairs),
            Err(CalibrationError::Degenerate { .. })
        ));
    }
}
