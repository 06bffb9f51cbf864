//! The tangent-space classifier: fitting what [`razvilka_dsp::tangent`] runs.

use razvilka_dsp::eigen::Eigen;
use razvilka_dsp::epoch::EpochShape;
use razvilka_dsp::tangent::{MAX_COMPONENTS, MAX_ORDER, TangentParts, TangentScorer};
use serde::{Deserialize, Serialize};

use crate::covariance::{Symmetric, ledoit_wolf};
use crate::epochs::Epochs;
use crate::error::{Result, in_range, same_size};
use crate::lda::{LdaModel, VALUE_MAX};
use crate::logistic::fit_logistic;
use crate::model::Masked;
use crate::spd::{congruence, degenerate, function_of, product, riemannian_mean};
use crate::xdawn::{Xdawn, apply, centre, dense};

/// Components: the best filters of targets.
pub(crate) const COMPONENTS: usize = 8;
/// Prototypes of targets and of non-targets.
pub(crate) const TARGET_PROTOTYPES: usize = 6;
pub(crate) const OTHER_PROTOTYPES: usize = 2;
/// Inverse penalty of the regression in the tangent space, as pyRiemann's examples and the reference have it.
pub(crate) const REGRESSION_C: f64 = 1.0;
/// Where the mean on the manifold is taken as found.
const MEAN_TOLERANCE: f64 = 1e-7;

/// What is stacked into the covariance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stack {
    /// The eight best xDAWN filters of targets under six prototypes of targets and two of non-targets.
    ///
    /// pyRiemann's `XdawnCovariances` filters with each class's filters, which doubles the components and with few channels
    /// makes them dependent; taking each channel's share once gave the same accuracy at a third of the cost.
    Xdawn,
    /// All channels under the average target: `ERPCovariances(classes=[1])`. For up to eight channels.
    Erp,
}

/// Spatial filters, prototypes, reference and a linear form in the tangent space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TangentModel {
    /// What is stacked.
    pub stack: Stack,
    /// Means per epoch.
    pub bins: usize,
    /// `[component][channel]` over the whole montage, 0 at channels that are not used.
    pub filters: Vec<f64>,
    /// `[prototype][bin]`.
    pub prototypes: Vec<f64>,
    /// Mean of the covariances on the manifold: where the tangent space touches.
    pub reference: Symmetric,
    /// The linear form: the score is `tr(form · log(R^-1/2 C R^-1/2)) + bias`.
    pub form: Symmetric,
    /// The constant.
    pub bias: f64,
}

/// A tangent space without a classifier yet.
#[derive(Debug, Clone, PartialEq)]
pub struct TangentSpace {
    stack: Stack,
    channels: usize,
    bins: usize,
    filters: Vec<f64>,
    prototypes: Vec<f64>,
    reference: Vec<f64>,
    whitening: Vec<f64>,
    order: usize,
}

impl TangentSpace {
    /// Filters, prototypes and reference from the epochs of index `rows`.
    ///
    /// # Errors
    /// As [`Xdawn::fit`]; [`crate::CalibrationError::Degenerate`] when a covariance is singular.
    pub fn fit(stack: Stack, epochs: &Epochs, rows: &[usize]) -> Result<Self> {
        let xdawn = Xdawn::fit(epochs, rows)?;
        let n = xdawn.channels.len();
        let (filters, prototypes) = match stack {
            Stack::Xdawn => {
                let mut prototypes = xdawn.evoked(true, TARGET_PROTOTYPES.min(n));
                prototypes.extend(xdawn.evoked(false, OTHER_PROTOTYPES.min(n)));
                (
                    xdawn.over_montage(COMPONENTS, epochs.channels()),
                    prototypes,
                )
            }
            Stack::Erp => {
                let mut filters = vec![0.0; n * epochs.channels()];
                for (filter, &channel) in filters
                    .chunks_exact_mut(epochs.channels())
                    .zip(&xdawn.channels)
                {
                    filter[channel] = 1.0;
                }
                (filters, xdawn.target_mean)
            }
        };
        Self::around(stack, filters, prototypes, epochs, rows)
    }

    /// A space with given filters, `[component][channel]`, and prototypes, `[prototype][bin]`, that touches at the mean of the
    /// epochs of index `rows`; their labels are not looked at.
    ///
    /// # Errors
    /// As [`TangentSpace::fit`].
    pub(crate) fn around(
        stack: Stack,
        filters: Vec<f64>,
        prototypes: Vec<f64>,
        epochs: &Epochs,
        rows: &[usize],
    ) -> Result<Self> {
        let (channels, bins) = (epochs.channels(), epochs.bins());
        let mut space = Self {
            stack,
            channels,
            bins,
            order: filters.len() / channels + prototypes.len() / bins,
            filters,
            prototypes,
            reference: Vec::new(),
            whitening: Vec::new(),
        };
        let covariances = space.covariances(epochs, rows)?;
        space.touch(&covariances)?;
        Ok(space)
    }

    /// Number of channels of the montage.
    pub(crate) fn channels(&self) -> usize {
        self.channels
    }

    /// Where the space touches.
    pub(crate) fn reference(&self) -> Symmetric {
        let n = self.order;
        Symmetric::from_fn(n, |i, j| self.reference[i * n + j])
    }

    /// Puts the space where the mean of these covariances is.
    fn touch(&mut self, covariances: &[Vec<f64>]) -> Result<()> {
        self.reference = riemannian_mean(covariances, self.order, MEAN_TOLERANCE)?;
        let mut eigen = Eigen::new(self.order);
        self.whitening = function_of(&self.reference, &mut eigen, |x| 1.0 / x.sqrt())?;
        Ok(())
    }

    /// Shrunk covariance of the stack of each epoch.
    fn covariances(&self, epochs: &Epochs, rows: &[usize]) -> Result<Vec<Vec<f64>>> {
        let (bins, n) = (self.bins, self.order);
        let fixed = self.prototypes.len() / bins;
        rows.iter()
            .map(|&row| {
                let mut stack = vec![0.0; bins * n];
                let components = self.filters.chunks_exact(self.channels);
                let signals = components.map(|filter| apply(filter, epochs.row(row), bins));
                for (k, signal) in signals.enumerate() {
                    for (bin, y) in signal.iter().enumerate() {
                        stack[bin * n + fixed + k] = *y;
                    }
                }
                for (k, prototype) in self.prototypes.chunks_exact(bins).enumerate() {
                    for (bin, y) in prototype.iter().enumerate() {
                        stack[bin * n + k] = *y;
                    }
                }
                centre(&mut stack, n);
                Ok(dense(&ledoit_wolf(&stack, n)?.covariance))
            })
            .collect()
    }

    /// Tangent vectors of epochs: the upper triangle of `log(R^-1/2 C R^-1/2)` row by row, off-diagonal entries times the root of 2.
    ///
    /// # Errors
    /// [`crate::CalibrationError::Degenerate`] when a covariance is singular.
    pub fn vectors(&self, epochs: &Epochs, rows: &[usize]) -> Result<Epochs> {
        let n = self.order;
        let mut eigen = Eigen::new(n);
        let mut out = Epochs::new(n * (n + 1) / 2, 1)?;
        for (covariance, &row) in self.covariances(epochs, rows)?.iter().zip(rows) {
            let seen = congruence(&self.whitening, covariance, n);
            let log = function_of(&seen, &mut eigen, f64::ln)?;
            let vector: Vec<f64> = (0..n)
                .flat_map(|i| (i..n).map(move |j| (i, j)))
                .map(|(i, j)| {
                    if i == j {
                        log[i * n + j]
                    } else {
                        std::f64::consts::SQRT_2 * log[i * n + j]
                    }
                })
                .collect();
            out.push(epochs.info()[row], &vector)?;
        }
        Ok(out)
    }

    /// A model with this classifier: `weights · vector + bias`.
    pub(crate) fn model(&self, weights: &[f64], bias: f64) -> TangentModel {
        let n = self.order;
        let reference = &self.reference;
        let mut next = weights.iter();
        let form = Symmetric::from_fn(n, |i, j| {
            let w = next.next().copied().unwrap_or(0.0);
            if i == j {
                w
            } else {
                w / std::f64::consts::SQRT_2
            }
        });
        TangentModel {
            stack: self.stack,
            bins: self.bins,
            filters: self.filters.clone(),
            prototypes: self.prototypes.clone(),
            reference: Symmetric::from_fn(n, |i, j| reference[i * n + j]),
            form,
            bias,
        }
    }

    /// Logistic regression and shrinkage discriminant on the tangent vectors: two linear forms in one space, whose errors differ.
    ///
    /// # Errors
    /// As [`fit_logistic`] and [`LdaModel::fit`].
    pub fn classifiers(&self, epochs: &Epochs, rows: &[usize]) -> Result<[TangentModel; 2]> {
        let vectors = self.vectors(epochs, rows)?;
        let flat: Vec<f64> = (0..vectors.len())
            .flat_map(|k| vectors.row(k).iter().copied())
            .collect();
        let labels = vectors.labels();
        let regression = fit_logistic(&flat, vectors.features_per_epoch(), &labels, REGRESSION_C)?;
        let discriminant = LdaModel::fit(&vectors)?;
        Ok([
            self.model(&regression.weights, regression.bias),
            self.model(&discriminant.weights, discriminant.bias),
        ])
    }
}

impl TangentModel {
    /// The scorer that runs in real time.
    ///
    /// # Errors
    /// [`crate::CalibrationError::Dsp`] when sizes do not fit, [`crate::CalibrationError::Degenerate`] for a reference that is not positive definite.
    pub fn scorer(&self, shape: EpochShape) -> Result<TangentScorer> {
        self.scorer_with(shape, &self.filters)
    }

    /// The same with channels masked.
    pub(crate) fn scorer_without(
        &self,
        shape: EpochShape,
        masked: &Masked,
    ) -> Result<TangentScorer> {
        let scorer = self.scorer_with(shape, &masked.filters)?;
        Ok(scorer.with_unseen(&masked.unseen)?)
    }

    fn scorer_with(&self, shape: EpochShape, filters: &[f64]) -> Result<TangentScorer> {
        let n = self.reference.order();
        let mut eigen = Eigen::new(n);
        let whitening = function_of(&dense(&self.reference), &mut eigen, |x| 1.0 / x.sqrt())?;
        if !eigen.decompose(&mut dense(&self.form)) {
            return Err(degenerate(
                "the tangent-space form",
                "a value is not finite",
            ));
        }
        // In the eigenvectors' basis the form is diagonal.
        let rotated = product(eigen.vectors(), &whitening, n);
        let parts = TangentParts {
            filters,
            prototypes: &self.prototypes,
            whitening: &rotated,
            gains: eigen.values(),
            bias: self.bias,
        };
        Ok(TangentScorer::new(shape, &parts)?)
    }

    /// The same classifier seen from another session or person: the reference becomes the mean of covariances of epochs whose
    /// labels need not be known (recentring: Zanini et al., IEEE Trans. Biomed. Eng. 65 (2018)).
    ///
    /// # Errors
    /// As [`TangentSpace::fit`].
    pub fn recentred(&self, epochs: &Epochs) -> Result<Self> {
        same_size(
            "channels of the epochs",
            self.filters.len() / self.components(),
            epochs.channels(),
        )?;
        let all: Vec<usize> = (0..epochs.len()).collect();
        let (filters, prototypes) = (self.filters.clone(), self.prototypes.clone());
        let space = TangentSpace::around(self.stack, filters, prototypes, epochs, &all)?;
        let n = space.order;
        Ok(Self {
            reference: Symmetric::from_fn(n, |i, j| space.reference[i * n + j]),
            ..self.clone()
        })
    }

    /// Number of components.
    #[must_use]
    pub fn components(&self) -> usize {
        self.reference.order() - self.prototypes.len() / self.bins.max(1)
    }

    /// `a · self + b · other + c`, two forms in the same space.
    pub(crate) fn combined(&self, a: f64, other: &Self, b: f64, c: f64) -> Self {
        let n = self.form.order();
        Self {
            form: Symmetric::from_fn(n, |i, j| a * self.form.get(i, j) + b * other.form.get(i, j)),
            bias: a * self.bias + b * other.bias + c,
            ..self.clone()
        }
    }

    /// Checks sizes and numbers, e.g. after reading from a file.
    ///
    /// # Errors
    /// [`crate::CalibrationError::Shape`], [`crate::CalibrationError::OutOfRange`] or [`crate::CalibrationError::NotFinite`].
    pub fn validate(&self, channels: usize) -> Result<()> {
        // Sizes first: a decomposition costs the cube of the order.
        let n = self.reference.order();
        in_range(
            "order of the tangent space",
            n as f64,
            1.0,
            MAX_ORDER as f64,
        )?;
        same_size("order of the tangent-space form", n, self.form.order())?;
        let fixed = self.prototypes.len() / self.bins.max(1);
        same_size("prototypes", fixed * self.bins, self.prototypes.len())?;
        let components = n.saturating_sub(fixed);
        in_range(
            "components of the tangent space",
            components as f64,
            1.0,
            MAX_COMPONENTS as f64,
        )?;
        same_size(
            "spatial filters",
            components.saturating_mul(channels),
            self.filters.len(),
        )?;
        self.reference.validate()?;
        self.form.validate()?;
        for (what, values) in [
            ("spatial filters", self.filters.as_slice()),
            ("prototypes", &self.prototypes),
            ("reference of the tangent space", self.reference.upper()),
            ("form in the tangent space", self.form.upper()),
            ("bias", &[self.bias]),
        ] {
            for value in values {
                in_range(what, *value, -VALUE_MAX, VALUE_MAX)?;
            }
        }
        Ok(())
    }
}
