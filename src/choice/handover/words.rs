//! What goes into the handover and what comes out of it.

use serde::{Deserialize, Serialize};

use crate::choice::bound::Tally;
use crate::choice::imitator::{Answer, Guess};
use crate::fork::Divergence;

/// What is assumed between two branches whose divergence was not measured: that they part entirely.
const DIVERGENCE_BITS: f64 = 1.0;

/// How much is left to the imitator. Shown to the person and the operator, and kept in the ledger with every fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Autonomy {
    /// Nothing: it is switched off, or the person wants to be asked.
    Asks,
    /// Nothing yet: it guesses in silence while the person is asked.
    Watches,
    /// What it is sure of; one such fork in five or more is asked all the same.
    OftenChecked,
    /// What it is sure of; fewer are asked.
    SeldomChecked,
}

impl Autonomy {
    /// The level in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Asks => "asks",
            Self::Watches => "watches and learns",
            Self::OftenChecked => "chooses, often checked",
            Self::SeldomChecked => "chooses, seldom checked",
        }
    }
}

/// A fork that the detector found, while a person is present.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Number of the question in the session, never used twice.
    pub question: u64,
    /// When, seconds on a clock that does not run backwards, as it is recorded.
    pub at_s: f64,
    /// What the imitator expects; none without memory or branches.
    pub guess: Option<Guess>,
    /// How differently the text goes on behind two branches, bits, 0 to 1 each; none where it was not measured.
    /// Jensen-Shannon divergence as the decoder ranks by (`decode/rank.rs`).
    pub divergence_bits: Option<Divergence>,
}

impl Place {
    /// What a question is worth: the mean divergence between the imitator's best branch and what the person would choose, bits.
    /// `other` parts from everything by a whole bit.
    #[must_use]
    pub fn value_bits(&self) -> f64 {
        let Some(guess) = &self.guess else {
            return DIVERGENCE_BITS;
        };
        let (best, _) = guess.best();
        let apart = |option: usize| match &self.divergence_bits {
            Some(bits) => bits
                .get(best)
                .and_then(|row| row.get(option))
                .copied()
                .unwrap_or(DIVERGENCE_BITS),
            None => DIVERGENCE_BITS,
        };
        let lost = guess
            .probabilities()
            .iter()
            .enumerate()
            .filter(|(option, _)| *option != best);
        let branches = guess.probabilities().len() - 1;
        lost.map(|(option, p)| {
            p * if option < branches {
                apart(option)
            } else {
                DIVERGENCE_BITS
            }
        })
        .sum()
    }
}

/// What is done at a fork, and why.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    /// The person is asked.
    Ask(Reason),
    /// The imitator takes a branch.
    Imitate {
        /// Which.
        branch: usize,
        /// With what probability the person would have.
        probability: f64,
        /// At which rate such a fork is audited now.
        audit_rate: f64,
    },
    /// The model goes on.
    LetModel {
        /// Why nobody else chooses.
        why: Unasked,
        /// The branch that the person would most probably take, by the imitator. A guess for want of a question, to be taken
        /// instead of the model's likeliest branch where that is wished; no claim covers it.
        leaning: Option<usize>,
    },
}

/// Why the person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The imitator is off, or has nothing to go by.
    NoGuess,
    /// The person wants to be asked.
    Wished,
    /// The imitator is not sure.
    NotSure,
    /// It is sure, and has still to be shown to agree.
    NotShown,
    /// It is sure, but more forks than are allowed might have gone another way.
    NotSafe,
    /// It is sure and would choose: asked all the same, by a coin.
    Audit,
}

/// Why the person is not asked, although the imitator does not choose either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unasked {
    /// The questions of the last minute are used up.
    BudgetSpent,
    /// What could be lost here is less than what questions cost now.
    NotWorthIt,
    /// One of both, as the budget is lowered for a tired person: rested, it would have been asked.
    Tired,
}

/// How a question ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The person answered.
    Answered(Answer),
    /// The person left the choice to the model: whatever is taken is what it chose.
    LeftToModel,
    /// It did not answer, or a doubt closed the gate, or the place was left.
    NoAnswer,
    /// The protocol refused it: nothing was asked. An audit cannot be refused; it counts as one without an answer.
    Refused,
}

/// Answers where the imitator was sure, since it was last set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shown {
    /// How many.
    pub answers: u32,
    /// How many of them agreed.
    pub agreed: u32,
}

/// What one session leaves to the next of the same person, with the same model, adapter and imitator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    /// What was shown.
    pub shown: Shown,
    /// The account. Empty, the claim is about the next session alone; as it was left, about all of them together.
    pub tally: Tally,
}

/// How things stand, for the status line, the summary and the report.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The level.
    pub autonomy: Autonomy,
    /// Lower bound on the mean agreement where the imitator was sure, since it was last set back.
    pub agreement_lower: f64,
    /// What it rests on.
    pub shown: Shown,
    /// Forks the imitator took, audits, caught ones, questions.
    pub tally: Tally,
    /// Forks that are counted so far.
    pub counted: u32,
    /// At most so many forks can have gone another way.
    pub hidden_max: u32,
    /// So many may have.
    pub allowed: u32,
    /// How near the alarm is; 1 sounds.
    pub alarm: f64,
    /// Price of a question, bits.
    pub price_bits: f64,
}
