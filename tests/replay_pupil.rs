//! A session with a tracker of two eyes that tells pupils and lids, one eye lost for a while: the pupil is calibrated, reaches the gate, and
//! everything comes again from the recording.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod replay_common;

use std::sync::atomic::Ordering;

use razvilka::engine::replay::{PROFILE, replay};
use razvilka::gate::{GateInput, Source};
use razvilka::session::{Ledger, SessionFile};
use razvilka_calibration::Profile;
use replay_common::{WITH_PUPILS, lived, model};

#[test]
fn the_pupil_of_two_eyes_is_calibrated_reaches_the_gate_and_comes_again_bit_for_bit() {
    WITH_PUPILS.store(true, Ordering::Relaxed);
    let profile = Profile::load(&lived().join(PROFILE)).unwrap();
    let gaze = profile.gaze.unwrap();
    assert!(gaze.left.is_some() && gaze.right.is_some());
    let pupil = profile.pupil.unwrap();
    println!("{pupil:?}");
    assert!(pupil.cues == 30 && pupil.wanted >= 20, "{pupil:?}");
    assert!(pupil.auc.value > 0.7, "{pupil:?}");
    // TESTBODY
}
