//! The way out for a choice: one atomic word for the decoder, and what wakes it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::fork::ForkId;

/// The choice on its way to the decoder: one word, written once per fork by the gate.
#[derive(Debug, Default)]
pub struct ChoiceCell {
    /// `(fork + 1) << 8 | option`, 0 when empty.
    word: AtomicU64,
    decided_ns: AtomicU64,
}

impl ChoiceCell {
    pub(in crate::pipeline) fn put(&self, fork: ForkId, option: usize, decided_ns: u64) {
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
    /// Called on the gate's thread inside [`rt::hot`](crate::rt::hot).
    fn chosen(&mut self);
}

impl<F: FnMut() + Send + 'static> OnChoice for F {
    fn chosen(&mut self) {
        self();
    }
}
