//! Logits against Hugging Face transformers, for every supported family. Golden values: fixtures/golden/decode/make_golden.py.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use razvilka::decode::{Family, Model};
use safetensors::SafeTensors;

/// Largest difference allowed, logits; their standard deviation is near 1.
const DIFFERENCE_MAX: f32 = 2e-5;

fn folder(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/golden/decode")
        .join(family)
}

fn golden(family: &str) -> (Vec<u32>, Vec<f32>) {
    let bytes = std::fs::read(folder(family).join("golden.safetensors")).expect("golden values");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let tokens = file
        .tensor("tokens")
        .expect("tokens")
        .data()
        .as_chunks::<8>()
        .0;
    let logits = file
        .tensor("logits")
        .expect("logits")
        .data()
        .as_chunks::<4>()
        .0;
    (
        tokens
            .iter()
            .map(|b| u32::try_from(i64::from_le_bytes(*b)).expect("a token"))
            .collect(),
        logits.iter().map(|b| f32::from_le_bytes(*b)).collect(),
    )
}

fn check(name: &str, family: Family) {
    let model = Arc::new(Model::load(folder(name)).expect("a sound folder"));
    assert_eq!(model.config().family, family);
    let (tokens, expected) = golden(name);
    let found = model.logits(&tokens).expect("logits");
    assert_eq!(found.len(), expected.len());
    let difference = found
        .iter()
        .zip(&expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    println!(
        "{name}: largest difference {difference:e} over {} logits",
        found.len()
    );
    assert!(difference <= DIFFERENCE_MAX, "{name}: {difference:e}");
}

#[test]
fn llama_in_shards_with_grouped_heads_equals_hugging_face() {
    check("llama", Family::Llama);
}

#[test]
fn llama_3_scaling_biases_and_bfloat16_equal_hugging_face() {
    check("llama3", Family::Llama);
}

#[test]
fn mistral_in_float16_with_one_key_head_equals_hugging_face() {
    check("mistral", Family::Mistral);
}

#[test]
fn qwen2_with_its_biases_equals_hugging_face() {
    check("qwen2", Family::Qwen2);
}

#[test]
fn qwen3_with_its_head_norms_equals_hugging_face() {
    check("qwen3", Family::Qwen3);
}

#[test]
fn mistral_with_a_window_of_nine_tokens_equals_hugging_face() {
    check("mistral_window", Family::Mistral);
}

#[test]
fn qwen2_with_a_window_in_its_upper_layers_equals_hugging_face() {
    check("qwen2_window", Family::Qwen2);
}

#[test]
fn yarn_equals_hugging_face() {
    check("yarn", Family::Qwen3);
}

#[test]
fn linear_scaling_equals_hugging_face() {
    check("linear", Family::Llama);
}

#[test]
fn dynamic_scaling_within_the_context_equals_hugging_face() {
    check("dynamic", Family::Llama);
}

#[test]
fn a_window_and_a_scaling_change_the_logits() {
    // Each golden value above could pass without its mechanism only if the mechanism did nothing.
    for (name, from, to) in [
        (
            "mistral_window",
            "\"sliding_window\": 9",
            "\"sliding_window\": null",
        ),
        (
            "qwen2_window",
            "\"use_sliding_window\": true",
            "\"use_sliding_window\": false",
        ),
        ("yarn", "\"factor\": 4.0", "\"factor\": 3.0"),
        ("linear", "\"factor\": 2.5", "\"factor\": 1.0"),
    ] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for file in ["config.json", "tokenizer.json", "model.safetensors"] {
            let mut bytes = std::fs::read(folder(name).join(file)).expect("the file");
            if file == "config.json" {
                let text = String::from_utf8(bytes).expect("text");
                assert!(text.contains(from), "{name}: {text}");
                let text = text
                    .replace(from, to)
                    .replace("sliding_attention", "full_attention");
                bytes = text.into_bytes();
            }
            std::fs::write(dir.path().join(file), bytes).expect("written");
        }
        let model = Arc::new(Model::load(dir.path()).expect("a sound folder"));
        let (tokens, expected) = golden(name);
        let found = model.logits(&tokens).expect("logits");
        let difference = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        assert!(difference.fold(0.0, f32::max) > 0.01, "{name}");
    }
}

#[test]
fn the_card_counts_what_is_in_the_files() {
    for (name, parameters) in [
        ("llama", 87_120),
        ("llama3", 34_048),
        ("mistral", 53_320),
        ("qwen2", 49_584),
        ("qwen3", 36_064),
    ] {
        let card = Model::load(folder(name)).expect("a sound folder").card();
        assert_eq!(card.parameters, parameters, "{name}");
        for file in &card.files {
            let bytes = std::fs::read(folder(name).join(&file.name)).expect("the file");
            assert_eq!(file.bytes, bytes.len() as u64);
            assert_eq!(file.sha256.len(), 64);
        }
    }
}
