//! The network over several sessions: from their folders, and from what a person's memory of choices keeps of them.
//!
//! Ledgers tell what was offered, chosen and taken back, and how much was left to the imitator; the memory tells the model's states, by
//! which places in different texts are joined. A session that is in both is told by its ledger, with the memory's states.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::curve::{self, Sitting};
use super::memory::{self, Memory};
use super::{Session, Told, body, script, told};
use crate::choice::network::{Met, Network, Rule};
use crate::marker::OptionKind;
use crate::report::ReportError;
use crate::report::figures::{count, readable};
use crate::report::material::Material;
use crate::report::page::{STYLE, policy};
use crate::session::person::{Person, PersonError, Remembered};

/// Forks that a picture has, at most: the latest.
const FORKS_MAX: usize = 5_000;

/// Why no network can be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcrossError {
    /// A session's folder cannot be read.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The person's folder cannot be read.
    #[error(transparent)]
    Person(#[from] PersonError),
    /// Two folders hold the same session.
    #[error("{} and another folder hold the same session, {session}. Name each session once", path.display())]
    Twice {
        /// The second.
        path: PathBuf,
        /// The session.
        session: String,
    },
    /// Neither a session nor a choice.
    #[error(
        "there is nothing to tell: name the folders of sessions, or a person of whom choices are remembered (--person)"
    )]
    Nothing,
}

/// Sessions and what they came to.
#[derive(Debug)]
pub struct Across {
    told: Told,
    sittings: Vec<Sitting>,
    /// Forks that were left out, the oldest.
    left_out: usize,
    /// What takes from the worth of the figures.
    doubts: Vec<String>,
    /// Whether a person's memory was read.
    has_memory: bool,
}

/// A session as it is read: from its folder, from the memory, or both.
struct Read {
    session: Session,
    began: String,
    visits: Visits,
}

enum Visits {
    Ledger(Box<Material>),
    Memory(Vec<Remembered>),
}

impl Across {
    /// Reads sessions, and the memory of a person's choices.
    ///
    /// # Errors
    /// [`AcrossError`].
    pub fn read(folders: &[PathBuf], person: Option<&Path>) -> Result<Self, AcrossError> {
        let mut memory = match person {
            None => Memory::default(),
            Some(path) => Memory::read(&Person::open(path)?, FORKS_MAX)?,
        };
        let (mut sessions, mut states, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
        let (mut sittings, mut doubts) = (Vec::<Sitting>::new(), Vec::new());
        for folder in folders {
            let material = Material::read(folder, None)?;
            let id = material.manifest.session.clone();
            if !seen.insert(id.clone()) {
                let path = folder.clone();
                return Err(AcrossError::Twice { path, session: id });
            }
            if let Err(reason) = &material.chain {
                doubts.push(format!(
                    "Session {id}: the ledger cannot be trusted: {reason}."
                ));
            }
            states.extend(memory.take(&id).map_or_else(Vec::new, |kept| kept.choices));
            sittings.push(Sitting::of(&material));
            sessions.push(Read {
                session: Session::of(&material),
                began: material.manifest.started_utc.clone(),
                visits: Visits::Ledger(Box::new(material)),
            });
        }
        // Those of which a folder tells are counted by their ledgers.
        let mut forgone = 0;
        for (id, kept) in memory.rest() {
            forgone += kept.left_out;
            sessions.push(Read {
                session: Session::remembered(id),
                began: kept.began_utc,
                visits: Visits::Memory(kept.choices),
            });
        }
        // One fixed form of dates: they sort as they follow each other.
        sessions.sort_by(|a, b| (&a.began, &a.session.id).cmp(&(&b.began, &b.session.id)));
        for (number, read) in (1..).zip(&sessions) {
            let mut all = sittings.iter_mut();
            if let Some(own) = all.find(|own| own.session == read.session.id) {
                own.number = number;
            }
        }
        sittings.sort_by_key(|own| own.number);
        let (visits, kinds) = visits(&sessions, states);
        if visits.is_empty() {
            return Err(AcrossError::Nothing);
        }
        let left_out = visits.len().saturating_sub(FORKS_MAX);
        let visits = visits.into_iter().skip(left_out).map(|met| Met {
            after: met.after.and_then(|after| after.checked_sub(left_out)),
            ..met
        });
        Ok(Self {
            told: Told {
                network: Network::of(visits.collect(), &Rule::default()),
                kinds: kinds.into_iter().skip(left_out).collect(),
                sessions: sessions.into_iter().map(|read| read.session).collect(),
            },
            sittings,
            left_out: left_out + forgone,
            doubts,
            has_memory: person.is_some(),
        })
    }

    /// The network.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.told.network
    }

    /// Sessions that the network is of.
    #[must_use]
    pub const fn sessions(&self) -> usize {
        self.told.sessions.len()
    }
}

/// All visits, session by session, with the states that the memory has of them; and what was selected at each.
fn visits(sessions: &[Read], states: Vec<Remembered>) -> (Vec<Met>, Vec<Option<OptionKind>>) {
    let mut states: BTreeMap<(String, u64), Remembered> = states
        .into_iter()
        .map(|choice| ((choice.session.clone(), choice.fork.0), choice))
        .collect();
    let (mut visits, mut kinds) = (Vec::new(), Vec::new());
    for (number, read) in sessions.iter().enumerate() {
        match &read.visits {
            Visits::Ledger(material) => {
                let forks = &material.forks;
                let mut told = told::visits(
                    number,
                    visits.len(),
                    forks,
                    &material.events,
                    material.imitate,
                );
                for met in &mut told {
                    if let Some(choice) = states.remove(&(read.session.id.clone(), met.fork.0)) {
                        met.state = choice.state;
                        for offered in &mut met.offered {
                            let mut known = choice.options.iter();
                            let known = known.find(|option| {
                                option.item == offered.item && option.text == offered.text
                            });
                            offered.embedding = known.and_then(|option| option.embedding.clone());
                        }
                    }
                }
                kinds.extend(
                    forks
                        .iter()
                        .map(|story| story.choice.as_ref().and_then(|choice| choice.kind)),
                );
                visits.extend(told);
            }
            Visits::Memory(choices) => {
                let begins = visits.len();
                for (nth, choice) in choices.iter().enumerate() {
                    let after = memory::behind(choices, nth).map(|before| begins + before);
                    kinds.push(memory::selected(choice));
                    visits.push(memory::met(number, after, choice));
                }
            }
        }
    }
    (visits, kinds)
}

/// The page.
pub(in crate::report) fn page(across: &Across) -> Markup {
    let told = &across.told;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Razvilka: the network of choices" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    header { h1 { "The network of choices" } }
                    section id="verdict" {
                        p class="verdict" { (verdict(across)) }
                        @for doubt in &across.doubts { p class="bad" { (readable(doubt)) } }
                        @if across.left_out > 0 {
                            p class="bad" { "The oldest " (count(across.left_out as u64, "fork")) " are left out: a picture has at most " (FORKS_MAX) "." }
                        }
                    }
                    nav { a href="#network" { "Network" } a href="#autonomy" { "Autonomy" } a href="#sessions" { "Sessions" } }
                    section id="network" {
                        h2 { "Network" }
                        p {
                            "Every place at which something could be chosen, with what was taken and what the other ways would have said. "
                            @if across.has_memory {
                                "Places of different texts are one where the text before them is the same, or where the model's state is nearly the same and the same is offered."
                            } @else {
                                "Places of different texts are one where the text before them is the same. With a person's memory (--person) they are also joined by the model's states."
                            }
                            " 2/12 is fork 12 of session 2."
                        }
                        (body(told))
                    }
                    (curve::section(&across.sittings))
                    (sessions(across))
                }
                (script())
            }
        }
    }
}

fn verdict(across: &Across) -> String {
    use crate::fork::Chooser::{Human, Imitator, Model};
    let visits = across.told.network.visits();
    let by = |chooser| {
        visits
            .iter()
            .filter(|met| met.taken.is_some() && met.chooser == Some(chooser))
            .count()
    };
    let back = visits.iter().filter(|met| met.taken_back.is_some()).count();
    format!(
        "{} over {}: the person chose at {}, the imitator at {}, the model at {}; {} taken back.",
        count(visits.len() as u64, "fork"),
        count(across.told.sessions.len() as u64, "session"),
        by(Human),
        by(Imitator),
        by(Model),
        back
    )
}

fn sessions(across: &Across) -> Markup {
    html! {
        section id="sessions" {
            h2 { "Sessions" }
            table {
                thead { tr { th class="n" { "number" } th { "session" } th { "told by" } } }
                tbody {
                    @for (number, session) in across.told.sessions.iter().enumerate() {
                        tr {
                            td class="n" { (number + 1) }
                            td { (readable(&session.id)) }
                            td {
                                @match &session.folder {
                                    Some(folder) => code { (readable(&folder.display().to_string())) },
                                    None => "the person's memory alone",
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
