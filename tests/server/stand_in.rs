//! A server on this machine that stands in for a real one: it replays recorded exchanges, or makes up a small language, and
//! misbehaves when told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) key: Option<String>,
    pub(crate) body: Value,
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Answers with one document.
    Document(u16, String),
    /// Streams events, and says that it is done.
    Events(Vec<String>),
    /// Streams events, and closes the connection.
    Cut(Vec<String>),
    /// Streams events, and then nothing until the other side closes the connection.
    Silent(Vec<String>),
    /// Streams comments for a while, a few every second, and events in the end.
    Trickle(Vec<String>),
    /// Closes the connection at once.
    Close,
}

/// The server. It lives as long as the test.
pub(crate) struct StandIn {
    pub(crate) address: String,
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
    /// Most completions at the same time so far.
    pub(crate) together_most: Arc<AtomicUsize>,
    /// Whether the other side has closed a connection on which the server was silent.
    pub(crate) hung_up: Arc<AtomicBool>,
}

impl StandIn {
    /// A server that does what `act` says of each request; completions are counted from 0.
    pub(crate) fn new(act: impl Fn(&Asked, usize) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            asked: Arc::default(),
            together_most: Arc::default(),
            hung_up: Arc::default(),
        };
        let (asked, most) = (Arc::clone(&server.asked), Arc::clone(&server.together_most));
        let hung_up = Arc::clone(&server.hung_up);
        let together = Arc::new(AtomicUsize::new(0));
        let number = Arc::new(AtomicUsize::new(0));
        let act = Arc::new(act);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { break };
                let (asked, most, together) =
                    (Arc::clone(&asked), Arc::clone(&most), Arc::clone(&together));
                let (act, number, hung_up) =
                    (Arc::clone(&act), Arc::clone(&number), Arc::clone(&hung_up));
                std::thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    asked.lock().unwrap().push(request.clone());
                    let completes = request.path == "/v1/completions";
                    let mut n = 0;
                    if completes {
                        n = number.fetch_add(1, Ordering::SeqCst);
                        let now = together.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                    }
                    // The other side may hang up at any moment.
                    let _ = answer(&stream, act(&request, n), &hung_up);
                    if completes {
                        together.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        server
    }

    /// The bodies of all requests for completions so far.
    pub(crate) fn completions(&self) -> Vec<Value> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|asked| asked.path == "/v1/completions")
            .map(|asked| asked.body.clone())
            .collect()
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream);
    let mut first = String::new();
    lines.read_line(&mut first).ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let (mut length, mut key) = (0, None);
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).ok()?;
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "authorization" => key = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(Asked { path, key, body })
}

fn answer(mut stream: &TcpStream, act: Act, hung_up: &AtomicBool) -> std::io::Result<()> {
    let mut comments = 0;
    let (events, done, silent) = match act {
        Act::Close => return Ok(()),
        Act::Document(status, body) => {
            return write!(
                stream,
                "HTTP/1.1 {status} So\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
        Act::Events(events) => (events, true, false),
        Act::Cut(events) => (events, false, false),
        Act::Silent(events) => (events, false, true),
        Act::Trickle(events) => {
            comments = 60;
            (events, true, false)
        }
    };
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )?;
    let mut chunk =
        |text: &str| write!(stream, "{:x}\r\n{text}\r\n", text.len()).and_then(|()| stream.flush());
    for _ in 0..comments {
        chunk(": wait\n\n")?;
        std::thread::sleep(Duration::from_millis(50));
    }
    for event in &events {
        chunk(&format!("data: {event}\n\n"))?;
    }
    if done {
        chunk("data: [DONE]\n\n")?;
        return write!(stream, "0\r\n\r\n");
    }
    if silent {
        // Over when the other side closes the connection.
        let _ = stream.read(&mut [0]);
        hung_up.store(true, Ordering::SeqCst);
    }
    Ok(())
}

/// Tokens that one request may hold.
pub(crate) const CONTEXT: usize = 1024;

/// The list of models as llama.cpp gives it.
pub(crate) fn models(name: &str) -> Act {
    listed(
        name,
        &json!({ "n_vocab": WORDS.len(), "n_ctx": CONTEXT, "n_params": 1000, "size": 4000 }),
    )
}

/// The same with a model of the same name, but of another size.
pub(crate) fn other_models(name: &str) -> Act {
    listed(
        name,
        &json!({ "n_vocab": WORDS.len(), "n_ctx": CONTEXT, "n_params": 2000, "size": 8000 }),
    )
}

/// The same while llama.cpp loads the model: it knows its name alone.
pub(crate) fn models_loading(name: &str) -> Act {
    listed(name, &Value::Null)
}

fn listed(name: &str, meta: &Value) -> Act {
    let list = json!({ "object": "list", "data": [
        { "id": name, "object": "model", "owned_by": "llamacpp", "meta": meta },
    ]});
    Act::Document(200, list.to_string())
}

/// What llama.cpp says of everything else while it loads the model.
pub(crate) fn loading() -> Act {
    let error = json!({ "code": 503, "message": "Loading model", "type": "unavailable_error" });
    Act::Document(503, json!({ "error": error }).to_string())
}

/// The words of a small language; the last one ends a text.
pub(crate) const WORDS: [&str; 22] = [
    "Once", " upon", " a", " time", " Anna", " Boris", " sang", " slept", ".", " She", " He",
    " was", " in", " the", " big", " large", " house", " and", " then", " night", " came", "",
];

/// What may follow a text: words and their probabilities, likeliest first. Who acted decides what follows later, the size of
/// the house does not: the first is a fork of meaning, the second one of wording.
pub(crate) fn follows(text: &[&str]) -> Vec<(&'static str, f64)> {
    let sure = |word| vec![(word, 0.98), (" then", 0.01)];
    let anna = text.contains(&" Anna");
    match text.last().copied().unwrap_or_default() {
        "Once" => sure(" upon"),
        " upon" => sure(" a"),
        " a" => sure(" time"),
        " time" => vec![(" Anna", 0.5), (" Boris", 0.45), (" then", 0.04)],
        " Anna" => sure(" sang"),
        " Boris" => sure(" slept"),
        " sang" | " slept" => sure("."),
        "." if text.contains(&" house") => sure(""),
        "." => sure(if anna { " She" } else { " He" }),
        " She" | " He" => sure(" was"),
        " was" => sure(" in"),
        " in" => sure(" the"),
        " the" => vec![(" big", 0.6), (" large", 0.38), (" then", 0.01)],
        " big" | " large" => sure(" house"),
        " house" => sure("."),
        _ => sure(" and"),
    }
}

/// The words of a prompt, whichever way it was sent.
pub(crate) fn words_of(prompt: &Value) -> Vec<&'static str> {
    match prompt {
        Value::Array(numbers) => numbers
            .iter()
            .map(|number| WORDS[usize::try_from(number.as_u64().unwrap()).unwrap()])
            .collect(),
        other => {
            let mut rest = other.as_str().unwrap();
            let mut words = Vec::new();
            while !rest.is_empty() {
                let known = WORDS
                    .iter()
                    .filter(|word| !word.is_empty() && rest.starts_with(**word));
                let word = known.max_by_key(|word| word.len()).unwrap();
                words.push(*word);
                rest = &rest[word.len()..];
            }
            words
        }
    }
}

fn number(word: &str) -> usize {
    WORDS.iter().position(|known| *known == word).unwrap()
}

/// The tokens of a text, as both kinds of server give them.
pub(crate) fn tokenise(asked: &Asked) -> Act {
    let numbers: Vec<usize> = words_of(&asked.body["content"])
        .into_iter()
        .map(number)
        .collect();
    Act::Document(200, json!({ "tokens": numbers }).to_string())
}

/// The events of a completion in llama.cpp's form: always the likeliest word.
pub(crate) fn complete(body: &Value) -> Vec<String> {
    let mut text = words_of(&body["prompt"]);
    let mut events = Vec::new();
    let token = |(word, p): (&str, f64)| json!({ "id": number(word), "token": word, "bytes": word.as_bytes(), "logprob": p.ln() });
    for _ in 0..body["max_tokens"].as_u64().unwrap() {
        let next = follows(&text);
        let (word, p) = next[0];
        let mut content = token((word, p));
        content["top_logprobs"] = next.into_iter().map(token).collect();
        let choice = json!({ "text": word, "index": 0, "logprobs": { "content": [content] }, "finish_reason": null });
        events.push(json!({ "choices": [choice] }).to_string());
        if word.is_empty() {
            events.push(finish("stop"));
            return events;
        }
        text.push(word);
    }
    events.push(finish("length"));
    events
}

pub(crate) fn finish(why: &str) -> String {
    let choice = json!({ "text": "", "index": 0, "logprobs": null, "finish_reason": why });
    json!({ "choices": [choice] }).to_string()
}

/// The same in the older form: parallel lists of strings.
pub(crate) fn complete_in_columns(body: &Value) -> Vec<String> {
    let columns = |event: String| {
        let event: Value = serde_json::from_str(&event).unwrap();
        let choice = &event["choices"][0];
        let Some(content) = choice["logprobs"]["content"].get(0) else {
            return event.to_string();
        };
        let top: serde_json::Map<String, Value> = content["top_logprobs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|token| {
                (
                    token["token"].as_str().unwrap().into(),
                    token["logprob"].clone(),
                )
            })
            .collect();
        let log_probs = json!({
            "tokens": [content["token"]], "token_logprobs": [content["logprob"]], "top_logprobs": [top], "text_offset": [0],
        });
        json!({ "choices": [{ "text": choice["text"], "logprobs": log_probs, "finish_reason": null }] }).to_string()
    };
    complete(body).into_iter().map(columns).collect()
}

/// A server that behaves.
pub(crate) fn well(asked: &Asked) -> Act {
    match asked.path.as_str() {
        "/v1/models" => models("words"),
        "/tokenize" => tokenise(asked),
        "/v1/completions" => Act::Events(complete(&asked.body)),
        _ => Act::Document(
            404,
            json!({ "error": { "message": "File Not Found" } }).to_string(),
        ),
    }
}
