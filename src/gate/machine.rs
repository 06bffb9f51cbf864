//! The state machine.

use razvilka_dsp::units::LslTime;

use super::arithmetic::{best_and_lead, cap_prior, is_flat, relative, single_best};
use super::error::GateError;
use super::evidence::{Evidence, EvidenceMode, GateInput, Lease, Source, Told};
use super::posterior::{Arms, Best, Posterior};
use super::resolving::Resolving;
use super::settings::{ContradictionPolicy, GateSettings};
use super::verdict::{AbortReason, State, Verdict};
use crate::fork::{ForkId, MAX_OPTIONS};
use crate::marker::OptionKind;

/// What happened to the evidence of the current fork, by count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Items that entered the posterior.
    pub accepted: u64,
    /// Ignored: of another fork.
    pub other_fork: u64,
    /// Ignored: the fork had ended, or none was open.
    pub after_end: u64,
    /// Ignored: rests on samples from before the fork was opened.
    pub before_open: u64,
    /// Ignored: its number is not above the last one of its source.
    pub out_of_order: u64,
    /// Ignored: older than the age budget.
    pub stale: u64,
    /// Ignored: a key press that names no single option.
    pub ambiguous: u64,
    /// Looks that were kept.
    pub looks: u64,
    /// Contractions that said nothing: without a look at an option before them, not reached by gaze in time, or while another one waited.
    pub unplaced: u64,
}

/// What one graded source has said of the current fork.
#[derive(Debug, Clone, Copy)]
struct Heard {
    /// Running total, nats; relative to nothing in particular.
    total: [f64; MAX_OPTIONS],
    items: u64,
    last_seq: Option<u64>,
}

impl Heard {
    const NOTHING: Self = Self {
        total: [0.0; MAX_OPTIONS],
        items: 0,
        last_seq: None,
    };
}

/// The gate of one fork at a time. See the [module](super) for the rules.
///
/// Real-time: no call allocates, panics, waits or reads a clock.
#[derive(Debug, Clone)]
pub struct Gate {
    pub(super) settings: GateSettings,
    pub(super) state: State,
    fork: Option<ForkId>,
    lease: Lease,
    pub(super) options: usize,
    pub(super) opened_at: LslTime,
    pub(super) now: LslTime,
    log_prior: [f64; MAX_OPTIONS],
    prior: Posterior,
    gaze: Heard,
    p300: Heard,
    /// Of the P300, the running total of each option's own entries, each within the item's clip, nats: how much more likely they are if this
    /// option is attended than if none is.
    attended: [f64; MAX_OPTIONS],
    blink: Heard,
    pupil: Heard,
    contraction: Heard,
    switch: Heard,
    pub(super) resolving: Resolving,
    pressed: Option<usize>,
    fused: Posterior,
    pub(super) counters: Counters,
}

/// The zero of the LSL clock; stands for "no time yet".
const ZERO: LslTime = match LslTime::new(0.0) {
    Ok(zero) => zero,
    Err(_) => panic!("0 s is a valid stamp"), // evaluated at compile time
};

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new(settings: GateSettings) -> Self {
        Self {
            settings,
            state: State::Closed,
            fork: None,
            lease: Lease { epoch: 0 },
            options: 0,
            opened_at: ZERO,
            now: ZERO,
            log_prior: [0.0; MAX_OPTIONS],
            prior: Posterior::EMPTY,
            gaze: Heard::NOTHING,
            p300: Heard::NOTHING,
            attended: [0.0; MAX_OPTIONS],
            blink: Heard::NOTHING,
            pupil: Heard::NOTHING,
            contraction: Heard::NOTHING,
            switch: Heard::NOTHING,
            resolving: Resolving::NOTHING,
            pressed: None,
            fused: Posterior::EMPTY,
            counters: Counters::default(),
        }
    }

    /// Takes new settings, say newly fitted reliabilities, between two forks.
    ///
    /// # Errors
    /// [`GateError::NotClosed`] when a fork is held: no fork sees its rules change.
    pub fn reconfigure(&mut self, settings: GateSettings) -> Result<(), GateError> {
        match (self.state, self.fork) {
            (State::Closed, _) | (_, None) => {
                self.settings = settings;
                Ok(())
            }
            (_, Some(held)) => Err(GateError::NotClosed {
                doing: "new settings cannot be taken",
                held: held.0,
            }),
        }
    }

    /// Opens a fork: nothing of a former one is carried over.
    ///
    /// `priors` holds one probability per option, branches and control options alike, in the order of `kinds` (0 for control
    /// options nobody has an opinion on); they need not sum to 1 and are capped as [`super::GateConfig`] says. `now` is our LSL
    /// clock; evidence that rests on older samples does not count. `lease` names the epoch of the streams.
    ///
    /// # Errors
    /// [`GateError`] when the gate is not closed, the fork's number is not above the last one, there are not 2 to
    /// [`MAX_OPTIONS`] options, or a prior is not in 0..=1. The gate is unchanged then.
    pub fn open(
        &mut self,
        fork: ForkId,
        kinds: &[OptionKind],
        priors: &[f64],
        now: LslTime,
        lease: Lease,
    ) -> Result<(), GateError> {
        if let (true, Some(held)) = (self.state != State::Closed, self.fork) {
            return Err(GateError::NotClosed {
                doing: "no fork can be opened",
                held: held.0,
            });
        }
        if let Some(last) = self.fork
            && fork <= last
        {
            return Err(GateError::Reused {
                fork: fork.0,
                last: last.0,
            });
        }
        if !(2..=MAX_OPTIONS).contains(&kinds.len()) {
            return Err(GateError::OptionCount {
                fork: fork.0,
                got: kinds.len(),
                max: MAX_OPTIONS,
            });
        }
        if priors.len() != kinds.len() {
            return Err(GateError::PriorShape {
                fork: fork.0,
                expected: kinds.len(),
                actual: priors.len(),
            });
        }
        for (option, &got) in priors.iter().enumerate() {
            if !(0.0..=1.0).contains(&got) {
                return Err(GateError::PriorValue {
                    fork: fork.0,
                    option,
                    got,
                });
            }
        }
        let capped = cap_prior(kinds, priors, &self.settings);
        let mut fresh = Self::new(self.settings);
        for (log, p) in fresh.log_prior.iter_mut().zip(capped).take(kinds.len()) {
            *log = p.ln();
        }
        fresh.state = State::Evidence;
        fresh.fork = Some(fork);
        fresh.lease = lease;
        fresh.options = kinds.len();
        fresh.opened_at = now;
        fresh.now = now;
        fresh.prior = Posterior::from_log(&fresh.log_prior, kinds.len());
        fresh.fused = fresh.prior;
        *self = fresh;
        Ok(())
    }

    /// Takes one item of evidence; `now` is our LSL clock.
    ///
    /// In this order: an item after the end, or of another fork, is ignored and counted; one of another epoch aborts; `now` is
    /// taken as by [`Gate::tick`]; an item out of order, from before the fork, or too old is ignored and counted; one from the
    /// future, or with a value that is not finite, aborts; any other enters the posterior, and may commit.
    pub fn evidence(&mut self, evidence: &Evidence, now: LslTime) -> Verdict {
        let last_seq = self.heard(evidence.source).last_seq;
        if let Err(verdict) = self.admit(&Told::Evidence(*evidence), last_seq, now) {
            return verdict;
        }
        if !evidence
            .log_lik_nats
            .iter()
            .take(self.options)
            .all(|value| value.is_finite())
        {
            return self.end(State::Aborted(AbortReason::NonFinite));
        }
        let verdict = self.take(evidence);
        if evidence.source != Source::Gaze {
            return verdict;
        }
        self.resolving.told(evidence.at);
        self.resolve()
    }

    /// Whether something that was told is taken, given the last number of its kind; else the gate's answer.
    pub(super) fn admit(
        &mut self,
        told: &Told,
        last_seq: Option<u64>,
        now: LslTime,
    ) -> Result<(), Verdict> {
        if self.state != State::Evidence {
            self.counters.after_end = self.counters.after_end.saturating_add(1);
            return Err(self.verdict());
        }
        if self.fork != Some(told.fork()) {
            self.counters.other_fork = self.counters.other_fork.saturating_add(1);
            return Err(self.verdict());
        }
        if self.lease != told.lease() {
            return Err(self.end(State::Aborted(AbortReason::EpochChanged)));
        }
        if self.tick(now).is_terminal() {
            self.counters.after_end = self.counters.after_end.saturating_add(1);
            return Err(self.verdict());
        }
        if last_seq.is_some_and(|last| told.seq() <= last) {
            self.counters.out_of_order = self.counters.out_of_order.saturating_add(1);
            return Err(self.verdict());
        }
        let config = self.settings.config();
        let age_s = self.now.since(told.at());
        if age_s < -config.clock_slack_s {
            return Err(self.end(State::Aborted(AbortReason::ClockJump)));
        }
        if told.at() < self.opened_at {
            self.counters.before_open = self.counters.before_open.saturating_add(1);
            return Err(self.verdict());
        }
        if age_s > config.evidence_age_s_max {
            self.counters.stale = self.counters.stale.saturating_add(1);
            return Err(self.verdict());
        }
        Ok(())
    }

    /// Tells the gate the time: our LSL clock, in order. Declines the fork when its time is over.
    ///
    /// A clock that goes back by more than `clock_slack_s` aborts the fork; smaller steps back are taken as no step.
    pub fn tick(&mut self, now: LslTime) -> Verdict {
        if self.state == State::Evidence {
            let config = self.settings.config();
            let step_s = now.since(self.now);
            if step_s < -config.clock_slack_s {
                return self.end(State::Aborted(AbortReason::ClockJump));
            }
            if step_s > 0.0 {
                self.now = now;
            }
            // The same whether this tick is kept or not: the next input would let go of it as well.
            if self.resolving.expire(self.now) {
                self.counters.unplaced = self.counters.unplaced.saturating_add(1);
            }
            if self.now.since(self.opened_at) >= config.timeout_s {
                return self.end(State::Declined(config.timeout_policy));
            }
        }
        self.verdict()
    }

    /// Aborts the open fork; a fork that has ended stays as it ended.
    pub fn abort(&mut self, reason: AbortReason) -> Verdict {
        if self.state == State::Evidence {
            return self.end(State::Aborted(reason));
        }
        self.verdict()
    }

    /// Frees the gate for the next fork and returns how this one ended.
    ///
    /// A fork that is still open is aborted first ([`AbortReason::Operator`]). What was gathered stays readable until the next
    /// [`Gate::open`].
    pub fn close(&mut self) -> Verdict {
        let last = self.abort(AbortReason::Operator);
        self.state = State::Closed;
        last
    }

    /// Feeds a recorded input again.
    pub fn apply(&mut self, input: &GateInput) -> Verdict {
        match input {
            GateInput::Evidence { evidence, now } => self.evidence(evidence, *now),
            GateInput::Look { look, now } => self.look(look, *now),
            GateInput::Contraction { contraction, now } => self.contraction(contraction, *now),
            GateInput::Tick { now } => self.tick(*now),
            GateInput::Abort { reason, .. } => self.abort(*reason),
        }
    }

    /// Adds a checked item and decides.
    pub(super) fn take(&mut self, evidence: &Evidence) -> Verdict {
        let options = self.options;
        let pressed = if evidence.source == Source::Switch {
            let Some(option) = single_best(&evidence.log_lik_nats, options) else {
                self.counters.ambiguous = self.counters.ambiguous.saturating_add(1);
                return self.verdict();
            };
            Some(option)
        } else {
            None
        };
        let item_clip = self
            .settings
            .source(evidence.source)
            .map_or(f64::MAX, |source| source.item_clip_nats);
        let speaks = !is_flat(&evidence.log_lik_nats, options);
        let heard = self.heard_mut(evidence.source);
        heard.last_seq = Some(evidence.seq);
        heard.items = heard.items.saturating_add(u64::from(speaks));
        match evidence.mode {
            EvidenceMode::Replace => heard.total = evidence.log_lik_nats,
            EvidenceMode::Add => {
                let item = relative(&evidence.log_lik_nats, options, item_clip);
                for (total, value) in heard.total.iter_mut().zip(item) {
                    *total += value;
                }
            }
        }
        if (evidence.source, evidence.mode) == (Source::P300, EvidenceMode::Add) {
            for (total, value) in self.attended.iter_mut().zip(evidence.log_lik_nats) {
                *total += value.clamp(-item_clip, item_clip);
            }
        }
        self.counters.accepted = self.counters.accepted.saturating_add(1);
        if let Some(option) = pressed {
            self.pressed = Some(option);
            self.fused = Posterior::certain(option, options);
            return self.end(State::Committed(option));
        }
        self.decide()
    }

    /// Brings the posterior up to date and commits if all conditions are met.
    fn decide(&mut self) -> Verdict {
        let human = self.human();
        let mut log = self.log_prior;
        for (entry, value) in log.iter_mut().zip(human) {
            *entry += value;
        }
        self.fused = Posterior::from_log(&log, self.options);
        let best = self.fused.best();
        if !self.is_due(&best, &human) {
            return self.verdict();
        }
        let policy = self.settings.config().contradiction;
        if policy != ContradictionPolicy::Commit && self.is_contradicted(best.option) {
            return match policy {
                ContradictionPolicy::Abort => self.end(State::Aborted(AbortReason::Contradiction)),
                ContradictionPolicy::Hold | ContradictionPolicy::Commit => self.verdict(),
            };
        }
        self.end(State::Committed(best.option))
    }

    /// Whether the fused posterior and the person's own evidence both ask for this commit.
    fn is_due(&self, best: &Best, human: &[f64; MAX_OPTIONS]) -> bool {
        let config = self.settings.config();
        // A deliberate signal is no item here: it says yes to what other evidence has found. Nor is the pupil, which lags.
        let items = self.gaze.items.saturating_add(self.p300.items);
        let led = best_and_lead(human, self.options).is_some_and(|(option, lead)| {
            option == best.option && lead >= config.human_lead_nats_min
        });
        best.posterior >= config.commit_threshold
            && best.margin >= config.commit_margin
            && items >= u64::from(config.evidence_items_min)
            && led
            && self.attention(best.option) >= config.attention_nats_min
    }

    /// Evidence that somebody attends to this option, against nobody attending, nats.
    ///
    /// A P300 ratio is just that, so the option's own flashes add up; gaze speaks for it by its lead over the next option, since a person who only
    /// looks around favours none. Deliberate signals and the pupil say nothing here: who blinks or chews is there, and need not attend.
    fn attention(&self, option: usize) -> f64 {
        let own = self.attended.get(option).copied().unwrap_or(0.0);
        let lead = best_and_lead(&self.contribution(Source::Gaze), self.options)
            .filter(|(best, _)| *best == option)
            .map_or(0.0, |(_, lead)| lead);
        self.settings.config().p300.reliability * own + lead
    }

    /// Whether a source, by itself, is sure of an option other than `option`.
    fn is_contradicted(&self, option: usize) -> bool {
        let confidence = self.settings.config().contradiction_confidence;
        [Source::Gaze, Source::P300].into_iter().any(|source| {
            let best = self.alone(source).best();
            best.option != option && best.posterior >= confidence
        })
    }

    /// A source's weighted, clipped log-likelihoods, nats.
    fn contribution(&self, source: Source) -> [f64; MAX_OPTIONS] {
        let Some(trust) = self.settings.source(source) else {
            return [0.0; MAX_OPTIONS];
        };
        let total = &self.heard(source).total;
        relative(total, self.options, trust.total_clip_nats).map(|value| trust.reliability * value)
    }

    /// Gaze, P300, deliberate signals and the pupil together, without the prior, nats.
    fn human(&self) -> [f64; MAX_OPTIONS] {
        let mut sum = self.contribution(Source::Gaze);
        let others = [
            self.contribution(Source::P300),
            self.signals(),
            self.contribution(Source::Pupil),
        ];
        for part in others {
            for (entry, value) in sum.iter_mut().zip(part) {
                *entry += value;
            }
        }
        sum
    }

    /// Deliberate blinks and contractions: both mean the same word, so they share what it may say.
    fn signals(&self) -> [f64; MAX_OPTIONS] {
        let mut sum = self.contribution(Source::Blink);
        for (entry, value) in sum.iter_mut().zip(self.contribution(Source::Contraction)) {
            *entry += value;
        }
        let clip_nats = self.settings.config().blink.total_clip_nats;
        relative(&sum, self.options, clip_nats)
    }

    /// The posterior of one source from equal odds.
    fn alone(&self, source: Source) -> Posterior {
        Posterior::from_log(&self.contribution(source), self.options)
    }

    const fn heard(&self, source: Source) -> &Heard {
        match source {
            Source::Gaze => &self.gaze,
            Source::P300 => &self.p300,
            Source::Blink => &self.blink,
            Source::Pupil => &self.pupil,
            Source::Contraction => &self.contraction,
            Source::Switch => &self.switch,
        }
    }

    const fn heard_mut(&mut self, source: Source) -> &mut Heard {
        match source {
            Source::Gaze => &mut self.gaze,
            Source::P300 => &mut self.p300,
            Source::Blink => &mut self.blink,
            Source::Pupil => &mut self.pupil,
            Source::Contraction => &mut self.contraction,
            Source::Switch => &mut self.switch,
        }
    }

    pub(super) fn end(&mut self, state: State) -> Verdict {
        self.state = state;
        self.verdict()
    }

    /// The answer to the last input, again.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.state {
            State::Closed => Verdict::Closed,
            State::Evidence => {
                let best = self.fused.best();
                Verdict::Waiting {
                    best: best.option,
                    posterior: best.posterior,
                }
            }
            State::Committed(option) => {
                let best = self.fused.best();
                Verdict::Committed {
                    option,
                    posterior: best.posterior,
                    margin: best.margin,
                }
            }
            State::Declined(policy) => Verdict::Declined { policy },
            State::Aborted(reason) => Verdict::Aborted { reason },
        }
    }

    /// Where the state machine stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The fork that is open or was last open.
    #[must_use]
    pub const fn fork(&self) -> Option<ForkId> {
        self.fork
    }

    /// The settings in force.
    #[must_use]
    pub const fn settings(&self) -> &GateSettings {
        &self.settings
    }

    /// The capped prior of the fork's options.
    #[must_use]
    pub const fn prior(&self) -> &Posterior {
        &self.prior
    }

    /// Prior and all evidence so far; certainty after a key press.
    #[must_use]
    pub const fn posterior(&self) -> &Posterior {
        &self.fused
    }

    /// The same fork as each source alone sees it.
    #[must_use]
    pub fn arms(&self) -> Arms {
        Arms {
            prior: self.prior,
            gaze: self.alone(Source::Gaze),
            eeg: self.alone(Source::P300),
            keyboard: self.pressed.map_or_else(
                || Posterior::from_log(&[0.0; MAX_OPTIONS], self.options),
                |option| Posterior::certain(option, self.options),
            ),
            fused: self.fused,
        }
    }

    /// Items of a source that entered the posterior of this fork and told its options apart; the flash of a filler does not.
    #[must_use]
    pub const fn items(&self, source: Source) -> u64 {
        self.heard(source).items
    }

    /// What happened to this fork's evidence.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// When the fork was opened.
    #[must_use]
    pub const fn opened_at(&self) -> LslTime {
        self.opened_at
    }
}
