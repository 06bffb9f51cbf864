//! Bytes that rows lie in, appended to and never moved: on large pages where the system gives them.
//!
//! A query reads all of a large memory once. On pages of 4 KB that costs a third more time, for the processor looks up each of them.

use memmap2::MmapMut;

/// Bytes that are taken at once: two large pages, which cost nothing before they are written to.
const PIECE_BYTES: usize = 4 << 20;

/// Rows of one length, in pieces.
#[derive(Debug, Default)]
pub(super) struct Room {
    pieces: Vec<Piece>,
    /// Rows of a piece.
    rows: usize,
    count: usize,
}

#[derive(Debug)]
enum Piece {
    Mapped(MmapMut),
    /// Where the system maps nothing more.
    Plain(Vec<u8>),
}

impl Piece {
    fn of(bytes: usize) -> Self {
        match MmapMut::map_anon(bytes) {
            Ok(map) => {
                // A wish: without it the pages are small ones.
                #[cfg(target_os = "linux")]
                let _ = map.advise(memmap2::Advice::HugePage);
                Self::Mapped(map)
            }
            Err(_) => Self::Plain(vec![0; bytes]),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Plain(bytes) => bytes,
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Plain(bytes) => bytes,
        }
    }
}

impl Room {
    /// Adds a row; all have one length, and it is not 0.
    pub(super) fn push(&mut self, row: &[u8]) {
        if self.rows == 0 {
            self.rows = (PIECE_BYTES / row.len()).max(1);
        }
        let (piece, at) = (self.count / self.rows, self.count % self.rows * row.len());
        if piece == self.pieces.len() {
            self.pieces.push(Piece::of(self.rows * row.len()));
        }
        // The piece is there, and has room for `rows` of such a length.
        self.pieces[piece].bytes_mut()[at..][..row.len()].copy_from_slice(row);
        self.count += 1;
    }

    /// Rows from `first` on that lie side by side, at most `most` of them and none at or behind `end`; `length` is that of a row.
    pub(super) fn stretch(&self, first: usize, end: usize, most: usize, length: usize) -> &[u8] {
        let (piece, row) = (first / self.rows, first % self.rows);
        let rows = most.min(end - first).min(self.rows - row);
        &self.pieces[piece].bytes()[row * length..][..rows * length]
    }

    /// Bytes of all rows.
    pub(super) fn len(&self, length: usize) -> usize {
        self.count * length
    }
}
