//! What the signal path had to do to a session's EEG, in counts.

use std::collections::BTreeMap;

use razvilka_dsp::eeg::EegCounts;
use serde::{Deserialize, Serialize};

/// How the EEG of a session was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalSummary {
    /// Seconds in which the channels were judged.
    pub seconds: u64,
    /// Samples, gaps, doubled, late and block-stamped ones, values that are no number, blinks taken out.
    pub samples: EegCounts,
    /// Flashes without evidence, by reason.
    pub flashes_rejected: BTreeMap<String, u64>,
    /// Channels that were bad for a while.
    pub bad_channels: Vec<BadChannelSummary>,
}

/// How long a channel was bad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadChannelSummary {
    /// Its label, or its number from 1.
    pub channel: String,
    /// Seconds.
    pub bad_s: u32,
    /// The same, by reason.
    pub by_reason_s: BTreeMap<String, u32>,
}

impl SignalSummary {
    /// What happened to the samples, in words; nothing where they were taken as they came.
    #[must_use]
    pub fn samples_in_words(&self) -> Option<String> {
        let words = samples_in_words(&self.samples);
        (!words.is_empty()).then(|| words.join(", "))
    }
}

/// What the stamp guard and the filters had to do to samples; nothing where they took them as they came.
#[must_use]
pub fn samples_in_words(counts: &EegCounts) -> Vec<String> {
    let s = &counts.stamps;
    let counted = [
        ("missing", s.missing),
        ("of them only late", s.taken_back),
        ("interpolated", counts.interpolated),
        ("gaps that reject epochs", s.gaps_rejected),
        ("restarts after a gap", s.gaps_restarted),
        ("doubled", s.duplicates),
        ("backward", s.backward),
        ("late", s.late),
        ("stamps that are no time", s.not_finite + s.far_future),
        ("jumps of the clock", s.clock_jumps),
        ("before the first whole block", s.unanchored),
        ("values held, being no number", counts.held_values),
        ("flashes without a place", counts.flashes_without_epoch),
        ("blinks taken out", counts.blinks),
    ];
    let mut words: Vec<String> = counted
        .iter()
        .filter(|(_, n)| *n > 0)
        .map(|(what, n)| format!("{what} {n}"))
        .collect();
    if s.looks_block_stamped() {
        words.push(
            "most samples share their stamp with another: they come in blocks, and only one of each could be used".into(),
        );
    }
    words
}
