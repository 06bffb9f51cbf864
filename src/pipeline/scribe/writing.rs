//! What the decoder's thread does: writes, thinks ahead while a fork is open, follows the choice and what it is asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};

use super::messages::{Ask, Taken, Told};
use super::texts::Texts;
use crate::decode::{Cancel, DecodeError, Decoder, Step, Thought, Undone};
use crate::fork::{Fork, ForkId};
use crate::marker::OptionKind;
use crate::pipeline::decision::ChoiceCell;
use crate::rt::{self, Lent};

/// How long the decoder sleeps when a fork is thought out; the gate wakes it earlier.
pub(super) const NAP: Duration = Duration::from_millis(20);

/// How long a server that is gone is left alone before it is asked again.
const LOST_NAP: Duration = Duration::from_secs(1);

/// What came of one turn of the thread.
enum Turn {
    Done,
    /// Nobody asks any more.
    Closed,
}

pub(super) struct Open {
    fork: ForkId,
    question: Option<ForkId>,
    kinds: Vec<OptionKind>,
    /// Whether thinking further ahead is of no use.
    thought_out: bool,
}

pub(super) struct Writing<'a> {
    pub(super) texts: Texts,
    pub(super) number: u64,
    pub(super) writer: Box<dyn Decoder>,
    pub(super) choice: Arc<ChoiceCell>,
    pub(super) cancel: Cancel,
    pub(super) heard: Receiver<Ask>,
    pub(super) tell: Sender<Told>,
    pub(super) pace: Duration,
    pub(super) open: Option<Open>,
    pub(super) paused: bool,
    pub(super) lent: &'a Lent,
    /// Whether the latest step was broken off.
    pub(super) broken_off: bool,
    pub(super) interrupted: u64,
    /// Since when the server that has the model is gone.
    pub(super) lost_since: Option<Instant>,
    /// Of the texts that are over.
    pub(super) forward_steps: u64,
}

impl Writing<'_> {
    pub(super) fn until_closed(&mut self) -> Result<(), DecodeError> {
        loop {
            let turn = self.turn();
            for remark in self.writer.remarks() {
                self.say(Told::Remark(remark));
            }
            match turn {
                Ok(Turn::Done) => {}
                Ok(Turn::Closed) => return Ok(()),
                Err(error) if error.is_gone() => self.lose(error)?,
                Err(error) => return Err(error),
            }
        }
    }

    fn turn(&mut self) -> Result<Turn, DecodeError> {
        self.cancel.clear();
        // The choice first: it may have come before the reset.
        self.take_choice()?;
        self.lent.give_back();
        loop {
            match self.heard.try_recv() {
                Ok(ask) => self.take(ask)?,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Ok(Turn::Closed),
            }
        }
        if self.open.is_some() {
            self.think()?;
            return Ok(Turn::Done);
        }
        let wait = match (self.paused, self.lost_since) {
            (true, _) => NAP,
            (false, Some(_)) => LOST_NAP,
            (false, None) => {
                self.write()?;
                return Ok(Turn::Done);
            }
        };
        match self.heard.recv_timeout(wait) {
            Ok(ask) => self.take(ask)?,
            Err(RecvTimeoutError::Timeout) if self.paused => {}
            Err(RecvTimeoutError::Timeout) => self.write()?,
            Err(RecvTimeoutError::Disconnected) => return Ok(Turn::Closed),
        }
        Ok(Turn::Done)
    }

    /// The server that has the model is gone: an open fork is dropped, the text stays. It is asked again for a while.
    fn lose(&mut self, error: DecodeError) -> Result<(), DecodeError> {
        // A choice made in the same moment is followed first: all it takes is here, but for other branches.
        if self
            .chosen()
            .is_some_and(|(_, _, kind)| kind != OptionKind::Other)
        {
            self.take_choice()?;
        }
        let asked = self.open.take().is_some();
        self.writer.drop_fork();
        // An undo may have opened a fork while the server was away: whoever asks about it has to hear, too.
        if asked || self.lost_since.is_none() {
            self.say(Told::Lost(error.to_string()));
        }
        let since = *self.lost_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.texts.model.lost_wait() {
            return Err(error);
        }
        Ok(())
    }

    /// The server answers.
    fn found(&mut self) {
        if self.lost_since.take().is_some() {
            self.say(Told::Back);
        }
    }

    /// One step further in text that needs no choice, at the pace asked for.
    fn write(&mut self) -> Result<(), DecodeError> {
        let begun = Instant::now();
        let before = self.writer.position();
        let step = self.writer.advance(&self.cancel)?;
        // The end of a text is known without the server.
        if matches!(step, Step::Text(_) | Step::Fork(_)) {
            self.found();
        }
        match step {
            Step::Text(piece) => {
                let tokens = self.writer.position().saturating_sub(before).max(1);
                let position = self.writer.position();
                self.say(Told::Text { piece, position });
                let due = begun + self.pace * u32::try_from(tokens).unwrap_or(u32::MAX);
                if let Ok(ask) = self.heard.recv_deadline(due) {
                    self.take(ask)?;
                }
            }
            Step::Fork(fork) => self.offer(fork),
            Step::End(_) => {
                let next = self.texts.begin(self.number + 1)?;
                self.found();
                self.forward_steps += self.writer.stats().forward_steps;
                self.number += 1;
                self.writer = next;
                self.begins();
            }
            Step::Waiting | Step::Cancelled => {}
        }
        Ok(())
    }

    /// One step further on every branch, or a nap when that is of no use.
    fn think(&mut self) -> Result<(), DecodeError> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if open.thought_out {
            std::thread::park_timeout(NAP);
        } else {
            let thought = self.writer.think(&self.cancel)?;
            open.thought_out = thought == Thought::Ready;
            self.broken_off = thought == Thought::Cancelled;
            if matches!(thought, Thought::Further { branches } if branches > 0) {
                self.found();
            }
        }
        Ok(())
    }

    /// The gate's choice for the open fork, if it has made one: the fork, the item, and what that means. Nothing was chosen
    /// while the options have not been told.
    fn chosen(&self) -> Option<(ForkId, usize, OptionKind)> {
        let open = self.open.as_ref()?;
        let (option, _) = self.choice.get(open.question?)?;
        Some((open.fork, option, *open.kinds.get(option)?))
    }

    /// Follows the gate's choice, if it has made one for the open fork.
    fn take_choice(&mut self) -> Result<(), DecodeError> {
        let broken_off = std::mem::take(&mut self.broken_off);
        let Some((fork, option, kind)) = self.chosen() else {
            return Ok(());
        };
        match kind {
            OptionKind::Branch => {
                self.commit(fork, option, Taken::Branch(option))?;
                self.interrupted += u64::from(broken_off);
            }
            OptionKind::GoOn => self.go_on(fork)?,
            OptionKind::Other => self.other(fork)?,
            OptionKind::Undo => self.undo(fork)?,
            // A filler: nothing was chosen.
            OptionKind::Item => {}
        }
        Ok(())
    }

    fn take(&mut self, ask: Ask) -> Result<(), DecodeError> {
        match ask {
            Ask::Options {
                fork,
                question,
                kinds,
            } => {
                if let Some(open) = self.open.as_mut().filter(|open| open.fork == fork) {
                    open.question = Some(question);
                    open.kinds = kinds;
                }
            }
            Ask::GoOn(fork) if self.is_open(fork) => self.go_on(fork)?,
            Ask::Other(fork) if self.is_open(fork) => self.other(fork)?,
            Ask::Imitate { fork, branch } if self.is_open(fork) => {
                self.commit(fork, branch, Taken::ImitatorBranch(branch))?;
            }
            Ask::GoOn(_) | Ask::Other(_) | Ask::Imitate { .. } => {}
            Ask::Call { words_back } => self.call(words_back)?,
            Ask::Undo => match self.open.as_ref().map(|open| open.fork) {
                // A fork that the person has not seen yet stays when there is nothing to take back.
                Some(_) if !self.writer.can_undo() => self.say(Told::Refused { asked: "undo" }),
                Some(fork) => self.undo(fork)?,
                None => match self.writer.undo()? {
                    Some(undone) => self.undone(undone.fork.id, undone),
                    None => self.say(Told::Refused { asked: "undo" }),
                },
            },
            Ask::Pause => self.paused = true,
            Ask::Resume => self.paused = false,
        }
        Ok(())
    }

    fn is_open(&self, fork: ForkId) -> bool {
        self.open.as_ref().is_some_and(|open| open.fork == fork)
    }

    fn offer(&mut self, fork: Fork) {
        self.open = Some(Open {
            fork: fork.id,
            question: None,
            kinds: Vec::new(),
            thought_out: false,
        });
        let told = Told::Fork {
            fork,
            can_undo: self.writer.can_undo(),
            states: self.writer.states().map(Arc::new),
            divergence: self.writer.divergence(),
        };
        self.say(told);
    }

    /// Takes a branch of the open fork.
    fn commit(&mut self, fork: ForkId, branch: usize, how: Taken) -> Result<(), DecodeError> {
        let commit = self.writer.commit(fork, branch)?;
        let committed_ns = rt::now().as_nanos();
        self.open = None;
        self.say(Told::Taken {
            fork,
            how,
            text: commit.text,
            replaced: false,
            position: self.writer.position(),
            ready_tokens: commit.ready_tokens,
            committed_ns,
        });
        Ok(())
    }

    fn go_on(&mut self, fork: ForkId) -> Result<(), DecodeError> {
        let commit = self.writer.go_on(fork)?;
        let committed_ns = rt::now().as_nanos();
        self.open = None;
        self.say(Told::Taken {
            fork,
            how: Taken::ModelBranch(commit.branch),
            text: commit.text,
            replaced: false,
            position: self.writer.position(),
            ready_tokens: commit.ready_tokens,
            committed_ns,
        });
        Ok(())
    }

    fn other(&mut self, fork: ForkId) -> Result<(), DecodeError> {
        match self.writer.other(fork)? {
            Some(fork) => self.offer(fork),
            None => {
                self.say(Told::NothingOther(fork));
                self.go_on(fork)?;
            }
        }
        Ok(())
    }

    fn undo(&mut self, fork: ForkId) -> Result<(), DecodeError> {
        match self.writer.undo()? {
            Some(undone) => self.undone(fork, undone),
            None => {
                self.say(Told::Refused { asked: "undo" });
                self.go_on(fork)?;
            }
        }
        Ok(())
    }

    fn undone(&mut self, fork: ForkId, undone: Undone) {
        let committed_ns = rt::now().as_nanos();
        self.say(Told::Taken {
            fork,
            how: Taken::Undone,
            text: self.writer.text().to_owned(),
            replaced: true,
            position: self.writer.position(),
            ready_tokens: 0,
            committed_ns,
        });
        self.offer(undone.fork);
    }

    fn call(&mut self, words_back: u32) -> Result<(), DecodeError> {
        // A fork that has just opened here is the one called for.
        if words_back == 0 && self.open.is_some() {
            self.say(Told::Refused { asked: "call" });
            return Ok(());
        }
        match self.writer.call(words_back as usize)? {
            Some(fork) => {
                self.say(Told::Called {
                    words_back,
                    text_number: self.number,
                    position: self.writer.position(),
                    text: self.writer.text().to_owned(),
                });
                self.offer(fork);
            }
            None => self.say(Told::Refused { asked: "call" }),
        }
        Ok(())
    }

    /// Tells that a text begins. The writer holds its prompt and nothing else.
    pub(super) fn begins(&self) {
        self.say(Told::Begins {
            number: self.number,
            prompt: self.writer.text().to_owned(),
            position: self.writer.position(),
        });
    }

    fn say(&self, told: Told) {
        // The control plane may have gone: then nobody needs to know.
        let _ = self.tell.send(told);
    }
}

#[cfg(test)]
mod tests;
