//! Key presses: a thread that listens to their stream, and what each of them means.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, bounded};
use razvilka_dsp::units::LslTime;

use super::Conductor;
use crate::engine::EngineError;
use crate::gate::Evidence;
use crate::marker::{Key, OptionKind};
use crate::pipeline::decision::{Item, Made};
use crate::pipeline::scribe;
use crate::pipeline::trace::{Place, Trace};
use crate::recording::Recorder;
use crate::rt;
use crate::source::MarkerSource;

pub(super) struct KeysEnds {
    pub(super) keys: Receiver<(f64, Key)>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) thread: JoinHandle<()>,
}

impl KeysEnds {
    pub(super) fn start(
        mut source: Box<dyn MarkerSource>,
        recorder: &Recorder,
    ) -> Result<Self, EngineError> {
        let (tap, offsets) = recorder.add_markers(source.spec())?;
        let (send, keys) = bounded(64);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("keys".into())
            .spawn(move || {
                let seen = AtomicU64::new(0);
                while !stopped.load(Ordering::Relaxed) {
                    match source.pull(Duration::from_millis(50)) {
                        Ok(Some((stamp, text))) => {
                            tap.push(stamp, text.clone());
                            let clock = source.clock_offset();
                            if let Some(clock) = clock {
                                offsets.push(clock);
                            }
                            if let Ok(key) = Key::from_json(&text) {
                                seen.fetch_add(1, Ordering::Relaxed);
                                let stamp = stamp + clock.map_or(0.0, |clock| clock.offset_s);
                                let _ = send.try_send((stamp, key));
                            }
                        }
                        Ok(None) => {}
                        Err(_) => return,
                    }
                }
            })?;
        Ok(Self { keys, stop, thread })
    }
}

impl Conductor<'_> {
    pub(super) fn key(&mut self, stamp_s: f64, key: Key) {
        match (key, &self.question) {
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
                evidence,
                trace,
                made: Made::Key {
                    item: option as u32,
                },
            });
        }
    }
}
