//! Why a session cannot be replayed.

use std::path::PathBuf;

use razvilka_calibration::CalibrationError;

use crate::choice::imitator::BeliefError;
use crate::config::ConfigError;
use crate::decode::DecodeError;
use crate::engine::lines;
use crate::fork::ForkId;
use crate::recording::xdf::XdfError;
use crate::session::{FolderError, LedgerError};

/// Why a session cannot be replayed. Every message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The folder is no session folder, or the new one cannot be made.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A file of the session is not there.
    #[error("{} is missing: without {what} the session cannot be replayed. Give the whole session folder", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What it holds.
        what: &'static str,
    },
    /// The configuration in the manifest cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file is not the one that the session used or wrote.
    #[error(
        "{what} is not as the session left it: its SHA-256 is {got}, the manifest says {expected}. Restore the folder from a copy"
    )]
    Changed {
        /// Which.
        what: &'static str,
        /// As recorded.
        expected: String,
        /// As found.
        got: String,
    },
    /// The profile cannot be used.
    #[error(transparent)]
    Profile(#[from] CalibrationError),
    /// The ledger cannot be read, or was altered.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What the imitator went on from is no imitator.
    #[error(
        "what the ledger says of the imitator cannot be used: {0}. Restore the folder from a copy"
    )]
    Imitator(#[from] BeliefError),
    /// The ledger is sound, but does not end where the manifest says.
    #[error(
        "the ledger ends after {found} rows, the manifest says {expected} and another hash: rows were cut off or added. Restore the folder from a copy"
    )]
    Cut {
        /// Rows according to the manifest.
        expected: i64,
        /// Rows in the ledger.
        found: i64,
    },
    /// Ledger and manifest are of different sessions.
    #[error(
        "the ledger is of session {ledger}, the manifest of {manifest}. Restore the folder from a copy"
    )]
    Mixed {
        /// According to the ledger.
        ledger: String,
        /// According to the manifest.
        manifest: String,
    },
    /// Another model than the session's.
    #[error(
        "the session was written by model {expected} (SHA-256 over its files), this one is {got}. Put the session's model where its configuration says"
    )]
    Model {
        /// As recorded.
        expected: String,
        /// As loaded.
        got: String,
    },
    /// Another adapter is in the model, or none.
    #[error(
        "the session was written with adapter {expected}, here it is {got}. Put the adapter where the session's configuration says (model.adapter); one \
         that had learned from a choice that was forgotten is gone, and with it the way to the same text"
    )]
    Adapter {
        /// As recorded.
        expected: String,
        /// As loaded.
        got: String,
    },
    /// The recording cannot be read.
    #[error(transparent)]
    Recording(#[from] XdfError),
    /// A stream is not in a recording that says it is whole.
    #[error(
        "session.xdf holds no {role} stream, which the manifest names. Restore the folder from a copy"
    )]
    NoStream {
        /// Its role in the manifest.
        role: &'static str,
    },
    /// Profile, plan and streams do not fit together.
    #[error(transparent)]
    Line(#[from] lines::LineError),
    /// There is no such fork.
    #[error("there is no fork {} in this session: it has {forks}, numbered from 0 as in its report", fork.0)]
    NoFork {
        /// As asked for.
        fork: ForkId,
        /// How many there are.
        forks: u64,
    },
    /// There is no such branch at the fork.
    #[error("fork {} offered no branch {item}: it offered {branches}", fork.0)]
    NoBranch {
        /// The fork.
        fork: ForkId,
        /// As asked for.
        item: i32,
        /// Those that there are, with their numbers.
        branches: String,
    },
    /// The text does not come again as it was recorded.
    #[error("the text does not come again as recorded at fork {}: {reason}. Use the version of the program that wrote the session; the manifest names it", fork.0)]
    Astray {
        /// Where.
        fork: ForkId,
        /// How.
        reason: String,
    },
    /// No text can be begun.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The new folder cannot be written.
    #[error("{} cannot be written: {source}. Free some space, or name a folder elsewhere with --out", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
}
