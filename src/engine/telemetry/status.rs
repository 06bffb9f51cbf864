//! How the session stands, in numbers: one labelled channel each, so that any LSL program can record and plot them.
//!
//! Not known is NaN on the stream and `None` here. Every field has its label and unit in one list, by which it is published and read.

use crate::choice::handover::Autonomy;
use crate::pipeline::trace::STEPS;
use crate::source::{Format, StreamSpec};

/// Name of the stream.
pub const STATUS_STREAM: &str = "RazvilkaStatus";

/// One step of the latency.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepNow {
    /// The latest measurement, microseconds.
    pub latest_us: Option<f64>,
    /// Median, microseconds.
    pub p50_us: Option<f64>,
    /// 99th percentile, microseconds; from 100 measurements on.
    pub p99_us: Option<f64>,
    /// Largest, microseconds.
    pub max_us: Option<f64>,
    /// Budget, microseconds.
    pub budget_us: Option<f64>,
    /// Measurements over budget.
    pub misses: Option<f64>,
    /// Measurements.
    pub n: Option<f64>,
}

impl StepNow {
    /// The figure that is held against the budget: the 99th percentile, or the largest while there are too few for one.
    #[must_use]
    pub fn judged_us(&self) -> Option<f64> {
        self.p99_us.or(self.max_us)
    }

    /// Whether that figure lies over the budget.
    #[must_use]
    pub fn is_missed(&self) -> bool {
        matches!((self.judged_us(), self.budget_us), (Some(us), Some(budget)) if us > budget)
    }
}

/// How it stands with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamState {
    /// Samples come.
    Live,
    /// None has come lately.
    Silent,
    /// It is looked for.
    Lost,
}

/// One stream and its clock.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StreamNow {
    /// 0 live, 1 silent, 2 lost and looked for; `None` when the session has no such stream.
    pub state: Option<f64>,
    /// Rate as measured, Hz.
    pub rate_hz: Option<f64>,
    /// How far its clock has moved against the engine's since it was first measured, seconds.
    pub drift_s: Option<f64>,
    /// How much later than usual the promptest sample of the last second came, seconds.
    pub shift_s: Option<f64>,
    /// How often its clock was doubted so far.
    pub doubts: Option<f64>,
    /// Whether it is doubted now: no fork is asked meanwhile.
    pub doubted: Option<f64>,
}

impl StreamNow {
    /// The state in words of code.
    #[must_use]
    pub fn stream_state(&self) -> Option<StreamState> {
        Some(match self.state? as i64 {
            0 => StreamState::Live,
            1 => StreamState::Silent,
            _ => StreamState::Lost,
        })
    }
}

impl From<StreamState> for f64 {
    fn from(state: StreamState) -> Self {
        match state {
            StreamState::Live => 0.0,
            StreamState::Silent => 1.0,
            StreamState::Lost => 2.0,
        }
    }
}

/// Protocol: who is asked, how often.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Autonomous {
    /// Level of autonomy: 0 asks, 1 watches, 2 often checked, 3 seldom checked; `None` without an imitator.
    pub level: Option<f64>,
    /// Forks at which the person was asked so far.
    pub asked: Option<f64>,
    /// Forks answered so far, and how many the session wants.
    pub answered: Option<f64>,
    /// How many answered forks end the session.
    pub forks: Option<f64>,
    /// Forks that the imitator took.
    pub imitated: Option<f64>,
    /// Questions that may still be asked within the last 100 tokens.
    pub budget_left: Option<f64>,
    /// Questions that may be asked within 100 tokens.
    pub budget: Option<f64>,
    /// Tokens written so far.
    pub tokens: Option<f64>,
}

/// Channels, disk, what was lost.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Health {
    /// EEG channels in use.
    pub channels: Option<f64>,
    /// Those that are bad now.
    pub channels_bad: Option<f64>,
    /// Whether too few are good.
    pub poor: Option<f64>,
    /// Flashes whose epoch could not be used.
    pub flashes_rejected: Option<f64>,
    /// Share of gaze samples without an eye, 0..=1.
    pub gaze_lost: Option<f64>,
    /// Items of evidence that the gate lost because a ring was full.
    pub gate_dropped: Option<f64>,
    /// Free room on the session folder's disk, MiB.
    pub disk_free_mib: Option<f64>,
    /// Whether the recording is whole so far.
    pub recording: Option<f64>,
    /// What an operator's stream asked that was refused.
    pub control_refused: Option<f64>,
}

/// How the session stands.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Status {
    /// Seconds since the session began to write.
    pub time_s: Option<f64>,
    /// Whether it is paused.
    pub paused: Option<f64>,
    /// Protocol.
    pub protocol: Autonomous,
    /// Latency, in the order of [`STEPS`].
    pub steps: [StepNow; STEPS.len()],
    /// The EEG stream.
    pub eeg: StreamNow,
    /// The gaze stream.
    pub gaze: StreamNow,
    /// Channels, disk, losses.
    pub health: Health,
}

impl Status {
    /// Every value with its label and unit, in the stream's order.
    fn each(&mut self, visit: &mut dyn FnMut(&str, &'static str, &mut Option<f64>)) {
        visit("time_s", "s", &mut self.time_s);
        visit("paused", "0 or 1", &mut self.paused);
        let protocol = &mut self.protocol;
        visit("autonomy", "level", &mut protocol.level);
        visit("asked", "forks", &mut protocol.asked);
        visit("answered", "forks", &mut protocol.answered);
        visit("forks", "forks", &mut protocol.forks);
        visit("imitated", "forks", &mut protocol.imitated);
        visit("questions_left", "questions", &mut protocol.budget_left);
        visit("questions_max", "questions", &mut protocol.budget);
        visit("tokens", "tokens", &mut protocol.tokens);
        for (name, step) in STEPS.iter().zip(&mut self.steps) {
            let name = name.replace('>', "_");
            let mut of =
                |what: &str, unit, value: &mut _| visit(&format!("{name}_{what}"), unit, value);
            of("latest", "microseconds", &mut step.latest_us);
            of("p50", "microseconds", &mut step.p50_us);
            of("p99", "microseconds", &mut step.p99_us);
            of("max", "microseconds", &mut step.max_us);
            of("budget", "microseconds", &mut step.budget_us);
            of("misses", "number", &mut step.misses);
            of("n", "number", &mut step.n);
        }
        for (name, stream) in [("eeg", &mut self.eeg), ("gaze", &mut self.gaze)] {
            let mut of =
                |what: &str, unit, value: &mut _| visit(&format!("{name}_{what}"), unit, value);
            of("state", "code", &mut stream.state);
            of("rate", "Hz", &mut stream.rate_hz);
            of("clock_drift", "s", &mut stream.drift_s);
            of("clock_shift", "s", &mut stream.shift_s);
            of("clock_doubts", "number", &mut stream.doubts);
            of("clock_doubted", "0 or 1", &mut stream.doubted);
        }
        let health = &mut self.health;
        visit("eeg_channels", "number", &mut health.channels);
        visit("eeg_channels_bad", "number", &mut health.channels_bad);
        visit("eeg_poor", "0 or 1", &mut health.poor);
        visit("flashes_rejected", "number", &mut health.flashes_rejected);
        visit("gaze_lost", "share", &mut health.gaze_lost);
        visit("gate_items_dropped", "number", &mut health.gate_dropped);
        visit("disk_free", "MiB", &mut health.disk_free_mib);
        visit("recording_whole", "0 or 1", &mut health.recording);
        visit("control_refused", "number", &mut health.control_refused);
    }

    /// One sample of the stream.
    #[must_use]
    pub fn values(&self) -> Vec<f32> {
        let mut values = Vec::new();
        self.clone().each(&mut |_, _, value| {
            values.push(value.map_or(f32::NAN, |value| value as f32));
        });
        values
    }

    /// The status of a sample, by the labels of its stream: what it lacks, or has and is not known here, is left out.
    #[must_use]
    pub fn of(labels: &[String], values: &[f32]) -> Self {
        let mut status = Self::default();
        status.each(&mut |label, _, value| {
            let at = labels.iter().position(|found| found == label);
            *value = at
                .and_then(|at| values.get(at))
                .filter(|value| value.is_finite())
                .map(|value| f64::from(*value));
        });
        status
    }

    /// The level of autonomy; `None` without an imitator.
    #[must_use]
    pub fn autonomy(&self) -> Option<Autonomy> {
        let level = self.protocol.level?;
        LEVELS.get(level as usize).copied()
    }

    /// Whether the session is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused == Some(1.0)
    }
}

/// Levels by their number.
const LEVELS: [Autonomy; 4] = [
    Autonomy::Asks,
    Autonomy::Watches,
    Autonomy::OftenChecked,
    Autonomy::SeldomChecked,
];

/// The number of a level.
pub(crate) fn level_of(autonomy: Autonomy) -> Option<f64> {
    let at = LEVELS.iter().position(|level| *level == autonomy);
    at.map(|at| at as f64)
}

/// What the stream says of itself.
#[must_use]
pub fn status_spec(session: &str) -> StreamSpec {
    let id = format!("razvilka-status-{session}");
    let mut spec = super::spec(STATUS_STREAM, "Status", &id, Format::Float32);
    Status::default().each(&mut |label, unit, _| {
        spec.labels.push(label.to_owned());
        spec.units.push(unit.to_owned());
    });
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back_by_its_label_whatever_the_order_and_what_is_missing() {
        let mut status = Status::default();
        let mut n = 0.0;
        status.each(&mut |_, _, value| {
            *value = Some(n);
            n += 1.0;
        });
        let spec = status_spec("s");
        let values = status.values();
        assert_eq!(values.len(), spec.labels.len());
        assert_eq!(spec.units.len(), spec.labels.len());
        assert_eq!(crate::source::named_twice(&spec.labels), None);
        assert_eq!(Status::of(&spec.labels, &values), status);
        let labels: Vec<_> = spec.labels.iter().rev().cloned().collect();
        let reversed: Vec<_> = values.iter().rev().copied().collect();
        assert_eq!(Status::of(&labels, &reversed), status);
        let without = Status::of(&labels[1..], &reversed[1..]);
        assert_eq!(without.health.control_refused, None);
        assert_eq!(without.time_s, status.time_s);
        assert_eq!(Status::of(&[], &[]), Status::default());
        assert_eq!(Status::default().values().len(), values.len());
    }

    #[test]
    fn levels_have_their_numbers_and_their_way_back() {
        for level in LEVELS {
            let mut status = Status::default();
            status.protocol.level = level_of(level);
            assert_eq!(status.autonomy(), Some(level));
        }
    }

    #[test]
    fn a_step_is_missed_by_its_percentile_or_while_there_is_none_by_its_largest() {
        let step = |p99_us, max_us| StepNow {
            p99_us,
            max_us: Some(max_us),
            budget_us: Some(1_000.0),
            ..StepNow::default()
        };
        assert!(step(None, 1_001.0).is_missed());
        assert!(!step(Some(900.0), 5_000.0).is_missed());
        assert!(!StepNow::default().is_missed());
    }
}
