//! A model's files with any bytes in them: verifying must end with an answer, within bounded memory.
//!
//! `cargo +nightly fuzz run model_files -- -rss_limit_mb=2048` from the root of the repository; good seeds are the files of fixtures/golden/decode with a
//! byte in front that says which file they are.
#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use razvilka::decode::Model;
use tempfile::TempDir;

/// A folder whose files are sound, each round one of them replaced.
fn folder() -> &'static TempDir {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("a temporary folder"))
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else {
        return;
    };
    let sound = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/golden/decode/qwen3");
    let dir = folder().path();
    let files = ["config.json", "tokenizer.json", "model.safetensors"];
    let replaced = match kind % 4 {
        0 => {
            let path = dir.join("m.gguf");
            std::fs::write(&path, bytes).expect("written");
            let _ = Model::verify(&path);
            return;
        }
        n => files[usize::from(n) - 1],
    };
    for file in files {
        std::fs::copy(sound.join(file), dir.join(file)).expect("copied");
    }
    std::fs::write(dir.join(replaced), bytes).expect("written");
    let _ = Model::verify(dir);
});
