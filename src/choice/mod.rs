//! When to ask the person, what may be left to the imitator, and which flashes to show.
//!
//! [`Protocol`] decides for each fork whether the person is asked, and what follows from the gate's verdict; it names who chose
//! and why, so that nothing is handed over silently. [`handover`] decides between a question, the imitator and the model, by what
//! [`imitator`] expects and [`bound`] allows; [`deputy`] keeps them in step with a session; [`Decider`] is protocol and deputy in one; [`memory`] says what the person chose at
//! places like this one; [`guard`] watches whether it is too much for the person; [`network`] joins the forks of many sessions.
//! [`FlashSequence`] says which item flashes next and for how long to wait, [`cued_items`] which one a
//! calibration cues.
//! None has a clock: the protocol counts tokens, the handover is given recorded times, the sequence hands out durations. What may
//! not enter this room: samples, logits, files.

pub mod bound;
mod cues;
mod decider;
mod decision;
pub mod deputy;
mod flash;
pub mod guard;
pub mod handover;
pub mod imitator;
pub mod memory;
pub mod network;
mod protocol;

pub use cues::cued_items;
pub use decider::{Became, Decider};
pub use decision::{AskReason, Decision, ModelReason, Presence, Step, Why};
pub use flash::{Flash, FlashConfig, FlashError, FlashSequence, FlashSettings, MAX_FLASH_ITEMS};
pub use protocol::{AbortPolicy, Ask, Protocol, ProtocolConfig, ProtocolSettings};
