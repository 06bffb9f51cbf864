//! The kernel that defines the result: every other one gives its bits.

use half::f16;

use super::{BLOCK, Format, Input, PAIR, ROWS, SCALES_BYTES, TOGETHER};

/// Sums of one tile for `rows` rows of `x` from `row` on.
pub(super) fn tile(
    format: Format,
    tile: &[u8],
    x: &Input,
    row: usize,
    rows: usize,
    sums: &mut [[f32; ROWS]; TOGETHER],
) {
    for (r, sums) in sums.iter_mut().enumerate().take(rows) {
        let (q, scales, of_q) = x.row(row + r);
        for (p, pair) in tile.chunks_exact(format.pair_bytes()).enumerate() {
            let (pair_scales, weights) = pair.split_at(SCALES_BYTES);
            for (half, weights) in weights.chunks_exact(format.block_bytes()).enumerate() {
                let block = p * PAIR + half;
                let q = &q[block * BLOCK..(block + 1) * BLOCK];
                for (o, sum) in sums.iter_mut().enumerate() {
                    let at = (half * ROWS + o) * 2;
                    let scale = f16::from_le_bytes([pair_scales[at], pair_scales[at + 1]]).to_f32();
                    let mut dot = -format.offset() * of_q[block];
                    for (i, q) in q.iter().enumerate() {
                        dot += i32::from(weight(format, weights, o, i)) * i32::from(*q);
                    }
                    *sum = (dot as f32).mul_add(scale * scales[block], *sum);
                }
            }
        }
    }
}

/// The integer of weight `i` of row `o` of a block, with the offset added.
pub(super) fn weight(format: Format, block: &[u8], o: usize, i: usize) -> u8 {
    let (group, within) = (i / 4, i % 4);
    match format {
        Format::Q8 => block[(group * ROWS + o) * 4 + within],
        // Groups 0 to 3 are the low halves of the bytes, 4 to 7 the high ones.
        Format::Q4 => {
            let byte = block[(group % 4 * ROWS + o) * 4 + within];
            if group < 4 { byte & 0x0f } else { byte >> 4 }
        }
    }
}
