//! Latency of each step as it stands: the latest, the distribution so far, the budget.
//!
//! The first two steps are those of every item of evidence that the gate was given, the last three those of decided forks. (The session's
//! own `latency.json` has the first two of every block of samples as well, which only the inlet threads know, and tell at the end.)

use super::status::StepNow;
use crate::config::BudgetSection;
use crate::pipeline::trace::{LatencyBook, PLACES, Trace};

/// Steps that belong to a sample on its way, before the gate decides.
const OF_ITEMS: usize = 2;

/// Latency so far.
#[derive(Debug)]
pub struct Stages {
    book: LatencyBook,
    latest_ns: [Option<u64>; PLACES - 1],
}

impl Stages {
    /// Nothing measured yet.
    #[must_use]
    pub fn new(budget: &BudgetSection) -> Self {
        Self {
            book: LatencyBook::new(budget),
            latest_ns: [None; PLACES - 1],
        }
    }

    /// An item of evidence has reached the gate.
    pub fn item(&mut self, trace: &Trace) {
        self.note(trace, 0..OF_ITEMS);
    }

    /// A decided fork has been followed, and the text shown.
    pub fn fork(&mut self, trace: &Trace) {
        self.note(trace, OF_ITEMS..PLACES - 1);
    }

    fn note(&mut self, trace: &Trace, steps: std::ops::Range<usize>) {
        let all = trace.steps_ns();
        for (step, latest) in self.latest_ns.iter_mut().enumerate() {
            if let Some(nanos) = all[step].filter(|_| steps.contains(&step)) {
                *latest = Some(nanos);
                self.book.note_step(step, nanos);
            }
        }
    }

    /// Every step as it stands.
    #[must_use]
    pub fn now(&self) -> Vec<StepNow> {
        let latest = self.latest_ns.iter();
        let steps = self.book.report();
        steps
            .iter()
            .zip(latest)
            .map(|(step, latest)| {
                let measured = |us: f64| (step.n > 0).then_some(us);
                StepNow {
                    latest_us: latest.map(|nanos| nanos as f64 / 1e3),
                    p50_us: measured(step.p50_us),
                    p99_us: step.p99_us,
                    max_us: measured(step.max_us),
                    budget_us: Some(step.budget_us),
                    misses: Some(step.misses as f64),
                    n: Some(step.n as f64),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::trace::Place;

    #[test]
    fn items_fill_the_first_two_steps_and_decided_forks_the_rest() {
        let mut stages = Stages::new(&BudgetSection::default());
        let mut trace = Trace::default();
        for (place, us) in [
            (Place::Stamp, 1),
            (Place::Pulled, 101),
            (Place::Scored, 111),
            (Place::Decided, 131),
            (Place::Committed, 2_131),
            (Place::Shown, 2_231),
        ] {
            trace.mark(place, us * 1_000);
        }
        stages.item(&trace);
        stages.item(&trace);
        let n = |stages: &Stages| -> Vec<f64> {
            stages.now().iter().filter_map(|step| step.n).collect()
        };
        assert_eq!(n(&stages), [2.0, 2.0, 0.0, 0.0, 0.0]);
        assert_eq!(stages.now()[3].p50_us, None);
        stages.fork(&trace);
        assert_eq!(n(&stages), [2.0, 2.0, 1.0, 1.0, 1.0]);
        let committed = &stages.now()[3];
        assert_eq!(committed.latest_us, Some(2_000.0));
        assert_eq!(committed.budget_us, Some(1_000.0));
        assert_eq!(committed.misses, Some(1.0));
        assert_eq!(committed.p99_us, None, "one measurement has no percentile");
    }
}
