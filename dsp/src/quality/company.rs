//! How each channel goes with the others: channels that go with none, and channels that are another one's copy.
//!
//! Correlations are those of the filtered samples, thinned to about 50 per second: a covariance does not mind aliasing.
//! All pairs are summed, exactly, but spread: a thinned sample waits in a buffer, and every sample of the stream adds
//! a part of its products, so that the cost per sample is `channels² / 2 / thinning` multiply-adds and has no peaks. So are the
//! `channels² / 2` divisions of a second's end: they are done during the first half of the next second.

use pulp::{Arch, Simd, WithSimd};

use super::{PAIRS_AVERAGED_S, QualitySpec};

/// Thinned samples per second, about.
const THINNED_HZ: f64 = 50.0;
/// Least variance with which a channel can be compared, uV squared.
const VARIANCE_MIN: f64 = 1e-9;

#[derive(Debug, Clone)]
pub(super) struct Company {
    copy_min: f64,
    flat_uv: f64,
    every: usize,
    phase: usize,
    thinned: Vec<f64>,
    /// Of the running second.
    running: Sums,
    /// Of the second before, and how far its pairs have been gone through: steps of `judging_steps`.
    ended: Sums,
    judging_step: usize,
    judging_steps: usize,
    /// Mean over about ten seconds of each second's correlation; lower triangle by rows, diagonal included.
    mean: Vec<f64>,
    /// Seconds in that mean.
    seconds: Vec<u16>,
    inverse_sd: Vec<f64>,
    best: Vec<f64>,
    known: Vec<bool>,
    copied: Vec<u32>,
    arch: Arch,
}

/// Sums over one second.
#[derive(Debug, Clone)]
struct Sums {
    samples: f64,
    of_channels: Vec<f64>,
    /// Lower triangle by rows, diagonal included.
    products: Vec<f64>,
}

impl Sums {
    fn new(channels: usize) -> Self {
        Self {
            samples: 0.0,
            of_channels: vec![0.0; channels],
            products: vec![0.0; row_start(channels)],
        }
    }

    fn reset(&mut self) {
        self.samples = 0.0;
        self.of_channels.fill(0.0);
        self.products.fill(0.0);
    }
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

/// The part of `rows` that comes at a step of so many.
fn part(rows: usize, step: usize, steps: usize) -> std::ops::Range<usize> {
    step * rows / steps..(step + 1) * rows / steps
}

/// Adds a sample's products in some rows.
struct Adding<'a> {
    rows: std::ops::Range<usize>,
    sample: &'a [f64],
    products: &'a mut [f64],
}

impl WithSimd for Adding<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self.rows {
            let start = row_start(row);
            let (Some(x), Some(products)) = (
                self.sample.get(row),
                self.products.get_mut(start..=start + row),
            ) else {
                return;
            };
            for (product, y) in products.iter_mut().zip(self.sample) {
                *product += x * y;
            }
        }
    }
}

impl Company {
    /// Verdicts come every `verdict_samples`. A channel is a copy of one before it when they correlate by at least
    /// `copy_min` and what is left of it has a standard deviation of at most `flat`.
    pub(super) fn new(
        spec: &QualitySpec,
        channels: usize,
        rate_hz: f64,
        verdict_samples: u32,
    ) -> Self {
        let pairs = row_start(channels);
        let judging_steps = (verdict_samples / 2).max(1) as usize;
        Self {
            copy_min: spec.copy_min,
            flat_uv: spec.flat.get(),
            every: (rate_hz / THINNED_HZ).round().max(1.0) as usize,
            phase: 0,
            thinned: vec![0.0; channels],
            running: Sums::new(channels),
            ended: Sums::new(channels),
            judging_step: judging_steps,
            judging_steps,
            mean: vec![0.0; pairs],
            seconds: vec![0; pairs],
            inverse_sd: vec![0.0; channels],
            best: vec![0.0; channels],
            known: vec![false; channels],
            copied: vec![0; channels],
            arch: Arch::new(),
        }
    }

    pub(super) fn reset(&mut self) {
        self.phase = 0;
        self.running.reset();
        self.ended.reset();
        self.judging_step = self.judging_steps;
        self.mean.fill(0.0);
        self.seconds.fill(0);
        self.best.fill(0.0);
        self.known.fill(false);
        self.copied.fill(0);
    }

    pub(super) fn push(&mut self, filtered: &[f64]) {
        if self.phase == 0 {
            self.thinned.copy_from_slice(filtered);
            self.running.samples += 1.0;
            for (sum, x) in self.running.of_channels.iter_mut().zip(filtered) {
                *sum += x;
            }
        }
        self.add_rows(part(self.thinned.len(), self.phase, self.every));
        self.phase += 1;
        if self.phase == self.every {
            self.phase = 0;
        }
        self.judge_some();
    }

    fn add_rows(&mut self, rows: std::ops::Range<usize>) {
        if rows.is_empty() {
            return;
        }
        self.arch.dispatch(Adding {
            rows,
            sample: &self.thinned,
            products: &mut self.running.products,
        });
    }

    /// Ends a second: from now on its pairs are gone through, those of channels that are `comparable`. What is known of the
    /// others stays.
    pub(super) fn close(&mut self, comparable: &[bool]) {
        // Never needed: half of the samples are enough.
        while self.judging_step < self.judging_steps {
            self.judge_some();
        }
        if self.phase > 0 {
            let n = self.thinned.len();
            self.add_rows(self.phase * n / self.every..n);
        }
        self.phase = 0;
        // The products of the second before were emptied as they were gone through.
        std::mem::swap(&mut self.running, &mut self.ended);
        self.running.samples = 0.0;
        self.running.of_channels.fill(0.0);
        self.judging_step = 0;
        let ended = &self.ended;
        let samples = ended.samples.max(1.0);
        for (row, inverse_sd) in self.inverse_sd.iter_mut().enumerate() {
            let diagonal = ended.products.get(row_start(row) + row);
            let (Some(square), Some(sum)) = (diagonal, ended.of_channels.get(row)) else {
                continue;
            };
            let variance = square / samples - (sum / samples) * (sum / samples);
            let fit = comparable.get(row) == Some(&true) && variance > VARIANCE_MIN;
            *inverse_sd = if fit { 1.0 / variance.sqrt() } else { 0.0 };
        }
        self.best.fill(0.0);
        self.known.fill(false);
    }

    /// Goes through the next few rows of the second that has ended.
    fn judge_some(&mut self) {
        if self.judging_step == self.judging_steps {
            return;
        }
        for row in part(self.thinned.len(), self.judging_step, self.judging_steps) {
            self.judge_row(row);
            let start = row_start(row);
            if let Some(products) = self.ended.products.get_mut(start..=start + row) {
                products.fill(0.0);
            }
        }
        self.judging_step += 1;
    }

    fn judge_row(&mut self, row: usize) {
        let start = row_start(row);
        let samples = self.ended.samples.max(1.0);
        let sums = &self.ended.of_channels;
        let (Some(&inverse), Some(&sum)) = (self.inverse_sd.get(row), sums.get(row)) else {
            return;
        };
        if inverse == 0.0 {
            return;
        }
        let (Some(products), Some(means), Some(seconds)) = (
            self.ended.products.get(start..start + row),
            self.mean.get_mut(start..start + row),
            self.seconds.get_mut(start..start + row),
        ) else {
            return;
        };
        let mut is_copy = false;
        let (mut best, mut known) = (0.0_f64, false);
        let others = self.inverse_sd.iter().zip(sums);
        let pairs = products.iter().zip(means).zip(seconds).zip(others);
        for (other, (((product, mean), seconds), (other_inverse, other_sum))) in pairs.enumerate() {
            if *other_inverse == 0.0 {
                continue;
            }
            let covariance = product / samples - (sum / samples) * (other_sum / samples);
            let r = (covariance * inverse * other_inverse).clamp(-1.0, 1.0);
            *seconds = seconds.saturating_add(1).min(PAIRS_AVERAGED_S);
            *mean += (r - *mean) / f64::from(*seconds);
            if r.abs() >= self.copy_min {
                let own_sd = (1.0 - r * r).max(0.0).sqrt() / inverse;
                is_copy |= own_sd <= self.flat_uv;
            }
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
