//! Fits what `razvilka-dsp` runs, proves how good the fit is, and keeps it.
//!
//! From labelled epochs: a shrinkage discriminant ([`LdaModel`]), out-of-fold scores ([`out_of_fold`]), their densities and
//! with them a calibrated log-likelihood ratio ([`fit_score_density`]), and how far it may be trusted ([`fit_reliability`]).
//! From looks at known points: a gaze map and its error ([`fit_gaze`]). Both go into a [`Profile`], which is a versioned,
//! checksummed file, and into a [`report`]; [`fit_session`] does all of it.
//!
//! What may not enter: live streams, threads, models of language. Nothing here is real-time.

#![forbid(unsafe_code)]

mod adapt;
mod blink;
mod choice;
mod comparison;
mod contraction;
mod covariance;
mod crossval;
mod cued;
mod deliberate;
mod density;
mod drift;
mod epochs;
mod error;
mod evidence;
mod gaze;
mod interpolation;
mod lda;
mod learning;
mod logistic;
mod metrics;
mod model;
mod prior;
mod profile;
mod pupil;
mod refit;
pub mod report;
mod resample;
mod scalp;
mod sealed;
mod session;
mod signal;
mod spd;
mod tangent;
mod xdawn;

pub use adapt::{AdaptRule, Adaptive, ConfirmedEpoch, Learnt};
pub use blink::{BLINK_MIN_UV, BLINKS_MIN, BlinkFit, blink_reference};
pub use choice::{PriorAlone, Selection};
pub use comparison::Candidate;
pub use contraction::{
    ContractionTrials, DeliberateContraction, fit_deliberate_contraction, muscle_channels,
};
pub use covariance::{Shrunk, Symmetric, ledoit_wolf};
pub use crossval::{FOLDS, OutOfFold, contiguous_folds, out_of_fold};
pub use cued::ANSWER_S;
pub use deliberate::{BLINKS_OF_EACH_MIN, BlinkTrials, DeliberateBlink, fit_deliberate_blink};
pub use density::{
    DOF_RANGE, fit_score_density, fit_student_t, logistic, on_scale_of, posterior, restrict_density,
};
pub use drift::ScoreDrift;
pub use epochs::{EpochInfo, Epochs, FEATURES_MAX};
pub use error::{CalibrationError, Result};
pub use evidence::{fit_reliability, held_out_llrs};
pub use gaze::{
    EyeCalibration, EyeMaps, EyeSamples, FitRule, GazeCalibration, GazeErrorModel, GazeInput,
    GazeMap, GazePoint, GazePursuit, GazeQuality, GazeSample, HeldOut, MapOrder, PointResult,
    PointUse, PursuitPath, PursuitResult, RejectedPoint, Rejection, calibrate_gaze, fit_gaze,
    rms_s2s, sd,
};
pub use interpolation::Interpolation;
pub use lda::{LdaModel, RestrictedLda, Structure};
pub use learning::{LearningPoint, learning_curve};
pub use logistic::{Logistic, fit_logistic};
pub use metrics::{
    Auc, BINS, ReliabilityBin, RocPoint, auc, brier, expected_calibration_error, fold_inflation,
    held_out_auc, log_loss, reliability_diagram, roc, wilson_interval,
};
pub use model::{ERP_CHANNELS_MAX, EegModel, ScorerKind, XdawnLda};
pub use prior::{
    Informed, Others, Outlook, PRIOR_CHANNELS_MAX, PRIOR_FORMAT, PRIOR_KIND, PRIOR_RECORDINGS_MAX,
    Prior, PriorFile, PriorUse, ViewPrior,
};
pub use profile::{
    EPOCHS_FILE, EegCalibration, EegMetrics, FORMAT, KIND, Montage, Profile, Provenance,
    SourceFile, epochs_beside,
};
pub use pupil::{
    LOOKS_OF_EACH_MIN, PupilCalibration, PupilLook, PupilTrials, fit_place, fit_pupil,
};
pub use refit::{Refit, refit, worth_taking};
pub use resample::{
    AccuracyPoint, FORK_ITEMS, FORK_OPTIONS, FORKS, FORKS_RESAMPLED, REPORT_SEED, RESAMPLES,
    ROUNDS_MAX, RocBand, accuracy_by_rounds, roc_band,
};
pub use scalp::{Direction, SphericalSpline, angle_deg, direction, electrode, electrode_10_10};
pub use sealed::Overwrite;
pub use session::{
    CalibrationInput, EegInput, EegReport, Erp, FIT_SWING_MAX, Fitted, ReportInput, fit_session,
    may_be_fitted_on,
};
pub use signal::{ChannelSignal, LeftOut, SignalQuality};
pub use tangent::{Stack, TangentModel, TangentSpace};
pub use xdawn::Xdawn;
