//! What `razvilka streams`, `new` and `doctor` say of the streams on the network. Each test in a session of its own, as every stream of it is
//! seen.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod lsl_common;

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lsl_common::{PATIENCE, eeg, network, session};
use razvilka::source::SampleSink;
use razvilka::source::lsl::LslSampleOutlet;

#[test]
fn the_list_of_streams_says_whose_samples_share_their_stamps() {
    let mut blocks = LslSampleOutlet::new(network(), &eeg("Blocks")).unwrap();
    let mut own = LslSampleOutlet::new(network(), &eeg("Own")).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&over);
    let sending = std::thread::spawn(move || {
        let mut at_s = 1000.0;
        while !stop.load(Ordering::Relaxed) {
            let stamps: Vec<f64> = (0..16).map(|k| at_s + f64::from(k) / 500.0).collect();
            own.push(&[0.0; 16 * 8], &stamps).unwrap();
            blocks.push(&[0.0; 16 * 8], &[at_s; 16]).unwrap();
            at_s += 0.032;
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let list = |more: &[&str]| {
        let listed = Command::new(env!("CARGO_BIN_EXE_razvilka"))
            .args(["streams", "--loopback", "--session-id", &session()])
            .args(more)
            .output()
            .unwrap();
        assert!(listed.status.success(), "{listed:?}");
        String::from_utf8(listed.stdout).unwrap()
    };
    let (words, unheard) = (list(&[]), list(&["--listen-s", "0"]));
    let json: serde_json::Value = serde_json::from_str(&list(&["--json"])).unwrap();
    over.store(true, Ordering::Relaxed);
    sending.join().unwrap();
    assert!(
        words.contains("'Blocks' come in blocks of about 16 that share one stamp"),
        "{words}"
    );
    assert!(!words.contains("'Own' come"), "{words}");
    assert!(!unheard.contains("share one stamp"), "{unheard}");
    let of = |name: &str| {
        let mut streams = json.as_array().unwrap().iter();
        streams.find(|stream| stream["name"] == name).unwrap()["block_samples"].clone()
    };
    assert!(of("Own").is_null() && (of("Blocks").as_f64().unwrap() - 16.0).abs() < 1.0);
}

/// Runs razvilka with these words; all of it.
fn razvilka(words: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_razvilka"))
        .args(words)
        .output()
        .unwrap()
}

#[test]
fn a_new_experiment_pins_the_devices_that_are_here_and_the_doctor_finds_them_well() {
    let session = format!("new-{}", std::process::id());
    let here = ["--loopback", "--session-id", &session];
    let mut devices = Command::new(env!("CARGO_BIN_EXE_razvilka"))
        .args(["simulate", "--until-stdin-closes", "--preset", "easy"])
        .args(["--seed", "5", "--session-id", &session])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + 3 * PATIENCE;
    loop {
        let listed = razvilka(&[&["streams", "--json", "--listen-s", "0"][..], &here].concat());
        let found: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap_or_default();
        if found.as_array().is_some_and(|streams| streams.len() >= 3) {
            break;
        }
        assert!(Instant::now() < until, "{listed:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let made = razvilka(&[&["new", path][..], &here].concat());
    assert!(made.status.success(), "{made:?}");
    let file = folder.path().join("experiment.toml");
    let file = file.to_str().unwrap();
    let checked = razvilka(&["run", "--config", file, "--check"]);
    assert!(checked.status.success(), "{checked:?}");
    let plan = String::from_utf8(checked.stdout).unwrap();
    for source_id in [
        "razvilka-sim-eeg-5",
        "razvilka-sim-gaze-5",
        "razvilka-sim-keys-5",
    ] {
        assert!(plan.contains(source_id), "{plan}");
    }

    let examined = razvilka(&["doctor", "--config", file, "--dir", path, "--json"]);
    drop(devices.stdin.take());
    devices.wait().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&examined.stdout).unwrap();
    assert_eq!(examined.status.code(), Some(0), "{json:#}");
    let findings = json["findings"].as_array().unwrap();
    let level = |what: &str| {
        let found = findings.iter().find(|one| one["what"] == what);
        found.unwrap_or_else(|| panic!("{what}: {json:#}"))["level"].clone()
    };
    for what in [
        "file",
        "discovery",
        "[eeg]",
        "[gaze]",
        "[keys]",
        "with the experiment",
        "model",
    ] {
        assert_eq!(level(what), "ok", "{what}: {json:#}");
    }
    let eeg = findings
        .iter()
        .find(|one| one["what"] == "\"RazvilkaSimEEG\"");
    let figure = eeg.unwrap()["figure"].as_str().unwrap();
    assert!(figure.contains("Hz measured over 3 s"), "{figure}");
}
