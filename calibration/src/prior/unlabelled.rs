//! A calibration without labels: the scorer from the prior and this person's flashes, everything that needs a truth from the
//! prior's people.

use razvilka_dsp::epoch::EpochShape;

use super::Others;
use super::meet::EPOCHS_MIN;
use crate::choice::Selection;
use crate::comparison::Candidate;
use crate::density::posterior;
use crate::error::{CalibrationError, Result};
use crate::learning::seconds;
use crate::metrics::{brier, expected_calibration_error, log_loss, reliability_diagram};
use crate::model::ScorerKind;
use crate::profile::{EegCalibration, EegMetrics};
use crate::resample::{REPORT_SEED, accuracy_by_rounds};
use crate::session::{EegInput, EegReport, Erp};
use crate::xdawn::channel_covariance;

/// Fits a person of whom too few flashes have a label to judge anything by.
///
/// # Errors
/// [`CalibrationError::OnePerson`] when the prior is of one person only, as there is nobody to judge it by;
/// [`CalibrationError::TooFew`] with fewer than 20 flashes; others as the fits say.
pub(crate) fn fit_unlabelled(
    input: &EegInput,
    others: &Others,
    shape: EpochShape,
) -> Result<(EegCalibration, EegReport)> {
    let labelled = &input.epochs;
    let outlook = others
        .prior
        .outlook
        .as_ref()
        .ok_or(CalibrationError::OnePerson)?;
    let mut own = labelled.clone();
    if let Some(unlabelled) = &others.unlabelled {
        for row in 0..unlabelled.len() {
            own.push(unlabelled.info()[row], unlabelled.row(row))?;
        }
    }
    if own.len() < EPOCHS_MIN {
        return Err(CalibrationError::TooFew {
            what: "flashes of this person, labelled or not, for a prior to meet them by",
            found: own.len(),
            needed: EPOCHS_MIN,
        });
    }
    let met = others.meet(labelled)?;
    let base_rate = others.prior.base_rate;
    let expected = outlook.expect(base_rate)?;
    let truths = &outlook.targets;
    let p_target: Vec<f64> = expected
        .llrs
        .iter()
        .map(|&llr| posterior(llr, base_rate, expected.reliability))
        .collect();
    let people = outlook.people();
    let metrics = EegMetrics {
        epochs: truths.len(),
        targets: truths.iter().filter(|target| **target).count(),
        runs: people,
        folds: people,
        auc: expected.auc,
        ece: expected_calibration_error(&reliability_diagram(&p_target, truths)?),
        brier: brier(&p_target, truths)?,
        log_loss: log_loss(&p_target, truths)?,
        base_log_loss: log_loss(&vec![base_rate; truths.len()], truths)?,
    };
    let calibration = EegCalibration {
        labels: input.labels.clone(),
        path: input.path,
        blinks: None,
        epochs_sha256: None,
        lda: met.lda,
        lda_density: expected.lda_density,
        model: met.model,
        channel_covariance: channel_covariance(&own)?,
        selection: Selection {
            candidates: vec![Candidate {
                kind: ScorerKind::Informed,
                auc: expected.auc.value,
                standard_error: expected.auc.standard_error,
                lead: 0.0,
                lead_error: 0.0,
            }],
            picked: ScorerKind::Informed,
            compared_folds: 0,
            folds: people,
            prior_alone: None,
        },
        density: expected.density,
        reliability: expected.reliability,
        lda_reliability: Some(expected.lda_reliability),
        base_rate,
        metrics,
        prior: Some(others.used(true)),
    };
    let report = EegReport {
        erp: Erp::of(labelled, &input.path, shape),
        learning: Vec::new(),
        seconds: seconds(&own, input.path.epoch.length.get()),
        accuracy: accuracy_by_rounds(&expected.llrs, truths, &outlook.person, 0.0, REPORT_SEED)?,
        scores: outlook.scores.clone(),
        fold: outlook.person.clone(),
        labels: truths.clone(),
        p_target,
        rejected: input.rejected,
        doubted: 0,
        auc_of_all: expected.auc,
        signal: input.signal.clone(),
    };
    Ok((calibration, report))
}
