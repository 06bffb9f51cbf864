//! The open fork: its branches, and what is decoded behind each while somebody thinks.

use std::collections::VecDeque;

use super::super::error::DecodeError;
use super::super::settings::WriterSettings;
use super::super::writer::may_ask;
use super::ground::Ground;
use super::line::Line;
use super::look::{Meaning, promising};
use super::roll::Roll;
use super::stream::{Heard, Stream};
use super::trunk::{Trunk, how};
use super::wire::{Finish, Said, Token};
use crate::fork::{Branch, Fork, MAX_BRANCHES};

/// The fork that is open.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) fork: Fork,
    pub(super) ahead: Vec<Ahead>,
    pub(super) seen: Seen,
    /// The likeliest tokens of the place.
    pub(super) top: Vec<Token>,
}

/// A branch, and what comes behind it.
#[derive(Debug)]
pub(super) struct Ahead {
    /// The phrase, and the tokens decoded behind it.
    pub(super) line: Line,
    /// Tokens of the phrase.
    pub(super) phrase: usize,
    /// Whether the text ends here.
    pub(super) ended: bool,
    /// Whether nothing more is decoded ahead: the text ends, a fork may come, or the budget is used.
    pub(super) stopped: bool,
    /// A token that has come and was not taken: a fork may lie before it.
    pub(super) next: VecDeque<Said>,
    pub(super) stream: Stream,
}

/// What has been rolled out at a place, so that `other` offers something else.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) heads: Vec<Token>,
    pub(super) phrases: Vec<String>,
}

/// Meanings found at a place, as they will be offered.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) branches: Vec<Branch>,
    pub(super) ahead: Vec<Ahead>,
    pub(super) seen: Seen,
    pub(super) top: Vec<Token>,
}

impl Ahead {
    /// Takes what has come; whether the branch grew.
    pub(super) fn receive(
        &mut self,
        ground: &Ground<'_>,
        trunk: &Trunk,
        settings: &WriterSettings,
        told: &mut Vec<String>,
    ) -> Result<bool, DecodeError> {
        let mut grew = false;
        while !self.stopped {
            let position = trunk.line.tokens.len() + self.line.tokens.len();
            let ready = self.line.tokens.len() - self.phrase;
            if ready >= settings.ready_tokens_max || position - trunk.prompt >= settings.tokens_max
            {
                self.stopped = true;
                break;
            }
            let left = settings.ready_tokens_max - ready;
            let how = || how(settings, position, trunk.choices + 1, left);
            match self.stream.next(ground, &self.line, how, told)? {
                None => break,
                Some(Heard::Said(said)) => {
                    let asked = trunk.asked.iter().copied();
                    let fork_ahead = settings.detect
                        && may_ask(settings, asked, position)
                        && !promising(&self.line, &said, settings).is_empty();
                    if said.ends {
                        self.stopped = true;
                        self.ended = true;
                    } else if fork_ahead {
                        self.stopped = true;
                        self.next.push_back(said);
                    } else {
                        self.line.push(&said);
                        grew = true;
                    }
                }
                Some(Heard::Over(finish)) => {
                    self.ended = finish == Finish::Text;
                    self.stopped |= self.ended;
                }
            }
        }
        if self.stopped {
            self.stream.stop();
        }
        Ok(grew)
    }
}

/// Makes branches of the first meanings; there may be none.
pub(super) fn found(rolls: Vec<Roll>, meanings: &[Meaning], top: Vec<Token>) -> Found {
    let seen = Seen {
        heads: rolls
            .iter()
            .filter_map(|roll| top.iter().find(|token| roll.begins_with(token)).cloned())
            .collect(),
        phrases: rolls
            .iter()
            .map(|roll| roll.line.phrase().to_owned())
            .collect(),
    };
    let mut slots: Vec<Option<Roll>> = rolls.into_iter().map(Some).collect();
    let (mut branches, mut ahead) = (Vec::new(), Vec::new());
    for meaning in meanings.iter().take(MAX_BRANCHES) {
        let Some(roll) = slots.get_mut(meaning.wording).and_then(Option::take) else {
            continue;
        };
        branches.push(Branch {
            text: roll.line.phrase().to_owned(),
            tokens: roll.line.numbers(),
            prior: meaning.mass,
            log_prob_nats: roll.log_prob_nats,
        });
        ahead.push(Ahead {
            phrase: roll.line.tokens.len(),
            line: roll.line,
            ended: roll.ended,
            stopped: roll.ended,
            next: VecDeque::new(),
            stream: Stream::default(),
        });
    }
    Found {
        branches,
        ahead,
        seen,
        top,
    }
}
