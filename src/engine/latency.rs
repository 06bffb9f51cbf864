//! `latency.json`: the steps of decided forks, and of every block of samples.

use serde::{Deserialize, Serialize};

use crate::config::BudgetSection;
use crate::pipeline::eeg::StepTimes;
use crate::pipeline::trace::{StepReport, step_report};

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

impl StreamLatency {
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
