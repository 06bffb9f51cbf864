//! The clock guard: whether a stream's stamps can be believed, judged against arrival times and clock offsets.
//!
//! All arrivals and offsets are on *our* LSL clock, stamps on the *source's*; `ours = stamp + offset`. The guard reads no clock: it is told.
//!
//! | doubt | when | FAULTS |
//! |---|---|---|
//! | [`ClockDoubt::OffsetJump`] | two offsets in a row differ by more than 20 ms, or by more than five times their uncertainty if that is more | 4 |
//! | [`ClockDoubt::OffsetDrift`] | the offset's slope over the last measurements exceeds 500 ppm | 4 |
//! | [`ClockDoubt::StampJump`] | samples arrive more than 50 ms before they were taken | 4 |
//! | [`ClockDoubt::Stale`] | a chunk's newest sample is older than the usual age by more than the limit | 13 |
//! | [`ClockDoubt::Burst`] | more samples arrive within 1 s than the nominal rate allows, by more than 1/4 | 13 |
//! | [`ClockDoubt::RateOff`] | the rate between two prompt chunks at least 10 s apart is off by 0.5 % (warning) or 2 % (refused) | 9 |
//! | [`ClockDoubt::Silent`] | no sample for max(3 chunk periods, 50 ms) | 1 |
//! | [`disagreement`] | the ages of two streams move against each other by more than 10 ms | 16 |

use serde::{Deserialize, Serialize};

use crate::error::{DspError, parameter};
use crate::units::{Hertz, Seconds};

/// Smallest step of the offset that is a jump, seconds.
pub const OFFSET_JUMP_S: f64 = 0.020;
/// A jump is also more than this many times the uncertainty.
pub const OFFSET_JUMP_UNCERTAINTIES: f64 = 5.0;
/// Largest slope of the offset that two crystals explain, parts per million.
pub const OFFSET_DRIFT_PPM: f64 = 500.0;
/// How far ahead of its arrival a sample may be stamped, seconds.
pub const AHEAD_S: f64 = 0.050;
/// Deviation of the measured rate that is worth a warning.
pub const RATE_WARN: f64 = 0.005;
/// Deviation of the measured rate with which the stream is refused.
pub const RATE_REFUSE: f64 = 0.02;
/// Span over which the rate is measured, seconds.
pub const RATE_SPAN_S: f64 = 10.0;
/// Surplus of samples within [`BURST_SPAN_S`] that is a burst.
pub const BURST_SURPLUS: f64 = 0.25;
/// Span over which bursts are looked for, seconds.
pub const BURST_SPAN_S: f64 = 1.0;
/// A chunk at most this much older than usual is prompt: only between prompt chunks is the rate measured, seconds.
pub const PROMPT_S: f64 = 0.010;
/// Largest disagreement of two streams' clocks with which their evidence may be fused, seconds.
pub const DISAGREEMENT_S: f64 = 0.010;

const OFFSETS_KEPT: usize = 16;
const DRIFT_SPAN_MIN_S: f64 = 20.0;
const AGE_WINDOW_S: f64 = 1.0;
const AGE_FORGET_S: f64 = 60.0;

/// Why a stream's clock is doubted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "doubt", rename_all = "snake_case")]
pub enum ClockDoubt {
    /// The source's clock was set, or the source restarted.
    OffsetJump {
        /// New offset minus old, seconds.
        step_s: f64,
    },
    /// One of the two clocks does not run at one second per second.
    OffsetDrift {
        /// Slope of the offset, parts per million.
        ppm: f64,
    },
    /// Samples come before they were taken.
    StampJump {
        /// By how much, seconds.
        ahead_s: f64,
    },
    /// Samples are too old.
    Stale {
        /// Age of the newest sample of the chunk, seconds.
        age_s: f64,
    },
    /// Samples come faster than they can be taken: what was held up somewhere.
    Burst {
        /// Samples in the last second, relative to the nominal rate.
        ratio: f64,
    },
    /// The stream does not run at its nominal rate.
    RateOff {
        /// Measured rate, Hz.
        measured_hz: f64,
        /// Measured over nominal, minus one.
        deviation: f64,
        /// Beyond [`RATE_REFUSE`]: the filters are not what they say at this rate.
        refuse: bool,
    },
    /// A stamp or arrival is not finite.
    NotFinite,
    /// No samples come.
    Silent {
        /// For how long, seconds.
        for_s: f64,
    },
}

impl ClockDoubt {
    /// The kinds of doubt, in the order of [`ClockDoubt::kind`].
    pub const KINDS: [&'static str; 8] = [
        "offset_jump",
        "offset_drift",
        "stamp_jump",
        "stale",
        "burst",
        "rate_off",
        "not_finite",
        "silent",
    ];

    /// Index of its kind in [`ClockDoubt::KINDS`].
    #[must_use]
    pub const fn kind(&self) -> usize {
        match self {
            Self::OffsetJump { .. } => 0,
            Self::OffsetDrift { .. } => 1,
            Self::StampJump { .. } => 2,
            Self::Stale { .. } => 3,
            Self::Burst { .. } => 4,
            Self::RateOff { .. } => 5,
            Self::NotFinite => 6,
            Self::Silent { .. } => 7,
        }
    }
}

/// At most one doubt of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Doubts {
    found: [Option<ClockDoubt>; 4],
}

impl Doubts {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.iter().all(Option::is_none)
    }

    /// The doubts, in the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = ClockDoubt> + '_ {
        self.found.iter().copied().flatten()
    }

    fn add(&mut self, doubt: ClockDoubt) {
        // A chunk can raise no more kinds than there are places.
        if let Some(place) = self.found.iter_mut().find(|p| p.is_none()) {
            *place = Some(doubt);
        }
    }
}

/// Settings of [`ClockGuard`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockSpec {
    /// Nominal rate; absent for irregular streams, whose rate is not watched.
    pub rate: Option<Hertz>,
    /// Time between two chunks, 0..=10 s; for [`ClockDoubt::Silent`].
    pub chunk_period: Seconds,
    /// Largest age of a chunk's newest sample beyond the usual one, 1 ms..=10 s.
    pub age_limit: Seconds,
}

/// Watches the clock of one stream.
#[derive(Debug, Clone)]
pub struct ClockGuard {
    spec: ClockSpec,
    offsets: Vec<OffsetSeen>,
    offset_s: f64,
    usual_age_s: Option<f64>,
    window: Option<AgeWindow>,
    shift_s: f64,
    rate_from_s: Option<f64>,
    rate_samples: u64,
    measured_hz: Option<f64>,
    burst_from_s: Option<f64>,
    burst_samples: u64,
    last_arrival_s: Option<f64>,
}

/// Smallest age since a moment: one late chunk says nothing, a second of late chunks does.
#[derive(Debug, Clone, Copy)]
struct AgeWindow {
    from_s: f64,
    smallest_s: f64,
}

#[derive(Debug, Clone, Copy)]
struct OffsetSeen {
    at_s: f64,
    offset_s: f64,
    uncertainty_s: f64,
}

/// Samples that were pulled together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chunk {
    /// Stamp of the newest, on the source's clock, seconds.
    pub newest_stamp_s: f64,
    /// When they were pulled, on our LSL clock, seconds.
    pub arrival_s: f64,
    /// How many.
    pub samples: u32,
}

impl ClockGuard {
    /// A guard with an offset of 0 until the first is measured.
    ///
    /// # Errors
    /// [`DspError::Parameter`] for a setting out of range.
    pub fn new(spec: ClockSpec) -> Result<Self, DspError> {
        parameter("chunk period in s", spec.chunk_period.get(), 0.0, 10.0)?;
        parameter("age limit in s", spec.age_limit.get(), 0.001, 10.0)?;
        Ok(Self {
            spec,
            offsets: Vec::with_capacity(OFFSETS_KEPT),
            offset_s: 0.0,
            usual_age_s: None,
            window: None,
            shift_s: 0.0,
            rate_from_s: None,
            rate_samples: 0,
            measured_hz: None,
            burst_from_s: None,
            burst_samples: 0,
            last_arrival_s: None,
        })
    }

    /// The time between two chunks as it turned out, 0..=10 s, in place of the one assumed.
    ///
    /// # Errors
    /// [`DspError::Parameter`] out of that range; nothing has changed then.
    pub fn expect_chunks_every(&mut self, chunk_period: Seconds) -> Result<(), DspError> {
        parameter("chunk period in s", chunk_period.get(), 0.0, 10.0)?;
        self.spec.chunk_period = chunk_period;
        Ok(())
    }

    /// As new: after a stream was lost, resolved anew, or its clock jumped.
    pub fn reset(&mut self) {
        self.offsets.clear();
        self.offset_s = 0.0;
        self.forget_age();
        self.rate_from_s = None;
        self.rate_samples = 0;
        self.measured_hz = None;
        self.burst_from_s = None;
        self.burst_samples = 0;
        self.last_arrival_s = None;
    }

    /// The offset in use, seconds: to be added to the source's stamps.
    #[must_use]
    pub fn offset_s(&self) -> f64 {
        self.offset_s
    }

    /// The rate over the last full span of 10 s, Hz.
    #[must_use]
    pub fn measured_rate_hz(&self) -> Option<f64> {
        self.measured_hz
    }

    /// How much later than usual the promptest sample of the last second came, seconds; see [`disagreement`].
    #[must_use]
    pub fn shift_s(&self) -> f64 {
        self.shift_s
    }

    /// The usual age of the promptest newest sample on arrival, seconds; `None` during the first second.
    #[must_use]
    pub fn usual_age_s(&self) -> Option<f64> {
        self.usual_age_s
    }

    /// A new measurement of the offset, with its uncertainty (half the round trip).
    pub fn offset(&mut self, at_s: f64, offset_s: f64, uncertainty_s: f64) -> Doubts {
        let mut doubts = Doubts::default();
        if !(at_s.is_finite() && offset_s.is_finite() && uncertainty_s >= 0.0) {
            doubts.add(ClockDoubt::NotFinite);
            return doubts;
        }
        if let Some(last) = self.offsets.last().copied() {
            if at_s <= last.at_s {
                return doubts;
            }
            let step_s = offset_s - last.offset_s;
            let uncertainty_s = uncertainty_s.max(last.uncertainty_s);
            if step_s.abs() > OFFSET_JUMP_S.max(OFFSET_JUMP_UNCERTAINTIES * uncertainty_s) {
                self.offsets.clear();
                self.forget_age();
                doubts.add(ClockDoubt::OffsetJump { step_s });
            }
        } else {
            // Ages were reckoned without an offset until now.
            self.forget_age();
        }
        if self.offsets.len() == OFFSETS_KEPT {
            self.offsets.remove(0);
        }
        self.offsets.push(OffsetSeen {
            at_s,
            offset_s,
            uncertainty_s,
        });
        self.offset_s = offset_s;
        if let Some(ppm) = self.drift_ppm().filter(|ppm| ppm.abs() > OFFSET_DRIFT_PPM) {
            doubts.add(ClockDoubt::OffsetDrift { ppm });
        }
        doubts
    }

    /// Slope of the least-squares line through the offsets kept, ppm; `None` below 20 s or three measurements.
    #[must_use]
    pub fn drift_ppm(&self) -> Option<f64> {
        let (first, last) = (self.offsets.first()?, self.offsets.last()?);
        if self.offsets.len() < 3 || last.at_s - first.at_s < DRIFT_SPAN_MIN_S {
            return None;
        }
        let n = self.offsets.len() as f64;
        let mt = self
            .offsets
            .iter()
            .map(|o| o.at_s - first.at_s)
            .sum::<f64>()
            / n;
        let mo = self.offsets.iter().map(|o| o.offset_s).sum::<f64>() / n;
        let (mut tt, mut to) = (0.0, 0.0);
        for o in &self.offsets {
            let t = o.at_s - first.at_s - mt;
            tt += t * t;
            to += t * (o.offset_s - mo);
        }
        Some(1e6 * to / tt)
    }

    /// Samples have arrived.
    pub fn chunk(&mut self, chunk: Chunk) -> Doubts {
        let mut doubts = Doubts::default();
        if !(chunk.newest_stamp_s.is_finite() && chunk.arrival_s.is_finite()) {
            doubts.add(ClockDoubt::NotFinite);
            return doubts;
        }
        if chunk.samples == 0 {
            return doubts;
        }
        let age_s = chunk.arrival_s - (chunk.newest_stamp_s + self.offset_s);
        if age_s < -AHEAD_S {
            doubts.add(ClockDoubt::StampJump { ahead_s: -age_s });
        }
        let usual_s = self
            .usual_age_s
            .or(self.window.map(|w| w.smallest_s))
            .unwrap_or(age_s);
        if age_s - usual_s > self.spec.age_limit.get() {
            doubts.add(ClockDoubt::Stale { age_s });
        }
        self.watch_age(age_s, chunk.arrival_s);
        self.last_arrival_s = Some(chunk.arrival_s);
        if let Some(rate) = self.spec.rate {
            let prompt = age_s - self.usual_age_s.unwrap_or(age_s) <= PROMPT_S;
            self.watch_rate(&chunk, rate.get(), prompt, &mut doubts);
            self.watch_burst(&chunk, rate.get(), &mut doubts);
        }
        doubts
    }

    /// Closes a window each second: its smallest age against the usual one is the shift, and what is usual follows slowly.
    fn watch_age(&mut self, age_s: f64, arrival_s: f64) {
        let window = self.window.get_or_insert(AgeWindow {
            from_s: arrival_s,
            smallest_s: age_s,
        });
        window.smallest_s = window.smallest_s.min(age_s);
        if arrival_s - window.from_s < AGE_WINDOW_S {
            return;
        }
        let smallest_s = window.smallest_s;
        self.window = None;
        let usual_s = self.usual_age_s.unwrap_or(smallest_s);
        self.shift_s = smallest_s - usual_s;
        self.usual_age_s = Some(usual_s + self.shift_s * (AGE_WINDOW_S / AGE_FORGET_S));
    }

    fn forget_age(&mut self) {
        self.usual_age_s = None;
        self.window = None;
        self.shift_s = 0.0;
    }

    /// Time has passed without a chunk: doubts a stream that has been silent for too long.
    #[must_use]
    pub fn silence(&self, now_s: f64) -> Option<ClockDoubt> {
        let for_s = now_s - self.last_arrival_s?;
        (for_s > (3.0 * self.spec.chunk_period.get()).max(0.050))
            .then_some(ClockDoubt::Silent { for_s })
    }

    /// The rate by arrivals: stamps made from a counter always show the nominal rate. A span begins and ends with a prompt
    /// chunk, so that a delay on the way is not taken for another rate; a stream that is never prompt is measured all the
    /// same after twice the span.
    fn watch_rate(&mut self, chunk: &Chunk, nominal_hz: f64, prompt: bool, doubts: &mut Doubts) {
        let Some(from_s) = self.rate_from_s else {
            // What the usual age is, is known after a second.
            if prompt && self.usual_age_s.is_some() {
                self.rate_from_s = Some(chunk.arrival_s);
                self.rate_samples = 0;
            }
            return;
        };
        self.rate_samples += u64::from(chunk.samples);
        let span_s = chunk.arrival_s - from_s;
        if span_s < RATE_SPAN_S || !(prompt || span_s >= 2.0 * RATE_SPAN_S) {
            return;
        }
        let measured_hz = self.rate_samples as f64 / span_s;
        let deviation = measured_hz / nominal_hz - 1.0;
        self.measured_hz = Some(measured_hz);
        self.rate_from_s = Some(chunk.arrival_s);
        self.rate_samples = 0;
        if deviation.abs() > RATE_WARN {
            doubts.add(ClockDoubt::RateOff {
                measured_hz,
                deviation,
                refuse: deviation.abs() > RATE_REFUSE,
            });
        }
    }

    fn watch_burst(&mut self, chunk: &Chunk, nominal_hz: f64, doubts: &mut Doubts) {
        let from_s = *self.burst_from_s.get_or_insert(chunk.arrival_s);
        self.burst_samples += u64::from(chunk.samples);
        // One chunk may have been on its way when the span began.
        let slack = (2.0 * self.spec.chunk_period.get() * nominal_hz).max(2.0);
        let allowed = nominal_hz * BURST_SPAN_S * (1.0 + BURST_SURPLUS) + slack;
        if self.burst_samples as f64 > allowed {
            doubts.add(ClockDoubt::Burst {
                ratio: self.burst_samples as f64 / (nominal_hz * BURST_SPAN_S),
            });
            self.burst_from_s = Some(chunk.arrival_s);
            self.burst_samples = 0;
        } else if chunk.arrival_s - from_s >= BURST_SPAN_S {
            self.burst_from_s = Some(chunk.arrival_s);
            self.burst_samples = 0;
        }
    }
}

/// How far two streams' clocks have moved against each other since both were usual, seconds, when that is more than 10 ms:
/// their evidence must not be fused.
#[must_use]
pub fn disagreement(a: &ClockGuard, b: &ClockGuard) -> Option<f64> {
    let apart_s = a.shift_s - b.shift_s;
    (apart_s.abs() > DISAGREEMENT_S).then_some(apart_s)
}
