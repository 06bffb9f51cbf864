//! Where samples and markers come from and go to: LSL, recordings, the simulator, the keyboard. All behind the same traits.
//!
//! Only the files of [`lsl`] name `labstream`; only those of [`terminal`] touch the terminal. Nothing here knows what the samples mean.

pub mod channel_words;
mod heard;
pub mod lsl;
pub mod pins;
pub mod replay;
pub(crate) mod ring;
mod shared_stamps;
pub mod terminal;
pub mod unit;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::heard::{Heard, MeasuredRate};
pub use self::shared_stamps::SharedStamps;

/// Sample format on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// 32-bit float.
    Float32,
    /// 64-bit float.
    Double64,
    /// UTF-8 text, one string per channel.
    String,
    /// 8-bit integer.
    Int8,
    /// 16-bit integer.
    Int16,
    /// 32-bit integer.
    Int32,
    /// 64-bit integer.
    Int64,
}

/// What a stream says of itself. Taken from the network only after its size was bounded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamSpec {
    /// Name.
    pub name: String,
    /// Content type, e.g. `EEG`, `Gaze`, `Markers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Identity of the device; survives restarts.
    pub source_id: String,
    /// Machine that serves the stream.
    pub hostname: String,
    /// Identity of this very outlet; changes at each start.
    pub uid: String,
    /// Samples per second; 0 for irregular streams.
    pub rate_hz: f64,
    /// Sample format.
    pub format: Format,
    /// Channel labels in order; empty strings when the stream names none.
    pub labels: Vec<String>,
    /// Channel units in order; empty when not said.
    pub units: Vec<String>,
    /// The stream's whole description, XML.
    pub xml: String,
}

impl StreamSpec {
    /// Index of the channel with this label.
    ///
    /// # Errors
    /// [`SourceError::Mismatch`] that lists the labels there are.
    pub fn channel(&self, label: &str) -> Result<usize, SourceError> {
        let mismatch = |expected: String| SourceError::Mismatch {
            name: self.name.clone(),
            what: "a channel label",
            expected,
            actual: self.labels.join(", "),
        };
        let mut named = self.labels.iter().enumerate();
        let mut found = named.by_ref().filter(|(_, found)| *found == label);
        match (found.next(), found.next()) {
            (Some((channel, _)), None) => Ok(channel),
            (Some(_), Some(_)) => Err(mismatch(format!("'{label}' at one channel only"))),
            (None, _) => Err(mismatch(format!("'{label}'"))),
        }
    }
}

/// The first label that stands there twice; channels without a label have none.
#[must_use]
pub fn named_twice(labels: &[String]) -> Option<&str> {
    let repeated = |k: &usize| !labels[*k].is_empty() && labels[..*k].contains(&labels[*k]);
    let first = (1..labels.len()).find(repeated)?;
    labels.get(first).map(String::as_str)
}

/// The latest measured relation of a stream's clock to ours: `ours = stamp + offset_s`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClockOffset {
    /// When it was measured, on our LSL clock, seconds.
    pub at_s: f64,
    /// To be added to the source's stamps, seconds.
    pub offset_s: f64,
}

/// Samples of a numeric stream, pulled by one thread.
pub trait SampleSource: Send {
    /// What the stream is.
    fn spec(&self) -> &StreamSpec;

    /// Moves up to `stamps.len()` samples out, waiting at most `timeout` for the first.
    ///
    /// `data` is row-major `[samples][channels]` and must hold `stamps.len() * channels` values; returns the number of
    /// samples written. Stamps are the source's own, uncorrected. Does not allocate.
    ///
    /// # Errors
    /// [`SourceError::Lost`] when the source has gone, others as they say.
    fn pull(
        &mut self,
        data: &mut [f32],
        stamps: &mut [f64],
        timeout: Duration,
    ) -> Result<usize, SourceError>;

    /// The latest clock offset, refreshed off this thread; `None` until measured. Never blocks.
    fn clock_offset(&self) -> Option<ClockOffset>;

    /// Largest error of that offset, seconds; `None` where it is not known. Never blocks.
    fn clock_uncertainty_s(&self) -> Option<f64> {
        None
    }

    /// Samples that were lost in the source's own buffers so far.
    fn dropped(&self) -> u64;
}

/// Text markers, pulled by one thread.
pub trait MarkerSource: Send {
    /// What the stream is.
    fn spec(&self) -> &StreamSpec;

    /// The next marker with the source's own stamp, waiting at most `timeout`.
    ///
    /// # Errors
    /// [`SourceError::Lost`] when the source has gone.
    fn pull(&mut self, timeout: Duration) -> Result<Option<(f64, String)>, SourceError>;

    /// The latest clock offset; `None` until measured. Never blocks.
    fn clock_offset(&self) -> Option<ClockOffset>;
}

/// Where samples go out.
pub trait SampleSink: Send {
    /// Publishes `stamps.len()` samples; `data` is row-major `[samples][channels]`.
    ///
    /// # Errors
    /// When the outlet refuses the shape or the socket fails.
    fn push(&mut self, data: &[f32], stamps: &[f64]) -> Result<(), SourceError>;
}

/// Where markers go out.
pub trait MarkerSink: Send {
    /// Publishes one marker with its stamp on our LSL clock.
    ///
    /// # Errors
    /// When the socket fails.
    fn push(&mut self, marker: &str, stamp: f64) -> Result<(), SourceError>;
}

/// Why a source cannot be used. Every message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The stream stopped answering.
    #[error("stream '{name}' was lost: {reason}. Check the device and its cable, then start again")]
    Lost {
        /// The stream's name.
        name: String,
        /// What was seen.
        reason: String,
    },
    /// A source that has an end has come to it.
    #[error("stream '{name}' has come to its end")]
    Ended {
        /// The stream's name.
        name: String,
    },
    /// No stream answered at all.
    #[error(
        "no stream answered within {waited_s} s. Asked: {asked}. Start the device's LSL program, and check firewall and SessionID"
    )]
    Silent {
        /// How long answers were awaited, seconds.
        waited_s: f64,
        /// Which addresses were asked.
        asked: String,
    },
    /// No stream fits the pins.
    #[error(
        "no stream fits {wanted}. Asked: {asked}. There: {seen}. `razvilka streams` prints sections to paste"
    )]
    NotFound {
        /// The pins, in words.
        wanted: String,
        /// Which addresses were asked.
        asked: String,
        /// What is there instead, the most similar first.
        seen: String,
    },
    /// The pins themselves make no sense.
    #[error("source pins: {key} {problem}")]
    Pins {
        /// Which key.
        key: &'static str,
        /// What is wrong with it, and what is allowed.
        problem: String,
    },
    /// More than one stream fits the pins: never chosen automatically.
    #[error(
        "{count} streams fit {wanted}: {found}. Stop all but one, or pin uid or hostname more closely"
    )]
    Ambiguous {
        /// The pins, in words.
        wanted: String,
        /// How many fit.
        count: usize,
        /// Which.
        found: String,
    },
    /// The stream is there, but is not what the experiment file says.
    #[error(
        "stream '{name}': {what} should be {expected} but is {actual}. Correct the source's pins or the device"
    )]
    Mismatch {
        /// The stream's name.
        name: String,
        /// Which property.
        what: &'static str,
        /// As pinned.
        expected: String,
        /// As announced.
        actual: String,
    },
    /// Its description does not say, or not clearly, how it is read.
    #[error("stream '{name}': {problem}. Its channels: {channels}. Set {keys}")]
    Unclear {
        /// The stream's name.
        name: String,
        /// What is not clear.
        problem: String,
        /// The channels that could be meant.
        channels: String,
        /// Which keys of the experiment file make it clear, and to what.
        keys: &'static str,
    },
    /// The stream's description goes beyond what we open.
    #[error(
        "stream '{name}' was refused before opening: {what} is {actual}, at most {max} is accepted"
    )]
    Oversized {
        /// The stream's name.
        name: String,
        /// Which property.
        what: &'static str,
        /// As announced.
        actual: String,
        /// The bound.
        max: String,
    },
    /// The LSL library refused.
    #[error("LSL: {0}")]
    Lsl(String),
}
