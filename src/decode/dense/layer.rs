//! One layer on a device: attention over the keys and values of one line, and the feed-forward block.

use candle_core::{D, DType, Device as On, Result, Tensor};

use super::super::config::ModelConfig;
use super::super::error::DecodeError;
use super::super::linear::Linear;
use super::super::model::{self, Model};
use super::graph::{Frozen, LowRank};
use super::{matrix, softmax};

/// What all layers need to know about the rows of a step.
pub(super) struct Rows {
    count: usize,
    /// Tokens before the first row.
    before: usize,
    /// `[rows, 1, head_dim / 2]`, f32.
    cos: Tensor,
    sin: Tensor,
    scale: f64,
}

impl Rows {
    pub(super) fn new(model: &Model, before: usize, count: usize, on: &On) -> Result<Self> {
        let angles: Vec<f32> = (before..before + count)
            .flat_map(|position| model.frequencies.iter().map(move |f| position as f32 * f))
            .collect();
        let turned = |of: fn(f32) -> f32| {
            let values: Vec<f32> = angles.iter().map(|angle| of(*angle)).collect();
            Tensor::from_vec(values, (count, 1, model.frequencies.len()), on)
        };
        Ok(Self {
            count,
            before,
            cos: turned(f32::cos)?,
            sin: turned(f32::sin)?,
            scale: f64::from(model.score_scale),
        })
    }

    /// What is added to the scores so that no row sees what is behind it, or further back than `window`: `[rows, keys]`. `None` where each
    /// sees all there is.
    fn mask(&self, window: usize, on: &On) -> Result<Option<Tensor>> {
        let keys = self.before + self.count;
        if self.count == 1 && keys <= window {
            return Ok(None);
        }
        let seen = |row: usize, key: usize| {
            let position = self.before + row;
            key <= position && position - key < window
        };
        let mask: Vec<f32> = (0..self.count)
            .flat_map(|row| {
                (0..keys).map(move |key| {
                    if seen(row, key) {
                        0.0
                    } else {
                        f32::NEG_INFINITY
                    }
                })
            })
            .collect();
        Tensor::from_vec(mask, (self.count, keys), on).map(Some)
    }

    /// Turns heads by the angles of their rows, halves as in safetensors files; `x` is f32 `[rows, heads, head_dim]`.
    fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        let half = x.dim(D::Minus1)? / 2;
        let (low, high) = (
            x.narrow(D::Minus1, 0, half)?,
            x.narrow(D::Minus1, half, half)?,
        );
        let turn = |a: &Tensor, b: &Tensor| {
            Ok::<_, candle_core::Error>((a.broadcast_mul(&self.cos)?, b.broadcast_mul(&self.sin)?))
        };
        let ((a, b), (c, d)) = (turn(&low, &high)?, turn(&high, &low)?);
        Tensor::cat(&[(a - b)?, (c + d)?], D::Minus1)
    }
}

/// `W x + b`.
struct Product {
    weight: Tensor,
    bias: Option<Tensor>,
    /// What learns beside it; `None` where nothing does, in the whole model.
    changes: Option<Vec<LowRank>>,
}

impl Product {
    fn new(
        linear: &Linear,
        on: &On,
        floats: DType,
    ) -> std::result::Result<Option<Self>, DecodeError> {
        let Some(weight) = matrix(linear, on, floats)? else {
            return Ok(None);
        };
        let bias = linear
            .bias()
            .map(|bias| Tensor::new(bias, on)?.to_dtype(floats));
        Ok(Some(Self {
            weight,
            bias: bias.transpose()?,
            changes: None,
        }))
    }

    /// `[rows, inputs]` to `[rows, outputs]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut y = match &self.changes {
            None => x.matmul(&self.weight.t()?)?,
            Some(_) => x.contiguous()?.apply_op1(Frozen(self.weight.clone()))?,
        };
        for change in self.changes.iter().flatten() {
            y = (&y + change.of(x, self.weight.dim(0)?)?)?;
        }
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// A layer's weights, and the keys and values of the line so far.
pub(super) struct Layer {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    eps: f32,
    window: usize,
    attention_norm: Tensor,
    qkv: Product,
    /// Query's and key's.
    head_norms: Option<[Tensor; 2]>,
    output: Product,
    mlp_norm: Tensor,
    gate_up: Product,
    down: Product,
    /// Both `[kv_heads, tokens, head_dim]`.
    held: Option<[Tensor; 2]>,
}

impl Layer {
    /// Copies a layer to a device; `None` where its weights are not floats.
    pub(super) fn new(
        layer: &model::Layer,
        config: &ModelConfig,
        on: &On,
        floats: DType,
    ) -> std::result::Result<Option<Self>, DecodeError> {
        let vector = |of: &[f32]| Tensor::new(of, on);
        let product = |of: &Linear| Product::new(of, on, floats);
        let products = (
            product(&layer.qkv)?,
            product(&layer.output)?,
            product(&layer.gate_up)?,
            product(&layer.down)?,
        );
        let (Some(qkv), Some(output), Some(gate_up), Some(down)) = products else {
            return Ok(None);
        };
        let head_norms = match &layer.head_norms {
            None => None,
            Some(norms) => Some([vector(&norms.query)?, vector(&norms.key)?]),
        };
        Ok(Some(Self {
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            eps: config.norm_eps,
            window: layer.window,
            attention_norm: vector(&layer.attention_norm)?,
            qkv,
            head_norms,
            output,
            mlp_norm: vector(&layer.mlp_norm)?,
            gate_up,
            down,
            held: None,
        }))
    }

    /// Gives its matrices their changes, in the order of a layer.
    pub(super) fn adapt(&mut self, changes: [Vec<LowRank>; 4]) {
        let products = [
            &mut self.qkv,
            &mut self.output,
            &mut self.gate_up,
            &mut self.down,
        ];
        for (product, changes) in products.into_iter().zip(changes) {
            product.changes = Some(changes);
        }
    }

    pub(super) fn held(&self) -> Option<[Tensor; 2]> {
        self.held.clone()
    }

    pub(super) fn hold(&mut self, held: Option<[Tensor; 2]>) {
        self.held = held;
    }

    /// Forgets all but the first tokens.
    pub(super) fn cut(&mut self, tokens: usize) {
        // A view: what is behind it goes with the next token.
        let kept = |of: &Tensor| of.narrow(1, 0, tokens.min(of.dim(1)?));
        self.held = match &self.held {
            Some([keys, values]) if tokens > 0 => kept(keys)
                .ok()
                .zip(kept(values).ok())
                .map(|(keys, values)| [keys, values]),
            _ => None,
        };
    }

    /// `[rows, hidden]` to the same.
    pub(super) fn forward(&mut self, x: &Tensor, rows: &Rows) -> Result<Tensor> {
        let floats = x.dtype();
        let normed = norm(x, &self.attention_norm, self.eps)?.to_dtype(floats)?;
        let x = (x + self.attention(&normed, rows)?)?;
        let normed = norm(&x, &self.mlp_norm, self.eps)?.to_dtype(floats)?;
        let both = self.gate_up.forward(&normed)?;
        let inter = both.dim(1)? / 2;
        let act = (both.narrow(1, 0, inter)?.silu()? * both.narrow(1, inter, inter)?)?;
        x + self.down.forward(&act)?
    }

    fn attention(&mut self, x: &Tensor, rows: &Rows) -> Result<Tensor> {
        let (n, d, floats) = (rows.count, self.head_dim, x.dtype());
        let (q, kv) = (self.heads * d, self.kv_heads * d);
        let all = self.qkv.forward(x)?;
        let part = |at: usize, heads: usize| all.narrow(1, at, heads * d)?.reshape((n, heads, d));
        let turned = |x: Tensor, weight: Option<&Tensor>| {
            let x = match weight {
                Some(weight) => norm(&x, weight, self.eps)?,
                None => x.to_dtype(DType::F32)?,
            };
            rows.rotate(&x)?
                .to_dtype(floats)?
                .transpose(0, 1)?
                .contiguous()
        };
        let norms = self.head_norms.as_ref();
        let query = turned(part(0, self.heads)?, norms.map(|[query, _]| query))?;
        let key = turned(part(q, self.kv_heads)?, norms.map(|[_, key]| key))?;
        let value = part(q + kv, self.kv_heads)?.transpose(0, 1)?.contiguous()?;
        let [keys, values] = match self.held.take() {
            None => [key, value],
            Some([keys, values]) => [
                Tensor::cat(&[&keys, &key], 1)?,
                Tensor::cat(&[&values, &value], 1)?,
            ],
        };
        // All query heads of one key head are rows of one product.
        let group = self.heads / self.kv_heads;
        let query = query.reshape((self.kv_heads, group * n, d))?;
        let scores = (query
            .matmul(&keys.t()?.contiguous()?)?
            .to_dtype(DType::F32)?
            * rows.scale)?;
        let scores = match rows.mask(self.window, x.device())? {
            None => scores,
            Some(mask) => {
                let each = scores.reshape((self.kv_heads, group, n, keys.dim(1)?))?;
                each.broadcast_add(&mask)?.reshape(scores.shape())?
            }
        };
        let seen = softmax(&scores)?.to_dtype(floats)?.matmul(&values)?;
        self.held = Some([keys, values]);
        let seen = seen
            .reshape((self.heads, n, d))?
            .transpose(0, 1)?
            .contiguous()?;
        self.output.forward(&seen.reshape((n, q))?)
    }
}

/// The root mean square of each row taken off, in f32 (Zhang and Sennrich 2019).
pub(super) fn norm(x: &Tensor, weight: &Tensor, eps: f32) -> Result<Tensor> {
    let x = x.to_dtype(DType::F32)?;
    let mean = x.sqr()?.mean_keepdim(D::Minus1)?;
    let root = (mean + f64::from(eps))?.sqrt()?;
    x.broadcast_div(&root)?.broadcast_mul(weight)
}
