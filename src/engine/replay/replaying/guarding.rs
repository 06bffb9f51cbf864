//! The guard again: it hears what the ledger keeps, and has to come to the recorded steps.

use std::collections::VecDeque;

use super::Replaying;
use crate::choice::Decider;
use crate::choice::guard::{Guard, Step};
use crate::session::{EventRow, GuardEvent};

/// The guard, and the steps that it has taken and no row has told yet.
#[derive(Debug)]
pub(in crate::engine::replay) struct Guarding {
    guard: Option<Guard>,
    steps: VecDeque<Step>,
}

impl Guarding {
    pub(in crate::engine::replay) const fn new(guard: Option<Guard>) -> Self {
        Self {
            guard,
            steps: VecDeque::new(),
        }
    }

    /// It hears something; what follows for the budget of questions does so at once.
    pub(super) fn hears(
        &mut self,
        decider: &mut Decider,
        hears: impl FnOnce(&mut Guard) -> Option<Step>,
    ) {
        let Some(guard) = &mut self.guard else { return };
        if let Some(step) = hears(guard) {
            decider.leave(guard.questions_share());
            self.steps.push_back(step);
        }
    }
}

impl Replaying<'_> {
    /// What stood of the guard: the same now?
    pub(super) fn guarded(&mut self, row: &EventRow, recorded: &GuardEvent) {
        match recorded {
            GuardEvent::Begins(_) => {}
            GuardEvent::Said(said) => {
                let said = *said;
                self.guarding
                    .hears(&mut self.decider, |guard| guard.said(said));
            }
            GuardEvent::Step(expected) => {
                let got = self.guarding.steps.pop_front();
                // Where the text went another way, that has been told.
                if self.story.is_some() && got.as_ref() != Some(expected) {
                    let got = got.map_or_else(|| "nothing".into(), |step| step.in_words());
                    self.differs(row.fork, None, "the guard", expected.in_words(), got);
                }
            }
        }
    }

    /// Steps that no row has told. Of a session that was killed, the last may be missing.
    pub(in crate::engine::replay) fn finish_guard(&mut self) {
        if let Some(step) = self.guarding.steps.pop_front()
            && self.story.is_some()
            && self.end.is_some()
        {
            self.differs(None, None, "the guard", "nothing".into(), step.in_words());
        }
    }
}
