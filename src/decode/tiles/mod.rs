//! Quantised matrices in tiles of sixteen rows, and their product with a few rows of activations.
//!
//! A tile holds sixteen rows side by side, four weights of each after the other, so that one register of 64 bytes is what
//! one integer instruction multiplies: a step of the loop makes sixteen sums and needs no horizontal one. Scales lie beside the
//! weights that they belong to, so a matrix is read as one stream from the first byte to the last.
//!
//! *Same bits everywhere.* Products of integers are exact, and the order of the few floating sums, fused everywhere, is part of the format: every
//! kernel gives the bits of [`portable`], for any number of rows.

mod arena;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod input;
mod pack;
mod portable;
#[cfg(test)]
mod tests;

pub(super) use arena::{Arena, Filling};
pub(super) use input::Input;
pub(super) use pack::Packed;

/// Rows of a tile.
pub(super) const ROWS: usize = 16;
/// Weights of a row that share a scale.
pub(super) const BLOCK: usize = 32;
/// Blocks that lie together, so that each such stretch is whole cache lines.
pub(super) const PAIR: usize = 2;
/// Rows of activations that a kernel takes at once.
pub(super) const TOGETHER: usize = 4;

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Eight bits and a scale in half precision for 32 weights (GGUF's `Q8_0`): `w = d q`, -128 <= q <= 127.
    Q8,
    /// Four bits (GGUF's `Q4_0`): `w = d (q - 8)`, 0 <= q <= 15.
    Q4,
}

impl Format {
    /// Bytes of one pair of blocks of one tile: the scales of both, then the weights.
    const fn pair_bytes(self) -> usize {
        SCALES_BYTES + PAIR * self.block_bytes()
    }

    /// Bytes of the weights of one block of one tile.
    const fn block_bytes(self) -> usize {
        match self {
            Self::Q8 => ROWS * BLOCK,
            Self::Q4 => ROWS * BLOCK / 2,
        }
    }

    /// What is added to a weight's integer so that it is not negative.
    const fn offset(self) -> i32 {
        match self {
            Self::Q8 => 128,
            Self::Q4 => 8,
        }
    }
}

/// Scales of one pair of blocks: two times sixteen numbers of half precision.
const SCALES_BYTES: usize = PAIR * ROWS * 2;

/// A matrix of `outputs` rows of `inputs` quantised weights.
#[derive(Debug, Clone)]
pub(super) struct Tiles {
    format: Format,
    outputs: usize,
    inputs: usize,
    arena: Arena,
    begin: usize,
}

impl Tiles {
    /// Pairs of blocks of one row; the last may be half empty.
    const fn pairs(&self) -> usize {
        self.inputs.div_ceil(PAIR * BLOCK)
    }

    /// Bytes of one tile.
    pub(super) const fn tile_bytes(&self) -> usize {
        self.pairs() * self.format.pair_bytes()
    }

    /// Tiles of it.
    pub(super) fn count(&self) -> usize {
        self.outputs.div_ceil(ROWS)
    }

    /// Length of one row of a product.
    pub(super) const fn outputs(&self) -> usize {
        self.outputs
    }

    /// Which outputs the tiles of `part` give.
    pub(super) fn outputs_of(&self, part: &std::ops::Range<usize>) -> std::ops::Range<usize> {
        part.start * ROWS..(part.end * ROWS).min(self.outputs)
    }

    /// The bytes of one tile.
    fn tile(&self, index: usize) -> &[u8] {
        let begin = self.begin + index * self.tile_bytes();
        &self.arena.bytes()[begin..begin + self.tile_bytes()]
    }

    /// Copies one row as floats, as an embedding table is read.
    pub(super) fn row(&self, index: usize, out: &mut [f32]) {
        let (tile, o) = (self.tile(index / ROWS), index % ROWS);
        for (b, out) in out.chunks_mut(BLOCK).enumerate() {
            let pair = &tile[b / PAIR * self.format.pair_bytes()..][..self.format.pair_bytes()];
            let at = (b % PAIR * ROWS + o) * 2;
            let scale = half::f16::from_le_bytes([pair[at], pair[at + 1]]).to_f32();
            let block = &pair[SCALES_BYTES + b % PAIR * self.format.block_bytes()..];
            for (i, out) in out.iter_mut().enumerate() {
                let q =
                    i32::from(portable::weight(self.format, block, o, i)) - self.format.offset();
                *out = q as f32 * scale;
            }
        }
    }

    /// `y[r][o] = sum over i of w[o][i] x[r][i]` for the tiles of `part`. Row `r` of `y` begins at `r * stride`, with the part's first output.
    pub(super) fn multiply(
        &self,
        x: &Input,
        part: std::ops::Range<usize>,
        y: &mut [f32],
        stride: usize,
    ) {
        let begin = part.start * ROWS;
        debug_assert_eq!(x.width(), self.pairs() * PAIR * BLOCK);
        let kernel = Kernel::best();
        for index in part {
            let tile = self.tile(index);
            let first = index * ROWS;
            let n = ROWS.min(self.outputs - first);
            let mut row = 0;
            while row < x.rows() {
                let rows = TOGETHER.min(x.rows() - row);
                let mut sums = [[0.0; ROWS]; TOGETHER];
                kernel.tile(self.format, tile, x, row, rows, &mut sums);
                for (r, sums) in sums.iter().enumerate().take(rows) {
                    y[(row + r) * stride + first - begin..][..n].copy_from_slice(&sums[..n]);
                }
                row += rows;
            }
        }
    }
}

/// Which instructions a processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
    /// AVX-512 with VNNI: a tile's sixteen sums in one register.
    Avx512,
    /// AVX2 and FMA.
    Avx2,
    /// Any.
    Portable,
}

impl Kernel {
    /// The fastest that this processor can run. The standard library asks it once and remembers.
    pub(super) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if std::is_x86_feature_detected!("avx512f")
                && std::is_x86_feature_detected!("avx512bw")
                && std::is_x86_feature_detected!("avx512vnni")
            {
                return Self::Avx512;
            }
            if std::is_x86_feature_detected!("avx2")
                && std::is_x86_feature_detected!("fma")
                && std::is_x86_feature_detected!("f16c")
            {
                return Self::Avx2;
            }
        }
        Self::Portable
    }

    /// Sums of one tile for `rows` rows of `x` from `row` on.
    fn tile(
        self,
        format: Format,
        tile: &[u8],
        x: &Input,
        row: usize,
        rows: usize,
        sums: &mut [[f32; ROWS]; TOGETHER],
    ) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::tile(format, tile, x, row, rows, sums),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::tile(format, tile, x, row, rows, sums),
            _ => portable::tile(format, tile, x, row, rows, sums),
        }
    }
}
