//! `razvilka choices`: a person's memory of choices, looked at, given away, deleted; and who wrote what in a session.

mod consent;

use std::path::PathBuf;

use super::exit::Failure;
use crate::session::person::{Person, place_of_person};

/// See, search, export and delete what is remembered of a person's choices; see who wrote what in a session.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Verb {
    Consent(consent::Args),
}

/// Whose choices.
#[derive(Debug, Clone, clap::Args)]
struct Whose {
    /// The person: a name, or the path of a folder (with a / in it)
    #[arg(long, value_name = "DIR|NAME")]
    person: PathBuf,
}

impl Whose {
    fn open(&self) -> Result<Person, Failure> {
        Ok(Person::open(&place_of_person(&self.person)?)?)
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] with the exit code that fits.
pub fn run(args: &Args) -> Result<(), Failure> {
    match &args.verb {
        Verb::Consent(args) => consent::run(args),
    }
}
