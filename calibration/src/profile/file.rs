//! The profile on disk.

use std::path::Path;

use super::Profile;
use crate::error::Result;
use crate::sealed::{Overwrite, Seal, write_private};

/// What the file says it is.
pub const KIND: &str = "razvilka-calibration-profile";
/// Format number written, and the latest one read.
pub const FORMAT: u64 = 4;

const SEAL: Seal = Seal {
    kind: KIND,
    what: "calibration profile",
    format: FORMAT,
    oldest: (
        3,
        "lacks what this program needs to know of its scorer. Calibrate again",
    ),
    // The most features allowed need 180 MB.
    mib_max: 256,
};

impl Profile {
    /// Writes the profile so that at any moment either the old or the new file is whole: a new file beside it (mode 0600),
    /// flushed to the disk, renamed into place.
    ///
    /// # Errors
    /// [`crate::CalibrationError::Exists`], [`crate::CalibrationError::Unwritable`], and those of [`Profile::validate`].
    pub fn save(&self, path: &Path, overwrite: Overwrite) -> Result<()> {
        self.validate()?;
        write_private(path, self.to_json()?.as_bytes(), overwrite)
    }

    /// The file's content.
    ///
    /// # Errors
    /// [`crate::CalibrationError::NotFinite`] when a number has no JSON form; cannot happen after [`Profile::validate`].
    pub fn to_json(&self) -> Result<String> {
        SEAL.text(self)
    }

    /// The SHA-256 that the file states of its content, hexadecimal.
    ///
    /// # Errors
    /// As [`Profile::to_json`].
    pub fn checksum(&self) -> Result<String> {
        SEAL.checksum(self)
    }

    /// Reads a profile and checks everything about it but whether it fits a stream ([`super::Montage::check`]).
    ///
    /// # Errors
    /// [`crate::CalibrationError::Unreadable`], [`crate::CalibrationError::Foreign`], [`crate::CalibrationError::Newer`],
    /// [`crate::CalibrationError::Checksum`].
    pub fn load(path: &Path) -> Result<Self> {
        SEAL.open(path, Self::validate)
    }
}
