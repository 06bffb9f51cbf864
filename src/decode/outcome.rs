//! What the writer answers: steps, thoughts, commits, and what it has done so far.

use serde::Serialize;

use crate::fork::Fork;

/// What [`Writer::advance`](super::Writer::advance) came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The text grew by this.
    Text(String),
    /// There is a fork: nothing goes on before it is decided.
    Fork(Fork),
    /// The text is over.
    End(End),
    /// What was asked of a server is on its way; nothing has changed.
    Waiting,
    /// [`Cancel`](super::Cancel) was requested; nothing has changed.
    Cancelled,
}

/// Why a text is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The model ended it.
    Text,
    /// `tokens_max` is reached.
    Tokens,
}

/// What [`Writer::think`](super::Writer::think) came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thought {
    /// Branches went on by one token each.
    Further {
        /// How many branches did.
        branches: usize,
    },
    /// All branches are as far as they may go: at their end, before a next fork, or at `ready_tokens_max`.
    Ready,
    /// [`Cancel`](super::Cancel) was requested; nothing has changed.
    Cancelled,
}

/// What a commit added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The text added: the phrase, and all that was decoded behind it.
    pub text: String,
    /// Tokens of it that were decoded while the person was choosing.
    pub ready_tokens: usize,
    /// The branch taken, from 0.
    pub branch: usize,
}

/// What an undo took back.
#[derive(Debug, Clone, PartialEq)]
pub struct Undone {
    /// The text taken back.
    pub text: String,
    /// The fork as it is offered again, under a new identity.
    pub fork: Fork,
}

/// What the writer has done since it was made.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Tokens in the text, the prompt's included.
    pub tokens: usize,
    /// Forward passes; requests, where a server makes them.
    pub forward_steps: u64,
    /// Rows computed in them, over all branches; tokens received, where a server does.
    pub forward_rows: u64,
    /// Places examined by roll-outs.
    pub examined: u64,
    /// Forks offered.
    pub forks: u64,
    /// Seconds spent in [`Writer::advance`](super::Writer::advance).
    pub advance_s: f64,
    /// Of those, seconds spent looking for forks.
    pub detector_s: f64,
    /// Bytes of keys and values that each branch of the open fork holds for itself.
    pub branch_bytes: Vec<usize>,
}

impl Stats {
    /// Share of the time of `advance` that went into looking for forks, 0 to 1.
    #[must_use]
    pub fn detector_share(&self) -> f64 {
        if self.advance_s > 0.0 {
            self.detector_s / self.advance_s
        } else {
            0.0
        }
    }
}
