//! What flashes evoked, by regression; taken out of the recording, and how single responses vary.

use std::collections::VecDeque;

use super::recorded::Onset;
use super::{END_S, KNOTS, PERCEPTION_S, RealEeg, knots};

/// Signal and predictors are differences over this time, seconds: no offset and next to no drift is left, and no mains of
/// 50 Hz.
const DIFFERENCE_S: f64 = 0.04;
/// Most that single responses may vary, as a standard deviation relative to their mean.
const GAIN_SD_MAX: f64 = 1.0;

impl RealEeg {
    /// The normal equations of the signal's differences on those of the predictors: matrix and right sides `[unknown][channel]`.
    pub(super) fn equations(&self, onsets: &[Onset]) -> (Vec<f64>, Vec<f64>) {
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
    pub(super) fn respond(&mut self, normal: &[f64], right: &[f64], ridge: f64) {
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
    pub(super) fn take_out(&mut self, onsets: &[Onset]) {
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
    pub(super) fn spread(&self, onsets: &[Onset]) -> f64 {
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
