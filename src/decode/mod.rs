//! The language model: a Llama-shaped decode path, its KV tree of branches, and the fork detector.
//!
//! This is the only room that names candle and tokenizers. Nothing here knows of people and streams; clocks and threads are
//! known to the requests of `remote` alone: what writes is a plain object that one thread owns.
//!
//! | part | what it does |
//! |---|---|
//! | [`Model`] | a verified Hugging Face folder or GGUF file in memory |
//! | `sources`, `weights`, `header`, `gguf`, `stored` | its files: opened, bounded, verified, converted |
//! | `layout`, `plan`, `memory` | which tensors it has, how they are held, whether they fit |
//! | `chat` | a conversation as text, by the model's own template |
//! | `forward`, `kernel`, `linear` | one step for several lines of text at once |
//! | `runner`, `dense` | one line of text on our kernels, or on a card by candle |
//! | `kv`, `join` | keys and values as a tree: branches share what was before them, a commit relinks, short pieces are joined |
//! | `glance`, `rollout`, `meaning`, `rank` | is there a fork here? cheap test, roll-outs, merging of wordings, which to show |
//! | [`Adapter`], [`Learner`] | what a person's choices have taught, added to a model's matrices, and how it is learned |
//! | [`Embedder`] | how alike two texts are, by a model of sentences: one more judge of meanings |
//! | `sampling`, `stop` | which token follows, which text ends an answer |
//! | [`Generator`] | answers prompts, nobody is asked |
//! | [`Decoder`] | what a text is written through, whoever writes it |
//! | [`Backend`] | a model in this process, or behind a server |
//! | `remote` | an OpenAI-compatible server as a decoder (feature `server`) |
//! | [`Writer`] | writes, stops at forks, decodes branches ahead, commits, takes back |
//!
//! ```no_run
//! use std::sync::Arc;
//! use razvilka::decode::{Cancel, Model, Step, Writer, WriterSettings};
//!
//! let model = Arc::new(Model::load("SmolLM2-135M")?);
//! let mut writer = Writer::new(model, WriterSettings::default())?;
//! let cancel = Cancel::new();
//! writer.start("Once upon a time")?;
//! loop {
//!     match writer.advance(&cancel)? {
//!         Step::Text(text) => print!("{text}"),
//!         Step::Fork(fork) => print!("{}", writer.go_on(fork.id)?.text),
//!         Step::End(_) | Step::Cancelled | Step::Waiting => break,
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod adapter;
mod ask;
mod attention;
mod backend;
mod cancel;
mod chat;
mod choose;
mod compare;
mod config;
mod decoder;
mod dense;
mod distribution;
mod embedder;
mod error;
mod forward;
mod generator;
mod gguf;
mod glance;
mod header;
#[cfg(test)]
mod isolation;
mod join;
mod kernel;
mod kv;
mod layout;
mod line;
mod linear;
mod meaning;
mod memory;
mod model;
mod offer;
mod outcome;
mod plan;
mod rank;
#[cfg(feature = "server")]
pub mod remote;
mod rollout;
mod rope;
mod runner;
#[cfg(test)]
mod samples;
mod sampling;
mod server_settings;
mod settings;
mod sources;
mod steps;
mod stop;
mod stored;
mod survey;
mod team;
mod text;
mod tiles;
mod weights;
mod wording;
mod writer;

pub use adapter::{
    Adapter, AdapterShape, Comparison, LearnSettings, Learned, Learner, Lesson, Progress, Target,
    Trial, plain_texts,
};
pub use backend::{Backend, Part};
pub use cancel::Cancel;
pub use chat::Message;
pub use compare::Likeness;
pub use config::{Family, ModelConfig, RopeScaling, Sliding};
pub use decoder::Decoder;
pub use dense::{Device, Floats};
pub use embedder::{Embedder, EmbedderCard, EncoderConfig, Pooling, Positions};
pub use error::{DecodeError, ModelError, Prospect};
pub use generator::{Finish, Generator, GeneratorSettings, PromptRead, WhenFull, Written};
pub use glance::Glance;
pub use memory::available_bytes as available_memory_bytes;
pub use model::{LoadSettings, Model, ModelCard, Precision};
pub use outcome::{Commit, End, Stats, Step, Thought, Undone};
pub use sampling::{Sampler, Sampling};
pub use server_settings::ServerSettings;
pub use settings::WriterSettings;
pub use steps::Steps;
pub use survey::Survey;
pub use team::{Begin, Threads};
pub use text::{TextStream, Tokens};
pub use weights::ModelFile;
pub use wording::{contradict, reads_the_same};
pub(crate) use writer::CONTEXT_CHARS;
pub use writer::Writer;
