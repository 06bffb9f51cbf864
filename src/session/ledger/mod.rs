//! The ledger: what was offered, what the person's eyes and brain said, who chose and why. Append-only.
//!
//! SQLite, so that any tool reads it. Each row of each table carries `n`, its number in one chain over all tables, `prev_hash`
//! and `hash = SHA-256(prev_hash, n, table, every value)`; [`Ledger::verify`] names the first row that was altered, added or
//! taken out. Rows are never updated: a fork that was opened and never ended is a `fork` row without its `choice` row, which is
//! what a killed session leaves. The view `decision` shows both as one row per fork.
//!
//! Numbers come back as they went in, bit for bit, with two exceptions of SQLite's own: in a REAL column NaN is kept as NULL
//! (and comes back as NaN) and -0 as 0. Log-likelihoods, which feed the gate again in a replay, are kept as JSON text and have
//! neither exception.
//!
//! Durability: WAL with `synchronous = FULL`. NORMAL would survive the death of the process just as well, but after a power
//! failure could lose every transaction since the last checkpoint, minutes of choices; FULL costs one fsync per transaction,
//! and transactions are few: one per fork opened, choice and event, and evidence goes in groups of at most 64 rows or half a
//! second.

mod chain;
mod codec;
mod error;
mod reader;
mod rows;
mod schema;
mod writer;

pub use chain::ChainHead;
pub use error::LedgerError;
pub use reader::{Entry, Ledger};
pub use rows::{
    ChoiceRow, EventKind, EventRow, EvidenceRow, ForkRow, OptionRow, SessionRow, StateRow,
};
pub use schema::SCHEMA_VERSION;
pub use writer::LedgerWriter;
