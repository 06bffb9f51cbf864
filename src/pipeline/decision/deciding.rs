//! What the gate's thread does with what waits for it: orders first, then doubts, then evidence, then the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use razvilka_dsp::units::MonoTime;
use ringbuf::traits::{Consumer, Observer, Producer};
use ringbuf::{HeapCons, HeapProd};

use super::WATCHED;
use super::choice::{ChoiceCell, OnChoice};
use super::messages::{Item, Made, Opening, Order, Record, Watched};
use crate::fork::{ForkId, MAX_OPTIONS};
use crate::gate::{AbortReason, Gate, GateInput, State, Verdict};
use crate::pipeline::clock::disagree;
use crate::pipeline::trace::{Place, Trace};
use crate::rt;

/// Room for records that a fork needs to open: the end of a former one, its own opening, one item, its end.
const ROOM_TO_OPEN: usize = 4;
/// Room that an item needs: its own record, and the end.
const ROOM_FOR_ITEM: usize = 2;

/// What the gate's thread owns.
pub(super) struct Deciding<C> {
    pub(super) gate: Gate,
    pub(super) fork: Option<ForkId>,
    pub(super) orders: HeapCons<Order>,
    /// Keys first: a key press is the person speaking plainly.
    pub(super) lanes: [HeapCons<Item>; 3],
    pub(super) watch_in: HeapCons<Watched>,
    pub(super) watched: Vec<Watched>,
    /// Of each watched stream, the doubts that its clock had raised when the fork opened.
    pub(super) doubts_before: [u64; WATCHED],
    /// Whether the clocks must agree for the open fork.
    pub(super) fused: bool,
    pub(super) records: HeapProd<Record>,
    pub(super) choice: Arc<ChoiceCell>,
    pub(super) on_choice: C,
    pub(super) overflow: Arc<AtomicU64>,
    pub(super) seen_overflow: u64,
}

impl<C: OnChoice> Deciding<C> {
    /// Everything that waits, then the clock and the heartbeats. Allocates nothing.
    pub(super) fn turn(&mut self) {
        while self.watched.len() < self.watched.capacity() {
            let Some(watched) = self.watch_in.try_pop() else {
                break;
            };
            self.watched.push(watched);
        }
        // A fork that finds no room for its records waits in the ring until the control plane has taken some.
        while !(self.room() < ROOM_TO_OPEN
            && matches!(self.orders.try_peek(), Some(Order::Open(_))))
            && let Some(order) = self.orders.try_pop()
        {
            match order {
                Order::Open(opening) => self.open(&opening),
                Order::Abort(reason) => self.abort(reason),
            }
        }
        // Doubts come before evidence: an inlet raises them before it sends what they are about.
        if self.gate.verdict_is_open() {
            if let Some(reason) = self.doubt(rt::now()) {
                self.abort(reason);
            }
            let overflow = self.overflow.load(Ordering::Relaxed);
            if overflow != self.seen_overflow {
                self.seen_overflow = overflow;
                self.abort(AbortReason::Overflow);
            }
        }
        for lane in 0..self.lanes.len() {
            while let Some(item) = self.lanes.get_mut(lane).and_then(|lane| lane.try_pop()) {
                self.take(&item);
            }
        }
        if self.gate.verdict_is_open() {
            let now = rt::lsl_now();
            let verdict = self.gate.tick(now);
            if verdict.is_terminal() {
                self.record(
                    Some(GateInput::Tick { now }),
                    None,
                    verdict,
                    Trace::default(),
                );
            }
        }
    }

    /// Why the streams cannot be believed any more.
    fn doubt(&self, now: MonoTime) -> Option<AbortReason> {
        for (watched, before) in self.watched.iter().zip(self.doubts_before) {
            if watched.heartbeat.silent(now, watched.silence_max) {
                return Some(AbortReason::SourceLost);
            }
            let (doubts, reason) = watched.heartbeat.clock().closed();
            if doubts != before {
                return Some(reason);
            }
        }
        let clocks = self.watched.iter().map(|watched| watched.heartbeat.clock());
        (self.fused && disagree(clocks)).then_some(AbortReason::ClocksDisagree)
    }

    fn open(&mut self, opening: &Opening) {
        self.abort(AbortReason::Operator);
        self.gate.close();
        self.fused = opening.fused;
        for (before, watched) in self.doubts_before.iter_mut().zip(&self.watched) {
            *before = watched.heartbeat.clock().closed().0;
        }
        let options = opening.options.min(MAX_OPTIONS);
        let (kinds, priors) = (&opening.kinds[..options], &opening.priors[..options]);
        self.fork = Some(opening.fork);
        let verdict = match self
            .gate
            .open(opening.fork, kinds, priors, opening.at, opening.lease)
        {
            Ok(()) => self.gate.verdict(),
            Err(_) => Verdict::Aborted {
                reason: AbortReason::Internal,
            },
        };
        self.record(None, None, verdict, Trace::default());
    }

    fn abort(&mut self, reason: AbortReason) {
        if self.gate.verdict_is_open() {
            let now = rt::lsl_now();
            let input = GateInput::Abort { reason, now };
            let verdict = self.gate.apply(&input);
            self.record(Some(input), None, verdict, Trace::default());
        }
    }

    fn take(&mut self, item: &Item) {
        let before = self.gate.verdict_is_open();
        if before && self.room() < ROOM_FOR_ITEM {
            return self.abort(AbortReason::Overflow);
        }
        let input = item.told.input(rt::lsl_now());
        let verdict = self.gate.apply(&input);
        if !before || self.fork != Some(item.told.fork()) {
            return; // late, or of another fork: the gate has counted it, and it changes nothing
        }
        let mut trace = item.trace;
        let decided = rt::now().as_nanos();
        if let (Verdict::Committed { option, .. }, Some(fork)) = (verdict, self.fork) {
            trace.mark(Place::Decided, decided);
            self.choice.put(fork, option, decided);
            self.on_choice.chosen();
        }
        self.record(Some(input), Some(item.made), verdict, trace);
    }

    fn record(
        &mut self,
        input: Option<GateInput>,
        made: Option<Made>,
        verdict: Verdict,
        trace: Trace,
    ) {
        let Some(fork) = self.fork else { return };
        let arms = verdict.is_terminal().then(|| self.gate.arms());
        let kept = self
            .records
            .try_push(Record {
                fork,
                input,
                made,
                verdict,
                arms,
                trace,
            })
            .is_ok();
        debug_assert!(
            kept,
            "room was kept for the records of an open fork and its end"
        );
    }

    /// Records for which there is room.
    fn room(&self) -> usize {
        self.records.vacant_len()
    }
}

impl Gate {
    /// Whether a fork is open and gathers evidence.
    fn verdict_is_open(&self) -> bool {
        self.state() == State::Evidence
    }
}

#[cfg(test)]
mod tests {
    use ringbuf::HeapRb;
    use ringbuf::traits::Split;

    use super::*;
    use crate::gate::{Evidence, GateSettings, Lease, Told};
    use crate::marker::OptionKind;

    const FORK: ForkId = ForkId(0);

    struct Ends {
        orders: HeapProd<Order>,
        keys: HeapProd<Item>,
        records: HeapCons<Record>,
    }

    /// A gate's thread without the thread, with room for `room` records.
    fn deciding(room: usize) -> (Deciding<impl OnChoice>, Ends) {
        let (orders, orders_in) = HeapRb::new(16).split();
        let (keys, keys_in) = HeapRb::new(16).split();
        let (records_out, records) = HeapRb::new(room).split();
        let deciding = Deciding {
            gate: Gate::new(GateSettings::default()),
            fork: None,
            orders: orders_in,
            lanes: [keys_in, HeapRb::new(1).split().1, HeapRb::new(1).split().1],
            watch_in: HeapRb::new(1).split().1,
            watched: Vec::new(),
            doubts_before: [0; WATCHED],
            fused: false,
            records: records_out,
            choice: Arc::default(),
            on_choice: || {},
            overflow: Arc::default(),
            seen_overflow: 0,
        };
        (
            deciding,
            Ends {
                orders,
                keys,
                records,
            },
        )
    }

    fn open(fork: ForkId) -> Order {
        Order::Open(Opening {
            fork,
            kinds: [OptionKind::Branch; MAX_OPTIONS],
            priors: [0.25; MAX_OPTIONS],
            options: 3,
            lease: Lease { epoch: 1 },
            at: rt::lsl_now(),
            fused: false,
        })
    }

    fn item(evidence: Evidence) -> Item {
        Item {
            told: Told::Evidence(evidence),
            trace: Trace::default(),
            made: Made::Key { item: 1 },
        }
    }

    fn verdicts(ends: &mut Ends) -> Vec<Verdict> {
        std::iter::from_fn(|| ends.records.try_pop())
            .map(|record| record.verdict)
            .collect()
    }

    #[test]
    fn a_choice_that_could_not_be_recorded_is_not_taken_and_the_abort_is_recorded() {
        let (mut deciding, mut ends) = deciding(5);
        assert!(ends.orders.try_push(open(FORK)).is_ok());
        deciding.turn();
        for seq in 0..3 {
            let flash = Evidence::flash(FORK, Lease { epoch: 1 }, seq, rt::lsl_now(), 0, 0.01);
            assert!(ends.keys.try_push(item(flash)).is_ok());
        }
        deciding.turn();
        assert_eq!(deciding.room(), 1, "one place is kept for the end");
        let press = Evidence::key_press(FORK, Lease { epoch: 1 }, 9, rt::lsl_now(), 1);
        assert!(ends.keys.try_push(item(press)).is_ok());
        deciding.turn();
        assert_eq!(deciding.choice.get(FORK), None);
        let verdicts = verdicts(&mut ends);
        assert_eq!(verdicts.len(), 5);
        assert_eq!(
            verdicts.last(),
            Some(&Verdict::Aborted {
                reason: AbortReason::Overflow
            })
        );
    }

    #[test]
    fn with_room_the_same_press_is_taken() {
        let (mut deciding, mut ends) = deciding(5);
        assert!(ends.orders.try_push(open(FORK)).is_ok());
        deciding.turn();
        let press = Evidence::key_press(FORK, Lease { epoch: 1 }, 9, rt::lsl_now(), 1);
        assert!(ends.keys.try_push(item(press)).is_ok());
        deciding.turn();
        assert_eq!(deciding.choice.get(FORK).map(|(option, _)| option), Some(1));
        assert!(matches!(
            verdicts(&mut ends).last(),
            Some(Verdict::Committed { option: 1, .. })
        ));
    }

    #[test]
    fn a_fork_waits_until_there_is_room_for_its_records() {
        let (mut deciding, mut ends) = deciding(ROOM_TO_OPEN);
        for fork in 0..2 {
            assert!(ends.orders.try_push(open(ForkId(fork))).is_ok());
            assert!(
                ends.orders
                    .try_push(Order::Abort(AbortReason::Operator))
                    .is_ok()
            );
        }
        deciding.turn();
        assert_eq!(
            deciding.fork,
            Some(ForkId(0)),
            "the second one has no room yet"
        );
        assert_eq!(verdicts(&mut ends).len(), 2);
        deciding.turn();
        assert_eq!(deciding.fork, Some(ForkId(1)));
        assert_eq!(verdicts(&mut ends).len(), 2);
    }
}
