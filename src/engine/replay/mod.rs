//! A session replayed from its folder: the raw recording goes through the very code that ran live, and every decision and
//! every letter must come again, bit for bit.
//!
//! What is made again, and from what:
//!
//! | made again | from |
//! |---|---|
//! | P300 and gaze evidence | raw samples, flash and fork markers, profile, the clock offsets frozen for each fork |
//! | verdicts, posteriors, arms | that evidence, in the recorded order and at the recorded times |
//! | what the scorer learnt | the epochs of the choices that the ledger names, in its order |
//! | forks, options, priors, the text | model, settings, seed, and the choices that follow from those verdicts |
//! | whether to ask, what follows | protocol, from counts of tokens |
//!
//! What nobody can make again is taken as recorded: when things happened, keys, aborts, whether streams were alive, the state of the person at each fork. What the guard made of it all is made again. A new
//! ledger is written from what was made again; as rows are chained by their hashes, two ledgers that end in the same hash
//! agree in every bit of every row.

mod another_way;
mod difference;
mod eeg;
mod error;
mod gaze;
mod happened;
mod recorded;
mod replaying;
mod report;
mod signals;
mod story;

pub use another_way::{AnotherWay, PastText};
pub use difference::Difference;
pub use error::ReplayError;
pub use recorded::RecordedSession;
pub use report::{Compared, ReplayReport};

/// The profile, inside a session folder.
pub const PROFILE: &str = "calibration/profile.json";
/// Where the replay says what it found, inside its own folder.
pub const REPORT: &str = "replay.json";
