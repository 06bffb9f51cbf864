//! Forks, commits, undo, other branches: by a server that behaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use razvilka::decode::{Cancel, Commit, Decoder, End};
use razvilka::fork::{ForkOrigin, MAX_BRANCHES};

use super::stand_in::{Act, Asked, StandIn, complete, complete_in_columns, models, well, words_of};
use super::{greedy, on, open, phrases, settings, think, writer};

#[test]
fn a_fork_of_meaning_is_offered_and_one_of_wording_is_not() {
    let server = StandIn::new(|asked, _| well(asked));
    let mut writer = writer(&server.address, greedy());
    writer.start("Once").unwrap();
    let (text, fork) = on(&mut writer).unwrap();
    let fork = fork.unwrap();
    assert_eq!(text, " upon a time");
    assert_eq!(phrases(&fork), ["Anna sang.", "Boris slept."]);
    assert_eq!(fork.position, 4);
    assert!((fork.branches[0].prior - 0.5).abs() < 1e-9);
    let sang = 0.98_f64.ln();
    assert!((fork.branches[1].log_prob_nats - (0.45_f64.ln() + 2.0 * sang)).abs() < 1e-9);
    assert_eq!(fork.branches[1].tokens, [5, 7, 8]);

    think(&mut writer).unwrap();
    // Up to the size of the house, which may be another fork: nothing is decided ahead.
    assert_eq!(writer.ready_tokens(), [4, 4]);
    let commit = writer.commit(fork.id, 1).unwrap();
    let expected = Commit {
        text: " Boris slept. He was in the".into(),
        ready_tokens: 4,
        branch: 1,
    };
    assert_eq!(commit, expected);
    let (rest, end) = on(&mut writer).unwrap();
    assert_eq!((rest.as_str(), end), (" big house.", Err(End::Text)));
    assert_eq!(
        writer.text(),
        "Once upon a time Boris slept. He was in the big house."
    );
    let sent = server.completions();
    assert!(
        sent.iter()
            .all(|body| body["prompt"].is_array() && body["cache_prompt"] == true)
    );
}

#[test]
fn an_undo_brings_the_fork_back_and_asks_the_server_for_nothing() {
    let server = StandIn::new(|asked, _| well(asked));
    let mut writer = writer(&server.address, greedy());
    writer.start("Once").unwrap();
    let fork = on(&mut writer).unwrap().1.unwrap();
    writer.commit(fork.id, 0).unwrap();
    on(&mut writer).unwrap().1.unwrap_err();
    let asked = server.completions().len();
    let undone = writer.undo().unwrap().unwrap();
    assert_eq!(undone.text, " Anna sang. She was in the big house.");
    assert_eq!(writer.text(), "Once upon a time");
    assert_eq!(phrases(&undone.fork), ["Anna sang.", "Boris slept."]);
    assert_eq!(undone.fork.origin, ForkOrigin::Called);
    assert_ne!(undone.fork.id, fork.id);
    assert_eq!(server.completions().len(), asked);
    writer.commit(undone.fork.id, 1).unwrap();
    on(&mut writer).unwrap().1.unwrap_err();
    assert_eq!(
        writer.text(),
        "Once upon a time Boris slept. He was in the big house."
    );
    assert!(writer.can_undo());
}

#[test]
fn the_person_may_ask_for_other_branches_and_for_a_fork_some_words_back() {
    let server = StandIn::new(|asked, _| well(asked));
    let mut writer = writer(&server.address, greedy());
    writer.start("Once").unwrap();
    let fork = on(&mut writer).unwrap().1.unwrap();
    let other = writer.other(fork.id).unwrap().unwrap();
    assert_eq!(other.origin, ForkOrigin::Other);
    // One new way on: the likeliest of before stands beside it.
    assert!(phrases(&other)[0].starts_with("then and"));
    assert_eq!(phrases(&other)[1], "Anna sang.");
    writer.commit(other.id, 1).unwrap();
    on(&mut writer).unwrap().1.unwrap_err();
    // "the | big house.": a wording, but the person asked.
    let called = writer.call(2).unwrap().unwrap();
    assert_eq!(called.origin, ForkOrigin::Called);
    assert_eq!(phrases(&called)[..2], ["big house.", "large house."]);
    assert!(called.branches.len() <= MAX_BRANCHES);
    assert_eq!(writer.text(), "Once upon a time Anna sang. She was in the");
    writer.commit(called.id, 1).unwrap();
    assert_eq!(on(&mut writer).unwrap().1, Err(End::Text));
    assert_eq!(
        writer.text(),
        "Once upon a time Anna sang. She was in the large house."
    );
}

#[test]
fn a_call_that_is_refused_costs_no_fork_that_was_being_looked_at() {
    // The roll-outs behind "time" do not come until the person has called; behind "a" there is one way on.
    let held = Arc::new(AtomicBool::new(true));
    let holds = Arc::clone(&held);
    let rolled = |asked: &Asked| asked.path == "/v1/completions" && asked.body["top_p"] == 1.0;
    let server = StandIn::new(move |asked, _| {
        if !rolled(asked) {
            return well(asked);
        }
        match words_of(&asked.body["prompt"]).last() {
            Some(&(" Anna" | " Boris")) if holds.load(Ordering::SeqCst) => Act::Silent(Vec::new()),
            Some(&" a") => Act::Events(complete(&asked.body).into_iter().map(alone).collect()),
            _ => well(asked),
        }
    });
    let mut writer = writer(&server.address, greedy());
    writer.start("Once").unwrap();
    while !server.completions().iter().any(|body| body["top_p"] == 1.0) {
        writer.advance(&Cancel::new()).unwrap();
    }
    assert_eq!(writer.text(), "Once upon a time");
    assert_eq!(writer.call(1).unwrap(), None);
    held.store(false, Ordering::SeqCst);
    let (text, fork) = on(&mut writer).unwrap();
    assert_eq!(text, "");
    assert_eq!(phrases(&fork.unwrap()), ["Anna sang.", "Boris slept."]);
}

/// An event whose likeliest token is its only one.
fn alone(event: String) -> String {
    let mut event: serde_json::Value = serde_json::from_str(&event).unwrap();
    if let Some(top) = event.pointer_mut("/choices/0/logprobs/content/0/top_logprobs") {
        top.as_array_mut().unwrap().truncate(1);
    }
    event.to_string()
}

#[test]
fn as_many_requests_as_allowed_are_under_way_and_no_more() {
    for parallel in [1, 2] {
        let server = StandIn::new(|asked, _| well(asked));
        let settings = razvilka::decode::ServerSettings {
            parallel,
            ..settings()
        };
        let there = razvilka::decode::remote::Server::open(&server.address, settings, None);
        let mut writer =
            razvilka::decode::remote::RemoteWriter::new(there.unwrap().into(), greedy()).unwrap();
        writer.start("Once").unwrap();
        let fork = on(&mut writer).unwrap().1.unwrap();
        think(&mut writer).unwrap();
        writer.commit(fork.id, 0).unwrap();
        on(&mut writer).unwrap().1.unwrap_err();
        assert_eq!(
            writer.text(),
            "Once upon a time Anna sang. She was in the big house."
        );
        let most = server.together_most.load(Ordering::SeqCst);
        assert!(most <= parallel as usize + 1, "{most}"); // one may be hanging up as the next begins
    }
}

#[test]
fn a_server_of_the_older_form_that_cuts_no_texts_into_tokens_is_sent_text() {
    let server = StandIn::new(|asked: &Asked, _| match asked.path.as_str() {
        "/v1/models" => Act::Document(
            200,
            r#"{"data":[{"id":"words","owned_by":"vllm","max_model_len":1024}]}"#.into(),
        ),
        "/v1/completions" => Act::Events(complete_in_columns(&asked.body)),
        _ => Act::Document(404, String::new()),
    });
    let mut writer = writer(&server.address, greedy());
    writer.start("Once").unwrap();
    let (text, fork) = on(&mut writer).unwrap();
    let fork = fork.unwrap();
    assert_eq!(text, " upon a time");
    assert_eq!(phrases(&fork), ["Anna sang.", "Boris slept."]);
    assert!(fork.branches[0].tokens.is_empty(), "no numbers are known");
    think(&mut writer).unwrap();
    writer.commit(fork.id, 1).unwrap();
    assert_eq!(on(&mut writer).unwrap().1, Err(End::Text));
    assert_eq!(
        writer.text(),
        "Once upon a time Boris slept. He was in the big house."
    );
    let sent = server.completions();
    assert_eq!(sent[0]["prompt"], "Once");
    assert!(sent.iter().all(|body| body["prompt"].is_string()));
    // Keys of llama.cpp alone are not sent to others.
    assert!(sent.iter().all(|body| body.get("cache_prompt").is_none()));
}

#[test]
fn a_call_reaches_the_beginning_of_a_text_whose_prompt_has_no_known_tokens() {
    let server = StandIn::new(|asked: &Asked, _| match asked.path.as_str() {
        "/tokenize" => Act::Document(404, String::new()),
        _ => well(asked),
    });
    let mut writer = writer(&server.address, greedy());
    writer.start("Once upon").unwrap();
    let fork = on(&mut writer).unwrap().1.unwrap();
    assert_eq!(fork.position, 2, "tokens of the prompt are not counted");
    writer.commit(fork.id, 0).unwrap();
    let called = writer.call(20).unwrap().unwrap();
    assert_eq!(called.position, 0);
    assert_eq!(called.origin, ForkOrigin::Called);
    assert!(phrases(&called)[0].starts_with("a time"), "{called:?}");
    assert_eq!(writer.text(), "Once upon");
    writer.commit(called.id, 0).unwrap();
    assert!(writer.text().starts_with("Once upon a time"));
}

#[test]
fn a_server_with_several_models_is_asked_which_one() {
    let list = r#"{"data":[{"id":"one"},{"id":"two"}]}"#;
    let server = StandIn::new(move |asked: &Asked, _| match asked.path.as_str() {
        "/v1/models" => Act::Document(200, list.into()),
        _ => models("two"),
    });
    let said = open(&server.address).unwrap_err().to_string();
    assert!(
        said.contains("one, two") && said.contains("server.model"),
        "{said}"
    );
    let named = |model: &str| {
        let settings = razvilka::decode::ServerSettings {
            model: model.into(),
            ..settings()
        };
        razvilka::decode::remote::Server::open(&server.address, settings, None)
    };
    assert_eq!(named("two").unwrap().model(), "two");
    let said = named("three").unwrap_err().to_string();
    assert!(
        said.contains("'three'") && said.contains("one, two"),
        "{said}"
    );
}

#[test]
fn a_key_goes_along_with_every_request_and_is_nowhere_else() {
    let server = StandIn::new(|asked, _| well(asked));
    let there =
        razvilka::decode::remote::Server::open(&server.address, settings(), Some("sesame".into()));
    let there = there.unwrap();
    assert!(!format!("{there:?} {there} {}", there.identity()).contains("sesame"));
    let mut writer = razvilka::decode::remote::RemoteWriter::new(there.into(), greedy()).unwrap();
    writer.start("Once").unwrap();
    on(&mut writer).unwrap().1.unwrap();
    let asked = server.asked.lock().unwrap();
    assert!(asked.len() > 3);
    assert!(
        asked
            .iter()
            .all(|asked| asked.key.as_deref() == Some("Bearer sesame"))
    );
    assert!(
        !asked
            .iter()
            .any(|asked| asked.body.to_string().contains("sesame"))
    );
}
