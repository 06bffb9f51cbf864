//! The time line of a stream whose blocks share one stamp.

use super::{
    Dropped, FAR_FUTURE_S, GapAction, JUMP_S, RESTART_AFTER_S, StampVerdict, Suspect,
    TOLERANCE_PERIODS, gap_action,
};

/// Share of a block's deviation that is put right at once.
const TRACKING: f64 = 0.1;

#[derive(Debug, Clone)]
pub(super) struct BlockLine {
    nominal_s: f64,
    block: Option<Block>,
    suspect: Option<Suspect>,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    stamp_s: f64,
    /// Time of the block's first sample; `None` in a block without an anchor.
    from_s: Option<f64>,
    /// Samples of it so far.
    samples: f64,
}

impl BlockLine {
    pub(super) fn new(nominal_s: f64) -> Self {
        Self {
            nominal_s,
            block: None,
            suspect: None,
        }
    }

    pub(super) fn push(&mut self, stamp_s: f64, early: &mut u64) -> StampVerdict {
        let Some(block) = &mut self.block else {
            self.block = Some(Block {
                stamp_s,
                from_s: None,
                samples: 1.0,
            });
            return StampVerdict::Drop(Dropped::Unanchored);
        };
        let since_last = stamp_s - block.stamp_s;
        if since_last == 0.0 {
            let time_s = block.from_s.map(|s| s + block.samples * self.nominal_s);
            block.samples += 1.0;
            return time_s.map_or(StampVerdict::Drop(Dropped::Unanchored), |time_s| {
                StampVerdict::InOrder { time_s }
            });
        }
        if !(0.0..=FAR_FUTURE_S).contains(&since_last) {
            let believed = Suspect::confirm(&mut self.suspect, stamp_s, self.nominal_s, |last_s| {
                (0.0..=FAR_FUTURE_S).contains(&(stamp_s - last_s))
            });
            if believed {
                // Part of the block was dropped: it begins here.
                *block = Block {
                    stamp_s,
                    from_s: Some(stamp_s),
                    samples: 1.0,
                };
                return StampVerdict::ClockJump {
                    time_s: stamp_s,
                    step_s: since_last,
                };
            }
            return StampVerdict::Drop(if since_last < 0.0 {
                Dropped::Backward
            } else {
                Dropped::FarFuture
            });
        }
        self.suspect = None;
        let verdict = block.next(self.nominal_s, early);
        let from_s = match verdict {
            StampVerdict::InOrder { time_s }
            | StampVerdict::Gap { time_s, .. }
            | StampVerdict::ClockJump { time_s, .. } => Some(time_s),
            StampVerdict::Drop(_) => None,
        };
        *block = Block {
            stamp_s,
            from_s,
            samples: 1.0,
        };
        verdict
    }
}

impl Block {
    /// The verdict on the first sample of the block after this one, which should have ended at its stamp.
    fn next(&self, nominal_s: f64, early: &mut u64) -> StampVerdict {
        let after_stamp_s = self.stamp_s + nominal_s;
        let Some(from_s) = self.from_s else {
            return StampVerdict::InOrder {
                time_s: after_stamp_s,
            };
        };
        let expected_s = from_s + self.samples * nominal_s;
        let late_s = after_stamp_s - expected_s;
        let tolerance = JUMP_S.max(TOLERANCE_PERIODS * nominal_s);
        if late_s > tolerance {
            let missing = (late_s / nominal_s).round().max(1.0);
            return StampVerdict::Gap {
                time_s: after_stamp_s,
                missing: missing as u64,
                // Where inside the block they are missing is not known: never interpolate.
                action: match gap_action(missing * nominal_s) {
                    GapAction::Restart => GapAction::Restart,
                    GapAction::Interpolate | GapAction::Reject => GapAction::Reject,
                },
            };
        }
        if late_s < -RESTART_AFTER_S {
            return StampVerdict::ClockJump {
                time_s: after_stamp_s,
                step_s: late_s,
            };
        }
        *early += u64::from(late_s < -tolerance);
        // By less than a period, so that times keep rising.
        let limit = 0.5 * nominal_s;
        StampVerdict::InOrder {
            time_s: expected_s + (TRACKING * late_s).clamp(-limit, limit),
        }
    }
}
