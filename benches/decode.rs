//! Decoding: tokens per second alone and with three branches, what a fork costs, how long commit and undo take.
//!
//! ```sh
//! cargo bench --bench decode -- --tokens 300 --choices 300
//! cargo bench --bench decode -- --model DIR --tokens 60 --choices 40
//! ```
//!
//! One JSON line per figure. Single and three-branch steps alternate in one run, so that a busy machine disturbs both
//! alike; quote the ratio. Commit and undo are closed loops: no queue forms, so the percentiles are those of the call.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use razvilka::decode::{Cancel, Model, Precision, Step, Thought, Writer, WriterSettings};

struct Options {
    model: Option<PathBuf>,
    precision: Precision,
    prompt: String,
    tokens: usize,
    choices: usize,
}

fn options() -> anyhow::Result<Options> {
    // Small when run as a test.
    let mut options = Options {
        model: None,
        precision: Precision::F32,
        prompt: String::new(),
        tokens: 20,
        choices: 3,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .with_context(|| format!("{argument} wants a value"))
        };
        match argument.as_str() {
            "--bench" => {
                (options.tokens, options.choices) =
                    (options.tokens.max(300), options.choices.max(300));
            }
            "--model" => options.model = Some(value()?.into()),
            "--precision" => {
                options.precision = match value()?.as_str() {
                    "f32" => Precision::F32,
                    "q8" => Precision::Q8,
                    "q4" => Precision::Q4,
                    other => bail!("--precision {other}: f32, q8 or q4"),
                };
            }
            "--prompt" => options.prompt = value()?,
            "--tokens" => options.tokens = value()?.parse()?,
            "--choices" => options.choices = value()?.parse()?,
            other => bail!("unknown argument {other}"),
        }
    }
    Ok(options)
}

/// Nanoseconds.
type Times = Histogram<u64>;

fn times() -> anyhow::Result<Times> {
    Ok(Histogram::new_with_bounds(1, 600_000_000_000, 3)?)
}

fn note(times: &mut Times, spent: Duration) {
    times.saturating_record(u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX));
}

fn report(what: &str, times: &Times) {
    let us = |q: f64| times.value_at_quantile(q) as f64 / 1e3;
    let line = serde_json::json!({
        "bench": "decode", "what": what, "n": times.len(), "p50_us": us(0.5), "p99_us": us(0.99), "p999_us": us(0.999),
        "max_us": times.max() as f64 / 1e3,
    });
    println!("{line}");
}

fn main() -> anyhow::Result<()> {
    let options = options()?;
    let model = Arc::new(match &options.model {
        Some(dir) => Model::load_as(dir, options.precision)?,
        None => Model::embedded()?,
    });
    steps(&model, &options)?;
    choices(&model, &options)
}

/// Plain steps and three-branch steps, in turns, at growing contexts.
fn steps(model: &Arc<Model>, options: &Options) -> anyhow::Result<()> {
    let plain = WriterSettings {
        detect: false,
        tokens_max: 1_000_000,
        ..WriterSettings::default()
    };
    let ahead = WriterSettings {
        ready_tokens_max: 1024,
        ..plain.clone()
    };
    let cancel = Cancel::new();
    let (mut single, mut triple) = (times()?, times()?);
    let mut round = 0;
    while (single.len() as usize) < options.tokens || (triple.len() as usize) < options.tokens {
        round += 1;
        ensure!(round < 10_000, "the texts of this model end at once");
        let mut writer = Writer::new(
            Arc::clone(model),
            WriterSettings {
                seed: round,
                ..plain.clone()
            },
        )?;
        writer.start(&options.prompt)?;
        for _ in 0..64 {
            let begun = Instant::now();
            let step = writer.advance(&cancel)?;
            if !matches!(step, Step::Text(_)) {
                break;
            }
            note(&mut single, begun.elapsed());
        }
        let mut writer = Writer::new(
            Arc::clone(model),
            WriterSettings {
                seed: round,
                ..ahead.clone()
            },
        )?;
        writer.start(&options.prompt)?;
        for _ in 0..12 {
            writer.advance(&cancel)?;
        }
        if writer.call(0)?.is_none_or(|fork| fork.branches.len() < 3) {
            continue;
        }
        for _ in 0..64 {
            let begun = Instant::now();
            if writer.think(&cancel)? != (Thought::Further { branches: 3 }) {
                break;
            }
            note(&mut triple, begun.elapsed());
        }
    }
    report("step, one line", &single);
    report("step, three branches", &triple);
    let (one, three) = (
        single.value_at_quantile(0.5) as f64,
        triple.value_at_quantile(0.5) as f64,
    );
    let summary = serde_json::json!({
        "bench": "decode", "what": "speed", "parameters": model.config().parameters(),
        "tokens_per_s": 1e9 / one, "tokens_per_s_three_branches": 3e9 / three, "ratio_three_to_one": three / one,
    });
    println!("{summary}");
    Ok(())
}

/// Forks as they come, each thought about for a while, chosen, now and then taken back.
fn choices(model: &Arc<Model>, options: &Options) -> anyhow::Result<()> {
    let settings = WriterSettings {
        tokens_max: 1_000_000,
        ..WriterSettings::default()
    };
    let mut writer = Writer::new(Arc::clone(model), settings)?;
    let cancel = Cancel::new();
    let (mut fork, mut commit, mut undo, mut first) = (times()?, times()?, times()?, times()?);
    writer.start(&options.prompt)?;
    let mut idle = 0;
    while (commit.len() as usize) < options.choices {
        let begun = Instant::now();
        let open = match writer.advance(&cancel)? {
            Step::Fork(open) => {
                note(&mut fork, begun.elapsed());
                open
            }
            Step::Text(_) if idle < 200 => {
                idle += 1;
                continue;
            }
            // A model whose gate never opens is asked instead.
            Step::Text(_) => match writer.call(0)? {
                Some(open) => open,
                None => continue,
            },
            _ => {
                writer.start(&options.prompt)?;
                continue;
            }
        };
        idle = 0;
        for _ in 0..8 {
            writer.think(&cancel)?;
        }
        let branch = commit.len() as usize % open.branches.len();
        let begun = Instant::now();
        writer.commit(open.id, branch)?;
        note(&mut commit, begun.elapsed());
        if commit.len() % 3 == 0 {
            let begun = Instant::now();
            let undone = writer.undo()?.context("a choice was just made")?;
            note(&mut undo, begun.elapsed());
            writer.commit(undone.fork.id, branch)?;
        }
        let begun = Instant::now();
        if matches!(writer.advance(&cancel)?, Step::Text(_)) {
            note(&mut first, begun.elapsed());
        } else if let Some(open) = writer.fork().map(|open| open.id) {
            writer.go_on(open)?;
        }
    }
    report("fork found: gate, roll-outs, meanings", &fork);
    report("commit", &commit);
    report("undo", &undo);
    report("first text behind a commit", &first);
    let stats = writer.stats();
    let summary = serde_json::json!({
        "bench": "decode", "what": "session", "detector_share": stats.detector_share(), "examined": stats.examined,
        "forks": stats.forks, "forward_steps": stats.forward_steps, "rows_per_step": stats.forward_rows as f64 / stats.forward_steps.max(1) as f64,
    });
    println!("{summary}");
    Ok(())
}
