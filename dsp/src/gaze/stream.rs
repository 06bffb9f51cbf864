//! From samples to features: stamps checked, short gaps bridged, each sample described once its look-ahead has come.

use super::features::{FEATURES, Features, HISTORY_S, Measure, Moment};
use super::history::History;
use super::{GazeCounts, GazeSample, LOOK_AHEAD_MAX_S};
use crate::error::{DspError, parameter};
use crate::queue::FixedQueue;
use crate::units::Hertz;

/// Samples that wait at most; more means stamps closer than any tracker's.
const WAITING_MAX: usize = 64;
/// Samples that the history holds: its length at 2000 Hz.
const HISTORY_SAMPLES: usize = (HISTORY_S * 2000.0) as usize;
/// Look-ahead of the features; what is left of the look-ahead is the labels'. At rates of which no sample fits into it the features have it all.
const FEATURES_LOOK_AHEAD_S: f64 = 0.006;
/// Time constant of the share of lost samples.
const LOST_S: f64 = 0.5;

/// A sample and its features.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Described {
    /// The sample's stamp, seconds.
    pub t_s: f64,
    /// Stamp of the newest sample that was known, seconds.
    pub now_s: f64,
    /// Time since the sample before, seconds; 0 for the first.
    pub dt_s: f64,
    /// Its position, degrees; `None` where there is none.
    pub at_deg: Option<[f64; 2]>,
    /// Whether it lies in a gap that is too long to be bridged.
    pub gone: bool,
    /// Speed within 5 ms about it, deg/s; `None` without a position.
    pub speed_deg_s: Option<f64>,
    /// Its features.
    pub features: Features,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    t_s: f64,
    at_deg: Option<[f64; 2]>,
    last_valid_s: Option<f64>,
}

/// Describes every sample in its order, at most 6 ms later, or one sample where that is more.
#[derive(Debug, Clone)]
pub struct FeatureStream {
    nominal_s: f64,
    bridge_s: f64,
    period_ln: f64,
    history: History,
    measure: Measure,
    waiting: FixedQueue<Waiting>,
    began_s: f64,
    lost_share: f64,
    last_s: Option<f64>,
    last_valid_s: Option<f64>,
    described_s: Option<f64>,
    counts: GazeCounts,
    row: Described,
}

impl FeatureStream {
    /// A stream of a tracker of about `rate`, 30..=2000 Hz, that bridges gaps up to `bridge_s`.
    ///
    /// # Errors
    /// [`DspError::Parameter`] for a rate or gap out of range.
    pub fn new(rate: Hertz, bridge_s: f64) -> Result<Self, DspError> {
        let rate_hz = parameter("gaze rate in Hz", rate.get(), 30.0, 2000.0)?;
        let bridge_s = parameter("bridged gap in s", bridge_s, 0.0, 0.5)?;
        Ok(Self {
            nominal_s: 1.0 / rate_hz,
            bridge_s,
            period_ln: (1.0 / rate_hz).ln(),
            history: History::new(HISTORY_SAMPLES),
            measure: Measure::new(),
            waiting: FixedQueue::new(WAITING_MAX)?,
            began_s: 0.0,
            lost_share: 0.0,
            last_s: None,
            last_valid_s: None,
            described_s: None,
            counts: GazeCounts::default(),
            row: Described {
                t_s: 0.0,
                now_s: 0.0,
                dt_s: 0.0,
                at_deg: None,
                gone: true,
                speed_deg_s: None,
                features: [0.0; FEATURES],
            },
        })
    }

    /// What could not be used so far.
    #[must_use]
    pub fn counts(&self) -> GazeCounts {
        self.counts
    }

    /// Sampling interval as measured, seconds.
    #[must_use]
    pub fn period_s(&self) -> f64 {
        self.period_ln.exp()
    }

    /// Stamp of the newest sample, seconds.
    #[must_use]
    pub fn newest_s(&self) -> Option<f64> {
        self.last_s
    }

    /// As new.
    pub fn reset(&mut self) {
        self.restart();
        self.counts = GazeCounts::default();
    }

    /// The source begins anew; counts go on.
    pub fn restart(&mut self) {
        self.period_ln = self.nominal_s.ln();
        self.history.clear();
        self.measure = Measure::new();
        self.waiting.reset();
        (self.began_s, self.lost_share) = (0.0, 0.0);
        (self.last_s, self.last_valid_s, self.described_s) = (None, None, None);
    }

    /// Takes one sample. One whose stamp is not after the last is dropped and counted.
    pub fn push(&mut self, sample: GazeSample, out: &mut impl FnMut(&Described)) {
        if !sample.t_s.is_finite() {
            self.counts.not_finite += 1;
            return;
        }
        if self.last_s.is_some_and(|last_s| sample.t_s <= last_s) {
            self.counts.backward += 1;
            return;
        }
        let dt_s = self
            .last_s
            .map_or(self.nominal_s, |last_s| sample.t_s - last_s);
        self.last_s = Some(sample.t_s);
        self.follow_rate(dt_s);
        let inside = |v: f64| v.is_finite() && v.abs() <= 180.0;
        let valid = sample.valid && inside(sample.x_deg) && inside(sample.y_deg);
        self.counts.invalid += u64::from(!valid);
        let follow = (dt_s / LOST_S).min(1.0);
        self.lost_share += follow * (f64::from(u8::from(!valid)) - self.lost_share);
        if valid {
            self.take(&sample);
        }
        if self.waiting.len() >= WAITING_MAX {
            self.describe_oldest(sample.t_s, out);
        }
        // One place is always free here.
        let _ = self.waiting.push(Waiting {
            t_s: sample.t_s,
            at_deg: valid.then_some([sample.x_deg, sample.y_deg]),
            last_valid_s: self.last_valid_s,
        });
        // A sample waits as long as the next one would still come within its look-ahead.
        let look_ahead_s = if self.period_s() > FEATURES_LOOK_AHEAD_S {
            LOOK_AHEAD_MAX_S
        } else {
            FEATURES_LOOK_AHEAD_S
        };
        let until_s = self.next_s(sample.t_s) - look_ahead_s;
        while self.waiting.front().is_some_and(|w| w.t_s < until_s) {
            self.describe_oldest(sample.t_s, out);
        }
    }

    /// The label of a sample before this stamp can wait for no further sample within the look-ahead, seconds.
    #[must_use]
    pub fn settled_before_s(&self) -> f64 {
        self.last_s.map_or(f64::NEG_INFINITY, |newest_s| {
            self.next_s(newest_s) - LOOK_AHEAD_MAX_S
        })
    }

    /// When the sample after this one may be expected at the earliest, seconds.
    fn next_s(&self, newest_s: f64) -> f64 {
        newest_s + 0.96 * self.period_s()
    }

    /// Describes what still waits, as if no sample would ever follow.
    pub fn finish(&mut self, out: &mut impl FnMut(&Described)) {
        let Some(now_s) = self.last_s else {
            return;
        };
        while !self.waiting.is_empty() {
            self.describe_oldest(now_s, out);
        }
    }

    /// The running median of the interval, by equal steps of its logarithm.
    fn follow_rate(&mut self, dt_s: f64) {
        let step = if dt_s > self.period_s() { 0.01 } else { -0.01 };
        self.period_ln = (self.period_ln + step).clamp(PERIOD_LN_MIN, PERIOD_LN_MAX);
    }

    fn take(&mut self, sample: &GazeSample) {
        let gap_s = self.last_valid_s.map(|last_s| sample.t_s - last_s);
        if gap_s.is_none_or(|gap_s| gap_s > self.bridge_s.max(1.5 * self.period_s())) {
            self.history.clear();
            self.measure.forget_path();
            self.began_s = sample.t_s;
        }
        self.history.push(sample.t_s, sample.x_deg, sample.y_deg);
        self.last_valid_s = Some(sample.t_s);
    }

    fn describe_oldest(&mut self, now_s: f64, out: &mut impl FnMut(&Described)) {
        let Some(oldest) = self.waiting.pop() else {
            return;
        };
        let valid = oldest.at_deg.is_some();
        let until_valid_s = if valid {
            0.0
        } else {
            let next = self.waiting.iter().find(|w| w.at_deg.is_some());
            next.map_or(f64::INFINITY, |w| w.t_s - oldest.t_s)
        };
        let since_valid_s = oldest
            .last_valid_s
            .map_or(f64::INFINITY, |s| oldest.t_s - s);
        let row = &mut self.row;
        row.t_s = oldest.t_s;
        row.now_s = now_s;
        row.dt_s = self.described_s.map_or(0.0, |last_s| oldest.t_s - last_s);
        row.at_deg = oldest.at_deg;
        row.gone = since_valid_s > self.bridge_s;
        self.described_s = Some(oldest.t_s);
        if !row.gone {
            let moment = Moment {
                t_s: oldest.t_s,
                now_s,
                valid,
                since_valid_s,
                until_valid_s,
                since_gap_s: oldest.t_s - self.began_s,
                lost_share: self.lost_share,
                period_s: self.period_ln.exp(),
            };
            let (history, features) = (&self.history, &mut row.features);
            let speed = self.measure.features(&moment, history, row.dt_s, features);
            row.speed_deg_s = valid.then_some(speed);
        } else {
            row.speed_deg_s = None;
        }
        out(row);
    }
}

/// Logarithms of 0.4 and 40 ms.
const PERIOD_LN_MIN: f64 = -7.824;
const PERIOD_LN_MAX: f64 = -3.219;
