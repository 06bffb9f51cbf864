//! The end of a session: summary and report, and how the program ends.

use std::path::Path;

use super::Left;
use crate::cli::exit::{Exit, Failure};
use crate::engine::{EngineError, lines};
use crate::report;
use crate::session::{SessionFile, Summary, Truth};

/// Writes summary and report. `truth` names what the person wanted, where that is known.
///
/// # Errors
/// [`Exit::RecordingIncomplete`] when they cannot be written.
pub fn conclude(left: &Left, truth: Option<&Path>) -> Result<Summary, Failure> {
    let incomplete = Exit::RecordingIncomplete;
    let truth = truth
        .map(Truth::read)
        .transpose()
        .map_err(|error| Failure::new(incomplete, error))?;
    let written = report::write(left.folder.path(), truth.as_ref())
        .map_err(|error| Failure::new(incomplete, error))?;
    left.folder
        .write_json(SessionFile::Summary, &written.summary)
        .map_err(|error| Failure::new(incomplete, error))?;
    Ok(written.summary)
}

/// How the program ends after this session.
#[must_use]
pub fn exit_of(left: &Left) -> Option<Failure> {
    let played = left.played.as_ref()?;
    if let Some(failure) = &played.failure {
        return Some(Failure::said(exit_code(failure), failure.to_string()));
    }
    (!left.manifest.recording_incomplete.is_empty()).then(|| {
        Failure::said(
            Exit::RecordingIncomplete,
            format!(
                "the recording is incomplete: {}",
                left.manifest.recording_incomplete.join("; ")
            ),
        )
    })
}

/// The exit code of an engine's error.
#[must_use]
pub fn exit_code(error: &EngineError) -> Exit {
    match error {
        EngineError::Source(_) | EngineError::Lost { .. } | EngineError::PoorSignal => Exit::Source,
        EngineError::Line(lines::LineError::Source(_)) => Exit::Source,
        EngineError::Line(_)
        | EngineError::Settings(_)
        | EngineError::Folder(_)
        | EngineError::SlowDisplay { .. } => Exit::Usage,
        EngineError::Model(_) | EngineError::Decoder(_) => Exit::Model,
        EngineError::Recording(_)
        | EngineError::Ledger(_)
        | EngineError::Io(_)
        | EngineError::Unrecorded { .. }
        | EngineError::DiskStuck => Exit::RecordingIncomplete,
        EngineError::Imitator(_) | EngineError::Internal(_) => Exit::Internal,
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::new(exit_code(&error), error)
    }
}
