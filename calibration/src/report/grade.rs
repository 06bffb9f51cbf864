//! Bands by which a calibration is called good, fair or poor. The report prints them beside each figure.

use crate::gaze::GazeQuality;
use crate::profile::{EegCalibration, EegMetrics};

/// How good a figure is for choosing at forks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// Not to be relied on.
    Poor,
    /// Usable; expect more repetitions or wider targets.
    Fair,
    /// As good as needed.
    Good,
}

impl Grade {
    /// `good`, `fair` or `poor`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Poor => "poor",
            Self::Fair => "fair",
            Self::Good => "good",
        }
    }

    /// Grade of a figure where more is better.
    fn at_least(value: f64, good: f64, fair: f64) -> Self {
        if value >= good {
            Self::Good
        } else if value >= fair {
            Self::Fair
        } else {
            Self::Poor
        }
    }

    /// Grade of a figure where less is better.
    fn at_most(value: f64, good: f64, fair: f64) -> Self {
        Self::at_least(-value, -good, -fair)
    }
}

/// Area under the ROC curve: good from 0.85 if the lower end of its interval is at least 0.70, fair from 0.70; poor in any case when
/// it cannot be told from chance.
#[must_use]
pub fn grade_auc(metrics: &EegMetrics) -> Grade {
    if !metrics.above_chance() {
        return Grade::Poor;
    }
    let grade = Grade::at_least(metrics.auc.value, 0.85, 0.70);
    if metrics.auc.ci_low < 0.70 {
        grade.min(Grade::Fair)
    } else {
        grade
    }
}

/// Expected calibration error: good up to 0.05, fair up to 0.10. None where the evidence is switched off (reliability 0): that the
/// base rate comes true is no merit.
#[must_use]
pub fn grade_ece(eeg: &EegCalibration) -> Option<Grade> {
    (eeg.reliability > 0.0).then(|| Grade::at_most(eeg.metrics.ece, 0.05, 0.10))
}

/// The EEG as a whole: its AUC, but never better than its calibration error; poor where its evidence is switched off.
#[must_use]
pub fn grade_eeg(eeg: &EegCalibration) -> Grade {
    grade_ece(eeg).map_or(Grade::Poor, |ece| ece.min(grade_auc(&eeg.metrics)))
}

/// Gaze accuracy: good up to 1 degree on average and 1.5 at the worst point, fair up to 1.5 and 2; the bands of a validation on
/// EyeLink trackers (SR Research, "What determines whether a validation is GOOD, FAIR or POOR?", support thread 244), which
/// suggests 0.5 and 1 as an aim for adults.
#[must_use]
pub fn grade_accuracy(quality: &GazeQuality) -> Grade {
    grade_point(quality.accuracy_deg).min(Grade::at_most(quality.worst_deg, 1.5, 2.0))
}

/// One point's error by the bands of the average: good up to 1 degree, fair up to 1.5.
#[must_use]
pub fn grade_point(error_deg: f64) -> Grade {
    Grade::at_most(error_deg, 1.0, 1.5)
}

/// Whether the rate is the declared one: good within 2 %, which the engine takes, else poor. None where none was declared.
#[must_use]
pub fn grade_rate(quality: &GazeQuality) -> Option<Grade> {
    let (stamped, declared) = quality.stamped_rate_hz.zip(quality.declared_rate_hz)?;
    let off = (stamped / declared - 1.0).abs();
    Some(Grade::at_most(off, 0.02, 0.02))
}

/// Gaze precision (standard deviation): good up to 0.5 degrees, fair up to 1. Bands of our own, for tiles of some degrees.
#[must_use]
pub fn grade_precision(quality: &GazeQuality) -> Grade {
    Grade::at_most(quality.precision_sd_deg, 0.5, 1.0)
}

/// Lost gaze samples: good up to 10 %, fair up to 25 %. Bands of our own: blinks alone take some 5 %.
#[must_use]
pub fn grade_loss(quality: &GazeQuality) -> Grade {
    Grade::at_most(quality.data_loss, 0.10, 0.25)
}

/// The gaze as a whole: the worst of accuracy, precision and loss.
#[must_use]
pub fn grade_gaze(quality: &GazeQuality) -> Grade {
    grade_accuracy(quality)
        .min(grade_precision(quality))
        .min(grade_loss(quality))
}
