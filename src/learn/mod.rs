//! Learning from what a person chose: remembered choices become lessons, lessons an adapter, adapters stand on a shelf in versions.
//!
//! | part | what it does |
//! |---|---|
//! | [`lessons_of`] | which remembered choices teach, and what |
//! | [`forget`] | choices forgotten, and what was learned from them |
//! | [`Shelf`] | the versions of a person's adapters, each with its card; which of them is in use, and the way back |
//!
//! How an adapter learns is the decoder's affair ([`crate::decode::Learner`]). An adapter is used only if it is better on choices that it did not
//! learn from and leaves plain text as it was; one that learned from a choice that is forgotten is retired with it.

mod card;
mod forget;
mod lessons;
mod shelf;
#[cfg(test)]
mod tests;

pub use card::{Card, TaughtBy};
pub use forget::{ForgetError, forget};
pub use lessons::{Lessons, LessonsError, Unused, lessons_of};
pub use shelf::{Retired, Shelf, ShelfError};
