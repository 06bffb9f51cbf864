//! Shrinkage linear discriminant analysis of epoch features.

use serde::{Deserialize, Serialize};

use crate::covariance::{Shrunk, Symmetric, ledoit_wolf};
use crate::epochs::Epochs;
use crate::error::{CalibrationError, Result, finite, in_range, same_size};

/// Diagonal load relative to the mean variance: keeps the solve defined when a feature is constant.
pub(crate) const RIDGE: f64 = 1e-9;
/// Added to each feature's standard deviation, so that a constant feature does not divide by zero.
const SD_FLOOR: f64 = 1e-12;
/// No weight, mean or constant of a classifier of microvolts is larger.
pub(crate) const VALUE_MAX: f64 = 1e12;
/// How far, relative to its largest terms, the product of covariance and weights may lie from the mean difference. The load on
/// the diagonal leaves 1e-9 of the mean variance.
const WEIGHTS_TOLERANCE: f64 = 1e-6;
/// Fewest epochs of a class from which its mean is taken.
const MIN_PER_CLASS: usize = 2;

/// A fitted classifier. Scores are `weights · features + bias`, positive for targets; were the classes Gaussian with this
/// covariance, the score would be the log-likelihood ratio itself.
///
/// The covariance is kept so that a bad channel can be masked later without the data: [`LdaModel::restrict`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LdaModel {
    /// Channels of the montage, and whether each was fit to be used. Entries of the others are 0 everywhere.
    pub used: Vec<bool>,
    /// Bin means per channel.
    pub bins: usize,
    /// Target mean minus non-target mean, `[channel][bin]`, microvolts.
    pub mean_difference: Vec<f64>,
    /// Half the sum of both means, `[channel][bin]`, microvolts.
    pub midpoint: Vec<f64>,
    /// Shrunk pooled covariance within the classes, microvolts squared.
    pub covariance: Symmetric,
    /// Ledoit-Wolf intensity, 0 to 1.
    pub shrinkage: f64,
    /// Weights of the full montage, `[channel][bin]`.
    pub weights: Vec<f64>,
    /// Bias of the full montage.
    pub bias: f64,
}

/// The classifier of fewer channels, derived from the same fit.
#[derive(Debug, Clone, PartialEq)]
pub struct RestrictedLda {
    /// Weights, `[channel][bin]`, 0 at masked channels.
    pub weights: Vec<f64>,
    /// Bias.
    pub bias: f64,
    /// Squared Mahalanobis distance between the classes that is left, as a share of the full montage's, 0 to 1.
    pub distance_ratio: f64,
}

impl LdaModel {
    /// Fits the classifier on all epochs.
    ///
    /// Features are centred by class, standardised by their pooled standard deviation, their covariance shrunk by
    /// [`ledoit_wolf`] and scaled back (Blankertz et al., NeuroImage 56 (2011), section 3.3, with the shrinkage of Ledoit & Wolf).
    /// Unlike scikit-learn's `LinearDiscriminantAnalysis(shrinkage="auto")` the covariance is pooled before it is shrunk.
    ///
    /// # Errors
    /// [`CalibrationError::TooFew`] with fewer than 2 epochs of a class, [`CalibrationError::Degenerate`] when the
    /// covariance is singular.
    pub fn fit(epochs: &Epochs) -> Result<Self> {
        let all: Vec<usize> = (0..epochs.len()).collect();
        Self::fit_rows(epochs, &all)
    }

    /// Fits the classifier on the epochs of index `rows`.
    ///
    /// # Errors
    /// As [`LdaModel::fit`].
    ///
    /// # Panics
    /// When an index is out of range.
    pub fn fit_rows(epochs: &Epochs, rows: &[usize]) -> Result<Self> {
        Self::fit_structured(epochs, rows, Structure::Full)
    }

    /// Fits the classifier on the epochs of index `rows`, with a covariance of this structure.
    ///
    /// # Errors
    /// As [`LdaModel::fit`].
    ///
    /// # Panics
    /// When an index is out of range.
    pub fn fit_structured(epochs: &Epochs, rows: &[usize], structure: Structure) -> Result<Self> {
        let used = epochs.used();
        let features = features_of(used, epochs.bins());
        let width = features.len();
        let target = class_mean(epochs, rows, &features, true)?;
        let other = class_mean(epochs, rows, &features, false)?;

        let mut centred = Vec::with_capacity(rows.len() * width);
        for &row in rows {
            let mean = if epochs.info()[row].target {
                &target
            } else {
                &other
            };
            let values = epochs.row(row);
            centred.extend(features.iter().zip(mean).map(|(&f, m)| values[f] - m));
        }
        let shrunk = shrunk_covariance(centred, width)?;
        let mut place = vec![None; epochs.features_per_epoch()];
        for (index, &feature) in features.iter().enumerate() {
            place[feature] = Some(index);
        }
        let covariance = Symmetric::from_fn(place.len(), |i, j| match (place[i], place[j]) {
            (Some(i), Some(j)) => shrunk.covariance.get(i, j),
            _ => 0.0,
        });
        let covariance = match structure {
            Structure::Full => covariance,
            Structure::BlockToeplitz => {
                block_toeplitz(&covariance, epochs.channels(), epochs.bins())
            }
        };

        let mut mean_difference = vec![0.0; place.len()];
        let mut midpoint = vec![0.0; place.len()];
        for ((&feature, t), o) in features.iter().zip(&target).zip(&other) {
            mean_difference[feature] = t - o;
            midpoint[feature] = (t + o) / 2.0;
        }
        let mut model = Self {
            used: used.to_vec(),
            bins: epochs.bins(),
            mean_difference,
            midpoint,
            covariance,
            shrinkage: shrunk.shrinkage,
            weights: Vec::new(),
            bias: 0.0,
        };
        (model.weights, model.bias) = model.solve(used)?;
        Ok(model)
    }

    /// The score of one epoch's features `[channel][bin]`.
    #[must_use]
    pub fn score(&self, features: &[f64]) -> f64 {
        dot(&self.weights, features) + self.bias
    }

    /// The classifier that uses only those used channels where `kept` is true: the sub-block of the covariance is solved, nothing
    /// is refitted. Masking no channel gives the fitted weights.
    ///
    /// # Errors
    /// [`CalibrationError::Shape`] when `kept` has another length than the montage, [`CalibrationError::Degenerate`] when
    /// no channel is kept.
    pub fn restrict(&self, kept: &[bool]) -> Result<RestrictedLda> {
        same_size("channels in the mask", self.used.len(), kept.len())?;
        let kept: Vec<bool> = kept.iter().zip(&self.used).map(|(a, b)| *a && *b).collect();
        let (weights, bias) = self.solve(&kept)?;
        let full = dot(&self.weights, &self.mean_difference);
        let left = dot(&weights, &self.mean_difference);
        let distance_ratio = if full > 0.0 {
            (left / full).clamp(0.0, 1.0)
        } else {
            0.0
        };
        Ok(RestrictedLda {
            weights,
            bias,
            distance_ratio,
        })
    }

    /// The discriminant of the same channels with other class means and another covariance, shrunk already.
    ///
    /// # Errors
    /// [`CalibrationError::Degenerate`] when the covariance is singular.
    pub(crate) fn moved(
        &self,
        target: &[f64],
        other: &[f64],
        covariance: Symmetric,
    ) -> Result<Self> {
        let pairs = || target.iter().zip(other);
        let mut model = Self {
            used: self.used.clone(),
            bins: self.bins,
            mean_difference: pairs().map(|(t, o)| t - o).collect(),
            midpoint: pairs().map(|(t, o)| (t + o) / 2.0).collect(),
            covariance,
            shrinkage: self.shrinkage,
            weights: Vec::new(),
            bias: 0.0,
        };
        (model.weights, model.bias) = model.solve(&model.used)?;
        Ok(model)
    }

    /// Checks sizes and numbers, e.g. after reading from a file; also that the weights are those of the covariance.
    ///
    /// # Errors
    /// [`CalibrationError::Shape`], [`CalibrationError::NotFinite`], [`CalibrationError::OutOfRange`] or
    /// [`CalibrationError::Degenerate`].
    pub fn validate(&self) -> Result<()> {
        let width = self.used.len().saturating_mul(self.bins);
        if width == 0 || !self.used.contains(&true) {
            return Err(unfit("no channel or no bin is used"));
        }
        for (what, values) in [
            ("mean difference", &self.mean_difference),
            ("midpoint", &self.midpoint),
            ("weights", &self.weights),
        ] {
            same_size(what, width, values.len())?;
            finite(what, values)?;
            for (channel, of_channel) in self.used.iter().zip(values.chunks_exact(self.bins)) {
                for value in of_channel {
                    in_range(what, *value, -VALUE_MAX, VALUE_MAX)?;
                }
                if !channel && of_channel.iter().any(|value| *value != 0.0) {
                    return Err(unfit("a channel that is not used has a weight"));
                }
            }
        }
        same_size("covariance order", width, self.covariance.order())?;
        self.covariance.validate()?;
        in_range("bias", self.bias, -VALUE_MAX, VALUE_MAX)?;
        in_range("shrinkage", self.shrinkage, 0.0, 1.0)?;
        self.check_weights()
    }

    /// Whether weights and covariance belong together: `covariance * weights` is the mean difference, to what rounding and the
    /// load on the diagonal leave of it. Needs no factorisation, and bounds the backward error, whatever the condition.
    fn check_weights(&self) -> Result<()> {
        let width = self.weights.len();
        // The stored triangle, row by row.
        let (mut product, mut size) = (vec![0.0; width], vec![0.0; width]);
        let mut entries = self.covariance.upper().iter();
        for row in 0..width {
            for (column, &entry) in (row..width).zip(entries.by_ref()) {
                if row == column && self.used[row / self.bins] && entry <= 0.0 {
                    return Err(unfit("a feature that is used has no variance"));
                }
                let mut add = |to: usize, from: usize| {
                    let term = entry * self.weights[from];
                    product[to] += term;
                    size[to] += term.abs();
                };
                add(row, column);
                if row != column {
                    add(column, row);
                }
            }
        }
        let greatest = size
            .iter()
            .zip(&self.mean_difference)
            .map(|(size, difference)| size + difference.abs())
            .fold(0.0, f64::max);
        let pairs = product.iter().zip(&self.mean_difference);
        let furthest = pairs.map(|(p, d)| (p - d).abs()).fold(0.0, f64::max);
        // Also false where a sum was no number.
        if furthest <= WEIGHTS_TOLERANCE * greatest {
            Ok(())
        } else {
            Err(unfit("its weights are not those of its covariance"))
        }
    }

    fn solve(&self, kept: &[bool]) -> Result<(Vec<f64>, f64)> {
        let features = features_of(kept, self.bins);
        let weights = self
            .covariance
            .solve_sub_block(&features, &self.mean_difference, RIDGE)?;
        let bias = -dot(&weights, &self.midpoint);
        Ok((weights, bias))
    }
}

fn unfit(reason: &'static str) -> CalibrationError {
    CalibrationError::Degenerate {
        what: "the classifier",
        reason,
    }
}

/// What is assumed of the covariance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Structure {
    /// Nothing.
    Full,
    /// Noise does not know when the flash was: the covariance of two channels depends on the lag alone.
    BlockToeplitz,
}

/// Covariance of rows that are centred already: standardised by column, shrunk by [`ledoit_wolf`], scaled back.
pub(crate) fn shrunk_covariance(mut rows: Vec<f64>, width: usize) -> Result<Shrunk> {
    let count = (rows.len() / width.max(1)).max(1) as f64;
    let mut deviation = vec![0.0; width];
    for row in rows.chunks_exact(width) {
        for (sum, value) in deviation.iter_mut().zip(row) {
            *sum += value * value;
        }
    }
    for sum in &mut deviation {
        *sum = (*sum / count).sqrt() + SD_FLOOR;
    }
    for row in rows.chunks_exact_mut(width) {
        for (value, sd) in row.iter_mut().zip(&deviation) {
            *value /= sd;
        }
    }
    let shrunk = ledoit_wolf(&rows, width)?;
    Ok(Shrunk {
        covariance: Symmetric::from_fn(width, |i, j| {
            shrunk.covariance.get(i, j) * deviation[i] * deviation[j]
        }),
        shrinkage: shrunk.shrinkage,
    })
}

/// Averages the covariance of two channels along equal lags and tapers it linearly by lag: Sosulski & Tangermann, J. Neural
/// Eng. 19 (2022), "Introducing block-Toeplitz covariance matrices to remaster linear discriminant analysis for event-related
/// potential brain-computer interfaces", section 2.3.
pub(crate) fn block_toeplitz(covariance: &Symmetric, channels: usize, bins: usize) -> Symmetric {
    // [lag][a][b]: covariance of channel a with channel b, lag bins later.
    let mut blocks = vec![0.0; bins * channels * channels];
    for lag in 0..bins {
        let taper = 1.0 - lag as f64 / bins as f64;
        let pairs = (bins - lag) as f64;
        for a in 0..channels {
            for b in 0..channels {
                let sum: f64 = (0..bins - lag)
                    .map(|bin| covariance.get(a * bins + bin, b * bins + bin + lag))
                    .sum();
                blocks[(lag * channels + a) * channels + b] = taper * sum / pairs;
            }
        }
    }
    Symmetric::from_fn(channels * bins, |i, j| {
        let ((a, from), (b, to)) = ((i / bins, i % bins), (j / bins, j % bins));
        if to >= from {
            blocks[((to - from) * channels + a) * channels + b]
        } else {
            blocks[((from - to) * channels + b) * channels + a]
        }
    })
}

/// Indices of the features of the channels that are set, in rising order.
fn features_of(channels: &[bool], bins: usize) -> Vec<usize> {
    let set = channels.iter().enumerate().filter(|(_, set)| **set);
    set.flat_map(|(channel, _)| channel * bins..(channel + 1) * bins)
        .collect()
}

fn class_mean(
    epochs: &Epochs,
    rows: &[usize],
    features: &[usize],
    target: bool,
) -> Result<Vec<f64>> {
    let mut mean = vec![0.0; features.len()];
    let mut found = 0_usize;
    for &row in rows
        .iter()
        .filter(|&&row| epochs.info()[row].target == target)
    {
        found += 1;
        let values = epochs.row(row);
        for (sum, &feature) in mean.iter_mut().zip(features) {
            *sum += values[feature];
        }
    }
    if found < MIN_PER_CLASS {
        return Err(CalibrationError::TooFew {
            what: if target {
                "target epochs"
            } else {
                "non-target epochs"
            },
            found,
            needed: MIN_PER_CLASS,
        });
    }
    for sum in &mut mean {
        *sum /= found as f64;
    }
    Ok(mean)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
