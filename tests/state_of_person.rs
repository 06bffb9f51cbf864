//! Does the state tell a person that tires from one that does not? Whole sittings of the simulated laboratory.

#![allow(
    clippy::unwrap_used,
    reason = "what should be known and is not is a failure"
)]

mod state_common;

use razvilka::person::PersonState;
use razvilka::sim::SimSettings;
use state_common::{At, sitting};

const MINUTES: f64 = 20.0;

fn person(seed: u64, tires_in_s: f64) -> Vec<At> {
    let settings = SimSettings {
        seed,
        tires_in_s: Some(tires_in_s),
        ..SimSettings::default()
    };
    sitting(&settings, 60.0 * MINUTES)
}

fn fallen(state: &PersonState) -> f64 {
    state.p300.unwrap().since.unwrap().fallen
}

#[test]
fn a_person_that_tires_is_told_from_one_that_does_not() {
    let (mut slow, mut spindles, mut p300, mut false_slow, mut false_p300) = (0, 0, 0, 0, 0);
    for seed in 1..=4 {
        let tired = person(seed, 600.0).last().unwrap().state;
        // In the simulated brain alpha grows and theta does not.
        assert!(
            tired.indices.theta_alpha.z.unwrap() < 0.0,
            "{seed}: {tired:?}"
        );
        slow += u32::from(tired.indices.slow_fast.risen.unwrap() > 0.9);
        spindles += u32::from(tired.indices.spindles_per_min.z.unwrap() > 0.0);
        p300 += u32::from(fallen(&tired) > 0.95);
        let fresh = person(seed, 1e7).last().unwrap().state;
        false_slow += u32::from(fresh.indices.slow_fast.risen.unwrap() > 0.95);
        false_p300 += u32::from(fallen(&fresh) > 0.95);
        // Of the same person, tired and fresh, every index lies on its side.
        assert!(tired.indices.slow_fast.z > fresh.indices.slow_fast.z);
        assert!(tired.p300.unwrap().amplitude < fresh.p300.unwrap().amplitude);
    }
    assert!(
        slow >= 2 && spindles >= 3 && p300 >= 2,
        "{slow} {spindles} {p300}"
    );
    assert!(
        false_slow <= 1 && false_p300 <= 1,
        "{false_slow} {false_p300}"
    );
}

#[test]
fn the_baseline_comes_first_and_nothing_is_known_before() {
    let states = person(9, 1e7);
    let known = states
        .iter()
        .position(|at| at.state.indices.slow_fast.risen.is_some())
        .unwrap();
    assert!(states[known].seconds > 120.0);
    let before = &states[..known];
    assert!(
        before
            .iter()
            .all(|at| at.state.indices.theta_alpha.z.is_none())
    );
    let after = &states[known + 1..];
    assert!(
        after
            .iter()
            .all(|at| at.state.indices.baseline_share == 1.0)
    );
}
