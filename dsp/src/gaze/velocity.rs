//! Speed at the middle of a short window of irregularly timed samples.

/// A sample with its position where there is one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Timed {
    pub(super) t_s: f64,
    pub(super) at_deg: Option<[f64; 2]>,
}

/// A sample and what its neighbours say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measured {
    pub(super) sample: Timed,
    /// Speed, deg/s; `None` without a position or a neighbour that has one.
    pub(super) speed: Option<f64>,
    /// Whether data are lost within the window.
    pub(super) near_lost: bool,
}

/// The last `2 half + 1` samples; gives each sample's speed once `half` later ones are there.
#[derive(Debug, Clone)]
pub(super) struct SpeedWindow {
    half: usize,
    /// Samples further from the middle than this are on the far side of a gap, seconds.
    reach_s: f64,
    ring: Vec<Timed>,
    newest: usize,
    seen: usize,
    flushed: usize,
}

impl SpeedWindow {
    pub(super) fn new(half: usize, period_s: f64) -> Self {
        let blank = Timed {
            t_s: f64::NEG_INFINITY,
            at_deg: None,
        };
        // With no later sample the one before makes the window.
        let len = (2 * half + 1).max(2);
        Self {
            half,
            reach_s: (half as f64 + 0.5).max(1.5) * period_s,
            ring: vec![blank; len],
            newest: 0,
            seen: 0,
            flushed: 0,
        }
    }

    pub(super) fn half(&self) -> usize {
        self.half
    }

    pub(super) fn reset(&mut self) {
        self.seen = 0;
        self.flushed = 0;
    }

    /// Takes a sample; gives the one `half` back with its speed.
    pub(super) fn push(&mut self, sample: Timed) -> Option<Measured> {
        self.newest = (self.newest + 1) % self.ring.len();
        if let Some(place) = self.ring.get_mut(self.newest) {
            *place = sample;
        }
        self.seen = self.seen.saturating_add(1);
        (self.seen > self.half).then(|| self.at_back(self.half))
    }

    /// After the last sample: the next one whose later neighbours will never come.
    pub(super) fn flush(&mut self) -> Option<Measured> {
        let waiting = self.half.min(self.seen);
        if self.flushed >= waiting {
            return None;
        }
        self.flushed += 1;
        Some(self.at_back(waiting - self.flushed))
    }

    fn back(&self, samples: usize) -> Option<&Timed> {
        if samples >= self.seen {
            return None;
        }
        let len = self.ring.len();
        self.ring.get((self.newest + len - samples) % len)
    }

    /// The sample `back` before the newest and the slope of the line through its neighbours.
    fn at_back(&self, back: usize) -> Measured {
        let Some(&centre) = self.back(back) else {
            // Never asked for before it is there.
            return Measured {
                sample: Timed {
                    t_s: 0.0,
                    at_deg: None,
                },
                speed: None,
                near_lost: true,
            };
        };
        let oldest = (back + self.half.max(1)).min(self.ring.len() - 1);
        let newest = back.saturating_sub(self.half);
        let around = || (newest..=oldest).filter_map(|b| self.back(b));
        let near_lost = around().any(|s| s.at_deg.is_none());
        let measured = |speed| Measured {
            sample: centre,
            speed,
            near_lost,
        };
        if centre.at_deg.is_none() {
            return measured(None);
        }
        let near = || {
            around().filter_map(|s| {
                let dt = s.t_s - centre.t_s;
                let [x, y] = s.at_deg?;
                (dt.abs() <= self.reach_s).then_some([dt, x, y])
            })
        };
        let mut n = 0.0;
        let mut mean = [0.0; 3];
        for v in near() {
            n += 1.0;
            for (m, v) in mean.iter_mut().zip(v) {
                *m += v;
            }
        }
        if n < 2.0 {
            return measured(None);
        }
        let [mt, mx, my] = mean.map(|m| m / n);
        let (mut tt, mut tx, mut ty) = (0.0, 0.0, 0.0);
        for [t, x, y] in near() {
            tt += (t - mt) * (t - mt);
            tx += (t - mt) * (x - mx);
            ty += (t - mt) * (y - my);
        }
        // Stamps rise, so tt is above zero; a subnormal one may still overflow the quotient.
        let speed = (tx / tt).hypot(ty / tt);
        measured(speed.is_finite().then_some(speed))
    }
}
