//! The calibration of a deliberate blink: when the person was told to make it, and the rest of the time.

use razvilka_dsp::deliberate::{BlinkKind, BlinkModel, BlinkScore};
use serde::{Deserialize, Serialize};

use crate::density::fit_score_density;
use crate::error::{CalibrationError, Result, finite, in_range};
use crate::evidence::fit_reliability;

/// An answer to a cue ends within this, seconds.
pub const ANSWER_S: f64 = 2.5;
/// Fewest answered cues, and fewest spontaneous scores.
pub const BLINKS_OF_EACH_MIN: usize = 10;
/// Folds in the order of time.
const FOLDS: usize = 5;
/// The evidence of the rate stays within this, nats.
const RATE_MAX_NATS: f64 = 3.0;

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
        let minutes = self.rest_s / 60.0;
        let k = self.false_alarms as f64 + 1.0;
        let upper = k * (1.0 - 1.0 / (9.0 * k) + 1.96 / (3.0 * k.sqrt())).powi(3);
        (self.false_alarms as f64 / minutes, upper / minutes)
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`CalibrationError`] for one out of range.
    pub fn validate(&self) -> Result<()> {
        self.model.check()?;
        in_range("reliability of the blink", self.reliability, 0.0, 1.0)?;
        in_range("time between the cues in s", self.rest_s, 1.0, 1e7)?;
        let counts = self.hits <= self.cues && self.false_alarms <= self.spontaneous;
        in_range("blinks told", f64::from(u8::from(counts)), 1.0, 1.0)
    }
}

/// One score with what it was.
#[derive(Debug, Clone, Copy)]
struct Trial {
    at_s: f64,
    score: f64,
    asked: bool,
}

/// Fits the densities. The highest score within [`ANSWER_S`] after a cue is its answer; other scores there are neither answer nor
/// spontaneous (the first half of a pair, a second try) and left out.
///
/// Held-out figures come from five folds in the order of time. The evidence of a score is bounded by the rule of three
/// ([`crate::fit_score_density`]); the rate's by 3 nats.
///
/// # Errors
/// [`CalibrationError::TooFew`] below 10 answered cues or 10 spontaneous scores; as [`fit_score_density`].
pub fn fit_deliberate_blink(trials: &BlinkTrials) -> Result<DeliberateBlink> {
    finite("stamps of cues", &trials.cues_s)?;
    let mut sorted: Vec<Trial> = Vec::with_capacity(trials.scores.len());
    let answers = |at_s: f64| move |cue_s: &&f64| (**cue_s..**cue_s + ANSWER_S).contains(&at_s);
    for score in &trials.scores {
        if trials.cues_s.iter().any(|cue| answers(score.at_s)(&cue)) {
            continue;
        }
        sorted.push(Trial {
            at_s: score.at_s,
            score: score.score,
            asked: false,
        });
    }
    for cue_s in &trials.cues_s {
        let within = trials
            .scores
            .iter()
            .filter(|score| (*cue_s..cue_s + ANSWER_S).contains(&score.at_s));
        if let Some(best) = within.max_by(|a, b| a.score.total_cmp(&b.score)) {
            sorted.push(Trial {
                at_s: best.at_s,
                score: best.score,
                asked: true,
            });
        }
    }
    sorted.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    let answered = sorted.iter().filter(|trial| trial.asked).count();
    let spontaneous = sorted.len() - answered;
    for (what, found) in [
        ("blinks made when asked", answered),
        ("blinks made unasked", spontaneous),
    ] {
        if found < BLINKS_OF_EACH_MIN {
            return Err(CalibrationError::TooFew {
                what,
                found,
                needed: BLINKS_OF_EACH_MIN,
            });
        }
    }
    let cues = trials.cues_s.len();
    let rest_s = (trials.watched_s - cues as f64 * ANSWER_S).max(1.0);
    let hit = (answered as f64 + 1.0) / (cues as f64 + 2.0);
    let expected = (spontaneous as f64 + 0.5) / rest_s * ANSWER_S;
    let rate_nats = (hit / expected).ln().clamp(-RATE_MAX_NATS, RATE_MAX_NATS);
    let model_of = |trials: &[Trial]| -> Result<BlinkModel> {
        let scores: Vec<f64> = trials.iter().map(|trial| trial.score).collect();
        let labels: Vec<bool> = trials.iter().map(|trial| trial.asked).collect();
        Ok(BlinkModel {
            kind: BlinkKind::default(),
            density: fit_score_density(&scores, &labels)?,
            rate_nats,
        })
    };
    let kind = trials.kind;
    let (mut llrs, mut labels) = (Vec::new(), Vec::new());
    let (mut hits, mut false_alarms) = (0, 0);
    // Each class is dealt out in the order of time, so that every fold has some of both.
    let fold_of = |index: usize, n: usize| index * FOLDS / n;
    let mut folds = Vec::with_capacity(sorted.len());
    let (mut of_asked, mut of_rest) = (0, 0);
    for trial in &sorted {
        let (count, n) = if trial.asked {
            (&mut of_asked, answered)
        } else {
            (&mut of_rest, spontaneous)
        };
        folds.push(fold_of(*count, n));
        *count += 1;
    }
    for fold in 0..FOLDS {
        let held = |out: bool| {
            let pairs = sorted.iter().zip(&folds);
            pairs
                .filter(move |(_, f)| (**f == fold) == out)
                .map(|(trial, _)| *trial)
                .collect::<Vec<_>>()
        };
        let model = model_of(&held(false))?;
        for trial in held(true) {
            let told = model.llr(trial.score).is_some();
            hits += usize::from(told && trial.asked);
            false_alarms += usize::from(told && !trial.asked);
            llrs.push(model.density.llr(trial.score).unwrap_or(0.0));
            labels.push(trial.asked);
        }
    }
    let base_rate = answered as f64 / sorted.len() as f64;
    Ok(DeliberateBlink {
        model: BlinkModel {
            kind,
            ..model_of(&sorted)?
        },
        reliability: fit_reliability(&llrs, &labels, base_rate)?,
        cues,
        hits,
        spontaneous,
        false_alarms,
        rest_s,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
