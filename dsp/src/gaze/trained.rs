//! The trained detector: features, a small classifier, explicit durations.

use serde::{Deserialize, Serialize};

use super::hsmm::{CLASSES, Forward};
use super::net::{OUTPUTS, Parameters};
use super::stream::{Described, FeatureStream};
use super::track::{FixationTrack, TrackSpec};
use super::{EyeMovement, GazeCounts, GazeEvent, GazeSample, LOOK_AHEAD_MAX_S, Labelled};
use crate::error::{DspError, parameter};
use crate::units::{Hertz, Seconds};

/// What was learned from the recordings that the table of parameters names.
const PARAMETERS_TEXT: &str = include_str!("parameters.txt");

/// The classes, in the order of the classifier's outputs.
const MOVEMENTS: [EyeMovement; CLASSES] = [
    EyeMovement::Fixation,
    EyeMovement::Saccade,
    EyeMovement::Settling,
    EyeMovement::Pursuit,
    EyeMovement::Lost,
];

/// Settings of [`TrainedDetector`]; every field has a default.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainedSpec {
    /// A fixation is announced once it has lasted this long (by labels, which come a look-ahead later), 0..=1 s. Default 6 ms.
    pub announce_after: Seconds,
    /// A fixation ends with a saccade that has lasted this long, 0..=0.1 s. Default 4 ms.
    pub end_after: Seconds,
    /// Data lost for no longer than this do not end a fixation, 0..=0.5 s. Default 75 ms.
    pub bridge: Seconds,
    /// After a bridged gap the eye must be this close to the fixation's centre, degrees. Default 1.
    pub bridge_deg: f64,
}

impl Default for TrainedSpec {
    fn default() -> Self {
        const fn s(value: f64) -> Seconds {
            match Seconds::new(value) {
                Ok(v) => v,
                Err(_) => panic!("evaluated at build time"),
            }
        }
        const ANNOUNCE: Seconds = s(0.006);
        const END: Seconds = s(0.004);
        const BRIDGE: Seconds = s(0.075);
        Self {
            announce_after: ANNOUNCE,
            end_after: END,
            bridge: BRIDGE,
            bridge_deg: 1.0,
        }
    }
}

/// The forward recursion over what the classifier says.
#[derive(Debug, Clone)]
pub struct Judge {
    parameters: Parameters,
    forward: Forward,
}

impl Judge {
    /// A judge with these parameters.
    #[must_use]
    pub fn new(parameters: Parameters) -> Self {
        let forward = Forward::new(&parameters.durations);
        Self {
            parameters,
            forward,
        }
    }

    /// As new.
    pub fn reset(&mut self) {
        self.forward.reset(&self.parameters.durations);
    }

    /// Index of the class of the next sample: fixation, saccade, settling, pursuit, lost.
    pub fn judge(&mut self, row: &Described) -> usize {
        if row.gone {
            return self.gone();
        }
        let logits = self.parameters.logits(&row.features);
        self.follow(&logits, row.dt_s)
    }

    /// The next sample lies in a gap that is too long to be bridged.
    pub fn gone(&mut self) -> usize {
        self.forward.force(CLASSES - 1);
        CLASSES - 1
    }

    /// Judges the next sample by the classifier's outputs for it.
    pub fn follow(&mut self, logits: &[f32; OUTPUTS], dt_s: f64) -> usize {
        let likelihood = self.likelihood(logits);
        let durations = &self.parameters.durations;
        let posterior = self.forward.step(durations, dt_s, &likelihood);
        let choice = &self.parameters.tuning.choice;
        let mut best = (0, f32::NEG_INFINITY);
        for (class, (p, factor)) in posterior.iter().zip(choice).enumerate() {
            if p * factor > best.1 {
                best = (class, p * factor);
            }
        }
        best.0
    }

    /// Likelihoods relative to the largest.
    fn likelihood(&self, logits: &[f32; OUTPUTS]) -> [f32; CLASSES] {
        let tuning = &self.parameters.tuning;
        let mut scaled = [0.0; CLASSES];
        for ((s, z), bias) in scaled.iter_mut().zip(logits).zip(&tuning.bias) {
            *s = tuning.weight * (z + bias);
        }
        let top = scaled.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        scaled.map(|s| (s - top).max(-30.0).exp())
    }
}

/// Eye movements by a classifier trained on recordings that people have labelled.
///
/// Features on many scales, in milliseconds and relative to the movement, so that rate and place do not matter; a classifier of two
/// hidden layers; and the forward recursion of a hidden semi-Markov model over its outputs. Labels wait as many samples as fit
/// into 10 ms. Rates from 30 to 2000 Hz and irregular stamps are fine; the sampling interval is measured, whatever the nominal
/// rate says.
#[derive(Debug, Clone)]
pub struct TrainedDetector {
    stream: FeatureStream,
    path: Path,
}

/// What comes behind the features.
#[derive(Debug, Clone)]
struct Path {
    judge: Judge,
    track: FixationTrack,
}

impl TrainedDetector {
    /// Builds the detector for a tracker of about this rate, 30..=2000 Hz, with the parameters of this crate.
    ///
    /// # Errors
    /// [`DspError::Parameter`] for a rate or setting out of range.
    pub fn new(spec: TrainedSpec, rate: Hertz) -> Result<Self, DspError> {
        Self::with(spec, rate, Parameters::read(PARAMETERS_TEXT)?)
    }

    /// Builds the detector with other parameters.
    ///
    /// # Errors
    /// [`DspError::Parameter`] for a rate, setting or parameter out of range.
    pub fn with(spec: TrainedSpec, rate: Hertz, parameters: Parameters) -> Result<Self, DspError> {
        parameters.check()?;
        let track = TrackSpec {
            announce_s: parameter("announcement in s", spec.announce_after.get(), 0.0, 1.0)?,
            end_s: parameter("saccade that ends in s", spec.end_after.get(), 0.0, 0.1)?,
            bridge_s: spec.bridge.get(),
            bridge_deg: parameter("bridged distance in deg", spec.bridge_deg, 0.0, 90.0)?,
        };
        Ok(Self {
            stream: FeatureStream::new(rate, spec.bridge.get())?,
            path: Path {
                judge: Judge::new(parameters),
                track: FixationTrack::new(track, 1.0 / rate.get()),
            },
        })
    }

    /// Longest look-ahead, seconds: as many samples as fit into 10 ms.
    #[must_use]
    pub fn look_ahead_s(&self) -> f64 {
        let period_s = self.stream.period_s();
        (LOOK_AHEAD_MAX_S / period_s * 1.04).floor() * period_s
    }

    /// What could not be used so far.
    #[must_use]
    pub fn counts(&self) -> GazeCounts {
        self.stream.counts()
    }

    /// As new.
    pub fn reset(&mut self) {
        self.stream.reset();
        self.path.reset();
    }

    /// The source begins anew: nothing of what came before reaches across. A fixation under way ends without an event;
    /// counts go on.
    pub fn restart(&mut self) {
        self.stream.restart();
        self.path.reset();
    }

    /// Takes one sample. A sample whose stamp is not after the last one is dropped and counted.
    pub fn push(&mut self, sample: GazeSample, out: &mut impl FnMut(GazeEvent)) {
        let Self { stream, path } = self;
        stream.push(sample, &mut |row| path.label(row, out));
    }

    /// Says what is still held back, as if no sample would ever follow; the emission time is the last sample's.
    pub fn finish(&mut self, out: &mut impl FnMut(GazeEvent)) {
        let Self { stream, path } = self;
        stream.finish(&mut |row| path.label(row, out));
        if let Some(now_s) = stream.newest_s() {
            path.track.interrupt(now_s, out);
        }
    }
}

impl Path {
    fn reset(&mut self) {
        self.judge.reset();
        self.track.reset();
    }

    fn label(&mut self, row: &Described, out: &mut impl FnMut(GazeEvent)) {
        let class = self.judge.judge(row);
        let mut labelled = Labelled {
            t_s: row.t_s,
            emit_s: row.now_s,
            movement: MOVEMENTS.get(class).copied().unwrap_or(EyeMovement::None),
            speed_deg_s: row.speed_deg_s,
            announces: false,
        };
        self.track.follow(&mut labelled, row.at_deg, out);
    }
}
