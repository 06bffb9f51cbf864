//! A queue of fixed capacity that never grows: results wait here until the caller takes them.

use std::collections::VecDeque;

use crate::error::{DspError, count};

/// First in, first out; allocates at construction only. When it is full, new values are refused and counted.
#[derive(Debug, Clone)]
pub struct FixedQueue<T> {
    values: VecDeque<T>,
    capacity: usize,
    refused: u64,
}

impl<T> FixedQueue<T> {
    /// Room for `capacity` values, 1..=65536.
    ///
    /// # Errors
    /// [`DspError::Count`] for a capacity out of range.
    pub fn new(capacity: usize) -> Result<Self, DspError> {
        count("queue capacity", capacity, 1, 65_536)?;
        Ok(Self {
            values: VecDeque::with_capacity(capacity),
            capacity,
            refused: 0,
        })
    }

    /// Appends; gives the value back when the queue is full.
    ///
    /// # Errors
    /// The value itself.
    pub fn push(&mut self, value: T) -> Result<(), T> {
        if self.values.len() < self.capacity {
            self.values.push_back(value);
            Ok(())
        } else {
            self.refused = self.refused.saturating_add(1);
            Err(value)
        }
    }

    /// Takes the oldest.
    pub fn pop(&mut self) -> Option<T> {
        self.values.pop_front()
    }

    /// The oldest, left in its place.
    #[must_use]
    pub fn front(&self) -> Option<&T> {
        self.values.front()
    }

    /// Number of values waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether none is waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Values refused so far because the queue was full.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Empties the queue and forgets the count.
    pub fn reset(&mut self) {
        self.values.clear();
        self.refused = 0;
    }

    /// The values, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> + '_ {
        self.values.iter()
    }

    /// The values, newest first.
    pub fn iter_back(&self) -> impl Iterator<Item = &T> + '_ {
        self.values.iter().rev()
    }
}
