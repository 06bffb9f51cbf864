//! The words shared by decoder, gate, protocol and ledger: forks, branches, options, choosers.

use serde::{Deserialize, Serialize};

use crate::marker::OptionKind;

/// Most branches a fork can offer.
pub const MAX_BRANCHES: usize = 3;
/// Most options a fork can have: the branches, `other`, `undo`, `go on`, and room for two more fillers.
pub const MAX_OPTIONS: usize = 8;

/// Identity of a fork within a session, from 0, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ForkId(pub u64);

/// One continuation: a readable phrase, already decoded, with its own state kept by the decoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// The phrase as shown, trimmed.
    pub text: String,
    /// Its tokens, from the fork to the phrase boundary.
    pub tokens: Vec<u32>,
    /// Share of the model's mass at the fork, summed over the wordings merged into this meaning; branches of a fork sum to <= 1.
    pub prior: f64,
    /// Log-probability of `tokens` given the text, nats.
    pub log_prob_nats: f64,
}

/// How differently the text goes on behind two branches of a fork, bits, 0 to 1 each, 0 for a branch and itself: Jensen-Shannon divergence
/// of the next token along continuations of either. Places without a branch hold 0.
pub type Divergence = [[f64; MAX_BRANCHES]; MAX_BRANCHES];

/// Where two or three continuations of different meaning compete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fork {
    /// Identity.
    pub id: ForkId,
    /// Tokens of text before the fork.
    pub position: usize,
    /// Text before the fork (its last part, for people).
    pub context: String,
    /// 2 to [`MAX_BRANCHES`] branches, most likely first.
    pub branches: Vec<Branch>,
    /// Why this place was taken for a fork.
    pub origin: ForkOrigin,
}

/// What the model holds at a fork and over each of its branches: what a memory of choices is asked with, and made of.
///
/// All vectors are as wide as the model and come from one model: those of another mean something else.
#[derive(Debug, Clone, PartialEq)]
pub struct ForkStates {
    /// The hidden state at the fork, behind the last norm: what the next token's logits were read from.
    pub fork: Vec<f32>,
    /// Mean of such states over the phrase of each branch, in the order of the branches.
    pub branches: Vec<Vec<f32>>,
}

/// Why there is a fork here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForkOrigin {
    /// The detector found it.
    Detected,
    /// The person called for it, or took the choice made here back.
    Called,
    /// The person asked for other branches at an earlier offer.
    Other,
}

/// Who took a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chooser {
    /// The person.
    Human,
    /// The learned model of this person's choices.
    Imitator,
    /// Plain decoding.
    Model,
}

/// The options of a fork in the order of their item numbers: branches first, then `other`, `undo`, `go on`.
///
/// `undo` is offered only when there is a choice to take back.
#[must_use]
pub fn options_of(branches: usize, can_undo: bool) -> Vec<OptionKind> {
    let mut options = vec![OptionKind::Branch; branches.min(MAX_BRANCHES)];
    options.push(OptionKind::Other);
    if can_undo {
        options.push(OptionKind::Undo);
    }
    options.push(OptionKind::GoOn);
    options
}
