//! A deliberate blink, long or double: a signal that a person makes on purpose, told apart from the blinks it makes anyway.
//!
//! Everybody blinks; what tells a signal is how this person's own blinks are: how long they last, and how far apart they come. So each
//! closure (or pair of closures) gets a score, and the densities of both kinds, measured while the person was told to signal and while
//! it was not ([`BlinkModel`]), make a log-likelihood ratio of it. The ratio of a *point in time* has a second part: signals come when they are
//! asked for, with a certain probability, and spontaneous blinks at a certain rate (the likelihood of a point process, Daley & Vere-Jones
//! 2003, eq. 7.1.2).
//!
//! Nothing here knows what the signal is about.

use serde::{Deserialize, Serialize};

use crate::error::{DspError, parameter};
use crate::eye_state::{AWAY_S, BLINK_MAX_S, BLINK_MIN_S, ClosureFinder, LidLevel};
use crate::score::ScoreDensity;
use crate::units::Hertz;

/// The lids of a double blink may be down for less than those of a single one, seconds.
const OF_TWO_MIN_S: f64 = 0.040;
/// Further apart all pairs are alike, seconds.
const APART_MAX_S: f64 = 60.0;
/// Closer no two blinks come, seconds.
const APART_MIN_S: f64 = 0.010;
/// Stamps further apart are a time in which nobody watched, seconds.
const GAP_S: f64 = 0.1;
/// Less evidence than this is not told, nats: a blink that might have been meant is none.
pub const TOLD_NATS: f64 = 1.0;

/// Which blink is the signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlinkKind {
    /// One that stays shut.
    Long,
    /// Two, one right after the other.
    #[default]
    Double,
}

/// A closure, or a pair of them, and how much it looks like a signal: the more, the higher.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlinkScore {
    /// Stamp at which the lids first closed, seconds.
    pub onset_s: f64,
    /// Stamp at which the eye was seen again, seconds.
    pub at_s: f64,
    /// Long: logarithm of the length in seconds. Double: minus the logarithm of the time between the two.
    pub score: f64,
}

/// Scores closures of the lids, sample by sample. `push` and `reset` do not allocate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlinkScorer {
    kind: BlinkKind,
    closures: ClosureFinder,
    lid: LidLevel,
    last_s: Option<f64>,
    /// Onset and end of the closure before.
    before: Option<(f64, f64)>,
}

impl BlinkScorer {
    /// A scorer for a stream of this rate.
    #[must_use]
    pub fn new(kind: BlinkKind, rate: Hertz) -> Self {
        Self {
            kind,
            closures: ClosureFinder::new(),
            lid: LidLevel::new(rate),
            last_s: None,
            before: None,
        }
    }

    /// Which blink is the signal.
    #[must_use]
    pub fn kind(&self) -> BlinkKind {
        self.kind
    }

    /// As new.
    pub fn reset(&mut self) {
        self.interrupt();
        self.lid.reset();
    }

    /// The source begins anew, or nobody watched for a while.
    pub fn interrupt(&mut self) {
        self.closures.reset();
        self.last_s = None;
        self.before = None;
    }

    /// Takes a sample: whether the eye was lost, and how far the lid was open where that is told. A stamp that is not after the last one is
    /// passed over.
    pub fn push(&mut self, t_s: f64, lost: bool, openness: Option<f64>) -> Option<BlinkScore> {
        if !t_s.is_finite() || self.last_s.is_some_and(|last_s| t_s <= last_s) {
            return None;
        }
        let mut passed_s = self.last_s.map_or(0.0, |last_s| t_s - last_s);
        if passed_s > GAP_S {
            self.interrupt();
            passed_s = 0.0;
        }
        self.last_s = Some(t_s);
        let lid = self.lid.judge(openness, lost);
        let closure = self.closures.push(t_s, passed_s, lid)?;
        match self.kind {
            BlinkKind::Long => {
                let counts = (BLINK_MIN_S..=AWAY_S).contains(&closure.length_s);
                counts.then(|| BlinkScore {
                    onset_s: closure.onset_s,
                    at_s: t_s,
                    score: closure.length_s.ln(),
                })
            }
            BlinkKind::Double => {
                if !(OF_TWO_MIN_S..=BLINK_MAX_S).contains(&closure.length_s) {
                    return None;
                }
                let before = self.before.replace((closure.onset_s, t_s));
                let (onset_s, end_s) = before?;
                let apart_s = (closure.onset_s - end_s).clamp(APART_MIN_S, APART_MAX_S);
                Some(BlinkScore {
                    onset_s,
                    at_s: t_s,
                    score: -apart_s.ln(),
                })
            }
        }
    }
}

/// What a score says: this person's densities of the score, and how often either kind comes at all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlinkModel {
    /// Which blink is the signal.
    pub kind: BlinkKind,
    /// Densities of the score: signals as the target, spontaneous blinks as the other.
    pub density: ScoreDensity,
    /// Logarithm of the probability of a signal that is asked for over the expected number of spontaneous scores in the time of an answer,
    /// nats, -5 to 5.
    pub rate_nats: f64,
}

impl BlinkModel {
    /// Checks the numbers that are not checked by their type.
    ///
    /// # Errors
    /// [`DspError::Parameter`].
    pub fn check(&self) -> Result<(), DspError> {
        parameter("evidence of the rate in nats", self.rate_nats, -5.0, 5.0).map(|_| ())
    }

    /// Evidence that this was a signal, nats; `None` where it is less than [`TOLD_NATS`]: spontaneous blinks speak neither for nor
    /// against anything.
    #[must_use]
    pub fn llr(&self, score: f64) -> Option<f64> {
        let llr = self.density.llr(score)? + self.rate_nats;
        (llr >= TOLD_NATS).then_some(llr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::StudentT;

    const RATE_HZ: f64 = 250.0;

    fn run(kind: BlinkKind, closures: &[(f64, f64)], until_s: f64) -> Vec<BlinkScore> {
        let mut scorer = BlinkScorer::new(kind, Hertz::new(RATE_HZ).unwrap());
        (0..(until_s * RATE_HZ) as usize)
            .filter_map(|n| {
                let t_s = n as f64 / RATE_HZ;
                let shut = closures
                    .iter()
                    .any(|(from, length)| (*from..from + length).contains(&t_s));
                scorer.push(t_s, shut, None)
            })
            .collect()
    }

    #[test]
    fn a_long_blink_scores_by_its_length_and_a_pair_by_the_time_between() {
        let blinks = [(1.0, 0.15), (4.0, 0.8), (6.0, 0.14), (6.3, 0.16)];
        let long = run(BlinkKind::Long, &blinks, 8.0);
        assert_eq!(long.len(), 4);
        assert!((long[1].score - 0.8_f64.ln()).abs() < 0.02, "{long:?}");
        let double = run(BlinkKind::Double, &blinks, 8.0);
        // The closure of 0.8 s is part of no pair.
        assert_eq!(double.len(), 2);
        assert!((double[0].score + 4.85_f64.ln()).abs() < 0.01, "{double:?}");
        assert!((double[1].score + 0.16_f64.ln()).abs() < 0.05, "{double:?}");
        assert!((double[1].onset_s - 6.0).abs() < 0.01);
    }

    #[test]
    fn a_gap_in_the_stream_and_a_reset_forget_the_first_of_two() {
        let mut scorer = BlinkScorer::new(BlinkKind::Double, Hertz::new(RATE_HZ).unwrap());
        let mut push = |from: usize, until: usize, shut: bool| {
            (from..until)
                .filter_map(|n| scorer.push(n as f64 / RATE_HZ, shut, None))
                .count()
        };
        let mut found = push(0, 100, false) + push(100, 140, true) + push(140, 160, false);
        // 0.4 s without a sample.
        found += push(260, 280, false) + push(280, 320, true) + push(320, 360, false);
        assert_eq!(found, 0);
    }

    #[test]
    fn what_is_not_finite_or_not_in_order_says_nothing() {
        let mut scorer = BlinkScorer::new(BlinkKind::Long, Hertz::new(RATE_HZ).unwrap());
        for t_s in [0.0, f64::NAN, 0.0, -1.0, f64::INFINITY, 0.004] {
            assert_eq!(scorer.push(t_s, false, Some(f64::NAN)), None);
        }
        let t = |location| StudentT {
            location,
            scale: 0.3,
            dof: 10.0,
        };
        let density = ScoreDensity::new(t(1.6), t(-1.2), (-3.0, 2.0), 3.0).unwrap();
        let model = BlinkModel {
            kind: BlinkKind::Double,
            density,
            rate_nats: 0.5,
        };
        assert_eq!(model.llr(f64::NAN), None);
        assert_eq!(model.llr(-1.0), None);
        assert_eq!(model.llr(1.6), Some(3.5));
    }
}
