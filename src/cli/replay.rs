//! `razvilka replay`: a session folder decided again, or a recording fed to the signal path or played as outlets.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::Args as ClapArgs;
use razvilka_dsp::units::LslTime;

use super::exit::{Exit, Failure};
use super::play::load_model;
use super::recorded::Streams;
use super::replay_publish::{self, ReplayPublishArgs, ReplayPublishError, parse_speed};
use super::replay_score::score;
use crate::engine::replay::{RecordedSession, ReplayError, ReplayReport};
use crate::recording::publish::Outlets;
use crate::rt;
use crate::session::{Folder, SessionFile};
use crate::source::lsl::{LslMarkerOutlet, LslSampleOutlet, Network};
use crate::source::replay::Speed;
use crate::source::{MarkerSink, SampleSink, SourceError, StreamSpec};

/// Decide a recorded session again from its raw signals, or play a recording
///
/// With a session folder: every decision and the text are made again and compared, bit for bit; a new session folder is
/// written to --out. With a recording (.xdf) and --calibration: its flashes are scored as they come, CSV on stdout. With
/// --publish: its streams go out over LSL, on this machine only unless --laboratory is given.
#[derive(Debug, Clone, ClapArgs)]
pub struct Args {
    /// A session folder, or a recording (.xdf).
    #[arg(value_name = "FOLDER|FILE")]
    pub path: PathBuf,
    /// New folder for the replay of a session.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["publish", "calibration"])]
    pub out: Option<PathBuf>,
    /// The profile by which the flashes of a recording are scored.
    #[arg(long, value_name = "FILE", conflicts_with = "publish")]
    pub calibration: Option<PathBuf>,
    /// Play the recording's streams as LSL outlets.
    #[arg(long)]
    pub publish: bool,
    /// Recorded seconds per second, 0.001 to 1000, 1 by default; published streams announce a wrong rate when it is not 1.
    #[arg(long, value_name = "X", value_parser = parse_speed)]
    pub speed: Option<Speed>,
    /// As fast as it goes.
    #[arg(long, conflicts_with_all = ["speed", "publish"])]
    pub fast: bool,
    /// Begin again at the end, until stopped.
    #[arg(long = "loop")]
    pub repeat: bool,
    /// Score or play what can be read of a damaged or cut-off recording.
    #[arg(long)]
    pub recover: bool,
    /// Publish by the laboratory's own LSL configuration, not on this machine only.
    #[arg(long)]
    pub laboratory: bool,
    /// Which streams of the recording are meant.
    #[command(flatten)]
    pub streams: Streams,
}

/// What a replay is for. Each takes its own options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Session,
    Score,
    Publish,
}

impl Purpose {
    const fn words(self) -> &'static str {
        match self {
            Self::Session => "a session folder (--out DIR)",
            Self::Score => "scoring a recording (--calibration PROFILE)",
            Self::Publish => "playing a recording over LSL (--publish)",
        }
    }
}

impl Args {
    /// Refuses options that this replay would not heed: nothing typed is ignored.
    fn check(&self, purpose: Purpose) -> Result<(), Failure> {
        use Purpose::{Publish, Score, Session};
        let typed: [(&str, bool, &[Purpose]); 10] = [
            ("--out", self.out.is_some(), &[Session]),
            ("--calibration", self.calibration.is_some(), &[Score]),
            ("--publish", self.publish, &[Publish]),
            ("--speed", self.speed.is_some(), &[Score, Publish]),
            ("--fast", self.fast, &[Score]),
            ("--loop", self.repeat, &[Publish]),
            ("--recover", self.recover, &[Score, Publish]),
            ("--laboratory", self.laboratory, &[Publish]),
            ("--eeg", self.streams.eeg.is_some(), &[Score]),
            ("--markers", self.streams.markers.is_some(), &[Score]),
        ];
        let misplaced = typed
            .iter()
            .find(|(_, given, heeded_by)| *given && !heeded_by.contains(&purpose));
        let Some((option, _, heeded_by)) = misplaced else {
            return Ok(());
        };
        let places: Vec<_> = heeded_by.iter().map(|purpose| purpose.words()).collect();
        let message = format!(
            "{option} is for {}, not for {}. Leave it out",
            places.join(" or "),
            purpose.words()
        );
        Err(Failure::said(Exit::Usage, message))
    }

    /// How fast what was recorded is played.
    pub(super) fn speed(&self) -> Speed {
        self.speed.unwrap_or(Speed::REAL_TIME)
    }
}

/// Replays. `out` is data (CSV of a scored recording), `talk` is for people.
///
/// # Errors
/// [`Exit::Internal`] when a whole session does not come out again as it was, [`Exit::RecordingIncomplete`] when the
/// session is not whole, [`Exit::Source`], [`Exit::Model`] and [`Exit::Usage`] for what cannot be used.
pub fn run(
    args: &Args,
    command: Vec<String>,
    stop: &AtomicBool,
    out: &mut impl Write,
    talk: &mut impl Write,
) -> Result<(), Failure> {
    if args.path.is_dir() {
        args.check(Purpose::Session)?;
        let Some(target) = &args.out else {
            return Err(Failure::said(
                Exit::Usage,
                format!(
                    "{} is a session folder: name a new folder for its replay with --out DIR",
                    args.path.display()
                ),
            ));
        };
        return session(&args.path, target, command, talk);
    }
    if args.publish {
        args.check(Purpose::Publish)?;
        return publish(args, stop, talk);
    }
    match &args.calibration {
        Some(profile) => {
            args.check(Purpose::Score)?;
            score(args, profile, stop, out, talk)
        }
        None if args.path.exists() => Err(Failure::said(
            Exit::Usage,
            "a recording is either scored, with --calibration PROFILE, or played over LSL, with --publish",
        )),
        None => Err(Failure::said(
            Exit::Usage,
            format!(
                "{} is not there. Give a session folder or a recording",
                args.path.display()
            ),
        )),
    }
}

// --- a session folder ----------------------------------------------------------------------------------------------

fn session(
    folder: &Path,
    target: &Path,
    command: Vec<String>,
    talk: &mut impl Write,
) -> Result<(), Failure> {
    let recorded = RecordedSession::open(folder)?;
    let model = load_model(recorded.plan())?;
    let out = Folder::create(target).map_err(|error| Failure::new(Exit::Usage, error))?;
    let report = recorded.replay(model, &out, command)?;
    // Nobody may be listening; the report lies in the folder as well.
    let _ = describe(&report, target, talk);
    if !recorded.text_is_sealed() && report.only_the_text_differs() && report.incomplete.is_empty()
    {
        // The text follows from what came out equal: the file is what is wrong, and not the session.
        return Err(Failure::said(
            Exit::Source,
            format!(
                "{} is not the text that the ledger leads to, though every fork, item and choice came out as recorded: it was altered after the session. The text as it was is in {}",
                folder.join(SessionFile::Text.name()).display(),
                target.join(SessionFile::Text.name()).display()
            ),
        ));
    }
    verdict(&report)
}

fn describe(report: &ReplayReport, target: &Path, talk: &mut impl Write) -> io::Result<()> {
    let rows = [
        ("forks", report.forks),
        ("evidence", report.evidence),
        ("choices", report.choices),
    ];
    for (what, compared) in rows {
        write!(
            talk,
            "{what:<9} {} of {} equal",
            compared.equal, compared.compared
        )?;
        if compared.not_recorded > 0 {
            write!(
                talk,
                ", {} rest on samples that were not recorded",
                compared.not_recorded
            )?;
        }
        writeln!(talk)?;
    }
    let said = |equal: bool| if equal { "equal" } else { "not equal" };
    writeln!(
        talk,
        "text      {}, {} bytes",
        said(report.text_equal),
        report.text_bytes
    )?;
    writeln!(
        talk,
        "ledger    {} to its last hash{}",
        said(report.ledger_equal),
        if report.ledger_rewritten {
            ", its rows written in today's form"
        } else {
            ""
        }
    )?;
    writeln!(
        talk,
        "{:.1} s of signals, {} flashes, in {:.1} s: {:.0} times as fast as live",
        report.recorded_s, report.flashes, report.seconds, report.speed
    )?;
    writeln!(talk, "replay folder: {}", target.display())
}

/// How the program ends after this replay.
fn verdict(report: &ReplayReport) -> Result<(), Failure> {
    let mut difference = report.first_difference.as_ref().map(ToString::to_string);
    if let Some(difference) = difference.as_mut().filter(|_| report.other_imitator) {
        difference.push_str(
            " (an imitator was at work, of an older form: since then it begins wider, and the price of a question follows the latest forks)",
        );
    }
    if !report.incomplete.is_empty() {
        let lacks = report.incomplete.join("; ");
        let found = difference.map_or_else(
            || "what is there came out the same".to_owned(),
            |difference| format!("first difference at {difference}"),
        );
        let message = format!("the session is not whole: {lacks}; {found}");
        return Err(Failure::said(Exit::RecordingIncomplete, message));
    }
    if let (Some(difference), Some(other)) = (&difference, &report.other_build) {
        return Err(Failure::said(
            Exit::Internal,
            format!(
                "the replay is not identical, first at {difference}. The session was lived by {other}: replay it with that build"
            ),
        ));
    }
    match difference {
        Some(difference) => Err(Failure::said(
            Exit::Internal,
            format!(
                "the replay is not identical, first at {difference}. Please report it with the session folder"
            ),
        )),
        None if report.is_identical() => Ok(()),
        None => Err(Failure::said(
            Exit::Internal,
            "the replay's ledger ends in another hash, though no row was found to differ. Please report it with the session folder",
        )),
    }
}

impl From<ReplayError> for Failure {
    fn from(error: ReplayError) -> Self {
        let exit = match &error {
            ReplayError::Folder(_)
            | ReplayError::Config(_)
            | ReplayError::NoFork { .. }
            | ReplayError::NoBranch { .. } => Exit::Usage,
            ReplayError::Model { .. } | ReplayError::Decode(_) => Exit::Model,
            ReplayError::Write { .. } => Exit::RecordingIncomplete,
            _ => Exit::Source,
        };
        Self::new(exit, error)
    }
}

// --- a recording over LSL ------------------------------------------------------------------------------------------

fn publish(args: &Args, stop: &AtomicBool, talk: &mut impl Write) -> Result<(), Failure> {
    let network = if args.laboratory {
        Network::laboratory()?
    } else {
        Network::loopback()?
    };
    let publishing = ReplayPublishArgs {
        file: args.path.clone(),
        speed: args.speed(),
        repeat: args.repeat,
        recover: args.recover,
    };
    replay_publish::run(&publishing, &mut LslOutlets(network), stop, talk)?;
    Ok(())
}

impl From<ReplayPublishError> for Failure {
    fn from(error: ReplayPublishError) -> Self {
        let exit = match &error {
            ReplayPublishError::Outlet(_) => Exit::Source,
            _ => Exit::Usage,
        };
        Self::new(exit, error)
    }
}

/// Outlets on an LSL network, on the LSL clock.
struct LslOutlets(Network);

impl Outlets for LslOutlets {
    fn samples(&mut self, spec: &StreamSpec) -> Result<Box<dyn SampleSink>, SourceError> {
        Ok(Box::new(LslSampleOutlet::new(self.0, spec)?))
    }

    fn markers(&mut self, spec: &StreamSpec) -> Result<Box<dyn MarkerSink>, SourceError> {
        Ok(Box::new(LslMarkerOutlet::new(self.0, spec)?))
    }

    fn now_s(&self) -> f64 {
        rt::lsl_now().get()
    }

    fn wait_until(&mut self, at_s: f64) {
        if let Ok(at) = LslTime::new(at_s) {
            rt::sleep_until(rt::mono_of(at));
        }
    }
}
