//! The arithmetic between the big matrices, on plain slices: dot products, norms, rotation, attention.
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

/// Defines a function compiled twice: for any processor, and for AVX2 with FMA, chosen when it is called.
macro_rules! compiled_twice {
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:ident) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        pub(super) fn $name($($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn fused($($arg: $ty),*) {
                    $body::<true>($($arg),*);
                }
                if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
                    // SAFETY: the processor was just asked for both features that `fused` is compiled for.
                    return unsafe { fused($($arg),*) };
                }
            }
            $body::<{ cfg!(target_arch = "aarch64") }>($($arg),*);
        }
    };
}

compiled_twice! {
    /// `y[r][o] = w[o] . x[r]` for row-major `w` of `n` rows of `k`, and `rows` rows of `x`.
    fn rows_times_matrix(x: &[f32], rows: usize, w: &[f32], n: usize, k: usize, y: &mut [f32]) = rows_times_matrix_with
}
compiled_twice! {
    /// `out = x / rms(x) * weight` (Zhang & Sennrich 2019).
    fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) = rms_norm_with
}
compiled_twice! {
    /// Scores of one run of keys: `scores[h * stride + p] = q[h] . keys[p][h / group] * scale`.
    fn attention_scores(
        q: &[f32], keys: &[f32], kv_width: usize, head_dim: usize, group: usize, scale: f32, scores: &mut [f32], stride: usize,
    ) = attention_scores_with
}
compiled_twice! {
    /// Adds one run of values: `out[h] += scores[h * stride + p] * values[p][h / group]`.
    fn attention_values(
        scores: &[f32], stride: usize, values: &[f32], kv_width: usize, head_dim: usize, group: usize, out: &mut [f32],
    ) = attention_values_with
}

#[inline(always)]
fn add_product<const FUSED: bool>(a: f32, b: f32, sum: f32) -> f32 {
    if FUSED {
        a.mul_add(b, sum)
    } else {
        a * b + sum
    }
}

/// Folds the parallel sums in one fixed order.
#[inline(always)]
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

#[inline(always)]
fn dot<const FUSED: bool>(a: &[f32], b: &[f32]) -> f32 {
    dots::<FUSED, 1>([a], b)[0]
}

/// `N` dot products with the same `x`. The order of each sum does not depend on `N`.
#[inline(always)]
fn dots<const FUSED: bool, const N: usize>(w: [&[f32]; N], x: &[f32]) -> [f32; N] {
    let (x_blocks, x_rest) = x.as_chunks::<LANES>();
    let w = w.map(|row| row[..x.len()].as_chunks::<LANES>());
    let mut sums = [[0.0; LANES]; N];
    for (i, x) in x_blocks.iter().enumerate() {
        for (sums, (blocks, _)) in sums.iter_mut().zip(&w) {
            let block = &blocks[i]; // as many blocks as `x` has: cut to its length above
            for lane in 0..LANES {
                sums[lane] = add_product::<FUSED>(block[lane], x[lane], sums[lane]);
            }
        }
    }
    let mut out = [0.0; N];
    for ((out, sums), (_, rest)) in out.iter_mut().zip(sums).zip(&w) {
        *out = rest
            .iter()
            .zip(x_rest)
            .fold(fold(sums), |sum, (a, b)| add_product::<FUSED>(*a, *b, sum));
    }
    out
}

#[inline(always)]
fn rows_times_matrix_with<const FUSED: bool>(
    x: &[f32],
    rows: usize,
    w: &[f32],
    n: usize,
    k: usize,
    y: &mut [f32],
) {
    let mut o = 0;
    while o + BLOCK <= n {
        let block = &w[o * k..(o + BLOCK) * k];
        let split: [&[f32]; BLOCK] = std::array::from_fn(|i| &block[i * k..(i + 1) * k]);
        for r in 0..rows {
            y[r * n + o..][..BLOCK]
                .copy_from_slice(&dots::<FUSED, BLOCK>(split, &x[r * k..(r + 1) * k]));
        }
        o += BLOCK;
    }
    for o in o..n {
        for r in 0..rows {
            y[r * n + o] = dot::<FUSED>(&w[o * k..(o + 1) * k], &x[r * k..(r + 1) * k]);
        }
    }
}

#[inline(always)]
fn rms_norm_with<const FUSED: bool>(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let scale = 1.0 / (dot::<FUSED>(x, x) / x.len() as f32 + eps).sqrt();
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = x * scale * weight;
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn attention_scores_with<const FUSED: bool>(
    q: &[f32],
    keys: &[f32],
    kv_width: usize,
    head_dim: usize,
    group: usize,
    scale: f32,
    scores: &mut [f32],
    stride: usize,
) {
    for (p, key) in keys.chunks_exact(kv_width).enumerate() {
        for (h, q) in q.chunks_exact(head_dim).enumerate() {
            scores[h * stride + p] =
                dot::<FUSED>(&key[h / group * head_dim..][..head_dim], q) * scale;
        }
    }
}

#[inline(always)]
fn attention_values_with<const FUSED: bool>(
    scores: &[f32],
    stride: usize,
    values: &[f32],
    kv_width: usize,
    head_dim: usize,
    group: usize,
    out: &mut [f32],
) {
    for (p, value) in values.chunks_exact(kv_width).enumerate() {
        for (h, out) in out.chunks_exact_mut(head_dim).enumerate() {
            let weight = scores[h * stride + p];
            for (out, value) in out
                .iter_mut()
                .zip(&value[h / group * head_dim..][..head_dim])
            {
                *out = add_product::<FUSED>(weight, *value, *out);
            }
        }
    }
}

/// Turns scores into weights that sum to 1, in place.
pub(super) fn softmax(scores: &mut [f32]) {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - max).exp();
        sum += *score;
    }
    let scale = 1.0 / sum;
    for score in scores {
        *score *= scale;
    }
}

/// The gate of the feed-forward block: `out = silu(gate) * up`.
pub(super) fn silu_times(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
        *out = gate / (1.0 + (-gate).exp()) * up;
    }
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
