//! What fixations say about the options on the screen.
//!
//! Looking at a tile of text is first of all *reading* it. A fixation counts in proportion to its time, but time on a tile
//! that has not been read yet counts little, up to the reading time its words ask for; returning to a tile, or staying
//! longer than reading takes, counts fully. A fixation that ends in a blink or lost data never counts.

use serde::{Deserialize, Serialize};

use crate::error::{DspError, count, parameter};
use crate::gaze::Fixation;

/// Most tiles on the screen.
pub const MAX_TILES: usize = 16;

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
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DwellModel {
    /// Standard deviation of the tracker's error (after calibration), degrees, 0.05..=20.
    pub sd_deg: f64,
    /// Probability that a fixation has nothing to do with the tile that is meant, 0.001..=0.999.
    pub outlier: f64,
    /// Area over which such fixations spread, square degrees, 1..=1e5: the screen, or the region of the tiles.
    pub area_deg2: f64,
    /// Time whose fixation counts as one independent observation, seconds, 0.02..=10.
    pub unit_s: f64,
    /// Reading time per word, seconds, 0..=5.
    pub reading_s_per_word: f64,
    /// Reading time of a tile beside its words, seconds, 0..=5.
    pub reading_base_s: f64,
    /// Weight of time spent reading, relative to other time, 0..=1.
    pub reading_weight: f64,
    /// Largest difference between two options, nats, 0..=20.
    pub clip_nats: f64,
}

impl Default for DwellModel {
    /// Made for a few tiles before anything is fitted: an error of 0.8 degrees, a third of fixations elsewhere in the region of the tiles
    /// (400 square degrees), 0.3 s per observation; reading at 240 words a minute plus 0.1 s per tile, weighted 0.05, so that a first pass over one
    /// tile says less than 1 nat; 5 nats at most.
    fn default() -> Self {
        Self {
            sd_deg: 0.8,
            outlier: 0.33,
            area_deg2: 400.0,
            unit_s: 0.3,
            reading_s_per_word: 0.25,
            reading_base_s: 0.1,
            reading_weight: 0.05,
            clip_nats: 5.0,
        }
    }
}

impl DwellModel {
    /// Checks every number.
    ///
    /// # Errors
    /// [`DspError::Parameter`] for the first one out of range.
    pub fn check(&self) -> Result<(), DspError> {
        parameter("gaze error in deg", self.sd_deg, 0.05, 20.0)?;
        parameter("outlier probability", self.outlier, 0.001, 0.999)?;
        parameter("screen area in square degrees", self.area_deg2, 1.0, 1e5)?;
        parameter("time of one observation in s", self.unit_s, 0.02, 10.0)?;
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
    /// `(1 - outlier) exp(-d^2 / 2 sd^2) / Z + outlier / area`, with `d` the distance to the rectangle (0 inside) and
    /// `Z = w h + sqrt(2 pi) sd (w + h) + 2 pi sd^2`, its integral over the plane: a large tile is not favoured for being large.
    #[must_use]
    pub fn ln_likelihood(&self, tile: &Tile, x_deg: f64, y_deg: f64) -> f64 {
        let d2 = tile.distance_squared(x_deg, y_deg);
        let (w, h, sd) = (tile.w_deg, tile.h_deg, self.sd_deg);
        let tau = std::f64::consts::TAU;
        let z = w * h + tau.sqrt() * sd * (w + h) + tau * sd * sd;
        let near = (1.0 - self.outlier) * (-0.5 * d2 / (sd * sd)).exp() / z;
        (near + self.outlier / self.area_deg2).ln()
    }

    fn reading_s(&self, tile: &Tile) -> f64 {
        self.reading_base_s + self.reading_s_per_word * f64::from(tile.words)
    }
}

impl Tile {
    fn distance_squared(&self, x_deg: f64, y_deg: f64) -> f64 {
        let dx = ((x_deg - self.x_deg).abs() - 0.5 * self.w_deg).max(0.0);
        let dy = ((y_deg - self.y_deg).abs() - 0.5 * self.h_deg).max(0.0);
        dx * dx + dy * dy
    }

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
    current: Option<u64>,
}

/// What has been gathered.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sums {
    tiles: [TileSum; MAX_TILES],
    on: Option<usize>,
    fixations: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct TileSum {
    nats: f64,
    dwell_s: f64,
    /// Time that was taken for reading.
    read_s: f64,
    /// Whether gaze has been on the tile and left it: the next time it returns.
    left: bool,
}

impl Sums {
    const EMPTY: Self = Self {
        tiles: [TileSum {
            nats: 0.0,
            dwell_s: 0.0,
            read_s: 0.0,
            left: false,
        }; MAX_TILES],
        on: None,
        fixations: 0,
    };
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
            current: None,
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
        self.current = None;
        count("tiles", tiles.len(), 1, MAX_TILES)?;
        for tile in tiles {
            tile.check()?;
        }
        self.tiles.extend_from_slice(tiles);
        Ok(())
    }

    /// A fixation that is going on: replaces what it said before.
    pub fn update(&mut self, fixation: &Fixation) {
        self.shown = self.settled;
        self.current = Some(fixation.number);
        self.add(fixation);
    }

    /// A fixation is over. `valid`: it ended by a saccade; otherwise all it said is taken back.
    pub fn end(&mut self, fixation: &Fixation, valid: bool) {
        if valid {
            self.update(fixation);
            self.settled = self.shown;
        } else {
            self.shown = self.settled;
        }
        self.current = None;
    }

    /// Log-likelihood of each option, nats, the best one 0 and none below `-clip_nats`. Values beyond the tiles are left alone.
    /// All are 0 while nothing has been seen.
    pub fn ln_likelihoods(&self, out: &mut [f64]) {
        let nats = self
            .shown
            .tiles
            .iter()
            .take(self.tiles.len())
            .map(|t| t.nats);
        let best = nats.clone().fold(f64::NEG_INFINITY, f64::max);
        for (out, nats) in out.iter_mut().zip(nats) {
            *out = (nats - best).max(-self.model.clip_nats);
        }
    }

    /// Time spent on a tile so far, seconds; 0 for a tile that is not there.
    #[must_use]
    pub fn dwell_s(&self, tile: usize) -> f64 {
        self.shown.tiles.get(tile).map_or(0.0, |t| t.dwell_s)
    }

    /// Fixations that count so far, the one that is going on included.
    #[must_use]
    pub fn fixations(&self) -> u64 {
        self.shown.fixations
    }

    fn add(&mut self, fixation: &Fixation) {
        let (x, y) = (fixation.x_deg, fixation.y_deg);
        if !(x.is_finite()
            && y.is_finite()
            && fixation.dwell_s > 0.0
            && fixation.dwell_s.is_finite())
        {
            return;
        }
        let sums = &mut self.shown;
        sums.fixations += 1;
        let on = nearest(&self.tiles, x, y, 3.0 * self.model.sd_deg);
        if sums.on != on {
            if let Some(left) = sums.on.and_then(|i| sums.tiles.get_mut(i)) {
                left.left = true;
            }
            sums.on = on;
        }
        // Split the time into reading and looking.
        let mut reading_s = 0.0;
        if let Some(i) = on
            && let (Some(tile), Some(sum)) = (self.tiles.get(i), sums.tiles.get_mut(i))
        {
            if !sum.left {
                let unread_s = (self.model.reading_s(tile) - sum.read_s).max(0.0);
                reading_s = unread_s.min(fixation.dwell_s);
                sum.read_s += reading_s;
            }
            sum.dwell_s += fixation.dwell_s;
        }
        let looking_s = fixation.dwell_s - reading_s;
        let weight = (self.model.reading_weight * reading_s + looking_s) / self.model.unit_s;
        for (sum, tile) in sums.tiles.iter_mut().zip(&self.tiles) {
            sum.nats += weight * self.model.ln_likelihood(tile, x, y);
        }
    }
}

/// The tile nearest to a point, within `reach_deg`.
fn nearest(tiles: &[Tile], x_deg: f64, y_deg: f64, reach_deg: f64) -> Option<usize> {
    tiles
        .iter()
        .map(|t| t.distance_squared(x_deg, y_deg))
        .enumerate()
        .filter(|(_, d2)| *d2 <= reach_deg * reach_deg)
        .min_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(i, _)| i)
}
