//! A session's text gone on with from one of its forks, along a branch that need not be the one that was taken.

#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::answer::answer;
use super::output::{Ended, Out, Run};
use super::{Args, with_threads};
use crate::cli::exit::{Exit, Failure};
use crate::cli::model;
use crate::config::{Plan, is_a_server};
use crate::decode::{Embedder, Generator, GeneratorSettings, LoadSettings, Model};
use crate::engine::replay::{AnotherWay, PastText, ReplayError};
use crate::fork::{Chooser, ForkId};

pub(super) fn write(
    args: &Args,
    folder: &Path,
    settings: GeneratorSettings,
    out: &mut impl Write,
    talk: &mut impl Write,
) -> Result<(), Ended> {
    let (Some(fork), Some(item)) = (args.fork, args.branch) else {
        let said = "--from wants --fork N and --branch K, as the session's report shows them";
        return Err(Failure::said(Exit::Usage, said).into());
    };
    let past = PastText::open(folder).map_err(refused)?;
    let begun = Instant::now();
    let model = Arc::new(opened(args, past.plan())?);
    let way = past.along(&model, ForkId(fork), item).map_err(refused)?;
    let run = Run::new(
        args,
        &model,
        begun.elapsed().as_secs_f64(),
        settings.clone(),
    );
    let mut generator = Generator::on(model, settings, args.device, args.floats)?;
    let mut out = Out::new(out, talk, args.form(), run);
    out.say(&in_words(&way));
    answer(&mut generator, (&way.tokens, &way.text), &mut out).map(|_| ())
}

/// As a replay refuses it, with what can be said here.
fn refused(error: ReplayError) -> Failure {
    let hint = match &error {
        ReplayError::Model { .. } => ", or say with --model where it is",
        ReplayError::Adapter { .. } => ". --adapter says where it is now",
        _ => "",
    };
    let Failure { exit, message } = error.into();
    Failure::said(exit, message + hint)
}

/// The session's model, held as the session held it; from where it is now, if that is said.
fn opened(args: &Args, plan: &Plan) -> Result<Model, Failure> {
    let named = args.model.as_deref().or(plan.model.path.as_deref());
    if let Some(address) = named.filter(|named| is_a_server(named)) {
        let said = format!(
            "{} is a server, which tells no tokens: a session's text is gone on with by a model in this process alone",
            address.display()
        );
        return Err(Failure::said(Exit::Usage, said));
    }
    let settings = LoadSettings {
        precision: plan.decode.precision,
        text_tokens: plan.writer.context_tokens_max as usize,
        ..LoadSettings::default()
    };
    let adapter = args.adapter.as_deref().or(plan.model.adapter.as_deref());
    let model = model::open_adapted(named, &settings, adapter)?;
    // It has a say in what is a fork.
    let model = match &plan.model.embedder {
        Some(folder) => model.with_embedder(Arc::new(Embedder::load(folder)?)),
        None => model,
    };
    with_threads(model, args)
}

fn in_words(way: &AnotherWay) -> String {
    let taken = match &way.taken {
        None => "where nothing was taken".to_owned(),
        Some((text, _)) if *text == way.branch => "as in the session".to_owned(),
        Some((text, chooser)) => {
            let who = match chooser {
                Chooser::Human => "the person",
                Chooser::Imitator => "the imitator",
                Chooser::Model => "the model",
            };
            format!("where {who} took \u{201c}{text}\u{201d}")
        }
    };
    format!(
        "session {}, fork {}: along \u{201c}{}\u{201d}, {taken}",
        way.session, way.fork.0, way.branch
    )
}
