//! Fork after fork: called for, put before the gate, followed to the text.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::RecvTimeoutError;
use razvilka_dsp::units::MonoTime;
use ringbuf::traits::Consumer;

use super::Forks;
use super::threads::Threads;
use crate::config::{BudgetSection, ScreenSection};
use crate::engine::EngineError;
use crate::engine::question::priors;
use crate::fork::{Fork, ForkId, MAX_OPTIONS, options_of};
use crate::gate::{GateSettings, Lease, Verdict};
use crate::marker::{Event, OptionKind, Outcome};
use crate::pipeline::decision::{Opening, Order, Record};
use crate::pipeline::presenter;
use crate::pipeline::scribe::{self, Told};
use crate::pipeline::trace::{LatencyBook, Place, StepReport, Trace};
use crate::rt;
use crate::view::layout;
use crate::view::terminal::{Terminal, View};

/// Tiles are ordered this far ahead of their stamp.
pub(super) const LEAD: Duration = Duration::from_millis(5);
/// How often the gate's records are taken, at least.
pub(super) const TURN: Duration = Duration::from_millis(2);
/// How long the record of a choice is awaited.
const RECORD_WAIT: Duration = Duration::from_millis(200);
/// Words of a commit's text that stay: the rest, thought ahead on the branch, is taken back by the call for the next fork. Else
/// a few commits would use a story up, and the last of them find a decoder with nothing left to think.
const WORDS_KEPT: usize = 6;

/// The one who asks: what the conductor of a session does, without a desk and without a protocol.
pub(super) struct Asking<'a> {
    threads: Threads,
    view: Terminal<&'a mut dyn Write>,
    gate_settings: GateSettings,
    screen: ScreenSection,
    book: LatencyBook,
    forks: Forks,
    next_question: u64,
    question: Option<Question>,
    /// Whether a fork was called for and the decoder has not answered.
    called: bool,
}

/// The fork that is open, or whose choice the decoder has yet to follow.
struct Question {
    id: ForkId,
    fork: Fork,
    ended: Option<(Verdict, Trace)>,
}

impl<'a> Asking<'a> {
    /// Asks through `threads`, whose gate has these settings, on a screen of this size; text goes to a session's view
    /// on `sink`.
    pub(super) fn new(
        threads: Threads,
        gate_settings: GateSettings,
        screen: ScreenSection,
        budget: &BudgetSection,
        sink: &'a mut dyn Write,
    ) -> Self {
        Self {
            threads,
            view: Terminal::plain(sink),
            gate_settings,
            screen,
            book: LatencyBook::new(budget),
            forks: Forks::default(),
            next_question: 0,
            question: None,
            called: false,
        }
    }

    /// Opens fork after fork for `seconds`, or until `stop`; says for how long it did, seconds.
    ///
    /// # Errors
    /// [`EngineError`] when a thread or a stream is lost.
    pub(super) fn for_some_time(
        &mut self,
        seconds: f64,
        stop: &AtomicBool,
    ) -> Result<f64, EngineError> {
        let begun = Instant::now();
        let length = Duration::from_secs_f64(seconds);
        while begun.elapsed() < length && !stop.load(Ordering::Relaxed) {
            match self.threads.scribe.told.recv_timeout(TURN) {
                Ok(told) => self.told(told)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(EngineError::Internal("the decoder's thread ended"));
                }
            }
            self.drain_records();
            self.threads.look_after_if_due()?;
        }
        Ok(begun.elapsed().as_secs_f64())
    }

    /// Gives the threads back, with what became of the forks and the latencies of those that were decided.
    pub(super) fn end(self) -> (Threads, Forks, Vec<StepReport>) {
        (self.threads, self.forks, self.book.report())
    }

    fn told(&mut self, told: Told) -> Result<(), EngineError> {
        match told {
            Told::Text { piece, .. } => {
                self.show(&piece);
                self.call(0);
            }
            Told::Fork { fork, .. } => self.open(fork)?,
            Told::Taken {
                text, committed_ns, ..
            } => {
                self.show(&text);
                let shown = rt::now();
                self.records_until_ended();
                if let Some(Question {
                    ended: Some((Verdict::Committed { .. }, mut trace)),
                    ..
                }) = self.question.take()
                {
                    trace.mark(Place::Committed, committed_ns);
                    trace.mark(Place::Shown, shown.as_nanos());
                    self.book.note(&trace);
                }
                let words = text.split_whitespace().count();
                self.call(words.saturating_sub(WORDS_KEPT));
            }
            // Text goes on by itself then, and the next piece calls again.
            Told::Refused { .. } => self.called = false,
            Told::Begins { prompt, .. } => {
                self.show(&prompt);
                self.called = false;
            }
            Told::NothingOther(_) | Told::Called { .. } | Told::Remark(_) | Told::Back => {}
            Told::Lost(reason) | Told::Failed(reason) => return Err(EngineError::Decoder(reason)),
        }
        Ok(())
    }

    /// Calls for the next fork so many words back, unless one is open or called for.
    fn call(&mut self, words_back: usize) {
        if self.question.is_none() && !self.called {
            self.called = true;
            let words_back = u32::try_from(words_back).unwrap_or(u32::MAX);
            self.threads.scribe.ask(scribe::Ask::Call { words_back });
        }
    }

    /// Hands text to the view. One that takes nothing more stops nobody.
    fn show(&mut self, text: &str) {
        let _ = self.view.text(text);
    }

    /// Opens the gate for a fork, and puts its tiles up.
    fn open(&mut self, fork: Fork) -> Result<(), EngineError> {
        self.called = false;
        let id = ForkId(self.next_question);
        self.next_question += 1;
        self.forks.opened += 1;
        let lease = Lease { epoch: 1 };
        let shown = options_of(fork.branches.len(), false);
        let tiles = layout::tiles(&fork, &shown, &self.screen);
        let options = shown.len().min(MAX_OPTIONS);
        let (mut kinds, mut prior) = ([OptionKind::Item; MAX_OPTIONS], [0.0; MAX_OPTIONS]);
        kinds
            .iter_mut()
            .zip(&shown)
            .for_each(|(to, from)| *to = *from);
        prior
            .iter_mut()
            .zip(priors(&fork, &shown))
            .for_each(|(to, from)| *to = from);
        self.threads.scribe.ask(scribe::Ask::Options {
            fork: fork.id,
            question: id,
            kinds: shown,
        });
        let opening = Opening {
            fork: id,
            kinds,
            priors: prior,
            options,
            lease,
            at: rt::lsl_now(),
            fused: true,
        };
        if !self.threads.gate.orders.send(Order::Open(opening)) {
            return Err(EngineError::Internal("the gate takes no orders"));
        }
        let appears = rt::lsl_of(MonoTime::from_nanos(
            rt::now().as_nanos() + LEAD.as_nanos() as u64,
        ));
        let timeout_s = self.gate_settings.config().timeout_s;
        let context = fork.context.clone();
        let event = Event::ForkOpen {
            fork: id.0,
            context,
            options: tiles.clone(),
            timeout_s,
        };
        let presenter = &self.threads.presenter;
        presenter.ask(presenter::Ask::SayAt(event, appears));
        self.threads.put_up(id, &tiles, lease, appears, None)?;
        self.question = Some(Question {
            id,
            fork,
            ended: None,
        });
        Ok(())
    }

    fn drain_records(&mut self) {
        while let Some(record) = self.threads.gate.records.try_pop() {
            self.record(&record);
        }
    }

    /// The decoder may hear of a choice before its record is here: they come on different ways.
    fn records_until_ended(&mut self) {
        let until = Instant::now() + RECORD_WAIT;
        self.drain_records();
        while self
            .question
            .as_ref()
            .is_some_and(|question| question.ended.is_none())
            && Instant::now() < until
        {
            std::thread::yield_now();
            self.drain_records();
        }
    }

    fn record(&mut self, record: &Record) {
        let Some(question) = self.question.as_mut() else {
            return;
        };
        if question.id != record.fork || question.ended.is_some() || !record.verdict.is_terminal() {
            return;
        }
        question.ended = Some((record.verdict, record.trace));
        let presenter = &self.threads.presenter;
        presenter.ask(presenter::Ask::Hush);
        let (outcome, item) = match record.verdict {
            Verdict::Committed { option, .. } => {
                self.forks.committed += 1;
                self.forks.on_target += u64::from(option == 0);
                (Outcome::Committed, i32::try_from(option).ok())
            }
            Verdict::Declined { .. } => {
                self.forks.declined += 1;
                (Outcome::Declined, None)
            }
            _ => {
                self.forks.aborted += 1;
                (Outcome::Aborted, None)
            }
        };
        presenter.ask(presenter::Ask::Say(Event::ForkClose {
            fork: question.id.0,
            outcome,
            item,
        }));
        if outcome != Outcome::Committed {
            self.threads.scribe.ask(scribe::Ask::GoOn(question.fork.id));
        }
    }
}
