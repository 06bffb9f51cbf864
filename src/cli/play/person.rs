//! The person of a session: whether anything is remembered, and what was remembered before.

use std::io::Read;
use std::time::{Duration, SystemTime};

use crate::cli::exit::{Exit, Failure};
use crate::config::Plan;
use crate::decode::Backend;
use crate::engine::conduct::{PersonSetting, model_digest};
use crate::learn::{Shelf, forget};
use crate::session::person::{ChoiceStore, Person, PersonError, Which, place_of_person};
use crate::session::utc_of;
use crate::view::terminal::View;

const DAY: Duration = Duration::from_secs(86_400);

/// The memory of the plan's person, opened to be added to; `None` without a person, or without consent, which is told.
///
/// Choices older than the person wants them kept are forgotten first.
///
/// # Errors
/// [`Failure`] when there is a memory that cannot be used.
pub(super) fn open_person(
    plan: &Plan,
    model: &Backend,
    view: &mut dyn View,
) -> Result<Option<PersonSetting>, Failure> {
    let Some(section) = &plan.person else {
        return Ok(None);
    };
    let named = section.id.display();
    let how = format!("`razvilka choices consent on --person {named}` switches it on");
    let person = match Person::open(&place_of_person(&section.id)?) {
        Ok(person) => person,
        Err(PersonError::Nobody { .. }) => {
            let _ = view.note(&format!(
                "nothing is remembered of {named}: nobody has agreed to learning yet. {how}"
            ));
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(reason) = person.record().off_because() {
        let _ = view.note(&format!(
            "nothing is remembered of {named}: {reason}. {how}"
        ));
        return Ok(None);
    }
    let store = expire(person, &mut |said| {
        let _ = view.note(said);
    })?;
    let setting = PersonSetting::read(store, &model_digest(model))?;
    let _ = view.note(&format!(
        "choices are remembered of {named}; {} made before with this model",
        setting.choices()
    ));
    if !model.tells_states() {
        let _ = view.note(
            "the server tells no hidden states: choices are remembered without them, and the memory prefers nothing",
        );
    }
    Ok(Some(setting))
}

/// The memory of a person, after what they did not want kept for so long was forgotten, with what was learned from it.
///
/// # Errors
/// [`Failure`] when there is a memory that cannot be used.
pub(super) fn expire(person: Person, tell: &mut dyn FnMut(&str)) -> Result<ChoiceStore, Failure> {
    let retention_days = person
        .record()
        .agreed()
        .map_or(0, |consent| consent.retention_days);
    let shelf = Shelf::of(person.path());
    let mut store = ChoiceStore::open(person)?;
    if let Some(oldest) = SystemTime::now().checked_sub(DAY * retention_days) {
        let old = Which::Before(utc_of(oldest));
        let (forgotten, retired) = forget(&mut store, &shelf, &old)?;
        if forgotten.choices > 0 {
            tell(&format!(
                "choices older than {retention_days} days were forgotten: {}, and adapters that had seen one of them: {}",
                forgotten.choices,
                retired.versions.len()
            ));
        }
    }
    Ok(store)
}

/// A seed for the coins of this session's audits, from the system's randomness: nobody can foresee it.
///
/// # Errors
/// [`Exit::Internal`] where the system has none.
pub(super) fn coins() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|error| {
            let said = format!("the system gives no random numbers (/dev/urandom): {error}");
            Failure::said(Exit::Internal, said)
        })?;
    Ok(u64::from_le_bytes(bytes))
}

impl From<PersonError> for Failure {
    fn from(error: PersonError) -> Self {
        let exit = match error {
            PersonError::Full { .. } | PersonError::Sql { .. } | PersonError::Io { .. } => {
                Exit::RecordingIncomplete
            }
            PersonError::StillThere { .. } => Exit::Internal,
            _ => Exit::Usage,
        };
        Self::new(exit, error)
    }
}
