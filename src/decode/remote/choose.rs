//! Deciding a fork, and taking the decision back: nothing is asked of the server, all of it is here.

use super::super::distribution::{Place, Purpose};
use super::super::error::DecodeError;
use super::super::outcome::{Commit, Stats, Step, Thought, Undone};
use super::super::{Cancel, Decoder};
use super::trunk::Past;
use super::writer::RemoteWriter;
use crate::fork::{Fork, ForkId, ForkOrigin};

impl Decoder for RemoteWriter {
    fn start(&mut self, prompt: &str) -> Result<(), DecodeError> {
        self.begin(prompt)
    }

    fn advance(&mut self, cancel: &Cancel) -> Result<Step, DecodeError> {
        self.write_on(cancel)
    }

    fn think(&mut self, cancel: &Cancel) -> Result<Thought, DecodeError> {
        self.think_on(cancel)
    }

    fn commit(&mut self, fork: ForkId, branch: usize) -> Result<Commit, DecodeError> {
        let mut offer = self.open.take().ok_or(DecodeError::NotOpen { fork })?;
        if let Some(refusal) = DecodeError::of_choice(&offer.fork, fork, branch) {
            self.open = Some(offer);
            return Err(refusal);
        }
        let trunk = self.trunk.as_mut().ok_or(DecodeError::NotStarted)?;
        let (tokens, bytes) = (trunk.line.tokens.len(), trunk.line.text.len());
        let choices = trunk.choices;
        let chosen = &mut offer.ahead[branch]; // below the number of branches, as just checked
        trunk.line.adopt(&chosen.line);
        trunk.ended = chosen.ended;
        trunk.choices += 1;
        trunk.examined = None;
        // What is on its way behind the chosen branch is the text's from now on.
        trunk.next = std::mem::take(&mut chosen.next);
        trunk.stream = std::mem::take(&mut chosen.stream);
        let commit = Commit {
            text: chosen.line.text.clone(),
            ready_tokens: chosen.line.tokens.len() - chosen.phrase,
            branch,
        };
        for ahead in &mut offer.ahead {
            ahead.stream.stop();
        }
        self.past.push_back(Past {
            offer,
            tokens,
            bytes,
            choices,
        });
        if self.past.len() > self.settings.undo_depth {
            self.past.pop_front();
        }
        Ok(commit)
    }

    fn go_on(&mut self, fork: ForkId) -> Result<Commit, DecodeError> {
        let (offer, trunk) = match (&self.open, &self.trunk) {
            (Some(offer), Some(trunk)) if offer.fork.id == fork => (offer, trunk),
            _ => return Err(DecodeError::NotOpen { fork }),
        };
        let place = Place {
            seed: self.settings.seed,
            position: offer.fork.position,
            choices: trunk.choices,
        };
        let total: f64 = offer.fork.branches.iter().map(|branch| branch.prior).sum();
        let mut left = place.draw(Purpose::Branch, 0) * total;
        let drawn = offer.fork.branches.iter().position(|branch| {
            left -= branch.prior;
            left < 0.0
        });
        self.commit(fork, drawn.unwrap_or(0))
    }

    fn undo(&mut self) -> Result<Option<Undone>, DecodeError> {
        let trunk = self.trunk.as_mut().ok_or(DecodeError::NotStarted)?;
        let Some(past) = self.past.pop_back() else {
            return Ok(None);
        };
        let text = trunk.line.cut(past.tokens, past.bytes);
        trunk.choices = past.choices;
        trunk.asked.retain(|at| *at <= past.tokens);
        trunk.examined = Some(past.tokens);
        trunk.forget_next();
        let mut offer = past.offer;
        offer.fork.id = ForkId(self.next_fork);
        // The person asks for this place again: no budget of questions may refuse it.
        offer.fork.origin = ForkOrigin::Called;
        self.next_fork += 1;
        self.stats.forks += 1;
        let fork = offer.fork.clone();
        self.open = Some(offer);
        Ok(Some(Undone { text, fork }))
    }

    fn other(&mut self, fork: ForkId) -> Result<Option<Fork>, DecodeError> {
        self.offer_other(fork)
    }

    fn call(&mut self, words_back: usize) -> Result<Option<Fork>, DecodeError> {
        self.call_words_back(words_back)
    }

    fn call_behind(&mut self, position: usize) -> Result<Option<Fork>, DecodeError> {
        self.call_at_token(position)
    }

    fn drop_fork(&mut self) {
        let Some(dropped) = self.open.take() else {
            return;
        };
        if let Some(trunk) = &mut self.trunk {
            trunk.asked.retain(|at| *at < dropped.fork.position);
            trunk.examined = None;
        }
    }

    fn text(&self) -> &str {
        self.trunk.as_ref().map_or("", |trunk| &trunk.line.text)
    }

    fn position(&self) -> usize {
        self.trunk.as_ref().map_or(0, |t| t.line.tokens.len())
    }

    fn can_undo(&self) -> bool {
        !self.past.is_empty()
    }

    fn ready_tokens(&self) -> Vec<usize> {
        let ahead = self.open.iter().flat_map(|offer| &offer.ahead);
        ahead
            .map(|branch| branch.line.tokens.len() - branch.phrase)
            .collect()
    }

    fn stats(&self) -> Stats {
        self.counted()
    }

    fn remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }
}
