//! A session with a tracker of two eyes that tells pupils and lids, one eye lost for a while: the pupil and deliberate blinks, found by the
//! lids, are calibrated, reach the gate, and everything comes again from the recording.

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
use replay_common::{WITH_BLINKS, WITH_PUPILS, lived, model};

#[test]
fn the_pupils_and_lids_of_two_eyes_are_calibrated_reach_the_gate_and_come_again_bit_for_bit() {
    WITH_PUPILS.store(true, Ordering::Relaxed);
    WITH_BLINKS.store(true, Ordering::Relaxed);
    let profile = Profile::load(&lived().join(PROFILE)).unwrap();
    let gaze = profile.gaze.unwrap();
    assert!(gaze.left.is_some() && gaze.right.is_some());
    let pupil = profile.pupil.unwrap();
    println!("{pupil:?}");
    assert!(pupil.cues == 30 && pupil.wanted >= 20, "{pupil:?}");
    assert!(pupil.auc.value > 0.7, "{pupil:?}");
    let entries = Ledger::open_read_only(&lived().join("ledger.sqlite"))
        .unwrap()
        .entries()
        .unwrap();
    let blink = profile.blink.unwrap();
    assert!(blink.cues == 20 && blink.hits >= 17, "{blink:?}");
    let (mut told, mut blinks) = (0, 0);
    for entry in &entries {
        let Entry::Evidence(row) = entry else {
            continue;
        };
        let GateInput::Evidence { evidence, .. } = row.input else {
            continue;
        };
        blinks += usize::from(evidence.source == Source::Blink);
        if evidence.source == Source::Pupil {
            told += 1;
            // It speaks of one option, and the row says of which, with what score, from which sample.
            let item = usize::try_from(row.item.unwrap()).unwrap();
            let others = evidence.log_lik_nats.iter().enumerate();
            assert!(others.clone().all(|(k, nats)| k == item || *nats == 0.0));
            assert!(row.raw_score.is_some() && row.onset_sample.is_some());
        }
    }
    println!("{told} responses of the pupil, {blinks} deliberate blinks");
    assert!(told >= 5 && blinks >= 1, "{told} {blinks}");
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
