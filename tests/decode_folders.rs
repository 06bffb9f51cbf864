//! Model folders that must be refused: each with its reason, none with a panic.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use razvilka::decode::{Model, ModelError};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

fn golden(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/golden/decode")
        .join(family)
}

/// A copy of a sound folder, to be damaged.
fn copy_of(family: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for entry in std::fs::read_dir(golden(family)).expect("the golden folder") {
        let entry = entry.expect("an entry");
        if entry.file_name() != "golden.safetensors" {
            std::fs::copy(entry.path(), dir.path().join(entry.file_name())).expect("copied");
        }
    }
    dir
}

fn refused(dir: &TempDir) -> ModelError {
    Model::load(dir.path()).expect_err("a damaged folder must be refused")
}

/// Rewrites the weights file, each tensor through `change` (name, shape, bytes); tensors it returns `None` for are dropped.
fn rewrite(
    dir: &TempDir,
    mut change: impl FnMut(&str, Vec<usize>, Vec<u8>) -> Option<(Vec<usize>, Vec<u8>)>,
) {
    let path = dir.path().join("model.safetensors");
    let bytes = std::fs::read(&path).expect("the weights");
    let file = SafeTensors::deserialize(&bytes).expect("sound weights");
    let tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = file
        .iter()
        .filter_map(|(name, view)| {
            let (shape, data) = change(name, view.shape().to_vec(), view.data().to_vec())?;
            Some((name.to_owned(), view.dtype(), shape, data))
        })
        .collect();
    let views: HashMap<&str, TensorView<'_>> = tensors
        .iter()
        .map(|(name, dtype, shape, data)| {
            (
                name.as_str(),
                TensorView::new(*dtype, shape.clone(), data).expect("a sound view"),
            )
        })
        .collect();
    std::fs::write(
        &path,
        safetensors::serialize(views, None).expect("serialized"),
    )
    .expect("written");
}

fn edit(dir: &TempDir, file: &str, from: &str, to: &str) {
    let path = dir.path().join(file);
    let text = std::fs::read_to_string(&path).expect("a text file");
    assert!(text.contains(from), "{file} holds {from}");
    std::fs::write(&path, text.replacen(from, to, 1)).expect("written");
}

/// The header of the weights as text, and the data behind it.
fn parts(dir: &TempDir) -> (String, Vec<u8>) {
    let bytes = std::fs::read(dir.path().join("model.safetensors")).expect("the weights");
    let len = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    (
        String::from_utf8(bytes[8..8 + len].to_vec()).expect("JSON"),
        bytes[8 + len..].to_vec(),
    )
}

fn put(dir: &TempDir, header: &str, data: &[u8]) {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    std::fs::write(dir.path().join("model.safetensors"), bytes).expect("written");
}

#[test]
fn each_missing_file_is_named() {
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        let dir = copy_of("qwen3");
        std::fs::remove_file(dir.path().join(file)).expect("removed");
        match refused(&dir) {
            ModelError::Missing { path } => assert!(path.ends_with(file), "{}", path.display()),
            other => panic!("{file}: {other}"),
        }
    }
    let dir = copy_of("llama");
    std::fs::remove_file(dir.path().join("model-00003-of-00005.safetensors")).expect("removed");
    assert!(
        matches!(refused(&dir), ModelError::Missing { .. }),
        "a shard the index names"
    );
    assert!(matches!(
        Model::load("/no/such/folder"),
        Err(ModelError::Missing { .. })
    ));
}

#[test]
fn weights_cut_anywhere_are_refused() {
    let whole = std::fs::read(golden("qwen2").join("model.safetensors")).expect("the weights");
    let cuts = (0..whole.len())
        .step_by(997)
        .chain([7, 8, 9, whole.len() - 1]);
    for cut in cuts {
        let dir = copy_of("qwen2");
        std::fs::write(dir.path().join("model.safetensors"), &whole[..cut]).expect("written");
        match refused(&dir) {
            ModelError::Length {
                found_bytes,
                expected_bytes,
                ..
            } => {
                assert_eq!(found_bytes, cut as u64);
                assert!(expected_bytes > found_bytes);
            }
            other => panic!("cut at {cut}: {other}"),
        }
    }
    let dir = copy_of("qwen2");
    let longer: Vec<u8> = whole.iter().copied().chain([0; 12]).collect();
    std::fs::write(dir.path().join("model.safetensors"), longer).expect("written");
    assert!(
        matches!(refused(&dir), ModelError::Length { .. }),
        "bytes behind the data"
    );
}

#[test]
fn headers_that_lie_are_refused() {
    let dir = copy_of("qwen3");
    let (header, data) = parts(&dir);
    let cases = [
        ("not JSON", header.replacen('{', "[", 1)),
        ("cut JSON", header[..header.len() / 2].to_owned()),
        ("no dtype", header.replacen("\"dtype\"", "\"kind\"", 1)),
        ("unknown dtype", header.replacen("\"F32\"", "\"F33\"", 1)),
        (
            "shape that does not fill its bytes",
            header.replacen("\"shape\":[", "\"shape\":[2,", 1),
        ),
        (
            "shape that overflows",
            header.replacen(
                "\"shape\":[",
                "\"shape\":[4611686018427387904,4611686018427387904,",
                1,
            ),
        ),
        (
            "negative offset",
            header.replacen("\"data_offsets\":[", "\"data_offsets\":[-", 1),
        ),
        (
            "offsets that overflow",
            header.replacen(
                "\"data_offsets\":[0,",
                "\"data_offsets\":[0,1844674407370955161",
                1,
            ),
        ),
        ("empty", String::new()),
        ("no tensors, all data unclaimed", "{}".to_owned()),
    ];
    for (what, lie) in cases {
        assert_ne!(lie, header, "{what}");
        put(&dir, &lie, &data);
        let error = refused(&dir);
        assert!(
            matches!(error, ModelError::Header { .. } | ModelError::Length { .. }),
            "{what}: {error}"
        );
    }
    let mut huge = u64::MAX.to_le_bytes().to_vec();
    huge.extend_from_slice(&[b'{'; 64]);
    std::fs::write(dir.path().join("model.safetensors"), huge).expect("written");
    assert!(
        matches!(refused(&dir), ModelError::Header { offset: 0, .. }),
        "a header of 2^64 bytes"
    );
}

#[test]
fn tensors_that_disagree_with_the_configuration_are_named() {
    const NAME: &str = "model.layers.1.mlp.up_proj.weight";
    let dir = copy_of("qwen3");
    rewrite(&dir, |name, shape, data| {
        Some(if name == NAME {
            (shape.into_iter().rev().collect(), data)
        } else {
            (shape, data)
        })
    });
    match refused(&dir) {
        ModelError::TensorShape {
            tensor,
            found,
            expected,
            ..
        } => {
            assert_eq!(
                (tensor.as_str(), found, expected),
                (NAME, vec![32, 64], vec![64, 32])
            );
        }
        other => panic!("{other}"),
    }
    let dir = copy_of("qwen3");
    rewrite(&dir, |name, shape, data| {
        (name != NAME).then_some((shape, data))
    });
    assert!(matches!(refused(&dir), ModelError::TensorMissing { tensor, .. } if tensor == NAME));
}

#[test]
fn a_tensor_nobody_asked_for_is_refused_rather_than_left_out() {
    let dir = copy_of("qwen2"); // biases on query, key and value
    edit(&dir, "config.json", "Qwen2ForCausalLM", "LlamaForCausalLM");
    edit(&dir, "config.json", "\"qwen2\"", "\"llama\"");
    match refused(&dir) {
        ModelError::TensorUnknown { tensor, .. } => {
            assert!(tensor.ends_with("proj.bias"), "{tensor}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_weight_that_is_not_a_number_is_found_with_its_byte() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let dir = copy_of("qwen3");
        rewrite(&dir, |name, shape, mut data| {
            if name == "model.norm.weight" {
                data[20..24].copy_from_slice(&value.to_le_bytes());
            }
            Some((shape, data))
        });
        let bytes = std::fs::read(dir.path().join("model.safetensors")).expect("the weights");
        match refused(&dir) {
            ModelError::NonFinite { tensor, offset, .. } => {
                assert_eq!(tensor, "model.norm.weight");
                let at = usize::try_from(offset).expect("an offset");
                assert_eq!(bytes[at..at + 4], value.to_le_bytes());
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let dir = copy_of("qwen3");
    rewrite(&dir, |name, mut shape, mut data| {
        if name == "model.embed_tokens.weight" {
            shape[0] = 351;
            data.truncate(351 * 32 * 4);
        }
        Some((shape, data))
    });
    edit(
        &dir,
        "config.json",
        "\"vocab_size\": 352",
        "\"vocab_size\": 351",
    );
    assert!(matches!(
        refused(&dir),
        ModelError::Vocabulary {
            highest: 351,
            rows: 351,
            ..
        }
    ));
}

#[test]
fn a_tokenizer_that_is_not_one_is_refused() {
    for (text, json) in [
        ("", false),
        ("{", false),
        ("[]", true),
        ("{}", true),
        (r#"{"model":{"type":"BPE"}}"#, true),
    ] {
        let dir = copy_of("qwen3");
        std::fs::write(dir.path().join("tokenizer.json"), text).expect("written");
        match refused(&dir) {
            ModelError::Json { .. } => assert!(!json, "{text}"),
            ModelError::Tokenizer { .. } => assert!(json, "{text}"),
            other => panic!("{text}: {other}"),
        }
    }
}

#[test]
fn an_index_cannot_reach_out_of_its_folder() {
    for name in [
        "../secret.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        "weights.bin",
    ] {
        let dir = copy_of("llama");
        edit(
            &dir,
            "model.safetensors.index.json",
            "model-00001-of-00005.safetensors",
            name,
        );
        assert!(
            matches!(
                refused(&dir),
                ModelError::Config {
                    key: "weight_map",
                    ..
                }
            ),
            "{name}"
        );
    }
}

#[test]
fn random_damage_never_panics() {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(11);
    let dir = copy_of("qwen3");
    let sound: Vec<(&str, Vec<u8>)> = ["config.json", "tokenizer.json", "model.safetensors"]
        .map(|name| (name, std::fs::read(dir.path().join(name)).expect("a file")))
        .into();
    let mut errors = 0;
    for round in 0..300 {
        let (name, bytes) = &sound[round % 3];
        let mut damaged = bytes.clone();
        let reach = if round % 2 == 0 {
            damaged.len()
        } else {
            damaged.len().min(3000)
        };
        for _ in 0..1 + round % 4 {
            let at = rng.random_range(0..reach);
            damaged[at] = rng.random();
        }
        std::fs::write(dir.path().join(name), damaged).expect("written");
        errors += usize::from(Model::load(dir.path()).is_err());
        std::fs::write(dir.path().join(name), bytes).expect("restored");
    }
    assert!(errors > 100, "most damage is found: {errors} of 300");
    assert!(Model::load(dir.path()).is_ok());
}
