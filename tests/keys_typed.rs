//! Keys typed in a terminal, through the binary and a pseudo-terminal: what is typed is taken, recorded and replayed, and
//! the terminal is as it was before, however the program ends.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod lsl_common;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use lsl_common::{PATIENCE, session};
use razvilka::decode::Model;
use razvilka::engine::replay::RecordedSession;
use razvilka::fork::Chooser;
use razvilka::recording::xdf::{Chunk, Reader, Values};
use razvilka::session::{Entry, Folder, Ledger, SessionFile};

/// A program in a terminal of its own.
struct InTerminal {
    child: Child,
    /// The side at which a person sits.
    person: File,
    /// The other side, kept open so that the mode can be asked for when the program has ended.
    terminal: OwnedFd,
    /// Its mode before the program was there.
    before: Mode,
    shown: Receiver<Vec<u8>>,
    seen: String,
}

/// Everything of a terminal's mode that can be compared.
type Mode = (u32, u32, u32, u32, [u8; libc::NCCS]);

/// The mode of the terminal behind this descriptor.
fn mode_of(terminal: &OwnedFd) -> Mode {
    // SAFETY: termios is plain numbers, and tcgetattr writes into the one it is given.
    let mode = unsafe {
        let mut mode: libc::termios = std::mem::zeroed();
        assert_eq!(libc::tcgetattr(terminal.as_raw_fd(), &raw mut mode), 0);
        mode
    };
    (
        mode.c_iflag,
        mode.c_oflag,
        mode.c_cflag,
        mode.c_lflag,
        mode.c_cc,
    )
}

impl InTerminal {
    fn start(config: &Path, out: &Path) -> Self {
        let (mut person, mut terminal) = (-1, -1);
        // SAFETY: two valid places for descriptors; name, mode and size may be null.
        let opened = unsafe {
            libc::openpty(
                &raw mut person,
                &raw mut terminal,
                std::ptr::null_mut(),
                std::ptr::null(),
                std::ptr::null(),
            )
        };
        assert_eq!(opened, 0);
        // SAFETY: fresh descriptors that nobody else owns.
        let (person, terminal) =
            unsafe { (File::from_raw_fd(person), OwnedFd::from_raw_fd(terminal)) };
        let before = mode_of(&terminal);
        let side = || terminal.try_clone().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_razvilka"));
        command
            .args(["run", "--config"])
            .arg(config)
            .arg("--out")
            .arg(out)
            .env("NO_COLOR", "1")
            .stdin(side())
            .stdout(side())
            .stderr(side());
        // SAFETY: setsid and ioctl are async-signal-safe; they make the terminal the child's own, for Ctrl-C.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0);
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        let mut reading = person.try_clone().unwrap();
        let (send, shown) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count) = reading.read(&mut bytes) {
                if count == 0 || send.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            person,
            terminal,
            before,
            shown,
            seen: String::new(),
        }
    }

    fn mode(&self) -> Mode {
        mode_of(&self.terminal)
    }

    /// Types, as late as a person would: the program must have come to wait for it.
    fn hits(&mut self, keys: &str) {
        std::thread::sleep(Duration::from_millis(200));
        self.person.write_all(keys.as_bytes()).unwrap();
    }

    /// Reads on until `text` has been shown after what was waited for before.
    fn shows(&mut self, text: &str) {
        let until = Instant::now() + 3 * PATIENCE;
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.shown.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("no {text:?} in {:?}", self.seen),
            }
        }
    }

    /// Waits for the end; what is shown meanwhile is read, so that nothing is held up.
    fn ends(&mut self) -> ExitStatus {
        let until = Instant::now() + 3 * PATIENCE;
        loop {
            while let Ok(bytes) = self.shown.recv_timeout(Duration::from_millis(20)) {
                self.seen.push_str(&String::from_utf8_lossy(&bytes));
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "it does not end: {:?}", self.seen);
        }
    }
}

impl Drop for InTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn experiment(folder: &Path) -> PathBuf {
    let file = folder.join("experiment.toml");
    let words = format!(
        "[keys]\nterminal = true\n\
         [network]\nmode = \"loopback\"\nsession_id = \"{}\"\n\
         [session]\nforks = 50\nminutes_max = 5.0\n\
         [gate]\ntimeout_s = 60.0\n",
        session()
    );
    std::fs::write(&file, words).unwrap();
    file
}

/// What stands in the recorded stream of typed keys.
fn typed(recording: &Path) -> Vec<String> {
    let mut keys = None;
    let mut typed = Vec::new();
    for chunk in Reader::open(recording).unwrap() {
        match chunk.unwrap() {
            Chunk::StreamHeader { stream, spec } if spec.name == "RazvilkaKeys" => {
                assert_eq!((spec.kind.as_str(), spec.rate_hz), ("Markers", 0.0));
                keys = Some(stream);
            }
            Chunk::Samples(samples) if Some(samples.stream) == keys => {
                if let Values::Text(texts) = samples.values {
                    typed.extend(texts);
                }
            }
            _ => {}
        }
    }
    typed
}

#[test]
fn a_typed_digit_is_taken_as_the_persons_choice_and_q_ends_the_session_in_order() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("session");
    let mut run = InTerminal::start(&experiment(parent.path()), &out);
    let before = run.before;
    run.shows("q ends the session");
    assert_ne!(run.mode(), before, "keys come one by one");
    run.hits("?");
    run.shows("q ends the session");
    for (key, fork) in [("1", "fork 0 "), ("0", "fork 1 ")] {
        run.shows(fork);
        run.shows("[go on]");
        run.hits(key);
        run.shows("-> person: “");
    }
    run.shows("fork 2 ");
    run.shows("[go on]");
    run.hits("u");
    run.shows("-> person: [undo]");
    run.hits("q");
    let status = run.ends();
    assert_eq!(status.code(), Some(0), "{}", run.seen);
    assert_eq!(run.mode(), before);
    assert!(run.seen.contains("it was stopped"), "{}", run.seen);
    assert!(
        !run.seen.replace("\r\n", "").contains('\n'),
        "lines begin at the left edge"
    );

    let (folder, manifest) = Folder::open(&out).unwrap();
    assert!(manifest.complete);
    let roles: Vec<_> = manifest
        .streams
        .iter()
        .map(|found| (found.role.as_str(), found.spec.name.as_str()))
        .collect();
    assert_eq!(
        roles,
        [("terminal", "RazvilkaKeys"), ("markers", "Razvilka")]
    );
    let ledger = Ledger::open_read_only(&folder.file(SessionFile::Ledger)).unwrap();
    let items: Vec<_> = ledger
        .entries()
        .unwrap()
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::Choice(row) if row.chooser == Some(Chooser::Human) => Some(row.item),
            _ => None,
        })
        .collect();
    assert_eq!(items.len(), 3, "{items:?}");
    assert_eq!(items[..2], [Some(1), Some(0)]);
    assert_eq!(
        typed(&folder.file(SessionFile::Recording)),
        [
            r#"{"key":"select","item":1}"#,
            r#"{"key":"select","item":0}"#,
            r#"{"key":"undo"}"#,
            r#"{"key":"quit"}"#,
        ]
    );

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

#[test]
fn ctrl_c_ends_the_session_in_order_and_the_terminal_is_as_it_was() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("session");
    let mut run = InTerminal::start(&experiment(parent.path()), &out);
    let before = run.before;
    run.shows("fork 0 ");
    run.hits("\x03");
    let status = run.ends();
    assert_eq!(status.code(), Some(0), "{}", run.seen);
    assert_eq!(run.mode(), before);
    let (_, manifest) = Folder::open(&out).unwrap();
    assert!(manifest.complete);
}

#[test]
fn a_program_that_is_ended_by_force_leaves_the_terminal_as_it_was() {
    for signal in [libc::SIGQUIT, libc::SIGABRT] {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("session");
        let mut run = InTerminal::start(&experiment(parent.path()), &out);
        let before = run.before;
        run.shows("fork 0 ");
        assert_ne!(run.mode(), before);
        let pid = i32::try_from(run.child.id()).unwrap();
        // SAFETY: a signal to our own child, which has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
        assert_eq!(run.ends().signal(), Some(signal));
        assert_eq!(run.mode(), before);
    }
}

#[test]
fn a_session_that_cannot_begin_leaves_the_terminal_as_it_was() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("session");
    let file = experiment(parent.path());
    let words = std::fs::read_to_string(&file).unwrap();
    let gone = "[eeg]\npins = { source_id = \"nobody-has-this\" }\n";
    std::fs::write(&file, format!("{words}{gone}")).unwrap();
    let mut run = InTerminal::start(&file, &out);
    let before = run.before;
    let status = run.ends();
    assert_eq!(status.code(), Some(3), "{}", run.seen);
    assert_eq!(run.mode(), before);
    assert!(!out.exists());
}
