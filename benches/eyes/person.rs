//! Where the eyes go at a fork, and what a tracker makes of it.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use razvilka::marker::{OptionKind, OptionTile};
use razvilka_dsp::gaze_evidence::{DwellModel, REGIONS, Tile, region_of};

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
/// Most fixations about one place before the eyes go elsewhere.
const LOOKS: usize = 6;
const NO_TEXT: Tile = Tile {
    x_deg: 0.0,
    y_deg: -10.0,
    w_deg: 36.0,
    h_deg: 5.0,
    words: 0,
};

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

/// What a person does at a fork.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Deed {
    /// Reads, and then chooses this option.
    Choose(usize),
    /// Reads, reads again, and looks at the text above.
    Read,
    /// Reads, and then looks about the screen and its tiles.
    LookAbout,
}

/// A scan path over a fork.
pub(crate) struct Path {
    stops: Vec<Stop>,
    pub(crate) deed: Deed,
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
    purpose: Purpose,
}

impl Plan<'_> {
    fn go(&mut self, at: Point, purpose: Purpose, random: &mut ChaCha8Rng) {
        let drawn = self.draw(purpose, random);
        self.stop(at, drawn);
    }

    /// The next fixation; one for another purpose begins another sequence.
    fn draw(&mut self, purpose: Purpose, random: &mut ChaCha8Rng) -> Drawn {
        let before = self.stops.last().map(|stop| stop.drawn);
        let after = before.filter(|_| self.purpose == purpose);
        self.purpose = purpose;
        self.pool.draw(purpose, after, self.pace, random)
    }

    fn stop(&mut self, at: Point, drawn: Drawn) {
        let from = self.stops.last().map_or([0.0; 2], |stop| stop.at);
        let amplitude = (at[0] - from[0]).hypot(at[1] - from[1]);
        // Durations of saccades: Baloh et al. 1975.
        let flight_s = 0.0027 * amplitude + 0.02;
        let lands_s = self.t_s + flight_s;
        self.t_s = lands_s + drawn.for_s;
        self.stops.push(Stop {
            at,
            drawn,
            lands_s,
            flight_s,
        });
    }

    /// Looks at a place and about it: steps as they were recorded, or 4 to 5 degrees as when pictures are looked at (Henderson 2003, Trends
    /// Cogn. Sci. 7:498).
    fn look_about(&mut self, home: Point, half_deg: Point, random: &mut ChaCha8Rng) {
        let mut from = None;
        for _ in 0..random.random_range(1..=LOOKS) {
            let drawn = self.draw(Purpose::Idle, random);
            let middle = self.pool.middle(drawn);
            let first = *from.get_or_insert(middle);
            let at: Point = match (middle, first) {
                (Some(middle), Some(first)) => {
                    std::array::from_fn(|k| home[k] + middle[k] - first[k])
                }
                _ => std::array::from_fn(|k| home[k] + 2.5 * gauss(random)),
            };
            // Within the screen, as recorded eyes were within theirs.
            let within = std::array::from_fn(|k| at[k].clamp(-half_deg[k], half_deg[k]));
            self.stop(within, drawn);
        }
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

/// One of the last lines of the text that stands above the tiles.
fn text_above(area: Tile, random: &mut ChaCha8Rng) -> OptionTile {
    let below = area.y_deg + 0.5 * area.h_deg;
    OptionTile {
        item: -1,
        kind: OptionKind::Item,
        text: "and so the story went on from there".into(),
        x_deg: 0.0,
        y_deg: below - (0.5 + f64::from(random.random_range(0..3))) * LINE_DEG,
        w_deg: 36.0,
        h_deg: LINE_DEG,
    }
}

impl Path {
    /// What the eyes do for `length_s` on the screen of `model`; `pace` and how far they stray are the person's.
    pub(crate) fn plan(
        tiles: &[OptionTile],
        deed: Deed,
        (length_s, model): (f64, &DwellModel),
        (pace, stray_deg): (f64, f64),
        pool: &Pool,
        random: &mut ChaCha8Rng,
    ) -> Self {
        let mut plan = Plan {
            stops: Vec::new(),
            t_s: 0.2,
            pace,
            pool,
            purpose: Purpose::Idle,
        };
        let text = model.text.unwrap_or(NO_TEXT);
        let branches = tiles.iter().filter(|t| t.kind == OptionKind::Branch);
        let branches: Vec<&OptionTile> = branches.collect();
        let again = |odds: f64, random: &mut ChaCha8Rng| random.random::<f64>() < odds;
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
        let read_s = plan.t_s;
        let mut settled_s = None;
        match deed {
            Deed::Choose(wanted) => {
                // Comparing: parts of two branches once more, with some odds.
                if again(0.5, random) {
                    for _ in 0..2 {
                        let part = random.random_range(0.3..1.0);
                        let tile = branches[random.random_range(0..branches.len())];
                        plan.read(tile, part, random);
                    }
                }
                // People look at a word of the tile, near its middle.
                let tile = &tiles[wanted];
                let spot = [
                    tile.x_deg + 0.12 * tile.w_deg * gauss(random),
                    tile.y_deg + 0.12 * tile.h_deg * gauss(random),
                ];
                while plan.t_s < length_s {
                    let at = spot.map(|v| v + stray_deg * gauss(random));
                    plan.go(at, Purpose::Stay, random);
                    settled_s = settled_s.or(plan.stops.last().map(|stop| stop.lands_s));
                }
            }
            Deed::Read => {
                while plan.t_s < length_s {
                    if again(0.5, random) {
                        let part = random.random_range(0.3..1.0);
                        plan.read(&tiles[random.random_range(0..tiles.len())], part, random);
                    } else {
                        plan.read(&text_above(text, random), 1.0, random);
                    }
                }
            }
            Deed::LookAbout => {
                while plan.t_s < length_s {
                    let home = if again(0.5, random) {
                        let tile = &tiles[random.random_range(0..tiles.len())];
                        [tile.x_deg, tile.y_deg]
                    } else {
                        [12.0 * gauss(random), 8.0 * gauss(random)]
                    };
                    plan.look_about(home, model.half_deg, random);
                }
            }
        }
        Self {
            stops: plan.stops,
            deed,
            read_s,
            settled_s,
        }
    }

    pub(crate) fn wanted(&self) -> Option<usize> {
        match self.deed {
            Deed::Choose(wanted) => Some(wanted),
            Deed::Read | Deed::LookAbout => None,
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

/// How good a tracker is, apart from its accuracy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quality {
    pub(crate) name: &'static str,
    pub(crate) rate_hz: f64,
    /// Noise on top, degrees RMS from sample to sample.
    pub(crate) noise_deg: f64,
    /// Share of samples lost one by one.
    pub(crate) lost: f64,
    /// Losses of 100 ms a second.
    pub(crate) losses_per_s: f64,
}

impl Quality {
    pub(crate) const USUAL: Self = Self {
        name: "usual",
        rate_hz: 500.0,
        noise_deg: 0.0,
        lost: 0.0,
        losses_per_s: 0.0,
    };
    /// The ways in which the detector is judged too (`train_gaze`).
    pub(crate) const WORSE: [Self; 7] = [
        Self::USUAL.noisy("0.3 deg RMS of noise", 0.3),
        Self::USUAL.noisy("1 deg RMS of noise", 1.0),
        Self::USUAL.slow("120 Hz", 120.0),
        Self::USUAL.slow("60 Hz", 60.0),
        Self::USUAL
            .slow("60 Hz, 0.3 deg", 60.0)
            .noisy("60 Hz, 0.3 deg", 0.3),
        Self {
            name: "5 % of samples lost one by one",
            lost: 0.05,
            ..Self::USUAL
        },
        Self {
            name: "losses of 100 ms, 0.3 a second",
            losses_per_s: 0.3,
            ..Self::USUAL
        },
    ];

    const fn noisy(self, name: &'static str, noise_deg: f64) -> Self {
        Self {
            name,
            noise_deg,
            ..self
        }
    }

    const fn slow(self, name: &'static str, rate_hz: f64) -> Self {
        Self {
            name,
            rate_hz,
            ..self
        }
    }
}

/// A tracker: an error for all, one for each region, and noise.
pub(crate) struct Tracker {
    quality: Quality,
    /// Samples of a loss that are still to come.
    gone: u64,
    offset: Point,
    of_region: [Point; REGIONS],
    half_deg: [f64; 2],
}

impl Tracker {
    /// `sd_deg` is the deviation of the whole constant error per axis; seven tenths of its variance are the same everywhere.
    pub(crate) fn new(
        quality: Quality,
        sd_deg: f64,
        half_deg: [f64; 2],
        random: &mut ChaCha8Rng,
    ) -> Self {
        let mut error = |part: f64| std::array::from_fn(|_| part.sqrt() * sd_deg * gauss(random));
        Self {
            quality,
            gone: 0,
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
        let lost = self.loses(random);
        let Some(eye) = eye.filter(|_| !lost) else {
            return [f32::NAN; 2];
        };
        let region = self.of_region[region_of(self.half_deg, eye[0], eye[1])];
        // From sample to sample white noise of two axes differs by twice its deviation per axis.
        let own_deg = if noisy { 0.0 } else { NOISE_DEG };
        let noise_deg = own_deg.hypot(0.5 * self.quality.noise_deg);
        std::array::from_fn(|k| {
            (eye[k] + self.offset[k] + region[k] + noise_deg * gauss(random)) as f32
        })
    }

    /// Whether the next sample is lost. Draws nothing for a tracker that loses none.
    fn loses(&mut self, random: &mut ChaCha8Rng) -> bool {
        let mut happens = |odds: f64| odds > 0.0 && random.random::<f64>() < odds;
        if self.gone > 0 {
            self.gone -= 1;
            return true;
        }
        if happens(self.quality.losses_per_s / self.quality.rate_hz) {
            self.gone = (0.1 * self.quality.rate_hz) as u64;
            return true;
        }
        happens(self.quality.lost)
    }
}
