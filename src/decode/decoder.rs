//! What the decoder's thread, a replay and `generate` need of whatever writes: one interface, two kinds behind it.
//!
//! It is a trait and not an enum because the two share no state: [`Writer`] computes in this process, `remote::RemoteWriter`
//! (feature `server`) asks a server, and a program built without the feature knows only the first. What they have in common
//! is what the person sees: text, forks, branches that are ready, undo.

use super::cancel::Cancel;
use super::error::DecodeError;
use super::outcome::{Commit, Stats, Step, Thought, Undone};
use super::writer::Writer;
use crate::fork::{Divergence, Fork, ForkId, ForkStates};

/// Writes one text, stops at forks, goes on from the chosen branch. Belongs to one thread.
pub trait Decoder: Send {
    /// Begins a text with a prompt. Forgets the text before, and its choices; identities of forks go on.
    ///
    /// # Errors
    /// [`DecodeError`] when nothing can begin so.
    fn start(&mut self, prompt: &str) -> Result<(), DecodeError>;

    /// Writes on until text comes out, a fork is found, or the text is over.
    ///
    /// # Errors
    /// [`DecodeError`]; the text is as it was.
    fn advance(&mut self, cancel: &Cancel) -> Result<Step, DecodeError>;

    /// Lets the branches of the open fork go on.
    ///
    /// # Errors
    /// [`DecodeError`]; the fork is as it was.
    fn think(&mut self, cancel: &Cancel) -> Result<Thought, DecodeError>;

    /// Takes a branch of the open fork, with all that was decoded behind it. Computes nothing, waits for nothing.
    ///
    /// # Errors
    /// [`DecodeError::NotOpen`] or [`DecodeError::NoSuchBranch`].
    fn commit(&mut self, fork: ForkId, branch: usize) -> Result<Commit, DecodeError>;

    /// Lets the model choose: a branch is drawn by its prior, with the seed.
    ///
    /// # Errors
    /// [`DecodeError::NotOpen`].
    fn go_on(&mut self, fork: ForkId) -> Result<Commit, DecodeError>;

    /// Takes the last choice back and offers its fork again; `None` when there is none to take back.
    ///
    /// # Errors
    /// [`DecodeError::NotStarted`].
    fn undo(&mut self) -> Result<Option<Undone>, DecodeError>;

    /// Offers different branches at the open fork; `None` when nothing else is there, then the open one stays.
    ///
    /// # Errors
    /// [`DecodeError`]; the open fork stays.
    fn other(&mut self, fork: ForkId) -> Result<Option<Fork>, DecodeError>;

    /// Makes a fork some words before the end of the text; `None` when there is only one way on, then nothing has changed.
    ///
    /// # Errors
    /// [`DecodeError`]; nothing has changed.
    fn call(&mut self, words_back: usize) -> Result<Option<Fork>, DecodeError>;

    /// As [`Decoder::call`], behind the first `position` tokens of the text.
    ///
    /// # Errors
    /// As [`Decoder::call`].
    fn call_behind(&mut self, position: usize) -> Result<Option<Fork>, DecodeError>;

    /// Leaves the open fork undecided: its branches are dropped, the text stays, the place is looked at again.
    fn drop_fork(&mut self);

    /// The text so far, the prompt included; branches of an open fork are no part of it.
    fn text(&self) -> &str;

    /// Number of tokens so far.
    fn position(&self) -> usize;

    /// The tokens so far, those of the prompt included. None behind a server, whose tokens are texts.
    fn tokens(&self) -> &[u32] {
        &[]
    }

    /// Whether there is a choice that [`Decoder::undo`] can take back.
    fn can_undo(&self) -> bool;

    /// The hidden states at the open fork and over its branches. `None` without a fork, and behind a server, which tells none.
    fn states(&self) -> Option<ForkStates> {
        None
    }

    /// How differently the text goes on behind the branches of the open fork. `None` where it was not measured, and behind a server.
    fn divergence(&self) -> Option<Divergence> {
        None
    }

    /// Tokens decoded behind the phrase of each branch of the open fork.
    fn ready_tokens(&self) -> Vec<usize>;

    /// What has been done so far.
    fn stats(&self) -> Stats;

    /// What the person should be told since the last call: a server that is slow, an answer asked for twice.
    fn remarks(&mut self) -> Vec<String> {
        Vec::new()
    }
}

impl Decoder for Writer {
    fn start(&mut self, prompt: &str) -> Result<(), DecodeError> {
        Self::start(self, prompt)
    }

    fn advance(&mut self, cancel: &Cancel) -> Result<Step, DecodeError> {
        Self::advance(self, cancel)
    }

    fn think(&mut self, cancel: &Cancel) -> Result<Thought, DecodeError> {
        Self::think(self, cancel)
    }

    fn commit(&mut self, fork: ForkId, branch: usize) -> Result<Commit, DecodeError> {
        Self::commit(self, fork, branch)
    }

    fn go_on(&mut self, fork: ForkId) -> Result<Commit, DecodeError> {
        Self::go_on(self, fork)
    }

    fn undo(&mut self) -> Result<Option<Undone>, DecodeError> {
        Self::undo(self)
    }

    fn other(&mut self, fork: ForkId) -> Result<Option<Fork>, DecodeError> {
        Self::other(self, fork)
    }

    fn call(&mut self, words_back: usize) -> Result<Option<Fork>, DecodeError> {
        Self::call(self, words_back)
    }

    fn call_behind(&mut self, position: usize) -> Result<Option<Fork>, DecodeError> {
        Self::call_behind(self, position)
    }

    fn drop_fork(&mut self) {
        Self::drop_fork(self);
    }

    fn text(&self) -> &str {
        Self::text(self)
    }

    fn position(&self) -> usize {
        Self::position(self)
    }

    fn tokens(&self) -> &[u32] {
        Self::tokens(self)
    }

    fn can_undo(&self) -> bool {
        Self::can_undo(self)
    }

    fn states(&self) -> Option<ForkStates> {
        Self::states(self)
    }

    fn divergence(&self) -> Option<Divergence> {
        Self::divergence(self)
    }

    fn ready_tokens(&self) -> Vec<usize> {
        Self::ready_tokens(self)
    }

    fn stats(&self) -> Stats {
        Self::stats(self)
    }
}
