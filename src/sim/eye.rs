//! The eyes: saccades on the main sequence, lids that blink, and the tracker that watches them.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::noise::{Drift, gauss, log_normal, stream};
use super::settings::{Screen, SimSettings};
use super::traits::{TrackerTraits, Traits};
use razvilka_calibration::PursuitPath;

/// A point on the screen: degrees from the centre, x to the right, y downwards.
pub(super) type Point = [f64; 2];

/// The distance of two points, degrees.
pub(super) fn distance_deg(a: Point, b: Point) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// Peak velocity of a saccade, degrees per second: the main sequence of Bahill, Clark & Stark 1975 in the fit of
/// Baloh et al. 1975, `551 (1 - exp(-A / 14))`.
pub(super) fn peak_velocity_deg_s(amplitude_deg: f64) -> f64 {
    551.0 * (1.0 - (-amplitude_deg / 14.0).exp())
}

/// The point where the eyes look, and the saccade that brought them there.
#[derive(Debug, Clone)]
pub(super) struct Eye {
    from: Point,
    to: Point,
    start_s: f64,
    length_s: f64,
    /// A target that is followed, and when it began to move.
    follows: Option<(PursuitPath, f64)>,
}

impl Eye {
    /// The peak velocity of a minimum-jerk movement relative to its mean.
    const PEAK_TO_MEAN: f64 = 1.875;
    /// Below this the eyes do not move, degrees.
    const SMALLEST_DEG: f64 = 0.02;
    /// How far the eyes are behind a target that they follow, seconds.
    const LAG_S: f64 = 0.09;
    /// When they begin to follow it, and how long it takes until they are with it, seconds.
    const CATCHES_S: f64 = 0.15;
    const CATCHING_S: f64 = 0.08;

    pub(super) fn new() -> Self {
        Self {
            from: [0.0; 2],
            to: [0.0; 2],
            start_s: f64::NEG_INFINITY,
            length_s: 0.0,
            follows: None,
        }
    }

    /// Follows a target that begins to move at `began_s`: the eyes stay where they are until [`Self::CATCHES_S`] later, and are with it,
    /// [`Self::LAG_S`] behind, soon after.
    pub(super) fn follow(&mut self, path: PursuitPath, began_s: f64, t_s: f64) {
        let here = self.at(t_s);
        (self.from, self.to) = (here, here);
        (self.start_s, self.length_s) = (f64::NEG_INFINITY, 0.0);
        self.follows = Some((path, began_s));
    }

    /// The target is gone: the eyes stay where it was last.
    pub(super) fn rest(&mut self, t_s: f64) {
        let here = self.at(t_s);
        if self.follows.take().is_some() {
            (self.from, self.to) = (here, here);
        }
    }

    /// Starts a saccade to a point at time `t_s`; returns when it lands. `vigour` scales the peak velocity.
    pub(super) fn look(&mut self, to: Point, t_s: f64, vigour: f64) -> f64 {
        let from = self.at(t_s);
        let amplitude = distance_deg(from, to);
        if amplitude < Self::SMALLEST_DEG || self.follows.is_some() {
            return t_s.max(self.lands_s());
        }
        self.length_s = Self::PEAK_TO_MEAN * amplitude / (vigour * peak_velocity_deg_s(amplitude));
        (self.from, self.to, self.start_s) = (from, to, t_s);
        self.lands_s()
    }

    /// When the latest saccade lands or landed.
    pub(super) fn lands_s(&self) -> f64 {
        self.start_s + self.length_s
    }

    /// Where the eyes point: minimum-jerk from start to landing, then a small damped swing of the lens.
    pub(super) fn at(&self, t_s: f64) -> Point {
        if let Some((path, began_s)) = self.follows {
            let since_s = t_s - began_s;
            let (x, y) = path.at(since_s - Self::LAG_S);
            let u = ((since_s - Self::CATCHES_S) / Self::CATCHING_S).clamp(0.0, 1.0);
            let share = u * u * u * (10.0 + u * (6.0 * u - 15.0));
            return std::array::from_fn(|k| self.to[k] + share * ([x, y][k] - self.to[k]));
        }
        let since = t_s - self.start_s;
        if since >= self.length_s {
            let after = since - self.length_s;
            let swing = if after < 0.1 {
                0.03 * (-after / 0.012).exp() * (std::f64::consts::TAU * 25.0 * after).sin()
            } else {
                0.0
            };
            return std::array::from_fn(|k| self.to[k] + swing * (self.to[k] - self.from[k]));
        }
        let u = (since / self.length_s).max(0.0);
        let share = u * u * u * (10.0 - 15.0 * u + 6.0 * u * u);
        std::array::from_fn(|k| self.from[k] + share * (self.to[k] - self.from[k]))
    }
}

/// The lids: at most one blink at a time.
#[derive(Debug, Clone)]
pub(super) struct Lids {
    start_s: f64,
    shut_s: f64,
}

impl Lids {
    const CLOSING_S: f64 = 0.07;
    const OPENING_S: f64 = 0.14;

    pub(super) fn new() -> Self {
        Self {
            start_s: f64::NEG_INFINITY,
            shut_s: 0.0,
        }
    }

    /// Starts a blink that stays shut for `shut_s`; returns when the lids are open again.
    pub(super) fn blink(&mut self, t_s: f64, shut_s: f64) -> f64 {
        (self.start_s, self.shut_s) = (t_s, shut_s);
        t_s + Self::CLOSING_S + shut_s + Self::OPENING_S
    }

    /// How far they are closed: 0 open, 1 shut.
    pub(super) fn closure(&self, t_s: f64) -> f64 {
        let since = t_s - self.start_s;
        if since <= 0.0 || !since.is_finite() {
            return 0.0;
        }
        let opening = since - Self::CLOSING_S - self.shut_s;
        let u = if opening > 0.0 {
            1.0 - opening / Self::OPENING_S
        } else {
            since / Self::CLOSING_S
        };
        let u = u.clamp(0.0, 1.0);
        u * u * (3.0 - 2.0 * u)
    }
}

/// The eye tracker: what it reports of the eyes.
#[derive(Debug)]
pub(super) struct Tracker {
    traits: TrackerTraits,
    screen: Screen,
    step_s: f64,
    rng: ChaCha8Rng,
    fixational: [Drift; 2],
    tremor: [Drift; 2],
    error: [Drift; 2],
    lost_until_s: f64,
    /// The right eye, where the tracker tells of two.
    other: Option<OtherEye>,
}

/// The second eye: what the tracker errs there, apart from the first.
#[derive(Debug)]
struct OtherEye {
    traits: TrackerTraits,
    error: [Drift; 2],
    lost_until_s: f64,
    rng: ChaCha8Rng,
}

impl OtherEye {
    fn new(settings: &SimSettings, step_s: f64) -> Self {
        let traits = Traits::of_other_eye(settings);
        let mut rng = stream(settings.seed, "tracker of the right eye");
        let error = std::array::from_fn(|_| Drift::new(traits.drift_deg, 120.0, step_s, &mut rng));
        Self {
            traits,
            error,
            lost_until_s: f64::NEG_INFINITY,
            rng,
        }
    }
}

impl Tracker {
    pub(super) fn new(settings: &SimSettings, traits: TrackerTraits) -> Self {
        let mut rng = stream(settings.seed, "tracker");
        let step_s = 1.0 / settings.gaze_rate_hz;
        let mut pair = |sd, tau_s| std::array::from_fn(|_| Drift::new(sd, tau_s, step_s, &mut rng));
        Self {
            fixational: pair(0.06, 0.4),
            tremor: pair(0.006, 0.002),
            error: pair(traits.drift_deg, 120.0),
            traits,
            screen: settings.screen,
            step_s,
            rng,
            lost_until_s: f64::NEG_INFINITY,
            other: settings
                .tracker
                .two_eyes
                .then(|| OtherEye::new(settings, step_s)),
        }
    }

    /// The next sample: x and y on the screen (0..1 from the top left corner) of the one eye, or of the left and the right one; `None` for
    /// one that is not seen. A tired eye stands less still.
    pub(super) fn sample(
        &mut self,
        t_s: f64,
        gaze: Point,
        closure: f64,
        tiredness: f64,
    ) -> [Option<[f64; 2]>; 2] {
        let rng = &mut self.rng;
        let unrest = 1.0 + 0.5 * tiredness;
        // A closing lid covers the pupil from above: its centre seems to sink.
        let seen: Point = [
            gaze[0] + unrest * self.fixational[0].step(rng) + self.tremor[0].step(rng),
            gaze[1]
                + unrest * self.fixational[1].step(rng)
                + self.tremor[1].step(rng)
                + 1.5 * closure,
        ];
        let now = Now {
            t_s,
            seen,
            step_s: self.step_s,
            shut: closure > 0.5,
        };
        let lost_until_s = &mut self.lost_until_s;
        let one = measure(&self.traits, &mut self.error, lost_until_s, rng, &now);
        let other = self.other.as_mut().and_then(|eye| {
            let lost_until_s = &mut eye.lost_until_s;
            measure(
                &eye.traits,
                &mut eye.error,
                lost_until_s,
                &mut eye.rng,
                &now,
            )
        });
        [one, other].map(|at| {
            at.map(|[x_deg, y_deg]| {
                let (x, y) = self.screen.to_normalised(x_deg, y_deg);
                [x, y]
            })
        })
    }
}

/// What there is to see at a moment.
struct Now {
    t_s: f64,
    seen: Point,
    step_s: f64,
    shut: bool,
}

/// What the tracker makes of one eye, degrees; `None` when it does not see it.
fn measure(
    traits: &TrackerTraits,
    error: &mut [Drift; 2],
    lost_until_s: &mut f64,
    rng: &mut ChaCha8Rng,
    now: &Now,
) -> Option<Point> {
    let seen = now.seen;
    let measured: Point = std::array::from_fn(|k| {
        traits.offset_deg[k]
            + traits.gain[k] * seen[k]
            + traits.shear[k] * seen[1 - k]
            + traits.bend_per_deg[k] * seen[k] * seen[1 - k]
            + error[k].step(rng)
            + traits.noise_deg * gauss(rng)
    });
    if rng.random::<f64>() < traits.losses_per_min * now.step_s / 60.0 {
        *lost_until_s = now.t_s + log_normal(rng, 0.12, 0.6).min(1.5);
    }
    (!now.shut && now.t_s >= *lost_until_s).then_some(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saccades_lie_on_the_main_sequence() {
        for amplitude in [0.5, 1.0, 3.0, 8.0, 15.0, 25.0] {
            let mut eye = Eye::new();
            let lands = eye.look([amplitude, 0.0], 0.0, 1.0);
            let step = 1e-4;
            let peak = (0..(lands / step) as usize)
                .map(|n| {
                    let t = n as f64 * step;
                    (eye.at(t + step)[0] - eye.at(t)[0]) / step
                })
                .fold(0.0, f64::max);
            assert!((peak / peak_velocity_deg_s(amplitude) - 1.0).abs() < 0.01);
            // Durations: 2.7 ms per degree and 37 ms (Baloh et al. 1975).
            let expected = 0.0027 * amplitude + 0.037;
            assert!(
                (0.8..1.3).contains(&(lands / expected)),
                "{amplitude} {lands}"
            );
        }
    }

    #[test]
    fn the_eye_arrives_and_its_path_has_no_jump() {
        let mut eye = Eye::new();
        eye.look([10.0, -4.0], 1.0, 1.0);
        let mut last = eye.at(0.9);
        assert_eq!(last, [0.0, 0.0]);
        for n in 0..4000 {
            let now = eye.at(0.9 + 1e-4 * f64::from(n));
            assert!(distance_deg(now, last) < 0.06);
            last = now;
        }
        assert_eq!(eye.at(1.5), [10.0, -4.0]);
    }

    #[test]
    fn the_eye_follows_a_moving_target_behind_it_and_without_a_jump() {
        let path = PursuitPath::at_speed((16.0, 9.0), 10.0);
        let mut eye = Eye::new();
        eye.look([2.0, 1.0], 0.0, 1.0);
        eye.follow(path, 1.0, 1.05);
        let mut last = eye.at(1.05);
        for n in 0..100_000 {
            let t = 1.05 + 1e-4 * f64::from(n);
            let now = eye.at(t);
            assert!(distance_deg(now, last) < 0.02, "{t}");
            last = now;
            if t > 1.3 {
                let (x, y) = path.at(t - 1.0 - Eye::LAG_S);
                assert!(distance_deg(now, [x, y]) < 1e-9);
            }
        }
        eye.rest(11.0);
        assert_eq!(eye.at(11.0), eye.at(12.0));
        assert_eq!(eye.look([0.0, 0.0], 12.0, 1.0), eye.lands_s());
    }

    #[test]
    fn lids_close_and_open_again_smoothly() {
        let mut lids = Lids::new();
        assert_eq!(lids.closure(0.0), 0.0);
        let open_again = lids.blink(1.0, 0.06);
        assert_eq!(lids.closure(1.0), 0.0);
        assert_eq!(lids.closure(1.1), 1.0);
        assert!(lids.closure(open_again) < 1e-9);
        assert_eq!(lids.closure(open_again + 1.0), 0.0);
        let mut last = 0.0;
        for n in 0..4000 {
            let now = lids.closure(0.95 + 1e-4 * f64::from(n));
            assert!((now - last).abs() < 0.01);
            last = now;
        }
    }
}
