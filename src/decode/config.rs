//! `config.json` of a Hugging Face folder: parsed, bounded, and refused by name where it asks for something else.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use super::error::ModelError;
use super::rope;
pub use super::rope::RopeScaling;

/// Architectures this decoder computes, as `config.json` names them.
pub(super) const SUPPORTED: [&str; 4] = [
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
];
/// And as GGUF names them; Mistral's is `llama` there.
pub(super) const SUPPORTED_GGUF: [&str; 3] = ["llama", "qwen2", "qwen3"];

/// Which member of the Llama family a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Family {
    /// Llama 2 and 3, `SmolLM2`, and whatever else is stored as `LlamaForCausalLM`.
    Llama,
    /// Mistral: every layer may have a sliding window.
    Mistral,
    /// Qwen2 and Qwen2.5: biases on the query, key and value projections.
    Qwen2,
    /// Qwen3: query and key are normalised per head.
    Qwen3,
}

/// Layers that look back on a few tokens only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sliding {
    /// Tokens a query sees, itself among them.
    pub tokens: usize,
    /// For each layer, whether it is one of them.
    pub layers: Vec<bool>,
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
    /// Layers with a window shorter than the context.
    pub sliding: Option<Sliding>,
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
        Self::from_keys(path, &object(path, bytes)?)
    }

    /// Takes over from `generation_config.json` which tokens end a text, if it names any: Hugging Face's `generate` goes by
    /// that file where it is there, and by `config.json` where it is not.
    ///
    /// # Errors
    /// [`ModelError::Config`] for what is no token of this model, [`ModelError::Json`].
    pub(super) fn take_ends(&mut self, path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
        let map = object(path, bytes)?;
        if let Some(ends) = Keys::of(path, &map).tokens("eos_token_id", self.vocabulary)? {
            self.eos = ends;
        }
        Ok(())
    }

    /// As [`Self::parse`], from the keys alone.
    pub(super) fn from_keys(path: &Path, map: &Map<String, Value>) -> Result<Self, ModelError> {
        Keys::of(path, map).read()
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

    /// Bytes of keys and values one token leaves behind.
    #[must_use]
    pub fn kv_bytes_per_token(&self) -> usize {
        2 * self.layers * self.kv_heads * self.head_dim * size_of::<f32>()
    }
}

/// Bounds that keep every product of dimensions far from overflow and every allocation sane.
pub(super) const HIDDEN_MAX: usize = 16_384;
pub(super) const LAYERS_MAX: usize = 256;
pub(super) const HEADS_MAX: usize = 256;
const HEAD_DIM_MAX: usize = 512;
pub(super) const INTERMEDIATE_MAX: usize = 65_536;
pub(super) const VOCABULARY_MAX: usize = 1 << 20;
pub(super) const CONTEXT_MAX: usize = 1 << 24;

/// The one object that a file is.
pub(super) fn object(path: &Path, bytes: &[u8]) -> Result<Map<String, Value>, ModelError> {
    match super::weights::parse_json(path, bytes)? {
        Value::Object(map) => Ok(map),
        _ => Err(ModelError::Json {
            path: path.into(),
            line: 1,
            column: 1,
            reason: "not an object".into(),
        }),
    }
}

/// The keys of one `config.json`.
pub(super) struct Keys<'a> {
    path: &'a Path,
    map: &'a Map<String, Value>,
}

impl<'a> Keys<'a> {
    pub(super) fn of(path: &'a Path, map: &'a Map<String, Value>) -> Self {
        Self { path, map }
    }
}

impl Keys<'_> {
    pub(super) fn wrong(
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
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn count(
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

    pub(super) fn flag(&self, key: &'static str, default: bool) -> Result<bool, ModelError> {
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

    /// A token or a list of them.
    fn tokens(&self, key: &'static str, vocabulary: usize) -> Result<Option<Vec<u32>>, ModelError> {
        let each = match self.get(key) {
            None => return Ok(None),
            Some(Value::Array(several)) => several.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        let tokens = each.iter().map(|v| self.token(key, v, vocabulary));
        tokens.collect::<Result<_, _>>().map(Some)
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
        let usual = if family == Family::Qwen3 {
            128
        } else {
            hidden / heads
        };
        let head_dim = self.count("head_dim", HEAD_DIM_MAX, Some(usual))?;
        if head_dim == 0 || !head_dim.is_multiple_of(2) {
            return Err(self.wrong("head_dim", &head_dim, "an even number"));
        }
        let vocabulary = self.count("vocab_size", VOCABULARY_MAX, None)?;
        self.refuse_what_is_not_computed()?;
        let context_tokens = self.count("max_position_embeddings", CONTEXT_MAX, Some(2048))?;
        let attention_bias = self.flag("attention_bias", false)?;
        let (rope_theta, rope_scaling) = rope::read(self, context_tokens)?;
        Ok(ModelConfig {
            family,
            hidden,
            layers,
            heads,
            kv_heads,
            head_dim,
            intermediate: self.count("intermediate_size", INTERMEDIATE_MAX, None)?,
            vocabulary,
            sliding: self.sliding(family, layers, context_tokens)?,
            context_tokens,
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
            eos: self.tokens("eos_token_id", vocabulary)?.unwrap_or_default(),
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

    fn refuse_what_is_not_computed(&self) -> Result<(), ModelError> {
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
        Ok(())
    }

    /// Which layers have a window, as Hugging Face decides it: all of Mistral's, and those of Qwen's that `layer_types` names or, without it,
    /// that come behind the first `max_window_layers`. Qwen names a window and leaves it off; Mistral without the key has one.
    fn sliding(
        &self,
        family: Family,
        layers: usize,
        context_tokens: usize,
    ) -> Result<Option<Sliding>, ModelError> {
        const KEY: &str = "sliding_window";
        const WINDOW: usize = 4096;
        let types = match self.get("layer_types") {
            None => None,
            Some(found) => Some(self.layer_types(found, layers)?),
        };
        let slides = match family {
            Family::Llama => vec![true; layers],
            Family::Mistral => match types {
                // Every layer of this family is alike.
                Some(types) if types.contains(&true) && types.contains(&false) => {
                    let expected = "the same in every layer of a Mistral model";
                    return Err(self.wrong("layer_types", &"mixed", expected));
                }
                _ => vec![true; layers],
            },
            Family::Qwen2 | Family::Qwen3 => {
                if !self.flag("use_sliding_window", false)? {
                    if types.is_some_and(|types| types.contains(&true)) {
                        let expected = "true where `layer_types` names sliding layers";
                        return Err(self.wrong("use_sliding_window", &false, expected));
                    }
                    return Ok(None);
                }
                let behind = match self.get("max_window_layers") {
                    None => 28,
                    Some(value) => value
                        .as_u64()
                        .and_then(|n| usize::try_from(n).ok())
                        .ok_or_else(|| self.wrong("max_window_layers", value, "a whole number"))?,
                };
                types.unwrap_or_else(|| (0..layers).map(|layer| layer >= behind).collect())
            }
        };
        let absent = !self.map.contains_key(KEY) && family != Family::Llama;
        if !absent && self.get(KEY).is_none() {
            return Ok(None);
        }
        let tokens = self.count(KEY, CONTEXT_MAX, Some(WINDOW))?;
        // A window as long as the context hides nothing.
        if tokens >= context_tokens || !slides.contains(&true) {
            return Ok(None);
        }
        if family == Family::Llama {
            let expected = format!("null, or at least the context of {context_tokens}");
            return Err(self.wrong(KEY, &tokens, expected));
        }
        Ok(Some(Sliding {
            tokens,
            layers: slides,
        }))
    }

    fn layer_types(&self, found: &Value, layers: usize) -> Result<Vec<bool>, ModelError> {
        const KEY: &str = "layer_types";
        let known = "\"full_attention\" or \"sliding_attention\" for every layer";
        let several = found.as_array().filter(|list| list.len() == layers);
        let several = several
            .ok_or_else(|| self.wrong(KEY, &short(found), format!("{layers} times {known}")))?;
        let each = several.iter().map(|kind| match kind.as_str() {
            Some("full_attention") => Ok(false),
            Some("sliding_attention") => Ok(true),
            _ => Err(self.wrong(KEY, &short(kind), known)),
        });
        each.collect()
    }

    fn norm_eps(&self) -> Result<f32, ModelError> {
        let default = Value::from(1e-6);
        let value = self.get("rms_norm_eps").unwrap_or(&default);
        number(value, 0.0, 1e-2)
            .ok_or_else(|| self.wrong("rms_norm_eps", value, "a number from 0 to 0.01"))
    }
}

pub(super) fn number(value: &Value, min: f64, max: f64) -> Option<f32> {
    value
        .as_f64()
        .filter(|x| (min..=max).contains(x))
        .map(|x| x as f32)
}

/// What a value looks like, short enough for a message.
fn short(value: &Value) -> String {
    let mut text: String = value.to_string().chars().take(60).collect();
    if text.len() < value.to_string().len() {
        text.push('…');
    }
    text
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
    fn the_end_of_a_text_is_what_generation_config_says_where_it_says_so() {
        let path = Path::new("generation_config.json");
        for (json, ends) in [
            (r#"{"eos_token_id":7}"#, Some(vec![7])),
            (r#"{"eos_token_id":[5,0]}"#, Some(vec![5, 0])),
            // Not named, and then not at all: as `config.json` has it.
            (r#"{"eos_token_id":null}"#, Some(vec![2, 0])),
            (r#"{"temperature":0.6}"#, Some(vec![2, 0])),
            (r#"{"eos_token_id":49152}"#, None),
            (r#"{"eos_token_id":["</s>"]}"#, None),
            ("[7]", None),
        ] {
            let mut config = parse(&smol("")).expect("a good configuration");
            let taken = config.take_ends(path, json.as_bytes());
            match ends {
                Some(ends) => assert_eq!((taken.is_ok(), config.eos), (true, ends), "{json}"),
                None => {
                    let said = taken.expect_err(json).to_string();
                    assert!(said.contains("generation_config.json"), "{said}");
                }
            }
        }
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
            (
                r#","rope_scaling":{"type":"longrope","factor":4}"#,
                "rope_type",
            ),
            (r#","rope_scaling":{"type":"yarn"}"#, "factor"),
            (
                r#","rope_scaling":{"rope_type":"dynamic","factor":0.5}"#,
                "factor",
            ),
            (r#","partial_rotary_factor":0.5"#, "partial_rotary_factor"),
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

    fn qwen(extra: &str) -> String {
        smol(extra)
            .replace("LlamaForCausalLM", "Qwen2ForCausalLM")
            .replace("\"num_hidden_layers\":30", "\"num_hidden_layers\":3")
    }

    #[test]
    fn windows_are_where_hugging_face_has_them() {
        let window = |json: &str| parse(json).expect("a good configuration").sliding;
        let layers = |json: &str| window(json).map(|sliding| (sliding.tokens, sliding.layers));
        assert_eq!(
            window(&qwen(r#","sliding_window":64"#)),
            None,
            "off unless asked for"
        );
        assert_eq!(
            window(&qwen(r#","sliding_window":64,"use_sliding_window":true"#)),
            None,
            "all layers are among the first 28"
        );
        assert_eq!(
            layers(&qwen(
                r#","sliding_window":64,"use_sliding_window":true,"max_window_layers":1"#
            )),
            Some((64, vec![false, true, true]))
        );
        assert_eq!(
            layers(&qwen(
                r#","sliding_window":64,"use_sliding_window":true,"layer_types":["sliding_attention","full_attention","sliding_attention"]"#
            )),
            Some((64, vec![true, false, true]))
        );
        let mistral = |extra: &str| smol(extra).replace("LlamaForCausalLM", "MistralForCausalLM");
        assert_eq!(
            layers(&mistral("")),
            Some((4096, vec![true; 30])),
            "the default of a configuration without the key"
        );
        assert_eq!(window(&mistral(r#","sliding_window":null"#)), None);
        assert_eq!(
            window(&mistral(r#","sliding_window":8192"#)),
            None,
            "as long as the context"
        );
        let error = parse(&qwen(r#","layer_types":["full_attention"]"#)).expect_err("one of three");
        assert!(error.to_string().contains("3 times"), "{error}");
    }

    #[test]
    fn an_unknown_architecture_is_named() {
        let error = parse(r#"{"architectures":["MambaForCausalLM"]}"#).expect_err("not supported");
        assert!(error.to_string().contains("MambaForCausalLM"), "{error}");
        assert!(error.to_string().contains("Qwen3ForCausalLM"), "{error}");
    }
}
