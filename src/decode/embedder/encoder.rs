//! The encoder itself: every token of a text looks at every other (Devlin et al. 2019), norms behind the sums.

use candle_core::Error;

use super::config::{EncoderConfig, Positions};
use crate::decode::attention::exp;
use crate::decode::error::ModelError;
use crate::decode::kernel;
use crate::decode::linear::{Hands, Linear};
use crate::decode::weights::{Origin, Weights};

/// A norm's weights and biases.
#[derive(Debug)]
struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// One layer; query, key and value are one matrix.
#[derive(Debug)]
struct Layer {
    qkv: Linear,
    output: Linear,
    attention_norm: Norm,
    up: Linear,
    down: Linear,
    norm: Norm,
}

/// An encoder in memory.
#[derive(Debug)]
pub(super) struct Encoder {
    words: Vec<f32>,
    positions: Vec<f32>,
    /// Of the first segment.
    segment: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

impl Encoder {
    /// Reads the tensors of a configuration behind `prefix`.
    pub(super) fn read(
        config: &EncoderConfig,
        weights: &mut Weights,
        origin: &Origin,
        prefix: &str,
    ) -> Result<Self, ModelError> {
        let mut reader = Reader {
            config,
            weights,
            origin,
            prefix,
        };
        let hidden = config.hidden;
        let mut segment = reader.table("token_type_embeddings", config.segments)?;
        segment.truncate(hidden);
        Ok(Self {
            words: reader.table("word_embeddings", config.vocabulary)?,
            positions: reader.table("position_embeddings", config.positions)?,
            segment,
            norm: reader.norm("embeddings.LayerNorm")?,
            layers: (0..config.layers)
                .map(|layer| reader.layer(layer))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The states of the tokens of several texts, `[tokens of all texts][hidden]`. Tokens are below the vocabulary and texts no longer than
    /// [`EncoderConfig::tokens_max`].
    pub(super) fn states(
        &self,
        config: &EncoderConfig,
        texts: &[Vec<u32>],
    ) -> Result<Vec<f32>, Error> {
        let (hidden, inter) = (config.hidden, config.intermediate);
        let rows: usize = texts.iter().map(Vec::len).sum();
        let mut x = self.embedded(config, texts);
        self.norm.apply(&mut x, config.norm_eps);
        let mut hands = Hands::default();
        let (mut qkv, mut seen) = (vec![0.0; rows * 3 * hidden], vec![0.0; rows * hidden]);
        let (mut added, mut wide) = (vec![0.0; rows * hidden], vec![0.0; rows * inter]);
        for layer in &self.layers {
            layer.qkv.forward(&x, rows, &mut qkv, &mut hands)?;
            let mut at = 0;
            for text in texts {
                let range = at..at + text.len();
                let of = |width: usize| range.start * width..range.end * width;
                attend(config, &qkv[of(3 * hidden)], &mut seen[of(hidden)]);
                at = range.end;
            }
            layer.output.forward(&seen, rows, &mut added, &mut hands)?;
            add(&mut x, &added);
            layer.attention_norm.apply(&mut x, config.norm_eps);
            layer.up.forward(&x, rows, &mut wide, &mut hands)?;
            kernel::gelu(&mut wide);
            layer.down.forward(&wide, rows, &mut added, &mut hands)?;
            add(&mut x, &added);
            layer.norm.apply(&mut x, config.norm_eps);
        }
        Ok(x)
    }

    fn embedded(&self, config: &EncoderConfig, texts: &[Vec<u32>]) -> Vec<f32> {
        let hidden = config.hidden;
        let row = |table: &[f32], index: usize| table[index * hidden..][..hidden].to_vec();
        let mut x = Vec::with_capacity(texts.iter().map(Vec::len).sum::<usize>() * hidden);
        for text in texts {
            let mut before = 0;
            for &token in text {
                let position = match config.numbering {
                    // A padding token counts as none and stands at its own number.
                    Positions::BehindPadding(padding) if token == padding => padding as usize,
                    Positions::BehindPadding(padding) => padding as usize + 1 + before,
                    Positions::FromZero => before,
                };
                before += usize::from(config.numbering != Positions::BehindPadding(token));
                let mut state = row(&self.words, token as usize);
                add(&mut state, &row(&self.positions, position));
                add(&mut state, &self.segment);
                x.extend(state);
            }
        }
        x
    }
}

fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// Attention within one text: `qkv` is `[tokens][query, key, value]`, `out` `[tokens][hidden]`.
fn attend(config: &EncoderConfig, qkv: &[f32], out: &mut [f32]) {
    let hidden = config.hidden;
    let dim = hidden / config.heads;
    let tokens = out.len() / hidden;
    let scale = 1.0 / (dim as f32).sqrt();
    let gathered = |part: usize, head: usize| -> Vec<f32> {
        let rows = qkv.chunks_exact(3 * hidden);
        rows.flat_map(|row| &row[part * hidden + head * dim..][..dim])
            .copied()
            .collect()
    };
    let (mut scores, mut seen) = (vec![0.0; tokens * tokens], vec![0.0; tokens * dim]);
    for head in 0..config.heads {
        let (queries, keys, values) = (gathered(0, head), gathered(1, head), gathered(2, head));
        let by_element: Vec<f32> = (0..dim)
            .flat_map(|i| values.iter().skip(i).step_by(dim).copied())
            .collect();
        kernel::rows_times_matrix(&queries, tokens, &keys, tokens, dim, &mut scores);
        for row in scores.chunks_exact_mut(tokens) {
            softmax(row, scale);
        }
        kernel::rows_times_matrix(&scores, tokens, &by_element, dim, tokens, &mut seen);
        for (out, seen) in out.chunks_exact_mut(hidden).zip(seen.chunks_exact(dim)) {
            out[head * dim..][..dim].copy_from_slice(seen);
        }
    }
}

fn softmax(row: &mut [f32], scale: f32) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|x| *x = exp((*x - most) * scale));
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|x| *x /= sum);
}

impl Norm {
    /// `(x - mean) / sqrt(variance + eps) * weight + bias`, row by row (Ba et al. 2016).
    fn apply(&self, x: &mut [f32], eps: f32) {
        let n = self.weight.len();
        for row in x.chunks_exact_mut(n) {
            let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / n as f64;
            let variance = row
                .iter()
                .map(|x| (f64::from(*x) - mean).powi(2))
                .sum::<f64>()
                / n as f64;
            let (mean, scale) = (mean as f32, 1.0 / (variance as f32 + eps).sqrt());
            for ((x, weight), bias) in row.iter_mut().zip(&self.weight).zip(&self.bias) {
                *x = (*x - mean) * scale * weight + bias;
            }
        }
    }
}

struct Reader<'a> {
    config: &'a EncoderConfig,
    weights: &'a mut Weights,
    origin: &'a Origin,
    prefix: &'a str,
}

impl Reader<'_> {
    fn floats(
        &mut self,
        name: &str,
        shape: &[usize],
        out: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        self.weights
            .floats(&format!("{}{name}", self.prefix), shape, out)
    }

    fn table(&mut self, name: &str, rows: usize) -> Result<Vec<f32>, ModelError> {
        let mut out = Vec::new();
        self.floats(
            &format!("embeddings.{name}.weight"),
            &[rows, self.config.hidden],
            &mut out,
        )?;
        Ok(out)
    }

    fn norm(&mut self, name: &str) -> Result<Norm, ModelError> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        self.floats(
            &format!("{name}.weight"),
            &[self.config.hidden],
            &mut weight,
        )?;
        self.floats(&format!("{name}.bias"), &[self.config.hidden], &mut bias)?;
        Ok(Norm { weight, bias })
    }

    /// Matrices of the same input, one above the other.
    fn matrix(
        &mut self,
        parts: &[String],
        outputs: usize,
        inputs: usize,
    ) -> Result<Linear, ModelError> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for part in parts {
            self.floats(&format!("{part}.weight"), &[outputs, inputs], &mut weight)?;
            self.floats(&format!("{part}.bias"), &[outputs], &mut bias)?;
        }
        let path = || self.origin.path("");
        Linear::new(weight, Some(bias), outputs * parts.len(), inputs).map_err(|source| {
            ModelError::Tensor {
                path: path(),
                source,
            }
        })
    }

    fn layer(&mut self, layer: usize) -> Result<Layer, ModelError> {
        let name = |part: &str| format!("encoder.layer.{layer}.{part}");
        let (hidden, inter) = (self.config.hidden, self.config.intermediate);
        let qkv = ["query", "key", "value"].map(|part| name(&format!("attention.self.{part}")));
        Ok(Layer {
            qkv: self.matrix(&qkv, hidden, hidden)?,
            output: self.matrix(&[name("attention.output.dense")], hidden, hidden)?,
            attention_norm: self.norm(&name("attention.output.LayerNorm"))?,
            up: self.matrix(&[name("intermediate.dense")], inter, hidden)?,
            down: self.matrix(&[name("output.dense")], hidden, inter)?,
            norm: self.norm(&name("output.LayerNorm"))?,
        })
    }
}
