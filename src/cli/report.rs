//! `razvilka report`: a session's report.html made again, from the folder alone; or the network of choices over several sessions.

use std::io::Write;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde_json::json;

use super::exit::{Exit, Failure};
use crate::report::{self, Across, AcrossError, ReportError};
use crate::session::person::place_of_person;
use crate::session::{Truth, TruthError};

/// Make a session's report.html again, or draw the choices of several sessions as one network
///
/// With one folder, the session's report. With several, or with --person, a page with the network of choices over all of
/// them and the curve of autonomy, written to --out.
#[derive(Debug, Clone, ClapArgs)]
pub struct Args {
    /// The session folder; several for the network over them.
    #[arg(value_name = "FOLDER", required_unless_present = "person")]
    pub folders: Vec<PathBuf>,
    /// Also the choices that are remembered of this person: a name, or the path of a folder (with a / in it).
    #[arg(long, value_name = "DIR|NAME", requires = "out")]
    pub person: Option<PathBuf>,
    /// Where the page over several sessions is written. What is forgotten later stays in it.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// What the person wanted: JSON lines {"fork":n,"item":k}; choices of one session are scored against it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["person", "out"])]
    pub truth: Option<PathBuf>,
    /// Print the summary as JSON on stdout, instead of the page's path.
    #[arg(long)]
    pub json: bool,
}

/// Writes the report; prints its path, or the summary, on stdout.
///
/// # Errors
/// [`Failure`]: [`Exit::Usage`] for a folder or a truth that cannot be used or a report that cannot be written,
/// [`Exit::Source`] for a ledger or another file of the folder that cannot be read.
pub fn run(args: &Args) -> Result<(), Failure> {
    let line = match (&args.out, args.folders.as_slice()) {
        (Some(out), _) => across(args, out)?,
        (None, [folder]) => session(args, folder)?,
        (None, _) => {
            let said = "several sessions make a page of their own: say where with --out FILE";
            return Err(Failure::said(Exit::Usage, said));
        }
    };
    writeln!(std::io::stdout(), "{line}")
        .map_err(|error| Failure::said(Exit::Usage, format!("stdout cannot be written: {error}")))
}

fn session(args: &Args, folder: &std::path::Path) -> Result<String, Failure> {
    let truth = args.truth.as_deref().map(Truth::read).transpose()?;
    let written = report::write(folder, truth.as_ref())?;
    if args.json {
        return serde_json::to_string_pretty(&written.summary)
            .map_err(|error| Failure::new(Exit::Internal, error));
    }
    Ok(written.path.display().to_string())
}

fn across(args: &Args, out: &std::path::Path) -> Result<String, Failure> {
    let person = args.person.as_deref().map(place_of_person).transpose()?;
    let across = Across::read(&args.folders, person.as_deref())?;
    report::write_across(&across, out)?;
    if args.json {
        let network = across.network();
        let summary = json!({
            "sessions": across.sessions(),
            "forks": network.visits().len(),
            "places": network.places().len(),
            "shared_places": network.shared_places(),
        });
        return Ok(summary.to_string());
    }
    Ok(out.display().to_string())
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        let exit = match error {
            ReportError::Folder(_) | ReportError::Write { .. } | ReportError::Out { .. } => {
                Exit::Usage
            }
            ReportError::Ledger(_) | ReportError::Read { .. } | ReportError::Latency { .. } => {
                Exit::Source
            }
        };
        Self::new(exit, error)
    }
}

impl From<AcrossError> for Failure {
    fn from(error: AcrossError) -> Self {
        match error {
            AcrossError::Report(error) => error.into(),
            AcrossError::Person(error) => error.into(),
            error @ (AcrossError::Twice { .. } | AcrossError::Nothing) => {
                Self::new(Exit::Usage, error)
            }
        }
    }
}

impl From<TruthError> for Failure {
    fn from(error: TruthError) -> Self {
        Self::new(Exit::Usage, error)
    }
}
