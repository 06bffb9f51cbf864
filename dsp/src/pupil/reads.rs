//! When each tile was first read.

use crate::gaze::Fixation;
use crate::gaze_evidence::{MAX_TILES, Tile};

/// A look this far beside every tile is on none, degrees.
const BESIDE_MAX_DEG: f64 = 1.5;
/// Expected reading time of a tile beside its words, and of each word, seconds (240 words a minute: Brysbaert 2019).
const READING_BASE_S: f64 = 0.1;
const READING_PER_WORD_S: f64 = 0.25;
/// A visit shorter than this share of the expected reading time was a glance: the tile was not read.
const GLANCE: f64 = 0.3;
/// Fixations further apart than this do not belong to one visit, seconds.
const APART_S: f64 = 0.5;

/// A tile that was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Read {
    /// Index of the tile.
    pub item: usize,
    /// When it had been read: when gaze left it, or, where it stays, when the words should have been read, seconds.
    pub at_s: f64,
}

/// A visit of a tile that goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Visit {
    item: usize,
    onset_s: f64,
    last_s: f64,
}

/// Watches fixations and says when a tile has been read for the first time. `push` and `put_up` do not allocate.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TileReads {
    visit: Option<Visit>,
    told: [bool; MAX_TILES],
}

impl TileReads {
    /// No tile was read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// New tiles: none was read yet.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// A fixation on these tiles goes on or is over, `x_deg` and `y_deg` as they shall be taken. Gives the tile that was read by it, once per
    /// tile.
    pub fn push(&mut self, fixation: &Fixation, tiles: &[Tile]) -> Option<Read> {
        let last_s = fixation.last_s;
        if !(fixation.onset_s.is_finite() && last_s.is_finite()) {
            return None;
        }
        let on = tile_at(fixation, tiles);
        let mut read = None;
        if let Some(visit) = self.visit {
            let goes_on = on == Some(visit.item) && fixation.onset_s - visit.last_s <= APART_S;
            if !goes_on {
                read = self.judge(visit, tiles, true);
                self.visit = None;
            }
        }
        if let Some(item) = on {
            let onset_s = self.visit.map_or(fixation.onset_s, |visit| visit.onset_s);
            let visit = Visit {
                item,
                onset_s,
                last_s,
            };
            self.visit = Some(visit);
            read = read.or_else(|| self.judge(visit, tiles, false));
        }
        read
    }

    /// It could not be judged after all: the tile may be read again.
    pub fn again(&mut self, item: usize) {
        if let Some(told) = self.told.get_mut(item) {
            *told = false;
        }
    }

    fn judge(&mut self, visit: Visit, tiles: &[Tile], left: bool) -> Option<Read> {
        let words = f64::from(tiles.get(visit.item)?.words);
        let told = self.told.get_mut(visit.item).filter(|told| !**told)?;
        let expected_s = READING_BASE_S + READING_PER_WORD_S * words;
        let lasted_s = visit.last_s - visit.onset_s;
        let is_read = lasted_s >= expected_s || (left && lasted_s >= GLANCE * expected_s);
        if !is_read {
            return None;
        }
        *told = true;
        Some(Read {
            item: visit.item,
            at_s: visit.onset_s + lasted_s.min(expected_s),
        })
    }
}

/// The tile that a fixation is on.
fn tile_at(fixation: &Fixation, tiles: &[Tile]) -> Option<usize> {
    let past = |at: f64, centre: f64, size: f64| ((at - centre).abs() - size / 2.0).max(0.0);
    let beside = tiles.iter().take(MAX_TILES).map(|tile| {
        past(fixation.x_deg, tile.x_deg, tile.w_deg).hypot(past(
            fixation.y_deg,
            tile.y_deg,
            tile.h_deg,
        ))
    });
    let (item, beside_deg) = beside.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b))?;
    (beside_deg <= BESIDE_MAX_DEG).then_some(item)
}
