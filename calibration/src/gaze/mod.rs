//! Gaze calibration: where the person looked when told where to look, and what follows for later samples.
//!
//! Targets and mapped positions are degrees of visual angle from the centre of the screen, x to the right, y downwards. Angles
//! are treated as plane coordinates, which holds to 1 % within 10 degrees. What the tracker itself gives may be in any unit
//! (degrees, shares of the screen, pixels): the map turns it into degrees.

mod calibration;
mod eyes;
mod fit;
mod judged;
mod map;
mod points;
mod pursuit;
mod quality;

pub use calibration::{
    EyeCalibration, GazeCalibration, GazeQuality, HeldOut, PointResult, PursuitResult,
    RejectedPoint, Rejection, calibrate_gaze, fit_gaze,
};
pub use eyes::EyeMaps;
pub use map::{GazeMap, MapOrder};
pub use points::FitRule;
pub use pursuit::{GazePursuit, PursuitPath};
pub use quality::{rms_s2s, sd};

use razvilka_dsp::gaze_evidence::DwellModel;
use serde::{Deserialize, Serialize};

/// One sample of an eye tracker.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GazeSample {
    /// Stamp, seconds.
    pub t_s: f64,
    /// Horizontal position in the tracker's own unit.
    pub x: f64,
    /// Vertical position in the tracker's own unit.
    pub y: f64,
    /// Whether the tracker saw the eye. A sample whose position is not finite counts as invalid in any case.
    pub valid: bool,
}

impl GazeSample {
    fn usable(&self) -> bool {
        self.valid && self.x.is_finite() && self.y.is_finite() && self.t_s.is_finite()
    }
}

/// What a calibration point is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointUse {
    /// The map is fitted on it.
    Fit,
    /// It only says how good the map is.
    Check,
}

/// One point the person was told to look at, and the samples until it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GazePoint {
    /// Where it was, degrees.
    pub x_deg: f64,
    /// Where it was, degrees.
    pub y_deg: f64,
    /// What it is for.
    pub use_as: PointUse,
    /// When it appeared, seconds on the samples' clock.
    pub shown_s: f64,
    /// Samples while it was shown, in the order of time. Of two eyes, the mean of both, valid where both were seen.
    pub samples: Vec<GazeSample>,
    /// The same samples of each eye alone; absent when the tracker does not tell them apart.
    #[serde(default)]
    pub eyes: Option<EyeSamples>,
}

/// Samples of each eye alone, each as many as there are stamps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EyeSamples {
    /// The left eye.
    pub left: Vec<GazeSample>,
    /// The right eye.
    pub right: Vec<GazeSample>,
}

impl EyeSamples {
    /// One moment of both eyes: keeps each, and gives their mean, which is valid when both were seen.
    pub fn push(&mut self, left: GazeSample, right: GazeSample) -> GazeSample {
        self.left.push(left);
        self.right.push(right);
        GazeSample {
            t_s: left.t_s,
            x: 0.5 * (left.x + right.x),
            y: 0.5 * (left.y + right.y),
            valid: left.valid && right.valid,
        }
    }
}

/// Everything that was shown to the eyes, and how they were seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GazeInput {
    /// Points that stood still.
    pub points: Vec<GazePoint>,
    /// Targets that moved. Where there is one, the map is fitted on it and every point judges.
    pub pursuits: Vec<GazePursuit>,
    /// Whether positions are degrees by the tracker's own calibration: then nothing is fitted, and every point judges.
    pub calibrated: bool,
    /// Rate that the tracker declares, Hz.
    pub declared_rate_hz: Option<f64>,
}

impl GazeInput {
    /// Whether nothing was shown.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.points.is_empty() && self.pursuits.is_empty()
    }
}

impl From<Vec<GazePoint>> for GazeInput {
    fn from(points: Vec<GazePoint>) -> Self {
        Self {
            points,
            ..Self::default()
        }
    }
}

/// How mapped gaze scatters about what is looked at: a Gaussian per axis, and a share of samples that are anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GazeErrorModel {
    /// Standard deviation of the horizontal error, degrees; offset and noise together.
    pub sd_x_deg: f64,
    /// Standard deviation of the vertical error, degrees.
    pub sd_y_deg: f64,
    /// Share of samples that have nothing to do with the target, 0 to 1.
    pub outlier_share: f64,
}

/// Where an outlier may lie: a field of 60 by 40 degrees, equally likely everywhere.
const OUTLIER_FIELD_DEG2: f64 = 60.0 * 40.0;

impl GazeErrorModel {
    /// The real-time model of dwell evidence with this person's error in it, everything else as in `base`.
    ///
    /// The share of fixations elsewhere is `base`'s, raised if calibration saw
    /// more: at a fork people look around more than at a calibration point.
    #[must_use]
    pub fn dwell_model(&self, base: DwellModel) -> DwellModel {
        DwellModel {
            sd_x_deg: self.sd_x_deg.clamp(0.05, 20.0),
            sd_y_deg: self.sd_y_deg.clamp(0.05, 20.0),
            outlier: base.outlier.max(self.outlier_share).min(0.999),
            ..base
        }
    }

    /// Log-density (nats, per square degree) of a mapped sample that lies `dx_deg`, `dy_deg` from what is looked at.
    ///
    /// Never below the log-density of an outlier, so one stray sample cannot rule an option out. Does not allocate.
    #[must_use]
    pub fn ln_density(&self, dx_deg: f64, dy_deg: f64) -> f64 {
        let (zx, zy) = (dx_deg / self.sd_x_deg, dy_deg / self.sd_y_deg);
        let peak = (1.0 - self.outlier_share)
            / (2.0 * std::f64::consts::PI * self.sd_x_deg * self.sd_y_deg);
        (peak * (-0.5 * (zx * zx + zy * zy)).exp() + self.outlier_share / OUTLIER_FIELD_DEG2).ln()
    }
}
