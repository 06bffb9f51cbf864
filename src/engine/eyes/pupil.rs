//! Which channels of a gaze stream hold the size of a pupil.
//!
//! | program | labels | says |
//! |---|---|---|
//! | [XDF convention](https://github.com/sccn/xdf/wiki/Gaze-Meta-Data) | any | `type` `Diameter` or `Radius` |
//! | Tobii Pro connector (`mainwindow.cpp`) | `left_pupil`, `right_pupil` | `type` `pupilsize`; NaN where not valid |
//! | TittaLSL | `diameter.pupil.left_eye`, ... | `Diameter`, unit `mm`; `valid.pupil.left_eye`, `ValidFlag` |
//! | Pupil Capture relay (`channel.py`) | `diameter0_2d`, `diameter1_3d`, ...; eye 0 is the right one | `Diameter`, unit `pixels` or `mm` |
//! | EyeLink (`eyelink.py`) | `leftPupilArea`, `rightPupilArea` | type `eyetracking`, no unit; 0 for an eye that is not tracked |

use super::labels::{Eye, Label, words};
use super::{eye_of, unclear};
use crate::config::PupilSection;
use crate::pipeline::gaze::reading::Belief;
use crate::pipeline::gaze::{PupilChannel, PupilReading};
use crate::source::channel_words::{ChannelWords, words_of};
use crate::source::{SourceError, StreamSpec};

/// Types of a channel that holds a size.
const SIZES: [&str; 5] = [
    "diameter",
    "radius",
    "pupilsize",
    "pupildiameter",
    "pupilarea",
];
/// Words of a label that tell of something else of the pupil or beside it.
const OTHERS: [&str; 9] = [
    "openness",
    "lid",
    "valid",
    "available",
    "confidence",
    "origin",
    "center",
    "position",
    "timestamp",
];
/// Least value of a flag that is set.
const FLAG_MIN: f32 = 0.5;
/// The keys that settle which channels are read.
const KEYS: &str = "pupil.channel (and pupil.channel_right for a second eye) to the labels of the pupil's size, or pupil.on to false";

/// The channels that hold the size of each pupil.
///
/// # Errors
/// [`SourceError::Mismatch`] for a label that is not there, [`SourceError::Unclear`] where no channel or more than one could be meant.
pub fn choose_pupil(
    section: &PupilSection,
    spec: &StreamSpec,
) -> Result<PupilReading, SourceError> {
    if let Some(label) = &section.channel {
        let right = section.channel_right.as_ref();
        let right = right.map(|label| spec.channel(label)).transpose()?;
        let plain = |channel| PupilChannel {
            channel,
            belief: None,
        };
        return Ok(PupilReading {
            eyes: [Some(plain(spec.channel(label)?)), right.map(plain)],
        });
    }
    if section.channel_right.is_some() {
        return Err(unclear(spec, "only pupil.channel_right is named", KEYS));
    }
    let said = words_of(spec).channels;
    let typed = |channel: &ChannelWords| {
        let kind = channel.kind.to_ascii_lowercase();
        SIZES.contains(&kind.as_str()) && !tells_of_other(&channel.label)
    };
    let mut found: Vec<usize> = indices(&said, typed);
    if found.is_empty() {
        found = indices(&said, |channel| is_size(&channel.label));
    }
    let of = |eye: Eye| -> Result<Option<usize>, SourceError> {
        let of_eye: Vec<usize> = found
            .iter()
            .copied()
            .filter(|index| eye_at(&said, *index) == eye)
            .collect();
        one_of(spec, &said, &of_eye)
    };
    let (left, right, both) = (of(Eye::Left)?, of(Eye::Right)?, of(Eye::Combined)?);
    let eyes = match (left, right) {
        (None, None) => [both, None],
        eyes => [eyes.0, eyes.1],
    };
    if eyes == [None, None] {
        return Err(unclear(
            spec,
            "no channel looks like the size of a pupil",
            KEYS,
        ));
    }
    let with_flag = |channel: usize| PupilChannel {
        channel,
        belief: flag_of(&said, channel),
    };
    Ok(PupilReading {
        eyes: eyes.map(|eye| eye.map(with_flag)),
    })
}

fn indices(said: &[ChannelWords], is: impl Fn(&ChannelWords) -> bool) -> Vec<usize> {
    let each = said.iter().enumerate();
    each.filter(|(_, channel)| is(channel))
        .map(|(index, _)| index)
        .collect()
}

fn eye_at(said: &[ChannelWords], index: usize) -> Eye {
    said.get(index).map_or(Eye::Combined, |channel| {
        eye_of(&channel.eye, &Label::of(&channel.label))
    })
}

fn tells_of_other(label: &str) -> bool {
    words(label)
        .iter()
        .any(|word| OTHERS.iter().any(|other| word.starts_with(other)))
}

/// Whether a label alone says that it is a pupil's size: it names the pupil, no axis, and nothing else of it.
fn is_size(label: &str) -> bool {
    let taken = Label::of(label);
    let names = |beginning: &str| taken.rest.iter().any(|word| word.starts_with(beginning));
    taken.axis.is_none() && names("pupil") && !names("z") && !tells_of_other(label)
}

/// The one of several of one eye: what is told in millimetres goes before pixels.
fn one_of(
    spec: &StreamSpec,
    said: &[ChannelWords],
    found: &[usize],
) -> Result<Option<usize>, SourceError> {
    let millimetres: Vec<usize> = found
        .iter()
        .copied()
        .filter(|index| {
            let channel = said.get(*index);
            channel.is_some_and(|c| matches!(c.unit.trim(), "mm" | "millimeters" | "millimetres"))
        })
        .collect();
    match (found, millimetres.as_slice()) {
        ([], _) => Ok(None),
        ([one], _) | (_, [one]) => Ok(Some(*one)),
        _ => {
            let label = |index: &usize| {
                let label = spec.labels.get(*index).map_or("", String::as_str);
                format!("'{label}'")
            };
            let labels: Vec<String> = found.iter().map(label).collect();
            Err(unclear(
                spec,
                format!(
                    "more than one size of a pupil could be meant ({})",
                    labels.join(", ")
                ),
                KEYS,
            ))
        }
    }
}

/// The flag that says whether this size is valid.
fn flag_of(said: &[ChannelWords], channel: usize) -> Option<Belief> {
    let eye = eye_at(said, channel);
    let is_flag = |index: usize, channel: &ChannelWords| {
        let words = words(&channel.label);
        channel.kind.eq_ignore_ascii_case("validflag")
            && words.iter().any(|word| word == "pupil")
            && eye_at(said, index) == eye
    };
    let mut each = said.iter().enumerate();
    let (flag, _) = each.find(|(index, channel)| is_flag(*index, channel))?;
    Some(Belief {
        channel: flag,
        least: FLAG_MIN,
        most: f32::INFINITY,
    })
}
