//! The calibration report: one HTML file that a person reads to decide whether to go on.

mod canvas;
mod constants;
mod curves;
mod eeg;
mod eeg_plots;
mod gaze;
mod gaze_plot;
mod grade;
mod html;
mod markup;
mod outlook;
mod parameters;
mod prior;
mod scalp_plot;
mod signal;

use std::path::Path;

pub use grade::{
    Grade, grade_accuracy, grade_auc, grade_ece, grade_eeg, grade_gaze, grade_loss, grade_point,
    grade_precision, grade_rate,
};
pub use html::render;

use crate::error::Result;
use crate::profile::Profile;
use crate::sealed::{Overwrite, write_private};
use crate::session::ReportInput;

/// Writes the report of a calibration, whole or not at all, readable by its owner only.
///
/// # Errors
/// As [`render`]; [`crate::CalibrationError::Exists`] or [`crate::CalibrationError::Unwritable`].
pub fn save_report(
    profile: &Profile,
    input: &ReportInput,
    path: &Path,
    overwrite: Overwrite,
) -> Result<()> {
    write_private(path, render(profile, input)?.as_bytes(), overwrite)
}
