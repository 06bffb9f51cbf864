//! Pure real-time signal processing: filters, epochs, scores, eye movements, quality.
//!
//! No threads, files, clocks, sockets or logging in here. A stage is built by a constructor that may allocate and
//! fail; after that `process`, `push` and `reset` neither allocate, lock, format, read a clock nor panic. Blocks are `[samples][channels]`,
//! and every stage gives the same bits for any chunking.

#![forbid(unsafe_code)]

pub mod blink;
pub mod car;
pub mod clock;
pub mod contraction;
pub mod deliberate;
pub mod design;
pub mod eeg;
pub mod eigen;
pub mod epoch;
mod error;
pub mod eye_state;
pub mod gaze;
pub mod gaze_evidence;
pub mod mask;
pub mod pupil;
pub mod quality;
pub mod queue;
pub mod score;
pub mod sos;
pub mod sosfilt;
pub mod spectrum;
pub mod stamps;
pub mod state;
pub mod tangent;
pub mod units;

pub use error::DspError;
