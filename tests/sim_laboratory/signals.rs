//! Does the EEG look like EEG?

use std::f64::consts::TAU;

use razvilka::marker::Event;
use razvilka::sim::{Preset, SimSettings};

use crate::script::{Recording, Script, grid, record, six_options};

/// Mean power spectrum of a signal at one frequency: Hann windows of 2 s, half overlapping, plain DFT.
fn power(signal: &[f64], rate_hz: f64, frequency_hz: f64) -> f64 {
    let n = (2.0 * rate_hz) as usize;
    let window = |k: usize| 0.5 - 0.5 * (TAU * k as f64 / n as f64).cos();
    let starts: Vec<usize> = (0..signal.len() - n).step_by(n / 2).collect();
    let mut sum = 0.0;
    for &start in &starts {
        let piece = &signal[start..start + n];
        let mean = piece.iter().sum::<f64>() / n as f64;
        let (mut re, mut im) = (0.0, 0.0);
        for (k, value) in piece.iter().enumerate() {
            let angle = TAU * frequency_hz * k as f64 / rate_hz;
            re += window(k) * (value - mean) * angle.cos();
            im += window(k) * (value - mean) * angle.sin();
        }
        sum += re * re + im * im;
    }
    sum / starts.len() as f64
}

fn band(signal: &[f64], rate_hz: f64, from_hz: f64, to_hz: f64) -> f64 {
    let bins = ((to_hz - from_hz) / 0.5) as usize + 1;
    (0..bins)
        .map(|k| power(signal, rate_hz, from_hz + 0.5 * k as f64))
        .sum::<f64>()
        / bins as f64
}

#[test]
fn the_spectrum_has_a_slope_an_alpha_peak_behind_and_the_mains() {
    for seed in [1, 2, 3] {
        let settings = SimSettings {
            seed,
            ..SimSettings::default()
        };
        let recording = record(&settings, &Script::default(), 90.0);
        let oz = recording.channel(&settings, "Oz");
        let fz = recording.channel(&settings, "Fz");
        let rate = settings.eeg_rate_hz;
        let alpha = (16..=24).map(|k| power(&oz, rate, 0.5 * f64::from(k)));
        let peak = alpha.fold(0.0, f64::max);
        let around = (band(&oz, rate, 4.0, 6.0) * band(&oz, rate, 16.0, 20.0)).sqrt();
        assert!(peak > 3.0 * around, "alpha {peak} {around}");
        let front = (16..=24).map(|k| power(&fz, rate, 0.5 * f64::from(k)));
        assert!(front.fold(0.0, f64::max) < 0.5 * peak);
        let line = power(&oz, rate, 50.0);
        assert!(line > 10.0 * band(&oz, rate, 42.0, 46.0));
        // Between 2 and 32 Hz power falls by 16 to the exponent, about 28 for 1.2; artefacts add to the low end.
        let slope = band(&fz, rate, 1.5, 2.5) / band(&fz, rate, 30.0, 34.0);
        assert!(slope > 10.0, "slope {slope}");
    }
}

#[test]
fn neighbours_see_much_of_the_same_and_the_far_ends_little() {
    let settings = SimSettings {
        channels: SimSettings::montage(64),
        eeg_rate_hz: 200.0,
        preset: Preset::Easy,
        ..SimSettings::default()
    };
    let recording = record(&settings, &Script::default(), 60.0);
    let correlation = |a: &str, b: &str| {
        // First differences: drifts and blinks say nothing about brain sources.
        let d = |label| -> Vec<f64> {
            let x = recording.channel(&settings, label);
            x.windows(5).step_by(4).map(|w| w[4] - w[0]).collect()
        };
        let (a, b) = (d(a), d(b));
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(p, q)| p * q).sum::<f64>();
        dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
    };
    assert!(correlation("P3", "P1") > 0.5);
    assert!(correlation("P3", "P1") > correlation("P3", "F4") + 0.3);
}

#[test]
fn electrodes_carry_tens_of_millivolts_and_drift_slowly() {
    let settings = SimSettings::default();
    let recording = record(&settings, &Script::default(), 120.0);
    let offsets: Vec<f64> = settings
        .channels
        .iter()
        .map(|label| recording.channel(&settings, label)[0].abs())
        .collect();
    assert!(offsets.iter().any(|uv| *uv > 10_000.0), "{offsets:?}");
    assert!(offsets.iter().all(|uv| *uv < 50_000.0), "{offsets:?}");
    let pz = recording.channel(&settings, "Pz");
    let second = |at: usize| pz[at * 250..(at + 1) * 250].iter().sum::<f64>() / 250.0;
    let moved = (0..119)
        .map(|s| (second(s + 1) - second(s)).abs())
        .fold(0.0, f64::max);
    let ranged = (0..120)
        .map(second)
        .fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
    assert!(
        moved < 40.0 && ranged.1 - ranged.0 > 20.0,
        "{moved} {ranged:?}"
    );
}

#[test]
fn a_blink_shows_in_gaze_loss_and_in_frontal_eeg_less_so_behind() {
    let settings = SimSettings {
        preset: Preset::Easy,
        ..SimSettings::default()
    };
    let recording = record(&settings, &Script::default(), 240.0);
    let channels = ["Fz", "Cz", "Pz"].map(|label| recording.channel(&settings, label));
    let mut rises: [Vec<f64>; 3] = Default::default();
    let lost = |n: usize| recording.gaze[n][2] == 0.0;
    let mut n = 1;
    while n + 300 < recording.gaze.len() {
        if lost(n) && !lost(n - 1) && n > 200 {
            let length = (n..recording.gaze.len()).take_while(|k| lost(*k)).count();
            // Gaze and EEG have the same rate here: one index serves both.
            if (20..=120).contains(&length) {
                for (rise, channel) in rises.iter_mut().zip(&channels) {
                    let mean = |from: usize, to: usize| {
                        channel[from..to].iter().sum::<f64>() / (to - from) as f64
                    };
                    rise.push(mean(n, n + length) - mean(n - 75, n - 30));
                }
            }
            n += length;
        }
        n += 1;
    }
    assert!(rises[0].len() >= 15, "{} blinks", rises[0].len());
    let median = rises.map(|mut rise| {
        rise.sort_by(f64::total_cmp);
        rise[rise.len() / 2]
    });
    assert!((50.0..200.0).contains(&median[0]), "{median:?}");
    assert!(median[0] > 1.5 * median[1] && median[1] > 1.5 * median[2]);
}

/// Mean of a channel from `from_s` to `to_s` after each onset, from the mean of the 100 ms before it.
fn evoked(recording: &Recording, channel: &[f64], onsets: &[f64], from_s: f64, to_s: f64) -> f64 {
    let index = |t: f64| recording.eeg_s.partition_point(|stamp| *stamp < t);
    let mean = |a: f64, b: f64| {
        let piece = &channel[index(a)..index(b)];
        piece.iter().sum::<f64>() / piece.len() as f64
    };
    let mut values: Vec<f64> = onsets
        .iter()
        .map(|t| mean(t + from_s, t + to_s) - mean(t - 0.1, *t))
        .collect();
    // The middle half: blinks do not decide.
    values.sort_by(f64::total_cmp);
    let middle = &values[values.len() / 4..values.len() - values.len() / 4];
    middle.iter().sum::<f64>() / middle.len() as f64
}

#[test]
fn target_flashes_evoke_a_parietal_p300_and_others_do_not() {
    let settings = SimSettings::default();
    let mut script = Script::default();
    script.say(
        1.0,
        Event::Cue {
            run: 0,
            item: 1,
            options: grid(),
        },
    );
    let (mut targets, mut others) = (Vec::new(), Vec::new());
    for n in 0..240 {
        let item = if n % 2 == 0 { 1 } else { 4 };
        let onset = 3.0 + 1.3 * f64::from(n);
        script.say(
            onset,
            Event::Flash {
                item,
                target: None,
                run: Some(0),
                fork: None,
                stamp: None,
            },
        );
        if item == 1 { &mut targets } else { &mut others }.push(onset);
    }
    let recording = record(&settings, &script, 320.0);
    let at = |label, onsets, from, to| {
        let channel = recording.channel(&settings, label);
        evoked(&recording, &channel, onsets, from, to)
    };
    let p300 = at("Pz", &targets, 0.30, 0.45);
    let other = at("Pz", &others, 0.30, 0.45);
    assert!(p300 > 3.0, "P300 {p300}");
    assert!(other.abs() < 1.3, "no P300 {other}");
    assert!(p300 > 1.4 * at("Oz", &targets, 0.30, 0.45));
    assert!(p300 > 1.4 * at("Fz", &targets, 0.30, 0.45));
    // N200 over the lateral visual areas; the visual N1 to every flash over the occipital pole.
    let n200 = at("PO7", &targets, 0.19, 0.24) - at("PO7", &others, 0.19, 0.24);
    assert!(n200 < -1.0, "N200 {n200}");
    let n1 = at("Oz", &others, 0.15, 0.18);
    assert!(n1 < -0.3, "N1 {n1}");
}

#[test]
fn at_a_fork_only_what_it_has_decided_for_evokes_a_p300() {
    let settings = SimSettings {
        preset: Preset::Easy,
        ..SimSettings::default()
    };
    let mut script = Script::default();
    let mut flashes = Vec::new();
    let mut t = 1.0;
    for fork in 0..24 {
        let mut onset = t + 0.4;
        let mut n = fork as i32;
        while onset < t + 11.0 {
            let item = n * 5 % 6;
            script.say(
                onset,
                Event::Flash {
                    item,
                    target: None,
                    run: None,
                    fork: Some(fork),
                    stamp: None,
                },
            );
            flashes.push((fork, item, onset));
            onset += 0.4;
            n += 1;
        }
        t = script.fork(t, fork, &six_options(), 12.0, None);
    }
    script.markers.sort_by(|a, b| a.0.total_cmp(&b.0));
    let recording = record(&settings, &script, t);
    assert_eq!(recording.truth.len(), 24);
    let (mut before, mut wanted, mut unwanted) = (Vec::new(), Vec::new(), Vec::new());
    for (fork, item, onset) in flashes {
        let truth = recording.truth[fork as usize];
        let decided = truth.at.unwrap() - crate::script::START_S;
        match (onset > decided, truth.attended == Some(item)) {
            (false, true) if onset < decided - 0.1 => before.push(onset),
            (true, true) => wanted.push(onset),
            (true, false) => unwanted.push(onset),
            _ => {}
        }
    }
    let pz = recording.channel(&settings, "Pz");
    let p300 = |onsets: &[f64]| evoked(&recording, &pz, onsets, 0.30, 0.45);
    let (before, wanted, unwanted) = (p300(&before), p300(&wanted), p300(&unwanted));
    assert!(wanted > 3.0, "{wanted}");
    assert!(before < 0.5 * wanted, "{before}");
    assert!(unwanted < 0.4 * wanted, "{unwanted}");
}

#[test]
fn everything_is_finite_at_64_channels_and_1_khz() {
    let settings = SimSettings {
        preset: Preset::Hard,
        channels: SimSettings::montage(64),
        eeg_rate_hz: 1000.0,
        gaze_rate_hz: 500.0,
        ..SimSettings::default()
    };
    let mut script = Script::default();
    let end = script.cued_block(0.5, 0, 0, 60);
    let recording = record(&settings, &script, end);
    assert_eq!(recording.eeg[0].len(), 64);
    assert!(recording.eeg.iter().flatten().all(|v| v.is_finite()));
    for gaze in &recording.gaze {
        let seen = gaze[2] > 0.0;
        assert_eq!(gaze[0].is_finite() && gaze[1].is_finite(), seen);
        assert!((0.0..=1.0).contains(&gaze[2]));
    }
}
