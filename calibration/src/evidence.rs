//! How far a source's log-likelihood ratios may be trusted: the reliability that the gate raises its evidence to.

use razvilka_dsp::score::ScoreDensity;

use crate::crossval::OutOfFold;
use crate::density::{fit_score_density, posterior};
use crate::error::{Result, same_size};

/// The reliability `a` within 0..=1 that minimises the log loss of `logit p = a * llr + logit(base_rate)`.
///
/// The loss is convex in `a` (logistic regression with one slope and a fixed offset), so its slope is bisected. 1 means that
/// the ratios may be taken at their word, 0 that they say nothing (or the opposite).
///
/// # Errors
/// [`crate::CalibrationError::Shape`] when the lengths differ.
pub fn fit_reliability(llrs: &[f64], labels: &[bool], base_rate: f64) -> Result<f64> {
    same_size("labels", llrs.len(), labels.len())?;
    let slope = |a: f64| -> f64 {
        llrs.iter()
            .zip(labels)
            .map(|(&llr, &label)| (posterior(llr, base_rate, a) - f64::from(u8::from(label))) * llr)
            .sum()
    };
    Ok(root_of_rising(slope))
}

/// Where a rising function on 0..=1 crosses zero; the nearer end when it does not.
pub(crate) fn root_of_rising(slope: impl Fn(f64) -> f64) -> f64 {
    const ROUNDS: usize = 52;
    if slope(0.0) >= 0.0 {
        return 0.0;
    }
    if slope(1.0) <= 0.0 {
        return 1.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..ROUNDS {
        let middle = 0.5 * (low + high);
        if slope(middle) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// Log-likelihood ratios of out-of-fold scores by densities fitted on the *other* folds' scores, so that neither the
/// classifier nor the density has seen the epoch.
///
/// # Errors
/// As [`fit_score_density`].
pub fn held_out_llrs(scores: &OutOfFold, labels: &[bool]) -> Result<Vec<f64>> {
    held_out_llrs_by(scores, labels, fit_score_density)
}

/// The same with densities fitted by `fit`.
///
/// # Errors
/// As `fit`.
pub(crate) fn held_out_llrs_by(
    scores: &OutOfFold,
    labels: &[bool],
    fit: impl Fn(&[f64], &[bool]) -> Result<ScoreDensity>,
) -> Result<Vec<f64>> {
    same_size("labels", scores.scores.len(), labels.len())?;
    let mut llrs = vec![0.0; labels.len()];
    for fold in 0..scores.folds {
        let (mut other_scores, mut other_labels) = (Vec::new(), Vec::new());
        for (index, &label) in labels.iter().enumerate() {
            if scores.fold[index] != fold {
                other_scores.push(scores.scores[index]);
                other_labels.push(label);
            }
        }
        let density = fit(&other_scores, &other_labels)?;
        for (index, llr) in llrs.iter_mut().enumerate() {
            if scores.fold[index] == fold {
                // A score that is not finite was refused by the fit already.
                *llr = density.llr(scores.scores[index]).unwrap_or(0.0);
            }
        }
    }
    Ok(llrs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::density::logistic;

    /// Labels that occur exactly as often as `truth * llr` says, at a base rate of one half.
    fn outcomes(truth: f64) -> (Vec<f64>, Vec<bool>) {
        let mut llrs = Vec::new();
        let mut labels = Vec::new();
        for step in -20..=20 {
            let llr = f64::from(step) / 5.0;
            let hits = (1000.0 * logistic(truth * llr)).round() as usize;
            for i in 0..1000 {
                llrs.push(llr);
                labels.push(i < hits);
            }
        }
        (llrs, labels)
    }

    #[test]
    fn the_overconfidence_of_a_source_is_found() {
        for truth in [0.0, 0.3, 0.7, 1.0] {
            let (llrs, labels) = outcomes(truth);
            let found = fit_reliability(&llrs, &labels, 0.5).unwrap();
            assert!((found - truth).abs() < 0.01, "{truth}: {found}");
        }
    }

    #[test]
    fn reliability_never_leaves_zero_to_one() {
        let (llrs, labels) = outcomes(3.0);
        assert_eq!(fit_reliability(&llrs, &labels, 0.5).unwrap(), 1.0);
        let (llrs, labels) = outcomes(-1.0);
        assert_eq!(fit_reliability(&llrs, &labels, 0.5).unwrap(), 0.0);
    }
}
