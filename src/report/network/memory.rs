//! What a person's memory of choices tells of sessions: the latest choices, each as a fork that was met.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;

use crate::choice::network::{Met, Offered, TakenBack};
use crate::marker::OptionKind;
use crate::session::person::{self, ChoiceStore, Person, PersonError, Remembered, Which};

/// Characters of the text before a choice that must stand before the next fork's, for the one to be taken as standing behind the other.
const BEHIND_CHARS: usize = 24;

/// The latest choices of a person, by their sessions.
#[derive(Debug, Default)]
pub(super) struct Memory(BTreeMap<String, Kept>);

/// What is kept of a session.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// When the first of its choices was made, kept or not.
    pub(super) began_utc: String,
    /// Its choices, oldest first.
    pub(super) choices: Vec<Remembered>,
    /// Earlier ones, which are not kept.
    pub(super) left_out: usize,
}

impl Memory {
    /// Reads the `most` latest choices: each has the model's states, so that all of them might not fit into memory.
    pub(super) fn read(person: &Person, most: usize) -> Result<Self, PersonError> {
        let (mut memory, mut latest) = (Self::default(), VecDeque::new());
        if let Some(store) = ChoiceStore::open_read_only(person)? {
            store.each(&Which::All, |choice| {
                memory.note(&mut latest, choice, most);
                ControlFlow::Continue(())
            })?;
        }
        for choice in latest {
            if let Some(kept) = memory.0.get_mut(&choice.session) {
                kept.choices.push(choice);
            }
        }
        Ok(memory)
    }

    fn note(&mut self, latest: &mut VecDeque<Remembered>, choice: Remembered, most: usize) {
        let session = self.0.entry(choice.session.clone());
        session.or_insert_with(|| Kept {
            began_utc: choice.at_utc.clone(),
            ..Kept::default()
        });
        latest.push_back(choice);
        if latest.len() > most
            && let Some(oldest) = latest.pop_front()
            && let Some(kept) = self.0.get_mut(&oldest.session)
        {
            kept.left_out += 1;
        }
    }

    /// Takes what is kept of a session.
    pub(super) fn take(&mut self, session: &str) -> Option<Kept> {
        self.0.remove(session)
    }

    /// The sessions that were not taken.
    pub(super) fn rest(self) -> impl Iterator<Item = (String, Kept)> {
        self.0.into_iter()
    }
}

/// What was selected.
pub(super) fn selected(choice: &Remembered) -> Option<OptionKind> {
    let item = choice.chosen.or(choice.selected)?;
    choice
        .options
        .iter()
        .find(|option| option.item == item)
        .map(|option| option.kind)
}

/// The latest choice whose phrase stands in the text before this fork, behind the text that it was chosen behind.
pub(super) fn behind(choices: &[Remembered], nth: usize) -> Option<usize> {
    let here = &choices.get(nth)?.context;
    let stands = |choice: &Remembered| {
        let Some(taken) = choice
            .taken()
            .filter(|taken| taken.kind == OptionKind::Branch)
        else {
            return false;
        };
        let tail: String = {
            let skipped = choice.context.chars().count().saturating_sub(BEHIND_CHARS);
            choice.context.chars().skip(skipped).collect()
        };
        here.match_indices(tail.as_str()).any(|(at, _)| {
            let rest = here.get(at + tail.len()..).unwrap_or_default();
            rest.trim_start().starts_with(taken.text.trim())
        })
    };
    (0..nth)
        .rev()
        .find(|before| choices.get(*before).is_some_and(stands))
}

/// A remembered choice as a fork that was met.
pub(super) fn met(session: usize, after: Option<usize>, choice: &Remembered) -> Met {
    let branches = || {
        choice
            .options
            .iter()
            .filter(|option| option.kind == OptionKind::Branch)
    };
    Met {
        session,
        fork: choice.fork,
        after,
        context: choice.context.clone(),
        model_sha256: choice.model_sha256.clone(),
        state: choice.state.clone(),
        offered: branches()
            .map(|option| Offered {
                item: option.item,
                text: option.text.clone(),
                prior: option.prior,
                embedding: option.embedding.clone(),
            })
            .collect(),
        taken: choice
            .chooser
            .and(choice.chosen)
            .and_then(|chosen| branches().position(|option| option.item == chosen)),
        chooser: choice.chooser,
        level: None,
        asked: choice.shown,
        taken_back: choice.taken_back.map(|back| match back {
            person::TakenBack::Undo => TakenBack::Undo,
            person::TakenBack::Call => TakenBack::Call,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::Why;
    use crate::fork::{Chooser, ForkId, ForkOrigin};
    use crate::session::person::RememberedOption;

    fn choice(fork: u64, context: &str, text: &str) -> Remembered {
        Remembered {
            session: "s".into(),
            fork: ForkId(fork),
            at_utc: String::new(),
            context: context.into(),
            origin: ForkOrigin::Detected,
            attempt: 0,
            shown: true,
            outcome: None,
            chooser: Some(Chooser::Human),
            why: Why::Selected,
            chosen: Some(0),
            selected: Some(0),
            decision_s: None,
            model_sha256: String::new(),
            taken_back: None,
            state: None,
            options: vec![RememberedOption {
                item: 0,
                kind: OptionKind::Branch,
                text: text.into(),
                tokens: Vec::new(),
                prior: 0.5,
                log_prob_nats: None,
                posterior: None,
                preference: None,
                embedding: None,
            }],
        }
    }

    #[test]
    fn a_remembered_fork_stands_behind_the_latest_choice_that_its_text_shows() {
        let choices = [
            choice(0, "Once upon a time", "a fox"),
            choice(1, "Once upon a time a fox ran.", "It slept"),
            // The choice of fork 1 was taken back: another stands there.
            choice(2, "Once upon a time a fox ran.", "It swam"),
            choice(3, "Once upon a time a fox ran. It swam and", "sang"),
            // Another text.
            choice(4, "In a town", "a cat"),
        ];
        let found: Vec<_> = (0..choices.len())
            .map(|nth| behind(&choices, nth))
            .collect();
        assert_eq!(found, [None, Some(0), Some(0), Some(2), None]);
    }

    #[test]
    fn the_latest_choices_are_kept_and_sessions_that_lost_theirs_are_still_known() {
        let of = |session: &str, fork: u64| Remembered {
            session: session.into(),
            at_utc: format!("2026-01-01T00:00:0{fork}.000Z"),
            ..choice(fork, "", "")
        };
        let folder = tempfile::tempdir().unwrap();
        let mut person = Person::open_or_create(&folder.path().join("anna")).unwrap();
        person.say(true, 30).unwrap();
        let mut store = ChoiceStore::open(person).unwrap();
        for choice in [of("a", 0), of("b", 1), of("b", 2), of("c", 3), of("c", 4)] {
            store.remember(&choice).unwrap();
        }
        drop(store);
        let person = Person::open(&folder.path().join("anna")).unwrap();
        let kept = |most| {
            let memory = Memory::read(&person, most).unwrap();
            let told = memory.rest().map(|(id, kept)| {
                let forks: Vec<u64> = kept.choices.iter().map(|choice| choice.fork.0).collect();
                (id, forks, kept.left_out, kept.began_utc.contains(":00.")) // the first began at second 0
            });
            told.collect::<Vec<_>>()
        };
        let all = |id: &str, forks: &[u64], left_out, first| {
            (id.to_owned(), forks.to_vec(), left_out, first)
        };
        assert_eq!(
            kept(9),
            [
                all("a", &[0], 0, true),
                all("b", &[1, 2], 0, false),
                all("c", &[3, 4], 0, false)
            ]
        );
        assert_eq!(
            kept(3),
            [
                all("a", &[], 1, true),
                all("b", &[2], 1, false),
                all("c", &[3, 4], 0, false)
            ]
        );
    }
}
