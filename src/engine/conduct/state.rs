//! State of the person in a session: started, told of confirmed choices, written beside every fork.

use razvilka_calibration::{EegCalibration, Profile};
use razvilka_dsp::state::AmplitudeDrift;
use razvilka_dsp::units::MonoTime;

use super::Conductor;
use super::inputs::Inputs;
use crate::config::Plan;
use crate::engine::desk::Entry;
use crate::engine::question::Question;
use crate::engine::{EngineError, lines};
use crate::fork::ForkId;
use crate::person::PersonState;
use crate::pipeline::state::{Reference, Sources, StateLine, StateThread, Telemetry};
use crate::recording::{OffsetTap, Recorder};
use crate::rt;
use crate::session::StateRow;
use crate::source::{SampleSink, StreamSpec};

/// What the state of the person needs from outside.
pub struct StateSetting {
    /// What the stream says of itself.
    pub spec: StreamSpec,
    /// To whoever listens; `None` when it could not be opened.
    pub sink: Option<Box<dyn SampleSink>>,
    /// A line that has seen this sitting's calibration; `None` without one.
    pub line: Option<StateLine>,
}

/// The running part.
pub(super) struct StateEnds {
    thread: StateThread,
    pub(super) offsets: OffsetTap,
}

impl StateEnds {
    /// Starts the thread. A stream that the state cannot be told from (say, of too low a rate) is left out.
    pub(super) fn start(
        setting: StateSetting,
        plan: &Plan,
        profile: &Profile,
        inputs: &mut Inputs,
        recorder: &Recorder,
    ) -> Result<Self, EngineError> {
        let (tap, offsets) = recorder.add_samples(&setting.spec)?;
        let mut sources = Sources::default();
        if let (Some(eeg), Some(section), Some(calibration)) =
            (&mut inputs.eeg, &plan.eeg, &profile.eeg)
        {
            let fresh = || {
                lines::state_line(section, &plan.state, &calibration.path, &eeg.spec)
                    .inspect_err(|error| eprintln!("razvilka: no state of the person: {error}"))
                    .ok()
            };
            let fits = |line: &StateLine| line.stream_channels() == eeg.spec.labels.len();
            let line = setting.line.filter(fits).or_else(fresh);
            sources.eeg = line.zip(eeg.state.take());
            sources.drift = drift_of(calibration, plan.state.p300_half_life_forks);
        }
        if let (Some(gaze), Some(section)) = (&mut inputs.gaze, &plan.gaze) {
            let line = lines::eye_line(section, plan, profile.gaze.as_ref(), &gaze.spec)
                .inspect_err(|error| eprintln!("razvilka: no state of the eyes: {error}"))
                .ok();
            sources.eyes = line.zip(gaze.state.take());
        }
        let telemetry = Telemetry {
            sink: setting.sink,
            tap: Some(tap),
        };
        let thread = StateThread::start(sources, telemetry)?;
        Ok(Self { thread, offsets })
    }

    /// The task begins.
    pub(super) fn begun(&self, at: MonoTime) {
        self.thread.begun(at);
    }

    pub(super) fn stop(self) {
        self.thread.stop();
    }
}

/// Against this calibration; `None` when it does not tell targets from others, or was judged on other people: what this person's
/// response was then like is not known.
fn drift_of(calibration: &EegCalibration, half_life_forks: f64) -> Option<AmplitudeDrift> {
    let prior = calibration.prior.as_ref();
    if prior.is_some_and(|prior| prior.judged_on_others) {
        return None;
    }
    let density = &calibration.density;
    let metrics = &calibration.metrics;
    let reference = Reference::of(density)?;
    let se = reference.standard_error(density, metrics.epochs, metrics.targets);
    AmplitudeDrift::new(half_life_forks, se).ok()
}

impl Conductor<'_> {
    /// Writes the state beside a fork that came up at `mono`: always with the time on task, whatever else is known.
    pub(super) fn write_state(&mut self, fork: ForkId, mono: MonoTime) {
        if !self.plan.state.on {
            return;
        }
        let state = self
            .state
            .as_ref()
            .map_or_else(PersonState::default, |state| state.thread.now());
        let row = StateRow {
            fork,
            at: rt::lsl_of(mono),
            mono,
            time_on_task_s: mono.nanos_since(self.begun_mono) as f64 / 1e9,
            state,
        };
        self.write_down(Entry::State(Box::new(row)));
        self.guard_state(&row);
    }

    /// A question is over: the flashes of a confirmed choice tell the amplitude of the P300.
    pub(super) fn tell_attended(&self, question: &Question) {
        let (Some(state), Some(eeg)) = (&self.state, &self.inputs.eeg) else {
            return;
        };
        if eeg.mixed_in == Some(question.id) {
            // Two scorers in one fork have no common unit.
            return;
        }
        if let Some(reference) = Reference::of(&eeg.fitted)
            && let Some(fork) = question.attended(|score| reference.standardise(score))
        {
            state.thread.attended(fork);
        }
    }
}
