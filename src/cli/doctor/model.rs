//! The language model: whether it is there, is sound, loads, and fits the memory.

use std::path::Path;
use std::time::{Duration, Instant};

use super::finding::{Area, Finding};
use crate::cli::play::open_model;
use crate::config::{Plan, is_a_server, is_on_a_hub};
use crate::decode::{Backend, available_memory_bytes};
use crate::learn::Shelf;
use crate::session::person::{Person, place_of_person};

/// What came of a model.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// Every file was verified, and it was loaded.
    Loaded {
        /// Its name.
        name: String,
        /// Weights and norms, millions.
        parameters_m: f64,
        /// What loading takes at its peak, and a text, bytes.
        needed_bytes: u64,
        /// How long it took.
        took: Duration,
    },
    /// A server has it, and answers.
    #[cfg_attr(not(feature = "server"), allow(dead_code))] // an address is refused then
    Served(String),
    /// It is fetched when a session begins.
    OnHub,
    /// It cannot be used.
    Refused(String),
}

/// What is known of the model.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// As the experiment names it; `None` for the embedded one.
    pub(super) named: Option<String>,
    /// What came of it.
    pub(super) outcome: Outcome,
    /// Memory that could be had before it was loaded, bytes.
    pub(super) available_bytes: Option<u64>,
    /// The adapter that was learnt from the experiment's person, which a session would add.
    pub(super) learnt: Option<Learnt>,
}

/// What was learnt from a person.
#[derive(Debug, Clone)]
pub(super) struct Learnt {
    /// The person, as the experiment names it.
    pub(super) person: String,
    /// The version in use, or why none can be told.
    pub(super) version: Result<u32, String>,
}

/// Loads the plan's model, with adapter and sentence-embedding model where the plan names them, and hands it over: a session locks its memory.
/// Nothing is fetched.
pub(super) fn facts(plan: &Plan) -> (Facts, Option<Backend>) {
    let named = plan.model.path.as_deref();
    let available_bytes = available_memory_bytes();
    let at = Instant::now();
    let (outcome, model) = if named.is_some_and(is_on_a_hub) {
        (Outcome::OnHub, None)
    } else {
        match open_model(plan) {
            Err(failure) => (Outcome::Refused(failure.message), None),
            #[cfg(feature = "server")]
            Ok(Backend::Server(server)) => (Outcome::Served(server.to_string()), None),
            Ok(Backend::Here(model)) => {
                let card = model.card();
                let outcome = Outcome::Loaded {
                    name: card.name,
                    parameters_m: card.parameters as f64 / 1e6,
                    needed_bytes: card.needed_bytes,
                    took: at.elapsed(),
                };
                (outcome, Some(Backend::Here(model)))
            }
        }
    };
    let facts = Facts {
        named: named.map(|path: &Path| path.display().to_string()),
        outcome,
        available_bytes,
        learnt: learnt(plan),
    };
    (facts, model)
}

/// What a session would add of its own accord, told by the shelf alone: a session first forgets what is too old, and here nothing is changed.
fn learnt(plan: &Plan) -> Option<Learnt> {
    let section = plan.person.as_ref()?;
    let served = plan.model.path.as_deref().is_some_and(is_a_server);
    if served || plan.model.adapter.is_some() {
        return None;
    }
    let place = place_of_person(&section.id).ok()?;
    let person = Person::open(&place).ok()?;
    if person.record().off_because().is_some() {
        return None;
    }
    let version = match Shelf::of(person.path()).current() {
        Ok(None) => return None,
        Ok(Some(card)) => Ok(card.version),
        Err(error) => Err(error.to_string()),
    };
    Some(Learnt {
        person: section.id.display().to_string(),
        version,
    })
}

/// What that means for a session.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut found = of_model(facts);
    found.extend(facts.learnt.as_ref().map(of_person));
    found
}

fn of_person(learnt: &Learnt) -> Finding {
    let (area, what, person) = (Area::Model, "its adapter", &learnt.person);
    match &learnt.version {
        Ok(version) => Finding::warning(
            area,
            what,
            format!(
                "version {version} of what was learnt from {person} is added by a session, and was not looked at"
            ),
            format!(
                "See whether it is better than the model alone, and goes with this model: razvilka learn list --person {person}"
            ),
        ),
        Err(why) => Finding::failure(
            area,
            what,
            why,
            format!("Take another version, or none: razvilka learn use 0 --person {person}"),
        ),
    }
}

fn of_model(facts: &Facts) -> Vec<Finding> {
    let area = Area::Model;
    let named = facts.named.as_deref().unwrap_or("the embedded one");
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (name, parameters_m, needed_bytes, took) = match &facts.outcome {
        Outcome::Refused(why) => {
            return vec![Finding::failure(
                area,
                "model",
                format!("{named}: {why}"),
                "Correct model.path, or leave it out for the embedded model",
            )];
        }
        Outcome::OnHub => {
            return vec![Finding::warning(
                area,
                "model",
                format!("{named} is on a hub, and was not looked at"),
                format!("Fetch and verify it before the session: razvilka model check {named}"),
            )];
        }
        Outcome::Served(server) => {
            return vec![Finding::ok(area, "model", format!("{server} answers"))];
        }
        Outcome::Loaded {
            name,
            parameters_m,
            needed_bytes,
            took,
        } => (name, parameters_m, *needed_bytes, took),
    };
    let loaded = Finding::ok(
        area,
        "model",
        format!(
            "{name}: verified and loaded in {:.1} s, {parameters_m:.2} million parameters",
            took.as_secs_f64()
        ),
    );
    let figure = match facts.available_bytes {
        None => format!("about {:.0} MiB needed", mib(needed_bytes)),
        Some(available) => format!(
            "about {:.0} MiB needed, {:.0} MiB to be had",
            mib(needed_bytes),
            mib(available)
        ),
    };
    // Half as much again: streams, recording and window want some, too.
    let tight = facts
        .available_bytes
        .is_some_and(|available| needed_bytes.saturating_mul(3) / 2 > available);
    let memory = if tight {
        Finding::warning(
            area,
            "its memory",
            figure,
            "End other programs, set decode.precision = \"q8\", or lower writer.context_tokens_max: little is left beside it",
        )
    } else {
        Finding::ok(area, "its memory", figure)
    };
    vec![loaded, memory]
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn of(outcome: Outcome) -> Facts {
        Facts {
            named: Some("models/x".into()),
            outcome,
            available_bytes: Some(1 << 30),
            learnt: None,
        }
    }

    fn loaded(needed_bytes: u64) -> Facts {
        of(Outcome::Loaded {
            name: "x".into(),
            parameters_m: 135.0,
            needed_bytes,
            took: Duration::from_secs(1),
        })
    }

    #[test]
    fn a_model_that_fits_is_fine_one_that_hardly_fits_is_warned_of_and_one_that_is_refused_fails() {
        let worst = |facts: &Facts| judge(facts).iter().map(|f| f.level).max().unwrap();
        assert_eq!(worst(&loaded(200 << 20)), Level::Ok);
        assert_eq!(worst(&loaded(900 << 20)), Level::Warning);
        let refused = of(Outcome::Refused("there is no models/x".into()));
        assert_eq!(worst(&refused), Level::Failure);
        assert!(judge(&refused)[0].figure.contains("models/x"));
        let hub = Facts {
            named: Some("hf:a/b".into()),
            ..of(Outcome::OnHub)
        };
        assert_eq!(worst(&hub), Level::Warning);
        assert!(
            judge(&hub)[0]
                .advice
                .as_ref()
                .unwrap()
                .ends_with("model check hf:a/b")
        );
        assert_eq!(worst(&of(Outcome::Served("a server".into()))), Level::Ok);
    }

    #[test]
    fn the_embedded_model_loads_and_is_held_while_its_memory_is_locked() {
        let (facts, model) = facts(&Plan::default());
        assert!(
            matches!(&facts.outcome, Outcome::Loaded { needed_bytes, .. } if *needed_bytes > 0)
        );
        assert!(matches!(model, Some(Backend::Here(_))));
        assert!(facts.learnt.is_none(), "there is no person");
    }

    #[test]
    fn what_was_learnt_from_a_person_and_not_looked_at_is_said() {
        let with = |version: Result<u32, String>| {
            let facts = Facts {
                learnt: Some(Learnt {
                    person: "anna".into(),
                    version,
                }),
                ..loaded(200 << 20)
            };
            judge(&facts).into_iter().last().unwrap()
        };
        let told = with(Ok(3));
        assert_eq!(told.level, Level::Warning);
        assert!(told.figure.contains("version 3") && told.figure.contains("anna"));
        assert_eq!(with(Err("damaged".into())).level, Level::Failure);
    }
}
