//! How many texts does chance need until one says what is meant, and how many with choices?

use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use razvilka::decode::{Model, Survey, WriterSettings};

use super::chance::{agrees, draw, weights};
use super::pass::{Aim, Manner, Pass, write};
use super::resample::{figure, quantile, short};
use super::truth::{Trace, opening, story};
use crate::Options;
use crate::figures::wilson_of;

/// Texts with choices per wish, each with other draws.
const RUNS: u64 = 2;
/// The factor that is claimed.
const CLAIM: f64 = 1000.0;

/// A story that somebody has in mind, and what became of it in every arm.
struct Wish {
    story: Trace,
    /// Probability of its first 1, 2, ... turns: by the grammar, and by the model as estimated, with the relative standard error.
    by_grammar: Vec<f64>,
    by_model: Vec<f64>,
    error: Vec<f64>,
    /// Mean tokens of a text by chance that is stopped at its first wrong word, for the first 0, 1, 2, ... turns.
    tokens: Vec<f64>,
    runs: Vec<Pass>,
    called: Pass,
}

pub(crate) fn offload(options: &Options) -> anyhow::Result<()> {
    let model = Arc::new(Model::embedded()?);
    let flops_per_row = 2.0 * model.config().parameters() as f64;
    let drawn = draw(&model, options.texts, options.seed)?;
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let wishes: Vec<Wish> = (0..options.wishes as u64)
        .map(|number| wish(&model, options, number, &drawn.texts, &mut random))
        .collect::<anyhow::Result<_>>()?;
    println!(
        "\n## Offload: {} wishes, {} texts drawn, {} particles a wish\n",
        wishes.len(),
        drawn.texts.len(),
        options.particles
    );
    println!(
        "{:.0} tokens a text; a token by chance takes {} s and {} FLOPs here.\n",
        drawn
            .texts
            .iter()
            .map(|t| t.tokens.len() as f64)
            .sum::<f64>()
            / drawn.texts.len() as f64,
        short(drawn.seconds_per_token),
        short(flops_per_row),
    );
    check(options, &wishes, &drawn.texts);
    let most = wishes
        .iter()
        .map(|wish| wish.story.turns.len())
        .max()
        .unwrap_or(0);
    let of = Table {
        options,
        wishes: &wishes,
        seconds_per_token: drawn.seconds_per_token,
    };
    println!("\n### By number of turns of the plot\n");
    of.head("turns");
    for turns in 1..=most.min(12) {
        of.line(&turns.to_string(), |wish| {
            (wish.story.turns.len() >= turns).then_some(turns)
        });
    }
    println!("\n### By length of the text\n");
    of.head("sentences");
    for sentences in 1..=10 {
        of.line(&sentences.to_string(), |wish| {
            let turns = *wish.story.sentences.get(sentences - 1)?;
            (turns > 0).then_some(turns)
        });
    }
    of.line("whole story", |wish| Some(wish.story.turns.len()));
    println!("\n### The same words\n");
    words(options, &model, &wishes)
}

fn wish(
    model: &Arc<Model>,
    options: &Options,
    number: u64,
    texts: &[Trace],
    random: &mut ChaCha8Rng,
) -> anyhow::Result<Wish> {
    let (story, by_grammar) = story(random);
    let seed = options.seed.wrapping_mul(1_000_003).wrapping_add(number);
    let weights = weights(model, &story.turns, options.particles, seed)?;
    let n = weights.len() as f64;
    let mean = |of: &dyn Fn(f64) -> f64, turn: usize| {
        weights.iter().map(|weight| of(weight[turn])).sum::<f64>() / n
    };
    let turns = story.turns.len();
    let by_model: Vec<f64> = (0..turns).map(|turn| mean(&|w| w, turn)).collect();
    let error = by_model.iter().enumerate().map(|(turn, p)| {
        let variance = mean(&|w| (w - p).powi(2), turn) / (n - 1.0).max(1.0);
        variance.sqrt() / p
    });
    let tokens = (0..=turns).map(|most| {
        let sum: usize = texts
            .iter()
            .map(|text| agrees(text, &story.turns, most).1)
            .sum();
        sum as f64 / texts.len() as f64
    });
    let aim = Aim::Wish(story.turns.clone());
    let manner = |run: u64, calls| Manner {
        seed: seed ^ ((run + 1) << 40),
        questions_per_100_tokens: options.questions_per_100_tokens,
        calls,
        thinks: true,
    };
    let runs = (0..RUNS).map(|run| write(model, &aim, &manner(run, false)));
    Ok(Wish {
        error: error.collect(),
        tokens: tokens.collect(),
        runs: runs.collect::<anyhow::Result<_>>()?,
        called: write(model, &aim, &manner(0, true))?,
        story,
        by_grammar,
        by_model,
    })
}

/// Is the estimate what is counted, where that many texts can be drawn?
fn check(options: &Options, wishes: &[Wish], texts: &[Trace]) {
    println!(
        "| turns | expected hits, estimated | hits counted | counted per expected (95 %) | by grammar, per model (median) | standard error of an estimate (median) |\n|---|---|---|---|---|---|"
    );
    for turns in 1..=12 {
        let those: Vec<&Wish> = wishes
            .iter()
            .filter(|wish| wish.story.turns.len() >= turns)
            .collect();
        if those.is_empty() {
            return;
        }
        let expected: f64 = those.iter().map(|wish| wish.by_model[turns - 1]).sum();
        let hits: Vec<f64> = texts
            .iter()
            .map(|text| {
                let hits = |wish: &&&Wish| agrees(text, &wish.story.turns, turns).0 == turns;
                those.iter().filter(hits).count() as f64
            })
            .collect();
        let counted = figure(texts.len(), options.seed, |drawn| {
            let sum: f64 = drawn.iter().map(|text| hits[*text]).sum();
            sum / (drawn.len() as f64 * expected)
        });
        let ratio: Vec<f64> = those
            .iter()
            .map(|wish| wish.by_grammar[turns - 1] / wish.by_model[turns - 1])
            .collect();
        let error: Vec<f64> = those.iter().map(|wish| wish.error[turns - 1]).collect();
        println!(
            "| {turns} | {} | {} | {} | {} | {:.1} % |",
            short(expected * texts.len() as f64),
            hits.iter().sum::<f64>(),
            if expected * texts.len() as f64 >= 10.0 {
                counted.to_string()
            } else {
                "too few".into()
            },
            short(quantile(&ratio, 0.5)),
            100.0 * quantile(&error, 0.5),
        );
    }
}

struct Table<'a> {
    options: &'a Options,
    wishes: &'a [Wish],
    seconds_per_token: f64,
}

impl Table<'_> {
    fn head(&self, what: &str) {
        println!(
            "| {what} | wishes | texts by chance: median (10 to 90 % of wishes) | one text with choices suffices (95 %) | selections | factor: texts (95 %) | FLOPs (95 %) | FLOPs, chance stopped at its first wrong word (95 %) | the same in seconds (95 %) | with calls: suffices | selections, calls among them | FLOPs (95 %) | over {CLAIM} |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    }

    fn line(&self, label: &str, turns: impl Fn(&Wish) -> Option<usize>) {
        let those: Vec<(&Wish, usize)> = self
            .wishes
            .iter()
            .filter_map(|wish| Some((wish, turns(wish)?)))
            .collect();
        if those.len() < 5 {
            return;
        }
        let texts: Vec<f64> = those
            .iter()
            .map(|(wish, turns)| 1.0 / wish.by_model[turns - 1])
            .collect();
        // As far as the wish goes; or only to the first wrong word, if somebody reads along.
        let begin = opening().len();
        let whole = |(wish, turns): &(&Wish, usize)| {
            (wish.story.turns[turns - 1].at + 1 - begin) as f64 / wish.by_model[turns - 1]
        };
        let tokens: Vec<f64> = those.iter().map(whole).collect();
        let stopped: Vec<f64> = those
            .iter()
            .map(|(wish, turns)| wish.tokens[*turns] / wish.by_model[turns - 1])
            .collect();
        let of = |drawn: &[usize], of: &[f64]| {
            let drawn: Vec<f64> = drawn.iter().map(|wish| of[*wish]).collect();
            quantile(&drawn, 0.5)
        };
        let plain = Arm::of(&those, |wish| &wish.runs);
        let called = Arm::of(&those, |wish| std::slice::from_ref(&wish.called));
        let seed = self.options.seed;
        let figure = |by: &dyn Fn(&[usize]) -> f64| figure(those.len(), seed, by);
        let all: Vec<usize> = (0..those.len()).collect();
        let by_texts = figure(&|drawn| of(drawn, &texts) * plain.suffices(drawn));
        let flops = |arm: &Arm, tokens: &[f64]| {
            figure(&|drawn| {
                of(drawn, tokens) * arm.suffices(drawn) / arm.mean(drawn, |s| s.rows as f64)
            })
        };
        let by_flops = flops(&plain, &tokens);
        let by_seconds = figure(&|drawn| {
            of(drawn, &stopped) * self.seconds_per_token * plain.suffices(drawn)
                / plain.mean(drawn, |s| s.seconds)
        });
        // Texts of one wish are alike: as many independent ones as there are wishes, at least.
        let share = plain.suffices(&all);
        let (low, high) = wilson_of(share, those.len() as f64);
        println!(
            "| {label} | {} | {} ({} to {}) | {:.0} % ({:.0} to {:.0}) | {} | {by_texts} | {by_flops} | {} | {by_seconds} | {:.0} % | {} | {} | {} |",
            those.len(),
            short(quantile(&texts, 0.5)),
            short(quantile(&texts, 0.1)),
            short(quantile(&texts, 0.9)),
            100.0 * share,
            100.0 * low,
            100.0 * high,
            short(plain.mean(&all, |s| f64::from(s.selections))),
            flops(&plain, &stopped),
            100.0 * called.suffices(&all),
            short(called.mean(&all, |s| f64::from(s.selections))),
            flops(&called, &tokens),
            if by_texts.low >= CLAIM && by_flops.low >= CLAIM {
                "texts, FLOPs"
            } else if by_texts.low >= CLAIM {
                "texts"
            } else {
                "no"
            },
        );
    }
}

/// The runs of one arm: per wish, whether each came to the target, and what it had spent then or at its first wrong word.
struct Arm(Vec<Vec<(bool, super::pass::Spent)>>);

impl Arm {
    fn of<'a>(those: &[(&'a Wish, usize)], runs: impl Fn(&'a Wish) -> &'a [Pass]) -> Self {
        let of = |run: &Pass, turns: usize| match run.at_turn.get(turns - 1) {
            Some(spent) => (true, *spent),
            None => (false, run.whole),
        };
        let each = those
            .iter()
            .map(|(wish, turns)| runs(wish).iter().map(|run| of(run, *turns)).collect());
        Self(each.collect())
    }

    fn runs<'a>(
        &'a self,
        drawn: &'a [usize],
    ) -> impl Iterator<Item = &'a (bool, super::pass::Spent)> {
        drawn.iter().flat_map(|wish| &self.0[*wish])
    }

    fn suffices(&self, drawn: &[usize]) -> f64 {
        let hits = self.runs(drawn).filter(|(hit, _)| *hit).count();
        hits as f64 / self.runs(drawn).count() as f64
    }

    fn mean(&self, drawn: &[usize], what: impl Fn(&super::pass::Spent) -> f64) -> f64 {
        let sum: f64 = self.runs(drawn).map(|(_, spent)| what(spent)).sum();
        sum / self.runs(drawn).count() as f64
    }
}

/// The same words, not only the same meaning: by chance, and with every turn of the plot chosen. Computed from the model's
/// probabilities of the story's own words, which is exact; nobody could count it.
fn words(options: &Options, model: &Arc<Model>, wishes: &[Wish]) -> anyhow::Result<()> {
    let begin = opening().len();
    let mut lines: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
    for wish in wishes {
        let tokens = &wish.story.tokens;
        let mut survey = Survey::start(
            Arc::clone(model),
            WriterSettings::default(),
            &tokens[..begin],
        )?;
        let (mut all, mut left) = (vec![0.0], vec![0.0]);
        for (at, token) in tokens.iter().enumerate().skip(begin) {
            let bits = -survey.probabilities()[*token as usize].log2();
            let chosen = wish.story.turns.iter().any(|turn| turn.at == at);
            all.push(all[all.len() - 1] + bits);
            left.push(left[left.len() - 1] + if chosen { 0.0 } else { bits });
            survey.push(*token)?;
        }
        lines.push((all, left));
    }
    println!(
        "| tokens | wishes | by chance: 2^ (median) | turns chosen: 2^ (median) | factor (95 %) |\n|---|---|---|---|---|"
    );
    for length in [10, 25, 50, 75, 100, 125] {
        let those: Vec<(f64, f64)> = lines
            .iter()
            .filter_map(|(all, left)| Some((*all.get(length)?, *left.get(length)?)))
            .collect();
        if those.len() < 5 {
            continue;
        }
        let middle = |of: &dyn Fn(&(f64, f64)) -> f64| {
            quantile(&those.iter().map(of).collect::<Vec<_>>(), 0.5)
        };
        let factor = figure(those.len(), options.seed, |drawn| {
            let drawn: Vec<f64> = drawn.iter().map(|w| those[*w].0 - those[*w].1).collect();
            quantile(&drawn, 0.5).exp2()
        });
        println!(
            "| {length} | {} | {:.0} | {:.0} | {factor} |",
            those.len(),
            middle(&|w| w.0),
            middle(&|w| w.1),
        );
    }
    Ok(())
}
