//! How each channel goes with the others: channels that go with none, and channels that are another one's copy.
//!
//! Correlations are those of the filtered samples, thinned to about 50 per second: a covariance does not mind aliasing.
//! All pairs are summed, exactly, but spread: a thinned sample waits in a buffer, and every sample of the stream adds
//! a part of its products, so that the cost per sample is `channels² / 2 / thinning` multiply-adds and has no peaks.
//! A verdict takes `channels² / 2` divisions once per second.

use super::PAIRS_AVERAGED_S;

/// Thinned samples per second, about.
const THINNED_HZ: f64 = 50.0;
/// Least variance with which a channel can be compared, uV squared.
const VARIANCE_MIN: f64 = 1e-9;

#[derive(Debug, Clone)]
pub(super) struct Company {
    every: usize,
    phase: usize,
    samples: f64,
    thinned: Vec<f64>,
    sums: Vec<f64>,
    /// Lower triangle by rows, diagonal included.
    products: Vec<f64>,
    /// Mean over about ten seconds of each second's correlation, same layout.
    mean: Vec<f64>,
    /// Seconds in that mean.
    seconds: Vec<u16>,
    inverse_sd: Vec<f64>,
    best: Vec<f64>,
    known: Vec<bool>,
    copied: Vec<u32>,
}

/// What a second says of one channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bond {
    /// Largest magnitude of its mean correlations; `None` until one is known well enough.
    pub(super) best: Option<f64>,
    /// Seconds in a row in which it had nothing of its own beside a channel before it.
    pub(super) copied: u32,
}

fn row_start(row: usize) -> usize {
    row * (row + 1) / 2
}

impl Company {
    pub(super) fn new(channels: usize, rate_hz: f64) -> Self {
        let pairs = row_start(channels);
        Self {
            every: (rate_hz / THINNED_HZ).round().max(1.0) as usize,
            phase: 0,
            samples: 0.0,
            thinned: vec![0.0; channels],
            sums: vec![0.0; channels],
            products: vec![0.0; pairs],
            mean: vec![0.0; pairs],
            seconds: vec![0; pairs],
            inverse_sd: vec![0.0; channels],
            best: vec![0.0; channels],
            known: vec![false; channels],
            copied: vec![0; channels],
        }
    }

    pub(super) fn reset(&mut self) {
        self.begin();
        self.mean.fill(0.0);
        self.seconds.fill(0);
        self.best.fill(0.0);
        self.known.fill(false);
        self.copied.fill(0);
    }

    fn begin(&mut self) {
        self.phase = 0;
        self.samples = 0.0;
        self.sums.fill(0.0);
        self.products.fill(0.0);
    }

    pub(super) fn push(&mut self, filtered: &[f64]) {
        if self.phase == 0 {
            self.thinned.copy_from_slice(filtered);
            self.samples += 1.0;
            for (sum, x) in self.sums.iter_mut().zip(filtered) {
                *sum += x;
            }
        }
        let n = self.thinned.len();
        self.add_rows(
            self.phase * n / self.every,
            (self.phase + 1) * n / self.every,
        );
        self.phase += 1;
        if self.phase == self.every {
            self.phase = 0;
        }
    }

    fn add_rows(&mut self, from: usize, to: usize) {
        for row in from..to {
            let start = row_start(row);
            let (Some(x), Some(products)) = (
                self.thinned.get(row),
                self.products.get_mut(start..=start + row),
            ) else {
                return;
            };
            for (product, y) in products.iter_mut().zip(&self.thinned) {
                *product += x * y;
            }
        }
    }

    /// Ends a second. Only channels that are `comparable` are looked at; what is known of the others stays. A channel
    /// is a copy of one before it when they correlate by at least `copy_min` and what is left of it has a standard
    /// deviation of at most `flat_uv`.
    pub(super) fn judge(&mut self, comparable: &[bool], copy_min: f64, flat_uv: f64) {
        if self.phase > 0 {
            let n = self.thinned.len();
            self.add_rows(self.phase * n / self.every, n);
        }
        let samples = self.samples.max(1.0);
        for (row, inverse_sd) in self.inverse_sd.iter_mut().enumerate() {
            let diagonal = self.products.get(row_start(row) + row);
            let (Some(square), Some(sum)) = (diagonal, self.sums.get(row)) else {
                continue;
            };
            let variance = square / samples - (sum / samples) * (sum / samples);
            let fit = comparable.get(row) == Some(&true) && variance > VARIANCE_MIN;
            *inverse_sd = if fit { 1.0 / variance.sqrt() } else { 0.0 };
        }
        self.best.fill(0.0);
        self.known.fill(false);
        for row in 0..self.thinned.len() {
            self.judge_row(row, samples, copy_min, flat_uv);
        }
        self.begin();
    }

    fn judge_row(&mut self, row: usize, samples: f64, copy_min: f64, flat_uv: f64) {
        let start = row_start(row);
        let (Some(&inverse), Some(&sum)) = (self.inverse_sd.get(row), self.sums.get(row)) else {
            return;
        };
        if inverse == 0.0 {
            return;
        }
        let (Some(products), Some(means), Some(seconds)) = (
            self.products.get(start..start + row),
            self.mean.get_mut(start..start + row),
            self.seconds.get_mut(start..start + row),
        ) else {
            return;
        };
        let mut is_copy = false;
        let (mut best, mut known) = (0.0_f64, false);
        let others = self.inverse_sd.iter().zip(&self.sums);
        let pairs = products.iter().zip(means).zip(seconds).zip(others);
        for (other, (((product, mean), seconds), (other_inverse, other_sum))) in pairs.enumerate() {
            if *other_inverse == 0.0 {
                continue;
            }
            let covariance = product / samples - (sum / samples) * (other_sum / samples);
            let r = (covariance * inverse * other_inverse).clamp(-1.0, 1.0);
            *seconds = seconds.saturating_add(1).min(PAIRS_AVERAGED_S);
            *mean += (r - *mean) / f64::from(*seconds);
            let own_sd = (1.0 - r * r).max(0.0).sqrt() / inverse;
            is_copy |= r.abs() >= copy_min && own_sd <= flat_uv;
            if *seconds >= PAIRS_AVERAGED_S {
                best = best.max(mean.abs());
                known = true;
                if let (Some(b), Some(k)) = (self.best.get_mut(other), self.known.get_mut(other)) {
                    *b = b.max(mean.abs());
                    *k = true;
                }
            }
        }
        if let (Some(b), Some(k)) = (self.best.get_mut(row), self.known.get_mut(row)) {
            *b = b.max(best);
            *k |= known;
        }
        if let Some(copied) = self.copied.get_mut(row) {
            *copied = if is_copy { copied.saturating_add(1) } else { 0 };
        }
    }

    pub(super) fn bond(&self, channel: usize) -> Bond {
        let known = self.known.get(channel) == Some(&true);
        Bond {
            best: self.best.get(channel).copied().filter(|_| known),
            copied: self.copied.get(channel).copied().unwrap_or(0),
        }
    }
}
