//! A stream whose clock or flow cannot be believed closes the gate, and says why. FAULTS 1, 2, 4, 13, 16.
//!
//! Scripted sources run in real time on real inlet threads before a real gate's thread; nothing asserts how long it took.

#![allow(clippy::unwrap_used)] // what cannot go on here should say so at once

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use razvilka::fork::{ForkId, MAX_OPTIONS};
use razvilka::gate::{AbortReason, GateSettings, Lease, Verdict};
use razvilka::marker::OptionKind;
use razvilka::pipeline::decision::{ChoiceCell, GateThread, Opening, Order, Watched};
use razvilka::pipeline::inlet::{Heartbeat, Inlet, RecordOnly, Stage};
use razvilka::recording::{Capacity, Recorder, SampleTap};
use razvilka::rt::{self, Wish};
use razvilka::source::{ClockOffset, Format, SampleSource, SourceError, StreamSpec};
use ringbuf::traits::Consumer;

const RATE_HZ: f64 = 250.0;
const WISH: Wish = Wish {
    priority: 0,
    cpu: None,
};
const PATIENCE: Duration = Duration::from_secs(30);

/// Streams in real time disturb each other on few cores, so the tests take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a scripted device does now; changed by the test while it runs.
#[derive(Debug, Default)]
struct Script {
    /// Bits of the seconds by which stamps lie behind the truth.
    behind_s: AtomicU64,
    /// Bits of the clock offset that is announced.
    offset_s: AtomicU64,
    /// 0 sends, 1 is silent, 2 has closed the connection.
    flow: AtomicU32,
}

impl Script {
    fn set(cell: &AtomicU64, seconds: f64) {
        cell.store(seconds.to_bits(), Ordering::Relaxed);
    }

    fn get(cell: &AtomicU64) -> f64 {
        f64::from_bits(cell.load(Ordering::Relaxed))
    }
}

/// A device with one channel that sends in time what is due.
struct Device {
    spec: StreamSpec,
    script: Arc<Script>,
    begun_s: f64,
    sent: u64,
}

impl Device {
    fn boxed(name: &str, script: &Arc<Script>) -> Box<dyn SampleSource> {
        Box::new(Self {
            spec: StreamSpec {
                name: name.into(),
                kind: "EEG".into(),
                source_id: name.into(),
                hostname: String::new(),
                uid: String::new(),
                rate_hz: RATE_HZ,
                format: Format::Float32,
                labels: vec!["Cz".into()],
                units: Vec::new(),
                xml: String::new(),
            },
            script: Arc::clone(script),
            begun_s: rt::lsl_now().get(),
            sent: 0,
        })
    }
}

impl SampleSource for Device {
    fn spec(&self) -> &StreamSpec {
        &self.spec
    }

    fn pull(
        &mut self,
        data: &mut [f32],
        stamps: &mut [f64],
        timeout: Duration,
    ) -> Result<usize, SourceError> {
        match self.script.flow.load(Ordering::Relaxed) {
            0 => {}
            1 => {
                std::thread::sleep(timeout);
                return Ok(0);
            }
            _ => {
                return Err(SourceError::Lost {
                    name: self.spec.name.clone(),
                    reason: "the test says so".into(),
                });
            }
        }
        std::thread::sleep(Duration::from_millis(4));
        let due = ((rt::lsl_now().get() - self.begun_s) * RATE_HZ) as u64;
        let behind_s = Script::get(&self.script.behind_s);
        let n = (due.saturating_sub(self.sent) as usize).min(stamps.len());
        for (stamp, value) in stamps.iter_mut().zip(data).take(n) {
            *stamp = self.begun_s + self.sent as f64 / RATE_HZ - behind_s;
            *value = 1.0;
            self.sent += 1;
        }
        Ok(n)
    }

    fn clock_offset(&self) -> Option<ClockOffset> {
        Some(ClockOffset {
            // A new measurement every half second.
            at_s: (rt::lsl_now().get() * 2.0).floor() / 2.0,
            offset_s: Script::get(&self.script.offset_s),
        })
    }

    fn clock_uncertainty_s(&self) -> Option<f64> {
        Some(1e-4)
    }

    fn dropped(&self) -> u64 {
        0
    }
}

/// Scripted devices in front of a gate.
struct Laboratory {
    gate: GateThread,
    devices: Vec<(Arc<Script>, Inlet<RecordOnly>)>,
    next_fork: u64,
    _recorder: Recorder,
    _folder: tempfile::TempDir,
}

impl Laboratory {
    fn new(devices: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("streams.xdf");
        let recorder = Recorder::create(&file, Capacity::default()).unwrap();
        let mut gate = GateThread::start(
            GateSettings::default(),
            WISH,
            Arc::new(ChoiceCell::default()),
            || {},
        )
        .unwrap();
        let devices: Vec<_> = (0..devices)
            .map(|number| {
                let script = Arc::new(Script::default());
                let device = Device::boxed(&format!("device-{number}"), &script);
                let (tap, _) = recorder.add_samples(device.spec()).unwrap();
                let inlet = Inlet::start("device", WISH, device, tap, RecordOnly).unwrap();
                (script, inlet)
            })
            .collect();
        for (_, inlet) in &devices {
            gate.watch(Watched {
                heartbeat: inlet.heartbeat(),
                silence_max: Duration::from_millis(500),
            });
        }
        Self {
            gate,
            devices,
            next_fork: 0,
            _recorder: recorder,
            _folder: folder,
        }
    }

    fn script(&self, device: usize) -> &Script {
        &self.devices[device].0
    }

    fn heartbeat(&self, device: usize) -> Arc<Heartbeat> {
        self.devices[device].1.heartbeat()
    }

    /// Waits until the guards know what is usual, and nothing is doubted.
    fn settle(&self) {
        let enough = 3 * RATE_HZ as u64;
        wait_until(|| {
            let beats = (0..self.devices.len()).map(|device| self.heartbeat(device));
            beats.into_iter().all(|beat| {
                beat.samples() > enough
                    && !beat.clock().is_doubted(rt::now())
                    && beat.clock().shift_s().abs() < 0.003
            })
        });
    }

    /// Opens a fork. On a busy machine it may be aborted before anything is wrong: then another is opened.
    fn open(&mut self, fused: bool) -> ForkId {
        loop {
            self.settle();
            let fork = ForkId(self.next_fork);
            self.next_fork += 1;
            let opening = Opening {
                fork,
                kinds: [OptionKind::Branch; MAX_OPTIONS],
                priors: [0.25; MAX_OPTIONS],
                options: 3,
                lease: Lease { epoch: 1 },
                at: rt::lsl_now(),
                fused,
            };
            assert!(self.gate.orders.send(Order::Open(opening)));
            wait_until(|| self.gate.records.try_peek().is_some());
            let opened = self.gate.records.try_pop().unwrap();
            assert_eq!(opened.fork, fork);
            std::thread::sleep(Duration::from_millis(100));
            if self.gate.records.try_pop().is_none() {
                return fork;
            }
        }
    }

    /// Why the fork was aborted.
    fn aborted(&mut self, fork: ForkId) -> AbortReason {
        wait_until(|| self.gate.records.try_peek().is_some());
        let record = self.gate.records.try_pop().unwrap();
        assert_eq!(record.fork, fork);
        match record.verdict {
            Verdict::Aborted { reason } => reason,
            other => panic!("{other:?}"),
        }
    }
}

fn wait_until(mut there: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !there() {
        assert!(Instant::now() < until, "it did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_silent_stream_and_a_closed_one_abort_the_fork() {
    let _alone = alone();
    for flow in [1, 2] {
        let mut laboratory = Laboratory::new(2);
        let fork = laboratory.open(true);
        laboratory.script(1).flow.store(flow, Ordering::Relaxed);
        assert_eq!(laboratory.aborted(fork), AbortReason::SourceLost);
    }
}

#[test]
fn a_clock_that_is_set_forward_or_back_aborts_the_fork() {
    let _alone = alone();
    for (behind_s, reason, kind) in [
        (-5.0, AbortReason::ClockJump, "stamp_jump"),
        (5.0, AbortReason::StaleData, "stale"),
    ] {
        let mut laboratory = Laboratory::new(1);
        let fork = laboratory.open(false);
        Script::set(&laboratory.script(0).behind_s, behind_s);
        assert_eq!(laboratory.aborted(fork), reason);
        let heartbeat = laboratory.heartbeat(0);
        assert!(heartbeat.clock().is_doubted(rt::now()));
        assert!(heartbeat.clock().counts().doubts.contains_key(kind));
    }
}

#[test]
fn an_offset_that_jumps_aborts_the_fork_and_a_small_change_does_not() {
    let _alone = alone();
    let mut laboratory = Laboratory::new(1);
    let fork = laboratory.open(false);
    Script::set(&laboratory.script(0).offset_s, 0.001);
    let heartbeat = laboratory.heartbeat(0);
    wait_until(|| {
        heartbeat
            .clock_offset()
            .is_some_and(|c| c.offset_s == 0.001)
    });
    std::thread::sleep(Duration::from_millis(100));
    assert!(
        !heartbeat
            .clock()
            .counts()
            .doubts
            .contains_key("offset_jump")
    );
    Script::set(&laboratory.script(0).offset_s, 0.030);
    let reason = laboratory.aborted(fork);
    assert_eq!(reason, AbortReason::ClockJump);
}

#[test]
fn clocks_that_move_apart_abort_a_fork_that_fuses_them_and_no_other() {
    let _alone = alone();
    let mut laboratory = Laboratory::new(2);
    let single = laboratory.open(false);
    Script::set(&laboratory.script(0).behind_s, 0.030);
    let heartbeat = laboratory.heartbeat(0);
    wait_until(|| heartbeat.clock().shift_s() > 0.015);
    std::thread::sleep(Duration::from_millis(200));
    assert!(
        laboratory.gate.records.try_pop().is_none(),
        "one source alone needs no other clock"
    );
    assert!(
        laboratory
            .gate
            .orders
            .send(Order::Abort(AbortReason::Paused))
    );
    assert_eq!(laboratory.aborted(single), AbortReason::Paused);
    Script::set(&laboratory.script(0).behind_s, 0.0);
    let fused = laboratory.open(true);
    Script::set(&laboratory.script(0).behind_s, 0.030);
    assert_eq!(laboratory.aborted(fused), AbortReason::ClocksDisagree);
}

/// A stage that knows how often it began anew, and what it was given since.
#[derive(Debug, Default)]
struct Counting {
    restarts: u32,
    since: u64,
}

impl Stage for Counting {
    fn block(&mut self, stamps: &[f64], _: &[f32], _: razvilka_dsp::units::MonoTime) {
        self.since += stamps.len() as u64;
    }

    fn restart(&mut self) {
        self.restarts += 1;
        self.since = 0;
    }
}

#[test]
fn a_stream_that_is_found_again_goes_on_with_its_stage_restarted_and_its_samples_counted_on() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stream.xdf");
    let recorder = Recorder::create(&file, Capacity::default()).unwrap();
    let script = Arc::new(Script::default());
    let device = Device::boxed("device", &script);
    let (tap, _): (SampleTap, _) = recorder.add_samples(device.spec()).unwrap();
    let inlet = Inlet::start("device", WISH, device, tap, Counting::default()).unwrap();
    let heartbeat = inlet.heartbeat();
    wait_until(|| heartbeat.samples() > 50);
    script.flow.store(2, Ordering::Relaxed);
    wait_until(|| heartbeat.is_lost());
    let before = heartbeat.samples();
    let ended = inlet.stop().unwrap();
    assert!(matches!(ended.error, Some(SourceError::Lost { .. })));
    assert_eq!(ended.stage.since, before);

    script.flow.store(1, Ordering::Relaxed);
    let again = Device::boxed("device", &script);
    let rest = (ended.tap, ended.stage);
    let inlet = Inlet::resume("device", WISH, again, rest, Arc::clone(&heartbeat)).unwrap();
    assert!(!heartbeat.is_lost());
    assert!(
        heartbeat.silent(rt::now(), PATIENCE),
        "silent until its first sample"
    );
    script.flow.store(0, Ordering::Relaxed);
    wait_until(|| heartbeat.samples() > before + 50);
    assert!(!heartbeat.silent(rt::now(), PATIENCE));
    let ended = inlet.stop().unwrap();
    assert_eq!(ended.stage.restarts, 1);
    assert_eq!(ended.stage.since, heartbeat.samples() - before);
}
