//! The profile on disk: `{"kind", "format", "sha256", "content"}`, where the checksum covers the canonical content.
//!
//! Canonical means: compact JSON, keys of every object in byte order, numbers in their shortest form that reads back to the
//! same value. Re-formatting the file is therefore harmless, changing a digit is not.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Profile;
use crate::error::{CalibrationError, Result};

/// What the file says it is.
pub const KIND: &str = "razvilka-calibration-profile";
/// Format number written, and the latest one read.
pub const FORMAT: u64 = 2;
/// Files beyond this are not ours: the most features allowed need 180 MB.
const BYTES_MAX: u64 = 256 << 20;

/// What happens to a file that is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// It stays, and the caller gets an error.
    Refuse,
    /// It is replaced in one step.
    Replace,
}

impl Profile {
    /// Writes the profile so that at any moment either the old or the new file is whole: a new file beside it (mode 0600),
    /// flushed to the disk, renamed into place.
    ///
    /// # Errors
    /// [`CalibrationError::Exists`], [`CalibrationError::Unwritable`], and those of [`Profile::validate`].
    pub fn save(&self, path: &Path, overwrite: Overwrite) -> Result<()> {
        self.validate()?;
        write_private(path, self.to_json()?.as_bytes(), overwrite)
    }

    /// The file's content.
    ///
    /// # Errors
    /// [`CalibrationError::NotFinite`] when a number has no JSON form; cannot happen after [`Profile::validate`].
    pub fn to_json(&self) -> Result<String> {
        let canonical = self.canonical_content()?;
        let sha256 = hex(&canonical);
        Ok(format!(
            "{{\"kind\":{},\"format\":{FORMAT},\"sha256\":\"{sha256}\",\"content\":{canonical}}}\n",
            json!(KIND)
        ))
    }

    /// The SHA-256 that the file states of its content, hexadecimal.
    ///
    /// # Errors
    /// As [`Profile::to_json`].
    pub fn checksum(&self) -> Result<String> {
        Ok(hex(&self.canonical_content()?))
    }

    fn canonical_content(&self) -> Result<String> {
        let content = serde_json::to_value(self).map_err(|_| CalibrationError::NotFinite {
            what: "profile",
            index: 0,
        })?;
        Ok(canonical(&content))
    }

    /// Reads a profile and checks everything about it but whether it fits a stream ([`super::Montage::check`]).
    ///
    /// # Errors
    /// [`CalibrationError::Unreadable`], [`CalibrationError::Foreign`], [`CalibrationError::Newer`],
    /// [`CalibrationError::Checksum`].
    pub fn load(path: &Path) -> Result<Self> {
        let unreadable = |source| CalibrationError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let foreign = |reason: String| CalibrationError::Foreign {
            path: path.to_owned(),
            reason,
        };
        let mut text = String::new();
        let file = File::open(path).map_err(unreadable)?;
        match file.take(BYTES_MAX + 1).read_to_string(&mut text) {
            Ok(read) if read as u64 > BYTES_MAX => {
                return Err(foreign("it is over 256 MiB".into()));
            }
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                return Err(foreign("it is not text".into()));
            }
            Err(e) => return Err(unreadable(e)),
        }
        let value: Value =
            serde_json::from_str(&text).map_err(|e| foreign(format!("it is not JSON ({e})")))?;
        if value.get("kind").and_then(Value::as_str) != Some(KIND) {
            return Err(foreign(format!("its \"kind\" is not \"{KIND}\"")));
        }
        let format = value.get("format").and_then(Value::as_u64);
        let found = format.ok_or_else(|| foreign("it has no format number".into()))?;
        if found > FORMAT {
            return Err(CalibrationError::Newer {
                path: path.to_owned(),
                found,
                supported: FORMAT,
            });
        }
        if found == 0 {
            return Err(foreign("there never was a format 0".into()));
        }
        if found < FORMAT {
            return Err(foreign(format!(
                "its format {found} knew one kind of scorer and none of what this program needs. Calibrate again"
            )));
        }
        let stated = value
            .get("sha256")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let content = value.get("content").unwrap_or(&Value::Null);
        let actual = hex(&canonical(content));
        if stated != actual {
            return Err(CalibrationError::Checksum {
                path: path.to_owned(),
                // A foreign string may be long; a true checksum has 64 characters.
                stated: stated.chars().take(64).collect(),
                actual,
            });
        }
        let profile: Self = serde::Deserialize::deserialize(content)
            .map_err(|e: serde_json::Error| foreign(e.to_string()))?;
        profile.validate().map_err(|e| foreign(e.to_string()))?;
        Ok(profile)
    }
}

/// Writes a file that only its owner may read, whole or not at all.
///
/// # Errors
/// [`CalibrationError::Exists`] or [`CalibrationError::Unwritable`].
pub(crate) fn write_private(path: &Path, bytes: &[u8], overwrite: Overwrite) -> Result<()> {
    if overwrite == Overwrite::Refuse && path.symlink_metadata().is_ok() {
        return Err(CalibrationError::Exists {
            path: path.to_owned(),
        });
    }
    let partial = partial_name(path);
    write_through(path, &partial, bytes).map_err(|source| {
        // The first error is the one to tell; a left-over is only untidy.
        let _ = fs::remove_file(&partial);
        CalibrationError::Unwritable {
            path: path.to_owned(),
            source,
        }
    })
}

fn partial_name(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}

fn write_through(path: &Path, partial: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(partial, path)?;
    // The rename itself is durable once the folder is; where folders cannot be opened, it is as durable as it gets.
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
        let _ = folder.sync_all();
    }
    Ok(())
}

fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Compact JSON with sorted keys, whatever order the map keeps.
fn canonical(value: &Value) -> String {
    let mut out = String::new();
    push_canonical(value, &mut out);
    out
}

fn push_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push_canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_bytes());
            out.push('{');
            for (index, (key, item)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                push_canonical(item, out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}
