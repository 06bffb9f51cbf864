//! Agreement with labels: kappa, events, and how late fixations are reported. The same definitions as the literature's tools
//! (events matched one to one at an intersection over union of at least one half).

use crate::data::{FIXATION, PURSUIT, SACCADE, SETTLING};

/// What a detector said of a recording.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    pub(crate) labels: Vec<u8>,
    /// Stamps at which new fixations were reported, seconds.
    pub(crate) reports_s: Vec<f64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    both: f64,
    truth: f64,
    said: f64,
    all: f64,
    matched: f64,
    truth_events: f64,
    said_events: f64,
}

/// Sums over recordings.
#[derive(Debug, Clone, Default)]
pub(crate) struct Score {
    saccade: Counts,
    slow: Counts,
    settling: Counts,
    pursuit: Counts,
    delays_ms: Vec<f64>,
    reportable: f64,
    missed: f64,
    unmatched: f64,
    again: f64,
    minutes: f64,
}

impl Score {
    pub(crate) fn add(&mut self, truth: &[u8], said: &Said, t_s: &[f64], rate_hz: f64) {
        let is = |codes: &'static [u8]| move |l: &u8| codes.contains(l);
        for (counts, codes) in [
            (&mut self.saccade, &[SACCADE][..]),
            (&mut self.slow, &[FIXATION, PURSUIT][..]),
            (&mut self.settling, &[SETTLING][..]),
            (&mut self.pursuit, &[PURSUIT][..]),
        ] {
            let a: Vec<bool> = truth.iter().map(is(codes)).collect();
            let b: Vec<bool> = said.labels.iter().map(is(codes)).collect();
            counts.add(&a, &b);
        }
        let slow: Vec<bool> = truth.iter().map(is(&[FIXATION, PURSUIT])).collect();
        let reports: Vec<usize> = said
            .reports_s
            .iter()
            .map(|r| t_s.partition_point(|t| *t < *r - 1e-9))
            .collect();
        self.reports(&slow, &reports, rate_hz);
        self.minutes += truth.len() as f64 / rate_hz / 60.0;
    }

    pub(crate) fn sum<'a>(scores: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        scores.into_iter().for_each(|score| sum.merge(score));
        sum
    }

    fn merge(&mut self, other: &Self) {
        self.saccade.merge(&other.saccade);
        self.slow.merge(&other.slow);
        self.settling.merge(&other.settling);
        self.pursuit.merge(&other.pursuit);
        self.delays_ms.extend(&other.delays_ms);
        self.reportable += other.reportable;
        self.missed += other.missed;
        self.unmatched += other.unmatched;
        self.again += other.again;
        self.minutes += other.minutes;
    }

    fn reports(&mut self, slow: &[bool], reports: &[usize], rate_hz: f64) {
        let tolerance = (0.020 * rate_hz).round() as usize;
        let shortest = 0.060 * rate_hz;
        let mut used = vec![false; reports.len()];
        for (from, to) in runs(slow) {
            let inside: Vec<usize> = (0..reports.len())
                .filter(|k| reports[*k] + tolerance >= from && reports[*k] < to && !used[*k])
                .collect();
            if (to - from) as f64 >= shortest && from > 0 {
                self.reportable += 1.0;
                if let Some(first) = inside.first() {
                    let delay = reports[*first] as f64 - from as f64;
                    self.delays_ms.push(delay * 1000.0 / rate_hz);
                    self.again += inside.len() as f64 - 1.0;
                } else {
                    self.missed += 1.0;
                }
            }
            for k in inside {
                used[k] = true;
            }
        }
        self.unmatched += used.iter().filter(|u| !**u).count() as f64;
    }

    /// Mean agreement on events of saccades and of slow phases.
    pub(crate) fn worth(&self) -> f64 {
        0.5 * (self.saccade.events() + self.slow.events())
    }

    pub(crate) fn to_line(&self) -> String {
        let mut delays = self.delays_ms.clone();
        delays.sort_by(f64::total_cmp);
        let at = |q: f64| {
            delays
                .get((q * (delays.len().max(1) - 1) as f64) as usize)
                .copied()
                .unwrap_or(f64::NAN)
        };
        format!(
            "saccade {:.3} / {:.3}  fixation+pursuit {:.3} / {:.3}  settling {:.3} / {:.3}  pursuit {:.3}  reported {:.0} ms (p90 {:.0})  missed {:.1} %  false {:.1} + again {:.1} /min",
            self.saccade.kappa(),
            self.saccade.events(),
            self.slow.kappa(),
            self.slow.events(),
            self.settling.kappa(),
            self.settling.events(),
            self.pursuit.kappa(),
            at(0.5),
            at(0.9),
            100.0 * self.missed / self.reportable.max(1.0),
            self.unmatched / self.minutes,
            self.again / self.minutes,
        )
    }
}

impl Counts {
    fn add(&mut self, truth: &[bool], said: &[bool]) {
        for (t, s) in truth.iter().zip(said) {
            self.all += 1.0;
            self.truth += f64::from(u8::from(*t));
            self.said += f64::from(u8::from(*s));
            self.both += f64::from(u8::from(*t && *s));
        }
        let (a, b) = (runs(truth), runs(said));
        self.truth_events += a.len() as f64;
        self.said_events += b.len() as f64;
        let mut used = vec![false; b.len()];
        let mut first = 0;
        for (s, e) in a {
            while first < b.len() && b[first].1 <= s {
                first += 1;
            }
            let mut best = (0.0, None);
            for (k, (p, q)) in b
                .iter()
                .enumerate()
                .skip(first)
                .take_while(|(_, r)| r.0 < e)
            {
                let shared = e.min(*q) as f64 - s.max(*p) as f64;
                let union = e.max(*q) as f64 - s.min(*p) as f64;
                if !used[k] && shared / union > best.0 {
                    best = (shared / union, Some(k));
                }
            }
            if let (true, Some(k)) = (best.0 >= 0.5, best.1) {
                used[k] = true;
                self.matched += 1.0;
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        self.both += other.both;
        self.truth += other.truth;
        self.said += other.said;
        self.all += other.all;
        self.matched += other.matched;
        self.truth_events += other.truth_events;
        self.said_events += other.said_events;
    }

    fn kappa(&self) -> f64 {
        let (a, b) = (self.truth / self.all, self.said / self.all);
        let agreed = 1.0 - a - b + 2.0 * self.both / self.all;
        let chance = a * b + (1.0 - a) * (1.0 - b);
        (agreed - chance) / (1.0 - chance)
    }

    fn events(&self) -> f64 {
        2.0 * self.matched / (self.truth_events + self.said_events)
    }
}

/// Maximal runs of `true`, from and to.
pub(crate) fn runs(mask: &[bool]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut from = None;
    for (k, m) in mask.iter().chain([&false]).enumerate() {
        match (m, from) {
            (true, None) => from = Some(k),
            (false, Some(f)) => {
                found.push((f, k));
                from = None;
            }
            _ => {}
        }
    }
    found
}
