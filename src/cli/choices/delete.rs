//! `razvilka choices delete-person`.

use std::io::Write;

use super::{Whose, unwritten};
use crate::cli::exit::{Exit, Failure};
use crate::session::person::ChoiceStore;

/// Delete everything that is kept of a person, and check that it is gone
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    whose: Whose,
    /// Really
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), Failure> {
    // A session of this person must be over: it would go on writing.
    let person = args.whose.open()?.lock()?;
    let folder = person.path().display().to_string();
    if !args.yes {
        return Err(Failure::said(
            Exit::Usage,
            format!(
                "this deletes {folder} with all that is in it ({}). Give --yes if that is meant",
                person.contents()?.join(", ")
            ),
        ));
    }
    // A memory that cannot be read is deleted like any other.
    let sessions = ChoiceStore::open_read_only(&person)
        .ok()
        .flatten()
        .and_then(|store| store.sessions().ok())
        .unwrap_or_default();
    person.delete()?;
    let names: Vec<String> = sessions.into_iter().map(|(session, _)| session).collect();
    let sessions = if names.is_empty() {
        "the folders of this person's sessions".to_owned()
    } else {
        format!(
            "the folders of this person's sessions ({})",
            names.join(", ")
        )
    };
    writeln!(
        out,
        "{folder} is gone: consent, memory and whatever was learnt.\nWhat this does not reach: {sessions}; what was exported or copied; copies that \
         file system or disk keep of what was deleted."
    )
    .map_err(unwritten)
}
