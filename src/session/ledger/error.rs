//! What can go wrong with a ledger.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// A ledger that cannot be written, read or trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// A writer found something in the file's place.
    #[error("{} already exists. A ledger is never written twice: use a new session folder", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be made.
    #[error("{} cannot be made: {source}. Name a folder you may write to with --out", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// There is no such file.
    #[error("{} does not exist. Give the folder that a session wrote", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A database of another program, or no database.
    #[error("{} is not a ledger of Razvilka: {reason}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// Written by a later program.
    #[error("{} has ledger version {found}; this program reads up to {known}. Use a newer Razvilka", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The latest version known here.
        known: u32,
    },
    /// The database is damaged.
    #[error("{} is damaged: {reason}. Restore the folder from a copy; `sqlite3 ledger.sqlite .recover` may save a part", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// No room on the disk.
    #[error(
        "the ledger cannot be written: there is no room ({reason}). Free some space: rows that wait are written with the next one"
    )]
    Full {
        /// The system's words.
        reason: String,
    },
    /// Any other failure to write.
    #[error("the ledger cannot be written: {source}")]
    Write {
        /// SQLite's words.
        source: rusqlite::Error,
    },
    /// Any other failure to read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        source: rusqlite::Error,
    },
    /// A value is not what its column holds.
    #[error("row {n} of the ledger, table {table}, column {column}: {reason}")]
    Malformed {
        /// The row's number in the chain; 0 when it is about to be written.
        n: i64,
        /// Its table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The chain is broken.
    #[error("the ledger was altered: {what} at row {n} (table {table}). Rows before it are intact")]
    Tampered {
        /// Number of the first row that does not fit.
        n: i64,
        /// Its table.
        table: String,
        /// What does not fit.
        what: &'static str,
    },
}

impl LedgerError {
    /// Names a failure to read `path`.
    pub(super) fn reading(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::Foreign {
                path,
                reason: "it is no SQLite database".to_owned(),
            },
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt {
                path,
                reason: source.to_string(),
            },
            _ => Self::Read { path, source },
        }
    }

    /// Names a failure to write. It costs no row of an earlier call: those that wait are written with the next one.
    pub(super) fn writing(source: rusqlite::Error) -> Self {
        let full = match &source {
            rusqlite::Error::SqliteFailure(error, _) => {
                // A full disk, a quota or a limit on file sizes surface as FULL or as a failed write.
                error.code == ErrorCode::DiskFull
                    || error.extended_code == rusqlite::ffi::SQLITE_IOERR_WRITE
            }
            _ => false,
        };
        if full {
            Self::Full {
                reason: source.to_string(),
            }
        } else {
            Self::Write { source }
        }
    }
}
