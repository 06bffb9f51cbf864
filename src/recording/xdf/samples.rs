//! Decodes the content of samples chunks.

use super::{chunk::Values, content::not_utf8, cursor::Cursor, error::XdfError};
use crate::source::{Format, StreamSpec};

/// What must be remembered of a stream between its chunks.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) spec: StreamSpec,
    /// Stamp of the last sample; a sample without a stamp follows it by one nominal interval.
    last_s: f64,
    /// Damage may have swallowed samples: the next stamp cannot be deduced.
    time_lost: bool,
}

impl Stream {
    pub(super) fn new(spec: StreamSpec) -> Self {
        Self {
            spec,
            last_s: 0.0,
            time_lost: false,
        }
    }

    /// Says that samples may have been lost here.
    pub(super) fn forget_time(&mut self) {
        self.time_lost = true;
    }
}

/// How strictly to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) string_bytes_max: u64,
    pub(super) recover: bool,
}

/// The samples of one chunk.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) stamps: Vec<f64>,
    pub(super) deduced: usize,
    pub(super) undated: u64,
    pub(super) values: Values,
}

/// Reads the sample count and all samples; `stream` is changed only when the whole chunk was sound.
pub(super) fn read(
    content: &mut Cursor<'_>,
    stream: &mut Stream,
    rules: Rules,
) -> Result<Read, XdfError> {
    let channels = stream.spec.labels.len();
    let mut clock = StampClock {
        last_s: stream.last_s,
        interval_s: if stream.spec.rate_hz > 0.0 {
            1.0 / stream.spec.rate_hz
        } else {
            0.0
        },
        time_lost: stream.time_lost,
        stamps: Vec::new(),
        deduced: 0,
        undated: 0,
    };
    let values = match stream.spec.format {
        Format::Int8 => Values::Int8(numeric(content, channels, &mut clock, i8::from_le_bytes)?),
        Format::Int16 => Values::Int16(numeric(content, channels, &mut clock, i16::from_le_bytes)?),
        Format::Int32 => Values::Int32(numeric(content, channels, &mut clock, i32::from_le_bytes)?),
        Format::Int64 => Values::Int64(numeric(content, channels, &mut clock, i64::from_le_bytes)?),
        Format::Float32 => {
            Values::Float32(numeric(content, channels, &mut clock, f32::from_le_bytes)?)
        }
        Format::Double64 => {
            Values::Double64(numeric(content, channels, &mut clock, f64::from_le_bytes)?)
        }
        Format::String => Values::Text(text(content, channels, &mut clock, rules)?),
    };
    if content.left() == 0 {
        stream.last_s = clock.last_s;
        stream.time_lost = clock.time_lost;
    }
    Ok(Read {
        stamps: clock.stamps,
        deduced: clock.deduced,
        undated: clock.undated,
        values,
    })
}

/// Reads the number of samples and checks that so many can be there at all.
fn sample_count(content: &mut Cursor<'_>, sample_bytes_min: u64) -> Result<usize, XdfError> {
    let offset = content.offset();
    let count = content.length("the number of samples")?;
    let possible = content.left() / sample_bytes_min;
    if count > possible {
        return Err(XdfError::Malformed {
            offset,
            what: "the number of samples",
            expected: format!("at most {possible}, which is what the chunk has room for"),
            found: count.to_string(),
        });
    }
    // Not more than the bytes of a slice, so it fits.
    Ok(count as usize)
}

fn numeric<T, const N: usize>(
    content: &mut Cursor<'_>,
    channels: usize,
    clock: &mut StampClock,
    decode: fn([u8; N]) -> T,
) -> Result<Vec<T>, XdfError> {
    let row_bytes = channels as u64 * N as u64;
    let count = sample_count(content, 1 + row_bytes)?;
    clock.stamps.reserve_exact(count);
    let mut values = Vec::with_capacity(count * channels);
    for _ in 0..count {
        let dated = clock.next(content)?;
        let row = content.take(row_bytes, "a sample")?;
        if dated {
            values.extend(row.as_chunks::<N>().0.iter().map(|bytes| decode(*bytes)));
        }
    }
    Ok(values)
}

fn text(
    content: &mut Cursor<'_>,
    channels: usize,
    clock: &mut StampClock,
    rules: Rules,
) -> Result<Vec<String>, XdfError> {
    // An empty string still has its two bytes of length.
    let count = sample_count(content, 1 + 2 * channels as u64)?;
    clock.stamps.reserve_exact(count);
    let mut values = Vec::with_capacity(count * channels);
    for _ in 0..count {
        let dated = clock.next(content)?;
        for _ in 0..channels {
            let offset = content.offset();
            let length = content.length("the length of a string")?;
            if length > rules.string_bytes_max {
                return Err(XdfError::OverLimit {
                    offset,
                    what: "the length of a string",
                    found: length,
                    max: rules.string_bytes_max,
                });
            }
            let base = content.offset();
            let bytes = content.take(length, "a string")?;
            let value = match std::str::from_utf8(bytes) {
                Ok(value) => value.to_owned(),
                Err(_) if rules.recover => String::from_utf8_lossy(bytes).into_owned(),
                Err(error) => return Err(not_utf8(base, "a string", &error)),
            };
            if dated {
                values.push(value);
            }
        }
    }
    Ok(values)
}

/// Gives each sample its stamp.
struct StampClock {
    last_s: f64,
    interval_s: f64,
    time_lost: bool,
    stamps: Vec<f64>,
    deduced: usize,
    undated: u64,
}

impl StampClock {
    /// Reads or deduces the next sample's stamp; `false` when its time is not known.
    fn next(&mut self, content: &mut Cursor<'_>) -> Result<bool, XdfError> {
        let offset = content.offset();
        match content.array::<1>("the size of a stamp")?[0] {
            0 if self.time_lost => {
                self.undated += 1;
                return Ok(false);
            }
            0 => {
                self.last_s += self.interval_s;
                self.deduced += 1;
            }
            8 => {
                self.last_s = f64::from_le_bytes(content.array("a stamp")?);
                self.time_lost = false;
            }
            other => {
                return Err(XdfError::Malformed {
                    offset,
                    what: "the size of a stamp",
                    expected: "0 or 8".into(),
                    found: other.to_string(),
                });
            }
        }
        self.stamps.push(self.last_s);
        Ok(true)
    }
}
