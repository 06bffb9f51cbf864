//! `razvilka choices export`.

mod parquet;

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::list::{no_such_session, without_states};
use super::{Whose, unwritten};
use crate::cli::exit::{Exit, Failure};
use crate::session::person::Which;

/// Write what is remembered into a file for other programs
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    /// The file, made new; - is stdout, for JSON Lines
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    whose: Whose,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Only the choices of this session
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
    /// With the model's states: some kilobytes a choice
    #[arg(long)]
    states: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// JSON Lines: one choice a line, with its options
    Jsonl,
    /// Apache Parquet: one option a row, with its choice
    Parquet,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), Failure> {
    let store = args.whose.memory()?;
    let which = args.session.clone().map_or(Which::All, Which::Session);
    let to_stdout = args.file == Path::new("-");
    let mut choices = 0_u64;
    match args.format {
        Format::Parquet if to_stdout => {
            return Err(Failure::said(
                Exit::Usage,
                "Parquet is written into a file: name one",
            ));
        }
        Format::Jsonl => {
            let mut sink: Box<dyn Write + '_> = if to_stdout {
                Box::new(&mut *out)
            } else {
                Box::new(create(&args.file)?)
            };
            let mut written = Ok(());
            store.each(&which, |choice| {
                choices += 1;
                let choice = if args.states {
                    choice
                } else {
                    without_states(choice)
                };
                written = serde_json::to_writer(&mut sink, &choice)
                    .map_err(std::io::Error::from)
                    .and_then(|()| sink.write_all(b"\n"));
                if written.is_ok() {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            written
                .and_then(|()| sink.flush())
                .map_err(|error| incomplete(&args.file, error))?;
        }
        Format::Parquet => {
            let mut table = parquet::Table::create(create(&args.file)?, args.states)
                .map_err(|error| incomplete(&args.file, error))?;
            let mut written = Ok(());
            store.each(&which, |choice| {
                choices += 1;
                written = table.add(&choice);
                if written.is_ok() {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            written
                .and_then(|()| table.finish())
                .map_err(|error| incomplete(&args.file, error))?;
        }
    }
    if let (Some(session), 0) = (&args.session, choices) {
        return Err(no_such_session(session));
    }
    if to_stdout {
        return Ok(());
    }
    writeln!(out, "{choices} choices written to {}", args.file.display()).map_err(unwritten)
}

/// A new file for its owner alone: what a person chose is theirs.
fn create(path: &Path) -> Result<BufWriter<std::fs::File>, Failure> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map(BufWriter::new)
        .map_err(|error| {
            Failure::said(
                Exit::Usage,
                format!(
                    "{} cannot be made: {error}. Name a new file where you may write",
                    path.display()
                ),
            )
        })
}

fn incomplete(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::said(
        Exit::RecordingIncomplete,
        format!("{} is not complete: {error}", path.display()),
    )
}
