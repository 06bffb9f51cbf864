//! One question to the person: from the fork that was found to the row that says how it ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use razvilka_dsp::state::AttendedFork;
use razvilka_dsp::units::{LslTime, MonoTime};

use crate::choice::deputy::Sighting;
use crate::choice::guard::{Answered, Selected};
use crate::choice::{Ask, Decider, Decision, Why};
use crate::config::AskSection;
use crate::fork::{Chooser, Divergence, Fork, ForkId, ForkStates, MAX_OPTIONS};
use crate::gate::{Arms, GateInput, Source, Verdict};
use crate::marker::{OptionKind, OptionTile, Outcome};
use crate::pipeline::decision::{Made, Record};
use crate::pipeline::trace::{STEPS, Trace};
use crate::session::{ChoiceRow, EvidenceRow};

/// Prior mass of each control option, as given to the gate (which caps it).
const CONTROL_PRIOR: f64 = 0.03;

/// A fork and what has become of it.
#[derive(Debug, Clone)]
pub struct Question {
    /// Number of the question; in markers and ledger it is the fork's number.
    pub id: ForkId,
    /// The fork as the decoder found it.
    pub fork: Fork,
    /// How often this fork was asked before.
    pub attempt: u32,
    /// The options.
    pub kinds: Vec<OptionKind>,
    /// Where they stand.
    pub tiles: Vec<OptionTile>,
    /// Prior of each option.
    pub priors: Vec<f64>,
    /// What the model holds here; `None` where nothing is remembered of this session, and behind a server.
    pub states: Option<Arc<ForkStates>>,
    /// What the person's memory of choices prefers, for each branch; `None` without one.
    pub preference: Option<Vec<f32>>,
    /// How differently the text goes on behind the branches; `None` where that was not measured.
    pub divergence: Option<Divergence>,
    /// When the gate opened, or the fork was passed by.
    pub opened_at: LslTime,
    /// How the gate ended.
    pub end: Option<End>,
    steps: u64,
    flashes: u32,
    looks: u32,
    /// Item, number and score of each flash that the gate was given.
    scores: Vec<(u32, u32, f64)>,
}

/// How the gate ended.
#[derive(Debug, Clone, Copy)]
pub struct End {
    /// The verdict.
    pub verdict: Verdict,
    /// What each source alone would have said.
    pub arms: Option<Arms>,
    /// Stamp to decided.
    pub trace: Trace,
    /// When.
    pub decided_at: LslTime,
}

/// What the decoder made of a question.
#[derive(Debug, Clone)]
pub struct Done {
    /// Item that was taken, by whomever.
    pub item: Option<i32>,
    /// Who took it; `None` when nobody did and the place is asked again.
    pub chooser: Option<Chooser>,
    /// Why.
    pub why: Why,
    /// Text that was written because of it.
    pub text: String,
    /// Tokens written since the session began.
    pub tokens_written: u64,
    /// Stamp to shown, as far as it goes.
    pub trace: Trace,
    /// When the decoder had followed.
    pub committed: MonoTime,
}

impl Question {
    /// A question about `fork`, with options `kinds` at `tiles`.
    #[must_use]
    pub fn new(
        id: ForkId,
        fork: Fork,
        attempt: u32,
        kinds: Vec<OptionKind>,
        tiles: Vec<OptionTile>,
        opened_at: LslTime,
    ) -> Self {
        let priors = priors(&fork, &kinds);
        Self {
            id,
            fork,
            attempt,
            kinds,
            tiles,
            priors,
            states: None,
            preference: None,
            divergence: None,
            opened_at,
            end: None,
            steps: 0,
            flashes: 0,
            looks: 0,
            scores: Vec::new(),
        }
    }

    /// Who chooses here.
    pub fn decide(&self, decider: &mut Decider, ask: &Ask) -> Decision {
        let attention = self.preference.iter().flatten();
        let attention: Vec<f64> = attention.copied().map(f64::from).collect();
        decider.decide(
            ask,
            &Sighting {
                fork: &self.fork,
                question: self.id.0,
                at_s: self.opened_at.get(),
                attention: &attention,
                divergence_bits: self.divergence,
            },
        )
    }

    /// Takes a record of the gate; gives the ledger's row for its input.
    pub fn take(&mut self, record: &Record) -> Option<EvidenceRow> {
        if record.verdict.is_terminal() && self.end.is_none() {
            let decided_at = record.input.map_or(self.opened_at, |input| input.now());
            let (verdict, arms, trace) = (record.verdict, record.arms, record.trace);
            self.end = Some(End {
                verdict,
                arms,
                trace,
                decided_at,
            });
        }
        let input = record.input?;
        let (item, raw_score, onset_sample) = match record.made {
            Some(Made::Flash {
                item,
                number,
                onset_sample,
                score,
            }) => {
                self.flashes += 1;
                self.scores.push((item, number, score));
                (i32::try_from(item).ok(), Some(score), Some(onset_sample))
            }
            Some(Made::Gaze { .. }) => {
                self.looks += 1;
                (None, None, None)
            }
            Some(Made::Blink {
                item,
                sample,
                score,
            }) => (i32::try_from(item).ok(), Some(score), Some(sample)),
            Some(Made::Pupil {
                item,
                sample,
                score,
            }) => (i32::try_from(item).ok(), Some(score), Some(sample)),
            Some(Made::Look { item, sample }) => (
                item.and_then(|item| i32::try_from(item).ok()),
                None,
                Some(sample),
            ),
            Some(Made::Contraction { sample, score }) => (None, Some(score), Some(sample)),
            Some(Made::Key { item }) => (i32::try_from(item).ok(), None, None),
            None => (None, None, None),
        };
        let flash_seq = match (record.made, input) {
            (Some(Made::Flash { number, .. }), _) => Some(u64::from(number)),
            _ => None,
        };
        let step = self.steps;
        self.steps += 1;
        Some(EvidenceRow {
            fork: self.id,
            step,
            input,
            item,
            flash_seq,
            raw_score,
            onset_sample,
        })
    }

    /// Flashes and gaze updates that the gate was given.
    #[must_use]
    pub fn evidence_counts(&self) -> (u32, u32) {
        (self.flashes, self.looks)
    }

    /// How the gate ended, in the marker's words; `None` when the person was not asked.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.end.map(|end| match end.verdict {
            Verdict::Committed { .. } => Outcome::Committed,
            Verdict::Declined { .. } => Outcome::Declined,
            Verdict::Aborted { .. } | Verdict::Closed | Verdict::Waiting { .. } => Outcome::Aborted,
        })
    }

    /// The option the gate committed to.
    #[must_use]
    pub fn committed_option(&self) -> Option<usize> {
        match self.end?.verdict {
            Verdict::Committed { option, .. } => Some(option),
            _ => None,
        }
    }

    /// How it ended, as the guard hears of it: `None` when the person was not asked, or a doubt closed the gate.
    #[must_use]
    pub fn answered(&self, ask: &AskSection) -> Option<Answered> {
        let end = self.end?;
        let selected = match end.verdict {
            Verdict::Committed { option, .. } => {
                let kind = self.kinds.get(option)?;
                let passed_s = (end.decided_at.get() - self.opened_at.get()).max(0.01);
                Some(Selected {
                    item: option,
                    corrects: matches!(kind, OptionKind::Other | OptionKind::Undo),
                    times_reading: passed_s / ask.reading_s(&self.tiles).max(0.1),
                })
            }
            Verdict::Declined { .. } => None,
            Verdict::Aborted { .. } | Verdict::Closed | Verdict::Waiting { .. } => return None,
        };
        Some(Answered {
            at_s: end.decided_at.get(),
            selected,
        })
    }

    /// The flashes of a question that was answered, told apart by the option that was committed; scores go through
    /// `standardise`. `None` when nothing was committed.
    #[must_use]
    pub fn attended(&self, standardise: impl Fn(f64) -> f64) -> Option<AttendedFork> {
        let chosen = self.committed_option()?;
        let mut fork = AttendedFork::default();
        for (item, _, score) in &self.scores {
            fork.add(*item as usize == chosen, standardise(*score));
        }
        Some(fork)
    }

    /// Numbers of the flashes that the gate was given.
    #[must_use]
    pub fn flashes_heard(&self) -> Vec<u32> {
        self.scores.iter().map(|(_, number, _)| *number).collect()
    }

    /// The ledger's row for how it ended. `mono_of` gives the monotonic moment of a stamp on our clock.
    #[must_use]
    pub fn choice_row(
        &self,
        done: &Done,
        mono_of: impl Fn(LslTime) -> MonoTime,
        model_sha256: &str,
        shown_flashes: u64,
    ) -> ChoiceRow {
        let arms = self.end.and_then(|end| end.arms);
        let decided_at = self.end.map_or(self.opened_at, |end| end.decided_at);
        let latency_ns: BTreeMap<_, _> = STEPS
            .iter()
            .zip(done.trace.steps_ns())
            .filter_map(|(name, nanos)| Some(((*name).to_owned(), nanos?)))
            .collect();
        let kind = done
            .item
            .and_then(|item| usize::try_from(item).ok())
            .and_then(|item| self.kinds.get(item).copied());
        ChoiceRow {
            fork: self.id,
            outcome: self.outcome(),
            item: done.item,
            kind,
            chooser: done.chooser,
            why: done.why,
            text: done.text.clone(),
            posterior: arms.map(|arms| arms.fused),
            arms,
            items_gaze: u64::from(self.looks),
            items_p300: u64::from(self.flashes),
            flashes: shown_flashes,
            tokens_written: done.tokens_written,
            decided_at,
            decided_mono: mono_of(decided_at),
            committed_mono: done.committed,
            latency_ns,
            model_sha256: model_sha256.to_owned(),
            adapter: None,
        }
    }
}

/// Prior of each option: the branches' own, and a little for each control.
#[must_use]
pub fn priors(fork: &Fork, kinds: &[OptionKind]) -> Vec<f64> {
    let mut branches = fork.branches.iter();
    kinds
        .iter()
        .take(MAX_OPTIONS)
        .map(|kind| match kind {
            OptionKind::Branch => branches
                .next()
                .map_or(0.0, |branch| branch.prior.clamp(0.0, 1.0)),
            _ => CONTROL_PRIOR,
        })
        .collect()
}

/// Which source an input came from, for counting; `None` for ticks and aborts.
#[must_use]
pub fn source_of(input: &GateInput) -> Option<Source> {
    input.source()
}
