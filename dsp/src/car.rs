//! Common average reference.

use pulp::{Arch, Simd, WithSimd};

use crate::error::{DspError, count};
use crate::mask::{ChannelMask, MAX_CHANNELS};

/// Subtracts the mean of the good channels from every channel, sample by sample.
///
/// Bad channels are referenced too (so that all share one reference) but never enter the mean. With no good channel
/// the samples pass unchanged.
#[derive(Debug, Clone)]
pub struct CommonAverage {
    weights: Vec<f64>,
    arch: Arch,
}

impl CommonAverage {
    /// All channels good.
    ///
    /// # Errors
    /// [`DspError::Count`] for channels outside 1..=512.
    pub fn new(channels: usize) -> Result<Self, DspError> {
        count("channels", channels, 1, MAX_CHANNELS)?;
        let mut car = Self {
            weights: vec![0.0; channels],
            arch: Arch::new(),
        };
        car.set_good(&ChannelMask::all(channels));
        Ok(car)
    }

    /// Chooses the channels that enter the mean, from the next sample on.
    pub fn set_good(&mut self, good: &ChannelMask) {
        let channels = self.weights.len();
        let n = (0..channels).filter(|c| good.contains(*c)).count();
        let weight = if n == 0 { 0.0 } else { 1.0 / n as f64 };
        for (channel, w) in self.weights.iter_mut().enumerate() {
            *w = if good.contains(channel) { weight } else { 0.0 };
        }
    }

    /// References a block of whole samples, `[samples][channels]`, in place.
    ///
    /// # Errors
    /// [`DspError::Shape`] unless the length is a multiple of the channels; the block is then unchanged.
    pub fn process(&self, block: &mut [f64]) -> Result<(), DspError> {
        let channels = self.weights.len();
        if block.len() != channels && !block.len().is_multiple_of(channels) {
            return Err(DspError::Shape {
                what: "block",
                expected: channels,
                got: block.len(),
            });
        }
        self.arch.dispatch(Referencing {
            weights: &self.weights,
            block,
        });
        Ok(())
    }
}

/// A whole block; compiled once for each width of vectors.
struct Referencing<'a> {
    weights: &'a [f64],
    block: &'a mut [f64],
}

impl WithSimd for Referencing<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Live, samples come one at a time, and dividing lengths would be felt.
        if self.block.len() == self.weights.len() {
            return one(simd, self.weights, self.block);
        }
        for sample in self.block.chunks_exact_mut(self.weights.len()) {
            one(simd, self.weights, sample);
        }
    }
}

/// One sample.
#[inline(always)]
fn one<S: Simd>(simd: S, weights: &[f64], sample: &mut [f64]) {
    let mean = wide_dot(simd, weights, sample);
    let (parts, rest) = S::as_mut_simd_f64s(sample);
    let means = simd.splat_f64s(mean);
    for x in parts {
        *x = simd.sub_f64s(*x, means);
    }
    for x in rest {
        *x -= mean;
    }
}

/// [`dot`] with the vectors of this machine: the same additions in the same order.
#[inline(always)]
fn wide_dot<S: Simd>(simd: S, a: &[f64], b: &[f64]) -> f64 {
    let (a8, a_rest) = a.as_chunks::<8>();
    let (b8, b_rest) = b.as_chunks::<8>();
    // No vector is wider than eight numbers.
    let mut sums = [simd.splat_f64s(0.0); 8];
    for (x, y) in a8.iter().zip(b8) {
        let pairs = S::as_simd_f64s(x).0.iter().zip(S::as_simd_f64s(y).0);
        for (sum, (x, y)) in sums.iter_mut().zip(pairs) {
            *sum = simd.add_f64s(*sum, simd.mul_f64s(*x, *y));
        }
    }
    let mut eight = [0.0; 8];
    for (out, sum) in S::as_mut_simd_f64s(&mut eight).0.iter_mut().zip(sums) {
        *out = sum;
    }
    fold(eight, a_rest, b_rest)
}

/// Inner product in eight partial sums: a fixed order of additions that vectorises, the same for any width. Both slices have
/// the same length.
#[inline(always)]
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a8, a_rest) = a.as_chunks::<8>();
    let (b8, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0_f64; 8];
    for (x, y) in a8.iter().zip(b8) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * y;
        }
    }
    fold(sums, a_rest, b_rest)
}

#[inline(always)]
fn fold(sums: [f64; 8], a_rest: &[f64], b_rest: &[f64]) -> f64 {
    let [s0, s1, s2, s3, s4, s5, s6, s7] = sums;
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    ((s0 + s4) + (s1 + s5)) + ((s2 + s6) + (s3 + s7)) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_any_width_give_the_bits_of_none() {
        for channels in [1, 7, 8, 16, 37] {
            let block: Vec<f64> = (0..channels * 3)
                .map(|i| 1e3 * (i as f64 * 0.71).sin())
                .collect();
            let wide = CommonAverage::new(channels).unwrap();
            let mut narrow = wide.clone();
            narrow.arch = Arch::Scalar;
            let (mut a, mut b, one) = (block.clone(), block.clone(), &block[..channels]);
            wide.process(&mut a).unwrap();
            narrow.process(&mut b).unwrap();
            assert!(a.iter().zip(&b).all(|(a, b)| a.to_bits() == b.to_bits()));
            let mean = dot(&wide.weights, one);
            assert_eq!(a[0].to_bits(), (one[0] - mean).to_bits());
        }
    }
}
