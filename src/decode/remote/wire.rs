//! What is said over the wire: requests as JSON, answers as tokens with what else could have stood in their place.
//!
//! Two forms of log-probabilities are about. llama.cpp gives a list of tokens, each with number, bytes and alternatives; the
//! older form of OpenAI's completions, which vLLM and others keep, gives parallel lists of strings.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::error::{DecodeError, Prospect};
use super::super::sampling::Sampling;
use super::http::MESSAGE_CHARS_MAX;
use super::peer::Peer;

/// A token: what it says, and how likely it was.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    /// Its number, where the server gives one.
    pub(super) id: Option<u32>,
    /// Its bytes, which may begin or end inside a character. None: it ends the text, or stands for no text.
    pub(super) bytes: Vec<u8>,
    /// Log-probability, nats.
    pub(super) log_prob_nats: f64,
}

impl Token {
    /// Probability.
    pub(super) fn mass(&self) -> f64 {
        self.log_prob_nats.exp()
    }

    /// Whether two are the same token, as far as the server tells.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self.id, other.id) {
            (Some(a), Some(b)) => a == b,
            _ => self.bytes == other.bytes,
        }
    }
}

/// A token that was written, and the likeliest in its place, likeliest first.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    pub(super) token: Token,
    pub(super) top: Vec<Token>,
    /// Whether it ends the text.
    pub(super) ends: bool,
    /// Whether `top` is a choice inside a character, whose earlier bytes the server has joined to this token.
    pub(super) inside: bool,
    /// Whether the character that it belongs to is not complete, and its text comes with a later token.
    pub(super) partial: bool,
}

/// Why an answer is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// The model ended the text.
    Text,
    /// As many tokens as were asked for.
    Length,
}

/// What one piece of an answer holds.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) said: Vec<Said>,
    pub(super) finish: Option<Finish>,
}

/// What stands before the tokens that are asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Before {
    /// Token by token: nothing is cut into tokens a second time.
    Numbers(Vec<u32>),
    /// As text.
    Text(String),
}

/// How tokens are asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct How {
    pub(super) tokens: usize,
    pub(super) sampling: Sampling,
    pub(super) seed: u32,
}

/// Which server it is: what it takes beyond the common form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    LlamaCpp,
    Vllm,
    Other,
}

/// The body of a request for a completion.
pub(super) fn completion(model: &str, kind: Kind, top: u32, before: &Before, how: How) -> Vec<u8> {
    let prompt = match before {
        Before::Numbers(numbers) => json!(numbers),
        Before::Text(text) => json!(text),
    };
    let sampling = how.sampling;
    let mut body = json!({
        "model": model,
        "prompt": prompt,
        "max_tokens": how.tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": how.seed,
        "logprobs": top,
        "stream": true,
    });
    // These servers cut the distribution by default in ways that were not asked for; others refuse keys they do not know.
    let more = match kind {
        Kind::LlamaCpp => json!({
            "n_probs": top,
            "cache_prompt": true,
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
            "repeat_penalty": sampling.repeat_penalty,
        }),
        // It looks back on the whole text.
        Kind::Vllm => json!({
            "top_k": if sampling.top_k == 0 { -1 } else { sampling.top_k as i64 },
            "min_p": sampling.min_p,
            "repetition_penalty": sampling.repeat_penalty,
        }),
        Kind::Other => json!({}),
    };
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
        if kind == Kind::LlamaCpp && sampling.repeat_penalty > 1.0 {
            body.insert("repeat_last_n".into(), json!(sampling.repeat_last_tokens));
        }
    }
    body.to_string().into_bytes()
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    text: String,
    logprobs: Option<LogProbs>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct LogProbs {
    content: Option<Vec<Listed>>,
    tokens: Option<Vec<String>>,
    token_logprobs: Option<Vec<Option<f64>>>,
    top_logprobs: Option<Vec<Option<BTreeMap<String, f64>>>>,
}

#[derive(Deserialize)]
struct Listed {
    id: Option<u32>,
    #[serde(default)]
    token: String,
    bytes: Option<Vec<u8>>,
    logprob: f64,
    #[serde(default)]
    top_logprobs: Vec<Listed>,
}

/// Reads one piece of an answer.
///
/// # Errors
/// [`DecodeError::Server`] for what is no completion, [`DecodeError::NonFinite`] for a log-probability that is none.
pub(super) fn piece(peer: &Peer, json: &[u8], position: usize) -> Result<Piece, DecodeError> {
    let chunk: Chunk =
        serde_json::from_slice(json).map_err(|error| no_json(peer, "completion", json, &error))?;
    if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
        let message = error.get("message").and_then(Value::as_str);
        let message = message.map_or_else(|| error.to_string(), str::to_owned);
        let message = peer.quote(&message, MESSAGE_CHARS_MAX);
        return Err(peer.error(
            Prospect::Gone,
            format!("the server broke off and said: {message}; look at its own messages"),
        ));
    }
    // A last piece with figures of use alone has no choice.
    let Some(choice) = chunk.choices.into_iter().next() else {
        return Ok(Piece::default());
    };
    let finish = choice.finish_reason.map(|reason| match reason.as_str() {
        "length" => Finish::Length,
        _ => Finish::Text,
    });
    let said = match choice.logprobs {
        Some(LogProbs {
            content: Some(listed),
            ..
        }) => listed.into_iter().map(said_listed).collect(),
        Some(LogProbs {
            tokens: Some(tokens),
            token_logprobs: Some(log_probs),
            top_logprobs,
            ..
        }) => said_in_columns(
            &choice.text,
            tokens,
            &log_probs,
            top_logprobs.unwrap_or_default(),
            finish,
        ),
        _ if choice.text.is_empty() => Vec::new(),
        _ => {
            return Err(peer.wrong(
                "the server gives no log-probabilities, and forks are found by them; start it so that /v1/completions answers `logprobs`",
            ));
        }
    };
    let sound = |token: &Token| token.log_prob_nats <= 1e-3 && !token.log_prob_nats.is_nan();
    if !said
        .iter()
        .all(|said| sound(&said.token) && said.top.iter().all(sound))
    {
        return Err(DecodeError::NonFinite { position });
    }
    Ok(Piece { said, finish })
}

/// An answer that is not what it should be.
fn no_json(peer: &Peer, what: &str, json: &[u8], error: &serde_json::Error) -> DecodeError {
    let start = &json[..json.len().min(16 * 1024)];
    let start = peer.quote(&String::from_utf8_lossy(start), 80);
    let error = peer.quote(&error.to_string(), MESSAGE_CHARS_MAX);
    peer.wrong(format!(
        "the answer is no {what} ({error}), it begins {start:?}; is this an OpenAI-compatible server?"
    ))
}

fn said_listed(listed: Listed) -> Said {
    let token = |listed: &Listed| Token {
        id: listed.id,
        bytes: listed
            .bytes
            .clone()
            .unwrap_or_else(|| bytes_of(&listed.token)),
        log_prob_nats: listed.logprob,
    };
    let written = token(&listed);
    let mut top: Vec<Token> = listed.top_logprobs.iter().map(token).collect();
    top.sort_by(|a, b| b.log_prob_nats.total_cmp(&a.log_prob_nats));
    // A server that holds half a character back gives its bytes to the token that completes it, with that token's
    // alternatives, and the tokens before it nowhere: their numbers are not known.
    let inside = top
        .iter()
        .any(|other| other.id.is_some() && other.id == written.id && other.bytes != written.bytes);
    Said {
        ends: written.bytes.is_empty(),
        token: Token {
            id: written.id.filter(|_| !inside),
            ..written
        },
        top,
        inside,
        partial: false,
    }
}

/// Bytes of a token's string. `bytes:\\xd0` is how the older form writes what is no text.
fn bytes_of(token: &str) -> Vec<u8> {
    let Some(escaped) = token.strip_prefix("bytes:") else {
        return token.as_bytes().to_vec();
    };
    let parts = escaped.split("\\x").filter(|part| !part.is_empty());
    let bytes: Option<Vec<u8>> = parts
        .map(|part| u8::from_str_radix(part, 16).ok())
        .collect();
    bytes
        .filter(|bytes| !bytes.is_empty())
        .unwrap_or_else(|| token.as_bytes().to_vec())
}

/// The older form. The text is what counts: strings of tokens inside characters are no text, so what stands between the
/// tokens that agree with the text from the left and from the right goes to the last one in between.
fn said_in_columns(
    text: &str,
    tokens: Vec<String>,
    log_probs: &[Option<f64>],
    tops: Vec<Option<BTreeMap<String, f64>>>,
    finish: Option<Finish>,
) -> Vec<Said> {
    let count = tokens.len();
    let (mut left, mut begin) = (0, 0);
    while let Some(token) = tokens.get(left).filter(|token| !token.is_empty())
        && text[begin..].starts_with(token.as_str())
    {
        begin += token.len();
        left += 1;
    }
    let (mut right, mut end) = (count, text.len());
    while right > left
        && let Some(token) = tokens.get(right - 1).filter(|token| !token.is_empty())
        && text[begin..end].ends_with(token.as_str())
    {
        end -= token.len();
        right -= 1;
    }
    let mut tops = tops.into_iter();
    let mut said: Vec<Said> = Vec::with_capacity(count);
    for (number, token) in tokens.into_iter().enumerate() {
        let agrees = number < left || number >= right;
        let bytes = if agrees {
            token.clone().into_bytes()
        } else if number + 1 == right {
            text.as_bytes()[begin..end].to_vec()
        } else {
            Vec::new()
        };
        let broken = token.contains(char::REPLACEMENT_CHARACTER) || token.starts_with("bytes:");
        let top = tops.next().flatten().unwrap_or_default();
        let mut top: Vec<Token> = top
            .into_iter()
            .map(|(token, log_prob_nats)| Token {
                id: None,
                bytes: bytes_of(&token),
                log_prob_nats,
            })
            .collect();
        top.sort_by(|a, b| b.log_prob_nats.total_cmp(&a.log_prob_nats));
        let last = number + 1 == count;
        said.push(Said {
            ends: last && bytes.is_empty() && !broken && finish == Some(Finish::Text),
            partial: broken && bytes.is_empty(),
            inside: !agrees && !bytes.is_empty(),
            token: Token {
                id: None,
                bytes,
                log_prob_nats: log_probs.get(number).copied().flatten().unwrap_or(0.0),
            },
            top,
        });
    }
    said
}

/// A model that a server has.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Listing {
    pub(super) id: String,
    pub(super) kind: Kind,
    /// Tokens that one request may hold.
    pub(super) context_tokens: Option<usize>,
    /// Bytes of its weights.
    pub(super) bytes: u64,
    /// All that tells it from another model.
    pub(super) identity: String,
    /// Whether only its name is known yet: llama.cpp lists a model while it loads it.
    pub(super) loading: bool,
}

/// Reads the answer of `/v1/models`.
pub(super) fn models(peer: &Peer, json: &[u8]) -> Result<Vec<Listing>, DecodeError> {
    #[derive(Deserialize)]
    struct Models {
        data: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        id: String,
        #[serde(default)]
        owned_by: String,
        max_model_len: Option<usize>,
        root: Option<String>,
        /// `Some` of null where that is what the server says.
        #[serde(default, deserialize_with = "as_said")]
        meta: Option<Value>,
    }
    fn as_said<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
        Value::deserialize(from).map(Some)
    }
    let models: Models = serde_json::from_slice(json)
        .map_err(|error| no_json(peer, "list of models", json, &error))?;
    let listing = |entry: Entry| {
        let number = |key: &str| entry.meta.as_ref()?.get(key)?.as_u64();
        Listing {
            kind: match entry.owned_by.as_str() {
                "llamacpp" => Kind::LlamaCpp,
                "vllm" => Kind::Vllm,
                _ => Kind::Other,
            },
            context_tokens: entry
                .max_model_len
                .or_else(|| number("n_ctx").and_then(|n| usize::try_from(n).ok())),
            bytes: number("size").unwrap_or(0),
            loading: entry.owned_by == "llamacpp" && entry.meta == Some(Value::Null),
            identity: json!([entry.id, entry.root, entry.max_model_len, entry.meta]).to_string(),
            id: entry.id,
        }
    };
    Ok(models.data.into_iter().map(listing).collect())
}

/// The body of a request for the tokens of a text: llama.cpp reads one half of it, vLLM the other.
pub(super) fn tokenise(model: &str, text: &str) -> Vec<u8> {
    json!({ "content": text, "add_special": true, "model": model, "prompt": text })
        .to_string()
        .into_bytes()
}

/// Reads the answer of `/tokenize`.
pub(super) fn tokens(json: &[u8]) -> Option<Vec<u32>> {
    #[derive(Deserialize)]
    struct Tokens {
        tokens: Vec<u32>,
    }
    let tokens: Tokens = serde_json::from_slice(json).ok()?;
    Some(tokens.tokens)
}
