//! What an operator elsewhere may ask: to pause, to go on, to stop. Every word is written down.
//!
//! A pause closes the open fork, with its reason, and stops the decoder; the fork is asked anew when the session goes on. Streams are watched
//! and recorded meanwhile, and the session's time goes on. Nobody has answered or failed to answer: the
//! fork is a repeated one from its first pause on, and however many more there are, they count as no further attempts.

use super::Conductor;
use crate::engine::control::{Command, Heard};
use crate::gate::AbortReason;
use crate::marker::Event;
use crate::pipeline::decision::Order;
use crate::pipeline::presenter;
use crate::pipeline::scribe;
use crate::session::EventKind;

impl Conductor<'_> {
    /// The operator's stream says something.
    pub(super) fn operator(&mut self, heard: Heard) {
        match heard {
            Heard::Asked(command) => self.asked_by_operator(command),
            Heard::Came { host, uid } => {
                self.telling.hears(uid);
                self.note(&format!("an operator's stream is there, from '{host}'"));
                self.operator_event("came", Some(host));
            }
            Heard::Gone => {
                self.telling.hears(String::new());
                let stays = if self.telling.paused {
                    ": the session stays paused"
                } else {
                    ""
                };
                self.note(&format!("the operator's stream is gone{stays}"));
                self.operator_event("gone", None);
            }
            Heard::Refused(why) => {
                self.note(&format!("the operator's stream was not followed: {why}"));
                self.operator_event("refused", Some(why));
            }
        }
    }

    fn asked_by_operator(&mut self, command: Command) {
        match command {
            Command::Pause if !self.telling.paused => self.pause(),
            Command::Resume if self.telling.paused => self.resume(),
            // The flag is up already: the loop ends after this turn.
            Command::Stop => self.note("the operator stops the session"),
            // Asked twice: it is so already.
            Command::Pause | Command::Resume => return,
        }
        self.operator_event("asked", Some(command.word().to_owned()));
    }

    fn pause(&mut self) {
        self.telling.pause(true);
        self.tell_decoder(scribe::Ask::Pause);
        if self.question.is_some() {
            self.gate.orders.send(Order::Abort(AbortReason::Paused));
            self.records_until_ended();
        }
        self.presenter
            .ask(presenter::Ask::Say(Event::Pause { on: true }));
        self.note("the operator pauses the session");
    }

    fn resume(&mut self) {
        self.telling.pause(false);
        self.inputs.begin_anew();
        self.presenter
            .ask(presenter::Ask::Say(Event::Pause { on: false }));
        self.note("the operator lets the session go on");
        self.tell_decoder(scribe::Ask::Resume);
    }

    fn operator_event(&mut self, what: &str, detail: Option<String>) {
        let detail = serde_json::json!({ "operator": what, "detail": detail });
        self.event(EventKind::Operator, detail.to_string());
    }
}
