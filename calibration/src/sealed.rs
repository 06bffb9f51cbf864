//! Files of this program: `{"kind", "format", "sha256", "content"}`, where the checksum covers the canonical content.
//!
//! Canonical means: compact JSON, keys of every object in byte order, numbers in their shortest form that reads back to the
//! same value. Re-formatting the file is therefore harmless, changing a digit is not.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::error::{CalibrationError, Result};

/// What happens to a file that is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// It stays, and the caller gets an error.
    Refuse,
    /// It is replaced in one step.
    Replace,
}

/// A kind of file.
pub(crate) struct Seal {
    /// What the file says it is.
    pub(crate) kind: &'static str,
    /// As people say it.
    pub(crate) what: &'static str,
    /// Format number written, and the latest one read.
    pub(crate) format: u64,
    /// The earliest one read, and what is said of those before it.
    pub(crate) oldest: (u64, &'static str),
    /// Larger files are not ours.
    pub(crate) mib_max: u64,
}

impl Seal {
    /// The file's text.
    ///
    /// # Errors
    /// [`CalibrationError::NotFinite`] when a number has no JSON form.
    pub(crate) fn text(&self, content: &impl Serialize) -> Result<String> {
        let canonical = self.canonical_content(content)?;
        Ok(format!(
            "{{\"kind\":{},\"format\":{},\"sha256\":\"{}\",\"content\":{canonical}}}\n",
            json!(self.kind),
            self.format,
            hex(&canonical)
        ))
    }

    /// The SHA-256 that the file states of its content, hexadecimal.
    ///
    /// # Errors
    /// As [`Seal::text`].
    pub(crate) fn checksum(&self, content: &impl Serialize) -> Result<String> {
        Ok(hex(&self.canonical_content(content)?))
    }

    fn canonical_content(&self, content: &impl Serialize) -> Result<String> {
        let content = serde_json::to_value(content).map_err(|_| CalibrationError::NotFinite {
            what: self.what,
            index: 0,
        })?;
        Ok(canonical(&content))
    }

    /// Reads a file of this kind; `check` says whether its content can be true.
    ///
    /// # Errors
    /// [`CalibrationError::Unreadable`], [`CalibrationError::Foreign`], [`CalibrationError::Newer`],
    /// [`CalibrationError::Checksum`].
    pub(crate) fn open<T: DeserializeOwned>(
        &self,
        path: &Path,
        check: impl Fn(&T) -> Result<()>,
    ) -> Result<T> {
        let foreign = |reason: String| CalibrationError::Foreign {
            what: self.what,
            path: path.to_owned(),
            reason,
        };
        let text = self.read(path)?;
        let value: Value =
            serde_json::from_str(&text).map_err(|e| foreign(format!("it is not JSON ({e})")))?;
        if value.get("kind").and_then(Value::as_str) != Some(self.kind) {
            return Err(foreign(format!("its \"kind\" is not \"{}\"", self.kind)));
        }
        let format = value.get("format").and_then(Value::as_u64);
        let found = format.ok_or_else(|| foreign("it has no format number".into()))?;
        if found > self.format {
            return Err(CalibrationError::Newer {
                what: self.what,
                path: path.to_owned(),
                found,
                supported: self.format,
            });
        }
        if found == 0 {
            return Err(foreign("there never was a format 0".into()));
        }
        if found < self.oldest.0 {
            return Err(foreign(format!("its format {found} {}", self.oldest.1)));
        }
        let stated = value
            .get("sha256")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let content = value.get("content").unwrap_or(&Value::Null);
        let actual = hex(&canonical(content));
        if stated != actual {
            return Err(CalibrationError::Checksum {
                what: self.what,
                path: path.to_owned(),
                // A foreign string may be long; a true checksum has 64 characters.
                stated: stated.chars().take(64).collect(),
                actual,
            });
        }
        let content =
            T::deserialize(content).map_err(|e: serde_json::Error| foreign(e.to_string()))?;
        check(&content).map_err(|e| foreign(e.to_string()))?;
        Ok(content)
    }

    fn read(&self, path: &Path) -> Result<String> {
        let unreadable = |source| CalibrationError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let foreign = |reason: String| CalibrationError::Foreign {
            what: self.what,
            path: path.to_owned(),
            reason,
        };
        let most = self.mib_max << 20;
        let mut text = String::new();
        let file = File::open(path).map_err(unreadable)?;
        match file.take(most + 1).read_to_string(&mut text) {
            Ok(read) if read as u64 > most => {
                Err(foreign(format!("it is over {} MiB", self.mib_max)))
            }
            Ok(_) => Ok(text),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                Err(foreign("it is not text".into()))
            }
            Err(e) => Err(unreadable(e)),
        }
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
