//! A new experiment file, as text: the annotated example with the sources that were found in place of its own.

use std::path::Path;

use super::sources::{Choice, network, others, screen, section};
use super::template::{Block, EXAMPLE, blocks};
use crate::cli::paste::Role;
use crate::config::Plan;
use crate::source::lsl::Surveyed;

/// What was looked at.
#[derive(Debug, Clone)]
pub(super) struct Looked<'a> {
    /// When, for people.
    pub(super) at_utc: String,
    /// How long answers were awaited, seconds.
    pub(super) waited_s: f64,
    /// Which addresses were asked.
    pub(super) asked: String,
    /// The session of a loopback network; `None` for the laboratory's.
    pub(super) loopback_session: Option<&'a str>,
    /// What answered.
    pub(super) seen: &'a [Surveyed],
}

/// A file and what it rests on.
#[derive(Debug)]
pub(super) struct Written<'a> {
    /// The file's text, a valid experiment.
    pub(super) text: String,
    /// What each source came to.
    pub(super) sources: [(Role, Choice<'a>); 3],
}

/// The three sources, in the order of the file.
const ROLES: [Role; 3] = [Role::Eeg, Role::Gaze, Role::Keys];

/// Writes the text. A stream that makes no valid experiment becomes a comment that says why.
///
/// # Errors
/// What the parser says of a text that is no experiment all the same: a defect of ours.
pub(super) fn compose<'a>(looked: &Looked<'a>) -> Result<Written<'a>, String> {
    let sources = ROLES.map(|role| {
        let choice = Choice::of(role, looked.seen);
        let Choice::One(only) = choice else {
            return (role, choice);
        };
        // Alone with the defaults of everything else, so that what is wrong is the stream's.
        let alone = ROLES.map(|other| {
            let taken = if other == role {
                Choice::One(only)
            } else {
                Choice::None
            };
            (other, taken)
        });
        match checked(&render(looked, &alone)) {
            Ok(()) => (role, Choice::One(only)),
            Err(why) => (role, Choice::Unusable(only, why)),
        }
    });
    let text = render(looked, &sources);
    checked(&text)?;
    Ok(Written { text, sources })
}

fn checked(text: &str) -> Result<(), String> {
    let parsed = Plan::parse(text, Path::new("experiment.toml"));
    parsed.map(|_| ()).map_err(|error| error.to_string())
}

fn render(looked: &Looked<'_>, sources: &[(Role, Choice<'_>); 3]) -> String {
    let alone = sources.iter().all(|(_, choice)| choice.stream().is_none());
    let gaze = sources.iter().find(|(role, _)| *role == Role::Gaze);
    let gaze = gaze.map_or(&Choice::None, |(_, choice)| choice);
    let mut text = header(looked);
    // What stands before the first section speaks of the example itself.
    for block in blocks(EXAMPLE).iter().skip(1) {
        let source = sources
            .iter()
            .find(|(role, _)| role.section() == block.name);
        text.push_str(&match (source, block.name) {
            (Some((role, choice)), _) => section(*role, choice, block, looked.waited_s, alone),
            (None, "network") => others(looked.seen) + &network(block, looked.loopback_session),
            (None, "screen") => screen(block, gaze),
            _ => verbatim(block),
        });
    }
    text
}

fn verbatim(block: &Block<'_>) -> String {
    let mut text = block.lines.join("\n");
    text.push('\n');
    text
}

fn header(looked: &Looked<'_>) -> String {
    format!(
        "# An experiment for `razvilka run`, written by `razvilka new` (razvilka {}) at {}.\n\
         #\n\
         # Asked for {} s: {}.\n\
         #\n\
         # Every number stands here with its default, its range and what it is for; units are in the keys. Keys that are left out take their\n\
         # defaults; unknown keys and numbers out of range are refused. `razvilka doctor --config FILE` says what is not right yet,\n\
         # `razvilka run --config FILE --check` prints the whole plan.\n\n",
        env!("CARGO_PKG_VERSION"),
        looked.at_utc,
        looked.waited_s,
        crate::cli::paste::escaped(&looked.asked),
    )
}
