//! A discriminant that follows the person: class means and covariance move with every epoch of a confirmed choice.
//!
//! Recursive estimates as in West, Comm. ACM 22 (1979), "Updating mean and variance estimates: an improved method": an epoch `x` of
//! class `c` at distance `d = x - mean_c` moves the mean by `a_c d` and the pooled covariance to `(1 - a) S + a (1 - a_c) d d'`, which
//! with `a_c = 1 / (n_c + 1)` and `a = 1 / (n + 1)` is what a fit on all epochs gives. That such supervised steps follow a person through a
//! session is shown by Vidaurre et al., Neural Computation 23 (2011), "Machine-learning-based coadaptive calibration for
//! brain-computer interfaces". The shrinkage of the calibration is kept: its target, the diagonal, moves by the same step.
//!
//! Bounded three times over: an epoch that lies too far off is refused, a fork gives so many epochs at most, and when the weights
//! have turned too far from the calibrated ones the adaptation stands still.

use razvilka_dsp::score::ScoreDensity;
use sha2::{Digest, Sha256};

use crate::covariance::Symmetric;
use crate::drift::ScoreDrift;
use crate::error::{Result, in_range, same_size};
use crate::lda::{LdaModel, block_toeplitz};
use crate::model::EegModel;
use crate::profile::EegCalibration;

/// How far and how fast a discriminant may follow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaptRule {
    /// A new epoch weighs at most as much as one of this many, however short the calibration was.
    pub memory_epochs_min: f64,
    /// A new epoch weighs at least as much as one of this many: what is older fades.
    pub memory_epochs_max: f64,
    /// Epochs taken from one fork, at most; the first ones.
    pub epochs_per_fork_max: usize,
    /// An epoch is refused when its features lie further from the mean of its class, root mean square in standard deviations.
    pub distance_sds_max: f64,
    /// Beyond this weights and densities stand still until a fit anew. How far the weights may turn from the calibrated ones: 1 minus the correlation of both scores in the calibration's noise.
    pub change_max: f64,
}

impl Default for AdaptRule {
    fn default() -> Self {
        Self {
            memory_epochs_min: 200.0,
            memory_epochs_max: 2_000.0,
            epochs_per_fork_max: 60,
            distance_sds_max: 3.0,
            change_max: 0.3,
        }
    }
}

impl AdaptRule {
    /// Checks that every number makes sense.
    ///
    /// # Errors
    /// [`crate::CalibrationError::OutOfRange`].
    pub fn check(&self) -> Result<()> {
        let Self {
            memory_epochs_min: least,
            memory_epochs_max: most,
            ..
        } = *self;
        in_range("least memory in epochs", least, 1.0, 1e9)?;
        in_range("longest memory in epochs", most, least, 1e9)?;
        in_range("distance of an epoch", self.distance_sds_max, 0.1, 1e9)?;
        in_range("change of the weights", self.change_max, 0.0, 2.0)
    }
}

/// An epoch whose truth a confirmed choice has told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConfirmedEpoch<'a> {
    /// Whether what flashed was the choice.
    pub target: bool,
    /// `[channel][bin]` at the path's resolution, microvolts.
    pub features: &'a [f32],
}

/// What came of the epochs of one fork.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Learnt {
    /// Epochs that went in.
    pub used: usize,
    /// Epochs refused: too far off, not finite, or more than a fork may give.
    pub refused: usize,
    /// How far the weights have turned from the calibrated ones.
    pub change: f64,
    /// Whether the step was taken; `false` once it would have led beyond [`AdaptRule::change_max`].
    pub taken: bool,
}

/// A calibration whose discriminant follows confirmed choices. Not real-time: a covariance is factorised at every fork.
///
/// What rests on class means and covariance of the epochs follows: the LDA, also with a block-Toeplitz covariance, its share of a fusion,
/// and what is left of a scorer when many channels are bad. What lies in the tangent space or behind xDAWN filters waits for a
/// fit anew ([`crate::refit`]).
#[derive(Debug, Clone, PartialEq)]
pub struct Adaptive {
    rule: AdaptRule,
    /// The discriminant that change is measured against.
    fitted: LdaModel,
    now: EegCalibration,
    moments: Moments,
    scores: Scores,
    stands: bool,
}

/// Densities of the scores of the picked scorer and of the LDA alone: as calibrated, and how far scores have drifted from them.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scores {
    calibrated: [ScoreDensity; 2],
    drift: [ScoreDrift; 2],
}

/// Class means, targets first, and the shrunk covariance within them, with what they weigh.
#[derive(Debug, Clone, PartialEq)]
struct Moments {
    means: [Vec<f64>; 2],
    covariance: Symmetric,
    /// Epochs behind each mean.
    counts: [f64; 2],
    /// Share of either class in the calibration.
    shares: [f64; 2],
}

impl Adaptive {
    /// Begins where a calibration ended.
    ///
    /// # Errors
    /// As [`AdaptRule::check`].
    pub fn new(calibration: EegCalibration, rule: AdaptRule) -> Result<Self> {
        rule.check()?;
        let lda = &calibration.lda;
        let mean = |sign: f64| -> Vec<f64> {
            let pairs = lda.midpoint.iter().zip(&lda.mean_difference);
            pairs.map(|(m, d)| m + 0.5 * sign * d).collect()
        };
        let epochs = calibration.metrics.epochs as f64;
        let targets = calibration.metrics.targets as f64;
        let counts = [targets.max(1.0), (epochs - targets).max(1.0)];
        let all = counts[0] + counts[1];
        let moments = Moments {
            means: [mean(1.0), mean(-1.0)],
            covariance: lda.covariance.clone(),
            counts,
            shares: counts.map(|count| count / all),
        };
        let scores = Scores {
            calibrated: [calibration.density, calibration.lda_density],
            drift: [ScoreDrift::new(); 2],
        };
        Ok(Self {
            rule,
            fitted: lda.clone(),
            scores,
            now: calibration,
            moments,
            stands: false,
        })
    }

    /// The calibration as it is now; bad channels are left out of it as of any other ([`EegCalibration::restrict`]).
    #[must_use]
    pub fn calibration(&self) -> &EegCalibration {
        &self.now
    }

    /// Whether the adaptation stands still, its bound reached.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.stands
    }

    /// How far the weights have turned from the fitted ones: 1 minus the correlation of both scores in the noise that was fitted.
    #[must_use]
    pub fn change(&self) -> f64 {
        self.change_of(&self.now.lda)
    }

    /// Learns from the epochs of one confirmed fork, in their order.
    ///
    /// # Errors
    /// [`crate::CalibrationError::Shape`] for features of another length; [`crate::CalibrationError::Degenerate`] when the moved covariance
    /// cannot be solved. Nothing has changed then.
    pub fn learn(&mut self, epochs: &[ConfirmedEpoch<'_>]) -> Result<Learnt> {
        let shape = self.now.path.epoch_shape()?;
        let mut moved = self.moments.clone();
        let mut scores = self.scores;
        let mut whole = self.now.scorer()?;
        let mut lda = EegModel::Lda.scorer(&self.now.lda, shape)?;
        let (mut used, mut refused) = (0, 0);
        for epoch in epochs {
            same_size(
                "features of an epoch",
                shape.features(),
                epoch.features.len(),
            )?;
            let paired = paired(epoch.features, shape.bins(), &self.fitted.used);
            let known = used < self.rule.epochs_per_fork_max
                && moved.distance_sds(&paired, epoch.target) <= self.rule.distance_sds_max;
            if known {
                moved.step(&paired, epoch.target, self.fitted.shrinkage, &self.rule);
                // By the scorer of before this fork: it has not learnt from this epoch.
                let features: Vec<f64> = epoch.features.iter().map(|x| f64::from(*x)).collect();
                scores.see(
                    [whole.score(&features)?, lda.score(&features)?],
                    epoch.target,
                );
                used += 1;
            } else {
                refused += 1;
            }
        }
        let mut learnt = Learnt {
            used,
            refused,
            change: self.change(),
            taken: false,
        };
        if used == 0 || self.stands {
            return Ok(learnt);
        }
        let lda = moved.discriminant(&self.fitted)?;
        let change = self.change_of(&lda);
        if change > self.rule.change_max {
            self.stands = true;
            return Ok(learnt);
        }
        let model = self.model_of(&moved)?;
        self.moments = moved;
        self.scores = scores;
        self.now.lda = lda;
        self.now.model = model;
        [self.now.density, self.now.lda_density] = scores.now(self.now.base_rate);
        learnt.change = change;
        learnt.taken = true;
        Ok(learnt)
    }

    /// The picked scorer with these moments, where it rests on them.
    fn model_of(&self, moved: &Moments) -> Result<EegModel> {
        Ok(match &self.now.model {
            EegModel::BlockToeplitzLda(model) => {
                let (channels, bins) = (model.used.len(), model.bins);
                // Linear in the covariance, so that it moves by the same steps.
                let covariance = block_toeplitz(&moved.covariance, channels, bins);
                let [target, other] = &moved.means;
                EegModel::BlockToeplitzLda(model.moved(target, other, covariance)?)
            }
            model => model.clone(),
        })
    }

    /// The change that this discriminant would be.
    fn change_of(&self, lda: &LdaModel) -> f64 {
        let noise = &self.fitted.covariance;
        let (a, b) = (&self.fitted.weights, &lda.weights);
        let length = (noise.quadratic(a, a) * noise.quadratic(b, b)).sqrt();
        let correlation = noise.quadratic(a, b) / length;
        // Weights of nothing, or beyond all numbers, have nothing in common with the fitted ones.
        if correlation.is_finite() {
            1.0 - correlation
        } else {
            2.0
        }
    }

    /// The densities of the scorer and of the LDA alone as they were fitted, whatever scores have done since.
    #[must_use]
    pub fn fitted_densities(&self) -> [ScoreDensity; 2] {
        self.scores.calibrated
    }

    /// How far the scores have drifted from the calibrated densities.
    #[must_use]
    pub fn drift(&self) -> ScoreDrift {
        let [whole, _] = self.scores.drift;
        whole
    }

    /// SHA-256 over every bit of the discriminant and of the densities as they are now, hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut digest = Sha256::new();
        let lda = &self.now.lda;
        let toeplitz = match &self.now.model {
            EegModel::BlockToeplitzLda(model) => model.weights.as_slice(),
            _ => &[],
        };
        for values in [
            toeplitz,
            &lda.mean_difference,
            &lda.midpoint,
            &lda.weights,
            lda.covariance.upper(),
            &[lda.bias],
        ] {
            for value in values {
                digest.update(value.to_bits().to_le_bytes());
            }
        }
        for density in [&self.now.density, &self.now.lda_density] {
            let (low, high) = density.trusted();
            for class in [density.target(), density.nontarget()] {
                digest.update(class.location.to_bits().to_le_bytes());
                digest.update(class.scale.to_bits().to_le_bytes());
            }
            digest.update(low.to_bits().to_le_bytes());
            digest.update(high.to_bits().to_le_bytes());
        }
        hex(digest)
    }
}

impl Scores {
    /// The scores of one epoch, in the order of the densities.
    fn see(&mut self, scores: [f64; 2], target: bool) {
        let share = f64::from(u8::from(target));
        for ((drift, density), score) in self.drift.iter_mut().zip(&self.calibrated).zip(scores) {
            drift.observe(score, density, share);
        }
    }

    /// The densities where the scores are now.
    fn now(&self, base_rate: f64) -> [ScoreDensity; 2] {
        let ([a, b], [whole, lda]) = (self.drift, self.calibrated);
        [a.moved(&whole, base_rate), b.moved(&lda, base_rate)]
    }
}

pub(crate) fn hex(digest: Sha256) -> String {
    let bytes = digest.finalize();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Means of two bins each; channels that are not used give 0.
fn paired(features: &[f32], bins: usize, used: &[bool]) -> Vec<f64> {
    let channels = features.chunks_exact(bins.max(1)).zip(used);
    channels
        .flat_map(|(channel, used)| {
            channel.chunks_exact(2).map(move |pair| match pair {
                [a, b] if *used => 0.5 * (f64::from(*a) + f64::from(*b)),
                _ => 0.0,
            })
        })
        .collect()
}

impl Moments {
    fn discriminant(&self, fitted: &LdaModel) -> Result<LdaModel> {
        let [target, other] = &self.means;
        fitted.moved(target, other, self.covariance.clone())
    }

    /// Root mean square of an epoch's distance from the mean of its class, in standard deviations; infinite when a value is
    /// no number.
    fn distance_sds(&self, features: &[f64], target: bool) -> f64 {
        let mean = &self.means[usize::from(!target)];
        let (mut sum, mut count) = (0.0, 0.0);
        for (k, (x, m)) in features.iter().zip(mean).enumerate() {
            let variance = self.covariance.get(k, k);
            if variance > 0.0 {
                sum += (x - m).powi(2) / variance;
                count += 1.0;
            }
        }
        let distance = (sum / f64::max(count, 1.0)).sqrt();
        if distance.is_nan() {
            f64::INFINITY
        } else {
            distance
        }
    }

    /// One epoch goes in.
    fn step(&mut self, features: &[f64], target: bool, shrinkage: f64, rule: &AdaptRule) {
        let class = usize::from(!target);
        let memory = |count: f64, share: f64| {
            count.clamp(
                share * rule.memory_epochs_min,
                share * rule.memory_epochs_max,
            )
        };
        let of_class = 1.0 / (memory(self.counts[class], self.shares[class]) + 1.0);
        let of_all = 1.0 / (memory(self.counts[0] + self.counts[1], 1.0) + 1.0);
        let mean = &mut self.means[class];
        let from_mean: Vec<f64> = features.iter().zip(&*mean).map(|(x, m)| x - m).collect();
        for (m, d) in mean.iter_mut().zip(&from_mean) {
            *m += of_class * d;
        }
        let weight = of_all * (1.0 - of_class);
        self.covariance
            .rank_one(1.0 - of_all, weight, &from_mean, shrinkage);
        self.counts[class] += 1.0;
    }
}
