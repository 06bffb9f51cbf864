//! From what was shown to the eyes to a fitted, judged calibration.

use serde::{Deserialize, Serialize};

use super::eyes::EyeMaps;
use super::fit::{EyeFit, View};
use super::judged::Judged;
use super::map::{distance, median};
use super::points::FitRule;
use super::pursuit::Followed;
use super::{GazeErrorModel, GazeInput, GazeMap, GazePoint, PointUse};
use crate::error::{CalibrationError, Result, finite, in_range};

/// Which points the accuracy was measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldOut {
    /// Points of [`PointUse::Check`].
    CheckPoints,
    /// Each point by the map of the others, as there were no check points.
    LeaveOnePointOut,
    /// All of them, as none was fitted on: the map is that of a moving target, or the tracker's own.
    EveryPoint,
}

/// The figures by which a gaze calibration is judged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GazeQuality {
    /// Which points accuracy was measured on.
    pub held_out: HeldOut,
    /// Mean distance of a held-out point's mapped median from its target, degrees.
    pub accuracy_deg: f64,
    /// Median such distance, degrees; absent in profiles before format 4.
    #[serde(default)]
    pub median_deg: Option<f64>,
    /// Greatest such distance, degrees.
    pub worst_deg: f64,
    /// Mean distance of what is fitted on from where the affine map of the rest puts it, degrees: of points each by the others, of a
    /// moving target each eighth of its way by the others. The order is chosen by this and the next figure. Absent when nothing was
    /// fitted.
    pub affine_deg: Option<f64>,
    /// The same of the second-order map; absent with fewer than 7 fit points, or when they do not determine it.
    pub second_order_deg: Option<f64>,
    /// Precision: standard deviation of samples about their point's mean, both axes, root mean square over points, degrees.
    pub precision_sd_deg: f64,
    /// Precision: root mean square of the distance from sample to sample (RMS-S2S), degrees.
    pub rms_s2s_deg: f64,
    /// Share of samples that were invalid or missing, 0 to 1.
    pub data_loss: f64,
    /// Valid samples per second.
    pub rate_hz: f64,
    /// Samples per second by their stamps, valid or not.
    #[serde(default)]
    pub stamped_rate_hz: Option<f64>,
    /// Rate that the tracker declares, Hz.
    #[serde(default)]
    pub declared_rate_hz: Option<f64>,
    /// Points with enough samples at one place.
    pub points_used: usize,
    /// Points without.
    pub points_rejected: usize,
}

/// One usable point as the report shows it, mapped, degrees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointResult {
    /// Target, degrees.
    pub target_deg: (f64, f64),
    /// Mapped median, degrees; by a map that was not fitted on this point when `held_out`.
    pub gaze_deg: (f64, f64),
    /// Their distance, degrees.
    pub error_deg: f64,
    /// Variances and covariance of the mapped samples: xx, yy, xy, square degrees.
    pub spread_deg2: (f64, f64, f64),
    /// Usable samples.
    pub samples: usize,
    /// Whether the map was not fitted on this point.
    pub held_out: bool,
}

/// Why a point is not used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// The eye was hardly seen.
    TooFewSamples {
        /// Samples after the eye had time to arrive.
        samples: usize,
        /// How many are needed.
        needed: usize,
    },
    /// The eye did not stay.
    Scattered {
        /// Standard deviation of one axis, by the radius that holds three quarters of the samples, degrees.
        scatter_deg: f64,
        /// How much there may be: 1.5 degrees, or four times what is usual among the points.
        limit_deg: f64,
    },
}

/// A point that is not used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectedPoint {
    /// Target, degrees.
    pub target_deg: (f64, f64),
    /// What it was for.
    pub use_as: PointUse,
    /// Why.
    pub why: Rejection,
}

impl RejectedPoint {
    /// For people: `the point at 3.0, -8.1 deg: 4 of 10 samples needed`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let (x, y) = self.target_deg;
        let why = match self.why {
            Rejection::TooFewSamples { samples, needed } => {
                format!("the eye was seen in {samples} samples, {needed} are needed")
            }
            Rejection::Scattered {
                scatter_deg,
                limit_deg,
            } => format!(
                "the eye did not stay: it scatters by {scatter_deg:.1} deg, up to {limit_deg:.1} are taken"
            ),
        };
        let what = match self.use_as {
            PointUse::Fit => "point",
            PointUse::Check => "check point",
        };
        format!("the {what} at {x:.1}, {y:.1} deg is not used: {why}")
    }
}

/// What was learnt from a moving target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PursuitResult {
    /// How far the eye was behind the target, seconds; taken out before the fit.
    pub lag_s: f64,
    /// Tenths of a second in which the eye was seen.
    pub windows: usize,
    /// Those among them in which it did not follow.
    pub not_followed: usize,
    /// Median distance of the mapped gaze from the target where it did, degrees; of what was fitted on.
    pub residual_deg: f64,
}

impl PursuitResult {
    pub(super) fn of(followed: &Followed, map: &GazeMap) -> Self {
        let pairs = followed.pairs.iter();
        let off: Vec<f64> = pairs
            .map(|((x, y), target)| distance(map.apply(*x, *y), *target))
            .collect();
        Self {
            lag_s: followed.lag_s,
            windows: followed.windows,
            not_followed: followed.windows - followed.pairs.len(),
            residual_deg: median(&off),
        }
    }
}

/// One eye alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EyeCalibration {
    /// From tracker to screen.
    pub map: GazeMap,
    /// Accuracy, precision, loss.
    pub quality: GazeQuality,
    /// Point by point.
    pub points: Vec<PointResult>,
}

/// A fitted gaze calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GazeCalibration {
    /// From tracker to screen; of two eyes, for the mean of both. The identity when the tracker was calibrated by itself.
    pub map: GazeMap,
    /// Whether the tracker was calibrated by itself, and is only judged here.
    #[serde(default)]
    pub calibrated: bool,
    /// The left eye alone, where the tracker tells both apart.
    #[serde(default)]
    pub left: Option<EyeCalibration>,
    /// The right eye alone.
    #[serde(default)]
    pub right: Option<EyeCalibration>,
    /// The moving target that the map was fitted on, if it was.
    #[serde(default)]
    pub pursuit: Option<PursuitResult>,
    /// How mapped samples scatter about what is looked at.
    pub error: GazeErrorModel,
    /// What the gate raises gaze evidence to, 0 to 1, fitted on pieces of 100 ms.
    pub reliability: f64,
    /// Accuracy, precision, loss; of both eyes together where there are two.
    pub quality: GazeQuality,
    /// Point by point.
    pub points: Vec<PointResult>,
    /// Points that are not used.
    #[serde(default)]
    pub rejected: Vec<RejectedPoint>,
}

impl GazeCalibration {
    /// The maps from the tracker's unit to degrees; `None` when the tracker was calibrated by itself, and the geometry of the
    /// screen leads from its unit to degrees.
    #[must_use]
    pub fn maps(&self) -> Option<EyeMaps> {
        (!self.calibrated).then(|| EyeMaps {
            both: self.map,
            left: self.left.as_ref().map(|eye| eye.map),
            right: self.right.as_ref().map(|eye| eye.map),
        })
    }

    /// How many points accuracy was measured on.
    #[must_use]
    pub fn held_out_points(&self) -> usize {
        self.points.iter().filter(|point| point.held_out).count()
    }

    /// Accuracy with what it was measured on: `0.49 deg, mean of 4 check points that were not fitted on`.
    #[must_use]
    pub fn accuracy_in_words(&self) -> String {
        let n = self.held_out_points();
        let on = match self.quality.held_out {
            HeldOut::CheckPoints => format!("{n} check points that were not fitted on"),
            HeldOut::LeaveOnePointOut => {
                format!("{n} points, each by the map of the others; there were no check points")
            }
            HeldOut::EveryPoint if self.calibrated => {
                format!("{n} points, by the tracker's own calibration")
            }
            HeldOut::EveryPoint => {
                format!("{n} points; the map was fitted on a moving target")
            }
        };
        format!("{:.2} deg, mean of {on}", self.quality.accuracy_deg)
    }

    /// Checks numbers and ranges, e.g. after reading from a file.
    ///
    /// # Errors
    /// [`CalibrationError::NotFinite`] or [`CalibrationError::OutOfRange`].
    pub fn validate(&self) -> Result<()> {
        self.map.validate()?;
        in_range("gaze error sd_x_deg", self.error.sd_x_deg, 1e-3, 180.0)?;
        in_range("gaze error sd_y_deg", self.error.sd_y_deg, 1e-3, 180.0)?;
        in_range("gaze outlier share", self.error.outlier_share, 0.0, 1.0)?;
        in_range("gaze reliability", self.reliability, 0.0, 1.0)?;
        let eyes = self.left.iter().chain(&self.right);
        for eye in eyes.clone() {
            eye.map.validate()?;
        }
        for q in std::iter::once(&self.quality).chain(eyes.map(|eye| &eye.quality)) {
            finite(
                "gaze quality",
                &[
                    q.accuracy_deg,
                    q.worst_deg,
                    q.precision_sd_deg,
                    q.rms_s2s_deg,
                    q.data_loss,
                    q.rate_hz,
                ],
            )?;
        }
        Ok(())
    }
}

/// [`calibrate_gaze`] with points alone.
///
/// # Errors
/// As [`calibrate_gaze`].
pub fn fit_gaze(points: &[GazePoint], rule: FitRule) -> Result<GazeCalibration> {
    calibrate_gaze(&points.to_vec().into(), rule)
}

/// Fits affine and second-order maps on the medians of the `Fit` points or, where a target moved, on the gaze that followed it; keeps
/// the one that predicts each part better from the others, and describes what is left. Of two eyes, each has a map of its own,
/// and both are judged as their mean.
///
/// Accuracy is that of points that take part neither in the fit nor in the choice. Without such points it
/// is the error by which the order was chosen, each fit point by the map of the others, and a little too good for that.
///
/// # Errors
/// [`CalibrationError::TooFew`] with fewer than 4 usable fit points, or none to judge by; [`CalibrationError::Degenerate`] when they
/// lie on a line, or the eye did not follow the moving target; [`CalibrationError::OutOfRange`] for a rule outside its range,
/// [`CalibrationError::NotFinite`] for a target, [`CalibrationError::Shape`] when an eye has not as many samples as there are
/// stamps.
pub fn calibrate_gaze(input: &GazeInput, rule: FitRule) -> Result<GazeCalibration> {
    check(input, rule)?;
    let binocular = input.points.iter().any(|point| point.eyes.is_some())
        || input.pursuits.iter().any(|pursuit| pursuit.eyes.is_some());
    let both = EyeFit::of(input, View::Both, rule);
    if !binocular {
        let fit = both?;
        let judged = Judged::one(input, View::Both, &fit, rule);
        return assemble(input, fit, &judged, [None, None]);
    }
    let eyes = [View::Left, View::Right].map(|view| EyeFit::of(input, view, rule));
    let alone = |view: View, fit: &EyeFit| {
        let judged = Judged::one(input, view, fit, rule);
        EyeCalibration {
            map: fit.map,
            quality: judged.quality(fit, input.declared_rate_hz),
            points: judged.results(),
        }
    };
    match eyes {
        [Ok(left), Ok(right)] => {
            let judged = Judged::two(input, &left, &right, rule);
            let each = [
                Some(alone(View::Left, &left)),
                Some(alone(View::Right, &right)),
            ];
            // Eyes that were never seen at the same time have no mean to be mapped.
            assemble(input, both.unwrap_or(left), &judged, each)
        }
        [Ok(left), Err(_)] => {
            let each = [Some(alone(View::Left, &left)), None];
            let judged = Judged::one(input, View::Left, &left, rule);
            assemble(input, left, &judged, each)
        }
        [Err(_), Ok(right)] => {
            let each = [None, Some(alone(View::Right, &right))];
            let judged = Judged::one(input, View::Right, &right, rule);
            assemble(input, right, &judged, each)
        }
        [Err(error), Err(_)] => Err(error),
    }
}

fn check(input: &GazeInput, rule: FitRule) -> Result<()> {
    in_range("settle_s", rule.settle_s, 0.0, 2.0)?;
    for point in &input.points {
        finite("gaze point", &[point.x_deg, point.y_deg, point.shown_s])?;
    }
    for pursuit in &input.pursuits {
        let path = &pursuit.path;
        finite("pursuit", &[pursuit.shown_s])?;
        in_range("pursuit half_w_deg", path.half_w_deg, 0.1, 90.0)?;
        in_range("pursuit half_h_deg", path.half_h_deg, 0.1, 90.0)?;
        in_range("pursuit period_s", path.period_s, 1.0, 600.0)?;
    }
    let of_points = input.points.iter().map(|p| (p.samples.len(), &p.eyes));
    let of_pursuits = input.pursuits.iter().map(|p| (p.samples.len(), &p.eyes));
    for (expected, eyes) in of_points.chain(of_pursuits) {
        let Some(eyes) = eyes else { continue };
        for actual in [eyes.left.len(), eyes.right.len()] {
            if actual != expected {
                return Err(CalibrationError::Shape {
                    what: "samples of one eye",
                    expected,
                    actual,
                });
            }
        }
    }
    Ok(())
}

fn assemble(
    input: &GazeInput,
    fit: EyeFit,
    judged: &Judged,
    [left, right]: [Option<EyeCalibration>; 2],
) -> Result<GazeCalibration> {
    if !judged.is_judged() {
        return Err(CalibrationError::TooFew {
            what: "usable gaze points to judge the map by",
            found: 0,
            needed: 1,
        });
    }
    let error = judged.error_model();
    let centres = input.points.iter().zip(&fit.centres).enumerate();
    let rejected = centres.filter(|(index, _)| !judged.is_kept(*index));
    let rejected = rejected.filter_map(|(_, (point, centre))| {
        Some(RejectedPoint {
            target_deg: (point.x_deg, point.y_deg),
            use_as: point.use_as,
            why: centre.as_ref().err().copied()?,
        })
    });
    Ok(GazeCalibration {
        map: fit.map,
        calibrated: input.calibrated,
        left,
        right,
        pursuit: fit.pursuit,
        reliability: judged.reliability(&error),
        error,
        quality: judged.quality(&fit, input.declared_rate_hz),
        points: judged.results(),
        rejected: rejected.collect(),
    })
}
