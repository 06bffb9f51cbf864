//! What llama.cpp's server answered, replayed: its story model is the one in this program, so its forks must be ours.
//!
//! The exchanges lie in `fixtures/golden/server`, made by `tests/python/llama_cpp_server.py`. With the address of such a
//! server (or of the script's recorder in front of it) in `RAZVILKA_LLAMA_SERVER` the first test talks to it instead, and with
//! one in `RAZVILKA_BYTES_SERVER` the second one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use razvilka::decode::remote::{RemoteWriter, Server};
use razvilka::decode::{Decoder, Model, ServerSettings, Survey, WriterSettings};
use razvilka::fork::Branch;
use serde_json::Value;

use super::stand_in::{Act, StandIn};
use super::{greedy, on, settings, think};

/// A server that gives the recorded answer to each recorded request, and refuses every other.
fn replaying(name: &str) -> StandIn {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden/server");
    let text = std::fs::read_to_string(file.join(name)).unwrap();
    let recorded: Value = serde_json::from_str(&text).unwrap();
    let strings = |value: &Value| -> Vec<String> {
        let lines = value.as_array().unwrap().iter();
        lines.map(ToString::to_string).collect()
    };
    let answers: HashMap<String, Act> = recorded["exchanges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|exchange| {
            let act = match exchange.get("events") {
                Some(events) => Act::Events(strings(events)),
                None => Act::Document(200, exchange["answer"].to_string()),
            };
            (
                format!(
                    "{} {}",
                    exchange["path"].as_str().unwrap(),
                    exchange["request"]
                ),
                act,
            )
        })
        .collect();
    StandIn::new(move |asked, _| {
        let request = format!("{} {}", asked.path, asked.body);
        let unknown = format!(
            "{{\"error\":{{\"message\":\"not recorded: {}\"}}}}",
            asked.path
        );
        answers
            .get(&request)
            .cloned()
            .unwrap_or(Act::Document(400, unknown))
    })
}

/// The server that a variable names, or a replay.
fn server(
    variable: &str,
    recorded: &str,
    settings: ServerSettings,
) -> (Arc<Server>, Option<StandIn>) {
    let stand_in = std::env::var(variable)
        .is_err()
        .then(|| replaying(recorded));
    let address = match &stand_in {
        Some(stand_in) => stand_in.address.clone(),
        None => std::env::var(variable).unwrap(),
    };
    (
        Arc::new(Server::open(&address, settings, None).unwrap()),
        stand_in,
    )
}

/// Natural logarithm of the probability of the token behind a row of logits.
fn log_prob_nats(logits: &[f32], token: u32) -> f64 {
    let sum: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
    f64::from(logits[token as usize]) - sum.ln()
}

#[test]
fn the_story_model_behind_llama_cpp_forks_where_it_forks_in_this_process() {
    let how = WriterSettings {
        tokens_max: 40,
        questions_per_100_tokens_max: 100,
        distance_tokens_min: 0,
        ..greedy()
    };
    let few = ServerSettings {
        // By reading alone: a recording of every comparison would be long.
        consequence_tokens: 0,
        ..settings()
    };
    let (server, _kept) = server("RAZVILKA_LLAMA_SERVER", "story.json", few);
    let mut there = RemoteWriter::new(server, how.clone()).unwrap();
    there.start("Once").unwrap();
    let mut forks = Vec::new();
    // The last branch of every fork, thought out.
    while let Ok(fork) = on(&mut there).unwrap().1 {
        think(&mut there).unwrap();
        there.commit(fork.id, fork.branches.len() - 1).unwrap();
        forks.push(fork);
    }
    assert!(forks.len() >= 3, "{} forks say something", forks.len());

    // Here, along the text written there.
    let model = Arc::new(Model::embedded().unwrap());
    let tokens = model.tokens().encode(there.text()).unwrap();
    assert_eq!(tokens.len(), there.position());
    let mut here = Survey::start(Arc::clone(&model), how, &tokens[..2]).unwrap();
    let mut forks = forks.into_iter().peekable();
    let (mut looked_at_from, mut both) = (2, 0);
    for position in 2..tokens.len() {
        let branches = here.branches().unwrap();
        let at = format!("token {position} of {:?}", there.text());
        if let Some(fork) = forks.next_if(|fork| fork.position == position) {
            let all = here.probabilities();
            for branch in &fork.branches {
                let ours = all[branch.tokens[0] as usize];
                // llama.cpp computes in f16 what we compute in f32.
                assert!(
                    (branch.prior - ours).abs() < 0.01,
                    "{at}: {branch:?}, here {ours}"
                );
                let whole = [&tokens[..position], &branch.tokens].concat();
                let logits = model.logits(&whole).unwrap();
                let rows: Vec<&[f32]> = logits.chunks(model.config().vocabulary).collect();
                let steps = branch.tokens.iter().zip(&rows[position - 1..]);
                let sum: f64 = steps.map(|(token, row)| log_prob_nats(row, *token)).sum();
                let theirs = branch.log_prob_nats;
                assert!((sum - theirs).abs() < 0.05, "{at}: {branch:?}, here {sum}");
            }
            // Ours are among theirs: what is one meaning here may be several wordings there.
            for branch in &branches {
                let begins = |theirs: &Branch| theirs.tokens[0] == branch.tokens[0];
                assert!(
                    fork.branches.iter().any(begins),
                    "{at}: {fork:?}, here {branch:?}"
                );
            }
            both += usize::from(!branches.is_empty());
            let taken = &fork.branches[fork.branches.len() - 1];
            looked_at_from = position + taken.tokens.len();
        } else if position >= looked_at_from {
            assert!(
                branches.is_empty(),
                "{at}: no fork there, here {branches:?}"
            );
        }
        here.push(tokens[position]).unwrap();
    }
    assert!(forks.next().is_none());
    assert!(both >= 2, "{both} forks of both say something");
}

#[test]
fn letters_of_two_bytes_come_out_whole_from_tokens_of_one() {
    let how = WriterSettings {
        tokens_max: 40,
        detect: false,
        ..greedy()
    };
    let (server, kept) = server("RAZVILKA_BYTES_SERVER", "bytes.json", settings());
    let mut writer = RemoteWriter::new(server, how).unwrap();
    writer.start("М").unwrap();
    let (text, _) = on(&mut writer).unwrap();
    assert!(
        text.starts_with("ёд, и мёд. ") || text.chars().count() > 10,
        "{text}"
    );
    assert!(!text.contains(char::REPLACEMENT_CHARACTER), "{text}");
    if let Some(kept) = kept {
        let sent = kept.completions();
        // The server joins the bytes of a letter and tells the number of one: from then on the text is sent as text.
        assert!(sent.len() > 1);
        assert!(sent[0]["prompt"].is_array());
        assert!(sent[1]["prompt"].as_str().unwrap().starts_with('М'));
    }
}
