//! The way into the gate's thread: a bounded ring for each producer, whose sending end wakes the thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Thread;

use ringbuf::HeapProd;
use ringbuf::traits::Producer;

/// The sending end of a ring into the gate's thread.
pub struct Lane<T> {
    pub(super) ring: HeapProd<T>,
    pub(super) gate: Thread,
    pub(super) full: Arc<AtomicU64>,
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
