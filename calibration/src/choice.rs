//! Which scorer a calibration takes: nested cross-validation in the order of time.

use serde::{Deserialize, Serialize};

use crate::crossval::{
    FOLDS, OutOfFold, contiguous_folds, enough_of_both, folds_of, training_rows,
};
use crate::density::logistic;
use crate::error::Result;
use crate::lda::LdaModel;
use crate::metrics::{Auc, auc};
use crate::model::{ERP_CHANNELS_MAX, EegModel, FittedModel, Material, ScorerKind};
use crate::prior::{Informed, Others};
use crate::spd::degenerate;
use crate::tangent::{Stack, TangentModel, TangentSpace};

/// Folds within a training part, from which a fusion's weights come.
const INNER_FOLDS: usize = 4;
/// Penalty on the fusion's weights, as in the objective of [`fusion_weights`]: members of like merit end up with like weights.
const WEIGHT_PENALTY: f64 = 0.03;
/// LDA, regression and discriminant in the tangent space.
const MEMBERS: usize = 3;

/// Least AUC of a prior that has learned nothing yet of this person, for it to be compared with the others. Directions at random reach 0.55:
/// what tells a response well is many features wide.
const PRIOR_AUC_MIN: f64 = 0.6;

/// How one scorer did out of fold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// Which one.
    pub kind: ScorerKind,
    /// Area under the ROC curve of its out-of-fold scores.
    pub auc: f64,
    /// DeLong standard error of it.
    pub standard_error: f64,
    /// Mean over the folds of the AUC's lead over the fusion.
    pub lead: f64,
    /// Standard error of that mean.
    pub lead_error: f64,
}

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
    /// In how many folds the same rule picks the same, looking at the other folds only.
    pub agreeing_folds: usize,
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
        let why = match self.taken() {
            Some(taken) if taken.kind == ScorerKind::Fusion => {
                "none of the others led it by more than one standard error over the folds"
                    .to_owned()
            }
            Some(taken) if taken.kind == ScorerKind::Informed => format!(
                "it has seen more people, and did not trail the fusion of this person's data alone by more than one standard error (lead {:+.3}, standard error {:.3})",
                taken.lead, taken.lead_error
            ),
            Some(taken) => format!(
                "it led the fusion by {:.3} (standard error {:.3}) over the folds",
                taken.lead, taken.lead_error
            ),
            None => "nothing else was tried".to_owned(),
        };
        format!(
            "{}, of {} compared: {why}; picked again without any one fold in {} of {}{prior}",
            self.picked.name(),
            self.candidates.len(),
            self.agreeing_folds,
            self.folds
        )
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
/// it. The fusion is taken unless another candidate's AUC leads by more than one standard error over the folds: a choice among
/// six by the highest AUC alone would follow chance.
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
    for fold in &folds {
        let rows = training_rows(epochs, fold, purge_s);
        let weights = fuses
            .then(|| inner_weights(material, &rows, purge_s))
            .transpose()?;
        let parts = Members::fit(material, &rows)?;
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
                    let met = meet(prior, material, &rows)?;
                    for &row in fold {
                        informed_lda[row] = met.lda.score(material.paired.row(row));
                    }
                    material.scores(&met.lda, &met.model, fold)?
                }
                other => material.scores(&parts.lda, &material.fit(*other, &rows)?, fold)?,
            };
            for (&row, score) in fold.iter().zip(of_fold) {
                out[row] = score;
            }
        }
        for (&row, m) in fold.iter().zip(held) {
            members[row] = m;
        }
    }
    let all: Vec<usize> = (0..folds.len()).collect();
    let candidates = compare(kinds, &scores, &labels, &folds, &all)?;
    let pick = |candidates: &[Candidate]| match kinds {
        [only] => *only,
        _ => pick(candidates),
    };
    let picked = pick(&candidates);
    let mut agreeing_folds = 0;
    for fold in 0..folds.len() {
        let others: Vec<usize> = all.iter().copied().filter(|f| *f != fold).collect();
        let again = compare(kinds, &scores, &labels, &folds, &others)?;
        agreeing_folds += usize::from(pick(&again) == picked);
    }
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
    let taken = |kind: ScorerKind| OutOfFold {
        scores: kinds
            .iter()
            .position(|k| *k == kind)
            .map(|place| scores[place].clone())
            .unwrap_or_default(),
        fold: folds_of(&folds, epochs.len()),
        folds: folds.len(),
    };
    Ok(Chosen {
        held_out: taken(picked),
        lda_held_out: if picked == ScorerKind::Informed {
            OutOfFold {
                scores: informed_lda,
                ..taken(picked)
            }
        } else {
            OutOfFold {
                scores: lda_scores,
                ..taken(picked)
            }
        },
        selection: Selection {
            candidates,
            picked,
            agreeing_folds,
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

/// Each candidate over the chosen folds; the first is the fusion.
fn compare(
    kinds: &[ScorerKind],
    scores: &[Vec<f64>],
    labels: &[bool],
    folds: &[Vec<usize>],
    chosen: &[usize],
) -> Result<Vec<Candidate>> {
    let rows: Vec<usize> = chosen
        .iter()
        .flat_map(|&f| folds[f].iter().copied())
        .collect();
    let of = |scores: &[f64], rows: &[usize]| -> (Vec<f64>, Vec<bool>) {
        (
            rows.iter().map(|&row| scores[row]).collect(),
            rows.iter().map(|&row| labels[row]).collect(),
        )
    };
    kinds
        .iter()
        .zip(scores)
        .map(|(kind, own)| {
            let (all, truth) = of(own, &rows);
            let whole = auc(&all, &truth)?;
            let leads: Vec<f64> = chosen
                .iter()
                .filter_map(|&f| {
                    let (mine, truth) = of(own, &folds[f]);
                    let (fused, _) = of(&scores[0], &folds[f]);
                    // A fold without one of the classes has no AUC.
                    Some(auc(&mine, &truth).ok()?.value - auc(&fused, &truth).ok()?.value)
                })
                .collect();
            let n = leads.len().max(1) as f64;
            let lead = leads.iter().sum::<f64>() / n;
            let spread = leads.iter().map(|x| (x - lead).powi(2)).sum::<f64>();
            Ok(Candidate {
                kind: *kind,
                auc: whole.value,
                standard_error: whole.standard_error,
                lead,
                lead_error: (spread / (n - 1.0).max(1.0) / n).sqrt(),
            })
        })
        .collect()
}

/// With a prior: that, unless it trails the fusion by more than one standard error, as it has seen more. Else the fusion, unless another leads by
/// more than one standard error; then the one that leads most.
fn pick(candidates: &[Candidate]) -> ScorerKind {
    let informed = candidates.iter().find(|c| c.kind == ScorerKind::Informed);
    if informed.is_some_and(|c| c.lead >= -c.lead_error) {
        return ScorerKind::Informed;
    }
    candidates
        .iter()
        .filter(|c| !matches!(c.kind, ScorerKind::Fusion | ScorerKind::Informed))
        .filter(|c| c.lead > c.lead_error)
        .max_by(|a, b| a.lead.total_cmp(&b.lead))
        .map_or(ScorerKind::Fusion, |c| c.kind)
}
