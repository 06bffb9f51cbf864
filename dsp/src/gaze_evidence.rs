//! What fixations say about the options on the screen.
//!
//! Looking at a tile of text is first of all *reading* it. Who reads moves on from word to word; who means a tile stays. So what
//! counts is a *stay*: fixations one after the other at nearly the same place. Its log-likelihood ratio, meant against read, rises
//! with its time, negative for a stay as short as a fixation of reading; gathered per tile it never falls below zero, which is Page's
//! cumulative sum (Page 1954, Biometrika 41:100) for the change from reading to choosing. A visit that lasts longer than the words ask for counts too.
//! Time on a tile that has not been read yet counts little, up to the reading time its words ask for, at the pace that this
//! person showed in the first passes over the other tiles. Gaze elsewhere wears a tile's evidence down. A fixation that ends in
//! a blink or lost data never counts.

use serde::{Deserialize, Serialize};

use crate::error::{DspError, count, parameter};
use crate::gaze::Fixation;

/// Most tiles on the screen.
pub const MAX_TILES: usize = 16;
/// Regions of the screen whose error may differ: three columns by three rows, row by row from the top left.
pub const REGIONS: usize = 9;
/// A person's reading time over the expected one stays within these.
const PACE: (f64, f64) = (0.6, 1.8);
/// Expected reading time for which the expected pace stands in, seconds: so much must be read before half of it is believed.
const PACE_PRIOR_S: f64 = 1.5;
/// A first pass shorter than this share of the expected reading time was a glance and says nothing of the pace.
const GLANCE: f64 = 0.3;
/// A visit may last this multiple of the reading time before its length counts: the first, and a return.
const VISIT_SLACK: [f64; 2] = [1.4, 1.2];
/// How far from its first fixation a stay may go, relative to how far from its middle.
const FIRST_REACH: f64 = 1.3;
/// Longest time between two fixations that counts as part of a stay, seconds: a saccade of a degree and its settling.
const SACCADE_S: f64 = 0.06;
/// Shortest reading time of a return: so much of any tile may be looked over again, seconds.
const RETURN_S: f64 = 0.6;

/// One option as it stands on the screen: a rectangle with text, degrees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tile {
    /// Centre, degrees.
    pub x_deg: f64,
    /// Centre, degrees.
    pub y_deg: f64,
    /// Width, degrees.
    pub w_deg: f64,
    /// Height, degrees.
    pub h_deg: f64,
    /// Words to read on it.
    pub words: u32,
}

/// Where gaze lands when a person means a tile, and how much time says how much.
///
/// The tracker's error comes from calibration. Reading time: 240 words a minute, as silent reading of non-fiction (Brysbaert 2019, J. Mem.
/// Lang. 109:104047). The numbers of stays, visits and gaze elsewhere were chosen on the benchmark `eyes` (readers who only read, and choosers), so
/// that readers choose nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DwellModel {
    /// Standard deviation of the tracker's horizontal error (after calibration), degrees, 0.05..=20.
    pub sd_x_deg: f64,
    /// The same of the vertical error.
    pub sd_y_deg: f64,
    /// What the deviations are multiplied by in each region of the screen, 0.1..=10.
    pub region: [f64; REGIONS],
    /// Half the width and height of the screen that the regions divide, degrees, 0.5..=180.
    pub half_deg: [f64; 2],
    /// Probability that a fixation has nothing to do with the tile that is meant, 0.001..=0.999.
    pub outlier: f64,
    /// Area over which such fixations spread, square degrees, 1..=1e5: the screen, or the region of the tiles.
    pub area_deg2: f64,
    /// Fixations no further than this from the middle of those before belong to one stay, degrees, 0..=20. Words of 5 letters of 0.4
    /// degrees stand 2.4 degrees apart.
    pub stay_deg: f64,
    /// A stay of this length says nothing, a shorter one speaks for reading, seconds, 0..=10.
    pub stay_s: f64,
    /// What a stay says for each second beyond that, nats per second, 0..=1000.
    pub stay_nats_per_s: f64,
    /// What a visit says for each second beyond the time that reading asks for, nats per second, 0..=1000.
    pub visit_nats_per_s: f64,
    /// What gaze elsewhere takes away each second, nats per second, 0..=1000.
    pub away_nats_per_s: f64,
    /// Reading time per word, seconds, 0..=5.
    pub reading_s_per_word: f64,
    /// Reading time of a tile beside its words, seconds, 0..=5.
    pub reading_base_s: f64,
    /// Weight of time that a first pass asks for, relative to other time, 0..=1.
    pub reading_weight: f64,
    /// Largest difference between two options, nats, 0..=20.
    pub clip_nats: f64,
    /// Where the text stands that has been written so far: whoever looks there reads it and means no tile, however near one is.
    pub text: Option<Tile>,
}

impl Default for DwellModel {
    fn default() -> Self {
        Self {
            sd_x_deg: 0.8,
            sd_y_deg: 0.8,
            region: [1.0; REGIONS],
            half_deg: [22.0, 13.0],
            outlier: 0.33,
            area_deg2: 400.0,
            stay_deg: 1.2,
            stay_s: 1.05,
            stay_nats_per_s: 60.0,
            visit_nats_per_s: 2.0,
            away_nats_per_s: 4.0,
            reading_s_per_word: 0.25,
            reading_base_s: 0.1,
            reading_weight: 0.0,
            clip_nats: 6.0,
            text: None,
        }
    }
}

impl DwellModel {
    /// Checks every number.
    ///
    /// # Errors
    /// [`DspError::Parameter`] for the first one out of range.
    pub fn check(&self) -> Result<(), DspError> {
        if let Some(text) = &self.text {
            text.check()?;
        }
        parameter("gaze error in deg", self.sd_x_deg, 0.05, 20.0)?;
        parameter("gaze error in deg", self.sd_y_deg, 0.05, 20.0)?;
        for factor in self.region {
            parameter("gaze error of a region, relative", factor, 0.1, 10.0)?;
        }
        for half in self.half_deg {
            parameter("half the screen in deg", half, 0.5, 180.0)?;
        }
        parameter("outlier probability", self.outlier, 0.001, 0.999)?;
        parameter("screen area in square degrees", self.area_deg2, 1.0, 1e5)?;
        parameter("extent of a stay in deg", self.stay_deg, 0.0, 20.0)?;
        parameter("time of a stay in s", self.stay_s, 0.0, 10.0)?;
        for rate in [
            self.stay_nats_per_s,
            self.visit_nats_per_s,
            self.away_nats_per_s,
        ] {
            parameter("evidence of time in nats per s", rate, 0.0, 1000.0)?;
        }
        parameter(
            "reading time per word in s",
            self.reading_s_per_word,
            0.0,
            5.0,
        )?;
        parameter("reading time of a tile in s", self.reading_base_s, 0.0, 5.0)?;
        parameter("reading weight", self.reading_weight, 0.0, 1.0)?;
        parameter("gaze evidence clip in nats", self.clip_nats, 0.0, 20.0)?;
        Ok(())
    }

    /// Log-density of a fixation centred at a point when `tile` is meant.
    ///
    /// `(1 - outlier) exp(-d^2 / 2) / Z + outlier / area`, with `d` the distance to the rectangle in deviations of the error there (0
    /// inside) and `Z = w h + sqrt(2 pi) (w sd_y + h sd_x) + 2 pi sd_x sd_y`, its integral over the plane where the error is the same
    /// everywhere: a large tile is not favoured for being large.
    #[must_use]
    pub fn ln_likelihood(&self, tile: &Tile, x_deg: f64, y_deg: f64) -> f64 {
        (self.near(tile, x_deg, y_deg) + self.outlier / self.area_deg2).ln()
    }

    /// The part of the density that has to do with the tile, per square degree.
    fn near(&self, tile: &Tile, x_deg: f64, y_deg: f64) -> f64 {
        let [sd_x, sd_y] = self.sd_at(x_deg, y_deg);
        let (w, h) = (tile.w_deg, tile.h_deg);
        let tau = std::f64::consts::TAU;
        let z = w * h + tau.sqrt() * (w * sd_y + h * sd_x) + tau * sd_x * sd_y;
        (1.0 - self.outlier) * self.reach(tile, x_deg, y_deg) / z
    }

    /// How well a place fits a look into the rectangle, 0..=1: 1 inside, `exp(-d^2 / 2)` outside.
    fn reach(&self, tile: &Tile, x_deg: f64, y_deg: f64) -> f64 {
        let [sd_x, sd_y] = self.sd_at(x_deg, y_deg);
        let dx = ((x_deg - tile.x_deg).abs() - 0.5 * tile.w_deg).max(0.0) / sd_x;
        let dy = ((y_deg - tile.y_deg).abs() - 0.5 * tile.h_deg).max(0.0) / sd_y;
        (-0.5 * (dx * dx + dy * dy)).exp()
    }

    /// The error at a point, by the region it lies in.
    fn sd_at(&self, x_deg: f64, y_deg: f64) -> [f64; 2] {
        let region = region_of(self.half_deg, x_deg, y_deg);
        let factor = self.region.get(region).copied().unwrap_or(1.0);
        [self.sd_x_deg * factor, self.sd_y_deg * factor]
    }

    fn reading_s(&self, tile: &Tile) -> f64 {
        self.reading_base_s + self.reading_s_per_word * f64::from(tile.words)
    }
}

impl Tile {
    fn check(&self) -> Result<(), DspError> {
        parameter("tile position in deg", self.x_deg, -180.0, 180.0)?;
        parameter("tile position in deg", self.y_deg, -180.0, 180.0)?;
        parameter("tile width in deg", self.w_deg, 0.01, 180.0)?;
        parameter("tile height in deg", self.h_deg, 0.01, 180.0)?;
        Ok(())
    }
}

/// Evidence of the fixations of one fork.
#[derive(Debug, Clone, PartialEq)]
pub struct DwellEvidence {
    model: DwellModel,
    tiles: Vec<Tile>,
    settled: Sums,
    shown: Sums,
}

/// What has been gathered.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sums {
    tiles: [TileSum; MAX_TILES],
    /// The tile that gaze is on, if on one.
    on: Option<usize>,
    stay: Stay,
    /// Time on the tile since gaze came to it, seconds.
    visit_s: f64,
    /// So much of it was beyond the time that reading asks for, seconds.
    beyond_s: f64,
    /// Reading times of first passes, as they were and as expected, seconds.
    read_s: f64,
    expected_s: f64,
    fixations: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct TileSum {
    /// By stays and by the length of visits.
    nats: [f64; 2],
    /// What they were when the stay began.
    base: [f64; 2],
    dwell_s: f64,
    /// Whether gaze has been on the tile and left it: the next time it returns.
    left: bool,
}

/// Fixations one after the other at nearly the same place.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stay {
    /// Where it began, and its middle so far.
    first_deg: [f64; 2],
    x_deg: f64,
    y_deg: f64,
    s: f64,
    /// When its last fixation ended.
    until_s: f64,
    /// Its time, with time that was reading counted less.
    weighed_s: f64,
    /// Time of the visit that was beyond reading when the stay began.
    beyond_s: f64,
}

impl Stay {
    /// Whether a place is too far from its middle, or from where it began: steps of reading would else carry the middle along.
    fn is_beyond(&self, x_deg: f64, y_deg: f64, reach_deg: f64) -> bool {
        let [first_x, first_y] = self.first_deg;
        (x_deg - self.x_deg).hypot(y_deg - self.y_deg) > reach_deg
            || (x_deg - first_x).hypot(y_deg - first_y) > FIRST_REACH * reach_deg
    }

    /// Takes a fixation in, and the saccade to it when it is not the first. `weighed_s`: its time with reading counted less.
    fn grow(&mut self, fixation: &Fixation, weighed_s: f64) {
        let (x_deg, y_deg, dwell_s) = (fixation.x_deg, fixation.y_deg, fixation.dwell_s);
        let gap_s = if self.s > 0.0 {
            (fixation.onset_s - self.until_s).clamp(0.0, SACCADE_S)
        } else {
            self.first_deg = [x_deg, y_deg];
            0.0
        };
        self.until_s = fixation.onset_s + dwell_s;
        self.s += gap_s + dwell_s;
        self.weighed_s += gap_s + weighed_s;
        let part = dwell_s / self.s;
        self.x_deg += part * (x_deg - self.x_deg);
        self.y_deg += part * (y_deg - self.y_deg);
    }
}

impl Sums {
    const EMPTY: Self = Self {
        tiles: [TileSum {
            nats: [0.0; 2],
            base: [0.0; 2],
            dwell_s: 0.0,
            left: false,
        }; MAX_TILES],
        on: None,
        stay: Stay {
            first_deg: [0.0; 2],
            x_deg: 0.0,
            y_deg: 0.0,
            s: 0.0,
            until_s: 0.0,
            weighed_s: 0.0,
            beyond_s: 0.0,
        },
        visit_s: 0.0,
        beyond_s: 0.0,
        read_s: 0.0,
        expected_s: 0.0,
        fixations: 0,
    };

    /// A stay begins.
    fn begin(&mut self) {
        for sum in &mut self.tiles {
            sum.base = sum.nats;
        }
        self.stay = Stay {
            beyond_s: self.beyond_s,
            ..Self::EMPTY.stay
        };
    }

    /// What the stay and the visit so far say of each tile. `reads`: how far it may be the text above instead of the tile that gaze is on. A
    /// short stay speaks for reading once it is `over`; one that is going on may yet become long.
    fn say(&mut self, model: &DwellModel, shares: &[f64; MAX_TILES], reads: f64, over: bool) {
        let beside_s = self.stay.weighed_s - model.stay_s;
        let stay_nats = model.stay_nats_per_s * if over { beside_s } else { beside_s.max(0.0) };
        let visit_nats = model.visit_nats_per_s * (self.beyond_s - self.stay.beyond_s);
        let away = model.away_nats_per_s * self.stay.s;
        for (k, (sum, share)) in self.tiles.iter_mut().zip(shares).enumerate() {
            let said = [stay_nats, visit_nats];
            // Looking at a tile takes nothing away from it but by as much as it may be the text that is looked at.
            let elsewhere = match self.on {
                Some(on) if on == k => reads,
                _ => 1.0 - share,
            };
            for ((nats, base), said) in sum.nats.iter_mut().zip(sum.base).zip(said) {
                let change = share * said - elsewhere * away;
                *nats = (base + change).clamp(0.0, model.clip_nats);
            }
        }
    }

    /// Gaze leaves the tile it was on; a first pass over it says how fast this person reads.
    fn leave(&mut self, model: &DwellModel, tiles: &[Tile]) {
        if let Some((tile, sum)) = self
            .on
            .and_then(|i| tiles.get(i).zip(self.tiles.get_mut(i)))
        {
            let expected_s = model.reading_s(tile);
            if !sum.left && tile.words > 0 && self.visit_s >= GLANCE * expected_s {
                self.read_s += self.visit_s.min(PACE.1 * expected_s);
                self.expected_s += expected_s;
            }
            sum.left = true;
        }
        (self.visit_s, self.beyond_s) = (0.0, 0.0);
    }

    /// This person's reading time over the expected one.
    fn pace(&self) -> f64 {
        ((PACE_PRIOR_S + self.read_s) / (PACE_PRIOR_S + self.expected_s)).clamp(PACE.0, PACE.1)
    }
}

impl DwellEvidence {
    /// Evidence without tiles; [`Self::reset`] puts them up.
    ///
    /// # Errors
    /// As [`DwellModel::check`].
    pub fn new(model: DwellModel) -> Result<Self, DspError> {
        model.check()?;
        Ok(Self {
            model,
            tiles: Vec::with_capacity(MAX_TILES),
            settled: Sums::EMPTY,
            shown: Sums::EMPTY,
        })
    }

    /// A new fork with these tiles: nothing is carried over, not even a fixation that is still going on. Does not allocate.
    ///
    /// # Errors
    /// [`DspError::Count`] for more than 16 tiles or none, [`DspError::Parameter`] for a tile that is no rectangle on a screen; no tile is
    /// up then.
    pub fn reset(&mut self, tiles: &[Tile]) -> Result<(), DspError> {
        self.tiles.clear();
        self.settled = Sums::EMPTY;
        self.shown = Sums::EMPTY;
        count("tiles", tiles.len(), 1, MAX_TILES)?;
        for tile in tiles {
            tile.check()?;
        }
        self.tiles.extend_from_slice(tiles);
        Ok(())
    }

    /// A fixation that is going on: replaces what it said before. That it is short says nothing yet.
    pub fn update(&mut self, fixation: &Fixation) {
        self.shown = self.settled;
        self.add(fixation, false);
    }

    /// A fixation is over. `valid`: it ended by a saccade; otherwise all it said is taken back.
    pub fn end(&mut self, fixation: &Fixation, valid: bool) {
        self.shown = self.settled;
        if valid {
            self.add(fixation, true);
            self.settled = self.shown;
        }
    }

    /// Log-likelihood of each option, nats, the best one 0 and none below `-clip_nats`. Values beyond the tiles are left alone.
    /// All are 0 while nothing has been seen.
    pub fn ln_likelihoods(&self, out: &mut [f64]) {
        let nats = self
            .shown
            .tiles
            .iter()
            .take(self.tiles.len())
            .map(|t| t.nats[0] + t.nats[1]);
        let best = nats.clone().fold(f64::NEG_INFINITY, f64::max);
        for (out, nats) in out.iter_mut().zip(nats) {
            *out = (nats - best).max(-self.model.clip_nats);
        }
    }

    /// How far each tile has come towards all that gaze can say for it, 0..=1: its lead over the others, or the present stay on it, whichever is
    /// further. What a person may be shown while they stay. Values beyond the tiles are left alone.
    pub fn progress(&self, out: &mut [f64]) {
        let sums = &self.shown;
        let model = &self.model;
        let whole_s = model.stay_s + model.clip_nats / model.stay_nats_per_s;
        let stay = sums.stay.weighed_s / whole_s;
        let (mut best, mut second) = (0.0, 0.0);
        let nats = |sum: &TileSum| sum.nats[0] + sum.nats[1];
        for sum in sums.tiles.iter().take(self.tiles.len()) {
            let nats = nats(sum);
            if nats > best {
                (best, second) = (nats, best);
            } else if nats > second {
                second = nats;
            }
        }
        let tiles = sums.tiles.iter().take(self.tiles.len()).enumerate();
        for (out, (tile, sum)) in out.iter_mut().zip(tiles) {
            let nats = nats(sum);
            let lead = nats - if nats < best { best } else { second };
            let said = lead / model.clip_nats;
            let stayed = if sums.on == Some(tile) { stay } else { 0.0 };
            let further = said.max(stayed);
            // A model that never counts stays, or says nothing, has no progress.
            *out = if further.is_finite() {
                further.clamp(0.0, 1.0)
            } else {
                0.0
            };
        }
    }

    /// Time spent on a tile so far, seconds; 0 for a tile that is not there.
    #[must_use]
    pub fn dwell_s(&self, tile: usize) -> f64 {
        self.shown.tiles.get(tile).map_or(0.0, |t| t.dwell_s)
    }

    /// Reading time of this person over the expected one, learnt from first passes over tiles of this fork, 0.6..=1.8.
    #[must_use]
    pub fn pace(&self) -> f64 {
        self.shown.pace()
    }

    /// Fixations that count so far, the one that is going on included.
    #[must_use]
    pub fn fixations(&self) -> u64 {
        self.shown.fixations
    }

    fn add(&mut self, fixation: &Fixation, over: bool) {
        let (x, y, dwell_s) = (fixation.x_deg, fixation.y_deg, fixation.dwell_s);
        if !(x.is_finite() && y.is_finite() && dwell_s > 0.0 && dwell_s.is_finite()) {
            return;
        }
        let model = &self.model;
        let mut near = [0.0; MAX_TILES];
        for (near, tile) in near.iter_mut().zip(&self.tiles) {
            *near = model.near(tile, x, y);
        }
        let mut reads = [0.0; MAX_TILES];
        if let Some(text) = &model.text {
            // Against the text a tile counts by distance alone: the text is large, and read line by line.
            let text = model.reach(text, x, y);
            for ((near, reads), tile) in near.iter_mut().zip(&mut reads).zip(&self.tiles) {
                let tile = model.reach(tile, x, y);
                let of_tile = tile / (tile + text).max(f64::MIN_POSITIVE);
                *near *= of_tile;
                *reads = 1.0 - of_tile;
            }
        }
        let best = near.iter().copied().fold(0.0, f64::max);
        // How far each tile can be told from the nearest one at this place, and all of them from no tile.
        let scale = best + model.outlier / model.area_deg2;
        let shares = near.map(|near| near / scale);
        let on = single_nearest(&shares);
        let reads = on.and_then(|on| reads.get(on).copied()).unwrap_or(0.0);
        let sums = &mut self.shown;
        sums.fixations += 1;
        if sums.on != on {
            sums.leave(model, &self.tiles);
            sums.on = on;
            sums.begin();
        } else if sums.stay.is_beyond(x, y, model.stay_deg) {
            sums.begin();
        }
        let pace = sums.pace();
        let here = on.and_then(|i| self.tiles.get(i).zip(sums.tiles.get_mut(i)));
        let mut reading_s = 0.0;
        if let Some((tile, sum)) = here {
            let expected_s = model.reading_s(tile) * pace;
            let (unread_s, allowed_s) = if sum.left {
                let again_s = if expected_s > 0.0 { RETURN_S } else { 0.0 };
                (0.0, VISIT_SLACK[1] * expected_s.max(again_s))
            } else {
                (expected_s - sums.visit_s, VISIT_SLACK[0] * expected_s)
            };
            reading_s = unread_s.clamp(0.0, dwell_s);
            sum.dwell_s += dwell_s;
            sums.visit_s += dwell_s;
            sums.beyond_s = (sums.visit_s - allowed_s).max(0.0);
        }
        let weight_s = dwell_s - reading_s * (1.0 - model.reading_weight);
        sums.stay.grow(fixation, weight_s);
        sums.say(model, &shares, reads, over);
    }
}

/// The region of the screen that a point lies in, 0..9: columns and rows of a third of the screen each, row by row from the top
/// left; the outer ones go on beyond the edges.
#[must_use]
pub fn region_of(half_deg: [f64; 2], x_deg: f64, y_deg: f64) -> usize {
    let third = |v: f64, half: f64| match v / half {
        s if s < -1.0 / 3.0 => 0,
        s if s > 1.0 / 3.0 => 2,
        _ => 1,
    };
    let [half_w, half_h] = half_deg;
    3 * third(y_deg, half_h) + third(x_deg, half_w)
}

/// The tile that a fixation is on: one that is more likely than all others and none together.
fn single_nearest(shares: &[f64; MAX_TILES]) -> Option<usize> {
    let all: f64 = shares.iter().sum();
    let half = 0.5 * all.max(1.0);
    shares.iter().position(|share| *share > half)
}
