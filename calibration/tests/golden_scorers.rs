//! The scorers against pyRiemann, scikit-learn and NumPy: `fixtures/golden/calibration/generate_scorers.py` makes the values.
//! Tolerances are maxima over all entries, relative to the largest entry. Scores are those of epochs that no fit has seen.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use common::close;
use razvilka_calibration::{
    EpochInfo, Epochs, LdaModel, Stack, Structure, TangentModel, TangentSpace, Xdawn, XdawnLda,
    fit_logistic,
};
use razvilka_dsp::epoch::EpochShape;
use razvilka_dsp::units::{Hertz, Seconds};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    channels: usize,
    bins: usize,
    first_fresh: usize,
    epochs: Vec<f64>,
    target: Vec<bool>,
    block_toeplitz_lda: Linear,
    xdawn: Spatial,
    xdawn_lda: Vec<f64>,
    erp_tangent: ErpTangent,
    xdawn_tangent: XdawnTangent,
    regression: Regression,
}

#[derive(Deserialize)]
struct Linear {
    weights: Vec<f64>,
    bias: f64,
    scores: Vec<f64>,
}

#[derive(Deserialize)]
struct Spatial {
    target: Filters,
    other: Filters,
}

#[derive(Deserialize)]
struct Filters {
    filters: Vec<f64>,
    evoked: Vec<f64>,
}

#[derive(Deserialize)]
struct ErpTangent {
    vectors: Vec<f64>,
    weights: Vec<f64>,
    bias: f64,
    scores: Vec<f64>,
}

#[derive(Deserialize)]
struct XdawnTangent {
    reference: Vec<f64>,
    regression: Vec<f64>,
    discriminant: Vec<f64>,
    regression_recentred: Vec<f64>,
    discriminant_recentred: Vec<f64>,
}

#[derive(Deserialize)]
struct Regression {
    width: usize,
    c: f64,
    rows: Vec<f64>,
    labels: Vec<bool>,
    weights: Vec<f64>,
    bias: f64,
}

fn golden() -> Golden {
    let text = include_str!("../../fixtures/golden/calibration/scorers.json");
    serde_json::from_str(text).expect("the golden file is well formed")
}

/// What is worked on: all epochs, the rows that are fitted on, and the fresh ones.
struct Work {
    golden: Golden,
    epochs: Epochs,
    train: Vec<usize>,
    fresh: Vec<usize>,
}

fn work() -> Work {
    let golden = golden();
    let epochs = epochs(&golden, None);
    Work {
        train: (0..golden.first_fresh).collect(),
        fresh: (golden.first_fresh..epochs.len()).collect(),
        golden,
        epochs,
    }
}

/// The golden epochs; with `unused`, one more channel of nonsense stands at that place and is not to be used.
fn epochs(golden: &Golden, unused: Option<usize>) -> Epochs {
    let (channels, bins) = (golden.channels, golden.bins);
    let mut used = vec![true; channels];
    if let Some(place) = unused {
        used.insert(place, false);
    }
    let mut epochs = Epochs::with_used(used, bins).unwrap();
    let rows = golden.epochs.chunks_exact(channels * bins);
    for (index, (row, &target)) in rows.zip(&golden.target).enumerate() {
        let info = EpochInfo {
            onset_s: index as f64,
            target,
            run: 0,
        };
        let mut row = row.to_vec();
        if let Some(place) = unused {
            let nonsense = (0..bins).map(|bin| (index * bin) as f64 * 77.0);
            row.splice(place * bins..place * bins, nonsense);
        }
        epochs.push(info, &row).unwrap();
    }
    epochs
}

fn shape(channels: usize) -> EpochShape {
    let hz = |x| Hertz::new(x).unwrap();
    EpochShape::new(channels, Seconds::new(0.8).unwrap(), hz(250.0), hz(25.0)).unwrap()
}

fn scores(model: &TangentModel, epochs: &Epochs, rows: &[usize]) -> Vec<f64> {
    let mut scorer = model.scorer(shape(epochs.channels())).unwrap();
    rows.iter()
        .map(|&row| scorer.score(epochs.row(row)).unwrap())
        .collect()
}

#[test]
fn the_block_toeplitz_classifier_is_that_of_sosulski_and_tangermann() {
    let Work {
        golden,
        epochs,
        train,
        fresh,
    } = work();
    let golden = golden.block_toeplitz_lda;
    let paired = epochs.paired().unwrap();
    let model = LdaModel::fit_structured(&paired, &train, Structure::BlockToeplitz).unwrap();
    close(&model.weights, &golden.weights, 1e-11);
    close(&[model.bias], &[golden.bias], 1e-11);
    let ours: Vec<f64> = fresh.iter().map(|&r| model.score(paired.row(r))).collect();
    close(&ours, &golden.scores, 1e-11);
}

#[test]
fn spatial_filters_and_evoked_responses_are_those_of_pyriemann() {
    let Work {
        golden,
        epochs,
        train,
        ..
    } = work();
    let xdawn = Xdawn::fit(&epochs, &train).unwrap();
    close(&xdawn.target_filters, &golden.xdawn.target.filters, 1e-11);
    close(&xdawn.other_filters, &golden.xdawn.other.filters, 1e-11);
    let n = golden.channels;
    close(&xdawn.evoked(true, n), &golden.xdawn.target.evoked, 1e-11);
    close(&xdawn.evoked(false, n), &golden.xdawn.other.evoked, 1e-11);
}

#[test]
fn the_discriminant_of_xdawn_components_scores_as_pyriemann_and_scikit_learn_do() {
    let Work {
        golden,
        epochs,
        train,
        fresh,
    } = work();
    let paired = epochs.paired().unwrap();
    let model = XdawnLda::fit(&paired, &train).unwrap();
    let weights = model.weights(golden.channels);
    let ours: Vec<f64> = fresh
        .iter()
        .map(|&row| {
            let products = weights.iter().zip(paired.row(row)).map(|(w, x)| w * x);
            products.sum::<f64>() + model.lda.bias
        })
        .collect();
    close(&ours, &golden.xdawn_lda, 1e-11);
}

#[test]
fn the_regression_is_that_of_scikit_learn() {
    let golden = golden().regression;
    let fit = fit_logistic(&golden.rows, golden.width, &golden.labels, golden.c).unwrap();
    close(&fit.weights, &golden.weights, 1e-11);
    close(&[fit.bias], &[golden.bias], 1e-11);
}

#[test]
fn vectors_and_scores_in_the_tangent_space_of_erp_covariances_are_those_of_pyriemann() {
    let Work {
        golden,
        epochs,
        train,
        fresh,
    } = work();
    let golden = golden.erp_tangent;
    let space = TangentSpace::fit(Stack::Erp, &epochs, &train).unwrap();
    let vectors = space.vectors(&epochs, &fresh).unwrap();
    let ours: Vec<f64> = (0..vectors.len())
        .flat_map(|k| vectors.row(k).to_vec())
        .collect();
    close(&ours, &golden.vectors, 2e-7);

    let [regression, _] = space.classifiers(&epochs, &train).unwrap();
    close(&scores(&regression, &epochs, &fresh), &golden.scores, 2e-7);
    // The form is the regression's weights in another dress.
    let n = regression.form.order();
    let weights: Vec<f64> = (0..n)
        .flat_map(|i| (i..n).map(move |j| (i, j)))
        .map(|(i, j)| regression.form.get(i, j) * if i == j { 1.0 } else { 2.0_f64.sqrt() })
        .collect();
    close(&weights, &golden.weights, 2e-7);
    close(&[regression.bias], &[golden.bias], 2e-7);
}

#[test]
fn both_classifiers_in_the_tangent_space_of_xdawn_covariances_score_as_pyriemanns_parts_do() {
    let Work {
        golden,
        epochs,
        train,
        fresh,
    } = work();
    let golden = golden.xdawn_tangent;
    let space = TangentSpace::fit(Stack::Xdawn, &epochs, &train).unwrap();
    let [regression, discriminant] = space.classifiers(&epochs, &train).unwrap();
    let n = regression.reference.order();
    let reference: Vec<f64> = (0..n * n)
        .map(|k| regression.reference.get(k / n, k % n))
        .collect();
    close(&reference, &golden.reference, 2e-7);
    close(
        &scores(&regression, &epochs, &fresh),
        &golden.regression,
        2e-7,
    );
    close(
        &scores(&discriminant, &epochs, &fresh),
        &golden.discriminant,
        2e-7,
    );
}

#[test]
fn recentred_on_fresh_epochs_both_score_as_from_the_mean_that_pyriemann_finds_there() {
    let Work {
        golden,
        epochs,
        train,
        fresh,
    } = work();
    let golden = golden.xdawn_tangent;
    let mut others = Epochs::new(epochs.channels(), epochs.bins()).unwrap();
    for &row in &fresh {
        // Labels are not looked at: they are all the same here.
        let info = EpochInfo {
            target: false,
            ..epochs.info()[row]
        };
        others.push(info, epochs.row(row)).unwrap();
    }
    let space = TangentSpace::fit(Stack::Xdawn, &epochs, &train).unwrap();
    let models = space.classifiers(&epochs, &train).unwrap();
    let theirs = [
        (&golden.regression_recentred, &golden.regression),
        (&golden.discriminant_recentred, &golden.discriminant),
    ];
    for (model, (recentred, before)) in models.iter().zip(theirs) {
        let moved = model.recentred(&others).unwrap();
        let ours = scores(&moved, &epochs, &fresh);
        close(&ours, recentred, 2e-7);
        let change = recentred.iter().zip(before).map(|(a, b)| (a - b).abs());
        assert!(change.fold(0.0, f64::max) > 0.1, "the move is worth a test");
    }
}

#[test]
fn a_channel_that_is_not_used_changes_nothing_wherever_it_stands() {
    let plain = work();
    for place in [0, 2, 5] {
        let wider = epochs(&plain.golden, Some(place));
        for stack in [Stack::Xdawn, Stack::Erp] {
            let of = |epochs: &Epochs| -> Vec<f64> {
                let space = TangentSpace::fit(stack, epochs, &plain.train).unwrap();
                let models = space.classifiers(epochs, &plain.train).unwrap();
                let both = models.iter().map(|m| scores(m, epochs, &plain.fresh));
                both.flatten().collect()
            };
            close(&of(&wider), &of(&plain.epochs), 1e-11);
        }
        let of = |epochs: &Epochs| -> Vec<f64> {
            let paired = epochs.paired().unwrap();
            let model = XdawnLda::fit(&paired, &plain.train).unwrap();
            let weights = model.weights(epochs.channels());
            let rows = plain.fresh.iter().map(|&row| paired.row(row));
            rows.map(|row| weights.iter().zip(row).map(|(w, x)| w * x).sum())
                .collect()
        };
        close(&of(&wider), &of(&plain.epochs), 1e-11);
    }
}
