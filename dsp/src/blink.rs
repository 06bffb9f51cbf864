//! Blinks taken out by regression with fixed weights.
//!
//! What an electrode near the eyes sees of a blink spreads to the others by volume conduction, at once and in fixed
//! proportion: `corrected = channel - weight * blink` (Gratton, Coles & Donchin, Electroencephalography and Clinical
//! Neurophysiology 55 (1983) 468-484, equation 1; weights fixed from a calibration block as in Croft & Barry, Clinical
//! Neurophysiology 111 (2000) 440-451). Unlike both, one weight per channel serves blinks only, works on band-passed samples, and the blink is not
//! the reference itself but what of it goes beyond [`QUIET_UV`] ([`blink_in`]): an electrode near the eyes sees brain and noise, too, and to subtract
//! those from all channels all the time costs more than blinks do. Who does not blink loses nothing, to the bit.

use serde::{Deserialize, Serialize};

use crate::error::{DspError, count, parameter, shape};
use crate::mask::MAX_CHANNELS;

/// Largest magnitude of a weight: no channel sees more of a blink than the reference by this factor.
pub const WEIGHT_MAX: f64 = 10.0;

/// Up to this magnitude a filtered reference may be brain and noise, uV.
pub const QUIET_UV: f64 = 30.0;

/// Beyond this magnitude a filtered reference sees a blink for sure, uV.
pub const BLINK_UV: f64 = 75.0;

/// The blink in a filtered sample of the reference, uV: what goes beyond [`QUIET_UV`], with its sign; continuous.
#[must_use]
pub fn blink_in(reference_uv: f64) -> f64 {
    reference_uv - reference_uv.clamp(-QUIET_UV, QUIET_UV)
}

/// One weight per channel; that of the reference is 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlinkRegression {
    reference: usize,
    weights: Vec<f64>,
}

impl BlinkRegression {
    /// Weights for channels `0..weights.len()`; that of the reference is set to 0.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn new(reference: usize, mut weights: Vec<f64>) -> Result<Self, DspError> {
        if let Some(weight) = weights.get_mut(reference) {
            *weight = 0.0;
        }
        let made = Self { reference, weights };
        made.check()?;
        Ok(made)
    }

    /// Checks what a file may hold.
    ///
    /// # Errors
    /// [`DspError::Count`] for channels outside 1..=512 or a reference that is none of them, [`DspError::Parameter`] for a weight that is not finite
    /// or beyond [`WEIGHT_MAX`].
    pub fn check(&self) -> Result<(), DspError> {
        let channels = count("channels", self.weights.len(), 1, MAX_CHANNELS)?;
        count("blink reference", self.reference, 0, channels - 1)?;
        for weight in &self.weights {
            parameter("blink weight", *weight, -WEIGHT_MAX, WEIGHT_MAX)?;
        }
        Ok(())
    }

    /// Channel that sees the blinks.
    #[must_use]
    pub fn reference(&self) -> usize {
        self.reference
    }

    /// What each channel sees of it.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Takes the blink out of one filtered sample, in place. Real-time.
    ///
    /// # Errors
    /// [`DspError::Shape`] unless there is one value per channel.
    pub fn process(&self, sample: &mut [f64]) -> Result<(), DspError> {
        shape("sample", sample.len(), self.weights.len())?;
        let seen = sample.get(self.reference).copied().unwrap_or(0.0);
        let blink_uv = blink_in(seen);
        if blink_uv != 0.0 {
            for (x, weight) in sample.iter_mut().zip(&self.weights) {
                *x -= weight * blink_uv;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_spreads_from_the_reference_is_gone_and_the_reference_stays() {
        let blinks = BlinkRegression::new(1, vec![0.5, 7.0, -0.25]).unwrap();
        let mut sample = [3.0 + 50.0, 130.0, 1.0 - 25.0];
        blinks.process(&mut sample).unwrap();
        assert_eq!(sample, [3.0, 130.0, 1.0]);
        let mut quiet = [3.0, -30.0, 1.0];
        blinks.process(&mut quiet).unwrap();
        assert_eq!(quiet, [3.0, -30.0, 1.0], "no blink, no change");
        assert!(blinks.process(&mut [0.0; 2]).is_err());
    }

    #[test]
    fn weights_that_cannot_be_are_refused() {
        assert!(BlinkRegression::new(0, vec![]).is_err());
        assert!(BlinkRegression::new(2, vec![0.0; 2]).is_err());
        assert!(BlinkRegression::new(0, vec![0.0, f64::NAN]).is_err());
        assert!(BlinkRegression::new(0, vec![0.0, 11.0]).is_err());
    }
}
