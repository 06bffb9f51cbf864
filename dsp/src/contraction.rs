//! A contraction of the jaw or the brow, short and on purpose, seen in the power of muscle activity in EEG or EMG channels.
//!
//! Muscles are broad-band and loud: clenched jaws raise every frontal and temporal channel from 20 Hz on by far more than a brain does
//! (Goncharova et al. 2003, Clin. Neurophysiol. 114:1580). So: power of a band from 20 Hz up, its logarithm against the level at which this
//! person rests, and the lower median over the channels, which no single loose contact moves. A stretch over a low threshold is an
//! *episode*; its mean is its score. The threshold is low on purpose: what an episode means is for the densities of this person's
//! own episodes to say ([`ContractionModel`]), asked for and unasked.
//!
//! Everything is causal; the mean of [`WINDOW_S`] is all that it lags. Chewing and talking are contractions too: nothing here
//! tells them apart, their rate is in the calibration.

use serde::{Deserialize, Serialize};

use crate::deliberate::TOLD_NATS;
use crate::design::{butter_bandpass, iirnotch};
use crate::error::{DspError, count, parameter, shape};
use crate::mask::ChannelMask;
use crate::score::ScoreDensity;
use crate::sosfilt::SosFilter;
use crate::units::Hertz;

/// Lower edge of the band, Hz: above blinks, eye movements and alpha.
pub const LOW_HZ: f64 = 20.0;
/// Upper edge of the band, Hz, where the rate allows it.
pub const HIGH_HZ: f64 = 150.0;
/// Upper edge of the band at low rates, as a share of the rate.
const HIGH_SHARE: f64 = 0.4;
/// Order of the band-pass (`SciPy`'s `N`).
pub const ORDER: usize = 4;
/// Power is the mean over about this long, seconds.
pub const WINDOW_S: f64 = 0.1;
/// And is looked at about so often, seconds.
const TICK_S: f64 = 0.01;
/// Lowest sampling rate, Hz: below, little of the band is left.
pub const RATE_MIN_HZ: f64 = 100.0;
/// Most channels that are looked at.
pub const PICKED_MAX: usize = 32;
/// Width of the notch at mains and each of its multiples, Hz.
const NOTCH_HZ: f64 = 5.0;
/// Over this an episode begins, nats: twice the power at rest.
const ENTER_NATS: f64 = 0.7;
/// Below this it ends, nats.
const LEAVE_NATS: f64 = 0.5;
/// It has ended, too, when power has fallen so far from its peak, nats: to a twentieth. The filter rings for longer than a strong
/// contraction lasts.
const FALLEN_NATS: f64 = 3.0;
/// Shorter stretches are no episode, seconds: a click at an electrode lasts as long as the window.
pub const EPISODE_MIN_S: f64 = 0.15;
/// Longer ones are none either, seconds: then the person rests at another level, or chews.
pub const EPISODE_MAX_S: f64 = 2.0;
/// Time constant with which the level at rest follows, seconds.
const REST_S: f64 = 20.0;
/// The level is known after so long, seconds.
const REST_KNOWN_S: f64 = 2.0;
/// Less power than this is no signal but a channel that stands still, microvolts squared.
const STILL_UV2: f64 = 1e-4;
/// Stamps further apart are a time in which nobody watched, seconds.
const GAP_S: f64 = 0.1;

/// Which muscle is contracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Muscle {
    /// The teeth are clenched: loudest over the temples.
    #[default]
    Jaw,
    /// A frown: loudest at the front.
    Brow,
}

/// A stretch of raised muscle activity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contraction {
    /// Stamp at which it rose over the threshold, seconds.
    pub onset_s: f64,
    /// Stamp at which it had fallen again, seconds; up to [`WINDOW_S`] after the muscle let go.
    pub at_s: f64,
    /// Mean of the logarithm of power over power at rest meanwhile, nats: the stronger, the higher.
    pub score: f64,
}

/// What is known of a channel.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Channel {
    /// Sum of squares of the tick that is under way.
    sum: f64,
    /// Samples of it that were not finite.
    broken: u32,
    /// The last finite sample: holds where one is not.
    held: f64,
    /// Logarithm of power at rest, and ticks it was taken from, up to the time constant.
    rest: f64,
    rest_ticks: f64,
}

impl Channel {
    const NEW: Self = Self {
        sum: 0.0,
        broken: 0,
        held: f64::NAN,
        rest: 0.0,
        rest_ticks: 0.0,
    };
}

/// An episode that is under way.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Open {
    onset_s: f64,
    sum_nats: f64,
    peak_nats: f64,
    /// Until it fell.
    ticks: f64,
    /// Until now.
    age_ticks: f64,
    /// It has fallen; what is left dies away.
    told: bool,
}

/// Finds contractions, sample by sample. `push`, `interrupt` and `reset` do not allocate.
///
/// Power of a channel is the mean square over whole ticks of about 10 ms, eight to thirteen of them. It is known when all samples
/// were finite and the channel does not stand still. Its level at rest is the mean of the logarithm, with a time constant of 20 s,
/// over ticks outside episodes; an episode of more than 2 s is none, and the level follows again.
#[derive(Debug, Clone)]
pub struct ContractionDetector {
    channels: usize,
    picked: Vec<usize>,
    filter: SosFilter,
    row: Vec<f64>,
    state: Vec<Channel>,
    /// Sums of squares of the latest ticks, `[tick][picked]`; NaN where a sample was not finite.
    window: Vec<f64>,
    ticks: usize,
    next: usize,
    filled: usize,
    samples_per_tick: u32,
    samples: u32,
    tick_s: f64,
    sorted: Vec<f64>,
    started: bool,
    last_s: Option<f64>,
    open: Option<Open>,
    ratio_nats: Option<f64>,
}

impl ContractionDetector {
    /// A detector for a stream of `channels` channels at `rate` that looks at those `picked`, with a notch at `mains` and its multiples.
    ///
    /// The band reaches from 20 Hz to 150 Hz or 0.4 of the rate, whichever is lower.
    ///
    /// # Errors
    /// [`DspError::Parameter`] for a rate below 100 Hz; [`DspError::Count`] unless 1 to 32 channels of the stream are picked.
    pub fn new(
        rate: Hertz,
        channels: usize,
        picked: ChannelMask,
        mains: Option<Hertz>,
    ) -> Result<Self, DspError> {
        parameter("rate for contractions in Hz", rate.get(), RATE_MIN_HZ, 1e6)?;
        let picked: Vec<usize> = picked.iter().filter(|at| *at < channels).collect();
        count("channels for contractions", picked.len(), 1, PICKED_MAX)?;
        let high_hz = upper_edge_hz(rate);
        let mut sections = butter_bandpass(ORDER, Hertz::new(LOW_HZ)?, Hertz::new(high_hz)?, rate)?;
        if let Some(mains) = mains {
            let mut multiple_hz = mains.get();
            while multiple_hz < high_hz {
                let quality = (multiple_hz / NOTCH_HZ).clamp(2.0, 1000.0);
                sections.push(iirnotch(Hertz::new(multiple_hz)?, quality, rate)?);
                multiple_hz += mains.get();
            }
        }
        let samples_per_tick = (TICK_S * rate.get()).round().max(1.0);
        let tick_s = samples_per_tick / rate.get();
        let ticks = (WINDOW_S / tick_s).round().max(1.0) as usize;
        let n = picked.len();
        Ok(Self {
            channels,
            filter: SosFilter::new(&sections, n)?,
            row: vec![0.0; n],
            state: vec![Channel::NEW; n],
            window: vec![0.0; ticks * n],
            ticks,
            next: 0,
            filled: 0,
            samples_per_tick: samples_per_tick as u32,
            samples: 0,
            tick_s,
            sorted: Vec::with_capacity(n),
            started: false,
            last_s: None,
            open: None,
            ratio_nats: None,
            picked,
        })
    }

    /// As new.
    pub fn reset(&mut self) {
        self.interrupt();
        self.state.fill(Channel::NEW);
    }

    /// The source begins anew, or nobody watched for a while: filter and window start again, the level at rest stays.
    pub fn interrupt(&mut self) {
        for channel in &mut self.state {
            *channel = Channel {
                rest: channel.rest,
                rest_ticks: channel.rest_ticks,
                ..Channel::NEW
            };
        }
        self.started = false;
        self.last_s = None;
        self.samples = 0;
        self.next = 0;
        self.filled = 0;
        self.open = None;
        self.ratio_nats = None;
    }

    /// Power over power at rest at the latest tick, logarithm, nats; `None` where too few channels are known.
    #[must_use]
    pub fn ratio_nats(&self) -> Option<f64> {
        self.ratio_nats
    }

    /// Mean square of the band of a picked channel over the window that ended with the latest tick, microvolts squared; `None` before the
    /// first whole window, with a sample that was not finite, and for a channel that is not there.
    #[must_use]
    pub fn power_uv2(&self, picked: usize) -> Option<f64> {
        if self.filled < self.ticks || picked >= self.picked.len() {
            return None;
        }
        // Summed anew each time: nothing of what has left the window stays behind as a rounding error.
        let ticks = self.window.iter().skip(picked).step_by(self.picked.len());
        let samples = self.ticks as f64 * f64::from(self.samples_per_tick);
        let power_uv2 = ticks.sum::<f64>() / samples;
        power_uv2.is_finite().then_some(power_uv2)
    }

    /// Takes a sample of all channels of the stream, microvolts. A stamp that is not after the last one is passed over.
    ///
    /// # Errors
    /// [`DspError::Shape`] unless there is one value per channel; nothing has happened then.
    pub fn push(&mut self, t_s: f64, sample: &[f32]) -> Result<Option<Contraction>, DspError> {
        shape("sample", sample.len(), self.channels)?;
        if !t_s.is_finite() || self.last_s.is_some_and(|last_s| t_s <= last_s) {
            return Ok(None);
        }
        if self.last_s.is_some_and(|last_s| t_s - last_s > GAP_S) {
            self.interrupt();
        }
        self.last_s = Some(t_s);
        self.take(sample);
        self.filter.process(&mut self.row)?;
        for (channel, y) in self.state.iter_mut().zip(&self.row) {
            channel.sum += y * y;
        }
        self.samples += 1;
        if self.samples < self.samples_per_tick {
            return Ok(None);
        }
        self.samples = 0;
        self.tick();
        Ok(self.judge(t_s))
    }

    /// Puts the picked values into the row; one that is not finite is held, and the channel starts when its first one comes.
    fn take(&mut self, sample: &[f32]) {
        let picked = self.picked.iter().zip(&mut self.state).zip(&mut self.row);
        for (index, ((at, channel), x)) in picked.enumerate() {
            let value = sample.get(*at).copied().map_or(f64::NAN, f64::from);
            let first = !channel.held.is_finite();
            if value.is_finite() {
                channel.held = value;
            } else {
                channel.broken = channel.broken.saturating_add(1);
            }
            *x = if channel.held.is_finite() {
                channel.held
            } else {
                0.0
            };
            if !self.started || (first && value.is_finite()) {
                self.filter.start_channel_at(index, *x);
            }
        }
        self.started = true;
    }

    /// Moves the sums of the tick into the window.
    fn tick(&mut self) {
        let n = self.picked.len();
        let places = self.window.iter_mut().skip(self.next * n);
        for (channel, place) in self.state.iter_mut().zip(places) {
            *place = if channel.broken == 0 {
                channel.sum
            } else {
                f64::NAN
            };
            channel.sum = 0.0;
            channel.broken = 0;
        }
        self.next = (self.next + 1) % self.ticks;
        self.filled = (self.filled + 1).min(self.ticks);
    }

    /// Compares with rest, opens and closes episodes, lets the level follow.
    fn judge(&mut self, t_s: f64) -> Option<Contraction> {
        self.sorted.clear();
        for index in 0..self.picked.len() {
            if let Some(ln_power) = self.ln_power(index)
                && let Some(channel) = self.state.get(index)
                && channel.rest_ticks * self.tick_s >= REST_KNOWN_S
            {
                // Within the capacity: there is one for each picked channel.
                self.sorted.push(ln_power - channel.rest);
            }
        }
        self.sorted.sort_unstable_by(f64::total_cmp);
        // More than half must be known: else the lower median may be that of a few that are wrong.
        let enough = 2 * self.sorted.len() > self.picked.len();
        let middle = self.sorted.len().saturating_sub(1) / 2;
        self.ratio_nats = self.sorted.get(middle).copied().filter(|_| enough);
        let ended = self.episode(t_s);
        let long = |open: Open| open.age_ticks * self.tick_s > EPISODE_MAX_S;
        if self.open.is_none_or(long) {
            self.follow();
        }
        ended
    }

    /// The episode that ended at this tick.
    fn episode(&mut self, t_s: f64) -> Option<Contraction> {
        let Some(ratio_nats) = self.ratio_nats else {
            // What runs into the unknown is none.
            self.open = None;
            return None;
        };
        match &mut self.open {
            Some(open) => {
                open.age_ticks += 1.0;
                open.peak_nats = open.peak_nats.max(ratio_nats);
                let over = ratio_nats >= LEAVE_NATS.max(open.peak_nats - FALLEN_NATS);
                if over && !open.told {
                    open.sum_nats += ratio_nats;
                    open.ticks += 1.0;
                    return None;
                }
                let ended = Self::ended(open, t_s, self.tick_s);
                if ratio_nats < LEAVE_NATS {
                    self.open = None;
                }
                ended
            }
            None => {
                self.open = (ratio_nats >= ENTER_NATS).then_some(Open {
                    onset_s: t_s,
                    sum_nats: ratio_nats,
                    peak_nats: ratio_nats,
                    ticks: 1.0,
                    age_ticks: 1.0,
                    told: false,
                });
                None
            }
        }
    }

    /// What has fallen, once.
    fn ended(open: &mut Open, t_s: f64, tick_s: f64) -> Option<Contraction> {
        let counts = (EPISODE_MIN_S..=EPISODE_MAX_S).contains(&(open.ticks * tick_s));
        let first = !std::mem::replace(&mut open.told, true);
        (first && counts).then(|| Contraction {
            onset_s: open.onset_s,
            at_s: t_s,
            score: open.sum_nats / open.ticks,
        })
    }

    /// Lets the level at rest follow: the plain mean at first, then with its time constant.
    fn follow(&mut self) {
        let ticks_max = REST_S / self.tick_s;
        for index in 0..self.picked.len() {
            let Some(ln_power) = self.ln_power(index) else {
                continue;
            };
            if let Some(channel) = self.state.get_mut(index) {
                channel.rest_ticks = (channel.rest_ticks + 1.0).min(ticks_max);
                channel.rest += (ln_power - channel.rest) / channel.rest_ticks;
            }
        }
    }

    /// Logarithm of the power of a picked channel, where it is known and the channel does not stand still.
    fn ln_power(&self, index: usize) -> Option<f64> {
        let power_uv2 = self.power_uv2(index)?;
        (power_uv2 > STILL_UV2).then(|| power_uv2.ln())
    }
}

/// Upper edge of the band at this rate, Hz.
fn upper_edge_hz(rate: Hertz) -> f64 {
    HIGH_HZ.min(HIGH_SHARE * rate.get())
}

/// What a score says: this person's densities of the score, and how often either kind comes at all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContractionModel {
    /// Densities of the score: contractions asked for as the target, others as the other.
    pub density: ScoreDensity,
    /// Logarithm of the probability of a signal that is asked for over the expected number of other scores in the time of an answer,
    /// nats, -5 to 5.
    pub rate_nats: f64,
}

impl ContractionModel {
    /// Checks the numbers that are not checked by their type.
    ///
    /// # Errors
    /// [`DspError::Parameter`].
    pub fn check(&self) -> Result<(), DspError> {
        parameter("evidence of the rate in nats", self.rate_nats, -5.0, 5.0).map(|_| ())
    }

    /// Evidence that this was a signal, nats; `None` where it is less than [`TOLD_NATS`].
    #[must_use]
    pub fn llr(&self, score: f64) -> Option<f64> {
        let llr = self.density.llr(score)? + self.rate_nats;
        (llr >= TOLD_NATS).then_some(llr)
    }
}
