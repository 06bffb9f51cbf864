//! `razvilka choices forget`.

use std::io::Write;

use super::{Whose, unwritten};
use crate::cli::exit::{Exit, Failure};
use crate::learn::{Retired, Shelf, forget};
use crate::session::person::{ChoiceStore, Forgotten, ForkName, Which};

/// Delete choices from a person's memory, and check that they are gone
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    whose: Whose,
}

#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
struct What {
    /// One choice, as `list` names it
    #[arg(long, value_name = "SESSION/FORK")]
    fork: Option<ForkName>,
    /// All choices of a session
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
    /// All choices
    #[arg(long)]
    all: bool,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), Failure> {
    let What { fork, session, .. } = &args.what;
    let (which, what) = match (fork, session) {
        (Some(name), _) => (Which::Fork(name.clone()), name.to_string()),
        (None, Some(session)) => (Which::Session(session.clone()), session.clone()),
        (None, None) => (Which::All, "all".to_owned()),
    };
    let person = args.whose.open()?;
    if !person.memory().is_file() {
        return Err(args.whose.nothing());
    }
    let shelf = Shelf::of(person.path());
    let mut store = ChoiceStore::open(person)?;
    let (forgotten, retired) = forget(&mut store, &shelf, &which)?;
    if forgotten.choices == 0 && which != Which::All {
        return Err(Failure::said(
            Exit::Usage,
            format!("{what} is not remembered; `razvilka choices list` shows what is"),
        ));
    }
    let imitator = match (forgotten.choices, store.sessions()?.is_empty()) {
        (0, _) => "",
        (_, true) => {
            "\nThe imitator has nothing to go by any more, and what it had earned is deleted."
        }
        _ => {
            "\nThe imitator is made from the choices that are left when the next session begins, and has to be shown to agree anew."
        }
    };
    writeln!(out, "{}{}{imitator}", words(&forgotten), learnt(&retired)).map_err(unwritten)
}

/// What is gone, and what is not.
fn words(forgotten: &Forgotten) -> String {
    let Forgotten {
        choices,
        sessions,
        traces,
    } = forgotten;
    if *choices == 0 {
        return "nothing was remembered, nothing is forgotten".to_owned();
    }
    format!(
        "{choices} forgotten. The memory was written anew and searched for {traces} pieces of their text and states: none is left in it.\n\
         What this does not reach: the folders of these sessions, whose ledgers are one chain and keep text, options and choice until you delete \
         the folders ({}); what was exported or copied, adapters too; copies that file system or disk keep of what was overwritten.",
        sessions.join(", ")
    )
}

/// What became of what was learned from them.
fn learnt(retired: &Retired) -> String {
    let Retired {
        versions,
        was_in_use,
        in_use,
    } = retired;
    if versions.is_empty() {
        return "\nNo adapter had seen any of them.".into();
    }
    let list: Vec<String> = versions.iter().map(u32::to_string).collect();
    let now = match (was_in_use, in_use) {
        (false, _) => "; the one in use is none of these".to_owned(),
        (true, Some(version)) => format!("; version {version}, which had not, is in use now"),
        (true, None) => {
            "; none is in use now. `razvilka learn` makes one from what is left".to_owned()
        }
    };
    format!(
        "\nAdapters that had seen any of them are deleted: {}{now}.",
        list.join(", ")
    )
}
