//! What stands before the tokens that are asked for, and how much of it the server's context holds.
//!
//! A text that outgrows the context loses its beginning, a quarter of the context at a time: between two such cuts all requests
//! begin with the same tokens, which the server has read already. Where the numbers of all tokens are known, a request never
//! asks for more than the context holds, however long the prompt is; where the text goes to the server as text, its length in
//! tokens is an estimate ([`BYTES_PER_TOKEN`]).

use std::sync::Arc;

use super::super::error::DecodeError;
use super::flight::Flight;
use super::line::Line;
use super::server::Server;
use super::wire::{Before, How};

/// Bytes of text that count as a token where the server does not cut it.
const BYTES_PER_TOKEN: usize = 3;
/// Fewer tokens may end inside a character, of which a server that holds half of one back says nothing at all.
const CHARACTER_TOKENS: usize = 4;
/// How far a cut moves on to the end of a word, bytes.
const WORD_BYTES_MAX: usize = 64;

/// What a request may hold, in one unit: tokens, or bytes of text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    /// The text and what is asked for.
    pub(super) length: usize,
    /// What is kept free behind the trunk: about as much as any request adds to it.
    pub(super) reserve: usize,
}

impl Context {
    /// How much of the beginning is left out of a trunk that so much stands behind, what is asked for included.
    fn left_out(self, trunk: usize, behind: usize) -> usize {
        let step = (self.length / 4).max(1);
        let whole = trunk + behind.max(self.reserve);
        whole.saturating_sub(self.length).next_multiple_of(step)
    }

    /// The same where texts begin with so many tokens of no text.
    const fn without(self, tokens: usize) -> Self {
        Self {
            length: self.length.saturating_sub(tokens),
            ..self
        }
    }

    /// The same in bytes.
    const fn in_bytes(self) -> Self {
        Self {
            length: self.length * BYTES_PER_TOKEN,
            reserve: self.reserve * BYTES_PER_TOKEN,
        }
    }
}

/// What stands before all requests of a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) server: &'a Arc<Server>,
    pub(super) trunk: &'a Line,
    pub(super) context: Context,
}

impl Ground<'_> {
    /// Sends a request behind the trunk and a branch of it; `None` when there is no place for it yet.
    pub(super) fn ask(&self, branch: &Line, how: How) -> Result<Option<Flight>, DecodeError> {
        let most = (self.context.length / 2).max(CHARACTER_TOKENS);
        let tokens = how.tokens.clamp(CHARACTER_TOKENS, most);
        let begin = self.begin();
        let before = before(self.trunk, branch, begin, self.context, tokens);
        let position = self.trunk.tokens.len() + branch.tokens.len();
        Flight::start(self.server, &before, How { tokens, ..how }, position)
    }

    /// Whether the context does not hold the whole trunk any more.
    pub(super) fn is_shortened(&self) -> bool {
        let context = self.context;
        let out = if self.trunk.tokens.iter().all(Option::is_some) && !self.trunk.tokens.is_empty()
        {
            let context = context.without(self.begin().len());
            context.left_out(self.trunk.tokens.len(), 0)
        } else {
            context.in_bytes().left_out(self.trunk.text.len(), 0)
        };
        out > 0
    }

    fn begin(&self) -> &[u32] {
        self.server.begin.as_deref().unwrap_or_default()
    }
}

/// What goes to the server: the trunk and what a branch adds, without as much of its beginning as the context demands when
/// `asked` tokens are to follow. `begin` begins a text whose beginning is left out.
fn before(trunk: &Line, branch: &Line, begin: &[u32], context: Context, asked: usize) -> Before {
    let all = trunk.tokens.iter().chain(&branch.tokens);
    let numbers: Option<Vec<u32>> = all.copied().collect();
    match numbers {
        Some(numbers) if !numbers.is_empty() => {
            let context = context.without(begin.len());
            let out = context.left_out(trunk.tokens.len(), branch.tokens.len() + asked);
            let kept = numbers.get(trunk.behind_character(out)..);
            Before::Numbers(match kept {
                _ if out == 0 => numbers,
                Some(kept) => [begin, kept].concat(),
                None => begin.to_vec(),
            })
        }
        _ => {
            let text = [trunk.text.as_str(), &branch.text].concat();
            let behind = branch.text.len() + asked * BYTES_PER_TOKEN;
            let out = context.in_bytes().left_out(trunk.text.len(), behind);
            Before::Text(from_a_word(&text, out).to_owned())
        }
    }
}

/// A text without its first bytes, about so many: from the end of a word on, where one is near.
fn from_a_word(text: &str, bytes: usize) -> &str {
    if bytes == 0 {
        return text;
    }
    let (_, rest) = text.split_at(text.ceil_char_boundary(bytes));
    let word = rest.find(char::is_whitespace);
    word.filter(|bytes| *bytes <= WORD_BYTES_MAX)
        .map_or(rest, |bytes| &rest[bytes..])
}

#[cfg(test)]
mod tests {
    use super::super::wire::Token;
    use super::*;

    const WIDE: Context = Context {
        length: 1_000,
        reserve: 100,
    };

    fn token(id: u32, bytes: &[u8]) -> Token {
        Token {
            id: Some(id),
            bytes: bytes.to_vec(),
            log_prob_nats: -1.0,
        }
    }

    #[test]
    fn text_goes_back_as_numbers_until_one_is_unknown_and_then_as_text() {
        let mut trunk = Line::prompt("Once", Some(vec![1, 6]));
        trunk.add(&token(7, b" upon"));
        let mut branch = trunk.branch();
        branch.add(&token(8, b" a"));
        let sent = |trunk: &Line, branch: &Line| before(trunk, branch, &[1], WIDE, 8);
        assert_eq!(sent(&trunk, &branch), Before::Numbers(vec![1, 6, 7, 8]));
        branch.tokens[0] = None;
        assert_eq!(sent(&trunk, &branch), Before::Text("Once upon a".into()));
    }

    #[test]
    fn no_request_asks_for_more_than_the_context_holds_and_cuts_are_far_apart() {
        let context = Context {
            length: 64,
            reserve: 20,
        };
        let (mut beginnings, mut branch) = (Vec::new(), Line::default());
        branch.add(&token(9, b" b"));
        for prompt in [1, 40, 63, 64, 500] {
            let mut trunk = Line::prompt("a", Some((100..100 + prompt).collect()));
            for number in 0..200 {
                // Letters of two bytes, each over two tokens.
                let half = "ё".as_bytes()[number % 2];
                trunk.add(&token(1_000 + number as u32, &[half]));
                for (added, asked) in [(&Line::default(), 16), (&branch, 19), (&branch, 32)] {
                    let Before::Numbers(sent) = before(&trunk, added, &[1], context, asked) else {
                        panic!("all numbers are known");
                    };
                    assert!(sent.len() + asked <= 64, "{} and {asked}", sent.len());
                    let all = trunk.tokens.iter().chain(&added.tokens).flatten();
                    let whole: Vec<u32> = all.copied().collect();
                    let kept = &sent[usize::from(sent.len() < whole.len())..];
                    assert!(whole.ends_with(kept));
                    assert!(kept.len() >= whole.len().min(64 / 4 - 1));
                    let first = kept[0];
                    assert!(first < 1_000 || first % 2 == 0, "half a letter begins it");
                    if asked == 16 {
                        beginnings.push(first);
                    }
                }
            }
        }
        let texts = beginnings.len();
        beginnings.dedup();
        assert!(beginnings.len() * 10 <= texts, "{} cuts", beginnings.len());
    }

    #[test]
    fn a_text_of_unknown_tokens_is_cut_between_words_and_never_inside_a_letter() {
        let trunk = Line::prompt(&"мёд и мёд ".repeat(100), None);
        let context = Context {
            length: 64,
            reserve: 20,
        };
        let Before::Text(sent) = before(&trunk, &Line::default(), &[1], context, 16) else {
            panic!("no number is known");
        };
        assert!(sent.len() + 16 * 3 <= 64 * 3 && sent.len() > 64, "{sent}");
        assert!(sent.starts_with(' ') && trunk.text.ends_with(&sent));
        let trunk = Line::prompt(&"ё".repeat(1_000), None);
        let Before::Text(sent) = before(&trunk, &Line::default(), &[1], context, 16) else {
            panic!("no number is known");
        };
        assert!(sent.chars().all(|c| c == 'ё') && !sent.is_empty());
    }
}
