//! The four properties of every stage, for random input: a block is the same as its samples one by one, any chunking gives
//! the same bits, `reset` makes a stage as new, and finite input gives finite output.

#![allow(clippy::unwrap_used, clippy::disallowed_macros)]

mod epochs;
mod filters;
mod gaze;
mod path;
mod stamps;

use razvilka_dsp::design::{butter_bandpass, iirnotch};
use razvilka_dsp::epoch::EpochShape;
use razvilka_dsp::score::{EpochScorer, LinearScorer};
use razvilka_dsp::sosfilt::SosFilter;
use razvilka_dsp::tangent::{TangentParts, TangentScorer};
use razvilka_dsp::units::{Hertz, Seconds};

fn hz(value: f64) -> Hertz {
    Hertz::new(value).unwrap()
}

fn s(value: f64) -> Seconds {
    Seconds::new(value).unwrap()
}

/// Cuts `len` things into parts of the given sizes, round and round.
fn cuts(len: usize, sizes: &[usize]) -> Vec<std::ops::Range<usize>> {
    let mut parts = Vec::new();
    let mut from = 0;
    for size in sizes.iter().cycle() {
        if from >= len {
            break;
        }
        let to = (from + size).min(len);
        parts.push(from..to);
        from = to;
    }
    parts
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn filter(channels: usize) -> SosFilter {
    let mut sections = butter_bandpass(2, hz(0.5), hz(20.0), hz(250.0)).unwrap();
    sections.push(iirnotch(hz(50.0), 30.0, hz(250.0)).unwrap());
    SosFilter::new(&sections, channels).unwrap()
}

/// A linear part and one in the tangent space, of numbers that a seed gives. Neither is fitted to anything: they are any numbers.
fn fused(shape: EpochShape, components: usize, prototypes: usize, seed: u64) -> EpochScorer {
    let mut state = seed;
    let mut numbers = |count: usize| -> Vec<f64> {
        (0..count)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as f64 / (1_u64 << 30) as f64 - 1.0
            })
            .collect()
    };
    let order = components + prototypes;
    let linear = LinearScorer::new(shape, &numbers(shape.features()), 0.1).unwrap();
    let parts = TangentParts {
        filters: &numbers(components * shape.channels()),
        prototypes: &numbers(prototypes * shape.bins()),
        whitening: &numbers(order * order),
        gains: &numbers(order),
        bias: -0.3,
    };
    EpochScorer::new(linear, Some(TangentScorer::new(shape, &parts).unwrap())).unwrap()
}
