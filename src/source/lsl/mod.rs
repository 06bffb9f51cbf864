//! The Lab Streaming Layer: discovery, inlets, outlets, clock offsets. The only place that names `labstream`.
//!
//! ```text
//! Network::loopback() ──resolve_all──> Announcement ──describe──> Stream ──open──> LslSamples | LslMarkers
//!        │  (once per process)          (untrusted)      (bounded, full description)
//!        └──────────────────────────────────────────────> LslSampleOutlet | LslMarkerOutlet
//! ```
//!
//! - A [`Network`] is the only way in, so nothing touches a socket before it is settled who may be asked.
//! - What the network says is not believed: an [`Announcement`] is only looked at, and becomes a [`Stream`] after its
//!   size was bounded ([`MAX_CHANNELS`](super::pins::MAX_CHANNELS), [`MAX_RATE_HZ`](super::pins::MAX_RATE_HZ),
//!   [`MAX_XML_BYTES`]) and its full description was read.
//! - `labstream` does discovery, the handshake and the outlets. The samples themselves are read from the socket by the
//!   thread that pulls: no queue, no lock, no allocation and no second thread between the socket and the pipeline.
//!   `labstream`'s own inlet decodes on a thread of its own, allocates per sample and locks a queue.
//! - Inlets never reconnect by themselves. A lost stream stays lost until the control plane calls [`reopen`], which pins
//!   and checks everything again.
//! - Stamps are the source's own. The offset to our clock is measured by a thread beside and read without waiting.
//!
//! LSL has no authentication: pins stop accidents, not attackers.

mod clock;
mod description;
mod discovery;
mod feed;
mod inlet;
mod network;
mod outlet;
mod survey;

pub use description::MAX_XML_BYTES;
pub(super) use description::{MAX_XML_DEPTH, nesting};
pub use discovery::{Announcement, Stream};
pub use inlet::{LslMarkers, LslSamples, MAX_MARKER_BYTES, reopen};
pub use network::Network;
pub use outlet::{LslMarkerOutlet, LslSampleOutlet};
pub use survey::{Age, Surveyed, survey};

/// Our LSL clock now, seconds: `CLOCK_MONOTONIC` on Linux, the same for every process of the machine.
#[must_use]
pub fn clock() -> f64 {
    labstream::clock()
}
