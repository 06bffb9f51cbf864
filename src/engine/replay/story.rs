//! The text again: a writer driven through the recorded choices.
//!
//! Model, settings, prompt and choices give the text; what the person did unasked (a call, an undo) comes from the ledger's
//! events. Tokens are counted as the conductor counts them, because the protocol's budget lives on that count.

use crate::choice::{Step, Why};
use crate::decode::{self, Cancel, DecodeError, Decoder};
use crate::fork::{Chooser, Divergence, Fork};
use crate::gate::TimeoutPolicy;
use crate::marker::OptionKind;
use crate::pipeline::scribe::{BETWEEN_TEXTS, Texts};
use crate::session::{ChoiceRow, ForkRow, TextRecord};

/// The text did not go the recorded way; in words.
#[derive(Debug)]
pub(super) struct Astray(pub(super) String);

impl From<DecodeError> for Astray {
    fn from(error: DecodeError) -> Self {
        Self(format!("the decoder failed: {error}"))
    }
}

/// What became of a choice.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Taken {
    pub(super) item: Option<usize>,
    pub(super) chooser: Option<Chooser>,
    pub(super) text: String,
}

impl Taken {
    const NOTHING: Self = Self {
        item: None,
        chooser: None,
        text: String::new(),
    };
}

pub(super) struct Story {
    texts: Texts,
    number: u64,
    writer: Box<dyn Decoder>,
    /// Whether prompts are part of the text, and their tokens not counted as written.
    prompts: bool,
    /// Where each text begins, if prompts are part of it.
    records: Vec<TextRecord>,
    /// Bytes of the present text that are left out: a prompt that is no part of it.
    left_out: usize,
    past: String,
    fork: Option<Fork>,
    /// As the conductor counts.
    position: usize,
    tokens_written: u64,
    /// Whether text was cut whose length nobody recorded: the next row says how much had been written.
    recount: bool,
}

impl Story {
    /// At the beginning of the first text. `prompts`: whether prompts are part of the text, and their tokens not counted
    /// as written; in folders of before it was the other way round.
    pub(super) fn begin(texts: Texts, prompts: bool) -> Result<Self, DecodeError> {
        let mut story = Self {
            writer: texts.begin(0)?,
            texts,
            number: 0,
            prompts,
            records: Vec::new(),
            left_out: 0,
            past: String::new(),
            fork: None,
            position: 0,
            tokens_written: 0,
            recount: false,
        };
        story.begins();
        Ok(story)
    }

    /// The writer is at the beginning of a text.
    fn begins(&mut self) {
        let prompt = self.writer.text();
        if self.prompts {
            self.records.push(TextRecord::behind(&self.past, prompt));
            self.position = self.writer.position();
        } else {
            self.left_out = prompt.len();
            self.position = 0;
        }
    }

    /// Where each text begins; nothing of a folder of before.
    pub(super) fn records(&self) -> &[TextRecord] {
        &self.records
    }

    /// Number of the present text, from 0.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// Everything written so far.
    pub(super) fn text(&self) -> String {
        let written = self.writer.text().get(self.left_out..).unwrap_or_default();
        format!("{}{written}", self.past)
    }

    /// Whether a choice can be taken back, as the person is shown it.
    pub(super) fn can_undo(&self) -> bool {
        self.writer.can_undo()
    }

    /// How differently the text goes on behind the branches of the open fork, where that was measured.
    pub(super) fn divergence(&self) -> Option<Divergence> {
        self.writer.divergence()
    }

    /// Writes on to the next fork and gives it.
    pub(super) fn next_fork(&mut self, recorded: &ForkRow) -> Result<(Fork, u64), Astray> {
        while self.fork.is_none() {
            if !self.recount && self.tokens_written > recorded.tokens_written {
                return Err(Astray(format!(
                    "the text goes on without a fork after {} tokens",
                    recorded.tokens_written
                )));
            }
            self.advance()?;
        }
        match &self.fork {
            Some(fork) => {
                let fork = fork.clone();
                self.count(fork.position);
                if std::mem::take(&mut self.recount) {
                    self.tokens_written = recorded.tokens_written;
                }
                Ok((fork, self.tokens_written))
            }
            None => Err(Astray("there is no fork".into())),
        }
    }

    /// Follows the step that the protocol takes after a question. `recorded` says how far the chosen branch had been decoded,
    /// and whether the person took it back by key in the same moment.
    pub(super) fn follow(
        &mut self,
        step: &Step,
        kinds: &[OptionKind],
        recorded: &ChoiceRow,
    ) -> Result<(Taken, u64), Astray> {
        let fork = self
            .fork
            .clone()
            .ok_or_else(|| Astray("no fork is open".into()))?;
        let taken_back = recorded.kind == Some(OptionKind::Undo);
        let taken = match *step {
            _ if taken_back => self.take_back(kinds, recorded)?,
            // Asked again, or left for a fork elsewhere that the person called for as the gate decided.
            Step::AskAgain { .. } => Taken::NOTHING,
            Step::TakeBranch { .. } | Step::ModelChooses { .. } | Step::TakeBack { .. }
                if recorded.chooser.is_none() =>
            {
                Taken::NOTHING
            }
            Step::TakeBranch {
                option, chooser, ..
            } => {
                self.think_as_far_as(&fork, option, recorded)?;
                let commit = self.writer.commit(fork.id, option)?;
                self.taken();
                Taken {
                    item: Some(option),
                    chooser: Some(chooser),
                    text: commit.text,
                }
            }
            Step::ModelChooses { .. } => self.go_on(&fork, recorded)?,
            Step::TakeBack { .. } => self.take_back(kinds, recorded)?,
            Step::OfferOther { .. } => match self.writer.other(fork.id)? {
                Some(other) => {
                    self.fork = Some(other);
                    let selected = recorded.selected();
                    let chooser = selected.map(|_| Chooser::Human);
                    Taken {
                        item: selected,
                        chooser,
                        text: String::new(),
                    }
                }
                None => self.go_on(&fork, recorded)?,
            },
        };
        Ok((taken, self.tokens_written))
    }

    /// Follows a choice as it was recorded, without asking what it follows from.
    pub(super) fn follow_recorded(
        &mut self,
        kinds: &[OptionKind],
        recorded: &ChoiceRow,
    ) -> Result<(), Astray> {
        let why = recorded.why;
        let branch = || recorded.item.and_then(|item| usize::try_from(item).ok());
        let step = match (recorded.kind, recorded.chooser) {
            (Some(OptionKind::Undo), _) => Step::TakeBack { why },
            (Some(OptionKind::Branch | OptionKind::Item), Some(Chooser::Model)) => {
                Step::ModelChooses { why }
            }
            (Some(OptionKind::Branch | OptionKind::Item), Some(chooser)) => Step::TakeBranch {
                option: branch().ok_or_else(|| Astray("the branch has no number".into()))?,
                chooser,
                why,
            },
            (Some(OptionKind::Other), Some(_)) => Step::OfferOther { why },
            _ if why == Why::TimedOut(TimeoutPolicy::OfferOther) => Step::OfferOther { why },
            _ => Step::AskAgain { why },
        };
        let (taken, _) = self.follow(&step, kinds, recorded)?;
        if taken.text != recorded.text {
            let (got, expected) = (taken.text, &recorded.text);
            return Err(Astray(format!("{got:?} is written, not {expected:?}")));
        }
        Ok(())
    }

    /// The present text, from its prompt.
    pub(super) fn present(&self) -> &str {
        self.writer.text()
    }

    /// Takes a branch of the open fork; gives the tokens of the present text behind it.
    pub(super) fn take(&mut self, branch: usize) -> Result<Vec<u32>, Astray> {
        let fork = self.fork.take();
        let fork = fork.ok_or_else(|| Astray("no fork is open".into()))?;
        self.writer.commit(fork.id, branch)?;
        Ok(self.writer.tokens().to_vec())
    }

    /// The person called for a fork behind the first `position` tokens of text `number`.
    pub(super) fn call(&mut self, number: u64, position: usize) -> Result<(), Astray> {
        while self.fork.is_none() && (self.number, self.writer.position()) < (number, position) {
            self.advance()?;
        }
        let called = self.writer.call_behind(position)?;
        self.fork = called;
        self.position = self.writer.position();
        self.recount = true;
        match self.fork {
            Some(_) => Ok(()),
            None => Err(Astray(format!(
                "nothing can be offered behind token {position}"
            ))),
        }
    }

    /// The person took the last choice back while no fork was asked.
    pub(super) fn undo(&mut self) -> Result<(), Astray> {
        let undone = self.writer.undo()?;
        let undone = undone.ok_or_else(|| Astray("there is no choice to take back".into()))?;
        self.fork = Some(undone.fork);
        self.position = self.writer.position();
        self.recount = true;
        Ok(())
    }

    /// Writes on to where the decoder stood at the end. Gives the text there.
    pub(super) fn finish(&mut self, number: u64, position: usize) -> Result<String, Astray> {
        let mut text = self.text();
        while self.fork.is_none() && (self.number, self.writer.position()) < (number, position) {
            text = self.text();
            self.advance()?;
        }
        // A token that ends inside a character gives no text: one step may pass the place by such tokens.
        let passed = (self.number, self.writer.position()) > (number, position);
        Ok(if passed { text } else { self.text() })
    }

    /// Writes on until the text is this long, or needs a choice that nobody recorded.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<String, Astray> {
        while self.fork.is_none() && self.text().len() < bytes {
            self.advance()?;
        }
        Ok(self.text())
    }

    fn advance(&mut self) -> Result<(), Astray> {
        match self.writer.advance(&Cancel::new())? {
            decode::Step::Text(_) => self.count(self.writer.position()),
            decode::Step::Fork(fork) => self.fork = Some(fork),
            decode::Step::End(_) => {
                self.past = format!("{}{BETWEEN_TEXTS}", self.text());
                self.number += 1;
                self.writer = self.texts.begin(self.number)?;
                self.begins();
            }
            decode::Step::Waiting | decode::Step::Cancelled => {}
        }
        Ok(())
    }

    fn go_on(&mut self, fork: &Fork, recorded: &ChoiceRow) -> Result<Taken, Astray> {
        if let Some(branch) = recorded.item.and_then(|item| usize::try_from(item).ok()) {
            self.think_as_far_as(fork, branch, recorded)?;
        }
        let commit = self.writer.go_on(fork.id)?;
        self.taken();
        Ok(Taken {
            item: Some(commit.branch),
            chooser: Some(Chooser::Model),
            text: commit.text,
        })
    }

    fn take_back(&mut self, kinds: &[OptionKind], recorded: &ChoiceRow) -> Result<Taken, Astray> {
        let Some(undone) = self.writer.undo()? else {
            let fork = self
                .fork
                .clone()
                .ok_or_else(|| Astray("no fork is open".into()))?;
            return self.go_on(&fork, recorded);
        };
        self.fork = Some(undone.fork);
        self.count(self.writer.position());
        let item = kinds.iter().position(|kind| *kind == OptionKind::Undo);
        Ok(Taken {
            item,
            chooser: Some(Chooser::Human),
            text: String::new(),
        })
    }

    fn taken(&mut self) {
        self.fork = None;
        self.count(self.writer.position());
    }

    /// Decodes behind the phrases as many steps as were decoded while the person chose: the row's text holds them.
    fn think_as_far_as(
        &mut self,
        fork: &Fork,
        branch: usize,
        recorded: &ChoiceRow,
    ) -> Result<(), Astray> {
        let phrase = fork
            .branches
            .get(branch)
            .map_or(0, |branch| branch.tokens.len()) as u64;
        let added = recorded.tokens_written.saturating_sub(self.tokens_written);
        // An offer that an undo brought back has its tokens ahead already.
        let ready = self.writer.ready_tokens().get(branch).copied().unwrap_or(0) as u64;
        for _ in (phrase + ready)..added {
            if self.writer.think(&Cancel::new())? == decode::Thought::Ready {
                break;
            }
        }
        Ok(())
    }

    fn count(&mut self, position: usize) {
        self.tokens_written += position.saturating_sub(self.position) as u64;
        self.position = position;
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::decode::{Model, WriterSettings};

    #[test]
    fn prompts_are_part_of_the_text_and_not_counted_as_written_but_in_folders_of_before() {
        let settings = WriterSettings {
            detect: false,
            tokens_max: 12,
            ..WriterSettings::default()
        };
        let texts = Texts {
            model: Arc::new(Model::embedded().unwrap()).into(),
            settings,
            prompt: "Once upon a time".into(),
        };
        let prompt_tokens = texts.begin(0).unwrap().position();
        let [(now, counted), (before, counted_before)] = [true, false].map(|prompts| {
            let mut story = Story::begin(texts.clone(), prompts).unwrap();
            let text = story.finish(1, prompt_tokens + 12).unwrap();
            let places: Vec<String> = story
                .records()
                .iter()
                .map(|record| {
                    let behind = text.chars().skip(record.begins_char as usize);
                    behind.take(record.prompt_chars as usize).collect()
                })
                .collect();
            let shown = if prompts { 2 } else { 0 };
            assert_eq!(places, vec!["Once upon a time"; shown]);
            (text, story.tokens_written)
        });
        assert_eq!(now.replace("Once upon a time", ""), before);
        assert_eq!(counted, 24);
        assert_eq!(counted_before, counted + 2 * prompt_tokens as u64);
    }
}
