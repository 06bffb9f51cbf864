//! `razvilka choices list` and `search`.

use std::collections::VecDeque;
use std::io::Write;
use std::ops::ControlFlow;

use super::{Whose, unwritten};
use crate::choice::Why;
use crate::cli::exit::{Exit, Failure};
use crate::fork::Chooser;
use crate::marker::OptionKind;
use crate::session::person::{Remembered, RememberedOption, TakenBack, Which};

/// Characters of the text before a fork that a line shows.
const CONTEXT_CHARS: usize = 32;

/// List the choices that are remembered, oldest first
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    how: How,
}

/// List the choices in whose text or options all these words stand
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SearchArgs {
    /// The words; upper and lower case are the same
    #[arg(required = true, value_name = "WORD")]
    words: Vec<String>,
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Clone, clap::Args)]
struct How {
    /// Only those of this session
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
    /// Only the latest N
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    /// One JSON object a line, without the model's states
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), Failure> {
    show(&args.whose, &args.how, |_| true, out)
}

pub(super) fn search(args: &SearchArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let words: Vec<String> = args.words.iter().map(|word| word.to_lowercase()).collect();
    let says = |choice: &Remembered| {
        let options = choice.options.iter().map(|option| option.text.as_str());
        let mut text = options.fold(choice.context.clone(), |text, option| text + "\n" + option);
        text = text.to_lowercase();
        words.iter().all(|word| text.contains(word))
    };
    show(&args.whose, &args.how, says, out)
}

fn show(
    whose: &Whose,
    how: &How,
    wanted: impl Fn(&Remembered) -> bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let store = whose.memory()?;
    let which = how.session.clone().map_or(Which::All, Which::Session);
    let line = |choice: Remembered| {
        if how.json {
            serde_json::to_string(&without_states(choice)).unwrap_or_default()
        } else {
            words_of(&choice)
        }
    };
    let mut lines = VecDeque::new();
    let (mut found, mut written) = (0_u64, Ok(()));
    store.each(&which, |choice| {
        if !wanted(&choice) {
            return ControlFlow::Continue(());
        }
        found += 1;
        let line = line(choice);
        match how.last {
            None => written = writeln!(out, "{line}"),
            Some(last) => {
                lines.push_back(line);
                while lines.len() > last {
                    lines.pop_front();
                }
            }
        }
        if written.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    for line in lines {
        written = written.and_then(|()| writeln!(out, "{line}"));
    }
    written.map_err(unwritten)?;
    match (&how.session, found) {
        (Some(session), 0) => Err(no_such_session(session)),
        _ => Ok(()),
    }
}

pub(super) fn no_such_session(session: &str) -> Failure {
    Failure::said(
        Exit::Usage,
        format!(
            "no such choice of session {session} is remembered; `razvilka choices list` shows what is"
        ),
    )
}

/// A choice as people read it, for export without what only a model understands.
pub(super) fn without_states(mut choice: Remembered) -> Remembered {
    choice.state = None;
    for option in &mut choice.options {
        option.embedding = None;
    }
    choice
}

/// One line for people.
fn words_of(choice: &Remembered) -> String {
    let chooser = match choice.chooser {
        Some(Chooser::Human) => "person",
        Some(Chooser::Imitator) => "imitator",
        Some(Chooser::Model) => "model",
        None => "nobody",
    };
    let told = match choice.why {
        Why::ToldToGoOn => " (told to go on)",
        _ => "",
    };
    let chosen = choice.taken().map_or("nothing".to_owned(), option_words);
    let others: Vec<String> = choice
        .options
        .iter()
        .filter(|option| option.kind == OptionKind::Branch && Some(option.item) != choice.chosen)
        .map(option_words)
        .collect();
    let tail: Vec<char> = choice.context.chars().rev().take(CONTEXT_CHARS).collect();
    let tail: String = tail.into_iter().rev().map(plain).collect();
    let seconds = choice
        .decision_s
        .map_or(String::new(), |s| format!(", {s:.1} s"));
    let back = match choice.taken_back {
        None => "",
        Some(TakenBack::Undo) => " [taken back]",
        Some(TakenBack::Call) => " [gone with a call further back]",
    };
    format!(
        "{}  {}  {chooser}{told}{seconds}: …{tail} → {chosen}, not {}{back}",
        choice.name(),
        choice.at_utc,
        if others.is_empty() {
            "anything else".to_owned()
        } else {
            others.join(" or ")
        },
    )
}

fn option_words(option: &RememberedOption) -> String {
    let what = match option.kind {
        OptionKind::Branch | OptionKind::Item => {
            format!("\"{}\"", option.text.chars().map(plain).collect::<String>())
        }
        OptionKind::Other => "other branches".to_owned(),
        OptionKind::Undo => "undo".to_owned(),
        OptionKind::GoOn => "go on".to_owned(),
    };
    match option.preference {
        Some(preference) => format!("{what} ({preference:+.2})"),
        None => what,
    }
}

/// A line stays a line, and a terminal does not take orders from a text.
pub(super) fn plain(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}
