//! The pupils: a level that drifts, unrest of their own, and dilations that follow what the person reads and wants.
//!
//! Every number here is an assumption from the literature, not a measurement: a pupil of some 3.5 mm whose unrest (hippus) is of the
//! order of 0.1 mm, dilations of 0.1 to 0.2 mm to what matters, with the response function of Hoeks & Levelt 1993 (`t^n exp(-n t /
//! t_max)`, n = 10.1, t_max = 0.93 s), a constriction after each blink (Knapen et al. 2016), and a camera below the screen that sees the
//! pupil foreshortened (Hayes & Petrov 2016). Light does not change.

use std::collections::VecDeque;

use rand_chacha::ChaCha8Rng;

use super::eye::Point;
use super::noise::{Drift, gauss, log_normal, stream};
use super::settings::{Preset, SimSettings};

/// Exponent of the response function.
const N: f64 = 10.1;
/// Most dilations that are under way at a time.
const MAX_DILATIONS: usize = 64;
/// A dilation is over after this, seconds.
const OVER_S: f64 = 6.0;
/// Where the camera stands, degrees from the centre of the screen.
const CAMERA_DEG: Point = [0.0, 20.0];
/// Smallest and largest pupil, millimetres.
const RANGE_MM: (f64, f64) = (1.5, 8.5);

#[derive(Debug, Clone, Copy)]
struct Dilation {
    at_s: f64,
    mm: f64,
}

/// The pupils of one person.
#[derive(Debug)]
pub(super) struct Pupil {
    level_mm: f64,
    /// What an option that is wanted adds, and reading any option, millimetres.
    gain_mm: f64,
    load_mm: f64,
    blink_mm: f64,
    peak_s: f64,
    /// The right pupil less the left one, millimetres.
    uneven_mm: f64,
    noise_mm: f64,
    unrest: [Drift; 3],
    dilations: VecDeque<Dilation>,
    rng: ChaCha8Rng,
    noise: ChaCha8Rng,
}

impl Pupil {
    pub(super) fn new(settings: &SimSettings) -> Self {
        let of = |choices: [f64; 3]| match settings.preset {
            Preset::Easy => choices[0],
            Preset::Typical => choices[1],
            Preset::Hard => choices[2],
        };
        let mut rng = stream(settings.seed, "pupil");
        let step_s = 1.0 / settings.gaze_rate_hz;
        let level_mm = log_normal(&mut rng, 3.5, 0.12);
        let gain_mm = log_normal(&mut rng, of([0.2, 0.14, 0.08]), 0.35);
        let peak_s = log_normal(&mut rng, 0.93, 0.1).clamp(0.7, 1.3);
        let uneven_mm = 0.1 * gauss(&mut rng);
        let mut unrest = |sd, tau_s| Drift::new(sd, tau_s, step_s, &mut rng);
        let unrest = [unrest(0.15, 60.0), unrest(0.08, 4.0), unrest(0.04, 0.5)];
        Self {
            level_mm,
            gain_mm: settings.pupil_gain_mm.unwrap_or(gain_mm),
            load_mm: 0.04,
            blink_mm: 0.08,
            peak_s,
            uneven_mm,
            noise_mm: of([0.01, 0.02, 0.04]),
            unrest,
            dilations: VecDeque::new(),
            rng,
            noise: stream(settings.seed, "pupil camera"),
        }
    }

    /// The person has read an option.
    pub(super) fn reads(&mut self, at_s: f64, wanted: bool) {
        let wish_mm = if wanted { self.gain_mm } else { 0.0 };
        // The same numbers are drawn whatever it wants.
        let spread = log_normal(&mut self.rng, 1.0, 0.3);
        let later_s = log_normal(&mut self.rng, 0.08, 0.4).min(0.4);
        self.widen(at_s + later_s, self.load_mm + spread * wish_mm);
    }

    /// The lids have closed.
    pub(super) fn blinks(&mut self, at_s: f64) {
        let mm = -self.blink_mm * log_normal(&mut self.rng, 1.0, 0.3);
        self.widen(at_s + 0.1, mm);
    }

    fn widen(&mut self, at_s: f64, mm: f64) {
        if self.dilations.len() == MAX_DILATIONS {
            self.dilations.pop_front();
        }
        self.dilations.push_back(Dilation { at_s, mm });
    }

    /// The next sample: what the camera sees of each pupil, millimetres, while gaze is here and the lids are closed so far.
    pub(super) fn sample(&mut self, t_s: f64, gaze: Point, closure: f64) -> [f64; 2] {
        let unrest: f64 = self
            .unrest
            .iter_mut()
            .map(|drift| drift.step(&mut self.rng))
            .sum();
        self.dilations.retain(|d| t_s < d.at_s + OVER_S);
        let dilated: f64 = self
            .dilations
            .iter()
            .map(|d| d.mm * response(t_s - d.at_s, self.peak_s))
            .sum();
        let size = (self.level_mm + unrest + dilated).clamp(RANGE_MM.0, RANGE_MM.1);
        // A lid that comes down hides a part of the pupil.
        let seen = size * foreshortened(gaze) * (1.0 - 0.5 * closure);
        let mut eye = |uneven: f64| seen + uneven + self.noise_mm * gauss(&mut self.noise);
        [eye(-0.5 * self.uneven_mm), eye(0.5 * self.uneven_mm)]
    }
}

/// The response function, 1 at its maximum.
fn response(since_s: f64, peak_s: f64) -> f64 {
    let x = since_s / peak_s;
    if x <= 0.0 {
        return 0.0;
    }
    (N * (x.ln() + 1.0 - x)).exp()
}

/// The square root of the share of its area that a disc shows to a camera off its axis, over that in the centre of the screen.
fn foreshortened(gaze: Point) -> f64 {
    let cos = |at: Point| {
        let [a, b] = [at[0] - CAMERA_DEG[0], at[1] - CAMERA_DEG[1]].map(f64::to_radians);
        (a.cos() * b.cos()).max(0.05)
    };
    (cos(gaze) / cos([0.0; 2])).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_response_is_that_of_hoeks_and_levelt() {
        // SciPy: (t / 0.93)^10.1 exp(10.1 (1 - t / 0.93)).
        assert!((response(0.93, 0.93) - 1.0).abs() < 1e-12);
        assert!((response(0.5, 0.93) - 0.202_3).abs() < 1e-4);
        assert!((response(1.5, 0.93) - 0.256_1).abs() < 1e-4);
        assert_eq!(response(-1.0, 0.93), 0.0);
        assert!(foreshortened([0.0, 0.0]) == 1.0 && foreshortened([-12.0, -8.0]) < 0.97);
    }

    #[test]
    fn what_is_wanted_widens_the_pupil_and_the_rest_of_it_is_the_same() {
        let size = |wanted: bool| {
            let mut pupil = Pupil::new(&SimSettings::default());
            (0..1000)
                .map(|n| {
                    if n == 250 {
                        pupil.reads(1.0, wanted);
                    }
                    pupil.sample(f64::from(n) / 250.0, [0.0; 2], 0.0)[0]
                })
                .collect::<Vec<f64>>()
        };
        let (wide, plain) = (size(true), size(false));
        assert_eq!(wide[..250], plain[..250]);
        let gained = |n: usize| wide[n] - plain[n];
        assert!(gained(500) > 0.06 && gained(350) < 0.3 * gained(500));
        assert!(gained(999) < 0.1 * gained(500));
    }
}
