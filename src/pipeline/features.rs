//! Features of scored epochs: from the EEG thread to whoever learns from them.
//!
//! The EEG thread copies a record of fixed length into a ring ([`FeatureTap`], no allocation, never waits). A record that does
//! not fit is dropped and counted: its flash is then not learnt from. The features go as 32-bit numbers; the replay rounds the
//! same way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use razvilka_dsp::epoch::FinishedEpoch;
use razvilka_dsp::mask::ChannelMask;
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::presenter::FlashId;

/// Records that the ring holds: more flashes than fit between two looks of the control plane.
pub const RECORDS: usize = 128;
/// What is smaller counts as 0, microvolts.
const SMALLEST_UV: f32 = 1e-30;
/// Words before the features: the flash and the stamp of its onset.
const HEAD: usize = 4;

/// The end that the EEG thread writes to.
pub struct FeatureTap {
    ring: HeapProd<u32>,
    record: Vec<u32>,
    used: ChannelMask,
    dropped: Arc<AtomicU64>,
}

/// The end that the control plane reads from.
pub struct FeatureDrain {
    ring: HeapCons<u32>,
    record: Vec<u32>,
    dropped: Arc<AtomicU64>,
}

/// An epoch as it came out of the ring.
#[derive(Debug, Clone, PartialEq)]
pub struct HeardEpoch {
    /// Fork, number and item of its flash.
    pub id: FlashId,
    /// Onset of the flash on the stream's clock, seconds.
    pub onset_s: f64,
    /// `[channel][bin]`, microvolts.
    pub features: Vec<f32>,
}

/// A ring for epochs of this many features; those in which a channel of `used` was bad are left out, though the scorer in use may
/// do without it.
#[must_use]
pub fn feature_ring(features: usize, used: ChannelMask) -> (FeatureTap, FeatureDrain) {
    let length = HEAD + features;
    let (tap, drain) = HeapRb::new(RECORDS * length).split();
    let dropped = Arc::new(AtomicU64::new(0));
    let tap = FeatureTap {
        ring: tap,
        record: vec![0; length],
        used,
        dropped: Arc::clone(&dropped),
    };
    let drain = FeatureDrain {
        ring: drain,
        record: vec![0; length],
        dropped,
    };
    (tap, drain)
}

impl FeatureTap {
    /// Copies a clean epoch into the ring. Real-time.
    pub fn note(&mut self, epoch: &FinishedEpoch<'_>) {
        let whole = epoch.bad.intersection(&self.used).is_empty();
        let fits = epoch.features.len() + HEAD == self.record.len();
        if !(epoch.status.is_clean() && epoch.score.is_some() && whole && fits) {
            return;
        }
        let words = |bits: u64| [bits as u32, (bits >> 32) as u32];
        let [low, high] = words(epoch.id);
        let [from, to] = words(epoch.onset_s.to_bits());
        let head = [low, high, from, to].into_iter();
        // Whether the smallest numbers are flushed to zero is a matter of the thread: none are let through.
        let features = epoch.features.iter().map(|x| match *x as f32 {
            x if x.abs() < SMALLEST_UV => 0,
            x => x.to_bits(),
        });
        for (word, value) in self.record.iter_mut().zip(head.chain(features)) {
            *word = value;
        }
        if self.ring.vacant_len() < self.record.len() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            self.ring.push_slice(&self.record);
        }
    }
}

impl FeatureDrain {
    /// The oldest record; `None` when there is none.
    pub fn take(&mut self) -> Option<HeardEpoch> {
        // A whole record is published at once.
        if self.ring.occupied_len() < self.record.len() {
            return None;
        }
        self.ring.pop_slice(&mut self.record);
        let [low, high, from, to, features @ ..] = self.record.as_slice() else {
            return None;
        };
        let bits = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        Some(HeardEpoch {
            id: FlashId(bits(*low, *high)),
            onset_s: f64::from_bits(bits(*from, *to)),
            features: features.iter().map(|x| f32::from_bits(*x)).collect(),
        })
    }

    /// Records that did not fit.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fork::ForkId;
    use razvilka_dsp::epoch::{EpochShape, EpochStatus, Rejection};
    use razvilka_dsp::units::{Hertz, SampleIndex, Seconds};

    fn epoch<'a>(number: u32, features: &'a [f64], shape: EpochShape) -> FinishedEpoch<'a> {
        FinishedEpoch {
            id: FlashId::new(ForkId(7), number, 3).0,
            onset_s: 12.25,
            onset: SampleIndex(0),
            last: SampleIndex(9),
            shape,
            features,
            status: EpochStatus::Clean,
            bad: ChannelMask::NONE,
            score: Some(1.0),
            scorer: 0,
        }
    }

    fn shape() -> EpochShape {
        let (length, rate) = (Seconds::new(0.4).unwrap(), Hertz::new(10.0).unwrap());
        EpochShape::new(2, length, rate, rate).unwrap()
    }

    #[test]
    fn a_full_ring_drops_the_newest_epochs_and_counts_them() {
        let (mut tap, mut drain) = feature_ring(8, ChannelMask::all(2));
        let features = [0.5, -1.25, 2.0, 3.0, 4.0, 5.0, 6.0, 1e-3];
        for number in 0..RECORDS as u32 + 5 {
            tap.note(&epoch(number, &features, shape()));
        }
        assert_eq!(drain.dropped(), 5);
        for number in 0..RECORDS as u32 {
            let heard = drain.take().unwrap();
            assert_eq!(heard.id, FlashId::new(ForkId(7), number, 3));
            assert_eq!(heard.onset_s, 12.25);
            assert_eq!(heard.features, features.map(|x| x as f32));
        }
        assert_eq!(drain.take(), None);
    }

    #[test]
    fn an_epoch_with_a_bad_channel_or_a_doubt_is_left_out() {
        let mut used = ChannelMask::all(2);
        used.remove(0);
        let (mut tap, mut drain) = feature_ring(8, used);
        let features = [1.0; 8];
        let bad = |channel| {
            let mut bad = ChannelMask::NONE;
            bad.insert(channel);
            bad
        };
        let whole = epoch(1, &features, shape());
        tap.note(&FinishedEpoch {
            bad: bad(1),
            ..whole
        });
        tap.note(&FinishedEpoch {
            status: EpochStatus::Rejected(Rejection::Gap),
            ..whole
        });
        assert_eq!(drain.take(), None);
        tap.note(&FinishedEpoch {
            bad: bad(0),
            ..whole
        });
        assert_eq!(drain.take().unwrap().id, FlashId(whole.id));
        assert_eq!(drain.dropped(), 0);
    }
}
