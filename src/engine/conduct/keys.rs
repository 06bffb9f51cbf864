//! Key presses: a thread that listens to each source of them, and what each of them means.
//!
//! A key stream that is lost is looked for like a sample stream, by the thread that listened to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};
use razvilka_dsp::units::LslTime;

use super::Conductor;
use crate::choice::guard::Said;
use crate::engine::EngineError;
use crate::engine::streams::reopen_markers;
use crate::gate::{Evidence, Told};
use crate::marker::{Key, OptionKind};
use crate::pipeline::decision::{Item, Made};
use crate::pipeline::scribe;
use crate::pipeline::trace::{Place, Trace};
use crate::recording::{MarkerTap, OffsetTap, Recorder};
use crate::rt;
use crate::session::EventKind;
use crate::source::lsl::Network;
use crate::source::{MarkerSource, SourceError};

/// Words of the sources that wait for the conductor; then the newest are dropped.
const WAITING: usize = 64;
/// How long one pull waits; bounds how late a stop is noticed.
const PULL_WAIT: Duration = Duration::from_millis(50);

/// What a source of keys says.
#[derive(Debug)]
pub(super) enum KeyWord {
    /// A key was pressed, at this moment on our LSL clock, seconds.
    Pressed(f64, Key),
    /// The source was lost.
    Lost(String),
    /// It is back.
    Back,
}

/// The sources of keys.
pub(super) struct KeysEnds {
    pub(super) words: Receiver<KeyWord>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// Held, so that a source which has gone is silent instead of always ready.
    _say: Sender<KeyWord>,
    /// Since when each source that was lost is away.
    away: Vec<Instant>,
}

impl KeysEnds {
    /// Listens to every source of keys; `None` when there is none. `network` is where the stream is looked for
    /// when it is lost; a terminal or window that is lost ends the session by itself.
    pub(super) fn start(
        network: Network,
        stream: Option<Box<dyn MarkerSource>>,
        typed: Vec<Box<dyn MarkerSource>>,
        recorder: &Recorder,
    ) -> Result<Option<Self>, EngineError> {
        let (say, words) = bounded(WAITING);
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        let stream = stream.into_iter().map(|source| (source, Some(network)));
        let typed = typed.into_iter().map(|source| (source, None));
        for (source, network) in stream.chain(typed) {
            let (tap, offsets) = recorder.add_markers(source.spec())?;
            let listening = Listening {
                source,
                network,
                tap,
                offsets,
                say: say.clone(),
                stop: Arc::clone(&stop),
            };
            let thread = std::thread::Builder::new().name("keys".into());
            threads.push(thread.spawn(|| listening.until_stopped())?);
        }
        Ok((!threads.is_empty()).then_some(Self {
            words,
            stop,
            threads,
            _say: say,
            away: Vec::new(),
        }))
    }

    /// Whether a source of keys is there.
    pub(super) fn is_live(&self) -> bool {
        self.away.len() < self.threads.len()
    }

    /// Whether every source of keys is there: which of them is the person's own is not known.
    pub(super) fn is_whole(&self) -> bool {
        self.away.is_empty()
    }

    /// For how long no source has been there.
    pub(super) fn away_for(&self) -> Option<Duration> {
        let latest = self.away.iter().max()?;
        (!self.is_live()).then(|| latest.elapsed())
    }

    /// Stops listening.
    pub(super) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        // A thread that is looking for its source ends when it has seen the stop; nobody waits for that.
        if self.away.is_empty() {
            for thread in self.threads {
                // A thread that panicked has nothing more to say.
                let _ = thread.join();
            }
        }
    }
}

/// One source with its thread's belongings.
struct Listening {
    source: Box<dyn MarkerSource>,
    network: Option<Network>,
    tap: MarkerTap,
    offsets: OffsetTap,
    say: Sender<KeyWord>,
    stop: Arc<AtomicBool>,
}

impl Listening {
    fn until_stopped(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            match self.source.pull(PULL_WAIT) {
                Ok(Some((stamp_s, text))) => self.hear(stamp_s, text),
                Ok(None) => {}
                Err(error) => {
                    if !self.find_again(&error) {
                        return;
                    }
                }
            }
        }
    }

    fn hear(&self, stamp_s: f64, text: String) {
        let key = Key::from_json(&text);
        self.tap.push(stamp_s, text);
        let clock = self.source.clock_offset();
        if let Some(clock) = clock {
            self.offsets.push(clock);
        }
        if let Ok(key) = key {
            let stamp_s = stamp_s + clock.map_or(0.0, |clock| clock.offset_s);
            // The person sees that a press too many was not taken.
            let _ = self.say.try_send(KeyWord::Pressed(stamp_s, key));
        }
    }

    /// Looks for a source that was lost; `false` when it is not to be found any more.
    fn find_again(&mut self, lost: &SourceError) -> bool {
        let _ = self.say.send(KeyWord::Lost(lost.to_string()));
        let Some(network) = self.network else {
            return false;
        };
        while !self.stop.load(Ordering::Relaxed) {
            if let Ok(found) = reopen_markers(network, self.source.spec()) {
                self.source = found;
                let _ = self.say.send(KeyWord::Back);
                return true;
            }
        }
        false
    }
}

impl Conductor<'_> {
    /// A source of keys says something.
    pub(super) fn key_word(&mut self, word: KeyWord) {
        let (away, words) = match word {
            KeyWord::Pressed(stamp_s, key) => return self.key(stamp_s, key),
            KeyWord::Lost(reason) => (true, format!("a source of keys was lost: {reason}")),
            KeyWord::Back => (false, "the source of keys is back".to_owned()),
        };
        if let Some(keys) = &mut self.keys {
            if away {
                keys.away.push(Instant::now());
            } else {
                keys.away.pop();
            }
        }
        self.event(EventKind::Source, words.clone());
        self.note(&words);
    }

    fn key(&mut self, stamp_s: f64, key: Key) {
        match (key, &self.question) {
            (Key::Ask { on }, _) => self.ask_me(on),
            (Key::CarryOn, _) => self.guard_said(Said::CarryOn),
            (Key::Tired, _) => self.guard_said(Said::Tired),
            (Key::Select { item }, Some(question)) => {
                let Some(option) = usize::try_from(item)
                    .ok()
                    .filter(|option| *option < question.kinds.len())
                else {
                    return self.note(&format!(
                        "a key asked for option {item}, which is not there"
                    ));
                };
                self.press(stamp_s, option);
            }
            (Key::Undo, Some(question)) => {
                match question
                    .kinds
                    .iter()
                    .position(|kind| *kind == OptionKind::Undo)
                {
                    Some(option) => self.press(stamp_s, option),
                    None => self.note("there is nothing to take back"),
                }
            }
            (Key::Select { .. }, None) => self.note("a key was pressed, but no fork is open"),
            (Key::Undo, None) => self.tell_decoder(scribe::Ask::Undo),
            (Key::Call { back }, None) | (Key::Call { back: back @ 1.. }, Some(_)) => {
                self.tell_decoder(scribe::Ask::Call { words_back: back });
            }
            (Key::Call { back: 0 }, Some(_)) => self.note("a fork is open here already"),
        }
    }

    fn press(&mut self, stamp_s: f64, option: usize) {
        let Some(question) = &self.question else {
            return;
        };
        let pulled = rt::now();
        // A stamp that is no time, or lies ahead of our clock, is the key's arrival.
        let now = rt::lsl_of(pulled);
        let at = LslTime::new(stamp_s)
            .ok()
            .filter(|at| *at <= now && *at >= question.opened_at)
            .unwrap_or(now);
        let mut trace = Trace::default();
        trace.mark(Place::Stamp, rt::mono_of(at).as_nanos());
        trace.mark(Place::Pulled, pulled.as_nanos());
        trace.mark(Place::Scored, pulled.as_nanos());
        let seq = pulled.as_nanos();
        let evidence = Evidence::key_press(question.id, self.lease, seq, at, option);
        if let Some(lane) = &mut self.gate.keys {
            lane.send(Item {
                told: Told::Evidence(evidence),
                trace,
                made: Made::Key {
                    item: option as u32,
                },
            });
        }
    }
}
