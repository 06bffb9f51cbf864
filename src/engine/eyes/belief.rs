//! In which samples an eye is believed: by a confidence, a flag or a validity code.

use super::labels::{Eye, Label, words};
use super::{Pair, eye_of, is_tobii, unclear};
use crate::config::{GazeSection, Validity};
use crate::pipeline::gaze::reading::Belief;
use crate::source::channel_words::{ChannelWords, StreamWords};
use crate::source::{SourceError, StreamSpec};

/// Greatest validity code that is believed: 0 is certain, 1 probable, 2 does not know which eye it saw, 3 and 4 saw another one
/// or none (Tobii Analytics SDK, "validity codes").
const CODE_MAX: f32 = 1.0;
/// Least value of a flag that is set.
const FLAG_MIN: f32 = 0.5;

/// What a channel tells of loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tells {
    Confidence,
    /// A flag or a code: of which kind is to be settled.
    Validity,
    /// A flag, by the stream's word.
    Flag,
}

/// The belief of each pair, and how loss is told in words.
pub(super) fn beliefs(
    section: &GazeSection,
    spec: &StreamSpec,
    words: &StreamWords,
    pairs: &[Pair],
    named: bool,
) -> Result<(Vec<Option<Belief>>, String), SourceError> {
    let mut found = Vec::with_capacity(pairs.len());
    let mut told: Vec<String> = Vec::new();
    for pair in pairs {
        let channel = match (&section.confidence, &section.confidence_right) {
            (_, Some(label)) if pair.eye == Eye::Right => Some(spec.channel(label)?),
            (Some(label), _) => Some(spec.channel(label)?),
            // Who names the position and no confidence says that there is none.
            _ if named => None,
            _ => found_channel(spec, words, pair)?,
        };
        let Some(channel) = channel else {
            found.push(None);
            continue;
        };
        let chosen = section.confidence.is_some() || section.confidence_right.is_some();
        let (belief, how) = belief_of(section, spec, words, channel, chosen)?;
        let label = spec.labels.get(channel).map_or("", String::as_str);
        let how = format!("'{label}' {how}");
        if !told.contains(&how) {
            told.push(how);
        }
        found.push(Some(belief));
    }
    let lost = if told.is_empty() {
        "lost where it is no number".to_owned()
    } else {
        format!(
            "lost where it is no number, and where not {}",
            told.join(", ")
        )
    };
    Ok((found, lost))
}

/// How the channel is read.
fn belief_of(
    section: &GazeSection,
    spec: &StreamSpec,
    words: &StreamWords,
    channel: usize,
    chosen: bool,
) -> Result<(Belief, String), SourceError> {
    let said = words.channels.get(channel).cloned().unwrap_or_default();
    let tells = tells(&said);
    // The connector of before calls a validity code a confidence.
    let tobii_code = is_tobii(words) && tells == Some(Tells::Confidence) && said.unit.is_empty();
    let validity = match (section.validity, tells) {
        (Some(validity), _) => Some(validity),
        (None, _) if tobii_code => Some(Validity::Zero),
        (None, Some(Tells::Flag)) => Some(Validity::One),
        (None, Some(Tells::Validity)) if !chosen => {
            return Err(unclear(
                spec,
                format!(
                    "whether 1 or 0 means a good sample in '{}' is not said",
                    said.label
                ),
                "gaze.validity to \"one\" or \"zero\"",
            ));
        }
        _ => None,
    };
    let (least, most, how) = match validity {
        Some(Validity::One) => (FLAG_MIN, f32::INFINITY, "is set".to_owned()),
        Some(Validity::Zero) => (0.0, CODE_MAX, "is 0 or 1 (a validity code)".to_owned()),
        None => (
            section.confidence_min as f32,
            f32::INFINITY,
            format!("is at least {}", section.confidence_min),
        ),
    };
    let belief = Belief {
        channel,
        least,
        most,
    };
    Ok((belief, how))
}

/// What the channel tells by its type, unit and label; `None` when it tells of something else.
fn tells(said: &ChannelWords) -> Option<Tells> {
    let kind = said.kind.to_ascii_lowercase();
    let label = Label::of(&said.label);
    let is = |name: &str| kind == name || label.has(&[name]);
    if label.is_other() {
        None
    } else if kind == "validflag" || (said.unit.eq_ignore_ascii_case("bool") && is("valid")) {
        Some(Tells::Flag)
    } else if is("confidence") {
        Some(Tells::Confidence)
    } else if is("validity") || is("valid") {
        Some(Tells::Validity)
    } else {
        None
    }
}

/// The channel that tells of the pair's loss; `None` when there is none.
fn found_channel(
    spec: &StreamSpec,
    stream: &StreamWords,
    pair: &Pair,
) -> Result<Option<usize>, SourceError> {
    let all: Vec<(usize, Eye)> = stream
        .channels
        .iter()
        .enumerate()
        .filter(|(_, said)| tells(said).is_some())
        .map(|(index, said)| (index, eye_of(&said.eye, &Label::of(&said.label))))
        .collect();
    // The eye's own, else one for both.
    let of = |eye: Eye| -> Vec<usize> {
        let of_eye = all.iter().filter(|(_, of)| *of == eye);
        of_eye.map(|(index, _)| *index).collect()
    };
    let mut candidates = of(pair.eye);
    if candidates.is_empty() {
        candidates = of(Eye::Combined);
    }
    let of_gaze = |index: &usize| {
        let label = spec.labels.get(*index);
        label.is_some_and(|label| words(label).iter().any(|word| word == "gaze"))
    };
    if candidates.len() > 1 && candidates.iter().any(of_gaze) {
        candidates.retain(of_gaze);
    }
    match candidates.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        _ => Err(unclear(
            spec,
            "more than one channel could tell when the eye is lost",
            "gaze.confidence (and gaze.confidence_right) with gaze.x and gaze.y to labels",
        )),
    }
}
