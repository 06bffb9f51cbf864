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
use crate::cli::play::loaded;
use crate::config::{Plan, is_a_server};
use crate::decode::{Generator, GeneratorSettings, Model};
use crate::engine::replay::{AnotherWay, PastText, ReplayError};
use crate::fork::{Chooser, ForkId};

/// What to do where the session's model is not where the session had it.
const MOVED: &str = ". --model and --adapter say where the session's model and adapter are now";

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
    let run = run.gone_on_from(&way, item);
    let mut generator = Generator::on(model, settings, args.device, args.floats)?;
    let mut out = Out::new(out, talk, args.form(), run);
    out.say(&in_words(&way));
    // The session's writer went on past its context, too.
    let prompt = generator.going_on(&way.tokens);
    if prompt.len() < way.tokens.len() {
        out.say(&format!(
            "the text has {} tokens and the context holds {}: the model goes on from the last {}, as a session does whose context is full",
            way.tokens.len(),
            generator.context_tokens(),
            generator.context_tokens() / 2
        ));
    }
    answer(&mut generator, (&prompt, &way.text), &mut out).map(|_| ())
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
    let mut here = plan.clone();
    here.model.path = named.map(Path::to_owned);
    here.model.adapter = args.adapter.clone().or(here.model.adapter);
    let model = loaded(&here).map_err(|failure| {
        let as_recorded = (args.model.is_none() && plan.model.path.is_some())
            || (args.adapter.is_none() && plan.model.adapter.is_some());
        let Failure { exit, message } = failure;
        let hint = if as_recorded { MOVED } else { "" };
        Failure::said(exit, message + hint)
    })?;
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
