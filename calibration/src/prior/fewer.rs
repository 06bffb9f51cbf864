//! A prior for fewer channels, where a person's electrode is bad or missing, without the recordings it came from.
//!
//! Both views are of aligned signals, and alignment mixes channels: a sub-block of the statistics would not do. Aligned block
//! means of the kept channels `K` are linear in those of all, `z_K = R_KK^-1/2 P R^1/2 z`, with the average covariance
//! `R` of the people for each person's own. A tangent vector is, to first order in the distance from the reference `M`, the matrix
//! `M^-1/2 (C - M) M^-1/2`, so that it too is mapped by a congruence with `M_KK^-1/2 P M^1/2`.

use razvilka_dsp::eigen::Eigen;

use super::{Prior, ViewPrior};
use crate::covariance::Symmetric;
use crate::error::{CalibrationError, Result, same_size};
use crate::spd::function_of;
use crate::xdawn::dense;

/// A rectangular matrix, row-major.
struct Map {
    rows: usize,
    columns: usize,
    entries: Vec<f64>,
}

impl Prior {
    /// The prior of those channels where `kept` is true. Keeping all of them changes nothing.
    ///
    /// # Errors
    /// [`CalibrationError::Shape`] when `kept` has another length, [`CalibrationError::TooFew`] when no channel is
    /// kept, [`CalibrationError::Degenerate`] when a covariance is singular.
    pub fn of_channels(&self, kept: &[bool]) -> Result<Self> {
        let n = self.channel_count();
        same_size("channels in the mask", n, kept.len())?;
        let places: Vec<usize> = (0..n).filter(|&channel| kept[channel]).collect();
        if places.is_empty() {
            return Err(CalibrationError::TooFew {
                what: "channels that the prior and this person share",
                found: 0,
                needed: 1,
            });
        }
        if places.len() == n {
            return Ok(self.clone());
        }
        let bins = self.prototype.len() / n;
        let spatial = Map::between(&self.channels, &places)?;
        let in_time = spatial.for_each_of(bins / 2);
        // Prototypes come first in the stack, signals after them.
        let stacked: Vec<usize> = places
            .iter()
            .copied()
            .chain(places.iter().map(|place| n + place))
            .collect();
        let in_tangent = Map::between(&self.reference, &stacked)?.of_tangent_vectors();
        let sub_block = |matrix: &Symmetric, places: &[usize]| {
            Symmetric::from_fn(places.len(), |i, j| matrix.get(places[i], places[j]))
        };
        let time = self.time.through(&in_time);
        let left = time.distance()? / self.time.distance()?.max(f64::MIN_POSITIVE);
        Ok(Self {
            prototype: places
                .iter()
                .flat_map(|place| self.prototype[place * bins..(place + 1) * bins].to_vec())
                .collect(),
            channels: sub_block(&self.channels, &places),
            reference: sub_block(&self.reference, &stacked),
            time,
            tangent: self.tangent.through(&in_tangent),
            outlook: self.outlook.as_ref().map(|o| o.with_distance(left)),
            ..*self
        })
    }
}

impl ViewPrior {
    fn through(&self, map: &Map) -> Self {
        let half = map.times_symmetric(&self.covariance);
        Self {
            difference: (0..map.rows)
                .map(|row| {
                    let weights = map.row(row).iter();
                    weights.zip(&self.difference).map(|(w, d)| w * d).sum()
                })
                .collect(),
            covariance: Symmetric::from_fn(map.rows, |i, j| {
                let left = &half[i * map.columns..(i + 1) * map.columns];
                left.iter().zip(map.row(j)).map(|(x, y)| x * y).sum()
            }),
        }
    }

    /// Squared Mahalanobis distance between the classes.
    fn distance(&self) -> Result<f64> {
        let every: Vec<usize> = (0..self.difference.len()).collect();
        let weights = self
            .covariance
            .solve_sub_block(&every, &self.difference, 1e-9)?;
        Ok(weights
            .iter()
            .zip(&self.difference)
            .map(|(w, d)| w * d)
            .sum())
    }
}

impl Map {
    /// `S_KK^-1/2 P S^1/2` for the rows `places` of `S`.
    fn between(matrix: &Symmetric, places: &[usize]) -> Result<Self> {
        let (n, m) = (matrix.order(), places.len());
        let colouring = function_of(&dense(matrix), &mut Eigen::new(n), f64::sqrt)?;
        let block = Symmetric::from_fn(m, |i, j| matrix.get(places[i], places[j]));
        let whitening = function_of(&dense(&block), &mut Eigen::new(m), |x| 1.0 / x.sqrt())?;
        let mut entries = vec![0.0; m * n];
        for (row, weights) in entries.chunks_exact_mut(n).zip(whitening.chunks_exact(m)) {
            for (weight, place) in weights.iter().zip(places) {
                let from = &colouring[place * n..(place + 1) * n];
                row.iter_mut().zip(from).for_each(|(y, x)| *y += weight * x);
            }
        }
        Ok(Self {
            rows: m,
            columns: n,
            entries,
        })
    }

    fn row(&self, row: usize) -> &[f64] {
        &self.entries[row * self.columns..(row + 1) * self.columns]
    }

    /// The same map for each of so many bins of `[channel][bin]`.
    fn for_each_of(&self, bins: usize) -> Self {
        let (rows, columns) = (self.rows * bins, self.columns * bins);
        let mut entries = vec![0.0; rows * columns];
        for (i, row) in entries.chunks_exact_mut(columns).enumerate() {
            for (j, weight) in self.row(i / bins).iter().enumerate() {
                row[j * bins + i % bins] = *weight;
            }
        }
        Self {
            rows,
            columns,
            entries,
        }
    }

    /// What the congruence `A L A'` does to the upper triangle of `L`, off-diagonal entries times the root of 2.
    fn of_tangent_vectors(&self) -> Self {
        const ROOT: f64 = std::f64::consts::SQRT_2;
        let pairs = |n: usize| -> Vec<(usize, usize)> {
            (0..n).flat_map(|i| (i..n).map(move |j| (i, j))).collect()
        };
        let (from, to) = (pairs(self.columns), pairs(self.rows));
        let mut entries = Vec::with_capacity(from.len() * to.len());
        for &(a, b) in &to {
            let out = if a == b { 1.0 } else { ROOT };
            for &(i, j) in &from {
                let (u, v) = (self.row(a), self.row(b));
                entries.push(if i == j {
                    out * u[i] * v[i]
                } else {
                    out / ROOT * (u[i] * v[j] + u[j] * v[i])
                });
            }
        }
        Self {
            rows: to.len(),
            columns: from.len(),
            entries,
        }
    }

    /// `A S`, row-major.
    fn times_symmetric(&self, matrix: &Symmetric) -> Vec<f64> {
        let full = dense(matrix);
        let n = self.columns;
        let mut out = vec![0.0; self.rows * n];
        for (row, to) in out.chunks_exact_mut(n).enumerate() {
            for (weight, from) in self.row(row).iter().zip(full.chunks_exact(n)) {
                if *weight != 0.0 {
                    to.iter_mut().zip(from).for_each(|(y, x)| *y += weight * x);
                }
            }
        }
        out
    }
}
