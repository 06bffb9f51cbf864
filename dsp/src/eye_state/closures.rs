//! Times in which the eye is shut, or not seen.

use crate::units::Hertz;

/// Shorter closures are gaps of the tracker, seconds.
pub const BLINK_MIN_S: f64 = 0.075;
/// Longer ones are no blinks, seconds.
pub const BLINK_MAX_S: f64 = 0.500;
/// An eye that is not seen for longer is away: nothing is counted, seconds.
pub const AWAY_S: f64 = 10.0;
/// A lid this far down shuts the eye, as a share of its open level.
const HALF: f64 = 0.5;
/// PERCLOS counts from 80 % down.
const P80: f64 = 0.2;
/// The open level is this quantile of the opening.
const OPEN_QUANTILE: f64 = 0.9;
/// Time constant of the open level, seconds.
const LEVEL_S: f64 = 20.0;

/// What the lid did at a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lid {
    /// Half down or more, or the eye is not seen.
    pub closed: bool,
    /// At least 80 % down; without a measured opening the same as `closed`.
    pub shut: bool,
}

/// The open level of a lid: a running quantile of its opening, by steps in proportion to the level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LidLevel {
    step: f64,
    level: Option<f64>,
    seen: Option<bool>,
}

impl LidLevel {
    /// For a stream of this rate.
    #[must_use]
    pub fn new(rate: Hertz) -> Self {
        Self {
            step: (1.0 / (LEVEL_S * rate.get())).min(0.1),
            level: None,
            seen: None,
        }
    }

    /// As new.
    pub fn reset(&mut self) {
        (self.level, self.seen) = (None, None);
    }

    /// Whether closures rest on a measured opening; `None` before the first sample.
    #[must_use]
    pub fn is_measured(&self) -> Option<bool> {
        self.seen
    }

    /// Judges a sample: by its opening where there is one, else by whether the eye was lost.
    pub fn judge(&mut self, openness: Option<f64>, lost: bool) -> Lid {
        self.seen = Some(self.seen == Some(true) || openness.is_some_and(f64::is_finite));
        let Some(openness) = openness.filter(|openness| openness.is_finite() && *openness >= 0.0)
        else {
            return Lid {
                closed: lost,
                shut: lost,
            };
        };
        let level = self.level.get_or_insert(openness);
        let (closed, shut) = (openness < HALF * *level, openness <= P80 * *level);
        // A lid that is half down says nothing of how far it opens.
        if !closed {
            let up = openness > *level;
            let share = if up {
                OPEN_QUANTILE
            } else {
                OPEN_QUANTILE - 1.0
            };
            // From nothing it has to grow, too.
            *level += 4.0 * self.step * share * level.max(openness);
        }
        Lid { closed, shut }
    }
}

/// An eye was shut, or not seen, and is seen again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Closure {
    /// Stamp of the first sample, seconds.
    pub onset_s: f64,
    /// Up to the first sample with an open eye, seconds.
    pub length_s: f64,
    /// Of that at least 80 % down, seconds.
    pub shut_s: f64,
}

impl Closure {
    /// Whether it has the length of a blink.
    #[must_use]
    pub fn is_blink(&self) -> bool {
        (BLINK_MIN_S..=BLINK_MAX_S).contains(&self.length_s)
    }
}

/// Finds closures that have an open eye before and after.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ClosureFinder {
    open_before: bool,
    shut_before: bool,
    now: Option<Closure>,
}

impl ClosureFinder {
    /// Nothing known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As new.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Whether the eye is shut now.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.now.is_some()
    }

    /// Takes the lid at a stamp, `passed_s` after the sample before. The closure comes with the first sample of an open eye.
    pub fn push(&mut self, t_s: f64, passed_s: f64, lid: Lid) -> Option<Closure> {
        // The time up to this sample is what the sample before said.
        if let Some(now) = &mut self.now {
            now.length_s += passed_s;
            now.shut_s += if self.shut_before { passed_s } else { 0.0 };
        }
        self.shut_before = lid.shut;
        if lid.closed {
            self.now.get_or_insert(Closure {
                onset_s: t_s,
                length_s: 0.0,
                shut_s: 0.0,
            });
            return None;
        }
        let closure = self.now.take().filter(|_| self.open_before);
        self.open_before = true;
        closure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(lids: &[(f64, bool, bool)]) -> Vec<Closure> {
        let mut finder = ClosureFinder::new();
        let mut last = None;
        let mut found = Vec::new();
        for (t_s, closed, shut) in lids {
            let passed_s = last.map_or(0.0, |last| t_s - last);
            last = Some(*t_s);
            let lid = Lid {
                closed: *closed,
                shut: *shut,
            };
            found.extend(finder.push(*t_s, passed_s, lid));
        }
        found
    }

    #[test]
    fn a_closure_lasts_until_the_eye_is_seen_again_and_needs_an_open_eye_before() {
        let lids = [
            (0.0, true, true),
            (0.5, false, false),
            (1.0, true, false),
            (1.25, true, true),
            (1.5, false, false),
        ];
        let found = run(&lids);
        assert_eq!(
            found,
            [Closure {
                onset_s: 1.0,
                length_s: 0.5,
                shut_s: 0.25
            }]
        );
        assert!(found[0].is_blink());
    }

    #[test]
    fn the_open_level_follows_the_unit_of_the_stream() {
        let mut level = LidLevel::new(Hertz::new(100.0).unwrap());
        for n in 0..10_000 {
            // Millimetres, with blinks.
            let openness = if n % 400 < 15 { 0.5 } else { 9.0 };
            level.judge(Some(openness), false);
        }
        let at = |level: &mut LidLevel, openness| level.judge(Some(openness), false);
        assert!(at(&mut level, 1.0).shut && at(&mut level, 3.0).closed);
        assert!(!at(&mut level, 3.0).shut && !at(&mut level, 6.0).closed);
        assert_eq!(level.is_measured(), Some(true));
        // A sample without an opening is judged by the tracker's loss.
        assert!(level.judge(Some(f64::NAN), true).shut);
        assert_eq!(
            LidLevel::new(Hertz::new(100.0).unwrap()).is_measured(),
            None
        );
    }
}
