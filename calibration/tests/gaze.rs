//! The calibration of the eye: against NumPy and SciPy (`fixtures/golden/calibration/generate_gaze.py`), and on simulated trackers
//! whose distortion is known.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use razvilka_calibration::report::render;
use razvilka_calibration::{
    CalibrationError, CalibrationInput, EyeSamples, FitRule, GazeCalibration, GazeInput, GazeMap,
    GazePoint, GazePursuit, GazeSample, HeldOut, MapOrder, PointUse, Profile, Provenance,
    PursuitPath, Rejection, calibrate_gaze, fit_gaze, fit_session, rms_s2s, sd,
};
use serde::Deserialize;

/// Standard Gaussian noise from a fixed sequence.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn gauss(&mut self) -> f64 {
        let (u, v) = (self.uniform().max(1e-300), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

const RATE_HZ: f64 = 120.0;

/// Each eye's tracker, bent in its own way: degrees to shares of the picture.
fn tracker(eye: usize, (x, y): (f64, f64)) -> (f64, f64) {
    let (dx, bend) = [(0.03, 2e-4), (-0.05, -1.5e-4)][eye];
    (
        0.5 + dx + 0.021 * x + 0.0008 * y + bend * x * y,
        0.5 - dx + 0.038 * y + 1e-4 * x * x,
    )
}

fn look(eye: usize, t_s: f64, (x, y): (f64, f64), noise_deg: f64, noise: &mut Noise) -> GazeSample {
    let (x, y) = tracker(
        eye,
        (x + noise_deg * noise.gauss(), y + noise_deg * noise.gauss()),
    );
    GazeSample {
        t_s,
        x,
        y,
        valid: true,
    }
}

fn places() -> Vec<(f64, f64, PointUse)> {
    let fit = [-16.0, 0.0, 16.0]
        .iter()
        .flat_map(|&x| [-9.0, 0.0, 9.0].map(|y| (x, y, PointUse::Fit)));
    let checks = [(-8.0, -4.0), (8.0, 4.0), (-8.0, 5.0), (9.0, -5.0)];
    fit.chain(checks.map(|(x, y)| (x, y, PointUse::Check)))
        .collect()
}

/// Points for one eye, 1.5 s each.
fn points(eye: usize, seed: u64, noise_deg: f64) -> Vec<GazePoint> {
    let mut noise = Noise(seed);
    let places = places().into_iter().enumerate();
    places
        .map(|(index, (x_deg, y_deg, use_as))| {
            let shown_s = 2.0 * index as f64;
            let samples = (0..180).map(|i| {
                let at = if i < 40 { (0.0, 0.0) } else { (x_deg, y_deg) };
                look(
                    eye,
                    shown_s + f64::from(i) / RATE_HZ,
                    at,
                    noise_deg,
                    &mut noise,
                )
            });
            GazePoint {
                x_deg,
                y_deg,
                use_as,
                shown_s,
                samples: samples.collect(),
                eyes: None,
            }
        })
        .collect()
}

/// The same with both eyes.
fn two_eyes(seed: u64, noise_deg: f64) -> Vec<GazePoint> {
    let mut both = points(0, seed, noise_deg);
    for (point, right) in both.iter_mut().zip(points(1, seed + 1, noise_deg)) {
        let mut eyes = EyeSamples::default();
        let pairs = std::mem::take(&mut point.samples).into_iter();
        point.samples = pairs
            .zip(right.samples)
            .map(|(l, r)| eyes.push(l, r))
            .collect();
        point.eyes = Some(eyes);
    }
    both
}

/// Greatest distance of a place from where the map puts what the tracker makes of it.
fn worst(map: &GazeMap, eye: usize) -> f64 {
    let places = [
        (-12.0, 6.0),
        (5.0, -7.0),
        (14.0, 8.0),
        (-3.0, -2.0),
        (0.0, 7.0),
    ];
    let error = |&(x, y): &(f64, f64)| {
        let raw = tracker(eye, (x, y));
        let (mx, my) = map.apply(raw.0, raw.1);
        (mx - x).hypot(my - y)
    };
    places.iter().map(error).fold(0.0, f64::max)
}

#[derive(Deserialize)]
struct Golden {
    rate_hz: f64,
    points: Vec<GoldenPoint>,
    affine_deg: f64,
    second_order_deg: f64,
    order: u32,
    second_order: [[f64; 6]; 2],
    affine: [[f64; 3]; 2],
    accuracy_deg: f64,
    median_deg: f64,
    worst_deg: f64,
    precision: Vec<GoldenPrecision>,
    sd_deg: f64,
    loss: f64,
    valid_rate_hz: f64,
}

#[derive(Deserialize)]
struct GoldenPoint {
    target: (f64, f64),
    check: bool,
    samples: Vec<Option<(f64, f64)>>,
}

#[derive(Deserialize)]
struct GoldenPrecision {
    positions: Vec<Option<(f64, f64)>>,
    sd: f64,
    rms_s2s: f64,
}

fn golden() -> (Golden, Vec<GazePoint>) {
    let text = include_str!("../../fixtures/golden/calibration/gaze.json");
    let golden: Golden = serde_json::from_str(text).unwrap();
    let points = golden.points.iter().enumerate();
    let points = points
        .map(|(index, point)| {
            let shown_s = 5.0 * index as f64;
            let samples = point.samples.iter().enumerate().map(|(i, place)| {
                let (x, y) = place.unwrap_or((f64::NAN, f64::NAN));
                GazeSample {
                    t_s: shown_s + i as f64 / golden.rate_hz,
                    x,
                    y,
                    valid: true,
                }
            });
            GazePoint {
                x_deg: point.target.0,
                y_deg: point.target.1,
                use_as: if point.check {
                    PointUse::Check
                } else {
                    PointUse::Fit
                },
                shown_s,
                samples: samples.collect(),
                eyes: None,
            }
        })
        .collect();
    (golden, points)
}

#[track_caller]
fn near(got: f64, expected: f64, tolerance: f64) {
    assert!((got - expected).abs() <= tolerance, "{got} {expected}");
}

#[test]
fn the_robust_map_and_its_errors_are_those_of_scipy() {
    let (golden, points) = golden();
    let gaze = fit_gaze(&points, FitRule::default()).unwrap();
    assert_eq!(golden.order, 2);
    assert_eq!(gaze.map.order, MapOrder::SecondOrder);
    let q = &gaze.quality;
    near(q.affine_deg.unwrap(), golden.affine_deg, 1e-5);
    near(q.second_order_deg.unwrap(), golden.second_order_deg, 1e-5);
    near(q.accuracy_deg, golden.accuracy_deg, 1e-5);
    near(q.median_deg.unwrap(), golden.median_deg, 1e-5);
    near(q.worst_deg, golden.worst_deg, 1e-5);
    for (got, expected) in [
        (gaze.map.x, golden.second_order[0]),
        (gaze.map.y, golden.second_order[1]),
    ] {
        let largest = expected.iter().fold(0.0_f64, |m, c| m.max(c.abs()));
        for (got, expected) in got.iter().zip(expected) {
            near(*got, expected, 1e-6 * largest);
        }
    }
    // With the centre alone in a row the second order cannot be left out, and the affine map remains.
    let five: Vec<GazePoint> = points
        .into_iter()
        .filter(|p| p.use_as == PointUse::Check || p.x_deg * p.y_deg != 0.0 || p.x_deg == p.y_deg)
        .collect();
    let affine = fit_gaze(&five, FitRule::default()).unwrap();
    assert_eq!(affine.map.order, MapOrder::Affine);
    assert_ne!(affine.map.x[1], golden.affine[0][1]);
}

#[test]
fn precision_and_rates_are_those_of_numpy() {
    let (golden, points) = golden();
    for precision in &golden.precision {
        near(sd(&precision.positions), precision.sd, 1e-12);
        near(rms_s2s(&precision.positions), precision.rms_s2s, 1e-12);
    }
    let input = GazeInput {
        declared_rate_hz: Some(75.0),
        ..points.into()
    };
    let q = calibrate_gaze(&input, FitRule::default()).unwrap().quality;
    near(q.precision_sd_deg, golden.sd_deg, 1e-5);
    near(q.data_loss, golden.loss, 1e-9);
    near(q.rate_hz, golden.valid_rate_hz, 1e-6);
    near(q.stamped_rate_hz.unwrap(), golden.rate_hz, 1e-6);
    assert_eq!(q.declared_rate_hz, Some(75.0));
}

#[test]
fn a_step_across_lost_samples_is_no_step() {
    let jump = [Some((0.0, 0.0)), None, Some((9.0, 0.0)), Some((9.0, 1.0))];
    assert_eq!(rms_s2s(&jump), 1.0);
    assert_eq!(rms_s2s(&[None, Some((1.0, 1.0)), None]), 0.0);
}

#[test]
fn each_eye_has_a_map_of_its_own_and_both_are_judged_as_their_mean() {
    let gaze = fit_gaze(&two_eyes(3, 0.4), FitRule::default()).unwrap();
    let maps = gaze.maps().unwrap();
    assert!(worst(&maps.left.unwrap(), 0) < 0.3);
    assert!(worst(&maps.right.unwrap(), 1) < 0.3);
    let (left, right) = (gaze.left.as_ref().unwrap(), gaze.right.as_ref().unwrap());
    // Independent noise of the same size: the mean of two has less by the root of two.
    let ratio = gaze.quality.precision_sd_deg / left.quality.precision_sd_deg;
    near(ratio, 0.5_f64.sqrt(), 0.05);
    near(right.quality.precision_sd_deg, 0.4 * 2.0_f64.sqrt(), 0.05);
    assert_eq!(gaze.held_out_points(), 4);
    // The mean of both goes through a map, too, for who gives no more than that.
    let mean = |p: (f64, f64)| {
        let (l, r) = (tracker(0, p), tracker(1, p));
        (0.5 * (l.0 + r.0), 0.5 * (l.1 + r.1))
    };
    let (x, y) = mean((9.0, -6.0));
    let (x, y) = maps.both.apply(x, y);
    assert!((x - 9.0).hypot(y + 6.0) < 0.3, "{x} {y}");
}

#[test]
fn an_eye_that_is_never_seen_leaves_the_other_one() {
    let mut points = two_eyes(4, 0.3);
    for point in &mut points {
        let eyes = point.eyes.as_mut().unwrap();
        for (sample, right) in point.samples.iter_mut().zip(&mut eyes.right) {
            right.valid = false;
            sample.valid = false;
        }
    }
    let gaze = fit_gaze(&points, FitRule::default()).unwrap();
    let maps = gaze.maps().unwrap();
    assert_eq!(maps.right, None);
    assert_eq!(maps.left, Some(maps.both));
    assert!(worst(&maps.both, 0) < 0.3);
    assert!(gaze.quality.data_loss < 0.01);
    assert!(gaze.rejected.is_empty());
}

#[test]
fn an_eye_that_is_lost_at_times_is_replaced_by_the_other_one_then() {
    let mut points = two_eyes(5, 0.2);
    for (index, point) in points.iter_mut().enumerate() {
        let eyes = point.eyes.as_mut().unwrap();
        let lost = if index % 2 == 0 {
            &mut eyes.left
        } else {
            &mut eyes.right
        };
        for sample in lost.iter_mut().skip(100) {
            sample.valid = false;
        }
        for sample in point.samples.iter_mut().skip(100) {
            sample.valid = false;
        }
    }
    let gaze = fit_gaze(&points, FitRule::default()).unwrap();
    assert!(gaze.quality.data_loss < 0.01, "{:?}", gaze.quality);
    assert!(gaze.left.unwrap().quality.data_loss > 0.2);
    assert!(gaze.quality.accuracy_deg < 0.2, "{:?}", gaze.quality);
}

#[test]
fn points_that_were_not_looked_at_are_named_and_left_out() {
    let mut points = points(0, 6, 0.2);
    for sample in &mut points[2].samples {
        sample.valid = false;
    }
    // Wanders all over the screen.
    for (i, sample) in points[7].samples.iter_mut().enumerate() {
        let turn = i as f64 / 9.0;
        (sample.x, sample.y) = tracker(0, (14.0 * turn.sin(), 8.0 * turn.cos()));
    }
    let shown_s = points[10].shown_s;
    for sample in &mut points[10].samples {
        sample.valid = sample.t_s < shown_s + 0.55;
    }
    let gaze = fit_gaze(&points, FitRule::default()).unwrap();
    assert_eq!(gaze.quality.points_rejected, 3);
    let found: Vec<_> = gaze.rejected.iter().map(|r| r.target_deg).collect();
    assert_eq!(found, [(-16.0, 9.0), (16.0, 0.0), (8.0, 4.0)]);
    assert!(matches!(
        gaze.rejected[0].why,
        Rejection::TooFewSamples { samples: 0, .. }
    ));
    assert!(
        matches!(gaze.rejected[1].why, Rejection::Scattered { scatter_deg, limit_deg } if scatter_deg > limit_deg)
    );
    let said = gaze.rejected[1].in_words();
    assert!(
        said.contains("the point at 16.0, 0.0 deg is not used"),
        "{said}"
    );
    assert!(gaze.quality.accuracy_deg < 0.3, "{:?}", gaze.quality);
}

#[test]
fn a_point_that_was_mostly_not_seen_does_not_bend_the_map() {
    let mut points = points(0, 8, 0.1);
    let shown_s = points[0].shown_s;
    // Twelve samples are left after the eye had time to arrive, and it was on its way.
    for sample in &mut points[0].samples {
        sample.valid = sample.t_s < shown_s + 0.6;
        (sample.x, sample.y) = tracker(0, (-13.0, -7.5));
    }
    let gaze = fit_gaze(&points, FitRule::default()).unwrap();
    let needed = 36;
    let why = &gaze.rejected.first().unwrap().why;
    assert!(
        matches!(why, Rejection::TooFewSamples { samples: 12, needed: n } if *n == needed),
        "{why:?}"
    );
    assert!(gaze.quality.accuracy_deg < 0.15, "{:?}", gaze.quality);
}

#[test]
fn a_noisy_tracker_is_no_reason_to_leave_every_point_out() {
    let gaze = fit_gaze(&points(0, 7, 2.5), FitRule::default()).unwrap();
    assert!(gaze.rejected.is_empty(), "{:?}", gaze.rejected);
}

/// Gaze that follows a moving target, `lag_s` behind it, but for `away` of the time, when it rests elsewhere.
fn followed(seed: u64, lag_s: f64, away: f64) -> GazeInput {
    let mut noise = Noise(seed);
    let path = PursuitPath::at_speed((17.0, 10.0), 10.0);
    let samples = (0..(path.period_s * RATE_HZ) as u32)
        .map(|i| {
            let t_s = f64::from(i) / RATE_HZ;
            let aside = (t_s * 0.37).fract() < away;
            let at = if aside {
                (-15.0, 9.5)
            } else {
                path.at(t_s - lag_s)
            };
            let mut sample = look(0, 100.0 + t_s, at, 0.3, &mut noise);
            sample.valid = (t_s * 0.21).fract() > 0.04;
            sample
        })
        .collect();
    let mut points = points(0, seed, 0.3);
    points.retain(|point| point.use_as == PointUse::Check);
    GazeInput {
        points,
        pursuits: vec![GazePursuit {
            path,
            shown_s: 100.0,
            samples,
            eyes: None,
        }],
        ..GazeInput::default()
    }
}

#[test]
fn a_moving_target_calibrates_and_the_lag_of_the_eye_is_found() {
    for (lag_s, away) in [(0.0, 0.0), (0.08, 0.0), (0.13, 0.25), (0.2, 0.35)] {
        let gaze = calibrate_gaze(&followed(11, lag_s, away), FitRule::default()).unwrap();
        let pursuit = gaze.pursuit.unwrap();
        near(pursuit.lag_s, lag_s, 0.012);
        let share = pursuit.not_followed as f64 / pursuit.windows as f64;
        assert!(share >= 0.8 * away && share < away + 0.12, "{away} {share}");
        assert!(worst(&gaze.map, 0) < 0.4, "{away}: {}", worst(&gaze.map, 0));
        assert_eq!(gaze.quality.held_out, HeldOut::EveryPoint);
        assert!(gaze.quality.accuracy_deg < 0.3, "{:?}", gaze.quality);
        assert!(gaze.accuracy_in_words().contains("moving target"));
    }
}

#[test]
fn who_does_not_follow_the_target_is_told_so() {
    let refused = calibrate_gaze(&followed(12, 0.1, 0.9), FitRule::default());
    let error = refused.unwrap_err();
    assert!(error.to_string().contains("did not follow"), "{error}");
    let mut blind = followed(12, 0.1, 0.0);
    for sample in &mut blind.pursuits[0].samples {
        sample.valid = false;
    }
    assert!(matches!(
        calibrate_gaze(&blind, FitRule::default()),
        Err(CalibrationError::TooFew { .. })
    ));
    let mut nobody = followed(12, 0.1, 0.0);
    nobody.points.clear();
    let error = calibrate_gaze(&nobody, FitRule::default()).unwrap_err();
    assert!(error.to_string().contains("to judge the map by"), "{error}");
}

#[test]
fn the_path_keeps_its_speed_and_its_bounds() {
    let path = PursuitPath::at_speed((17.0, 10.0), 8.0);
    let step = 1e-3;
    let n = (path.period_s / step) as u32;
    let mut length = 0.0;
    for i in 0..n {
        let (a, b) = (
            path.at(f64::from(i) * step),
            path.at(f64::from(i + 1) * step),
        );
        let speed = (a.0 - b.0).hypot(a.1 - b.1) / step;
        assert!(speed < 16.0 && a.0.abs() <= 17.0 && a.1.abs() <= 10.0);
        length += speed * step;
    }
    near(length / path.period_s, 8.0, 0.02);
    assert_eq!(path.at(-1.0), (0.0, 0.0));
}

#[test]
fn a_tracker_that_is_calibrated_by_itself_is_only_measured() {
    // Degrees already, 0.8 degrees off to the right.
    let mut points = points(0, 9, 0.2);
    let mut noise = Noise(9);
    for point in &mut points {
        for sample in &mut point.samples {
            (sample.x, sample.y) = (
                point.x_deg + 0.8 + 0.2 * noise.gauss(),
                point.y_deg + 0.2 * noise.gauss(),
            );
        }
    }
    let input = GazeInput {
        calibrated: true,
        ..points.into()
    };
    let gaze: GazeCalibration = calibrate_gaze(&input, FitRule::default()).unwrap();
    assert_eq!(gaze.map, GazeMap::IDENTITY);
    assert_eq!(gaze.maps(), None);
    assert_eq!(gaze.held_out_points(), 13);
    near(gaze.quality.accuracy_deg, 0.8, 0.05);
    assert_eq!(gaze.quality.affine_deg, None);
    assert!(gaze.error.sd_x_deg > 0.8 && gaze.error.sd_y_deg < 0.3);
    assert!(gaze.accuracy_in_words().contains("own calibration"));
}

#[test]
fn the_page_shows_each_eye_and_names_the_points_that_are_not_used() {
    let mut points = two_eyes(21, 0.35);
    let lost = points[8].eyes.as_mut().unwrap();
    for sample in lost.left.iter_mut().chain(&mut lost.right) {
        sample.valid = false;
    }
    for sample in &mut points[8].samples {
        sample.valid = false;
    }
    let fitted = fit_session(&CalibrationInput {
        eeg: None,
        gaze: points.into(),
        provenance: Provenance {
            created_utc: "2025-11-27T12:00:00.000Z".into(),
            software: "test".into(),
            sources: Vec::new(),
        },
    })
    .unwrap();
    let page = render(&fitted.profile, &fitted.report).unwrap();
    assert!(page.contains("Each eye alone"));
    assert!(page.contains("the point at 16.0, 9.0 deg is not used"));
    assert!(page.contains("the left (◁) and the right eye (▷) alone"));
    let read: Profile =
        serde_json::from_str(&serde_json::to_string(&fitted.profile).unwrap()).unwrap();
    assert_eq!(read, fitted.profile);
}
