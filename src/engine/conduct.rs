//! A live session: streams in, forks asked, choices taken, everything recorded.
//!
//! `Conductor` runs on the control plane. It starts the real-time threads, lays out each fork, opens the gate, tells the
//! presenter what to flash, and writes down what came of it. It never stands between a sample and a decision.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded, select};
use razvilka_calibration::Profile;
use razvilka_dsp::gaze_evidence::Tile;
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::score::{LinearScorer, ScoreDensity};
use razvilka_dsp::units::{LslTime, MonoTime};
use ringbuf::traits::{Consumer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::EngineError;
use super::desk::{Desk, Entry};
use super::latency::{LatencyReport, StreamLatency};
use super::lines;
use super::question::{Done, Question, priors};
use super::streams::Streams;
use crate::choice::{Ask as AskAt, Decision, FlashSequence, Protocol, Step, Why};
use crate::config::{AskSection, Plan};
use crate::decode::{Cancel, Model};
use crate::fork::{Chooser, Fork, ForkId, MAX_OPTIONS, options_of};
use crate::gate::{AbortReason, Evidence, Gate, GateSettings, Lease};
use crate::marker::{Event, Key, OptionKind, OptionTile};
use crate::pipeline::decision::{
    ChoiceCell, GateThread, Item, Made, Opening, Order, Record, Watched,
};
use crate::pipeline::eeg::{EegPorts, EegStage, EegWatch};
use crate::pipeline::gaze::{GazeStage, GazeWatch, Tiles};
use crate::pipeline::inlet::{Heartbeat, Inlet};
use crate::pipeline::presenter::{self, FlashRun, MarkerStream, Presenter, Shown};
use crate::pipeline::scribe::{self, BETWEEN_TEXTS, Scribe, Taken, Texts, Told};
use crate::pipeline::trace::{LatencyBook, Place, Trace};
use crate::recording::{Capacity, OffsetTap, Recorder, RecordingSummary};
use crate::rt::{self, Granted, Wish};
use crate::session::{
    ChainHead, EventKind, EventRow, Folder, ForkRow, LedgerWriter, OptionRow, SessionFile,
    SessionRow, sha256_hex,
};
use crate::source::{ClockOffset, MarkerSource, StreamSpec};
use crate::view::layout;
use crate::view::terminal::{ForkLine, View};

/// Orders for the gaze thread lie this far ahead, so that they are there before the sample with their stamp.
const LEAD: Duration = Duration::from_millis(40);
/// How long filters settle before the first fork.
const SETTLE: Duration = Duration::from_millis(1_500);
/// How often the streams are looked after.
const LOOK_AFTER: Duration = Duration::from_millis(200);
/// How long the loop waits for the decoder before it looks at the gate's records.
const TURN: Duration = Duration::from_millis(2);
/// A stream is silent after three of its longest chunk periods, but not before this.
const SILENCE_MIN: Duration = Duration::from_millis(50);
/// ... and surely after this.
const SILENCE_MAX: Duration = Duration::from_millis(500);
/// How long a fork waits for a silent stream before it is asked all the same, or left to the model.
const POSTPONE_MAX: Duration = Duration::from_secs(3);
/// How long the disk may take at the end.
const FINISH: Duration = Duration::from_secs(10);

/// Everything a session needs.
pub struct Setting<'a> {
    /// What was asked for.
    pub plan: &'a Plan,
    /// The person's calibration.
    pub profile: &'a Profile,
    /// The open streams.
    pub streams: Streams,
    /// The engine's marker stream.
    pub markers: MarkerStream,
    /// What it says of itself.
    pub marker_spec: StreamSpec,
    /// The language model.
    pub model: Arc<Model>,
    /// Where everything goes.
    pub folder: &'a Folder,
    /// Identity of the session.
    pub session: String,
    /// Start, UTC.
    pub started_utc: String,
    /// What the person sees.
    pub view: &'a mut dyn View,
    /// Raised when the session is to stop.
    pub stop: Arc<AtomicBool>,
}

/// What came of a session.
#[derive(Debug)]
pub struct Played {
    /// Latency per step.
    pub latency: LatencyReport,
    /// What was recorded.
    pub recording: RecordingSummary,
    /// What each real-time thread was granted.
    pub granted: Vec<Granted>,
    /// The last row of the ledger.
    pub ledger: ChainHead,
    /// What the presenter did.
    pub shown: Shown,
    /// Forks that were answered.
    pub answered: u32,
    /// Why it ended, in words.
    pub ending: String,
    /// What could not be kept, one sentence each.
    pub warnings: Vec<String>,
    /// Whether a stream or the model failed.
    pub failure: Option<EngineError>,
}

/// Runs a session to its end.
///
/// # Errors
/// [`EngineError`] when it cannot be begun. Once it has begun, faults end it in order and are named in [`Played`].
pub fn conduct(setting: Setting<'_>) -> Result<Played, EngineError> {
    let mut conductor = Conductor::begin(setting)?;
    conductor.settle();
    let ending = conductor.until_the_end();
    conductor.finish(ending)
}

/// One of the two sample streams, as the control plane sees it.
struct Watching {
    heartbeat: Arc<Heartbeat>,
    offsets: OffsetTap,
    name: &'static str,
}

struct EegEnds {
    inlet: Inlet<EegStage>,
    watch: Arc<EegWatch>,
    scorers: HeapProd<(LinearScorer, ScoreDensity)>,
    retired: HeapCons<LinearScorer>,
    bad: ChannelMask,
    used_channels: usize,
}

struct GazeEnds {
    inlet: Inlet<GazeStage>,
    watch: Arc<GazeWatch>,
    orders: HeapProd<Tiles>,
}

struct KeysEnds {
    keys: Receiver<(f64, Key)>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// Held, so that a source which has gone is silent instead of always ready.
    _send: Sender<(f64, Key)>,
}

struct Conductor<'a> {
    plan: &'a Plan,
    profile: &'a Profile,
    view: &'a mut dyn View,
    stop: Arc<AtomicBool>,
    gate_settings: GateSettings,
    gate: GateThread,
    scribe: Scribe,
    presenter: Presenter,
    recorder: Recorder,
    desk: Desk,
    eeg: Option<EegEnds>,
    gaze: Option<GazeEnds>,
    keys: Option<KeysEnds>,
    watching: Vec<Watching>,
    marker_offsets: OffsetTap,
    model_sha256: String,
    protocol: Protocol,
    book: LatencyBook,
    lease: Lease,
    next_question: u64,
    question: Option<Question>,
    awaiting: Option<(Question, Step)>,
    /// A fork that is asked again as soon as the streams are back, or when it has waited long enough.
    postponed: Option<(Fork, u32, Instant)>,
    /// Texts that are over, and the present one.
    past_text: String,
    text: String,
    position: usize,
    tokens_written: u64,
    undoable: usize,
    answered: u32,
    begun: Instant,
    looked_after: Instant,
    failure: Option<EngineError>,
    warned: Vec<String>,
}

/// Why the main loop ended.
enum Ending {
    Forks,
    Time,
    Stopped,
    Failed,
}

impl<'a> Conductor<'a> {
    fn begin(setting: Setting<'a>) -> Result<Self, EngineError> {
        let Setting {
            plan,
            profile,
            folder,
            ..
        } = setting;
        let wish = Wish {
            priority: plan.realtime.priority,
            cpu: None,
        };
        let recorder = Recorder::create(&folder.file(SessionFile::Recording), Capacity::default())?;
        let ledger = LedgerWriter::create(
            &folder.file(SessionFile::Ledger),
            &SessionRow {
                session: setting.session.clone(),
                started_utc: setting.started_utc.clone(),
                razvilka_version: env!("CARGO_PKG_VERSION").into(),
                seed: plan.session.seed,
                config_sha256: plan.sha256(),
                flash: plan.flash,
                protocol: plan.protocol,
            },
        )?;
        let text_file = folder.create_text()?;

        let choice = Arc::new(ChoiceCell::default());
        let gate_settings = lines::gate_settings(plan, profile)?;
        let model_sha256 = model_digest(&setting.model);
        let texts = Texts {
            model: setting.model,
            settings: plan.writer_settings(),
            prompt: plan.model.prompt.clone(),
        };
        let pace = plan.model.pace_tokens_per_s;
        let scribe = Scribe::start(texts, Arc::clone(&choice), Cancel::new(), pace)?;
        let mut gate = GateThread::start(gate_settings, wish, choice, scribe.on_choice(wish))?;

        let Streams { eeg, gaze, .. } = setting.streams;
        let mut watching = Vec::new();
        let (mut eeg_ends, mut notices) = (None, None);
        if let (Some(source), Some(section)) = (eeg, &plan.eeg) {
            let calibration = profile
                .eeg
                .as_ref()
                .ok_or(lines::LineError::NoPart { part: "eeg" })?;
            let line = lines::eeg_line(section, calibration, source.spec(), None)?;
            let (tap, offsets) = recorder.add_samples(source.spec())?;
            let (notice_in, notice_out) = HeapRb::new(256).split();
            let (scorers, scorers_out) = HeapRb::new(8).split();
            let (retired_in, retired) = HeapRb::new(16).split();
            let watch = Arc::new(EegWatch::default());
            let lane = gate
                .eeg
                .take()
                .ok_or(EngineError::Internal("the gate's EEG lane is taken"))?;
            let ports = EegPorts {
                notices: notice_out,
                scorers: scorers_out,
                retired: retired_in,
                lane,
            };
            let offset_s = source.clock_offset().map_or(0.0, |clock| clock.offset_s);
            let used_channels = line.path().spec().channels;
            let stage = EegStage::new(line, ports, Arc::clone(&watch), offset_s);
            let inlet = Inlet::start("eeg", wish, source, tap, stage)?;
            watching.push(Watching {
                heartbeat: inlet.heartbeat(),
                offsets,
                name: "eeg",
            });
            notices = Some(notice_in);
            let bad = ChannelMask::default();
            eeg_ends = Some(EegEnds {
                inlet,
                watch,
                scorers,
                retired,
                bad,
                used_channels,
            });
        }
        let mut gaze_ends = None;
        if let (Some(source), Some(section)) = (gaze, &plan.gaze) {
            let line = lines::gaze_line(section, plan, profile.gaze.as_ref(), source.spec())?;
            let (tap, offsets) = recorder.add_samples(source.spec())?;
            let (orders, orders_out) = HeapRb::new(16).split();
            let watch = Arc::new(GazeWatch::default());
            let lane = gate
                .gaze
                .take()
                .ok_or(EngineError::Internal("the gate's gaze lane is taken"))?;
            let offset_s = source.clock_offset().map_or(0.0, |clock| clock.offset_s);
            let channels = source.spec().labels.len();
            let stage = GazeStage::new(
                line,
                orders_out,
                lane,
                Arc::clone(&watch),
                channels,
                offset_s,
            );
            let inlet = Inlet::start("gaze", wish, source, tap, stage)?;
            watching.push(Watching {
                heartbeat: inlet.heartbeat(),
                offsets,
                name: "gaze",
            });
            gaze_ends = Some(GazeEnds {
                inlet,
                watch,
                orders,
            });
        }
        let key_sources = [setting.streams.keys, setting.streams.terminal];
        let keys = KeysEnds::start(key_sources.into_iter().flatten(), &recorder)?;

        let mut markers = setting.markers;
        let (marker_tap, marker_offsets) = recorder.add_markers(&setting.marker_spec)?;
        markers.record_to(Some(marker_tap));
        markers.say(
            Event::SessionStart {
                session: setting.session,
            },
            rt::lsl_now(),
        );
        let presenter = Presenter::start(markers, notices)?;

        let now = Instant::now();
        Ok(Self {
            plan,
            profile,
            view: setting.view,
            stop: setting.stop,
            gate_settings,
            gate,
            scribe,
            presenter,
            recorder,
            desk: Desk::start(ledger, text_file)?,
            eeg: eeg_ends,
            gaze: gaze_ends,
            keys,
            watching,
            marker_offsets,
            model_sha256,
            protocol: Protocol::new(plan.protocol),
            book: LatencyBook::new(&plan.budget),
            lease: Lease { epoch: 1 },
            next_question: 0,
            question: None,
            awaiting: None,
            postponed: None,
            past_text: String::new(),
            text: String::new(),
            position: 0,
            tokens_written: 0,
            undoable: 0,
            answered: 0,
            begun: now,
            looked_after: now,
            failure: None,
            warned: Vec::new(),
        })
    }

    /// Lets the filters settle and the clocks be measured, then lets the decoder write.
    fn settle(&mut self) {
        let until = Instant::now() + SETTLE;
        while Instant::now() < until && !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
        for watching in &self.watching {
            let longest = Duration::from_nanos(watching.heartbeat.longest_gap_ns());
            let silence_max = (3 * longest).clamp(SILENCE_MIN, SILENCE_MAX);
            self.gate.watch(Watched {
                heartbeat: Arc::clone(&watching.heartbeat),
                silence_max,
            });
        }
        self.look_after();
        self.begun = Instant::now();
        self.scribe.ask(scribe::Ask::Resume);
    }

    fn until_the_end(&mut self) -> Ending {
        let minutes = Duration::from_secs_f64(self.plan.session.minutes_max * 60.0);
        let told = self.scribe.told.clone();
        let no_keys = crossbeam::channel::never();
        let keys = self.keys.as_ref().map_or(no_keys, |keys| keys.keys.clone());
        loop {
            select! {
                recv(told) -> told => match told {
                    Ok(told) => self.told(told),
                    Err(_) => self.fail(EngineError::Internal("the decoder's thread ended")),
                },
                recv(keys) -> key => if let Ok((stamp_s, key)) = key {
                    self.key(stamp_s, key);
                },
                default(TURN) => {}
            }
            self.drain_records();
            self.ask_postponed();
            if self.looked_after.elapsed() >= LOOK_AFTER {
                self.look_after();
            }
            if self.failure.is_some() {
                return Ending::Failed;
            }
            if self.answered >= self.plan.session.forks
                && self.question.is_none()
                && self.awaiting.is_none()
                && self.postponed.is_none()
            {
                return Ending::Forks;
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ending::Stopped;
            }
            if self.begun.elapsed() >= minutes {
                return Ending::Time;
            }
        }
    }

    // --- what the decoder says -------------------------------------------------------------------------------------

    fn told(&mut self, told: Told) {
        match told {
            Told::Text { piece, position } => {
                self.count(position);
                self.write(&piece);
            }
            Told::Fork(fork) => {
                self.settle_awaiting_offer();
                self.ask(fork, 0);
            }
            Told::Taken {
                fork,
                how,
                text,
                replaced,
                position,
                ready_tokens: _,
                committed_ns,
            } => {
                self.taken(fork, how, text, replaced, position, committed_ns);
            }
            Told::NothingOther(_) => {
                self.note("nothing else can be offered here: the model goes on");
            }
            Told::Refused { asked } => self.note(&format!("{asked} cannot be followed here")),
            Told::Called {
                words_back,
                text_number,
                position,
                text,
            } => {
                self.position = position;
                self.replace(&text);
                let detail = serde_json::json!({
                    "call": { "words_back": words_back, "text": text_number, "position": position },
                });
                self.event(EventKind::Operator, detail.to_string());
            }
            Told::NextText => {
                self.past_text = format!("{}{}{BETWEEN_TEXTS}", self.past_text, self.text);
                self.text.clear();
                self.position = 0;
                self.undoable = 0;
                self.say_text(BETWEEN_TEXTS);
            }
            Told::Failed(reason) => self.fail(EngineError::Decoder(reason)),
        }
    }

    fn count(&mut self, position: usize) {
        self.tokens_written += position.saturating_sub(self.position) as u64;
        self.position = position;
    }

    /// The decoder stands on the chosen branch, or was taken back.
    fn taken(
        &mut self,
        fork: ForkId,
        how: Taken,
        text: String,
        replaced: bool,
        position: usize,
        committed_ns: u64,
    ) {
        self.records_until_ended();
        let Some((question, step)) = self
            .awaiting
            .take_if(|(question, _)| question.fork.id == fork)
        else {
            // An undo asked for by key while no fork was open.
            self.count(position);
            if replaced {
                self.undoable = self.undoable.saturating_sub(1);
                self.replace(&text);
                let detail = serde_json::json!({ "undo": { "position": position } });
                self.event(EventKind::Operator, detail.to_string());
            }
            return;
        };
        let mut trace = question.end.map(|end| end.trace).unwrap_or_default();
        trace.mark(Place::Committed, committed_ns);
        self.count(position);
        let (item, chooser) = match how {
            Taken::Branch(branch) => (Some(branch), Chooser::Human),
            Taken::ModelBranch(branch) => (Some(branch), Chooser::Model),
            Taken::Undone => (
                question
                    .kinds
                    .iter()
                    .position(|kind| *kind == OptionKind::Undo),
                Chooser::Human,
            ),
        };
        self.show_answer(&question, item, chooser, &step);
        let shown = if replaced {
            self.undoable = self.undoable.saturating_sub(1);
            self.replace(&text)
        } else {
            self.undoable += 1;
            self.write(&text)
        };
        trace.mark(Place::Shown, shown.as_nanos());
        if question.committed_option().is_some() {
            self.book.note(&trace);
            self.answered += 1;
        }
        let done = Done {
            item: item.and_then(|item| i32::try_from(item).ok()),
            chooser: Some(chooser),
            why: why_of(&step),
            text: if replaced { String::new() } else { text },
            tokens_written: self.tokens_written,
            trace,
            committed: MonoTime::from_nanos(committed_ns),
        };
        self.write_choice(&question, &done);
    }

    /// Other branches are offered: the question that asked for them is over.
    fn settle_awaiting_offer(&mut self) {
        self.records_until_ended();
        let Some((question, step)) = self.awaiting.take() else {
            return;
        };
        let item = question.committed_option();
        let chooser = item.map(|_| Chooser::Human);
        self.show_answer(&question, item, chooser.unwrap_or(Chooser::Model), &step);
        self.answered += u32::from(item.is_some());
        let committed = rt::now();
        let mut trace = question.end.map(|end| end.trace).unwrap_or_default();
        trace.mark(Place::Committed, committed.as_nanos());
        let done = Done {
            item: item.and_then(|item| i32::try_from(item).ok()),
            chooser,
            why: why_of(&step),
            text: String::new(),
            tokens_written: self.tokens_written,
            trace,
            committed,
        };
        self.write_choice(&question, &done);
    }

    fn write_choice(&mut self, question: &Question, done: &Done) {
        let flashes = u64::from(question.evidence_counts().0);
        let row = question.choice_row(done, rt::mono_of, &self.model_sha256, flashes);
        self.desk.hand_in(Entry::Choice(Box::new(row)));
    }

    fn show_answer(
        &mut self,
        question: &Question,
        item: Option<usize>,
        chooser: Chooser,
        step: &Step,
    ) {
        let posterior = question.end.and_then(|end| end.arms).map(|arms| arms.fused);
        let of = |option: usize| {
            posterior
                .as_ref()
                .and_then(|p| p.as_slice().get(option).copied())
                .unwrap_or(f64::NAN)
        };
        let line = ForkLine {
            fork: question.id.0,
            options: question
                .tiles
                .iter()
                .cloned()
                .enumerate()
                .map(|(option, tile)| (tile, of(option)))
                .collect(),
            taken: item,
            chooser,
            ending: ending_words(step),
            seconds: question
                .end
                .map_or(0.0, |end| end.decided_at.since(question.opened_at)),
            evidence: question.evidence_counts(),
        };
        let shown = self.view.answered(&line);
        self.seen(shown);
    }

    // --- asking ----------------------------------------------------------------------------------------------------

    /// A fork is there: the protocol decides, then the person is asked or the model goes on.
    fn ask(&mut self, fork: Fork, attempt: u32) {
        self.count(fork.position);
        let decision = self.protocol.decide(&AskAt {
            origin: fork.origin,
            tokens_written: self.tokens_written,
            attempt,
            person_present: self.person_present(),
        });
        let id = ForkId(self.next_question);
        self.next_question += 1;
        let kinds = options_of(fork.branches.len(), self.undoable > 0);
        let tiles = layout::tiles(&fork, &kinds, &self.plan.screen);
        let now = rt::now();
        let opened_at = rt::lsl_of(now);
        let question = Question::new(id, fork, attempt, kinds, tiles, opened_at);
        let asked = matches!(decision, Decision::Ask(_));
        let (eeg_clock, gaze_clock) = (self.clock("eeg"), self.clock("gaze"));
        let row = ForkRow {
            fork: id,
            position_tokens: question.fork.position as u64,
            tokens_written: self.tokens_written,
            context: question.fork.context.clone(),
            origin: question.fork.origin,
            attempt,
            decision,
            opened_at,
            opened_mono: now,
            lease: self.lease,
            gate: self.gate_settings,
            prior_capped: asked
                .then(|| capped_prior(self.gate_settings, &question))
                .flatten(),
            eeg_clock,
            gaze_clock,
            model_sha256: self.model_sha256.clone(),
            adapter: None,
        };
        let options = option_rows(&question);
        self.desk.hand_in(Entry::Fork(Box::new(row), options));
        match decision {
            Decision::Ask(_) => self.open(question, eeg_clock, gaze_clock),
            Decision::LetModel(reason) => {
                self.scribe.ask(scribe::Ask::GoOn(question.fork.id));
                self.awaiting = Some((question, Protocol::not_asked(reason)));
            }
        }
    }

    /// Asks again at a fork that a silent stream had aborted, once every stream is heard again.
    fn ask_postponed(&mut self) {
        let now = rt::now();
        let heard = self
            .watching
            .iter()
            .all(|watching| !watching.heartbeat.silent(now, SILENCE_MIN));
        if let Some((fork, attempt, _)) = self
            .postponed
            .take_if(|(.., since)| heard || since.elapsed() >= POSTPONE_MAX)
        {
            self.ask(fork, attempt);
        }
    }

    /// Opens the gate and shows the fork.
    fn open(
        &mut self,
        question: Question,
        eeg_clock: Option<ClockOffset>,
        gaze_clock: Option<ClockOffset>,
    ) {
        self.swap_scorer(question.id);
        let mut kinds = [OptionKind::Item; MAX_OPTIONS];
        let mut prior = [0.0; MAX_OPTIONS];
        let options = question.kinds.len().min(MAX_OPTIONS);
        kinds
            .iter_mut()
            .zip(&question.kinds)
            .for_each(|(to, from)| *to = *from);
        prior
            .iter_mut()
            .zip(&question.priors)
            .for_each(|(to, from)| *to = *from);
        self.scribe.ask(scribe::Ask::Options {
            fork: question.fork.id,
            question: question.id,
            kinds: question.kinds.clone(),
        });
        let opened = self.gate.orders.send(Order::Open(Opening {
            fork: question.id,
            kinds,
            priors: prior,
            options,
            lease: self.lease,
            at: question.opened_at,
        }));
        if !opened {
            self.fail(EngineError::Internal("the gate takes no orders"));
        }
        let appears = rt::lsl_of(MonoTime::from_nanos(
            rt::now().as_nanos() + LEAD.as_nanos() as u64,
        ));
        if let (Some(gaze), Some(clock)) = (&mut self.gaze, gaze_clock) {
            let tiles = tiles_of(
                question.id,
                &question.tiles,
                &self.plan.ask,
                self.lease,
                appears,
                clock.offset_s,
            );
            // Room for many forks: only a thread that has ended leaves it full, and its silence aborts the fork.
            let _ = gaze.orders.try_push(tiles);
        }
        self.presenter.ask(presenter::Ask::SayAt(
            Event::ForkOpen {
                fork: question.id.0,
                context: question.fork.context.clone(),
                options: question.tiles.clone(),
                timeout_s: self.gate_settings.config().timeout_s,
            },
            appears,
        ));
        if self.eeg.is_some() {
            let reading_s = self.plan.ask.reading_s(&question.tiles);
            let begin_ns = rt::mono_of(appears).as_nanos() + (reading_s * 1e9) as u64;
            match FlashSequence::new(
                options,
                &self.plan.flash,
                self.plan.session.seed,
                question.id.0,
            ) {
                Ok(sequence) => self.presenter.ask(presenter::Ask::Flash(Box::new(FlashRun {
                    fork: Some(question.id),
                    cued: None,
                    sequence,
                    begin: rt::lsl_of(MonoTime::from_nanos(begin_ns)),
                    eeg_offset_s: eeg_clock.map(|clock| clock.offset_s),
                    lease: self.lease,
                    flashes_max: None,
                    done: None,
                }))),
                Err(error) => self.note(&error.to_string()),
            }
        }
        let shown = self.view.asked(question.id.0, &question.tiles);
        self.seen(shown);
        self.question = Some(question);
    }

    // --- what the gate says ----------------------------------------------------------------------------------------

    fn drain_records(&mut self) {
        while let Some(record) = self.gate.records.try_pop() {
            self.record(&record);
        }
    }

    /// The decoder may hear of a choice before its record is here: they come on different ways.
    fn records_until_ended(&mut self) {
        let until = Instant::now() + Duration::from_millis(200);
        self.drain_records();
        while self.question.is_some() && Instant::now() < until {
            std::thread::yield_now();
            self.drain_records();
        }
    }

    fn record(&mut self, record: &Record) {
        let Some(question) = self
            .question
            .as_mut()
            .filter(|question| question.id == record.fork)
        else {
            return;
        };
        if let Some(row) = question.take(record) {
            self.desk.hand_in(Entry::Evidence(Box::new(row)));
        }
        if record.verdict.is_terminal()
            && let Some(question) = self.question.take()
        {
            self.ended(question);
        }
    }

    /// The gate is done with a question: hush, say so, and see what follows.
    fn ended(&mut self, question: Question) {
        self.presenter.ask(presenter::Ask::Hush);
        let (Some(end), Some(outcome)) = (question.end, question.outcome()) else {
            return;
        };
        self.presenter.ask(presenter::Ask::Say(Event::ForkClose {
            fork: question.id.0,
            outcome,
            item: question
                .committed_option()
                .and_then(|option| i32::try_from(option).ok()),
        }));
        let selected = question.committed_option().is_some();
        let fork = question.fork.id;
        match self
            .protocol
            .follow(&end.verdict, &question.kinds, question.attempt)
        {
            Some(step @ Step::AskAgain { why }) => {
                self.show_answer(&question, None, Chooser::Model, &step);
                let done = Done {
                    item: None,
                    chooser: None,
                    why,
                    text: String::new(),
                    tokens_written: self.tokens_written,
                    trace: Trace::default(),
                    committed: rt::now(),
                };
                self.write_choice(&question, &done);
                let attempt = question.attempt + 1;
                if why == Why::Aborted(AbortReason::SourceLost) {
                    self.postponed = Some((question.fork, attempt, Instant::now()));
                } else {
                    self.ask(question.fork, attempt);
                }
            }
            Some(step) => {
                // What the person selected, the decoder has seen by itself; the rest it must be told.
                match step {
                    Step::OfferOther { .. } if !selected => {
                        self.scribe.ask(scribe::Ask::Other(fork));
                    }
                    Step::ModelChooses { .. } if !selected => {
                        self.scribe.ask(scribe::Ask::GoOn(fork));
                    }
                    _ => {}
                }
                self.awaiting = Some((question, step));
            }
            None => self.fail(EngineError::Internal(
                "the gate chose an option that does not exist",
            )),
        }
    }

    // --- keys ------------------------------------------------------------------------------------------------------

    fn key(&mut self, stamp_s: f64, key: Key) {
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
            (Key::Undo, None) => self.scribe.ask(scribe::Ask::Undo),
            (Key::Call { back }, None) => self.scribe.ask(scribe::Ask::Call { words_back: back }),
            (Key::Call { .. }, Some(_)) => self.note("a fork is open already"),
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

    // --- looking after the streams ---------------------------------------------------------------------------------

    fn person_present(&self) -> bool {
        let now = rt::now();
        let alive = |name| {
            self.watching.iter().any(|watching| {
                watching.name == name && !watching.heartbeat.silent(now, SILENCE_MAX)
            })
        };
        alive("eeg") || alive("gaze") || self.keys.is_some()
    }

    fn clock(&self, name: &str) -> Option<ClockOffset> {
        let watching = self
            .watching
            .iter()
            .find(|watching| watching.name == name)?;
        // Before the first measurement the clocks are taken as one, which on one machine they are; the row says so.
        Some(watching.heartbeat.clock_offset().unwrap_or(ClockOffset {
            at_s: 0.0,
            offset_s: 0.0,
        }))
    }

    fn look_after(&mut self) {
        self.looked_after = Instant::now();
        for watching in &self.watching {
            if let Some(offset) = watching.heartbeat.clock_offset() {
                watching.offsets.push(offset);
            }
        }
        self.marker_offsets.push(ClockOffset {
            at_s: rt::lsl_now().get(),
            offset_s: 0.0,
        });
        if let Some(eeg) = &mut self.eeg {
            // Scorers that came back are dropped here, off the real-time thread.
            while eeg.retired.try_pop().is_some() {}
        }
        let lost = self
            .watching
            .iter()
            .find(|watching| watching.heartbeat.is_lost())
            .map(|watching| watching.name);
        if let Some(name) = lost {
            self.gate.orders.send(Order::Abort(AbortReason::SourceLost));
            self.event(EventKind::Source, format!("the {name} stream was lost"));
            self.fail(EngineError::Lost { name });
        }
        let faults: Vec<_> = self.desk.faults().collect();
        for fault in faults {
            self.warn(fault);
        }
    }

    /// A channel has gone bad or good since the last fork: the scorer of the remaining ones takes over.
    fn swap_scorer(&mut self, fork: ForkId) {
        let (Some(eeg), Some(calibration)) = (&mut self.eeg, &self.profile.eeg) else {
            return;
        };
        let bad = eeg.watch.bad();
        if bad == eeg.bad {
            return;
        }
        let kept: Vec<bool> = (0..eeg.used_channels)
            .map(|channel| !bad.contains(channel))
            .collect();
        let names: Vec<_> = bad
            .iter()
            .filter_map(|channel| calibration.labels.get(channel).map(String::as_str))
            .collect();
        let words = if names.is_empty() {
            "all channels are good again".to_owned()
        } else {
            format!("bad channels: {}", names.join(", "))
        };
        match calibration.restrict(&kept) {
            Ok(scorer) => {
                // Eight may be under way; a full ring means that the thread has ended, which the heartbeat shows.
                let _ = eeg.scorers.try_push(scorer);
                eeg.bad = bad;
                let detail = serde_json::json!({ "bad_channels": bad, "fork": fork });
                self.event(EventKind::Exchange, detail.to_string());
                self.note(&words);
            }
            Err(error) => self.note(&format!("{words}; EEG is left out: {error}")),
        }
    }

    // --- text ------------------------------------------------------------------------------------------------------

    /// Adds text; gives the moment when it was handed to the view.
    fn write(&mut self, piece: &str) -> MonoTime {
        self.text.push_str(piece);
        self.say_text(piece)
    }

    fn say_text(&mut self, piece: &str) -> MonoTime {
        let shown = self.view.text(piece);
        let at = rt::now();
        self.seen(shown);
        self.presenter.ask(presenter::Ask::Say(Event::Text {
            piece: piece.to_owned(),
            replace: false,
        }));
        self.desk.hand_in(Entry::Text(piece.to_owned()));
        at
    }

    /// Replaces the present text; gives the moment when it was handed to the view.
    fn replace(&mut self, text: &str) -> MonoTime {
        self.text = text.to_owned();
        let whole = format!("{}{}", self.past_text, self.text);
        let shown = self.view.replaced(&whole);
        let at = rt::now();
        self.seen(shown);
        self.presenter.ask(presenter::Ask::Say(Event::Text {
            piece: whole.clone(),
            replace: true,
        }));
        self.desk.hand_in(Entry::Replace(whole));
        at
    }

    // --- faults ----------------------------------------------------------------------------------------------------

    fn note(&mut self, note: &str) {
        let shown = self.view.note(note);
        self.seen(shown);
    }

    /// A terminal that cannot be written to does not stop a session.
    fn seen(&mut self, shown: std::io::Result<()>) {
        if let Err(error) = shown {
            self.warn(format!("the view failed: {error}"));
        }
    }

    /// A ledger or a text that cannot be written leaves the session running, and its record incomplete.
    fn warn(&mut self, warning: String) {
        if !self.warned.contains(&warning) {
            eprintln!("razvilka: {warning}");
            self.warned.push(warning);
        }
    }

    fn event(&mut self, kind: EventKind, detail: String) {
        let mono = rt::now();
        let fork = self.question.as_ref().map(|question| question.id);
        self.desk.hand_in(Entry::Event(EventRow {
            kind,
            fork,
            at: rt::lsl_of(mono),
            mono,
            detail,
        }));
    }

    fn fail(&mut self, error: EngineError) {
        self.failure.get_or_insert(error);
    }

    // --- the end ---------------------------------------------------------------------------------------------------

    fn finish(mut self, ending: Ending) -> Result<Played, EngineError> {
        if self.question.is_some() {
            let reason = match ending {
                Ending::Failed => AbortReason::Internal,
                Ending::Forks | Ending::Time | Ending::Stopped => AbortReason::Shutdown,
            };
            self.gate.orders.send(Order::Abort(reason));
            self.records_until_ended();
        }
        let words = match ending {
            Ending::Forks => "all forks were answered",
            Ending::Time => "time is up",
            Ending::Stopped => "it was stopped",
            Ending::Failed => "a fault ended it",
        };
        let stopped = self.scribe.stop();
        // What the decoder wrote before it stopped belongs to the text and the ledger; nobody is asked any more.
        let told = self.scribe.told.clone();
        for told in told
            .try_iter()
            .filter(|told| !matches!(told, Told::Fork(_)))
        {
            self.told(told);
        }
        if let Some(stopped) = &stopped {
            let detail = serde_json::json!({
                "ending": words, "text": stopped.text_number, "position": stopped.position,
            });
            let mono = rt::now();
            let row = EventRow {
                kind: EventKind::End,
                fork: None,
                at: rt::lsl_of(mono),
                mono,
                detail: detail.to_string(),
            };
            self.desk.hand_in(Entry::Event(row));
        }
        self.presenter.ask(presenter::Ask::Say(Event::SessionEnd));
        let shown = self
            .presenter
            .stop()
            .map(|(_, shown)| shown)
            .unwrap_or_default();
        let mut granted = Vec::new();
        let mut streams = Vec::new();
        if let Some(eeg) = self.eeg
            && let Some(ended) = eeg.inlet.stop()
        {
            granted.push(ended.granted);
            let (line, steps) = ended.stage.into_parts();
            let counts = serde_json::to_value(line.path().counts()).unwrap_or_default();
            streams.push(StreamLatency::new(
                "eeg",
                &steps,
                &self.plan.budget,
                counts,
                eeg.watch.rejected(),
            ));
        }
        if let Some(gaze) = self.gaze
            && let Some(ended) = gaze.inlet.stop()
        {
            granted.push(ended.granted);
            let counts = serde_json::json!({ "samples": gaze.watch.samples(), "lost": gaze.watch.lost(), "late_orders": gaze.watch.late() });
            streams.push(StreamLatency::new(
                "gaze",
                &ended.stage.into_steps(),
                &self.plan.budget,
                counts,
                0,
            ));
        }
        if let Some(keys) = self.keys {
            keys.stop.store(true, Ordering::Relaxed);
            for thread in keys.threads {
                let _ = thread.join();
            }
        }
        let dropped = self.gate.dropped();
        if let Some((gate, _)) = self.gate.stop() {
            granted.push(gate);
        }
        let recording = self.recorder.finish(FINISH);
        let (ledger, faults) = self.desk.close()?;
        self.warned.extend(faults);
        Ok(Played {
            latency: LatencyReport {
                forks: self.book.report(),
                streams,
                gate_items_dropped: dropped,
            },
            recording,
            granted,
            ledger,
            shown,
            answered: self.answered,
            ending: words.to_owned(),
            warnings: self.warned,
            failure: self.failure,
        })
    }
}

impl KeysEnds {
    /// Listens to every source of keys; `None` when there is none.
    fn start(
        sources: impl Iterator<Item = Box<dyn MarkerSource>>,
        recorder: &Recorder,
    ) -> Result<Option<Self>, EngineError> {
        let (send, keys) = bounded(64);
        let stop = Arc::new(AtomicBool::new(false));
        let threads = sources
            .map(|source| Self::listen(source, recorder, send.clone(), Arc::clone(&stop)))
            .collect::<Result<Vec<_>, _>>()?;
        let ends = Self {
            keys,
            stop,
            threads,
            _send: send,
        };
        Ok((!ends.threads.is_empty()).then_some(ends))
    }

    fn listen(
        mut source: Box<dyn MarkerSource>,
        recorder: &Recorder,
        send: Sender<(f64, Key)>,
        stopped: Arc<AtomicBool>,
    ) -> Result<JoinHandle<()>, EngineError> {
        let (tap, offsets) = recorder.add_markers(source.spec())?;
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
        Ok(thread)
    }
}

/// The prior as the gate will cap it.
#[must_use]
pub fn capped_prior(settings: GateSettings, question: &Question) -> Option<crate::gate::Posterior> {
    let mut gate = Gate::new(settings);
    gate.open(
        question.id,
        &question.kinds,
        &question.priors,
        question.opened_at,
        Lease { epoch: 0 },
    )
    .ok()?;
    Some(gate.arms().prior)
}

/// The rows of a question's options.
#[must_use]
pub fn option_rows(question: &Question) -> Vec<OptionRow> {
    let mut branches = question.fork.branches.iter();
    question
        .tiles
        .iter()
        .zip(priors(&question.fork, &question.kinds))
        .map(|(tile, prior)| {
            let branch = if tile.kind == OptionKind::Branch {
                branches.next()
            } else {
                None
            };
            OptionRow {
                fork: question.id,
                tile: tile.clone(),
                tokens: branch
                    .map(|branch| branch.tokens.clone())
                    .unwrap_or_default(),
                prior,
                log_prob_nats: branch.map_or(f64::NAN, |branch| branch.log_prob_nats),
            }
        })
        .collect()
}

/// The tiles as the gaze thread needs them: looks count from the moment when the branches could have been read. What is
/// looked at later is looked at again, so no reading time is taken off any more.
#[must_use]
pub fn tiles_of(
    fork: ForkId,
    shown: &[OptionTile],
    ask: &AskSection,
    lease: Lease,
    appears: LslTime,
    offset_s: f64,
) -> Tiles {
    let empty = Tile {
        x_deg: 0.0,
        y_deg: 0.0,
        w_deg: 1.0,
        h_deg: 1.0,
        words: 0,
    };
    let mut tiles = [empty; MAX_OPTIONS];
    for (to, tile) in tiles.iter_mut().zip(shown) {
        *to = Tile {
            x_deg: tile.x_deg,
            y_deg: tile.y_deg,
            w_deg: tile.w_deg,
            h_deg: tile.h_deg,
            words: 0,
        };
    }
    Tiles {
        fork,
        lease,
        tiles,
        count: shown.len().min(MAX_OPTIONS),
        from_s: appears.get() + ask.reading_s(shown) - offset_s,
        offset_s,
    }
}

/// Why a step is taken.
#[must_use]
pub fn why_of(step: &Step) -> Why {
    match *step {
        Step::TakeBranch { why, .. }
        | Step::ModelChooses { why }
        | Step::OfferOther { why }
        | Step::TakeBack { why }
        | Step::AskAgain { why } => why,
    }
}

fn ending_words(step: &Step) -> String {
    match why_of(step) {
        Why::Selected => "committed".into(),
        Why::ToldToGoOn => "told to go on".into(),
        Why::NotAsked(reason) => format!("not asked: {reason:?}"),
        Why::TimedOut(_) => "declined: time ran out".into(),
        Why::Aborted(reason) => format!("aborted: {reason}"),
    }
}

/// One digest for a model: SHA-256 over the names and digests of its files, hexadecimal.
#[must_use]
pub fn model_digest(model: &Model) -> String {
    let files: Vec<_> = model
        .card()
        .files
        .iter()
        .map(|file| format!("{} {}\n", file.name, file.sha256))
        .collect();
    sha256_hex(files.concat().as_bytes())
}
