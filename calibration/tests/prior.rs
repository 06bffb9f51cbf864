//! What a prior from other people is worth: on made people who share a response and differ in their heads.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use razvilka_calibration::{
    CalibrationError, CalibrationInput, EegInput, EpochInfo, Epochs, Informed, Prior, Provenance,
    ScorerKind, auc, fit_session,
};
use razvilka_dsp::eeg::EegSpec;
use razvilka_dsp::units::Hertz;

const CHANNELS: usize = 6;
const RESPONSE_UV: f64 = 2.5;

/// Knuth's linear congruential generator, summed towards a Gaussian.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    }

    fn gaussian(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum()
    }
}

fn path() -> EegSpec {
    EegSpec::p300(Hertz::new(250.0).unwrap(), CHANNELS)
}

/// Epochs of a person whose electrodes mix five sources in their own way and whose response has their own size.
fn person(head: u64, session: u64, count: usize, response_uv: f64) -> Epochs {
    let bins = path().epoch_shape().unwrap().bins();
    let mut own = Noise(head);
    let mixing: Vec<f64> = (0..CHANNELS * CHANNELS)
        .map(|k| f64::from(u8::from(k % (CHANNELS + 1) == 0)) * 4.0 + own.gaussian())
        .collect();
    let size = response_uv * (1.0 + 0.3 * own.uniform());
    let mut noise = Noise(head * 1000 + session);
    let mut epochs = Epochs::new(CHANNELS, bins).unwrap();
    for index in 0..count {
        let target = index % 6 == 3;
        let mut values = vec![0.0; CHANNELS * bins];
        let mut before = [0.0; CHANNELS];
        for bin in 0..bins {
            for source in &mut before {
                *source = 0.8 * *source + 0.6 * noise.gaussian();
            }
            let at = (bin as f64 / bins as f64 - 0.45) / 0.1;
            for channel in 0..CHANNELS {
                let background: f64 = (0..CHANNELS)
                    .map(|k| mixing[channel * CHANNELS + k] * before[k])
                    .sum();
                let place = 1.0 - channel as f64 / CHANNELS as f64;
                let response = if target {
                    size * place * (-0.5 * at * at).exp()
                } else {
                    0.0
                };
                values[channel * bins + bin] = background + response;
            }
        }
        let info = EpochInfo {
            onset_s: index as f64 * 0.2,
            target,
            run: (index / 60) as u32,
        };
        epochs.push(info, &values).unwrap();
    }
    epochs
}

fn others(response_uv: f64) -> Prior {
    let recordings: Vec<Epochs> = (1..=3)
        .map(|head| person(head, 0, 360, response_uv))
        .collect();
    Prior::fit(&recordings).unwrap()
}

fn area(met: &Informed, fresh: &Epochs) -> f64 {
    let mut scorer = met
        .model
        .scorer(&met.lda, path().epoch_shape().unwrap())
        .unwrap();
    let scores: Vec<f64> = (0..fresh.len())
        .map(|row| scorer.score(fresh.row(row)).unwrap())
        .collect();
    auc(&scores, &fresh.labels()).unwrap().value
}

#[test]
fn somebody_unlabelled_is_read_by_what_others_share_and_labels_make_it_better() {
    let prior = others(RESPONSE_UV);
    let (mut unlabelled, mut labelled) = (0.0, 0.0);
    for head in 11..=13 {
        let own = person(head, 0, 240, RESPONSE_UV);
        let fresh = person(head, 1, 600, RESPONSE_UV);
        let none = prior.meet(&own, &vec![None; own.len()]).unwrap();
        let all: Vec<Option<bool>> = own.labels().into_iter().map(Some).collect();
        unlabelled += area(&none, &fresh) / 3.0;
        labelled += area(&prior.meet(&own, &all).unwrap(), &fresh) / 3.0;
    }
    assert!(unlabelled > 0.75, "{unlabelled}");
    assert!(labelled > unlabelled, "{labelled} against {unlabelled}");
}

#[test]
fn labels_that_are_not_given_are_not_looked_at() {
    let prior = others(RESPONSE_UV);
    let own = person(21, 0, 120, RESPONSE_UV);
    let mut swapped = Epochs::new(CHANNELS, own.bins()).unwrap();
    for row in 0..own.len() {
        let info = EpochInfo {
            target: !own.info()[row].target,
            ..own.info()[row]
        };
        swapped.push(info, own.row(row)).unwrap();
    }
    let none = vec![None; own.len()];
    assert_eq!(
        prior.meet(&own, &none).unwrap(),
        prior.meet(&swapped, &none).unwrap()
    );
}

fn calibrated(prior: Option<Prior>) -> razvilka_calibration::EegCalibration {
    let input = CalibrationInput {
        eeg: Some(EegInput {
            labels: vec![String::new(); CHANNELS],
            path: path(),
            epochs: person(31, 0, 120, RESPONSE_UV),
            prior,
            signal: None,
            rejected: 0,
        }),
        gaze: Vec::new(),
        provenance: Provenance {
            created_utc: "2026-01-01T00:00:00Z".into(),
            software: "test".into(),
            sources: Vec::new(),
        },
    };
    fit_session(&input).unwrap().profile.eeg.unwrap()
}

#[test]
fn with_few_flashes_the_prior_is_taken_and_the_profile_reads_fresh_flashes_better() {
    let fresh = person(31, 1, 900, RESPONSE_UV);
    let area = |eeg: &razvilka_calibration::EegCalibration| {
        let mut scorer = eeg.scorer().unwrap();
        let scores: Vec<f64> = (0..fresh.len())
            .map(|row| scorer.score(fresh.row(row)).unwrap())
            .collect();
        auc(&scores, &fresh.labels()).unwrap().value
    };
    let informed = calibrated(Some(others(RESPONSE_UV)));
    assert_eq!(
        informed.selection.picked,
        ScorerKind::Informed,
        "{:?}",
        informed.selection
    );
    assert!(area(&informed) > area(&calibrated(None)));
    let masked = informed
        .restrict(&[true, false, true, true, true, true])
        .unwrap();
    assert!(masked.0.used().count() == CHANNELS - 1);
}

#[test]
fn a_person_with_another_montage_or_too_few_flashes_is_refused() {
    let prior = others(RESPONSE_UV);
    let few = person(41, 0, 10, RESPONSE_UV);
    assert!(matches!(
        prior.meet(&few, &[None; 10]),
        Err(CalibrationError::TooFew { needed: 20, .. })
    ));
    let other = Epochs::new(CHANNELS + 1, few.bins()).unwrap();
    assert!(matches!(
        prior.meet(&other, &[]),
        Err(CalibrationError::Shape { .. })
    ));
    assert!(Prior::fit(&[]).is_err());
}
