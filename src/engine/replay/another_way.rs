//! A session's text brought back to one of its forks, and from there along a branch that need not be the one that was taken.
//!
//! The text is written again: model, settings, prompt and the recorded choices lead to the fork, token by token, as in a replay. Signals are
//! not needed for that, so a folder without its recording serves as well. What does not come again as recorded is refused, not passed over.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::error::ReplayError;
use super::happened::Happened;
use super::recorded::{plan_of, rows_of};
use super::story::{Astray, Story};
use crate::config::Plan;
use crate::decode::{Backend, Model, TextStream};
use crate::engine::conduct::model_digest;
use crate::fork::{Chooser, Fork, ForkId};
use crate::marker::OptionKind;
use crate::pipeline::scribe::Texts;
use crate::session::{ChoiceRow, Entry, Folder, ForkRow, Manifest, OptionRow};

/// What a session's folder says of its text: read, its chain of hashes walked.
#[derive(Debug)]
pub struct PastText {
    manifest: Manifest,
    plan: Plan,
    entries: Vec<Entry>,
    /// Where among the entries each fork and its options are.
    places: HashMap<ForkId, Places>,
}

/// A fork's row and those of its options, by number.
#[derive(Debug, Default)]
struct Places {
    fork: Option<usize>,
    options: Vec<usize>,
}

/// A text that ends with a branch of a past fork.
#[derive(Debug, Clone, PartialEq)]
pub struct AnotherWay {
    /// The session.
    pub session: String,
    /// The fork.
    pub fork: ForkId,
    /// The text from its prompt to the end of the branch; earlier texts of the session are no part of it.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Bytes of `text` before the fork.
    pub before: usize,
    /// The branch's phrase.
    pub branch: String,
    /// What was taken in the session, and by whom; `None` where no branch was.
    pub taken: Option<(String, Chooser)>,
}

/// A fork with its options and its end.
struct Recorded<'a> {
    row: &'a ForkRow,
    options: Vec<&'a OptionRow>,
}

impl Recorded<'_> {
    fn branches(&self) -> impl Iterator<Item = &OptionRow> {
        let branches = self.options.iter().copied();
        branches.filter(|option| matches!(option.tile.kind, OptionKind::Branch | OptionKind::Item))
    }

    fn kinds(&self) -> Vec<OptionKind> {
        self.options.iter().map(|option| option.tile.kind).collect()
    }

    /// Whether this is the fork that was met: the same text before it, the same branches to the token.
    fn is(&self, fork: &Fork) -> bool {
        fork.position as u64 == self.row.position_tokens
            && fork.context == self.row.context
            && fork.branches.len() == self.branches().count()
            && (fork.branches.iter().zip(self.branches()))
                .all(|(found, known)| found.tokens == known.tokens && found.text == known.tile.text)
    }
}

impl PastText {
    /// Reads manifest, plan and ledger of a session's folder.
    ///
    /// # Errors
    /// [`ReplayError`] when one of them is missing, was altered, or is of another session.
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let (folder, manifest) = Folder::open(path)?;
        let plan = plan_of(&folder, &manifest)?;
        let rows = rows_of(&folder, &manifest)?;
        let mut places: HashMap<ForkId, Places> = HashMap::new();
        for (number, entry) in rows.entries.iter().enumerate() {
            match entry {
                Entry::Fork(row) => {
                    let of = places.entry(row.fork).or_default();
                    of.fork = of.fork.or(Some(number));
                }
                Entry::Option(row) => places.entry(row.fork).or_default().options.push(number),
                _ => {}
            }
        }
        Ok(Self {
            manifest,
            plan,
            entries: rows.entries,
            places,
        })
    }

    /// What the session was asked to do; names its model and adapter.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Writes the text again up to the fork, and takes the branch with this item number there.
    ///
    /// # Errors
    /// [`ReplayError::NoFork`] and [`ReplayError::NoBranch`] with what there is; [`ReplayError::Model`] and [`ReplayError::Adapter`] when the
    /// model is not the session's; [`ReplayError::Astray`] when the text does not come again as recorded.
    pub fn along(
        &self,
        model: &Arc<Model>,
        fork: ForkId,
        item: i32,
    ) -> Result<AnotherWay, ReplayError> {
        let wanted = self.recorded(fork).ok_or_else(|| ReplayError::NoFork {
            fork,
            forks: self.forks().count() as u64,
        })?;
        let branch = wanted
            .branches()
            .position(|option| option.tile.item == item);
        let branch = branch.ok_or_else(|| ReplayError::NoBranch {
            fork,
            item,
            branches: wanted
                .branches()
                .map(|option| format!("{} \u{201c}{}\u{201d}", option.tile.item, option.tile.text))
                .collect::<Vec<_>>()
                .join(", "),
        })?;
        let backend = Backend::from(Arc::clone(model));
        self.check(&backend)?;
        let texts = Texts {
            model: backend,
            settings: self.plan.writer_settings(),
            prompt: self.plan.model.prompt.clone(),
        };
        let mut story = Story::begin(texts, self.manifest.text_holds_prompts())?;
        let found = self.brought_to(&mut story, fork)?;
        let before = story.present().to_owned();
        let phrase = found
            .branches
            .get(branch)
            .map_or(0, |branch| branch.tokens.len());
        let mut tokens = story
            .take(branch)
            .map_err(|astray| went_astray(fork, astray))?;
        // What may have been decoded behind the phrase was drawn as the session drew.
        tokens.truncate(found.position + phrase);
        let (mut text, mut stream) = (String::new(), TextStream::new());
        for &token in &tokens {
            text.push_str(&stream.push(model.tokens(), token)?);
        }
        if !text.starts_with(&before) {
            return Err(went_astray(
                fork,
                Astray("its tokens read otherwise".into()),
            ));
        }
        let choice = self.entries.iter().find_map(|entry| match entry {
            Entry::Choice(row) if row.fork == fork => Some(row),
            _ => None,
        });
        let taken = choice.and_then(|choice| {
            let mut branches = wanted.branches();
            let taken = branches.find(|option| Some(option.tile.item) == choice.item)?;
            Some((taken.tile.text.clone(), choice.chooser?))
        });
        let offered = wanted.branches().nth(branch);
        Ok(AnotherWay {
            session: self.manifest.session.clone(),
            fork,
            before: before.len(),
            text,
            tokens,
            branch: offered.map_or_else(String::new, |option| option.tile.text.clone()),
            taken,
        })
    }

    fn forks(&self) -> impl Iterator<Item = &ForkRow> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Fork(row) => Some(&**row),
            _ => None,
        })
    }

    fn recorded(&self, fork: ForkId) -> Option<Recorded<'_>> {
        let places = self.places.get(&fork)?;
        let Entry::Fork(row) = self.entries.get(places.fork?)? else {
            return None;
        };
        let options = places.options.iter().filter_map(|number| {
            let Entry::Option(row) = self.entries.get(*number)? else {
                return None;
            };
            Some(row)
        });
        Some(Recorded {
            row,
            options: options.collect(),
        })
    }

    /// Whether this is the model that wrote the session, with the same adapter.
    fn check(&self, model: &Backend) -> Result<(), ReplayError> {
        let (got, adapter) = (model_digest(model), model.adapter());
        for row in self.forks() {
            if row.model_sha256 != got {
                let expected = row.model_sha256.clone();
                return Err(ReplayError::Model { expected, got });
            }
            if row.adapter != adapter {
                let named =
                    |adapter: &Option<String>| adapter.clone().unwrap_or_else(|| "none".into());
                return Err(ReplayError::Adapter {
                    expected: named(&row.adapter),
                    got: named(&adapter),
                });
            }
        }
        Ok(())
    }

    /// Follows what was recorded until this fork is open.
    fn brought_to(&self, story: &mut Story, fork: ForkId) -> Result<Fork, ReplayError> {
        for entry in &self.entries {
            match entry {
                Entry::Fork(row) => {
                    let astray = |astray| went_astray(row.fork, astray);
                    let (found, _) = story.next_fork(row).map_err(astray)?;
                    let known = self.recorded(row.fork);
                    if !known.is_some_and(|known| known.is(&found)) {
                        let other =
                            format!("there are other branches behind {:?}", tail(&found.context));
                        return Err(astray(Astray(other)));
                    }
                    if row.fork == fork {
                        return Ok(found);
                    }
                }
                Entry::Choice(row) => {
                    let kinds = self.recorded(row.fork).map(|known| known.kinds());
                    self.follow(story, row, &kinds.unwrap_or_default())?;
                }
                Entry::Event(row) => {
                    let followed = match Happened::of(row) {
                        Some(Happened::Call { text, position }) => story.call(text, position),
                        Some(Happened::Undo) => story.undo(),
                        _ => Ok(()),
                    };
                    followed.map_err(|astray| went_astray(fork, astray))?;
                }
                Entry::Session(_) | Entry::Option(_) | Entry::Evidence(_) | Entry::State(_) => {}
            }
        }
        // The row was found before, so it is among the entries.
        Err(ReplayError::NoFork {
            fork,
            forks: self.forks().count() as u64,
        })
    }

    fn follow(
        &self,
        story: &mut Story,
        row: &ChoiceRow,
        kinds: &[OptionKind],
    ) -> Result<(), ReplayError> {
        story
            .follow_recorded(kinds, row)
            .map_err(|astray| went_astray(row.fork, astray))
    }
}

fn went_astray(fork: ForkId, Astray(reason): Astray) -> ReplayError {
    ReplayError::Astray { fork, reason }
}

fn tail(context: &str) -> &str {
    let begin = context.char_indices().rev().nth(40).map_or(0, |(at, _)| at);
    &context[begin..]
}
