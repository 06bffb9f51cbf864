//! What a source beside fixations says of one tile: a deliberate blink, or the pupil.

use razvilka_dsp::units::LslTime;

use crate::fork::ForkId;
use crate::gate::{Evidence, Lease};
use crate::pipeline::decision::Made;

/// A word about one of the tiles that are up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TileWord {
    /// The fork.
    pub fork: ForkId,
    /// Epoch of the streams.
    pub lease: Lease,
    /// Number of the word among those of its source within the fork.
    pub number: u64,
    /// Stamp of the sample with which it was known, on the gaze stream's clock, seconds.
    pub at_s: f64,
    /// To be added to that to give our clock.
    pub offset_s: f64,
    /// Index of that sample.
    pub sample: u64,
    /// The tile.
    pub item: usize,
    /// What the source's model was asked about: how much a blink looks like a signal; the pupil's response without the effect of place, over
    /// this person's deviation.
    pub score: f64,
    /// Evidence for the tile, nats.
    pub llr_nats: f64,
}

impl TileWord {
    /// What the gate is told, and what it was made from. `None` when the stamp is no time.
    fn told(
        &self,
        evidence: fn(ForkId, Lease, u64, LslTime, usize, f64) -> Evidence,
        made: fn(u32, u64, f64) -> Made,
    ) -> Option<(Evidence, Made)> {
        let at = LslTime::new(self.at_s + self.offset_s).ok()?;
        let made = made(u32::try_from(self.item).ok()?, self.sample, self.score);
        let (item, llr_nats) = (self.item, self.llr_nats);
        let evidence = evidence(self.fork, self.lease, self.number, at, item, llr_nats);
        Some((evidence, made))
    }
}

/// What the gate is told of a deliberate blink, and what it was made from; the same live and in replay. `None` when the stamp is no time.
#[must_use]
pub fn blink_evidence(word: &TileWord) -> Option<(Evidence, Made)> {
    word.told(Evidence::blink, |item, sample, score| Made::Blink {
        item,
        sample,
        score,
    })
}

/// What the gate is told of the pupil, and what it was made from; the same live and in replay. `None` when the stamp is no time.
#[must_use]
pub fn pupil_evidence(word: &TileWord) -> Option<(Evidence, Made)> {
    word.told(Evidence::pupil, |item, sample, score| Made::Pupil {
        item,
        sample,
        score,
    })
}
