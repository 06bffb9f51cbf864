//! The random processes from which the simulated signals are made. Every one is deterministic from a seed and keeps its
//! statistics whatever the sampling rate.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// A 64-bit hash of a text under a seed: FNV-1a, then the finaliser of SplitMix64. The same on every machine.
pub(super) fn hash(seed: u64, text: &str) -> u64 {
    let mut h = 0xcbf2_9ce4_8422_2325_u64 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in text.bytes() {
        h = (h ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

/// A generator for one purpose, so that one process never disturbs the numbers of another.
pub(super) fn stream(seed: u64, purpose: &str) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(hash(seed, purpose))
}

/// One standard normal number.
pub(super) fn gauss(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// A log-normal number with this median; `spread` is the standard deviation of its logarithm.
pub(super) fn log_normal(rng: &mut ChaCha8Rng, median: f64, spread: f64) -> f64 {
    median * (spread * gauss(rng)).exp()
}

/// A Gauss-Markov (Ornstein-Uhlenbeck) process sampled exactly: Gaussian with the given standard deviation, correlation
/// `exp(-lag / tau_s)`.
#[derive(Debug, Clone)]
pub(super) struct Drift {
    value: f64,
    keep: f64,
    kick: f64,
}

impl Drift {
    /// Starts in the stationary distribution.
    pub(super) fn new(sd: f64, tau_s: f64, step_s: f64, rng: &mut ChaCha8Rng) -> Self {
        let keep = (-step_s / tau_s).exp();
        Self {
            value: sd * gauss(rng),
            keep,
            kick: sd * (1.0 - keep * keep).sqrt(),
        }
    }

    /// Moves on by one step and returns the new value.
    pub(super) fn step(&mut self, rng: &mut ChaCha8Rng) -> f64 {
        self.value = self.keep * self.value + self.kick * gauss(rng);
        self.value
    }
}

/// Noise of unit variance whose power falls as `1/f^CHI` between 0.1 and 100 Hz.
///
/// A sum of Lorentzian spectra with corners in geometric progression (Bernamont 1937; van der Ziel 1950): each pole is a
/// [`Drift`] with correlation time `1 / (2 pi f)` and variance proportional to `f^(1 - CHI)`.
#[derive(Debug, Clone)]
pub(super) struct Pink {
    poles: [Drift; Self::CORNERS_HZ.len()],
}

impl Pink {
    /// Exponent of the aperiodic part of a resting EEG, eyes open.
    const CHI: f64 = 1.2;
    const CORNERS_HZ: [f64; 6] = [0.1, 0.4, 1.6, 6.4, 25.6, 102.4];

    pub(super) fn new(step_s: f64, rng: &mut ChaCha8Rng) -> Self {
        let power = Self::CORNERS_HZ.map(|f| f.powf(1.0 - Self::CHI));
        let total: f64 = power.iter().sum();
        Self {
            poles: std::array::from_fn(|k| {
                let tau_s = 1.0 / (std::f64::consts::TAU * Self::CORNERS_HZ[k]);
                Drift::new((power[k] / total).sqrt(), tau_s, step_s, rng)
            }),
        }
    }

    pub(super) fn step(&mut self, rng: &mut ChaCha8Rng) -> f64 {
        self.poles.iter_mut().map(|pole| pole.step(rng)).sum()
    }
}

/// A rhythm of unit variance: narrow-band Gaussian noise around a centre frequency, which waxes and wanes by itself.
///
/// A complex Gauss-Markov process turned by the centre frequency; its half-power bandwidth is `bandwidth_hz`.
#[derive(Debug, Clone)]
pub(super) struct Rhythm {
    re: f64,
    im: f64,
    turn: (f64, f64),
    kick: f64,
}

impl Rhythm {
    pub(super) fn new(
        centre_hz: f64,
        bandwidth_hz: f64,
        step_s: f64,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let keep = (-std::f64::consts::PI * bandwidth_hz * step_s).exp();
        let angle = std::f64::consts::TAU * centre_hz * step_s;
        Self {
            re: gauss(rng),
            im: gauss(rng),
            turn: (keep * angle.cos(), keep * angle.sin()),
            kick: (1.0 - keep * keep).sqrt(),
        }
    }

    pub(super) fn step(&mut self, rng: &mut ChaCha8Rng) -> f64 {
        let (c, s) = self.turn;
        let re = c * self.re - s * self.im + self.kick * gauss(rng);
        let im = s * self.re + c * self.im + self.kick * gauss(rng);
        (self.re, self.im) = (re, im);
        re
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variance(values: &[f64]) -> f64 {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64
    }

    #[test]
    fn processes_keep_their_variance_at_any_rate() {
        for rate in [125.0, 250.0, 1000.0] {
            let mut rng = stream(1, "variance");
            let n = (rate * 400.0) as usize;
            let mut rhythm = Rhythm::new(10.0, 1.0, 1.0 / rate, &mut rng);
            let mut drift = Drift::new(3.0, 0.2, 1.0 / rate, &mut rng);
            let mut pink = Pink::new(1.0 / rate, &mut rng);
            let r: Vec<f64> = (0..n).map(|_| rhythm.step(&mut rng)).collect();
            let d: Vec<f64> = (0..n).map(|_| drift.step(&mut rng)).collect();
            let p: Vec<f64> = (0..n).map(|_| pink.step(&mut rng)).collect();
            assert!((variance(&r) - 1.0).abs() < 0.15, "{}", variance(&r));
            assert!((variance(&d) - 9.0).abs() < 1.5, "{}", variance(&d));
            assert!((variance(&p) - 1.0).abs() < 0.3, "{}", variance(&p));
        }
    }

    #[test]
    fn hashes_differ_by_seed_and_text_and_are_fixed_for_ever() {
        assert_ne!(hash(1, "fox"), hash(2, "fox"));
        assert_ne!(hash(1, "fox"), hash(1, "box"));
        // Written down once: a change here changes every simulated person.
        assert_eq!(hash(0, ""), 0xf52a_15e9_a9b5_e89b);
    }
}
