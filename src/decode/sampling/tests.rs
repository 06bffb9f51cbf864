//! What is drawn, held to Hugging Face's processors and to what each step promises.

use proptest::prelude::*;
use serde::Deserialize;

use super::super::distribution::{Place, Purpose};
use super::*;

/// What transformers keeps of random logits: fixtures/golden/decode/make_sampling.py.
const GOLDEN: &str = include_str!("../../../fixtures/golden/decode/sampling/golden.json");

#[derive(Deserialize)]
struct Golden {
    rows: Vec<Row>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Row {
    logits: Vec<f32>,
    tokens: Vec<u32>,
}

#[derive(Deserialize)]
struct Case {
    row: usize,
    sampling: Sampling,
    kept: Vec<u32>,
    probabilities: Vec<f64>,
}

fn tokens(sampler: &Sampler) -> Vec<u32> {
    sampler.kept.iter().map(|kept| kept.token).collect()
}

#[test]
fn what_may_be_drawn_and_how_likely_is_what_hugging_face_leaves() {
    // It computes in f32: a probability has seven digits.
    const DIFFERENCE_MAX: f64 = 1e-6;
    let golden: Golden = serde_json::from_str(GOLDEN).unwrap();
    assert!(golden.cases.len() >= 50);
    let mut sampler = Sampler::new();
    for case in &golden.cases {
        let row = &golden.rows[case.row];
        let latest_first = row.tokens.iter().rev().copied();
        case.sampling.check().unwrap();
        sampler
            .draw(&case.sampling, &row.logits, latest_first, 0.5, |_| true)
            .unwrap();
        assert_eq!(tokens(&sampler), case.kept, "{:?}", case.sampling);
        let total: f64 = sampler.kept.iter().map(|kept| kept.mass).sum();
        for (kept, expected) in sampler.kept.iter().zip(&case.probabilities) {
            let difference = (kept.mass / total - expected).abs();
            assert!(
                difference < DIFFERENCE_MAX,
                "{difference} in {:?}",
                case.sampling
            );
        }
    }
}

#[test]
fn a_number_draws_the_token_in_whose_share_it_lies() {
    let logits = [0.5_f32.ln(), 0.3_f32.ln(), 0.2_f32.ln()];
    let all = Sampling {
        temperature: 1.0,
        top_p: 1.0,
        ..Sampling::default()
    };
    let mut sampler = Sampler::new();
    for (uniform, token) in [
        (0.0, 0),
        (0.49, 0),
        (0.51, 1),
        (0.79, 1),
        (0.81, 2),
        (0.999, 2),
    ] {
        assert_eq!(
            sampler.draw(&all, &logits, [], uniform, |_| true),
            Some(token),
            "{uniform}"
        );
    }
}

#[test]
fn a_penalty_changes_what_is_likeliest_and_counts_a_token_once() {
    let penalised = Sampling {
        repeat_penalty: 1.5,
        repeat_last_tokens: 2,
        ..Sampling::likeliest()
    };
    let mut sampler = Sampler::new();
    let mut draw = |latest_first: &[u32]| {
        sampler.draw(
            &penalised,
            &[2.0, 1.5, -1.0],
            latest_first.iter().copied(),
            0.0,
            |_| true,
        )
    };
    assert_eq!(draw(&[]), Some(0));
    assert_eq!(draw(&[0]), Some(1), "2 / 1.5 is less than 1.5");
    assert_eq!(draw(&[0, 1]), Some(0), "both are penalised");
    assert_eq!(draw(&[2, 2, 0]), Some(0), "too long ago");
    assert_eq!(draw(&[0, 0]), Some(1));
    assert_eq!(
        sampler.penalised[0].to_bits(),
        (2.0_f32 / 1.5).to_bits(),
        "once"
    );
    assert_eq!(draw_unknown(), Some(0));
}

/// A token that the vocabulary does not have is no reason to fail.
fn draw_unknown() -> Option<u32> {
    let penalised = Sampling {
        repeat_penalty: 1.5,
        ..Sampling::likeliest()
    };
    Sampler::new().draw(&penalised, &[1.0], [77], 0.0, |_| true)
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let fine = Sampling::default();
    fine.check().unwrap();
    for (key, wrong) in [
        (
            "temperature",
            Sampling {
                temperature: f64::NAN,
                ..fine
            },
        ),
        (
            "top_k",
            Sampling {
                top_k: 1_000_001,
                ..fine
            },
        ),
        ("top_p", Sampling { top_p: 0.0, ..fine }),
        ("min_p", Sampling { min_p: 1.5, ..fine }),
        (
            "repeat_penalty",
            Sampling {
                repeat_penalty: 0.5,
                ..fine
            },
        ),
        (
            "repeat_last_tokens",
            Sampling {
                repeat_last_tokens: 40_000,
                ..fine
            },
        ),
    ] {
        let said = wrong.check().unwrap_err().to_string();
        assert!(said.contains(&format!("`{key}`")), "{said}");
    }
}

#[test]
fn draws_have_the_frequencies_of_the_distribution_and_top_p_cuts_the_tail() {
    let logits = [0.5_f32.ln(), 0.3_f32.ln(), 0.15_f32.ln(), 0.05_f32.ln()];
    let n = 4000;
    let mut counts = [0_usize; 4];
    for position in 0..n {
        let uniform = Place {
            seed: 5,
            position,
            choices: 2,
        }
        .draw(Purpose::Token, 0);
        counts[pick(&logits, 1.0, 0.9, uniform, |_| true).expect("tokens are allowed") as usize] +=
            1;
    }
    assert_eq!(counts[3], 0, "beyond top_p");
    for (count, share) in counts.iter().zip([0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95]) {
        assert!(
            (*count as f64 / f64::from(n as u32) - share).abs() < 0.03,
            "{counts:?}"
        );
    }
}

#[test]
fn nothing_allowed_gives_nothing_and_cold_gives_the_likeliest() {
    assert_eq!(pick(&[0.0, 1.0], 1.0, 0.9, 0.5, |_| false), None);
    assert_eq!(pick(&[0.0, 1.0, 1.0], 0.0, 0.9, 0.99, |_| true), Some(1));
    assert_eq!(pick(&[0.0, 1.0, 1.0], 0.0, 0.9, 0.99, |t| t != 1), Some(2));
}

fn samplings() -> impl Strategy<Value = Sampling> {
    (
        0.2_f64..2.0,
        0_usize..12,
        0.05_f64..=1.0,
        0.0_f64..=1.0,
        1.0_f64..2.0,
        0_usize..6,
    )
        .prop_map(
            |(temperature, top_k, top_p, min_p, repeat_penalty, repeat_last_tokens)| Sampling {
                temperature,
                top_k,
                top_p,
                min_p: if min_p < 0.5 { 0.0 } else { min_p - 0.5 },
                repeat_penalty,
                repeat_last_tokens,
            },
        )
}

proptest! {
    #[test]
    fn what_is_kept_is_the_likeliest_and_just_as_much_as_asked_for(
        logits in prop::collection::vec(-6.0_f32..6.0, 1..40),
        latest_first in prop::collection::vec(0_u32..50, 0..10),
        sampling in samplings(),
        uniform in 0.0_f64..1.0,
        barred in 0_u32..60,
    ) {
        let mut sampler = Sampler::new();
        let mut draw = || {
            let latest_first = latest_first.iter().copied();
            let token = sampler.draw(&sampling, &logits, latest_first, uniform, |t| t != barred);
            (token, sampler.kept.clone())
        };
        let (drawn, kept) = draw();
        prop_assert_eq!(draw(), (drawn, kept.clone()), "the same again");
        if logits.len() == 1 && barred == 0 {
            prop_assert_eq!(drawn, None);
            return Ok(());
        }
        let drawn = drawn.expect("a token is allowed");
        prop_assert!(kept.iter().any(|one| one.token == drawn));
        prop_assert!(kept.iter().all(|one| one.token != barred));

        // By definition, without any of the sampler's steps.
        let lately = &latest_first[..latest_first.len().min(sampling.repeat_last_tokens)];
        let mut weights: Vec<(f64, u32)> = (0_u32..).zip(&logits)
            .filter(|(token, _)| *token != barred)
            .map(|(token, &logit)| {
                let penalty = sampling.repeat_penalty as f32;
                let logit = match lately.contains(&token) {
                    true if logit > 0.0 => logit / penalty,
                    true => logit * penalty,
                    false => logit,
                };
                ((f64::from(logit) / sampling.temperature).exp(), token)
            })
            .collect();
        weights.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let order: Vec<u32> = weights.iter().map(|(_, token)| *token).collect();
        let found: Vec<u32> = kept.iter().map(|one| one.token).collect();
        prop_assert!(order.starts_with(&found), "{:?} of {:?}", found, order);

        if sampling.top_k > 0 {
            weights.truncate(sampling.top_k);
            prop_assert!(kept.len() <= sampling.top_k);
        }
        let total: f64 = weights.iter().map(|(weight, _)| weight).sum();
        let mass = |n: usize| weights[..n].iter().map(|(weight, _)| weight).sum::<f64>() / total;
        let likely = |n: usize| weights[n].0 >= sampling.min_p * weights[0].0 * (1.0 - 1e-6);
        // Tokens beyond 1e-7 of the likeliest are left out.
        const BEYOND: f64 = 1e-5;
        prop_assert!(mass(kept.len() - 1) < sampling.top_p + BEYOND, "one fewer would do");
        prop_assert!((0..kept.len()).all(likely));
        if kept.len() < weights.len() {
            let enough = mass(kept.len()) >= sampling.top_p - BEYOND;
            let unlikely = weights[kept.len()].0 <= sampling.min_p * weights[0].0 * (1.0 + 1e-6);
            prop_assert!(enough || unlikely, "one more belongs to it");
        }
    }
}
