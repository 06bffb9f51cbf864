//! One line of text in a model's memory: tokens go in, logits come out, tokens are taken back from the end.

use std::sync::Arc;

use super::cancel::Cancel;
use super::error::DecodeError;
use super::forward::{Engine, Prediction};
use super::kv::Sequence;
use super::model::Model;
use super::writer::finish;

/// Computes one line of text. Who computes it, and on what machine, is its own affair.
pub(super) trait Runner: std::fmt::Debug + Send {
    /// Forgets all tokens behind the first `tokens`. Logits are those of the line as it was until the next [`Runner::read`].
    fn cut(&mut self, tokens: usize);

    /// Adds tokens, at least one. After an error the line holds some of them: cut it back.
    fn read(&mut self, tokens: &[u32]) -> Result<(), DecodeError>;

    /// Logits of what follows; all finite; empty before the first token.
    fn logits(&self) -> &[f32];
}

/// Our own kernels, on the processor.
#[derive(Debug)]
pub(super) struct Processor {
    engine: Engine,
    line: Sequence,
    next: Option<Arc<Prediction>>,
}

impl Processor {
    pub(super) fn new(model: Arc<Model>) -> Self {
        let line = Sequence::new(model.kv_shape());
        Self {
            engine: Engine::new(model),
            line,
            next: None,
        }
    }
}

impl Runner for Processor {
    fn cut(&mut self, tokens: usize) {
        if tokens < self.line.len() {
            self.line.seal();
            let kept = self.line.view(tokens);
            self.engine
                .pool
                .recycle(std::mem::replace(&mut self.line, kept));
        }
    }

    fn read(&mut self, tokens: &[u32]) -> Result<(), DecodeError> {
        let position = self.line.len();
        let read = self
            .engine
            .read(&mut self.line, tokens, position, &Cancel::new());
        self.next = Some(finish(read)?);
        Ok(())
    }

    fn logits(&self) -> &[f32] {
        self.next.as_ref().map_or(&[], |next| &next.logits)
    }
}
