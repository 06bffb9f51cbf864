//! `summary.json`: what a session came to. Computed from ledger rows alone, so it can be made again at any time; but for the
//! counts of the EEG's signal path, which are those of `latency.json`.

use std::collections::BTreeMap;

use razvilka_dsp::state::Index;
use serde::{Deserialize, Serialize};

use super::autonomy::AutonomySummary;
use super::guard::GuardSummary;
use super::ledger::{ChoiceRow, ForkRow, Ledger, LedgerError, StateRow};
use super::signal::SignalSummary;
use super::truth::Truth;
use crate::choice::Why;
use crate::fork::{Chooser, ForkId};
use crate::gate::{Arms, Posterior};
use crate::marker::Outcome;

/// Two-sided 95 % quantile of the normal distribution.
const Z_95: f64 = 1.959_963_984_540_054;

/// What a summary is computed from.
#[derive(Debug, Clone, Copy)]
pub struct SummaryInput<'a> {
    /// All forks.
    pub forks: &'a [ForkRow],
    /// How they ended.
    pub choices: &'a [ChoiceRow],
    /// State of the person at each fork; none when it was not kept.
    pub states: &'a [StateRow],
    /// What the person wanted, if known.
    pub truth: Option<&'a Truth>,
}

/// The figures of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Forks by what became of them.
    pub counts: Counts,
    /// Tokens written, undone ones included.
    pub tokens_written: u64,
    /// Correct choices; `None` without a truth.
    pub accuracy: Option<ArmScores>,
    /// Time and information.
    pub speed: Speed,
    /// What was left to the imitator; `None` where none was at work.
    #[serde(default)]
    pub autonomy: Option<AutonomySummary>,
    /// What the guard did; `None` where it did not watch.
    #[serde(default)]
    pub guard: Option<GuardSummary>,
    /// State of the person; `None` when it was not kept.
    #[serde(default)]
    pub state: Option<StateSummary>,
    /// How the EEG was; `None` without EEG, or when the session left no counts. The ledger does not hold it.
    #[serde(default)]
    pub signal: Option<SignalSummary>,
}

/// State of the person over a session.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StateSummary {
    /// Forks at which it was kept.
    pub forks: u64,
    /// Time on task at the last of them, seconds: the null model.
    pub time_on_task_s: f64,
    /// Theta over alpha power; its probability is that it has risen.
    pub theta_alpha: IndexSummary,
    /// (Theta + alpha) over beta power; has risen.
    pub slow_fast: IndexSummary,
    /// Alpha spindles per minute; has risen.
    pub spindles_per_min: IndexSummary,
    /// Amplitude of the P300 as a share of the calibration's; has fallen since the first forks.
    pub p300_amplitude: IndexSummary,
    /// Blinks per minute; have risen.
    #[serde(default)]
    pub blinks_per_min: IndexSummary,
    /// Length of a blink; has risen.
    #[serde(default)]
    pub blink_s: IndexSummary,
    /// PERCLOS; has risen.
    #[serde(default)]
    pub perclos: IndexSummary,
    /// Whether PERCLOS rests on the lid's opening; `false`: on times without an eye. `None` when not known.
    #[serde(default)]
    pub perclos_measured: Option<bool>,
    /// Peak velocity of a saccade of 5 degrees; has fallen.
    #[serde(default)]
    pub saccade_peak_deg_s: IndexSummary,
    /// Area over which a fixation spreads; has risen.
    #[serde(default)]
    pub bcea_deg2: IndexSummary,
}

/// One index over a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct IndexSummary {
    /// Forks at which it was known how it stood against the baseline.
    pub known: u64,
    /// Forks at which it had moved the way of fatigue with a probability over 0.95.
    pub moved: u64,
    /// Value at the last fork at which it was known.
    pub last: Option<f64>,
    /// Deviation there, in standard deviations of the baseline (of the P300 in standard errors).
    pub last_z: Option<f64>,
    /// Probability there that it has moved the way of fatigue.
    pub last_probability: Option<f64>,
    /// Correlation of its values with the time on task: one near 1 or -1 tells little that the clock does not. From 5 values on.
    pub time_on_task_r: Option<f64>,
}

/// Probability from which an index counts as moved.
pub const MOVED: f64 = 0.95;

impl StateSummary {
    fn of(rows: &[StateRow]) -> Option<Self> {
        let last = rows.last()?;
        Some(Self {
            forks: rows.len() as u64,
            time_on_task_s: last.time_on_task_s,
            theta_alpha: IndexSummary::of(rows, |row| of_index(&row.state.indices.theta_alpha)),
            slow_fast: IndexSummary::of(rows, |row| of_index(&row.state.indices.slow_fast)),
            spindles_per_min: IndexSummary::of(rows, |row| {
                of_index(&row.state.indices.spindles_per_min)
            }),
            p300_amplitude: IndexSummary::of(rows, |row| {
                let p300 = row.state.p300?;
                let since = p300.since?;
                Some((p300.amplitude, since.z, since.fallen))
            }),
            blinks_per_min: IndexSummary::of(rows, |row| of_index(&row.state.eyes.blinks_per_min)),
            blink_s: IndexSummary::of(rows, |row| of_index(&row.state.eyes.blink_s)),
            perclos: IndexSummary::of(rows, |row| of_index(&row.state.eyes.perclos)),
            perclos_measured: last.state.eyes.perclos_measured,
            saccade_peak_deg_s: IndexSummary::of(rows, |row| {
                let (value, z, risen) = of_index(&row.state.eyes.saccade_peak_deg_s)?;
                Some((value, z, 1.0 - risen))
            }),
            bcea_deg2: IndexSummary::of(rows, |row| of_index(&row.state.eyes.bcea_deg2)),
        })
    }
}

/// Value, deviation and probability; `None` unless all are known.
fn of_index(index: &Index) -> Option<(f64, f64, f64)> {
    Some((index.value?, index.z?, index.risen?))
}

impl IndexSummary {
    fn of(rows: &[StateRow], of: impl Fn(&StateRow) -> Option<(f64, f64, f64)>) -> Self {
        let known: Vec<_> = rows
            .iter()
            .filter_map(|row| Some((row.time_on_task_s, of(row)?)))
            .collect();
        let last = known.last().map(|(_, of)| *of);
        let points: Vec<_> = known
            .iter()
            .map(|(at, (value, ..))| (*at, *value))
            .collect();
        Self {
            known: known.len() as u64,
            moved: known.iter().filter(|(_, (.., p))| *p > MOVED).count() as u64,
            last: last.map(|(value, ..)| value),
            last_z: last.map(|(_, z, _)| z),
            last_probability: last.map(|(.., p)| p),
            time_on_task_r: correlation(&points),
        }
    }
}

/// Pearson's correlation, from 5 pairs on; `None` without any spread.
fn correlation(points: &[(f64, f64)]) -> Option<f64> {
    if points.len() < 5 {
        return None;
    }
    let n = points.len() as f64;
    let (mx, my) = points
        .iter()
        .fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in points {
        let (dx, dy) = (x - mx, y - my);
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    let r = xy / (xx * yy).sqrt();
    r.is_finite().then(|| r.clamp(-1.0, 1.0))
}

/// Forks by what became of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// All forks.
    pub forks: u64,
    /// Forks at which the person was asked.
    pub asked: u64,
    /// Asked, and an option was selected.
    pub committed: u64,
    /// Asked, and time ran out.
    pub declined: u64,
    /// Asked, and a doubt closed the gate.
    pub aborted: u64,
    /// Asked, and the session ended first.
    pub unfinished: u64,
    /// Taken by the person.
    pub by_human: u64,
    /// Taken by the imitator.
    pub by_imitator: u64,
    /// Taken by the model.
    pub by_model: u64,
    /// Taken by nobody: asked again, other branches, undo.
    pub by_nobody: u64,
    /// Aborted forks by reason.
    pub aborted_by_reason: BTreeMap<String, u64>,
}

/// A proportion's 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower bound, 0..=1.
    pub low: f64,
    /// Upper bound, 0..=1.
    pub high: f64,
}

/// How often one way of choosing chose what the person wanted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ArmScore {
    /// Forks scored.
    pub n: u64,
    /// Of these, right.
    pub correct: u64,
    /// Of these, without a single best option; they count as not right.
    pub undecided: u64,
    /// `correct / n`; `None` when there is nothing to score.
    pub accuracy: Option<f64>,
    /// Wilson's interval for it.
    pub interval: Option<Interval>,
}

/// The four arms from the same data, and the choices that were made.
///
/// The arms are scored on every fork that was asked, ended by a commit or a timeout, and whose wish is known: all four on the
/// same forks. Aborted forks are left out, their data being in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ArmScores {
    /// The capped prior alone.
    pub prior: ArmScore,
    /// Gaze alone.
    pub gaze: ArmScore,
    /// P300 alone.
    pub eeg: ArmScore,
    /// Prior, gaze and P300.
    pub fused: ArmScore,
    /// What the gate committed, on the committed forks alone; key presses are among them.
    pub committed: ArmScore,
}

/// Time and information. Values are `None` when there is nothing to compute them from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Median time from the opening of a fork to its commit, seconds.
    pub decision_s_median: Option<f64>,
    /// The time within which 9 of 10 commits came, seconds.
    pub decision_s_p90: Option<f64>,
    /// Mean time to a commit, seconds.
    pub decision_s_mean: Option<f64>,
    /// Commits per 100 tokens written.
    pub selections_per_100_tokens: Option<f64>,
    /// Mean number of flashes shown before a commit.
    pub flashes_per_decision: Option<f64>,
    /// Wolpaw's information per selection, bits, from the accuracy of commits and the mean number of options.
    pub wolpaw_bits_per_selection: Option<f64>,
    /// The same per minute of decision time: the information transfer rate.
    pub itr_bits_per_min: Option<f64>,
    /// Mean information the person added at a commit, bits: Kullback-Leibler divergence of the posterior from the capped prior.
    pub bits_added_mean: Option<f64>,
    /// The same, summed over the session.
    pub bits_added_total: f64,
}

impl Summary {
    /// Computes the figures.
    #[must_use]
    pub fn of(input: &SummaryInput<'_>) -> Self {
        let accuracy = input.truth.map(|truth| ArmScores::of(input.choices, truth));
        Self {
            counts: Counts::of(input.forks, input.choices),
            tokens_written: input
                .choices
                .iter()
                .map(|choice| choice.tokens_written)
                .chain(input.forks.iter().map(|fork| fork.tokens_written))
                .max()
                .unwrap_or(0),
            speed: Speed::of(input, accuracy.as_ref()),
            autonomy: None,
            guard: None,
            state: StateSummary::of(input.states),
            signal: None,
            accuracy,
        }
    }

    /// Computes the figures of a whole ledger.
    ///
    /// # Errors
    /// [`LedgerError`] when it cannot be read.
    pub fn of_ledger(ledger: &Ledger, truth: Option<&Truth>) -> Result<Self, LedgerError> {
        let (forks, choices) = (ledger.forks()?, ledger.choices()?);
        let states = ledger.states()?;
        let imitate = ledger.session()?.protocol.config().imitate;
        let events = ledger.events()?;
        Ok(Self {
            autonomy: AutonomySummary::of(&events, &imitate),
            guard: GuardSummary::of(&events, &forks),
            ..Self::of(&SummaryInput {
                forks: &forks,
                choices: &choices,
                states: &states,
                truth,
            })
        })
    }
}

impl Counts {
    fn of(forks: &[ForkRow], choices: &[ChoiceRow]) -> Self {
        let mut counts = Self {
            forks: forks.len() as u64,
            asked: forks.iter().filter(|fork| fork.is_asked()).count() as u64,
            ..Self::default()
        };
        for choice in choices {
            match choice.outcome {
                Some(Outcome::Committed) => counts.committed += 1,
                Some(Outcome::Declined) => counts.declined += 1,
                Some(Outcome::Aborted) => counts.aborted += 1,
                None => {}
            }
            match choice.chooser {
                Some(Chooser::Human) => counts.by_human += 1,
                Some(Chooser::Imitator) => counts.by_imitator += 1,
                Some(Chooser::Model) => counts.by_model += 1,
                None => counts.by_nobody += 1,
            }
            if let Why::Aborted(reason) = choice.why {
                *counts
                    .aborted_by_reason
                    .entry(reason.to_string())
                    .or_default() += 1;
            }
        }
        counts.unfinished = counts
            .asked
            .saturating_sub(counts.committed + counts.declined + counts.aborted);
        counts
    }
}

impl ArmScore {
    /// Counts what was picked against what was wanted.
    fn of(picks: impl Iterator<Item = (Option<i32>, i32)>) -> Self {
        let (mut n, mut correct, mut undecided) = (0, 0, 0);
        for (pick, wish) in picks {
            n += 1;
            match pick {
                Some(item) if item == wish => correct += 1,
                Some(_) => {}
                None => undecided += 1,
            }
        }
        Self {
            n,
            correct,
            undecided,
            accuracy: (n > 0).then(|| correct as f64 / n as f64),
            interval: wilson_interval(correct, n),
        }
    }
}

impl ArmScores {
    fn of(choices: &[ChoiceRow], truth: &Truth) -> Self {
        let scored: Vec<(&Arms, i32)> = choices
            .iter()
            .filter(|choice| matches!(choice.outcome, Some(Outcome::Committed | Outcome::Declined)))
            .filter_map(|choice| Some((choice.arms.as_ref()?, truth.wish(choice.fork)?)))
            .collect();
        let arm = |posterior: fn(&Arms) -> &Posterior| {
            ArmScore::of(scored.iter().map(|&(arms, wish)| {
                let pick = posterior(arms)
                    .pick()
                    .and_then(|option| i32::try_from(option).ok());
                (pick, wish)
            }))
        };
        Self {
            prior: arm(|arms| &arms.prior),
            gaze: arm(|arms| &arms.gaze),
            eeg: arm(|arms| &arms.eeg),
            fused: arm(|arms| &arms.fused),
            committed: ArmScore::of(committed(choices).filter_map(|choice| {
                let selected = choice
                    .selected()
                    .and_then(|option| i32::try_from(option).ok());
                Some((selected, truth.wish(choice.fork)?))
            })),
        }
    }
}

impl Speed {
    fn of(input: &SummaryInput<'_>, accuracy: Option<&ArmScores>) -> Self {
        let forks: BTreeMap<ForkId, &ForkRow> =
            input.forks.iter().map(|fork| (fork.fork, fork)).collect();
        let mut times_s = Vec::new();
        let mut bits = Vec::new();
        let mut options = Vec::new();
        let mut flashes = Vec::new();
        for choice in committed(input.choices) {
            flashes.push(choice.flashes as f64);
            let Some(fork) = forks.get(&choice.fork) else {
                continue;
            };
            times_s.push(choice.decided_at.since(fork.opened_at));
            if let (Some(posterior), Some(prior)) = (&choice.posterior, &fork.prior_capped) {
                options.push(posterior.options() as f64);
                bits.extend(posterior.bits_from(prior));
            }
        }
        times_s.sort_by(f64::total_cmp);
        let decision_s_mean = mean(&times_s);
        let wolpaw_bits_per_selection = accuracy
            .and_then(|scores| scores.committed.accuracy)
            .zip(mean(&options))
            .map(|(accuracy, options)| wolpaw_bits(options, accuracy));
        let tokens = input
            .choices
            .iter()
            .map(|choice| choice.tokens_written)
            .max()
            .unwrap_or(0);
        Self {
            decision_s_median: quantile(&times_s, 0.5),
            decision_s_p90: quantile(&times_s, 0.9),
            decision_s_mean,
            selections_per_100_tokens: (tokens > 0)
                .then(|| 100.0 * committed(input.choices).count() as f64 / tokens as f64),
            flashes_per_decision: mean(&flashes),
            wolpaw_bits_per_selection,
            itr_bits_per_min: wolpaw_bits_per_selection
                .zip(decision_s_mean)
                .filter(|&(_, seconds)| seconds > 0.0)
                .map(|(bits, seconds)| bits * 60.0 / seconds),
            bits_added_mean: mean(&bits),
            bits_added_total: bits.iter().sum(),
        }
    }
}

fn committed(choices: &[ChoiceRow]) -> impl Iterator<Item = &ChoiceRow> {
    choices
        .iter()
        .filter(|choice| choice.outcome == Some(Outcome::Committed))
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The smallest value that at least a share `q` of the sorted values does not exceed (nearest rank).
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// Wilson's 95 % score interval for `correct` of `n`; `None` for `n = 0`.
///
/// E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), without continuity
/// correction.
#[must_use]
pub fn wilson_interval(correct: u64, n: u64) -> Option<Interval> {
    if n == 0 || correct > n {
        return None;
    }
    let (n, p) = (n as f64, correct as f64 / n as f64);
    let z2 = Z_95 * Z_95;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z_95 / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    Some(Interval {
        low: (centre - half).max(0.0),
        high: (centre + half).min(1.0),
    })
}

/// Bits per selection among `options` with the given accuracy; 0 at or below chance.
///
/// J. R. Wolpaw et al., "Brain-computer interfaces for communication and control", Clin. Neurophysiol. 113 (2002), p. 774:
/// `log2 N + P log2 P + (1 - P) log2((1 - P) / (N - 1))`. It takes all errors as equally likely, and undervalues a choice among
/// few options that differ in meaning: read it beside the bits added.
#[must_use]
pub fn wolpaw_bits(options: f64, accuracy: f64) -> f64 {
    if options.is_nan() || options < 2.0 || accuracy.is_nan() || accuracy <= 1.0 / options {
        return 0.0;
    }
    if accuracy >= 1.0 {
        return options.log2();
    }
    options.log2()
        + accuracy * accuracy.log2()
        + (1.0 - accuracy) * ((1.0 - accuracy) / (options - 1.0)).log2()
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use super::*;

    #[test]
    fn wilson_agrees_with_published_values() {
        // Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        for (correct, n, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0000, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let interval = wilson_interval(correct, n).unwrap();
            assert!((interval.low - low).abs() < 5e-5, "{interval:?}");
            assert!((interval.high - high).abs() < 5e-5, "{interval:?}");
        }
        assert_eq!(wilson_interval(0, 0), None);
    }

    #[test]
    fn wolpaw_gives_one_bit_for_three_options_at_ninety_per_cent() {
        assert!((wolpaw_bits(3.0, 0.9) - 1.016).abs() < 1e-3);
        assert_eq!(wolpaw_bits(4.0, 1.0), 2.0);
        assert_eq!(wolpaw_bits(4.0, 0.25), 0.0);
        assert_eq!(wolpaw_bits(4.0, 0.1), 0.0);
        assert_eq!(wolpaw_bits(1.0, 1.0), 0.0);
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values = [1.0, 2.0, 3.0, 4.0, 10.0];
        assert_eq!(quantile(&values, 0.5), Some(3.0));
        assert_eq!(quantile(&values, 0.9), Some(10.0));
        assert_eq!(quantile(&values, 0.2), Some(1.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
