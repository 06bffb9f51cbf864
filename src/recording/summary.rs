//! What a recording says of itself when it ends.

use std::fmt;

/// Why a recording is not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Incomplete {
    /// The disk could not keep up: a ring or the queue was full.
    Dropped {
        /// The stream's name.
        stream: String,
        /// Samples or markers dropped.
        count: u64,
    },
    /// Writing failed; what came later is not in the file.
    Write {
        /// What the system said, and what to do.
        reason: String,
    },
    /// A block was refused, e.g. a marker of more than 1 MiB.
    Refused {
        /// The stream's name.
        stream: String,
        /// Samples or markers refused.
        count: u64,
        /// Why the first was refused.
        reason: String,
    },
    /// The disk did not answer in time when the recording should end; there may be no footers.
    Unfinished {
        /// How long was waited, seconds.
        waited_s: u64,
    },
    /// The recorder thread died.
    Died,
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dropped { stream, count } => {
                write!(
                    f,
                    "{count} samples of stream '{stream}' were dropped: the disk could not keep up"
                )
            }
            Self::Write { reason } => write!(f, "writing failed: {reason}"),
            Self::Refused {
                stream,
                count,
                reason,
            } => {
                write!(
                    f,
                    "{count} samples of stream '{stream}' could not be written: {reason}"
                )
            }
            Self::Unfinished { waited_s } => write!(
                f,
                "the disk did not answer within {waited_s} s; the file may lack its end and can be opened in recover mode"
            ),
            Self::Died => write!(
                f,
                "the recorder stopped unexpectedly; the file can be opened in recover mode"
            ),
        }
    }
}

/// What was recorded of one stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamSummary {
    /// The stream's name.
    pub name: String,
    /// Samples in the file.
    pub samples: u64,
    /// Samples dropped before they reached the recorder.
    pub dropped: u64,
    /// Samples that reached the recorder but could not be written.
    pub unwritten: u64,
    /// Samples per second as measured by the stamps.
    pub measured_rate_hz: Option<f64>,
}

/// What was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordingSummary {
    /// The streams, in the order in which they were added.
    pub streams: Vec<StreamSummary>,
    /// Bytes of whole chunks in the file.
    pub bytes: u64,
    /// Why it is not whole; empty when it is.
    pub incomplete: Vec<Incomplete>,
}

impl RecordingSummary {
    /// Whether everything that was pushed is in the file.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.incomplete.is_empty()
    }
}
