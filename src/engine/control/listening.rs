//! The thread that hears the operator's stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};

use super::word::Command;
use crate::source::lsl::{LslMarkers, Network};
use crate::source::pins::Pins;
use crate::source::{MarkerSource, SourceError};

/// Words that wait for the conductor; then the newest are dropped and counted as refused.
const WAITING: usize = 16;
/// How long one look for the stream takes.
const LOOK: Duration = Duration::from_secs(1);
/// Rest between two looks: an operator comes by hand.
const REST: Duration = Duration::from_millis(500);
/// How long the stream may take to answer once it was found.
const OPEN: Duration = Duration::from_secs(2);
/// How long one pull waits; bounds how late an end is noticed.
const PULL_WAIT: Duration = Duration::from_millis(50);
/// Between two words that are followed; of those that come sooner the latest is followed when it is over. Each is written down, and nobody
/// presses faster than this. A word to stop never waits.
const REST_BETWEEN: Duration = Duration::from_millis(200);

/// What the thread says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The operator asks this.
    Asked(Command),
    /// The stream is there.
    Came {
        /// The machine that serves it.
        host: String,
        /// Its uid: no other outlet has the same.
        uid: String,
    },
    /// It is gone. A pause stays one.
    Gone,
    /// It cannot be used, or what it said was not followed; each reason once for each stream that came.
    Refused(String),
}

/// Listens to the stream that the pins name, whenever it is there.
pub struct Listener {
    /// What is heard.
    pub heard: Receiver<Heard>,
    refused: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    _thread: JoinHandle<()>,
}

impl Listener {
    /// Starts the thread. A word to stop raises `stop` at once, whatever the session does at that moment.
    ///
    /// # Errors
    /// The system's error when no thread can be made.
    pub fn start(network: Network, pins: Pins, stop: Arc<AtomicBool>) -> std::io::Result<Self> {
        let (say, heard) = bounded(WAITING);
        let refused = Arc::new(AtomicU64::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let listening = Listening {
            network,
            pins,
            stop,
            over: Arc::clone(&over),
            refused: Arc::clone(&refused),
            say,
        };
        let thread = std::thread::Builder::new().name("control".into());
        let thread = thread.spawn(move || listening.until_over())?;
        Ok(Self {
            heard,
            refused,
            over,
            _thread: thread,
        })
    }

    /// What was asked and not followed so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The thread ends when it has seen this; nobody waits for a look at the network that is under way.
        self.over.store(true, Ordering::Relaxed);
    }
}

struct Listening {
    network: Network,
    pins: Pins,
    stop: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    refused: Arc<AtomicU64>,
    say: Sender<Heard>,
}

impl Listening {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn until_over(self) {
        let mut unusable = String::new();
        while !self.is_over() {
            match self.look() {
                Ok(source) => {
                    unusable.clear();
                    let spec = source.spec();
                    let (host, uid) = (spec.hostname.clone(), spec.uid.clone());
                    self.tell(Heard::Came { host, uid });
                    self.hear(source);
                    self.tell(Heard::Gone);
                }
                Err(SourceError::NotFound { .. } | SourceError::Silent { .. }) => {}
                Err(error) => {
                    let why = error.to_string();
                    if why != unusable {
                        self.tell(Heard::Refused(why.clone()));
                        unusable = why;
                    }
                }
            }
            std::thread::sleep(REST);
        }
    }

    fn look(&self) -> Result<LslMarkers, SourceError> {
        let stream = self.network.resolve(&self.pins, LOOK)?;
        LslMarkers::open(&stream, OPEN)
    }

    /// Until the stream goes.
    fn hear(&self, mut source: impl MarkerSource) {
        let mut told = Vec::new();
        let mut turns = Turns::default();
        while !self.is_over() {
            if let Some(command) = turns.due(Instant::now()) {
                self.tell(Heard::Asked(command));
            }
            match source.pull(PULL_WAIT) {
                Ok(Some((_, text))) => match Command::from_json(&text) {
                    Ok(Command::Stop) => {
                        self.stop.store(true, Ordering::Relaxed);
                        self.tell(Heard::Asked(Command::Stop));
                    }
                    Ok(command) => {
                        if turns.take(command) {
                            self.refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    Err(why) => {
                        self.refused.fetch_add(1, Ordering::Relaxed);
                        if !told.contains(&why) {
                            told.push(why);
                            self.tell(Heard::Refused(why.to_string()));
                        }
                    }
                },
                Ok(None) => {}
                Err(_) => break,
            }
        }
        // The last word of a stream that goes is followed as well.
        if let Some(command) = turns.waiting {
            self.tell(Heard::Asked(command));
        }
    }

    /// Nobody here waits: what finds no room is counted as refused.
    fn tell(&self, heard: Heard) {
        if self.say.try_send(heard).is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Words to pause and to go on, one after the other.
#[derive(Debug, Default)]
struct Turns {
    followed: Option<Instant>,
    waiting: Option<Command>,
}

impl Turns {
    /// A word was heard. Gives whether an earlier one is dropped for it.
    fn take(&mut self, command: Command) -> bool {
        self.waiting.replace(command).is_some()
    }

    /// The word that is to be followed now.
    fn due(&mut self, now: Instant) -> Option<Command> {
        let rests = |at| now.saturating_duration_since(at) < REST_BETWEEN;
        if self.followed.is_some_and(rests) {
            return None;
        }
        let due = self.waiting.take()?;
        self.followed = Some(now);
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_words_that_come_at_any_rate_a_few_are_followed_and_the_last_one_always_is() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let mut turns = Turns::default();
        assert_eq!(turns.due(at(0)), None, "nothing was asked");
        let (mut followed, mut dropped) = (Vec::new(), 0);
        for ms in 0..1_000 {
            let word = [Command::Pause, Command::Resume][(ms % 2) as usize];
            dropped += u64::from(turns.take(word));
            followed.extend(turns.due(at(ms)).map(|word| (ms, word)));
        }
        let times: Vec<_> = followed.iter().map(|(ms, _)| *ms).collect();
        assert_eq!(times, [0, 200, 400, 600, 800]);
        assert_eq!(turns.due(at(999)), None);
        assert_eq!(turns.due(at(1_000)), Some(Command::Resume));
        assert_eq!(dropped + 6, 1_000, "each was followed or counted");
        assert_eq!(turns.due(at(5_000)), None, "once");
    }
}
