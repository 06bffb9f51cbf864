//! The parts of an XDF file, and the limits within which they are believed.

use crate::source::{ClockOffset, Format, StreamSpec};

/// The first four bytes of every XDF file.
pub const MAGIC: [u8; 4] = *b"XDF:";

/// Content of a boundary chunk; a reader that has lost its way looks for it.
pub const BOUNDARY_UUID: [u8; 16] = [
    0x43, 0xA5, 0x46, 0xDC, 0xCB, 0xF5, 0x41, 0x0F, 0xB3, 0x0E, 0xD5, 0x46, 0x73, 0x83, 0xCB, 0xE4,
];

/// Chunk tags as they stand in the file.
pub(super) mod tag {
    pub(in super::super) const FILE_HEADER: u16 = 1;
    pub(in super::super) const STREAM_HEADER: u16 = 2;
    pub(in super::super) const SAMPLES: u16 = 3;
    pub(in super::super) const CLOCK_OFFSET: u16 = 4;
    pub(in super::super) const BOUNDARY: u16 = 5;
    pub(in super::super) const STREAM_FOOTER: u16 = 6;
}

/// Number of a stream within one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a file may ask of us before it is refused. Every bound is inclusive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Streams in one file; 1024 by default.
    pub streams_max: usize,
    /// Channels of one stream; 512 by default.
    pub channels_max: usize,
    /// Nominal rate of one stream, hertz; 1 MHz by default (sound is recorded too).
    pub rate_hz_max: f64,
    /// XML of the file header or of one stream header, bytes; 64 KiB by default.
    pub header_bytes_max: u64,
    /// XML of one stream footer, bytes; 16 MiB by default (it lists all clock offsets).
    pub footer_bytes_max: u64,
    /// One string value, bytes; 1 MiB by default.
    pub string_bytes_max: u64,
    /// One chunk, bytes; 256 MiB by default. Also the most that a [`super::Reader`] keeps of the file.
    pub chunk_bytes_max: u64,
    /// What [`crate::recording::Recording::open`] may hold in memory, bytes; 4 GiB by default.
    pub memory_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams_max: 1024,
            channels_max: 512,
            rate_hz_max: 1e6,
            header_bytes_max: 64 << 10,
            footer_bytes_max: 16 << 20,
            string_bytes_max: 1 << 20,
            chunk_bytes_max: 256 << 20,
            memory_bytes_max: 4 << 30,
        }
    }
}

/// One chunk, decoded.
#[derive(Debug, Clone, PartialEq)]
pub enum Chunk {
    /// The file's own header; the first chunk.
    FileHeader(FileHeader),
    /// A stream begins; comes before anything else of that stream.
    StreamHeader {
        /// The stream's number in this file.
        stream: StreamId,
        /// What the stream says of itself.
        spec: StreamSpec,
    },
    /// Samples of one stream.
    Samples(SampleChunk),
    /// A measurement of a stream's clock.
    ClockOffset {
        /// Which stream.
        stream: StreamId,
        /// The measurement.
        measurement: ClockMeasurement,
    },
    /// A mark without content.
    Boundary,
    /// A stream has ended.
    StreamFooter {
        /// Which stream.
        stream: StreamId,
        /// What the writer counted.
        footer: Footer,
    },
}

/// Header of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHeader {
    /// Version of the format, e.g. `1.0`.
    pub version: String,
    /// The whole header, XML.
    pub xml: String,
}

/// Samples of one stream, in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleChunk {
    /// Which stream.
    pub stream: StreamId,
    /// One raw stamp per sample, seconds on the source's clock.
    pub stamps: Vec<f64>,
    /// How many of the stamps were not in the file and follow from the nominal rate.
    pub deduced: usize,
    /// The values, row-major `[samples][channels]`.
    pub values: Values,
}

/// Sample values in the stream's own format, row-major `[samples][channels]`.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// 8-bit integers.
    Int8(Vec<i8>),
    /// 16-bit integers.
    Int16(Vec<i16>),
    /// 32-bit integers.
    Int32(Vec<i32>),
    /// 64-bit integers.
    Int64(Vec<i64>),
    /// 32-bit floats.
    Float32(Vec<f32>),
    /// 64-bit floats.
    Double64(Vec<f64>),
    /// UTF-8 text.
    Text(Vec<String>),
}

impl Values {
    /// Number of values: samples times channels.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Int8(v) => v.len(),
            Self::Int16(v) => v.len(),
            Self::Int32(v) => v.len(),
            Self::Int64(v) => v.len(),
            Self::Float32(v) => v.len(),
            Self::Double64(v) => v.len(),
            Self::Text(v) => v.len(),
        }
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The format these values have in the file.
    #[must_use]
    pub fn format(&self) -> Format {
        match self {
            Self::Int8(_) => Format::Int8,
            Self::Int16(_) => Format::Int16,
            Self::Int32(_) => Format::Int32,
            Self::Int64(_) => Format::Int64,
            Self::Float32(_) => Format::Float32,
            Self::Double64(_) => Format::Double64,
            Self::Text(_) => Format::String,
        }
    }
}

/// One measurement of a stream's clock, as XDF stores it.
///
/// XDF dates the measurement on the *source's* clock, [`ClockOffset`] on ours; [`Self::on_our_clock`] converts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockMeasurement {
    /// When it was measured, seconds on the source's clock.
    pub source_s: f64,
    /// To be added to the source's stamps to get onto the recorder's clock, seconds.
    pub offset_s: f64,
}

impl ClockMeasurement {
    /// The measurement dated on the recorder's clock.
    #[must_use]
    pub fn on_our_clock(self) -> ClockOffset {
        ClockOffset {
            at_s: self.source_s + self.offset_s,
            offset_s: self.offset_s,
        }
    }
}

impl From<ClockOffset> for ClockMeasurement {
    fn from(offset: ClockOffset) -> Self {
        Self {
            source_s: offset.at_s - offset.offset_s,
            offset_s: offset.offset_s,
        }
    }
}

/// What the writer counted when a stream ended. Nothing in it is needed to read the samples.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Footer {
    /// Raw stamp of the first sample, seconds.
    pub first_stamp_s: Option<f64>,
    /// Raw stamp of the last sample, seconds.
    pub last_stamp_s: Option<f64>,
    /// Number of samples.
    pub sample_count: Option<u64>,
    /// Samples per second as measured.
    pub measured_rate_hz: Option<f64>,
}
