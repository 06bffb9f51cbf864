//! How the open fork stands.
//!
//! The gate tells its verdict on every input, and the whole posterior only at a fork's end. In between the posterior is made again here: a
//! gate with the same settings is given the same inputs, so it comes to the same bits, and the gate's own thread has nothing more to do.

use crate::fork::{ForkId, MAX_OPTIONS};
use crate::gate::{Gate, GateSettings, Lease};
use crate::marker::OptionKind;
use crate::pipeline::decision::Record;
use crate::source::{Format, StreamSpec};
use razvilka_dsp::units::LslTime;

/// Name of the stream.
pub const FORK_STREAM: &str = "RazvilkaFork";
/// Channels before the posterior.
const BEFORE: [(&str, &str); 8] = [
    ("fork", "number"),
    ("phase", "code"),
    ("options", "number"),
    ("taken", "item"),
    ("open_s", "s"),
    ("timeout_s", "s"),
    ("flashes", "number"),
    ("gaze_updates", "number"),
];
/// Channels of a sample.
const CHANNELS: usize = BEFORE.len() + MAX_OPTIONS;

/// What the stream says of itself: number and phase of the latest fork, and the posterior of each option, NaN where there is none.
#[must_use]
pub fn fork_spec(session: &str) -> StreamSpec {
    let id = format!("razvilka-fork-{session}");
    let mut spec = super::spec(FORK_STREAM, "Fork", &id, Format::Float32);
    let before = BEFORE.iter();
    spec.labels = before
        .clone()
        .map(|(label, _)| (*label).to_owned())
        .collect();
    spec.units = before.map(|(_, unit)| (*unit).to_owned()).collect();
    for option in 0..MAX_OPTIONS {
        spec.labels.push(format!("posterior{option}"));
        spec.units.push("probability".into());
    }
    spec
}

/// Where a fork is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// None is open: the model writes.
    #[default]
    Writing,
    /// One waits to be asked: for streams, or because the session is paused.
    Held,
    /// It is asked.
    Open,
    /// An option was selected.
    Committed,
    /// Time ran out.
    Declined,
    /// A doubt closed it.
    Aborted,
}

impl Phase {
    const ALL: [Self; 6] = [
        Self::Writing,
        Self::Held,
        Self::Open,
        Self::Committed,
        Self::Declined,
        Self::Aborted,
    ];

    fn code(self) -> f32 {
        Self::ALL.iter().position(|one| *one == self).unwrap_or(0) as f32
    }

    fn of_code(code: f32) -> Self {
        let at = code as usize;
        Self::ALL.get(at).copied().unwrap_or_default()
    }
}

/// The latest fork at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ForkNow {
    /// Its number; `None` before the first.
    pub fork: Option<u64>,
    /// Where it is.
    pub phase: Phase,
    /// The item that was selected.
    pub taken: Option<usize>,
    /// Seconds since it was opened.
    pub open_s: Option<f32>,
    /// Seconds that it may be open.
    pub timeout_s: Option<f32>,
    /// Flashes that the gate was given.
    pub flashes: u32,
    /// Gaze updates that it was given.
    pub gaze_updates: u32,
    /// Posterior of each option.
    pub posterior: Vec<f32>,
}

impl ForkNow {
    /// One sample of the stream.
    #[must_use]
    pub fn values(&self) -> [f32; CHANNELS] {
        let number = |n: Option<f32>| n.unwrap_or(f32::NAN);
        let mut values = [f32::NAN; CHANNELS];
        let (before, posterior) = values.split_at_mut(BEFORE.len());
        before.copy_from_slice(&[
            number(self.fork.map(|fork| fork as f32)),
            self.phase.code(),
            self.posterior.len() as f32,
            number(self.taken.map(|item| item as f32)),
            number(self.open_s),
            number(self.timeout_s),
            self.flashes as f32,
            self.gaze_updates as f32,
        ]);
        posterior
            .iter_mut()
            .zip(&self.posterior)
            .for_each(|(to, from)| *to = *from);
        values
    }

    /// The fork of a sample; what is no sample of ours has none.
    #[must_use]
    pub fn of(values: &[f32]) -> Self {
        let at = |n: usize| values.get(n).copied().filter(|value| value.is_finite());
        let whole = |n: usize| at(n).filter(|value| *value >= 0.0);
        let options = (whole(2).unwrap_or(0.0) as usize).min(MAX_OPTIONS);
        Self {
            fork: whole(0).map(|fork| fork as u64),
            phase: Phase::of_code(whole(1).unwrap_or(0.0)),
            taken: whole(3).map(|item| item as usize),
            open_s: at(4),
            timeout_s: at(5),
            flashes: whole(6).unwrap_or(0.0) as u32,
            gaze_updates: whole(7).unwrap_or(0.0) as u32,
            posterior: (0..options)
                .map(|option| at(BEFORE.len() + option).unwrap_or(0.0).clamp(0.0, 1.0))
                .collect(),
        }
    }
}

/// The gate's answers, made again from its records.
#[derive(Debug)]
pub struct Mirror {
    gate: Gate,
}

impl Mirror {
    /// A mirror of a gate with these settings.
    #[must_use]
    pub fn new(settings: GateSettings) -> Self {
        Self {
            gate: Gate::new(settings),
        }
    }

    /// The gate was ordered to open this fork.
    pub fn open(
        &mut self,
        fork: ForkId,
        kinds: &[OptionKind],
        priors: &[f64],
        at: LslTime,
        lease: Lease,
    ) {
        self.gate.close();
        // What the gate refuses, it says in its records: the mirror then has no fork.
        let _ = self.gate.open(fork, kinds, priors, at, lease);
    }

    /// The gate was given something.
    pub fn take(&mut self, record: &Record) {
        if let Some(input) = record.input
            && self.gate.fork() == Some(record.fork)
        {
            self.gate.apply(&input);
        }
    }

    /// Posterior of each option of the latest fork; empty before the first.
    #[must_use]
    pub fn posterior(&self) -> Vec<f32> {
        let posterior = self.gate.posterior().as_slice();
        posterior.iter().map(|p| *p as f32).collect()
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use super::*;
    use crate::gate::{Evidence, GateInput};
    use crate::pipeline::trace::Trace;

    #[test]
    fn a_fork_comes_back_from_its_sample_and_what_is_not_known_stays_unknown() {
        let fork = ForkNow {
            fork: Some(7),
            phase: Phase::Committed,
            taken: Some(1),
            open_s: Some(2.5),
            timeout_s: Some(16.0),
            flashes: 12,
            gaze_updates: 40,
            posterior: vec![0.25, 0.5, 0.25],
        };
        assert_eq!(ForkNow::of(&fork.values()), fork);
        let none = ForkNow::default();
        assert_eq!(ForkNow::of(&none.values()), none);
        // Whatever a stream of this name sends, it is read as something.
        for values in [
            vec![],
            vec![f32::NAN; 3],
            vec![f32::INFINITY; 40],
            vec![-1e30; 16],
        ] {
            let read = ForkNow::of(&values);
            assert!(read.posterior.len() <= MAX_OPTIONS);
        }
        let spec = fork_spec("s");
        assert_eq!(spec.labels.len(), CHANNELS);
        assert_eq!(spec.units.len(), CHANNELS);
    }

    #[test]
    fn the_posterior_is_the_gates_own_after_every_input() {
        let at = |s: f64| LslTime::new(s).unwrap();
        let kinds = [OptionKind::Branch, OptionKind::Branch, OptionKind::Other];
        let priors = [0.5, 0.3, 0.03];
        let lease = Lease { epoch: 1 };
        let mut gate = Gate::new(GateSettings::default());
        let mut mirror = Mirror::new(GateSettings::default());
        assert!(mirror.posterior().is_empty());
        for fork in [ForkId(0), ForkId(1)] {
            gate.close();
            gate.open(fork, &kinds, &priors, at(100.0), lease).unwrap();
            mirror.open(fork, &kinds, &priors, at(100.0), lease);
            for seq in 0..6 {
                let now = at(100.2 + seq as f64 * 0.2);
                let item = (seq % 3) as usize;
                let evidence =
                    Evidence::flash(fork, lease, seq, now, item, 0.9 - 0.6 * item as f64);
                let input = GateInput::Evidence { evidence, now };
                let verdict = gate.apply(&input);
                mirror.take(&Record {
                    fork,
                    input: Some(input),
                    made: None,
                    verdict,
                    arms: None,
                    trace: Trace::default(),
                });
                let truth: Vec<f32> = gate
                    .posterior()
                    .as_slice()
                    .iter()
                    .map(|p| *p as f32)
                    .collect();
                assert_eq!(mirror.posterior(), truth);
                assert_eq!(truth.len(), 3);
            }
        }
    }
}
