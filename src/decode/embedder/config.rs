//! The shape of an encoder: `config.json` of the BERT family, parsed, bounded, and refused by name where it asks for something else.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::decode::config::{
    HEADS_MAX, HIDDEN_MAX, INTERMEDIATE_MAX, Keys, LAYERS_MAX, VOCABULARY_MAX, number,
};
use crate::decode::error::ModelError;

/// Most tokens of one text.
const TOKENS_MAX: usize = 8192;

/// How positions are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Positions {
    /// From 0 (BERT).
    FromZero,
    /// From the number behind the padding token's; that token stands at its own (RoBERTa, XLM-R).
    BehindPadding(u32),
}

/// The shape of an encoder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EncoderConfig {
    /// Width of a token's state, and of the embedding.
    pub hidden: usize,
    /// Number of layers.
    pub layers: usize,
    /// Heads; divides `hidden`.
    pub heads: usize,
    /// Width inside the feed-forward block.
    pub intermediate: usize,
    /// Rows of the table of tokens.
    pub vocabulary: usize,
    /// Rows of the table of positions.
    pub positions: usize,
    /// Rows of the table of segments; the first is used.
    pub segments: usize,
    /// How positions are numbered.
    pub numbering: Positions,
    /// Added under the root of every norm.
    pub norm_eps: f32,
}

impl EncoderConfig {
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ModelError> {
        let map: Map<String, Value> = crate::decode::weights::parse_json(path, bytes)?;
        let keys = Keys::of(path, &map);
        let numbering = numbering(&keys)?;
        let hidden = keys.count("hidden_size", HIDDEN_MAX, None)?;
        let heads = keys.count("num_attention_heads", HEADS_MAX, None)?;
        if !hidden.is_multiple_of(heads) {
            let expected = format!("a divisor of hidden_size, {hidden}");
            return Err(keys.wrong("num_attention_heads", &heads, expected));
        }
        refuse_what_is_not_computed(&keys)?;
        let default = Value::from(1e-12);
        let eps = keys.get("layer_norm_eps").unwrap_or(&default);
        let config = Self {
            hidden,
            layers: keys.count("num_hidden_layers", LAYERS_MAX, None)?,
            heads,
            intermediate: keys.count("intermediate_size", INTERMEDIATE_MAX, None)?,
            vocabulary: keys.count("vocab_size", VOCABULARY_MAX, None)?,
            positions: keys.count("max_position_embeddings", TOKENS_MAX + 2, Some(512))?,
            segments: keys.count("type_vocab_size", 16, Some(2))?,
            numbering,
            norm_eps: number(eps, 0.0, 1e-2)
                .ok_or_else(|| keys.wrong("layer_norm_eps", eps, "a number from 0 to 0.01"))?,
        };
        // A beginning, a token, an end.
        if config.tokens_max() < 3 {
            let expected = "room for three tokens behind the padding token's place";
            return Err(keys.wrong("max_position_embeddings", &config.positions, expected));
        }
        Ok(config)
    }

    /// Most tokens of one text, those around it included.
    #[must_use]
    pub fn tokens_max(&self) -> usize {
        match self.numbering {
            Positions::FromZero => self.positions,
            Positions::BehindPadding(padding) => {
                self.positions.saturating_sub(padding as usize + 1)
            }
        }
    }

    /// Floats in the tables, matrices, biases and norms.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.tensors("")
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum()
    }

    /// Every tensor that is computed with, by the names of Hugging Face behind `prefix`, and its shape.
    pub(super) fn tensors<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (String, Vec<usize>)> + 'a {
        let (hidden, inter) = (self.hidden, self.intermediate);
        let tables = [
            ("word_embeddings.weight", vec![self.vocabulary, hidden]),
            ("position_embeddings.weight", vec![self.positions, hidden]),
            ("token_type_embeddings.weight", vec![self.segments, hidden]),
            ("LayerNorm.weight", vec![hidden]),
            ("LayerNorm.bias", vec![hidden]),
        ];
        let tables = tables.map(|(name, shape)| (format!("{prefix}embeddings.{name}"), shape));
        let layers = (0..self.layers).flat_map(move |layer| {
            let name = move |part: &str| format!("{prefix}encoder.layer.{layer}.{part}");
            let matrices = [
                ("attention.self.query", hidden, hidden),
                ("attention.self.key", hidden, hidden),
                ("attention.self.value", hidden, hidden),
                ("attention.output.dense", hidden, hidden),
                ("intermediate.dense", inter, hidden),
                ("output.dense", hidden, inter),
            ];
            let matrices = matrices
                .into_iter()
                .flat_map(move |(part, outputs, inputs)| {
                    let weight = (name(&format!("{part}.weight")), vec![outputs, inputs]);
                    [weight, (name(&format!("{part}.bias")), vec![outputs])]
                });
            let norms = ["attention.output.LayerNorm", "output.LayerNorm"];
            let norms = norms.into_iter().flat_map(move |part| {
                ["weight", "bias"].map(|side| (name(&format!("{part}.{side}")), vec![hidden]))
            });
            matrices.chain(norms)
        });
        tables.into_iter().chain(layers)
    }
}

/// The family, by both of its names, and what follows from it.
fn numbering(keys: &Keys<'_>) -> Result<Positions, ModelError> {
    const EXPECTED: &str = "an encoder of the BERT family: BertModel, RobertaModel, XLMRobertaModel, or one of them ForMaskedLM or ForPreTraining";
    const TRUNKS: [&str; 3] = ["Model", "ForMaskedLM", "ForPreTraining"];
    let family = |kind: &str| match kind {
        "bert" => Some(false),
        "roberta" | "xlm-roberta" => Some(true),
        _ => None,
    };
    let named = keys
        .get("architectures")
        .and_then(|list| list.get(0))
        .and_then(Value::as_str);
    let by_name = named.map(|name| {
        let known = [("XLMRoberta", true), ("Roberta", true), ("Bert", false)];
        let mut known = known
            .into_iter()
            .filter_map(|(stem, behind)| Some((name.strip_prefix(stem)?, behind)));
        known
            .find(|(rest, _)| TRUNKS.contains(rest))
            .map(|(_, behind)| behind)
    });
    let kind = keys.get("model_type");
    let by_kind = kind.map(|kind| kind.as_str().and_then(family));
    let behind = match (by_name, by_kind) {
        (None, None) => return Err(keys.wrong("architectures", &"absent", EXPECTED)),
        (Some(None), _) => {
            return Err(keys.wrong("architectures", &named.unwrap_or_default(), EXPECTED));
        }
        (_, Some(None)) => {
            return Err(keys.wrong(
                "model_type",
                &kind.map_or_else(String::new, Value::to_string),
                "bert, roberta or xlm-roberta",
            ));
        }
        (Some(Some(a)), Some(Some(b))) if a != b => {
            let expected = format!(
                "the family of the architecture, {}",
                named.unwrap_or_default()
            );
            return Err(keys.wrong(
                "model_type",
                &kind.map_or_else(String::new, Value::to_string),
                expected,
            ));
        }
        (Some(Some(behind)), _) | (None, Some(Some(behind))) => behind,
    };
    if !behind {
        return Ok(Positions::FromZero);
    }
    let padding = keys.get("pad_token_id").map_or(Some(1), Value::as_u64);
    let padding = padding
        .and_then(|token| u32::try_from(token).ok())
        .filter(|token| (*token as usize) < TOKENS_MAX);
    padding.map(Positions::BehindPadding).ok_or_else(|| {
        let found = keys
            .get("pad_token_id")
            .map_or_else(String::new, Value::to_string);
        keys.wrong(
            "pad_token_id",
            &found,
            format!("a token below {TOKENS_MAX}, behind which positions begin"),
        )
    })
}

fn refuse_what_is_not_computed(keys: &Keys<'_>) -> Result<(), ModelError> {
    for (key, wanted) in [
        ("hidden_act", "gelu"),
        ("position_embedding_type", "absolute"),
    ] {
        if let Some(found) = keys.get(key).filter(|found| found.as_str() != Some(wanted)) {
            return Err(keys.wrong(key, found, format!("\"{wanted}\"")));
        }
    }
    for key in ["is_decoder", "add_cross_attention"] {
        if keys.flag(key, false)? {
            return Err(keys.wrong(key, &true, "false: an encoder reads a whole text at once"));
        }
    }
    match keys.get("quantization_config") {
        Some(found) => Err(keys.wrong(
            "quantization_config",
            found,
            "absent: weights as F32, F16 or BF16",
        )),
        None => Ok(()),
    }
}
