//! From score to log-likelihood ratio: heavy-tailed densities of the out-of-fold scores of each class.

use serde::{Deserialize, Serialize};

use crate::error::{CalibrationError, Result, finite, in_range};

/// Range of the degrees of freedom: at 3 the variance is still finite, at 100 the density is Gaussian for our purpose.
pub const DOF_RANGE: (f64, f64) = (3.0, 100.0);
/// Fewest scores from which a density is fitted.
const MIN_SCORES: usize = 5;

/// A Student-t density with location and scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentT {
    /// Location.
    pub location: f64,
    /// Scale, above 0; not the standard deviation.
    pub scale: f64,
    /// Degrees of freedom.
    pub dof: f64,
}

impl StudentT {
    /// Log-density at `x`, nats.
    #[must_use]
    pub fn ln_pdf(&self, x: f64) -> f64 {
        let z = (x - self.location) / self.scale;
        libm::lgamma((self.dof + 1.0) / 2.0)
            - libm::lgamma(self.dof / 2.0)
            - 0.5 * (self.dof * std::f64::consts::PI).ln()
            - self.scale.ln()
            - (self.dof + 1.0) / 2.0 * (z * z / self.dof).ln_1p()
    }

    /// Maximum-likelihood fit: location and scale by EM at given degrees of freedom, those by golden-section search
    /// over their logarithm within [`DOF_RANGE`] (ECME: Liu & Rubin, Statistica Sinica 5 (1995), section 3).
    ///
    /// # Errors
    /// [`CalibrationError::TooFew`] below 5 values, [`CalibrationError::Degenerate`] when all are equal,
    /// [`CalibrationError::NotFinite`].
    pub fn fit(values: &[f64]) -> Result<Self> {
        finite("scores", values)?;
        if values.len() < MIN_SCORES {
            return Err(CalibrationError::TooFew {
                what: "scores for a density",
                found: values.len(),
                needed: MIN_SCORES,
            });
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        if variance <= f64::EPSILON * mean * mean {
            return Err(CalibrationError::Degenerate {
                what: "the density of scores",
                reason: "all scores are equal",
            });
        }
        let start = Self {
            location: mean,
            scale: variance.sqrt(),
            dof: DOF_RANGE.1,
        };
        let cost = |ln_dof: f64| -> (f64, Self) {
            let fit = start.with_dof(ln_dof.exp()).maximise(values);
            (-values.iter().map(|&v| fit.ln_pdf(v)).sum::<f64>(), fit)
        };
        Ok(golden_section(DOF_RANGE.0.ln(), DOF_RANGE.1.ln(), cost))
    }

    fn with_dof(self, dof: f64) -> Self {
        Self { dof, ..self }
    }

    /// EM at constant degrees of freedom, from this start.
    fn maximise(mut self, values: &[f64]) -> Self {
        const ROUNDS: usize = 500;
        const TOLERANCE: f64 = 1e-10;
        for _ in 0..ROUNDS {
            let (mut weight, mut weighted) = (0.0, 0.0);
            let precision = |t: &Self, v: f64| {
                let z = (v - t.location) / t.scale;
                (t.dof + 1.0) / (t.dof + z * z)
            };
            for &v in values {
                let w = precision(&self, v);
                weight += w;
                weighted += w * v;
            }
            let location = weighted / weight;
            let square: f64 = values
                .iter()
                .map(|&v| precision(&self, v) * (v - location).powi(2))
                .sum();
            // Dividing by the sum of weights (parameter-expanded EM) has the same fixed point and needs fewer rounds.
            let scale = (square / weight).sqrt().max(f64::MIN_POSITIVE);
            let change =
                ((location - self.location) / scale).abs() + (scale / self.scale).ln().abs();
            self = Self {
                location,
                scale,
                ..self
            };
            if change < TOLERANCE {
                break;
            }
        }
        self
    }

    fn validate(&self, what: &'static str) -> Result<()> {
        finite(what, &[self.location, self.scale, self.dof])?;
        in_range(
            "scale of a density",
            self.scale,
            f64::MIN_POSITIVE,
            f64::MAX,
        )?;
        in_range(
            "degrees of freedom",
            self.dof,
            DOF_RANGE.0 - 1e-9,
            DOF_RANGE.1 + 1e-9,
        )
    }
}

/// Minimum of a function with one valley, to 1e-4 of its argument; returns what the function carries along.
fn golden_section<T>(mut low: f64, mut high: f64, cost: impl Fn(f64) -> (f64, T)) -> T {
    const RATIO: f64 = 0.618_033_988_749_894_8;
    let mut a = high - RATIO * (high - low);
    let mut b = low + RATIO * (high - low);
    let (mut at_a, mut at_b) = (cost(a), cost(b));
    while high - low > 1e-4 {
        if at_a.0 <= at_b.0 {
            high = b;
            (b, at_b) = (a, at_a);
            a = high - RATIO * (high - low);
            at_a = cost(a);
        } else {
            low = a;
            (a, at_a) = (b, at_b);
            b = low + RATIO * (high - low);
            at_b = cost(b);
        }
    }
    if at_a.0 <= at_b.0 { at_a.1 } else { at_b.1 }
}

/// Log-likelihood ratio of a score, clipped to what the calibration can support.
///
/// # The clip
/// Where none of `n` scores of a class fell, its true share there is below `3 / n` with 95 % confidence (rule of three). No
/// score can therefore speak for "target" by more than `ln(n_non_target / 3)`, nor against it by more than
/// `ln(n_target / 3)`, however thin the fitted tails are. Counts of 3 or fewer leave no evidence at all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreLikelihood {
    /// Density of target scores.
    pub target: StudentT,
    /// Density of non-target scores.
    pub non_target: StudentT,
    /// Smallest log-likelihood ratio given, nats, 0 or less.
    pub llr_min: f64,
    /// Largest log-likelihood ratio given, nats, 0 or more.
    pub llr_max: f64,
}

impl ScoreLikelihood {
    /// Fits both densities on out-of-fold scores.
    ///
    /// # Errors
    /// As [`StudentT::fit`]; [`CalibrationError::Shape`] when the lengths differ.
    pub fn fit(scores: &[f64], labels: &[bool]) -> Result<Self> {
        crate::error::same_size("labels", scores.len(), labels.len())?;
        let of = |target: bool| -> Vec<f64> {
            let pairs = scores.iter().zip(labels);
            pairs
                .filter(|(_, l)| **l == target)
                .map(|(s, _)| *s)
                .collect()
        };
        let (target, non_target) = (of(true), of(false));
        Ok(Self {
            llr_min: -supported_nats(target.len()),
            llr_max: supported_nats(non_target.len()),
            target: StudentT::fit(&target)?,
            non_target: StudentT::fit(&non_target)?,
        })
    }

    /// Log-likelihood ratio of target to non-target at `score`, nats, within `llr_min..=llr_max`.
    ///
    /// It rises between the two locations. Far outside both it returns towards a constant: a score such as calibration
    /// never saw is weak evidence.
    #[must_use]
    pub fn llr(&self, score: f64) -> f64 {
        (self.target.ln_pdf(score) - self.non_target.ln_pdf(score))
            .clamp(self.llr_min, self.llr_max)
    }

    /// Probability of a target at `score`, when a share `base_rate` of flashes are targets and the source is weighed by
    /// `reliability`: `logit p = reliability * llr + logit(base_rate)`.
    #[must_use]
    pub fn p_target(&self, score: f64, base_rate: f64, reliability: f64) -> f64 {
        posterior(self.llr(score), base_rate, reliability)
    }

    /// The likelihood for a classifier restricted to fewer channels, where a share `distance_ratio` of the squared
    /// Mahalanobis distance is left ([`crate::lda::RestrictedLda`]).
    ///
    /// A linear discriminant's scores have class means at plus and minus half the squared distance and that distance as
    /// their standard deviation, so locations shrink by the ratio and scales by its square root.
    #[must_use]
    pub fn restricted(&self, distance_ratio: f64) -> Self {
        let ratio = distance_ratio.clamp(1e-6, 1.0);
        let shrink = |t: StudentT| StudentT {
            location: t.location * ratio,
            scale: t.scale * ratio.sqrt(),
            dof: t.dof,
        };
        Self {
            target: shrink(self.target),
            non_target: shrink(self.non_target),
            ..*self
        }
    }

    /// Checks numbers and ranges, e.g. after reading from a file.
    ///
    /// # Errors
    /// [`CalibrationError::NotFinite`] or [`CalibrationError::OutOfRange`].
    pub fn validate(&self) -> Result<()> {
        self.target.validate("target density")?;
        self.non_target.validate("non-target density")?;
        in_range("smallest log-likelihood ratio", self.llr_min, -50.0, 0.0)?;
        in_range("largest log-likelihood ratio", self.llr_max, 0.0, 50.0)
    }
}

/// `ln(n / 3)`, at least 0.
fn supported_nats(count: usize) -> f64 {
    (count as f64 / 3.0).max(1.0).ln()
}

/// Logistic function without overflow.
#[must_use]
pub fn logistic(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// Posterior probability from a log-likelihood ratio (nats), a base rate within 0..1 and a reliability 0..=1.
#[must_use]
pub fn posterior(llr: f64, base_rate: f64, reliability: f64) -> f64 {
    logistic(reliability * llr + (base_rate / (1.0 - base_rate)).ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> ScoreLikelihood {
        let t = |location, dof| StudentT {
            location,
            scale: 1.5,
            dof,
        };
        ScoreLikelihood {
            target: t(2.0, 6.0),
            non_target: t(-3.0, 9.0),
            llr_min: -3.0,
            llr_max: 4.0,
        }
    }

    #[test]
    fn one_wild_score_does_not_move_the_density() {
        let clean: Vec<f64> = (0..200).map(|i| f64::from(i % 20) / 10.0).collect();
        let mut wild = clean.clone();
        wild.push(1e4);
        let (a, b) = (
            StudentT::fit(&clean).unwrap(),
            StudentT::fit(&wild).unwrap(),
        );
        assert!((a.location - b.location).abs() < 0.1, "{a:?} {b:?}");
        assert!(b.scale < 2.0 * a.scale, "{a:?} {b:?}");
    }

    #[test]
    fn equal_scores_are_refused() {
        assert!(matches!(
            StudentT::fit(&[2.0; 30]),
            Err(CalibrationError::Degenerate { .. })
        ));
    }

    #[test]
    fn the_clip_follows_the_rule_of_three() {
        let scores: Vec<f64> = (0..330).map(|i| f64::from(i % 33)).collect();
        let labels: Vec<bool> = (0..330).map(|i| i % 11 == 0).collect();
        let fit = ScoreLikelihood::fit(&scores, &labels).unwrap();
        assert!((fit.llr_max - 100.0_f64.ln()).abs() < 1e-12);
        assert!((fit.llr_min + 10.0_f64.ln()).abs() < 1e-12);
        assert_eq!(supported_nats(2), 0.0);
    }

    #[test]
    fn a_source_without_reliability_leaves_the_base_rate() {
        for score in [-100.0, 0.0, 100.0] {
            assert!((example().p_target(score, 0.2, 0.0) - 0.2).abs() < 1e-15);
        }
    }

    #[test]
    fn fewer_channels_say_less_about_a_typical_target() {
        let full = example();
        let half = full.restricted(0.5);
        assert!(half.llr(half.target.location) < full.llr(full.target.location));
        assert_eq!(full.restricted(1.0), full);
    }
}
