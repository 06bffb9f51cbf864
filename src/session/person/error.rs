//! What can go wrong with a person's folder.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// A person's folder that cannot be used. One sentence says what happened, one what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PersonError {
    /// A name that is no name of a folder.
    #[error(
        "`{name}` is no name for a person: give letters, digits, `-` and `_`, or a path with a `/` in it, as ./{name}"
    )]
    Name {
        /// What was given.
        name: String,
    },
    /// Nothing is known of this person.
    #[error(
        "{} is no person's folder: it holds no person.toml. `razvilka choices consent on --person {}` makes one", path.display(), path.display()
    )]
    Nobody {
        /// The folder.
        path: PathBuf,
    },
    /// The record of consent is not ours, or damaged.
    #[error("{} cannot be used: {reason}. Put it right by hand, or give another --person", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another process changes the folder.
    #[error(
        "{} is in use by process {}. End that session first", path.display(),
        pid.map_or_else(|| "(unknown)".to_owned(), |pid| pid.to_string())
    )]
    Locked {
        /// The folder.
        path: PathBuf,
        /// The process, if it said so.
        pid: Option<u32>,
    },
    /// A database of another program, or no database.
    #[error("{} is no memory of choices: {reason}. Move it away, or give another --person", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// Written by a later program.
    #[error("{} has version {found}; this program reads up to {known}. Use a newer Razvilka", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The latest version known here.
        known: u32,
    },
    /// The database is damaged.
    #[error("{} is damaged: {reason}. Restore it from a copy; `sqlite3 memory.sqlite .recover` may save a part", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// What the imitator has earned cannot be read.
    #[error("{} is damaged: {reason}. Delete it: the imitator then has to earn its trust anew, and no choice is lost", path.display())]
    Account {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No room on the disk.
    #[error("{} cannot be written: there is no room ({source}). Free some space", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        source: rusqlite::Error,
    },
    /// Any other failure of the database.
    #[error("{}: {source}", path.display())]
    Sql {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        source: rusqlite::Error,
    },
    /// Any other failure of the file system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// Another program has the database open.
    #[error("{} is being read by another program, and nothing has been forgotten. Close that and try again", path.display())]
    BeingRead {
        /// The file.
        path: PathBuf,
    },
    /// What was forgotten is still there.
    #[error(
        "{} still holds a part of what was to be forgotten ({what}). Nothing else has been changed; delete the person's folder if it must go at once", path.display()
    )]
    StillThere {
        /// The file.
        path: PathBuf,
        /// Which part.
        what: &'static str,
    },
}

impl PersonError {
    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// Names a failure of the database in `path`.
    pub(super) fn sql(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        let rusqlite::Error::SqliteFailure(error, _) = &source else {
            return Self::Sql { path, source };
        };
        match error.code {
            ErrorCode::NotADatabase => Self::Foreign {
                path,
                reason: "it is no SQLite database".to_owned(),
            },
            ErrorCode::DatabaseCorrupt => Self::Corrupt {
                path,
                reason: source.to_string(),
            },
            // A full disk, a quota or a limit on file sizes surface as FULL or as a failed write.
            ErrorCode::DiskFull => Self::Full { path, source },
            _ if error.extended_code == rusqlite::ffi::SQLITE_IOERR_WRITE => {
                Self::Full { path, source }
            }
            _ => Self::Sql { path, source },
        }
    }
}
