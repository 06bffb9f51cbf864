//! A live session: streams in, forks asked, choices taken, everything recorded.
//!
//! `Conductor` runs on the control plane. It starts the real-time threads, lays out each fork, opens the gate, tells the
//! presenter what to flash, and writes down what came of it. It never stands between a sample and a decision.
//!
//! | file | what |
//! |---|---|
//! | `feed` | one sample stream: its thread, and the search when it is lost |
//! | `inputs` | the sample streams together: who is heard, what hinders a fork |
//! | `feedback` | how far each option has come by gaze, for whoever shows it |
//! | `keys` | key presses |
//! | `asking` | from a fork to an open gate |
//! | `answers` | from the gate's record to the row that says how a fork ended |
//! | `guarding` | the guard: each step told and written down, its pauses |
//! | `handing` | what is left to the imitator, and how much of that is told |
//! | `learning` | what the scorer learns from confirmed choices, and when that is taken over |
//! | `masking` | bad channels, and the scorers that do without them |
//! | `remembering` | the person's memory of choices |
//! | `disk` | how much room is left for the recording |
//! | `telling`, `pausing` | what an operator elsewhere is told, and what it may ask |
//! | `relearning` | what that teaches the imitator when a session begins |
//! | `following` | a tracker that drifts, followed by confirmed choices |
//! | `saying` | text, notes, events, faults |
//! | `watching` | streams, clocks, gate and recording, while the session runs |
//! | `window` | a display that becomes too slow for flashes |
//! | `ending` | the end of a session, in order |
//! | `state` | state of the person: beside every fork |
//! | `rows` | what rows and orders are made from, shared with the replay |

mod answers;
mod asking;
mod disk;
mod ending;
mod feed;
mod feedback;
mod following;
mod gaze_news;
mod guarding;
mod handing;
mod inputs;
mod keys;
mod learning;
mod masking;
mod pausing;
mod relearning;
mod remembering;
mod rows;
mod saying;
mod state;
mod telling;
mod watching;
mod window;

pub use feedback::FeedbackSetting;
pub use remembering::PersonSetting;
pub use rows::{capped_prior, model_digest, option_rows, tiles_of, why_of};
pub use state::StateSetting;
pub use telling::OperatorSetting;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{never, select};
use razvilka_calibration::{Epochs, Profile};
use razvilka_dsp::units::MonoTime;

use self::disk::Disk;
use self::ending::Ending;
use self::feedback::Feedback;
use self::guarding::Guarding;
use self::handing::Handing;
use self::inputs::{Inputs, SETTLE};
use self::keys::KeysEnds;
use self::learning::Learning;
use self::masking::Masking;
use self::remembering::Remembering;
use self::state::StateEnds;
use self::telling::Telling;
use self::window::FlashWatch;
use super::EngineError;
use super::desk::Desk;
use super::drift::GazeDrift;
use super::latency::LatencyReport;
use super::lines;
use super::question::Question;
use super::streams::Streams;
use crate::choice::{Decider, Step};
use crate::config::Plan;
use crate::decode::{Backend, Cancel};
use crate::fork::{Divergence, Fork, ForkId};
use crate::gate::{GateSettings, Lease};
use crate::marker::Event;
use crate::pipeline::decision::{ChoiceCell, GateThread};
use crate::pipeline::presenter::{MarkerStream, Presenter, Shown};
use crate::pipeline::scribe::{self, Scribe, Texts};
use crate::pipeline::trace::LatencyBook;
use crate::recording::{Capacity, OffsetTap, Recorder, RecordingSummary};
use crate::rt::{self, Granted, Wish};
use crate::session::{ChainHead, Folder, LedgerWriter, SessionFile, SessionRow, TextRecord};
use crate::source::StreamSpec;
use crate::source::lsl::Network;
use crate::view::board::Board;
use crate::view::terminal::View;

/// How often the streams are looked after.
const LOOK_AFTER: Duration = Duration::from_millis(200);
/// How long the loop waits for the decoder before it looks at the gate's records.
const TURN: Duration = Duration::from_millis(2);

/// Everything a session needs.
pub struct Setting<'a> {
    /// What was asked for.
    pub plan: &'a Plan,
    /// The person's calibration.
    pub profile: &'a Profile,
    /// Epochs that its EEG part was fitted on, where they are at hand; without them it is never fitted anew.
    pub epochs: Option<Epochs>,
    /// Where a lost stream is looked for.
    pub network: Network,
    /// The open streams.
    pub streams: Streams,
    /// The engine's marker stream.
    pub markers: MarkerStream,
    /// What it says of itself.
    pub marker_spec: StreamSpec,
    /// The state of the person; `None` leaves it out.
    pub state: Option<StateSetting>,
    /// Dwell feedback; `None` leaves it to the view alone.
    pub feedback: Option<FeedbackSetting>,
    /// What an operator elsewhere is told, and who hears it.
    pub operator: OperatorSetting,
    /// The person's memory of choices; `None` remembers nothing.
    pub person: Option<PersonSetting>,
    /// Seed of the coins by which the imitator is audited: new in every session, and not to be foreseen.
    pub coins: u64,
    /// The language model.
    pub model: Backend,
    /// Where everything goes.
    pub folder: &'a Folder,
    /// The board of the participant window, where there is one.
    pub board: Option<Arc<Board>>,
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
    /// The last row of the ledger; `None` when it could not be told any more.
    pub ledger: Option<ChainHead>,
    /// Where each text begins, and how much of it is prompt.
    pub texts: Vec<TextRecord>,
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
    inputs: Inputs,
    keys: Option<KeysEnds>,
    state: Option<StateEnds>,
    feedback: Option<Feedback>,
    telling: Telling,
    window: Option<FlashWatch>,
    learning: Option<Learning>,
    masking: Option<Masking>,
    remembering: Option<Remembering>,
    /// How far the tracker has drifted; `None` without gaze, or when it is not followed.
    drift: Option<GazeDrift>,
    marker_offsets: OffsetTap,
    model_sha256: String,
    /// The adapter in the model's matrices.
    adapter: Option<String>,
    decider: Decider,
    handing: Handing,
    guarding: Guarding,
    book: LatencyBook,
    /// Raised whenever a stream begins anew: evidence from before is of another epoch.
    lease: Lease,
    next_question: u64,
    question: Option<Question>,
    awaiting: Option<(Question, Step)>,
    postponed: Option<Postponed>,
    /// Texts that are over, and the present one, prompts included.
    past_text: String,
    text: String,
    texts: Vec<TextRecord>,
    position: usize,
    tokens_written: u64,
    /// How differently the text goes on behind the branches of the latest fork, where that was measured.
    divergence: Option<(ForkId, Divergence)>,
    /// Whether a choice could be taken back when the latest fork was offered.
    can_undo: bool,
    answered: u32,
    begun: Instant,
    begun_mono: MonoTime,
    looked_after: Instant,
    /// Whether the session is being ended: nothing is asked any more.
    ending: bool,
    failure: Option<EngineError>,
    warned: Vec<String>,
    /// Kinds of warnings that were told.
    told_of: Vec<&'static str>,
    /// How many of the recorder's remarks were told.
    remarks: usize,
}

/// A fork that is asked as soon as the streams allow it, or when it has waited long enough.
struct Postponed {
    fork: Fork,
    attempt: u32,
    since: Instant,
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
        let adapter = setting.model.adapter();
        let texts = Texts {
            model: setting.model,
            settings: plan.writer_settings(),
            prompt: plan.model.prompt.clone(),
        };
        let pace = plan.model.pace_tokens_per_s;
        let scribe = Scribe::start(texts, Arc::clone(&choice), Cancel::new(), pace)?;
        let mut gate = GateThread::start(gate_settings, wish, choice, scribe.on_choice(wish))?;

        let Streams {
            eeg,
            gaze,
            keys,
            typed,
        } = setting.streams;
        let (mut inputs, notices) = Inputs::start(
            setting.network,
            [eeg, gaze],
            plan,
            profile,
            &recorder,
            &mut gate,
            wish,
        )?;
        let keys = KeysEnds::start(setting.network, keys, typed, &recorder)?;
        let state = setting
            .state
            .map(|state| StateEnds::start(state, plan, profile, &mut inputs, &recorder))
            .transpose()?;

        let feedback = setting
            .feedback
            .map(|feedback| Feedback::start(feedback, &recorder))
            .transpose()?;

        let operator = setting.operator;
        let disk = Disk::watch(folder.path().to_owned());
        let telling = Telling::new(
            operator,
            plan,
            gate_settings,
            &setting.session,
            disk,
            &inputs,
        );

        let imitate = plan.protocol.config().imitate;
        let at_work = setting.person.as_ref().filter(|_| imitate.config().on);
        let beginning = at_work.map(|person| person.beginning(setting.coins, adapter.as_deref()));
        let deputy = beginning
            .as_ref()
            .map(|beginning| beginning.deputy(imitate))
            .transpose()?;
        let remembering = setting
            .person
            .map(|person| {
                let session = setting.session.clone();
                Remembering::start(person, session, model_sha256.clone())
            })
            .transpose()?;

        let learning = Learning::begin(plan, profile, setting.epochs, &inputs)?;
        let error = profile.gaze.as_ref().map(|gaze| &gaze.error);
        let drift = inputs
            .gaze
            .as_ref()
            .and_then(|_| GazeDrift::new(&plan.adaptation, error));

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
            desk: Desk::start(ledger, text_file, folder.reserve().cloned())?,
            inputs,
            keys,
            state,
            feedback,
            telling,
            window: FlashWatch::new(plan, setting.board),
            learning,
            masking: None,
            remembering,
            drift,
            marker_offsets,
            model_sha256,
            adapter,
            decider: Decider::new(plan.protocol, deputy),
            handing: Handing::new(beginning),
            guarding: Guarding::new(plan, &gate_settings),
            book: LatencyBook::new(&plan.budget),
            lease: Lease { epoch: 1 },
            next_question: 0,
            question: None,
            awaiting: None,
            postponed: None,
            past_text: String::new(),
            text: String::new(),
            texts: Vec::new(),
            position: 0,
            tokens_written: 0,
            divergence: None,
            can_undo: false,
            answered: 0,
            begun: now,
            begun_mono: rt::now(),
            looked_after: now,
            ending: false,
            failure: None,
            warned: Vec::new(),
            told_of: Vec::new(),
            remarks: 0,
        })
    }

    /// Lets the filters settle and the clocks be measured, then lets the decoder write.
    fn settle(&mut self) {
        let until = Instant::now() + SETTLE;
        while Instant::now() < until && !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.inputs.watch(&mut self.gate);
        self.look_after();
        self.begun = Instant::now();
        self.begun_mono = rt::now();
        if let Some(state) = &self.state {
            state.begun(self.begun_mono);
        }
        self.begin_to_guard();
        self.hand_over();
        self.tell_decoder(scribe::Ask::Resume);
    }

    fn until_the_end(&mut self) -> Ending {
        let minutes = Duration::from_secs_f64(self.plan.session.minutes_max * 60.0);
        let told = self.scribe.told.clone();
        let no_keys = never();
        let keys = self
            .keys
            .as_ref()
            .map_or(no_keys, |keys| keys.words.clone());
        let operator = self.telling.heard();
        loop {
            select! {
                recv(told) -> told => match told {
                    Ok(told) => self.told(told),
                    Err(_) => self.fail(EngineError::Internal("the decoder's thread ended")),
                },
                recv(keys) -> word => if let Ok(word) = word {
                    self.key_word(word);
                },
                recv(operator) -> heard => if let Ok(heard) = heard {
                    self.operator(heard);
                },
                default(TURN) => {}
            }
            self.drain_records();
            self.feed_back();
            self.look_at_desk();
            self.look_at_memory();
            if self.failure.is_none() {
                self.ask_postponed();
            }
            self.tell_operator();
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
            if self.guarding.stops() {
                return Ending::Guard;
            }
            if self.begun.elapsed() >= minutes {
                return Ending::Time;
            }
        }
    }
}
