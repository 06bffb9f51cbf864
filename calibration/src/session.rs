//! One calibration from beginning to end: epochs and looks in, profile and the report's material out.

use razvilka_dsp::eeg::EegSpec;
use razvilka_dsp::epoch::{EpochShape, EpochStatus, Rejection};
use razvilka_dsp::mask::ChannelMask;

use crate::choice::choose;
use crate::crossval::{MIN_PER_CLASS, OutOfFold, enough_of_both};
use crate::density::fit_score_density;
use crate::epochs::Epochs;
use crate::error::{CalibrationError, Result, in_range, same_size};
use crate::evidence::{earned_reliability, held_out_llrs, held_out_probabilities};
use crate::gaze::{FitRule, GazeInput, calibrate_gaze};
use crate::learning::{LearningPoint, learning_curve, seconds};
use crate::metrics::{
    Auc, brier, expected_calibration_error, held_out_auc, log_loss, reliability_diagram,
};
use crate::model::Material;
use crate::prior::{Others, fit_unlabelled};
use crate::profile::{EegCalibration, EegMetrics, Profile, Provenance};
use crate::resample::{AccuracyPoint, REPORT_SEED, accuracy_by_rounds};
use crate::signal::SignalQuality;
use crate::xdawn::channel_covariance;

/// What a calibration session recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrationInput {
    /// EEG, absent when only gaze is calibrated.
    pub eeg: Option<EegInput>,
    /// Calibration points and moving targets in the order shown; empty when only EEG is calibrated.
    pub gaze: GazeInput,
    /// Where the data come from.
    pub provenance: Provenance,
}

/// The EEG part of a calibration session.
#[derive(Debug, Clone, PartialEq)]
pub struct EegInput {
    /// Channel labels in the order of the stream; empty strings where the stream names none.
    pub labels: Vec<String>,
    /// How the signal became features.
    pub path: EegSpec,
    /// Flashes whose truth is known, in the order of time; may be empty where there is a prior.
    pub epochs: Epochs,
    /// What other people's recordings say, of the same path, and this person's flashes without a label.
    pub prior: Option<Others>,
    /// Flashes left out: no whole epoch, or a doubt about the signal.
    pub rejected: usize,
    /// What the recording says about its channels, where it was judged; only the report shows it.
    pub signal: Option<SignalQuality>,
}

/// A fitted calibration.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// What is kept.
    pub profile: Profile,
    /// What the report draws beside the profile.
    pub report: ReportInput,
}

/// What the report draws beside the profile.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportInput {
    /// The EEG part.
    pub eeg: Option<EegReport>,
}

/// EEG material of the report.
#[derive(Debug, Clone, PartialEq)]
pub struct EegReport {
    /// Average responses.
    pub erp: Erp,
    /// Out-of-fold score of each epoch that would bring evidence in a session.
    pub scores: Vec<f64>,
    /// Whether it was a target.
    pub labels: Vec<bool>,
    /// Held-out probability of a target, densities, reliability and base rate fitted on the epochs apart from it.
    pub p_target: Vec<f64>,
    /// Fold in which each epoch was held out.
    pub fold: Vec<usize>,
    /// Held-out AUC of the shrinkage LDA against the length of the calibration; empty when it is too short for that.
    pub learning: Vec<LearningPoint>,
    /// Seconds of flashing, breaks between runs left out.
    pub seconds: f64,
    /// How often choices would be right.
    pub accuracy: Vec<AccuracyPoint>,
    /// Flashes left out of the fit.
    pub rejected: usize,
    /// Flashes fitted on that would bring no evidence in a session, and are in no figure but [`EegReport::auc_of_all`].
    pub doubted: usize,
    /// Held-out AUC of all flashes fitted on, those in doubt included.
    pub auc_of_all: Auc,
    /// What the recording says about its channels.
    pub signal: Option<SignalQuality>,
}

/// Average responses to targets and non-targets, with standard errors; each `[channel][bin]`, microvolts.
#[derive(Debug, Clone, PartialEq)]
pub struct Erp {
    /// Middle of each bin, seconds after the flash.
    pub time_s: Vec<f64>,
    /// Mean of targets.
    pub target_mean: Vec<f64>,
    /// Standard error of that mean.
    pub target_se: Vec<f64>,
    /// Mean of non-targets.
    pub other_mean: Vec<f64>,
    /// Standard error of that mean.
    pub other_se: Vec<f64>,
}

/// An epoch that swings beyond this multiple of the peak-to-peak limit is not even fitted on.
pub const FIT_SWING_MAX: f64 = 3.0;

/// Whether an epoch that has ended may be fitted on: a clean one, or one that was rejected for its peak-to-peak swing alone
/// and whose features (`[channel][bin]`, microvolts) swing no more than three times the limit in the channels used.
///
/// Blinks and a restless electrode are thus known to the covariance, and the scores learn to ignore them; as evidence
/// such an epoch stays rejected. Electrode pops of millivolts would drown everything else and stay out.
#[must_use]
pub fn may_be_fitted_on(
    path: &EegSpec,
    used: &ChannelMask,
    status: EpochStatus,
    features: &[f64],
) -> bool {
    match status {
        EpochStatus::Clean => true,
        EpochStatus::Rejected(Rejection::PeakToPeak) => {
            let limit_uv = FIT_SWING_MAX * path.epoch.peak_to_peak.get();
            let bins = (features.len() / path.channels.max(1)).max(1);
            let mut rows = features.chunks_exact(bins).enumerate();
            rows.all(|(channel, row)| {
                let low = row.iter().copied().fold(f64::INFINITY, f64::min);
                let high = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                !used.contains(channel) || high - low <= limit_uv
            })
        }
        EpochStatus::Rejected(_) => false,
    }
}

/// Fits a whole calibration session.
///
/// # Errors
/// [`CalibrationError::Nothing`] without EEG and gaze; [`CalibrationError::TooFew`] with fewer than 10 targets or
/// non-targets and no prior, with fewer than 20 flashes and a prior, or with fewer than 4 usable gaze points;
/// [`CalibrationError::OnePerson`] where labels are missing and the prior is of one person; others as the fits say.
pub fn fit_session(input: &CalibrationInput) -> Result<Fitted> {
    if input.eeg.is_none() && input.gaze.is_empty() {
        return Err(CalibrationError::Nothing);
    }
    let eeg = input.eeg.as_ref().map(fit_eeg).transpose()?;
    let gaze = if input.gaze.is_empty() {
        None
    } else {
        Some(calibrate_gaze(&input.gaze, FitRule::default())?)
    };
    let (eeg, report) = eeg.unzip();
    let profile = Profile {
        provenance: input.provenance.clone(),
        eeg,
        gaze,
        blink: None,
        pupil: None,
        contraction: None,
    };
    profile.validate()?;
    Ok(Fitted {
        profile,
        report: ReportInput { eeg: report },
    })
}

fn fit_eeg(input: &EegInput) -> Result<(EegCalibration, EegReport)> {
    let epochs = &input.epochs;
    input.path.check()?;
    let shape = input.path.epoch_shape()?;
    same_size("channel labels", shape.channels(), input.labels.len())?;
    same_size(
        "channels of the epochs",
        shape.channels(),
        epochs.channels(),
    )?;
    same_size("bins per epoch", shape.bins(), epochs.bins())?;
    in_range(
        "bins of an epoch (its length times the rate, or 64 Hz; make it longer)",
        epochs.bins() as f64,
        2.0,
        f64::from(u32::MAX),
    )?;
    if let Some(signal) = &input.signal {
        same_size(
            "channels of the signal's quality",
            shape.channels(),
            signal.channels.len(),
        )?;
    }

    if let Some(others) = &input.prior {
        others.check(epochs)?;
        if enough_of_both(epochs).is_err() {
            return fit_unlabelled(input, others, shape);
        }
    }
    enough_of_both(epochs)?;
    fit_labelled(input, shape).map_err(|error| match error {
        // The session has enough; what is left of it without a fold has not.
        CalibrationError::TooFew { .. } => CalibrationError::OnePart {
            targets: epochs.targets(),
            others: epochs.len() - epochs.targets(),
        },
        other => other,
    })
}

/// With enough epochs of both classes.
fn fit_labelled(input: &EegInput, shape: EpochShape) -> Result<(EegCalibration, EegReport)> {
    let epochs = &input.epochs;
    let labels = epochs.labels();
    let material = Material::new(epochs, shape)?;
    let epoch_s = input.path.epoch.length.get();
    let chosen = choose(&material, input.prior.as_ref(), epoch_s)?;
    let held_out = chosen.held_out;
    let base_rate = epochs.targets() as f64 / epochs.len() as f64;
    let llrs = held_out_llrs(&held_out, &labels)?;
    let judged = judge(epochs, &held_out, &llrs, None)?;
    let Judged {
        metrics,
        reliability,
        ..
    } = judged;
    let calibration = EegCalibration {
        labels: input.labels.clone(),
        path: input.path,
        blinks: None,
        epochs_sha256: None,
        lda: chosen.fitted.lda,
        lda_density: fit_score_density(&chosen.lda_held_out.scores, &labels)?,
        model: chosen.fitted.model,
        channel_covariance: channel_covariance(epochs)?,
        selection: chosen.selection,
        density: fit_score_density(&held_out.scores, &labels)?,
        reliability,
        lda_reliability: Some(reliability_of(&chosen.lda_held_out, &labels, base_rate)?),
        base_rate,
        metrics,
        prior: input.prior.as_ref().map(|others| others.used(false)),
    };
    let doubted = epochs.len() - judged.rows.len();
    let flashes = epochs.len() + input.rejected;
    let silent_share = (doubted + input.rejected) as f64 / flashes.max(1) as f64;
    let report = EegReport {
        erp: Erp::of(epochs, &input.path, shape),
        learning: learning_curve(&material.paired, epoch_s)?,
        seconds: seconds(epochs, epoch_s),
        accuracy: accuracy_by_rounds(
            &at(&llrs, &judged.rows),
            &at(&labels, &judged.rows),
            &at(&held_out.fold, &judged.rows),
            silent_share,
            REPORT_SEED,
        )?,
        scores: at(&held_out.scores, &judged.rows),
        fold: at(&held_out.fold, &judged.rows),
        labels: at(&labels, &judged.rows),
        p_target: judged.p_target,
        rejected: input.rejected,
        doubted,
        auc_of_all: held_out_auc(&held_out.scores, &labels, held_out.folds)?,
        signal: input.signal.clone(),
    };
    Ok((calibration, report))
}

/// How well a scorer does on the epochs that would bring evidence in a session.
pub(crate) struct Judged {
    /// The figures.
    pub(crate) metrics: EegMetrics,
    /// How far the log-likelihood ratios may be trusted.
    pub(crate) reliability: f64,
    /// The epochs they are of.
    pub(crate) rows: Vec<usize>,
    /// Held-out probability of a target of each of those.
    pub(crate) p_target: Vec<f64>,
}

/// How well held-out scores and their log-likelihood ratios do, and how far these may be trusted: as far as `reliability` says,
/// or as far as they have earned it on all epochs.
///
/// Epochs in doubt bring no evidence in a session and have no part in it, unless fewer than 10 of a class would be left.
pub(crate) fn judge(
    epochs: &Epochs,
    held_out: &OutOfFold,
    llrs: &[f64],
    reliability: Option<f64>,
) -> Result<Judged> {
    let labels = epochs.labels();
    let mut evident: Vec<bool> = epochs.doubted().iter().map(|doubted| !doubted).collect();
    let count = |target: bool| {
        let pairs = evident.iter().zip(&labels);
        pairs.filter(|(e, l)| **e && **l == target).count()
    };
    if count(true).min(count(false)) < MIN_PER_CLASS {
        evident.fill(true);
    }
    let rows: Vec<usize> = (0..labels.len()).filter(|&row| evident[row]).collect();
    let truth = at(&labels, &rows);
    let targets = truth.iter().filter(|target| **target).count();
    let scores = at(&held_out.scores, &rows);
    let base_rate = epochs.targets() as f64 / epochs.len() as f64;
    let probabilities = held_out_probabilities(held_out, llrs, &labels, &evident, reliability)?;
    let p_target = at(&probabilities.p_target, &rows);
    let metrics = EegMetrics {
        epochs: rows.len(),
        targets,
        runs: epochs.info().chunk_by(|a, b| a.run == b.run).count(),
        folds: held_out.folds,
        auc: held_out_auc(&scores, &truth, held_out.folds)?,
        ece: expected_calibration_error(&reliability_diagram(&p_target, &truth)?),
        brier: brier(&p_target, &truth)?,
        log_loss: log_loss(&p_target, &truth)?,
        base_log_loss: log_loss(&at(&probabilities.base, &rows), &truth)?,
    };
    let reliability = match reliability {
        Some(given) => given,
        None => earned_reliability(&scores, &at(llrs, &rows), &truth, base_rate, held_out.folds)?,
    };
    Ok(Judged {
        metrics,
        reliability,
        rows,
        p_target,
    })
}

/// The values of these rows.
fn at<T: Copy>(values: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().map(|&row| values[row]).collect()
}

/// How far held-out scores may be trusted by themselves.
pub(crate) fn reliability_of(held_out: &OutOfFold, labels: &[bool], base_rate: f64) -> Result<f64> {
    let llrs = held_out_llrs(held_out, labels)?;
    earned_reliability(&held_out.scores, &llrs, labels, base_rate, held_out.folds)
}

impl Erp {
    pub(crate) fn of(epochs: &Epochs, path: &EegSpec, shape: EpochShape) -> Self {
        let bin_s = shape.bin_samples() as f64 / path.rate.get();
        let start_s = path.epoch.start.get();
        let (target_mean, target_se) = mean_and_error(epochs, true);
        let (other_mean, other_se) = mean_and_error(epochs, false);
        Self {
            time_s: (0..epochs.bins())
                .map(|bin| start_s + (bin as f64 + 0.5) * bin_s)
                .collect(),
            target_mean,
            target_se,
            other_mean,
            other_se,
        }
    }
}

/// Mean and standard error of one class, feature by feature; zeros for an empty class.
fn mean_and_error(epochs: &Epochs, target: bool) -> (Vec<f64>, Vec<f64>) {
    let width = epochs.features_per_epoch();
    let rows: Vec<&[f64]> = (0..epochs.len())
        .filter(|&row| epochs.info()[row].target == target)
        .map(|row| epochs.row(row))
        .collect();
    let n = rows.len().max(1) as f64;
    let mut mean = vec![0.0; width];
    for row in &rows {
        mean.iter_mut().zip(*row).for_each(|(m, v)| *m += v / n);
    }
    let mut error = vec![0.0; width];
    for row in &rows {
        for ((e, v), m) in error.iter_mut().zip(*row).zip(&mean) {
            *e += (v - m).powi(2);
        }
    }
    let freedom = (n - 1.0).max(1.0);
    for e in &mut error {
        *e = (*e / freedom / n).sqrt();
    }
    (mean, error)
}
