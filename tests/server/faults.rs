//! A server that is slow, cut off, wrong, gone, or another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use razvilka::decode::remote::{RemoteWriter, Server};
use razvilka::decode::{Backend, Cancel, Decoder, ServerSettings, Step};
use razvilka::pipeline::decision::ChoiceCell;
use razvilka::pipeline::scribe::{Ask, Scribe, Texts, Told};

use super::stand_in::{Act, StandIn, complete, finish, well};
use super::{greedy, on, open, phrases, settings, writer};

pub(crate) const WHOLE: &str = "Once upon a time Anna sang. She was in the big house.";

/// A server whose completions are all like this.
fn always(act: Act) -> StandIn {
    StandIn::new(move |asked, _| match asked.path.as_str() {
        "/v1/completions" => act.clone(),
        _ => well(asked),
    })
}

#[test]
fn an_answer_that_is_none_is_refused_with_the_address_and_what_to_do() {
    let top = r#"{"id":1,"token":" upon","bytes":[32],"logprob":0.5,"top_logprobs":[]}"#;
    let positive = format!(
        r#"{{"choices":[{{"text":" upon","logprobs":{{"content":[{top}]}},"finish_reason":null}}]}}"#
    );
    let no_log_probs =
        r#"{"choices":[{"text":" upon","logprobs":null,"finish_reason":null}]}"#.to_owned();
    let document = |status, body: &str| Act::Document(status, body.into());
    for (act, words, gone) in [
        (
            Act::Events(vec!["{\"choices\": [".into()]),
            "is no completion",
            false,
        ),
        (
            document(200, "<html>Welcome</html>"),
            "it begins \"<html>Welcome",
            false,
        ),
        (
            Act::Events(vec![no_log_probs]),
            "gives no log-probabilities",
            false,
        ),
        (Act::Events(vec![positive]), "not finite", false),
        (
            Act::Events(vec![finish("length")]),
            "without a single token",
            false,
        ),
        (
            document(200, &"x".repeat(9 << 20)),
            "server.answer_kib_max",
            false,
        ),
        (
            Act::Events(vec!["x".repeat(9 << 20)]),
            "server.answer_kib_max",
            false,
        ),
        (
            document(400, r#"{"error":{"message":"logprobs must be at most 5"}}"#),
            "answered 400 and said: logprobs must be at most 5",
            false,
        ),
        (document(401, "{}"), "server.key_env", false),
        (document(404, "nothing here"), "said: nothing here", false),
        (document(302, ""), "sends elsewhere", false),
        (
            document(500, r#"{"error":{"message":"out of memory"}}"#),
            "out of memory",
            true,
        ),
        (
            document(503, r#"{"error":{"message":"Loading model"}}"#),
            "Loading model",
            true,
        ),
        (
            Act::Events(vec![r#"{"error":{"message":"slot lost"}}"#.into()]),
            "slot lost",
            true,
        ),
        (Act::Close, "is the server running there?", true),
    ] {
        let server = always(act.clone());
        let mut writer = writer(&server.address, greedy());
        writer.start("Once").unwrap();
        let error = on(&mut writer).unwrap_err();
        let said = error.to_string();
        assert!(said.contains(words), "{said}");
        assert!(
            said.contains(&server.address) || words == "not finite",
            "{said}"
        );
        assert!(said.len() < 700, "{} bytes", said.len());
        assert_eq!(error.is_gone(), gone, "{said}");
        assert_eq!(writer.text(), "Once", "the text is kept");
        // What may pass is tried a second time, as the settings say; what cannot is not.
        assert_eq!(
            server.completions().len(),
            if gone { 2 } else { 1 },
            "{said}"
        );
    }
}

#[test]
fn what_is_no_server_is_refused_at_the_start() {
    for (act, words) in [
        (Act::Document(200, "[]".into()), "no list of models"),
        (
            Act::Document(200, r#"{"data":[]}"#.into()),
            "start it with one",
        ),
        (Act::Document(404, String::new()), "OpenAI-compatible"),
        (Act::Close, "is the server running there?"),
    ] {
        let server = StandIn::new(move |_, _| act.clone());
        let said = open(&server.address).unwrap_err().to_string();
        assert!(
            said.contains(words) && said.contains(&server.address),
            "{said}"
        );
    }
}

#[test]
fn an_answer_that_breaks_off_is_kept_and_the_rest_asked_for() {
    // Every answer of the trunk ends after two tokens: closed, or silent for longer than is waited for.
    for silent in [false, true] {
        let server = StandIn::new(move |asked, n| match asked.path.as_str() {
            "/v1/completions" if n < 2 => {
                let two = complete(&asked.body)[..2].to_vec();
                if silent {
                    Act::Silent(two)
                } else {
                    Act::Cut(two)
                }
            }
            _ => well(asked),
        });
        let mut writer = writer(&server.address, greedy());
        writer.start("Once").unwrap();
        let (text, fork) = on(&mut writer).unwrap();
        assert_eq!(text, " upon a time");
        writer.commit(fork.unwrap().id, 0).unwrap();
        on(&mut writer).unwrap().1.unwrap_err();
        assert_eq!(writer.text(), WHOLE);
        let remarks = writer.remarks().join("\n");
        assert!(remarks.contains("broke off"), "{remarks}");
        assert_eq!(remarks.contains("is slow"), silent, "{remarks}");
    }
}

#[test]
fn a_request_that_brings_nothing_is_sent_again_and_that_is_counted() {
    let server = StandIn::new(|asked, n| match asked.path.as_str() {
        "/v1/completions" if n == 0 => Act::Cut(Vec::new()),
        _ => well(asked),
    });
    let there = open(&server.address).unwrap();
    let mut writer = RemoteWriter::new(Arc::clone(&there), greedy()).unwrap();
    writer.start("Once").unwrap();
    assert_eq!(on(&mut writer).unwrap().0, " upon a time");
    assert_eq!(there.counts().sent_again, 1);
    assert!(writer.remarks().concat().contains("asked again"));
}

#[test]
fn a_step_that_waits_for_the_server_can_be_cancelled_and_the_request_is_broken_off() {
    let server = always(Act::Silent(Vec::new()));
    let there = open(&server.address).unwrap();
    let mut writer = RemoteWriter::new(Arc::clone(&there), greedy()).unwrap();
    writer.start("Once").unwrap();
    while server.completions().is_empty() {
        assert_eq!(writer.advance(&Cancel::new()).unwrap(), Step::Waiting);
    }
    let cancel = Cancel::new();
    cancel.request();
    assert_eq!(writer.advance(&cancel).unwrap(), Step::Cancelled);
    assert!(
        !server.hung_up.load(Ordering::SeqCst),
        "cancelled, it may still be wanted"
    );
    drop(writer);
    // Without its reader the request is over, long before any time-out.
    while !server.hung_up.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(5));
    }
    // A session that ends lets nothing begin any more.
    there.close();
    let mut writer = RemoteWriter::new(there, greedy()).unwrap();
    writer.start("Once").unwrap();
    assert_eq!(writer.advance(&Cancel::new()).unwrap(), Step::Cancelled);
}

#[test]
fn a_key_that_the_server_echoes_and_what_a_terminal_would_obey_are_not_shown() {
    let key = "sesame-street";
    let echo = format!("no such key {key} \u{1b}[2J\u{7}");
    let late = format!("{} {key}", "x".repeat(292));
    let said = |message: &str| serde_json::json!({ "error": { "message": message } }).to_string();
    for act in [
        Act::Document(401, said(&echo)),
        Act::Document(400, said(&late)),
        Act::Document(400, echo.clone()),
        Act::Events(vec![said(&echo)]),
        Act::Events(vec![said(&late)]),
        Act::Document(200, echo.clone()),
    ] {
        let server = always(act);
        let there = Server::open(&server.address, settings(), Some(key.into())).unwrap();
        let mut writer = RemoteWriter::new(there.into(), greedy()).unwrap();
        writer.start("Once").unwrap();
        let mut shown = on(&mut writer).unwrap_err().to_string();
        shown.extend(writer.remarks());
        assert!(!shown.contains("sesame"), "{shown:?}");
        assert!(!shown.contains(char::is_control), "{shown:?}");
    }
    let name = format!("{key}\u{1b}[2J");
    let server = StandIn::new(move |asked, _| match asked.path.as_str() {
        "/v1/models" => super::stand_in::models(&name),
        _ => well(asked),
    });
    let there = Server::open(&server.address, settings(), Some(key.into())).unwrap();
    let other = ServerSettings {
        model: "other".into(),
        ..settings()
    };
    let refused = Server::open(&server.address, other, Some(key.into())).unwrap_err();
    for shown in [there.to_string(), refused.to_string()] {
        assert!(!shown.contains("sesame"), "{shown:?}");
        assert!(!shown.contains(char::is_control), "{shown:?}");
    }
}

fn heard(scribe: &Scribe) -> Told {
    scribe.told.recv_timeout(Duration::from_secs(30)).unwrap()
}

/// The decoder's thread on a server.
fn scribe(address: &str, lost_wait_s: f64) -> Scribe {
    let settings = ServerSettings {
        retries: 0,
        lost_wait_s,
        ..settings()
    };
    let server = Server::open(address, settings, None).unwrap();
    let texts = Texts {
        model: Backend::Server(Arc::new(server)),
        settings: greedy(),
        prompt: "Once".into(),
    };
    let choice = Arc::new(ChoiceCell::default());
    let scribe = Scribe::start(texts, choice, Cancel::new(), 1_000.0).unwrap();
    let begins = heard(&scribe);
    assert!(
        matches!(&begins, Told::Begins { number: 0, prompt, position: 1 } if prompt == "Once"),
        "{begins:?}"
    );
    scribe.ask(Ask::Resume);
    scribe
}

#[test]
fn a_server_gone_in_mid_fork_costs_the_fork_and_not_the_text_and_may_come_back() {
    // Up to the fork all is well; then it is gone for the first who wants to know what follows a branch.
    let gone = AtomicUsize::new(0);
    let server = StandIn::new(move |asked, _| {
        if asked.path != "/v1/completions" {
            return well(asked);
        }
        let thinks_ahead = asked.body["top_p"] == greedy().top_p
            && super::stand_in::words_of(&asked.body["prompt"]).ends_with(&["."]);
        if thinks_ahead && gone.fetch_add(1, Ordering::SeqCst) == 0 {
            return Act::Close;
        }
        well(asked)
    });
    let mut scribe = scribe(&server.address, 20.0);
    let (mut text, mut first, mut lost, mut back) = (String::new(), None, None, false);
    let again = loop {
        match heard(&scribe) {
            Told::Text { piece, .. } => text.push_str(&piece),
            Told::Fork { fork, .. } if back => break fork,
            Told::Fork { fork, .. } => first = Some(fork),
            Told::Lost(reason) => lost = Some(reason),
            Told::Back => back = lost.is_some(),
            Told::Remark(_) => {}
            other => panic!("{other:?}"),
        }
    };
    let first = first.unwrap();
    assert_eq!(text, " upon a time");
    assert!(lost.unwrap().contains("is the server running there?"));
    // The same place, under a new identity; the old fork is not resumed.
    assert_eq!(phrases(&again), ["Anna sang.", "Boris slept."]);
    assert!(again.id > first.id);
    assert_eq!(again.position, first.position);
    let (stopped, _) = scribe.stop();
    assert_eq!(stopped.unwrap().position, 4);
}

#[test]
fn a_server_that_stays_away_ends_the_session_with_the_text_it_has() {
    let server = StandIn::new(|asked, n| match asked.path.as_str() {
        "/v1/completions" if n > 0 => Act::Close,
        "/v1/completions" => Act::Cut(complete(&asked.body)[..2].to_vec()),
        _ => well(asked),
    });
    let mut scribe = scribe(&server.address, 0.0);
    let (mut text, mut lost) = (String::new(), false);
    let reason = loop {
        match heard(&scribe) {
            Told::Text { piece, .. } => text.push_str(&piece),
            Told::Lost(_) => lost = true,
            Told::Failed(reason) => break reason,
            Told::Remark(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(lost && reason.contains(&server.address), "{reason}");
    assert_eq!(text, " upon a");
    let (stopped, _) = scribe.stop();
    assert_eq!(stopped.unwrap().position, 3);
}
