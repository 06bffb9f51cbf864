//! Densities that follow a drift of the scores, against scores drawn from densities that are known.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

#[path = "common/noise.rs"]
mod noise;

use noise::Noise;
use razvilka_calibration::ScoreDrift;
use razvilka_dsp::score::{ScoreDensity, StudentT};

/// Share of targets.
const SHARE: f64 = 0.125;

/// Mean of all flashes' scores.
fn centre() -> f64 {
    let d = density();
    d.nontarget().location + SHARE * (d.target().location - d.nontarget().location)
}

fn density() -> ScoreDensity {
    let class = |location: f64, scale: f64, dof: f64| StudentT {
        location,
        scale,
        dof,
    };
    ScoreDensity::new(
        class(0.1, 1.2, 20.0),
        class(-3.0, 1.0, 8.0),
        (-6.0, 3.0),
        5.0,
    )
    .unwrap()
}

/// Scores of flashes, one in eight a target, drawn from the densities and then moved.
fn scores(shift: f64, stretch: f64, seed: u64, count: usize) -> Vec<(f64, bool)> {
    let mut noise = Noise(seed);
    let d = density();
    (0..count)
        .map(|k| {
            let target = k % 8 == 0;
            let of = if target { d.target() } else { d.nontarget() };
            // Student's t: a normal over the root of a mean of squares.
            let squares: f64 = (0..of.dof as usize).map(|_| noise.gauss().powi(2)).sum();
            let t = noise.gauss() / (squares / of.dof).sqrt();
            let score = of.location + of.scale * t;
            let centre = centre();
            (centre + shift + (score - centre) * stretch, target)
        })
        .collect()
}

#[test]
fn a_drift_is_found_without_labels_and_the_same_with_them() {
    let (shift, stretch) = (0.8, 1.6);
    for labelled in [false, true] {
        let mut drift = ScoreDrift::new();
        for (score, target) in scores(shift, stretch, 5, 4_000) {
            let share = if labelled {
                f64::from(u8::from(target))
            } else {
                SHARE
            };
            drift.observe(score, &density(), share);
        }
        assert!((drift.shift() - shift).abs() < 0.12, "{drift:?}");
        // With labels the classes' own distance has stretched too: what is left of it within them is less than all.
        assert!((drift.stretch() - stretch).abs() < 0.25, "{drift:?}");
    }
}

#[test]
fn moved_densities_say_of_moved_scores_what_the_first_said() {
    let mut drift = ScoreDrift::new();
    for (score, _) in scores(-0.6, 1.3, 9, 500) {
        drift.observe(score, &density(), SHARE);
    }
    let (first, moved) = (density(), drift.moved(&density(), SHARE));
    let centre = centre();
    for score in [-7.0, -4.2, -2.6, -1.0, 0.4, 2.0, 5.0] {
        let there = centre + drift.shift() + (score - centre) * drift.stretch();
        let (a, b) = (first.llr(score).unwrap(), moved.llr(there).unwrap());
        assert!((a - b).abs() < 1e-9, "{score}: {a} {b}");
    }
}

#[test]
fn without_a_drift_the_densities_stay_within_the_noise() {
    let mut drift = ScoreDrift::new();
    for (score, _) in scores(0.0, 1.0, 3, 2_000) {
        drift.observe(score, &density(), SHARE);
    }
    assert!(drift.shift().abs() < 0.1, "{drift:?}");
    assert!((drift.stretch() - 1.0).abs() < 0.08, "{drift:?}");
    assert_eq!(
        ScoreDrift::new().moved(&density(), SHARE),
        density(),
        "nothing seen, nothing moved"
    );
}

#[test]
fn one_wild_score_moves_the_estimates_by_no_more_than_one_four_standard_deviations_off() {
    let mut drift = ScoreDrift::new();
    drift.observe(1e300, &density(), SHARE);
    // All scores together have a standard deviation of about 1.6 scales; the calibration counts for 60.
    assert!(
        drift.shift() > 0.0 && drift.shift() < 4.0 * 1.7 / 61.0,
        "{drift:?}"
    );
    assert!(drift.stretch() < 1.15, "{drift:?}");
}

#[test]
fn no_score_however_wild_leads_beyond_the_bounds() {
    let mut drift = ScoreDrift::new();
    for score in [f64::NAN, f64::INFINITY, 1e300, -1e300, f64::MAX] {
        for _ in 0..3_000 {
            drift.observe(score, &density(), SHARE);
        }
        let moved = drift.moved(&density(), SHARE);
        assert!(drift.shift().abs() <= 1.5);
        assert!((0.5..=3.0).contains(&drift.stretch()));
        assert!(moved.llr(1.0).unwrap().is_finite());
    }
}

#[test]
fn when_nobody_attends_evidence_rises_by_no_more_than_the_targets_that_lack() {
    let others: Vec<f64> = scores(0.0, 1.0, 7, 16_000)
        .into_iter()
        .filter(|(_, target)| !target)
        .map(|(score, _)| score)
        .collect();
    let mut drift = ScoreDrift::new();
    for score in &others {
        drift.observe(*score, &density(), SHARE);
    }
    let apart = density().target().location - density().nontarget().location;
    assert!(drift.shift() > -SHARE * apart - 0.05, "{drift:?}");
    let moved = drift.moved(&density(), SHARE);
    let mean = |d: &ScoreDensity| {
        others.iter().filter_map(|s| d.llr(*s)).sum::<f64>() / others.len() as f64
    };
    assert!(
        mean(&moved) < 0.0,
        "still evidence against: {}",
        mean(&moved)
    );
}
