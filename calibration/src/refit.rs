//! A calibration fitted anew on its own epochs and on those of confirmed choices, by the scorer that was picked then.
//!
//! Minutes of signal take seconds of work: nothing here is real-time. What the fit may replace is judged by epochs that neither
//! had seen ([`worth_taking`]).

use crate::choice::choose_among;
use crate::density::{fit_score_density, posterior};
use crate::epochs::Epochs;
use crate::error::{CalibrationError, Result, same_size};
use crate::evidence::held_out_llrs;
use crate::metrics::log_loss;
use crate::model::{Material, ScorerKind};
use crate::profile::EegCalibration;
use crate::session::judge;
use crate::xdawn::channel_covariance;

/// A calibration fitted anew.
#[derive(Debug, Clone, PartialEq)]
pub struct Refit {
    /// The calibration. Reliability and selection are those of the first one.
    pub calibration: EegCalibration,
    /// Held-out log-likelihood ratio of each epoch, nats.
    pub llrs: Vec<f64>,
}

/// Fits the scorer of `calibration` anew, with its densities, on all of `epochs`. A scorer that began with other people's recordings
/// is followed by the fusion, which needs nobody else.
///
/// # Errors
/// [`CalibrationError::Shape`] for epochs of another shape, or with other channels in use; others as the fits say.
pub fn refit(calibration: &EegCalibration, epochs: &Epochs) -> Result<Refit> {
    let shape = calibration.path.epoch_shape()?;
    same_size(
        "channels of the epochs",
        shape.channels(),
        epochs.channels(),
    )?;
    same_size("bins per epoch", shape.bins(), epochs.bins())?;
    if epochs.used() != calibration.lda.used {
        return Err(CalibrationError::Degenerate {
            what: "a calibration with confirmed choices",
            reason: "the epochs use other channels than it does",
        });
    }
    let kind = match calibration.model.kind() {
        ScorerKind::Informed => ScorerKind::Fusion,
        kind => kind,
    };
    let labels = epochs.labels();
    let material = Material::new(epochs, shape)?;
    let epoch_s = calibration.path.epoch.length.get();
    let chosen = choose_among(&[kind], &material, None, epoch_s)?;
    let llrs = held_out_llrs(&chosen.held_out, &labels)?;
    let base_rate = epochs.targets() as f64 / epochs.len() as f64;
    let metrics = judge(
        epochs,
        &chosen.held_out,
        &llrs,
        Some(calibration.reliability),
    )?
    .metrics;
    Ok(Refit {
        calibration: EegCalibration {
            lda: chosen.fitted.lda,
            lda_density: fit_score_density(&chosen.lda_held_out.scores, &labels)?,
            model: chosen.fitted.model,
            channel_covariance: channel_covariance(epochs)?,
            density: fit_score_density(&chosen.held_out.scores, &labels)?,
            base_rate,
            metrics,
            // One that a prior began goes on as a fusion.
            selection: if kind == calibration.model.kind() {
                calibration.selection.clone()
            } else {
                chosen.selection
            },
            ..calibration.clone()
        },
        llrs,
    })
}

/// Log loss, nats, of two sets of log-likelihood ratios about the same epochs, at their own base rate; the second may take over
/// when its loss is not higher.
///
/// # Errors
/// [`CalibrationError::Shape`] when the lengths differ, or nothing was given.
pub fn worth_taking(before: &[f64], after: &[f64], labels: &[bool]) -> Result<(f64, f64)> {
    same_size("log-likelihood ratios", labels.len(), before.len())?;
    same_size("log-likelihood ratios", labels.len(), after.len())?;
    let targets = labels.iter().filter(|label| **label).count() as f64;
    let rate = (targets / labels.len().max(1) as f64).clamp(1e-6, 1.0 - 1e-6);
    let loss = |llrs: &[f64]| -> Result<f64> {
        let p: Vec<f64> = llrs.iter().map(|llr| posterior(*llr, rate, 1.0)).collect();
        log_loss(&p, labels)
    };
    Ok((loss(before)?, loss(after)?))
}
