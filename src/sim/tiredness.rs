//! Tiredness: comes with time on task, goes in pauses.

/// A level from 0 (fresh) towards 1 that approaches 1 while the person works and 0 while it rests, exponentially.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiredness {
    level: f64,
    since_s: f64,
    working: bool,
    tires_in_s: f64,
}

impl Tiredness {
    /// Rest works this many times faster than work.
    const REST_GAIN: f64 = 4.0;

    /// Fresh and at rest; `tires_in_s` is the time constant of work.
    pub(super) fn new(tires_in_s: f64) -> Self {
        Self {
            level: 0.0,
            since_s: 0.0,
            working: false,
            tires_in_s,
        }
    }

    /// The level at a time, 0 to 1.
    pub(super) fn at(&self, t_s: f64) -> f64 {
        let elapsed = (t_s - self.since_s).max(0.0) / self.tires_in_s;
        if self.working {
            1.0 - (1.0 - self.level) * (-elapsed).exp()
        } else {
            self.level * (-Self::REST_GAIN * elapsed).exp()
        }
    }

    /// Says whether the person works from now on.
    pub(super) fn work(&mut self, t_s: f64, working: bool) {
        if working != self.working {
            self.level = self.at(t_s);
            self.since_s = t_s;
            self.working = working;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_tires_and_rest_refreshes() {
        let mut tiredness = Tiredness::new(1000.0);
        assert_eq!(tiredness.at(500.0), 0.0);
        tiredness.work(500.0, true);
        let after = tiredness.at(1500.0);
        assert!((after - (1.0 - (-1.0_f64).exp())).abs() < 1e-12);
        tiredness.work(1500.0, false);
        assert!((tiredness.at(1500.0) - after).abs() < 1e-12);
        assert!(tiredness.at(2000.0) < 0.2 * after);
    }

    #[test]
    fn saying_the_same_twice_changes_nothing() {
        let mut once = Tiredness::new(100.0);
        once.work(0.0, true);
        let mut often = once;
        for t in 1..50 {
            often.work(f64::from(t), true);
        }
        assert_eq!(once.at(60.0), often.at(60.0));
    }
}
