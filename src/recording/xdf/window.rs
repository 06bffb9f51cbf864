//! A sliding view of the input: what is looked at stays in memory until it is consumed, never more.

use std::io::{self, Read};

/// How much is asked of the input at once.
const STEP: usize = 64 << 10;

/// Buffered input that knows its position and, where possible, its end.
#[derive(Debug)]
pub(super) struct Window<R> {
    input: R,
    /// `held[start..]` is in view.
    held: Vec<u8>,
    start: usize,
    /// Position in the file of `held[start]`.
    position: u64,
    /// Length of the whole input, when known beforehand.
    total: Option<u64>,
    ended: bool,
}

impl<R: Read> Window<R> {
    pub(super) fn new(input: R, total: Option<u64>) -> Self {
        Self {
            input,
            held: Vec::new(),
            start: 0,
            position: 0,
            total,
            ended: false,
        }
    }

    pub(super) fn set_total(&mut self, total: u64) {
        self.total = Some(total);
    }

    /// Position in the file of the first byte in view.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes from the start of the view to the end of the input, when that is known.
    pub(super) fn remaining(&self) -> Option<u64> {
        if self.ended {
            return Some((self.held.len() - self.start) as u64);
        }
        self.total.map(|total| total.saturating_sub(self.position))
    }

    /// Brings `wanted` bytes into view; fewer come back only at the end of the input.
    ///
    /// Memory grows with what the input really holds, not with `wanted`.
    pub(super) fn fill(&mut self, wanted: usize) -> io::Result<&[u8]> {
        if wanted > self.held.len() - self.start && self.start > 0 {
            self.held.drain(..self.start);
            self.start = 0;
        }
        while !self.ended && self.held.len() - self.start < wanted {
            let old = self.held.len();
            self.held.resize(old + STEP, 0);
            match self.input.read(&mut self.held[old..]) {
                Ok(read) => {
                    // A reader that claims more than it was given would break its contract; never believe it.
                    self.held.truncate(old + read.min(STEP));
                    self.ended = read == 0;
                }
                Err(error) => {
                    self.held.truncate(old);
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        }
        let end = self.held.len().min(self.start.saturating_add(wanted));
        Ok(&self.held[self.start..end])
    }

    /// The bytes in view from `from` to `to`, counted from the start of the view; shorter when not filled so far.
    pub(super) fn view(&self, from: usize, to: usize) -> &[u8] {
        let view = &self.held[self.start..];
        let to = to.min(view.len());
        &view[from.min(to)..to]
    }

    /// Lets go of the first `count` bytes in view; no more than are there.
    pub(super) fn consume(&mut self, count: usize) {
        let count = count.min(self.held.len() - self.start);
        self.start += count;
        self.position += count as u64;
        if self.start == self.held.len() {
            self.held.clear();
            self.start = 0;
            self.held.shrink_to(16 * STEP);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time.
    struct Dribble<'a>(&'a [u8]);

    impl Read for Dribble<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else {
                return Ok(0);
            };
            buf[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    #[test]
    fn position_and_content_survive_dribbling_input() {
        let mut window = Window::new(Dribble(b"abcdef"), None);
        assert_eq!(window.fill(4).unwrap(), b"abcd");
        window.consume(3);
        assert_eq!(window.position(), 3);
        assert_eq!(window.remaining(), None);
        assert_eq!(window.fill(100).unwrap(), b"def");
        assert_eq!(window.remaining(), Some(3));
        assert_eq!(window.view(1, 3), b"ef");
    }

    #[test]
    fn asking_for_the_moon_holds_only_what_is_there() {
        let mut window = Window::new(&b"abc"[..], None);
        assert_eq!(window.fill(usize::MAX).unwrap(), b"abc");
        assert!(window.held.capacity() <= 4 * STEP);
    }
}
