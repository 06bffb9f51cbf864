//! One line of text: its tokens, its text, and the state from which it goes on.

use std::sync::Arc;

use super::error::DecodeError;
use super::forward::Prediction;
use super::kv::Sequence;
use super::text::{TextStream, Tokens, continues_number, continues_word};

/// The trunk, or what a branch adds to it. Tokens and text are the line's own; the sequence reaches back to the beginning.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) sequence: Sequence,
    pub(super) next: Arc<Prediction>,
    pub(super) tokens: Vec<u32>,
    /// Length of `text` behind each token.
    ends: Vec<usize>,
    pub(super) text: String,
    stream: TextStream,
    /// Last character before the line's own text.
    before: Option<char>,
    /// Length of `text` behind which no word goes on: somebody has read it as whole.
    closed_at: Option<usize>,
}

impl Line {
    /// A line that begins with nothing of its own.
    pub(super) fn new(sequence: Sequence, next: Arc<Prediction>) -> Self {
        Self {
            sequence,
            next,
            tokens: Vec::new(),
            ends: Vec::new(),
            text: String::new(),
            stream: TextStream::new(),
            before: None,
            closed_at: None,
        }
    }

    /// A branch: shares the state, has no tokens of its own yet.
    pub(super) fn branch(&mut self) -> Self {
        Self {
            sequence: self.sequence.fork(),
            next: Arc::clone(&self.next),
            tokens: Vec::new(),
            ends: Vec::new(),
            text: String::new(),
            stream: self.stream.clone(),
            before: self.last_char(),
            closed_at: None,
        }
    }

    /// Adds a token the sequence already holds; returns the text it completes.
    pub(super) fn push(&mut self, tokens: &Tokens, token: u32) -> Result<String, DecodeError> {
        let piece = self.stream.push(tokens, token)?;
        self.tokens.push(token);
        self.text.push_str(&piece);
        self.ends.push(self.text.len());
        Ok(piece)
    }

    /// Takes over the state of a branch of this line, and its tokens and text. Copies no keys; returns the state left.
    pub(super) fn adopt(&mut self, branch: &mut Self) -> Sequence {
        let offset = self.text.len();
        self.tokens.extend_from_slice(&branch.tokens);
        self.ends.extend(branch.ends.iter().map(|end| end + offset));
        self.text.push_str(&branch.text);
        self.closed_at = branch.closed_at.map(|at| at + offset);
        self.stream = branch.stream.clone();
        self.next = Arc::clone(&branch.next);
        std::mem::replace(&mut self.sequence, branch.sequence.fork())
    }

    /// Drops tokens and text behind the first `tokens`; the sequence is the caller's affair. Returns the text dropped.
    pub(super) fn cut(&mut self, tokens: usize) -> String {
        self.tokens.truncate(tokens);
        self.ends.truncate(tokens);
        let end = self.ends.last().copied().unwrap_or(0);
        self.closed_at = self.closed_at.filter(|at| *at <= end);
        self.text.split_off(end)
    }

    /// Says that the last word is whole.
    pub(super) fn close(&mut self) {
        self.closed_at = Some(self.text.len());
    }

    /// Whether the last word is whole, whatever comes.
    pub(super) fn is_closed(&self) -> bool {
        self.closed_at == Some(self.text.len())
    }

    /// Whether this piece would go on with the last word or number.
    pub(super) fn goes_on_with(&self, piece: &str) -> bool {
        let mut back = self.text.chars().rev().chain(self.before);
        let (last, next) = (back.next(), piece.chars().next());
        continues_word(last, next) || continues_number(back.next(), last, next)
    }

    /// Where the text stands behind each token.
    pub(super) fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// The last character so far.
    pub(super) fn last_char(&self) -> Option<char> {
        self.text.chars().next_back().or(self.before)
    }

    pub(super) fn stream(&self) -> &TextStream {
        &self.stream
    }

    pub(super) fn set_stream(&mut self, stream: TextStream) {
        self.stream = stream;
    }
}
