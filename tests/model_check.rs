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
fn the_memory_of_the_text_is_counted_and_told_apart() {
    let path = golden("qwen3");
    let card = |context: &str| -> serde_json::Value {
        let output = check(&[
            path.to_str().expect("a path"),
            "--json",
            "--context",
            context,
        ]);
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let number = |card: &serde_json::Value, key: &str| card[key].as_u64().expect("a number");
    let (one, several, all) = (card("1"), card("9"), card("1000000"));
    let config = &one["config"];
    // Keys and values of every layer, as floats.
    let layers = number(config, "layers");
    let each = layers * 2 * 4 * number(config, "kv_heads") * number(config, "head_dim");
    assert_eq!(number(&one, "text_bytes"), each);
    assert_eq!(number(&several, "text_bytes"), 9 * each);
    let more = number(&several, "needed_bytes") - number(&one, "needed_bytes");
    assert_eq!(more, 8 * each);
    // No text is longer than the model's context.
    assert_eq!(all["text_tokens"], config["context_tokens"]);
    let output = check(&[path.to_str().expect("a path"), "--context", "9"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("keys and values of 9 tokens of text") && said.contains("in all"),
        "{said}"
    );
}

#[test]
fn the_ends_of_generation_config_go_before_those_of_config() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for entry in std::fs::read_dir(golden("qwen3")).expect("a folder") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), dir.path().join(entry.file_name())).expect("copied");
    }
    let named = r#"{"eos_token_id":[7,9],"temperature":0.6}"#;
    std::fs::write(dir.path().join("generation_config.json"), named).expect("written");
    let output = check(&[dir.path().to_str().expect("a path"), "--json"]);
    let said = String::from_utf8_lossy(&output.stderr);
    let card: serde_json::Value = serde_json::from_slice(&output.stdout).expect(&said);
    assert_eq!(card["config"]["eos"], serde_json::json!([7, 9]));
    let files = card["files"].as_array().expect("files");
    assert!(
        files
            .iter()
            .any(|file| file["name"] == "generation_config.json")
    );
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
