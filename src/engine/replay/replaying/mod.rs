//! A replay under way: each recorded row is made again, compared with what was recorded, and written to the new ledger.

mod beside;
mod choices;
mod evidence;
mod forks;
mod guarding;

use super::difference::Difference;
use super::error::ReplayError;
use super::report::Compared;
use super::signals::{Known, Remade};
use super::story::{Astray, Story};
use crate::choice::guard::Guard;
use crate::choice::{Decider, Decision};
use crate::config::Plan;
use crate::engine::question::Question;
use crate::fork::ForkId;
use crate::gate::{Gate, GateSettings};
use crate::session::{Entry, LedgerWriter};

pub(super) use self::guarding::Guarding;

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
    pub(super) adapter: Option<String>,
    pub(super) ledger: LedgerWriter,
    pub(super) decider: Decider,
    pub(super) guarding: Guarding,
    /// Number of the text that the decider was told of last.
    pub(super) text_number: u64,
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
            // Told at its time: as recorded. The guard heeds it.
            Entry::State(row) => {
                self.ledger.state(row)?;
                let hears = |guard: &mut Guard| guard.state(row.time_on_task_s, &row.state);
                self.guarding.hears(&mut self.decider, hears);
            }
        }
        Ok(())
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

    /// Tells the decider when another text has begun.
    fn follow_texts(&mut self) {
        let number = self.story.as_ref().map(Story::number);
        if let Some(number) = number.filter(|number| *number != self.text_number) {
            self.text_number = number;
            self.decider.begins();
        }
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
