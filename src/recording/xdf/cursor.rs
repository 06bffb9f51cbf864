//! Reads numbers off a chunk's bytes and remembers where in the file it stands.

use super::error::XdfError;

/// A position within bytes that came from `base` in the file.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    base: u64,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], base: u64) -> Self {
        Self { bytes, at: 0, base }
    }

    /// Where in the file the next byte stands.
    pub(super) fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Bytes not yet read.
    pub(super) fn left(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }

    /// Takes `count` bytes of `what`.
    pub(super) fn take(&mut self, count: u64, what: &'static str) -> Result<&'a [u8], XdfError> {
        let left = self.left();
        if count > left {
            return Err(XdfError::Overrun {
                offset: self.offset(),
                what,
                needed: count,
                left,
            });
        }
        // No more than what is left of a slice, so it fits.
        let end = self.at + count as usize;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// Takes all that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        let taken = &self.bytes[self.at..];
        self.at = self.bytes.len();
        taken
    }

    /// Takes a fixed number of bytes.
    pub(super) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], XdfError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64, what)?);
        Ok(array)
    }

    /// A length as XDF stores it: one byte that says 1, 4 or 8, then so many bytes.
    pub(super) fn length(&mut self, what: &'static str) -> Result<u64, XdfError> {
        let offset = self.offset();
        match self.array::<1>(what)?[0] {
            1 => Ok(u64::from(self.array::<1>(what)?[0])),
            4 => Ok(u64::from(u32::from_le_bytes(self.array(what)?))),
            8 => Ok(u64::from_le_bytes(self.array(what)?)),
            other => Err(XdfError::Malformed {
                offset,
                what,
                expected: "a size of 1, 4 or 8 bytes".into(),
                found: other.to_string(),
            }),
        }
    }
}
