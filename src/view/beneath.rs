//! Where the line that says how the session stands goes: beneath the running text where both share a terminal, a line of its own on stderr where
//! the text goes elsewhere, nowhere without a terminal.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Characters where the terminal does not say how wide it is.
const WIDTH: usize = 80;
/// Erases from the cursor to the end of the screen.
const ERASE: &str = "\x1b[J";

/// Where the line goes.
#[derive(Debug)]
pub(super) enum StatusPlace {
    /// There is no terminal.
    Nowhere,
    /// Beneath the cursor of the terminal that has the text as well.
    Beneath(Beneath),
    /// On stderr, which has the line to itself.
    Stderr(ProgressBar),
}

impl StatusPlace {
    /// As stdout and stderr of this process are. A terminal that knows no commands gets none.
    pub(super) fn of_this_process() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
        match (io::stdout().is_terminal(), io::stderr().is_terminal()) {
            (_, false) => Self::Nowhere,
            (true, true) if dumb => Self::Nowhere,
            (true, true) => Self::Beneath(Beneath::default()),
            (false, true) => {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
                    bar.set_style(style);
                }
                Self::Stderr(bar)
            }
        }
    }

    /// Takes a new line, an empty one for none; `true` when it has to be written along with the text.
    pub(super) fn say(&mut self, line: &str) -> bool {
        match self {
            Self::Nowhere => false,
            Self::Stderr(bar) if line.is_empty() => {
                bar.finish_and_clear();
                false
            }
            Self::Stderr(bar) => {
                bar.set_message(line.to_owned());
                bar.tick();
                false
            }
            Self::Beneath(beneath) => beneath.say(line, width()),
        }
    }

    /// The text, with what keeps the line beneath it.
    pub(super) fn around(&mut self, text: &str) -> String {
        match self {
            Self::Beneath(Beneath { line, shown }) if !line.is_empty() => {
                *shown = true;
                // Erased before the text may run into it. Then: room for a line beneath the cursor without moving it sideways (index,
                // reverse index), the cursor kept, the line, the cursor again. VT100, which every terminal knows.
                format!("{ERASE}{text}\x1bD\x1bM\x1b7\x1bD\r\x1b[2m{line}\x1b[0m\x1b[K\x1b8")
            }
            Self::Beneath(Beneath { shown, .. }) if *shown => {
                *shown = false;
                format!("{ERASE}{text}")
            }
            _ => text.to_owned(),
        }
    }
}

/// A line beneath the text.
#[derive(Debug, Default)]
pub(super) struct Beneath {
    line: String,
    /// Whether it stands on the screen.
    shown: bool,
}

impl Beneath {
    fn say(&mut self, line: &str, width: usize) -> bool {
        // One short of the width: a full line would make the terminal begin another one.
        let line: String = line.chars().take(width.saturating_sub(1)).collect();
        let new = line != self.line;
        self.line = line;
        new
    }
}

impl Drop for Beneath {
    fn drop(&mut self) {
        if self.shown {
            let mut terminal = io::stderr();
            let _ = terminal.write_all(ERASE.as_bytes());
            let _ = terminal.flush();
        }
    }
}

/// Characters in a line of the terminal.
fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stderr());
    let width = size.map_or(0, |size| usize::from(size.ws_col));
    if width == 0 { WIDTH } else { width }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_nothing_is_said_and_the_text_is_as_it_was() {
        let mut place = StatusPlace::Nowhere;
        assert!(!place.say("writes"));
        assert_eq!(place.around("a text"), "a text");
        // Tests have no terminal on stderr, or the harness takes it; either way it is decided without a panic.
        let _ = StatusPlace::of_this_process();
    }

    #[test]
    fn the_line_stands_beneath_the_text_and_never_in_it() {
        let mut place = StatusPlace::Beneath(Beneath::default());
        assert_eq!(place.around("She "), "She ", "nothing was said yet");
        assert!(place.say("writes"));
        assert!(
            !place.say("writes"),
            "the same line need not be written again"
        );
        let mut written = vec![place.around("She ")];
        written.push(place.around("lived"));
        written.push(place.around("\nthere"));
        assert_eq!(screen(&written), ["She lived", "there", "writes"]);
        // An empty one takes it away, and what comes then is the text alone.
        assert!(place.say(""));
        written.push(place.around(""));
        assert_eq!(screen(&written), ["She lived", "there"]);
        assert_eq!(place.around("more"), "more");
        // The line is written again where it changes, and cut to the terminal.
        let StatusPlace::Beneath(beneath) = &mut place else {
            return;
        };
        assert!(beneath.say("0123456789", 5));
        assert_eq!(beneath.line, "0123");
    }

    type Act = fn(&mut Vec<Vec<char>>, &mut usize, &mut usize, &mut (usize, usize));

    /// A terminal of 24 lines that knows what is used here.
    fn screen(writes: &[String]) -> Vec<String> {
        let mut lines = vec![Vec::<char>::new(); 24];
        let (mut row, mut column, mut kept) = (0, 0, (0, 0));
        let text: String = writes.concat();
        let mut rest = text.as_str();
        while let Some(c) = rest.chars().next() {
            let known: [(&str, Act); 8] = [
                ("\x1b[J", |lines, row, column, _| {
                    lines[*row].truncate(*column);
                    lines[*row + 1..].iter_mut().for_each(Vec::clear);
                }),
                ("\x1b[K", |lines, row, column, _| {
                    lines[*row].truncate(*column);
                }),
                ("\x1bD", |_, row, _, _| *row += 1),
                ("\x1bM", |_, row, _, _| *row -= 1),
                ("\x1b7", |_, row, column, kept| *kept = (*row, *column)),
                ("\x1b8", |_, row, column, kept| (*row, *column) = *kept),
                ("\x1b[2m", |_, _, _, _| {}),
                ("\x1b[0m", |_, _, _, _| {}),
            ];
            if let Some((word, act)) = known.iter().find(|(word, _)| rest.starts_with(word)) {
                act(&mut lines, &mut row, &mut column, &mut kept);
                rest = &rest[word.len()..];
                continue;
            }
            rest = &rest[c.len_utf8()..];
            match c {
                '\n' => (row, column) = (row + 1, 0),
                '\r' => column = 0,
                c => {
                    let line = &mut lines[row];
                    line.resize(line.len().max(column + 1), ' ');
                    line[column] = c;
                    column += 1;
                }
            }
        }
        let lines = lines.into_iter().map(|line| line.into_iter().collect());
        lines.filter(|line: &String| !line.is_empty()).collect()
    }
}
