//! Sentence-embedding models: vectors against Hugging Face transformers, and folders that must be refused.
//!
//! Golden values: fixtures/golden/decode/make_embedder.py.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use razvilka::decode::{
    Cancel, Embedder, LoadSettings, Model, ModelError, Pooling, Positions, Step, Survey, Writer,
    WriterSettings,
};
use tempfile::TempDir;

/// Largest difference allowed between elements of vectors of length one.
const DIFFERENCE_MAX: f32 = 1e-5;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/golden/decode/embedder")
        .join(name)
}

#[derive(serde::Deserialize)]
struct Golden {
    texts: Vec<String>,
    embeddings: Vec<Vec<f32>>,
}

fn expected(name: &str) -> Golden {
    let bytes = std::fs::read(golden(name).join("golden.json")).expect("golden values");
    serde_json::from_slice(&bytes).expect("golden values")
}

fn difference(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().zip(b).flat_map(|(a, b)| {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b)
    });
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn vectors_equal_hugging_face() {
    for (name, pooling, positions, tokens_max) in [
        ("bert", Pooling::Mean, Positions::FromZero, 48),
        ("bert_cls", Pooling::Cls, Positions::FromZero, 20),
        ("xlmr", Pooling::Mean, Positions::BehindPadding(1), 40),
        ("roberta", Pooling::Mean, Positions::BehindPadding(3), 32),
    ] {
        let embedder = Embedder::load(golden(name)).expect("a sound folder");
        let card = embedder.card();
        assert_eq!(
            (card.pooling, card.config.numbering, card.tokens_max),
            (pooling, positions, tokens_max),
            "{name}"
        );
        let Golden { texts, embeddings } = expected(name);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let together = embedder.embed(&texts).expect("vectors");
        let found = difference(&together, &embeddings);
        println!("{name}: largest difference {found:e}");
        assert!(found <= DIFFERENCE_MAX, "{name}: {found:e}");
        // Every text alone, too: another way through the products of matrices.
        for (text, expected) in texts.iter().zip(&embeddings) {
            let alone = embedder.embed(&[text]).expect("a vector");
            assert!(
                difference(&alone, std::slice::from_ref(expected)) <= DIFFERENCE_MAX,
                "{name}: {text:?}"
            );
            let length: f32 = alone[0].iter().map(|x| x * x).sum();
            assert!((length - 1.0).abs() < 1e-5, "{name}: {text:?}");
        }
        assert!(embedder.embed(&[]).expect("nothing").is_empty());
    }
}

#[test]
fn pooling_prompt_and_the_place_of_positions_change_the_vectors() {
    // Each golden value above could pass without its mechanism only if the mechanism did nothing.
    for (name, file, from, to) in [
        ("bert_cls", "1_Pooling/config.json", "true", "swapped"),
        ("xlmr", "config_sentence_transformers.json", "query: ", ""),
        (
            "roberta",
            "config.json",
            "\"pad_token_id\": 3",
            "\"pad_token_id\": 2",
        ),
        ("bert_cls", "sentence_bert_config.json", "20", "7"),
        (
            "bert",
            "config.json",
            "\"layer_norm_eps\": 1e-12",
            "\"layer_norm_eps\": 1e-3",
        ),
    ] {
        let dir = copy_of(name);
        if to == "swapped" {
            edit(
                &dir,
                file,
                "\"pooling_mode_cls_token\": true",
                "\"pooling_mode_cls_token\": false",
            );
            edit(
                &dir,
                file,
                "\"pooling_mode_mean_tokens\": false",
                "\"pooling_mode_mean_tokens\": true",
            );
        } else {
            edit(&dir, file, from, to);
        }
        let embedder = Embedder::load(dir.path()).expect("a sound folder");
        let Golden { texts, embeddings } = expected(name);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let found = embedder.embed(&texts).expect("vectors");
        assert!(difference(&found, &embeddings) > 1e-4, "{name}: {file}");
    }
}

#[test]
fn the_card_names_every_file_and_counts_what_is_computed_with() {
    // Two layers of four matrices of 24 by 24, two of 24 by 40, six biases and two norms; 300 words and a norm.
    let encoder = 2 * (4 * 24 * 25 + 24 * 40 + 40 + 40 * 24 + 24 + 4 * 24) + 300 * 24 + 2 * 24;
    for (name, files, positions, segments) in [
        ("bert", 5, 48, 2),
        ("bert_cls", 6, 64, 1),
        ("xlmr", 7, 60, 1),
    ] {
        let parameters = encoder + (positions + segments) * 24;
        let embedder = Embedder::load(golden(name)).expect("a sound folder");
        let card = embedder.card();
        assert_eq!(
            &Embedder::verify(golden(name)).expect("a sound folder"),
            card
        );
        assert_eq!(
            (card.name.as_str(), card.files.len(), card.parameters),
            (name, files, parameters)
        );
        for file in &card.files {
            let bytes = std::fs::read(golden(name).join(&file.name)).expect("the file");
            assert_eq!(file.bytes, bytes.len() as u64);
            assert_eq!(file.sha256.len(), 64);
        }
    }
}

/// A copy of a sound folder, to be damaged.
fn copy_of(name: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(dir.path().join("1_Pooling")).expect("made");
    for file in [
        "config.json",
        "tokenizer.json",
        "model.safetensors",
        "modules.json",
        "1_Pooling/config.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
    ] {
        if golden(name).join(file).exists() {
            std::fs::copy(golden(name).join(file), dir.path().join(file)).expect("copied");
        }
    }
    dir
}

fn edit(dir: &TempDir, file: &str, from: &str, to: &str) {
    let path = dir.path().join(file);
    let text = std::fs::read_to_string(&path).expect("a text file");
    assert!(text.contains(from), "{file} holds {from}: {text}");
    std::fs::write(&path, text.replacen(from, to, 1)).expect("written");
}

/// The error of loading, which verifying must share.
fn refused(what: &str, path: &Path) -> ModelError {
    let verified = Embedder::verify(path).err().map(|error| error.to_string());
    let loaded = Embedder::load(path).err();
    assert_eq!(verified, loaded.as_ref().map(ToString::to_string), "{what}");
    loaded.unwrap_or_else(|| panic!("{what} was loaded"))
}

#[test]
fn what_is_not_computed_is_refused_by_its_key() {
    for (name, file, from, to, key) in [
        (
            "bert",
            "config.json",
            "\"BertModel\"",
            "\"LlamaForCausalLM\"",
            "architectures",
        ),
        (
            "bert",
            "config.json",
            "\"BertModel\"",
            "\"BertForSequenceClassification\"",
            "architectures",
        ),
        (
            "bert",
            "config.json",
            "\"model_type\": \"bert\"",
            "\"model_type\": \"roberta\"",
            "model_type",
        ),
        (
            "bert",
            "config.json",
            "\"model_type\": \"bert\"",
            "\"model_type\": 5",
            "model_type",
        ),
        ("bert", "config.json", "\"gelu\"", "\"relu\"", "hidden_act"),
        (
            "bert",
            "config.json",
            "\"gelu\"",
            "\"gelu\", \"position_embedding_type\": \"relative_key\"",
            "position_embedding_type",
        ),
        (
            "bert",
            "config.json",
            "\"is_decoder\": false",
            "\"is_decoder\": true",
            "is_decoder",
        ),
        (
            "bert",
            "config.json",
            "\"num_attention_heads\": 3",
            "\"num_attention_heads\": 5",
            "num_attention_heads",
        ),
        (
            "bert",
            "config.json",
            "\"hidden_size\": 24",
            "\"hidden_size\": 99999999999",
            "hidden_size",
        ),
        (
            "bert",
            "config.json",
            "\"layer_norm_eps\": 1e-12",
            "\"layer_norm_eps\": -1",
            "layer_norm_eps",
        ),
        (
            "bert",
            "config.json",
            "\"max_position_embeddings\": 48",
            "\"max_position_embeddings\": 2",
            "max_position_embeddings",
        ),
        (
            "roberta",
            "config.json",
            "\"pad_token_id\": 3",
            "\"pad_token_id\": 34",
            "max_position_embeddings",
        ),
        (
            "roberta",
            "config.json",
            "\"pad_token_id\": 3",
            "\"pad_token_id\": -1",
            "pad_token_id",
        ),
        (
            "bert",
            "modules.json",
            "models.Normalize",
            "models.Dense",
            "type",
        ),
        (
            "bert",
            "modules.json",
            "\"1_Pooling\"",
            "\"../1_Pooling\"",
            "type",
        ),
        (
            "bert",
            "1_Pooling/config.json",
            "\"pooling_mode_max_tokens\": false",
            "\"pooling_mode_max_tokens\": true",
            "pooling_mode_max_tokens",
        ),
        (
            "bert",
            "1_Pooling/config.json",
            "\"pooling_mode_mean_tokens\": true",
            "\"pooling_mode_mean_tokens\": false",
            "pooling_mode_mean_tokens",
        ),
        (
            "bert",
            "1_Pooling/config.json",
            "\"pooling_mode_mean_tokens\": true",
            "\"pooling_mode_mean_tokens\": 1",
            "pooling_mode_mean_tokens",
        ),
        (
            "bert_cls",
            "sentence_bert_config.json",
            "20",
            "0",
            "max_seq_length",
        ),
        (
            "bert_cls",
            "sentence_bert_config.json",
            "false",
            "true",
            "do_lower_case",
        ),
        (
            "xlmr",
            "config_sentence_transformers.json",
            "\"default_prompt_name\": \"query\"",
            "\"default_prompt_name\": \"passage\"",
            "default_prompt_name",
        ),
    ] {
        let dir = copy_of(name);
        edit(&dir, file, from, to);
        match refused(to, dir.path()) {
            ModelError::Config {
                key: found, path, ..
            } => {
                assert_eq!(found, key, "{to}");
                assert!(path.ends_with(file), "{}", path.display());
            }
            other => panic!("{to}: {other}"),
        }
    }
}

#[test]
fn tensors_that_disagree_with_the_configuration_are_named() {
    let dir = copy_of("bert");
    edit(
        &dir,
        "config.json",
        "\"intermediate_size\": 40",
        "\"intermediate_size\": 65536",
    );
    assert!(matches!(
        refused("a width of 65,536", dir.path()),
        ModelError::TensorShape { .. }
    ));
    let dir = copy_of("bert");
    edit(
        &dir,
        "config.json",
        "\"num_hidden_layers\": 2",
        "\"num_hidden_layers\": 256",
    );
    match refused("256 layers", dir.path()) {
        ModelError::TensorMissing { tensor, .. } => {
            assert!(tensor.starts_with("encoder.layer.2."), "{tensor}");
        }
        other => panic!("{other}"),
    }
    let dir = copy_of("bert");
    edit(
        &dir,
        "config.json",
        "\"num_hidden_layers\": 2",
        "\"num_hidden_layers\": 1",
    );
    match refused("a layer too many", dir.path()) {
        ModelError::TensorUnknown { tensor, .. } => {
            assert!(tensor.starts_with("encoder.layer.1."), "{tensor}");
        }
        other => panic!("{other}"),
    }
    let dir = copy_of("bert");
    edit(
        &dir,
        "config.json",
        "\"vocab_size\": 300",
        "\"vocab_size\": 100",
    );
    assert!(matches!(
        refused("a tokenizer of another model", dir.path()),
        ModelError::Vocabulary { .. }
    ));
}

#[test]
fn damaged_and_missing_files_are_refused() {
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        let dir = copy_of("bert");
        std::fs::remove_file(dir.path().join(file)).expect("removed");
        match refused(file, dir.path()) {
            ModelError::Missing { path } => assert!(path.ends_with(file), "{}", path.display()),
            other => panic!("{file}: {other}"),
        }
    }
    for file in [
        "config.json",
        "tokenizer.json",
        "modules.json",
        "1_Pooling/config.json",
    ] {
        for text in ["{".to_owned(), "[".repeat(1_000_000), "\u{0}".into()] {
            let dir = copy_of("bert");
            std::fs::write(dir.path().join(file), text).expect("written");
            assert!(
                matches!(refused(file, dir.path()), ModelError::Json { .. }),
                "{file}"
            );
        }
    }
    let sound = std::fs::read(golden("bert").join("model.safetensors")).expect("the weights");
    let dir = copy_of("bert");
    for cut in (0..sound.len()).step_by(9973) {
        std::fs::write(dir.path().join("model.safetensors"), &sound[..cut]).expect("written");
        assert!(
            matches!(
                refused("cut weights", dir.path()),
                ModelError::Length { .. }
            ),
            "{cut}"
        );
    }
    let mut damaged = sound;
    // The data begins with a bias of the table of words; the pooler, at the end, is not computed with.
    let begin = 8 + u64::from_le_bytes(damaged[..8].try_into().expect("8 bytes")) as usize;
    damaged[begin..begin + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(dir.path().join("model.safetensors"), damaged).expect("written");
    assert!(matches!(
        refused("a weight that is no number", dir.path()),
        ModelError::NonFinite { .. }
    ));
    assert!(matches!(
        refused("no folder", Path::new("/no/such/folder")),
        ModelError::Missing { .. }
    ));
}

#[test]
fn a_folder_of_the_encoder_alone_is_enough_and_one_too_large_for_the_memory_is_refused() {
    let dir = copy_of("bert");
    for file in ["modules.json", "1_Pooling/config.json"] {
        std::fs::remove_file(dir.path().join(file)).expect("removed");
    }
    let embedder = Embedder::load(dir.path()).expect("a sound folder");
    assert_eq!(
        (embedder.card().pooling, embedder.card().files.len()),
        (Pooling::Mean, 3)
    );
    let needed = embedder.card().needed_bytes;
    let settings = |bytes| LoadSettings {
        memory_bytes_max: Some(bytes),
        ..LoadSettings::default()
    };
    Embedder::load_with(dir.path(), &settings(needed)).expect("it fits");
    let error = Embedder::load_with(dir.path(), &settings(needed - 1)).expect_err("too large");
    assert!(matches!(error, ModelError::Memory { .. }), "{error}");
}

#[test]
fn random_damage_never_panics() {
    use rand::{RngExt, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    let dir = copy_of("xlmr");
    let mut refused = 0;
    for round in 0..120 {
        let name = [
            "config.json",
            "tokenizer.json",
            "model.safetensors",
            "1_Pooling/config.json",
        ][round % 4];
        let sound = std::fs::read(dir.path().join(name)).expect("a file");
        let mut damaged = sound.clone();
        for _ in 0..1 + round % 3 {
            let at = random.random_range(0..damaged.len().min(4000));
            damaged[at] = random.random();
        }
        std::fs::write(dir.path().join(name), damaged).expect("written");
        let loaded = Embedder::load(dir.path());
        assert_eq!(
            loaded.is_err(),
            Embedder::verify(dir.path()).is_err(),
            "{name} {round}"
        );
        match loaded {
            Ok(embedder) => {
                let _ = embedder.embed(&["Лиса нашла ключ.", "The fox."]);
            }
            Err(_) => refused += 1,
        }
        std::fs::write(dir.path().join(name), sound).expect("restored");
    }
    assert!(refused > 40, "most damage is found: {refused} of 120");
}

#[test]
fn a_fork_is_none_to_an_embedder_that_finds_all_alike() {
    let plain = Arc::new(Model::embedded().expect("the story model"));
    let mut writer =
        Writer::new(Arc::clone(&plain), WriterSettings::default()).expect("sound settings");
    writer.start("").expect("started");
    while !matches!(
        writer.advance(&Cancel::new()).expect("a step"),
        Step::Fork(_)
    ) {}
    let tokens = writer.tokens().to_vec();
    let model = Model::embedded().expect("the story model");
    let embedder = Arc::new(Embedder::load(golden("bert")).expect("a sound folder"));
    let judged = Arc::new(model.with_embedder(embedder));
    let branches = |model: &Arc<Model>, same_min: f64, different_max: f64| {
        let settings = WriterSettings {
            embedder_same_min: same_min,
            embedder_different_max: different_max,
            ..WriterSettings::default()
        };
        let mut survey = Survey::start(Arc::clone(model), settings, &tokens).expect("started");
        let cosines = survey.likenesses().expect("likenesses");
        (survey.branches().expect("branches").len(), cosines)
    };
    let (found, cosines) = branches(&plain, 0.0, 1.0);
    assert!(found >= 2, "without an embedder its settings say nothing");
    assert!(!cosines.is_empty() && cosines.iter().all(|l| l.embedder_alone.is_none()));
    let (none, cosines) = branches(&judged, 0.0, -1.0);
    assert!(
        cosines
            .iter()
            .all(|l| l.embedder_in_sentence.is_some_and(|cosine| cosine >= 0.0))
    );
    assert_eq!(none, 0, "all are one meaning");
}
