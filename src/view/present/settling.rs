//! Which frame was presented when: frames as they were handed over, notices as they come, stamps as they follow.
//!
//! A notice carries the driver's number of the frame, and the driver does not tell which number it gave to which of ours. It numbers one by
//! one, so one pair that is certain makes all certain: after a while in which nothing was drawn everything has been presented, and the
//! next notice belongs to the next frame. Such a pair is taken when the window opens and whenever it has been still for long enough.
//!
//! A pair is given up, and stamps are taken after the swap until there is a new one, as soon as a frame gets no notice, a notice has no
//! frame, or several in a row cannot be true: a frame is presented after it was handed over, and before we read of it.

use std::collections::VecDeque;

use razvilka_dsp::units::MonoTime;

use super::{Notice, Way};
use crate::view::surface::{Presented, StampQuality, Stamps, What};

/// After so long without a frame everything has been presented, nanoseconds.
pub const STILL_NS: u64 = 150_000_000;
/// A frame whose notice has not come so long after it was handed over will get none, nanoseconds.
const NOTICE_NS_MAX: u64 = 250_000_000;
/// Frames that were waited for in vain until a driver that never said anything is taken for one that never will.
const UNHEARD_MAX: u32 = 3;
/// Notices in a row that cannot be true before the pair is given up.
const UNTRUE_MAX: u32 = 8;
/// What the server's rounding to microseconds, and one of ours, may put a stamp on the wrong side by, nanoseconds.
const ROUNDING_NS: u64 = 2_000;
/// Refreshes that are told apart from a counter that began anew.
const REFRESHES_MAX: u64 = 1_000;

/// A frame that was handed over to the display system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Just before it was.
    pub called: MonoTime,
    /// When that call had returned.
    pub returned: MonoTime,
    /// Whether it was to come right after the one before, and something timed was on it: a refresh between them is one that was missed.
    pub timed: bool,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    frame: Frame,
    whats: Vec<What>,
    notice: Option<(Notice, MonoTime)>,
}

/// Frames on their way to the screen.
#[derive(Debug, Default)]
pub struct Settling {
    waiting: VecDeque<Waiting>,
    /// Number of the next frame.
    next: u64,
    /// A frame and the serial that belongs to it.
    pair: Option<(u64, u32)>,
    /// The frame that the next notice belongs to.
    pairing: Option<u64>,
    last_called: Option<MonoTime>,
    /// Number and refresh of the latest frame whose notice was believed.
    latest: Option<(u64, u64)>,
    /// What was on frames that were never seen.
    carried: Vec<What>,
    untrue: u32,
    /// Whether there was ever a notice, and the frames that were waited for before.
    heard: bool,
    unheard: u32,
    stamps: Stamps,
}

impl Settling {
    /// A frame is about to be drawn at `now`, and every notice that had come has been told.
    pub fn begin(&mut self, now: MonoTime) {
        let still = self
            .last_called
            .is_none_or(|called| now.nanos_since(called) >= STILL_NS);
        let hopeful = self.heard || self.unheard < UNHEARD_MAX;
        if still && hopeful && self.waiting.is_empty() {
            self.pairing = Some(self.next);
        }
    }

    /// A frame was handed over, on which these began to be shown.
    pub fn handed_over(&mut self, frame: Frame, whats: impl IntoIterator<Item = What>) {
        let mut all = std::mem::take(&mut self.carried);
        all.extend(whats);
        self.waiting.push_back(Waiting {
            number: self.next,
            frame,
            whats: all,
            notice: None,
        });
        self.next += 1;
        self.last_called = Some(frame.called);
    }

    /// A notice was read at `read`.
    pub fn notice(&mut self, notice: Notice, read: MonoTime) {
        self.heard = true;
        if let Some(number) = self.pairing.take() {
            let expected = self.pair.map(|pair| serial_of(pair, number));
            let other = expected.is_some_and(|serial| serial != notice.serial);
            self.stamps.paired_anew += u64::from(other);
            if self.is_certain(number, notice.at) {
                self.pair = Some((number, notice.serial));
            } else if other {
                self.pair = None;
            }
        }
        let Some((number, serial)) = self.pair else {
            return;
        };
        let since = i64::from(notice.serial.wrapping_sub(serial).cast_signed());
        let of = number.checked_add_signed(since);
        let frame = self.waiting.iter_mut().find(|w| Some(w.number) == of);
        match frame {
            Some(frame) => frame.notice = Some((notice, read)),
            // Of a frame that was drawn without us, or one that was given up.
            None => self.pair = None,
        }
    }

    /// Whether the first notice after stillness is of the frame that was drawn first: of no earlier one, as it was presented after this one
    /// was handed over, and of no later one, while the first one's is lost, as there is no later one yet.
    fn is_certain(&self, first: u64, at: MonoTime) -> bool {
        let of = self.waiting.back().filter(|last| last.number == first);
        of.is_some_and(|of| is_after(at, of.frame.called))
    }

    /// What has come to an end by `now`, in the order of its frames.
    pub fn settled(&mut self, now: MonoTime) -> Vec<Presented> {
        let mut all = Vec::new();
        while let Some(front) = self.waiting.front() {
            let late = now.nanos_since(front.frame.returned) >= NOTICE_NS_MAX;
            let (expected, has) = (self.expects(), front.notice.is_some());
            if expected && !has && !late {
                break;
            }
            let Some(front) = self.waiting.pop_front() else {
                break;
            };
            if expected && !has {
                self.stamps.lost += u64::from(self.heard);
                self.unheard += u32::from(!self.heard);
                self.pair = None;
                self.pairing = None;
            }
            self.settle(front, &mut all);
        }
        all
    }

    fn settle(&mut self, waiting: Waiting, all: &mut Vec<Presented>) {
        let Waiting {
            number,
            frame,
            whats,
            notice,
        } = waiting;
        let truly = notice.filter(|(notice, read)| {
            is_after(notice.at, frame.called) && is_after(*read, notice.at)
        });
        if notice.is_some() && truly.is_none() {
            self.stamps.untrue += 1;
            self.untrue += 1;
            if self.untrue >= UNTRUE_MAX {
                self.pair = None;
            }
        }
        let (at, quality) = match truly.map(|(notice, _)| notice) {
            Some(notice) if notice.way == Way::Skipped => {
                self.untrue = 0;
                match self.waiting.front_mut() {
                    Some(next) => drop(next.whats.splice(0..0, whats)),
                    None => self.carried.extend(whats),
                }
                return;
            }
            Some(notice) => {
                self.untrue = 0;
                self.count(number, &frame, notice.refresh);
                let quality = if notice.way == Way::Flipped {
                    StampQuality::PresentFlip
                } else {
                    StampQuality::PresentCopy
                };
                (notice.at, quality)
            }
            None => (frame.returned, StampQuality::AfterSwap),
        };
        self.stamps.count(quality, whats.len() as u64);
        let presented = |what| Presented { what, at, quality };
        all.extend(whats.into_iter().map(presented));
    }

    fn count(&mut self, number: u64, frame: &Frame, refresh: u64) {
        let before = self.latest.replace((number, refresh));
        let Some((of, at)) = before.filter(|_| frame.timed) else {
            return;
        };
        // Frames that were skipped, or whose notice was not believed, stand between them.
        let frames = number - of;
        if let Some(refreshes) = refresh.checked_sub(at)
            && refreshes <= REFRESHES_MAX
        {
            let missed = self.stamps.missed.get_or_insert(0);
            *missed += refreshes.saturating_sub(frames);
        }
    }

    /// Whether frames get notices, or the next one shall show whether they do.
    const fn expects(&self) -> bool {
        self.pair.is_some() || self.pairing.is_some()
    }

    /// Whether the frame just drawn is to show which notices belong to which frames: the next one waits until it must have been presented.
    #[must_use]
    pub const fn is_pairing(&self) -> bool {
        self.pair.is_none() && self.pairing.is_some()
    }

    /// Whether a while without frames is wanted, so that notices can be told apart again.
    #[must_use]
    pub const fn wants_stillness(&self) -> bool {
        self.heard && !self.expects()
    }

    /// Whether something that was shown has no stamp yet.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.carried.is_empty() || self.waiting.iter().any(|frame| !frame.whats.is_empty())
    }

    /// What its stamps were worth.
    #[must_use]
    pub const fn stamps(&self) -> Stamps {
        self.stamps
    }
}

/// Whether a moment came after another one, as far as rounding lets that be seen.
const fn is_after(moment: MonoTime, other: MonoTime) -> bool {
    moment.as_nanos() + ROUNDING_NS >= other.as_nanos()
}

/// The serial of this frame, by a pair.
const fn serial_of((of, serial): (u64, u32), number: u64) -> u32 {
    // Serials go round at 2^32, so the low bits of the distance are all of it that counts.
    serial.wrapping_add(number.wrapping_sub(of) as u32)
}

#[cfg(test)]
mod tests;
