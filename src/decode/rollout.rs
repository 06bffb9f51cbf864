//! Rolling candidates out to readable phrases, all of them in one batch per step.

use std::sync::Arc;

use super::cancel::Cancel;
use super::distribution::{Candidate, Place, Purpose, cosine};
use super::error::{DecodeError, Interrupt};
use super::forward::{Engine, Feed, Prediction, Wanted};
use super::line::Line;
use super::sampling::pick;
use super::text::{Tokens, ends_phrase, repeats_itself};

/// Tokens a phrase may run over its limit to finish a word.
pub(super) const WORD_TOKENS_MAX: usize = 8;

/// Phrases shorter than this count as this long when lengths are compared, characters.
const LENGTH_CHARS_MIN: usize = 12;

/// A candidate rolled out to the end of a phrase.
#[derive(Debug)]
pub(super) struct Rollout {
    pub(super) line: Line,
    /// Probability of its first token at the fork.
    pub(super) mass: f64,
    /// Log-probability of each token of the phrase, nats.
    pub(super) log_probs_nats: Vec<f64>,
    /// Prediction behind each token.
    pub(super) predictions: Vec<Arc<Prediction>>,
    /// Whether the text ends behind the phrase.
    pub(super) ended: bool,
    done: bool,
    /// Whether it had to end inside a word.
    broken: bool,
}

impl Rollout {
    /// One that has not begun.
    pub(super) fn of(line: Line, head: Candidate) -> Self {
        Self {
            line,
            mass: head.mass,
            log_probs_nats: Vec::new(),
            predictions: Vec::new(),
            ended: false,
            done: false,
            broken: false,
        }
    }

    /// Mean of the hidden states over the phrase.
    pub(super) fn pooled(&self) -> Vec<f32> {
        let mut mean = vec![0.0; self.line.next.hidden.len()];
        for prediction in &self.predictions {
            mean.iter_mut()
                .zip(&prediction.hidden)
                .for_each(|(mean, x)| *mean += x / self.predictions.len() as f32);
        }
        mean
    }

    /// Cosine of the pooled states.
    pub(super) fn likeness(&self, other: &Self) -> f64 {
        cosine(&self.pooled(), &other.pooled())
    }

    /// The phrase as shown.
    pub(super) fn phrase(&self) -> &str {
        self.line.text.trim()
    }

    /// Log-probability of the whole phrase, nats.
    pub(super) fn log_prob_nats(&self) -> f64 {
        self.log_probs_nats.iter().sum()
    }

    /// Whether it can be shown: it says something, in whole words, and not the same thing over and over.
    pub(super) fn is_readable(&self) -> bool {
        !self.broken
            && self.line.text.chars().any(char::is_alphanumeric)
            && !repeats_itself(&self.line.text)
    }

    /// Length for comparing, characters: anything short enough to be read at a glance counts alike.
    pub(super) fn length_chars(&self) -> usize {
        self.phrase().chars().count().max(LENGTH_CHARS_MIN)
    }

    /// Ends the phrase earlier: with the last whole word within `chars_max` characters. False where its first word is longer; then nothing has
    /// changed. `trunk` is the line it branched from; the state must be sealed.
    pub(super) fn shorten(
        &mut self,
        trunk: &mut Line,
        tokens: &Tokens,
        chars_max: usize,
    ) -> Result<bool, DecodeError> {
        let own = std::mem::take(&mut self.line.tokens);
        let mut line = trunk.branch();
        let mut kept = None;
        for (count, token) in own.iter().enumerate() {
            if count > 0 && line.text.chars().any(char::is_alphanumeric) {
                let rest = &self.line.text[line.text.len()..];
                let whole = !line.stream().inside_character(tokens)? && !line.goes_on_with(rest);
                if whole && line.text.trim().chars().count() <= chars_max {
                    kept = Some(count);
                }
            }
            line.push(tokens, *token)?;
        }
        self.line.tokens = own;
        let Some(count) = kept else {
            return Ok(false);
        };
        let before = self.line.sequence.len() - self.line.tokens.len();
        let mut line = trunk.branch();
        line.sequence = self.line.sequence.view(before + count);
        for token in &self.line.tokens[..count] {
            line.push(tokens, *token)?;
        }
        line.next = Arc::clone(&self.predictions[count - 1]); // one prediction per token
        line.close();
        self.line = line;
        self.predictions.truncate(count);
        self.log_probs_nats.truncate(count);
        self.ended = false;
        Ok(true)
    }
}

/// How a roll-out goes on behind its first token.
#[derive(Debug, Clone, Copy)]
pub(super) enum Manner {
    /// The likeliest token each time.
    Likeliest,
    /// Drawn, for variety; the place keys the draws.
    Drawn(Place),
}

/// Rolls each head out behind `trunk` to the end of a phrase.
///
/// A phrase ends with a stop or comma, where the text ends, or after `phrase_tokens_max` tokens at the end of a word.
pub(super) fn roll_out(
    engine: &mut Engine,
    trunk: &mut Line,
    heads: &[Candidate],
    phrase_tokens_max: usize,
    manner: Manner,
    cancel: &Cancel,
) -> Result<Vec<Rollout>, Interrupt> {
    let position = trunk.tokens.len();
    let mut rollouts: Vec<Rollout> = heads
        .iter()
        .map(|head| Rollout::of(trunk.branch(), *head))
        .collect();
    let mut next: Vec<u32> = heads.iter().map(|head| head.token).collect();
    while rollouts.iter().any(|rollout| !rollout.done) {
        step(engine, &mut rollouts, &next, position, cancel)?;
        for (number, (rollout, next)) in rollouts.iter_mut().zip(&mut next).enumerate() {
            if !rollout.done {
                *next = choose(engine, rollout, manner, number, position)?;
                rollout.finish_if_phrase(engine, *next, phrase_tokens_max)?;
            }
        }
    }
    Ok(rollouts)
}

/// Feeds each unfinished roll-out its next token, in one batch.
fn step(
    engine: &mut Engine,
    rollouts: &mut [Rollout],
    next: &[u32],
    position: usize,
    cancel: &Cancel,
) -> Result<(), Interrupt> {
    let model = Arc::clone(engine.model());
    let mut going: Vec<(&mut Rollout, &u32)> = rollouts
        .iter_mut()
        .zip(next)
        .filter(|(r, _)| !r.done)
        .collect();
    let mut feeds: Vec<Feed<'_>> = going
        .iter_mut()
        .map(|(rollout, token)| Feed {
            sequence: &mut rollout.line.sequence,
            tokens: std::slice::from_ref(*token),
            wanted: Wanted::Last,
        })
        .collect();
    let predictions = engine.forward(&mut feeds, position, cancel)?;
    drop(feeds);
    for ((rollout, token), prediction) in going.into_iter().zip(predictions) {
        let log_prob_nats = log_probability_nats(&rollout.line.next.logits, *token);
        rollout.log_probs_nats.push(log_prob_nats);
        rollout.line.push(model.tokens(), *token)?;
        rollout.line.next = Arc::clone(prediction);
        rollout.predictions.push(Arc::clone(prediction));
    }
    Ok(())
}

fn choose(
    engine: &Engine,
    rollout: &Rollout,
    manner: Manner,
    number: usize,
    position: usize,
) -> Result<u32, Interrupt> {
    let (temperature, uniform) = match manner {
        Manner::Likeliest => (0.0, 0.0),
        Manner::Drawn(place) => {
            let place = Place {
                position: position + rollout.line.tokens.len(),
                ..place
            };
            (1.0, place.draw(Purpose::Other, number))
        }
    };
    let model = engine.model();
    pick(
        &rollout.line.next.logits,
        temperature,
        1.0,
        uniform,
        |token| model.is_allowed(token),
    )
    .ok_or_else(|| DecodeError::NoCandidates { position }.into())
}

impl Rollout {
    /// Decides whether the phrase is complete, knowing which token would come next.
    fn finish_if_phrase(
        &mut self,
        engine: &Engine,
        next: u32,
        phrase_tokens_max: usize,
    ) -> Result<(), DecodeError> {
        let model = engine.model();
        let (text, len) = (&self.line.text, self.line.tokens.len());
        if model.is_end(next) {
            self.ended = true;
            self.done = true;
            return Ok(());
        }
        let readable = text.chars().any(char::is_alphanumeric);
        if len < phrase_tokens_max && !(readable && ends_phrase(text)) {
            return Ok(());
        }
        let whole = !self.line.stream().inside_character(model.tokens())? && {
            let piece = self.line.stream().peek(model.tokens(), next)?;
            !self.line.goes_on_with(&piece)
        };
        if whole {
            self.done = true;
            self.line.close();
        } else if len >= phrase_tokens_max + WORD_TOKENS_MAX {
            self.done = true;
            self.broken = true;
        }
        Ok(())
    }
}

/// Log-probability of one token, nats.
pub(super) fn log_probability_nats(logits: &[f32], token: u32) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|x| f64::from(x - max).exp()).sum();
    logits
        .get(token as usize)
        .map_or(f64::NEG_INFINITY, |x| f64::from(x - max) - sum.ln())
}

/// A look at how a text might go on: tokens drawn one after the other, with the distribution behind each.
#[derive(Debug, Default)]
pub(super) struct Probe {
    pub(super) tokens: Vec<u32>,
    pub(super) distributions: Vec<Vec<f64>>,
}

/// Draws `count` continuations of up to `tokens_max` tokens behind a line, in one batch per step.
pub(super) fn probe(
    engine: &mut Engine,
    line: &mut Line,
    count: usize,
    tokens_max: usize,
    place: Place,
    cancel: &Cancel,
) -> Result<Vec<Probe>, Interrupt> {
    let model = Arc::clone(engine.model());
    let mut lines: Vec<(Line, Probe, bool)> = (0..count)
        .map(|_| (line.branch(), Probe::default(), false))
        .collect();
    for ahead in 0..tokens_max {
        let mut next = Vec::with_capacity(count);
        for (number, (line, _, done)) in lines.iter_mut().enumerate() {
            let place = Place {
                position: place.position + ahead,
                ..place
            };
            let uniform = place.draw(Purpose::Probe, number);
            let token = pick(&line.next.logits, 1.0, 1.0, uniform, |token| {
                model.is_allowed(token)
            })
            .ok_or(DecodeError::NoCandidates {
                position: place.position,
            })?;
            *done |= model.is_end(token);
            next.push(token);
        }
        let mut feeds: Vec<Feed<'_>> = lines
            .iter_mut()
            .zip(&next)
            .filter(|((_, _, done), _)| !done)
            .map(|((line, _, _), token)| Feed {
                sequence: &mut line.sequence,
                tokens: std::slice::from_ref(token),
                wanted: Wanted::Last,
            })
            .collect();
        if feeds.is_empty() {
            break;
        }
        let mut predictions = engine.forward(&mut feeds, place.position, cancel)?.iter();
        for ((line, probe, done), token) in lines.iter_mut().zip(next) {
            if !*done && let Some(prediction) = predictions.next() {
                probe.tokens.push(token);
                probe
                    .distributions
                    .push(super::distribution::probabilities(&prediction.logits));
                line.next = Arc::clone(prediction);
            }
        }
    }
    Ok(lines
        .into_iter()
        .map(|(line, probe, _)| {
            engine.pool.recycle(line.sequence);
            probe
        })
        .collect())
}
