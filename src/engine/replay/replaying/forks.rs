//! Forks made again: where the text forks now, what is offered, whether it is asked.

use super::{Asked, Replaying};
use crate::choice::{Ask, Decision, Presence};
use crate::engine::conduct::{capped_prior, option_rows};
use crate::engine::question::Question;
use crate::engine::replay::difference::{fork_difference, options_difference};
use crate::engine::replay::error::ReplayError;
use crate::fork::{Branch, Fork, ForkId, options_of};
use crate::marker::OptionKind;
use crate::session::{ForkRow, OptionRow, reopen_gate};
use crate::view::layout;

impl Replaying<'_> {
    pub(super) fn fork(&mut self, row: &ForkRow) -> Result<(), ReplayError> {
        let empty = Vec::new();
        let options = self
            .known
            .forks
            .get(&row.fork)
            .map_or(&empty, |(_, options)| options);
        let (question, remade) = match self.fork_again(row, options) {
            Some((question, fork_row)) => {
                let option_rows = option_rows(&question);
                let difference = fork_difference(row, &fork_row)
                    .or_else(|| options_difference(options, &option_rows));
                self.forks.note(difference.is_none());
                if let Some((what, expected, got)) = difference {
                    self.differs(Some(row.fork), None, &what, expected, got);
                }
                (question, Some((fork_row, option_rows)))
            }
            None => (recorded_question(row, options), None),
        };
        let (fork_row, option_rows) = match &remade {
            Some((fork_row, option_rows)) => (fork_row, option_rows),
            None => (row, options),
        };
        self.ledger.fork(fork_row, option_rows)?;
        if matches!(fork_row.decision, Decision::Ask(_)) {
            let at_s = fork_row.opened_at.get();
            self.guarding
                .hears(&mut self.decider, |guard| guard.asked(at_s));
        }
        let gate = match fork_row.decision {
            // A fork that the gate would not take was aborted at once, without an input.
            Decision::Ask(_) => reopen_gate(fork_row, option_rows).ok(),
            Decision::LetModel(_) | Decision::Imitate { .. } => None,
        };
        self.asked = Some(Asked {
            question,
            decision: fork_row.decision,
            gate,
        });
        Ok(())
    }

    /// The fork as decoder and protocol find it now; `None` when the text has gone another way.
    fn fork_again(&mut self, row: &ForkRow, options: &[OptionRow]) -> Option<(Question, ForkRow)> {
        let story = self.story.as_mut()?;
        let (fork, tokens_written) = match story.next_fork(row) {
            Ok(found) => found,
            Err(astray) => {
                let expected = format!("a fork at token {}", row.position_tokens);
                self.astray(Some(row.fork), expected, astray);
                return None;
            }
        };
        let kinds = options_of(fork.branches.len(), story.can_undo());
        let tiles = layout::tiles(&fork, &kinds, &self.plan.screen);
        let divergence = story.divergence();
        let id = ForkId(self.next_question);
        self.next_question += 1;
        self.follow_texts();
        let mut question = Question::new(id, fork, self.attempt, kinds, tiles, row.opened_at);
        // The person's memory is another by now, or gone: what it preferred is known from what was written.
        question.preference = attention_of(options);
        question.divergence = divergence;
        let ask = Ask {
            origin: question.fork.origin,
            tokens_written,
            attempt: self.attempt,
            // Whether streams were alive is known only from what was decided.
            presence: Presence::of(&row.decision),
        };
        let decision = question.decide(&mut self.decider, &ask);
        let asked = matches!(decision, Decision::Ask(_));
        let fork_row = ForkRow {
            fork: id,
            position_tokens: question.fork.position as u64,
            tokens_written,
            context: question.fork.context.clone(),
            origin: question.fork.origin,
            attempt: self.attempt,
            decision,
            gate: self.gate_settings,
            prior_capped: asked
                .then(|| capped_prior(self.gate_settings, &question))
                .flatten(),
            model_sha256: self.model_sha256.clone(),
            adapter: self.adapter.clone(),
            ..row.clone()
        };
        Some((question, fork_row))
    }
}

/// What the memory preferred, for each branch; `None` where it said nothing.
fn attention_of(options: &[OptionRow]) -> Option<Vec<f32>> {
    let branches = options
        .iter()
        .filter(|option| option.tile.kind == OptionKind::Branch);
    branches
        .map(|option| option.attention.map(|attention| attention as f32))
        .collect()
}

/// A question as its rows describe it, for when the text cannot be followed any more.
fn recorded_question(row: &ForkRow, options: &[OptionRow]) -> Question {
    let branches = options
        .iter()
        .filter(|option| option.tile.kind == OptionKind::Branch)
        .map(|option| Branch {
            text: option.tile.text.clone(),
            tokens: option.tokens.clone(),
            prior: option.prior,
            log_prob_nats: option.log_prob_nats,
        })
        .collect();
    let fork = Fork {
        id: row.fork,
        position: row.position_tokens as usize,
        context: row.context.clone(),
        branches,
        origin: row.origin,
    };
    let kinds = options.iter().map(|option| option.tile.kind).collect();
    let tiles = options.iter().map(|option| option.tile.clone()).collect();
    Question::new(row.fork, fork, row.attempt, kinds, tiles, row.opened_at)
}
