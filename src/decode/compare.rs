//! What each judge of meanings says of two phrases, as a number: for benchmarks, reports and tuning.

use std::sync::Arc;

use super::cancel::Cancel;
use super::distribution::{Candidate, Place};
use super::error::{DecodeError, Interrupt};
use super::forward::{Feed, Wanted};
use super::glance::promising;
use super::meaning::{Pair, embedded};
use super::rollout::{Manner, Rollout, roll_out};
use super::survey::Survey;
use super::wording::{contradict, reads_the_same};
use super::writer::finish;

/// What the judges say of two phrases behind one text.
#[derive(Debug, Clone, PartialEq)]
pub struct Likeness {
    /// The phrases, by their number.
    pub pair: (usize, usize),
    /// First tokens.
    pub heads: (u32, u32),
    /// The phrases as shown.
    pub phrases: (String, String),
    /// Whether they read the same but for case, punctuation, contractions and numbers in words or digits.
    pub reads_the_same: bool,
    /// Whether one denies and the other does not, or both have numbers and these differ.
    pub contradict: bool,
    /// Cosine of the pooled hidden states.
    pub pooled_cosine: f64,
    /// Largest divergence of what the model expects behind the difference, at the best place of `settings`, bits; 1 where there is none.
    pub consequence_bits: f64,
    /// Where there is a model of sentences, its cosine of the phrases alone.
    pub embedder_alone: Option<f64>,
    /// And of the phrases behind their sentence so far.
    pub embedder_in_sentence: Option<f64>,
}

impl Survey {
    /// What the judges say of each two candidates at this place; empty where the cheap test sees none.
    ///
    /// # Errors
    /// [`DecodeError::NonFinite`].
    pub fn likenesses(&mut self) -> Result<Vec<Likeness>, DecodeError> {
        let heads = promising(&Arc::clone(self.engine.model()), &self.line, &self.settings)?;
        if heads.is_empty() {
            return Ok(Vec::new());
        }
        let rollouts = finish(roll_out(
            &mut self.engine,
            &mut self.line,
            &heads,
            self.settings.phrase_tokens_max,
            Manner::Likeliest,
            &Cancel::new(),
        ))?;
        finish(self.judge(rollouts))
    }

    /// What the judges say of each two of these phrases here. Each is read as it stands, without a space before it.
    ///
    /// # Errors
    /// [`DecodeError::Tokenizer`], [`DecodeError::NonFinite`]; [`DecodeError::EmptyPrompt`] for a phrase without tokens.
    pub fn likenesses_of(&mut self, phrases: &[&str]) -> Result<Vec<Likeness>, DecodeError> {
        let rollouts = phrases
            .iter()
            .map(|phrase| finish(self.read_out(phrase)))
            .collect::<Result<_, _>>()?;
        finish(self.judge(rollouts))
    }

    fn read_out(&mut self, phrase: &str) -> Result<Rollout, Interrupt> {
        let model = Arc::clone(self.engine.model());
        let tokens = model.tokens().encode_bare(phrase)?;
        let position = self.line.tokens.len();
        let Some(&token) = tokens.first() else {
            return Err(DecodeError::EmptyPrompt.into());
        };
        let mut rollout = Rollout::of(self.line.branch(), Candidate { token, mass: 0.0 });
        let feed = Feed {
            sequence: &mut rollout.line.sequence,
            tokens: &tokens,
            wanted: Wanted::All,
        };
        rollout.predictions = self
            .engine
            .forward(&mut [feed], position, &Cancel::new())?
            .to_vec();
        for token in tokens {
            rollout.line.push(model.tokens(), token)?;
        }
        if let Some(last) = rollout.predictions.last() {
            rollout.line.next = Arc::clone(last);
        }
        Ok(rollout)
    }

    fn judge(&mut self, mut rollouts: Vec<Rollout>) -> Result<Vec<Likeness>, Interrupt> {
        let vectors = embedded(&self.engine, &self.line.text, &rollouts)?;
        let place = Place {
            seed: self.settings.seed,
            position: self.line.tokens.len(),
            choices: 0,
        };
        let mut probes: Vec<_> = rollouts.iter().map(|_| None).collect();
        for rollout in &mut rollouts {
            rollout.line.sequence.seal();
        }
        let mut out = Vec::new();
        for a in 0..rollouts.len() {
            for b in a + 1..rollouts.len() {
                let (x, y) = (&rollouts[a], &rollouts[b]); // both below the number of roll-outs
                let first = |r: &Rollout| r.line.tokens.first().copied().unwrap_or_default();
                let mut likeness = Likeness {
                    pair: (a, b),
                    heads: (first(x), first(y)),
                    phrases: (x.phrase().into(), y.phrase().into()),
                    reads_the_same: reads_the_same(x.phrase(), y.phrase()),
                    contradict: contradict(x.phrase(), y.phrase()),
                    pooled_cosine: x.likeness(y),
                    consequence_bits: 1.0,
                    embedder_alone: None,
                    embedder_in_sentence: None,
                };
                let mut pair = Pair {
                    engine: &mut self.engine,
                    rollouts: &mut rollouts,
                    vectors: &vectors,
                    settings: &self.settings,
                    place,
                    cancel: &Cancel::new(),
                    a,
                    b,
                };
                let cosines = pair.cosines();
                likeness.embedder_alone = cosines.map(|cosines| cosines.alone);
                likeness.embedder_in_sentence = cosines.map(|cosines| cosines.in_sentence);
                likeness.consequence_bits = pair.least_consequence_bits(&mut probes)?;
                out.push(likeness);
            }
        }
        for rollout in rollouts {
            self.engine.pool.recycle(rollout.line.sequence);
        }
        Ok(out)
    }
}
