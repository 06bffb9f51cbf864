//! The writing desk: ledger and text are written by a thread of their own, in the order in which they were handed in.
//!
//! Forcing a row to the disk takes milliseconds. Nothing that a person waits for waits for that.

use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::EngineError;
use crate::session::{
    ChainHead, ChoiceRow, EventRow, EvidenceRow, ForkRow, LedgerWriter, OptionRow, TextFile,
};

/// Rows that wait for company are put on the disk after this long without another.
const IDLE: Duration = Duration::from_millis(200);
/// Entries that wait for the disk, at most: some minutes of a busy session.
const ENTRIES: usize = 65_536;
/// How long a full desk is waited for.
const FULL: Duration = Duration::from_secs(10);
/// Faults that wait to be told of, at most; further ones are of the same kind.
const FAULTS: usize = 64;

/// Something to be written.
pub enum Entry {
    /// A fork with its options.
    Fork(Box<ForkRow>, Vec<OptionRow>),
    /// An input of the gate.
    Evidence(Box<EvidenceRow>),
    /// How a fork ended.
    Choice(Box<ChoiceRow>),
    /// Something that is no fork.
    Event(EventRow),
    /// Text is added.
    Text(String),
    /// The whole text is replaced.
    Replace(String),
}

/// The desk.
pub struct Desk {
    entries: Sender<Entry>,
    faults: Receiver<String>,
    thread: JoinHandle<Result<ChainHead, EngineError>>,
}

impl Desk {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's error when no thread can be made.
    pub fn start(ledger: LedgerWriter, text: TextFile) -> std::io::Result<Self> {
        let (entries, handed_in) = bounded(ENTRIES);
        let (fault, faults) = bounded(FAULTS);
        let thread = std::thread::Builder::new()
            .name("desk".into())
            .spawn(move || write(ledger, text, &handed_in, &fault))?;
        Ok(Self {
            entries,
            faults,
            thread,
        })
    }

    /// Hands something in. Waits only for a desk that is full, and not for ever: `false` when it took nothing, because the
    /// disk is stuck or the thread has ended.
    #[must_use]
    pub fn hand_in(&self, entry: Entry) -> bool {
        self.entries.send_timeout(entry, FULL).is_ok()
    }

    /// What could not be written since the last call.
    pub fn faults(&self) -> impl Iterator<Item = String> + '_ {
        self.faults.try_iter()
    }

    /// Writes what is left, closes the ledger and the text; also what could not be written.
    ///
    /// # Errors
    /// [`EngineError`] when the ledger cannot be closed.
    pub fn close(self) -> Result<(ChainHead, Vec<String>), EngineError> {
        let Self {
            entries,
            faults,
            thread,
        } = self;
        drop(entries);
        let head = thread
            .join()
            .map_err(|_| EngineError::Internal("the thread that writes the ledger panicked"))??;
        Ok((head, faults.try_iter().collect()))
    }
}

fn write(
    mut ledger: LedgerWriter,
    mut text: TextFile,
    handed_in: &Receiver<Entry>,
    fault: &Sender<String>,
) -> Result<ChainHead, EngineError> {
    let of_ledger = |error| format!("the ledger failed: {error}");
    let of_text = |error| format!("the text could not be written: {error}");
    loop {
        let written = match handed_in.recv_timeout(IDLE) {
            Ok(Entry::Fork(fork, options)) => ledger.fork(&fork, &options).map_err(of_ledger),
            Ok(Entry::Evidence(evidence)) => ledger.evidence(&evidence).map_err(of_ledger),
            Ok(Entry::Choice(choice)) => ledger.choice(&choice).map_err(of_ledger),
            Ok(Entry::Event(event)) => ledger.event(&event).map_err(of_ledger),
            Ok(Entry::Text(piece)) => text.append(&piece).map_err(of_text),
            Ok(Entry::Replace(whole)) => text.replace(&whole).map_err(of_text),
            Err(RecvTimeoutError::Timeout) => ledger.flush().map_err(of_ledger),
            Err(RecvTimeoutError::Disconnected) => break,
        };
        if let Err(words) = written {
            let _ = fault.try_send(words);
        }
    }
    if let Err(error) = text.sync() {
        let _ = fault.try_send(of_text(error));
    }
    Ok(ledger.finish()?)
}
