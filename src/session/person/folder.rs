//! A person's folder: found by name, made by consent, locked while it is changed, deleted as a whole.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::consent::{CONSENT_WORDING_VERSION, Consent, PersonRecord};
use super::error::PersonError;
use crate::session::folder::replace_atomically;
use crate::session::utc_of;

const RECORD: &str = "person.toml";
const MEMORY: &str = "memory.sqlite";
/// Holds the process id of whoever changes the folder, and that process's lock.
const LOCK: &str = ".lock";
/// Largest record accepted, bytes: some thousand changes of mind.
const RECORD_BYTES_MAX: u64 = 1 << 20;

/// Where a person's folder is: a path with a separator in it is that folder; a bare name is a folder in `RAZVILKA_PERSONS`, or in
/// `razvilka/persons` of the user's data (`XDG_DATA_HOME`, or `~/.local/share`).
///
/// # Errors
/// [`PersonError::Name`] for a name that is none.
pub fn place_of_person(named: &Path) -> Result<PathBuf, PersonError> {
    let text = named.to_string_lossy();
    if text.contains('/') || text == "." || text == ".." {
        return Ok(named.to_owned());
    }
    let sound = |name: &&str| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
    };
    let name = named
        .to_str()
        .filter(sound)
        .ok_or_else(|| PersonError::Name {
            name: named.display().to_string(),
        })?;
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = of("RAZVILKA_PERSONS").map_or_else(
        || {
            let data = of("XDG_DATA_HOME").map_or_else(
                || PathBuf::from(of("HOME").unwrap_or_else(|| ".".into())).join(".local/share"),
                PathBuf::from,
            );
            data.join("razvilka/persons")
        },
        PathBuf::from,
    );
    Ok(base.join(name))
}

/// A person's folder, with what its record says. Others may read it; who changes it holds its lock ([`Person::lock`]).
#[derive(Debug)]
pub struct Person {
    path: PathBuf,
    record: PersonRecord,
    /// Held open for its lock, which the system takes back when this process ends, however it ends.
    lock: Option<File>,
}

impl Person {
    /// Opens a person's folder for reading.
    ///
    /// # Errors
    /// [`PersonError::Nobody`] when there is none; [`PersonError::Record`] when its record is damaged or of a later version.
    pub fn open(path: &Path) -> Result<Self, PersonError> {
        let file = path.join(RECORD);
        let mut text = String::new();
        let read = File::open(&file)
            .and_then(|file| file.take(RECORD_BYTES_MAX).read_to_string(&mut text));
        match read {
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Err(PersonError::Nobody {
                    path: path.to_owned(),
                });
            }
            Err(source) => return Err(PersonError::io(&file, source)),
        }
        let record = PersonRecord::parse(&text)
            .map_err(|reason| PersonError::Record { path: file, reason })?;
        Ok(Self {
            path: path.to_owned(),
            record,
            lock: None,
        })
    }

    /// Opens a person's folder, or makes it (0700): nothing is agreed to yet.
    ///
    /// # Errors
    /// As [`Person::open`], and I/O errors.
    pub fn open_or_create(path: &Path) -> Result<Self, PersonError> {
        match Self::open(path) {
            Err(PersonError::Nobody { .. }) => {}
            other => return other,
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|source| PersonError::io(path, source))?;
        restrict(path).map_err(|source| PersonError::io(path, source))?;
        let person = Self {
            path: path.to_owned(),
            record: PersonRecord::new(utc_of(SystemTime::now())),
            lock: None,
        };
        person.write_record()?;
        Ok(person)
    }

    /// Takes the folder's lock: until this value goes, no other process changes the folder.
    ///
    /// # Errors
    /// [`PersonError::Locked`] when another process has it.
    pub fn lock(mut self) -> Result<Self, PersonError> {
        let path = self.path.join(LOCK);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| PersonError::io(&path, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // An unreadable number only makes the message poorer.
                let _ = lock.take(32).read_to_string(&mut pid);
                return Err(PersonError::Locked {
                    path: self.path,
                    pid: pid.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(PersonError::io(&path, source)),
        }
        // Its content is only told to people.
        let _ = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| write!(lock, "{}", std::process::id()));
        self.lock = Some(lock);
        Ok(self)
    }

    /// Writes down what the person says about learning, now.
    ///
    /// # Errors
    /// I/O errors; then nothing has changed.
    pub fn say(&mut self, learning: bool, retention_days: u32) -> Result<(), PersonError> {
        self.record.consent.push(Consent {
            learning,
            at_utc: utc_of(SystemTime::now()),
            wording: CONSENT_WORDING_VERSION,
            retention_days,
        });
        let written = self.write_record();
        if written.is_err() {
            self.record.consent.pop();
        }
        written
    }

    fn write_record(&self) -> Result<(), PersonError> {
        let path = self.path.join(RECORD);
        let text = toml::to_string(&self.record).map_err(|error| PersonError::Record {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        replace_atomically(&path, text.as_bytes()).map_err(|source| PersonError::io(&path, source))
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was said about learning.
    #[must_use]
    pub const fn record(&self) -> &PersonRecord {
        &self.record
    }

    /// Where the memory of choices is; it need not be there.
    #[must_use]
    pub fn memory(&self) -> PathBuf {
        self.path.join(MEMORY)
    }

    /// Names of the files in the folder.
    ///
    /// # Errors
    /// I/O errors.
    pub fn contents(&self) -> Result<Vec<String>, PersonError> {
        let read = || -> io::Result<Vec<String>> {
            let entries = std::fs::read_dir(&self.path)?;
            let mut names = entries
                .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
                .collect::<io::Result<Vec<_>>>()?;
            names.sort();
            Ok(names)
        };
        read().map_err(|source| PersonError::io(&self.path, source))
    }

    /// Deletes the folder with everything in it, and looks whether it is gone.
    ///
    /// # Errors
    /// I/O errors; some of it may then be left, and is named.
    pub fn delete(self) -> Result<(), PersonError> {
        let path = self.path;
        std::fs::remove_dir_all(&path).map_err(|source| PersonError::io(&path, source))?;
        match std::fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(PersonError::io(&path, source)),
            Ok(_) => Err(PersonError::StillThere {
                path,
                what: "the folder itself",
            }),
        }
    }
}

/// Takes all rights on a folder from others.
fn restrict(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_a_person_among_the_others_and_a_path_is_itself() {
        let among = place_of_person(Path::new("Анна-2")).unwrap();
        assert!(among.ends_with("Анна-2") && among.components().count() > 1);
        for path in ["./anna", "/data/anna", "a/b", "../anna"] {
            assert_eq!(place_of_person(Path::new(path)).unwrap(), Path::new(path));
        }
        for wrong in ["", "a b", "a.b", ".hidden"] {
            assert!(place_of_person(Path::new(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_folder_is_private_locked_once_and_gone_when_it_is_deleted() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("persons/anna");
        assert!(matches!(
            Person::open(&path),
            Err(PersonError::Nobody { .. })
        ));
        let mut person = Person::open_or_create(&path).unwrap().lock().unwrap();
        person.say(true, 30).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join(RECORD)), 0o600);
        assert_eq!(mode(&path.join(LOCK)), 0o600);
        let other = Person::open(&path).unwrap();
        assert_eq!(other.record(), person.record());
        assert!(matches!(
            other.lock(),
            Err(PersonError::Locked { pid: Some(_), .. })
        ));
        person.delete().unwrap();
        assert!(!path.exists() && parent.path().join("persons").exists());
    }
}
