//! Writes XDF files so that a kill at any byte costs at most the chunk that was being written.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::{
    chunk::{BOUNDARY_UUID, ClockMeasurement, Limits, MAGIC, StreamId, Values, tag},
    compose,
    error::WriteError,
    medium::Medium,
};
use crate::source::{ClockOffset, Format, StreamSpec};

/// Samples chunks are closed when they reach this size, bytes.
const SAMPLES_BYTES: usize = 256 << 10;
/// Clock offsets repeated in a footer; the chunks hold all of them.
const FOOTER_OFFSETS_MAX: usize = 50_000;
/// Length field of a chunk as we write it: the size, 4, and a 32-bit number.
const FRAME_BYTES: usize = 5;

/// What was written of one stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Totals {
    /// The stream's number.
    pub stream: StreamId,
    /// Its name.
    pub name: String,
    /// Samples written.
    pub samples: u64,
    /// Raw stamp of the first sample, seconds.
    pub first_stamp_s: Option<f64>,
    /// Raw stamp of the last sample, seconds.
    pub last_stamp_s: Option<f64>,
}

impl Totals {
    /// Samples per second as measured; `None` before the second sample or when time did not advance.
    #[must_use]
    pub fn measured_rate_hz(&self) -> Option<f64> {
        let span_s = self.last_stamp_s? - self.first_stamp_s?;
        (self.samples > 1 && span_s > 0.0).then(|| (self.samples - 1) as f64 / span_s)
    }
}

#[derive(Debug)]
struct Lane {
    totals: Totals,
    format: Format,
    channels: usize,
    offsets: Vec<ClockMeasurement>,
}

/// Writes one XDF file, append-only.
///
/// Every chunk goes out with one write call, so a file that was cut off by a kill holds whole chunks and at most one
/// half; [`super::Reader::recover`] and pyxdf read it. Raw stamps are written, every one of them. When a write fails, the
/// half chunk is taken back where that is possible, the failure is kept ([`Self::failure`]), and everything later is
/// refused with [`WriteError::Failed`].
///
/// No threads and no clock: the cadence of boundaries, clock offsets and [`Self::persist`] is the caller's.
#[derive(Debug)]
pub struct Writer<M> {
    out: M,
    written: u64,
    failure: Option<String>,
    chunk: Vec<u8>,
    lanes: Vec<Lane>,
}

impl Writer<File> {
    /// Creates a file that only its owner may read (0600), and makes its name durable.
    ///
    /// # Errors
    /// [`WriteError::Create`] when it exists or cannot be created; [`WriteError::Failed`] when the header cannot be
    /// written.
    pub fn create(path: &Path) -> Result<Self, WriteError> {
        let failed = |source| WriteError::Create {
            path: path.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
        Self::new(file)
    }
}

impl<M: Medium> Writer<M> {
    /// Begins a file on an empty medium.
    ///
    /// # Errors
    /// [`WriteError::Failed`] when the header cannot be written.
    pub fn new(out: M) -> Result<Self, WriteError> {
        let mut writer = Self {
            out,
            written: 0,
            failure: None,
            chunk: Vec::new(),
            lanes: Vec::new(),
        };
        writer.chunk.extend_from_slice(&MAGIC);
        writer.begin(tag::FILE_HEADER);
        writer
            .chunk
            .extend_from_slice(b"<?xml version=\"1.0\"?><info><version>1.0</version></info>");
        writer.put(MAGIC.len())?;
        Ok(writer)
    }

    /// Bytes of whole chunks written so far.
    pub fn bytes(&self) -> u64 {
        self.written
    }

    /// Why writing has ended; `None` while all is well.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// What was written so far, one entry per stream.
    pub fn totals(&self) -> impl Iterator<Item = &Totals> {
        self.lanes.iter().map(|lane| &lane.totals)
    }

    /// Adds a stream, also while others are being written.
    ///
    /// The header is `spec.xml` when that says the same as the other fields, else it is composed from them.
    ///
    /// # Errors
    /// [`WriteError::Header`] when readers would refuse the stream, [`WriteError::Failed`].
    pub fn add_stream(&mut self, spec: &StreamSpec) -> Result<StreamId, WriteError> {
        self.check_alive()?;
        let xml = header_xml(spec)?;
        // Streams are bounded far below 2^32 by memory.
        let stream = StreamId(self.lanes.len() as u32 + 1);
        self.begin(tag::STREAM_HEADER);
        self.chunk.extend_from_slice(&stream.0.to_le_bytes());
        self.chunk.extend_from_slice(xml.as_bytes());
        self.put(0)?;
        self.lanes.push(Lane {
            totals: Totals {
                stream,
                name: spec.name.clone(),
                samples: 0,
                first_stamp_s: None,
                last_stamp_s: None,
            },
            format: spec.format,
            channels: spec.labels.len(),
            offsets: Vec::new(),
        });
        Ok(stream)
    }

    /// Writes samples in the stream's own format; `values` is row-major `[samples][channels]`.
    ///
    /// # Errors
    /// [`WriteError::Shape`] when format, stamps and values do not fit, [`WriteError::UnknownStream`],
    /// [`WriteError::Failed`].
    pub fn samples(
        &mut self,
        stream: StreamId,
        stamps: &[f64],
        values: &Values,
    ) -> Result<(), WriteError> {
        if let Values::Text(texts) = values {
            return self.texts(stream, stamps, texts);
        }
        let channels = self.check(stream, stamps.len(), values.len(), |format| {
            format == values.format()
        })?;
        self.rows(stream, stamps, |sample, chunk| {
            let row = sample * channels..(sample + 1) * channels;
            match values {
                Values::Int8(v) => put_row(chunk, &v[row], |v| v.to_le_bytes()),
                Values::Int16(v) => put_row(chunk, &v[row], |v| v.to_le_bytes()),
                Values::Int32(v) => put_row(chunk, &v[row], |v| v.to_le_bytes()),
                Values::Int64(v) => put_row(chunk, &v[row], |v| v.to_le_bytes()),
                Values::Float32(v) => put_row(chunk, &v[row], |v| v.to_le_bytes()),
                Values::Double64(v) => put_row(chunk, &v[row], |v| v.to_le_bytes()),
                // Text was handed on above.
                Values::Text(_) => {}
            }
        })
    }

    /// Writes samples as the pipeline holds them, converted to the stream's numeric format.
    ///
    /// Integers are rounded to the nearest and saturate; a NaN becomes 0, so keep to float formats where NaN can be.
    ///
    /// # Errors
    /// As [`Self::samples`]; text streams are refused.
    pub fn floats(
        &mut self,
        stream: StreamId,
        stamps: &[f64],
        data: &[f32],
    ) -> Result<(), WriteError> {
        let channels = self.check(stream, stamps.len(), data.len(), |format| {
            format != Format::String
        })?;
        let format = self.lane(stream)?.format;
        self.rows(stream, stamps, |sample, chunk| {
            let row = &data[sample * channels..(sample + 1) * channels];
            match format {
                Format::Float32 => put_row(chunk, row, |v| v.to_le_bytes()),
                Format::Double64 => put_row(chunk, row, |v| f64::from(v).to_le_bytes()),
                Format::Int8 => put_row(chunk, row, |v| (v.round() as i8).to_le_bytes()),
                Format::Int16 => put_row(chunk, row, |v| (v.round() as i16).to_le_bytes()),
                Format::Int32 => put_row(chunk, row, |v| (v.round() as i32).to_le_bytes()),
                Format::Int64 => put_row(chunk, row, |v| (v.round() as i64).to_le_bytes()),
                // Refused by the check above.
                Format::String => {}
            }
        })
    }

    /// Writes samples of a text stream; `texts` is row-major `[samples][channels]`.
    ///
    /// # Errors
    /// As [`Self::samples`]; strings longer than readers accept (1 MiB) are refused.
    pub fn texts<T: AsRef<str>>(
        &mut self,
        stream: StreamId,
        stamps: &[f64],
        texts: &[T],
    ) -> Result<(), WriteError> {
        let channels = self.check(stream, stamps.len(), texts.len(), |format| {
            format == Format::String
        })?;
        let max = Limits::default().string_bytes_max;
        let longest = texts
            .iter()
            .map(|text| text.as_ref().len() as u64)
            .max()
            .unwrap_or(0);
        if longest > max {
            return Err(WriteError::Shape {
                name: self.lane(stream)?.totals.name.clone(),
                what: "a string",
                expected: format!("at most {max} bytes"),
                actual: format!("{longest} bytes"),
            });
        }
        self.rows(stream, stamps, |sample, chunk| {
            for text in &texts[sample * channels..(sample + 1) * channels] {
                let bytes = text.as_ref().as_bytes();
                // At most 1 MiB, checked above.
                chunk.push(4);
                chunk.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                chunk.extend_from_slice(bytes);
            }
        })
    }

    /// Writes a measurement of a stream's clock, dated on our clock as [`ClockOffset`] is.
    ///
    /// # Errors
    /// [`WriteError::Shape`] when it is not finite, [`WriteError::UnknownStream`], [`WriteError::Failed`].
    pub fn clock_offset(
        &mut self,
        stream: StreamId,
        offset: ClockOffset,
    ) -> Result<(), WriteError> {
        self.measurement(stream, offset.into())
    }

    /// Writes a measurement of a stream's clock, dated on the source's clock as XDF stores it.
    ///
    /// # Errors
    /// As [`Self::clock_offset`].
    pub fn measurement(
        &mut self,
        stream: StreamId,
        measurement: ClockMeasurement,
    ) -> Result<(), WriteError> {
        self.check_alive()?;
        let ClockMeasurement { source_s, offset_s } = measurement;
        let lane = self.lane(stream)?;
        if !(source_s.is_finite() && offset_s.is_finite()) {
            return Err(WriteError::Shape {
                name: lane.totals.name.clone(),
                what: "a clock offset",
                expected: "two finite numbers".into(),
                actual: format!("{source_s} and {offset_s}"),
            });
        }
        self.begin(tag::CLOCK_OFFSET);
        self.chunk.extend_from_slice(&stream.0.to_le_bytes());
        self.chunk.extend_from_slice(&source_s.to_le_bytes());
        self.chunk.extend_from_slice(&offset_s.to_le_bytes());
        self.put(0)?;
        let offsets = &mut self.lane_mut(stream)?.offsets;
        if offsets.len() < FOOTER_OFFSETS_MAX {
            offsets.push(measurement);
        }
        Ok(())
    }

    /// Writes a boundary: the place from which a reader can go on after damage.
    ///
    /// # Errors
    /// [`WriteError::Failed`].
    pub fn boundary(&mut self) -> Result<(), WriteError> {
        self.check_alive()?;
        self.begin(tag::BOUNDARY);
        self.chunk.extend_from_slice(&BOUNDARY_UUID);
        self.put(0)
    }

    /// Forces everything onto the disk. May take as long as the disk likes.
    ///
    /// # Errors
    /// [`WriteError::Failed`].
    pub fn persist(&mut self) -> Result<(), WriteError> {
        self.check_alive()?;
        match self.out.persist() {
            Ok(()) => Ok(()),
            Err(error) => Err(self.fail(&error)),
        }
    }

    /// Writes the footers, forces everything onto the disk and gives the medium back.
    ///
    /// # Errors
    /// [`WriteError::Failed`].
    pub fn finish(mut self) -> Result<M, WriteError> {
        self.write_footers()?;
        Ok(self.out)
    }

    /// Writes the footers and forces everything onto the disk, keeping the totals at hand.
    pub(in crate::recording) fn write_footers(&mut self) -> Result<(), WriteError> {
        self.check_alive()?;
        for at in 0..self.lanes.len() {
            let Some(lane) = self.lanes.get(at) else {
                break;
            };
            let (stream, xml) = (
                lane.totals.stream,
                compose::footer(&lane.totals, &lane.offsets),
            );
            self.begin(tag::STREAM_FOOTER);
            self.chunk.extend_from_slice(&stream.0.to_le_bytes());
            self.chunk.extend_from_slice(xml.as_bytes());
            self.put(0)?;
        }
        self.persist()
    }

    fn check_alive(&self) -> Result<(), WriteError> {
        match &self.failure {
            None => Ok(()),
            Some(reason) => Err(WriteError::Failed {
                offset: self.written,
                reason: reason.clone(),
            }),
        }
    }

    fn lane(&self, stream: StreamId) -> Result<&Lane, WriteError> {
        (stream.0 as usize)
            .checked_sub(1)
            .and_then(|at| self.lanes.get(at))
            .ok_or(WriteError::UnknownStream { stream })
    }

    fn lane_mut(&mut self, stream: StreamId) -> Result<&mut Lane, WriteError> {
        (stream.0 as usize)
            .checked_sub(1)
            .and_then(|at| self.lanes.get_mut(at))
            .ok_or(WriteError::UnknownStream { stream })
    }

    /// Checks that a block fits its stream; says how many channels that has.
    fn check(
        &self,
        stream: StreamId,
        samples: usize,
        values: usize,
        fits: impl Fn(Format) -> bool,
    ) -> Result<usize, WriteError> {
        self.check_alive()?;
        let lane = self.lane(stream)?;
        let shape = |what, expected, actual| WriteError::Shape {
            name: lane.totals.name.clone(),
            what,
            expected,
            actual,
        };
        if !fits(lane.format) {
            return Err(shape(
                "the format of the values",
                format!("{:?}", lane.format),
                "another".into(),
            ));
        }
        if Some(values) != samples.checked_mul(lane.channels) {
            let expected = format!("{samples} samples x {} channels", lane.channels);
            return Err(shape("the number of values", expected, values.to_string()));
        }
        Ok(lane.channels)
    }

    /// Writes samples chunk by chunk; `row` appends the values of one sample.
    fn rows(
        &mut self,
        stream: StreamId,
        stamps: &[f64],
        mut row: impl FnMut(usize, &mut Vec<u8>),
    ) -> Result<(), WriteError> {
        let mut done = 0;
        while done < stamps.len() {
            self.begin(tag::SAMPLES);
            self.chunk.extend_from_slice(&stream.0.to_le_bytes());
            self.chunk.push(4);
            let count_at = self.chunk.len();
            self.chunk.extend_from_slice(&[0; 4]);
            let first = done;
            while done < stamps.len() && self.chunk.len() < SAMPLES_BYTES {
                self.chunk.push(8);
                self.chunk.extend_from_slice(&stamps[done].to_le_bytes());
                row(done, &mut self.chunk);
                done += 1;
            }
            // Each sample has at least nine bytes of a chunk that `put` bounds, so the count fits.
            self.chunk[count_at..count_at + 4]
                .copy_from_slice(&((done - first) as u32).to_le_bytes());
            self.put(0)?;
            let totals = &mut self.lane_mut(stream)?.totals;
            totals.first_stamp_s = totals.first_stamp_s.or(stamps.get(first).copied());
            totals.last_stamp_s = stamps.get(done - 1).copied();
            totals.samples += (done - first) as u64;
        }
        Ok(())
    }

    /// Begins a chunk behind what already stands in the buffer: room for the length, then the tag.
    fn begin(&mut self, tag: u16) {
        self.chunk.extend_from_slice(&[4, 0, 0, 0, 0]);
        self.chunk.extend_from_slice(&tag.to_le_bytes());
    }

    /// Writes the chunk that begins at `start` of the buffer, and what stands before it, with one call.
    fn put(&mut self, start: usize) -> Result<(), WriteError> {
        let mut chunk = std::mem::take(&mut self.chunk);
        let content = chunk.len() - start - FRAME_BYTES;
        let result = match u32::try_from(content) {
            Ok(length) if u64::from(length) <= Limits::default().chunk_bytes_max => {
                chunk[start + 1..start + FRAME_BYTES].copy_from_slice(&length.to_le_bytes());
                self.write(&chunk)
            }
            _ => Err(WriteError::TooLarge {
                bytes: content as u64,
                max: Limits::default().chunk_bytes_max,
            }),
        };
        chunk.clear();
        chunk.shrink_to(2 * SAMPLES_BYTES);
        self.chunk = chunk;
        result
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        match self.out.write_all(bytes).and_then(|()| self.out.flush()) {
            Ok(()) => {
                self.written += bytes.len() as u64;
                Ok(())
            }
            Err(error) => Err(self.fail(&error)),
        }
    }

    fn fail(&mut self, error: &io::Error) -> WriteError {
        let mut reason = error.to_string();
        if let Err(error) = self.out.cut(self.written) {
            reason.push_str(&format!(
                " (and the last, half-written chunk could not be removed: {error})"
            ));
        }
        self.failure = Some(reason.clone());
        WriteError::Failed {
            offset: self.written,
            reason,
        }
    }
}

fn put_row<T: Copy, const N: usize>(chunk: &mut Vec<u8>, row: &[T], encode: fn(T) -> [u8; N]) {
    for value in row {
        chunk.extend_from_slice(&encode(*value));
    }
}

/// The header a stream gets in the file; checked, so that a reader accepts it.
///
/// # Errors
/// [`WriteError::Header`] when the stream goes beyond [`Limits::default`].
pub fn header_xml(spec: &StreamSpec) -> Result<String, WriteError> {
    compose::header(spec).map_err(|source| WriteError::Header {
        name: spec.name.clone(),
        source,
    })
}
