//! The same model with gradients: its own weights stay, low-rank parts beside them learn.
//!
//! Plain operations only: candle's fused ones have no gradient.

use candle_core::{CpuStorage, CustomOp1, D, DType, Layout, Result, Shape, Tensor};

use super::layer::Rows;
use super::{Dense, norm};
use crate::decode::error::DecodeError;

/// A change of some outputs of a product, which may learn.
#[derive(Debug, Clone)]
pub(in crate::decode) struct LowRank {
    /// First of the outputs that it changes.
    pub(in crate::decode) at: usize,
    /// `[rank, inputs]`.
    pub(in crate::decode) a: Tensor,
    /// `[outputs, rank]`.
    pub(in crate::decode) b: Tensor,
    pub(in crate::decode) scale: f64,
}

impl LowRank {
    /// What it adds to all `outputs` of a product of `x` `[rows, inputs]`.
    pub(super) fn of(&self, x: &Tensor, outputs: usize) -> Result<Tensor> {
        let change = (x.matmul(&self.a.t()?)?.matmul(&self.b.t()?)? * self.scale)?;
        let behind = outputs - self.at - self.b.dim(0)?;
        change.pad_with_zeros(1, self.at, behind)
    }
}

/// `x W^T` in which `W` does not learn: no gradient of its size is ever made, as it would be by candle's product.
pub(super) struct Frozen(pub(super) Tensor);

impl CustomOp1 for Frozen {
    fn name(&self) -> &'static str {
        "product with weights that stay"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (from, to) = layout
            .contiguous_offsets()
            .ok_or_else(|| candle_core::Error::Msg("rows that do not lie together".into()))?;
        let x = &storage.as_slice::<f32>()?[from..to];
        let x = Tensor::from_slice(x, layout.shape(), self.0.device())?;
        let y = x.matmul(&self.0.t()?)?.flatten_all()?;
        let shape = (layout.shape().dims2()?.0, self.0.dim(0)?).into();
        Ok((CpuStorage::F32(y.to_vec1()?), shape))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        gradient.matmul(&self.0).map(Some)
    }
}

/// Keys and values of every layer behind some tokens.
#[derive(Debug, Clone)]
pub(in crate::decode) struct Held {
    tokens: usize,
    layers: Vec<Option<[Tensor; 2]>>,
}

impl Dense {
    /// Gives the matrices of a layer their changes: of query, key and value; of the attention's output; of gate and up; of down.
    pub(in crate::decode) fn adapt(&mut self, layer: usize, changes: [Vec<LowRank>; 4]) {
        if let Some(layer) = self.layers.get_mut(layer) {
            layer.adapt(changes);
        }
    }

    /// What it holds of its line now. Clones share it.
    pub(in crate::decode) fn held(&self) -> Held {
        Held {
            tokens: self.tokens,
            layers: self.layers.iter().map(|layer| layer.held()).collect(),
        }
    }

    /// Goes on behind other tokens.
    pub(in crate::decode) fn hold(&mut self, held: &Held) {
        self.tokens = held.tokens;
        for (layer, held) in self.layers.iter_mut().zip(&held.layers) {
            layer.hold(held.clone());
        }
    }

    /// As at the beginning of a text.
    pub(in crate::decode) fn forget(&mut self) {
        self.tokens = 0;
        self.layers.iter_mut().for_each(|layer| layer.hold(None));
    }

    /// Adds tokens, all in one pass; the states behind each, `[tokens, hidden]`, before the last norm.
    pub(in crate::decode) fn rows(
        &mut self,
        tokens: &[u32],
    ) -> std::result::Result<Tensor, DecodeError> {
        let rows = Rows::new(&self.model, self.tokens, tokens.len(), &self.on)?;
        let ids = Tensor::new(tokens, &self.on)?;
        let mut x = self.embedding.index_select(&ids, 0)?;
        for layer in &mut self.layers {
            x = layer.forward(&x, &rows)?;
        }
        self.tokens += tokens.len();
        Ok(x)
    }

    /// Log-probabilities of the next token behind each state, `[rows, vocabulary]`, f32, with gradients.
    pub(in crate::decode) fn log_probabilities(&self, states: &Tensor) -> Result<Tensor> {
        let states = norm(states, &self.norm, self.model.config.norm_eps)?.contiguous()?;
        let logits = states.apply_op1(Frozen(self.head.to_dtype(DType::F32)?))?;
        log_softmax(&logits)
    }
}

/// Logarithms of the shares of each row's exponentials: `[.., n]`, f32, with gradients.
pub(in crate::decode) fn log_softmax(x: &Tensor) -> Result<Tensor> {
    let below = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?;
    below.broadcast_sub(&below.exp()?.sum_keepdim(D::Minus1)?.log()?)
}
