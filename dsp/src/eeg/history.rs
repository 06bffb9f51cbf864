//! The last few seconds of filtered samples, for flashes that are announced late.

use crate::epoch::SampleNote;

/// A ring of filtered samples with their times, oldest first. Times rise; the caller clears it when a clock jumps.
#[derive(Debug, Clone)]
pub(super) struct History {
    channels: usize,
    values: Vec<f64>,
    times_s: Vec<f64>,
    notes: Vec<Option<SampleNote>>,
    start: usize,
    len: usize,
    evicted: bool,
}

impl History {
    pub(super) fn new(samples: usize, channels: usize) -> Self {
        // No zeros: those would be pages that the system hands out at the first touch, which would be the real-time thread's.
        Self {
            channels,
            values: vec![f64::NAN; samples * channels],
            times_s: vec![f64::NAN; samples],
            notes: vec![None; samples],
            start: 0,
            len: 0,
            evicted: false,
        }
    }

    /// Forgets all samples. `evicted` says whether there were samples before what comes now.
    pub(super) fn clear(&mut self, evicted: bool) {
        self.start = 0;
        self.len = 0;
        self.evicted = evicted;
    }

    pub(super) fn push(&mut self, time_s: f64, sample: &[f64], note: SampleNote) {
        let capacity = self.times_s.len();
        if self.len == capacity {
            self.start = (self.start + 1) % capacity;
            self.len -= 1;
            self.evicted = true;
        }
        let place = (self.start + self.len) % capacity;
        if let (Some(t), Some(n), Some(row)) = (
            self.times_s.get_mut(place),
            self.notes.get_mut(place),
            self.values
                .get_mut(place * self.channels..(place + 1) * self.channels),
        ) {
            *t = time_s;
            *n = Some(note);
            row.copy_from_slice(sample);
            self.len += 1;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether samples older than the oldest kept are gone.
    pub(super) fn evicted(&self) -> bool {
        self.evicted
    }

    pub(super) fn time_s(&self, position: usize) -> Option<f64> {
        (position < self.len)
            .then(|| {
                self.times_s
                    .get((self.start + position) % self.times_s.len())
            })
            .flatten()
            .copied()
    }

    pub(super) fn sample(&self, position: usize) -> Option<(&[f64], SampleNote)> {
        if position >= self.len {
            return None;
        }
        let place = (self.start + position) % self.times_s.len();
        let row = self
            .values
            .get(place * self.channels..(place + 1) * self.channels)?;
        Some((row, (*self.notes.get(place)?)?))
    }

    /// Position of the first sample at or after `time_s`; `len` when there is none.
    pub(super) fn position_of(&self, time_s: f64) -> usize {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.time_s(middle).is_some_and(|t| t < time_s) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}
