//! Channels that this person's recording and the prior's have in common.

use std::io::Write;

use razvilka_calibration::PRIOR_CHANNELS_MAX;

use super::say;
use crate::cli::exit::{Exit, Failure};

/// The montage that the prior is for.
pub(super) struct Here<'a> {
    pub(super) labels: &'a [String],
    pub(super) usable: &'a [bool],
    pub(super) whose: &'a str,
    pub(super) channels_min: usize,
}

/// A recording's montage, or a kept prior's.
pub(super) struct There<'a> {
    pub(super) name: &'a str,
    pub(super) labels: &'a [String],
    pub(super) usable: &'a [bool],
}

/// Channels that are good everywhere.
pub(super) struct Common {
    /// Their places here.
    pub(super) here: Vec<usize>,
    /// Their places in each of the others.
    pub(super) there: Vec<Vec<usize>>,
    /// Channels of this montage that are good here and not there, with the first recording that lacks each.
    lacking: Vec<(usize, String)>,
}

impl Here<'_> {
    pub(super) fn common(&self, others: &[There<'_>]) -> Result<Common, Failure> {
        let places: Vec<Vec<Option<usize>>> = others
            .iter()
            .map(|other| self.places_in(other))
            .collect::<Result<_, _>>()?;
        let mut common = Common {
            here: Vec::new(),
            there: vec![Vec::new(); others.len()],
            lacking: Vec::new(),
        };
        for channel in (0..self.labels.len()).filter(|&c| self.usable[c]) {
            let in_each = others.iter().zip(&places).map(|(other, places)| {
                let place = places[channel].filter(|&place| other.usable[place]);
                place.ok_or_else(|| other.name.to_owned())
            });
            match in_each.collect::<Result<Vec<usize>, String>>() {
                Ok(found) => {
                    common.here.push(channel);
                    for (there, place) in common.there.iter_mut().zip(found) {
                        there.push(place);
                    }
                }
                Err(name) => common.lacking.push((channel, name)),
            }
        }
        let found = common.here.len();
        if found < self.channels_min {
            return Err(Failure::said(
                Exit::Source,
                format!(
                    "only {found} good channels are common to {} and the prior, {} are needed{}. Leave out the recordings that lack them, \
                 or calibrate without a prior",
                    self.whose,
                    self.channels_min,
                    common.lacking_in_words(self)
                ),
            ));
        }
        if found > PRIOR_CHANNELS_MAX {
            return Err(Failure::said(
                Exit::Usage,
                format!(
                    "a prior takes {PRIOR_CHANNELS_MAX} channels at most, {found} are good. Say which, e.g. --channels Fz,Cz,Pz,P3,P4,PO7,PO8,Oz"
                ),
            ));
        }
        Ok(common)
    }

    /// For each channel here its place there: by label where all have one, else by order.
    fn places_in(&self, there: &There<'_>) -> Result<Vec<Option<usize>>, Failure> {
        let named = |labels: &[String]| labels.iter().all(|label| !label.is_empty());
        if named(self.labels) && named(there.labels) {
            let place = |label: &String| {
                let mut labels = there.labels.iter();
                labels.position(|other| other.eq_ignore_ascii_case(label))
            };
            return Ok(self.labels.iter().map(place).collect());
        }
        if self.labels == there.labels {
            return Ok((0..self.labels.len()).map(Some).collect());
        }
        Err(Failure::said(
            Exit::Source,
            format!(
                "{} has {} channels{}, {} has {}{}. Channels are matched by their labels, or by their order where neither names any: \
             leave it out of the prior, or record with labels",
                there.name,
                there.labels.len(),
                if named(there.labels) {
                    " with labels"
                } else {
                    " without labels"
                },
                self.whose,
                self.labels.len(),
                if named(self.labels) {
                    " with labels"
                } else {
                    " without labels"
                },
            ),
        ))
    }

    fn name(&self, channel: usize) -> String {
        self.labels
            .get(channel)
            .filter(|label| !label.is_empty())
            .cloned()
            .unwrap_or_else(|| format!("channel {}", channel + 1))
    }
}

impl Common {
    /// Places here and in the other of that number.
    pub(super) fn pairs(&self, other: usize) -> impl Iterator<Item = (usize, usize)> {
        let there = self.there.get(other).cloned().unwrap_or_default();
        self.here.clone().into_iter().zip(there)
    }

    fn lacking_in_words(&self, here: &Here<'_>) -> String {
        self.lacking
            .iter()
            .map(|(channel, name)| format!("; {} is bad or missing in {name}", here.name(*channel)))
            .collect()
    }

    pub(super) fn say(&self, here: &Here<'_>, talk: &mut impl Write) {
        if self.here.len() < here.labels.len() {
            say(
                talk,
                format_args!(
                    "prior: on {} of {} channels, those that are good everywhere{}",
                    self.here.len(),
                    here.labels.len(),
                    self.lacking_in_words(here)
                ),
            );
        }
    }
}
