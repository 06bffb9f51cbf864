//! The epochs that a profile was fitted on, kept beside it, so that it can be fitted anew with those of a session.
//!
//! One line of JSON with channels, bins and one entry per epoch, then the features as 32-bit numbers, little-endian, in the same order:
//! 0.6 MB for 720 flashes of 8 channels. The profile holds the file's SHA-256, so that both belong together.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::adapt::hex;
use crate::epochs::{EpochInfo, Epochs};
use crate::error::{CalibrationError, Result};
use crate::sealed::{Overwrite, write_private};

/// Name of the file, beside the profile.
pub const EPOCHS_FILE: &str = "epochs.bin";
/// What it says it is.
const KIND: &str = "razvilka-calibration-epochs";
/// Larger files are refused, bytes.
const BYTES_MAX: u64 = 512 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    kind: String,
    format: u32,
    used: Vec<bool>,
    bins: usize,
    /// Onset, target, run.
    epochs: Vec<(f64, bool, u32)>,
}

/// Where the epochs of this profile are kept.
#[must_use]
pub fn epochs_beside(profile: &Path) -> PathBuf {
    profile.with_file_name(EPOCHS_FILE)
}

impl Epochs {
    /// Writes the epochs, readable by nobody else; gives the file's SHA-256, hexadecimal. Features are rounded to 32 bits.
    ///
    /// # Errors
    /// [`CalibrationError::Exists`] and [`CalibrationError::Unwritable`].
    pub fn save(&self, path: &Path, overwrite: Overwrite) -> Result<String> {
        let head = Head {
            kind: KIND.into(),
            format: 1,
            used: self.used().to_vec(),
            bins: self.bins(),
            epochs: self
                .info()
                .iter()
                .map(|info| (info.onset_s, info.target, info.run))
                .collect(),
        };
        let mut bytes =
            serde_json::to_vec(&head).map_err(|error| CalibrationError::Unwritable {
                path: path.to_owned(),
                source: error.into(),
            })?;
        bytes.push(b'\n');
        for row in 0..self.len() {
            bytes.extend(self.row(row).iter().flat_map(|x| (*x as f32).to_le_bytes()));
        }
        write_private(path, &bytes, overwrite)?;
        Ok(digest(&bytes))
    }

    /// Reads what [`Epochs::save`] wrote, if it is the file with this SHA-256.
    ///
    /// # Errors
    /// [`CalibrationError::Unreadable`] when it cannot be read, [`CalibrationError::Epochs`] when it is another file or damaged.
    pub fn load(path: &Path, sha256: &str) -> Result<Self> {
        let unreadable = |source| CalibrationError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        let read = file.take(BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(unreadable)?;
        if digest(&bytes) != sha256 {
            return Err(damaged(
                path,
                "the profile beside it was fitted on other epochs",
            ));
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (head, values) = bytes.split_at(end.unwrap_or(bytes.len()));
        let head: Head = serde_json::from_slice(head)
            .map_err(|_| damaged(path, "it does not begin like a file of epochs"))?;
        let values = values.get(1..).unwrap_or_default();
        let width = head.used.len().saturating_mul(head.bins);
        let length = width.saturating_mul(4).saturating_mul(head.epochs.len());
        if head.kind != KIND || head.format != 1 || values.len() != length {
            return Err(damaged(path, "its length does not fit its beginning"));
        }
        let mut epochs = Self::with_used(head.used, head.bins)?;
        for ((onset_s, target, run), row) in
            head.epochs.into_iter().zip(values.chunks_exact(4 * width))
        {
            let features: Vec<f64> = row
                .chunks_exact(4)
                .map(|x| f64::from(f32::from_le_bytes([x[0], x[1], x[2], x[3]])))
                .collect();
            let info = EpochInfo {
                onset_s,
                target,
                run,
            };
            epochs.push(info, &features)?;
        }
        Ok(epochs)
    }
}

fn digest(bytes: &[u8]) -> String {
    hex(Sha256::new().chain_update(bytes))
}

fn damaged(path: &Path, reason: &'static str) -> CalibrationError {
    CalibrationError::Epochs {
        path: path.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs() -> Epochs {
        let mut epochs = Epochs::with_used(vec![true, false], 3).unwrap();
        for k in 0..5_u32 {
            let info = EpochInfo {
                onset_s: 0.1 + f64::from(k),
                target: k % 2 == 0,
                run: k / 2,
            };
            let row: Vec<f64> = (0..6).map(|i| f64::from(k * 6 + i) / 3.0).collect();
            epochs.push(info, &row).unwrap();
        }
        epochs
    }

    #[test]
    fn epochs_come_back_as_they_went_rounded_to_32_bits() {
        let dir = tempfile::tempdir().unwrap();
        let path = epochs_beside(&dir.path().join("profile.json"));
        let kept = epochs();
        let sha256 = kept.save(&path, Overwrite::Refuse).unwrap();
        let back = Epochs::load(&path, &sha256).unwrap();
        assert_eq!((back.info(), back.used()), (kept.info(), kept.used()));
        for row in 0..kept.len() {
            let rounded: Vec<f64> = kept.row(row).iter().map(|x| f64::from(*x as f32)).collect();
            assert_eq!(back.row(row), rounded);
        }
        // What was read is what is written again.
        assert_eq!(back.save(&path, Overwrite::Replace).unwrap(), sha256);
    }

    #[test]
    fn epochs_of_another_profile_and_a_file_cut_short_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(EPOCHS_FILE);
        let sha256 = epochs().save(&path, Overwrite::Refuse).unwrap();
        let other = Epochs::load(&path, &digest(b"another")).unwrap_err();
        assert!(other.to_string().contains("other epochs"), "{other}");
        let bytes = std::fs::read(&path).unwrap();
        for length in [bytes.len() - 3, 40, 0] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(Epochs::load(&path, &sha256).is_err());
            assert!(Epochs::load(&path, &digest(&bytes[..length])).is_err());
        }
    }
}
