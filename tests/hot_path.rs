//! Real-time code neither allocates nor frees: a counting allocator asks [`rt::is_hot`] with every call.
//!
//! What an allocator cannot see is shown otherwise. *Locks*: no type of the hot path holds one; `dsp/clippy.toml` bans
//! them there, and the lanes, rings and cells between threads are atomics. *The pull itself* runs outside [`rt::hot`], since
//! it waits: `tests/lsl_allocation.rs` counts every allocation of a thread that pulls.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use razvilka::config::ScreenSection;
use razvilka::engine::certify::paths;
use razvilka::fork::{ForkId, MAX_OPTIONS};
use razvilka::gate::{AbortReason, Evidence, GateSettings, Lease, Told, Verdict};
use razvilka::marker::OptionKind;
use razvilka::pipeline::contractions::Asked;
use razvilka::pipeline::decision::{
    ChoiceCell, GateThread, Item, Made, Opening, Order, Record, Watched,
};
use razvilka::pipeline::eeg::{EegPorts, EegStage, EegWatch, NewScorer};
use razvilka::pipeline::features::{FeatureDrain, feature_ring};
use razvilka::pipeline::gaze::{GazeStage, GazeWatch, PupilChannel, PupilReading, Tiles};
use razvilka::pipeline::inlet::{Heartbeat, Inlet, Stage};
use razvilka::pipeline::presenter::{FlashId, FlashNotice};
use razvilka::pipeline::state::state_ring;
use razvilka::pipeline::trace::Trace;
use razvilka::recording::{Capacity, Recorder};
use razvilka::rt::{self, Wish};
use razvilka::source::{ClockOffset, Format, SampleSource, SourceError, StreamSpec};
use razvilka_dsp::contraction::{ContractionDetector, ContractionModel};
use razvilka_dsp::gaze_evidence::Tile;
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::pupil::PupilModel;
use razvilka_dsp::score::{EpochScorer, ScoreDensity, StudentT};
use razvilka_dsp::units::Hertz;
use ringbuf::traits::{Consumer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

const CHANNELS: usize = 64;
const EEG_HZ: f64 = 1_000.0;
const GAZE_HZ: f64 = 500.0;
const LEASE: Lease = Lease { epoch: 1 };
const WISH: Wish = Wish {
    priority: 0,
    cpu: None,
};
/// Length of the stream that each fork gets, seconds.
const SEGMENT_S: f64 = 3.0;
const PATIENCE: Duration = Duration::from_secs(20);

static HOT_CALLS: AtomicU64 = AtomicU64::new(0);

struct Counting;

fn count() {
    if rt::is_hot() {
        HOT_CALLS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is handed to the system allocator as it came; counting reads a const-initialised thread-local and
// adds to an atomic, neither of which allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `realloc`'s contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The count is one for all threads, so the tests take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hot_calls(work: impl FnOnce()) -> u64 {
    let before = HOT_CALLS.load(Ordering::Relaxed);
    work();
    HOT_CALLS.load(Ordering::Relaxed) - before
}

#[test]
fn the_counter_counts_allocations_and_frees_in_hot_code_only() {
    let _alone = alone();
    assert_eq!(hot_calls(|| drop(black_box(vec![1_u8]))), 0);
    let in_hot = hot_calls(|| rt::hot(|| drop(black_box(vec![1_u8]))));
    assert_eq!(in_hot, 2);
    let other_thread = hot_calls(|| {
        let hot = || rt::hot(|| drop(black_box(vec![1_u8])));
        std::thread::spawn(hot).join().unwrap();
    });
    assert_eq!(other_thread, 2, "the gate's own thread is seen, too");
}

/// What finds contractions, and densities by which a strong one is told.
fn contractions() -> (ContractionDetector, ContractionModel) {
    let rate = Hertz::new(EEG_HZ).unwrap();
    let picked = (0..8).collect();
    let class = |location| StudentT {
        location,
        scale: 0.5,
        dof: 10.0,
    };
    let density = ScoreDensity::new(class(2.5), class(0.9), (0.0, 8.0), 3.0).unwrap();
    let detector = ContractionDetector::new(rate, CHANNELS, picked, None).unwrap();
    let model = ContractionModel {
        density,
        rate_nats: 1.0,
    };
    (detector, model)
}

/// Both stages in front of a real gate thread, with all their rings.
struct Bench {
    eeg: EegStage,
    gaze: GazeStage,
    gate: GateThread,
    choice: Arc<ChoiceCell>,
    chosen: Arc<AtomicU64>,
    notices: HeapProd<FlashNotice>,
    scorers: HeapProd<NewScorer>,
    retired: HeapCons<EpochScorer>,
    features: FeatureDrain,
    asked: HeapProd<Asked>,
    tiles: HeapProd<Tiles>,
    records: Vec<Record>,
    segment: u32,
}

impl Bench {
    fn new() -> Self {
        let (choice, chosen) = (Arc::new(ChoiceCell::default()), Arc::new(AtomicU64::new(0)));
        let noted = Arc::clone(&chosen);
        let on_choice = move || {
            noted.fetch_add(1, Ordering::Relaxed);
        };
        let mut gate = GateThread::start(
            GateSettings::default(),
            WISH,
            Arc::clone(&choice),
            on_choice,
        )
        .unwrap();
        let (notices, notices_out) = HeapRb::new(256).split();
        let (scorers, scorers_out) = HeapRb::new(8).split();
        let (retired_in, retired) = HeapRb::new(16).split();
        let ports = EegPorts {
            notices: notices_out,
            scorers: scorers_out,
            retired: retired_in,
            lane: gate.eeg.take().unwrap(),
        };
        let mut line = paths::eeg_line(CHANNELS, EEG_HZ).unwrap();
        // Nobody empties this ring before the end: it fills, and the epochs after that are dropped.
        let width = line.path().epoch_shape().features();
        let (tap, features) = feature_ring(width, ChannelMask::all(CHANNELS));
        line.tell_features(tap);
        let (detector, model) = contractions();
        line.listen_for_contractions(detector, model, vec![1.0; CHANNELS])
            .unwrap();
        let mut eeg = EegStage::new(line, ports, Arc::new(EegWatch::default()), 0.0);
        // Nobody empties this ring: it fills, and the blocks after that are dropped from it.
        let (state, _) = state_ring(EEG_HZ, CHANNELS);
        eeg.listen(state);
        let (asked, asked_out) = HeapRb::new(16).split();
        eeg.hear_of_forks(asked_out);
        let (tiles, orders) = HeapRb::new(16).split();
        let mut line = paths::gaze_line(GAZE_HZ, &ScreenSection::default()).unwrap();
        line.tell_looks();
        line.watch_pupils(pupil_reading(), Some(pupil_model()))
            .unwrap();
        let lane = gate.gaze.take().unwrap();
        let gaze = GazeStage::new(line, orders, lane, Arc::new(GazeWatch::default()), 3, 0.0);
        Self {
            eeg,
            gaze,
            gate,
            choice,
            chosen,
            notices,
            scorers,
            retired,
            features,
            asked,
            tiles,
            records: Vec::new(),
            segment: 0,
        }
    }

    /// Opens a fork and sends three seconds of stream whose end is now, flashes, tiles and new scorers with them.
    fn fork(&mut self) -> ForkId {
        let fork = ForkId(u64::from(self.segment));
        let begin_s = f64::from(self.segment) * SEGMENT_S;
        // On our clock the segment lies in the last three seconds.
        let offset_s = rt::lsl_now().get() - SEGMENT_S - begin_s;
        let ours = |stream_s: f64| razvilka_dsp::units::LslTime::new(stream_s + offset_s).unwrap();
        assert!(self.gate.orders.send(Order::Open(Opening {
            fork,
            kinds: [OptionKind::Branch; MAX_OPTIONS],
            priors: [0.2; MAX_OPTIONS],
            options: 3,
            lease: LEASE,
            at: ours(begin_s + 0.1),
            fused: true,
        })));
        self.wait_for(fork, |_| true);
        let tile = |x_deg| Tile {
            x_deg,
            y_deg: 0.0,
            w_deg: 8.0,
            h_deg: 8.0,
            words: 2,
        };
        let mut tiles = [tile(0.0); MAX_OPTIONS];
        tiles[..3].copy_from_slice(&[tile(-12.0), tile(0.0), tile(12.0)]);
        let up = Tiles {
            fork,
            lease: LEASE,
            tiles,
            count: 3,
            from_s: begin_s + 0.1,
            offset_s,
            shift_deg: (0.0, 0.0),
        };
        assert!(self.tiles.try_push(up).is_ok());
        let asked = Asked {
            fork,
            lease: LEASE,
            from_s: up.from_s,
            offset_s,
        };
        assert!(self.asked.try_push(asked).is_ok());
        for flash in 0..14_u32 {
            let id = FlashId::new(fork, flash, (flash % 5) as u8);
            let onset_s = begin_s + 0.05 + 0.15 * f64::from(flash);
            let notice = FlashNotice {
                id,
                onset_s,
                offset_s,
                lease: LEASE,
            };
            assert!(self.notices.try_push(notice).is_ok());
        }
        self.eeg_segment(begin_s);
        // EEG is heard before gaze decides, however late the gate's thread gets its turn.
        self.wait_for(fork, |record| {
            matches!(record.made, Some(Made::Flash { .. }))
        });
        self.gaze_segment(begin_s);
        self.segment += 1;
        fork
    }

    fn eeg_segment(&mut self, begin_s: f64) {
        let samples = (SEGMENT_S * EEG_HZ) as usize;
        let stamps: Vec<f64> = (0..samples)
            .map(|k| begin_s + k as f64 / EEG_HZ)
            // A gap: half a second in the middle of the second segment never came.
            .filter(|stamp| !(4.2..4.7).contains(stamp))
            .collect();
        // At the end of each segment the teeth are clenched.
        let loud = |k: usize| match stamps[k / CHANNELS] - begin_s {
            2.3..2.7 => 80.0,
            _ => 20.0,
        };
        let data: Vec<f32> = (0..stamps.len() * CHANNELS)
            .map(|k| match k {
                // One value that is none: its channel is bad from there on, until it has settled.
                160_005 => f32::NAN,
                _ => ((k % 7_919) as f32 * 0.37).sin() * loud(k),
            })
            .collect();
        let shape = paths::eeg_line(CHANNELS, EEG_HZ)
            .unwrap()
            .path()
            .epoch_shape();
        for (turn, (begin, end)) in chunks(stamps.len()).enumerate() {
            if turn % 40 == 7 {
                let scorer = paths::scorer(shape, turn as u64).unwrap();
                // While the one before waits its turn, the ring may be full.
                let _ = self.scorers.try_push(NewScorer {
                    // Every other one takes over from a flash on that is still to come.
                    from_s: (turn % 80 == 7).then(|| stamps[begin] + 0.1),
                    ..scorer.into()
                });
            }
            let block = &data[begin * CHANNELS..end * CHANNELS];
            rt::hot(|| self.eeg.block(&stamps[begin..end], block, rt::now()));
            while self.retired.try_pop().is_some() {}
        }
    }

    /// Gaze on the first tile, with saccades between two places on it, a blink, and a look elsewhere at the beginning.
    fn gaze_segment(&mut self, begin_s: f64) {
        let samples = (SEGMENT_S * GAZE_HZ) as usize;
        let stamps: Vec<f64> = (0..samples).map(|k| begin_s + k as f64 / GAZE_HZ).collect();
        let data: Vec<f32> = (0..samples)
            .flat_map(|k| {
                let jitter = (k as f32 * 1.7).sin() * 0.03;
                match k {
                    0..200 => [12.0 + jitter, jitter, 3.5 + jitter],
                    400..430 => [f32::NAN; 3],
                    _ if k / 125 % 2 == 0 => [-13.5 + jitter, jitter, 3.6 + jitter],
                    _ => [-10.5 + jitter, jitter, 3.5 + jitter],
                }
            })
            .collect();
        for (begin, end) in chunks(samples) {
            let block = &data[begin * 3..end * 3];
            rt::hot(|| self.gaze.block(&stamps[begin..end], block, rt::now()));
        }
    }

    /// Waits for a record of `fork` that fits; everything that comes meanwhile is kept.
    fn wait_for(&mut self, fork: ForkId, fits: impl Fn(&Record) -> bool) -> Record {
        let until = Instant::now() + PATIENCE;
        loop {
            while let Some(record) = self.gate.records.try_pop() {
                self.records.push(record);
            }
            let found = self.records.iter().find(|r| r.fork == fork && fits(r));
            if let Some(found) = found {
                return *found;
            }
            assert!(
                Instant::now() < until,
                "no such record: {:?}",
                self.records.last()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn verdict(&mut self, fork: ForkId) -> Verdict {
        self.wait_for(fork, |record| record.verdict.is_terminal())
            .verdict
    }
}

/// The third channel is the size of a pupil.
fn pupil_reading() -> PupilReading {
    let channel = PupilChannel {
        channel: 2,
        belief: None,
    };
    PupilReading {
        eyes: [Some(channel), None],
    }
}

fn pupil_model() -> PupilModel {
    let t = |location| StudentT {
        location,
        scale: 0.6,
        dof: 5.0,
    };
    PupilModel {
        place: [0.01, 0.03, -0.01, -0.01, 0.0],
        density: ScoreDensity::new(t(0.7), t(-0.1), (-1.0, 1.5), 3.0).unwrap(),
    }
}

/// Blocks of 1, 7, 32 and 64 samples in turn.
fn chunks(samples: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    [1, 7, 32, 64].into_iter().cycle().map_while(move |size| {
        let begin = at;
        at = (at + size).min(samples);
        (begin < samples).then_some((begin, at))
    })
}

#[test]
fn samples_flashes_scorers_tiles_and_commits_allocate_and_free_nothing() {
    let _alone = alone();
    let mut bench = Bench::new();
    let in_hot = hot_calls(|| {
        for _ in 0..3 {
            let fork = bench.fork();
            let verdict = bench.verdict(fork);
            assert!(
                matches!(verdict, Verdict::Committed { option: 0, .. }),
                "gaze rested on the first tile: {verdict:?}"
            );
            assert_eq!(bench.choice.get(fork).map(|(option, _)| option), Some(0));
        }
    });
    assert_eq!(bench.chosen.load(Ordering::Relaxed), 3);
    let flashes = bench
        .records
        .iter()
        .filter(|record| matches!(record.made, Some(Made::Flash { .. })))
        .count();
    assert!(flashes > 0, "EEG had its say, too");
    let made = |fits: fn(Made) -> bool| {
        let mut records = bench.records.iter();
        records.any(|record| record.made.is_some_and(fits))
    };
    assert!(made(|made| matches!(made, Made::Contraction { .. })));
    assert!(made(|made| matches!(made, Made::Look { .. })));
    assert!(
        bench.features.take().is_some(),
        "epochs were there to be learnt from"
    );
    assert_eq!(bench.gate.dropped(), 0);
    assert_eq!(in_hot, 0, "allocator calls inside rt::hot");
    let _ = bench.gate.stop();
}

#[test]
fn a_key_an_abort_and_a_lost_stream_allocate_and_free_nothing() {
    let _alone = alone();
    let mut bench = Bench::new();
    let in_hot = hot_calls(|| {
        let open = |fork: ForkId| {
            Order::Open(Opening {
                fork,
                kinds: [OptionKind::Branch; MAX_OPTIONS],
                priors: [0.2; MAX_OPTIONS],
                options: 4,
                lease: LEASE,
                at: rt::lsl_now(),
                fused: false,
            })
        };
        let (pressed, aborted, lost) = (ForkId(0), ForkId(1), ForkId(2));
        assert!(bench.gate.orders.send(open(pressed)));
        bench.wait_for(pressed, |_| true);
        let item = Item {
            told: Told::Evidence(Evidence::key_press(pressed, LEASE, 1, rt::lsl_now(), 2)),
            trace: Trace::default(),
            made: Made::Key { item: 2 },
        };
        assert!(bench.gate.keys.as_mut().unwrap().send(item));
        assert!(matches!(
            bench.verdict(pressed),
            Verdict::Committed { option: 2, .. }
        ));

        assert!(bench.gate.orders.send(open(aborted)));
        assert!(bench.gate.orders.send(Order::Abort(AbortReason::Operator)));
        assert_eq!(
            bench.verdict(aborted),
            Verdict::Aborted {
                reason: AbortReason::Operator
            }
        );

        // A stream that never began is silent.
        bench.gate.watch(Watched {
            heartbeat: Arc::new(Heartbeat::default()),
            silence_max: Duration::from_secs(3600),
        });
        assert!(bench.gate.orders.send(open(lost)));
        assert_eq!(
            bench.verdict(lost),
            Verdict::Aborted {
                reason: AbortReason::SourceLost
            }
        );
    });
    assert_eq!(in_hot, 0, "allocator calls inside rt::hot");
    let _ = bench.gate.stop();
}

/// A source that gives what it has in blocks, then is at its end.
struct Script {
    spec: StreamSpec,
    next: usize,
    samples: usize,
}

impl SampleSource for Script {
    fn spec(&self) -> &StreamSpec {
        &self.spec
    }

    fn pull(
        &mut self,
        data: &mut [f32],
        stamps: &mut [f64],
        _: Duration,
    ) -> Result<usize, SourceError> {
        let n = stamps.len().min(self.samples - self.next).min(17);
        if n == 0 {
            return Err(SourceError::Lost {
                name: self.spec.name.clone(),
                reason: "the script is over".into(),
            });
        }
        for (row, stamp) in data.chunks_exact_mut(CHANNELS).zip(&mut stamps[..n]) {
            row.fill((self.next as f32 * 0.1).sin());
            *stamp = self.next as f64 / EEG_HZ;
            self.next += 1;
        }
        Ok(n)
    }

    fn clock_offset(&self) -> Option<ClockOffset> {
        Some(ClockOffset {
            at_s: self.next as f64,
            offset_s: 0.0,
        })
    }

    fn dropped(&self) -> u64 {
        0
    }
}

#[test]
fn an_inlet_thread_with_its_recorder_tap_allocates_and_frees_nothing() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::create(&folder.path().join("a.xdf"), Capacity::default()).unwrap();
    let spec = StreamSpec {
        name: "Script".into(),
        kind: "EEG".into(),
        source_id: "script".into(),
        hostname: String::new(),
        uid: "1".into(),
        rate_hz: EEG_HZ,
        format: Format::Float32,
        labels: (0..CHANNELS).map(|channel| format!("E{channel}")).collect(),
        units: Vec::new(),
        xml: String::new(),
    };
    let (tap, _) = recorder.add_samples(&spec).unwrap();
    let source = Script {
        spec,
        next: 0,
        samples: 2_000,
    };
    let Bench { eeg, .. } = Bench::new();
    let in_hot = hot_calls(|| {
        let inlet = Inlet::start("eeg", WISH, Box::new(source), tap, eeg).unwrap();
        let (heartbeat, until) = (inlet.heartbeat(), Instant::now() + PATIENCE);
        while !inlet.is_finished() {
            assert!(Instant::now() < until);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(heartbeat.samples(), 2_000);
        let (line, steps) = inlet.stop().unwrap().stage.into_parts();
        assert_eq!(line.path().next_sample().0, 2_000);
        assert_eq!(steps.pulled_to_scored.len(), 2_000_u64.div_ceil(17));
    });
    assert_eq!(in_hot, 0, "allocator calls inside rt::hot");
    let summary = recorder.finish(PATIENCE);
    assert_eq!(summary.streams[0].samples, 2_000);
}
