//! A replay under way: each recorded row is made again, compared with what was recorded, and written to the new ledger.

use super::difference::{Difference, choice_difference, fork_difference, options_difference};
use super::error::ReplayError;
use super::happened::Happened;
use super::report::Compared;
use super::signals::{Known, Remade};
use super::story::{Astray, Story};
use crate::choice::{Ask, Decision, Presence, Protocol, Step};
use crate::config::Plan;
use crate::engine::adapting::Adaptation;
use crate::engine::conduct::{capped_prior, option_rows, why_of};
use crate::engine::question::{Done, Question};
use crate::fork::{Branch, Fork, ForkId, options_of};
use crate::gate::{Evidence, Gate, GateInput, GateSettings, Source};
use crate::marker::OptionKind;
use crate::pipeline::decision::{Made, Record};
use crate::pipeline::trace::Trace;
use crate::session::{
    ChoiceRow, Entry, EventRow, EvidenceRow, ForkRow, LedgerWriter, OptionRow, reopen_gate,
};
use crate::view::layout;

/// A question under way.
pub(super) struct Asked {
    question: Question,
    decision: Decision,
    gate: Option<Gate>,
}

/// The replay under way: one row after the other.
pub(super) struct Replaying<'a> {
    pub(super) plan: &'a Plan,
    pub(super) known: &'a Known,
    pub(super) remade: Remade,
    pub(super) gate_settings: GateSettings,
    pub(super) model_sha256: String,
    pub(super) ledger: LedgerWriter,
    pub(super) protocol: Protocol,
    /// `None` from where the text went another way.
    pub(super) story: Option<Story>,
    pub(super) next_question: u64,
    pub(super) attempt: u32,
    pub(super) asked: Option<Asked>,
    pub(super) end: Option<(u64, usize)>,
    /// Whether the folder says that nothing is missing.
    pub(super) whole: bool,
    pub(super) forks: Compared,
    pub(super) evidence: Compared,
    pub(super) choices: Compared,
    pub(super) as_recorded: u64,
    pub(super) first: Option<Difference>,
}

impl Replaying<'_> {
    /// Replays one row of the ledger.
    pub(super) fn entry(&mut self, entry: &Entry) -> Result<(), ReplayError> {
        match entry {
            // The new ledger began with it; options come with their forks.
            Entry::Session(_) | Entry::Option(_) => {}
            Entry::Fork(row) => self.fork(row)?,
            Entry::Evidence(row) => self.input(row)?,
            Entry::Choice(row) => self.choice(row)?,
            Entry::Event(row) => {
                self.happened(row);
                self.ledger.event(row)?;
            }
            // Told at its time, decides nothing: as recorded.
            Entry::State(row) => self.ledger.state(row)?,
        }
        Ok(())
    }

    // --- forks -----------------------------------------------------------------------------------------------------

    fn fork(&mut self, row: &ForkRow) -> Result<(), ReplayError> {
        let empty = Vec::new();
        let options = self
            .known
            .forks
            .get(&row.fork)
            .map_or(&empty, |(_, options)| options);
        let (question, remade) = match self.fork_again(row) {
            Some((question, fork_row)) => {
                let option_rows = option_rows(&question);
                let difference = fork_difference(row, &fork_row)
                    .or_else(|| options_difference(options, &option_rows));
                self.forks.note(difference.is_none());
                if let Some((what, expected, got)) = difference {
                    self.differs(Some(row.fork), None, &what, expected, got);
                }
                (question, Some((fork_row, option_rows)))
            }
            None => (recorded_question(row, options), None),
        };
        let (fork_row, option_rows) = match &remade {
            Some((fork_row, option_rows)) => (fork_row, option_rows),
            None => (row, options),
        };
        self.ledger.fork(fork_row, option_rows)?;
        let gate = match fork_row.decision {
            // A fork that the gate would not take was aborted at once, without an input.
            Decision::Ask(_) => reopen_gate(fork_row, option_rows).ok(),
            Decision::LetModel(_) => None,
        };
        self.asked = Some(Asked {
            question,
            decision: fork_row.decision,
            gate,
        });
        Ok(())
    }

    /// The fork as decoder and protocol find it now; `None` when the text has gone another way.
    fn fork_again(&mut self, row: &ForkRow) -> Option<(Question, ForkRow)> {
        let story = self.story.as_mut()?;
        let (fork, tokens_written) = match story.next_fork(row) {
            Ok(found) => found,
            Err(astray) => {
                let expected = format!("a fork at token {}", row.position_tokens);
                self.astray(Some(row.fork), expected, astray);
                return None;
            }
        };
        let kinds = options_of(fork.branches.len(), story.can_undo());
        let tiles = layout::tiles(&fork, &kinds, &self.plan.screen);
        let decision = self.protocol.decide(&Ask {
            origin: fork.origin,
            tokens_written,
            attempt: self.attempt,
            // Whether streams were alive is known only from what was decided.
            presence: Presence::of(&row.decision),
        });
        let id = ForkId(self.next_question);
        self.next_question += 1;
        let question = Question::new(id, fork, self.attempt, kinds, tiles, row.opened_at);
        let asked = matches!(decision, Decision::Ask(_));
        let fork_row = ForkRow {
            fork: id,
            position_tokens: question.fork.position as u64,
            tokens_written,
            context: question.fork.context.clone(),
            origin: question.fork.origin,
            attempt: self.attempt,
            decision,
            gate: self.gate_settings,
            prior_capped: asked
                .then(|| capped_prior(self.gate_settings, &question))
                .flatten(),
            model_sha256: self.model_sha256.clone(),
            ..row.clone()
        };
        Some((question, fork_row))
    }

    // --- evidence --------------------------------------------------------------------------------------------------

    fn input(&mut self, row: &EvidenceRow) -> Result<(), ReplayError> {
        let (input, made) = self.input_again(row);
        let remade = match self
            .asked
            .as_mut()
            .filter(|asked| asked.question.id == row.fork)
        {
            Some(Asked {
                question,
                gate: Some(gate),
                ..
            }) => {
                let verdict = gate.apply(&input);
                let arms = verdict.is_terminal().then(|| gate.arms());
                let (fork, input) = (row.fork, Some(input));
                let trace = Trace::default();
                question.take(&Record {
                    fork,
                    input,
                    made,
                    verdict,
                    arms,
                    trace,
                })
            }
            _ => None,
        };
        let remade = remade.unwrap_or(*row);
        if remade != *row && self.first.is_none() {
            let (expected, got) = (format!("{row:?}"), format!("{remade:?}"));
            self.differs(
                Some(row.fork),
                Some(row.step),
                "an input of the gate",
                expected,
                got,
            );
        }
        self.ledger.evidence(&remade)?;
        Ok(())
    }

    /// The input as the signals give it now.
    fn input_again(&mut self, row: &EvidenceRow) -> (GateInput, Option<Made>) {
        let GateInput::Evidence { evidence, now } = row.input else {
            self.as_recorded += 1;
            return (row.input, None);
        };
        if evidence.source == Source::Switch {
            self.as_recorded += 1;
            let item = row.item.and_then(|item| u32::try_from(item).ok());
            return (row.input, item.map(|item| Made::Key { item }));
        }
        let Some((remade, made)) = self.remade.get(&evidence).copied() else {
            self.not_made(row, &evidence);
            return (row.input, made_of(row, &evidence));
        };
        let bits = |values: &[f64]| {
            values
                .iter()
                .map(|value| value.to_bits())
                .collect::<Vec<_>>()
        };
        let equal = remade == evidence
            && bits(&remade.log_lik_nats) == bits(&evidence.log_lik_nats)
            && remade.at.get().to_bits() == evidence.at.get().to_bits();
        self.evidence.note(equal);
        if !equal {
            let what = match evidence.source {
                Source::Gaze => format!("gaze word {}", evidence.seq),
                _ => format!("P300 of flash {}", evidence.seq),
            };
            let words =
                |item: &Evidence| format!("{:?} nats at {} s", item.log_lik_nats, item.at.get());
            self.differs(
                Some(row.fork),
                Some(row.step),
                &what,
                words(&evidence),
                words(&remade),
            );
        }
        (
            GateInput::Evidence {
                evidence: remade,
                now,
            },
            Some(made),
        )
    }

    /// An item that the signals do not give again.
    fn not_made(&mut self, row: &EvidenceRow, evidence: &Evidence) {
        let beyond = self
            .known
            .forks
            .get(&evidence.fork)
            .is_none_or(|(fork, _)| self.remade.ends_before(evidence, fork));
        if beyond && !self.whole {
            self.evidence.not_recorded += 1;
            return;
        }
        self.evidence.note(false);
        let what = format!("{:?} evidence {}", evidence.source, evidence.seq);
        let expected = format!("{:?} nats", evidence.log_lik_nats);
        self.differs(
            Some(row.fork),
            Some(row.step),
            &what,
            expected,
            "nothing".into(),
        );
    }

    // --- choices ---------------------------------------------------------------------------------------------------

    fn choice(&mut self, row: &ChoiceRow) -> Result<(), ReplayError> {
        let asked = self.asked.take_if(|asked| asked.question.id == row.fork);
        let remade = asked.and_then(|asked| self.choice_again(&asked, row));
        let Some(remade) = remade else {
            self.ledger.choice(row)?;
            return Ok(());
        };
        let difference = choice_difference(row, &remade);
        self.choices.note(difference.is_none());
        if let Some((what, expected, got)) = difference {
            self.differs(Some(row.fork), None, &what, expected, got);
        }
        self.ledger.choice(&remade)?;
        Ok(())
    }

    /// How the fork ends now; `None` when the text has gone another way and can tell no more.
    fn choice_again(&mut self, asked: &Asked, row: &ChoiceRow) -> Option<ChoiceRow> {
        let Asked {
            question,
            decision,
            gate,
        } = asked;
        let verdict = match (decision, gate) {
            (Decision::Ask(_), Some(gate)) => Some(gate.verdict()),
            (Decision::Ask(_), None) => return None,
            (Decision::LetModel(_), _) => None,
        };
        let step = match (*decision, verdict) {
            (Decision::LetModel(reason), _) => Some(Protocol::not_asked(reason)),
            (_, Some(verdict)) => self
                .protocol
                .follow(&verdict, &question.kinds, question.attempt),
            _ => None,
        };
        let Some(step) = step else {
            // The gate still waits, though it was recorded as decided.
            let expected = format!("{:?} of item {:?}", row.outcome, row.item);
            self.differs(
                Some(row.fork),
                None,
                "the verdict",
                expected,
                format!("{verdict:?}"),
            );
            self.story = None;
            return None;
        };
        self.attempt = match step {
            Step::AskAgain { .. } => question.attempt + 1,
            _ => 0,
        };
        let story = self.story.as_mut()?;
        let (taken, tokens_written) = match story.follow(&step, &question.kinds, row) {
            Ok(taken) => taken,
            Err(astray) => {
                let expected = format!("{:?} of item {:?}", row.outcome, row.item);
                self.astray(Some(row.fork), expected, astray);
                return None;
            }
        };
        let done = Done {
            item: taken.item.and_then(|item| i32::try_from(item).ok()),
            chooser: taken.chooser,
            why: why_of(&step),
            text: taken.text,
            tokens_written,
            trace: Trace::default(),
            committed: row.committed_mono,
        };
        let flashes = u64::from(question.evidence_counts().0);
        let remade = question.choice_row(&done, |_| row.decided_mono, &self.model_sha256, flashes);
        Some(ChoiceRow {
            latency_ns: row.latency_ns.clone(),
            ..remade
        })
    }

    // --- what happened beside --------------------------------------------------------------------------------------

    fn happened(&mut self, row: &EventRow) {
        let Some(happened) = Happened::of(row) else {
            return;
        };
        if let Happened::Adaptation(recorded) = &happened {
            self.learnt(recorded);
            return;
        }
        let Some(story) = self.story.as_mut() else {
            return;
        };
        let (followed, expected) = match happened {
            Happened::Call { text, position } => (
                story.call(text, position),
                format!("a call behind token {position}"),
            ),
            Happened::Undo => (story.undo(), "a choice taken back".into()),
            Happened::End { text, position } => {
                self.end = Some((text, position));
                return;
            }
            Happened::Adaptation(_) | Happened::Exchange(_) | Happened::Restarted { .. } => {
                return;
            }
        };
        // What is offered now is another fork than the one that was asked before.
        self.attempt = 0;
        if let Err(astray) = followed {
            self.astray(row.fork, expected, astray);
        }
    }

    /// The scorer learnt from confirmed choices: from the same epochs to the same bits?
    fn learnt(&mut self, recorded: &Adaptation) {
        let Some(remade) = self.remade.adaptation(recorded.fork) else {
            return;
        };
        if remade == Some(recorded) || !self.whole {
            return;
        }
        let words = |of: &Adaptation| serde_json::to_string(of).unwrap_or_default();
        let got = remade.map_or_else(|| "nothing".into(), words);
        self.differs(
            Some(recorded.fork),
            None,
            "what the scorer learnt",
            words(recorded),
            got,
        );
    }

    /// Brings the text to its end. Gives it, and whether it is the recorded one.
    pub(super) fn finish_text(&mut self, recorded: &str) -> (String, bool) {
        let Some(story) = self.story.as_mut() else {
            return (String::new(), false);
        };
        let ended = match self.end {
            Some((number, position)) => story.finish(number, position),
            None => story.grow_to(recorded.len()),
        };
        let text = match ended {
            Ok(text) => text,
            Err(astray) => {
                let text = story.text();
                self.astray(None, "the text to its end".into(), astray);
                return (text, false);
            }
        };
        if text == recorded {
            return (text, true);
        }
        // Of a session that was killed, text and ledger may end a moment apart.
        let common = text
            .bytes()
            .zip(recorded.bytes())
            .take_while(|(a, b)| a == b)
            .count();
        let one_begins_the_other = common == text.len().min(recorded.len());
        if self.end.is_none() && one_begins_the_other {
            let covered = text.len() >= recorded.len();
            return (if covered { recorded.to_owned() } else { text }, covered);
        }
        let from = |text: &str| {
            let rest = text.bytes().skip(common).take(40).collect::<Vec<_>>();
            format!("{:?} from byte {common}", String::from_utf8_lossy(&rest))
        };
        let (expected, got) = (from(recorded), from(&text));
        self.differs(None, None, "text.txt", expected, got);
        (text, false)
    }

    fn astray(&mut self, fork: Option<ForkId>, expected: String, Astray(got): Astray) {
        self.story = None;
        self.differs(fork, None, "the text", expected, got);
    }

    fn differs(
        &mut self,
        fork: Option<ForkId>,
        step: Option<u64>,
        what: &str,
        expected: String,
        got: String,
    ) {
        let what = what.to_owned();
        self.first.get_or_insert(Difference {
            fork,
            step,
            what,
            expected,
            got,
        });
    }
}

/// What an item that cannot be made again was made from, as far as its row tells.
fn made_of(row: &EvidenceRow, evidence: &Evidence) -> Option<Made> {
    Some(match evidence.source {
        Source::Gaze => Made::Gaze { sample: 0 },
        Source::Switch => Made::Key {
            item: u32::try_from(row.item?).ok()?,
        },
        Source::P300 => Made::Flash {
            item: u32::try_from(row.item?).ok()?,
            number: u32::try_from(row.flash_seq?).ok()?,
            onset_sample: row.onset_sample?,
            score: row.raw_score.unwrap_or(f64::NAN),
        },
    })
}

/// A question as its rows describe it, for when the text cannot be followed any more.
fn recorded_question(row: &ForkRow, options: &[OptionRow]) -> Question {
    let branches = options
        .iter()
        .filter(|option| option.tile.kind == OptionKind::Branch)
        .map(|option| Branch {
            text: option.tile.text.clone(),
            tokens: option.tokens.clone(),
            prior: option.prior,
            log_prob_nats: option.log_prob_nats,
        })
        .collect();
    let fork = Fork {
        id: row.fork,
        position: row.position_tokens as usize,
        context: row.context.clone(),
        branches,
        origin: row.origin,
    };
    let kinds = options.iter().map(|option| option.tile.kind).collect();
    let tiles = options.iter().map(|option| option.tile.clone()).collect();
    Question::new(row.fork, fork, row.attempt, kinds, tiles, row.opened_at)
}
