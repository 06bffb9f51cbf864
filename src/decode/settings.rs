//! How the writer writes and when it asks: every number with its range.

use serde::{Deserialize, Serialize};

use super::error::DecodeError;
use super::rollout::WORD_TOKENS_MAX;
use super::sampling::Sampling;

/// Settings of a [`Writer`](super::Writer).
///
/// | key | least | most | default | meaning |
/// |---|---|---|---|---|
/// | `seed` | 0 | 2^64-1 | 1 | same seed, prompt and choices: same text |
/// | `temperature` | 0 | 2 | 0.8 | of banal tokens; 0 takes the likeliest |
/// | `top_k` | 0 | 1,000,000 | 0 | likeliest tokens drawn from; 0: any number |
/// | `top_p` | 0.05 | 1 | 0.95 | mass of the likeliest tokens drawn from |
/// | `min_p` | 0 | 1 | 0 | least probability, relative to the likeliest token's |
/// | `repeat_penalty` | 1 | 2 | 1 | for tokens that were written lately; 1: none |
/// | `repeat_last_tokens` | 0 | 32,768 | 64 | how many tokens back is lately |
/// | `tokens_max` | 1 | 1,000,000 | 400 | tokens after the prompt |
/// | `context_tokens_max` | 64 | 32,768 | 2,048 | how far back the model looks, if it can |
/// | `detect` | | | true | whether forks are looked for |
/// | `second_mass_min` | 0.01 | 0.5 | 0.2 | gate: least probability of the second likeliest token |
/// | `top3_mass_min` | 0 | 1 | 0.8 | gate: least mass of the three likeliest together |
/// | `candidates_max` | 2 | 8 | 4 | first tokens rolled out |
/// | `candidate_mass_min` | 0.001 | 0.5 | 0.08 | least probability of one |
/// | `phrase_tokens_max` | 2 | 48 | 16 | length of a phrase without a stop |
/// | `wording_tokens_max` | 0 | 16 | 4 | a difference at most this long may be a mere wording |
/// | `converged_bits_max` | 0 | 1 | 0.1 | divergence of next tokens below which two branches go on the same |
/// | `horizon_tokens` | 0 | 256 | 64 | how far behind the phrase consequences are looked for |
/// | `cosine_min` | 0 | 1 | 0.999 | phrases whose pooled states are closer mean the same |
/// | `embedder_same_min` | 0 | 1 | 0.97 | with a sentence-embedding model: phrases mean the same whose cosine, behind their sentence so far, is this or more |
/// | `embedder_different_max` | -1 | 1 | 0.4 | with one: a wording that takes a phrase's cosine below this is none, whatever follows |
/// | `length_ratio_max` | 1 | 16 | 3 | the longest branch, relative to the shortest, which counts as 12 characters at least |
/// | `meaning_mass_min` | 0.01 | 0.5 | 0.15 | least mass of a meaning |
/// | `questions_per_100_tokens_max` | 0 | 100 | 10 | budget of questions |
/// | `distance_tokens_min` | 0 | 1,000 | 4 | least distance between questions |
/// | `ready_tokens_max` | 0 | 1,024 | 48 | tokens decoded ahead on each branch |
/// | `undo_depth` | 1 | 1,024 | 16 | choices that can be taken back |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // the table above says it once
pub struct WriterSettings {
    pub seed: u64,
    pub temperature: f64,
    pub top_k: usize,
    pub top_p: f64,
    pub min_p: f64,
    pub repeat_penalty: f64,
    pub repeat_last_tokens: usize,
    pub tokens_max: usize,
    pub context_tokens_max: usize,
    pub detect: bool,
    pub second_mass_min: f64,
    pub top3_mass_min: f64,
    pub candidates_max: usize,
    pub candidate_mass_min: f64,
    pub phrase_tokens_max: usize,
    pub wording_tokens_max: usize,
    pub converged_bits_max: f64,
    pub horizon_tokens: usize,
    pub cosine_min: f64,
    pub embedder_same_min: f64,
    pub embedder_different_max: f64,
    pub length_ratio_max: f64,
    pub meaning_mass_min: f64,
    pub questions_per_100_tokens_max: usize,
    pub distance_tokens_min: usize,
    pub ready_tokens_max: usize,
    pub undo_depth: usize,
}

impl Default for WriterSettings {
    fn default() -> Self {
        Self {
            seed: 1,
            temperature: 0.8,
            top_k: 0,
            top_p: 0.95,
            min_p: 0.0,
            repeat_penalty: 1.0,
            repeat_last_tokens: 64,
            tokens_max: 400,
            context_tokens_max: 2048,
            detect: true,
            second_mass_min: 0.2,
            top3_mass_min: 0.8,
            candidates_max: 4,
            candidate_mass_min: 0.08,
            phrase_tokens_max: 16,
            wording_tokens_max: 4,
            converged_bits_max: 0.1,
            horizon_tokens: 64,
            cosine_min: 0.999,
            embedder_same_min: 0.97,
            embedder_different_max: 0.4,
            length_ratio_max: 3.0,
            meaning_mass_min: 0.15,
            questions_per_100_tokens_max: 10,
            distance_tokens_min: 4,
            ready_tokens_max: 48,
            undo_depth: 16,
        }
    }
}

impl WriterSettings {
    /// Tokens that may be decoded behind the trunk before its context is renewed.
    pub(super) fn reserve_tokens(&self) -> usize {
        self.phrase_tokens_max + WORD_TOKENS_MAX + self.horizon_tokens + 1
    }

    /// Shortest context in which branches can be rolled out, tokens: the reserve, and as much text before it.
    #[must_use]
    pub fn context_tokens_needed(&self) -> usize {
        2 * self.reserve_tokens()
    }

    /// How banal tokens are drawn.
    #[must_use]
    pub fn sampling(&self) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repeat_penalty: self.repeat_penalty,
            repeat_last_tokens: self.repeat_last_tokens,
        }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`DecodeError::Setting`] with the key, its value and the range.
    pub fn check(&self) -> Result<(), DecodeError> {
        self.sampling().check()?;
        let count = |n: usize| n as f64;
        DecodeError::refuse_outside([
            ("tokens_max", count(self.tokens_max), 1.0, 1e6),
            (
                "context_tokens_max",
                count(self.context_tokens_max),
                64.0,
                32_768.0,
            ),
            ("second_mass_min", self.second_mass_min, 0.01, 0.5),
            ("top3_mass_min", self.top3_mass_min, 0.0, 1.0),
            ("candidates_max", count(self.candidates_max), 2.0, 8.0),
            ("candidate_mass_min", self.candidate_mass_min, 0.001, 0.5),
            (
                "phrase_tokens_max",
                count(self.phrase_tokens_max),
                2.0,
                48.0,
            ),
            (
                "wording_tokens_max",
                count(self.wording_tokens_max),
                0.0,
                16.0,
            ),
            ("converged_bits_max", self.converged_bits_max, 0.0, 1.0),
            ("horizon_tokens", count(self.horizon_tokens), 0.0, 256.0),
            ("cosine_min", self.cosine_min, 0.0, 1.0),
            ("embedder_same_min", self.embedder_same_min, 0.0, 1.0),
            (
                "embedder_different_max",
                self.embedder_different_max,
                -1.0,
                1.0,
            ),
            ("length_ratio_max", self.length_ratio_max, 1.0, 16.0),
            ("meaning_mass_min", self.meaning_mass_min, 0.01, 0.5),
            (
                "questions_per_100_tokens_max",
                count(self.questions_per_100_tokens_max),
                0.0,
                100.0,
            ),
            (
                "distance_tokens_min",
                count(self.distance_tokens_min),
                0.0,
                1000.0,
            ),
            (
                "ready_tokens_max",
                count(self.ready_tokens_max),
                0.0,
                1024.0,
            ),
            ("undo_depth", count(self.undo_depth), 1.0, 1024.0),
        ])
    }
}
