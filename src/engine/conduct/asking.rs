//! Asking: the protocol decides, the gate opens, tiles go up and flashes begin.

use std::time::{Duration, Instant};

use razvilka_dsp::units::MonoTime;
use ringbuf::traits::Producer;

use super::inputs::{Heard, Hindrance};
use super::keys::KeysEnds;
use super::rows::{capped_prior, option_rows, tiles_of};
use super::{Conductor, Postponed};
use crate::choice::{Ask as AskAt, Decision, FlashSequence, ModelReason, Presence};
use crate::engine::EngineError;
use crate::engine::desk::Entry;
use crate::engine::question::Question;
use crate::fork::{Fork, ForkId, MAX_OPTIONS, options_of};
use crate::marker::{Event, OptionKind};
use crate::pipeline::contractions::Asked;
use crate::pipeline::decision::{Opening, Order};
use crate::pipeline::presenter::{self, FlashRun};
use crate::pipeline::scribe;
use crate::rt;
use crate::session::ForkRow;
use crate::source::ClockOffset;
use crate::view::layout;

/// Orders for the gaze thread lie this far ahead, so that they are there before the sample with their stamp.
const LEAD: Duration = Duration::from_millis(40);
/// How long a fork waits for doubted clocks and bad channels before it is left to the model. For a stream that is silent or
/// looked for it waits as long as that takes.
const POSTPONE_MAX: Duration = Duration::from_secs(3);

impl Conductor<'_> {
    /// A fork is there. It is asked at once, or as soon as the streams allow it.
    pub(super) fn ask(&mut self, fork: Fork, attempt: u32) {
        if self.ending {
            return;
        }
        self.guarding.pause_before(&fork);
        let rests = self.guarding.lets_rest(&fork);
        match self.hindrance() {
            None if !rests => self.ask_now(fork, attempt),
            _ => {
                self.postponed = Some(Postponed {
                    fork,
                    attempt,
                    since: Instant::now(),
                });
            }
        }
    }

    /// Asks a fork that had to wait, once it can be asked or has waited long enough.
    pub(super) fn ask_postponed(&mut self) {
        let Some(postponed) = &mut self.postponed else {
            return;
        };
        if self.guarding.lets_rest(&postponed.fork) || self.telling.paused {
            // It waits for the person, not for a stream: of that wait nothing is used up.
            postponed.since = Instant::now();
            return;
        }
        let waited = postponed.since.elapsed() >= POSTPONE_MAX;
        let ready = match self.hindrance() {
            None => true,
            // A stream that stays silent is lost before long, and then found or given up, and so is a display that stays too slow.
            Some(
                Hindrance::Paused
                | Hindrance::Display
                | Hindrance::Searching
                | Hindrance::Settling
                | Hindrance::Silent,
            ) => false,
            Some(Hindrance::Clock | Hindrance::Signal) => waited,
        };
        if ready && let Some(Postponed { fork, attempt, .. }) = self.postponed.take() {
            self.ask_now(fork, attempt);
        }
    }

    /// Why no fork can be asked now.
    fn hindrance(&self) -> Option<Hindrance> {
        if self.telling.paused {
            return Some(Hindrance::Paused);
        }
        if self.lacks_flashes() {
            return Some(Hindrance::Display);
        }
        let only_keys = self.keys.as_ref().filter(|_| self.inputs.is_empty());
        match only_keys {
            Some(keys) => (!keys.is_live()).then_some(Hindrance::Searching),
            None => self.inputs.hindrance(rt::now()),
        }
    }

    fn presence(&self) -> Presence {
        let now = rt::now();
        if self.inputs.clock_doubted(now) {
            Presence::ClockDoubted
        } else if self.keys.is_none() && self.inputs.poor_for().is_some() {
            Presence::PoorSignal
        } else if self.inputs.is_live(now) || self.keys.as_ref().is_some_and(KeysEnds::is_live) {
            Presence::Present
        } else {
            Presence::Nobody
        }
    }

    /// Who chooses is decided; then the person is asked, the imitator takes a branch, or the model goes on.
    fn ask_now(&mut self, fork: Fork, attempt: u32) {
        self.count(fork.position);
        let id = ForkId(self.next_question);
        self.next_question += 1;
        let kinds = options_of(fork.branches.len(), self.can_undo);
        let tiles = layout::tiles(&fork, &kinds, &self.plan.screen);
        let now = rt::now();
        let opened_at = rt::lsl_of(now);
        let mut question = Question::new(id, fork, attempt, kinds, tiles, opened_at);
        let measured = self
            .divergence
            .filter(|(fork, _)| *fork == question.fork.id);
        question.divergence = measured.map(|(_, divergence)| divergence);
        if let Some(remembering) = &self.remembering {
            remembering.prepare(&mut question);
        }
        let ask = AskAt {
            origin: question.fork.origin,
            tokens_written: self.tokens_written,
            attempt,
            presence: self.presence(),
        };
        let decision = question.decide(&mut self.decider, &ask);
        let asked = matches!(decision, Decision::Ask(_));
        let (eeg_clock, gaze_clock) = (self.inputs.eeg_clock(), self.inputs.gaze_clock());
        let row = ForkRow {
            fork: id,
            position_tokens: question.fork.position as u64,
            tokens_written: self.tokens_written,
            context: question.fork.context.clone(),
            origin: question.fork.origin,
            attempt,
            decision,
            opened_at,
            opened_mono: now,
            lease: self.lease,
            gate: self.gate_settings,
            prior_capped: asked
                .then(|| capped_prior(self.gate_settings, &question))
                .flatten(),
            eeg_clock,
            gaze_clock,
            model_sha256: self.model_sha256.clone(),
            adapter: self.adapter.clone(),
        };
        let options = option_rows(&question);
        self.write_down(Entry::Fork(Box::new(row), options));
        if asked {
            self.guard_asked(&question);
        }
        self.write_state(id, now);
        self.look_at_autonomy();
        let fork = question.fork.id;
        match decision {
            Decision::Ask(_) => return self.open(question, eeg_clock, gaze_clock),
            Decision::LetModel(why) => {
                if why == ModelReason::Guarded {
                    self.say_guarded(id);
                }
                self.tell_decoder(scribe::Ask::GoOn(fork));
            }
            Decision::Imitate {
                branch,
                probability,
                ..
            } => {
                let text = question.fork.branches.get(branch);
                let text = text.map_or_else(String::new, |branch| branch.text.clone());
                self.say_imitated(id, branch, text, probability);
                self.tell_decoder(scribe::Ask::Imitate { fork, branch });
            }
        }
        self.awaiting = decision.step().map(|step| (question, step));
    }

    /// Opens the gate and shows the fork.
    fn open(
        &mut self,
        question: Question,
        eeg_clock: Option<ClockOffset>,
        gaze_clock: Option<ClockOffset>,
    ) {
        self.renew_scorer(question.id);
        let shift_deg = self.follow_gaze(question.id);
        let keys = self.keys.as_ref().is_some_and(KeysEnds::is_whole);
        let heard = self.guarding.heard(self.inputs.heard(), keys);
        let mut kinds = [OptionKind::Item; MAX_OPTIONS];
        let mut prior = [0.0; MAX_OPTIONS];
        let options = question.kinds.len().min(MAX_OPTIONS);
        kinds
            .iter_mut()
            .zip(&question.kinds)
            .for_each(|(to, from)| *to = *from);
        prior
            .iter_mut()
            .zip(&question.priors)
            .for_each(|(to, from)| *to = *from);
        self.tell_decoder(scribe::Ask::Options {
            fork: question.fork.id,
            question: question.id,
            kinds: question.kinds.clone(),
        });
        let opened = self.gate.orders.send(Order::Open(Opening {
            fork: question.id,
            kinds,
            priors: prior,
            options,
            lease: self.lease,
            at: question.opened_at,
            fused: heard.fused(),
        }));
        let timeout_s = self.gate_settings.config().timeout_s;
        self.telling.opened(&question, self.lease, timeout_s);
        if !opened {
            self.fail(EngineError::Internal("the gate takes no orders"));
        }
        let appears = rt::lsl_of(MonoTime::from_nanos(
            rt::now().as_nanos() + LEAD.as_nanos() as u64,
        ));
        if let (Heard { gaze: true, .. }, Some(gaze), Some(clock)) =
            (heard, &mut self.inputs.gaze, gaze_clock)
        {
            let mut tiles = tiles_of(
                question.id,
                &question.tiles,
                self.lease,
                appears,
                clock.offset_s,
            );
            tiles.shift_deg = shift_deg;
            // Room for many forks: only a thread that has ended leaves it full, and its silence aborts the fork.
            let _ = gaze.orders.try_push(tiles);
        }
        if let (true, Some(eeg), Some(clock)) = (heard.fused(), &mut self.inputs.eeg, eeg_clock)
            && let Some(ring) = &mut eeg.asked
        {
            // As for the tiles: what a contraction is about, gaze has to say.
            let asked = Asked::at(question.id, self.lease, appears, clock.offset_s);
            let _ = ring.try_push(asked);
        }
        self.presenter.ask(presenter::Ask::SayAt(
            Event::ForkOpen {
                fork: question.id.0,
                context: question.fork.context.clone(),
                options: question.tiles.clone(),
                timeout_s: self.gate_settings.config().timeout_s,
            },
            appears,
        ));
        if heard.eeg {
            let reading_s = self.plan.ask.reading_s(&question.tiles);
            let begin_ns = rt::mono_of(appears).as_nanos() + (reading_s * 1e9) as u64;
            match FlashSequence::new(
                options,
                &self.plan.flash,
                self.plan.session.seed,
                question.id.0,
            ) {
                Ok(sequence) => self.presenter.ask(presenter::Ask::Flash(Box::new(FlashRun {
                    fork: Some(question.id),
                    cued: None,
                    sequence,
                    begin: rt::lsl_of(MonoTime::from_nanos(begin_ns)),
                    eeg_offset_s: eeg_clock.map(|clock| clock.offset_s),
                    lease: self.lease,
                    flashes_max: None,
                    done: None,
                }))),
                Err(error) => self.note(&error.to_string()),
            }
        }
        let shown = self.view.asked(question.id.0, &question.tiles);
        self.seen(shown);
        self.question = Some(question);
    }
}
