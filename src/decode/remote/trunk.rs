//! The text so far: what has been written, what has come behind it, what can be taken back.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::distribution::{Place, Purpose};
use super::super::error::DecodeError;
use super::super::settings::WriterSettings;
use super::ahead::Offer;
use super::ground::{Context, Ground};
use super::line::Line;
use super::look::Look;
use super::server::Server;
use super::stream::{Heard, Stream};
use super::wire::{Finish, How, Said};

/// The text so far, and what has come behind it.
#[derive(Debug)]
pub(super) struct Trunk {
    pub(super) line: Line,
    /// Tokens of the prompt, as far as they are known.
    pub(super) prompt: usize,
    /// Choices made on the way here.
    pub(super) choices: u64,
    /// Where questions were asked, in tokens.
    pub(super) asked: Vec<usize>,
    /// Where it was found that there is no fork.
    pub(super) examined: Option<usize>,
    pub(super) ended: bool,
    /// Whether it was told that the server's context does not hold all of it.
    shortened: bool,
    /// Tokens that have come and are not written yet.
    pub(super) next: VecDeque<Said>,
    pub(super) stream: Stream,
    pub(super) look: Option<Look>,
}

/// A choice that can be taken back.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) offer: Offer,
    pub(super) tokens: usize,
    pub(super) bytes: usize,
    pub(super) choices: u64,
}

impl Trunk {
    /// A text that begins with a prompt and its tokens, as far as they are known.
    pub(super) fn begin(prompt: &str, tokens: Option<Vec<u32>>) -> Self {
        let line = Line::prompt(prompt, tokens);
        Self {
            prompt: line.tokens.len(),
            line,
            choices: 0,
            asked: Vec::new(),
            examined: None,
            ended: false,
            shortened: false,
            next: VecDeque::new(),
            stream: Stream::default(),
            look: None,
        }
    }

    /// Takes what has come, asking for more where nothing is under way; `false` when there is nothing yet.
    pub(super) fn receive(
        &mut self,
        server: &Arc<Server>,
        context: Context,
        settings: &WriterSettings,
        told: &mut Vec<String>,
    ) -> Result<bool, DecodeError> {
        let ground = Ground {
            server,
            trunk: &self.line,
            context,
        };
        if !self.shortened && ground.is_shortened() {
            self.shortened = true;
            told.push(format!(
                "the text is longer than the {} tokens that the server looks back on: its beginning is left out from here on",
                context.length
            ));
        }
        let position = self.line.tokens.len();
        let left = settings.tokens_max - (position - self.prompt);
        let tokens = left.min(server.settings.stretch_tokens as usize);
        let how = || how(settings, position, self.choices, tokens);
        let heard = self.stream.next(&ground, &Line::default(), how, told)?;
        match heard {
            None => return Ok(false),
            Some(Heard::Said(said)) => self.next.push_back(said),
            Some(Heard::Over(finish)) => self.ended = finish == Finish::Text,
        }
        Ok(true)
    }

    /// Breaks off what is under way: its places are needed. A place that was being looked at is looked at anew.
    pub(super) fn give_way(&mut self) {
        self.stream.stop();
        if self.look.take().is_some() {
            self.examined = None;
        }
    }

    /// Forgets what had come behind another end of the text.
    pub(super) fn forget_next(&mut self) {
        self.ended = false;
        self.next.clear();
        self.stream.stop();
        self.look = None;
    }
}

/// How tokens behind a place are drawn.
pub(super) fn how(settings: &WriterSettings, position: usize, choices: u64, tokens: usize) -> How {
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
