//! `razvilka model check`: what it says of sound models, and of names it cannot follow.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/golden/decode")
        .join(name)
}

fn check(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_razvilka"))
        .args(["model", "check"])
        .args(arguments)
        .output()
        .expect("the program runs")
}

#[test]
fn a_folder_and_a_file_are_described_with_their_hashes_and_what_loading_takes() {
    for (name, family, held) in [
        ("qwen3", "Qwen3", "floats"),
        ("gguf/llama-q8_0.gguf", "Llama", "eight bits"),
        ("gguf/qwen2-q4_0.gguf", "Qwen2", "of several widths"),
    ] {
        let path = golden(name);
        let output = check(&[path.to_str().expect("a path")]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}");
        for wanted in [family, "sound", held, "to load", "fits"] {
            assert!(said.contains(wanted), "{name}: {wanted}: {said}");
        }
        let output = check(&[path.to_str().expect("a path"), "--json"]);
        let card: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(card["needed_bytes"].as_u64() > card["weights_bytes"].as_u64());
        let hashes = card["files"].as_array().expect("files");
        assert!(
            hashes
                .iter()
                .all(|file| file["sha256"].as_str().is_some_and(|hash| hash.len() == 64))
        );
    }
}

#[test]
fn logits_of_a_file_are_written() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("logits.safetensors");
    let path = golden("gguf/llama-q8_0.gguf");
    let output = check(&[
        path.to_str().expect("a path"),
        "--precision",
        "f32",
        "--tokens",
        "5,6,7",
        "--logits",
        out.to_str().expect("a path"),
    ]);
    assert!(output.status.success());
    let bytes = std::fs::read(out).expect("logits");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    assert_eq!(file.tensor("logits").expect("logits").shape(), [3, 352]);
}

#[cfg(not(feature = "hub"))]
#[test]
fn a_model_on_a_hub_needs_the_feature_and_is_told_so() {
    let output = check(&["hf:fox/raven"]);
    assert_eq!(output.status.code(), Some(4));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--features hub"), "{said}");
}
