//! Bare steps of a model: tokens in, logits out. For measurements and for comparison with other programs; a person's text
//! is written by the [`super::Writer`].

use std::sync::Arc;

use super::cancel::Cancel;
use super::error::DecodeError;
use super::forward::{Engine, Feed, Prediction, Wanted};
use super::join::Joiner;
use super::kv::Sequence;
use super::model::Model;
use super::writer::finish;

/// A text, or several branches behind one text, fed token by token.
///
/// ```
/// use std::sync::Arc;
/// use razvilka::decode::{Model, Steps};
///
/// let mut steps = Steps::new(Arc::new(Model::embedded()?));
/// steps.read(&[1, 2, 3])?;
/// steps.fork(2);
/// steps.step(&[4, 5])?;
/// assert_ne!(steps.logits(0), steps.logits(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Steps {
    engine: Engine,
    lines: Vec<Sequence>,
    said: Vec<Arc<Prediction>>,
    /// Nobody cancels these steps.
    never: Cancel,
}

impl Steps {
    /// An empty text.
    #[must_use]
    pub fn new(model: Arc<Model>) -> Self {
        let engine = Engine::new(model);
        let line = Sequence::new(engine.model().kv_shape());
        Self {
            engine,
            lines: vec![line],
            said: Vec::new(),
            never: Cancel::new(),
        }
    }

    /// Forgets the text and its branches.
    pub fn clear(&mut self) {
        self.said.clear();
        for line in self.lines.drain(..) {
            self.engine.pool.recycle(line);
        }
        let line = Sequence::new(self.engine.model().kv_shape());
        self.lines.push(line);
    }

    /// Appends tokens to the first line.
    ///
    /// # Errors
    /// [`DecodeError`]: a token that the model does not have, or logits that are not finite.
    pub fn read(&mut self, tokens: &[u32]) -> Result<(), DecodeError> {
        let line = &mut self.lines[0]; // there is one always
        let at = line.len();
        let said = finish(self.engine.read(line, tokens, at, &self.never))?;
        self.said.clear();
        self.said.push(said);
        Ok(())
    }

    /// Makes `branches` lines that share the first line's text; other branches are dropped.
    pub fn fork(&mut self, branches: usize) {
        for line in self.lines.drain(1..) {
            self.engine.pool.recycle(line);
        }
        for _ in 1..branches {
            let branch = self.lines[0].fork(); // there is one always
            self.lines.push(branch);
        }
        let first = self.said.first().cloned();
        self.said.clear();
        self.said
            .extend(first.iter().cycle().take(branches).cloned());
    }

    /// Goes on with one line and drops the others. Out of range, nothing happens.
    pub fn commit(&mut self, line: usize) {
        if line >= self.lines.len() {
            return;
        }
        self.lines.swap(0, line);
        for line in self.lines.drain(1..) {
            self.engine.pool.recycle(line);
        }
        if line < self.said.len() {
            self.said.swap(0, line);
            self.said.truncate(1);
        }
    }

    /// Joins the pieces that forks have cut the first line into; those who share them follow. What a [`Writer`](super::Writer) does a little of
    /// with every step is done here at once. Logits stay the same in every bit.
    pub fn join(&mut self) {
        let mut joiner = Joiner::default();
        let mut left = self.lines[0].len(); // there is one always
        while left > 0 {
            left -= 1;
            if let Some(joint) = joiner.step(&self.lines[0]) {
                self.lines.iter_mut().for_each(|line| joint.relink(line));
                self.engine.pool.recycle_pieces(joint.into_pieces());
            }
        }
    }

    /// Appends one token to each line, all in one pass.
    ///
    /// # Errors
    /// As [`Self::read`].
    ///
    /// # Panics
    /// When there is not one token for each line.
    pub fn step(&mut self, tokens: &[u32]) -> Result<(), DecodeError> {
        assert_eq!(tokens.len(), self.lines.len(), "one token for each line");
        self.said.clear();
        let at = self.lines[0].len(); // there is one always
        if let ([line], [token]) = (&mut self.lines[..], tokens) {
            // Without a list on the heap.
            let said = finish(
                self.engine
                    .forward(&mut [feed(line, token)], at, &self.never),
            )?;
            self.said.extend_from_slice(said);
        } else {
            let mut feeds: Vec<_> = self
                .lines
                .iter_mut()
                .zip(tokens)
                .map(|(line, token)| feed(line, token))
                .collect();
            let said = finish(self.engine.forward(&mut feeds, at, &self.never))?;
            self.said.extend_from_slice(said);
        }
        Ok(())
    }

    /// Logits of what follows a line; empty before its first token.
    #[must_use]
    pub fn logits(&self, line: usize) -> &[f32] {
        self.said.get(line).map_or(&[], |said| &said.logits)
    }
}

fn feed<'a>(sequence: &'a mut Sequence, token: &'a u32) -> Feed<'a> {
    Feed {
        sequence,
        tokens: std::slice::from_ref(token),
        wanted: Wanted::Last,
    }
}
