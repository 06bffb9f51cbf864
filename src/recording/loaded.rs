//! A whole recording in memory.

use std::{collections::BTreeMap, fmt, io::Read, ops::Range, path::Path};

use super::xdf::{
    Chunk, ClockMeasurement, Damage, Footer, Limits, Reader, SampleChunk, StreamId, Values,
    XdfError, sync,
};
use crate::source::{SourceError, StreamSpec};

/// All streams of one XDF file.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The streams, in the order of their headers.
    pub streams: Vec<RecordedStream>,
    /// What had to be left out; always empty unless opened by [`Recording::recover`].
    pub damage: Vec<Damage>,
    /// What a careful person would want to know of this file.
    pub remarks: Vec<Remark>,
}

/// One stream of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedStream {
    /// Its number in the file.
    pub id: StreamId,
    /// What it says of itself.
    pub spec: StreamSpec,
    /// One stamp per sample on the source's clock, seconds, as recorded.
    pub raw_stamps: Vec<f64>,
    /// One stamp per sample on the recorder's clock, seconds ([`sync::synchronise`]). Not dejittered.
    pub stamps: Vec<f64>,
    /// Stretches of samples between resets of the source's clock.
    pub segments: Vec<Range<usize>>,
    /// The values.
    pub samples: Samples,
    /// The clock offsets in the order of the file.
    pub clock: Vec<RecordedMeasurement>,
    /// What the writer counted; `None` when the recording was cut short.
    pub footer: Option<Footer>,
}

/// A clock offset and where in the stream it stood.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecordedMeasurement {
    /// The measurement.
    pub measurement: ClockMeasurement,
    /// How many samples of the stream stood before it in the file: it was not known to them.
    pub samples_before: usize,
}

/// Values of one stream, row-major `[samples][channels]`.
#[derive(Debug, Clone, PartialEq)]
pub enum Samples {
    /// Any numeric format, widened. Integers beyond 2^53 lose their last digits here; [`Reader`] keeps them.
    Numeric(Vec<f64>),
    /// Text.
    Text(Vec<String>),
}

/// Something unusual that does not keep a recording from being used.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Remark {
    /// The recording was not ended in an orderly way.
    NoFooter {
        /// The stream's name.
        stream: String,
    },
    /// The writer counted otherwise than we do.
    FooterDisagrees {
        /// The stream's name.
        stream: String,
        /// Samples according to the footer.
        footer: u64,
        /// Samples in the file.
        found: u64,
    },
    /// A garbage sample and clock offset at the end were dropped ([`sync::last_is_corrupt`]).
    CorruptTail {
        /// The stream's name.
        stream: String,
        /// Samples dropped.
        samples: u64,
    },
    /// The first stamp is missing: times count from zero.
    NoFirstStamp {
        /// The stream's name.
        stream: String,
    },
    /// Samples were left out because damage took the stamp they were counted from.
    Undated {
        /// How many.
        samples: u64,
    },
    /// More damage than is listed.
    MoreDamage {
        /// How many damaged parts in all.
        parts: u64,
    },
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFooter { stream } => {
                write!(
                    f,
                    "stream '{stream}' has no footer: the recording was not ended in an orderly way"
                )
            }
            Self::FooterDisagrees {
                stream,
                footer,
                found,
            } => {
                write!(
                    f,
                    "stream '{stream}': the footer counts {footer} samples, the file holds {found}"
                )
            }
            Self::CorruptTail { stream, samples } => write!(
                f,
                "stream '{stream}': {samples} samples and the clock offset after its end were garbage and are left out"
            ),
            Self::NoFirstStamp { stream } => {
                write!(
                    f,
                    "stream '{stream}' begins without a stamp: its times count from zero"
                )
            }
            Self::Undated { samples } => {
                write!(
                    f,
                    "{samples} samples after damage have no known time and are left out"
                )
            }
            Self::MoreDamage { parts } => write!(f, "{parts} parts of the file are damaged"),
        }
    }
}

impl Recording {
    /// Reads a whole file, strictly.
    ///
    /// # Errors
    /// [`XdfError::InFile`] with the path and the offset of the first fault; [`XdfError::OverLimit`] in it when the
    /// recording would not fit into [`Limits::memory_bytes_max`].
    pub fn open(path: &Path) -> Result<Self, XdfError> {
        Self::of(path, Reader::open(path)?)
    }

    /// Reads what is left of a damaged file; [`Self::damage`] says what is missing and where the file ends.
    ///
    /// # Errors
    /// As [`Self::open`], but only when the file cannot be read, is no XDF or is too large.
    pub fn recover(path: &Path) -> Result<Self, XdfError> {
        Self::of(path, Reader::open(path)?.recover())
    }

    fn of(path: &Path, reader: Reader<std::fs::File>) -> Result<Self, XdfError> {
        Self::read(reader, &Limits::default()).map_err(|source| XdfError::InFile {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// Reads everything a reader gives.
    ///
    /// # Errors
    /// What the reader says, or [`XdfError::OverLimit`] beyond `limits.memory_bytes_max`.
    pub fn read<R: Read>(mut reader: Reader<R>, limits: &Limits) -> Result<Self, XdfError> {
        let mut order: Vec<RecordedStream> = Vec::new();
        let mut index: BTreeMap<StreamId, usize> = BTreeMap::new();
        let mut remarks = Vec::new();
        let mut held_bytes = 0_u64;
        while let Some(chunk) = reader.next() {
            match chunk? {
                Chunk::FileHeader(_) | Chunk::Boundary => {}
                Chunk::StreamHeader { stream, spec } => {
                    index.insert(stream, order.len());
                    order.push(RecordedStream::new(stream, spec));
                }
                Chunk::Samples(chunk) => {
                    held_bytes = held_bytes.saturating_add(memory_bytes(&chunk));
                    if held_bytes > limits.memory_bytes_max {
                        return Err(XdfError::OverLimit {
                            offset: reader.position(),
                            what: "the recording's size in memory",
                            found: held_bytes,
                            max: limits.memory_bytes_max,
                        });
                    }
                    if let Some(stream) = find(&mut order, &index, chunk.stream) {
                        if stream.raw_stamps.is_empty()
                            && chunk.deduced == chunk.stamps.len()
                            && chunk.deduced > 0
                        {
                            remarks.push(Remark::NoFirstStamp {
                                stream: stream.spec.name.clone(),
                            });
                        }
                        stream.append(chunk);
                    }
                }
                Chunk::ClockOffset {
                    stream,
                    measurement,
                } => {
                    if let Some(stream) = find(&mut order, &index, stream) {
                        let samples_before = stream.raw_stamps.len();
                        stream.clock.push(RecordedMeasurement {
                            measurement,
                            samples_before,
                        });
                    }
                }
                Chunk::StreamFooter { stream, footer } => {
                    if let Some(stream) = find(&mut order, &index, stream) {
                        stream.footer = Some(footer);
                    }
                }
            }
        }
        for stream in &mut order {
            stream.finish(&mut remarks);
        }
        if reader.undated() > 0 {
            remarks.push(Remark::Undated {
                samples: reader.undated(),
            });
        }
        if reader.damage_count() > reader.damage().len() as u64 {
            remarks.push(Remark::MoreDamage {
                parts: reader.damage_count(),
            });
        }
        Ok(Self {
            streams: order,
            damage: reader.damage().to_vec(),
            remarks,
        })
    }

    /// Streams of this content type, e.g. `EEG` or `Markers`.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a RecordedStream> {
        self.streams
            .iter()
            .filter(move |stream| stream.spec.kind == kind)
    }

    /// First and last synchronised stamp over all streams, seconds; `None` of a recording without samples.
    #[must_use]
    pub fn span_s(&self) -> Option<(f64, f64)> {
        let mut stamps = self
            .streams
            .iter()
            .flat_map(|stream| &stream.stamps)
            .copied()
            .filter(|s| s.is_finite());
        let first = stamps.next()?;
        Some(stamps.fold((first, first), |(low, high), stamp| {
            (low.min(stamp), high.max(stamp))
        }))
    }
}

fn find<'a>(
    streams: &'a mut [RecordedStream],
    index: &BTreeMap<StreamId, usize>,
    id: StreamId,
) -> Option<&'a mut RecordedStream> {
    index.get(&id).and_then(|at| streams.get_mut(*at))
}

/// What a chunk's samples take in memory, twice the stamps included (raw and synchronised).
fn memory_bytes(chunk: &SampleChunk) -> u64 {
    let values = match &chunk.values {
        Values::Text(texts) => texts
            .iter()
            .map(|text| text.len() + size_of::<String>())
            .sum::<usize>(),
        numeric => numeric.len() * size_of::<f64>(),
    };
    (values + 2 * size_of::<f64>() * chunk.stamps.len()) as u64
}

impl RecordedStream {
    fn new(id: StreamId, spec: StreamSpec) -> Self {
        let samples = if spec.format == crate::source::Format::String {
            Samples::Text(Vec::new())
        } else {
            Samples::Numeric(Vec::new())
        };
        Self {
            id,
            spec,
            raw_stamps: Vec::new(),
            stamps: Vec::new(),
            segments: Vec::new(),
            samples,
            clock: Vec::new(),
            footer: None,
        }
    }

    fn append(&mut self, chunk: SampleChunk) {
        match (&mut self.samples, chunk.values) {
            (Samples::Text(texts), Values::Text(more)) => texts.extend(more),
            (Samples::Numeric(numbers), more) => widen(numbers, more),
            // The reader gives values in the format of the header, so numbers never come to text.
            (Samples::Text(_), _) => return,
        }
        self.raw_stamps.extend(chunk.stamps);
    }

    /// Drops a corrupt tail, synchronises the stamps, and remarks on what is odd.
    fn finish(&mut self, remarks: &mut Vec<Remark>) {
        let name = || self.spec.name.clone();
        let found = self.raw_stamps.len() as u64;
        let measured: Vec<_> = self
            .clock
            .iter()
            .map(|recorded| recorded.measurement)
            .collect();
        match self.footer.as_ref().map(|footer| footer.sample_count) {
            None => remarks.push(Remark::NoFooter { stream: name() }),
            Some(Some(count)) if found > count && sync::last_is_corrupt(&measured) => {
                remarks.push(Remark::CorruptTail {
                    stream: name(),
                    samples: found - count,
                });
                // Smaller than the length of a Vec, so it fits.
                self.truncate(count as usize);
                self.clock.pop();
            }
            Some(Some(count)) if found != count => {
                remarks.push(Remark::FooterDisagrees {
                    stream: name(),
                    footer: count,
                    found,
                });
            }
            Some(_) => {}
        }
        let measured: Vec<_> = self
            .clock
            .iter()
            .map(|recorded| recorded.measurement)
            .collect();
        let synchronised = sync::synchronise(&self.raw_stamps, &measured);
        self.stamps = synchronised.stamps;
        self.segments = synchronised.segments;
    }

    fn truncate(&mut self, samples: usize) {
        let values = samples * self.channels();
        self.raw_stamps.truncate(samples);
        match &mut self.samples {
            Samples::Numeric(numbers) => numbers.truncate(values),
            Samples::Text(texts) => texts.truncate(values),
        }
    }

    /// Number of channels, at least 1.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.spec.labels.len()
    }

    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.raw_stamps.len()
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.raw_stamps.is_empty()
    }

    /// The values of one sample, one per channel; `None` beyond the end or of a text stream.
    #[must_use]
    pub fn numbers(&self, sample: usize) -> Option<&[f64]> {
        match &self.samples {
            Samples::Numeric(numbers) => row(numbers, sample, self.channels()),
            Samples::Text(_) => None,
        }
    }

    /// Keeps only the channels with these labels, in this order; the label that is not there, or a stream of text, as an
    /// error.
    ///
    /// # Errors
    /// [`SourceError::Mismatch`] that lists the labels there are.
    pub fn select(&mut self, labels: &[String]) -> Result<(), SourceError> {
        let channels = self.channels();
        let picked = labels
            .iter()
            .map(|label| self.spec.channel(label))
            .collect::<Result<Vec<_>, _>>()?;
        if let Samples::Numeric(numbers) = &mut self.samples {
            *numbers = numbers
                .chunks_exact(channels.max(1))
                .flat_map(|row| picked.iter().filter_map(|channel| row.get(*channel)))
                .copied()
                .collect();
        }
        let kept = |all: &[String]| -> Vec<String> {
            let of = |channel: &usize| all.get(*channel).cloned().unwrap_or_default();
            picked.iter().map(of).collect()
        };
        self.spec.labels = kept(&self.spec.labels);
        if !self.spec.units.is_empty() {
            self.spec.units = kept(&self.spec.units);
        }
        Ok(())
    }

    /// The texts of one sample, one per channel; `None` beyond the end or of a numeric stream.
    #[must_use]
    pub fn texts(&self, sample: usize) -> Option<&[String]> {
        match &self.samples {
            Samples::Text(texts) => row(texts, sample, self.channels()),
            Samples::Numeric(_) => None,
        }
    }

    /// All values of one channel; `None` of a text stream or when there is no such channel.
    pub fn channel(&self, channel: usize) -> Option<impl Iterator<Item = f64>> {
        match &self.samples {
            Samples::Numeric(numbers) if channel < self.channels() => Some(
                numbers
                    .iter()
                    .skip(channel)
                    .step_by(self.channels())
                    .copied(),
            ),
            _ => None,
        }
    }

    /// Markers of a stream of one text channel: synchronised stamp, seconds, and text. Nothing of other streams.
    pub fn markers(&self) -> impl Iterator<Item = (f64, &str)> {
        let texts: &[String] = match &self.samples {
            Samples::Text(texts) if self.channels() == 1 => texts,
            _ => &[],
        };
        self.stamps
            .iter()
            .copied()
            .zip(texts.iter().map(String::as_str))
    }
}

/// Appends numeric values; there is nothing to append of text.
fn widen(numbers: &mut Vec<f64>, more: Values) {
    match more {
        Values::Int8(more) => numbers.extend(more.into_iter().map(f64::from)),
        Values::Int16(more) => numbers.extend(more.into_iter().map(f64::from)),
        Values::Int32(more) => numbers.extend(more.into_iter().map(f64::from)),
        Values::Int64(more) => numbers.extend(more.into_iter().map(|value| value as f64)),
        Values::Float32(more) => numbers.extend(more.into_iter().map(f64::from)),
        Values::Double64(more) => numbers.extend(more),
        Values::Text(_) => {}
    }
}

fn row<T>(values: &[T], sample: usize, channels: usize) -> Option<&[T]> {
    let start = sample.checked_mul(channels)?;
    values.get(start..start.checked_add(channels)?)
}
