//! What an operator elsewhere may ask of a session: to pause, to go on, to stop. Nothing else is understood.
//!
//! It comes as one short JSON string on a stream that the experiment file pins. LSL has no authentication, so what an intruder could do with
//! it must be bounded by what can be asked: no choice, no setting, no file. `word` is the parser, `listening` the thread that looks for the
//! stream, hears it, and looks for it again when it goes.

mod listening;
mod word;

pub use listening::{Heard, Listener};
pub use word::{CONTROL_STREAM, Command, Refused, WORD_BYTES_MAX, control_spec};
