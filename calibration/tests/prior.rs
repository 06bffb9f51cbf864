//! What a prior from other people is worth: on made people who share a response and differ in their heads.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use common::{Noise, eeg_alone};
use razvilka_calibration::{
    CalibrationError, EegCalibration, EpochInfo, Epochs, Fitted, Informed, Others, Prior,
    ScorerKind, auc, expected_calibration_error, fit_session, reliability_diagram,
};
use razvilka_dsp::eeg::EegSpec;
use razvilka_dsp::units::Hertz;

const CHANNELS: usize = 6;
const RESPONSE_UV: f64 = 2.5;

fn path() -> EegSpec {
    EegSpec::p300(Hertz::new(250.0).unwrap(), CHANNELS)
}

/// Epochs of a person whose electrodes mix five sources in their own way and whose response has their own size.
fn person(head: u64, session: u64, count: usize, response_uv: f64) -> Epochs {
    let bins = path().epoch_shape().unwrap().bins();
    let mut own = Noise(head);
    let mixing: Vec<f64> = (0..CHANNELS * CHANNELS)
        .map(|k| f64::from(u8::from(k % (CHANNELS + 1) == 0)) * 4.0 + own.gauss())
        .collect();
    let size = response_uv * (1.0 + 0.3 * (own.uniform() - 0.5));
    let mut noise = Noise(head * 1000 + session);
    let mut epochs = Epochs::new(CHANNELS, bins).unwrap();
    for index in 0..count {
        let target = index % 6 == 3;
        let mut values = vec![0.0; CHANNELS * bins];
        let mut before = [0.0; CHANNELS];
        for bin in 0..bins {
            for source in &mut before {
                *source = 0.8 * *source + 0.6 * noise.gauss();
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

fn fitted(epochs: Epochs, prior: Option<Others>) -> Result<Fitted, CalibrationError> {
    let mut input = eeg_alone(vec![String::new(); CHANNELS], path(), epochs);
    input.eeg.as_mut().unwrap().prior = prior;
    fit_session(&input)
}

fn calibrated(prior: Option<Prior>) -> EegCalibration {
    let prior = prior.map(Others::of_same_montage);
    let fitted = fitted(person(31, 0, 120, RESPONSE_UV), prior).unwrap();
    fitted.profile.eeg.unwrap()
}

/// A prior that was asked what to expect of it.
fn judged(heads: &[u64], response_uv: f64) -> Prior {
    let recordings: Vec<Epochs> = heads
        .iter()
        .map(|&head| person(head, 0, 360, response_uv))
        .collect();
    let people: Vec<usize> = (0..heads.len()).collect();
    Prior::of_people(&recordings, &people).unwrap()
}

/// No labelled epoch, and so many without.
fn unlabelled(prior: Prior, own: &Epochs) -> (Epochs, Option<Others>) {
    let mut others = Others::of_same_montage(prior);
    others.unlabelled = Some(own.clone());
    (own.subset(&[]).unwrap(), Some(others))
}

/// AUC and calibration error on flashes of another session.
fn on_fresh(eeg: &EegCalibration, fresh: &Epochs) -> (f64, f64) {
    let mut scorer = eeg.scorer().unwrap();
    let scores: Vec<f64> = (0..fresh.len())
        .map(|row| scorer.score(fresh.row(row)).unwrap())
        .collect();
    let p: Vec<f64> = scores.iter().map(|&score| eeg.p_target(score)).collect();
    let diagram = reliability_diagram(&p, &fresh.labels()).unwrap();
    (
        auc(&scores, &fresh.labels()).unwrap().value,
        expected_calibration_error(&diagram),
    )
}

#[test]
fn with_few_flashes_the_prior_is_taken_and_the_profile_reads_fresh_flashes_better() {
    let fresh = person(31, 1, 900, RESPONSE_UV);
    let informed = calibrated(Some(others(RESPONSE_UV)));
    assert_eq!(
        informed.selection.picked,
        ScorerKind::Informed,
        "{:?}",
        informed.selection
    );
    assert!(on_fresh(&informed, &fresh).0 > on_fresh(&calibrated(None), &fresh).0);
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

#[test]
fn without_a_label_the_profile_is_judged_on_people_left_out_and_says_so() {
    let own = person(51, 0, 240, RESPONSE_UV);
    let (none, others) = unlabelled(judged(&[1, 2, 3, 4], RESPONSE_UV), &own);
    let fitted = fitted(none, others).unwrap();
    let eeg = fitted.profile.eeg.as_ref().unwrap();
    let used = eeg.prior.as_ref().unwrap();
    assert!(used.judged_on_others && used.unlabelled == 240 && used.people == 4);
    let (low, high) = used.auc_range.unwrap();
    assert!(low <= eeg.metrics.auc.value && eeg.metrics.auc.value <= high);
    assert!(eeg.selection.in_words().contains("not known"));
    let (area, ece) = on_fresh(eeg, &person(51, 1, 900, RESPONSE_UV));
    assert!(
        area > 0.65 && (area - eeg.metrics.auc.value).abs() < 0.1,
        "{area} where {} was expected",
        eeg.metrics.auc.value
    );
    // The typical person that few people lean on answers better than these.
    assert!(ece < 0.08, "{ece}");
    let page = razvilka_calibration::report::render(&fitted.profile, &fitted.report).unwrap();
    for words in [
        "P300, expected",
        "Estimated from 4 other people",
        "All figures here are of other people",
        "No average responses",
    ] {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn without_a_label_one_other_person_is_not_enough_and_with_labels_it_is() {
    let own = person(51, 0, 240, RESPONSE_UV);
    let (none, others) = unlabelled(judged(&[1], RESPONSE_UV), &own);
    let refused = fitted(none, others.clone()).unwrap_err();
    assert!(matches!(refused, CalibrationError::OnePerson));
    assert!(refused.to_string().contains("two people or more"));
    assert!(fitted(own, others).is_ok());
}

#[test]
fn too_few_flashes_to_meet_somebody_by_are_refused() {
    let own = person(51, 0, 19, RESPONSE_UV);
    let (none, others) = unlabelled(judged(&[1, 2], RESPONSE_UV), &own);
    let refused = fitted(none, others).unwrap_err();
    assert!(
        matches!(
            refused,
            CalibrationError::TooFew {
                found: 19,
                needed: 20,
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn people_of_noise_give_no_evidence_without_labels_and_no_harm_with_them() {
    let own = person(61, 0, 360, RESPONSE_UV);
    let fresh = person(61, 1, 900, RESPONSE_UV);
    let noise = judged(&[1, 2, 3], 0.0);
    let (none, others) = unlabelled(noise, &own);
    let blind = fitted(none, others.clone()).unwrap().profile.eeg.unwrap();
    assert_eq!(blind.reliability, 0.0);
    assert!((blind.p_target(3.0) - blind.base_rate).abs() < 1e-12);

    let with = fitted(own.clone(), others).unwrap().profile.eeg.unwrap();
    let without = fitted(own, None).unwrap().profile.eeg.unwrap();
    let alone = with.selection.prior_alone.unwrap();
    assert!(!alone.tells && alone.auc.value < 0.65, "{alone:?}");
    assert!(with.selection.in_words().contains("was left out"));
    assert_ne!(with.selection.picked, ScorerKind::Informed);
    assert_eq!(
        on_fresh(&with, &fresh),
        on_fresh(&without, &fresh),
        "as if there were none"
    );
}

#[test]
fn unlabelled_flashes_beside_labelled_ones_move_the_prior_further() {
    let prior = judged(&[1, 2, 3], RESPONSE_UV);
    let (mut few, mut more) = (0.0, 0.0);
    for head in 71..=74 {
        let own = person(head, 0, 720, RESPONSE_UV);
        let fresh = person(head, 1, 900, RESPONSE_UV);
        let labelled = own.subset(&(0..90).collect::<Vec<_>>()).unwrap();
        let rest = own.subset(&(90..720).collect::<Vec<_>>()).unwrap();
        let mut others = Others::of_same_montage(prior.clone());
        let alone = fitted(labelled.clone(), Some(others.clone())).unwrap();
        others.unlabelled = Some(rest);
        let both = fitted(labelled, Some(others)).unwrap().profile.eeg.unwrap();
        assert_eq!(both.prior.as_ref().unwrap().unlabelled, 630);
        assert!(!both.prior.as_ref().unwrap().judged_on_others);
        few += on_fresh(alone.profile.eeg.as_ref().unwrap(), &fresh).0 / 4.0;
        more += on_fresh(&both, &fresh).0 / 4.0;
    }
    assert!(more > few, "{more} against {few}");
}

/// The epochs with one channel at a constant that an amplifier's rail gives after the filter, and not used.
fn railed(epochs: &Epochs, channel: usize) -> Epochs {
    let used = (0..epochs.channels()).map(|c| c != channel).collect();
    let mut out = Epochs::with_used(used, epochs.bins()).unwrap();
    for row in 0..epochs.len() {
        let mut values = epochs.row(row).to_vec();
        values[channel * epochs.bins()..(channel + 1) * epochs.bins()].fill(0.0);
        out.push(epochs.info()[row], &values).unwrap();
    }
    out
}

#[test]
fn a_prior_goes_on_without_a_channel_much_as_one_that_never_had_it() {
    let heads = [1, 2, 3];
    let kept = [true, false, true, true, true, true];
    let places: Vec<usize> = (0..CHANNELS).filter(|&c| kept[c]).collect();
    let recordings: Vec<Epochs> = heads
        .iter()
        .map(|&head| {
            person(head, 0, 360, RESPONSE_UV)
                .channels_at(&places)
                .unwrap()
        })
        .collect();
    let never_had = Prior::of_people(&recordings, &[0, 1, 2]).unwrap();
    let cut = judged(&heads, RESPONSE_UV).of_channels(&kept).unwrap();
    cut.validate().unwrap();
    let (mut one, mut other) = (0.0, 0.0);
    for head in 81..=84 {
        let own = railed(&person(head, 0, 240, RESPONSE_UV), 1);
        let fresh = railed(&person(head, 1, 900, RESPONSE_UV), 1);
        let area = |prior: &Prior| {
            let mut others = Others::of_same_montage(prior.clone());
            others.places.clone_from(&places);
            others.unlabelled = Some(own.clone());
            let eeg = fitted(own.subset(&[]).unwrap(), Some(others)).unwrap();
            let eeg = eeg.profile.eeg.unwrap();
            assert_eq!(eeg.lda.used, kept);
            on_fresh(&eeg, &fresh).0
        };
        one += area(&never_had) / 4.0;
        other += area(&cut) / 4.0;
    }
    assert!(one > 0.7 && (one - other).abs() < 0.02, "{one} and {other}");
}

#[test]
fn a_prior_of_fewer_channels_than_the_person_has_is_used_on_those_it_has() {
    let own = person(91, 0, 240, RESPONSE_UV);
    let places = vec![4, 0, 2, 3];
    let recordings: Vec<Epochs> = [1, 2]
        .iter()
        .map(|&head| {
            person(head, 0, 360, RESPONSE_UV)
                .channels_at(&places)
                .unwrap()
        })
        .collect();
    let mut others = Others::of_same_montage(Prior::of_people(&recordings, &[0, 1]).unwrap());
    others.places = places;
    others.unlabelled = Some(own.clone());
    let eeg = fitted(own.subset(&[]).unwrap(), Some(others.clone())).unwrap();
    let eeg = eeg.profile.eeg.unwrap();
    assert_eq!(eeg.lda.used, [true, false, true, true, true, false]);
    let area = on_fresh(&eeg, &person(91, 1, 900, RESPONSE_UV)).0;
    assert!(area > 0.6, "{area}");
    // A channel that is not good here cannot stand for the prior's.
    let bad = railed(&own, 0);
    others.unlabelled = Some(bad.clone());
    assert!(matches!(
        fitted(bad.subset(&[]).unwrap(), Some(others)),
        Err(CalibrationError::Degenerate { .. })
    ));
}

#[test]
fn every_person_counts_the_same_however_many_recordings_there_are_of_them() {
    let (a, b) = (
        person(1, 0, 240, RESPONSE_UV),
        person(2, 0, 240, RESPONSE_UV),
    );
    let once = Prior::of_people(&[a.clone(), b.clone()], &[7, 3]).unwrap();
    let thrice = Prior::of_people(&[a.clone(), b, a.clone(), a], &[7, 3, 7, 7]).unwrap();
    assert_eq!((once.people, thrice.people, thrice.recordings), (2, 2, 4));
    for (x, y) in once.time.difference.iter().zip(&thrice.time.difference) {
        assert!((x - y).abs() < 1e-9, "{x} {y}");
    }
}

#[test]
fn recordings_of_one_class_are_no_prior() {
    let all = person(1, 0, 240, RESPONSE_UV);
    let others: Vec<usize> = (0..240).filter(|&row| !all.info()[row].target).collect();
    let refused = Prior::of_people(&[all.subset(&others).unwrap()], &[0]).unwrap_err();
    assert!(
        matches!(
            refused,
            CalibrationError::TooFew {
                found: 0,
                needed: 10,
                ..
            }
        ),
        "{refused}"
    );
}
