//! Looks at the tiles that are up, told to the gate for what another stream says about them: which tile, from when, until when.

use razvilka_dsp::gaze::Fixation;
use razvilka_dsp::gaze_evidence::Tile;
use razvilka_dsp::units::LslTime;

use super::Tiles;
use crate::fork::ForkId;
use crate::gate::{LOOK_MIN_S, Lease, Look, Told};
use crate::pipeline::decision::Made;

/// A look this far beside every tile means none of them, degrees.
const BESIDE_MAX_DEG: f64 = 1.5;

/// A look that has become one, or is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LookWord {
    /// The fork.
    pub fork: ForkId,
    /// Epoch of the streams.
    pub lease: Lease,
    /// Number of the word within the fork.
    pub number: u64,
    /// Stamp of the newest sample, on the gaze stream's clock, seconds.
    pub at_s: f64,
    /// To be added to that to give our clock.
    pub offset_s: f64,
    /// Index of the newest sample.
    pub sample: u64,
    /// Number of the fixation.
    pub look: u64,
    /// The tile; `None` beside all of them.
    pub item: Option<usize>,
    /// Its beginning, on the gaze stream's clock, seconds.
    pub onset_s: f64,
    /// Its last sample so far.
    pub last_s: f64,
    /// Whether it is over.
    pub over: bool,
}

/// The looks at the tiles that are up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Looks {
    /// The look that was told last, and its tile: what it was a look at stands from then on.
    told: Option<(u64, Option<usize>)>,
    number: u64,
    /// Of the latest sample: a look may end with the sample with which another one is known.
    words: [Option<LookWord>; 2],
}

impl Looks {
    /// Tiles go up: words about them are counted anew.
    pub(super) fn put_up(&mut self) {
        *self = Self::default();
    }

    /// The next word of the latest sample.
    pub(super) fn take(&mut self) -> Option<LookWord> {
        self.words.iter_mut().find_map(Option::take)
    }

    /// A fixation at the tiles that are up goes on, or is over, at a sample of this stamp and number. It is told once when it has become a
    /// look, and once when it is over.
    pub(super) fn rests(
        &mut self,
        fixation: &Fixation,
        over: bool,
        tiles: &Tiles,
        (at_s, sample): (f64, u64),
    ) {
        let told = self.told.filter(|(look, _)| *look == fixation.number);
        if fixation.dwell_s < LOOK_MIN_S || (told.is_some() && !over) {
            return;
        }
        let item = told.map_or_else(|| tile_at(fixation, tiles), |(_, item)| item);
        self.told = Some((fixation.number, item));
        let word = LookWord {
            fork: tiles.fork,
            lease: tiles.lease,
            number: self.number,
            at_s,
            offset_s: tiles.offset_s,
            sample,
            look: fixation.number,
            item,
            onset_s: fixation.onset_s,
            last_s: fixation.last_s,
            over,
        };
        if let Some(place) = self.words.iter_mut().find(|word| word.is_none()) {
            *place = Some(word);
            self.number += 1;
        }
    }
}

/// The tile that a fixation rests on, or right beside.
pub(super) fn tile_at(fixation: &Fixation, tiles: &Tiles) -> Option<usize> {
    let beside = |tile: &Tile| {
        let past = |at: f64, centre: f64, size: f64| ((at - centre).abs() - size / 2.0).max(0.0);
        let x_deg = past(fixation.x_deg, tile.x_deg, tile.w_deg);
        x_deg.hypot(past(fixation.y_deg, tile.y_deg, tile.h_deg))
    };
    let shown = tiles.tiles.iter().take(tiles.count).map(beside);
    let (item, beside_deg) = shown.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b))?;
    (beside_deg <= BESIDE_MAX_DEG).then_some(item)
}

/// What the gate is told of a look, and what it was made from; the same live and in replay. `None` when a stamp is no time.
#[must_use]
pub fn look_told(word: &LookWord) -> Option<(Told, Made)> {
    let at = |stamp_s: f64| LslTime::new(stamp_s + word.offset_s).ok();
    let look = Look {
        fork: word.fork,
        lease: word.lease,
        seq: word.number,
        at: at(word.at_s)?,
        look: word.look,
        item: word.item,
        onset: at(word.onset_s)?,
        last: at(word.last_s)?,
        over: word.over,
    };
    let made = Made::Look {
        item: word.item.and_then(|item| u32::try_from(item).ok()),
        sample: word.sample,
    };
    Some((Told::Look(look), made))
}
