//! Where a fit comes from: this program, now, these files.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use razvilka_calibration::{CalibrationError, Provenance, SourceFile};

use super::material::file_name;
use crate::cli::exit::{Exit, Failure};
use crate::cli::recorded::failure;
use crate::session::{sha256_file, utc_of};

/// This program, now, these files.
pub(super) fn provenance(files: &[PathBuf]) -> Result<Provenance, Failure> {
    Ok(Provenance {
        created_utc: utc_of(SystemTime::now()),
        software: concat!("razvilka ", env!("CARGO_PKG_VERSION")).to_owned(),
        sources: files
            .iter()
            .map(|path| source_file(path))
            .collect::<Result<_, _>>()?,
    })
}

/// A file's name and the SHA-256 of its bytes.
pub(super) fn source_file(path: &Path) -> Result<SourceFile, Failure> {
    let (sha256, _) = sha256_file(path).map_err(|source| {
        failure(
            Exit::Source,
            CalibrationError::Unreadable {
                path: path.to_owned(),
                source,
            },
        )
    })?;
    Ok(SourceFile {
        name: file_name(path),
        sha256,
    })
}
