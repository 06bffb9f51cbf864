//! How far a source's log-likelihood ratios may be trusted: the reliability that the gate raises its evidence to.

use razvilka_dsp::score::ScoreDensity;

use crate::crossval::OutOfFold;
use crate::density::{fit_score_density, posterior};
use crate::error::{CalibrationError, Result, same_size};
use crate::metrics::held_out_auc;

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

/// Log-likelihood ratios of out-of-fold scores by densities fitted on the scores of the epochs apart from the fold
/// ([`OutOfFold::apart`]): neither the classifier nor the density was fitted on the epoch or on its neighbours in time. The scores
/// behind the density are of classifiers that, each for another fold, were trained on the epoch too.
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
    for (fold, apart) in scores.apart.iter().enumerate() {
        let other_scores: Vec<f64> = apart.iter().map(|&row| scores.scores[row]).collect();
        let other_labels: Vec<bool> = apart.iter().map(|&row| labels[row]).collect();
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

/// Probabilities of epochs that had no part in anything they come from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HeldOutProbabilities {
    /// Of a target, by evidence, reliability and base rate.
    pub(crate) p_target: Vec<f64>,
    /// Of a target, by the base rate alone.
    pub(crate) base: Vec<f64>,
}

/// Held-out probabilities: reliability and base rate of a fold are fitted on the epochs apart from it, by the rule that gives those of
/// the profile ([`earned_reliability`]), or the reliability is given. Only epochs that bring evidence count.
///
/// # Errors
/// [`crate::CalibrationError::Shape`] when the lengths differ.
pub(crate) fn held_out_probabilities(
    held_out: &OutOfFold,
    llrs: &[f64],
    labels: &[bool],
    evident: &[bool],
    given: Option<f64>,
) -> Result<HeldOutProbabilities> {
    same_size("labels", llrs.len(), labels.len())?;
    same_size("epochs that bring evidence", llrs.len(), evident.len())?;
    let mut out = HeldOutProbabilities {
        p_target: vec![0.0; labels.len()],
        base: vec![0.0; labels.len()],
    };
    for (fold, apart) in held_out.apart.iter().enumerate() {
        let rows: Vec<usize> = apart.iter().copied().filter(|&row| evident[row]).collect();
        let truth: Vec<bool> = rows.iter().map(|&row| labels[row]).collect();
        let targets = truth.iter().filter(|target| **target).count() as f64;
        // A count of a half more in either class, so that no class is impossible (Krichevsky & Trofimov 1981).
        let base_rate = (targets + 0.5) / (rows.len() as f64 + 1.0);
        let reliability = match given {
            Some(given) => given,
            None => {
                let scores: Vec<f64> = rows.iter().map(|&row| held_out.scores[row]).collect();
                let apart_llrs: Vec<f64> = rows.iter().map(|&row| llrs[row]).collect();
                earned_reliability(&scores, &apart_llrs, &truth, base_rate, held_out.folds)?
            }
        };
        for row in (0..labels.len()).filter(|&row| held_out.fold[row] == fold) {
            out.p_target[row] = posterior(llrs[row], base_rate, reliability);
            out.base[row] = base_rate;
        }
    }
    Ok(out)
}

/// The reliability that held-out scores have earned: [`fit_reliability`], and 0 where they cannot be told from chance, so that they
/// do not move the gate however the densities came out.
///
/// # Errors
/// [`crate::CalibrationError::Shape`] when the lengths differ.
pub(crate) fn earned_reliability(
    scores: &[f64],
    llrs: &[f64],
    labels: &[bool],
    base_rate: f64,
    folds: usize,
) -> Result<f64> {
    match held_out_auc(scores, labels, folds) {
        Ok(auc) if auc.above_chance() => fit_reliability(llrs, labels, base_rate),
        // Fewer than two of a class tell nothing either.
        Ok(_) | Err(CalibrationError::TooFew { .. }) => Ok(0.0),
        Err(other) => Err(other),
    }
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

    /// Six folds of 20 epochs, every fifth a target; neighbours of a fold are not apart from it.
    fn six_folds() -> (OutOfFold, Vec<bool>) {
        let labels: Vec<bool> = (0..120).map(|i| i % 5 == 2).collect();
        let scores = (0..120)
            .map(|i| f64::from((i * 37) % 19) / 6.0 + if i % 5 == 2 { 1.5 } else { 0.0 })
            .collect();
        let apart = (0..6_i32)
            .map(|fold| {
                let near = |i: i32| i >= 20 * fold - 2 && i < 20 * fold + 22;
                (0..120).filter(|&i| !near(i)).map(|i| i as usize).collect()
            })
            .collect();
        let held_out = OutOfFold {
            scores,
            fold: (0..120).map(|i| i / 20).collect(),
            folds: 6,
            apart,
        };
        (held_out, labels)
    }

    #[test]
    fn neither_a_fold_nor_its_neighbours_have_a_part_in_its_density() {
        let (held_out, labels) = six_folds();
        let before = held_out_llrs(&held_out, &labels).unwrap();
        let mut other = held_out.clone();
        // The two epochs before the third fold and the two behind it; and a fold far from it.
        for row in [38, 39, 60, 61] {
            other.scores[row] += 40.0;
        }
        let after = held_out_llrs(&other, &labels).unwrap();
        assert_eq!(before[40..60], after[40..60]);
        assert_ne!(before[100..120], after[100..120]);
    }

    #[test]
    fn reliability_and_base_rate_of_a_fold_do_not_know_its_labels() {
        let (held_out, labels) = six_folds();
        let llrs = held_out_llrs(&held_out, &labels).unwrap();
        let all = [true; 120];
        let p =
            |labels: &[bool]| held_out_probabilities(&held_out, &llrs, labels, &all, None).unwrap();
        let mut other = labels.clone();
        (40..60).for_each(|row| other[row] = row % 2 == 0);
        let (before, after) = (p(&labels), p(&other));
        assert_eq!(before.p_target[40..60], after.p_target[40..60]);
        assert_eq!(before.base[40..60], after.base[40..60]);
        assert!((100..120).all(|row| before.base[row] != after.base[row]));
        assert!((100..120).any(|row| before.p_target[row] != before.base[row]));
    }
}
