//! Paces a laboratory on a clock and connects it to streams: open loop, a chunk every few milliseconds.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, TrySendError};

use crate::marker::Marker;
use crate::source::{MarkerSink, MarkerSource, SampleSink, SourceError};

use super::{ForkTruth, Heard, Laboratory, SimOutput};

/// Time between two chunks.
const TICK_S: f64 = 0.004;
/// Most samples in a chunk; more are due only after this process was held up.
const CHUNK: usize = 64;
/// How long the ears wait for a marker before they look whether to stop.
const PULL_TIMEOUT: Duration = Duration::from_millis(100);
/// Rest after an engine was lost or could not be opened, so that a broken network is not hammered.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Where the laboratory's devices send to.
pub struct Devices {
    /// The amplifier.
    pub eeg: Box<dyn SampleSink>,
    /// The eye tracker.
    pub gaze: Box<dyn SampleSink>,
    /// Keys and switches.
    pub keys: Box<dyn MarkerSink>,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// An outlet refused a chunk.
    #[error("the simulated {device} cannot send: {source}")]
    Send {
        /// Which device.
        device: &'static str,
        /// What the outlet said.
        source: SourceError,
    },
    /// The truth file cannot be written.
    #[error(
        "the truth about the person's wishes cannot be written: {source}. Free some space or choose another --truth file"
    )]
    Truth {
        /// What the system said.
        source: std::io::Error,
    },
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RunReport {
    /// EEG samples sent.
    pub eeg_samples: u64,
    /// Gaze samples sent.
    pub gaze_samples: u64,
    /// Keys pressed.
    pub keys: u64,
    /// Forks the person was asked at and that have a truth.
    pub forks: u64,
    /// Markers heard in time.
    pub heard: u64,
    /// Markers that came too late for their proper effect.
    pub late: u64,
    /// Markers refused.
    pub refused: u64,
    /// Longest time between two chunks, seconds: how far this process was held up.
    pub longest_tick_s: f64,
}

/// What the ears counted; shared with the thread that listens.
#[derive(Debug, Default)]
pub struct Ears {
    /// Texts on the engine's stream that were no markers.
    pub unreadable: AtomicU64,
    /// Markers lost because the person was not listening.
    pub overrun: AtomicU64,
    /// Engines found, one more after each loss.
    pub engines: AtomicU64,
}

/// Listens to an engine until `stop`, for as many engines as come and go: run it on a thread of its own.
///
/// `find` looks for the engine's marker stream, for as long as it sees fit but not for ever, and opens it; errors and
/// absence mean that it is asked again. Stamps are moved to our clock by the stream's measured offset as long as one is
/// known; on one machine both clocks are the same.
pub fn listen(
    mut find: impl FnMut() -> Result<Option<Box<dyn MarkerSource>>, SourceError>,
    to: &Sender<(f64, Marker)>,
    ears: &Ears,
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::Relaxed) {
        let Ok(Some(mut engine)) = find() else {
            thread::sleep(RETRY_AFTER);
            continue;
        };
        ears.engines.fetch_add(1, Ordering::Relaxed);
        while !stop.load(Ordering::Relaxed) {
            match engine.pull(PULL_TIMEOUT) {
                Ok(Some((stamp_s, text))) => {
                    let offset_s = engine.clock_offset().map_or(0.0, |clock| clock.offset_s);
                    match Marker::from_json(&text) {
                        Ok(marker) => match to.try_send((stamp_s + offset_s, marker)) {
                            Ok(()) => {}
                            Err(TrySendError::Full(_)) => {
                                ears.overrun.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(TrySendError::Disconnected(_)) => return,
                        },
                        Err(_) => {
                            ears.unreadable.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
                Ok(None) => {}
                Err(_) => break,
            }
        }
        thread::sleep(RETRY_AFTER);
    }
}

/// Runs a laboratory on a clock until `stop` or, when given, until `until_s` on that clock.
///
/// `clock` is the clock of the laboratory's start and of the markers in `heard`, seconds. Samples are due by this clock
/// alone: a slow receiver never slows them down. Each [`ForkTruth`] becomes one line of JSON in `truth`
/// ([`std::io::sink`] when nobody scores).
///
/// # Errors
/// [`RunError`] when an outlet or the truth file fails; everything before has been sent.
pub fn run(
    laboratory: &mut Laboratory,
    devices: &mut Devices,
    heard: &Receiver<(f64, Marker)>,
    clock: &dyn Fn() -> f64,
    truth: &mut dyn Write,
    until_s: Option<f64>,
    stop: &AtomicBool,
) -> Result<RunReport, RunError> {
    let mut way_out = WayOut {
        devices,
        truth,
        eeg: Chunk::default(),
        gaze: Chunk::default(),
        report: RunReport::default(),
    };
    let mut last_s = clock();
    let mut due_s = last_s;
    loop {
        for (stamp_s, marker) in heard.try_iter() {
            match laboratory.hear(stamp_s, &marker) {
                Heard::InTime => way_out.report.heard += 1,
                Heard::Late => way_out.report.late += 1,
                Heard::Refused => way_out.report.refused += 1,
            }
        }
        let now_s = clock();
        way_out.report.longest_tick_s = way_out.report.longest_tick_s.max(now_s - last_s);
        last_s = now_s;
        let mut sent = Ok(());
        let end_s = until_s.map_or(now_s, |until| until.min(now_s));
        laboratory.advance(end_s, &mut |output| {
            if sent.is_ok() {
                sent = way_out.put(output);
            }
        });
        sent?;
        way_out.send()?;
        if stop.load(Ordering::Relaxed) || until_s.is_some_and(|until| now_s >= until) {
            return Ok(way_out.report);
        }
        due_s = (due_s + TICK_S).max(now_s - TICK_S);
        let wait_s = due_s - clock();
        if wait_s > 0.0 {
            thread::sleep(Duration::from_secs_f64(wait_s.min(TICK_S)));
        }
    }
}

/// The way from the laboratory to its streams and to the truth file.
struct WayOut<'a> {
    devices: &'a mut Devices,
    truth: &'a mut dyn Write,
    eeg: Chunk,
    gaze: Chunk,
    report: RunReport,
}

impl WayOut<'_> {
    fn put(&mut self, output: SimOutput<'_>) -> Result<(), RunError> {
        match output {
            SimOutput::Eeg {
                stamp_s,
                microvolts,
            } => {
                self.report.eeg_samples += 1;
                if self.eeg.add(stamp_s, microvolts) {
                    self.eeg.send("amplifier", self.devices.eeg.as_mut())?;
                }
            }
            SimOutput::Gaze { stamp_s, gaze } => {
                self.report.gaze_samples += 1;
                if self.gaze.add(stamp_s, gaze) {
                    self.gaze.send("eye tracker", self.devices.gaze.as_mut())?;
                }
            }
            SimOutput::Key { stamp_s, key } => {
                self.report.keys += 1;
                self.devices
                    .keys
                    .push(&key.to_json(), stamp_s)
                    .map_err(|source| RunError::Send {
                        device: "key stream",
                        source,
                    })?;
            }
            SimOutput::Truth(fork) => {
                self.report.forks += 1;
                write_truth(self.truth, &fork).map_err(|source| RunError::Truth { source })?;
            }
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), RunError> {
        self.eeg.send("amplifier", self.devices.eeg.as_mut())?;
        self.gaze.send("eye tracker", self.devices.gaze.as_mut())
    }
}

/// Samples that wait to be sent together.
#[derive(Debug, Default)]
struct Chunk {
    data: Vec<f32>,
    stamps: Vec<f64>,
}

impl Chunk {
    /// Adds a sample; says whether the chunk is full.
    fn add(&mut self, stamp_s: f64, sample: &[f32]) -> bool {
        self.data.extend_from_slice(sample);
        self.stamps.push(stamp_s);
        self.stamps.len() >= CHUNK
    }

    fn send(&mut self, device: &'static str, to: &mut dyn SampleSink) -> Result<(), RunError> {
        if self.stamps.is_empty() {
            return Ok(());
        }
        let sent = to.push(&self.data, &self.stamps);
        self.data.clear();
        self.stamps.clear();
        sent.map_err(|source| RunError::Send { device, source })
    }
}

/// One line per fork, on disk at once: the session may be killed.
fn write_truth(file: &mut dyn Write, fork: &ForkTruth) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(fork)?;
    line.push(b'\n');
    file.write_all(&line)?;
    file.flush()
}
