//! The decoder's thread: writes by itself, stops at forks, and stands on the chosen branch microseconds after the gate.
//!
//! While a fork is open it extends every branch. A choice arrives through the [`ChoiceCell`]; the gate wakes this thread
//! and cancels the step it is in, so a commit never waits for a forward pass. Everything else (other branches, undo, a
//! call for a fork) comes as an [`Ask`] from the control plane.

mod messages;
mod texts;
mod writing;

pub use messages::{Ask, Stopped, Taken, Told};
pub use texts::{BETWEEN_TEXTS, Texts};

use std::sync::Arc;
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};

use self::writing::{NAP, Writing};
use super::decision::{ChoiceCell, OnChoice};
use crate::decode::{Backend, Cancel, DecodeError};
use crate::rt::{Lent, Wish};

/// Orders that wait for the decoder, at most; more than a few mean that it is stuck.
const ASKS: usize = 256;
/// Words of the decoder that wait to be heard, at most; then it waits.
const TOLD: usize = 4_096;

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

/// The decoder's thread.
pub struct Scribe {
    /// To the decoder.
    pub asks: Sender<Ask>,
    /// From the decoder.
    pub told: Receiver<Told>,
    cancel: Cancel,
    model: Backend,
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
        let model = texts.model.clone();
        let (asks, heard) = bounded(ASKS);
        let (tell, told) = bounded(TOLD);
        let thread_cancel = cancel.clone();
        let lent = Arc::new(Lent::default());
        let thread_lent = Arc::clone(&lent);
        let thread = std::thread::Builder::new()
            .name("decoder".into())
            .spawn(move || {
                texts.model.lead();
                let _borrower = thread_lent.borrower();
                let mut writing = Writing {
                    texts,
                    number: 0,
                    writer,
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
                    lost_since: None,
                    forward_steps: 0,
                };
                writing.begins();
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
            model,
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
        self.model.close();
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
