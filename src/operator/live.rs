//! What an operator knows at the moment. Threads write it, one frame after the other reads it; nobody holds it for long.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::columns::Columns;
use super::trail::Trail;
use crate::engine::telemetry::{ForkNow, Page, Status};

/// What the session says.
#[derive(Debug, Clone, Default)]
pub struct Now {
    /// Text, options, notes.
    pub page: Option<Arc<Page>>,
    /// The fork.
    pub fork: ForkNow,
    /// Numbers.
    pub status: Option<Arc<Status>>,
    /// State of the person, by the labels of `RazvilkaState`.
    pub state: Arc<BTreeMap<String, f32>>,
    /// When something was heard of the session last.
    pub heard: Option<Instant>,
    /// What an operator should know of the connection itself.
    pub trouble: String,
    /// Whether the session listens to this operator.
    pub listens: bool,
}

/// What comes of the EEG stream.
#[derive(Debug, Default)]
pub struct Brain {
    /// Labels, in order.
    pub labels: Arc<[String]>,
    /// Rate, Hz.
    pub rate_hz: f64,
    /// The latest columns; `None` without a stream.
    pub columns: Option<Columns>,
    /// Number of the stream that was opened: another one is drawn anew.
    pub opened: u64,
    /// The channel whose spectrum is wanted.
    pub chosen: usize,
    /// Its power density: hertz, microvolts squared per hertz.
    pub spectrum: Arc<[[f64; 2]]>,
}

/// What comes of the gaze stream.
#[derive(Debug, Default)]
pub struct Eye {
    /// The latest places.
    pub trail: Trail,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Live {
    now: Mutex<Now>,
    brain: Mutex<Brain>,
    eye: Mutex<Eye>,
}

impl Live {
    /// What the session says, as it stands.
    #[must_use]
    pub fn now(&self) -> Now {
        open(&self.now).clone()
    }

    /// The EEG.
    pub fn brain(&self) -> MutexGuard<'_, Brain> {
        open(&self.brain)
    }

    /// Gaze.
    pub fn eye(&self) -> MutexGuard<'_, Eye> {
        open(&self.eye)
    }

    /// Takes something that the session said.
    pub fn hear(&self, hear: impl FnOnce(&mut Now)) {
        let mut now = open(&self.now);
        hear(&mut now);
        now.heard = Some(Instant::now());
    }

    /// Something about the connection itself; an empty one takes the last back.
    pub fn trouble(&self, words: &str) {
        let mut now = open(&self.now);
        if now.trouble != words {
            words.clone_into(&mut now.trouble);
        }
    }

    /// Whether the session listens to this operator.
    pub fn listens(&self, listens: bool) {
        open(&self.now).listens = listens;
    }

    /// The session is over: what it said last stays to be read, its streams do not.
    pub fn over(&self) {
        let opened = self.brain().opened + 1;
        *self.brain() = Brain {
            opened,
            ..Brain::default()
        };
        *self.eye() = Eye::default();
        let mut now = open(&self.now);
        if let Some(page) = &mut now.page {
            Arc::make_mut(page).heard.clear();
        }
        now.heard = None;
        now.listens = false;
    }
}

/// A thread that panicked leaves what it wrote last.
fn open<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
