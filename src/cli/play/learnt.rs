//! The model of a session, with what was learnt from its person.

use super::open_model;
use super::person::expire;
use crate::cli::exit::Failure;
use crate::config::{Plan, is_a_server};
use crate::decode::Backend;
use crate::engine::conduct::model_digest;
use crate::learn::Shelf;
use crate::session::person::{Person, place_of_person};

/// The model that the plan names, with the adapter of the plan's person that is in use, where there is one for this model. Its folder becomes part
/// of the plan, so that a replay adds the same one. An adapter that the plan names itself goes before.
///
/// # Errors
/// As [`open_model`], and for an adapter that cannot be read.
pub fn open_model_of_person(
    plan: &mut Plan,
    tell: &mut dyn FnMut(&str),
) -> Result<Backend, Failure> {
    let served = plan.model.path.as_deref().is_some_and(is_a_server);
    let own = plan.person.as_ref();
    let Some(section) = own.filter(|_| !served && plan.model.adapter.is_none()) else {
        return open_model(plan);
    };
    let named = section.id.display().to_string();
    // Who is not known, or has not agreed, is told so elsewhere.
    let person = place_of_person(&section.id).and_then(|place| Person::open(&place));
    let Some(person) = person
        .ok()
        .filter(|person| person.record().off_because().is_none())
    else {
        return open_model(plan);
    };
    let shelf = Shelf::of(person.path());
    // What has seen a choice that is too old to be kept is not used any more.
    drop(expire(person, tell)?);
    let Some(card) = shelf.current()? else {
        return open_model(plan);
    };
    plan.model.adapter = Some(shelf.folder(card.version));
    // Of another model it may not even have the shapes.
    let adapted = open_model(plan).ok();
    if let Some(model) = adapted.filter(|model| model_digest(model) == card.base_sha256) {
        tell(&format!(
            "the model writes with version {} of what was learnt from {named}",
            card.version
        ));
        return Ok(model);
    }
    plan.model.adapter = None;
    let model = open_model(plan)?;
    if model_digest(&model) == card.base_sha256 {
        // It belongs here, and could not be added: the reason is wanted.
        plan.model.adapter = Some(shelf.folder(card.version));
        return open_model(plan);
    }
    tell(&format!(
        "what was learnt from {named} belongs to another model ({}), and is not used",
        card.base
    ));
    Ok(model)
}
