//! The tables of `memory.sqlite`.

/// Version of the tables, kept in SQLite's `user_version`.
pub const MEMORY_VERSION: u32 = 1;
/// "RZMC", kept in SQLite's `application_id`: tells a memory of choices from other databases.
pub(super) const APPLICATION_ID: i64 = 0x525A_4D43;

/// Makes the tables. Words are those of the ledger; states are little-endian f32, one after the other.
pub(super) const CREATE: &str = "
CREATE TABLE choice (
    id INTEGER PRIMARY KEY,
    session TEXT NOT NULL,
    fork INTEGER NOT NULL,
    at_utc TEXT NOT NULL,
    context TEXT NOT NULL,
    origin TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    shown INTEGER NOT NULL,
    outcome TEXT,
    chooser TEXT,
    why TEXT NOT NULL,
    chosen INTEGER,
    selected INTEGER,
    decision_s REAL,
    model_sha256 TEXT NOT NULL,
    taken_back TEXT,
    state BLOB,
    UNIQUE (session, fork)
);
CREATE TABLE option (
    choice INTEGER NOT NULL REFERENCES choice (id) ON DELETE CASCADE,
    item INTEGER NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    tokens TEXT NOT NULL,
    prior REAL NOT NULL,
    log_prob_nats REAL,
    posterior REAL,
    preference REAL,
    embedding BLOB,
    UNIQUE (choice, item)
);
";
