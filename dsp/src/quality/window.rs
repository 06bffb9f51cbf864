//! One second of one channel, and several of them together.

use super::{BadChannel, QualitySpec};

/// Runs of identical samples at the window's extreme from this length on are clipping; two happen with coarse converters.
pub(super) const CLIPPED_RUN_MIN: u32 = 3;
/// Share of a window's samples that may be at the rail we were told of.
const RAILED_SHARE_MAX: f64 = 0.01;
/// Share of a window's samples that may be clipped at its own extremes: the round top of a slow wave on a coarse
/// converter is flat for less.
const CLIPPED_SHARE_MAX: f64 = 0.02;
/// Least span of a window in which clipping is looked for, uV.
const CLIPPED_SPAN_MIN_UV: f64 = 100.0;
/// Share of a window in which a channel may stand still.
const STILL_SHARE_MAX: f64 = 0.1;
/// A channel that stands still beyond this is at a rail; no electrode's DC reaches it in peace, uV.
const STANDING_RAIL_UV: f64 = 100_000.0;

/// What the samples of one second add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Bucket {
    pub(super) n: u32,
    pub(super) railed: u32,
    /// Samples in stretches without any change.
    pub(super) still: u32,
    pub(super) top: Extreme,
    /// Of the negated samples.
    pub(super) bottom: Extreme,
    /// Of the filtered samples, as are the squares.
    pub(super) sum: f64,
    pub(super) squares: f64,
    pub(super) g1: f64,
    pub(super) g2: f64,
    /// Goertzel power, once the bucket is closed.
    pub(super) line_mean_square: f64,
}

/// The largest value of a bucket (or of the negated one, the smallest) and how long the channel stood there in runs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Extreme {
    pub(super) value: f64,
    pub(super) clipped: u32,
}

impl Extreme {
    fn join(&mut self, other: &Self) {
        if other.value > self.value {
            *self = *other;
        } else if other.value >= self.value {
            self.clipped += other.clipped;
        }
    }
}

impl Bucket {
    /// Closes the bucket: the mean square of a sinusoid of amplitude `2 |X| / n` at the line frequency is known now.
    pub(super) fn close(&mut self, line_gain: f64, coefficient: f64) {
        let n = f64::from(self.n);
        let power = self.g1 * self.g1 + self.g2 * self.g2 - coefficient * self.g1 * self.g2;
        self.line_mean_square = 2.0 * power / (n * n) / line_gain;
    }

    /// Takes in another closed bucket of the same channel.
    pub(super) fn join(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        if self.n == 0 {
            *self = *other;
            return;
        }
        let (a, b) = (f64::from(self.n), f64::from(other.n));
        self.line_mean_square = (a * self.line_mean_square + b * other.line_mean_square) / (a + b);
        self.n += other.n;
        self.railed += other.railed;
        self.still += other.still;
        self.top.join(&other.top);
        self.bottom.join(&other.bottom);
        self.sum += other.sum;
        self.squares += other.squares;
    }

    /// Variance of the filtered samples.
    pub(super) fn variance(&self) -> f64 {
        let n = f64::from(self.n.max(1));
        let mean = self.sum / n;
        (self.squares / n - mean * mean).max(1e-12)
    }

    /// What is wrong with these samples by themselves, but for the line noise.
    pub(super) fn fault(&self, spec: &QualitySpec) -> Option<BadChannel> {
        let n = f64::from(self.n);
        if f64::from(self.railed) > RAILED_SHARE_MAX * n {
            return Some(BadChannel::Railed);
        }
        let span_uv = self.top.value + self.bottom.value;
        let at_rest = || {
            if self.top.value.abs() >= STANDING_RAIL_UV {
                BadChannel::Railed
            } else {
                BadChannel::Flat
            }
        };
        if span_uv <= spec.flat.get() {
            return Some(at_rest());
        }
        let clipped = self.top.clipped.max(self.bottom.clipped);
        if span_uv >= CLIPPED_SPAN_MIN_UV && f64::from(clipped) > CLIPPED_SHARE_MAX * n {
            return Some(BadChannel::Railed);
        }
        if f64::from(self.still) > STILL_SHARE_MAX * n {
            return Some(at_rest());
        }
        None
    }

    /// Whether the channel is mostly mains.
    pub(super) fn is_line(&self, spec: &QualitySpec) -> bool {
        spec.line.is_some() && self.line_mean_square > spec.line_ratio_max * self.variance()
    }
}
