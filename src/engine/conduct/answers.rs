//! What comes back of a question: the gate's records, what the decoder took, and the row that says how it ended.

use std::time::{Duration, Instant};

use razvilka_dsp::units::MonoTime;
use ringbuf::traits::Consumer;

use super::Conductor;
use super::rows::why_of;
use crate::choice::{Became, Step, Why};
use crate::engine::EngineError;
use crate::engine::desk::Entry;
use crate::engine::question::{Done, Question};
use crate::fork::{Chooser, ForkId};
use crate::gate::AbortReason;
use crate::marker::{Event, OptionKind};
use crate::pipeline::decision::{Order, Record};
use crate::pipeline::presenter;
use crate::pipeline::scribe::{self, BETWEEN_TEXTS, Taken, Told};
use crate::pipeline::trace::{Place, Trace};
use crate::rt;
use crate::session::EventKind;
use crate::view::terminal::ForkLine;

impl Conductor<'_> {
    pub(super) fn told(&mut self, told: Told) {
        match told {
            Told::Text { piece, position } => {
                self.count(position);
                self.write(&piece);
            }
            Told::Fork {
                fork,
                can_undo,
                states,
                divergence,
            } => {
                self.settle_awaiting_offer();
                if let Some(remembering) = &mut self.remembering {
                    remembering.offered(fork.id, states);
                }
                self.can_undo = can_undo;
                self.divergence = divergence.map(|divergence| (fork.id, divergence));
                self.ask(fork, 0);
            }
            Told::Taken {
                fork,
                how,
                text,
                replaced,
                position,
                ready_tokens: _,
                committed_ns,
            } => {
                self.taken(fork, how, text, replaced, position, committed_ns);
            }
            Told::NothingOther(_) => {
                self.note("nothing else can be offered here: the model goes on");
            }
            Told::Refused { asked } => self.note(&format!("{asked} cannot be followed here")),
            Told::Called {
                words_back,
                text_number,
                position,
                text,
            } => {
                self.unlearn();
                self.withdraw(AbortReason::Withdrawn);
                if let Some(remembering) = &mut self.remembering {
                    remembering.called(position);
                }
                self.decider.called(position);
                self.position = position;
                self.replace(&text);
                let detail = serde_json::json!({
                    "call": { "words_back": words_back, "text": text_number, "position": position },
                });
                self.event(EventKind::Operator, detail.to_string());
            }
            Told::Begins {
                number,
                prompt,
                position,
            } => {
                if number > 0 {
                    self.past_text = format!("{}{}{BETWEEN_TEXTS}", self.past_text, self.text);
                    self.text.clear();
                    self.say_text(BETWEEN_TEXTS);
                }
                if let Some(remembering) = &mut self.remembering {
                    remembering.begins();
                }
                self.decider.begins();
                // Nobody wrote the prompt: its tokens do not count.
                self.position = position;
                self.begin_text(prompt);
            }
            Told::Remark(remark) => {
                self.note(&remark);
                let detail = serde_json::json!({ "server": remark });
                self.event(EventKind::Model, detail.to_string());
            }
            Told::Lost(reason) => {
                self.note(&format!(
                    "{reason}. The text stays as it is; the server is asked again"
                ));
                let detail = serde_json::json!({ "lost": reason });
                self.event(EventKind::Model, detail.to_string());
                self.withdraw(AbortReason::ModelFailed);
            }
            Told::Back => {
                self.note("the server answers again: the text goes on");
                let detail = serde_json::json!({ "back": self.position });
                self.event(EventKind::Model, detail.to_string());
            }
            Told::Failed(reason) => self.fail(EngineError::Decoder(reason)),
        }
    }

    pub(super) fn count(&mut self, position: usize) {
        self.tokens_written += position.saturating_sub(self.position) as u64;
        self.position = position;
    }

    /// The decoder stands on the chosen branch, or was taken back.
    fn taken(
        &mut self,
        fork: ForkId,
        how: Taken,
        text: String,
        replaced: bool,
        position: usize,
        committed_ns: u64,
    ) {
        self.records_until_ended();
        let awaited = self
            .awaiting
            .take_if(|(question, _)| question.fork.id == fork);
        if let Some(remembering) = &mut self.remembering {
            let question = awaited.as_ref().map(|(question, _)| question);
            match how {
                Taken::Undone => remembering.undone(),
                Taken::Branch(_) | Taken::ImitatorBranch(_) | Taken::ModelBranch(_) => {
                    let before = question.map_or(position, |question| question.fork.position);
                    remembering.taken(question, before);
                }
            }
        }
        let Some((question, step)) = awaited else {
            // An undo asked for by key while no fork was open, or none that the decoder knew of.
            self.count(position);
            if replaced {
                self.unlearn();
                self.withdraw(AbortReason::Withdrawn);
                self.replace(&text);
                let detail = serde_json::json!({ "undo": { "position": position } });
                self.event(EventKind::Operator, detail.to_string());
                self.guard_taken_back();
            }
            match how {
                Taken::Undone => self.hand_taken_back(),
                Taken::Branch(_) | Taken::ImitatorBranch(_) | Taken::ModelBranch(_) => {
                    self.decider.taken(position, chooser_of(how));
                }
            }
            return;
        };
        let mut trace = question.end.map(|end| end.trace).unwrap_or_default();
        trace.mark(Place::Committed, committed_ns);
        self.count(position);
        let chooser = chooser_of(how);
        let item = match how {
            Taken::Branch(branch) | Taken::ImitatorBranch(branch) | Taken::ModelBranch(branch) => {
                Some(branch)
            }
            Taken::Undone => question
                .kinds
                .iter()
                .position(|kind| *kind == OptionKind::Undo),
        };
        self.show_answer(&question, item, chooser, &step);
        let shown = if replaced {
            self.replace(&text)
        } else {
            self.write(&text)
        };
        trace.mark(Place::Shown, shown.as_nanos());
        // The person has the text.
        match how {
            Taken::Branch(_) => {
                self.answered_with(&question, item);
                self.looked_at(&question, item);
            }
            Taken::Undone => self.unlearn(),
            Taken::ImitatorBranch(_) | Taken::ModelBranch(_) => {}
        }
        if question.committed_option().is_some() {
            self.book.note(&trace);
            self.telling.shown(&trace);
            self.answered += 1;
        }
        let done = Done {
            item: item.and_then(|item| i32::try_from(item).ok()),
            chooser: Some(chooser),
            why: why_of(&step),
            text: if replaced { String::new() } else { text },
            tokens_written: self.tokens_written,
            trace,
            committed: MonoTime::from_nanos(committed_ns),
        };
        self.write_choice(&question, &done);
        let became = match how {
            Taken::Undone => Became::TakenBack,
            Taken::Branch(_) | Taken::ImitatorBranch(_) | Taken::ModelBranch(_) => Became::Taken {
                position: question.fork.position,
                chooser,
            },
        };
        self.hand_in(&step, became);
    }

    /// The person called for a fork elsewhere, or took a choice back, or the model is gone: what was asked or about to be
    /// asked here is asked no more.
    fn withdraw(&mut self, reason: AbortReason) {
        if self.question.is_some() {
            self.gate.orders.send(Order::Abort(reason));
            self.records_until_ended();
        }
        self.postponed = None;
        // The gate may have decided in the same moment; the decoder has not followed.
        if let Some((question, step)) = self.awaiting.take() {
            self.nobody_took(&question, &step);
        }
    }

    /// A question is over, and nothing was taken: nobody chose, nothing was written.
    fn nobody_took(&mut self, question: &Question, step: &Step) {
        self.show_answer(question, None, Chooser::Model, step);
        let done = Done {
            item: None,
            chooser: None,
            why: why_of(step),
            text: String::new(),
            tokens_written: self.tokens_written,
            trace: Trace::default(),
            committed: rt::now(),
        };
        self.write_choice(question, &done);
        self.hand_in(step, Became::Nothing);
    }

    /// Other branches are offered: the question that asked for them is over.
    fn settle_awaiting_offer(&mut self) {
        self.records_until_ended();
        let Some((question, step)) = self.awaiting.take() else {
            return;
        };
        let item = question.committed_option();
        let chooser = item.map(|_| Chooser::Human);
        self.show_answer(&question, item, chooser.unwrap_or(Chooser::Model), &step);
        self.answered += u32::from(item.is_some());
        let committed = rt::now();
        let mut trace = question.end.map(|end| end.trace).unwrap_or_default();
        trace.mark(Place::Committed, committed.as_nanos());
        let done = Done {
            item: item.and_then(|item| i32::try_from(item).ok()),
            chooser,
            why: why_of(&step),
            text: String::new(),
            tokens_written: self.tokens_written,
            trace,
            committed,
        };
        self.write_choice(&question, &done);
        self.hand_in(&step, Became::Nothing);
    }

    fn write_choice(&mut self, question: &Question, done: &Done) {
        let flashes = u64::from(question.evidence_counts().0);
        let mut row = question.choice_row(done, rt::mono_of, &self.model_sha256, flashes);
        row.adapter.clone_from(&self.adapter);
        self.write_down(Entry::Choice(Box::new(row)));
        if let Some(remembering) = &mut self.remembering {
            remembering.ended(question, done);
        }
        self.guard_ended(question);
    }

    fn show_answer(
        &mut self,
        question: &Question,
        item: Option<usize>,
        chooser: Chooser,
        step: &Step,
    ) {
        let posterior = question.end.and_then(|end| end.arms).map(|arms| arms.fused);
        let of = |option: usize| {
            posterior
                .as_ref()
                .and_then(|p| p.as_slice().get(option).copied())
                .unwrap_or(f64::NAN)
        };
        let line = ForkLine {
            fork: question.id.0,
            options: question
                .tiles
                .iter()
                .cloned()
                .enumerate()
                .map(|(option, tile)| (tile, of(option)))
                .collect(),
            taken: item,
            chooser,
            ending: ending_words(step),
            seconds: question
                .end
                .map_or(0.0, |end| end.decided_at.since(question.opened_at)),
            evidence: question.evidence_counts(),
        };
        self.telling.answered(&line);
        let shown = self.view.answered(&line);
        self.seen(shown);
    }

    pub(super) fn drain_records(&mut self) {
        while let Some(record) = self.gate.records.try_pop() {
            self.record(&record);
        }
    }

    /// The decoder may hear of a choice before its record is here: they come on different ways.
    pub(super) fn records_until_ended(&mut self) {
        let until = Instant::now() + Duration::from_millis(200);
        self.drain_records();
        while self.question.is_some() && Instant::now() < until {
            std::thread::yield_now();
            self.drain_records();
        }
    }

    fn record(&mut self, record: &Record) {
        let Some(question) = self
            .question
            .as_mut()
            .filter(|question| question.id == record.fork)
        else {
            return;
        };
        self.telling.record(record);
        if let Some(row) = question.take(record) {
            self.write_down(Entry::Evidence(Box::new(row)));
        }
        if record.verdict.is_terminal()
            && let Some(question) = self.question.take()
        {
            self.ended(question);
        }
    }

    /// The gate is done with a question: hush, say so, and see what follows.
    fn ended(&mut self, question: Question) {
        self.presenter.ask(presenter::Ask::Hush);
        let (Some(end), Some(outcome)) = (question.end, question.outcome()) else {
            return;
        };
        self.presenter.ask(presenter::Ask::Say(Event::ForkClose {
            fork: question.id.0,
            outcome,
            item: question
                .committed_option()
                .and_then(|option| i32::try_from(option).ok()),
        }));
        self.tell_attended(&question);
        self.telling.ended(&question);
        let selected = question.committed_option().is_some();
        let fork = question.fork.id;
        match self
            .decider
            .follow(&end.verdict, &question.kinds, question.attempt)
        {
            Some(step @ Step::AskAgain { why }) => {
                self.nobody_took(&question, &step);
                // A place that was left, for a fork elsewhere or with its model, is asked no more.
                if !matches!(
                    why,
                    Why::Aborted(AbortReason::Withdrawn | AbortReason::ModelFailed)
                ) {
                    let attempt = step.attempt_after(question.attempt);
                    self.ask(question.fork, attempt);
                }
            }
            Some(step) => {
                // What the person selected, the decoder has seen by itself; the rest it must be told.
                match step {
                    Step::OfferOther { .. } if !selected => {
                        self.tell_decoder(scribe::Ask::Other(fork));
                    }
                    Step::ModelChooses { .. } if !selected => {
                        self.tell_decoder(scribe::Ask::GoOn(fork));
                    }
                    _ => {}
                }
                self.awaiting = Some((question, step));
            }
            None => self.fail(EngineError::Internal(
                "the gate chose an option that does not exist",
            )),
        }
    }
}

fn ending_words(step: &Step) -> String {
    match why_of(step) {
        Why::Selected => "committed".into(),
        Why::ToldToGoOn => "told to go on".into(),
        Why::NotAsked(reason) => format!("not asked: {}", reason.words()),
        Why::TimedOut(_) => "declined: time ran out".into(),
        Why::Aborted(reason) => format!("aborted: {reason}"),
        Why::Imitated { probability, .. } => {
            format!("you would have with p = {probability:.2}; nobody was asked")
        }
    }
}

const fn chooser_of(how: Taken) -> Chooser {
    match how {
        Taken::Branch(_) | Taken::Undone => Chooser::Human,
        Taken::ImitatorBranch(_) => Chooser::Imitator,
        Taken::ModelBranch(_) => Chooser::Model,
    }
}
