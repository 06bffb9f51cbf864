//! What the person wanted, for scoring only: the engine never reads it while it runs.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::fork::ForkId;

/// A file of truth that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TruthError {
    /// A line is not of the form.
    #[error("{}, line {line}: {reason}. Each line is {{\"fork\":n,\"item\":k}}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
}

/// The item the person wanted, for each fork where that is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Truth {
    wishes: BTreeMap<ForkId, i32>,
}

#[derive(Deserialize)]
struct Wish {
    fork: ForkId,
    item: i32,
}

impl Truth {
    /// Reads a file of JSON lines `{"fork":n,"item":k}`; empty lines are skipped, further keys are allowed.
    ///
    /// # Errors
    /// [`TruthError`] naming the line; a fork that is named twice with different items is refused.
    pub fn read(path: &Path) -> Result<Self, TruthError> {
        let io = |source| TruthError::Io {
            path: path.to_owned(),
            source,
        };
        let file = std::fs::File::open(path).map_err(io)?;
        let mut truth = Self::default();
        for (index, text) in std::io::BufReader::new(file).lines().enumerate() {
            let text = text.map_err(io)?;
            if text.trim().is_empty() {
                continue;
            }
            let refuse = |reason| TruthError::Line {
                path: path.to_owned(),
                line: index + 1,
                reason,
            };
            let wish: Wish =
                serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
            if let Some(former) = truth.insert(wish.fork, wish.item)
                && former != wish.item
            {
                return Err(refuse(format!(
                    "fork {} was given item {former} before",
                    wish.fork.0
                )));
            }
        }
        Ok(truth)
    }

    /// Notes a wish; returns the former one of the same fork.
    pub fn insert(&mut self, fork: ForkId, item: i32) -> Option<i32> {
        self.wishes.insert(fork, item)
    }

    /// The item wanted at a fork.
    #[must_use]
    pub fn wish(&self, fork: ForkId) -> Option<i32> {
        self.wishes.get(&fork).copied()
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Truth, TruthError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("truth.jsonl");
        std::fs::write(&path, text).unwrap();
        Truth::read(&path)
    }

    #[test]
    fn wishes_are_found_by_fork() {
        let truth =
            read("{\"fork\":3,\"item\":1}\n\n{\"fork\":5,\"item\":0,\"note\":\"x\"}\n").unwrap();
        assert_eq!(
            (
                truth.wish(ForkId(3)),
                truth.wish(ForkId(5)),
                truth.wish(ForkId(4))
            ),
            (Some(1), Some(0), None)
        );
    }

    #[test]
    fn a_bad_line_is_named() {
        let message = read("{\"fork\":3,\"item\":1}\nnonsense\n")
            .unwrap_err()
            .to_string();
        assert!(message.contains("line 2"), "{message}");
        let twice = "{\"fork\":3,\"item\":1}\n{\"fork\":3,\"item\":2}\n";
        assert!(read(twice).unwrap_err().to_string().contains("line 2"));
    }
}
