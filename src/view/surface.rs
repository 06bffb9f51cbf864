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

/// How a surface's frames come.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Frames {
    /// Frames per second, as measured; `None` until there were enough of them.
    pub rate_hz: Option<f64>,
    /// Frames that came later than their turn while something timed was on the surface.
    pub missed: u64,
}

impl Frames {
    /// For the operator.
    #[must_use]
    pub fn in_words(&self) -> String {
        self.rate_hz.map_or_else(
            || "the window showed too few frames to know their rate".to_owned(),
            |rate_hz| {
                format!(
                    "the window showed {rate_hz:.1} frames per second; {} came late while something timed was on it",
                    self.missed
                )
            },
        )
    }
}

/// Something that shows stimuli. Nothing here waits for it: a surface that stalls loses what it was told, and what it does not report as
/// shown has no marker.
pub trait StimulusSurface: Send {
    /// What the engine says on its marker stream, and when that is due. A surface shows what concerns it.
    fn show(&mut self, event: &Event, at: LslTime);

    /// Orders a flash; `false` when the surface takes no more.
    fn flash(&mut self, order: FlashOrder) -> bool;

    /// Nothing flashes any more: what was ordered and is not yet shown is forgotten.
    fn hush(&mut self);

    /// Where it says what it has shown.
    fn reports(&self) -> &Receiver<Presented>;
}
