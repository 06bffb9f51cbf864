//! Second-order sections: one section, and what a cascade of them does to amplitude, phase and time.

use std::f64::consts::TAU;

use rustfft::num_complex::Complex64;

use crate::error::DspError;
use crate::units::{Hertz, Seconds};

/// One second-order section, `H(z) = (b0 + b1 z^-1 + b2 z^-2) / (1 + a1 z^-1 + a2 z^-2)`.
///
/// Finite and stable by construction: both poles lie inside the unit circle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sos {
    b: [f64; 3],
    a: [f64; 2],
}

impl Sos {
    /// Checks and wraps coefficients; `a` leaves out the leading 1.
    ///
    /// # Errors
    /// [`DspError::Unstable`] unless all are finite and both poles lie inside the unit circle
    /// (`|a2| < 1` and `|a1| < 1 + a2`, the stability triangle).
    pub fn new(b: [f64; 3], a: [f64; 2]) -> Result<Self, DspError> {
        let [a1, a2] = a;
        let stable = a2.abs() < 1.0 && a1.abs() < 1.0 + a2;
        if stable && b.iter().all(|c| c.is_finite()) {
            Ok(Self { b, a })
        } else {
            Err(DspError::Unstable { a1, a2 })
        }
    }

    /// Numerator `[b0, b1, b2]`.
    #[must_use]
    pub const fn b(&self) -> [f64; 3] {
        self.b
    }

    /// Denominator `[a1, a2]`; `a0` is 1.
    #[must_use]
    pub const fn a(&self) -> [f64; 2] {
        self.a
    }

    /// The section with its output multiplied by `gain`.
    ///
    /// # Errors
    /// [`DspError::Unstable`] when a coefficient is no longer finite.
    pub fn scaled(self, gain: f64) -> Result<Self, DspError> {
        Self::new(self.b.map(|c| c * gain), self.a)
    }

    /// Gain at 0 Hz.
    #[must_use]
    pub fn dc_gain(&self) -> f64 {
        (self.b[0] + self.b[1] + self.b[2]) / (1.0 + self.a[0] + self.a[1])
    }

    /// State `[s1, s2]` of the transposed direct form II once a constant input of 1 has lasted for ever,
    /// as `scipy.signal.lfilter_zi`.
    #[must_use]
    pub fn step_state(&self) -> [f64; 2] {
        let y = self.dc_gain();
        let s2 = self.b[2] - self.a[1] * y;
        [self.b[1] - self.a[0] * y + s2, s2]
    }

    fn terms(&self, z1: Complex64) -> (Complex64, Complex64) {
        let z2 = z1 * z1;
        (
            z1 * self.b[1] + z2 * self.b[2] + self.b[0],
            z1 * self.a[0] + z2 * self.a[1] + 1.0,
        )
    }

    fn delay_samples(&self, z1: Complex64) -> f64 {
        // Group delay of a polynomial sum c_k z^-k is Re(sum k c_k z^-k / sum c_k z^-k).
        let z2 = z1 * z1;
        let (num, den) = self.terms(z1);
        let num_slope = z1 * self.b[1] + z2 * (2.0 * self.b[2]);
        let den_slope = z1 * self.a[0] + z2 * (2.0 * self.a[1]);
        (num_slope / num).re - (den_slope / den).re
    }
}

fn unit_delay(frequency: Hertz, rate: Hertz) -> Complex64 {
    Complex64::from_polar(1.0, -TAU * frequency.get() / rate.get())
}

/// Complex gain of a cascade at one frequency.
#[must_use]
pub fn response(sections: &[Sos], frequency: Hertz, rate: Hertz) -> Complex64 {
    let z1 = unit_delay(frequency, rate);
    sections
        .iter()
        .map(|s| {
            let (num, den) = s.terms(z1);
            num / den
        })
        .product()
}

/// Group delay of a cascade at one frequency. `None` where the gain is zero and the delay has no meaning, or where the
/// delay is negative (an advance, which a notch can show beside its centre).
#[must_use]
pub fn group_delay(sections: &[Sos], frequency: Hertz, rate: Hertz) -> Option<Seconds> {
    let z1 = unit_delay(frequency, rate);
    let samples: f64 = sections.iter().map(|s| s.delay_samples(z1)).sum();
    Seconds::new(samples / rate.get()).ok()
}
