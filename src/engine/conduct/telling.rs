//! What an operator elsewhere, and the line in the terminal, are told of the session.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, never};

use super::Conductor;
use super::disk::Disk;
use super::inputs::{Inputs, SILENCE_MAX};
use crate::engine::control::{Heard, Listener};
use crate::engine::question::Question;
use crate::engine::telemetry::{
    AskedNow, Autonomous, ForkNow, Health, Mirror, Named, Outlets, Page, Phase, Stages, Status,
    StreamNow, StreamState, Teller, level_of, tail,
};
use crate::fork::ForkId;
use crate::gate::{GateSettings, Lease};
use crate::pipeline::decision::Record;
use crate::pipeline::inlet::Heartbeat;
use crate::pipeline::trace::Trace;
use crate::rt;
use crate::view::status::status_line;
use crate::view::terminal::ForkLine;

/// Characters of the text that are taken for a page: it tells fewer.
const TEXT_CHARS: usize = 2_000;
/// Notes that are kept.
const NOTES: usize = 6;
/// How often the line in the terminal is made anew.
const LINE_EVERY: Duration = Duration::from_millis(500);
/// How long the end of a fork is told before the text goes on.
const END_LASTS: Duration = Duration::from_secs(1);

/// What the operator's streams need from outside.
#[derive(Default)]
pub struct OperatorSetting {
    /// Where telemetry goes; `None` leaves it out.
    pub outlets: Option<Outlets>,
    /// Who hears the operator; `None` when nobody may ask anything.
    pub listener: Option<Listener>,
}

/// What is told, and what was heard.
pub(super) struct Telling {
    teller: Option<Teller>,
    listener: Option<Listener>,
    pub(super) paused: bool,
    mirror: Mirror,
    stages: Stages,
    fork: ForkNow,
    ended_at: Option<Instant>,
    asked: u64,
    imitated: u64,
    notes: VecDeque<String>,
    answer: String,
    /// What never changes of the page.
    page: Page,
    disk: Disk,
    /// Offsets of the clocks of EEG and gaze when they were first measured, seconds.
    clocks: [Option<f64>; 2],
    line_at: Instant,
}

impl Telling {
    pub(super) fn new(
        setting: OperatorSetting,
        plan: &crate::config::Plan,
        gate: GateSettings,
        session: &str,
        disk: Disk,
        inputs: &Inputs,
    ) -> Self {
        let teller = setting
            .outlets
            .map(|outlets| Teller::new(outlets, plan.operator.status_every_s));
        let page = Page {
            session: session.to_owned(),
            eeg: inputs.eeg.as_ref().map(|eeg| Named::of(&eeg.spec)),
            gaze: inputs.gaze.as_ref().map(|gaze| Named::of(&gaze.spec)),
            gaze_read: plan.gaze.clone(),
            screen: plan.screen.clone(),
            control: setting.listener.is_some(),
            ..Page::default()
        };
        Self {
            teller,
            listener: setting.listener,
            paused: false,
            mirror: Mirror::new(gate),
            stages: Stages::new(&plan.budget),
            fork: ForkNow::default(),
            ended_at: None,
            asked: 0,
            imitated: 0,
            notes: VecDeque::new(),
            answer: String::new(),
            page,
            disk,
            clocks: [None; 2],
            line_at: Instant::now(),
        }
    }

    /// Where the operator is heard.
    pub(super) fn heard(&self) -> Receiver<Heard> {
        let listener = self.listener.as_ref();
        listener.map_or_else(never, |listener| listener.heard.clone())
    }

    /// The session is paused from now on, or no more; an operator's view must not offer the wrong word.
    pub(super) fn pause(&mut self, paused: bool) {
        self.paused = paused;
        if let Some(teller) = &mut self.teller {
            teller.status_at_once();
        }
    }

    /// The stream with this uid is heard from now on; none when it is empty.
    pub(super) fn hears(&mut self, uid: String) {
        self.page.heard = uid;
    }

    /// The gate was ordered to open this question.
    pub(super) fn opened(&mut self, question: &Question, lease: Lease, timeout_s: f64) {
        self.asked += 1;
        self.mirror.open(
            question.id,
            &question.kinds,
            &question.priors,
            question.opened_at,
            lease,
        );
        self.fork = ForkNow {
            fork: Some(question.id.0),
            phase: Phase::Open,
            timeout_s: Some(timeout_s as f32),
            posterior: self.mirror.posterior(),
            ..ForkNow::default()
        };
    }

    /// The gate was given something.
    pub(super) fn record(&mut self, record: &Record) {
        self.mirror.take(record);
        if record.made.is_some() {
            self.stages.item(&record.trace);
        }
    }

    /// The gate is done with a question.
    pub(super) fn ended(&mut self, question: &Question) {
        use crate::marker::Outcome;
        self.follow(question);
        self.fork.phase = match question.outcome() {
            Some(Outcome::Committed) => Phase::Committed,
            Some(Outcome::Declined) => Phase::Declined,
            Some(Outcome::Aborted) | None => Phase::Aborted,
        };
        self.fork.taken = question.committed_option();
        self.ended_at = Some(Instant::now());
        // At once: a fork that is asked again, or has to wait, has another phase before the conductor's turn is over.
        if let Some(teller) = &mut self.teller {
            teller.fork(&self.fork);
        }
    }

    /// The text of a decided fork has been shown.
    pub(super) fn shown(&mut self, trace: &Trace) {
        self.stages.fork(trace);
    }

    /// The imitator took a fork.
    pub(super) fn imitated(&mut self, fork: ForkId) {
        self.imitated += 1;
        self.fork = ForkNow {
            fork: Some(fork.0),
            ..ForkNow::default()
        };
    }

    /// How a fork ended, for people.
    pub(super) fn answered(&mut self, line: &ForkLine) {
        let taken = line.taken.and_then(|item| line.options.get(item));
        let taken = taken.map_or("", |(tile, _)| &tile.text);
        let who = match line.chooser {
            crate::fork::Chooser::Human => "person",
            crate::fork::Chooser::Imitator => "imitator",
            crate::fork::Chooser::Model => "model",
        };
        self.answer = format!("{}: {who}: {taken} ({})", line.fork, line.ending);
    }

    pub(super) fn noted(&mut self, note: &str) {
        if self.notes.len() == NOTES {
            self.notes.pop_front();
        }
        self.notes.push_back(note.to_owned());
    }

    fn follow(&mut self, question: &Question) {
        let open_s = rt::lsl_now().since(question.opened_at);
        self.fork.posterior = self.mirror.posterior();
        self.fork.open_s = Some(open_s as f32);
        (self.fork.flashes, self.fork.gaze_updates) = question.evidence_counts();
    }
}

impl Conductor<'_> {
    /// Tells what is new, each thing not more often than is of use.
    pub(super) fn tell_operator(&mut self) {
        let line_due = self.telling.line_at.elapsed() >= LINE_EVERY;
        let teller = self.telling.teller.as_ref();
        let wants_status = teller.is_some_and(Teller::wants_status);
        if let Some(question) = &self.question {
            self.telling.follow(question);
        } else if self.postponed.is_some() {
            self.telling.fork.phase = Phase::Held;
        } else if self
            .telling
            .ended_at
            .is_none_or(|at| at.elapsed() >= END_LASTS)
        {
            self.telling.fork = ForkNow {
                fork: self.telling.fork.fork,
                ..ForkNow::default()
            };
        }
        if let Some(teller) = &mut self.telling.teller {
            teller.fork(&self.telling.fork);
        }
        if line_due || wants_status {
            self.follow_clocks();
            let status = self.status();
            if let Some(teller) = self.telling.teller.as_mut().filter(|_| wants_status) {
                teller.status(&status);
            }
            if line_due {
                self.telling.line_at = Instant::now();
                let shown = self.view.status(&status_line(&status, &self.telling.fork));
                self.seen(shown);
            }
        }
        self.tell_page();
    }

    fn tell_page(&mut self) {
        let number = self.question.as_ref().map(|question| question.id.0);
        let teller = self.telling.teller.as_ref();
        if !teller.is_some_and(|teller| teller.wants_page(number)) {
            return;
        }
        let now = &self.telling;
        let page = Page {
            text: tail(&self.text, TEXT_CHARS),
            fork: self.question.as_ref().map(|question| AskedNow {
                number: question.id.0,
                options: question.tiles.clone(),
            }),
            answer: now.answer.clone(),
            bad: self.bad_labels(),
            notes: now.notes.iter().cloned().collect(),
            ..now.page.clone()
        };
        if let Some(teller) = &mut self.telling.teller {
            teller.page(page);
        }
    }

    fn bad_labels(&self) -> Vec<String> {
        let labels = self.profile.eeg.as_ref().map(|eeg| &eeg.labels);
        let (Some(labels), Some(eeg)) = (labels, &self.inputs.eeg) else {
            return Vec::new();
        };
        let bad = eeg.watch.bad();
        bad.iter()
            .filter_map(|channel| labels.get(channel).cloned())
            .collect()
    }

    /// Keeps the offset that each clock had when it was first measured; of a stream that was lost it is measured anew.
    fn follow_clocks(&mut self) {
        let beats = self.inputs.beats();
        for (first, beat) in self.telling.clocks.iter_mut().zip(beats) {
            let here = beat.filter(|(beat, away)| !(*away || beat.is_lost()));
            let offset_s = here.and_then(|(beat, _)| Some(beat.clock_offset()?.offset_s));
            *first = here.and(first.or(offset_s));
        }
    }

    /// The session in numbers.
    fn status(&self) -> Status {
        let yes = |is: bool| Some(f64::from(u8::from(is)));
        let now = rt::now();
        let [eeg, gaze] = self.inputs.beats();
        let [eeg_first, gaze_first] = self.telling.clocks;
        let stream = |found: Option<(&Heartbeat, bool)>, first_s: Option<f64>| {
            found.map_or_else(StreamNow::default, |(beat, away)| {
                let state = if away || beat.is_lost() {
                    StreamState::Lost
                } else if beat.silent(now, SILENCE_MAX) {
                    StreamState::Silent
                } else {
                    StreamState::Live
                };
                let counts = beat.clock().counts();
                StreamNow {
                    state: Some(state.into()),
                    rate_hz: counts.measured_rate_hz,
                    drift_s: drift_s(beat.clock_offset().map(|clock| clock.offset_s), first_s),
                    shift_s: Some(beat.clock().shift_s()),
                    doubts: Some(counts.doubts.values().sum::<u64>() as f64),
                    doubted: yes(beat.clock().is_doubted(now)),
                }
            })
        };
        let telling = &self.telling;
        let mut steps = [crate::engine::telemetry::StepNow::default(); _];
        steps
            .iter_mut()
            .zip(telling.stages.now())
            .for_each(|(to, from)| *to = from);
        let channels = self.profile.eeg.as_ref().map(|eeg| eeg.labels.len() as f64);
        let watch = self.inputs.eeg.as_ref().map(|eeg| &eeg.watch);
        let budget = self.plan.protocol.config().questions_per_100_tokens_max;
        let report = self.decider.report();
        Status {
            time_s: Some(self.begun.elapsed().as_secs_f64()),
            paused: yes(telling.paused),
            protocol: Autonomous {
                level: report.and_then(|report| level_of(report.autonomy)),
                asked: Some(telling.asked as f64),
                answered: Some(f64::from(self.answered)),
                forks: Some(f64::from(self.plan.session.forks)),
                imitated: Some(telling.imitated as f64),
                budget_left: Some(f64::from(self.decider.questions_left(self.tokens_written))),
                budget: Some(f64::from(budget)),
                tokens: Some(self.tokens_written as f64),
            },
            steps,
            eeg: stream(eeg, eeg_first),
            gaze: stream(gaze, gaze_first),
            health: Health {
                channels: channels.filter(|_| watch.is_some()),
                channels_bad: watch.map(|watch| watch.bad().iter().count() as f64),
                poor: watch.and_then(|watch| yes(watch.is_poor())),
                flashes_rejected: watch.map(|watch| watch.rejected() as f64),
                gaze_lost: self.inputs.gaze_lost(),
                gate_dropped: Some(self.gate.dropped() as f64),
                disk_free_mib: telling.disk.free_mib(),
                recording: yes(self.recorder.status().failure.is_none()),
                control_refused: telling
                    .listener
                    .as_ref()
                    .map(|listener| listener.refused() as f64),
            },
        }
    }
}

/// How far an offset has moved since it was first measured, seconds. Between machines the offset itself is as large as the time one has been
/// up longer than the other, of which a `float32` keeps no milliseconds.
fn drift_s(now_s: Option<f64>, first_s: Option<f64>) -> Option<f64> {
    Some(now_s? - first_s?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_of_another_machine_that_moves_by_a_millisecond_is_seen_to() {
        let first_s = 1_700_000_000.25;
        let drift = drift_s(Some(first_s + 0.001), Some(first_s)).unwrap();
        assert!((f64::from(drift as f32) - 0.001).abs() < 1e-6, "{drift}");
        assert_eq!(drift_s(None, Some(1.0)), None);
        assert_eq!(drift_s(Some(1.0), None), None);
    }
}
