//! A tracker of two eyes, in the words of TittaLSL, with pupils and lids, over loopback LSL: one eye is lost for a while and the other for
//! good, the state of the eyes rests on the lids, the session goes on and comes again bit for bit.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod simulated_common;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use razvilka::session::{Entry, EventKind, Ledger, Manifest};
use razvilka_calibration::Profile;
use simulated_common::{Simulated, assert_replays, razvilka};

/// Gaze alone, read as the stream describes itself. Geometry as the simulated screen's.
fn experiment(folder: &Path, session: &str, gaze: &str, more: &str) -> std::path::PathBuf {
    let file = folder.join("experiment.toml");
    let text = format!(
        "[gaze]\npins = {{ source_id = \"razvilka-sim-gaze-5\" }}\n{gaze}\n\
         [screen]\nwidth_cm = 52.7\nheight_cm = 29.6\ndistance_cm = 60.0\nwidth_px = 1920\nheight_px = 1080\n\
         [network]\nmode = \"loopback\"\nsession_id = \"{session}\"\nresolve_s = 5.0\n\
         [session]\nforks = 6\nminutes_max = 3.0\n\
         [calibration]\npoints = 5\ncheck_points = 2\npoint_s = 0.8\n\
         [ask]\nreading_base_s = 0.2\nreading_s_per_word = 0.02\n{more}"
    );
    fs::write(&file, text).unwrap();
    file
}

fn run(config: &Path, out: &Path) -> String {
    let ended = razvilka()
        .args(["run", "--config"])
        .arg(config)
        .arg("--out")
        .arg(out)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(ended.status.code(), Some(0), "{said}");
    println!("{said}");
    said
}

fn entries(out: &Path) -> Vec<Entry> {
    let ledger = Ledger::open_read_only(&out.join("ledger.sqlite")).unwrap();
    ledger.verify().unwrap();
    ledger.entries().unwrap()
}

const TWO_EYES: [&str; 5] = [
    "--two-eyes",
    "--pupil",
    "--openness",
    "--tracker-form",
    "titta",
];

#[test]
fn two_eyes_of_which_one_is_lost_for_good_play_a_session_that_comes_again_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("session");
    let openness = "openness = \"diameter.eye_openness.left_eye\"";
    let state = "[state]\nbaseline_s = 30.0\nrecent_s = 20.0\n";
    let config = experiment(folder.path(), "two-eyes", openness, state);
    let more = ["--eye-lost", "left@fork1+1", "--eye-lost", "right@fork2"];
    let _simulated = Simulated::start("two-eyes", &[&TWO_EYES[..], &more[..]].concat());
    let said = run(&config, &out);
    assert!(said.contains("right eye"), "{said}");
    let profile = Profile::load(&out.join("calibration/profile.json")).unwrap();
    let gaze = profile.gaze.unwrap();
    assert!(gaze.left.is_some() && gaze.right.is_some());
    let manifest: Manifest =
        serde_json::from_slice(&fs::read(out.join("manifest.json")).unwrap()).unwrap();
    let gaze = manifest.streams.iter().find(|s| s.role == "gaze").unwrap();
    assert_eq!(gaze.spec.labels.len(), 14);
    let read_as = gaze.read_as.as_ref().unwrap();
    assert!(
        read_as.contains("left eye") && read_as.contains("valid.gaze_point.right_eye"),
        "{read_as}"
    );
    let lost = entries(&out)
        .into_iter()
        .filter(|entry| matches!(entry, Entry::Event(row) if row.kind == EventKind::Source && row.detail.contains("right eye")));
    assert_eq!(lost.count(), 1);
    let mut states = entries(&out).into_iter().filter_map(|entry| match entry {
        Entry::State(row) => Some(row.state.eyes),
        _ => None,
    });
    assert!(states.any(|eyes| eyes.perclos_measured == Some(true)));
    assert_replays(folder.path(), &out);
}
