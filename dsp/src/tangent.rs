//! The tangent-space score of an epoch: how its covariance, seen from a reference, leans towards a target's.
//!
//! An epoch is filtered in space to a few components, stacked under the prototypes (average responses of the calibration, filtered
//! alike), and the covariance of the stack is taken: its off-diagonal block says how much of the prototype the epoch holds (Congedo,
//! Barachant & Andreev, "A new generation of BCI", 2013; XdawnCovariances of pyRiemann). With the reference `R` (mean of the
//! calibration's covariances on the manifold) and `W R W' = I`, the score is the linear form `tr(G log(W C W'))` plus a constant:
//! Barachant et al., IEEE Trans. Biomed. Eng. 59 (2012), eq. 7, with any linear classifier in the tangent space.
//!
//! `W` is chosen so that `G` is diagonal: then the logarithm is never formed, only the eigenvectors' squares are
//! weighed. Components are filtered bin by bin while the epoch grows; after the last bin, covariance, whitening and one
//! decomposition are left.

use pulp::{Arch, Simd, WithSimd};

use crate::car::dot;
use crate::eigen::Eigen;
use crate::epoch::EpochShape;
use crate::error::{DspError, count, parameter, shape};
use crate::mask::ChannelMask;

/// Most components of an epoch.
pub const MAX_COMPONENTS: usize = 16;
/// Largest covariance: components and prototypes together.
pub const MAX_ORDER: usize = 48;
/// Eigenvalues below this share of their sum are taken for it: a covariance that is not quite definite by rounding.
const LEAST_EIGENVALUE: f64 = 1e-14;

/// The fitted numbers of a [`TangentScorer`]. `n` is the number of prototypes plus components.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TangentParts<'a> {
    /// Spatial filters, `[component][channel]`.
    pub filters: &'a [f64],
    /// Filtered average responses, `[prototype][bin]`.
    pub prototypes: &'a [f64],
    /// `[n][n]`, row-major: `W` above. Prototypes come first.
    pub whitening: &'a [f64],
    /// `[n]`: the diagonal of `G` in that basis.
    pub gains: &'a [f64],
    /// The constant.
    pub bias: f64,
}

/// Scores epochs in the tangent space. [`TangentScorer::new`] allocates; nothing else does.
#[derive(Debug, Clone)]
pub struct TangentScorer {
    epoch: EpochShape,
    components: usize,
    order: usize,
    filters: Vec<f64>,
    /// `[bin][n]`: the centred prototypes in front, room for the components behind.
    stack: Vec<f64>,
    whitening: Vec<f64>,
    transposed: Vec<f64>,
    gains: Vec<f64>,
    /// `[n][n]`, added to every covariance; empty for nothing.
    unseen: Vec<f64>,
    bias: f64,
    used: ChannelMask,
    covariance: Vec<f64>,
    half: Vec<f64>,
    eigen: Eigen,
    arch: Arch,
}

impl PartialEq for TangentScorer {
    /// Of what was fitted; scratch does not count.
    fn eq(&self, other: &Self) -> bool {
        self.epoch == other.epoch
            && self.filters == other.filters
            && self.whitening == other.whitening
            && self.gains == other.gains
            && self.unseen == other.unseen
            && self.bias == other.bias
            && self.prototypes().eq(other.prototypes())
    }
}

impl TangentScorer {
    /// Checks and takes the fitted numbers.
    ///
    /// # Errors
    /// [`DspError::Shape`] or [`DspError::Count`] when sizes do not fit together, [`DspError::Parameter`] for a number
    /// that is not finite.
    pub fn new(epoch: EpochShape, parts: &TangentParts<'_>) -> Result<Self, DspError> {
        let (channels, bins) = (epoch.channels(), epoch.bins());
        let components = parts.filters.len() / channels;
        count(
            "components of a tangent-space scorer",
            components,
            1,
            MAX_COMPONENTS,
        )?;
        shape(
            "spatial filters",
            parts.filters.len(),
            components * channels,
        )?;
        let order = parts.gains.len();
        count("order of the covariance", order, components + 1, MAX_ORDER)?;
        let prototypes = order - components;
        shape("prototypes", parts.prototypes.len(), prototypes * bins)?;
        shape("whitening", parts.whitening.len(), order * order)?;
        for values in [
            parts.filters,
            parts.prototypes,
            parts.whitening,
            parts.gains,
        ] {
            for value in values {
                parameter("tangent-space parameter", *value, f64::MIN, f64::MAX)?;
            }
        }
        parameter("bias", parts.bias, f64::MIN, f64::MAX)?;
        let mut stack = vec![0.0; bins * order];
        for (k, row) in parts.prototypes.chunks_exact(bins).enumerate() {
            let mean = row.iter().sum::<f64>() / bins as f64;
            for (bin, value) in row.iter().enumerate() {
                stack[bin * order + k] = value - mean;
            }
        }
        let mut transposed = vec![0.0; order * order];
        for i in 0..order {
            for j in 0..order {
                transposed[j * order + i] = parts.whitening[i * order + j];
            }
        }
        let used = (0..channels)
            .filter(|channel| (0..components).any(|k| parts.filters[k * channels + channel] != 0.0))
            .collect();
        Ok(Self {
            epoch,
            components,
            order,
            filters: parts.filters.to_vec(),
            stack,
            whitening: parts.whitening.to_vec(),
            transposed,
            gains: parts.gains.to_vec(),
            unseen: Vec::new(),
            bias: parts.bias,
            used,
            covariance: vec![0.0; order * order],
            half: vec![0.0; order * order],
            eigen: Eigen::new(order),
            arch: Arch::new(),
        })
    }

    /// Adds `unseen`, `[component][component]`, to the components' part of every covariance: what channels that are masked
    /// would have added to it, when filters take the rest of them from other channels. The sum is the covariance that is to
    /// be expected of the whole epoch, given the channels that are left (the E-step of Dempster, Laird & Rubin, J. R.
    /// Statist. Soc. B 39 (1977), for a normal distribution). Allocates.
    ///
    /// # Errors
    /// [`DspError::Shape`] for another size, [`DspError::Parameter`] for a number that is not finite.
    pub fn with_unseen(mut self, unseen: &[f64]) -> Result<Self, DspError> {
        let (m, n) = (self.components, self.order);
        shape("covariance of what is not seen", unseen.len(), m * m)?;
        self.unseen = vec![0.0; n * n];
        let rows = self.unseen.chunks_exact_mut(n).skip(n - m);
        for (to, from) in rows.zip(unseen.chunks_exact(m)) {
            for (x, value) in to.iter_mut().skip(n - m).zip(from) {
                *x = parameter("covariance of what is not seen", *value, f64::MIN, f64::MAX)?;
            }
        }
        Ok(self)
    }

    /// Shape of the epochs it scores.
    #[must_use]
    pub fn shape(&self) -> EpochShape {
        self.epoch
    }

    /// Channels with a filter weight other than zero.
    #[must_use]
    pub fn used(&self) -> ChannelMask {
        self.used
    }

    /// Number of components that a bin becomes.
    #[must_use]
    pub fn components(&self) -> usize {
        self.components
    }

    fn prototypes(&self) -> impl Iterator<Item = &f64> {
        let fixed = self.order - self.components;
        self.stack
            .chunks_exact(self.order)
            .flat_map(move |row| row.iter().take(fixed))
    }

    /// Filters one bin, a mean per channel, into `out`, a value per component. Real-time.
    pub(crate) fn project(&self, means: &[f64], out: &mut [f64]) {
        let filters = self.filters.chunks_exact(self.epoch.channels());
        for (y, filter) in out.iter_mut().zip(filters) {
            *y = dot(filter, means);
        }
    }

    /// Score of a whole epoch from its projected bins, `[bin][component]`. Real-time. NaN when the covariance could not be
    /// decomposed, which only values that are not finite bring about.
    pub(crate) fn score_projected(&mut self, projected: &[f64]) -> f64 {
        let arch = self.arch;
        arch.dispatch(Scoring {
            scorer: self,
            projected,
        })
    }

    /// Score of a whole feature vector, `[channel][bin]`. Allocates: for offline use.
    ///
    /// # Errors
    /// [`DspError::Shape`] for another number of features.
    pub fn score(&mut self, features: &[f64]) -> Result<f64, DspError> {
        shape("features", features.len(), self.epoch.features())?;
        let bins = self.epoch.bins();
        let mut projected = vec![0.0; bins * self.components];
        let mut means = vec![0.0; self.epoch.channels()];
        for (bin, out) in projected.chunks_exact_mut(self.components).enumerate() {
            for (mean, row) in means.iter_mut().zip(features.chunks_exact(bins)) {
                *mean = row[bin];
            }
            self.project(&means, out);
        }
        Ok(self.score_projected(&projected))
    }
}

struct Scoring<'a> {
    scorer: &'a mut TangentScorer,
    projected: &'a [f64],
}

impl WithSimd for Scoring<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let s = self.scorer;
        stacked(s, self.projected);
        shrunk_covariance(&s.stack, s.order, &mut s.covariance);
        for (x, unseen) in s.covariance.iter_mut().zip(&s.unseen) {
            *x += unseen;
        }
        product(&s.whitening, &s.covariance, &mut s.half, s.order);
        product(&s.half, &s.transposed, &mut s.covariance, s.order);
        if !s.eigen.decompose(&mut s.covariance) {
            return f64::NAN;
        }
        let sum: f64 = s.eigen.values().iter().sum();
        if !sum.is_finite() {
            return f64::NAN;
        }
        // Above zero whatever comes: nothing at all under prototypes of nothing has no logarithm either.
        let least = (LEAST_EIGENVALUE * sum).max(f64::MIN_POSITIVE);
        let vectors = s.eigen.vectors().chunks_exact(s.order);
        let mut score = s.bias;
        for (value, vector) in s.eigen.values().iter().zip(vectors) {
            let mut weight = 0.0;
            for (gain, v) in s.gains.iter().zip(vector) {
                weight += gain * v * v;
            }
            score += weight * value.max(least).ln();
        }
        score
    }
}

/// Puts the components, centred, behind the prototypes.
#[inline(always)]
fn stacked(s: &mut TangentScorer, projected: &[f64]) {
    let (m, n) = (s.components, s.order);
    let mut mean = [0.0; MAX_COMPONENTS];
    for row in projected.chunks_exact(m) {
        for (sum, y) in mean.iter_mut().zip(row) {
            *sum += y;
        }
    }
    let bins = s.epoch.bins() as f64;
    for sum in &mut mean {
        *sum /= bins;
    }
    for (stacked, row) in s.stack.chunks_exact_mut(n).zip(projected.chunks_exact(m)) {
        for ((to, y), mean) in stacked.iter_mut().skip(n - m).zip(row).zip(&mean) {
            *to = y - mean;
        }
    }
}

/// Ledoit-Wolf shrunk covariance of centred rows, `[row][n]`, into `out`, `[n][n]` (J. Multivariate Analysis 88 (2004); scikit-learn's
/// `ledoit_wolf`).
#[inline(always)]
fn shrunk_covariance(rows: &[f64], n: usize, out: &mut [f64]) {
    out.fill(0.0);
    let mut fourth = 0.0;
    for row in rows.chunks_exact(n) {
        let mut square = 0.0;
        for (x, sums) in row.iter().zip(out.chunks_exact_mut(n)) {
            square += x * x;
            for (sum, y) in sums.iter_mut().zip(row) {
                *sum += x * y;
            }
        }
        fourth += square * square;
    }
    let count = (rows.len() / n) as f64;
    let p = n as f64;
    let mut trace = 0.0;
    let mut norm2 = 0.0;
    for (i, row) in out.chunks_exact_mut(n).enumerate() {
        for x in row.iter_mut() {
            *x /= count;
            norm2 += *x * *x;
        }
        trace += row[i];
    }
    let mean = trace / p;
    let beta = (fourth / count - norm2) / (count * p);
    let delta = (norm2 - p * mean * mean) / p;
    let beta = beta.min(delta);
    let shrinkage = if beta > 0.0 && delta > 0.0 {
        beta / delta
    } else {
        0.0
    };
    for (i, row) in out.chunks_exact_mut(n).enumerate() {
        for x in row.iter_mut() {
            *x *= 1.0 - shrinkage;
        }
        row[i] += shrinkage * mean;
    }
}

/// `out = a b`, all `[n][n]`.
#[inline(always)]
fn product(a: &[f64], b: &[f64], out: &mut [f64], n: usize) {
    for (row, to) in a.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        to.fill(0.0);
        for (x, from) in row.iter().zip(b.chunks_exact(n)) {
            for (sum, y) in to.iter_mut().zip(from) {
                *sum += x * y;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Hertz, Seconds};

    /// scikit-learn 1.9.1, `ledoit_wolf(np.c_[prototype, epoch])`: `np.log(np.linalg.det(C))`, and with `C[1, 1] += 0.7`.
    #[test]
    fn what_is_not_seen_is_added_to_the_components_part_of_the_covariance_and_nothing_changes_nothing()
     {
        let shape = EpochShape::new(
            1,
            Seconds::new(0.32).unwrap(),
            Hertz::new(250.0).unwrap(),
            Hertz::new(25.0).unwrap(),
        )
        .unwrap();
        let parts = TangentParts {
            filters: &[1.0],
            prototypes: &[0.0, 1.0, 3.0, 2.0, -1.0, -2.0, -2.0, -1.0],
            whitening: &[1.0, 0.0, 0.0, 1.0],
            gains: &[1.0, 1.0],
            bias: 0.0,
        };
        let epoch = [0.5, 1.0, 2.0, 4.0, -1.0, -3.0, 0.0, -1.5];
        let new = || TangentScorer::new(shape, &parts).unwrap();
        let plain = new().score(&epoch).unwrap();
        let none = new().with_unseen(&[0.0]).unwrap().score(&epoch).unwrap();
        let some = new().with_unseen(&[0.7]).unwrap().score(&epoch).unwrap();
        assert!((plain - 2.162_718_519_726_549).abs() < 1e-12, "{plain}");
        assert_eq!(plain, none);
        assert!((some - 2.391_081_295_072_234).abs() < 1e-12, "{some}");
        assert!(new().with_unseen(&[0.0; 4]).is_err());
        assert!(new().with_unseen(&[f64::NAN]).is_err());
    }
}
