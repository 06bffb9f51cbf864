//! From features to evidence: the score of an epoch, and the score's log-likelihood ratio.
//!
//! Both are only evaluated here; the calibration crate fits them.

use serde::{Deserialize, Serialize};

use crate::car::dot;
use crate::epoch::EpochShape;
use crate::error::{DspError, parameter, shape};
use crate::mask::ChannelMask;
use crate::tangent::TangentScorer;

/// Weighted sum of epoch features plus a bias.
///
/// Weights are given `[channel][bin]`, like the features, and kept `[bin][channel]`, so that each bin can be added to the score as
/// soon as it is complete. A whole-epoch [`LinearScorer::score`] adds in that same order: both give the same bits.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearScorer {
    shape: EpochShape,
    by_bin: Vec<f64>,
    bias: f64,
    used: ChannelMask,
}

impl LinearScorer {
    /// Checks and takes `weights`, `[channel][bin]`.
    ///
    /// A channel counts as used when any of its weights is not zero: a scorer for fewer channels (a covariance
    /// sub-block) has zeros for the others.
    ///
    /// # Errors
    /// [`DspError::Shape`] for another number of weights than features, [`DspError::Parameter`] when one is not finite.
    pub fn new(epoch: EpochShape, weights: &[f64], bias: f64) -> Result<Self, DspError> {
        shape("weights", weights.len(), epoch.features())?;
        parameter("bias", bias, f64::MIN, f64::MAX)?;
        let mut by_bin = vec![0.0; weights.len()];
        let mut used = ChannelMask::NONE;
        for (channel, row) in weights.chunks_exact(epoch.bins()).enumerate() {
            for (bin, w) in row.iter().enumerate() {
                by_bin[bin * epoch.channels() + channel] =
                    parameter("weight", *w, f64::MIN, f64::MAX)?;
                if *w != 0.0 {
                    used.insert(channel);
                }
            }
        }
        Ok(Self {
            shape: epoch,
            by_bin,
            bias,
            used,
        })
    }

    /// Shape of the epochs it scores.
    #[must_use]
    pub fn shape(&self) -> EpochShape {
        self.shape
    }

    /// Channels with a weight other than zero.
    #[must_use]
    pub fn used(&self) -> ChannelMask {
        self.used
    }

    /// The constant term.
    #[must_use]
    pub fn bias(&self) -> f64 {
        self.bias
    }

    /// Scores a whole feature vector, `[channel][bin]`. Allocates one row: for offline use.
    ///
    /// # Errors
    /// [`DspError::Shape`] for another number of features.
    pub fn score(&self, features: &[f64]) -> Result<f64, DspError> {
        shape("features", features.len(), self.shape.features())?;
        let mut row = vec![0.0; self.shape.channels()];
        let mut score = self.bias;
        for bin in 0..self.shape.bins() {
            for (x, of_channel) in row.iter_mut().zip(features.chunks_exact(self.shape.bins())) {
                *x = of_channel[bin];
            }
            score += self.bin_score(bin, &row);
        }
        Ok(score)
    }

    /// What one bin, one mean per channel, adds to the score.
    pub(crate) fn bin_score(&self, bin: usize, means: &[f64]) -> f64 {
        let n = self.shape.channels();
        self.by_bin
            .get(bin * n..(bin + 1) * n)
            .map_or(0.0, |weights| dot(weights, means))
    }
}

/// What scores an epoch: a linear part, gathered bin by bin, and, where the calibration chose one, a part in the tangent space,
/// which is ready after the last bin. The score is their sum; weights of a fusion are in the parts' own numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochScorer {
    linear: LinearScorer,
    tangent: Option<TangentScorer>,
}

impl EpochScorer {
    /// Joins two parts for the same epochs.
    ///
    /// # Errors
    /// [`DspError::Shape`] when they expect epochs of different sizes.
    pub fn new(linear: LinearScorer, tangent: Option<TangentScorer>) -> Result<Self, DspError> {
        if let Some(other) = tangent.as_ref().map(TangentScorer::shape) {
            shape(
                "channels of the scorer",
                other.channels(),
                linear.shape.channels(),
            )?;
            shape("bins of the scorer", other.bins(), linear.shape.bins())?;
        }
        Ok(Self { linear, tangent })
    }

    /// Shape of the epochs it scores.
    #[must_use]
    pub fn shape(&self) -> EpochShape {
        self.linear.shape
    }

    /// Channels that either part looks at.
    #[must_use]
    pub fn used(&self) -> ChannelMask {
        let tangent = self.tangent.as_ref().map(TangentScorer::used);
        self.linear
            .used
            .union(&tangent.unwrap_or(ChannelMask::NONE))
    }

    /// The linear part.
    #[must_use]
    pub fn linear(&self) -> &LinearScorer {
        &self.linear
    }

    /// The part in the tangent space.
    #[must_use]
    pub fn tangent(&self) -> Option<&TangentScorer> {
        self.tangent.as_ref()
    }

    pub(crate) fn tangent_mut(&mut self) -> Option<&mut TangentScorer> {
        self.tangent.as_mut()
    }

    /// Scores a whole feature vector, `[channel][bin]`. Allocates: for offline use. The same bits as gathered bin by bin.
    ///
    /// # Errors
    /// [`DspError::Shape`] for another number of features.
    pub fn score(&mut self, features: &[f64]) -> Result<f64, DspError> {
        let linear = self.linear.score(features)?;
        match &mut self.tangent {
            Some(tangent) => Ok(linear + tangent.score(features)?),
            None => Ok(linear),
        }
    }
}

impl From<LinearScorer> for EpochScorer {
    fn from(linear: LinearScorer) -> Self {
        Self {
            linear,
            tangent: None,
        }
    }
}

/// Location-scale Student-t density. With `dof` large it is Gaussian; with `dof` small it has heavy tails.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentT {
    /// Centre, in units of the score.
    pub location: f64,
    /// Scale, in units of the score, above 0.
    pub scale: f64,
    /// Degrees of freedom, 1..=1e6.
    pub dof: f64,
}

impl StudentT {
    /// Natural logarithm of the density at `x`.
    ///
    /// `ln G((v+1)/2) - ln G(v/2) - ln(v pi)/2 - ln s - (v+1)/2 ln(1 + z^2/v)`, with `z = (x - location) / s`.
    #[must_use]
    pub fn ln_density(&self, x: f64) -> f64 {
        let z = (x - self.location) / self.scale;
        self.ln_norm() - 0.5 * (self.dof + 1.0) * (z * z / self.dof).ln_1p()
    }

    /// Variance, `s^2 v / (v - 2)`, with the degrees of freedom `v` taken as at least `dof_min`, above 2: below 3 or 4 it is all
    /// tail.
    #[must_use]
    pub fn variance(&self, dof_min: f64) -> f64 {
        let dof = self.dof.max(dof_min);
        self.scale * self.scale * dof / (dof - 2.0)
    }

    fn ln_norm(&self) -> f64 {
        let v = self.dof;
        ln_gamma_half_step(v) - 0.5 * (v * std::f64::consts::PI).ln() - self.scale.ln()
    }

    fn check(&self) -> Result<(), DspError> {
        parameter("density location", self.location, -1e12, 1e12)?;
        parameter("density scale", self.scale, 1e-12, 1e12)?;
        parameter("density degrees of freedom", self.dof, 1.0, 1e6)?;
        Ok(())
    }
}

/// Class-conditional densities of a score, which turn it into evidence.
///
/// Two rules keep a rare score from shouting: the ratio is evaluated no further out than `trusted`, the range that was
/// seen out of fold (beyond it two heavy tails can even reverse the sign), and it is clipped at `clip_nats`. What has earned less
/// trust than the source as a whole is discounted ([`ScoreDensity::discounted`]).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawScoreDensity")]
pub struct ScoreDensity {
    target: StudentT,
    nontarget: StudentT,
    trusted: (f64, f64),
    clip_nats: f64,
    #[serde(skip_serializing_if = "is_whole")]
    trust: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_whole(trust: &f64) -> bool {
    *trust == WHOLE
}

/// Ratios are taken as they are.
const WHOLE: f64 = 1.0;

const fn whole() -> f64 {
    WHOLE
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScoreDensity {
    target: StudentT,
    nontarget: StudentT,
    trusted: (f64, f64),
    clip_nats: f64,
    #[serde(default = "whole")]
    trust: f64,
}

impl TryFrom<RawScoreDensity> for ScoreDensity {
    type Error = DspError;

    fn try_from(raw: RawScoreDensity) -> Result<Self, DspError> {
        Self::new(raw.target, raw.nontarget, raw.trusted, raw.clip_nats)?.discounted(raw.trust)
    }
}

impl ScoreDensity {
    /// Checks and wraps: `target` and `nontarget` densities, the trusted range of scores, and the largest
    /// evidence of one score, 0..=20 nats.
    ///
    /// # Errors
    /// [`DspError::Parameter`] for a number out of range or not finite, or a trusted range that is not in rising order.
    pub fn new(
        target: StudentT,
        nontarget: StudentT,
        trusted: (f64, f64),
        clip_nats: f64,
    ) -> Result<Self, DspError> {
        target.check()?;
        nontarget.check()?;
        parameter("lowest trusted score", trusted.0, -1e12, 1e12)?;
        parameter("highest trusted score", trusted.1, trusted.0, 1e12)?;
        parameter("evidence clip in nats", clip_nats, 0.0, 20.0)?;
        Ok(Self {
            target,
            nontarget,
            trusted,
            clip_nats,
            trust: WHOLE,
        })
    }

    /// The same densities, whose ratios count for `trust` of what they would: 1 is all, 0 nothing. Another discount before it
    /// goes on to hold.
    ///
    /// # Errors
    /// [`DspError::Parameter`] unless `trust` lies within 0..=1.
    pub fn discounted(self, trust: f64) -> Result<Self, DspError> {
        let trust = self.trust * parameter("trust in the densities", trust, 0.0, 1.0)?;
        Ok(Self { trust, ..self })
    }

    /// What the ratios count for, 0 to 1.
    #[must_use]
    pub fn trust(&self) -> f64 {
        self.trust
    }

    /// Density of the score after a target flash.
    #[must_use]
    pub fn target(&self) -> StudentT {
        self.target
    }

    /// Density of the score after any other flash.
    #[must_use]
    pub fn nontarget(&self) -> StudentT {
        self.nontarget
    }

    /// Range of scores seen out of fold.
    #[must_use]
    pub fn trusted(&self) -> (f64, f64) {
        self.trusted
    }

    /// Largest evidence of one score, nats.
    #[must_use]
    pub fn clip_nats(&self) -> f64 {
        self.clip_nats
    }

    /// Log-likelihood ratio target : other of one score, nats, within +-`clip_nats`. `None` when the score is not
    /// finite: that is a fault to be reported, not evidence.
    #[must_use]
    pub fn llr(&self, score: f64) -> Option<f64> {
        if !score.is_finite() {
            return None;
        }
        let score = score.clamp(self.trusted.0, self.trusted.1);
        let llr = self.target.ln_density(score) - self.nontarget.ln_density(score);
        Some(self.trust * llr.clamp(-self.clip_nats, self.clip_nats))
    }
}

/// `ln Gamma((v + 1) / 2) - ln Gamma(v / 2)` for `v >= 1`, without the cancellation of two large logarithms.
pub(crate) fn ln_gamma_half_step(v: f64) -> f64 {
    // Lift x = v / 2 by G(x + 1/2) / G(x) = (x / (x + 1/2)) G(x + 3/2) / G(x + 1) to where the asymptotic series of
    // ln(G(x + 1/2) / G(x)) (Fields 1966; DLMF 5.11.13) has converged to the last bit or two.
    let mut x = v / 2.0;
    let mut lifted = 0.0;
    while x < 20.0 {
        lifted += (x / (x + 0.5)).ln();
        x += 1.0;
    }
    let r = 1.0 / x;
    let r2 = r * r;
    let series = r
        * (-1.0 / 8.0
            + r2 * (1.0 / 192.0
                + r2 * (-1.0 / 640.0 + r2 * (17.0 / 14_336.0 - r2 * (31.0 / 18_432.0)))));
    lifted + 0.5 * x.ln() + series
}
