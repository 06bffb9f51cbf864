//! A prior brought to one person's montage, with what there is of this person's flashes without a label.

use serde::{Deserialize, Serialize};

use super::{Informed, Outlook, Prior};
use crate::covariance::Symmetric;
use crate::epochs::Epochs;
use crate::error::{CalibrationError, Result, same_size};
use crate::lda::LdaModel;
use crate::model::EegModel;
use crate::profile::SourceFile;
use crate::tangent::TangentModel;

/// What other people's recordings say, for this person's montage.
#[derive(Debug, Clone, PartialEq)]
pub struct Others {
    /// The prior, of channels that this person's montage has and that are good in it.
    pub prior: Prior,
    /// For each channel of the prior its place in this person's montage.
    pub places: Vec<usize>,
    /// This person's flashes without a label, in this person's montage; what is said there of their truth is not looked at.
    pub unlabelled: Option<Epochs>,
    /// Recordings that the prior was made from.
    pub recordings: Vec<SourceFile>,
    /// The file in which it was kept, where it came from one.
    pub file: Option<SourceFile>,
}

/// What a profile keeps of the prior that took part in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorUse {
    /// Recordings that the prior was made from.
    pub recordings: Vec<SourceFile>,
    /// The file in which it was kept, where it came from one.
    pub file: Option<SourceFile>,
    /// How many people they are of.
    pub people: usize,
    /// Flashes of this person without a label that took part.
    pub unlabelled: usize,
    /// Whether accuracy, densities and reliability are those of the prior's people, each left out, as there were too few
    /// labels of this person.
    pub judged_on_others: bool,
    /// The least and the greatest AUC of one of the prior's people when left out; absent for a prior of one person.
    pub auc_range: Option<(f64, f64)>,
}

impl Others {
    /// A prior whose channels are those of the person's montage, in the same order.
    #[must_use]
    pub fn of_same_montage(prior: Prior) -> Self {
        Self {
            places: (0..prior.channel_count()).collect(),
            prior,
            unlabelled: None,
            recordings: Vec::new(),
            file: None,
        }
    }

    pub(crate) fn check(&self, epochs: &Epochs) -> Result<()> {
        same_size(
            "places of the prior's channels",
            self.prior.channel_count(),
            self.places.len(),
        )?;
        let mut taken = vec![false; epochs.channels()];
        for &place in &self.places {
            let free = epochs.used().get(place) == Some(&true) && taken.get(place) == Some(&false);
            if !free {
                return Err(CalibrationError::Degenerate {
                    what: "the prior on this montage",
                    reason: "a channel of the prior has no good channel of its own here",
                });
            }
            taken[place] = true;
        }
        if let Some(unlabelled) = &self.unlabelled {
            same_size(
                "channels of the unlabelled epochs",
                epochs.channels(),
                unlabelled.channels(),
            )?;
            same_size(
                "bins of the unlabelled epochs",
                epochs.bins(),
                unlabelled.bins(),
            )?;
        }
        Ok(())
    }

    /// Meets this person by these epochs, whose labels are known, and all that are not labelled.
    pub(crate) fn meet(&self, labelled: &Epochs) -> Result<Informed> {
        let (own, labels) = self.all_of(labelled)?;
        let met = self.prior.meet(&own, &labels)?;
        Ok(self.over_montage(met, labelled.channels()))
    }

    /// The prior as it is, aligned to this person; no label is looked at, and nothing learned from any flash.
    pub(crate) fn aligned(&self, labelled: &Epochs) -> Result<Informed> {
        let (own, _) = self.all_of(labelled)?;
        let aligned = self.prior.aligned(&own)?;
        Ok(self.over_montage(aligned, labelled.channels()))
    }

    /// The labelled and the unlabelled epochs on the prior's channels, with the labels there are.
    fn all_of(&self, labelled: &Epochs) -> Result<(Epochs, Vec<Option<bool>>)> {
        let mut labels: Vec<Option<bool>> = labelled.labels().into_iter().map(Some).collect();
        let mut own = labelled.channels_at(&self.places)?;
        if let Some(unlabelled) = &self.unlabelled {
            let more = unlabelled.channels_at(&self.places)?;
            for row in 0..more.len() {
                own.push(more.info()[row], more.row(row))?;
            }
        }
        labels.resize(own.len(), None);
        Ok((own, labels))
    }

    fn over_montage(&self, met: Informed, montage: usize) -> Informed {
        Informed {
            lda: self.lda_over(&met.lda, montage),
            model: match met.model {
                EegModel::Informed {
                    lda_weight,
                    tangent,
                } => EegModel::Informed {
                    lda_weight,
                    tangent: self.tangent_over(tangent, montage),
                },
                other => other,
            },
        }
    }

    /// The discriminant in the person's montage; channels that the prior does not have are not used.
    fn lda_over(&self, lda: &LdaModel, montage: usize) -> LdaModel {
        let bins = lda.bins;
        let mut place = vec![None; montage];
        for (channel, &at) in self.places.iter().enumerate() {
            place[at] = Some(channel);
        }
        let spread = |values: &[f64]| -> Vec<f64> {
            let rows = place.iter().map(|channel| match channel {
                Some(channel) => values[channel * bins..(channel + 1) * bins].to_vec(),
                None => vec![0.0; bins],
            });
            rows.flatten().collect()
        };
        let feature = |index: usize| place[index / bins].map(|c| c * bins + index % bins);
        LdaModel {
            used: place.iter().map(Option::is_some).collect(),
            bins,
            mean_difference: spread(&lda.mean_difference),
            midpoint: spread(&lda.midpoint),
            covariance: Symmetric::from_fn(montage * bins, |i, j| match (feature(i), feature(j)) {
                (Some(i), Some(j)) => lda.covariance.get(i, j),
                _ => 0.0,
            }),
            shrinkage: lda.shrinkage,
            weights: spread(&lda.weights),
            bias: lda.bias,
        }
    }

    fn tangent_over(&self, tangent: TangentModel, montage: usize) -> TangentModel {
        let own = self.places.len();
        let mut filters = vec![0.0; tangent.components() * montage];
        for (to, from) in filters
            .chunks_exact_mut(montage)
            .zip(tangent.filters.chunks_exact(own))
        {
            for (&place, weight) in self.places.iter().zip(from) {
                to[place] = *weight;
            }
        }
        TangentModel { filters, ..tangent }
    }

    /// What the profile keeps.
    pub(crate) fn used(&self, judged_on_others: bool) -> PriorUse {
        PriorUse {
            recordings: self.recordings.clone(),
            file: self.file.clone(),
            people: self.prior.people,
            unlabelled: self.unlabelled.as_ref().map_or(0, Epochs::len),
            judged_on_others,
            auc_range: self.prior.outlook.as_ref().and_then(Outlook::auc_range),
        }
    }
}
