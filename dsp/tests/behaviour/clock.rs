use razvilka_dsp::clock::{Chunk, ClockDoubt, ClockGuard, ClockSpec, disagreement};

use super::{hz, s};

const CHUNK_S: f64 = 0.032;

fn guard() -> ClockGuard {
    ClockGuard::new(ClockSpec {
        rate: Some(hz(250.0)),
        chunk_period: s(CHUNK_S),
        age_limit: s(0.1),
    })
    .unwrap()
}

fn chunk(newest_stamp_s: f64, arrival_s: f64, samples: u32) -> Chunk {
    Chunk {
        newest_stamp_s,
        arrival_s,
        samples,
    }
}

/// Chunks of 8 samples of a good stream from `from_s` for `seconds`, each `age_s` old.
fn feed(g: &mut ClockGuard, from_s: f64, seconds: f64, age_s: f64) -> Vec<ClockDoubt> {
    let n = (seconds / CHUNK_S).round() as u32;
    (0..n)
        .flat_map(|i| {
            let at_s = from_s + f64::from(i) * CHUNK_S;
            g.chunk(chunk(at_s - age_s, at_s, 8))
                .iter()
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn a_good_stream_raises_no_doubt_for_ten_minutes() {
    let mut g = guard();
    for i in 0..120 {
        // 20 ppm between the clocks.
        let at_s = f64::from(i) * 5.0;
        assert!(g.offset(at_s, -3.0 + 20e-6 * at_s, 2e-4).is_empty());
    }
    g.reset();
    assert_eq!(feed(&mut g, 0.0, 600.0, 0.004), []);
    assert!((g.measured_rate_hz().unwrap() - 250.0).abs() < 1.0);
    assert!((g.usual_age_s().unwrap() - 0.004).abs() < 1e-9);
}

#[test]
fn an_offset_that_jumps_is_seen_and_one_within_its_uncertainty_is_not() {
    let mut g = guard();
    assert!(g.offset(0.0, 1.0, 1e-4).is_empty());
    assert!(g.offset(5.0, 1.015, 1e-4).is_empty());
    let doubts: Vec<_> = g.offset(10.0, 1.5, 1e-4).iter().collect();
    assert!(
        matches!(doubts[..], [ClockDoubt::OffsetJump { step_s }] if (step_s - 0.485).abs() < 1e-12)
    );
    assert_eq!(g.offset_s(), 1.5);
    let mut g = guard();
    g.offset(0.0, 1.0, 0.02);
    assert!(g.offset(5.0, 1.09, 0.02).is_empty());
}

#[test]
fn a_drift_that_no_crystal_has_is_seen() {
    let mut g = guard();
    let mut seen = None;
    for i in 0..8 {
        let at_s = f64::from(i) * 5.0;
        seen = g.offset(at_s, 0.001 * at_s, 1e-4).iter().next().or(seen);
    }
    assert!(matches!(seen, Some(ClockDoubt::OffsetDrift { ppm }) if (ppm - 1000.0).abs() < 1e-6));
}

#[test]
fn old_samples_are_stale_and_samples_from_the_future_a_jump() {
    let mut g = guard();
    feed(&mut g, 0.0, 5.0, 0.004);
    let doubts: Vec<_> = g.chunk(chunk(4.0, 5.0, 8)).iter().collect();
    assert!(matches!(doubts[..], [ClockDoubt::Stale { age_s }] if age_s == 1.0));
    let doubts: Vec<_> = g.chunk(chunk(6.0, 5.03, 8)).iter().collect();
    assert!(
        matches!(doubts[..], [ClockDoubt::StampJump { ahead_s }] if (ahead_s - 0.97).abs() < 1e-9)
    );
}

#[test]
fn what_was_held_back_is_a_burst_though_its_stamps_are_fresh() {
    let mut g = guard();
    feed(&mut g, 0.0, 5.0, 0.004);
    assert!(matches!(g.silence(5.2), Some(ClockDoubt::Silent { .. })));
    // Three seconds of samples within 50 ms, stamped as they leave.
    let mut doubts = Vec::new();
    for i in 0..94 {
        let at_s = 8.0 + f64::from(i) * 5e-4;
        doubts.extend(g.chunk(chunk(at_s - 0.004, at_s, 8)).iter());
    }
    assert!(
        doubts
            .iter()
            .any(|d| matches!(d, ClockDoubt::Burst { ratio } if *ratio > 1.25))
    );
}

#[test]
fn a_wrong_rate_is_warned_of_and_refused() {
    for (rate, expected) in [
        (250.0, None),
        (252.5, Some(false)),
        (256.0, Some(true)),
        (244.0, Some(true)),
    ] {
        let mut g = guard();
        let mut seen = None;
        for i in 0..2_000 {
            let at_s = f64::from(i) * 8.0 / rate;
            for d in g.chunk(chunk(at_s, at_s, 8)).iter() {
                if let ClockDoubt::RateOff {
                    refuse,
                    measured_hz,
                    ..
                } = d
                {
                    assert!((measured_hz / rate - 1.0).abs() < 0.002, "{measured_hz}");
                    seen = Some(refuse);
                } else {
                    panic!("{d:?}");
                }
            }
        }
        assert_eq!(seen, expected, "{rate} Hz");
    }
}

#[test]
fn a_delay_on_the_way_is_not_taken_for_another_rate() {
    let mut g = guard();
    for i in 0..4_000 {
        let stamp_s = f64::from(i) * CHUNK_S;
        // For a second out of every eleven the network holds chunks back, then lets them go one by one.
        let phase = stamp_s % 11.0;
        let late_s = if phase > 10.0 {
            0.3 * (11.0 - phase)
        } else {
            0.0
        };
        for doubt in g.chunk(chunk(stamp_s, stamp_s + late_s, 8)).iter() {
            assert!(matches!(doubt, ClockDoubt::Stale { .. }), "{doubt:?}");
        }
    }
    assert!((g.measured_rate_hz().unwrap() - 250.0).abs() < 0.5);
}

#[test]
fn the_first_offset_is_no_jump_and_ages_begin_with_it() {
    let mut g = guard();
    // Another machine, whose clock is 5,000 s behind ours.
    for i in 0..30 {
        let at_s = 9_000.0 + f64::from(i) * CHUNK_S;
        g.chunk(chunk(at_s - 5_000.0 - 0.004, at_s, 8));
    }
    assert!(g.offset(9_001.0, 5_000.0, 1e-4).is_empty());
    for i in 0..100 {
        let at_s = 9_001.0 + f64::from(i) * CHUNK_S;
        assert!(g.chunk(chunk(at_s - 5_000.0 - 0.004, at_s, 8)).is_empty());
    }
    assert!((g.usual_age_s().unwrap() - 0.004).abs() < 1e-6);
}

#[test]
fn longer_chunks_allow_a_longer_silence() {
    let mut g = guard();
    feed(&mut g, 0.0, 1.0, 0.004);
    assert!(g.silence(1.3).is_some());
    g.expect_chunks_every(s(0.25)).unwrap();
    assert!(g.silence(1.3).is_none());
    assert!(g.expect_chunks_every(s(11.0)).is_err());
}

#[test]
fn two_clocks_that_move_apart_disagree_and_one_late_chunk_does_not() {
    let (mut eeg, mut gaze) = (guard(), guard());
    feed(&mut eeg, 0.0, 5.0, 0.004);
    feed(&mut gaze, 0.0, 5.0, 0.009);
    assert_eq!(disagreement(&eeg, &gaze), None);
    eeg.chunk(chunk(4.9, 5.0, 8));
    feed(&mut eeg, 5.0, 2.0, 0.004);
    feed(&mut gaze, 5.0, 2.0, 0.009);
    assert_eq!(disagreement(&eeg, &gaze), None);
    feed(&mut eeg, 7.0, 2.2, 0.019);
    feed(&mut gaze, 7.0, 2.2, 0.009);
    let apart_s = disagreement(&eeg, &gaze).unwrap();
    assert!((apart_s - 0.015).abs() < 0.001, "{apart_s}");
    feed(&mut eeg, 9.2, 2.2, -0.011);
    assert!(disagreement(&gaze, &eeg).unwrap() > 0.010);
}

#[test]
fn numbers_that_are_no_times_are_doubted_and_change_nothing() {
    let mut g = guard();
    feed(&mut g, 0.0, 3.0, 0.004);
    let usual = g.usual_age_s();
    for (stamp, at_s) in [(f64::NAN, 3.0), (3.0, f64::INFINITY)] {
        assert!(
            g.chunk(chunk(stamp, at_s, 8))
                .iter()
                .eq([ClockDoubt::NotFinite])
        );
    }
    assert!(
        g.offset(3.0, f64::NAN, 0.0)
            .iter()
            .eq([ClockDoubt::NotFinite])
    );
    assert_eq!((g.usual_age_s(), g.offset_s()), (usual, 0.0));
}
