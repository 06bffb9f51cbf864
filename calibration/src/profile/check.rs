//! Whether the numbers of a profile can be true: each by itself, and those that follow from one another.
//!
//! A checksum says that a file is as it was written, not that it was written by this program. What is let through here runs in
//! real time and chooses for a person.

use razvilka_dsp::eeg::EegPath;
use razvilka_dsp::epoch::EpochShape;
use razvilka_dsp::score::ScoreDensity;

use super::{EegCalibration, EegMetrics};
use crate::error::{CalibrationError, Result, in_range, same_size};
use crate::model::EegModel;

/// Fewest bins of an epoch: the discriminant sees means of two.
const BINS_MIN: usize = 2;
/// No log loss is higher, nats: a probability of zero in double precision.
const LOG_LOSS_MAX: f64 = 1e3;

impl EegCalibration {
    /// Checks sizes and ranges, and that the parts are those of one fit.
    ///
    /// # Errors
    /// As the parts say.
    pub(super) fn validate(&self) -> Result<()> {
        // Sizes first: nothing is built of a size that was not looked at.
        self.path.check()?;
        let shape = self.path.epoch_shape()?;
        in_range(
            "bins of an epoch",
            shape.bins() as f64,
            BINS_MIN as f64,
            f64::from(u32::MAX),
        )?;
        let channels = shape.channels();
        same_size("channel labels", channels, self.labels.len())?;
        same_size("channels of the classifier", channels, self.lda.used.len())?;
        same_size("bins of the classifier", shape.bins() / 2, self.lda.bins)?;
        self.lda.validate()?;
        self.model.validate(shape)?;
        self.check_channels_of_model(shape)?;
        // What is left to go wrong in a scorer (a reference that is not positive definite) or on the path (more channels wanted than
        // there are) is found now and not when the session starts.
        self.scorer()?;
        let _ = EegPath::prepare(self.path)?;
        self.check_channel_covariance(channels)?;
        if let Some(blinks) = &self.blinks {
            blinks.check()?;
            same_size("blink weights", channels, blinks.weights().len())?;
        }
        check_density(&self.density)?;
        check_density(&self.lda_density)?;
        in_range("EEG reliability", self.reliability, 0.0, 1.0)?;
        if let Some(reliability) = self.lda_reliability {
            in_range("reliability of the LDA alone", reliability, 0.0, 1.0)?;
        }
        in_range("base rate", self.base_rate, 1e-6, 1.0 - 1e-6)?;
        check_metrics(&self.metrics)?;
        if self.selection.picked == self.model.kind() {
            Ok(())
        } else {
            Err(CalibrationError::Degenerate {
                what: "the scorer",
                reason: "it is of another kind than the one that was picked",
            })
        }
    }

    /// A channel that the LDA does not use was bad throughout the calibration: nothing else may look at it.
    fn check_channels_of_model(&self, shape: EpochShape) -> Result<()> {
        let channels = shape.channels();
        let filters = match &self.model {
            EegModel::Lda => return Ok(()),
            EegModel::BlockToeplitzLda(model) => {
                return if model.used == self.lda.used {
                    Ok(())
                } else {
                    Err(other_channels())
                };
            }
            EegModel::XdawnLda(model) => &model.filters,
            EegModel::XdawnTangent(tangent)
            | EegModel::ErpTangent(tangent)
            | EegModel::Informed { tangent, .. }
            | EegModel::Fusion { tangent, .. } => &tangent.filters,
        };
        let mut rows = filters.chunks_exact(channels);
        if rows.all(|row| {
            row.iter()
                .zip(&self.lda.used)
                .all(|(weight, used)| *used || *weight == 0.0)
        }) {
            Ok(())
        } else {
            Err(other_channels())
        }
    }

    fn check_channel_covariance(&self, channels: usize) -> Result<()> {
        let covariance = &self.channel_covariance;
        same_size("channel covariance", channels, covariance.order())?;
        covariance.validate()?;
        let mut diagonal = (0..channels).map(|channel| covariance.get(channel, channel));
        let fits = |(variance, used): (f64, &bool)| {
            if *used {
                variance > 0.0
            } else {
                variance >= 0.0
            }
        };
        if diagonal.by_ref().zip(&self.lda.used).all(fits) {
            Ok(())
        } else {
            Err(CalibrationError::Degenerate {
                what: "the channel covariance",
                reason: "a channel that is used has no variance",
            })
        }
    }
}

fn other_channels() -> CalibrationError {
    CalibrationError::Degenerate {
        what: "the scorer",
        reason: "it looks at channels that the calibration left out",
    }
}

/// Evidence that speaks against what was attended would choose the wrong thing with confidence.
fn check_density(density: &ScoreDensity) -> Result<()> {
    if density.clip_nats() == 0.0 || density.target().location >= density.nontarget().location {
        Ok(())
    } else {
        Err(CalibrationError::Degenerate {
            what: "the densities of scores",
            reason: "targets score lower than non-targets",
        })
    }
}

fn check_metrics(m: &EegMetrics) -> Result<()> {
    for (what, value, max) in [
        ("AUC", m.auc.value, 1.0),
        ("standard error of the AUC", m.auc.standard_error, 1.0),
        ("lower end of the AUC's interval", m.auc.ci_low, 1.0),
        ("upper end of the AUC's interval", m.auc.ci_high, 1.0),
        ("calibration error", m.ece, 1.0),
        ("Brier score", m.brier, 1.0),
        ("log loss", m.log_loss, LOG_LOSS_MAX),
        ("log loss of the base rate", m.base_log_loss, LOG_LOSS_MAX),
    ] {
        in_range(what, value, 0.0, max)?;
    }
    let epochs = m.epochs as f64;
    in_range("epochs", epochs, 1.0, f64::from(u32::MAX))?;
    for (what, count) in [
        ("targets among the epochs", m.targets),
        ("runs of the epochs", m.runs),
        ("folds of the epochs", m.folds),
    ] {
        in_range(what, count as f64, 1.0, epochs)?;
    }
    Ok(())
}
