//! Fork detectors against a grammar whose forks are known, on the same stories, with the same model.
//!
//! ```sh
//! cargo bench --bench forks -- --stories 200 --seed 7
//! ```
//!
//! Each rule is asked at every position of stories the model has never seen, with the story's own text before it. A hit
//! is a question where the grammar has a fork. One JSON line per rule on stdout; what was missed and what was asked in
//! vain, by the grammar's names, on stderr. Budgets of questions do not apply: they come after detection.
//!
//! Rules beside ours: entropy above the 80th percentile of "Beyond the 80/20 Rule" (arXiv 2506.01939), the plain gates on
//! the second likeliest token, and the quadrant rule of entropix in both its versions.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use razvilka::decode::{Glance, Model, Survey, WriterSettings};
use razvilka_grammar::{Kind, Story};

/// Stories when run as a test: enough to see that it works.
const STORIES_SMOKE: usize = 1;

struct Options {
    stories: usize,
    seed: u64,
    model: Option<PathBuf>,
    settings: WriterSettings,
}

fn options() -> anyhow::Result<Options> {
    let mut options = Options {
        stories: STORIES_SMOKE,
        seed: 7,
        model: None,
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
            "--model" => options.model = Some(value()?.into()),
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

/// How often a rule asked, and how often rightly.
#[derive(Default)]
struct Score {
    asked: usize,
    hits: usize,
}

/// A rule that looks at one distribution.
type Rule = fn(&Glance) -> bool;

fn rules() -> Vec<(&'static str, Rule)> {
    vec![
        ("entropy > 0.672 nats", |g| g.entropy_nats > 0.672),
        ("p2 >= 0.2", |g| g.top3[1] >= 0.2),
        ("p2 >= 0.2 and top-3 mass >= 0.9", |g| {
            g.top3[1] >= 0.2 && g.top3.iter().sum::<f64>() >= 0.9
        }),
        ("p2 >= 0.3 and top-3 mass >= 0.9", |g| {
            g.top3[1] >= 0.3 && g.top3.iter().sum::<f64>() >= 0.9
        }),
        ("entropix, first version (H < 5 bits, V > 5)", |g| {
            let bits = std::f64::consts::LN_2;
            g.entropy_nats / bits < 5.0 && g.varentropy_nats2 / (bits * bits) > 5.0
        }),
        ("entropix, head (H < 2.5, V > 2.5)", |g| {
            g.entropy_nats < 2.5 && g.varentropy_nats2 > 2.5
        }),
    ]
}

fn main() -> anyhow::Result<()> {
    let options = options()?;
    let model = Arc::new(match &options.model {
        Some(dir) => Model::load(dir)?,
        None => Model::embedded()?,
    });
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let rules = rules();
    let mut scores: Vec<Score> = rules.iter().map(|_| Score::default()).collect();
    let mut ours = Score::default();
    let (mut positions, mut forks) = (0, 0);
    let mut examined_ms = Vec::new();
    let mut missed: BTreeMap<String, usize> = BTreeMap::new();
    let mut in_vain: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..options.stories {
        let story = Story::generate(&mut rng);
        let mut survey = Survey::start(
            Arc::clone(&model),
            options.settings.clone(),
            &story.tokens[..1],
        )?;
        for (token, truth) in story.tokens.iter().zip(&story.positions).skip(1) {
            let glance = survey.glance();
            let is_fork = truth.kind == Kind::Fork;
            positions += 1;
            forks += usize::from(is_fork);
            let note = |score: &mut Score, asks: bool| {
                score.asked += usize::from(asks);
                score.hits += usize::from(asks && is_fork);
            };
            for ((_, rule), score) in rules.iter().zip(&mut scores) {
                note(score, rule(&glance));
            }
            let begun = Instant::now();
            let gate = glance.passes(&options.settings);
            let branches = survey.branches()?;
            if gate {
                examined_ms.push(begun.elapsed().as_secs_f64() * 1e3);
            }
            note(&mut ours, !branches.is_empty());
            let name = || {
                format!(
                    "{} {}{}",
                    truth.kind.name(),
                    truth.name,
                    if gate { "" } else { " (gate)" }
                )
            };
            if is_fork && branches.is_empty() {
                *missed.entry(name()).or_default() += 1;
            } else if !is_fork && !branches.is_empty() {
                *in_vain.entry(name()).or_default() += 1;
            }
            survey.push(*token)?;
        }
    }
    examined_ms.sort_by(f64::total_cmp);
    let at = |share: f64| {
        examined_ms
            .get((examined_ms.len() as f64 * share) as usize)
            .copied()
            .unwrap_or(0.0)
    };
    let lines = rules
        .iter()
        .map(|(name, _)| *name)
        .zip(&scores)
        .chain([("roll-outs and meanings (ours)", &ours)]);
    for (rule, score) in lines {
        let line = serde_json::json!({
            "bench": "forks", "rule": rule, "stories": options.stories, "seed": options.seed, "positions": positions,
            "forks": forks, "asked": score.asked, "hits": score.hits,
            "recall": score.hits as f64 / (forks.max(1)) as f64,
            "precision": score.hits as f64 / (score.asked.max(1)) as f64,
        });
        println!("{line}");
    }
    let cost = serde_json::json!({
        "bench": "forks", "examined": examined_ms.len(), "examine_ms_p50": at(0.5), "examine_ms_p99": at(0.99),
    });
    println!("{cost}");
    eprintln!("missed: {missed:#?}\nasked in vain: {in_vain:#?}");
    Ok(())
}
