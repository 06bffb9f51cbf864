//! How many numbers an epoch gives, and what each is the mean of.

use serde::{Deserialize, Serialize};

use crate::error::{DspError, count};
use crate::mask::MAX_CHANNELS;
use crate::units::{Hertz, Seconds};

/// Numbers of an epoch's features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochShape {
    channels: usize,
    bins: usize,
    bin_samples: usize,
}

impl EpochShape {
    /// The shape of an epoch of `length` at `rate`, decimated to about `target_rate`.
    ///
    /// With `n = round(length * rate)` and `k = max(1, round(rate / target_rate))` there are `floor(n / k)` bins of `k` samples; samples
    /// beyond the last whole bin are not waited for.
    ///
    /// # Errors
    /// [`DspError::Count`] for channels outside 1..=512, or when the epoch is shorter than one bin or longer than 4096 bins.
    pub fn new(
        channels: usize,
        length: Seconds,
        rate: Hertz,
        target_rate: Hertz,
    ) -> Result<Self, DspError> {
        count("channels", channels, 1, MAX_CHANNELS)?;
        let samples = (length.get() * rate.get()).round() as usize;
        let bin_samples = (rate.get() / target_rate.get()).round().max(1.0) as usize;
        let bins = count("bins of an epoch", samples / bin_samples, 1, 4096)?;
        Ok(Self {
            channels,
            bins,
            bin_samples,
        })
    }

    /// Number of channels.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Number of bins per channel.
    #[must_use]
    pub fn bins(&self) -> usize {
        self.bins
    }

    /// Number of samples averaged into a bin.
    #[must_use]
    pub fn bin_samples(&self) -> usize {
        self.bin_samples
    }

    /// Number of samples in an epoch.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.bins * self.bin_samples
    }

    /// Number of features: channels times bins.
    #[must_use]
    pub fn features(&self) -> usize {
        self.channels * self.bins
    }
}
