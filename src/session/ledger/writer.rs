//! Writing a ledger.

use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::chain::{ChainHead, Link};
use super::error::LedgerError;
use super::rows::{
    ChoiceRow, EventRow, EvidenceRow, ForkRow, OptionRow, Row, SessionRow, StateRow,
};
use super::schema::{self, Table};
use crate::session::folder::create_private;

/// Rows of evidence that wait for one transaction, at most.
const GROUP_ROWS: u32 = 64;
/// How long the first of them waits, at most (checked at each call).
const GROUP_WAIT: Duration = Duration::from_millis(500);

/// Appends rows to a new ledger. Control plane: each call may wait for the disk.
///
/// A call that returns `Ok` for a fork, a choice or an event has its rows on the disk, and all evidence before them. Evidence
/// alone may wait up to half a second for its transaction ([`LedgerWriter::flush`] ends the wait). A failed call has written
/// nothing; the ledger stays valid up to the row before it, rows that waited are kept for the next transaction, and the next call
/// may be tried.
#[derive(Debug)]
pub struct LedgerWriter {
    connection: Connection,
    /// After the last row handed to SQLite.
    link: Link,
    /// After the last row of a finished transaction.
    settled: Link,
    waiting: u32,
    waiting_since: Option<Instant>,
    /// Rows that are not yet on the disk.
    held: Vec<(&'static Table, Vec<Value>)>,
}

impl LedgerWriter {
    /// Makes a new ledger (0600) and writes its first row.
    ///
    /// # Errors
    /// [`LedgerError::Exists`] when the path is taken; [`LedgerError::Full`] or [`LedgerError::Write`] otherwise.
    pub fn create(path: &Path, session: &SessionRow) -> Result<Self, LedgerError> {
        // SQLite would create it readable for others; its -wal and -shm files take their rights from this one.
        create_private(path).map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => LedgerError::Exists {
                path: path.to_owned(),
            },
            _ => LedgerError::Create {
                path: path.to_owned(),
                source,
            },
        })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(LedgerError::writing)?;
        connection
            .pragma_update(None, "journal_mode", "WAL")
            .and_then(|()| connection.pragma_update(None, "synchronous", "FULL"))
            .and_then(|()| connection.execute_batch(&schema::create_sql()))
            .map_err(LedgerError::writing)?;
        let mut writer = Self {
            connection,
            link: Link::START,
            settled: Link::START,
            waiting: 0,
            waiting_since: None,
            held: Vec::new(),
        };
        writer.write(vec![(SessionRow::TABLE, session.values()?)])?;
        writer.flush()?;
        Ok(writer)
    }

    /// Writes a fork with its options.
    ///
    /// # Errors
    /// [`LedgerError`]; a fork's number that was used before is refused.
    pub fn fork(&mut self, fork: &ForkRow, options: &[OptionRow]) -> Result<(), LedgerError> {
        let mut rows = vec![(ForkRow::TABLE, fork.values()?)];
        for option in options {
            rows.push((OptionRow::TABLE, option.values()?));
        }
        self.put(rows, true)
    }

    /// Writes one input of the gate. May wait for company; see [`LedgerWriter`].
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn evidence(&mut self, evidence: &EvidenceRow) -> Result<(), LedgerError> {
        self.put(vec![(EvidenceRow::TABLE, evidence.values()?)], false)
    }

    /// Writes the state of the person at a fork. May wait for company, like evidence.
    ///
    /// # Errors
    /// [`LedgerError`]; a fork has one.
    pub fn state(&mut self, state: &StateRow) -> Result<(), LedgerError> {
        self.put(vec![(StateRow::TABLE, state.values()?)], false)
    }

    /// Writes the rows of one call, and puts them on the disk at once or when it is due. Those of a call that fails are the caller's again; what
    /// waited before it is kept for the next transaction.
    fn put(
        &mut self,
        rows: Vec<(&'static Table, Vec<Value>)>,
        at_once: bool,
    ) -> Result<(), LedgerError> {
        let count = rows.len();
        self.write(rows)?;
        if !(at_once || self.is_due()) {
            return Ok(());
        }
        let flushed = self.flush();
        if flushed.is_err() {
            self.held.truncate(self.held.len().saturating_sub(count));
        }
        flushed
    }

    fn is_due(&self) -> bool {
        let since = self.waiting_since;
        self.waiting >= GROUP_ROWS || since.is_some_and(|since| since.elapsed() >= GROUP_WAIT)
    }

    /// Writes how a fork ended.
    ///
    /// # Errors
    /// [`LedgerError`]; a fork ends once.
    pub fn choice(&mut self, choice: &ChoiceRow) -> Result<(), LedgerError> {
        self.put(vec![(ChoiceRow::TABLE, choice.values()?)], true)
    }

    /// Writes an event.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn event(&mut self, event: &EventRow) -> Result<(), LedgerError> {
        self.put(vec![(EventRow::TABLE, event.values()?)], true)
    }

    /// Puts waiting rows on the disk. Call it when nothing was written for a while.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn flush(&mut self) -> Result<(), LedgerError> {
        if self.waiting == 0 {
            if self.held.is_empty() {
                return Ok(());
            }
            self.write(Vec::new())?;
        }
        match self.connection.execute_batch("COMMIT") {
            Ok(()) => {
                self.settled = self.link;
                self.waiting = 0;
                self.waiting_since = None;
                self.held.clear();
                Ok(())
            }
            Err(error) => Err(self.abandon(error)),
        }
    }

    /// The last row on the disk.
    #[must_use]
    pub fn head(&self) -> ChainHead {
        self.settled.head()
    }

    /// Puts everything on the disk, folds the write-ahead log into the file, and closes it.
    ///
    /// # Errors
    /// [`LedgerError`]; what was acknowledged before is safe all the same.
    pub fn finish(mut self) -> Result<ChainHead, LedgerError> {
        self.flush()?;
        let head = self.head();
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(LedgerError::writing)?;
        self.connection
            .close()
            .map_err(|(_, error)| LedgerError::writing(error))?;
        Ok(head)
    }

    /// Appends rows to the running transaction, opening one if there is none: all of them or none.
    fn write(&mut self, rows: Vec<(&'static Table, Vec<Value>)>) -> Result<(), LedgerError> {
        let (link, waiting) = (self.link, self.waiting);
        let Err(error) = self.insert(rows) else {
            return Ok(());
        };
        // A refused row leaves the transaction standing: take back this call's rows alone. A full disk may have ended it.
        let undone = waiting > 0
            && !self.connection.is_autocommit()
            && self
                .connection
                .execute_batch("ROLLBACK TO one_call; RELEASE one_call")
                .is_ok();
        if undone {
            self.link = link;
            self.waiting = waiting;
            Err(LedgerError::writing(error))
        } else {
            self.waiting = waiting;
            Err(self.abandon(error))
        }
    }

    fn insert(&mut self, rows: Vec<(&'static Table, Vec<Value>)>) -> Result<(), rusqlite::Error> {
        if self.waiting == 0 {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            // What waited in a transaction that was given up comes first.
            let held = std::mem::take(&mut self.held);
            let again = held
                .iter()
                .try_for_each(|(table, values)| self.append(table, values));
            self.held = held;
            again?;
        }
        self.connection.execute_batch("SAVEPOINT one_call")?;
        for (table, values) in &rows {
            self.append(table, values)?;
        }
        self.connection.execute_batch("RELEASE one_call")?;
        self.held.extend(rows);
        self.waiting_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn append(&mut self, table: &'static Table, values: &[Value]) -> Result<(), rusqlite::Error> {
        let next = self.link.next(table, values);
        let hashes = [self.link.hash, next.hash].map(|hash| Value::Blob(hash.to_vec()));
        let row = std::iter::once(Value::Integer(next.rows))
            .chain(values.iter().cloned())
            .chain(hashes);
        self.connection
            .prepare_cached(&table.insert_sql())?
            .execute(params_from_iter(row))?;
        self.link = next;
        self.waiting += 1;
        Ok(())
    }

    /// Gives the running transaction up; the chain goes on from the last finished one, and its rows are written again with the next.
    fn abandon(&mut self, error: rusqlite::Error) -> LedgerError {
        if !self.connection.is_autocommit() {
            // If even this fails the next BEGIN fails too, and says so.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.link = self.settled;
        self.waiting = 0;
        self.waiting_since = None;
        LedgerError::writing(error)
    }
}
