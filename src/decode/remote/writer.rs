//! The writer: takes tokens from the server as they come, stops at forks, keeps every branch going while somebody thinks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::cancel::Cancel;
use super::super::error::DecodeError;
use super::super::outcome::{End, Stats, Step, Thought};
use super::super::settings::WriterSettings;
use super::super::writer::{CONTEXT_CHARS, last_chars, may_ask};
use super::ahead::{Found, Offer, found};
use super::ground::{Context, Ground};
use super::look::{Look, promising};
use super::roll::phrase_tokens;
use super::server::{Counts, Server};
use super::trunk::{Past, Trunk};
use crate::fork::{Fork, ForkId, ForkOrigin};

/// How long a step waits for the server before it says so.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long a wait lasts that nothing ends: what comes from a server, and who cancels, wake the thread before.
const NAP: Duration = Duration::from_millis(5);

/// Writes a text through a server. Belongs to one thread, which waits for requests that run on threads of their own.
///
/// The text depends on the choices made, and beyond them on the server: the seed goes along with every request, but no
/// server promises the same text for it.
#[derive(Debug)]
pub struct RemoteWriter {
    pub(super) server: Arc<Server>,
    pub(super) settings: WriterSettings,
    /// What one request may hold, tokens.
    pub(super) context: Context,
    pub(super) trunk: Option<Trunk>,
    pub(super) open: Option<Offer>,
    pub(super) past: VecDeque<Past>,
    pub(super) next_fork: u64,
    pub(super) told: Vec<String>,
    pub(super) stats: Stats,
    /// What the server had been asked before.
    before: Counts,
}

impl RemoteWriter {
    /// A writer without a text.
    ///
    /// # Errors
    /// [`DecodeError::Setting`] for a setting out of range, [`DecodeError::ContextTooShort`] for a server whose context
    /// cannot hold what these settings ask for.
    pub fn new(server: Arc<Server>, settings: WriterSettings) -> Result<Self, DecodeError> {
        settings.check()?;
        let context = context(&server, &settings)?;
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
        self.open = None;
        self.past.clear();
        self.trunk = Some(Trunk::begin(prompt, tokens));
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
                let (server, settings) = (&self.server, &self.settings);
                if !trunk.receive(server, self.context, settings, &mut self.told)? {
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
                    trunk.stream.stop();
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
            context: self.context,
        };
        let looked = look.poll(&ground, &self.settings, &mut self.told);
        self.stats.detector_s += begun.elapsed().as_secs_f64();
        let mut meanings = match looked {
            Ok(Some(meanings)) => meanings,
            Ok(None) => {
                trunk.look = Some(look);
                return Ok(Looked::Waiting);
            }
            Err(error) => {
                // The place is looked at again when the server is back.
                trunk.examined = None;
                return Err(error);
            }
        };
        meanings.retain(|meaning| meaning.mass >= self.settings.meaning_mass_min);
        let found = found(look.rolls, &meanings, look.top);
        if found.branches.len() < 2 {
            return Ok(Looked::Nothing);
        }
        trunk.next.clear();
        Ok(Looked::Fork(self.offer(found, ForkOrigin::Detected)))
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
            context: self.context,
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

/// What one request may hold: no more than the server's context, nor than the settings say.
fn context(server: &Server, settings: &WriterSettings) -> Result<Context, DecodeError> {
    let there = server.context_tokens().unwrap_or(usize::MAX);
    let length = settings.context_tokens_max.min(there);
    let phrase = phrase_tokens(settings.phrase_tokens_max);
    // A phrase behind the beginning of another, and what follows it.
    let compared = 2 * phrase + server.settings.consequence_tokens as usize;
    let begin = server.begin.as_ref().map_or(0, Vec::len);
    let needed_tokens = settings.context_tokens_needed().max(2 * compared + begin);
    if length < needed_tokens {
        return Err(DecodeError::ContextTooShort {
            found_tokens: length,
            needed_tokens,
        });
    }
    let ahead = phrase + settings.ready_tokens_max;
    let stretch = server.settings.stretch_tokens as usize;
    let reserve = compared.max(ahead).max(stretch).min(length / 2);
    Ok(Context { length, reserve })
}
