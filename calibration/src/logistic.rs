//! Logistic regression with an L2 penalty, by Newton's method.

use faer::{Mat, MatRef, Side, prelude::Solve};

use crate::density::logistic;
use crate::error::{CalibrationError, Result, same_size};
use crate::spd::degenerate;

/// A fitted regression: the log-odds of a target are `weights · x + bias`.
#[derive(Debug, Clone, PartialEq)]
pub struct Logistic {
    /// One weight per column.
    pub weights: Vec<f64>,
    /// The constant; not penalised.
    pub bias: f64,
}

/// Minimises `|w|² / 2 + c Σ ln(1 + exp(-y (w·x + b)))`, `y = ±1`: scikit-learn's `LogisticRegression(C=c)`. `rows` is row-major
/// `[labels.len()][width]`.
///
/// # Errors
/// [`CalibrationError::Shape`] when sizes do not fit, [`CalibrationError::TooFew`] without one of the classes,
/// [`CalibrationError::Degenerate`] when the iteration breaks down.
pub fn fit_logistic(rows: &[f64], width: usize, labels: &[bool], c: f64) -> Result<Logistic> {
    const ROUNDS: usize = 50;
    const TOLERANCE: f64 = 1e-9;
    let count = labels.len();
    same_size("values in the rows", count * width, rows.len())?;
    crate::error::finite("rows of a regression", rows)?;
    let targets = labels.iter().filter(|label| **label).count();
    if targets == 0 || targets == count {
        return Err(CalibrationError::TooFew {
            what: "epochs of the rarer class",
            found: 0,
            needed: 1,
        });
    }
    let odds = targets as f64 / (count - targets) as f64;
    let mut theta = Mat::<f64>::zeros(width + 1, 1);
    theta[(width, 0)] = odds.ln();
    let mut cost = objective(rows, labels, &theta, c);
    for _ in 0..ROUNDS {
        // Gradient and Hessian of the penalised loss, the constant as the last row and column.
        let mut curved = rows.to_vec();
        let mut gradient = Mat::<f64>::zeros(width + 1, 1);
        let mut residuals = Vec::with_capacity(count);
        let mut column = vec![0.0; width];
        let mut corner = 0.0;
        for (row, label) in curved.chunks_exact_mut(width).zip(labels) {
            let p = logistic(log_odds(row, &theta));
            residuals.push(p - f64::from(u8::from(*label)));
            let weight = (p * (1.0 - p)).max(1e-12);
            corner += weight;
            for (x, sum) in row.iter_mut().zip(&mut column) {
                *sum += weight * *x;
                *x *= weight.sqrt();
            }
        }
        for (row, residual) in rows.chunks_exact(width).zip(&residuals) {
            for (j, value) in row.iter().enumerate() {
                gradient[(j, 0)] += c * residual * value;
            }
            gradient[(width, 0)] += c * residual;
        }
        for j in 0..width {
            gradient[(j, 0)] += theta[(j, 0)];
        }
        let curved = MatRef::from_row_major_slice(&curved, count, width);
        let inner: Mat<f64> = curved.transpose() * curved;
        let hessian = Mat::from_fn(width + 1, width + 1, |i, j| match (i < width, j < width) {
            (true, true) => c * inner[(i, j)] + f64::from(u8::from(i == j)),
            (true, false) => c * column[i],
            (false, true) => c * column[j],
            (false, false) => c * corner,
        });
        let factor = hessian
            .llt(Side::Lower)
            .map_err(|_| degenerate("a logistic regression", "its Hessian is singular"))?;
        let step = factor.solve(&gradient);
        // Newton's step overshoots only from far away; halving it until the loss falls makes it safe.
        let mut scale = 1.0;
        let mut next = &theta - &step;
        let mut next_cost = objective(rows, labels, &next, c);
        while next_cost > cost && scale > 1e-6 {
            scale *= 0.5;
            next = Mat::from_fn(width + 1, 1, |i, _| theta[(i, 0)] - scale * step[(i, 0)]);
            next_cost = objective(rows, labels, &next, c);
        }
        let change = scale * step.norm_max();
        theta = next;
        cost = next_cost;
        if change < TOLERANCE {
            break;
        }
    }
    let weights: Vec<f64> = (0..width).map(|j| theta[(j, 0)]).collect();
    crate::error::finite("weights of a regression", &weights)?;
    Ok(Logistic {
        weights,
        bias: theta[(width, 0)],
    })
}

fn log_odds(row: &[f64], theta: &Mat<f64>) -> f64 {
    let width = row.len();
    row.iter()
        .enumerate()
        .map(|(j, x)| x * theta[(j, 0)])
        .sum::<f64>()
        + theta[(width, 0)]
}

fn objective(rows: &[f64], labels: &[bool], theta: &Mat<f64>, c: f64) -> f64 {
    let width = theta.nrows() - 1;
    let penalty: f64 = (0..width).map(|j| theta[(j, 0)].powi(2)).sum();
    let loss: f64 = rows
        .chunks_exact(width)
        .zip(labels)
        .map(|(row, label)| {
            let z = log_odds(row, theta);
            let signed = if *label { -z } else { z };
            // ln(1 + e^signed) without overflow.
            signed.max(0.0) + (-signed.abs()).exp().ln_1p()
        })
        .sum();
    0.5 * penalty + c * loss
}
