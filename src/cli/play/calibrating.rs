//! The calibration of a session: recorded live, or a profile that was made before; kept with the session, and what it says.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use razvilka_calibration::{Profile, epochs_beside};
use razvilka_dsp::contraction::Muscle;
use razvilka_dsp::deliberate::BlinkKind;

use super::progress::progress_bar;
use crate::cli::calibrate::pupil::pupil_in_words;
use crate::cli::exit::{Exit, Failure};
use crate::cli::{calibrate, recorded};
use crate::config::{GazeProcedure, Plan};
use crate::engine::calibrate::{Progress, record};
use crate::engine::lines;
use crate::engine::streams::Streams;
use crate::pipeline::presenter::MarkerStream;
use crate::pipeline::state::{StateLine, Watches};
use crate::recording::Recording;
use crate::session::Folder;
use crate::source::StreamSpec;
use crate::view::terminal::View;

/// Folder of the calibration inside a session folder.
pub(super) const CALIBRATION: &str = "calibration";
/// Recording of a live calibration, inside its folder.
pub(super) const CALIBRATION_FILE: &str = "calibration.xdf";
/// Gaze error beyond which gaze would do more harm than good, degrees.
const GAZE_ERROR_MAX_DEG: f64 = 6.0;

/// A line that has seen the EEG of the calibration just recorded; `None` when it cannot be read: then the session's own
/// beginning is the baseline. The eyes' baseline is always that: in a calibration they stare at points and blink when asked.
pub(super) fn baseline_of(
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

pub(super) fn keep_profile(from: &Path, to: &Path) -> Result<(), Failure> {
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
pub(super) fn calibrate_live(
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
    let steps = match (&plan.gaze, plan.calibration.gaze) {
        (None, _) => 0,
        (Some(_), GazeProcedure::Pursuit) => plan.calibration.check_points,
        (Some(_), _) => plan.calibration.points + plan.calibration.check_points,
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
                Progress::Pursuit => (0, "follow the moving target".into()),
                Progress::Point(n, of) => (n - 1, format!("gaze point {n} of {of}")),
                Progress::Blink(n, of) => (steps, format!("blink when asked: {n} of {of}")),
                Progress::Signal(n, of, kind) => {
                    let what = match kind {
                        BlinkKind::Double => "blink twice, now",
                        BlinkKind::Long => "keep your eyes shut for most of a second, now",
                    };
                    (steps, format!("{what}: {n} of {of}"))
                }
                Progress::Wish(n, of) => (
                    steps,
                    format!("read the options, and want the one that is named: {n} of {of}"),
                ),
                Progress::Contraction(n, of, muscle) => {
                    let what = match muscle {
                        Muscle::Jaw => "clench your teeth for half a second, now",
                        Muscle::Brow => "frown for half a second, now",
                    };
                    (steps, format!("{what}: {n} of {of}"))
                }
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
        section: Some(Box::new(gaze.clone())),
        calibrated: plan.calibration.gaze == GazeProcedure::Check,
        picture: Some(plan.screen.clone()),
        pupil_section: Some(Box::new(plan.pupil.clone())),
        ..recorded::GazeChannels::default()
    });
    let muscles = plan.contraction.channels.clone();
    recorded::Streams {
        muscle_channels: muscles.unwrap_or_default(),
        channels: channels.unwrap_or_default(),
        gaze: gaze.unwrap_or_default(),
        ..recorded::Streams::default()
    }
}

pub(super) fn note_calibration(plan: &Plan, profile: &Profile, view: &mut dyn View) {
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
    if let Some(blink) = &profile.blink {
        let (per_min, up_to) = blink.false_alarms_per_min();
        words.push(format!(
            "deliberate blink: {} of {} told, {per_min:.1} false alarms per minute (up to {up_to:.1}), reliability {:.2}",
            blink.hits, blink.cues, blink.reliability
        ));
    }
    match &profile.pupil {
        Some(pupil) => words.push(pupil_in_words(pupil)),
        None if plan.pupil.on => words.push(
            "pupil: not used, the calibration has not learnt what this person's pupil says".into(),
        ),
        None => {}
    }
    if let Some(contraction) = &profile.contraction {
        let (per_min, up_to) = contraction.false_alarms_per_min();
        words.push(format!(
            "contraction ({}): {} of {} told, {per_min:.1} false alarms per minute (up to {up_to:.1}), reliability {:.2}",
            contraction.channels.join(", "),
            contraction.hits,
            contraction.cues,
            contraction.reliability
        ));
    }
    let _ = view.note(&words.join("; "));
}
