//! The text that a window shows, and who wrote each part of it.

use std::io;
use std::sync::Arc;

use super::board::Board;
use super::terminal::{ForkLine, Terminal, View};
use crate::fork::{Chooser, MAX_OPTIONS};
use crate::marker::{OptionKind, OptionTile};

/// Text that is handed to a window at most, characters from its end: more than a screen holds in any size.
pub const TAIL_CHARS: usize = 4_000;

/// Who wrote a part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// Nobody: a text began with it.
    Prompt,
    /// The model, where there was nothing to choose, or as it chose.
    Model,
    /// The person chose it.
    Person,
    /// The imitator chose it.
    Imitator,
}

impl From<Chooser> for Author {
    fn from(chooser: Chooser) -> Self {
        match chooser {
            Chooser::Human => Self::Person,
            Chooser::Imitator => Self::Imitator,
            Chooser::Model => Self::Model,
        }
    }
}

/// A part of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// What it says.
    pub text: String,
    /// Who wrote it.
    pub author: Author,
}

/// What a window shows beside the scene.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// The end of the text, at most [`TAIL_CHARS`] characters.
    pub text: Vec<Span>,
    /// The fork whose options are looked at, and how far each of them has come, 0..=1.
    pub dwell: Option<(u64, [f32; MAX_OPTIONS])>,
}

/// A view that hands the text to a window's [`Board`]. It never fails and never waits.
pub struct PageView {
    board: Arc<Board>,
    /// The whole text.
    spans: Vec<Span>,
    /// Whose phrase the text begins with that comes next, and the phrase; what follows it the model wrote while the person decided.
    next: Option<(Author, String)>,
    dwell: Option<(u64, [f32; MAX_OPTIONS])>,
}

impl PageView {
    /// A view on this board.
    #[must_use]
    pub fn new(board: Arc<Board>) -> Self {
        Self {
            board,
            spans: Vec::new(),
            next: None,
            dwell: None,
        }
    }

    fn append(&mut self, text: &str, author: Author) {
        if text.is_empty() {
            return;
        }
        match self.spans.last_mut() {
            Some(last) if last.author == author => last.text.push_str(text),
            _ => self.spans.push(Span {
                text: text.to_owned(),
                author,
            }),
        }
    }

    /// Adds text that may begin with what was chosen.
    fn append_chosen(&mut self, text: &str) {
        let Some((author, phrase)) = self.next.take() else {
            return self.append(text, Author::Model);
        };
        let begins = text.len() - text.trim_start().len();
        let chosen = text
            .get(begins..)
            .filter(|rest| rest.starts_with(&phrase))
            .map_or(text.len(), |_| begins + phrase.len());
        let (chosen, rest) = text.split_at(chosen);
        self.append(chosen, author);
        self.append(rest, Author::Model);
    }

    /// Keeps the first `bytes` of the text, with their authors.
    fn truncate(&mut self, bytes: usize) {
        let mut left = bytes;
        self.spans.retain_mut(|span| {
            let kept = span.text.floor_char_boundary(left.min(span.text.len()));
            left -= kept;
            if kept < span.text.len() {
                left = 0;
            }
            span.text.truncate(kept);
            kept > 0
        });
    }

    /// How many bytes of the text `whole` begins with.
    fn common_bytes(&self, whole: &str) -> usize {
        let mut common = 0;
        for span in &self.spans {
            let rest = whole.get(common..).unwrap_or_default();
            let same = span
                .text
                .chars()
                .zip(rest.chars())
                .take_while(|(a, b)| a == b)
                .map(|(c, _)| c.len_utf8())
                .sum::<usize>();
            common += same;
            if same < span.text.len() {
                break;
            }
        }
        common
    }

    fn publish(&self) {
        let mut left = TAIL_CHARS;
        let mut text = Vec::new();
        for span in self.spans.iter().rev() {
            let chars = span.text.chars().count();
            let kept = if chars <= left {
                span.clone()
            } else {
                let from = span.text.char_indices().nth(chars - left);
                Span {
                    text: from
                        .and_then(|(from, _)| span.text.get(from..))
                        .unwrap_or_default()
                        .to_owned(),
                    author: span.author,
                }
            };
            left = left.saturating_sub(chars);
            text.push(kept);
            if left == 0 {
                break;
            }
        }
        text.reverse();
        self.board.turn_page(Page {
            text,
            dwell: self.dwell,
        });
    }
}

impl View for PageView {
    fn text(&mut self, piece: &str) -> io::Result<()> {
        self.append_chosen(piece);
        self.publish();
        Ok(())
    }

    fn prompt(&mut self, prompt: &str) -> io::Result<()> {
        self.append(prompt, Author::Prompt);
        self.publish();
        Ok(())
    }

    fn replaced(&mut self, text: &str) -> io::Result<()> {
        let common = self.common_bytes(text);
        self.truncate(common);
        self.append_chosen(text.get(common..).unwrap_or_default());
        self.publish();
        Ok(())
    }

    fn asked(&mut self, _fork: u64, _tiles: &[OptionTile]) -> io::Result<()> {
        self.next = None;
        self.dwell = None;
        self.publish();
        Ok(())
    }

    fn dwell(&mut self, fork: u64, shares: &[f64]) -> io::Result<()> {
        let mut all = [0.0; MAX_OPTIONS];
        for (to, share) in all.iter_mut().zip(shares) {
            *to = if share.is_finite() {
                share.clamp(0.0, 1.0) as f32
            } else {
                0.0
            };
        }
        self.dwell = Some((fork, all));
        self.publish();
        Ok(())
    }

    fn answered(&mut self, line: &ForkLine) -> io::Result<()> {
        let taken = line.taken.and_then(|item| line.options.get(item));
        let branch = taken.filter(|(tile, _)| tile.kind == OptionKind::Branch);
        self.next = branch.map(|(tile, _)| (line.chooser.into(), tile.text.clone()));
        self.dwell = None;
        self.publish();
        Ok(())
    }

    /// What the operator should know is no business of the person's.
    fn note(&mut self, _note: &str) -> io::Result<()> {
        Ok(())
    }
}

/// The views of a session: the terminal, and the window where there is one. What one of them cannot show, the other still does.
pub struct Views {
    terminal: Terminal<io::Stdout>,
    page: Option<PageView>,
}

impl Views {
    /// The terminal on stdout, and the window of this board.
    #[must_use]
    pub fn of(board: Option<&Arc<Board>>) -> Self {
        Self {
            terminal: Terminal::stdout(),
            page: board.map(|board| PageView::new(Arc::clone(board))),
        }
    }

    fn each(&mut self, mut show: impl FnMut(&mut dyn View) -> io::Result<()>) -> io::Result<()> {
        let first = show(&mut self.terminal);
        match &mut self.page {
            Some(page) => show(page).and(first),
            None => first,
        }
    }
}

impl View for Views {
    fn text(&mut self, piece: &str) -> io::Result<()> {
        self.each(|view| view.text(piece))
    }

    fn prompt(&mut self, prompt: &str) -> io::Result<()> {
        self.each(|view| view.prompt(prompt))
    }

    fn replaced(&mut self, text: &str) -> io::Result<()> {
        self.each(|view| view.replaced(text))
    }

    fn asked(&mut self, fork: u64, tiles: &[OptionTile]) -> io::Result<()> {
        self.each(|view| view.asked(fork, tiles))
    }

    fn dwell(&mut self, fork: u64, shares: &[f64]) -> io::Result<()> {
        self.each(|view| view.dwell(fork, shares))
    }

    fn answered(&mut self, line: &ForkLine) -> io::Result<()> {
        self.each(|view| view.answered(line))
    }

    fn note(&mut self, note: &str) -> io::Result<()> {
        self.each(|view| view.note(note))
    }

    fn status(&mut self, line: &str) -> io::Result<()> {
        self.each(|view| view.status(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: OptionKind, chooser: Chooser, text: &str) -> ForkLine {
        let tile = OptionTile {
            item: 0,
            kind,
            text: text.into(),
            x_deg: 0.0,
            y_deg: 0.0,
            w_deg: 1.0,
            h_deg: 1.0,
        };
        ForkLine {
            fork: 0,
            options: vec![(tile, 1.0)],
            taken: Some(0),
            chooser,
            ending: "committed".into(),
            seconds: 1.0,
            evidence: (0, 0),
        }
    }

    fn shown(board: &Board) -> Vec<(String, Author)> {
        let page = board.page().expect("a page was turned");
        page.text
            .iter()
            .map(|span| (span.text.clone(), span.author))
            .collect()
    }

    #[test]
    fn each_part_of_the_text_is_whose_who_chose_it() {
        let board = Arc::new(Board::default());
        let mut view = PageView::new(Arc::clone(&board));
        view.prompt("Once ").unwrap();
        view.text("upon a time ").unwrap();
        // What the model had written ahead on the branch comes with it.
        view.answered(&line(OptionKind::Branch, Chooser::Human, "Mira found"))
            .unwrap();
        view.text("Mira found a ").unwrap();
        view.text("key. ").unwrap();
        view.answered(&line(OptionKind::Branch, Chooser::Imitator, "She left."))
            .unwrap();
        view.text(" She left.").unwrap();
        // What is no branch is written by the model.
        view.answered(&line(OptionKind::GoOn, Chooser::Human, "go on"))
            .unwrap();
        view.text("So ").unwrap();
        let of = |text: &str, author| (text.to_owned(), author);
        let all = [
            of("Once ", Author::Prompt),
            of("upon a time ", Author::Model),
            of("Mira found", Author::Person),
            of(" a key. ", Author::Model),
            of(" She left.", Author::Imitator),
            of("So ", Author::Model),
        ];
        assert_eq!(shown(&board), all);
        // An undo back into the person's words: what stays keeps its author.
        view.replaced("Once upon a time Mira").unwrap();
        let undone = [all[0].clone(), all[1].clone(), of("Mira", Author::Person)];
        assert_eq!(shown(&board), undone);
        view.replaced("Once upon a time Nора").unwrap();
        let other = [all[0].clone(), of("upon a time Nора", Author::Model)];
        assert_eq!(shown(&board), other);
    }

    #[test]
    fn a_window_is_handed_the_end_of_a_long_text_cut_between_characters() {
        let board = Arc::new(Board::default());
        let mut view = PageView::new(Arc::clone(&board));
        view.prompt(&"я".repeat(TAIL_CHARS)).unwrap();
        view.text("конец").unwrap();
        let shown = shown(&board);
        assert_eq!(shown[0].0.chars().count(), TAIL_CHARS - 5);
        assert_eq!(shown[1].0, "конец");
    }

    #[test]
    fn dwell_is_bounded_and_forgotten_with_the_fork() {
        let board = Arc::new(Board::default());
        let mut view = PageView::new(Arc::clone(&board));
        view.dwell(4, &[0.5, f64::NAN, 7.0, -1.0]).unwrap();
        let (fork, shares) = board.page().unwrap().dwell.unwrap();
        assert_eq!((fork, shares[0], shares[2], shares[3]), (4, 0.5, 1.0, 0.0));
        view.answered(&line(OptionKind::Branch, Chooser::Human, "a"))
            .unwrap();
        assert_eq!(board.page().unwrap().dwell, None);
    }
}
