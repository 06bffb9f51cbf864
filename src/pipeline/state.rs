//! State of the person: beside the way to the gate, on a thread that nobody waits for.
//!
//! A window of band powers takes three FFTs per channel each second. On the EEG thread that would be a burst of up to some
//! milliseconds for a large cap, over the whole budget of a block, for values that change within minutes. So the EEG thread
//! only copies its block into a ring ([`StateTap`], no allocation, never waits; what does not fit is dropped, and the tracker sees
//! a gap), and an ordinary thread of the control plane computes, publishes once a second, and keeps the latest state at hand.
//!
//! The gaze thread does the same with its block. [`StateLine`] and [`EyeLine`] are pure: the same samples give the same state.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use razvilka_dsp::DspError;
use razvilka_dsp::eye_state::EyeIndices;
use razvilka_dsp::score::{ScoreDensity, StudentT};
use razvilka_dsp::state::{AmplitudeDrift, AttendedFork, Indices, StateSpec, StateTracker};
use razvilka_dsp::units::MonoTime;

use super::eyes::EyeLine;
use crate::person::PersonState;
use crate::recording::SampleTap;
use crate::rt;
use crate::source::SampleSink;
use crate::source::ring::{self, RingIn, RingOut};

/// How long the ring lasts while the thread is busy, seconds.
const RING_S: f64 = 5.0;
/// How often the ring is emptied.
const DRAIN_EVERY: Duration = Duration::from_millis(100);
/// How often the state is published.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// Indices older than this are not known any more.
const STALE: Duration = Duration::from_secs(5);
/// Samples taken from the ring at once.
const DRAIN_SAMPLES: usize = 256;
/// In place of a stamp: the source begins anew. No source's stamp is infinite.
const RESTART: f64 = f64::NEG_INFINITY;

/// What the thread gives a stream's samples to.
pub trait Watches {
    /// Takes one sample of the whole stream; `true` when the indices are new. A sample of another shape is passed over.
    fn sample(&mut self, stamp_s: f64, sample: &[f32]) -> bool;

    /// The source begins anew; the baseline stays.
    fn restart(&mut self);
}

/// The pure part: picks the channels, tracks the state.
#[derive(Debug, Clone)]
pub struct StateLine {
    tracker: StateTracker,
    select: Vec<usize>,
    stream_channels: usize,
    picked: Vec<f32>,
    /// Microvolts in one of each picked value.
    scale: Vec<f64>,
}

impl StateLine {
    /// A line for a stream of `stream_channels` channels, of which those in `select` are used, in this order.
    ///
    /// # Errors
    /// [`DspError`] for a number out of range, or a rate too low for beta.
    pub fn new(
        spec: StateSpec,
        select: Vec<usize>,
        stream_channels: usize,
    ) -> Result<Self, DspError> {
        Ok(Self {
            tracker: StateTracker::new(spec)?,
            picked: vec![0.0; select.len()],
            scale: vec![1.0; select.len()],
            select,
            stream_channels: stream_channels.max(1),
        })
    }

    /// Takes the stream's values as multiples of these, microvolts, one per channel of the stream; before the first sample.
    pub fn set_units(&mut self, microvolts: &[f64]) {
        for (scale, channel) in self.scale.iter_mut().zip(&self.select) {
            *scale = microvolts.get(*channel).copied().unwrap_or(1.0);
        }
    }

    /// Channels of the stream.
    #[must_use]
    pub fn stream_channels(&self) -> usize {
        self.stream_channels
    }

    /// The indices as they stand.
    #[must_use]
    pub fn indices(&self) -> Indices {
        self.tracker.indices()
    }

    /// The tracker inside.
    #[must_use]
    pub fn tracker(&self) -> &StateTracker {
        &self.tracker
    }
}

impl Watches for StateLine {
    fn sample(&mut self, stamp_s: f64, sample: &[f32]) -> bool {
        if sample.len() != self.stream_channels {
            return false;
        }
        let places = self.select.iter().zip(&self.scale);
        for (picked, (channel, scale)) in self.picked.iter_mut().zip(places) {
            let value = sample.get(*channel).copied().unwrap_or(f32::NAN);
            *picked = (f64::from(value) * scale) as f32;
        }
        self.tracker.push(stamp_s, &self.picked).unwrap_or(false)
    }

    fn restart(&mut self) {
        self.tracker.restart();
    }
}

/// What a flash of the attended option and of the others scored in calibration: the unit of the P300's amplitude.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reference {
    other: f64,
    distance: f64,
}

impl Reference {
    /// From the class densities of the scorer in use; `None` when they do not tell the classes apart.
    #[must_use]
    pub fn of(density: &ScoreDensity) -> Option<Self> {
        let other = density.nontarget().location;
        let distance = density.target().location - other;
        (distance.is_finite() && distance > 0.0).then_some(Self { other, distance })
    }

    /// A score in units of the calibration's amplitude: 0 for any other flash, 1 for an attended one.
    #[must_use]
    pub fn standardise(&self, score: f64) -> f64 {
        (score - self.other) / self.distance
    }

    /// Standard error of the calibration's own amplitude, as a share of it: `targets` of its `epochs` were attended.
    #[must_use]
    pub fn standard_error(&self, density: &ScoreDensity, epochs: usize, targets: usize) -> f64 {
        // Below 4 degrees of freedom the variance of t is all tail: taken at 4.
        let variance = |t: StudentT| t.variance(4.0);
        let others = epochs.saturating_sub(targets).max(1) as f64;
        let of_targets = variance(density.target()) / targets.max(1) as f64;
        let of_others = variance(density.nontarget()) / others;
        (of_targets + of_others).sqrt() / self.distance
    }
}

/// The real-time thread's end of the ring.
pub struct StateTap(RingIn);

/// The other end.
pub struct StateDrain(RingOut);

/// A ring for some seconds of a stream.
#[must_use]
pub fn state_ring(rate_hz: f64, channels: usize) -> (StateTap, StateDrain) {
    let samples = ((RING_S * rate_hz).ceil() as usize).clamp(DRAIN_SAMPLES, 1 << 18);
    let (tap, drain) = ring::sample_ring(samples, channels);
    (StateTap(tap), StateDrain(drain))
}

impl StateTap {
    /// Takes a block; what does not fit is dropped from its end, uncounted: the tracker sees a gap. Does not allocate or wait.
    pub fn push(&mut self, stamps: &[f64], data: &[f32]) {
        self.0.push(stamps, data);
    }

    /// Says that the source begins anew. Not real-time. Should the ring be full, the jump of the stamps says it.
    pub fn restart(&mut self) {
        let nothing = vec![0.0; self.0.channels()];
        self.push(&[RESTART], &nothing);
    }
}

impl StateDrain {
    /// Gives everything that waits to the line; `true` when its indices are new.
    pub fn drain(&mut self, line: &mut impl Watches) -> bool {
        let mut new = false;
        let channels = self.0.channels();
        let mut stamps = [0.0; DRAIN_SAMPLES];
        let mut data = vec![0.0; DRAIN_SAMPLES * channels];
        // What comes meanwhile can wait for the next round.
        let mut waiting = self.0.waiting();
        while waiting > 0 {
            let room = waiting.min(DRAIN_SAMPLES);
            let count = self.0.pull(&mut stamps[..room], &mut data);
            if count == 0 {
                break;
            }
            waiting -= count;
            let samples = data.chunks_exact(channels).take(count);
            for (stamp, sample) in stamps.iter().zip(samples) {
                if *stamp == RESTART {
                    line.restart();
                } else {
                    new |= line.sample(*stamp, sample);
                }
            }
        }
        new
    }
}

/// Where the state goes once a second. Whatever is absent is left out.
#[derive(Default)]
pub struct Telemetry {
    /// To whoever listens.
    pub sink: Option<Box<dyn SampleSink>>,
    /// Into the recording.
    pub tap: Option<SampleTap>,
}

impl Telemetry {
    fn publish(&mut self, state: &PersonState, time_on_task_s: f64) {
        let stamp = rt::lsl_now().get();
        let values: Vec<f32> = std::iter::once(Some(time_on_task_s))
            .chain(state.values())
            .map(|value| value.map_or(f32::NAN, |value| value as f32))
            .collect();
        if let Some(sink) = &mut self.sink {
            // A listener that cannot be reached must not stop the session; ledger and recording have the state.
            let _ = sink.push(&values, &[stamp]);
        }
        if let Some(tap) = &mut self.tap {
            tap.push(&[stamp], &values);
        }
    }
}

/// What the thread is told.
enum Tell {
    Begun(MonoTime),
    Attended(AttendedFork),
}

/// The running thread.
pub struct StateThread {
    tell: Sender<Tell>,
    now: Arc<Mutex<PersonState>>,
    thread: JoinHandle<()>,
}

/// What the thread watches. Of what is absent nothing is told; the time on task goes out all the same.
#[derive(Default)]
pub struct Sources {
    /// The EEG.
    pub eeg: Option<(StateLine, StateDrain)>,
    /// The eyes.
    pub eyes: Option<(EyeLine, StateDrain)>,
    /// The amplitude of the P300.
    pub drift: Option<AmplitudeDrift>,
}

impl StateThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's error when no thread can be made.
    pub fn start(sources: Sources, telemetry: Telemetry) -> std::io::Result<Self> {
        let (tell, told) = bounded(256);
        let now = Arc::new(Mutex::new(PersonState::default()));
        let mut watching = Watching {
            sources,
            telemetry,
            now: Arc::clone(&now),
            state: PersonState::default(),
            begun: None,
            eeg_fresh: Instant::now(),
            eyes_fresh: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name("state".into())
            .spawn(move || watching.until_closed(&told))?;
        Ok(Self { tell, now, thread })
    }

    /// The task begins: from here its time counts.
    pub fn begun(&self, at: MonoTime) {
        // A thread that lags so far behind loses a message rather than holding the session up.
        let _ = self.tell.try_send(Tell::Begun(at));
    }

    /// A choice was confirmed: these were its flashes.
    pub fn attended(&self, fork: AttendedFork) {
        let _ = self.tell.try_send(Tell::Attended(fork));
    }

    /// The state as it stands.
    #[must_use]
    pub fn now(&self) -> PersonState {
        // A panic on the other thread leaves a whole value: it is only ever copied in.
        *self
            .now
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Stops the thread.
    pub fn stop(self) {
        drop(self.tell);
        // Nothing hangs on how it ended.
        let _ = self.thread.join();
    }
}

struct Watching {
    sources: Sources,
    telemetry: Telemetry,
    now: Arc<Mutex<PersonState>>,
    state: PersonState,
    begun: Option<MonoTime>,
    eeg_fresh: Instant,
    eyes_fresh: Instant,
}

impl Watching {
    fn until_closed(&mut self, told: &Receiver<Tell>) {
        let (mut drained, mut published) = (Instant::now(), Instant::now());
        loop {
            let idle = DRAIN_EVERY.saturating_sub(drained.elapsed());
            match told.recv_timeout(idle) {
                Ok(Tell::Begun(at)) => self.begun = Some(at),
                Ok(Tell::Attended(fork)) => {
                    if let Some(drift) = &mut self.sources.drift {
                        drift.push(fork);
                        self.state.p300 = drift.drift();
                        self.keep();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if drained.elapsed() >= DRAIN_EVERY {
                drained = Instant::now();
                self.drain();
            }
            if published.elapsed() >= PUBLISH_EVERY {
                published += PUBLISH_EVERY;
                if let Some(begun) = self.begun {
                    let time_s = rt::now().nanos_since(begun) as f64 / 1e9;
                    self.telemetry.publish(&self.state, time_s);
                }
            }
        }
    }

    fn drain(&mut self) {
        let mut changed = false;
        if let Some((line, drain)) = &mut self.sources.eeg {
            if drain.drain(line) {
                self.eeg_fresh = Instant::now();
                self.state.indices = line.indices();
                changed = true;
            } else if self.eeg_fresh.elapsed() >= STALE {
                // Without samples nothing is known of the person now; the baseline stays.
                let baseline_share = self.state.indices.baseline_share;
                self.state.indices = Indices {
                    baseline_share,
                    ..Indices::default()
                };
                changed = true;
            }
        }
        if let Some((line, drain)) = &mut self.sources.eyes {
            if drain.drain(line) {
                self.eyes_fresh = Instant::now();
                self.state.eyes = line.indices();
                changed = true;
            } else if self.eyes_fresh.elapsed() >= STALE {
                let baseline_share = self.state.eyes.baseline_share;
                self.state.eyes = EyeIndices {
                    baseline_share,
                    ..EyeIndices::default()
                };
                changed = true;
            }
        }
        if changed {
            self.keep();
        }
    }

    fn keep(&self) {
        let mut now = self
            .now
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *now = self.state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn density(target: f64, other: f64) -> ScoreDensity {
        let t = |location| StudentT {
            location,
            scale: 1.0,
            dof: 10.0,
        };
        ScoreDensity::new(t(target), t(other), (-9.0, 9.0), 4.0).unwrap()
    }

    #[test]
    fn scores_are_told_in_units_of_the_calibration() {
        let density = density(1.5, -0.5);
        let reference = Reference::of(&density).unwrap();
        assert_eq!(reference.standardise(1.5), 1.0);
        assert_eq!(reference.standardise(-0.5), 0.0);
        // Variance 10 / 8 in either class; 1.25 / 25 + 1.25 / 100 over a distance of 2.
        let se = reference.standard_error(&density, 125, 25);
        assert!((se - 0.0625_f64.sqrt() / 2.0).abs() < 1e-12, "{se}");
        assert_eq!(Reference::of(&self::density(0.0, 0.0)), None);
    }

    #[test]
    fn a_full_ring_drops_the_newest_and_a_restart_goes_through_it() {
        let (mut tap, mut drain) = state_ring(10.0, 2);
        let stamps: Vec<f64> = (0..300).map(f64::from).collect();
        let data: Vec<f32> = (0..600).map(|n| n as f32).collect();
        tap.push(&stamps, &data);
        assert_eq!(drain.0.waiting(), DRAIN_SAMPLES);
        tap.restart();
        assert_eq!(drain.0.waiting(), DRAIN_SAMPLES);
        let mut values = [0.0; 4];
        assert_eq!(drain.0.pull(&mut [0.0; 2], &mut values), 2);
        assert_eq!(values, [0.0, 1.0, 2.0, 3.0]);
        tap.restart();
        let mut last = [0.0; DRAIN_SAMPLES - 1];
        drain.0.pull(&mut last, &mut [0.0; 2 * DRAIN_SAMPLES]);
        assert_eq!(last[DRAIN_SAMPLES - 2], RESTART);
    }
}
