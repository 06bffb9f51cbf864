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
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use razvilka_dsp::units::MonoTime;
use serde::{Deserialize, Serialize};

use super::CertifyError;
use crate::pipeline::trace::{Tail, empty_histogram};
use crate::rt::{self, Granted, Wish};
use crate::source::lsl::{LslSampleOutlet, Network};
use crate::source::pins::Pins;
use crate::source::{Format, SampleSink, SourceError, StreamSpec};

/// What the driver says when its streams can be found.
const READY: &str = "ready";
/// From the start line to the first sample.
const HEADROOM: Duration = Duration::from_millis(200);
/// How long the driver waits for the engine to open a stream.
const CONSUMER_WAIT: Duration = Duration::from_secs(20);
/// Length of the noise that is sent over and over, seconds.
const NOISE_S: f64 = 4.0;
/// Standard deviation of the EEG noise, microvolts, and its correlation from one sample to the next.
const NOISE_UV: f64 = 10.0;
const NOISE_CORRELATION: f64 = 0.9;
/// Standard deviation of the gaze noise, degrees.
const GAZE_NOISE_DEG: f64 = 0.05;
const SEED: u64 = 11;

/// Where gaze rests in turn, degrees from the centre: both places lie on the first tile of a fork of two or of three
/// branches on the default screen.
pub(super) const REST_DEG: [(f64, f64); 2] = [(-17.0, -2.0), (-12.0, -2.0)];
/// How long it rests, and how long it takes from one place to the other, seconds.
const REST_S: f64 = 0.2;
const SACCADE_S: f64 = 0.03;

/// What the driver sends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// EEG channels, 1..=512.
    pub eeg_channels: usize,
    /// EEG samples per second, 100..=50,000.
    pub eeg_rate_hz: f64,
    /// Gaze samples per second, 60..=5,000.
    pub gaze_rate_hz: f64,
}

impl Default for Load {
    /// 64 channels at 1 kHz, gaze at 500 Hz.
    fn default() -> Self {
        Self {
            eeg_channels: 64,
            eeg_rate_hz: 1_000.0,
            gaze_rate_hz: 500.0,
        }
    }
}

impl Load {
    /// The EEG stream.
    #[must_use]
    pub fn eeg(&self) -> StreamSpec {
        let labels = (1..=self.eeg_channels)
            .map(|channel| format!("E{channel}"))
            .collect();
        stream("EEG", self.eeg_rate_hz, labels, "microvolts")
    }

    /// The gaze stream: `x`, `y` in degrees from the centre.
    #[must_use]
    pub fn gaze(&self) -> StreamSpec {
        stream(
            "Gaze",
            self.gaze_rate_hz,
            vec!["x".into(), "y".into()],
            "degrees",
        )
    }

    /// Pins that find a stream of this driver.
    pub(super) fn pins(spec: &StreamSpec) -> Pins {
        Pins {
            name: Some(spec.name.clone()),
            source_id: Some(spec.source_id.clone()),
            ..Pins::default()
        }
    }
}

fn stream(kind: &str, rate_hz: f64, labels: Vec<String>, unit: &str) -> StreamSpec {
    StreamSpec {
        name: format!("RazvilkaCertify{kind}"),
        kind: kind.into(),
        source_id: format!("razvilka-certify-{}", kind.to_lowercase()),
        hostname: String::new(),
        uid: String::new(),
        rate_hz,
        format: Format::Float32,
        units: vec![unit.into(); labels.len()],
        labels,
        xml: String::new(),
    }
}

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

/// A few seconds of EEG noise, `[sample][channel]`, microvolts: an autoregression of order 1 in each channel.
fn eeg_noise(load: &Load) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let innovation_uv = NOISE_UV * (1.0 - NOISE_CORRELATION * NOISE_CORRELATION).sqrt();
    let mut row = vec![0.0; load.eeg_channels];
    let mut track = Vec::new();
    for _ in 0..(NOISE_S * load.eeg_rate_hz) as usize {
        for value in &mut row {
            let normal: f64 = StandardNormal.sample(&mut random);
            *value = NOISE_CORRELATION * *value + innovation_uv * normal;
            track.push(*value as f32);
        }
    }
    track
}

/// Gaze that rests at one place, then at the other, `[sample][x, y]`, degrees; a whole number of rounds.
fn gaze_track(load: &Load) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let round_s = 2.0 * (REST_S + SACCADE_S);
    let mut track = Vec::new();
    for sample in 0..(round_s * 8.0 * load.gaze_rate_hz) as usize {
        let (x_deg, y_deg) = gaze_at(sample as f64 / load.gaze_rate_hz % round_s);
        for centre in [x_deg, y_deg] {
            let normal: f64 = StandardNormal.sample(&mut random);
            track.push((centre + GAZE_NOISE_DEG * normal) as f32);
        }
    }
    track
}

/// Where gaze is, this long after the beginning of a round.
fn gaze_at(t_s: f64) -> (f64, f64) {
    let half_s = REST_S + SACCADE_S;
    let [from, to] = if t_s < half_s {
        REST_DEG
    } else {
        [REST_DEG[1], REST_DEG[0]]
    };
    let moving = ((t_s % half_s - REST_S) / SACCADE_S).clamp(0.0, 1.0);
    let share = 0.5 - 0.5 * (std::f64::consts::PI * moving).cos();
    (
        from.0 + share * (to.0 - from.0),
        from.1 + share * (to.1 - from.1),
    )
}

/// The driver's process as the engine holds it; killed when dropped.
pub(super) struct Driver {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Driver {
    /// Starts the process and waits until its streams are up.
    pub(super) fn start(mut command: Command) -> Result<Self, CertifyError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ScreenSection;
    use crate::fork::{Branch, Fork, ForkId, ForkOrigin, options_of};
    use crate::view::layout;

    #[test]
    fn gaze_always_lies_on_the_first_tile_of_a_fork_of_two_or_three_branches() {
        for branches in 2..=3 {
            let branch = Branch {
                text: "a".into(),
                tokens: vec![1],
                prior: 0.3,
                log_prob_nats: -1.0,
            };
            let fork = Fork {
                id: ForkId(0),
                position: 0,
                context: String::new(),
                branches: vec![branch; branches],
                origin: ForkOrigin::Called,
            };
            let tiles = layout::tiles(
                &fork,
                &options_of(branches, false),
                &ScreenSection::default(),
            );
            for step in 0..1_000 {
                let (x, y) = gaze_at(f64::from(step) * 0.46e-3);
                let tile = &tiles[0];
                assert!(
                    (x - tile.x_deg).abs() < tile.w_deg / 2.0,
                    "{x} is not on {tile:?}"
                );
                assert!(
                    (y - tile.y_deg).abs() < tile.h_deg / 2.0,
                    "{y} is not on {tile:?}"
                );
            }
        }
    }

    #[test]
    fn a_round_of_gaze_ends_where_it_began() {
        let (begin, end) = (gaze_at(0.0), gaze_at(2.0 * (REST_S + SACCADE_S) - 1e-9));
        assert!((begin.0 - end.0).abs() < 1e-3 && (begin.1 - end.1).abs() < 1e-3);
        assert_eq!(gaze_at(REST_S + SACCADE_S), REST_DEG[1]);
    }

    #[test]
    fn the_noise_has_the_deviation_it_should() {
        let load = Load {
            eeg_channels: 4,
            ..Load::default()
        };
        let track = eeg_noise(&load);
        let mean_square =
            track.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / track.len() as f64;
        assert!(
            (mean_square.sqrt() / NOISE_UV - 1.0).abs() < 0.1,
            "{}",
            mean_square.sqrt()
        );
    }
}
