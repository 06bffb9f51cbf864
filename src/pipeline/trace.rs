//! The latency trace: each decided fork is stamped at six places, each step between them has a budget.
//!
//! `stamp > pulled > scored > decided > committed > shown`, all on `CLOCK_MONOTONIC` of this machine; `stamp` is the
//! source's stamp of the last sample behind the deciding evidence, corrected by the clock offset frozen for the fork.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::config::BudgetSection;

/// The places where a fork is stamped, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Stamp of the last sample behind the deciding evidence.
    Stamp,
    /// The sample left the source.
    Pulled,
    /// The evidence was ready.
    Scored,
    /// The gate decided.
    Decided,
    /// The decoder stands on the chosen branch, next logits at hand.
    Committed,
    /// The text was handed to the screen.
    Shown,
}

/// Number of places.
pub const PLACES: usize = 6;
/// Names of the steps between neighbouring places.
pub const STEPS: [&str; PLACES - 1] = [
    "stamp>pulled",
    "pulled>scored",
    "scored>decided",
    "decided>committed",
    "committed>shown",
];

/// When one fork passed each place, monotonic nanoseconds; 0 where it has not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    at_ns: [u64; PLACES],
}

impl Trace {
    /// Notes the passing of `place` at `at_ns` on the monotonic clock.
    pub fn mark(&mut self, place: Place, at_ns: u64) {
        self.at_ns[place as usize] = at_ns;
    }

    /// When `place` was passed.
    #[must_use]
    pub fn at(&self, place: Place) -> Option<u64> {
        Some(self.at_ns[place as usize]).filter(|at| *at != 0)
    }

    /// Nanoseconds of each step, `None` where an end is missing. A stamp that lies ahead of our clock gives 0.
    #[must_use]
    pub fn steps_ns(&self) -> [Option<u64>; PLACES - 1] {
        std::array::from_fn(|step| {
            let (from, to) = (self.at_ns[step], self.at_ns[step + 1]);
            (from != 0 && to != 0).then(|| to.saturating_sub(from))
        })
    }
}

/// Fewest measurements from which a 99th percentile is given.
///
/// The rule for both: so many that one of them lies beyond the percentile. Of fewer, the percentile would be the largest
/// measurement under another name.
pub const P99_N_MIN: u64 = 100;
/// Fewest measurements from which a 99.9th percentile is given; see [`P99_N_MIN`].
pub const P999_N_MIN: u64 = 1_000;

/// The upper percentiles of a distribution, microseconds; `None` where there are too few measurements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tail {
    /// 99th percentile; from [`P99_N_MIN`] measurements on.
    pub p99_us: Option<f64>,
    /// 99.9th percentile; from [`P999_N_MIN`] measurements on.
    pub p999_us: Option<f64>,
}

impl Tail {
    /// Of a histogram of nanoseconds.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let us = |quantile| Some(histogram.value_at_quantile(quantile) as f64 / 1e3);
        Self {
            p99_us: us(0.99),
            p999_us: us(0.999),
        }
        .supported_by(histogram.len())
    }

    /// Without what `n` measurements do not support.
    fn supported_by(self, n: u64) -> Self {
        Self {
            p99_us: self.p99_us.filter(|_| n >= P99_N_MIN),
            p999_us: self.p999_us.filter(|_| n >= P999_N_MIN),
        }
    }
}

/// Distribution of one step.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "WrittenStep")]
pub struct StepReport {
    /// Which step.
    pub step: String,
    /// Measurements. Without any, median and largest are 0 and say nothing.
    pub n: u64,
    /// Median, microseconds.
    pub p50_us: f64,
    /// 99th percentile, microseconds; `None` below [`P99_N_MIN`] measurements.
    pub p99_us: Option<f64>,
    /// 99.9th percentile, microseconds; `None` below [`P999_N_MIN`] measurements.
    pub p999_us: Option<f64>,
    /// Largest, microseconds.
    pub max_us: f64,
    /// Budget, microseconds.
    pub budget_us: f64,
    /// Measurements over budget.
    pub misses: u64,
}

/// A step as it stands in a file. Older files hold percentiles of any number of measurements: those of too few are not
/// taken over.
#[derive(Deserialize)]
struct WrittenStep {
    step: String,
    n: u64,
    p50_us: f64,
    p99_us: Option<f64>,
    p999_us: Option<f64>,
    max_us: f64,
    budget_us: f64,
    misses: u64,
}

impl From<WrittenStep> for StepReport {
    fn from(written: WrittenStep) -> Self {
        let WrittenStep {
            step,
            n,
            p50_us,
            p99_us,
            p999_us,
            max_us,
            budget_us,
            misses,
        } = written;
        let Tail { p99_us, p999_us } = Tail { p99_us, p999_us }.supported_by(n);
        Self {
            step,
            n,
            p50_us,
            p99_us,
            p999_us,
            max_us,
            budget_us,
            misses,
        }
    }
}

impl StepReport {
    /// The figure that is held against the budget, microseconds, and its name: `p99`, or `max` where the measurements are
    /// too few for one. `None` without any measurement.
    #[must_use]
    pub fn judged(&self) -> Option<(&'static str, f64)> {
        (self.n > 0).then(|| self.p99_us.map_or(("max", self.max_us), |us| ("p99", us)))
    }

    /// Whether that figure lies over the budget. A step that was never measured misses nothing.
    #[must_use]
    pub fn is_missed(&self) -> bool {
        self.judged().is_some_and(|(_, us)| us > self.budget_us)
    }
}

/// Histograms of all steps against their budgets.
#[derive(Debug, Clone)]
pub struct LatencyBook {
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
struct Step {
    name: &'static str,
    budget_ns: u64,
    histogram: Histogram<u64>,
}

/// Distribution of a histogram of nanoseconds against a budget.
#[must_use]
pub fn step_report(step: &str, histogram: &Histogram<u64>, budget_ms: f64) -> StepReport {
    let us = |nanos: u64| nanos as f64 / 1e3;
    let budget_ns = (budget_ms * 1e6) as u64;
    // Counted by the histogram's own buckets, three significant digits wide.
    let misses = histogram
        .iter_recorded()
        .filter(|value| value.value_iterated_to() > budget_ns)
        .map(|value| value.count_at_value())
        .sum();
    let Tail { p99_us, p999_us } = Tail::of(histogram);
    StepReport {
        step: step.into(),
        n: histogram.len(),
        p50_us: us(histogram.value_at_quantile(0.5)),
        p99_us,
        p999_us,
        max_us: us(histogram.max()),
        budget_us: budget_ms * 1e3,
        misses,
    }
}

impl LatencyBook {
    /// An empty book; allocates.
    #[must_use]
    pub fn new(budget: &BudgetSection) -> Self {
        let budgets_ms = [
            budget.stamp_to_pulled_ms,
            budget.pulled_to_scored_ms,
            budget.scored_to_decided_ms,
            budget.decided_to_committed_ms,
            budget.committed_to_shown_ms,
        ];
        let steps = STEPS
            .iter()
            .zip(budgets_ms)
            .map(|(name, ms)| Step {
                name,
                budget_ns: (ms * 1e6) as u64,
                histogram: empty_histogram(),
            })
            .collect();
        Self { steps }
    }

    /// Notes all steps of a trace that are complete.
    pub fn note(&mut self, trace: &Trace) {
        for (step, nanos) in trace.steps_ns().into_iter().enumerate() {
            if let Some(nanos) = nanos {
                self.note_step(step, nanos);
            }
        }
    }

    /// Notes one step by its index in [`STEPS`]; an index beyond them is ignored. Does not allocate.
    pub fn note_step(&mut self, step: usize, nanos: u64) {
        if let Some(step) = self.steps.get_mut(step) {
            step.histogram.saturating_record(nanos.max(1));
        }
    }

    /// Adds another book's measurements.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.steps.iter_mut().zip(&other.steps) {
            // Both histograms have the same fixed bounds, for which addition cannot fail.
            let _ = mine.histogram.add(&theirs.histogram);
        }
    }

    /// Distribution per step; steps without measurements have n = 0.
    #[must_use]
    pub fn report(&self) -> Vec<StepReport> {
        self.steps
            .iter()
            .map(|step| step_report(step.name, &step.histogram, step.budget_ns as f64 / 1e6))
            .collect()
    }
}

/// 1 ns to 100 s, three significant digits.
pub(crate) fn empty_histogram() -> Histogram<u64> {
    match Histogram::new_with_bounds(1, 100_000_000_000, 3) {
        Ok(histogram) => histogram,
        Err(_) => unreachable!("1 < 2 * 1 <= 1e11 and 3 digits are valid bounds"),
    }
}

/// A time for a table, microseconds; a dash where there is none.
#[must_use]
pub fn in_table(us: Option<f64>) -> String {
    us.map_or_else(|| "-".into(), |us| format!("{us:.1}"))
}

/// The report as a table for people, with dashes for what too few measurements do not support.
#[must_use]
pub fn table(report: &[StepReport]) -> String {
    let mut text = format!(
        "{:<20}{:>8}{:>11}{:>11}{:>11}{:>11}{:>12}{:>8}\n",
        "step", "n", "p50 us", "p99 us", "p99.9 us", "max us", "budget us", "misses"
    );
    for row in report {
        let measured = |us| in_table(Some(us).filter(|_| row.n > 0));
        text.push_str(&format!(
            "{:<20}{:>8}{:>11}{:>11}{:>11}{:>11}{:>12.0}{:>8}\n",
            row.step,
            row.n,
            measured(row.p50_us),
            in_table(row.p99_us),
            in_table(row.p999_us),
            measured(row.max_us),
            row.budget_us,
            row.misses
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_trace_fills_every_step_and_counts_misses() {
        let mut book = LatencyBook::new(&BudgetSection::default());
        let mut trace = Trace::default();
        for (place, at) in [
            (Place::Stamp, 1_000_000),
            (Place::Pulled, 2_000_000),
            (Place::Scored, 5_000_000),
            (Place::Decided, 5_100_000),
            (Place::Committed, 5_200_000),
            (Place::Shown, 6_000_000),
        ] {
            trace.mark(place, at);
        }
        book.note(&trace);
        let report = book.report();
        assert!(report.iter().all(|step| step.n == 1));
        assert!((report[1].p50_us - 3_000.0).abs() < 3.0);
        assert_eq!(
            report.iter().map(|step| step.misses).collect::<Vec<_>>(),
            [0, 1, 0, 0, 0]
        );
    }

    /// The distribution of 1, 2, ... `n` microseconds against a budget in milliseconds.
    fn steps_up_to(n: u64, budget_ms: f64) -> StepReport {
        let mut histogram = empty_histogram();
        (1..=n).for_each(|us| histogram.record(us * 1_000).unwrap());
        step_report("a>b", &histogram, budget_ms)
    }

    #[test]
    fn a_percentile_stands_only_where_one_measurement_lies_beyond_it() {
        let given = |n| {
            let report = steps_up_to(n, 1.0);
            (report.p99_us.is_some(), report.p999_us.is_some())
        };
        assert_eq!(given(99), (false, false));
        assert_eq!(given(100), (true, false));
        assert_eq!(given(999), (true, false));
        assert_eq!(given(1_000), (true, true));
        let report = steps_up_to(1_000, 1.0);
        assert!((report.p99_us.unwrap() - 990.0).abs() < 1.0);
        assert!((report.p999_us.unwrap() - 999.0).abs() < 1.0);
    }

    #[test]
    fn of_too_few_measurements_the_largest_is_held_against_the_budget() {
        let few = steps_up_to(99, 0.0985);
        assert_eq!(few.judged().map(|(name, _)| name), Some("max"));
        assert!(few.is_missed(), "one of 99 lies over it");
        let many = steps_up_to(100, 0.0995);
        assert_eq!(many.judged().map(|(name, _)| name), Some("p99"));
        assert!(!many.is_missed(), "one of 100 may lie over it");
        assert_eq!(steps_up_to(0, 1.0).judged(), None);
        assert!(!steps_up_to(0, 1.0).is_missed());
    }

    #[test]
    fn a_table_has_dashes_where_nothing_was_measured_or_too_little() {
        let text = table(&[steps_up_to(0, 1.0), steps_up_to(4, 1.0)]);
        let words = |line: usize| -> Vec<_> {
            let line = text.lines().nth(line).unwrap();
            line.split_whitespace().collect()
        };
        assert_eq!(words(1), ["a>b", "0", "-", "-", "-", "-", "1000", "0"]);
        assert_eq!(words(2), ["a>b", "4", "2.0", "-", "-", "4.0", "1000", "0"]);
    }

    #[test]
    fn missing_percentiles_are_null_in_a_file_and_those_of_old_files_are_held_to_the_rule() {
        let json = serde_json::to_value(steps_up_to(5, 1.0)).unwrap();
        assert!(json["p99_us"].is_null() && json["p999_us"].is_null());
        let again: StepReport = serde_json::from_value(json).unwrap();
        assert_eq!((again.n, again.p99_us), (5, None));
        let of = |n: u64| -> StepReport {
            serde_json::from_value(serde_json::json!({
                "step": "a>b", "n": n, "p50_us": 2.0, "p99_us": 5.0, "p999_us": 6.0, "max_us": 7.0,
                "budget_us": 1.0, "misses": n,
            }))
            .unwrap()
        };
        assert_eq!((of(37).p99_us, of(37).p999_us), (None, None));
        assert_eq!((of(100).p99_us, of(100).p999_us), (Some(5.0), None));
        assert_eq!(of(1_000).p999_us, Some(6.0));
    }

    #[test]
    fn missing_places_leave_their_steps_empty() {
        let mut trace = Trace::default();
        trace.mark(Place::Decided, 10);
        trace.mark(Place::Committed, 30);
        assert_eq!(trace.steps_ns(), [None, None, None, Some(20), None]);
    }
}
