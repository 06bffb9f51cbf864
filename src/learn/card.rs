//! What is written on an adapter: from what it was made, with what, and what came of it.

use serde::{Deserialize, Serialize};

use crate::decode::{Comparison, LearnSettings};

/// A choice that an adapter learned from or was tried on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaughtBy {
    /// The session.
    pub session: String,
    /// Number of the fork in it.
    pub fork: u64,
}

/// An adapter's card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Of this file.
    pub format_version: u32,
    /// Number on the shelf, from 1.
    pub version: u32,
    /// The version that was in use when it was made. It learned beside the bare model all the same: no version stands on another.
    pub parent: Option<u32>,
    /// When, UTC.
    pub made_utc: String,
    /// The program's version.
    pub razvilka: String,
    /// The model it belongs to, for people.
    pub base: String,
    /// Digest of that model: no other takes it.
    pub base_sha256: String,
    /// How it learned.
    pub settings: LearnSettings,
    /// Every choice it has seen, the held-out ones included.
    pub choices: Vec<TaughtBy>,
    /// How many of them it learned from.
    pub learned_from: usize,
    /// Steps done, and those that were meant.
    pub steps: [usize; 2],
    /// What it changes on held-out choices and plain text.
    pub held_out: Comparison,
    /// Whether it may be used: better on held-out choices by more than a standard error, and the perplexity of plain text within its bound.
    pub is_better: bool,
    /// The bound on that perplexity: share by which it may rise.
    pub plain_worse_max: f64,
}

impl Card {
    /// The only version of the format there is.
    pub const FORMAT: u32 = 1;

    /// One line for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Comparison { before, after, .. } = self.held_out;
        format!(
            "version {}, {}, {} choices: log-loss of {} held-out ones {:.3} > {:.3} nats (gain {:.3} +- {:.3}), right {} > {}, perplexity of plain text x {:.4}{}",
            self.version,
            self.made_utc,
            self.learned_from,
            after.choices,
            before.log_loss_nats,
            after.log_loss_nats,
            self.held_out.gain_nats,
            self.held_out.gain_se_nats,
            before.right,
            after.right,
            self.held_out.perplexity_ratio(),
            if self.is_better {
                ""
            } else {
                "; not better, not used"
            },
        )
    }
}
