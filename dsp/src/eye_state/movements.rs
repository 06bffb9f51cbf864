//! Saccades on the main sequence, and how still the eye is within a fixation.

use crate::gaze::{EyeMovement, Labelled};

/// Amplitudes that lie on one power law and stand out of the noise, degrees.
const AMPLITUDE_MIN_DEG: f64 = 1.5;
const AMPLITUDE_MAX_DEG: f64 = 20.0;
/// No saccade of these amplitudes lasts longer, seconds.
const SACCADE_MAX_S: f64 = 0.150;
/// After lost data the lid still drags at the pupil, seconds.
const AFTER_LOSS_S: f64 = 0.100;
/// No eye is faster, degrees per second.
const PEAK_MAX_DEG_S: f64 = 1_000.0;
/// Least saccades of a main sequence.
const SEQUENCE_MIN: usize = 20;
/// The part of a fixation in which stillness is measured, seconds from its onset.
const STILL_FROM_S: f64 = 0.050;
const STILL_TO_S: f64 = 0.250;
/// Least samples of it.
const STILL_MIN: u32 = 8;
/// `-ln(1 - 0.682)`: the ellipse that holds 68.2 % of a normal distribution.
const BCEA_K: f64 = 1.145_703_898;

/// A saccade between two places that were seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Saccade {
    /// From the last sample before to the first after, degrees.
    pub amplitude_deg: f64,
    /// Highest speed, degrees per second.
    pub peak_deg_s: f64,
}

/// Finds saccades of 1.5 to 20 degrees among labels.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SaccadeFinder {
    before: Option<[f64; 2]>,
    lost_s: Option<f64>,
    now: Option<Moving>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Moving {
    from: [f64; 2],
    onset_s: f64,
    peak_deg_s: f64,
}

impl SaccadeFinder {
    /// Nothing known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As new.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Takes a label and where the eye was; the saccade comes with the first sample after it.
    pub fn push(&mut self, label: &Labelled, at: Option<[f64; 2]>) -> Option<Saccade> {
        let Some(at) = at else {
            self.before = None;
            self.now = None;
            self.lost_s = Some(label.t_s);
            return None;
        };
        if label.movement == EyeMovement::Saccade {
            let speed = label.speed_deg_s.unwrap_or(0.0);
            match (&mut self.now, self.before) {
                (Some(moving), _) => moving.peak_deg_s = moving.peak_deg_s.max(speed),
                (None, Some(from)) => {
                    self.now = Some(Moving {
                        from,
                        onset_s: label.t_s,
                        peak_deg_s: speed,
                    });
                }
                (None, None) => {}
            }
            self.before = None;
            return None;
        }
        let settled = self
            .lost_s
            .is_none_or(|lost_s| label.t_s - lost_s > AFTER_LOSS_S);
        self.before = settled.then_some(at);
        let moving = self.now.take()?;
        let amplitude_deg = (at[0] - moving.from[0]).hypot(at[1] - moving.from[1]);
        let fits = (AMPLITUDE_MIN_DEG..=AMPLITUDE_MAX_DEG).contains(&amplitude_deg)
            && moving.peak_deg_s > 0.0
            && moving.peak_deg_s <= PEAK_MAX_DEG_S
            && label.t_s - moving.onset_s <= SACCADE_MAX_S;
        fits.then_some(Saccade {
            amplitude_deg,
            peak_deg_s: moving.peak_deg_s,
        })
    }
}

/// Peak velocity over amplitude: a straight line in the logarithms (Lebedev, Van Gelder & Tsui 1996, Invest. Ophthalmol. Vis. Sci.
/// 37:2750), which holds below about 20 degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MainSequence {
    /// Logarithm of the peak at 1 degree.
    pub at_one_ln: f64,
    /// Exponent.
    pub exponent: f64,
}

impl MainSequence {
    /// Least squares; `None` below 20 saccades or without any spread of their amplitudes. Does not allocate.
    #[must_use]
    pub fn fit(amplitudes_ln: &[f64], peaks_ln: &[f64]) -> Option<Self> {
        let n = amplitudes_ln.len().min(peaks_ln.len());
        if n < SEQUENCE_MIN {
            return None;
        }
        let pairs = || amplitudes_ln.iter().zip(peaks_ln);
        let (sx, sy) = pairs().fold((0.0, 0.0), |(sx, sy), (x, y)| (sx + x, sy + y));
        let (mx, my) = (sx / n as f64, sy / n as f64);
        let (sxx, sxy) = pairs().fold((0.0, 0.0), |(sxx, sxy), (x, y)| {
            (sxx + (x - mx) * (x - mx), sxy + (x - mx) * (y - my))
        });
        let exponent = sxy / sxx;
        exponent.is_finite().then_some(Self {
            at_one_ln: my - exponent * mx,
            exponent,
        })
    }

    /// Logarithm of the expected peak.
    #[must_use]
    pub fn peak_ln(&self, amplitude_ln: f64) -> f64 {
        self.at_one_ln + self.exponent * amplitude_ln
    }
}

/// How still the eye was within a fixation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stability {
    /// Area of the ellipse that holds 68.2 % of the positions, square degrees: `2 k pi sx sy sqrt(1 - r^2)` (Steinman 1965, J. Opt. Soc. Am. 55:1158).
    pub bcea_deg2: f64,
    /// Distance from sample to sample, root mean square, degrees.
    pub rms_s2s_deg: f64,
}

/// Measures 200 ms of each fixation that lasts 250 ms: always the same length, as a longer one spreads further.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StabilityFinder {
    onset_s: Option<f64>,
    done: bool,
    n: u32,
    first: [f64; 2],
    last: [f64; 2],
    sum: [f64; 2],
    squares: [f64; 3],
    steps: f64,
}

impl StabilityFinder {
    /// Nothing known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As new.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Takes a label and where the eye was; once per fixation, 250 ms after its onset, how still it was.
    pub fn push(&mut self, label: &Labelled, at: Option<[f64; 2]>) -> Option<Stability> {
        let (EyeMovement::Fixation, Some(at)) = (label.movement, at) else {
            self.reset();
            return None;
        };
        let onset_s = *self.onset_s.get_or_insert(label.t_s);
        let since_s = label.t_s - onset_s;
        if self.done || since_s < STILL_FROM_S {
            return None;
        }
        if since_s >= STILL_TO_S {
            self.done = true;
            return self.stability();
        }
        if self.n == 0 {
            (self.first, self.last) = (at, at);
        }
        // From the first position, so that nothing cancels.
        let [x, y] = [at[0] - self.first[0], at[1] - self.first[1]];
        self.n += 1;
        self.sum = [self.sum[0] + x, self.sum[1] + y];
        self.squares = [
            self.squares[0] + x * x,
            self.squares[1] + y * y,
            self.squares[2] + x * y,
        ];
        let step = [at[0] - self.last[0], at[1] - self.last[1]];
        self.steps += step[0] * step[0] + step[1] * step[1];
        self.last = at;
        None
    }

    fn stability(&self) -> Option<Stability> {
        if self.n < STILL_MIN {
            return None;
        }
        let n = f64::from(self.n);
        let over = |square: f64, a: f64, b: f64| (square - a * b / n) / (n - 1.0);
        let [sx, sy] = self.sum;
        let (vx, vy, vxy) = (
            over(self.squares[0], sx, sx),
            over(self.squares[1], sy, sy),
            over(self.squares[2], sx, sy),
        );
        let area = (vx * vy - vxy * vxy).max(0.0).sqrt();
        let bcea_deg2 = 2.0 * BCEA_K * std::f64::consts::PI * area;
        let rms_s2s_deg = (self.steps / (n - 1.0)).sqrt();
        // A tracker that repeats a value is not still.
        (bcea_deg2 > 0.0 && rms_s2s_deg > 0.0 && bcea_deg2.is_finite()).then_some(Stability {
            bcea_deg2,
            rms_s2s_deg,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(t_s: f64, movement: EyeMovement, speed: f64) -> Labelled {
        Labelled {
            t_s,
            emit_s: t_s,
            movement,
            speed_deg_s: Some(speed),
            announces: false,
        }
    }

    #[test]
    fn a_saccade_has_the_amplitude_from_rest_to_rest_and_none_comes_out_of_lost_data() {
        use EyeMovement::{Fixation, Saccade, Settling};
        let mut finder = SaccadeFinder::new();
        let run = |finder: &mut SaccadeFinder, from_s: f64| {
            let mut found = Vec::new();
            for (n, (movement, speed, x)) in [
                (Fixation, 1.0, 0.0),
                (Saccade, 90.0, 0.4),
                (Saccade, 210.0, 2.0),
                (Saccade, 80.0, 3.6),
                (Settling, 20.0, 4.0),
                (Fixation, 1.0, 4.1),
            ]
            .into_iter()
            .enumerate()
            {
                let label = label(from_s + 0.01 * n as f64, movement, speed);
                found.extend(finder.push(&label, Some([x, 0.0])));
            }
            found
        };
        let expected = super::Saccade {
            amplitude_deg: 4.0,
            peak_deg_s: 210.0,
        };
        assert_eq!(run(&mut finder, 1.0), [expected]);
        let lost = label(1.9, EyeMovement::Lost, 0.0);
        assert_eq!(finder.push(&lost, None), None);
        assert_eq!(run(&mut finder, 1.95), []);
        assert_eq!(run(&mut finder, 3.0), [expected]);
    }

    #[test]
    fn the_main_sequence_of_a_power_law_is_that_law() {
        let amplitudes: Vec<f64> = (0..30).map(|n| (1.5 + 0.5 * f64::from(n)).ln()).collect();
        let peaks: Vec<f64> = amplitudes.iter().map(|a| 60_f64.ln() + 0.6 * a).collect();
        let sequence = MainSequence::fit(&amplitudes, &peaks).unwrap();
        assert!((sequence.exponent - 0.6).abs() < 1e-12);
        assert!((sequence.at_one_ln.exp() - 60.0).abs() < 1e-9);
        assert_eq!(MainSequence::fit(&[1.0; 40], &peaks), None);
        assert_eq!(MainSequence::fit(&amplitudes[..19], &peaks), None);
    }

    #[test]
    fn the_ellipse_is_that_of_the_covariance() {
        let mut finder = StabilityFinder::new();
        let mut found = Vec::new();
        // x alternates by 0.1, y by 0.2 half as often: variances 0.0025 and 0.01 times n / (n - 1), no covariance.
        for n in 0..40 {
            let x = if n % 2 == 0 { 5.0 } else { 5.1 };
            let y = if n % 4 < 2 { -3.0 } else { -2.8 };
            let label = label(0.01 * f64::from(n), EyeMovement::Fixation, 1.0);
            found.extend(finder.push(&label, Some([x, y])));
        }
        let [stable] = found[..] else {
            panic!("{found:?}")
        };
        let expected =
            2.0 * BCEA_K * std::f64::consts::PI * (0.0025_f64 * 0.01).sqrt() * 20.0 / 19.0;
        assert!(
            (stable.bcea_deg2 - expected).abs() < 1e-9,
            "{stable:?} {expected}"
        );
        assert!((BCEA_K + (1.0_f64 - 0.682).ln()).abs() < 1e-8);
    }
}
