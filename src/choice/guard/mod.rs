//! Is it too much? Overload, fatigue and habituation of the person who is asked, and the ladder that answers them.
//!
//! Nothing here has a clock, and nothing is decided at a fork: [`Guard`] hears in their order of the questions, of how they
//! ended, of the state beside each fork and of what the person says of itself, all as the ledger keeps it, and says how far to
//! go: [`Rung`]. A replay that tells it the same comes to the same steps.
//!
//! | sign | from | test |
//! |---|---|---|
//! | [`Sign::Rate`] | questions of the last two minutes | a limit |
//! | [`Sign::Slow`] | time to answer over the time that reading takes, logarithm | [`Course`]: against the person's own level |
//! | [`Sign::Declined`] | time ran out | [`Alarm`](super::bound::Alarm) on the share that may |
//! | [`Sign::Corrected`] | `other`, undo at a fork or by key | the same |
//! | [`Sign::Rote`] | the same place as before, and quicker than the person's own median | the same, on the person's own share |
//! | [`Sign::Fatigue`] | so many indices of EEG and eyes that *count* | see below |
//! | [`Sign::Faded`] | amplitude of the P300, falling, that *counts* | see below |
//!
//! **Time on task is the null model.** An index counts only while two things hold: it has surely moved from the baseline of this
//! sitting (the probability that stands beside it in the ledger), and its departures from its *own straight course over time on
//! task* have added up ([`Course`]). What rises as steadily as the clock does says no more than the clock, and is not acted on.
//!
//! Each step up wants signs that came since the last one: with every step the alarms begin anew, and of the sums of indices no more
//! is kept than leaves them stirring, so that what lasts is not taken for calm until their next values are there. A step down wants
//! a number of questions in a row at which nothing stirred. What is not known stirs nothing: it is no sign, and does not stand in
//! the way down. Where the modality changes, answers are another matter than before, and the person's own level is learnt anew.

mod behaviour;
mod course;
mod fatigue;
mod settings;
mod words;

use std::collections::VecDeque;

use self::behaviour::Behaviour;
use self::fatigue::Fatigue;
use crate::person::PersonState;

pub use course::Course;
pub use settings::{GuardConfig, GuardSettings, WithoutFlashes};
pub use words::{Answered, Cause, Kind, Rung, Said, Selected, Sign, Step, Ways};

/// Length of time over which questions are counted, seconds.
const RATE_S: f64 = 120.0;

/// Watches over the person. See the module.
#[derive(Debug, Clone)]
pub struct Guard {
    settings: GuardSettings,
    ways: Ways,
    rung: Rung,
    behaviour: Behaviour,
    fatigue: Fatigue,
    /// The latest moment that was heard of, seconds.
    now_s: f64,
    first_s: Option<f64>,
    asked_at_s: VecDeque<f64>,
    /// No step up before, seconds.
    hold_until_s: f64,
    /// Questions that have ended since the last step, and how many of the latest were calm.
    since: u32,
    calm: u32,
}

impl Guard {
    /// One that has heard nothing.
    #[must_use]
    pub fn new(settings: GuardSettings, ways: Ways) -> Self {
        let config = settings.config();
        Self {
            behaviour: Behaviour::new(config),
            fatigue: Fatigue::new(config, ways.recent_s),
            settings,
            ways,
            rung: Rung::AtEase,
            now_s: 0.0,
            first_s: None,
            asked_at_s: VecDeque::new(),
            hold_until_s: f64::NEG_INFINITY,
            since: 0,
            calm: 0,
        }
    }

    /// How far it has gone.
    #[must_use]
    pub const fn rung(&self) -> Rung {
        self.rung
    }

    /// How long the person is left alone before a question that it did not ask for, seconds.
    #[must_use]
    pub fn pause_s(&self) -> f64 {
        if self.rung >= Rung::LongerPauses {
            self.settings.config().pause_s
        } else {
            0.0
        }
    }

    /// Share of the budget of questions that is left, 0 to 1.
    #[must_use]
    pub fn questions_share(&self) -> f64 {
        if self.rung >= Rung::FewerQuestions {
            self.settings.config().questions_share
        } else {
            1.0
        }
    }

    /// Whether nothing flashes.
    #[must_use]
    pub fn without_flashes(&self) -> bool {
        self.ways.without_flashes && self.rung >= Rung::OtherModality
    }

    /// The person is asked.
    pub fn asked(&mut self, at_s: f64) -> Option<Step> {
        self.hear_time(at_s);
        let now = self.now_s;
        self.first_s.get_or_insert(now);
        while self.asked_at_s.front().is_some_and(|at| now - at >= RATE_S) {
            self.asked_at_s.pop_front();
        }
        let most = self.settings.config().questions_per_min_max * RATE_S / 60.0;
        // One more than is allowed says it; older ones of a flood need not be kept.
        if self.asked_at_s.len() as f64 > most {
            self.asked_at_s.pop_front();
        }
        self.asked_at_s.push_back(now);
        self.judge()
    }

    /// A question has ended with the person's doing, or for want of it.
    pub fn ended(&mut self, answered: &Answered) -> Option<Step> {
        self.hear_time(answered.at_s);
        self.behaviour.ended(answered);
        self.since = self.since.saturating_add(1);
        let quiet = self.behaviour.is_quiet() && !self.fatigue.stirs() && self.signs().is_empty();
        self.calm = if quiet {
            self.calm.saturating_add(1)
        } else {
            0
        };
        self.judge()
    }

    /// The person took the last choice back by key.
    pub fn taken_back(&mut self) -> Option<Step> {
        self.behaviour.corrected();
        self.judge()
    }

    /// The state of the person at a fork, `time_on_task_s` into the session.
    pub fn state(&mut self, time_on_task_s: f64, state: &PersonState) -> Option<Step> {
        self.fatigue.hear(time_on_task_s, state);
        self.judge()
    }

    /// The person, or whoever is with it, says how it is.
    pub fn said(&mut self, said: Said) -> Option<Step> {
        match said {
            Said::CarryOn => {
                self.hold_until_s = self.now_s + self.settings.config().carry_on_s;
                self.behaviour.relearn();
                self.fatigue.relearn();
                self.calm = 0;
                (self.rung != Rung::AtEase).then(|| self.go(Rung::AtEase, Cause::Person))
            }
            Said::Tired => {
                let next = self.above()?;
                Some(self.go(next, Cause::Person))
            }
        }
    }

    /// Whatever sounds now.
    #[must_use]
    pub fn signs(&self) -> Vec<Sign> {
        let mut signs = Vec::new();
        let enough = self
            .first_s
            .is_some_and(|first| self.now_s - first >= RATE_S);
        let most = self.settings.config().questions_per_min_max * RATE_S / 60.0;
        if enough && self.asked_at_s.len() as f64 > most {
            signs.push(Sign::Rate);
        }
        self.behaviour.signs(&mut signs);
        self.fatigue.signs(&mut signs);
        signs
    }

    fn hear_time(&mut self, at_s: f64) {
        if at_s.is_finite() {
            self.now_s = if self.first_s.is_none() {
                at_s
            } else {
                self.now_s.max(at_s)
            };
        }
    }

    fn judge(&mut self) -> Option<Step> {
        let config = *self.settings.config();
        if self.since < config.hold_forks || self.now_s < self.hold_until_s {
            return None;
        }
        let signs = self.signs();
        if !signs.is_empty() {
            let Some(next) = self.above() else {
                // There is no further to go; whether it lasts, new signs have to say.
                self.forgive();
                return None;
            };
            return Some(self.go(next, Cause::Signs(signs)));
        }
        if self.rung > Rung::AtEase && self.calm >= config.calm_forks {
            let next = self.below();
            return Some(self.go(next, Cause::Calm));
        }
        None
    }

    fn go(&mut self, to: Rung, why: Cause) -> Step {
        let dark = self.without_flashes();
        let from = std::mem::replace(&mut self.rung, to);
        self.since = 0;
        self.calm = 0;
        if to > from {
            self.hold_until_s = self.now_s + self.settings.config().hold_s;
        }
        self.forgive();
        if dark != self.without_flashes() {
            // Gaze or keys take another time than flashes do.
            self.behaviour.relearn();
        }
        Step { from, to, why }
    }

    /// What was heard so far is no sign any more.
    fn forgive(&mut self) {
        self.behaviour.forgive();
        self.fatigue.forgive();
        self.asked_at_s.clear();
    }

    /// The next rung, as far as it may go.
    fn above(&self) -> Option<Rung> {
        let highest = self.settings.config().highest;
        let higher = Rung::ALL.into_iter().filter(|rung| *rung > self.rung);
        higher
            .take_while(|rung| *rung <= highest)
            .find(|rung| self.has(*rung))
    }

    fn below(&self) -> Rung {
        let lower = Rung::ALL.into_iter().rev();
        lower
            .filter(|rung| *rung < self.rung)
            .find(|rung| self.has(*rung))
            .unwrap_or(Rung::AtEase)
    }

    fn has(&self, rung: Rung) -> bool {
        rung != Rung::OtherModality || self.ways.without_flashes
    }
}

#[cfg(test)]
mod tests;
