//! A prior kept in a file: class statistics, averaged over people, and what is needed to know whether it fits.
//!
//! It holds no EEG: no sample, no epoch and no one person's mean or covariance. Of each flash of these people it holds two
//! scores and whether it was a target, which is what accuracy and densities are estimated from; and of each recording its
//! name and its SHA-256, by which a recording that would be judged by itself is found.

use std::path::Path;

use razvilka_dsp::eeg::EegSpec;
use serde::{Deserialize, Serialize};

use super::Prior;
use crate::error::{Result, same_size};
use crate::profile::{Montage, Provenance};
use crate::sealed::{Overwrite, Seal, write_private};

/// What the file says it is.
pub const PRIOR_KIND: &str = "razvilka-prior";
/// Format number written, and the latest one read.
pub const PRIOR_FORMAT: u64 = 1;

const SEAL: Seal = Seal {
    kind: PRIOR_KIND,
    what: "prior",
    format: PRIOR_FORMAT,
    oldest: (1, "is not known"),
    // A million flashes with two scores each, and 16 channels' statistics.
    mib_max: 64,
};

/// A prior and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorFile {
    /// When, by which program, and from which recordings.
    pub provenance: Provenance,
    /// The prior's channels, in its order, and its rate.
    pub montage: Montage,
    /// How the signals became features; its number of channels is that of the montage.
    pub path: EegSpec,
    /// The statistics.
    pub prior: Prior,
}

impl PriorFile {
    /// Checks sizes, ranges and that every number is finite.
    ///
    /// # Errors
    /// As the parts say.
    pub fn validate(&self) -> Result<()> {
        self.prior.validate()?;
        self.path.check()?;
        let channels = self.prior.channel_count();
        same_size("channel labels", channels, self.montage.labels.len())?;
        same_size("channels of the path", channels, self.path.channels)?;
        let shape = self.path.epoch_shape()?;
        same_size(
            "prototypes of the prior",
            shape.features(),
            self.prior.prototype.len(),
        )
    }

    /// Writes the file whole or not at all (mode 0600).
    ///
    /// # Errors
    /// [`crate::CalibrationError::Exists`], [`crate::CalibrationError::Unwritable`], and those of [`PriorFile::validate`].
    pub fn save(&self, path: &Path, overwrite: Overwrite) -> Result<()> {
        self.validate()?;
        write_private(path, SEAL.text(self)?.as_bytes(), overwrite)
    }

    /// Reads a prior and checks everything about it but whether it fits a person's montage.
    ///
    /// # Errors
    /// [`crate::CalibrationError::Unreadable`], [`crate::CalibrationError::Foreign`], [`crate::CalibrationError::Newer`],
    /// [`crate::CalibrationError::Checksum`].
    pub fn load(path: &Path) -> Result<Self> {
        SEAL.open(path, Self::validate)
    }
}
