//! A session in which the person also clenches its teeth on purpose, and speaks and chews: the signal is calibrated, is about the option that
//! the eyes rested on, and comes again from the recording.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod replay_common;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use razvilka::choice::Decision;
use razvilka::engine::replay::{PROFILE, RecordedSession};
use razvilka::fork::ForkId;
use razvilka::gate::{GateInput, Source};
use razvilka::session::{Entry, Folder, ForkRow, Ledger, OptionRow, reopen_gate};
use razvilka_calibration::Profile;
use replay_common::{WITH_CONTRACTIONS, lived, model};

#[test]
fn contractions_are_calibrated_are_about_looks_and_come_again_bit_for_bit() {
    WITH_CONTRACTIONS.store(true, Ordering::Relaxed);
    let profile = Profile::load(&lived().join(PROFILE)).unwrap();
    let contraction = profile.contraction.unwrap();
    assert_eq!(contraction.channels, ["T7", "T8"]);
    assert!(
        contraction.cues == 20 && contraction.hits >= 15,
        "{contraction:?}"
    );
    let entries = Ledger::open_read_only(&lived().join("ledger.sqlite"))
        .unwrap()
        .entries()
        .unwrap();
    let mut options: BTreeMap<ForkId, Vec<OptionRow>> = BTreeMap::new();
    let mut forks: BTreeMap<ForkId, &ForkRow> = BTreeMap::new();
    for entry in &entries {
        match entry {
            Entry::Fork(row) => drop(forks.insert(row.fork, row)),
            Entry::Option(row) => options.entry(row.fork).or_default().push(row.clone()),
            _ => {}
        }
    }
    // The gate run again on what it was given: which contractions became evidence, and for which option.
    let (mut told, mut placed, mut looks, mut at_a_look) = (0, 0, 0, 0);
    for (fork, row) in &forks {
        if !matches!(row.decision, Decision::Ask(_)) {
            continue;
        }
        let mut gate = reopen_gate(row, &options[fork]).unwrap();
        let mut seen = Vec::new();
        for entry in &entries {
            let Entry::Evidence(row) = entry else {
                continue;
            };
            if row.fork != *fork {
                continue;
            }
            let before = (gate.items(Source::Contraction), *gate.posterior());
            gate.apply(&row.input);
            match row.input {
                GateInput::Look { look, .. } => {
                    assert_eq!(row.item, look.item.map(|item| item as i32));
                    looks += 1;
                    seen.extend(look.item);
                }
                GateInput::Contraction { contraction, .. } => {
                    told += 1;
                    assert!(contraction.llr_nats >= 1.0 && contraction.onset < contraction.at);
                    assert!(row.raw_score.is_some() && row.onset_sample.is_some());
                }
                _ => {}
            }
            if gate.items(Source::Contraction) > before.0 {
                placed += 1;
                let (p, q) = (gate.posterior().as_slice(), before.1.as_slice());
                let gain = |item: usize| p[item] / q[item];
                let best = (0..p.len())
                    .max_by(|a, b| gain(*a).total_cmp(&gain(*b)))
                    .unwrap();
                at_a_look += u32::from(seen.contains(&best));
            }
        }
    }
    println!("{looks} looks, {told} contractions, {placed} of them evidence");
    assert!(looks > 0 && told > 0 && placed > 0);
    assert_eq!(at_a_look, placed);
    let out = tempfile::tempdir().unwrap();
    let folder = Folder::create(out.path()).unwrap();
    let report = RecordedSession::open(lived())
        .unwrap()
        .replay(model(), &folder, vec!["test".into()])
        .unwrap();
    assert_eq!(report.first_difference, None);
    assert!(
        report.is_identical() && report.incomplete.is_empty(),
        "{report:?}"
    );
}
