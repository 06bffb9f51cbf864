//! The guard at work: what it hears, each step told and written down, the pauses it makes.

use std::time::{Duration, Instant};

use super::Conductor;
use super::inputs::Heard;
use crate::choice::guard::{Cause, Guard, GuardSettings, Rung, Said, Step, Ways, WithoutFlashes};
use crate::config::Plan;
use crate::engine::question::Question;
use crate::fork::{Fork, ForkId, ForkOrigin, MAX_OPTIONS};
use crate::gate::GateSettings;
use crate::marker::Event;
use crate::pipeline::presenter;
use crate::session::{EventKind, GuardEvent, StateRow};
use crate::view::words::Words;

/// The guard, and what it has in hand.
pub(super) struct Guarding {
    /// `None` where it is switched off.
    guard: Option<Guard>,
    ways: Ways,
    words: Words,
    /// The person is left alone until then.
    rests_until: Option<Instant>,
}

impl Guarding {
    pub(super) fn new(plan: &Plan, gate: &GateSettings) -> Self {
        let settings = plan.guard;
        let ways = ways(plan, &settings, gate);
        Self {
            guard: settings.config().on.then(|| Guard::new(settings, ways)),
            ways,
            words: Words::of(plan.view.language),
            rests_until: None,
        }
    }

    fn rest(&mut self, seconds: f64) {
        if let Ok(rest) = Duration::try_from_secs_f64(seconds) {
            self.rests_until = self.rests_until.max(Some(Instant::now() + rest));
        }
    }

    /// Whether a fork that the person did not ask for has to wait for the end of a pause.
    pub(super) fn lets_rest(&self, fork: &Fork, attempt: u32) -> bool {
        fork.origin == ForkOrigin::Detected
            && attempt == 0
            && self.rests_until.is_some_and(|until| Instant::now() < until)
    }

    /// Whether the session is to end.
    pub(super) fn stops(&self) -> bool {
        self.guard
            .as_ref()
            .is_some_and(|guard| guard.rung() == Rung::Stop)
    }

    /// Whose evidence counts, of those that are heard.
    pub(super) fn heard(&self, heard: Heard) -> Heard {
        let dark = self.guard.as_ref().is_some_and(Guard::without_flashes);
        Heard {
            eeg: heard.eeg && !dark,
            ..heard
        }
    }
}

/// What the session can do beside flashing.
fn ways(plan: &Plan, settings: &GuardSettings, gate: &GateSettings) -> Ways {
    let gaze = plan.gaze.is_some() && gaze_can_choose(gate);
    let others = match settings.config().without_flashes {
        WithoutFlashes::Never => false,
        WithoutFlashes::Gaze => gaze,
        WithoutFlashes::Keys => gaze || plan.keys.is_some(),
    };
    Ways {
        without_flashes: plan.eeg.is_some() && others,
        recent_s: plan.state.recent_s,
    }
}

/// Whether gaze alone can bring an option to the gate's threshold: among as many options as there may be, all as likely before.
fn gaze_can_choose(gate: &GateSettings) -> bool {
    let config = gate.config();
    let nats = config.gaze.reliability * config.gaze.total_clip_nats;
    let threshold = config.commit_threshold;
    let needed = (threshold / (1.0 - threshold) * (MAX_OPTIONS as f64 - 1.0)).ln();
    nats >= needed.max(config.human_lead_nats_min)
}

impl Conductor<'_> {
    /// The session begins to write: that somebody watches is written down.
    pub(super) fn begin_to_guard(&mut self) {
        if self.guarding.guard.is_some() {
            let begins = GuardEvent::Begins(self.guarding.ways);
            self.event(EventKind::Guard, begins.detail());
        }
    }

    /// The person is asked.
    pub(super) fn guard_asked(&mut self, question: &Question) {
        let at_s = question.opened_at.get();
        self.guard_hears(|guard| guard.asked(at_s));
    }

    /// A fork is not asked as the budget was lowered: said to whoever listens.
    pub(super) fn say_guarded(&mut self, fork: ForkId) {
        self.presenter
            .ask(presenter::Ask::Say(Event::Guarded { fork: fork.0 }));
    }

    /// A question has ended, and its row is written.
    pub(super) fn guard_ended(&mut self, question: &Question) {
        if let Some(answered) = question.answered(&self.plan.ask) {
            self.guard_hears(|guard| guard.ended(&answered));
            let pause_s = self.guarding.guard.as_ref().map_or(0.0, Guard::pause_s);
            self.guarding.rest(pause_s);
        }
    }

    /// The last choice was taken back by key.
    pub(super) fn guard_taken_back(&mut self) {
        self.guard_hears(Guard::taken_back);
    }

    /// The state beside a fork was written.
    pub(super) fn guard_state(&mut self, row: &StateRow) {
        self.guard_hears(|guard| guard.state(row.time_on_task_s, &row.state));
    }

    /// The person says how it is, by key.
    pub(super) fn guard_said(&mut self, said: Said) {
        if self.guarding.guard.is_none() {
            return self.note("no guard watches: guard.on = false");
        }
        if said == Said::CarryOn {
            self.guarding.rests_until = None;
        }
        self.event(EventKind::Guard, GuardEvent::Said(said).detail());
        self.guard_hears(|guard| guard.said(said));
    }

    fn guard_hears(&mut self, hears: impl FnOnce(&mut Guard) -> Option<Step>) {
        let Some(guard) = &mut self.guarding.guard else {
            return;
        };
        let Some(step) = hears(guard) else { return };
        self.decider.leave(guard.questions_share());
        self.event(EventKind::Guard, GuardEvent::Step(step.clone()).detail());
        self.presenter.ask(presenter::Ask::Say(Event::Guard {
            rung: step.to,
            up: step.is_up(),
            kind: step.kind(),
            asked_for: step.why == Cause::Person,
        }));
        if step.to == Rung::Break && step.is_up() {
            self.guarding.rest(self.plan.guard.config().break_s);
        }
        let words = self
            .guarding
            .words
            .guard(step.to, step.is_up(), step.kind());
        self.note(&words);
    }
}
