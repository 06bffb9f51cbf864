//! Faults that are asked for appear as asked, and nowhere else.

use razvilka::marker::Event;
use razvilka::sim::{Preset, SettingsError, SimSettings};
use razvilka_calibration::{
    CalibrationInput, EegCalibration, EegInput, EpochInfo, Epochs, Provenance, fit_session,
};
use razvilka_dsp::eeg::{EegPath, EegSpec};
use razvilka_dsp::epoch::FinishedEpoch;
use razvilka_dsp::units::Hertz;

use crate::script::{Script, record};

fn with(faults: &[&str]) -> Result<SimSettings, SettingsError> {
    Ok(SimSettings {
        faults: faults
            .iter()
            .map(|fault| fault.parse())
            .collect::<Result<_, _>>()?,
        ..SimSettings::default()
    })
}

#[test]
fn railed_flat_and_nan_channels_leave_the_others_untouched() {
    let healthy = record(&SimSettings::default(), &Script::default(), 10.0);
    let settings = with(&["railed=P3", "flat=Oz", "nan=Cz@2+0.5"]).unwrap();
    let faulty = record(&settings, &Script::default(), 10.0);
    for label in &settings.channels {
        let (sound, sick) = (
            healthy.channel(&settings, label),
            faulty.channel(&settings, label),
        );
        match label.as_str() {
            "P3" => assert!(sick.iter().all(|uv| *uv == 187_500.0)),
            "Oz" => assert!(sick.iter().all(|uv| *uv == 0.0)),
            "Cz" => {
                for ((t, a), b) in faulty.eeg_s.iter().zip(sound).zip(sick) {
                    let broken = (2.0..2.5).contains(t);
                    assert!(if broken { b.is_nan() } else { a == b }, "{t}");
                }
            }
            _ => assert_eq!(sound, sick),
        }
    }
}

#[test]
fn a_gap_stops_the_amplifier_alone() {
    let settings = with(&["gap@3+1.5"]).unwrap();
    let recording = record(&settings, &Script::default(), 10.0);
    assert_eq!(recording.eeg_s.len(), 2500 - 375);
    assert!(!recording.eeg_s.iter().any(|t| (3.0..4.5).contains(t)));
    assert_eq!(recording.gaze_s.len(), 2500);
}

/// Every epoch of a script's flashes, in their order, with the samples that this laboratory gives.
fn epochs(
    settings: &SimSettings,
    script: &Script,
    seconds: f64,
    scorer: Option<&EegCalibration>,
    mut show: impl FnMut(f64, EpochInfo, &FinishedEpoch<'_>),
) {
    let recording = record(settings, script, seconds);
    let rate = Hertz::new(settings.eeg_rate_hz).unwrap();
    let mut path = EegPath::prepare(EegSpec::p300(rate, settings.channels.len())).unwrap();
    if let Some(calibration) = scorer {
        path.set_scorer(calibration.scorer().unwrap()).unwrap();
    }
    let flashes: Vec<EpochInfo> = script
        .markers
        .iter()
        .filter_map(|(at_s, marker)| match marker.body {
            Event::Flash {
                target: Some(target),
                run: Some(run),
                ..
            } => Some(EpochInfo {
                onset_s: *at_s,
                target: target == 1,
                run,
            }),
            _ => None,
        })
        .collect();
    let mut told = 0;
    for (stamp_s, sample) in recording.eeg_s.iter().zip(&recording.eeg) {
        let mut keep = |epoch: &FinishedEpoch<'_>| {
            show(epoch.onset_s, flashes[epoch.id as usize], epoch);
        };
        while let Some(flash) = flashes.get(told).filter(|f| f.onset_s <= *stamp_s) {
            path.flash_with(told as u64, flash.onset_s, &mut keep)
                .unwrap();
            told += 1;
        }
        path.push_with(*stamp_s, sample, &mut keep).unwrap();
        while path.pop().is_some() {}
    }
}

#[test]
fn clenched_jaws_are_rejected_or_bring_no_confident_evidence() {
    let blocks = |from: u32, count: u32| {
        let (mut script, mut t) = (Script::default(), 2.0);
        for run in from..from + count {
            t = script.cued_block(t, run, (run * 7 % 6) as i32, 36);
        }
        (script, t)
    };
    let easy = SimSettings {
        seed: 5,
        preset: Preset::Easy,
        ..SimSettings::default()
    };
    let (script, seconds) = blocks(0, 10);
    let mut known: Option<Epochs> = None;
    epochs(&easy, &script, seconds, None, |_, info, epoch| {
        let known = known.get_or_insert_with(|| {
            Epochs::new(epoch.shape.channels(), epoch.shape.bins()).unwrap()
        });
        if epoch.status.is_clean() {
            known.push(info, epoch.features).unwrap();
        }
    });
    let known = known.unwrap();
    let base = known.targets() as f64 / known.len() as f64;
    let rate = Hertz::new(easy.eeg_rate_hz).unwrap();
    let input = CalibrationInput {
        eeg: Some(EegInput {
            labels: easy.channels.clone(),
            path: EegSpec::p300(rate, easy.channels.len()),
            epochs: known,
            prior: None,
            rejected: 0,
            signal: None,
        }),
        gaze: razvilka_calibration::GazeInput::default(),
        provenance: Provenance {
            created_utc: String::new(),
            software: String::new(),
            sources: Vec::new(),
        },
    };
    let calibration = fit_session(&input).unwrap().profile.eeg.unwrap();
    let (script, seconds) = blocks(20, 10);
    let clenched = |t_s: f64| (4.0..5.0).contains(&(t_s % 7.0));
    let faults = (0..)
        .map(|k| 4.0 + 7.0 * f64::from(k))
        .take_while(|from_s| *from_s < seconds)
        .map(|from_s| format!("clench@{from_s}+1").parse().unwrap());
    let uneasy = SimSettings {
        faults: faults.collect(),
        ..easy
    };
    let (mut touched, mut rejected, mut loss, mut loss_of_base, mut others) = (0, 0, 0.0, 0.0, 0);
    epochs(
        &uneasy,
        &script,
        seconds,
        Some(&calibration),
        |onset_s, info, epoch| {
            if !(0..=8).any(|k| clenched(onset_s + 0.1 * f64::from(k))) {
                others += u32::from(epoch.status.is_clean());
                return;
            }
            touched += 1;
            let evidence = epoch.score.filter(|_| epoch.status.is_clean());
            rejected += u32::from(evidence.is_none());
            let p = evidence.map_or(base, |score| calibration.p_target(score));
            let of = |p: f64| -(if info.target { p } else { 1.0 - p }).ln();
            loss += of(p);
            loss_of_base += of(base);
        },
    );
    println!(
        "{rejected} of {touched} rejected, loss {loss:.2} for {loss_of_base:.2}; {others} others clean"
    );
    assert!(touched > 50 && others > 100);
    assert!(loss < loss_of_base + 0.03 * f64::from(touched));
}
