//! Eigenvalues and eigenvectors of a small symmetric matrix, in place, without allocation.
//!
//! Householder tridiagonalisation, then the implicit QR step with Wilkinson's shift (Golub & Van Loan, *Matrix
//! Computations*, 4th ed., algorithms 8.3.1-8.3.3). For the matrices of [`crate::tangent`], of order 8 to 48, this beats
//! anything that must first be set up.
//!
//! Invariant behind every index here: [`Eigen::new`] makes all buffers for one order `n`, [`Eigen::decompose`] checks that its
//! matrix has `n * n` entries, and every index is a sum of row * n and column with both below `n`.

/// Steps of the QR iteration per eigenvalue before it is given up; 2 or 3 are usual.
const STEPS_PER_VALUE: usize = 40;

/// Room for one decomposition `A = V diag(values) V'`.
#[derive(Debug, Clone)]
pub struct Eigen {
    order: usize,
    values: Vec<f64>,
    off: Vec<f64>,
    /// Row `k` is the eigenvector of value `k`.
    vectors: Vec<f64>,
    v: Vec<f64>,
    w: Vec<f64>,
}

impl Eigen {
    /// Allocates for matrices of this order.
    #[must_use]
    pub fn new(order: usize) -> Self {
        Self {
            order,
            values: vec![0.0; order],
            off: vec![0.0; order],
            vectors: vec![0.0; order * order],
            v: vec![0.0; order],
            w: vec![0.0; order],
        }
    }

    /// Eigenvalues of the last matrix, in no order.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Eigenvectors of the last matrix: row `k` belongs to value `k`.
    #[must_use]
    pub fn vectors(&self) -> &[f64] {
        &self.vectors
    }

    /// Decomposes `matrix`, `[n][n]` row-major and symmetric; it is destroyed. Real-time: neither allocates nor panics.
    ///
    /// `false` when the matrix has another size or the iteration did not settle, which only values that are not finite bring about.
    #[inline(always)]
    pub fn decompose(&mut self, matrix: &mut [f64]) -> bool {
        if matrix.len() != self.order * self.order || self.order == 0 {
            return false;
        }
        self.tridiagonalise(matrix);
        self.diagonalise()
    }

    /// `matrix` becomes tridiagonal, kept in `values` and `off`; the reflections are gathered in `vectors`.
    #[inline(always)]
    fn tridiagonalise(&mut self, a: &mut [f64]) {
        let n = self.order;
        let Self {
            values,
            off,
            vectors,
            v,
            w,
            ..
        } = self;
        vectors.fill(0.0);
        for k in 0..n {
            vectors[k * n + k] = 1.0;
        }
        for k in 0..n.saturating_sub(2) {
            values[k] = a[k * n + k];
            // The column below the diagonal, read from the row beside it: the matrix is symmetric. Entries up to k stay zero, so
            // that whole rows, whose length suits vectors, can be worked on.
            v[..=k].fill(0.0);
            w.fill(0.0);
            let mut norm2 = 0.0;
            for j in k + 1..n {
                v[j] = a[k * n + j];
                norm2 += v[j] * v[j];
            }
            let head = v[k + 1];
            let alpha = if head > 0.0 {
                -norm2.sqrt()
            } else {
                norm2.sqrt()
            };
            off[k] = alpha;
            v[k + 1] = head - alpha;
            let length2 = norm2 - head * head + v[k + 1] * v[k + 1];
            if length2 <= 0.0 {
                continue;
            }
            let beta = 2.0 / length2;
            // A <- H A H with H = I - beta v v': a rank-two update of what is left.
            let mut vw = 0.0;
            for i in k + 1..n {
                w[i] = beta * sum_of_products(&a[i * n..(i + 1) * n], v);
                vw += v[i] * w[i];
            }
            let half = 0.5 * beta * vw;
            for i in k + 1..n {
                w[i] -= half * v[i];
            }
            for i in k + 1..n {
                let (vi, wi) = (v[i], w[i]);
                let row = &mut a[i * n..(i + 1) * n];
                for ((x, vj), wj) in row.iter_mut().zip(v.iter()).zip(w.iter()) {
                    *x -= vi * wj + wi * vj;
                }
            }
            // V' <- H V': rows k+1.. lose their part along v.
            w.fill(0.0);
            for i in k + 1..n {
                let vi = v[i];
                for (sum, x) in w.iter_mut().zip(&vectors[i * n..(i + 1) * n]) {
                    *sum += vi * x;
                }
            }
            for i in k + 1..n {
                let scale = beta * v[i];
                for (x, sum) in vectors[i * n..(i + 1) * n].iter_mut().zip(w.iter()) {
                    *x -= scale * sum;
                }
            }
        }
        if n >= 2 {
            values[n - 2] = a[(n - 2) * n + n - 2];
            off[n - 2] = a[(n - 2) * n + n - 1];
        }
        values[n - 1] = a[n * n - 1];
        off[n - 1] = 0.0;
    }

    /// The tridiagonal matrix becomes diagonal; the rotations act on pairs of rows of `vectors`.
    #[inline(always)]
    fn diagonalise(&mut self) -> bool {
        let n = self.order;
        let mut high = n - 1;
        for _ in 0..STEPS_PER_VALUE * n {
            while high > 0 && self.is_negligible(high - 1) {
                self.off[high - 1] = 0.0;
                high -= 1;
            }
            if high == 0 {
                return true;
            }
            let mut low = high - 1;
            while low > 0 && !self.is_negligible(low - 1) {
                low -= 1;
            }
            self.step(low, high);
        }
        false
    }

    #[inline(always)]
    fn is_negligible(&self, k: usize) -> bool {
        self.off[k].abs() <= f64::EPSILON * (self.values[k].abs() + self.values[k + 1].abs())
    }

    /// One implicit QR step on the unreduced block `low..=high`.
    #[inline(always)]
    fn step(&mut self, low: usize, high: usize) {
        let n = self.order;
        let (d, e) = (&mut self.values, &mut self.off);
        let t = 0.5 * (d[high - 1] - d[high]);
        let last = e[high - 1];
        let root = (t * t + last * last).sqrt();
        let shift = d[high] - last * last / (if t >= 0.0 { t + root } else { t - root });
        let (mut x, mut z) = (d[low] - shift, e[low]);
        for k in low..high {
            let r = (x * x + z * z).sqrt();
            let (c, s) = if r > 0.0 { (x / r, z / r) } else { (1.0, 0.0) };
            if k > low {
                e[k - 1] = r;
            }
            let (upper, lower, beside) = (d[k], d[k + 1], e[k]);
            d[k] = c * c * upper + 2.0 * c * s * beside + s * s * lower;
            d[k + 1] = s * s * upper - 2.0 * c * s * beside + c * c * lower;
            e[k] = c * s * (lower - upper) + (c * c - s * s) * beside;
            if k + 1 < high {
                x = e[k];
                z = s * e[k + 1];
                e[k + 1] *= c;
            }
            let (first, second) = self.vectors[k * n..(k + 2) * n].split_at_mut(n);
            for (a, b) in first.iter_mut().zip(second) {
                let (upper, lower) = (*a, *b);
                *a = c * upper + s * lower;
                *b = c * lower - s * upper;
            }
        }
    }
}

#[inline(always)]
fn sum_of_products(a: &[f64], b: &[f64]) -> f64 {
    crate::car::dot(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symmetric(n: usize, mut seed: u64) -> Vec<f64> {
        let mut a = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let x = (seed >> 33) as f64 / (1_u64 << 30) as f64 - 1.0;
                a[i * n + j] = x;
                a[j * n + i] = x;
            }
        }
        a
    }

    #[test]
    fn values_and_vectors_give_the_matrix_back() {
        for n in [1, 2, 3, 5, 16, 24, 48] {
            let a = symmetric(n, n as u64);
            let mut eigen = Eigen::new(n);
            assert!(eigen.decompose(&mut a.clone()));
            for i in 0..n {
                for j in 0..n {
                    let sum: f64 = (0..n)
                        .map(|k| {
                            eigen.values()[k]
                                * eigen.vectors()[k * n + i]
                                * eigen.vectors()[k * n + j]
                        })
                        .sum();
                    assert!(
                        (sum - a[i * n + j]).abs() < 1e-13 * n as f64,
                        "{n}: {i} {j}"
                    );
                    let inner: f64 = (0..n)
                        .map(|k| eigen.vectors()[i * n + k] * eigen.vectors()[j * n + k])
                        .sum();
                    assert!((inner - f64::from(u8::from(i == j))).abs() < 1e-13 * n as f64);
                }
            }
        }
    }

    #[test]
    fn diagonal_equal_and_zero_matrices_are_settled() {
        for a in [
            vec![3.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 3.0],
            vec![0.0; 9],
            vec![1.0; 9],
        ] {
            let mut eigen = Eigen::new(3);
            assert!(eigen.decompose(&mut a.clone()));
            let trace: f64 = eigen.values().iter().sum();
            assert!((trace - (a[0] + a[4] + a[8])).abs() < 1e-14);
        }
    }

    #[test]
    fn what_is_not_finite_ends_without_an_answer_and_without_a_panic() {
        let mut eigen = Eigen::new(4);
        let mut a = symmetric(4, 9);
        a[5] = f64::NAN;
        assert!(!eigen.decompose(&mut a));
        assert!(!eigen.decompose(&mut [0.0; 9]));
    }
}
