//! The limits of channel quality.

use serde::{Deserialize, Serialize};

use crate::units::{Hertz, Microvolts, Seconds};

/// Limits of [`super::ChannelQuality`]; every field has a default.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QualitySpec {
    /// Length of a window, 0.1..=60 s. Default 2.
    pub window: Seconds,
    /// A channel is railed when more than 1 in 100 of its samples reach this magnitude. Default 400 000 uV, above the DC
    /// of a healthy electrode. Rails that nobody told us of are found as well, see the module.
    pub rail: Microvolts,
    /// A channel is flat when its samples span no more than this within a window. Default 0.5 uV.
    pub flat: Microvolts,
    /// A filtered value beyond this is no EEG and no blink but a jump, 1..=1e9 uV; absent: not watched. Default 1000 uV.
    pub swing: Option<Microvolts>,
    /// Largest deviation of a channel's log-variance from the channels' median, in robust standard deviations (1.4826 MAD, at
    /// least 0.7 log units). Default 6, some eight times the amplitude of the others; needs at least 4 channels that are neither railed nor flat.
    pub variance_z_max: f64,
    /// Mains frequency, 50 or 60 Hz; absent: line noise is not watched.
    pub line: Option<Hertz>,
    /// Largest ratio of line-noise power (before the notch) to the variance of the filtered channel. Default 400.
    pub line_ratio_max: f64,
    /// Least magnitude of a channel's best mean correlation, 0..=1; 0: not watched. Default 0.15.
    pub correlation_min: f64,
    /// Correlation from which on a channel without a rest of its own is a copy, 0.9..=1. Default 0.9995.
    pub copy_min: f64,
    /// How long a channel stays bad after a jump or a value that is not finite: the filters' settling time. Default 2 s.
    pub settle: Seconds,
    /// Fewest good channels with which the gate may open. Default 4.
    pub min_good: usize,
}

impl Default for QualitySpec {
    fn default() -> Self {
        // All within range, so nothing falls back; `const` evaluation shows it at build time.
        const TWO_S: Seconds = match Seconds::new(2.0) {
            Ok(v) => v,
            Err(_) => panic!("in range"),
        };
        const RAIL: Microvolts = match Microvolts::new(400_000.0) {
            Ok(v) => v,
            Err(_) => panic!("in range"),
        };
        const FLAT: Microvolts = match Microvolts::new(0.5) {
            Ok(v) => v,
            Err(_) => panic!("in range"),
        };
        const SWING: Microvolts = match Microvolts::new(1_000.0) {
            Ok(v) => v,
            Err(_) => panic!("in range"),
        };
        Self {
            window: TWO_S,
            rail: RAIL,
            flat: FLAT,
            swing: Some(SWING),
            variance_z_max: 6.0,
            line: None,
            line_ratio_max: 400.0,
            correlation_min: 0.15,
            copy_min: 0.9995,
            settle: TWO_S,
            min_good: 4,
        }
    }
}
