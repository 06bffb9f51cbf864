//! Which channels can be trusted now: rails, flat lines, jumps, outliers, line noise, channels that go with no other,
//! copies, values that are not finite.
//!
//! Causal. A verdict is made every second, on the samples of the last window (2 s; before the first window is full, on
//! what there is), and holds from its last sample on. A channel turns bad with one bad verdict and good again when the verdicts of
//! two windows' length were all good. Three faults are seen at their very sample: a value that is not finite, a value
//! beyond 10 kV, which is no voltage, and a filtered value beyond [`QualitySpec::swing`]; the channel is then bad until the filters
//! have settled.
//!
//! # Rules
//!
//! | fault | rule, over a window |
//! |---|---|
//! | railed | more than 1 % of the samples reach [`QualitySpec::rail`]; or, whatever the amplifier's limit, more than 2 % lie in runs of three or more equal samples at the window's own largest or smallest value, which are at least 100 uV apart; or the channel stands still beyond 100 mV |
//! | flat | the span is within [`QualitySpec::flat`], or more than 10 % of the samples lie in stretches of 0.1 s without any change |
//! | variance | log-variance of the filtered samples far from the channels' median, by robust z |
//! | line | mains before the notch far above the filtered signal |
//! | uncorrelated | its mean correlation (of ten seconds, each second's counted alike) with every other channel stays below [`QualitySpec::correlation_min`] |
//! | copy | nothing of its own beside a channel before it in the order of the montage: correlation of [`QualitySpec::copy_min`] and a rest within [`QualitySpec::flat`]; a window long |
//!
//! The last two compare pairs, which would be a long sample for a large cap at the end of each second. A second's pairs are gone through
//! while the next second runs, and the verdict at its end takes them in.
//!
//! The correlation criterion is that of PREP (Bigdely-Shamlo et al., Frontiers in Neuroinformatics 9:16 (2015), section
//! 2.3.2: largest absolute correlation with any other channel, per window), with other numbers: PREP's 0.4 in windows of a second
//! condemns, in healthy recordings of eight channels, an electrode of its own up to four seconds in ten, and three of four
//! dry ones. Averaged over ten seconds, healthy channels stay above 0.2 and channels that go with none fall below. It says
//! nothing with fewer than six channels to compare, or where most of them do not go together by 0.4 either.
//!
//! Of channels that are bridged or doubled the first one stays and the others are bad: they would count twice and make
//! covariances singular.

mod company;
mod spec;
mod tally;
mod verdict;
mod window;

use std::f64::consts::PI;

use self::company::Company;
pub use self::spec::QualitySpec;
use self::tally::{Limits, Tally};
pub use self::verdict::{BadChannel, BadSeconds};
use self::window::Bucket;
use crate::error::{DspError, count, parameter, shape};
use crate::mask::{ChannelMask, MAX_CHANNELS};
use crate::units::Hertz;

/// Least spread of the channels' log-variances that is assumed when they are compared: with few channels the measured
/// spread can be tiny by chance, and one lively channel would look like a fault.
const SPREAD_MIN: f64 = 0.7;
/// Windows of good verdicts after which a bad channel is good again.
const WINDOWS_TO_RECOVER: usize = 2;
/// Verdicts are made this often, or once per window where that is shorter.
const VERDICT_S: f64 = 1.0;
/// Seconds over which correlations are averaged, and from which on they count.
const PAIRS_AVERAGED_S: u16 = 10;
/// Fewest channels among which correlations are judged.
const COMPANY_MIN: usize = 6;
/// The median channel must go with another by this much before any is blamed for not doing so.
const COMPANY_MEDIAN_MIN: f64 = 0.4;
/// A channel that did not change for this long stood still, seconds.
const STILL_S: f64 = 0.1;
/// Values beyond this are no voltages, uV.
const VOLTAGE_MAX_UV: f32 = 1e10;

/// Watches all channels of a stream.
#[derive(Debug, Clone)]
pub struct ChannelQuality {
    spec: QualitySpec,
    verdict_samples: u32,
    buckets: usize,
    settle_samples: u64,
    swing_uv: f64,
    line_coefficient: f64,
    line_gain: f64,
    seen: u32,
    verdicts: u64,
    tally: Tally,
    channels: Vec<Channel>,
    /// Whether every channel has had a value.
    all_had_values: bool,
    /// Samples until no channel is unsettled any more.
    unsettled: u64,
    /// The last closed buckets of each channel, `[channel][bucket]`, oldest overwritten.
    past: Vec<Bucket>,
    place: usize,
    sorted: Vec<f64>,
    comparable: Vec<bool>,
    company: Company,
    /// Channels that the minimum montage counts.
    counted: ChannelMask,
    bad: ChannelMask,
    restarts: ChannelMask,
}

#[derive(Debug, Clone, Copy, Default)]
struct Channel {
    window: Bucket,
    /// Whether any value of it was finite.
    had_value: bool,
    unsettled: u64,
    unsettled_by: Option<BadChannel>,
    good_verdicts: usize,
    verdict: Option<BadChannel>,
    log_variance: f64,
    bad_seconds: BadSeconds,
}

impl ChannelQuality {
    /// Allocates one window per channel and one number per pair of channels; all channels are good at first.
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
        parameter("least correlation", spec.correlation_min, 0.0, 1.0)?;
        parameter("correlation of a copy", spec.copy_min, 0.9, 1.0)?;
        parameter("settling time in s", spec.settle.get(), 0.0, 60.0)?;
        let swing_uv = match spec.swing {
            Some(swing) => parameter("swing limit in uV", swing.get(), 1.0, 1e9)?,
            None => f64::INFINITY,
        };
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
        let samples = |s: f64| (s * rate.get()).round();
        let verdict_s = spec.window.get().min(VERDICT_S);
        let buckets = (spec.window.get() / verdict_s).round().max(1.0) as usize;
        let verdict_samples = samples(verdict_s).max(8.0) as u32;
        let limits = Limits {
            rail_uv: spec.rail.get(),
            still_samples: samples(STILL_S).max(8.0) as u32,
            line_coefficient: 2.0 * omega.cos(),
        };
        Ok(Self {
            spec,
            verdict_samples,
            buckets,
            settle_samples: samples(spec.settle.get()) as u64,
            swing_uv,
            line_coefficient: limits.line_coefficient,
            // Power gain of the first difference at the line frequency.
            line_gain: 2.0 - 2.0 * omega.cos(),
            seen: 0,
            verdicts: 0,
            tally: Tally::new(limits, channels),
            channels: vec![Channel::default(); channels],
            all_had_values: false,
            unsettled: 0,
            past: vec![Bucket::default(); channels * buckets],
            place: 0,
            sorted: Vec::with_capacity(channels),
            comparable: vec![false; channels],
            company: Company::new(&spec, channels, rate.get(), verdict_samples),
            counted: ChannelMask::all(channels),
            bad: ChannelMask::NONE,
            restarts: ChannelMask::NONE,
        })
    }

    /// As new, but for the counts of [`Self::bad_seconds`], which go on.
    pub fn restart(&mut self) {
        self.seen = 0;
        self.tally.reset();
        self.all_had_values = false;
        self.unsettled = 0;
        for channel in &mut self.channels {
            *channel = Channel {
                bad_seconds: channel.bad_seconds,
                ..Channel::default()
            };
        }
        self.past.fill(Bucket::default());
        self.place = 0;
        self.company.reset();
        self.bad = ChannelMask::NONE;
        self.restarts = ChannelMask::NONE;
    }

    /// As new.
    pub fn reset(&mut self) {
        self.restart();
        self.verdicts = 0;
        for channel in &mut self.channels {
            channel.bad_seconds = BadSeconds::default();
        }
    }

    /// Channels that are bad now.
    #[must_use]
    pub fn bad(&self) -> ChannelMask {
        self.bad
    }

    /// Why a channel is bad; `None` when it is good or does not exist.
    #[must_use]
    pub fn why(&self, channel: usize) -> Option<BadChannel> {
        self.channels.get(channel).and_then(Channel::why)
    }

    /// Channels that are bad for another reason than their variance: their values mean nothing, whereas those of a restless
    /// channel are only large.
    #[must_use]
    pub fn meaningless(&self) -> ChannelMask {
        let mut mask = self.bad;
        if !mask.is_empty() {
            for (index, c) in self.channels.iter().enumerate() {
                if c.why() == Some(BadChannel::Variance) {
                    mask.remove(index);
                }
            }
        }
        mask
    }

    /// How many of the verdicts on a channel were bad since construction or `reset`; none for one that does not exist.
    #[must_use]
    pub fn bad_seconds(&self, channel: usize) -> BadSeconds {
        self.channels
            .get(channel)
            .map(|c| c.bad_seconds)
            .unwrap_or_default()
    }

    /// Verdicts since construction or `reset`, one a second.
    #[must_use]
    pub fn verdicts(&self) -> u64 {
        self.verdicts
    }

    /// Counts only these channels towards the minimum montage, all at first: those that a classifier looks at. Stays through a
    /// reset. Real-time.
    pub fn set_counted(&mut self, channels: ChannelMask) {
        self.counted = channels.intersection(&ChannelMask::all(self.channels.len()));
    }

    /// Whether enough of the channels that count are good.
    #[must_use]
    pub fn montage_ok(&self) -> bool {
        self.counted.difference(&self.bad).count() >= self.spec.min_good
    }

    /// Channels that came back with the sample of the last [`Self::sanitise`], after they had stood still or had no value, and
    /// far from where they were: their filters are to begin anew there.
    #[must_use]
    pub fn restarts(&self) -> &ChannelMask {
        &self.restarts
    }

    /// Takes the next sample: replaces values that are not finite, or no voltages, by the channel's last finite one (0 at
    /// the very start) and marks the channel bad for the settling time. To be called before the filter, followed by [`Self::observe`].
    ///
    /// # Errors
    /// [`DspError::Shape`] unless both hold one value per channel.
    pub fn sanitise(&mut self, sample: &[f32], held: &mut [f64]) -> Result<(), DspError> {
        shape("sample", sample.len(), self.channels.len())?;
        shape("sample buffer", held.len(), self.channels.len())?;
        self.restarts = ChannelMask::NONE;
        // Twice the limit of a jump in the filtered signal: a step of this height is one.
        let far_uv = 2.0 * self.swing_uv;
        let usual = self.tally.takes(sample, held, VOLTAGE_MAX_UV, far_uv);
        if !usual || !self.all_had_values {
            self.sanitise_each(sample, held, far_uv);
        }
        Ok(())
    }

    /// Channel by channel, where anything is out of the ordinary.
    fn sanitise_each(&mut self, sample: &[f32], held: &mut [f64], far_uv: f64) {
        // One more than the settling time: `observe` of this very sample counts down too.
        let settling = self.settle_samples + 1;
        let mut all_had_values = true;
        for (index, ((c, x), out)) in self.channels.iter_mut().zip(sample).zip(held).enumerate() {
            let previous = self.tally.previous(index);
            let mut doubt = None;
            // Also false for NaN.
            if x.abs() <= VOLTAGE_MAX_UV {
                let was_away = !c.had_value || self.tally.stands_still(index);
                c.had_value = true;
                if was_away && previous.is_some_and(|last| (*out - last).abs() > far_uv) {
                    doubt = Some(BadChannel::Swing);
                    self.restarts.insert(index);
                }
            } else {
                *out = previous.unwrap_or(0.0);
                doubt = Some(BadChannel::NotFinite);
            }
            if let Some(why) = doubt {
                c.doubt(settling, why);
                self.unsettled = settling;
                self.bad.insert(index);
            }
            all_had_values &= c.had_value;
        }
        self.all_had_values = all_had_values;
    }

    /// Looks at one finite sample, before (`raw`) and after (`filtered`) the filters, in microvolts.
    ///
    /// # Errors
    /// [`DspError::Shape`] unless both hold one value per channel.
    pub fn observe(&mut self, raw: &[f64], filtered: &[f64]) -> Result<(), DspError> {
        shape("sample", raw.len(), self.channels.len())?;
        shape("filtered sample", filtered.len(), self.channels.len())?;
        let largest_uv = self.tally.add(raw, filtered);
        if largest_uv > self.swing_uv || self.unsettled > 0 {
            self.watch_each(filtered);
        }
        self.company.push(filtered);
        self.seen += 1;
        if self.seen == self.verdict_samples {
            self.judge();
            self.seen = 0;
        }
        Ok(())
    }

    /// Jumps, and channels that have settled.
    fn watch_each(&mut self, filtered: &[f64]) {
        for (index, (c, y)) in self.channels.iter_mut().zip(filtered).enumerate() {
            if y.abs() > self.swing_uv {
                c.doubt(self.settle_samples + 1, BadChannel::Swing);
                self.unsettled = self.settle_samples + 1;
                self.bad.insert(index);
            }
            if c.unsettled > 0 {
                c.unsettled -= 1;
                if c.unsettled == 0 {
                    c.unsettled_by = None;
                    self.bad.set(index, c.verdict.is_some());
                }
            }
        }
        self.unsettled = self.unsettled.saturating_sub(1);
    }

    fn judge(&mut self) {
        self.close_buckets();
        let centre_and_spread = centre_and_spread(&mut self.sorted);
        let lonely_below = self.lonely_below();
        for (index, c) in self.channels.iter_mut().enumerate() {
            let outlying = centre_and_spread.is_some_and(|(centre, spread)| {
                (c.log_variance - centre).abs() > self.spec.variance_z_max * spread
            });
            let bond = self.company.bond(index);
            let fault = c.window.fault(&self.spec).or_else(|| {
                if c.window.is_line(&self.spec) {
                    Some(BadChannel::Line)
                } else if outlying {
                    Some(BadChannel::Variance)
                } else if bond.copied as usize >= self.buckets {
                    Some(BadChannel::Copy)
                } else if bond.best.zip(lonely_below).is_some_and(|(b, min)| b < min) {
                    Some(BadChannel::Uncorrelated)
                } else {
                    None
                }
            });
            c.take(fault, self.buckets * (WINDOWS_TO_RECOVER - 1) + 1);
            self.bad.set(index, c.why().is_some());
        }
        self.company.close(&self.comparable);
        self.verdicts += 1;
    }

    /// Puts each channel's bucket into its window and finds out which channels can be compared with others.
    fn close_buckets(&mut self) {
        self.sorted.clear();
        let windows = self.past.chunks_exact_mut(self.buckets);
        let channels = self.channels.iter_mut().zip(&mut self.comparable);
        for (index, ((c, comparable), past)) in channels.zip(windows).enumerate() {
            let mut bucket = self.tally.bucket(index);
            bucket.close(self.line_gain, self.line_coefficient);
            if let Some(place) = past.get_mut(self.place) {
                *place = bucket;
            }
            c.window = Bucket::default();
            for bucket in past.iter() {
                c.window.join(bucket);
            }
            c.log_variance = c.window.variance().ln();
            *comparable = c.window.fault(&self.spec).is_none();
            if *comparable {
                // Capacity is one value per channel: never grows.
                self.sorted.push(c.log_variance);
            }
            *comparable &= c.unsettled == 0;
        }
        self.tally.begin();
        self.place = (self.place + 1) % self.buckets;
    }

    /// The correlation below which a channel is blamed; `None` while the montage does not go together.
    fn lonely_below(&mut self) -> Option<f64> {
        self.sorted.clear();
        let bonds = (0..self.channels.len()).filter_map(|c| self.company.bond(c).best);
        // At most one value per channel.
        self.sorted.extend(bonds);
        let enough = self.sorted.len() >= COMPANY_MIN;
        let together = enough && median(&mut self.sorted)? >= COMPANY_MEDIAN_MIN;
        together.then_some(self.spec.correlation_min)
    }
}

impl Channel {
    fn why(&self) -> Option<BadChannel> {
        self.unsettled_by.or(self.verdict)
    }

    /// The channel is bad from this sample on for the settling time.
    fn doubt(&mut self, samples: u64, why: BadChannel) {
        self.unsettled = samples;
        self.unsettled_by = Some(why);
    }

    fn take(&mut self, fault: Option<BadChannel>, good_to_recover: usize) {
        match fault {
            Some(_) => {
                self.verdict = fault;
                self.good_verdicts = 0;
            }
            None => {
                self.good_verdicts += 1;
                if self.good_verdicts >= good_to_recover {
                    self.verdict = None;
                }
            }
        }
        if let Some(why) = self.why() {
            self.bad_seconds.note(why);
        }
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
