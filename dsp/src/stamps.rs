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
//! | before the last one, or more than [`FAR_FUTURE_S`] ahead | dropped; but when 100 ms of such stamps follow each other at the nominal rate it was the clock that jumped, and a new epoch of time begins |
//! | `e` beyond the tolerance | `round(e / T)` samples are missing |
//! | `e` below -20 ms | samples faster than the clock allows: the clock jumped |
//! | else | in order |
//!
//! The tolerance is half a period (that is, 1.5 periods since the last sample) or four times the mean `|e|` of about the last second,
//! whichever is larger, and never above 20 ms: a stream with regular stamps has every lost sample seen, a stream
//! whose stamps jitter is not accused of losing samples it did not lose. The time line is a fading-memory line fit
//! (g-h filter with the gains of a growing, then two-second, least-squares window) that follows up to 2 % of rate error.
//!
//! Missing samples are interpolated up to 20 ms, above that epochs which touch the gap are to be rejected, above 1 s
//! filters are to be restarted (FAULTS 10).
//!
//! **Block stamps** ([`StampRule::Blocks`]): some sources give all samples of a block one stamp. Samples are then spread at
//! the nominal interval so that each block ends at its stamp: as a block's length is not known until it is over, its
//! first sample follows one period after the stamp of the block before. The samples of the very first block have
//! no such anchor and are dropped as unanchored. A block that was too short for the time it took shows a gap
//! when the next one begins.

use serde::{Deserialize, Serialize};

use crate::error::DspError;
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
const RATE_ERROR_MAX: f64 = 0.02;
const FIT_WINDOW_S: f64 = 2.0;
const JITTER_WINDOW_S: f64 = 1.0;
const CONFIRM_S: f64 = 0.1;
const TOLERANCE_PERIODS: f64 = 0.5;
const TOLERANCE_JITTERS: f64 = 4.0;
const BLOCK_TRACKING: f64 = 0.1;

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
    rule: StampRule,
    nominal_s: f64,
    line: Option<Line>,
    suspect: Option<Suspect>,
    counts: StampCounts,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    last_stamp_s: f64,
    next_s: f64,
    period_s: f64,
    fitted: f64,
    jitter_s: f64,
}

/// Stamps that do not fit the time line, but perhaps each other.
#[derive(Debug, Clone, Copy)]
struct Suspect {
    last_s: f64,
    run: u64,
}

impl StampGuard {
    /// A guard for a stream of `rate`, which must be its nominal one.
    ///
    /// # Errors
    /// None today: a [`Hertz`] is in range. The signature leaves room for rules with parameters.
    pub fn new(rate: Hertz, rule: StampRule) -> Result<Self, DspError> {
        Ok(Self {
            rule,
            nominal_s: 1.0 / rate.get(),
            line: None,
            suspect: None,
            counts: StampCounts::default(),
        })
    }

    /// Forgets the time line and the counts: as new.
    pub fn reset(&mut self) {
        self.line = None;
        self.suspect = None;
        self.counts = StampCounts::default();
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

    /// Period as fitted to the stamps of about the last two seconds, seconds; `None` before the first sample.
    #[must_use]
    pub fn fitted_period_s(&self) -> Option<f64> {
        self.line.map(|line| line.period_s)
    }

    /// Judges the next sample by its stamp, in the order in which samples arrived.
    pub fn push(&mut self, stamp_s: f64) -> StampVerdict {
        let verdict = if stamp_s.is_finite() && stamp_s.abs() <= STAMP_LIMIT_S {
            match self.rule {
                StampRule::PerSample => self.push_own(stamp_s),
                StampRule::Blocks => self.push_block(stamp_s),
            }
        } else {
            StampVerdict::Drop(Dropped::NotFinite)
        };
        self.count(verdict);
        verdict
    }

    fn push_own(&mut self, stamp_s: f64) -> StampVerdict {
        let Some(mut line) = self.line else {
            self.line = Some(Line::starting(stamp_s, self.nominal_s));
            return StampVerdict::InOrder { time_s: stamp_s };
        };
        let since_last = stamp_s - line.last_stamp_s;
        if since_last == 0.0 {
            return StampVerdict::Drop(Dropped::Duplicate);
        }
        if !(0.0..=FAR_FUTURE_S).contains(&since_last) {
            return self.suspicious(stamp_s, line);
        }
        self.suspect = None;
        let e = stamp_s - line.next_s;
        let tolerance = line.tolerance_s(self.nominal_s);
        line.learn_jitter(e, self.nominal_s);
        let verdict = if e > tolerance {
            // At least one: a tolerance below one and a half periods cannot round to none.
            let missing = (e / line.period_s).round().max(1.0);
            let action = gap_action(missing * self.nominal_s);
            match action {
                GapAction::Restart => line.anchor(stamp_s),
                GapAction::Interpolate | GapAction::Reject => {
                    line.next_s += missing * line.period_s;
                    line.track(stamp_s, self.nominal_s);
                }
            }
            StampVerdict::Gap {
                time_s: stamp_s,
                missing: missing as u64,
                action,
            }
        } else if e < -JUMP_S.max(tolerance) {
            line.anchor(stamp_s);
            StampVerdict::ClockJump {
                time_s: stamp_s,
                step_s: e,
            }
        } else {
            if e < -tolerance {
                self.counts.early += 1;
            }
            line.track(stamp_s, self.nominal_s);
            StampVerdict::InOrder { time_s: stamp_s }
        };
        line.last_stamp_s = stamp_s;
        self.line = Some(line);
        verdict
    }

    /// A stamp far off the line: dropped, unless enough of its like have come in a row.
    fn suspicious(&mut self, stamp_s: f64, mut line: Line) -> StampVerdict {
        let run = match self.suspect {
            Some(s)
                if (stamp_s - s.last_s - self.nominal_s).abs()
                    <= line.tolerance_s(self.nominal_s) =>
            {
                s.run + 1
            }
            _ => 1,
        };
        let needed = (CONFIRM_S / self.nominal_s).ceil().max(3.0) as u64;
        if run >= needed {
            self.suspect = None;
            let step_s = stamp_s - line.next_s;
            line.anchor(stamp_s);
            line.last_stamp_s = stamp_s;
            self.line = Some(line);
            return StampVerdict::ClockJump {
                time_s: stamp_s,
                step_s,
            };
        }
        self.suspect = Some(Suspect {
            last_s: stamp_s,
            run,
        });
        StampVerdict::Drop(if stamp_s < line.last_stamp_s {
            Dropped::Backward
        } else {
            Dropped::FarFuture
        })
    }

    fn push_block(&mut self, stamp_s: f64) -> StampVerdict {
        let Some(mut line) = self.line else {
            self.line = Some(Line::starting(stamp_s, self.nominal_s));
            return StampVerdict::Drop(Dropped::Unanchored);
        };
        let anchored = line.fitted > 1.0;
        let since_last = stamp_s - line.last_stamp_s;
        if since_last == 0.0 {
            if !anchored {
                return StampVerdict::Drop(Dropped::Unanchored);
            }
            return self.next_in_block(line);
        }
        if !(0.0..=FAR_FUTURE_S).contains(&since_last) {
            // A new clock: nothing to spread between, so the block that begins is unanchored.
            return self.suspicious_block(stamp_s, line, since_last);
        }
        self.suspect = None;
        // The block that has just ended should have ended at its stamp.
        let late = line.last_stamp_s - (line.next_s - self.nominal_s);
        let ended_at = line.last_stamp_s;
        line.last_stamp_s = stamp_s;
        line.fitted += 1.0;
        if !anchored {
            line.next_s = ended_at + self.nominal_s;
            return self.next_in_block(line);
        }
        let tolerance = JUMP_S.max(TOLERANCE_PERIODS * self.nominal_s);
        if late > tolerance {
            let missing = (late / self.nominal_s).round().max(1.0);
            line.next_s = ended_at + self.nominal_s;
            let verdict = StampVerdict::Gap {
                time_s: line.next_s,
                missing: missing as u64,
                // Where inside the block they are missing is not known: never interpolate.
                action: match gap_action(missing * self.nominal_s) {
                    GapAction::Restart => GapAction::Restart,
                    GapAction::Interpolate | GapAction::Reject => GapAction::Reject,
                },
            };
            line.next_s += self.nominal_s;
            self.line = Some(line);
            return verdict;
        }
        if late < -RESTART_AFTER_S {
            line.next_s = ended_at + self.nominal_s;
            let verdict = StampVerdict::ClockJump {
                time_s: line.next_s,
                step_s: late,
            };
            line.next_s += self.nominal_s;
            self.line = Some(line);
            return verdict;
        }
        if late < -tolerance {
            self.counts.early += 1;
        }
        // Never by a whole period, so that times keep rising.
        let limit = 0.5 * self.nominal_s;
        line.next_s += (BLOCK_TRACKING * late).clamp(-limit, limit);
        self.next_in_block(line)
    }

    fn next_in_block(&mut self, mut line: Line) -> StampVerdict {
        let time_s = line.next_s;
        line.next_s += self.nominal_s;
        self.line = Some(line);
        StampVerdict::InOrder { time_s }
    }

    fn suspicious_block(&mut self, stamp_s: f64, line: Line, since_last: f64) -> StampVerdict {
        let run = match self.suspect {
            Some(s) if stamp_s >= s.last_s && stamp_s - s.last_s <= FAR_FUTURE_S => s.run + 1,
            _ => 1,
        };
        let needed = (CONFIRM_S / self.nominal_s).ceil().max(3.0) as u64;
        if run >= needed {
            self.suspect = None;
            let time_s = stamp_s;
            self.line = Some(Line {
                last_stamp_s: stamp_s,
                next_s: stamp_s + self.nominal_s,
                fitted: 2.0,
                ..line
            });
            return StampVerdict::ClockJump {
                time_s,
                step_s: since_last,
            };
        }
        self.suspect = Some(Suspect {
            last_s: stamp_s,
            run,
        });
        StampVerdict::Drop(if since_last < 0.0 {
            Dropped::Backward
        } else {
            Dropped::FarFuture
        })
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

impl Line {
    fn starting(stamp_s: f64, nominal_s: f64) -> Self {
        Self {
            last_stamp_s: stamp_s,
            next_s: stamp_s + nominal_s,
            period_s: nominal_s,
            fitted: 1.0,
            jitter_s: 0.0,
        }
    }

    fn tolerance_s(&self, nominal_s: f64) -> f64 {
        let half = TOLERANCE_PERIODS * nominal_s;
        (TOLERANCE_JITTERS * self.jitter_s).clamp(half, INTERPOLATE_MAX_S.max(half))
    }

    fn learn_jitter(&mut self, e: f64, nominal_s: f64) {
        // Larger deviations are losses, not jitter.
        let deviation = e.abs().min(5.0 * nominal_s);
        self.jitter_s += (deviation - self.jitter_s) * (nominal_s / JITTER_WINDOW_S).min(1.0);
    }

    /// Moves the line one sample on, towards the stamp.
    fn track(&mut self, stamp_s: f64, nominal_s: f64) {
        let window = (FIT_WINDOW_S / nominal_s).max(8.0);
        self.fitted = (self.fitted + 1.0).min(window);
        // Gains of an n-point least-squares line at its newest point (Brookner 1998, eq. 1.2-38).
        let n = self.fitted;
        let g = 2.0 * (2.0 * n - 1.0) / (n * (n + 1.0));
        let h = 6.0 / (n * (n + 1.0));
        let e = stamp_s - self.next_s;
        let (low, high) = (
            nominal_s * (1.0 - RATE_ERROR_MAX),
            nominal_s * (1.0 + RATE_ERROR_MAX),
        );
        self.period_s = (self.period_s + h * e).clamp(low, high);
        self.next_s += g * e + self.period_s;
    }

    /// Puts the line on a stamp without learning from it.
    fn anchor(&mut self, stamp_s: f64) {
        self.next_s = stamp_s + self.period_s;
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
