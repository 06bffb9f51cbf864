//! Where forks are found, and what decides that two branches are one meaning: against a grammar whose forks are known, and on hand-made cases.
//!
//! ```sh
//! cargo bench --bench forks -- --stories 200 --seed 7 [--model DIR] [--embedder DIR]
//! ```
//!
//! *Detection* (`grammar.rs`): each rule is asked at every position of stories the model has never seen, with the story's own text before it. A
//! hit is a question where the grammar has a fork. *Judges* (`judges.rs`): every pair of candidates at the grammar's forks and wordings, and every
//! pair of options of fixtures/forks, put before everything that could say "the same": the pooled hidden states, the consequences that roll-outs
//! find, a sentence-embedding model where one is given, rules of spelling, and baselines that look at letters. One JSON line per rule and judge on
//! stdout; what was missed and what was asked in vain, by the grammar's names, on stderr;
//! with `--detection-only` nothing but that is done; with `--show N` also the first N missed forks, with what the judges said of their candidates, and
//! with `--pairs FILE` every pair at the grammar's forks and wordings goes into a file: what thresholds are chosen on, on other seeds than those
//! reported.
//!
//! With `--network` the network of choices is measured instead (`network.rs`): how often it joins forks of different texts that are at different
//! places of the grammar.
//!
//! The embedded model knows the 730 words of its stories and no others, so on the hand-made cases its states and consequences are those of a
//! reader who does not know the words: they are printed only with `--model`. Thresholds that are learned are learned on half of the cases, drawn
//! by the seed, and counted on the other half.

mod baselines;
mod cases;
mod figures;
mod grammar;
mod judges;
mod network;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use razvilka::decode::{Embedder, Model, WriterSettings};
use razvilka_grammar::Language;

/// Stories when run as a test: enough to see that it works.
const STORIES_SMOKE: usize = 1;

/// What was asked for.
pub(crate) struct Options {
    stories: usize,
    seed: u64,
    language: Language,
    /// How many of the missed forks are shown.
    show: usize,
    /// Whether forks are found and counted, and nothing else.
    detection_only: bool,
    /// Whether the network of choices is measured, and nothing else.
    network: bool,
    /// Where every pair of candidates goes, one JSON object a line.
    pairs: Option<PathBuf>,
    model: Option<PathBuf>,
    embedder: Option<PathBuf>,
    cases: PathBuf,
    settings: WriterSettings,
}

fn options() -> anyhow::Result<Options> {
    let mut options = Options {
        stories: STORIES_SMOKE,
        seed: 7,
        language: Language::En,
        show: 0,
        detection_only: false,
        network: false,
        pairs: None,
        model: None,
        embedder: None,
        cases: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/forks"),
        settings: WriterSettings::default(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .with_context(|| format!("{argument} wants a value"))
        };
        match argument.as_str() {
            "--bench" => options.stories = options.stories.max(100),
            "--stories" => options.stories = value()?.parse()?,
            "--seed" => options.seed = value()?.parse()?,
            "--detection-only" => options.detection_only = true,
            "--network" => options.network = true,
            "--show" => options.show = value()?.parse()?,
            "--pairs" => options.pairs = Some(value()?.into()),
            "--language" => options.language = value()?.parse()?,
            "--model" => options.model = Some(value()?.into()),
            "--embedder" => options.embedder = Some(value()?.into()),
            "--cases" => options.cases = value()?.into(),
            // Any setting of the writer, for tuning: --set horizon_tokens=32
            "--set" => {
                let pair = value()?;
                let (key, number) = pair.split_once('=').context("--set wants key=value")?;
                let mut table = serde_json::to_value(&options.settings)?;
                table[key] = serde_json::from_str(number)?;
                options.settings = serde_json::from_value(table)?;
            }
            other => bail!("unknown argument {other}"),
        }
    }
    Ok(options)
}

fn main() -> anyhow::Result<()> {
    let options = options()?;
    let mut model = match &options.model {
        Some(dir) => Model::load(dir)?,
        None => Model::embedded()?,
    };
    let embedder = options
        .embedder
        .as_ref()
        .map(Embedder::load)
        .transpose()?
        .map(Arc::new);
    if let Some(embedder) = &embedder {
        model = model.with_embedder(Arc::clone(embedder));
    }
    let model = Arc::new(model);
    if options.network {
        return network::network(&options, &model);
    }
    let mut pairs = Vec::new();
    grammar::detect(&options, &model, &mut pairs)?;
    if options.detection_only {
        return Ok(());
    }
    if let Some(file) = &options.pairs {
        grammar::write_pairs(file, &pairs)?;
    }
    judges::on_the_grammar(&options, &pairs);
    judges::on_the_cases(&options, &model, embedder.as_deref())
}
