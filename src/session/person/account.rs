//! What the imitator has earned with a person, per model: kept beside the memory of choices in `autonomy.json`.
//!
//! It holds counts and no choices. What was learnt of the choices is not kept at all: it is learnt anew from the memory when a session
//! begins, so that nothing is left of what was forgotten.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::PersonError;
use crate::choice::handover::{Carried, Shown};
use crate::session::folder::replace_atomically;

const FILE: &str = "autonomy.json";
/// Version of the form.
const VERSION: u32 = 1;
/// Largest file accepted, bytes: thousands of models.
const BYTES_MAX: u64 = 1 << 22;

/// What sessions with one model have left.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Earned {
    /// The adapter that was in use; what was shown with another does not count.
    pub adapter: Option<String>,
    /// The account, and the agreement that was shown.
    pub carried: Carried,
}

impl Earned {
    /// What of it counts with this adapter: the account always, as its claim rests on no model; what was shown only with the same.
    #[must_use]
    pub fn with(&self, adapter: Option<&str>) -> Carried {
        let mut carried = self.carried;
        if self.adapter.as_deref() != adapter {
            carried.shown = Shown::default();
        }
        carried
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Accounts {
    version: u32,
    /// By the model's digest.
    models: BTreeMap<String, Earned>,
}

/// The file of one person.
#[derive(Debug, Clone)]
pub struct AccountFile(PathBuf);

impl AccountFile {
    /// In this person's folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self(folder.join(FILE))
    }

    fn read(&self) -> Result<Accounts, PersonError> {
        let mut text = String::new();
        let read = std::fs::File::open(&self.0)
            .and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text));
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Accounts {
                    version: VERSION,
                    models: BTreeMap::new(),
                });
            }
            Err(source) => return Err(PersonError::io(&self.0, source)),
        }
        let unreadable = |reason| PersonError::Account {
            path: self.0.clone(),
            reason,
        };
        let accounts: Accounts =
            serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        if accounts.version > VERSION {
            return Err(PersonError::TooNew {
                path: self.0.clone(),
                found: i64::from(accounts.version),
                known: VERSION,
            });
        }
        Ok(accounts)
    }

    fn write(&self, accounts: &Accounts) -> Result<(), PersonError> {
        let io = |source| PersonError::io(&self.0, source);
        let mut json = serde_json::to_vec_pretty(accounts).map_err(|error| io(error.into()))?;
        json.push(b'\n');
        replace_atomically(&self.0, &json).map_err(io)
    }

    /// What sessions with this model have left; nothing before the first.
    ///
    /// # Errors
    /// [`PersonError`] when the file is damaged, of a later version, or cannot be read.
    pub fn of_model(&self, model_sha256: &str) -> Result<Earned, PersonError> {
        Ok(self.read()?.models.remove(model_sha256).unwrap_or_default())
    }

    /// Writes down what a session with this model leaves (0600, as a whole). Whoever does so holds the person's lock.
    ///
    /// # Errors
    /// [`PersonError`]; then the file is as it was.
    pub fn keep(&self, model_sha256: &str, earned: &Earned) -> Result<(), PersonError> {
        let mut accounts = self.read()?;
        accounts
            .models
            .insert(model_sha256.to_owned(), earned.clone());
        self.write(&accounts)
    }

    /// Some choices were forgotten: an imitator that never heard of them has shown nothing yet. The account stays, for its claim is about
    /// what was left to the imitator, and that has happened.
    ///
    /// # Errors
    /// [`PersonError`]; then the file is as it was.
    pub fn begin_anew(&self) -> Result<(), PersonError> {
        let mut accounts = self.read()?;
        if accounts.models.is_empty() {
            return Ok(());
        }
        for earned in accounts.models.values_mut() {
            earned.carried.shown = Shown::default();
        }
        self.write(&accounts)
    }

    /// All choices were forgotten: so is what the imitator earned by them.
    ///
    /// # Errors
    /// I/O errors.
    pub fn delete(&self) -> Result<(), PersonError> {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(PersonError::io(&self.0, error))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn earned() -> Earned {
        let mut carried = Carried {
            shown: Shown {
                answers: 40,
                agreed: 39,
            },
            ..Carried::default()
        };
        carried.tally.imitated[3] = 12;
        carried.tally.audited = 4;
        Earned {
            adapter: Some("0002".into()),
            carried,
        }
    }

    #[test]
    fn what_was_earned_is_private_belongs_to_one_model_and_is_shown_again_with_another_adapter() {
        let folder = tempfile::tempdir().unwrap();
        let file = AccountFile::in_folder(folder.path());
        assert_eq!(file.of_model("a").unwrap(), Earned::default());
        file.keep("a", &earned()).unwrap();
        let mode = std::fs::metadata(&file.0).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(file.of_model("a").unwrap(), earned());
        assert_eq!(file.of_model("b").unwrap(), Earned::default());
        assert_eq!(earned().with(Some("0002")), earned().carried);
        for other in [None, Some("0003")] {
            let carried = earned().with(other);
            assert_eq!(carried.shown, Shown::default());
            assert_eq!(carried.tally, earned().carried.tally);
        }
    }

    #[test]
    fn what_was_shown_goes_with_the_choices_and_a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = AccountFile::in_folder(folder.path());
        file.begin_anew().unwrap();
        file.delete().unwrap();
        assert!(!file.0.exists());
        file.keep("a", &earned()).unwrap();
        file.begin_anew().unwrap();
        let left = file.of_model("a").unwrap().carried;
        assert_eq!(left.shown, Shown::default());
        assert_eq!(left.tally, earned().carried.tally);
        file.delete().unwrap();
        assert_eq!(file.of_model("a").unwrap(), Earned::default());
        std::fs::write(&file.0, r#"{"version":9,"models":{}}"#).unwrap();
        assert!(matches!(
            file.of_model("a"),
            Err(PersonError::TooNew { found: 9, .. })
        ));
        std::fs::write(&file.0, "{").unwrap();
        let refused = file.of_model("a").unwrap_err().to_string();
        assert!(
            refused.contains("autonomy.json") && refused.contains("Delete"),
            "{refused}"
        );
    }
}
