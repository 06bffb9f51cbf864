//! One real-time thread per stream: pull, record, process.
//!
//! The thread owns its source, its recorder tap and its [`Stage`]; it waits for nobody but the source. What a stage
//! finds leaves through the stage's own ring. After the thread has started nothing here allocates.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use razvilka_dsp::units::MonoTime;

use super::clock::{ClockWord, StreamClock};
use crate::recording::SampleTap;
use crate::rt::{self, Granted, Wish};
use crate::source::{ClockOffset, SampleSource, SourceError};

/// Samples taken from a source at once, at most.
pub const BLOCK_SAMPLES: usize = 64;
/// How long one pull waits; bounds how late a stop is noticed.
const PULL_WAIT: Duration = Duration::from_millis(20);

/// What is done with a block of samples on the real-time thread.
pub trait Stage: Send + 'static {
    /// Takes a block: `stamps` are the source's own, `data` is row-major `[stamps.len()][channels]`, `pulled` is when the
    /// block left the source. Runs inside [`rt::hot`]: must not allocate, lock, log or wait.
    fn block(&mut self, stamps: &[f64], data: &[f32], pulled: MonoTime);

    /// The source begins anew: nothing may reach across from what came before. Called on the control plane, between two
    /// threads.
    fn restart(&mut self) {}

    /// The rate that the stream is held to, Hz, where it is another one than it declares.
    fn rate_hz(&self) -> Option<f64> {
        None
    }
}

/// A stage that does nothing: the stream is only recorded.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecordOnly;

impl Stage for RecordOnly {
    fn block(&mut self, _: &[f64], _: &[f32], _: MonoTime) {}
}

/// When samples last arrived, and whether the stream is lost; written by the inlet thread, read by the watchdog.
#[derive(Debug, Default)]
pub struct Heartbeat {
    last_ns: AtomicU64,
    samples: AtomicU64,
    longest_gap_ns: AtomicU64,
    lost: AtomicBool,
    /// Bits of the latest clock offset and of when it was measured; `measured` counts changes, odd while one is under way.
    measured: AtomicU64,
    offset_s: AtomicU64,
    offset_at_s: AtomicU64,
    clock: ClockWord,
}

impl Heartbeat {
    /// What the guard says of the stream's clock.
    #[must_use]
    pub fn clock(&self) -> &ClockWord {
        &self.clock
    }

    /// The stream has been found again: it is silent until its first sample.
    fn restart(&self) {
        self.last_ns.store(0, Ordering::Release);
        self.lost.store(false, Ordering::Release);
    }

    fn beat(&self, at: MonoTime, samples: usize) {
        let last = self.last_ns.swap(at.as_nanos(), Ordering::Release);
        if last != 0 {
            self.longest_gap_ns
                .fetch_max(at.as_nanos().saturating_sub(last), Ordering::Relaxed);
        }
        self.samples.fetch_add(samples as u64, Ordering::Relaxed);
    }

    /// Announces a clock offset, if it is a new one. Only the inlet thread calls this.
    fn measured(&self, clock: ClockOffset) {
        let at = clock.at_s.to_bits();
        let version = self.measured.load(Ordering::Relaxed);
        if version != 0 && self.offset_at_s.load(Ordering::Relaxed) == at {
            return;
        }
        self.measured.store(version + 1, Ordering::SeqCst);
        self.offset_s
            .store(clock.offset_s.to_bits(), Ordering::SeqCst);
        self.offset_at_s.store(at, Ordering::SeqCst);
        self.measured.store(version + 2, Ordering::SeqCst);
    }

    /// The latest clock offset of the source; `None` until measured.
    #[must_use]
    pub fn clock_offset(&self) -> Option<ClockOffset> {
        loop {
            let before = self.measured.load(Ordering::SeqCst);
            if before == 0 {
                return None;
            }
            let offset_s = f64::from_bits(self.offset_s.load(Ordering::SeqCst));
            let at_s = f64::from_bits(self.offset_at_s.load(Ordering::SeqCst));
            if before.is_multiple_of(2) && self.measured.load(Ordering::SeqCst) == before {
                return Some(ClockOffset { at_s, offset_s });
            }
        }
    }

    /// When samples last arrived; `None` before the first.
    #[must_use]
    pub fn last(&self) -> Option<MonoTime> {
        match self.last_ns.load(Ordering::Acquire) {
            0 => None,
            at => Some(MonoTime::from_nanos(at)),
        }
    }

    /// Samples so far.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }

    /// The longest time without a sample so far, nanoseconds.
    #[must_use]
    pub fn longest_gap_ns(&self) -> u64 {
        self.longest_gap_ns.load(Ordering::Relaxed)
    }

    /// Whether the source said that the stream is gone.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// For how long nothing has come; `None` before the first sample.
    #[must_use]
    pub fn silent_for(&self, now: MonoTime) -> Option<Duration> {
        self.last()
            .map(|last| Duration::from_nanos(now.nanos_since(last)))
    }

    /// Silence of more than `limit` since the last sample, or a stream that is gone. A stream that has not begun is silent.
    #[must_use]
    pub fn silent(&self, now: MonoTime, limit: Duration) -> bool {
        self.is_lost()
            || self
                .last()
                .is_none_or(|last| u128::from(now.nanos_since(last)) > limit.as_nanos())
    }
}

/// A running inlet thread.
#[derive(Debug)]
pub struct Inlet<S: Stage> {
    stop: Arc<AtomicBool>,
    heartbeat: Arc<Heartbeat>,
    thread: JoinHandle<Ended<S>>,
}

/// What an inlet thread gives back.
pub struct Ended<S> {
    /// The source, to be used again.
    pub source: Box<dyn SampleSource>,
    /// The tap into the recorder.
    pub tap: SampleTap,
    /// The stage.
    pub stage: S,
    /// What the thread had been granted.
    pub granted: Granted,
    /// Why it ended, when it was not told to.
    pub error: Option<SourceError>,
}

impl<S: Stage> Inlet<S> {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's error when no thread can be made.
    pub fn start(
        name: &str,
        wish: Wish,
        source: Box<dyn SampleSource>,
        tap: SampleTap,
        stage: S,
    ) -> std::io::Result<Self> {
        Self::begin(name, wish, source, tap, stage, Arc::default())
    }

    /// Starts a thread on a source that was found again, with what the thread before gave back; its heartbeat goes on,
    /// so that whoever watches it need not know. The stage is restarted first.
    ///
    /// # Errors
    /// As [`Inlet::start`].
    pub fn resume(
        name: &str,
        wish: Wish,
        source: Box<dyn SampleSource>,
        (tap, mut stage): (SampleTap, S),
        heartbeat: Arc<Heartbeat>,
    ) -> std::io::Result<Self> {
        stage.restart();
        heartbeat.restart();
        Self::begin(name, wish, source, tap, stage, heartbeat)
    }

    fn begin(
        name: &str,
        wish: Wish,
        source: Box<dyn SampleSource>,
        tap: SampleTap,
        stage: S,
        heartbeat: Arc<Heartbeat>,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (thread_stop, thread_heartbeat) = (Arc::clone(&stop), Arc::clone(&heartbeat));
        let thread = rt::spawn(name, wish, move |granted| {
            let mut ended = Ended {
                source,
                tap,
                stage,
                granted,
                error: None,
            };
            run(&mut ended, &thread_stop, &thread_heartbeat);
            ended
        })?;
        Ok(Self {
            stop,
            heartbeat,
            thread,
        })
    }

    /// The stream's heartbeat.
    #[must_use]
    pub fn heartbeat(&self) -> Arc<Heartbeat> {
        Arc::clone(&self.heartbeat)
    }

    /// Whether the thread has ended by itself.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Stops the thread and gives everything back; `None` when it panicked.
    #[must_use]
    pub fn stop(self) -> Option<Ended<S>> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().ok()
    }
}

fn run<S: Stage>(ended: &mut Ended<S>, stop: &AtomicBool, heartbeat: &Heartbeat) {
    let channels = ended.source.spec().labels.len();
    let mut data = vec![0.0f32; BLOCK_SAMPLES * channels];
    let mut stamps = [0.0f64; BLOCK_SAMPLES];
    let declared_hz = ended.source.spec().rate_hz;
    let mut clock = StreamClock::new(ended.stage.rate_hz().unwrap_or(declared_hz));
    while !stop.load(Ordering::Acquire) {
        let pulled = ended.source.pull(&mut data, &mut stamps, PULL_WAIT);
        let now = rt::now();
        match pulled {
            Ok(0) => {}
            Ok(n) => {
                heartbeat.beat(now, n);
                let offset = ended.source.clock_offset();
                if let Some(offset) = offset {
                    heartbeat.measured(offset);
                }
                let offset = offset.map(|offset| {
                    let uncertainty_s = ended.source.clock_uncertainty_s().unwrap_or(0.0);
                    (offset, uncertainty_s)
                });
                let (stamps, data) = (
                    &stamps[..n.min(BLOCK_SAMPLES)],
                    &data[..n.min(BLOCK_SAMPLES) * channels],
                );
                rt::hot(|| {
                    // The clock first: what it doubts must not be decided on.
                    if let (Some(clock), Some(newest)) = (&mut clock, stamps.last()) {
                        clock.block(*newest, stamps.len(), now, offset, &heartbeat.clock);
                    }
                    ended.stage.block(stamps, data, now);
                    ended.tap.push(stamps, data);
                });
            }
            Err(error) => {
                heartbeat.lost.store(true, Ordering::Release);
                ended.error = Some(error);
                return;
            }
        }
    }
}
