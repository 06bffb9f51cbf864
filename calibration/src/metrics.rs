//! How good scores and probabilities are: ROC, AUC with its interval, calibration of probabilities.

use serde::{Deserialize, Serialize};

use crate::error::{CalibrationError, Result, same_size};

/// Bins of the reliability diagram and of ECE.
pub const BINS: usize = 10;
/// Normal quantile of a two-sided 95 % interval.
const Z95: f64 = 1.959_963_984_540_054;

/// Area under the ROC curve with a 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auc {
    /// Probability that a random target scores above a random non-target, ties counted half.
    pub value: f64,
    /// Standard error (DeLong; of held-out scores widened by [`fold_inflation`]).
    pub standard_error: f64,
    /// Lower end of the 95 % interval.
    pub ci_low: f64,
    /// Upper end of the 95 % interval.
    pub ci_high: f64,
}

impl Auc {
    /// With its interval: normal on the logit scale, so that it stays within 0..1. An AUC of 0 or 1 keeps the interval that goes with
    /// this standard error on the plain scale.
    pub(crate) fn of(value: f64, standard_error: f64) -> Self {
        let (ci_low, ci_high) = if value > 0.0 && value < 1.0 {
            let logit = (value / (1.0 - value)).ln();
            let half = Z95 * standard_error / (value * (1.0 - value));
            (
                crate::density::logistic(logit - half),
                crate::density::logistic(logit + half),
            )
        } else {
            (
                (value - Z95 * standard_error).max(0.0),
                (value + Z95 * standard_error).min(1.0),
            )
        };
        Self {
            value,
            standard_error,
            ci_low,
            ci_high,
        }
    }

    /// Whether it can be told from chance: its 95 % interval lies above 0.5.
    #[must_use]
    pub fn above_chance(&self) -> bool {
        self.ci_low > 0.5
    }
}

/// By how much a standard error over `folds` folds is too small when it takes them for independent: `sqrt(1 + k/(k-1))`, as each
/// is scored by a classifier that shares its training with the others' (Nadeau & Bengio, Machine Learning 52 (2003), eq. 9, with
/// a test part of `1/(k-1)` of the training part). 1.45 for ten folds; on noise and on weak responses the AUC over all
/// held-out scores was seen to scatter 1.41 times as much as DeLong says, and its plain interval to hold in 84 of 100.
#[must_use]
pub fn fold_inflation(folds: usize) -> f64 {
    if folds < 2 {
        return 1.0;
    }
    let k = folds as f64;
    (1.0 + k / (k - 1.0)).sqrt()
}

/// [`auc`] of scores held out in so many folds: standard error and interval are widened by [`fold_inflation`].
///
/// # Errors
/// As [`auc`].
pub fn held_out_auc(scores: &[f64], labels: &[bool], folds: usize) -> Result<Auc> {
    auc_widened(scores, labels, fold_inflation(folds))
}

/// One point of the ROC curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RocPoint {
    /// Share of non-targets at or above the threshold.
    pub false_positive_rate: f64,
    /// Share of targets at or above the threshold.
    pub true_positive_rate: f64,
}

/// One bin of the reliability diagram: of the flashes given about this probability, how many were targets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReliabilityBin {
    /// Flashes in the bin.
    pub count: usize,
    /// Their mean probability, 0 when empty.
    pub mean_probability: f64,
    /// The share of targets among them, 0 when empty.
    pub observed: f64,
}

/// AUC by midranks with the variance of DeLong, DeLong & Clarke-Pearson (Biometrics 44, 1988), computed as in Sun & Xu
/// (IEEE Signal Processing Letters 21, 2014). The interval is normal on the logit scale and so stays within 0..1.
///
/// The scores are taken to be of one fixed model; of held-out scores see [`held_out_auc`]. Where every pair is in order, or none,
/// DeLong's variance is 0 and says nothing (Obuchowski & Lieber, Academic Radiology 9 (2002)). Then the interval is Wilson's of as many
/// hits without a miss as the smaller class has members: each brings one comparison that is independent of the others. The
/// standard error is its width over 1.96.
///
/// # Errors
/// [`CalibrationError::TooFew`] with fewer than 2 of either class; [`CalibrationError::Shape`];
/// [`CalibrationError::NotFinite`].
pub fn auc(scores: &[f64], labels: &[bool]) -> Result<Auc> {
    auc_widened(scores, labels, 1.0)
}

fn auc_widened(scores: &[f64], labels: &[bool], inflation: f64) -> Result<Auc> {
    let (targets, others) = split(scores, labels, 2)?;
    let (m, n) = (targets.len() as f64, others.len() as f64);
    let pooled: Vec<f64> = targets.iter().chain(&others).copied().collect();
    let rank_all = midranks(&pooled);
    let (rank_t, rank_o) = (midranks(&targets), midranks(&others));
    let value = (rank_all[..targets.len()].iter().sum::<f64>() - m * (m + 1.0) / 2.0) / (m * n);
    let v10: Vec<f64> = rank_all
        .iter()
        .zip(&rank_t)
        .map(|(all, own)| (all - own) / n)
        .collect();
    let v01: Vec<f64> = rank_all[targets.len()..]
        .iter()
        .zip(&rank_o)
        .map(|(all, own)| 1.0 - (all - own) / m)
        .collect();
    let standard_error = if value > 0.0 && value < 1.0 {
        inflation * (variance(&v10) / m + variance(&v01) / n).sqrt()
    } else {
        let count = m.min(n) / inflation.powi(2);
        (1.0 - wilson_interval(count, count).0) / Z95
    };
    Ok(Auc::of(value, standard_error))
}

/// The ROC curve from (0, 0) to (1, 1), one point per distinct score.
///
/// # Errors
/// As [`auc`], with at least 1 of either class.
pub fn roc(scores: &[f64], labels: &[bool]) -> Result<Vec<RocPoint>> {
    let (targets, others) = split(scores, labels, 1)?;
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let (mut hits, mut alarms) = (0_usize, 0_usize);
    let mut curve = vec![RocPoint {
        false_positive_rate: 0.0,
        true_positive_rate: 0.0,
    }];
    for tie in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let found = tie.iter().filter(|&&i| labels[i]).count();
        hits += found;
        alarms += tie.len() - found;
        curve.push(RocPoint {
            false_positive_rate: alarms as f64 / others.len() as f64,
            true_positive_rate: hits as f64 / targets.len() as f64,
        });
    }
    Ok(curve)
}

/// Ten equal bins of probability; bin `k` holds `k/10 <= p < (k+1)/10`, the last one also 1.
///
/// # Errors
/// [`CalibrationError::Shape`] when the lengths differ.
pub fn reliability_diagram(
    probabilities: &[f64],
    labels: &[bool],
) -> Result<[ReliabilityBin; BINS]> {
    same_size("labels", probabilities.len(), labels.len())?;
    let mut bins = [ReliabilityBin {
        count: 0,
        mean_probability: 0.0,
        observed: 0.0,
    }; BINS];
    for (&p, &label) in probabilities.iter().zip(labels) {
        // Casting saturates: below 0 and NaN fall into bin 0.
        let bin = &mut bins[((p * BINS as f64) as usize).min(BINS - 1)];
        bin.count += 1;
        bin.mean_probability += p;
        bin.observed += f64::from(u8::from(label));
    }
    for bin in bins.iter_mut().filter(|bin| bin.count > 0) {
        bin.mean_probability /= bin.count as f64;
        bin.observed /= bin.count as f64;
    }
    Ok(bins)
}

/// Expected calibration error: mean distance of a bin's mean probability from its share of targets, weighed by count.
#[must_use]
pub fn expected_calibration_error(bins: &[ReliabilityBin]) -> f64 {
    let total: usize = bins.iter().map(|bin| bin.count).sum();
    let weighted: f64 = bins
        .iter()
        .map(|bin| bin.count as f64 * (bin.mean_probability - bin.observed).abs())
        .sum();
    weighted / total.max(1) as f64
}

/// Brier score: mean squared distance of probability from outcome.
///
/// # Errors
/// [`CalibrationError::Shape`] when the lengths differ.
pub fn brier(probabilities: &[f64], labels: &[bool]) -> Result<f64> {
    mean_loss(probabilities, labels, |p, y| (p - y).powi(2))
}

/// Mean negative log-probability of the outcome, nats; probabilities are kept 1e-12 away from 0 and 1.
///
/// # Errors
/// [`CalibrationError::Shape`] when the lengths differ.
pub fn log_loss(probabilities: &[f64], labels: &[bool]) -> Result<f64> {
    mean_loss(probabilities, labels, |p, y| {
        let p = p.clamp(1e-12, 1.0 - 1e-12);
        -(y * p.ln() + (1.0 - y) * (1.0 - p).ln())
    })
}

/// Wilson's 95 % interval of a share of `hits` in `count`; (0, 1) when `count` is 0.
#[must_use]
pub fn wilson_interval(hits: f64, count: f64) -> (f64, f64) {
    if count <= 0.0 {
        return (0.0, 1.0);
    }
    let (p, z2) = (hits / count, Z95 * Z95);
    let centre = (p + z2 / (2.0 * count)) / (1.0 + z2 / count);
    let half =
        Z95 * (p * (1.0 - p) / count + z2 / (4.0 * count * count)).sqrt() / (1.0 + z2 / count);
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

fn mean_loss(
    probabilities: &[f64],
    labels: &[bool],
    loss: impl Fn(f64, f64) -> f64,
) -> Result<f64> {
    same_size("labels", probabilities.len(), labels.len())?;
    let sum: f64 = probabilities
        .iter()
        .zip(labels)
        .map(|(&p, &label)| loss(p, f64::from(u8::from(label))))
        .sum();
    Ok(sum / probabilities.len().max(1) as f64)
}

fn split(scores: &[f64], labels: &[bool], needed: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    same_size("labels", scores.len(), labels.len())?;
    crate::error::finite("scores", scores)?;
    let (mut targets, mut others) = (Vec::new(), Vec::new());
    for (&score, &label) in scores.iter().zip(labels) {
        if label {
            targets.push(score);
        } else {
            others.push(score);
        }
    }
    for (what, found) in [("targets", targets.len()), ("non-targets", others.len())] {
        if found < needed {
            return Err(CalibrationError::TooFew {
                what,
                found,
                needed,
            });
        }
    }
    Ok((targets, others))
}

/// Ranks from 1, ties sharing their mean.
fn midranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for tie in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = before as f64 + (tie.len() as f64 + 1.0) / 2.0;
        for &index in tie {
            ranks[index] = rank;
        }
        before += tie.len();
    }
    ranks
}

fn variance(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perfect_useless_and_inverted_scores_have_auc_one_half_and_zero() {
        let labels = [true, true, false, false];
        assert_eq!(auc(&[4.0, 3.0, 2.0, 1.0], &labels).unwrap().value, 1.0);
        assert_eq!(auc(&[1.0; 4], &labels).unwrap().value, 0.5);
        assert_eq!(auc(&[1.0, 2.0, 3.0, 4.0], &labels).unwrap().value, 0.0);
    }

    #[test]
    fn scores_without_a_mistake_have_an_interval_that_knows_how_few_they_are() {
        let perfect = |each: usize| {
            let labels: Vec<bool> = (0..2 * each).map(|i| i >= each).collect();
            let scores: Vec<f64> = (0..2 * each).map(|i| i as f64).collect();
            (scores, labels)
        };
        let (scores, labels) = perfect(2);
        let few = auc(&scores, &labels).unwrap();
        assert!(few.ci_high == 1.0 && !few.above_chance(), "{few:?}");
        let (scores, labels) = perfect(20);
        let more = auc(&scores, &labels).unwrap();
        // statsmodels.stats.proportion.proportion_confint(20, 20, method="wilson"): 0.8388748419471806.
        assert!((more.ci_low - 0.838_874_841_947_180_6).abs() < 1e-12);
        let held_out = held_out_auc(&scores, &labels, 10).unwrap();
        assert!(held_out.ci_low < more.ci_low && held_out.above_chance());
        let inverted: Vec<f64> = scores.iter().map(|score| -score).collect();
        let none = auc(&inverted, &labels).unwrap();
        assert!((none.ci_high - (1.0 - more.ci_low)).abs() < 1e-12 && none.ci_low == 0.0);
    }

    #[test]
    fn the_roc_curve_encloses_the_auc() {
        let scores: Vec<f64> = (0..97).map(|i| f64::from((i * 31) % 17)).collect();
        let labels: Vec<bool> = (0..97).map(|i| (i * 31) % 17 + i % 9 > 14).collect();
        let curve = roc(&scores, &labels).unwrap();
        let area: f64 = curve
            .windows(2)
            .map(|w| {
                (w[1].false_positive_rate - w[0].false_positive_rate)
                    * (w[1].true_positive_rate + w[0].true_positive_rate)
                    / 2.0
            })
            .sum();
        assert!((area - auc(&scores, &labels).unwrap().value).abs() < 1e-12);
    }

    #[test]
    fn honest_probabilities_have_no_calibration_error() {
        let probabilities: Vec<f64> = (0..100).map(|i| if i < 50 { 0.2 } else { 0.8 }).collect();
        let labels: Vec<bool> = (0..100)
            .map(|i| if i < 50 { i % 5 == 0 } else { i % 5 != 0 })
            .collect();
        let bins = reliability_diagram(&probabilities, &labels).unwrap();
        assert!(expected_calibration_error(&bins) < 1e-12);
        assert_eq!((bins[2].count, bins[8].count), (50, 50));
        assert!((brier(&probabilities, &labels).unwrap() - 0.16).abs() < 1e-12);
    }

    #[test]
    fn one_class_alone_has_no_auc() {
        assert!(matches!(
            auc(&[1.0, 2.0, 3.0], &[false; 3]),
            Err(CalibrationError::TooFew { found: 0, .. })
        ));
    }
}
