//! What the EEG path is to do: part of the calibration profile, so that live, replay and offline scoring agree.

use serde::{Deserialize, Serialize};

use crate::design::{butter_bandpass, iirnotch};
use crate::epoch::EpochShape;
use crate::error::{DspError, count, parameter};
use crate::mask::MAX_CHANNELS;
use crate::quality::QualitySpec;
use crate::sos::Sos;
use crate::stamps::StampRule;
use crate::units::{Hertz, Microvolts, Seconds};

/// Butterworth band-pass.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BandSpec {
    /// Lower -3 dB edge.
    pub low: Hertz,
    /// Upper -3 dB edge.
    pub high: Hertz,
    /// SciPy's order N, 1..=12: twice as many poles.
    pub order: usize,
}

/// Notch against the mains.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotchSpec {
    /// Mains frequency.
    pub centre: Hertz,
    /// Centre over -3 dB width, 0.1..=1000.
    pub q: f64,
}

/// What the filtered channels are referred to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// The amplifier's own reference.
    #[default]
    AsRecorded,
    /// The mean of the good channels.
    CommonAverage,
}

/// Epochs and when they are rejected.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochSpec {
    /// First sample after the flash, 0..=1 s.
    pub start: Seconds,
    /// Length, up to 2 s.
    pub length: Seconds,
    /// About this rate is left after averaging blocks of samples.
    pub target_rate: Hertz,
    /// Largest span of a used channel, after the filters.
    pub peak_to_peak: Microvolts,
    /// Most epochs open at once, 1..=256.
    pub open_max: usize,
}

/// The whole path.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EegSpec {
    /// Nominal rate of the stream, up to 50 kHz.
    pub rate: Hertz,
    /// Channels of the stream, 1..=512.
    pub channels: usize,
    /// What the stamps mean.
    pub stamps: StampRule,
    /// Band-pass, or none.
    pub band: Option<BandSpec>,
    /// Notch, or none.
    pub notch: Option<NotchSpec>,
    /// Reference.
    pub reference: Reference,
    /// Epochs.
    pub epoch: EpochSpec,
    /// Limits for bad channels.
    pub quality: QualitySpec,
    /// Epochs within this time after a (re)start of the filters are rejected, 0..=60 s.
    pub settle: Seconds,
    /// How far back a flash may be announced after its samples, 2..=30 s.
    pub history: Seconds,
}

const fn hertz(value: f64) -> Hertz {
    match Hertz::new(value) {
        Ok(v) => v,
        Err(_) => panic!("evaluated at build time"),
    }
}

const fn seconds(value: f64) -> Seconds {
    match Seconds::new(value) {
        Ok(v) => v,
        Err(_) => panic!("evaluated at build time"),
    }
}

const fn microvolts(value: f64) -> Microvolts {
    match Microvolts::new(value) {
        Ok(v) => v,
        Err(_) => panic!("evaluated at build time"),
    }
}

impl EegSpec {
    /// The settings that served P300 best in our comparisons: 0.5-20 Hz of order 2, no notch, as recorded, epochs of 0-0.8 s at about
    /// 64 Hz, 150 uV peak to peak, settling 0.5 s. The minimum montage is half the channels, at most 4.
    #[must_use]
    pub fn p300(rate: Hertz, channels: usize) -> Self {
        const LOW: Hertz = hertz(0.5);
        const HIGH: Hertz = hertz(20.0);
        const TARGET: Hertz = hertz(64.0);
        const START: Seconds = seconds(0.0);
        const LENGTH: Seconds = seconds(0.8);
        const SPAN: Microvolts = microvolts(150.0);
        const SETTLE: Seconds = seconds(0.5);
        const HISTORY: Seconds = seconds(4.0);
        Self {
            rate,
            channels,
            stamps: StampRule::PerSample,
            band: Some(BandSpec {
                low: LOW,
                high: HIGH,
                order: 2,
            }),
            notch: None,
            reference: Reference::AsRecorded,
            epoch: EpochSpec {
                start: START,
                length: LENGTH,
                target_rate: TARGET,
                peak_to_peak: SPAN,
                open_max: 32,
            },
            quality: QualitySpec {
                min_good: channels.div_ceil(2).clamp(1, 4),
                ..QualitySpec::default()
            },
            settle: SETTLE,
            history: HISTORY,
        }
    }

    /// Shape of the epochs.
    ///
    /// # Errors
    /// As [`EpochShape::new`].
    pub fn epoch_shape(&self) -> Result<EpochShape, DspError> {
        EpochShape::new(
            self.channels,
            self.epoch.length,
            self.rate,
            self.epoch.target_rate,
        )
    }

    /// The cascade of band-pass and notch; empty when there is neither.
    ///
    /// # Errors
    /// As [`butter_bandpass`] and [`iirnotch`].
    pub fn sections(&self) -> Result<Vec<Sos>, DspError> {
        let mut sections = match self.band {
            Some(band) => butter_bandpass(band.order, band.low, band.high, self.rate)?,
            None => Vec::new(),
        };
        if let Some(notch) = self.notch {
            sections.push(iirnotch(notch.centre, notch.q, self.rate)?);
        }
        Ok(sections)
    }

    /// The limits for bad channels as far as they apply: without a high-pass the electrodes' DC is no jump.
    pub(super) fn quality_of_filtered(&self) -> QualitySpec {
        QualitySpec {
            swing: self.quality.swing.filter(|_| self.band.is_some()),
            ..self.quality
        }
    }

    /// Checks everything that the types do not.
    ///
    /// # Errors
    /// The first number out of range.
    pub fn check(&self) -> Result<(), DspError> {
        count("channels", self.channels, 1, MAX_CHANNELS)?;
        parameter("epoch start in s", self.epoch.start.get(), 0.0, 1.0)?;
        parameter("epoch length in s", self.epoch.length.get(), 0.0, 2.0)?;
        parameter("settling time in s", self.settle.get(), 0.0, 60.0)?;
        parameter("history in s", self.history.get(), 2.0, 30.0)?;
        self.epoch_shape()?;
        self.sections()?;
        Ok(())
    }
}
