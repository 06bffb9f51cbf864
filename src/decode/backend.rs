//! The language model, wherever it is: in this process, or behind a server.

use std::sync::Arc;
use std::time::Duration;

use super::decoder::Decoder;
use super::error::DecodeError;
use super::model::{Model, Precision};
#[cfg(feature = "server")]
use super::remote::{RemoteWriter, Server};
use super::settings::WriterSettings;
use super::weights::ModelFile;
use super::writer::Writer;

/// A language model that texts can be begun with. Clones are the same model.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Backend {
    /// In this process.
    Here(Arc<Model>),
    /// Behind a server.
    #[cfg(feature = "server")]
    Server(Arc<Server>),
}

/// A file of a model, or what stands for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is for: `base` writes, `adapter` was added to it, `embedder` compares sentences.
    pub role: &'static str,
    /// Its name, with the model's.
    pub name: String,
    /// Length, bytes; 0 where a server does not say.
    pub bytes: u64,
    /// SHA-256, hexadecimal; empty for a model behind a server, whose files nobody here has seen.
    pub sha256: String,
    /// How the matrices of this file are held; `None` for a file that has none, and behind a server.
    pub precision: Option<Precision>,
}

impl Backend {
    /// What writes a text with these settings, before its first word.
    ///
    /// # Errors
    /// [`DecodeError`] when the settings do not fit the model.
    pub fn writer(&self, settings: WriterSettings) -> Result<Box<dyn Decoder>, DecodeError> {
        Ok(match self {
            Self::Here(model) => Box::new(Writer::new(Arc::clone(model), settings)?),
            #[cfg(feature = "server")]
            Self::Server(server) => Box::new(RemoteWriter::new(Arc::clone(server), settings)?),
        })
    }

    /// What identifies the model, a line each: name and digest of its files, or what the server says of itself. An adapter is no part of it.
    #[must_use]
    pub fn identity(&self) -> Vec<String> {
        match self {
            Self::Here(model) => model
                .card()
                .files
                .iter()
                .map(|file| format!("{} {}\n", file.name, file.sha256))
                .collect(),
            #[cfg(feature = "server")]
            Self::Server(server) => vec![format!("{}\n", server.identity())],
        }
    }

    /// The model's files, for the record.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        match self {
            Self::Here(model) => {
                let part = |role, name: &str, precision, file: &ModelFile| Part {
                    role,
                    name: format!("{name}/{}", file.name),
                    bytes: file.bytes,
                    sha256: file.sha256.clone(),
                    precision: file.has_weights().then_some(precision),
                };
                let card = model.card();
                let base = card.files.iter();
                let mut parts: Vec<_> = base
                    .map(|file| part("base", &card.name, card.precision, file))
                    .collect();
                if let Some(adapter) = model.adapter() {
                    let files = adapter.files().iter();
                    // It was added in 32 bits, whatever the sum is held in.
                    let held = Precision::F32;
                    parts.extend(files.map(|file| part("adapter", adapter.name(), held, file)));
                }
                if let Some(embedder) = model.embedder().map(|embedder| embedder.card()) {
                    let files = embedder.files.iter();
                    // Whatever its files have: an embedder is held as floats.
                    let held = Precision::F32;
                    parts.extend(files.map(|file| part("embedder", &embedder.name, held, file)));
                }
                parts
            }
            #[cfg(feature = "server")]
            Self::Server(server) => vec![server.part()],
        }
    }

    /// The adapter in its matrices: its folder's name and the beginning of its digest.
    #[must_use]
    pub fn adapter(&self) -> Option<String> {
        match self {
            Self::Here(model) => {
                let adapter = model.adapter()?;
                let weights = adapter.files().iter().find(|file| file.has_weights())?;
                Some(format!("{} {:.16}", adapter.name(), weights.sha256))
            }
            #[cfg(feature = "server")]
            Self::Server(_) => None,
        }
    }

    /// Whether the same seed, prompt and choices give the same text again. A server promises no such thing.
    #[must_use]
    pub const fn repeats(&self) -> bool {
        match self {
            Self::Here(_) => true,
            #[cfg(feature = "server")]
            Self::Server(_) => false,
        }
    }

    /// Whether its decoder tells hidden states at forks. A server tells none.
    #[must_use]
    pub const fn tells_states(&self) -> bool {
        match self {
            Self::Here(_) => true,
            #[cfg(feature = "server")]
            Self::Server(_) => false,
        }
    }

    /// What a thread that writes with it does first. One that only asks a server computes nothing, and stays as it is.
    pub fn lead(&self) {
        match self {
            Self::Here(model) => model.lead(),
            #[cfg(feature = "server")]
            Self::Server(_) => {}
        }
    }

    /// How long it is asked again when it is gone.
    #[must_use]
    pub fn lost_wait(&self) -> Duration {
        match self {
            Self::Here(_) => Duration::ZERO,
            #[cfg(feature = "server")]
            Self::Server(server) => Duration::from_secs_f64(server.settings().lost_wait_s),
        }
    }

    /// Ends every request that is on its way, and lets no other begin: the session is ending.
    pub fn close(&self) {
        match self {
            Self::Here(_) => {}
            #[cfg(feature = "server")]
            Self::Server(server) => server.close(),
        }
    }
}

impl From<Arc<Model>> for Backend {
    fn from(model: Arc<Model>) -> Self {
        Self::Here(model)
    }
}
