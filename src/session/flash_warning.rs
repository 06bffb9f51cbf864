//! Who has confirmed that flashes may be shown, and when: asked once for each person, or once for this user where no person is named.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::digest::sha256_hex;
use super::utc::utc_of;

/// Raised when the warning says something that a former confirmation did not cover.
const WORDING: u32 = 1;

/// A confirmation as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmed {
    at_utc: String,
    wording: u32,
}

/// Where the confirmation of one person is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlashWarning {
    file: PathBuf,
}

impl FlashWarning {
    /// That of this person, or of this user where no person is named: below `XDG_STATE_HOME`, or `~/.local/state`.
    #[must_use]
    pub fn of(person: Option<&Path>) -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let state = set("XDG_STATE_HOME").map_or_else(
            || PathBuf::from(set("HOME").unwrap_or_else(|| ".".into())).join(".local/state"),
            PathBuf::from,
        );
        Self::within(&state.join("razvilka/flashes"), person)
    }

    fn within(folder: &Path, person: Option<&Path>) -> Self {
        // A pseudonym all the same is nobody's business who lists this folder.
        let name = person.map_or_else(
            || "user".to_owned(),
            |person| sha256_hex(person.to_string_lossy().as_bytes()),
        );
        Self {
            file: folder.join(format!("{name}.json")),
        }
    }

    /// When it was confirmed, UTC; `None` when it was not, or to other words. A file that cannot be read confirms nothing.
    #[must_use]
    pub fn confirmed_utc(&self) -> Option<String> {
        let text = std::fs::read_to_string(&self.file).ok()?;
        let confirmed: Confirmed = serde_json::from_str(&text).ok()?;
        (confirmed.wording == WORDING).then_some(confirmed.at_utc)
    }

    /// Keeps that it is confirmed now, for this user's eyes only.
    ///
    /// # Errors
    /// The system's, when it cannot be written: it will be asked for again.
    pub fn confirm(&self) -> io::Result<()> {
        if let Some(folder) = self.file.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        let confirmed = Confirmed {
            at_utc: utc_of(SystemTime::now()),
            wording: WORDING,
        };
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.file)?;
        writeln!(file, "{}", serde_json::to_string(&confirmed)?)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn each_person_confirms_once_and_for_the_words_that_were_read() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("razvilka/flashes");
        let of = |person: Option<&str>| FlashWarning::within(&state, person.map(Path::new));
        assert_eq!(of(Some("anna")).confirmed_utc(), None);
        of(Some("anna")).confirm().unwrap();
        let at = of(Some("anna")).confirmed_utc().unwrap();
        assert!(at.starts_with("20") && at.ends_with('Z'), "{at}");
        assert_eq!(of(Some("bert")).confirmed_utc(), None);
        assert_eq!(of(None).confirmed_utc(), None);
        let file = of(Some("anna")).file;
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("\"wording\":1", "\"wording\":0")).unwrap();
        assert_eq!(of(Some("anna")).confirmed_utc(), None);
        std::fs::write(&file, "{").unwrap();
        assert_eq!(of(Some("anna")).confirmed_utc(), None);
    }
}
