//! A stand-in for the memory of choices: attention of the place over earlier places, values chosen minus not chosen. The
//! engine's own is more; what the imitator is given has the same form, a preference centred on 0.

use razvilka::choice::imitator::{Candidate, Offer};

use super::people::{DIMENSIONS, Fork, Meaning, dot};

/// How sharply like places are told from unlike ones.
const SHARPNESS: f64 = 4.0;

pub(crate) struct Memory {
    /// Choices that are kept, the latest.
    kept: usize,
    places: Vec<(Meaning, Meaning)>,
    next: usize,
}

impl Memory {
    pub(crate) fn new(kept: usize) -> Self {
        Self {
            kept,
            places: Vec::new(),
            next: 0,
        }
    }

    pub(crate) fn note(&mut self, fork: &Fork, chosen: usize) {
        let others = (fork.meanings.len() - 1) as f64;
        let mut value = [0.0; DIMENSIONS];
        for (branch, meaning) in fork.meanings.iter().enumerate() {
            let weight = if branch == chosen { 1.0 } else { -1.0 / others };
            value
                .iter_mut()
                .zip(meaning)
                .for_each(|(v, m)| *v += weight * m);
        }
        if self.places.len() < self.kept {
            self.places.push((fork.context, value));
        } else {
            self.places[self.next % self.kept] = (fork.context, value);
        }
        self.next += 1;
    }

    /// The fork as the imitator sees it.
    pub(crate) fn offer(&self, fork: &Fork) -> Offer {
        let mut wanted = [0.0; DIMENSIONS];
        let mut sum = 0.0;
        for (place, value) in &self.places {
            let weight = (SHARPNESS * dot(place, &fork.context)).exp();
            sum += weight;
            wanted
                .iter_mut()
                .zip(value)
                .for_each(|(w, v)| *w += weight * v);
        }
        let attention: Vec<f64> = fork
            .meanings
            .iter()
            .map(|meaning| {
                if sum > 0.0 {
                    dot(&wanted, meaning) / sum
                } else {
                    0.0
                }
            })
            .collect();
        let mean = attention.iter().sum::<f64>() / attention.len() as f64;
        let candidates: Vec<Candidate> = fork
            .masses
            .iter()
            .zip(&fork.tokens)
            .zip(&attention)
            .map(|((mass, tokens), attention)| Candidate {
                log_prob_nats: mass.ln(),
                tokens: *tokens,
                // Of the order of 1, as the memory's.
                attention: 4.0 * (attention - mean),
            })
            .collect();
        Offer::new(&candidates)
    }
}
