//! The memory of choices on the disk: read.

use std::ops::ControlFlow;

use rusqlite::types::ToSql;
use rusqlite::{Row, params_from_iter};
use serde::de::DeserializeOwned;

use super::error::PersonError;
use super::remembered::{Remembered, RememberedOption, Which};
use super::store::ChoiceStore;
use crate::fork::ForkId;

const COLUMNS: &str = "id, session, fork, at_utc, context, origin, attempt, shown, outcome, chooser, why, chosen, selected, decision_s, \
     model_sha256, taken_back, state";
const OPTION_COLUMNS: &str =
    "item, kind, text, tokens, prior, log_prob_nats, posterior, preference, embedding";

impl Which {
    /// The condition and its values.
    pub(super) fn clause(&self) -> (&'static str, Vec<Box<dyn ToSql>>) {
        match self {
            Self::All => ("1", Vec::new()),
            Self::Session(session) => ("session = ?", vec![Box::new(session.clone())]),
            Self::Fork(name) => (
                "session = ? AND fork = ?",
                vec![
                    Box::new(name.session.clone()),
                    Box::new(name.fork.0.cast_signed()),
                ],
            ),
            // One fixed form of dates: they sort as they follow each other.
            Self::Before(utc) => ("at_utc < ?", vec![Box::new(utc.clone())]),
        }
    }
}

impl ChoiceStore {
    /// Hands out the choices meant, oldest first, until `each` has had enough.
    ///
    /// # Errors
    /// [`PersonError::Corrupt`] for a value that cannot be read, and what else SQLite says.
    pub fn each(
        &self,
        which: &Which,
        mut each: impl FnMut(Remembered) -> ControlFlow<()>,
    ) -> Result<(), PersonError> {
        let mut read = || -> Result<(), rusqlite::Error> {
            let (clause, values) = which.clause();
            let sql = format!("SELECT {COLUMNS} FROM choice WHERE {clause} ORDER BY id");
            let mut choices = self.connection.prepare(&sql)?;
            let sql = format!("SELECT {OPTION_COLUMNS} FROM option WHERE choice = ? ORDER BY item");
            let mut options = self.connection.prepare(&sql)?;
            let mut rows = choices.query(params_from_iter(values))?;
            while let Some(row) = rows.next()? {
                let mut choice = choice_of(row)?;
                let id: i64 = row.get(0)?;
                choice.options = options
                    .query_map([id], option_of)?
                    .collect::<Result<_, _>>()?;
                if each(choice).is_break() {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(|source| match source {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..) => PersonError::Corrupt {
                path: self.path.clone(),
                reason: source.to_string(),
            },
            source => PersonError::sql(&self.path, source),
        })
    }

    /// All choices meant, oldest first.
    ///
    /// # Errors
    /// As [`ChoiceStore::each`].
    pub fn read(&self, which: &Which) -> Result<Vec<Remembered>, PersonError> {
        let mut all = Vec::new();
        self.each(which, |choice| {
            all.push(choice);
            ControlFlow::Continue(())
        })?;
        Ok(all)
    }

    /// The sessions of which choices are remembered, with how many.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn sessions(&self) -> Result<Vec<(String, u64)>, PersonError> {
        let read = || -> Result<Vec<(String, u64)>, rusqlite::Error> {
            let mut statement = self.connection.prepare(
                "SELECT session, count(*) FROM choice GROUP BY session ORDER BY min(id)",
            )?;
            let rows = statement.query_map([], |row| {
                Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()))
            })?;
            rows.collect()
        };
        read().map_err(|source| PersonError::sql(&self.path, source))
    }
}

fn choice_of(row: &Row<'_>) -> Result<Remembered, rusqlite::Error> {
    Ok(Remembered {
        session: row.get(1)?,
        fork: ForkId(row.get::<_, i64>(2)?.cast_unsigned()),
        at_utc: row.get(3)?,
        context: row.get(4)?,
        origin: word_at(row, 5)?,
        attempt: row.get(6)?,
        shown: row.get(7)?,
        outcome: maybe_word_at(row, 8)?,
        chooser: maybe_word_at(row, 9)?,
        why: json_at(row, 10)?,
        chosen: row.get(11)?,
        selected: row.get(12)?,
        decision_s: row.get(13)?,
        model_sha256: row.get(14)?,
        taken_back: maybe_word_at(row, 15)?,
        state: state_at(row, 16)?,
        options: Vec::new(),
    })
}

fn option_of(row: &Row<'_>) -> Result<RememberedOption, rusqlite::Error> {
    Ok(RememberedOption {
        item: row.get(0)?,
        kind: word_at(row, 1)?,
        text: row.get(2)?,
        tokens: json_at(row, 3)?,
        prior: row.get(4)?,
        log_prob_nats: row.get(5)?,
        posterior: row.get(6)?,
        preference: row.get(7)?,
        embedding: state_at(row, 8)?,
    })
}

fn unreadable(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}

fn json_at<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T, rusqlite::Error> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| unreadable(column, error))
}

fn word_at<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T, rusqlite::Error> {
    of_word(row.get(column)?, column)
}

fn maybe_word_at<T: DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> Result<Option<T>, rusqlite::Error> {
    let word: Option<String> = row.get(column)?;
    word.map(|word| of_word(word, column)).transpose()
}

fn of_word<T: DeserializeOwned>(word: String, column: usize) -> Result<T, rusqlite::Error> {
    serde_json::from_value(serde_json::Value::String(word))
        .map_err(|error| unreadable(column, error))
}

/// A state; its bytes that are no whole number at the end, in a file that was tampered with, are refused.
fn state_at(row: &Row<'_>, column: usize) -> Result<Option<Vec<f32>>, rusqlite::Error> {
    let Some(bytes) = row.get_ref(column)?.as_blob_or_null()? else {
        return Ok(None);
    };
    let (floats, rest) = bytes.as_chunks::<4>();
    let state: Vec<f32> = floats.iter().map(|x| f32::from_le_bytes(*x)).collect();
    if rest.is_empty() && state.iter().all(|x| x.is_finite()) {
        Ok(Some(state))
    } else {
        Err(rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Blob,
            "it is no list of finite f32".into(),
        ))
    }
}
