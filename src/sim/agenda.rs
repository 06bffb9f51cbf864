//! What will happen in the laboratory, in order of time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use razvilka_dsp::contraction::Muscle;
use razvilka_dsp::deliberate::BlinkKind;

use crate::marker::{Event, Key};

use super::eye::Point;

/// Something that happens at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Happening {
    /// A marker reaches the person's mind; its own stamp, seconds since the start.
    Perceives(f64, Box<Event>),
    /// The person turns to what the latest marker asked; stale when it has turned to something else since.
    Reacts(u64),
    /// A fixation is over; stale when the eyes have moved since.
    FixationEnds(u64),
    /// A saccade fell short and is corrected; stale when the eyes have moved since.
    Corrects(u64, Point),
    /// The person makes up its mind; stale when the fork is over.
    Decides(u64),
    /// A key goes down; stale when the fork is over.
    Presses(u64, Key),
    /// The lids close.
    Blinks,
    /// The person was asked to blink and does.
    BlinksOnCue,
    /// The person makes the signal: asked to by a cue (`None`), or at this turn, stale when the fork is over.
    Signals(Option<u64>, BlinkKind),
    /// The person contracts a muscle on purpose: asked to by a cue (`None`), or at this turn, stale when the fork is over.
    Contracts(Option<u64>, Muscle),
    /// Jaw or brow act unasked.
    MusclesAct,
    /// Attention goes.
    LapseBegins,
    /// Attention comes back.
    LapseEnds,
    /// The person feels like calling for a fork.
    FeelsLikeCalling,
}

#[derive(Debug)]
struct Entry {
    t_s: f64,
    order: u64,
    what: Happening,
}

impl Entry {
    /// Earlier first, of the same time the one that was entered first. The heap takes the greatest, hence reversed.
    fn key(&self, other: &Self) -> Ordering {
        other
            .t_s
            .total_cmp(&self.t_s)
            .then(other.order.cmp(&self.order))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key(other) == Ordering::Equal
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key(other)
    }
}

/// The agenda. Times are seconds since the start of the laboratory.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    entries: BinaryHeap<Entry>,
    entered: u64,
}

impl Agenda {
    /// Enters something. What is due in the past happens next.
    pub(super) fn enter(&mut self, t_s: f64, what: Happening) {
        self.entries.push(Entry {
            t_s,
            order: self.entered,
            what,
        });
        self.entered += 1;
    }

    /// When the next thing happens; infinity when nothing will.
    pub(super) fn next_s(&self) -> f64 {
        self.entries.peek().map_or(f64::INFINITY, |entry| entry.t_s)
    }

    /// Takes the next thing off.
    pub(super) fn take(&mut self) -> Option<(f64, Happening)> {
        self.entries.pop().map(|entry| (entry.t_s, entry.what))
    }

    /// How many things are entered.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_happen_in_order_of_time_and_then_of_entry() {
        let mut agenda = Agenda::default();
        for (t_s, turn) in [(2.0, 0), (1.0, 1), (2.0, 2), (0.5, 3), (2.0, 4)] {
            agenda.enter(t_s, Happening::Reacts(turn));
        }
        assert_eq!(agenda.len(), 5);
        assert_eq!(agenda.next_s(), 0.5);
        let order: Vec<Happening> = std::iter::from_fn(|| agenda.take().map(|(_, w)| w)).collect();
        assert_eq!(order, [3, 1, 0, 2, 4].map(Happening::Reacts));
        assert_eq!(agenda.next_s(), f64::INFINITY);
    }
}
