//! Sections of an experiment file for the streams that are here, as `razvilka streams` prints them.
//!
//! What is printed is a valid experiment file as it stands: everything that is not needed is a comment, and so is the
//! second stream of one kind. A value that the stream does not state is a guess, and a comment says so.

use crate::config::{GazeSection, GazeUnits, ScreenSection};
use crate::engine::eyes;
use crate::source::StreamSpec;
use crate::source::channel_words::words_of;
use crate::source::lsl::Surveyed;
use crate::source::pins::{Channels, Pins};

/// A stream as it describes itself, and why it may not be opened where it may not.
#[derive(Debug, Clone)]
pub struct Described {
    /// What it says of itself.
    pub spec: StreamSpec,
    /// Why it may not be opened.
    pub refused: Option<String>,
}

impl From<Surveyed> for Described {
    fn from(seen: Surveyed) -> Self {
        Self {
            spec: seen.spec,
            refused: seen.refused,
        }
    }
}

/// What a stream is for in an experiment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Eeg,
    Gaze,
    Keys,
}

impl Role {
    /// By the stream's type, which is a convention that not every program follows.
    pub(super) fn of(kind: &str) -> Option<Self> {
        match kind.to_ascii_lowercase().as_str() {
            "eeg" => Some(Self::Eeg),
            "gaze" | "eyegaze" | "eyetracker" => Some(Self::Gaze),
            "keys" => Some(Self::Keys),
            _ => None,
        }
    }

    pub(super) const fn section(self) -> &'static str {
        match self {
            Self::Eeg => "eeg",
            Self::Gaze => "gaze",
            Self::Keys => "keys",
        }
    }
}

/// All sections, ready to paste together.
#[must_use]
pub fn sections(streams: &[Described]) -> String {
    let mut taken: Vec<Role> = Vec::new();
    let mut parts = Vec::with_capacity(streams.len());
    for stream in streams {
        let name = toml_text(&stream.spec.name);
        if let Some(reason) = &stream.refused {
            parts.push(format!("# {name} cannot be used: {}\n", escaped(reason)));
            continue;
        }
        let role = Role::of(&stream.spec.kind);
        let text = section(&stream.spec);
        parts.push(match role {
            Some(role) if taken.contains(&role) => format!(
                "# {name} is another stream for [{}]: one of them can be used.\n{}",
                role.section(),
                as_comment(&text)
            ),
            Some(role) => {
                taken.push(role);
                text
            }
            None => text,
        });
    }
    parts.join("\n")
}

/// The section for one stream; all of it a comment when its type does not say what it is for, or its pins would be refused.
#[must_use]
pub fn section(spec: &StreamSpec) -> String {
    let pins = Pins::of(spec);
    let Some(role) = Role::of(&spec.kind) else {
        return format!(
            "# The type of {} does not say what it is for. If it carries EEG, gaze or key presses, put this under [eeg.pins],\n\
             # [gaze.pins] or [keys.pins]:\n{}",
            toml_text(&spec.name),
            as_comment(&pins_toml(&pins))
        );
    };
    let mut text = String::new();
    if role == Role::Gaze {
        text.push_str(&gaze_keys(spec));
    }
    text.push_str(&format!("[{}.pins]\n{}", role.section(), pins_toml(&pins)));
    if role == Role::Gaze {
        text.push_str(&screen_keys(spec));
    }
    match pins.check() {
        Ok(()) => text,
        Err(error) => format!(
            "# {} cannot be pinned: {}\n{}",
            toml_text(&spec.name),
            escaped(&error.to_string()),
            as_comment(&text)
        ),
    }
}

/// How the gaze stream is read: by itself where it says enough, else by a guess that is called one.
pub(super) fn gaze_keys(spec: &StreamSpec) -> String {
    let section = GazeSection::default();
    let unclear = match eyes::choose(&section, &ScreenSection::default(), spec) {
        Ok(chosen) => {
            let mut text = format!("[gaze]\n# read as: {}\n", escaped(&chosen.words));
            for remark in chosen.remarks {
                text.push_str(&format!("# {}\n", escaped(&remark)));
            }
            return text;
        }
        Err(unclear) => unclear,
    };
    let mut text = format!("[gaze]\n# {}\n", escaped(&unclear.to_string()));
    let position = position_labels(&spec.labels);
    let (x, y) = position.unwrap_or(("x", "y"));
    let index = spec.labels.iter().position(|label| label == x);
    let unit = spec
        .units
        .get(index.unwrap_or(0))
        .map_or("", |unit| unit.trim());
    let (units, why) = match GazeUnits::declared(unit) {
        Some(units) => (units, "as the stream declares".to_owned()),
        None if unit.is_empty() => (
            GazeUnits::Normalised,
            "a guess, the stream declares no unit: normalised (0..1 from the top left), pixels or degrees".to_owned(),
        ),
        None => (
            GazeUnits::Normalised,
            format!(
                "a guess, the stream declares {}: normalised (0..1 from the top left), pixels or degrees",
                toml_text(unit)
            ),
        ),
    };
    text.push_str(&format!("units = \"{}\" # {why}\n", units.word()));
    let guess = if position.is_some() {
        "# by its label"
    } else {
        "# a guess, no label looks like it: the label of the channel"
    };
    text.push_str(&format!("x = {} {guess}\n", toml_text(x)));
    text.push_str(&format!("y = {} {guess}\n", toml_text(y)));
    match confidence_label(&spec.labels) {
        Some(label) => {
            text.push_str(&format!("confidence = {} # by its label\n", toml_text(label)));
        }
        None => text.push_str(
            "# confidence = \"...\" # no label looks like it; without it a lost eye is told by NaN alone\n",
        ),
    }
    text
}

/// The geometry that gaze rests on; no stream tells how large the picture is and how far the eye.
fn screen_keys(spec: &StreamSpec) -> String {
    let screen = ScreenSection::default();
    let (width_px, height_px, why) = match words_of(spec).resolution_px {
        Some((width, height)) => (width, height, "as the stream says"),
        None => (
            f64::from(screen.width_px),
            f64::from(screen.height_px),
            "a guess",
        ),
    };
    format!(
        "\n[screen] # measure the visible picture and the distance of the eye: what stands here is a guess\n\
         width_cm = {:?}\nheight_cm = {:?}\ndistance_cm = {:?}\nwidth_px = {width_px} # {why}\nheight_px = {height_px} # {why}\n",
        screen.width_cm, screen.height_cm, screen.distance_cm
    )
}

/// The labels of the horizontal and the vertical position: the shortest pair that differs in `x` and `y` alone.
fn position_labels(labels: &[String]) -> Option<(&str, &str)> {
    let mut pairs: Vec<(&str, &str)> = labels
        .iter()
        .flat_map(|x| labels.iter().map(move |y| (x.as_str(), y.as_str())))
        .filter(|(x, y)| {
            let (x, y) = (words(x), words(y));
            x.len() == y.len()
                && x.iter().any(|word| word == "x")
                && x.iter()
                    .zip(&y)
                    .all(|(a, b)| a == b || (a == "x" && b == "y"))
                && y.iter().all(|word| word != "x")
        })
        .collect();
    pairs.sort_by_key(|(x, _)| x.len());
    pairs.first().copied()
}

/// Small-letter words of a label: `left_gaze_X` is left, gaze, x.
fn words(label: &str) -> Vec<String> {
    label
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

fn confidence_label(labels: &[String]) -> Option<&str> {
    let found = labels
        .iter()
        .find(|label| words(label).iter().any(|word| word == "confidence"));
    found.map(String::as_str)
}

pub(super) fn pins_toml(pins: &Pins) -> String {
    let mut lines = Vec::new();
    for (key, pin) in [
        ("name", &pins.name),
        ("type", &pins.kind),
        ("source_id", &pins.source_id),
        ("hostname", &pins.hostname),
    ] {
        if let Some(pin) = pin {
            lines.push(format!("{key} = {}", toml_text(pin)));
        }
    }
    match &pins.channels {
        Some(Channels::Count(count)) => lines.push(format!("channels = {count}")),
        Some(Channels::Labels(labels)) => {
            let labels: Vec<String> = labels.iter().map(|l| toml_text(l)).collect();
            lines.push(format!("channels = [{}]", labels.join(", ")));
        }
        None => {}
    }
    if let Some(unit) = &pins.unit {
        lines.push(format!("unit = {}", toml_text(unit)));
    }
    if let Some(rate) = pins.rate_hz {
        lines.push(format!("rate_hz = {rate:?}"));
    }
    if let Some(format) = pins.format {
        lines.push(format!(
            "format = \"{}\"",
            format!("{format:?}").to_lowercase()
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}

pub(super) fn as_comment(text: &str) -> String {
    let mut commented = String::with_capacity(text.len() + 64);
    for line in text.lines() {
        let mark = if line.starts_with('#') { "" } else { "# " };
        commented.push_str(&format!("{mark}{line}\n"));
    }
    commented
}

/// Characters that steer a terminal or turn the direction of writing, as `\u{…}`.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_steering(c) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// A TOML basic string that reads back as `text` and is safe to print.
pub(super) fn toml_text(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if is_steering(c) => quoted.push_str(&format!("\\U{:08X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Plan;
    use crate::source::Format;

    fn spec(kind: &str, labels: &[&str], unit: &str) -> StreamSpec {
        StreamSpec {
            name: format!("Прибор {kind}"),
            kind: kind.into(),
            source_id: format!("sn-{kind}"),
            hostname: "lab".into(),
            uid: "u1".into(),
            rate_hz: 250.0,
            format: Format::Float32,
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            units: vec![unit.to_owned(); labels.len()],
            xml: String::new(),
        }
    }

    fn printed(specs: &[StreamSpec]) -> String {
        let described: Vec<Described> = specs
            .iter()
            .map(|spec| Described {
                spec: spec.clone(),
                refused: None,
            })
            .collect();
        sections(&described)
    }

    fn pasted(text: &str) -> Plan {
        Plan::parse(text, Path::new("pasted.toml")).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    #[test]
    fn what_is_printed_for_eeg_gaze_and_markers_is_an_experiment_file() {
        let eeg = spec("EEG", &["Fz", "Cz"], "microvolts");
        let gaze = spec("Gaze", &["x", "y", "confidence"], "normalized");
        let mut markers = spec("Markers", &["marker"], "");
        (markers.rate_hz, markers.format) = (0.0, Format::String);
        let plan = pasted(&printed(&[eeg.clone(), markers, gaze.clone()]));
        assert_eq!(plan.eeg.unwrap().pins, Pins::of(&eeg));
        let section = plan.gaze.unwrap();
        assert_eq!(section.pins, Pins::of(&gaze));
        let chosen = eyes::choose(&section, &plan.screen, &gaze).unwrap();
        assert_eq!(chosen.reading.units, GazeUnits::Normalised);
        assert_eq!(
            chosen.reading.raw(&[0.2, 0.3, 0.9]).mean().map(|(x, _)| x),
            Some(f64::from(0.2f32))
        );
        assert_eq!(chosen.reading.raw(&[0.2, 0.3, 0.4]).mean(), None);
        assert!(plan.keys.is_none());
    }

    #[test]
    fn labels_and_units_of_other_trackers_are_guessed_and_a_guess_is_called_one() {
        let labels = ["time", "Left_Gaze_X", "Left_Gaze_Y", "gaze x", "gaze y"];
        let text = section(&spec("Gaze", &labels, "px"));
        pasted(&text);
        assert!(
            text.contains("both eyes together from 'gaze x' and 'gaze y'")
                && text.contains("pixels (the stream declares 'px')"),
            "{text}"
        );

        let text = section(&spec("Gaze", &["sideways", "upwards"], "lines"));
        let gaze = pasted(&text).gaze.unwrap();
        assert_eq!(gaze.units, Some(GazeUnits::Normalised));
        assert!(
            text.contains("a guess, the stream declares \"lines\""),
            "{text}"
        );
        assert!(text.contains("a guess, no label looks like it"), "{text}");
    }

    #[test]
    fn the_second_stream_of_a_kind_is_a_comment() {
        let first = spec("EEG", &["Fz"], "microvolts");
        let mut second = spec("EEG", &["Oz"], "microvolts");
        second.source_id = "other".into();
        let text = printed(&[first.clone(), second]);
        assert_eq!(pasted(&text).eeg.unwrap().pins, Pins::of(&first));
        assert!(
            text.contains("another stream for [eeg]") && text.contains("# source_id = \"other\"")
        );
    }

    #[test]
    fn the_pins_paste_back_as_they_were() {
        let mut odd = spec("EEG", &["Fz", "Cz"], "microvolts");
        odd.name = "a\"b\\c\u{7}\u{202E}d \u{1F9E0}".into();
        let text = section(&odd);
        assert!(
            !text.chars().any(|c| c != '\n' && is_steering(c)),
            "{text:?}"
        );
        assert_eq!(pasted(&text).eeg.unwrap().pins, Pins::of(&odd));
    }

    #[test]
    fn a_stream_that_may_not_be_opened_has_no_section_but_a_reason() {
        let text = sections(&[Described {
            spec: spec("EEG", &["Fz"], ""),
            refused: Some("too\nmany channels".into()),
        }]);
        assert_eq!(
            text,
            "# \"Прибор EEG\" cannot be used: too\\u{a}many channels\n"
        );
    }

    #[test]
    fn a_stream_of_unknown_purpose_or_without_identity_is_a_comment_altogether() {
        let mut nameless = spec("EEG", &["Fz"], "");
        (nameless.name, nameless.source_id) = (String::new(), String::new());
        for spec in [spec("Markers", &["marker"], ""), nameless] {
            let text = section(&spec);
            assert!(text.lines().all(|line| line.starts_with('#')), "{text}");
        }
    }
}
