//! The trained detector: features, a small classifier, explicit durations.

use serde::{Deserialize, Serialize};

use super::hsmm::CLASSES;
use super::judge::{Judge, Judged};
use super::net::Parameters;
use super::stream::FeatureStream;
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
    /// A fixation is announced once it has lasted this long (by labels, which come a look-ahead later), 0..=1 s. Default 8 ms.
    pub announce_after: Seconds,
    /// A fixation ends with a saccade that has lasted this long, 0..=0.1 s. Default 6 ms.
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
        const ANNOUNCE: Seconds = s(0.008);
        const END: Seconds = s(0.006);
        const BRIDGE: Seconds = s(0.075);
        Self {
            announce_after: ANNOUNCE,
            end_after: END,
            bridge: BRIDGE,
            bridge_deg: 1.0,
        }
    }
}

/// Eye movements by a classifier trained on recordings that people have labelled.
///
/// Features on many scales, in milliseconds and relative to the movement, so that rate and place do not matter; a classifier of two
/// hidden layers; and fixed-lag smoothing by a hidden semi-Markov model over its outputs. Features wait as many samples as fit into
/// 6 ms, labels as many as fit into 10 ms. Rates from 30 to 2000 Hz and irregular stamps are fine; the sampling interval is measured, whatever the nominal
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
                judge: Judge::new(parameters)?,
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
        stream.push(sample, &mut |row| {
            if let Some(judged) = path.judge.take(row) {
                path.label(&judged, row.now_s, out);
            }
        });
        path.settle(stream.settled_before_s(), stream.newest_s(), out);
    }

    /// Says what is still held back, as if no sample would ever follow; the emission time is the last sample's.
    pub fn finish(&mut self, out: &mut impl FnMut(GazeEvent)) {
        let Self { stream, path } = self;
        stream.finish(&mut |row| {
            if let Some(judged) = path.judge.take(row) {
                path.label(&judged, row.now_s, out);
            }
        });
        path.settle(f64::INFINITY, stream.newest_s(), out);
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

    /// Labels what waits and has a stamp before `until_s`.
    fn settle(&mut self, until_s: f64, newest_s: Option<f64>, out: &mut impl FnMut(GazeEvent)) {
        let Some(now_s) = newest_s else {
            return;
        };
        while let Some(judged) = self.judge.next_before(until_s) {
            self.label(&judged, now_s, out);
        }
    }

    fn label(&mut self, judged: &Judged, now_s: f64, out: &mut impl FnMut(GazeEvent)) {
        let movement = MOVEMENTS.get(judged.class).copied();
        let mut labelled = Labelled {
            t_s: judged.t_s,
            emit_s: now_s,
            movement: movement.unwrap_or(EyeMovement::None),
            speed_deg_s: judged.speed_deg_s,
            announces: false,
        };
        self.track.follow(&mut labelled, judged.at_deg, out);
    }
}
