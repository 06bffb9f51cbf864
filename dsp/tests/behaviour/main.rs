//! What every stage does, seen through the public API, against truths that do not come from the code itself.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros
)]

mod clock;
mod dwell;
mod eeg;
mod filters;
mod gaze;
mod quality;
mod stamps;
mod trained_gaze;

use razvilka_dsp::units::{Hertz, Seconds};

fn hz(value: f64) -> Hertz {
    Hertz::new(value).unwrap()
}

fn s(value: f64) -> Seconds {
    Seconds::new(value).unwrap()
}

/// Reproducible numbers that look random, uniform in -1..1 (SplitMix64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }

    /// About normal, standard deviation 1: the sum of twelve uniforms.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() / 2.0
    }
}
