//! Sessions by the binary alone: the simulated laboratory as a process, and the replay of what was recorded.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use razvilka::engine::replay::ReplayReport;

pub(crate) fn razvilka() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_razvilka"));
    command.stdin(Stdio::null());
    command
}

/// The simulated laboratory; killed when dropped.
pub(crate) struct Simulated(Child);

impl Simulated {
    /// `more` are arguments of `razvilka simulate`.
    pub(crate) fn start(session: &str, more: &[&str]) -> Self {
        let mut command = razvilka();
        command.args(["simulate", "--seed", "5", "--pace", "2"]);
        command.args(["--session-id", session]);
        command.args(more);
        let simulated = command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(simulated.spawn().unwrap())
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Replays the session in `out` into a folder inside of `folder`; nothing may differ.
pub(crate) fn assert_replays(folder: &Path, out: &Path) {
    let again = folder.join("again");
    let replayed = razvilka()
        .arg("replay")
        .arg(out)
        .arg("--out")
        .arg(&again)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&replayed.stderr);
    assert_eq!(replayed.status.code(), Some(0), "{words}");
    let report = fs::read(again.join("replay.json")).unwrap();
    let report: ReplayReport = serde_json::from_slice(&report).unwrap();
    assert!(report.is_identical(), "{report:?}");
    assert!(report.evidence.compared > 0);
}
