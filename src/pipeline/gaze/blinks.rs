//! Deliberate blinks at the tiles that are up: which tile was looked at before the lids closed, and what the gate is told.

use razvilka_dsp::DspError;
use razvilka_dsp::deliberate::{BlinkModel, BlinkScorer};
use razvilka_dsp::gaze::Fixation;
use razvilka_dsp::units::{Hertz, LslTime};

use super::Tiles;
use super::looks::tile_at;
use crate::fork::ForkId;
use crate::gate::{Evidence, LOOK_MIN_S, Lease};
use crate::pipeline::decision::Made;

/// A deliberate blink at the tiles that are up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlinkWord {
    /// The fork.
    pub fork: ForkId,
    /// Epoch of the streams.
    pub lease: Lease,
    /// Number of the word within the fork.
    pub number: u64,
    /// Stamp of the sample with which the eye was seen again, on the gaze stream's clock, seconds.
    pub at_s: f64,
    /// To be added to that to give our clock.
    pub offset_s: f64,
    /// Index of that sample.
    pub sample: u64,
    /// The tile that the eyes rested on.
    pub item: usize,
    /// How much it looks like a signal.
    pub score: f64,
    /// Evidence that it was one, nats.
    pub llr_nats: f64,
}

/// Deliberate blinks: what finds and judges them, and where the eyes were before.
#[derive(Debug, Clone)]
pub(super) struct Blinks {
    scorer: BlinkScorer,
    model: BlinkModel,
    openness: Option<usize>,
    /// The last look may have ended so long before the lids closed, seconds.
    reach_s: f64,
    /// The latest fixation that is long enough for a look, and the one before it: between the two blinks of a signal there may be one.
    looks: [Option<Fixation>; 2],
    number: u64,
    found: Option<BlinkWord>,
}

impl Blinks {
    /// # Errors
    /// [`DspError`] for a number out of range.
    pub(super) fn new(
        model: BlinkModel,
        rate: Hertz,
        reach_s: f64,
        openness: Option<usize>,
    ) -> Result<Self, DspError> {
        model.check()?;
        Ok(Self {
            scorer: BlinkScorer::new(model.kind, rate),
            model,
            openness,
            reach_s,
            looks: [None; 2],
            number: 0,
            found: None,
        })
    }

    /// Tiles go up: words about them are counted anew.
    pub(super) fn put_up(&mut self) {
        self.number = 0;
    }

    /// The signal that ended with the latest sample.
    pub(super) fn take(&mut self) -> Option<BlinkWord> {
        self.found.take()
    }

    /// Scores the lids at a sample of this stamp and number, whether or not an eye was `seen`; a signal at a tile that is up is kept for
    /// [`Self::take`].
    pub(super) fn sample(
        &mut self,
        (stamp_s, number): (f64, u64),
        sample: &[f32],
        seen: bool,
        up: Option<&Tiles>,
    ) {
        let openness = self.openness;
        let openness =
            openness.map(|channel| sample.get(channel).copied().map_or(f64::NAN, f64::from));
        let scored = self.scorer.push(stamp_s, !seen, openness);
        self.found = scored.zip(up).and_then(|(scored, tiles)| {
            // A signal that began before the tiles went up was not about them.
            if scored.onset_s < tiles.from_s {
                return None;
            }
            Some(BlinkWord {
                fork: tiles.fork,
                lease: tiles.lease,
                number: self.number,
                at_s: stamp_s,
                offset_s: tiles.offset_s,
                sample: number,
                llr_nats: self.model.llr(scored.score)?,
                item: self.tile_before(scored.onset_s, tiles)?,
                score: scored.score,
            })
        });
        self.number += u64::from(self.found.is_some());
    }

    pub(super) fn restart(&mut self) {
        self.scorer.interrupt();
        self.looks = [None; 2];
        self.found = None;
    }

    /// A fixation goes on or is over.
    pub(super) fn looks(&mut self, fixation: &Fixation) {
        if fixation.dwell_s >= LOOK_MIN_S {
            let [latest, _] = self.looks;
            if latest.is_some_and(|latest| latest.number != fixation.number) {
                self.looks[1] = latest;
            }
            self.looks[0] = Some(*fixation);
        }
    }

    /// The tile that was looked at before these lids closed.
    fn tile_before(&self, onset_s: f64, tiles: &Tiles) -> Option<usize> {
        let began_before = |look: &&Fixation| look.onset_s < onset_s;
        let look = self.looks.iter().flatten().find(began_before)?;
        if look.onset_s < tiles.from_s || onset_s - look.last_s > self.reach_s {
            return None;
        }
        tile_at(look, tiles)
    }
}

/// What the gate is told of a deliberate blink, and what it was made from; the same live and in replay. `None` when the stamp is no time.
#[must_use]
pub fn blink_evidence(word: &BlinkWord) -> Option<(Evidence, Made)> {
    let at = LslTime::new(word.at_s + word.offset_s).ok()?;
    let evidence = Evidence::blink(
        word.fork,
        word.lease,
        word.number,
        at,
        word.item,
        word.llr_nats,
    );
    let made = Made::Blink {
        item: u32::try_from(word.item).ok()?,
        sample: word.sample,
        score: word.score,
    };
    Some((evidence, made))
}
