//! `config.json` of a Hugging Face folder: parsed, bounded, and refused by name where it asks for something else.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use super::error::ModelError;

/// Architectures this decoder computes, as `config.json` names them.
pub(super) const SUPPORTED: [&str; 4] = [
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
];

/// Which member of the Llama family a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Family {
    /// Llama 2 and 3, `SmolLM2`, and whatever else is stored as `LlamaForCausalLM`.
    Llama,
    /// Mistral without a sliding window.
    Mistral,
    /// Qwen2 and Qwen2.5: biases on the query, key and value projections.
    Qwen2,
    /// Qwen3: query and key are normalised per head.
    Qwen3,
}

/// How the frequencies of the rotary position embedding are spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RopeScaling {
    /// Plain: `theta^(-2i/d)`.
    Default,
    /// Frequencies divided by a factor.
    Linear {
        /// The factor, > 0.
        factor: f32,
    },
    /// Llama 3.1: long wavelengths divided by the factor, short ones kept, a smooth passage between.
    Llama3 {
        /// The factor, > 0.
        factor: f32,
        /// Wavelengths above `original_context / low` are divided.
        low_freq_factor: f32,
        /// Wavelengths below `original_context / high` are kept.
        high_freq_factor: f32,
        /// Context the model was first trained with, tokens.
        original_context_tokens: usize,
    },
}

/// The shape of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelConfig {
    /// Member of the family.
    pub family: Family,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Number of layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// Width inside the feed-forward block.
    pub intermediate: usize,
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// Longest context, tokens.
    pub context_tokens: usize,
    /// Added under the root of every norm.
    pub norm_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// Spread of the rotary frequencies.
    pub rope_scaling: RopeScaling,
    /// Whether the output matrix is the embedding.
    pub tied: bool,
    /// Whether query, key and value projections have biases.
    pub qkv_bias: bool,
    /// Whether the attention's output projection has a bias.
    pub output_bias: bool,
    /// Whether the feed-forward projections have biases.
    pub mlp_bias: bool,
    /// Token that begins a text, where the model names one.
    pub bos: Option<u32>,
    /// Tokens that end a text.
    pub eos: Vec<u32>,
}

impl ModelConfig {
    /// Parses the bytes of a `config.json`; `path` is for messages.
    ///
    /// # Errors
    /// [`ModelError::Json`], [`ModelError::Architecture`] or [`ModelError::Config`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ModelError> {
        let root: Value = super::weights::parse_json(path, bytes)?;
        let Value::Object(map) = root else {
            return Err(ModelError::Json {
                path: path.into(),
                line: 1,
                column: 1,
                reason: "not an object".into(),
            });
        };
        Keys { path, map: &map }.read()
    }

    /// Floats in the matrices and norms.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let (h, q, kv, inter) = (
            self.hidden,
            self.heads * self.head_dim,
            self.kv_heads * self.head_dim,
            self.intermediate,
        );
        let bias = |on: bool, n: usize| if on { n } else { 0 };
        let layer = 2 * h
            + h * (q + 2 * kv)
            + bias(self.qkv_bias, q + 2 * kv)
            + q * h
            + bias(self.output_bias, h)
            + 3 * h * inter
            + bias(self.mlp_bias, 2 * inter + h)
            + bias(self.family == Family::Qwen3, 2 * self.head_dim);
        let tables = if self.tied { 1 } else { 2 };
        self.layers * layer + h + tables * self.vocabulary * h
    }

    /// Outputs and inputs of every big matrix that is held: fused ones are one, a tied output matrix is none.
    pub(super) fn matrices(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let layer = [
            (q + 2 * kv, self.hidden),
            (self.hidden, q),
            (2 * self.intermediate, self.hidden),
            (self.hidden, self.intermediate),
        ];
        let tables = if self.tied { 1 } else { 2 };
        let layers = (0..self.layers).flat_map(move |_| layer);
        layers.chain((0..tables).map(|_| (self.vocabulary, self.hidden)))
    }

    /// Bytes of keys and values one token leaves behind.
    #[must_use]
    pub fn kv_bytes_per_token(&self) -> usize {
        2 * self.layers * self.kv_heads * self.head_dim * size_of::<f32>()
    }
}

/// Bounds that keep every product of dimensions far from overflow and every allocation sane.
const HIDDEN_MAX: usize = 16_384;
const LAYERS_MAX: usize = 256;
const HEADS_MAX: usize = 256;
const HEAD_DIM_MAX: usize = 512;
const INTERMEDIATE_MAX: usize = 65_536;
const VOCABULARY_MAX: usize = 1 << 20;
const CONTEXT_MAX: usize = 1 << 24;

struct Keys<'a> {
    path: &'a Path,
    map: &'a Map<String, Value>,
}

impl Keys<'_> {
    fn wrong(
        &self,
        key: &'static str,
        found: &impl ToString,
        expected: impl Into<String>,
    ) -> ModelError {
        ModelError::Config {
            path: self.path.into(),
            key,
            found: found.to_string(),
            expected: expected.into(),
        }
    }

    /// Absent and `null` are the same thing in these files.
    fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn count(
        &self,
        key: &'static str,
        max: usize,
        default: Option<usize>,
    ) -> Result<usize, ModelError> {
        let expected = || format!("a whole number from 1 to {max}");
        match (self.get(key), default) {
            (None, Some(default)) => Ok(default),
            (None, None) => Err(self.wrong(key, &"absent", expected())),
            (Some(value), _) => value
                .as_u64()
                .and_then(|n| usize::try_from(n).ok())
                .filter(|n| (1..=max).contains(n))
                .ok_or_else(|| self.wrong(key, value, expected())),
        }
    }

    fn flag(&self, key: &'static str, default: bool) -> Result<bool, ModelError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| self.wrong(key, value, "true or false")),
        }
    }

    fn token(
        &self,
        key: &'static str,
        value: &Value,
        vocabulary: usize,
    ) -> Result<u32, ModelError> {
        value
            .as_u64()
            .filter(|&n| n < vocabulary as u64)
            .and_then(|n| u32::try_from(n).ok())
            .ok_or_else(|| self.wrong(key, value, format!("a token below {vocabulary}")))
    }

    fn read(&self) -> Result<ModelConfig, ModelError> {
        let family = self.family()?;
        let hidden = self.count("hidden_size", HIDDEN_MAX, None)?;
        let layers = self.count("num_hidden_layers", LAYERS_MAX, None)?;
        let heads = self.count("num_attention_heads", HEADS_MAX, None)?;
        let kv_heads = self.count("num_key_value_heads", HEADS_MAX, Some(heads))?;
        if !heads.is_multiple_of(kv_heads) {
            return Err(self.wrong(
                "num_key_value_heads",
                &kv_heads,
                format!("a divisor of {heads} heads"),
            ));
        }
        let head_dim = self.count("head_dim", HEAD_DIM_MAX, Some(hidden / heads))?;
        if head_dim == 0 || !head_dim.is_multiple_of(2) {
            return Err(self.wrong("head_dim", &head_dim, "an even number"));
        }
        let vocabulary = self.count("vocab_size", VOCABULARY_MAX, None)?;
        self.refuse_what_is_not_computed(family)?;
        let attention_bias = self.flag("attention_bias", false)?;
        let (rope_theta, rope_scaling) = self.rope()?;
        Ok(ModelConfig {
            family,
            hidden,
            layers,
            heads,
            kv_heads,
            head_dim,
            intermediate: self.count("intermediate_size", INTERMEDIATE_MAX, None)?,
            vocabulary,
            context_tokens: self.count("max_position_embeddings", CONTEXT_MAX, Some(2048))?,
            norm_eps: self.norm_eps()?,
            rope_theta,
            rope_scaling,
            tied: self.flag("tie_word_embeddings", false)?,
            qkv_bias: family == Family::Qwen2 || (family != Family::Mistral && attention_bias),
            output_bias: matches!(family, Family::Llama | Family::Qwen3) && attention_bias,
            mlp_bias: family == Family::Llama && self.flag("mlp_bias", false)?,
            bos: self
                .get("bos_token_id")
                .map(|v| self.token("bos_token_id", v, vocabulary))
                .transpose()?,
            eos: match self.get("eos_token_id") {
                None => Vec::new(),
                Some(Value::Array(several)) => several
                    .iter()
                    .map(|v| self.token("eos_token_id", v, vocabulary))
                    .collect::<Result<_, _>>()?,
                Some(one) => vec![self.token("eos_token_id", one, vocabulary)?],
            },
        })
    }

    fn family(&self) -> Result<Family, ModelError> {
        let named = self
            .get("architectures")
            .and_then(|list| list.get(0))
            .and_then(Value::as_str);
        let family = |name: &str| match name {
            "LlamaForCausalLM" | "llama" => Ok(Family::Llama),
            "MistralForCausalLM" | "mistral" => Ok(Family::Mistral),
            "Qwen2ForCausalLM" | "qwen2" => Ok(Family::Qwen2),
            "Qwen3ForCausalLM" | "qwen3" => Ok(Family::Qwen3),
            other => Err(ModelError::Architecture {
                path: self.path.into(),
                found: other.into(),
            }),
        };
        let kind = self.get("model_type").map(|kind| {
            kind.as_str()
                .ok_or_else(|| self.wrong("model_type", kind, "the name of a family of models"))
        });
        match (named, kind.transpose()?) {
            (None, None) => family("not named"),
            (Some(name), None) | (None, Some(name)) => family(name),
            // Two names of one thing: a file in which they differ was put together from two models.
            (Some(named), Some(kind)) => {
                let (by_name, by_kind) = (family(named)?, family(kind)?);
                if by_name == by_kind {
                    Ok(by_name)
                } else {
                    Err(self.wrong(
                        "model_type",
                        &kind,
                        format!("the family of the architecture, {named}"),
                    ))
                }
            }
        }
    }

    fn refuse_what_is_not_computed(&self, family: Family) -> Result<(), ModelError> {
        if let Some(act) = self
            .get("hidden_act")
            .filter(|act| act.as_str() != Some("silu"))
        {
            return Err(self.wrong("hidden_act", act, "\"silu\""));
        }
        if let Some(quantized) = self.get("quantization_config") {
            return Err(self.wrong(
                "quantization_config",
                quantized,
                "absent: weights as F32, F16 or BF16",
            ));
        }
        let context = self.count("max_position_embeddings", CONTEXT_MAX, Some(2048))?;
        // A window at least as long as the context hides nothing. Qwen names a window and leaves it off.
        let used = self.flag(
            "use_sliding_window",
            !matches!(family, Family::Qwen2 | Family::Qwen3),
        )?;
        if let Some(window) = self.get("sliding_window")
            && used
            && window.as_u64().is_none_or(|w| w < context as u64)
        {
            return Err(self.wrong(
                "sliding_window",
                window,
                format!("null, or at least the context of {context}"),
            ));
        }
        if let Some(Value::Array(types)) = self.get("layer_types")
            && let Some(other) = types.iter().find(|t| t.as_str() != Some("full_attention"))
        {
            return Err(self.wrong("layer_types", other, "\"full_attention\" in every layer"));
        }
        Ok(())
    }

    fn norm_eps(&self) -> Result<f32, ModelError> {
        let default = Value::from(1e-6);
        let value = self.get("rms_norm_eps").unwrap_or(&default);
        number(value, 0.0, 1e-2)
            .ok_or_else(|| self.wrong("rms_norm_eps", value, "a number from 0 to 0.01"))
    }

    /// Transformers 5 writes `rope_parameters`; before, `rope_theta` and `rope_scaling` stood side by side.
    fn rope(&self) -> Result<(f32, RopeScaling), ModelError> {
        let new = self.get("rope_parameters").and_then(Value::as_object);
        let old = self.get("rope_scaling").and_then(Value::as_object);
        let default = Value::from(10_000.0);
        let theta = new
            .and_then(|map| map.get("rope_theta"))
            .or_else(|| self.get("rope_theta"))
            .unwrap_or(&default);
        let theta_value = number(theta, 1.0, 1e12)
            .ok_or_else(|| self.wrong("rope_theta", theta, "a number from 1"))?;
        let Some(map) = new.or(old) else {
            return Ok((theta_value, RopeScaling::Default));
        };
        let kind = map
            .get("rope_type")
            .or_else(|| map.get("type"))
            .and_then(Value::as_str)
            .unwrap_or("default");
        let part = |key: &'static str, min: f64, max: f64| {
            let found = map.get(key).unwrap_or(&Value::Null);
            number(found, min, max)
                .ok_or_else(|| self.wrong(key, found, format!("a number from {min} to {max}")))
        };
        let scaling = match kind {
            "default" => RopeScaling::Default,
            "linear" => RopeScaling::Linear {
                factor: part("factor", 1.0, 1e4)?,
            },
            "llama3" => {
                let low_freq_factor = part("low_freq_factor", 1e-3, 1e4)?;
                let high_freq_factor = part("high_freq_factor", 1e-3, 1e4)?;
                if high_freq_factor <= low_freq_factor {
                    return Err(self.wrong(
                        "high_freq_factor",
                        &high_freq_factor,
                        "more than `low_freq_factor`",
                    ));
                }
                RopeScaling::Llama3 {
                    factor: part("factor", 1.0, 1e4)?,
                    low_freq_factor,
                    high_freq_factor,
                    original_context_tokens: part(
                        "original_max_position_embeddings",
                        1.0,
                        CONTEXT_MAX as f64,
                    )? as usize,
                }
            }
            other => return Err(self.wrong("rope_type", &other, "default, linear or llama3")),
        };
        // Only part of each head rotated: another architecture in all but name.
        if let Some(partial) = map
            .get("partial_rotary_factor")
            .filter(|v| v.as_f64() != Some(1.0) && !v.is_null())
        {
            return Err(self.wrong("partial_rotary_factor", partial, "1"));
        }
        Ok((theta_value, scaling))
    }
}

fn number(value: &Value, min: f64, max: f64) -> Option<f32> {
    value
        .as_f64()
        .filter(|x| (min..=max).contains(x))
        .map(|x| x as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<ModelConfig, ModelError> {
        ModelConfig::parse(Path::new("config.json"), json.as_bytes())
    }

    fn smol(extra: &str) -> String {
        format!(
            r#"{{"architectures":["LlamaForCausalLM"],"hidden_size":576,"num_hidden_layers":30,"num_attention_heads":9,
            "num_key_value_heads":3,"intermediate_size":1536,"vocab_size":49152,"max_position_embeddings":8192,
            "rms_norm_eps":1e-5,"rope_theta":100000,"tie_word_embeddings":true,"bos_token_id":1,"eos_token_id":[2,0]{extra}}}"#
        )
    }

    #[test]
    fn smollm2_has_the_parameters_its_card_says() {
        let config = parse(&smol("")).expect("a good configuration");
        assert_eq!(config.parameters(), 134_515_008);
        assert_eq!(config.head_dim, 64);
        assert_eq!(config.eos, [2, 0]);
        assert_eq!(config.rope_scaling, RopeScaling::Default);
    }

    #[test]
    fn what_cannot_be_computed_is_refused_by_its_key() {
        let cases = [
            (r#","hidden_act":"gelu""#, "hidden_act"),
            (r#","sliding_window":4096"#, "sliding_window"),
            (r#","rope_scaling":{"type":"yarn","factor":4}"#, "rope_type"),
            (
                r#","rope_parameters":{"rope_type":"default","partial_rotary_factor":0.5}"#,
                "partial_rotary_factor",
            ),
            (
                r#","quantization_config":{"bits":4}"#,
                "quantization_config",
            ),
            (r#","layer_types":["sliding_attention"]"#, "layer_types"),
            (r#","head_dim":63"#, "head_dim"),
            (r#","num_key_value_heads":4"#, "num_key_value_heads"),
            (r#","hidden_size":99999999999"#, "hidden_size"),
            (r#","hidden_size":-1"#, "hidden_size"),
            (r#","eos_token_id":49152"#, "eos_token_id"),
        ];
        for (extra, wanted) in cases {
            match parse(&smol(extra)) {
                Err(ModelError::Config { key, .. }) => assert_eq!(key, wanted, "{extra}"),
                other => panic!("{extra}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_unknown_architecture_is_named() {
        let error = parse(r#"{"architectures":["MambaForCausalLM"]}"#).expect_err("not supported");
        assert!(error.to_string().contains("MambaForCausalLM"), "{error}");
        assert!(error.to_string().contains("Qwen3ForCausalLM"), "{error}");
    }
}
