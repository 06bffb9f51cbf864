//! Bad input ends with one clear sentence and the right exit code, and nothing is lost or half made.

#![allow(clippy::unwrap_used)] // what cannot go on here should say so at once

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn razvilka(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_razvilka"))
        .args(arguments)
        .output()
        .unwrap()
}

/// The exit code, and the one sentence on stderr: the last line.
fn refused(arguments: &[&str]) -> (i32, String) {
    let output = razvilka(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("panicked"), "{said}");
    let last = said.trim_end().lines().last().unwrap_or_default();
    (output.status.code().unwrap(), last.to_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An experiment on this machine alone, in an LSL session of its own where nothing is published.
fn experiment(folder: &Path, session: &str, more: &str) -> PathBuf {
    let file = folder.join("experiment.toml");
    let words = format!(
        "[eeg]\npins = {{ source_id = \"nobody-has-this\" }}\n\
         [network]\nmode = \"loopback\"\nsession_id = \"{session}\"\nresolve_s = 0.5\n{more}"
    );
    fs::write(&file, words).unwrap();
    file
}

#[test]
fn an_unknown_key_is_named_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(folder.path(), "bad-key", "[gate]\ntreshold = 0.9\n");
    let out = folder.path().join("session");
    let (code, said) = refused(&["run", "--config", text(&file), "--out", text(&out)]);
    let whole = String::from_utf8(razvilka(&["run", "--config", text(&file)]).stderr).unwrap();
    assert_eq!(code, 2, "{said}");
    assert!(
        whole.contains("treshold") && whole.contains("experiment.toml"),
        "{whole}"
    );
    assert!(!out.exists());
}

#[test]
fn an_absurd_value_is_refused_with_its_range() {
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(folder.path(), "bad-value", "[epoch]\nlength_s = 900.0\n");
    let (code, said) = refused(&["run", "--config", text(&file), "--check"]);
    assert_eq!(code, 2);
    assert!(
        said.contains("epoch.length_s is 900 s: set it within 0.2..=2"),
        "{said}"
    );
    let file = experiment(folder.path(), "bad-value", "[session]\nforks = 0\n");
    let (_, said) = refused(&["run", "--config", text(&file), "--check"]);
    assert!(said.contains("session.forks is 0: set it within"), "{said}");
}

#[test]
fn an_experiment_file_of_any_length_is_refused_in_few_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("experiment.toml");
    for (content, want) in [
        ("a = 1\n".repeat(3 << 20), "it is no experiment file"),
        ("x".repeat(1 << 19), "line 1, column"),
        (
            format!("\n{} = 1\n", "y".repeat(1 << 19)),
            "line 2, column 1",
        ),
    ] {
        fs::write(&file, content).unwrap();
        let output = razvilka(&["run", "--config", text(&file)]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(want), "{said}");
        assert!(said.len() < 2000 && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn an_experiment_file_that_is_not_there_is_named() {
    let (code, said) = refused(&["run", "--config", "/nowhere/experiment.toml"]);
    assert_eq!(code, 2);
    assert!(said.contains("/nowhere/experiment.toml"), "{said}");
    assert_eq!(said.matches("No such file").count(), 1, "{said}");
}

#[test]
fn a_stream_that_is_not_there_says_which_addresses_were_asked_and_no_folder_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(folder.path(), "bad-stream", "");
    let out = folder.path().join("session");
    let (code, said) = refused(&["run", "--config", text(&file), "--out", text(&out)]);
    assert_eq!(code, 3, "{said}");
    assert!(
        said.contains("nobody-has-this") && said.contains("127.0.0.1"),
        "{said}"
    );
    assert!(!out.exists());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_profile_that_is_not_there_is_named_before_streams_are_looked_for_and_no_folder_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let more = "[calibration]\nprofile = \"gone.json\"\n";
    let file = experiment(folder.path(), "bad-gone", more);
    let out = folder.path().join("session");
    let (code, said) = refused(&["run", "--config", text(&file), "--out", text(&out)]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("gone.json"), "{said}");
    assert!(!out.exists());
}

#[test]
fn the_demo_does_not_begin_when_its_folder_cannot_be_made() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.txt"), "mine").unwrap();
    let (code, said) = refused(&["demo", "--out", text(folder.path())]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("thesis.txt"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn keys_cannot_be_typed_where_standard_input_is_no_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(folder.path(), "bad-terminal", "[keys]\nterminal = true\n");
    let out = folder.path().join("session");
    for arguments in [
        vec!["run", "--config", text(&file), "--out", text(&out)],
        vec!["demo", "--keys", "--out", text(&out)],
    ] {
        // No test has its standard input in a terminal here: `Command::output` gives none.
        let (code, said) = refused(&arguments);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("standard input is no terminal"), "{said}");
        assert!(!out.exists());
    }
}

#[test]
fn a_place_that_cannot_be_written_is_said_to_be_so_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(folder.path(), "bad-place", "");
    // The kernel's own file system refuses even root.
    let place = "/proc/razvilka-session";
    for arguments in [
        vec!["demo", "--out", place],
        vec!["run", "--config", text(&file), "--out", place],
    ] {
        let (code, said) = refused(&arguments);
        assert_eq!(code, 2, "{said}");
        assert!(
            said.contains("/proc/razvilka-session cannot be written") && said.contains("--out"),
            "{said}"
        );
    }
}

#[test]
fn a_demo_that_cannot_begin_leaves_nothing_beside_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken");
    fs::create_dir(&taken).unwrap();
    fs::write(taken.join("thesis.txt"), "mine").unwrap();
    let (code, said) = refused(&["demo", "--out", text(&taken)]);
    assert_eq!(code, 2, "{said}");
    let session = folder.path().join("session");
    let (code, said) = refused(&["demo", "--model", text(&taken), "--out", text(&session)]);
    assert_eq!(code, 4, "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_demo_whose_laboratory_fails_says_what_the_laboratory_said() {
    let folder = tempfile::tempdir().unwrap();
    // The laboratory writes no file that is there already; `exec` keeps the process id that the file's name has.
    let script = "echo mine > \"$1/session.truth-$$.jsonl\"; exec \"$0\" demo --out \"$1/session\"";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_razvilka")])
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("the truth file"), "{said}");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(fs::read_to_string(left[0].path()).unwrap(), "mine\n");
}

#[test]
fn an_option_that_a_replay_would_not_heed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recording.xdf");
    fs::write(&file, "").unwrap();
    let (session, file) = (text(folder.path()), text(&file));
    let score = ["--calibration", "profile.json"];
    for (path, purpose, misplaced) in [
        (session, &["--out", "again"][..], &["--speed", "2"][..]),
        (session, &["--out", "again"], &["--fast"]),
        (session, &["--out", "again"], &["--loop"]),
        (session, &["--out", "again"], &["--recover"]),
        (session, &["--out", "again"], &["--laboratory"]),
        (session, &["--out", "again"], &["--eeg", "amp"]),
        (session, &["--out", "again"], &["--markers", "m"]),
        (file, &score, &["--loop"]),
        (file, &score, &["--laboratory"]),
        (file, &["--publish"], &["--eeg", "amp"]),
        (file, &["--publish"], &["--markers", "m"]),
    ] {
        let arguments = [&["replay", path], purpose, misplaced].concat();
        let (code, said) = refused(&arguments);
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(
            said.contains(misplaced[0]) && said.contains("Leave it out"),
            "{arguments:?}: {said}"
        );
    }
    assert!(!folder.path().join("again").exists());
}

#[test]
fn no_streams_at_all_says_which_addresses_were_asked() {
    let (code, said) = refused(&[
        "streams",
        "--loopback",
        "--session-id",
        "bad-silence",
        "--timeout-s",
        "0.5",
    ]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("127.0.0.1"), "{said}");
}

#[test]
fn a_truncated_recording_is_refused_with_the_offset_and_no_profile_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden/xdf");
    let whole = fs::read_dir(whole)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "xdf"))
        .unwrap();
    let bytes = fs::read(whole).unwrap();
    let cut = folder.path().join("cut.xdf");
    fs::write(&cut, &bytes[..bytes.len() - 3]).unwrap();
    let out = folder.path().join("calibration");
    let (code, said) = refused(&["calibrate", "--xdf", text(&cut), "--out", text(&out)]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("cut.xdf") && said.contains("byte"), "{said}");
    // The way around is named where there is one, and there alone.
    assert!(!said.contains("recover"), "{said}");
    let (code, said) = refused(&["replay", text(&cut), "--publish"]);
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("byte") && said.contains("--recover"),
        "{said}"
    );
    assert!(!out.join("profile.json").exists());
}

#[test]
fn a_profile_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("profile.json");
    fs::write(&profile, "{\"kind\": \"something else\"}").unwrap();
    let (code, said) = refused(&[
        "score",
        "p300",
        "--calibration",
        text(&profile),
        "--xdf",
        "none.xdf",
    ]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("profile.json"), "{said}");
}

#[test]
fn a_model_folder_with_a_missing_or_corrupt_file_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said) = refused(&["model", "check", text(folder.path())]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("config.json"), "{said}");

    let embedded = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/story-model");
    for name in ["config.json", "tokenizer.json"] {
        fs::copy(embedded.join(name), folder.path().join(name)).unwrap();
    }
    let weights = fs::read(embedded.join("model.safetensors")).unwrap();
    fs::write(
        folder.path().join("model.safetensors"),
        &weights[..weights.len() / 2],
    )
    .unwrap();
    let (code, said) = refused(&[
        "generate",
        "--model",
        text(folder.path()),
        "--max-tokens",
        "3",
    ]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("model.safetensors"), "{said}");
}

#[test]
fn a_pipe_in_the_place_of_a_models_file_is_refused_and_not_waited_for() {
    let embedded = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/story-model");
    for pipe in ["config.json", "tokenizer.json", "model.safetensors"] {
        let folder = tempfile::tempdir().unwrap();
        for name in ["config.json", "tokenizer.json", "model.safetensors"] {
            if name == pipe {
                let path = folder.path().join(name);
                assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
            } else {
                fs::copy(embedded.join(name), folder.path().join(name)).unwrap();
            }
        }
        let (code, said) = refused(&["model", "check", text(folder.path())]);
        assert_eq!(code, 4, "{said}");
        assert!(
            said.contains(pipe) && said.contains("regular file"),
            "{said}"
        );
    }
}

#[test]
fn a_model_of_another_family_is_refused_whatever_its_architecture_is_called() {
    let embedded = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/story-model");
    let folder = tempfile::tempdir().unwrap();
    for name in ["tokenizer.json", "model.safetensors"] {
        fs::copy(embedded.join(name), folder.path().join(name)).unwrap();
    }
    let config = fs::read_to_string(embedded.join("config.json")).unwrap();
    for kind in ["gpt2", "mistral"] {
        let other = config.replace(
            "\"model_type\": \"llama\"",
            &format!("\"model_type\": \"{kind}\""),
        );
        assert_ne!(other, config);
        fs::write(folder.path().join("config.json"), other).unwrap();
        let (code, said) = refused(&["model", "check", text(folder.path())]);
        assert_eq!(code, 4, "{said}");
        assert!(said.contains(kind), "{said}");
    }
}

#[test]
fn a_folder_that_is_taken_or_no_folder_is_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(folder.path(), "bad-folder", "");
    let taken = folder.path().join("taken");
    fs::create_dir(&taken).unwrap();
    fs::write(taken.join("thesis.txt"), "mine").unwrap();
    let (code, said) = refused(&["run", "--config", text(&file), "--out", text(&taken)]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("thesis.txt"), "{said}");
    assert_eq!(
        fs::read_to_string(taken.join("thesis.txt")).unwrap(),
        "mine"
    );
    assert_eq!(fs::read_dir(&taken).unwrap().count(), 1);

    let (code, said) = refused(&["run", "--config", text(&file), "--out", text(&file)]);
    assert_eq!(code, 2, "{said}");
}

#[test]
fn a_folder_that_is_no_session_is_not_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("again");
    let (code, said) = refused(&["replay", text(folder.path()), "--out", text(&out)]);
    assert_ne!(code, 0);
    assert_ne!(code, 70, "{said}");
    assert!(
        said.contains("manifest.json") || said.contains("session"),
        "{said}"
    );
}

#[test]
fn a_new_experiment_without_any_stream_is_one_and_is_not_replaced_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made");
    let new = |more: &[&str]| {
        let here = ["new", text(&made), "--loopback", "--session-id", "nobody"];
        razvilka(&[&here[..], &["--timeout-s", "0.4"], more].concat())
    };
    let output = new(&[]);
    assert!(output.status.success(), "{output:?}");
    let file = made.join("experiment.toml");
    let next = String::from_utf8(output.stdout).unwrap();
    for command in ["doctor --config", "run --config"] {
        let line = format!("razvilka {command} {}", text(&file));
        assert!(next.contains(&line), "{next}");
    }
    let checked = razvilka(&["run", "--config", text(&file), "--check"]);
    assert!(checked.status.success(), "{checked:?}");
    let plan = String::from_utf8(checked.stdout).unwrap();
    assert!(plan.contains("session_id = \"nobody\""), "{plan}");

    fs::write(&file, "mine").unwrap();
    let refused = new(&[]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("--force to replace it"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    assert!(new(&["--force"]).status.success());
    assert_ne!(fs::read_to_string(&file).unwrap(), "mine");
}

/// What `razvilka doctor` says of an experiment: exit code, and its findings.
fn examined(file: &Path, folder: &Path) -> (Option<i32>, Vec<serde_json::Value>) {
    let here = ["--loopback", "--session-id", "doctor"];
    let dir = ["--dir", text(folder), "--listen-s", "1", "--json"];
    let output = razvilka(&[&["doctor", "--config", text(file)][..], &dir, &here].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("panicked"), "{said}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = json["findings"].as_array().unwrap().clone();
    assert!(
        findings
            .iter()
            .all(|one| (one["level"] == "ok") == one["advice"].is_null()),
        "{findings:?}"
    );
    (output.status.code(), findings)
}

fn level<'a>(findings: &'a [serde_json::Value], what: &str) -> &'a serde_json::Value {
    let mut of_this = findings.iter().filter(|one| one["what"] == what);
    let found = of_this.next().map(|one| &one["level"]);
    found.unwrap_or_else(|| panic!("nothing is said of {what}: {findings:?}"))
}

#[test]
fn the_doctor_names_what_a_session_would_be_refused_for_and_ends_with_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let missing = "[model]\npath = \"no-model-here\"\n";
    let file = experiment(folder.path(), "doctor", missing);
    let (code, findings) = examined(&file, folder.path());
    assert_eq!(code, Some(3), "{findings:?}");
    for (what, wanted) in [
        ("file", "ok"),
        ("[eeg]", "failure"),
        ("model", "failure"),
        ("readable by", "ok"),
    ] {
        assert_eq!(level(&findings, what), wanted, "{what}");
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "the experiment file alone: {left:?}");

    let bad = "[session]\nforks = 0\n[model]\npath = \"no-model-here\"\n";
    let file = experiment(folder.path(), "doctor", bad);
    let (code, findings) = examined(&file, &folder.path().join("nowhere"));
    assert_eq!(code, Some(2), "{findings:?}");
    assert_eq!(level(&findings, "file"), "failure");
    assert_eq!(level(&findings, "free space"), "failure");
    // What else there is to say is said.
    assert_eq!(level(&findings, "model"), "ok");
}

#[cfg(feature = "window")]
mod window {
    use super::*;

    /// Runs without a display; all of stderr.
    fn without_display(arguments: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_razvilka"))
            .args(arguments)
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!said.contains("panicked"), "{said}");
        (output.status.code().unwrap(), said)
    }

    #[test]
    fn a_window_that_was_asked_for_without_a_display_is_refused_and_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("session");
        let file = experiment(folder.path(), "no-display", "");
        for arguments in [
            &["demo", "--window", "--out", text(&out)][..],
            &[
                "run",
                "--config",
                text(&file),
                "--window",
                "--out",
                text(&out),
            ],
        ] {
            let (code, said) = without_display(arguments);
            assert_eq!(code, 2, "{said}");
            assert!(said.contains("there is no display"), "{said}");
            assert!(said.contains("leave --window out"), "{said}");
        }
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "the experiment file alone: {left:?}");
    }

    #[test]
    fn a_window_that_is_welcome_but_has_no_display_leaves_the_session_in_the_terminal() {
        let folder = tempfile::tempdir().unwrap();
        let file = experiment(folder.path(), "auto", "[view]\nsurface = \"auto\"\n");
        let out = folder.path().join("session");
        let (code, said) = without_display(&["run", "--config", text(&file), "--out", text(&out)]);
        assert!(
            said.contains("the session goes on in the terminal"),
            "{said}"
        );
        // It went on: to the streams, of which there are none.
        assert_eq!(code, 3, "{said}");
        assert!(said.contains("nobody-has-this"), "{said}");
    }

    #[test]
    fn what_cannot_be_shown_is_refused_before_anything_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("no-font.ttf"), "nothing").unwrap();
        for (more, want) in [
            (
                "[view]\nfonts = [\"no-font.ttf\"]\n",
                "no-font.ttf: it is no TrueType or OpenType font",
            ),
            ("[view]\nfonts = [\"absent.ttf\"]\n", "absent.ttf"),
            ("[model]\nprompt = \"שלום\"\n", "runs from right to left"),
            (
                "[model]\nprompt = \"漢字\"\n",
                "'漢' (U+6F22), '字' (U+5B57)",
            ),
            (
                "[view]\nflash_s = 0.2\n",
                "view.flash_s = 0.2 must be shorter than",
            ),
        ] {
            // Whether there is a display is asked first, so one is named; nobody comes as far as looking for it.
            let surface = if more.starts_with("[view]") {
                more.replace("[view]\n", "[view]\nsurface = \"window\"\n")
            } else {
                format!("[view]\nsurface = \"window\"\n{more}")
            };
            let file = experiment(folder.path(), "unshown", &surface);
            let output = Command::new(env!("CARGO_BIN_EXE_razvilka"))
                .args(["run", "--config", text(&file)])
                .env("DISPLAY", ":65535")
                .output()
                .unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains(want), "{said}");
        }
    }

    #[test]
    fn keys_of_a_window_need_a_window() {
        let folder = tempfile::tempdir().unwrap();
        let file = experiment(folder.path(), "keys", "[keys]\nwindow = true\n");
        let (code, said) = refused(&["run", "--config", text(&file), "--check"]);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("keys.window = true"), "{said}");
        let shown = razvilka(&["run", "--config", text(&file), "--check", "--window"]);
        assert!(shown.status.success());
        let plan = String::from_utf8(shown.stdout).unwrap();
        assert!(plan.contains("surface = \"window\""), "{plan}");
    }
}
