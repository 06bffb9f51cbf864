//! Goes through an XDF file chunk by chunk, believing nothing.

use std::{collections::BTreeMap, fs::File, io::Read, path::Path};

use super::{
    chunk::{BOUNDARY_UUID, Chunk, Limits, MAGIC, StreamId, tag},
    content::Parsing,
    cursor::Cursor,
    error::XdfError,
    samples::Stream,
    window::Window,
};
use crate::source::StreamSpec;

/// Damages listed one by one; further ones are only counted.
const DAMAGES_LISTED_MAX: usize = 1000;

/// A part of the file that recover mode had to leave out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where the damaged chunk begins, bytes from the start of the file.
    pub offset: u64,
    /// Where reading went on; `None` when nothing sound followed: the recording ends at `offset`.
    pub resumed_at: Option<u64>,
    /// What was wrong, in words.
    pub reason: String,
}

/// An iterator over the chunks of an XDF file, in the order of the file.
///
/// Holds one chunk at a time, at most [`Limits::chunk_bytes_max`], and never allocates for bytes that are not there.
///
/// Two modes:
/// * *strict* (the default): the first fault ends the iteration with an error that names the byte. Tags that are not
///   of XDF 1.0 are faults. Missing footers are not: they are written last, and a crash may come earlier.
/// * *recover* ([`Reader::recover`]): a damaged chunk is left out; reading goes on with the next chunk when the frame
///   is still sound, else after the next boundary chunk. [`Reader::damage`] tells what was lost. Samples whose stamp
///   would have to be deduced across damage are left out too: their time is not known.
///
/// ```
/// use razvilka::recording::xdf::{Chunk, Reader};
/// let file: &[u8] = b"XDF:\x01\x25\x01\x00<info><version>1.0</version></info>";
/// let chunks: Vec<Chunk> = Reader::new(file).collect::<Result<_, _>>()?;
/// assert!(matches!(&chunks[..], [Chunk::FileHeader(header)] if header.version == "1.0"));
/// # Ok::<(), razvilka::recording::xdf::XdfError>(())
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    window: Window<R>,
    limits: Limits,
    recover: bool,
    streams: BTreeMap<StreamId, Stream>,
    begun: bool,
    headed: bool,
    ended: bool,
    damage: Vec<Damage>,
    damages: u64,
    undated: u64,
}

impl Reader<File> {
    /// Opens a file; its length is known, so that lengths that lie are seen at once.
    ///
    /// # Errors
    /// [`XdfError::Open`] when the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, XdfError> {
        let open = |source| XdfError::Open {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(open)?;
        let metadata = file.metadata().map_err(open)?;
        let reader = Self::new(file);
        Ok(if metadata.is_file() {
            reader.with_length(metadata.len())
        } else {
            reader
        })
    }
}

impl<R: Read> Reader<R> {
    /// Reads from any input that begins with the file's first byte. Nothing is read before the first chunk is asked for.
    pub fn new(input: R) -> Self {
        Self {
            window: Window::new(input, None),
            limits: Limits::default(),
            recover: false,
            streams: BTreeMap::new(),
            begun: false,
            headed: false,
            ended: false,
            damage: Vec::new(),
            damages: 0,
            undated: 0,
        }
    }

    /// Says how many bytes the whole input has.
    #[must_use]
    pub fn with_length(mut self, total: u64) -> Self {
        self.window.set_total(total);
        self
    }

    /// Replaces the default limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Leaves damaged parts out instead of ending with an error.
    #[must_use]
    pub fn recover(mut self) -> Self {
        self.recover = true;
        self
    }

    /// The streams announced so far.
    pub fn streams(&self) -> impl Iterator<Item = (StreamId, &StreamSpec)> {
        self.streams.iter().map(|(id, stream)| (*id, &stream.spec))
    }

    /// What recover mode left out so far, the first 1000 of them.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// How many damaged parts there were so far.
    pub fn damage_count(&self) -> u64 {
        self.damages
    }

    /// Samples that recover mode left out because damage took the stamp they were counted from.
    pub fn undated(&self) -> u64 {
        self.undated
    }

    /// Bytes of the file that were understood or skipped so far.
    pub fn position(&self) -> u64 {
        self.window.position()
    }

    fn next_chunk(&mut self) -> Result<Option<Chunk>, XdfError> {
        if !self.begun {
            self.read_magic()?;
            self.begun = true;
        }
        loop {
            match self.read_chunk() {
                Ok(None) => return Ok(None),
                Ok(Some((bytes, chunk))) => {
                    self.window.consume(bytes);
                    return Ok(Some(chunk));
                }
                Err(error @ XdfError::Io { .. }) => return Err(error),
                Err(error) if !self.recover => return Err(error),
                Err(error) => {
                    if !self.resume(&error)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn fill(&mut self, wanted: usize) -> Result<&[u8], XdfError> {
        let offset = self.window.position();
        self.window
            .fill(wanted)
            .map_err(|source| XdfError::Io { offset, source })
    }

    fn read_magic(&mut self) -> Result<(), XdfError> {
        let found = self.fill(MAGIC.len())?;
        if found == MAGIC {
            self.window.consume(MAGIC.len());
            return Ok(());
        }
        Err(XdfError::NotXdf {
            found: if found.is_empty() {
                "nothing".into()
            } else {
                format!("'{}'", found.escape_ascii())
            },
            advice: match found {
                [0x1f, 0x8b, ..] => "It is compressed: decompress it with gzip first",
                [] => "The file is empty",
                _ => "Give the path of an .xdf recording",
            },
        })
    }

    /// The length of the chunk in view: of the length field itself, and of what follows it.
    fn read_frame(&mut self) -> Result<Option<(usize, u64)>, XdfError> {
        let base = self.window.position();
        let head = self.fill(9)?;
        if head.is_empty() {
            return Ok(None);
        }
        let mut cursor = Cursor::new(head, base);
        let left = cursor.left();
        let length = cursor.length("chunk length").map_err(|error| match error {
            // Here it is the input that ends.
            XdfError::Overrun { offset, needed, .. } => XdfError::Truncated {
                offset: base,
                what: "the length of the chunk that begins here",
                needed: offset - base + needed,
                left,
            },
            other => other,
        })?;
        let field = (cursor.offset() - base) as usize;
        if length < 2 {
            return Err(XdfError::Malformed {
                offset: base,
                what: "chunk length",
                expected: "at least 2, for the tag".into(),
                found: length.to_string(),
            });
        }
        Ok(Some((field, length)))
    }

    /// Reads the chunk in view without consuming it; says how many bytes it has in all.
    fn read_chunk(&mut self) -> Result<Option<(usize, Chunk)>, XdfError> {
        let base = self.window.position();
        let Some((field, length)) = self.read_frame()? else {
            return Ok(None);
        };
        let cut_off = |left: u64| XdfError::Truncated {
            offset: base,
            what: "the chunk that begins here",
            needed: length.saturating_add(field as u64),
            left,
        };
        if let Some(left) = self.window.remaining()
            && length > left.saturating_sub(field as u64)
        {
            return Err(cut_off(left));
        }
        let tag_bytes = self.fill(field + 2)?.get(field..);
        let Some(&[low, high]) = tag_bytes else {
            return Err(cut_off(self.window.remaining().unwrap_or(0)));
        };
        let tag = u16::from_le_bytes([low, high]);
        let (what, max) = match tag {
            tag::FILE_HEADER => ("the file header's length", self.limits.header_bytes_max),
            tag::STREAM_HEADER => ("the stream header's length", self.limits.header_bytes_max),
            tag::STREAM_FOOTER => ("the stream footer's length", self.limits.footer_bytes_max),
            tag::SAMPLES | tag::CLOCK_OFFSET | tag::BOUNDARY => {
                ("the chunk's length", self.limits.chunk_bytes_max)
            }
            other => {
                return Err(XdfError::Malformed {
                    offset: base + field as u64,
                    what: "the chunk's tag",
                    expected: "1 to 6".into(),
                    found: other.to_string(),
                });
            }
        };
        if !self.headed && !self.recover && tag != tag::FILE_HEADER {
            return Err(XdfError::Malformed {
                offset: base + field as u64,
                what: "the first chunk's tag",
                expected: "1, a file header".into(),
                found: tag.to_string(),
            });
        }
        if length > max {
            return Err(XdfError::OverLimit {
                offset: base,
                what,
                found: length,
                max,
            });
        }
        let Some(whole) = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(field))
        else {
            return Err(XdfError::OverLimit {
                offset: base,
                what,
                found: length,
                max: usize::MAX as u64,
            });
        };
        let in_view = self.fill(whole)?.len();
        if in_view < whole {
            return Err(cut_off(in_view as u64));
        }
        let content = Cursor::new(self.window.view(field + 2, whole), base + field as u64 + 2);
        let parsing = Parsing {
            limits: &self.limits,
            recover: self.recover,
            streams: &mut self.streams,
            undated: &mut self.undated,
        };
        let chunk = parsing.chunk(tag, content)?;
        self.headed = true;
        Ok(Some((whole, chunk)))
    }

    /// After a fault in the chunk in view: moves to the next place that can be trusted, if there is one.
    fn resume(&mut self, error: &XdfError) -> Result<bool, XdfError> {
        let offset = self.window.position();
        for stream in self.streams.values_mut() {
            stream.forget_time();
        }
        let resumed = match self.sound_frame()? {
            Some(skip) => {
                self.window.consume(skip);
                true
            }
            None => self.find_boundary()?,
        };
        self.damages += 1;
        if self.damage.len() < DAMAGES_LISTED_MAX {
            self.damage.push(Damage {
                offset,
                resumed_at: resumed.then(|| self.window.position()),
                reason: error.to_string(),
            });
        }
        Ok(resumed)
    }

    /// How far to skip when only the content of the chunk in view is bad: when its length leads to another chunk or
    /// exactly to the end.
    fn sound_frame(&mut self) -> Result<Option<usize>, XdfError> {
        let whole = match self.read_frame() {
            Ok(Some((field, length))) if length <= self.limits.chunk_bytes_max => {
                usize::try_from(length)
                    .ok()
                    .and_then(|length| length.checked_add(field))
            }
            Ok(_) => None,
            Err(error @ XdfError::Io { .. }) => return Err(error),
            Err(_) => None,
        };
        let Some(whole) = whole else { return Ok(None) };
        let view = self.fill(whole.saturating_add(11))?;
        if view.len() < whole {
            return Ok(None);
        }
        let left = self.window.remaining().map(|left| left - whole as u64);
        let mut next = Cursor::new(self.window.view(whole, whole + 11), 0);
        if next.left() == 0 {
            return Ok(Some(whole));
        }
        let (Ok(length), Ok(tag)) = (next.length("length"), next.array("tag")) else {
            return Ok(None);
        };
        let known = (tag::FILE_HEADER..=tag::STREAM_FOOTER).contains(&u16::from_le_bytes(tag));
        let fits = (2..=left.unwrap_or(self.limits.chunk_bytes_max)).contains(&length);
        Ok((known && fits).then_some(whole))
    }

    /// Moves behind the next boundary chunk; at the end of the input when there is none.
    fn find_boundary(&mut self) -> Result<bool, XdfError> {
        const LOOK: usize = 1 << 20;
        loop {
            let view = self.fill(LOOK)?;
            let found = view
                .windows(BOUNDARY_UUID.len())
                .position(|window| window == BOUNDARY_UUID);
            let seen = view.len();
            if let Some(at) = found {
                self.window.consume(at + BOUNDARY_UUID.len());
                return Ok(true);
            }
            if seen < LOOK {
                self.window.consume(seen);
                return Ok(false);
            }
            self.window.consume(seen - (BOUNDARY_UUID.len() - 1));
        }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Chunk, XdfError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_chunk().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}
