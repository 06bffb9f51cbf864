//! `razvilka new`: an annotated experiment file for the devices that are here.

mod file;
mod sources;
mod template;
#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use self::file::{Looked, Written, compose};
use self::sources::{Choice, in_words};
use super::exit::{Exit, Failure};
use super::paste::Role;
use super::streams::{listening, seconds};
use crate::session::utc_of;
use crate::shell::quoted;
use crate::source::lsl::{Network, survey};

/// Name of the file in the folder.
const FILE: &str = "experiment.toml";

/// Write an annotated experiment file for the devices that are here.
///
/// Looks at the network for some seconds and writes DIR/experiment.toml: the EEG, gaze and key streams that answered, pinned by what they say
/// of themselves, and every setting with its default and range. Of two streams of one kind none is chosen: both stand there as comments.
/// Where nothing answered the file is an experiment all the same, in which typed keys choose. Then prints the commands to go on with.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The folder, made new where there is none
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Replace an experiment.toml that is already there
    #[arg(long)]
    pub force: bool,
    /// How long answers are awaited, 0.1 to 60 seconds
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub timeout_s: f64,
    /// How long each stream is listened to, to measure its rate and see what its stamps are worth; 0 to 60 seconds, 0 not at all
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = listening)]
    pub listen_s: f64,
    /// Ask this machine only, and let the experiment do so; otherwise the laboratory's LSL configuration decides
    #[arg(long)]
    pub loopback: bool,
    /// LSL session on this machine, with --loopback
    #[arg(long, value_name = "ID", requires = "loopback", default_value = Network::LOOPBACK_SESSION)]
    pub session_id: String,
}

/// Runs the command.
///
/// # Errors
/// [`Exit::Usage`] when the file is there already or cannot be written, [`Exit::Source`] when LSL cannot be used.
pub fn run(args: &Args) -> Result<(), Failure> {
    let path = args.folder.join(FILE);
    // Before anybody waits for the network.
    if !args.force && path.symlink_metadata().is_ok() {
        return Err(there_already(&path));
    }
    let network = if args.loopback {
        Network::loopback_session(&args.session_id)?
    } else {
        Network::laboratory()?
    };
    eprintln!(
        "razvilka: looking for streams for {} s: {}",
        args.timeout_s,
        network.describe()
    );
    let announced = network.resolve_all(Duration::from_secs_f64(args.timeout_s))?;
    let seen = survey(&announced, Duration::from_secs_f64(args.listen_s));
    let written = compose(&Looked {
        at_utc: utc_of(SystemTime::now()),
        waited_s: args.timeout_s,
        asked: network.describe(),
        loopback_session: args.loopback.then_some(args.session_id.as_str()),
        seen: &seen,
    })
    .map_err(|why| {
        let said = format!("the new experiment file would be refused: {why}. Please report this");
        Failure::said(Exit::Internal, said)
    })?;
    write(&path, &written.text, args.force).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => there_already(&path),
        _ => Failure::said(
            Exit::Usage,
            format!(
                "{} cannot be written: {error}. Name a folder that you may write to",
                path.display()
            ),
        ),
    })?;
    for (role, choice) in &written.sources {
        eprintln!("razvilka: {}", told(*role, choice));
    }
    let mut out = io::stdout().lock();
    // A closed stdout does not undo the file.
    let _ = out.write_all(next(&path, &written).as_bytes());
    Ok(())
}

fn there_already(path: &Path) -> Failure {
    Failure::said(
        Exit::Usage,
        format!(
            "{} is there already: name another folder, or type --force to replace it",
            path.display()
        ),
    )
}

/// Writes the file, readable by its owner alone. One that is replaced stays until the new one is whole; nothing is left of one that cannot be
/// written.
fn write(path: &Path, text: &str, force: bool) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let beside = folder.join(format!(".{FILE}.{}", std::process::id()));
    let target = if force { &beside } else { path };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(target)?;
    let mut done = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    if force {
        done = done.and_then(|()| std::fs::rename(&beside, path));
    }
    if done.is_err() {
        let _ = std::fs::remove_file(target);
    }
    done?;
    File::open(folder)?.sync_all()
}

/// What came of a source, in one line.
fn told(role: Role, choice: &Choice<'_>) -> String {
    let kind = role.section();
    match choice {
        Choice::One(only) => format!("[{kind}] {}", in_words(only)),
        Choice::None => format!("[{kind}] no such stream answered; the file says what to do"),
        Choice::Unusable(only, why) => {
            let why = super::paste::escaped(why);
            format!("[{kind}] {} cannot be used as it is: {why}", in_words(only))
        }
        Choice::Several(candidates) => format!(
            "[{kind}] {} streams answered, and none was chosen: take one of them in the file",
            candidates.len()
        ),
    }
}

/// The commands to go on with.
fn next(path: &Path, written: &Written<'_>) -> String {
    let file = quoted(&path.display().to_string());
    let open = written
        .sources
        .iter()
        .any(|(_, choice)| matches!(choice, Choice::Several(_)));
    let gaze = written
        .sources
        .iter()
        .any(|(role, choice)| *role == Role::Gaze && !matches!(choice, Choice::None));
    let mut text = format!("{} is written. Next:\n\n", path.display());
    if open {
        text.push_str("  choose between the streams of one kind in it: search for \"this one\"\n");
    }
    if gaze {
        text.push_str("  measure picture and distance of the eye, and put them under [screen]\n");
    }
    text.push_str(&format!(
        "  razvilka doctor --config {file}        # this machine, these streams, this model: what is not right yet, and what to do\n  \
         razvilka run --config {file} --check   # the whole plan\n  \
         razvilka run --config {file}           # a session; what needs a calibration is calibrated first\n"
    ));
    text
}
