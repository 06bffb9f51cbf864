//! A server that is still loading, that restarts, or that has another model now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use razvilka::decode::remote::Server;
use razvilka::decode::{DecodeError, Decoder, End, ServerSettings};

use super::faults::WHOLE;
use super::stand_in::{Act, Asked, StandIn, complete, loading, models_loading, other_models, well};
use super::{greedy, on, open, settings, think, writer};

/// What a server answers while it loads: llama.cpp lists its model by then, what stands before others does not.
fn not_yet(asked: &Asked, lists: bool) -> Act {
    match asked.path.as_str() {
        "/v1/models" if lists => models_loading("words"),
        _ => loading(),
    }
}

#[test]
fn a_server_that_is_still_loading_at_the_start_is_waited_for_and_not_for_ever() {
    for lists in [false, true] {
        let requests = Arc::new(AtomicUsize::new(0));
        let number = Arc::clone(&requests);
        let server = StandIn::new(move |asked, _| {
            if number.fetch_add(1, Ordering::SeqCst) < 2 {
                not_yet(asked, lists)
            } else {
                well(asked)
            }
        });
        let waits = |lost_wait_s| ServerSettings {
            retries: 0,
            lost_wait_s,
            ..settings()
        };
        let error = Server::open(&server.address, waits(0.0), None).unwrap_err();
        assert!(error.is_gone(), "{error}");
        requests.store(0, Ordering::SeqCst);
        let there = Server::open(&server.address, waits(20.0), None).unwrap();
        assert_eq!(there.context_tokens(), Some(super::stand_in::CONTEXT));
        assert!(there.to_string().contains("token numbers"), "{there}");
    }
}

#[test]
fn a_model_listed_while_its_tokenizer_is_still_loading_is_waited_for() {
    let requests = AtomicUsize::new(0);
    let server = StandIn::new(move |asked, _| match asked.path.as_str() {
        "/tokenize" if requests.fetch_add(1, Ordering::SeqCst) < 1 => loading(),
        _ => well(asked),
    });
    let there = open(&server.address).unwrap();
    assert!(there.to_string().contains("token numbers"), "{there}");
}

#[test]
fn a_server_that_restarts_is_not_taken_for_another_model_while_it_loads() {
    let restarts = Arc::new(AtomicUsize::new(0));
    let loads = Arc::clone(&restarts);
    let server = StandIn::new(move |asked, n| {
        let left = loads.load(Ordering::SeqCst);
        if asked.path == "/v1/completions" && n == 0 {
            loads.store(1, Ordering::SeqCst);
            return Act::Cut(complete(&asked.body)[..1].to_vec());
        }
        if left > 0 {
            loads.store(left - 1, Ordering::SeqCst);
            return not_yet(asked, true);
        }
        well(asked)
    });
    let mut writer = writer(&server.address, greedy());
    writer.start("Once").unwrap();
    let fork = on(&mut writer).unwrap().1.unwrap();
    writer.commit(fork.id, 0).unwrap();
    assert_eq!(on(&mut writer).unwrap().1, Err(End::Text));
    assert_eq!(writer.text(), WHOLE);
    let remarks = writer.remarks().join("\n");
    assert!(remarks.contains("loading"), "{remarks}");
    assert_eq!(restarts.load(Ordering::SeqCst), 0);
}

fn is_another_model(error: &DecodeError) {
    let said = error.to_string();
    assert!(said.contains("came back with another model"), "{said}");
    assert!(!error.is_gone());
}

#[test]
fn another_model_in_the_place_of_the_first_is_not_written_on_with() {
    let changed = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&changed);
    let server = StandIn::new(move |asked, n| match asked.path.as_str() {
        "/v1/completions" if n == 0 => {
            now.store(true, Ordering::SeqCst);
            Act::Cut(complete(&asked.body)[..1].to_vec())
        }
        "/v1/models" if changed.load(Ordering::SeqCst) => other_models("words"),
        _ => well(asked),
    });
    let mut writer = writer(&server.address, greedy());
    writer.start("Once").unwrap();
    is_another_model(&on(&mut writer).unwrap_err());
    assert_eq!(
        writer.text(),
        "Once upon",
        "what the first one wrote is kept"
    );
    assert_eq!(server.completions().len(), 1);
}

/// A server whose model is another one once `changed` is up.
fn exchanged(changed: &Arc<AtomicBool>, silent: bool) -> StandIn {
    let changed = Arc::clone(changed);
    StandIn::new(move |asked, n| match asked.path.as_str() {
        "/v1/models" if changed.load(Ordering::SeqCst) => other_models("words"),
        "/v1/completions" if silent && n == 0 => {
            changed.store(true, Ordering::SeqCst);
            Act::Silent(complete(&asked.body)[..1].to_vec())
        }
        _ => well(asked),
    })
}

#[test]
fn a_model_exchanged_behind_a_silence_that_was_cut_is_noticed() {
    let changed = Arc::new(AtomicBool::new(false));
    let server = exchanged(&changed, true);
    let mut writer = writer(&server.address, greedy());
    writer.start("Once").unwrap();
    is_another_model(&on(&mut writer).unwrap_err());
    assert_eq!(writer.text(), "Once upon");
}

#[test]
fn a_model_exchanged_while_no_request_is_under_way_is_noticed() {
    let changed = Arc::new(AtomicBool::new(false));
    let server = exchanged(&changed, false);
    let mut writer = writer(&server.address, greedy());
    writer.start("Once").unwrap();
    on(&mut writer).unwrap().1.unwrap();
    // All that the fork took has been answered.
    changed.store(true, Ordering::SeqCst);
    is_another_model(&think(&mut writer).unwrap_err());
    assert_eq!(writer.text(), "Once upon a time");
}
