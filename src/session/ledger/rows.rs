//! The rows, typed.

use std::collections::BTreeMap;

use razvilka_dsp::units::{LslTime, MonoTime};
use rusqlite::types::Value;
use serde::{Deserialize, Serialize};

use super::codec::{Columns, ExactList, Fields};
use super::error::LedgerError;
use super::schema::{self, Table};
use crate::choice::{Decision, FlashSettings, ProtocolSettings, Why};
use crate::fork::{Chooser, ForkId, ForkOrigin};
use crate::gate::{
    Arms, Contraction, Evidence, GateInput, GateSettings, Lease, Look, Posterior, Source, Told,
};
use crate::marker::{OptionKind, OptionTile, Outcome};
use crate::person::{PersonState, VALUES};
use crate::source::ClockOffset;

/// A row that knows its table. Columns are written and read in the table's order.
pub(super) trait Row: Sized {
    const TABLE: &'static Table;

    fn values(&self) -> Result<Vec<Value>, LedgerError>;

    fn read(columns: Columns<'_>) -> Result<Self, LedgerError>;
}

/// What the session began with; the first row of every ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionRow {
    /// Identity of the session, as in the manifest.
    pub session: String,
    /// Start, UTC.
    pub started_utc: String,
    /// Version of the program.
    pub razvilka_version: String,
    /// The session's seed.
    pub seed: u64,
    /// SHA-256 of the configuration in the manifest.
    pub config_sha256: String,
    /// How items flash.
    pub flash: FlashSettings,
    /// When the person is asked.
    pub protocol: ProtocolSettings,
}

/// A fork as it was found: everything needed to open the gate again.
#[derive(Debug, Clone, PartialEq)]
pub struct ForkRow {
    /// Identity.
    pub fork: ForkId,
    /// Tokens of text before the fork.
    pub position_tokens: u64,
    /// Tokens written since the session began, undone ones included.
    pub tokens_written: u64,
    /// The end of the text before the fork.
    pub context: String,
    /// Why there is a fork here.
    pub origin: ForkOrigin,
    /// How often this place was asked before.
    pub attempt: u32,
    /// Whether the person was asked, and why or why not.
    pub decision: Decision,
    /// When the gate was opened, or the fork passed by, on our LSL clock.
    pub opened_at: LslTime,
    /// The same moment on the monotonic clock.
    pub opened_mono: MonoTime,
    /// The epoch of the streams.
    pub lease: Lease,
    /// The gate's settings for this fork.
    pub gate: GateSettings,
    /// The prior after capping; `None` when the gate was not opened.
    pub prior_capped: Option<Posterior>,
    /// The EEG clock's offset in use.
    pub eeg_clock: Option<ClockOffset>,
    /// The gaze clock's offset in use.
    pub gaze_clock: Option<ClockOffset>,
    /// SHA-256 of the model.
    pub model_sha256: String,
    /// Version of the adapter, if one was in use.
    pub adapter: Option<String>,
}

impl ForkRow {
    /// Whether the person was asked.
    #[must_use]
    pub const fn is_asked(&self) -> bool {
        matches!(self.decision, Decision::Ask(_))
    }
}

/// An option as it was offered.
#[derive(Debug, Clone, PartialEq)]
pub struct OptionRow {
    /// Its fork.
    pub fork: ForkId,
    /// What the person saw, and where.
    pub tile: OptionTile,
    /// The branch's tokens; none for control options.
    pub tokens: Vec<u32>,
    /// The prior as it was given to the gate, before capping.
    pub prior: f64,
    /// Log-probability of the tokens, nats; NaN for control options.
    pub log_prob_nats: f64,
    /// What the person's memory of choices preferred here, by attention; `None` for control options, and where it said nothing.
    pub attention: Option<f64>,
}

/// One input of the gate and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvidenceRow {
    /// The fork that was open.
    pub fork: ForkId,
    /// Number of the input within the fork, from 0: the order in which a replay feeds them.
    pub step: u64,
    /// The input.
    pub input: GateInput,
    /// The item that flashed, fillers included, that was pressed, or that the eyes rested on; `None` of gaze, and of a contraction, of which
    /// only the gate knows.
    pub item: Option<i32>,
    /// Sequence number of the flash's marker.
    pub flash_seq: Option<u64>,
    /// The classifier's score before it became a likelihood; NaN is kept as `None`.
    pub raw_score: Option<f64>,
    /// Index of the first EEG sample of the epoch; of a blink, a look, a contraction or a response of the pupil, of the sample with which it was known.
    pub onset_sample: Option<u64>,
}

/// How a fork ended.
#[derive(Debug, Clone, PartialEq)]
pub struct ChoiceRow {
    /// The fork.
    pub fork: ForkId,
    /// How the gate ended; `None` when the person was not asked.
    pub outcome: Option<Outcome>,
    /// The option that was taken in the end, by whomever; `None` when none was. After `go on` that is the model's branch, not the
    /// option the person selected: see [`ChoiceRow::selected`].
    pub item: Option<i32>,
    /// Its kind.
    pub kind: Option<OptionKind>,
    /// Who took it; `None` when nobody did (the place is asked again).
    pub chooser: Option<Chooser>,
    /// Why.
    pub why: Why,
    /// The text that was written because of it.
    pub text: String,
    /// The gate's posterior at the end; `None` when the person was not asked.
    pub posterior: Option<Posterior>,
    /// What each source alone would have said.
    pub arms: Option<Arms>,
    /// Gaze items in the posterior.
    pub items_gaze: u64,
    /// P300 items in the posterior.
    pub items_p300: u64,
    /// Flashes shown, fillers included.
    pub flashes: u64,
    /// Tokens written since the session began, after this choice.
    pub tokens_written: u64,
    /// When the gate decided, on our LSL clock.
    pub decided_at: LslTime,
    /// The same moment on the monotonic clock.
    pub decided_mono: MonoTime,
    /// When the decoder had taken the choice.
    pub committed_mono: MonoTime,
    /// Time spent in each stage, nanoseconds, by the stage's name.
    pub latency_ns: BTreeMap<String, u64>,
    /// SHA-256 of the model.
    pub model_sha256: String,
    /// Version of the adapter, if one was in use.
    pub adapter: Option<String>,
}

impl ChoiceRow {
    /// The option that the gate committed; `None` when it committed none.
    #[must_use]
    pub fn selected(&self) -> Option<usize> {
        match (self.outcome, &self.posterior) {
            (Some(Outcome::Committed), Some(posterior)) => Some(posterior.best().option),
            _ => None,
        }
    }
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// The session paused.
    Pause,
    /// The session went on.
    Resume,
    /// The operator intervened.
    Operator,
    /// A stream came, went or was refused.
    Source,
    /// A clock jumped or drifted.
    Clock,
    /// The model was slow, failed or was restarted.
    Model,
    /// Something of the recording is missing.
    Recording,
    /// A fault not named above.
    Fault,
    /// Settings, a classifier or an adapter were exchanged.
    Exchange,
    /// The EEG scorer learnt from confirmed choices.
    Adaptation,
    /// How much is left to the imitator: [`AutonomyEvent`](crate::session::AutonomyEvent).
    Autonomy,
    /// What the guard did: [`GuardEvent`](crate::session::GuardEvent).
    Guard,
    /// The session ended by itself.
    End,
}

/// Something worth knowing that is no fork.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// What it is about.
    pub kind: EventKind,
    /// The fork that was open, if it concerns one.
    pub fork: Option<ForkId>,
    /// When, on our LSL clock.
    pub at: LslTime,
    /// When, on the monotonic clock.
    pub mono: MonoTime,
    /// In words.
    pub detail: String,
}

/// State of the person when a fork came up, beside the time on task, which is its null model: what an index tells beyond it, it
/// has to show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StateRow {
    /// The fork.
    pub fork: ForkId,
    /// When, on our LSL clock.
    pub at: LslTime,
    /// When, on the monotonic clock.
    pub mono: MonoTime,
    /// Since the session began to write, seconds. A calibration before does not count.
    pub time_on_task_s: f64,
    /// The state; NULL where it is not known.
    pub state: PersonState,
}

fn lsl(columns: &mut Columns<'_>) -> Result<LslTime, LedgerError> {
    let seconds = columns.real()?;
    LslTime::new(seconds).map_err(|error| columns.malformed(error))
}

fn maybe_lsl(columns: &mut Columns<'_>) -> Result<Option<LslTime>, LedgerError> {
    columns
        .maybe_real()?
        .map(|seconds| LslTime::new(seconds).map_err(|error| columns.malformed(error)))
        .transpose()
}

fn mono(columns: &mut Columns<'_>) -> Result<MonoTime, LedgerError> {
    columns.count().map(MonoTime::from_nanos)
}

fn clock(columns: &mut Columns<'_>) -> Result<Option<ClockOffset>, LedgerError> {
    let offset_s = columns.maybe_real()?;
    let at_s = columns.maybe_real()?;
    Ok(offset_s
        .zip(at_s)
        .map(|(offset_s, at_s)| ClockOffset { at_s, offset_s }))
}

impl Row for SessionRow {
    const TABLE: &'static Table = &schema::SESSION;

    fn values(&self) -> Result<Vec<Value>, LedgerError> {
        Ok(Fields::new(Self::TABLE)
            .text(&self.session)
            .text(&self.started_utc)
            .text(&self.razvilka_version)
            .count(self.seed)
            .text(&self.config_sha256)
            .json(&self.flash)?
            .json(&self.protocol)?
            .finish())
    }

    fn read(mut columns: Columns<'_>) -> Result<Self, LedgerError> {
        Ok(Self {
            session: columns.text()?.to_owned(),
            started_utc: columns.text()?.to_owned(),
            razvilka_version: columns.text()?.to_owned(),
            seed: columns.count()?,
            config_sha256: columns.text()?.to_owned(),
            flash: columns.json()?,
            protocol: columns.json()?,
        })
    }
}

impl Row for ForkRow {
    const TABLE: &'static Table = &schema::FORK;

    fn values(&self) -> Result<Vec<Value>, LedgerError> {
        Ok(Fields::new(Self::TABLE)
            .count(self.fork.0)
            .count(self.position_tokens)
            .count(self.tokens_written)
            .text(&self.context)
            .word(&self.origin)?
            .count(u64::from(self.attempt))
            .flag(self.is_asked())
            .json(&self.decision)?
            .real(self.opened_at.get())
            .count(self.opened_mono.as_nanos())
            .count(self.lease.epoch)
            .json(&self.gate)?
            .maybe_json(self.prior_capped.as_ref())?
            .maybe_real(self.eeg_clock.map(|clock| clock.offset_s))
            .maybe_real(self.eeg_clock.map(|clock| clock.at_s))
            .maybe_real(self.gaze_clock.map(|clock| clock.offset_s))
            .maybe_real(self.gaze_clock.map(|clock| clock.at_s))
            .text(&self.model_sha256)
            .maybe_text(self.adapter.as_deref())
            .finish())
    }

    fn read(mut columns: Columns<'_>) -> Result<Self, LedgerError> {
        Ok(Self {
            fork: ForkId(columns.count()?),
            position_tokens: columns.count()?,
            tokens_written: columns.count()?,
            context: columns.text()?.to_owned(),
            origin: columns.word()?,
            attempt: {
                let attempt = columns.count()?;
                u32::try_from(attempt).map_err(|error| columns.malformed(error))?
            },
            decision: {
                // `asked` repeats what the decision says, for readers of SQL.
                let asked = columns.count()? != 0;
                let decision: Decision = columns.json()?;
                if asked != matches!(decision, Decision::Ask(_)) {
                    return Err(columns.malformed("it contradicts `asked`"));
                }
                decision
            },
            opened_at: lsl(&mut columns)?,
            opened_mono: mono(&mut columns)?,
            lease: Lease {
                epoch: columns.count()?,
            },
            gate: columns.json()?,
            prior_capped: columns.maybe_json()?,
            eeg_clock: clock(&mut columns)?,
            gaze_clock: clock(&mut columns)?,
            model_sha256: columns.text()?.to_owned(),
            adapter: columns.maybe_text()?.map(str::to_owned),
        })
    }
}

impl Row for OptionRow {
    const TABLE: &'static Table = &schema::OPTION;

    fn values(&self) -> Result<Vec<Value>, LedgerError> {
        Ok(Fields::new(Self::TABLE)
            .count(self.fork.0)
            .item(self.tile.item)
            .word(&self.tile.kind)?
            .text(&self.tile.text)
            .json(&self.tokens)?
            .real(self.prior)
            .real(self.log_prob_nats)
            .real(self.tile.x_deg)
            .real(self.tile.y_deg)
            .real(self.tile.w_deg)
            .real(self.tile.h_deg)
            .maybe_real(self.attention)
            .finish())
    }

    fn read(mut columns: Columns<'_>) -> Result<Self, LedgerError> {
        let fork = ForkId(columns.count()?);
        let item = columns.item()?;
        let kind = columns.word()?;
        let text = columns.text()?.to_owned();
        let tokens = columns.json()?;
        let prior = columns.real()?;
        let log_prob_nats = columns.real()?;
        Ok(Self {
            fork,
            tile: OptionTile {
                item,
                kind,
                text,
                x_deg: columns.real()?,
                y_deg: columns.real()?,
                w_deg: columns.real()?,
                h_deg: columns.real()?,
            },
            tokens,
            prior,
            log_prob_nats,
            attention: columns.maybe_real()?,
        })
    }
}

/// The words of the column `input`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum InputWord {
    Evidence,
    Look,
    Contraction,
    Tick,
    Abort,
}

impl Row for EvidenceRow {
    const TABLE: &'static Table = &schema::EVIDENCE;

    fn values(&self) -> Result<Vec<Value>, LedgerError> {
        let told = self.input.told();
        let (word, reason) = match &self.input {
            GateInput::Evidence { .. } => (InputWord::Evidence, None),
            GateInput::Look { .. } => (InputWord::Look, None),
            GateInput::Contraction { .. } => (InputWord::Contraction, None),
            GateInput::Tick { .. } => (InputWord::Tick, None),
            GateInput::Abort { reason, .. } => (InputWord::Abort, Some(reason)),
        };
        let (mut evidence, mut look, mut contraction) = (None, None, None);
        match told {
            Some(Told::Evidence(told)) => evidence = Some(told),
            Some(Told::Look(told)) => look = Some(told),
            Some(Told::Contraction(told)) => contraction = Some(told),
            None => {}
        }
        let onset = look.map(|look| look.onset);
        let onset = onset.or(contraction.map(|contraction| contraction.onset));
        Ok(Fields::new(Self::TABLE)
            .count(self.fork.0)
            .count(self.step)
            .word(&word)?
            .real(self.input.now().get())
            .maybe_count(told.map(|told| told.fork().0))
            .maybe_word(self.input.source().as_ref())?
            .maybe_word(evidence.map(|evidence| evidence.mode).as_ref())?
            .maybe_count(told.map(|told| told.lease().epoch))
            .maybe_count(told.map(|told| told.seq()))
            .maybe_real(told.map(|told| told.at().get()))
            .maybe_json(
                evidence
                    .map(|evidence| ExactList::from(&evidence.log_lik_nats))
                    .as_ref(),
            )?
            .maybe_word(reason)?
            .maybe_item(self.item)
            .maybe_count(self.flash_seq)
            .maybe_real(self.raw_score)
            .maybe_count(self.onset_sample)
            .maybe_real(onset.map(|onset| onset.get()))
            .maybe_real(look.map(|look| look.last.get()))
            .maybe_real(contraction.map(|contraction| contraction.llr_nats))
            .maybe_count(look.map(|look| look.look))
            .maybe_count(look.map(|look| u64::from(look.over)))
            .finish())
    }

    fn read(mut columns: Columns<'_>) -> Result<Self, LedgerError> {
        let fork = ForkId(columns.count()?);
        let step = columns.count()?;
        let word: InputWord = columns.word()?;
        let now = lsl(&mut columns)?;
        let about = columns.maybe_count()?;
        let source: Option<Source> = columns.maybe_word()?;
        let mode = columns.maybe_word()?;
        let epoch = columns.maybe_count()?;
        let seq = columns.maybe_count()?;
        let at = maybe_lsl(&mut columns)?;
        let list: Option<ExactList> = columns.maybe_json()?;
        let log_lik_nats = list
            .map(|list| {
                list.values()
                    .ok_or_else(|| columns.malformed("too many values, or a word that is no float"))
            })
            .transpose()?;
        let reason = columns.maybe_word()?;
        let item = columns.maybe_item()?;
        let flash_seq = columns.maybe_count()?;
        let raw_score = columns.maybe_real()?;
        let onset_sample = columns.maybe_count()?;
        let onset = maybe_lsl(&mut columns)?;
        let last = maybe_lsl(&mut columns)?;
        let llr_nats = columns.maybe_real()?;
        let look = columns.maybe_count()?;
        let over = columns.maybe_count()?;
        let incomplete = || columns.malformed("a value that this kind of input needs is empty");
        let lease = || epoch.map(|epoch| Lease { epoch }).ok_or_else(incomplete);
        let input = match word {
            InputWord::Look => GateInput::Look {
                look: Look {
                    fork: ForkId(about.ok_or_else(incomplete)?),
                    lease: lease()?,
                    seq: seq.ok_or_else(incomplete)?,
                    at: at.ok_or_else(incomplete)?,
                    look: look.ok_or_else(incomplete)?,
                    item: item.and_then(|item| usize::try_from(item).ok()),
                    onset: onset.ok_or_else(incomplete)?,
                    last: last.ok_or_else(incomplete)?,
                    over: over.ok_or_else(incomplete)? != 0,
                },
                now,
            },
            InputWord::Contraction => GateInput::Contraction {
                contraction: Contraction {
                    fork: ForkId(about.ok_or_else(incomplete)?),
                    lease: lease()?,
                    seq: seq.ok_or_else(incomplete)?,
                    onset: onset.ok_or_else(incomplete)?,
                    at: at.ok_or_else(incomplete)?,
                    // As written: SQLite keeps what is no number as NULL.
                    llr_nats: llr_nats.unwrap_or(f64::NAN),
                },
                now,
            },
            InputWord::Tick => GateInput::Tick { now },
            InputWord::Abort => GateInput::Abort {
                reason: reason.ok_or_else(incomplete)?,
                now,
            },
            InputWord::Evidence => GateInput::Evidence {
                evidence: Evidence {
                    fork: ForkId(about.ok_or_else(incomplete)?),
                    lease: lease()?,
                    source: source.ok_or_else(incomplete)?,
                    mode: mode.ok_or_else(incomplete)?,
                    seq: seq.ok_or_else(incomplete)?,
                    at: at.ok_or_else(incomplete)?,
                    log_lik_nats: log_lik_nats.ok_or_else(incomplete)?,
                },
                now,
            },
        };
        Ok(Self {
            fork,
            step,
            input,
            item,
            flash_seq,
            raw_score,
            onset_sample,
        })
    }
}

impl Row for ChoiceRow {
    const TABLE: &'static Table = &schema::CHOICE;

    fn values(&self) -> Result<Vec<Value>, LedgerError> {
        let pick = |arm: fn(&Arms) -> &Posterior| {
            self.arms
                .as_ref()
                .and_then(|arms| arm(arms).pick())
                .map(|option| option as u64)
        };
        Ok(Fields::new(Self::TABLE)
            .count(self.fork.0)
            .maybe_word(self.outcome.as_ref())?
            .maybe_item(self.item)
            .maybe_word(self.kind.as_ref())?
            .maybe_word(self.chooser.as_ref())?
            .json(&self.why)?
            .text(&self.text)
            .maybe_json(self.posterior.as_ref())?
            .maybe_json(self.arms.as_ref())?
            .maybe_count(pick(|arms| &arms.prior))
            .maybe_count(pick(|arms| &arms.gaze))
            .maybe_count(pick(|arms| &arms.eeg))
            .maybe_count(pick(|arms| &arms.fused))
            .count(self.items_gaze)
            .count(self.items_p300)
            .count(self.flashes)
            .count(self.tokens_written)
            .real(self.decided_at.get())
            .count(self.decided_mono.as_nanos())
            .count(self.committed_mono.as_nanos())
            .json(&self.latency_ns)?
            .text(&self.model_sha256)
            .maybe_text(self.adapter.as_deref())
            .finish())
    }

    fn read(mut columns: Columns<'_>) -> Result<Self, LedgerError> {
        Ok(Self {
            fork: ForkId(columns.count()?),
            outcome: columns.maybe_word()?,
            item: columns.maybe_item()?,
            kind: columns.maybe_word()?,
            chooser: columns.maybe_word()?,
            why: columns.json()?,
            text: columns.text()?.to_owned(),
            posterior: columns.maybe_json()?,
            arms: {
                let arms = columns.maybe_json()?;
                for _pick in 0..4 {
                    columns.maybe_count()?;
                }
                arms
            },
            items_gaze: columns.count()?,
            items_p300: columns.count()?,
            flashes: columns.count()?,
            tokens_written: columns.count()?,
            decided_at: lsl(&mut columns)?,
            decided_mono: mono(&mut columns)?,
            committed_mono: mono(&mut columns)?,
            latency_ns: columns.json()?,
            model_sha256: columns.text()?.to_owned(),
            adapter: columns.maybe_text()?.map(str::to_owned),
        })
    }
}

impl Row for EventRow {
    const TABLE: &'static Table = &schema::EVENT;

    fn values(&self) -> Result<Vec<Value>, LedgerError> {
        Ok(Fields::new(Self::TABLE)
            .word(&self.kind)?
            .maybe_count(self.fork.map(|fork| fork.0))
            .real(self.at.get())
            .count(self.mono.as_nanos())
            .text(&self.detail)
            .finish())
    }

    fn read(mut columns: Columns<'_>) -> Result<Self, LedgerError> {
        Ok(Self {
            kind: columns.word()?,
            fork: columns.maybe_count()?.map(ForkId),
            at: lsl(&mut columns)?,
            mono: mono(&mut columns)?,
            detail: columns.text()?.to_owned(),
        })
    }
}

impl Row for StateRow {
    const TABLE: &'static Table = &schema::STATE;

    fn values(&self) -> Result<Vec<Value>, LedgerError> {
        let fields = Fields::new(Self::TABLE)
            .count(self.fork.0)
            .real(self.at.get())
            .count(self.mono.as_nanos())
            .real(self.time_on_task_s);
        let values = self.state.values().into_iter();
        Ok(values.fold(fields, Fields::maybe_real).finish())
    }

    fn read(mut columns: Columns<'_>) -> Result<Self, LedgerError> {
        Ok(Self {
            fork: ForkId(columns.count()?),
            at: lsl(&mut columns)?,
            mono: mono(&mut columns)?,
            time_on_task_s: columns.real()?,
            state: {
                let mut values = [None; VALUES];
                for value in &mut values {
                    *value = columns.maybe_real()?;
                }
                PersonState::of_values(&values)
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::person::{COLUMNS, TIME_ON_TASK};

    #[test]
    fn the_table_of_states_has_the_columns_of_a_state() {
        let names: Vec<_> = schema::STATE
            .columns
            .iter()
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(names[3], TIME_ON_TASK.0);
        let values: Vec<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names[4..], values);
    }
}
