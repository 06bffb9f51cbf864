//! The recent path of the eye as a continuous function of time: what lets features be measured in milliseconds at any rate.
//!
//! Between samples the eye is taken to move in a straight line. The running integrals of position, of its square and of path length
//! then give the mean, the spread and the path of any window whose ends need not fall on samples.

/// A sample, and the integrals up to it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Knot {
    t_s: f64,
    x: f64,
    y: f64,
    /// Integrals of x, y and x² + y² over time since the history began.
    ix: f64,
    iy: f64,
    iq: f64,
    path: f64,
}

/// The path and its integrals at one time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Point {
    pub(super) t_s: f64,
    pub(super) x: f64,
    pub(super) y: f64,
    ix: f64,
    iy: f64,
    iq: f64,
    path: f64,
}

impl Point {
    /// Mean position from `earlier` to here, degrees.
    pub(super) fn mean_since(&self, earlier: &Self) -> [f64; 2] {
        let span = self.t_s - earlier.t_s;
        if span < SHORTEST_S {
            return [self.x, self.y];
        }
        [(self.ix - earlier.ix) / span, (self.iy - earlier.iy) / span]
    }

    /// Root mean square distance from the mean position from `earlier` to here, degrees.
    pub(super) fn spread_since(&self, earlier: &Self) -> f64 {
        let span = self.t_s - earlier.t_s;
        if span < SHORTEST_S {
            return 0.0;
        }
        let [x, y] = self.mean_since(earlier);
        ((self.iq - earlier.iq) / span - x * x - y * y)
            .max(0.0)
            .sqrt()
    }

    /// Length of the path from `earlier` to here, degrees.
    pub(super) fn path_since(&self, earlier: &Self) -> f64 {
        (self.path - earlier.path).max(0.0)
    }
}

/// Windows shorter than this are a point.
const SHORTEST_S: f64 = 1e-5;

/// Knots of the last while, in a ring that never grows.
#[derive(Debug, Clone)]
pub(super) struct History {
    ring: Vec<Knot>,
    /// Knots taken since the history began; the newest is number `taken - 1`.
    taken: u64,
    /// Position from which integrals are measured, so that they stay small.
    origin: [f64; 2],
}

/// A place in the history that only moves forward.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cursor(u64);

impl History {
    /// Room for `len` samples or more: a power of two.
    pub(super) fn new(len: usize) -> Self {
        let blank = Knot {
            t_s: 0.0,
            x: 0.0,
            y: 0.0,
            ix: 0.0,
            iy: 0.0,
            iq: 0.0,
            path: 0.0,
        };
        Self {
            ring: vec![blank; len.max(2).next_power_of_two()],
            taken: 0,
            origin: [0.0; 2],
        }
    }

    pub(super) fn clear(&mut self) {
        self.taken = 0;
    }

    /// Takes a sample whose stamp is after the last one's.
    pub(super) fn push(&mut self, t_s: f64, x_deg: f64, y_deg: f64) {
        let knot = match self.newest().copied() {
            None => {
                self.origin = [x_deg, y_deg];
                Knot {
                    t_s,
                    x: 0.0,
                    y: 0.0,
                    ix: 0.0,
                    iy: 0.0,
                    iq: 0.0,
                    path: 0.0,
                }
            }
            Some(last) => {
                let (x, y) = (x_deg - self.origin[0], y_deg - self.origin[1]);
                let step = Step::new(&last, x, y, t_s - last.t_s);
                let p = step.at(&last, t_s - last.t_s);
                Knot {
                    t_s,
                    x,
                    y,
                    ix: p.ix,
                    iy: p.iy,
                    iq: p.iq,
                    path: last.path + (x - last.x).hypot(y - last.y),
                }
            }
        };
        let place = self.place(self.taken);
        if let Some(place) = self.ring.get_mut(place) {
            *place = knot;
        }
        self.taken += 1;
    }

    /// Stamp of the newest sample.
    pub(super) fn newest_s(&self) -> Option<f64> {
        self.newest().map(|k| k.t_s)
    }

    /// The path at `t_s`; before the oldest and after the newest sample it stands still. `cursor` is one that was never used
    /// for a later time.
    pub(super) fn at(&self, t_s: f64, cursor: &mut Cursor) -> Point {
        cursor.0 = cursor.0.max(self.first());
        while let Some(next) = self.knot(cursor.0 + 1)
            && next.t_s <= t_s
        {
            cursor.0 += 1;
        }
        let Some(from) = self.knot(cursor.0) else {
            return Point::default();
        };
        match self.knot(cursor.0 + 1) {
            Some(to) if t_s > from.t_s => {
                Step::new(from, to.x, to.y, to.t_s - from.t_s).at(from, t_s - from.t_s)
            }
            _ => from.point(),
        }
    }

    fn first(&self) -> u64 {
        self.taken.saturating_sub(self.ring.len() as u64)
    }

    fn newest(&self) -> Option<&Knot> {
        self.taken.checked_sub(1).and_then(|n| self.knot(n))
    }

    fn knot(&self, number: u64) -> Option<&Knot> {
        if number >= self.taken || number < self.first() {
            return None;
        }
        self.ring.get(self.place(number))
    }

    /// Where a knot lies; the ring's length is a power of two.
    fn place(&self, number: u64) -> usize {
        number as usize & (self.ring.len() - 1)
    }
}

impl Knot {
    fn point(&self) -> Point {
        Point {
            t_s: self.t_s,
            x: self.x,
            y: self.y,
            ix: self.ix,
            iy: self.iy,
            iq: self.iq,
            path: self.path,
        }
    }
}

/// The straight line from one sample to the next.
struct Step {
    vx: f64,
    vy: f64,
    speed: f64,
}

impl Step {
    fn new(from: &Knot, x: f64, y: f64, dt: f64) -> Self {
        // Stamps rise; a subnormal interval may still overflow the quotient.
        let per_s = (1.0 / dt).min(1e9);
        let (dx, dy) = (x - from.x, y - from.y);
        Self {
            vx: dx * per_s,
            vy: dy * per_s,
            speed: (dx * dx + dy * dy).sqrt() * per_s,
        }
    }

    /// The point `s` seconds on from `from`.
    fn at(&self, from: &Knot, s: f64) -> Point {
        let (x, y) = (from.x + s * self.vx, from.y + s * self.vy);
        let squares = from.x * from.x + from.x * x + x * x + from.y * from.y + from.y * y + y * y;
        Point {
            t_s: from.t_s + s,
            x,
            y,
            ix: from.ix + 0.5 * s * (from.x + x),
            iy: from.iy + 0.5 * s * (from.y + y),
            iq: from.iq + s * squares / 3.0,
            path: from.path + s * self.speed,
        }
    }
}
