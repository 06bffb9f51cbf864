//! A Llama-shaped model in memory: weights, tokenizer, shape. Immutable, shared by every line of text.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::attention::Heads;
use super::config::{Family, ModelConfig, RopeScaling};
use super::error::ModelError;
use super::kv::KvShape;
use super::linear::Linear;
use super::team::{Team, Threads};
use super::text::Tokens;
use super::tiles::{BLOCK, Filling, Format, Packed};
use super::weights::{ModelFile, Origin, TOKENIZER_BYTES_MAX, Weights};

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
    name: String,
    files: Vec<ModelFile>,
    precision: Precision,
    /// Who helps with the products of its quantised matrices.
    pub(super) team: Option<Arc<Team>>,
}

/// One layer; query, key and value are one matrix, as are gate and up.
#[derive(Debug)]
pub(super) struct Layer {
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
    /// Bytes of keys and values per token of text.
    pub kv_bytes_per_token: usize,
    /// Tokens the tokenizer knows.
    pub tokenizer_tokens: usize,
    /// The files it was loaded from.
    pub files: Vec<ModelFile>,
}

impl Model {
    /// Loads a Hugging Face folder: `config.json`, `tokenizer.json` and `model.safetensors` (or shards with their index).
    ///
    /// Every file is verified before the tensor library sees it. Weights are converted to f32. Hashing and converting
    /// read each weights file twice.
    ///
    /// # Errors
    /// [`ModelError`], naming the file, the tensor and the byte where that makes sense.
    pub fn load(dir: impl AsRef<Path>) -> Result<Self, ModelError> {
        Self::load_as(dir, Precision::F32)
    }

    /// As [`Self::load`], with the big matrices held in `precision`.
    ///
    /// # Errors
    /// As [`Self::load`]; [`ModelError::Precision`] for a model whose rows are not whole blocks of 32 weights.
    pub fn load_as(dir: impl AsRef<Path>, precision: Precision) -> Result<Self, ModelError> {
        let dir = dir.as_ref();
        let name = dir
            .file_name()
            .unwrap_or(dir.as_os_str())
            .to_string_lossy()
            .into_owned();
        Self::read(&Origin::Folder(dir.into()), name, precision)
    }

    /// The story model compiled into the program: little stories in English, with forks of meaning that are known exactly.
    ///
    /// # Errors
    /// [`ModelError`], if the program was built with damaged files.
    pub fn embedded() -> Result<Self, ModelError> {
        Self::read(
            &Origin::Embedded(&EMBEDDED),
            "embedded".into(),
            Precision::F32,
        )
    }

    fn read(origin: &Origin, name: String, precision: Precision) -> Result<Self, ModelError> {
        const CONFIG: &str = "config.json";
        const TOKENIZER: &str = "tokenizer.json";
        let (bytes, config_file) = origin.read_json(CONFIG)?;
        let config = ModelConfig::parse(&origin.path(CONFIG), &bytes)?;
        let (bytes, tokenizer_file) = origin.read(TOKENIZER, TOKENIZER_BYTES_MAX)?;
        let tokens = Tokens::parse(&origin.path(TOKENIZER), &bytes, config.vocabulary)?;
        let mut weights = Weights::open(origin)?;
        let mut files = vec![config_file, tokenizer_file];
        files.extend(weights.described());
        let packing = Packing::new(&config, precision, origin)?;
        let mut reader = Reader {
            weights: &mut weights,
            origin,
            packing,
        };

        let (rows, hidden) = (config.vocabulary, config.hidden);
        let mut embedding = reader.linear(&[("model.embed_tokens", rows)], hidden, false)?;
        let mut head = if config.tied {
            embedding.clone()
        } else {
            reader.linear(&[("lm_head", rows)], hidden, false)?
        };
        let norm = reader.vector("model.norm.weight", hidden)?;
        let mut layers = (0..config.layers)
            .map(|i| reader.layer(&config, i))
            .collect::<Result<Vec<Layer>, _>>()?;
        if let Some(packing) = reader.packing {
            let arena = packing.arena.finish();
            let of_layers = layers.iter_mut().flat_map(Layer::matrices);
            for matrix in of_layers.chain([&mut embedding, &mut head]) {
                matrix.settle(&arena);
            }
        }
        // Rotary tables are computed, and a tied output matrix may be stored once more: Hugging Face ignores both too.
        weights.finish(|name| {
            name.ends_with("rotary_emb.inv_freq") || (config.tied && name == "lm_head.weight")
        })?;
        let frequencies = frequencies(&config);
        Ok(Self {
            config,
            tokens,
            embedding,
            layers,
            norm,
            head,
            frequencies,
            name,
            files,
            precision,
            team: None,
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
        Ok(self)
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
            weights_bytes: self.weights_bytes(),
            precision: self.precision,
            kv_bytes_per_token: self.config.kv_bytes_per_token(),
            tokenizer_tokens: self.tokens.len(),
            config: self.config.clone(),
            files: self.files.clone(),
        }
    }

    fn weights_bytes(&self) -> usize {
        match self.precision.format() {
            None => self.config.parameters() * size_of::<f32>(),
            Some(format) => self
                .config
                .matrices()
                .map(|(outputs, inputs)| format.bytes(outputs, inputs))
                .sum(),
        }
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

/// How the big matrices of a model are held in memory. Norms and biases are f32 always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As they are, 32 bits.
    #[default]
    F32,
    /// Eight bits, and a scale for 32 weights (GGUF's `Q8_0`).
    Q8,
    /// Four bits, and a scale for 32 weights (GGUF's `Q4_0`).
    Q4,
}

impl Precision {
    const fn format(self) -> Option<Format> {
        match self {
            Self::F32 => None,
            Self::Q8 => Some(Format::Q8),
            Self::Q4 => Some(Format::Q4),
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

/// Where quantised weights go while a model is read.
struct Packing {
    format: Format,
    arena: Filling,
}

impl Packing {
    /// Room for all matrices of a model; `None` when they stay floats.
    fn new(
        config: &ModelConfig,
        precision: Precision,
        origin: &Origin,
    ) -> Result<Option<Self>, ModelError> {
        let Some(format) = precision.format() else {
            return Ok(None);
        };
        let path = origin.path("");
        let mut bytes = 0_usize;
        for (outputs, inputs) in config.matrices() {
            if !inputs.is_multiple_of(BLOCK) {
                return Err(ModelError::Precision { path, inputs });
            }
            bytes += format.bytes(outputs, inputs).next_multiple_of(64);
        }
        let arena = Filling::new(bytes).map_err(|source| ModelError::Io { path, source })?;
        Ok(Some(Self { format, arena }))
    }
}

struct Reader<'a> {
    weights: &'a mut Weights,
    origin: &'a Origin,
    packing: Option<Packing>,
}

impl Reader<'_> {
    fn vector(&mut self, tensor: &str, len: usize) -> Result<Vec<f32>, ModelError> {
        let mut out = Vec::new();
        self.weights.take(tensor, &[len], &mut out)?;
        Ok(out)
    }

    /// Matrices of the same input stacked into one.
    fn linear(
        &mut self,
        parts: &[(&str, usize)],
        inputs: usize,
        biased: bool,
    ) -> Result<Linear, ModelError> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for &(part, outputs) in parts {
            self.weights
                .take(&format!("{part}.weight"), &[outputs, inputs], &mut weight)?;
            if biased {
                self.weights
                    .take(&format!("{part}.bias"), &[outputs], &mut bias)?;
            }
        }
        let outputs = parts.iter().map(|(_, outputs)| outputs).sum();
        if let Some(Packing { format, arena }) = &mut self.packing {
            let mut stored = Vec::with_capacity(outputs * inputs / BLOCK * format.stored_bytes());
            for row in weight.chunks_exact(inputs) {
                Packed::rounded(*format, row, &mut stored);
            }
            // The room was counted from the same configuration.
            let packed = Packed::stored(arena, *format, &stored, outputs, inputs);
            let packed = packed.ok_or_else(|| ModelError::Precision {
                path: self.origin.path(""),
                inputs,
            })?;
            return Ok(Linear::packed(packed, biased.then_some(bias)));
        }
        Linear::new(weight, biased.then_some(bias), outputs, inputs).map_err(|source| {
            ModelError::Tensor {
                path: self.origin.path(""),
                source,
            }
        })
    }

    fn layer(&mut self, config: &ModelConfig, index: usize) -> Result<Layer, ModelError> {
        let name = |part: &str| format!("model.layers.{index}.{part}");
        let (hidden, inter) = (config.hidden, config.intermediate);
        let (q, kv) = (
            config.heads * config.head_dim,
            config.kv_heads * config.head_dim,
        );
        let [q_proj, k_proj, v_proj] =
            ["q", "k", "v"].map(|p| name(&format!("self_attn.{p}_proj")));
        let [gate, up, down] = ["gate", "up", "down"].map(|p| name(&format!("mlp.{p}_proj")));
        let head_norms = (config.family == Family::Qwen3)
            .then(|| -> Result<_, ModelError> {
                Ok(HeadNorms {
                    query: self.vector(&name("self_attn.q_norm.weight"), config.head_dim)?,
                    key: self.vector(&name("self_attn.k_norm.weight"), config.head_dim)?,
                })
            })
            .transpose()?;
        Ok(Layer {
            attention_norm: self.vector(&name("input_layernorm.weight"), hidden)?,
            qkv: self.linear(
                &[(&q_proj, q), (&k_proj, kv), (&v_proj, kv)],
                hidden,
                config.qkv_bias,
            )?,
            head_norms,
            output: self.linear(
                &[(&name("self_attn.o_proj"), hidden)],
                q,
                config.output_bias,
            )?,
            mlp_norm: self.vector(&name("post_attention_layernorm.weight"), hidden)?,
            gate_up: self.linear(&[(&gate, inter), (&up, inter)], hidden, config.mlp_bias)?,
            down: self.linear(&[(&down, hidden)], inter, config.mlp_bias)?,
        })
    }
}

/// Radians per token for each pair of a head, with the scaling of the configuration applied.
fn frequencies(config: &ModelConfig) -> Vec<f32> {
    let d = config.head_dim;
    (0..d / 2)
        .map(|i| {
            let plain = f64::from(config.rope_theta).powf(-((2 * i) as f64) / d as f64);
            scaled(plain, config.rope_scaling) as f32
        })
        .collect()
}

fn scaled(frequency: f64, scaling: RopeScaling) -> f64 {
    match scaling {
        RopeScaling::Default => frequency,
        RopeScaling::Linear { factor } => frequency / f64::from(factor),
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_context_tokens,
        } => {
            let (low, high) = (f64::from(low_freq_factor), f64::from(high_freq_factor));
            let turns = original_context_tokens as f64 * frequency / std::f64::consts::TAU;
            // 0 where a wavelength is longer than the low bound, 1 where shorter than the high bound.
            let keep = ((turns - low) / (high - low)).clamp(0.0, 1.0);
            (1.0 - keep) * frequency / f64::from(factor) + keep * frequency
        }
    }
}
