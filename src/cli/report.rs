//! `razvilka report`: makes a session's report.html again, from the folder alone.

use std::io::Write;
use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::exit::{Exit, Failure};
use crate::report::{self, ReportError};
use crate::session::{Truth, TruthError};

/// Make a session's report.html again.
#[derive(Debug, Clone, ClapArgs)]
pub struct Args {
    /// The session folder.
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    /// What the person wanted: JSON lines {"fork":n,"item":k}; choices are scored against it.
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
    /// Print the summary as JSON on stdout, instead of the report's path.
    #[arg(long)]
    pub json: bool,
}

/// Writes the report; prints its path, or the summary, on stdout.
///
/// # Errors
/// [`Failure`]: [`Exit::Usage`] for a folder or a truth that cannot be used or a report that cannot be written,
/// [`Exit::Source`] for a ledger or another file of the folder that cannot be read.
pub fn run(args: &Args) -> Result<(), Failure> {
    let truth = args.truth.as_deref().map(Truth::read).transpose()?;
    let written = report::write(&args.folder, truth.as_ref())?;
    let line = if args.json {
        serde_json::to_string_pretty(&written.summary)
            .map_err(|error| Failure::new(Exit::Internal, error))?
    } else {
        written.path.display().to_string()
    };
    writeln!(std::io::stdout(), "{line}")
        .map_err(|error| Failure::said(Exit::Usage, format!("stdout cannot be written: {error}")))
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        let exit = match error {
            ReportError::Folder(_) | ReportError::Write { .. } => Exit::Usage,
            ReportError::Ledger(_) | ReportError::Read { .. } | ReportError::Latency { .. } => {
                Exit::Source
            }
        };
        Self::new(exit, error)
    }
}

impl From<TruthError> for Failure {
    fn from(error: TruthError) -> Self {
        Self::new(Exit::Usage, error)
    }
}
