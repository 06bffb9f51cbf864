//! What a person sees: where the tiles stand, and the terminal's view of a session.

pub mod layout;
pub mod terminal;
pub mod watch;
