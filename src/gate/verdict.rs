//! How a fork stands, and how it can end.

use serde::{Deserialize, Serialize};

/// What is to happen when time runs out without a commit.
///
/// The gate only carries the policy to its [`Verdict::Declined`]; the protocol acts on it, and the ledger names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeoutPolicy {
    /// Offer the same options again, as a new fork: nothing is written until the person answers.
    Wait,
    /// Offer other branches, as a new fork.
    OfferOther,
    /// The model takes its most likely branch.
    LetModelGoOn,
}

/// Why a fork was aborted. No text may be written on the strength of an aborted fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AbortReason {
    /// A stream stopped.
    SourceLost,
    /// A clock went back, leapt ahead, or a stamp lay in the future.
    ClockJump,
    /// Samples were older than the age budget.
    StaleData,
    /// A value was NaN or infinite.
    NonFinite,
    /// The clocks of EEG and gaze disagree by more than is allowed.
    ClocksDisagree,
    /// A stream does not run at the rate it announces.
    WrongRate,
    /// The evidence belongs to another epoch of its stream than the one the fork was opened with.
    EpochChanged,
    /// Fewer usable channels than the minimum montage.
    PoorSignal,
    /// A marker was lost, doubled or unknown.
    MarkerLost,
    /// A ring was full and samples were dropped.
    Overflow,
    /// Sources prefer different options, each with high confidence.
    Contradiction,
    /// The session was paused.
    Paused,
    /// The model failed or was restarted.
    ModelFailed,
    /// The person called for a fork elsewhere.
    Withdrawn,
    /// The operator stopped the fork, or the gate was closed while it was open.
    Operator,
    /// The session is ending.
    Shutdown,
    /// A stage of the engine failed.
    Internal,
}

impl std::fmt::Display for AbortReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::SourceLost => "a stream was lost",
            Self::ClockJump => "a clock jumped",
            Self::StaleData => "samples came too late",
            Self::NonFinite => "a value was not finite",
            Self::ClocksDisagree => "the clocks of EEG and gaze disagree",
            Self::WrongRate => "a stream runs at another rate than it says",
            Self::EpochChanged => "a stream was started anew",
            Self::PoorSignal => "too few usable channels",
            Self::MarkerLost => "a marker was lost",
            Self::Overflow => "samples were dropped",
            Self::Contradiction => "gaze and EEG contradict each other",
            Self::Paused => "the session was paused",
            Self::ModelFailed => "the model failed",
            Self::Withdrawn => "a fork elsewhere was called for",
            Self::Operator => "the operator stopped it",
            Self::Shutdown => "the session is ending",
            Self::Internal => "a stage of the engine failed",
        })
    }
}

/// Where the state machine stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No fork.
    Closed,
    /// A fork is open and gathers evidence.
    Evidence,
    /// The option with this index was selected.
    Committed(usize),
    /// Time ran out.
    Declined(TimeoutPolicy),
    /// A doubt closed the gate.
    Aborted(AbortReason),
}

impl State {
    /// Whether the fork has ended (committed, declined or aborted).
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Committed(_) | Self::Declined(_) | Self::Aborted(_)
        )
    }
}

/// The answer of the gate to every input. A terminal verdict is repeated until the gate is closed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// No fork is open.
    Closed,
    /// The fork is open; go on gathering evidence.
    Waiting {
        /// The option that is ahead.
        best: usize,
        /// Its posterior, 0..=1.
        posterior: f64,
    },
    /// An option was selected.
    Committed {
        /// Index of the option.
        option: usize,
        /// Its posterior, 0..=1.
        posterior: f64,
        /// Posterior of the best minus that of the second, 0..=1.
        margin: f64,
    },
    /// Time ran out.
    Declined {
        /// What the protocol is to do.
        policy: TimeoutPolicy,
    },
    /// A doubt closed the gate.
    Aborted {
        /// Which.
        reason: AbortReason,
    },
}

impl Verdict {
    /// Whether the fork has ended (committed, declined or aborted).
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(
            self,
            Self::Committed { .. } | Self::Declined { .. } | Self::Aborted { .. }
        )
    }
}
