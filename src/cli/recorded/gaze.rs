//! The calibration points of gaze in a recording, with the samples that were taken while each was shown.

use razvilka_calibration::{
    EyeSamples, GazeInput, GazePoint, GazePursuit, GazeSample, PointUse, PursuitPath,
};
use serde_json::Value;

use super::markers::event;
use super::{Recorded, failure};
use crate::cli::exit::{Exit, Failure};
use crate::config::{AUTO, GazeSection, GazeUnits, PupilSection, ScreenSection};
use crate::engine::eyes;
use crate::pipeline::gaze::GazeReading;
use crate::pipeline::gaze::reading::EyesRead;
use crate::recording::RecordedStream;
use crate::source::{SourceError, StreamSpec};

/// Labels of a gaze stream's channels.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub struct GazeChannels {
    /// Label of the horizontal gaze channel, of the left eye where --gaze-right is given; as the stream describes itself, else the first
    /// channel.
    #[arg(long = "gaze-x", value_name = "LABEL")]
    pub x: Option<String>,
    /// Label of the vertical gaze channel; as the stream describes itself, else the second channel.
    #[arg(long = "gaze-y", value_name = "LABEL")]
    pub y: Option<String>,
    /// Labels of the right eye's channels, across and down: each eye then has a map of its own.
    #[arg(
        long = "gaze-right",
        value_name = "X,Y",
        value_delimiter = ',',
        requires = "x",
        requires = "y"
    )]
    pub right: Vec<String>,
    /// Label of the channel of the tracker's confidence; as the stream describes itself.
    #[arg(long = "gaze-confidence", value_name = "LABEL")]
    pub confidence: Option<String>,
    /// Gaze samples of less confidence count as lost; 0.5.
    #[arg(long = "confidence-min", value_name = "SHARE")]
    pub confidence_min: Option<f64>,
    /// Label of the channel that tells how far the lid is open; for deliberate blinks.
    #[arg(long = "gaze-openness", value_name = "LABEL")]
    pub openness: Option<String>,
    /// Labels of the channels of the pupil's size, of the left and the right eye; as the stream describes itself.
    #[arg(
        long = "gaze-pupil",
        value_name = "LABEL[,LABEL]",
        value_delimiter = ','
    )]
    pub pupil: Vec<String>,
    /// The tracker is calibrated by itself: no map is fitted, its accuracy is measured on all points. Needs --screen, but for
    /// degrees.
    #[arg(long = "gaze-calibrated")]
    pub calibrated: bool,
    /// What the numbers of a calibrated tracker mean: normalised, pixels, degrees, mm or m; as the stream declares.
    #[arg(long = "gaze-units", value_name = "UNIT")]
    pub units: Option<String>,
    /// The picture, for a calibrated tracker: width, height and distance from the eye in centimetres, and for pixels its width and
    /// height in them: 53,30,65 or 53,30,65,1920,1080.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    pub screen: Vec<f64>,
    /// The picture as an experiment file says it; goes before `screen`.
    #[arg(skip)]
    pub picture: Option<ScreenSection>,
    /// How an experiment file reads the stream; the labels above go before it.
    #[arg(skip)]
    pub section: Option<Box<GazeSection>>,
    /// How an experiment file reads the pupil; the labels above go before it.
    #[arg(skip)]
    pub pupil_section: Option<Box<PupilSection>>,
}

impl GazeChannels {
    /// As an experiment file would say it.
    pub(super) fn section(&self) -> GazeSection {
        let mut section = self.section.as_deref().cloned().unwrap_or_default();
        if let Some(x) = &self.x {
            section.x.clone_from(x);
        }
        if let Some(y) = &self.y {
            section.y.clone_from(y);
        }
        if let [x, y] = self.right.as_slice() {
            section.x_right = Some(x.clone());
            section.y_right = Some(y.clone());
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

    /// The pupil's channels, as an experiment file would say them.
    pub(super) fn pupil_section(&self) -> PupilSection {
        let mut section = self.pupil_section.as_deref().cloned().unwrap_or_default();
        if let Some(label) = self.pupil.first() {
            section.channel = Some(label.clone());
            section.channel_right = self.pupil.get(1).cloned();
        }
        section
    }

    /// Which channels of the stream are read, and, of a tracker that is calibrated by itself, how they become degrees. Recordings of
    /// others must work: where nothing in the stream looks like a position, and no label is given, the first two channels are taken
    /// for it.
    pub(super) fn read(
        &self,
        spec: &StreamSpec,
    ) -> Result<(EyesRead, Option<GazeReading>), Failure> {
        let refused = |e: SourceError| match e {
            SourceError::Unclear { .. } => Failure::said(
                Exit::Source,
                format!("{e}; on the command line --gaze-x, --gaze-y and --gaze-confidence"),
            ),
            other => failure(Exit::Source, other),
        };
        let mut section = self.section();
        let usage = |words: String| Failure::said(Exit::Usage, words);
        if let Some(word) = &self.units {
            let units = GazeUnits::declared(word);
            section.units = Some(units.ok_or_else(|| {
                usage(format!(
                    "--gaze-units {word}: give normalised, pixels, degrees, mm or m"
                ))
            })?);
        }
        if !matches!(self.right.len(), 0 | 2) {
            return Err(usage(
                "--gaze-right takes two labels, across and down: --gaze-right X,Y".into(),
            ));
        }
        if self.calibrated {
            let screen = self.picture(section.units)?;
            let reading = eyes::choose(&section, &screen, spec)
                .map_err(refused)?
                .reading;
            return Ok((reading.eyes, Some(reading)));
        }
        let silent = spec.labels.iter().all(String::is_empty);
        if silent && section.x == AUTO && section.y == AUTO {
            return Ok((EyesRead::combined((0, 1), None), None));
        }
        let read = eyes::choose_eyes(&section, spec).map_err(refused)?.read;
        Ok((read, None))
    }

    /// The picture that a calibrated tracker's numbers lie in.
    fn picture(&self, units: Option<GazeUnits>) -> Result<ScreenSection, Failure> {
        if let Some(picture) = &self.picture {
            return Ok(picture.clone());
        }
        let usage = |words: &str| Failure::said(Exit::Usage, words.to_owned());
        let mut screen = ScreenSection::default();
        let sizes = match (self.screen.as_slice(), units) {
            ([], Some(GazeUnits::Degrees)) => {
                [screen.width_cm, screen.height_cm, screen.distance_cm]
            }
            ([w, h, d], units) if units != Some(GazeUnits::Pixels) => [*w, *h, *d],
            ([w, h, d, px, py], _) => {
                screen.width_px = *px as u32;
                screen.height_px = *py as u32;
                [*w, *h, *d]
            }
            _ => {
                return Err(usage(
                    "--gaze-calibrated needs the picture's size to tell degrees: --screen WIDTH,HEIGHT,DISTANCE in centimetres, \
                     and for pixels its width and height in pixels after that",
                ));
            }
        };
        let positive = |size: &f64| size.is_finite() && *size > 0.0;
        if !sizes.iter().all(positive) || screen.width_px == 0 || screen.height_px == 0 {
            return Err(usage("--screen: all sizes must be above 0"));
        }
        [screen.width_cm, screen.height_cm, screen.distance_cm] = sizes;
        Ok(screen)
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

/// A sample of one eye, in degrees where the tracker's own calibration leads there.
fn sample_of(t_s: f64, seen: Option<(f64, f64)>, geometry: Option<&GazeReading>) -> GazeSample {
    let (x, y) = seen.map_or((f64::NAN, f64::NAN), |(x, y)| {
        geometry.map_or((x, y), |reading| reading.degrees(x, y))
    });
    GazeSample {
        t_s,
        x,
        y,
        valid: seen.is_some(),
    }
}

impl Recorded {
    /// Calibration points and moving targets with their samples; empty when none was shown.
    ///
    /// Position and confidence are read from the channels that [`GazeChannels`] names; where it names none, as the stream
    /// describes itself. Two eyes are kept apart.
    ///
    /// # Errors
    /// [`Exit::Source`] when points were shown but there is not exactly one gaze stream, or a label is not there; [`Exit::Usage`] when
    /// a calibrated tracker's unit or screen is not given.
    pub fn gaze_input(&self) -> Result<GazeInput, Failure> {
        let mut shown = self.shown();
        if shown.is_empty() {
            return Ok(GazeInput::default());
        }
        let stream = self.gaze_stream("gaze points were shown")?;
        let (read, geometry) = self.streams.gaze.read(&stream.spec)?;
        let binocular = read.is_binocular();
        for (index, &t_s) in stream.stamps.iter().enumerate() {
            let (Some(row), Some(target)) = (
                stream.numbers(index),
                shown
                    .iter_mut()
                    .find(|target| t_s >= target.from_s && t_s < target.until_s),
            ) else {
                continue;
            };
            // As the pipeline sees them.
            let row: Vec<f32> = row.iter().map(|value| *value as f32).collect();
            let raw = read.raw(&row);
            let sample = if binocular {
                let [left, right] = raw.eyes.map(|eye| sample_of(t_s, eye, geometry.as_ref()));
                target.eyes.push(left, right)
            } else {
                sample_of(t_s, raw.mean(), geometry.as_ref())
            };
            target.samples.push(sample);
        }
        let mut input = GazeInput {
            calibrated: geometry.is_some(),
            declared_rate_hz: Some(stream.spec.rate_hz).filter(|hz| *hz > 0.0),
            ..GazeInput::default()
        };
        for target in shown {
            let eyes = binocular.then_some(target.eyes);
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

    /// The one gaze stream, `why` it is needed.
    pub(super) fn gaze_stream(&self, why: &str) -> Result<&RecordedStream, Failure> {
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
        Ok(stream)
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
