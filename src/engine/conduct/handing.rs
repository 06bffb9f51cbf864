//! What is left to the imitator: the level of autonomy told and written down, the person's wish to be asked, what is kept of it.

use super::Conductor;
use crate::choice::handover::Autonomy;
use crate::choice::imitator::BeliefError;
use crate::choice::{Became, Step};
use crate::fork::ForkId;
use crate::marker::Event;
use crate::pipeline::presenter;
use crate::session::person::Earned;
use crate::session::{AutonomyEvent, Beginning, EventKind};

/// How much is left to the imitator, as it was told last.
#[derive(Debug)]
pub(super) struct Handing {
    /// From what the imitator goes on; `None` where none is at work.
    beginning: Option<Box<Beginning>>,
    told: Option<Autonomy>,
}

impl Handing {
    pub(super) fn new(beginning: Option<Beginning>) -> Self {
        Self {
            beginning: beginning.map(Box::new),
            told: None,
        }
    }
}

impl Conductor<'_> {
    /// The session begins to write: with an imitator at work that is said, and what it goes on from is written down.
    pub(super) fn hand_over(&mut self) {
        if let Some(beginning) = self.handing.beginning.take() {
            self.autonomy_event(&AutonomyEvent::Begins(beginning));
            self.look_at_autonomy();
        }
    }

    fn autonomy_event(&mut self, event: &AutonomyEvent) {
        self.event(EventKind::Autonomy, event.detail());
    }

    /// Tells the level of autonomy where it is another than was told last.
    pub(super) fn look_at_autonomy(&mut self) {
        let Some(report) = self.decider.report() else {
            return;
        };
        let level = report.autonomy;
        if self.handing.told == Some(level) {
            return;
        }
        self.handing.told = Some(level);
        self.autonomy_event(&AutonomyEvent::Stands(Box::new(report)));
        self.presenter
            .ask(presenter::Ask::Say(Event::Autonomy { level }));
        self.note(&format!("autonomy: {}", level.words()));
    }

    /// The person wants to be asked at every fork, or no longer does.
    pub(super) fn ask_me(&mut self, on: bool) {
        if !self.decider.ask_me(on) {
            return self.note("no imitator is at work: you are asked as ever");
        }
        self.autonomy_event(&AutonomyEvent::AskMe(on));
        self.note(if on {
            "you are asked at every fork from now on"
        } else {
            "forks are left to the imitator as far as it has earned that"
        });
        self.look_at_autonomy();
    }

    /// The imitator takes a fork: said to whoever listens.
    pub(super) fn say_imitated(&mut self, fork: ForkId, branch: usize, text: String, p: f64) {
        self.telling.imitated(fork);
        self.presenter.ask(presenter::Ask::Say(Event::Imitated {
            fork: fork.0,
            item: i32::try_from(branch).unwrap_or(-1),
            text,
            probability: p,
        }));
    }

    /// A fork has ended, and its row is written: the imitator hears of it, and what it has earned is kept.
    pub(super) fn hand_in(&mut self, step: &Step, became: Became) {
        let learnt = self.decider.ended(step, became);
        self.heard(learnt);
    }

    /// The last branch was taken back by key.
    pub(super) fn hand_taken_back(&mut self) {
        let learnt = self.decider.taken_back();
        self.heard(learnt);
    }

    fn heard(&mut self, learnt: Result<(), BeliefError>) {
        if let Err(error) = learnt {
            self.warn("imitator", error.to_string());
        }
        self.keep_account();
        self.look_at_autonomy();
    }

    fn keep_account(&mut self) {
        if let (Some(carried), Some(remembering)) = (self.decider.carried(), &mut self.remembering)
        {
            let adapter = self.adapter.clone();
            remembering.keep_account(Earned { adapter, carried });
        }
    }

    /// The session is over: how things stand at its end.
    pub(super) fn close_account(&mut self) {
        self.decider.close();
        if let Some(report) = self.decider.report() {
            self.keep_account();
            self.autonomy_event(&AutonomyEvent::Ends(Box::new(report)));
        }
    }
}
