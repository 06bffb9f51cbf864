//! Symmetric positive definite matrices: functions of them, their mean on the manifold, generalised eigenvectors.
//!
//! Matrices are row-major `[n][n]`. What is small (covariances of a dozen components) is decomposed by the same code
//! that runs in real time, [`razvilka_dsp::eigen`].

use razvilka_dsp::eigen::Eigen;

use crate::error::{CalibrationError, Result};

/// Rounds after which the mean is taken as it is; 6 to 12 are usual.
const ROUNDS_MAX: usize = 50;

pub(crate) fn degenerate(what: &'static str, reason: &'static str) -> CalibrationError {
    CalibrationError::Degenerate { what, reason }
}

/// `V diag(f(values)) V'`.
///
/// # Errors
/// [`CalibrationError::Degenerate`] when the matrix is not finite or `f` gives what is not.
pub(crate) fn function_of(
    matrix: &[f64],
    eigen: &mut Eigen,
    f: impl Fn(f64) -> f64,
) -> Result<Vec<f64>> {
    let n = eigen.values().len();
    if !eigen.decompose(&mut matrix.to_vec()) {
        return Err(degenerate("a covariance", "a value is not finite"));
    }
    let mut out = vec![0.0; n * n];
    for (value, vector) in eigen.values().iter().zip(eigen.vectors().chunks_exact(n)) {
        let scale = f(*value);
        if !scale.is_finite() {
            return Err(degenerate(
                "a covariance",
                "it is not positive definite: a channel is flat, or two are copies of each other",
            ));
        }
        for (row, x) in out.chunks_exact_mut(n).zip(vector) {
            for (to, y) in row.iter_mut().zip(vector) {
                *to += scale * x * y;
            }
        }
    }
    Ok(out)
}

/// `a b`, both `[n][n]`.
pub(crate) fn product(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
    let mut out = vec![0.0; n * n];
    for (row, to) in a.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        for (x, from) in row.iter().zip(b.chunks_exact(n)) {
            for (sum, y) in to.iter_mut().zip(from) {
                *sum += x * y;
            }
        }
    }
    out
}

/// `a b a'` for a symmetric `a`.
pub(crate) fn congruence(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
    product(&product(a, b, n), a, n)
}

/// The affine-invariant Riemannian mean of matrices, each `[n][n]`: gradient descent with pyRiemann's step rule
/// (`mean_riemann`; Fletcher et al. 2004; Congedo et al., PLoS ONE 10 (2015)), from the arithmetic mean, until the Frobenius
/// norm of the gradient is below `tolerance`.
///
/// # Errors
/// [`CalibrationError::Degenerate`] when a matrix is not positive definite or there is none.
pub(crate) fn riemannian_mean(matrices: &[Vec<f64>], n: usize, tolerance: f64) -> Result<Vec<f64>> {
    if matrices.is_empty() {
        return Err(degenerate("the mean of covariances", "there is none"));
    }
    let share = 1.0 / matrices.len() as f64;
    let mut mean = vec![0.0; n * n];
    for matrix in matrices {
        mean.iter_mut()
            .zip(matrix)
            .for_each(|(m, x)| *m += share * x);
    }
    let mut eigen = Eigen::new(n);
    let (mut step, mut before) = (1.0_f64, f64::MAX);
    for _ in 0..ROUNDS_MAX {
        let root = function_of(&mean, &mut eigen, f64::sqrt)?;
        let inverse_root = function_of(&mean, &mut eigen, |x| 1.0 / x.sqrt())?;
        let mut gradient = vec![0.0; n * n];
        for matrix in matrices {
            let seen = congruence(&inverse_root, matrix, n);
            let log = function_of(&seen, &mut eigen, f64::ln)?;
            gradient
                .iter_mut()
                .zip(&log)
                .for_each(|(g, x)| *g += share * x);
        }
        let length = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        gradient.iter_mut().for_each(|g| *g *= step);
        let forward = function_of(&gradient, &mut eigen, f64::exp)?;
        mean = congruence(&root, &forward, n);
        symmetrise(&mut mean, n);
        let progress = step * length;
        if progress < before {
            step *= 0.95;
            before = progress;
        } else {
            step *= 0.5;
        }
        if length <= tolerance || step <= tolerance {
            break;
        }
    }
    Ok(mean)
}

/// Removes what rounding left between the halves.
fn symmetrise(matrix: &mut [f64], n: usize) {
    for i in 0..n {
        for j in 0..i {
            let middle = 0.5 * (matrix[i * n + j] + matrix[j * n + i]);
            matrix[i * n + j] = middle;
            matrix[j * n + i] = middle;
        }
    }
}

/// Eigenvectors of `a v = lambda b v`, the largest eigenvalue first, each of unit length: row `k` is the `k`-th. `b` is positive
/// definite. Signs are those that make the largest entry positive.
///
/// # Errors
/// [`CalibrationError::Degenerate`] when `b` is singular.
pub(crate) fn generalised_eigenvectors(a: &[f64], b: &[f64], n: usize) -> Result<Vec<f64>> {
    let mut eigen = Eigen::new(n);
    // b^-1/2 a b^-1/2 u = lambda u, v = b^-1/2 u.
    let whitening = function_of(b, &mut eigen, |x| 1.0 / x.sqrt())?;
    let mut seen = congruence(&whitening, a, n);
    symmetrise(&mut seen, n);
    if !eigen.decompose(&mut seen) {
        return Err(degenerate("spatial filters", "a value is not finite"));
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| eigen.values()[j].total_cmp(&eigen.values()[i]));
    let mut out = Vec::with_capacity(n * n);
    for k in order {
        let u = &eigen.vectors()[k * n..(k + 1) * n];
        let v: Vec<f64> = whitening
            .chunks_exact(n)
            .map(|row| row.iter().zip(u).map(|(x, y)| x * y).sum())
            .collect();
        let length = v.iter().map(|x: &f64| x * x).sum::<f64>().sqrt();
        let peak = v
            .iter()
            .copied()
            .fold(0.0_f64, |p, x| if x.abs() > p.abs() { x } else { p });
        let scale = if peak < 0.0 {
            -1.0 / length
        } else {
            1.0 / length
        };
        out.extend(v.iter().map(|x| x * scale));
    }
    crate::error::finite("spatial filters", &out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_two_matrices_is_their_geometric_mean() {
        // Diagonal ones commute: the mean is entrywise geometric.
        let a = vec![4.0, 0.0, 0.0, 9.0];
        let b = vec![1.0, 0.0, 0.0, 16.0];
        let mean = riemannian_mean(&[a, b], 2, 1e-12).unwrap();
        for (x, truth) in mean.iter().zip([2.0, 0.0, 0.0, 12.0]) {
            assert!((x - truth).abs() < 1e-9, "{mean:?}");
        }
    }

    #[test]
    fn a_singular_matrix_is_refused() {
        let flat = vec![1.0, 1.0, 1.0, 1.0];
        assert!(riemannian_mean(&[flat], 2, 1e-9).is_err());
        assert!(generalised_eigenvectors(&[1.0, 0.0, 0.0, 1.0], &[0.0; 4], 2).is_err());
    }
}
