//! The end of a session, in order: the open fork, the decoder, the streams, the disk.

use std::time::Duration;

use super::{Conductor, Played};
use crate::engine::EngineError;
use crate::engine::desk::Entry;
use crate::engine::latency::LatencyReport;
use crate::gate::AbortReason;
use crate::marker::Event;
use crate::pipeline::decision::Order;
use crate::pipeline::presenter;
use crate::pipeline::scribe::Told;
use crate::rt;
use crate::session::{EventKind, EventRow};

/// How long the disk may take at the end.
const FINISH: Duration = Duration::from_secs(10);

/// Why the main loop ended.
pub(super) enum Ending {
    Forks,
    Time,
    Stopped,
    Guard,
    Failed,
}

impl Conductor<'_> {
    pub(super) fn finish(mut self, ending: Ending) -> Result<Played, EngineError> {
        self.ending = true;
        let cleared = self.view.status("");
        self.seen(cleared);
        if self.question.is_some() {
            let reason = match ending {
                Ending::Failed => AbortReason::Internal,
                Ending::Forks | Ending::Time | Ending::Stopped | Ending::Guard => {
                    AbortReason::Shutdown
                }
            };
            self.gate.orders.send(Order::Abort(reason));
            self.records_until_ended();
        }
        let words = match ending {
            Ending::Forks => "all forks were answered",
            Ending::Time => "time is up",
            Ending::Stopped => "it was stopped",
            Ending::Guard => "the guard ended it",
            Ending::Failed => "a fault ended it",
        };
        let (stopped, last) = self.scribe.stop();
        // What the decoder wrote before it stopped belongs to the text and the ledger; nobody is asked any more.
        for told in last
            .into_iter()
            .filter(|told| !matches!(told, Told::Fork { .. }))
        {
            self.told(told);
        }
        self.close_account();
        if let Some(stopped) = &stopped {
            let detail = serde_json::json!({
                "ending": words, "text": stopped.text_number, "position": stopped.position,
            });
            let mono = rt::now();
            let row = EventRow {
                kind: EventKind::End,
                fork: None,
                at: rt::lsl_of(mono),
                mono,
                detail: detail.to_string(),
            };
            self.write_down(Entry::Event(row));
        }
        self.presenter.ask(presenter::Ask::Say(Event::SessionEnd));
        let shown = self
            .presenter
            .stop()
            .map(|(_, shown)| shown)
            .unwrap_or_default();
        let eeg = self.profile.eeg.as_ref();
        let labels = eeg.map_or(&[][..], |eeg| &eeg.labels);
        let (mut granted, streams) = self.inputs.finish(self.plan, labels);
        if let Some(state) = self.state {
            state.stop();
        }
        if let Some(keys) = self.keys {
            keys.stop();
        }
        let dropped = self.gate.dropped();
        if let Some((gate, _)) = self.gate.stop() {
            granted.push(gate);
        }
        let recording = self.recorder.finish(FINISH);
        let (ledger, faults) = self.desk.close();
        self.warned.extend(faults);
        if let Some(remembering) = self.remembering {
            self.warned.extend(remembering.close());
        }
        Ok(Played {
            latency: LatencyReport {
                forks: self.book.report(),
                streams,
                gate_items_dropped: dropped,
            },
            recording,
            granted,
            ledger,
            texts: self.texts,
            shown,
            answered: self.answered,
            ending: words.to_owned(),
            warnings: self.warned,
            failure: self.failure,
        })
    }
}
