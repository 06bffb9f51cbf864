//! The pupil: what its size says after an option was read.
//!
//! A pupil widens when its owner meets what it wants, half a second to a second and a half later (the response function of Hoeks & Levelt
//! 1993, Behav. Res. Methods 25:16, has its maximum after 930 ms). Everything else that moves it is larger: light, where the eye looks,
//! effort, and a rhythm of its own. So the response to a look is taken as *change*: mean size from [`RESPONSE_S`] after the option was read,
//! less the mean of the [`BASELINE_S`] before (subtractive baseline: Mathôt, Fabius, Van Heusden & Van der Stigchel 2018, Behav. Res.
//! Methods 50:94), as a share of this person's slow mean and over its slow deviation.
//!
//! - [`EyeSizes`]: of two eyes one size, without a jump when one is lost.
//! - [`PupilTrack`]: means of 20 ms over the last seconds; blinks, their edges and steps that are too fast are left out and bridged.
//! - [`TileReads`]: when each tile was first read.
//! - [`PupilModel`]: takes out what the place of gaze does to the size that a camera sees, and turns the rest into a log-likelihood
//!   ratio of wanted against not.
//!
//! **Not taken out:** light. Tiles are assumed equally bright, and nothing here knows what is on the screen. Numbers are relative, so the
//! unit does not matter: millimetres, pixels or an area.

mod reads;
mod sizes;
mod track;

use serde::{Deserialize, Serialize};

use crate::error::{DspError, parameter};
use crate::score::ScoreDensity;

pub use reads::{Read, TileReads};
pub use sizes::EyeSizes;
pub use track::PupilTrack;

/// The baseline is the mean over this long before an option was read, seconds.
pub const BASELINE_S: f64 = 0.5;
/// The response is the mean from the first to the second of these after it, seconds.
pub const RESPONSE_S: (f64, f64) = (0.5, 1.5);
/// What is left out beside a blink, seconds.
pub const EDGE_S: f64 = 0.1;
/// So long after an option was read its response can be judged, seconds.
pub const KNOWN_AFTER_S: f64 = RESPONSE_S.1 + EDGE_S;
/// Terms of where gaze is: x, y, x², y² and xy, in tens of degrees.
pub const PLACE_TERMS: usize = 5;

/// The terms of a place on the screen, by which the size that a camera sees depends on it.
#[must_use]
pub fn place_terms([x_deg, y_deg]: [f64; 2]) -> [f64; PLACE_TERMS] {
    let (x, y) = (0.1 * x_deg, 0.1 * y_deg);
    [x, y, x * x, y * y, x * y]
}

/// How the pupil changed after an option was read.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct PupilResponse {
    /// Response less baseline, as a share of the slow mean.
    pub change: f64,
    /// The same of the terms of place ([`place_terms`]): how far gaze has moved meanwhile.
    pub moved: [f64; PLACE_TERMS],
    /// Slow deviation of the size, as a share of the slow mean.
    pub deviation: f64,
}

/// What a response says: the effect of place, and this person's densities of what is left.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PupilModel {
    /// Relative change of the size per term of place ([`place_terms`]): foreshortening (Hayes & Petrov 2016, Behav. Res. Methods 48:510)
    /// as a polynomial.
    pub place: [f64; PLACE_TERMS],
    /// Densities of the score: options that the person wanted as the target, options that it did not want as the other.
    pub density: ScoreDensity,
}

impl PupilModel {
    /// Checks the numbers that are not checked by their type.
    ///
    /// # Errors
    /// [`DspError::Parameter`].
    pub fn check(&self) -> Result<(), DspError> {
        for term in self.place {
            parameter("effect of place on the pupil", term, -5.0, 5.0)?;
        }
        Ok(())
    }

    /// The response without the effect of place, over the person's deviation.
    #[must_use]
    pub fn score(&self, response: &PupilResponse) -> f64 {
        score(&self.place, response)
    }

    /// Evidence that the option was wanted, nats; `None` for a score that is no number.
    #[must_use]
    pub fn llr(&self, score: f64) -> Option<f64> {
        self.density.llr(score)
    }
}

/// As [`PupilModel::score`], for who is still fitting one.
#[must_use]
pub fn score(place: &[f64; PLACE_TERMS], response: &PupilResponse) -> f64 {
    let moved = place.iter().zip(&response.moved).map(|(c, m)| c * m);
    (response.change - moved.sum::<f64>()) / response.deviation
}
