//! What runs between socket and text in a certification: the threads of a session, started, watched, and ended.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use razvilka_dsp::units::LslTime;
use ringbuf::traits::{Producer, Split};
use ringbuf::{HeapProd, HeapRb};

use super::load::Load;
use super::{Settings, paths};
use crate::choice::{FlashSequence, FlashSettings};
use crate::config::ScreenSection;
use crate::decode::{Cancel, Model, WriterSettings};
use crate::engine::EngineError;
use crate::engine::conduct::tiles_of;
use crate::engine::latency::StreamLatency;
use crate::engine::streams::marker_outlet;
use crate::fork::{ForkId, MAX_OPTIONS};
use crate::gate::{AbortReason, GateSettings, Lease};
use crate::marker::OptionTile;
use crate::pipeline::decision::{ChoiceCell, GateThread, Order, Watched};
use crate::pipeline::eeg::{EegPorts, EegStage, EegWatch, NewScorer};
use crate::pipeline::gaze::{GazeStage, GazeWatch, Tiles};
use crate::pipeline::inlet::{Heartbeat, Inlet};
use crate::pipeline::presenter::{self, FlashNotice, FlashRun, MarkerStream, Presenter, Shown};
use crate::pipeline::scribe::{Ask, Scribe, Texts};
use crate::recording::{Capacity, OffsetTap, Recorder};
use crate::rt::{self, Granted, Wish};
use crate::source::lsl::{LslSamples, Network};
use crate::source::{ClockOffset, SampleSource};

/// How long the driver's streams are looked for, and may take to answer.
const RESOLVE: Duration = Duration::from_secs(2);
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long filters settle before the first fork.
const SETTLE: Duration = Duration::from_millis(1_500);
/// How often it is looked whether streams have begun.
const LOOK_IF_FLOWING: Duration = Duration::from_millis(2);
/// How often the streams are looked after.
const LOOK_AFTER: Duration = Duration::from_millis(200);
/// Bounds of the silence that aborts a fork.
const SILENCE_MIN: Duration = Duration::from_millis(50);
const SILENCE_MAX: Duration = Duration::from_millis(500);
/// How long the disk is awaited at the end.
const FINISH: Duration = Duration::from_secs(10);
/// Length of a phrase: short, so that the decoder soon has the next fork that is called for.
const PHRASE_TOKENS: usize = 4;
/// Tokens that each branch is thought on at most, and the pace of text, both beyond what a run reaches.
const READY_TOKENS: usize = 1_024;
const PACE_TOKENS_PER_S: f64 = 1_000.0;
/// Of the flashes' order.
const SEED: u64 = 7;

/// A folder for the recording that a run makes beside; removed with all it holds.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("razvilka-certify-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays among the system's temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Watching {
    heartbeat: Arc<Heartbeat>,
    offsets: OffsetTap,
}

/// The threads, and the ends of their rings.
pub(super) struct Threads {
    pub(super) gate: GateThread,
    pub(super) scribe: Scribe,
    pub(super) presenter: Presenter,
    /// Tiles, to the gaze thread.
    pub(super) gaze_orders: HeapProd<Tiles>,
    recorder: Recorder,
    eeg: (Inlet<EegStage>, Arc<EegWatch>),
    gaze: (Inlet<GazeStage>, Arc<GazeWatch>),
    /// Kept open though nothing is exchanged: a stage looks at it with every block.
    _scorers: HeapProd<NewScorer>,
    watching: [Watching; 2],
    looked_after: Instant,
}

/// What is left when the threads have ended.
pub(super) struct Ended {
    pub(super) streams: Vec<StreamLatency>,
    pub(super) gate_items_dropped: u64,
    /// Commits that broke a step of the decoder off.
    pub(super) interrupted: u64,
    pub(super) decoder_steps: u64,
    pub(super) flashes: Shown,
    pub(super) granted: Vec<Granted>,
    pub(super) recording_incomplete: Vec<String>,
}

impl Threads {
    /// Starts everything; the decoder waits until it is told to write.
    ///
    /// # Errors
    /// [`EngineError`] when a stream is not found, a thread cannot be made, or a path cannot be prepared.
    pub(super) fn start(
        network: Network,
        settings: &Settings,
        gate_settings: GateSettings,
        screen: &ScreenSection,
        model: Arc<Model>,
        scratch: &Scratch,
    ) -> Result<Self, EngineError> {
        let wish = Wish {
            priority: settings.realtime.priority,
            cpu: None,
        };
        let recorder = Recorder::create(&scratch.0.join("certify.xdf"), Capacity::default())?;
        let choice = Arc::new(ChoiceCell::default());
        let writer = WriterSettings {
            detect: false,
            phrase_tokens_max: PHRASE_TOKENS,
            ready_tokens_max: READY_TOKENS,
            tokens_max: 1_000_000,
            ..WriterSettings::default()
        };
        let texts = Texts {
            model: model.into(),
            settings: writer,
            prompt: String::new(),
        };
        let scribe = Scribe::start(texts, Arc::clone(&choice), Cancel::new(), PACE_TOKENS_PER_S)?;
        let mut gate = GateThread::start(gate_settings, wish, choice, scribe.on_choice(wish))?;

        let (spec, markers) = marker_outlet(network, network.session())?;
        let mut stream = MarkerStream::new(Box::new(markers), Arc::new(AtomicU64::new(0)));
        let (marker_tap, _) = recorder.add_markers(&spec)?;
        stream.record_to(Some(marker_tap));
        let (notices, notices_out) = HeapRb::<FlashNotice>::new(256).split();
        let presenter = Presenter::start(stream, Some(notices))?;

        let specs = [settings.load.eeg(), settings.load.gaze()];
        let pins = specs.each_ref().map(Load::pins);
        let found = network.resolve_each(&pins.each_ref(), RESOLVE)?;
        let mut sources = found
            .iter()
            .map(|stream| LslSamples::open(stream, OPEN_TIMEOUT));
        let mut source = || -> Result<LslSamples, EngineError> {
            Ok(sources
                .next()
                .ok_or(EngineError::Internal("a stream was not resolved"))??)
        };
        let (eeg_source, gaze_source) = (source()?, source()?);

        let spec = eeg_source.spec();
        let line = paths::eeg_line(spec.labels.len(), spec.rate_hz)?;
        let (scorers, scorers_out) = HeapRb::new(8).split();
        let (retired, _) = HeapRb::new(16).split();
        let lane = gate
            .eeg
            .take()
            .ok_or(EngineError::Internal("the gate's EEG lane is taken"))?;
        let ports = EegPorts {
            notices: notices_out,
            scorers: scorers_out,
            retired,
            lane,
        };
        let eeg_watch = Arc::new(EegWatch::default());
        let stage = EegStage::new(line, ports, Arc::clone(&eeg_watch), 0.0);
        let (tap, eeg_offsets) = recorder.add_samples(eeg_source.spec())?;
        let eeg = Inlet::start("eeg", wish, Box::new(eeg_source), tap, stage)?;

        let line = paths::gaze_line(gaze_source.spec().rate_hz, screen)?;
        let (gaze_orders, orders_out) = HeapRb::new(16).split();
        let lane = gate
            .gaze
            .take()
            .ok_or(EngineError::Internal("the gate's gaze lane is taken"))?;
        let gaze_watch = Arc::new(GazeWatch::default());
        let channels = gaze_source.spec().labels.len();
        let watch = Arc::clone(&gaze_watch);
        let stage = GazeStage::new(line, orders_out, lane, watch, channels, 0.0);
        let (tap, gaze_offsets) = recorder.add_samples(gaze_source.spec())?;
        let gaze = Inlet::start("gaze", wish, Box::new(gaze_source), tap, stage)?;

        let watching = [
            Watching {
                heartbeat: eeg.heartbeat(),
                offsets: eeg_offsets,
            },
            Watching {
                heartbeat: gaze.heartbeat(),
                offsets: gaze_offsets,
            },
        ];
        Ok(Self {
            gate,
            scribe,
            presenter,
            gaze_orders,
            recorder,
            eeg: (eeg, eeg_watch),
            gaze: (gaze, gaze_watch),
            _scorers: scorers,
            watching,
            looked_after: Instant::now(),
        })
    }

    /// Lets the streams begin and the filters settle.
    ///
    /// # Errors
    /// [`EngineError::Lost`] when a stream is lost already.
    pub(super) fn settle(&mut self, stop: &AtomicBool) -> Result<(), EngineError> {
        let until = Instant::now() + OPEN_TIMEOUT;
        let flowing = |threads: &Self| {
            threads
                .watching
                .iter()
                .all(|watching| watching.heartbeat.samples() > 0)
        };
        while !flowing(self) && Instant::now() < until && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK_IF_FLOWING);
        }
        std::thread::sleep(SETTLE);
        self.look_after()?;
        for watching in &self.watching {
            let longest = Duration::from_nanos(watching.heartbeat.longest_gap_ns());
            let silence_max = (3 * longest).clamp(SILENCE_MIN, SILENCE_MAX);
            self.gate.watch(Watched {
                heartbeat: Arc::clone(&watching.heartbeat),
                silence_max,
            });
        }
        Ok(())
    }

    /// Lets the decoder write.
    pub(super) fn write(&self) {
        self.scribe.ask(Ask::Resume);
    }

    /// Puts the tiles of a fork up, and begins to flash as they appear.
    ///
    /// # Errors
    /// [`EngineError::Internal`] for a fork without options.
    pub(super) fn put_up(
        &mut self,
        fork: ForkId,
        tiles: &[OptionTile],
        lease: Lease,
        appears: LslTime,
        flashes_max: Option<u32>,
    ) -> Result<(), EngineError> {
        // Room for many forks: only a thread that has ended leaves it full, and its silence aborts the fork.
        let _ = self
            .gaze_orders
            .try_push(tiles_of(fork, tiles, lease, appears, 0.0));
        let options = tiles.len().min(MAX_OPTIONS);
        let sequence = FlashSequence::new(options, &FlashSettings::default(), SEED, fork.0)
            .map_err(|_| EngineError::Internal("a fork without options"))?;
        self.presenter.ask(presenter::Ask::Flash(Box::new(FlashRun {
            fork: Some(fork),
            cued: None,
            sequence,
            begin: appears,
            eeg_offset_s: Some(0.0),
            lease,
            flashes_max,
            done: None,
        })));
        Ok(())
    }

    /// As [`Threads::look_after`], when it is time again.
    ///
    /// # Errors
    /// [`EngineError::Lost`] when a stream is lost.
    pub(super) fn look_after_if_due(&mut self) -> Result<(), EngineError> {
        if self.looked_after.elapsed() < LOOK_AFTER {
            return Ok(());
        }
        self.look_after()
    }

    /// Records the clock offsets (none: both processes read one clock) and sees whether the streams are still there.
    fn look_after(&mut self) -> Result<(), EngineError> {
        self.looked_after = Instant::now();
        for watching in &self.watching {
            watching.offsets.push(ClockOffset {
                at_s: rt::lsl_now().get(),
                offset_s: 0.0,
            });
        }
        for (watching, name) in self.watching.iter().zip(["eeg", "gaze"]) {
            if watching.heartbeat.is_lost() {
                return Err(EngineError::Lost { name });
            }
        }
        Ok(())
    }

    /// Ends every thread, against the way of the data so that nobody hears of what is gone.
    ///
    /// # Errors
    /// [`EngineError::Internal`] names a thread that panicked.
    pub(super) fn finish(mut self, settings: &Settings) -> Result<Ended, EngineError> {
        self.gate.orders.send(Order::Abort(AbortReason::Shutdown));
        let stopped = self
            .scribe
            .stop()
            .0
            .ok_or(EngineError::Internal("the decoder's thread panicked"))?;
        let (_, flashes) = self
            .presenter
            .stop()
            .ok_or(EngineError::Internal("the presenter panicked"))?;
        let budget = &settings.budget;
        let panicked = || EngineError::Internal("an inlet thread panicked");
        let (inlet, watch) = self.eeg;
        let eeg = inlet.stop().ok_or_else(panicked)?;
        let (line, steps) = eeg.stage.into_parts();
        let counts = serde_json::to_value(line.path().counts()).unwrap_or_default();
        let eeg_latency = StreamLatency::new("eeg", &steps, budget, counts, watch.rejected());
        let (inlet, watch) = self.gaze;
        let gaze = inlet.stop().ok_or_else(panicked)?;
        let counts = serde_json::json!({
            "samples": watch.samples(), "lost": watch.lost(), "late_orders": watch.late(),
        });
        let gaze_latency = StreamLatency::new("gaze", &gaze.stage.into_steps(), budget, counts, 0);
        let gate_items_dropped = self.gate.dropped();
        let (gate, _) = self
            .gate
            .stop()
            .ok_or(EngineError::Internal("the gate's thread panicked"))?;
        let recording = self.recorder.finish(FINISH);
        Ok(Ended {
            streams: vec![eeg_latency, gaze_latency],
            gate_items_dropped,
            interrupted: stopped.interrupted,
            decoder_steps: stopped.forward_steps,
            flashes,
            granted: vec![eeg.granted, gaze.granted, gate],
            recording_incomplete: recording
                .incomplete
                .iter()
                .map(ToString::to_string)
                .collect(),
        })
    }
}
