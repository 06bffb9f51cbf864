//! What other people's recordings say before a new person has said anything.
//!
//! Two views of an epoch, each made comparable between people from unlabelled data: block means after Euclidean alignment (He & Wu,
//! IEEE Trans. Biomed. Eng. 67 (2020)) with a block-Toeplitz covariance, and the tangent space of ERP covariances, recentred on the
//! person (Zanini et al., IEEE Trans. Biomed. Eng. 65 (2018)). In each view a discriminant whose mean difference and
//! covariance are the prior's and the person's, weighted by how much there is of each. Flashes without a label enter with
//! their posterior (expectation maximisation over both views at once, as co-training: Blum & Mitchell 1998).
//!
//! Here: the prior and its fit. [`meet`] moves it to a person, [`fewer`] takes channels out of it, [`outlook`] asks what to
//! expect of it, [`others`] brings it to a person's montage, [`mod@file`] keeps it.

mod fewer;
mod file;
mod meet;
mod others;
mod outlook;
mod unlabelled;

pub use file::{PRIOR_FORMAT, PRIOR_KIND, PriorFile};
pub use meet::Informed;
pub(crate) use meet::{COVARIANCE_FLASHES, DIFFERENCE_TARGETS};
pub use others::{Others, PriorUse};
pub use outlook::Outlook;
pub(crate) use unlabelled::fit_unlabelled;

use serde::{Deserialize, Serialize};

use crate::covariance::Symmetric;
use crate::crossval::MIN_PER_CLASS;
use crate::epochs::Epochs;
use crate::error::{CalibrationError, Result, finite, in_range, same_size};
use crate::lda::{LdaModel, Structure};
use meet::{Aligned, all, deviations};

/// Most channels: the covariance's order is twice as many, and the scorer has room for 16 components.
pub const PRIOR_CHANNELS_MAX: usize = 16;
/// Most recordings a prior is made from.
pub const PRIOR_RECORDINGS_MAX: usize = 256;

/// Class statistics in one view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewPrior {
    /// Target mean minus non-target mean, averaged over people.
    pub difference: Vec<f64>,
    /// Covariance within the classes, averaged over people.
    pub covariance: Symmetric,
}

/// A prior from other people's recordings, for one montage, rate and path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prior {
    /// Number of recordings it is made from.
    pub recordings: usize,
    /// Number of people they are of.
    pub people: usize,
    /// Share of targets among their flashes.
    pub base_rate: f64,
    /// Average response to targets, `[channel][bin]`, in standard deviations of the channel.
    pub prototype: Vec<f64>,
    /// Average covariance of the channels, of mean variance 1: what the block means were aligned by.
    pub channels: Symmetric,
    /// Average of the covariances at which the people's tangent spaces touch.
    pub reference: Symmetric,
    /// Aligned block means, `[channel][pair of bins]`.
    pub time: ViewPrior,
    /// Tangent vectors.
    pub tangent: ViewPrior,
    /// What it did for each of these people when they were left out; absent where there is one person only.
    pub outlook: Option<Outlook>,
}

/// One recording's class statistics, after alignment.
struct Statistics {
    channels: Symmetric,
    reference: Symmetric,
    time: LdaModel,
    tangent: LdaModel,
}

impl Prior {
    /// Fits the prior on recordings of other people, each aligned by itself, each of another person.
    ///
    /// # Errors
    /// As [`Prior::of_people`].
    pub fn fit(recordings: &[Epochs]) -> Result<Self> {
        let people: Vec<usize> = (0..recordings.len()).collect();
        Self::statistics_of(recordings, &people)
    }

    /// Fits the prior on recordings of other people, each aligned by itself; recording `k` is of person `people[k]`, whatever
    /// the numbers are. Every person counts the same. With two people or more it is also asked what the prior would have
    /// done for each of them from the others' recordings ([`Prior::outlook`]).
    ///
    /// # Errors
    /// [`CalibrationError::TooFew`] without recordings, with one that has fewer than 10 flashes of a class, or with one that has
    /// bad channels; [`CalibrationError::OutOfRange`] beyond [`PRIOR_CHANNELS_MAX`] channels; [`CalibrationError::Shape`]
    /// when they differ in channels or bins.
    pub fn of_people(recordings: &[Epochs], people: &[usize]) -> Result<Self> {
        let mut prior = Self::statistics_of(recordings, people)?;
        prior.outlook = Outlook::of(recordings, people)?;
        Ok(prior)
    }

    fn statistics_of(recordings: &[Epochs], people: &[usize]) -> Result<Self> {
        check(recordings, people)?;
        let weights = weights_of(people);
        let prototype = prototype_of(recordings, &weights);
        let each: Vec<Statistics> = recordings
            .iter()
            .map(|epochs| Statistics::of(epochs, &prototype))
            .collect::<Result<_>>()?;
        let flashes: usize = recordings.iter().map(Epochs::len).sum();
        let targets: usize = recordings.iter().map(Epochs::targets).sum();
        let mean = |part: fn(&Statistics) -> &Symmetric| {
            let parts: Vec<&Symmetric> = each.iter().map(part).collect();
            mean_matrix(&parts, &weights)
        };
        Ok(Self {
            recordings: recordings.len(),
            people: count_people(people),
            base_rate: targets as f64 / flashes as f64,
            prototype,
            channels: mean(|s| &s.channels),
            reference: mean(|s| &s.reference),
            time: ViewPrior {
                difference: mean_vector(&each, &weights, |s| &s.time.mean_difference),
                covariance: mean(|s| &s.time.covariance),
            },
            tangent: ViewPrior {
                difference: mean_vector(&each, &weights, |s| &s.tangent.mean_difference),
                covariance: mean(|s| &s.tangent.covariance),
            },
            outlook: None,
        })
    }

    /// Number of channels.
    #[must_use]
    pub fn channel_count(&self) -> usize {
        self.channels.order()
    }

    /// Checks sizes and numbers, e.g. after reading from a file.
    ///
    /// # Errors
    /// [`CalibrationError::Shape`], [`CalibrationError::OutOfRange`] or [`CalibrationError::NotFinite`].
    pub fn validate(&self) -> Result<()> {
        let n = self.channels.order();
        in_range(
            "channels of a prior",
            n as f64,
            1.0,
            PRIOR_CHANNELS_MAX as f64,
        )?;
        let recordings = PRIOR_RECORDINGS_MAX as f64;
        in_range(
            "recordings of a prior",
            self.recordings as f64,
            1.0,
            recordings,
        )?;
        in_range(
            "people of a prior",
            self.people as f64,
            1.0,
            self.recordings as f64,
        )?;
        in_range("base rate", self.base_rate, 1e-6, 1.0 - 1e-6)?;
        self.channels.validate()?;
        self.reference.validate()?;
        same_size(
            "reference of the prior's tangent space",
            2 * n,
            self.reference.order(),
        )?;
        let bins = self.prototype.len() / n;
        in_range("bins of a prior", bins as f64, 2.0, 1e4)?;
        same_size("prototypes of the prior", n * bins, self.prototype.len())?;
        finite("prototypes of the prior", &self.prototype)?;
        for (view, width) in [
            (&self.time, n * (bins / 2)),
            (&self.tangent, n * (2 * n + 1)),
        ] {
            same_size("features of the prior", width, view.difference.len())?;
            same_size("covariance of the prior", width, view.covariance.order())?;
            finite("features of the prior", &view.difference)?;
            view.covariance.validate()?;
        }
        self.outlook.as_ref().map_or(Ok(()), Outlook::validate)
    }
}

impl Statistics {
    fn of(epochs: &Epochs, prototype: &[f64]) -> Result<Self> {
        let aligned = Aligned::to(epochs, prototype)?;
        Ok(Self {
            time: LdaModel::fit_structured(
                &aligned.time(&epochs.paired()?)?,
                &all(epochs),
                Structure::BlockToeplitz,
            )?,
            tangent: LdaModel::fit(&aligned.vectors(epochs)?)?,
            channels: aligned.channels(),
            reference: aligned.reference(),
        })
    }
}

fn check(recordings: &[Epochs], people: &[usize]) -> Result<()> {
    same_size("people of the recordings", recordings.len(), people.len())?;
    let first = recordings.first().ok_or(CalibrationError::TooFew {
        what: "recordings of other people",
        found: 0,
        needed: 1,
    })?;
    for (what, found, most) in [
        ("channels of a prior", first.channels(), PRIOR_CHANNELS_MAX),
        (
            "recordings of a prior",
            recordings.len(),
            PRIOR_RECORDINGS_MAX,
        ),
    ] {
        in_range(what, found as f64, 1.0, most as f64)?;
    }
    for epochs in recordings {
        same_size(
            "channels of the recordings",
            first.channels(),
            epochs.channels(),
        )?;
        same_size("bins of the recordings", first.bins(), epochs.bins())?;
        let targets = epochs.targets();
        for (what, found, needed) in [
            (
                "good channels, as many as there are, in a recording for a prior",
                epochs.used().iter().filter(|used| **used).count(),
                epochs.channels(),
            ),
            ("targets in a recording for a prior", targets, MIN_PER_CLASS),
            (
                "non-targets in a recording for a prior",
                epochs.len() - targets,
                MIN_PER_CLASS,
            ),
        ] {
            if found < needed {
                return Err(CalibrationError::TooFew {
                    what,
                    found,
                    needed,
                });
            }
        }
    }
    Ok(())
}

/// How much each recording counts, so that every person counts the same.
fn weights_of(people: &[usize]) -> Vec<f64> {
    let persons = count_people(people) as f64;
    people
        .iter()
        .map(|person| {
            let own = people.iter().filter(|other| *other == person).count();
            1.0 / (own as f64 * persons)
        })
        .collect()
}

fn count_people(people: &[usize]) -> usize {
    let distinct: std::collections::BTreeSet<usize> = people.iter().copied().collect();
    distinct.len()
}

/// Average response to targets, in standard deviations of the channel.
fn prototype_of(recordings: &[Epochs], weights: &[f64]) -> Vec<f64> {
    let mut prototype = vec![0.0; recordings.first().map_or(0, Epochs::features_per_epoch)];
    for (epochs, weight) in recordings.iter().zip(weights) {
        let (sd, bins) = (deviations(epochs), epochs.bins());
        let targets = epochs.targets().max(1) as f64;
        for row in (0..epochs.len()).filter(|&row| epochs.info()[row].target) {
            for (k, (p, x)) in prototype.iter_mut().zip(epochs.row(row)).enumerate() {
                *p += weight * x / sd[k / bins] / targets;
            }
        }
    }
    prototype
}

fn mean_matrix(matrices: &[&Symmetric], weights: &[f64]) -> Symmetric {
    let order = matrices.first().map_or(0, |m| m.order());
    Symmetric::from_fn(order, |i, j| {
        let pairs = matrices.iter().zip(weights);
        pairs.map(|(m, weight)| weight * m.get(i, j)).sum()
    })
}

fn mean_vector(
    each: &[Statistics],
    weights: &[f64],
    part: impl Fn(&Statistics) -> &Vec<f64>,
) -> Vec<f64> {
    let mut mean = vec![0.0; each.first().map_or(0, |s| part(s).len())];
    for (statistics, weight) in each.iter().zip(weights) {
        for (m, x) in mean.iter_mut().zip(part(statistics)) {
            *m += weight * x;
        }
    }
    mean
}
