//! The chain of hashes over all rows.

use rusqlite::types::Value;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::schema::Table;
use crate::session::digest::hex;

/// A SHA-256.
pub(super) type Hash = [u8; 32];
/// What the first row follows.
pub(super) const GENESIS: Hash = [0; 32];

/// The end of a chain: keep it apart from the ledger, and rows taken from the ledger's end are noticed too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainHead {
    /// Number of rows.
    pub rows: i64,
    /// Hash of the last row, hexadecimal.
    pub hash: String,
}

/// Where the next row joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    /// Rows so far.
    pub(super) rows: i64,
    /// Hash of the last one.
    pub(super) hash: Hash,
}

impl Link {
    pub(super) const START: Self = Self {
        rows: 0,
        hash: GENESIS,
    };

    /// The link after a row with these values was added.
    ///
    /// The hash covers the former hash, the row's number, the table's name, and for each column its name, a tag for the type of
    /// its value, and the value with its length. Floats enter with their 64 bits.
    pub(super) fn next(&self, table: &Table, values: &[Value]) -> Self {
        let n = self.rows + 1;
        let mut hasher = Sha256::new();
        hasher.update(b"razvilka ledger 1");
        hasher.update(self.hash);
        hasher.update(n.to_be_bytes());
        feed(&mut hasher, table.name.as_bytes());
        for ((column, _), value) in table.columns.iter().zip(values) {
            feed(&mut hasher, column.as_bytes());
            match value {
                Value::Null => hasher.update([0]),
                Value::Integer(number) => {
                    hasher.update([1]);
                    hasher.update(number.to_be_bytes());
                }
                Value::Real(number) => {
                    hasher.update([2]);
                    hasher.update(number.to_bits().to_be_bytes());
                }
                Value::Text(text) => {
                    hasher.update([3]);
                    feed(&mut hasher, text.as_bytes());
                }
                Value::Blob(bytes) => {
                    hasher.update([4]);
                    feed(&mut hasher, bytes);
                }
            }
        }
        Self {
            rows: n,
            hash: hasher.finalize().into(),
        }
    }

    pub(super) fn head(&self) -> ChainHead {
        ChainHead {
            rows: self.rows,
            hash: hex(&self.hash),
        }
    }
}

/// Bytes with their length before them, so that no two lists of fields read the same.
fn feed(hasher: &mut Sha256, bytes: &[u8]) {
    hasher.update((bytes.len() as u64).to_be_bytes());
    hasher.update(bytes);
}
