//! `razvilka calibrate`: from recordings to a profile and a report.

mod channels;
mod common;
mod doubles;
mod enough;
mod material;
mod people;
pub(super) mod prior;
mod provenance;
pub(in crate::cli) mod pupil;
mod signal;
mod signals;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use razvilka_calibration::report::{grade_eeg, grade_gaze, save_report};
use razvilka_calibration::{
    CalibrationError, CalibrationInput, EegInput, Fitted, GazeCalibration, GazeInput, Overwrite,
    Profile, epochs_beside, fit_session,
};

use super::exit::{Exit, Failure};
use super::recorded::{Recorded, Streams, failure};
use crate::config::QualitySection;
use material::{Material, Wanted};
use provenance::provenance;
pub use signal::SignalOptions;

/// File names in the output folder.
pub const PROFILE_FILE: &str = "profile.json";
/// File names in the output folder.
pub const REPORT_FILE: &str = "report.html";
/// Fit a calibration from recordings: DIR/profile.json and DIR/report.html.
///
/// The recordings need an EEG stream and markers {"event":"flash","target":0 or 1}; gaze points
/// ({"event":"gaze_point","x_deg":..,"y_deg":..}) with a gaze stream are fitted as well.
#[derive(Debug, Clone, ClapArgs)]
pub struct Args {
    /// Recordings (XDF), in the order of time, all of one person and one montage.
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub xdf: Vec<PathBuf>,
    /// Recordings (XDF) of other people, labelled, of the same rate, or one file that `razvilka prior` made of such. What they
    /// have in common is the start, which this person's flashes then move, also flashes without a label; with none labelled
    /// it takes recordings of two people or more. A file is one person's; files of one person are known by a part of the
    /// name such as sub-07, S07 or subject7, or say it: anna=FILE anna=FILE2.
    #[arg(long, value_name = "[PERSON=]FILE", num_args = 1..)]
    pub prior_from: Vec<PathBuf>,
    /// Where to write profile.json and report.html; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Replace files that are there already.
    #[arg(long)]
    pub force: bool,
    /// How the signal becomes features.
    #[command(flatten)]
    pub signal: SignalOptions,
    /// Channel that sees the blinks, which are then taken out of the others by regression; `none` leaves them in. Without
    /// this option: a channel labelled VEOG or EOG, or, if the person was asked to blink, Fp1, Fpz, Fp2, AF7 or AF8.
    #[arg(long, value_name = "LABEL")]
    pub blink_channel: Option<String>,
    /// When a channel is bad; the defaults of `razvilka run --explain`, and for a live calibration the experiment file's.
    #[arg(skip)]
    pub quality: QualitySection,
    /// Which streams are meant.
    #[command(flatten)]
    pub streams: Streams,
}

/// Fits and writes; says on `talk` what is being done and how it came out.
///
/// # Errors
/// [`Exit::Usage`] for an option out of range or an output folder that cannot be used, [`Exit::Source`] for recordings
/// that cannot.
pub fn run(args: &Args, talk: &mut impl Write) -> Result<Profile, Failure> {
    let profile_path = args.out.join(PROFILE_FILE);
    let report_path = args.out.join(REPORT_FILE);
    let overwrite = if args.force {
        Overwrite::Replace
    } else {
        Overwrite::Refuse
    };
    let epochs_path = epochs_beside(&profile_path);
    prepare_folder(
        &args.out,
        [&profile_path, &report_path, &epochs_path],
        overwrite,
    )?;

    let sources = provenance(&args.xdf)?;
    doubles::refuse_same_files(&sources.sources)?;
    let asked = prior::Asked::read(&args.prior_from, &sources)?;
    let mut recordings = Vec::with_capacity(args.xdf.len());
    for file in &args.xdf {
        say(talk, format_args!("reading {}", file.display()));
        let recorded = Recorded::open(file, &args.streams)?;
        for words in recorded.flash_markers().in_words() {
            say(talk, format_args!("{}: {words}", file.display()));
        }
        recordings.push(recorded);
    }
    doubles::refuse_shared_samples(&recordings)?;
    let wanted = if asked.is_some() {
        Wanted::All
    } else {
        Wanted::Labelled
    };
    let gaze = gaze_input(&recordings)?;
    let mut eeg = Material::read(args, &recordings, wanted, talk)?;
    if let Some(own) = &eeg {
        own.found.refuse_none_whole()?;
        if asked.is_none() {
            own.found.refuse_too_few()?;
        }
    }
    match (&asked, &mut eeg) {
        (Some(asked), Some(own)) => own.input.prior = Some(asked.others(args, own, talk)?),
        (Some(_), None) => return Err(prior::nobody_to_meet()),
        (None, None) if gaze.is_empty() => labels_are_missing(&recordings)?,
        (None, _) => {}
    }
    let (eeg, blinks) = eeg.map(|own| (own.input, own.blinks)).unzip();
    let blinks = blinks.flatten();
    let input = CalibrationInput {
        eeg,
        gaze,
        provenance: sources,
    };
    say(talk, format_args!("fitting"));
    let mut fitted = fit_session(&input).map_err(|e| failure(Exit::Source, e))?;
    if let Some(eeg) = &mut fitted.profile.eeg {
        eeg.blinks = blinks;
    }
    fitted.profile.blink = signals::deliberate_blink(&recordings, talk)?;
    fitted.profile.contraction =
        signals::deliberate_contraction(&recordings, args.quality.line_hz, talk)?;
    fitted.profile.pupil = pupil::calibrate(&recordings, fitted.profile.gaze.as_ref(), talk)?;
    say_verdict(talk, &fitted);
    let unwritable = |e: CalibrationError| failure(Exit::Usage, e);
    if let (Some(eeg), Some(own)) = (&mut fitted.profile.eeg, &input.eeg)
        && eeg
            .prior
            .as_ref()
            .is_none_or(|prior| !prior.judged_on_others)
    {
        let kept = own.epochs.save(&epochs_path, overwrite);
        eeg.epochs_sha256 = Some(kept.map_err(unwritable)?);
    }
    fitted
        .profile
        .save(&profile_path, overwrite)
        .map_err(unwritable)?;
    save_report(&fitted.profile, &fitted.report, &report_path, overwrite).map_err(unwritable)?;
    say(
        talk,
        format_args!(
            "wrote {} and {}",
            profile_path.display(),
            report_path.display()
        ),
    );
    Ok(fitted.profile)
}

/// The labelled epochs of these recordings, as [`run`] would fit them; `None` when no recording has a flash with known truth.
///
/// # Errors
/// As [`run`].
pub fn labelled(args: &Args, talk: &mut impl Write) -> Result<Option<EegInput>, Failure> {
    let recordings: Vec<Recorded> = args
        .xdf
        .iter()
        .map(|file| Recorded::open(file, &args.streams))
        .collect::<Result<_, _>>()?;
    let material = Material::read(args, &recordings, Wanted::Labelled, talk)?;
    Ok(material.map(|own| own.input))
}

/// Talk that nobody can hear any more (a closed pipe) is no reason to stop.
fn say(talk: &mut impl Write, text: std::fmt::Arguments<'_>) {
    let _ = writeln!(talk, "{text}");
}

/// Finds out before the work whether its result can be kept.
fn prepare_folder(
    folder: &Path,
    files: [&PathBuf; 3],
    overwrite: Overwrite,
) -> Result<(), Failure> {
    let failed = |e| failure(Exit::Usage, e);
    let unwritable = |source| {
        failed(CalibrationError::Unwritable {
            path: folder.to_owned(),
            source,
        })
    };
    fs::create_dir_all(folder).map_err(unwritable)?;
    for path in files {
        if overwrite == Overwrite::Refuse && path.symlink_metadata().is_ok() {
            return Err(failed(CalibrationError::Exists { path: path.clone() }));
        }
    }
    let probe = folder.join(format!(".razvilka-{}.probe", std::process::id()));
    File::create(&probe).map_err(unwritable)?;
    fs::remove_file(&probe).map_err(unwritable)
}

fn gaze_input(recordings: &[Recorded]) -> Result<GazeInput, Failure> {
    let mut all = GazeInput::default();
    for recorded in recordings {
        let input = recorded.gaze_input()?;
        if input.is_empty() {
            continue;
        }
        all.points.extend(input.points);
        all.pursuits.extend(input.pursuits);
        all.calibrated = input.calibrated;
        all.declared_rate_hz = all.declared_rate_hz.or(input.declared_rate_hz);
    }
    Ok(all)
}

/// Refuses flashes of which none has a label, and says what would be enough.
fn labels_are_missing(recordings: &[Recorded]) -> Result<(), Failure> {
    let markers = || recordings.iter().map(Recorded::flash_markers);
    let flashes: usize = markers().map(|m| m.flashes.len()).sum();
    let contradicting: usize = markers().map(|m| m.contradicting).sum();
    if flashes == 0 && contradicting > 0 {
        return Err(Failure::said(
            Exit::Source,
            format!(
                "nothing to calibrate: each of the {contradicting} flashes has markers that contradict each other, target 0 and 1 at one \
                 time. Let the paradigm send one marker for each flash"
            ),
        ));
    }
    if flashes == 0 {
        // That there is nothing at all is the fit's to say.
        return Ok(());
    }
    Err(Failure::said(
        Exit::Source,
        format!(
            "nothing to calibrate: {flashes} flashes, none of them with \"target\":0 or 1. Record with labels, or give labelled recordings \
             of two other people or more with --prior-from"
        ),
    ))
}

fn say_verdict(talk: &mut impl Write, fitted: &Fitted) {
    if let Some(eeg) = &fitted.profile.eeg {
        let m = &eeg.metrics;
        let from_others = eeg.prior.as_ref().filter(|prior| prior.judged_on_others);
        let figures = format!(
            "AUC {:.3} ({:.3} to {:.3}), calibration error {:.3}, reliability {:.2}",
            m.auc.value, m.auc.ci_low, m.auc.ci_high, m.ece, eeg.reliability
        );
        if let Some(prior) = from_others {
            say(
                talk,
                format_args!(
                    "P300: expected to be {}. {figures}: estimated from {} other people, each left out, not from this person. \
                     Whether it holds for this person cannot be checked without labels; 10 targets with their labels would do",
                    grade_eeg(eeg).word(),
                    prior.people
                ),
            );
        } else {
            say(
                talk,
                format_args!(
                    "P300: {}. {figures}, held out in {} folds",
                    grade_eeg(eeg).word(),
                    m.folds
                ),
            );
        }
        say(talk, format_args!("scorer: {}", eeg.selection.in_words()));
    }
    if let Some(gaze) = &fitted.profile.gaze {
        say_gaze(talk, gaze);
    }
}

fn say_gaze(talk: &mut impl Write, gaze: &GazeCalibration) {
    let q = &gaze.quality;
    let declared = q
        .declared_rate_hz
        .map_or_else(String::new, |hz| format!(" of {hz:.0} declared"));
    say(
        talk,
        format_args!(
            "gaze: {}. Error {}, worst {:.2} deg; precision {:.2} deg (SD), {:.2} deg (RMS from sample to sample), {:.1} % lost, {:.0} \
             valid samples per second{declared}, {} points used",
            grade_gaze(q).word(),
            gaze.accuracy_in_words(),
            q.worst_deg,
            q.precision_sd_deg,
            q.rms_s2s_deg,
            100.0 * q.data_loss,
            q.rate_hz,
            q.points_used
        ),
    );
    for (name, eye) in [("left", &gaze.left), ("right", &gaze.right)] {
        let Some(eye) = eye else { continue };
        let q = &eye.quality;
        say(
            talk,
            format_args!(
                "gaze, {name} eye alone: {}. Error {:.2} deg, worst {:.2} deg; precision {:.2} deg (SD), {:.2} deg (RMS), {:.1} % lost",
                grade_gaze(q).word(),
                q.accuracy_deg,
                q.worst_deg,
                q.precision_sd_deg,
                q.rms_s2s_deg,
                100.0 * q.data_loss
            ),
        );
    }
    if let Some(pursuit) = &gaze.pursuit {
        say(
            talk,
            format_args!(
                "gaze: followed the moving target {:.0} ms behind it, in {} of {} tenths of a second",
                1e3 * pursuit.lag_s,
                pursuit.windows - pursuit.not_followed,
                pursuit.windows
            ),
        );
    }
    for point in &gaze.rejected {
        say(talk, format_args!("gaze: {}", point.in_words()));
    }
}
