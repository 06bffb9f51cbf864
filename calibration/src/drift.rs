//! Densities that follow a drift of the scores: a cap put on again, gel that dries, another day.
//!
//! Between sessions the scores of a fixed classifier move and spread, and with them what a score is evidence for. How far is seen
//! without knowing the truth, as the share of targets among flashes is known: the mean and variance of all scores are
//! compared with those that the calibration's densities and that share predict. That the mean of unlabelled
//! signals suffices to follow the bias of a discriminant is from Vidaurre et al., "Toward unsupervised adaptation of LDA for
//! brain-computer interfaces", IEEE Trans. Biomed. Eng. 58 (2011), the rules that update the pooled mean and covariance; here, one
//! number each for the score. Where the truth of a flash is known the share is 1 or 0, and the same formulas hold.

use razvilka_dsp::score::{ScoreDensity, StudentT};

use crate::density::posterior;

/// What the calibration says of mean and variance counts as this many flashes.
pub(crate) const DRIFT_MEMORY_MIN: f64 = 60.0;
/// Flashes beside those that the calibration counts for; a new one never weighs less than one of both: what is older fades.
const DRIFT_MEMORY_MAX: f64 = 2_000.0;
/// No score moves the estimates by more than one this many standard deviations off.
const SCORE_SDS_MAX: f64 = 4.0;
/// Furthest shift, in scales of the non-targets' density.
pub(crate) const SHIFT_MAX: f64 = 1.5;
/// Range of the ratio of standard deviations.
pub(crate) const STRETCH_RANGE: (f64, f64) = (0.5, 3.0);
/// Below this many degrees of freedom a density's variance is taken as at this many.
const DOF_MIN: f64 = 3.0;

/// How far scores have moved and spread since the calibration, from those seen so far. Constant time and memory per score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreDrift {
    seen: f64,
    /// Mean deviation from what is expected, in scales of the non-targets' density.
    shift: f64,
    /// Variance about the shifted mean over the expected variance.
    spread: f64,
}

impl Default for ScoreDrift {
    fn default() -> Self {
        Self::new()
    }
}

impl ScoreDrift {
    /// Nothing seen: the calibration's densities as they are.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            seen: 0.0,
            shift: 0.0,
            spread: 1.0,
        }
    }

    /// Takes the score of one flash: `density` is what the calibration says of scores of this scorer, `target_share` the
    /// probability, before its score was known, that it was a target (1 or 0 where the truth is known). A score that is no
    /// number is passed over.
    pub fn observe(&mut self, score: f64, density: &ScoreDensity, target_share: f64) {
        let (expected, variance) = moments(density, target_share);
        let unit = density.nontarget().scale;
        let (deviation, variance) = ((score - expected) / unit, variance / unit.powi(2));
        if !deviation.is_finite() {
            return;
        }
        let far = SCORE_SDS_MAX * variance.sqrt();
        let off = deviation.clamp(-far, far) - self.shift;
        let weight = 1.0 / (DRIFT_MEMORY_MIN + self.seen + 1.0);
        self.shift += weight * off;
        self.spread += weight * (off * off / variance - self.spread);
        self.seen = (self.seen + 1.0).min(DRIFT_MEMORY_MAX);
    }

    /// Probability that the flash with this score was a target, by the densities where the scores before it lie; then this score
    /// counts among them. A score that is no number says nothing: the base rate.
    #[must_use]
    pub fn p_target(
        &mut self,
        score: f64,
        density: &ScoreDensity,
        base_rate: f64,
        reliability: f64,
    ) -> f64 {
        let llr = self.moved(density, base_rate).llr(score);
        self.observe(score, density, base_rate);
        posterior(llr.unwrap_or(0.0), base_rate, reliability)
    }

    /// Flashes seen, up to where what is older fades.
    #[must_use]
    pub fn seen(&self) -> f64 {
        self.seen
    }

    /// How far scores lie above what the calibration expects, in scales of the non-targets' density, at most 1.5 to either side.
    #[must_use]
    pub fn shift(&self) -> f64 {
        self.shift.clamp(-SHIFT_MAX, SHIFT_MAX)
    }

    /// Standard deviation of the scores over what the calibration expects, 0.5 to 3.
    #[must_use]
    pub fn stretch(&self) -> f64 {
        self.spread.sqrt().clamp(STRETCH_RANGE.0, STRETCH_RANGE.1)
    }

    /// What was seen, for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        let side = if self.shift < 0.0 { "lower" } else { "higher" };
        format!(
            "scores lie {:.2} scales {side} and spread {:.2} times as wide as the calibration says",
            self.shift().abs(),
            self.stretch()
        )
    }

    /// The densities where the scores are now: moved and stretched about the mean of all flashes, `target_share` of which are
    /// targets. Evidence for scores that lie as before among their like is as before.
    #[must_use]
    pub fn moved(&self, density: &ScoreDensity, target_share: f64) -> ScoreDensity {
        let (centre, _) = moments(density, target_share);
        let stretch = self.stretch();
        let shift = self.shift() * density.nontarget().scale;
        let place = |score: f64| score + shift + (score - centre) * (stretch - 1.0);
        let class = |from: StudentT| StudentT {
            location: place(from.location),
            scale: from.scale * stretch,
            dof: from.dof,
        };
        let (low, high) = density.trusted();
        ScoreDensity::new(
            class(density.target()),
            class(density.nontarget()),
            (place(low), place(high)),
            density.clip_nats(),
        )
        .and_then(|moved| moved.discounted(density.trust()))
        // Only numbers at the end of what a density may hold leave it.
        .unwrap_or(*density)
    }
}

/// Mean and variance of the score of a flash that is a target with this probability.
fn moments(density: &ScoreDensity, target_share: f64) -> (f64, f64) {
    let (target, other) = (density.target(), density.nontarget());
    let variance = |t: StudentT| t.variance(DOF_MIN);
    let apart = target.location - other.location;
    (
        other.location + target_share * apart,
        target_share * variance(target)
            + (1.0 - target_share) * variance(other)
            + target_share * (1.0 - target_share) * apart.powi(2),
    )
}
