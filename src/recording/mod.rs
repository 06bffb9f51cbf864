//! XDF: reading, writing, and the recorder thread.
//!
//! * [`xdf`] knows the file format and nothing else: no threads, no clocks, no LSL.
//! * [`Recorder`] appends live streams to a file from a thread of its own; the real-time plane never waits for it.
//! * [`Recording`] is a whole file in memory, with stamps brought onto one clock.
//!
//! Times: a *raw stamp* stands on the clock of the device that made it, a *synchronised stamp* on the clock of the
//! machine that recorded. Only measured clock offsets lead from one to the other.

mod cadence;
pub mod loaded;
pub mod publish;
pub mod recorder;
mod summary;
pub mod tap;
pub mod xdf;

pub use loaded::{RecordedStream, Recording, Samples};
pub use recorder::{Capacity, Recorder, RecorderStatus};
pub use summary::{Incomplete, RecordingSummary, StreamSummary};
pub use tap::{MarkerTap, OffsetTap, SampleTap, TapResult};
