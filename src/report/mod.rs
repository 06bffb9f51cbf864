//! The session's report: one self-contained HTML file, made from the session folder alone.
//!
//! It opens with the verdict, then shows the text with who chose what, the network of choices, every fork, the four arms, the posterior as
//! it moved, the timing, and the facts a reader needs to judge all that. It refers to nothing outside itself, and its policy lets only one
//! script run, ours, without which it says as much; all text that came from a model, a person or a device is escaped. Whatever was computed while the session ran is computed
//! again here from the ledger: the report trusts no figure that it cannot trace to a row.
//!
//! Control plane only; nothing here may be called from a real-time thread.

mod arms;
mod authorship;
mod base64;
mod facts;
mod figures;
mod forks;
mod material;
mod network;
mod page;
mod plot;
mod posterior;
mod rerun;
mod state;
mod text;
mod timing;
mod verdict;

use std::path::{Path, PathBuf};

use crate::session::{FolderError, LedgerError, SessionFile, Summary, Truth, replace_atomically};

use material::Material;

pub use authorship::{Alternative, Authorship, AuthorshipError, Choice, Origin, Piece};
pub use network::{Across, AcrossError};

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// It is no session folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A file of the folder cannot be read.
    #[error("{} cannot be read: {source}. Restore it from a copy of the folder", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// `latency.json` is not what a session writes.
    #[error("{} cannot be read: {source}. Restore it, or remove it: the report does without", path.display())]
    Latency {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The report cannot be written.
    #[error("{} cannot be written: {source}. Free some space, or copy the folder to where you may write", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The page over several sessions cannot be written.
    #[error("{} cannot be written: {source}. Name a file elsewhere with --out, or free some space", path.display())]
    Out {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
}

/// A report that was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Where it is.
    pub path: PathBuf,
    /// The figures in it.
    pub summary: Summary,
}

/// Makes `report.html` in the session folder (0600), replacing a former one as a whole.
///
/// With `truth` choices are scored against what the person wanted; without, only agreement is shown, and called that.
///
/// # Errors
/// [`ReportError`]; a former report stays as it was.
pub fn write(folder: &Path, truth: Option<&Truth>) -> Result<Written, ReportError> {
    let material = Material::read(folder, truth)?;
    let html = page::page(&material).into_string();
    let path = folder.join(SessionFile::Report.name());
    replace_atomically(&path, html.as_bytes()).map_err(|source| ReportError::Write {
        path: path.clone(),
        source,
    })?;
    Ok(Written {
        path,
        summary: material.summary,
    })
}

/// Writes the network over several sessions as one self-contained HTML file (0600), replacing a former one as a whole.
///
/// # Errors
/// [`ReportError::Out`]; a former file stays as it was.
pub fn write_across(across: &Across, path: &Path) -> Result<(), ReportError> {
    let html = network::across_page(across).into_string();
    // Its folder has a name then.
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    replace_atomically(&whole, html.as_bytes()).map_err(|source| ReportError::Out {
        path: path.to_owned(),
        source,
    })
}
