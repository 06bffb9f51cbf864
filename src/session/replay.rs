//! A fork decided again from its rows in the ledger: the check that a recorded decision follows from the recorded inputs.

use super::ledger::{ChoiceRow, ForkRow, Ledger, LedgerError, OptionRow};
use crate::fork::ForkId;
use crate::gate::{Arms, Gate, GateError, Posterior, Verdict};
use crate::marker::{OptionKind, Outcome};

/// A fork that cannot be decided again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The gate refuses the fork as it is recorded.
    #[error("the recorded fork cannot be opened again: {0}")]
    Gate(#[from] GateError),
}

/// What the gate makes of the recorded inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// The fork.
    pub fork: ForkId,
    /// How it ends now; [`Verdict::Waiting`] when the session ended first.
    pub verdict: Verdict,
    /// The posterior at the end.
    pub posterior: Posterior,
    /// What each source alone says.
    pub arms: Arms,
    /// What was recorded; `None` when the session ended first.
    pub recorded: Option<ChoiceRow>,
}

impl Replayed {
    /// Whether outcome, option, and every bit of posterior and arms are those that were recorded.
    ///
    /// A fork without a recorded end agrees when it has not ended now either.
    #[must_use]
    pub fn agrees(&self) -> bool {
        let Some(recorded) = &self.recorded else {
            return !self.verdict.is_terminal();
        };
        let outcome = match self.verdict {
            Verdict::Committed { .. } => Some(Outcome::Committed),
            Verdict::Declined { .. } => Some(Outcome::Declined),
            Verdict::Aborted { .. } => Some(Outcome::Aborted),
            Verdict::Waiting { .. } | Verdict::Closed => None,
        };
        let selected = match self.verdict {
            Verdict::Committed { option, .. } => Some(option),
            _ => None,
        };
        outcome == recorded.outcome
            && selected == recorded.selected()
            && recorded.posterior == Some(self.posterior)
            && recorded.arms == Some(self.arms)
    }
}

/// Opens a gate as it was opened for a recorded fork. `options` are the fork's, by item.
///
/// # Errors
/// [`GateError`] when the rows do not make a fork.
pub fn reopen_gate(fork: &ForkRow, options: &[OptionRow]) -> Result<Gate, GateError> {
    let kinds: Vec<OptionKind> = options.iter().map(|option| option.tile.kind).collect();
    let priors: Vec<f64> = options.iter().map(|option| option.prior).collect();
    let mut gate = Gate::new(fork.gate);
    gate.open(fork.fork, &kinds, &priors, fork.opened_at, fork.lease)?;
    Ok(gate)
}

/// Decides every fork at which the person was asked again, in order.
///
/// # Errors
/// [`ReplayError`] at the first fork that cannot be read or opened.
pub fn replay_forks(ledger: &Ledger) -> Result<Vec<Replayed>, ReplayError> {
    ledger
        .forks()?
        .iter()
        .filter(|fork| fork.is_asked())
        .map(|fork| {
            let mut gate = reopen_gate(fork, &ledger.options_of(fork.fork)?)?;
            for row in ledger.evidence_of(fork.fork)? {
                gate.apply(&row.input);
            }
            Ok(Replayed {
                fork: fork.fork,
                verdict: gate.verdict(),
                posterior: *gate.posterior(),
                arms: gate.arms(),
                recorded: ledger.choice_of(fork.fork)?,
            })
        })
        .collect()
}
