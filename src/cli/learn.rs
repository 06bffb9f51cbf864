//! `razvilka learn`: an adapter from a person's remembered choices, in versions, with a way back.

#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use super::choices::{Whose, unwritten};
use super::exit::{Exit, Failure};
use super::model;
use super::play::progress_bar;
use crate::decode::{
    Backend, Cancel, LearnSettings, Learned, Learner, LoadSettings, Model, Precision, Progress,
    plain_texts,
};
use crate::engine::conduct::model_digest;
use crate::learn::{
    Card, ForgetError, LessonsError, Shelf, ShelfError, TaughtBy, Unused, lessons_of,
};
use crate::rt;
use crate::session::person::{ChoiceStore, Person};
use crate::session::utc_of;

/// Learn from a person's choices: an adapter for the model, used only if it is better; list its versions, go back
///
/// Reads the choices that `--person` remembers, learns beside the model at the lowest priority, and tries the adapter on choices that it did not
/// learn from and on plain text. The next session of this person with this model uses it if it is better. Ctrl-C stops and writes nothing.
#[derive(Debug, Clone, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    learn: LearnArgs,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Verb {
    /// List the versions of a person's adapters
    List(Whose),
    /// Use a version from now on
    Use {
        /// Its number; 0 is the model without any
        version: u32,
        /// Even one that is not better
        #[arg(long)]
        anyway: bool,
        #[command(flatten)]
        whose: Whose,
    },
    /// Go back to what was in use before the present version
    Rollback(Whose),
}

#[derive(Debug, Clone, clap::Args)]
struct LearnArgs {
    /// The person: a name, or the path of a folder (with a / in it)
    #[arg(long, value_name = "DIR|NAME", required = true)]
    person: Option<PathBuf>,
    /// A Hugging Face folder, a GGUF file or hf:organisation/name; the embedded story model when absent
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Settings in TOML, by the names of docs/choices.md; the defaults when absent
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// No step begins later than so many seconds after the first; instead of the settings' own
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,
    /// Plain text, UTF-8, that is to stay as likely as it is, an empty line between texts; what the model writes of its own accord when absent
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// By which share the perplexity of plain text may rise
    #[arg(long, value_name = "X", default_value_t = 0.01)]
    plain_worse_max: f64,
    /// Print the adapter's card, one JSON object
    #[arg(long)]
    json: bool,
}

/// Plain texts that the model writes itself, and their tokens.
const TEXTS: usize = 32;
const TEXT_TOKENS: usize = 64;

/// Runs `razvilka learn`.
///
/// # Errors
/// [`Failure`]: 2 for a person without consent or with too few choices, 4 for a model that cannot learn, 6 for a disk that refuses.
pub fn run(args: &Args, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match &args.verb {
        None => learn(&args.learn, stop, &mut out),
        Some(Verb::List(whose)) => list(whose, &mut out),
        Some(Verb::Use {
            version,
            anyway,
            whose,
        }) => {
            let (_locked, shelf) = locked_shelf(whose)?;
            shelf.use_version((*version > 0).then_some(*version), *anyway)?;
            say_in_use(&shelf, &mut out)
        }
        Some(Verb::Rollback(whose)) => {
            let (_locked, shelf) = locked_shelf(whose)?;
            shelf.roll_back()?;
            say_in_use(&shelf, &mut out)
        }
    }
}

/// A person's shelf, to be changed: no session of the person begins while the person is held.
fn locked_shelf(whose: &Whose) -> Result<(Person, Shelf), Failure> {
    let person = whose.open()?.lock()?;
    let shelf = Shelf::of(person.path());
    Ok((person, shelf))
}

fn list(whose: &Whose, out: &mut dyn Write) -> Result<(), Failure> {
    let shelf = Shelf::of(whose.open()?.path());
    let current = shelf.current()?.map(|card| card.version);
    for version in shelf.versions()? {
        let card = shelf.card(version)?;
        let mark = if current == Some(version) { "*" } else { " " };
        writeln!(out, "{mark} {} ({})", card.in_words(), card.base).map_err(unwritten)?;
    }
    say_in_use(&shelf, out)
}

fn say_in_use(shelf: &Shelf, out: &mut dyn Write) -> Result<(), Failure> {
    let words = match shelf.current()? {
        Some(card) => format!("version {} is in use", card.version),
        None => "no adapter is in use".into(),
    };
    writeln!(out, "{words}").map_err(unwritten)
}

fn learn(args: &LearnArgs, stop: &Arc<AtomicBool>, out: &mut dyn Write) -> Result<(), Failure> {
    let whose = Whose {
        person: args.person.clone().unwrap_or_default(), // required
    };
    let named = &whose.person;
    let settings = args.settings()?;
    let person = whose.open()?.lock()?;
    if let Some(reason) = person.record().off_because() {
        let how = format!("`razvilka choices consent on --person {}`", named.display());
        return Err(Failure::said(
            Exit::Usage,
            format!(
                "nothing is learned from {}: {reason}. {how} switches it on",
                named.display()
            ),
        ));
    }
    let shelf = Shelf::of(person.path());
    let store = ChoiceStore::open_read_only(&person)?.ok_or_else(|| whose.nothing())?;
    rt::stand_back(19, None);
    let load = LoadSettings {
        precision: Precision::F32,
        text_tokens: settings.context_tokens_max,
        ..LoadSettings::default()
    };
    let model = Arc::new(model::open(args.model.as_deref(), &load)?);
    let taught = lessons_of(&store, &model).map_err(|error| match error {
        LessonsError::Memory(error) => Failure::from(error),
        LessonsError::Model(error) => Failure::new(Exit::Model, error),
    })?;
    eprintln!(
        "{} choices of {} teach{}",
        taught.lessons.len(),
        named.display(),
        unused_in_words(taught.unused)
    );
    let plain = args.plain(&model, settings.seed)?;
    let learned = with_progress(&model, settings.clone(), &taught.lessons, &plain, stop)?;
    let base = Backend::from(Arc::clone(&model));
    let card = Card {
        format_version: Card::FORMAT,
        version: 0,
        parent: None,
        made_utc: utc_of(SystemTime::now()),
        razvilka: env!("CARGO_PKG_VERSION").into(),
        base: model.card().name,
        base_sha256: model_digest(&base),
        settings,
        choices: taught
            .forks
            .iter()
            .map(|name| TaughtBy {
                session: name.session.clone(),
                fork: name.fork.0,
            })
            .collect(),
        learned_from: learned.choices,
        steps: learned.steps,
        held_out: learned.held_out,
        is_better: learned.held_out.is_better(args.plain_worse_max),
        plain_worse_max: args.plain_worse_max,
    };
    let card = shelf.put(&learned.adapter, card)?;
    if card.is_better {
        shelf.use_version(Some(card.version), false)?;
    }
    if args.json {
        let text = serde_json::to_string(&card).unwrap_or_default();
        writeln!(out, "{text}").map_err(unwritten)
    } else {
        let [done, meant] = card.steps;
        let short = if done < meant {
            format!("; time was up after {done} of {meant} steps")
        } else {
            String::new()
        };
        writeln!(out, "{} ({:.1} s{short})", card.in_words(), learned.seconds)
            .map_err(unwritten)?;
        say_in_use(&shelf, out)
    }
}

impl LearnArgs {
    fn settings(&self) -> Result<LearnSettings, Failure> {
        let usage = |message: String| Failure::said(Exit::Usage, message);
        let mut settings = match &self.settings {
            None => LearnSettings::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| usage(format!("{}: {error}", path.display())))?;
                toml::from_str(&text)
                    .map_err(|error| usage(format!("{}: {error}", path.display())))?
            }
        };
        if let Some(seconds) = self.seconds {
            settings.seconds_max = seconds;
        }
        settings
            .check()
            .map_err(|error| Failure::new(Exit::Usage, error))?;
        if (0.0..=1.0).contains(&self.plain_worse_max) {
            Ok(settings)
        } else {
            Err(usage(format!(
                "--plain-worse-max is {}; allowed is 0 to 1",
                self.plain_worse_max
            )))
        }
    }

    /// The plain texts, in tokens.
    fn plain(&self, model: &Arc<Model>, seed: u64) -> Result<Vec<Vec<u32>>, Failure> {
        let failed = |error| Failure::new(Exit::Model, error);
        let Some(path) = &self.text else {
            return plain_texts(model, TEXTS, TEXT_TOKENS, seed).map_err(failed);
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::said(Exit::Usage, format!("{}: {error}", path.display())))?;
        let mut texts = Vec::new();
        for part in text.split("\n\n").filter(|part| !part.trim().is_empty()) {
            let tokens = model.tokens().encode(part.trim()).map_err(failed)?;
            texts.extend(tokens.chunks(TEXT_TOKENS).map(<[u32]>::to_vec));
        }
        if texts.len() < 2 {
            return Err(Failure::said(
                Exit::Usage,
                format!(
                    "{}: one half of the text holds the adapter and the other tries it: give more than {TEXT_TOKENS} tokens",
                    path.display()
                ),
            ));
        }
        Ok(texts)
    }
}

fn with_progress(
    model: &Arc<Model>,
    settings: LearnSettings,
    lessons: &[crate::decode::Lesson],
    plain: &[Vec<u32>],
    stop: &Arc<AtomicBool>,
) -> Result<Learned, Failure> {
    let cancel = Cancel::new();
    let bar = progress_bar(1);
    let mut told = |progress: Progress| {
        bar.set_length(progress.steps as u64);
        bar.set_position(progress.step as u64);
        bar.set_message(format!(
            "step {} of {}: loss {:.3}, plain text {:.4} nats apart",
            progress.step, progress.steps, progress.loss_nats, progress.anchor_nats
        ));
        if stop.load(Ordering::Relaxed) {
            cancel.request();
        }
    };
    let learned = Learner::new(Arc::clone(model), settings)
        .and_then(|mut learner| learner.learn(lessons, plain, &cancel, &mut told));
    bar.finish_and_clear();
    learned.map_err(|error| {
        let exit = match error {
            crate::decode::DecodeError::Lesson { .. } => Exit::Usage,
            _ => Exit::Model,
        };
        Failure::new(exit, error)
    })
}

fn unused_in_words(unused: Unused) -> String {
    let parts = [
        (
            unused.not_the_persons,
            "chose no branch, or were not the person's",
        ),
        (
            unused.nothing_to_choose,
            "had a single branch or nothing before it",
        ),
        (unused.other_model, "are in another model's tokens"),
        (unused.place_gone, "were left behind by a call further back"),
    ];
    let said: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
    if said.is_empty() {
        String::new()
    } else {
        format!("; of the others {}", said.join(", "))
    }
}

impl From<ForgetError> for Failure {
    fn from(error: ForgetError) -> Self {
        match error {
            ForgetError::Memory(error) => error.into(),
            ForgetError::Shelf(error) => error.into(),
        }
    }
}

impl From<ShelfError> for Failure {
    fn from(error: ShelfError) -> Self {
        let exit = match error {
            ShelfError::Io { .. } => Exit::RecordingIncomplete,
            ShelfError::Card { .. } | ShelfError::Model(_) => Exit::Model,
            _ => Exit::Usage,
        };
        Self::new(exit, error)
    }
}
