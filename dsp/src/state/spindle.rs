//! Alpha spindles: bursts of narrow-band alpha, found as they end.
//!
//! They tell falling alertness more sharply than the mean power of alpha does (Simon et al. 2011, Clin. Neurophysiol. 122:1168;
//! Lawhern et al. 2013, J. Neurosci. Methods 213:196). Both look at whole segments afterwards; here everything is causal: the envelope
//! of alpha by complex demodulation, a threshold from the person's own baseline, and a least length.

use std::f64::consts::TAU;

use super::baseline::{CountBaseline, Deviation};
use crate::design::butter_lowpass;
use crate::error::{DspError, count, parameter, shape};
use crate::mask::MAX_CHANNELS;
use crate::queue::FixedQueue;
use crate::sosfilt::SosFilter;
use crate::units::Hertz;

/// Middle of the alpha band, Hz.
pub const CENTRE_HZ: f64 = 10.5;
/// Half the width of the alpha band, Hz: the low-pass behind the demodulator.
pub const HALF_WIDTH_HZ: f64 = 2.5;
/// Order of that low-pass.
pub const ENVELOPE_ORDER: usize = 4;
/// The envelope is looked at about so often, Hz; it moves no faster than its low-pass.
pub const TICK_HZ: f64 = 25.0;
/// Shortest stretch of ticks over which the baseline's spindles are counted for their dispersion, seconds.
const SLOT_S: f64 = 10.0;
/// Fewest ticks a baseline is taken from: 20 s.
const BASELINE_TICKS_MIN: usize = 500;

/// Envelope of alpha in every channel: the amplitude, microvolts, of the sinusoid that the band holds now.
///
/// `2 |lowpass(x exp(-i 2 pi f t))|` with a Butterworth low-pass of order 4 at 2.5 Hz around 10.5 Hz: 8 to 13 Hz. Its group delay is
/// about 0.17 s at the middle of the band. The phase of the demodulator runs from the first sample after construction or reset.
#[derive(Debug, Clone)]
pub struct AlphaEnvelope {
    channels: usize,
    turns_per_sample: f64,
    phase_turns: f64,
    lowpass: SosFilter,
    /// `[re of all channels][im of all channels]`.
    mixed: Vec<f64>,
}

impl AlphaEnvelope {
    /// Plans the demodulator for 1..=256 channels.
    ///
    /// # Errors
    /// [`DspError::Count`] or [`DspError::Nyquist`] when out of range.
    pub fn new(rate: Hertz, channels: usize) -> Result<Self, DspError> {
        count("channels", channels, 1, MAX_CHANNELS / 2)?;
        let nyquist_hz = rate.get() / 2.0;
        let highest_hz = CENTRE_HZ + HALF_WIDTH_HZ;
        if highest_hz >= nyquist_hz {
            return Err(DspError::Nyquist {
                what: "upper edge of alpha",
                frequency_hz: highest_hz,
                nyquist_hz,
            });
        }
        let sections = butter_lowpass(ENVELOPE_ORDER, Hertz::new(HALF_WIDTH_HZ)?, rate)?;
        Ok(Self {
            channels,
            turns_per_sample: CENTRE_HZ / rate.get(),
            phase_turns: 0.0,
            lowpass: SosFilter::new(&sections, 2 * channels)?,
            mixed: vec![0.0; 2 * channels],
        })
    }

    /// As new.
    pub fn reset(&mut self) {
        self.lowpass.reset();
        self.mixed.fill(0.0);
        self.phase_turns = 0.0;
    }

    /// Takes one sample of all channels, microvolts, without DC.
    ///
    /// # Errors
    /// [`DspError::Shape`] unless there is one value per channel; nothing has happened then.
    pub fn push(&mut self, sample: &[f64]) -> Result<(), DspError> {
        shape("sample", sample.len(), self.channels)?;
        let (sin, cos) = (TAU * self.phase_turns).sin_cos();
        let (re, im) = self.mixed.split_at_mut(self.channels);
        for ((re, im), x) in re.iter_mut().zip(im).zip(sample) {
            *re = x * cos;
            *im = -x * sin;
        }
        self.phase_turns = (self.phase_turns + self.turns_per_sample).fract();
        self.lowpass.process(&mut self.mixed)
    }

    /// The envelope of a channel now, microvolts; 0 for a channel that is not there.
    #[must_use]
    pub fn envelope(&self, channel: usize) -> f64 {
        let part = |at: usize| self.mixed.get(at).copied().unwrap_or(0.0);
        if channel < self.channels {
            2.0 * part(channel).hypot(part(self.channels + channel))
        } else {
            0.0
        }
    }
}

/// A burst that has ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spindle {
    /// How long the envelope stayed over the threshold, ticks.
    pub ticks: u32,
    /// Its mean meanwhile, microvolts.
    pub amplitude_uv: f64,
}

/// Finds bursts in the envelope of one signal, tick by tick.
///
/// A spindle is a stretch over the threshold of at least `ticks_min` ticks (0.5 s by default). The published ones last up to about
/// 2 s; longer ones count once, with their whole length: were they left out, a person whose bursts grow longer would seem to have
/// fewer of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpindleDetector {
    threshold_uv: f64,
    ticks_min: u32,
    ticks: u32,
    sum_uv: f64,
}

impl SpindleDetector {
    /// Looks for stretches of at least `ticks_min` ticks at or over `threshold_uv`.
    ///
    /// # Errors
    /// [`DspError::Parameter`] for a threshold that is not finite and positive.
    pub fn new(threshold_uv: f64, ticks_min: u32) -> Result<Self, DspError> {
        parameter("spindle threshold", threshold_uv, f64::MIN_POSITIVE, 1e12)?;
        Ok(Self {
            threshold_uv,
            ticks_min: ticks_min.max(1),
            ticks: 0,
            sum_uv: 0.0,
        })
    }

    /// Over which the envelope has to be, microvolts.
    #[must_use]
    pub fn threshold_uv(&self) -> f64 {
        self.threshold_uv
    }

    /// As new.
    pub fn reset(&mut self) {
        self.ticks = 0;
        self.sum_uv = 0.0;
    }

    /// Takes the envelope at the next tick, `None` where it is not known: a burst that runs into the unknown is none. Gives the
    /// spindle that ended just before.
    pub fn push(&mut self, envelope_uv: Option<f64>) -> Option<Spindle> {
        let Some(envelope_uv) = envelope_uv.filter(|uv| uv.is_finite()) else {
            self.reset();
            return None;
        };
        if envelope_uv >= self.threshold_uv {
            self.ticks = self.ticks.saturating_add(1);
            self.sum_uv += envelope_uv;
            return None;
        }
        let ended = (self.ticks >= self.ticks_min).then(|| Spindle {
            ticks: self.ticks,
            amplitude_uv: self.sum_uv / f64::from(self.ticks),
        });
        self.reset();
        ended
    }
}

/// Spindles of the latest stretch of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpindleRate {
    /// Spindles.
    pub count: u32,
    /// How long the envelope was known, seconds.
    pub seconds: f64,
    /// Spindles per minute of it.
    pub per_min: f64,
    /// Mean length, seconds; `None` without a spindle.
    pub duration_s: Option<f64>,
    /// Mean amplitude, microvolts; `None` without a spindle.
    pub amplitude_uv: Option<f64>,
}

/// What one second held.
#[derive(Debug, Clone, Copy, Default)]
struct Second {
    known: u32,
    count: u32,
    ticks: u32,
    sum_uv: f64,
}

/// From the envelope of one signal to the rate of spindles against the person's own.
///
/// The first ticks are the baseline: at [`SpindleWatch::close`] their median times `factor` becomes the threshold, and the spindles
/// among them, counted with it, the rate to compare with. Of Gaussian noise in the band, whose envelope is Rayleigh distributed, 1/16
/// lies over twice the median, hardly any of it for half a second on end.
#[derive(Debug, Clone)]
pub struct SpindleWatch {
    factor: f64,
    ticks_min: u32,
    ticks_per_second: u32,
    tick_s: f64,
    /// Envelope while the baseline is taken; NaN where it was not known. Of fixed capacity.
    first: Vec<f64>,
    room: usize,
    sorted: Vec<f64>,
    known: Option<(SpindleDetector, CountBaseline)>,
    closed: bool,
    second: Second,
    second_ticks: u32,
    recent: FixedQueue<Second>,
    recent_max: usize,
}

impl SpindleWatch {
    /// Room for a baseline of `baseline_s` (10..=3600 s) at `tick_hz` (1..=1000), recent seconds `recent_s` (10..=3600); `factor` (1..=10)
    /// times the median is the threshold, `least_s` (0.1..=5 s) the least length.
    ///
    /// # Errors
    /// [`DspError::Parameter`] for a number out of range.
    pub fn new(
        tick_hz: f64,
        baseline_s: f64,
        recent_s: f64,
        factor: f64,
        least_s: f64,
    ) -> Result<Self, DspError> {
        parameter("rate of ticks", tick_hz, 1.0, 1_000.0)?;
        parameter("baseline in s", baseline_s, 10.0, 3_600.0)?;
        parameter("recent time in s", recent_s, 10.0, 3_600.0)?;
        parameter("spindle threshold factor", factor, 1.0, 10.0)?;
        parameter("least length of a spindle in s", least_s, 0.1, 5.0)?;
        // Stretches in which nothing is known lie between: room for as much again.
        let room = (2.0 * baseline_s * tick_hz).ceil() as usize;
        let recent_max = recent_s.round() as usize;
        Ok(Self {
            factor,
            ticks_min: (least_s * tick_hz).ceil() as u32,
            ticks_per_second: tick_hz.round() as u32,
            tick_s: 1.0 / tick_hz,
            first: Vec::with_capacity(room),
            room,
            sorted: Vec::with_capacity(room),
            known: None,
            closed: false,
            second: Second::default(),
            second_ticks: 0,
            recent: FixedQueue::new(recent_max)?,
            recent_max,
        })
    }

    /// As new: the baseline is forgotten, too.
    pub fn reset(&mut self) {
        self.first.clear();
        self.known = None;
        self.closed = false;
        self.second = Second::default();
        self.second_ticks = 0;
        self.recent.reset();
    }

    /// The threshold in use, microvolts; `None` before the baseline is closed.
    #[must_use]
    pub fn threshold_uv(&self) -> Option<f64> {
        self.known.map(|(detector, _)| detector.threshold_uv())
    }

    /// The baseline's count; `None` before it is closed, or when it held too little.
    #[must_use]
    pub fn baseline(&self) -> Option<CountBaseline> {
        self.known.map(|(_, baseline)| baseline)
    }

    /// Takes the envelope at the next tick; `None` where it is not known.
    pub fn push(&mut self, envelope_uv: Option<f64>) {
        let envelope_uv = envelope_uv.filter(|uv| uv.is_finite());
        if !self.closed {
            if self.first.len() < self.room {
                self.first.push(envelope_uv.unwrap_or(f64::NAN));
            }
            return;
        }
        let Some((detector, _)) = &mut self.known else {
            return;
        };
        self.second.known += u32::from(envelope_uv.is_some());
        if let Some(spindle) = detector.push(envelope_uv) {
            self.second.count += 1;
            self.second.ticks += spindle.ticks;
            self.second.sum_uv += spindle.amplitude_uv;
        }
        self.second_ticks += 1;
        if self.second_ticks >= self.ticks_per_second {
            if self.recent.len() == self.recent_max {
                self.recent.pop();
            }
            // There is room: the oldest has just gone.
            let _ = self.recent.push(self.second);
            self.second = Second::default();
            self.second_ticks = 0;
        }
    }

    /// Closes the baseline with what has come so far. Not for the real-time thread: sorts it.
    pub fn close(&mut self) {
        self.closed = true;
        self.sorted.clear();
        let known = self.first.iter().copied().filter(|uv| uv.is_finite());
        self.sorted.extend(known);
        if self.sorted.len() < BASELINE_TICKS_MIN {
            return;
        }
        self.sorted.sort_unstable_by(f64::total_cmp);
        let median_uv = self.sorted.get(self.sorted.len() / 2).copied();
        let threshold_uv = median_uv.unwrap_or(0.0) * self.factor;
        let Ok(detector) = SpindleDetector::new(threshold_uv, self.ticks_min) else {
            return;
        };
        let baseline = self.count(detector);
        self.known = Some((detector, baseline));
    }

    /// Counts the baseline's spindles, and how unevenly they came.
    fn count(&self, mut detector: SpindleDetector) -> CountBaseline {
        let slot_ticks = ((SLOT_S / self.tick_s).round() as usize).max(1);
        let (mut events, mut slots) = (0_u32, 0_u32);
        let (mut sum, mut squares) = (0.0, 0.0);
        for slot in self.first.chunks(slot_ticks) {
            let (mut here, mut known) = (0_u32, 0_usize);
            for uv in slot {
                let envelope_uv = Some(*uv).filter(|uv| uv.is_finite());
                known += usize::from(envelope_uv.is_some());
                here += u32::from(detector.push(envelope_uv).is_some());
            }
            events += here;
            if 2 * known >= slot_ticks {
                slots += 1;
                sum += f64::from(here);
                squares += f64::from(here) * f64::from(here);
            }
        }
        let n = f64::from(slots);
        let mean = sum / n;
        let variance = (squares - sum * mean) / (n - 1.0);
        let dispersion = variance / mean;
        CountBaseline {
            events,
            seconds: self.sorted.len() as f64 * self.tick_s,
            dispersion: if dispersion.is_finite() {
                dispersion.max(1.0)
            } else {
                1.0
            },
            slots: slots as usize,
        }
    }

    /// Spindles of the recent time; `None` before the baseline is closed and until half of that time is known.
    #[must_use]
    pub fn rate(&self) -> Option<SpindleRate> {
        self.known?;
        let mut all = Second::default();
        for second in self.recent.iter() {
            all.known += second.known;
            all.count += second.count;
            all.ticks += second.ticks;
            all.sum_uv += second.sum_uv;
        }
        let seconds = f64::from(all.known) * self.tick_s;
        if 2.0 * seconds < self.recent_max as f64 {
            return None;
        }
        let n = f64::from(all.count);
        let any = all.count > 0;
        Some(SpindleRate {
            count: all.count,
            seconds,
            per_min: 60.0 * n / seconds,
            duration_s: any.then(|| f64::from(all.ticks) * self.tick_s / n),
            amplitude_uv: any.then(|| all.sum_uv / n),
        })
    }

    /// The recent rate against the baseline's.
    #[must_use]
    pub fn deviation(&self) -> Option<Deviation> {
        let rate = self.rate()?;
        self.baseline()?.compare(rate.count, rate.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_counts_when_it_ends_and_lasted_long_enough() {
        let mut detector = SpindleDetector::new(10.0, 3).unwrap();
        let mut found = Vec::new();
        let envelope = [
            1.0, 12.0, 14.0, 1.0, 11.0, 12.0, 13.0, 16.0, 2.0, 10.0, 10.0,
        ];
        for uv in envelope {
            found.extend(detector.push(Some(uv)));
        }
        assert_eq!(
            found,
            [Spindle {
                ticks: 4,
                amplitude_uv: 13.0
            }]
        );
        // The last one runs into the unknown.
        assert_eq!(detector.push(Some(10.0)), None);
        assert_eq!(detector.push(None), None);
        assert_eq!(detector.push(Some(1.0)), None);
    }

    #[test]
    fn without_a_baseline_there_is_no_rate() {
        let mut watch = SpindleWatch::new(25.0, 60.0, 20.0, 2.0, 0.5).unwrap();
        for _ in 0..100 {
            watch.push(Some(1.0));
        }
        watch.close();
        for _ in 0..2_000 {
            watch.push(Some(9.0));
        }
        assert_eq!((watch.rate(), watch.baseline()), (None, None));
    }

    #[test]
    fn more_bursts_than_in_the_baseline_are_told_and_the_same_number_is_not() {
        let mut watch = SpindleWatch::new(25.0, 120.0, 60.0, 2.0, 0.5).unwrap();
        let feed = |watch: &mut SpindleWatch, seconds: usize, every_s: usize| {
            for second in 0..seconds {
                for _ in 0..25 {
                    let burst = second % every_s == 0;
                    watch.push(Some(if burst { 9.0 } else { 2.0 }));
                }
            }
        };
        feed(&mut watch, 120, 12);
        watch.close();
        assert_eq!(watch.threshold_uv(), Some(4.0));
        assert_eq!(watch.baseline().map(|b| b.events), Some(10));
        feed(&mut watch, 60, 12);
        let rate = watch.rate().unwrap();
        assert_eq!((rate.count, rate.duration_s), (5, Some(1.0)));
        assert!((watch.deviation().unwrap().risen - 0.5).abs() < 0.15);
        feed(&mut watch, 60, 3);
        assert!(watch.rate().unwrap().per_min > 18.0);
        assert!(watch.deviation().unwrap().risen > 0.99);
    }
}
