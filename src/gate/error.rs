//! Why a fork cannot be opened.

/// Why a fork could not be opened. The gate stays as it was.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// The former fork was not closed.
    #[error("{doing}: the gate still holds fork {held}; close it first")]
    NotClosed {
        /// What was asked for.
        doing: &'static str,
        /// The fork it holds.
        held: u64,
    },
    /// Forks are numbered upwards; an old one is never resumed.
    #[error("fork {fork} cannot be opened: fork {last} was opened before it; take a new number")]
    Reused {
        /// The fork to be opened.
        fork: u64,
        /// The last one opened.
        last: u64,
    },
    /// Too few options to choose between, or more than there is room for.
    #[error("fork {fork} has {got} options; a fork has 2 to {max}")]
    OptionCount {
        /// The fork to be opened.
        fork: u64,
        /// Options given.
        got: usize,
        /// Options accepted.
        max: usize,
    },
    /// One prior per option.
    #[error("fork {fork} has {expected} options but {actual} priors; give one for each")]
    PriorShape {
        /// The fork to be opened.
        fork: u64,
        /// Number of options.
        expected: usize,
        /// Number of priors.
        actual: usize,
    },
    /// A prior that is no probability.
    #[error("fork {fork}: the prior of option {option} is {got}; it must lie in 0..=1")]
    PriorValue {
        /// The fork to be opened.
        fork: u64,
        /// The option.
        option: usize,
        /// The value given.
        got: f64,
    },
}
