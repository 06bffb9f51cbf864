//! Who wrote what: the text of a session in pieces, each with its origin and what that rests on.
//!
//! Nothing is told of a folder whose chain of hashes does not hold, or whose text is not the one that was sealed.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::ReportError;
use super::material::{ForkStory, Material};
use super::text::{Placed, parts, place, prompts};
use crate::choice::Why;
use crate::fork::Chooser;
use crate::gate::Arms;
use crate::marker::{OptionKind, Outcome};
use crate::session::{
    ChainHead, Folder, FolderError, Ledger, LedgerError, SessionFile, sha256_hex,
};

/// Why authorship cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorshipError {
    /// It is no session folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The ledger cannot be read, or its chain does not hold: the first row that was changed is named.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Another file of the folder cannot be read.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Rows at the end of the ledger are missing, or were added.
    #[error(
        "{} ends with row {found}, and the manifest was sealed at row {sealed}: rows at its end were taken out, added or changed. Restore the folder from a copy", path.display()
    )]
    Cut {
        /// The ledger.
        path: PathBuf,
        /// Its last row.
        found: i64,
        /// The last row that the manifest knows.
        sealed: i64,
    },
    /// The text was altered.
    #[error("{} is not the text that the session wrote: its SHA-256 differs from the manifest's. Restore it from a copy", path.display())]
    Text {
        /// The file.
        path: PathBuf,
    },
    /// There is no text.
    #[error("{} is not there: this session left no text", path.display())]
    NoText {
        /// The file.
        path: PathBuf,
    },
}

/// Where a piece of text is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Given before anything was written.
    Prompt,
    /// Written by the model: banal text, a branch that it took, or what it had ready behind a chosen one.
    Model,
    /// Chosen by the person.
    Person,
    /// Chosen by the learned model of the person's choices.
    Imitator,
}

/// The text of a session, piece by piece.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Authorship {
    /// Identity of the session.
    pub session: String,
    /// Version of the program that wrote it.
    pub razvilka_version: String,
    /// The end of the ledger's chain, which was walked from its first row.
    pub ledger: ChainHead,
    /// Whether the manifest seals ledger and text; a session that was killed is not sealed, and rows cut from its end would not be noticed.
    pub sealed: bool,
    /// The pieces, in order: together they are the text.
    pub pieces: Vec<Piece>,
    /// Forks at which text was written that does not stand in the final text: it was taken back, or was not found again.
    pub not_in_text: Vec<u64>,
}

/// A piece of text of one origin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Piece {
    /// Where it is from.
    pub origin: Origin,
    /// The piece.
    pub text: String,
    /// Characters of text before it.
    pub begins_char: u64,
    /// What it rests on; `None` of text that was written at no fork.
    pub choice: Option<Choice>,
}

/// A choice, as the ledger has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// Number of the fork.
    pub fork: u64,
    /// Who chose.
    pub chooser: Option<Chooser>,
    /// Why.
    pub why: Why,
    /// How the gate ended; `None` when the person was not asked.
    pub outcome: Option<Outcome>,
    /// Tokens of the phrase.
    pub tokens: Vec<u32>,
    /// From the opening of the gate to its decision, seconds.
    pub decision_s: Option<f64>,
    /// Gaze items in the posterior.
    pub items_gaze: u64,
    /// P300 items in the posterior.
    pub items_p300: u64,
    /// What each source alone would have said; `None` when the person was not asked.
    pub evidence: Option<Arms>,
    /// What else was offered.
    pub alternatives: Vec<Alternative>,
    /// Digest of the model.
    pub model_sha256: String,
    /// Version of the adapter, if one was in use.
    pub adapter: Option<String>,
}

/// A branch that was offered and not taken.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alternative {
    /// The phrase.
    pub text: String,
    /// The model's share of mass for it.
    pub prior: f64,
    /// The gate's posterior at the end.
    pub posterior: Option<f64>,
}

impl Authorship {
    /// Reads a session folder: verifies ledger and text, then finds in the text what each choice wrote.
    ///
    /// # Errors
    /// [`AuthorshipError`], above all [`LedgerError::Tampered`] with the first row that was changed.
    pub fn read(path: &Path) -> Result<Self, AuthorshipError> {
        let (folder, manifest) = Folder::open(path)?;
        let file = folder.file(SessionFile::Ledger);
        let head = Ledger::open_read_only(&file)?.verify()?;
        if let Some(sealed) = manifest.ledger.as_ref().filter(|sealed| **sealed != head) {
            return Err(AuthorshipError::Cut {
                path: file,
                found: head.rows,
                sealed: sealed.rows,
            });
        }
        let material = Material::read(path, None)?;
        let file = folder.file(SessionFile::Text);
        let Some(text) = &material.text else {
            return Err(AuthorshipError::NoText { path: file });
        };
        let digest = manifest.text_sha256.as_ref();
        if digest.is_some_and(|digest| *digest != sha256_hex(text.as_bytes())) {
            return Err(AuthorshipError::Text { path: file });
        }
        let placed = place(text, &material);
        let written = material.forks.iter().filter(|story| {
            let choice = story.choice.as_ref();
            choice.is_some_and(|choice| !choice.text.is_empty())
        });
        let stands = |story: &&ForkStory| placed.iter().any(|p| p.story.id() == story.id());
        Ok(Self {
            razvilka_version: manifest.versions.razvilka.clone(),
            sealed: manifest.ledger.is_some() && digest.is_some(),
            ledger: head,
            pieces: pieces(text, &placed, &prompts(text, &manifest.texts)),
            not_in_text: written
                .filter(|story| !stands(story))
                .map(|story| story.id().0)
                .collect(),
            session: manifest.session,
        })
    }

    /// Characters of each origin that there is.
    #[must_use]
    pub fn chars(&self) -> std::collections::BTreeMap<Origin, u64> {
        let mut chars = std::collections::BTreeMap::new();
        for piece in &self.pieces {
            *chars.entry(piece.origin).or_default() += piece.text.chars().count() as u64;
        }
        chars
    }
}

/// Cuts the text where its origin changes.
fn pieces(text: &str, placed: &[Placed<'_>], given: &[Range<usize>]) -> Vec<Piece> {
    let mut cut = Cutting {
        text,
        begins_char: 0,
        pieces: Vec::new(),
    };
    let mut end = 0;
    for Placed { span, story } in placed {
        cut.unchosen(end..span.start, given);
        let written = text.get(span.clone()).unwrap_or_default();
        let (space, phrase, rest) = parts(written, story);
        let origin = match story.choice.as_ref().and_then(|choice| choice.chooser) {
            Some(Chooser::Human) => Origin::Person,
            Some(Chooser::Imitator) => Origin::Imitator,
            Some(Chooser::Model) | None => Origin::Model,
        };
        cut.add(Origin::Model, space, None);
        cut.add(origin, phrase, choice_of(story));
        cut.add(Origin::Model, rest, None);
        end = span.end;
    }
    cut.unchosen(end..text.len(), given);
    cut.pieces
}

struct Cutting<'a> {
    text: &'a str,
    begins_char: u64,
    pieces: Vec<Piece>,
}

impl Cutting<'_> {
    /// Adds a stretch in which nobody chose, with the prompts in it.
    fn unchosen(&mut self, span: Range<usize>, given: &[Range<usize>]) {
        let mut end = span.start;
        for prompt in given
            .iter()
            .filter(|p| p.start >= span.start && p.end <= span.end)
        {
            self.span(Origin::Model, end..prompt.start);
            self.span(Origin::Prompt, prompt.clone());
            end = prompt.end;
        }
        self.span(Origin::Model, end..span.end);
    }

    fn span(&mut self, origin: Origin, span: Range<usize>) {
        self.add(origin, self.text.get(span).unwrap_or_default(), None);
    }

    /// Adds text; what nobody chose goes on with a piece before it of the same origin.
    fn add(&mut self, origin: Origin, text: &str, choice: Option<Choice>) {
        if text.is_empty() {
            return;
        }
        let begins_char = self.begins_char;
        self.begins_char += text.chars().count() as u64;
        match self.pieces.last_mut() {
            Some(last) if last.origin == origin && last.choice.is_none() && choice.is_none() => {
                last.text.push_str(text);
            }
            _ => self.pieces.push(Piece {
                origin,
                text: text.to_owned(),
                begins_char,
                choice,
            }),
        }
    }
}

fn choice_of(story: &ForkStory) -> Option<Choice> {
    let choice = story.choice.as_ref()?;
    let taken = story.taken();
    let posterior = |item: i32| {
        let option = usize::try_from(item).ok()?;
        choice.posterior?.as_slice().get(option).copied()
    };
    let others = story.options.iter().filter(|option| {
        matches!(option.tile.kind, OptionKind::Branch | OptionKind::Item)
            && Some(option.tile.item) != choice.item
    });
    Some(Choice {
        fork: story.id().0,
        chooser: choice.chooser,
        why: choice.why,
        outcome: choice.outcome,
        tokens: taken
            .map(|option| option.tokens.clone())
            .unwrap_or_default(),
        decision_s: story.seconds(),
        items_gaze: choice.items_gaze,
        items_p300: choice.items_p300,
        evidence: choice.arms,
        alternatives: others
            .map(|option| Alternative {
                text: option.tile.text.clone(),
                prior: option.prior,
                posterior: posterior(option.tile.item),
            })
            .collect(),
        model_sha256: choice.model_sha256.clone(),
        adapter: choice.adapter.clone(),
    })
}
