//! When what was drawn was really presented, where the display system tells.
//!
//! An X server that shows windows by its Present extension says for every frame when it was presented (`PresentCompleteNotify`), to anybody
//! who asks about the window: here a second connection, as the window's own belongs to the toolkit. A driver that hands its frames over in
//! another way (software renderers, NVIDIA's own driver, Wayland) says nothing, and stamps are then taken when the call that handed the
//! frame over had returned. Which of the two a stamp is stands with it, always.
//!
//! | file | what |
//! |---|---|
//! | `settling` | which frame a notice belongs to; what has no notice, or one that cannot be true |
//! | `stamper` | both together, from frame to frame of a window |
//! | `clock` | whether the server counts time as we do |
//! | `x11` | the second connection; alone names x11rb, only with the feature `window` |

pub mod clock;
pub mod settling;
pub mod stamper;
#[cfg(feature = "window")]
pub mod x11;

use razvilka_dsp::units::MonoTime;

/// How a frame came to the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The screen was turned over to it: it begins to be scanned out at that time.
    Flipped,
    /// It was copied at that time: into what is scanned out, or, where a compositor runs, into what that one shows with a frame of its own.
    Copied,
    /// A later frame took its place: it was never seen.
    Skipped,
}

/// A frame was presented, says the display system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// Number that the driver gave the frame: one more with each.
    pub serial: u32,
    /// When, on our monotonic clock.
    pub at: MonoTime,
    /// Number of the display's refresh.
    pub refresh: u64,
    /// How.
    pub way: Way,
}

/// Where notices come from. Nothing here waits.
pub trait Notices {
    /// The next notice that has come; `None` when there is none yet, or will be none any more.
    fn poll(&mut self) -> Option<Notice>;
}
