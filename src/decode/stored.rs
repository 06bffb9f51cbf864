//! How the numbers of a tensor lie in a file, and what they mean: the formats of safetensors and the blocks of GGUF.
//!
//! Source of the block layouts: `ggml-quants.c` of ggml (`dequantize_row_q4_0`, `_q8_0`, `_q4_K`, `_q6_K`).

use half::{bf16, f16};

/// How a tensor's numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q8_0,
    Q4K,
    Q6K,
}

impl Stored {
    /// By its number in a GGUF file.
    pub(super) const fn numbered(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            8 => Self::Q8_0,
            12 => Self::Q4K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            _ => return None,
        })
    }

    /// By its name in a safetensors file.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "F32" => Self::F32,
            "F16" => Self::F16,
            "BF16" => Self::Bf16,
            _ => return None,
        })
    }

    /// Numbers in a block, and its bytes.
    pub(super) const fn block(self) -> (u64, u64) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q8_0 => (32, 34),
            Self::Q4K => (256, 144),
            Self::Q6K => (256, 210),
        }
    }

    /// Appends the numbers of whole blocks.
    pub(super) fn floats(self, bytes: &[u8], out: &mut Vec<f32>) {
        match self {
            Self::F32 => out.extend(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b))),
            Self::F16 => out.extend(
                bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|b| f16::from_le_bytes(*b).to_f32()),
            ),
            Self::Bf16 => out.extend(
                bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|b| bf16::from_le_bytes(*b).to_f32()),
            ),
            Self::Q8_0 => {
                for block in bytes.as_chunks::<34>().0 {
                    let scale = half_at(block, 0);
                    out.extend(block[2..].iter().map(|q| f32::from(*q as i8) * scale));
                }
            }
            Self::Q4_0 => {
                for block in bytes.as_chunks::<18>().0 {
                    let scale = half_at(block, 0);
                    let weight = |q: u8| (f32::from(q) - 8.0) * scale;
                    out.extend(block[2..].iter().map(|q| weight(q & 15)));
                    out.extend(block[2..].iter().map(|q| weight(q >> 4)));
                }
            }
            Self::Q4K => bytes.as_chunks::<144>().0.iter().for_each(|b| q4_k(b, out)),
            Self::Q6K => bytes.as_chunks::<210>().0.iter().for_each(|b| q6_k(b, out)),
        }
    }

    /// Where the first number or scale that is not finite begins, and what it is. Finite scales make finite weights.
    pub(super) fn not_finite(self, bytes: &[u8]) -> Option<(usize, f32)> {
        let (_, block_bytes) = self.block();
        let scales: &[usize] = match self {
            Self::F32 | Self::F16 | Self::Bf16 | Self::Q4_0 | Self::Q8_0 => &[0],
            Self::Q4K => &[0, 2],
            Self::Q6K => &[208],
        };
        let number = |block: &[u8], at: usize| match self {
            Self::F32 => f32::from_le_bytes([block[0], block[1], block[2], block[3]]),
            Self::Bf16 => bf16::from_le_bytes([block[0], block[1]]).to_f32(),
            _ => half_at(block, at),
        };
        let blocks = bytes.chunks_exact(block_bytes as usize).enumerate();
        blocks
            .flat_map(|(b, block)| scales.iter().map(move |at| (b, block, *at)))
            .map(|(b, block, at)| (b * block_bytes as usize + at, number(block, at)))
            .find(|(_, found)| !found.is_finite())
    }
}

fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// 256 weights `d s q - m t` of four bits; each 32 have a scale `s` and a lowest value `t` of six bits.
fn q4_k(block: &[u8; 144], out: &mut Vec<f32>) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    let packed = &block[4..16];
    let scale_and_low = |j: usize| {
        if j < 4 {
            (packed[j] & 63, packed[j + 4] & 63)
        } else {
            (
                (packed[j + 4] & 15) | ((packed[j - 4] >> 6) << 4),
                (packed[j + 4] >> 4) | ((packed[j] >> 6) << 4),
            )
        }
    };
    for (pair, nibbles) in block[16..].chunks_exact(32).enumerate() {
        for high in [false, true] {
            let (scale, low) = scale_and_low(2 * pair + usize::from(high));
            let (scale, low) = (d * f32::from(scale), m * f32::from(low));
            let weight = |q: u8| scale * f32::from(q) - low;
            out.extend(
                nibbles
                    .iter()
                    .map(|q| weight(if high { q >> 4 } else { q & 15 })),
            );
        }
    }
}

/// 256 weights `d s (q - 32)` of six bits; each 16 have a scale of eight.
fn q6_k(block: &[u8; 210], out: &mut Vec<f32>) {
    let d = half_at(block, 208);
    for part in 0..2 {
        let low = &block[part * 64..][..64];
        let high = &block[128 + part * 32..][..32];
        let scales = &block[192 + part * 8..][..8];
        for quarter in 0..4 {
            for l in 0..32 {
                let nibble = low[quarter % 2 * 32 + l] >> (4 * (quarter / 2)) & 15;
                let bits = high[l] >> (2 * quarter) & 3;
                let q = f32::from(nibble | bits << 4) - 32.0;
                let scale = f32::from(scales[2 * quarter + l / 16] as i8);
                out.push(d * scale * q);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_that_is_not_finite_is_found_where_it_is() {
        let infinite = f16::INFINITY.to_le_bytes();
        for (stored, at) in [
            (Stored::Q8_0, 0),
            (Stored::Q4_0, 0),
            (Stored::Q4K, 0),
            (Stored::Q4K, 2),
            (Stored::Q6K, 208),
            (Stored::F16, 0),
        ] {
            let (_, bytes) = stored.block();
            let mut blocks = vec![0_u8; 3 * bytes as usize];
            assert_eq!(stored.not_finite(&blocks), None);
            let place = bytes as usize + at;
            blocks[place..place + 2].copy_from_slice(&infinite);
            assert_eq!(stored.not_finite(&blocks), Some((place, f32::INFINITY)));
        }
    }

    #[test]
    fn every_block_gives_as_many_numbers_as_it_says() {
        for stored in [
            Stored::F32,
            Stored::F16,
            Stored::Bf16,
            Stored::Q4_0,
            Stored::Q8_0,
            Stored::Q4K,
            Stored::Q6K,
        ] {
            let (numbers, bytes) = stored.block();
            let mut out = Vec::new();
            stored.floats(&vec![0; 3 * bytes as usize], &mut out);
            assert_eq!(out.len(), 3 * numbers as usize, "{stored:?}");
        }
    }
}
