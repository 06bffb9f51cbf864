//! `razvilka certify` as a laboratory runs it: over real LSL, with its driver in a process of its own.
//!
//! No latency is asserted here: how long things take is the certificate's to say.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

use razvilka::engine::certify::Certificate;

/// Two certifications at once would measure each other.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn certify(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_razvilka"))
        .arg("certify")
        .args(args)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_certificate_rests_on_decisions_made_from_evidence_and_says_all_it_knows() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("certificate.json");
    let output = certify(&[
        "--idle-seconds",
        "5",
        "--seconds",
        "6",
        "--json",
        "--out",
        file.to_str().unwrap(),
    ]);
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 5)), "{code:?}: {}", said(&output));
    let found: Certificate = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(code == Some(0), found.within_budget());
    assert_eq!(
        output.stdout,
        std::fs::read(&file).unwrap(),
        "file and stdout say the same"
    );

    let forks = found.forks;
    assert!(forks.committed > 0, "{forks:?}");
    assert_eq!(
        forks.on_target, forks.committed,
        "gaze rested on the first tile"
    );
    assert!(forks.opened >= forks.committed + forks.declined + forks.aborted);
    assert!(
        forks.interrupted > 0 && forks.interrupted <= forks.committed,
        "the decoder is at work when choices come: {forks:?}"
    );
    let names: Vec<_> = found.latency.forks.iter().map(|step| &step.step).collect();
    assert_eq!(
        names,
        [
            "stamp>pulled",
            "pulled>scored",
            "scored>decided",
            "decided>committed",
            "committed>shown"
        ]
    );
    for step in &found.latency.forks {
        assert!(step.n > 0 && step.n <= forks.committed, "{step:?}");
        assert_eq!(step.p99_us.is_some(), step.n >= 100, "{step:?}");
        assert_eq!(step.p999_us.is_some(), step.n >= 1_000, "{step:?}");
        let given = [
            Some(step.p50_us),
            step.p99_us,
            step.p999_us,
            Some(step.max_us),
        ];
        let given: Vec<f64> = given.into_iter().flatten().collect();
        assert!(given.is_sorted(), "{step:?}");
    }
    let sent = |stream: &str| {
        let driven = found.driver.iter().find(|driven| driven.stream == stream);
        driven.unwrap().samples
    };
    // Six seconds and the settling before, at the nominal rates: the driver never slows down.
    assert!(sent("eeg") >= 6_000 && sent("gaze") >= 3_000);
    for stream in &found.latency.streams {
        assert!(
            stream.steps.iter().all(|step| step.n > 0),
            "{}",
            stream.stream
        );
    }
    assert!(found.flashes.flashes > 0 && found.decoder_steps > 0);
    let idle = found.idle.as_ref().unwrap();
    assert!(idle.seconds >= 5.0);
    for (slowed, loaded) in idle.slowed.iter().zip(&found.latency.streams) {
        assert_eq!(slowed.stream, loaded.stream);
        assert_eq!(Some(slowed.loaded_p99_us), loaded.steps[1].p99_us);
        assert!(slowed.idle_p99_us > 0.0 && slowed.ratio > 0.0);
    }
    assert_eq!(idle.slowed.len(), 2);
    assert_eq!(found.granted.len(), 3);
    for granted in found
        .granted
        .iter()
        .filter(|granted| granted.priority.is_err())
    {
        let named = |reason: &String| reason.contains(&granted.thread);
        assert!(found.uncertified.iter().any(named), "{granted:?}");
    }
}

#[test]
fn a_budget_that_no_machine_keeps_ends_with_exit_code_5_and_names_the_step() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("experiment.toml");
    let budget = "[gaze]\nunits = \"degrees\"\npins = { name = \"any\" }\n\
                  [screen]\nwidth_cm = 53.0\nheight_cm = 30.0\ndistance_cm = 65.0\n\
                  [budget]\nstamp_to_pulled_ms = 0.1\npulled_to_scored_ms = 0.01\nscored_to_decided_ms = 0.01\n\
                  decided_to_committed_ms = 0.01\ncommitted_to_shown_ms = 0.01\n";
    std::fs::write(&file, budget).unwrap();
    let output = certify(&["--seconds", "5", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    let table = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(
        table.contains("budget missed: forks decided>committed: "),
        "no other thread wakes up within ten microseconds: {table}"
    );
    assert!(!table.contains("every step is within"), "{table}");
    assert!(
        said(&output).contains("a budget was missed"),
        "{}",
        said(&output)
    );
}

#[test]
fn lengths_and_rates_out_of_range_and_files_that_are_not_there_are_refused() {
    for args in [
        &["--seconds", "4"][..],
        &["--seconds", "3601"],
        &["--eeg-channels", "0"],
        &["--eeg-rate", "99"],
        &["--gaze-rate", "1e3"],
        &["--config", "/nowhere/experiment.toml"],
    ] {
        let output = certify(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", said(&output));
        assert!(output.stdout.is_empty());
    }
}
