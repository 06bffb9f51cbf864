//! The stamp guard: what each sample's stamp says about the samples before it.
//!
//! # Rules
//!
//! The guard predicts the next stamp from a time line of its own, so that jitter and missing samples are told apart. It
//! looks at stamps only, never at arrival times. With `T` the period and `e` = stamp - prediction:
//!
//! | stamp | verdict |
//! |---|---|
//! | NaN, infinite, beyond +-1e12 s | quarantined |
//! | equal to the last one | duplicate, dropped |
//! | before the last one, or more than [`FAR_FUTURE_S`] ahead | dropped; but when 100 ms of such stamps follow each other at the nominal rate it was the clock that jumped, and a new epoch of time begins; unless all of them are, to the bit, stamps of the last two seconds: then a chunk came again |
//! | `e` beyond the tolerance | `round(e / T)` samples are missing, unless they may be late (see below) |
//! | `e` below -20 ms | samples faster than the clock allows: the clock jumped |
//! | else | in order |
//!
//! The tolerance is half a period (that is, 1.5 periods since the last sample) or four times the mean `|e|` of about the last second,
//! whichever is larger, and never above 20 ms: a stream with regular stamps has every lost sample seen, a stream
//! whose stamps jitter is not accused of losing samples it did not lose. The time line is a fading-memory line fit
//! (g-h filter with the gains of a growing, then two-second, least-squares window) that follows up to 2 % of rate error.
//!
//! **Late is not lost.** A driver that stamps samples when it wakes up stamps some of them late, and those after them follow
//! at once. An excess of up to 20 ms is taken for lateness, the sample for one in order and counted as late, (a) when the
//! stamps are otherwise regular (mean `|e|` under 0.05 T) and `e` is not within T/4 of a whole number of periods, as a
//! loss would be, or (b) when it is no more than twice the largest delay seen lately (fading, halved each minute). The time line then
//! waits, without learning, until the stamps are back within the tolerance: that was a delay. When all stamps of
//! 100 ms stay late, samples are missing after all: as many as the least excess tells, and as their place is not known, epochs
//! are rejected instead of anything being interpolated. A gap that was interpolated, and after which within 100 ms
//! the stamps come early by more than half of it, was a delay too: the time line goes back, the samples are
//! counted as taken back, and the delay is known from then on. All of it is causal: no sample waits.
//!
//! Missing samples are interpolated up to 20 ms, above that epochs which touch the gap are to be rejected, above 1 s
//! filters are to be restarted (FAULTS 10).
//!
//! **Block stamps** ([`StampRule::Blocks`]): some sources give all samples of a block one stamp. Samples are then spread at
//! the nominal interval so that each block ends at its stamp: as a block's length is not known until it is over, its
//! first sample follows one period after the stamp of the block before. The samples of the very first block have
//! no such anchor and are dropped as unanchored. A block that was too short for the time it took shows a gap
//! when the next one begins.

mod blocks;
mod samples;

use serde::{Deserialize, Serialize};

use self::blocks::BlockLine;
use self::samples::SampleLine;
use crate::units::Hertz;

/// Longest gap that is interpolated, seconds.
pub const INTERPOLATE_MAX_S: f64 = 0.020;
/// Longest gap after which the filters keep their state, seconds.
pub const RESTART_AFTER_S: f64 = 1.0;
/// A stamp further ahead than this is not believed before others confirm it, seconds.
pub const FAR_FUTURE_S: f64 = 600.0;
/// How far stamps may run ahead of the samples' own rate before the clock is said to have jumped, seconds.
pub const JUMP_S: f64 = 0.020;

const STAMP_LIMIT_S: f64 = 1e12;
const CONFIRM_S: f64 = 0.1;
const TOLERANCE_PERIODS: f64 = 0.5;

/// What a stream's stamps mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StampRule {
    /// Every sample has its own stamp.
    #[default]
    PerSample,
    /// All samples of a block carry the block's stamp, that of its last sample.
    Blocks,
}

/// What to do about missing samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapAction {
    /// Up to 20 ms: fill in by linear interpolation.
    Interpolate,
    /// Up to 1 s: go on, but reject epochs that touch the gap.
    Reject,
    /// Longer: restart the filters at this sample as well.
    Restart,
}

/// Why a sample is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dropped {
    /// The stamp of the last sample again.
    Duplicate,
    /// A stamp before that of the last sample.
    Backward,
    /// NaN, infinite, or too large to be a time.
    NotFinite,
    /// More than [`FAR_FUTURE_S`] ahead.
    FarFuture,
    /// In the first block of a block-stamped stream, before any anchor.
    Unanchored,
}

/// What the guard says of one sample. Times are seconds on the source's clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StampVerdict {
    /// The next sample, at `time_s` (its own stamp, or the spread one of a block).
    InOrder {
        /// When it was taken.
        time_s: f64,
    },
    /// This sample is good, but `missing` samples before it never came.
    Gap {
        /// When this sample was taken.
        time_s: f64,
        /// How many are missing.
        missing: u64,
        /// What to do about them.
        action: GapAction,
    },
    /// This sample is good, but the clock jumped by `step_s` before it: nothing may reach across.
    ClockJump {
        /// When this sample was taken, on the clock as it is now.
        time_s: f64,
        /// New clock minus old clock.
        step_s: f64,
    },
    /// This sample must not be used.
    Drop(Dropped),
}

/// What the guard has seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StampCounts {
    /// Samples used.
    pub accepted: u64,
    /// Gaps that were interpolated.
    pub gaps_interpolated: u64,
    /// Gaps that reject epochs.
    pub gaps_rejected: u64,
    /// Gaps that restart filters.
    pub gaps_restarted: u64,
    /// Samples missing in all gaps.
    pub missing: u64,
    /// Samples dropped: stamp equal to the last.
    pub duplicates: u64,
    /// Samples dropped: stamp before the last.
    pub backward: u64,
    /// Samples quarantined: stamp not finite.
    pub not_finite: u64,
    /// Samples quarantined: stamp in the far future.
    pub far_future: u64,
    /// Samples dropped: first block.
    pub unanchored: u64,
    /// Jumps of the clock.
    pub clock_jumps: u64,
    /// Samples used whose stamp came earlier than the tolerance allows.
    pub early: u64,
    /// Samples used whose stamp came late while none was missing, or none yet known to be.
    #[serde(default)]
    pub late: u64,
    /// Of `missing`: samples that turned out to have been late when those after them caught up.
    #[serde(default)]
    pub taken_back: u64,
}

impl StampCounts {
    /// Whether most samples share their stamp with another: the stream is block-stamped and wants [`StampRule::Blocks`].
    #[must_use]
    pub fn looks_block_stamped(&self) -> bool {
        self.duplicates > 100 && self.duplicates > self.accepted
    }
}

/// Guards the stamps of one stream. See the module for the rules.
#[derive(Debug, Clone)]
pub struct StampGuard {
    nominal_s: f64,
    line: Line,
    counts: StampCounts,
}

#[derive(Debug, Clone)]
enum Line {
    PerSample(SampleLine),
    Blocks(BlockLine),
}

impl StampGuard {
    /// A guard for a stream of `rate`, which must be its nominal one.
    #[must_use]
    pub fn new(rate: Hertz, rule: StampRule) -> Self {
        let nominal_s = 1.0 / rate.get();
        Self {
            nominal_s,
            line: match rule {
                StampRule::PerSample => Line::PerSample(SampleLine::new(nominal_s)),
                StampRule::Blocks => Line::Blocks(BlockLine::new(nominal_s)),
            },
            counts: StampCounts::default(),
        }
    }

    /// Forgets the time line and the counts: as new.
    pub fn reset(&mut self) {
        self.restart();
        self.counts = StampCounts::default();
    }

    /// Forgets the time line: the next stamp begins one of its own. Counts go on.
    pub fn restart(&mut self) {
        match &mut self.line {
            Line::PerSample(line) => line.reset(),
            Line::Blocks(line) => *line = BlockLine::new(self.nominal_s),
        }
    }

    /// Counts since construction or `reset`.
    #[must_use]
    pub fn counts(&self) -> StampCounts {
        self.counts
    }

    /// Nominal period, seconds.
    #[must_use]
    pub fn nominal_period_s(&self) -> f64 {
        self.nominal_s
    }

    /// Period as fitted to the stamps of about the last two seconds, seconds; `None` before the first sample and for block stamps.
    #[must_use]
    pub fn fitted_period_s(&self) -> Option<f64> {
        match &self.line {
            Line::PerSample(line) => line.period_s(),
            Line::Blocks(_) => None,
        }
    }

    /// Judges the next sample by its stamp, in the order in which samples arrived.
    pub fn push(&mut self, stamp_s: f64) -> StampVerdict {
        let verdict = if stamp_s.is_finite() && stamp_s.abs() <= STAMP_LIMIT_S {
            match &mut self.line {
                Line::PerSample(line) => line.push(stamp_s, &mut self.counts),
                Line::Blocks(line) => line.push(stamp_s, &mut self.counts.early),
            }
        } else {
            StampVerdict::Drop(Dropped::NotFinite)
        };
        self.count(verdict);
        verdict
    }

    fn count(&mut self, verdict: StampVerdict) {
        let c = &mut self.counts;
        match verdict {
            StampVerdict::InOrder { .. } => c.accepted += 1,
            StampVerdict::Gap {
                missing, action, ..
            } => {
                c.accepted += 1;
                c.missing = c.missing.saturating_add(missing);
                match action {
                    GapAction::Interpolate => c.gaps_interpolated += 1,
                    GapAction::Reject => c.gaps_rejected += 1,
                    GapAction::Restart => c.gaps_restarted += 1,
                }
            }
            StampVerdict::ClockJump { .. } => {
                c.accepted += 1;
                c.clock_jumps += 1;
            }
            StampVerdict::Drop(why) => match why {
                Dropped::Duplicate => c.duplicates += 1,
                Dropped::Backward => c.backward += 1,
                Dropped::NotFinite => c.not_finite += 1,
                Dropped::FarFuture => c.far_future += 1,
                Dropped::Unanchored => c.unanchored += 1,
            },
        }
    }
}

/// Stamps that do not fit the time line, but perhaps each other.
#[derive(Debug, Clone, Copy)]
struct Suspect {
    last_s: f64,
    run: u64,
}

impl Suspect {
    /// Counts a stamp that does not fit; true when enough of its like have come in a row to believe them. `continues` says whether it
    /// follows the suspect before.
    fn confirm(
        suspect: &mut Option<Self>,
        stamp_s: f64,
        nominal_s: f64,
        continues: impl FnOnce(f64) -> bool,
    ) -> bool {
        let run = match suspect {
            Some(s) if continues(s.last_s) => s.run + 1,
            _ => 1,
        };
        let needed = (CONFIRM_S / nominal_s).ceil().max(3.0) as u64;
        let believed = run >= needed;
        *suspect = (!believed).then_some(Self {
            last_s: stamp_s,
            run,
        });
        believed
    }
}

fn gap_action(missing_s: f64) -> GapAction {
    // A hair of slack: 20 ms of a 250 Hz stream are five samples, whatever the rounding.
    const SLACK: f64 = 1.0 + 1e-9;
    if missing_s <= INTERPOLATE_MAX_S * SLACK {
        GapAction::Interpolate
    } else if missing_s <= RESTART_AFTER_S * SLACK {
        GapAction::Reject
    } else {
        GapAction::Restart
    }
}
