//! Which scorer a calibration takes: nested cross-validation in the order of time.

use serde::{Deserialize, Serialize};

use crate::comparison::{COMPARED_FOLDS_MIN, Candidate, LEVEL, compare, held_out_of, pick, tested};
use crate::crossval::{FOLDS, OutOfFold, contiguous_folds, enough_of_both, training_rows};
use crate::density::logistic;
use crate::error::Result;
use crate::lda::LdaModel;
use crate::metrics::{Auc, auc};
use crate::model::{ERP_CHANNELS_MAX, EegModel, FittedModel, Material, ScorerKind};
use crate::prior::{Informed, Others};
use crate::spd::degenerate;
use crate::tangent::{Stack, TangentModel, TangentSpace};

/// Folds within a training part, from which a fusion's weights come.
pub(crate) const INNER_FOLDS: usize = 4;
/// Penalty on the fusion's weights, as in the objective of [`fusion_weights`]: members of like merit end up with like weights.
pub(crate) const WEIGHT_PENALTY: f64 = 0.03;
/// LDA, regression and discriminant in the tangent space.
const MEMBERS: usize = 3;

/// Least AUC of a prior that has learned nothing yet of this person, for it to be compared with the others. Directions at random reach 0.55:
/// what tells a response well is many features wide.
pub(crate) const PRIOR_AUC_MIN: f64 = 0.6;

/// How a prior did before it was shown a label of this person.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorAlone {
    /// On all labelled flashes, by the others' response as it is: aligned, but moved by no flash.
    pub auc: Auc,
    /// Whether that is at least 0.6 and two standard errors above chance. If not, the prior was left out of the comparison.
    pub tells: bool,
}

/// The candidates, and which was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// All that were tried, in the order of preference.
    pub candidates: Vec<Candidate>,
    /// The one taken.
    pub picked: ScorerKind,
    /// In how many folds the candidates could be compared: those with at least two of either class. 0 without a comparison.
    pub compared_folds: usize,
    /// Of how many.
    pub folds: usize,
    /// What a prior said of this person's flashes before it was shown their labels; absent without a prior, or without labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior_alone: Option<PriorAlone>,
}

impl Selection {
    /// The candidate that was taken.
    #[must_use]
    pub fn taken(&self) -> Option<&Candidate> {
        self.candidates.iter().find(|c| c.kind == self.picked)
    }

    /// What was picked and why, in a sentence without a full stop.
    #[must_use]
    pub fn in_words(&self) -> String {
        let prior = self.prior_alone.map_or_else(String::new, |alone| {
            let left_out = if alone.tells {
                ""
            } else {
                ", which is too near chance: it does not fit this person and was left out"
            };
            format!(
                "; the prior as it came, aligned only, had AUC {:.3} (standard error {:.3}) on this person's flashes{left_out}",
                alone.auc.value, alone.auc.standard_error
            )
        });
        if let ([only], None) = (self.candidates.as_slice(), self.prior_alone) {
            return format!(
                "{}, without a comparison: too few of this person's flashes have a label, so whether the prior fits this person is not known",
                only.kind.name()
            );
        }
        format!(
            "{}, of {} compared: {}; the AUC given is that of the one taken{prior}",
            self.picked.name(),
            self.candidates.len(),
            self.why()
        )
    }

    /// Why that one, of several.
    fn why(&self) -> String {
        let of = |kind: ScorerKind| self.candidates.iter().find(|c| c.kind == kind);
        let tests = tested(&self.candidates);
        let nothing_to_compare = if self.compared_folds < COMPARED_FOLDS_MIN {
            Some(format!(
                "too short to compare, as {} of {} folds have two flashes of either class and {COMPARED_FOLDS_MIN} are needed",
                self.compared_folds, self.folds
            ))
        } else if of(ScorerKind::Fusion).is_some_and(|fusion| !fusion.above_chance()) {
            Some(
                "the fusion cannot be told from chance, so no lead over it says anything"
                    .to_owned(),
            )
        } else {
            None
        };
        match (self.taken(), nothing_to_compare) {
            (Some(taken), Some(nothing)) if taken.kind == ScorerKind::Informed => {
                format!("{nothing}; the prior alone does tell this person's flashes")
            }
            (_, Some(nothing)) => nothing,
            (Some(taken), None) if taken.kind == ScorerKind::Fusion => format!(
                "none of the others led it beyond what the best of {tests} reaches by chance (one-sided t-tests over {} folds, {:.0} % in \
                 all)",
                self.compared_folds,
                100.0 * LEVEL
            ),
            (Some(taken), None) if taken.kind == ScorerKind::Informed => format!(
                "it has seen more people, and did not trail the fusion of this person's data alone by more than one standard error (lead {:+.3}, standard error {:.3})",
                taken.lead, taken.lead_error
            ),
            (Some(taken), None) => format!(
                "it led the fusion by {:.3} (standard error {:.3}) over {} folds, p = {:.4} where {:.4} is asked of one of {tests}",
                taken.lead,
                taken.lead_error,
                self.compared_folds,
                taken.p_value(self.compared_folds),
                LEVEL / tests.max(1) as f64
            ),
            (None, None) => "nothing else was tried".to_owned(),
        }
    }
}

/// What came out: the selection, out-of-fold scores of the picked scorer and of the LDA, and the fit on everything.
pub(crate) struct Chosen {
    pub(crate) selection: Selection,
    pub(crate) held_out: OutOfFold,
    pub(crate) lda_held_out: OutOfFold,
    pub(crate) fitted: FittedModel,
}

/// A fusion's members out of fold: location and scale of each, and its weight.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Weights {
    centre: [f64; MEMBERS],
    scale: [f64; MEMBERS],
    weight: [f64; MEMBERS],
    bias: f64,
}

/// Fits every candidate fold by fold, picks one, and fits it on all epochs.
///
/// The outer folds ([`contiguous_folds`]) are scored by models that saw neither them nor what overlaps them; a fusion's weights
/// come from folds within the training part (inner), so that no score of an outer fold has had a part in anything that made
/// it. The fusion is taken unless another candidate leads by more than the best of so many would by chance ([`pick`]): a choice
/// among six by the highest AUC alone would follow chance.
pub(crate) fn choose(
    material: &Material<'_>,
    prior: Option<&Others>,
    purge_s: f64,
) -> Result<Chosen> {
    let epochs = material.whole;
    enough_of_both(epochs)?;
    let labels = epochs.labels();
    let used = epochs.used().iter().filter(|used| **used).count();
    let prior_alone = prior
        .map(|prior| prior_alone(prior, material, &labels))
        .transpose()?;
    let prior = prior.filter(|_| prior_alone.is_some_and(|alone| alone.tells));
    let kinds: Vec<ScorerKind> = ScorerKind::ALL
        .into_iter()
        .filter(|kind| *kind != ScorerKind::ErpTangent || used <= ERP_CHANNELS_MAX)
        .chain(prior.map(|_| ScorerKind::Informed))
        .collect();
    let mut chosen = choose_among(&kinds, material, prior, purge_s)?;
    chosen.selection.prior_alone = prior_alone;
    Ok(chosen)
}

/// As [`choose`], among these kinds, of which the first is the fusion unless there is only one.
pub(crate) fn choose_among(
    kinds: &[ScorerKind],
    material: &Material<'_>,
    prior: Option<&Others>,
    purge_s: f64,
) -> Result<Chosen> {
    let epochs = material.whole;
    enough_of_both(epochs)?;
    let labels = epochs.labels();
    let folds = contiguous_folds(epochs, FOLDS);
    let fuses = kinds.contains(&ScorerKind::Fusion);
    let mut lda_scores = vec![0.0; epochs.len()];
    let mut informed_lda = vec![0.0; epochs.len()];
    let mut scores = vec![vec![0.0; epochs.len()]; kinds.len()];
    let mut members = vec![[0.0; MEMBERS]; epochs.len()];
    let apart: Vec<Vec<usize>> = folds
        .iter()
        .map(|fold| training_rows(epochs, fold, purge_s))
        .collect();
    for (fold, rows) in folds.iter().zip(&apart) {
        let weights = fuses
            .then(|| inner_weights(material, rows, purge_s))
            .transpose()?;
        let parts = Members::fit(material, rows)?;
        let held = parts.scores(material, fold)?;
        for (&row, m) in fold.iter().zip(&held) {
            lda_scores[row] = m[0];
        }
        for (kind, out) in kinds.iter().zip(&mut scores) {
            let of_fold = match kind {
                ScorerKind::Lda => held.iter().map(|m| m[0]).collect(),
                ScorerKind::XdawnTangent => held.iter().map(|m| m[1]).collect(),
                ScorerKind::Fusion => held
                    .iter()
                    .map(|m| weights.map_or(0.0, |weights| weights.fuse(m)))
                    .collect(),
                ScorerKind::Informed => {
                    let met = meet(prior, material, rows)?;
                    for &row in fold {
                        informed_lda[row] = met.lda.score(material.paired.row(row));
                    }
                    material.scores(&met.lda, &met.model, fold)?
                }
                other => material.scores(&parts.lda, &material.fit(*other, rows)?, fold)?,
            };
            for (&row, score) in fold.iter().zip(of_fold) {
                out[row] = score;
            }
        }
        for (&row, m) in fold.iter().zip(held) {
            members[row] = m;
        }
    }
    let (candidates, compared_folds) = compare(kinds, &scores, &labels, &folds)?;
    let picked = match kinds {
        [only] => *only,
        _ => pick(&candidates, compared_folds),
    };
    let rows: Vec<usize> = (0..epochs.len()).collect();
    let fitted = if picked == ScorerKind::Informed {
        let met = meet(prior, material, &rows)?;
        FittedModel {
            lda: met.lda,
            model: met.model,
        }
    } else {
        let parts = Members::fit(material, &rows)?;
        let model = match picked {
            ScorerKind::Fusion => parts.fused(&fusion_weights(&members, &labels)),
            ScorerKind::XdawnTangent => EegModel::XdawnTangent(parts.tangent[0].clone()),
            other => material.fit(other, &rows)?,
        };
        FittedModel {
            lda: parts.lda,
            model,
        }
    };
    let place = kinds.iter().position(|kind| *kind == picked);
    let lda_scores = if picked == ScorerKind::Informed {
        informed_lda
    } else {
        lda_scores
    };
    Ok(Chosen {
        held_out: held_out_of(
            place.map(|k| scores.swap_remove(k)).unwrap_or_default(),
            &folds,
            &apart,
        ),
        lda_held_out: held_out_of(lda_scores, &folds, &apart),
        selection: Selection {
            compared_folds: if kinds.len() > 1 { compared_folds } else { 0 },
            candidates,
            picked,
            folds: folds.len(),
            prior_alone: None,
        },
        fitted,
    })
}

/// The prior's scores of this person's flashes before it learned from any: one that cannot tell them, being of noise or of another
/// montage, can only disturb what their labels say.
fn prior_alone(prior: &Others, material: &Material<'_>, labels: &[bool]) -> Result<PriorAlone> {
    let met = prior.aligned(material.whole)?;
    let rows: Vec<usize> = (0..labels.len()).collect();
    let auc = auc(&material.scores(&met.lda, &met.model, &rows)?, labels)?;
    Ok(PriorAlone {
        auc,
        tells: auc.value >= PRIOR_AUC_MIN && auc.value - 2.0 * auc.standard_error > 0.5,
    })
}

/// The prior moved by the labelled epochs of index `rows` and by those without a label.
fn meet(prior: Option<&Others>, material: &Material<'_>, rows: &[usize]) -> Result<Informed> {
    prior
        .ok_or_else(|| degenerate("a scorer that needs a prior", "there is none"))?
        .meet(&material.whole.subset(rows)?)
}

/// LDA and the two classifiers of the tangent space, fitted on the same epochs.
struct Members {
    lda: LdaModel,
    tangent: [TangentModel; 2],
}

impl Members {
    fn fit(material: &Material<'_>, rows: &[usize]) -> Result<Self> {
        Ok(Self {
            lda: LdaModel::fit_rows(&material.paired, rows)?,
            tangent: TangentSpace::fit(Stack::Xdawn, material.whole, rows)?
                .classifiers(material.whole, rows)?,
        })
    }

    fn scores(&self, material: &Material<'_>, rows: &[usize]) -> Result<Vec<[f64; MEMBERS]>> {
        let [regression, discriminant] = &self.tangent;
        let mut first = regression.scorer(material.shape)?;
        let mut second = discriminant.scorer(material.shape)?;
        rows.iter()
            .map(|&row| {
                let features = material.whole.row(row);
                Ok([
                    self.lda.score(material.paired.row(row)),
                    first.score(features)?,
                    second.score(features)?,
                ])
            })
            .collect()
    }

    fn fused(&self, weights: &Weights) -> EegModel {
        let share = |k: usize| weights.weight[k] / weights.scale[k];
        let constant = weights.bias
            - (0..MEMBERS)
                .map(|k| share(k) * weights.centre[k])
                .sum::<f64>();
        let [regression, discriminant] = &self.tangent;
        EegModel::Fusion {
            lda_weight: share(0),
            tangent: regression.combined(share(1), discriminant, share(2), constant),
        }
    }
}

impl Weights {
    fn fuse(&self, members: &[f64; MEMBERS]) -> f64 {
        (0..MEMBERS).fold(self.bias, |sum, k| {
            sum + self.weight[k] * (members[k] - self.centre[k]) / self.scale[k]
        })
    }
}

/// A fusion's weights from folds within `rows`.
fn inner_weights(material: &Material<'_>, rows: &[usize], purge_s: f64) -> Result<Weights> {
    let epochs = material.whole;
    let mut members = Vec::with_capacity(rows.len());
    let mut labels = Vec::with_capacity(rows.len());
    for part in 0..INNER_FOLDS {
        let fold = &rows[part * rows.len() / INNER_FOLDS..(part + 1) * rows.len() / INNER_FOLDS];
        let apart = training_rows(epochs, fold, purge_s);
        let train: Vec<usize> = rows
            .iter()
            .copied()
            .filter(|row| apart.binary_search(row).is_ok())
            .collect();
        let held = Members::fit(material, &train)?.scores(material, fold)?;
        members.extend(held);
        labels.extend(fold.iter().map(|&row| epochs.info()[row].target));
    }
    Ok(fusion_weights(&members, &labels))
}

/// Weights from out-of-fold scores of the members. Each is standardised; the two of the tangent space, close kin, are added and
/// standardised again. Then the mean log loss of `w · z + b` plus [`WEIGHT_PENALTY`] times `|w|²` is minimised over `w >= 0`
/// (stacking: Wolpert 1992; Breiman 1996 for the constraint), by projected gradient steps. Where neither says anything both count
/// the same.
fn fusion_weights(members: &[[f64; MEMBERS]], labels: &[bool]) -> Weights {
    const ROUNDS: usize = 3000;
    const STEP: f64 = 0.5;
    let count = members.len().max(1) as f64;
    let mut centre = [0.0; MEMBERS];
    let mut scale = [0.0; MEMBERS];
    for m in members {
        (0..MEMBERS).for_each(|k| centre[k] += m[k] / count);
    }
    for m in members {
        (0..MEMBERS).for_each(|k| scale[k] += (m[k] - centre[k]).powi(2) / count);
    }
    scale.iter_mut().for_each(|s| *s = s.sqrt().max(1e-12));
    let standard = |m: &[f64; MEMBERS], k: usize| (m[k] - centre[k]) / scale[k];
    let kin = |m: &[f64; MEMBERS]| standard(m, 1) + standard(m, 2);
    let kin_scale = (members.iter().map(|m| kin(m).powi(2)).sum::<f64>() / count)
        .sqrt()
        .max(1e-12);
    let rate = labels.iter().filter(|label| **label).count() as f64 / count;
    let (mut w, mut bias) = ([0.5; 2], (rate / (1.0 - rate)).ln());
    for _ in 0..ROUNDS {
        let (mut slope, mut constant) = ([0.0; 2], 0.0);
        for (m, label) in members.iter().zip(labels) {
            let z = [standard(m, 0), kin(m) / kin_scale];
            let p = logistic(w[0] * z[0] + w[1] * z[1] + bias);
            let residual = (p - f64::from(u8::from(*label))) / count;
            constant += residual;
            (0..2).for_each(|k| slope[k] += residual * z[k]);
        }
        bias -= STEP * constant;
        let mut moved = (STEP * constant).abs();
        for k in 0..2 {
            let next = (w[k] - STEP * (slope[k] + 2.0 * WEIGHT_PENALTY * w[k])).max(0.0);
            moved = moved.max((next - w[k]).abs());
            w[k] = next;
        }
        if moved < 1e-9 {
            break;
        }
    }
    if w[0] + w[1] < 1e-6 {
        w = [0.5; 2];
    }
    Weights {
        centre,
        scale,
        weight: [w[0], w[1] / kin_scale, w[1] / kin_scale],
        bias,
    }
}

#[cfg(test)]
#[path = "choice/tests.rs"]
mod tests;
