//! The gate's own thread: evidence from the inlet threads goes in, a decision goes straight to the decoder.
//!
//! Each producer has its own bounded ring ([`Lane`]); the thread sleeps until one of them wakes it or a tick is due. Every
//! input that the gate was given leaves again as a [`Record`], in the order the gate saw it: the ledger keeps them, and a
//! replay feeds them again. A full lane drops the newest item and counts it, which aborts the open fork.
//!
//! A decision that cannot be replayed must not be taken, so no record is ever lost: a fork opens only when there is room
//! for its records, and while it is open one place is kept for the record that ends it. Evidence that would take that
//! place is not given to the gate; it aborts the fork instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use razvilka_dsp::units::{LslTime, MonoTime};
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::clock::disagree;
use super::inlet::Heartbeat;
use super::trace::{Place, Trace};
use crate::fork::{ForkId, MAX_OPTIONS};
use crate::gate::{
    AbortReason, Arms, Evidence, Gate, GateInput, GateSettings, Lease, State, Verdict,
};
use crate::marker::OptionKind;
use crate::rt::{self, Granted, Wish};

/// Items a lane holds. A fork gives some ten items a second.
const LANE_ITEMS: usize = 256;
/// Streams that can be watched.
const WATCHED: usize = 8;
/// Records the way back holds.
const RECORDS: usize = 4_096;
/// Room for records that a fork needs to open: the end of a former one, its own opening, one item, its end.
const ROOM_TO_OPEN: usize = 4;
/// Room that an item needs: its own record, and the end.
const ROOM_FOR_ITEM: usize = 2;
/// How often the gate looks at the clock and the heartbeats.
const TICK: Duration = Duration::from_millis(5);

/// What the gate needs to open a fork. Fixed size: it crosses threads by copy.
#[derive(Debug, Clone, Copy)]
pub struct Opening {
    /// The fork.
    pub fork: ForkId,
    /// Its options.
    pub kinds: [OptionKind; MAX_OPTIONS],
    /// Prior of each option.
    pub priors: [f64; MAX_OPTIONS],
    /// How many options there are.
    pub options: usize,
    /// Epoch of the streams.
    pub lease: Lease,
    /// When the gate opens, on our LSL clock; evidence on older samples does not count.
    pub at: LslTime,
    /// Whether evidence of several streams is fused: then their clocks must agree.
    pub fused: bool,
}

/// One item of evidence with what the ledger and the latency trace need to know of it.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// What the gate is told.
    pub evidence: Evidence,
    /// Stamp, pulled and scored.
    pub trace: Trace,
    /// What it was made from.
    pub made: Made,
}

/// What an item was made from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Made {
    /// The epoch after a flash.
    Flash {
        /// The item that flashed.
        item: u32,
        /// Number of the flash's marker.
        number: u32,
        /// Index of the first sample of the epoch.
        onset_sample: u64,
        /// The scorer's output.
        score: f64,
    },
    /// Gaze since the fork opened.
    Gaze {
        /// Index of the newest gaze sample.
        sample: u64,
    },
    /// A key press.
    Key {
        /// The item that was chosen.
        item: u32,
    },
}

/// What the control plane tells the gate.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    /// A fork opens.
    Open(Opening),
    /// A doubt, a pause, or the end: the open fork is aborted.
    Abort(AbortReason),
}

/// Something the gate was given, and what it answered.
#[derive(Debug, Clone, Copy)]
pub struct Record {
    /// The fork that was open.
    pub fork: ForkId,
    /// The input; `None` for the opening itself.
    pub input: Option<GateInput>,
    /// What an item was made from.
    pub made: Option<Made>,
    /// The answer.
    pub verdict: Verdict,
    /// The four arms as they stood; only with a verdict that ends the fork.
    pub arms: Option<Arms>,
    /// The trace up to `decided`.
    pub trace: Trace,
}

/// The sending end of a ring into the gate's thread.
pub struct Lane<T> {
    ring: HeapProd<T>,
    gate: Thread,
    full: Arc<AtomicU64>,
}

impl<T> Lane<T> {
    /// Sends an item and wakes the gate. When the ring is full the item is dropped and counted. Does not allocate or wait.
    pub fn send(&mut self, item: T) -> bool {
        let sent = self.ring.try_push(item).is_ok();
        if !sent {
            self.full.fetch_add(1, Ordering::Relaxed);
        }
        self.gate.unpark();
        sent
    }
}

/// The choice on its way to the decoder: one word, written once per fork by the gate.
#[derive(Debug, Default)]
pub struct ChoiceCell {
    /// `(fork + 1) << 8 | option`, 0 when empty.
    word: AtomicU64,
    decided_ns: AtomicU64,
}

impl ChoiceCell {
    fn put(&self, fork: ForkId, option: usize, decided_ns: u64) {
        self.decided_ns.store(decided_ns, Ordering::Relaxed);
        self.word
            .store(((fork.0 + 1) << 8) | option as u64, Ordering::Release);
    }

    /// The option chosen for `fork` and when, monotonic nanoseconds; `None` while it is undecided.
    #[must_use]
    pub fn get(&self, fork: ForkId) -> Option<(usize, u64)> {
        let word = self.word.load(Ordering::Acquire);
        (word >> 8 == fork.0 + 1).then(|| {
            (
                (word & 0xff) as usize,
                self.decided_ns.load(Ordering::Relaxed),
            )
        })
    }
}

/// What happens the moment a choice is made: wakes the decoder and cuts its step short.
pub trait OnChoice: Send + 'static {
    /// Called on the gate's thread inside [`rt::hot`].
    fn chosen(&mut self);
}

impl<F: FnMut() + Send + 'static> OnChoice for F {
    fn chosen(&mut self) {
        self();
    }
}

/// A stream whose silence, or whose clock, aborts the open fork.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Its heartbeat.
    pub heartbeat: Arc<Heartbeat>,
    /// Longest silence: the larger of three chunk periods and 50 ms.
    pub silence_max: Duration,
}

/// The ends of the gate's thread that the rest of the engine holds.
pub struct GateThread {
    /// From the EEG thread.
    pub eeg: Option<Lane<Item>>,
    /// From the gaze thread.
    pub gaze: Option<Lane<Item>>,
    /// From the keys thread.
    pub keys: Option<Lane<Item>>,
    /// From the control plane.
    pub orders: Lane<Order>,
    /// To the control plane.
    pub records: HeapCons<Record>,
    watch: Lane<Watched>,
    full: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Granted>,
}

impl GateThread {
    /// Starts the gate's thread.
    ///
    /// # Errors
    /// The system's error when no thread can be made.
    pub fn start(
        settings: GateSettings,
        wish: Wish,
        choice: Arc<ChoiceCell>,
        on_choice: impl OnChoice,
    ) -> std::io::Result<Self> {
        let (eeg, eeg_in) = HeapRb::new(LANE_ITEMS).split();
        let (gaze, gaze_in) = HeapRb::new(LANE_ITEMS).split();
        let (keys, keys_in) = HeapRb::new(LANE_ITEMS).split();
        let (orders, orders_in) = HeapRb::new(LANE_ITEMS).split();
        let (watch, watch_in) = HeapRb::new(WATCHED).split();
        let (records_out, records) = HeapRb::new(RECORDS).split();
        let full = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let mut state = Deciding {
            gate: Gate::new(settings),
            fork: None,
            orders: orders_in,
            lanes: [keys_in, gaze_in, eeg_in],
            watch_in,
            watched: Vec::with_capacity(WATCHED),
            doubts_before: [0; WATCHED],
            fused: false,
            records: records_out,
            choice,
            on_choice,
            overflow: Arc::clone(&full),
            seen_overflow: 0,
        };
        let thread_stop = Arc::clone(&stop);
        let thread = rt::spawn("gate", wish, move |granted| {
            while !thread_stop.load(Ordering::Acquire) {
                rt::hot(|| state.turn());
                std::thread::park_timeout(TICK);
            }
            rt::hot(|| state.turn());
            granted
        })?;
        let handle = thread.thread().clone();
        let lane = |ring| Lane {
            ring,
            gate: handle.clone(),
            full: Arc::clone(&full),
        };
        Ok(Self {
            eeg: Some(lane(eeg)),
            gaze: Some(lane(gaze)),
            keys: Some(lane(keys)),
            orders: Lane {
                ring: orders,
                gate: handle.clone(),
                full: Arc::clone(&full),
            },
            watch: Lane {
                ring: watch,
                gate: handle.clone(),
                full: Arc::clone(&full),
            },
            records,
            full,
            stop,
            thread,
        })
    }

    /// From now on silence of this stream aborts the open fork.
    pub fn watch(&mut self, watched: Watched) {
        self.watch.send(watched);
    }

    /// Items that were dropped because a lane was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }

    /// Whether the thread has ended by itself, which only a panic makes it do.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Stops the thread; `None` when it panicked.
    #[must_use]
    pub fn stop(self) -> Option<(Granted, HeapCons<Record>)> {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        let records = self.records;
        self.thread.join().ok().map(|granted| (granted, records))
    }
}

/// What the gate's thread owns.
struct Deciding<C> {
    gate: Gate,
    fork: Option<ForkId>,
    orders: HeapCons<Order>,
    /// Keys first: a key press is the person speaking plainly.
    lanes: [HeapCons<Item>; 3],
    watch_in: HeapCons<Watched>,
    watched: Vec<Watched>,
    /// Of each watched stream, the doubts that its clock had raised when the fork opened.
    doubts_before: [u64; WATCHED],
    /// Whether the clocks must agree for the open fork.
    fused: bool,
    records: HeapProd<Record>,
    choice: Arc<ChoiceCell>,
    on_choice: C,
    overflow: Arc<AtomicU64>,
    seen_overflow: u64,
}

impl<C: OnChoice> Deciding<C> {
    /// Everything that waits, then the clock and the heartbeats. Allocates nothing.
    fn turn(&mut self) {
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
        let input = GateInput::Evidence {
            evidence: item.evidence,
            now: rt::lsl_now(),
        };
        let verdict = self.gate.apply(&input);
        if !before || self.fork != Some(item.evidence.fork) {
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
    use super::*;

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
            evidence,
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
