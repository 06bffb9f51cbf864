//! Who puts choices into the person's memory: a thread of its own, because the disk may be slow, and because a memory that cannot be written is no
//! reason to end a session.
//!
//! What could not be written is kept for the next attempt, in order; of more than a thousand the newest are dropped and counted.

use std::collections::VecDeque;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::session::person::{
    AccountFile, ChoiceStore, Earned, ForkName, PersonError, Remembered, TakenBack,
};

/// Notes that wait for the disk, at most: hours of a busy session.
const HELD_MAX: usize = 1_024;
/// How long a disk that refused is left alone.
const AGAIN: Duration = Duration::from_secs(2);

/// Something to be remembered.
#[derive(Debug)]
pub enum Note {
    /// A fork has ended.
    Choice(Box<Remembered>),
    /// A choice was taken back.
    TakenBack(ForkName, TakenBack),
    /// What the imitator has earned with the model of this digest.
    Earned(String, Box<Earned>),
}

/// The thread, and the way to it.
pub struct Keeper {
    notes: Sender<Note>,
    faults: Receiver<String>,
    thread: JoinHandle<()>,
    /// Notes that found no room.
    dropped: u64,
}

impl Keeper {
    /// Starts the thread. It holds the person's lock until it ends.
    ///
    /// # Errors
    /// The system's error when no thread can be made.
    pub fn start(store: ChoiceStore) -> std::io::Result<Self> {
        let (notes, heard) = bounded(HELD_MAX);
        // The first fault, and what was lost at the end.
        let (fault, faults) = bounded(2);
        let thread = std::thread::Builder::new()
            .name("memory".into())
            .spawn(move || keep(store, &heard, &fault))?;
        Ok(Self {
            notes,
            faults,
            thread,
            dropped: 0,
        })
    }

    /// Hands something in; waits for nothing.
    pub fn hand_in(&mut self, note: Note) {
        self.dropped += u64::from(self.notes.try_send(note).is_err());
    }

    /// What went wrong since the last call, told once.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.faults.try_recv().ok()
    }

    /// Writes what is left, and ends. Says what could not be remembered.
    #[must_use]
    pub fn close(self) -> Vec<String> {
        let Self {
            notes,
            faults,
            thread,
            dropped,
        } = self;
        drop(notes);
        let panicked = thread.join().is_err();
        let mut words: Vec<_> = faults.try_iter().collect();
        if panicked {
            words.push("the thread that remembers choices panicked".to_owned());
        }
        if dropped > 0 {
            words.push(format!(
                "choices not remembered, as too many waited: {dropped}"
            ));
        }
        words
    }
}

fn keep(mut store: ChoiceStore, heard: &Receiver<Note>, fault: &Sender<String>) {
    let mut held: VecDeque<Note> = VecDeque::new();
    let (mut told, mut dropped) = (false, 0_u64);
    loop {
        let next = if held.is_empty() {
            heard.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            heard.recv_timeout(AGAIN)
        };
        match next {
            Ok(note) if held.len() < HELD_MAX => held.push_back(note),
            Ok(_) => dropped += 1,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if let Err(error) = write(&mut store, &mut held)
            && !std::mem::replace(&mut told, true)
        {
            let _ = fault.try_send(format!(
                "choices are not remembered for now: {error}. The session goes on"
            ));
        }
    }
    if let Err(error) = write(&mut store, &mut held) {
        dropped += held.len() as u64;
        let _ = fault.try_send(format!("choices not remembered: {dropped}. {error}"));
    } else if dropped > 0 {
        let _ = fault.try_send(format!(
            "choices not remembered while the disk refused them: {dropped}"
        ));
    }
}

/// Writes what is held, oldest first, up to the first that fails.
fn write(store: &mut ChoiceStore, held: &mut VecDeque<Note>) -> Result<(), PersonError> {
    while let Some(note) = held.front() {
        match note {
            Note::Choice(choice) => store.remember(choice)?,
            Note::TakenBack(fork, how) => store.take_back(fork, *how)?,
            Note::Earned(model, earned) => {
                if let Some(person) = store.person() {
                    AccountFile::in_folder(person.path()).keep(model, earned)?;
                }
            }
        }
        held.pop_front();
    }
    Ok(())
}
