//! Which scorer is picked, what is left of it when channels are bad, and which profiles are refused.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::sync::LazyLock;

use common::{Noise, eeg_alone};
use razvilka_calibration::report::{Grade, grade_ece, grade_eeg};
use razvilka_calibration::{
    Candidate, EegCalibration, EegModel, EpochInfo, Epochs, Fitted, Overwrite, Profile, Provenance,
    ScorerKind, Symmetric, TangentModel, XdawnLda, auc, expected_calibration_error, fit_session,
    fit_student_t, posterior, reliability_diagram,
};
use razvilka_dsp::eeg::EegSpec;
use razvilka_dsp::score::{EpochScorer, ScoreDensity};
use razvilka_dsp::units::Hertz;

impl Noise {
    /// First-order autoregression of unit variance.
    fn coloured(&mut self, bins: usize, memory: f64) -> Vec<f64> {
        let fresh = (1.0 - memory * memory).sqrt();
        let mut x = self.gauss();
        (0..bins)
            .map(|_| {
                let now = x;
                x = memory * x + fresh * self.gauss();
                now
            })
            .collect()
    }
}

/// What the epochs of a test are made of: noise of five sources that all channels see beside some of their own, and a response
/// with two peaks in different places of the head.
#[derive(Clone, Copy)]
struct Scene {
    response_uv: f64,
    /// Whether the noise is as loud at any time after a flash.
    stationary: bool,
}

const CHANNELS: usize = 16;
/// Where LDA and tangent space both find much.
const CLEAR: Scene = Scene {
    response_uv: 2.0,
    stationary: false,
};

fn path() -> EegSpec {
    EegSpec::p300(Hertz::new(250.0).unwrap(), CHANNELS)
}

impl Scene {
    fn epochs(&self, seed: u64, count: usize) -> Epochs {
        let bins = path().epoch_shape().unwrap().bins();
        let mut noise = Noise(seed);
        let mut epochs = Epochs::new(CHANNELS, bins).unwrap();
        for index in 0..count {
            let target = index % 6 == 3;
            let info = EpochInfo {
                onset_s: index as f64 * 0.2,
                target,
                run: (index / 60) as u32,
            };
            let response_uv = if target { self.response_uv } else { 0.0 };
            let features = self.features(&mut noise, bins, response_uv);
            epochs.push(info, &features).unwrap();
        }
        epochs
    }

    fn features(&self, noise: &mut Noise, bins: usize, response_uv: f64) -> Vec<f64> {
        let peak = |share: f64, at: f64, width: f64| (-0.5 * ((share - at) / width).powi(2)).exp();
        let sources: Vec<Vec<f64>> = (0..5).map(|_| noise.coloured(bins, 0.7)).collect();
        let mut features = Vec::with_capacity(CHANNELS * bins);
        for channel in 0..CHANNELS {
            let place = channel as f64 / CHANNELS as f64;
            let own = noise.coloured(bins, 0.7);
            for bin in 0..bins {
                let share = bin as f64 / bins as f64;
                let shared: f64 = (0..5)
                    .map(|k| (place * (k as f64 + 1.0) * 3.0 + k as f64).cos() * sources[k][bin])
                    .sum();
                let loudness = if self.stationary {
                    1.0
                } else {
                    0.6 + 1.2 * (share * 9.0).sin().powi(2)
                };
                let response =
                    (1.0 - place) * peak(share, 0.5, 0.08) - place * peak(share, 0.3, 0.05);
                features.push(
                    loudness * (2.2 * shared + 1.5 * own[bin])
                        + 1.5 * peak(share, 0.2, 0.08)
                        + response_uv * response,
                );
            }
        }
        features
    }

    fn fitted(&self, seed: u64, count: usize) -> EegCalibration {
        self.session(seed, count).profile.eeg.unwrap()
    }

    fn session(&self, seed: u64, count: usize) -> Fitted {
        let labels = (0..CHANNELS).map(|k| format!("E{k}")).collect();
        let input = eeg_alone(labels, path(), self.epochs(seed, count));
        fit_session(&input).unwrap()
    }
}

fn provenance() -> Provenance {
    Provenance {
        created_utc: "2025-02-12T12:00:00Z".into(),
        software: "test".into(),
        sources: Vec::new(),
    }
}

/// A calibration that picked the fusion; many tests look at it.
static FUSED: LazyLock<EegCalibration> = LazyLock::new(|| CLEAR.fitted(2, 300));

fn scores(scorer: &mut EpochScorer, epochs: &Epochs) -> Vec<f64> {
    (0..epochs.len())
        .map(|row| scorer.score(epochs.row(row)).unwrap())
        .collect()
}

/// Expected calibration error of the probabilities that these scores stand for.
fn ece(eeg: &EegCalibration, density: &ScoreDensity, scores: &[f64], labels: &[bool]) -> f64 {
    let p: Vec<f64> = scores
        .iter()
        .map(|score| posterior(density.llr(*score).unwrap(), eeg.base_rate, eeg.reliability))
        .collect();
    expected_calibration_error(&reliability_diagram(&p, labels).unwrap())
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        a.iter().zip(b).map(|(x, y)| f(x - ma, y - mb)).sum()
    };
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}

/// All but these channels.
fn without(masked: impl Fn(usize) -> bool) -> Vec<bool> {
    (0..CHANNELS).map(|channel| !masked(channel)).collect()
}

fn candidate(eeg: &EegCalibration, kind: ScorerKind) -> Candidate {
    let mut found = eeg.selection.candidates.iter();
    *found.find(|c| c.kind == kind).unwrap()
}

#[test]
fn where_discriminant_and_tangent_space_both_say_something_the_fusion_is_picked_and_beats_both() {
    let eeg = &*FUSED;
    let selection = &eeg.selection;
    assert_eq!(selection.picked, ScorerKind::Fusion, "{selection:?}");
    assert_eq!(eeg.model.kind(), ScorerKind::Fusion);
    let fusion = candidate(eeg, ScorerKind::Fusion);
    assert_eq!((fusion.lead, fusion.lead_error), (0.0, 0.0));
    for member in [ScorerKind::Lda, ScorerKind::XdawnTangent] {
        let member = candidate(eeg, member);
        assert!(
            member.auc > 0.85 && member.auc < fusion.auc,
            "{selection:?}"
        );
        assert!(member.lead < 0.0, "{selection:?}");
    }
    // The ERP covariance of 16 channels would be of order 32: not tried.
    assert_eq!(selection.candidates.len(), ScorerKind::ALL.len() - 1);
    assert_eq!(selection.compared_folds, selection.folds);
    let fresh = CLEAR.epochs(77, 600);
    let found = scores(&mut eeg.scorer().unwrap(), &fresh);
    let held_out = auc(&found, &fresh.labels()).unwrap().value;
    assert!(
        (held_out - eeg.metrics.auc.value).abs() < 0.03,
        "{held_out} on fresh epochs, {:?} out of fold",
        eeg.metrics.auc
    );
}

#[track_caller]
fn leads(eeg: &EegCalibration, kind: ScorerKind) {
    let selection = &eeg.selection;
    assert_eq!(selection.picked, kind, "{selection:?}");
    assert_eq!(eeg.model.kind(), kind);
    let picked = candidate(eeg, kind);
    let tests = selection.candidates.len() as f64 - 1.0;
    assert!(
        tests * picked.p_value(selection.compared_folds) < 0.05,
        "{selection:?}"
    );
    let most = selection.candidates.iter().map(|c| c.lead);
    assert_eq!(most.fold(f64::MIN, f64::max), picked.lead);
    assert!(selection.in_words().contains("it led the fusion by"));
    assert_eq!(eeg.metrics.auc.value, picked.auc);
}

#[test]
fn a_weak_response_of_two_places_is_left_to_the_spatial_filters() {
    let scene = Scene {
        response_uv: 1.0,
        ..CLEAR
    };
    let eeg = scene.fitted(4, 720);
    leads(&eeg, ScorerKind::XdawnLda);
    let fresh = scene.epochs(78, 900);
    let ours = scores(&mut eeg.scorer().unwrap(), &fresh);
    let lda: Vec<f64> = {
        let paired = fresh.paired().unwrap();
        (0..paired.len())
            .map(|row| eeg.lda.score(paired.row(row)))
            .collect()
    };
    let of = |scores: &[f64]| auc(scores, &fresh.labels()).unwrap().value;
    assert!(of(&ours) > of(&lda) + 0.02, "{} {}", of(&ours), of(&lda));
}

#[test]
fn in_stationary_noise_few_epochs_are_enough_for_the_block_toeplitz_covariance_but_not_for_the_full_one()
 {
    let scene = Scene {
        response_uv: 1.2,
        stationary: true,
    };
    let eeg = scene.fitted(4, 180);
    let toeplitz = candidate(&eeg, ScorerKind::BlockToeplitzLda);
    let full = candidate(&eeg, ScorerKind::Lda);
    assert!(toeplitz.auc > full.auc + 0.08, "{:?}", eeg.selection);
    assert!(toeplitz.lead > full.lead + 0.08, "{:?}", eeg.selection);
    // It leads the fusion by no more than the best of five does by chance, so the fusion stays.
    assert_eq!(eeg.selection.picked, ScorerKind::Fusion);
}

#[test]
fn on_noise_alone_the_evidence_is_switched_off_and_nothing_is_graded_good() {
    let scene = Scene {
        response_uv: 0.0,
        ..CLEAR
    };
    let fitted = scene.session(5, 180);
    let eeg = fitted.profile.eeg.as_ref().unwrap();
    assert_eq!(eeg.reliability, 0.0);
    assert_eq!(grade_eeg(eeg), Grade::Poor);
    assert_eq!(grade_ece(eeg), None);
    // Without reliability the ratios are not all zero: it is the reliability that silences them.
    let fresh = scene.epochs(79, 60);
    let llrs = scores(&mut eeg.scorer().unwrap(), &fresh)
        .into_iter()
        .map(|score| eeg.density.llr(score).unwrap().abs());
    println!("largest ratio on noise: {}", llrs.fold(0.0, f64::max));
    let page = razvilka_calibration::report::render(&fitted.profile, &fitted.report).unwrap();
    assert!(page.contains("no grade: with reliability 0"));
}

/// A few channels, few features, so that many sessions can be fitted.
fn small(seed: u64, response_uv: f64) -> EegCalibration {
    let path = EegSpec::p300(Hertz::new(250.0).unwrap(), 4);
    let bins = path.epoch_shape().unwrap().bins();
    let mut noise = Noise(seed);
    let mut epochs = Epochs::new(4, bins).unwrap();
    for index in 0..240 {
        let target = index % 6 == 3;
        let features: Vec<f64> = (0..4 * bins)
            .map(|k| {
                let bump = (-0.5 * (((k % bins) as f64 - 9.0) / 3.0).powi(2)).exp();
                let response = if target { response_uv * bump } else { 0.0 };
                noise.gauss() + response
            })
            .collect();
        let info = EpochInfo {
            onset_s: f64::from(index) * 0.2,
            target,
            run: (index / 60) as u32,
        };
        epochs.push(info, &features).unwrap();
    }
    let labels = (0..4).map(|k| format!("E{k}")).collect();
    let input = eeg_alone(labels, path, epochs);
    fit_session(&input).unwrap().profile.eeg.unwrap()
}

#[test]
fn on_noise_the_fusion_is_kept_and_evidence_switched_off_in_nearly_every_session() {
    let mut left = Vec::new();
    let mut on = Vec::new();
    for seed in 0..20 {
        let eeg = small(1000 + seed, 0.0);
        if eeg.selection.picked != ScorerKind::Fusion {
            left.push((seed, eeg.selection.in_words()));
        }
        if eeg.reliability > 0.0 {
            on.push((seed, eeg.metrics.auc));
        }
    }
    // 2.5 % of intervals of noise lie above 0.5, and only then may a lead of 5 % count: among 20 sessions, more than two with evidence
    // have a probability of 0.013, more than one without the fusion of less than 0.001.
    assert!(left.len() <= 1, "{left:?}");
    assert!(on.len() <= 2, "{on:?}");
}

#[test]
fn with_a_linear_response_alone_the_fusion_is_kept_too() {
    for seed in 0..4 {
        let eeg = small(2000 + seed, 0.8);
        assert_eq!(
            eeg.selection.picked,
            ScorerKind::Fusion,
            "{:?}",
            eeg.selection
        );
        assert!(eeg.selection.in_words().contains("by chance"));
    }
}

#[test]
fn with_one_channel_of_sixteen_masked_the_tangent_space_goes_on() {
    let eeg = &*FUSED;
    let fresh = CLEAR.epochs(99, 1200);
    let full = scores(&mut eeg.scorer().unwrap(), &fresh);
    for masked in [0, 7, 15] {
        let (mut scorer, density) = eeg.restrict(&without(|channel| channel == masked)).unwrap();
        assert!(scorer.tangent().is_some());
        assert!(!scorer.used().contains(masked));
        let left = scores(&mut scorer, &fresh);
        let alike = correlation(&full, &left);
        assert!(alike > 0.9, "without {masked}: {alike}");
        let error = ece(eeg, &density, &left, &fresh.labels());
        assert!(error < 0.05, "without {masked}: {error}");
    }
}

#[test]
fn with_up_to_four_of_sixteen_channels_masked_the_tangent_space_helps_the_discriminant() {
    let eeg = &*FUSED;
    let fresh = CLEAR.epochs(97, 1200);
    let labels = fresh.labels();
    let of = |scores: &[f64]| auc(scores, &labels).unwrap().value;
    let full = of(&scores(&mut eeg.scorer().unwrap(), &fresh));
    for masked in [2, 4] {
        let kept = without(|channel| channel < masked);
        let (mut scorer, density) = eeg.restrict(&kept).unwrap();
        assert!(scorer.tangent().is_some());
        assert!((0..CHANNELS).all(|channel| scorer.used().contains(channel) == kept[channel]));
        let left = scores(&mut scorer, &fresh);
        let lda = eeg.lda.restrict(&kept).unwrap();
        let paired = fresh.paired().unwrap();
        let alone: Vec<f64> = (0..paired.len())
            .map(|row| {
                let products = lda.weights.iter().zip(paired.row(row)).map(|(w, x)| w * x);
                products.sum::<f64>() + lda.bias
            })
            .collect();
        println!(
            "{masked} masked: {} of {full}, the discriminant alone {}",
            of(&left),
            of(&alone)
        );
        assert!(of(&left) > of(&alone) - 0.005, "{masked} masked");
        let error = ece(eeg, &density, &left, &labels);
        assert!(error < 0.06, "{masked} masked: {error}");
    }
}

#[test]
fn with_less_than_two_fifths_of_the_distance_left_the_discriminant_goes_on_alone() {
    let eeg = &*FUSED;
    for masked in 1..8 {
        let kept = without(|channel| channel < masked);
        let left = eeg.lda.restrict(&kept).unwrap().distance_ratio;
        let (scorer, _) = eeg.restrict(&kept).unwrap();
        assert_eq!(scorer.tangent().is_some(), left >= 0.4, "{masked}: {left}");
    }
    assert!(
        eeg.lda
            .restrict(&without(|channel| channel < 7))
            .unwrap()
            .distance_ratio
            < 0.4
    );
}

#[test]
fn with_half_of_the_channels_masked_the_discriminant_is_left_and_its_probabilities_come_true() {
    let eeg = &*FUSED;
    let kept = without(|channel| channel % 2 == 0);
    let (mut scorer, density) = eeg.restrict(&kept).unwrap();
    assert!(scorer.tangent().is_none());
    assert!((0..CHANNELS).all(|channel| scorer.used().contains(channel) == kept[channel]));
    let lda = eeg.lda.restrict(&kept).unwrap();
    let fresh = CLEAR.epochs(98, 1200);
    let labels = fresh.labels();
    let left = scores(&mut scorer, &fresh);
    let paired = fresh.paired().unwrap();
    for (row, score) in left.iter().enumerate() {
        let products = lda.weights.iter().zip(paired.row(row)).map(|(w, x)| w * x);
        assert!((products.sum::<f64>() + lda.bias - score).abs() < 1e-9);
    }
    // The densities fitted on fresh scores of either class, of which the restricted one has seen none.
    let of = |class: bool| -> Vec<f64> {
        let pairs = left.iter().zip(&labels);
        pairs
            .filter(|(_, l)| **l == class)
            .map(|(s, _)| *s)
            .collect()
    };
    for (ours, class) in [(density.target(), true), (density.nontarget(), false)] {
        let theirs = fit_student_t(&of(class)).unwrap();
        println!("{class}: {ours:?}, fresh {theirs:?}");
        assert!(
            (ours.location - theirs.location).abs() < theirs.scale,
            "{ours:?} {theirs:?}"
        );
    }
    // The fusion's density, of scores of another scale, would do worse.
    let error = ece(eeg, &density, &left, &labels);
    let fusion = ece(eeg, &eeg.density, &left, &labels);
    assert!(error < 0.08 && error < fusion, "{error} {fusion}");
}

/// One thing that is wrong with a tangent-space part.
type Change<'a> = &'a dyn Fn(&mut TangentModel);

/// What becomes of the profile when its tangent-space part is changed like this.
fn tampered(change: impl Fn(&mut TangentModel)) -> razvilka_calibration::Result<()> {
    let mut eeg = FUSED.clone();
    let EegModel::Fusion { tangent, .. } = &mut eeg.model else {
        panic!("the fusion was picked");
    };
    change(tangent);
    profile(eeg).validate()
}

fn profile(eeg: EegCalibration) -> Profile {
    Profile {
        provenance: provenance(),
        eeg: Some(eeg),
        gaze: None,
        blink: None,
        pupil: None,
        contraction: None,
    }
}

#[test]
fn a_profile_whose_tangent_space_does_not_fit_together_is_refused() {
    tampered(|_| {}).unwrap();
    let order = |n: usize| Symmetric::from_fn(n, |i, j| f64::from(u8::from(i == j)));
    let changes: [(&str, Change<'_>); 12] = [
        ("a filter less", &|t| {
            t.filters.truncate(t.filters.len() - CHANNELS);
        }),
        ("a weight less", &|t| {
            t.filters.truncate(t.filters.len() - 1);
        }),
        ("no filters", &|t| t.filters.clear()),
        ("only prototypes", &|t| {
            let fixed = t.prototypes.len() / t.bins;
            t.filters.clear();
            (t.reference, t.form) = (order(fixed), order(fixed));
        }),
        ("a prototype less", &|t| {
            t.prototypes.truncate(t.prototypes.len() - t.bins);
        }),
        ("other bins", &|t| t.bins += 1),
        ("a small form", &|t| t.form = order(3)),
        ("a small reference", &|t| t.reference = order(3)),
        ("a reference that is not definite", &|t| {
            t.reference =
                Symmetric::from_fn(t.reference.order(), |i, j| if i == j { -1.0 } else { 0.0 });
        }),
        ("more components than can be run", &|t| {
            let fixed = t.prototypes.len() / t.bins;
            t.filters = vec![0.1; 17 * CHANNELS];
            (t.reference, t.form) = (order(fixed + 17), order(fixed + 17));
        }),
        ("NaN in a filter", &|t| t.filters[3] = f64::NAN),
        ("an infinite constant", &|t| t.bias = f64::INFINITY),
    ];
    for (what, change) in changes {
        assert!(tampered(change).is_err(), "{what}");
    }
    for what in 0..3 {
        let poisoned = |m: &Symmetric| {
            Symmetric::from_fn(
                m.order(),
                |i, j| if i + j == 3 { f64::NAN } else { m.get(i, j) },
            )
        };
        let refused = tampered(|t| match what {
            0 => t.reference = poisoned(&t.reference),
            1 => t.form = poisoned(&t.form),
            _ => t.prototypes[0] = f64::NAN,
        });
        assert!(refused.is_err(), "{what}");
    }
}

#[test]
fn a_profile_whose_discriminants_have_other_bins_is_refused() {
    for kind in 0..2 {
        let mut eeg = FUSED.clone();
        let bins = eeg.lda.bins - 1;
        let mut model = eeg.lda.clone();
        model.bins = bins;
        let width = CHANNELS * bins;
        for values in [
            &mut model.mean_difference,
            &mut model.midpoint,
            &mut model.weights,
        ] {
            values.truncate(width);
        }
        model.covariance = Symmetric::from_fn(width, |i, j| f64::from(u8::from(i == j)));
        model.weights = model.mean_difference.clone();
        model.validate().unwrap();
        let mut filters = vec![0.0; CHANNELS * CHANNELS];
        (0..CHANNELS).for_each(|k| filters[k * CHANNELS + k] = 1.0);
        eeg.model = match kind {
            0 => EegModel::BlockToeplitzLda(model),
            _ => EegModel::XdawnLda(XdawnLda {
                filters,
                lda: model,
            }),
        };
        assert!(profile(eeg).validate().is_err(), "{kind}");
    }
}

#[test]
fn a_profile_with_a_tangent_space_survives_the_disk_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("profile.json");
    let written = profile(FUSED.clone());
    written.save(&file, Overwrite::Refuse).unwrap();
    let read = Profile::load(&file).unwrap();
    assert_eq!(read, written);
    let fresh = CLEAR.epochs(97, 20);
    let (mut before, mut after) = (FUSED.scorer().unwrap(), read.eeg.unwrap().scorer().unwrap());
    assert_eq!(scores(&mut before, &fresh), scores(&mut after, &fresh));
}
