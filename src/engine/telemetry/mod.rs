//! What a session tells an operator while it goes on: three LSL streams from the control plane, for `razvilka operator` and whoever records.
//!
//! | file | stream | what |
//! |---|---|---|
//! | `fork` | `RazvilkaFork` | the open fork: its phase and the posterior of each option |
//! | `status` | `RazvilkaStatus` | protocol, latency, streams, channels, disk: numbers, with a label and a unit for each |
//! | `page` | `RazvilkaPage` | text, options, notes and what the other streams are: one bounded JSON object |
//! | `stages` | | latency of each step as it stands |
//!
//! Nothing here touches the real-time plane: what it knows comes from the gate's records, which the conductor takes anyway, and from words
//! that the real-time threads leave for everyone. A push never waits; a listener that stalls loses samples of its own queue, and nobody
//! else's. docs/operator.md has every channel.

mod fork;
mod page;
mod stages;
mod status;

pub use fork::{FORK_STREAM, ForkNow, Mirror, Phase, fork_spec};
pub use page::{AskedNow, Named, PAGE_BYTES_MAX, PAGE_STREAM, Page, PageError, page_spec, tail};
pub use stages::Stages;
pub(crate) use status::level_of;
pub use status::{
    Autonomous, Health, STATUS_STREAM, Status, StepNow, StreamNow, StreamState, status_spec,
};

use std::time::{Duration, Instant};

use crate::rt;
use crate::source::lsl::{LslMarkerOutlet, LslSampleOutlet, Network};
use crate::source::{Format, MarkerSink, SampleSink, SourceError, StreamSpec};

/// Samples of a fork are at least so far apart, unless its phase has changed.
const FORK_EVERY: Duration = Duration::from_millis(40);
/// Pages that differ are at least so far apart, unless the fork has changed.
const PAGE_EVERY: Duration = Duration::from_millis(500);
/// A page that does not change is told again so often: whoever comes later must not wait for a change.
const PAGE_AGAIN: Duration = Duration::from_secs(2);

/// Where it goes. What could not be opened is left out.
#[derive(Default)]
pub struct Outlets {
    /// `RazvilkaFork`.
    pub fork: Option<Box<dyn SampleSink>>,
    /// `RazvilkaStatus`.
    pub status: Option<Box<dyn SampleSink>>,
    /// `RazvilkaPage`.
    pub page: Option<Box<dyn MarkerSink>>,
}

impl Outlets {
    /// Opens all three; `session` makes their identity.
    ///
    /// # Errors
    /// [`SourceError::Lsl`] when no port is free.
    pub fn open(network: Network, session: &str) -> Result<Self, SourceError> {
        Ok(Self {
            fork: Some(Box::new(LslSampleOutlet::new(
                network,
                &fork_spec(session),
            )?)),
            status: Some(Box::new(LslSampleOutlet::new(
                network,
                &status_spec(session),
            )?)),
            page: Some(Box::new(LslMarkerOutlet::new(
                network,
                &page_spec(session),
            )?)),
        })
    }
}

/// Tells, not more often than is of use.
pub struct Teller {
    outlets: Outlets,
    status_every: Duration,
    fork: (Option<ForkNow>, Instant),
    status_at: Option<Instant>,
    page: (Option<Page>, Instant),
}

impl Teller {
    /// Tells by these outlets, the status every so many seconds.
    #[must_use]
    pub fn new(outlets: Outlets, status_every_s: f64) -> Self {
        let now = Instant::now();
        Self {
            outlets,
            status_every: Duration::from_secs_f64(status_every_s),
            fork: (None, now),
            status_at: None,
            page: (None, now),
        }
    }

    /// Tells how the fork stands, where that is new.
    pub fn fork(&mut self, fork: &ForkNow) {
        let (before, at) = &self.fork;
        let phase = before.as_ref().map(|before| (before.fork, before.phase));
        let turned = phase != Some((fork.fork, fork.phase));
        if before.as_ref() == Some(fork) || !(turned || at.elapsed() >= FORK_EVERY) {
            return;
        }
        if let Some(sink) = &mut self.outlets.fork {
            // Nobody need listen, and the outlet drops what a slow listener leaves.
            let _ = sink.push(&fork.values(), &[rt::lsl_now().get()]);
        }
        self.fork = (Some(fork.clone()), Instant::now());
    }

    /// Whether a status is due.
    #[must_use]
    pub fn wants_status(&self) -> bool {
        self.status_at
            .is_none_or(|at| at.elapsed() >= self.status_every)
    }

    /// A status is due now: something changed that an operator acts on.
    pub fn status_at_once(&mut self) {
        self.status_at = None;
    }

    /// Tells the status.
    pub fn status(&mut self, status: &Status) {
        self.status_at = Some(Instant::now());
        if let Some(sink) = &mut self.outlets.status {
            let _ = sink.push(&status.values(), &[rt::lsl_now().get()]);
        }
    }

    /// Whether a page that has changed may go out, or one that has not is due again.
    #[must_use]
    pub fn wants_page(&self, fork: Option<u64>) -> bool {
        let (before, at) = &self.page;
        let shown = before
            .as_ref()
            .map(|page| page.fork.as_ref().map(|f| f.number));
        shown != Some(fork) || at.elapsed() >= PAGE_EVERY
    }

    /// Tells the page, where it is another one or was not told for a while.
    pub fn page(&mut self, page: Page) {
        let (before, at) = &self.page;
        if before.as_ref() == Some(&page) && at.elapsed() < PAGE_AGAIN {
            return;
        }
        if let Some(sink) = &mut self.outlets.page {
            let _ = sink.push(&page.to_json(), rt::lsl_now().get());
        }
        self.page = (Some(page), Instant::now());
    }
}

/// What all three say of themselves but for their channels.
fn spec(name: &str, kind: &str, id: &str, format: Format) -> StreamSpec {
    StreamSpec {
        name: name.into(),
        kind: kind.into(),
        source_id: id.into(),
        hostname: String::new(),
        uid: String::new(),
        rate_hz: 0.0,
        format,
        labels: Vec::new(),
        units: Vec::new(),
        xml: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_due_by_its_period_and_at_once_where_it_must_not_wait() {
        let mut teller = Teller::new(Outlets::default(), 60.0);
        assert!(teller.wants_status(), "the first one");
        teller.status(&Status::default());
        assert!(!teller.wants_status());
        teller.status_at_once();
        assert!(teller.wants_status());
        teller.status(&Status::default());
        assert!(!teller.wants_status(), "once");
    }
}
