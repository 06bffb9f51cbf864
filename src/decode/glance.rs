//! The cheap test: could there be a fork here at all? Looks at one distribution, computes nothing more.

use super::distribution::{Candidate, entropy_nats, probabilities, top, varentropy_nats2};
use super::error::DecodeError;
use super::line::Line;
use super::model::Model;
use super::settings::WriterSettings;
use super::text::continues_word;

/// What the distribution of the next token looks like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Glance {
    /// Entropy, nats.
    pub entropy_nats: f64,
    /// Variance of the surprise, nats squared.
    pub varentropy_nats2: f64,
    /// Probabilities of the three likeliest tokens.
    pub top3: [f64; 3],
}

impl Glance {
    /// Looks at a distribution.
    pub(super) fn at(probabilities: &[f64]) -> Self {
        let best = top(probabilities, 3);
        Self {
            entropy_nats: entropy_nats(probabilities),
            varentropy_nats2: varentropy_nats2(probabilities),
            top3: std::array::from_fn(|i| best.get(i).map_or(0.0, |candidate| candidate.mass)),
        }
    }

    /// The gate: the second likeliest token matters, and the three likeliest are most of what there is (so not one of
    /// many names or colours).
    #[must_use]
    pub fn passes(&self, settings: &WriterSettings) -> bool {
        self.top3[1] >= settings.second_mass_min
            && self.top3.iter().sum::<f64>() >= settings.top3_mass_min
    }
}

/// The first tokens worth rolling out from here, likeliest first: each begins a word (or is punctuation), none ends the
/// text. Empty inside a character.
pub(super) fn heads(
    model: &Model,
    line: &Line,
    probabilities: &[f64],
    count: usize,
    mass_min: f64,
    not: &[u32],
) -> Result<Vec<Candidate>, DecodeError> {
    if line.stream().inside_character(model.tokens())? {
        return Ok(Vec::new());
    }
    let last = line.last_char();
    let mut out = Vec::with_capacity(count);
    for candidate in top(probabilities, count + not.len() + 1) {
        if candidate.mass < mass_min || out.len() == count {
            break;
        }
        if not.contains(&candidate.token)
            || model.is_end(candidate.token)
            || !model.is_allowed(candidate.token)
        {
            continue;
        }
        let piece = line.stream().peek(model.tokens(), candidate.token)?;
        if !piece.is_empty() && !continues_word(last, piece.chars().next()) {
            out.push(candidate);
        }
    }
    Ok(out)
}

/// Whether a fork may lie behind this line: the gate passes and two heads at least can be rolled out.
pub(super) fn promising(
    model: &Model,
    line: &Line,
    settings: &WriterSettings,
) -> Result<Vec<Candidate>, DecodeError> {
    let probabilities = probabilities(&line.next.logits);
    if !Glance::at(&probabilities).passes(settings) {
        return Ok(Vec::new());
    }
    let found = heads(
        model,
        line,
        &probabilities,
        settings.candidates_max,
        settings.candidate_mass_min,
        &[],
    )?;
    Ok(if found.len() < 2 { Vec::new() } else { found })
}
