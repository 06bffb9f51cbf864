//! Why an XDF file cannot be read or written.

use std::{io, path::PathBuf};

use super::{chunk::StreamId, header::HeaderError};

/// Why an XDF file cannot be read. Offsets are bytes from the start of the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum XdfError {
    /// The file could not be opened.
    #[error("recording {} cannot be opened: {source}. Check the path and the permissions", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something is wrong inside this file.
    #[error("recording {}: {source}", path.display())]
    InFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: Box<XdfError>,
    },
    /// Reading failed.
    #[error("reading failed at byte {offset}: {source}. Check the disk, then try again")]
    Io {
        /// How far reading had come.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The file is something else.
    #[error("not an XDF file: it should begin with 'XDF:' but begins with {found}. {advice}")]
    NotXdf {
        /// The first bytes, printable.
        found: String,
        /// What to do.
        advice: &'static str,
    },
    /// The file ends too early, or the length of a chunk lies.
    #[error(
        "byte {offset}: {what} needs {needed} bytes, but only {left} are left. The file was cut off or is damaged here"
    )]
    Truncated {
        /// Where the incomplete thing begins.
        offset: u64,
        /// What is incomplete.
        what: &'static str,
        /// How many bytes it should have.
        needed: u64,
        /// How many there are.
        left: u64,
    },
    /// The content of a chunk needs more bytes than the chunk has.
    #[error(
        "byte {offset}: {what} needs {needed} bytes, but its chunk has only {left} left: a length or a count in it lies. \
         The file is damaged here or was written wrongly"
    )]
    Overrun {
        /// Where the thing begins that does not fit.
        offset: u64,
        /// What does not fit.
        what: &'static str,
        /// How many bytes it needs.
        needed: u64,
        /// How many the chunk has left.
        left: u64,
    },
    /// The content contradicts the format or itself.
    #[error(
        "byte {offset}: {what} should be {expected}, found {found}. The file is damaged here or was written wrongly"
    )]
    Malformed {
        /// Where the wrong thing stands.
        offset: u64,
        /// Which part of the file.
        what: &'static str,
        /// What the format asks for.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A limit would be broken.
    #[error(
        "byte {offset}: {what} is {found}, at most {max} is accepted. The file is damaged here, or not meant for this reader"
    )]
    OverLimit {
        /// Where it is said.
        offset: u64,
        /// What is too large.
        what: &'static str,
        /// How large it claims to be.
        found: u64,
        /// The bound.
        max: u64,
    },
}

impl XdfError {
    /// Whether recover mode reads what is sound before and behind this fault.
    #[must_use]
    pub fn is_recoverable(&self) -> bool {
        match self {
            Self::InFile { source, .. } => source.is_recoverable(),
            Self::Truncated { .. } | Self::Overrun { .. } | Self::Malformed { .. } => true,
            Self::Open { .. } | Self::NotXdf { .. } | Self::Io { .. } | Self::OverLimit { .. } => {
                false
            }
        }
    }

    /// The byte at which the file is at fault, where one can be named.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Open { .. } => None,
            Self::InFile { source, .. } => source.offset(),
            Self::NotXdf { .. } => Some(0),
            Self::Io { offset, .. }
            | Self::Truncated { offset, .. }
            | Self::Overrun { offset, .. }
            | Self::Malformed { offset, .. }
            | Self::OverLimit { offset, .. } => Some(*offset),
        }
    }
}

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The file could not be created.
    #[error(
        "recording {} cannot be created: {source}. Existing recordings are never overwritten: give another name, \
         or a folder that can be written to", path.display()
    )]
    Create {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Writing failed, now or earlier: nothing more is written.
    #[error(
        "the recording ends at byte {offset}: {reason}. Free space on the disk, then start a new recording"
    )]
    Failed {
        /// Length of the part that can be read, bytes.
        offset: u64,
        /// What the system said.
        reason: String,
    },
    /// A stream cannot be described in a way that readers would accept.
    #[error("stream '{name}' cannot be recorded: {source}")]
    Header {
        /// The stream's name.
        name: String,
        /// What is wrong.
        source: HeaderError,
    },
    /// No such stream was added.
    #[error("stream {stream} was not added to this recording")]
    UnknownStream {
        /// The number given.
        stream: StreamId,
    },
    /// Values, stamps and channels do not fit each other, or a value is too large.
    #[error(
        "stream '{name}': {what} should be {expected} but is {actual}. Nothing of this block was written"
    )]
    Shape {
        /// The stream's name.
        name: String,
        /// Which property.
        what: &'static str,
        /// As the stream's header says.
        expected: String,
        /// As given.
        actual: String,
    },
    /// One sample alone is larger than a chunk may be.
    #[error("one sample has {bytes} bytes, readers accept at most {max}. It was not written")]
    TooLarge {
        /// Bytes of the chunk.
        bytes: u64,
        /// The bound.
        max: u64,
    },
}
