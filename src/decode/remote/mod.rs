//! A language model behind an OpenAI-compatible server with log-probabilities (llama.cpp's server, vLLM) as a [`Decoder`].
//!
//! | part | what it does |
//! |---|---|
//! | `http` | the client: connections, limits, what a status means; the only file here that names ureq |
//! | `peer` | who answered, for messages: no key and no commands to a terminal in them |
//! | `wire` | requests and answers as JSON |
//! | [`Server`] | what is there: its model, how many requests are under way, what went wrong |
//! | `flight` | one request on a thread of its own: sent again, cut, watched for silence |
//! | `stream` | tokens behind a place, over as many requests as it takes |
//! | `line` | a text made of bytes that arrive token by token |
//! | `ground` | what of a text goes back to the server, within its context |
//! | `roll`, `look` | is there a fork here? phrases rolled out as parallel requests, merging of wordings |
//! | `trunk`, `ahead` | the text so far, and the open fork's branches |
//! | [`RemoteWriter`] | writes, stops at forks, decodes branches ahead, commits, takes back |
//!
//! What is as in this process: the cheap test on the likeliest tokens, phrases to a boundary, branches that go on while the
//! person thinks, a commit that waits for nothing, undo. What cannot be:
//!
//! - Hidden states are not to be had, so phrases are never merged by their likeness. Two phrases are one when they read the
//!   same, or when the model goes on behind both with the same words, expecting the same at every place
//!   (`server.consequence_tokens`); divergence there is taken over the likeliest tokens alone.
//! - The same seed does not promise the same text: a server sums in another order when it has other company.
//! - Keys and values are the server's: prefix caching is left to it.
//!
//! Tokens are known by their numbers where the server tells them, and the text then goes back to it as numbers, so that
//! nothing is cut into tokens a second time. Where it does not (or joins the bytes of a character out of several tokens and
//! tells the number of one), the text goes back as text.
//!
//! [`Decoder`]: super::Decoder

mod ahead;
mod ask;
mod choose;
mod flight;
mod ground;
mod http;
mod line;
mod look;
mod peer;
mod roll;
mod server;
mod stream;
mod trunk;
mod wire;
mod writer;

pub use server::{Counts, Server};
pub use writer::RemoteWriter;
