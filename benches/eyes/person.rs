//! Where the eyes go at a fork, and what a tracker makes of it.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use razvilka::marker::{OptionKind, OptionTile};
use razvilka_dsp::gaze_evidence::{REGIONS, region_of};

use crate::fixations::{Drawn, Pool, Purpose};

type Point = [f64; 2];
/// Width of a letter and height of a line, degrees.
const LETTER_DEG: f64 = 0.4;
const LINE_DEG: f64 = 1.2;
/// Noise of a sample, degrees.
const NOISE_DEG: f64 = 0.1;
/// Blinks a minute and how long the eye is lost, seconds.
const BLINKS_PER_MIN: f64 = 12.0;
const BLINK_S: f64 = 0.18;

fn gauss(random: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(random)
}

/// How slowly a person reads, relative to the median one.
pub(crate) fn pace(random: &mut ChaCha8Rng) -> f64 {
    (0.15 * gauss(random)).exp().clamp(0.7, 1.5)
}

#[derive(Debug, Clone, Copy)]
struct Stop {
    at: Point,
    drawn: Drawn,
    /// When the eye lands, seconds after the tiles appeared.
    lands_s: f64,
    /// How long the saccade to it took, seconds.
    flight_s: f64,
}

/// A scan path over a fork.
pub(crate) struct Path {
    stops: Vec<Stop>,
    pub(crate) wanted: Option<usize>,
    /// When all has been read.
    pub(crate) read_s: f64,
    /// When the eyes have come to what is wanted, to stay.
    pub(crate) settled_s: Option<f64>,
}

struct Plan<'a> {
    stops: Vec<Stop>,
    t_s: f64,
    pace: f64,
    pool: &'a Pool,
}

impl Plan<'_> {
    fn go(&mut self, at: Point, purpose: Purpose, random: &mut ChaCha8Rng) {
        let from = self.stops.last().map_or([0.0; 2], |stop| stop.at);
        let amplitude = (at[0] - from[0]).hypot(at[1] - from[1]);
        // Durations of saccades: Baloh et al. 1975.
        let flight_s = 0.0027 * amplitude + 0.02;
        let drawn = self.pool.draw(purpose, self.pace, random);
        let lands_s = self.t_s + flight_s;
        self.t_s = lands_s + drawn.for_s;
        self.stops.push(Stop {
            at,
            drawn,
            lands_s,
            flight_s,
        });
    }

    /// Reads a tile word by word, or its first part.
    fn read(&mut self, tile: &OptionTile, part: f64, random: &mut ChaCha8Rng) {
        let places = words_of(tile);
        let count = (part * places.len() as f64).ceil() as usize;
        for (letters, at) in places.into_iter().take(count) {
            if letters <= 3 && random.random::<f64>() < 0.4 {
                continue;
            }
            let at = [at[0] + 0.25 * gauss(random), at[1] + 0.15 * gauss(random)];
            self.go(at, Purpose::Read, random);
            // A refixation of a long word, or a step back.
            if random.random::<f64>() < if letters >= 9 { 0.3 } else { 0.08 } {
                self.go([at[0] + 1.2 * gauss(random), at[1]], Purpose::Read, random);
            }
        }
    }
}

/// The words of a tile in centred lines: letters, and where the eye lands.
fn words_of(tile: &OptionTile) -> Vec<(usize, Point)> {
    let room = 0.9 * tile.w_deg;
    let mut lines: Vec<(f64, Vec<usize>)> = Vec::new();
    for word in tile.text.split_whitespace() {
        let letters = word.chars().count();
        let wide = letters as f64 * LETTER_DEG;
        match lines.last_mut() {
            Some((used, line)) if *used + LETTER_DEG + wide <= room => {
                *used += LETTER_DEG + wide;
                line.push(letters);
            }
            _ => lines.push((wide, vec![letters])),
        }
    }
    let top = tile.y_deg - 0.5 * LINE_DEG * (lines.len() as f64 - 1.0);
    let mut places = Vec::new();
    for (row, (used, line)) in lines.iter().enumerate() {
        let mut left = tile.x_deg - 0.5 * used;
        for &letters in line {
            let wide = letters as f64 * LETTER_DEG;
            places.push((letters, [left + 0.4 * wide, top + LINE_DEG * row as f64]));
            left += wide + LETTER_DEG;
        }
    }
    places
}

impl Path {
    pub(crate) fn plan(
        tiles: &[OptionTile],
        wanted: Option<usize>,
        length_s: f64,
        (pace, stray_deg): (f64, f64),
        pool: &Pool,
        random: &mut ChaCha8Rng,
    ) -> Self {
        let mut plan = Plan {
            stops: Vec::new(),
            t_s: 0.2,
            pace,
            pool,
        };
        let branches: Vec<&OptionTile> = tiles
            .iter()
            .filter(|tile| tile.kind == OptionKind::Branch)
            .collect();
        let again = |odds: f64, random: &mut ChaCha8Rng| random.random::<f64>() < odds;
        let passes = if wanted.is_none() && again(0.5, random) {
            2
        } else {
            1
        };
        for _ in 0..passes {
            for (n, tile) in branches.iter().enumerate() {
                plan.read(tile, 1.0, random);
                if n > 0 && again(0.2, random) {
                    plan.read(branches[random.random_range(0..n)], 0.5, random);
                }
            }
            for tile in tiles.iter().skip(branches.len()) {
                if again(0.15, random) {
                    plan.read(tile, 1.0, random);
                }
            }
        }
        let read_s = plan.t_s;
        let mut settled_s = None;
        if let Some(tile) = wanted.and_then(|wanted| tiles.get(wanted)) {
            // Comparing: parts of two branches once more, with some odds.
            if again(0.5, random) {
                for _ in 0..2 {
                    let part = random.random_range(0.3..1.0);
                    plan.read(
                        branches[random.random_range(0..branches.len())],
                        part,
                        random,
                    );
                }
            }
            // People look at a word of the tile, near its middle.
            let spread = [0.12 * tile.w_deg, 0.12 * tile.h_deg];
            let spot = [
                tile.x_deg + spread[0] * gauss(random),
                tile.y_deg + spread[1] * gauss(random),
            ];
            while plan.t_s < length_s {
                let at = spot.map(|v| v + stray_deg * gauss(random));
                plan.go(at, Purpose::Stay, random);
                settled_s = settled_s.or(plan.stops.last().map(|stop| stop.lands_s));
            }
        }
        // Half of them look away, at the text above and beyond.
        let away = again(0.5, random);
        while plan.t_s < length_s {
            // Nothing is meant: about a tile or anywhere. Fixations of 0.33 s on average and steps of 4 to 5 degrees, as when pictures
            // are looked at (Henderson 2003, Trends Cogn. Sci. 7:498).
            let home = if away {
                [8.0 * gauss(random), -10.0]
            } else if again(0.5, random) {
                let tile = &tiles[random.random_range(0..tiles.len())];
                [tile.x_deg, tile.y_deg]
            } else {
                [12.0 * gauss(random), 8.0 * gauss(random)]
            };
            for _ in 0..random.random_range(1..=3) {
                let scatter = if away { [2.5, 0.5] } else { [2.5, 2.5] };
                let at = std::array::from_fn(|k| home[k] + scatter[k] * gauss(random));
                plan.go(at, Purpose::Idle, random);
            }
        }
        Self {
            stops: plan.stops,
            wanted,
            read_s,
            settled_s,
        }
    }

    pub(crate) fn samples<'a>(&'a self, rate_hz: f64, pool: &'a Pool) -> Samples<'a> {
        Samples {
            path: self,
            pool,
            step_s: 1.0 / rate_hz,
            sample: 0,
            stop: 0,
            blink_until_s: f64::NEG_INFINITY,
        }
    }
}

/// The eye sample by sample; `None` while it is shut.
pub(crate) struct Samples<'a> {
    path: &'a Path,
    pool: &'a Pool,
    step_s: f64,
    sample: u64,
    stop: usize,
    blink_until_s: f64,
}

impl Samples<'_> {
    pub(crate) fn next_sample(&mut self, random: &mut ChaCha8Rng) -> Option<(f64, Option<Point>)> {
        let t_s = self.sample as f64 * self.step_s;
        self.sample += 1;
        let stops = &self.path.stops;
        while stops
            .get(self.stop + 1)
            .is_some_and(|next| t_s >= next.lands_s - next.flight_s)
        {
            self.stop += 1;
        }
        let now = stops.get(self.stop)?;
        if t_s > now.lands_s + now.drawn.for_s {
            return None;
        }
        if random.random::<f64>() < BLINKS_PER_MIN / 60.0 * self.step_s {
            self.blink_until_s = t_s + BLINK_S;
        }
        if t_s < self.blink_until_s {
            return Some((t_s, None));
        }
        let from = self
            .stop
            .checked_sub(1)
            .and_then(|before| stops.get(before));
        let from = from.map_or([0.0; 2], |stop| stop.at);
        let u = ((t_s - (now.lands_s - now.flight_s)) / now.flight_s).clamp(0.0, 1.0);
        // Minimum jerk.
        let moved = u * u * u * (10.0 - 15.0 * u + 6.0 * u * u);
        let about = if u < 1.0 {
            [0.0; 2]
        } else {
            self.pool.offset(now.drawn, t_s - now.lands_s)
        };
        let at = std::array::from_fn(|k| from[k] + moved * (now.at[k] - from[k]) + about[k]);
        Some((t_s, Some(at)))
    }
}

/// A tracker: an error for all, one for each region, and noise.
pub(crate) struct Tracker {
    offset: Point,
    of_region: [Point; REGIONS],
    half_deg: [f64; 2],
}

impl Tracker {
    /// `sd_deg` is the deviation of the whole constant error per axis; seven tenths of its variance are the same everywhere.
    pub(crate) fn new(sd_deg: f64, half_deg: [f64; 2], random: &mut ChaCha8Rng) -> Self {
        let mut error = |part: f64| std::array::from_fn(|_| part.sqrt() * sd_deg * gauss(random));
        Self {
            offset: error(0.7),
            of_region: std::array::from_fn(|_| error(0.3)),
            half_deg,
        }
    }

    pub(crate) fn see(
        &mut self,
        eye: Option<Point>,
        noisy: bool,
        random: &mut ChaCha8Rng,
    ) -> [f32; 2] {
        let Some(eye) = eye else {
            return [f32::NAN; 2];
        };
        let region = self.of_region[region_of(self.half_deg, eye[0], eye[1])];
        let noise_deg = if noisy { 0.0 } else { NOISE_DEG };
        std::array::from_fn(|k| {
            (eye[k] + self.offset[k] + region[k] + noise_deg * gauss(random)) as f32
        })
    }
}
