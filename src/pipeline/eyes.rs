//! State of the eyes from a gaze stream: the pure part, at work on the thread of [`super::state`].

use razvilka_calibration::EyeMaps;
use razvilka_dsp::DspError;
use razvilka_dsp::eye_state::{EyeIndices, EyeSample, EyeStateSpec, EyeStateTracker};
use razvilka_dsp::gaze::GazeSample;

use super::gaze::{GazeReading, Regard};
use super::state::Watches;

/// Reads the stream's samples, tracks the state. It has a detector of its own, as it runs on another thread than the gate's.
#[derive(Debug, Clone)]
pub struct EyeLine {
    tracker: EyeStateTracker,
    regard: Regard,
    openness: Option<usize>,
}

impl EyeLine {
    /// A line for a stream read in this way, into degrees by `maps` or by the geometry of the screen; `openness` is the channel that
    /// tells how far the lid is open.
    ///
    /// # Errors
    /// [`DspError`] for a number or a rate out of range.
    pub fn new(
        spec: EyeStateSpec,
        reading: GazeReading,
        maps: Option<EyeMaps>,
        openness: Option<usize>,
    ) -> Result<Self, DspError> {
        Ok(Self {
            tracker: EyeStateTracker::new(spec)?,
            regard: Regard::new(reading, maps)?,
            openness,
        })
    }

    /// The indices as they stand.
    #[must_use]
    pub fn indices(&self) -> EyeIndices {
        self.tracker.indices()
    }

    /// The tracker inside.
    #[must_use]
    pub fn tracker(&self) -> &EyeStateTracker {
        &self.tracker
    }
}

impl Watches for EyeLine {
    fn sample(&mut self, stamp_s: f64, sample: &[f32]) -> bool {
        let at = self.regard.at(stamp_s, sample);
        let [x_deg, y_deg] = at.unwrap_or([f64::NAN; 2]);
        let openness = self
            .openness
            .map(|channel| sample.get(channel).copied().map_or(f64::NAN, f64::from));
        self.tracker.push(EyeSample {
            gaze: GazeSample {
                t_s: stamp_s,
                x_deg,
                y_deg,
                valid: at.is_some(),
            },
            openness,
        })
    }

    fn restart(&mut self) {
        self.tracker.restart();
        self.regard.restart();
    }
}
