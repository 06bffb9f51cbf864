//! From the keys of a GGUF file to the shape of a model.

use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::{Header, Value};
use crate::decode::config::{ModelConfig, RopeScaling};
use crate::decode::error::ModelError;

/// Keys of `config.json` that have another name here; the architecture stands before those with a dot in front.
const KEYS: [(&str, &str); 9] = [
    ("max_position_embeddings", ".context_length"),
    ("hidden_size", ".embedding_length"),
    ("num_hidden_layers", ".block_count"),
    ("intermediate_size", ".feed_forward_length"),
    ("num_attention_heads", ".attention.head_count"),
    ("num_key_value_heads", ".attention.head_count_kv"),
    ("rms_norm_eps", ".attention.layer_norm_rms_epsilon"),
    ("head_dim", ".attention.key_length"),
    ("rope_theta", ".rope.freq_base"),
];

/// The configuration of a file, with each number checked as one of `config.json` is.
pub(in crate::decode) fn configuration(
    path: &Path,
    header: &Header,
) -> Result<ModelConfig, ModelError> {
    let refused = |key: &'static str, found: String, expected: &str| ModelError::Config {
        path: path.into(),
        key,
        found,
        expected: expected.into(),
    };
    let Some(Value::Text(architecture)) = header.values.get("general.architecture") else {
        let expected = "the name of an architecture";
        return Err(refused("general.architecture", "absent".into(), expected));
    };
    let of = Keys {
        header,
        architecture,
    };
    if of.whole("split.count").is_some_and(|parts| parts > 1) {
        let expected = "1: put the parts together with `llama-gguf-split --merge`";
        let found = "more than 1".into();
        return Err(refused("split.count", found, expected));
    }
    if of.whole(".expert_count").is_some_and(|experts| experts > 0) {
        return Err(ModelError::Architecture {
            path: path.into(),
            found: format!("{architecture} with experts"),
        });
    }
    let mut map = Map::new();
    let window = of.whole(".attention.sliding_window").filter(|n| *n > 0);
    let class = match architecture.as_str() {
        "llama" if window.is_some() => "MistralForCausalLM",
        "llama" => "LlamaForCausalLM",
        "qwen2" => "Qwen2ForCausalLM",
        "qwen3" => "Qwen3ForCausalLM",
        other => {
            return Err(ModelError::Architecture {
                path: path.into(),
                found: other.into(),
            });
        }
    };
    map.insert("architectures".into(), json!([class]));
    for (theirs, ours) in KEYS {
        if let Some(value) = of.json(ours) {
            map.insert(theirs.into(), value);
        }
    }
    map.insert("sliding_window".into(), json!(window));
    let rows = header.tensor("token_embd.weight").and_then(|place| {
        let [rows, _] = place.shape.as_slice() else {
            return None;
        };
        Some(*rows)
    });
    map.insert("vocab_size".into(), json!(rows));
    let has = |name: &str| header.tensor(name).is_some();
    map.insert("tie_word_embeddings".into(), json!(!has("output.weight")));
    map.insert("attention_bias".into(), json!(has("blk.0.attn_q.bias")));
    map.insert("mlp_bias".into(), json!(has("blk.0.ffn_up.bias")));
    let token = |key: &str| of.whole(key).map(|n| json!(n));
    map.insert(
        "bos_token_id".into(),
        json!(token("tokenizer.ggml.bos_token_id")),
    );
    let ends = [
        token("tokenizer.ggml.eos_token_id"),
        token("tokenizer.ggml.eot_token_id"),
    ];
    let mut ends: Vec<Json> = ends.into_iter().flatten().collect();
    ends.dedup();
    map.insert("eos_token_id".into(), json!(ends));
    map.insert("rope_scaling".into(), of.scaling());

    let mut config =
        ModelConfig::from_keys(path, &map).map_err(|error| own_words(error, architecture))?;
    let same_width = |key: &'static str, name: &str| match of.whole(name) {
        Some(width) if usize::try_from(width).ok() != Some(config.head_dim) => {
            let expected = "the width of a head: every element of it is used and rotated";
            Err(refused(key, width.to_string(), expected))
        }
        _ => Ok(()),
    };
    same_width("rope.dimension_count", ".rope.dimension_count")?;
    same_width("attention.value_length", ".attention.value_length")?;
    of.refuse_other_scaling(path)?;
    if has(super::ROPE_DIVISORS) {
        if config.rope_scaling != RopeScaling::Default {
            let found = format!("{} beside {}", of.scaling(), super::ROPE_DIVISORS);
            let expected = "one kind of scaling: the tensor alone, or the keys alone";
            return Err(refused("rope.scaling", found, expected));
        }
        config.rope_scaling = RopeScaling::Stored;
    }
    Ok(config)
}

/// An error about a key of `config.json` as one about the file's own.
fn own_words(error: ModelError, architecture: &str) -> ModelError {
    match error {
        ModelError::Config {
            path,
            key,
            found,
            expected,
        } => {
            let ours = KEYS.iter().find(|(theirs, _)| *theirs == key);
            let key = match (ours, key) {
                (Some((_, ours)), _) => ours.trim_start_matches('.'),
                (None, "vocab_size") => "token_embd.weight",
                (None, key) => key,
            };
            ModelError::Config {
                path,
                key,
                found: format!("{found} in a model of the architecture {architecture}"),
                expected,
            }
        }
        other => other,
    }
}

struct Keys<'a> {
    header: &'a Header,
    architecture: &'a str,
}

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        if key.starts_with('.') {
            self.header
                .values
                .get(&format!("{}{key}", self.architecture))
        } else {
            self.header.values.get(key)
        }
    }

    /// What does not fit is the largest number, which every check refuses.
    fn whole(&self, key: &str) -> Option<i64> {
        match self.get(key) {
            Some(Value::Whole(n)) => Some(i64::try_from(*n).unwrap_or(i64::MAX)),
            _ => None,
        }
    }

    /// As a value of `config.json`; what no such value can be becomes text, which every check there refuses.
    fn json(&self, key: &str) -> Option<Json> {
        Some(match self.get(key)? {
            Value::Whole(n) => i64::try_from(*n).map_or_else(|_| json!(n.to_string()), Json::from),
            Value::Real(x) if x.is_finite() => json!(x),
            Value::Real(x) => json!(x.to_string()),
            Value::Flag(on) => json!(on),
            Value::Text(text) => json!(text.chars().take(60).collect::<String>()),
            _ => json!("an array"),
        })
    }

    /// Factors of YaRN and of others that are no part of the definition, whose meaning changed between versions of llama.cpp:
    /// left at the value that changes nothing, or refused.
    fn refuse_other_scaling(&self, path: &Path) -> Result<(), ModelError> {
        for (key, name, neutral) in [
            (
                "rope.scaling.attn_factor",
                ".rope.scaling.attn_factor",
                &[1.0][..],
            ),
            (
                "rope.scaling.yarn_attn_factor",
                ".rope.scaling.yarn_attn_factor",
                &[1.0],
            ),
            (
                "rope.scaling.yarn_ext_factor",
                ".rope.scaling.yarn_ext_factor",
                &[1.0, -1.0],
            ),
            (
                "rope.scaling.yarn_log_multiplier",
                ".rope.scaling.yarn_log_multiplier",
                &[0.0],
            ),
        ] {
            let Some(found) = self.json(name) else {
                continue;
            };
            if !found.as_f64().is_some_and(|x| neutral.contains(&x)) {
                return Err(ModelError::Config {
                    path: path.into(),
                    key,
                    found: found.to_string(),
                    expected: format!(
                        "absent or {}: scaling beyond its factor is not computed",
                        neutral[0]
                    ),
                });
            }
        }
        Ok(())
    }

    fn scaling(&self) -> Json {
        let kind = match self.get(".rope.scaling.type") {
            Some(Value::Text(kind)) => kind.as_str(),
            // Without a type, and in the older form, a factor is linear.
            _ => {
                let named = [".rope.scaling.factor", ".rope.scale_linear"];
                let factor = named.iter().find_map(|name| self.json(name)?.as_f64());
                return match factor {
                    Some(factor) if factor != 0.0 && factor != 1.0 => {
                        json!({"rope_type": "linear", "factor": factor})
                    }
                    _ => Json::Null,
                };
            }
        };
        if kind == "none" {
            return Json::Null;
        }
        let mut map = Map::new();
        map.insert("rope_type".into(), json!(kind));
        for (theirs, ours) in [
            ("factor", ".rope.scaling.factor"),
            (
                "original_max_position_embeddings",
                ".rope.scaling.original_context_length",
            ),
            ("beta_fast", ".rope.scaling.yarn_beta_fast"),
            ("beta_slow", ".rope.scaling.yarn_beta_slow"),
        ] {
            if let Some(value) = self.json(ours) {
                map.insert(theirs.into(), value);
            }
        }
        Json::Object(map)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Place;
    use super::*;
    use crate::decode::stored::Stored;

    /// The header of a model of four heads, with more keys and tensors.
    fn configured(keys: &[(&str, Value)], divisors: bool) -> Result<ModelConfig, ModelError> {
        let mut values = BTreeMap::new();
        values.insert("general.architecture".into(), Value::Text("llama".into()));
        for (key, n) in [
            ("llama.context_length", 512),
            ("llama.embedding_length", 64),
            ("llama.block_count", 1),
            ("llama.feed_forward_length", 128),
            ("llama.attention.head_count", 4),
        ] {
            values.insert(key.into(), Value::Whole(n));
        }
        let epsilon = "llama.attention.layer_norm_rms_epsilon";
        values.insert(epsilon.into(), Value::Real(1e-5));
        for (key, value) in keys {
            values.insert((*key).into(), value.clone());
        }
        let place = |name: &str, shape: Vec<u64>| Place {
            name: name.into(),
            shape,
            stored: Stored::F32,
            begin: 0,
            end: 0,
        };
        let mut tensors = vec![place("token_embd.weight", vec![100, 64])];
        if divisors {
            tensors.push(place(super::super::ROPE_DIVISORS, vec![8]));
        }
        configuration(Path::new("a.gguf"), &Header { values, tensors })
    }

    fn yarn() -> Vec<(&'static str, Value)> {
        vec![
            ("llama.rope.scaling.type", Value::Text("yarn".into())),
            ("llama.rope.scaling.factor", Value::Real(4.0)),
            (
                "llama.rope.scaling.original_context_length",
                Value::Whole(128),
            ),
        ]
    }

    #[test]
    fn two_kinds_of_scaling_at_once_are_refused_and_one_is_not() {
        let linear = [("llama.rope.scaling.factor", Value::Real(2.0))];
        let none = [("llama.rope.scaling.type", Value::Text("none".into()))];
        let scaling = |keys: &[_], divisors| configured(keys, divisors).map(|c| c.rope_scaling);
        assert_eq!(scaling(&none, true).expect("alone"), RopeScaling::Stored);
        assert_eq!(
            scaling(&linear, false).expect("alone"),
            RopeScaling::Linear { factor: 2.0 }
        );
        scaling(&yarn(), false).expect("alone");
        for keys in [linear.to_vec(), yarn()] {
            let said = scaling(&keys, true).expect_err("two").to_string();
            assert!(
                said.contains("rope_freqs.weight") && said.contains("rope.scaling"),
                "{said}"
            );
        }
    }

    #[test]
    fn factors_of_yarn_that_are_not_computed_are_refused_unless_they_change_nothing() {
        for (key, neutral, other) in [
            ("llama.rope.scaling.attn_factor", 1.0, 0.9),
            ("llama.rope.scaling.yarn_attn_factor", 1.0, 1.2),
            ("llama.rope.scaling.yarn_ext_factor", -1.0, 0.0),
            ("llama.rope.scaling.yarn_log_multiplier", 0.0, 0.1),
        ] {
            let with = |x: f64| {
                let mut keys = yarn();
                keys.push((key, Value::Real(x)));
                configured(&keys, false)
            };
            assert_eq!(
                with(neutral).expect(key).rope_scaling,
                configured(&yarn(), false).expect("YaRN").rope_scaling
            );
            let said = with(other).expect_err(key).to_string();
            assert!(said.contains(&key["llama.".len()..]), "{said}");
        }
    }
}
