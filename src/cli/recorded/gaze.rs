//! The calibration points of gaze in a recording, with the samples that were taken while each was shown.

use razvilka_calibration::{BlinkTrials, GazePoint, GazeSample, PointUse};
use razvilka_dsp::deliberate::{BlinkKind, BlinkScorer};
use razvilka_dsp::units::Hertz;
use serde_json::Value;

use super::markers::event;
use super::{Recorded, failure};
use crate::cli::exit::{Exit, Failure};
use crate::config::{AUTO, GazeSection};
use crate::engine::eyes;
use crate::pipeline::gaze_reading::EyesRead;
use crate::recording::RecordedStream;
use crate::source::{SourceError, StreamSpec};

/// Labels of a gaze stream's channels.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub struct GazeChannels {
    /// Label of the horizontal gaze channel; as the stream describes itself, else the first channel.
    #[arg(long = "gaze-x", value_name = "LABEL")]
    pub x: Option<String>,
    /// Label of the vertical gaze channel; as the stream describes itself, else the second channel.
    #[arg(long = "gaze-y", value_name = "LABEL")]
    pub y: Option<String>,
    /// Label of the channel of the tracker's confidence; as the stream describes itself.
    #[arg(long = "gaze-confidence", value_name = "LABEL")]
    pub confidence: Option<String>,
    /// Gaze samples of less confidence count as lost; 0.5.
    #[arg(long = "confidence-min", value_name = "SHARE")]
    pub confidence_min: Option<f64>,
    /// Label of the channel that tells how far the lid is open; for deliberate blinks.
    #[arg(long = "gaze-openness", value_name = "LABEL")]
    pub openness: Option<String>,
    /// How an experiment file reads the stream; the labels above go before it.
    #[arg(skip)]
    pub section: Option<Box<GazeSection>>,
}

impl GazeChannels {
    /// As an experiment file would say it.
    fn section(&self) -> GazeSection {
        let mut section = self.section.as_deref().cloned().unwrap_or_default();
        if let Some(x) = &self.x {
            section.x.clone_from(x);
        }
        if let Some(y) = &self.y {
            section.y.clone_from(y);
        }
        if self.confidence.is_some() {
            section.confidence.clone_from(&self.confidence);
        }
        if self.openness.is_some() {
            section.openness.clone_from(&self.openness);
        }
        if let Some(least) = self.confidence_min {
            section.confidence_min = least;
        }
        section
    }

    /// Which channels of the stream are read. Recordings of others must work: where nothing in the stream looks like a
    /// position, and no label is given, the first two channels are taken for it.
    fn read(&self, spec: &StreamSpec) -> Result<EyesRead, SourceError> {
        let section = self.section();
        let silent = spec.labels.iter().all(String::is_empty);
        if silent && section.x == AUTO && section.y == AUTO {
            return Ok(EyesRead::combined((0, 1), None));
        }
        Ok(eyes::choose_eyes(&section, spec)?.read)
    }
}

/// A gaze stream, and which of its channels are what.
struct Read<'a> {
    stream: &'a RecordedStream,
    eyes: EyesRead,
    openness: Option<usize>,
}

impl Read<'_> {
    /// Where the tracker says that the eyes look, in its own unit, as the pipeline sees it; `None` when it sees none.
    fn at(&self, row: &[f64]) -> Option<(f64, f64)> {
        let row: Vec<f32> = row.iter().map(|value| *value as f32).collect();
        self.eyes.raw(&row).mean()
    }
}

impl Recorded {
    /// Calibration points with their samples; empty when no point was shown.
    ///
    /// Position and confidence are read from the channels that [`GazeChannels`] names; where it names none, as the stream
    /// describes itself. Of two eyes it is their mean, of one that of the other.
    ///
    /// # Errors
    /// [`Exit::Source`] when points were shown but there is not exactly one gaze stream, or a label is not there.
    pub fn gaze_points(&self) -> Result<Vec<GazePoint>, Failure> {
        let mut points = self.shown_points();
        if points.is_empty() {
            return Ok(Vec::new());
        }
        let read = self.gaze_stream("gaze points were shown")?;
        for (index, &t_s) in read.stream.stamps.iter().enumerate() {
            let (Some(row), Some((point, _))) = (
                read.stream.numbers(index),
                points
                    .iter_mut()
                    .find(|(point, until_s)| t_s >= point.shown_s && t_s < *until_s),
            ) else {
                continue;
            };
            let at = read.at(&row);
            let (x, y) = at.unwrap_or((f64::NAN, f64::NAN));
            point.samples.push(GazeSample {
                t_s,
                x,
                y,
                valid: at.is_some(),
            });
        }
        Ok(points.into_iter().map(|(point, _)| point).collect())
    }

    /// Deliberate blinks that the person was asked for, and every blink beside; `None` when it was not asked.
    ///
    /// # Errors
    /// As [`Self::gaze_points`].
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
        let read = self.gaze_stream("deliberate blinks were asked for")?;
        let rate = Hertz::new(read.stream.spec.rate_hz).map_err(|e| failure(Exit::Source, e))?;
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
        for (index, &t_s) in read.stream.stamps.iter().enumerate() {
            let Some(row) = read.stream.numbers(index) else {
                continue;
            };
            let value = |channel: usize| row.get(channel).copied().unwrap_or(f64::NAN);
            let valid = read.at(&row).is_some();
            let scored = scorer.push(t_s, !valid, read.openness.map(value));
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

    /// The one gaze stream, `why` it is needed, and its channels.
    fn gaze_stream(&self, why: &str) -> Result<Read<'_>, Failure> {
        let streams: Vec<&RecordedStream> = self
            .numeric("gaze")
            .chain(self.numeric("eyetracker"))
            .filter(|s| s.channels() >= 2)
            .collect();
        let [stream] = streams.as_slice() else {
            return Err(Failure::said(
                Exit::Source,
                format!(
                    "{}: {why}, but {} streams of type \"Gaze\" have samples; one is needed",
                    self.path.display(),
                    streams.len()
                ),
            ));
        };
        let eyes = self.streams.gaze.read(&stream.spec).map_err(|e| match e {
            SourceError::Unclear { .. } => Failure::said(
                Exit::Source,
                format!("{e}; on the command line --gaze-x, --gaze-y and --gaze-confidence"),
            ),
            other => failure(Exit::Source, other),
        })?;
        let openness = self.streams.gaze.section().openness;
        let openness = openness.map(|label| stream.spec.channel(&label));
        Ok(Read {
            stream,
            eyes,
            openness: openness.transpose().map_err(|e| failure(Exit::Source, e))?,
        })
    }

    /// Points with the time until which each was shown.
    fn shown_points(&self) -> Vec<(GazePoint, f64)> {
        let mut points: Vec<(GazePoint, f64)> = Vec::new();
        for (stamp_s, marker) in &self.markers {
            if let Some(last) = points.last_mut() {
                last.1 = last.1.min(*stamp_s);
            }
            let number = |key: &str| marker.get(key).and_then(Value::as_f64);
            if let (Some("gaze_point"), Some(x_deg), Some(y_deg)) =
                (event(marker), number("x_deg"), number("y_deg"))
            {
                let check = marker.get("phase").and_then(Value::as_str) == Some("check");
                let point = GazePoint {
                    x_deg,
                    y_deg,
                    use_as: if check {
                        PointUse::Check
                    } else {
                        PointUse::Fit
                    },
                    shown_s: *stamp_s,
                    samples: Vec::new(),
                };
                points.push((point, f64::INFINITY));
            }
        }
        points
    }
}
