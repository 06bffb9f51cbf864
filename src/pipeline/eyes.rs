//! State of the eyes from a gaze stream: the pure part, at work on the thread of [`super::state`].

use razvilka_calibration::GazeMap;
use razvilka_dsp::DspError;
use razvilka_dsp::eye_state::{EyeIndices, EyeSample, EyeStateSpec, EyeStateTracker};
use razvilka_dsp::gaze::GazeSample;

use super::gaze::GazeReading;
use super::state::Watches;

/// Reads the stream's samples, tracks the state. It has a detector of its own, as it runs on another thread than the gate's.
#[derive(Debug, Clone)]
pub struct EyeLine {
    tracker: EyeStateTracker,
    reading: GazeReading,
    map: Option<GazeMap>,
    openness: Option<usize>,
}

impl EyeLine {
    /// A line for a stream read in this way, into degrees by `map` or by the geometry of the screen; `openness` is the channel that
    /// tells how far the lid is open.
    ///
    /// # Errors
    /// [`DspError`] for a number or a rate out of range.
    pub fn new(
        spec: EyeStateSpec,
        reading: GazeReading,
        map: Option<GazeMap>,
        openness: Option<usize>,
    ) -> Result<Self, DspError> {
        Ok(Self {
            tracker: EyeStateTracker::new(spec)?,
            reading,
            map,
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
        let seen = self.reading.raw(sample).mean();
        let (x_deg, y_deg) = match (seen, &self.map) {
            (None, _) => (f64::NAN, f64::NAN),
            (Some((x, y)), Some(map)) => map.apply(x, y),
            (Some((x, y)), None) => self.reading.degrees(x, y),
        };
        let openness = self
            .openness
            .map(|channel| sample.get(channel).copied().map_or(f64::NAN, f64::from));
        self.tracker.push(EyeSample {
            gaze: GazeSample {
                t_s: stamp_s,
                x_deg,
                y_deg,
                valid: seen.is_some(),
            },
            openness,
        })
    }

    fn restart(&mut self) {
        self.tracker.restart();
    }
}
