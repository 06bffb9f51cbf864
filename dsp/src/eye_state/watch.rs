//! Counts and values of single events over time, each first a baseline and then the present.

use crate::error::DspError;
use crate::queue::FixedQueue;
use crate::state::{BASELINE_MIN, Baseline, CountBaseline, Index, RECENT_MIN};

/// Length of the slots whose counts tell how unevenly events come, seconds.
const SLOT_S: f64 = 10.0;
/// Values of the recent time that are kept.
const RECENT_MAX: usize = 4_096;

/// Events per watched time.
#[derive(Debug, Clone)]
pub(super) struct CountWatch {
    slots: Vec<u32>,
    slots_max: usize,
    here: (u32, f64),
    dispersion_min: f64,
    baseline: Option<CountBaseline>,
    second: (u32, f64),
    recent: FixedQueue<(u32, f64)>,
    recent_max: usize,
}

impl CountWatch {
    /// A baseline and a present of so many watched seconds.
    pub(super) fn new(
        baseline_s: usize,
        recent_s: usize,
        dispersion_min: f64,
    ) -> Result<Self, DspError> {
        let slots_max = (baseline_s as f64 / SLOT_S).ceil() as usize;
        Ok(Self {
            slots: Vec::with_capacity(slots_max),
            slots_max,
            here: (0, 0.0),
            dispersion_min,
            baseline: None,
            second: (0, 0.0),
            recent: FixedQueue::new(recent_s)?,
            recent_max: recent_s,
        })
    }

    pub(super) fn reset(&mut self) {
        self.slots.clear();
        self.here = (0, 0.0);
        self.baseline = None;
        self.second = (0, 0.0);
        self.recent.reset();
    }

    pub(super) fn push(&mut self, events: u32, passed_s: f64) {
        if self.baseline.is_none() {
            self.here.0 = self.here.0.saturating_add(events);
            self.here.1 += passed_s;
            if self.here.1 >= SLOT_S {
                self.slots.push(self.here.0);
                self.here = (0, self.here.1 - SLOT_S);
                if self.slots.len() >= self.slots_max {
                    self.close();
                }
            }
            return;
        }
        self.second.0 = self.second.0.saturating_add(events);
        self.second.1 += passed_s;
        if self.second.1 >= 1.0 {
            if self.recent.len() == self.recent_max {
                self.recent.pop();
            }
            // There is room: the oldest has just gone.
            let _ = self.recent.push(self.second);
            self.second = (0, 0.0);
        }
    }

    fn close(&mut self) {
        let n = self.slots.len() as f64;
        let sum: f64 = self.slots.iter().copied().map(f64::from).sum();
        let mean = sum / n;
        let squares: f64 = self
            .slots
            .iter()
            .map(|count| (f64::from(*count) - mean).powi(2))
            .sum();
        let dispersion = squares / (n - 1.0) / mean;
        let known = if dispersion.is_finite() {
            dispersion
        } else {
            0.0
        };
        self.baseline = Some(CountBaseline {
            events: sum as u32,
            seconds: SLOT_S * n,
            dispersion: known.max(self.dispersion_min),
            slots: self.slots.len(),
        });
    }

    /// The rate, in the unit that `of` makes of events per second; once half of the recent time is known.
    pub(super) fn index(&self, of: impl Fn(f64) -> f64) -> Index {
        let (events, seconds) = self
            .recent
            .iter()
            .fold((0_u32, 0.0), |(events, seconds), second| {
                (events.saturating_add(second.0), seconds + second.1)
            });
        let known = self
            .baseline
            .filter(|_| 2.0 * seconds >= self.recent_max as f64);
        let deviation = known.and_then(|baseline| baseline.compare(events, seconds));
        Index {
            value: known.map(|_| of(f64::from(events) / seconds)),
            baseline: self.baseline.map(|b| of(f64::from(b.events) / b.seconds)),
            z: deviation.map(|deviation| deviation.z),
            risen: deviation.map(|deviation| deviation.risen),
        }
    }
}

/// Values of single events: lengths, residuals, areas.
#[derive(Debug, Clone)]
pub(super) struct ValueWatch {
    baseline_s: f64,
    first: Vec<f64>,
    first_max: usize,
    baseline: Option<Baseline>,
    reach_s: f64,
    recent: FixedQueue<(f64, f64)>,
}

impl ValueWatch {
    /// A baseline of `baseline_s` of watched time and at least [`BASELINE_MIN`] values; the present reaches `reach_s` back.
    pub(super) fn new(baseline_s: f64, first_max: usize, reach_s: f64) -> Result<Self, DspError> {
        Ok(Self {
            baseline_s,
            first: Vec::with_capacity(first_max),
            first_max,
            baseline: None,
            reach_s,
            recent: FixedQueue::new(RECENT_MAX)?,
        })
    }

    pub(super) fn reset(&mut self) {
        self.first.clear();
        self.baseline = None;
        self.recent.reset();
    }

    pub(super) fn first(&self) -> &[f64] {
        &self.first
    }

    pub(super) fn first_mut(&mut self) -> impl Iterator<Item = &mut f64> {
        self.first.iter_mut()
    }

    /// Keeps a value for a baseline that the caller closes.
    pub(super) fn hold(&mut self, value: f64) {
        if self.first.len() < self.first_max {
            self.first.push(value);
        }
    }

    /// The baseline is whole.
    pub(super) fn close(&mut self) {
        self.baseline = Baseline::of(&self.first, 0);
    }

    /// Takes a value at a stamp, with `watched_s` of the sitting watched.
    pub(super) fn push(&mut self, t_s: f64, watched_s: f64, value: f64) {
        if !value.is_finite() {
            return;
        }
        if self.baseline.is_none() {
            self.hold(value);
            let whole = watched_s >= self.baseline_s && self.first.len() >= BASELINE_MIN;
            if whole || self.first.len() >= self.first_max {
                self.close();
            }
            return;
        }
        while let Some((at_s, _)) = self.recent.front() {
            // Values ahead are of a clock that has gone back.
            let full = self.recent.len() >= RECENT_MAX;
            if full || t_s - at_s > self.reach_s || *at_s > t_s {
                self.recent.pop();
            } else {
                break;
            }
        }
        // There is room: the oldest has gone.
        let _ = self.recent.push((t_s, value));
    }

    fn recent(&self) -> (usize, f64) {
        let n = self.recent.len();
        let sum: f64 = self.recent.iter().map(|(_, value)| value).sum();
        (n, sum / n as f64)
    }

    /// Mean of the recent values; `None` below [`RECENT_MIN`].
    pub(super) fn recent_mean(&self) -> Option<f64> {
        let (n, mean) = self.recent();
        (n >= RECENT_MIN).then_some(mean)
    }

    /// Where the present lies; `of` makes the index's unit of a value.
    pub(super) fn index(&self, of: impl Fn(f64) -> f64) -> Index {
        let (n, mean) = self.recent();
        let deviation = self.baseline.and_then(|baseline| baseline.compare(mean, n));
        Index {
            value: self.recent_mean().map(&of),
            baseline: self.baseline.map(|baseline| of(baseline.mean)),
            z: deviation.map(|deviation| deviation.z),
            risen: deviation.map(|deviation| deviation.risen),
        }
    }
}
