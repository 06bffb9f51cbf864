//! Has a value left its course?

/// Standardised departures are cut here: a single one is no drift.
const DEPARTURE_MAX: f64 = 3.0;
/// The sum is never larger than so many times the limit, so that it comes down soon when a departure ends.
const SUM_MAX: f64 = 1.5;
/// From this share of the limit on it stirs: what comes is judged, and no longer learnt from.
const STIRS: f64 = 0.5;

/// Says when a value has left, upwards, the course that it has taken so far: its mean, or its straight line over time.
///
/// Each value is foretold from all values before it by least squares. The *recursive residual* (Brown, Durbin & Evans 1975, J. R.
/// Stat. Soc. B 37:149, eq. 2), the error over its standard deviation `s sqrt(1 + x' (X'X)^-1 x)`, is near a standard normal number
/// as long as the course holds, whatever mean, slope and spread are; `s` comes from the residuals before, as in the
/// self-starting scheme of Hawkins 1987 (Statistician 36:299). They are cut at 3 and summed as by Page 1954 (Biometrika 41:100):
/// `S = max(0, S + w - slack)`. It has left when `S` reaches the limit. With a slack of 0.5 and a limit of 4, independent normal
/// values come there falsely once in some 340 (Siegmund's approximation, Ann. Stat. 13:1985), values that follow each other
/// sooner: they have to lie apart. After least values the sum begins.
///
/// While the sum stirs (half its limit), nothing is learnt: a departure that lasts does not become the course by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Course {
    over_time: bool,
    least: u32,
    slack: f64,
    limit: f64,
    n: u32,
    mean_t: f64,
    mean_y: f64,
    tt: f64,
    ty: f64,
    /// Sum of squared recursive residuals, not yet over `s`, and how many.
    squares: f64,
    residuals: u32,
    sum: f64,
}

impl Course {
    /// One that has seen nothing. `over_time`: foretold by a straight line, else by the mean. Nothing is said before `least` values
    /// (taken as 4 at least); `slack` and `limit` in standard deviations, above 0.
    #[must_use]
    pub fn new(over_time: bool, least: u32, slack: f64, limit: f64) -> Self {
        Self {
            over_time,
            least: least.max(4),
            slack,
            limit,
            n: 0,
            mean_t: 0.0,
            mean_y: 0.0,
            tt: 0.0,
            ty: 0.0,
            squares: 0.0,
            residuals: 0,
            sum: 0.0,
        }
    }

    /// Takes a value at a time. What is not finite is passed over.
    pub fn push(&mut self, t: f64, y: f64) {
        if !(t.is_finite() && y.is_finite()) {
            return;
        }
        if let Some(residual) = self.residual(t, y) {
            if self.n >= self.least && self.residuals > 1 {
                let sd = (self.squares / f64::from(self.residuals)).sqrt();
                // Values that never differed have no spread to judge a departure by.
                if sd > 0.0 {
                    let departure = (residual / sd).clamp(-DEPARTURE_MAX, DEPARTURE_MAX);
                    let sum = self.sum + departure - self.slack;
                    self.sum = sum.clamp(0.0, SUM_MAX * self.limit);
                }
            }
            if self.stirs() {
                return;
            }
            self.squares += residual * residual;
            self.residuals += 1;
        }
        // Welford's sums, of both.
        self.n = self.n.saturating_add(1);
        let (dt, dy) = (t - self.mean_t, y - self.mean_y);
        let n = f64::from(self.n);
        self.mean_t += dt / n;
        self.mean_y += dy / n;
        self.tt += dt * (t - self.mean_t);
        self.ty += dt * (y - self.mean_y);
    }

    /// The error of what was foretold, at equal variance; `None` where nothing is foretold yet.
    fn residual(&self, t: f64, y: f64) -> Option<f64> {
        let n = f64::from(self.n);
        if !self.over_time {
            return (self.n >= 1).then(|| (y - self.mean_y) / (1.0 + 1.0 / n).sqrt());
        }
        if self.n < 2 || self.tt <= 0.0 {
            return None;
        }
        let away = t - self.mean_t;
        let foretold = self.mean_y + self.ty / self.tt * away;
        Some((y - foretold) / (1.0 + 1.0 / n + away * away / self.tt).sqrt())
    }

    /// Whether it has left its course.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.level() >= 1.0
    }

    /// Whether it may be leaving.
    #[must_use]
    pub fn stirs(&self) -> bool {
        self.level() >= STIRS
    }

    /// How near it is: 1 and more has left.
    #[must_use]
    pub fn level(&self) -> f64 {
        self.sum / self.limit
    }

    /// Begins the sum anew; what was learnt of the course stays.
    pub fn forgive(&mut self) {
        self.sum = 0.0;
    }

    /// Leaves of the sum only what still stirs: new departures have to bring it to its limit again, and until a value has come that is
    /// none, it stirs. What was learnt of the course stays.
    pub fn forgive_half(&mut self) {
        self.sum = self.sum.min(STIRS * self.limit);
    }

    /// Begins all anew: whatever comes next is the course.
    pub fn relearn(&mut self) {
        *self = Self::new(self.over_time, self.least, self.slack, self.limit);
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// A number of mean 0 and variance 1 (a sum of twelve uniform ones).
    fn noise(random: &mut ChaCha8Rng) -> f64 {
        (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0
    }

    /// In what share of sittings it leaves its course within `most` values; `of` gives the value without noise.
    fn leaves(over_time: bool, most: u32, of: impl Fn(f64) -> f64) -> f64 {
        let sittings = 400;
        let left = (0..sittings).filter(|seed| {
            let mut random = ChaCha8Rng::seed_from_u64(*seed);
            let mut course = Course::new(over_time, 15, 0.5, 6.0);
            (0..most).any(|n| {
                let t = f64::from(n);
                course.push(t, of(t) + noise(&mut random));
                course.has_left()
            })
        });
        left.count() as f64 / sittings as f64
    }

    #[test]
    fn a_straight_line_over_time_is_no_departure_and_a_bend_is() {
        let steady = leaves(true, 40, |t| 3.0 + 0.2 * t);
        assert!(steady < 0.2, "{steady}");
        // Against its mean alone the same line leaves at once: it is the time that is taken out.
        assert!(leaves(false, 40, |t| 3.0 + 0.2 * t) > 0.95);
        let bent = leaves(true, 40, |t| (t - 20.0).max(0.0) * 0.4);
        assert!(bent > 0.8, "{bent}");
    }

    #[test]
    fn residuals_are_those_of_least_squares_fitted_anew_each_time() {
        let values = [1.0, 2.5, 2.0, 4.5, 3.0, 6.5, 7.0, 5.5];
        let mut course = Course::new(true, 4, 0.5, 4.0);
        for (n, y) in values.into_iter().enumerate() {
            let t = n as f64 * 1.5;
            let before = &values[..n];
            // From the normal equations.
            let expected = (n >= 2).then(|| {
                let k = n as f64;
                let (mut st, mut sy, mut stt, mut sty) = (0.0, 0.0, 0.0, 0.0);
                for (i, y) in before.iter().enumerate() {
                    let t = i as f64 * 1.5;
                    st += t;
                    sy += y;
                    stt += t * t;
                    sty += t * y;
                }
                let det = k * stt - st * st;
                let slope = (k * sty - st * sy) / det;
                let level = (sy - slope * st) / k;
                let spread = 1.0 + (stt - 2.0 * t * st + k * t * t) / det;
                (y - level - slope * t) / spread.sqrt()
            });
            let got = course.residual(t, y);
            assert_eq!(got.is_some(), expected.is_some());
            if let (Some(got), Some(expected)) = (got, expected) {
                assert!((got - expected).abs() < 1e-12, "{got} {expected}");
            }
            course.push(t, y);
        }
    }

    #[test]
    fn what_is_no_number_or_never_differs_says_nothing() {
        let mut course = Course::new(false, 4, 0.5, 1.0);
        for n in 0..50 {
            course.push(f64::from(n), f64::NAN);
            course.push(f64::INFINITY, 1.0);
        }
        assert_eq!(course, Course::new(false, 4, 0.5, 1.0));
        for n in 0..50 {
            course.push(f64::from(n), 2.0);
        }
        assert_eq!(course.level(), 0.0);
    }
}
