//! Which channels can be trusted now: rails, flat lines, outliers, line noise, values that are not finite.
//!
//! Causal: a window's verdict holds from its last sample on. A channel turns bad after one bad window and good again after two
//! good ones in a row. Detection looks at the samples as they came (rail, flat, line) and at the filtered ones (variance).

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::error::{DspError, count, parameter, shape};
use crate::mask::{ChannelMask, MAX_CHANNELS};
use crate::units::{Hertz, Microvolts, Seconds};

/// Least spread of the channels' log-variances that is assumed when they are compared: with few channels the measured
/// spread can be tiny by chance, and one lively channel would look like a fault.
const SPREAD_MIN: f64 = 0.7;
/// Good windows in a row after which a bad channel is good again.
const WINDOWS_TO_RECOVER: u32 = 2;

/// Limits of [`ChannelQuality`]; every field has a default.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QualitySpec {
    /// Length of a window, 0.1..=60 s. Default 2.
    pub window: Seconds,
    /// A channel is railed when more than 1 in 100 of its samples reach this magnitude. Default 400 000 uV, above the DC
    /// of a healthy electrode.
    pub rail: Microvolts,
    /// A channel is flat when its samples span no more than this within a window. Default 0.5 uV.
    pub flat: Microvolts,
    /// Largest deviation of a channel's log-variance from the channels' median, in robust standard deviations (1.4826 MAD, at
    /// least 0.7 log units). Default 6, some eight times the amplitude of the others; needs at least 4 channels that are neither railed nor flat.
    pub variance_z_max: f64,
    /// Mains frequency, 50 or 60 Hz; absent: line noise is not watched.
    pub line: Option<Hertz>,
    /// Largest ratio of line-noise power (before the notch) to the variance of the filtered channel. Default 400.
    pub line_ratio_max: f64,
    /// How long a channel stays bad after a value that is not finite: the filters' settling time. Default 2 s.
    pub settle: Seconds,
    /// Fewest good channels with which the gate may open. Default 4.
    pub min_good: usize,
}

impl Default for QualitySpec {
    fn default() -> Self {
        // All within range, so nothing falls back; `const` evaluation shows it at build time.
        const TWO_S: Seconds = match Seconds::new(2.0) {
            Ok(v) => v,
            Err(_) => panic!("in range"),
        };
        const RAIL: Microvolts = match Microvolts::new(400_000.0) {
            Ok(v) => v,
            Err(_) => panic!("in range"),
        };
        const FLAT: Microvolts = match Microvolts::new(0.5) {
            Ok(v) => v,
            Err(_) => panic!("in range"),
        };
        Self {
            window: TWO_S,
            rail: RAIL,
            flat: FLAT,
            variance_z_max: 6.0,
            line: None,
            line_ratio_max: 400.0,
            settle: TWO_S,
            min_good: 4,
        }
    }
}

/// Why a channel is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadChannel {
    /// A value was not finite a short while ago.
    NotFinite,
    /// At the amplifier's limit.
    Railed,
    /// No signal.
    Flat,
    /// Variance far from the other channels'.
    Variance,
    /// Mostly mains.
    Line,
}

/// Watches all channels of a stream.
#[derive(Debug, Clone)]
pub struct ChannelQuality {
    spec: QualitySpec,
    window_samples: u32,
    settle_samples: u64,
    line_coefficient: f64,
    line_gain: f64,
    seen: u32,
    channels: Vec<Channel>,
    sorted: Vec<f64>,
    bad: ChannelMask,
}

#[derive(Debug, Clone, Copy, Default)]
struct Channel {
    window: Window,
    previous: Option<f64>,
    unsettled: u64,
    good_windows: u32,
    verdict: Option<BadChannel>,
    log_variance: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Window {
    railed: u32,
    lowest: f64,
    highest: f64,
    sum: f64,
    squares: f64,
    g1: f64,
    g2: f64,
}

impl ChannelQuality {
    /// Allocates one window per channel; all channels are good at first.
    ///
    /// # Errors
    /// [`DspError::Count`] or [`DspError::Parameter`] for a limit out of range, [`DspError::Nyquist`] for a line frequency not
    /// below half the rate.
    pub fn new(spec: QualitySpec, rate: Hertz, channels: usize) -> Result<Self, DspError> {
        count("channels", channels, 1, MAX_CHANNELS)?;
        count("minimum montage", spec.min_good, 1, channels)?;
        parameter("quality window in s", spec.window.get(), 0.1, 60.0)?;
        parameter("rail in uV", spec.rail.get(), 1.0, 1e6)?;
        parameter("flat limit in uV", spec.flat.get(), 0.0, 1e6)?;
        parameter("variance limit in robust SD", spec.variance_z_max, 1.0, 1e3)?;
        parameter("line-noise ratio", spec.line_ratio_max, 1e-3, 1e9)?;
        parameter("settling time in s", spec.settle.get(), 0.0, 60.0)?;
        let mut omega = 0.0;
        if let Some(line) = spec.line {
            let nyquist_hz = rate.get() / 2.0;
            if line.get() >= nyquist_hz {
                return Err(DspError::Nyquist {
                    what: "line frequency",
                    frequency_hz: line.get(),
                    nyquist_hz,
                });
            }
            omega = 2.0 * PI * line.get() / rate.get();
        }
        let samples = |s: Seconds| (s.get() * rate.get()).round();
        Ok(Self {
            spec,
            window_samples: samples(spec.window).max(8.0) as u32,
            settle_samples: samples(spec.settle) as u64,
            line_coefficient: 2.0 * omega.cos(),
            // Power gain of the first difference at the line frequency.
            line_gain: 2.0 - 2.0 * omega.cos(),
            seen: 0,
            channels: vec![Channel::default(); channels],
            sorted: Vec::with_capacity(channels),
            bad: ChannelMask::NONE,
        })
    }

    /// As new.
    pub fn reset(&mut self) {
        self.seen = 0;
        self.channels.fill(Channel::default());
        self.bad = ChannelMask::NONE;
    }

    /// Channels that are bad now.
    #[must_use]
    pub fn bad(&self) -> ChannelMask {
        self.bad
    }

    /// Why a channel is bad; `None` when it is good or does not exist.
    #[must_use]
    pub fn why(&self, channel: usize) -> Option<BadChannel> {
        let c = self.channels.get(channel)?;
        if c.unsettled > 0 {
            Some(BadChannel::NotFinite)
        } else {
            c.verdict
        }
    }

    /// Whether enough channels are good.
    #[must_use]
    pub fn montage_ok(&self) -> bool {
        self.channels.len() - self.bad.count() >= self.spec.min_good
    }

    /// Takes the next sample: replaces values that are not finite by the channel's last finite one (0 at the very start)
    /// and marks the channel bad for the settling time. To be called before the filter, followed by [`Self::observe`].
    ///
    /// # Errors
    /// [`DspError::Shape`] unless both hold one value per channel.
    pub fn sanitise(&mut self, sample: &[f32], held: &mut [f64]) -> Result<(), DspError> {
        shape("sample", sample.len(), self.channels.len())?;
        shape("sample buffer", held.len(), self.channels.len())?;
        for (index, ((c, x), out)) in self.channels.iter_mut().zip(sample).zip(held).enumerate() {
            if x.is_finite() {
                *out = f64::from(*x);
            } else {
                *out = c.previous.unwrap_or(0.0);
                // One more than the settling time: `observe` of this very sample counts down too.
                c.unsettled = self.settle_samples + 1;
                self.bad.insert(index);
            }
        }
        Ok(())
    }

    /// Looks at one finite sample, before (`raw`) and after (`filtered`) the filters, in microvolts.
    ///
    /// # Errors
    /// [`DspError::Shape`] unless both hold one value per channel.
    pub fn observe(&mut self, raw: &[f64], filtered: &[f64]) -> Result<(), DspError> {
        shape("sample", raw.len(), self.channels.len())?;
        shape("filtered sample", filtered.len(), self.channels.len())?;
        let rail = self.spec.rail.get();
        let first = self.seen == 0;
        for (index, ((c, x), y)) in self.channels.iter_mut().zip(raw).zip(filtered).enumerate() {
            if first {
                c.window = Window {
                    lowest: *x,
                    highest: *x,
                    ..Window::default()
                };
            }
            // What went before the window is none of its business.
            let previous = c.previous.filter(|_| !first).unwrap_or(*x);
            c.window.add(*x, *y, previous, rail, self.line_coefficient);
            c.previous = Some(*x);
            if c.unsettled > 0 {
                c.unsettled -= 1;
                if c.unsettled == 0 {
                    self.bad.set(index, c.verdict.is_some());
                }
            }
        }
        self.seen += 1;
        if self.seen == self.window_samples {
            self.judge();
            self.seen = 0;
        }
        Ok(())
    }

    fn judge(&mut self) {
        let n = f64::from(self.window_samples);
        self.sorted.clear();
        for c in &mut self.channels {
            let mean = c.window.sum / n;
            let variance = (c.window.squares / n - mean * mean).max(1e-12);
            c.log_variance = variance.ln();
            if c.window
                .fault(
                    &self.spec,
                    n,
                    variance,
                    self.line_gain,
                    self.line_coefficient,
                )
                .is_none_or(|f| f == BadChannel::Line)
            {
                // Capacity is one value per channel: never grows.
                self.sorted.push(c.log_variance);
            }
        }
        let centre_and_spread = centre_and_spread(&mut self.sorted);
        for (index, c) in self.channels.iter_mut().enumerate() {
            let variance = c.log_variance.exp();
            let outlying = centre_and_spread.is_some_and(|(centre, spread)| {
                (c.log_variance - centre).abs() > self.spec.variance_z_max * spread
            });
            let fault = c
                .window
                .fault(
                    &self.spec,
                    n,
                    variance,
                    self.line_gain,
                    self.line_coefficient,
                )
                .or(outlying.then_some(BadChannel::Variance));
            match fault {
                Some(_) => {
                    c.verdict = fault;
                    c.good_windows = 0;
                }
                None => {
                    c.good_windows += 1;
                    if c.good_windows >= WINDOWS_TO_RECOVER {
                        c.verdict = None;
                    }
                }
            }
            self.bad.set(index, c.verdict.is_some() || c.unsettled > 0);
        }
    }
}

impl Window {
    fn add(&mut self, x: f64, y: f64, previous: f64, rail: f64, coefficient: f64) {
        self.railed += u32::from(x.abs() >= rail);
        self.lowest = self.lowest.min(x);
        self.highest = self.highest.max(x);
        self.sum += y;
        self.squares += y * y;
        // Goertzel on the first difference, which has neither DC nor drift to leak into the line's bin.
        let g = (x - previous) + coefficient * self.g1 - self.g2;
        self.g2 = self.g1;
        self.g1 = g;
    }

    fn fault(
        &self,
        spec: &QualitySpec,
        n: f64,
        variance: f64,
        line_gain: f64,
        coefficient: f64,
    ) -> Option<BadChannel> {
        if f64::from(self.railed) > 0.01 * n {
            return Some(BadChannel::Railed);
        }
        if self.highest - self.lowest <= spec.flat.get() {
            return Some(BadChannel::Flat);
        }
        if spec.line.is_some() {
            let power = self.g1 * self.g1 + self.g2 * self.g2 - coefficient * self.g1 * self.g2;
            // Mean square of a sinusoid of amplitude 2 |X| / n.
            let mean_square = 2.0 * power / (n * n) / line_gain;
            if mean_square > spec.line_ratio_max * variance {
                return Some(BadChannel::Line);
            }
        }
        None
    }
}

/// Median and robust standard deviation; `None` below four values.
fn centre_and_spread(values: &mut [f64]) -> Option<(f64, f64)> {
    if values.len() < 4 {
        return None;
    }
    let centre = median(values)?;
    for v in values.iter_mut() {
        *v = (*v - centre).abs();
    }
    Some((centre, (1.4826 * median(values)?).max(SPREAD_MIN)))
}

/// Sorts in place (without allocation) and takes the middle.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        Some(upper)
    } else {
        Some(0.5 * (values.get(middle.checked_sub(1)?)? + upper))
    }
}
