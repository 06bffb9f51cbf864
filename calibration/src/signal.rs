//! What the recording itself says about channels and epochs, for the report.

use razvilka_dsp::epoch::Rejection;
use razvilka_dsp::quality::BadChannel;

/// Quality of the signal that was calibrated on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SignalQuality {
    /// Seconds in which the channels were judged.
    pub seconds: u64,
    /// Flashes with a whole epoch.
    pub epochs: usize,
    /// Epochs that were rejected as evidence with the channels that were kept, by reason.
    pub rejected: Vec<(Rejection, usize)>,
    /// Each channel, in the order of the stream.
    pub channels: Vec<ChannelSignal>,
    /// What else is to be told of the samples, a sentence each.
    pub notes: Vec<String>,
}

/// Quality of one channel.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChannelSignal {
    /// Seconds in which it was bad, by reason; reasons that never came are not in it.
    pub bad_s: Vec<(BadChannel, u64)>,
    /// Epochs in which it was bad, or swung beyond [`crate::FIT_SWING_MAX`] times the peak-to-peak limit.
    pub doubted: usize,
    /// Why it is left out; absent: it is used.
    pub left_out: Option<LeftOut>,
}

/// Why a channel is left out of a calibration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// Bad in most epochs.
    MostlyBad,
    /// Bad so often that keeping it would cost more epochs than it is worth.
    Costly,
    /// It is the one that sees the blinks.
    BlinkReference,
}

impl LeftOut {
    /// The reason in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::MostlyBad => "bad for most of the time",
            Self::Costly => "bad so often that too many epochs would be lost",
            Self::BlinkReference => "the reference of the blinks",
        }
    }
}
