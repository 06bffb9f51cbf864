//! Activations as integers: what quantised weights are multiplied by.

use super::{BLOCK, PAIR};

/// Rows of activations in blocks of 32: `x = scale q`, -127 <= q <= 127, ties to even.
#[derive(Debug, Default)]
pub(in crate::decode) struct Input {
    rows: usize,
    width: usize,
    q: Vec<i8>,
    scales: Vec<f32>,
    /// Sums of the integers of each block.
    sums: Vec<i32>,
}

impl Input {
    /// Rounds `rows` rows of `inputs` each. Keeps its memory from call to call.
    pub(in crate::decode) fn round(&mut self, x: &[f32], rows: usize, inputs: usize) {
        self.rows = rows;
        self.width = inputs.next_multiple_of(PAIR * BLOCK);
        let blocks = self.width / BLOCK;
        self.q.resize(rows * self.width, 0);
        self.scales.resize(rows * blocks, 0.0);
        self.sums.resize(rows * blocks, 0);
        for (r, x) in x.chunks_exact(inputs).take(rows).enumerate() {
            let q = &mut self.q[r * self.width..(r + 1) * self.width];
            let scales = &mut self.scales[r * blocks..(r + 1) * blocks];
            let sums = &mut self.sums[r * blocks..(r + 1) * blocks];
            round_row(x, q, scales, sums);
        }
    }

    /// Rows of it.
    pub(in crate::decode) const fn rows(&self) -> usize {
        self.rows
    }

    /// Integers of a row: `inputs` rounded up to whole pairs of blocks, the rest 0.
    pub(super) const fn width(&self) -> usize {
        self.width
    }

    /// Integers, scales and sums of one row.
    pub(super) fn row(&self, row: usize) -> (&[i8], &[f32], &[i32]) {
        let blocks = self.width / BLOCK;
        (
            &self.q[row * self.width..(row + 1) * self.width],
            &self.scales[row * blocks..(row + 1) * blocks],
            &self.sums[row * blocks..(row + 1) * blocks],
        )
    }
}

fn round_row(x: &[f32], q: &mut [i8], scales: &mut [f32], sums: &mut [i32]) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has the feature that the function is compiled for.
        return unsafe { round_wide(x, q, scales, sums) };
    }
    round_row_in(x, q, scales, sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn round_wide(x: &[f32], q: &mut [i8], scales: &mut [f32], sums: &mut [i32]) {
    round_row_in(x, q, scales, sums);
}

#[inline(always)]
fn round_row_in(x: &[f32], q: &mut [i8], scales: &mut [f32], sums: &mut [i32]) {
    q[x.len()..].fill(0);
    let blocks = q.chunks_exact_mut(BLOCK).zip(scales).zip(sums);
    let mut left = x;
    for ((q, scale), sum) in blocks {
        let (block, rest) = left.split_at(left.len().min(BLOCK));
        left = rest;
        let mut most = [0.0_f32; 16];
        let mut padded = [0.0_f32; BLOCK];
        padded[..block.len()].copy_from_slice(block);
        for part in padded.as_chunks::<16>().0 {
            for (most, x) in most.iter_mut().zip(part) {
                *most = most.max(x.abs());
            }
        }
        let most = largest(most);
        *scale = most / 127.0;
        let per = if most > 0.0 { 127.0 / most } else { 0.0 };
        let (mut rounded, mut total) = ([0_i32; BLOCK], 0);
        for (rounded, x) in rounded.iter_mut().zip(padded) {
            // |x per| <= 127 and a half of its last place: the conversion cannot overflow, and what is no number becomes 0.
            *rounded = (x * per).round_ties_even() as i32;
        }
        for rounded in rounded {
            total += rounded;
        }
        *sum = total;
        for (q, rounded) in q.iter_mut().zip(rounded) {
            *q = rounded as i8;
        }
    }
}

/// The largest of sixteen, by halves: four steps instead of fifteen that wait for each other.
#[inline(always)]
fn largest(mut of: [f32; 16]) -> f32 {
    for half in [8, 4, 2, 1] {
        let (low, high) = of.split_at_mut(half);
        for (low, high) in low.iter_mut().zip(high) {
            *low = low.max(*high);
        }
    }
    of[0]
}
