//! State of the person: against SciPy (`fixtures/golden/dsp/generate_state.py`), the four properties, and what is not known.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros
)]

use proptest::collection::vec;
use proptest::prelude::*;
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::quality::QualitySpec;
use razvilka_dsp::stamps::StampRule;
use razvilka_dsp::state::{
    AlphaEnvelope, BandPowers, Indices, SpindleDetector, StateSpec, StateTracker, student_cdf,
};
use razvilka_dsp::units::{Hertz, Seconds};
use serde::Deserialize;

fn hz(value: f64) -> Hertz {
    Hertz::new(value).unwrap()
}

fn s(value: f64) -> Seconds {
    Seconds::new(value).unwrap()
}

#[derive(Deserialize)]
struct Golden {
    powers: Vec<PowersCase>,
    envelopes: Vec<EnvelopeCase>,
    cdf: Vec<[f64; 3]>,
}

#[derive(Deserialize)]
struct PowersCase {
    fs: f64,
    channels: usize,
    window_s: f64,
    x: Vec<f64>,
    /// `[window][channel][theta, alpha, beta]`.
    windows: Vec<Vec<[f64; 3]>>,
}

#[derive(Deserialize)]
struct EnvelopeCase {
    fs: f64,
    x: Vec<f64>,
    envelope: Vec<f64>,
    bursts: Vec<Burst>,
}

#[derive(Deserialize)]
struct Burst {
    at_s: f64,
    length_s: f64,
    amplitude_uv: f64,
}

fn golden() -> Golden {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../fixtures/golden/dsp/state.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Largest relative error of any value.
const TOLERANCE: f64 = 1e-9;

#[test]
fn band_powers_of_every_window_are_those_of_scipy() {
    for case in golden().powers {
        let mut bands =
            BandPowers::new(hz(case.fs), case.channels, s(case.window_s), s(1.0)).unwrap();
        let mut got = Vec::new();
        for sample in case.x.chunks_exact(case.channels) {
            if bands.push(sample).unwrap() {
                let powers = bands.powers().iter();
                got.push(
                    powers
                        .map(|p| [p.theta, p.alpha, p.beta])
                        .collect::<Vec<_>>(),
                );
            }
        }
        assert_eq!(got.len(), case.windows.len());
        for (got, want) in got.iter().flatten().zip(case.windows.iter().flatten()) {
            for (got, want) in got.iter().zip(want) {
                assert!((got - want).abs() <= TOLERANCE * want, "{got} {want}");
            }
        }
    }
}

#[test]
fn the_alpha_envelope_is_that_of_scipy_sample_by_sample() {
    for case in golden().envelopes {
        let mut envelope = AlphaEnvelope::new(hz(case.fs), 1).unwrap();
        let peak = case.envelope.iter().fold(0.0_f64, |m, v| m.max(*v));
        for (n, (x, want)) in case.x.iter().zip(&case.envelope).enumerate() {
            envelope.push(&[*x]).unwrap();
            let got = envelope.envelope(0);
            // Where the envelope all but vanishes, a relative error means nothing.
            let within = (got - want).abs() <= TOLERANCE * want + 1e-11 * peak;
            assert!(within, "sample {n}: {got} {want}");
        }
    }
}

#[test]
fn known_bursts_are_found_with_their_length_and_amplitude_and_a_short_one_is_left_out() {
    for case in golden().envelopes {
        let mut envelope = AlphaEnvelope::new(hz(case.fs), 1).unwrap();
        let tick = (case.fs / 25.0).round() as usize;
        let tick_s = tick as f64 / case.fs;
        let mut detector = SpindleDetector::new(5.5, (0.5 / tick_s).ceil() as u32).unwrap();
        let mut found = Vec::new();
        for (n, x) in case.x.iter().enumerate() {
            envelope.push(&[*x]).unwrap();
            if n % tick == 0
                && let Some(spindle) = detector.push(Some(envelope.envelope(0)))
            {
                found.push((n as f64 / case.fs, spindle));
            }
        }
        let long: Vec<&Burst> = case.bursts.iter().filter(|b| b.length_s >= 0.5).collect();
        assert!(long.len() < case.bursts.len());
        assert_eq!(found.len(), long.len(), "{found:?}");
        for ((end_s, spindle), burst) in found.iter().zip(long) {
            // The low-pass delays by some 0.17 s and rounds both ends off.
            let late_s = end_s - (burst.at_s + burst.length_s);
            assert!((0.0..0.4).contains(&late_s), "{late_s}");
            let length_s = f64::from(spindle.ticks) * tick_s;
            assert!((length_s - burst.length_s).abs() < 0.25, "{length_s}");
            let share = spindle.amplitude_uv / burst.amplitude_uv;
            assert!((0.7..1.1).contains(&share), "{share}");
        }
    }
}

#[test]
fn probabilities_are_those_of_scipy() {
    for [t, dof, want] in golden().cdf {
        let got = student_cdf(t, dof).unwrap();
        assert!((got - want).abs() <= 1e-9 * want, "{t} {dof}: {got} {want}");
    }
}

fn spec(channels: usize) -> StateSpec {
    StateSpec {
        rate: hz(125.0),
        channels,
        stamps: StampRule::PerSample,
        quality: QualitySpec {
            min_good: 1,
            ..QualitySpec::default()
        },
        ratio_channels: ChannelMask::NONE,
        window: s(2.0),
        baseline: s(30.0),
        recent: s(20.0),
        artefact_uv: 150.0,
        spindle_factor: 2.0,
        spindle_least_s: 0.5,
    }
}

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

/// Noise with alpha in bursts: `strength(t)` microvolts, on or off each second by chance.
fn run(
    tracker: &mut StateTracker,
    seconds: f64,
    strength: impl Fn(f64) -> f64,
    mut spoil: impl FnMut(usize, &mut [f32]),
) -> Vec<Indices> {
    let (rate, channels) = (125.0, tracker.spec().channels);
    let mut noise = Noise(7);
    let mut on = 0.0;
    let mut seen = Vec::new();
    let mut sample = vec![0.0_f32; channels];
    for n in 0..(seconds * rate) as usize {
        let t = n as f64 / rate;
        if n % 125 == 0 {
            on = f64::from(u8::from(noise.next() > 0.4));
        }
        let alpha = on * strength(t) * (std::f64::consts::TAU * 10.2 * t).sin();
        for (c, x) in sample.iter_mut().enumerate() {
            *x = (8.0 * noise.next() + alpha + 1_000.0 * c as f64) as f32;
        }
        spoil(n, &mut sample);
        if tracker.push(50.0 + t, &sample).unwrap() {
            seen.push(tracker.indices());
        }
    }
    seen
}

#[test]
fn more_alpha_lowers_theta_over_alpha_and_brings_spindles() {
    let mut tracker = StateTracker::new(spec(4)).unwrap();
    let seen = run(
        &mut tracker,
        90.0,
        |t| if t < 40.0 { 1.0 } else { 14.0 },
        |_, _| {},
    );
    let first = seen[20];
    assert_eq!(
        (first.theta_alpha.z, first.spindles_per_min.value),
        (None, None)
    );
    let last = seen.last().unwrap();
    assert_eq!((last.baseline_share, last.channels), (1.0, 4));
    assert!(last.theta_alpha.risen.unwrap() < 0.02, "{last:?}");
    assert!(last.slow_fast.risen.unwrap() > 0.98, "{last:?}");
    // Three slots of a short baseline leave two degrees of freedom.
    assert!(last.spindles_per_min.risen.unwrap() > 0.9, "{last:?}");
    assert!(last.spindle_uv.unwrap() > 5.0 && last.spindle_s.unwrap() >= 0.5);
}

#[test]
fn an_index_is_not_known_while_its_baseline_is_taken_nor_right_after() {
    let mut tracker = StateTracker::new(spec(4)).unwrap();
    let seen = run(&mut tracker, 60.0, |_| 5.0, |_, _| {});
    let whole = seen.iter().position(|i| i.baseline_share >= 1.0).unwrap();
    assert!(seen[..=whole].iter().all(|i| i.theta_alpha.risen.is_none()));
    let known = seen
        .iter()
        .position(|i| i.theta_alpha.risen.is_some())
        .unwrap();
    // Ten values, and one before that still shared samples with the baseline.
    assert_eq!(known, whole + 11);
    assert!(
        seen[whole..known]
            .iter()
            .all(|i| i.theta_alpha.value.is_none())
    );
}

#[test]
fn a_bad_channel_and_artefacts_change_little() {
    let clean = run(
        &mut StateTracker::new(spec(5)).unwrap(),
        80.0,
        |_| 6.0,
        |_, _| {},
    );
    let spoilt = run(
        &mut StateTracker::new(spec(5)).unwrap(),
        80.0,
        |_| 6.0,
        |n, sample| {
            sample[1] = 300.0; // flat
            if n % 400 == 3 {
                sample[2] = f32::NAN;
            }
            if n % 1_000 < 60 {
                sample[3] += 500.0; // a blink's worth, and more
            }
        },
    );
    let (clean, spoilt) = (clean.last().unwrap(), spoilt.last().unwrap());
    let ratio = spoilt.theta_alpha.value.unwrap() / clean.theta_alpha.value.unwrap();
    assert!((ratio - 1.0).abs() < 0.15, "{ratio}");
    assert!(spoilt.channels <= 4 && spoilt.channels >= 2);
}

#[test]
fn without_a_good_channel_there_is_nothing_to_know() {
    let mut tracker = StateTracker::new(spec(4)).unwrap();
    let seen = run(&mut tracker, 60.0, |_| 6.0, |_, sample| sample.fill(1.0));
    assert!(
        seen.iter()
            .all(|i| i.channels == 0 || i.baseline_share < 0.1)
    );
    let last = seen.last().unwrap();
    assert_eq!((last.theta_alpha.value, last.slow_fast.risen), (None, None));
}

#[test]
fn ratios_come_from_the_named_channels_alone_and_are_unknown_while_none_of_them_is_good() {
    let mut only = spec(4);
    only.ratio_channels = [2].into_iter().collect();
    let seen = run(
        &mut StateTracker::new(only).unwrap(),
        20.0,
        |_| 6.0,
        |_, _| {},
    );
    assert!(seen.iter().all(|i| i.channels == 1));
    let flat = |n: usize, sample: &mut [f32]| {
        if n > 300 {
            sample[2] = 5.0;
        }
    };
    let seen = run(&mut StateTracker::new(only).unwrap(), 20.0, |_| 6.0, flat);
    let last = seen.last().unwrap();
    assert_eq!((last.channels, last.theta_alpha.value), (0, None));
}

#[test]
fn a_restart_keeps_the_baseline_and_a_reset_forgets_it() {
    let mut tracker = StateTracker::new(spec(3)).unwrap();
    let first = run(&mut tracker, 70.0, |_| 6.0, |_, _| {});
    tracker.restart();
    assert_eq!(tracker.indices().baseline_share, 1.0);
    // Another clock, long before: nothing is refused.
    assert!(!run(&mut tracker, 10.0, |_| 6.0, |_, _| {}).is_empty());
    tracker.reset();
    assert_eq!(tracker.indices(), Indices::default());
    assert_eq!(run(&mut tracker, 70.0, |_| 6.0, |_, _| {}), first);
}

#[test]
fn numbers_out_of_range_are_refused() {
    let refused = |change: fn(&mut StateSpec)| {
        let mut spec = spec(4);
        change(&mut spec);
        StateTracker::new(spec).is_err()
    };
    assert!(refused(|s| s.rate = hz(60.0)));
    assert!(refused(|s| s.channels = 0));
    assert!(refused(|s| s.channels = 300));
    assert!(refused(|spec| spec.window = s(1.0)));
    assert!(refused(|spec| spec.baseline = s(10.0)));
    assert!(refused(|s| s.artefact_uv = f64::NAN));
    assert!(refused(|s| s.spindle_factor = 0.5));
    assert!(!refused(|_| {}));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_finite_signal_and_any_stamps_give_numbers_or_nothing_and_reset_is_as_new(
        values in vec(-1e5_f32..1e5, 40),
        lost in vec(0_u32..200, 5),
        broken in any::<bool>(),
    ) {
        let mut tracker = StateTracker::new(spec(2)).unwrap();
        let run = |tracker: &mut StateTracker| {
            let mut seen = Vec::new();
            let mut at = 0_u32;
            for n in 0..5_000_usize {
                at += 1 + if n % 997 == 5 { lost[n / 997 % 5] } else { 0 };
                let mut sample = [values[n * 7 % 40], values[n * 13 % 40]];
                if broken && n % 311 == 0 {
                    sample[0] = f32::INFINITY;
                }
                let stamp = if broken && n % 431 == 0 { f64::NAN } else { f64::from(at) / 125.0 };
                if tracker.push(stamp, &sample).unwrap() {
                    seen.push(tracker.indices());
                }
            }
            seen
        };
        let first = run(&mut tracker);
        for index in first.iter().flat_map(|i| [i.theta_alpha, i.slow_fast, i.spindles_per_min]) {
            for number in [index.value, index.baseline, index.z, index.risen].into_iter().flatten() {
                prop_assert!(number.is_finite());
            }
            prop_assert!(index.risen.is_none_or(|p| (0.0..=1.0).contains(&p)));
        }
        tracker.reset();
        prop_assert_eq!(first, run(&mut tracker));
    }
}
