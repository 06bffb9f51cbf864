//! Either detector behind one set of calls.

use serde::{Deserialize, Serialize};

use super::trained::{TrainedDetector, TrainedSpec};
use super::{GazeCounts, GazeEvent, GazeSample, VelocitySpec, VelocityThreshold};
use crate::error::DspError;
use crate::units::Hertz;

/// Which detector finds eye movements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DetectorKind {
    /// [`TrainedDetector`].
    #[default]
    Trained,
    /// [`VelocityThreshold`]: nothing in it was learned.
    Velocity,
}

/// A detector of the kind that was asked for.
#[derive(Debug, Clone)]
pub enum GazeDetector {
    /// Trained.
    Trained(Box<TrainedDetector>),
    /// Velocity threshold.
    Velocity(Box<VelocityThreshold>),
}

impl GazeDetector {
    /// Builds the detector for a tracker of about this rate, 30..=2000 Hz, with its default settings.
    ///
    /// # Errors
    /// [`DspError::Parameter`] for a rate out of range.
    pub fn new(kind: DetectorKind, rate: Hertz) -> Result<Self, DspError> {
        Ok(match kind {
            DetectorKind::Trained => Self::Trained(Box::new(TrainedDetector::new(
                TrainedSpec::default(),
                rate,
            )?)),
            DetectorKind::Velocity => Self::Velocity(Box::new(VelocityThreshold::new(
                VelocitySpec::default(),
                rate,
            )?)),
        })
    }

    /// Look-ahead, seconds.
    #[must_use]
    pub fn look_ahead_s(&self) -> f64 {
        match self {
            Self::Trained(detector) => detector.look_ahead_s(),
            Self::Velocity(detector) => detector.look_ahead_s(),
        }
    }

    /// What could not be used so far.
    #[must_use]
    pub fn counts(&self) -> GazeCounts {
        match self {
            Self::Trained(detector) => detector.counts(),
            Self::Velocity(detector) => detector.counts(),
        }
    }

    /// As new.
    pub fn reset(&mut self) {
        match self {
            Self::Trained(detector) => detector.reset(),
            Self::Velocity(detector) => detector.reset(),
        }
    }

    /// The source begins anew: nothing of what came before reaches across. A fixation under way ends without an event;
    /// counts go on.
    pub fn restart(&mut self) {
        match self {
            Self::Trained(detector) => detector.restart(),
            Self::Velocity(detector) => detector.restart(),
        }
    }

    /// Takes one sample. A sample whose stamp is not after the last one is dropped and counted.
    pub fn push(&mut self, sample: GazeSample, out: &mut impl FnMut(GazeEvent)) {
        match self {
            Self::Trained(detector) => detector.push(sample, out),
            Self::Velocity(detector) => detector.push(sample, out),
        }
    }

    /// Says what is still held back, as if no sample would ever follow; the emission time is the last sample's.
    pub fn finish(&mut self, out: &mut impl FnMut(GazeEvent)) {
        match self {
            Self::Trained(detector) => detector.finish(out),
            Self::Velocity(detector) => detector.finish(out),
        }
    }
}
