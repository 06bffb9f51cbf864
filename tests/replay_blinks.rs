//! A session in which the person also blinks on purpose: the signal is calibrated, reaches the gate, and comes again from the recording.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod replay_common;

use std::sync::atomic::Ordering;

use razvilka::engine::replay::{PROFILE, RecordedSession};
use razvilka::gate::{GateInput, Source};
use razvilka::session::{Entry, Folder, Ledger};
use razvilka_calibration::Profile;
use replay_common::{WITH_BLINKS, lived, model};

#[test]
fn deliberate_blinks_are_calibrated_reach_the_gate_and_come_again_bit_for_bit() {
    WITH_BLINKS.store(true, Ordering::Relaxed);
    let profile = Profile::load(&lived().join(PROFILE)).unwrap();
    let blink = profile.blink.unwrap();
    assert!(blink.cues == 20 && blink.hits >= 17, "{blink:?}");
    assert!(blink.false_alarms <= 1, "{blink:?}");
    let entries = Ledger::open_read_only(&lived().join("ledger.sqlite"))
        .unwrap()
        .entries()
        .unwrap();
    let blinks: Vec<_> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Evidence(row) => match row.input {
                GateInput::Evidence { evidence, .. } if evidence.source == Source::Blink => {
                    Some((row, evidence))
                }
                _ => None,
            },
            _ => None,
        })
        .collect();
    assert!(!blinks.is_empty());
    println!("{} blinks", blinks.len());
    for (row, evidence) in &blinks {
        // It speaks for one option, and the row says which, with what score, from which sample.
        let item = usize::try_from(row.item.unwrap()).unwrap();
        assert!(evidence.log_lik_nats[item] >= 1.0);
        assert!(row.raw_score.is_some() && row.onset_sample.is_some());
    }
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
