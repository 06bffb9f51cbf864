//! `razvilka run`: a session on live streams, as an experiment file says.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::exit::{Exit, Failure};
use super::play::{Left, Play, conclude, exit_of, play};
use super::told::print_summary;
use super::window;
use crate::config::{NetworkMode, PersonSection, Plan, explain, is_a_server, is_on_a_hub};
use crate::session::new_session_id;
use crate::source::lsl::Network;
use crate::view::page::Views;

/// Run a session on live streams.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The experiment file (TOML); examples/experiment.toml is an annotated one
    #[arg(long, value_name = "FILE", required_unless_present = "explain")]
    pub config: Option<PathBuf>,
    /// The session folder, made new; razvilka-session-TIME by default
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// A folder of sentence-transformers as one more judge of which branches mean the same, instead of the experiment file's
    #[arg(long, value_name = "DIR")]
    pub embedder: Option<PathBuf>,
    /// Remember the choices of this person, who agreed to that: a name, or the path of a folder; instead of the experiment file's
    #[arg(long, value_name = "DIR|NAME")]
    pub person: Option<PathBuf>,
    /// What is shown to the person
    #[command(flatten)]
    pub view: window::Typed,
    /// Only check the experiment file, and print it with every default stated
    #[arg(long)]
    pub check: bool,
    /// Print every number of an experiment file with its range and default
    #[arg(long)]
    pub explain: bool,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] with the exit code that fits.
pub fn run(args: &Args, command: Vec<String>, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
    if args.explain {
        print!("{}", explain());
        return Ok(());
    }
    let Some(file) = &args.config else {
        return Err(Failure::said(Exit::Usage, "--config FILE is missing"));
    };
    let mut plan = Plan::read_with_profile(file)?;
    if let Some(named) = &args.embedder {
        plan.model.embedder = Some(named.clone());
        plan.check()?;
    }
    if let Some(id) = args.person.clone() {
        plan.person = Some(PersonSection { id });
        plan.check()?;
    }
    if let Some(path) = plan.model.embedder.as_ref().filter(|path| !path.exists()) {
        return Err(Failure::said(
            Exit::Model,
            format!(
                "model.embedder: there is no {}; correct it, or leave it out",
                path.display()
            ),
        ));
    }
    let named = plan.model.path.as_ref();
    if let Some(path) =
        named.filter(|path| !is_on_a_hub(path) && !is_a_server(path) && !path.exists())
    {
        return Err(Failure::said(
            Exit::Model,
            format!(
                "model.path: there is no {}; correct it, or leave it out for the embedded model",
                path.display()
            ),
        ));
    }
    let plan = args.view.onto(plan)?;
    if args.check {
        print!("{}", plan.to_toml());
        return Ok(());
    }
    let network = settle(&plan)?;
    let id = new_session_id(std::time::SystemTime::now());
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("razvilka-session-{id}")));
    let played = &plan.clone();
    window::shown(played, stop, |board| {
        let mut views = Views::of(board.as_ref());
        let left = play(Play {
            plan,
            network,
            out,
            command,
            model: None,
            marker_session: id,
            listener: None,
            view: &mut views,
            board,
            stop: Arc::clone(stop),
        })?;
        end(&left, None)
    })
}

/// Settles which network LSL may use.
///
/// # Errors
/// [`Exit::Source`] when LSL cannot use it.
pub(super) fn settle(plan: &Plan) -> Result<Network, Failure> {
    let session = plan.network.session_id.as_str();
    let network = match plan.network.mode {
        NetworkMode::Laboratory => Network::laboratory(),
        NetworkMode::Loopback if session.is_empty() => Network::loopback(),
        NetworkMode::Loopback => Network::loopback_session(session),
    };
    network.map_err(Failure::from)
}

/// Summary and report, then the exit code.
///
/// # Errors
/// [`Failure`] when the session ended early, or something of it is missing.
pub fn end(left: &Left, truth: Option<&std::path::Path>) -> Result<(), Failure> {
    if left.played.is_some() {
        let summary = conclude(left, truth)?;
        // A closed stdout does not undo the session.
        let _ = print_summary(left, &summary, &mut std::io::stdout());
    } else {
        eprintln!(
            "razvilka: stopped before the first fork; what was recorded is in {}",
            left.folder.path().display()
        );
    }
    exit_of(left).map_or(Ok(()), Err)
}
