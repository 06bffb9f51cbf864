//! A discriminant that follows confirmed choices: its steps against NumPy on all epochs at once
//! (`fixtures/golden/calibration/generate_adaptation.py`), its bounds, and a fit anew.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod common;

use common::{Scattered, close, eeg_alone};
use proptest::prelude::*;
use razvilka_calibration::{
    AdaptRule, Adaptive, ConfirmedEpoch, EegCalibration, EegModel, EpochInfo, Epochs, LdaModel,
    Structure, auc, fit_session, posterior, refit, worth_taking,
};
use razvilka_dsp::eeg::EegSpec;
use razvilka_dsp::score::ScoreDensity;
use razvilka_dsp::units::{Hertz, Seconds};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    channels: usize,
    bins: usize,
    first: usize,
    features: Vec<f64>,
    target: Vec<bool>,
    shrinkage: f64,
    all: Truth,
}

#[derive(Deserialize)]
struct Truth {
    difference: Vec<f64>,
    midpoint: Vec<f64>,
    covariance: Vec<Vec<f64>>,
    weights: Vec<f64>,
    bias: f64,
}

/// Everything is learnt, and nothing fades.
const UNBOUNDED: AdaptRule = AdaptRule {
    memory_epochs_min: 1.0,
    memory_epochs_max: 1e9,
    epochs_per_fork_max: usize::MAX,
    distance_sds_max: 1e9,
    change_max: 2.0,
};

/// A path of this many channels whose epochs have this many bins of one sample.
fn path(channels: usize, bins: usize) -> EegSpec {
    let mut path = EegSpec::p300(Hertz::new(32.0).unwrap(), channels);
    path.band = None;
    path.epoch.length = Seconds::new(bins as f64 / 32.0).unwrap();
    assert_eq!(path.epoch_shape().unwrap().bins(), bins);
    path
}

struct Person {
    bins: usize,
    /// Bin of the response's peak.
    peak: f64,
    /// How strong it is.
    response_uv: f64,
}

const CHANNELS: usize = 4;

impl Person {
    /// Flashes, one in five a target.
    fn epochs(&self, seed: u64, count: usize) -> Epochs {
        let mut scattered = Scattered::new(seed);
        let mut noise = || 10.0 * scattered.gauss();
        let mut epochs = Epochs::new(CHANNELS, self.bins).unwrap();
        for k in 0..count {
            let target = k % 5 == 2;
            let shared: Vec<f64> = (0..self.bins).map(|_| noise()).collect();
            let row: Vec<f64> = (0..CHANNELS)
                .flat_map(|channel| (0..self.bins).map(move |bin| (channel, bin)))
                .map(|(channel, bin)| {
                    let bump = (-0.5 * ((bin as f64 - self.peak) / 2.0).powi(2)).exp();
                    let gain = [1.0, 0.8, -0.5, 0.3][channel];
                    f64::from(u8::from(target)) * self.response_uv * gain * bump
                        + 0.7 * shared[bin]
                        + noise()
                })
                .collect();
            let info = EpochInfo {
                onset_s: 0.2 * k as f64,
                target,
                run: (k / 60) as u32,
            };
            epochs.push(info, &row).unwrap();
        }
        epochs
    }
}

const PERSON: Person = Person {
    bins: 16,
    peak: 8.0,
    response_uv: 9.0,
};

fn calibrated(epochs: Epochs) -> EegCalibration {
    let labels = (0..epochs.channels()).map(|c| format!("C{c}")).collect();
    let path = path(epochs.channels(), epochs.bins());
    let input = eeg_alone(labels, path, epochs);
    fit_session(&input).unwrap().profile.eeg.unwrap()
}

fn rows(epochs: &Epochs) -> Vec<(bool, Vec<f32>)> {
    (0..epochs.len())
        .map(|row| {
            let features = epochs.row(row).iter().map(|x| *x as f32).collect();
            (epochs.info()[row].target, features)
        })
        .collect()
}

fn confirmed(rows: &[(bool, Vec<f32>)]) -> Vec<ConfirmedEpoch<'_>> {
    rows.iter()
        .map(|(target, features)| ConfirmedEpoch {
            target: *target,
            features,
        })
        .collect()
}

#[test]
fn steps_of_rank_one_reach_what_numpy_fits_on_all_epochs_at_once() {
    let golden: Golden = serde_json::from_str(include_str!(
        "../../fixtures/golden/calibration/adaptation.json"
    ))
    .unwrap();
    let mut whole = Epochs::new(golden.channels, golden.bins).unwrap();
    let width = golden.channels * golden.bins;
    for (k, (row, target)) in (0_u32..).zip(golden.features.chunks_exact(width).zip(&golden.target))
    {
        let info = EpochInfo {
            onset_s: f64::from(k),
            target: *target,
            run: k / 20,
        };
        whole.push(info, row).unwrap();
    }
    let first: Vec<usize> = (0..golden.first).collect();
    let rest: Vec<usize> = (golden.first..whole.len()).collect();
    let calibration = calibrated(whole.subset(&first).unwrap());
    assert!((calibration.lda.shrinkage - golden.shrinkage).abs() < 1e-9);
    let mut adaptive = Adaptive::new(calibration, UNBOUNDED).unwrap();
    let rest = rows(&whole.subset(&rest).unwrap());
    // In forks of any size.
    for fork in rest.chunks(7) {
        let learnt = adaptive.learn(&confirmed(fork)).unwrap();
        assert!(learnt.taken && learnt.used == fork.len() && learnt.refused == 0);
    }
    let lda = &adaptive.calibration().lda;
    close(&lda.mean_difference, &golden.all.difference, 1e-9);
    close(&lda.midpoint, &golden.all.midpoint, 1e-9);
    let n = golden.all.covariance.len();
    let covariance: Vec<f64> = (0..n)
        .flat_map(|i| (0..n).map(move |j| (i, j)))
        .map(|(i, j)| lda.covariance.get(i, j))
        .collect();
    close(&covariance, &golden.all.covariance.concat(), 1e-9);
    close(&lda.weights, &golden.all.weights, 1e-9);
    close(&[lda.bias], &[golden.all.bias], 1e-9);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5))]

    #[test]
    fn steps_reach_the_means_of_a_fit_on_everything_in_any_order_of_forks(
        seed in 1_u64..1_000, sizes in prop::collection::vec(1_usize..40, 1..6)
    ) {
        let own = PERSON.epochs(seed, 150);
        let count = sizes.iter().sum();
        let more = PERSON.epochs(seed + 7, count);
        let mut adaptive = Adaptive::new(calibrated(own.clone()), UNBOUNDED).unwrap();
        let learnt = rows(&more);
        let mut from = 0;
        for size in &sizes {
            adaptive.learn(&confirmed(&learnt[from..from + size])).unwrap();
            from += size;
        }
        let mut all = own;
        for (row, info) in more.info().iter().enumerate() {
            let rounded: Vec<f64> = learnt[row].1.iter().map(|x| f64::from(*x)).collect();
            all.push(*info, &rounded).unwrap();
        }
        let batch = LdaModel::fit(&all.paired().unwrap()).unwrap();
        close(&adaptive.calibration().lda.mean_difference, &batch.mean_difference, 1e-9);
        close(&adaptive.calibration().lda.midpoint, &batch.midpoint, 1e-9);
        // The diagonal is not shrunk: it, too, is that of all epochs.
        for k in 0..batch.covariance.order() {
            let (a, b) = (adaptive.calibration().lda.covariance.get(k, k), batch.covariance.get(k, k));
            prop_assert!((a - b).abs() <= 1e-6 * b, "{a} {b}");
        }
    }
}

#[test]
fn a_person_whose_response_moves_is_followed_by_every_scorer_that_rests_on_means_and_covariance() {
    let own = PERSON.epochs(1, 300);
    let fitted = calibrated(own.clone());
    let paired = own.paired().unwrap();
    let all: Vec<usize> = (0..own.len()).collect();
    let toeplitz = LdaModel::fit_structured(&paired, &all, Structure::BlockToeplitz).unwrap();
    let moved = Person {
        peak: 11.0,
        ..PERSON
    };
    let test = moved.epochs(3, 400);
    let area = |calibration: &EegCalibration| {
        let mut scorer = calibration.scorer().unwrap();
        let scores: Vec<f64> = (0..test.len())
            .map(|row| scorer.score(test.row(row)).unwrap())
            .collect();
        auc(&scores, &test.labels()).unwrap().value
    };
    for model in [EegModel::Lda, EegModel::BlockToeplitzLda(toeplitz)] {
        let calibration = EegCalibration {
            model,
            ..fitted.clone()
        };
        let rule = AdaptRule {
            change_max: 1.0,
            ..AdaptRule::default()
        };
        let mut adaptive = Adaptive::new(calibration, rule).unwrap();
        let before = area(adaptive.calibration());
        for fork in rows(&moved.epochs(2, 600)).chunks(30) {
            adaptive.learn(&confirmed(fork)).unwrap();
        }
        let after = area(adaptive.calibration());
        assert!(after > before + 0.02, "{before} {after}");
    }
}

#[test]
fn densities_follow_the_scores_of_confirmed_epochs_and_say_truer_what_they_are_evidence_for() {
    // One rule for all: weights that hardly move, so that it is the densities that follow.
    let rule = AdaptRule {
        memory_epochs_min: 1e6,
        memory_epochs_max: 1e6,
        ..AdaptRule::default()
    };
    let calibration = calibrated(PERSON.epochs(1, 600));
    let mut adaptive = Adaptive::new(calibration.clone(), rule).unwrap();
    let louder = |epochs: Epochs| -> Vec<(bool, Vec<f32>)> {
        let mut rows = rows(&epochs);
        for (_, features) in &mut rows {
            features.iter_mut().for_each(|x| *x *= 1.7);
        }
        rows
    };
    for fork in louder(PERSON.epochs(2, 600)).chunks(30) {
        adaptive.learn(&confirmed(fork)).unwrap();
    }
    let now = adaptive.calibration();
    assert_eq!(
        adaptive.fitted_densities(),
        [calibration.density, calibration.lda_density]
    );
    assert_eq!(
        now.density,
        adaptive
            .drift()
            .moved(&calibration.density, calibration.base_rate)
    );
    assert!(adaptive.drift().stretch() > 1.3, "{:?}", adaptive.drift());
    let mut scorer = now.scorer().unwrap();
    let (mut follows, mut stays) = (0.0, 0.0);
    for (target, features) in louder(PERSON.epochs(3, 600)) {
        let features: Vec<f64> = features.iter().map(|x| f64::from(*x)).collect();
        let score = scorer.score(&features).unwrap();
        let loss = |density: &ScoreDensity| {
            let p = posterior(density.llr(score).unwrap(), now.base_rate, 1.0);
            -if target { p.ln() } else { (1.0 - p).ln() }
        };
        follows += loss(&now.density);
        stays += loss(&calibration.density);
    }
    assert!(follows < 0.95 * stays, "{follows} {stays}");

    let digest = adaptive.digest();
    let far = vec![(true, vec![1e6_f32; CHANNELS * PERSON.bins]); 5];
    assert!(!adaptive.learn(&confirmed(&far)).unwrap().taken);
    assert_eq!(adaptive.digest(), digest, "what is refused moves nothing");
}

#[test]
fn what_lies_too_far_off_or_is_more_than_a_fork_may_give_is_refused() {
    let rule = AdaptRule {
        epochs_per_fork_max: 10,
        ..AdaptRule::default()
    };
    let calibration = calibrated(PERSON.epochs(1, 300));
    let mut adaptive = Adaptive::new(calibration.clone(), rule).unwrap();
    let mut fork = rows(&PERSON.epochs(2, 14));
    fork[0].1.iter_mut().for_each(|x| *x += 400.0);
    fork[1].1[5] = f32::NAN;
    fork[2].1[5] = f32::INFINITY;
    let learnt = adaptive.learn(&confirmed(&fork)).unwrap();
    assert_eq!((learnt.used, learnt.refused), (10, 4));
    let mut again = Adaptive::new(calibration, rule).unwrap();
    again.learn(&confirmed(&fork[3..13])).unwrap();
    assert_eq!(adaptive.digest(), again.digest());
    // A fork of other channels is an error and changes nothing.
    let short = [(true, vec![0.0; 3])];
    assert!(adaptive.learn(&confirmed(&short)).is_err());
    assert_eq!(adaptive.digest(), again.digest());
}

#[test]
fn weights_turn_no_further_than_the_bound_however_wrong_the_choices_are() {
    let rule = AdaptRule::default();
    let mut adaptive = Adaptive::new(calibrated(PERSON.epochs(1, 300)), rule).unwrap();
    let mut largest = 0.0_f64;
    for (k, fork) in rows(&PERSON.epochs(2, 3_000)).chunks(30).enumerate() {
        // Another item is called the target.
        let mut wrong = fork.to_vec();
        let labels: Vec<bool> = fork.iter().map(|(target, _)| *target).collect();
        for (i, epoch) in wrong.iter_mut().enumerate() {
            epoch.0 = labels[(i + 1 + k % 3) % labels.len()];
        }
        let before = adaptive.digest();
        let learnt = adaptive.learn(&confirmed(&wrong)).unwrap();
        largest = largest.max(learnt.change);
        assert_eq!(learnt.taken, before != adaptive.digest());
    }
    assert!(adaptive.stands() && largest <= rule.change_max, "{largest}");
    let stood = adaptive.digest();
    adaptive
        .learn(&confirmed(&rows(&PERSON.epochs(3, 30))))
        .unwrap();
    assert_eq!(adaptive.digest(), stood);
}

#[test]
fn a_channel_can_be_left_out_of_what_was_learnt() {
    let mut adaptive = Adaptive::new(calibrated(PERSON.epochs(1, 300)), UNBOUNDED).unwrap();
    adaptive
        .learn(&confirmed(&rows(&PERSON.epochs(2, 60))))
        .unwrap();
    let kept = [true, false, true, true];
    let lda = adaptive.calibration().lda.restrict(&kept).unwrap();
    assert!(lda.distance_ratio > 0.0 && lda.distance_ratio < 1.0);
    assert!(adaptive.calibration().restrict(&kept).is_ok());
    assert!(adaptive.calibration().restrict(&[false; 4]).is_err());
}

#[test]
fn settings_out_of_range_are_refused() {
    let calibration = calibrated(PERSON.epochs(1, 150));
    for rule in [
        AdaptRule {
            memory_epochs_max: 10.0,
            ..AdaptRule::default()
        },
        AdaptRule {
            change_max: f64::NAN,
            ..AdaptRule::default()
        },
        AdaptRule {
            distance_sds_max: 0.0,
            ..AdaptRule::default()
        },
    ] {
        assert!(Adaptive::new(calibration.clone(), rule).is_err());
    }
}

#[test]
fn a_fit_anew_with_confirmed_choices_does_better_and_gives_the_same_bits_again() {
    let own = PERSON.epochs(1, 120);
    let calibration = calibrated(own.clone());
    let more = PERSON.epochs(2, 480);
    let mut all = own.clone();
    for (row, info) in more.info().iter().enumerate() {
        let later = EpochInfo {
            run: info.run + 100,
            ..*info
        };
        all.push(later, more.row(row)).unwrap();
    }
    let mut scorer = calibration.scorer().unwrap();
    let before: Vec<f64> = (0..more.len())
        .map(|row| {
            let score = scorer.score(more.row(row)).unwrap();
            calibration.density.llr(score).unwrap()
        })
        .collect();
    let anew = refit(&calibration, &all).unwrap();
    assert_eq!(anew.calibration.model.kind(), calibration.model.kind());
    assert_eq!(anew.calibration.metrics.epochs, 600);
    assert_eq!(anew.calibration.reliability, calibration.reliability);
    let (old, new) = worth_taking(&before, &anew.llrs[own.len()..], &more.labels()).unwrap();
    assert!(new < old, "{new} {old}");
    assert_eq!(refit(&calibration, &all).unwrap(), anew);
    // What does not fit together is refused.
    let other = Epochs::with_used(vec![true, true, true, false], PERSON.bins).unwrap();
    assert!(refit(&calibration, &other).is_err());
    assert!(worth_taking(&before[1..], &before, &more.labels()).is_err());
}
