//! A recording as calibration and scoring see it: EEG, flashes, gaze points. Read leniently, as recordings of others must work.

mod gaze;
mod markers;
mod pass;
mod pupils;
mod signals;
mod words;

pub use gaze::GazeChannels;
pub use markers::Flash;
pub use pass::{Passed, ScoredEpoch};
pub use words::{channel_name, samples_in_words, signal_in_words};

use std::path::{Path, PathBuf};

use razvilka_dsp::stamps::StampRule;
use serde_json::Value;

use self::markers::markers_of;
use super::exit::{Exit, Failure};
use crate::recording::{RecordedStream, Recording, Samples};
use crate::source::named_twice;

/// Which streams of a recording are meant; the only one of its type where no name is given.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub struct Streams {
    /// Name of the EEG stream, where the recording has more than one.
    #[arg(long, value_name = "NAME")]
    pub eeg: Option<String>,
    /// Name of the marker stream, where more than one has flashes or gaze points.
    #[arg(long, value_name = "NAME")]
    pub markers: Option<String>,
    /// Use only the EEG channels with these labels, in this order: Cz,Pz,Oz.
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    pub channels: Vec<String>,
    /// Look for contractions of jaw or brow in the EEG channels with these labels; without it in those labelled EMG, or over the
    /// muscle that was asked for.
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    pub muscle_channels: Vec<String>,
    /// How the gaze stream is read.
    #[command(flatten)]
    pub gaze: GazeChannels,
}

/// An opened recording with its markers parsed.
#[derive(Debug)]
pub struct Recorded {
    path: PathBuf,
    recording: Recording,
    streams: Streams,
    markers: Vec<(f64, Value)>,
}

impl Recorded {
    /// Reads a recording and the markers of flashes and gaze points in it.
    ///
    /// # Errors
    /// [`Exit::Source`] when the file cannot be read or is no XDF, or when two marker streams could be meant.
    pub fn open(path: &Path, streams: &Streams) -> Result<Self, Failure> {
        let recording = Recording::open(path).map_err(|e| failure(Exit::Source, e))?;
        Self::of(path, recording, streams)
    }

    /// The markers of flashes and gaze points in a recording that was read from `path`.
    ///
    /// # Errors
    /// [`Exit::Source`] when two marker streams could be meant.
    pub(super) fn of(
        path: &Path,
        mut recording: Recording,
        streams: &Streams,
    ) -> Result<Self, Failure> {
        let mut found: Vec<(&str, Vec<(f64, Value)>)> = recording
            .streams
            .iter()
            .filter(|s| {
                streams
                    .markers
                    .as_ref()
                    .is_none_or(|name| *name == s.spec.name)
            })
            .map(|s| (s.spec.name.as_str(), markers_of(s)))
            .filter(|(_, markers)| !markers.is_empty())
            .collect();
        if found.len() > 1 {
            let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
            return Err(Failure::said(
                Exit::Source,
                format!(
                    "{}: {} streams have flashes or gaze points ({}). Say which with --markers NAME",
                    path.display(),
                    names.len(),
                    names.join(", ")
                ),
            ));
        }
        let markers = found.pop().map_or_else(Vec::new, |(_, markers)| markers);
        if let Some(twice) = named_twice(&streams.channels) {
            return Err(Failure::said(
                Exit::Usage,
                format!(
                    "--channels names '{twice}' twice. Name each channel once: a copy adds nothing, and its covariance cannot be inverted"
                ),
            ));
        }
        if !streams.channels.is_empty() {
            let eeg = recording
                .streams
                .iter_mut()
                .filter(|s| is_meant(s, streams));
            for stream in eeg {
                stream
                    .select(&streams.channels)
                    .map_err(|e| failure(Exit::Source, e))?;
            }
        }
        Ok(Self {
            path: path.to_owned(),
            streams: streams.clone(),
            markers,
            recording,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The EEG stream.
    ///
    /// # Errors
    /// [`Exit::Source`] when there is none, or more than one and none is named.
    pub fn eeg(&self) -> Result<&RecordedStream, Failure> {
        let said =
            |what: String| Failure::said(Exit::Source, format!("{}: {what}", self.path.display()));
        let candidates: Vec<&RecordedStream> = self
            .numeric("eeg")
            .filter(|s| is_meant(s, &self.streams))
            .collect();
        match candidates.as_slice() {
            [one] if one.spec.rate_hz > 0.0 => Ok(one),
            [one] => Err(said(format!(
                "the EEG stream '{}' states no rate",
                one.spec.name
            ))),
            [] => Err(said(
                "there is no EEG stream with samples (type \"EEG\")".into(),
            )),
            several => {
                let names: Vec<&str> = several.iter().map(|s| s.spec.name.as_str()).collect();
                Err(said(format!(
                    "there are {} EEG streams ({}). Say which with --eeg NAME",
                    several.len(),
                    names.join(", ")
                )))
            }
        }
    }

    fn numeric(&self, kind: &'static str) -> impl Iterator<Item = &RecordedStream> {
        self.recording.streams.iter().filter(move |s| {
            s.spec.kind.eq_ignore_ascii_case(kind)
                && matches!(s.samples, Samples::Numeric(_))
                && !s.is_empty()
        })
    }
}

/// What most of a recording's stamps mean: blocks that share one, or a stamp for each sample.
#[must_use]
pub fn stamp_rule(stream: &RecordedStream) -> StampRule {
    let shared = stream.stamps.windows(2).filter(|pair| pair[0] == pair[1]);
    if 2 * shared.count() > stream.stamps.len() {
        StampRule::Blocks
    } else {
        StampRule::PerSample
    }
}

/// A failure whose message is the error's own: our errors name their causes themselves, a chain would say them twice.
pub(super) fn failure(exit: Exit, error: impl std::error::Error) -> Failure {
    Failure::said(exit, error.to_string())
}

/// Whether this is the EEG stream that is meant, as far as type and name tell.
fn is_meant(stream: &RecordedStream, streams: &Streams) -> bool {
    let named = streams
        .eeg
        .as_ref()
        .is_none_or(|name| *name == stream.spec.name);
    stream.spec.kind.eq_ignore_ascii_case("eeg") && named
}
