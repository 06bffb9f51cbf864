//! From rows to tiles.

use half::f16;

use super::arena::Filling;
use super::{Arena, BLOCK, Format, PAIR, ROWS, SCALES_BYTES, Tiles};

/// A matrix whose place in the arena is taken and whose rows are being written.
#[derive(Debug, Clone, Copy)]
pub(in crate::decode) struct Packed {
    format: Format,
    outputs: usize,
    inputs: usize,
    begin: usize,
}

impl Format {
    /// Bytes that a matrix takes.
    pub(in crate::decode) const fn bytes(self, outputs: usize, inputs: usize) -> usize {
        outputs.div_ceil(ROWS) * inputs.div_ceil(PAIR * BLOCK) * self.pair_bytes()
    }

    /// Bytes of 32 weights of one row in a GGUF file.
    pub(in crate::decode) const fn stored_bytes(self) -> usize {
        match self {
            Self::Q8 => 2 + BLOCK,
            Self::Q4 => 2 + BLOCK / 2,
        }
    }
}

impl Packed {
    /// Packs rows as a GGUF file stores them: for each row its blocks, each a scale and the weights. `None` when the arena is full or the
    /// rows are not `outputs` of `inputs`.
    pub(in crate::decode) fn stored(
        arena: &mut Filling,
        format: Format,
        rows: &[u8],
        outputs: usize,
        inputs: usize,
    ) -> Option<Self> {
        let blocks = inputs / BLOCK;
        let row_bytes = blocks * format.stored_bytes();
        if !inputs.is_multiple_of(BLOCK) || rows.len() != outputs * row_bytes {
            return None;
        }
        let (begin, out) = arena.take(format.bytes(outputs, inputs))?;
        let tile_bytes = inputs.div_ceil(PAIR * BLOCK) * format.pair_bytes();
        for (o, row) in rows.chunks_exact(row_bytes).enumerate() {
            let tile = &mut out[o / ROWS * tile_bytes..][..tile_bytes];
            for (b, block) in row.chunks_exact(format.stored_bytes()).enumerate() {
                let pair = &mut tile[b / PAIR * format.pair_bytes()..][..format.pair_bytes()];
                let (scales, weights) = pair.split_at_mut(SCALES_BYTES);
                let at = (b % PAIR * ROWS + o % ROWS) * 2;
                scales[at..at + 2].copy_from_slice(&block[..2]);
                let part = &mut weights[b % PAIR * format.block_bytes()..][..format.block_bytes()];
                put(format, part, o % ROWS, &block[2..]);
            }
        }
        Some(Self {
            format,
            outputs,
            inputs,
            begin,
        })
    }

    /// Rounds rows of floats to `format`, as llama.cpp's reference does.
    pub(in crate::decode) fn rounded(format: Format, row: &[f32], out: &mut Vec<u8>) {
        for block in row.as_chunks::<BLOCK>().0 {
            match format {
                Format::Q8 => {
                    let most = block.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
                    let scale = most / 127.0;
                    let per = if scale > 0.0 { 1.0 / scale } else { 0.0 };
                    out.extend(f16::from_f32(scale).to_le_bytes());
                    out.extend(block.map(|x| (x * per).round() as i8 as u8));
                }
                Format::Q4 => {
                    let most = block
                        .iter()
                        .fold(0.0_f32, |m, x| if x.abs() > m.abs() { *x } else { m });
                    let scale = most / -8.0;
                    let per = if scale == 0.0 { 0.0 } else { 1.0 / scale };
                    out.extend(f16::from_f32(scale).to_le_bytes());
                    let (low, high) = block.split_at(BLOCK / 2);
                    let to = |x: &f32| ((x * per + 8.5) as i32).clamp(0, 15) as u8;
                    out.extend(low.iter().zip(high).map(|(l, h)| to(l) | to(h) << 4));
                }
            }
        }
    }

    /// Outputs and inputs.
    pub(in crate::decode) const fn shape(&self) -> (usize, usize) {
        (self.outputs, self.inputs)
    }

    /// The matrix, once the arena is filled.
    pub(in crate::decode) fn finish(&self, arena: &Arena) -> Tiles {
        Tiles {
            format: self.format,
            outputs: self.outputs,
            inputs: self.inputs,
            arena: arena.clone(),
            begin: self.begin,
        }
    }
}

/// Writes the 32 weights of one row of a block. In a file the two halves of byte `j` of a four-bit block are weights `j` and `j + 16`.
fn put(format: Format, block: &mut [u8], o: usize, stored: &[u8]) {
    match format {
        Format::Q8 => {
            for (i, q) in stored.iter().enumerate() {
                block[(i / 4 * ROWS + o) * 4 + i % 4] = q ^ 0x80;
            }
        }
        // Groups 0 to 3 are weights 0 to 15: the halves of a byte stay together.
        Format::Q4 => {
            for (i, q) in stored.iter().enumerate() {
                block[(i / 4 * ROWS + o) * 4 + i % 4] = *q;
            }
        }
    }
}
