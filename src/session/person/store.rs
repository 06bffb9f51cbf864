//! The memory of choices on the disk: opened, added to.
//!
//! Each call is one transaction (WAL, `synchronous = FULL`): what it acknowledged survives SIGKILL and power failure. What is deleted is
//! overwritten (`secure_delete`).

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, params};
use serde::Serialize;

use super::error::PersonError;
use super::folder::Person;
use super::remembered::{ForkName, Remembered, TakenBack};
use super::schema::{APPLICATION_ID, CREATE, MEMORY_VERSION};
use crate::session::folder::create_private;

/// How long a reader in another process is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// The memory of one person's choices. Control plane: each call may wait for the disk.
#[derive(Debug)]
pub struct ChoiceStore {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    /// Whoever changes it holds the person's lock for as long.
    person: Option<Person>,
}

impl ChoiceStore {
    /// Opens a person's memory to change it, or makes it (0600). Takes the person's lock.
    ///
    /// # Errors
    /// [`PersonError`]: in use by another process, foreign, of a later version, damaged, not to be written.
    pub fn open(person: Person) -> Result<Self, PersonError> {
        let person = person.lock()?;
        let path = person.memory();
        match create_private(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                // A copy that was put back may be open to others; what SQLite keeps beside it takes its rights from it.
                let private = std::fs::Permissions::from_mode(0o600);
                std::fs::set_permissions(&path, private)
                    .map_err(|source| PersonError::io(&path, source))?;
            }
            Err(source) => return Err(PersonError::io(&path, source)),
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = connect(&path, flags)?;
        let failed = |source| PersonError::sql(&path, source);
        // Nothing is changed in a file before it is known to be ours.
        if is_new(&connection).map_err(failed)? {
            create(&connection).map_err(failed)?;
        }
        check(&connection, &path)?;
        connection
            .pragma_update(None, "journal_mode", "WAL")
            .and_then(|()| connection.pragma_update(None, "synchronous", "FULL"))
            .and_then(|()| connection.pragma_update(None, "secure_delete", "ON"))
            .and_then(|()| connection.pragma_update(None, "foreign_keys", "ON"))
            .map_err(failed)?;
        Ok(Self {
            path,
            connection,
            person: Some(person),
        })
    }

    /// Opens a person's memory without changing it; `None` where nothing has been remembered yet.
    ///
    /// # Errors
    /// As [`ChoiceStore::open`], but that it may be in use.
    pub fn open_read_only(person: &Person) -> Result<Option<Self>, PersonError> {
        let path = person.memory();
        if !path.is_file() {
            return Ok(None);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = connect(&path, flags)?;
        if is_new(&connection).map_err(|source| PersonError::sql(&path, source))? {
            return Ok(None);
        }
        check(&connection, &path)?;
        Ok(Some(Self {
            path,
            connection,
            person: None,
        }))
    }

    /// The person, where the memory was opened to be changed.
    #[must_use]
    pub const fn person(&self) -> Option<&Person> {
        self.person.as_ref()
    }

    /// Puts a finished fork into the memory. One that is there already stays as it is.
    ///
    /// # Errors
    /// [`PersonError`]; then nothing of it is in the memory.
    pub fn remember(&mut self, choice: &Remembered) -> Result<(), PersonError> {
        let put = |connection: &mut Connection| -> Result<(), rusqlite::Error> {
            let transaction = connection.transaction()?;
            let added = transaction
                .prepare_cached(
                    "INSERT OR IGNORE INTO choice (session, fork, at_utc, context, origin, attempt, shown, outcome, chooser, why, chosen, \
                     selected, decision_s, model_sha256, taken_back, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                )?
                .execute(params![
                    choice.session,
                    choice.fork.0.cast_signed(),
                    choice.at_utc,
                    choice.context,
                    word(&choice.origin)?,
                    choice.attempt,
                    choice.shown,
                    choice.outcome.as_ref().map(word).transpose()?,
                    choice.chooser.as_ref().map(word).transpose()?,
                    json(&choice.why)?,
                    choice.chosen,
                    choice.selected,
                    choice.decision_s,
                    choice.model_sha256,
                    choice.taken_back.as_ref().map(word).transpose()?,
                    choice.state.as_deref().map(bytes_of),
                ])?;
            if added > 0 {
                let id = transaction.last_insert_rowid();
                let mut insert = transaction.prepare_cached(
                    "INSERT INTO option (choice, item, kind, text, tokens, prior, log_prob_nats, posterior, preference, embedding) \
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                )?;
                for option in &choice.options {
                    insert.execute(params![
                        id,
                        option.item,
                        word(&option.kind)?,
                        option.text,
                        json(&option.tokens)?,
                        option.prior,
                        option.log_prob_nats,
                        option.posterior,
                        option.preference,
                        option.embedding.as_deref().map(bytes_of),
                    ])?;
                }
            }
            transaction.commit()
        };
        put(&mut self.connection).map_err(|source| PersonError::sql(&self.path, source))
    }

    /// Marks a choice as taken back. One that is not in the memory is none's business.
    ///
    /// # Errors
    /// [`PersonError`]; then nothing has changed.
    pub fn take_back(&mut self, fork: &ForkName, how: TakenBack) -> Result<(), PersonError> {
        let mark = || -> Result<(), rusqlite::Error> {
            self.connection
                .prepare_cached("UPDATE choice SET taken_back = ? WHERE session = ? AND fork = ?")?
                .execute(params![
                    word(&how)?,
                    fork.session,
                    fork.fork.0.cast_signed()
                ])
                .map(|_| ())
        };
        mark().map_err(|source| PersonError::sql(&self.path, source))
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, PersonError> {
    let failed = |source| PersonError::sql(path, source);
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    Ok(connection)
}

fn pragma(connection: &Connection, name: &str) -> Result<i64, rusqlite::Error> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

/// Whether nothing was ever written into it: it was just made, or whoever made it was killed.
fn is_new(connection: &Connection) -> Result<bool, rusqlite::Error> {
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    Ok(tables == 0 && pragma(connection, "application_id")? == 0)
}

fn create(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {CREATE} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {MEMORY_VERSION}; COMMIT;"
    ))
}

/// Refuses what is not ours, or of a later version.
fn check(connection: &Connection, path: &Path) -> Result<(), PersonError> {
    let failed = |source| PersonError::sql(path, source);
    let application = pragma(connection, "application_id").map_err(failed)?;
    if application != APPLICATION_ID {
        return Err(PersonError::Foreign {
            path: path.to_owned(),
            reason: format!("its application_id is {application}, not {APPLICATION_ID}"),
        });
    }
    let version = pragma(connection, "user_version").map_err(failed)?;
    if version > i64::from(MEMORY_VERSION) {
        return Err(PersonError::TooNew {
            path: path.to_owned(),
            found: version,
            known: MEMORY_VERSION,
        });
    }
    if version < 1 {
        return Err(PersonError::Corrupt {
            path: path.to_owned(),
            reason: format!("its version is {version}"),
        });
    }
    Ok(())
}

fn not_sql(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

/// An enum whose JSON form is one word, as that word.
fn word<T: Serialize>(value: &T) -> Result<String, rusqlite::Error> {
    let json = json(value)?;
    Ok(json.trim_matches('"').to_owned())
}

fn json<T: Serialize>(value: &T) -> Result<String, rusqlite::Error> {
    serde_json::to_string(value).map_err(not_sql)
}

fn bytes_of(state: &[f32]) -> Vec<u8> {
    state.iter().flat_map(|x| x.to_le_bytes()).collect()
}
