//! An open fork with the state of each branch, and the choices already made.

use std::sync::Arc;

use super::cancel::Cancel;
use super::distribution::Place;
use super::error::Interrupt;
use super::forward::{Engine, Prediction};
use super::glance::promising;
use super::kv::Sequence;
use super::line::Line;
use super::meaning::{Meaning, merge};
use super::rank::keep_most_telling;
use super::rollout::{Manner, Rollout, roll_out};
use super::settings::WriterSettings;
use super::text::TextStream;
use super::wording::reads_the_same;
use crate::fork::{Branch, Divergence, Fork, MAX_BRANCHES};

/// A branch and the state from which it goes on.
#[derive(Debug)]
pub(super) struct Ahead {
    /// The phrase, and the tokens decoded behind it.
    pub(super) line: Line,
    /// Tokens of the phrase.
    pub(super) phrase: usize,
    /// Mean of the hidden states over the phrase.
    pub(super) pooled: Vec<f32>,
    /// Whether the text ends here.
    pub(super) ended: bool,
    /// Whether nothing more is decoded ahead: the text ends, a fork may come, or the budget is used.
    pub(super) stopped: bool,
}

/// Meanings found at a place, as they will be offered.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) branches: Vec<Branch>,
    pub(super) ahead: Vec<Ahead>,
    /// First tokens and phrases of everything that was rolled out here.
    pub(super) seen: Seen,
    /// Between the branches, where it was measured.
    pub(super) divergence: Option<Divergence>,
}

/// What has been rolled out at a place, so that `other` offers something else.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) heads: Vec<u32>,
    pub(super) phrases: Vec<String>,
}

impl Seen {
    /// Notes what was rolled out.
    fn add(&mut self, rollouts: &[Rollout]) {
        self.heads.extend(
            rollouts
                .iter()
                .filter_map(|r| r.line.tokens.first().copied()),
        );
        self.phrases
            .extend(rollouts.iter().map(|r| r.phrase().to_owned()));
    }

    /// Notes what another search has seen.
    pub(super) fn extend(&mut self, other: Self) {
        self.heads.extend(other.heads);
        self.phrases.extend(other.phrases);
    }
}

/// The fork that is open.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) fork: Fork,
    pub(super) ahead: Vec<Ahead>,
    pub(super) seen: Seen,
    pub(super) divergence: Option<Divergence>,
}

/// A place in the trunk to which it can go back.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) sequence: Sequence,
    pub(super) next: Arc<Prediction>,
    pub(super) stream: TextStream,
    pub(super) tokens: usize,
    /// Whether the last word there is whole, whatever comes.
    pub(super) closed: bool,
    /// Tokens of the text that the sequence does not hold.
    pub(super) skipped: usize,
    pub(super) choices: u64,
}

/// A choice that can be taken back.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) offer: Offer,
    pub(super) mark: Mark,
}

/// Full examination of the end of a line: the cheap gate, then roll-outs, then meanings. `None` where there is no fork:
/// fewer than two meanings have `meaning_mass_min`.
pub(super) fn examine(
    engine: &mut Engine,
    trunk: &mut Line,
    settings: &WriterSettings,
    place: Place,
    cancel: &Cancel,
) -> Result<Option<Found>, Interrupt> {
    let heads = promising(&Arc::clone(engine.model()), trunk, settings)?;
    if heads.is_empty() {
        return Ok(None);
    }
    let mut rollouts = roll_out(
        engine,
        trunk,
        &heads,
        settings.phrase_tokens_max,
        Manner::Likeliest,
        cancel,
    )?;
    rollouts = readable(engine, rollouts);
    let mut meanings = merge(engine, &mut rollouts, &trunk.text, settings, place, cancel)?;
    meanings.retain(|meaning| meaning.mass >= settings.meaning_mass_min);
    let measured = keep_most_telling(
        engine,
        &mut rollouts,
        &mut meanings,
        MAX_BRANCHES,
        place,
        cancel,
    )?;
    of_similar_length(engine, trunk, &mut rollouts, &mut meanings, settings)?;
    let mut found = found(engine, rollouts, &meanings);
    let whole = found.branches.len() == meanings.len();
    found.divergence = measured
        .filter(|_| whole)
        .map(|measured| measured.between(&meanings));
    if found.branches.len() < 2 {
        found
            .ahead
            .into_iter()
            .for_each(|ahead| engine.pool.recycle(ahead.line.sequence));
        return Ok(None);
    }
    Ok(Some(found))
}

/// Leaves out what cannot be shown.
pub(super) fn readable(engine: &mut Engine, rollouts: Vec<Rollout>) -> Vec<Rollout> {
    let (readable, others): (Vec<_>, Vec<_>) = rollouts.into_iter().partition(Rollout::is_readable);
    for rollout in others {
        engine.pool.recycle(rollout.line.sequence);
    }
    readable
}

/// Ends phrases earlier that are longer than `length_ratio_max` times the shortest; drops those that cannot be, the last of them first.
/// The roll-outs are sealed: they were merged.
pub(super) fn of_similar_length(
    engine: &mut Engine,
    trunk: &mut Line,
    rollouts: &mut [Rollout],
    meanings: &mut Vec<Meaning>,
    settings: &WriterSettings,
) -> Result<(), Interrupt> {
    let model = Arc::clone(engine.model());
    meanings.truncate(MAX_BRANCHES);
    let lengths = meanings
        .iter()
        .filter_map(|meaning| rollouts.get(meaning.wording));
    let Some(shortest) = lengths.map(Rollout::length_chars).min() else {
        return Ok(());
    };
    let chars_max = (shortest as f64 * settings.length_ratio_max) as usize;
    let mut kept: Vec<Meaning> = Vec::with_capacity(meanings.len());
    for meaning in meanings.drain(..) {
        let Some(rollout) = rollouts.get_mut(meaning.wording) else {
            continue;
        };
        let fits = rollout.length_chars() <= chars_max
            || rollout.shorten(trunk, model.tokens(), chars_max)?;
        // What is left of a longer one may be what another says.
        let phrase = |meaning: &Meaning| rollouts.get(meaning.wording).map(Rollout::phrase);
        let said = |other: &Meaning| {
            let both = phrase(other).zip(phrase(&meaning));
            both.is_some_and(|(a, b)| reads_the_same(a, b))
        };
        if fits && !kept.iter().any(said) {
            kept.push(meaning);
        }
    }
    *meanings = kept;
    Ok(())
}

/// Makes branches of the first meanings; there may be none.
pub(super) fn found(engine: &mut Engine, rollouts: Vec<Rollout>, meanings: &[Meaning]) -> Found {
    let mut seen = Seen::default();
    seen.add(&rollouts);
    let mut slots: Vec<Option<Rollout>> = rollouts.into_iter().map(Some).collect();
    let (mut branches, mut ahead) = (Vec::new(), Vec::new());
    for meaning in meanings.iter().take(MAX_BRANCHES) {
        let Some(rollout) = slots.get_mut(meaning.wording).and_then(Option::take) else {
            continue;
        };
        branches.push(Branch {
            text: rollout.phrase().to_owned(),
            tokens: rollout.line.tokens.clone(),
            prior: meaning.mass,
            log_prob_nats: rollout.log_prob_nats(),
        });
        let (phrase, ended) = (rollout.line.tokens.len(), rollout.ended);
        let pooled = rollout.pooled();
        ahead.push(Ahead {
            line: rollout.line,
            phrase,
            pooled,
            ended,
            stopped: ended,
        });
    }
    for left in slots.into_iter().flatten() {
        engine.pool.recycle(left.line.sequence);
    }
    Found {
        branches,
        ahead,
        seen,
        divergence: None,
    }
}
