//! Powers of theta, alpha and beta in a sliding window of every channel.

use crate::error::{DspError, count, shape};
use crate::mask::MAX_CHANNELS;
use crate::spectrum::Welch;
use crate::units::{Hertz, Seconds};

/// Theta, Hz: from the first to below the second.
pub const THETA_HZ: (f64, f64) = (4.0, 8.0);
/// Alpha, Hz.
pub const ALPHA_HZ: (f64, f64) = (8.0, 13.0);
/// Beta, Hz.
pub const BETA_HZ: (f64, f64) = (13.0, 30.0);

/// Mean powers of one channel in one window, squared microvolts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Powers {
    /// 4 to 8 Hz.
    pub theta: f64,
    /// 8 to 13 Hz.
    pub alpha: f64,
    /// 13 to 30 Hz.
    pub beta: f64,
    /// Largest minus smallest value in the window, microvolts: what tells an artefact.
    pub peak_to_peak: f64,
}

impl Powers {
    /// `ln(theta / alpha)`; `None` without one of them.
    #[must_use]
    pub fn ln_theta_alpha(&self) -> Option<f64> {
        let ln = (self.theta / self.alpha).ln();
        ln.is_finite().then_some(ln)
    }

    /// `ln((theta + alpha) / beta)`, the first of the four ratios of Jap et al. 2009 (Expert Syst. Appl. 36:2352), there the one
    /// that rose most with fatigue; `None` without power.
    #[must_use]
    pub fn ln_slow_fast(&self) -> Option<f64> {
        let ln = ((self.theta + self.alpha) / self.beta).ln();
        ln.is_finite().then_some(ln)
    }
}

/// Band powers by Welch's method: windows of a few seconds, a new one each hop; inside a window Hann segments of half its length
/// that overlap by half, three of them.
///
/// Equals `scipy.signal.welch(window, fs, 'hann', nperseg=n//2, noverlap=n//4)` summed over the bins of a band times their distance.
/// Takes the signal after a high-pass far below theta and before any upper band edge: the P300 path's 20 Hz would take a third
/// of the beta power.
#[derive(Debug, Clone)]
pub struct BandPowers {
    channels: usize,
    window: usize,
    hop: usize,
    welch: Welch,
    density: Vec<f64>,
    /// `[channel][2 window]`: every sample lies twice, one window apart, so that the latest window is always one slice.
    history: Vec<f64>,
    seen: u64,
    powers: Vec<Powers>,
}

impl BandPowers {
    /// Plans windows of `window` (1..=60 s) with a new one each `hop` (up to a window).
    ///
    /// # Errors
    /// [`DspError::Count`] for channels outside 1..=512 or a window or hop out of range, [`DspError::Nyquist`] unless beta lies below
    /// half the rate.
    pub fn new(
        rate: Hertz,
        channels: usize,
        window: Seconds,
        hop: Seconds,
    ) -> Result<Self, DspError> {
        count("channels", channels, 1, MAX_CHANNELS)?;
        let nyquist_hz = rate.get() / 2.0;
        if BETA_HZ.1 >= nyquist_hz {
            return Err(DspError::Nyquist {
                what: "upper edge of beta",
                frequency_hz: BETA_HZ.1,
                nyquist_hz,
            });
        }
        let samples = |time: Seconds| (time.get() * rate.get()).round() as usize;
        let second = rate.get().round() as usize;
        let window = count("samples of a window", samples(window), second, 60 * second)?;
        let hop = count("samples of a hop", samples(hop), 1, window)?;
        let welch = Welch::new(rate, window / 2, window / 4)?;
        Ok(Self {
            channels,
            window,
            hop,
            density: vec![0.0; welch.bins()],
            welch,
            history: vec![0.0; 2 * window * channels],
            seen: 0,
            powers: vec![Powers::default(); channels],
        })
    }

    /// As new.
    pub fn reset(&mut self) {
        self.seen = 0;
    }

    /// Takes one sample of all channels, microvolts; `true` when a window ended with it, whose powers are then at hand. Does not
    /// allocate; with a window it takes three FFTs per channel.
    ///
    /// # Errors
    /// [`DspError::Shape`] unless there is one value per channel; nothing has happened then.
    pub fn push(&mut self, sample: &[f64]) -> Result<bool, DspError> {
        shape("sample", sample.len(), self.channels)?;
        let window = self.window;
        // Below the window's length, which is a usize.
        let at = (self.seen % window as u64) as usize;
        for (history, x) in self.history.chunks_exact_mut(2 * window).zip(sample) {
            for place in [at, at + window] {
                if let Some(cell) = history.get_mut(place) {
                    *cell = *x;
                }
            }
        }
        self.seen += 1;
        let (seen, window) = (self.seen, window as u64);
        if seen < window || !(seen - window).is_multiple_of(self.hop as u64) {
            return Ok(false);
        }
        self.measure(at + 1)?;
        Ok(true)
    }

    /// Powers of every channel in the latest window; zeros before the first.
    #[must_use]
    pub fn powers(&self) -> &[Powers] {
        &self.powers
    }

    /// Windows that share samples with the one after them, less itself: so many windows after another one the next begins that
    /// shares none with it.
    #[must_use]
    pub fn overlap(&self) -> usize {
        self.window.div_ceil(self.hop) - 1
    }

    fn measure(&mut self, from: usize) -> Result<(), DspError> {
        let window = self.window;
        for (history, powers) in self.history.chunks_exact(2 * window).zip(&mut self.powers) {
            // `from` is 1..=window: the slice is there.
            let latest = history.get(from..from + window).unwrap_or(&[]);
            self.welch.process(latest, &mut self.density)?;
            let power = |(low, high)| self.welch.band_power(&self.density, low, high);
            let (lowest, highest) = latest
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
                    (low.min(*x), high.max(*x))
                });
            *powers = Powers {
                theta: power(THETA_HZ),
                alpha: power(ALPHA_HZ),
                beta: power(BETA_HZ),
                peak_to_peak: highest - lowest,
            };
        }
        Ok(())
    }
}
