//! This person's own baseline of an index, and how surely the index has moved away from it.
//!
//! Windows that overlap, and a brain whose rhythms wax and wane over seconds, make neighbouring values of an index alike: a minute of
//! them says less than sixty independent values would. Everything here counts *effectively independent* values.

use super::student::student_cdf;

/// Fewest values a baseline is taken from.
pub const BASELINE_MIN: usize = 20;
/// Fewest recent values that are compared with it.
pub const RECENT_MIN: usize = 10;

/// Mean, spread and dependence of an index while the person was fresh.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Baseline {
    /// Mean.
    pub mean: f64,
    /// Standard deviation of single values.
    pub sd: f64,
    /// Values it was taken from.
    pub n: usize,
    /// Values that weigh as much as one independent one: the integrated autocorrelation time, in values.
    pub dependence: f64,
}

/// How far an index lies from the baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Deviation {
    /// In standard deviations of single baseline values; positive above.
    pub z: f64,
    /// Probability that it has truly risen, 0 to 1; near 0 it has as surely fallen.
    pub risen: f64,
}

impl Baseline {
    /// Takes the baseline of values in order of time, neighbours `overlap` values apart sharing no sample. `None` below
    /// [`BASELINE_MIN`] values, for values that are not finite, or without any spread.
    ///
    /// The dependence is `1 + 2 sum_k (1 - k / n) r_k` (Bayley & Hammersley 1946, J. R. Stat. Soc. Suppl. 8:184), `r_k` the
    /// autocorrelation at lag `k`, summed while the sums of neighbouring pairs are positive (Geyer 1992, Stat. Sci. 7:473) and up
    /// to a quarter of the values. The mean, taken from the same values, lowers every covariance by about the dependence times the
    /// variance over `n`: that is put back in a second pass over the same lags, and in the standard deviation. The dependence is never
    /// taken below `overlap + 1` nor above half the values. Does not allocate.
    #[must_use]
    pub fn of(values: &[f64], overlap: usize) -> Option<Self> {
        let n = values.len();
        if n < BASELINE_MIN {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let covariance = |lag: usize| {
            let products = values.iter().zip(values.iter().skip(lag));
            products.map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / n as f64
        };
        let variance = covariance(0);
        if !(mean.is_finite() && variance.is_finite() && variance > 0.0) {
            return None;
        }
        let least = (overlap + 1) as f64;
        // What the mean took out of every covariance is not known before the dependence is: once without it, once with it.
        let mut dependence = 1.0;
        let mut lags = 0;
        for taken in [0.0, 1.0] {
            let lost = taken * dependence * variance / n as f64;
            let term = |lag: usize| {
                let weight = 1.0 - lag as f64 / n as f64;
                weight * (covariance(lag) + lost) / (variance + lost)
            };
            let mut sum = 0.0;
            for lag in (0..=n / 4).step_by(2) {
                let pair = term(lag) + term(lag + 1);
                let over = if lost > 0.0 { lag >= lags } else { pair <= 0.0 };
                if over {
                    break;
                }
                lags = lags.max(lag + 2);
                sum += pair;
            }
            // The first pair holds lag 0, which counts once.
            dependence = (2.0 * sum - 1.0).max(least).min(n as f64 / 2.0);
        }
        let sd = (variance * (1.0 + dependence / n as f64)).sqrt();
        Some(Self {
            mean,
            sd,
            n,
            dependence,
        })
    }

    /// Where `n` recent values with this mean lie. `None` below [`RECENT_MIN`] values or for a mean that is not finite.
    ///
    /// The statistic is `(recent - mean) / (sd sqrt(d / n0 + d / n))` with the dependence `d`, at least one independent value on
    /// either side; its distribution under no change is taken as Student's t with `n0 / d - 1` degrees of freedom (at least 1),
    /// as the spread is that of the baseline. Assumes that spread and dependence stay what they were.
    #[must_use]
    pub fn compare(&self, recent: f64, n: usize) -> Option<Deviation> {
        if n < RECENT_MIN {
            return None;
        }
        let before = (self.n as f64 / self.dependence).max(1.0);
        let now = (n as f64 / self.dependence).max(1.0);
        let z = (recent - self.mean) / self.sd;
        let t = z / (1.0 / before + 1.0 / now).sqrt();
        let risen = student_cdf(t, (before - 1.0).max(1.0))?;
        Some(Deviation { z, risen })
    }
}

/// How far a count lies from a baseline of counts.
///
/// Square roots make the variance of a count independent of its size: `2 sqrt(k + 3/8)` has variance 1 (Anscombe 1948, Biometrika
/// 35:246), and `2 (sqrt(k + 3/8) - sqrt(d (K + 3/8))) / sqrt(1 + d)`, `d` the ratio of the times, compares two of them (Huffman
/// 1984, Appl. Stat. 33:224). Events that come in clusters spread more than Poisson's: everything is divided by
/// `sqrt(dispersion)`, the variance over the mean of the counts in the baseline's slots, never below 1. Student's t with `slots - 1`
/// degrees of freedom, as the dispersion was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CountBaseline {
    /// Events.
    pub events: u32,
    /// How long was looked, seconds.
    pub seconds: f64,
    /// Variance over mean of the counts in slots, at least 1.
    pub dispersion: f64,
    /// Slots.
    pub slots: usize,
}

impl CountBaseline {
    /// Where `events` in `seconds` lie. `None` for a time that is not positive or fewer than 3 slots.
    #[must_use]
    pub fn compare(&self, events: u32, seconds: f64) -> Option<Deviation> {
        if self.slots < 3 || !(seconds > 0.0 && self.seconds > 0.0) {
            return None;
        }
        let d = seconds / self.seconds;
        let root = |count: f64| 2.0 * (count + 0.375).sqrt();
        let scale = self.dispersion.max(1.0).sqrt();
        let t = (root(f64::from(events)) - d.sqrt() * root(f64::from(self.events)))
            / (1.0 + d).sqrt()
            / scale;
        let z = (root(f64::from(events)) - root(f64::from(self.events) * d)) / scale;
        let risen = student_cdf(t, (self.slots - 1) as f64)?;
        Some(Deviation { z, risen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reproducible numbers in -1..1 that look like noise.
    fn noise(n: usize) -> Vec<f64> {
        let mut state = 12_345_u64;
        (0..n)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
            })
            .collect()
    }

    #[test]
    fn values_that_follow_each_other_weigh_less() {
        let white = noise(40_000);
        let mut before = 0.0;
        let chained: Vec<f64> = white
            .iter()
            .map(|x| {
                before = 0.8 * before + x;
                before
            })
            .collect();
        let of_white = Baseline::of(&white, 0).unwrap().dependence;
        let of_chained = Baseline::of(&chained, 0).unwrap().dependence;
        // (1 + rho) / (1 - rho) of a first-order chain is 9.
        assert!((of_white - 1.0).abs() < 0.1, "{of_white}");
        assert!((of_chained - 9.0).abs() < 1.0, "{of_chained}");
    }

    #[test]
    fn the_same_shift_is_less_sure_when_values_depend_on_each_other() {
        let baseline = |dependence| Baseline {
            mean: 0.0,
            sd: 1.0,
            n: 120,
            dependence,
        };
        let sure = baseline(4.0).compare(0.6, 60).unwrap();
        let less = baseline(20.0).compare(0.6, 60).unwrap();
        assert_eq!(sure.z, less.z);
        assert!(sure.risen > 0.95 && less.risen < 0.9, "{sure:?} {less:?}");
        let fallen = baseline(4.0).compare(-0.6, 60).unwrap();
        assert!((fallen.risen + sure.risen - 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_known_is_no_number() {
        assert_eq!(Baseline::of(&[1.0; 100], 3), None);
        assert_eq!(Baseline::of(&noise(BASELINE_MIN - 1), 3), None);
        let mut broken = noise(100);
        broken[7] = f64::NAN;
        assert_eq!(Baseline::of(&broken, 3), None);
        let baseline = Baseline::of(&noise(100), 3).unwrap();
        assert_eq!(baseline.compare(0.1, RECENT_MIN - 1), None);
        assert_eq!(baseline.compare(f64::NAN, 50), None);
    }

    #[test]
    fn counts_are_compared_at_equal_times() {
        let baseline = CountBaseline {
            events: 10,
            seconds: 120.0,
            dispersion: 1.0,
            slots: 12,
        };
        let same = baseline.compare(5, 60.0).unwrap();
        assert!(same.risen > 0.4 && same.risen < 0.65, "{same:?}");
        assert!(baseline.compare(16, 60.0).unwrap().risen > 0.99);
        let clustered = CountBaseline {
            dispersion: 6.0,
            ..baseline
        };
        assert!(clustered.compare(16, 60.0).unwrap().risen < 0.95);
        assert_eq!(baseline.compare(3, 0.0), None);
        assert_eq!(
            CountBaseline {
                slots: 2,
                ..baseline
            }
            .compare(3, 60.0),
            None
        );
    }
}
