//! What a report is made of, read from the session folder.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::ReportError;
use super::rerun::Rerun;
use crate::choice::handover::HandoverSettings;
use crate::config::{Plan, is_a_server};
use crate::decode::WriterSettings;
use crate::engine::latency::LatencyReport;
use crate::fork::{Chooser, ForkId};
use crate::marker::{OptionKind, Outcome};
use crate::session::{
    ChainHead, ChoiceRow, EventRow, Folder, ForkRow, Ledger, Manifest, OptionRow, SessionFile,
    StateRow, Summary, TextFile, Truth,
};

/// Everything a report shows.
#[derive(Debug)]
pub(super) struct Material {
    /// The folder, from the root.
    pub(super) folder: PathBuf,
    pub(super) manifest: Manifest,
    /// How the text was written; `None` where the configuration in the manifest is not one of this version.
    pub(super) writer: Option<WriterSettings>,
    /// Whether the text can be written again and gone on with: its configuration can be read, and its model tells tokens.
    pub(super) goes_on: bool,
    /// What was left to the imitator, and when.
    pub(super) imitate: HandoverSettings,
    /// All forks, in the order they were met.
    pub(super) forks: Vec<ForkStory>,
    pub(super) events: Vec<EventRow>,
    /// State of the person, fork by fork; empty when it was not kept.
    pub(super) states: Vec<StateRow>,
    pub(super) summary: Summary,
    /// `None` when the session left none.
    pub(super) latency: Option<LatencyReport>,
    /// `None` when the session left none.
    pub(super) text: Option<String>,
    /// The end of the ledger's chain, or why the chain does not hold.
    pub(super) chain: Result<ChainHead, String>,
}

/// One fork with everything the ledger knows of it.
#[derive(Debug)]
pub(super) struct ForkStory {
    pub(super) row: ForkRow,
    pub(super) options: Vec<OptionRow>,
    /// `None` when the session ended first.
    pub(super) choice: Option<ChoiceRow>,
    /// The gate run again; `None` when the person was not asked.
    pub(super) rerun: Option<Rerun>,
    /// The item the person wanted, if known.
    pub(super) wish: Option<i32>,
}

impl Material {
    /// Reads a folder.
    pub(super) fn read(folder: &Path, truth: Option<&Truth>) -> Result<Self, ReportError> {
        let (folder, manifest) = Folder::open(folder)?;
        let ledger = Ledger::open_read_only(&folder.file(SessionFile::Ledger))?;
        let latency = latency_of(&folder)?;
        let summary = Summary {
            signal: latency.as_ref().and_then(LatencyReport::signal),
            ..Summary::of_ledger(&ledger, truth)?
        };
        let forks = ledger
            .forks()?
            .into_iter()
            .map(|row| {
                let fork = row.fork;
                let (options, evidence) = (ledger.options_of(fork)?, ledger.evidence_of(fork)?);
                let choice = ledger.choice_of(fork)?;
                let rerun = Rerun::of(&row, &options, &evidence);
                let wish = truth.and_then(|truth| truth.wish(fork));
                Ok(ForkStory {
                    row,
                    options,
                    choice,
                    rerun,
                    wish,
                })
            })
            .collect::<Result<_, ReportError>>()?;
        let file = folder.file(SessionFile::Manifest);
        let plan = Plan::parse(&manifest.config.text, &file).ok();
        let path = folder.path();
        Ok(Self {
            folder: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            goes_on: plan.as_ref().is_some_and(has_tokens),
            writer: plan.map(|plan| plan.writer_settings()),
            imitate: ledger.session()?.protocol.config().imitate,
            latency,
            text: text_of(&folder)?,
            events: ledger.events()?,
            states: ledger.states()?,
            chain: ledger.verify().map_err(|error| error.to_string()),
            manifest,
            forks,
            summary,
        })
    }

    /// Choices that can be counted: committed by the person.
    pub(super) fn committed(&self) -> impl Iterator<Item = (&ForkStory, &ChoiceRow)> {
        self.forks
            .iter()
            .filter_map(|story| Some((story, story.choice.as_ref()?)))
            .filter(|(_, choice)| choice.outcome == Some(Outcome::Committed))
    }
}

/// Whether a session's model was in the session's own process: a server tells no tokens.
fn has_tokens(plan: &Plan) -> bool {
    !plan.model.path.as_deref().is_some_and(is_a_server)
}

impl ForkStory {
    /// Its number.
    pub(super) const fn id(&self) -> ForkId {
        self.row.fork
    }

    /// The phrase of an item, as it was offered.
    pub(super) fn option(&self, item: i32) -> Option<&OptionRow> {
        self.options.iter().find(|option| option.tile.item == item)
    }

    /// The option that was taken, by whomever.
    pub(super) fn taken(&self) -> Option<&OptionRow> {
        self.option(self.choice.as_ref()?.item?)
    }

    /// From the opening of the gate to its decision, seconds; `None` when nobody was asked.
    pub(super) fn seconds(&self) -> Option<f64> {
        let choice = self.choice.as_ref()?;
        choice.outcome?;
        Some(choice.decided_at.since(self.row.opened_at))
    }

    /// Whether the person's answer selected an option.
    pub(super) fn is_committed(&self) -> bool {
        self.choice
            .as_ref()
            .is_some_and(|choice| choice.outcome == Some(Outcome::Committed))
    }

    /// Whether the person took the last choice back here.
    pub(super) fn is_undo(&self) -> bool {
        self.choice.as_ref().is_some_and(|choice| {
            choice.kind == Some(OptionKind::Undo) && choice.chooser == Some(Chooser::Human)
        })
    }
}

fn latency_of(folder: &Folder) -> Result<Option<LatencyReport>, ReportError> {
    let path = folder.file(SessionFile::Latency);
    match std::fs::read(&path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(report) => Ok(Some(report)),
            Err(source) => Err(ReportError::Latency { path, source }),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ReportError::Read { path, source }),
    }
}

fn text_of(folder: &Folder) -> Result<Option<String>, ReportError> {
    let path = folder.file(SessionFile::Text);
    match TextFile::read(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ReportError::Read { path, source }),
    }
}
