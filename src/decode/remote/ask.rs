//! What the person may ask for unasked: other branches, or a fork here or some words back.

use std::time::Duration;

use super::super::ask::{HEAD_MASS_MIN, HEADS_MAX, WORDS_BACK_MORE};
use super::super::distribution::{Place, Purpose};
use super::super::error::DecodeError;
use super::super::text::continues_word;
use super::ahead::{Found, Seen, found};
use super::ground::Ground;
use super::line::Line;
use super::look::{Meaning, heads};
use super::roll::{Roll, Tail};
use super::trunk::seed;
use super::wire::Token;
use super::writer::RemoteWriter;
use crate::fork::{Fork, ForkId, ForkOrigin, MAX_BRANCHES};

/// How long a wait lasts that nothing ends; what comes from the server wakes the thread before.
const NAP: Duration = Duration::from_millis(5);

/// What a call came to at one place.
enum Called {
    Fork(Fork),
    /// There is only one way on.
    OneWay,
    /// Most of what may follow goes on with the word before.
    InsideWord,
}

/// Where branches are looked for.
struct At<'a> {
    line: &'a Line,
    choices: u64,
}

impl RemoteWriter {
    /// Offers different branches at the open fork: less likely beginnings first, then other ways on, drawn. What was shown
    /// before at this fork does not come back, but for the likeliest when there is just one new branch.
    pub(super) fn offer_other(&mut self, fork: ForkId) -> Result<Option<Fork>, DecodeError> {
        let (Some(offer), Some(trunk)) = (&self.open, &self.trunk) else {
            return Err(DecodeError::NotOpen { fork });
        };
        if offer.fork.id != fork {
            return Err(DecodeError::NotOpen { fork });
        }
        let line = trunk.line.clone();
        let at = At {
            line: &line,
            choices: trunk.choices,
        };
        let (seen, top) = (offer.seen.clone(), offer.top.clone());
        let Some(mut found) = self.new_branches(&at, &seen, top)? else {
            return Ok(None);
        };
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
        found.seen.heads.extend(shown.seen.heads);
        found.seen.phrases.extend(shown.seen.phrases);
        Ok(Some(self.offer(found, ForkOrigin::Other)))
    }

    /// Makes a fork some words before the end of the text, but not inside the prompt.
    pub(super) fn call_words_back(
        &mut self,
        words_back: usize,
    ) -> Result<Option<Fork>, DecodeError> {
        for words_back in words_back..=words_back.saturating_add(WORDS_BACK_MORE) {
            let trunk = self.trunk.as_ref().ok_or(DecodeError::NotStarted)?;
            let at = word_start(&trunk.line, trunk.prompt, words_back);
            match self.call_at(at)? {
                Called::Fork(fork) => return Ok(Some(fork)),
                Called::OneWay => return Ok(None),
                Called::InsideWord => {}
            }
        }
        Ok(None)
    }

    /// Makes a fork behind the first `position` tokens of the text, but not inside the prompt.
    pub(super) fn call_at_token(&mut self, position: usize) -> Result<Option<Fork>, DecodeError> {
        let trunk = self.trunk.as_ref().ok_or(DecodeError::NotStarted)?;
        let at = position.max(trunk.prompt).min(trunk.line.tokens.len());
        Ok(match self.call_at(at)? {
            Called::Fork(fork) => Some(fork),
            Called::OneWay | Called::InsideWord => None,
        })
    }

    fn call_at(&mut self, at: usize) -> Result<Called, DecodeError> {
        let trunk = self.trunk.as_ref().ok_or(DecodeError::NotStarted)?;
        let choices = trunk.choices;
        let mut line = trunk.line.clone();
        let bytes = line.end_before(at);
        if at < line.tokens.len() {
            // The end of a character stands with its last token.
            if line.end_before(at + 1) == bytes {
                return Ok(Called::InsideWord);
            }
            line.cut(at, bytes);
        }
        let place = At {
            line: &line,
            choices,
        };
        let mut look = Tail::behind(Line::default(), 1);
        if !self.until(&place, |ground, told| {
            look.poll(ground, told)?;
            Ok(look.done)
        })? {
            return Ok(Called::OneWay);
        }
        let Some(next) = look.said.pop().filter(|said| !said.inside) else {
            return Ok(Called::InsideWord);
        };
        let Some(found) = self.new_branches(&place, &Seen::default(), next.top)? else {
            return Ok(Called::OneWay);
        };
        if found.branches.len() < 2 {
            return Ok(if found.seen.heads.is_empty() {
                Called::InsideWord
            } else {
                Called::OneWay
            });
        }
        let trunk = self.trunk.as_mut().ok_or(DecodeError::NotStarted)?;
        while let Some(past) = self.past.pop_back_if(|past| past.tokens >= at) {
            trunk.choices = past.choices;
        }
        trunk.asked.retain(|asked| *asked < at);
        trunk.examined = Some(at);
        trunk.forget_next();
        trunk.line = line;
        self.open = None;
        Ok(Called::Fork(self.offer(found, ForkOrigin::Called)))
    }

    /// Waits until `done`; `false` when the session ends before.
    fn until(
        &mut self,
        at: &At<'_>,
        mut done: impl FnMut(&Ground<'_>, &mut Vec<String>) -> Result<bool, DecodeError>,
    ) -> Result<bool, DecodeError> {
        // Its place is needed for what the person asks.
        if let Some(trunk) = &mut self.trunk {
            trunk.give_way();
        }
        for ahead in self.open.iter_mut().flat_map(|offer| &mut offer.ahead) {
            ahead.stream.stop();
        }
        let ground = Ground {
            server: &self.server,
            trunk: at.line,
            context: self.context,
        };
        while !done(&ground, &mut self.told)? {
            if self.server.is_closed() {
                return Ok(false);
            }
            std::thread::park_timeout(NAP);
        }
        Ok(true)
    }

    /// Branches whose phrases were not seen before: the likeliest way on from each first token that was not seen, then, if
    /// those are few, ways that are drawn. There may be none; `None` when the session ends before.
    fn new_branches(
        &mut self,
        at: &At<'_>,
        seen: &Seen,
        top: Vec<Token>,
    ) -> Result<Option<Found>, DecodeError> {
        let fresh = heads(at.line, &top, HEADS_MAX, HEAD_MASS_MIN, &seen.heads);
        let mut rolls: Vec<Roll> = fresh
            .iter()
            .map(|head| Roll::behind(at.line, head))
            .collect();
        if !self.roll_out(at, &mut rolls)? {
            return Ok(None);
        }
        if rolls.len() < MAX_BRANCHES && !heads(at.line, &top, 1, HEAD_MASS_MIN, &[]).is_empty() {
            let place = Place {
                seed: self.settings.seed,
                position: at.line.tokens.len(),
                choices: at.choices,
            };
            let drawn = |number| seed(place.draw(Purpose::Other, number));
            let mut more: Vec<Roll> = (0..HEADS_MAX)
                .map(|number| Roll::drawn(at.line, drawn(number)))
                .collect();
            if !self.roll_out(at, &mut more)? {
                return Ok(None);
            }
            more.retain(|roll| !roll.inside_word && !roll.line.phrase().is_empty());
            rolls.append(&mut more);
            // Several phrases now share a first token and its mass: each has its own instead.
            for roll in &mut rolls {
                roll.mass = roll.log_prob_nats.exp();
            }
            rolls.sort_by(|a, b| b.mass.total_cmp(&a.mass));
        }
        let mut known = seen.phrases.clone();
        rolls.retain(|roll| {
            let phrase = roll.line.phrase();
            let new = !known.iter().any(|known| known == phrase);
            known.push(phrase.to_owned());
            new
        });
        // The person asked: wordings are apart.
        let meanings: Vec<Meaning> = rolls
            .iter()
            .enumerate()
            .map(|(wording, roll)| Meaning {
                wording,
                mass: roll.mass,
            })
            .collect();
        Ok(Some(found(rolls, &meanings, top)))
    }

    /// `false` when the session ends before.
    fn roll_out(&mut self, at: &At<'_>, rolls: &mut [Roll]) -> Result<bool, DecodeError> {
        let phrase = self.settings.phrase_tokens_max;
        self.until(at, |ground, told| {
            for roll in rolls.iter_mut() {
                roll.poll(ground, phrase, told)?;
            }
            Ok(rolls.iter().all(|roll| roll.done))
        })
    }
}

/// The token that begins the word `words_back` words before the end, at `prompt` or behind it.
fn word_start(line: &Line, prompt: usize, words_back: usize) -> usize {
    let ends = line.ends();
    let mut left = words_back;
    let mut at = line.tokens.len();
    while left > 0 && at > prompt {
        at -= 1;
        let begin = line.end_before(at);
        let (before, piece) = (&line.text[..begin], &line.text[begin..ends[at]]);
        let inside = continues_word(before.chars().next_back(), piece.chars().next());
        if !inside && piece.contains(char::is_alphanumeric) {
            left -= 1;
        }
    }
    at
}
