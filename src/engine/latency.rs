//! `latency.json`: the steps of decided forks, and of every block of samples.

use serde::{Deserialize, Serialize};

use crate::config::BudgetSection;
use crate::pipeline::clock::ClockCounts;
use crate::pipeline::eeg::StepTimes;
use crate::pipeline::trace::{StepReport, step_report};
use crate::session::SignalSummary;

/// Latency of a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LatencyReport {
    /// The five steps of the forks that were decided.
    pub forks: Vec<StepReport>,
    /// The first two steps of every block of each stream.
    pub streams: Vec<StreamLatency>,
    /// Items that the gate lost because a ring was full.
    pub gate_items_dropped: u64,
}

/// Latency of one stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StreamLatency {
    /// `eeg` or `gaze`.
    pub stream: String,
    /// Stamp to pulled and pulled to scored, per block.
    pub steps: Vec<StepReport>,
    /// What the stream's path counted.
    pub counts: serde_json::Value,
    /// Flashes whose epoch could not be used.
    pub rejected: u64,
}

impl LatencyReport {
    /// How the EEG was; `None` without EEG.
    #[must_use]
    pub fn signal(&self) -> Option<SignalSummary> {
        let mut of_streams = self
            .streams
            .iter()
            .map(|stream| stream.counts.get("signal"));
        let counts = of_streams.find_map(|counts| counts)?;
        serde_json::from_value(counts.clone()).ok()
    }
}

impl StreamLatency {
    /// What was counted of the stream's clock; `None` where nothing guarded it.
    #[must_use]
    pub fn clock(&self) -> Option<ClockCounts> {
        serde_json::from_value(self.counts.get("clock")?.clone()).ok()
    }

    /// The report of a stream's histograms.
    #[must_use]
    pub fn new(
        stream: &str,
        steps: &StepTimes,
        budget: &BudgetSection,
        counts: serde_json::Value,
        rejected: u64,
    ) -> Self {
        let steps = vec![
            step_report(
                "stamp>pulled",
                &steps.stamp_to_pulled,
                budget.stamp_to_pulled_ms,
            ),
            step_report(
                "pulled>scored",
                &steps.pulled_to_scored,
                budget.pulled_to_scored_ms,
            ),
        ];
        Self {
            stream: stream.into(),
            steps,
            counts,
            rejected,
        }
    }
}

impl LatencyReport {
    /// Steps that missed their budget, as [`StepReport::is_missed`] has it: stream, step, misses, measurements. Stamp to
    /// pulled is the device's and the network's time; it is reported and counted like the others.
    #[must_use]
    pub fn misses(&self) -> Vec<String> {
        let of = |name: &str, steps: &[StepReport]| -> Vec<String> {
            steps
                .iter()
                .filter(|step| step.is_missed())
                .filter_map(|step| {
                    let (figure, us) = step.judged()?;
                    Some(format!(
                        "{name} {}: {figure} {us:.1} us, budget {:.0} us, {} of {} over",
                        step.step, step.budget_us, step.misses, step.n
                    ))
                })
                .collect()
        };
        let mut all = of("forks", &self.forks);
        for stream in &self.streams {
            all.extend(of(&stream.stream, &stream.steps));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::trace::{LatencyBook, STEPS};

    /// A book of `n` forks, whose decided > committed took `us` microseconds and once `once_us`.
    fn report(n: u64, us: u64, once_us: u64) -> LatencyReport {
        let mut book = LatencyBook::new(&BudgetSection::default());
        let step = STEPS
            .iter()
            .position(|step| *step == "decided>committed")
            .unwrap();
        (1..n).for_each(|_| book.note_step(step, us * 1_000));
        book.note_step(step, once_us * 1_000);
        LatencyReport {
            forks: book.report(),
            streams: Vec::new(),
            gate_items_dropped: 0,
        }
    }

    #[test]
    fn of_few_forks_a_single_one_over_budget_misses_it_and_of_a_hundred_it_does_not() {
        let few = report(99, 100, 2_000).misses();
        assert_eq!(few.len(), 1);
        assert!(
            few[0].starts_with("forks decided>committed: max "),
            "{few:?}"
        );
        assert!(
            few[0].ends_with(", budget 1000 us, 1 of 99 over"),
            "{few:?}"
        );
        assert_eq!(report(100, 100, 2_000).misses(), Vec::<String>::new());
        let many = report(100, 2_000, 2_000).misses();
        assert!(
            many[0].starts_with("forks decided>committed: p99 "),
            "{many:?}"
        );
        assert!(many[0].ends_with("100 of 100 over"), "{many:?}");
    }
}
