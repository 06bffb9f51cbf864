//! Pure real-time signal processing: filters, epochs, scores, eye movements, quality.
//!
//! No threads, files, clocks, sockets or logging in here. A stage is built by a constructor that may allocate and
//! fail; after that `process` and `reset` neither allocate, lock, format, read a clock nor panic.

#![forbid(unsafe_code)]

pub mod units;
