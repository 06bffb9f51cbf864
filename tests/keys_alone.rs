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
use razvilka::choice::Why;
use razvilka::decode::Model;
use razvilka::engine::replay::RecordedSession;
use razvilka::fork::{Chooser, ForkOrigin};
use razvilka::gate::AbortReason;
use razvilka::marker::Key;
use razvilka::rt;
use razvilka::session::{Entry, Folder, Ledger, SessionFile};
use razvilka::source::lsl::LslMarkerOutlet;
use razvilka::source::{MarkerSink, StreamSpec};

/// A session of keys alone, in a folder of its own.
struct Session {
    parent: tempfile::TempDir,
    child: Child,
}

impl Session {
    fn start(spec: &StreamSpec, forks: u32) -> Self {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("experiment.toml");
        let words = format!(
            "[keys]\npins = {{ source_id = \"{}\" }}\n\
             [network]\nmode = \"loopback\"\nsession_id = \"{}\"\nresolve_s = 2.0\n\
             [session]\nforks = {forks}\nminutes_max = 5.0\n",
            spec.source_id,
            session()
        );
        std::fs::write(&file, words).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_razvilka"))
            .args(["run", "--config"])
            .arg(&file)
            .arg("--out")
            .arg(parent.path().join("session"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { parent, child }
    }

    /// Presses these keys in turn until the program ends; gives its exit code.
    fn press(&mut self, outlet: &mut LslMarkerOutlet, keys: &[Key]) -> Option<i32> {
        let until = Instant::now() + 3 * PATIENCE;
        for key in keys.iter().cycle() {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "the session does not end");
            outlet.push(&key.to_json(), rt::lsl_now().get()).unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
        None
    }

    fn entries(&self) -> Vec<Entry> {
        let (folder, manifest) = Folder::open(&self.parent.path().join("session")).unwrap();
        assert!(manifest.complete && manifest.profile_sha256.is_none());
        let ledger = Ledger::open_read_only(&folder.file(SessionFile::Ledger)).unwrap();
        ledger.verify().unwrap();
        ledger.entries().unwrap()
    }

    fn assert_replays_bit_for_bit(&self) {
        let again = Folder::create(&self.parent.path().join("again")).unwrap();
        let model = Arc::new(Model::embedded().unwrap());
        let report = RecordedSession::open(&self.parent.path().join("session"))
            .unwrap()
            .replay(model, &again, vec!["test".into()])
            .unwrap();
        assert!(
            report.is_identical() && report.incomplete.is_empty(),
            "{report:?}\n{:#?}",
            self.entries()
        );
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn humans_choices(entries: &[Entry]) -> usize {
    let by_person = |entry: &&Entry| {
        matches!(entry, Entry::Choice(row)
            if row.chooser == Some(Chooser::Human) && row.item == Some(0))
    };
    entries.iter().filter(by_person).count()
}

#[test]
fn a_session_of_keys_alone_needs_no_calibration_and_replays_bit_for_bit() {
    let spec = markers("switch");
    let mut outlet = LslMarkerOutlet::new(network(), &spec).unwrap();
    let mut session = Session::start(&spec, 2);
    let code = session.press(&mut outlet, &[Key::Select { item: 0 }]);
    assert_eq!(code, Some(0));
    assert_eq!(humans_choices(&session.entries()), 2);
    session.assert_replays_bit_for_bit();
}

#[test]
fn a_fork_some_words_back_can_be_called_for_while_another_is_open() {
    let spec = markers("caller");
    let mut outlet = LslMarkerOutlet::new(network(), &spec).unwrap();
    let mut session = Session::start(&spec, 8);
    let select = Key::Select { item: 0 };
    let keys = [
        Key::Call { back: 4 },
        select,
        Key::Call { back: 0 },
        select,
        Key::Undo,
        select,
        select,
        Key::Call { back: 2 },
        select,
        Key::Select { item: 1 },
    ];
    assert_eq!(session.press(&mut outlet, &keys), Some(0));
    let entries = session.entries();
    let withdrawn = |entry: &&Entry| {
        matches!(entry, Entry::Choice(row)
            if row.why == Why::Aborted(AbortReason::Withdrawn) && row.chooser.is_none())
    };
    let called =
        |entry: &&Entry| matches!(entry, Entry::Fork(row) if row.origin == ForkOrigin::Called);
    assert!(entries.iter().filter(withdrawn).count() > 0, "{entries:?}");
    assert!(entries.iter().filter(called).count() > 0);
    session.assert_replays_bit_for_bit();
}

#[test]
fn a_switch_that_is_lost_is_found_again() {
    let spec = markers("loose-contact");
    let mut outlet = LslMarkerOutlet::new(network(), &spec).unwrap();
    let mut session = Session::start(&spec, 2);
    assert!(outlet.wait_for_consumers(PATIENCE));
    drop(outlet);
    std::thread::sleep(Duration::from_secs(1));
    outlet = LslMarkerOutlet::new(network(), &spec).unwrap();
    assert!(outlet.wait_for_consumers(PATIENCE));
    let code = session.press(&mut outlet, &[Key::Select { item: 0 }]);
    assert_eq!(code, Some(0));
    let entries = session.entries();
    assert_eq!(humans_choices(&entries), 2);
    for words in ["was lost", "is back"] {
        let told =
            |entry: &&Entry| matches!(entry, Entry::Event(row) if row.detail.contains(words));
        assert_eq!(entries.iter().filter(told).count(), 1, "{words}");
    }
    session.assert_replays_bit_for_bit();
}
