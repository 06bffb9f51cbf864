//! Streams that a session cannot begin with, or that go bad in it, through the binary.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod lsl_common;
mod replay_common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use lsl_common::{eeg, network, session};
use razvilka::config::{EegSection, KeysSection, NetworkMode, NetworkSection, Plan};
use razvilka::session::{Entry, EventKind, Folder, Ledger, SessionFile};
use razvilka::sim::Streams;
use razvilka::source::lsl::LslSampleOutlet;
use razvilka::source::pins::Pins;
use replay_common::{plan, profile, settings};

fn run(plan: &Plan, folder: &Path) -> (Output, PathBuf) {
    let file = folder.join("experiment.toml");
    std::fs::write(&file, plan.to_toml()).unwrap();
    let out = folder.join("session");
    let output = Command::new(env!("CARGO_BIN_EXE_razvilka"))
        .args(["run", "--config"])
        .arg(&file)
        .arg("--out")
        .arg(&out)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output, out)
}

/// The exit code and the last line on stderr.
fn ending(output: &Output) -> (Option<i32>, String) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
    let last = said.trim_end().lines().last().unwrap_or_default();
    (output.status.code(), last.to_owned())
}

fn here(plan: Plan) -> Plan {
    Plan {
        network: NetworkSection {
            mode: NetworkMode::Loopback,
            session_id: session(),
            resolve_s: 2.0,
        },
        ..plan
    }
}

fn of_eeg(name: &str) -> Plan {
    let pins = Pins {
        name: Some(name.to_owned()),
        ..Pins::default()
    };
    here(Plan {
        eeg: Some(EegSection {
            pins,
            use_channels: None,
        }),
        ..Plan::default()
    })
}

#[test]
fn two_streams_of_one_identity_are_both_listed_and_none_is_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let spec = eeg("twins");
    let twins = [(); 2].map(|()| LslSampleOutlet::new(network(), &spec).unwrap());
    let (output, out) = run(&of_eeg("twins"), folder.path());
    let (code, said) = ending(&output);
    assert_eq!(code, Some(3), "{said}");
    for twin in &twins {
        assert!(said.contains(&twin.spec().uid), "{said}");
    }
    assert!(!out.exists());
}

#[test]
fn a_profile_of_another_montage_is_refused_before_a_folder_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let _outlet = LslSampleOutlet::new(network(), &eeg("other-montage")).unwrap();
    let mut plan = of_eeg("other-montage");
    plan.calibration.profile = Some(profile(folder.path()));
    let (output, out) = run(&plan, folder.path());
    let (code, said) = ending(&output);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("alibrat"), "{said}");
    assert!(!out.exists());
}

/// The simulated laboratory in a process of its own, which ends with its input.
struct Devices(Child);

impl Devices {
    fn with(fault: &str) -> Self {
        let settings = settings();
        let child = Command::new(env!("CARGO_BIN_EXE_razvilka"))
            .args(["simulate", "--until-stdin-closes", "--preset", "easy"])
            .args(["--seed", &settings.seed.to_string()])
            .args(["--key-share", "1", "--pace", "2", "--fault", fault])
            .args(["--session-id", &session()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Devices {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn a_channel_of_samples_that_are_no_numbers_is_left_out_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let _devices = Devices::with("nan=Cz@0.5+600");
    let streams = Streams::of(&settings());
    let mut plan = here(Plan {
        keys: Some(KeysSection {
            pins: Some(Pins::of(&streams.keys)),
            terminal: false,
            window: false,
        }),
        gaze: None,
        ..plan()
    });
    plan.calibration.profile = Some(profile(folder.path()));
    plan.session.forks = 1;
    plan.session.minutes_max = 1.0;
    let (output, out) = run(&plan, folder.path());
    let (code, said) = ending(&output);
    assert_eq!(code, Some(0), "{said}");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("bad channels: Cz"), "{shown}");
    let (folder, _) = Folder::open(&out).unwrap();
    let ledger = Ledger::open_read_only(&folder.file(SessionFile::Ledger)).unwrap();
    assert!(
        ledger
            .entries()
            .unwrap()
            .iter()
            .any(|entry| matches!(entry, Entry::Event(row) if row.kind == EventKind::Exchange))
    );
}
