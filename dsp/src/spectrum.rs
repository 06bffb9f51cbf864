//! Spectra: Welch's power density, band powers and their ratios, and a single frequency by Goertzel's algorithm.

use std::f64::consts::PI;
use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};
use rustfft::num_complex::Complex64;

use crate::error::{DspError, count, shape};
use crate::units::Hertz;

/// Longest segment of a Welch estimate, samples.
pub const SEGMENT_MAX: usize = 1 << 20;

/// Power spectral density by Welch's method: Hann window, mean removed per segment, one-sided density, mean over segments.
///
/// Equals `scipy.signal.welch(x, fs, 'hann', nperseg, noverlap)` with its defaults `detrend='constant'`, `scaling='density'`,
/// `average='mean'` (Welch 1967, IEEE Trans. Audio Electroacoust. 15:70).
#[derive(Clone)]
pub struct Welch {
    fft: Arc<dyn RealToComplex<f64>>,
    window: Vec<f64>,
    hop: usize,
    scale: f64,
    rate_hz: f64,
    segment: Vec<f64>,
    spectrum: Vec<Complex64>,
    scratch: Vec<Complex64>,
}

impl std::fmt::Debug for Welch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Welch")
            .field("segment", &self.window.len())
            .field("hop", &self.hop)
            .field("rate_hz", &self.rate_hz)
            .finish_non_exhaustive()
    }
}

impl Welch {
    /// Plans segments of `segment` samples (2..=2^20) that overlap by `overlap` samples.
    ///
    /// # Errors
    /// [`DspError::Count`] for a segment out of range or an overlap that is not shorter than it.
    pub fn new(rate: Hertz, segment: usize, overlap: usize) -> Result<Self, DspError> {
        count("samples of a segment", segment, 2, SEGMENT_MAX)?;
        count("overlap of segments", overlap, 0, segment - 1)?;
        let fft = RealFftPlanner::new().plan_fft_forward(segment);
        let window: Vec<f64> = (0..segment)
            .map(|i| 0.5 - 0.5 * (2.0 * PI * i as f64 / segment as f64).cos())
            .collect();
        let energy: f64 = window.iter().map(|w| w * w).sum();
        Ok(Self {
            segment: fft.make_input_vec(),
            spectrum: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            fft,
            window,
            hop: segment - overlap,
            scale: 1.0 / (rate.get() * energy),
            rate_hz: rate.get(),
        })
    }

    /// Number of frequencies: half the segment, rounded down, plus one.
    #[must_use]
    pub fn bins(&self) -> usize {
        self.spectrum.len()
    }

    /// Distance of two frequencies, Hz; the first is 0.
    #[must_use]
    pub fn resolution_hz(&self) -> f64 {
        self.rate_hz / self.window.len() as f64
    }

    /// Writes the density of `signal` (squared units per Hz) into `density` and returns the number of segments averaged. Samples after the
    /// last whole segment are not used. Does not allocate.
    ///
    /// # Errors
    /// [`DspError::Shape`] when `density` does not hold one value per frequency or `signal` is shorter than a segment.
    pub fn process(&mut self, signal: &[f64], density: &mut [f64]) -> Result<usize, DspError> {
        let n = self.window.len();
        shape("power density", density.len(), self.bins())?;
        if signal.len() < n {
            return Err(DspError::Shape {
                what: "signal (at least one segment)",
                expected: n,
                got: signal.len(),
            });
        }
        density.fill(0.0);
        let mut segments = 0_usize;
        for part in signal.windows(n).step_by(self.hop) {
            let mean = part.iter().sum::<f64>() / n as f64;
            for ((s, x), w) in self.segment.iter_mut().zip(part).zip(&self.window) {
                *s = (x - mean) * w;
            }
            let done = self.fft.process_with_scratch(
                &mut self.segment,
                &mut self.spectrum,
                &mut self.scratch,
            );
            if done.is_err() {
                // All three buffers came from the plan: their lengths fit.
                return Err(DspError::Shape {
                    what: "segment",
                    expected: n,
                    got: self.segment.len(),
                });
            }
            for (d, s) in density.iter_mut().zip(&self.spectrum) {
                *d += s.norm_sqr();
            }
            segments += 1;
        }
        let last = density.len() - 1;
        for (k, d) in density.iter_mut().enumerate() {
            // Frequencies whose mirror image is another one count twice.
            let sides = if k == 0 || (k == last && n.is_multiple_of(2)) {
                1.0
            } else {
                2.0
            };
            *d *= sides * self.scale / segments as f64;
        }
        Ok(segments)
    }

    /// Power between two frequencies: the sum of the density over `low_hz <= f < high_hz` times the resolution.
    #[must_use]
    pub fn band_power(&self, density: &[f64], low_hz: f64, high_hz: f64) -> f64 {
        let df = self.resolution_hz();
        density
            .iter()
            .enumerate()
            .map(|(k, d)| (k as f64 * df, d))
            .filter(|(f, _)| *f >= low_hz && *f < high_hz)
            .map(|(_, d)| d * df)
            .sum()
    }

    /// Theta (4-8 Hz) over alpha (8-13 Hz) power: rises with fatigue, against the person's own baseline. `None` without alpha power.
    #[must_use]
    pub fn theta_over_alpha(&self, density: &[f64]) -> Option<f64> {
        let ratio = self.band_power(density, 4.0, 8.0) / self.band_power(density, 8.0, 13.0);
        ratio.is_finite().then_some(ratio)
    }
}

/// Power of one frequency over a fixed number of samples, one sample at a time (Goertzel 1958).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Goertzel {
    coefficient: f64,
    samples: u32,
    seen: u32,
    s1: f64,
    s2: f64,
}

impl Goertzel {
    /// Watches `frequency`, below half the rate, over windows of `samples` (2..=2^20).
    ///
    /// # Errors
    /// [`DspError::Nyquist`] or [`DspError::Count`] when out of range.
    pub fn new(frequency: Hertz, rate: Hertz, samples: usize) -> Result<Self, DspError> {
        let nyquist_hz = rate.get() / 2.0;
        if frequency.get() >= nyquist_hz {
            return Err(DspError::Nyquist {
                what: "frequency",
                frequency_hz: frequency.get(),
                nyquist_hz,
            });
        }
        count("samples of a window", samples, 2, SEGMENT_MAX)?;
        Ok(Self {
            coefficient: 2.0 * (2.0 * PI * frequency.get() / rate.get()).cos(),
            samples: samples as u32,
            seen: 0,
            s1: 0.0,
            s2: 0.0,
        })
    }

    /// As new.
    pub fn reset(&mut self) {
        self.seen = 0;
        self.s1 = 0.0;
        self.s2 = 0.0;
    }

    /// Takes one sample. With the last one of a window gives the mean square of a sinusoid of that frequency, `2 |X|^2 / n^2`
    /// (half its squared amplitude), and starts anew.
    pub fn push(&mut self, x: f64) -> Option<f64> {
        let s = x + self.coefficient * self.s1 - self.s2;
        self.s2 = self.s1;
        self.s1 = s;
        self.seen += 1;
        if self.seen < self.samples {
            return None;
        }
        let power = self.s1 * self.s1 + self.s2 * self.s2 - self.coefficient * self.s1 * self.s2;
        let n = f64::from(self.samples);
        self.reset();
        Some((2.0 * power / (n * n)).max(0.0))
    }
}
