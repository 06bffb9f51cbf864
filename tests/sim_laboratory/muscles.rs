//! Do jaw and brow act as they are asked to, and do they leave everything else alone?

use razvilka::marker::Event;
use razvilka::sim::{Preset, SimSettings};
use razvilka_dsp::contraction::Muscle;

use crate::script::{Recording, START_S, Script, record, six_options};

fn settings(muscle: Muscle) -> SimSettings {
    SimSettings {
        preset: Preset::Easy,
        channels: SimSettings::with_muscles(SimSettings::montage(8)),
        contraction_signal: Some(muscle),
        ..SimSettings::default()
    }
}

/// Root mean square of the steps from sample to sample in a stretch of a channel: muscles are fast, the rest of an EEG is slow.
fn quick_uv(
    recording: &Recording,
    settings: &SimSettings,
    label: &str,
    from_s: f64,
    until_s: f64,
) -> f64 {
    let all = recording.channel(settings, label);
    let within = recording.eeg_s.iter().zip(all.windows(2));
    let within = within.filter(|(t_s, _)| (from_s..until_s).contains(t_s));
    let (n, sum) = within.fold((0.0, 0.0), |(n, sum), (_, pair)| {
        let step_uv: f64 = pair[1] - pair[0];
        (n + 1.0, sum + step_uv * step_uv)
    });
    (sum / f64::max(n, 1.0)).sqrt()
}

#[test]
fn a_contraction_answers_its_cue_over_the_muscle_that_was_asked_for() {
    for (muscle, near, far) in [(Muscle::Jaw, "T7", "Oz"), (Muscle::Brow, "AF8", "T8")] {
        let settings = settings(muscle);
        let mut script = Script::default();
        for n in 0..10 {
            script.say(5.0 + 6.0 * f64::from(n), Event::contraction_signal(muscle));
        }
        let recording = record(&settings, &script, 66.0);
        for n in 0..10 {
            let cue_s = 5.0 + 6.0 * f64::from(n);
            let rest = |label| quick_uv(&recording, &settings, label, cue_s - 2.0, cue_s + 0.2);
            // Wherever within the answer it is: the loudest quarter of a second.
            let loudest = |label| {
                let starts = (0..20).map(|k| cue_s + 0.2 + 0.1 * f64::from(k));
                let uv = starts.map(|s| quick_uv(&recording, &settings, label, s, s + 0.25));
                uv.fold(0.0, f64::max)
            };
            assert!(loudest(near) > 3.0 * rest(near), "{muscle:?} {n}");
            let rise = |label| loudest(label) - rest(label);
            assert!(rise(near) > 3.0 * rise(far), "{muscle:?} {n}");
        }
    }
}

#[test]
fn at_a_fork_it_comes_when_the_person_has_decided() {
    let settings = settings(Muscle::Jaw);
    let mut script = Script::default();
    for fork in 0..8 {
        script.fork(2.0 + 12.0 * fork as f64, fork, &six_options(), 9.0, None);
    }
    let recording = record(&settings, &script, 98.0);
    let decided: Vec<f64> = recording
        .truth
        .iter()
        .filter_map(|truth| truth.at)
        .collect();
    assert!(decided.len() >= 6);
    for at_s in decided.into_iter().map(|at_s| at_s - START_S) {
        let quick =
            |from_s: f64, until_s: f64| quick_uv(&recording, &settings, "T8", from_s, until_s);
        let after = (0..16).map(|k| at_s + 0.1 * f64::from(k));
        let after = after.map(|s| quick(s, s + 0.25)).fold(0.0, f64::max);
        assert!(after > 3.0 * quick(at_s - 0.8, at_s), "{at_s}");
    }
}

#[test]
fn muscles_change_nothing_but_the_eeg_and_nothing_of_that_while_they_rest() {
    let with = settings(Muscle::Jaw);
    let without = SimSettings {
        contraction_signal: None,
        ..with.clone()
    };
    let restless = SimSettings {
        muscles_per_min: 6.0,
        ..without.clone()
    };
    let mut script = Script::default();
    for fork in 0..4 {
        script.fork(2.0 + 12.0 * fork as f64, fork, &six_options(), 9.0, None);
    }
    let [with, without, restless] =
        [with, without, restless].map(|settings| record(&settings, &script, 50.0));
    let gaze = |recording: &Recording| {
        let values = recording.gaze.iter().flatten().map(|v| v.to_bits());
        values.collect::<Vec<_>>()
    };
    for other in [&with, &restless] {
        assert_eq!(gaze(other), gaze(&without));
        assert_eq!(other.truth, without.truth);
        assert_ne!(other.eeg, without.eeg);
        // Samples that differ lie in a few stretches; the rest are the same to the bit.
        let same = other.eeg.iter().zip(&without.eeg).filter(|(a, b)| a == b);
        assert!(2 * same.count() > without.eeg.len());
    }
}
