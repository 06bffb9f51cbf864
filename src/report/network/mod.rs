//! The network of choices as people see it: a picture that can be moved and enlarged, and the same in words.
//!
//! The picture stands by itself: it prints, and without a script it is a picture that scrolls. The script (`script.js`, the only one in a
//! report; its digest stands in the page's policy) adds enlarging, looking for words, and the words of a place beside the picture.
//! Many forks stay usable because bands of rows that are out of sight are not laid out (`content-visibility`), and because words and
//! numbers can be looked for.

mod across;
mod curve;
mod draw;
mod lanes;
mod memory;
mod told;
mod words;

use std::path::PathBuf;

use maud::{Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use self::lanes::Lanes;
use super::figures::count;
use super::material::Material;
use super::plot::at;
use crate::choice::handover::Autonomy;
use crate::choice::network::{Network, Rule, TakenBack};
use crate::decode::WriterSettings;
use crate::fork::Chooser;
use crate::marker::OptionKind;

pub(super) use across::page as across_page;
pub use across::{Across, AcrossError};

/// What the picture is moved with. Holds no `<` and no `&`, so that the page stays well-formed XML.
pub(super) const SCRIPT: &str = include_str!("script.js");

/// A session that choices are of.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// Its identity.
    pub(super) id: String,
    /// Its folder, if it is known.
    pub(super) folder: Option<PathBuf>,
    /// Options that make `generate` draw as the session drew.
    pub(super) sampling: String,
    /// Whether `generate` can go on with its text.
    pub(super) goes_on: bool,
}

impl Session {
    /// A session whose folder was read.
    pub(super) fn of(material: &Material) -> Self {
        Self {
            id: material.manifest.session.clone(),
            folder: Some(material.folder.clone()),
            sampling: material.writer.as_ref().map_or_else(String::new, sampling),
            goes_on: material.goes_on,
        }
    }

    /// A session of which a person's memory alone tells.
    pub(super) const fn remembered(id: String) -> Self {
        Self {
            id,
            folder: None,
            sampling: String::new(),
            goes_on: false,
        }
    }
}

/// A network and what its visits are called.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) sessions: Vec<Session>,
    pub(super) network: Network,
    /// Of each visit, what was selected there.
    pub(super) kinds: Vec<Option<OptionKind>>,
}

/// The section in a session's report.
pub(super) fn section(material: &Material) -> Markup {
    let told = of_session(material);
    html! {
        section id="network" {
            h2 { "The network of choices" }
            @if told.network.places().is_empty() {
                p { "No fork was met." }
            } @else {
                p {
                    "Every place at which something could be chosen, from the top, with what was taken and what the other ways would have \
                     said. A line leads from a choice to the place behind it; a text that begins anew begins a new line, or goes out from the place at which it parts from another."
                }
                (body(&told))
            }
        }
    }
}

/// The network of one session: places are told apart by their text alone, as a ledger holds no states.
fn of_session(material: &Material) -> Told {
    let forks = &material.forks;
    let visits = told::visits(0, 0, forks, &material.events, material.imitate);
    Told {
        sessions: vec![Session::of(material)],
        kinds: forks
            .iter()
            .map(|story| story.choice.as_ref().and_then(|choice| choice.kind))
            .collect(),
        network: Network::of(visits, &Rule::default()),
    }
}

/// Options of `razvilka generate` that differ from its defaults for a text written with these settings.
fn sampling(settings: &WriterSettings) -> String {
    let usual = crate::decode::Sampling::default();
    let mut options = String::new();
    let mut option = |name: &str, value: f64, usual: f64| {
        if value != usual {
            options.push_str(&format!(" --{name} {value}"));
        }
    };
    option("temperature", settings.temperature, usual.temperature);
    option("top-k", settings.top_k as f64, usual.top_k as f64);
    option("top-p", settings.top_p, usual.top_p);
    option("min-p", settings.min_p, usual.min_p);
    option(
        "repeat-penalty",
        settings.repeat_penalty,
        usual.repeat_penalty,
    );
    option(
        "repeat-last",
        settings.repeat_last_tokens as f64,
        usual.repeat_last_tokens as f64,
    );
    options
}

/// Legend, picture and words.
fn body(told: &Told) -> Markup {
    let lanes = Lanes::of(&told.network);
    let (picture, width) = draw::picture(told, &lanes);
    html! {
        (legend(told))
        div class="net" {
            div class="view" {
                // Filled by the script.
                div id="network-tools" class="tools" {}
                div id="network-map" class="map" tabindex="0" role="region" aria-label="The network of choices; arrows move it" {
                    div id="network-bands" class="bands" data-width=(at(width)) { (picture) }
                }
            }
            aside id="network-panel" class="panel" aria-live="polite" hidden="hidden" {}
        }
        (words::list(told))
    }
}

/// Which shape and colour is whose.
fn legend(told: &Told) -> Markup {
    let small = |content: Markup| html! { svg class="sample" width="22" height="16" viewBox="0 0 22 16" aria-hidden="true" { (content) } };
    let visits = told.network.visits();
    let levels: Vec<Autonomy> = [
        Autonomy::Asks,
        Autonomy::Watches,
        Autonomy::OftenChecked,
        Autonomy::SeldomChecked,
    ]
    .into_iter()
    .filter(|level| visits.iter().any(|met| met.level == Some(*level)))
    .collect();
    let marks = [
        (Some(Chooser::Human), true, false, "the person chose"),
        (Some(Chooser::Imitator), true, false, "the imitator"),
        (Some(Chooser::Model), true, false, "the model"),
        (
            Some(Chooser::Human),
            false,
            false,
            "the person asked for something else",
        ),
        (None, false, false, "nobody; not taken"),
        (Some(Chooser::Human), true, true, "taken back"),
    ];
    html! {
        p class="key" {
            @for (chooser, taken, back, words) in marks {
                span { (small(draw::mark(11.0, 8.0, 5.5, chooser, taken, back))) (words) } " "
            }
            @for level in levels { span { (small(draw::bars(18.0, 14.0, level))) "level: " (level.words()) } " " }
        }
        p class="aside" {
            (count(visits.len() as u64, "fork")) " at " (count(told.network.places().len() as u64, "place"))
            @if told.sessions.len() > 1 {
                " of " (count(told.sessions.len() as u64, "session")) ", " (told.network.shared_places()) " of the places in more than one"
            }
            "."
        }
    }
}

/// A visit by its fork, and who decided: `12 person, taken back`. With several sessions `2/12` is fork 12 of the second.
fn decided_at(told: &Told, visit: usize) -> String {
    let Some(met) = told.network.visits().get(visit) else {
        return String::new();
    };
    let name = if told.sessions.len() > 1 {
        format!("{}/{}", met.session + 1, met.fork.0)
    } else {
        format!("fork {}", met.fork.0)
    };
    let who = told::decided(
        met.chooser,
        met.taken.is_some(),
        told.kinds.get(visit).copied().flatten(),
    );
    let back = match met.taken_back {
        None => "",
        Some(TakenBack::Undo) => ", taken back",
        Some(TakenBack::Call) => ", taken back by a call",
    };
    format!("{name} {who}{back}")
}

/// The script, for the end of a page.
pub(super) fn script() -> Markup {
    html! { script { (PreEscaped(SCRIPT)) } }
}

/// What a page's policy says of the script: this one, and no other.
pub(super) fn script_policy() -> String {
    format!(
        "script-src 'sha256-{}'",
        super::base64::encoded(&Sha256::digest(SCRIPT.as_bytes()))
    )
}
