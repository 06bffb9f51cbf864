//! The pupil in a recording in which the person was told what to want.

use razvilka_calibration::{EyeMaps, PupilLook, PupilTrials};
use razvilka_dsp::gaze_evidence::DwellModel;
use razvilka_dsp::units::{Hertz, LslTime};
use serde_json::Value;

use super::markers::event;
use super::{Recorded, failure};
use crate::cli::exit::{Exit, Failure};
use crate::cli::rate::usual_interval;
use crate::config::{GazeUnits, ScreenSection};
use crate::engine::conduct::tiles_of;
use crate::engine::eyes::choose_pupil;
use crate::engine::lines::gaze_rate_hz;
use crate::fork::ForkId;
use crate::gate::Lease;
use crate::marker::OptionTile;
use crate::pipeline::gaze::{GazeLine, GazeReading};

/// From one response to the next of those that tell what the place of gaze does, seconds.
const MOVES_EVERY_S: f64 = 0.5;
/// So long after options were read the pupil may still follow them, seconds.
const AFTER_WISH_S: f64 = 3.0;
/// Places are taken however far outside the picture, degrees.
const MARGIN_DEG: f64 = 90.0;

/// One trial: from when to when its options stood, which they were, and which was wanted.
struct Trial {
    from_s: f64,
    until_s: f64,
    item: i32,
    options: Vec<OptionTile>,
}

impl Recorded {
    /// Responses of the pupil to options of which the person was told to want one; `None` when it was told nothing. `maps` lead from the
    /// tracker's unit to degrees.
    ///
    /// # Errors
    /// As [`Self::gaze_input`]; [`Exit::Source`] when no channel is a pupil's size.
    pub fn pupil_trials(&self, maps: Option<EyeMaps>) -> Result<Option<PupilTrials>, Failure> {
        let trials = self.wishes();
        if trials.is_empty() {
            return Ok(None);
        }
        let refused = |e| failure(Exit::Source, e);
        let stream = self.gaze_stream("the person was told what to want, for its pupil")?;
        let pupil = choose_pupil(&self.streams.gaze.pupil_section(), &stream.spec);
        let pupil = pupil.map_err(|e| failure(Exit::Source, e))?;
        let (eyes, by_itself) = self.streams.gaze.read(&stream.spec)?;
        let mut reading = by_itself.unwrap_or_else(|| {
            let screen = self.streams.gaze.picture.clone().unwrap_or_default();
            let (units, screen): (_, ScreenSection) = (GazeUnits::Normalised, screen);
            GazeReading::of(eyes, units, units.usual_origin(), false, &screen)
        });
        reading.margin_deg = MARGIN_DEG;
        let section = self.streams.gaze.section();
        let rate_hz = match gaze_rate_hz(&section, &stream.spec) {
            said if said > 0.0 => said,
            _ => usual_interval(stream.stamps.iter().copied()).map_or(0.0, |usual_s| 1.0 / usual_s),
        };
        let rate = Hertz::new(rate_hz).map_err(|e| failure(Exit::Source, e))?;
        let model = DwellModel::default();
        let line = GazeLine::prepare(reading, maps, model, rate, section.detector);
        let mut line = line.map_err(refused)?;
        line.watch_pupils(pupil, None).map_err(refused)?;
        let mut found = PupilTrials {
            cues: trials.len(),
            ..PupilTrials::default()
        };
        // What is read and wanted moves the pupil, and where gaze goes: it tells nothing of the place alone.
        let spans = self.wish_spans();
        let mut next = trials.iter().enumerate().peekable();
        let mut moved_s = f64::NEG_INFINITY;
        for (index, &t_s) in stream.stamps.iter().enumerate() {
            let Some(row) = stream.numbers(index) else {
                continue;
            };
            while let Some((number, trial)) = next.next_if(|(_, trial)| trial.from_s <= t_s) {
                let appears = LslTime::new(trial.from_s).map_err(|e| failure(Exit::Source, e))?;
                let (fork, lease) = (ForkId(number as u64), Lease { epoch: 0 });
                line.put_up(tiles_of(fork, &trial.options, lease, appears, 0.0), None);
            }
            // As the pipeline sees them.
            let sample: Vec<f32> = row.iter().map(|value| *value as f32).collect();
            line.sample(t_s, &sample);
            if let Some(sight) = line.take_pupil_sight()
                && let Some(trial) = trials.get(sight.fork.0 as usize)
                && let Some(tile) = trial.options.get(sight.item)
                && sight.read_s < trial.until_s
            {
                found.looks.push(PupilLook {
                    read_s: sight.read_s,
                    response: sight.response,
                    wanted: tile.item == trial.item,
                });
            }
            let idle = spans
                .iter()
                .all(|(from, until)| !(*from..*until).contains(&t_s));
            if idle
                && t_s - moved_s >= MOVES_EVERY_S
                && let Some(response) = line.pupil_before(t_s)
            {
                moved_s = t_s;
                found.moves.push(response);
            }
        }
        Ok(Some(found))
    }

    /// From when to when the person was told what to want, read options, or has just done so.
    fn wish_spans(&self) -> Vec<(f64, f64)> {
        let mut spans: Vec<(f64, f64)> = Vec::new();
        for (stamp_s, marker) in &self.markers {
            match event(marker) {
                Some("wish" | "wish_options") => spans.push((*stamp_s, f64::INFINITY)),
                Some("wish_end" | "block_end") => {
                    for (_, until_s) in &mut spans {
                        *until_s = until_s.min(*stamp_s + AFTER_WISH_S);
                    }
                }
                _ => {}
            }
        }
        spans
    }

    /// The trials whose options were shown.
    fn wishes(&self) -> Vec<Trial> {
        let mut trials: Vec<Trial> = Vec::new();
        for (stamp_s, marker) in &self.markers {
            if let Some(last) = trials.last_mut() {
                last.until_s = last.until_s.min(*stamp_s);
            }
            let options = || serde_json::from_value(marker.get("options")?.clone()).ok();
            if event(marker) == Some("wish_options")
                && let Some(item) = marker.get("item").and_then(Value::as_i64)
                && let Some(options) = options()
            {
                trials.push(Trial {
                    from_s: *stamp_s,
                    until_s: f64::INFINITY,
                    item: item as i32,
                    options,
                });
            }
        }
        trials
    }
}
