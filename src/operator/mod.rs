//! The operator's side: an LSL client like any other, on this machine or another one. It sees what a session publishes, and may ask it to pause
//! and to stop.
//!
//! | file | what |
//! |---|---|
//! | `client` | finds a session and follows it, and the next one after it; asks |
//! | `inlets` | one thread per stream |
//! | `live` | what is known at the moment, for whoever draws or prints it |
//! | `columns` | EEG for the eye: without its offset, smallest and largest value per column of the picture |
//! | `spectra` | the power density of one channel |
//! | `trail` | where somebody looked lately |
//!
//! Nothing here is real-time and nothing knows the engine but through its streams: an operator that stalls or dies changes nothing for the
//! person. What comes from the network is bounded before it is kept.

mod client;
mod columns;
mod inlets;
mod live;
mod spectra;
mod trail;

pub use client::{Asks, Client, ClientError, Wanted};
pub use columns::{COLUMN_S, Columns, HISTORY};
pub use live::{Brain, Eye, Live, Now};
pub use spectra::{SPECTRUM_HZ_MAX, Spectra};
pub use trail::{TRAIL_S, Trail};
