//! What is believed of the weights of a conditional logit: a normal distribution, moved on choice by choice.

use super::matrix::{Factor, difference, dot, root, times};

/// Newton steps at most; a few are enough, as the objective is strictly convex.
const STEPS_MAX: usize = 60;
/// The gradient at which a step is the last.
const FLAT: f64 = 1e-11;

/// Most options that can be told apart: three branches and `other`.
pub const OPTIONS_MAX: usize = 4;
/// Nodes and weights of Gauss-Hermite quadrature of order 7 for the standard normal distribution (Abramowitz & Stegun 1964,
/// table 25.10, nodes times the root of 2, weights over the root of pi).
const NODES: [(f64, f64); 7] = [
    (-3.750_439_717_725_742, 5.482_688_559_722_178e-4),
    (-2.366_759_410_734_541, 3.075_712_396_758_65e-2),
    (-1.154_405_394_739_968, 2.401_231_786_050_127e-1),
    (0.0, 16.0 / 35.0),
    (1.154_405_394_739_968, 2.401_231_786_050_127e-1),
    (2.366_759_410_734_541, 3.075_712_396_758_65e-2),
    (3.750_439_717_725_742, 5.482_688_559_722_178e-4),
];

/// A belief that cannot be moved on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BeliefError {
    /// The answer is not among what was offered.
    #[error(
        "the answer is none of the {options} options that were offered: learn from answers to this offer only"
    )]
    NotOffered {
        /// Options of the offer, `other` among them.
        options: usize,
    },
    /// Numerically no distribution any more.
    #[error(
        "what is believed of the person's choices would be no distribution any more: forget the imitator and begin anew"
    )]
    Degenerate,
}

/// A normal distribution of `D` weights: mean, precision and its inverse. Nothing allocates.
#[derive(Debug, Clone, PartialEq)]
pub struct Belief<const D: usize> {
    mean: [f64; D],
    precision: [[f64; D]; D],
    covariance: [[f64; D]; D],
}

impl<const D: usize> Belief<D> {
    /// Independent weights with these means and standard deviations (larger than 0).
    #[must_use]
    pub fn independent(weights: [(f64, f64); D]) -> Self {
        let mut belief = Self {
            mean: weights.map(|(mean, _)| mean),
            precision: [[0.0; D]; D],
            covariance: [[0.0; D]; D],
        };
        for (i, (_, sd)) in weights.iter().enumerate() {
            belief.precision[i][i] = 1.0 / (sd * sd);
            belief.covariance[i][i] = sd * sd;
        }
        belief
    }

    /// Weights with these means and this precision, row by row, as [`mean`](Self::mean) and [`precision`](Self::precision) tell.
    ///
    /// # Errors
    /// [`BeliefError::Degenerate`] when that is no normal distribution.
    pub fn of(mean: [f64; D], precision: [[f64; D]; D]) -> Result<Self, BeliefError> {
        // Sums of products in another order are symmetric but for their last bits.
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0);
        let symmetric = (0..D).all(|i| (0..i).all(|j| near(precision[i][j], precision[j][i])));
        let covariance = Factor::of(&precision).map(|factor| factor.inverse());
        match covariance.filter(|_| symmetric && mean.iter().all(|mean| mean.is_finite())) {
            Some(covariance) => Ok(Self {
                mean,
                precision,
                covariance,
            }),
            None => Err(BeliefError::Degenerate),
        }
    }

    /// Precision of the weights, the inverse of their covariance, row by row.
    #[must_use]
    pub const fn precision(&self) -> &[[f64; D]; D] {
        &self.precision
    }

    /// Means of the weights.
    #[must_use]
    pub const fn mean(&self) -> &[f64; D] {
        &self.mean
    }

    /// Their covariance, row by row.
    #[must_use]
    pub const fn covariance(&self) -> &[[f64; D]; D] {
        &self.covariance
    }

    /// Forgets: both natural parameters (precision, precision times mean) become `keep` times their own plus `1 - keep` times
    /// those of `towards`, the geometric mean of two densities. Kulhavy & Zarrop 1993 ("On a general concept of forgetting",
    /// Int. J. Control 58:905). What is not learnt again returns to `towards` and no farther.
    ///
    /// # Errors
    /// [`BeliefError::Degenerate`] when the result is no distribution; nothing is changed then.
    pub fn forget(&mut self, keep: f64, towards: &Self) -> Result<(), BeliefError> {
        if keep >= 1.0 {
            return Ok(());
        }
        let (own, other) = (
            times(&self.precision, &self.mean),
            times(&towards.precision, &towards.mean),
        );
        let blend = |own: f64, other: f64| keep * own + (1.0 - keep) * other;
        let shift = std::array::from_fn(|i| blend(own[i], other[i]));
        let precision = std::array::from_fn(|i| {
            std::array::from_fn(|j| blend(self.precision[i][j], towards.precision[i][j]))
        });
        let factor = Factor::of(&precision).ok_or(BeliefError::Degenerate)?;
        self.mean = factor.solve(&shift);
        self.covariance = factor.inverse();
        self.precision = precision;
        Ok(())
    }

    /// Learns that among options with these features, `[options][D]`, the one with `wanted` 1 was chosen; fractions that sum to 1
    /// say that it is only known so far.
    ///
    /// Laplace's approximation choice by choice: the new mean is the mode of belief times likelihood, by Newton steps to machine
    /// precision, the new precision its Hessian there (Spiegelhalter & Lauritzen 1990, Networks 20:579; for one choice the batch
    /// problem of a MAP estimate with its Hessian).
    ///
    /// # Errors
    /// [`BeliefError::Degenerate`] when no mode is found or the precision is not positive definite; nothing is changed then.
    pub fn learn(&mut self, options: &[[f64; D]], wanted: &[f64]) -> Result<(), BeliefError> {
        let mut weights = self.mean;
        let mut value = self.objective(&weights, options, wanted);
        for _ in 0..STEPS_MAX {
            let (gradient, hessian) = self.slope(&weights, options, wanted);
            let factor = Factor::of(&hessian).ok_or(BeliefError::Degenerate)?;
            let step = factor.solve(&gradient);
            let steep = gradient.iter().fold(0.0_f64, |most, g| most.max(g.abs()));
            // Halved until it does not lead up; far from the mode a whole step may.
            let mut size = 1.0;
            let mut next = weights;
            let mut found = f64::INFINITY;
            while size > 1e-6 {
                for (to, (from, by)) in next.iter_mut().zip(weights.iter().zip(&step)) {
                    *to = from - size * by;
                }
                found = self.objective(&next, options, wanted);
                if found <= value + 1e-14 * value.abs().max(1.0) {
                    break;
                }
                size /= 2.0;
            }
            if !found.is_finite() {
                return Err(BeliefError::Degenerate);
            }
            (weights, value) = (next, found);
            if steep < FLAT {
                break;
            }
        }
        let (_, precision) = self.slope(&weights, options, wanted);
        let factor = Factor::of(&precision).ok_or(BeliefError::Degenerate)?;
        self.mean = weights;
        self.precision = precision;
        self.covariance = factor.inverse();
        Ok(())
    }

    /// Minus the logarithm of belief times likelihood, up to a constant.
    fn objective(&self, weights: &[f64; D], options: &[[f64; D]], wanted: &[f64]) -> f64 {
        let away = difference(weights, &self.mean);
        let prior = dot(&away, &times(&self.precision, &away)) / 2.0;
        let mut most = f64::NEG_INFINITY;
        let mut chosen = 0.0;
        for (row, share) in options.iter().zip(wanted) {
            let utility = dot(row, weights);
            most = most.max(utility);
            chosen += share * utility;
        }
        let sum: f64 = options
            .iter()
            .map(|row| (dot(row, weights) - most).exp())
            .sum();
        prior + most + sum.ln() - chosen
    }

    /// Gradient and Hessian of the objective.
    fn slope(
        &self,
        weights: &[f64; D],
        options: &[[f64; D]],
        wanted: &[f64],
    ) -> ([f64; D], [[f64; D]; D]) {
        let mut gradient = times(&self.precision, &difference(weights, &self.mean));
        let mut hessian = self.precision;
        let most = options
            .iter()
            .map(|row| dot(row, weights))
            .fold(f64::NEG_INFINITY, f64::max);
        let mass = |row: &[f64; D]| (dot(row, weights) - most).exp();
        let sum: f64 = options.iter().map(mass).sum();
        let mut centre = [0.0; D];
        for row in options {
            let p = mass(row) / sum;
            centre.iter_mut().zip(row).for_each(|(c, x)| *c += p * x);
        }
        for (row, share) in options.iter().zip(wanted) {
            let p = mass(row) / sum;
            let away = difference(row, &centre);
            for i in 0..D {
                gradient[i] += (p - share) * row[i];
                for j in 0..D {
                    hessian[i][j] += p * away[i] * away[j];
                }
            }
        }
        (gradient, hessian)
    }

    /// Probability of each of the options, `[options][D]`, at most [`OPTIONS_MAX`], with the uncertainty of the weights taken
    /// in: the mean of softmax under the belief. Utilities relative to the first option are normal too, in at most three
    /// dimensions; there the mean is taken by Gauss-Hermite quadrature of seven points each. (MacKay's 1992 probit formula,
    /// "The evidence framework applied to classification networks", is for two options; put together pair by pair it was 0.12
    /// off at the widest beliefs tried, this 0.03, and 0.008 where a weight is known to 0.5.)
    ///
    /// Writes as many numbers as there are options and room; the rest is left.
    pub fn predict(&self, options: &[[f64; D]], probabilities: &mut [f64]) {
        let found = options.len().min(OPTIONS_MAX).min(probabilities.len());
        let Some((first, others)) = options[..found].split_first() else {
            return;
        };
        let mut away = [[0.0; D]; OPTIONS_MAX - 1];
        let mut ahead = [0.0; OPTIONS_MAX - 1];
        for ((away, ahead), option) in away.iter_mut().zip(&mut ahead).zip(others) {
            *away = difference(option, first);
            *ahead = dot(away, &self.mean);
        }
        let covariance = std::array::from_fn(|i| {
            let spread = times(&self.covariance, &away[i]);
            std::array::from_fn(|j| dot(&spread, &away[j]))
        });
        let root = root(&covariance);
        let mut sums = [0.0; OPTIONS_MAX];
        let dimensions = others.len() as u32;
        for point in 0..NODES.len().pow(dimensions) {
            let (mut rest, mut weight) = (point, 1.0);
            let mut at = [0.0; OPTIONS_MAX - 1];
            for at in &mut at[..others.len()] {
                let (node, share) = NODES[rest % NODES.len()];
                (*at, weight, rest) = (node, weight * share, rest / NODES.len());
            }
            let mut utilities = [0.0; OPTIONS_MAX];
            for (i, row) in root.iter().enumerate().take(others.len()) {
                utilities[i + 1] = ahead[i] + dot(row, &at);
            }
            let most = utilities[..found]
                .iter()
                .copied()
                .fold(f64::NEG_INFINITY, f64::max);
            let masses = utilities.map(|utility| (utility - most).exp());
            let sum: f64 = masses[..found].iter().sum();
            for (to, mass) in sums.iter_mut().zip(masses) {
                *to += weight * mass / sum;
            }
        }
        probabilities[..found].copy_from_slice(&sums[..found]);
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use serde::Deserialize;

    use super::*;

    const D: usize = 4;

    #[derive(Deserialize)]
    struct Golden {
        prior: [(f64, f64); D],
        keep: f64,
        forks: Vec<Fork>,
        /// The whole problem at once, without forgetting.
        batch_mean: [f64; D],
        batch_covariance: [[f64; D]; D],
        softmax: Vec<Softmax>,
    }

    #[derive(Deserialize)]
    struct Fork {
        options: Vec<[f64; D]>,
        wanted: Vec<f64>,
        /// After this fork; given for some.
        mean: Option<[f64; D]>,
        covariance: Option<[[f64; D]; D]>,
    }

    #[derive(Deserialize)]
    struct Softmax {
        weights: [(f64, f64); D],
        options: Vec<[f64; D]>,
        /// Mean of softmax over many draws.
        drawn: Vec<f64>,
    }

    fn golden() -> Golden {
        let golden = include_str!("../../../fixtures/golden/choice/imitator.json");
        serde_json::from_str(golden).unwrap()
    }

    /// Independent truth: the same sequence of problems solved by SciPy's minimiser with finite Hessians by hand
    /// (`fixtures/golden/choice/generate.py`).
    #[test]
    fn every_step_is_the_mode_and_the_hessian_that_scipy_finds() {
        let golden = golden();
        let start = Belief::independent(golden.prior);
        let mut belief = start.clone();
        let mut compared = 0;
        for fork in &golden.forks {
            belief.forget(golden.keep, &start).unwrap();
            belief.learn(&fork.options, &fork.wanted).unwrap();
            let (Some(mean), Some(covariance)) = (&fork.mean, &fork.covariance) else {
                continue;
            };
            compared += 1;
            for i in 0..D {
                assert!((belief.mean()[i] - mean[i]).abs() < 1e-7, "{i}");
                for (found, expected) in belief.covariance()[i].iter().zip(&covariance[i]) {
                    assert!((found - expected).abs() < 1e-7, "{i}: {found} {expected}");
                }
            }
        }
        assert!(compared >= 10);
    }

    #[test]
    fn without_forgetting_it_ends_near_the_estimate_from_all_choices_at_once() {
        let golden = golden();
        let mut belief = Belief::independent(golden.prior);
        for fork in &golden.forks {
            belief.learn(&fork.options, &fork.wanted).unwrap();
        }
        for i in 0..D {
            let sd = golden.batch_covariance[i][i].sqrt();
            let off = (belief.mean()[i] - golden.batch_mean[i]).abs() / sd;
            assert!(off < 0.3, "weight {i} is {off} standard deviations off");
            assert!((belief.covariance()[i][i].sqrt() / sd - 1.0).abs() < 0.1);
        }
    }

    /// Independent truth: NumPy's mean over two hundred thousand draws of the weights.
    #[test]
    fn the_probabilities_are_those_of_weights_drawn_from_the_belief() {
        // Standard deviations of a weight about 0.2, 0.5, 1 and 1.5, four cases each; features are standard normal.
        let cases = golden().softmax;
        assert_eq!(cases.len(), 16);
        for (four, off_max) in cases.chunks(4).zip([0.003, 0.01, 0.02, 0.035]) {
            let mut worst = 0.0_f64;
            for case in four {
                let mut found = vec![0.0; case.options.len()];
                Belief::independent(case.weights).predict(&case.options, &mut found);
                for (found, drawn) in found.iter().zip(&case.drawn) {
                    worst = worst.max((found - drawn).abs());
                }
            }
            assert!(worst < off_max, "{worst} {off_max}");
        }
    }

    #[test]
    fn what_is_forgotten_returns_to_the_start_and_no_farther() {
        let start = Belief::independent([(1.0, 0.5), (-1.0, 2.0)]);
        let mut belief = start.clone();
        for _ in 0..20 {
            belief
                .learn(&[[1.0, 0.0], [0.0, 1.0]], &[0.0, 1.0])
                .unwrap();
        }
        assert!(belief.covariance()[0][0] < start.covariance()[0][0]);
        for _ in 0..2_000 {
            belief.forget(0.98, &start).unwrap();
        }
        for i in 0..2 {
            assert!((belief.mean()[i] - start.mean()[i]).abs() < 1e-9);
            assert!((belief.covariance()[i][i] - start.covariance()[i][i]).abs() < 1e-9);
        }
    }
}
