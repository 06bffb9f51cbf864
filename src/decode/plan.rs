//! How the big matrices of a model will be held, and what that takes: decided before any of them is read.

use serde::{Deserialize, Serialize};

use super::error::ModelError;
use super::layout::Matrix;
use super::memory;
use super::settings::WriterSettings;
use super::sources::Sources;
use super::stored::Stored;
use super::tiles::{BLOCK, Filling, Format, Packed};
use super::weights::{Origin, Weights};

/// How the big matrices of a model are held in memory. Norms and biases are f32 always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As the file has them: floats of any width as f32, GGUF's `Q8_0` and `Q4_0` weight for weight, its `Q4_K` and `Q6_K` rounded to eight bits.
    #[default]
    Stored,
    /// As they are, 32 bits.
    F32,
    /// Eight bits, and a scale for 32 weights (GGUF's `Q8_0`).
    Q8,
    /// Four bits, and a scale for 32 weights (GGUF's `Q4_0`).
    Q4,
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stored => "stored",
            Self::F32 => "f32",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        })
    }
}

impl std::str::FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "stored" => Ok(Self::Stored),
            "f32" => Ok(Self::F32),
            "q8" => Ok(Self::Q8),
            "q4" => Ok(Self::Q4),
            other => Err(format!("`{other}` is none of stored, f32, q8 and q4")),
        }
    }
}

/// How a model is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadSettings {
    /// How its matrices are held.
    pub precision: Precision,
    /// Tokens of text that the memory is to hold beside it, as keys and values; the model's context if that is shorter.
    pub text_tokens: usize,
    /// Most memory that the model and such a text may take, bytes; `None` is what the system has available.
    pub memory_bytes_max: Option<u64>,
}

impl Default for LoadSettings {
    fn default() -> Self {
        Self {
            precision: Precision::default(),
            text_tokens: WriterSettings::default().context_tokens_max,
            memory_bytes_max: None,
        }
    }
}

/// What is held of a model, and how large it is.
#[derive(Debug)]
pub(super) struct Plan {
    /// One of the three where all matrices are held alike, [`Precision::Stored`] where they are mixed.
    pub(super) precision: Precision,
    wanted: Precision,
    /// Bytes of the arena of blocks.
    arena_bytes: u64,
    /// Bytes of all that is held.
    pub(super) weights_bytes: u64,
    /// Bytes of the largest matrix while it is packed.
    passing_bytes: u64,
    tokenizer_bytes: u64,
    /// Tokens of text that are counted.
    pub(super) text_tokens: usize,
    /// Bytes of their keys and values.
    pub(super) text_bytes: u64,
}

impl Plan {
    pub(super) fn new(sources: &Sources, settings: &LoadSettings) -> Result<Self, ModelError> {
        let (config, wanted) = (&sources.config, settings.precision);
        let text_tokens = settings.text_tokens.min(config.context_tokens);
        sources.weights.check_all(config.tensors())?;
        let mut kinds = Vec::new();
        let (mut arena_bytes, mut floats, mut passing_bytes) = (0_u64, 0_u64, 0_u64);
        for matrix in config.matrices() {
            let format = format(wanted, &matrix, &sources.weights);
            let (outputs, inputs) = (matrix.outputs(), matrix.inputs);
            kinds.push(format);
            match format {
                None => floats += outputs as u64 * inputs as u64,
                Some(_) if inputs % BLOCK != 0 => {
                    let path = sources.origin.path("");
                    return Err(ModelError::Precision { path, inputs });
                }
                Some(format) => {
                    arena_bytes += format.bytes(outputs, inputs).next_multiple_of(64) as u64;
                    let stored = outputs * inputs / BLOCK * format.stored_bytes();
                    passing_bytes = passing_bytes.max(stored as u64);
                }
            }
        }
        let vectors: usize = config.vectors().map(|(_, len)| len).sum();
        kinds.dedup();
        let precision = match kinds.as_slice() {
            [None] => Precision::F32,
            [Some(Format::Q8)] => Precision::Q8,
            [Some(Format::Q4)] => Precision::Q4,
            _ => Precision::Stored,
        };
        Ok(Self {
            precision,
            wanted,
            arena_bytes,
            weights_bytes: arena_bytes + (floats + vectors as u64) * 4,
            passing_bytes,
            // A token with its text, its place in two tables and its merge.
            tokenizer_bytes: sources.tokens.len() as u64 * 400,
            text_tokens,
            text_bytes: text_tokens as u64 * config.kv_bytes_per_token() as u64,
        })
    }

    /// Memory that loading takes at its peak and then a text, bytes.
    pub(super) fn needed_bytes(&self) -> u64 {
        const READING: u64 = 8 << 20;
        let loading = self.weights_bytes + self.passing_bytes + self.tokenizer_bytes + READING;
        loading + self.text_bytes
    }

    /// Refuses a model that is larger than the memory, with the text it is to hold.
    pub(super) fn fits(&self, origin: &Origin, settings: &LoadSettings) -> Result<(), ModelError> {
        if matches!(origin, Origin::Embedded(_)) {
            return Ok(());
        }
        let available = settings.memory_bytes_max.or_else(memory::available_bytes);
        match available {
            Some(available_bytes) if self.needed_bytes() > available_bytes => {
                Err(ModelError::Memory {
                    path: origin.path(""),
                    needed_bytes: self.needed_bytes(),
                    text_bytes: self.text_bytes,
                    available_bytes,
                })
            }
            _ => Ok(()),
        }
    }

    /// Room for the blocks.
    pub(super) fn packing(&self, origin: &Origin) -> Result<Packing, ModelError> {
        let bytes = usize::try_from(self.arena_bytes).unwrap_or(usize::MAX);
        let arena = (bytes > 0).then(|| Filling::new(bytes)).transpose();
        let arena = arena.map_err(|source| ModelError::Io {
            path: origin.path(""),
            source,
        })?;
        Ok(Packing {
            wanted: self.wanted,
            arena,
        })
    }
}

/// Where quantised weights go while a model is read.
pub(super) struct Packing {
    wanted: Precision,
    pub(super) arena: Option<Filling>,
}

impl Packing {
    /// How a matrix is held; `None` as floats. Asked before its tensors are taken.
    pub(super) fn format(&self, matrix: &Matrix, weights: &Weights) -> Option<Format> {
        format(self.wanted, matrix, weights)
    }
}

fn format(wanted: Precision, matrix: &Matrix, weights: &Weights) -> Option<Format> {
    match wanted {
        Precision::F32 => None,
        Precision::Q8 => Some(Format::Q8),
        Precision::Q4 => Some(Format::Q4),
        Precision::Stored => {
            let parts = matrix.parts.iter();
            let mut stored = parts.map(|(part, _)| weights.stored(&format!("{part}.weight")));
            // Of parts that are held as one the widest decides.
            stored.try_fold(Format::Q4, |so_far, stored| match stored {
                Some(Stored::Q8_0 | Stored::Q4K | Stored::Q6K) => Some(Format::Q8),
                Some(Stored::Q4_0) => Some(so_far),
                _ => None,
            })
        }
    }
}

/// Appends whole blocks in `format`: as they are where they have it, without rounding where it can hold them, rounded else.
pub(super) fn packed(stored: Stored, bytes: &[u8], format: Format, out: &mut Vec<u8>) {
    match (stored, format) {
        (Stored::Q8_0, Format::Q8) | (Stored::Q4_0, Format::Q4) => out.extend(bytes),
        (Stored::Q4_0, Format::Q8) => {
            for block in bytes.as_chunks::<18>().0 {
                let (scale, nibbles) = block.split_at(2);
                let less = |q: u8| q.wrapping_sub(8);
                out.extend(scale);
                out.extend(nibbles.iter().map(|q| less(q & 15)));
                out.extend(nibbles.iter().map(|q| less(q >> 4)));
            }
        }
        _ => {
            let mut floats = Vec::new();
            stored.floats(bytes, &mut floats);
            Packed::rounded(format, &floats, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Blocks of any bits, with a scale that is finite.
    fn blocks(stored: Stored) -> Vec<u8> {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        let (_, bytes) = stored.block();
        let mut all: Vec<u8> = (0..16 * bytes).map(|_| random.random()).collect();
        for block in all.chunks_exact_mut(bytes as usize) {
            let scale = half::f16::from_f32(random.random_range(-0.1..0.1));
            block[..2].copy_from_slice(&scale.to_le_bytes());
        }
        all
    }

    #[test]
    fn blocks_that_can_be_held_are_held_weight_for_weight() {
        for (from, format, to) in [
            (Stored::Q8_0, Format::Q8, Stored::Q8_0),
            (Stored::Q4_0, Format::Q4, Stored::Q4_0),
            (Stored::Q4_0, Format::Q8, Stored::Q8_0),
        ] {
            let bytes = blocks(from);
            let (mut before, mut held, mut after) = (Vec::new(), Vec::new(), Vec::new());
            from.floats(&bytes, &mut before);
            packed(from, &bytes, format, &mut held);
            to.floats(&held, &mut after);
            assert_eq!(before, after, "{from:?} as {to:?}");
        }
    }

    #[test]
    fn super_blocks_are_rounded_to_within_half_a_step_of_eight_bits() {
        for stored in [Stored::Q4K, Stored::Q6K] {
            let (_, bytes) = stored.block();
            let mut blocks = vec![0x5A_u8; 2 * bytes as usize];
            for block in blocks.chunks_exact_mut(bytes as usize) {
                let at = if stored == Stored::Q6K { 208 } else { 0 };
                block[at..at + 2].copy_from_slice(&half::f16::from_f32(0.01).to_le_bytes());
                if stored == Stored::Q4K {
                    block[2..4].copy_from_slice(&half::f16::from_f32(0.02).to_le_bytes());
                }
            }
            let (mut before, mut held, mut after) = (Vec::new(), Vec::new(), Vec::new());
            stored.floats(&blocks, &mut before);
            packed(stored, &blocks, Format::Q8, &mut held);
            Stored::Q8_0.floats(&held, &mut after);
            for (before, after) in before.chunks(BLOCK).zip(after.chunks(BLOCK)) {
                let most = before.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
                for (a, b) in before.iter().zip(after) {
                    // Half a step, and what half precision takes off the scale.
                    assert!((a - b).abs() <= most / 254.0 + most * 1e-3, "{a} {b}");
                }
            }
        }
    }
}
