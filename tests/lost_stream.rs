//! A laboratory that dies in mid-session and comes back: the session waits for it, goes on, and replays bit for bit.

#![allow(clippy::unwrap_used)] // what cannot go on here should say so at once

mod simulated_common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use razvilka::session::{Entry, EventKind, Ledger};
use razvilka_calibration::Profile;
use simulated_common::{Simulated, assert_replays, razvilka};

/// `eeg` goes into the section of the EEG stream.
fn experiment(folder: &Path, session: &str, eeg: &str, more: &str) -> std::path::PathBuf {
    let file = folder.join("experiment.toml");
    let text = format!(
        "[eeg]\npins = {{ source_id = \"razvilka-sim-eeg-5\" }}\n{eeg}\n\
         [gaze]\npins = {{ source_id = \"razvilka-sim-gaze-5\" }}\nunits = \"normalised\"\n\
         confidence = \"confidence\"\n\
         [screen]\nwidth_cm = 53.0\nheight_cm = 30.0\ndistance_cm = 65.0\n\
         [network]\nmode = \"loopback\"\nsession_id = \"{session}\"\nresolve_s = 5.0\n\
         [session]\nforks = 4\nminutes_max = 5.0\n\
         [calibration]\nblocks = 5\nflashes_per_item = 4\npoints = 5\ncheck_points = 2\npoint_s = 0.8\n\
         [ask]\nreading_base_s = 0.2\nreading_s_per_word = 0.02\n{more}"
    );
    fs::write(&file, text).unwrap();
    file
}

fn run(config: &Path, out: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = razvilka()
        .args(["run", "--config"])
        .arg(config)
        .arg("--out")
        .arg(out)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    (child, lines)
}

/// Reads on to a line that holds `words`.
fn read_until(lines: &mut BufReader<ChildStdout>, words: &str) -> String {
    let mut all = String::new();
    loop {
        let mut line = String::new();
        let n = lines.read_line(&mut line).unwrap();
        assert!(n > 0, "'{words}' never came: {all}");
        all.push_str(&line);
        if line.contains(words) {
            return all;
        }
    }
}

fn rest_of(mut child: Child, mut lines: BufReader<ChildStdout>) -> (Option<i32>, String) {
    let mut said = String::new();
    while lines.read_line(&mut said).unwrap() > 0 {}
    let mut stderr = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut stderr).unwrap();
    said.push_str(&stderr);
    (child.wait().unwrap().code(), said)
}

fn source_events(out: &Path) -> Vec<String> {
    let ledger = Ledger::open_read_only(&out.join("ledger.sqlite")).unwrap();
    ledger.verify().unwrap();
    let events = ledger.entries().unwrap().into_iter();
    events
        .filter_map(|entry| match entry {
            Entry::Event(row) if row.kind == EventKind::Source => Some(row.detail),
            _ => None,
        })
        .collect()
}

#[test]
fn a_session_waits_for_lost_streams_goes_on_and_replays_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("session");
    let config = experiment(folder.path(), "lost-and-found", "", "");
    let simulated = Simulated::start("lost-and-found", &[]);
    let (child, mut lines) = run(&config, &out);
    read_until(&mut lines, "-> ");
    drop(simulated);
    std::thread::sleep(Duration::from_secs(3));
    let _simulated = Simulated::start("lost-and-found", &[]);
    let (code, said) = rest_of(child, lines);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("all forks were answered"), "{said}");
    let events = source_events(&out);
    for stream in ["eeg", "gaze"] {
        assert!(
            events
                .iter()
                .any(|e| e.starts_with(&format!("the {stream} stream was lost"))),
            "{events:?}"
        );
        let back = events.iter().filter(|e| e.contains("restarted"));
        assert!(
            back.clone().any(|e| e.contains(&format!("\"{stream}\""))),
            "{events:?}"
        );
    }
    assert_replays(folder.path(), &out);
}

#[test]
fn a_stream_that_does_not_come_back_ends_the_session_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("session");
    let more = "[streams]\nlost_wait_s = 1.0\n";
    // On some of the channels only, which the live calibration must fit, too.
    let channels = "use_channels = [\"Pz\", \"Cz\", \"PO7\", \"PO8\", \"Oz\"]";
    let config = experiment(folder.path(), "lost-for-good", channels, more);
    let simulated = Simulated::start("lost-for-good", &[]);
    let (child, mut lines) = run(&config, &out);
    read_until(&mut lines, "-> ");
    drop(simulated);
    let (code, said) = rest_of(child, lines);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("was lost and did not come back"), "{said}");
    for file in [
        "manifest.json",
        "session.xdf",
        "ledger.sqlite",
        "text.txt",
        "report.html",
    ] {
        assert!(out.join(file).is_file(), "{file}");
    }
    assert!(!source_events(&out).is_empty());
    let profile = Profile::load(&out.join("calibration/profile.json")).unwrap();
    let labels = profile.eeg.unwrap().labels;
    assert_eq!(labels, ["Pz", "Cz", "PO7", "PO8", "Oz"]);
}
