//! What the person may ask for unasked: other branches, or a fork here or some words back.

use std::sync::Arc;

use super::cancel::Cancel;
use super::distribution::{Candidate, Place, probabilities};
use super::error::{DecodeError, Interrupt};
use super::forward::{Engine, Feed, Wanted};
use super::glance::heads;
use super::line::Line;
use super::meaning::merge;
use super::offer::{Found, Seen, found, of_similar_length, readable};
use super::rollout::{Manner, Rollout, roll_out};
use super::settings::WriterSettings;
use super::text::continues_word;
use super::writer::{Trunk, Writer, finish};
use crate::fork::{Fork, ForkId, ForkOrigin, MAX_BRANCHES};

/// First tokens rolled out when the person asks; few enough for one batch.
pub(super) const HEADS_MAX: usize = 6;
/// Words a call goes further back to find the beginning of one.
pub(super) const WORDS_BACK_MORE: usize = 3;
/// Least probability of one. Small: the person asked.
pub(super) const HEAD_MASS_MIN: f64 = 0.002;

/// What a call came to at one place.
enum Called {
    Fork(Fork),
    /// There is only one way on.
    OneWay,
    /// Most of what may follow goes on with the word before.
    InsideWord,
}

impl Writer {
    /// Offers different branches at the open fork: less likely beginnings first, then other ways on from likely ones. What
    /// was shown before at this fork does not come back, but for the likeliest when there is just one new branch.
    ///
    /// The fork returned takes the open one's place. `None` when nothing else is there; then the open one stays.
    ///
    /// # Errors
    /// [`DecodeError::NotOpen`], [`DecodeError::NonFinite`].
    pub fn other(&mut self, fork: ForkId) -> Result<Option<Fork>, DecodeError> {
        let (Some(offer), Some(trunk)) = (&mut self.open, &mut self.trunk) else {
            return Err(DecodeError::NotOpen { fork });
        };
        if offer.fork.id != fork {
            return Err(DecodeError::NotOpen { fork });
        }
        let place = place(&self.settings, trunk);
        let mut found = finish(new_branches(
            &mut self.engine,
            &mut trunk.line,
            &self.settings,
            place,
            &offer.seen,
        ))?;
        if found.branches.is_empty() {
            return Ok(None);
        }
        let Some(mut shown) = self.open.take() else {
            return Ok(None);
        };
        if found.branches.len() == 1 {
            found.branches.push(shown.fork.branches.remove(0)); // a fork has two branches at least
            found.ahead.push(shown.ahead.remove(0));
        }
        found.seen.extend(shown.seen);
        self.retired
            .extend(shown.ahead.into_iter().map(|ahead| ahead.line.sequence));
        Ok(Some(self.offer(found, ForkOrigin::Other)))
    }

    /// Makes a fork where the detector saw none: here, or `words_back` words before the end of the text, but not inside the
    /// prompt. A call in the middle of a word goes to its beginning. Text behind that place is taken back, and with it the
    /// choices made there; an open fork is dropped.
    ///
    /// Every continuation that reads differently is a branch, wordings included. `None` when the model has only one way to
    /// go on from there; then nothing has changed.
    ///
    /// # Errors
    /// [`DecodeError::NotStarted`], [`DecodeError::NonFinite`].
    pub fn call(&mut self, words_back: usize) -> Result<Option<Fork>, DecodeError> {
        for words_back in words_back..=words_back.saturating_add(WORDS_BACK_MORE) {
            let trunk = self.trunk.as_ref().ok_or(DecodeError::NotStarted)?;
            let at = word_start(&trunk.line, trunk.prompt, words_back);
            match finish(self.call_at(at))? {
                Called::Fork(fork) => return Ok(Some(fork)),
                Called::OneWay => return Ok(None),
                Called::InsideWord => {}
            }
        }
        Ok(None)
    }

    /// As [`Writer::call`], behind the first `position` tokens of the text. A replay calls so: it knows the place, but not
    /// how far the text had come when the person asked. A place inside the prompt or behind the text is its nearest end.
    ///
    /// # Errors
    /// As [`Writer::call`].
    pub fn call_behind(&mut self, position: usize) -> Result<Option<Fork>, DecodeError> {
        let trunk = self.trunk.as_ref().ok_or(DecodeError::NotStarted)?;
        let at = position.max(trunk.prompt).min(trunk.line.tokens.len());
        Ok(match finish(self.call_at(at))? {
            Called::Fork(fork) => Some(fork),
            Called::OneWay | Called::InsideWord => None,
        })
    }

    fn call_at(&mut self, at: usize) -> Result<Called, Interrupt> {
        let trunk = self.trunk.as_ref().ok_or(DecodeError::NotStarted)?;
        let trunk_choices = trunk.choices;
        let (mut line, skipped) = self.line_until(at)?;
        let place = Place {
            seed: self.settings.seed,
            position: at,
            choices: trunk_choices,
        };
        let found = new_branches(
            &mut self.engine,
            &mut line,
            &self.settings,
            place,
            &Seen::default(),
        )?;
        if found.branches.len() < 2 {
            self.retired.push(line.sequence);
            self.retired
                .extend(found.ahead.into_iter().map(|ahead| ahead.line.sequence));
            return Ok(if found.seen.heads.is_empty() {
                Called::InsideWord
            } else {
                Called::OneWay
            });
        }
        let trunk = self.trunk.as_mut().ok_or(DecodeError::NotStarted)?;
        while let Some(past) = self.past.pop_back_if(|past| past.mark.tokens >= at) {
            trunk.choices = past.mark.choices;
            self.retired.push(past.mark.sequence);
            self.retired.extend(
                past.offer
                    .ahead
                    .into_iter()
                    .map(|ahead| ahead.line.sequence),
            );
        }
        trunk.asked.retain(|asked| *asked < at);
        trunk.skipped = skipped;
        trunk.ended = false;
        trunk.examined = Some(at);
        self.retired
            .push(std::mem::replace(&mut trunk.line, line).sequence);
        Ok(Called::Fork(self.replace_offer(found)))
    }

    fn replace_offer(&mut self, found: Found) -> Fork {
        if let Some(dropped) = self.open.take() {
            self.retired
                .extend(dropped.ahead.into_iter().map(|ahead| ahead.line.sequence));
        }
        self.offer(found, ForkOrigin::Called)
    }

    /// The trunk as it was behind its first `at` tokens, and how many of them its sequence does not hold.
    fn line_until(&mut self, at: usize) -> Result<(Line, usize), Interrupt> {
        let model = Arc::clone(self.engine.model());
        let trunk = self.trunk.as_mut().ok_or(DecodeError::NotStarted)?;
        let tokens = trunk.line.tokens[..at].to_vec(); // `at` lies within the text
        let closed = at == trunk.line.tokens.len() && trunk.line.is_closed();
        // The first place of a renewed context may be the beginning token's.
        let (sequence, next, skipped) = match (at.checked_sub(trunk.skipped + 2), tokens.last()) {
            (Some(_), Some(&last)) => {
                trunk.line.sequence.seal();
                let mut sequence = trunk.line.sequence.view(at - trunk.skipped - 1);
                let feed = Feed {
                    sequence: &mut sequence,
                    tokens: &[last],
                    wanted: Wanted::Last,
                };
                let predictions = self.engine.forward(&mut [feed], at, &Cancel::new())?;
                let next = predictions
                    .first()
                    .cloned()
                    .ok_or(DecodeError::NoCandidates { position: at })?;
                (sequence, next, trunk.skipped)
            }
            _ => self.prime(&tokens)?,
        };
        let mut line = Line::new(sequence, next);
        for &token in &tokens {
            line.push(model.tokens(), token)?;
        }
        if closed {
            line.close();
        }
        Ok((line, skipped))
    }
}

fn place(settings: &WriterSettings, trunk: &Trunk) -> Place {
    Place {
        seed: settings.seed,
        position: trunk.line.tokens.len(),
        choices: trunk.choices,
    }
}

/// Branches whose phrases were not seen before: the likeliest way on from each first token that was not seen, then, if
/// those are few, ways drawn from all first tokens. There may be none.
fn new_branches(
    engine: &mut Engine,
    line: &mut Line,
    settings: &WriterSettings,
    place: Place,
    seen: &Seen,
) -> Result<Found, Interrupt> {
    let (model, never) = (Arc::clone(engine.model()), Cancel::new());
    let distribution = probabilities(&line.next.logits);
    let phrase = settings.phrase_tokens_max;
    let fresh = heads(
        &model,
        line,
        &distribution,
        HEADS_MAX,
        HEAD_MASS_MIN,
        &seen.heads,
    )?;
    let mut rollouts = roll_out(engine, line, &fresh, phrase, Manner::Likeliest, &never)?;
    if rollouts.len() < MAX_BRANCHES {
        let likely = heads(&model, line, &distribution, HEADS_MAX, HEAD_MASS_MIN, &[])?;
        let several: Vec<Candidate> = likely.iter().copied().cycle().take(HEADS_MAX).collect();
        rollouts.append(&mut roll_out(
            engine,
            line,
            &several,
            phrase,
            Manner::Drawn(place),
            &never,
        )?);
        // Several phrases now share a first token and its mass: each has its own instead.
        for rollout in &mut rollouts {
            rollout.mass = rollout.log_prob_nats().exp();
        }
        rollouts.sort_by(|a, b| b.mass.total_cmp(&a.mass));
    }
    let rollouts = readable(engine, rollouts);
    let mut known = seen.phrases.clone();
    let (new, old): (Vec<Rollout>, Vec<Rollout>) = rollouts.into_iter().partition(|rollout| {
        let new = !known.iter().any(|phrase| phrase == rollout.phrase());
        known.push(rollout.phrase().to_owned());
        new
    });
    old.into_iter()
        .for_each(|rollout| engine.pool.recycle(rollout.line.sequence));
    let mut new = new;
    let apart = WriterSettings {
        wording_tokens_max: 0,
        // The person asked for wordings as well.
        embedder_same_min: f64::INFINITY,
        ..settings.clone()
    };
    let mut meanings = merge(engine, &mut new, &line.text, &apart, place, &never)?;
    of_similar_length(engine, line, &mut new, &mut meanings, settings)?;
    Ok(found(engine, new, &meanings))
}

/// The token that begins the word `words_back` words before the end, at `prompt` or behind it.
fn word_start(line: &Line, prompt: usize, words_back: usize) -> usize {
    let ends = line.ends();
    let mut left = words_back;
    let mut at = line.tokens.len();
    while left > 0 && at > prompt {
        at -= 1;
        let begin = at.checked_sub(1).map_or(0, |before| ends[before]); // one end per token
        let (before, piece) = (&line.text[..begin], &line.text[begin..ends[at]]);
        let inside = continues_word(before.chars().next_back(), piece.chars().next());
        if !inside && piece.contains(char::is_alphanumeric) {
            left -= 1;
        }
    }
    at
}
