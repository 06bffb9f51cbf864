//! Forgetting reaches what was learned.

use std::collections::HashSet;
use std::ops::ControlFlow;

use super::shelf::{Retired, Shelf, ShelfError};
use crate::session::person::{ChoiceStore, Forgotten, PersonError, Which};

/// Why something could not be forgotten.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// The memory.
    #[error(transparent)]
    Memory(#[from] PersonError),
    /// The adapters.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
}

/// Deletes choices from a memory, and before them every adapter that has seen one of them: should this stop in between, the choices are still there
/// to be forgotten.
///
/// # Errors
/// [`ForgetError`].
pub fn forget(
    store: &mut ChoiceStore,
    shelf: &Shelf,
    which: &Which,
) -> Result<(Forgotten, Retired), ForgetError> {
    let mut names = HashSet::new();
    store.each(which, |choice| {
        names.insert((choice.session, choice.fork.0));
        ControlFlow::Continue(())
    })?;
    let retired = if names.is_empty() {
        Retired::default()
    } else {
        shelf.retire(|taught| names.contains(&(taught.session.clone(), taught.fork)))?
    };
    Ok((store.forget(which)?, retired))
}
