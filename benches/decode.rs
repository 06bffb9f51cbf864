//! Decoding: tokens per second alone and with three branches, what a fork costs, how long commit and undo take, how many tokens are ready when
//! a person has thought for a while.
//!
//! ```sh
//! cargo bench --bench decode -- --tokens 300 --choices 300
//! cargo bench --bench decode -- --model DIR --tokens 60 --choices 40
//! cargo bench --bench decode -- --raw --model DIR --precision q8 --context 512 --branches 3
//! cargo bench --bench decode -- --memory 100000 --width 576
//! ```
//!
//! One JSON line per figure. Single and three-branch steps alternate in one run, so that a busy machine disturbs both
//! alike; quote the ratio. With `--raw`, tokens go in and logits come out and nothing else happens: what `benches/peers/decode.py` sets beside
//! other programs; with `--memory` no model is loaded, and a memory of so many choices is asked. Commit and undo are closed loops: no queue forms, so the percentiles are those of the call.

#[path = "decode/memory.rs"]
mod memory;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use razvilka::decode::{
    Cancel, Model, Precision, Step, Steps, Thought, Threads, Writer, WriterSettings,
};

struct Options {
    model: Option<PathBuf>,
    precision: Precision,
    threads: usize,
    prompt: String,
    tokens: usize,
    choices: usize,
    raw: Option<Raw>,
    /// Choices remembered; 0 leaves that out.
    memory: usize,
    width: usize,
}

/// Bare steps: at which context, of how many branches, how many.
#[derive(Clone, Copy)]
struct Raw {
    context: usize,
    branches: usize,
    steps: usize,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            context: 64,
            branches: 1,
            steps: 12,
        }
    }
}

fn options() -> anyhow::Result<Options> {
    // Small when run as a test.
    let mut options = Options {
        model: None,
        precision: Precision::F32,
        threads: 1,
        prompt: String::new(),
        tokens: 20,
        choices: 3,
        raw: None,
        memory: 0,
        width: 576,
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
            "--raw" => {
                options.raw.get_or_insert_default();
            }
            "--context" => options.raw.get_or_insert_default().context = value()?.parse()?,
            "--branches" => options.raw.get_or_insert_default().branches = value()?.parse()?,
            "--steps" => options.raw.get_or_insert_default().steps = value()?.parse()?,
            "--memory" => options.memory = value()?.parse()?,
            "--width" => options.width = value()?.parse()?,
            "--threads" => options.threads = value()?.parse()?,
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
    if options.memory > 0 {
        return memory::queries(options.memory, options.width, options.choices);
    }
    let model = match &options.model {
        Some(dir) => Model::load_as(dir, options.precision)?,
        None => Model::embedded()?,
    };
    let threads = Threads {
        count: options.threads,
        begin: None,
    };
    let model = Arc::new(model.with_threads(threads)?);
    if let Some(how) = options.raw {
        return raw(&model, how, options.threads);
    }
    steps(&model, &options)?;
    quiet(&model, &options)?;
    relinks(&model, &options)?;
    pieces(&model, &options)?;
    ahead(&model, &options)?;
    choices(&model, &options)
}

/// What looking for forks costs where there are none: texts of the same seeds with the detector and without, in turns. By CPU time: it is a small
/// difference.
fn quiet(model: &Arc<Model>, options: &Options) -> anyhow::Result<()> {
    let cancel = Cancel::new();
    let (mut plain, mut watched) = (times()?, times()?);
    let mut round = 0;
    while (plain.len() as usize) < options.tokens || (watched.len() as usize) < options.tokens {
        round += 1;
        ensure!(round < 10_000, "the texts of this model end at once");
        for detect in [false, true] {
            let settings = WriterSettings {
                detect,
                // Looked at everywhere, found nowhere: forks cut keys and values into short pieces, which is another cost.
                second_mass_min: 0.5,
                seed: round,
                tokens_max: 1_000_000,
                ..WriterSettings::default()
            };
            let mut writer = Writer::new(Arc::clone(model), settings)?;
            writer.start(&options.prompt)?;
            for _ in 0..64 {
                let (before, examined) = (processor_ms(), writer.stats().examined);
                match writer.advance(&cancel)? {
                    // A place that was worth a roll-out is no quiet one.
                    Step::Text(_) if writer.stats().examined == examined => {
                        note(
                            if detect { &mut watched } else { &mut plain },
                            Duration::from_secs_f64((processor_ms() - before) * 1e-3),
                        );
                    }
                    Step::Text(_) => {}
                    Step::Fork(open) => {
                        writer.go_on(open.id)?;
                    }
                    _ => break,
                }
            }
        }
    }
    report("quiet step, CPU time, without the detector", &plain);
    report("quiet step, CPU time, with the detector", &watched);
    let (without, with) = (
        plain.value_at_quantile(0.5) as f64,
        watched.value_at_quantile(0.5) as f64,
    );
    let line = serde_json::json!({ "bench": "decode", "what": "loss of a stretch without forks", "share": with / without - 1.0 });
    println!("{line}");
    Ok(())
}

/// What it costs the keys and values alone: three lines of one, and one of three.
fn relinks(model: &Arc<Model>, options: &Options) -> anyhow::Result<()> {
    let text: Vec<u32> = (0..64).map(|i| 2 + i % 50).collect();
    let mut steps = Steps::new(Arc::clone(model));
    let (mut fork, mut commit) = (times()?, times()?);
    for round in 0..options.choices {
        if round % 50 == 0 {
            steps.clear();
            steps.read(&text)?;
        }
        let begun = Instant::now();
        steps.fork(3);
        note(&mut fork, begun.elapsed());
        steps.step(&[2, 3, 4])?;
        let begun = Instant::now();
        steps.commit(round % 3);
        note(&mut commit, begun.elapsed());
    }
    report("relinking: one line becomes three", &fork);
    report("relinking: one of three goes on", &commit);
    Ok(())
}

/// A step behind many forks: three texts of the same tokens, one read straight, one of pieces as the forks left them, one of pieces that were
/// joined. One step of each in turns; by CPU time, as ratios are what counts.
fn pieces(model: &Arc<Model>, options: &Options) -> anyhow::Result<()> {
    /// Tokens behind a fork on the branch that is chosen, and then without one.
    const BETWEEN: [usize; 2] = [4, 4];
    const STEPS: usize = 40;
    let token = |i: usize| 2 + (i * 37 % 50) as u32;
    let longest = model.config().context_tokens.saturating_sub(2 * STEPS);
    let small = options.choices < 20;
    let contexts = if small { vec![40] } else { vec![128, 256, 512] };
    for context in contexts.into_iter().filter(|context| *context <= longest) {
        let text: Vec<u32> = (0..context).map(token).collect();
        let mut straight = Steps::new(Arc::clone(model));
        straight.read(&text)?;
        let (mut cut, mut joined) = (Steps::new(Arc::clone(model)), Steps::new(Arc::clone(model)));
        let (mut joining_ms, mut forks) = (0.0, 0);
        for steps in [&mut cut, &mut joined] {
            steps.read(&text[..1])?;
            let mut at = 1;
            while at < context {
                steps.fork(3);
                forks += 1;
                for token in text[at..].iter().take(BETWEEN[0]) {
                    steps.step(&[*token, 2, 3])?;
                }
                steps.commit(0);
                at = (at + BETWEEN[0]).min(context);
                for token in text[at..].iter().take(BETWEEN[1]) {
                    steps.step(&[*token])?;
                }
                at = (at + BETWEEN[1]).min(context);
            }
        }
        let before = processor_ms();
        joined.join();
        joining_ms += processor_ms() - before;
        let mut spent = [times()?, times()?, times()?];
        for step in 0..STEPS {
            for (steps, times) in [&mut straight, &mut cut, &mut joined]
                .into_iter()
                .zip(&mut spent)
            {
                let before = processor_ms();
                steps.step(&[token(context + step)])?;
                note(
                    times,
                    Duration::from_secs_f64((processor_ms() - before) * 1e-3),
                );
            }
            ensure!(cut.logits(0) == joined.logits(0), "joining changed bits");
        }
        let [straight, cut, joined] = spent.map(|times| times.value_at_quantile(0.5) as f64 / 1e3);
        let line = serde_json::json!({
            "bench": "decode", "what": "step behind many forks, CPU time", "context": context, "forks": forks / 2, "n": STEPS,
            "straight_us": straight, "cut_us": cut, "joined_us": joined, "cut_to_straight": cut / straight,
            "joined_to_straight": joined / straight, "joining_us_per_token": joining_ms * 1e3 / context as f64,
        });
        println!("{line}");
    }
    Ok(())
}

/// Tokens that are ready, all branches together, when a person has thought for so long.
fn ahead(model: &Arc<Model>, options: &Options) -> anyhow::Result<()> {
    const FORKS: usize = 5;
    // As a test it only has to run.
    let patience = [300, 1_000, 3_000]
        .map(|ms| Duration::from_millis(if options.choices < 20 { 10 } else { ms }));
    let cancel = Cancel::new();
    let mut counts = [const { Vec::new() }; 3];
    let (mut bytes, mut branches) = (0, 0);
    for seed in 0.. {
        ensure!(seed < 1_000, "no fork is found in the texts of this model");
        let settings = WriterSettings {
            seed,
            ready_tokens_max: 1_024,
            tokens_max: 1_000_000,
            detect: false,
            ..WriterSettings::default()
        };
        let mut writer = Writer::new(Arc::clone(model), settings)?;
        writer.start(&options.prompt)?;
        for _ in 0..12 {
            writer.advance(&cancel)?;
        }
        if writer.call(0)?.is_none() {
            continue;
        }
        let begun = Instant::now();
        for (patience, counts) in patience.iter().zip(&mut counts) {
            while begun.elapsed() < *patience
                && matches!(writer.think(&cancel)?, Thought::Further { .. })
            {}
            counts.push(writer.ready_tokens().iter().sum::<usize>());
        }
        bytes += writer.stats().branch_bytes.iter().sum::<usize>();
        branches += writer.stats().branch_bytes.len();
        if counts[0].len() == FORKS {
            break;
        }
    }
    let [a, b, c] = counts.map(|mut counts| {
        counts.sort_unstable();
        counts[counts.len() / 2]
    });
    let line = serde_json::json!({
        "bench": "decode", "what": "tokens ready, all branches, medians", "forks": FORKS, "ready_0.3s": a, "ready_1s": b, "ready_3s": c,
        "bytes_per_branch": bytes / branches.max(1),
    });
    println!("{line}");
    Ok(())
}

/// Time that all threads of this process have computed: what a busy machine disturbs least.
fn processor_ms() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes one timespec, which is there.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 * 1e-6
}

/// Logits behind the text that are printed, so that others can be held to them.
const LOGITS: usize = 64;

/// Bare steps of tokens that mean nothing.
fn raw(model: &Arc<Model>, how: Raw, threads: usize) -> anyhow::Result<()> {
    let vocabulary = model.config().vocabulary.min(40_000);
    let token = |i: usize| ((100 + i * 7_919) % vocabulary) as u32;
    ensure!(how.context > 0 && how.branches > 0 && how.steps > 1);
    let text: Vec<u32> = (0..how.context).map(token).collect();
    let mut steps = Steps::new(Arc::clone(model));
    let mut prefill_ms = 0.0;
    for _ in 0..2 {
        // The first warms up.
        steps.clear();
        let begun = Instant::now();
        steps.read(&text)?;
        prefill_ms = begun.elapsed().as_secs_f64() * 1e3;
    }
    let logits = steps.logits(0)[..LOGITS.min(vocabulary)].to_vec();
    let begun = Instant::now();
    steps.fork(how.branches);
    let fork_us = begun.elapsed().as_secs_f64() * 1e6;
    let (mut spent, mut worked) = (Vec::new(), Vec::new());
    let mut tokens = vec![0; how.branches];
    for step in 0..how.steps {
        for (branch, next) in tokens.iter_mut().enumerate() {
            *next = token(how.context + step + 31 * branch);
        }
        let (begun, before) = (Instant::now(), processor_ms());
        steps.step(&tokens)?;
        // As for the others, the first step does not count.
        if step > 0 {
            spent.push(begun.elapsed().as_secs_f64() * 1e3);
            worked.push(processor_ms() - before);
        }
    }
    spent.sort_by(f64::total_cmp);
    worked.sort_by(f64::total_cmp);
    let line = serde_json::json!({
        "engine": "razvilka", "threads": threads, "context": how.context, "branches": how.branches, "step_ms": spent[spent.len() / 2], "step_min_ms": spent[0],
        "step_cpu_ms": worked[worked.len() / 2],
        "prefill_ms": prefill_ms, "fork_us": fork_us, "logits": logits,
    });
    println!("{line}");
    Ok(())
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
