#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// A choice as the twin keeps it: state, embeddings, which, and whether it was taken back.
type Kept = (Vec<f32>, Vec<Vec<f32>>, usize, bool);

/// The formula of the module's head, written down once more, in f64 and without anything clever. `None` where rounding decides which key is the last
/// of the nearest.
fn twin(kept: &[Kept], state: &[f32], branches: &[Vec<f32>]) -> Option<Vec<f64>> {
    let unit = |x: &[f32]| -> Vec<f64> {
        let norm = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        x.iter().map(|x| f64::from(*x) / norm).collect()
    };
    let product = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let (q, width) = (unit(state), state.len());
    let weight = |cosine: f64| ((cosine - 1.0) * (width as f64).sqrt()).exp();
    let mut near: Vec<(f64, &Kept)> = kept.iter().map(|k| (product(&q, &unit(&k.0)), k)).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    if let [.., last] = near.get(..NEAREST).unwrap_or_default()
        && let Some(next) = near.get(NEAREST)
        && last.0 - next.0 < 1e-6
    {
        return None;
    }
    near.truncate(NEAREST);
    let (mut value, mut total) = (vec![0.0; width], weight(f64::from(COSINE_OF_NOTHING)));
    for (cosine, (_, offered, chosen, taken_back)) in near {
        let offered: Vec<_> = offered.iter().map(|e| unit(e)).collect();
        total += weight(cosine);
        for i in 0..width {
            let others: f64 = (0..offered.len())
                .filter(|b| b != chosen)
                .map(|b| offered[b][i])
                .sum();
            let v = offered[*chosen][i] - others / (offered.len() - 1) as f64;
            value[i] += weight(cosine) * if *taken_back { -v } else { v };
        }
    }
    let branches: Vec<_> = branches.iter().map(|b| unit(b)).collect();
    let mean: Vec<f64> = (0..width)
        .map(|i| branches.iter().map(|b| b[i]).sum::<f64>() / branches.len() as f64)
        .collect();
    let along = branches.iter().map(|b| {
        let centred: Vec<f64> = b.iter().zip(&mean).map(|(b, mean)| b - mean).collect();
        product(&value, &centred) / total
    });
    Some(along.collect())
}

fn vector(random: &mut ChaCha8Rng, width: usize) -> Vec<f32> {
    // One number far larger than the rest, as hidden states have.
    let outlier = random.random_range(0..width);
    (0..width)
        .map(|i| random.random_range(-1.0..1.0) * if i == outlier { 20.0 } else { 1.0 })
        .collect()
}

/// Choices near a few states, as those of one person are.
fn choices(random: &mut ChaCha8Rng, count: usize, width: usize) -> Vec<Kept> {
    let centres: Vec<_> = (0..4).map(|_| vector(random, width)).collect();
    (0..count)
        .map(|_| {
            let centre = &centres[random.random_range(0..centres.len())];
            let state = centre
                .iter()
                .map(|x| x + random.random_range(-0.5..0.5))
                .collect();
            let offered = random.random_range(2..=3);
            let branches = (0..offered).map(|_| vector(random, width)).collect();
            (
                state,
                branches,
                random.random_range(0..offered),
                random.random_range(0..10) == 0,
            )
        })
        .collect()
}

fn memory_of(kept: &[Kept], width: usize) -> Memory {
    let mut memory = Memory::new(width);
    for (state, branches, chosen, taken_back) in kept {
        let place = memory.learn(state, &slices(branches), *chosen).unwrap();
        if *taken_back {
            memory.take_back(place);
        }
    }
    memory
}

fn slices(vectors: &[Vec<f32>]) -> Vec<&[f32]> {
    vectors.iter().map(Vec::as_slice).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_preference_is_that_of_the_formula(seed in any::<u64>(), count in 0_usize..700, width in 4_usize..80) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let kept = choices(&mut random, count, width);
        let memory = memory_of(&kept, width);
        let state = match kept.first() {
            Some((state, ..)) if seed % 2 == 0 => state.clone(),
            _ => vector(&mut random, width),
        };
        let branches: Vec<_> = (0..3).map(|_| vector(&mut random, width)).collect();
        let found = memory.preference(&state, &slices(&branches)).unwrap();
        let right = twin(&kept, &state, &branches);
        prop_assume!(right.is_some());
        for (found, right) in found.iter().zip(right.into_iter().flatten()) {
            prop_assert!((f64::from(*found) - right).abs() < 2e-5, "{found} {right}");
        }
        prop_assert!(found.iter().sum::<f32>().abs() < 1e-5);
    }

    #[test]
    fn the_first_pass_loses_none_of_the_nearest(seed in any::<u64>(), count in 300_usize..2_000, same in 1_usize..400) {
        // Many keys that eight bits cannot tell apart, and many that are equal.
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let centre = vector(&mut random, 40);
        let unit = |x: Vec<f32>| {
            let norm = x.iter().map(|x| x * x).sum::<f32>().sqrt();
            x.into_iter().map(|x| x / norm).collect::<Vec<f32>>()
        };
        let mut rows = Rows::new(40);
        let mut all = Vec::new();
        for n in 0..count {
            let spread = if n % same == 0 { 0.0 } else { 2e-3 };
            let row = unit(centre.iter().map(|x| x + spread * random.random_range(-1.0..1.0)).collect());
            rows.push(&row);
            all.push(row);
        }
        let query = unit(vector(&mut random, 40));
        let mut right: Vec<f32> = all.iter().map(|row| dot::dot(&query, row)).collect();
        right.sort_by(|a, b| b.total_cmp(a));
        let found: Vec<f32> = rows.nearest(&query, NEAREST).into_iter().map(|(cosine, _)| cosine).collect();
        prop_assert_eq!(&found[..], &right[..NEAREST.min(count)]);
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut rows = Vec::new();
    let (query, scales) = (vector(&mut random, 96), [0.01, 0.3, 0.002]);
    let bits: Vec<u8> = (0..7 * 96).map(|_| random.random()).collect();
    let scales = scales.repeat(7);
    for screen in [dot::Screen::best(), dot::Screen::Portable] {
        let mut out = [0.0; 7];
        screen.products(&query, &bits, &scales, &mut out);
        rows.push(out.map(f32::to_bits));
    }
    assert_eq!(rows[0], rows[1]);
}

#[test]
fn one_choice_is_enough_and_counts_less_the_less_alike_the_place_is() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let (state, far) = (vector(&mut random, 64), vector(&mut random, 64));
    let branches: Vec<_> = (0..3).map(|_| vector(&mut random, 64)).collect();
    let mut memory = Memory::new(64);
    let before = memory.preference(&state, &slices(&branches)).unwrap();
    assert_eq!(before, [0.0; 3]);
    let place = memory.learn(&state, &slices(&branches), 1).unwrap();
    let here = memory.preference(&state, &slices(&branches)).unwrap();
    assert!(here[1] > 0.5 && here[0] < 0.0 && here[2] < 0.0, "{here:?}");
    let there = memory.preference(&far, &slices(&branches)).unwrap();
    assert!(there[1] < 0.1 * here[1], "{there:?}");
    memory.take_back(place);
    let after = memory.preference(&state, &slices(&branches)).unwrap();
    assert!(
        after
            .iter()
            .zip(&here)
            .all(|(after, here)| (after + here).abs() < 1e-6)
    );
}

#[test]
fn choices_that_contradict_each_other_are_both_kept_and_cancel() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let state = vector(&mut random, 64);
    let branches: Vec<_> = (0..2).map(|_| vector(&mut random, 64)).collect();
    let mut memory = Memory::new(64);
    for chosen in [0, 1] {
        memory.learn(&state, &slices(&branches), chosen).unwrap();
    }
    assert_eq!(memory.len(), 2);
    let found = memory.preference(&state, &slices(&branches)).unwrap();
    assert!(found.iter().all(|p| p.abs() < 1e-6), "{found:?}");
    memory.learn(&state, &slices(&branches), 1).unwrap();
    let found = memory.preference(&state, &slices(&branches)).unwrap();
    assert!(found[1] > 0.1, "{found:?}");
}

#[test]
fn what_cannot_be_compared_is_refused_and_changes_nothing() {
    let mut memory = Memory::new(4);
    let (a, b) = ([1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]);
    let wide = [1.0; 5];
    let width = MemoryError::Width {
        expected: 4,
        got: 5,
    };
    assert_eq!(memory.learn(&wide, &[&a, &b], 0), Err(width));
    assert_eq!(memory.learn(&a, &[&a, &wide], 0), Err(width));
    assert_eq!(memory.preference(&wide, &[&a]), Err(width));
    for bad in [[0.0; 4], [f32::NAN; 4], [f32::INFINITY; 4]] {
        assert_eq!(
            memory.learn(&bad, &[&a, &b], 0),
            Err(MemoryError::NoDirection)
        );
    }
    for (branches, chosen) in [(&[&a[..], &b][..], 2), (&[&a[..]][..], 0)] {
        let refused = memory.learn(&a, branches, chosen);
        assert!(matches!(refused, Err(MemoryError::NoChoice { .. })));
    }
    assert!(memory.is_empty());
}
