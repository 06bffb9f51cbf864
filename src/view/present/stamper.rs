//! From frame to frame: what begins to be shown with it, and when it was presented.

use razvilka_dsp::units::MonoTime;

use super::Notices;
use super::settling::{Frame, Settling};
use crate::rt;
use crate::view::surface::{Presented, Stamps, What};

/// The stamps of one window.
#[derive(Default)]
pub struct Stamper {
    settling: Settling,
    notices: Option<Box<dyn Notices>>,
    /// What the frame that is drawn begins to show.
    shown: Vec<What>,
    /// When the frame before was about to be handed over: that call has returned when the next frame begins.
    drawn: Option<MonoTime>,
    /// Whether a refresh without that frame would be a missed one.
    timed: bool,
}

impl Stamper {
    /// Stamps that are the display system's own where it tells.
    #[must_use]
    pub fn new(notices: Option<Box<dyn Notices>>) -> Self {
        Self {
            notices,
            ..Self::default()
        }
    }

    /// A frame begins, and the call that handed over the one before has `returned`. Gives what is known to have been shown by now.
    pub fn settle(&mut self, returned: MonoTime) -> Vec<Presented> {
        if let Some(called) = self.drawn.take() {
            let timed = self.timed;
            let frame = Frame {
                called,
                returned,
                timed,
            };
            self.settling.handed_over(frame, self.shown.drain(..));
        }
        while let Some(notice) = self.notices.as_mut().and_then(|notices| notices.poll()) {
            self.settling.notice(notice, rt::now());
        }
        self.settling.settled(returned)
    }

    /// It is drawn from now on; `timed` says whether it was to come right after the one before, with something timed on it.
    pub fn begin(&mut self, now: MonoTime, timed: bool) {
        if self.notices.is_some() {
            self.settling.begin(now);
        }
        self.timed = timed;
    }

    /// It begins to show this.
    pub fn show(&mut self, what: impl IntoIterator<Item = What>) {
        self.shown.extend(what);
    }

    /// It is drawn, and will be handed over at once.
    pub fn drawn(&mut self, now: MonoTime) {
        self.drawn = Some(now);
    }

    /// Whether something has no stamp yet, so that frames must go on.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.shown.is_empty() || self.settling.is_waiting()
    }

    /// The frames on their way.
    #[must_use]
    pub const fn settling(&self) -> &Settling {
        &self.settling
    }

    /// What the stamps were worth.
    #[must_use]
    pub const fn stamps(&self) -> Stamps {
        self.settling.stamps()
    }
}
