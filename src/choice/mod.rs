//! When to ask the person, and which flashes to show.
//!
//! [`Protocol`] decides for each fork whether the person is asked, and what follows from the gate's verdict; it names who chose
//! and why, so that nothing is handed over silently. [`FlashSequence`] says which item flashes next and for how long to wait,
//! [`cued_items`] which one a calibration cues.
//! Neither has a clock: the protocol counts tokens, the sequence hands out durations. What may not enter this room: samples,
//! logits, files.

pub mod bound;
mod cues;
mod flash;
pub mod handover;
pub mod imitator;
mod protocol;

pub use cues::cued_items;
pub use flash::{Flash, FlashConfig, FlashError, FlashSequence, FlashSettings, MAX_FLASH_ITEMS};
pub use protocol::{
    AbortPolicy, Ask, AskReason, Decision, ModelReason, Presence, Protocol, ProtocolConfig,
    ProtocolSettings, Step, Why,
};
