//! Selections per intended sentence, and what each of them told.
//!
//! *Copied meaning*: a story's turns of the plot, in their order; the person calls for a fork where the text goes wrong unasked.
//! *Free wish*: a taste in turns, whatever story comes of it.

use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use razvilka::decode::Model;
use razvilka::fork::ForkOrigin;

use super::pass::{Aim, Manner, Offered, Pass, write};
use super::resample::figure;
use super::truth::{Trace, story};
use crate::Options;

/// What a selection by gaze and P300 was in `cargo bench --bench stopping` (ARCHITECTURE.md, "Measured"): shares of right and
/// wrong ones, the rest undecided, and seconds of flashes.
const RIGHT: f64 = 0.976;
const WRONG: f64 = 0.009;
const FLASHES_S: f64 = 2.7;
/// Silent reading, words a minute (Brysbaert 2019, J. Mem. Lang. 109:104047).
const WORDS_PER_MIN: f64 = 238.0;

pub(crate) fn tasks(options: &Options) -> anyhow::Result<()> {
    let model = Arc::new(Model::embedded()?);
    println!(
        "\n## Selections and bits: {} texts of each task\n",
        options.wishes
    );
    println!(
        "| task | texts | reached | sentences | selections per sentence (95 %) | calls, of these | minutes per sentence | bits a choice: surprisal (95 %) | through the channel (95 %) | Wolpaw | bits a minute, through the channel (95 %) |\n|---|---|---|---|---|---|---|---|---|---|---|"
    );
    for (name, task) in [("copied meaning", Task::Meaning), ("free wish", Task::Free)] {
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        let mut done = Vec::with_capacity(options.wishes);
        for number in 0..options.wishes as u64 {
            let (story, _) = story(&mut random);
            let aim = match task {
                Task::Meaning => Aim::Wish(story.turns.clone()),
                Task::Free => Aim::Taste(options.seed.wrapping_mul(1_000_003).wrapping_add(number)),
            };
            let manner = Manner {
                seed: options.seed.wrapping_mul(7_919).wrapping_add(number),
                questions_per_100_tokens: options.questions_per_100_tokens,
                calls: task != Task::Free,
                thinks: false,
            };
            done.push(Done::of(&story, task, write(&model, &aim, &manner)?));
        }
        line(options, name, &done);
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Task {
    Meaning,
    Free,
}

/// One text.
struct Done {
    reached: bool,
    /// Finished sentences that are as intended.
    sentences: f64,
    selections: f64,
    calls: f64,
    seconds: f64,
    /// Choices between branches that the detector found: their number, surprisal, what came through, by Wolpaw; bits summed.
    choices: f64,
    surprisal: f64,
    through: f64,
    wolpaw: f64,
    /// Time that those choices took.
    choice_s: f64,
}

impl Done {
    fn of(story: &Trace, task: Task, pass: Pass) -> Self {
        let reached = match task {
            Task::Meaning => pass.at_turn.len() >= story.turns.len(),
            // Every turn is as liked, or another was asked for; the text may still say what no story says.
            Task::Free => pass.trace.strange.is_none(),
        };
        let sentences = match task {
            // Those of the wish whose turns stand there.
            Task::Meaning if reached => story.sentences.len(),
            Task::Meaning => story
                .sentences
                .iter()
                .filter(|turns| **turns <= pass.at_turn.len())
                .count(),
            Task::Free => pass.trace.sentences.len(),
        };
        let mut done = Self {
            reached,
            sentences: sentences as f64,
            selections: f64::from(pass.whole.selections),
            calls: f64::from(pass.whole.calls),
            // A call is a selection without reading.
            seconds: f64::from(pass.whole.calls) * FLASHES_S,
            choices: 0.0,
            surprisal: 0.0,
            through: 0.0,
            wolpaw: 0.0,
            choice_s: 0.0,
        };
        for offered in &pass.offered {
            let words: usize = offered
                .fork
                .branches
                .iter()
                .map(|branch| branch.text.split_whitespace().count())
                .sum();
            let seconds = FLASHES_S + 60.0 * words as f64 / WORDS_PER_MIN;
            done.seconds += seconds;
            if offered.fork.origin == ForkOrigin::Detected {
                let bits = bits(offered);
                done.choices += 1.0;
                done.choice_s += seconds;
                done.surprisal += bits.surprisal;
                done.through += bits.through;
                done.wolpaw += bits.wolpaw;
            }
        }
        done
    }
}

struct Bits {
    surprisal: f64,
    through: f64,
    wolpaw: f64,
}

/// What a choice told that the model did not know. With `q` the model's probabilities of the options shown (what is left of its
/// mass is `other`'s): surprisal is `-log2 q(wanted)`. Through the channel: the mean, over what is selected when this option is
/// wanted, of `log2 p(selected | wanted) / p(selected)`, the pointwise mutual information (Fano 1961, ch. 2), in which an
/// undecided fork tells nothing; its mean over wants is Shannon's. Wolpaw's rate (Wolpaw et al. 2002, Clin. Neurophysiol. 113:767)
/// takes options to be equally likely.
fn bits(offered: &Offered) -> Bits {
    let branches = &offered.fork.branches;
    let mut q: Vec<f64> = branches.iter().map(|branch| branch.prior).collect();
    let left = (1.0 - q.iter().sum::<f64>()).max(0.01);
    q.push(left);
    let sum: f64 = q.iter().sum();
    q.iter_mut().for_each(|q| *q /= sum);
    let options = q.len();
    let wanted = offered.wanted.unwrap_or(options - 1);
    let astray = WRONG / (options - 1) as f64;
    let given = |selected: usize, wanted: usize| if selected == wanted { RIGHT } else { astray };
    let through = (0..options)
        .map(|selected| {
            let p = given(selected, wanted);
            let all: f64 = q
                .iter()
                .enumerate()
                .map(|(w, q)| q * given(selected, w))
                .sum();
            p * (p / all).log2()
        })
        .sum::<f64>();
    // Undecided is as likely whatever is wanted: its term is 0.
    let (n, p) = (options as f64, RIGHT / (RIGHT + WRONG));
    let wolpaw = n.log2() + p * p.log2() + (1.0 - p) * ((1.0 - p) / (n - 1.0)).log2();
    Bits {
        surprisal: -q[wanted].log2(),
        through,
        wolpaw: wolpaw * (RIGHT + WRONG),
    }
}

fn line(options: &Options, name: &str, done: &[Done]) {
    let sum = |drawn: &[usize], what: fn(&Done) -> f64| {
        drawn.iter().map(|text| what(&done[*text])).sum::<f64>()
    };
    let ratio = |above: fn(&Done) -> f64, below: fn(&Done) -> f64| {
        figure(done.len(), options.seed, |drawn| {
            sum(drawn, above) / sum(drawn, below)
        })
    };
    let all: Vec<usize> = (0..done.len()).collect();
    let reached = done.iter().filter(|done| done.reached).count();
    println!(
        "| {name} | {} | {reached} | {:.0} | {} | {:.0} % | {:.2} | {} | {} | {:.2} | {} |",
        done.len(),
        sum(&all, |d| d.sentences),
        ratio(|d| d.selections, |d| d.sentences),
        100.0 * sum(&all, |d| d.calls) / sum(&all, |d| d.selections),
        sum(&all, |d| d.seconds) / sum(&all, |d| d.sentences) / 60.0,
        ratio(|d| d.surprisal, |d| d.choices),
        ratio(|d| d.through, |d| d.choices),
        sum(&all, |d| d.wolpaw) / sum(&all, |d| d.choices),
        ratio(|d| 60.0 * d.through, |d| d.choice_s),
    );
}
