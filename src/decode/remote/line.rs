//! A text made of bytes that arrive token by token.

use super::super::text::continues_word;
use super::wire::{Said, Token};

/// The trunk, or what a branch adds to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    /// Numbers of the tokens, where they are known.
    pub(super) tokens: Vec<Option<u32>>,
    /// Length of `text` before the first token: a prompt whose tokens are not known.
    begin: usize,
    /// Length of `text` behind each token.
    ends: Vec<usize>,
    pub(super) text: String,
    /// The bytes of a character that is not complete yet.
    open: Vec<u8>,
    /// Whether a character is not complete whose bytes the server holds back.
    partial: bool,
    /// Last character before the line's own text.
    before: Option<char>,
}

impl Line {
    /// The beginning of a text: a prompt and its tokens, as far as they are known.
    pub(super) fn prompt(text: &str, tokens: Option<Vec<u32>>) -> Self {
        let tokens: Vec<_> = tokens.unwrap_or_default().into_iter().map(Some).collect();
        Self {
            begin: if tokens.is_empty() { text.len() } else { 0 },
            ends: vec![text.len(); tokens.len()],
            tokens,
            text: text.to_owned(),
            ..Self::default()
        }
    }

    /// A branch, with nothing of its own yet.
    pub(super) fn branch(&self) -> Self {
        Self {
            before: self.last_char(),
            open: self.open.clone(),
            partial: self.partial,
            ..Self::default()
        }
    }

    /// Adds a token; returns the text it completes.
    pub(super) fn push(&mut self, said: &Said) -> String {
        self.partial = said.partial;
        self.add(&said.token)
    }

    /// Adds a token that the model could say.
    pub(super) fn add(&mut self, token: &Token) -> String {
        self.open.extend_from_slice(&token.bytes);
        let piece = complete(&mut self.open);
        self.tokens.push(token.id);
        self.text.push_str(&piece);
        self.ends.push(self.text.len());
        piece
    }

    /// What a token would look like here, the broken end of a character as U+FFFD.
    pub(super) fn peek(&self, token: &Token) -> String {
        let mut bytes = self.open.clone();
        bytes.extend_from_slice(&token.bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether a token would go on with the word that the text ends in.
    pub(super) fn continues_word(&self, token: &Token) -> bool {
        continues_word(self.last_char(), self.peek(token).chars().next())
    }

    /// Whether the text ends inside a character.
    pub(super) fn inside_character(&self) -> bool {
        self.partial || !self.open.is_empty()
    }

    /// Takes over what a branch adds.
    pub(super) fn adopt(&mut self, branch: &Self) {
        let offset = self.text.len();
        self.tokens.extend_from_slice(&branch.tokens);
        self.ends.extend(branch.ends.iter().map(|end| end + offset));
        self.text.push_str(&branch.text);
        self.open.clone_from(&branch.open);
        self.partial = branch.partial;
    }

    /// Drops tokens and text behind the first `tokens`, where no character is open. Returns the text dropped.
    pub(super) fn cut(&mut self, tokens: usize, bytes: usize) -> String {
        self.tokens.truncate(tokens);
        self.ends.truncate(tokens);
        self.open.clear();
        self.partial = false;
        self.text.split_off(bytes)
    }

    /// Where the text stands behind each token.
    pub(super) fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// Where the text stands before token `at`, which lies within it or right behind.
    pub(super) fn end_before(&self, at: usize) -> usize {
        let last = at.checked_sub(1).and_then(|last| self.ends.get(last));
        last.copied().unwrap_or(self.begin)
    }

    /// The first token at `at` or behind it before which no character is open. Where the text stands between the tokens of
    /// the prompt is not known.
    pub(super) fn behind_character(&self, mut at: usize) -> usize {
        let prompt = self.ends.first();
        while at >= 2
            && self.ends.get(at - 1).is_some_and(|end| Some(end) != prompt)
            && self.ends.get(at - 1) == self.ends.get(at - 2)
        {
            at += 1;
        }
        at
    }

    /// The last character so far.
    pub(super) fn last_char(&self) -> Option<char> {
        self.text.chars().next_back().or(self.before)
    }

    /// The phrase as shown.
    pub(super) fn phrase(&self) -> &str {
        self.text.trim()
    }

    /// The first `own` tokens of this line, then those of another behind its first `other_from`.
    pub(super) fn joined(&self, own: usize, other: &Self, other_from: usize) -> Self {
        let mut line = Self {
            before: self.before,
            ..Self::default()
        };
        line.tokens.extend(self.tokens.iter().take(own));
        line.text.push_str(&self.text[..self.end_before(own)]);
        line.ends.extend(self.ends.iter().take(own));
        let (begin, offset) = (other.end_before(other_from), line.text.len());
        line.tokens.extend(other.tokens.iter().skip(other_from));
        line.text.push_str(&other.text[begin..]);
        let ends = other.ends.iter().skip(other_from);
        line.ends.extend(ends.map(|end| end - begin + offset));
        line
    }

    /// The numbers of all tokens; empty when one is not known.
    pub(super) fn numbers(&self) -> Vec<u32> {
        let all: Option<Vec<u32>> = self.tokens.iter().copied().collect();
        all.unwrap_or_default()
    }
}

/// Takes whole characters from the beginning; bytes that can never become one count as U+FFFD.
fn complete(open: &mut Vec<u8>) -> String {
    let mut out = String::new();
    loop {
        match std::str::from_utf8(open) {
            Ok(text) => {
                out.push_str(text);
                open.clear();
                return out;
            }
            Err(error) => {
                let sound = error.valid_up_to();
                // The part that was found sound is text.
                out.push_str(&String::from_utf8_lossy(&open[..sound]));
                let Some(broken) = error.error_len() else {
                    open.drain(..sound);
                    return out;
                };
                out.push(char::REPLACEMENT_CHARACTER);
                open.drain(..sound + broken);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: u32, bytes: &[u8]) -> Token {
        Token {
            id: Some(id),
            bytes: bytes.to_vec(),
            log_prob_nats: -1.0,
        }
    }

    #[test]
    fn a_character_comes_out_whole_however_its_bytes_are_cut() {
        let text = "Мёд 🍯, да";
        for length in 1..5 {
            let mut line = Line::default();
            let pieces: Vec<String> = text
                .as_bytes()
                .chunks(length)
                .map(|bytes| line.add(&token(1, bytes)))
                .collect();
            assert_eq!(pieces.concat(), text, "{length} bytes at a time");
            assert_eq!(line.text, text);
            assert!(!line.inside_character());
            assert!(!text.contains(char::REPLACEMENT_CHARACTER));
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_marked_and_hold_nothing_up() {
        let mut line = Line::default();
        line.add(&token(1, &[b'a', 0xD0]));
        assert!(line.inside_character());
        assert_eq!(line.text, "a");
        line.add(&token(2, b"b"));
        assert_eq!(line.text, "a\u{FFFD}b");
    }
}
