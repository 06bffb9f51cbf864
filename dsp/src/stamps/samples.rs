//! The time line of a stream whose samples have their own stamps.

use super::{
    CONFIRM_S, Dropped, FAR_FUTURE_S, GapAction, INTERPOLATE_MAX_S, JUMP_S, StampCounts,
    StampVerdict, Suspect, TOLERANCE_PERIODS, gap_action,
};

const RATE_ERROR_MAX: f64 = 0.02;
const FIT_WINDOW_S: f64 = 2.0;
const JITTER_WINDOW_S: f64 = 1.0;
const TOLERANCE_JITTERS: f64 = 4.0;
/// A stream with less jitter than this share of a period shows a loss as a whole number of periods.
const REGULAR_JITTER_PERIODS: f64 = 0.05;
/// How far from a whole number a regular stream's loss may be, periods.
const WHOLE_TOLERANCE_PERIODS: f64 = 0.25;
/// Stamps are remembered for about this long, to know a chunk that comes again; and at most so many.
const RECENT_S: f64 = 2.0;
const RECENT_MAX: f64 = 4_096.0;
/// An excess of up to this many times the largest delay seen lately may be one as well.
const DELAY_MARGIN: f64 = 2.0;
/// Time in which a delay that was seen is half forgotten, seconds.
const DELAY_HALF_S: f64 = 60.0;

#[derive(Debug, Clone)]
pub(super) struct SampleLine {
    nominal_s: f64,
    fit: Option<Fit>,
    suspect: Option<Suspect>,
    late: Option<Late>,
    filled: Option<Filled>,
    /// Stamps taken lately, a ring; and where the next one goes.
    recent: Vec<f64>,
    next: usize,
    /// Whether all stamps of the suspect run were taken before: a chunk that came again, not a clock that was set.
    repeated: bool,
    /// Largest excess of late that later stamps took back, seconds; fading.
    delay_s: f64,
}

/// Stamps that run late, and it is not known yet whether samples are missing or only late.
#[derive(Debug, Clone, Copy)]
struct Late {
    /// Stamps still to be waited for.
    left: u64,
    least_s: f64,
    most_s: f64,
}

/// Samples that were said to be missing a short while ago.
#[derive(Debug, Clone, Copy)]
struct Filled {
    left: u64,
    missing: f64,
}

/// Fading-memory line through the stamps.
#[derive(Debug, Clone, Copy)]
struct Fit {
    last_stamp_s: f64,
    /// Where the next stamp is expected.
    next_s: f64,
    period_s: f64,
    /// Samples that went into the fit, up to the window's.
    samples: f64,
    /// Mean magnitude of stamp minus expectation.
    jitter_s: f64,
}

impl SampleLine {
    pub(super) fn new(nominal_s: f64) -> Self {
        let recent = (RECENT_S / nominal_s).ceil();
        Self {
            nominal_s,
            fit: None,
            suspect: None,
            late: None,
            filled: None,
            delay_s: 0.0,
            recent: vec![f64::NAN; recent.clamp(64.0, RECENT_MAX) as usize],
            next: 0,
            repeated: false,
        }
    }

    /// As new, without allocating.
    pub(super) fn reset(&mut self) {
        self.fit = None;
        self.suspect = None;
        self.late = None;
        self.filled = None;
        self.delay_s = 0.0;
        self.recent.fill(f64::NAN);
        self.next = 0;
        self.repeated = false;
    }

    /// Judges a stamp and remembers it when it is taken.
    pub(super) fn push(&mut self, stamp_s: f64, counts: &mut StampCounts) -> StampVerdict {
        let verdict = self.judge(stamp_s, counts);
        if !matches!(verdict, StampVerdict::Drop(_)) {
            if let Some(place) = self.recent.get_mut(self.next) {
                *place = stamp_s;
            }
            self.next = (self.next + 1) % self.recent.len().max(1);
        }
        verdict
    }

    fn was_taken(&self, stamp_s: f64) -> bool {
        self.recent.contains(&stamp_s)
    }

    pub(super) fn period_s(&self) -> Option<f64> {
        self.fit.map(|fit| fit.period_s)
    }

    fn judge(&mut self, stamp_s: f64, counts: &mut StampCounts) -> StampVerdict {
        let nominal_s = self.nominal_s;
        let Some(fit) = &mut self.fit else {
            self.fit = Some(Fit {
                last_stamp_s: stamp_s,
                next_s: stamp_s + nominal_s,
                period_s: nominal_s,
                samples: 1.0,
                jitter_s: 0.0,
            });
            return StampVerdict::InOrder { time_s: stamp_s };
        };
        let since_last = stamp_s - fit.last_stamp_s;
        if since_last == 0.0 {
            return StampVerdict::Drop(Dropped::Duplicate);
        }
        let tolerance = fit.tolerance_s(nominal_s);
        if !(0.0..=FAR_FUTURE_S).contains(&since_last) {
            let is_first = self.suspect.is_none();
            self.repeated = (is_first || self.repeated) && self.was_taken(stamp_s);
            let Some(fit) = &mut self.fit else {
                return StampVerdict::Drop(Dropped::Backward);
            };
            let run = self.suspect.map_or(0, |s| s.run);
            let believed = Suspect::confirm(&mut self.suspect, stamp_s, nominal_s, |last_s| {
                (stamp_s - last_s - nominal_s).abs() <= tolerance
            });
            if believed && !self.repeated {
                // The samples dropped meanwhile took their time on the old clock too.
                let step_s = stamp_s - (fit.next_s + run as f64 * fit.period_s);
                fit.anchor(stamp_s);
                return StampVerdict::ClockJump {
                    time_s: stamp_s,
                    step_s,
                };
            }
            return StampVerdict::Drop(if since_last < 0.0 {
                Dropped::Backward
            } else {
                Dropped::FarFuture
            });
        }
        self.suspect = None;
        let mut e = stamp_s - fit.next_s;
        if let Some(filled) = self.filled {
            if e < -0.5 * filled.missing * fit.period_s {
                // The samples were not missing, only late: what came after has caught up.
                let back_s = filled.missing * fit.period_s;
                fit.next_s -= back_s;
                e += back_s;
                self.delay_s = self.delay_s.max(back_s);
                counts.taken_back += filled.missing as u64;
                self.filled = None;
            } else {
                self.filled = filled
                    .left
                    .checked_sub(1)
                    .map(|left| Filled { left, ..filled });
            }
        }
        let was_regular = fit.jitter_s < REGULAR_JITTER_PERIODS * nominal_s;
        fit.learn_jitter(e, nominal_s);
        self.delay_s *= 1.0 - (nominal_s / DELAY_HALF_S).min(1.0) * std::f64::consts::LN_2;
        let confirm = (CONFIRM_S / nominal_s).ceil().max(3.0) as u64;
        if e > tolerance {
            let late = match self.late {
                Some(late) => Some(Late {
                    left: late.left.saturating_sub(1),
                    least_s: late.least_s.min(e),
                    most_s: late.most_s.max(e),
                }),
                None => {
                    let periods = e / fit.period_s;
                    let is_whole = (periods - periods.round()).abs() <= WHOLE_TOLERANCE_PERIODS;
                    let may_be_late =
                        (was_regular && !is_whole) || e <= DELAY_MARGIN * self.delay_s;
                    may_be_late.then_some(Late {
                        left: confirm,
                        least_s: e,
                        most_s: e,
                    })
                }
            };
            // More than can be interpolated is never taken for lateness.
            self.late = late.filter(|late| late.left > 0 && e <= INTERPOLATE_MAX_S);
            return match late {
                Some(_) if self.late.is_some() => {
                    counts.late += 1;
                    fit.pass(stamp_s);
                    StampVerdict::InOrder { time_s: stamp_s }
                }
                // It has stayed: what is missing lies somewhere among the last samples, so nothing can be filled in.
                Some(late) if late.left == 0 => {
                    fit.after_gap(stamp_s, late.least_s, nominal_s, GapAction::Reject)
                }
                _ => {
                    let verdict = fit.after_gap(stamp_s, e, nominal_s, GapAction::Interpolate);
                    if let StampVerdict::Gap {
                        missing,
                        action: GapAction::Interpolate,
                        ..
                    } = verdict
                    {
                        self.filled = Some(Filled {
                            left: confirm,
                            missing: missing as f64,
                        });
                    }
                    verdict
                }
            };
        }
        if let Some(late) = self.late.take() {
            self.delay_s = self.delay_s.max(late.most_s);
        }
        if e < -JUMP_S.max(tolerance) {
            fit.anchor(stamp_s);
            return StampVerdict::ClockJump {
                time_s: stamp_s,
                step_s: e,
            };
        }
        if e < -tolerance {
            counts.early += 1;
            if self.filled.is_some() {
                // On its way to show that nothing was missing: not to be learned from.
                fit.pass(stamp_s);
                return StampVerdict::InOrder { time_s: stamp_s };
            }
        }
        fit.track(stamp_s, nominal_s);
        StampVerdict::InOrder { time_s: stamp_s }
    }
}

impl Fit {
    fn tolerance_s(&self, nominal_s: f64) -> f64 {
        let half = TOLERANCE_PERIODS * nominal_s;
        (TOLERANCE_JITTERS * self.jitter_s).clamp(half, INTERPOLATE_MAX_S.max(half))
    }

    fn learn_jitter(&mut self, e: f64, nominal_s: f64) {
        // Larger deviations are losses, not jitter.
        let deviation = e.abs().min(5.0 * nominal_s);
        self.jitter_s += (deviation - self.jitter_s) * (nominal_s / JITTER_WINDOW_S).min(1.0);
    }

    /// The stamp is later than its tolerance, by `excess_s` for certain: samples are missing before it. Short gaps get the action given.
    fn after_gap(
        &mut self,
        stamp_s: f64,
        excess_s: f64,
        nominal_s: f64,
        short: GapAction,
    ) -> StampVerdict {
        // The tolerance is half a period at least, which rounds to one.
        let missing = (excess_s / self.period_s).round().max(1.0);
        let action = match gap_action(missing * nominal_s) {
            GapAction::Interpolate => short,
            longer => longer,
        };
        if action == GapAction::Restart {
            self.anchor(stamp_s);
        } else {
            self.next_s += missing * self.period_s;
            self.track(stamp_s, nominal_s);
        }
        StampVerdict::Gap {
            time_s: stamp_s,
            missing: missing as u64,
            action,
        }
    }

    /// Moves the line one sample on, towards the stamp, with the gains of an n-point least-squares line at its newest point
    /// (Brookner 1998, *Tracking and Kalman Filtering Made Easy*, section 1.2).
    fn track(&mut self, stamp_s: f64, nominal_s: f64) {
        let window = (FIT_WINDOW_S / nominal_s).max(8.0);
        self.samples = (self.samples + 1.0).min(window);
        let n = self.samples;
        let g = 2.0 * (2.0 * n - 1.0) / (n * (n + 1.0));
        let h = 6.0 / (n * (n + 1.0));
        let e = stamp_s - self.next_s;
        let slowest = nominal_s * (1.0 + RATE_ERROR_MAX);
        let fastest = nominal_s * (1.0 - RATE_ERROR_MAX);
        self.period_s = (self.period_s + h * e).clamp(fastest, slowest);
        self.next_s += g * e + self.period_s;
        self.last_stamp_s = stamp_s;
    }

    /// Moves the line one sample on without learning from its stamp.
    fn pass(&mut self, stamp_s: f64) {
        self.next_s += self.period_s;
        self.last_stamp_s = stamp_s;
    }

    /// Puts the line on a stamp without learning from it.
    fn anchor(&mut self, stamp_s: f64) {
        self.next_s = stamp_s + self.period_s;
        self.last_stamp_s = stamp_s;
    }
}
