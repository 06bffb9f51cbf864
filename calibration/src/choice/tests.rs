//! The fusion's weights against SciPy, and what a held-out fold's labels may reach.

use razvilka_dsp::epoch::EpochShape;
use razvilka_dsp::units::{Hertz, Seconds};
use serde::Deserialize;

use super::*;
use crate::epochs::{EpochInfo, Epochs};

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    members: Vec<[f64; MEMBERS]>,
    target: Vec<bool>,
    centre: [f64; MEMBERS],
    scale: [f64; MEMBERS],
    weight: [f64; MEMBERS],
    bias: f64,
}

#[test]
fn the_fusions_weights_are_the_minimum_that_scipy_finds() {
    // fixtures/golden/calibration/generate_stacking.py
    let text = include_str!("../../../fixtures/golden/calibration/stacking.json");
    let golden: Golden = serde_json::from_str(text).unwrap();
    assert_eq!(golden.cases.len(), 3);
    let mut at_the_bound = 0;
    for case in golden.cases {
        let found = fusion_weights(&case.members, &case.target);
        for (ours, theirs) in [
            (found.centre, case.centre),
            (found.scale, case.scale),
            (found.weight, case.weight),
            ([found.bias; MEMBERS], [case.bias; MEMBERS]),
        ] {
            for (a, b) in ours.iter().zip(theirs) {
                assert!((a - b).abs() < 1e-6, "{found:?}, SciPy {theirs:?}");
            }
        }
        at_the_bound += usize::from(case.weight[0] == 0.0 || case.weight[1] == 0.0);
    }
    assert_eq!(at_the_bound, 2, "one case lies inside, two at a bound");
}

/// Four channels of noise from a linear congruence, with a bump after targets.
fn epochs(flip: impl Fn(usize) -> bool) -> Epochs {
    let (channels, bins) = (4, 12);
    let mut state = 7_u64;
    let mut uniform = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    };
    let mut epochs = Epochs::new(channels, bins).unwrap();
    for index in 0..160 {
        let truth = index % 4 == 1;
        let features: Vec<f64> = (0..channels * bins)
            .map(|k| 8.0 * uniform() + if truth && k % bins == 5 { 3.0 } else { 0.0 })
            .collect();
        let info = EpochInfo {
            onset_s: index as f64 * 0.2,
            target: truth != flip(index),
            run: (index / 80) as u32,
        };
        epochs.push(info, &features).unwrap();
    }
    epochs
}

#[test]
fn the_labels_of_a_fold_reach_no_score_of_it_and_those_of_the_others_do() {
    let one = |x: f64| (Hertz::new(x).unwrap(), Seconds::new(x).unwrap());
    let shape = EpochShape::new(4, one(12.0).1, one(1.0).0, one(1.0).0).unwrap();
    let kinds = [
        ScorerKind::Fusion,
        ScorerKind::Lda,
        ScorerKind::BlockToeplitzLda,
        ScorerKind::XdawnLda,
        ScorerKind::XdawnTangent,
        ScorerKind::ErpTangent,
    ];
    let truth = epochs(|_| false);
    let folds = contiguous_folds(&truth, FOLDS);
    let altered = &folds[3];
    let other = epochs(|row| altered.contains(&row) && row % 2 == 0);
    for kind in kinds {
        let scores = |epochs: &Epochs| {
            let material = Material::new(epochs, shape).unwrap();
            let chosen = choose_among(&[kind], &material, None, 0.8).unwrap();
            chosen.held_out.scores
        };
        let (before, after) = (scores(&truth), scores(&other));
        for &row in altered {
            assert_eq!(before[row], after[row], "{kind:?}, epoch {row}");
        }
        let moved = folds[7].iter().filter(|&&row| before[row] != after[row]);
        assert_eq!(moved.count(), folds[7].len(), "{kind:?}");
    }
}
