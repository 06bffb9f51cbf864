//! The writer: takes tokens from the server as they come, stops at forks, keeps every branch going while somebody thinks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::cancel::Cancel;
use super::super::distribution::{Place, Purpose};
use super::super::error::DecodeError;
use super::super::outcome::{End, Stats, Step, Thought};
use super::super::settings::WriterSettings;
use super::super::writer::{CONTEXT_CHARS, last_chars, may_ask};
use super::flight::{Flight, News};
use super::line::Line;
use super::look::{Look, Meaning, promising};
use super::roll::{Ground, Roll, sent_again, tell_silence};
use super::server::{Counts, Server};
use super::wire::{Finish, How, Said, Token};
use crate::fork::{Branch, Fork, ForkId, ForkOrigin, MAX_BRANCHES};

/// How long a step waits for the server before it says so.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long a wait lasts that nothing ends: what comes from a server, and who cancels, wake the thread before.
const NAP: Duration = Duration::from_millis(5);
/// Bytes of text that count as a token where the server does not cut it, when its context is measured.
const BYTES_PER_TOKEN: usize = 3;

/// Writes a text through a server. Belongs to one thread, which waits for requests that run on threads of their own.
///
/// The text depends on the choices made, and beyond them on the server: the seed goes along with every request, but no
/// server promises the same text for it.
#[derive(Debug)]
pub struct RemoteWriter {
    pub(super) server: Arc<Server>,
    pub(super) settings: WriterSettings,
    /// Tokens that one request may hold.
    context: usize,
    pub(super) trunk: Option<Trunk>,
    pub(super) open: Option<Offer>,
    pub(super) past: VecDeque<Past>,
    pub(super) next_fork: u64,
    pub(super) told: Vec<String>,
    pub(super) stats: Stats,
    /// What the server had been asked before.
    before: Counts,
}

#[derive(Debug)]
pub(super) struct Trunk {
    pub(super) line: Line,
    /// Tokens of the prompt, as far as they are known.
    pub(super) prompt: usize,
    /// First token that the server is told of.
    pub(super) from: usize,
    /// Choices made on the way here.
    pub(super) choices: u64,
    /// Where questions were asked, in tokens.
    pub(super) asked: Vec<usize>,
    /// Where it was found that there is no fork.
    pub(super) examined: Option<usize>,
    pub(super) ended: bool,
    /// Tokens that have come and are not written yet.
    pub(super) next: VecDeque<Said>,
    pub(super) flight: Option<Flight>,
    pub(super) look: Option<Look>,
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
    pub(super) flight: Option<Flight>,
}

/// The fork that is open.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) fork: Fork,
    pub(super) ahead: Vec<Ahead>,
    pub(super) seen: Seen,
    /// The likeliest tokens of the place.
    pub(super) top: Vec<Token>,
}

/// What has been rolled out at a place, so that `other` offers something else.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) heads: Vec<Token>,
    pub(super) phrases: Vec<String>,
}

/// A choice that can be taken back.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) offer: Offer,
    pub(super) tokens: usize,
    pub(super) bytes: usize,
    pub(super) from: usize,
    pub(super) choices: u64,
}

/// Meanings found at a place, as they will be offered.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) branches: Vec<Branch>,
    pub(super) ahead: Vec<Ahead>,
    pub(super) seen: Seen,
    pub(super) top: Vec<Token>,
}

impl RemoteWriter {
    /// A writer without a text.
    ///
    /// # Errors
    /// [`DecodeError::Setting`] for a setting out of range, [`DecodeError::ContextTooShort`] for a server whose context
    /// cannot hold what these settings ask for.
    pub fn new(server: Arc<Server>, settings: WriterSettings) -> Result<Self, DecodeError> {
        settings.check()?;
        let there = server.context_tokens().unwrap_or(usize::MAX);
        let context = settings.context_tokens_max.min(there);
        let needed_tokens = settings.context_tokens_needed();
        if context < needed_tokens {
            return Err(DecodeError::ContextTooShort {
                found_tokens: context,
                needed_tokens,
            });
        }
        let before = server.counts();
        Ok(Self {
            server,
            settings,
            context,
            trunk: None,
            open: None,
            past: VecDeque::new(),
            next_fork: 0,
            told: Vec::new(),
            before,
            stats: Stats::default(),
        })
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The open fork.
    #[must_use]
    pub fn fork(&self) -> Option<&Fork> {
        self.open.as_ref().map(|offer| &offer.fork)
    }

    pub(super) fn begin(&mut self, prompt: &str) -> Result<(), DecodeError> {
        let tokens = self.server.tokenise(prompt)?;
        let nothing = tokens.as_ref().map_or(prompt.is_empty(), Vec::is_empty);
        if nothing {
            return Err(DecodeError::EmptyPrompt);
        }
        let line = Line::prompt(prompt, tokens);
        self.open = None;
        self.past.clear();
        self.trunk = Some(Trunk {
            prompt: line.tokens.len(),
            line,
            from: 0,
            choices: 0,
            asked: Vec::new(),
            examined: None,
            ended: false,
            next: VecDeque::new(),
            flight: None,
            look: None,
        });
        Ok(())
    }

    /// Waits for `ready` to say what came of it, for [`PATIENCE`] at most; `None` when that is over. Cancelled, it gives
    /// `cancelled`.
    fn wait<T>(
        &mut self,
        cancel: &Cancel,
        cancelled: T,
        mut ready: impl FnMut(&mut Self) -> Result<Option<T>, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        let until = Instant::now() + PATIENCE;
        loop {
            if cancel.is_requested() || self.server.is_closed() {
                return Ok(Some(cancelled));
            }
            if let Some(step) = ready(self)? {
                return Ok(Some(step));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            std::thread::park_timeout(NAP);
        }
    }

    pub(super) fn write_on(&mut self, cancel: &Cancel) -> Result<Step, DecodeError> {
        if let Some(offer) = &self.open {
            return Err(DecodeError::ForkOpen {
                fork: offer.fork.id,
            });
        }
        let begun = Instant::now();
        let step = self.wait(cancel, Step::Cancelled, Self::step);
        self.stats.advance_s += begun.elapsed().as_secs_f64();
        Ok(step?.unwrap_or(Step::Waiting))
    }

    /// What can be done without waiting; `None` when the server has to say something first.
    fn step(&mut self) -> Result<Option<Step>, DecodeError> {
        loop {
            let trunk = self.trunk.as_mut().ok_or(DecodeError::NotStarted)?;
            if trunk.ended {
                return Ok(Some(Step::End(End::Text)));
            }
            if trunk.line.tokens.len() - trunk.prompt >= self.settings.tokens_max {
                return Ok(Some(Step::End(End::Tokens)));
            }
            if trunk.look.is_some() {
                match self.look()? {
                    Looked::Waiting => return Ok(None),
                    Looked::Fork(fork) => return Ok(Some(Step::Fork(fork))),
                    Looked::Nothing => {}
                }
                continue;
            }
            let Some(next) = trunk.next.front() else {
                if !self.receive()? {
                    return Ok(None);
                }
                continue;
            };
            let position = trunk.line.tokens.len();
            let asked = trunk.asked.iter().copied();
            if self.settings.detect
                && trunk.examined != Some(position)
                && may_ask(&self.settings, asked, position)
            {
                trunk.examined = Some(position);
                let heads = promising(&trunk.line, next, &self.settings);
                if !heads.is_empty() {
                    self.stats.examined += 1;
                    trunk.look = Some(Look::begin(&trunk.line, &heads, next.top.clone()));
                    // Its places are needed now; what has come is kept.
                    trunk.flight = None;
                    continue;
                }
            }
            let Some(said) = trunk.next.pop_front() else {
                continue;
            };
            if said.ends {
                trunk.ended = true;
                continue;
            }
            let piece = trunk.line.push(&said);
            if !piece.is_empty() {
                return Ok(Some(Step::Text(piece)));
            }
        }
    }

    /// Goes on with the look that is under way.
    fn look(&mut self) -> Result<Looked, DecodeError> {
        let begun = Instant::now();
        let Some(trunk) = &mut self.trunk else {
            return Ok(Looked::Nothing);
        };
        let Some(mut look) = trunk.look.take() else {
            return Ok(Looked::Nothing);
        };
        let ground = Ground {
            server: &self.server,
            trunk: &trunk.line,
            from: trunk.from,
        };
        let looked = look.poll(&ground, &self.settings, &mut self.told);
        self.stats.detector_s += begun.elapsed().as_secs_f64();
        let meanings = match looked {
            Ok((Some(meanings), _)) => meanings,
            Ok((None, _)) => {
                trunk.look = Some(look);
                return Ok(Looked::Waiting);
            }
            Err(error) => {
                // The place is looked at again when the server is back.
                trunk.examined = None;
                return Err(error);
            }
        };
        let mut meanings = meanings;
        meanings.retain(|meaning| meaning.mass >= self.settings.meaning_mass_min);
        let found = found(look.rolls, &meanings, look.top);
        if found.branches.len() < 2 {
            return Ok(Looked::Nothing);
        }
        trunk.next.clear();
        Ok(Looked::Fork(self.offer(found, ForkOrigin::Detected)))
    }

    /// Takes what has come for the trunk, asking for more where nothing is under way; `false` when there is nothing yet.
    fn receive(&mut self) -> Result<bool, DecodeError> {
        self.shift_context();
        let Some(trunk) = &mut self.trunk else {
            return Ok(false);
        };
        let Some(flight) = &mut trunk.flight else {
            let position = trunk.line.tokens.len();
            let left = self.settings.tokens_max - (position - trunk.prompt);
            let how = how(
                &self.settings,
                position,
                trunk.choices,
                left.min(self.server.settings.stretch_tokens as usize),
            );
            let ground = Ground {
                server: &self.server,
                trunk: &trunk.line,
                from: trunk.from,
            };
            trunk.flight = ground.ask(&Line::default(), how)?;
            return Ok(trunk.flight.is_some());
        };
        match flight.poll() {
            None => {
                tell_silence(flight, &self.server, &mut self.told);
                return Ok(false);
            }
            Some(News::Said(said)) => trunk.next.push_back(said),
            Some(News::Again(why)) => self.told.push(sent_again(&why)),
            Some(News::Over(finish)) => {
                trunk.flight = None;
                trunk.ended = finish == Finish::Text;
            }
            Some(News::Cut) => {
                trunk.flight = None;
                self.told.push(
                    "an answer broke off: what had come is kept, the rest is asked for".into(),
                );
            }
            Some(News::Failed(error)) => {
                trunk.flight = None;
                return Err(error);
            }
        }
        Ok(true)
    }

    /// When the server's context is nearly used up, the last half of it is what goes on.
    fn shift_context(&mut self) {
        let Some(trunk) = self.trunk.as_mut().filter(|trunk| trunk.flight.is_none()) else {
            return;
        };
        let reserve = self.settings.reserve_tokens() + self.settings.ready_tokens_max;
        let reserve = reserve.max(self.server.settings.stretch_tokens as usize);
        let held = trunk.line.tokens.len() - trunk.from;
        let unknown = if trunk.prompt == 0 {
            trunk.line.text.len() / BYTES_PER_TOKEN
        } else {
            0
        };
        if held.max(unknown * usize::from(trunk.from == 0)) + reserve < self.context {
            return;
        }
        let kept = self.context / 2;
        let mut from = trunk.line.tokens.len().saturating_sub(kept);
        // Not inside a character, whose first half would be no text.
        let ends = trunk.line.ends();
        while from > trunk.from && from >= 2 && ends[from - 1] == ends[from - 2] {
            from -= 1;
        }
        trunk.from = trunk.from.max(from);
    }

    /// Opens a fork at the end of the trunk.
    pub(super) fn offer(&mut self, found: Found, origin: ForkOrigin) -> Fork {
        let id = ForkId(self.next_fork);
        self.next_fork += 1;
        self.stats.forks += 1;
        let (mut position, mut context) = (0, String::new());
        if let Some(trunk) = &mut self.trunk {
            position = trunk.line.tokens.len();
            context = last_chars(&trunk.line.text, CONTEXT_CHARS).to_owned();
            if trunk.asked.last() != Some(&position) {
                trunk.asked.push(position);
            }
        }
        let fork = Fork {
            id,
            position,
            context,
            branches: found.branches,
            origin,
        };
        self.open = Some(Offer {
            fork: fork.clone(),
            ahead: found.ahead,
            seen: found.seen,
            top: found.top,
        });
        fork
    }

    pub(super) fn think_on(&mut self, cancel: &Cancel) -> Result<Thought, DecodeError> {
        let thought = self.wait(cancel, Thought::Cancelled, Self::think_once)?;
        // Nothing has come: the caller may look at other things in between.
        Ok(thought.unwrap_or(Thought::Further { branches: 0 }))
    }

    /// Takes what has come for the branches; `None` when nothing has.
    fn think_once(&mut self) -> Result<Option<Thought>, DecodeError> {
        let (Some(offer), Some(trunk)) = (&mut self.open, &self.trunk) else {
            return Ok(Some(Thought::Ready));
        };
        let ground = Ground {
            server: &self.server,
            trunk: &trunk.line,
            from: trunk.from,
        };
        let mut branches = 0;
        for ahead in &mut offer.ahead {
            let grew = ahead.receive(&ground, trunk, &self.settings, &mut self.told)?;
            branches += usize::from(grew);
        }
        Ok(if branches > 0 {
            Some(Thought::Further { branches })
        } else if offer.ahead.iter().all(|ahead| ahead.stopped) {
            Some(Thought::Ready)
        } else {
            None
        })
    }

    pub(super) fn counted(&self) -> Stats {
        let counts = self.server.counts();
        Stats {
            tokens: self.trunk.as_ref().map_or(0, |t| t.line.tokens.len()),
            forward_steps: counts.requests - self.before.requests,
            forward_rows: counts.tokens - self.before.tokens,
            ..self.stats.clone()
        }
    }
}

/// What a look came to.
enum Looked {
    Waiting,
    Fork(Fork),
    Nothing,
}

impl Ahead {
    /// Takes what has come; whether the branch grew.
    fn receive(
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
            let Some(flight) = &mut self.flight else {
                let left = settings.ready_tokens_max - ready;
                let how = how(settings, position, trunk.choices + 1, left);
                self.flight = ground.ask(&self.line, how)?;
                if self.flight.is_none() {
                    break;
                }
                continue;
            };
            match flight.poll() {
                None => {
                    tell_silence(flight, ground.server, told);
                    break;
                }
                Some(News::Said(said)) => {
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
                Some(News::Again(why)) => told.push(sent_again(&why)),
                Some(News::Over(finish)) => {
                    self.flight = None;
                    self.ended = finish == Finish::Text;
                    self.stopped |= self.ended;
                }
                Some(News::Cut) => self.flight = None,
                Some(News::Failed(error)) => {
                    self.flight = None;
                    return Err(error);
                }
            }
        }
        if self.stopped {
            self.flight = None;
        }
        Ok(grew)
    }
}

/// How tokens behind a place are drawn.
fn how(settings: &WriterSettings, position: usize, choices: u64, tokens: usize) -> How {
    let place = Place {
        seed: settings.seed,
        position,
        choices,
    };
    How {
        tokens,
        sampling: settings.sampling(),
        seed: seed(place.draw(Purpose::Token, 0)),
    }
}

/// A uniform number as a seed that any server takes.
pub(super) fn seed(uniform: f64) -> u32 {
    (uniform * f64::from(i32::MAX)) as u32
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
            flight: None,
        });
    }
    Found {
        branches,
        ahead,
        seen,
        top,
    }
}
