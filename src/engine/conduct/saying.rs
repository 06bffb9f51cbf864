//! What the session says: to the view, the marker stream, the ledger and the operator.

use razvilka_dsp::units::MonoTime;

use super::Conductor;
use crate::engine::EngineError;
use crate::engine::desk::Entry;
use crate::marker::Event;
use crate::pipeline::presenter;
use crate::pipeline::scribe;
use crate::rt;
use crate::session::{EventKind, EventRow, TextRecord};

impl Conductor<'_> {
    /// Adds text; gives the moment when it was handed to the view.
    pub(super) fn write(&mut self, piece: &str) -> MonoTime {
        self.text.push_str(piece);
        self.say_text(piece)
    }

    pub(super) fn say_text(&mut self, piece: &str) -> MonoTime {
        let shown = self.view.text(piece);
        let at = rt::now();
        self.seen(shown);
        self.add_text(piece, false);
        at
    }

    /// Begins a text with what it was given.
    pub(super) fn begin_text(&mut self, prompt: String) {
        self.texts
            .push(TextRecord::behind(&self.past_text, &prompt));
        if !prompt.is_empty() {
            let shown = self.view.prompt(&prompt);
            self.seen(shown);
            self.add_text(&prompt, true);
        }
        self.text = prompt;
    }

    fn add_text(&mut self, piece: &str, prompt: bool) {
        self.presenter.ask(presenter::Ask::Say(Event::Text {
            piece: piece.to_owned(),
            replace: false,
            prompt,
        }));
        self.write_down(Entry::Text(piece.to_owned()));
    }

    /// Replaces the present text; gives the moment when it was handed to the view.
    pub(super) fn replace(&mut self, text: &str) -> MonoTime {
        self.text = text.to_owned();
        let whole = format!("{}{}", self.past_text, self.text);
        let shown = self.view.replaced(&whole);
        let at = rt::now();
        self.seen(shown);
        self.presenter.ask(presenter::Ask::Say(Event::Text {
            piece: whole.clone(),
            replace: true,
            prompt: false,
        }));
        self.write_down(Entry::Replace(whole));
        at
    }

    pub(super) fn note(&mut self, note: &str) {
        self.telling.noted(note);
        let shown = self.view.note(note);
        self.seen(shown);
    }

    /// A terminal that cannot be written to does not stop a session.
    pub(super) fn seen(&mut self, shown: std::io::Result<()>) {
        if let Err(error) = shown {
            self.warn("view", format!("the view failed: {error}"));
        }
    }

    /// Something that does not stop the session: told once for each kind, and kept for the manifest.
    pub(super) fn warn(&mut self, kind: &'static str, warning: String) {
        if self.tell_once(kind, &warning) {
            self.warned.push(warning);
        }
    }

    /// Tells the operator; `false` when something of this kind was told before.
    pub(super) fn tell_once(&mut self, kind: &'static str, words: &str) -> bool {
        let first = !self.told_of.contains(&kind);
        if first {
            eprintln!("razvilka: {words}");
            self.told_of.push(kind);
        }
        first
    }

    /// Looks at the desk. A fault ends the session: what cannot be written down must not happen.
    pub(super) fn look_at_desk(&mut self) {
        let faults: Vec<_> = self.desk.faults().collect();
        for fault in faults {
            if self.failure.is_some() {
                self.warn("desk", fault);
            } else {
                self.fail(EngineError::Unrecorded { fault });
            }
        }
    }

    pub(super) fn event(&mut self, kind: EventKind, detail: String) {
        let mono = rt::now();
        let fork = self.question.as_ref().map(|question| question.id);
        self.write_down(Entry::Event(EventRow {
            kind,
            fork,
            at: rt::lsl_of(mono),
            mono,
            detail,
        }));
    }

    /// Hands something to the desk. A desk that takes nothing more ends the session: what cannot be written down must not
    /// happen.
    pub(super) fn write_down(&mut self, entry: Entry) {
        if !self.desk.hand_in(entry) {
            self.fail(EngineError::DiskStuck);
        }
    }

    /// Asks the decoder for something.
    pub(super) fn tell_decoder(&mut self, ask: scribe::Ask) {
        if !self.scribe.ask(ask) {
            self.fail(EngineError::Internal("the decoder takes no orders"));
        }
    }

    pub(super) fn fail(&mut self, error: EngineError) {
        self.failure.get_or_insert(error);
    }
}
