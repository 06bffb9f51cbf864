//! What the control plane asks of the decoder, and what the decoder tells it.

use std::sync::Arc;

use crate::decode::Stats;
use crate::fork::{Divergence, Fork, ForkId, ForkStates};
use crate::marker::OptionKind;

/// What the control plane asks of the decoder.
#[derive(Debug, Clone)]
pub enum Ask {
    /// The person is asked: these are the options of the open fork, by item number; the choice comes through the cell.
    Options {
        /// The fork.
        fork: ForkId,
        /// Number of this question: a fork that is asked again keeps its id and gets a new question.
        question: ForkId,
        /// What each item means.
        kinds: Vec<OptionKind>,
    },
    /// The model takes the fork: it was declined, aborted or not asked.
    GoOn(ForkId),
    /// Offer other branches instead.
    Other(ForkId),
    /// The imitator takes this branch of the fork: the person was not asked.
    Imitate {
        /// The fork.
        fork: ForkId,
        /// Which, from 0.
        branch: usize,
    },
    /// The person wants a fork here, or some words back; an open fork gives way to one some words back.
    Call {
        /// Words back from the end of the text.
        words_back: u32,
    },
    /// The person wants the last choice back, though no fork is open.
    Undo,
    /// Write no further until [`Ask::Resume`].
    Pause,
    /// Write on.
    Resume,
}

/// What the decoder tells the control plane.
#[derive(Debug, Clone)]
pub enum Told {
    /// Text was added that needed no choice.
    Text {
        /// The piece.
        piece: String,
        /// Tokens of the present text now.
        position: usize,
    },
    /// A fork was found, called for, or offered anew; the decoder waits.
    Fork {
        /// The fork.
        fork: Fork,
        /// Whether a choice could be taken back here.
        can_undo: bool,
        /// What the model holds here; `None` behind a server.
        states: Option<Arc<ForkStates>>,
        /// How differently the text goes on behind its branches; `None` where that was not measured.
        divergence: Option<Divergence>,
    },
    /// A fork was taken.
    Taken {
        /// The fork.
        fork: ForkId,
        /// How.
        how: Taken,
        /// Text added; the whole of the present text, prompt included, when `replaced`.
        text: String,
        /// Whether `text` replaces the present text.
        replaced: bool,
        /// Tokens of the present text now.
        position: usize,
        /// Tokens that were ready at once.
        ready_tokens: usize,
        /// When the decoder stood on the branch, monotonic nanoseconds.
        committed_ns: u64,
    },
    /// Nothing other could be offered at this fork: it stays as it is.
    NothingOther(ForkId),
    /// A call or an undo at this place could not be followed.
    Refused {
        /// What was asked.
        asked: &'static str,
    },
    /// A call was followed at this token position; the text was cut back to `text`.
    Called {
        /// Words back.
        words_back: u32,
        /// Number of the text, from 0.
        text_number: u64,
        /// Tokens of text before the call.
        position: usize,
        /// The whole of the present text after it, prompt included.
        text: String,
    },
    /// Something about the server that has the model: it is slow, an answer was asked for again.
    Remark(String),
    /// The server that has the model is gone: an open fork is dropped, the text stays, and the server is asked again.
    Lost(String),
    /// The server answers again; the text goes on.
    Back,
    /// A text begins: the first one before all else, each other as soon as the one before is over.
    Begins {
        /// Number of the text, from 0.
        number: u64,
        /// What it begins with, as the model reads it: shown, but not written.
        prompt: String,
        /// Tokens of that.
        position: usize,
    },
    /// The decoder failed; it has stopped.
    Failed(String),
}

/// Where the decoder stood when it was stopped.
#[derive(Debug, Clone)]
pub struct Stopped {
    /// Number of the present text, from 0.
    pub text_number: u64,
    /// Tokens of the present text.
    pub position: usize,
    /// What the present text's writer did.
    pub stats: Stats,
    /// Forward passes over all texts.
    pub forward_steps: u64,
    /// Commits that came in the middle of a step, which was broken off.
    pub interrupted: u64,
}

/// How a fork was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The person took this branch.
    Branch(usize),
    /// The imitator took this branch.
    ImitatorBranch(usize),
    /// The model took this branch.
    ModelBranch(usize),
    /// The last choice was taken back.
    Undone,
}
