//! The folder itself: made once, locked while it is written, opened again for reading.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::manifest::Manifest;
use super::text::TextFile;

/// Holds the process id of the engine that writes the folder, and that process's lock.
const LOCK: &str = ".lock";
/// Room that must be free when a session begins, and that is kept for its end, bytes: a minute of 64 channels at 1 kHz, or
/// some hundred sessions' manifest, summary and report.
const ROOM_BYTES: usize = 16 << 20;

/// The files of a session folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionFile {
    /// What the session was made of.
    Manifest,
    /// All streams, XDF.
    Recording,
    /// Forks, evidence and choices, SQLite.
    Ledger,
    /// The text.
    Text,
    /// Counts, accuracies, rates.
    Summary,
    /// Latency per stage.
    Latency,
    /// The report for people.
    Report,
}

impl SessionFile {
    /// Its name in the folder.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest.json",
            Self::Recording => "session.xdf",
            Self::Ledger => "ledger.sqlite",
            Self::Text => "text.txt",
            Self::Summary => "summary.json",
            Self::Latency => "latency.json",
            Self::Report => "report.html",
        }
    }
}

/// A folder that cannot be made, written or read. One sentence says what happened, one what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// Something lies there already.
    #[error("{} already holds files ({example}, for one). Name a new folder with --out", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
        /// One of the files.
        example: String,
    },
    /// Another engine writes there.
    #[error(
        "{} is in use by process {}. Stop that engine, or name another folder with --out", path.display(),
        pid.map_or_else(|| "(unknown)".to_owned(), |pid| pid.to_string())
    )]
    Locked {
        /// The folder.
        path: PathBuf,
        /// The process that writes there, if it said so.
        pid: Option<u32>,
    },
    /// No permission, or a read-only file system.
    #[error("{} cannot be written: {source}. Name a folder you may write to with --out", path.display())]
    ReadOnly {
        /// What could not be written.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// No room.
    #[error("{} cannot be written: there is no room ({source}). Free some space, or name a folder elsewhere with --out", path.display())]
    Full {
        /// What could not be written.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// It exists and is no folder.
    #[error("{} is not a folder. Name a new folder with --out", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// No session was recorded there.
    #[error("{} is no session folder: {reason}. Give the folder that a session wrote", path.display())]
    NotASession {
        /// The folder.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// Any other failure of the file system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl FolderError {
    fn of(path: &Path, source: io::Error) -> Self {
        use io::ErrorKind as Kind;
        let path = path.to_owned();
        match source.kind() {
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Self::ReadOnly { path, source },
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => {
                Self::Full { path, source }
            }
            Kind::NotADirectory => Self::NotAFolder { path },
            _ => Self::Io { path, source },
        }
    }

    /// Why a folder cannot be made. A place like `/proc` says that it does not exist where it is not to be written.
    fn of_making(path: &Path, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::NotFound {
            let path = path.to_owned();
            Self::ReadOnly { path, source }
        } else {
            Self::of(path, source)
        }
    }
}

/// Room on the session's disk that is kept for its end: when the disk is full, what remains to be said still fits.
///
/// It is a file without a name, so nothing of it is left however the process ends. Clones mean the same room.
#[derive(Debug, Clone)]
pub struct Reserve(Arc<File>);

impl Reserve {
    /// Takes [`ROOM_BYTES`] of the folder's disk.
    fn set_aside(folder: &Path) -> io::Result<Self> {
        let path = folder.join(".room");
        let outcome = create_private(&path).and_then(|mut file| {
            let block = vec![0xa5; 1 << 20];
            for _ in 0..ROOM_BYTES / block.len() {
                file.write_all(&block)?;
            }
            Ok(file)
        });
        let unnamed = std::fs::remove_file(&path);
        let file = outcome?;
        unnamed?;
        Ok(Self(Arc::new(file)))
    }

    /// Gives the room back to the disk. Harmless when that was done before.
    pub fn release(&self) {
        // A disk that does not even take this back says so at the next write.
        let _ = self.0.set_len(0);
    }
}

/// A session folder: writable and locked after [`Folder::create`], for reading after [`Folder::open`].
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Held open for its lock, which the system takes back when this process ends, however it ends.
    lock: Option<File>,
    reserve: Option<Reserve>,
}

impl Folder {
    /// Whether [`Folder::create`] would make this folder: no files lie there, no other engine writes there, and the nearest
    /// folder above takes new ones. Nothing stays behind, so it can be asked before there is anything to record.
    ///
    /// # Errors
    /// As [`Folder::create`], but for the room, which is not measured.
    pub fn check(path: &Path) -> Result<(), FolderError> {
        let above = Self::nearest(path)?;
        if above == path {
            Self::unused(path)?;
        }
        let probe = above.join(format!(".razvilka-{}", std::process::id()));
        DirBuilder::new()
            .mode(0o700)
            .create(&probe)
            .and_then(|()| std::fs::remove_dir(&probe))
            .map_err(|error| FolderError::of_making(path, error))
    }

    /// The folder itself if it is there, else the nearest one above it that is.
    fn nearest(path: &Path) -> Result<&Path, FolderError> {
        for above in path.ancestors() {
            let above = if above.as_os_str().is_empty() {
                Path::new(".")
            } else {
                above
            };
            match std::fs::metadata(above) {
                Ok(found) if found.is_dir() => return Ok(above),
                Ok(_) => {
                    return Err(FolderError::NotAFolder {
                        path: path.to_owned(),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(FolderError::of(path, error)),
            }
        }
        Err(FolderError::of(path, io::ErrorKind::NotFound.into()))
    }

    /// Refuses a folder that holds files, or in which another engine writes.
    fn unused(path: &Path) -> Result<(), FolderError> {
        let found = Self::content(path)?;
        // Somebody's files, or a running session's? Its lock tells.
        if let Ok(mut lock) = OpenOptions::new().read(true).open(path.join(LOCK)) {
            Self::acquire(&mut lock, path)?;
        }
        match found {
            Some(example) => Err(FolderError::NotEmpty {
                path: path.to_owned(),
                example,
            }),
            None => Ok(()),
        }
    }

    /// Makes a new session folder (0700), with its parents, and locks it. An existing folder must be empty.
    ///
    /// Sets 16 MiB aside ([`Folder::reserve`]): that there is no room is found out now, not in mid-session, and when the disk
    /// fills up later there is room for the session's end.
    ///
    /// # Errors
    /// [`FolderError`]: not empty, in use by another engine, not writable, full, or no folder. Nothing that lay there is touched.
    pub fn create(path: &Path) -> Result<Self, FolderError> {
        match DirBuilder::new().recursive(true).mode(0o700).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(FolderError::NotAFolder {
                    path: path.to_owned(),
                });
            }
            Err(error) => return Err(FolderError::of_making(path, error)),
        }
        Self::unused(path)?;
        let lock_path = path.join(LOCK);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|error| FolderError::of(&lock_path, error))?;
        Self::acquire(&mut lock, path)?;
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| write!(lock, "{}", std::process::id()))
            .map_err(|error| FolderError::of(&lock_path, error))?;
        // A folder that existed may have been open to others.
        restrict(path).map_err(|error| FolderError::of(path, error))?;
        let reserve = Reserve::set_aside(path).map_err(|error| FolderError::of(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            lock: Some(lock),
            reserve: Some(reserve),
        })
    }

    /// Opens the folder of a session for reading, ended or killed, and reads its manifest.
    ///
    /// # Errors
    /// [`FolderError::NotASession`] when there is no manifest or it is not ours; I/O errors.
    pub fn open(path: &Path) -> Result<(Self, Manifest), FolderError> {
        let not_a_session = |reason| FolderError::NotASession {
            path: path.to_owned(),
            reason,
        };
        let file = path.join(SessionFile::Manifest.name());
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(not_a_session("it holds no manifest.json".to_owned()));
            }
            Err(error) => return Err(FolderError::of(&file, error)),
        };
        let manifest = Manifest::parse(&text).map_err(not_a_session)?;
        let folder = Self {
            path: path.to_owned(),
            lock: None,
            reserve: None,
        };
        Ok((folder, manifest))
    }

    /// Takes the lock or says who has it.
    fn acquire(lock: &mut File, path: &Path) -> Result<(), FolderError> {
        match lock.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // An unreadable number only makes the message poorer.
                let _ = lock.take(32).read_to_string(&mut pid);
                Err(FolderError::Locked {
                    path: path.to_owned(),
                    pid: pid.trim().parse().ok(),
                })
            }
            Err(TryLockError::Error(error)) => Err(FolderError::of(path, error)),
        }
    }

    /// The name of one file in the folder other than a lock that a killed session left.
    fn content(path: &Path) -> Result<Option<String>, FolderError> {
        for entry in std::fs::read_dir(path).map_err(|error| FolderError::of(path, error))? {
            let name = entry
                .map_err(|error| FolderError::of(path, error))?
                .file_name();
            if name != LOCK {
                return Ok(Some(name.to_string_lossy().into_owned()));
            }
        }
        Ok(None)
    }

    /// The room kept for the session's end; `None` in a folder that was opened for reading.
    #[must_use]
    pub const fn reserve(&self) -> Option<&Reserve> {
        self.reserve.as_ref()
    }

    /// The folder's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a file of the session is.
    #[must_use]
    pub fn file(&self, file: SessionFile) -> PathBuf {
        self.path.join(file.name())
    }

    /// Whether this is the engine's own, locked folder.
    #[must_use]
    pub const fn is_writable(&self) -> bool {
        self.lock.is_some()
    }

    /// Writes a whole file at once (0600): after a crash there is the old one or the new one, nothing between.
    ///
    /// # Errors
    /// [`FolderError::ReadOnly`] when the folder was opened for reading; full, or other I/O errors.
    pub fn write(&self, file: SessionFile, bytes: &[u8]) -> Result<(), FolderError> {
        let path = self.writable(file)?;
        replace_atomically(&path, bytes).map_err(|error| FolderError::of(&path, error))
    }

    /// Writes a whole file of indented JSON, as [`Folder::write`] does.
    ///
    /// # Errors
    /// As [`Folder::write`], or when the value has no JSON form.
    pub fn write_json<T: Serialize>(
        &self,
        file: SessionFile,
        value: &T,
    ) -> Result<(), FolderError> {
        let mut bytes = serde_json::to_vec_pretty(value)
            .map_err(|error| FolderError::of(&self.file(file), error.into()))?;
        bytes.push(b'\n');
        self.write(file, &bytes)
    }

    /// Writes the manifest.
    ///
    /// # Errors
    /// As [`Folder::write`].
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), FolderError> {
        self.write_json(SessionFile::Manifest, manifest)
    }

    /// Creates an empty file (0600) to be written as the session goes; it must not exist.
    ///
    /// # Errors
    /// As [`Folder::write`].
    pub fn create_file(&self, file: SessionFile) -> Result<File, FolderError> {
        let path = self.writable(file)?;
        create_private(&path).map_err(|error| FolderError::of(&path, error))
    }

    /// Creates `text.txt`.
    ///
    /// # Errors
    /// As [`Folder::write`].
    pub fn create_text(&self) -> Result<TextFile, FolderError> {
        let path = self.writable(SessionFile::Text)?;
        TextFile::create(&path).map_err(|error| FolderError::of(&path, error))
    }

    fn writable(&self, file: SessionFile) -> Result<PathBuf, FolderError> {
        let path = self.file(file);
        if self.is_writable() {
            Ok(path)
        } else {
            Err(FolderError::ReadOnly {
                path,
                source: io::Error::other("the session was opened for reading"),
            })
        }
    }
}

/// Creates a file that only its owner may read; it must not exist. Writes go to its end.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Takes all rights on a folder from others.
fn restrict(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
}

/// Replaces a file as a whole: temporary file in the same folder, forced to disk, renamed, folder forced to disk.
pub(crate) fn replace_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not the path of a file",
        ));
    };
    let temporary = folder.join(format!(".{}.new", name.to_string_lossy()));
    // One that a crash left is of no use to anybody.
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let outcome = create_private(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&temporary, path))
        .and_then(|()| File::open(folder)?.sync_all());
    if outcome.is_err() {
        // Best effort: the error that matters is the first one.
        let _ = std::fs::remove_file(&temporary);
    }
    outcome
}
