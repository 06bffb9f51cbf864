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
    others: Others,
    words: Words,
    /// The person is left alone until then.
    rests_until: Option<Instant>,
    /// A break was suggested; the next place that the person did not ask for waits so long, seconds.
    break_owed_s: f64,
}

/// Who could choose without flashes, as it was set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Others {
    gaze: bool,
    keys: bool,
}

impl Guarding {
    pub(super) fn new(plan: &Plan, gate: &GateSettings) -> Self {
        let settings = plan.guard;
        let others = Others::of(plan, &settings, gate);
        let ways = Ways {
            without_flashes: plan.eeg.is_some() && (others.gaze || others.keys),
            recent_s: plan.state.recent_s,
        };
        Self {
            guard: settings.config().on.then(|| Guard::new(settings, ways)),
            ways,
            others,
            words: Words::of(plan.view.language),
            rests_until: None,
            break_owed_s: 0.0,
        }
    }

    fn rest(&mut self, seconds: f64) {
        if let Ok(rest) = Duration::try_from_secs_f64(seconds) {
            self.rests_until = self.rests_until.max(Some(Instant::now() + rest));
        }
    }

    /// A fork comes up, or the same one again: before one that the person did not ask for lies a pause. Whether it is asked then, or
    /// is the imitator's or the model's, is decided behind it.
    pub(super) fn pause_before(&mut self, fork: &Fork) {
        if fork.origin == ForkOrigin::Detected {
            self.rest(self.guard.as_ref().map_or(0.0, Guard::pause_s));
        }
    }

    /// Whether a fork that the person did not ask for has to wait for the end of a pause. A break that is owed begins here.
    pub(super) fn lets_rest(&mut self, fork: &Fork) -> bool {
        if fork.origin != ForkOrigin::Detected {
            return false;
        }
        let owed_s = std::mem::take(&mut self.break_owed_s);
        self.rest(owed_s);
        self.rests_until.is_some_and(|until| Instant::now() < until)
    }

    /// Whether the session is to end.
    pub(super) fn stops(&self) -> bool {
        self.guard
            .as_ref()
            .is_some_and(|guard| guard.rung() == Rung::Stop)
    }

    /// Whose evidence counts, of those that are heard now. Flashes are left out only while somebody else can choose: a clock may be
    /// doubted, or the source of keys lost.
    pub(super) fn heard(&self, heard: Heard, keys: bool) -> Heard {
        let others = (self.others.gaze && heard.gaze) || (self.others.keys && keys);
        let dark = others && self.guard.as_ref().is_some_and(Guard::without_flashes);
        Heard {
            eeg: heard.eeg && !dark,
            ..heard
        }
    }
}

impl Others {
    fn of(plan: &Plan, settings: &GuardSettings, gate: &GateSettings) -> Self {
        let policy = settings.config().without_flashes;
        Self {
            gaze: policy != WithoutFlashes::Never && plan.gaze.is_some() && gaze_can_choose(gate),
            keys: policy == WithoutFlashes::Keys && plan.keys.is_some(),
        }
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
            self.guarding.break_owed_s = 0.0;
        }
        self.event(EventKind::Guard, GuardEvent::Said(said).detail());
        let stepped = self.guard_hears(|guard| guard.said(said));
        if said == Said::Tired && !stepped {
            // There is no rung above: what is left to give is a break, as often as the person says so.
            self.guarding.break_owed_s = self.plan.guard.config().break_s;
            let words = self.guarding.words.guard(Rung::Break, true, None);
            self.note(&words);
        }
    }

    /// Whether a step followed.
    fn guard_hears(&mut self, hears: impl FnOnce(&mut Guard) -> Option<Step>) -> bool {
        let Some(guard) = &mut self.guarding.guard else {
            return false;
        };
        let Some(step) = hears(guard) else {
            return false;
        };
        self.decider.leave(guard.questions_share());
        self.event(EventKind::Guard, GuardEvent::Step(step.clone()).detail());
        self.presenter.ask(presenter::Ask::Say(Event::Guard {
            rung: step.to,
            up: step.is_up(),
            kind: step.kind(),
            asked_for: step.why == Cause::Person,
        }));
        // A question may be open, or just opening: the break begins at the next place.
        self.guarding.break_owed_s = if step.to == Rung::Break && step.is_up() {
            self.plan.guard.config().break_s
        } else {
            0.0
        };
        let words = self
            .guarding
            .words
            .guard(step.to, step.is_up(), step.kind());
        self.note(&words);
        true
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use super::*;
    use crate::choice::guard::GuardConfig;

    /// One whose person went up so many rungs, all of them there.
    fn guarding(rungs: usize, others: Others) -> Guarding {
        let ways = Ways {
            without_flashes: true,
            recent_s: 60.0,
        };
        let mut guard = Guard::new(GuardSettings::new(GuardConfig::default()).unwrap(), ways);
        for _ in 0..rungs {
            guard.said(Said::Tired).unwrap();
        }
        Guarding {
            guard: Some(guard),
            ways,
            others,
            words: Words::default(),
            rests_until: None,
            break_owed_s: 0.0,
        }
    }

    fn fork(origin: ForkOrigin) -> Fork {
        Fork {
            id: ForkId(0),
            position: 10,
            context: "once".into(),
            branches: Vec::new(),
            origin,
        }
    }

    #[test]
    fn flashes_are_left_out_only_while_somebody_else_is_heard() {
        let gaze = Others {
            gaze: true,
            keys: false,
        };
        let keys = Others {
            gaze: false,
            keys: true,
        };
        let both = Heard {
            eeg: true,
            gaze: true,
        };
        // Clocks disagree, and EEG is trusted.
        let eeg = Heard {
            gaze: false,
            ..both
        };
        for (others, heard, key_source, flashes) in [
            (gaze, both, false, false),
            (gaze, eeg, true, true),
            (keys, both, true, false),
            (keys, eeg, true, false),
            (keys, both, false, true),
        ] {
            let dark = guarding(3, others);
            let now = dark.heard(heard, key_source);
            assert_eq!(now.eeg, flashes, "{others:?} {heard:?} {key_source}");
            assert_eq!(now.gaze, heard.gaze);
            // A rung below, everything flashes.
            assert_eq!(guarding(2, others).heard(heard, key_source), heard);
        }
    }

    #[test]
    fn a_pause_lies_before_each_question_that_the_person_did_not_ask_for() {
        let others = Others {
            gaze: true,
            keys: false,
        };
        let found = fork(ForkOrigin::Detected);
        let mut at_ease = guarding(0, others);
        at_ease.pause_before(&found);
        assert!(!at_ease.lets_rest(&found));
        let mut pauses = guarding(1, others);
        for origin in [ForkOrigin::Called, ForkOrigin::Other] {
            pauses.pause_before(&fork(origin));
            assert!(!pauses.lets_rest(&fork(origin)));
        }
        assert!(!pauses.lets_rest(&found), "nothing has come up");
        pauses.pause_before(&found);
        assert!(pauses.lets_rest(&found));
    }

    #[test]
    fn a_break_that_is_owed_begins_at_the_next_place_and_once() {
        let others = Others {
            gaze: true,
            keys: false,
        };
        let found = fork(ForkOrigin::Detected);
        let mut guarding = guarding(0, others);
        guarding.break_owed_s = 3_600.0;
        assert!(!guarding.lets_rest(&fork(ForkOrigin::Called)));
        assert!(guarding.lets_rest(&found));
        assert!(guarding.rests_until.unwrap() > Instant::now() + Duration::from_secs(3_000));
        // The person carries on.
        guarding.rests_until = None;
        assert!(!guarding.lets_rest(&found));
    }
}
