//! The language model: whether it is there, is sound, loads, and fits the memory.

use std::path::Path;
use std::time::{Duration, Instant};

use super::finding::{Area, Finding};
use crate::cli::play::open_model;
use crate::config::{Plan, is_on_a_hub};
use crate::decode::{Backend, available_memory_bytes};

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
}

/// Loads the plan's model, with adapter and sentence-embedding model where the plan names them, and lets it go again. Nothing is fetched.
pub(super) fn facts(plan: &Plan) -> Facts {
    let named = plan.model.path.as_deref();
    let available_bytes = available_memory_bytes();
    let at = Instant::now();
    let outcome = if named.is_some_and(is_on_a_hub) {
        Outcome::OnHub
    } else {
        match open_model(plan) {
            Err(failure) => Outcome::Refused(failure.message),
            #[cfg(feature = "server")]
            Ok(Backend::Server(server)) => Outcome::Served(server.to_string()),
            Ok(Backend::Here(model)) => {
                let card = model.card();
                Outcome::Loaded {
                    name: card.name,
                    parameters_m: card.parameters as f64 / 1e6,
                    needed_bytes: card.needed_bytes,
                    took: at.elapsed(),
                }
            }
        }
    };
    Facts {
        named: named.map(|path: &Path| path.display().to_string()),
        outcome,
        available_bytes,
    }
}

/// What that means for a session.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
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
    fn the_embedded_model_loads() {
        let facts = facts(&Plan::default());
        assert!(
            matches!(&facts.outcome, Outcome::Loaded { needed_bytes, .. } if *needed_bytes > 0)
        );
    }
}
