//! State of the eyes: what is counted of a made-up pair of eyes, the four properties, and what is not known.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros
)]

use proptest::collection::vec;
use proptest::prelude::*;
use razvilka_dsp::eye_state::{EyeIndices, EyeSample, EyeStateSpec, EyeStateTracker};
use razvilka_dsp::gaze::{DetectorKind, GazeSample};
use razvilka_dsp::units::{Hertz, Seconds};

const RATE_HZ: f64 = 250.0;

fn tracker(detector: DetectorKind) -> EyeStateTracker {
    EyeStateTracker::new(EyeStateSpec {
        rate: Hertz::new(RATE_HZ).unwrap(),
        detector,
        baseline: Seconds::new(60.0).unwrap(),
        recent: Seconds::new(30.0).unwrap(),
    })
    .unwrap()
}

/// Eyes that look to and fro and blink.
#[derive(Clone, Copy)]
struct Eyes {
    blink_every_s: f64,
    blink_s: f64,
    /// Length of a saccade of 6 degrees.
    saccade_s: f64,
    shake_deg: f64,
    openness: bool,
}

const FRESH: Eyes = Eyes {
    blink_every_s: 3.0,
    blink_s: 0.15,
    saccade_s: 0.040,
    shake_deg: 0.02,
    openness: false,
};

/// Reproducible numbers in -1..1 that look like noise.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

fn samples(eyes: Eyes, from_s: f64, seconds: f64, noise: &mut Noise) -> Vec<EyeSample> {
    let mut length_s = eyes.blink_s;
    (0..(seconds * RATE_HZ) as usize)
        .map(|n| {
            let t = n as f64 / RATE_HZ;
            // A saccade every 0.5 s, minimum jerk.
            let (turn, since) = ((t / 0.5).floor() as u64, t % 0.5);
            let u = (since / eyes.saccade_s).min(1.0);
            let share = u * u * u * (10.0 - 15.0 * u + 6.0 * u * u);
            let x = if turn.is_multiple_of(2) {
                share
            } else {
                1.0 - share
            };
            let into = t % eyes.blink_every_s;
            if n > 0 && into < 1.0 / RATE_HZ {
                length_s = eyes.blink_s * (1.0 + 0.2 * noise.next());
            }
            let shut = (0.25..0.25 + length_s).contains(&into);
            let seen = !shut || eyes.openness;
            let at = |v: f64, e: f64| {
                if seen {
                    v + eyes.shake_deg * e
                } else {
                    f64::NAN
                }
            };
            EyeSample {
                gaze: GazeSample {
                    t_s: from_s + t,
                    x_deg: at(6.0 * x - 3.0, noise.next()),
                    y_deg: at(0.0, noise.next()),
                    valid: seen,
                },
                openness: eyes.openness.then_some(if shut { 0.3 } else { 9.0 }),
            }
        })
        .collect()
}

fn watch(tracker: &mut EyeStateTracker, samples: &[EyeSample]) -> EyeIndices {
    for sample in samples {
        tracker.push(*sample);
    }
    tracker.indices()
}

#[test]
fn fresh_eyes_stay_at_their_baseline_and_tired_ones_leave_it() {
    for detector in [DetectorKind::Velocity, DetectorKind::Trained] {
        let mut noise = Noise(7);
        let mut of = tracker(detector);
        let first = watch(&mut of, &samples(FRESH, 0.0, 90.0, &mut noise));
        assert_eq!(first.baseline_share, 1.0);
        let fresh = watch(&mut of, &samples(FRESH, 90.0, 60.0, &mut noise));
        assert!(
            (fresh.blinks_per_min.value.unwrap() - 20.0).abs() < 3.0,
            "{fresh:?}"
        );
        assert!(
            (fresh.blink_s.value.unwrap() - 0.15).abs() < 0.03,
            "{fresh:?}"
        );
        assert_eq!(fresh.perclos.value, Some(0.0));
        assert_eq!(fresh.perclos_measured, Some(false));
        let tired = Eyes {
            blink_every_s: 1.5,
            blink_s: 0.3,
            saccade_s: 0.055,
            shake_deg: 0.04,
            ..FRESH
        };
        let tired = watch(&mut of, &samples(tired, 150.0, 100.0, &mut noise));
        let risen = |index: razvilka_dsp::state::Index| index.risen.unwrap();
        assert!(risen(tired.blinks_per_min) > 0.95, "{detector:?} {tired:?}");
        assert!(risen(tired.blink_s) > 0.99, "{detector:?} {tired:?}");
        assert!(
            risen(tired.saccade_peak_deg_s) < 0.01,
            "{detector:?} {tired:?}"
        );
        assert!(risen(tired.bcea_deg2) > 0.99, "{detector:?} {tired:?}");
        let rms = (tired.rms_s2s_deg.unwrap(), fresh.rms_s2s_deg.unwrap());
        assert!(rms.0 > 1.5 * rms.1, "{rms:?}");
    }
}

#[test]
fn closures_longer_than_a_blink_make_perclos_and_an_opening_measures_it() {
    for openness in [false, true] {
        let mut noise = Noise(11);
        let mut of = tracker(DetectorKind::Velocity);
        let eyes = Eyes { openness, ..FRESH };
        watch(&mut of, &samples(eyes, 0.0, 100.0, &mut noise));
        let heavy = Eyes {
            blink_every_s: 5.0,
            blink_s: 1.0,
            ..eyes
        };
        let heavy = watch(&mut of, &samples(heavy, 100.0, 60.0, &mut noise));
        let share = heavy.perclos.value.unwrap();
        assert!((share - 0.2).abs() < 0.05, "{openness} {heavy:?}");
        assert!(heavy.perclos.risen.unwrap() > 0.95, "{openness} {heavy:?}");
        assert_eq!(heavy.perclos_measured, Some(openness));
    }
}

#[test]
fn a_slow_tracker_tells_no_peak_velocity_and_an_absent_eye_nothing() {
    let mut spec = *tracker(DetectorKind::Velocity).spec();
    spec.rate = Hertz::new(60.0).unwrap();
    let mut slow = EyeStateTracker::new(spec).unwrap();
    let mut noise = Noise(3);
    let every: Vec<_> = samples(FRESH, 0.0, 150.0, &mut noise);
    let thinned: Vec<_> = every.iter().copied().step_by(4).collect();
    let known = watch(&mut slow, &thinned);
    assert_eq!(known.saccade_peak_deg_s.value, None);
    assert!(known.blinks_per_min.value.is_some());
    let mut gone = tracker(DetectorKind::Velocity);
    for n in 0..50_000 {
        let gaze = GazeSample {
            t_s: f64::from(n) / RATE_HZ,
            x_deg: f64::NAN,
            y_deg: f64::NAN,
            valid: false,
        };
        gone.push(EyeSample {
            gaze,
            openness: None,
        });
    }
    let known = gone.indices();
    assert_eq!(known.baseline_share, 0.0);
    assert_eq!(known.blinks_per_min.value, None);
}

fn bits(indices: &EyeIndices) -> Vec<u64> {
    let of = |index: &razvilka_dsp::state::Index| {
        [index.value, index.baseline, index.z, index.risen].map(|v| v.map_or(1, f64::to_bits))
    };
    let mut bits = vec![indices.baseline_share.to_bits()];
    for index in [
        &indices.blinks_per_min,
        &indices.blink_s,
        &indices.perclos,
        &indices.saccade_peak_deg_s,
        &indices.bcea_deg2,
    ] {
        bits.extend(of(index));
    }
    bits.push(indices.rms_s2s_deg.map_or(1, f64::to_bits));
    bits
}

#[test]
fn reset_is_new_and_the_same_samples_give_the_same_bits() {
    let mut noise = Noise(5);
    let all = samples(FRESH, 0.0, 120.0, &mut noise);
    let mut new = tracker(DetectorKind::Trained);
    let first = bits(&watch(&mut new, &all));
    let mut used = tracker(DetectorKind::Trained);
    watch(&mut used, &samples(FRESH, 7.0, 100.0, &mut noise));
    used.reset();
    assert_eq!(
        bits(&used.indices()),
        bits(&tracker(DetectorKind::Trained).indices())
    );
    assert_eq!(bits(&watch(&mut used, &all)), first);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn nothing_that_comes_in_makes_it_panic_or_tell_what_is_no_number(
        rows in vec((-1.0_f64..3.0, prop_oneof![4 => -40.0_f64..40.0, 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)], any::<bool>(),
            proptest::option::of(prop_oneof![-1.0_f64..10.0, Just(f64::NAN)])), 0..3_000),
    ) {
        let mut of = tracker(DetectorKind::Velocity);
        let mut t_s = 0.0;
        for (step, x_deg, valid, openness) in rows {
            t_s += 0.02 * step;
            of.push(EyeSample { gaze: GazeSample { t_s, x_deg, y_deg: 0.5 * x_deg, valid }, openness });
        }
        let known = of.indices();
        for index in [known.blinks_per_min, known.blink_s, known.perclos, known.saccade_peak_deg_s, known.bcea_deg2] {
            prop_assert!([index.value, index.baseline, index.z, index.risen].into_iter().flatten().all(f64::is_finite));
        }
    }
}
