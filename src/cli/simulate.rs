//! `razvilka simulate`: the simulated devices and person alone, as LSL outlets.
//!
//! An LSL client and source like any other: it follows the engine's marker stream, whenever an engine comes and goes, and
//! knows nothing else of it.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam::channel;
use razvilka_dsp::contraction::Muscle;
use razvilka_dsp::deliberate::BlinkKind;
use serde_json::json;

use super::participant::Participant;
use crate::sim::{
    self, Devices, Ears, EyeLoss, Fault, Laboratory, MAX_PENDING, Preset, RunError, RunReport,
    SettingsError, SimSettings, Streams, TrackerForm, TrackerSettings,
};
use crate::source::lsl::{self, LslMarkerOutlet, LslMarkers, LslSampleOutlet, Network};
use crate::source::pins::Pins;
use crate::source::{MarkerSource, SourceError, StreamSpec};

/// Name of the engine's marker stream.
pub const ENGINE_NAME: &str = "Razvilka";
/// Type of the engine's marker stream.
pub const ENGINE_TYPE: &str = "Markers";

/// How long one search for the engine takes.
const SEARCH: Duration = Duration::from_millis(500);
/// How long opening the engine's stream may take.
const OPEN: Duration = Duration::from_secs(2);

/// Publish a simulated amplifier, eye tracker and person on LSL.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// From this number comes everything: the person, the noise, each blink
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How strong the P300 is, how noisy the devices, how attentive the person
    #[arg(long, value_enum, default_value_t)]
    pub preset: Preset,
    /// A recorded person in the place of a made-up one
    #[command(flatten)]
    pub participant: Participant,
    /// EEG channels, 1 to 64: the usual 8 of a P300 montage first
    #[arg(
        long,
        value_name = "N",
        default_value_t = 8,
        conflicts_with = "recording"
    )]
    pub eeg_channels: usize,
    /// EEG samples per second, 100 to 10000
    #[arg(
        long,
        value_name = "HZ",
        default_value_t = 250.0,
        conflicts_with = "recording"
    )]
    pub eeg_rate: f64,
    /// Gaze samples per second, 30 to 2000
    #[arg(long, value_name = "HZ", default_value_t = 250.0)]
    pub gaze_rate: f64,
    /// A word the person wants above all others; may be repeated
    #[arg(long = "goal", value_name = "WORD")]
    pub goals: Vec<String>,
    /// Share of forks that the person answers by key as well, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub key_share: f64,
    /// The blink that the person makes on purpose once it has decided: a further signal, where the experiment has blink.on = true
    #[arg(long, value_enum)]
    pub blink: Option<BlinkWord>,
    /// The eye tracker tells of each eye for itself
    #[arg(long)]
    pub two_eyes: bool,
    /// The eye tracker tells the diameter of the pupil, millimetres: a further signal, where the experiment has pupil.on = true
    #[arg(long)]
    pub pupil: bool,
    /// The eye tracker tells how far the lids are apart, millimetres
    #[arg(long)]
    pub openness: bool,
    /// By which words the eye tracker describes its channels
    #[arg(long, value_enum, default_value_t)]
    pub tracker_form: TrackerForm,
    /// One of two eyes is lost: left@30+5 (from 30 s on for 5 s), right@60 or right@fork3 (for good, the latter from the third fork on); may be repeated
    #[arg(long = "eye-lost", value_name = "LOSS", value_parser = eye_loss)]
    pub eyes_lost: Vec<EyeLoss>,
    /// The muscle that the person contracts on purpose once it has decided: a further signal, where the experiment has
    /// contraction.on = true. The cap then has AF7, AF8, T7 and T8 as well
    #[arg(long, value_enum)]
    pub contraction: Option<MuscleWord>,
    /// How often the person swallows, speaks, chews, frowns or clenches its teeth unasked, per minute, 0 to 30
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    pub muscles_per_min: f64,
    /// How fast the person reads and decides, 0.5 to 2
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    pub pace: f64,
    /// A fault: railed=Pz, flat=Oz, noisy=Cz, nan=Cz, copy=Pz:Cz, mains or clench; for a while: nan=Cz@10+0.5, gap@30+2
    /// (start and length in seconds) or railed=Pz@fork3+8 (8 s from the third fork on); may be repeated
    #[arg(long = "fault", value_name = "FAULT", value_parser = fault)]
    pub faults: Vec<Fault>,
    /// Write what the person wanted at each fork to this new file, JSON lines, for scoring
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
    /// Stop after this many seconds
    #[arg(long, value_name = "S")]
    pub duration_s: Option<f64>,
    /// Follow only the engine with this source_id
    #[arg(long, value_name = "ID")]
    pub engine_source_id: Option<String>,
    /// Stay on this machine; the default
    #[arg(long, conflicts_with = "laboratory")]
    pub loopback: bool,
    /// Use the laboratory's LSL configuration: the streams are visible on its network
    #[arg(long)]
    pub laboratory: bool,
    /// LSL session on this machine; streams of other sessions are neither seen nor disturbed
    #[arg(long, value_name = "ID", conflicts_with = "laboratory")]
    pub session_id: Option<String>,
    /// Stop when standard input closes: for a parent process that may die
    #[arg(long)]
    pub until_stdin_closes: bool,
    /// Print the streams, when they are up, and the final report as JSON lines
    #[arg(long)]
    pub json: bool,
}

/// A deliberate blink, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum BlinkWord {
    /// Two, one right after the other.
    Double,
    /// One that stays shut.
    Long,
}

impl BlinkWord {
    const fn kind(self) -> BlinkKind {
        match self {
            Self::Double => BlinkKind::Double,
            Self::Long => BlinkKind::Long,
        }
    }
}

fn eye_loss(text: &str) -> Result<EyeLoss, SettingsError> {
    text.parse()
}

/// A muscle, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum MuscleWord {
    /// Teeth clenched.
    Jaw,
    /// A frown.
    Brow,
}

impl MuscleWord {
    const fn muscle(self) -> Muscle {
        match self {
            Self::Jaw => Muscle::Jaw,
            Self::Brow => Muscle::Brow,
        }
    }
}

fn fault(text: &str) -> Result<Fault, SettingsError> {
    text.parse()
}

/// What will be done: everything checked that can be checked without touching anything.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The laboratory.
    pub settings: SimSettings,
    /// The recorded person, if any; channels and rate of the settings are then the recording's.
    pub participant: Participant,
    /// Where the truth goes.
    pub truth: Option<PathBuf>,
    /// For how long, seconds; `None` until told to stop.
    pub duration_s: Option<f64>,
    /// Which engine is followed.
    pub engine: Pins,
    /// Which network is used.
    pub reach: Reach,
    /// Whether to stop when standard input closes.
    pub until_stdin_closes: bool,
    /// Whether stdout carries JSON lines.
    pub json: bool,
}

/// Which network is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// This machine only, in this session or the usual one.
    Loopback(Option<String>),
    /// As the laboratory's LSL configuration says.
    Laboratory,
}

/// Why the simulation could not run or ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulateError {
    /// A setting is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The recording makes no person.
    #[error("{0}")]
    Recording(String),
    /// A stream could not be opened or published.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The truth file cannot be made.
    #[error(
        "the truth file '{path}' cannot be made: {source}. Choose a new file in a folder that can be written"
    )]
    Truth {
        /// Which file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A device failed while running.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A thread could not be started, or stdout is gone.
    #[error("the simulation cannot go on: {0}")]
    System(#[from] io::Error),
}

impl SimulateError {
    /// The process's exit code: 2 for what was typed, 3 for streams, 6 for the truth file, else 70.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Settings(_) | Self::Truth { .. } => 2,
            Self::Source(_) | Self::Recording(_) | Self::Run(RunError::Send { .. }) => 3,
            Self::Run(RunError::Truth { .. }) => 6,
            Self::System(_) => 70,
        }
    }
}

impl Args {
    /// Checks what was typed.
    ///
    /// # Errors
    /// [`SimulateError::Settings`] with the setting and its range, or [`SimulateError::Source`] for a pin that makes no
    /// sense.
    pub fn plan(&self) -> Result<Plan, SimulateError> {
        let out_of_range = |key, unit, max, got| SettingsError::OutOfRange {
            key,
            unit,
            min: 1.0,
            max,
            got,
        };
        if !(1..=sim::MAX_CHANNELS).contains(&self.eeg_channels) {
            let (max, got) = (sim::MAX_CHANNELS as f64, self.eeg_channels as f64);
            return Err(out_of_range("--eeg-channels", "channels", max, got).into());
        }
        if let Some(got) = self.duration_s
            && !(1.0..=86_400.0).contains(&got)
        {
            return Err(out_of_range("--duration-s", "s", 86_400.0, got).into());
        }
        let channels = SimSettings::montage(self.eeg_channels);
        let settings = SimSettings {
            seed: self.seed,
            preset: self.preset,
            channels: match self.contraction {
                Some(_) => SimSettings::with_muscles(channels),
                None => channels,
            },
            eeg_rate_hz: self.eeg_rate,
            gaze_rate_hz: self.gaze_rate,
            goals: self.goals.clone(),
            key_share: self.key_share,
            pace: self.pace,
            blink_signal: self.blink.map(BlinkWord::kind),
            contraction_signal: self.contraction.map(MuscleWord::muscle),
            muscles_per_min: self.muscles_per_min,
            faults: self.faults.clone(),
            tracker: TrackerSettings {
                two_eyes: self.two_eyes,
                pupil: self.pupil,
                openness: self.openness,
                form: self.tracker_form,
                losses: self.eyes_lost.clone(),
            },
            ..SimSettings::default()
        };
        if self.participant.recording.is_some() {
            // Faults name channels that only the recording knows: checked with it.
            let faults = Vec::new();
            SimSettings {
                faults,
                ..settings.clone()
            }
            .check()?;
        } else {
            settings.check()?;
        }
        let engine = Pins {
            name: Some(ENGINE_NAME.to_owned()),
            kind: Some(ENGINE_TYPE.to_owned()),
            source_id: self.engine_source_id.clone(),
            ..Pins::default()
        };
        engine.check()?;
        Ok(Plan {
            settings,
            participant: self.participant.clone(),
            truth: self.truth.clone(),
            duration_s: self.duration_s,
            engine,
            reach: if self.laboratory {
                Reach::Laboratory
            } else {
                Reach::Loopback(self.session_id.clone())
            },
            until_stdin_closes: self.until_stdin_closes,
            json: self.json,
        })
    }
}

/// Runs the command: checks `args`, then simulates until `stop` is raised or the planned time is over.
///
/// `stop` belongs to the process: whoever parses the command line raises it on SIGINT and SIGTERM
/// ([`super::signals::stop_flag`]).
///
/// # Errors
/// [`SimulateError`], with the process's exit code.
pub fn run(args: &Args, stop: &Arc<AtomicBool>) -> Result<(), SimulateError> {
    let plan = args.plan()?;
    if plan.until_stdin_closes {
        stop_with_stdin(Arc::clone(stop))?;
    }
    execute(&plan, &mut io::stdout().lock(), stop)?;
    Ok(())
}

/// Publishes the devices and lets the person follow the engine until `stop`, or until the planned end.
///
/// `data` is stdout: with `json` it gets one line `{"streams":…}` when the outlets are up and one line `{"report":…}` at
/// the end. What a person should know goes to stderr.
///
/// # Errors
/// [`SimulateError`] when something cannot be opened, or fails on the way.
pub fn execute(
    plan: &Plan,
    data: &mut dyn Write,
    stop: &AtomicBool,
) -> Result<RunReport, SimulateError> {
    let recorded = plan
        .participant
        .load()
        .map_err(|failure| SimulateError::Recording(failure.message))?;
    let settings = match &recorded {
        Some(recorded) => {
            let settings = plan.settings.clone().with_recording(recorded);
            settings.check_recorded(recorded)?;
            settings
        }
        None => plan.settings.clone(),
    };
    let network = match &plan.reach {
        Reach::Loopback(None) => Network::loopback()?,
        Reach::Loopback(Some(session)) => Network::loopback_session(session)?,
        Reach::Laboratory => Network::laboratory()?,
    };
    let mut truth: Box<dyn Write> = match &plan.truth {
        None => Box::new(io::sink()),
        // A truth file that exists belongs to another run.
        Some(path) => Box::new(
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(path)
                .map_err(|source| SimulateError::Truth {
                    path: path.display().to_string(),
                    source,
                })?,
        ),
    };
    let streams = match &recorded {
        Some(recorded) => Streams::with_recording(&settings, recorded),
        None => Streams::of(&settings),
    };
    let eeg = LslSampleOutlet::new(network, &streams.eeg)?;
    let gaze = LslSampleOutlet::new(network, &streams.gaze)?;
    let keys = LslMarkerOutlet::new(network, &streams.keys)?;
    announce(
        plan,
        &settings,
        &network,
        [eeg.spec(), gaze.spec(), keys.spec()],
        data,
    )?;
    let mut devices = Devices {
        eeg: Box::new(eeg),
        gaze: Box::new(gaze),
        keys: Box::new(keys),
    };
    let start_s = lsl::clock();
    let mut laboratory = match recorded {
        Some(recorded) => Laboratory::with_recording(&settings, recorded, start_s)?,
        None => Laboratory::new(&settings, start_s)?,
    };
    let until_s = plan.duration_s.map(|duration| start_s + duration);
    let (tell, heard) = channel::bounded(MAX_PENDING);
    let ears = Ears::default();
    // Ours alone: the listener also ends when the devices fail.
    let over = AtomicBool::new(false);
    let report = thread::scope(|scope| -> Result<RunReport, SimulateError> {
        thread::Builder::new()
            .name("sim-ears".to_owned())
            .spawn_scoped(scope, || {
                let mut search = Search::new(network, &plan.engine);
                sim::listen(|| search.find(), &tell, &ears, &over);
            })?;
        let _quiet = Raised(&over);
        let report = sim::run(
            &mut laboratory,
            &mut devices,
            &heard,
            &lsl::clock,
            truth.as_mut(),
            until_s,
            stop,
        );
        Ok(report?)
    })?;
    finish(plan, &report, &ears, data)?;
    Ok(report)
}

/// Raises a flag at the end of its scope, however that comes.
struct Raised<'a>(&'a AtomicBool);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Raises `stop` when standard input closes. The thread ends with the process; it holds nothing.
fn stop_with_stdin(stop: Arc<AtomicBool>) -> io::Result<()> {
    thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            // What comes is of no interest, only that it ends; an error is an end too.
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            stop.store(true, Ordering::Relaxed);
        })
        .map(|_| ())
}

/// Looks for the engine, and says on stderr what is the matter, but each thing once.
struct Search<'a> {
    network: Network,
    pins: &'a Pins,
    said: String,
}

impl<'a> Search<'a> {
    fn new(network: Network, pins: &'a Pins) -> Self {
        Self {
            network,
            pins,
            said: String::new(),
        }
    }

    fn find(&mut self) -> Result<Option<Box<dyn MarkerSource>>, SourceError> {
        let found = self
            .network
            .resolve(self.pins, SEARCH)
            .and_then(|stream| LslMarkers::open(&stream, OPEN));
        match found {
            Ok(markers) => {
                self.say(format!(
                    "following the engine at {}",
                    markers.spec().hostname
                ));
                Ok(Some(Box::new(markers)))
            }
            Err(SourceError::NotFound { .. }) => {
                self.say(format!("waiting for an engine: {}", self.pins));
                Ok(None)
            }
            Err(error) => {
                self.say(error.to_string());
                Err(error)
            }
        }
    }

    fn say(&mut self, what: String) {
        if what != self.said {
            eprintln!("simulate: {what}");
            self.said = what;
        }
    }
}

fn announce(
    plan: &Plan,
    settings: &SimSettings,
    network: &Network,
    specs: [&StreamSpec; 3],
    data: &mut dyn Write,
) -> io::Result<()> {
    eprintln!(
        "simulate: seed {}, {:?}, {} EEG channels at {} Hz{}, gaze at {} Hz, on {}",
        settings.seed,
        settings.preset,
        settings.channels.len(),
        settings.eeg_rate_hz,
        plan.participant
            .recording
            .as_ref()
            .map_or_else(String::new, |file| format!(" of {}", file.display())),
        settings.gaze_rate_hz,
        network.describe(),
    );
    if plan.json {
        let pins = specs.map(Pins::of);
        writeln!(data, "{}", json!({ "streams": pins }))?;
        data.flush()?;
    }
    Ok(())
}

fn finish(plan: &Plan, report: &RunReport, ears: &Ears, data: &mut dyn Write) -> io::Result<()> {
    let unreadable = ears.unreadable.load(Ordering::Relaxed);
    let overrun = ears.overrun.load(Ordering::Relaxed);
    let engines = ears.engines.load(Ordering::Relaxed);
    eprintln!(
        "simulate: sent {} EEG and {} gaze samples and {} keys; {} forks; heard {} markers of {engines} engines, {} late, {} lost or unreadable; held up for {:.0} ms at most",
        report.eeg_samples,
        report.gaze_samples,
        report.keys,
        report.forks,
        report.heard + report.late,
        report.late,
        report.refused + unreadable + overrun,
        1e3 * report.longest_tick_s,
    );
    if plan.json {
        let line = json!({ "report": {
            "eeg_samples": report.eeg_samples,
            "gaze_samples": report.gaze_samples,
            "keys": report.keys,
            "forks": report.forks,
            "markers_in_time": report.heard,
            "markers_late": report.late,
            "markers_refused": report.refused,
            "markers_unreadable": unreadable,
            "markers_overrun": overrun,
            "engines": engines,
            "longest_tick_s": report.longest_tick_s,
        }});
        writeln!(data, "{line}")?;
        data.flush()?;
    }
    Ok(())
}
