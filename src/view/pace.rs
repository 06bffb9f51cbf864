//! How a display's frames come: their rate, those that were missed, and a limit where nothing else sets the pace.

use std::collections::VecDeque;

use razvilka_dsp::units::MonoTime;

/// Intervals that the rate is the median of.
const WINDOW: usize = 120;
/// Fewest of them: a second of a display at 60 Hz, and what a slow one gives within the three that somebody waits for it.
const ENOUGH: usize = 40;
/// Latest intervals that are held against the rate, and how far their median may be from it.
const RECENT: usize = 20;
const CHANGE: f64 = 0.15;
/// Until the rate is known.
const ASSUMED_S: f64 = 1.0 / 60.0;

/// Frames, as they were begun.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    last: Option<MonoTime>,
    intervals: VecDeque<f64>,
    missed: u64,
    changes: u64,
}

impl Pace {
    /// A frame begins. `follows` says whether it was to come right after the one before; one that was put off on purpose measures nothing.
    /// `timed` says whether a frame that came late is to be counted.
    pub fn frame(&mut self, at: MonoTime, follows: bool, timed: bool) {
        let interval_s = self.last.map(|last| at.nanos_since(last) as f64 * 1e-9);
        self.last = Some(at);
        let Some(interval_s) = interval_s.filter(|_| follows) else {
            return;
        };
        if timed && let Some(rate_hz) = self.rate_hz() {
            // Half a frame late is the next frame's turn.
            let frames = (interval_s * rate_hz).round();
            self.missed += (frames - 1.0).max(0.0) as u64;
        }
        if self.intervals.len() == WINDOW {
            self.intervals.pop_front();
        }
        self.intervals.push_back(interval_s);
        self.hold();
    }

    /// Holds the latest intervals against those before them: a rate that is another one must be measured anew.
    fn hold(&mut self) {
        if self.intervals.len() < ENOUGH + RECENT {
            return;
        }
        let (before, recent) = (self.intervals.len() - RECENT, RECENT);
        let median = |skip: usize, take: usize| {
            let mut of: Vec<f64> = self
                .intervals
                .iter()
                .skip(skip)
                .take(take)
                .copied()
                .collect();
            of.sort_unstable_by(f64::total_cmp);
            of.get(of.len() / 2).copied().unwrap_or(ASSUMED_S)
        };
        let ratio = median(before, recent) / median(0, before);
        if !(1.0 - CHANGE..=1.0 + CHANGE).contains(&ratio) {
            self.intervals.clear();
            self.changes += 1;
        }
    }

    /// How often frames began to come at another rate; it is not known from then on until there are enough of them.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// Frames per second: one over the median interval; `None` until there are enough.
    #[must_use]
    pub fn rate_hz(&self) -> Option<f64> {
        if self.intervals.len() < ENOUGH {
            return None;
        }
        let mut sorted: Vec<_> = self.intervals.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted
            .get(sorted.len() / 2)
            .filter(|median| **median > 0.0)
            .map(|median| 1.0 / median)
    }

    /// Length of a frame, seconds; a sixtieth until it is known.
    #[must_use]
    pub fn period_s(&self) -> f64 {
        self.rate_hz().map_or(ASSUMED_S, |rate_hz| 1.0 / rate_hz)
    }

    /// Frames that were missed.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.missed
    }

    /// When the next frame may begin so that there are no more than `rate_max_hz` in a second.
    #[must_use]
    pub fn not_before(&self, rate_max_hz: f64) -> Option<MonoTime> {
        let step_ns = (1e9 / rate_max_hz) as u64;
        self.last
            .map(|last| MonoTime::from_nanos(last.as_nanos() + step_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ms(ms: f64) -> MonoTime {
        MonoTime::from_nanos((ms * 1e6) as u64)
    }

    #[test]
    fn the_rate_is_that_of_the_median_and_a_pause_on_purpose_is_no_frame() {
        let mut pace = Pace::default();
        let mut ms = 0.0;
        for frame in 0..60 {
            // The first frame and the one after the pause measure nothing.
            assert_eq!(pace.rate_hz().is_some(), frame > ENOUGH + 1, "{frame}");
            pace.frame(at_ms(ms), frame != 30, true);
            // A minute's pause before frame 30, a hiccup now and then.
            ms += match frame {
                29 => 60_000.0,
                7 | 14 | 21 => 45.0,
                _ => 20.0,
            };
        }
        assert!((pace.rate_hz().unwrap() - 50.0).abs() < 1e-6);
        assert!((pace.period_s() - 0.02).abs() < 1e-9);
        assert_eq!(pace.missed(), 0, "nothing is late before the rate is known");
    }

    #[test]
    fn frames_that_come_a_turn_late_are_counted_where_it_matters() {
        let mut pace = Pace::default();
        for frame in 0..60 {
            pace.frame(at_ms(f64::from(frame) * 20.0), true, true);
        }
        pace.frame(at_ms(1_180.0 + 29.0), true, true);
        assert_eq!(pace.missed(), 0, "less than half a frame late");
        pace.frame(at_ms(1_209.0 + 80.0), true, true);
        assert_eq!(pace.missed(), 3);
        pace.frame(at_ms(1_289.0 + 80.0), true, false);
        assert_eq!(pace.missed(), 3);
    }

    #[test]
    fn another_rate_is_noticed_and_not_believed_before_it_was_measured_anew() {
        for (first_ms, then_ms, changes) in [
            (16.7, 33.3, 1),
            (16.7, 6.9, 1),
            (20.0, 40.0, 1),
            (16.7, 17.5, 0),
        ] {
            let mut pace = Pace::default();
            let mut ms = 0.0;
            let mut frames = |pace: &mut Pace, count: usize, step_ms: f64| {
                for _ in 0..count {
                    // Now and then one is late, which is no other rate.
                    ms += step_ms;
                    pace.frame(at_ms(ms), true, false);
                }
            };
            frames(&mut pace, 200, first_ms);
            frames(&mut pace, 6, 3.0 * first_ms);
            frames(&mut pace, 60, first_ms);
            assert_eq!(pace.changes(), 0);
            let mut until_noticed = 0;
            while pace.changes() < changes && until_noticed < RECENT {
                frames(&mut pace, 1, then_ms);
                until_noticed += 1;
            }
            assert_eq!(pace.changes(), changes);
            if changes == 1 {
                assert_eq!(pace.rate_hz(), None);
                assert!(until_noticed < RECENT, "{until_noticed}");
                frames(&mut pace, ENOUGH, then_ms);
                assert!((pace.rate_hz().unwrap() - 1e3 / then_ms).abs() < 0.01);
            }
        }
    }

    #[test]
    fn a_display_without_a_pace_of_its_own_is_held_to_a_limit() {
        let mut pace = Pace::default();
        assert_eq!(pace.not_before(50.0), None);
        pace.frame(at_ms(3.0), true, false);
        assert_eq!(pace.not_before(50.0), Some(at_ms(23.0)));
    }
}
