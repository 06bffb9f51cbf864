//! The Extensible Data Format (<https://github.com/sccn/xdf/wiki/Specifications>), version 1.0.
//!
//! A file is the four bytes `XDF:` and then chunks, each `[length][tag][content]`:
//!
//! | tag | chunk | content |
//! |---|---|---|
//! | 1 | [`Chunk::FileHeader`] | XML |
//! | 2 | [`Chunk::StreamHeader`] | stream number, XML |
//! | 3 | [`Chunk::Samples`] | stream number, count, per sample: stamp or none, values |
//! | 4 | [`Chunk::ClockOffset`] | stream number, time of measurement, offset |
//! | 5 | [`Chunk::Boundary`] | a fixed 16-byte mark to find the way back after damage |
//! | 6 | [`Chunk::StreamFooter`] | stream number, XML |
//!
//! All numbers are little-endian. [`Reader`] goes through a file chunk by chunk and trusts nothing it says of itself.
//! [`Writer`] appends whole chunks, so that what was written survives a kill. [`sync`] makes one clock of many.

mod chunk;
mod compose;
mod content;
mod cursor;
mod error;
mod header;
mod medium;
mod reader;
mod samples;
pub mod sync;
mod window;
mod writer;

pub use chunk::{
    BOUNDARY_UUID, Chunk, ClockMeasurement, FileHeader, Footer, Limits, MAGIC, SampleChunk,
    StreamId, Values,
};
pub use error::{WriteError, XdfError};
pub use header::{HeaderError, spec_from_xml};
pub use medium::Medium;
pub use reader::{Damage, Reader};
pub use writer::{Totals, Writer, header_xml};
