//! A surface that stimuli are shown on: what the engine tells it, and what it tells back.
//!
//! The presenter ([`crate::pipeline::presenter`]) owns one where there is one. Without any the markers alone are shown, and an external
//! program or the simulated person follows them.

use crossbeam::channel::Receiver;
use razvilka_dsp::units::{LslTime, MonoTime};
use serde::{Deserialize, Serialize};

use crate::marker::Event;

/// What the stamp of something shown is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StampQuality {
    /// Taken by software when the change was ordered; the display's own delay is not in it.
    Software,
    /// Taken when the frame with the change had been handed to the display system and that call had returned: with vertical
    /// synchronisation about when the frame begins to be scanned out, without it up to a frame too early. The panel's own delay is not in
    /// it.
    AfterSwap,
    /// The display system's own: the refresh with which a copy of the frame was shown, or, under a compositor, was given to it, whose own
    /// frame comes one refresh later. The panel's own delay is not in it.
    PresentCopy,
    /// The display system's own: the refresh at which the screen was turned over to the frame, whose first line is scanned out then. The
    /// panel's own delay, and that of a line below the first, are not in it.
    PresentFlip,
}

/// What the stamps of a surface were worth, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamps {
    /// Taken from a [`StampQuality::PresentFlip`].
    pub present_flip: u64,
    /// Taken from a [`StampQuality::PresentCopy`].
    pub present_copy: u64,
    /// Taken [`StampQuality::AfterSwap`].
    pub after_swap: u64,
    /// Frames of which the display system was to tell, and did not.
    pub lost: u64,
    /// Notices of the display system that could not be true: their stamps were taken after the swap.
    pub untrue: u64,
    /// How often notices were found to belong to other frames than was thought.
    pub paired_anew: u64,
    /// Refreshes of the display that passed without the frame that was to be shown with them, by the display's own counter, while
    /// something timed was on the surface; `None` where it tells no counter.
    pub missed: Option<u64>,
}

impl Stamps {
    /// Counts `n` stamps.
    pub fn count(&mut self, quality: StampQuality, n: u64) {
        match quality {
            StampQuality::PresentFlip => self.present_flip += n,
            StampQuality::PresentCopy => self.present_copy += n,
            StampQuality::AfterSwap => self.after_swap += n,
            StampQuality::Software => {}
        }
    }

    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.present_flip + self.present_copy + self.after_swap
    }

    /// For the operator.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut words = format!(
            "of {} stamps {} are the display's own ({} by a flip, {} by a copy) and {} were taken after the swap",
            self.total(),
            self.present_flip + self.present_copy,
            self.present_flip,
            self.present_copy,
            self.after_swap
        );
        if self.lost + self.untrue + self.paired_anew > 0 {
            words += &format!(
                "; {} notices were lost, {} could not be true, {} times they belonged to other frames than was thought",
                self.lost, self.untrue, self.paired_anew
            );
        }
        words
    }
}

/// A flash to be shown at its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlashOrder {
    /// Number of the order, from 1, rising.
    pub number: u64,
    /// The item that is to flash.
    pub item: i32,
    /// When, on our monotonic clock: the surface takes the frame nearest to it.
    pub due: MonoTime,
}

/// What was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The flash with this order number began.
    Flash(u64),
    /// The tiles of this fork went up.
    Tiles(u64),
    /// What the marker with this number told of stands on the screen.
    Scene(u64),
}

/// Something was shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Presented {
    /// What.
    pub what: What,
    /// When, on our monotonic clock.
    pub at: MonoTime,
    /// What `at` is worth.
    pub quality: StampQuality,
}

/// Whether a surface shows flashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flashes {
    /// As they are ordered.
    #[default]
    Shown,
    /// None: the display shows frames at another rate than before, and that is being measured.
    Unmeasured,
    /// None: the display shows too few frames per second.
    TooSlow,
}

/// How a surface's frames come.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frames {
    /// Frames per second, as measured; `None` until there were enough of them.
    pub rate_hz: Option<f64>,
    /// Frames that came later than their turn while something timed was on the surface.
    pub missed: u64,
    /// What its stamps were worth.
    pub stamps: Stamps,
}

impl Frames {
    /// Refreshes that passed without their frame: by the display's own counter where it tells one, else by when frames began.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        match self.stamps.missed {
            Some(missed) => missed,
            None => self.missed,
        }
    }

    /// The rate, for people.
    #[must_use]
    pub fn rate_in_words(&self) -> String {
        self.rate_hz.map_or_else(
            || "fewer than 10 frames per second".to_owned(),
            |rate_hz| format!("{rate_hz:.1} frames per second"),
        )
    }

    /// For the operator.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Some(rate_hz) = self.rate_hz else {
            return "the window showed too few frames to know their rate".to_owned();
        };
        let by = if self.stamps.missed.is_some() {
            "the display's own counter"
        } else {
            "when frames began"
        };
        format!(
            "the window showed {rate_hz:.1} frames per second; {} were missed while something timed was on it, by {by}; {}",
            self.missed(),
            self.stamps.in_words()
        )
    }
}

/// Something that shows stimuli. Nothing here waits for it: a surface that stalls loses what it was told, and what it does not report as
/// shown has no marker.
pub trait StimulusSurface: Send {
    /// What the engine says on its marker stream, by the marker's number, and when that is due. A surface shows what concerns it.
    fn show(&mut self, marker: u64, event: &Event, at: LslTime);

    /// Orders a flash; `false` when the surface takes no more.
    fn flash(&mut self, order: FlashOrder) -> bool;

    /// Nothing flashes any more: what was ordered and is not yet shown is forgotten.
    fn hush(&mut self);

    /// Where it says what it has shown.
    fn reports(&self) -> &Receiver<Presented>;
}
