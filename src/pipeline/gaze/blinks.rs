//! Deliberate blinks at the tiles that are up: which tile was looked at before the lids closed, and what the gate is told.

use razvilka_dsp::DspError;
use razvilka_dsp::deliberate::{BlinkModel, BlinkScorer};
use razvilka_dsp::gaze::Fixation;
use razvilka_dsp::units::Hertz;

use super::Tiles;
use super::looks::tile_at;
use super::words::TileWord;
use crate::gate::LOOK_MIN_S;

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
    found: Option<TileWord>,
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
    pub(super) fn take(&mut self) -> Option<TileWord> {
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
            Some(TileWord {
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
