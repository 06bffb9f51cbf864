//! The fork detector along a given text: for benchmarks, reports and tuning.

use std::sync::Arc;

use super::cancel::Cancel;
use super::distribution::{Place, probabilities};
use super::error::DecodeError;
use super::forward::{CHUNK_ROWS, Engine, Feed, Wanted};
use super::glance::Glance;
use super::kv::Sequence;
use super::line::Line;
use super::model::Model;
use super::offer::examine;
use super::settings::WriterSettings;
use super::writer::finish;
use crate::fork::Branch;

/// Walks along tokens that are given and says at each place what the detector would say there. Budgets do not apply.
#[derive(Debug)]
pub struct Survey {
    pub(super) engine: Engine,
    pub(super) settings: WriterSettings,
    pub(super) line: Line,
}

impl Survey {
    /// Begins behind these tokens, at least one.
    ///
    /// # Errors
    /// [`DecodeError::EmptyPrompt`] without tokens; otherwise as [`Writer::start`](super::Writer::start).
    pub fn start(
        model: Arc<Model>,
        settings: WriterSettings,
        tokens: &[u32],
    ) -> Result<Self, DecodeError> {
        settings.check()?;
        if tokens.is_empty() {
            return Err(DecodeError::EmptyPrompt);
        }
        let mut sequence = Sequence::new(model.kv_shape());
        let mut engine = Engine::new(Arc::clone(&model));
        let next = finish(engine.read(&mut sequence, tokens, 0, &Cancel::new()))?;
        let mut line = Line::new(sequence, next);
        for &token in tokens {
            line.push(model.tokens(), token)?;
        }
        Ok(Self {
            engine,
            settings,
            line,
        })
    }

    /// Goes on by one token.
    ///
    /// # Errors
    /// [`DecodeError::UnknownToken`], [`DecodeError::NonFinite`].
    pub fn push(&mut self, token: u32) -> Result<(), DecodeError> {
        let position = self.line.tokens.len();
        let feed = Feed {
            sequence: &mut self.line.sequence,
            tokens: &[token],
            wanted: Wanted::Last,
        };
        let predictions = finish(self.engine.forward(&mut [feed], position, &Cancel::new()))?;
        self.line.next = predictions
            .first()
            .cloned()
            .ok_or(DecodeError::NoCandidates { position })?;
        self.line.push(self.engine.model().tokens(), token)?;
        Ok(())
    }

    /// Probabilities of the next token.
    #[must_use]
    pub fn probabilities(&self) -> Vec<f64> {
        probabilities(&self.line.next.logits)
    }

    /// Logits of the next token.
    #[must_use]
    pub fn logits(&self) -> &[f32] {
        &self.line.next.logits
    }

    /// What the cheap test sees here.
    #[must_use]
    pub fn glance(&self) -> Glance {
        Glance::at(&self.probabilities())
    }

    /// The branches a fork here would have; empty where there is none.
    ///
    /// # Errors
    /// [`DecodeError::NonFinite`].
    pub fn branches(&mut self) -> Result<Vec<Branch>, DecodeError> {
        let place = Place {
            seed: self.settings.seed,
            position: self.line.tokens.len(),
            choices: 0,
        };
        let found = finish(examine(
            &mut self.engine,
            &mut self.line,
            &self.settings,
            place,
            &Cancel::new(),
        ))?;
        let Some(found) = found else {
            return Ok(Vec::new());
        };
        found
            .ahead
            .into_iter()
            .for_each(|ahead| self.engine.pool.recycle(ahead.line.sequence));
        Ok(found.branches)
    }
}

impl Model {
    /// Logits behind every one of the tokens, `[tokens][vocabulary]`, row by row, computed from nothing.
    ///
    /// # Errors
    /// [`DecodeError::EmptyPrompt`] without tokens, [`DecodeError::ContextTooShort`], [`DecodeError::UnknownToken`],
    /// [`DecodeError::NonFinite`].
    pub fn logits(self: &Arc<Self>, tokens: &[u32]) -> Result<Vec<f32>, DecodeError> {
        let found_tokens = self.config().context_tokens;
        if tokens.len() > found_tokens {
            return Err(DecodeError::ContextTooShort {
                found_tokens,
                needed_tokens: tokens.len(),
            });
        }
        if tokens.is_empty() {
            return Err(DecodeError::EmptyPrompt);
        }
        let mut engine = Engine::new(Arc::clone(self));
        let mut sequence = Sequence::new(self.kv_shape());
        let mut out = Vec::with_capacity(tokens.len() * self.config().vocabulary);
        for (number, chunk) in tokens.chunks(CHUNK_ROWS).enumerate() {
            let feed = Feed {
                sequence: &mut sequence,
                tokens: chunk,
                wanted: Wanted::All,
            };
            for prediction in
                finish(engine.forward(&mut [feed], number * CHUNK_ROWS, &Cancel::new()))?
            {
                out.extend_from_slice(&prediction.logits);
            }
        }
        Ok(out)
    }
}
