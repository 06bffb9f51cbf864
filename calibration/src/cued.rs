//! What a signal on cue, of whatever kind, teaches: the same for a blink and for a contraction.

use razvilka_dsp::deliberate::TOLD_NATS;
use razvilka_dsp::score::ScoreDensity;

use crate::density::fit_score_density;
use crate::error::{CalibrationError, Result, finite};
use crate::evidence::fit_reliability;

/// An answer to a cue ends within this, seconds.
pub const ANSWER_S: f64 = 2.5;
/// Fewest answered cues, and fewest scores that nobody asked for.
pub(crate) const OF_EACH_MIN: usize = 10;
/// Folds in the order of time.
const FOLDS: usize = 5;
/// The evidence of the rate stays within this, nats.
const RATE_MAX_NATS: f64 = 3.0;

/// What was recorded of a signal that was asked for.
pub(crate) struct CuedTrials<'a> {
    /// What an answer is called, and what a score is called that nobody asked for.
    pub(crate) called: [&'static str; 2],
    /// Stamps of the cues, seconds, rising.
    pub(crate) cues_s: &'a [f64],
    /// Stamp of the end, seconds, and score, in the order of time.
    pub(crate) scores: Vec<(f64, f64)>,
    /// How long was watched, answers included, seconds.
    pub(crate) watched_s: f64,
    /// Scores by which those that nobody asked for are made up to [`OF_EACH_MIN`] where there are fewer; none: then they are too few.
    pub(crate) supposed: &'a [f64],
}

/// What was learnt of it.
pub(crate) struct CuedFit {
    pub(crate) density: ScoreDensity,
    pub(crate) rate_nats: f64,
    pub(crate) reliability: f64,
    pub(crate) cues: usize,
    pub(crate) hits: usize,
    pub(crate) spontaneous: usize,
    pub(crate) false_alarms: usize,
    pub(crate) rest_s: f64,
}

/// One score with what it was.
#[derive(Debug, Clone, Copy)]
struct Trial {
    at_s: f64,
    score: f64,
    asked: bool,
    /// Not recorded: one of [`CuedTrials::supposed`].
    supposed: bool,
}

/// The highest score within [`ANSWER_S`] after a cue is its answer; other scores there are left out.
fn sorted_trials(trials: &CuedTrials<'_>) -> Vec<Trial> {
    let mut sorted: Vec<Trial> = Vec::with_capacity(trials.scores.len());
    let within = |cue_s: f64, at_s: f64| (cue_s..cue_s + ANSWER_S).contains(&at_s);
    for (at_s, score) in trials.scores.iter().copied() {
        if !trials.cues_s.iter().any(|cue_s| within(*cue_s, at_s)) {
            sorted.push(Trial {
                at_s,
                score,
                asked: false,
                supposed: false,
            });
        }
    }
    for cue_s in trials.cues_s {
        let answers = trials
            .scores
            .iter()
            .filter(|(at_s, _)| within(*cue_s, *at_s));
        if let Some((at_s, score)) = answers.copied().max_by(|a, b| a.1.total_cmp(&b.1)) {
            sorted.push(Trial {
                at_s,
                score,
                asked: true,
                supposed: false,
            });
        }
    }
    let unasked = sorted.iter().filter(|trial| !trial.asked).count();
    let missing = OF_EACH_MIN.saturating_sub(unasked);
    let cues = trials.cues_s.iter().cycle();
    for (score, at_s) in trials.supposed.iter().zip(cues).take(missing) {
        sorted.push(Trial {
            at_s: *at_s,
            score: *score,
            asked: false,
            supposed: true,
        });
    }
    sorted.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    sorted
}

/// The fold of each trial: each class is dealt out in the order of time, so that every fold has some of both.
fn folds_of(sorted: &[Trial], answered: usize) -> Vec<usize> {
    let (mut of_asked, mut of_rest) = (0, 0);
    let dealt = sorted.iter().map(|trial| {
        let (count, n) = if trial.asked {
            (&mut of_asked, answered)
        } else {
            (&mut of_rest, sorted.len() - answered)
        };
        let fold = *count * FOLDS / n;
        *count += 1;
        fold
    });
    dealt.collect()
}

fn density_of(trials: &[Trial]) -> Result<ScoreDensity> {
    let scores: Vec<f64> = trials.iter().map(|trial| trial.score).collect();
    let labels: Vec<bool> = trials.iter().map(|trial| trial.asked).collect();
    fit_score_density(&scores, &labels)
}

/// Fits densities, rate and reliability; figures are of held-out trials, five folds in the order of time.
///
/// # Errors
/// [`CalibrationError::TooFew`] below 10 answered cues or 10 other scores; as [`fit_score_density`].
pub(crate) fn fit_cued(trials: &CuedTrials<'_>) -> Result<CuedFit> {
    finite("stamps of cues", trials.cues_s)?;
    let sorted = sorted_trials(trials);
    let answered = sorted.iter().filter(|trial| trial.asked).count();
    let unasked = sorted.len() - answered;
    let spontaneous = unasked - sorted.iter().filter(|trial| trial.supposed).count();
    for (what, found) in trials.called.into_iter().zip([answered, unasked]) {
        if found < OF_EACH_MIN {
            return Err(CalibrationError::TooFew {
                what,
                found,
                needed: OF_EACH_MIN,
            });
        }
    }
    let cues = trials.cues_s.len();
    let rest_s = (trials.watched_s - cues as f64 * ANSWER_S).max(1.0);
    let hit = (answered as f64 + 1.0) / (cues as f64 + 2.0);
    let expected = (spontaneous as f64 + 0.5) / rest_s * ANSWER_S;
    let rate_nats = (hit / expected).ln().clamp(-RATE_MAX_NATS, RATE_MAX_NATS);
    let (mut llrs, mut labels) = (Vec::new(), Vec::new());
    let (mut hits, mut false_alarms) = (0, 0);
    let folds = folds_of(&sorted, answered);
    for fold in 0..FOLDS {
        let held = |out: bool| {
            let pairs = sorted.iter().zip(&folds);
            pairs
                .filter(move |(_, f)| (**f == fold) == out)
                .map(|(trial, _)| *trial)
                .collect::<Vec<_>>()
        };
        let density = density_of(&held(false))?;
        for trial in held(true) {
            let llr = density.llr(trial.score);
            let told = llr.is_some_and(|llr| llr + rate_nats >= TOLD_NATS);
            hits += usize::from(told && trial.asked);
            false_alarms += usize::from(told && !trial.asked && !trial.supposed);
            llrs.push(llr.unwrap_or(0.0));
            labels.push(trial.asked);
        }
    }
    let base_rate = answered as f64 / sorted.len() as f64;
    Ok(CuedFit {
        density: density_of(&sorted)?,
        rate_nats,
        reliability: fit_reliability(&llrs, &labels, base_rate)?,
        cues,
        hits,
        spontaneous,
        false_alarms,
        rest_s,
    })
}

/// Events per minute of watched time with the upper end of their 95 % interval (exact Poisson bound by the chi-square's normal
/// approximation of Wilson and Hilferty).
pub(crate) fn per_min(events: usize, seconds: f64) -> (f64, f64) {
    let minutes = seconds / 60.0;
    let k = events as f64 + 1.0;
    let upper = k * (1.0 - 1.0 / (9.0 * k) + 1.96 / (3.0 * k.sqrt())).powi(3);
    (events as f64 / minutes, upper / minutes)
}
