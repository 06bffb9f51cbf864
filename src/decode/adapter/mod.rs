//! Low-rank adapters: what a person's choices have taught, beside a model that stays as it is.
//!
//! A layer's matrix `W` becomes `W + s B A` with `A` of `[rank, inputs]`, `B` of `[outputs, rank]` and `s = alpha / rank` (Hu et al. 2021,
//! "LoRA", arXiv 2106.09685, section 4.1). A model takes an adapter when it is loaded: the sum is made before the matrix is held, so that
//! decoding costs what it costs without one. The files are those of Hugging Face's peft ([`folder`](self::folder)).
//!
//! [`learn`](self::learn) makes adapters from choices.

mod folder;
mod learn;
mod lesson;
mod optimiser;
mod plain;
mod score;
#[cfg(test)]
mod tests;
mod trial;

use std::collections::BTreeMap;

pub use self::learn::{LearnSettings, Learned, Learner, Progress};
pub use self::lesson::Lesson;
pub use self::plain::plain_texts;
pub use self::trial::{Comparison, Trial};
use super::config::ModelConfig;
use super::weights::ModelFile;

/// A matrix of a layer that an adapter may change.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// `q_proj`.
    Query,
    /// `k_proj`.
    Key,
    /// `v_proj`.
    Value,
    /// `o_proj`.
    Output,
    /// `gate_proj`.
    Gate,
    /// `up_proj`.
    Up,
    /// `down_proj`.
    Down,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Query,
        Self::Key,
        Self::Value,
        Self::Output,
        Self::Gate,
        Self::Up,
        Self::Down,
    ];

    /// Its name in Hugging Face's models.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Query => "q_proj",
            Self::Key => "k_proj",
            Self::Value => "v_proj",
            Self::Output => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// Its place in a layer.
    const fn block(self) -> &'static str {
        match self {
            Self::Query | Self::Key | Self::Value | Self::Output => "self_attn",
            Self::Gate | Self::Up | Self::Down => "mlp",
        }
    }

    /// Name of the matrix of a layer, without `.weight`.
    fn of_layer(self, layer: usize) -> String {
        format!("model.layers.{layer}.{}.{}", self.block(), self.name())
    }

    /// Outputs and inputs.
    fn shape(self, config: &ModelConfig) -> [usize; 2] {
        let (hidden, inter, dim) = (config.hidden, config.intermediate, config.head_dim);
        match self {
            Self::Query => [config.heads * dim, hidden],
            Self::Key | Self::Value => [config.kv_heads * dim, hidden],
            Self::Output => [hidden, config.heads * dim],
            Self::Gate | Self::Up => [inter, hidden],
            Self::Down => [hidden, inter],
        }
    }
}

/// Which matrices an adapter changes, and how far it can.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterShape {
    /// Rank of the change.
    pub rank: usize,
    /// The change is `alpha / rank` times `B A`.
    pub alpha: f32,
    /// Which matrices of a layer.
    pub targets: Vec<Target>,
    /// Which layers, from 0.
    pub layers: Vec<usize>,
}

/// Largest rank accepted.
pub(super) const RANK_MAX: usize = 1024;

impl AdapterShape {
    /// What a product of the factors is multiplied with.
    fn scale(&self) -> f32 {
        self.alpha / self.rank as f32
    }

    /// Each matrix that is changed, with its outputs and inputs.
    fn matrices<'a>(
        &'a self,
        config: &'a ModelConfig,
    ) -> impl Iterator<Item = (String, [usize; 2])> + 'a {
        let of = move |layer: usize| {
            let targets = self.targets.iter();
            targets.map(move |target| (target.of_layer(layer), target.shape(config)))
        };
        self.layers.iter().flat_map(move |layer| of(*layer))
    }
}

/// The two factors of a change.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Factors {
    /// `[rank, inputs]`.
    pub(super) a: Vec<f32>,
    /// `[outputs, rank]`.
    pub(super) b: Vec<f32>,
}

/// An adapter in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    shape: AdapterShape,
    /// By the name of the matrix, without `.weight`.
    factors: BTreeMap<String, Factors>,
    /// Its folder's name, and the files it was read from; none of one that was just made.
    name: String,
    files: Vec<ModelFile>,
}

impl Adapter {
    /// Which matrices it changes.
    #[must_use]
    pub const fn shape(&self) -> &AdapterShape {
        &self.shape
    }

    /// Its folder's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The files it was read from.
    #[must_use]
    pub fn files(&self) -> &[ModelFile] {
        &self.files
    }

    /// Whether it changes this matrix.
    pub(super) fn changes(&self, matrix: &str) -> bool {
        self.factors.contains_key(matrix)
    }

    /// Adds the change to the weights of a matrix, row-major `[outputs, inputs]`; nothing where it changes another.
    pub(super) fn add_to(&self, matrix: &str, inputs: usize, weights: &mut [f32]) {
        let Some(Factors { a, b }) = self.factors.get(matrix) else {
            return;
        };
        let (rank, scale) = (self.shape.rank, self.shape.scale());
        for (row, b) in weights.chunks_exact_mut(inputs).zip(b.chunks_exact(rank)) {
            for (b, a) in b.iter().zip(a.chunks_exact(inputs)) {
                let factor = scale * b;
                row.iter_mut().zip(a).for_each(|(w, a)| *w += factor * a);
            }
        }
    }
}

/// Place of the largest number; of equals the first.
fn largest(numbers: impl Iterator<Item = f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (place, number) in numbers.enumerate() {
        if number > best.1 {
            best = (place, number);
        }
    }
    best.0
}
