//! A recorded person for the simulated laboratory: from a labelled recording to [`RealEeg`].

use std::path::{Path, PathBuf};

use super::exit::{Exit, Failure};
use super::recorded::{Recorded, Streams};
use crate::sim::{RawEeg, RealEeg, RealFlash};

/// Which recording the simulated person's EEG is taken from.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub struct Participant {
    /// A labelled recording (XDF): its EEG takes the place of the made-up noise, and attended flashes evoke what its targets
    /// evoked. Channels, rate and unit are the recording's; --preset says how attentive the person is and how good its eye
    /// tracker, no more
    #[arg(long, value_name = "FILE")]
    pub recording: Option<PathBuf>,
    /// Name of the recording's EEG stream, where it has more than one
    #[arg(long, value_name = "NAME", requires = "recording")]
    pub recording_eeg: Option<String>,
    /// Name of the recording's marker stream, where more than one has flashes
    #[arg(long, value_name = "NAME", requires = "recording")]
    pub recording_markers: Option<String>,
    /// Only these EEG channels of the recording, in this order: Cz,Pz,Oz
    #[arg(
        long,
        value_name = "LABELS",
        value_delimiter = ',',
        requires = "recording"
    )]
    pub recording_channels: Vec<String>,
}

impl Participant {
    /// Reads the recording and takes it apart; `None` when none was named.
    ///
    /// # Errors
    /// [`Exit::Source`] when the file cannot be read, has no EEG, or too few flashes whose truth is known.
    pub fn load(&self) -> Result<Option<RealEeg>, Failure> {
        let streams = Streams {
            eeg: self.recording_eeg.clone(),
            markers: self.recording_markers.clone(),
            channels: self.recording_channels.clone(),
            ..Streams::default()
        };
        self.recording
            .as_deref()
            .map(|file| real_eeg(file, &streams))
            .transpose()
    }

    /// What has to be typed for the same person.
    #[must_use]
    pub fn typed(&self) -> Vec<std::ffi::OsString> {
        let mut typed = Vec::new();
        let mut add = |flag: &str, value: &std::ffi::OsStr| {
            // In one word, as a file or a name may begin with a dash.
            let mut word = std::ffi::OsString::from(format!("{flag}="));
            word.push(value);
            typed.push(word);
        };
        if let Some(file) = &self.recording {
            add("--recording", file.as_os_str());
        }
        if let Some(name) = &self.recording_eeg {
            add("--recording-eeg", name.as_ref());
        }
        if let Some(name) = &self.recording_markers {
            add("--recording-markers", name.as_ref());
        }
        if !self.recording_channels.is_empty() {
            add(
                "--recording-channels",
                self.recording_channels.join(",").as_ref(),
            );
        }
        typed
    }
}

/// Takes the EEG of a recording apart.
///
/// # Errors
/// [`Exit::Source`] when the file cannot be read, has no EEG, or too few flashes whose truth is known.
pub fn real_eeg(file: &Path, streams: &Streams) -> Result<RealEeg, Failure> {
    let recorded = Recorded::open(file, streams)?;
    let stream = recorded.eeg()?;
    let said = |what: String| Failure::said(Exit::Source, format!("{}: {what}", file.display()));
    let flashes: Vec<RealFlash> = recorded
        .flashes()
        .iter()
        .filter_map(|flash| {
            flash.target.map(|target| RealFlash {
                onset_s: flash.onset_s,
                target,
            })
        })
        .collect();
    if flashes.is_empty() {
        return Err(said(
            "no flash in it says whether it was a target, so how the person answers is not known. Markers are {\"event\":\"flash\",\"target\":0} or 1"
                .into(),
        ));
    }
    let mut values = Vec::with_capacity(stream.stamps.len() * stream.channels());
    for index in 0..stream.stamps.len() {
        let row = stream.numbers(index).unwrap_or_default();
        // The stream's own width, as amplifiers send it.
        values.extend(row.iter().map(|value| *value as f32));
    }
    let raw = RawEeg {
        labels: stream.spec.labels.clone(),
        units: stream.spec.units.clone(),
        rate_hz: stream.spec.rate_hz,
        stamps: stream.stamps.clone(),
        values,
    };
    RealEeg::prepare(raw, &flashes).map_err(|error| said(error.to_string()))
}
