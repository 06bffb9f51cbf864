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

/// Distribution of one step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepReport {
    /// Which step.
    pub step: String,
    /// Measurements.
    pub n: u64,
    /// Median, microseconds.
    pub p50_us: f64,
    /// 99th percentile, microseconds.
    pub p99_us: f64,
    /// 99.9th percentile, microseconds.
    pub p999_us: f64,
    /// Largest, microseconds.
    pub max_us: f64,
    /// Budget, microseconds.
    pub budget_us: f64,
    /// Measurements over budget.
    pub misses: u64,
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
    StepReport {
        step: step.into(),
        n: histogram.len(),
        p50_us: us(histogram.value_at_quantile(0.5)),
        p99_us: us(histogram.value_at_quantile(0.99)),
        p999_us: us(histogram.value_at_quantile(0.999)),
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

/// The report as a table for people.
#[must_use]
pub fn table(report: &[StepReport]) -> String {
    let mut text = format!(
        "{:<20}{:>8}{:>11}{:>11}{:>11}{:>11}{:>12}{:>8}\n",
        "step", "n", "p50 us", "p99 us", "p99.9 us", "max us", "budget us", "misses"
    );
    for row in report {
        text.push_str(&format!(
            "{:<20}{:>8}{:>11.1}{:>11.1}{:>11.1}{:>11.1}{:>12.0}{:>8}\n",
            row.step,
            row.n,
            row.p50_us,
            row.p99_us,
            row.p999_us,
            row.max_us,
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

    #[test]
    fn missing_places_leave_their_steps_empty() {
        let mut trace = Trace::default();
        trace.mark(Place::Decided, 10);
        trace.mark(Place::Committed, 30);
        assert_eq!(trace.steps_ns(), [None, None, None, Some(20), None]);
    }
}
