//! Fork detectors against the grammar, on the same stories, with the same model. Budgets of questions do not apply: they come after detection;
//! the last line says what they leave.
//!
//! Rules beside ours: entropy above the 80th percentile of "Beyond the 80/20 Rule" (arXiv 2506.01939), the plain gates on
//! the second likeliest token, and the quadrant rule of entropix in both its versions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use razvilka::decode::{Cancel, Glance, Likeness, Model, Step, Survey, Writer, WriterSettings};
use razvilka_grammar::{Kind, Story, Truth};

use super::Options;

/// Two candidates at one place of a story, and what the grammar says of them.
pub(crate) struct KnownPair {
    /// The place, counted over all stories.
    pub(crate) place: usize,
    /// A fork or a wording.
    pub(crate) kind: Kind,
    /// Whether they mean the same.
    pub(crate) same: bool,
    /// What the judges say.
    pub(crate) likeness: Likeness,
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

/// Walks along the stories, prints how each rule does, and collects the pairs of candidates for the judges.
pub(crate) fn detect(
    options: &Options,
    model: &Arc<Model>,
    pairs: &mut Vec<KnownPair>,
) -> anyhow::Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let rules = rules();
    let mut scores: Vec<Score> = rules.iter().map(|_| Score::default()).collect();
    let mut ours = Score::default();
    let (mut positions, mut forks) = (0, 0);
    let mut examined_ms = Vec::new();
    let mut shown = 0;
    let mut missed: BTreeMap<String, usize> = BTreeMap::new();
    let mut in_vain: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..options.stories {
        let story = Story::generate_in(options.language, &mut rng);
        let mut survey = Survey::start(
            Arc::clone(model),
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
                if shown < options.show {
                    shown += 1;
                    show("missed", &name(), &glance, &survey.likenesses()?);
                }
                *missed.entry(name()).or_default() += 1;
            } else if !is_fork && !branches.is_empty() {
                if shown < options.show {
                    shown += 1;
                    show("in vain", &name(), &glance, &survey.likenesses()?);
                }
                *in_vain.entry(name()).or_default() += 1;
            }
            if gate && !options.detection_only && matches!(truth.kind, Kind::Fork | Kind::Wording) {
                let known = survey
                    .likenesses()?
                    .into_iter()
                    .filter_map(|likeness| known(positions, truth, likeness));
                pairs.extend(known);
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
    if options.detection_only {
        return Ok(());
    }
    questions(options, model)
}

/// Writes what is known of the pairs.
pub(crate) fn write_pairs(file: &std::path::Path, pairs: &[KnownPair]) -> anyhow::Result<()> {
    let mut lines = String::new();
    for KnownPair {
        place,
        kind,
        same,
        likeness,
    } in pairs
    {
        let line = serde_json::json!({
            "place": place, "kind": kind.name(), "same": same, "phrases": likeness.phrases,
            "pooled_cosine": likeness.pooled_cosine, "consequence_bits": likeness.consequence_bits,
        });
        lines.push_str(&format!("{line}\n"));
    }
    std::fs::write(file, lines).with_context(|| file.display().to_string())
}

/// A place where the detector was wrong, for people.
fn show(how: &str, name: &str, glance: &Glance, likenesses: &[Likeness]) {
    eprintln!("{how} {name}: likeliest tokens {:.3?}", glance.top3);
    for pair in likenesses {
        let (a, b) = &pair.phrases;
        eprintln!(
            "    {a:?} and {b:?}: consequences {:.4} bits, pooled cosine {:.5}",
            pair.consequence_bits, pair.pooled_cosine
        );
    }
}

/// What the grammar knows of a pair; nothing where the model says what the grammar never would.
fn known(place: usize, truth: &Truth, likeness: Likeness) -> Option<KnownPair> {
    let (a, b) = likeness.heads;
    Some(KnownPair {
        place,
        kind: truth.kind,
        same: truth.meaning(a)? == truth.meaning(b)?,
        likeness,
    })
}

/// How often a writer asks, budget and distance included.
fn questions(options: &Options, model: &Arc<Model>) -> anyhow::Result<()> {
    let (mut tokens, mut asked) = (0, 0);
    for story in 0..options.stories as u64 {
        let settings = WriterSettings {
            seed: options.seed + story,
            ..options.settings.clone()
        };
        let mut writer = Writer::new(Arc::clone(model), settings)?;
        writer.start("")?;
        loop {
            match writer.advance(&Cancel::new())? {
                Step::Fork(fork) => {
                    asked += 1;
                    writer.go_on(fork.id)?;
                }
                Step::Text(_) => {}
                Step::End(_) | Step::Cancelled | Step::Waiting => break,
            }
        }
        tokens += writer.position();
    }
    let line = serde_json::json!({
        "bench": "forks", "questions": asked, "tokens": tokens,
        "questions_per_100_tokens": 100.0 * f64::from(asked) / tokens.max(1) as f64,
        "budget_per_100_tokens": options.settings.questions_per_100_tokens_max,
    });
    println!("{line}");
    Ok(())
}
