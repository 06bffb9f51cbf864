//! Whether a fork stands before the person, for whoever must know what a typed digit means.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::terminal::{ForkLine, View};
use crate::marker::OptionTile;

/// Shows what it is given in another view, and says whether the fork that was shown last is still open.
pub struct ForkWatch<'a> {
    view: &'a mut dyn View,
    open: Arc<AtomicBool>,
}

impl<'a> ForkWatch<'a> {
    /// Watches over `view`; `open` is true from a fork's options to its answer.
    pub fn new(view: &'a mut dyn View, open: Arc<AtomicBool>) -> Self {
        Self { view, open }
    }
}

impl View for ForkWatch<'_> {
    fn text(&mut self, piece: &str) -> io::Result<()> {
        self.view.text(piece)
    }

    fn prompt(&mut self, prompt: &str) -> io::Result<()> {
        self.view.prompt(prompt)
    }

    fn replaced(&mut self, text: &str) -> io::Result<()> {
        self.view.replaced(text)
    }

    fn asked(&mut self, fork: u64, tiles: &[OptionTile]) -> io::Result<()> {
        let shown = self.view.asked(fork, tiles);
        // Not before: what is typed until then was not typed at these options.
        self.open.store(true, Ordering::Relaxed);
        shown
    }

    fn dwell(&mut self, fork: u64, shares: &[f64]) -> io::Result<()> {
        self.view.dwell(fork, shares)
    }

    fn answered(&mut self, line: &ForkLine) -> io::Result<()> {
        self.open.store(false, Ordering::Relaxed);
        self.view.answered(line)
    }

    fn note(&mut self, note: &str) -> io::Result<()> {
        self.view.note(note)
    }

    fn status(&mut self, line: &str) -> io::Result<()> {
        self.view.status(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fork::Chooser;
    use crate::view::terminal::Terminal;

    #[test]
    fn a_fork_is_open_from_its_options_to_its_answer() {
        let mut plain = Terminal::plain(Vec::new());
        let open = Arc::new(AtomicBool::new(false));
        let mut view = ForkWatch::new(&mut plain, Arc::clone(&open));
        view.text("Mira ").unwrap();
        assert!(!open.load(Ordering::Relaxed));
        view.asked(0, &[]).unwrap();
        view.note("a key asked for option 7, which is not there")
            .unwrap();
        assert!(open.load(Ordering::Relaxed));
        view.answered(&ForkLine {
            fork: 0,
            options: Vec::new(),
            taken: None,
            chooser: Chooser::Model,
            ending: "declined: time ran out".into(),
            seconds: 12.0,
            evidence: (0, 0),
        })
        .unwrap();
        assert!(!open.load(Ordering::Relaxed));
        let shown = String::from_utf8(plain.into_inner()).unwrap();
        assert!(shown.starts_with("Mira ") && shown.contains("time ran out"));
    }
}
