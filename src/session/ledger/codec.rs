//! Values to columns and back, in the order of the table's columns.

use rusqlite::types::Value;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::LedgerError;
use super::schema::Table;
use crate::fork::MAX_OPTIONS;

/// Gathers the values of one row, column after column.
pub(super) struct Fields {
    table: &'static Table,
    values: Vec<Value>,
}

impl Fields {
    pub(super) fn new(table: &'static Table) -> Self {
        Self {
            table,
            values: Vec::with_capacity(table.columns.len()),
        }
    }

    fn push(mut self, value: Value) -> Self {
        self.values.push(value);
        self
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.push(Value::Text(text.to_owned()))
    }

    pub(super) fn maybe_text(self, text: Option<&str>) -> Self {
        self.push(text.map_or(Value::Null, |text| Value::Text(text.to_owned())))
    }

    pub(super) fn flag(self, flag: bool) -> Self {
        self.push(Value::Integer(i64::from(flag)))
    }

    /// A count or a number without sign; its 64 bits are kept, read as signed.
    pub(super) fn count(self, count: u64) -> Self {
        self.push(Value::Integer(count.cast_signed()))
    }

    pub(super) fn maybe_count(self, count: Option<u64>) -> Self {
        self.push(count.map_or(Value::Null, |count| Value::Integer(count.cast_signed())))
    }

    pub(super) fn item(self, item: i32) -> Self {
        self.push(Value::Integer(i64::from(item)))
    }

    pub(super) fn maybe_item(self, item: Option<i32>) -> Self {
        self.push(item.map_or(Value::Null, |item| Value::Integer(i64::from(item))))
    }

    /// A float. SQLite has no NaN (kept as NULL) and keeps whole numbers as integers, without the sign of -0: both are made so
    /// here, before the hash is taken.
    pub(super) fn real(self, number: f64) -> Self {
        self.push(if number.is_nan() {
            Value::Null
        } else {
            Value::Real(number + 0.0)
        })
    }

    pub(super) fn maybe_real(self, number: Option<f64>) -> Self {
        match number {
            Some(number) => self.real(number),
            None => self.push(Value::Null),
        }
    }

    /// Anything with a JSON form, as JSON text.
    pub(super) fn json<T: Serialize>(self, value: &T) -> Result<Self, LedgerError> {
        let text = serde_json::to_string(value).map_err(|error| self.malformed(error))?;
        Ok(self.push(Value::Text(text)))
    }

    pub(super) fn maybe_json<T: Serialize>(self, value: Option<&T>) -> Result<Self, LedgerError> {
        match value {
            Some(value) => self.json(value),
            None => Ok(self.push(Value::Null)),
        }
    }

    /// An enum whose JSON form is one word, as that word.
    pub(super) fn word<T: Serialize>(self, value: &T) -> Result<Self, LedgerError> {
        match serde_json::to_value(value) {
            Ok(serde_json::Value::String(word)) => Ok(self.push(Value::Text(word))),
            Ok(other) => Err(self.malformed(format!("{other} is not one word"))),
            Err(error) => Err(self.malformed(error)),
        }
    }

    pub(super) fn maybe_word<T: Serialize>(self, value: Option<&T>) -> Result<Self, LedgerError> {
        match value {
            Some(value) => self.word(value),
            None => Ok(self.push(Value::Null)),
        }
    }

    /// The values; there is one for each column.
    pub(super) fn finish(self) -> Vec<Value> {
        debug_assert_eq!(self.values.len(), self.table.columns.len());
        self.values
    }

    fn malformed(&self, reason: impl std::fmt::Display) -> LedgerError {
        malformed(self.table, self.values.len(), 0, reason)
    }
}

/// Hands out the values of one row, column after column.
pub(super) struct Columns<'a> {
    table: &'static Table,
    n: i64,
    values: &'a [Value],
    next: usize,
}

impl<'a> Columns<'a> {
    pub(super) const fn new(table: &'static Table, n: i64, values: &'a [Value]) -> Self {
        Self {
            table,
            n,
            values,
            next: 0,
        }
    }

    fn take(&mut self) -> &'a Value {
        let value = self.values.get(self.next).unwrap_or(&Value::Null);
        self.next += 1;
        value
    }

    /// An error about the column that was taken last.
    pub(super) fn malformed(&self, reason: impl std::fmt::Display) -> LedgerError {
        malformed(self.table, self.next.saturating_sub(1), self.n, reason)
    }

    pub(super) fn maybe_text(&mut self) -> Result<Option<&'a str>, LedgerError> {
        match self.take() {
            Value::Text(text) => Ok(Some(text)),
            Value::Null => Ok(None),
            other => Err(self.malformed(format!("{other:?} is not text"))),
        }
    }

    pub(super) fn text(&mut self) -> Result<&'a str, LedgerError> {
        self.maybe_text()?
            .ok_or_else(|| self.malformed("it is empty"))
    }

    fn maybe_integer(&mut self) -> Result<Option<i64>, LedgerError> {
        match self.take() {
            Value::Integer(number) => Ok(Some(*number)),
            Value::Null => Ok(None),
            other => Err(self.malformed(format!("{other:?} is not an integer"))),
        }
    }

    pub(super) fn maybe_count(&mut self) -> Result<Option<u64>, LedgerError> {
        Ok(self.maybe_integer()?.map(i64::cast_unsigned))
    }

    pub(super) fn count(&mut self) -> Result<u64, LedgerError> {
        self.maybe_count()?
            .ok_or_else(|| self.malformed("it is empty"))
    }

    pub(super) fn maybe_item(&mut self) -> Result<Option<i32>, LedgerError> {
        self.maybe_integer()?
            .map(|number| i32::try_from(number).map_err(|error| self.malformed(error)))
            .transpose()
    }

    pub(super) fn item(&mut self) -> Result<i32, LedgerError> {
        self.maybe_item()?
            .ok_or_else(|| self.malformed("it is empty"))
    }

    /// A float; NULL is `None`.
    pub(super) fn maybe_real(&mut self) -> Result<Option<f64>, LedgerError> {
        match self.take() {
            Value::Real(number) => Ok(Some(*number)),
            Value::Null => Ok(None),
            other => Err(self.malformed(format!("{other:?} is not a float"))),
        }
    }

    /// A float; NULL is NaN.
    pub(super) fn real(&mut self) -> Result<f64, LedgerError> {
        Ok(self.maybe_real()?.unwrap_or(f64::NAN))
    }

    pub(super) fn json<T: DeserializeOwned>(&mut self) -> Result<T, LedgerError> {
        let text = self.text()?;
        serde_json::from_str(text).map_err(|error| self.malformed(error))
    }

    pub(super) fn maybe_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, LedgerError> {
        self.maybe_text()?
            .map(|text| serde_json::from_str(text).map_err(|error| self.malformed(error)))
            .transpose()
    }

    pub(super) fn maybe_word<T: DeserializeOwned>(&mut self) -> Result<Option<T>, LedgerError> {
        self.maybe_text()?
            .map(|word| {
                serde_json::from_value(serde_json::Value::String(word.to_owned()))
                    .map_err(|error| self.malformed(error))
            })
            .transpose()
    }

    pub(super) fn word<T: DeserializeOwned>(&mut self) -> Result<T, LedgerError> {
        self.maybe_word()?
            .ok_or_else(|| self.malformed("it is empty"))
    }
}

fn malformed(
    table: &'static Table,
    column: usize,
    n: i64,
    reason: impl std::fmt::Display,
) -> LedgerError {
    LedgerError::Malformed {
        n,
        table: table.name,
        column: table.columns.get(column).map_or("", |(name, _)| name),
        reason: reason.to_string(),
    }
}

/// A float as JSON that has no room for values that are not finite: those become words.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Exact {
    Finite(f64),
    Word(String),
}

/// One float per option, exact in every bit but the payload of a NaN. Zeros at the end are left out.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct ExactList(Vec<Exact>);

impl From<&[f64; MAX_OPTIONS]> for ExactList {
    fn from(values: &[f64; MAX_OPTIONS]) -> Self {
        let used = values
            .iter()
            .rposition(|value| value.to_bits() != 0)
            .map_or(0, |last| last + 1);
        Self(
            values
                .iter()
                .take(used)
                .map(|&value| {
                    if value.is_finite() {
                        Exact::Finite(value)
                    } else {
                        Exact::Word(value.to_string())
                    }
                })
                .collect(),
        )
    }
}

impl ExactList {
    /// The values; `None` when there are too many or a word is no float.
    pub(super) fn values(&self) -> Option<[f64; MAX_OPTIONS]> {
        let mut values = [0.0; MAX_OPTIONS];
        if self.0.len() > values.len() {
            return None;
        }
        for (value, exact) in values.iter_mut().zip(&self.0) {
            *value = match exact {
                Exact::Finite(value) => *value,
                Exact::Word(word) => word.parse().ok()?,
            };
        }
        Some(values)
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lists_of_floats_come_back_bit_for_bit(bits: [u64; MAX_OPTIONS]) {
            let values = bits.map(f64::from_bits);
            let json = serde_json::to_string(&ExactList::from(&values)).unwrap();
            let back = serde_json::from_str::<ExactList>(&json).unwrap().values().unwrap();
            for (value, back) in values.iter().zip(back) {
                prop_assert!(value.to_bits() == back.to_bits() || value.is_nan() && back.is_nan());
            }
        }
    }

    #[test]
    fn values_that_are_not_finite_and_negative_zero_come_back() {
        let values = [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            -0.0,
            5e-324,
            0.1,
            0.0,
            0.0,
        ];
        let json = serde_json::to_string(&ExactList::from(&values)).unwrap();
        assert_eq!(json, r#"["NaN","inf","-inf",-0.0,5e-324,0.1]"#);
        let back = serde_json::from_str::<ExactList>(&json)
            .unwrap()
            .values()
            .unwrap();
        assert!(back[0].is_nan());
        assert_eq!(back[1..], values[1..]);
        assert!(back[3].is_sign_negative());
    }
}
