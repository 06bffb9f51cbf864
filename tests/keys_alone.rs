//! A session in which keys alone choose, through the binary: nothing is calibrated, and it replays like any other.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod lsl_common;

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lsl_common::{PATIENCE, markers, network, session};
use razvilka::decode::Model;
use razvilka::engine::replay::RecordedSession;
use razvilka::fork::Chooser;
use razvilka::marker::Key;
use razvilka::rt;
use razvilka::session::{Entry, Folder, Ledger, SessionFile};
use razvilka::source::MarkerSink;
use razvilka::source::lsl::LslMarkerOutlet;

/// Presses a key now and then until the program ends; gives its exit code.
fn press_until_it_ends(child: &mut Child, outlet: &mut LslMarkerOutlet, key: Key) -> Option<i32> {
    let until = Instant::now() + 3 * PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > until {
            child.kill().unwrap();
            panic!("the session does not end");
        }
        outlet.push(&key.to_json(), rt::lsl_now().get()).unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_session_of_keys_alone_needs_no_calibration_and_replays_bit_for_bit() {
    let parent = tempfile::tempdir().unwrap();
    let spec = markers("switch");
    let mut outlet = LslMarkerOutlet::new(network(), &spec).unwrap();
    let file = parent.path().join("experiment.toml");
    let words = format!(
        "[keys]\npins = {{ source_id = \"{}\" }}\n\
         [network]\nmode = \"loopback\"\nsession_id = \"{}\"\nresolve_s = 2.0\n\
         [session]\nforks = 2\nminutes_max = 5.0\n",
        spec.source_id,
        session()
    );
    std::fs::write(&file, words).unwrap();
    let out = parent.path().join("session");
    let mut child = Command::new(env!("CARGO_BIN_EXE_razvilka"))
        .args(["run", "--config"])
        .arg(&file)
        .arg("--out")
        .arg(&out)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let code = press_until_it_ends(&mut child, &mut outlet, Key::Select { item: 0 });
    assert_eq!(code, Some(0));

    let (folder, manifest) = Folder::open(&out).unwrap();
    assert!(manifest.complete && manifest.profile_sha256.is_none());
    let ledger = Ledger::open_read_only(&folder.file(SessionFile::Ledger)).unwrap();
    let chosen = ledger.entries().unwrap().into_iter();
    let chosen = chosen.filter(|entry| {
        matches!(entry, Entry::Choice(row)
            if row.chooser == Some(Chooser::Human) && row.item == Some(0))
    });
    assert_eq!(chosen.count(), 2);

    let again = Folder::create(&parent.path().join("again")).unwrap();
    let model = Arc::new(Model::embedded().unwrap());
    let report = RecordedSession::open(&out)
        .unwrap()
        .replay(model, &again, vec!["test".into()])
        .unwrap();
    assert!(
        report.is_identical() && report.incomplete.is_empty(),
        "{report:?}"
    );
}
