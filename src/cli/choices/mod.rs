//! `razvilka choices`: a person's memory of choices, looked at, given away, deleted; and who wrote what in a session.

mod authorship;
mod consent;
mod delete;
mod export;
mod forget;
mod list;

use std::path::PathBuf;

use super::exit::{Exit, Failure};
use crate::session::person::{ChoiceStore, Person, place_of_person};

/// See, search, export and delete what is remembered of a person's choices; see who wrote what in a session.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Verb {
    Consent(consent::Args),
    List(list::Args),
    Search(list::SearchArgs),
    Export(export::Args),
    Forget(forget::Args),
    Authorship(authorship::Args),
    DeletePerson(delete::Args),
}

/// Whose choices.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Whose {
    /// The person: a name, or the path of a folder (with a / in it)
    #[arg(long, value_name = "DIR|NAME")]
    pub(super) person: PathBuf,
}

impl Whose {
    pub(super) fn open(&self) -> Result<Person, Failure> {
        Ok(Person::open(&place_of_person(&self.person)?)?)
    }

    /// The memory for reading.
    fn memory(&self) -> Result<ChoiceStore, Failure> {
        let person = self.open()?;
        ChoiceStore::open_read_only(&person)?.ok_or_else(|| self.nothing())
    }

    pub(super) fn nothing(&self) -> Failure {
        Failure::said(
            Exit::Usage,
            format!(
                "nothing is remembered of {}: play a session with --person {0}",
                self.person.display()
            ),
        )
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] with the exit code that fits.
pub fn run(args: &Args) -> Result<(), Failure> {
    let out = &mut std::io::stdout().lock();
    match &args.verb {
        Verb::Consent(args) => consent::run(args, out),
        Verb::List(args) => list::run(args, out),
        Verb::Search(args) => list::search(args, out),
        Verb::Export(args) => export::run(args, out),
        Verb::Forget(args) => forget::run(args, out),
        Verb::Authorship(args) => authorship::run(args, out),
        Verb::DeletePerson(args) => delete::run(args, out),
    }
}

/// Output that cannot be written.
pub(super) fn unwritten(error: std::io::Error) -> Failure {
    Failure::said(Exit::Usage, format!("stdout cannot be written: {error}"))
}
