//! Model files made to do harm: each is refused with its reason, within bounded memory and without a panic, by verifying and by loading alike.

use std::path::{Path, PathBuf};

use razvilka::decode::{LoadSettings, Model, ModelError};
use tempfile::TempDir;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/golden/decode")
        .join(name)
}

/// A folder copied from a sound one, to be damaged.
fn copy_of(family: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(golden(family).join(file), dir.path().join(file)).expect("copied");
    }
    dir
}

/// The error of loading, which verifying must share.
fn refused(what: &str, path: &Path) -> ModelError {
    let verified = Model::verify(path).err();
    let loaded = Model::load(path).err();
    let said = |error: &Option<ModelError>| error.as_ref().map(ToString::to_string);
    assert_eq!(said(&verified), said(&loaded), "{what}");
    loaded.unwrap_or_else(|| panic!("{what} was loaded"))
}

fn weights(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn hostile_weights_are_refused_by_their_header() {
    let deep = |open: &str, close: &str| {
        format!(
            "{{\"a\":{{\"dtype\":\"F32\",\"shape\":{}{},\"data_offsets\":[0,4]}}}}",
            open.repeat(200_000),
            close.repeat(200_000)
        )
    };
    let two = |a: &str, b: &str| {
        format!(
            "{{\"a\":{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":{a}}},\"b\":{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":{b}}}}}"
        )
    };
    for (what, header, data) in [
        ("arrays nested a hundred thousand deep", deep("[", "]"), 4),
        ("objects nested without an end", "{\"a\":".repeat(300_000), 4),
        ("two tensors in the same bytes", two("[0,8]", "[0,8]"), 8),
        ("tensors that overlap by half", two("[0,8]", "[4,12]"), 12),
        ("a hole between tensors", two("[0,8]", "[16,24]"), 24),
        ("offsets that go backwards", two("[0,8]", "[16,8]"), 16),
        (
            "a negative dimension",
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}".into(),
            8,
        ),
        (
            "a dimension of 2^64",
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[18446744073709551616],\"data_offsets\":[0,8]}}".into(),
            8,
        ),
        (
            "dimensions whose product is nothing by overflow",
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,1],\"data_offsets\":[0,0]}}".into(),
            0,
        ),
        (
            "a shape that is no array",
            "{\"a\":{\"dtype\":\"F32\",\"shape\":{\"0\":2},\"data_offsets\":[0,8]}}".into(),
            8,
        ),
        (
            "a tensor that stands twice",
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}".into(),
            16,
        ),
    ] {
        let dir = copy_of("qwen3");
        std::fs::write(dir.path().join("model.safetensors"), weights(&header, data)).expect("written");
        let error = refused(what, dir.path());
        assert!(
            matches!(error, ModelError::Header { .. } | ModelError::Length { .. }),
            "{what}: {error}"
        );
    }
}

#[test]
fn hostile_json_is_refused_with_its_line() {
    for (what, file, text) in [
        ("a deep configuration", "config.json", "[".repeat(1_000_000)),
        ("a deep tokenizer", "tokenizer.json", "{\"a\":".repeat(1_000_000)),
        (
            "a tokenizer that is deep and closed",
            "tokenizer.json",
            format!("{}{}", "[".repeat(500_000), "]".repeat(500_000)),
        ),
        ("bytes that are no text", "config.json", "\u{0}\u{1}\u{2}".into()),
        (
            "a tokenizer whose numbers are beyond its table",
            "tokenizer.json",
            r#"{"version":"1.0","added_tokens":[],"model":{"type":"BPE","vocab":{"a":0,"b":4294967295},"merges":[["a","b"]]}}"#.into(),
        ),
        (
            "a tokenizer of more tokens than the model has rows",
            "tokenizer.json",
            r#"{"version":"1.0","added_tokens":[],"model":{"type":"BPE","vocab":{"a":0,"b":352},"merges":[]}}"#.into(),
        ),
    ] {
        let dir = copy_of("qwen3");
        std::fs::write(dir.path().join(file), text).expect("written");
        let error = refused(what, dir.path());
        let fits = matches!(
            error,
            ModelError::Json { .. } | ModelError::Tokenizer { .. } | ModelError::Vocabulary { .. }
        );
        assert!(fits, "{what}: {error}");
    }
}

#[test]
fn shapes_that_promise_much_take_nothing() {
    // 64 layers of 16,384 by 65,536 would be terabytes; the files hold 36,064 weights.
    let dir = copy_of("qwen3");
    let path = dir.path().join("config.json");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    let text = text
        .replace("\"hidden_size\": 32", "\"hidden_size\": 16384")
        .replace("\"intermediate_size\": 64", "\"intermediate_size\": 65536")
        .replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 256")
        .replace(
            "\"full_attention\",\n    \"full_attention\"",
            &vec!["\"full_attention\""; 256].join(","),
        );
    std::fs::write(&path, text).expect("written");
    let error = refused("a configuration of terabytes", dir.path());
    assert!(matches!(error, ModelError::TensorShape { .. }), "{error}");
}

#[test]
fn a_model_larger_than_the_memory_is_refused_before_it_is_read() {
    for name in ["qwen3", "gguf/llama-q8_0.gguf"] {
        let card = Model::verify(golden(name)).expect("a sound model");
        assert!(card.needed_bytes > card.weights_bytes as u64);
        let settings = |bytes| LoadSettings {
            memory_bytes_max: Some(bytes),
            ..LoadSettings::default()
        };
        let error = Model::load_with(golden(name), &settings(card.needed_bytes - 1))
            .expect_err("too large");
        let said = error.to_string();
        assert!(matches!(error, ModelError::Memory { .. }), "{said}");
        assert!(
            said.contains("MiB are available") && said.contains("Q8_0"),
            "{said}"
        );
        Model::load_with(golden(name), &settings(card.needed_bytes)).expect("it fits");
    }
}

#[cfg(unix)]
#[test]
fn links_in_a_circle_pipes_and_folders_are_refused() {
    use std::os::unix::fs::symlink;
    let dir = copy_of("qwen3");
    let path = dir.path().join("model.safetensors");
    std::fs::remove_file(&path).expect("removed");
    symlink(&path, &path).expect("a link to itself");
    let error = refused("a link to itself", dir.path());
    assert!(
        matches!(error, ModelError::Io { .. } | ModelError::Missing { .. }),
        "{error}"
    );

    std::fs::remove_file(&path).expect("removed");
    std::fs::create_dir(&path).expect("a folder");
    let error = refused("a folder in a file's place", dir.path());
    assert!(matches!(error, ModelError::NotAFile { .. }), "{error}");

    let gguf = dir.path().join("loop.gguf");
    symlink(&gguf, &gguf).expect("a link to itself");
    let error = refused("a GGUF file that is a link to itself", &gguf);
    assert!(
        matches!(error, ModelError::Io { .. } | ModelError::Missing { .. }),
        "{error}"
    );

    // A link to a sound file is how the hub's own cache is made.
    std::fs::remove_dir(&path).expect("removed");
    symlink(golden("qwen3").join("model.safetensors"), &path).expect("a link");
    Model::load(dir.path()).expect("a sound model behind a link");
}

#[test]
fn a_file_that_is_no_model_is_refused_as_what_it_is() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (bytes, wanted) in [
        (b"".as_slice(), "the magic"),
        (b"PK\x03\x04 a ZIP archive", "GGUF"),
        (b"GGUF\x00\x00\x00\x03\x00\x00\x00\x00", "little-endian"),
        (b"GGUF\x01\x00\x00\x00", "version 1"),
        (
            b"GGUF\x03\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff",
            "tensors",
        ),
        (
            b"GGUF\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\x7f",
            "keys",
        ),
    ] {
        let path = dir.path().join("model.bin");
        std::fs::write(&path, bytes).expect("written");
        let error = refused(wanted, &path);
        assert!(matches!(error, ModelError::Gguf { .. }), "{error}");
        assert!(error.to_string().contains(wanted), "{wanted}: {error}");
    }
}

#[test]
fn gguf_files_that_lie_are_refused() {
    /// What stands for a key of a sound file, behind its type.
    fn behind(bytes: &[u8], key: &str) -> usize {
        let found = bytes.windows(key.len()).position(|w| w == key.as_bytes());
        found.expect("the key") + key.len() + 4
    }
    type Change = fn(&mut Vec<u8>);
    let cases: [(&str, Change, &str); 8] = [
        (
            "an array of 2^63 tokens",
            |b| {
                let at = behind(b, "tokenizer.ggml.tokens") + 4;
                b[at..at + 8].copy_from_slice(&(1_u64 << 63).to_le_bytes());
            },
            "tokenizer.ggml.tokens",
        ),
        (
            "a token of 2^40 bytes",
            |b| {
                let at = behind(b, "tokenizer.ggml.tokens") + 12;
                b[at..at + 8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
            },
            "at most",
        ),
        (
            "a width of four thousand million",
            |b| {
                let at = behind(b, "qwen3.embedding_length");
                b[at..at + 4].fill(0xFF);
            },
            "embedding_length",
        ),
        (
            "no layers",
            |b| {
                let at = behind(b, "qwen3.block_count");
                b[at..at + 4].fill(0);
            },
            "block_count",
        ),
        (
            "a norm that is not a number",
            |b| {
                let at = behind(b, "layer_norm_rms_epsilon");
                b[at..at + 4].fill(0xFF);
            },
            "layer_norm_rms_epsilon",
        ),
        (
            "a head of another width",
            |b| {
                let at = behind(b, "qwen3.rope.dimension_count");
                b[at..at + 4].copy_from_slice(&8_u32.to_le_bytes());
            },
            "rope.dimension_count",
        ),
        (
            "a token that begins texts and does not exist",
            |b| {
                let at = behind(b, "tokenizer.ggml.bos_token_id");
                b[at..at + 4].copy_from_slice(&352_u32.to_le_bytes());
            },
            "bos_token_id",
        ),
        (
            "more layers than tensors",
            |b| {
                let at = behind(b, "qwen3.block_count");
                b[at..at + 4].copy_from_slice(&200_u32.to_le_bytes());
            },
            "blk.2.",
        ),
    ];
    let sound = std::fs::read(golden("gguf/qwen3-f16.gguf")).expect("the file");
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (what, change, wanted) in cases {
        let mut bytes = sound.clone();
        change(&mut bytes);
        let path = dir.path().join("m.gguf");
        std::fs::write(&path, bytes).expect("written");
        let error = refused(what, &path);
        assert!(error.to_string().contains(wanted), "{what}: {error}");
    }
}

#[test]
fn damage_anywhere_in_a_gguf_file_never_panics() {
    use rand::{RngExt, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(20_261_127);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("m.gguf");
    let mut refused = 0;
    for name in ["qwen2-q4_0", "mistral-f32"] {
        let sound = std::fs::read(golden(&format!("gguf/{name}.gguf"))).expect("the file");
        // Its header ends near byte 20,000: most of the damage belongs there.
        for round in 0..150 {
            let mut bytes = sound.clone();
            let reach = if round % 4 == 0 { bytes.len() } else { 20_000 };
            for _ in 0..1 + round % 3 {
                let at = random.random_range(0..reach.min(bytes.len()));
                bytes[at] = random.random();
            }
            if round % 10 == 0 {
                let len = random.random_range(0..bytes.len());
                bytes.truncate(len);
            }
            std::fs::write(&path, bytes).expect("written");
            let verified = Model::verify(&path);
            assert_eq!(
                verified.is_ok(),
                Model::load(&path).is_ok(),
                "{name} {round}"
            );
            refused += usize::from(verified.is_err());
        }
    }
    assert!(refused > 60, "much damage is found: {refused} of 300");
}
