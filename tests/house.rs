//! The house keeps its shape: crates, dependency direction, one file per outside system.

#![allow(clippy::unwrap_used)] // what cannot go on here should say so at once

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Normal and build dependencies of `package` that are crates of this workspace.
fn inner_dependencies(package: &str) -> BTreeSet<String> {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap();
    let ours: BTreeSet<String> = metadata
        .packages
        .iter()
        .map(|package| package.name.to_string())
        .collect();
    let package = metadata
        .packages
        .iter()
        .find(|found| found.name.as_str() == package)
        .unwrap();
    package
        .dependencies
        .iter()
        .filter(|dependency| {
            dependency.kind != DependencyKind::Development && ours.contains(&dependency.name)
        })
        .map(|dependency| dependency.name.clone())
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn dependencies_between_our_crates_point_one_way() {
    assert_eq!(inner_dependencies("razvilka-dsp"), set(&[]));
    assert_eq!(
        inner_dependencies("razvilka-calibration"),
        set(&["razvilka-dsp"])
    );
    assert_eq!(
        inner_dependencies("razvilka"),
        set(&["razvilka-calibration", "razvilka-dsp"])
    );
    assert_eq!(inner_dependencies("razvilka-grammar"), set(&[]));
    assert_eq!(
        inner_dependencies("razvilka-train"),
        set(&["razvilka-grammar"])
    );
}

#[test]
fn dsp_and_calibration_know_no_stream_no_model_and_no_thread_pool() {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap();
    for name in ["razvilka-dsp", "razvilka-calibration"] {
        let package = metadata
            .packages
            .iter()
            .find(|package| package.name.as_str() == name)
            .unwrap();
        for dependency in &package.dependencies {
            for banned in [
                "labstream",
                "candle",
                "tokenizers",
                "crossbeam",
                "ringbuf",
                "rusqlite",
                "clap",
                "tracing",
                "log",
            ] {
                assert!(
                    !dependency.name.starts_with(banned),
                    "{name} must not depend on {}",
                    dependency.name
                );
            }
        }
    }
}

#[test]
fn the_prescribed_top_level_is_there() {
    for entry in [
        "Cargo.toml",
        "Cargo.lock",
        "src",
        "dsp",
        "calibration",
        "benches",
        "fixtures",
        "README.md",
        "README.ru.md",
    ] {
        assert!(root().join(entry).exists(), "{entry} is missing");
    }
    for entry in [
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "deny.toml",
        "dsp/clippy.toml",
    ] {
        assert!(root().join(entry).exists(), "{entry} is missing");
    }
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Paths below `src/` of all files whose code (not comments) names one of `words`.
fn files_naming(words: &[&str]) -> BTreeSet<String> {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    let names = |text: &str| {
        text.lines()
            .map(|line| line.split("//").next().unwrap_or_default())
            .any(|code| words.iter().any(|word| code.contains(&format!("{word}::"))))
    };
    files
        .into_iter()
        .filter(|path| names(&std::fs::read_to_string(path).unwrap()))
        .map(|path| {
            path.strip_prefix(root().join("src"))
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

#[test]
fn each_outside_system_is_named_in_its_own_room_only() {
    let outside = |words: &[&str], rooms: &[&str]| {
        let strays: Vec<_> = files_naming(words)
            .into_iter()
            .filter(|file| !rooms.iter().any(|room| file.starts_with(room)))
            .collect();
        assert!(
            strays.is_empty(),
            "{words:?} belongs to {rooms:?}, but is named in {strays:?}"
        );
    };
    outside(&["labstream", "labstream_net"], &["source/lsl"]);
    outside(
        &[
            "candle_core",
            "tokenizers",
            "minijinja",
            "minijinja_contrib",
        ],
        &["decode/"],
    );
    outside(&["rusqlite"], &["session/"]);
    outside(&["parquet"], &["cli/choices/export"]);
    // Two windows of two processes: what the participant sees, and what the operator does.
    outside(
        &["eframe", "egui", "egui_kittest", "egui_plot"],
        &["view/window/", "view/operator/"],
    );
    outside(&["x11rb"], &["view/present/x11.rs"]);
    outside(&["raw_window_handle"], &["view/window/"]);
    outside(&["ureq"], &["hub/net.rs", "decode/remote/http.rs"]);
    // System calls: threads and clock, signals, the terminal's mode.
    outside(
        &["libc"],
        &["rt.rs", "cli/signals.rs", "source/terminal/mode.rs"],
    );
}

#[test]
fn a_program_without_http_can_be_built() {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap();
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name.as_str() == "razvilka")
        .unwrap();
    let http = package
        .dependencies
        .iter()
        .find(|dependency| dependency.name == "ureq")
        .unwrap();
    assert!(
        http.optional,
        "ureq comes with the features `hub` and `server` alone"
    );
}

#[test]
fn no_unsafe_in_dsp_calibration_and_gate() {
    for folder in ["dsp/src", "calibration/src", "src/gate"] {
        let mut files = Vec::new();
        rust_files(&root().join(folder), &mut files);
        assert!(!files.is_empty());
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let stray = text
                .lines()
                .map(|line| line.split("//").next().unwrap_or_default())
                .any(|code| {
                    code.split(|c: char| !c.is_alphanumeric() && c != '_')
                        .any(|word| word == "unsafe")
                });
            assert!(!stray, "{} has unsafe code", file.display());
        }
    }
}

#[test]
fn every_error_says_its_cause_in_its_own_sentence() {
    // The command prints an error's sentence and not the chain behind it: a cause that is left out would never be told, and
    // one that is told by the chain as well would be told twice.
    let mut files = Vec::new();
    for folder in ["src", "dsp/src", "calibration/src"] {
        rust_files(&root().join(folder), &mut files);
    }
    let mut with_cause = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for variant in text.split("#[error(").skip(1) {
            let Some((message, fields)) = variant.split_once(")]") else {
                continue;
            };
            // The fields end with the variant: at its closing bracket, or at its comma when it has none.
            let end = fields.find(['}', ',']).unwrap_or(fields.len());
            let end = match fields.find('{') {
                Some(open) if open < end => fields.find('}').unwrap_or(fields.len()),
                _ => end,
            };
            let fields = &fields[..end];
            let has_cause = ["source:", "#[from]", "#[source]"]
                .iter()
                .any(|sign| fields.contains(sign));
            let says_it = ["transparent", "{source", "{0", ".0"]
                .iter()
                .any(|sign| message.contains(sign));
            with_cause += usize::from(has_cause);
            assert!(
                !has_cause || says_it,
                "{}: `{message}` leaves out its cause",
                file.display()
            );
        }
    }
    assert!(
        with_cause > 30,
        "{with_cause} errors with a cause were found"
    );
}
