//! Labelled epochs: the only form in which EEG enters this crate.

use crate::error::{CalibrationError, Result, finite, in_range, same_size};

/// Most features of an epoch, channels times bins: 128 channels of 64 bins. A discriminant sees half as many; its covariance
/// then has 8 million entries.
pub const FEATURES_MAX: usize = 8192;

/// One flash of a calibration: what was shown, when, and the features of the EEG that followed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochInfo {
    /// Onset of the flash, seconds on the recording's clock. Not decreasing within a run.
    pub onset_s: f64,
    /// Whether the person was told to attend to what flashed.
    pub target: bool,
    /// The uninterrupted bin the flash belongs to.
    pub run: u32,
}

/// Epochs in the order of time. Features are row-major `[epoch][channel][bin]`, microvolts.
///
/// ```
/// use razvilka_calibration::{EpochInfo, Epochs};
/// let mut epochs = Epochs::new(2, 3)?; // 2 channels, 3 bins in time
/// epochs.push(EpochInfo { onset_s: 0.0, target: true, run: 0 }, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!(epochs.row(0), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
/// # Ok::<(), razvilka_calibration::CalibrationError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Epochs {
    used: Vec<bool>,
    bins: usize,
    info: Vec<EpochInfo>,
    doubted: Vec<bool>,
    features: Vec<f64>,
}

impl Epochs {
    /// No epochs yet, of `channels` channels and `bins` bin means in time.
    ///
    /// # Errors
    /// As [`Epochs::with_used`].
    pub fn new(channels: usize, bins: usize) -> Result<Self> {
        Self::with_used(vec![true; channels], bins)
    }

    /// No epochs yet; channels where `used` is false keep their place but are never looked at: they were bad throughout.
    ///
    /// # Errors
    /// [`CalibrationError::TooFew`] when no channel is used or `bins` is 0, [`CalibrationError::OutOfRange`] beyond
    /// [`FEATURES_MAX`] features.
    pub fn with_used(used: Vec<bool>, bins: usize) -> Result<Self> {
        let good = used.iter().filter(|used| **used).count();
        for (what, found) in [("good EEG channels", good), ("bins per epoch", bins)] {
            if found == 0 {
                return Err(CalibrationError::TooFew {
                    what,
                    found,
                    needed: 1,
                });
            }
        }
        let features = used.len().saturating_mul(bins);
        in_range(
            "features per epoch (channels times bins)",
            features as f64,
            1.0,
            FEATURES_MAX as f64,
        )?;
        Ok(Self {
            used,
            bins,
            info: Vec::new(),
            doubted: Vec::new(),
            features: Vec::new(),
        })
    }

    /// Adds an epoch; `features` is `[channel][bin]`, microvolts.
    ///
    /// # Errors
    /// [`CalibrationError::Shape`] or [`CalibrationError::NotFinite`]; nothing is added then.
    pub fn push(&mut self, info: EpochInfo, features: &[f64]) -> Result<()> {
        self.add(info, features, false)
    }

    /// Adds an epoch that is fitted on, but would bring no evidence in a session: its signal is in doubt.
    ///
    /// # Errors
    /// As [`Epochs::push`].
    pub fn push_doubted(&mut self, info: EpochInfo, features: &[f64]) -> Result<()> {
        self.add(info, features, true)
    }

    fn add(&mut self, info: EpochInfo, features: &[f64], doubted: bool) -> Result<()> {
        same_size(
            "features per epoch",
            self.features_per_epoch(),
            features.len(),
        )?;
        finite("epoch features", features)?;
        finite("flash onset", &[info.onset_s])?;
        self.info.push(info);
        self.doubted.push(doubted);
        self.features.extend_from_slice(features);
        Ok(())
    }

    /// The same epochs at half the resolution in time: means of two bins each. An odd last bin is left out.
    ///
    /// # Errors
    /// [`CalibrationError::TooFew`] with fewer than two bins.
    pub fn paired(&self) -> Result<Self> {
        let mut out = Self::with_used(self.used.clone(), self.bins / 2)?;
        for (row, info) in self.info.iter().enumerate() {
            let values: Vec<f64> = self
                .row(row)
                .chunks_exact(self.bins)
                .flat_map(|channel| {
                    channel
                        .chunks_exact(2)
                        .map(|pair| 0.5 * (pair[0] + pair[1]))
                })
                .collect();
            out.add(*info, &values, self.doubted[row])?;
        }
        Ok(out)
    }

    /// The epochs of index `rows`, in that order.
    ///
    /// # Errors
    /// As [`Epochs::with_used`].
    ///
    /// # Panics
    /// When an index is out of range.
    pub fn subset(&self, rows: &[usize]) -> Result<Self> {
        let mut out = Self::with_used(self.used.clone(), self.bins)?;
        for &row in rows {
            out.add(self.info[row], self.row(row), self.doubted[row])?;
        }
        Ok(out)
    }

    /// The same epochs with those channels only, in that order.
    ///
    /// # Errors
    /// [`CalibrationError::OutOfRange`] for a channel that is not there, and as [`Epochs::with_used`].
    pub fn channels_at(&self, places: &[usize]) -> Result<Self> {
        for &place in places {
            let last = self.channels() as f64 - 1.0;
            in_range("channel", place as f64, 0.0, last)?;
        }
        let used = places.iter().map(|&place| self.used[place]).collect();
        let mut out = Self::with_used(used, self.bins)?;
        for (row, info) in self.info.iter().enumerate() {
            let values = self.row(row);
            let picked: Vec<f64> = places
                .iter()
                .flat_map(|&place| &values[place * self.bins..(place + 1) * self.bins])
                .copied()
                .collect();
            out.add(*info, &picked, self.doubted[row])?;
        }
        Ok(out)
    }

    /// Number of epochs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.info.len()
    }

    /// Whether there is no epoch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.info.is_empty()
    }

    /// Number of channels, used or not.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.used.len()
    }

    /// Which channels are used.
    #[must_use]
    pub fn used(&self) -> &[bool] {
        &self.used
    }

    /// Number of means per channel.
    #[must_use]
    pub fn bins(&self) -> usize {
        self.bins
    }

    /// `channels * bins`.
    #[must_use]
    pub fn features_per_epoch(&self) -> usize {
        self.used.len() * self.bins
    }

    /// What is known of each epoch, in the order of time.
    #[must_use]
    pub fn info(&self) -> &[EpochInfo] {
        &self.info
    }

    /// Which epochs are in doubt and would bring no evidence ([`Epochs::push_doubted`]), in the order of time.
    #[must_use]
    pub fn doubted(&self) -> &[bool] {
        &self.doubted
    }

    /// Labels in the order of time.
    #[must_use]
    pub fn labels(&self) -> Vec<bool> {
        self.info.iter().map(|epoch| epoch.target).collect()
    }

    /// Number of target epochs.
    #[must_use]
    pub fn targets(&self) -> usize {
        self.info.iter().filter(|epoch| epoch.target).count()
    }

    /// Features of epoch `index`, `[channel][bin]`.
    ///
    /// # Panics
    /// When `index >= len()`, like a slice.
    #[must_use]
    pub fn row(&self, index: usize) -> &[f64] {
        let width = self.features_per_epoch();
        &self.features[index * width..(index + 1) * width]
    }
}
