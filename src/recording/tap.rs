//! The ends at which values enter a recording. None of them ever waits for the disk.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crossbeam::channel::Sender;

use crate::source::{
    ClockOffset,
    ring::{self, RingIn, RingOut},
};

/// What became of a push. A full ring or queue never makes the caller wait: the newest values are dropped and counted,
/// and the recording is marked incomplete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TapResult {
    /// Samples or markers taken.
    pub accepted: usize,
    /// Samples or markers dropped.
    pub dropped: usize,
}

/// What taps count and the recorder reads.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) dropped: AtomicU64,
}

impl Counters {
    fn note(&self, accepted: usize, dropped: usize) -> TapResult {
        if dropped > 0 {
            self.dropped.fetch_add(dropped as u64, Ordering::Relaxed);
        }
        TapResult { accepted, dropped }
    }
}

/// Number of a stream among those added to one recorder.
pub(super) type Key = u32;

/// What control-plane taps send.
#[derive(Debug)]
pub(super) enum Entry {
    Marker { key: Key, stamp: f64, text: String },
    Offset { key: Key, offset: ClockOffset },
}

/// Samples of one stream into the recording, from a real-time thread.
///
/// A push copies into a ring (single producer, single consumer): it does not allocate, lock or wait.
pub struct SampleTap {
    ring: RingIn,
    counters: Arc<Counters>,
}

/// The recorder's end of a [`SampleTap`].
pub(super) struct SampleDrain(RingOut);

/// A ring for `capacity` samples.
pub(super) fn sample_ring(
    capacity: usize,
    channels: usize,
    counters: Arc<Counters>,
) -> (SampleTap, SampleDrain) {
    let (ring, out) = ring::sample_ring(capacity, channels);
    (SampleTap { ring, counters }, SampleDrain(out))
}

impl SampleTap {
    /// Takes samples with their raw stamps; `data` is row-major `[samples][channels]`. Real-time.
    ///
    /// What does not fit into the ring is dropped from the end of the block, and so are samples without a stamp or
    /// with too few values.
    pub fn push(&mut self, stamps: &[f64], data: &[f32]) -> TapResult {
        let offered = stamps.len().max(data.len() / self.ring.channels());
        let taken = self.ring.push(stamps, data);
        self.counters.note(taken, offered - taken)
    }

    /// Samples for which there is room now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.ring.room()
    }
}

impl SampleDrain {
    /// Samples in the ring now.
    pub(super) fn waiting(&self) -> usize {
        self.0.waiting()
    }

    /// Moves up to `max` samples out, replacing what the vectors hold; says how many.
    pub(super) fn drain(
        &mut self,
        max: usize,
        stamps: &mut Vec<f64>,
        data: &mut Vec<f32>,
    ) -> usize {
        let count = self.0.waiting().min(max);
        stamps.resize(count, 0.0);
        data.resize(count * self.0.channels(), 0.0);
        self.0.pull(stamps, data)
    }
}

/// Markers of one stream into the recording, from the control plane.
#[derive(Debug, Clone)]
pub struct MarkerTap {
    pub(super) key: Key,
    pub(super) queue: Sender<Entry>,
    pub(super) counters: Arc<Counters>,
}

impl MarkerTap {
    /// Takes one marker with its stamp. Not real-time, but never waits: a full queue drops it.
    pub fn push(&self, stamp: f64, text: String) -> TapResult {
        match self.queue.try_send(Entry::Marker {
            key: self.key,
            stamp,
            text,
        }) {
            Ok(()) => self.counters.note(1, 0),
            Err(_) => self.counters.note(0, 1),
        }
    }
}

/// Clock offsets of one stream into the recording, from the control plane.
#[derive(Debug, Clone)]
pub struct OffsetTap {
    pub(super) key: Key,
    pub(super) queue: Sender<Entry>,
}

impl OffsetTap {
    /// Takes the latest measurement; call as often as there is one. The recorder writes one each five seconds, and at
    /// once when the offset steps by more than a millisecond.
    ///
    /// Not real-time, but never waits. `false` when the queue was full: the next one will do.
    pub fn push(&self, offset: ClockOffset) -> bool {
        self.queue
            .try_send(Entry::Offset {
                key: self.key,
                offset,
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_drops_the_newest_and_counts_them() {
        let counters = Arc::new(Counters::default());
        let (mut tap, mut drain) = sample_ring(3, 2, Arc::clone(&counters));
        let result = tap.push(
            &[1.0, 2.0, 3.0, 4.0],
            &[1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0],
        );
        assert_eq!(
            result,
            TapResult {
                accepted: 3,
                dropped: 1
            }
        );
        let (mut stamps, mut data) = (Vec::new(), Vec::new());
        assert_eq!(drain.drain(2, &mut stamps, &mut data), 2);
        assert_eq!(
            (&stamps[..], &data[..]),
            (&[1.0, 2.0][..], &[1.0, 10.0, 2.0, 20.0][..])
        );
        assert_eq!(tap.push(&[5.0], &[5.0, 50.0]).accepted, 1);
        assert_eq!(drain.drain(9, &mut stamps, &mut data), 2);
        assert_eq!(stamps, [3.0, 5.0]);
        assert_eq!(counters.dropped.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_block_of_the_wrong_shape_costs_only_its_incomplete_samples() {
        let (mut tap, mut drain) = sample_ring(8, 2, Arc::default());
        assert_eq!(
            tap.push(&[1.0, 2.0], &[1.0, 10.0, 2.0]),
            TapResult {
                accepted: 1,
                dropped: 1
            }
        );
        assert_eq!(
            tap.push(&[3.0], &[3.0, 30.0, 4.0, 40.0]),
            TapResult {
                accepted: 1,
                dropped: 1
            }
        );
        let (mut stamps, mut data) = (Vec::new(), Vec::new());
        assert_eq!(drain.drain(9, &mut stamps, &mut data), 2);
        assert_eq!(data, [1.0, 10.0, 3.0, 30.0]);
    }
}
