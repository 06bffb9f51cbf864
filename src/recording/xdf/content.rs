//! Decodes the content of one chunk.

use std::collections::{BTreeMap, btree_map::Entry};

use super::{
    chunk::{BOUNDARY_UUID, Chunk, ClockMeasurement, Limits, SampleChunk, StreamId, tag},
    cursor::Cursor,
    error::XdfError,
    header::{self, HeaderError, clipped},
    samples::{self, Stream},
};

/// What the content of a chunk is read with.
pub(super) struct Parsing<'a> {
    pub(super) limits: &'a Limits,
    pub(super) recover: bool,
    pub(super) streams: &'a mut BTreeMap<StreamId, Stream>,
    pub(super) undated: &'a mut u64,
}

impl Parsing<'_> {
    pub(super) fn chunk(self, tag: u16, mut content: Cursor<'_>) -> Result<Chunk, XdfError> {
        let chunk = match tag {
            tag::FILE_HEADER => {
                let (at, xml) = self.xml(&mut content)?;
                Chunk::FileHeader(header::file_header(&xml).map_err(|error| malformed(at, error))?)
            }
            tag::STREAM_HEADER => self.stream_header(&mut content)?,
            tag::SAMPLES => self.samples(&mut content)?,
            tag::CLOCK_OFFSET => self.clock_offset(&mut content)?,
            tag::BOUNDARY => {
                let at = content.offset();
                if content.array::<16>("the boundary mark")? != BOUNDARY_UUID {
                    return Err(XdfError::Malformed {
                        offset: at,
                        what: "the boundary mark",
                        expected: "the sixteen bytes of XDF 1.0".into(),
                        found: "others".into(),
                    });
                }
                Chunk::Boundary
            }
            // The caller let only known tags pass; a footer is what remains.
            _ => {
                let stream = self.known_stream(&mut content)?;
                let (at, xml) = self.xml(&mut content)?;
                let footer = header::footer(&xml).map_err(|error| malformed(at, error))?;
                Chunk::StreamFooter { stream, footer }
            }
        };
        if content.left() > 0 {
            return Err(XdfError::Malformed {
                offset: content.offset(),
                what: "the end of the chunk",
                expected: "here".into(),
                found: format!("{} more bytes", content.left()),
            });
        }
        Ok(chunk)
    }

    /// The rest of the chunk as text, and where it begins.
    fn xml(&self, content: &mut Cursor<'_>) -> Result<(u64, String), XdfError> {
        let at = content.offset();
        let bytes = content.rest();
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) if self.recover => String::from_utf8_lossy(bytes).into_owned(),
            Err(error) => return Err(not_utf8(at, "the XML text", &error)),
        };
        Ok((at, text))
    }

    fn known_stream(&self, content: &mut Cursor<'_>) -> Result<StreamId, XdfError> {
        let offset = content.offset();
        let id = StreamId(u32::from_le_bytes(content.array("the stream number")?));
        if self.streams.contains_key(&id) {
            Ok(id)
        } else {
            Err(unknown_stream(offset, id))
        }
    }

    fn stream_header(self, content: &mut Cursor<'_>) -> Result<Chunk, XdfError> {
        let offset = content.offset();
        let id = StreamId(u32::from_le_bytes(content.array("the stream number")?));
        let (at, xml) = self.xml(content)?;
        let spec =
            header::spec_from_xml(&xml, self.limits).map_err(|error| malformed(at, error))?;
        let count = self.streams.len();
        match self.streams.entry(id) {
            Entry::Occupied(_) => Err(XdfError::Malformed {
                offset,
                what: "the stream number",
                expected: "one that no earlier header has".into(),
                found: id.to_string(),
            }),
            Entry::Vacant(_) if count >= self.limits.streams_max => Err(XdfError::OverLimit {
                offset,
                what: "the number of streams",
                found: count as u64 + 1,
                max: self.limits.streams_max as u64,
            }),
            Entry::Vacant(slot) => {
                slot.insert(Stream::new(spec.clone()));
                Ok(Chunk::StreamHeader { stream: id, spec })
            }
        }
    }

    fn samples(self, content: &mut Cursor<'_>) -> Result<Chunk, XdfError> {
        let offset = content.offset();
        let id = StreamId(u32::from_le_bytes(content.array("the stream number")?));
        let Some(stream) = self.streams.get_mut(&id) else {
            return Err(unknown_stream(offset, id));
        };
        let rules = samples::Rules {
            string_bytes_max: self.limits.string_bytes_max,
            recover: self.recover,
        };
        let read = samples::read(content, stream, rules)?;
        *self.undated += read.undated;
        Ok(Chunk::Samples(SampleChunk {
            stream: id,
            stamps: read.stamps,
            deduced: read.deduced,
            values: read.values,
        }))
    }

    fn clock_offset(&self, content: &mut Cursor<'_>) -> Result<Chunk, XdfError> {
        let stream = self.known_stream(content)?;
        let offset = content.offset();
        let source_s = f64::from_le_bytes(content.array("the time of the clock offset")?);
        let offset_s = f64::from_le_bytes(content.array("the clock offset")?);
        if !(source_s.is_finite() && offset_s.is_finite()) {
            return Err(XdfError::Malformed {
                offset,
                what: "the clock offset",
                expected: "two finite numbers".into(),
                found: format!("{source_s} and {offset_s}"),
            });
        }
        Ok(Chunk::ClockOffset {
            stream,
            measurement: ClockMeasurement { source_s, offset_s },
        })
    }
}

fn malformed(offset: u64, error: HeaderError) -> XdfError {
    XdfError::Malformed {
        offset,
        what: error.what,
        expected: error.expected,
        found: error.found,
    }
}

pub(super) fn not_utf8(base: u64, what: &'static str, error: &std::str::Utf8Error) -> XdfError {
    XdfError::Malformed {
        offset: base + error.valid_up_to() as u64,
        what,
        expected: "UTF-8".into(),
        found: clipped(&error.to_string()),
    }
}

fn unknown_stream(offset: u64, id: StreamId) -> XdfError {
    XdfError::Malformed {
        offset,
        what: "the stream number",
        expected: "one whose header came before".into(),
        found: id.to_string(),
    }
}
