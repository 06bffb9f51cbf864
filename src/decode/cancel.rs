//! A flag by which another thread stops decoding between two matrices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared between the thread that decodes and whoever may interrupt it. Clones are the same flag.
///
/// The decoder looks at it three times in each layer; a step that is cancelled leaves every state as it was, so a commit
/// waits for half a layer or for the output matrix at most, not for a whole step.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A flag that is down.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the running step to stop. Stays up until [`Cancel::clear`].
    pub fn request(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Takes the flag down again, before the next step.
    pub fn clear(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Whether a stop is asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
