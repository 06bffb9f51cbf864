//! What is bounded: the text in a request, the wait for a first token, what the prompt costs each text.

use std::sync::Arc;

use razvilka::decode::remote::{RemoteWriter, Server};
use razvilka::decode::{Decoder, End, ServerSettings, WriterSettings};

use super::stand_in::{Act, Asked, CONTEXT, StandIn, complete, models, well, words_of};
use super::{greedy, on, open, settings, writer};

/// Refuses what its context does not hold, as llama.cpp does.
fn held_in_context(asked: &Asked) -> Act {
    let tokens = words_of(&asked.body["prompt"]).len() as u64;
    if tokens + asked.body["max_tokens"].as_u64().unwrap() > CONTEXT as u64 {
        let error = r#"{"error":{"message":"the request exceeds the available context size"}}"#;
        return Act::Document(400, error.into());
    }
    Act::Events(complete(&asked.body))
}

#[test]
fn a_prompt_of_any_length_is_written_on_within_the_servers_context() {
    for numbers in [true, false] {
        let server = StandIn::new(move |asked, _| match asked.path.as_str() {
            "/v1/completions" => held_in_context(asked),
            "/tokenize" if !numbers => Act::Document(404, String::new()),
            _ => well(asked),
        });
        // The first grows past the context by what is written, the second is longer from the beginning.
        for words in [900, 3_000] {
            let prompt = format!("Once{}", " and".repeat(words - 1));
            let mut writer = writer(
                &server.address,
                WriterSettings {
                    tokens_max: 300,
                    ..greedy()
                },
            );
            writer.start(&prompt).unwrap();
            let (text, end) = on(&mut writer).unwrap();
            assert_eq!(end, Err(End::Tokens));
            assert_eq!(text, " and".repeat(300));
            let remarks = writer.remarks().join("\n");
            assert!(remarks.contains("its beginning is left out"), "{remarks}");
        }
        let sent = server.completions();
        let longest = sent
            .iter()
            .map(|body| words_of(&body["prompt"]).len())
            .max();
        assert!(longest.unwrap() > CONTEXT / 2, "as much is sent as goes in");
    }
}

#[test]
fn the_prompts_tokens_are_asked_for_once_however_many_texts_begin_with_it() {
    let server = StandIn::new(|asked, _| well(asked));
    let there = open(&server.address).unwrap();
    let mut writer = RemoteWriter::new(Arc::clone(&there), greedy()).unwrap();
    for prompt in ["Once", "Once", "Once upon", "Once upon"] {
        writer.start(prompt).unwrap();
        on(&mut writer).unwrap().1.unwrap();
        assert_eq!(writer.text(), "Once upon a time");
    }
    let asked = server.asked.lock().unwrap();
    let cut = asked.iter().filter(|asked| asked.path == "/tokenize");
    let texts: Vec<_> = cut.map(|asked| asked.body["content"].clone()).collect();
    assert_eq!(texts, ["", "Once", "Once upon"]);
}

#[test]
fn the_end_of_the_session_cuts_short_what_a_prompts_tokens_take() {
    let server = StandIn::new(|asked, _| match asked.path.as_str() {
        "/tokenize" if asked.body["content"] != "" => Act::Silent(Vec::new()),
        _ => well(asked),
    });
    let there = open(&server.address).unwrap();
    let mut writer = RemoteWriter::new(Arc::clone(&there), greedy()).unwrap();
    let starts = std::thread::spawn(move || writer.start("Once"));
    while server.asked.lock().unwrap().len() < 3 {
        std::thread::yield_now();
    }
    there.close();
    let error = starts.join().unwrap().unwrap_err();
    assert!(error.to_string().contains("session is ending"), "{error}");
}

#[test]
fn a_server_that_sends_anything_but_a_token_is_not_waited_for_without_end() {
    for path in ["/v1/models", "/v1/completions"] {
        let server = StandIn::new(move |asked, _| match asked.path.as_str() {
            "/v1/completions" if path == asked.path => Act::Trickle(complete(&asked.body)),
            "/v1/models" if path == asked.path => {
                let Act::Document(_, list) = models("words") else {
                    unreachable!("a list is a document")
                };
                Act::Trickle(vec![list])
            }
            _ => well(asked),
        });
        let short = ServerSettings {
            first_byte_s: 1.0,
            retries: 0,
            lost_wait_s: 0.0,
            ..settings()
        };
        let opened = Server::open(&server.address, short, None);
        let error = match opened {
            Err(error) => error,
            Ok(there) => {
                let mut writer = RemoteWriter::new(there.into(), greedy()).unwrap();
                writer.start("Once").unwrap();
                on(&mut writer).unwrap_err()
            }
        };
        assert!(error.is_gone(), "{error}");
        assert!(error.to_string().contains("server.first_byte_s"), "{error}");
    }
}
