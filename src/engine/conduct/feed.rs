//! One sample stream: its thread while it runs, what is left of it while it is looked for.
//!
//! A stream that is lost, or silent for [`LOST_AFTER`], gives its thread back. A search, on a thread of its own, looks for
//! the same stream and pins and checks it again; when it is there, stage and recorder's tap go on with the new source, the
//! stage restarted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, TryRecvError, bounded};

use super::gaze_news::EyeNews;
use crate::engine::EngineError;
use crate::engine::streams::reopen_samples;
use crate::pipeline::gaze::Trouble;
use crate::pipeline::inlet::{Heartbeat, Inlet, Stage};
use crate::recording::{OffsetTap, Recorder, SampleTap};
use crate::rt::{self, Granted, Wish};
use crate::source::lsl::Network;
use crate::source::{SampleSource, SourceError, StreamSpec};

/// A stream that has been silent for so long is lost, though its connection may look alive.
const LOST_AFTER: Duration = Duration::from_secs(5);
/// Rest between two searches.
const SEARCH_AGAIN: Duration = Duration::from_millis(200);

/// Something that happened to a stream.
#[derive(Debug)]
pub(super) enum Change {
    /// It was lost, and is looked for.
    Lost {
        stream: &'static str,
        reason: String,
    },
    /// It goes on; so many samples came before.
    Back { stream: &'static str, samples: u64 },
    /// What was found in its place cannot be used.
    Refused { stream: &'static str, why: String },
    /// It did not come back in time, or will not be looked for.
    GivenUp { stream: &'static str },
    /// Its clock was doubted in a way that is new.
    Doubted {
        stream: &'static str,
        doubts: String,
    },
    /// Too few EEG channels are good; whether EEG alone could choose.
    Poor { alone: bool },
    /// Enough EEG channels are good again.
    Good,
    /// Something is new with one of two eyes.
    Eye { eye: &'static str, news: EyeNews },
    /// No eye that can be used has been seen for long, or one is seen again.
    Unseen { still: bool },
    /// Many gaze samples cannot be used.
    Gaze { samples: u64, trouble: Trouble },
    /// Its thread panicked.
    Panicked,
}

/// One stream: its thread, or what is left of it.
pub(super) struct Feed<S: Stage> {
    stream: &'static str,
    spec: StreamSpec,
    pub(super) heartbeat: Arc<Heartbeat>,
    offsets: OffsetTap,
    state: State<S>,
    /// Kinds of doubt that were told of.
    doubts: BTreeSet<String>,
}

enum State<S: Stage> {
    Running(Inlet<S>),
    Away(Box<Away<S>>),
    /// The thread panicked, or could not be started again.
    Gone,
}

struct Away<S> {
    rest: (SampleTap, S),
    granted: Granted,
    since: Instant,
    /// `None` when it could not even be begun, or is not wanted.
    search: Option<Search>,
    /// What was refused last.
    refused: String,
}

impl<S: Stage> Feed<S> {
    pub(super) fn start(
        stream: &'static str,
        source: Box<dyn SampleSource>,
        stage: S,
        recorder: &Recorder,
        wish: Wish,
    ) -> Result<Self, EngineError> {
        let spec = source.spec().clone();
        let (tap, offsets) = recorder.add_samples(&spec)?;
        let inlet = Inlet::start(stream, wish, source, tap, stage)?;
        Ok(Self {
            stream,
            spec,
            heartbeat: inlet.heartbeat(),
            offsets,
            state: State::Running(inlet),
            doubts: BTreeSet::new(),
        })
    }

    pub(super) fn is_away(&self) -> bool {
        !matches!(self.state, State::Running(_))
    }

    pub(super) fn look_after(
        &mut self,
        network: Network,
        wish: Wish,
        wait: Duration,
        changes: &mut Vec<Change>,
    ) {
        if let Some(offset) = self.heartbeat.clock_offset() {
            self.offsets.push(offset);
        }
        let new: Vec<_> = self
            .heartbeat
            .clock()
            .counts()
            .doubts
            .into_keys()
            .filter(|doubt| self.doubts.insert(doubt.clone()))
            .collect();
        if !new.is_empty() {
            let (stream, doubts) = (self.stream, new.join(", ").replace('_', " "));
            changes.push(Change::Doubted { stream, doubts });
        }
        self.state = match std::mem::replace(&mut self.state, State::Gone) {
            State::Running(inlet) => self.running(inlet, network, wait, changes),
            State::Away(away) => self.away(away, wish, wait, changes),
            State::Gone => State::Gone,
        };
    }

    fn running(
        &self,
        inlet: Inlet<S>,
        network: Network,
        wait: Duration,
        changes: &mut Vec<Change>,
    ) -> State<S> {
        let silent = self
            .heartbeat
            .silent_for(rt::now())
            .filter(|silent| *silent > LOST_AFTER);
        if !(self.heartbeat.is_lost() || silent.is_some() || inlet.is_finished()) {
            return State::Running(inlet);
        }
        let Some(ended) = inlet.stop() else {
            changes.push(Change::Panicked);
            return State::Gone;
        };
        let stream = self.stream;
        let reason = match (&ended.error, silent) {
            (Some(error), _) => error.to_string(),
            (None, Some(silent)) => format!("silent for {:.1} s", silent.as_secs_f64()),
            (None, None) => "its thread ended".into(),
        };
        changes.push(Change::Lost { stream, reason });
        let search = (!wait.is_zero())
            .then(|| Search::start(network, self.spec.clone()).ok())
            .flatten();
        State::Away(Box::new(Away {
            rest: (ended.tap, ended.stage),
            granted: ended.granted,
            since: Instant::now(),
            search,
            refused: String::new(),
        }))
    }

    fn away(
        &self,
        mut away: Box<Away<S>>,
        wish: Wish,
        wait: Duration,
        changes: &mut Vec<Change>,
    ) -> State<S> {
        let stream = self.stream;
        let answer = away.search.as_ref().map(|search| search.answers.try_recv());
        match answer {
            Some(Ok(Ok(source))) => {
                let samples = self.heartbeat.samples();
                let heartbeat = Arc::clone(&self.heartbeat);
                let Away { rest, .. } = *away;
                return match Inlet::resume(stream, wish, source, rest, heartbeat) {
                    Ok(inlet) => {
                        changes.push(Change::Back { stream, samples });
                        State::Running(inlet)
                    }
                    Err(_) => {
                        changes.push(Change::GivenUp { stream });
                        State::Gone
                    }
                };
            }
            Some(Ok(Err(error))) => {
                let why = error.to_string();
                if why != away.refused
                    && !matches!(
                        error,
                        SourceError::NotFound { .. } | SourceError::Silent { .. }
                    )
                {
                    away.refused.clone_from(&why);
                    changes.push(Change::Refused { stream, why });
                }
            }
            Some(Err(TryRecvError::Empty)) => {}
            None | Some(Err(TryRecvError::Disconnected)) => {
                changes.push(Change::GivenUp { stream });
                away.search = None;
                return State::Away(away);
            }
        }
        if away.since.elapsed() >= wait {
            changes.push(Change::GivenUp { stream });
        }
        State::Away(away)
    }

    /// Stops the thread; its stage and what it was granted, unless it panicked.
    pub(super) fn stop(self) -> Option<(S, Granted)> {
        match self.state {
            State::Running(inlet) => inlet.stop().map(|ended| (ended.stage, ended.granted)),
            State::Away(away) => {
                let Away { rest, granted, .. } = *away;
                Some((rest.1, granted))
            }
            State::Gone => None,
        }
    }
}

/// Looks for a lost stream until it is found or nobody wants it any more.
struct Search {
    answers: Receiver<Result<Box<dyn SampleSource>, SourceError>>,
    stop: Arc<AtomicBool>,
}

impl Search {
    fn start(network: Network, spec: StreamSpec) -> std::io::Result<Self> {
        let (tell, answers) = bounded(1);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        std::thread::Builder::new()
            .name("search".into())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    let answer = reopen_samples(network, &spec);
                    let found = answer.is_ok();
                    // Whoever listens takes every answer; when nobody does any more, the stream is closed again.
                    if tell.send(answer).is_err() || found {
                        return;
                    }
                    std::thread::sleep(SEARCH_AGAIN);
                }
            })?;
        Ok(Self { answers, stop })
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
