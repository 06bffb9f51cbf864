//! How probable texts are, with gradients: the options of a fork, and plain text.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::super::dense::{Dense, LowRank};
use super::super::error::DecodeError;
use super::super::model::Model;
use super::lesson::Lesson;

/// A model whose matrices are floats, ready to be asked, perhaps with changes in it.
#[derive(Debug)]
pub(super) struct Scorer {
    dense: Dense,
}

impl Scorer {
    /// The model as it is.
    ///
    /// # Errors
    /// [`DecodeError::NoFloats`] for one whose matrices are held in few bits.
    pub(super) fn new(model: &Arc<Model>) -> Result<Self, DecodeError> {
        let dense = Dense::new(Arc::clone(model), &Device::Cpu, DType::F32)?;
        let mut dense = dense.ok_or(DecodeError::NoFloats)?;
        for layer in 0..model.config.layers {
            dense.adapt(layer, [const { Vec::new() }; 4]);
        }
        Ok(Self { dense })
    }

    /// Gives a layer its changes, in the order of [`Dense::adapt`].
    pub(super) fn adapt(&mut self, layer: usize, changes: [Vec<LowRank>; 4]) {
        self.dense.adapt(layer, changes);
    }

    /// Log-probability of each option behind the context, nats: `[options]`. What stands before them is read once for all.
    pub(super) fn options(&mut self, lesson: &Lesson) -> Result<Tensor, DecodeError> {
        self.dense.forget();
        let read = self.dense.rows(&lesson.context)?;
        let state = read.narrow(0, lesson.context.len() - 1, 1)?;
        let held = self.dense.held();
        let mut scores = Vec::with_capacity(lesson.options.len());
        for option in &lesson.options {
            self.dense.hold(&held);
            let states = match option.split_last() {
                Some((_, [])) | None => state.clone(),
                Some((_, fed)) => Tensor::cat(&[&state, &self.dense.rows(fed)?], 0)?,
            };
            scores.push(self.said(&states, option)?.sum_all()?);
        }
        self.dense.forget();
        Ok(Tensor::stack(&scores, 0)?)
    }

    /// Log-probabilities of all tokens behind each token of a text but the last: `[tokens - 1, vocabulary]`.
    pub(super) fn expected(&mut self, text: &[u32]) -> Result<Tensor, DecodeError> {
        self.dense.forget();
        let states = self.dense.rows(&text[..text.len().saturating_sub(1)])?;
        self.dense.forget();
        Ok(self.dense.log_probabilities(&states)?)
    }

    /// Log-probability of each token behind its state.
    fn said(&self, states: &Tensor, tokens: &[u32]) -> Result<Tensor, DecodeError> {
        let expected = self.dense.log_probabilities(states)?;
        Ok(of_tokens(&expected, tokens)?)
    }
}

/// From each row `[rows, vocabulary]` the number of its token: `[rows]`.
pub(super) fn of_tokens(rows: &Tensor, tokens: &[u32]) -> candle_core::Result<Tensor> {
    let tokens = Tensor::new(tokens, rows.device())?.unsqueeze(1)?;
    rows.gather(&tokens, 1)?.squeeze(1)
}
