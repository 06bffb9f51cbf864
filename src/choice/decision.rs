//! The words of a decision: who chooses at a fork and why, and what follows.

use serde::{Deserialize, Serialize};

use super::handover::{Course, Reason, Unasked};
use super::protocol::Protocol;
use crate::fork::Chooser;
use crate::gate::{AbortReason, TimeoutPolicy};

/// Whether a person can answer, and be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// At least one source is live.
    Present,
    /// No source is.
    Nobody,
    /// A stream's clock is doubted, or those of two streams disagree.
    ClockDoubted,
    /// EEG alone can choose, and too few of its channels are good.
    PoorSignal,
}

impl Presence {
    /// The presence that a decision tells of; what else it rests on leaves the person present.
    #[must_use]
    pub const fn of(decision: &Decision) -> Self {
        match decision {
            Decision::LetModel(ModelReason::NobodyPresent) => Self::Nobody,
            Decision::LetModel(ModelReason::ClockDoubted) => Self::ClockDoubted,
            Decision::LetModel(ModelReason::PoorSignal) => Self::PoorSignal,
            Decision::LetModel(_) | Decision::Imitate { .. } | Decision::Ask(_) => Self::Present,
        }
    }
}

/// Who chooses at a fork.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The person: open the gate.
    Ask(AskReason),
    /// The imitator takes a branch.
    Imitate {
        /// Which, from 0.
        branch: usize,
        /// With what probability the person would have, by the imitator.
        probability: f64,
        /// At which rate such a fork is asked all the same.
        audit_rate: f64,
    },
    /// The model.
    LetModel(ModelReason),
}

impl Decision {
    /// What follows when the person is not asked; `None` when it is.
    #[must_use]
    pub const fn step(&self) -> Option<Step> {
        match *self {
            Self::Ask(_) => None,
            Self::LetModel(reason) => Some(Protocol::not_asked(reason)),
            Self::Imitate {
                branch,
                probability,
                audit_rate,
            } => Some(Step::TakeBranch {
                option: branch,
                chooser: Chooser::Imitator,
                why: Why::Imitated {
                    probability,
                    audit_rate,
                },
            }),
        }
    }
}

impl From<Course> for Decision {
    fn from(course: Course) -> Self {
        match course {
            Course::Ask(reason) => Self::Ask(match reason {
                Reason::NoGuess => AskReason::Decisive,
                Reason::Wished => AskReason::Wished,
                Reason::NotSure => AskReason::NotSure,
                Reason::NotShown => AskReason::NotShown,
                Reason::NotSafe => AskReason::NotSafe,
                Reason::Audit => AskReason::Audit,
            }),
            Course::Imitate {
                branch,
                probability,
                audit_rate,
            } => Self::Imitate {
                branch,
                probability,
                audit_rate,
            },
            Course::LetModel { why, .. } => Self::LetModel(match why {
                Unasked::BudgetSpent => ModelReason::MinuteSpent,
                Unasked::NotWorthIt => ModelReason::NotWorthIt,
                Unasked::Tired => ModelReason::Guarded,
            }),
        }
    }
}

/// Why the person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AskReason {
    /// A decisive fork, within the budget.
    Decisive,
    /// The person called for it: never refused, and not charged to the budget.
    Called,
    /// The person asked for other branches: never refused, and not charged to the budget.
    Other,
    /// The same place again, after a timeout or an abort: not charged to the budget.
    Retry,
    /// With the imitator at work: the person wants to be asked at every fork.
    Wished,
    /// The imitator is not sure what the person would choose.
    NotSure,
    /// It is sure, and has still to be shown to agree.
    NotShown,
    /// It is sure, but more forks than are allowed might have gone another way.
    NotSafe,
    /// It is sure and would choose: asked all the same, by a coin.
    Audit,
}

impl AskReason {
    /// The reason in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Decisive => "a decisive fork",
            Self::Called => "called by the person",
            Self::Other => "other branches, on request",
            Self::Retry => "asked again",
            Self::Wished => "the person wants to be asked",
            Self::NotSure => "the imitator is not sure",
            Self::NotShown => "the imitator has still to be shown to agree",
            Self::NotSafe => "too many forks might have gone another way",
            Self::Audit => "an audit of the imitator",
        }
    }
}

/// Why the person is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ModelReason {
    /// The questions of the last 100 tokens are used up.
    BudgetSpent,
    /// The last question lies too few tokens back.
    TooClose,
    /// Nobody could answer.
    NobodyPresent,
    /// A stream's clock was doubted, or those of two streams disagreed, for too long.
    ClockDoubted,
    /// EEG alone could choose, and too few of its channels were good for too long.
    PoorSignal,
    /// This place was asked too often without an answer.
    RetriesSpent,
    /// With the imitator at work: the questions of the last minute are used up.
    MinuteSpent,
    /// With the imitator at work: what could be lost here is less than what questions cost now.
    NotWorthIt,
    /// The budget of questions was spent, which the [guard](super::guard) had lowered: the whole budget would have allowed one more.
    Guarded,
}

impl ModelReason {
    /// The reason in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::BudgetSpent => "the budget of questions was spent",
            Self::TooClose => "too close to the last question",
            Self::NobodyPresent => "nobody could answer",
            Self::ClockDoubted => "a clock was doubted",
            Self::PoorSignal => "too few EEG channels were good",
            Self::RetriesSpent => "asked too often without an answer",
            Self::MinuteSpent => "the questions of the last minute were used up",
            Self::NotWorthIt => "too little was at stake for a question",
            Self::Guarded => "the guard had lowered the budget of questions, and that was spent",
        }
    }
}

/// Why a fork was taken as it was; goes into the ledger beside the [`Chooser`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Why {
    /// The person selected it.
    Selected,
    /// The person selected `go on`: the model was told to choose.
    ToldToGoOn,
    /// The person was not asked.
    NotAsked(ModelReason),
    /// Time ran out.
    TimedOut(TimeoutPolicy),
    /// A doubt closed the gate.
    Aborted(AbortReason),
    /// The imitator took it.
    Imitated {
        /// With what probability the person would have, by the imitator.
        probability: f64,
        /// At which rate such a fork is asked all the same.
        audit_rate: f64,
    },
}

/// What the engine does next at a fork that has ended or was not asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// Write this branch.
    TakeBranch {
        /// Index of the option.
        option: usize,
        /// Who chose it.
        chooser: Chooser,
        /// Why.
        why: Why,
    },
    /// The model chooses among its branches.
    ModelChooses {
        /// Why.
        why: Why,
    },
    /// Offer other branches, as a new fork of origin [`ForkOrigin::Other`](crate::fork::ForkOrigin::Other).
    OfferOther {
        /// Why.
        why: Why,
    },
    /// Take the last choice back.
    TakeBack {
        /// Why.
        why: Why,
    },
    /// Offer the same options again, as a new fork; raise [`Ask::attempt`](super::Ask::attempt) by one.
    AskAgain {
        /// Why.
        why: Why,
    },
}

impl Step {
    /// How often a place was asked before, when it is asked again after this step. A pause is nobody's failure to answer: beyond making a
    /// question a repeated one it does not count.
    #[must_use]
    pub const fn attempt_after(&self, attempt: u32) -> u32 {
        match self {
            Self::AskAgain {
                why: Why::Aborted(AbortReason::Paused),
            } if attempt > 0 => attempt,
            _ => attempt + 1,
        }
    }
}
