//! The calibration profile: everything the engine needs to know of one person on one montage.

mod check;
mod epochs;
mod file;

pub use epochs::{EPOCHS_FILE, epochs_beside};
pub use file::{FORMAT, KIND};

use razvilka_dsp::blink::BlinkRegression;
use razvilka_dsp::eeg::EegSpec;
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::score::{EpochScorer, LinearScorer, ScoreDensity};
use serde::{Deserialize, Serialize};

use crate::choice::Selection;
use crate::contraction::DeliberateContraction;
use crate::covariance::Symmetric;
use crate::deliberate::DeliberateBlink;
use crate::density::{posterior, restrict_density};
use crate::error::{CalibrationError, Result};
use crate::gaze::GazeCalibration;
use crate::lda::LdaModel;
use crate::metrics::Auc;
use crate::model::{EegModel, filters_without, unpaired};
use crate::prior::PriorUse;
use crate::pupil::PupilCalibration;

/// Fewer than one used channel in so many may be masked with the scorer going on as a whole.
pub(crate) const MASKED_SHARE: usize = 2;
/// And so much of the squared distance between the classes must be left: with less, the scores of what goes on lie too far from
/// where the densities expect them.
pub(crate) const DISTANCE_LEFT_MIN: f64 = 0.4;
/// Relative difference of two nominal rates that is still the same device.
const RATE_TOLERANCE: f64 = 0.005;

/// A fitted calibration. At least one of `eeg` and `gaze` is present.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Where it comes from.
    pub provenance: Provenance,
    /// P300: classifier, likelihood, how it was filtered.
    pub eeg: Option<EegCalibration>,
    /// Gaze: map and error.
    pub gaze: Option<GazeCalibration>,
    /// A deliberate blink as a signal; absent where none was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blink: Option<DeliberateBlink>,
    /// What the pupil says after an option was read; absent where it was not asked for, or tells nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pupil: Option<PupilCalibration>,
    /// A contraction of jaw or brow as a signal; absent where none was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contraction: Option<DeliberateContraction>,
}

/// Where a profile comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// When it was fitted, RFC 3339 in UTC, as the caller says.
    pub created_utc: String,
    /// Program and version that fitted it.
    pub software: String,
    /// The recordings, in the order used; empty for a live calibration that was not recorded.
    pub sources: Vec<SourceFile>,
}

/// A recording that a profile was fitted on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// File name without folders.
    pub name: String,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
}

/// Channels and rate of an EEG stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Montage {
    /// Channel labels in the order of the stream; empty strings where the stream names none.
    pub labels: Vec<String>,
    /// Nominal rate, Hz.
    pub rate_hz: f64,
}

impl Montage {
    /// Whether a stream fits: the same labels in the same order, and the same rate to 0.5 %.
    ///
    /// # Errors
    /// [`CalibrationError::Montage`], naming both.
    pub fn check(&self, stream: &Self) -> Result<()> {
        let rate_fits = (self.rate_hz - stream.rate_hz).abs() <= RATE_TOLERANCE * self.rate_hz;
        if self.labels == stream.labels && rate_fits {
            Ok(())
        } else {
            Err(CalibrationError::Montage {
                profile: self.to_string(),
                stream: stream.to_string(),
            })
        }
    }
}

impl std::fmt::Display for Montage {
    /// `8 channels (Fz, Cz, …) at 250 Hz`; long lists and long labels are cut.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 16;
        let plural = if self.labels.len() == 1 { "" } else { "s" };
        write!(f, "{} channel{plural} (", self.labels.len())?;
        for (index, label) in self.labels.iter().take(SHOWN).enumerate() {
            let label: String = label.chars().take(24).filter(|c| !c.is_control()).collect();
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}", if label.is_empty() { "?" } else { &label })?;
        }
        let more = if self.labels.len() > SHOWN {
            ", …"
        } else {
            ""
        };
        write!(f, "{more}) at {} Hz", self.rate_hz)
    }
}

/// How well the classifier did on epochs it was not trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EegMetrics {
    /// Epochs.
    pub epochs: usize,
    /// Targets among them.
    pub targets: usize,
    /// Uninterrupted blocks.
    pub runs: usize,
    /// Folds of the cross-validation.
    pub folds: usize,
    /// Area under the ROC curve of the out-of-fold scores.
    pub auc: Auc,
    /// Expected calibration error of the held-out probabilities, 10 bins.
    pub ece: f64,
    /// Brier score of the held-out probabilities.
    pub brier: f64,
    /// Log loss of the held-out probabilities, nats.
    pub log_loss: f64,
    /// Log loss of always saying the base rate, nats.
    pub base_log_loss: f64,
}

impl EegMetrics {
    /// Whether the AUC can be told from chance ([`Auc::above_chance`]).
    #[must_use]
    pub fn above_chance(&self) -> bool {
        self.auc.above_chance()
    }
}

/// The P300 part of a profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EegCalibration {
    /// Channel labels in the order of the stream; empty strings where the stream names none.
    pub labels: Vec<String>,
    /// How the signal becomes features, rate and number of channels included.
    pub path: EegSpec,
    /// How blinks are taken out of the filtered samples; absent: they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blinks: Option<BlinkRegression>,
    /// SHA-256 of the file beside the profile with the epochs that it was fitted on; absent: they were not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs_sha256: Option<String>,
    /// The shrinkage LDA, part of some scorers and the one that is left when many channels are bad.
    pub lda: LdaModel,
    /// From the LDA's own score to log-likelihood ratio.
    pub lda_density: ScoreDensity,
    /// The scorer that was picked.
    pub model: EegModel,
    /// Which scorers were compared, and why this one.
    pub selection: Selection,
    /// Covariance of the channels within epochs, microvolts squared; 0 at channels that are not used.
    pub channel_covariance: Symmetric,
    /// From score to log-likelihood ratio.
    pub density: ScoreDensity,
    /// What the gate raises the likelihood ratio to, 0 to 1.
    pub reliability: f64,
    /// The same for the LDA alone, by its own out-of-fold scores; absent: as for the scorer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lda_reliability: Option<f64>,
    /// Share of targets among the flashes of the calibration.
    pub base_rate: f64,
    /// How well it does.
    pub metrics: EegMetrics,
    /// The prior from other people that took part, whether or not its scorer was picked; absent: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior: Option<PriorUse>,
}

/// Which scorer is left without some channels.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// The whole one, with every channel.
    All,
    /// The whole one, some channels made up.
    Whole,
    /// The LDA alone.
    Lda,
}

/// A scorer without some channels, and the share of the classes' squared distance that is left to it.
struct Restricted {
    scorer: EpochScorer,
    part: Part,
    left: f64,
}

impl EegCalibration {
    /// The stream it was made for.
    #[must_use]
    pub fn montage(&self) -> Montage {
        Montage {
            labels: self.labels.clone(),
            rate_hz: self.path.rate.get(),
        }
    }

    /// The channels that it uses: those that were good enough to be fitted on.
    #[must_use]
    pub fn channels_used(&self) -> ChannelMask {
        let channels = self.lda.used.iter().enumerate();
        channels
            .filter(|(_, used)| **used)
            .map(|(k, _)| k)
            .collect()
    }

    /// The scorer of the full montage, to be given to the signal path.
    ///
    /// # Errors
    /// [`CalibrationError::Dsp`] when weights and path do not fit together, which [`Profile::validate`] excludes.
    pub fn scorer(&self) -> Result<EpochScorer> {
        self.model.scorer(&self.lda, self.path.epoch_shape()?)
    }

    /// Scorer and densities for a montage where only the channels with `kept` set can be used, without the data of the
    /// calibration. Not real-time: a covariance of that many channels is factorised.
    ///
    /// The LDA's part is solved anew from the sub-block of its covariance. With fewer than half of the used channels
    /// masked, and at least two fifths of the classes' squared distance left, a part in the tangent space goes on with the covariance
    /// that is to be expected of the whole montage: what the masked channels would have held is regressed from the others, and
    /// the covariance of the rest is added. Else the LDA is left alone, with the densities of its own out-of-fold
    /// scores; where these have earned less trust than the scorer's ([`EegCalibration::lda_reliability`]), their ratios are
    /// discounted by as much.
    ///
    /// # Errors
    /// As [`LdaModel::restrict`].
    pub fn restrict(&self, kept: &[bool]) -> Result<(EpochScorer, ScoreDensity)> {
        let Restricted { scorer, part, left } = self.restricted(kept)?;
        let densities = [self.density, self.lda_density];
        Ok((scorer, self.density_of(part, left, densities)?))
    }

    /// The same, with the densities that another calibration of this scorer gives, beside its own: `fitted` are its densities of the
    /// scorer and of the LDA alone.
    ///
    /// # Errors
    /// As [`LdaModel::restrict`].
    pub fn restrict_beside(
        &self,
        kept: &[bool],
        fitted: [ScoreDensity; 2],
    ) -> Result<(EpochScorer, ScoreDensity, ScoreDensity)> {
        let Restricted { scorer, part, left } = self.restricted(kept)?;
        let now = self.density_of(part, left, [self.density, self.lda_density])?;
        let then = self.density_of(part, left, fitted)?;
        Ok((scorer, now, then))
    }

    /// The density of what is left of a scorer, from those of the scorer and of the LDA.
    fn density_of(
        &self,
        part: Part,
        left: f64,
        densities: [ScoreDensity; 2],
    ) -> Result<ScoreDensity> {
        let [whole, lda] = densities;
        match part {
            Part::All => Ok(whole),
            Part::Whole => restrict_density(&whole, left),
            Part::Lda => Ok(restrict_density(&lda, left)?.discounted(self.lda_trust())?),
        }
    }

    fn restricted(&self, kept: &[bool]) -> Result<Restricted> {
        let restricted = self.lda.restrict(kept)?;
        let shape = self.path.epoch_shape()?;
        let of = |keep: bool| -> Vec<usize> {
            let pairs = self.lda.used.iter().zip(kept).enumerate();
            pairs
                .filter(|(_, (used, kept))| **used && **kept == keep)
                .map(|(channel, _)| channel)
                .collect()
        };
        let (good, masked) = (of(true), of(false));
        if masked.is_empty() {
            return Ok(Restricted {
                scorer: self.scorer()?,
                part: Part::All,
                left: 1.0,
            });
        }
        let few = MASKED_SHARE * masked.len() < good.len() + masked.len()
            && restricted.distance_ratio >= DISTANCE_LEFT_MIN;
        let parts = match &self.model {
            EegModel::Fusion {
                lda_weight,
                tangent,
            }
            | EegModel::Informed {
                lda_weight,
                tangent,
            } => Some((*lda_weight, tangent)),
            EegModel::XdawnTangent(tangent) | EegModel::ErpTangent(tangent) => Some((0.0, tangent)),
            EegModel::Lda | EegModel::BlockToeplitzLda(_) | EegModel::XdawnLda(_) => None,
        };
        if let (true, Some((lda_weight, tangent))) = (few, parts) {
            let left = filters_without(&tangent.filters, &self.channel_covariance, &good, &masked)?;
            let weights: Vec<f64> = unpaired(&restricted.weights, shape)
                .iter()
                .map(|w| w * lda_weight)
                .collect();
            let linear = LinearScorer::new(shape, &weights, restricted.bias * lda_weight)?;
            let scorer = EpochScorer::new(linear, Some(tangent.scorer_without(shape, &left)?))?;
            return Ok(Restricted {
                scorer,
                part: Part::Whole,
                left: restricted.distance_ratio,
            });
        }
        let linear = LinearScorer::new(
            shape,
            &unpaired(&restricted.weights, shape),
            restricted.bias,
        )?;
        Ok(Restricted {
            scorer: linear.into(),
            part: Part::Lda,
            left: restricted.distance_ratio,
        })
    }

    /// How much less the LDA alone is to be trusted than the scorer, 0 to 1.
    fn lda_trust(&self) -> f64 {
        match self.lda_reliability {
            Some(alone) if alone < self.reliability => alone / self.reliability,
            _ => 1.0,
        }
    }

    /// Probability that the flash with this score was a target, at the calibration's base rate:
    /// `logit p = reliability * llr + logit(base_rate)`. A score that is not finite says nothing: the base rate.
    #[must_use]
    pub fn p_target(&self, score: f64) -> f64 {
        posterior(
            self.density.llr(score).unwrap_or(0.0),
            self.base_rate,
            self.reliability,
        )
    }
}

impl Profile {
    /// Checks sizes, ranges and that every number is finite.
    ///
    /// # Errors
    /// As the parts say; [`CalibrationError::Nothing`] when neither EEG nor gaze is there.
    pub fn validate(&self) -> Result<()> {
        if self.eeg.is_none() && self.gaze.is_none() {
            return Err(CalibrationError::Nothing);
        }
        self.eeg.as_ref().map_or(Ok(()), EegCalibration::validate)?;
        self.gaze
            .as_ref()
            .map_or(Ok(()), GazeCalibration::validate)?;
        self.blink
            .as_ref()
            .map_or(Ok(()), DeliberateBlink::validate)?;
        self.pupil
            .as_ref()
            .map_or(Ok(()), PupilCalibration::validate)?;
        self.contraction
            .as_ref()
            .map_or(Ok(()), DeliberateContraction::validate)
    }
}
