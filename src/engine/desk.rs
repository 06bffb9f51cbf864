//! The writing desk: ledger and text are written by a thread of their own, in the order in which they were handed in.
//!
//! Forcing a row to the disk takes milliseconds. Nothing that a person waits for waits for that.
//!
//! When the disk is full, the desk frees the room that the folder kept for this moment, writes on, and says so: the conductor
//! then ends the session, whose last rows are in the ledger like all others.

use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::session::{
    ChainHead, ChoiceRow, EventRow, EvidenceRow, ForkRow, LedgerError, LedgerWriter, OptionRow,
    Reserve, StateRow, TextFile,
};

/// Rows that wait for company are put on the disk after this long without another.
const IDLE: Duration = Duration::from_millis(200);
/// Entries that wait for the disk, at most: some minutes of a busy session.
const ENTRIES: usize = 65_536;
/// How long a full desk is waited for.
const FULL: Duration = Duration::from_secs(10);
/// Faults that wait to be told of: one of each kind, and how much was lost.
const FAULTS: usize = 4;

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
    /// State of the person at a fork.
    State(Box<StateRow>),
    /// Text is added.
    Text(String),
    /// The whole text is replaced.
    Replace(String),
}

/// The desk.
pub struct Desk {
    entries: Sender<Entry>,
    faults: Receiver<String>,
    thread: JoinHandle<ChainHead>,
}

impl Desk {
    /// Starts the thread. At the first fault it gives `reserve` back to the disk and tries again, so that the session that
    /// ends for it is written to its end.
    ///
    /// # Errors
    /// The system's error when no thread can be made.
    pub fn start(
        ledger: LedgerWriter,
        text: TextFile,
        reserve: Option<Reserve>,
    ) -> std::io::Result<Self> {
        let (entries, handed_in) = bounded(ENTRIES);
        let (fault, faults) = bounded(FAULTS);
        let clerk = Clerk {
            ledger,
            text,
            reserve,
            fault,
            told_of_ledger: false,
            told_of_text: false,
            lost: 0,
        };
        let thread = std::thread::Builder::new()
            .name("desk".into())
            .spawn(move || clerk.write(&handed_in))?;
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

    /// What could not be written at once since the last call: each kind is told once.
    pub fn faults(&self) -> impl Iterator<Item = String> + '_ {
        self.faults.try_iter()
    }

    /// Writes what is left, closes the ledger and the text. Gives the last row on the disk, and what went wrong; no row when
    /// the thread panicked.
    #[must_use]
    pub fn close(self) -> (Option<ChainHead>, Vec<String>) {
        let Self {
            entries,
            faults,
            thread,
        } = self;
        drop(entries);
        let head = thread.join().ok();
        let mut words: Vec<_> = faults.try_iter().collect();
        if head.is_none() {
            words.push("the thread that writes the ledger panicked".to_owned());
        }
        (head, words)
    }
}

/// Who sits at the desk.
struct Clerk {
    ledger: LedgerWriter,
    text: TextFile,
    reserve: Option<Reserve>,
    fault: Sender<String>,
    told_of_ledger: bool,
    told_of_text: bool,
    /// Entries that are not on the disk.
    lost: u64,
}

impl Clerk {
    fn write(mut self, handed_in: &Receiver<Entry>) -> ChainHead {
        loop {
            match handed_in.recv_timeout(IDLE) {
                Ok(entry) => self.put(&entry),
                Err(RecvTimeoutError::Timeout) => self.flush(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.flush();
        if let Err(error) = self.text.sync() {
            self.tell_of_text(&error);
        }
        if self.lost > 0 {
            self.tell(format!(
                "entries of ledger and text that could not be written: {}",
                self.lost
            ));
        }
        let Self { ledger, fault, .. } = self;
        let head = ledger.head();
        if let Err(error) = ledger.finish() {
            let _ = fault.try_send(format!(
                "the ledger is whole, but could not be closed: {error}. Keep ledger.sqlite-wal beside it"
            ));
        }
        head
    }

    /// Writes an entry, in the second attempt with the reserve.
    fn put(&mut self, entry: &Entry) {
        match entry {
            Entry::Text(piece) => {
                let before = self.text.as_str().len();
                if let Err(error) = self.text.append(piece) {
                    self.tell_of_text(&error);
                    // When only forcing it to the disk failed, the piece stands.
                    let stands = self.text.as_str().len() > before;
                    if !stands && self.text.append(piece).is_err() {
                        self.lost += 1;
                    }
                }
            }
            Entry::Replace(whole) => {
                if let Err(error) = self.text.replace(whole) {
                    self.tell_of_text(&error);
                    if self.text.replace(whole).is_err() {
                        self.lost += 1;
                    }
                }
            }
            row => {
                if let Err(error) = self.row(row) {
                    self.tell_of_ledger(&error);
                    if self.row(row).is_err() {
                        self.lost += 1;
                    }
                }
            }
        }
    }

    fn row(&mut self, entry: &Entry) -> Result<(), LedgerError> {
        match entry {
            Entry::Fork(fork, options) => self.ledger.fork(fork, options),
            Entry::Evidence(evidence) => self.ledger.evidence(evidence),
            Entry::Choice(choice) => self.ledger.choice(choice),
            Entry::Event(event) => self.ledger.event(event),
            Entry::State(state) => self.ledger.state(state),
            Entry::Text(_) | Entry::Replace(_) => Ok(()),
        }
    }

    fn flush(&mut self) {
        if let Err(error) = self.ledger.flush() {
            self.tell_of_ledger(&error);
        }
    }

    fn tell_of_ledger(&mut self, error: &LedgerError) {
        if !std::mem::replace(&mut self.told_of_ledger, true) {
            self.tell(error.to_string());
        }
    }

    fn tell_of_text(&mut self, error: &std::io::Error) {
        if !std::mem::replace(&mut self.told_of_text, true) {
            self.tell(format!("the text could not be written: {error}"));
        }
    }

    /// Tells of a fault, and frees the room that was kept for it.
    fn tell(&mut self, words: String) {
        if let Some(reserve) = self.reserve.take() {
            reserve.release();
        }
        let _ = self.fault.try_send(words);
    }
}
