//! What is kept of a person from session to session: their consent, and the memory of their choices.
//!
//! | file | what | written |
//! |---|---|---|
//! | `person.toml` | whether Razvilka may learn from this person, since when, for how long | by `razvilka choices consent` alone |
//! | `autonomy.json` | what the imitator has earned, per model: counts alone | as a whole, while a session lasts |
//! | `memory.sqlite` | every finished fork: what was offered, chosen and by whom, with the model's states there | in transactions, while a session lasts |
//!
//! The folder is 0700, its files 0600. Nothing is kept without consent. What a memory holds may be changed and deleted, which is why it is no
//! part of a session's ledger: that is one chain of hashes, and forgetting would break it.
//!
//! One process changes a person's folder at a time; any may read it.

mod account;
mod consent;
mod error;
mod folder;
mod forget;
mod read;
mod remembered;
mod schema;
mod store;
#[cfg(test)]
mod tests;

pub use account::{AccountFile, Earned};
pub use consent::{
    CONSENT_WORDING, CONSENT_WORDING_VERSION, Consent, PersonRecord, RETENTION_DAYS,
};
pub use error::PersonError;
pub use folder::{Person, place_of_person};
pub use forget::Forgotten;
pub use remembered::{ForkName, Remembered, RememberedOption, TakenBack, Which};
pub use schema::MEMORY_VERSION;
pub use store::ChoiceStore;
