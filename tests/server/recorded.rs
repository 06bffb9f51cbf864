//! What llama.cpp's server answered, replayed: its story model is the one in this program, so its forks must be ours.
//!
//! The exchanges lie in `fixtures/golden/server`, made by `tests/python/llama_cpp_server.py`. With the address of such a
//! server (or of the script's recorder in front of it) in `RAZVILKA_LLAMA_SERVER` the first test talks to it instead, and with
//! one in `RAZVILKA_BYTES_SERVER` the second one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use razvilka::decode::remote::{RemoteWriter, Server};
use razvilka::decode::{Decoder, End, Model, ServerSettings, Writer, WriterSettings};
use razvilka::fork::Fork;
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

/// Takes the second branch of every fork, thought out; gives the text and the forks.
fn written(decoder: &mut dyn Decoder) -> (Vec<Fork>, String, End) {
    decoder.start("Once").unwrap();
    let mut forks = Vec::new();
    loop {
        match on(decoder).unwrap().1 {
            Ok(fork) => {
                think(decoder).unwrap();
                decoder.commit(fork.id, 1).unwrap();
                forks.push(fork);
            }
            Err(end) => return (forks, decoder.text().to_owned(), end),
        }
    }
}

#[test]
fn the_story_model_behind_llama_cpp_forks_where_it_forks_in_this_process() {
    let how = WriterSettings {
        tokens_max: 48,
        ..greedy()
    };
    let (server, _kept) = server("RAZVILKA_LLAMA_SERVER", "story.json", settings());
    let mut there = RemoteWriter::new(server, how.clone()).unwrap();
    let mut here = Writer::new(Arc::new(Model::embedded().unwrap()), how).unwrap();
    let (forks_there, text_there, end_there) = written(&mut there);
    let (forks_here, text_here, end_here) = written(&mut here);
    let told = |forks: &[Fork]| -> Vec<String> {
        let told = forks.iter();
        told.map(|fork| format!("{} {:?}", fork.position, super::phrases(fork)))
            .collect()
    };
    assert_eq!(told(&forks_there), told(&forks_here));
    assert_eq!(text_there, text_here);
    assert_eq!(end_there, end_here);
    assert!(
        forks_here.len() >= 2,
        "{} forks say something",
        forks_here.len()
    );
    assert_eq!(forks_there.len(), forks_here.len());
    for (there, here) in forks_there.iter().zip(&forks_here) {
        assert_eq!(there.position, here.position);
        assert_eq!(there.branches.len(), here.branches.len());
        for (there, here) in there.branches.iter().zip(&here.branches) {
            assert_eq!(there.text, here.text);
            assert_eq!(there.tokens, here.tokens, "numbers of the same vocabulary");
            // llama.cpp multiplies in f16 where we do not.
            assert!(
                (there.prior - here.prior).abs() < 0.01,
                "{there:?} {here:?}"
            );
            assert!((there.log_prob_nats - here.log_prob_nats).abs() < 0.05);
        }
    }
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
