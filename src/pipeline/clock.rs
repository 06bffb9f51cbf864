//! The clock guard of `razvilka-dsp` at work on a live stream, and what it says to the other threads.
//!
//! The inlet thread tells a [`StreamClock`] of every block; what it doubts is left in a [`ClockWord`], from where the gate's
//! thread and the control plane read it without waiting. Which doubts close the gate stands in [`closing`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use razvilka_dsp::clock::{Chunk, ClockDoubt, ClockGuard, ClockSpec, DISAGREEMENT_S, Doubts};
use razvilka_dsp::units::{Hertz, MonoTime, Seconds};
use serde::{Deserialize, Serialize};

use crate::gate::AbortReason;
use crate::rt;
use crate::source::ClockOffset;

/// A block this much older than usual is stale, seconds.
pub const AGE_LIMIT_S: f64 = 0.200;
/// The period between chunks is learned for this long after the first block.
const LEARN_S: f64 = 1.0;
/// The period assumed until then.
const CHUNK_PERIOD_MAX_S: f64 = 0.5;
/// How long a doubt lasts after the block that raised it.
const DOUBT_LASTS: Duration = Duration::from_millis(500);
/// ... and a wrong rate, which is found once in ten to twenty seconds.
const RATE_DOUBT_LASTS: Duration = Duration::from_secs(25);

/// Why a doubt closes the gate; `None` for one that is only counted.
#[must_use]
pub const fn closing(doubt: &ClockDoubt) -> Option<AbortReason> {
    match doubt {
        ClockDoubt::OffsetJump { .. }
        | ClockDoubt::OffsetDrift { .. }
        | ClockDoubt::StampJump { .. }
        | ClockDoubt::NotFinite => Some(AbortReason::ClockJump),
        ClockDoubt::Stale { .. } | ClockDoubt::Burst { .. } => Some(AbortReason::StaleData),
        ClockDoubt::RateOff { refuse: true, .. } => Some(AbortReason::WrongRate),
        ClockDoubt::RateOff { refuse: false, .. } => None,
        ClockDoubt::Silent { .. } => Some(AbortReason::SourceLost),
    }
}

/// What the clock guard of one stream says; written by its inlet thread.
#[derive(Debug, Default)]
pub struct ClockWord {
    counts: [AtomicU64; ClockDoubt::KINDS.len()],
    /// Doubts that close the gate so far, and the reason of the latest in the lowest eight bits.
    closed: AtomicU64,
    /// Until when the latest one lasts, monotonic nanoseconds.
    until_ns: AtomicU64,
    /// Bits of how much later than usual the promptest sample of the last second came, seconds.
    shift_s: AtomicU64,
    /// Bits of the rate as measured, Hz; 0 until then.
    measured_hz: AtomicU64,
}

/// How often a stream's clock was doubted, by kind, and its rate as measured; for reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClockCounts {
    /// Doubts by name, those that occurred.
    pub doubts: std::collections::BTreeMap<String, u64>,
    /// Over the last full span of at least 10 s.
    pub measured_rate_hz: Option<f64>,
}

impl ClockWord {
    fn note(&self, doubts: Doubts, now: MonoTime) {
        for doubt in doubts.iter() {
            if let Some(count) = self.counts.get(doubt.kind()) {
                count.fetch_add(1, Ordering::Relaxed);
            }
            let Some(reason) = closing(&doubt) else {
                continue;
            };
            let lasts = match reason {
                AbortReason::WrongRate => RATE_DOUBT_LASTS,
                _ => DOUBT_LASTS,
            };
            let until_ns = now.as_nanos().saturating_add(lasts.as_nanos() as u64);
            self.until_ns.fetch_max(until_ns, Ordering::Relaxed);
            let count = (self.closed.load(Ordering::Relaxed) >> 8) + 1;
            self.closed
                .store(count << 8 | code_of(reason), Ordering::Release);
        }
    }

    /// Doubts that close the gate so far, and why the latest did.
    #[must_use]
    pub fn closed(&self) -> (u64, AbortReason) {
        let word = self.closed.load(Ordering::Acquire);
        (word >> 8, reason_of(word & 0xff))
    }

    /// Whether the clock is doubted now.
    #[must_use]
    pub fn is_doubted(&self, now: MonoTime) -> bool {
        now.as_nanos() < self.until_ns.load(Ordering::Relaxed)
    }

    /// How much later than usual the promptest sample of the last second came, seconds.
    #[must_use]
    pub fn shift_s(&self) -> f64 {
        f64::from_bits(self.shift_s.load(Ordering::Relaxed))
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> ClockCounts {
        let rate = f64::from_bits(self.measured_hz.load(Ordering::Relaxed));
        ClockCounts {
            doubts: ClockDoubt::KINDS
                .iter()
                .zip(&self.counts)
                .map(|(name, count)| ((*name).to_owned(), count.load(Ordering::Relaxed)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            measured_rate_hz: (rate > 0.0).then_some(rate),
        }
    }
}

/// The reasons that [`closing`] gives, as one byte.
const REASONS: [AbortReason; 4] = [
    AbortReason::ClockJump,
    AbortReason::StaleData,
    AbortReason::WrongRate,
    AbortReason::SourceLost,
];

fn code_of(reason: AbortReason) -> u64 {
    REASONS.iter().position(|r| *r == reason).unwrap_or(0) as u64
}

fn reason_of(code: u64) -> AbortReason {
    usize::try_from(code)
        .ok()
        .and_then(|code| REASONS.get(code).copied())
        .unwrap_or(AbortReason::ClockJump)
}

/// Whether the clocks of these streams have moved against each other by more than 10 ms since all were usual: then their
/// evidence must not be fused.
pub fn disagree<'a>(words: impl Iterator<Item = &'a ClockWord>) -> bool {
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for word in words {
        let shift_s = word.shift_s();
        least = least.min(shift_s);
        most = most.max(shift_s);
    }
    most - least > DISAGREEMENT_S
}

/// The guard of one live stream, on its inlet thread. Real-time after construction.
#[derive(Debug, Clone)]
pub struct StreamClock {
    guard: ClockGuard,
    offset_at_s: Option<f64>,
    begun_s: Option<f64>,
    last_s: f64,
    longest_s: f64,
    learned: bool,
}

impl StreamClock {
    /// A guard for a stream of this nominal rate; 0 for irregular ones, whose rate is not watched. `None` for a rate that is
    /// none.
    #[must_use]
    pub fn new(rate_hz: f64) -> Option<Self> {
        let guard = ClockGuard::new(ClockSpec {
            rate: Hertz::new(rate_hz).ok(),
            chunk_period: Seconds::new(CHUNK_PERIOD_MAX_S).ok()?,
            age_limit: Seconds::new(AGE_LIMIT_S).ok()?,
        });
        Some(Self {
            guard: guard.ok()?,
            offset_at_s: None,
            begun_s: None,
            last_s: 0.0,
            longest_s: 0.0,
            learned: false,
        })
    }

    /// Takes a block: its newest stamp, how many samples, when it was pulled, and the latest clock offset with its
    /// uncertainty. Doubts go into `word`.
    pub fn block(
        &mut self,
        newest_stamp_s: f64,
        samples: usize,
        pulled: MonoTime,
        offset: Option<(ClockOffset, f64)>,
        word: &ClockWord,
    ) {
        let arrival_s = rt::lsl_of(pulled).get();
        if let Some((offset, uncertainty_s)) = offset
            && self.offset_at_s != Some(offset.at_s)
        {
            self.offset_at_s = Some(offset.at_s);
            let doubts = self
                .guard
                .offset(offset.at_s, offset.offset_s, uncertainty_s);
            word.note(doubts, pulled);
        }
        self.learn(arrival_s);
        let doubts = self.guard.chunk(Chunk {
            newest_stamp_s,
            arrival_s,
            samples: u32::try_from(samples).unwrap_or(u32::MAX),
        });
        // Ages mean nothing before the offset is known, and a stream that has just begun may bring what had waited.
        if self.offset_at_s.is_some() && self.learned {
            word.note(doubts, pulled);
        }
        word.shift_s
            .store(self.guard.shift_s().to_bits(), Ordering::Relaxed);
        let rate = self.guard.measured_rate_hz().unwrap_or(0.0);
        word.measured_hz.store(rate.to_bits(), Ordering::Relaxed);
    }

    /// Learns the time between two chunks from the first second.
    fn learn(&mut self, arrival_s: f64) {
        if self.learned {
            return;
        }
        match self.begun_s {
            None => self.begun_s = Some(arrival_s),
            Some(begun_s) => {
                self.longest_s = self.longest_s.max(arrival_s - self.last_s);
                if arrival_s - begun_s >= LEARN_S {
                    self.learned = true;
                    let period = Seconds::new(self.longest_s.min(CHUNK_PERIOD_MAX_S));
                    // A period out of the guard's range leaves the one assumed.
                    let _ = period.map(|period| self.guard.expect_chunks_every(period));
                }
            }
        }
        self.last_s = arrival_s;
    }
}
