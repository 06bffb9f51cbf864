//! The writer: writes on its own, stops at forks, keeps every branch going while somebody thinks, takes the chosen one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::cancel::Cancel;
use super::distribution::{Place, Purpose};
use super::error::{DecodeError, Interrupt};
use super::forward::{Engine, Feed, Wanted};
use super::glance::promising;
use super::join::Joiner;
use super::kv::{PAGE_TOKENS, Sequence};
use super::line::Line;
use super::model::Model;
use super::offer::{Found, Offer, Past, examine};
use super::outcome::{End, Stats, Step, Thought};
use super::rollout::WORD_TOKENS_MAX;
use super::sampling::Sampler;
use super::settings::WriterSettings;
use crate::fork::{Divergence, Fork, ForkId, ForkOrigin, ForkStates, MAX_BRANCHES};

/// Characters of text before a fork that go with it, for people.
pub(crate) const CONTEXT_CHARS: usize = 240;
/// Room for lines that commits drop, until the next step recycles them: a commit need not allocate for it.
const RETIRED_MAX: usize = 64;

/// Writes a text with one model. Belongs to one thread; every method runs to its end unless cancelled.
///
/// The text is a function of model, settings, prompt and the choices made, in their order: neither time nor how far
/// [`Writer::think`] has come plays a part.
///
/// When the context is used up the last half of it is read again as a fresh context (with the model's beginning token in
/// front, if the text had one). Text, forks and undo are not affected.
#[derive(Debug)]
pub struct Writer {
    pub(super) engine: Engine,
    pub(super) settings: WriterSettings,
    sampler: Sampler,
    context: usize,
    pub(super) trunk: Option<Trunk>,
    pub(super) open: Option<Offer>,
    pub(super) past: VecDeque<Past>,
    joiner: Joiner,
    /// What commits and undos left behind, freed by the next step.
    pub(super) retired: Vec<Sequence>,
    pub(super) next_fork: u64,
    pub(super) stats: Stats,
}

#[derive(Debug)]
pub(super) struct Trunk {
    pub(super) line: Line,
    pub(super) prompt: usize,
    /// Tokens of the text that the sequence does not hold.
    pub(super) skipped: usize,
    /// Choices made on the way here.
    pub(super) choices: u64,
    /// Where questions were asked, in tokens.
    pub(super) asked: Vec<usize>,
    /// Where it was found that there is no fork.
    pub(super) examined: Option<usize>,
    pub(super) ended: bool,
}

impl Writer {
    /// A writer without a text.
    ///
    /// # Errors
    /// [`DecodeError::Setting`] for a setting out of range, [`DecodeError::ContextTooShort`] for a model whose context
    /// cannot hold what these settings ask for.
    pub fn new(model: Arc<Model>, settings: WriterSettings) -> Result<Self, DecodeError> {
        settings.check()?;
        let context = settings
            .context_tokens_max
            .min(model.config().context_tokens);
        let needed_tokens = settings.context_tokens_needed();
        if context < needed_tokens {
            return Err(DecodeError::ContextTooShort {
                found_tokens: context,
                needed_tokens,
            });
        }
        let mut engine = Engine::new(model);
        let ahead = settings.phrase_tokens_max + WORD_TOKENS_MAX + settings.ready_tokens_max;
        engine
            .pool
            .prepare(MAX_BRANCHES * ahead.div_ceil(PAGE_TOKENS) + settings.candidates_max);
        let retired = Vec::with_capacity(RETIRED_MAX);
        let (open, past, stats) = (
            None,
            VecDeque::with_capacity(settings.undo_depth + 1),
            Stats::default(),
        );
        Ok(Self {
            engine,
            settings,
            sampler: Sampler::new(),
            context,
            trunk: None,
            open,
            past,
            joiner: Joiner::default(),
            retired,
            next_fork: 0,
            stats,
        })
    }

    /// Begins a text with a prompt, which may be empty if the model knows a token that begins texts. Forgets the text
    /// before, and its choices; identities of forks go on.
    ///
    /// # Errors
    /// [`DecodeError::EmptyPrompt`], [`DecodeError::Tokenizer`], [`DecodeError::NonFinite`].
    pub fn start(&mut self, prompt: &str) -> Result<(), DecodeError> {
        let model = Arc::clone(self.engine.model());
        let tokens = model.prompt(prompt)?;
        self.open = None;
        self.past.clear();
        self.joiner.clear();
        self.trunk = None;
        let (sequence, next, skipped) = finish(self.prime(&tokens))?;
        let mut line = Line::new(sequence, next);
        for &token in &tokens {
            line.push(model.tokens(), token)?;
        }
        let (prompt, asked) = (tokens.len(), Vec::new());
        self.trunk = Some(Trunk {
            line,
            prompt,
            skipped,
            choices: 0,
            asked,
            examined: None,
            ended: false,
        });
        Ok(())
    }

    /// Reads the last part of a text into a fresh context.
    pub(super) fn prime(
        &mut self,
        tokens: &[u32],
    ) -> Result<(Sequence, Arc<super::forward::Prediction>, usize), Interrupt> {
        let model = Arc::clone(self.engine.model());
        let mut sequence = Sequence::new(model.kv_shape());
        let mut kept = tokens;
        if tokens.len() + self.settings.reserve_tokens() > self.context {
            kept = &tokens[tokens.len() - tokens.len().min(self.context / 2)..];
        }
        let never = Cancel::new();
        let begins = model
            .config()
            .bos
            .filter(|bos| kept.len() < tokens.len() && tokens.first() == Some(bos));
        if let Some(bos) = begins {
            self.engine
                .read(&mut sequence, &[bos], tokens.len(), &never)?;
        }
        let next = self
            .engine
            .read(&mut sequence, kept, tokens.len(), &never)?;
        Ok((
            sequence,
            next,
            tokens.len() - kept.len() - usize::from(begins.is_some()),
        ))
    }

    /// Writes on until text comes out, a fork is found, or the text is over.
    ///
    /// # Errors
    /// [`DecodeError::NotStarted`], [`DecodeError::ForkOpen`] while a fork waits for its decision,
    /// [`DecodeError::NonFinite`] and [`DecodeError::NoCandidates`] when the model has no sound answer: the token was
    /// refused, the text is as it was.
    pub fn advance(&mut self, cancel: &Cancel) -> Result<Step, DecodeError> {
        if let Some(offer) = &self.open {
            return Err(DecodeError::ForkOpen {
                fork: offer.fork.id,
            });
        }
        let begun = Instant::now();
        self.recycle();
        self.join();
        let step = self.advance_until_something(cancel);
        self.stats.advance_s += begun.elapsed().as_secs_f64();
        match step {
            Ok(step) => Ok(step),
            Err(Interrupt::Cancelled) => Ok(Step::Cancelled),
            Err(Interrupt::Failed(error)) => Err(error),
        }
    }

    fn advance_until_something(&mut self, cancel: &Cancel) -> Result<Step, Interrupt> {
        loop {
            self.renew_context()?;
            let trunk = self.trunk.as_ref().ok_or(DecodeError::NotStarted)?;
            if trunk.ended {
                return Ok(Step::End(End::Text));
            }
            if trunk.line.tokens.len() - trunk.prompt >= self.settings.tokens_max {
                return Ok(Step::End(End::Tokens));
            }
            if let Some(fork) = self.look_for_fork(cancel)? {
                return Ok(Step::Fork(fork));
            }
            let piece = self.write_token(cancel)?;
            match piece {
                None => return Ok(Step::End(End::Text)),
                Some(piece) if !piece.is_empty() => return Ok(Step::Text(piece)),
                Some(_) => {}
            }
        }
    }

    /// Writes one token; `None` when it ends the text.
    fn write_token(&mut self, cancel: &Cancel) -> Result<Option<String>, Interrupt> {
        let model = Arc::clone(self.engine.model());
        let trunk = self.trunk.as_mut().ok_or(DecodeError::NotStarted)?;
        let position = trunk.line.tokens.len();
        let place = Place {
            seed: self.settings.seed,
            position,
            choices: trunk.choices,
        };
        let sampler = &mut self.sampler;
        let token = next_token(&model, &self.settings, sampler, &trunk.line, &[], place)?;
        if model.is_end(token) {
            trunk.ended = true;
            return Ok(None);
        }
        let feed = Feed {
            sequence: &mut trunk.line.sequence,
            tokens: &[token],
            wanted: Wanted::Last,
        };
        let predictions = self.engine.forward(&mut [feed], position, cancel)?;
        trunk.line.next = predictions
            .first()
            .cloned()
            .ok_or(DecodeError::NoCandidates { position })?;
        Ok(Some(trunk.line.push(model.tokens(), token)?))
    }

    fn look_for_fork(&mut self, cancel: &Cancel) -> Result<Option<Fork>, Interrupt> {
        let Some(trunk) = &mut self.trunk else {
            return Ok(None);
        };
        let position = trunk.line.tokens.len();
        let asked_before = trunk.asked.iter().copied();
        if !self.settings.detect
            || trunk.examined == Some(position)
            || !may_ask(&self.settings, asked_before, position)
        {
            return Ok(None);
        }
        let begun = Instant::now();
        let place = Place {
            seed: self.settings.seed,
            position,
            choices: trunk.choices,
        };
        let steps = self.engine.steps;
        let found = examine(
            &mut self.engine,
            &mut trunk.line,
            &self.settings,
            place,
            cancel,
        );
        self.stats.detector_s += begun.elapsed().as_secs_f64();
        self.stats.examined += u64::from(self.engine.steps > steps);
        let found = found?;
        trunk.examined = Some(position);
        Ok(found.map(|found| self.offer(found, ForkOrigin::Detected)))
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
            divergence: found.divergence,
        });
        fork
    }

    /// Lets every branch of the open fork go on by one token, all in one batch. What is decoded here is there at once
    /// after a commit.
    ///
    /// # Errors
    /// As [`Writer::advance`]. Without an open fork the answer is [`Thought::Ready`].
    pub fn think(&mut self, cancel: &Cancel) -> Result<Thought, DecodeError> {
        match self.think_once(cancel) {
            Ok(thought) => Ok(thought),
            Err(Interrupt::Cancelled) => Ok(Thought::Cancelled),
            Err(Interrupt::Failed(error)) => Err(error),
        }
    }

    fn think_once(&mut self, cancel: &Cancel) -> Result<Thought, Interrupt> {
        let model = Arc::clone(self.engine.model());
        let limit = self.context - self.settings.reserve_tokens();
        let (Some(offer), Some(trunk)) = (&mut self.open, &self.trunk) else {
            return Ok(Thought::Ready);
        };
        let mut next = Vec::with_capacity(offer.ahead.len());
        for branch in offer.ahead.iter_mut().filter(|branch| !branch.stopped) {
            let position = trunk.line.tokens.len() + branch.line.tokens.len();
            let asked = trunk.asked.iter().copied();
            let full = branch.line.tokens.len() - branch.phrase >= self.settings.ready_tokens_max
                || branch.line.sequence.len() >= limit
                || position - trunk.prompt >= self.settings.tokens_max;
            let fork_ahead = self.settings.detect
                && may_ask(&self.settings, asked, position)
                && !promising(&model, &branch.line, &self.settings)?.is_empty();
            if full || fork_ahead {
                branch.stopped = true;
                continue;
            }
            let place = Place {
                seed: self.settings.seed,
                position,
                choices: trunk.choices + 1,
            };
            let token = next_token(
                &model,
                &self.settings,
                &mut self.sampler,
                &branch.line,
                &trunk.line.tokens,
                place,
            )?;
            if model.is_end(token) {
                branch.stopped = true;
                branch.ended = true;
                continue;
            }
            next.push(token);
        }
        if next.is_empty() {
            return Ok(Thought::Ready);
        }
        let mut going: Vec<_> = offer
            .ahead
            .iter_mut()
            .filter(|branch| !branch.stopped)
            .collect();
        let feeds = going.iter_mut().zip(&next).map(|(branch, token)| Feed {
            sequence: &mut branch.line.sequence,
            tokens: std::slice::from_ref(token),
            wanted: Wanted::Last,
        });
        let mut feeds: Vec<Feed<'_>> = feeds.collect();
        let predictions = self
            .engine
            .forward(&mut feeds, trunk.line.tokens.len(), cancel)?;
        drop(feeds);
        let branches = going.len();
        for ((branch, token), prediction) in going.into_iter().zip(next).zip(predictions) {
            branch.line.push(model.tokens(), token)?;
            branch.line.next = Arc::clone(prediction);
        }
        Ok(Thought::Further { branches })
    }

    /// The text so far, the prompt included; branches of an open fork are no part of it.
    #[must_use]
    pub fn text(&self) -> &str {
        self.trunk.as_ref().map_or("", |trunk| &trunk.line.text)
    }

    /// The tokens so far, those of the prompt included.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        self.trunk.as_ref().map_or(&[], |trunk| &trunk.line.tokens)
    }

    /// Number of tokens so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.tokens().len()
    }

    /// The open fork.
    #[must_use]
    pub fn fork(&self) -> Option<&Fork> {
        self.open.as_ref().map(|offer| &offer.fork)
    }

    /// The hidden states at the open fork and over its branches: they were computed when it was found. `None` without a fork.
    #[must_use]
    pub fn states(&self) -> Option<ForkStates> {
        let (offer, trunk) = (self.open.as_ref()?, self.trunk.as_ref()?);
        let branches = offer.ahead.iter().map(|ahead| ahead.pooled.clone());
        Some(ForkStates {
            fork: trunk.line.next.hidden.clone(),
            branches: branches.collect(),
        })
    }

    /// How differently the text goes on behind the branches of the open fork. Measured only where more meanings were found than can be
    /// offered, and of those that the detector found; `None` else.
    #[must_use]
    pub fn divergence(&self) -> Option<Divergence> {
        self.open.as_ref()?.divergence
    }

    /// Whether there is a choice that [`Writer::undo`] can take back.
    #[must_use]
    pub fn can_undo(&self) -> bool {
        !self.past.is_empty()
    }

    /// What follows each branch of the open fork so far: tokens decoded behind its phrase.
    #[must_use]
    pub fn ready_tokens(&self) -> Vec<usize> {
        let ahead = self.open.iter().flat_map(|offer| &offer.ahead);
        ahead
            .map(|branch| branch.line.tokens.len() - branch.phrase)
            .collect()
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        self.engine.model()
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &WriterSettings {
        &self.settings
    }

    /// What has been done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let held = self
            .trunk
            .as_ref()
            .map_or(0, |trunk| trunk.line.sequence.len());
        let ahead = self.open.iter().flat_map(|offer| &offer.ahead);
        Stats {
            tokens: self.position(),
            forward_steps: self.engine.steps,
            forward_rows: self.engine.rows,
            branch_bytes: ahead
                .map(|branch| branch.line.sequence.bytes_behind(held))
                .collect(),
            ..self.stats.clone()
        }
    }

    /// Frees what commits and undos left behind; done here so that they need not.
    fn recycle(&mut self) {
        for sequence in self.retired.drain(..) {
            self.engine.pool.recycle(sequence);
        }
    }

    /// Joins a little of what forks have cut the text into. What a choice may go back to follows, so that the pieces are freed.
    fn join(&mut self) {
        let Some(trunk) = &mut self.trunk else {
            return;
        };
        let Some(joint) = self.joiner.step(&trunk.line.sequence) else {
            return;
        };
        joint.relink(&mut trunk.line.sequence);
        for past in &mut self.past {
            joint.relink(&mut past.mark.sequence);
            let ahead = past.offer.ahead.iter_mut();
            ahead.for_each(|ahead| joint.relink(&mut ahead.line.sequence));
        }
        self.engine.pool.recycle_pieces(joint.into_pieces());
    }

    /// Reads the last part of the text into a fresh context when the present one is nearly used up.
    fn renew_context(&mut self) -> Result<(), Interrupt> {
        let limit = self.context - self.settings.reserve_tokens();
        let Some(trunk) = &self.trunk else {
            return Ok(());
        };
        if trunk.line.sequence.len() < limit {
            return Ok(());
        }
        let tokens = trunk.line.tokens.clone();
        let (sequence, next, skipped) = self.prime(&tokens)?;
        if let Some(trunk) = &mut self.trunk {
            self.retired
                .push(std::mem::replace(&mut trunk.line.sequence, sequence));
            trunk.line.next = next;
            trunk.skipped = skipped;
        }
        Ok(())
    }
}

/// The next banal token of a line, drawn by its place; `before` are the tokens that the line goes on from.
fn next_token(
    model: &Model,
    settings: &WriterSettings,
    sampler: &mut Sampler,
    line: &Line,
    before: &[u32],
    place: Place,
) -> Result<u32, DecodeError> {
    let latest_first = || line.tokens.iter().rev().chain(before.iter().rev()).copied();
    let uniform = place.draw(Purpose::Token, 0);
    let mut refused = Vec::new();
    loop {
        let allowed = |token| model.is_allowed(token) && !refused.contains(&token);
        let token = sampler
            .draw(
                &settings.sampling(),
                &line.next.logits,
                latest_first(),
                uniform,
                allowed,
            )
            .ok_or(DecodeError::NoCandidates {
                position: place.position,
            })?;
        if !line.is_closed() || model.is_end(token) {
            return Ok(token);
        }
        // A branch was chosen as it read: its last word does not become another one.
        let piece = line.stream().peek(model.tokens(), token)?;
        if !line.goes_on_with(&piece) {
            return Ok(token);
        }
        refused.push(token);
    }
}

/// Whether the budget allows a question here.
pub(super) fn may_ask(
    settings: &WriterSettings,
    asked: impl DoubleEndedIterator<Item = usize>,
    position: usize,
) -> bool {
    let mut recent = 0;
    for at in asked.rev().take_while(|at| at + 100 > position) {
        recent += 1;
        if at + settings.distance_tokens_min > position {
            return false;
        }
    }
    recent < settings.questions_per_100_tokens_max
}

/// The end of a text, cut between characters.
pub(super) fn last_chars(text: &str, chars: usize) -> &str {
    let begin = text
        .char_indices()
        .rev()
        .nth(chars.saturating_sub(1))
        .map_or(0, |(at, _)| at);
    &text[begin..]
}

/// A result of work that nobody could cancel.
pub(super) fn finish<T>(result: Result<T, Interrupt>) -> Result<T, DecodeError> {
    result.map_err(|interrupt| match interrupt {
        Interrupt::Failed(error) => error,
        // Only reached if a flag nobody else holds was raised.
        Interrupt::Cancelled => DecodeError::NotStarted,
    })
}
