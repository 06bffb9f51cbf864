//! Real-time threads, rings and the latency trace.
//!
//! | file | thread | plane |
//! |---|---|---|
//! | [`inlet`] with [`eeg`], [`gaze`] | one per stream: pull, record, process, evidence | real-time |
//! | [`clock`], on the same threads: whether stamps can be believed | | real-time |
//! | [`decision`] | the gate | real-time |
//! | [`scribe`] | the decoder | control, woken by the gate |
//! | [`presenter`] | flashes and markers | control |
//! | [`features`], from the EEG thread to the control plane: epochs to learn from | | |
//! | [`state`] | state of the person | control |
//!
//! Rings between them are bounded and lock-free; a full one drops the newest and counts it.

pub mod clock;
pub mod contractions;
pub mod decision;
pub mod eeg;
pub mod eyes;
pub mod features;
pub mod gaze;
pub mod inlet;
pub mod presenter;
pub mod scribe;
pub mod state;
pub mod trace;
