//! Reading a ledger, and checking its chain.

use std::path::{Path, PathBuf};

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, Params};

use super::chain::{ChainHead, Link};
use super::codec::Columns;
use super::error::LedgerError;
use super::rows::{
    ChoiceRow, EventRow, EvidenceRow, ForkRow, OptionRow, Row, SessionRow, StateRow,
};
use super::schema::{APPLICATION_ID, SCHEMA_VERSION, Table, tables_of};
use crate::fork::ForkId;

/// A row of any table.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// What the session began with.
    Session(SessionRow),
    /// A fork as it was found; its options follow.
    Fork(Box<ForkRow>),
    /// An option of the fork before.
    Option(OptionRow),
    /// An input of the gate.
    Evidence(EvidenceRow),
    /// How a fork ended.
    Choice(Box<ChoiceRow>),
    /// Something that is no fork.
    Event(EventRow),
    /// State of the person at a fork.
    State(Box<StateRow>),
}

/// A ledger opened for reading: of a session that ended, was killed, or is still being written.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    connection: Connection,
    version: u32,
}

impl Ledger {
    /// Opens a ledger without changing it. It need not be in a folder one may write to.
    ///
    /// # Errors
    /// [`LedgerError::Missing`], [`LedgerError::Foreign`] (another program's database, or none), [`LedgerError::TooNew`],
    /// [`LedgerError::Corrupt`], [`LedgerError::Read`].
    pub fn open_read_only(path: &Path) -> Result<Self, LedgerError> {
        if !path.is_file() {
            return Err(LedgerError::Missing {
                path: path.to_owned(),
            });
        }
        let first = Self::connect(path, false);
        // SQLite cannot share a write-ahead log on a medium it may not write to. When there is no log, all is in the file.
        let (connection, version) = match first {
            Err(LedgerError::Read { .. }) if !wal_of(path).exists() => Self::connect(path, true)?,
            other => other?,
        };
        Ok(Self {
            path: path.to_owned(),
            connection,
            version,
        })
    }

    fn connect(path: &Path, immutable: bool) -> Result<(Connection, u32), LedgerError> {
        let reading = |error| LedgerError::reading(path, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = if immutable {
            let uri = format!("file:{}?immutable=1", percent_encoded(path));
            Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)
        } else {
            Connection::open_with_flags(path, flags)
        }
        .map_err(reading)?;
        let pragma = |name| {
            connection
                .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
                .map_err(reading)
        };
        let application = pragma("application_id")?;
        if application != APPLICATION_ID {
            return Err(LedgerError::Foreign {
                path: path.to_owned(),
                reason: format!("its application_id is {application}, not {APPLICATION_ID}"),
            });
        }
        let version = pragma("user_version")?;
        if version > i64::from(SCHEMA_VERSION) {
            return Err(LedgerError::TooNew {
                path: path.to_owned(),
                found: version,
                known: SCHEMA_VERSION,
            });
        }
        match u32::try_from(version) {
            Ok(version @ 1..) => Ok((connection, version)),
            _ => Err(LedgerError::Corrupt {
                path: path.to_owned(),
                reason: format!("its version is {version}"),
            }),
        }
    }

    /// What the session began with.
    ///
    /// # Errors
    /// [`LedgerError`]; a ledger without its first row is corrupt.
    pub fn session(&self) -> Result<SessionRow, LedgerError> {
        self.rows::<SessionRow>("ORDER BY n LIMIT 1", [])?
            .pop()
            .ok_or_else(|| LedgerError::Corrupt {
                path: self.path.clone(),
                reason: "it has no session row".to_owned(),
            })
    }

    /// All forks, in the order they were met.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn forks(&self) -> Result<Vec<ForkRow>, LedgerError> {
        self.rows("ORDER BY n", [])
    }

    /// The options of a fork, by item.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn options_of(&self, fork: ForkId) -> Result<Vec<OptionRow>, LedgerError> {
        self.rows("WHERE fork = ? ORDER BY item", [fork.0.cast_signed()])
    }

    /// The inputs of a fork's gate, in the order they were given.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn evidence_of(&self, fork: ForkId) -> Result<Vec<EvidenceRow>, LedgerError> {
        self.rows("WHERE fork = ? ORDER BY step", [fork.0.cast_signed()])
    }

    /// How a fork ended; `None` when the session ended first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn choice_of(&self, fork: ForkId) -> Result<Option<ChoiceRow>, LedgerError> {
        Ok(self.rows("WHERE fork = ?", [fork.0.cast_signed()])?.pop())
    }

    /// How all forks ended, in that order.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn choices(&self) -> Result<Vec<ChoiceRow>, LedgerError> {
        self.rows("ORDER BY n", [])
    }

    /// All events, in order.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn events(&self) -> Result<Vec<EventRow>, LedgerError> {
        self.rows("ORDER BY n", [])
    }

    /// States of the person, in the order of their forks; none in a ledger of before.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn states(&self) -> Result<Vec<StateRow>, LedgerError> {
        self.rows("ORDER BY n", [])
    }

    /// Every row of every table, in the order they were written.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn entries(&self) -> Result<Vec<Entry>, LedgerError> {
        let mut entries: Vec<(i64, Entry)> = Vec::new();
        entries.extend(self.numbered(Entry::Session)?);
        entries.extend(self.numbered(|row| Entry::Fork(Box::new(row)))?);
        entries.extend(self.numbered(Entry::Option)?);
        entries.extend(self.numbered(Entry::Evidence)?);
        entries.extend(self.numbered(|row| Entry::Choice(Box::new(row)))?);
        entries.extend(self.numbered(Entry::Event)?);
        entries.extend(self.numbered(|row| Entry::State(Box::new(row)))?);
        entries.sort_by_key(|(n, _)| *n);
        Ok(entries.into_iter().map(|(_, entry)| entry).collect())
    }

    fn numbered<R: Row>(
        &self,
        entry: impl Fn(R) -> Entry,
    ) -> Result<Vec<(i64, Entry)>, LedgerError> {
        let rows = self.rows_with_numbers("ORDER BY n", [])?;
        Ok(rows.into_iter().map(|(n, row)| (n, entry(row))).collect())
    }

    fn rows<R: Row>(&self, clause: &str, params: impl Params) -> Result<Vec<R>, LedgerError> {
        let rows = self.rows_with_numbers(clause, params)?;
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }

    fn rows_with_numbers<R: Row>(
        &self,
        clause: &str,
        params: impl Params,
    ) -> Result<Vec<(i64, R)>, LedgerError> {
        let Some(table) = R::TABLE.at(self.version) else {
            return Ok(Vec::new());
        };
        let reading = |error| LedgerError::reading(&self.path, error);
        let sql = format!("{} {clause}", table.select_sql());
        let mut statement = self.connection.prepare_cached(&sql).map_err(reading)?;
        let mut rows = statement.query(params).map_err(reading)?;
        let mut typed = Vec::new();
        while let Some(row) = rows.next().map_err(reading)? {
            let stored = Stored::of(table, row).map_err(reading)?;
            let read = R::read(Columns::new(table, stored.n, &stored.values))?;
            typed.push((stored.n, read));
        }
        Ok(typed)
    }

    /// Whether it was written in an older form than today's.
    #[must_use]
    pub const fn is_older(&self) -> bool {
        self.version < SCHEMA_VERSION
    }

    /// The end of the chain that these rows would have in a ledger of today's form.
    ///
    /// # Errors
    /// [`LedgerError`] when a row has no form in columns.
    pub fn head_today(entries: &[Entry]) -> Result<ChainHead, LedgerError> {
        let mut link = Link::START;
        for entry in entries {
            let (table, values) = match entry {
                Entry::Session(row) => (SessionRow::TABLE, row.values()?),
                Entry::Fork(row) => (ForkRow::TABLE, row.values()?),
                Entry::Option(row) => (OptionRow::TABLE, row.values()?),
                Entry::Evidence(row) => (EvidenceRow::TABLE, row.values()?),
                Entry::Choice(row) => (ChoiceRow::TABLE, row.values()?),
                Entry::Event(row) => (EventRow::TABLE, row.values()?),
                Entry::State(row) => (StateRow::TABLE, row.values()?),
            };
            link = link.next(table, &values);
        }
        Ok(link.head())
    }

    /// Walks the whole chain and returns its end.
    ///
    /// Compare the end with the manifest's ([`super::super::Manifest::ledger`]): rows cut off at the end leave a shorter chain
    /// that is sound in itself.
    ///
    /// # Errors
    /// [`LedgerError::Tampered`] naming the first row that was altered, added or whose predecessor is missing; others when the
    /// file cannot be read.
    pub fn verify(&self) -> Result<ChainHead, LedgerError> {
        let reading = |error| LedgerError::reading(&self.path, error);
        let tables: Vec<&Table> = tables_of(self.version).collect();
        let tagged: Vec<String> = tables
            .iter()
            .enumerate()
            .map(|(index, table)| format!("SELECT n, {index} FROM {}", table.name))
            .collect();
        let order = format!("{} ORDER BY 1, 2", tagged.join(" UNION ALL "));
        let mut statement = self.connection.prepare(&order).map_err(reading)?;
        let mut rows = statement.query([]).map_err(reading)?;
        let mut link = Link::START;
        while let Some(row) = rows.next().map_err(reading)? {
            let n: i64 = row.get(0).map_err(reading)?;
            let index: i64 = row.get(1).map_err(reading)?;
            let Some(table) = usize::try_from(index)
                .ok()
                .and_then(|index| tables.get(index))
            else {
                continue; // the query numbers the tables from this very list
            };
            let tampered = |what| LedgerError::Tampered {
                n,
                table: table.name.to_owned(),
                what,
            };
            if n != link.rows + 1 {
                return Err(tampered(if n > link.rows + 1 {
                    "a row before it is missing"
                } else {
                    "a row was added under a number that is taken"
                }));
            }
            let stored = self.stored(table, n)?;
            if stored.prev_hash != link.hash {
                return Err(tampered("it does not follow the row before it"));
            }
            link = link.next(table, &stored.values);
            if stored.hash != link.hash {
                return Err(tampered("its values do not give its hash"));
            }
        }
        Ok(link.head())
    }

    /// One row of a table by its number, which is there.
    fn stored(&self, table: &Table, n: i64) -> Result<Stored, LedgerError> {
        let sql = format!("{} WHERE n = ?", table.select_sql());
        self.connection
            .prepare_cached(&sql)
            .and_then(|mut statement| statement.query_row([n], |row| Stored::of(table, row)))
            .map_err(|error| LedgerError::reading(&self.path, error))
    }
}

/// A row as it lies in the file.
struct Stored {
    n: i64,
    values: Vec<Value>,
    prev_hash: Vec<u8>,
    hash: Vec<u8>,
}

impl Stored {
    /// Takes a row of [`Table::select_sql`].
    fn of(table: &Table, row: &rusqlite::Row<'_>) -> Result<Self, rusqlite::Error> {
        let columns = table.columns.len();
        let values = (1..=columns)
            .map(|column| {
                Ok(match row.get_ref(column)? {
                    // Damaged text must not look intact after repair: keep its bytes as they are.
                    ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
                        Ok(text) => Value::Text(text.to_owned()),
                        Err(_) => Value::Blob(bytes.to_vec()),
                    },
                    other => Value::try_from(other)?,
                })
            })
            .collect::<Result<_, rusqlite::Error>>()?;
        Ok(Self {
            n: row.get(0)?,
            values,
            prev_hash: row.get(columns + 1)?,
            hash: row.get(columns + 2)?,
        })
    }
}

fn wal_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// A path as it may stand in a URI.
fn percent_encoded(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str()
        .as_bytes()
        .iter()
        .fold(String::new(), |mut uri, &byte| {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_') {
                uri.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                let _ = write!(uri, "%{byte:02X}");
            }
            uri
        })
}
