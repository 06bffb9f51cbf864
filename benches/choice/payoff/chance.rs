//! How probable is it that the model, left to itself, writes what is meant?
//!
//! *Estimated*: texts are drawn from the model under the condition that each turn of the plot is the wished one, and weighted
//! with the probability of that condition, turn by turn (sequential importance sampling: Hammersley & Morton 1954; Doucet, de
//! Freitas & Gordon 2001, ch. 1). Each weight is the product of the model's own probabilities of what was forced, so their
//! mean is without bias for the probability that a text of this model has this meaning; how much weights differ is its
//! variance. *Counted*: texts drawn from the model as they come, and the grammar says which turns they took.

use std::sync::Arc;
use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use razvilka::decode::{Generator, GeneratorSettings, Model, Sampling, Survey, WriterSettings};
use razvilka_grammar::{END, Kind};

use super::truth::{Trace, Turn, opening};

/// Tokens of a text at most.
pub(crate) const TOKENS_MAX: usize = 400;

/// The model's own distribution, nothing cut off: a wish that top-p rules out could never come by chance.
pub(crate) fn sampling() -> Sampling {
    Sampling {
        temperature: 1.0,
        top_p: 1.0,
        ..Sampling::default()
    }
}

/// Probability of the first 1, 2, ... turns of a wish, by one particle each: `[particles][turns]`.
pub(crate) fn weights(
    model: &Arc<Model>,
    wish: &[Turn],
    particles: usize,
    seed: u64,
) -> anyhow::Result<Vec<Vec<f64>>> {
    (0..particles as u64)
        .map(|particle| particle_weights(model, wish, seed ^ ((particle + 1) << 32)))
        .collect()
}

fn particle_weights(model: &Arc<Model>, wish: &[Turn], seed: u64) -> anyhow::Result<Vec<f64>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let start = opening();
    let mut trace = Trace::of(&start);
    let mut survey = Survey::start(Arc::clone(model), WriterSettings::default(), &start)?;
    let mut weight = 1.0;
    let mut found = Vec::with_capacity(wish.len());
    while let Some(turn) = wish.get(found.len()) {
        // Forced to be legal at least, so that a slip of spelling costs weight and not the particle.
        let Some(truth) = trace.next().filter(|_| trace.tokens.len() < TOKENS_MAX) else {
            break;
        };
        let masses = survey.probabilities();
        let wanted = truth.alternatives.iter().filter(|way| {
            way.token != END
                && (truth.kind != Kind::Fork
                    || (truth.name == turn.name && way.meaning == turn.meaning))
        });
        let ways: Vec<(u32, f64)> = wanted
            .map(|way| (way.token, masses[way.token as usize]))
            .collect();
        let mass: f64 = ways.iter().map(|(_, mass)| mass).sum();
        weight *= mass;
        if mass <= 0.0 {
            break;
        }
        let mut left = random.random::<f64>() * mass;
        let drawn = ways.iter().find(|(_, mass)| {
            left -= mass;
            left < 0.0
        });
        // There is one: their mass is above 0. Rounding may leave the last.
        let token = drawn.or(ways.last()).map_or(END, |(token, _)| *token);
        if truth.kind == Kind::Fork {
            found.push(weight);
        }
        trace.push_known(token, &truth);
        survey.push(token)?;
    }
    found.resize(wish.len(), 0.0);
    Ok(found)
}

/// Texts that the model wrote as they came, and what a token took.
pub(crate) struct Drawn {
    pub(crate) texts: Vec<Trace>,
    pub(crate) seconds_per_token: f64,
}

pub(crate) fn draw(model: &Arc<Model>, texts: usize, seed: u64) -> anyhow::Result<Drawn> {
    let start = opening();
    let mut found = Vec::with_capacity(texts);
    let (mut tokens, mut seconds) = (0, 0.0);
    for number in 0..texts as u64 {
        let settings = GeneratorSettings {
            seed: seed.wrapping_add(number.wrapping_mul(0x9e37_79b9)),
            sampling: sampling(),
            tokens_max: TOKENS_MAX,
            ..GeneratorSettings::default()
        };
        let mut generator = Generator::new(Arc::clone(model), settings)?;
        generator.prompt(&start)?;
        let mut text = start.clone();
        let begun = Instant::now();
        loop {
            let written = generator.advance()?;
            text.extend(written.token);
            if written.finish.is_some() {
                break;
            }
        }
        seconds += begun.elapsed().as_secs_f64();
        tokens += text.len() - start.len();
        let end = text.iter().position(|token| *token == END);
        text.truncate(end.unwrap_or(text.len()));
        found.push(Trace::of(&text));
    }
    Ok(Drawn {
        texts: found,
        seconds_per_token: seconds / tokens.max(1) as f64,
    })
}

/// How many of a wish's turns a text took before the first other one or strange word, and its tokens until then (until the
/// turn `most` at the latest): what it costs somebody who stops at the first wrong word.
pub(crate) fn agrees(text: &Trace, wish: &[Turn], most: usize) -> (usize, usize) {
    let wish = &wish[..most.min(wish.len())];
    let begin = opening().len();
    for (number, turn) in wish.iter().enumerate() {
        match text.turns.get(number) {
            Some(found) if found.is(turn) => {}
            Some(found) => return (number, found.at + 1 - begin),
            // The text ended, or said what the grammar never does.
            None => {
                let end = text.strange.map_or(text.tokens.len(), |at| at + 1);
                return (number, end.saturating_sub(begin));
            }
        }
    }
    let end = wish
        .len()
        .checked_sub(1)
        .map_or(begin, |last| text.turns[last].at + 1); // all were there
    (wish.len(), end - begin)
}
