//! The devices of a certification: EEG and gaze over LSL from a process of their own.
//!
//! Open loop: every sample has a due time that follows from the start and the rate alone. A driver that wakes late sends
//! at once what is due, and nothing is left out, so a stall of the engine cannot slow the driver down and hide itself
//! (no coordinated omission). Samples go one by one, stamped with the LSL clock at the push; how late a push came after its
//! due time is measured and reported beside the engine's own latencies.
//!
//! The two processes talk over pipes: the driver says [`READY`] when its streams are up, sends once it has read a line,
//! stops when its input ends, and answers with one line of JSON.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, bounded};
use hdrhistogram::Histogram;
use razvilka_dsp::units::MonoTime;
use serde::{Deserialize, Serialize};

use super::CertifyError;
use super::load::{Load, eeg_noise, gaze_track};
use crate::pipeline::trace::{Tail, empty_histogram};
use crate::rt::{self, Granted, Wish};
use crate::source::lsl::{LslSampleOutlet, Network};
use crate::source::{SampleSink, SourceError, StreamSpec};

/// What the driver says when its streams can be found.
const READY: &str = "ready";
/// From the start line to the first sample.
const HEADROOM: Duration = Duration::from_millis(200);
/// How long the driver waits for the engine to open a stream.
const CONSUMER_WAIT: Duration = Duration::from_secs(20);

/// How one stream was driven.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Driven {
    /// `eeg` or `gaze`.
    pub stream: String,
    /// Samples pushed.
    pub samples: u64,
    /// Median time from a sample's due time to its push, microseconds.
    pub late_p50_us: f64,
    /// 99th percentile; `None` where too few samples support it.
    pub late_p99_us: Option<f64>,
    /// 99.9th percentile; `None` where too few samples support it.
    pub late_p999_us: Option<f64>,
    /// Largest.
    pub late_max_us: f64,
    /// What the driver's thread was granted.
    pub granted: Granted,
}

/// Runs the driver to the end of `input`: the whole life of the driver's process.
///
/// Its threads ask for `priority`, so that what is measured is the engine's latency and not the driver's place in the queue:
/// it stands for devices that have processors of their own.
///
/// # Errors
/// [`SourceError`] when a stream cannot be published or nobody opens it; `input` or `output` that fail are
/// [`SourceError::Lsl`] too, since nobody is left to tell.
pub fn drive(
    network: Network,
    load: &Load,
    priority: u32,
    mut input: impl BufRead,
    mut output: impl Write,
) -> Result<(), SourceError> {
    let broken =
        |error: std::io::Error| SourceError::Lsl(format!("the engine cannot be heard: {error}"));
    let stop = Arc::new(AtomicBool::new(false));
    let wish = Wish {
        priority,
        cpu: None,
    };
    let eeg = Device::start(network, load.eeg(), eeg_noise(load), wish, &stop)?;
    let gaze = Device::start(network, load.gaze(), gaze_track(load), wish, &stop)?;
    writeln!(output, "{READY}")
        .and_then(|()| output.flush())
        .map_err(broken)?;

    let mut line = String::new();
    if input.read_line(&mut line).map_err(broken)? == 0 {
        return Ok(()); // the engine gave up before the start
    }
    let start = MonoTime::from_nanos(rt::now().as_nanos() + HEADROOM.as_nanos() as u64);
    for device in [&eeg, &gaze] {
        // The other end lives as long as the device's thread; `finish` tells how that ended.
        let _ = device.begin.send(start);
    }
    // The end of the input is the engine's word to stop, and comes by itself when the engine dies.
    let _ = input.read_to_end(&mut Vec::new());
    stop.store(true, Ordering::Release);
    let driven = [eeg.finish()?, gaze.finish()?];
    serde_json::to_writer(&mut output, &driven).map_err(|error| broken(error.into()))?;
    writeln!(output).map_err(broken)
}

/// One stream and its thread.
struct Device {
    begin: crossbeam::channel::Sender<MonoTime>,
    thread: JoinHandle<Result<Driven, SourceError>>,
}

impl Device {
    /// Publishes the stream from a thread of its own; the outlet's threads inherit that thread's priority.
    fn start(
        network: Network,
        spec: StreamSpec,
        track: Vec<f32>,
        wish: Wish,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, SourceError> {
        let (begin, begun) = bounded(1);
        let (published, ready) = bounded(1);
        let stop = Arc::clone(stop);
        let name = spec.kind.to_lowercase();
        let thread = rt::spawn(&format!("drive-{name}"), wish, move |granted| {
            let outlet = match LslSampleOutlet::new(network, &spec) {
                Ok(outlet) => outlet,
                Err(error) => {
                    let _ = published.send(());
                    return Err(error);
                }
            };
            let _ = published.send(());
            send(outlet, &name, &track, &begun, &stop, granted)
        })
        .map_err(|error| {
            SourceError::Lsl(format!("no thread can be made for a device: {error}"))
        })?;
        // Published or failed; `finish` tells which.
        let _ = ready.recv();
        Ok(Self { begin, thread })
    }

    fn finish(self) -> Result<Driven, SourceError> {
        drop(self.begin);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(SourceError::Lsl("a device's thread panicked".into())))
    }
}

/// Sends the rows of `track` over and over, each at its due time.
fn send(
    mut outlet: LslSampleOutlet,
    stream: &str,
    track: &[f32],
    begun: &Receiver<MonoTime>,
    stop: &AtomicBool,
    granted: Granted,
) -> Result<Driven, SourceError> {
    let mut late = empty_histogram();
    let mut samples = 0_u64;
    let (rate_hz, channels) = (outlet.spec().rate_hz, outlet.spec().labels.len());
    if let Ok(start) = begun.recv() {
        if !outlet.wait_for_consumers(CONSUMER_WAIT) {
            return Err(SourceError::Lsl(format!(
                "nobody opened the {stream} stream within {} s",
                CONSUMER_WAIT.as_secs()
            )));
        }
        for row in track.chunks_exact(channels).cycle() {
            let due =
                MonoTime::from_nanos(start.as_nanos() + (samples as f64 * 1e9 / rate_hz) as u64);
            rt::sleep_until(due);
            if stop.load(Ordering::Acquire) {
                break;
            }
            let now = rt::now();
            late.saturating_record(now.nanos_since(due).max(1));
            outlet.push(row, &[rt::lsl_of(now).get()])?;
            samples += 1;
        }
    }
    Ok(driven(stream, samples, &late, granted))
}

fn driven(stream: &str, samples: u64, late: &Histogram<u64>, granted: Granted) -> Driven {
    let Tail { p99_us, p999_us } = Tail::of(late);
    Driven {
        stream: stream.into(),
        samples,
        late_p50_us: late.value_at_quantile(0.5) as f64 / 1e3,
        late_p99_us: p99_us,
        late_p999_us: p999_us,
        late_max_us: late.max() as f64 / 1e3,
        granted,
    }
}

/// The driver's process as the engine holds it; killed when dropped.
pub(super) struct Driver {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Driver {
    /// Starts the process and waits until its streams are up.
    pub(super) fn start(command: &mut Command) -> Result<Self, CertifyError> {
        let failed = |reason: String| CertifyError::Driver { reason };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(format!("it could not be started: {error}")))?;
        let answers = child
            .stdout
            .take()
            .ok_or_else(|| failed("it has no output".into()))?;
        let mut driver = Self {
            child,
            answers: BufReader::new(answers),
        };
        match driver.answer()?.trim() {
            READY => Ok(driver),
            other => Err(failed(format!("it said {other:?} and not {READY:?}"))),
        }
    }

    /// Lets it send.
    pub(super) fn begin(&mut self) -> Result<(), CertifyError> {
        let failed = |reason: String| CertifyError::Driver { reason };
        let input = self
            .child
            .stdin
            .as_mut()
            .ok_or_else(|| failed("it was stopped before".into()))?;
        writeln!(input, "go")
            .and_then(|()| input.flush())
            .map_err(|error| failed(format!("it cannot be told to begin: {error}")))
    }

    /// Stops it and takes its report.
    pub(super) fn finish(mut self) -> Result<Vec<Driven>, CertifyError> {
        drop(self.child.stdin.take());
        let report = self.answer()?;
        let _ = self.child.wait();
        serde_json::from_str(&report).map_err(|error| CertifyError::Driver {
            reason: format!("its report cannot be read: {error}"),
        })
    }

    fn answer(&mut self) -> Result<String, CertifyError> {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(n) if n > 0 => Ok(line),
            Ok(_) => Err(CertifyError::Driver {
                reason: "it ended early, see its message above".into(),
            }),
            Err(error) => Err(CertifyError::Driver {
                reason: format!("it cannot be heard: {error}"),
            }),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // A process that has ended already cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
