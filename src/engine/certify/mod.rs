//! `certify`: how long this machine takes from a sample to the text, with the same threads as a live session.
//!
//! A driver in a process of its own sends EEG and gaze over LSL on 127.0.0.1. Everything behind the socket is what a
//! session runs: inlet threads with their stages and the recorder's taps, the gate's thread, the decoder's thread, the
//! presenter. Three things are arranged so that a run tells as much as it can:
//!
//! - Forks are called for one after the other, and the detector is off, so that the decoder thinks on every branch up to
//!   the end of its text and decisions find it at work.
//! - Gaze rests on the first tile, and a short dwell says much, so that real evidence decides some two forks a second.
//! - The EEG scorer has random weights of the full size: it costs what a fitted one costs, and says next to nothing.
//!
//! Every block and every decided fork counts, from the first one on; nothing is taken out as a warm-up. Stamps need no
//! offset: both processes read the same clock.

mod certificate;
mod driver;
pub mod paths;

pub use certificate::{Certificate, Forks};
pub use driver::{Driven, Load, drive};

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::RecvTimeoutError;
use razvilka_dsp::score::{LinearScorer, ScoreDensity};
use razvilka_dsp::units::MonoTime;
use ringbuf::traits::{Consumer, Producer, Split};
use ringbuf::{HeapProd, HeapRb};

use self::driver::Driver;
use super::EngineError;
use super::conduct::tiles_of;
use super::latency::{LatencyReport, StreamLatency};
use super::question::priors;
use super::streams::marker_outlet;
use crate::choice::{FlashSequence, FlashSettings};
use crate::config::{AskSection, BudgetSection, RealtimeSection, ScreenSection};
use crate::decode::{Cancel, Model, WriterSettings};
use crate::fork::{Fork, ForkId, MAX_OPTIONS, options_of};
use crate::gate::{AbortReason, GateSettings, Lease, Verdict};
use crate::marker::{Event, OptionKind, Outcome};
use crate::pipeline::decision::{ChoiceCell, GateThread, Opening, Order, Record, Watched};
use crate::pipeline::eeg::{EegPorts, EegStage, EegWatch};
use crate::pipeline::gaze::{GazeStage, GazeWatch, Tiles};
use crate::pipeline::inlet::{Heartbeat, Inlet};
use crate::pipeline::presenter::{self, FlashNotice, FlashRun, MarkerStream, Presenter};
use crate::pipeline::scribe::{self, Scribe, Texts, Told};
use crate::pipeline::trace::{LatencyBook, Place, Trace};
use crate::recording::{Capacity, OffsetTap, Recorder};
use crate::rt::{self, Wish};
use crate::session::Machine;
use crate::source::lsl::{LslSamples, Network};
use crate::source::{ClockOffset, SampleSource};
use crate::view::layout;

/// How long the driver's streams are looked for, and may take to answer.
const RESOLVE: Duration = Duration::from_secs(2);
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long filters settle before the first fork.
const SETTLE: Duration = Duration::from_millis(1_500);
/// Tiles are ordered this far ahead of their stamp.
const LEAD: Duration = Duration::from_millis(40);
/// How often the streams are looked after, and the gate's records at least.
const LOOK_AFTER: Duration = Duration::from_millis(200);
const TURN: Duration = Duration::from_millis(2);
/// Bounds of the silence that aborts a fork.
const SILENCE_MIN: Duration = Duration::from_millis(50);
const SILENCE_MAX: Duration = Duration::from_millis(500);
/// How long the record of a choice is awaited, and the disk at the end.
const RECORD_WAIT: Duration = Duration::from_millis(200);
const FINISH: Duration = Duration::from_secs(10);
/// Tokens that each branch is thought on at most, and the pace of text, both beyond what a run reaches.
const READY_TOKENS: usize = 1_024;
const PACE_TOKENS_PER_S: f64 = 1_000.0;
/// Nobody reads here: looks count as soon as the tiles are up.
const NO_READING: AskSection = AskSection {
    reading_base_s: 0.0,
    reading_s_per_word: 0.0,
};
const SEED: u64 = 7;

/// What is to be certified.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long forks are opened, seconds.
    pub seconds: f64,
    /// What the driver sends.
    pub load: Load,
    /// The budgets.
    pub budget: BudgetSection,
    /// What the real-time threads ask for.
    pub realtime: RealtimeSection,
}

/// Why nothing could be certified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertifyError {
    /// The engine could not be set up, or failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The process that sends the streams failed.
    #[error("the driver of the certification failed: {reason}")]
    Driver {
        /// What happened.
        reason: String,
    },
    /// No fork was decided.
    #[error(
        "no fork was decided ({opened} opened, {aborted} aborted, {declined} declined): nothing can be certified. Certify for longer, or on a machine with less load"
    )]
    NothingDecided {
        /// Forks opened.
        opened: u64,
        /// Aborted.
        aborted: u64,
        /// Declined.
        declined: u64,
    },
}

/// Certifies: starts `driver` (a process that calls [`drive`]), runs for the time asked, and gives what was measured.
///
/// Text goes to `sink`. `stop` ends the run early; what was measured until then counts.
///
/// # Errors
/// [`CertifyError`] when the run cannot be set up, the driver fails, or no fork was decided.
pub fn certify(
    network: Network,
    settings: &Settings,
    model: Arc<Model>,
    driver: Command,
    sink: &mut dyn Write,
    stop: &AtomicBool,
) -> Result<Certificate, CertifyError> {
    let load_before = load_average();
    let memory_locked = if settings.realtime.lock_memory {
        rt::lock_memory()
    } else {
        Err("not asked for".into())
    };
    let mut driver = Driver::start(driver)?;
    let scratch = Scratch::new().map_err(EngineError::from)?;
    let mut run = Run::begin(network, settings, model, &scratch, sink)?;
    driver.begin()?;
    run.settle(stop)?;
    let seconds = run.for_some_time(stop)?;
    let ended = run.finish()?;
    let driver = driver.finish()?;

    let Ended {
        latency,
        forks,
        steps,
        shown,
        granted,
        recording_incomplete,
    } = ended;
    if forks.committed == 0 {
        let Forks {
            opened,
            aborted,
            declined,
            ..
        } = forks;
        return Err(CertifyError::NothingDecided {
            opened,
            aborted,
            declined,
        });
    }
    let mut uncertified: Vec<String> = granted
        .iter()
        .filter_map(|granted| {
            let reason = granted.priority.as_ref().err()?;
            Some(format!(
                "thread {} has no real-time priority: {reason}",
                granted.thread
            ))
        })
        .collect();
    if let Err(reason) = &memory_locked {
        uncertified.push(format!("memory is not locked: {reason}"));
    }
    if cfg!(debug_assertions) {
        uncertified.push("this is not a release build".into());
    }
    Ok(Certificate {
        razvilka_version: env!("CARGO_PKG_VERSION").into(),
        machine: Machine::here(),
        load_average: [load_before, load_average()],
        seconds,
        load: settings.load,
        missed: latency.misses(),
        latency,
        forks,
        decoder_steps: steps,
        flashes: shown,
        driver,
        granted,
        memory_locked,
        recording_incomplete,
        uncertified,
    })
}

/// A folder for the recording that a run makes beside; removed with all it holds.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
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

/// What is left of a run.
struct Ended {
    latency: LatencyReport,
    forks: Forks,
    steps: u64,
    shown: presenter::Shown,
    granted: Vec<rt::Granted>,
    recording_incomplete: Vec<String>,
}

struct Watching {
    heartbeat: Arc<Heartbeat>,
    offsets: OffsetTap,
}

struct Run<'a> {
    settings: &'a Settings,
    sink: &'a mut dyn Write,
    gate: GateThread,
    scribe: Scribe,
    presenter: Presenter,
    recorder: Recorder,
    eeg: (Inlet<EegStage>, Arc<EegWatch>),
    gaze: (Inlet<GazeStage>, Arc<GazeWatch>),
    gaze_orders: HeapProd<Tiles>,
    /// Kept open though nothing is exchanged: a stage looks at it with every block.
    _scorers: HeapProd<(LinearScorer, ScoreDensity)>,
    watching: [Watching; 2],
    screen: ScreenSection,
    flash: FlashSettings,
    gate_settings: GateSettings,
    book: LatencyBook,
    forks: Forks,
    next_question: u64,
    question: Option<Question>,
    looked_after: Instant,
}

/// The fork that is open, or whose choice the decoder has yet to follow.
struct Question {
    id: ForkId,
    fork: Fork,
    ended: Option<(Verdict, Trace)>,
}

impl<'a> Run<'a> {
    fn begin(
        network: Network,
        settings: &'a Settings,
        model: Arc<Model>,
        scratch: &Scratch,
        sink: &'a mut dyn Write,
    ) -> Result<Self, EngineError> {
        let wish = Wish {
            priority: settings.realtime.priority,
            cpu: None,
        };
        let screen = ScreenSection::default();
        let recorder = Recorder::create(&scratch.0.join("certify.xdf"), Capacity::default())?;
        let choice = Arc::new(ChoiceCell::default());
        let writer = WriterSettings {
            detect: false,
            ready_tokens_max: READY_TOKENS,
            tokens_max: 1_000_000,
            ..WriterSettings::default()
        };
        let texts = Texts {
            model,
            settings: writer,
            prompt: String::new(),
        };
        let scribe = Scribe::start(texts, Arc::clone(&choice), Cancel::new(), PACE_TOKENS_PER_S)?;
        let gate_settings = GateSettings::default();
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

        let line = paths::gaze_line(gaze_source.spec().rate_hz, &screen)?;
        let (gaze_orders, orders_out) = HeapRb::new(16).split();
        let lane = gate
            .gaze
            .take()
            .ok_or(EngineError::Internal("the gate's gaze lane is taken"))?;
        let gaze_watch = Arc::new(GazeWatch::default());
        let channels = gaze_source.spec().labels.len();
        let stage = GazeStage::new(
            line,
            orders_out,
            lane,
            Arc::clone(&gaze_watch),
            channels,
            0.0,
        );
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
            settings,
            sink,
            gate,
            scribe,
            presenter,
            recorder,
            eeg: (eeg, eeg_watch),
            gaze: (gaze, gaze_watch),
            gaze_orders,
            _scorers: scorers,
            watching,
            screen,
            flash: FlashSettings::default(),
            gate_settings,
            book: LatencyBook::new(&settings.budget),
            forks: Forks::default(),
            next_question: 0,
            question: None,
            looked_after: Instant::now(),
        })
    }

    /// Lets the streams begin and the filters settle, then lets the decoder write.
    fn settle(&mut self, stop: &AtomicBool) -> Result<(), EngineError> {
        let until = Instant::now() + OPEN_TIMEOUT;
        let flowing = |run: &Self| {
            run.watching
                .iter()
                .all(|watching| watching.heartbeat.samples() > 0)
        };
        while !flowing(self) && Instant::now() < until && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(TURN);
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
        self.scribe.ask(scribe::Ask::Resume);
        Ok(())
    }

    /// Opens fork after fork; says for how long, seconds.
    fn for_some_time(&mut self, stop: &AtomicBool) -> Result<f64, EngineError> {
        let begun = Instant::now();
        let length = Duration::from_secs_f64(self.settings.seconds);
        while begun.elapsed() < length && !stop.load(Ordering::Relaxed) {
            match self.scribe.told.recv_timeout(TURN) {
                Ok(told) => self.told(told)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(EngineError::Internal("the decoder's thread ended"));
                }
            }
            self.drain_records();
            if self.looked_after.elapsed() >= LOOK_AFTER {
                self.look_after()?;
            }
        }
        Ok(begun.elapsed().as_secs_f64())
    }

    fn told(&mut self, told: Told) -> Result<(), EngineError> {
        match told {
            Told::Text { piece, .. } => {
                self.show(&piece);
                if self.question.is_none() {
                    self.scribe.ask(scribe::Ask::Call { words_back: 0 });
                }
            }
            Told::Fork { fork, .. } => self.open(fork)?,
            Told::Taken {
                text, committed_ns, ..
            } => {
                self.show(&text);
                let shown = rt::now();
                self.records_until_ended();
                if let Some(Question {
                    ended: Some((Verdict::Committed { .. }, mut trace)),
                    ..
                }) = self.question.take()
                {
                    trace.mark(Place::Committed, committed_ns);
                    trace.mark(Place::Shown, shown.as_nanos());
                    self.book.note(&trace);
                }
            }
            Told::NothingOther(_) | Told::Refused { .. } | Told::Called { .. } | Told::NextText => {
            }
            Told::Failed(reason) => return Err(EngineError::Decoder(reason)),
        }
        Ok(())
    }

    /// Hands text to the sink. One that takes nothing more stops nobody.
    fn show(&mut self, text: &str) {
        let _ = self
            .sink
            .write_all(text.as_bytes())
            .and_then(|()| self.sink.flush());
    }

    /// Opens the gate for a fork, and puts its tiles up.
    fn open(&mut self, fork: Fork) -> Result<(), EngineError> {
        let id = ForkId(self.next_question);
        self.next_question += 1;
        self.forks.opened += 1;
        let lease = Lease { epoch: 1 };
        let shown = options_of(fork.branches.len(), false);
        let tiles = layout::tiles(&fork, &shown, &self.screen);
        let options = shown.len().min(MAX_OPTIONS);
        let (mut kinds, mut prior) = ([OptionKind::Item; MAX_OPTIONS], [0.0; MAX_OPTIONS]);
        kinds
            .iter_mut()
            .zip(&shown)
            .for_each(|(to, from)| *to = *from);
        prior
            .iter_mut()
            .zip(priors(&fork, &shown))
            .for_each(|(to, from)| *to = from);
        self.scribe.ask(scribe::Ask::Options {
            fork: fork.id,
            question: id,
            kinds: shown,
        });
        let opening = Opening {
            fork: id,
            kinds,
            priors: prior,
            options,
            lease,
            at: rt::lsl_now(),
            fused: true,
        };
        if !self.gate.orders.send(Order::Open(opening)) {
            return Err(EngineError::Internal("the gate takes no orders"));
        }
        let appears = rt::lsl_of(MonoTime::from_nanos(
            rt::now().as_nanos() + LEAD.as_nanos() as u64,
        ));
        // Room for many forks: only a thread that has ended leaves it full, and its silence aborts the fork.
        let _ = self
            .gaze_orders
            .try_push(tiles_of(id, &tiles, &NO_READING, lease, appears, 0.0));
        let timeout_s = self.gate_settings.config().timeout_s;
        let context = fork.context.clone();
        let event = Event::ForkOpen {
            fork: id.0,
            context,
            options: tiles,
            timeout_s,
        };
        self.presenter.ask(presenter::Ask::SayAt(event, appears));
        let sequence = FlashSequence::new(options, &self.flash, SEED, id.0)
            .map_err(|_| EngineError::Internal("a fork without options"))?;
        self.presenter.ask(presenter::Ask::Flash(Box::new(FlashRun {
            fork: Some(id),
            cued: None,
            sequence,
            begin: appears,
            eeg_offset_s: Some(0.0),
            lease,
            flashes_max: None,
            done: None,
        })));
        self.question = Some(Question {
            id,
            fork,
            ended: None,
        });
        Ok(())
    }

    fn drain_records(&mut self) {
        while let Some(record) = self.gate.records.try_pop() {
            self.record(&record);
        }
    }

    /// The decoder may hear of a choice before its record is here: they come on different ways.
    fn records_until_ended(&mut self) {
        let until = Instant::now() + RECORD_WAIT;
        self.drain_records();
        while self
            .question
            .as_ref()
            .is_some_and(|question| question.ended.is_none())
            && Instant::now() < until
        {
            std::thread::yield_now();
            self.drain_records();
        }
    }

    fn record(&mut self, record: &Record) {
        let Some(question) = self.question.as_mut() else {
            return;
        };
        if question.id != record.fork || question.ended.is_some() || !record.verdict.is_terminal() {
            return;
        }
        question.ended = Some((record.verdict, record.trace));
        self.presenter.ask(presenter::Ask::Hush);
        let (outcome, item) = match record.verdict {
            Verdict::Committed { option, .. } => {
                self.forks.committed += 1;
                self.forks.on_target += u64::from(option == 0);
                (Outcome::Committed, i32::try_from(option).ok())
            }
            Verdict::Declined { .. } => {
                self.forks.declined += 1;
                (Outcome::Declined, None)
            }
            _ => {
                self.forks.aborted += 1;
                (Outcome::Aborted, None)
            }
        };
        self.presenter.ask(presenter::Ask::Say(Event::ForkClose {
            fork: question.id.0,
            outcome,
            item,
        }));
        if outcome != Outcome::Committed {
            self.scribe.ask(scribe::Ask::GoOn(question.fork.id));
        }
    }

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

    fn finish(mut self) -> Result<Ended, EngineError> {
        self.gate.orders.send(Order::Abort(AbortReason::Shutdown));
        let stopped = self
            .scribe
            .stop()
            .0
            .ok_or(EngineError::Internal("the decoder's thread panicked"))?;
        let (_, shown) = self
            .presenter
            .stop()
            .ok_or(EngineError::Internal("the presenter panicked"))?;
        let budget = &self.settings.budget;
        let panicked = EngineError::Internal("an inlet thread panicked");
        let (inlet, watch) = self.eeg;
        let eeg = inlet.stop().ok_or(panicked)?;
        let (line, steps) = eeg.stage.into_parts();
        let counts = serde_json::to_value(line.path().counts()).unwrap_or_default();
        let eeg_latency = StreamLatency::new("eeg", &steps, budget, counts, watch.rejected());
        let (inlet, watch) = self.gaze;
        let gaze = inlet
            .stop()
            .ok_or(EngineError::Internal("an inlet thread panicked"))?;
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
            latency: LatencyReport {
                forks: self.book.report(),
                streams: vec![eeg_latency, gaze_latency],
                gate_items_dropped,
            },
            forks: Forks {
                interrupted: stopped.interrupted,
                ..self.forks
            },
            steps: stopped.forward_steps,
            shown,
            granted: vec![eeg.granted, gaze.granted, gate],
            recording_incomplete: recording
                .incomplete
                .iter()
                .map(ToString::to_string)
                .collect(),
        })
    }
}

/// The load averages as the system writes them; empty where it does not.
fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}
