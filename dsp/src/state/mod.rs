//! State of the person: what EEG tells of fatigue and attention, beside the way to the gate and never on it.
//!
//! | index | rises with fatigue | file |
//! |---|---|---|
//! | theta over alpha | late: while somebody still fights sleep alpha rises first, and the ratio falls | `bands` |
//! | (theta + alpha) over beta | yes | `bands` |
//! | alpha spindles per minute | yes | `spindle` |
//! | amplitude of the P300 of chosen options | falls | `drift` |
//!
//! Klimesch 1999 (Brain Res. Rev. 29:169) and Borghini et al. 2014 (Neurosci. Biobehav. Rev. 44:58) review the rhythms. Absolute values
//! differ more between people, caps and days than between fresh and tired, so each index is held against this person's own
//! baseline of the same sitting (`baseline`), with the probability that it has truly moved. What is not known yet is `None`.
//!
//! ```text
//! stamp ─> StampGuard ─┐                              ┌─> BandPowers ─> ratios ─────┐
//! sample ─> hold NaN ──┴─> fill short gaps ─> 0.5 Hz ─┤                             ├─> baseline ─> Indices
//!                 └─────> ChannelQuality <────────────┴─> AlphaEnvelope ─> spindles ┘
//! ```
//!
//! The signal is high-passed at 0.5 Hz and has no upper edge: the P300 path's 20 Hz would cut into beta and, of order 2, take a
//! sixth of the power at 13 Hz. As recorded, not re-referenced: a common average of parietal electrodes would take the alpha away.

mod bands;
mod baseline;
mod drift;
mod spindle;
mod student;

pub use bands::{ALPHA_HZ, BETA_HZ, BandPowers, Powers, THETA_HZ};
pub use baseline::{BASELINE_MIN, Baseline, CountBaseline, Deviation, RECENT_MIN};
pub use drift::{
    AmplitudeDrift, AttendedFork, BASELINE_FORKS, Drift, FORKS_MAX, FORKS_MIN, Since, TARGETS_MIN,
};
pub use spindle::{
    AlphaEnvelope, CENTRE_HZ, ENVELOPE_ORDER, HALF_WIDTH_HZ, Spindle, SpindleDetector, SpindleRate,
    SpindleWatch, TICK_HZ,
};
pub use student::student_cdf;

use crate::design::butter_highpass;
use crate::error::{DspError, count, parameter, shape};
use crate::mask::{ChannelMask, MAX_CHANNELS};
use crate::quality::{ChannelQuality, QualitySpec};
use crate::queue::FixedQueue;
use crate::sosfilt::SosFilter;
use crate::stamps::{GapAction, StampGuard, StampRule, StampVerdict};
use crate::units::{Hertz, Seconds};

/// Edge of the high-pass, Hz.
pub const HIGHPASS_HZ: f64 = 0.5;
/// Order of the high-pass.
const HIGHPASS_ORDER: usize = 2;
/// A new window begins so often, seconds.
pub const HOP_S: f64 = 1.0;
/// Nothing is taken for so long after a (re)start, seconds.
const SETTLE_S: f64 = 1.0;
/// A channel with an artefact has no envelope for so long, seconds.
const QUIET_S: f64 = 0.5;

/// What [`StateTracker`] is to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StateSpec {
    /// Nominal rate of the stream.
    pub rate: Hertz,
    /// Channels, 1..=256.
    pub channels: usize,
    /// What the stamps mean.
    pub stamps: StampRule,
    /// Limits for bad channels.
    pub quality: QualitySpec,
    /// Channels that the ratios of bands are taken from (parietal and occipital ones); all where none is named.
    pub ratio_channels: ChannelMask,
    /// Length of a window of band powers, 2..=10 s.
    pub window: Seconds,
    /// How much good EEG makes the baseline, 30..=1800 s.
    pub baseline: Seconds,
    /// How far back the present reaches, 20..=600 s.
    pub recent: Seconds,
    /// A channel that spans more than this within a window has an artefact there and is left out, microvolts.
    pub artefact_uv: f64,
    /// An alpha spindle's envelope is this many times the baseline's median, 1.2..=5.
    pub spindle_factor: f64,
    /// It lasts at least this long, 0.3..=2 s.
    pub spindle_least_s: f64,
}

/// An index now, and against the baseline.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Index {
    /// Its value over the recent time.
    pub value: Option<f64>,
    /// Its value in the baseline.
    pub baseline: Option<f64>,
    /// Deviation in standard deviations of the baseline.
    pub z: Option<f64>,
    /// Probability that it has truly risen.
    pub risen: Option<f64>,
}

/// All indices that rest on ongoing EEG.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Indices {
    /// Share of the baseline that has been taken, 0 to 1.
    pub baseline_share: f64,
    /// Theta over alpha power: median over channels, geometric mean over time. Its `z` is that of the logarithm.
    pub theta_alpha: Index,
    /// (Theta + alpha) over beta power, likewise.
    pub slow_fast: Index,
    /// Alpha spindles per minute.
    pub spindles_per_min: Index,
    /// Mean length of recent spindles, seconds.
    pub spindle_s: Option<f64>,
    /// Mean amplitude of recent spindles, microvolts.
    pub spindle_uv: Option<f64>,
    /// Channels that gave the latest window; 0 when it could not be used.
    pub channels: usize,
}

/// A ratio of band powers over time.
#[derive(Debug, Clone)]
struct Ratio {
    first: Vec<f64>,
    baseline: Option<Baseline>,
    recent: FixedQueue<Option<f64>>,
}

impl Ratio {
    fn new(first_max: usize, recent_max: usize) -> Result<Self, DspError> {
        Ok(Self {
            first: Vec::with_capacity(first_max),
            baseline: None,
            recent: FixedQueue::new(recent_max)?,
        })
    }

    fn reset(&mut self) {
        self.first.clear();
        self.baseline = None;
        self.recent.reset();
    }

    fn push_recent(&mut self, ln: Option<f64>, recent_max: usize) {
        if self.recent.len() == recent_max {
            self.recent.pop();
        }
        // There is room: the oldest has just gone.
        let _ = self.recent.push(ln);
    }

    fn index(&self) -> Index {
        let known = || self.recent.iter().flatten();
        let n = known().count();
        let mean = known().sum::<f64>() / n as f64;
        let value = (n >= RECENT_MIN).then_some(mean);
        let deviation = self.baseline.and_then(|baseline| baseline.compare(mean, n));
        Index {
            value: value.map(f64::exp),
            baseline: self.baseline.map(|baseline| baseline.mean.exp()),
            z: deviation.map(|deviation| deviation.z),
            risen: deviation.map(|deviation| deviation.risen),
        }
    }
}

/// Everything from raw samples to [`Indices`]. Pure: the same samples give the same bits, live, in replay and offline.
///
/// `push` does not allocate, but a window costs three FFTs per channel and the end of the baseline a sort: it belongs on a thread
/// that nobody at the gate waits for.
#[derive(Debug, Clone)]
pub struct StateTracker {
    spec: StateSpec,
    guard: StampGuard,
    quality: ChannelQuality,
    filter: SosFilter,
    bands: BandPowers,
    envelope: AlphaEnvelope,
    spindles: SpindleWatch,
    theta_alpha: Ratio,
    slow_fast: Ratio,
    baseline_max: usize,
    recent_max: usize,
    /// Windows to come that still share samples with the baseline.
    shared: usize,
    closed: bool,
    raw: Vec<f64>,
    previous: Vec<f64>,
    between: Vec<f64>,
    filtered: Vec<f64>,
    /// Samples since the latest artefact of each channel.
    quiet: Vec<u32>,
    quiet_samples: u32,
    values: Vec<f64>,
    begun: bool,
    since_start: u64,
    settle_samples: u64,
    tick_samples: u64,
    used: usize,
}

impl StateTracker {
    /// Builds every stage.
    ///
    /// # Errors
    /// [`DspError`] for a number out of range, or a rate too low for beta.
    pub fn new(spec: StateSpec) -> Result<Self, DspError> {
        let (rate, n) = (spec.rate, spec.channels);
        count("channels", n, 1, MAX_CHANNELS / 2)?;
        let window_s = parameter("state window in s", spec.window.get(), 2.0, 10.0)?;
        let baseline_s = parameter("state baseline in s", spec.baseline.get(), 30.0, 1_800.0)?;
        let recent_s = parameter("recent time in s", spec.recent.get(), 20.0, 600.0)?;
        parameter("artefact limit in uV", spec.artefact_uv, 1.0, 1e6)?;
        parameter("spindle factor", spec.spindle_factor, 1.2, 5.0)?;
        parameter("spindle length in s", spec.spindle_least_s, 0.3, 2.0)?;
        let sections = butter_highpass(HIGHPASS_ORDER, Hertz::new(HIGHPASS_HZ)?, rate)?;
        let tick_samples = (rate.get() / TICK_HZ).round().max(1.0);
        let baseline_max = (baseline_s / HOP_S).round() as usize;
        let recent_max = (recent_s / HOP_S).round() as usize;
        Ok(Self {
            spec,
            guard: StampGuard::new(rate, spec.stamps),
            quality: ChannelQuality::new(spec.quality, rate, n)?,
            filter: SosFilter::new(&sections, n)?,
            bands: BandPowers::new(rate, n, Seconds::new(window_s)?, Seconds::new(HOP_S)?)?,
            envelope: AlphaEnvelope::new(rate, n)?,
            spindles: SpindleWatch::new(
                rate.get() / tick_samples,
                baseline_s,
                recent_s,
                spec.spindle_factor,
                spec.spindle_least_s,
            )?,
            theta_alpha: Ratio::new(baseline_max, recent_max)?,
            slow_fast: Ratio::new(baseline_max, recent_max)?,
            baseline_max,
            recent_max,
            shared: 0,
            closed: false,
            raw: vec![0.0; n],
            previous: vec![0.0; n],
            between: vec![0.0; n],
            filtered: vec![0.0; n],
            quiet: vec![0; n],
            quiet_samples: (QUIET_S * rate.get()).round() as u32,
            values: Vec::with_capacity(n),
            begun: false,
            since_start: 0,
            settle_samples: (SETTLE_S * rate.get()).round() as u64,
            tick_samples: tick_samples as u64,
            used: 0,
        })
    }

    /// What it was built for.
    #[must_use]
    pub fn spec(&self) -> &StateSpec {
        &self.spec
    }

    /// As new: the baseline is forgotten, too.
    pub fn reset(&mut self) {
        self.restart();
        self.guard.reset();
        self.quality.reset();
        self.spindles.reset();
        self.theta_alpha.reset();
        self.slow_fast.reset();
        self.shared = 0;
        self.closed = false;
        self.used = 0;
    }

    /// The source begins anew: filters and windows settle again; the baseline and what was counted so far stay.
    pub fn restart(&mut self) {
        self.guard.restart();
        self.quality.reset();
        self.interrupt();
    }

    /// The signal is interrupted: nothing of what came before reaches across.
    fn interrupt(&mut self) {
        self.begun = false;
        self.since_start = 0;
        self.bands.reset();
        self.envelope.reset();
        self.spindles.push(None);
        self.quiet.fill(0);
    }

    /// Takes one sample, microvolts, with its stamp on the source's clock. `true` when the indices are new: once a second.
    ///
    /// # Errors
    /// [`DspError::Shape`] unless `sample` holds one value per channel; nothing has happened then.
    pub fn push(&mut self, stamp_s: f64, sample: &[f32]) -> Result<bool, DspError> {
        shape("sample", sample.len(), self.spec.channels)?;
        let missing = match self.guard.push(stamp_s) {
            StampVerdict::Drop(_) => return Ok(false),
            StampVerdict::InOrder { .. } => 0,
            StampVerdict::Gap {
                missing,
                action: GapAction::Interpolate,
                ..
            } => missing,
            StampVerdict::Gap { .. } | StampVerdict::ClockJump { .. } => {
                self.interrupt();
                0
            }
        };
        // Moved out for the borrow checker; a Vec of zero length is no allocation.
        let mut raw = std::mem::take(&mut self.raw);
        let taken = self.quality.sanitise(sample, &mut raw).and_then(|()| {
            let filled = if self.begun {
                self.fill(&raw, missing)?
            } else {
                false
            };
            Ok(self.advance(&raw, true)? || filled)
        });
        self.raw = raw;
        taken
    }

    /// Makes up the samples of a short gap on a straight line.
    fn fill(&mut self, raw: &[f64], missing: u64) -> Result<bool, DspError> {
        let mut new = false;
        let mut between = std::mem::take(&mut self.between);
        for step in 1..=missing {
            let share = step as f64 / (missing + 1) as f64;
            for ((x, from), to) in between.iter_mut().zip(&self.previous).zip(raw) {
                *x = from + share * (to - from);
            }
            match self.advance(&between, false) {
                Ok(more) => new |= more,
                Err(error) => {
                    self.between = between;
                    return Err(error);
                }
            }
        }
        self.between = between;
        Ok(new)
    }

    fn advance(&mut self, raw: &[f64], recorded: bool) -> Result<bool, DspError> {
        if !self.begun {
            self.filter.start_at(raw)?;
            self.begun = true;
        }
        self.filtered.copy_from_slice(raw);
        self.filter.process(&mut self.filtered)?;
        if recorded {
            self.previous.copy_from_slice(raw);
            self.quality.observe(raw, &self.filtered)?;
        }
        let half_uv = self.spec.artefact_uv / 2.0;
        for (quiet, x) in self.quiet.iter_mut().zip(&self.filtered) {
            *quiet = if x.abs() > half_uv {
                0
            } else {
                quiet.saturating_add(1)
            };
        }
        self.envelope.push(&self.filtered)?;
        self.since_start += 1;
        if self.since_start <= self.settle_samples {
            return Ok(false);
        }
        if self.since_start.is_multiple_of(self.tick_samples) {
            let quiet = |this: &Self, channel: usize| {
                let since = this.quiet.get(channel).copied().unwrap_or(0);
                since >= this.quiet_samples
            };
            let (envelope_uv, _) = self.median(quiet, |this, channel| {
                Some(this.envelope.envelope(channel)).filter(|uv| uv.is_finite())
            });
            self.spindles.push(envelope_uv);
        }
        let ended = self.bands.push(&self.filtered)?;
        if ended {
            self.window();
        }
        Ok(ended)
    }

    /// A window has ended: its ratios belong to the baseline, or to the present.
    fn window(&mut self) {
        let calm = |this: &Self, channel: usize| {
            let powers = this.bands.powers().get(channel);
            powers.is_some_and(|p| p.peak_to_peak <= this.spec.artefact_uv)
        };
        let (theta_alpha, used) = self.median(calm, |this, channel| {
            this.bands.powers().get(channel)?.ln_theta_alpha()
        });
        let (slow_fast, _) = self.median(calm, |this, channel| {
            this.bands.powers().get(channel)?.ln_slow_fast()
        });
        self.used = used;
        if self.closed {
            if self.shared > 0 {
                self.shared -= 1;
                return;
            }
            self.theta_alpha.push_recent(theta_alpha, self.recent_max);
            self.slow_fast.push_recent(slow_fast, self.recent_max);
            return;
        }
        let (Some(theta_alpha), Some(slow_fast)) = (theta_alpha, slow_fast) else {
            return;
        };
        self.theta_alpha.first.push(theta_alpha);
        self.slow_fast.first.push(slow_fast);
        if self.theta_alpha.first.len() >= self.baseline_max {
            self.close();
        }
    }

    /// The baseline is whole.
    fn close(&mut self) {
        let overlap = self.bands.overlap();
        for ratio in [&mut self.theta_alpha, &mut self.slow_fast] {
            ratio.baseline = Baseline::of(&ratio.first, overlap);
        }
        self.spindles.close();
        self.shared = overlap;
        self.closed = true;
    }

    /// Median over the good channels for which `fit` holds, and over how many. Where channels are named no other
    /// ever enters: a ratio of the forehead must not be held against a baseline of the back of the head.
    fn median(
        &mut self,
        fit: impl Fn(&Self, usize) -> bool,
        value: impl Fn(&Self, usize) -> Option<f64>,
    ) -> (Option<f64>, usize) {
        let mut values = std::mem::take(&mut self.values);
        let bad = self.quality.bad();
        let anywhere = self.spec.ratio_channels.is_empty();
        values.clear();
        let channels = (0..self.spec.channels)
            .filter(|c| anywhere || self.spec.ratio_channels.contains(*c))
            .filter(|c| !bad.contains(*c) && fit(self, *c));
        // One value per channel, for which there is room.
        values.extend(channels.filter_map(|c| value(self, c)));
        values.sort_unstable_by(f64::total_cmp);
        let n = values.len();
        let median = match (values.get(n / 2), values.get(n.saturating_sub(1) / 2)) {
            (Some(upper), Some(lower)) => Some(0.5 * (upper + lower)),
            _ => None,
        };
        self.values = values;
        (median, n)
    }

    /// The indices as they stand.
    #[must_use]
    pub fn indices(&self) -> Indices {
        let taken = self.theta_alpha.first.len() as f64 / self.baseline_max as f64;
        let rate = self.spindles.rate();
        let deviation = self.spindles.deviation();
        let baseline = self.spindles.baseline();
        Indices {
            baseline_share: taken.min(1.0),
            theta_alpha: self.theta_alpha.index(),
            slow_fast: self.slow_fast.index(),
            spindles_per_min: Index {
                value: rate.map(|rate| rate.per_min),
                baseline: baseline.map(|count| 60.0 * f64::from(count.events) / count.seconds),
                z: deviation.map(|deviation| deviation.z),
                risen: deviation.map(|deviation| deviation.risen),
            },
            spindle_s: rate.and_then(|rate| rate.duration_s),
            spindle_uv: rate.and_then(|rate| rate.amplitude_uv),
            channels: self.used,
        }
    }

    /// Powers of every channel in the latest window.
    #[must_use]
    pub fn powers(&self) -> &[Powers] {
        self.bands.powers()
    }
}
