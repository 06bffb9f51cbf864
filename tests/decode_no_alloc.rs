//! A step of the decoder allocates nothing, once it has seen as many rows before; nor does drawing a token.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod allocation_common;

use std::hint::black_box;
use std::sync::Arc;

use allocation_common::allocations;
use razvilka::decode::{Model, Precision, Sampler, Sampling, Steps};

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(black_box(Box::new(1)))), 1);
}

#[test]
fn a_token_allocates_nothing_within_a_page() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/story-model");
    for precision in [Precision::F32, Precision::Q8, Precision::Q4] {
        let model = Arc::new(Model::load_as(folder, precision).unwrap());
        let mut steps = Steps::new(model);
        // 36 tokens: the page of sixteen that is open now has room for twelve more.
        steps.read(&[2; 30]).unwrap();
        for token in 2..8 {
            steps.step(&[token]).unwrap();
        }
        let count = allocations(|| {
            for token in 2..12 {
                steps.step(&[token]).unwrap();
            }
        });
        assert_eq!(count, 0, "{precision:?}");
    }
}

#[test]
fn drawing_a_token_allocates_nothing_once_a_vocabulary_was_seen() {
    let logits: Vec<f32> = (0..50_000_u16)
        .map(|n| f32::from(n % 977) / 400.0)
        .collect();
    let sampling = Sampling {
        top_k: 20_000,
        min_p: 0.01,
        repeat_penalty: 1.2,
        ..Sampling::default()
    };
    let mut sampler = Sampler::new();
    let mut draw = |uniform| sampler.draw(&sampling, &logits, 0..1000, uniform, |token| token > 5);
    let first = draw(0.3);
    let count = allocations(|| {
        assert_eq!(draw(0.3), first);
        black_box(draw(0.9));
    });
    assert_eq!(count, 0);
}
