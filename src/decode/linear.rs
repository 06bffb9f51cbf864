//! One weight matrix, behind the only door through which the decoder multiplies.
//!
//! Other number formats and other kernels go in here and nowhere else.

use candle_core::{CpuStorage, Device, Storage, Tensor};

use super::kernel;

/// Up to this many rows the product has the same bits for any number of rows; more go to candle's matmul, which is
/// faster for many.
pub(super) const ROWS_EXACT: usize = 8;

/// `y = W x + b` with W of `[outputs, inputs]`.
#[derive(Debug)]
pub(super) struct Linear {
    weight: Tensor,
    bias: Option<Vec<f32>>,
    outputs: usize,
    inputs: usize,
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
            weight: Tensor::from_vec(weight, (outputs, inputs), &Device::Cpu)?,
            bias,
            outputs,
            inputs,
        })
    }

    /// The same matrix once more, without copying it.
    pub(super) fn shared(&self) -> Self {
        Self {
            weight: self.weight.clone(),
            bias: self.bias.clone(),
            outputs: self.outputs,
            inputs: self.inputs,
        }
    }

    /// Length of one row of the result.
    pub(super) const fn outputs(&self) -> usize {
        self.outputs
    }

    /// Multiplies `rows` rows of `x` into `y`; both row-major.
    pub(super) fn forward(
        &self,
        x: &[f32],
        rows: usize,
        y: &mut [f32],
    ) -> Result<(), candle_core::Error> {
        let (x, y) = (&x[..rows * self.inputs], &mut y[..rows * self.outputs]);
        if rows <= ROWS_EXACT {
            self.with_rows(|w| {
                kernel::rows_times_matrix(x, rows, w, self.outputs, self.inputs, y);
            })?;
        } else {
            let product = Tensor::from_slice(x, (rows, self.inputs), &Device::Cpu)?
                .matmul(&self.weight.t()?)?;
            with_floats(&product, |product| y.copy_from_slice(product))?;
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
        self.with_rows(|w| out.copy_from_slice(&w[index * self.inputs..(index + 1) * self.inputs]))
    }

    fn with_rows(&self, f: impl FnOnce(&[f32])) -> Result<(), candle_core::Error> {
        with_floats(&self.weight, f)
    }
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
