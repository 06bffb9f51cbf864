//! The gate's own thread: evidence from the inlet threads goes in, a decision goes straight to the decoder.
//!
//! Each producer has its own bounded ring ([`Lane`]); the thread sleeps until one of them wakes it or a tick is due. Every
//! input that the gate was given leaves again as a [`Record`], in the order the gate saw it: the ledger keeps them, and a
//! replay feeds them again. A full lane drops the newest item and counts it, which aborts the open fork.
//!
//! A decision that cannot be replayed must not be taken, so no record is ever lost: a fork opens only when there is room
//! for its records, and while it is open one place is kept for the record that ends it. Evidence that would take that
//! place is not given to the gate; it aborts the fork instead.

mod choice;
mod deciding;
mod lane;
mod messages;

pub use choice::{ChoiceCell, OnChoice};
pub use lane::Lane;
pub use messages::{Item, Made, Opening, Order, Record, Watched};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ringbuf::traits::Split;
use ringbuf::{HeapCons, HeapRb};

use self::deciding::Deciding;
use crate::gate::{Gate, GateSettings};
use crate::rt::{self, Granted, Wish};

/// Items a lane holds. A fork gives some ten items a second.
const LANE_ITEMS: usize = 256;
/// Streams that can be watched.
const WATCHED: usize = 8;
/// Records the way back holds.
const RECORDS: usize = 4_096;
/// How often the gate looks at the clock and the heartbeats.
const TICK: Duration = Duration::from_millis(5);

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
