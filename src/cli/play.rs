//! What `run` and `demo` share: a whole session, from open streams to the report.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use razvilka_calibration::{Profile, epochs_beside};

use super::calibrate;
use super::exit::{Exit, Failure};
use super::recorded;
use crate::config::Plan;
use crate::decode::{Model, ModelError};
use crate::engine::calibrate::{Progress, record};
use crate::engine::conduct::{Played, Setting, StateSetting, conduct};
use crate::engine::streams::{Streams, marker_outlet, state_outlet, state_spec};
use crate::engine::{EngineError, lines};
use crate::pipeline::presenter::MarkerStream;
use crate::pipeline::state::StateLine;
use crate::recording::Recording;
use crate::report;
use crate::rt;
use crate::session::{
    ConfigRecord, Folder, Manifest, ModelRecord, SessionFile, StreamRecord, Summary, Truth,
    sha256_file,
};
use crate::source::lsl::{LslMarkerOutlet, Network};
use crate::source::terminal::{KEYS, TerminalKeys};
use crate::source::{MarkerSource, SampleSink, StreamSpec};
use crate::view::terminal::View;
use crate::view::watch::ForkWatch;

/// Folder of the calibration inside a session folder.
const CALIBRATION: &str = "calibration";
/// How long a listener is awaited before a stop is looked for.
const LISTENER_LOOK: Duration = Duration::from_millis(200);
/// Recording of a live calibration, inside its folder.
const CALIBRATION_FILE: &str = "calibration.xdf";
/// Gaze error beyond which gaze would do more harm than good, degrees.
const GAZE_ERROR_MAX_DEG: f64 = 6.0;

/// What a session is made of.
pub struct Play<'a> {
    /// What was asked for.
    pub plan: Plan,
    /// The network, settled.
    pub network: Network,
    /// The session folder, to be made.
    pub out: PathBuf,
    /// The command and its arguments, for the manifest.
    pub command: Vec<String>,
    /// The plan's model, where it was loaded before.
    pub model: Option<Arc<Model>>,
    /// Identity of the engine's marker stream.
    pub marker_session: String,
    /// How long somebody is awaited who listens to the markers; a simulated person must.
    pub listener: Option<Duration>,
    /// What the person sees.
    pub view: &'a mut dyn View,
    /// Raised when the session is to stop.
    pub stop: Arc<AtomicBool>,
}

/// What is left when the session is over.
pub struct Left {
    /// The folder.
    pub folder: Folder,
    /// What came of it; `None` when it was stopped before its first fork.
    pub played: Option<Played>,
    manifest: Manifest,
}

/// Loads the model that the plan names.
///
/// # Errors
/// [`Exit::Model`] with what is wrong with it.
pub fn load_model(plan: &Plan) -> Result<Arc<Model>, Failure> {
    let model = match &plan.model.path {
        Some(path) => Model::load(path),
        None => Model::embedded(),
    };
    model
        .map(Arc::new)
        .map_err(|error: ModelError| Failure::new(Exit::Model, error))
}

/// Finds out whether the session folder can be made, and makes nothing.
///
/// # Errors
/// [`Exit::Usage`] when it cannot.
pub fn check_folder(out: &Path) -> Result<(), Failure> {
    Folder::check(out).map_err(|error| Failure::new(Exit::Usage, error))
}

fn load_profile(path: &Path) -> Result<Profile, Failure> {
    Profile::load(path).map_err(|error| Failure::new(Exit::Usage, error))
}

/// Whether the profile fits the EEG stream that was found.
fn check_profile(plan: &Plan, profile: &Profile, streams: &Streams) -> Result<(), EngineError> {
    if let (Some(section), Some(source)) = (&plan.eeg, &streams.eeg) {
        let part = lines::LineError::NoPart { part: "eeg" };
        let calibration = profile.eeg.as_ref().ok_or(part)?;
        lines::eeg_line(section, calibration, source.spec(), None)?;
    }
    Ok(())
}

/// Plays a session: calibrates if need be, asks, records. The folder is complete but for summary and report, which
/// [`conclude`] makes.
///
/// # Errors
/// [`Failure`] with the exit code of what went wrong before the session began. What goes wrong later is in [`Left`].
pub fn play(play: Play<'_>) -> Result<Left, Failure> {
    let Play {
        plan,
        network,
        out,
        command,
        model,
        marker_session,
        listener,
        view,
        stop,
    } = play;
    // Everything that may be missing is looked for before the folder is made: a session that cannot begin leaves none.
    check_folder(&out)?;
    let profile = plan.calibration.profile.as_deref();
    let profile = profile.map(load_profile).transpose()?;
    let fork_open = Arc::new(AtomicBool::new(false));
    let view = &mut ForkWatch::new(view, Arc::clone(&fork_open));
    let typed = if plan.typed_keys() {
        let keys = TerminalKeys::open(Arc::clone(&stop), fork_open)?;
        Some(Box::new(keys) as Box<dyn MarkerSource>)
    } else {
        None
    };
    let model = model.map_or_else(|| load_model(&plan), Ok)?;
    let unlocked = if plan.realtime.lock_memory {
        rt::lock_memory().err()
    } else {
        None
    };
    let streams = Streams::open(network, &plan, typed, &stop)?;
    if let Some(profile) = &profile {
        check_profile(&plan, profile, &streams)?;
    }
    let (marker_spec, outlet) = marker_outlet(network, &marker_session)?;
    let mut state = open_state(&plan, network, &marker_session, view);
    if let Some(wait) = listener {
        await_listener(&outlet, wait, &stop)?;
    }

    let folder = Folder::create(&out).map_err(|error| Failure::new(Exit::Usage, error))?;
    let mut manifest = Manifest::begin(command, ConfigRecord::new(plan.to_toml()));
    manifest.seeds.insert("session".into(), plan.session.seed);
    manifest.models = models(&model);
    manifest.streams = stream_records(&streams, &marker_spec, state.as_ref());
    if let Some(reason) = unlocked {
        manifest
            .uncertified
            .push(format!("memory could not be locked: {reason}"));
    }
    write_manifest(&folder, &manifest)?;
    if plan.typed_keys() {
        let _ = view.note(KEYS);
    }
    let markers = MarkerStream::new(Box::new(outlet), Arc::new(AtomicU64::new(0)));

    let (profile_path, streams, markers) = match &plan.calibration.profile {
        Some(path) => (Some(path.clone()), streams, markers),
        None if !plan.needs_profile() => (None, streams, markers),
        None => {
            let live = calibrate_live(&plan, streams, markers, &marker_spec, &folder, &stop, view)?;
            match live {
                Some((path, streams, markers)) => (Some(path), streams, markers),
                None => {
                    manifest.end(None);
                    write_manifest(&folder, &manifest)?;
                    return Ok(Left {
                        folder,
                        played: None,
                        manifest,
                    });
                }
            }
        }
    };
    let profile = match profile_path {
        Some(path) => {
            let profile = load_profile(&path)?;
            let kept = folder
                .path()
                .join(CALIBRATION)
                .join(calibrate::PROFILE_FILE);
            if kept != path {
                keep_profile(&path, &kept)?;
            }
            manifest.profile_sha256 = sha256_file(&kept).ok().map(|(digest, _)| digest);
            note_calibration(&profile, view);
            // A calibration of another day says nothing of today's baseline: only the one just recorded does.
            if plan.calibration.profile.is_none()
                && let Some(state) = &mut state
            {
                let recorded = folder.path().join(CALIBRATION).join(CALIBRATION_FILE);
                state.line = baseline_of(&plan, &profile, &streams, &recorded);
            }
            profile
        }
        None => lines::profile_of_keys(),
    };
    write_manifest(&folder, &manifest)?;
    let kept = folder
        .path()
        .join(CALIBRATION)
        .join(calibrate::PROFILE_FILE);
    let epochs = lines::epochs_of(&plan.adaptation, &profile, &kept)
        .map_err(|error| Failure::new(Exit::Usage, error))?;

    let setting = Setting {
        plan: &plan,
        profile: &profile,
        epochs,
        network,
        streams,
        markers,
        marker_spec,
        state,
        model,
        folder: &folder,
        session: manifest.session.clone(),
        started_utc: manifest.started_utc.clone(),
        view,
        stop,
    };
    let conducted = conduct(setting);
    // A disk that is full takes what remains to be said of the session.
    folder.reserve().inspect(|reserve| reserve.release());
    let played = conducted.inspect_err(|error| {
        manifest
            .recording_incomplete
            .push(format!("the session could not be begun: {error}"));
        manifest.end(None);
        // The error that is told is the first one.
        let _ = folder.write_manifest(&manifest);
    })?;
    for granted in &played.granted {
        if let Err(reason) = &granted.priority {
            manifest.uncertified.push(format!(
                "thread {}: no real-time priority: {reason}",
                granted.thread
            ));
        }
    }
    manifest.recording_incomplete = played
        .recording
        .incomplete
        .iter()
        .map(ToString::to_string)
        .collect();
    manifest
        .recording_incomplete
        .extend(played.warnings.iter().cloned());
    if let Some(failure) = &played.failure {
        manifest
            .recording_incomplete
            .push(format!("the session ended early: {failure}"));
    }
    if let Err(error) = folder.write_json(SessionFile::Latency, &played.latency) {
        manifest.recording_incomplete.push(error.to_string());
    }
    manifest.text_sha256 = sha256_file(&folder.file(SessionFile::Text))
        .ok()
        .map(|(digest, _)| digest);
    manifest.end(played.ledger.clone());
    write_manifest(&folder, &manifest)?;
    Ok(Left {
        folder,
        played: Some(played),
        manifest,
    })
}

/// Writes summary and report. `truth` names what the person wanted, where that is known.
///
/// # Errors
/// [`Exit::RecordingIncomplete`] when they cannot be written.
pub fn conclude(left: &Left, truth: Option<&Path>) -> Result<Summary, Failure> {
    let incomplete = Exit::RecordingIncomplete;
    let truth = truth
        .map(Truth::read)
        .transpose()
        .map_err(|error| Failure::new(incomplete, error))?;
    let written = report::write(left.folder.path(), truth.as_ref())
        .map_err(|error| Failure::new(incomplete, error))?;
    left.folder
        .write_json(SessionFile::Summary, &written.summary)
        .map_err(|error| Failure::new(incomplete, error))?;
    Ok(written.summary)
}

/// How the program ends after this session.
#[must_use]
pub fn exit_of(left: &Left) -> Option<Failure> {
    let played = left.played.as_ref()?;
    if let Some(failure) = &played.failure {
        return Some(Failure::said(exit_code(failure), failure.to_string()));
    }
    (!left.manifest.recording_incomplete.is_empty()).then(|| {
        Failure::said(
            Exit::RecordingIncomplete,
            format!(
                "the recording is incomplete: {}",
                left.manifest.recording_incomplete.join("; ")
            ),
        )
    })
}

/// The exit code of an engine's error.
#[must_use]
pub fn exit_code(error: &EngineError) -> Exit {
    match error {
        EngineError::Source(_) | EngineError::Lost { .. } | EngineError::PoorSignal => Exit::Source,
        EngineError::Line(lines::LineError::Source(_)) => Exit::Source,
        EngineError::Line(_) | EngineError::Settings(_) | EngineError::Folder(_) => Exit::Usage,
        EngineError::Model(_) | EngineError::Decoder(_) => Exit::Model,
        EngineError::Recording(_)
        | EngineError::Ledger(_)
        | EngineError::Io(_)
        | EngineError::Unrecorded { .. }
        | EngineError::DiskStuck => Exit::RecordingIncomplete,
        EngineError::Internal(_) => Exit::Internal,
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::new(exit_code(&error), error)
    }
}

fn write_manifest(folder: &Folder, manifest: &Manifest) -> Result<(), Failure> {
    folder
        .write_manifest(manifest)
        .map_err(|error| Failure::new(Exit::RecordingIncomplete, error))
}

fn models(model: &Model) -> Vec<ModelRecord> {
    let card = model.card();
    let record = |file: &crate::decode::ModelFile| ModelRecord {
        role: "base".into(),
        name: format!("{}/{}", card.name, file.name),
        bytes: file.bytes,
        sha256: file.sha256.clone(),
    };
    card.files.iter().map(record).collect()
}

/// The stream that tells the state of the person. Without a port for it the session goes on, and records it all the same.
fn open_state(
    plan: &Plan,
    network: Network,
    session: &str,
    view: &mut dyn View,
) -> Option<StateSetting> {
    // Without EEG there is nothing to publish: the time on task stands in the ledger.
    if !plan.state.on || plan.eeg.is_none() {
        return None;
    }
    let (spec, sink) = match state_outlet(network, session) {
        Ok((spec, outlet)) => (spec, Some(Box::new(outlet) as Box<dyn SampleSink>)),
        Err(error) => {
            let _ = view.note(&format!(
                "the state is recorded, but not published: {error}"
            ));
            (state_spec(session), None)
        }
    };
    Some(StateSetting {
        spec,
        sink,
        line: None,
    })
}

/// A line that has seen the EEG of the calibration just recorded; `None` when it cannot be read: then the session's own
/// beginning is the baseline.
fn baseline_of(
    plan: &Plan,
    profile: &Profile,
    streams: &Streams,
    recorded: &Path,
) -> Option<StateLine> {
    let (section, calibration) = (plan.eeg.as_ref()?, profile.eeg.as_ref()?);
    let spec = streams.eeg.as_ref()?.spec();
    let mut line = lines::state_line(section, &plan.state, &calibration.path, spec).ok()?;
    let recording = Recording::open(recorded).ok()?;
    let same = |of: &StreamSpec| {
        (&of.name, &of.kind, &of.source_id) == (&spec.name, &spec.kind, &spec.source_id)
    };
    let stream = recording.streams.iter().find(|s| same(&s.spec))?;
    let mut values = Vec::with_capacity(stream.channels());
    for (sample, stamp) in stream.raw_stamps.iter().enumerate() {
        values.clear();
        // What was recorded as float32 comes back as it was.
        values.extend(stream.numbers(sample)?.iter().map(|value| *value as f32));
        line.sample(*stamp, &values);
    }
    line.restart();
    Some(line)
}

fn stream_records(
    streams: &Streams,
    markers: &StreamSpec,
    state: Option<&StateSetting>,
) -> Vec<StreamRecord> {
    let specs = [
        ("eeg", streams.eeg.as_ref().map(|source| source.spec())),
        ("gaze", streams.gaze.as_ref().map(|source| source.spec())),
        ("keys", streams.keys.as_ref().map(|source| source.spec())),
        (
            "terminal",
            streams.terminal.as_ref().map(|source| source.spec()),
        ),
        ("markers", Some(markers)),
        ("state", state.map(|state| &state.spec)),
    ];
    specs
        .into_iter()
        .filter_map(|(role, spec)| {
            Some(StreamRecord {
                role: role.into(),
                spec: spec?.clone(),
            })
        })
        .collect()
}

fn await_listener(
    outlet: &LslMarkerOutlet,
    wait: Duration,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let begun = Instant::now();
    while begun.elapsed() < wait && !stop.load(Ordering::Relaxed) {
        if outlet.wait_for_consumers(LISTENER_LOOK) {
            return Ok(());
        }
    }
    Err(Failure::said(
        Exit::Source,
        format!(
            "nobody listened to the marker stream within {} s; is the simulated person running?",
            wait.as_secs()
        ),
    ))
}

fn keep_profile(from: &Path, to: &Path) -> Result<(), Failure> {
    let copy = || -> std::io::Result<()> {
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // Epochs that the profile was fitted on; older profiles have none.
        let epochs = epochs_beside(from);
        if epochs.is_file() {
            std::fs::copy(epochs, epochs_beside(to))?;
        }
        std::fs::copy(from, to).map(|_| ())
    };
    copy().map_err(|error| {
        Failure::said(
            Exit::Usage,
            format!(
                "the profile {} could not be kept with the session: {error}",
                from.display()
            ),
        )
    })
}

type Calibrated = (PathBuf, Streams, MarkerStream);

/// Runs the paradigm, fits, and writes the calibration's folder; `None` when it was stopped.
fn calibrate_live(
    plan: &Plan,
    streams: Streams,
    markers: MarkerStream,
    marker_spec: &StreamSpec,
    folder: &Folder,
    stop: &Arc<AtomicBool>,
    view: &mut dyn View,
) -> Result<Option<Calibrated>, Failure> {
    let out = folder.path().join(CALIBRATION);
    std::fs::create_dir_all(&out).map_err(|error| {
        Failure::said(
            Exit::Usage,
            format!("{} cannot be made: {error}", out.display()),
        )
    })?;
    let file = out.join(CALIBRATION_FILE);
    let steps = if plan.gaze.is_some() {
        plan.calibration.points + plan.calibration.check_points
    } else {
        0
    };
    let blocks = if plan.eeg.is_some() {
        plan.calibration.blocks
    } else {
        0
    };
    let bar = progress_bar(u64::from(steps + blocks));
    let begun = Instant::now();
    let done = record(
        plan,
        streams,
        markers,
        marker_spec,
        &file,
        stop,
        &mut |progress| {
            let (position, message) = match progress {
                Progress::Point(n, of) => (n - 1, format!("gaze point {n} of {of}")),
                Progress::Blink(n, of) => (steps, format!("blink when asked: {n} of {of}")),
                Progress::Block(n, of) => (steps + n - 1, format!("flash block {n} of {of}")),
            };
            bar.set_position(u64::from(position));
            bar.set_message(message);
        },
    )?;
    bar.finish_and_clear();
    if done.stopped {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        return Err(Failure::said(
            Exit::Source,
            "a stream was lost during calibration; check the devices and start again",
        ));
    }
    let args = calibrate::Args {
        prior_from: Vec::new(),
        blink_channel: None,
        xdf: vec![file],
        out: out.clone(),
        force: false,
        signal: calibrate::SignalOptions::of(&plan.filter, &plan.epoch),
        quality: plan.quality.clone(),
        streams: read_as(plan),
    };
    let mut talk = std::io::stderr();
    calibrate::run(&args, &mut talk)?;
    let _ = view.note(&format!(
        "calibrated in {:.0} s: {}",
        begun.elapsed().as_secs_f64(),
        out.display()
    ));
    Ok(Some((
        out.join(calibrate::PROFILE_FILE),
        done.streams,
        done.markers,
    )))
}

/// The streams of a live calibration, read as the plan reads them.
fn read_as(plan: &Plan) -> recorded::Streams {
    let section = plan.eeg.as_ref();
    let channels = section.and_then(|eeg| eeg.use_channels.clone());
    let gaze = plan.gaze.as_ref().map(|gaze| recorded::GazeChannels {
        x: Some(gaze.x.clone()),
        y: Some(gaze.y.clone()),
        confidence: gaze.confidence.clone(),
        confidence_min: Some(gaze.confidence_min),
    });
    recorded::Streams {
        channels: channels.unwrap_or_default(),
        gaze: gaze.unwrap_or_default(),
        ..recorded::Streams::default()
    }
}

fn note_calibration(profile: &Profile, view: &mut dyn View) {
    let mut words = Vec::new();
    if let Some(eeg) = &profile.eeg {
        let auc = &eeg.metrics.auc;
        words.push(format!(
            "P300 AUC {:.3} (95 % {:.3} to {:.3}, n = {}), reliability {:.2}",
            auc.value, auc.ci_low, auc.ci_high, eeg.metrics.epochs, eeg.reliability
        ));
    }
    if let Some(gaze) = &profile.gaze {
        words.push(format!("gaze error {}", gaze.accuracy_in_words()));
        if gaze.error.sd_x_deg.hypot(gaze.error.sd_y_deg) > GAZE_ERROR_MAX_DEG {
            words.push("gaze is too inaccurate to choose tiles: calibrate again".into());
        }
    }
    let _ = view.note(&words.join("; "));
}

/// A bar on stderr; silent when stderr is no terminal.
#[must_use]
pub fn progress_bar(length: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    // The template is a constant that a test parses.
    if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} [{bar:30}] {msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
