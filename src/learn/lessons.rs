//! Which remembered choices teach, and what.

use std::ops::ControlFlow;

use crate::decode::{CONTEXT_CHARS, DecodeError, Lesson, Model};
use crate::marker::OptionKind;
use crate::session::person::{ChoiceStore, ForkName, PersonError, Remembered, TakenBack, Which};

/// What a memory teaches a model.
#[derive(Debug, Default)]
pub struct Lessons {
    /// One for each choice that teaches, oldest first.
    pub lessons: Vec<Lesson>,
    /// The choices they come from, in the same order.
    pub forks: Vec<ForkName>,
    /// Choices that teach nothing, and why.
    pub unused: Unused,
}

/// Why choices teach nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unused {
    /// Nobody chose one of the branches: declined, aborted, `other`, `go on`, the model's or the imitator's own.
    pub not_the_persons: usize,
    /// A single branch was offered, or nothing stands before the fork.
    pub nothing_to_choose: usize,
    /// Tokens of another tokenizer.
    pub other_model: usize,
    /// The place is gone because the person called for a fork before it: that says nothing of this choice.
    pub place_gone: usize,
}

impl Unused {
    /// How many.
    #[must_use]
    pub const fn all(&self) -> usize {
        self.not_the_persons + self.nothing_to_choose + self.other_model + self.place_gone
    }
}

/// Why learning cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum LessonsError {
    /// The memory cannot be read.
    #[error(transparent)]
    Memory(#[from] PersonError),
    /// A text cannot be cut into tokens.
    #[error(transparent)]
    Model(#[from] DecodeError),
}

/// What a person's memory teaches this model. Only what the person chose among branches counts; a choice that was undone is evidence
/// against it.
///
/// # Errors
/// [`LessonsError`].
pub fn lessons_of(store: &ChoiceStore, model: &Model) -> Result<Lessons, LessonsError> {
    let mut found = Lessons::default();
    let mut failed = None;
    store.each(&Which::All, |choice| match found.add(&choice, model) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    })?;
    match failed {
        None => Ok(found),
        Some(error) => Err(error.into()),
    }
}

impl Lessons {
    fn add(&mut self, choice: &Remembered, model: &Model) -> Result<(), DecodeError> {
        if !choice.is_persons_choice() {
            self.unused.not_the_persons += 1;
            return Ok(());
        }
        if choice.taken_back == Some(TakenBack::Call) {
            self.unused.place_gone += 1;
            return Ok(());
        }
        let branches: Vec<_> = choice
            .options
            .iter()
            .filter(|option| option.kind == OptionKind::Branch)
            .collect();
        for branch in &branches {
            // Tokens that spell something else here are another tokenizer's.
            let spelled = model.tokens().decode(&branch.tokens);
            if spelled.is_ok_and(|text| text.trim() != branch.text.trim()) {
                self.unused.other_model += 1;
                return Ok(());
            }
        }
        let chosen = branches
            .iter()
            .position(|branch| Some(branch.item) == choice.chosen);
        let context = model.tokens().encode_bare(whole_words(&choice.context))?;
        let options: Vec<Vec<u32>> = branches
            .iter()
            .map(|branch| branch.tokens.clone())
            .collect();
        let usable = options.len() > 1 && !options.iter().any(Vec::is_empty) && !context.is_empty();
        let Some(chosen) = chosen.filter(|_| usable) else {
            self.unused.nothing_to_choose += 1;
            return Ok(());
        };
        let lesson = match choice.taken_back {
            None => Lesson::chosen(context, options, chosen),
            Some(_) => Lesson::taken_back(context, options, chosen),
        };
        self.lessons.push(lesson);
        self.forks.push(choice.name());
        Ok(())
    }
}

/// A context is the end of a text: where it is as long as one can be, its first word may be cut.
fn whole_words(context: &str) -> &str {
    let cut = context.chars().count() >= CONTEXT_CHARS;
    let at = context.find(char::is_whitespace).filter(|_| cut);
    &context[at.unwrap_or(0)..]
}
