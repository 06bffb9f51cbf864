//! EEG for the eye. A picture has far fewer columns than a second has samples: each column keeps the smallest and the largest value of every
//! channel, so that no spike is lost, and a picture costs the same at any rate.
//!
//! An amplifier's offset of tens of millivolts is taken out by a high-pass of first order: for looking at, not for measuring.

use std::collections::VecDeque;

/// Seconds in a column.
pub const COLUMN_S: f64 = 0.01;
/// Columns that are kept.
pub const HISTORY: usize = 2_048;
/// Corner of the high-pass, Hz.
const HIGH_PASS_HZ: f64 = 0.5;
/// Blank columns that a gap leaves at most.
const GAP_MAX: usize = HISTORY;

/// The latest columns of a stream.
#[derive(Debug, Clone)]
pub struct Columns {
    channels: usize,
    /// Microvolts in one of each channel's values.
    scale: Vec<f32>,
    period_s: f64,
    /// What one sample moves the offset by.
    step: f32,
    offset: Vec<f32>,
    begun: bool,
    /// The column that is being filled.
    open: Vec<[f32; 2]>,
    open_s: f64,
    last_stamp_s: Option<f64>,
    done: VecDeque<Box<[[f32; 2]]>>,
    total: u64,
}

/// A channel of a column that has no value.
const BLANK: [f32; 2] = [f32::NAN, f32::NAN];

impl Columns {
    /// Columns for a stream of this rate, Hz; `microvolts` is what one of each channel's values is.
    #[must_use]
    pub fn new(rate_hz: f64, microvolts: &[f64]) -> Self {
        let period_s = 1.0 / rate_hz.max(1.0);
        let rc_s = 1.0 / (std::f64::consts::TAU * HIGH_PASS_HZ);
        Self {
            channels: microvolts.len(),
            scale: microvolts.iter().map(|scale| *scale as f32).collect(),
            period_s,
            step: (period_s / (rc_s + period_s)) as f32,
            offset: vec![0.0; microvolts.len()],
            begun: false,
            open: vec![BLANK; microvolts.len()],
            open_s: 0.0,
            last_stamp_s: None,
            done: VecDeque::with_capacity(HISTORY),
            total: 0,
        }
    }

    /// Channels.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Takes one sample; one of another shape is passed over.
    pub fn push(&mut self, stamp_s: f64, sample: &[f32]) {
        if sample.len() != self.channels {
            return;
        }
        self.bridge(stamp_s);
        let (step, begun) = (self.step, self.begun);
        let places = self.offset.iter_mut().zip(&mut self.open);
        for ((offset, range), (value, scale)) in places.zip(sample.iter().zip(&self.scale)) {
            let value = value * scale;
            if !value.is_finite() {
                continue;
            }
            *offset = if begun {
                *offset + step * (value - *offset)
            } else {
                value
            };
            let seen = value - *offset;
            // `min` and `max` pass over what is no number.
            *range = [seen.min(range[0]), seen.max(range[1])];
        }
        self.begun = true;
        self.open_s += self.period_s;
        // Half a sample of slack: rounding must not move a column's edge.
        if self.open_s >= COLUMN_S - 0.5 * self.period_s {
            self.close();
            self.open_s -= COLUMN_S;
        }
    }

    /// Leaves blank columns where the stream had a gap.
    fn bridge(&mut self, stamp_s: f64) {
        let gap_s = self.last_stamp_s.map_or(0.0, |last| stamp_s - last);
        self.last_stamp_s = Some(stamp_s);
        if gap_s > 10.0 * COLUMN_S && gap_s > 10.0 * self.period_s {
            let blank = ((gap_s / COLUMN_S) as usize).min(GAP_MAX);
            for _ in 0..blank {
                self.close();
            }
            // The offset may be another one now.
            self.begun = false;
        }
    }

    fn close(&mut self) {
        let channels = self.channels;
        let full = std::mem::replace(&mut self.open, vec![BLANK; channels]);
        if self.done.len() == HISTORY {
            self.done.pop_front();
        }
        self.done.push_back(full.into_boxed_slice());
        self.total += 1;
    }

    /// Columns so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The columns from number `seen` on, oldest first, as far as they are kept; smallest and largest value of each channel, microvolts, NaN
    /// where there was none.
    pub fn since(&self, seen: u64) -> impl Iterator<Item = &[[f32; 2]]> {
        let new = self.total.saturating_sub(seen).min(self.done.len() as u64) as usize;
        let skipped = self.done.len() - new;
        self.done.iter().skip(skipped).map(|column| &**column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_of_one_sample_is_in_its_column_at_its_height() {
        let mut columns = Columns::new(1_000.0, &[1.0, 1_000.0]);
        for n in 0..1_000 {
            let spike = if n == 505 { 80.0 } else { 0.0 };
            columns.push(f64::from(n) * 0.001, &[200_000.0 + spike, 0.0]);
        }
        assert_eq!(columns.total(), 100);
        let all: Vec<_> = columns.since(0).collect();
        assert_eq!(all.len(), 100);
        for (number, column) in all.iter().enumerate() {
            let [low, high] = column[0];
            if number == 50 {
                assert!((high - 80.0).abs() < 1.0, "{high}");
            } else {
                assert!(
                    high.abs() < 1.0 && low.abs() < 1.0,
                    "{number}: {low} {high}"
                );
            }
            assert_eq!(column[1], [0.0, 0.0]);
        }
        assert_eq!(columns.since(97).count(), 3);
        assert_eq!(columns.since(1_000).count(), 0);
    }

    #[test]
    fn what_is_slow_goes_and_what_is_fast_stays() {
        let amplitude = |hz: f64| {
            let mut columns = Columns::new(250.0, &[1.0]);
            for n in 0..5_000 {
                let at_s = f64::from(n) / 250.0;
                let value = 100.0 * (std::f64::consts::TAU * hz * at_s).sin();
                columns.push(at_s, &[value as f32]);
            }
            let late = columns.since(1_000).map(|column| column[0][1]);
            late.fold(0.0f32, f32::max)
        };
        // A high-pass of first order with its corner at 0.5 Hz: f / sqrt(f^2 + 0.25).
        assert!((amplitude(10.0) - 99.9).abs() < 3.0);
        assert!((amplitude(0.5) - 70.7).abs() < 3.0);
        assert!(amplitude(0.05) < 11.0);
    }

    #[test]
    fn a_gap_leaves_blank_columns_and_lost_values_are_none() {
        let mut columns = Columns::new(1_000.0, &[1.0]);
        (0..100).for_each(|n| columns.push(f64::from(n) * 0.001, &[1.0]));
        (0..100).for_each(|n| columns.push(1.0 + f64::from(n) * 0.001, &[f32::NAN]));
        let all: Vec<_> = columns.since(0).map(|column| column[0][0]).collect();
        assert!(all[..10].iter().all(|low| low.is_finite()));
        assert!(all[11..].iter().all(|low| low.is_nan()));
        assert!((all.len() as i64 - 110).abs() <= 1, "{}", all.len());
        columns.push(1e9, &[0.0]);
        assert!(columns.since(0).count() <= HISTORY, "a leap is bounded");
        columns.push(1e9, &[0.0, 1.0]);
    }
}
