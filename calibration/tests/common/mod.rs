//! What the tests of the calibration share: numbers from a seed, a session of EEG alone, nearness to golden values.

#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]

mod golden;
mod noise;
mod scattered;
mod session;

pub(crate) use golden::close;
pub(crate) use noise::Noise;
pub(crate) use scattered::Scattered;
pub(crate) use session::eeg_alone;
