//! `text.txt`: the text as it grows.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::folder::{create_private, replace_atomically};

/// Text older than this is on the disk, not only with the operating system.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// The text of a session, in a file that at every moment holds what was committed.
///
/// Each piece is handed to the operating system before [`TextFile::append`] returns, so it survives the death of this process;
/// it is forced to the disk at least once a second while text is written, so that a power failure costs at most that.
#[derive(Debug)]
pub struct TextFile {
    path: PathBuf,
    file: File,
    text: String,
    synced: Instant,
}

impl TextFile {
    /// Creates the file (0600); it must not exist.
    ///
    /// # Errors
    /// The I/O error.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: create_private(path)?,
            text: String::new(),
            synced: Instant::now(),
        })
    }

    /// Adds a piece at the end, or nothing of it when it cannot be written whole.
    ///
    /// # Errors
    /// The I/O error: a full disk, most likely; the next piece may be tried. When only forcing it to the disk failed, the piece
    /// is in the file and in [`TextFile::as_str`].
    pub fn append(&mut self, piece: &str) -> io::Result<()> {
        let written = self.file.write_all(piece.as_bytes());
        if let Err(error) = written {
            // A part of the piece may stand in the file: cut it off, so that no half character stays.
            self.file.set_len(self.text.len() as u64)?;
            return Err(error);
        }
        self.text.push_str(piece);
        if self.synced.elapsed() >= SYNC_EVERY {
            self.sync()?;
        }
        Ok(())
    }

    /// Makes `text` the whole text, after an undo. The file holds either the old or the new text, never a mixture.
    ///
    /// # Errors
    /// The I/O error; the old text stays.
    pub fn replace(&mut self, text: &str) -> io::Result<()> {
        if self.text.starts_with(text) {
            self.file.set_len(text.len() as u64)?;
        } else {
            replace_atomically(&self.path, text.as_bytes())?;
            self.file = File::options().append(true).open(&self.path)?;
        }
        self.text.clear();
        self.text.push_str(text);
        self.sync()
    }

    /// Forces the text to the disk.
    ///
    /// # Errors
    /// The I/O error.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.synced = Instant::now();
        Ok(())
    }

    /// The text so far.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Reads the text of a session; what a crash may have left of half a character is dropped.
    ///
    /// # Errors
    /// The I/O error.
    pub fn read(path: &Path) -> io::Result<String> {
        let mut bytes = Vec::new();
        File::open(path)?.read_to_end(&mut bytes)?;
        let whole = match std::str::from_utf8(&bytes) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        bytes.truncate(whole);
        String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_the_text_after_every_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.txt");
        let mut text = TextFile::create(&path).unwrap();
        for (step, whole) in [("The fox ", "The fox "), ("saw лису.", "The fox saw лису.")]
        {
            text.append(step).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
        }
        text.replace("The fox ").unwrap();
        text.append("slept.").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "The fox slept.");
        text.replace("A hen").unwrap();
        text.append(" ran.").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "A hen ran.");
        assert_eq!(text.as_str(), "A hen ran.");
    }

    #[test]
    fn half_a_character_at_the_end_is_dropped_when_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.txt");
        std::fs::write(&path, "лис".as_bytes().get(..5).unwrap()).unwrap();
        assert_eq!(TextFile::read(&path).unwrap(), "ли");
    }

    #[test]
    fn an_existing_text_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.txt");
        std::fs::write(&path, "precious").unwrap();
        assert!(TextFile::create(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
