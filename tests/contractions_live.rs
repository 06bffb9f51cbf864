//! A whole session over LSL on 127.0.0.1 in which contractions of the jaw count: asked for in the live calibration, heard at forks, made again
//! by a replay.

#![allow(clippy::unwrap_used)] // what cannot go on here should say so at once

mod simulated_common;

use std::fs;
use std::path::{Path, PathBuf};

use razvilka::gate::GateInput;
use razvilka::session::{Entry, Ledger};
use razvilka_calibration::Profile;
use simulated_common::{Simulated, assert_replays, razvilka};

fn experiment(folder: &Path, session: &str, more: &str) -> PathBuf {
    let file = folder.join("experiment.toml");
    let text = format!(
        "[eeg]\npins = {{ source_id = \"razvilka-sim-eeg-5\" }}\n\
         [gaze]\npins = {{ source_id = \"razvilka-sim-gaze-5\" }}\nunits = \"normalised\"\n\
         confidence = \"confidence\"\n\
         [screen]\nwidth_cm = 53.0\nheight_cm = 30.0\ndistance_cm = 65.0\n\
         [network]\nmode = \"loopback\"\nsession_id = \"{session}\"\nresolve_s = 5.0\n\
         [session]\nforks = 5\nminutes_max = 2.0\n\
         [calibration]\nblink_s = 0.0\nblocks = 4\nflashes_per_item = 4\npoints = 5\ncheck_points = 2\npoint_s = 0.8\n\
         [ask]\nreading_base_s = 0.2\nreading_s_per_word = 0.02\n{more}"
    );
    fs::write(&file, text).unwrap();
    file
}

fn session(folder: &Path, config: &Path) -> (Option<i32>, String) {
    let done = razvilka()
        .args(["run", "--config"])
        .arg(config)
        .arg("--out")
        .arg(folder.join("session"))
        .output()
        .unwrap();
    let said = [done.stdout, done.stderr].concat();
    (
        done.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn a_live_session_hears_contractions_and_replays_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let more = "[contraction]\non = true\ncues = 14\ncue_every_s = 4.0\n\
                [gate]\ncommit_threshold = 0.985\n[gate.gaze]\ntotal_clip_nats = 2.0\n[gate.p300]\ntotal_clip_nats = 2.0\n";
    let config = experiment(folder.path(), "contractions-live", more);
    let jaw = ["--contraction", "jaw", "--muscles-per-min", "2"];
    let _simulated = Simulated::start("contractions-live", &jaw);
    let (code, said) = session(folder.path(), &config);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("contraction (T7, T8)"), "{said}");
    let out = folder.path().join("session");
    let profile = Profile::load(&out.join("calibration/profile.json")).unwrap();
    let learnt = profile.contraction.unwrap();
    assert!(learnt.cues == 14 && learnt.hits >= 9, "{learnt:?}");
    let ledger = Ledger::open_read_only(&out.join("ledger.sqlite")).unwrap();
    ledger.verify().unwrap();
    let (mut looks, mut contractions) = (0, 0);
    for entry in ledger.entries().unwrap() {
        if let Entry::Evidence(row) = entry {
            looks += u32::from(matches!(row.input, GateInput::Look { .. }));
            contractions += u32::from(matches!(row.input, GateInput::Contraction { .. }));
        }
    }
    println!("{looks} looks, {contractions} contractions; {said}");
    assert!(
        looks > 0 && contractions > 0,
        "{looks} {contractions} {said}"
    );
    assert_replays(folder.path(), &out);
}

#[test]
fn a_stream_that_sees_no_muscle_is_refused_before_anybody_is_asked_to_clench() {
    let folder = tempfile::tempdir().unwrap();
    let more = "[contraction]\non = true\n";
    let config = experiment(folder.path(), "contractions-unseen", more);
    let _simulated = Simulated::start("contractions-unseen", &[]);
    let (code, said) = session(folder.path(), &config);
    assert_ne!(code, Some(0), "{said}");
    assert!(
        said.contains("no channel of stream")
            && said.contains("sees it")
            && said.contains("contraction.channels"),
        "{said}"
    );
}
