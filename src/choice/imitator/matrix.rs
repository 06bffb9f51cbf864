//! Products and Cholesky factors of a few rows, without allocation.

/// A lower triangular root of a covariance, which may be singular: what has no variance of its own gets none.
pub(super) fn root<const N: usize>(covariance: &[[f64; N]; N]) -> [[f64; N]; N] {
    let mut lower = [[0.0; N]; N];
    for i in 0..N {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| lower[i][k] * lower[j][k]).sum();
            let left = covariance[i][j] - known;
            lower[i][j] = if i == j {
                left.max(0.0).sqrt()
            } else if lower[j][j] > 1e-12 {
                left / lower[j][j]
            } else {
                0.0
            };
        }
    }
    lower
}

pub(super) fn dot<const D: usize>(a: &[f64; D], b: &[f64; D]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(super) fn difference<const D: usize>(a: &[f64; D], b: &[f64; D]) -> [f64; D] {
    std::array::from_fn(|i| a[i] - b[i])
}

pub(super) fn times<const D: usize>(matrix: &[[f64; D]; D], vector: &[f64; D]) -> [f64; D] {
    std::array::from_fn(|i| dot(&matrix[i], vector))
}

/// The lower Cholesky factor of a symmetric matrix.
pub(super) struct Factor<const D: usize>([[f64; D]; D]);

impl<const D: usize> Factor<D> {
    /// `None` unless the matrix is positive definite.
    pub(super) fn of(matrix: &[[f64; D]; D]) -> Option<Self> {
        let mut lower = [[0.0; D]; D];
        for i in 0..D {
            for j in 0..=i {
                let known: f64 = (0..j).map(|k| lower[i][k] * lower[j][k]).sum();
                let left = matrix[i][j] - known;
                lower[i][j] = if i == j {
                    (left > 0.0 && left.is_finite()).then(|| left.sqrt())?
                } else {
                    left / lower[j][j]
                };
            }
        }
        Some(Self(lower))
    }

    pub(super) fn solve(&self, right: &[f64; D]) -> [f64; D] {
        let lower = &self.0;
        let mut x = *right;
        for i in 0..D {
            let known: f64 = (0..i).map(|k| lower[i][k] * x[k]).sum();
            x[i] = (x[i] - known) / lower[i][i];
        }
        for i in (0..D).rev() {
            let known: f64 = (i + 1..D).map(|k| lower[k][i] * x[k]).sum();
            x[i] = (x[i] - known) / lower[i][i];
        }
        x
    }

    pub(super) fn inverse(&self) -> [[f64; D]; D] {
        let mut inverse = [[0.0; D]; D];
        for (i, row) in inverse.iter_mut().enumerate() {
            let mut unit = [0.0; D];
            unit[i] = 1.0;
            *row = self.solve(&unit);
        }
        inverse
    }
}
