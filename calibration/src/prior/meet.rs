//! A prior meets a person: alignment, the person's share in the class statistics, and one scorer out of both views.

use razvilka_dsp::eigen::Eigen;
use razvilka_dsp::score::StudentT;

use super::{Prior, ViewPrior};
use crate::covariance::Symmetric;
use crate::density::{DOF_RANGE, logistic};
use crate::epochs::{EpochInfo, Epochs};
use crate::error::{CalibrationError, Result, same_size};
use crate::lda::{LdaModel, block_toeplitz, shrunk_covariance};
use crate::model::EegModel;
use crate::spd::{congruence, function_of};
use crate::tangent::{Stack, TangentModel, TangentSpace};
use crate::xdawn::centre;

/// Flashes that the prior's covariance counts for: some 40 s of them.
pub(crate) const COVARIANCE_FLASHES: f64 = 240.0;
/// Targets that the prior's mean difference counts for.
pub(crate) const DIFFERENCE_TARGETS: f64 = 10.0;
/// Distance of the classes assumed where labels are missing, in standard deviations of the score: a typical person's (AUC 0.89).
const SEPARATION: f64 = 1.75;
/// Rounds of expectation maximisation.
const ROUNDS: usize = 10;
/// Diagonal load of the solves, relative to the mean variance.
const RIDGE: f64 = 1e-9;
/// Fewest flashes, labelled or not, that a person is met by: 4 s of them.
pub(super) const EPOCHS_MIN: usize = 20;

/// A person seen through a prior: the discriminant in both views, as one scorer, whose score is the log-odds of a target.
#[derive(Debug, Clone, PartialEq)]
pub struct Informed {
    /// The view of block means, in microvolts.
    pub lda: LdaModel,
    /// Both views.
    pub model: EegModel,
}

/// How a person's data are made comparable.
pub(super) struct Aligned {
    /// `R`, `R^-1/2` and `R^1/2`, `[channel][channel]`.
    channels: Vec<f64>,
    whitening: Vec<f64>,
    colouring: Vec<f64>,
    /// The tangent space around the person's mean.
    space: TangentSpace,
}

/// One view of the person's epochs.
struct View {
    mean: Vec<f64>,
    /// Centred rows.
    rows: Vec<f64>,
    width: usize,
    covariance: Symmetric,
    difference: Vec<f64>,
    weights: Vec<f64>,
    scale: f64,
}

/// Scores of targets and of non-targets of the person that is assumed where labels are missing, at this share of targets: the score is
/// the log-odds of such a person.
pub(super) fn typical_scores(base_rate: f64) -> (StudentT, StudentT) {
    let (slope, constant) = log_odds_line(base_rate);
    let deviation = slope * (SEPARATION / slope).sqrt();
    let at = |score: f64| StudentT {
        location: constant + slope * score,
        scale: deviation,
        dof: DOF_RANGE.1,
    };
    (
        at((1.0 - base_rate) * SEPARATION),
        at(-base_rate * SEPARATION),
    )
}

/// Slope and constant of the log-odds of a target, for a score of mean 0 and standard deviation 1 over all flashes.
fn log_odds_line(rate: f64) -> (f64, f64) {
    let variance = (1.0 - rate * (1.0 - rate) * SEPARATION * SEPARATION).max(0.2);
    let slope = SEPARATION / variance;
    let constant = (rate / (1.0 - rate)).ln() + slope * (rate * SEPARATION - SEPARATION / 2.0);
    (slope, constant)
}

impl Prior {
    /// Meets a person: `labels[k]` is the truth of epoch `k` where it is known. The epochs' own labels are not looked at.
    ///
    /// # Errors
    /// [`CalibrationError::Shape`] for another montage or shape, [`CalibrationError::TooFew`] with fewer than 20 epochs or a bad channel,
    /// [`CalibrationError::Degenerate`] when a covariance is singular.
    pub fn meet(&self, epochs: &Epochs, labels: &[Option<bool>]) -> Result<Informed> {
        self.meet_in(ROUNDS, epochs, labels)
    }

    /// The prior as it is, aligned to this person but not moved by their flashes.
    ///
    /// # Errors
    /// As [`Prior::meet`].
    pub(super) fn aligned(&self, epochs: &Epochs) -> Result<Informed> {
        self.meet_in(0, epochs, &vec![None; epochs.len()])
    }

    fn meet_in(&self, rounds: usize, epochs: &Epochs, labels: &[Option<bool>]) -> Result<Informed> {
        same_size("labels", epochs.len(), labels.len())?;
        same_size(
            "features of the prior",
            self.prototype.len(),
            epochs.features_per_epoch(),
        )?;
        for (what, found, needed) in [
            ("epochs to meet a person by", epochs.len(), EPOCHS_MIN),
            (
                "good channels, as many as the prior has",
                epochs.used().iter().filter(|used| **used).count(),
                epochs.channels(),
            ),
        ] {
            if found < needed {
                return Err(CalibrationError::TooFew {
                    what,
                    found,
                    needed,
                });
            }
        }
        let aligned = Aligned::to(epochs, &self.prototype)?;
        let paired = epochs.paired()?;
        let shape = Some((paired.channels(), paired.bins()));
        let mut time = View::new(&aligned.time(&paired)?, &self.time, shape)?;
        let vectors = aligned.space.vectors(epochs, &all(epochs))?;
        let mut tangent = View::new(&vectors, &self.tangent, None)?;
        let both_scale = self.learn(rounds, &mut time, &mut tangent, labels)?;

        let (slope, constant) = log_odds_line(self.base_rate);
        let lda = aligned.discriminant(&time, paired.bins())?;
        let in_tangent = slope / (tangent.scale * both_scale);
        let weights: Vec<f64> = tangent.weights.iter().map(|w| w * in_tangent).collect();
        let bias = constant
            - weights
                .iter()
                .zip(&tangent.mean)
                .map(|(w, m)| w * m)
                .sum::<f64>();
        let tangent: TangentModel = aligned.space.model(&weights, bias);
        Ok(Informed {
            model: EegModel::Informed {
                lda_weight: slope / (time.scale * both_scale),
                tangent,
            },
            lda,
        })
    }

    /// Expectation maximisation over both views; returns the scale of the sum of their scores.
    fn learn(
        &self,
        rounds: usize,
        time: &mut View,
        tangent: &mut View,
        labels: &[Option<bool>],
    ) -> Result<f64> {
        let known = |k: usize| labels[k].map(|target| f64::from(u8::from(target)));
        let whole = labels.iter().all(Option::is_some);
        let mut shares: Vec<f64> = (0..labels.len()).map(|k| known(k).unwrap_or(0.0)).collect();
        if labels.iter().any(Option::is_some) {
            // Labelled flashes alone move the start.
            let weights: Vec<f64> = labels
                .iter()
                .map(|l| f64::from(u8::from(l.is_some())))
                .collect();
            time.learn(&self.time, &shares, &weights)?;
            tangent.learn(&self.tangent, &shares, &weights)?;
        }
        let ones = vec![1.0; labels.len()];
        for _ in 0..if whole { rounds.min(1) } else { rounds } {
            let (a, b) = (time.scores(), tangent.scores());
            let sums: Vec<f64> = a.iter().zip(&b).map(|(x, y)| x + y).collect();
            let scale = root_mean_square(&sums).max(1e-12);
            let (slope, constant) = log_odds_line(self.base_rate);
            for (k, share) in shares.iter_mut().enumerate() {
                *share = known(k).unwrap_or_else(|| logistic(constant + slope * sums[k] / scale));
            }
            time.learn(&self.time, &shares, &ones)?;
            tangent.learn(&self.tangent, &shares, &ones)?;
        }
        let (a, b) = (time.scores(), tangent.scores());
        let sums: Vec<f64> = a.iter().zip(&b).map(|(x, y)| x + y).collect();
        Ok(root_mean_square(&sums).max(1e-12))
    }
}

impl Aligned {
    pub(super) fn to(epochs: &Epochs, prototype: &[f64]) -> Result<Self> {
        let (n, bins) = (epochs.channels(), epochs.bins());
        let mut mean = vec![0.0; n * n];
        for row in 0..epochs.len() {
            let signal = epochs.row(row);
            for (i, a) in signal.chunks_exact(bins).enumerate() {
                for (j, b) in signal.chunks_exact(bins).enumerate() {
                    let sum: f64 = a.iter().zip(b).map(|(x, y)| x * y).sum();
                    mean[i * n + j] += sum / (bins * epochs.len()) as f64;
                }
            }
        }
        let mut eigen = Eigen::new(n);
        let sd = deviations(epochs);
        let mut filters = vec![0.0; n * n];
        for (k, sd) in sd.iter().enumerate() {
            filters[k * n + k] = 1.0 / sd;
        }
        Ok(Self {
            whitening: function_of(&mean, &mut eigen, |x| 1.0 / x.sqrt())?,
            colouring: function_of(&mean, &mut eigen, f64::sqrt)?,
            channels: mean,
            space: TangentSpace::around(
                Stack::Erp,
                filters,
                prototype.to_vec(),
                epochs,
                &all(epochs),
            )?,
        })
    }

    /// The covariance of the channels, scaled to a mean variance of 1.
    pub(super) fn channels(&self) -> Symmetric {
        let n = self.space.channels();
        let variance = (0..n).map(|k| self.channels[k * n + k]).sum::<f64>() / n as f64;
        Symmetric::from_fn(n, |i, j| self.channels[i * n + j] / variance)
    }

    /// Where the tangent space touches.
    pub(super) fn reference(&self) -> Symmetric {
        self.space.reference()
    }

    /// Tangent vectors of epochs.
    pub(super) fn vectors(&self, epochs: &Epochs) -> Result<Epochs> {
        self.space.vectors(epochs, &all(epochs))
    }

    /// Epochs with whitened channels.
    pub(super) fn time(&self, paired: &Epochs) -> Result<Epochs> {
        let mut out = Epochs::new(paired.channels(), paired.bins())?;
        for row in 0..paired.len() {
            let values = through(&self.whitening, paired.row(row), paired.bins());
            out.push(
                EpochInfo {
                    ..paired.info()[row]
                },
                &values,
            )?;
        }
        Ok(out)
    }

    /// The view of block means as a discriminant of microvolts.
    fn discriminant(&self, view: &View, bins: usize) -> Result<LdaModel> {
        let n = view.width / bins;
        // (R^1/2 x I) C (R^1/2 x I), lag by lag of bins.
        let mut blocks = vec![vec![0.0; n * n]; bins * bins];
        for (k, block) in blocks.iter_mut().enumerate() {
            let (from, to) = (k / bins, k % bins);
            let own: Vec<f64> = (0..n * n)
                .map(|c| {
                    view.covariance
                        .get((c / n) * bins + from, (c % n) * bins + to)
                })
                .collect();
            *block = congruence(&self.colouring, &own, n);
        }
        let covariance = Symmetric::from_fn(view.width, |i, j| {
            blocks[(i % bins) * bins + j % bins][(i / bins) * n + j / bins]
        });
        let weights = through(&self.whitening, &view.weights, bins);
        let midpoint = through(&self.colouring, &view.mean, bins);
        let bias = -weights
            .iter()
            .zip(&midpoint)
            .map(|(w, m)| w * m)
            .sum::<f64>();
        Ok(LdaModel {
            used: vec![true; n],
            bins,
            mean_difference: through(&self.colouring, &view.difference, bins),
            midpoint,
            covariance,
            shrinkage: 0.0,
            weights,
            bias,
        })
    }
}

impl View {
    fn new(epochs: &Epochs, prior: &ViewPrior, shape: Option<(usize, usize)>) -> Result<Self> {
        let width = epochs.features_per_epoch();
        same_size("features of the prior", prior.difference.len(), width)?;
        let mut rows: Vec<f64> = (0..epochs.len())
            .flat_map(|row| epochs.row(row).iter().copied())
            .collect();
        let count = epochs.len() as f64;
        let mut mean = vec![0.0; width];
        for row in rows.chunks_exact(width) {
            mean.iter_mut().zip(row).for_each(|(m, x)| *m += x / count);
        }
        centre(&mut rows, width);
        // The total covariance needs no labels, and leads to the same direction as that within the classes.
        let own = shrunk_covariance(rows.clone(), width)?.covariance;
        let own = match shape {
            Some((channels, bins)) => block_toeplitz(&own, channels, bins),
            None => own,
        };
        let total = COVARIANCE_FLASHES + count;
        let covariance = Symmetric::from_fn(width, |i, j| {
            (COVARIANCE_FLASHES * prior.covariance.get(i, j) + count * own.get(i, j)) / total
        });
        let mut view = Self {
            mean,
            rows,
            width,
            covariance,
            difference: prior.difference.clone(),
            weights: Vec::new(),
            scale: 1.0,
        };
        view.solve()?;
        Ok(view)
    }

    /// Mean difference from the prior and from flashes that are targets by `shares`, each counting by its weight.
    fn learn(&mut self, prior: &ViewPrior, shares: &[f64], weights: &[f64]) -> Result<()> {
        let (mut target, mut other) = (vec![0.0; self.width], vec![0.0; self.width]);
        let (mut targets, mut others) = (0.0, 0.0);
        for ((row, share), weight) in self.rows.chunks_exact(self.width).zip(shares).zip(weights) {
            let (r, s) = (share * weight, (1.0 - share) * weight);
            targets += r;
            others += s;
            for ((t, o), x) in target.iter_mut().zip(&mut other).zip(row) {
                *t += r * x;
                *o += s * x;
            }
        }
        let (targets, others) = (targets.max(1e-9), others.max(1e-9));
        let total = DIFFERENCE_TARGETS + targets;
        for (k, d) in self.difference.iter_mut().enumerate() {
            let own = target[k] / targets - other[k] / others;
            *d = (DIFFERENCE_TARGETS * prior.difference[k] + targets * own) / total;
        }
        self.solve()
    }

    fn solve(&mut self) -> Result<()> {
        let every: Vec<usize> = (0..self.width).collect();
        self.weights = self
            .covariance
            .solve_sub_block(&every, &self.difference, RIDGE)?;
        self.scale = 1.0;
        self.scale = root_mean_square(&self.scores()).max(1e-12);
        Ok(())
    }

    /// Scores of the person's epochs, of mean 0 and standard deviation 1.
    fn scores(&self) -> Vec<f64> {
        self.rows
            .chunks_exact(self.width)
            .map(|row| {
                row.iter()
                    .zip(&self.weights)
                    .map(|(x, w)| x * w)
                    .sum::<f64>()
                    / self.scale
            })
            .collect()
    }
}

pub(super) fn all(epochs: &Epochs) -> Vec<usize> {
    (0..epochs.len()).collect()
}

/// Standard deviation of each channel over all samples.
pub(super) fn deviations(epochs: &Epochs) -> Vec<f64> {
    let bins = epochs.bins();
    let count = (epochs.len() * bins).max(1) as f64;
    let (mut sum, mut square) = (vec![0.0; epochs.channels()], vec![0.0; epochs.channels()]);
    for row in 0..epochs.len() {
        for (k, signal) in epochs.row(row).chunks_exact(bins).enumerate() {
            sum[k] += signal.iter().sum::<f64>();
            square[k] += signal.iter().map(|x| x * x).sum::<f64>();
        }
    }
    sum.iter()
        .zip(&square)
        .map(|(s, q)| (q / count - (s / count).powi(2)).sqrt().max(1e-9))
        .collect()
}

/// A symmetric matrix over the channels of `[channel][bin]`.
fn through(matrix: &[f64], signal: &[f64], bins: usize) -> Vec<f64> {
    let n = signal.len() / bins;
    let mut out = vec![0.0; signal.len()];
    for (row, to) in matrix.chunks_exact(n).zip(out.chunks_exact_mut(bins)) {
        for (weight, from) in row.iter().zip(signal.chunks_exact(bins)) {
            to.iter_mut().zip(from).for_each(|(y, x)| *y += weight * x);
        }
    }
    out
}

fn root_mean_square(values: &[f64]) -> f64 {
    (values.iter().map(|v| v * v).sum::<f64>() / values.len().max(1) as f64).sqrt()
}
