//! The sections of the sources in a new experiment file: what was found, and what to do about what was not.

use super::template::{Block, key_of, with_value};
use crate::cli::paste::{Role, as_comment, escaped, gaze_keys, pins_toml, toml_text};
use crate::source::StreamSpec;
use crate::source::channel_words::words_of;
use crate::source::lsl::Surveyed;
use crate::source::pins::Pins;

/// Which stream is used for a source.
#[derive(Debug, Clone)]
pub(super) enum Choice<'a> {
    /// None of this kind answered.
    None,
    /// One did.
    One(&'a Surveyed),
    /// One did and cannot be used, for this reason.
    Unusable(&'a Surveyed, String),
    /// Several did: a person must choose.
    Several(Vec<&'a Surveyed>),
}

impl<'a> Choice<'a> {
    /// What the streams that were found leave for a role. Those that may not be opened are no candidates.
    pub(super) fn of(role: Role, seen: &'a [Surveyed]) -> Self {
        let candidates: Vec<&Surveyed> = seen
            .iter()
            .filter(|one| one.refused.is_none() && Role::of(&one.spec.kind) == Some(role))
            .collect();
        match candidates.as_slice() {
            [] => Self::None,
            [only] => match Pins::of(&only.spec).check() {
                Ok(()) => Self::One(only),
                Err(error) => Self::Unusable(only, error.to_string()),
            },
            _ => Self::Several(candidates),
        }
    }

    /// The stream, where there is one to be used.
    pub(super) fn stream(&self) -> Option<&'a Surveyed> {
        match self {
            Self::One(only) => Some(only),
            _ => None,
        }
    }
}

/// What a role's devices are called, and what a session is without one.
const fn words(role: Role) -> (&'static str, &'static str, &'static str) {
    match role {
        Role::Eeg => (
            "EEG",
            "the amplifier's program, and switch LSL on in it",
            "gaze or keys choose then",
        ),
        Role::Gaze => (
            "gaze",
            "the eye tracker's program, and switch LSL on in it",
            "EEG or keys choose then",
        ),
        Role::Keys => (
            "key",
            "the switch's program",
            "keys can be typed, or pressed in the window, instead",
        ),
    }
}

/// The section of a source, every line of it. `alone` lets typed keys choose where nothing else can.
pub(super) fn section(
    role: Role,
    choice: &Choice<'_>,
    template: &Block<'_>,
    waited_s: f64,
    alone: bool,
) -> String {
    let (kind, program, without) = words(role);
    let mut text = match choice {
        Choice::One(only) => return active(role, &only.spec, template, &remarks(only)) + "\n",
        Choice::None => format!(
            "# No {kind} stream answered within {waited_s} s; {without}. To use one: start {program},\n\
             # then put here what `razvilka streams` prints, or run `razvilka new` again.\n"
        ),
        Choice::Unusable(only, why) => format!(
            "# {} is the only {kind} stream here, and it cannot be used as it is: {}\n{}",
            toml_text(&only.spec.name),
            escaped(why),
            commented(&active(role, &only.spec, template, &remarks(only)))
        ),
        Choice::Several(candidates) => {
            let mut text = format!(
                "# {} {kind} streams are here. None was chosen: a second one is a mix-up, or somebody else's. Take one \"# \" away before each\n\
                 # line of the one that is meant, and delete the others.\n",
                candidates.len()
            );
            let twins = candidates.iter().any(|one| {
                let pins = Pins::of(&one.spec);
                let same = candidates
                    .iter()
                    .filter(|other| Pins::of(&other.spec) == pins);
                same.count() > 1
            });
            if twins {
                text.push_str(
                    "# Some say the very same of themselves: stop one, or it is refused. Its uid, which changes at each start, tells them apart.\n",
                );
            }
            for one in candidates {
                text.push_str(&format!(
                    "#\n# --- this one: {}, uid {} ---\n{}",
                    in_words(one),
                    toml_text(&one.spec.uid),
                    commented(&active(role, &one.spec, template, &remarks(one)))
                ));
            }
            text
        }
    };
    let stated = &template.lines;
    if role == Role::Keys && alone {
        text.push_str(&typed(choice));
        text.push_str(&rest(
            stated
                .iter()
                .skip(1)
                .filter(|line| !line.contains("terminal =")),
        ));
    } else if matches!(choice, Choice::None) {
        text.push_str(&rest(stated.iter()));
    }
    text.push('\n');
    text
}

/// Every line with a mark of its own, so that taking one mark away from each gives the text again.
fn commented(text: &str) -> String {
    text.lines().map(|line| format!("# {line}\n")).collect()
}

/// Typed keys, where nothing else can choose.
fn typed(choice: &Choice<'_>) -> String {
    let instead = match choice {
        Choice::Several(_) => "# These two lines go when one of the streams above is taken.\n",
        _ => "",
    };
    format!(
        "{instead}[keys]                                  # so that this file is an experiment as it stands: nothing else here can choose\n\
         terminal = true                         # type them: 0 to 9, f, u, q; ? lists them\n"
    )
}

/// Lines of the template as a comment, without those that are empty.
fn rest<'a>(lines: impl Iterator<Item = &'a &'a str>) -> String {
    let lines: Vec<&str> = lines.copied().filter(|line| !line.is_empty()).collect();
    as_comment(&lines.join("\n"))
}

/// A source in use: its pins, how it is read, and every default of its section.
fn active(role: Role, spec: &StreamSpec, template: &Block<'_>, remarks: &str) -> String {
    let name = role.section();
    let head = template
        .lines
        .first()
        .copied()
        .unwrap_or("")
        .trim_start_matches("# ");
    let mut text = format!("{head}\n{remarks}");
    let mut stated: Vec<String> = vec!["pins".into()];
    if role == Role::Gaze {
        let reading = gaze_keys(spec);
        for line in reading.lines().skip(1) {
            stated.extend(key_of(line).map(str::to_owned));
            text.push_str(&format!("{line}\n"));
        }
    }
    for line in template.lines.iter().skip(1) {
        let said = key_of(line).is_some_and(|key| stated.iter().any(|known| known == key));
        if !said && !line.is_empty() && !line.starts_with("# pins =") {
            text.push_str(&format!("{line}\n"));
        }
    }
    text.push_str(&format!(
        "{:<40}# what it says of itself now: another one is refused. Delete a line that may change\n{}",
        format!("[{name}.pins]"),
        pins_toml(&Pins::of(spec))
    ));
    text
}

/// What is said of a stream in a comment of its own.
fn remarks(one: &Surveyed) -> String {
    let mut text = format!("# {}\n", in_words(one));
    if let Some(remark) = one.heard.shared().in_words(&one.spec.name) {
        text.push_str(&format!("# {}\n", escaped(&remark)));
    }
    text
}

/// A stream in one line, safe to print.
pub(super) fn in_words(one: &Surveyed) -> String {
    let rate = match (one.spec.rate_hz, one.heard.rate()) {
        (0.0, None) => "irregular".to_owned(),
        (0.0, Some(rate)) => format!("no rate declared, {:.1} Hz measured", rate.hz),
        (nominal, None) => format!("{nominal} Hz declared"),
        (nominal, Some(rate)) => format!("{nominal} Hz declared, {:.1} measured", rate.hz),
    };
    format!(
        "{} from {}: channels {}, {rate}",
        toml_text(&one.spec.name),
        toml_text(&one.spec.hostname),
        one.channel_count
    )
}

/// `[network]`: which network was looked at.
pub(super) fn network(template: &Block<'_>, loopback_session: Option<&str>) -> String {
    let mut text = String::new();
    for line in &template.lines {
        match (loopback_session, key_of(line)) {
            (Some(session), Some("mode")) => {
                text.push_str(&with_value(line, "\"loopback\""));
                text.push_str(&format!("\nsession_id = {}\n", toml_text(session)));
            }
            _ => text.push_str(&format!("{line}\n")),
        }
    }
    text
}

/// `[screen]`: what gaze rests on, and no stream tells but for its pixels.
pub(super) fn screen(template: &Block<'_>, gaze: &Choice<'_>) -> String {
    let pixels = gaze
        .stream()
        .and_then(|only| words_of(&only.spec).resolution_px);
    let mut text = String::new();
    for (number, line) in template.lines.iter().enumerate() {
        match (key_of(line), pixels) {
            (Some("width_px"), Some((width, _))) => {
                text.push_str(&with_value(line, &width.to_string()));
            }
            (Some("height_px"), Some((_, height))) => {
                text.push_str(&with_value(line, &height.to_string()));
            }
            _ => text.push_str(line),
        }
        text.push('\n');
        if number == 0 && !matches!(gaze, Choice::None) {
            text.push_str(
                "# MEASURE the visible picture and how far the eye is from it: the centimetres below are a guess, and gaze rests on them.\n",
            );
        }
    }
    text
}

/// Streams that no section is for, and those that may not be opened; every line a comment.
pub(super) fn others(seen: &[Surveyed]) -> String {
    let mut text = String::new();
    for one in seen {
        let name = in_words(one);
        if let Some(why) = &one.refused {
            text.push_str(&format!("# {name}: cannot be used: {}\n", escaped(why)));
        } else if one.spec.kind.eq_ignore_ascii_case("markers") {
            text.push_str(&format!(
                "# {name}: markers. A session reads none: it sends its own, \"Razvilka\", which a stimulus program follows.\n"
            ));
        } else if Role::of(&one.spec.kind).is_none() {
            text.push_str(&format!(
                "# {name}: its type, {}, does not say what it is for. If it carries EEG, gaze or keys, these are its pins:\n{}",
                toml_text(&one.spec.kind),
                as_comment(&pins_toml(&Pins::of(&one.spec)))
            ));
        }
    }
    if !text.is_empty() {
        text.insert_str(0, "# Other streams that answered:\n");
        text.push('\n');
    }
    text
}
