//! Distribution function of Student's t: from a statistic to a probability.

use std::f64::consts::PI;

use crate::score::ln_gamma_half_step;

/// Terms of the continued fraction, at most; it needs some `sqrt(dof)`.
const TERMS_MAX: u32 = 2_000;
/// Relative change of the fraction below which it has converged.
const CONVERGED: f64 = 1e-15;
/// More degrees of freedom than this are taken as this many: the difference is below 1e-6.
const DOF_MAX: f64 = 1e5;

/// Probability that a Student-t variable with `dof` degrees of freedom is at most `t`; `None` when `t` is not finite or `dof` is
/// below 1.
///
/// `1 - I_x(dof / 2, 1 / 2) / 2` for `t > 0` with `x = dof / (dof + t^2)` (Abramowitz & Stegun 26.7.1), the incomplete beta function
/// by its continued fraction (DLMF 8.17.22).
#[must_use]
pub fn student_cdf(t: f64, dof: f64) -> Option<f64> {
    if !t.is_finite() || dof.is_nan() || dof < 1.0 {
        return None;
    }
    let dof = dof.min(DOF_MAX);
    // x and 1 - x, neither by subtraction.
    let scaled = t / dof.sqrt();
    let squared = scaled * scaled;
    let x = 1.0 / (1.0 + squared);
    let rest = if squared.is_finite() {
        squared * x
    } else {
        1.0
    };
    let tail = 0.5 * incomplete_beta(x, rest, dof);
    Some(if t > 0.0 { 1.0 - tail } else { tail })
}

/// `I_x(dof / 2, 1 / 2)`, with `rest = 1 - x`.
fn incomplete_beta(x: f64, rest: f64, dof: f64) -> f64 {
    if rest <= 0.0 {
        return 1.0;
    }
    if x <= 0.0 {
        return 0.0;
    }
    let (a, b) = (dof / 2.0, 0.5);
    // 1 / B(a, 1/2) = Gamma(a + 1/2) / (Gamma(a) sqrt(pi)).
    let ln_front = ln_gamma_half_step(dof) - 0.5 * PI.ln() + a * x.ln() + b * rest.ln();
    let front = ln_front.exp();
    // The fraction converges fast on one side of the mean; the other side comes by symmetry.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(x, a, b) / a
    } else {
        1.0 - front * fraction(rest, b, a) / b
    }
}

/// The continued fraction of `I_x(a, b)`, by the modified Lentz method (Thompson & Barnett 1986).
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let off_zero = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / off_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    for m in 1..=TERMS_MAX {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            d = 1.0 / off_zero(1.0 + term * d);
            c = off_zero(1.0 + term / c);
            change = c * d;
            value *= change;
        }
        if (change - 1.0).abs() < CONVERGED {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_degree_of_freedom_is_cauchy_and_two_have_a_closed_form() {
        for t in [-40.0, -3.0, -0.5, 0.0, 0.1, 1.0, 7.0, 1e9] {
            let cauchy = 0.5 + f64::atan(t) / PI;
            assert!((student_cdf(t, 1.0).unwrap() - cauchy).abs() < 1e-13, "{t}");
            let two = 0.5 + t / (2.0 * (2.0 + t * t).sqrt());
            assert!((student_cdf(t, 2.0).unwrap() - two).abs() < 1e-13, "{t}");
        }
    }

    #[test]
    fn what_is_no_statistic_has_no_probability() {
        assert_eq!(student_cdf(f64::NAN, 5.0), None);
        assert_eq!(student_cdf(f64::INFINITY, 5.0), None);
        assert_eq!(student_cdf(1.0, 0.5), None);
        assert_eq!(student_cdf(1.0, f64::NAN), None);
        assert_eq!(student_cdf(1e300, 5.0), Some(1.0));
    }
}
