//! What `run` and `demo` share: a whole session, from open streams to the report.

mod calibrating;
mod ending;
mod frames;
mod learnt;
mod manifest;
mod mark;
mod operator;
mod person;
mod progress;

pub use ending::{conclude, exit_code, exit_of};
pub use learnt::open_model_of_person;
pub use progress::progress_bar;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use razvilka_calibration::Profile;

use self::calibrating::{
    CALIBRATION, CALIBRATION_FILE, baseline_of, calibrate_live, keep_profile, note_calibration,
};
use self::frames::check_frames;
use self::manifest::{chosen, models, stream_records, write_manifest};
use self::mark::follow_gaze;
use self::operator::open_operator;
use self::person::{coins, open_person};
use super::calibrate;
use super::exit::{Exit, Failure};
use super::model::{open_adapted, open_server};
use crate::config::{Plan, is_a_server};
use crate::decode::{Backend, Embedder, LoadSettings, Model, Threads};
use crate::engine::conduct::{FeedbackSetting, Played, Setting, StateSetting, conduct};
use crate::engine::streams::{
    Streams, feedback_outlet, feedback_spec, marker_outlet, measured_rate_hz, state_outlet,
    state_spec,
};
use crate::engine::{EngineError, lines};
use crate::pipeline::presenter::MarkerStream;
use crate::rt;
use crate::session::{ConfigRecord, Folder, Manifest, SessionFile, sha256_file};
use crate::source::lsl::{LslMarkerOutlet, Network};
use crate::source::terminal::{KEYS, TerminalKeys};
use crate::source::{MarkerSource, SampleSink, StreamSpec};
use crate::view::board::{Board, BoardSurface};
use crate::view::presses::WindowKeys;
use crate::view::surface::StimulusSurface;
use crate::view::terminal::View;
use crate::view::watch::ForkWatch;

/// How long a listener is awaited before a stop is looked for.
const LISTENER_LOOK: Duration = Duration::from_millis(200);

/// How long somebody is awaited who shows gaze points: the first marker is lost on who comes later.
const POINTS_LISTENER: Duration = Duration::from_secs(5);

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
    pub model: Option<Backend>,
    /// Identity of the session, also in the `source_id` of each of its streams.
    pub marker_session: String,
    /// How long somebody is awaited who listens to the markers; a simulated person must.
    pub listener: Option<Duration>,
    /// What the person sees.
    pub view: &'a mut dyn View,
    /// The board of the participant window, where there is one.
    pub board: Option<Arc<Board>>,
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

/// The model that the plan names, wherever it is.
///
/// # Errors
/// [`Exit::Model`] with what is wrong with it.
pub fn open_model(plan: &Plan) -> Result<Backend, Failure> {
    match plan.model.path.as_deref().filter(|path| is_a_server(path)) {
        Some(address) if plan.model.embedder.is_some() => {
            let said = format!(
                "{}: model.embedder judges the branches of a model that is here; leave it out with a server",
                address.display()
            );
            Err(Failure::said(Exit::Usage, said))
        }
        Some(address) => open_server(address, &plan.server),
        None => Ok(load_model(plan)?.into()),
    }
}

/// Loads the model that the plan names, and the sentence-embedding model beside it.
///
/// # Errors
/// [`Exit::Model`] with what is wrong with it.
pub fn load_model(plan: &Plan) -> Result<Arc<Model>, Failure> {
    let model = loaded(plan)?;
    let how = plan.decode.clone();
    let threads = Threads {
        count: how.threads as usize,
        begin: Some(Arc::new(move |number| {
            rt::stand_back(how.nice, how.cpu(number));
        })),
    };
    let ready = model.with_threads(threads);
    let refused = |error| {
        Failure::said(
            Exit::Model,
            format!("the system starts no decoding threads: {error}. Set decode.threads = 1"),
        )
    };
    ready.map(Arc::new).map_err(refused)
}

/// As [`load_model`], with no decoding threads yet.
///
/// # Errors
/// As [`load_model`].
pub(in crate::cli) fn loaded(plan: &Plan) -> Result<Model, Failure> {
    let settings = LoadSettings {
        precision: plan.decode.precision,
        text_tokens: plan.writer.context_tokens_max as usize,
        ..LoadSettings::default()
    };
    let named = plan.model.path.as_deref();
    let model = open_adapted(named, &settings, plan.model.adapter.as_deref())?;
    // It has a say in what is a fork.
    Ok(match &plan.model.embedder {
        Some(folder) => model.with_embedder(Arc::new(Embedder::load(folder)?)),
        None => model,
    })
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

/// Whether the profile fits the streams that were found.
///
/// # Errors
/// [`EngineError`] with the first thing that does not fit.
pub(super) fn check_profile(
    plan: &Plan,
    profile: &Profile,
    eeg: Option<&StreamSpec>,
    gaze: Option<&StreamSpec>,
) -> Result<(), EngineError> {
    if let (Some(section), Some(spec)) = (&plan.eeg, eeg) {
        let part = lines::LineError::NoPart { part: "eeg" };
        let calibration = profile.eeg.as_ref().ok_or(part)?;
        let mut line = lines::eeg_line(section, calibration, spec, None)?;
        lines::listen_for_contractions(&mut line, plan, profile, spec)?;
    }
    if let (Some(section), Some(spec)) = (&plan.gaze, gaze) {
        let mut line = lines::gaze_line(section, plan, profile.gaze.as_ref(), spec)?;
        lines::listen_for_blinks(&mut line, section, plan, profile, spec)?;
        lines::watch_pupils(&mut line, plan, profile, spec)?;
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
        mut plan,
        network,
        out,
        command,
        model,
        marker_session,
        listener,
        view,
        board,
        stop,
    } = play;
    // Everything that may be missing is looked for before the folder is made: a session that cannot begin leaves none.
    check_folder(&out)?;
    let profile = plan.calibration.profile.as_deref();
    let profile = profile.map(load_profile).transpose()?;
    let fork_open = Arc::new(AtomicBool::new(false));
    let view = &mut ForkWatch::new(view, Arc::clone(&fork_open));
    let mut typed = Vec::new();
    if plan.typed_keys() {
        let keys = TerminalKeys::open(Arc::clone(&stop), fork_open)?;
        typed.push(Box::new(keys) as Box<dyn MarkerSource>);
    }
    if let Some(board) = &board {
        check_frames(&plan, board, &stop)?;
        if plan.window_keys() {
            typed.push(Box::new(WindowKeys::new(board)));
        }
    }
    let model = match model {
        Some(model) => model,
        None => open_model_of_person(&mut plan, &mut |said| {
            let _ = view.note(said);
        })?,
    };
    let person = open_person(&plan, &model, view)?;
    let coins = coins()?;
    if plan.protocol.config().imitate.config().on && person.is_none() {
        let _ = view.note(
            "protocol.imitate.on = true, but there is nobody whose choices may be learnt: every fork is asked as ever. Give --person NAME, who has agreed to learning",
        );
    }
    let unlocked = if plan.realtime.lock_memory {
        rt::lock_memory().err()
    } else {
        None
    };
    let mut streams = Streams::open(network, &plan, typed, &stop)?;
    // What was measured becomes part of the plan, so that a replay reads the stream as the session did.
    if let (Some(section), Some(source)) = (&mut plan.gaze, &mut streams.gaze)
        && lines::gaze_rate_hz(section, source.spec()) == 0.0
    {
        section.rate_hz = measured_rate_hz(source.as_mut())?;
        let _ = view.note(&format!(
            "the gaze stream declares no rate: {} Hz as measured",
            section.rate_hz
        ));
    }
    if let Some(profile) = &profile {
        check_profile(
            &plan,
            profile,
            streams.eeg.as_deref().map(|source| source.spec()),
            streams.gaze.as_deref().map(|source| source.spec()),
        )?;
    }
    let (marker_spec, outlet) = marker_outlet(network, &marker_session)?;
    let mut state = open_state(&plan, network, &marker_session, view);
    let feedback = open_feedback(&plan, network, &marker_session, view);
    let operator = open_operator(&plan, network, &marker_session, &stop, view)?;
    if let Some(wait) = listener {
        await_listener(&outlet, wait, &stop)?;
    } else if profile.is_none()
        && plan.gaze.is_some()
        && await_listener(&outlet, POINTS_LISTENER, &stop).is_err()
    {
        let _ = view.note(
            "nobody listens to the marker stream yet: what shows the gaze points must, or none will be looked at",
        );
    }

    let folder = Folder::create(&out).map_err(|error| Failure::new(Exit::Usage, error))?;
    let mut manifest = Manifest::begin(command, ConfigRecord::new(plan.to_toml()));
    // One identity for folder, ledger and streams: what `--session` takes is what a page says.
    manifest.session.clone_from(&marker_session);
    manifest.seeds.insert("session".into(), plan.session.seed);
    manifest.models = models(&model);
    manifest.streams = stream_records(
        &plan,
        &streams,
        &marker_spec,
        state.as_ref(),
        feedback.as_ref(),
    );
    if let Some(reason) = unlocked {
        manifest
            .uncertified
            .push(format!("memory could not be locked: {reason}"));
    }
    write_manifest(&folder, &manifest)?;
    if let Some(source) = &streams.gaze
        && let Some(chosen) = chosen(&plan, source.spec())
    {
        let _ = view.note(&format!("gaze is read as {}", chosen.words));
        for remark in &chosen.remarks {
            let _ = view.note(&format!("the gaze stream: {remark}"));
        }
    }
    if plan.typed_keys() {
        let _ = view.note(KEYS);
    }
    if let Some(board) = board.as_ref().filter(|_| plan.view.gaze_mark)
        && let Err(error) = follow_gaze(network, &plan, board, &stop)
    {
        let _ = view.note(&format!("no mark shows where somebody looks: {error}"));
    }
    let surface = board
        .clone()
        .map(|board| Box::new(BoardSurface::new(board)) as Box<dyn StimulusSurface>);
    let markers =
        MarkerStream::new(Box::new(outlet), Arc::new(AtomicU64::new(0))).shown_on(surface);

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
            note_calibration(&plan, &profile, view);
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
        feedback,
        operator,
        person,
        coins,
        model,
        folder: &folder,
        board: board.clone(),
        session: manifest.session.clone(),
        started_utc: manifest.started_utc.clone(),
        view: &mut *view,
        stop,
    };
    let conducted = conduct(setting);
    if let Some(frames) = board.map(|board| board.frames()) {
        let _ = view.note(&frames.in_words());
        manifest.display = Some(frames);
    }
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
    manifest.texts.clone_from(&played.texts);
    manifest.end(played.ledger.clone());
    write_manifest(&folder, &manifest)?;
    Ok(Left {
        folder,
        played: Some(played),
        manifest,
    })
}

/// The stream that tells the state of the person. Without a port for it the session goes on, and records it all the same.
fn open_state(
    plan: &Plan,
    network: Network,
    session: &str,
    view: &mut dyn View,
) -> Option<StateSetting> {
    // Without streams there is nothing to publish: the time on task stands in the ledger.
    if !plan.state.on || (plan.eeg.is_none() && plan.gaze.is_none()) {
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

/// The stream of dwell feedback. Without a port for it the session goes on, and records it all the same.
fn open_feedback(
    plan: &Plan,
    network: Network,
    session: &str,
    view: &mut dyn View,
) -> Option<FeedbackSetting> {
    plan.gaze.as_ref()?;
    let sink = feedback_outlet(network, session)
        .inspect_err(|error| {
            let _ = view.note(&format!(
                "dwell feedback is recorded, but not published: {error}"
            ));
        })
        .ok();
    Some(FeedbackSetting {
        spec: feedback_spec(session),
        sink: sink.map(|outlet| Box::new(outlet) as Box<dyn SampleSink>),
    })
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
