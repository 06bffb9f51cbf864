//! Choices as a table of Apache Parquet: one option a row, beside what is known of its choice.
//!
//! Not compressed: text and states compress little, and each codec is one more dependency.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::Type as Physical;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use serde::Serialize;

use crate::session::person::{Remembered, RememberedOption};

/// Options of a row group: some megabytes with states.
const GROUP_ROWS: usize = 8_192;

const COLUMNS: &str = "message choices {
    optional binary session (STRING);
    optional int64 fork;
    optional binary at_utc (STRING);
    optional binary context (STRING);
    optional binary origin (STRING);
    optional int64 attempt;
    optional boolean shown;
    optional binary outcome (STRING);
    optional binary chooser (STRING);
    optional binary why (STRING);
    optional double decision_s;
    optional binary model_sha256 (STRING);
    optional binary taken_back (STRING);
    optional int64 item;
    optional binary kind (STRING);
    optional binary text (STRING);
    optional binary tokens (STRING);
    optional double prior;
    optional double log_prob_nats;
    optional double posterior;
    optional double preference;
    optional boolean chosen;
    optional boolean selected;
    optional binary state;
    optional binary embedding;
}";

/// A table that is being written.
pub(super) struct Table<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    states: bool,
    columns: Vec<Column>,
    rows: usize,
}

/// The values of one column that wait for their row group.
#[derive(Debug)]
enum Column {
    Bytes(Vec<Option<ByteArray>>),
    Integers(Vec<Option<i64>>),
    Reals(Vec<Option<f64>>),
    Flags(Vec<Option<bool>>),
}

/// One value on its way to its column.
enum Cell {
    Bytes(Option<ByteArray>),
    Integer(Option<i64>),
    Real(Option<f64>),
    Flag(bool),
}

impl<W: Write + Send> Table<W> {
    /// Begins a table; with the model's states, or with empty columns in their place.
    pub(super) fn create(sink: W, states: bool) -> Result<Self> {
        let schema = Arc::new(parse_message_type(COLUMNS)?);
        let columns = schema
            .get_fields()
            .iter()
            .map(|field| match field.get_physical_type() {
                Physical::INT64 => Column::Integers(Vec::new()),
                Physical::DOUBLE => Column::Reals(Vec::new()),
                Physical::BOOLEAN => Column::Flags(Vec::new()),
                _ => Column::Bytes(Vec::new()),
            })
            .collect();
        let properties = Arc::new(WriterProperties::builder().build());
        Ok(Self {
            writer: SerializedFileWriter::new(sink, schema, properties)?,
            states,
            columns,
            rows: 0,
        })
    }

    /// Adds the options of a choice.
    pub(super) fn add(&mut self, choice: &Remembered) -> Result<()> {
        for option in &choice.options {
            let cells = cells(choice, option, self.states)?;
            for (column, cell) in self.columns.iter_mut().zip(cells) {
                column.push(cell)?;
            }
            self.rows += 1;
        }
        if self.rows >= GROUP_ROWS {
            self.write_group()?;
        }
        Ok(())
    }

    fn write_group(&mut self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        self.rows = 0;
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            column.write(&mut group)?;
        }
        group.close().map(|_| ())
    }

    /// Writes what waits, and the footer, without which nobody can read the table.
    pub(super) fn finish(mut self) -> Result<()> {
        self.write_group()?;
        self.writer.close().map(|_| ())
    }
}

impl Column {
    fn push(&mut self, cell: Cell) -> Result<()> {
        match (self, cell) {
            (Self::Bytes(values), Cell::Bytes(value)) => values.push(value),
            (Self::Integers(values), Cell::Integer(value)) => values.push(value),
            (Self::Reals(values), Cell::Real(value)) => values.push(value),
            (Self::Flags(values), Cell::Flag(value)) => values.push(Some(value)),
            _ => {
                return Err(ParquetError::General(
                    "a value does not fit its column".to_owned(),
                ));
            }
        }
        Ok(())
    }

    fn write<W: Write + Send>(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<()> {
        match self {
            Self::Bytes(values) => put::<ByteArrayType, W>(values, group),
            Self::Integers(values) => put::<Int64Type, W>(values, group),
            Self::Reals(values) => put::<DoubleType, W>(values, group),
            Self::Flags(values) => put::<BoolType, W>(values, group),
        }
    }
}

/// Writes the next column of a row group, and empties what was gathered for it.
fn put<D: DataType, W: Write + Send>(
    values: &mut Vec<Option<D::T>>,
    group: &mut SerializedRowGroupWriter<'_, W>,
) -> Result<()> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General(
            "a column too many for the table".to_owned(),
        ));
    };
    let there: Vec<i16> = values.iter().map(|value| value.is_some().into()).collect();
    let values: Vec<D::T> = values.drain(..).flatten().collect();
    column
        .typed::<D>()
        .write_batch(&values, Some(&there), None)?;
    column.close()
}

/// A row, in the order of [`COLUMNS`].
fn cells(choice: &Remembered, option: &RememberedOption, states: bool) -> Result<[Cell; 25]> {
    let text = |text: &str| Cell::Bytes(Some(ByteArray::from(text)));
    let floats = |state: Option<&Vec<f32>>| {
        let state = state.filter(|_| states);
        let bytes = |state: &Vec<f32>| {
            state
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect::<Vec<_>>()
        };
        Cell::Bytes(state.map(|state| ByteArray::from(bytes(state))))
    };
    Ok([
        text(&choice.session),
        Cell::Integer(Some(choice.fork.0.cast_signed())),
        text(&choice.at_utc),
        text(&choice.context),
        word(Some(&choice.origin))?,
        Cell::Integer(Some(choice.attempt.into())),
        Cell::Flag(choice.shown),
        word(choice.outcome.as_ref())?,
        word(choice.chooser.as_ref())?,
        text(&json(&choice.why)?),
        Cell::Real(choice.decision_s),
        text(&choice.model_sha256),
        word(choice.taken_back.as_ref())?,
        Cell::Integer(Some(option.item.into())),
        word(Some(&option.kind))?,
        text(&option.text),
        text(&json(&option.tokens)?),
        Cell::Real(Some(option.prior)),
        Cell::Real(option.log_prob_nats),
        Cell::Real(option.posterior),
        Cell::Real(option.preference),
        Cell::Flag(choice.chosen == Some(option.item)),
        Cell::Flag(choice.selected == Some(option.item)),
        floats(choice.state.as_ref()),
        floats(option.embedding.as_ref()),
    ])
}

fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| ParquetError::External(Box::new(error)))
}

/// An enum whose JSON form is one word, as that word.
fn word<T: Serialize>(value: Option<&T>) -> Result<Cell> {
    let word = value.map(json).transpose()?;
    Ok(Cell::Bytes(
        word.map(|word| ByteArray::from(word.trim_matches('"'))),
    ))
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Row;

    use super::*;
    use crate::choice::Why;
    use crate::fork::{Chooser, ForkId, ForkOrigin};
    use crate::marker::OptionKind;

    fn read(path: &std::path::Path) -> Vec<Row> {
        let file = std::fs::File::open(path).unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        let rows = reader.get_row_iter(None).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    fn choice(fork: u64) -> Remembered {
        let option = |item: i32| RememberedOption {
            item,
            kind: OptionKind::Branch,
            text: format!("вариант {item} of {fork}"),
            tokens: vec![1, 2],
            prior: 0.5,
            log_prob_nats: None,
            posterior: Some(0.25),
            preference: None,
            embedding: Some(vec![1.5, -2.0]),
        };
        Remembered {
            session: "s".into(),
            fork: ForkId(fork),
            at_utc: "2026-11-28T10:00:00.000Z".into(),
            context: "Once".into(),
            origin: ForkOrigin::Called,
            attempt: 2,
            shown: true,
            outcome: None,
            chooser: Some(Chooser::Human),
            why: Why::Selected,
            chosen: Some(1),
            selected: Some(1),
            decision_s: Some(0.5),
            model_sha256: "ab".into(),
            taken_back: None,
            state: None,
            options: (0..3).map(option).collect(),
        }
    }

    #[test]
    fn a_table_has_one_row_for_each_option_over_several_groups() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("choices.parquet");
        let forks = (GROUP_ROWS / 3 + 5) as u64;
        let mut table = Table::create(std::fs::File::create(&path).unwrap(), true).unwrap();
        for fork in 0..forks {
            table.add(&choice(fork)).unwrap();
        }
        table.finish().unwrap();
        let rows = read(&path);
        assert_eq!(rows.len() as u64, 3 * forks);
        let (first, last) = (rows[0].to_string(), rows[rows.len() - 2].to_string());
        for part in [
            "session: \"s\"",
            "fork: 0",
            "origin: \"called\"",
            "text: \"вариант 0 of 0\"",
            "chosen: false",
            "outcome: null",
            "state: null",
        ] {
            assert!(first.contains(part), "{part}: {first}");
        }
        for part in [
            &format!("fork: {}", forks - 1)[..],
            "item: 1",
            "chosen: true",
            "selected: true",
            "tokens: \"[1,2]\"",
            "posterior: 0.25",
        ] {
            assert!(last.contains(part), "{part}: {last}");
        }
        assert_eq!(rows[1].len(), 25);
    }
}
