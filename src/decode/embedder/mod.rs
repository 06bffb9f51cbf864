//! A sentence-embedding model: texts to vectors whose cosine says how alike they are.
//!
//! A folder as sentence-transformers has it: `config.json`, `tokenizer.json` and `model.safetensors` of an encoder of the BERT family (BERT and
//! `MiniLM`, RoBERTa and XLM-R, so `multilingual-e5` too), and where they are there `modules.json`, `1_Pooling/config.json`,
//! `sentence_bert_config.json` and `config_sentence_transformers.json`. Every file is bounded and verified as those of a language model are.
//!
//! It works where forks are looked for, on the decoder's thread, and nowhere near the real-time plane.

mod config;
mod encoder;
mod folder;

use std::path::Path;

use serde::Serialize;

pub use self::config::{EncoderConfig, Positions};
use self::encoder::Encoder;
pub use self::folder::Pooling;
use self::folder::{Manners, manners};
use super::distribution::cosine;
use super::error::{DecodeError, ModelError};
use super::kernel::all_finite;
use super::memory;
use super::plan::LoadSettings;
use super::sources;
use super::text::Tokens;
use super::weights::{ModelFile, Origin, TOKENIZER_BYTES_MAX, Weights};

/// A sentence-embedding model, ready to embed. Immutable; share it as `Arc<Embedder>`.
#[derive(Debug)]
pub struct Embedder {
    encoder: Encoder,
    tokens: Tokens,
    prompt: String,
    card: EmbedderCard,
}

/// What an embedder is, for people and for the session's manifest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EmbedderCard {
    /// Folder's name.
    pub name: String,
    /// The shape.
    pub config: EncoderConfig,
    /// How states become one vector.
    pub pooling: Pooling,
    /// Most tokens of a text, those around it included; the rest is left out.
    pub tokens_max: usize,
    /// Floats in the tables, matrices, biases and norms.
    pub parameters: usize,
    /// Memory that loading takes at its peak, estimated from the headers of the files, bytes.
    pub needed_bytes: u64,
    /// The files it was loaded from.
    pub files: Vec<ModelFile>,
}

/// The files of an embedder, checked, and the weights still unread.
struct Opened {
    origin: Origin,
    weights: Weights,
    tokens: Tokens,
    prefix: &'static str,
    prompt: String,
    card: EmbedderCard,
}

impl Embedder {
    /// Loads a folder of sentence-transformers.
    ///
    /// # Errors
    /// [`ModelError`], naming the file, the key or the tensor, and what was expected.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        Self::load_with(path, &LoadSettings::default())
    }

    /// As [`Self::load`], within the memory that `settings` say; their precision is of no matter, as weights are held in f32.
    ///
    /// # Errors
    /// As [`Self::load`]; [`ModelError::Memory`] for a model larger than that memory.
    pub fn load_with(path: impl AsRef<Path>, settings: &LoadSettings) -> Result<Self, ModelError> {
        let mut opened = Opened::open(path.as_ref())?;
        let available = settings.memory_bytes_max.or_else(memory::available_bytes);
        let needed_bytes = opened.card.needed_bytes;
        if let Some(available_bytes) = available.filter(|available| needed_bytes > *available) {
            return Err(ModelError::Memory {
                path: path.as_ref().into(),
                needed_bytes,
                text_bytes: 0, // a sentence is held for a moment
                available_bytes,
            });
        }
        let Opened {
            origin,
            weights,
            prefix,
            card,
            ..
        } = &mut opened;
        let encoder = Encoder::read(&card.config, weights, origin, prefix)?;
        weights.finish(harmless)?;
        Ok(Self {
            encoder,
            tokens: opened.tokens,
            prompt: opened.prompt,
            card: opened.card,
        })
    }

    /// Verifies an embedder and describes it without holding its weights.
    ///
    /// # Errors
    /// As [`Self::load`], except for memory.
    pub fn verify(path: impl AsRef<Path>) -> Result<EmbedderCard, ModelError> {
        let mut opened = Opened::open(path.as_ref())?;
        let Opened {
            weights,
            prefix,
            card,
            ..
        } = &mut opened;
        for (tensor, shape) in card.config.tensors(prefix) {
            let found = weights.take(&tensor, &shape)?;
            weights.rows(&found, |_| ())?;
        }
        weights.finish(harmless)?;
        Ok(opened.card)
    }

    /// What it is, with the hashes of its files.
    #[must_use]
    pub fn card(&self) -> &EmbedderCard {
        &self.card
    }

    /// One vector per text, `[hidden]` each, of length one; equal texts have equal vectors. What is longer than
    /// [`EmbedderCard::tokens_max`] tokens is cut at its end.
    ///
    /// # Errors
    /// [`DecodeError::Tokenizer`]; [`DecodeError::EmbeddingNonFinite`] where the states of a text are not finite.
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, DecodeError> {
        let tokens: Vec<Vec<u32>> = texts
            .iter()
            .map(|text| self.tokens_of(text))
            .collect::<Result<_, _>>()?;
        let states = self.encoder.states(&self.card.config, &tokens)?;
        let mut rest = states.as_slice();
        let mut out = Vec::with_capacity(texts.len());
        for tokens in &tokens {
            let (states, behind) = rest.split_at(tokens.len() * self.card.config.hidden);
            rest = behind;
            out.push(self.pooled(states).ok_or(DecodeError::EmbeddingNonFinite)?);
        }
        Ok(out)
    }

    /// How alike two texts are: the cosine of their vectors, -1 to 1.
    ///
    /// # Errors
    /// As [`Self::embed`].
    pub fn likeness(&self, a: &str, b: &str) -> Result<f64, DecodeError> {
        let vectors = self.embed(&[a, b])?;
        Ok(match vectors.as_slice() {
            [a, b] => cosine(a, b),
            _ => 0.0,
        })
    }

    fn tokens_of(&self, text: &str) -> Result<Vec<u32>, DecodeError> {
        let tokens = if self.prompt.is_empty() {
            self.tokens.encode(text)?
        } else {
            self.tokens.encode(&format!("{}{text}", self.prompt))?
        };
        if tokens.is_empty() {
            let reason = format!("it makes no token of {text:?}, and puts none around a text");
            return Err(DecodeError::Tokenizer { reason });
        }
        // What stands around a text is the file's own numbers.
        let rows = self.card.config.vocabulary;
        let known = |token: &u32| (*token as usize) < rows;
        if tokens.len() > self.card.tokens_max || !tokens.iter().all(known) {
            let reason = format!(
                "it makes {} tokens of {text:?}, of which the model, with {rows} rows and room for {}, does not have all",
                tokens.len(),
                self.card.tokens_max
            );
            return Err(DecodeError::Tokenizer { reason });
        }
        Ok(tokens)
    }

    /// `None` where a state is not finite.
    fn pooled(&self, states: &[f32]) -> Option<Vec<f32>> {
        let hidden = self.card.config.hidden;
        let mut sum = vec![0.0_f64; hidden];
        let count = match self.card.pooling {
            Pooling::Cls => 1,
            Pooling::Mean => states.len() / hidden,
        };
        for state in states.chunks_exact(hidden).take(count) {
            sum.iter_mut()
                .zip(state)
                .for_each(|(sum, x)| *sum += f64::from(*x));
        }
        let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
        let vector: Vec<f32> = sum.iter().map(|x| (x / length) as f32).collect();
        all_finite(&vector).then_some(vector)
    }
}

/// What may stand in the files and is not computed with: a buffer of position numbers, and what was trained on top of the encoder.
fn harmless(name: &str) -> bool {
    let name = name
        .split_once('.')
        .filter(|(stem, _)| matches!(*stem, "bert" | "roberta"))
        .map_or(name, |(_, rest)| rest);
    matches!(
        name,
        "embeddings.position_ids" | "embeddings.token_type_ids"
    ) || ["pooler.", "cls.", "lm_head."]
        .iter()
        .any(|stem| name.starts_with(stem))
}

impl Opened {
    fn open(path: &Path) -> Result<Self, ModelError> {
        const CONFIG: &str = "config.json";
        const TOKENIZER: &str = "tokenizer.json";
        let (_, name) = sources::of(path);
        let origin = Origin::Folder(path.into());
        let (bytes, config_file) = origin.read_json(CONFIG)?;
        let config = EncoderConfig::parse(&origin.path(CONFIG), &bytes)?;
        let Manners {
            pooling,
            tokens_max,
            prompt,
            files,
        } = manners(&origin)?;
        let tokens_max = tokens_max.unwrap_or(usize::MAX).min(config.tokens_max());
        let (bytes, tokenizer_file) = origin.read(TOKENIZER, TOKENIZER_BYTES_MAX)?;
        let path = origin.path(TOKENIZER);
        let tokens = Tokens::parse(&path, &bytes, config.vocabulary)?.cut_at(&path, tokens_max)?;
        let mut weights = Weights::open(&origin)?;
        let prefix = ["bert.", "roberta."]
            .into_iter()
            .find(|prefix| weights.has(&format!("{prefix}embeddings.word_embeddings.weight")));
        let prefix = prefix.unwrap_or_default();
        weights.check_all(config.tensors(prefix))?;
        let parameters = config.parameters();
        let mut all = vec![config_file, tokenizer_file];
        all.extend(files);
        all.extend(weights.describe()?);
        // A token with its text, its place in two tables and its merge; and what reading takes.
        let needed_bytes = parameters as u64 * 4 + tokens.len() as u64 * 400 + (8 << 20);
        let card = EmbedderCard {
            name,
            config,
            pooling,
            tokens_max,
            parameters,
            needed_bytes,
            files: all,
        };
        Ok(Self {
            origin,
            weights,
            tokens,
            prefix,
            prompt,
            card,
        })
    }
}
