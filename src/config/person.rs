//! Whose choices a session may remember.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::session::person::place_of_person;

/// The person of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonSection {
    /// A name, or the path of a folder: where the memory of this person's choices is. It stands in the session's manifest, so let it be a
    /// pseudonym.
    pub id: PathBuf,
}

impl PersonSection {
    pub(super) fn check(&self) -> Result<(), String> {
        place_of_person(&self.id)
            .map(|_| ())
            .map_err(|error| format!("person.id: {error}"))
    }
}
