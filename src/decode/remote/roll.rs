//! A candidate rolled out to a readable phrase by a request of its own.

use super::super::error::DecodeError;
use super::super::rollout::WORD_TOKENS_MAX;
use super::super::sampling::Sampling;
use super::super::text::ends_phrase;
use super::ground::Ground;
use super::line::Line;
use super::stream::{Heard, Stream};
use super::wire::{Finish, How, Said, Token};

/// How a roll-out goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Manner {
    /// The likeliest token each time.
    Likeliest,
    /// Drawn, with a seed of its own.
    Drawn(u32),
}

/// A roll-out.
#[derive(Debug)]
pub(super) struct Roll {
    pub(super) line: Line,
    /// Probability of its first token at the fork.
    pub(super) mass: f64,
    /// Log-probability of the whole phrase, nats.
    pub(super) log_prob_nats: f64,
    /// The likeliest tokens behind each of its tokens, as far as they are known.
    pub(super) behind: Vec<Vec<Token>>,
    /// What ended the text behind the phrase.
    pub(super) ending: Option<Said>,
    /// Whether the text ends behind the phrase.
    pub(super) ended: bool,
    pub(super) done: bool,
    /// Whether its first token goes on with the word before.
    pub(super) inside_word: bool,
    first: Option<Token>,
    manner: Manner,
    stream: Stream,
}

impl Roll {
    /// A roll-out that begins with a token.
    pub(super) fn behind(trunk: &Line, head: &Token) -> Self {
        let mut roll = Self::drawn(trunk, 0);
        roll.manner = Manner::Likeliest;
        roll.mass = head.mass();
        roll.log_prob_nats = head.log_prob_nats;
        roll.line.add(head);
        roll.first = Some(head.clone());
        roll
    }

    /// A roll-out whose first token is drawn as well.
    pub(super) fn drawn(trunk: &Line, seed: u32) -> Self {
        Self {
            line: trunk.branch(),
            mass: 0.0,
            log_prob_nats: 0.0,
            behind: Vec::new(),
            ending: None,
            ended: false,
            done: false,
            inside_word: false,
            first: None,
            manner: Manner::Drawn(seed),
            stream: Stream::default(),
        }
    }

    /// Whether its first token is this one.
    pub(super) fn begins_with(&self, token: &Token) -> bool {
        self.first.as_ref().is_some_and(|first| first.is(token))
    }

    /// Takes what has come. Remarks go to `told`.
    ///
    /// # Errors
    /// [`DecodeError`] when its phrase cannot be had.
    pub(super) fn poll(
        &mut self,
        ground: &Ground<'_>,
        phrase_tokens_max: usize,
        told: &mut Vec<String>,
    ) -> Result<(), DecodeError> {
        while !self.done {
            let (line, manner) = (&self.line, self.manner);
            let how = || {
                let most = phrase_tokens(phrase_tokens_max);
                let (temperature, seed) = match manner {
                    Manner::Likeliest => (0.0, 0),
                    Manner::Drawn(seed) => (1.0, seed),
                };
                How {
                    tokens: most.saturating_sub(line.tokens.len()).max(1),
                    sampling: at(temperature),
                    seed,
                }
            };
            match self.stream.next(ground, line, how, told)? {
                None => return Ok(()),
                Some(Heard::Said(said)) => self.take(said, phrase_tokens_max),
                Some(Heard::Over(finish)) => {
                    self.ended = finish == Finish::Text;
                    self.done = true;
                }
            }
        }
        self.stream.stop();
        Ok(())
    }

    /// Decides whether the phrase is complete, knowing which token comes next; if not, takes it.
    fn take(&mut self, said: Said, phrase_tokens_max: usize) {
        let len = self.line.tokens.len();
        if len > 0 {
            self.behind.push(said.top.clone());
        }
        let text = &self.line.text;
        let readable = text.chars().any(char::is_alphanumeric);
        let word_over = !self.line.inside_character() && !self.line.continues_word(&said.token);
        if said.ends {
            self.ended = true;
            self.done = true;
            self.ending = Some(said);
        } else if (readable && ends_phrase(text))
            || len >= phrase_tokens_max + WORD_TOKENS_MAX
            || (len >= phrase_tokens_max && word_over)
        {
            self.done = true;
        } else {
            if len == 0 {
                self.first = Some(said.token.clone());
                self.mass = said.token.mass();
                self.inside_word = said.inside || self.line.continues_word(&said.token);
            }
            self.log_prob_nats += said.token.log_prob_nats;
            self.line.push(&said);
        }
    }
}

/// How often a comparison goes on behind words that were only just as likely.
const TIES_MAX: usize = 8;

/// The likeliest way on behind a line, a few tokens far, to compare two lines by.
#[derive(Debug)]
pub(super) struct Tail {
    begin: Line,
    line: Line,
    ties: usize,
    pub(super) said: Vec<Said>,
    stream: Stream,
    pub(super) done: bool,
    tokens: usize,
}

impl Tail {
    pub(super) fn behind(line: Line, tokens: usize) -> Self {
        Self {
            begin: line.clone(),
            line,
            ties: 0,
            said: Vec::new(),
            stream: Stream::default(),
            done: tokens == 0,
            tokens,
        }
    }

    /// One that is known already.
    pub(super) fn known(said: Vec<Said>) -> Self {
        Self {
            begin: Line::default(),
            line: Line::default(),
            ties: 0,
            tokens: said.len(),
            said,
            stream: Stream::default(),
            done: true,
        }
    }

    /// Puts the other's word in the place of the first that differs, where the model expects the same of both places: then
    /// they were about as likely. What follows that word is asked for next; `false` when there is no such place.
    pub(super) fn follow(&mut self, other: &Self, same: impl Fn(&Said, &Said) -> bool) -> bool {
        let mut pairs = self.said.iter().zip(&other.said);
        let Some(at) = pairs.position(|(own, other)| !own.token.is(&other.token)) else {
            return false;
        };
        let mut until = self.said.iter().zip(&other.said).take(at + 1);
        if self.ties == TIES_MAX || !until.all(|(own, other)| same(own, other)) {
            return false;
        }
        self.ties += 1;
        self.said.truncate(at + 1);
        if let (Some(own), Some(other)) = (self.said.last_mut(), other.said.get(at)) {
            own.token = other.token.clone();
            own.ends = other.ends;
        }
        self.line = self.begin.clone();
        for said in &self.said {
            self.line.push(said);
        }
        self.stream.stop();
        self.done =
            self.said.len() >= self.tokens || self.said.last().is_some_and(|said| said.ends);
        true
    }

    /// As [`Roll::poll`].
    pub(super) fn poll(
        &mut self,
        ground: &Ground<'_>,
        told: &mut Vec<String>,
    ) -> Result<(), DecodeError> {
        while !self.done {
            let left = self.tokens - self.said.len(); // not done, so some are left
            let how = || How {
                tokens: left,
                sampling: at(0.0),
                seed: 0,
            };
            match self.stream.next(ground, &self.line, how, told)? {
                None => return Ok(()),
                Some(Heard::Said(said)) => {
                    self.line.push(&said);
                    self.done = said.ends;
                    self.said.push(said);
                    self.done |= self.said.len() >= self.tokens;
                }
                Some(Heard::Over(_)) => self.done = true,
            }
        }
        self.stream.stop();
        Ok(())
    }
}

/// Most tokens of a phrase, with the one that shows its end.
pub(super) const fn phrase_tokens(phrase_tokens_max: usize) -> usize {
    phrase_tokens_max + WORD_TOKENS_MAX + 1
}

/// The whole distribution at this temperature.
fn at(temperature: f64) -> Sampling {
    Sampling {
        temperature,
        top_p: 1.0,
        ..Sampling::default()
    }
}
