//! Numbers that several tests make their epochs of.

/// A stream of numbers about Gaussian, from a seed (sum of uniforms over a linear congruence).
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    /// Evenly in 0 to 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About Gaussian, of mean 0 and variance 1.
    pub(crate) fn gauss(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}
