//! A Llama-shaped model in memory: weights, tokenizer, shape. Immutable, shared by every line of text.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::adapter::Adapter;
use super::attention::Heads;
use super::chat::Template;
use super::config::ModelConfig;
use super::embedder::Embedder;
use super::error::{DecodeError, ModelError};
use super::kv::KvShape;
use super::layout::Matrix;
use super::linear::Linear;
use super::plan::{self, Packing, Plan};
pub use super::plan::{LoadSettings, Precision};
use super::rope;
use super::sources::{self, Sources};
use super::team::{Team, Threads};
use super::text::Tokens;
use super::tiles::{BLOCK, Packed};
use super::weights::{ModelFile, Origin, Weights};

macro_rules! embedded {
    ($($name:literal),*) => {
        [$(($name, include_bytes!(concat!("../../fixtures/story-model/", $name)).as_slice())),*]
    };
}

/// The files of the story model, made by the program in fixtures/train.
static EMBEDDED: [(&str, &[u8]); 3] =
    embedded!("config.json", "model.safetensors", "tokenizer.json");

/// A language model, ready to decode. Share it as `Arc<Model>`.
#[derive(Debug)]
pub struct Model {
    pub(super) config: ModelConfig,
    pub(super) tokens: Tokens,
    pub(super) embedding: Linear,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Vec<f32>,
    pub(super) head: Linear,
    /// Radians per token, one per pair of a head.
    pub(super) frequencies: Vec<f32>,
    /// What a product of query and key is multiplied with.
    pub(super) score_scale: f32,
    pub(super) chat: Option<Arc<Template>>,
    name: String,
    files: Vec<ModelFile>,
    precision: Precision,
    /// Who helps with the products of its quantised matrices.
    pub(super) team: Option<Arc<Team>>,
    threads: Threads,
    /// A second opinion on what means the same.
    embedder: Option<Arc<Embedder>>,
    /// What was added to its matrices.
    adapter: Option<Arc<Adapter>>,
    weights_bytes: usize,
    needed_bytes: u64,
    text_tokens: usize,
    text_bytes: u64,
}

/// One layer; query, key and value are one matrix, as are gate and up.
#[derive(Debug)]
pub(super) struct Layer {
    /// Tokens a query sees, itself among them.
    pub(super) window: usize,
    pub(super) attention_norm: Vec<f32>,
    pub(super) qkv: Linear,
    /// Norms of each query and key head (Qwen3).
    pub(super) head_norms: Option<HeadNorms>,
    pub(super) output: Linear,
    pub(super) mlp_norm: Vec<f32>,
    pub(super) gate_up: Linear,
    pub(super) down: Linear,
}

#[derive(Debug)]
pub(super) struct HeadNorms {
    pub(super) query: Vec<f32>,
    pub(super) key: Vec<f32>,
}

/// What a model is, for people and for the session's manifest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelCard {
    /// Folder's name, or `embedded`.
    pub name: String,
    /// The shape.
    pub config: ModelConfig,
    /// Floats in the matrices and norms.
    pub parameters: usize,
    /// How the big matrices are held.
    pub precision: Precision,
    /// Bytes the big matrices take in memory, and in f32 everything else as well.
    pub weights_bytes: usize,
    /// Memory that loading takes at its peak and then a text, estimated from the headers of the files, bytes.
    pub needed_bytes: u64,
    /// Tokens of that text.
    pub text_tokens: usize,
    /// Bytes of its keys and values, which `needed_bytes` counts.
    pub text_bytes: u64,
    /// Bytes of keys and values per token of text.
    pub kv_bytes_per_token: usize,
    /// Tokens the tokenizer knows.
    pub tokenizer_tokens: usize,
    /// The files it was loaded from.
    pub files: Vec<ModelFile>,
}

impl Model {
    /// Loads a Hugging Face folder (`config.json`, `tokenizer.json` and `model.safetensors` or shards with their index) or a GGUF file.
    ///
    /// Every file is verified before the tensor library sees it. Floats are held as f32, blocks as [`Precision::Stored`] says. Hashing and converting
    /// read each weights file twice.
    ///
    /// # Errors
    /// [`ModelError`], naming the file, the tensor and the byte where that makes sense.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        Self::load_with(path, &LoadSettings::default())
    }

    /// As [`Self::load`], with the big matrices held in `precision`.
    ///
    /// # Errors
    /// As [`Self::load`]; [`ModelError::Precision`] for a model whose rows are not whole blocks of 32 weights.
    pub fn load_as(path: impl AsRef<Path>, precision: Precision) -> Result<Self, ModelError> {
        let settings = LoadSettings {
            precision,
            ..LoadSettings::default()
        };
        Self::load_with(path, &settings)
    }

    /// As [`Self::load`], with everything said.
    ///
    /// # Errors
    /// As [`Self::load_as`]; [`ModelError::Memory`] for a model larger than the memory there is.
    pub fn load_with(path: impl AsRef<Path>, settings: &LoadSettings) -> Result<Self, ModelError> {
        let (origin, name) = sources::of(path.as_ref());
        Self::read(&origin, name, settings, None)
    }

    /// As [`Self::load_with`], with an adapter in its matrices; without a path the embedded model. A matrix that is held in few bits is rounded
    /// after the adapter was added.
    ///
    /// # Errors
    /// As [`Self::load_with`] and [`Adapter::load`].
    pub fn load_adapted(
        path: Option<&Path>,
        settings: &LoadSettings,
        adapter: impl AsRef<Path>,
    ) -> Result<Self, ModelError> {
        let (origin, name) = match path {
            Some(path) => sources::of(path),
            None => (Origin::Embedded(&EMBEDDED), "embedded".into()),
        };
        Self::read(&origin, name, settings, Some(adapter.as_ref()))
    }

    /// Verifies a model and describes it without holding its weights: memory stays near the size of its tokenizer.
    ///
    /// # Errors
    /// As [`Self::load`], except for memory.
    pub fn verify(path: impl AsRef<Path>) -> Result<ModelCard, ModelError> {
        Self::verify_with(path, &LoadSettings::default())
    }

    /// As [`Self::verify`], described as it would be loaded with these settings.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_with(
        path: impl AsRef<Path>,
        settings: &LoadSettings,
    ) -> Result<ModelCard, ModelError> {
        let (origin, name) = sources::of(path.as_ref());
        sources::verify(&origin, name, settings)
    }

    /// The story model compiled into the program: little stories in English, with forks of meaning that are known exactly.
    ///
    /// # Errors
    /// [`ModelError`], if the program was built with damaged files.
    pub fn embedded() -> Result<Self, ModelError> {
        Self::read(
            &Origin::Embedded(&EMBEDDED),
            "embedded".into(),
            &LoadSettings::default(),
            None,
        )
    }

    fn read(
        origin: &Origin,
        name: String,
        settings: &LoadSettings,
        adapter: Option<&Path>,
    ) -> Result<Self, ModelError> {
        let mut sources = Sources::open(origin)?;
        let adapter = adapter
            .map(|dir| Adapter::load(dir, &sources.config))
            .transpose()?;
        let plan = Plan::new(&sources, settings)?;
        plan.fits(origin, settings)?;
        let files = sources.describe()?;
        let Sources {
            config, weights, ..
        } = &mut sources;
        let mut reader = Reader {
            weights,
            origin,
            packing: plan.packing(origin)?,
            adapter: adapter.as_ref(),
        };

        let mut embedding = reader.matrix(&config.embedding_layout())?;
        let mut head = match config.head_layout() {
            None => embedding.clone(),
            Some(layout) => reader.matrix(&layout)?,
        };
        let norm = reader.vector(config.norm_layout())?;
        let mut layers = (0..config.layers)
            .map(|i| reader.layer(config, i))
            .collect::<Result<Vec<Layer>, _>>()?;
        if let Some(arena) = reader.packing.arena {
            let arena = arena.finish();
            let of_layers = layers.iter_mut().flat_map(Layer::matrices);
            for matrix in of_layers.chain([&mut embedding, &mut head]) {
                matrix.settle(&arena);
            }
        }
        let frequencies = weights.frequencies(config)?;
        weights.finish(harmless(config))?;
        let score_scale = rope::score_scale(config);
        Ok(Self {
            embedding,
            layers,
            norm,
            head,
            frequencies,
            score_scale,
            name,
            files,
            team: None,
            threads: Threads::default(),
            embedder: None,
            adapter: adapter.map(Arc::new),
            precision: plan.precision,
            weights_bytes: plan.weights_bytes as usize,
            needed_bytes: plan.needed_bytes(),
            text_tokens: plan.text_tokens,
            text_bytes: plan.text_bytes,
            chat: sources.chat,
            config: sources.config,
            tokens: sources.tokens,
        })
    }

    /// Decodes with several threads; every text stays the same. Matrices in f32 are not shared out.
    ///
    /// # Errors
    /// The system starts no more threads.
    pub fn with_threads(mut self, threads: Threads) -> std::io::Result<Self> {
        self.team = (threads.count > 1)
            .then(|| Team::new(&threads).map(Arc::new))
            .transpose()?;
        self.threads = threads;
        Ok(self)
    }

    /// Makes the calling thread the one that leads the others: it stands back as they do.
    pub fn lead(&self) {
        if let Some(begin) = &self.threads.begin {
            begin(0);
        }
    }

    /// Looks for forks with a sentence-embedding model as one more judge of what means the same; without forks it is never asked.
    #[must_use]
    pub fn with_embedder(mut self, embedder: Arc<Embedder>) -> Self {
        self.embedder = Some(embedder);
        self
    }

    /// The sentence-embedding model that judges meanings, if there is one.
    #[must_use]
    pub fn embedder(&self) -> Option<&Arc<Embedder>> {
        self.embedder.as_ref()
    }

    /// What was added to its matrices, if anything was.
    #[must_use]
    pub fn adapter(&self) -> Option<&Arc<Adapter>> {
        self.adapter.as_ref()
    }

    /// Its shape.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Its tokenizer.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// What it is, with the hashes of its files.
    #[must_use]
    pub fn card(&self) -> ModelCard {
        ModelCard {
            name: self.name.clone(),
            parameters: self.config.parameters(),
            weights_bytes: self.weights_bytes,
            needed_bytes: self.needed_bytes,
            text_tokens: self.text_tokens,
            text_bytes: self.text_bytes,
            precision: self.precision,
            kv_bytes_per_token: self.config.kv_bytes_per_token(),
            tokenizer_tokens: self.tokens.len(),
            config: self.config.clone(),
            files: self.files.clone(),
        }
    }

    /// The tokens of a text as a prompt: what the tokenizer makes of it, or the token that begins texts where that is nothing.
    ///
    /// # Errors
    /// [`DecodeError::EmptyPrompt`] for nothing, if the model knows no such token; [`DecodeError::Tokenizer`].
    pub fn prompt(&self, text: &str) -> Result<Vec<u32>, DecodeError> {
        let mut tokens = self.tokens.encode(text)?;
        if tokens.is_empty() {
            tokens.push(self.config.bos.ok_or(DecodeError::EmptyPrompt)?);
        }
        Ok(tokens)
    }

    /// Whether a token ends the text.
    pub(super) fn is_end(&self, token: u32) -> bool {
        self.config.eos.contains(&token)
    }

    /// Whether a token may be written: it stands for text or ends it.
    pub(super) fn is_allowed(&self, token: u32) -> bool {
        self.tokens.is_text(token) || self.is_end(token)
    }

    pub(super) fn kv_shape(&self) -> KvShape {
        KvShape {
            layers: self.config.layers,
            heads: Heads {
                dim: self.config.head_dim,
                group: self.config.heads / self.config.kv_heads,
                kv: self.config.kv_heads,
            },
        }
    }
}

impl Layer {
    fn matrices(&mut self) -> [&mut Linear; 4] {
        let Self {
            qkv,
            output,
            gate_up,
            down,
            ..
        } = self;
        [qkv, output, gate_up, down]
    }
}

/// What is not part of a model and may stand in its files: rotary tables are computed, and a tied output matrix may be stored once more.
pub(super) fn harmless(config: &ModelConfig) -> impl Fn(&str) -> bool {
    let tied = config.tied;
    move |name| name.ends_with("rotary_emb.inv_freq") || (tied && name == "lm_head.weight")
}

struct Reader<'a> {
    weights: &'a mut Weights,
    origin: &'a Origin,
    packing: Packing,
    adapter: Option<&'a Adapter>,
}

impl Reader<'_> {
    fn vector(&mut self, (tensor, len): (String, usize)) -> Result<Vec<f32>, ModelError> {
        let mut out = Vec::new();
        self.weights.floats(&tensor, &[len], &mut out)?;
        Ok(out)
    }

    /// Matrices of the same input stacked into one.
    fn matrix(&mut self, layout: &Matrix) -> Result<Linear, ModelError> {
        let (outputs, inputs) = (layout.outputs(), layout.inputs);
        let format = self.packing.format(layout, self.weights);
        let mut bias = Vec::new();
        if layout.biased {
            for (part, outputs) in &layout.parts {
                let name = format!("{part}.bias");
                self.weights.floats(&name, &[*outputs], &mut bias)?;
            }
        }
        let bias = layout.biased.then_some(bias);
        let parts = layout
            .parts
            .iter()
            .map(|(part, outputs)| (part, [*outputs, inputs]));
        let Some(format) = format else {
            let mut weight = Vec::with_capacity(outputs * inputs);
            for (part, shape) in parts {
                let from = weight.len();
                self.weights
                    .floats(&format!("{part}.weight"), &shape, &mut weight)?;
                if let Some(adapter) = self.adapter {
                    adapter.add_to(part, inputs, &mut weight[from..]);
                }
            }
            return Linear::new(weight, bias, outputs, inputs).map_err(|source| {
                ModelError::Tensor {
                    path: self.origin.path(""),
                    source,
                }
            });
        };
        let mut rows = Vec::with_capacity(outputs * inputs / BLOCK * format.stored_bytes());
        for (part, shape) in parts {
            let tensor = format!("{part}.weight");
            if let Some(adapter) = self.adapter.filter(|adapter| adapter.changes(part)) {
                let mut floats = Vec::new();
                self.weights.floats(&tensor, &shape, &mut floats)?;
                adapter.add_to(part, inputs, &mut floats);
                Packed::rounded(format, &floats, &mut rows);
                continue;
            }
            let found = self.weights.take(&tensor, &shape)?;
            self.weights.rows(&found, |bytes| {
                plan::packed(found.stored, bytes, format, &mut rows);
            })?;
        }
        // A weight too large for the scales of this format.
        let scale = |block: &[u8]| matches!(block, [low, high, ..] if half::f16::from_le_bytes([*low, *high]).is_finite());
        if !rows.chunks_exact(format.stored_bytes()).all(scale) {
            return Err(ModelError::BeyondScale {
                path: self.origin.path(""),
                tensor: layout
                    .parts
                    .first()
                    .map_or_else(String::new, |(part, _)| format!("{part}.weight")),
            });
        }
        let arena = self.packing.arena.as_mut();
        // The room was counted from the same layout.
        let packed = arena
            .and_then(|arena| Packed::stored(arena, format, &rows, outputs, inputs))
            .ok_or_else(|| ModelError::Precision {
                path: self.origin.path(""),
                inputs,
            })?;
        Ok(Linear::packed(packed, bias))
    }

    fn layer(&mut self, config: &ModelConfig, index: usize) -> Result<Layer, ModelError> {
        let layout = config.layer_layout(index);
        let window = config
            .sliding
            .as_ref()
            .filter(|sliding| sliding.layers.get(index) == Some(&true))
            .map_or(usize::MAX, |sliding| sliding.tokens);
        let head_norms = match layout.head_norms {
            None => None,
            Some([query, key]) => Some(HeadNorms {
                query: self.vector(query)?,
                key: self.vector(key)?,
            }),
        };
        Ok(Layer {
            window,
            attention_norm: self.vector(layout.attention_norm)?,
            qkv: self.matrix(&layout.qkv)?,
            head_norms,
            output: self.matrix(&layout.output)?,
            mlp_norm: self.vector(layout.mlp_norm)?,
            gate_up: self.matrix(&layout.gate_up)?,
            down: self.matrix(&layout.down)?,
        })
    }
}
