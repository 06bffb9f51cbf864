//! How a gaze stream is read: by the labels of the experiment file, or else by how the stream describes itself.
//!
//! What trackers publish on LSL, as their programs write it:
//!
//! | program | labels | says | loss |
//! |---|---|---|---|
//! | any that keeps to the [XDF convention](https://github.com/sccn/xdf/wiki/Gaze-Meta-Data) | any | `eye` left, right or both; `type` `ScreenX`, `ScreenY`, `Confidence`; `unit` | confidence, NaN |
//! | [Tobii Pro connector](https://github.com/labstreaminglayer/App-TobiiPro) (`mainwindow.cpp`; stream type `Eyetracker`) | `left_x`, `left_y`, `right_x`, ... | `ScreenX`, unit `screencoords`: shares of the display, from the top left | NaN |
//! | [TittaLSL](https://github.com/dcnieho/Titta) | `x.position_on_display_area.gaze_point.left_eye`, ... | `ScreenX`, unit `normalized`; `ValidFlag`, unit `bool`, of point, pupil and origin | flag, NaN |
//! | the Tobii connector of before (`TobiiETD`) | `Screen_X_left`, ... | `ScreenX` without a unit: shares; `Confidence_left`, type `Confidence`, holds the validity code, 0 good to 4 lost | code |
//! | [Pupil Capture relay](https://github.com/labstreaminglayer/App-PupilLabs) (`pupil_capture/pupil_capture_lsl_relay/channel.py`) | `confidence`, `norm_pos_x`, `norm_pos_y`, `gaze_point_3d_x`, ... | eye both, `ScreenX`, unit `normalized`, coordinate system `world`: shares of the scene camera's picture, from the bottom left ([coordinate systems](https://docs.pupil-labs.com/core/terminology/#coordinate-system)) | confidence, NaN |
//! | [Pupil Invisible and Neon relays](https://github.com/labstreaminglayer/App-PupilLabs) (`pupil_invisible_lsl_relay`) | `x`, `y` | eye both, `ScreenX` as `type` or (since version 2) as `metatype`, unit `pixels`, coordinate system `world`: pixels of the scene camera, from the top left | none |
//! | [EyeLink](https://github.com/labstreaminglayer/App-EyeLink) (`eyelink.py`) | `leftEyeX`, `leftEyeY`, `rightEyeX`, ..., `pixelsPerDegreeX` | type `eyetracking`, no unit: pixels from the top left | -32768 (`MISSING_DATA`); 0, 0 for an eye that is not tracked |
//!
//! A choice that is not clear is refused with what could be meant and the key that settles it: a wrong eye, axis or direction would
//! be acted on for a whole session.

mod belief;
mod labels;
mod pupil;

use self::belief::beliefs;
use self::labels::{Axis, Eye, Label};
pub use self::pupil::choose_pupil;
use crate::config::{AUTO, GazeOrigin, GazeSection, GazeUnits, ScreenSection, WhichEyes};
use crate::pipeline::gaze::reading::{EyeChannels, Eyes, EyesRead, GazeReading};
use crate::source::channel_words::{StreamWords, words_of};
use crate::source::{SourceError, StreamSpec};

/// Nominal sizes in pixels that differ by no more than this are the same, pixels.
const RESOLUTION_SLACK_PX: f64 = 0.5;

/// How a stream is read, and in words.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// The reading.
    pub reading: GazeReading,
    /// What was chosen and by what, one line.
    pub words: String,
    /// What should be known, one sentence each.
    pub remarks: Vec<String>,
}

/// Two channels that give a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    eye: Eye,
    x: usize,
    y: usize,
}

/// Which channels are read; what their numbers mean is another question.
#[derive(Debug, Clone, PartialEq)]
pub struct ChosenEyes {
    /// The channels.
    pub read: EyesRead,
    pairs: Vec<Pair>,
    by: &'static str,
    lost: String,
}

/// How the stream is read on this screen.
///
/// # Errors
/// [`SourceError::Mismatch`] for a label that is not there, and for what the stream says otherwise than the experiment file;
/// [`SourceError::Unclear`] where neither says enough.
pub fn choose(
    section: &GazeSection,
    screen: &ScreenSection,
    spec: &StreamSpec,
) -> Result<Chosen, SourceError> {
    let words = words_of(spec);
    let mut eyes = choose_eyes(section, spec)?;
    let (units, units_by) = units(section, spec, &words, &eyes)?;
    let (origin, origin_by) = origin(section, &words, &eyes, units);
    eyes.read.minus_one_is_lost = units == GazeUnits::Normalised;
    let in_scene = eyes.pairs.iter().any(|pair| {
        let said = words.channels.get(pair.x);
        said.is_some_and(|said| said.coordinate_system.eq_ignore_ascii_case("world"))
    });
    let mut remarks = Vec::new();
    if in_scene {
        remarks.push(
            "its positions are places in the picture of the scene camera: they follow the head, so keep it still and calibrate again \
             after it moved"
                .to_owned(),
        );
    } else if let Some(remark) = check_resolution(units, screen, spec, &words)? {
        remarks.push(remark);
    }
    let told = Told {
        units,
        units_by: &units_by,
        origin,
        origin_by,
    };
    let mut reading = GazeReading::of(eyes.read, units, origin, in_scene, screen);
    reading.margin_deg = section.margin_deg;
    Ok(Chosen {
        words: in_words(spec, &eyes, &told),
        reading,
        remarks,
    })
}

/// Which channels are read, and in which samples an eye is believed.
///
/// # Errors
/// As [`choose`].
pub fn choose_eyes(section: &GazeSection, spec: &StreamSpec) -> Result<ChosenEyes, SourceError> {
    let words = words_of(spec);
    let named = section.x != AUTO || section.y != AUTO;
    let (pairs, by) = if named {
        (
            named_pairs(section, spec)?,
            "as the experiment file names them",
        )
    } else {
        found_pairs(spec, &words)?
    };
    let pairs = of_eyes(section.eyes, pairs, spec)?;
    let (beliefs, lost) = beliefs(section, spec, &words, &pairs, named)?;
    let channels = |at: usize| {
        let pair = pairs.get(at)?;
        Some(EyeChannels {
            x: pair.x,
            y: pair.y,
            belief: beliefs.get(at).copied().flatten(),
        })
    };
    let eyes = match (pairs.first().map(|pair| pair.eye), channels(0), channels(1)) {
        (Some(Eye::Left), Some(left), Some(right)) => Eyes::Two { left, right },
        (Some(Eye::Left), Some(one), None) => Eyes::Left(one),
        (Some(Eye::Right), Some(one), _) => Eyes::Right(one),
        (_, Some(one), _) => Eyes::Combined(one),
        (_, None, _) => return Err(unclear(spec, "no channel is a position of gaze", XY)),
    };
    Ok(ChosenEyes {
        read: EyesRead {
            eyes,
            zero_is_lost: is_eyelink(spec),
            minus_one_is_lost: false,
        },
        pairs,
        by,
        lost,
    })
}

/// The keys that settle which channels are read.
const XY: &str = "gaze.x and gaze.y (and gaze.x_right, gaze.y_right for a second eye) to the labels of the position";

fn unclear(spec: &StreamSpec, problem: impl Into<String>, keys: &'static str) -> SourceError {
    let labels: Vec<String> = spec.labels.iter().map(|l| format!("'{l}'")).collect();
    SourceError::Unclear {
        name: spec.name.clone(),
        problem: problem.into(),
        channels: labels.join(", "),
        keys,
    }
}

/// The labels of the experiment file.
fn named_pairs(section: &GazeSection, spec: &StreamSpec) -> Result<Vec<Pair>, SourceError> {
    let pair = |eye, x: &str, y: &str| {
        Ok::<_, SourceError>(Pair {
            eye,
            x: spec.channel(x)?,
            y: spec.channel(y)?,
        })
    };
    if section.x == AUTO || section.y == AUTO {
        return Err(unclear(spec, "only one of gaze.x and gaze.y is named", XY));
    }
    let first = |eye| pair(eye, &section.x, &section.y);
    match (&section.x_right, &section.y_right) {
        (Some(x), Some(y)) => Ok(vec![first(Eye::Left)?, pair(Eye::Right, x, y)?]),
        (None, None) => Ok(vec![first(match section.eyes {
            WhichEyes::Both => Eye::Combined,
            WhichEyes::Left => Eye::Left,
            WhichEyes::Right => Eye::Right,
        })?]),
        _ => Err(unclear(
            spec,
            "only one of gaze.x_right and gaze.y_right is named",
            XY,
        )),
    }
}

/// By the stream's types, or else by its labels.
fn found_pairs(
    spec: &StreamSpec,
    words: &StreamWords,
) -> Result<(Vec<Pair>, &'static str), SourceError> {
    let by_type = |axis: Axis| match axis {
        Axis::X => "screenx",
        Axis::Y => "screeny",
    };
    let labels: Vec<Label> = words.channels.iter().map(|c| Label::of(&c.label)).collect();
    let typed = words.channels.iter().zip(&labels).enumerate();
    let typed: Vec<_> = typed
        .filter_map(|(index, (said, label))| {
            let kind = said.kind.to_ascii_lowercase();
            let axis = [Axis::X, Axis::Y]
                .into_iter()
                .find(|a| kind == by_type(*a))?;
            Some((
                index,
                axis,
                eye_of(&said.eye, label),
                said.coordinate_system.clone(),
            ))
        })
        .collect();
    if !typed.is_empty() {
        return Ok((paired(spec, typed)?, "by the stream's own types"));
    }
    let labelled = labels
        .iter()
        .enumerate()
        .filter(|(_, label)| !label.is_other());
    let labelled: Vec<_> = labelled
        .filter_map(|(index, label)| {
            let said = words.channels.get(index).map_or("", |c| c.eye.as_str());
            Some((
                index,
                label.axis?,
                eye_of(said, label),
                label.rest.join(" "),
            ))
        })
        .collect();
    if labelled.is_empty() {
        return Err(unclear(
            spec,
            "no channel looks like a position of gaze",
            XY,
        ));
    }
    Ok((paired(spec, labelled)?, "by their labels"))
}

fn eye_of(said: &str, label: &Label) -> Eye {
    match said {
        "left" => Eye::Left,
        "right" => Eye::Right,
        "both" => Eye::Combined,
        _ => label.eye.unwrap_or(Eye::Combined),
    }
}

/// Horizontal and vertical channels of one eye and one group belong together; more than one group, or more than one
/// pair of one eye, could be meant and is refused.
fn paired(
    spec: &StreamSpec,
    found: Vec<(usize, Axis, Eye, String)>,
) -> Result<Vec<Pair>, SourceError> {
    let mut pairs: Vec<(Pair, String)> = Vec::new();
    for (x, _, eye, group) in found.iter().filter(|(_, axis, ..)| *axis == Axis::X) {
        let partners = found
            .iter()
            .filter(|(_, axis, of, in_group)| *axis == Axis::Y && of == eye && in_group == group);
        for (y, ..) in partners {
            let pair = Pair {
                eye: *eye,
                x: *x,
                y: *y,
            };
            pairs.push((pair, group.clone()));
        }
    }
    let Some((_, group)) = pairs.first() else {
        return Err(unclear(
            spec,
            "no horizontal and vertical position belong together",
            XY,
        ));
    };
    let twice = |(pair, _): &(Pair, String)| {
        pairs
            .iter()
            .filter(|(other, _)| other.eye == pair.eye)
            .count()
            > 1
    };
    if pairs.iter().any(|(_, other)| other != group) || pairs.iter().any(twice) {
        let told: Vec<String> = pairs
            .iter()
            .map(|(pair, _)| {
                let label = |index: usize| spec.labels.get(index).map_or("", String::as_str);
                format!("'{}' with '{}'", label(pair.x), label(pair.y))
            })
            .collect();
        return Err(unclear(
            spec,
            format!(
                "more than one position could be meant ({})",
                told.join("; ")
            ),
            XY,
        ));
    }
    let mut pairs: Vec<Pair> = pairs.into_iter().map(|(pair, _)| pair).collect();
    pairs.sort_by_key(|pair| pair.eye);
    Ok(pairs)
}

/// The eyes that the experiment file wants. For both, two eyes are taken before what the tracker makes of both, and that before one eye alone.
fn of_eyes(
    wanted: WhichEyes,
    mut pairs: Vec<Pair>,
    spec: &StreamSpec,
) -> Result<Vec<Pair>, SourceError> {
    let eye = match wanted {
        WhichEyes::Both => {
            let has = |eye: Eye| pairs.iter().any(|pair| pair.eye == eye);
            let combined = has(Eye::Combined) && !(has(Eye::Left) && has(Eye::Right));
            pairs.retain(|pair| (pair.eye == Eye::Combined) == combined);
            return Ok(pairs);
        }
        WhichEyes::Left => Eye::Left,
        WhichEyes::Right => Eye::Right,
    };
    let kept: Vec<Pair> = pairs.into_iter().filter(|pair| pair.eye == eye).collect();
    if kept.is_empty() {
        let problem = format!("it does not tell of the {} alone", eye.words());
        return Err(unclear(spec, problem, "gaze.eyes = \"both\""));
    }
    Ok(kept)
}

/// EyeLink's own program, and those written after it.
fn is_eyelink(spec: &StreamSpec) -> bool {
    spec.name.to_ascii_lowercase().contains("eyelink")
        || spec.labels.iter().any(|label| label == "pixelsPerDegreeX")
}

fn is_tobii(words: &StreamWords) -> bool {
    words.manufacturer.to_ascii_lowercase().starts_with("tobii")
}

fn is_norm_pos(words: &StreamWords, eyes: &ChosenEyes) -> bool {
    eyes.pairs.iter().all(|pair| {
        let label = words.channels.get(pair.x).map(|c| Label::of(&c.label));
        label.is_some_and(|label| label.has(&["norm"]) && label.has(&["pos"]))
    })
}

/// What the numbers mean, and by what.
fn units(
    section: &GazeSection,
    spec: &StreamSpec,
    words: &StreamWords,
    eyes: &ChosenEyes,
) -> Result<(GazeUnits, String), SourceError> {
    let mut declared: Option<(GazeUnits, &str)> = None;
    let mut unknown = "";
    for index in eyes.pairs.iter().flat_map(|pair| [pair.x, pair.y]) {
        let unit = words.channels.get(index).map_or("", |c| c.unit.as_str());
        let Some(units) = unit_of(unit, words) else {
            unknown = if unit.is_empty() { unknown } else { unit };
            continue;
        };
        let wanted = section.units.or(declared.map(|(units, _)| units));
        if let Some(wanted) = wanted
            && wanted != units
        {
            return Err(SourceError::Mismatch {
                name: spec.name.clone(),
                what: "the unit of the position (gaze.units)",
                expected: format!("'{}'", wanted.word()),
                actual: format!("'{unit}'"),
            });
        }
        declared = Some((units, unit));
    }
    if let Some(units) = section.units {
        return Ok((units, "as the experiment file says".to_owned()));
    }
    if let Some((units, unit)) = declared {
        return Ok((units, format!("the stream declares '{unit}'")));
    }
    if unknown.is_empty() && is_eyelink(spec) {
        return Ok((GazeUnits::Pixels, "as EyeLink writes them".to_owned()));
    }
    if unknown.is_empty() && is_tobii(words) {
        return Ok((GazeUnits::Normalised, "as Tobii writes them".to_owned()));
    }
    if is_norm_pos(words, eyes) {
        return Ok((GazeUnits::Normalised, "by their labels".to_owned()));
    }
    let problem = if unknown.is_empty() {
        "it declares no unit for the position".to_owned()
    } else {
        format!("it declares the unit '{unknown}', which is not known")
    };
    Err(unclear(
        spec,
        problem,
        "gaze.units to normalised, pixels, degrees, millimetres or metres",
    ))
}

/// Tobii's connector writes `screencoords` for shares of the display.
fn unit_of(unit: &str, words: &StreamWords) -> Option<GazeUnits> {
    GazeUnits::declared(unit).or_else(|| {
        let shares = is_tobii(words) && unit.trim().eq_ignore_ascii_case("screencoords");
        shares.then_some(GazeUnits::Normalised)
    })
}

/// From where the numbers count, and by what.
fn origin(
    section: &GazeSection,
    words: &StreamWords,
    eyes: &ChosenEyes,
    units: GazeUnits,
) -> (GazeOrigin, &'static str) {
    match section.origin {
        Some(origin) => (origin, "as the experiment file says"),
        None if units == GazeUnits::Normalised && is_norm_pos(words, eyes) => {
            (GazeOrigin::BottomLeft, "as Pupil Labs counts")
        }
        None => (units.usual_origin(), "as is usual"),
    }
}

/// A picture of another size than `[screen]` says: refused where it makes positions wrong, else told.
fn check_resolution(
    units: GazeUnits,
    screen: &ScreenSection,
    spec: &StreamSpec,
    words: &StreamWords,
) -> Result<Option<String>, SourceError> {
    let Some((width, height)) = words.resolution_px else {
        return Ok(None);
    };
    let (ours_w, ours_h) = (f64::from(screen.width_px), f64::from(screen.height_px));
    let same = |a: f64, b: f64| (a - b).abs() <= RESOLUTION_SLACK_PX;
    if same(width, ours_w) && same(height, ours_h) {
        return Ok(None);
    }
    if units == GazeUnits::Pixels {
        return Err(SourceError::Mismatch {
            name: spec.name.clone(),
            what: "the size of the picture (screen.width_px, screen.height_px)",
            expected: format!("{ours_w} x {ours_h} pixels"),
            actual: format!("{width} x {height} pixels"),
        });
    }
    Ok(Some(format!(
        "it says that the picture has {width} x {height} pixels, [screen] says {ours_w} x {ours_h}: positions do not depend on it"
    )))
}

struct Told<'a> {
    units: GazeUnits,
    units_by: &'a str,
    origin: GazeOrigin,
    origin_by: &'static str,
}

/// What was chosen, one line.
fn in_words(spec: &StreamSpec, eyes: &ChosenEyes, told: &Told<'_>) -> String {
    let label = |index: usize| spec.labels.get(index).map_or("", String::as_str);
    let pairs: Vec<String> = eyes
        .pairs
        .iter()
        .map(|pair| {
            format!(
                "{} from '{}' and '{}'",
                pair.eye.words(),
                label(pair.x),
                label(pair.y)
            )
        })
        .collect();
    format!(
        "{} ({}); {} ({}), {} ({}); {}",
        pairs.join(", "),
        eyes.by,
        told.units.word(),
        told.units_by,
        told.origin.words(),
        told.origin_by,
        eyes.lost
    )
}

#[cfg(test)]
mod tests;
