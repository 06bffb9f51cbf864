//! A disk that fills up in mid-session, through the binary. The disk is a small file system in memory, which only root may
//! mount; where that is not allowed the test says so and ends.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod lsl_common;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lsl_common::{PATIENCE, markers, network, session};
use razvilka::marker::Key;
use razvilka::rt;
use razvilka::session::{Entry, EventKind, Folder, Ledger, SessionFile};
use razvilka::source::MarkerSink;
use razvilka::source::lsl::LslMarkerOutlet;

/// A file system in memory, unmounted when it goes.
struct Disk(PathBuf);

impl Disk {
    fn of(folder: &Path, size: &str) -> Option<Self> {
        let place = folder.join("disk");
        fs::create_dir(&place).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&place)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        mounted.then_some(Self(place))
    }

    /// Takes the last byte.
    fn fill(&self) {
        let path = self.0.join("of-others");
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        for block in [1 << 20, 4096, 1] {
            while file.write_all(&vec![1; block]).is_ok() {}
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_disk_that_fills_up_in_mid_session_ends_it_in_order_and_the_folder_says_so() {
    let parent = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::of(parent.path(), "40m") else {
        println!("skipped: no file system can be mounted here");
        return;
    };
    let spec = markers("switch-full");
    let mut outlet = LslMarkerOutlet::new(network(), &spec).unwrap();
    let file = parent.path().join("experiment.toml");
    let words = format!(
        "[keys]\npins = {{ source_id = \"{}\" }}\n\
         [network]\nmode = \"loopback\"\nsession_id = \"{}\"\nresolve_s = 2.0\n\
         [session]\nforks = 500\nminutes_max = 5.0\n",
        spec.source_id,
        session()
    );
    fs::write(&file, words).unwrap();
    let out = disk.0.join("session");
    let said = parent.path().join("said.txt");
    let mut child = Command::new(env!("CARGO_BIN_EXE_razvilka"))
        .args(["run", "--config"])
        .arg(&file)
        .arg("--out")
        .arg(&out)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let until = Instant::now() + 3 * PATIENCE;
    let mut full = false;
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if Instant::now() > until {
            child.kill().unwrap();
            panic!("the session does not end");
        }
        outlet
            .push(&Key::Select { item: 0 }.to_json(), rt::lsl_now().get())
            .unwrap();
        // Text on the disk, beyond its prompt and the first choice, means that the session is under way.
        if !full && fs::metadata(out.join("text.txt")).is_ok_and(|text| text.len() > 100) {
            disk.fill();
            full = true;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let said = fs::read_to_string(&said).unwrap();
    assert!(full, "the session ended before the disk was full: {said}");
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("the session ended in order"), "{said}");
    assert!(
        said.matches("the ledger cannot be written").count() <= 1
            && said.matches("the text could not be written").count() <= 1,
        "each fault is told once: {said}"
    );

    let (folder, manifest) = Folder::open(&out).unwrap();
    assert!(!manifest.complete && manifest.ended_utc.is_some());
    assert!(
        manifest
            .recording_incomplete
            .iter()
            .any(|words| words.contains("the session ended early")),
        "{:?}",
        manifest.recording_incomplete
    );
    for file in [
        SessionFile::Summary,
        SessionFile::Latency,
        SessionFile::Report,
    ] {
        assert!(folder.file(file).is_file(), "{} is missing", file.name());
    }
    let ledger = Ledger::open_read_only(&folder.file(SessionFile::Ledger)).unwrap();
    assert_eq!(Some(ledger.verify().unwrap()), manifest.ledger);
    // Whatever was decided is in the ledger, to the event that closes it.
    let (forks, choices) = (ledger.forks().unwrap(), ledger.choices().unwrap());
    assert!(!forks.is_empty() && choices.len() + 1 >= forks.len());
    let last = ledger.entries().unwrap().pop().unwrap();
    assert!(matches!(last, Entry::Event(row) if row.kind == EventKind::End));
    // It replays as a session that is not whole, and not as one that comes out otherwise.
    let replayed = Command::new(env!("CARGO_BIN_EXE_razvilka"))
        .arg("replay")
        .arg(&out)
        .arg("--out")
        .arg(parent.path().join("again"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&replayed.stderr);
    assert_eq!(replayed.status.code(), Some(6), "{said}");
    assert!(said.contains("what is there came out the same"), "{said}");
}

#[test]
fn the_room_kept_for_a_sessions_end_is_given_back_and_leaves_no_file() {
    let parent = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::of(parent.path(), "20m") else {
        println!("skipped: no file system can be mounted here");
        return;
    };
    let folder = Folder::create(&disk.0.join("session")).unwrap();
    let names = fs::read_dir(folder.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [".lock"]);
    disk.fill();
    let report = vec![b'x'; 4 << 20];
    assert!(folder.write(SessionFile::Report, &report).is_err());
    folder.reserve().unwrap().release();
    folder.write(SessionFile::Report, &report).unwrap();
}
