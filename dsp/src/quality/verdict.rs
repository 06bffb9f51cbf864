//! What is wrong with a channel, and for how long it was.

use serde::{Deserialize, Serialize};

/// Why a channel is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadChannel {
    /// A value was not finite a short while ago.
    NotFinite,
    /// The signal jumped a short while ago, by more than EEG can.
    Swing,
    /// At the amplifier's limit, or clipped.
    Railed,
    /// No signal.
    Flat,
    /// Variance far from the other channels'.
    Variance,
    /// Mostly mains.
    Line,
    /// Goes with no other channel.
    Uncorrelated,
    /// The same as a channel before it.
    Copy,
}

impl BadChannel {
    /// All reasons, in the order of [`BadSeconds`].
    pub const ALL: [Self; 8] = [
        Self::NotFinite,
        Self::Swing,
        Self::Railed,
        Self::Flat,
        Self::Variance,
        Self::Line,
        Self::Uncorrelated,
        Self::Copy,
    ];

    /// The reason in a word or two.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::NotFinite => "not a number",
            Self::Swing => "jumped",
            Self::Railed => "railed",
            Self::Flat => "flat",
            Self::Variance => "variance",
            Self::Line => "mains",
            Self::Uncorrelated => "uncorrelated",
            Self::Copy => "copy of another",
        }
    }
}

/// How often the verdict on a channel was bad, by reason in the order of [`BadChannel::ALL`]: one count a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BadSeconds([u32; BadChannel::ALL.len()]);

impl BadSeconds {
    /// Verdicts with this reason.
    #[must_use]
    pub fn of(&self, why: BadChannel) -> u32 {
        self.0.get(why as usize).copied().unwrap_or(0)
    }

    /// All bad verdicts.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.0.iter().sum()
    }

    pub(super) fn note(&mut self, why: BadChannel) {
        if let Some(n) = self.0.get_mut(why as usize) {
            *n = n.saturating_add(1);
        }
    }
}
