//! A ring for samples with their stamps, from a real-time thread to one of the control plane (single producer, single consumer).

use ringbuf::traits::{Consumer as _, Observer as _, Producer as _, Split as _};
use ringbuf::{HeapCons, HeapProd, HeapRb};

/// The end at which samples enter.
pub(crate) struct RingIn {
    stamps: HeapProd<f64>,
    data: HeapProd<f32>,
    channels: usize,
}

/// The end at which they leave.
pub(crate) struct RingOut {
    stamps: HeapCons<f64>,
    data: HeapCons<f32>,
    channels: usize,
}

/// A ring for so many samples of so many channels; at least one of each.
pub(crate) fn sample_ring(samples: usize, channels: usize) -> (RingIn, RingOut) {
    let (samples, channels) = (samples.max(1), channels.max(1));
    let (stamps, stamps_out) = HeapRb::new(samples).split();
    let (data, data_out) = HeapRb::new(samples * channels).split();
    (
        RingIn {
            stamps,
            data,
            channels,
        },
        RingOut {
            stamps: stamps_out,
            data: data_out,
            channels,
        },
    )
}

impl RingIn {
    /// Copies samples in, `data` as `[sample][channel]`, and says how many: those from the front that have both a stamp and
    /// all values, and for which there is room. Does not allocate, lock or wait.
    pub(crate) fn push(&mut self, stamps: &[f64], data: &[f32]) -> usize {
        let whole = stamps.len().min(data.len() / self.channels);
        let taken = whole.min(self.room());
        // Values first: the other end trusts that the values of every stamp it sees are there.
        if let (Some(stamps), Some(data)) = (stamps.get(..taken), data.get(..taken * self.channels))
        {
            self.data.push_slice(data);
            self.stamps.push_slice(stamps);
        }
        taken
    }

    /// Samples for which there is room now.
    pub(crate) fn room(&self) -> usize {
        let values = self.data.vacant_len() / self.channels;
        self.stamps.vacant_len().min(values)
    }

    /// Values of a sample.
    pub(crate) fn channels(&self) -> usize {
        self.channels
    }
}

impl RingOut {
    /// Samples in the ring now.
    pub(crate) fn waiting(&self) -> usize {
        self.stamps.occupied_len()
    }

    /// Values of a sample.
    pub(crate) fn channels(&self) -> usize {
        self.channels
    }

    /// Moves as many samples out as wait and as both slices hold, and says how many.
    pub(crate) fn pull(&mut self, stamps: &mut [f64], data: &mut [f32]) -> usize {
        let count = self.waiting().min(stamps.len());
        let count = count.min(data.len() / self.channels);
        if let (Some(stamps), Some(data)) = (
            stamps.get_mut(..count),
            data.get_mut(..count * self.channels),
        ) {
            self.data.pop_slice(data);
            self.stamps.pop_slice(stamps);
        }
        count
    }
}
