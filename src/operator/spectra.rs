//! The power density of one channel over the last seconds, by Welch's method.

use std::collections::VecDeque;

use razvilka_dsp::spectrum::Welch;
use razvilka_dsp::units::Hertz;

/// Seconds that a spectrum looks back on.
const SECONDS: f64 = 4.0;
/// Seconds of one segment: half a hertz of resolution.
const SEGMENT_S: f64 = 2.0;
/// Frequencies above this are not shown.
pub const SPECTRUM_HZ_MAX: f64 = 60.0;

/// The latest samples of every channel, and the estimate.
#[derive(Debug)]
pub struct Spectra {
    welch: Welch,
    density: Vec<f64>,
    /// Of each channel, microvolts.
    recent: Vec<VecDeque<f32>>,
    length: usize,
    scale: Vec<f64>,
}

impl Spectra {
    /// Spectra for a stream of this rate; `None` for a rate that has none.
    #[must_use]
    pub fn new(rate_hz: f64, microvolts: &[f64]) -> Option<Self> {
        let segment = (rate_hz * SEGMENT_S) as usize & !1;
        let rate = Hertz::new(rate_hz).ok()?;
        let welch = Welch::new(rate, segment, segment / 2).ok()?;
        let length = (rate_hz * SECONDS) as usize;
        Some(Self {
            density: vec![0.0; welch.bins()],
            welch,
            recent: vec![VecDeque::with_capacity(length); microvolts.len()],
            length,
            scale: microvolts.to_vec(),
        })
    }

    /// Takes one sample of all channels. A value that is no number is taken as the one before.
    pub fn push(&mut self, sample: &[f32]) {
        for ((recent, value), scale) in self.recent.iter_mut().zip(sample).zip(&self.scale) {
            let value = (f64::from(*value) * scale) as f32;
            let before = recent.back().copied().unwrap_or(0.0);
            if recent.len() == self.length {
                recent.pop_front();
            }
            recent.push_back(if value.is_finite() { value } else { before });
        }
    }

    /// Frequency in hertz and density in microvolts squared per hertz, up to [`SPECTRUM_HZ_MAX`]; nothing before there was enough.
    pub fn of(&mut self, channel: usize) -> Vec<[f64; 2]> {
        let Some(recent) = self.recent.get(channel) else {
            return Vec::new();
        };
        let signal: Vec<f64> = recent.iter().map(|value| f64::from(*value)).collect();
        if !self
            .welch
            .process(&signal, &mut self.density)
            .is_ok_and(|segments| segments > 0)
        {
            return Vec::new();
        }
        let resolution = self.welch.resolution_hz();
        // The mean was taken out: what is left at 0 Hz says nothing.
        let bins = self.density.iter().enumerate().skip(1);
        bins.map(|(bin, density)| [bin as f64 * resolution, *density])
            .take_while(|[hz, _]| *hz <= SPECTRUM_HZ_MAX)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sine_has_its_power_at_its_frequency_in_microvolts_whatever_the_stream_calls_its_unit() {
        // Volts, an offset of 100 mV, and 10 microvolts of 10 Hz: a power of 50 uV^2.
        let mut spectra = Spectra::new(500.0, &[1e6, 1.0]).unwrap();
        assert!(spectra.of(0).is_empty());
        for n in 0..4_000 {
            let sine = (std::f64::consts::TAU * 10.0 * f64::from(n) / 500.0).sin();
            spectra.push(&[(0.1 + 10e-6 * sine) as f32, f32::NAN]);
        }
        let spectrum = spectra.of(0);
        let power: f64 = spectrum
            .iter()
            .filter(|[hz, _]| (8.0..=12.0).contains(hz))
            .map(|[_, density]| 0.5 * density)
            .sum();
        assert!((power - 50.0).abs() < 1.0, "{power}");
        let rest: f64 = spectrum
            .iter()
            .filter(|[hz, _]| *hz > 13.0)
            .map(|[_, density]| density)
            .sum();
        assert!(rest < 0.1, "{rest}");
        assert!(
            spectrum
                .iter()
                .all(|[hz, _]| *hz > 0.0 && *hz <= SPECTRUM_HZ_MAX)
        );
        assert!(spectra.of(1).iter().all(|[_, density]| *density == 0.0));
        assert!(spectra.of(2).is_empty());
        assert!(Spectra::new(0.0, &[1.0]).is_none());
    }
}
