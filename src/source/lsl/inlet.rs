//! Inlets: the feed's frames as samples or markers, behind the project's traits.

use std::fmt::Display;
use std::time::{Duration, Instant};

use super::Network;
use super::clock::OffsetProbe;
use super::discovery::Stream;
use super::feed::Feed;
use crate::source::pins::Pins;
use crate::source::{ClockOffset, Format, MarkerSource, SampleSource, SourceError, StreamSpec};

/// Longest marker that is read, bytes.
pub const MAX_MARKER_BYTES: usize = 256 * 1024;

/// Samples of a numeric stream over LSL. Pulled by one thread, which reads the socket itself.
///
/// *Buffer.* 64 KiB here, then the kernel's socket buffer, then ten seconds in the outlet. A reader that stalls longer
/// loses the oldest samples in the outlet, where LSL offers no counter: the gap shows in the stamps only. After a
/// stall the samples come as a burst with their old stamps.
///
/// *Formats.* Everything becomes `f32`: 8- and 16-bit integers exactly; 32- and 64-bit integers and double64 rounded to
/// the nearest, a relative error of at most 6e-8 (0.02 microvolts on an offset of 300 mV). NaN and infinity pass.
///
/// *Loss.* A source that ends, or whose process is killed, is reported by the next `pull`, at once. A machine or cable
/// that just goes silent looks like a pause to TCP: the pipeline's own watchdog has to judge that. No reconnection
/// happens by itself, see [`reopen`].
pub struct LslSamples {
    spec: StreamSpec,
    feed: Feed,
    clock: OffsetProbe,
}

/// Markers over LSL: text, or numbers of a one-channel stream as their decimal text. Pulled by one thread.
pub struct LslMarkers {
    spec: StreamSpec,
    feed: Feed,
    clock: OffsetProbe,
}

impl LslSamples {
    /// Opens a numeric stream. Waits for the handshake, not for a sample nor for the clock offset (0.7 s later).
    ///
    /// # Errors
    /// [`SourceError::Mismatch`] for a text stream; [`SourceError::Lost`] when the source does not answer within
    /// `timeout`; [`SourceError::Lsl`] when it refuses, or sends other test samples than its format demands.
    pub fn open(stream: &Stream, timeout: Duration) -> Result<Self, SourceError> {
        let spec = stream.spec().clone();
        if spec.format == Format::String {
            return Err(SourceError::Mismatch {
                name: spec.name,
                what: "the format",
                expected: "numbers".to_owned(),
                actual: "string".to_owned(),
            });
        }
        Ok(Self {
            feed: Feed::open(stream, 0, timeout)?,
            clock: start_probe(stream)?,
            spec,
        })
    }

    /// Whole frames that are already here, into the caller's rows.
    fn unpack(&mut self, data: &mut [f32], stamps: &mut [f64]) -> Result<usize, SourceError> {
        let format = self.spec.format;
        let channels = self.spec.labels.len();
        let big_endian = self.feed.big_endian();
        let rows = data.chunks_exact_mut(channels).zip(stamps.iter_mut());
        let mut samples = 0;
        for (row, stamp) in rows {
            let (stamp_s, body) = match self.feed.next_fixed(channels * width(format)) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                // The samples before the fault first; the fault is met again by the next pull.
                Err(_) if samples > 0 => break,
                Err(fault) => return Err(fault),
            };
            decode_row(format, big_endian, body, row);
            *stamp = stamp_s;
            samples += 1;
        }
        Ok(samples)
    }
}

impl SampleSource for LslSamples {
    fn spec(&self) -> &StreamSpec {
        &self.spec
    }

    /// As the trait says. Neither allocates nor locks while the source lives. A waiting time is rounded up to the
    /// kernel's tick (up to 4 ms).
    fn pull(
        &mut self,
        data: &mut [f32],
        stamps: &mut [f64],
        timeout: Duration,
    ) -> Result<usize, SourceError> {
        let needed = stamps.len() * self.spec.labels.len();
        if data.len() < needed {
            return Err(SourceError::Mismatch {
                name: self.spec.name.clone(),
                what: "the caller's buffer",
                expected: format!("{needed} values"),
                actual: data.len().to_string(),
            });
        }
        let mut samples = self.unpack(data, stamps)?;
        let start = Instant::now();
        let mut wait = timeout;
        while samples == 0 && !stamps.is_empty() && self.feed.fill(wait)? {
            samples = self.unpack(data, stamps)?;
            // Only part of a sample came: the rest of the time is for the rest of it.
            wait = timeout.saturating_sub(start.elapsed());
        }
        Ok(samples)
    }

    fn clock_offset(&self) -> Option<ClockOffset> {
        self.clock.latest().map(|measured| measured.offset)
    }

    /// Half the best round trip.
    fn clock_uncertainty_s(&self) -> Option<f64> {
        self.clock.latest().map(|measured| measured.uncertainty_s)
    }

    /// Always 0: this inlet drops nothing, and what an outlet dropped LSL does not tell.
    fn dropped(&self) -> u64 {
        0
    }
}

impl LslMarkers {
    /// Opens a marker stream: one channel, any format.
    ///
    /// # Errors
    /// [`SourceError::Mismatch`] for more than one channel, else as [`LslSamples::open`].
    pub fn open(stream: &Stream, timeout: Duration) -> Result<Self, SourceError> {
        let spec = stream.spec().clone();
        if spec.labels.len() != 1 {
            return Err(SourceError::Mismatch {
                name: spec.name,
                what: "the channel count of a marker stream",
                expected: "1".to_owned(),
                actual: spec.labels.len().to_string(),
            });
        }
        Ok(Self {
            feed: Feed::open(stream, MAX_MARKER_BYTES, timeout)?,
            clock: start_probe(stream)?,
            spec,
        })
    }

    fn next(&mut self) -> Result<Option<(f64, String)>, SourceError> {
        let format = self.spec.format;
        let big_endian = self.feed.big_endian();
        if format == Format::String {
            let frame = self.feed.next_text(MAX_MARKER_BYTES)?;
            // LSL does not demand UTF-8; a wrong byte becomes the replacement character.
            return Ok(
                frame.map(|(stamp_s, text)| (stamp_s, String::from_utf8_lossy(text).into_owned()))
            );
        }
        let frame = self.feed.next_fixed(width(format))?;
        Ok(frame.map(|(stamp_s, body)| (stamp_s, decimal(format, big_endian, body))))
    }
}

impl MarkerSource for LslMarkers {
    fn spec(&self) -> &StreamSpec {
        &self.spec
    }

    /// As the trait says. Text that is not UTF-8 is read with replacement characters; a marker of more than
    /// [`MAX_MARKER_BYTES`] is [`SourceError::Oversized`] and ends the feed.
    fn pull(&mut self, timeout: Duration) -> Result<Option<(f64, String)>, SourceError> {
        let start = Instant::now();
        let mut wait = timeout;
        loop {
            if let Some(marker) = self.next()? {
                return Ok(Some(marker));
            }
            if !self.feed.fill(wait)? {
                return Ok(None);
            }
            wait = timeout.saturating_sub(start.elapsed());
        }
    }

    fn clock_offset(&self) -> Option<ClockOffset> {
        self.clock.latest().map(|measured| measured.offset)
    }
}

/// Finds a lost stream again, by everything it was but its `uid`, and checks all of it. For the control plane.
///
/// A new outlet of the same identity is a new source: filters settle again, and no fork that was open goes on.
///
/// # Errors
/// As [`Network::resolve`]: another device of the same name is a [`SourceError::Mismatch`], two of the same identity are
/// [`SourceError::Ambiguous`].
pub fn reopen(network: Network, was: &StreamSpec, wait: Duration) -> Result<Stream, SourceError> {
    let stream = network.resolve(&Pins::of(was), wait)?;
    let now = stream.spec();
    for (what, before, after) in [
        ("the channel labels", &was.labels, &now.labels),
        ("the channel units", &was.units, &now.units),
    ] {
        if before != after {
            return Err(SourceError::Mismatch {
                name: now.name.clone(),
                what,
                expected: before.join(","),
                actual: after.join(","),
            });
        }
    }
    Ok(stream)
}

fn start_probe(stream: &Stream) -> Result<OffsetProbe, SourceError> {
    OffsetProbe::start(stream.service())
        .map_err(|error| SourceError::Lsl(format!("the clock probe could not start: {error}")))
}

/// Bytes per value; 0 for text, which has none.
fn width(format: Format) -> usize {
    match format {
        Format::Int8 => 1,
        Format::Int16 => 2,
        Format::Float32 | Format::Int32 => 4,
        Format::Double64 | Format::Int64 => 8,
        Format::String => 0,
    }
}

/// The values of a body in their own type.
macro_rules! values {
    ($type:ty, $body:expr, $big_endian:expr) => {{
        let (words, _) = $body.as_chunks::<{ size_of::<$type>() }>();
        let big_endian: bool = $big_endian;
        words.iter().map(move |&word| {
            if big_endian {
                <$type>::from_be_bytes(word)
            } else {
                <$type>::from_le_bytes(word)
            }
        })
    }};
}

/// One sample's values, rounded to `f32`.
fn decode_row(format: Format, big_endian: bool, body: &[u8], row: &mut [f32]) {
    fn fill(row: &mut [f32], values: impl Iterator<Item = f32>) {
        for (out, value) in row.iter_mut().zip(values) {
            *out = value;
        }
    }
    match format {
        Format::Float32 => fill(row, values!(f32, body, big_endian)),
        Format::Double64 => fill(row, values!(f64, body, big_endian).map(|v| v as f32)),
        Format::Int8 => fill(row, values!(i8, body, big_endian).map(f32::from)),
        Format::Int16 => fill(row, values!(i16, body, big_endian).map(f32::from)),
        Format::Int32 => fill(row, values!(i32, body, big_endian).map(|v| v as f32)),
        Format::Int64 => fill(row, values!(i64, body, big_endian).map(|v| v as f32)),
        // Refused when the inlet was opened.
        Format::String => {}
    }
}

/// The first value of a body as decimal text.
fn decimal(format: Format, big_endian: bool, body: &[u8]) -> String {
    fn first<T: Display>(mut values: impl Iterator<Item = T>) -> String {
        values.next().map(|v| v.to_string()).unwrap_or_default()
    }
    match format {
        Format::Float32 => first(values!(f32, body, big_endian)),
        Format::Double64 => first(values!(f64, body, big_endian)),
        Format::Int8 => first(values!(i8, body, big_endian)),
        Format::Int16 => first(values!(i16, body, big_endian)),
        Format::Int32 => first(values!(i32, body, big_endian)),
        Format::Int64 => first(values!(i64, body, big_endian)),
        // Text is read by its own path.
        Format::String => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_doubles_become_floats_in_either_byte_order() {
        let mut row = [0.0; 2];
        let little = [(-7_i16).to_le_bytes(), 300_i16.to_le_bytes()].concat();
        decode_row(Format::Int16, false, &little, &mut row);
        assert_eq!(row, [-7.0, 300.0]);
        let big = [(-2.5_f64).to_be_bytes(), 1e300_f64.to_be_bytes()].concat();
        decode_row(Format::Double64, true, &big, &mut row);
        assert_eq!(row, [-2.5, f32::INFINITY]);
        decode_row(
            Format::Int64,
            false,
            &[(1_i64 << 40).to_le_bytes(), 3_i64.to_le_bytes()].concat(),
            &mut row,
        );
        assert_eq!(row, [1_099_511_627_776.0, 3.0]);
        decode_row(Format::Int8, false, &[0xFF, 5], &mut row);
        assert_eq!(row, [-1.0, 5.0]);
    }

    #[test]
    fn numeric_markers_read_as_their_decimal_text() {
        assert_eq!(
            decimal(Format::Int32, false, &(-33_i32).to_le_bytes()),
            "-33"
        );
        assert_eq!(
            decimal(Format::Float32, true, &1.5_f32.to_be_bytes()),
            "1.5"
        );
    }
}
