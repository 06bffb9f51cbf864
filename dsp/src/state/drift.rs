//! Drift of the P300's amplitude: what attended flashes score now, against what they scored in calibration.

use super::student::student_cdf;
use crate::error::{DspError, parameter};
use crate::queue::FixedQueue;

/// Forks that are remembered; those beyond weigh nothing any more.
pub const FORKS_MAX: usize = 1_024;
/// Forks at the beginning of a sitting against which a change is told.
pub const BASELINE_FORKS: usize = 10;
/// Effectively counted forks from which a drift is told.
pub const FORKS_MIN: f64 = 6.0;
/// Flashes of the chosen option, over all remembered forks, from which a drift is told.
pub const TARGETS_MIN: u32 = 6;

/// The flashes of one fork whose choice was confirmed: sums of standardised scores.
///
/// A standardised score is `(score - other) / (target - other)` with the centres of the calibration's class densities: 0 is
/// what a flash of another item scored then, 1 what a flash of the attended one did.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct AttendedFork {
    /// Flashes of the option that was chosen.
    pub targets: u32,
    /// Sum of their standardised scores.
    pub target_sum: f64,
    /// Flashes of every other item.
    pub others: u32,
    /// Sum of theirs.
    pub other_sum: f64,
}

impl AttendedFork {
    /// Adds a flash. A score that is not finite is left out.
    pub fn add(&mut self, chosen: bool, standardised: f64) {
        if !standardised.is_finite() {
            return;
        }
        let (count, sum) = if chosen {
            (&mut self.targets, &mut self.target_sum)
        } else {
            (&mut self.others, &mut self.other_sum)
        };
        *count += 1;
        *sum += standardised;
    }
}

/// How the response stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// Amplitude as a share of the calibration's: 1 is the same.
    pub amplitude: f64,
    /// Standard error of that, the calibration's own error included.
    pub se: f64,
    /// Forks it effectively rests on.
    pub forks: f64,
    /// Against the first forks of the sitting; `None` until there are enough forks after them.
    pub since: Option<Since>,
}

/// How the response has changed since the first forks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Since {
    /// Amplitude at the first forks, as a share of the calibration's.
    pub baseline: f64,
    /// Change since then in its standard errors.
    pub z: f64,
    /// Probability that the amplitude has truly fallen, 0 to 1.
    pub fallen: f64,
}

/// Weighted amplitude over the latest forks, and its change since the first ones.
///
/// Each fork weighs `2^(-age / half_life)`, its age in forks. The amplitude is the weighted mean score of chosen flashes less
/// that of the others. Flashes of one fork share the person's attention at that moment and overlap in time, so the standard error
/// takes the fork as the unit: `SE^2 = G / (G - 1) sum_f psi_f^2`, `psi_f` the fork's influence on the difference of the weighted means
/// (the sandwich estimator for clusters of Liang & Zeger 1986, Biometrika 73:13) and `G = (sum w)^2 / sum w^2` (Kish 1965).
///
/// The calibration is the unit, but not what a change is judged against: at a fork the first flashes come while the person still
/// decides, and the choice itself was made from these scores, so even a fresh person's amplitude differs from the cued one. A change is
/// told against the first [`BASELINE_FORKS`] forks, in which all that was the same: the difference over the root of both squared
/// errors, Student's t with `min(G) - 1` degrees of freedom.
#[derive(Debug, Clone)]
pub struct AmplitudeDrift {
    keep: f64,
    reference_se: f64,
    first: FixedQueue<AttendedFork>,
    forks: FixedQueue<AttendedFork>,
}

impl AmplitudeDrift {
    /// Remembers nothing yet. `half_life` in forks, 1..=200; `reference_se` the standard error of the calibration's amplitude,
    /// as a share of it, 0..=100.
    ///
    /// # Errors
    /// [`DspError::Parameter`] for a number out of range.
    pub fn new(half_life: f64, reference_se: f64) -> Result<Self, DspError> {
        parameter("half-life in forks", half_life, 1.0, 200.0)?;
        parameter("error of the reference", reference_se, 0.0, 100.0)?;
        Ok(Self {
            keep: (-1.0 / half_life).exp2(),
            reference_se,
            first: FixedQueue::new(BASELINE_FORKS)?,
            forks: FixedQueue::new(FORKS_MAX)?,
        })
    }

    /// As new.
    pub fn reset(&mut self) {
        self.first.reset();
        self.forks.reset();
    }

    /// Takes the flashes of a fork. One without a flash of its choice, or with sums that are not finite, says nothing and is left
    /// out.
    pub fn push(&mut self, fork: AttendedFork) {
        let finite = fork.target_sum.is_finite() && fork.other_sum.is_finite();
        if !finite || fork.targets == 0 {
            return;
        }
        if self.first.len() < BASELINE_FORKS {
            // There is room.
            let _ = self.first.push(fork);
            return;
        }
        if self.forks.len() == FORKS_MAX {
            self.forks.pop();
        }
        // There is room: the oldest has just gone.
        let _ = self.forks.push(fork);
    }

    /// How the response stands; `None` before there are enough forks.
    #[must_use]
    pub fn drift(&self) -> Option<Drift> {
        let latest = self.of_latest();
        let (amplitude, se, forks) = match latest {
            Some(latest) => latest,
            None => amplitude_of(|| self.first.iter().map(|fork| (fork, 1.0)))?,
        };
        let since = latest.and_then(|(now, now_se, now_forks)| {
            let (baseline, se, forks) = amplitude_of(|| self.first.iter().map(|f| (f, 1.0)))?;
            let z = (now - baseline) / (se * se + now_se * now_se).sqrt();
            let fallen = 1.0 - student_cdf(z, forks.min(now_forks) - 1.0)?;
            Some(Since {
                baseline,
                z,
                fallen,
            })
        });
        Some(Drift {
            amplitude,
            se: se.hypot(self.reference_se),
            forks,
            since,
        })
    }

    /// Of the forks after the first ones.
    fn of_latest(&self) -> Option<(f64, f64, f64)> {
        amplitude_of(|| {
            // At most FORKS_MAX.
            let ages = (0..self.forks.len() as i32).rev();
            let weights = ages.map(|age| self.keep.powi(age));
            self.forks.iter().zip(weights)
        })
    }
}

/// Amplitude, its standard error, and the forks it effectively rests on.
fn amplitude_of<'a, I: Iterator<Item = (&'a AttendedFork, f64)>>(
    weighed: impl Fn() -> I,
) -> Option<(f64, f64, f64)> {
    let mut sums = Sums::default();
    for (fork, w) in weighed() {
        sums.add(fork, w);
    }
    let forks = sums.weight * sums.weight / sums.weight_squared;
    if sums.flashes < TARGETS_MIN || sums.others <= 0.0 || forks.is_nan() || forks < FORKS_MIN {
        return None;
    }
    let target = sums.target_sum / sums.targets;
    let other = sums.other_sum / sums.others;
    let squares: f64 = weighed()
        .map(|(fork, w)| {
            let of_targets = fork.target_sum - f64::from(fork.targets) * target;
            let of_others = fork.other_sum - f64::from(fork.others) * other;
            let influence = w * (of_targets / sums.targets - of_others / sums.others);
            influence * influence
        })
        .sum();
    let se = (squares * forks / (forks - 1.0)).sqrt();
    let amplitude = target - other;
    (amplitude.is_finite() && se.is_finite()).then_some((amplitude, se, forks))
}

/// Weighted sums over forks.
#[derive(Default)]
struct Sums {
    weight: f64,
    weight_squared: f64,
    flashes: u32,
    targets: f64,
    target_sum: f64,
    others: f64,
    other_sum: f64,
}

impl Sums {
    fn add(&mut self, fork: &AttendedFork, w: f64) {
        self.weight += w;
        self.weight_squared += w * w;
        self.flashes += fork.targets;
        self.targets += w * f64::from(fork.targets);
        self.target_sum += w * fork.target_sum;
        self.others += w * f64::from(fork.others);
        self.other_sum += w * fork.other_sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fork(target: f64, other: f64) -> AttendedFork {
        let mut fork = AttendedFork::default();
        for _ in 0..2 {
            fork.add(true, target);
        }
        for _ in 0..8 {
            fork.add(false, other);
        }
        fork
    }

    #[test]
    fn a_response_that_halves_is_found_and_an_unchanged_one_is_not() {
        let mut drift = AmplitudeDrift::new(10.0, 0.05).unwrap();
        for n in 0..30 {
            let wobble = if n % 2 == 0 { 0.3 } else { -0.3 };
            drift.push(fork(1.0 + wobble, 0.05 * wobble));
        }
        let steady = drift.drift().unwrap();
        assert!((steady.amplitude - 1.0).abs() < 0.1, "{steady:?}");
        let since = steady.since.unwrap();
        assert!((since.baseline - 1.0).abs() < 0.1, "{steady:?}");
        assert!(since.fallen > 0.1 && since.fallen < 0.9, "{steady:?}");
        for n in 0..30 {
            let wobble = if n % 2 == 0 { 0.3 } else { -0.3 };
            drift.push(fork(0.5 + wobble, 0.0));
        }
        let weaker = drift.drift().unwrap();
        assert!(
            weaker.amplitude < 0.65 && weaker.since.unwrap().fallen > 0.99,
            "{weaker:?}"
        );
    }

    #[test]
    fn with_equal_weights_the_error_is_that_of_a_mean_of_forks() {
        // One target and one other flash in each fork, hardly any forgetting: the plain standard error of a mean.
        let mut drift = AmplitudeDrift::new(200.0, 0.0).unwrap();
        let values = [0.2, 1.9, 0.7, 1.4, 1.1, 0.6, 1.3, 0.8];
        for value in values {
            let mut one = AttendedFork::default();
            one.add(true, value);
            one.add(false, 0.0);
            drift.push(one);
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let got = drift.drift().unwrap();
        assert!((got.amplitude - mean).abs() < 0.01);
        assert!(
            (got.se - (variance / n).sqrt()).abs() < 0.01 * got.se,
            "{got:?}"
        );
        assert!((got.forks - n).abs() < 0.01);
    }

    #[test]
    fn before_there_is_enough_nothing_is_known() {
        let mut drift = AmplitudeDrift::new(20.0, 0.1).unwrap();
        assert_eq!(drift.drift(), None);
        for _ in 0..5 {
            drift.push(fork(1.0, 0.0));
        }
        assert_eq!(drift.drift(), None);
        for _ in 0..40 {
            // Forks without a flash of the choice do not count.
            drift.push(AttendedFork {
                others: 5,
                ..AttendedFork::default()
            });
        }
        assert_eq!(drift.drift(), None);
        for value in [0.9, 1.1, 1.0, 0.8] {
            drift.push(fork(value, 0.0));
        }
        assert_eq!(drift.drift().map(|drift| drift.since), Some(None));
        drift.push(AttendedFork {
            targets: 1,
            target_sum: f64::NAN,
            ..AttendedFork::default()
        });
        assert!(drift.drift().is_some());
        drift.reset();
        assert_eq!(drift.drift(), None);
    }

    #[test]
    fn a_session_of_any_length_stays_bounded() {
        let mut drift = AmplitudeDrift::new(20.0, 0.1).unwrap();
        for n in 0..3 * FORKS_MAX {
            drift.push(fork(if n % 2 == 0 { 1.2 } else { 0.8 }, 0.0));
        }
        let got = drift.drift().unwrap();
        assert!(
            (got.amplitude - 1.0).abs() < 0.05 && got.forks < 80.0,
            "{got:?}"
        );
    }
}
