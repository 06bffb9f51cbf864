//! How often the network of choices joins what is not the same, and how often it keeps apart what is: against the grammar.
//!
//! Texts are written by the model, their forks taken as they come. Two forks of different texts are truly at one place where the grammar has
//! the same choice there, with the same words to go on with and the same probabilities; two branches are truly one way where their first
//! words mean the same. Each pair is put before the rule by itself, and then all forks together. One JSON line per rule.

use std::sync::Arc;

use razvilka::choice::network::{Met, Network, Offered, Rule};
use razvilka::decode::{Cancel, Model, Step, Writer, WriterSettings};
use razvilka::fork::{Chooser, ForkId};
use razvilka_grammar::{Language, Truth};

use super::Options;

/// Rules that are tried: of the states at forks, and of those over phrases.
const STATES: [f64; 5] = [0.7, 0.8, 0.9, 0.95, 0.97];
const PHRASES: [f64; 5] = [0.7, 0.8, 0.85, 0.9, 0.95];

/// A fork, and what the grammar says of it.
struct Known {
    met: Met,
    truth: Truth,
    /// Of each branch.
    meanings: Vec<&'static str>,
}

#[derive(Default)]
struct Pairs {
    joined: usize,
    rightly: usize,
    same: usize,
}

impl Pairs {
    fn note(&mut self, joined: bool, same: bool) {
        self.joined += usize::from(joined);
        self.rightly += usize::from(joined && same);
        self.same += usize::from(same);
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "joined": self.joined, "wrongly": self.joined - self.rightly, "same": self.same, "missed": self.same - self.rightly,
        })
    }
}

/// Writes texts and prints how each rule does on their forks.
pub(crate) fn network(options: &Options, model: &Arc<Model>) -> anyhow::Result<()> {
    let mut known = Vec::new();
    for text in 0..options.stories {
        forks_of(options, model, text, &mut known)?;
    }
    println!(
        "{}",
        serde_json::json!({ "bench": "network", "seed": options.seed, "texts": options.stories, "forks": known.len() })
    );
    for phrase_cosine_min in PHRASES {
        let rule = Rule {
            phrase_cosine_min,
            ..Rule::default()
        };
        println!(
            "{}",
            serde_json::json!({ "bench": "network", "phrase": phrase_cosine_min, "ways": ways(&known, &rule).json() })
        );
    }
    for state_cosine_min in STATES {
        for phrase_cosine_min in PHRASES {
            let rule = Rule {
                state_cosine_min,
                phrase_cosine_min,
            };
            println!(
                "{}",
                serde_json::json!({
                    "bench": "network", "state": state_cosine_min, "phrase": phrase_cosine_min, "places": places(&known, &rule).json(),
                })
            );
        }
    }
    let all = Network::of(
        known.iter().map(|known| known.met.clone()).collect(),
        &Rule::default(),
    );
    let mut together = Pairs::default();
    for_each_pair(&known, |a, b| {
        let joined = all.place_of(a) == all.place_of(b);
        together.note(joined, same_place(&known[a], &known[b]));
    });
    println!(
        "{}",
        serde_json::json!({ "bench": "network", "rule": format!("{:?}", Rule::default()), "places": all.places().len(), "together": together.json() })
    );
    Ok(())
}

fn forks_of(
    options: &Options,
    model: &Arc<Model>,
    text: usize,
    known: &mut Vec<Known>,
) -> anyhow::Result<()> {
    let settings = WriterSettings {
        seed: options.seed * 1_000_003 + text as u64,
        ..options.settings.clone()
    };
    let mut writer = Writer::new(Arc::clone(model), settings)?;
    writer.start("")?;
    loop {
        match writer.advance(&Cancel::new())? {
            Step::Fork(fork) => {
                let truth = Language::of(writer.tokens())
                    .and_then(|language| language.truth(writer.tokens()));
                let states = writer.states();
                let meanings = fork
                    .branches
                    .iter()
                    .map(|branch| truth.as_ref()?.meaning(*branch.tokens.first()?));
                // What the grammar would never write is nothing it could judge.
                if let (Some(meanings), Some(states)) =
                    (meanings.collect::<Option<Vec<_>>>(), states)
                    && let Some(truth) = truth.clone()
                {
                    let offered = fork.branches.iter().zip(states.branches).zip(0..);
                    let met = Met {
                        session: text,
                        fork: ForkId(fork.id.0),
                        after: None,
                        // The text itself joins nothing: the rule is what is measured.
                        context: format!("{text}/{}", fork.id.0),
                        model_sha256: String::new(),
                        state: Some(states.fork),
                        offered: offered
                            .map(|((branch, embedding), item)| Offered {
                                item,
                                text: branch.text.clone(),
                                prior: branch.prior,
                                embedding: Some(embedding),
                            })
                            .collect(),
                        taken: None,
                        chooser: Some(Chooser::Model),
                        level: None,
                        asked: false,
                        taken_back: None,
                    };
                    known.push(Known {
                        met,
                        truth,
                        meanings,
                    });
                }
                writer.go_on(fork.id)?;
            }
            Step::Text(_) => {}
            Step::End(_) | Step::Cancelled | Step::Waiting => return Ok(()),
        }
    }
}

/// Pairs of forks of different texts.
fn for_each_pair(known: &[Known], mut each: impl FnMut(usize, usize)) {
    for a in 0..known.len() {
        for b in a + 1..known.len() {
            if known[a].met.session != known[b].met.session {
                each(a, b);
            }
        }
    }
}

fn same_place(a: &Known, b: &Known) -> bool {
    a.truth.name == b.truth.name && a.truth.alternatives == b.truth.alternatives
}

fn places(known: &[Known], rule: &Rule) -> Pairs {
    let mut pairs = Pairs::default();
    for_each_pair(known, |a, b| {
        let two = Network::of(vec![known[a].met.clone(), known[b].met.clone()], rule);
        pairs.note(two.places().len() == 1, same_place(&known[a], &known[b]));
    });
    pairs
}

/// Branches of forks that are truly at one place.
fn ways(known: &[Known], rule: &Rule) -> Pairs {
    let mut pairs = Pairs::default();
    for_each_pair(known, |a, b| {
        if !same_place(&known[a], &known[b]) {
            return;
        }
        let at_one_place = |known: &Known| Met {
            context: String::new(),
            ..known.met.clone()
        };
        let two = Network::of(vec![at_one_place(&known[a]), at_one_place(&known[b])], rule);
        for (i, meaning) in known[a].meanings.iter().enumerate() {
            for (j, other) in known[b].meanings.iter().enumerate() {
                pairs.note(two.way_of(0, i) == two.way_of(1, j), meaning == other);
            }
        }
    });
    pairs
}
