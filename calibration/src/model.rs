//! The scorers a calibration can choose from, and what each is made of.

use razvilka_dsp::epoch::EpochShape;
use razvilka_dsp::score::{EpochScorer, LinearScorer};
use serde::{Deserialize, Serialize};

use crate::covariance::Symmetric;
use crate::epochs::Epochs;
use crate::error::{Result, finite, in_range, same_size};
use crate::lda::{LdaModel, Structure, VALUE_MAX};
use crate::tangent::{Stack, TangentModel, TangentSpace};
use crate::xdawn::{Xdawn, apply};

/// Filters of [`XdawnLda`], as in the comparisons of FIELD.
pub(crate) const XDAWN_LDA_FILTERS: usize = 4;
/// Most channels for the ERP covariance: its order is twice as many.
pub const ERP_CHANNELS_MAX: usize = 8;

/// The kinds of scorers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScorerKind {
    /// Shrinkage LDA ([`LdaModel::fit`]).
    Lda,
    /// LDA with a block-Toeplitz covariance ([`Structure::BlockToeplitz`]).
    BlockToeplitzLda,
    /// LDA of xDAWN components ([`XdawnLda`]).
    XdawnLda,
    /// Logistic regression in the tangent space of xDAWN covariances ([`Stack::Xdawn`]).
    XdawnTangent,
    /// Logistic regression in the tangent space of ERP covariances ([`Stack::Erp`]).
    ErpTangent,
    /// LDA and xDAWN tangent space, weighed by how they did out of fold.
    Fusion,
    /// What other people's recordings say, moved by this person's ([`crate::Prior`]).
    Informed,
}

impl ScorerKind {
    /// All kinds that need nobody else, the one preferred among equals first, then the simpler ones.
    pub const ALL: [Self; 6] = [
        Self::Fusion,
        Self::Lda,
        Self::BlockToeplitzLda,
        Self::XdawnLda,
        Self::XdawnTangent,
        Self::ErpTangent,
    ];

    /// As people say it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lda => "shrinkage LDA",
            Self::BlockToeplitzLda => "block-Toeplitz LDA",
            Self::XdawnLda => "xDAWN + LDA",
            Self::XdawnTangent => "xDAWN covariance, tangent space",
            Self::ErpTangent => "ERP covariance, tangent space",
            Self::Fusion => "fusion of LDA and tangent space",
            Self::Informed => "prior from other people, moved by this person's flashes",
        }
    }
}

/// The chosen scorer. The shrinkage LDA is always kept beside it, so it is not repeated here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EegModel {
    /// The LDA itself.
    Lda,
    /// Another covariance.
    BlockToeplitzLda(LdaModel),
    /// On components.
    XdawnLda(XdawnLda),
    /// In the tangent space.
    XdawnTangent(TangentModel),
    /// In the tangent space.
    ErpTangent(TangentModel),
    /// A fusion whose LDA and tangent space began with other people's.
    Informed {
        /// Weight of the LDA's score.
        lda_weight: f64,
        /// The rest, its own weights and the constant included.
        tangent: TangentModel,
    },
    /// `lda_weight` times the LDA plus the tangent-space form.
    Fusion {
        /// Weight of the LDA's score.
        lda_weight: f64,
        /// The rest, its own weights and the constant included.
        tangent: TangentModel,
    },
}

impl EegModel {
    /// Which kind it is.
    #[must_use]
    pub fn kind(&self) -> ScorerKind {
        match self {
            Self::Lda => ScorerKind::Lda,
            Self::BlockToeplitzLda(_) => ScorerKind::BlockToeplitzLda,
            Self::XdawnLda(_) => ScorerKind::XdawnLda,
            Self::XdawnTangent(_) => ScorerKind::XdawnTangent,
            Self::ErpTangent(_) => ScorerKind::ErpTangent,
            Self::Fusion { .. } => ScorerKind::Fusion,
            Self::Informed { .. } => ScorerKind::Informed,
        }
    }

    /// The part in the tangent space.
    #[must_use]
    pub fn tangent(&self) -> Option<&TangentModel> {
        match self {
            Self::XdawnTangent(tangent)
            | Self::ErpTangent(tangent)
            | Self::Informed { tangent, .. }
            | Self::Fusion { tangent, .. } => Some(tangent),
            _ => None,
        }
    }

    /// The scorer that runs in real time, for epochs of this shape.
    ///
    /// # Errors
    /// [`crate::CalibrationError::Dsp`] when sizes do not fit, which [`EegModel::validate`] excludes.
    pub fn scorer(&self, lda: &LdaModel, shape: EpochShape) -> Result<EpochScorer> {
        let linear = |weights: &[f64], bias: f64, scale: f64| -> Result<LinearScorer> {
            let weights: Vec<f64> = unpaired(weights, shape).iter().map(|w| w * scale).collect();
            Ok(LinearScorer::new(shape, &weights, bias * scale)?)
        };
        let silent = || linear(&[], 0.0, 0.0);
        let (linear, tangent) = match self {
            Self::Lda => (linear(&lda.weights, lda.bias, 1.0)?, None),
            Self::BlockToeplitzLda(model) => (linear(&model.weights, model.bias, 1.0)?, None),
            Self::XdawnLda(model) => (
                linear(&model.weights(shape.channels()), model.lda.bias, 1.0)?,
                None,
            ),
            Self::XdawnTangent(tangent) | Self::ErpTangent(tangent) => {
                (silent()?, Some(tangent.scorer(shape)?))
            }
            Self::Informed {
                lda_weight,
                tangent,
            }
            | Self::Fusion {
                lda_weight,
                tangent,
            } => (
                linear(&lda.weights, lda.bias, *lda_weight)?,
                Some(tangent.scorer(shape)?),
            ),
        };
        Ok(EpochScorer::new(linear, tangent)?)
    }

    /// Checks sizes and numbers, e.g. after reading from a file.
    ///
    /// # Errors
    /// As the parts say.
    pub fn validate(&self, shape: EpochShape) -> Result<()> {
        match self {
            Self::Lda => Ok(()),
            Self::BlockToeplitzLda(model) => {
                same_size(
                    "channels of the classifier",
                    shape.channels(),
                    model.used.len(),
                )?;
                same_size("bins of the classifier", shape.bins() / 2, model.bins)?;
                model.validate()
            }
            Self::XdawnLda(model) => {
                let filters = model.lda.used.len();
                in_range(
                    "spatial filters",
                    filters as f64,
                    1.0,
                    shape.channels() as f64,
                )?;
                same_size(
                    "spatial filters",
                    filters * shape.channels(),
                    model.filters.len(),
                )?;
                finite("spatial filters", &model.filters)?;
                for weight in &model.filters {
                    in_range("spatial filters", *weight, -VALUE_MAX, VALUE_MAX)?;
                }
                same_size("bins of the classifier", shape.bins() / 2, model.lda.bins)?;
                model.lda.validate()
            }
            Self::XdawnTangent(tangent) | Self::ErpTangent(tangent) => {
                same_size("bins of the classifier", shape.bins(), tangent.bins)?;
                tangent.validate(shape.channels())
            }
            Self::Informed {
                lda_weight,
                tangent,
            }
            | Self::Fusion {
                lda_weight,
                tangent,
            } => {
                in_range("weight of the LDA", *lda_weight, -VALUE_MAX, VALUE_MAX)?;
                same_size("bins of the classifier", shape.bins(), tangent.bins)?;
                tangent.validate(shape.channels())
            }
        }
    }
}

/// Weights on means of two bins, as weights on the bins: half each, `[channel][bin]`. No weights give zeros.
pub(crate) fn unpaired(weights: &[f64], shape: EpochShape) -> Vec<f64> {
    let (bins, pairs) = (shape.bins(), shape.bins() / 2);
    let mut out = vec![0.0; shape.features()];
    for (to, from) in out
        .chunks_exact_mut(bins)
        .zip(weights.chunks_exact(pairs.max(1)))
    {
        for (pair, w) in to.chunks_exact_mut(2).zip(from) {
            pair.fill(0.5 * w);
        }
    }
    out
}

/// xDAWN components and an LDA of them: Rivet et al. 2009, then [`LdaModel`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct XdawnLda {
    /// `[filter][channel]` over the whole montage.
    pub filters: Vec<f64>,
    /// The classifier; its channels are the components.
    pub lda: LdaModel,
}

impl XdawnLda {
    /// Fits on the epochs of index `rows`, at the resolution of the discriminant.
    ///
    /// # Errors
    /// As [`Xdawn::fit`] and [`LdaModel::fit`].
    pub fn fit(paired: &Epochs, rows: &[usize]) -> Result<Self> {
        let xdawn = Xdawn::fit(paired, rows)?;
        let count = XDAWN_LDA_FILTERS.min(xdawn.channels.len());
        let filters = xdawn.over_montage(count, paired.channels());
        let mut components = Epochs::new(count, paired.bins())?;
        for &row in rows {
            let signal: Vec<f64> = filters
                .chunks_exact(paired.channels())
                .flat_map(|filter| apply(filter, paired.row(row), paired.bins()))
                .collect();
            components.push(paired.info()[row], &signal)?;
        }
        Ok(Self {
            filters,
            lda: LdaModel::fit(&components)?,
        })
    }

    /// Both linear steps as one: `[channel][bin]`.
    #[must_use]
    pub fn weights(&self, channels: usize) -> Vec<f64> {
        let bins = self.lda.bins;
        let mut out = vec![0.0; channels * bins];
        // A profile with no bins is refused; chunks of none would panic all the same.
        for (filter, row) in self
            .filters
            .chunks_exact(channels.max(1))
            .zip(self.lda.weights.chunks_exact(bins.max(1)))
        {
            for (to, weight) in out.chunks_exact_mut(bins.max(1)).zip(filter) {
                to.iter_mut().zip(row).for_each(|(w, x)| *w += weight * x);
            }
        }
        out
    }
}

/// A model fitted beside its LDA.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FittedModel {
    pub(crate) lda: LdaModel,
    pub(crate) model: EegModel,
}

/// Epochs at both resolutions: all bins for the tangent space, pairs for the discriminants.
#[derive(Debug, Clone)]
pub(crate) struct Material<'a> {
    pub(crate) whole: &'a Epochs,
    pub(crate) paired: Epochs,
    pub(crate) shape: EpochShape,
}

impl<'a> Material<'a> {
    pub(crate) fn new(whole: &'a Epochs, shape: EpochShape) -> Result<Self> {
        Ok(Self {
            whole,
            paired: whole.paired()?,
            shape,
        })
    }

    /// Fits a kind other than the fusion on the epochs of index `rows`.
    pub(crate) fn fit(&self, kind: ScorerKind, rows: &[usize]) -> Result<EegModel> {
        let tangent = |stack| -> Result<TangentModel> {
            let [regression, _] =
                TangentSpace::fit(stack, self.whole, rows)?.classifiers(self.whole, rows)?;
            Ok(regression)
        };
        Ok(match kind {
            ScorerKind::BlockToeplitzLda => EegModel::BlockToeplitzLda(LdaModel::fit_structured(
                &self.paired,
                rows,
                Structure::BlockToeplitz,
            )?),
            ScorerKind::XdawnLda => EegModel::XdawnLda(XdawnLda::fit(&self.paired, rows)?),
            ScorerKind::XdawnTangent => EegModel::XdawnTangent(tangent(Stack::Xdawn)?),
            ScorerKind::ErpTangent => EegModel::ErpTangent(tangent(Stack::Erp)?),
            ScorerKind::Lda | ScorerKind::Fusion | ScorerKind::Informed => EegModel::Lda,
        })
    }

    /// Scores of the epochs of index `rows`.
    pub(crate) fn scores(
        &self,
        lda: &LdaModel,
        model: &EegModel,
        rows: &[usize],
    ) -> Result<Vec<f64>> {
        let mut scorer = model.scorer(lda, self.shape)?;
        rows.iter()
            .map(|&row| Ok(scorer.score(self.whole.row(row))?))
            .collect()
    }
}

/// What is left of spatial filters when channels are masked.
pub(crate) struct Masked {
    /// `[component][channel]`, 0 at the masked channels.
    pub(crate) filters: Vec<f64>,
    /// `[component][component]`: covariance of what the filters no longer see.
    pub(crate) unseen: Vec<f64>,
}

/// Filters for fewer channels: what the masked channels would have held is taken from the kept ones by regression,
/// `E[x_bad | x_good] = S_bg S_gg^-1 x_good`; the rest, with the covariance `S_bb - S_bg S_gg^-1 S_gb`, is not seen.
///
/// # Errors
/// [`crate::CalibrationError::Degenerate`] when the kept channels' covariance is singular.
pub(crate) fn filters_without(
    filters: &[f64],
    covariance: &Symmetric,
    kept: &[usize],
    masked: &[usize],
) -> Result<Masked> {
    let channels = covariance.order();
    let components = filters.len() / channels.max(1);
    let mut out = filters.to_vec();
    let mut shares = Vec::with_capacity(masked.len());
    for &bad in masked {
        let right: Vec<f64> = (0..channels).map(|k| covariance.get(k, bad)).collect();
        let share = covariance.solve_sub_block(kept, &right, 1e-9)?;
        for (filter, from) in out
            .chunks_exact_mut(channels)
            .zip(filters.chunks_exact(channels))
        {
            for &good in kept {
                filter[good] += from[bad] * share[good];
            }
            filter[bad] = 0.0;
        }
        shares.push(share);
    }
    let rest = |a: usize, b: usize| -> f64 {
        let seen = |&good: &usize| shares[a][good] * covariance.get(good, masked[b]);
        covariance.get(masked[a], masked[b]) - kept.iter().map(seen).sum::<f64>()
    };
    let mut unseen = vec![0.0; components * components];
    for a in 0..masked.len() {
        for b in 0..masked.len() {
            // Symmetric but for rounding.
            let of_pair = 0.5 * (rest(a, b) + rest(b, a));
            for i in 0..components {
                for j in 0..components {
                    let weight =
                        filters[i * channels + masked[a]] * filters[j * channels + masked[b]];
                    unseen[i * components + j] += weight * of_pair;
                }
            }
        }
    }
    Ok(Masked {
        filters: out,
        unseen,
    })
}
