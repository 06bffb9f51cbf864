//! What to expect of a prior: each of its people is met, without labels, by the prior of the others.

use serde::{Deserialize, Serialize};

use super::meet::{EPOCHS_MIN, typical_scores};
use super::{Prior, count_people};
use crate::crossval::OutOfFold;
use crate::density::{fit_density_towards, fit_score_density, restrict_density};
use crate::epochs::Epochs;
use crate::error::{CalibrationError, Result, finite, in_range, same_size};
use crate::evidence::{fit_reliability, held_out_llrs_by};
use crate::metrics::{Auc, auc, held_out_auc};
use razvilka_dsp::DspError;
use razvilka_dsp::epoch::EpochShape;
use razvilka_dsp::score::ScoreDensity;
use razvilka_dsp::units::{Hertz, Seconds};

/// Most groups in which people are left out: beyond it, several at a time.
const GROUPS_MAX: usize = 12;
/// People that the typical one counts for, when densities and reliability are estimated from few; found on three people.
const TYPICAL_PEOPLE: f64 = 4.0;
/// Area under the curve, people left out, up to which the typical person counts for nothing, and from which for all of it.
const TYPICAL_AUC: (f64, f64) = (0.6, 0.7);
/// Most flashes whose scores are kept.
pub(super) const SCORES_MAX: usize = 1 << 20;

/// Scores of people whom neither the prior that scored them nor any label had a part in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outlook {
    /// Score of each flash, person by person.
    pub scores: Vec<f64>,
    /// The same by block means alone, as where many channels are bad.
    pub block_scores: Vec<f64>,
    /// Whether the flash was a target.
    pub targets: Vec<bool>,
    /// Number of the person, from 0.
    pub person: Vec<usize>,
    /// Share of the squared distance between the classes that the channels in use have, 1 for all of the prior's.
    pub distance_left: f64,
}

/// The densities that other people's scores support, and how far they hold from one person to the next.
pub(crate) struct Expected {
    pub(crate) density: ScoreDensity,
    pub(crate) lda_density: ScoreDensity,
    /// How far the discriminant alone may be trusted.
    pub(crate) lda_reliability: f64,
    /// Of each flash, by the densities of the other people's flashes.
    pub(crate) llrs: Vec<f64>,
    pub(crate) reliability: f64,
    pub(crate) auc: Auc,
}

impl Outlook {
    /// Leaves out one person after the other (in [`GROUPS_MAX`] groups where there are more). Each half of a recording is
    /// scored by what the prior of the others learns from the other half without its labels, as a session is scored by
    /// what a calibration before it was.
    ///
    /// `None` with one person.
    ///
    /// # Errors
    /// As [`Prior::fit`] and [`Prior::meet`].
    pub(super) fn of(recordings: &[Epochs], people: &[usize]) -> Result<Option<Self>> {
        let mut names: Vec<usize> = people.to_vec();
        names.sort_unstable();
        names.dedup();
        if names.len() < 2 {
            return Ok(None);
        }
        let groups = names.len().min(GROUPS_MAX);
        let group_of = |person: usize| -> usize {
            let place = names.binary_search(&person).unwrap_or(0);
            place * groups / names.len()
        };
        let mut outlook = Self {
            scores: Vec::new(),
            block_scores: Vec::new(),
            targets: Vec::new(),
            person: Vec::new(),
            distance_left: 1.0,
        };
        for group in 0..groups {
            let part = |inside: bool| -> Vec<usize> {
                let all = 0..recordings.len();
                all.filter(|&k| (group_of(people[k]) == group) == inside)
                    .collect()
            };
            let others: Vec<Epochs> = part(false).iter().map(|&k| recordings[k].clone()).collect();
            let numbers: Vec<usize> = part(false).iter().map(|&k| people[k]).collect();
            let prior = Prior::statistics_of(&others, &numbers)?;
            for k in part(true) {
                let person = names.binary_search(&people[k]).unwrap_or(0);
                outlook.add(&prior, &recordings[k], person)?;
            }
        }
        Ok(Some(outlook))
    }

    /// One recording of somebody whom the prior does not know.
    fn add(&mut self, prior: &Prior, epochs: &Epochs, person: usize) -> Result<()> {
        let half = epochs.len() / 2;
        let rows = |from: usize, to: usize| -> Vec<usize> { (from..to).collect() };
        let (first, second) = (rows(0, half), rows(half, epochs.len()));
        let parts = if half < EPOCHS_MIN {
            let whole = rows(0, epochs.len());
            vec![(whole.clone(), whole)]
        } else {
            vec![(second.clone(), first.clone()), (first, second)]
        };
        let shape = shape_of(epochs)?;
        let paired = epochs.paired()?;
        for (met_by, scored) in parts {
            let own = epochs.subset(&met_by)?;
            let met = prior.meet(&own, &vec![None; own.len()])?;
            let mut scorer = met.model.scorer(&met.lda, shape)?;
            for row in scored {
                self.scores.push(scorer.score(epochs.row(row))?);
                self.block_scores.push(met.lda.score(paired.row(row)));
                self.targets.push(epochs.info()[row].target);
                self.person.push(person);
            }
        }
        Ok(())
    }

    /// Number of people.
    #[must_use]
    pub fn people(&self) -> usize {
        count_people(&self.person)
    }

    /// Area under the ROC curve over all flashes, people taken for folds ([`held_out_auc`]).
    ///
    /// # Errors
    /// As [`auc`].
    pub fn auc(&self) -> Result<Auc> {
        held_out_auc(&self.scores, &self.targets, self.people())
    }

    /// The least and the greatest AUC of one person; `None` where one lacks a class.
    pub(super) fn auc_range(&self) -> Option<(f64, f64)> {
        let of_each = (0..self.people()).map(|person| {
            let (scores, targets) = (&self.scores, &self.targets);
            let one = auc(
                &self.of_person(person, scores),
                &self.of_person(person, targets),
            );
            one.ok().map(|auc| auc.value)
        });
        let values: Option<Vec<f64>> = of_each.collect();
        let values = values?;
        let least = values.iter().copied().reduce(f64::min)?;
        Some((least, values.iter().copied().reduce(f64::max)?))
    }

    fn of_person<T: Copy>(&self, person: usize, values: &[T]) -> Vec<T> {
        let pairs = values.iter().zip(&self.person);
        pairs
            .filter(|(_, p)| **p == person)
            .map(|(v, _)| *v)
            .collect()
    }

    /// Densities, reliability and accuracy to be expected of somebody new.
    ///
    /// The densities are those of all people's flashes, and how far they hold for the next person shows when those of the others are
    /// held against each person's flashes. Few people left out one by one were met by priors of still fewer, and told worse
    /// than somebody new will be by all of them: so the typical person for whom the score is the log-odds counts for
    /// [`TYPICAL_PEOPLE`] more, with a reliability of 1, if the prior tells people at all ([`TYPICAL_AUC`]).
    ///
    /// # Errors
    /// As [`fit_score_density`] and [`auc`].
    pub(crate) fn expect(&self, base_rate: f64) -> Result<Expected> {
        let held_out = self.by_person(self.scores.clone());
        let auc = self.auc()?;
        let typical = {
            let (none, whole) = TYPICAL_AUC;
            TYPICAL_PEOPLE * ((auc.value - none) / (whole - none)).clamp(0.0, 1.0)
        };
        let towards = |people: f64| {
            let share = typical / (typical + people);
            Some((typical_scores(base_rate), share))
        };
        let people = self.people() as f64;
        let llrs = held_out_llrs_by(&held_out, &self.targets, |scores, targets| {
            fit_density_towards(scores, targets, towards(people - 1.0))
        })?;
        let mut reliabilities = Vec::new();
        for person in 0..self.people() {
            let labels = self.of_person(person, &self.targets);
            reliabilities.push(fit_reliability(
                &self.of_person(person, &llrs),
                &labels,
                base_rate,
            )?);
        }
        let reliability = if auc.above_chance() {
            (people * lower_mean(&reliabilities) + typical) / (people + typical)
        } else {
            0.0
        };
        let left = self.distance_left;
        let restricted = |density: ScoreDensity| -> Result<ScoreDensity> {
            if left < 1.0 {
                restrict_density(&density, left)
            } else {
                Ok(density)
            }
        };
        Ok(Expected {
            density: restricted(fit_density_towards(
                &self.scores,
                &self.targets,
                towards(people),
            )?)?,
            lda_density: restricted(fit_score_density(&self.block_scores, &self.targets)?)?,
            llrs,
            reliability,
            lda_reliability: self.block_reliability(base_rate)?,
            auc,
        })
    }

    /// These scores, each person's apart from all the others'.
    fn by_person(&self, scores: Vec<f64>) -> OutOfFold {
        let apart = |person: usize| {
            let all = 0..self.person.len();
            all.filter(|&row| self.person[row] != person).collect()
        };
        OutOfFold {
            scores,
            fold: self.person.clone(),
            folds: self.people(),
            apart: (0..self.people()).map(apart).collect(),
        }
    }

    /// How far the discriminant alone may be trusted for somebody new: what it earned with each person, the others' densities
    /// held against it.
    fn block_reliability(&self, base_rate: f64) -> Result<f64> {
        if !auc(&self.block_scores, &self.targets)?.above_chance() {
            return Ok(0.0);
        }
        let held_out = self.by_person(self.block_scores.clone());
        let llrs = held_out_llrs_by(&held_out, &self.targets, fit_score_density)?;
        let of_each: Vec<f64> = (0..self.people())
            .map(|person| {
                let labels = self.of_person(person, &self.targets);
                fit_reliability(&self.of_person(person, &llrs), &labels, base_rate)
            })
            .collect::<Result<_>>()?;
        Ok(lower_mean(&of_each))
    }

    /// As it would be with channels that hold this share of the squared distance between the classes.
    pub(super) fn with_distance(&self, share: f64) -> Self {
        Self {
            distance_left: self.distance_left * share.clamp(0.0, 1.0),
            ..self.clone()
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        in_range(
            "scores of the prior's people",
            self.scores.len() as f64,
            1.0,
            SCORES_MAX as f64,
        )?;
        let flashes = self.scores.len();
        same_size("truths of the prior's people", flashes, self.targets.len())?;
        same_size("people of the prior's scores", flashes, self.person.len())?;
        same_size(
            "scores of the prior's people",
            flashes,
            self.block_scores.len(),
        )?;
        finite("scores of the prior's people", &self.scores)?;
        finite("scores of the prior's people", &self.block_scores)?;
        in_range(
            "share of the distance that is left",
            self.distance_left,
            0.0,
            1.0,
        )?;
        if self.people() < 2 {
            return Err(CalibrationError::TooFew {
                what: "people that a prior was judged on",
                found: self.people(),
                needed: 2,
            });
        }
        Ok(())
    }
}

/// The mean less its standard error, within 0..=1.
fn lower_mean(values: &[f64]) -> f64 {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let spread = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean - (spread / n).sqrt()).clamp(0.0, 1.0)
}

/// A shape with so many channels and bins; how long a bin is does not matter to a scorer of finished features.
fn shape_of(epochs: &Epochs) -> Result<EpochShape> {
    let one = Hertz::new(1.0).map_err(DspError::from)?;
    let length = Seconds::new(epochs.bins() as f64).map_err(DspError::from)?;
    Ok(EpochShape::new(epochs.channels(), length, one, one)?)
}
