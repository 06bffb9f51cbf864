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
