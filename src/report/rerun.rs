//! The gate run again on the inputs that the ledger kept: the posterior after each of them.

use crate::choice::Decision;
use crate::gate::{Gate, Posterior, Source, Verdict};
use crate::marker::{OptionKind, Outcome};
use crate::session::{ChoiceRow, EvidenceRow, ForkRow, OptionRow};

/// A fork's gate, run again.
#[derive(Debug)]
pub(super) struct Rerun {
    /// The capped prior.
    pub(super) prior: Posterior,
    /// The state after each input, in order.
    pub(super) steps: Vec<Step>,
    /// How the gate stood after the last input.
    gate: Gate,
}

/// The state after one input.
#[derive(Debug)]
pub(super) struct Step {
    /// Seconds since the gate opened.
    pub(super) at_s: f64,
    /// Where the input came from; `None` for the clock and for aborts.
    pub(super) source: Option<Source>,
    /// Probabilities of the options.
    pub(super) posterior: Posterior,
}

impl Rerun {
    /// Runs the gate again; `None` when nobody was asked, or the row cannot open a gate.
    pub(super) fn of(
        fork: &ForkRow,
        options: &[OptionRow],
        evidence: &[EvidenceRow],
    ) -> Option<Self> {
        if !matches!(fork.decision, Decision::Ask(_)) {
            return None;
        }
        let kinds: Vec<OptionKind> = options.iter().map(|option| option.tile.kind).collect();
        let priors: Vec<f64> = options.iter().map(|option| option.prior).collect();
        let mut gate = Gate::new(fork.gate);
        gate.open(fork.fork, &kinds, &priors, fork.opened_at, fork.lease)
            .ok()?;
        let prior = *gate.prior();
        let steps = evidence
            .iter()
            .map(|row| {
                gate.apply(&row.input);
                Step {
                    at_s: row.input.now().since(fork.opened_at),
                    source: row.input.source(),
                    posterior: *gate.posterior(),
                }
            })
            .collect();
        Some(Self { prior, steps, gate })
    }

    /// Whether this run came to the very end that was recorded: same outcome, same option, same posterior, bit for bit.
    pub(super) fn agrees(&self, choice: &ChoiceRow) -> bool {
        let same_end = match self.gate.verdict() {
            Verdict::Committed { option, .. } => {
                choice.outcome == Some(Outcome::Committed)
                    // `go on` was selected, and the model then took a branch: that item is the model's.
                    && (choice.chooser != Some(crate::fork::Chooser::Human)
                        || choice.item == i32::try_from(option).ok())
            }
            Verdict::Declined { .. } => choice.outcome == Some(Outcome::Declined),
            Verdict::Aborted { .. } => choice.outcome == Some(Outcome::Aborted),
            Verdict::Closed | Verdict::Waiting { .. } => choice.outcome.is_none(),
        };
        same_end && choice.arms.is_none_or(|arms| arms == self.gate.arms())
    }
}
