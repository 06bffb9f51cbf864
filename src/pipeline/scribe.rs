//! The decoder's thread: writes by itself, stops at forks, and stands on the chosen branch microseconds after the gate.
//!
//! While a fork is open it extends every branch. A choice arrives through the [`ChoiceCell`]; the gate wakes this thread
//! and cancels the step it is in, so a commit never waits for a forward pass. Everything else (other branches, undo, a
//! call for a fork) comes as an [`Ask`] from the control plane.

use std::sync::Arc;
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, TrySendError, bounded};

use super::decision::{ChoiceCell, OnChoice};
use crate::decode::{
    Cancel, DecodeError, Model, Stats, Step, Thought, Undone, Writer, WriterSettings,
};
use crate::fork::{Fork, ForkId};
use crate::marker::OptionKind;
use crate::rt::{self, Lent, Wish};

/// What the control plane asks of the decoder.
#[derive(Debug, Clone)]
pub enum Ask {
    /// The person is asked: these are the options of the open fork, by item number; the choice comes through the cell.
    Options {
        /// The fork.
        fork: ForkId,
        /// Number of this question: a fork that is asked again keeps its id and gets a new question.
        question: ForkId,
        /// What each item means.
        kinds: Vec<OptionKind>,
    },
    /// The model takes the fork: it was declined, aborted or not asked.
    GoOn(ForkId),
    /// Offer other branches instead.
    Other(ForkId),
    /// The person wants a fork here, or some words back; an open fork gives way to one some words back.
    Call {
        /// Words back from the end of the text.
        words_back: u32,
    },
    /// The person wants the last choice back, though no fork is open.
    Undo,
    /// Write no further until [`Ask::Resume`].
    Pause,
    /// Write on.
    Resume,
}

/// What the decoder tells the control plane.
#[derive(Debug, Clone)]
pub enum Told {
    /// Text was added that needed no choice.
    Text {
        /// The piece.
        piece: String,
        /// Tokens of the present text now.
        position: usize,
    },
    /// A fork was found, called for, or offered anew; the decoder waits.
    Fork {
        /// The fork.
        fork: Fork,
        /// Whether a choice could be taken back here.
        can_undo: bool,
    },
    /// A fork was taken.
    Taken {
        /// The fork.
        fork: ForkId,
        /// How.
        how: Taken,
        /// Text added; the whole of the present text when `replaced`.
        text: String,
        /// Whether `text` replaces the present text.
        replaced: bool,
        /// Tokens of the present text now.
        position: usize,
        /// Tokens that were ready at once.
        ready_tokens: usize,
        /// When the decoder stood on the branch, monotonic nanoseconds.
        committed_ns: u64,
    },
    /// Nothing other could be offered at this fork: it stays as it is.
    NothingOther(ForkId),
    /// A call or an undo at this place could not be followed.
    Refused {
        /// What was asked.
        asked: &'static str,
    },
    /// A call was followed at this token position; the text was cut back to `text`.
    Called {
        /// Words back.
        words_back: u32,
        /// Number of the text, from 0.
        text_number: u64,
        /// Tokens of text before the call.
        position: usize,
        /// The whole text after it.
        text: String,
    },
    /// The text is over; a new one begins by itself.
    NextText,
    /// The decoder failed; it has stopped.
    Failed(String),
}

/// Where the decoder stood when it was stopped.
#[derive(Debug, Clone)]
pub struct Stopped {
    /// Number of the present text, from 0.
    pub text_number: u64,
    /// Tokens of the present text.
    pub position: usize,
    /// What the present text's writer did.
    pub stats: Stats,
    /// Forward passes over all texts.
    pub forward_steps: u64,
    /// Commits that came in the middle of a step, which was broken off.
    pub interrupted: u64,
}

/// How a fork was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The person took this branch.
    Branch(usize),
    /// The model took this branch.
    ModelBranch(usize),
    /// The last choice was taken back.
    Undone,
}

/// A succession of texts by one model: when one is over, the next begins with a seed of its own.
#[derive(Debug, Clone)]
pub struct Texts {
    /// The model.
    pub model: Arc<Model>,
    /// How each text is written; text number n has this seed plus n.
    pub settings: WriterSettings,
    /// What every text begins with.
    pub prompt: String,
}

impl Texts {
    /// A writer at the beginning of text `number`.
    ///
    /// # Errors
    /// [`DecodeError`] when the settings do not fit the model, or the prompt cannot be read.
    pub fn begin(&self, number: u64) -> Result<Writer, DecodeError> {
        let seed = self.settings.seed.wrapping_add(number);
        let mut writer = Writer::new(
            Arc::clone(&self.model),
            WriterSettings {
                seed,
                ..self.settings.clone()
            },
        )?;
        writer.start(&self.prompt)?;
        Ok(writer)
    }
}

/// Orders that wait for the decoder, at most; more than a few mean that it is stuck.
const ASKS: usize = 256;
/// Words of the decoder that wait to be heard, at most; then it waits.
const TOLD: usize = 4_096;

/// What stands between two texts.
pub const BETWEEN_TEXTS: &str = "\n\n";

/// The decoder's thread.
pub struct Scribe {
    /// To the decoder.
    pub asks: Sender<Ask>,
    /// From the decoder.
    pub told: Receiver<Told>,
    cancel: Cancel,
    lent: Arc<Lent>,
    decoder: Thread,
    thread: Option<JoinHandle<Stopped>>,
}

impl Scribe {
    /// Starts the thread on the first text, paused. Text flows at `pace_tokens_per_s`.
    ///
    /// # Errors
    /// The system's error when no thread can be made, [`DecodeError`] when no text can be begun.
    pub fn start(
        texts: Texts,
        choice: Arc<ChoiceCell>,
        cancel: Cancel,
        pace_tokens_per_s: f64,
    ) -> Result<Self, ScribeError> {
        let writer = texts.begin(0)?;
        let prompt_bytes = writer.text().len();
        let (asks, heard) = bounded(ASKS);
        let (tell, told) = bounded(TOLD);
        let thread_cancel = cancel.clone();
        let lent = Arc::new(Lent::default());
        let thread_lent = Arc::clone(&lent);
        let thread = std::thread::Builder::new()
            .name("decoder".into())
            .spawn(move || {
                let _borrower = thread_lent.borrower();
                let mut writing = Writing {
                    texts,
                    number: 0,
                    writer,
                    prompt_bytes,
                    choice,
                    cancel: thread_cancel,
                    heard,
                    tell,
                    pace: Duration::from_secs_f64(1.0 / pace_tokens_per_s),
                    open: None,
                    paused: true,
                    lent: &thread_lent,
                    broken_off: false,
                    interrupted: 0,
                    forward_steps: 0,
                };
                if let Err(error) = writing.until_closed() {
                    let _ = writing.tell.send(Told::Failed(error.to_string()));
                }
                let stats = writing.writer.stats();
                Stopped {
                    text_number: writing.number,
                    position: writing.writer.position(),
                    forward_steps: writing.forward_steps + stats.forward_steps,
                    stats,
                    interrupted: writing.interrupted,
                }
            })?;
        let decoder = thread.thread().clone();
        Ok(Self {
            asks,
            told,
            cancel,
            lent,
            decoder,
            thread: Some(thread),
        })
    }

    /// The thread's handle, to be woken by the gate.
    #[must_use]
    pub fn thread(&self) -> Thread {
        self.decoder.clone()
    }

    /// What the gate does the moment it has chosen: breaks off the decoder's step, lends it priority for the commit if
    /// `wish` asks for any, and wakes it.
    pub fn on_choice(&self, wish: Wish) -> impl OnChoice + use<> {
        let (cancel, lent, thread) = (self.cancel.clone(), Arc::clone(&self.lent), self.thread());
        move || {
            cancel.request();
            if wish.priority > 0 {
                lent.lend();
            }
            thread.unpark();
        }
    }

    /// Asks the decoder for something and wakes it; `false` when too many orders wait already. A decoder that has failed
    /// has said so: what is asked of it then is moot.
    pub fn ask(&self, ask: Ask) -> bool {
        let taken = !matches!(self.asks.try_send(ask), Err(TrySendError::Full(_)));
        self.cancel.request();
        self.decoder.unpark();
        taken
    }

    /// Stops the thread once it has done what it was asked for. Says where it stood (`None` when it panicked or was stopped
    /// before), and what it said that nobody has heard yet.
    #[must_use]
    pub fn stop(&mut self) -> (Option<Stopped>, Vec<Told>) {
        // With its only sender gone, the thread's queue has an end.
        self.asks = bounded(0).0;
        self.cancel.request();
        self.decoder.unpark();
        let mut last = Vec::new();
        let Some(thread) = self.thread.take() else {
            return (None, last);
        };
        // It may be waiting to be heard.
        while !thread.is_finished() {
            last.extend(self.told.recv_timeout(NAP / 4));
        }
        last.extend(self.told.try_iter());
        (thread.join().ok(), last)
    }
}

struct Open {
    fork: ForkId,
    question: Option<ForkId>,
    kinds: Vec<OptionKind>,
    /// Whether thinking further ahead is of no use.
    thought_out: bool,
}

struct Writing<'a> {
    texts: Texts,
    number: u64,
    writer: Writer,
    /// Length of the prompt at the beginning of the writer's text; it is no part of what was written.
    prompt_bytes: usize,
    choice: Arc<ChoiceCell>,
    cancel: Cancel,
    heard: Receiver<Ask>,
    tell: Sender<Told>,
    pace: Duration,
    open: Option<Open>,
    paused: bool,
    lent: &'a Lent,
    /// Whether the latest step was broken off.
    broken_off: bool,
    interrupted: u64,
    /// Of the texts that are over.
    forward_steps: u64,
}

/// Why the decoder's thread could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ScribeError {
    /// No text can be begun.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// No thread can be made.
    #[error("the decoder's thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// How long the decoder sleeps when a fork is thought out; the gate wakes it earlier.
const NAP: Duration = Duration::from_millis(20);

impl Writing<'_> {
    fn until_closed(&mut self) -> Result<(), DecodeError> {
        loop {
            self.cancel.clear();
            // The choice first: it may have come before the reset.
            self.take_choice()?;
            self.lent.give_back();
            loop {
                match self.heard.try_recv() {
                    Ok(ask) => self.take(ask)?,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
            if self.open.is_some() {
                self.think()?;
            } else if self.paused {
                match self.heard.recv_timeout(NAP) {
                    Ok(ask) => self.take(ask)?,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                }
            } else {
                self.write()?;
            }
        }
    }

    /// One step further in text that needs no choice, at the pace asked for.
    fn write(&mut self) -> Result<(), DecodeError> {
        let begun = Instant::now();
        let before = self.writer.position();
        match self.writer.advance(&self.cancel)? {
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
                self.forward_steps += self.writer.stats().forward_steps;
                self.number += 1;
                self.writer = self.texts.begin(self.number)?;
                self.prompt_bytes = self.writer.text().len();
                self.say(Told::NextText);
            }
            Step::Cancelled => {}
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
        }
        Ok(())
    }

    /// Follows the gate's choice, if it has made one for the open fork.
    fn take_choice(&mut self) -> Result<(), DecodeError> {
        let broken_off = std::mem::take(&mut self.broken_off);
        let Some(open) = &self.open else {
            return Ok(());
        };
        let Some((option, _)) = open.question.and_then(|question| self.choice.get(question)) else {
            return Ok(());
        };
        let fork = open.fork;
        match open.kinds.get(option) {
            Some(OptionKind::Branch) => {
                let commit = self.writer.commit(fork, option)?;
                let committed_ns = rt::now().as_nanos();
                self.open = None;
                self.interrupted += u64::from(broken_off);
                self.say(Told::Taken {
                    fork,
                    how: Taken::Branch(option),
                    text: commit.text,
                    replaced: false,
                    position: self.writer.position(),
                    ready_tokens: commit.ready_tokens,
                    committed_ns,
                });
            }
            Some(OptionKind::GoOn) => self.go_on(fork)?,
            Some(OptionKind::Other) => self.other(fork)?,
            Some(OptionKind::Undo) => self.undo(fork)?,
            // The options have not been told yet, or the item is a filler: nothing was chosen.
            Some(OptionKind::Item) | None => {}
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
            Ask::GoOn(_) | Ask::Other(_) => {}
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
        let can_undo = self.writer.can_undo();
        self.say(Told::Fork { fork, can_undo });
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
            text: self.written(),
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
                    text: self.written(),
                });
                self.offer(fork);
            }
            None => self.say(Told::Refused { asked: "call" }),
        }
        Ok(())
    }

    /// The present text without its prompt.
    fn written(&self) -> String {
        self.writer
            .text()
            .get(self.prompt_bytes..)
            .unwrap_or_default()
            .to_owned()
    }

    fn say(&self, told: Told) {
        // The control plane may have gone: then nobody needs to know.
        let _ = self.tell.send(told);
    }
}
