//! The time line of a stream whose samples have their own stamps.

use super::{
    Dropped, FAR_FUTURE_S, GapAction, INTERPOLATE_MAX_S, JUMP_S, StampVerdict, Suspect,
    TOLERANCE_PERIODS, gap_action,
};

const RATE_ERROR_MAX: f64 = 0.02;
const FIT_WINDOW_S: f64 = 2.0;
const JITTER_WINDOW_S: f64 = 1.0;
const TOLERANCE_JITTERS: f64 = 4.0;

#[derive(Debug, Clone)]
pub(super) struct SampleLine {
    nominal_s: f64,
    fit: Option<Fit>,
    suspect: Option<Suspect>,
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
        Self {
            nominal_s,
            fit: None,
            suspect: None,
        }
    }

    pub(super) fn period_s(&self) -> Option<f64> {
        self.fit.map(|fit| fit.period_s)
    }

    pub(super) fn push(&mut self, stamp_s: f64, early: &mut u64) -> StampVerdict {
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
            let run = self.suspect.map_or(0, |s| s.run);
            let believed = Suspect::confirm(&mut self.suspect, stamp_s, nominal_s, |last_s| {
                (stamp_s - last_s - nominal_s).abs() <= tolerance
            });
            if believed {
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
        let e = stamp_s - fit.next_s;
        fit.learn_jitter(e, nominal_s);
        if e > tolerance {
            return fit.after_gap(stamp_s, nominal_s);
        }
        if e < -JUMP_S.max(tolerance) {
            fit.anchor(stamp_s);
            return StampVerdict::ClockJump {
                time_s: stamp_s,
                step_s: e,
            };
        }
        *early += u64::from(e < -tolerance);
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

    /// The stamp is later than its tolerance: samples are missing before it.
    fn after_gap(&mut self, stamp_s: f64, nominal_s: f64) -> StampVerdict {
        // The tolerance is half a period at least, which rounds to one.
        let missing = ((stamp_s - self.next_s) / self.period_s).round().max(1.0);
        let action = gap_action(missing * nominal_s);
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

    /// Puts the line on a stamp without learning from it.
    fn anchor(&mut self, stamp_s: f64) {
        self.next_s = stamp_s + self.period_s;
        self.last_stamp_s = stamp_s;
    }
}
