//! The same models in candle's own operations, for devices that our kernels do not run on. Dense floats only, one line of text.
//!
//! Nothing here names CUDA but the door that opens a card: the tests compute on the processor, held to the same golden values as our kernels.

mod graph;
mod layer;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use candle_core::{D, DType, Device as On, Tensor};
use serde::{Deserialize, Serialize};

pub(super) use self::graph::{LowRank, log_softmax};
use self::layer::{Layer, norm};
use super::error::DecodeError;
use super::linear::Linear;
use super::model::Model;
use super::runner::{Processor, Runner};

/// Rows computed together when a long text is read: bounds the memory for scores.
const CHUNK_ROWS: usize = 512;

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// The processor, by our own kernels.
    #[default]
    Cpu,
    /// An NVIDIA card, counted from 0, by candle. Takes the cargo feature `cuda`, and weights held as floats.
    Cuda(usize),
}

impl std::str::FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let card = match text {
            "cpu" => return Ok(Self::Cpu),
            "cuda" => Some(0),
            other => other.strip_prefix("cuda:").and_then(|n| n.parse().ok()),
        };
        card.filter(|card| *card < 64)
            .map(Self::Cuda)
            .ok_or_else(|| format!("`{text}` is none of cpu, cuda and cuda:N with N from 0 to 63"))
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(card) => write!(f, "cuda:{card}"),
        }
    }
}

/// Which floats a card computes with. Norms, rotary angles, softmax and logits are f32 always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Floats {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits, five of them exponent.
    F16,
    /// 16 bits, eight of them exponent.
    Bf16,
}

impl std::str::FromStr for Floats {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            "bf16" => Ok(Self::Bf16),
            other => Err(format!("`{other}` is none of f32, f16 and bf16")),
        }
    }
}

impl From<Floats> for DType {
    fn from(floats: Floats) -> Self {
        match floats {
            Floats::F32 => Self::F32,
            Floats::F16 => Self::F16,
            Floats::Bf16 => Self::BF16,
        }
    }
}

/// Whatever computes one line of text on a device.
pub(super) fn runner(
    model: Arc<Model>,
    device: Device,
    floats: Floats,
) -> Result<Box<dyn Runner>, DecodeError> {
    let Some(on) = device.open()? else {
        return Ok(Box::new(Processor::new(model)));
    };
    let dense = Dense::new(model, &on, floats.into())?;
    dense
        .map(|dense| Box::new(dense) as Box<dyn Runner>)
        .ok_or_else(|| {
            device.refused("it computes with floats, and this model's weights are held in eight or four bits: add --precision f32".into())
        })
}

impl Device {
    /// Finds out whether it is there, before a model is loaded for it.
    ///
    /// # Errors
    /// [`DecodeError::Device`] with what to do.
    pub fn check(self) -> Result<(), DecodeError> {
        self.open().map(drop)
    }

    /// The card; `None` where our own kernels compute.
    fn open(self) -> Result<Option<On>, DecodeError> {
        let Self::Cuda(card) = self else {
            return Ok(None);
        };
        if !cfg!(feature = "cuda") {
            let how = "this program was built without the feature `cuda`: build it with `cargo build --release --features cuda` (docs/decoder.md says \
                       what that takes), or leave --device out";
            return Err(self.refused(how.into()));
        }
        On::new_cuda(card).map(Some).map_err(|error| {
            let error = error.to_string();
            let error = error.lines().next().unwrap_or_default(); // a backtrace may stand below
            self.refused(format!(
                "no CUDA device: {error}. `nvidia-smi` lists those there are; --device cpu needs none"
            ))
        })
    }

    fn refused(self, reason: String) -> DecodeError {
        DecodeError::Device {
            device: self,
            reason,
        }
    }
}

/// A model's weights on a device, and one line of text there.
pub(super) struct Dense {
    model: Arc<Model>,
    on: On,
    floats: DType,
    /// `[vocabulary, hidden]`.
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: Tensor,
    /// `[vocabulary, hidden]`.
    head: Tensor,
    tokens: usize,
    logits: Vec<f32>,
}

impl std::fmt::Debug for Dense {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dense")
            .field("on", &self.on)
            .field("floats", &self.floats)
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

impl Dense {
    /// Copies a model to a device; `None` where its weights are not floats.
    pub(super) fn new(
        model: Arc<Model>,
        on: &On,
        floats: DType,
    ) -> Result<Option<Self>, DecodeError> {
        let (Some(embedding), Some(head)) = (
            matrix(&model.embedding, on, floats)?,
            match model.config.tied {
                true => None,
                false => matrix(&model.head, on, floats)?,
            }
            .map_or_else(
                || matrix(&model.embedding, on, floats),
                |head| Ok(Some(head)),
            )?,
        ) else {
            return Ok(None);
        };
        let mut layers = Vec::with_capacity(model.layers.len());
        for layer in &model.layers {
            match Layer::new(layer, &model.config, on, floats)? {
                Some(layer) => layers.push(layer),
                None => return Ok(None),
            }
        }
        Ok(Some(Self {
            norm: Tensor::new(model.norm.as_slice(), on)?,
            embedding,
            layers,
            head,
            tokens: 0,
            logits: Vec::new(),
            on: on.clone(),
            floats,
            model,
        }))
    }

    /// Adds up to [`CHUNK_ROWS`] tokens; the state behind the last of them, `[1, hidden]`.
    fn step(&mut self, tokens: &[u32]) -> Result<Tensor, DecodeError> {
        Ok(self.rows(tokens)?.narrow(0, tokens.len() - 1, 1)?)
    }
}

impl Runner for Dense {
    fn cut(&mut self, tokens: usize) {
        self.tokens = self.tokens.min(tokens);
        for layer in &mut self.layers {
            layer.cut(tokens);
        }
    }

    fn read(&mut self, tokens: &[u32]) -> Result<(), DecodeError> {
        let config = &self.model.config;
        if let Some(&token) = tokens
            .iter()
            .find(|token| **token as usize >= config.vocabulary)
        {
            return Err(DecodeError::UnknownToken {
                token,
                vocabulary: config.vocabulary,
            });
        }
        let eps = config.norm_eps;
        let mut last = None;
        for chunk in tokens.chunks(CHUNK_ROWS) {
            last = Some(self.step(chunk)?);
        }
        let position = self.tokens;
        let last = last.ok_or(DecodeError::NoCandidates { position })?;
        let state = norm(&last, &self.norm, eps)?.to_dtype(self.floats)?;
        let logits = state.matmul(&self.head.t()?)?.to_dtype(DType::F32)?;
        self.logits = logits.squeeze(0)?.to_vec1()?;
        if !super::kernel::all_finite(&self.logits) {
            return Err(DecodeError::NonFinite { position });
        }
        Ok(())
    }

    fn logits(&self) -> &[f32] {
        &self.logits
    }
}

/// The weights of a matrix, row-major `[outputs, inputs]`; `None` where they are not floats.
fn matrix(linear: &Linear, on: &On, floats: DType) -> Result<Option<Tensor>, DecodeError> {
    let Some(weight) = linear.floats() else {
        return Ok(None);
    };
    Ok(Some(weight.to_dtype(floats)?.to_device(on)?))
}

/// The largest of each row taken off, exponentials, their shares: `[.., n]`, f32.
fn softmax(x: &Tensor) -> candle_core::Result<Tensor> {
    let weights = x.broadcast_sub(&x.max_keepdim(D::Minus1)?)?.exp()?;
    weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)
}
