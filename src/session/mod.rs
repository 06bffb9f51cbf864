//! The session folder: everything that outlives a session.
//!
//! | file | what | written |
//! |---|---|---|
//! | `manifest.json` | versions, machine, configuration, models, seeds, streams | at the start, again at the end; each time as a whole |
//! | `session.xdf` | all streams, raw, with markers and decisions | as samples come (room `recording`) |
//! | `ledger.sqlite` | forks, options, evidence, choices, events, states, in one hash chain | in transactions |
//! | `text.txt` | the text | as pieces are committed |
//! | `summary.json`, `latency.json`, `report.html` | what came of it | at the end |
//!
//! What is kept of a person beyond one session lies elsewhere: [`person`].
//!
//! Files are 0600, the folder 0700: neural and gaze data are health data. A folder belongs to one engine at a time. What was
//! acknowledged survives SIGKILL. This room lives on the control plane: it may block, allocate and fail; the real-time plane
//! never calls it.

mod autonomy;
mod digest;
mod flash_warning;
mod folder;
mod ledger;
mod machine;
mod manifest;
pub mod person;
mod replay;
mod signal;
mod summary;
mod text;
mod truth;
mod utc;

pub use autonomy::{AutonomyEvent, AutonomySummary, Beginning};
pub use digest::{sha256_file, sha256_hex};
pub use flash_warning::FlashWarning;
pub(crate) use folder::replace_atomically;
pub use folder::{Folder, FolderError, Reserve, SessionFile};
pub use ledger::{
    ChainHead, ChoiceRow, Entry, EventKind, EventRow, EvidenceRow, ForkRow, Ledger, LedgerError,
    LedgerWriter, OptionRow, SCHEMA_VERSION, SessionRow, StateRow,
};
pub use machine::Machine;
pub use manifest::{
    ConfigRecord, Manifest, ModelRecord, ReplayOf, StreamRecord, TextRecord, Versions,
};
pub use replay::{ReplayError, Replayed, reopen_gate, replay_forks};
pub use signal::{BadChannelSummary, SignalSummary, samples_in_words};
pub use summary::{
    ArmScore, ArmScores, Counts, IndexSummary, Interval, MOVED, Speed, StateSummary, Summary,
    SummaryInput, wilson_interval, wolpaw_bits,
};
pub use text::TextFile;
pub use truth::{Truth, TruthError};
pub use utc::{new_session_id, utc_of};
