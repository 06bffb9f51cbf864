//! A recorded person: the EEG of a labelled recording, taken apart into background and responses.
//!
//! The recording is a sum of what every flash evoked, what the attended ones evoked beyond that, and the rest. Both responses
//! are estimated together by regression on all flashes, so that overlapping responses are told apart ("regression-based
//! ERPs", Smith & Kutas 2015, Psychophysiology 52:157). The rest, with both responses taken out wherever they were, is the
//! background that a simulated amplifier plays; the responses answer the flashes of the simulation. Resampling single
//! epochs instead would bring the background of a second moment along with each response.
//!
//! Deviations from the paper: signal and predictors are differences over 40 ms, against offset and drift; the responses are linear
//! between knots of 16 ms, which keeps what lies below 20 Hz; ridges, as flashes of a constant pace do not tell
//! neighbouring responses apart.

mod recorded;
mod responses;

use std::ops::Range;

use self::recorded::{check, hold, mean_recovery, onsets, stretches};
use super::evoked::PERCEPTION_S;

pub use self::recorded::{RawEeg, RealEegError, RealFlash};

/// Fewest targets, and fewest other flashes, that a response is taken from.
pub const REAL_FLASHES_MIN: usize = 10;
/// Most channels of a recording.
pub const REAL_CHANNELS_MAX: usize = 512;
/// Most values, samples times channels, that are held: 256 MiB.
pub const REAL_VALUES_MAX: usize = 1 << 26;
/// Shortest stretch of EEG that is played, seconds.
pub const REAL_STRETCH_S_MIN: f64 = 4.0;

/// Distance of the knots of a response, seconds.
const KNOT_S: f64 = 0.016;
/// Knots of a response. Before the first and after the last it is 0.
const KNOTS: usize = 56;
/// Ridge, as a share of the mean of the diagonal, of the responses that are taken out: next to none, so that nothing is left.
const RIDGE_TAKEN: f64 = 1e-5;
/// Ridge of the responses that are played: more, as the noise that is in an average would make the person easier to read
/// than it was. Chosen on three recordings so that the mean out-of-fold AUC is the recordings' (benches/participant).
const RIDGE_PLAYED: f64 = 5e-3;

/// A recorded person's background and responses.
#[derive(Debug, Clone, PartialEq)]
pub struct RealEeg {
    pub(super) raw: RawEeg,
    /// Stretches of samples without a gap.
    pub(super) stretches: Vec<Range<usize>>,
    /// `[knot][channel]`: what every flash evokes.
    flash: Vec<f64>,
    /// `[knot][channel]`: what a target evokes beyond that.
    target: Vec<f64>,
    /// Standard deviation of single target responses, relative to their mean.
    pub(super) gain_sd: f64,
    /// Mean recovery of the recorded targets from the ones before them.
    pub(super) recovery: f64,
}

impl RealEeg {
    /// Takes a recording apart. Flashes outside the EEG are passed over; values that are not finite are held.
    ///
    /// # Errors
    /// [`RealEegError`] when shapes, rate or counts are out of range, no stretch is long enough, or there are too few
    /// flashes of either kind.
    pub fn prepare(mut raw: RawEeg, flashes: &[RealFlash]) -> Result<Self, RealEegError> {
        check(&raw)?;
        let channels = raw.labels.len();
        hold(&mut raw.values, channels);
        let stretches = stretches(&raw.stamps, raw.rate_hz);
        if stretches.is_empty() {
            let min_s = REAL_STRETCH_S_MIN;
            return Err(RealEegError::Short { min_s });
        }
        let onsets = onsets(&raw, &stretches, flashes);
        let targets = onsets.iter().filter(|onset| onset.target).count();
        let others = onsets.len() - targets;
        if targets.min(others) < REAL_FLASHES_MIN {
            return Err(RealEegError::TooFewFlashes {
                targets,
                others,
                min: REAL_FLASHES_MIN,
            });
        }
        let mut real = Self {
            flash: vec![0.0; KNOTS * channels],
            target: vec![0.0; KNOTS * channels],
            gain_sd: 0.0,
            recovery: mean_recovery(&onsets, raw.rate_hz),
            stretches,
            raw,
        };
        let (normal, right) = real.equations(&onsets);
        real.respond(&normal, &right, RIDGE_TAKEN);
        real.take_out(&onsets);
        real.respond(&normal, &right, RIDGE_PLAYED);
        real.gain_sd = real.spread(&onsets);
        Ok(real)
    }

    /// Labels of the channels.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.raw.labels
    }

    /// Units of the channels; empty when the recording does not say.
    #[must_use]
    pub fn units(&self) -> &[String] {
        &self.raw.units
    }

    /// Samples per second.
    #[must_use]
    pub fn rate_hz(&self) -> f64 {
        self.raw.rate_hz
    }

    /// The background: the recording without what its flashes evoked.
    #[must_use]
    pub fn background(&self) -> &RawEeg {
        &self.raw
    }

    /// Standard deviation of single target responses, relative to their mean.
    #[must_use]
    pub fn gain_sd(&self) -> f64 {
        self.gain_sd
    }

    pub(super) fn row(&self, sample: usize) -> &[f32] {
        let channels = self.raw.labels.len();
        self.raw
            .values
            .get(sample * channels..(sample + 1) * channels)
            .unwrap_or_default()
    }

    /// Adds both responses, `since_s` after their flash, to one sample.
    pub(super) fn add(&self, since_s: f64, flash_gain: f64, target_gain: f64, to: &mut [f64]) {
        for (knot, weight) in knots(since_s).into_iter().flatten() {
            let (flash, target) = (self.at(&self.flash, knot), self.at(&self.target, knot));
            for ((to, flash), target) in to.iter_mut().zip(flash).zip(target) {
                *to += weight * (flash_gain * flash + target_gain * target);
            }
        }
    }

    fn at<'a>(&self, response: &'a [f64], knot: usize) -> &'a [f64] {
        let channels = self.raw.labels.len();
        response
            .get(knot * channels..(knot + 1) * channels)
            .unwrap_or_default()
    }
}

/// After this time a response is over, seconds.
pub(super) const END_S: f64 = PERCEPTION_S + (KNOTS + 1) as f64 * KNOT_S;

/// The two knots beside a moment after a flash, with their weights.
fn knots(since_s: f64) -> [Option<(usize, f64)>; 2] {
    let place = (since_s - PERCEPTION_S) / KNOT_S - 1.0;
    let below = place.floor();
    let knot = |at: f64, weight: f64| {
        let inside = weight > 0.0 && (0.0..KNOTS as f64).contains(&at);
        inside.then_some((at as usize, weight))
    };
    [
        knot(below, 1.0 - (place - below)),
        knot(below + 1.0, place - below),
    ]
}
