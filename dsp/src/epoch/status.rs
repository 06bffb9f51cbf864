//! Whether an epoch can be used, and if not, why.

use serde::{Deserialize, Serialize};

/// Why an epoch must not be used. Where several hold, the first seen is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// Samples are missing inside.
    Gap,
    /// The filters were restarted inside.
    Restart,
    /// The source's clock jumped inside, or between the flash and its samples.
    ClockJump,
    /// The filters had not settled after a start.
    Unsettled,
    /// A channel that is used was bad.
    BadChannel,
    /// Fewer good channels than the minimum montage.
    Montage,
    /// A channel that is used swung beyond the peak-to-peak limit.
    PeakToPeak,
    /// A value is not finite.
    NotFinite,
    /// No sample lies close enough to the flash.
    NoOnsetSample,
}

impl Rejection {
    /// All reasons.
    pub const ALL: [Self; 9] = [
        Self::Gap,
        Self::Restart,
        Self::ClockJump,
        Self::Unsettled,
        Self::BadChannel,
        Self::Montage,
        Self::PeakToPeak,
        Self::NotFinite,
        Self::NoOnsetSample,
    ];

    /// The reason in a few words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Restart => "restart",
            Self::ClockJump => "clock jump",
            Self::Unsettled => "filters not settled",
            Self::BadChannel => "bad channel",
            Self::Montage => "too few good channels",
            Self::PeakToPeak => "swing",
            Self::NotFinite => "not a number",
            Self::NoOnsetSample => "no sample at the flash",
        }
    }
}

/// Whether an epoch can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EpochStatus {
    /// Yes.
    Clean,
    /// No.
    Rejected(Rejection),
}

impl EpochStatus {
    /// Whether the epoch can be used.
    #[must_use]
    pub fn is_clean(self) -> bool {
        self == Self::Clean
    }
}
