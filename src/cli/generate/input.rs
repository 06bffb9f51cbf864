//! What is to be answered: read from the command line, a file or standard input, with a bound on its size.

use std::fs::File;
use std::io::{BufRead, Read};
use std::path::Path;

use serde::Deserialize;

use super::Args;
use crate::cli::exit::{Exit, Failure};
use crate::decode::Message;

/// Longest prompt or conversation, bytes.
const BYTES_MAX: u64 = 16 << 20;
/// Longest line of a conversation that is typed, bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// What is to be answered.
#[derive(Debug)]
pub(super) enum Input {
    Text(String),
    Messages(Vec<Message>),
    Chat,
}

/// A file of messages: the list alone, or under the key that servers take it under.
#[derive(Deserialize)]
#[serde(untagged)]
enum Messages {
    List(Vec<Message>),
    Request { messages: Vec<Message> },
}

impl Input {
    pub(super) fn of(args: &Args, stdin: &mut impl BufRead) -> Result<Self, Failure> {
        if args.chat {
            return Ok(Self::Chat);
        }
        if let Some(path) = &args.messages {
            return messages(path, &text_of(path, stdin)?).map(Self::Messages);
        }
        let Some(path) = &args.prompt_file else {
            return Ok(Self::Text(args.prompt.clone()));
        };
        let mut text = text_of(path, stdin)?;
        if text.ends_with('\n') {
            text.truncate(text.len() - if text.ends_with("\r\n") { 2 } else { 1 });
        }
        Ok(Self::Text(text))
    }

    /// Whether the model answers in turns.
    pub(super) fn is_conversation(&self) -> bool {
        !matches!(self, Self::Text(_))
    }
}

/// The next line of a conversation, without its end; `None` when there is none.
pub(super) fn line(stdin: &mut impl BufRead) -> Result<Option<String>, Failure> {
    let refused = |said: String| Failure::said(Exit::Usage, format!("standard input: {said}"));
    let mut bytes = Vec::new();
    let read = stdin.take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes);
    let read = read.map_err(|error| refused(error.to_string()))?;
    if read as u64 == LINE_BYTES_MAX && !bytes.ends_with(b"\n") {
        return Err(refused(format!(
            "a line is longer than {LINE_BYTES_MAX} bytes"
        )));
    }
    let text = String::from_utf8(bytes).map_err(|_| refused("a line is not UTF-8".into()))?;
    Ok((read > 0).then(|| text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn messages(path: &Path, text: &str) -> Result<Vec<Message>, Failure> {
    let refused = |said: &str| Failure::said(Exit::Usage, format!("{}: {said}", path.display()));
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| refused(&format!("not valid JSON: {error}")))?;
    let messages = match serde_json::from_value(value) {
        Ok(Messages::List(messages) | Messages::Request { messages }) => messages,
        Err(_) => {
            let said = "expected a list of messages, such as [{\"role\": \"user\", \"content\": \"Hello\"}], each with two texts";
            return Err(refused(said));
        }
    };
    if messages.is_empty() {
        return Err(refused(
            "the list of messages is empty; give one with the role `user` at least",
        ));
    }
    Ok(messages)
}

fn text_of(path: &Path, stdin: &mut impl BufRead) -> Result<String, Failure> {
    let refused = |said: String| Failure::said(Exit::Usage, format!("{}: {said}", path.display()));
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        stdin.take(BYTES_MAX + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| refused(error.to_string()))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(refused(format!(
            "longer than {BYTES_MAX} bytes; give a shorter one"
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        refused(format!("not UTF-8 at byte {at}; convert it first"))
    })
}
