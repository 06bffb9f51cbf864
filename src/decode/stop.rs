//! Texts that end an answer when the model writes them, and are not part of it.

/// Watches text that comes in pieces. What may yet turn out to be the beginning of a stop text is held back, so that none is ever shown in part.
#[derive(Debug, Clone, Default)]
pub(super) struct StopTexts {
    texts: Vec<String>,
    /// The end of the text so far that may be the beginning of one.
    held: String,
}

impl StopTexts {
    /// Watches for these; empty ones are left out.
    pub(super) fn new(texts: &[String]) -> Self {
        let texts = texts.iter().filter(|text| !text.is_empty());
        Self {
            texts: texts.cloned().collect(),
            held: String::new(),
        }
    }

    /// Takes a piece; returns what may be shown, and whether a stop text has come. The one that begins first counts.
    pub(super) fn push(&mut self, piece: &str) -> (String, bool) {
        if self.texts.is_empty() {
            return (piece.to_owned(), false);
        }
        self.held.push_str(piece);
        let longest = self
            .texts
            .iter()
            .map(|text| overlap(&self.held, text))
            .max();
        let open = self.held.len() - longest.unwrap_or(0);
        match self.first() {
            // One that begins earlier may still come.
            Some(at) if at <= open => {
                self.held.truncate(at);
                (std::mem::take(&mut self.held), true)
            }
            _ => {
                let rest = self.held.split_off(open);
                (std::mem::replace(&mut self.held, rest), false)
            }
        }
    }

    /// The text is over: what was held back of it, and whether that came to a stop text.
    pub(super) fn finish(&mut self) -> (String, bool) {
        let at = self.first();
        self.held.truncate(at.unwrap_or(self.held.len()));
        (std::mem::take(&mut self.held), at.is_some())
    }

    fn first(&self) -> Option<usize> {
        let found = self
            .texts
            .iter()
            .filter_map(|text| self.held.find(text.as_str()));
        found.min()
    }
}

/// Length of the longest end of `text` that begins `stop`, bytes.
fn overlap(text: &str, stop: &str) -> usize {
    let most = text.len().min(stop.len().saturating_sub(1));
    (1..=most)
        .rev()
        .find(|&n| stop.is_char_boundary(n) && text.as_bytes().ends_with(&stop.as_bytes()[..n]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut watch = StopTexts::new(&stops);
        let mut shown = String::new();
        for piece in pieces {
            let (text, stopped) = watch.push(piece);
            shown.push_str(&text);
            if stopped {
                return (shown, true);
            }
        }
        let (text, stopped) = watch.finish();
        shown.push_str(&text);
        (shown, stopped)
    }

    #[test]
    fn a_stop_text_ends_the_answer_wherever_it_is_cut() {
        for pieces in [
            &["one END two"][..],
            &["one E", "N", "D two"],
            &["one ", "END", " two"],
        ] {
            assert_eq!(all(&["END"], pieces), ("one ".into(), true));
        }
        assert_eq!(
            all(&["END"], &["one EN", "Dive? E", "N"]),
            ("one ".into(), true)
        );
        assert_eq!(
            all(&["END"], &["one EN", "emy E", "N"]),
            ("one ENemy EN".into(), false)
        );
        assert_eq!(
            all(&["b", "ab"], &["xa", "b"]),
            ("x".into(), true),
            "the one that begins first"
        );
        assert_eq!(
            all(&["b", "abc"], &["xa", "b", "c"]),
            ("x".into(), true),
            "even if it ends later"
        );
        assert_eq!(all(&["b", "abc"], &["xa", "b"]), ("xa".into(), true));
        assert_eq!(
            all(&["", "лиса"], &["и л", "и", "ст"]),
            ("и лист".into(), false)
        );
        assert_eq!(all(&[], &["any", "thing"]), ("anything".into(), false));
    }

    #[test]
    fn the_beginning_of_a_stop_text_is_not_shown_before_it_is_known() {
        let mut watch = StopTexts::new(&["\nuser:".to_owned()]);
        assert_eq!(watch.push("hello\nus"), ("hello".into(), false));
        assert_eq!(watch.push("ual"), ("\nusual".into(), false));
    }

    proptest! {
        #[test]
        fn any_cutting_shows_what_stands_before_the_first_stop_text(
            pieces in prop::collection::vec("[abя]{0,4}", 0..12),
            stops in prop::collection::vec("[abя]{1,3}", 0..3),
        ) {
            let whole = pieces.concat();
            let first = stops.iter().filter_map(|stop| whole.find(stop.as_str())).min();
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let expected = (whole[..first.unwrap_or(whole.len())].to_owned(), first.is_some());
            prop_assert_eq!(all(&stops, &pieces), expected);
        }
    }
}
