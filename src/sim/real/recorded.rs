//! A recording as it comes: checked, with what is no number held, cut at gaps, its flashes placed.

use std::ops::Range;

use super::super::evoked::recovery;
use super::{REAL_CHANNELS_MAX, REAL_STRETCH_S_MIN, REAL_VALUES_MAX};

/// A stamp further than this from the one before begins a new stretch, seconds (at slow rates two samples).
const GAP_S: f64 = 0.02;

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

/// EEG as it was recorded: what a [`RealEeg`](super::RealEeg) is made of.
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

/// A flash with its place in the EEG.
#[derive(Debug, Clone, Copy)]
pub(super) struct Onset {
    /// Number of the sample, with its fraction.
    pub(super) sample: f64,
    pub(super) stretch: usize,
    pub(super) target: bool,
}

pub(super) fn check(raw: &RawEeg) -> Result<(), RealEegError> {
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
pub(super) fn hold(values: &mut [f32], channels: usize) {
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

pub(super) fn stretches(stamps: &[f64], rate_hz: f64) -> Vec<Range<usize>> {
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
pub(super) fn onsets(
    raw: &RawEeg,
    stretches: &[Range<usize>],
    flashes: &[RealFlash],
) -> Vec<Onset> {
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
pub(super) fn mean_recovery(onsets: &[Onset], rate_hz: f64) -> f64 {
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
