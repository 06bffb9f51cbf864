//! The fits against NumPy, SciPy and scikit-learn: `fixtures/golden/calibration/generate.py` makes the values.
//! Tolerances are maxima over all entries, relative to the largest entry.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use common::close;
use razvilka_calibration::{
    EpochInfo, Epochs, LdaModel, auc, brier, expected_calibration_error, fit_student_t,
    ledoit_wolf, log_loss, reliability_diagram,
};
use razvilka_dsp::score::{ScoreDensity, StudentT};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    covariances: Vec<Covariance>,
    classifier: Classifier,
    densities: Vec<Density>,
    ratios: Ratios,
    figures: Figures,
}

#[derive(Deserialize)]
struct Covariance {
    width: usize,
    rows: Vec<f64>,
    covariance: Vec<f64>,
    shrinkage: f64,
}

#[derive(Deserialize)]
struct Classifier {
    channels: usize,
    bins: usize,
    features: Vec<f64>,
    target: Vec<bool>,
    kept_channels: Vec<bool>,
    shrinkage: f64,
    weights: Vec<f64>,
    bias: f64,
    scores: Vec<f64>,
    masked_weights: Vec<f64>,
    masked_bias: f64,
}

#[derive(Deserialize)]
struct Density {
    values: Vec<f64>,
    log_likelihood: f64,
    location: f64,
    scale: f64,
    dof: f64,
}

#[derive(Deserialize)]
struct Ratios {
    target: (f64, f64, f64),
    nontarget: (f64, f64, f64),
    scores: Vec<f64>,
    llr: Vec<f64>,
}

#[derive(Deserialize)]
struct Figures {
    scores: Vec<f64>,
    target: Vec<bool>,
    probabilities: Vec<f64>,
    auc: f64,
    standard_error: f64,
    brier: f64,
    log_loss: f64,
    ece: f64,
}

fn golden() -> Golden {
    let text = include_str!("../../fixtures/golden/calibration/golden.json");
    serde_json::from_str(text).expect("the golden file is well formed")
}

fn golden_epochs(golden: &Classifier) -> Epochs {
    let mut epochs = Epochs::new(golden.channels, golden.bins).unwrap();
    let rows = golden.features.chunks_exact(golden.channels * golden.bins);
    for (index, (row, &target)) in rows.zip(&golden.target).enumerate() {
        let info = EpochInfo {
            onset_s: index as f64,
            target,
            run: 0,
        };
        epochs.push(info, row).unwrap();
    }
    epochs
}

#[test]
fn the_covariance_is_that_of_scikit_learn() {
    for case in golden().covariances {
        let shrunk = ledoit_wolf(&case.rows, case.width).unwrap();
        let full: Vec<f64> = (0..case.width * case.width)
            .map(|i| shrunk.covariance.get(i / case.width, i % case.width))
            .collect();
        close(&full, &case.covariance, 1e-12);
        assert!(
            (shrunk.shrinkage - case.shrinkage).abs() < 1e-9,
            "{} {}",
            shrunk.shrinkage,
            case.shrinkage
        );
    }
}

#[test]
fn the_classifier_is_the_shrinkage_lda_of_the_reference() {
    let golden = golden().classifier;
    let epochs = golden_epochs(&golden);
    let model = LdaModel::fit(&epochs).unwrap();
    assert!((model.shrinkage - golden.shrinkage).abs() < 1e-12);
    close(&model.weights, &golden.weights, 1e-9);
    close(&[model.bias], &[golden.bias], 1e-9);
    let scores: Vec<f64> = (0..epochs.len())
        .map(|row| model.score(epochs.row(row)))
        .collect();
    close(&scores, &golden.scores, 1e-9);
}

#[test]
fn a_masked_channel_is_taken_out_of_the_covariance_without_a_refit() {
    let golden = golden().classifier;
    let model = LdaModel::fit(&golden_epochs(&golden)).unwrap();
    let masked = model.restrict(&golden.kept_channels).unwrap();
    close(&masked.weights, &golden.masked_weights, 1e-9);
    close(&[masked.bias], &[golden.masked_bias], 1e-9);
    assert!(masked.distance_ratio > 0.0 && masked.distance_ratio < 1.0);
    let whole = model.restrict(&vec![true; golden.channels]).unwrap();
    assert_eq!(whole.weights, model.weights);
    assert_eq!(whole.distance_ratio, 1.0);
}

#[test]
fn the_density_is_the_maximum_of_the_likelihood() {
    for case in golden().densities {
        let fit = fit_student_t(&case.values).unwrap();
        let found: f64 = case.values.iter().map(|&v| fit.ln_density(v)).sum();
        assert!(
            found >= case.log_likelihood - 1e-6,
            "{found} {}",
            case.log_likelihood
        );
        assert!(
            (fit.location - case.location).abs() < 1e-3 * case.scale,
            "{fit:?}"
        );
        assert!(
            (fit.scale / case.scale - 1.0).abs() < 1e-3,
            "{fit:?} {}",
            case.scale
        );
        assert!(
            (fit.dof / case.dof).ln().abs() < 0.02,
            "{fit:?} {}",
            case.dof
        );
    }
}

#[test]
fn the_log_likelihood_ratio_is_that_of_scipy() {
    let golden = golden().ratios;
    let t = |(dof, location, scale): (f64, f64, f64)| StudentT {
        location,
        scale,
        dof,
    };
    let density =
        ScoreDensity::new(t(golden.target), t(golden.nontarget), (-100.0, 100.0), 20.0).unwrap();
    let ours: Vec<f64> = golden
        .scores
        .iter()
        .map(|&s| density.llr(s).unwrap())
        .collect();
    close(&ours, &golden.llr, 1e-12);
}

#[test]
fn the_figures_are_those_of_scikit_learn_and_of_delong_by_brute_force() {
    let golden = golden().figures;
    let area = auc(&golden.scores, &golden.target).unwrap();
    assert!((area.value - golden.auc).abs() < 1e-12);
    assert!((area.standard_error - golden.standard_error).abs() < 1e-12);
    assert!(area.ci_low < area.value && area.value < area.ci_high);
    assert!((brier(&golden.probabilities, &golden.target).unwrap() - golden.brier).abs() < 1e-12);
    assert!(
        (log_loss(&golden.probabilities, &golden.target).unwrap() - golden.log_loss).abs() < 1e-12
    );
    let bins = reliability_diagram(&golden.probabilities, &golden.target).unwrap();
    assert!((expected_calibration_error(&bins) - golden.ece).abs() < 1e-12);
}
