//! Everything that can go wrong in this crate, in words that say what to do.

use std::path::PathBuf;

/// Why a calibration, a profile or a report was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// Two things that belong together have different sizes.
    #[error("{what}: expected {expected}, got {actual}")]
    Shape {
        /// What was measured.
        what: &'static str,
        /// The size that fits.
        expected: usize,
        /// The size given.
        actual: usize,
    },
    /// Too little data to fit what was asked for.
    #[error("{what}: {found} given, at least {needed} needed. Record a longer calibration")]
    TooFew {
        /// What is missing.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many are needed.
        needed: usize,
    },
    /// Both classes are there, but one is missing where some parts of the session are left out.
    #[error(
        "the {targets} targets or the {others} non-targets lie in one part of the session: without that part none is left to fit \
         on, so that nothing can be judged. Cue targets from the beginning to the end, in ten blocks or more"
    )]
    OnePart {
        /// Target epochs of the whole session.
        targets: usize,
        /// Non-target epochs of the whole session.
        others: usize,
    },
    /// Neither EEG epochs nor gaze points were given.
    #[error(
        "nothing to calibrate: no labelled flash and no gaze point. The recording needs markers \
         with \"event\":\"flash\" and \"target\":0 or 1, or \"event\":\"gaze_point\""
    )]
    Nothing,
    /// Labels are missing, and the prior is of one person, so that nothing can be judged.
    #[error(
        "this person's flashes have too few labels, and the prior is of one person: nobody is left to judge it by. Give \
         recordings of two people or more, or 10 targets and 10 non-targets of this person with their labels"
    )]
    OnePerson,
    /// A value that must be a number is NaN or infinite.
    #[error("{what}: value {index} is not finite. Reject such samples before the fit")]
    NotFinite {
        /// Where it was found.
        what: &'static str,
        /// Its index.
        index: usize,
    },
    /// A parameter lies outside its documented range.
    #[error("{what} must lie in {min}..={max}, got {got}")]
    OutOfRange {
        /// The parameter.
        what: &'static str,
        /// Smallest value accepted.
        min: f64,
        /// Largest value accepted.
        max: f64,
        /// The value given.
        got: f64,
    },
    /// The signal path refuses a setting.
    #[error("{0}")]
    Dsp(#[from] razvilka_dsp::DspError),
    /// The data do not determine the fit: constant scores, a flat channel, points on one line.
    #[error("{what} cannot be fitted: {reason}")]
    Degenerate {
        /// What was to be fitted.
        what: &'static str,
        /// What is wrong with the data.
        reason: &'static str,
    },
    /// Two kinds cannot be told apart, held out.
    #[error(
        "{what}: AUC {auc:.2} ({low:.2} to {high:.2}, 0.5 is chance), reliability {reliability:.2}, held out"
    )]
    NotTold {
        /// What was to be told.
        what: &'static str,
        /// Area under the curve.
        auc: f64,
        /// Lower end of its 95 % interval.
        low: f64,
        /// Upper end.
        high: f64,
        /// Trust in held-out ratios, 0 to 1.
        reliability: f64,
    },
    /// A file cannot be read from the disk.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The file is no calibration profile, or no prior.
    #[error("{} is not a {what} of this program: {reason}", path.display())]
    Foreign {
        /// What it should have been.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// The file beside a profile does not hold the epochs that it was fitted on.
    #[error(
        "{} does not hold the epochs of the profile beside it: {reason}. Take it away, and the scorer is not fitted anew in a \
         session, or calibrate again", path.display()
    )]
    Epochs {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The file was written by a later version of this program.
    #[error(
        "{what} {} has format {found}, this program reads up to {supported}. Update the program \
         or make it again", path.display()
    )]
    Newer {
        /// What the file is.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Its format number.
        found: u64,
        /// The latest format known here.
        supported: u64,
    },
    /// The content of the file is not what was written.
    #[error(
        "{what} {} is damaged or was edited: its checksum is {stated}, its content has {actual}. \
         Restore it or make it again", path.display()
    )]
    Checksum {
        /// What the file is.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// SHA-256 in the file.
        stated: String,
        /// SHA-256 of the content.
        actual: String,
    },
    /// The profile belongs to another montage or rate than the stream's.
    #[error(
        "the profile was made for {profile}, the stream has {stream}. Use this montage's profile \
         or calibrate again"
    )]
    Montage {
        /// Channels and rate of the profile.
        profile: String,
        /// Channels and rate of the stream.
        stream: String,
    },
    /// The file is already there.
    #[error("{} exists and is not overwritten. Choose another folder, or say --force", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("{} cannot be written: {source}. Choose a folder you may write to", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A plot could not be drawn.
    #[error("the report's plot '{plot}' cannot be drawn: {reason}")]
    Plot {
        /// Which plot.
        plot: &'static str,
        /// What the plotting library said.
        reason: String,
    },
}

/// Short for this crate's results.
pub type Result<T> = std::result::Result<T, CalibrationError>;

/// Refuses NaN and infinity.
pub(crate) fn finite(what: &'static str, values: &[f64]) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(CalibrationError::NotFinite { what, index }),
        None => Ok(()),
    }
}

/// Refuses a value outside `min..=max`, and NaN.
pub(crate) fn in_range(what: &'static str, got: f64, min: f64, max: f64) -> Result<()> {
    if got >= min && got <= max {
        Ok(())
    } else {
        Err(CalibrationError::OutOfRange {
            what,
            min,
            max,
            got,
        })
    }
}

/// Refuses two sizes that differ.
pub(crate) fn same_size(what: &'static str, expected: usize, actual: usize) -> Result<()> {
    if expected == actual {
        Ok(())
    } else {
        Err(CalibrationError::Shape {
            what,
            expected,
            actual,
        })
    }
}
