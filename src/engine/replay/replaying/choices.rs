//! Choices made again: what follows from the gate's verdict now, and where the text goes.

use super::{Asked, Replaying};
use crate::choice::{Became, Decision, Step};
use crate::engine::conduct::why_of;
use crate::engine::question::Done;
use crate::engine::replay::difference::choice_difference;
use crate::engine::replay::error::ReplayError;
use crate::marker::OptionKind;
use crate::pipeline::trace::Trace;
use crate::session::ChoiceRow;

impl Replaying<'_> {
    pub(super) fn choice(&mut self, row: &ChoiceRow) -> Result<(), ReplayError> {
        let asked = self.asked.take_if(|asked| asked.question.id == row.fork);
        let answered = asked
            .as_ref()
            .and_then(|asked| asked.question.answered(&self.plan.ask));
        let remade = asked.and_then(|asked| self.choice_again(&asked, row));
        if let Some(answered) = answered {
            self.guarding
                .hears(&mut self.decider, |guard| guard.ended(&answered));
        }
        let Some(remade) = remade else {
            self.ledger.choice(row)?;
            return Ok(());
        };
        let difference = choice_difference(row, &remade);
        self.choices.note(difference.is_none());
        if let Some((what, expected, got)) = difference {
            self.differs(Some(row.fork), None, &what, expected, got);
        }
        self.ledger.choice(&remade)?;
        Ok(())
    }

    /// How the fork ends now; `None` when the text has gone another way and can tell no more.
    fn choice_again(&mut self, asked: &Asked, row: &ChoiceRow) -> Option<ChoiceRow> {
        let Asked {
            question,
            decision,
            gate,
        } = asked;
        let verdict = match (decision, gate) {
            (Decision::Ask(_), Some(gate)) => Some(gate.verdict()),
            (Decision::Ask(_), None) => return None,
            (Decision::LetModel(_) | Decision::Imitate { .. }, _) => None,
        };
        let step = match (decision.step(), verdict) {
            (None, Some(verdict)) => {
                self.decider
                    .follow(&verdict, &question.kinds, question.attempt)
            }
            (step, _) => step,
        };
        let Some(step) = step else {
            // The gate still waits, though it was recorded as decided.
            let expected = format!("{:?} of item {:?}", row.outcome, row.item);
            self.differs(
                Some(row.fork),
                None,
                "the verdict",
                expected,
                format!("{verdict:?}"),
            );
            self.story = None;
            return None;
        };
        self.attempt = match step {
            Step::AskAgain { .. } => step.attempt_after(question.attempt),
            _ => 0,
        };
        let story = self.story.as_mut()?;
        let (taken, tokens_written) = match story.follow(&step, &question.kinds, row) {
            Ok(taken) => taken,
            Err(astray) => {
                let expected = format!("{:?} of item {:?}", row.outcome, row.item);
                self.astray(Some(row.fork), expected, astray);
                return None;
            }
        };
        let kind = taken.item.and_then(|item| question.kinds.get(item));
        let became = match (kind, taken.chooser) {
            (Some(OptionKind::Branch), Some(chooser)) => Became::Taken {
                position: question.fork.position,
                chooser,
            },
            (Some(OptionKind::Undo), Some(_)) => Became::TakenBack,
            _ => Became::Nothing,
        };
        // What it could not learn was told in the session, and is the same now.
        let _ = self.decider.ended(&step, became);
        let done = Done {
            item: taken.item.and_then(|item| i32::try_from(item).ok()),
            chooser: taken.chooser,
            why: why_of(&step),
            text: taken.text,
            tokens_written,
            trace: Trace::default(),
            committed: row.committed_mono,
        };
        let flashes = u64::from(question.evidence_counts().0);
        let remade = question.choice_row(&done, |_| row.decided_mono, &self.model_sha256, flashes);
        Some(ChoiceRow {
            latency_ns: row.latency_ns.clone(),
            adapter: self.adapter.clone(),
            ..remade
        })
    }
}
