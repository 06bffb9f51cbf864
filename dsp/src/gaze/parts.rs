//! A fixation in parts, each at one place.
//!
//! A slow or noisy tracker does not show every small saccade, so that fixations of reading, a word apart, become one long fixation that
//! wanders. Who asks where the eye *stays* must not take it for one: so the mean of the samples since the last look is compared with the
//! middle of those before.

use super::Fixation;
use crate::error::{DspError, parameter};

/// Fewer samples than make up this time do not say that the eye has gone elsewhere, seconds.
const LEAST_S: f64 = 0.025;

/// Cuts fixations where the eye has gone elsewhere within them.
#[derive(Debug, Clone, PartialEq)]
pub struct FixationParts {
    reach_deg: f64,
    number: Option<u64>,
    /// All samples before the present part, and all that were looked at.
    before: Sums,
    seen: Sums,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Sums {
    n: u64,
    x_deg: f64,
    y_deg: f64,
    dwell_s: f64,
    last_s: f64,
}

impl Sums {
    fn of(f: &Fixation) -> Self {
        let n = f.n as f64;
        Self {
            n: f.n,
            x_deg: n * f.x_deg,
            y_deg: n * f.y_deg,
            dwell_s: f.dwell_s,
            last_s: f.last_s,
        }
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            n: self.n.saturating_sub(before.n),
            x_deg: self.x_deg - before.x_deg,
            y_deg: self.y_deg - before.y_deg,
            dwell_s: self.dwell_s - before.dwell_s,
            last_s: self.last_s,
        }
    }

    /// The middle; `None` of no samples.
    fn middle(&self) -> Option<[f64; 2]> {
        let n = self.n as f64;
        (self.n > 0).then(|| [self.x_deg / n, self.y_deg / n])
    }
}

impl FixationParts {
    /// Parts end where the eye is farther than `reach_deg` from their middle, 0.1 to 90 degrees.
    ///
    /// # Errors
    /// [`DspError::Parameter`] for a reach out of range.
    pub fn new(reach_deg: f64) -> Result<Self, DspError> {
        Ok(Self {
            reach_deg: parameter("reach of a part of a fixation in deg", reach_deg, 0.1, 90.0)?,
            number: None,
            before: Sums::default(),
            seen: Sums::default(),
        })
    }

    /// Nothing was seen.
    pub fn reset(&mut self) {
        self.number = None;
    }

    /// Looks at a fixation, as it is going on or over: the part that ended within it since the last look, if one did, and the present
    /// part. The dispersion of both is that of the whole.
    pub fn follow(&mut self, fixation: &Fixation) -> (Option<Fixation>, Fixation) {
        let now = Sums::of(fixation);
        if self.number != Some(fixation.number) || now.n < self.seen.n {
            self.number = Some(fixation.number);
            (self.before, self.seen) = (Sums::default(), Sums::default());
        }
        let (part, new) = (self.seen.since(&self.before), now.since(&self.seen));
        let mut over = None;
        if let (Some(was), Some(is)) = (part.middle(), new.middle()) {
            if new.dwell_s < LEAST_S {
                // Too few: they wait for the next look.
                return (None, self.part(fixation, &now));
            }
            if (is[0] - was[0]).hypot(is[1] - was[1]) > self.reach_deg {
                over = Some(self.part(fixation, &self.seen));
                self.before = self.seen;
            }
        }
        self.seen = now;
        (over, self.part(fixation, &now))
    }

    /// What of a fixation lies between the present part's beginning and `until`.
    fn part(&self, whole: &Fixation, until: &Sums) -> Fixation {
        let part = until.since(&self.before);
        let [x_deg, y_deg] = part.middle().unwrap_or([whole.x_deg, whole.y_deg]);
        let is_first = self.before.n == 0;
        Fixation {
            onset_s: if is_first {
                whole.onset_s
            } else {
                self.before.last_s
            },
            last_s: part.last_s,
            x_deg,
            y_deg,
            n: part.n,
            dwell_s: part.dwell_s,
            ..*whole
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at a fixation every 40 ms that is at `places` for `each_s` one after the other, 60 samples a second; the parts that end.
    fn parts(places: &[f64], each_s: f64) -> Vec<Fixation> {
        let mut parts = FixationParts::new(1.2).unwrap();
        let period_s = 1.0 / 60.0;
        let (mut sum, mut n, mut found) = (0.0, 0, Vec::new());
        let mut latest = None;
        for place in places {
            for _ in 0..(each_s / period_s).round() as u64 {
                sum += place;
                n += 1;
                let fixation = Fixation {
                    number: 3,
                    onset_s: 1.0,
                    last_s: 1.0 + (n - 1) as f64 * period_s,
                    emit_s: 1.0 + n as f64 * period_s,
                    x_deg: sum / n as f64,
                    y_deg: 2.0,
                    dispersion_deg: 0.1,
                    n,
                    dwell_s: n as f64 * period_s,
                };
                if n % 2 == 0 {
                    let (over, part) = parts.follow(&fixation);
                    found.extend(over);
                    latest = Some(part);
                }
            }
        }
        found.extend(latest);
        found
    }

    #[test]
    fn words_that_the_tracker_runs_together_are_told_apart() {
        let parts = parts(&[0.0, 2.4, 4.8], 0.2);
        assert_eq!(parts.len(), 3);
        let places = [0.0, 2.4, 4.8];
        for (part, place) in parts.iter().zip(places) {
            assert!((part.x_deg - place).abs() < 1e-9 && (part.y_deg - 2.0).abs() < 1e-9);
            assert!((part.dwell_s - 0.2).abs() < 1e-9, "{part:?}");
        }
        assert_eq!(parts[0].onset_s, 1.0);
        assert!((parts[1].onset_s - parts[0].last_s).abs() < 1e-9);
    }

    #[test]
    fn who_stays_is_in_one_part_and_so_is_who_strays_a_little() {
        let one = parts(&[1.0, 1.5, 0.7, 1.2], 0.3);
        assert_eq!(one.len(), 1);
        assert_eq!((one[0].n, one[0].onset_s), (72, 1.0));
        assert!((one[0].dwell_s - 1.2).abs() < 1e-9);
    }

    #[test]
    fn slow_drift_is_cut_as_soon_as_it_has_left_the_middle() {
        let drift: Vec<f64> = (0..60).map(|k| f64::from(k) * 0.1).collect();
        let parts = parts(&drift, 0.034);
        assert!(parts.len() >= 2, "{parts:?}");
        assert!(parts.iter().all(|part| part.n > 2), "{parts:?}");
    }

    #[test]
    fn few_samples_at_the_end_wait_and_another_fixation_begins_anew() {
        let mut parts = FixationParts::new(1.2).unwrap();
        let fixation = |number, n: u64, x_deg, dwell_s| Fixation {
            number,
            onset_s: 0.0,
            last_s: dwell_s,
            emit_s: dwell_s,
            x_deg,
            y_deg: 0.0,
            dispersion_deg: 0.0,
            n,
            dwell_s,
        };
        assert_eq!(parts.follow(&fixation(0, 100, 0.0, 0.2)).0, None);
        // Two samples of a saccade, far away: their time is too short to say anything.
        let (over, part) = parts.follow(&fixation(0, 102, 8.0 / 51.0, 0.204));
        assert_eq!((over, part.n), (None, 102));
        let (over, part) = parts.follow(&fixation(1, 20, 9.0, 0.04));
        assert_eq!((over, part), (None, fixation(1, 20, 9.0, 0.04)));
        assert!(FixationParts::new(f64::NAN).is_err());
    }
}
