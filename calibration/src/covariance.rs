//! Shrinkage covariance, and symmetric matrices as they stand in the profile.

use faer::{Mat, MatRef, Side, prelude::Solve};
use serde::{Deserialize, Serialize};

use crate::error::{CalibrationError, Result, same_size};

/// A symmetric matrix, its upper triangle row by row: (0,0), (0,1) … (0,n-1), (1,1) …
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Symmetric {
    order: usize,
    upper: Vec<f64>,
}

impl Symmetric {
    /// Builds the matrix from its entries at `row <= column`.
    #[must_use]
    pub fn from_fn(order: usize, mut entry: impl FnMut(usize, usize) -> f64) -> Self {
        let mut upper = Vec::with_capacity(order * (order + 1) / 2);
        for row in 0..order {
            for column in row..order {
                upper.push(entry(row, column));
            }
        }
        Self { order, upper }
    }

    /// Rows (and columns).
    #[must_use]
    pub fn order(&self) -> usize {
        self.order
    }

    /// The stored triangle.
    #[must_use]
    pub fn upper(&self) -> &[f64] {
        &self.upper
    }

    /// The entry at (`row`, `column`).
    ///
    /// # Panics
    /// When either is `>= order()`, like a slice.
    #[must_use]
    pub fn get(&self, row: usize, column: usize) -> f64 {
        let (row, column) = (row.min(column), row.max(column));
        assert!(column < self.order, "column {column} of {}", self.order);
        // Rows before this one hold order, order - 1, … entries.
        self.upper[row * self.order - row * (row + 1) / 2 + column]
    }

    /// `a' * self * b`.
    ///
    /// # Panics
    /// When either is shorter than the order, like a slice.
    #[must_use]
    pub fn quadratic(&self, a: &[f64], b: &[f64]) -> f64 {
        let mut sum = 0.0;
        let mut entries = self.upper.iter();
        for row in 0..self.order {
            for (column, entry) in (row..self.order).zip(entries.by_ref()) {
                sum += if row == column {
                    entry * a[row] * b[row]
                } else {
                    entry * (a[row] * b[column] + a[column] * b[row])
                };
            }
        }
        sum
    }

    /// `keep * self + weight * ((1 - shrinkage) * x x' + shrinkage * diag(x x'))`: a step of rank one whose entries off the
    /// diagonal are shrunk.
    pub(crate) fn rank_one(&mut self, keep: f64, weight: f64, x: &[f64], shrinkage: f64) {
        let off = weight * (1.0 - shrinkage);
        let mut entries = self.upper.iter_mut();
        for (row, &a) in x.iter().enumerate().take(self.order) {
            for (column, entry) in (row..self.order).zip(entries.by_ref()) {
                let share = if column == row { weight } else { off };
                *entry = keep * *entry + share * a * x[column];
            }
        }
    }

    /// Checks that the triangle has as many entries as the order says, all finite.
    ///
    /// # Errors
    /// [`CalibrationError::Shape`] or [`CalibrationError::NotFinite`].
    pub fn validate(&self) -> Result<()> {
        let expected = self.order.saturating_mul(self.order.saturating_add(1)) / 2;
        same_size("covariance entries", expected, self.upper.len())?;
        crate::error::finite("covariance", &self.upper)
    }

    /// Solves `self[kept, kept] * x = right[kept]` by Cholesky, with `ridge` times the mean of the sub-block's diagonal
    /// added to the diagonal. Entries of `x` that are not kept are 0.
    ///
    /// # Errors
    /// [`CalibrationError::Degenerate`] when the sub-block is not positive definite,
    /// [`CalibrationError::Shape`] when `right` has another length.
    pub fn solve_sub_block(&self, kept: &[usize], right: &[f64], ridge: f64) -> Result<Vec<f64>> {
        same_size("right-hand side", self.order, right.len())?;
        let n = kept.len();
        if n == 0 {
            return Err(degenerate("no feature is left"));
        }
        let trace: f64 = kept.iter().map(|&i| self.get(i, i)).sum();
        let load = ridge * trace / n as f64;
        let block = Mat::from_fn(n, n, |i, j| {
            self.get(kept[i], kept[j]) + if i == j { load } else { 0.0 }
        });
        let factor = block
            .llt(Side::Lower)
            .map_err(|_| degenerate("a channel is flat, or two are copies of each other"))?;
        let solution = factor.solve(Mat::from_fn(n, 1, |i, _| right[kept[i]]));
        let mut out = vec![0.0; self.order];
        for (i, &feature) in kept.iter().enumerate() {
            out[feature] = solution[(i, 0)];
        }
        crate::error::finite("classifier weights", &out)?;
        Ok(out)
    }
}

fn degenerate(reason: &'static str) -> CalibrationError {
    CalibrationError::Degenerate {
        what: "the covariance",
        reason,
    }
}

/// A covariance shrunk towards a multiple of the identity.
#[derive(Debug, Clone, PartialEq)]
pub struct Shrunk {
    /// `(1 - shrinkage) * S + shrinkage * mean_variance * I`.
    pub covariance: Symmetric,
    /// Shrinkage intensity, 0 to 1.
    pub shrinkage: f64,
}

/// Ledoit-Wolf shrinkage of rows that are already centred.
///
/// `rows` is row-major `[rows.len() / width][width]`. Ledoit & Wolf, J. Multivariate Analysis 88 (2004), eq. 14 and Lemma
/// 3.2-3.4, with scikit-learn's `ledoit_wolf(X, assume_centered=True)` as the reference (agreement to 1e-9 relative is
/// tested); unlike scikit-learn, one column is shrunk by the same formula, which gives shrinkage 0.
///
/// # Errors
/// [`CalibrationError::Shape`] when the length is no multiple of `width`, [`CalibrationError::TooFew`] without rows,
/// [`CalibrationError::NotFinite`] for NaN or infinity.
pub fn ledoit_wolf(rows: &[f64], width: usize) -> Result<Shrunk> {
    if width == 0 || rows.is_empty() {
        return Err(CalibrationError::TooFew {
            what: "rows for a covariance",
            found: 0,
            needed: 1,
        });
    }
    let count = rows.len() / width;
    same_size("values in the rows", count * width, rows.len())?;
    crate::error::finite("rows for a covariance", rows)?;
    let (n, p) = (count as f64, width as f64);
    let x = MatRef::from_row_major_slice(rows, count, width);
    let gram: Mat<f64> = x.transpose() * x;

    // beta: mean squared distance of one row's outer product from S; delta: distance of S from its mean variance.
    let sum_fourth: f64 = rows
        .chunks_exact(width)
        .map(|row| row.iter().map(|v| v * v).sum::<f64>().powi(2))
        .sum();
    let trace: f64 = (0..width).map(|i| gram[(i, i)]).sum::<f64>() / n;
    let mean_variance = trace / p;
    let squared_norm = gram.squared_norm_l2() / (n * n);
    let beta = (sum_fourth / n - squared_norm) / (n * p);
    let delta =
        (squared_norm - 2.0 * mean_variance * trace + p * mean_variance * mean_variance) / p;
    let beta = beta.min(delta);
    let shrinkage = if beta > 0.0 && delta > 0.0 {
        beta / delta
    } else {
        0.0
    };
    let covariance = Symmetric::from_fn(width, |i, j| {
        let shrunk = (1.0 - shrinkage) * gram[(i, j)] / n;
        if i == j {
            shrunk + shrinkage * mean_variance
        } else {
            shrunk
        }
    });
    Ok(Shrunk {
        covariance,
        shrinkage,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packed_triangle_gives_both_halves() {
        let matrix = Symmetric::from_fn(4, |i, j| (10 * i + j) as f64);
        assert_eq!(matrix.get(1, 3), 13.0);
        assert_eq!(matrix.get(3, 1), 13.0);
        assert_eq!(matrix.get(3, 3), 33.0);
        assert_eq!(matrix.upper().len(), 10);
    }

    #[test]
    fn a_sub_block_is_solved_as_if_the_rest_were_not_there() {
        let matrix = Symmetric::from_fn(3, |i, j| if i == j { 2.0 } else { 0.5 });
        let x = matrix
            .solve_sub_block(&[0, 2], &[1.0, 9.0, 1.0], 0.0)
            .unwrap();
        // [2 .5; .5 2] x = [1; 1]  =>  x = 0.4
        assert!((x[0] - 0.4).abs() < 1e-15 && x[1] == 0.0 && (x[2] - 0.4).abs() < 1e-15);
    }

    #[test]
    fn white_noise_is_shrunk_almost_wholly_and_copies_hardly() {
        let mut state = 7_u64;
        let mut noise = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as f64 / (1_u64 << 31) as f64 - 0.5
        };
        let white: Vec<f64> = (0..50 * 20).map(|_| noise()).collect();
        assert!(ledoit_wolf(&white, 20).unwrap().shrinkage > 0.8);
        let copies: Vec<f64> = (0..500).flat_map(|_| [noise(); 4]).collect();
        assert!(ledoit_wolf(&copies, 4).unwrap().shrinkage < 0.05);
    }
}
