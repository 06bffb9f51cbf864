//! Probabilities of the options.

use serde::{Deserialize, Serialize};

use crate::fork::MAX_OPTIONS;

/// A smaller lead than this between the two best options is rounding, not preference.
const TIE: f64 = 1e-12;

/// Probabilities of a fork's options; they sum to 1. Holds no option before a gate was first opened.
///
/// In JSON a plain list, one number per option.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct Posterior {
    p: [f64; MAX_OPTIONS],
    options: usize,
}

/// The option that is ahead.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best {
    /// Its index; the first of equals.
    pub option: usize,
    /// Its probability.
    pub posterior: f64,
    /// Its probability minus that of the second.
    pub margin: f64,
}

/// A list that is no probability distribution over options.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PosteriorError {
    /// More entries than a fork can have options.
    #[error("{got} probabilities, but a fork has at most {max} options")]
    TooMany {
        /// Entries given.
        got: usize,
        /// Entries accepted.
        max: usize,
    },
    /// An entry lies outside 0..=1, or they do not sum to 1.
    #[error("probabilities must lie in 0..=1 and sum to 1, but sum to {sum}")]
    NotADistribution {
        /// Their sum.
        sum: f64,
    },
}

impl Posterior {
    /// No options at all.
    pub(super) const EMPTY: Self = Self {
        p: [0.0; MAX_OPTIONS],
        options: 0,
    };

    /// Certainty: probability 1 for `option`.
    pub(super) fn certain(option: usize, options: usize) -> Self {
        let mut p = [0.0; MAX_OPTIONS];
        if let Some(entry) = p.get_mut(option) {
            *entry = 1.0;
        }
        Self { p, options }
    }

    /// Normalises `exp(log)` over the first `options` entries, all of which are finite.
    pub(super) fn from_log(log: &[f64; MAX_OPTIONS], options: usize) -> Self {
        let max = log
            .iter()
            .take(options)
            .copied()
            .fold(f64::NEG_INFINITY, f64::max);
        let mut p = [0.0; MAX_OPTIONS];
        let mut sum = 0.0;
        for (entry, value) in p.iter_mut().zip(log).take(options) {
            *entry = (value - max).exp();
            sum += *entry;
        }
        // The best option contributes exp(0), so the sum is at least 1 unless there are no options.
        if sum > 0.0 {
            for entry in &mut p {
                *entry /= sum;
            }
        }
        Self { p, options }
    }

    /// The probabilities, one per option.
    #[must_use]
    pub fn as_slice(&self) -> &[f64] {
        self.p.get(..self.options).unwrap_or(&self.p)
    }

    /// Number of options.
    #[must_use]
    pub const fn options(&self) -> usize {
        self.options
    }

    /// The option that is ahead, the first of equals; index 0 with probability 0 when there are no options.
    #[must_use]
    pub fn best(&self) -> Best {
        let mut best = Best {
            option: 0,
            posterior: 0.0,
            margin: 0.0,
        };
        let mut second = 0.0;
        for (option, &p) in self.as_slice().iter().enumerate() {
            if p > best.posterior {
                second = best.posterior;
                best.option = option;
                best.posterior = p;
            } else if p > second {
                second = p;
            }
        }
        best.margin = best.posterior - second;
        best
    }

    /// What this distribution would choose; `None` when no single option is ahead, which is what a source that said nothing
    /// gives.
    #[must_use]
    pub fn pick(&self) -> Option<usize> {
        let best = self.best();
        (best.margin > TIE).then_some(best.option)
    }

    /// Information gained against `prior`: the Kullback-Leibler divergence of `self` from it, bits.
    ///
    /// `None` when the two are not over the same options, or `prior` rules out what `self` allows.
    #[must_use]
    pub fn bits_from(&self, prior: &Self) -> Option<f64> {
        if self.options != prior.options {
            return None;
        }
        let bits = self
            .as_slice()
            .iter()
            .zip(prior.as_slice())
            .filter(|&(&p, _)| p > 0.0)
            .map(|(p, q)| p * (p / q).log2())
            .sum::<f64>();
        bits.is_finite().then_some(bits)
    }
}

impl TryFrom<Vec<f64>> for Posterior {
    type Error = PosteriorError;

    fn try_from(values: Vec<f64>) -> Result<Self, PosteriorError> {
        if values.len() > MAX_OPTIONS {
            return Err(PosteriorError::TooMany {
                got: values.len(),
                max: MAX_OPTIONS,
            });
        }
        let sum: f64 = values.iter().sum();
        let inside = values.iter().all(|p| (0.0..=1.0).contains(p));
        if !values.is_empty() && (!inside || (sum - 1.0).abs() > 1e-9) {
            return Err(PosteriorError::NotADistribution { sum });
        }
        let mut p = [0.0; MAX_OPTIONS];
        for (entry, value) in p.iter_mut().zip(&values) {
            *entry = *value;
        }
        Ok(Self {
            p,
            options: values.len(),
        })
    }
}

impl From<Posterior> for Vec<f64> {
    fn from(posterior: Posterior) -> Self {
        posterior.as_slice().to_vec()
    }
}

/// The same fork as each source alone would see it: what every report compares.
///
/// `gaze`, `eeg` and `keyboard` start from equal odds, so that they say what that source alone knows; `fused` is what the gate
/// acts on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Arms {
    /// The capped prior, without any evidence.
    pub prior: Posterior,
    /// Gaze alone.
    pub gaze: Posterior,
    /// P300 alone.
    pub eeg: Posterior,
    /// Keys and switches alone.
    pub keyboard: Posterior,
    /// Prior and all evidence.
    pub fused: Posterior,
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Posterior {
        Posterior::try_from(values.to_vec()).unwrap()
    }

    #[test]
    fn json_keeps_every_bit() {
        let mut log = [0.0; MAX_OPTIONS];
        log[1] = 0.3;
        log[2] = -700.0;
        let posterior = Posterior::from_log(&log, 3);
        let json = serde_json::to_string(&posterior).unwrap();
        let back: Posterior = serde_json::from_str(&json).unwrap();
        assert_eq!(back, posterior);
    }

    #[test]
    fn a_list_that_is_no_distribution_is_refused() {
        for bad in [
            vec![0.5, 0.6],
            vec![f64::NAN],
            vec![-0.5, 1.5],
            vec![0.1; 9],
        ] {
            assert!(Posterior::try_from(bad).is_err());
        }
    }

    #[test]
    fn a_tie_picks_nothing_and_a_lead_picks_the_leader() {
        assert_eq!(of(&[0.25; 4]).pick(), None);
        assert_eq!(of(&[0.4, 0.4, 0.2]).pick(), None);
        assert_eq!(of(&[0.2, 0.5, 0.3]).pick(), Some(1));
        assert_eq!(Posterior::EMPTY.pick(), None);
    }

    #[test]
    fn certainty_from_one_in_four_is_two_bits() {
        let bits = Posterior::certain(2, 4).bits_from(&of(&[0.25; 4]));
        assert!((bits.unwrap() - 2.0).abs() < 1e-15);
        assert_eq!(
            Posterior::certain(0, 2).bits_from(&Posterior::certain(1, 2)),
            None
        );
    }
}
