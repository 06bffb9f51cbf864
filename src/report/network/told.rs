//! From the rows of a ledger to the forks of a network: which choice each fork stands behind, what was taken back, and how much was left to
//! the imitator.

use razvilka_dsp::units::MonoTime;
use serde::Deserialize;

use crate::choice::handover::{Autonomy, HandoverSettings};
use crate::choice::network::{Met, Offered, TakenBack};
use crate::fork::Chooser;
use crate::marker::OptionKind;
use crate::report::material::ForkStory;
use crate::session::{AutonomyEvent, EventKind, EventRow};

/// What moved the text, in the order in which it happened.
enum Moved<'a> {
    Met(&'a ForkStory),
    Ended(&'a ForkStory),
    /// The person took a choice back by key.
    Undo,
    /// The person called for a fork behind so many tokens.
    Call(u64),
    Level(Autonomy),
}

/// A choice that stands in the text.
struct Standing {
    visit: usize,
    position: u64,
}

/// The forks of one session, in order, as visits from number `begins` on. `settings`: the session's, by which the level at its beginning is told.
pub(super) fn visits(
    session: usize,
    begins: usize,
    forks: &[ForkStory],
    events: &[EventRow],
    settings: HandoverSettings,
) -> Vec<Met> {
    let mut told: Vec<Met> = Vec::with_capacity(forks.len());
    let mut standing: Vec<Standing> = Vec::new();
    // Position in the text and tokens written in all; not known behind what cut the text.
    let mut here: Option<(u64, u64)> = None;
    let mut level = None;
    for moved in in_order(forks, events, settings) {
        match moved {
            Moved::Level(now) => level = Some(now),
            Moved::Undo => take_back(
                &mut told,
                begins,
                standing.pop(),
                TakenBack::Undo,
                &mut here,
            ),
            Moved::Call(position) => {
                while standing
                    .last()
                    .is_some_and(|last| last.position >= position)
                {
                    take_back(
                        &mut told,
                        begins,
                        standing.pop(),
                        TakenBack::Call,
                        &mut here,
                    );
                }
                here = None;
            }
            Moved::Met(story) => {
                let row = &story.row;
                let (position, written) = (row.position_tokens, row.tokens_written);
                // A text goes on by as many tokens as are written. Where that is not so, another has begun.
                let goes_on = here.is_none_or(|(before, so_far)| {
                    position.wrapping_sub(before) == written.wrapping_sub(so_far)
                });
                let passed = standing.last().is_none_or(|last| last.position < position);
                if !goes_on || !passed {
                    standing.clear();
                }
                here = Some((position, written));
                let after = standing.last().map(|last| last.visit);
                told.push(met(session, after, story, level));
            }
            Moved::Ended(story) => {
                let Some(choice) = &story.choice else {
                    continue;
                };
                if story.is_undo() {
                    take_back(
                        &mut told,
                        begins,
                        standing.pop(),
                        TakenBack::Undo,
                        &mut here,
                    );
                    continue;
                }
                let number = told.iter().rposition(|met| met.fork == story.id());
                if let Some(number) = number.filter(|number| told[*number].taken.is_some()) {
                    let row = &story.row;
                    standing.push(Standing {
                        visit: begins + number,
                        position: row.position_tokens,
                    });
                    let added = choice.tokens_written.saturating_sub(row.tokens_written);
                    here = Some((row.position_tokens + added, choice.tokens_written));
                }
            }
        }
    }
    told
}

fn take_back(
    told: &mut [Met],
    begins: usize,
    last: Option<Standing>,
    how: TakenBack,
    here: &mut Option<(u64, u64)>,
) {
    *here = None;
    if let Some(met) = last.and_then(|last| told.get_mut(last.visit - begins)) {
        met.taken_back = Some(how);
    }
}

/// Rows by their moments. What ended at the moment at which something else began, ended before.
fn in_order<'a>(
    forks: &'a [ForkStory],
    events: &'a [EventRow],
    settings: HandoverSettings,
) -> Vec<Moved<'a>> {
    let mut all: Vec<(MonoTime, u8, Moved<'a>)> = Vec::new();
    for story in forks {
        all.push((story.row.opened_mono, 2, Moved::Met(story)));
        if let Some(choice) = &story.choice {
            let ended = choice
                .committed_mono
                .max(choice.decided_mono)
                .max(story.row.opened_mono);
            all.push((ended, 0, Moved::Ended(story)));
        }
    }
    for event in events {
        if let Some(moved) = of_event(event, settings) {
            all.push((event.mono, 1, moved));
        }
    }
    // A fork that was not asked begins and ends in one moment: its own rows keep their order.
    let mut at: Vec<_> = all.into_iter().enumerate().collect();
    at.sort_by_key(|(number, (moment, rank, moved))| {
        let own = matches!(moved, Moved::Ended(story) if story.row.opened_mono == *moment);
        (*moment, if own { 3 } else { *rank }, *number)
    });
    at.into_iter().map(|(_, (_, _, moved))| moved).collect()
}

fn of_event<'a>(event: &EventRow, settings: HandoverSettings) -> Option<Moved<'a>> {
    #[derive(Deserialize)]
    struct Call {
        call: Behind,
    }
    #[derive(Deserialize)]
    struct Behind {
        position: u64,
    }
    match event.kind {
        EventKind::Operator => match serde_json::from_str::<Call>(&event.detail) {
            Ok(call) => Some(Moved::Call(call.call.position)),
            Err(_) => crate::report::text::is_undo(&event.detail).then_some(Moved::Undo),
        },
        EventKind::Autonomy => match AutonomyEvent::of(event)? {
            AutonomyEvent::Begins(beginning) => {
                let deputy = beginning.deputy(settings).ok()?;
                Some(Moved::Level(deputy.report().autonomy))
            }
            AutonomyEvent::Stands(report) | AutonomyEvent::Ends(report) => {
                Some(Moved::Level(report.autonomy))
            }
            AutonomyEvent::AskMe(_) => None,
        },
        _ => None,
    }
}

fn met(session: usize, after: Option<usize>, story: &ForkStory, level: Option<Autonomy>) -> Met {
    let branches = || {
        let options = story.options.iter();
        options.filter(|option| matches!(option.tile.kind, OptionKind::Branch | OptionKind::Item))
    };
    let choice = story.choice.as_ref();
    let taken = choice
        .filter(|choice| choice.chooser.is_some())
        .and_then(|choice| branches().position(|option| Some(option.tile.item) == choice.item));
    Met {
        session,
        fork: story.id(),
        after,
        context: story.row.context.clone(),
        model_sha256: story.row.model_sha256.clone(),
        state: None,
        offered: branches()
            .map(|option| Offered {
                item: option.tile.item,
                text: option.tile.text.clone(),
                prior: option.prior,
                embedding: None,
            })
            .collect(),
        taken,
        chooser: choice.and_then(|choice| choice.chooser),
        level,
        asked: story.row.is_asked(),
        taken_back: None,
    }
}

/// What was decided at a fork, in a few words.
pub(super) fn decided(
    chooser: Option<Chooser>,
    taken: bool,
    kind: Option<OptionKind>,
) -> &'static str {
    match (chooser, taken, kind) {
        (Some(Chooser::Human), true, _) => "person",
        (Some(Chooser::Imitator), ..) => "imitator",
        (Some(Chooser::Model), ..) => "model",
        (Some(Chooser::Human), _, Some(OptionKind::Undo)) => "person: take the last back",
        (Some(Chooser::Human), _, Some(OptionKind::Other)) => "person: show others",
        (Some(Chooser::Human), ..) => "person",
        (None, ..) => "nobody",
    }
}
