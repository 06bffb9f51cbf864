//! The calibration of a deliberate blink: when the person was told to make it, and the rest of the time.

use razvilka_dsp::deliberate::{BlinkKind, BlinkModel, BlinkScore};
use serde::{Deserialize, Serialize};

use crate::cued::{CuedTrials, OF_EACH_MIN, fit_cued, per_min};
use crate::error::{Result, in_range};

/// Fewest answered cues, and fewest spontaneous scores.
pub const BLINKS_OF_EACH_MIN: usize = OF_EACH_MIN;

/// What a calibration recorded of blinks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BlinkTrials {
    /// Which blink was asked for.
    pub kind: BlinkKind,
    /// Stamps of the cues, seconds, rising.
    pub cues_s: Vec<f64>,
    /// Every score, in the order of time.
    pub scores: Vec<BlinkScore>,
    /// How long the eyes were watched, answers included, seconds.
    pub watched_s: f64,
}

/// A calibrated deliberate blink.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliberateBlink {
    /// What a score says.
    pub model: BlinkModel,
    /// What the gate raises its evidence to, 0 to 1; fitted to ratios of held-out blinks.
    pub reliability: f64,
    /// Cues given.
    pub cues: usize,
    /// Cues whose answer, held out, was told.
    pub hits: usize,
    /// Spontaneous scores.
    pub spontaneous: usize,
    /// Of these, held out, told as signals.
    pub false_alarms: usize,
    /// Watched time outside answers, seconds.
    pub rest_s: f64,
}

impl DeliberateBlink {
    /// False alarms per minute of watched time, held out, with the upper end of their 95 % interval (exact Poisson bound by the
    /// chi-square's normal approximation of Wilson and Hilferty).
    #[must_use]
    pub fn false_alarms_per_min(&self) -> (f64, f64) {
        per_min(self.false_alarms, self.rest_s)
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`crate::CalibrationError`] for one out of range.
    pub fn validate(&self) -> Result<()> {
        self.model.check()?;
        in_range("reliability of the blink", self.reliability, 0.0, 1.0)?;
        in_range("time between the cues in s", self.rest_s, 1.0, 1e7)?;
        let counts = self.hits <= self.cues && self.false_alarms <= self.spontaneous;
        in_range("blinks told", f64::from(u8::from(counts)), 1.0, 1.0)
    }
}

/// Fits the densities. The highest score within [`crate::ANSWER_S`] after a cue is its answer; other scores there are neither answer nor
/// spontaneous (the first half of a pair, a second try) and left out.
///
/// Held-out figures come from five folds in the order of time. The evidence of a score is bounded by the rule of three
/// ([`crate::fit_score_density`]); the rate's by 3 nats.
///
/// # Errors
/// [`crate::CalibrationError::TooFew`] below 10 answered cues or 10 spontaneous scores; as [`crate::fit_score_density`].
pub fn fit_deliberate_blink(trials: &BlinkTrials) -> Result<DeliberateBlink> {
    let fit = fit_cued(&CuedTrials {
        called: ["blinks made when asked", "blinks made unasked"],
        cues_s: &trials.cues_s,
        scores: trials.scores.iter().map(|s| (s.at_s, s.score)).collect(),
        watched_s: trials.watched_s,
        supposed: &[],
    })?;
    Ok(DeliberateBlink {
        model: BlinkModel {
            kind: trials.kind,
            density: fit.density,
            rate_nats: fit.rate_nats,
        },
        reliability: fit.reliability,
        cues: fit.cues,
        hits: fit.hits,
        spontaneous: fit.spontaneous,
        false_alarms: fit.false_alarms,
        rest_s: fit.rest_s,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::CalibrationError;

    /// Cues every 5 s, each answered after a second by a pair `0.15` to `0.25` s apart; single blinks in between.
    fn trials(cues: usize, spontaneous: bool) -> BlinkTrials {
        let mut scores = Vec::new();
        let mut cues_s = Vec::new();
        for n in 0..cues {
            let cue_s = 10.0 + 5.0 * n as f64;
            let spread = (n * 7 % 11) as f64 / 10.0;
            cues_s.push(cue_s);
            if spontaneous {
                scores.push(BlinkScore {
                    onset_s: cue_s - 1.0,
                    at_s: cue_s - 0.8,
                    score: -(2.5 + 3.0 * spread).ln(),
                });
            }
            // The first of the pair, then the second.
            for (at_s, apart_s) in [(1.0, 2.0), (1.5, 0.15 + 0.1 * spread)] {
                scores.push(BlinkScore {
                    onset_s: cue_s + at_s - 0.2,
                    at_s: cue_s + at_s,
                    score: -f64::ln(apart_s),
                });
            }
        }
        BlinkTrials {
            kind: BlinkKind::Double,
            cues_s,
            scores,
            watched_s: 20.0 + 5.0 * cues as f64,
        }
    }

    #[test]
    fn pairs_that_were_asked_for_are_told_and_single_blinks_are_not() {
        let fitted = fit_deliberate_blink(&trials(20, true)).unwrap();
        assert_eq!((fitted.cues, fitted.hits), (20, 20));
        assert_eq!((fitted.spontaneous, fitted.false_alarms), (20, 0));
        assert!(fitted.reliability > 0.9, "{fitted:?}");
        let (rate, upper) = fitted.false_alarms_per_min();
        // None in 70 s: the exact bound is 3.689 / T.
        assert_eq!(rate, 0.0);
        assert!(
            (upper * fitted.rest_s / 60.0 - 3.689).abs() < 0.1,
            "{upper}"
        );
        fitted.validate().unwrap();
        assert!(fitted.model.llr(-(0.2_f64.ln())).unwrap() > 1.5);
        assert_eq!(fitted.model.llr(-(4.0_f64.ln())), None);
    }

    #[test]
    fn too_few_of_either_are_refused_with_their_number() {
        for trials in [trials(9, true), trials(20, false)] {
            let error = fit_deliberate_blink(&trials).unwrap_err();
            assert!(matches!(error, CalibrationError::TooFew { .. }), "{error}");
        }
    }

    #[test]
    fn a_signal_that_is_as_the_persons_own_blinks_earns_nothing() {
        let mut same = trials(30, true);
        for (n, score) in same.scores.iter_mut().enumerate() {
            score.score = -((1.5 + (n * 13 % 17) as f64 / 8.0).ln());
        }
        let fitted = fit_deliberate_blink(&same).unwrap();
        assert!(fitted.hits < 10, "{fitted:?}");
    }
}
