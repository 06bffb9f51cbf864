//! The session in a terminal: the text as it grows on stdout, each fork with its options and how it was taken.
//!
//! Text of a model is foreign text: control characters are shown, never obeyed.

use std::io::{self, IsTerminal, Write};

use super::beneath::StatusPlace;
use crate::fork::Chooser;
use crate::marker::{OptionKind, OptionTile};

/// How one fork ended, for people.
#[derive(Debug, Clone)]
pub struct ForkLine {
    /// Number of the fork in the session.
    pub fork: u64,
    /// Its options as offered, with the posterior of each.
    pub options: Vec<(OptionTile, f64)>,
    /// The item that was taken.
    pub taken: Option<usize>,
    /// Who took it.
    pub chooser: Chooser,
    /// What the fork ended with, in words, e.g. `committed` or `declined: time ran out`.
    pub ending: String,
    /// Seconds from opening to decision.
    pub seconds: f64,
    /// Flashes and gaze updates that the gate was given.
    pub evidence: (u32, u32),
}

/// A view of a session. The terminal is one; a window is another.
pub trait View {
    /// Text was added.
    fn text(&mut self, piece: &str) -> io::Result<()>;
    /// A text begins with this, which nobody wrote.
    fn prompt(&mut self, prompt: &str) -> io::Result<()> {
        self.text(prompt)
    }
    /// The whole text was replaced, after an undo or a call some words back.
    fn replaced(&mut self, text: &str) -> io::Result<()>;
    /// A fork opened.
    fn asked(&mut self, fork: u64, tiles: &[OptionTile]) -> io::Result<()>;
    /// How far each option of the open fork has come by gaze, 0..=1: what fills a tile while it is looked at. Some 25 times a second; a view
    /// that cannot show it leaves it.
    fn dwell(&mut self, _fork: u64, _shares: &[f64]) -> io::Result<()> {
        Ok(())
    }
    /// A fork ended.
    fn answered(&mut self, line: &ForkLine) -> io::Result<()>;
    /// Something the person or the operator should know.
    fn note(&mut self, note: &str) -> io::Result<()>;
    /// How the session stands, one line that replaces the one before; twice a second, and an empty one when it is over. A view that has no place for it leaves it.
    fn status(&mut self, _line: &str) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to stdout; colours only when it is a terminal.
pub struct Terminal<W: Write> {
    out: W,
    colour: bool,
    column: usize,
    width: usize,
    status: StatusPlace,
}

impl Terminal<io::Stdout> {
    /// A view on this process's stdout; how the session stands is shown where stderr is a terminal.
    #[must_use]
    pub fn stdout() -> Self {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            out: io::stdout(),
            colour,
            column: 0,
            width: 100,
            status: StatusPlace::of_this_process(),
        }
    }
}

impl<W: Write> Terminal<W> {
    /// A plain view on any writer, for tests and files.
    #[must_use]
    pub fn plain(out: W) -> Self {
        Self {
            out,
            colour: false,
            column: 0,
            width: 100,
            status: StatusPlace::Nowhere,
        }
    }

    /// The writer.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Writes all of it at once, as the person waits for it; a status beneath stays there.
    fn put(&mut self, text: &str) -> io::Result<()> {
        let text = self.status.around(text);
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// A whole line of its own.
    fn put_line(&mut self, line: &str) -> io::Result<()> {
        let begin = if self.column > 0 { "\n" } else { "" };
        self.column = 0;
        self.put(&format!("{begin}{line}\n"))
    }

    /// Writes running text, breaking lines between words.
    fn run(&mut self, piece: &str) -> io::Result<()> {
        let laid = self.laid(piece);
        self.put(&laid)
    }

    fn laid(&mut self, piece: &str) -> String {
        let mut laid = String::with_capacity(piece.len() + piece.len() / self.width + 1);
        for (number, line) in piece.split('\n').enumerate() {
            if number > 0 {
                laid.push('\n');
                self.column = 0;
            }
            self.lay_line(line, &mut laid);
        }
        laid
    }

    fn lay_line(&mut self, piece: &str, laid: &mut String) {
        for word in safe(piece).split_inclusive(' ') {
            let length = word.chars().count();
            if self.column > 0 && self.column + length > self.width {
                laid.push('\n');
                self.column = 0;
            }
            let word = if self.column == 0 {
                word.trim_start()
            } else {
                word
            };
            laid.push_str(word);
            self.column += word.chars().count();
        }
    }
}

/// Foreign text with its control characters made visible; line breaks become spaces.
#[must_use]
pub fn safe(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

impl<W: Write> View for Terminal<W> {
    fn text(&mut self, piece: &str) -> io::Result<()> {
        self.run(piece)
    }

    fn prompt(&mut self, prompt: &str) -> io::Result<()> {
        let laid = self.laid(prompt);
        let painted = self.painted("2", &laid);
        self.put(&painted)
    }

    fn replaced(&mut self, text: &str) -> io::Result<()> {
        if self.column > 0 {
            self.column = 0;
            self.put("\n")?;
        }
        let tail: Vec<_> = text.split_inclusive(' ').rev().take(12).collect();
        let tail: String = tail.into_iter().rev().collect();
        let cut = if tail.len() < text.len() { "… " } else { "" };
        self.run(&format!("{cut}{tail}"))
    }

    fn asked(&mut self, fork: u64, tiles: &[OptionTile]) -> io::Result<()> {
        let options: Vec<_> = tiles
            .iter()
            .map(|tile| format!("{} {}", tile.item, quoted(tile)))
            .collect();
        let head = self.painted("1", &format!("  fork {fork}"));
        self.put_line(&format!("{head}  {}", options.join("   ")))
    }

    fn answered(&mut self, line: &ForkLine) -> io::Result<()> {
        let taken = line.taken.and_then(|item| line.options.get(item));
        let what = taken.map_or_else(
            || line.ending.clone(),
            |(tile, posterior)| {
                // What the model took has no posterior: the gate did not choose it.
                if line.chooser == Chooser::Human && posterior.is_finite() {
                    format!("{} (p = {posterior:.2})", quoted(tile))
                } else {
                    quoted(tile)
                }
            },
        );
        let who = match line.chooser {
            Chooser::Human => self.painted("32", "person"),
            Chooser::Imitator => self.painted("36", "imitator"),
            Chooser::Model => self.painted("33", "model"),
        };
        let (flashes, looks) = line.evidence;
        let ending = if line.taken.is_some() && line.ending != "committed" {
            format!(", {}", line.ending)
        } else {
            String::new()
        };
        self.put_line(&format!(
            "    -> {who}: {what}{ending}   {:.2} s, {flashes} flashes, {looks} gaze updates",
            line.seconds
        ))
    }

    fn note(&mut self, note: &str) -> io::Result<()> {
        let note = self.painted("2", &safe(note));
        self.put_line(&format!("  {note}"))
    }

    fn status(&mut self, line: &str) -> io::Result<()> {
        if self.status.say(&safe(line)) {
            self.put("")?;
        }
        Ok(())
    }
}

fn quoted(tile: &OptionTile) -> String {
    match tile.kind {
        OptionKind::Branch => format!("“{}”", safe(&tile.text)),
        _ => format!("[{}]", safe(&tile.text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(item: i32, kind: OptionKind, text: &str) -> OptionTile {
        OptionTile {
            item,
            kind,
            text: text.into(),
            x_deg: 0.0,
            y_deg: 0.0,
            w_deg: 1.0,
            h_deg: 1.0,
        }
    }

    #[test]
    fn a_fork_is_shown_with_options_chooser_and_evidence() {
        let mut view = Terminal::plain(Vec::new());
        let tiles = [
            tile(0, OptionKind::Branch, "found a key"),
            tile(1, OptionKind::Other, "other"),
        ];
        view.text("Mira").unwrap();
        view.asked(3, &tiles).unwrap();
        let line = ForkLine {
            fork: 3,
            options: tiles.into_iter().zip([0.97, 0.03]).collect(),
            taken: Some(0),
            chooser: Chooser::Human,
            ending: "committed".into(),
            seconds: 1.5,
            evidence: (9, 4),
        };
        view.answered(&line).unwrap();
        let shown = String::from_utf8(view.into_inner()).unwrap();
        assert_eq!(
            shown,
            "Mira\n  fork 3  0 “found a key”   1 [other]\n    -> person: “found a key” (p = 0.97)   1.50 s, 9 flashes, 4 gaze updates\n"
        );
    }

    #[test]
    fn a_prompt_is_text_that_stands_apart_by_its_colour_alone() {
        let mut plain = Terminal::plain(Vec::new());
        let mut coloured = Terminal {
            colour: true,
            ..Terminal::plain(Vec::new())
        };
        for view in [&mut plain, &mut coloured] {
            view.prompt("Once upon").unwrap();
            view.text(" a time").unwrap();
        }
        let shown = |view: Terminal<Vec<u8>>| String::from_utf8(view.into_inner()).unwrap();
        assert_eq!(shown(plain), "Once upon a time");
        assert_eq!(shown(coloured), "\u{1b}[2mOnce upon\u{1b}[0m a time");
    }

    #[test]
    fn text_goes_out_in_one_write_however_many_words_and_lines_it_has() {
        #[derive(Default)]
        struct Writes(Vec<String>);
        impl Write for Writes {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.push(String::from_utf8(bytes.to_vec()).unwrap());
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut view = Terminal::plain(Writes::default());
        let piece = format!("{}\n\nthe end", "nine and a ".repeat(11).trim_end());
        view.text(&piece).unwrap();
        view.text(" of it").unwrap();
        let wrapped = format!("{}\nnine and a", "nine and a ".repeat(9));
        assert_eq!(
            view.into_inner().0,
            [&*format!("{wrapped} nine and a\n\nthe end"), " of it"]
        );
    }

    #[test]
    fn escape_sequences_in_foreign_text_are_not_obeyed() {
        let mut view = Terminal::plain(Vec::new());
        view.text("a\x1b[2Jb\u{7}").unwrap();
        assert_eq!(
            String::from_utf8(view.into_inner()).unwrap(),
            "a\u{fffd}[2Jb\u{fffd}"
        );
    }
}
