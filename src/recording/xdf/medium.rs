//! What a recording is written onto.

use std::{
    fs::File,
    io::{self, Write},
};

/// Where a [`super::Writer`] writes to.
pub trait Medium: Write {
    /// Forces what was written onto the disk.
    ///
    /// # Errors
    /// What the system says.
    fn persist(&mut self) -> io::Result<()>;

    /// Cuts everything from `length` bytes on, to take back a half-written chunk.
    ///
    /// # Errors
    /// What the system says; the file then ends with half a chunk, which recover mode copes with.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Medium for File {
    fn persist(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

impl Medium for Vec<u8> {
    fn persist(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(())
    }
}

impl<M: Medium + ?Sized> Medium for Box<M> {
    fn persist(&mut self) -> io::Result<()> {
        (**self).persist()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        (**self).cut(length)
    }
}
