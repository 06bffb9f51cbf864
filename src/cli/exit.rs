//! Exit codes, one meaning each.

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// What was typed, or the experiment file, cannot be used.
    Usage = 2,
    /// A stream or a recording cannot be used, or was lost.
    Source = 3,
    /// The model cannot be used, or failed.
    Model = 4,
    /// A latency budget was missed.
    BudgetMissed = 5,
    /// The session ran, but its recording is incomplete.
    RecordingIncomplete = 6,
    /// A defect of ours.
    Internal = 70,
}

impl Exit {
    /// The number for the shell.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// What went wrong, in one sentence, and how the program ends.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// How the program ends.
    pub exit: Exit,
    /// One sentence that says what happened and what to do.
    pub message: String,
}

impl Failure {
    /// A failure with its exit code. Our errors say their cause in the middle of their sentence (a test of the house holds
    /// them to it), so the chain of causes is not told again.
    pub fn new(exit: Exit, error: impl std::error::Error) -> Self {
        Self {
            exit,
            message: error.to_string(),
        }
    }

    /// A failure from a message alone.
    pub fn said(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }
}

impl From<crate::config::ConfigError> for Failure {
    fn from(error: crate::config::ConfigError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

impl From<crate::source::SourceError> for Failure {
    fn from(error: crate::source::SourceError) -> Self {
        Self::new(Exit::Source, error)
    }
}

impl From<crate::source::terminal::TerminalError> for Failure {
    fn from(error: crate::source::terminal::TerminalError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

impl From<super::streams::StreamsError> for Failure {
    fn from(error: super::streams::StreamsError) -> Self {
        Self::new(Exit::Source, error)
    }
}

impl From<super::simulate::SimulateError> for Failure {
    fn from(error: super::simulate::SimulateError) -> Self {
        let exit = match error.exit_code() {
            2 => Exit::Usage,
            3 => Exit::Source,
            6 => Exit::RecordingIncomplete,
            _ => Exit::Internal,
        };
        Self::new(exit, error)
    }
}
