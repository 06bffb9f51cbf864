//! Seeded resampling: what a calibration says beyond its own flashes, with intervals.

use crate::error::{Result, same_size};
use crate::metrics::{RocPoint, fold_inflation, roc};

/// Seed of everything that is drawn for the report.
pub const REPORT_SEED: u64 = 20_250_301;
/// Options of the forks that are drawn.
pub const FORK_OPTIONS: usize = 5;
/// Items that flash in them: the options and a filler.
pub const FORK_ITEMS: usize = 6;
/// Most rounds of flashes.
pub const ROUNDS_MAX: usize = 10;
/// Forks drawn for the share itself.
pub const FORKS: usize = 10_000;
/// Forks drawn in each resample.
pub const FORKS_RESAMPLED: usize = 500;
/// Resamples of the folds, for an interval.
pub const RESAMPLES: usize = 200;
/// Steps of the false positive rate at which the ROC's band is given.
const ROC_STEPS: usize = 50;

/// How often a choice is right after so many rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AccuracyPoint {
    /// Flashes of each item.
    pub rounds: usize,
    /// Share of forks where the wanted option had the largest sum of log-likelihood ratios, ties counted in part.
    pub share: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
}

/// The ROC curve's 95 % interval at one false positive rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RocBand {
    /// Share of non-targets at or above the threshold.
    pub false_positive_rate: f64,
    /// Lower end for the share of targets.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// SplitMix64 (Steele, Lea & Flood, OOPSLA 2014).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `count`, by the upper bits of a product; the bias is below 2^-32.
    fn below(&mut self, count: usize) -> usize {
        (((self.next() >> 32) * count as u64) >> 32) as usize
    }

    /// Whether something of this probability happens.
    fn happens(&mut self, probability: f64) -> bool {
        ((self.next() >> 11) as f64) < probability * (1_u64 << 53) as f64
    }

    fn one_of(&mut self, values: &[f64]) -> f64 {
        let place = self.below(values.len());
        values.get(place).copied().unwrap_or(0.0)
    }
}

/// How often the right one of five options would be chosen after 1 to 10 rounds in which each of six items (the options and a
/// filler, which cannot be chosen) flashes once.
///
/// The log-likelihood ratios of the flashes are drawn with replacement from the held-out ones, those of the wanted option from the
/// targets', as if epochs were independent: overlap of neighbours, attention that wanes within a fork and priors are not in it.
/// A share `silent` of the flashes, those that are left out or in doubt, brings no evidence.
/// The interval is the percentiles over resamples of the folds, each drawn whole, so that it knows slow changes; the distances of
/// its ends are widened by [`fold_inflation`], as the folds share their training.
///
/// # Errors
/// [`crate::CalibrationError::Shape`] when lengths differ. Without an epoch of either class there is no point.
pub fn accuracy_by_rounds(
    llrs: &[f64],
    labels: &[bool],
    fold: &[usize],
    silent: f64,
    seed: u64,
) -> Result<Vec<AccuracyPoint>> {
    same_size("labels", llrs.len(), labels.len())?;
    same_size("folds of the epochs", llrs.len(), fold.len())?;
    let of = |rows: &[usize], class: bool| -> Vec<f64> {
        let rows = rows.iter().filter(|&&row| labels[row] == class);
        rows.map(|&row| llrs[row]).collect()
    };
    let all: Vec<usize> = (0..llrs.len()).collect();
    let mut draw = Draw(seed);
    let (targets, others) = (of(&all, true), of(&all, false));
    if targets.is_empty() || others.is_empty() {
        return Ok(Vec::new());
    }
    let shares = shares_right(&targets, &others, silent, FORKS, &mut draw);
    let members = members_of(fold);
    let mut resampled = vec![Vec::new(); ROUNDS_MAX];
    for _ in 0..RESAMPLES {
        let rows = folds_drawn(&members, &mut draw);
        let (targets, others) = (of(&rows, true), of(&rows, false));
        if targets.is_empty() || others.is_empty() {
            continue;
        }
        let again = shares_right(&targets, &others, silent, FORKS_RESAMPLED, &mut draw);
        for (all, share) in resampled.iter_mut().zip(again) {
            all.push(share);
        }
    }
    let points = shares.iter().zip(&mut resampled).enumerate();
    Ok(points
        .map(|(index, (&share, again))| {
            let (low, high) = widened(interval(again), share, members.len());
            AccuracyPoint {
                rounds: index + 1,
                share,
                low,
                high,
            }
        })
        .collect())
}

/// The 95 % interval of the ROC curve at 51 false positive rates: percentiles over resamples of the folds, each drawn whole, their
/// distance from the curve widened by [`fold_inflation`] as the AUC's interval is.
///
/// # Errors
/// [`crate::CalibrationError::Shape`] when lengths differ.
pub fn roc_band(
    scores: &[f64],
    labels: &[bool],
    fold: &[usize],
    seed: u64,
) -> Result<Vec<RocBand>> {
    same_size("labels", scores.len(), labels.len())?;
    same_size("folds of the epochs", scores.len(), fold.len())?;
    let members = members_of(fold);
    let mut draw = Draw(seed);
    let mut resampled = vec![Vec::new(); ROC_STEPS + 1];
    for _ in 0..RESAMPLES {
        let rows = folds_drawn(&members, &mut draw);
        let scores: Vec<f64> = rows.iter().map(|&row| scores[row]).collect();
        let labels: Vec<bool> = rows.iter().map(|&row| labels[row]).collect();
        // A resample without one of the classes has no curve.
        let Ok(curve) = roc(&scores, &labels) else {
            continue;
        };
        for (step, rates) in resampled.iter_mut().enumerate() {
            rates.push(rate_at(&curve, step as f64 / ROC_STEPS as f64));
        }
    }
    // Without both classes there is no curve to be near to, and the interval is everything.
    let whole = roc(scores, labels).unwrap_or_default();
    let bands = resampled.iter_mut().enumerate();
    Ok(bands
        .map(|(step, rates)| {
            let at = rate_at(&whole, step as f64 / ROC_STEPS as f64);
            let (low, high) = widened(interval(rates), at, members.len());
            RocBand {
                false_positive_rate: step as f64 / ROC_STEPS as f64,
                low,
                high,
            }
        })
        .collect())
}

/// The true positive rate at a false positive rate, between the curve's points along a straight line.
fn rate_at(curve: &[RocPoint], false_positive_rate: f64) -> f64 {
    let after = curve.partition_point(|p| p.false_positive_rate <= false_positive_rate);
    let below = after.checked_sub(1).and_then(|i| curve.get(i));
    match (below, curve.get(after)) {
        (Some(a), Some(b)) => {
            let width = b.false_positive_rate - a.false_positive_rate;
            let share = (false_positive_rate - a.false_positive_rate) / width;
            a.true_positive_rate + share * (b.true_positive_rate - a.true_positive_rate)
        }
        (Some(end), None) | (None, Some(end)) => end.true_positive_rate,
        (None, None) => 0.0,
    }
}

/// Rows of each fold.
fn members_of(fold: &[usize]) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); fold.iter().max().map_or(0, |last| last + 1)];
    for (row, &number) in fold.iter().enumerate() {
        members[number].push(row);
    }
    members
}

/// As many folds as there are, drawn with replacement.
fn folds_drawn(members: &[Vec<usize>], draw: &mut Draw) -> Vec<usize> {
    (0..members.len())
        .flat_map(|_| members[draw.below(members.len())].iter().copied())
        .collect()
}

/// An interval about `at`, its ends as much farther as the folds' dependence asks for, within 0..=1.
fn widened((low, high): (f64, f64), at: f64, folds: usize) -> (f64, f64) {
    let factor = fold_inflation(folds);
    (
        (at - factor * (at - low).max(0.0)).max(0.0),
        (at + factor * (high - at).max(0.0)).min(1.0),
    )
}

/// The share of `forks` drawn forks that are right after each number of rounds.
fn shares_right(
    targets: &[f64],
    others: &[f64],
    silent: f64,
    forks: usize,
    draw: &mut Draw,
) -> Vec<f64> {
    let mut right = vec![0.0; ROUNDS_MAX];
    for _ in 0..forks {
        let mut sums = [0.0; FORK_OPTIONS];
        for hits in &mut right {
            for (option, sum) in sums.iter_mut().enumerate() {
                let llr = draw.one_of(if option == 0 { targets } else { others });
                if !draw.happens(silent) {
                    *sum += llr;
                }
            }
            let best = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            if sums[0] >= best {
                *hits += 1.0 / sums.iter().filter(|sum| **sum >= best).count() as f64;
            }
        }
    }
    right.iter().map(|hits| hits / forks as f64).collect()
}

/// The 2.5th and 97.5th percentile; (0, 1) of nothing.
fn interval(values: &mut [f64]) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (share * values.len().saturating_sub(1) as f64).round() as usize;
        values.get(place).copied()
    };
    (at(0.025).unwrap_or(0.0), at(0.975).unwrap_or(1.0))
}
