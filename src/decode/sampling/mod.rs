//! Sampling: which token follows, given logits, what was written lately, and one uniform number.
//!
//! Five steps, in the order of Hugging Face's `generate` (llama.cpp's own order has the temperature last):
//!
//! | step | what it does | source |
//! |---|---|---|
//! | repetition penalty | a logit of a token among the last ones is divided by the penalty where positive, multiplied where negative; once, however often it stands there | Keskar et al. 2019, arXiv 1909.05858, section 4.1; for negative logits as Hugging Face and llama.cpp do |
//! | temperature | logits are divided by it | Ackley, Hinton and Sejnowski 1985 |
//! | top-k | the k likeliest tokens stay | Fan et al. 2018, arXiv 1805.04833 |
//! | top-p | of these, the fewest likeliest that together have the mass p stay | Holtzman et al. 2020, arXiv 1904.09751 |
//! | min-p | of these, tokens stay whose probability is at least p times the likeliest one's | Nguyen et al. 2024, arXiv 2407.01082 |
//!
//! One deviation: a token less than 1e-7 times as likely as the likeliest, after the temperature, is never drawn.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::distribution::Candidate;
use super::error::DecodeError;

/// Tokens below this weight are beyond any top-p that matters, and sorting a whole vocabulary is slow.
const WEIGHT_MIN: f64 = 1e-7;
/// A little below its logarithm: what lies lower needs no exponential to be left out.
const SCORE_MIN: f64 = -16.2;

/// How the next token is drawn.
///
/// | key | least | most | default | meaning |
/// |---|---|---|---|---|
/// | `temperature` | 0 | 2 | 0.8 | 0 takes the likeliest token |
/// | `top_k` | 0 | 1,000,000 | 0 | likeliest tokens drawn from; 0: any number |
/// | `top_p` | 0.05 | 1 | 0.95 | mass of the likeliest tokens drawn from |
/// | `min_p` | 0 | 1 | 0 | least probability, relative to the likeliest token's |
/// | `repeat_penalty` | 1 | 2 | 1 | for tokens that were written lately; 1: none |
/// | `repeat_last_tokens` | 0 | 32,768 | 64 | how many tokens back is lately, those of the prompt included |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // the table above says it once
pub struct Sampling {
    pub temperature: f64,
    pub top_k: usize,
    pub top_p: f64,
    pub min_p: f64,
    pub repeat_penalty: f64,
    pub repeat_last_tokens: usize,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.8,
            top_k: 0,
            top_p: 0.95,
            min_p: 0.0,
            repeat_penalty: 1.0,
            repeat_last_tokens: 64,
        }
    }
}

impl Sampling {
    /// The likeliest token each time.
    #[must_use]
    pub fn likeliest() -> Self {
        Self {
            temperature: 0.0,
            ..Self::default()
        }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`DecodeError::Setting`] with the key, its value and the range.
    pub fn check(&self) -> Result<(), DecodeError> {
        DecodeError::refuse_outside([
            ("temperature", self.temperature, 0.0, 2.0),
            ("top_k", self.top_k as f64, 0.0, 1e6),
            ("top_p", self.top_p, 0.05, 1.0),
            ("min_p", self.min_p, 0.0, 1.0),
            ("repeat_penalty", self.repeat_penalty, 1.0, 2.0),
            (
                "repeat_last_tokens",
                self.repeat_last_tokens as f64,
                0.0,
                32_768.0,
            ),
        ])
    }
}

/// Draws tokens; owns the room that a draw needs. Once it has seen a vocabulary, a draw allocates nothing.
///
/// ```
/// use razvilka::decode::{Sampler, Sampling};
///
/// let mut sampler = Sampler::new();
/// let only_two = Sampling { top_k: 2, top_p: 1.0, ..Sampling::default() };
/// let token = sampler.draw(&only_two, &[0.5, 2.0, 1.0], [], 0.999, |_| true);
/// assert_eq!(token, Some(2));
/// ```
#[derive(Debug, Default)]
pub struct Sampler {
    /// Logits with the penalty for repetition.
    penalised: Vec<f32>,
    /// What may be drawn, likeliest first; weights, not normalised.
    kept: Vec<Candidate>,
}

impl Sampler {
    /// A sampler that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Draws the token that follows.
    ///
    /// - `logits`: one finite number per token of the vocabulary;
    /// - `latest_first`: the tokens so far, the last one first; no more of them are taken than `repeat_last_tokens`;
    /// - `uniform`: a number in `[0, 1)`; the same number gives the same token;
    /// - `allowed`: which tokens may be drawn at all.
    ///
    /// `None` when no token is allowed. `sampling` is taken as checked.
    pub fn draw(
        &mut self,
        sampling: &Sampling,
        logits: &[f32],
        latest_first: impl IntoIterator<Item = u32>,
        uniform: f64,
        allowed: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let penalised = sampling.repeat_penalty > 1.0 && sampling.repeat_last_tokens > 0;
        if penalised {
            self.penalise(sampling, logits, latest_first);
        }
        let logits = if penalised { &self.penalised } else { logits };
        let allowed_tokens = || (0_u32..).zip(logits).filter(|(token, _)| allowed(*token));
        let (best, max) = allowed_tokens().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)))?;
        self.kept.clear();
        if sampling.temperature <= 0.0 {
            return Some(best);
        }
        self.kept.extend(
            allowed_tokens()
                .map(|(token, x)| (token, f64::from(x - max) / sampling.temperature))
                .filter(|(_, score)| *score > SCORE_MIN)
                .map(|(token, score)| Candidate {
                    token,
                    mass: score.exp(),
                })
                .filter(|candidate| candidate.mass >= WEIGHT_MIN),
        );
        let mass = cut(&mut self.kept, sampling);
        let mut left = uniform * mass;
        let chosen = self.kept.iter().find(|candidate| {
            left -= candidate.mass;
            left < 0.0
        });
        Some(chosen.map_or(best, |candidate| candidate.token))
    }

    fn penalise(
        &mut self,
        sampling: &Sampling,
        logits: &[f32],
        latest_first: impl IntoIterator<Item = u32>,
    ) {
        let penalty = sampling.repeat_penalty as f32;
        self.penalised.clear();
        self.penalised.extend_from_slice(logits);
        for token in latest_first.into_iter().take(sampling.repeat_last_tokens) {
            let at = token as usize;
            if let (Some(new), Some(&old)) = (self.penalised.get_mut(at), logits.get(at)) {
                // From the model's own logit each time: a token that stands there twice is penalised once.
                *new = if old > 0.0 {
                    old / penalty
                } else {
                    old * penalty
                };
            }
        }
    }
}

/// Puts candidates in order, likeliest first, ties by number, and keeps those that top-k, top-p and min-p leave; the mass they have together.
fn cut(candidates: &mut Vec<Candidate>, sampling: &Sampling) -> f64 {
    let likelier =
        |a: &Candidate, b: &Candidate| b.mass.total_cmp(&a.mass).then(a.token.cmp(&b.token));
    let k = sampling.top_k;
    if k > 0 && k < candidates.len() {
        candidates.select_nth_unstable_by(k - 1, likelier);
        candidates.truncate(k);
    }
    candidates.sort_unstable_by(likelier); // no two are equal: in place, and the same as if it were stable
    let total: f64 = candidates.iter().map(|candidate| candidate.mass).sum();
    let least = candidates
        .first()
        .map_or(0.0, |best| sampling.min_p * best.mass);
    // Each of the two keeps a beginning of the list, so both together do.
    let (mut kept, mut mass) = (0, 0.0);
    while let Some(candidate) = candidates.get(kept)
        && mass < sampling.top_p * total
        && candidate.mass >= least
    {
        mass += candidate.mass;
        kept += 1;
    }
    candidates.truncate(kept);
    mass
}

/// As [`Sampler::draw`], once, by temperature and top-p alone.
pub(super) fn pick(
    logits: &[f32],
    temperature: f64,
    top_p: f64,
    uniform: f64,
    allowed: impl Fn(u32) -> bool,
) -> Option<u32> {
    let sampling = Sampling {
        temperature,
        top_p,
        ..Sampling::default()
    };
    Sampler::new().draw(&sampling, logits, [], uniform, allowed)
}
