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

use std::collections::VecDeque;
use std::ops::Range;

use super::evoked::{PERCEPTION_S, recovery};

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
/// A stamp further than this from the one before begins a new stretch, seconds (at slow rates two samples).
const GAP_S: f64 = 0.02;
/// Signal and predictors are differences over this time, seconds: no offset and next to no drift is left, and no mains of
/// 50 Hz.
const DIFFERENCE_S: f64 = 0.04;
/// Ridge, as a share of the mean of the diagonal, of the responses that are taken out: next to none, so that nothing is left.
const RIDGE_TAKEN: f64 = 1e-5;
/// Ridge of the responses that are played: more, as the noise that is in an average would make the person easier to read
/// than it was. Chosen on three recordings so that the mean out-of-fold AUC is the recordings' (benches/participant).
const RIDGE_PLAYED: f64 = 5e-3;
/// Most that single responses may vary, as a standard deviation relative to their mean.
const GAIN_SD_MAX: f64 = 1.0;

/// Why a recording makes no person.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RealEegError {
    /// The numbers do not fit together.
    #[error("{what}: expected {expected}, got {actual}")]
    Shape {
        /// Of what.
        what: &'static str,
        /// How many there should be.
        expected: usize,
        /// How many there are.
        actual: usize,
    },
    /// Something lies outside its range.
    #[error("{what} must lie in {min}..={max}, got {got}")]
    Range {
        /// Which.
        what: &'static str,
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
        /// The value.
        got: f64,
    },
    /// No stretch without a gap is long enough.
    #[error("no stretch of its EEG lasts {min_s} s without a gap in the stamps; there must be one")]
    Short {
        /// How long one must be, seconds.
        min_s: f64,
    },
    /// Too few flashes to take a response from.
    #[error(
        "{targets} target and {others} other flashes have EEG; at least {min} of each are needed to know how the person answers. Markers are {{\"event\":\"flash\",\"target\":1}} with 0 for the others"
    )]
    TooFewFlashes {
        /// Targets found.
        targets: usize,
        /// Others found.
        others: usize,
        /// Needed of each.
        min: usize,
    },
}

/// A flash of the recording.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RealFlash {
    /// Onset on the clock of the stamps, seconds.
    pub onset_s: f64,
    /// Whether the person attended to it.
    pub target: bool,
}

/// EEG as it was recorded: what a [`RealEeg`] is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct RawEeg {
    /// Labels of the channels, empty where they have none.
    pub labels: Vec<String>,
    /// Their units; empty when nothing is said.
    pub units: Vec<String>,
    /// Samples per second, 100 to 10,000.
    pub rate_hz: f64,
    /// One stamp per sample, seconds.
    pub stamps: Vec<f64>,
    /// `[sample][channel]`, in the stream's own unit.
    pub values: Vec<f32>,
}

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

    /// The normal equations of the signal's differences on those of the predictors: matrix and right sides `[unknown][channel]`.
    fn equations(&self, onsets: &[Onset]) -> (Vec<f64>, Vec<f64>) {
        let channels = self.raw.labels.len();
        let lag = self.lag();
        let mut normal = vec![0.0; 4 * KNOTS * KNOTS];
        let mut right = vec![0.0; 2 * KNOTS * channels];
        for (index, stretch) in self.stretches.iter().enumerate() {
            let here: Vec<&Onset> = onsets.iter().filter(|o| o.stretch == index).collect();
            let mut first = 0;
            let mut before: VecDeque<Vec<(usize, f64)>> = VecDeque::with_capacity(lag);
            for sample in stretch.clone() {
                let now = self.predictors(sample, &here, &mut first);
                if before.len() < lag {
                    before.push_back(now);
                    continue;
                }
                let mut row = now.clone();
                let then = before.pop_front().unwrap_or_default();
                row.extend(then.iter().map(|(knot, weight)| (*knot, -weight)));
                before.push_back(now);
                let (y, last) = (self.row(sample), self.row(sample - lag));
                for &(i, a) in &row {
                    for &(j, b) in &row {
                        normal[i * 2 * KNOTS + j] += a * b;
                    }
                    let to = &mut right[i * channels..(i + 1) * channels];
                    for ((to, y), last) in to.iter_mut().zip(y).zip(last) {
                        *to += a * (f64::from(*y) - f64::from(*last));
                    }
                }
            }
        }
        (normal, right)
    }

    /// Takes over the responses under a ridge. A knot that no flash reaches has no diagonal of its own; it becomes 0.
    fn respond(&mut self, normal: &[f64], right: &[f64], ridge: f64) {
        let unknowns = 2 * KNOTS;
        let (mut normal, mut right) = (normal.to_vec(), right.to_vec());
        let trace: f64 = (0..unknowns).map(|i| normal[i * unknowns + i]).sum();
        for i in 0..unknowns {
            normal[i * unknowns + i] += ridge * trace / unknowns as f64;
        }
        let channels = self.raw.labels.len();
        solve(&mut normal, &mut right, channels);
        let (flash, target) = right.split_at(KNOTS * channels);
        self.flash.copy_from_slice(flash);
        self.target.copy_from_slice(target);
    }

    /// Length of a difference, samples.
    fn lag(&self) -> usize {
        ((DIFFERENCE_S * self.raw.rate_hz).round() as usize).max(1)
    }

    /// Predictors of one sample that are not 0: index (targets from [`KNOTS`] on) and value. `first` is moved past flashes
    /// whose responses are over.
    fn predictors(&self, sample: usize, onsets: &[&Onset], first: &mut usize) -> Vec<(usize, f64)> {
        let mut found = Vec::new();
        while onsets
            .get(*first)
            .is_some_and(|onset| self.since_s(sample, onset) > END_S)
        {
            *first += 1;
        }
        for onset in onsets.iter().skip(*first) {
            let since_s = self.since_s(sample, onset);
            if since_s < 0.0 {
                break;
            }
            for (knot, weight) in knots(since_s).into_iter().flatten() {
                found.push((knot, weight));
                if onset.target {
                    found.push((KNOTS + knot, weight));
                }
            }
        }
        found
    }

    fn since_s(&self, sample: usize, onset: &Onset) -> f64 {
        (sample as f64 - onset.sample) / self.raw.rate_hz
    }

    /// Takes both responses out of the recording, wherever there was a flash.
    fn take_out(&mut self, onsets: &[Onset]) {
        let channels = self.raw.labels.len();
        let mut evoked = vec![0.0; channels];
        for (index, stretch) in self.stretches.clone().into_iter().enumerate() {
            let here: Vec<&Onset> = onsets.iter().filter(|o| o.stretch == index).collect();
            let mut first = 0;
            for sample in stretch {
                evoked.fill(0.0);
                for (place, weight) in self.predictors(sample, &here, &mut first) {
                    let response = match place.checked_sub(KNOTS) {
                        None => self.at(&self.flash, place),
                        Some(knot) => self.at(&self.target, knot),
                    };
                    for (to, value) in evoked.iter_mut().zip(response) {
                        *to += weight * value;
                    }
                }
                let row = &mut self.raw.values[sample * channels..(sample + 1) * channels];
                for (value, evoked) in row.iter_mut().zip(&evoked) {
                    *value = (f64::from(*value) - evoked) as f32;
                }
            }
        }
    }

    /// How single responses vary: what is left after the mean was taken out, projected on the mean response, varies more at
    /// targets than at other flashes by the variance of the responses' gains.
    fn spread(&self, onsets: &[Onset]) -> f64 {
        let steps = ((END_S - PERCEPTION_S) * self.raw.rate_hz) as usize;
        let channels = self.raw.labels.len();
        let lag = self.lag();
        let mut shape = vec![0.0; steps * channels];
        for (step, row) in shape.chunks_exact_mut(channels).enumerate() {
            self.add(PERCEPTION_S + step as f64 / self.raw.rate_hz, 0.0, 1.0, row);
        }
        for at in (lag * channels..shape.len()).rev() {
            shape[at] -= shape[at - lag * channels];
        }
        let power: f64 = shape.iter().map(|v| v * v).sum();
        if power <= 0.0 {
            return 0.0;
        }
        let gain = |onset: &Onset| {
            let first = (onset.sample + PERCEPTION_S * self.raw.rate_hz).ceil() as usize;
            let last = first + steps;
            let stretch = self.stretches.get(onset.stretch)?;
            let inside = first >= stretch.start + lag && last <= stretch.end;
            inside.then(|| {
                let rows = shape.chunks_exact(channels).zip(first..);
                let sum: f64 = rows
                    .flat_map(|(shape, sample)| {
                        let pairs = self.row(sample).iter().zip(self.row(sample - lag));
                        shape.iter().zip(pairs)
                    })
                    .map(|(shape, (now, last))| shape * (f64::from(*now) - f64::from(*last)))
                    .sum();
                sum / power
            })
        };
        let variance = |target: bool| {
            let gains: Vec<f64> = onsets
                .iter()
                .filter(|onset| onset.target == target)
                .filter_map(gain)
                .collect();
            let n = gains.len().max(1) as f64;
            let mean = gains.iter().sum::<f64>() / n;
            gains.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / n
        };
        (variance(true) - variance(false))
            .max(0.0)
            .sqrt()
            .min(GAIN_SD_MAX)
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

/// A flash with its place in the EEG.
#[derive(Debug, Clone, Copy)]
struct Onset {
    /// Number of the sample, with its fraction.
    sample: f64,
    stretch: usize,
    target: bool,
}

fn check(raw: &RawEeg) -> Result<(), RealEegError> {
    let range = |what, min, max, got: f64| {
        if (min..=max).contains(&got) {
            Ok(())
        } else {
            Err(RealEegError::Range {
                what,
                min,
                max,
                got,
            })
        }
    };
    let channels = raw.labels.len();
    range(
        "its EEG channels",
        1.0,
        REAL_CHANNELS_MAX as f64,
        channels as f64,
    )?;
    range("its EEG rate in Hz", 100.0, 10_000.0, raw.rate_hz)?;
    range(
        "its EEG values",
        0.0,
        REAL_VALUES_MAX as f64,
        raw.values.len() as f64,
    )?;
    let shape = |what, expected, actual| {
        if expected == actual {
            Ok(())
        } else {
            Err(RealEegError::Shape {
                what,
                expected,
                actual,
            })
        }
    };
    shape(
        "values of its EEG",
        raw.stamps.len() * channels,
        raw.values.len(),
    )?;
    if !raw.units.is_empty() {
        shape("units of its EEG", channels, raw.units.len())?;
    }
    Ok(())
}

/// Puts the last finite value of a channel in the place of one that is not finite.
fn hold(values: &mut [f32], channels: usize) {
    let mut last = vec![0.0; channels];
    for row in values.chunks_exact_mut(channels) {
        for (value, last) in row.iter_mut().zip(&mut last) {
            if value.is_finite() {
                *last = *value;
            } else {
                *value = *last;
            }
        }
    }
}

fn stretches(stamps: &[f64], rate_hz: f64) -> Vec<Range<usize>> {
    let gap_s = GAP_S.max(2.0 / rate_hz);
    let mut found = Vec::new();
    let mut begin = 0;
    for end in 1..=stamps.len() {
        let goes_on = end < stamps.len() && (0.0..gap_s).contains(&(stamps[end] - stamps[end - 1]));
        if !goes_on {
            if (end - begin) as f64 >= REAL_STRETCH_S_MIN * rate_hz {
                found.push(begin..end);
            }
            begin = end;
        }
    }
    found
}

/// Flashes with the whole of their response inside a stretch or running out of its end, in the order of time.
fn onsets(raw: &RawEeg, stretches: &[Range<usize>], flashes: &[RealFlash]) -> Vec<Onset> {
    let mut found: Vec<Onset> = flashes
        .iter()
        .filter_map(|flash| {
            let (stretch, range) = stretches.iter().enumerate().find(|(_, range)| {
                let within = raw
                    .stamps
                    .get(range.start)
                    .zip(raw.stamps.get(range.end - 1));
                within.is_some_and(|(a, b)| (*a..=*b).contains(&flash.onset_s))
            })?;
            let stamps = raw.stamps.get(range.clone())?;
            let after = stamps.partition_point(|stamp| *stamp < flash.onset_s);
            let lead_s = stamps.get(after)? - flash.onset_s;
            Some(Onset {
                sample: (range.start + after) as f64 - lead_s * raw.rate_hz,
                stretch,
                target: flash.target,
            })
        })
        .collect();
    found.sort_by(|a, b| a.sample.total_cmp(&b.sample));
    found
}

/// Mean recovery of targets from the ones before them; the first is rested.
fn mean_recovery(onsets: &[Onset], rate_hz: f64) -> f64 {
    let targets: Vec<f64> = onsets
        .iter()
        .filter(|onset| onset.target)
        .map(|onset| onset.sample / rate_hz)
        .collect();
    let sum: f64 = targets
        .windows(2)
        .map(|pair| recovery(pair[1] - pair[0]))
        .sum();
    (1.0 + sum) / targets.len().max(1) as f64
}

/// Solves a symmetric positive definite system for all right sides `[unknown][side]` in place (Cholesky).
fn solve(matrix: &mut [f64], right: &mut [f64], sides: usize) {
    let n = right.len() / sides;
    for j in 0..n {
        for i in j..n {
            let dot: f64 = (0..j).map(|k| matrix[i * n + k] * matrix[j * n + k]).sum();
            let value = matrix[i * n + j] - dot;
            matrix[i * n + j] = if i == j {
                value.max(f64::MIN_POSITIVE).sqrt()
            } else {
                value / matrix[j * n + j]
            };
        }
    }
    for side in 0..sides {
        for i in 0..n {
            let dot: f64 = (0..i)
                .map(|k| matrix[i * n + k] * right[k * sides + side])
                .sum();
            right[i * sides + side] = (right[i * sides + side] - dot) / matrix[i * n + i];
        }
        for i in (0..n).rev() {
            let dot: f64 = (i + 1..n)
                .map(|k| matrix[k * n + i] * right[k * sides + side])
                .sum();
            right[i * sides + side] = (right[i * sides + side] - dot) / matrix[i * n + i];
        }
    }
}
