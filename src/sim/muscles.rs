//! Jaw and brow: contractions that are made on purpose, and what these muscles do anyway.
//!
//! A contraction is broad-band noise above 20 Hz that rises within some hundredths of a second, stays and falls. Each muscle has a left
//! and a right half with noise of its own; a channel sees both by where it sits. Swallowing, speaking, chewing and teeth that are clenched
//! for no reason are rows of such contractions, weaker or shorter: their lengths and strengths are assumed, in the range of what surface EMG
//! of the temporal muscle shows relative to a clench, and no measurement.

use std::f64::consts::{PI, TAU};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use razvilka_dsp::contraction::Muscle;

use super::montage::{direction, electrode, topography};
use super::noise::{gauss, log_normal, stream};
use super::settings::SimSettings;

/// Standard deviation of a deliberate contraction right above the muscle, median over persons, microvolts: assumed, well below what a hard
/// clench gives (hundreds).
const CLENCH_UV: f64 = 40.0;
/// The same of a frown.
const FROWN_UV: f64 = 25.0;
/// Muscle noise begins here, Hz.
const LOW_HZ: f64 = 20.0;
/// Rise and fall, seconds.
const RISE_S: f64 = 0.06;
const FALL_S: f64 = 0.08;
/// Contractions that are under way or to come, at most: more are not made.
const PULLS_MAX: usize = 64;

/// One contraction.
#[derive(Debug, Clone, Copy)]
struct Pull {
    muscle: Muscle,
    from_s: f64,
    length_s: f64,
    uv: f64,
}

impl Pull {
    /// How strong it is at this time, microvolts.
    fn at(&self, t_s: f64) -> f64 {
        let (since_s, left_s) = (t_s - self.from_s, self.from_s + self.length_s - t_s);
        if since_s <= 0.0 || left_s <= 0.0 {
            return 0.0;
        }
        let smooth = |share: f64| (0.5 * PI * share.min(1.0)).sin().powi(2);
        self.uv * smooth(since_s / RISE_S) * smooth(left_s / FALL_S)
    }
}

/// One half of one muscle.
#[derive(Debug)]
struct Half {
    muscle: Muscle,
    /// How strongly each channel sees it, 0 to 1.
    weights: Vec<f64>,
    low: f64,
}

/// Both muscles of the person.
#[derive(Debug)]
pub(super) struct Muscles {
    halves: Vec<Half>,
    pulls: Vec<Pull>,
    /// Standard deviation of a deliberate contraction of jaw and brow, microvolts.
    strength_uv: [f64; 2],
    /// Scale that brings noise above [`LOW_HZ`] to unit variance.
    gain: f64,
    keep: f64,
    acting: ChaCha8Rng,
    noise: ChaCha8Rng,
}

impl Muscles {
    pub(super) fn new(settings: &SimSettings) -> Self {
        let mut acting = stream(settings.seed, "muscles");
        let places: Vec<_> = settings
            .channels
            .iter()
            .map(|label| electrode(label))
            .collect();
        let known: Vec<_> = places.iter().flatten().copied().collect();
        let half = |muscle, inclination_deg, azimuth_deg, sd_deg| {
            let source = direction(inclination_deg, azimuth_deg);
            let mut seen = topography(&known, source, sd_deg).into_iter();
            // A channel whose place nobody knows, as recordings may have, sees nothing.
            let weights = places.iter().map(|place| place.and_then(|_| seen.next()));
            Half {
                muscle,
                weights: weights.map(|weight| weight.unwrap_or(0.0)).collect(),
                low: 0.0,
            }
        };
        let halves = vec![
            half(Muscle::Jaw, 90.0, -95.0, 42.0),
            half(Muscle::Jaw, 90.0, 95.0, 42.0),
            half(Muscle::Brow, 95.0, -20.0, 35.0),
            half(Muscle::Brow, 95.0, 20.0, 35.0),
        ];
        let keep = (-TAU * LOW_HZ / settings.eeg_rate_hz).exp();
        Self {
            halves,
            pulls: Vec::with_capacity(PULLS_MAX),
            strength_uv: [CLENCH_UV, FROWN_UV].map(|uv| log_normal(&mut acting, uv, 0.3)),
            // White noise less its own low-pass: variance 1 - 2 (1 - keep) + (1 - keep)^2 / (1 - keep^2) of the white one's.
            gain: (2.0 * keep - 1.0 + (1.0 - keep) / (1.0 + keep))
                .sqrt()
                .recip(),
            keep,
            acting,
            noise: stream(settings.seed, "muscle noise"),
        }
    }

    /// The person contracts a muscle on purpose.
    pub(super) fn contract(&mut self, t_s: f64, muscle: Muscle) {
        let length_s = log_normal(&mut self.acting, 0.5, 0.25).clamp(0.25, 1.5);
        let share = log_normal(&mut self.acting, 1.0, 0.25);
        self.pull(muscle, t_s, length_s, share);
    }

    /// The person swallows, speaks, chews, or clenches its teeth for no reason.
    pub(super) fn act_unasked(&mut self, t_s: f64) {
        let which = self.acting.random::<f64>();
        if which < 0.4 {
            // Swallows.
            let length_s = log_normal(&mut self.acting, 0.6, 0.2);
            self.pull_about(Muscle::Jaw, t_s, length_s, 0.2);
        } else if which < 0.75 {
            // Speaks: syllables, four or five in a second, the brow with some of them.
            let until_s = t_s + self.acting.random_range(1.5..6.0);
            let mut at_s = t_s;
            while at_s < until_s {
                let length_s = log_normal(&mut self.acting, 0.17, 0.3);
                self.pull_about(Muscle::Jaw, at_s, length_s, 0.2);
                if self.acting.random_bool(0.15) {
                    self.pull_about(Muscle::Brow, at_s, 2.0 * length_s, 0.4);
                }
                at_s += length_s + log_normal(&mut self.acting, 0.05, 0.5);
            }
        } else if which < 0.9 {
            // Chews, a good time and a half in a second.
            let strokes = self.acting.random_range(4..12);
            let mut at_s = t_s;
            for _ in 0..strokes {
                let length_s = log_normal(&mut self.acting, 0.28, 0.15);
                self.pull_about(Muscle::Jaw, at_s, length_s, 0.5);
                at_s += length_s + log_normal(&mut self.acting, 0.38, 0.15);
            }
        } else if which < 0.95 {
            // Clenches its teeth, or frowns: nothing tells it from the signal.
            let length_s = log_normal(&mut self.acting, 0.6, 0.5);
            self.pull_about(Muscle::Jaw, t_s, length_s, 0.7);
        } else {
            let length_s = log_normal(&mut self.acting, 0.8, 0.5);
            self.pull_about(Muscle::Brow, t_s, length_s, 0.7);
        }
    }

    fn pull_about(&mut self, muscle: Muscle, from_s: f64, length_s: f64, share: f64) {
        let share = log_normal(&mut self.acting, share, 0.3);
        self.pull(muscle, from_s, length_s, share);
    }

    fn pull(&mut self, muscle: Muscle, from_s: f64, length_s: f64, share: f64) {
        if self.pulls.len() < PULLS_MAX {
            self.pulls.push(Pull {
                muscle,
                from_s,
                length_s,
                uv: share * self.strength_uv[usize::from(muscle == Muscle::Brow)],
            });
        }
    }

    /// Adds what the electrodes see of it, microvolts.
    pub(super) fn act(&mut self, t_s: f64, out: &mut [f32]) {
        self.pulls.retain(|pull| t_s < pull.from_s + pull.length_s);
        if self.pulls.is_empty() {
            return;
        }
        for half in &mut self.halves {
            let own = self.pulls.iter().filter(|pull| pull.muscle == half.muscle);
            let uv = own.map(|pull| pull.at(t_s)).fold(0.0, f64::max);
            let white = gauss(&mut self.noise);
            half.low = self.keep * half.low + (1.0 - self.keep) * white;
            let value = uv * self.gain * (white - half.low);
            for (out, weight) in out.iter_mut().zip(&half.weights) {
                *out += (weight * value) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rms_of(seed: u64, muscle: Muscle, rate_hz: f64) -> Vec<f64> {
        let settings = SimSettings {
            seed,
            channels: ["T7", "T8", "AF7", "AF8", "Pz"].map(str::to_owned).to_vec(),
            eeg_rate_hz: rate_hz,
            ..SimSettings::default()
        };
        let mut muscles = Muscles::new(&settings);
        muscles.pull(muscle, 0.0, 4.0, 1.0);
        let mut squares = [0.0; 5];
        let n = (3.0 * rate_hz) as usize;
        for k in 0..n {
            let mut out = [0.0_f32; 5];
            muscles.act(0.5 + k as f64 / rate_hz, &mut out);
            for (sum, uv) in squares.iter_mut().zip(out) {
                *sum += f64::from(uv) * f64::from(uv);
            }
        }
        let strength_uv = muscles.strength_uv[usize::from(muscle == Muscle::Brow)];
        squares
            .iter()
            .map(|sum| (sum / n as f64).sqrt() / strength_uv)
            .collect()
    }

    #[test]
    fn jaws_are_loudest_over_the_temples_and_brows_at_the_front_whatever_the_rate() {
        for rate_hz in [250.0, 1000.0] {
            let jaw = rms_of(3, Muscle::Jaw, rate_hz);
            assert!((0.85..1.15).contains(&jaw[0]), "{jaw:?}");
            assert!((0.85..1.15).contains(&jaw[1]), "{jaw:?}");
            assert!(jaw[2] < 0.75 * jaw[0] && jaw[4] < 0.3 * jaw[0], "{jaw:?}");
            let brow = rms_of(3, Muscle::Brow, rate_hz);
            assert!(brow[2] > 0.6 && brow[2] > 1.5 * brow[0], "{brow:?}");
            assert!(brow[4] < 0.1, "{brow:?}");
        }
    }

    #[test]
    fn what_has_been_let_go_of_is_gone_and_any_number_is_bounded() {
        let mut muscles = Muscles::new(&SimSettings::default());
        for n in 0..1000 {
            muscles.act_unasked(f64::from(n) * 1e-3);
        }
        assert!(muscles.pulls.len() <= PULLS_MAX);
        let mut out = vec![0.0; 8];
        muscles.act(1e3, &mut out);
        assert!(muscles.pulls.is_empty() && out.iter().all(|uv| *uv == 0.0));
    }
}
