//! Same seed, same markers: same bits. Nothing of the future, nothing of the truth.

use razvilka::marker::{Event, Marker};
use razvilka::sim::{Heard, Laboratory, PERCEPTION_S, SimOutput, SimSettings};

use crate::script::{START_S, Script, play, record, six_options};

fn session() -> (Script, f64) {
    let mut script = Script::default();
    let t = script.cued_block(1.0, 0, 2, 24);
    let t = script.fork(t, 0, &six_options(), 6.0, Some(3));
    let t = script.fork(t, 1, &six_options(), 6.0, Some(1));
    (script, t)
}

#[test]
fn the_same_seed_and_markers_give_the_same_bits() {
    let (script, end) = session();
    let settings = SimSettings::default();
    let first = record(&settings, &script, end);
    let again = record(&settings, &script, end);
    assert_eq!(first.bits(), again.bits());
    assert_eq!(first.truth, again.truth);
    assert_eq!(first.keys, again.keys);
}

#[test]
fn another_seed_is_another_person_on_another_day() {
    let (script, end) = session();
    let of = |seed| {
        let settings = SimSettings {
            seed,
            ..SimSettings::default()
        };
        record(&settings, &script, end).bits()
    };
    assert_ne!(of(1), of(2));
}

#[test]
fn how_time_is_cut_into_steps_does_not_matter() {
    let (script, end) = session();
    let settings = SimSettings::default();
    let whole = play(&settings, &script, end, 0.01, 0.0);
    for step_s in [0.001, 0.0037, 0.4, 5.0] {
        let cut = play(&settings, &script, end, step_s, 0.0);
        assert!(whole.bits() == cut.bits(), "steps of {step_s} s");
        assert_eq!(whole.truth, cut.truth);
    }
}

#[test]
fn a_marker_that_is_late_by_less_than_perception_takes_changes_nothing() {
    let (script, end) = session();
    let settings = SimSettings::default();
    let in_time = play(&settings, &script, end, 0.01, 0.0);
    let late = play(&settings, &script, end, 0.01, 0.9 * PERCEPTION_S);
    assert!(in_time.bits() == late.bits());
    assert_eq!(in_time.truth, late.truth);
}

#[test]
fn a_marker_has_no_effect_before_its_stamp() {
    let settings = SimSettings::default();
    let silent = record(&settings, &Script::default(), 12.0);
    let mut script = Script::default();
    let stamp_s = 5.0;
    script.fork(stamp_s, 0, &six_options(), 6.0, None);
    // Told long before it is due.
    let mut laboratory = Laboratory::new(&settings, START_S).unwrap();
    for (at_s, marker) in &script.markers {
        assert_eq!(laboratory.hear(START_S + at_s, marker), Heard::InTime);
    }
    let (mut same_before, mut differ_after) = (true, false);
    let mut n = 0;
    laboratory.advance(START_S + 12.0, &mut |output| {
        if let SimOutput::Gaze { stamp_s: at, gaze } = output {
            let same = <[f32; 3]>::try_from(gaze).unwrap().map(f32::to_bits)
                == silent.gaze[n].map(f32::to_bits);
            if at - START_S < stamp_s {
                same_before &= same;
            } else {
                differ_after |= !same;
            }
            n += 1;
        }
    });
    assert!(same_before && differ_after);
}

#[test]
fn the_person_never_reads_whether_a_flash_was_a_target() {
    let (script, end) = session();
    let mut lied_to = script.clone();
    for (_, marker) in &mut lied_to.markers {
        if let Event::Flash { target, .. } = &mut marker.body {
            *target = target.map(|t| 1 - t);
        }
    }
    let settings = SimSettings::default();
    assert!(record(&settings, &script, end).bits() == record(&settings, &lied_to, end).bits());
}

#[test]
fn markers_that_come_too_late_or_make_no_sense_are_told_apart() {
    let mut laboratory = Laboratory::new(&SimSettings::default(), START_S).unwrap();
    laboratory.advance(START_S + 10.0, &mut |_| {});
    let marker = Marker {
        seq: 0,
        body: Event::SessionEnd,
    };
    assert_eq!(laboratory.hear(START_S + 10.2, &marker), Heard::InTime);
    assert_eq!(laboratory.hear(START_S + 9.0, &marker), Heard::Late);
    for stamp in [f64::NAN, f64::INFINITY, START_S + 1e6] {
        assert_eq!(laboratory.hear(stamp, &marker), Heard::Refused);
    }
    let refused = (0..100_000)
        .filter(|_| laboratory.hear(START_S + 11.0, &marker) == Heard::Refused)
        .count();
    assert!(refused > 80_000);
}

#[test]
fn samples_come_at_their_rate_without_gap_or_repeat() {
    let settings = SimSettings {
        eeg_rate_hz: 300.0,
        gaze_rate_hz: 70.0,
        ..SimSettings::default()
    };
    let recording = play(&settings, &Script::default(), 10.0, 0.013, 0.0);
    assert_eq!(recording.eeg_s.len(), 3000);
    assert_eq!(recording.gaze_s.len(), 700);
    for (n, stamp) in recording.eeg_s.iter().enumerate() {
        assert!((stamp - n as f64 / 300.0).abs() < 1e-9);
    }
}
