//! What follows from a row of logits: probabilities, the likeliest tokens, entropies, divergences; and the numbers that draws are made with.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A token and its probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) token: u32,
    pub(super) mass: f64,
}

/// Probabilities of logits that are finite.
pub(super) fn probabilities(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut out: Vec<f64> = logits.iter().map(|x| f64::from(x - max).exp()).collect();
    let sum: f64 = out.iter().sum();
    out.iter_mut().for_each(|p| *p /= sum);
    out
}

/// The `k` likeliest tokens, likeliest first; ties by number.
pub(super) fn top(probabilities: &[f64], k: usize) -> Vec<Candidate> {
    let mut best: Vec<Candidate> = Vec::with_capacity(k + 1);
    for (token, &mass) in (0_u32..).zip(probabilities) {
        if best.len() < k || best.last().is_some_and(|worst| mass > worst.mass) {
            let at = best.partition_point(|better| better.mass >= mass);
            best.insert(at, Candidate { token, mass });
            best.truncate(k);
        }
    }
    best
}

/// Entropy, nats.
pub(super) fn entropy_nats(probabilities: &[f64]) -> f64 {
    -probabilities
        .iter()
        .filter(|p| **p > 0.0)
        .map(|p| p * p.ln())
        .sum::<f64>()
}

/// Variance of the surprise, nats squared (entropix calls it varentropy).
pub(super) fn varentropy_nats2(probabilities: &[f64]) -> f64 {
    let entropy = entropy_nats(probabilities);
    probabilities
        .iter()
        .filter(|p| **p > 0.0)
        .map(|p| p * (p.ln() + entropy).powi(2))
        .sum()
}

/// Jensen-Shannon divergence, bits: 0 for equal distributions, 1 for disjoint ones (Lin 1991, eq. 4.1 with equal weights).
pub(super) fn divergence_bits(a: &[f64], b: &[f64]) -> f64 {
    let half = |x: f64, mean: f64| if x > 0.0 { x * (x / mean).log2() } else { 0.0 };
    let sum: f64 = a
        .iter()
        .zip(b)
        .map(|(a, b)| (half(*a, (a + b) / 2.0), half(*b, (a + b) / 2.0)))
        .map(|(a, b)| a + b)
        .sum();
    (sum / 2.0).clamp(0.0, 1.0)
}

/// Cosine of two vectors; 0 if one has no length.
pub(super) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum::<f64>()
    };
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 {
        dot(a, b) / lengths
    } else {
        0.0
    }
}

/// What a draw is for. Draws for different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The next token of the text.
    Token = 0,
    /// Which branch the model takes.
    Branch = 1,
    /// Looking ahead; the number tells several looks apart.
    Probe = 2,
    /// Looking for other branches.
    Other = 3,
}

/// Where in the session a draw happens. Equal places give equal draws: time plays no part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) seed: u64,
    /// Tokens of text before it.
    pub(super) position: usize,
    /// Choices made before it.
    pub(super) choices: u64,
}

impl Place {
    /// A uniform number in `[0, 1)`.
    ///
    /// `ChaCha` is a counter-based generator: the seed is its key, purpose and number of choices its stream, the position
    /// its block, so any place is reached without walking there.
    pub(super) fn draw(self, purpose: Purpose, number: usize) -> f64 {
        const BLOCK_WORDS: u128 = 16;
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream((self.choices << 16) | ((number as u64 & 0xFFF) << 4) | purpose as u64);
        rng.set_word_pos(self.position as u128 * BLOCK_WORDS);
        rng.random()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_come_first_and_ties_go_by_number() {
        let best = top(&[0.1, 0.3, 0.1, 0.3, 0.2], 4);
        assert_eq!(
            best.iter().map(|c| c.token).collect::<Vec<_>>(),
            [1, 3, 4, 0]
        );
    }

    #[test]
    fn divergence_is_nothing_for_equals_and_a_bit_for_strangers() {
        assert!(divergence_bits(&[0.2, 0.8], &[0.2, 0.8]).abs() < 1e-12);
        assert!((divergence_bits(&[1.0, 0.0], &[0.0, 1.0]) - 1.0).abs() < 1e-12);
        // NumPy: mean of sum(a * log2(a / m)) over both
        assert!((divergence_bits(&[0.5, 0.5], &[0.9, 0.1]) - 0.146_793_102_436_052_1).abs() < 1e-9);
    }

    #[test]
    fn every_part_of_a_place_changes_the_draw() {
        let at = |seed, position, choices| {
            Place {
                seed,
                position,
                choices,
            }
            .draw(Purpose::Token, 0)
        };
        assert_eq!(at(1, 2, 3), at(1, 2, 3));
        assert!(
            at(1, 2, 3) != at(2, 2, 3) && at(1, 2, 3) != at(1, 3, 3) && at(1, 2, 3) != at(1, 2, 4)
        );
        let place = Place {
            seed: 1,
            position: 2,
            choices: 3,
        };
        assert!(place.draw(Purpose::Token, 0) != place.draw(Purpose::Branch, 0));
    }
}
