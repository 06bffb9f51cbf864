//! Numbers for epochs that each have a seed of their own.

/// A stream of numbers about Gaussian whose neighbouring seeds have nothing in common (xorshift over a scattered seed).
pub(crate) struct Scattered(u64);

impl Scattered {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// About Gaussian, of mean 0 and variance 1/2.
    pub(crate) fn gauss(&mut self) -> f64 {
        let state = &mut self.0;
        (0..6)
            .map(|_| {
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                (*state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
            })
            .sum()
    }
}
