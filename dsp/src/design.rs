//! Butterworth filters and the notch, as second-order sections that equal SciPy's as transfer functions.
//!
//! The coefficients come from the crate `biquad` (R. Bristow-Johnson's *Audio EQ Cookbook*), whose sections are bilinear
//! transforms of `s`-domain prototypes with a natural frequency and a Q. A Butterworth filter is a product of such
//! prototypes, so nothing is approximated: only frequencies, Qs and gains have to be computed. `biquad` accepts NaN
//! and infinity and panics in `.hz()`; every value is checked here before it gets there.

use std::f64::consts::PI;

use biquad::{Coefficients, Type};
use rustfft::num_complex::Complex64;

use crate::error::{DspError, count, parameter};
use crate::sos::Sos;
use crate::units::Hertz;

/// Highest Butterworth order designed here; a band-pass of this order has as many sections.
pub const MAX_ORDER: usize = 12;

/// Band-pass of `order` (SciPy's `N`: 2 N poles, N sections), -3 dB at `low` and `high`.
///
/// Equals `scipy.signal.butter(order, [low, high], 'bandpass', fs=rate, output='sos')` as a transfer function; the sections
/// differ. Here each has its zeros at 0 Hz and at half the rate, so that the first one already removes the
/// electrode's DC, and the gain is spread over all of them. Odd orders are exact too.
///
/// Method: with prewarped edges `W = tan(pi f / fs)`, `B = W2 - W1`, `W0^2 = W1 W2`, every pole `p` of the unit Butterworth
/// prototype becomes the roots of `s^2 - B p s + W0^2`; each root `r` and its conjugate form the section
/// `B s / (s^2 - 2 Re(r) s + |r|^2)`.
///
/// # Errors
/// [`DspError::Count`] for an order outside 1..=12, [`DspError::BandEdges`] unless `low < high`, [`DspError::Nyquist`] unless
/// `high < rate / 2`, [`DspError::Unstable`] when the band is too narrow for f64.
pub fn butter_bandpass(
    order: usize,
    low: Hertz,
    high: Hertz,
    rate: Hertz,
) -> Result<Vec<Sos>, DspError> {
    count("filter order", order, 1, MAX_ORDER)?;
    if low.get() >= high.get() {
        return Err(DspError::BandEdges {
            low_hz: low.get(),
            high_hz: high.get(),
        });
    }
    below_nyquist("upper band edge", high, rate)?;
    let (w1, w2) = (prewarp(low, rate), prewarp(high, rate));
    let (width, centre_squared) = (w2 - w1, w1 * w2);
    let mut sections = Vec::with_capacity(order);
    for angle in upper_pole_angles(order) {
        // p = -cos(angle) + i sin(angle); roots of s^2 - width p s + centre_squared.
        let half = Complex64::new(-angle.cos(), angle.sin()) * (width / 2.0);
        let root = (half * half - centre_squared).sqrt();
        for pole in [half + root, half - root] {
            sections.push(bandpass_section(pole.norm(), -2.0 * pole.re, width)?);
        }
    }
    if order % 2 == 1 {
        sections.push(bandpass_section(centre_squared.sqrt(), width, width)?);
    }
    // Damped sections first: a resonant one rings on what the others have already cut down.
    sections.sort_by(|x, y| x.a()[1].total_cmp(&y.a()[1]));
    Ok(sections)
}

/// Low-pass of `order`, -3 dB at `cutoff`; equals `scipy.signal.butter(order, cutoff, 'lowpass', fs=rate, output='sos')`.
///
/// # Errors
/// As [`butter_bandpass`].
pub fn butter_lowpass(order: usize, cutoff: Hertz, rate: Hertz) -> Result<Vec<Sos>, DspError> {
    butter_one_edge(Type::LowPass, order, cutoff, rate)
}

/// High-pass of `order`, -3 dB at `cutoff`; equals `scipy.signal.butter(order, cutoff, 'highpass', fs=rate, output='sos')`.
///
/// # Errors
/// As [`butter_bandpass`].
pub fn butter_highpass(order: usize, cutoff: Hertz, rate: Hertz) -> Result<Vec<Sos>, DspError> {
    butter_one_edge(Type::HighPass, order, cutoff, rate)
}

/// Notch at `centre` with quality `q` (centre over -3 dB width, 0.1..=1000); equals `scipy.signal.iirnotch(centre, q, fs=rate)`.
///
/// SciPy's bandwidth term is `tan(w0 / (2 Q))`, the cookbook's is `sin(w0) / (2 Q')`; `Q'` is chosen so that they are equal.
///
/// # Errors
/// [`DspError::Nyquist`] unless `centre < rate / 2`, [`DspError::Parameter`] for a `q` out of range or so low that
/// the lower edge would fall below 0 Hz.
pub fn iirnotch(centre: Hertz, q: f64, rate: Hertz) -> Result<Sos, DspError> {
    below_nyquist("notch frequency", centre, rate)?;
    let w0 = 2.0 * PI * centre.get() / rate.get();
    // tan needs w0 / (2 q) < pi / 2.
    let q = parameter("notch quality", q, (w0 / PI).max(0.1), 1000.0)?;
    let cookbook_q = w0.sin() / (2.0 * (w0 / (2.0 * q)).tan());
    section(Type::Notch, w0 / PI, cookbook_q)
}

fn below_nyquist(what: &'static str, frequency: Hertz, rate: Hertz) -> Result<(), DspError> {
    let nyquist_hz = rate.get() / 2.0;
    if frequency.get() < nyquist_hz {
        Ok(())
    } else {
        Err(DspError::Nyquist {
            what,
            frequency_hz: frequency.get(),
            nyquist_hz,
        })
    }
}

/// Frequency on the analogue side of the bilinear transform `s = (z - 1) / (z + 1)`.
fn prewarp(frequency: Hertz, rate: Hertz) -> f64 {
    (PI * frequency.get() / rate.get()).tan()
}

/// Angles from the negative real axis of the prototype's poles in the upper half plane, without the real pole.
fn upper_pole_angles(order: usize) -> impl Iterator<Item = f64> {
    let step = PI / order as f64;
    let first = if order.is_multiple_of(2) {
        step / 2.0
    } else {
        step
    };
    (0..order / 2).map(move |k| first + k as f64 * step)
}

/// `width s / (s^2 + damping s + natural^2)` under the bilinear transform.
fn bandpass_section(natural: f64, damping: f64, width: f64) -> Result<Sos, DspError> {
    // biquad's band-pass peaks at Q: it is natural s / (s^2 + ...).
    let normalised_f0 = 2.0 * natural.atan() / PI;
    section(Type::BandPass, normalised_f0, natural / damping)?.scaled(width / natural)
}

fn butter_one_edge(
    kind: Type<f64>,
    order: usize,
    cutoff: Hertz,
    rate: Hertz,
) -> Result<Vec<Sos>, DspError> {
    count("filter order", order, 1, MAX_ORDER)?;
    below_nyquist("cut-off frequency", cutoff, rate)?;
    let normalised_f0 = 2.0 * cutoff.get() / rate.get();
    let mut sections = Vec::with_capacity(order.div_ceil(2));
    if order % 2 == 1 {
        let low = section(Type::SinglePoleLowPass, normalised_f0, 1.0)?;
        let [a1, _] = low.a();
        // With t = tan(w0 / 2), a1 = (t - 1) / (t + 1), hence (1 - a1) / 2 = 1 / (1 + t), the high-pass numerator.
        sections.push(match kind {
            Type::HighPass => Sos::new([(1.0 - a1) / 2.0, (a1 - 1.0) / 2.0, 0.0], low.a())?,
            _ => low,
        });
    }
    // Q = 1 / (2 cos(angle)), the most damped pair first.
    for angle in upper_pole_angles(order) {
        sections.push(section(kind, normalised_f0, 0.5 / angle.cos())?);
    }
    Ok(sections)
}

/// The only call into `biquad`. `normalised_f0` is 1 at half the rate.
fn section(kind: Type<f64>, normalised_f0: f64, q: f64) -> Result<Sos, DspError> {
    let normalised_f0 = parameter(
        "normalised frequency",
        normalised_f0,
        f64::MIN_POSITIVE,
        1.0 - f64::EPSILON,
    )?;
    let q = parameter("section quality", q, 1e-6, 1e9)?;
    let refused = DspError::Unstable {
        a1: f64::NAN,
        a2: f64::NAN,
    };
    let c = Coefficients::from_normalized_params(kind, normalised_f0, q).map_err(|_| refused)?;
    Sos::new([c.b0, c.b1, c.b2], [c.a1, c.a2])
}
