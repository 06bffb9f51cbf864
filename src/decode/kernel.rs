//! The arithmetic between the big matrices, on plain slices: dot products, norms, rotation.
//!
//! Two promises hold for every function here. It allocates nothing. And each output is summed in one fixed order that
//! depends on the length of the row alone, never on how many rows are computed together: a token decoded beside two
//! other branches has the very same bits as decoded alone, so what a person reads does not depend on how long they
//! thought.
//!
//! On x86-64 with AVX2 and FMA the sums are fused; elsewhere they are not, so two kinds of processor may differ in the
//! last bits (and in a text only where two tokens are that close).

/// Parallel sums in a dot product.
const LANES: usize = 16;
/// Matrix rows computed together, so that the input is read once for all of them.
const BLOCK: usize = 4;

/// The loops, written once for both kinds of processor: each module has its own `dots`.
macro_rules! loops {
    ($(#[$feature:meta])*) => {
        $(#[$feature])*
        pub(super) fn rows_times_matrix(x: &[f32], rows: usize, w: &[f32], n: usize, k: usize, y: &mut [f32]) {
            let mut o = 0;
            while o + BLOCK <= n {
                let block = &w[o * k..(o + BLOCK) * k];
                let split: [&[f32]; BLOCK] = std::array::from_fn(|i| &block[i * k..(i + 1) * k]);
                for r in 0..rows {
                    y[r * n + o..][..BLOCK].copy_from_slice(&dots(split, &x[r * k..(r + 1) * k]));
                }
                o += BLOCK;
            }
            for o in o..n {
                for r in 0..rows {
                    [y[r * n + o]] = dots([&w[o * k..(o + 1) * k]], &x[r * k..(r + 1) * k]);
                }
            }
        }

        $(#[$feature])*
        pub(super) fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
            let [squares] = dots([x], x);
            let scale = 1.0 / (squares / x.len() as f32 + eps).sqrt();
            for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
                *out = x * scale * weight;
            }
        }

        $(#[$feature])*
        pub(super) fn silu_times(gate: &[f32], up: &[f32], out: &mut [f32]) {
            for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                // With e = exp(-|g|): 1 / (1 + e) for g >= 0, e / (1 + e) below.
                let e = super::super::attention::exp(-gate.abs());
                let above = if *gate < 0.0 { e } else { 1.0 };
                *out = gate * (above / (1.0 + e)) * up;
            }
        }

        $(#[$feature])*
        pub(super) fn gelu(x: &mut [f32]) {
            for x in x {
                // The error function by Abramowitz and Stegun 7.1.26, within 1.5e-7.
                let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
                let t = 1.0 / (1.0 + 0.327_591_1 * z);
                let sum = ((((1.061_405_4 * t - 1.453_152) * t + 1.421_413_7) * t - 0.284_496_74) * t + 0.254_829_6) * t;
                let tail = 0.5 * sum * super::super::attention::exp(-z * z);
                *x *= if *x < 0.0 { tail } else { 1.0 - tail };
            }
        }

        $(#[$feature])*
        pub(super) fn three_largest(x: &[f32], best: &mut [f32; 3]) {
            let mut consider = |x: f32| {
                if x > best[2] {
                    best[2] = x;
                    for i in [1, 0] {
                        if best[i + 1] > best[i] {
                            best.swap(i, i + 1);
                        }
                    }
                }
                best[2]
            };
            let mut third = consider(f32::NEG_INFINITY);
            let (blocks, rest) = x.as_chunks::<LANES>();
            for block in blocks {
                // Most blocks hold nothing of interest.
                if block.iter().fold(false, |any, x| any | (*x > third)) {
                    for x in block {
                        third = consider(*x);
                    }
                }
            }
            for x in rest {
                consider(*x);
            }
        }

        $(#[$feature])*
        pub(super) fn sum_of_exponentials(x: &[f32], most: f32, sum: &mut f32) {
            let (blocks, rest) = x.as_chunks::<LANES>();
            let mut sums = [0.0; LANES];
            for block in blocks {
                for (sum, x) in sums.iter_mut().zip(block) {
                    *sum += super::super::attention::exp(*x - most);
                }
            }
            *sum = rest.iter().fold(fold(sums), |sum, x| sum + super::super::attention::exp(*x - most));
        }
    };
}

/// Defines the door to a loop: the fused one where the processor has it.
macro_rules! door {
    ($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),* $(,)?)) => {
        $(#[$doc])*
        pub(super) fn $name($($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
                // SAFETY: the processor was just asked for both features that `fused` is compiled for.
                return unsafe { fused::$name($($arg),*) };
            }
            portable::$name($($arg),*);
        }
    };
}

door! {
    /// `y[r][o] = w[o] . x[r]` for row-major `w` of `n` rows of `k`, and `rows` rows of `x`.
    rows_times_matrix(x: &[f32], rows: usize, w: &[f32], n: usize, k: usize, y: &mut [f32])
}
door! {
    /// `out = x / rms(x) * weight` (Zhang & Sennrich 2019).
    rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32])
}
door! {
    /// `x = x * Phi(x)` for the normal distribution's Phi (Hendrycks & Gimpel 2016), within 2e-7 of 1 + |x|.
    gelu(x: &mut [f32])
}
door! {
    /// The three largest numbers, largest first, where `best` begins with three that are smaller.
    three_largest(x: &[f32], best: &mut [f32; 3])
}
door! {
    /// `sum = sum over i of exp(x[i] - most)`, for `most` the largest of them.
    sum_of_exponentials(x: &[f32], most: f32, sum: &mut f32)
}
door! {
    /// The gate of the feed-forward block: `out = silu(gate) * up`.
    silu_times(gate: &[f32], up: &[f32], out: &mut [f32])
}

/// Folds parallel sums in one fixed order.
#[inline]
fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

mod portable {
    use super::{BLOCK, LANES, fold};

    /// `N` dot products with the same `x`. The order of each sum does not depend on `N`.
    #[inline]
    fn dots<const N: usize>(w: [&[f32]; N], x: &[f32]) -> [f32; N] {
        let (x_blocks, x_rest) = x.as_chunks::<LANES>();
        w.map(|row| {
            let (blocks, rest) = row.as_chunks::<LANES>();
            let mut sums = [0.0; LANES];
            for (w, x) in blocks.iter().zip(x_blocks) {
                for ((sum, w), x) in sums.iter_mut().zip(w).zip(x) {
                    *sum += w * x;
                }
            }
            rest.iter()
                .zip(x_rest)
                .fold(fold(sums), |sum, (w, x)| sum + w * x)
        })
    }

    loops!();
}

/// AVX2 with FMA. Written with intrinsics rather than left to the optimiser, so that unoptimised builds are usable too.
#[cfg(target_arch = "x86_64")]
mod fused {
    use std::arch::x86_64::{
        __m256, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };

    use super::{BLOCK, LANES, fold};

    /// Floats in a register.
    const WIDTH: usize = 8;

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn load(x: &[f32; WIDTH]) -> __m256 {
        // SAFETY: `x` is 8 floats that can be read; the load asks for no alignment.
        unsafe { _mm256_loadu_ps(x.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn store(register: __m256, out: &mut [f32; WIDTH]) {
        // SAFETY: `out` is 8 floats that can be written; the store asks for no alignment.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), register) }
    }

    /// `N` dot products with the same `x`. The order of each sum does not depend on `N`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn dots<const N: usize>(w: [&[f32]; N], x: &[f32]) -> [f32; N] {
        let (x_pairs, x_rest) = x.as_chunks::<LANES>();
        let mut out = [0.0; N];
        let mut sums = [[_mm256_setzero_ps(); 2]; N];
        for (i, x) in x_pairs.iter().enumerate() {
            let ([low, high], []) = x.as_chunks::<WIDTH>() else {
                continue;
            };
            let (x_low, x_high) = (load(low), load(high));
            for (row, sums) in w.iter().zip(&mut sums) {
                let ([low, high], []) = row[i * LANES..(i + 1) * LANES].as_chunks::<WIDTH>() else {
                    continue;
                };
                sums[0] = _mm256_fmadd_ps(load(low), x_low, sums[0]);
                sums[1] = _mm256_fmadd_ps(load(high), x_high, sums[1]);
            }
        }
        for ((out, row), sums) in out.iter_mut().zip(&w).zip(sums) {
            let mut lanes = [0.0; LANES];
            if let ([low, high], []) = lanes.as_chunks_mut::<WIDTH>() {
                store(sums[0], low);
                store(sums[1], high);
            }
            let rest = row[x.len() - x_rest.len()..].iter().zip(x_rest);
            *out = rest.fold(fold(lanes), |sum, (w, x)| w.mul_add(*x, sum));
        }
        out
    }

    loops!(#[target_feature(enable = "avx2,fma")]);
}

/// Whether no number is infinite or none.
pub(super) fn all_finite(x: &[f32]) -> bool {
    // The exponent of a number that is not finite is all ones. Without a branch, so that sixteen are looked at at once.
    let most = x
        .iter()
        .fold(0, |most, x| (x.to_bits() & 0x7f80_0000).max(most));
    most < 0x7f80_0000
}

/// Rotates one head by the angles of its position (Su et al. 2021), halves as in safetensors files: element `i` goes
/// with `i + d/2`.
pub(super) fn rotate(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (low, high) = head.split_at_mut(head.len() / 2);
    for (((low, high), cos), sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
        (*low, *high) = (*low * cos - *high * sin, *high * cos + *low * sin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize, salt: u64) -> Vec<f32> {
        use rand::{RngExt, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(salt);
        (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    #[test]
    fn a_row_has_the_same_bits_alone_as_among_others() {
        for (n, k) in [(7, 5), (16, 64), (33, 100), (1, 1)] {
            let (w, x) = (noise(n * k, 1), noise(8 * k, 2));
            let mut together = vec![0.0; 8 * n];
            rows_times_matrix(&x, 8, &w, n, k, &mut together);
            for r in 0..8 {
                let mut alone = vec![0.0; n];
                rows_times_matrix(&x[r * k..(r + 1) * k], 1, &w, n, k, &mut alone);
                assert_eq!(alone, together[r * n..(r + 1) * n], "n {n} k {k} row {r}");
            }
        }
    }

    #[test]
    fn both_kinds_of_processor_agree_to_the_last_bits() {
        let (n, k, rows) = (21, 77, 2);
        let (w, x) = (noise(n * k, 5), noise(rows * k, 6));
        let (mut here, mut anywhere) = (vec![0.0; rows * n], vec![0.0; rows * n]);
        rows_times_matrix(&x, rows, &w, n, k, &mut here);
        portable::rows_times_matrix(&x, rows, &w, n, k, &mut anywhere);
        assert!(
            here.iter()
                .zip(&anywhere)
                .all(|(a, b)| (a - b).abs() < 1e-5)
        );
    }

    #[test]
    fn every_kind_of_processor_finds_the_same_three_and_the_same_sums() {
        for n in [3, 16, 50, 1_000] {
            let x: Vec<f32> = noise(n, 8).iter().map(|x| 9.0 * x).collect();
            let mut sorted = x.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            for find in [three_largest, portable::three_largest] {
                let mut best = [f32::NEG_INFINITY; 3];
                find(&x, &mut best);
                assert_eq!(best, sorted[..3]);
            }
            let exact: f64 = x.iter().map(|x| f64::from(x - sorted[0]).exp()).sum();
            for add in [sum_of_exponentials, portable::sum_of_exponentials] {
                let mut sum = 0.0;
                add(&x, sorted[0], &mut sum);
                assert!((f64::from(sum) - exact).abs() < 1e-5 * exact);
            }
        }
    }

    #[test]
    fn the_gate_of_the_feed_forward_block_is_its_definition() {
        let gate: Vec<f32> = noise(100, 9).iter().map(|x| 30.0 * x).collect();
        let up = noise(100, 10);
        for multiply in [silu_times, portable::silu_times] {
            let mut out = vec![0.0; 100];
            multiply(&gate, &up, &mut out);
            for ((gate, up), out) in gate.iter().zip(&up).zip(out) {
                let g = f64::from(*gate);
                let exact = g / (1.0 + (-g).exp()) * f64::from(*up);
                assert!((f64::from(out) - exact).abs() <= 1e-6 * exact.abs() + 1e-12);
            }
        }
    }

    #[test]
    fn the_gate_of_an_encoder_is_its_definition() {
        // x * Phi(x) by Python's `math.erfc`, in double precision.
        const TRUTH: [(f32, f64); 8] = [
            (-30.0, -1.4720141781446293e-196),
            (-5.0, -1.4332578593959731e-06),
            (-1.5, -0.10021080190328713),
            (-0.125, -0.056282721896235885),
            (0.0, 0.0),
            (0.5, 0.34573123063700656),
            (2.0, 1.9544997361036416),
            (30.0, 30.0),
        ];
        for apply in [gelu, portable::gelu] {
            let mut x = TRUTH.map(|(x, _)| x);
            apply(&mut x);
            for (found, (x, exact)) in x.iter().zip(TRUTH) {
                let error = (f64::from(*found) - exact).abs();
                assert!(
                    error <= 2e-7 * (1.0 + f64::from(x.abs())),
                    "{x}: {found} for {exact}"
                );
            }
        }
    }

    #[test]
    fn a_number_that_is_not_finite_is_seen_anywhere() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in 0..40 {
                let mut x = noise(40, 11);
                assert!(all_finite(&x));
                x[at] = bad;
                assert!(!all_finite(&x));
            }
        }
    }

    #[test]
    fn the_product_is_the_product() {
        let (n, k, rows) = (19, 83, 3);
        let (w, x) = (noise(n * k, 3), noise(rows * k, 4));
        let mut y = vec![0.0; rows * n];
        rows_times_matrix(&x, rows, &w, n, k, &mut y);
        for r in 0..rows {
            for o in 0..n {
                let exact: f64 = (0..k)
                    .map(|i| f64::from(w[o * k + i]) * f64::from(x[r * k + i]))
                    .sum();
                assert!((f64::from(y[r * n + o]) - exact).abs() < 1e-5);
            }
        }
    }
}
