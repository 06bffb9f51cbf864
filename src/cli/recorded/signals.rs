//! Deliberate blinks and contractions that were asked for in a recording, and every other one beside.

use razvilka_calibration::{BlinkTrials, ContractionTrials};
use razvilka_dsp::contraction::{ContractionDetector, Muscle};
use razvilka_dsp::deliberate::{BlinkKind, BlinkScorer};
use razvilka_dsp::stamps::{StampGuard, StampVerdict};
use razvilka_dsp::units::Hertz;

use super::markers::event;
use super::pass::read_row;
use super::{Recorded, failure, stamp_rule};
use crate::cli::exit::{Exit, Failure};
use crate::cli::rate::usual_interval;
use crate::cli::unit::microvolts;
use crate::engine::lines::{gaze_rate_hz, muscles_of};

impl Recorded {
    /// Deliberate blinks that the person was asked for, and every blink beside; `None` when it was not asked.
    ///
    /// # Errors
    /// As [`Self::gaze_input`].
    pub fn blink_trials(&self) -> Result<Option<BlinkTrials>, Failure> {
        let asked: Vec<(f64, BlinkKind)> = self
            .markers
            .iter()
            .filter(|(_, marker)| event(marker) == Some("signal"))
            .filter_map(|(stamp_s, marker)| {
                let blink = marker.get("blink")?.clone();
                Some((*stamp_s, serde_json::from_value(blink).ok()?))
            })
            .collect();
        let Some((_, kind)) = asked.first().copied() else {
            return Ok(None);
        };
        let stream = self.gaze_stream("deliberate blinks were asked for")?;
        let refused = |e| failure(Exit::Source, e);
        let (eyes, _) = self.streams.gaze.read(&stream.spec)?;
        let openness = self.streams.gaze.section().openness;
        let openness = openness.map(|label| stream.spec.channel(&label));
        let openness = openness.transpose().map_err(refused)?;
        let rate_hz = match gaze_rate_hz(&self.streams.gaze.section(), &stream.spec) {
            said if said > 0.0 => said,
            _ => {
                usual_interval(stream.stamps.iter().copied()).map_or(0.0, |median_s| 1.0 / median_s)
            }
        };
        let rate = Hertz::new(rate_hz).map_err(|e| failure(Exit::Source, e))?;
        let mut scorer = BlinkScorer::new(kind, rate);
        let mut trials = BlinkTrials {
            kind,
            cues_s: asked.iter().map(|(at_s, _)| *at_s).collect(),
            ..BlinkTrials::default()
        };
        // Blinks made on another cue are neither signals nor spontaneous.
        let told = self.blink_spans();
        let elsewhere = |t_s: f64| {
            told.iter()
                .any(|(from, until)| (*from..*until).contains(&t_s))
        };
        let mut last_s = None;
        for (index, &t_s) in stream.stamps.iter().enumerate() {
            let Some(row) = stream.numbers(index) else {
                continue;
            };
            let value = |channel: usize| row.get(channel).copied().unwrap_or(f64::NAN);
            // As the pipeline sees them.
            let seen: Vec<f32> = row.iter().map(|value| *value as f32).collect();
            let valid = eyes.raw(&seen).mean().is_some();
            let scored = scorer.push(t_s, !valid, openness.map(value));
            if elsewhere(t_s) {
                last_s = None;
                continue;
            }
            trials.scores.extend(scored);
            let passed_s = last_s.map_or(0.0, |last_s: f64| t_s - last_s);
            trials.watched_s += if (0.0..0.1).contains(&passed_s) {
                passed_s
            } else {
                0.0
            };
            last_s = Some(t_s);
        }
        Ok(Some(trials))
    }

    /// Contractions of jaw or brow that the person was asked for (`signal` markers with `contraction`), and every other episode of
    /// its muscles, with a notch at mains of `mains_hz`, 0 for none; `None` when it was not asked.
    ///
    /// # Errors
    /// [`Exit::Source`] when there is no EEG stream, none of its channels sees these muscles, or its rate is too low.
    pub fn contraction_trials(&self, mains_hz: f64) -> Result<Option<ContractionTrials>, Failure> {
        let signals = self.markers.iter();
        let signals = signals.filter(|(_, marker)| event(marker) == Some("signal"));
        let asked: Vec<(f64, Muscle)> = signals
            .filter_map(|(stamp_s, marker)| {
                let muscle = marker.get("contraction")?.clone();
                Some((*stamp_s, serde_json::from_value(muscle).ok()?))
            })
            .collect();
        let Some((_, muscle)) = asked.first().copied() else {
            return Ok(None);
        };
        let stream = self.eeg()?;
        let labels = &stream.spec.labels;
        let named = &self.streams.muscle_channels;
        let named = (!named.is_empty()).then_some(named.as_slice());
        let picked = muscles_of(named, muscle, &stream.spec).map_err(|error| {
            Failure::said(Exit::Source, format!("{}: {error}", self.path.display()))
        })?;
        let refused = |e| failure(Exit::Source, e);
        let rate = Hertz::new(stream.spec.rate_hz).map_err(|e| failure(Exit::Source, e))?;
        let mains = (mains_hz > 0.0).then(|| Hertz::new(mains_hz)).transpose();
        let mains = mains.map_err(|e| failure(Exit::Source, e))?;
        let mut detector =
            ContractionDetector::new(rate, labels.len(), picked, mains).map_err(refused)?;
        let mut trials = ContractionTrials {
            channels: picked
                .iter()
                .filter_map(|c| labels.get(c).cloned())
                .collect(),
            mains_hz: mains.map(Hertz::get),
            muscle,
            cues_s: asked.iter().map(|(at_s, _)| *at_s).collect(),
            ..ContractionTrials::default()
        };
        let (scale, _) = microvolts(stream);
        let (mut last_s, mut sample) = (None, vec![0.0_f32; labels.len()]);
        let mut guard = StampGuard::new(rate, stamp_rule(stream));
        for (index, &t_s) in stream.stamps.iter().enumerate() {
            // As a session does.
            let t_s = match guard.push(t_s) {
                StampVerdict::Drop(_) => continue,
                StampVerdict::InOrder { time_s } | StampVerdict::Gap { time_s, .. } => time_s,
                StampVerdict::ClockJump { time_s, .. } => {
                    detector.interrupt();
                    time_s
                }
            };
            read_row(stream, index, &scale, &mut sample);
            trials
                .scores
                .extend(detector.push(t_s, &sample).map_err(refused)?);
            let passed_s = last_s.map_or(0.0, |last_s: f64| t_s - last_s);
            // Time in which nothing could have been found does not count.
            if (0.0..0.1).contains(&passed_s) && detector.ratio_nats().is_some() {
                trials.watched_s += passed_s;
            }
            last_s = Some(t_s);
        }
        Ok(Some(trials))
    }
}
