//! One weight matrix, behind the only door through which the decoder multiplies.
//!
//! Other number formats and other kernels go in here and nowhere else.

use std::sync::Arc;

use candle_core::{CpuStorage, Device, Storage, Tensor};

use super::kernel;
use super::team::Team;
use super::tiles::{Arena, Input, Packed, Tiles};

/// Up to this many rows the product of floats has the same bits for any number of rows; more go to candle's matmul, which is
/// faster for many. Products of tiles have the same bits always.
pub(super) const ROWS_EXACT: usize = 8;

/// `y = W x + b` with W of `[outputs, inputs]`.
#[derive(Debug, Clone)]
pub(super) struct Linear {
    weight: Weight,
    bias: Option<Vec<f32>>,
    outputs: usize,
    inputs: usize,
}

/// How the weights are held. Clones share them.
#[derive(Debug, Clone)]
enum Weight {
    Floats(Tensor),
    /// While a model is read: written, but its arena is still being filled.
    Packed(Packed),
    Tiles(Tiles),
}

/// What products of quantised weights need beside the weights, kept from call to call.
#[derive(Debug, Default)]
pub(super) struct Hands {
    /// Room for the input as integers.
    input: Arc<Input>,
    /// Who helps.
    pub(super) team: Option<Arc<Team>>,
}

impl Hands {
    fn multiply(
        &mut self,
        tiles: &Tiles,
        (x, rows, inputs): (&[f32], usize, usize),
        y: &mut [f32],
    ) {
        // Nobody of the team holds it when a product is done.
        if Arc::get_mut(&mut self.input).is_none() {
            self.input = Arc::default();
        }
        if let Some(input) = Arc::get_mut(&mut self.input) {
            input.round(x, rows, inputs);
        }
        match &self.team {
            Some(team) => team.multiply(tiles, &self.input, y),
            None => tiles.multiply(&self.input, 0..tiles.count(), y, tiles.outputs()),
        }
    }
}

impl Linear {
    /// Takes row-major weights of `outputs` rows of `inputs`.
    pub(super) fn new(
        weight: Vec<f32>,
        bias: Option<Vec<f32>>,
        outputs: usize,
        inputs: usize,
    ) -> Result<Self, candle_core::Error> {
        Ok(Self {
            weight: Weight::Floats(Tensor::from_vec(weight, (outputs, inputs), &Device::Cpu)?),
            bias,
            outputs,
            inputs,
        })
    }

    /// Takes weights that lie in an arena; [`Self::settle`] must follow.
    pub(super) fn packed(packed: Packed, bias: Option<Vec<f32>>) -> Self {
        let (outputs, inputs) = packed.shape();
        Self {
            weight: Weight::Packed(packed),
            bias,
            outputs,
            inputs,
        }
    }

    /// The arena is filled.
    pub(super) fn settle(&mut self, arena: &Arena) {
        if let Weight::Packed(packed) = &self.weight {
            self.weight = Weight::Tiles(packed.finish(arena));
        }
    }

    /// Length of one row of the result.
    pub(super) const fn outputs(&self) -> usize {
        self.outputs
    }

    /// The weights where they are held as floats: `[outputs, inputs]`, f32.
    pub(super) const fn floats(&self) -> Option<&Tensor> {
        match &self.weight {
            Weight::Floats(weight) => Some(weight),
            Weight::Packed(_) | Weight::Tiles(_) => None,
        }
    }

    /// What is added to each row of the result.
    pub(super) fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    /// Multiplies `rows` rows of `x` into `y`; both row-major.
    pub(super) fn forward(
        &self,
        x: &[f32],
        rows: usize,
        y: &mut [f32],
        hands: &mut Hands,
    ) -> Result<(), candle_core::Error> {
        let (x, y) = (&x[..rows * self.inputs], &mut y[..rows * self.outputs]);
        match &self.weight {
            Weight::Tiles(tiles) => hands.multiply(tiles, (x, rows, self.inputs), y),
            Weight::Floats(weight) if rows <= ROWS_EXACT => with_floats(weight, |w| {
                kernel::rows_times_matrix(x, rows, w, self.outputs, self.inputs, y);
            })?,
            Weight::Floats(weight) => {
                let product = Tensor::from_slice(x, (rows, self.inputs), &Device::Cpu)?
                    .matmul(&weight.t()?)?;
                with_floats(&product, |product| y.copy_from_slice(product))?;
            }
            Weight::Packed(_) => return Err(unsettled()),
        }
        if let Some(bias) = &self.bias {
            for row in y.chunks_exact_mut(self.outputs) {
                row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
            }
        }
        Ok(())
    }

    /// Copies one row of the matrix, as an embedding table is read.
    pub(super) fn row(&self, index: usize, out: &mut [f32]) -> Result<(), candle_core::Error> {
        match &self.weight {
            Weight::Tiles(tiles) => {
                tiles.row(index, out);
                Ok(())
            }
            Weight::Floats(weight) => with_floats(weight, |w| {
                out.copy_from_slice(&w[index * self.inputs..(index + 1) * self.inputs]);
            }),
            Weight::Packed(_) => Err(unsettled()),
        }
    }
}

fn unsettled() -> candle_core::Error {
    candle_core::Error::Msg("weights were used while they were being read".into())
}

fn with_floats(tensor: &Tensor, f: impl FnOnce(&[f32])) -> Result<(), candle_core::Error> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(all)), Some((begin, end))) => {
            f(&all[begin..end]);
            Ok(())
        }
        _ => candle_core::bail!("a weight matrix must be contiguous f32 on the CPU"),
    }
}
