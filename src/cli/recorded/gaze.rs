//! The calibration points of gaze in a recording, with the samples that were taken while each was shown.

use razvilka_calibration::{
    EyeSamples, GazeInput, GazePoint, GazePursuit, GazeSample, PointUse, PursuitPath,
};
use serde_json::Value;

use super::markers::event;
use super::{Recorded, failure};
use crate::cli::exit::{Exit, Failure};
use crate::config::{GazeUnits, ScreenSection};
use crate::pipeline::gaze::GazeReading;
use crate::recording::RecordedStream;

/// Confidence of the tracker below which a gaze sample is invalid, where the stream has such a channel.
const CONFIDENCE_MIN: f64 = 0.5;

/// Labels of a gaze stream's channels.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub struct GazeChannels {
    /// Label of the horizontal gaze channel; `x`, else the first channel.
    #[arg(long = "gaze-x", value_name = "LABEL")]
    pub x: Option<String>,
    /// Label of the vertical gaze channel; `y`, else the second channel.
    #[arg(long = "gaze-y", value_name = "LABEL")]
    pub y: Option<String>,
    /// Labels of the left eye's channels, across and down: each eye then has a map of its own. Needs --gaze-right.
    #[arg(
        long = "gaze-left",
        value_name = "X,Y",
        value_delimiter = ',',
        num_args = 2,
        requires = "right"
    )]
    pub left: Vec<String>,
    /// Labels of the right eye's channels.
    #[arg(
        long = "gaze-right",
        value_name = "X,Y",
        value_delimiter = ',',
        num_args = 2,
        requires = "left"
    )]
    pub right: Vec<String>,
    /// Label of the channel of the tracker's confidence; `confidence` where there is one.
    #[arg(long = "gaze-confidence", value_name = "LABEL")]
    pub confidence: Option<String>,
    /// Gaze samples of less confidence count as lost; 0.5.
    #[arg(long = "confidence-min", value_name = "SHARE")]
    pub confidence_min: Option<f64>,
    /// The tracker is calibrated by itself: no map is fitted, its accuracy is measured on all points. Needs --screen, but for
    /// degrees.
    #[arg(long = "gaze-calibrated")]
    pub calibrated: bool,
    /// What the numbers of a calibrated tracker mean: normalised (0..1 from the top left of the picture), pixels, degrees.
    #[arg(long = "gaze-units", value_name = "UNIT", default_value = "normalised")]
    pub units: String,
    /// The picture, for a calibrated tracker: width, height and distance from the eye in centimetres, and for pixels its width and
    /// height in them: 53,30,65 or 53,30,65,1920,1080.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', num_args = 3..=5)]
    pub screen: Vec<f64>,
}

impl GazeChannels {
    /// How a tracker that is calibrated by itself becomes degrees; `None` for one whose map is fitted.
    fn geometry(&self) -> Result<Option<GazeReading>, Failure> {
        if !self.calibrated {
            return Ok(None);
        }
        let usage = |words: String| Failure::said(Exit::Usage, words);
        let units = GazeUnits::declared(&self.units).ok_or_else(|| {
            usage(format!(
                "--gaze-units {}: give normalised, pixels or degrees",
                self.units
            ))
        })?;
        let mut screen = ScreenSection::default();
        let sizes = match (self.screen.as_slice(), units) {
            ([], GazeUnits::Degrees) => [screen.width_cm, screen.height_cm, screen.distance_cm],
            ([w, h, d], GazeUnits::Normalised | GazeUnits::Degrees) => [*w, *h, *d],
            ([w, h, d, px, py], _) => {
                screen.width_px = *px as u32;
                screen.height_px = *py as u32;
                [*w, *h, *d]
            }
            _ => {
                return Err(usage(
                    "--gaze-calibrated needs the picture's size to tell degrees: --screen WIDTH,HEIGHT,DISTANCE in centimetres, \
                     and for pixels its width and height in pixels after that"
                        .into(),
                ));
            }
        };
        let positive = |size: &f64| size.is_finite() && *size > 0.0;
        if !sizes.iter().all(positive) || screen.width_px == 0 || screen.height_px == 0 {
            return Err(usage("--screen: all sizes must be above 0".into()));
        }
        [screen.width_cm, screen.height_cm, screen.distance_cm] = sizes;
        Ok(Some(GazeReading::new((0, 1), None, units, &screen)))
    }
}

/// Something that was shown, until when, and what was seen meanwhile.
struct Shown {
    what: Target,
    from_s: f64,
    until_s: f64,
    samples: Vec<GazeSample>,
    eyes: EyeSamples,
}

enum Target {
    Point(f64, f64, PointUse),
    Pursuit(PursuitPath),
}

/// Which channels of a stream are what.
struct Channels {
    both: (usize, usize),
    eyes: Option<[(usize, usize); 2]>,
    confidence: Option<usize>,
    confidence_min: f64,
    geometry: Option<GazeReading>,
}

impl Channels {
    fn of(gaze: &GazeChannels, stream: &RecordedStream) -> Result<Self, Failure> {
        let channel = |label: &str| {
            let found = stream.spec.channel(label);
            found.map_err(|e| failure(Exit::Source, e))
        };
        let named = |label: &Option<String>| label.as_deref().map(channel).transpose();
        let usual = |name: &str| {
            let labels = stream.spec.labels.iter();
            labels
                .map(|l| l.to_ascii_lowercase())
                .position(|l| l == name)
        };
        let (first, second) = usual("x").zip(usual("y")).unwrap_or((0, 1));
        let pair = |labels: &[String]| -> Result<Option<(usize, usize)>, Failure> {
            match labels {
                [x, y] => Ok(Some((channel(x)?, channel(y)?))),
                _ => Ok(None),
            }
        };
        let eyes = pair(&gaze.left)?.zip(pair(&gaze.right)?);
        Ok(Self {
            both: (
                named(&gaze.x)?.unwrap_or(first),
                named(&gaze.y)?.unwrap_or(second),
            ),
            eyes: eyes.map(|(left, right)| [left, right]),
            confidence: named(&gaze.confidence)?.or_else(|| usual("confidence")),
            confidence_min: gaze.confidence_min.unwrap_or(CONFIDENCE_MIN),
            geometry: gaze.geometry()?,
        })
    }

    fn sample(&self, t_s: f64, row: &[f64], (x, y): (usize, usize)) -> GazeSample {
        let value = |channel: usize| row.get(channel).copied().unwrap_or(f64::NAN);
        let (x, y) = (value(x), value(y));
        let (x, y) = self
            .geometry
            .map_or((x, y), |reading| reading.degrees(x, y));
        GazeSample {
            t_s,
            x,
            y,
            valid: self
                .confidence
                .is_none_or(|channel| value(channel) >= self.confidence_min),
        }
    }
}

impl Recorded {
    /// Calibration points and moving targets with their samples; empty when none was shown.
    ///
    /// Position and confidence are read from the channels that [`GazeChannels`] names; where it names none, from those
    /// labelled `x`, `y` and `confidence`, or else from the first two, without a confidence.
    ///
    /// # Errors
    /// [`Exit::Source`] when points were shown but there is not exactly one gaze stream, or a label is not there; [`Exit::Usage`] when
    /// a calibrated tracker's unit or screen is not given.
    pub fn gaze_input(&self) -> Result<GazeInput, Failure> {
        let mut shown = self.shown();
        if shown.is_empty() {
            return Ok(GazeInput::default());
        }
        let streams: Vec<&RecordedStream> =
            self.numeric("gaze").filter(|s| s.channels() >= 2).collect();
        let [stream] = streams.as_slice() else {
            return Err(Failure::said(
                Exit::Source,
                format!(
                    "{}: gaze points were shown, but {} streams of type \"Gaze\" have samples; one is needed",
                    self.path.display(),
                    streams.len()
                ),
            ));
        };
        let channels = Channels::of(&self.streams.gaze, stream)?;
        for (index, &t_s) in stream.stamps.iter().enumerate() {
            let (Some(row), Some(target)) = (
                stream.numbers(index),
                shown
                    .iter_mut()
                    .find(|target| t_s >= target.from_s && t_s < target.until_s),
            ) else {
                continue;
            };
            let sample = match channels.eyes {
                Some([left, right]) => {
                    let left = channels.sample(t_s, row, left);
                    let right = channels.sample(t_s, row, right);
                    target.eyes.push(left, right)
                }
                None => channels.sample(t_s, row, channels.both),
            };
            target.samples.push(sample);
        }
        let mut input = GazeInput {
            calibrated: channels.geometry.is_some(),
            declared_rate_hz: Some(stream.spec.rate_hz).filter(|hz| *hz > 0.0),
            ..GazeInput::default()
        };
        for target in shown {
            let eyes = channels.eyes.is_some().then_some(target.eyes);
            match target.what {
                Target::Point(x_deg, y_deg, use_as) => input.points.push(GazePoint {
                    x_deg,
                    y_deg,
                    use_as,
                    shown_s: target.from_s,
                    samples: target.samples,
                    eyes,
                }),
                Target::Pursuit(path) => input.pursuits.push(GazePursuit {
                    path,
                    shown_s: target.from_s,
                    samples: target.samples,
                    eyes,
                }),
            }
        }
        Ok(input)
    }

    /// What was shown, and until when.
    fn shown(&self) -> Vec<Shown> {
        let mut shown: Vec<Shown> = Vec::new();
        for (stamp_s, marker) in &self.markers {
            if let Some(last) = shown.last_mut() {
                last.until_s = last.until_s.min(*stamp_s);
            }
            let number = |key: &str| marker.get(key).and_then(Value::as_f64);
            let what = match event(marker) {
                Some("gaze_point") => number("x_deg").zip(number("y_deg")).map(|(x, y)| {
                    let check = marker.get("phase").and_then(Value::as_str) == Some("check");
                    let use_as = if check {
                        PointUse::Check
                    } else {
                        PointUse::Fit
                    };
                    Target::Point(x, y, use_as)
                }),
                Some("gaze_pursuit") => serde_json::from_value(marker.clone())
                    .ok()
                    .map(Target::Pursuit),
                _ => None,
            };
            shown.extend(what.map(|what| Shown {
                what,
                from_s: *stamp_s,
                until_s: f64::INFINITY,
                samples: Vec::new(),
                eyes: EyeSamples::default(),
            }));
        }
        shown
    }
}
