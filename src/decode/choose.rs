//! Deciding a fork, and taking the decision back: states change hands, nothing is computed.

use std::sync::Arc;

use super::distribution::{Place, Purpose};
use super::error::DecodeError;
use super::kv::Sequence;
use super::offer::{Mark, Past};
use super::outcome::{Commit, Undone};
use super::writer::{Trunk, Writer};
use crate::fork::{ForkId, ForkOrigin};

impl Writer {
    /// Takes a branch: its state becomes the text's. No keys are copied and no step is made.
    ///
    /// # Errors
    /// [`DecodeError::NotOpen`] or [`DecodeError::NoSuchBranch`].
    pub fn commit(&mut self, fork: ForkId, branch: usize) -> Result<Commit, DecodeError> {
        let mut offer = self.open.take().ok_or(DecodeError::NotOpen { fork })?;
        if let Some(refusal) = DecodeError::of_choice(&offer.fork, fork, branch) {
            self.open = Some(offer);
            return Err(refusal);
        }
        let trunk = self.trunk.as_mut().ok_or(DecodeError::NotStarted)?;
        let chosen = &mut offer.ahead[branch]; // below the number of branches, as just checked
        let (stream, next) = (trunk.line.stream().clone(), Arc::clone(&trunk.line.next));
        let (tokens, skipped, choices) = (trunk.line.tokens.len(), trunk.skipped, trunk.choices);
        let closed = trunk.line.is_closed();
        let sequence = trunk.line.adopt(&mut chosen.line);
        trunk.ended = chosen.ended;
        trunk.choices += 1;
        trunk.examined = None;
        let commit = Commit {
            text: chosen.line.text.clone(),
            ready_tokens: chosen.line.tokens.len() - chosen.phrase,
            branch,
        };
        self.past.push_back(Past {
            offer,
            mark: Mark {
                sequence,
                next,
                stream,
                tokens,
                closed,
                skipped,
                choices,
            },
        });
        if self.past.len() > self.settings.undo_depth
            && let Some(forgotten) = self.past.pop_front()
        {
            self.retired.push(forgotten.mark.sequence);
            self.retired.extend(
                forgotten
                    .offer
                    .ahead
                    .into_iter()
                    .map(|ahead| ahead.line.sequence),
            );
        }
        Ok(commit)
    }

    /// Lets the model choose: a branch is drawn by its prior, with the seed.
    ///
    /// # Errors
    /// [`DecodeError::NotOpen`].
    pub fn go_on(&mut self, fork: ForkId) -> Result<Commit, DecodeError> {
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

    /// Takes the last choice back, with all text behind it, and offers its fork again. A fork that is open is dropped.
    /// `None` when there is no choice to take back (or it lies more than `undo_depth` choices ago).
    ///
    /// # Errors
    /// [`DecodeError::NotStarted`].
    pub fn undo(&mut self) -> Result<Option<Undone>, DecodeError> {
        let trunk = self.trunk.as_mut().ok_or(DecodeError::NotStarted)?;
        let Some(past) = self.past.pop_back() else {
            return Ok(None);
        };
        let text = go_back(trunk, past.mark, &mut self.retired);
        if let Some(dropped) = self.open.take() {
            self.retired
                .extend(dropped.ahead.into_iter().map(|ahead| ahead.line.sequence));
        }
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
}

impl Writer {
    /// Leaves the open fork undecided: its branches are dropped, the text stays, and the place is looked at again.
    pub fn drop_fork(&mut self) {
        let Some(dropped) = self.open.take() else {
            return;
        };
        self.retired
            .extend(dropped.ahead.into_iter().map(|ahead| ahead.line.sequence));
        if let Some(trunk) = &mut self.trunk {
            trunk.asked.retain(|at| *at < dropped.fork.position);
            trunk.examined = None;
        }
    }
}

/// Takes the trunk back to a mark; returns the text taken back.
fn go_back(trunk: &mut Trunk, mark: Mark, retired: &mut Vec<Sequence>) -> String {
    let text = trunk.line.cut(mark.tokens);
    if mark.closed {
        trunk.line.close();
    }
    retired.push(std::mem::replace(&mut trunk.line.sequence, mark.sequence));
    trunk.line.next = mark.next;
    trunk.line.set_stream(mark.stream);
    trunk.skipped = mark.skipped;
    trunk.choices = mark.choices;
    trunk.asked.retain(|at| *at <= mark.tokens);
    trunk.examined = Some(mark.tokens);
    trunk.ended = false;
    text
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use crate::decode::{Cancel, Model, Step, WriterSettings};

    use super::*;

    #[test]
    fn a_word_that_was_chosen_as_whole_is_whole_again_when_what_followed_is_taken_back() {
        let model = Arc::new(Model::embedded().unwrap());
        let mut met = 0;
        for seed in 0..20 {
            let settings = WriterSettings {
                seed,
                tokens_max: 120,
                ..WriterSettings::default()
            };
            let mut writer = Writer::new(Arc::clone(&model), settings).unwrap();
            writer.start("Once upon a time").unwrap();
            let fork = loop {
                match writer.advance(&Cancel::new()).unwrap() {
                    Step::Fork(fork) => break Some(fork),
                    Step::Text(_) => {}
                    _ => break None,
                }
            };
            let Some(fork) = fork else {
                continue;
            };
            // Nothing was decoded behind the branch: the text ends with its last word.
            writer.commit(fork.id, 0).unwrap();
            let closed = |writer: &Writer| writer.trunk.as_ref().unwrap().line.is_closed();
            let text = writer.text().to_owned();
            if !closed(&writer) {
                continue;
            }
            let Some(second) = writer.call(0).unwrap() else {
                continue;
            };
            assert!(closed(&writer), "a call here changes nothing of the text");
            writer.commit(second.id, 0).unwrap();
            writer.undo().unwrap().unwrap();
            assert_eq!(writer.text(), text);
            assert!(closed(&writer), "behind {text:?}");
            writer.drop_fork();
            assert!(closed(&writer));
            met += 1;
        }
        assert!(met > 5, "{met} texts came so far");
    }
}
