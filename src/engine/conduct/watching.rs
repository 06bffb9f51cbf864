//! A look at everything that may fail while the session runs: streams, clocks, gate, recording; and what follows from it.

use std::time::{Duration, Instant};

use super::Conductor;
use super::feed::Change;
use crate::engine::EngineError;
use crate::gate::AbortReason;
use crate::pipeline::decision::Order;
use crate::rt;
use crate::session::EventKind;
use crate::source::ClockOffset;

impl Conductor<'_> {
    /// Looks after streams, clocks and the recording.
    pub(super) fn look_after(&mut self) {
        self.looked_after = Instant::now();
        let ours = ClockOffset {
            at_s: rt::lsl_now().get(),
            offset_s: 0.0,
        };
        self.marker_offsets.push(ours);
        if let Some(state) = &self.state {
            state.offsets.push(ours);
        }
        if let Some(feedback) = &self.feedback {
            feedback.offsets.push(ours);
        }
        self.hear_epochs();
        for change in self.inputs.look_after() {
            self.changed(change);
        }
        self.mask_meanwhile();
        self.look_at_window();
        let lost_wait = Duration::from_secs_f64(self.plan.streams.lost_wait_s);
        if self.inputs.is_empty()
            && let Some(keys) = &self.keys
            && keys.away_for().is_some_and(|away| away >= lost_wait)
        {
            self.fail(EngineError::Lost { name: "keys" });
        }
        // In a pause somebody may be seeing to the electrodes.
        if !self.telling.paused
            && self.keys.is_none()
            && self.inputs.poor_for().is_some_and(|poor| poor >= lost_wait)
        {
            self.fail(EngineError::PoorSignal);
        }
        if self.gate.is_finished() {
            self.fail(EngineError::Internal("the gate's thread panicked"));
        }
        let recording = self.recorder.status();
        for words in recording.remarks.into_iter().skip(self.remarks) {
            self.remarks += 1;
            self.event(EventKind::Source, words.clone());
            self.note(&words);
        }
        if let Some(failure) = recording.failure {
            let words = format!("the recording has ended, the session goes on: {failure}");
            if self.tell_once("recording", &words) {
                self.note(&words);
            }
        }
    }

    /// Something happened to a stream.
    fn changed(&mut self, change: Change) {
        match change {
            Change::Lost { stream, reason } => {
                self.gate.orders.send(Order::Abort(AbortReason::SourceLost));
                self.event(
                    EventKind::Source,
                    format!("the {stream} stream was lost: {reason}"),
                );
                self.note(&format!("the {stream} stream was lost and is looked for"));
            }
            Change::Back { stream, samples } => {
                // An epoch of its own: what rests on samples from before is not for the forks to come.
                self.gate
                    .orders
                    .send(Order::Abort(AbortReason::EpochChanged));
                self.lease.epoch += 1;
                let detail = serde_json::json!({
                    "restarted": { "stream": stream, "samples": samples },
                });
                self.event(EventKind::Source, detail.to_string());
                self.note(&format!("the {stream} stream is back"));
            }
            Change::Refused { stream, why } => {
                self.event(EventKind::Source, format!("the {stream} stream: {why}"));
                self.note(&format!("the {stream} stream: {why}"));
            }
            Change::Doubted { stream, doubts } => {
                let mut words = format!("the {stream} stream's clock is doubted: {doubts}");
                if stream == "gaze" && doubts.contains("rate off") {
                    words.push_str(". If the tracker is slower or faster than it declares, say so in gaze.rate_hz");
                }
                self.event(EventKind::Clock, words.clone());
                self.note(&words);
            }
            Change::Poor { alone } => {
                let words = if alone {
                    self.gate.orders.send(Order::Abort(AbortReason::PoorSignal));
                    "too few EEG channels are good: nothing is asked until they are"
                } else {
                    "too few EEG channels are good: gaze alone chooses until they are"
                };
                self.event(EventKind::Fault, words.to_owned());
                self.note(words);
            }
            Change::Good => {
                let words = "enough EEG channels are good again";
                self.event(EventKind::Fault, words.to_owned());
                self.note(words);
            }
            Change::Eye { eye, news } => {
                let words = news.words(eye);
                self.event(EventKind::Source, words.clone());
                self.note(&words);
            }
            Change::Unseen { still } => {
                let words = if still {
                    "no eye has been seen for 5 s: nothing can be chosen by gaze until one is"
                } else {
                    "an eye is seen again"
                };
                self.event(EventKind::Source, words.to_owned());
                self.note(words);
            }
            Change::Gaze { samples, trouble } => {
                let words = format!("{samples} gaze samples are {}", trouble.words());
                self.event(EventKind::Source, words.clone());
                self.note(&words);
            }
            Change::GivenUp { stream } => self.fail(EngineError::Lost { name: stream }),
            Change::Panicked => self.fail(EngineError::Internal("an inlet thread panicked")),
        }
    }
}
