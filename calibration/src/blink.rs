//! Weights of the blink regression, from samples around blinks.

use razvilka_dsp::blink::{BLINK_UV, BlinkRegression, WEIGHT_MAX, blink_in};
use razvilka_dsp::mask::ChannelMask;

use crate::error::Result;

/// A reference beyond this magnitude sees a blink, uV.
pub const BLINK_MIN_UV: f64 = BLINK_UV;
/// Fewest blinks from which weights are taken.
pub const BLINKS_MIN: usize = 5;

/// Channels beside the eyes, made for it.
const EYE_LABELS: [&str; 4] = ["VEOG", "EOG", "EOGV", "EOG1"];
/// Channels of the head that see blinks, with brain in them too: taken only when the person was asked to blink.
const FRONT_LABELS: [&str; 5] = ["FP1", "FPZ", "FP2", "AF7", "AF8"];

/// The channel that sees blinks best, by its label: one beside the eyes or, when the person was `asked` to blink, one of the
/// foremost of the head; `None` when there is neither.
#[must_use]
pub fn blink_reference(labels: &[String], asked: bool) -> Option<usize> {
    let front = FRONT_LABELS.iter().filter(|_| asked);
    EYE_LABELS.iter().chain(front).find_map(|name| {
        let mut labels = labels.iter();
        labels.position(|label| label.eq_ignore_ascii_case(name))
    })
}

/// Least squares of every channel on the blink in the reference ([`blink_in`]), with a constant: `cov(channel, blink) / var(blink)`.
#[derive(Debug, Clone)]
pub struct BlinkFit {
    reference: usize,
    sums: Vec<Sums>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    n: f64,
    r: f64,
    x: f64,
    rr: f64,
    xr: f64,
}

impl BlinkFit {
    /// A fit of `channels` channels on one of them.
    #[must_use]
    pub fn new(channels: usize, reference: usize) -> Self {
        Self {
            reference,
            sums: vec![Sums::default(); channels],
        }
    }

    /// Adds a filtered sample around a blink; channels that are `bad` are passed over, and all are when the reference is.
    pub fn push(&mut self, sample: &[f64], bad: &ChannelMask) {
        let Some(&r) = sample.get(self.reference) else {
            return;
        };
        if bad.contains(self.reference) || !r.is_finite() {
            return;
        }
        let r = blink_in(r);
        for (channel, (sums, &x)) in self.sums.iter_mut().zip(sample).enumerate() {
            if !bad.contains(channel) && x.is_finite() {
                sums.n += 1.0;
                sums.r += r;
                sums.x += x;
                sums.rr += r * r;
                sums.xr += x * r;
            }
        }
    }

    /// The weights; 0 for a channel that was never good.
    ///
    /// # Errors
    /// [`crate::CalibrationError::Dsp`] when the reference is no channel.
    pub fn finish(&self) -> Result<BlinkRegression> {
        let weights = self.sums.iter().map(|s| {
            let n = s.n.max(1.0);
            let variance = s.rr / n - (s.r / n) * (s.r / n);
            let covariance = s.xr / n - (s.x / n) * (s.r / n);
            if variance > 0.0 {
                (covariance / variance).clamp(-WEIGHT_MAX, WEIGHT_MAX)
            } else {
                0.0
            }
        });
        Ok(BlinkRegression::new(self.reference, weights.collect())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_with_which_blinks_were_mixed_are_found() {
        let mut fit = BlinkFit::new(3, 0);
        for i in 0..500 {
            let t = f64::from(i) * 0.02;
            let blink = 150.0 * (-(t - 5.0) * (t - 5.0)).exp();
            fit.push(
                &[
                    blink,
                    0.4 * blink_in(blink) + (9.0 * t).sin(),
                    3.0 - 0.1 * blink_in(blink),
                ],
                &ChannelMask::NONE,
            );
        }
        let found = fit.finish().unwrap();
        assert_eq!(found.weights()[0], 0.0);
        assert!((found.weights()[1] - 0.4).abs() < 0.01);
        assert!((found.weights()[2] + 0.1).abs() < 1e-9);
    }
}
