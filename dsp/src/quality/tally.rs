//! What the samples of the running second add up to, for all channels side by side.
//!
//! Looked at one channel after the other these sums cost more than the filter. So they lie in tiles of eight channels,
//! one array per sum, counts as whole numbers in f64: the loop has no branches and is compiled for the widest vectors of
//! this machine. Every operation is one that all machines round alike, hence the same bits everywhere.

use pulp::{Arch, Simd, WithSimd};

use super::window::{Bucket, CLIPPED_RUN_MIN, Extreme};

const LANES: usize = 8;
type Lane = [f64; LANES];

/// Sums of eight channels. The names are those of [`Bucket`].
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Tile {
    /// The sample before; NaN before the first.
    previous: Lane,
    /// Samples since the last change of value.
    standing: Lane,
    railed: Lane,
    still: Lane,
    top: Peak,
    bottom: Peak,
    sum: Lane,
    squares: Lane,
    g1: Lane,
    g2: Lane,
}

/// The largest value so far, how long the channel has stood there, and how much of that counts as clipped.
#[derive(Debug, Clone, Copy)]
struct Peak {
    value: Lane,
    run: Lane,
    clipped: Lane,
}

impl Peak {
    const NONE: Self = Self {
        value: [f64::NEG_INFINITY; LANES],
        run: [0.0; LANES],
        clipped: [0.0; LANES],
    };

    #[inline(always)]
    fn add(&mut self, lane: usize, x: f64) {
        const RUN_MIN: f64 = CLIPPED_RUN_MIN as f64;
        let above = x > self.value[lane];
        let below = x < self.value[lane];
        let on = if below { 0.0 } else { self.run[lane] + 1.0 };
        let run = if above { 1.0 } else { on };
        let longer = if run > RUN_MIN { 1.0 } else { 0.0 };
        let more = if run == RUN_MIN { RUN_MIN } else { longer };
        self.clipped[lane] = if above { 0.0 } else { self.clipped[lane] } + more;
        self.run[lane] = run;
        self.value[lane] = if above { x } else { self.value[lane] };
    }

    fn extreme(&self, lane: usize) -> Extreme {
        Extreme {
            value: self.value[lane],
            clipped: self.clipped[lane] as u32,
        }
    }
}

impl Tile {
    const NEW: Self = Self {
        previous: [f64::NAN; LANES],
        standing: [0.0; LANES],
        railed: [0.0; LANES],
        still: [0.0; LANES],
        top: Peak::NONE,
        bottom: Peak::NONE,
        sum: [0.0; LANES],
        squares: [0.0; LANES],
        g1: [0.0; LANES],
        g2: [0.0; LANES],
    };

    /// Begins a bucket: what reaches across goes on.
    fn begin(&mut self) {
        *self = Self {
            previous: self.previous,
            standing: self.standing,
            ..Self::NEW
        };
    }
}

/// The limits that are looked at sample by sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) rail_uv: f64,
    /// Samples without a change that make a stretch.
    pub(super) still_samples: u32,
    pub(super) line_coefficient: f64,
}

/// Running sums of all channels.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    limits: Limits,
    tiles: Vec<Tile>,
    samples: u32,
    arch: Arch,
}

impl Tally {
    pub(super) fn new(limits: Limits, channels: usize) -> Self {
        Self {
            limits,
            tiles: vec![Tile::NEW; channels.div_ceil(LANES)],
            samples: 0,
            arch: Arch::new(),
        }
    }

    pub(super) fn reset(&mut self) {
        self.samples = 0;
        self.tiles.fill(Tile::NEW);
    }

    /// The last sample of a channel, if there was one.
    pub(super) fn previous(&self, channel: usize) -> Option<f64> {
        let tile = self.tiles.get(channel / LANES)?;
        Some(tile.previous[channel % LANES]).filter(|x| !x.is_nan())
    }

    /// Whether a channel has stood still for the length of a stretch.
    pub(super) fn stands_still(&self, channel: usize) -> bool {
        let tile = self.tiles.get(channel / LANES);
        let standing = tile.map_or(0.0, |tile| tile.standing[channel % LANES]);
        standing >= f64::from(self.limits.still_samples)
    }

    /// Widens a sample and says whether there is nothing odd in it: no magnitude above `value_max` or that is no number,
    /// no step of more than `step_max` since the sample before.
    pub(super) fn takes(
        &self,
        sample: &[f32],
        held: &mut [f64],
        value_max: f32,
        step_max: f64,
    ) -> bool {
        self.arch.dispatch(Widening {
            tiles: &self.tiles,
            sample,
            held,
            value_max,
            step_max,
        })
    }

    /// Adds a finite sample, before and after the filters; the largest filtered magnitude in it.
    pub(super) fn add(&mut self, raw: &[f64], filtered: &[f64]) -> f64 {
        let first = self.samples == 0;
        self.samples += 1;
        self.arch.dispatch(Adding {
            limits: self.limits,
            first,
            tiles: &mut self.tiles,
            raw,
            filtered,
        })
    }

    /// What a channel's samples add up to.
    pub(super) fn bucket(&self, channel: usize) -> Bucket {
        let Some(tile) = self.tiles.get(channel / LANES) else {
            return Bucket::default();
        };
        let lane = channel % LANES;
        Bucket {
            n: self.samples,
            railed: tile.railed[lane] as u32,
            still: tile.still[lane] as u32,
            top: tile.top.extreme(lane),
            bottom: tile.bottom.extreme(lane),
            sum: tile.sum[lane],
            squares: tile.squares[lane],
            g1: tile.g1[lane],
            g2: tile.g2[lane],
            line_mean_square: 0.0,
        }
    }

    /// Begins the next buckets.
    pub(super) fn begin(&mut self) {
        self.samples = 0;
        for tile in &mut self.tiles {
            tile.begin();
        }
    }
}

struct Widening<'a> {
    tiles: &'a [Tile],
    sample: &'a [f32],
    held: &'a mut [f64],
    value_max: f32,
    step_max: f64,
}

impl WithSimd for Widening<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> bool {
        let mut odd = 0_usize;
        let rows = self.sample.chunks(LANES).zip(self.held.chunks_mut(LANES));
        for ((xs, out), tile) in rows.zip(self.tiles) {
            for ((x, out), previous) in xs.iter().zip(out).zip(&tile.previous) {
                *out = f64::from(*x);
                // Both also right for NaN: such a value is odd, and there is no step from a sample that never was.
                let fits = x.abs() <= self.value_max;
                let leaps = (*out - previous).abs() > self.step_max;
                odd += usize::from(!fits | leaps);
            }
        }
        odd == 0
    }
}

struct Adding<'a> {
    limits: Limits,
    first: bool,
    tiles: &'a mut [Tile],
    raw: &'a [f64],
    filtered: &'a [f64],
}

impl WithSimd for Adding<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let (raw, raw_rest) = self.raw.as_chunks::<LANES>();
        let (filtered, filtered_rest) = self.filtered.as_chunks::<LANES>();
        let mut largest = [0.0; LANES];
        let whole = self.tiles.iter_mut().zip(raw).zip(filtered);
        for ((tile, x), y) in whole {
            add_tile(tile, x, y, &self.limits, self.first, &mut largest);
        }
        if let Some(tile) = self.tiles.get_mut(raw.len()) {
            let (mut x, mut y) = ([0.0; LANES], [0.0; LANES]);
            for (to, from) in x.iter_mut().zip(raw_rest) {
                *to = *from;
            }
            for (to, from) in y.iter_mut().zip(filtered_rest) {
                *to = *from;
            }
            add_tile(tile, &x, &y, &self.limits, self.first, &mut largest);
        }
        largest.into_iter().fold(0.0, f64::max)
    }
}

/// One sample of eight channels. Lanes are below [`LANES`], the length of every array here.
#[inline(always)]
fn add_tile(
    tile: &mut Tile,
    raw: &Lane,
    filtered: &Lane,
    limits: &Limits,
    first: bool,
    largest: &mut Lane,
) {
    let stretch = f64::from(limits.still_samples);
    for lane in 0..LANES {
        let (x, y, before) = (raw[lane], filtered[lane], tile.previous[lane]);
        let longer = tile.standing[lane] + 1.0;
        let standing = if x == before { longer } else { 1.0 };
        let one_more = if standing > stretch { 1.0 } else { 0.0 };
        tile.still[lane] += if standing == stretch {
            stretch
        } else {
            one_more
        };
        tile.standing[lane] = standing;
        tile.railed[lane] += if x.abs() >= limits.rail_uv { 1.0 } else { 0.0 };
        tile.top.add(lane, x);
        tile.bottom.add(lane, -x);
        tile.sum[lane] += y;
        tile.squares[lane] += y * y;
        // What went before the bucket is none of its business. Goertzel on the first difference, which has neither DC nor
        // drift to leak into the line's bin.
        let step = if first { 0.0 } else { x - before };
        let g = step + limits.line_coefficient * tile.g1[lane] - tile.g2[lane];
        tile.g2[lane] = tile.g1[lane];
        tile.g1[lane] = g;
        tile.previous[lane] = x;
        let magnitude = y.abs();
        largest[lane] = if magnitude > largest[lane] {
            magnitude
        } else {
            largest[lane]
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_any_width_give_the_bits_of_none() {
        let limits = Limits {
            rail_uv: 900.0,
            still_samples: 8,
            line_coefficient: 0.618,
        };
        for channels in [1, 7, 8, 37] {
            let mut wide = Tally::new(limits, channels);
            let mut narrow = wide.clone();
            narrow.arch = Arch::Scalar;
            for at in 0..400 {
                let raw: Vec<f64> = (0..channels)
                    .map(|c| (1e3 * ((at / 12 + c) as f64 * 0.71).sin()).clamp(-700.0, 950.0))
                    .collect();
                let filtered: Vec<f64> = raw.iter().map(|x| 0.1 * x).collect();
                let largest = wide.add(&raw, &filtered);
                assert_eq!(largest.to_bits(), narrow.add(&raw, &filtered).to_bits());
            }
            for channel in 0..channels {
                let bucket = wide.bucket(channel);
                assert_eq!(bucket, narrow.bucket(channel));
                assert!(bucket.still > 0, "the signal stands still now and then");
            }
        }
    }

    /// Lengths of the stretches of equal values, with their value.
    fn stretches(series: &[f64]) -> impl Iterator<Item = (f64, usize)> + '_ {
        let equal = series.chunk_by(|a, b| a == b);
        equal.map(|part| (part[0], part.len()))
    }

    #[test]
    fn sums_are_those_of_the_whole_series() {
        let limits = Limits {
            rail_uv: 3.0,
            still_samples: 5,
            line_coefficient: 0.0,
        };
        // A coarse walk that often stands, by a linear congruential generator.
        let mut state = 7_u64;
        let mut walk = || {
            let mut at = 0.0_f64;
            let mut series = Vec::new();
            while series.len() < 600 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                at = (at + ((state >> 40) % 3) as f64 - 1.0).clamp(-4.0, 4.0);
                let length = 1 + (state >> 50) as usize % 9;
                series.extend(std::iter::repeat_n(at, length));
            }
            series.truncate(600);
            series
        };
        let series: Vec<Vec<f64>> = (0..11).map(|_| walk()).collect();
        let mut tally = Tally::new(limits, series.len());
        for at in 0..600 {
            let raw: Vec<f64> = series.iter().map(|s| s[at]).collect();
            tally.add(&raw, &raw);
        }
        for (channel, series) in series.iter().enumerate() {
            let bucket = tally.bucket(channel);
            let top = series.iter().copied().fold(f64::MIN, f64::max);
            let bottom = series.iter().copied().fold(f64::MAX, f64::min);
            let total = |wanted: &dyn Fn(f64, usize) -> bool| {
                let parts = stretches(series).filter(|(value, n)| wanted(*value, *n));
                parts.map(|(_, n)| n as u32).sum::<u32>()
            };
            assert_eq!((bucket.top.value, bucket.bottom.value), (top, -bottom));
            assert_eq!(bucket.top.clipped, total(&|v, n| v == top && n >= 3));
            assert_eq!(bucket.bottom.clipped, total(&|v, n| v == bottom && n >= 3));
            assert_eq!(bucket.still, total(&|_, n| n >= 5));
            assert_eq!(bucket.railed, total(&|v, _| v.abs() >= 3.0));
            assert_eq!(bucket.squares, series.iter().map(|x| x * x).sum::<f64>());
        }
    }
}
