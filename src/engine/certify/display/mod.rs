//! `certify --display`: what the stamps of this display are worth, measured with the window, the stamps and the frames of a session.
//!
//! A patch alternates between black and white in whole frames. Each change is stamped as a flash of a session is. A photodiode on the patch,
//! on an auxiliary channel of the amplifier, tells when it was really seen; without one the panel's own delay is not known, and the
//! certificate says so.

mod certificate;
pub mod intervals;
pub mod photodiode;

pub use certificate::{Alternation, DisplayCertificate};

use self::intervals::Intervals;
use self::photodiode::{Compared, NoEdges, Shown, Trace, compare};
use crate::session::Machine;
use crate::view::surface::{Presented, StampQuality, Stamps, What};
use crate::{rt, view::flashing::Flashing};

/// What the window showed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Alternated {
    /// Every frame, in order: `What::Scene` with its number.
    pub frames: Vec<Presented>,
    /// Frames before the first alternation.
    pub frames_before: u64,
    /// Frames that each alternation lasts.
    pub frames_each: u32,
    /// Alternations that were wanted.
    pub wanted: u32,
    /// What the stamps were worth.
    pub stamps: Stamps,
}

impl Alternated {
    /// The changes of the patch, with their stamps.
    #[must_use]
    pub fn alternations(&self) -> Vec<Alternation> {
        let each = u64::from(self.frames_each.max(1));
        let change = |presented: &Presented| {
            let What::Scene(frame) = presented.what else {
                return None;
            };
            let since = frame.checked_sub(self.frames_before)?;
            let number = since / each;
            (since % each == 0 && number < u64::from(self.wanted)).then(|| Alternation {
                shown: Shown {
                    at_s: rt::lsl_of(presented.at).get(),
                    white: number % 2 == 0,
                },
                quality: presented.quality,
            })
        };
        self.frames.iter().filter_map(change).collect()
    }
}

/// The certificate of what was shown. `rate_min_hz` is the least that flashes need, `flashing` what flashed.
#[must_use]
pub fn certify_display(
    display: String,
    alternated: &Alternated,
    rate_min_hz: f64,
    flashing: &Flashing,
) -> DisplayCertificate {
    let begin = alternated.frames_before;
    let timed = alternated
        .frames
        .iter()
        .filter(|presented| matches!(presented.what, What::Scene(frame) if frame >= begin));
    let at_s: Vec<f64> = timed.map(|frame| rt::lsl_of(frame.at).get()).collect();
    let intervals = Intervals::of(&at_s);
    let missed = alternated
        .stamps
        .missed
        .unwrap_or_else(|| Intervals::missed(&at_s, intervals.p50_s.max(f64::MIN_POSITIVE)));
    let alternations = alternated.alternations();
    let mut certificate = DisplayCertificate {
        razvilka_version: env!("CARGO_PKG_VERSION").into(),
        machine: Machine::here(),
        display,
        frames_each: alternated.frames_each,
        wanted: alternated.wanted,
        rate_min_hz,
        frames: at_s.len() as u64,
        intervals,
        missed,
        missed_by_counter: alternated.stamps.missed.is_some(),
        stamps: alternated.stamps,
        flashing: flashing.in_words(),
        flashing_is_safe: flashing.is_within_wcag(),
        photodiode: None,
        budget_missed: Vec::new(),
        uncertified: Vec::new(),
        alternations,
    };
    certificate.judge();
    certificate
}

impl DisplayCertificate {
    /// The same, held against the channel of a photodiode.
    ///
    /// # Errors
    /// [`NoEdges`] when there is nothing to compare with.
    pub fn beside(mut self, trace: &Trace) -> Result<Self, NoEdges> {
        let shown: Vec<Shown> = self.alternations.iter().map(|a| a.shown).collect();
        let compared: Compared = compare(&shown, self.every_s(), trace)?;
        self.photodiode = Some(compared);
        self.judge();
        Ok(self)
    }

    /// Seconds from one alternation to the next.
    #[must_use]
    pub fn every_s(&self) -> f64 {
        f64::from(self.frames_each) * self.intervals.p50_s
    }

    /// Stamps of alternations that are the display's own.
    #[must_use]
    pub fn own_stamps(&self) -> usize {
        let own = |a: &&Alternation| a.quality != StampQuality::AfterSwap;
        self.alternations.iter().filter(own).count()
    }
}
