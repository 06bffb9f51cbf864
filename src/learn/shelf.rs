//! A person's adapters in versions: `adapters/0001`, `0002`, ... in the person's folder, each with peft's files and `card.json`, and `current`, which
//! names the one in use.
//!
//! A version is written whole before it has its name. Which one is in use changes by replacing one small file, so that a crash leaves the
//! one before or the one after, and a disk that fills leaves the one before.

use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::card::{Card, TaughtBy};
use crate::decode::{Adapter, ModelError};
use crate::session::replace_atomically;

const CURRENT: &str = "current";
const CARD: &str = "card.json";
/// Largest card accepted, bytes.
const CARD_BYTES_MAX: u64 = 64 << 20;

/// What can be wrong with a shelf.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShelfError {
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A card that cannot be read.
    #[error("{}: {reason}. The adapter cannot be used; delete its folder, or learn again", path.display())]
    Card {
        /// The card.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No such version.
    #[error("there is no version {version} of an adapter in {}; there are {}", path.display(), in_words(have))]
    Version {
        /// The shelf.
        path: PathBuf,
        /// What was asked for.
        version: u32,
        /// What there is.
        have: Vec<u32>,
    },
    /// A version that did not prove itself.
    #[error(
        "version {version} is not better than the model without it and is not used. `--anyway` uses it all the same"
    )]
    NotBetter {
        /// Its number.
        version: u32,
    },
    /// The adapter's files.
    #[error(transparent)]
    Model(#[from] ModelError),
}

fn in_words(versions: &[u32]) -> String {
    match versions {
        [] => "none".into(),
        some => some
            .iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// The adapters of a person.
#[derive(Debug)]
pub struct Shelf {
    path: PathBuf,
}

/// What forgetting choices did to a shelf.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retired {
    /// Versions that had seen a forgotten choice, and are deleted.
    pub versions: Vec<u32>,
    /// Whether one of them was in use.
    pub was_in_use: bool,
    /// What is in use now.
    pub in_use: Option<u32>,
}

impl Shelf {
    /// The shelf in a person's folder; nothing is made.
    #[must_use]
    pub fn of(person: &Path) -> Self {
        Self {
            path: person.join("adapters"),
        }
    }

    fn io(path: &Path) -> impl FnOnce(io::Error) -> ShelfError {
        let path = path.to_owned();
        move |source| ShelfError::Io { path, source }
    }

    /// The folder of a version.
    #[must_use]
    pub fn folder(&self, version: u32) -> PathBuf {
        self.path.join(format!("{version:04}"))
    }

    /// Versions there are, oldest first.
    ///
    /// # Errors
    /// [`ShelfError::Io`].
    pub fn versions(&self) -> Result<Vec<u32>, ShelfError> {
        let entries = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(Self::io(&self.path))?,
        };
        let mut versions = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Self::io(&self.path))?;
            // What is still being written has another name.
            let number = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<u32>().ok());
            versions.extend(number.filter(|number| *number > 0));
        }
        versions.sort_unstable();
        Ok(versions)
    }

    /// The card of a version.
    ///
    /// # Errors
    /// [`ShelfError::Version`] when there is none; [`ShelfError::Card`].
    pub fn card(&self, version: u32) -> Result<Card, ShelfError> {
        let path = self.folder(version).join(CARD);
        let mut text = String::new();
        let read = std::fs::File::open(&path)
            .and_then(|file| file.take(CARD_BYTES_MAX).read_to_string(&mut text));
        match read {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(ShelfError::Version {
                    have: self.versions()?,
                    path: self.path.clone(),
                    version,
                });
            }
            other => other.map_err(Self::io(&path))?,
        };
        let wrong = |reason: String| ShelfError::Card {
            path: path.clone(),
            reason,
        };
        let card: Card = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if card.format_version > Card::FORMAT {
            return Err(wrong(format!(
                "it is of version {}, this program reads up to {}: use a newer Razvilka",
                card.format_version,
                Card::FORMAT
            )));
        }
        if card.version != version {
            return Err(wrong(format!("it is the card of version {}", card.version)));
        }
        Ok(card)
    }

    /// The version in use.
    ///
    /// # Errors
    /// [`ShelfError`] when what is named is not there.
    pub fn current(&self) -> Result<Option<Card>, ShelfError> {
        match self.named()? {
            None => Ok(None),
            Some(version) => self.card(version).map(Some),
        }
    }

    fn named(&self) -> Result<Option<u32>, ShelfError> {
        let path = self.path.join(CURRENT);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(Self::io(&path))?,
        };
        let wrong = || ShelfError::Card {
            path: path.clone(),
            reason: format!("{:?} is no number of a version", text.trim()),
        };
        text.trim().parse().map(Some).map_err(|_| wrong())
    }

    /// Puts a new version on the shelf, whole or not at all; its number stands on the card that comes back. It is not in use yet.
    ///
    /// # Errors
    /// [`ShelfError::Io`], [`ShelfError::Model`]: what was there stays.
    pub fn put(&self, adapter: &Adapter, mut card: Card) -> Result<Card, ShelfError> {
        let private = |path: &Path| {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
        };
        private(&self.path).map_err(Self::io(&self.path))?;
        card.version = self.versions()?.last().map_or(1, |last| last + 1);
        card.parent = self.named()?;
        let new = self.path.join(format!(".{:04}.new", card.version));
        // One that a crash left is of no use to anybody.
        remove(&new).map_err(Self::io(&new))?;
        let write = || -> Result<(), ShelfError> {
            private(&new).map_err(Self::io(&new))?;
            adapter.save(&new, &card.base)?;
            let path = new.join(CARD);
            let mut text =
                serde_json::to_vec_pretty(&card).map_err(|error| Self::io(&path)(error.into()))?;
            text.push(b'\n');
            replace_atomically(&path, &text).map_err(Self::io(&path))?;
            let path = self.folder(card.version);
            std::fs::rename(&new, &path).map_err(Self::io(&path))
        };
        if let Err(error) = write() {
            // The first error is the one that matters.
            let _ = remove(&new);
            return Err(error);
        }
        Ok(card)
    }

    /// Uses a version from now on; `None`: the model without any.
    ///
    /// # Errors
    /// [`ShelfError::Version`]; [`ShelfError::NotBetter`] for one that did not prove itself, unless `anyway`.
    pub fn use_version(&self, version: Option<u32>, anyway: bool) -> Result<(), ShelfError> {
        let path = self.path.join(CURRENT);
        match version {
            None => match std::fs::remove_file(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                other => other.map_err(Self::io(&path)),
            },
            Some(version) => {
                if !self.card(version)?.is_better && !anyway {
                    return Err(ShelfError::NotBetter { version });
                }
                replace_atomically(&path, format!("{version}\n").as_bytes())
                    .map_err(Self::io(&path))
            }
        }
    }

    /// Goes back to what was in use when the present version was made, or, where that is gone, to the model without any; what is in use now.
    ///
    /// # Errors
    /// As [`Shelf::use_version`].
    pub fn roll_back(&self) -> Result<Option<u32>, ShelfError> {
        let back = self.current()?.and_then(|card| card.parent);
        let back = self
            .versions()?
            .into_iter()
            .find(|version| Some(*version) == back);
        self.use_version(back, true)?;
        Ok(back)
    }

    /// Deletes every version that has seen one of these choices: what was learned from them goes with them. If one of them was in use, the
    /// newest better one that is left is used, else none.
    ///
    /// # Errors
    /// [`ShelfError`]; a card that cannot be read retires its adapter too, as nobody knows what it has seen.
    pub fn retire(&self, seen: impl Fn(&TaughtBy) -> bool) -> Result<Retired, ShelfError> {
        let mut retired = Retired::default();
        let in_use = self.named()?;
        let mut left = None;
        for version in self.versions()? {
            match self.card(version) {
                Ok(card) if !card.choices.iter().any(&seen) => {
                    if card.is_better {
                        left = Some(version);
                    }
                }
                _ => retired.versions.push(version),
            }
        }
        retired.was_in_use = in_use.is_some_and(|version| retired.versions.contains(&version));
        if retired.was_in_use {
            // Before it is deleted: a name without its folder would stop the next session.
            self.use_version(left, false)?;
        }
        for version in &retired.versions {
            let path = self.folder(*version);
            remove(&path).map_err(Self::io(&path))?;
        }
        retired.in_use = self.named()?;
        Ok(retired)
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
