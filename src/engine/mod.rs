//! The engine's control plane: it conducts calibration and session, and replays what was recorded.

pub mod adapting;
pub mod calibrate;
pub mod certify;
pub mod conduct;
pub mod control;
pub mod desk;
pub mod drift;
pub mod eyes;
pub mod keeper;
pub mod latency;
pub mod lines;
pub mod question;
pub mod replay;
pub mod streams;
pub mod telemetry;
pub mod wishes;

use crate::choice::imitator::BeliefError;
use crate::decode::DecodeError;
use crate::gate::SettingsError;
use crate::pipeline::scribe::ScribeError;
use crate::recording::xdf::WriteError;
use crate::session::{FolderError, LedgerError};
use crate::source::SourceError;

/// Why a session could not be begun, or ended early. Every message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A stream cannot be used.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A stream was lost in mid-session.
    #[error(
        "the {name} stream was lost and did not come back; the session ended in order. Check the device and start again: what was recorded is whole up to here"
    )]
    Lost {
        /// `eeg` or `gaze`.
        name: &'static str,
    },
    /// EEG alone could choose, and it cannot be used.
    #[error(
        "too few EEG channels were good for too long; the session ended in order. Check electrodes and amplifier and start again: what was recorded is whole up to here"
    )]
    PoorSignal,
    /// EEG alone could choose, and the display is too slow for flashes.
    #[error(
        "the participant window shows {shows}, and flashes need at least {least_hz} (view.frame_rate_min_hz): each would come up to a \
         frame early or late, and so would what the EEG says of it. Choose by gaze or by a switch instead (--no-flash, or \
         view.flashes = false), use a graphics driver that is no software renderer, or a smaller window (view.full_screen = false)"
    )]
    SlowDisplay {
        /// How many frames, in words.
        shows: String,
        /// How many there must be in a second.
        least_hz: f64,
    },
    /// The disk takes nothing more.
    #[error(
        "the disk has taken no row of the ledger for too long; the session ended in order. Free or exchange the disk: what was acknowledged is in the folder"
    )]
    DiskStuck,
    /// Ledger or text took something no more.
    #[error(
        "{fault}. What cannot be recorded is not decided, so the session ended in order: what was acknowledged is in the folder. See to the disk and start again"
    )]
    Unrecorded {
        /// What could not be written, and why.
        fault: String,
    },
    /// A signal path cannot be built.
    #[error(transparent)]
    Line(#[from] lines::LineError),
    /// The recording cannot be written.
    #[error(transparent)]
    Recording(#[from] WriteError),
    /// The ledger cannot be written or read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The session folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] DecodeError),
    /// The decoder failed in mid-session.
    #[error(
        "the decoder failed: {0}. What was written is safe; start again from the session's text"
    )]
    Decoder(String),
    /// A gate setting out of range.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// What was learnt of the person's choices cannot be used.
    #[error(transparent)]
    Imitator(#[from] BeliefError),
    /// A thread cannot be made, or a file not be written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A defect of ours.
    #[error("internal fault: {0}. Please report it with the session folder")]
    Internal(&'static str),
}

impl From<ScribeError> for EngineError {
    fn from(error: ScribeError) -> Self {
        match error {
            ScribeError::Decode(error) => Self::Model(error),
            ScribeError::Thread(error) => Self::Io(error),
        }
    }
}
