//! How a server is asked: every number with its range stands in the experiment file's table.

use serde::{Deserialize, Serialize};

/// How a model behind an OpenAI-compatible server is asked. Its address is the model's name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSettings {
    /// The model, where the server has several; empty: its only one.
    pub model: String,
    /// Environment variable that holds the key, where the server wants one; the key itself is never written anywhere.
    pub key_env: String,
    /// Longest wait for a connection, seconds.
    pub connect_s: f64,
    /// Longest wait for the first byte of an answer, and from there for its first token, seconds: a long text is read before it.
    pub first_byte_s: f64,
    /// Longest silence within an answer, seconds.
    pub pause_s: f64,
    /// A silence this long is told to the person, seconds.
    pub slow_s: f64,
    /// A server that is gone, or still loading at the start, is asked again for this long, seconds; then the session ends.
    pub lost_wait_s: f64,
    /// How often a request that brought nothing is sent again.
    pub retries: u32,
    /// Requests at the same time, at most.
    pub parallel: u32,
    /// Likeliest tokens that are asked for at every place.
    pub top_logprobs: u32,
    /// Tokens asked for in one request.
    pub stretch_tokens: u32,
    /// How far behind two phrases that may be one is looked for a difference, tokens; 0: wordings are told apart by reading alone.
    pub consequence_tokens: u32,
    /// Longest answer accepted, KiB.
    pub answer_kib_max: u32,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            model: String::new(),
            key_env: "RAZVILKA_SERVER_KEY".into(),
            connect_s: 5.0,
            first_byte_s: 60.0,
            pause_s: 20.0,
            slow_s: 2.0,
            lost_wait_s: 30.0,
            retries: 2,
            parallel: 4,
            top_logprobs: 20,
            stretch_tokens: 64,
            consequence_tokens: 64,
            answer_kib_max: 8_192,
        }
    }
}
