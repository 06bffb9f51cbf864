//! What the trained detector knows of a sample: speed, direction, spread and path on many scales, and how noisy the tracker is.
//!
//! All windows are milliseconds and all directions relative to the movement itself, so that the numbers mean the same at any rate and
//! on any part of the screen.

use std::f32::consts::SQRT_2;

use super::history::{Cursor, History, Point};

/// Number of features.
pub const FEATURES: usize = 86;

/// One sample's features.
pub type Features = [f32; FEATURES];

const MS: f64 = 1e-3;
/// Grid on which fine velocities are measured, ms from the sample.
const GRID_STEP_MS: f64 = 2.5;
const GRID_BEFORE: usize = 10;
const GRID_AFTER: usize = 4;
const GRID: usize = GRID_BEFORE + GRID_AFTER + 1;
/// Windows before the sample, ms.
const WINDOWS_MS: [f64; 6] = [20.0, 40.0, 80.0, 160.0, 320.0, 640.0];
/// Halves of those windows, the further ones; the others are windows themselves.
const HALVES_MS: f64 = 10.0;
/// The longest window, and the margin for the look-ahead.
pub(super) const HISTORY_S: f64 = 0.70;
/// Speed at which compression sets in, deg/s.
const SLOW_DEG_S: f64 = 10.0;
/// How fast the memory of the last fast movement fades.
const PEAK_FADE_S: f64 = 0.060;
/// Time constant of the noise, seconds.
const NOISE_S: f64 = 2.0;
/// Time constant of what is usual just now, seconds.
const LOCAL_S: f64 = 0.25;
/// Added to what is measured by the usual before its logarithm is taken.
const ROUGH_FLOOR: f64 = 0.3;

/// What is known of the time around a sample besides the path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// The sample's stamp, seconds.
    pub(super) t_s: f64,
    /// Stamp of the newest sample, valid or not.
    pub(super) now_s: f64,
    /// Whether the sample has a position.
    pub(super) valid: bool,
    /// Time since the last valid sample at or before it, seconds.
    pub(super) since_valid_s: f64,
    /// Time to the next valid sample at or after it, as far as it is known.
    pub(super) until_valid_s: f64,
    /// Time since the last gap that was not bridged ended, seconds.
    pub(super) since_gap_s: f64,
    /// Running share of samples without a position.
    pub(super) lost_share: f64,
    /// Running median of the sampling interval, seconds.
    pub(super) period_s: f64,
}

/// Measures features; keeps what must be remembered from sample to sample.
#[derive(Debug, Clone)]
pub(super) struct Measure {
    grid: [Cursor; GRID],
    windows: [Cursor; WINDOWS_MS.len()],
    half: Cursor,
    here: Cursor,
    end: Cursor,
    noise: [NoiseLevel; 3],
    rough: Roughness,
    peak: Peak,
}

/// Logarithm of the running median speed, by equal steps up and down.
#[derive(Debug, Clone, Copy)]
struct NoiseLevel {
    ln: f32,
    age_s: f64,
}

impl NoiseLevel {
    fn new() -> Self {
        Self {
            ln: 1.8,
            age_s: 0.02,
        }
    }

    /// Follows what a `share` of speeds does not exceed.
    fn follow(&mut self, speed: f64, dt_s: f64, share: f32, within_s: f64) {
        self.age_s = (self.age_s + dt_s).min(within_s);
        let step = 2.0 * (dt_s / self.age_s).min(0.2) as f32;
        self.ln += if ln(speed as f32 + 0.1) > self.ln {
            step * share
        } else {
            -step * (1.0 - share)
        };
    }

    fn learn(&mut self, speed: f64, dt_s: f64) {
        // Speeds spread over about one unit of the logarithm; at first larger steps find the level sooner.
        self.age_s = (self.age_s + dt_s).min(NOISE_S);
        let step = (dt_s / self.age_s).min(0.2) as f32;
        self.ln += if ln(speed as f32 + 0.1) > self.ln {
            step
        } else {
            -step
        };
    }
}

/// How rough the path usually is, by axis and by how often: what a movement is measured against (Engbert & Kliegl 2003).
#[derive(Debug, Clone, Copy)]
struct Roughness {
    /// Usual speed of each axis.
    axes: [NoiseLevel; 2],
    /// Usual change of velocity within 5 ms, of each axis.
    turns: [NoiseLevel; 2],
    /// Exceeded by one sample in ten: speed and change of velocity.
    high: [NoiseLevel; 2],
    /// Usual just now: speed and change of velocity.
    local: [NoiseLevel; 2],
}

impl Roughness {
    fn new() -> Self {
        Self {
            axes: [NoiseLevel::new(); 2],
            turns: [NoiseLevel::new(); 2],
            high: [NoiseLevel::new(); 2],
            local: [NoiseLevel::new(); 2],
        }
    }

    fn describe(
        &mut self,
        steps: &Steps,
        wide: [f64; 2],
        valid: bool,
        dt_s: f64,
        row: &mut Row<'_>,
    ) {
        let c = GRID_BEFORE;
        let (speed, turn) = (steps.broad[c], steps.turn(c));
        let usual = self.axes.map(|n| f64::from((-n.ln).exp()));
        let usual_turn = self.turns.map(|n| f64::from((-n.ln).exp()));
        row.ln(relative(steps.narrow[c], usual).sqrt(), ROUGH_FLOOR);
        row.ln(relative(speed, usual).sqrt(), ROUGH_FLOOR);
        row.ln(relative(wide, usual).sqrt(), ROUGH_FLOOR);
        row.ln(relative(turn, usual_turn).sqrt(), ROUGH_FLOOR);
        // The fastest long before, about, and after the sample; the sharpest turns before and about it.
        for (from, to) in [(2, c - 2), (c - 1, c + 2), (c + 1, c + 3)] {
            let part = steps.broad.iter().take(to).skip(from);
            let most = part.fold(0.0, |most, v| relative(*v, usual).max(most));
            row.ln(most.sqrt(), ROUGH_FLOOR);
        }
        for (from, to) in [(c - 6, c - 1), (c - 1, c + 3)] {
            let most = (from..to).fold(0.0, |most: f64, k| {
                most.max(relative(steps.turn(k), usual_turn))
            });
            row.ln(most.sqrt(), ROUGH_FLOOR);
        }
        row.push(f64::from(self.turns[0].ln.max(self.turns[1].ln)));
        row.push(f64::from((self.axes[0].ln - self.axes[1].ln).abs()));
        for level in self.high.iter().chain(&self.local) {
            row.push(f64::from(level.ln));
        }
        if valid {
            for (level, v) in self.axes.iter_mut().zip(speed) {
                level.learn(v.abs(), dt_s);
            }
            for (level, v) in self.turns.iter_mut().zip(turn) {
                level.learn(v.abs(), dt_s);
            }
            let sizes = [length(speed), length(turn)];
            for ((high, local), size) in self.high.iter_mut().zip(&mut self.local).zip(sizes) {
                high.follow(size, dt_s, 0.9, NOISE_S);
                local.follow(size, dt_s, 0.5, LOCAL_S);
            }
        }
    }
}

/// Square of a vector's length when each axis is measured by what is usual of it: `per` is one over the usual.
fn relative(v: [f64; 2], per: [f64; 2]) -> f64 {
    let (x, y) = (v[0] * per[0], v[1] * per[1]);
    x * x + y * y
}

/// Velocities on the grid, over 2.5 ms (`narrow`) and 5 ms (`broad`) to either side.
struct Steps {
    narrow: [[f64; 2]; GRID],
    broad: [[f64; 2]; GRID],
}

impl Steps {
    fn new(grid: &[Point; GRID]) -> Self {
        Self {
            narrow: Self::over(grid, 1, 3),
            broad: Self::over(grid, 2, 2),
        }
    }

    /// Past the newest sample, where nothing is known, the velocity stays what it was.
    fn over(grid: &[Point; GRID], reach: usize, from: usize) -> [[f64; 2]; GRID] {
        let mut made = [[0.0; 2]; GRID];
        let mut last = [0.0; 2];
        for (k, v) in made.iter_mut().enumerate().take(GRID - reach).skip(from) {
            let points = (grid.get(k - reach), grid.get(k), grid.get(k + reach));
            if let (Some(a), Some(b), Some(d)) = points
                && d.t_s - b.t_s > 0.4 * GRID_STEP_MS * MS
            {
                last = velocity(a, b, d);
            }
            *v = last;
        }
        made
    }

    /// Change of velocity across a place of the grid; `k` is inside it.
    fn turn(&self, k: usize) -> [f64; 2] {
        match (self.narrow.get(k - 1), self.narrow.get(k + 1)) {
            (Some(a), Some(b)) => [b[0] - a[0], b[1] - a[1]],
            _ => [0.0; 2],
        }
    }
}

/// The last fast movement.
#[derive(Debug, Clone, Copy, Default)]
struct Peak {
    speed: f64,
    direction: [f64; 2],
    t_s: f64,
    faded: f64,
    at: [f64; 2],
}

impl Measure {
    pub(super) fn new() -> Self {
        Self {
            grid: Default::default(),
            windows: Default::default(),
            half: Cursor::default(),
            here: Cursor::default(),
            end: Cursor::default(),
            noise: [NoiseLevel::new(); 3],
            rough: Roughness::new(),
            peak: Peak::default(),
        }
    }

    /// The path begins anew; the tracker is the same.
    pub(super) fn forget_path(&mut self) {
        *self = Self {
            noise: self.noise,
            rough: self.rough,
            ..Self::new()
        };
    }

    /// Features of the sample at `moment`, and the speed within 5 ms about it, deg/s. Moments come in order of time.
    pub(super) fn features(
        &mut self,
        moment: &Moment,
        history: &History,
        dt_s: f64,
        out: &mut Features,
    ) -> f64 {
        let mut row = Row { out, len: 0 };
        let newest_s = history.newest_s().unwrap_or(moment.t_s);
        let c = moment.t_s.min(newest_s);
        let here = history.at(c, &mut self.here);
        let end = history.at(newest_s, &mut self.end);
        let grid = self.grid_points(c, newest_s, history);
        let windows = self.window_points(c, history);
        let half = history.at(c - HALVES_MS * MS, &mut self.half);

        let wide = velocity(&half, &here, &end);
        let u = unit(wide);
        let steps = Steps::new(&grid);
        Self::fine(&steps, u, &mut row);
        let wide_speed = length(wide);
        row.speed(wide_speed);
        row.push(u[1] * u[1]);
        Self::coarse(&windows, &half, &here, &end, u, &mut row);
        let v = velocity(
            &grid[GRID_BEFORE - 2],
            &grid[GRID_BEFORE],
            &grid[GRID_BEFORE + 2],
        );
        self.remember(v, dt_s, moment.t_s, [here.x, here.y], &mut row);

        let speeds = [
            length(velocity(
                &grid[GRID_BEFORE - 1],
                &grid[GRID_BEFORE],
                &grid[GRID_BEFORE + 1],
            )),
            length(v),
            wide_speed,
        ];
        for (noise, speed) in self.noise.iter_mut().zip(speeds) {
            row.push(f64::from(noise.ln));
            if moment.valid {
                noise.learn(speed, dt_s);
            }
        }
        self.rough
            .describe(&steps, wide, moment.valid, dt_s, &mut row);
        row.push((moment.now_s - moment.t_s).clamp(0.0, 0.020) / (10.0 * MS));
        row.push(f64::from(u8::from(moment.valid)));
        row.push(moment.since_valid_s.min(0.075) / (20.0 * MS));
        row.push(moment.until_valid_s.min(0.020) / (10.0 * MS));
        row.ln(moment.since_gap_s.clamp(0.0, 1.0), 0.010);
        row.push(moment.lost_share.sqrt());
        row.ln(moment.period_s.clamp(2e-4, 0.05), 0.0);
        debug_assert_eq!(row.len, FEATURES);
        speeds[1]
    }

    fn grid_points(&mut self, c: f64, newest_s: f64, history: &History) -> [Point; GRID] {
        let mut grid = [Point::default(); GRID];
        for (k, (point, cursor)) in grid.iter_mut().zip(&mut self.grid).enumerate() {
            let t = c + (k as f64 - GRID_BEFORE as f64) * GRID_STEP_MS * MS;
            // Past the newest sample nothing is known: the window ends there.
            *point = history.at(t.min(newest_s), cursor);
        }
        grid
    }

    fn window_points(&mut self, c: f64, history: &History) -> [Point; WINDOWS_MS.len()] {
        let mut points = [Point::default(); WINDOWS_MS.len()];
        for ((point, cursor), ms) in points.iter_mut().zip(&mut self.windows).zip(WINDOWS_MS) {
            *point = history.at(c - ms * MS, cursor);
        }
        points
    }

    /// Velocities within 25 ms before and 10 ms after the sample, along its movement and across.
    fn fine(steps: &Steps, u: [f64; 2], row: &mut Row<'_>) {
        for v in steps.broad.iter().take(GRID - 2).skip(2) {
            row.signed(v[0] * u[0] + v[1] * u[1]);
            row.signed(v[1] * u[0] - v[0] * u[1]);
        }
        for v in steps.narrow.iter().take(GRID - 1).skip(GRID_BEFORE - 3) {
            row.signed(v[0] * u[0] + v[1] * u[1]);
        }
    }

    /// Speed, distance, spread and path over windows before the sample, and what follows it.
    fn coarse(
        windows: &[Point; WINDOWS_MS.len()],
        half: &Point,
        here: &Point,
        end: &Point,
        u: [f64; 2],
        row: &mut Row<'_>,
    ) {
        let mut middle = half;
        for (k, from) in windows.iter().enumerate() {
            let v = velocity(from, middle, here);
            row.speed(length(v));
            if k < 3 {
                row.signed(v[0] * u[0] + v[1] * u[1]);
            }
            row.ln(here.spread_since(from), 0.01);
            if k < 4 {
                let [mx, my] = middle.mean_since(from);
                let [ex, ey] = end.mean_since(here);
                row.ln(length([ex - mx, ey - my]), 0.01);
            }
            middle = from;
        }
        row.ln(end.spread_since(half), 0.01);
        row.ln(end.spread_since(here), 0.01);
        row.ln(end.path_since(here), 0.01);
        for from in [&windows[1], &windows[3]] {
            let net = length([here.x - from.x, here.y - from.y]);
            row.push((net + 0.01) / (here.path_since(from) + 0.01));
        }
    }

    /// The last fast movement: how fast, how long ago, and the present movement and place relative to it.
    fn remember(&mut self, v: [f64; 2], dt_s: f64, t_s: f64, at: [f64; 2], row: &mut Row<'_>) {
        let speed = length(v);
        self.peak.faded *= (-dt_s / PEAK_FADE_S).exp();
        if speed > self.peak.faded {
            self.peak = Peak {
                speed,
                direction: unit(v),
                t_s,
                faded: speed,
                at,
            };
        }
        let Peak {
            speed: peak,
            direction: [dx, dy],
            t_s: peak_s,
            faded,
            at: place,
        } = self.peak;
        row.speed(peak);
        row.speed(faded);
        row.push((t_s - peak_s).clamp(0.0, 0.2) / (20.0 * MS));
        row.signed(v[0] * dx + v[1] * dy);
        row.signed(v[1] * dx - v[0] * dy);
        let moved = [at[0] - place[0], at[1] - place[1]];
        row.ln(length(moved), 0.01);
    }
}

/// Mean velocity about `middle`: the distance of the mean positions after and before it over the distance of their middles.
fn velocity(from: &Point, middle: &Point, to: &Point) -> [f64; 2] {
    let span = 0.5 * (to.t_s - from.t_s);
    if span < 1e-5 {
        return [0.0; 2];
    }
    let (a, b) = (middle.mean_since(from), to.mean_since(middle));
    [(b[0] - a[0]) / span, (b[1] - a[1]) / span]
}

fn length([x, y]: [f64; 2]) -> f64 {
    (x * x + y * y).sqrt()
}

fn unit(v: [f64; 2]) -> [f64; 2] {
    let n = length(v);
    if n > 1e-9 {
        [v[0] / n, v[1] / n]
    } else {
        [1.0, 0.0]
    }
}

/// Natural logarithm of a positive number to about 1e-4, the same on every machine.
pub(super) fn ln(x: f32) -> f32 {
    let bits = x.max(f32::MIN_POSITIVE).to_bits();
    let exponent = (bits >> 23) as i32 - 127;
    let m = f32::from_bits((bits & 0x007f_ffff) | 0x3f80_0000);
    // ln m by the series of the inverse hyperbolic tangent, m in 1..2.
    let z = (m - SQRT_2) / (m + SQRT_2);
    let z2 = z * z;
    let series = z * (2.0 + z2 * (0.666_666_7 + z2 * 0.4));
    exponent as f32 * std::f32::consts::LN_2 + 0.346_573_6 + series
}

struct Row<'a> {
    out: &'a mut Features,
    len: usize,
}

impl Row<'_> {
    fn push(&mut self, value: f64) {
        if let Some(place) = self.out.get_mut(self.len) {
            *place = value as f32;
        }
        self.len += 1;
    }

    fn ln(&mut self, value: f64, floor: f64) {
        self.push(f64::from(ln((value + floor) as f32)));
    }

    fn speed(&mut self, deg_s: f64) {
        self.push(f64::from(ln((1.0 + deg_s / SLOW_DEG_S) as f32)));
    }

    /// A velocity, compressed but with its sign.
    fn signed(&mut self, deg_s: f64) {
        let size = f64::from(ln((1.0 + deg_s.abs() / SLOW_DEG_S) as f32));
        self.push(size.copysign(deg_s));
    }
}
