//! GGUF files: logits against Hugging Face transformers on the weights llama.cpp's own package dequantises, tokens against the libraries the vocabularies
//! come from. Golden values: fixtures/golden/decode/make_gguf.py.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use razvilka::decode::{Family, Model, ModelError, Precision};
use safetensors::SafeTensors;

/// Largest difference allowed, logits; their standard deviation is near 1.
const DIFFERENCE_MAX: f32 = 2e-5;
/// Largest divergence allowed of what is held in eight bits from the same weights as floats, nats, mean over the text.
const DIVERGENCE_MAX: f64 = 2e-3;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/golden/decode/gguf")
        .join(name)
}

fn golden(name: &str) -> (Vec<u32>, Vec<f32>) {
    let bytes = std::fs::read(file(&format!("{name}.golden.safetensors"))).expect("golden values");
    let found = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let tokens = found.tensor("tokens").expect("tokens");
    let logits = found.tensor("logits").expect("logits");
    let token = |b: &[u8; 8]| u32::try_from(i64::from_le_bytes(*b)).expect("a token");
    (
        tokens.data().as_chunks().0.iter().map(token).collect(),
        logits
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect(),
    )
}

fn load(name: &str, precision: Precision) -> Arc<Model> {
    let path = file(&format!("{name}.gguf"));
    Arc::new(Model::load_as(path, precision).expect("a sound file"))
}

/// Mean Kullback-Leibler divergence of the predictions of all places, nats.
fn divergence(of: &[f32], from: &[f32], vocabulary: usize) -> f64 {
    let chances = |logits: &[f32]| -> Vec<f64> {
        let most = logits.iter().copied().fold(f32::MIN, f32::max);
        let each: Vec<f64> = logits.iter().map(|x| f64::from(x - most).exp()).collect();
        let sum: f64 = each.iter().sum();
        each.into_iter().map(|x| x / sum).collect()
    };
    let places = of.chunks(vocabulary).zip(from.chunks(vocabulary));
    let each: Vec<f64> = places
        .map(|(p, q)| {
            let (p, q) = (chances(p), chances(q));
            p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum()
        })
        .collect();
    each.iter().sum::<f64>() / each.len() as f64
}

fn check(name: &str, family: Family, stored: Precision) {
    let (tokens, expected) = golden(name);
    let floats = load(name, Precision::F32);
    assert_eq!(floats.config().family, family);
    let found = floats.logits(&tokens).expect("logits");
    assert_eq!(found.len(), expected.len());
    let differences = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
    let difference = differences.fold(0.0, f32::max);
    let held = load(name, Precision::Stored);
    assert_eq!(held.card().precision, stored, "{name}");
    let rounded = held.logits(&tokens).expect("logits");
    let divergence = divergence(&expected, &rounded, floats.config().vocabulary);
    println!("{name}: largest difference {difference:e}, divergence as stored {divergence:e}");
    assert!(difference <= DIFFERENCE_MAX, "{name}: {difference:e}");
    assert!(divergence <= DIVERGENCE_MAX, "{name}: {divergence:e}");
}

#[test]
fn llama_in_eight_bits_with_stored_divisors_equals_hugging_face() {
    check("llama-q8_0", Family::Llama, Precision::Q8);
}

#[test]
fn qwen2_in_four_bits_with_biases_equals_hugging_face() {
    check("qwen2-q4_0", Family::Qwen2, Precision::Stored);
}

#[test]
fn qwen3_in_floats_of_three_widths_equals_hugging_face() {
    check("qwen3-f16", Family::Qwen3, Precision::F32);
}

#[test]
fn llama_in_super_blocks_with_biases_equals_hugging_face() {
    check("llama-q4_k", Family::Llama, Precision::Q8);
}

#[test]
fn mistral_with_a_window_and_sentence_pieces_equals_hugging_face() {
    check("mistral-f32", Family::Mistral, Precision::F32);
}

#[test]
fn every_vocabulary_gives_the_tokens_of_the_library_it_came_from() {
    #[derive(serde::Deserialize)]
    struct Encoding {
        text: String,
        ids: Vec<u32>,
    }
    let bytes = std::fs::read(file("encodings.json")).expect("golden encodings");
    let all: std::collections::BTreeMap<String, Vec<Encoding>> =
        serde_json::from_slice(&bytes).expect("encodings");
    assert_eq!(all.len(), 5);
    for (name, encodings) in all {
        let model = load(&name, Precision::Stored);
        for Encoding { text, ids } in encodings {
            let found = model.tokens().encode(&text).expect("tokens");
            assert_eq!(found, ids, "{name}: {text:?}");
            let back = model.tokens().decode(&ids).expect("text");
            assert_eq!(back, text, "{name}");
        }
    }
}

/// A copy of a sound file, changed.
fn changed(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Result<Model, ModelError> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut bytes = std::fs::read(file(&format!("{name}.gguf"))).expect("the file");
    change(&mut bytes);
    let path = dir.path().join("m.gguf");
    std::fs::write(&path, bytes).expect("written");
    let verified = Model::verify(&path);
    let loaded = Model::load(&path);
    assert_eq!(
        verified.is_ok(),
        loaded.is_ok(),
        "{:?} {:?}",
        verified.err(),
        loaded.err()
    );
    loaded
}

/// Replaces the first text by another of the same length.
fn put(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let at = bytes
        .windows(from.len())
        .position(|w| w == from.as_bytes())
        .expect("the text");
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
}

#[test]
fn what_is_not_computed_is_refused_by_name() {
    let error = changed("qwen3-f16", |bytes| put(bytes, "qwen3", "mamba")).expect_err("refused");
    assert!(matches!(error, ModelError::Architecture { .. }), "{error}");
    let said = error.to_string();
    assert!(said.contains("mamba") && said.contains("qwen2"), "{said}");

    let error = changed("qwen3-f16", |bytes| put(bytes, "gpt-2", "gpt-9")).expect_err("refused");
    assert!(error.to_string().contains("qwen2, llama-bpe"), "{error}");

    let error = changed("qwen3-f16", |bytes| {
        put(bytes, "blk.0.attn_q_norm", "blk.0.attn_x_norm");
    })
    .expect_err("refused");
    assert!(
        matches!(&error, ModelError::TensorMissing { tensor, .. } if tensor == "blk.0.attn_q_norm.weight"),
        "{error}"
    );

    let error = changed("qwen2-q4_0", |bytes| {
        put(bytes, "attn_q.bias", "attn_z.bias");
    });
    let error = error.expect_err("a bias is missing");
    assert!(
        matches!(&error, ModelError::TensorMissing { .. }),
        "{error}"
    );

    let error = changed("qwen3-f16", |bytes| {
        put(bytes, "embedding_length", "embedding_lexgth");
    })
    .expect_err("refused");
    assert!(error.to_string().contains("embedding_length"), "{error}");
}

#[test]
fn a_scale_that_is_not_a_number_is_found_with_its_byte() {
    let error = changed("llama-q8_0", |bytes| {
        let len = bytes.len();
        // The last tensor is rope_freqs.weight; before it lie blocks.
        for at in (0..40).map(|i| len - 4000 - i) {
            bytes[at] = 0xFF;
        }
    })
    .expect_err("refused");
    assert!(
        matches!(&error, ModelError::NonFinite { offset, .. } if *offset > 0),
        "{error}"
    );
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    let len = std::fs::metadata(file("mistral-f32.gguf"))
        .expect("the file")
        .len() as usize;
    for cut in (0..len).step_by(len / 40).chain([len - 1]) {
        let error = changed("mistral-f32", |bytes| bytes.truncate(cut)).expect_err("refused");
        assert!(matches!(&error, ModelError::Gguf { .. }), "{cut}: {error}");
    }
}

#[test]
fn verifying_says_what_loading_says() {
    for name in [
        "llama-q8_0",
        "qwen2-q4_0",
        "qwen3-f16",
        "llama-q4_k",
        "mistral-f32",
    ] {
        let card = Model::verify(file(&format!("{name}.gguf"))).expect("a sound file");
        assert_eq!(card, load(name, Precision::Stored).card(), "{name}");
    }
}
