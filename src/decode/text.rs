//! Between tokens and text: the tokenizer, and text that streams out of it in whole characters.

use std::path::Path;

use tokenizers::tokenizer::step_decode_stream;
use tokenizers::{PostProcessor, TruncationParams};

use super::error::{DecodeError, ModelError};

/// A model's tokenizer, checked against the rows of the model.
pub struct Tokens {
    tokenizer: tokenizers::Tokenizer,
    highest: u32,
    /// Tokens that stand for no text, in order.
    special: Vec<u32>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens")
            .field("vocabulary", &self.tokenizer.get_vocab_size(true))
            .finish_non_exhaustive()
    }
}

impl Tokens {
    /// Reads `tokenizer.json`; `rows` are those of the model's embedding.
    pub(super) fn parse(path: &Path, bytes: &[u8], rows: usize) -> Result<Self, ModelError> {
        // Valid JSON first: its faults have a line and a column.
        super::weights::parse_json::<serde::de::IgnoredAny>(path, bytes)?;
        let refused = |reason: String| ModelError::Tokenizer {
            path: path.into(),
            reason,
        };
        // The library indexes with numbers from the file: a panic there is a fault of the file.
        let mut tokenizer = std::panic::catch_unwind(|| tokenizers::Tokenizer::from_bytes(bytes))
            .map_err(|_| refused("its tables contradict each other".into()))?
            .map_err(|e| refused(e.to_string()))?;
        // Cutting and filling up are for batches in training: a prompt is read as it is.
        tokenizer
            .with_padding(None)
            .with_truncation(None)
            .map_err(|e| refused(e.to_string()))?;
        match tokenizer.get_vocab(true).values().copied().max() {
            None => Err(refused("it has no tokens".into())),
            Some(highest) if highest as usize >= rows => Err(ModelError::Vocabulary {
                path: path.into(),
                highest,
                rows,
            }),
            Some(highest) => {
                let added = tokenizer.get_added_tokens_decoder();
                let mut special: Vec<u32> = added
                    .iter()
                    .filter(|(_, t)| t.special)
                    .map(|(id, _)| *id)
                    .collect();
                special.sort_unstable();
                Ok(Self {
                    tokenizer,
                    highest,
                    special,
                })
            }
        }
    }

    /// As it is, but for texts that are cut at their end to `tokens_max` tokens, those around them included, and never filled up.
    pub(super) fn cut_at(mut self, path: &Path, tokens_max: usize) -> Result<Self, ModelError> {
        let around = self.tokenizer.get_post_processor();
        let around = around.map_or(0, |around| around.added_tokens(false));
        if around >= tokens_max {
            return Err(ModelError::Tokenizer {
                path: path.into(),
                reason: format!(
                    "it puts {around} tokens around a text that may have {tokens_max} with them"
                ),
            });
        }
        let bounds = TruncationParams {
            max_length: tokens_max,
            ..TruncationParams::default()
        };
        let cut = self
            .tokenizer
            .with_padding(None)
            .with_truncation(Some(bounds));
        cut.map_err(|e| ModelError::Tokenizer {
            path: path.into(),
            reason: format!("it cannot be held to {tokens_max} tokens: {e}"),
        })?;
        Ok(self)
    }

    /// The tokens of a text, with what the tokenizer adds around it.
    ///
    /// # Errors
    /// [`DecodeError::Tokenizer`].
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DecodeError> {
        let encoding = self.tokenizer.encode(text, true).map_err(failed)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The tokens of a text that has everything around it already.
    ///
    /// # Errors
    /// [`DecodeError::Tokenizer`].
    pub fn encode_bare(&self, text: &str) -> Result<Vec<u32>, DecodeError> {
        let encoding = self.tokenizer.encode(text, false).map_err(failed)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of tokens, special ones left out.
    ///
    /// # Errors
    /// [`DecodeError::Tokenizer`].
    pub fn decode(&self, tokens: &[u32]) -> Result<String, DecodeError> {
        self.tokenizer.decode(tokens, true).map_err(failed)
    }

    /// The special token that is written so.
    pub(super) fn special(&self, text: &str) -> Option<u32> {
        let token = self.tokenizer.token_to_id(text);
        token.filter(|token| self.is_special(*token))
    }

    /// Whether a token is special: it stands for no text.
    pub(super) fn is_special(&self, token: u32) -> bool {
        self.special.binary_search(&token).is_ok()
    }

    /// How many tokens there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// Whether a token stands for text: it is known, and not special.
    pub(super) fn is_text(&self, token: u32) -> bool {
        token <= self.highest && !self.is_special(token)
    }

    /// Whether there are none; never true of a loaded tokenizer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn failed(source: tokenizers::Error) -> DecodeError {
    DecodeError::Tokenizer {
        reason: source.to_string(),
    }
}

/// Text coming out token by token, in whole characters: a token that ends inside a character (of Cyrillic, of an emoji)
/// gives nothing, and the next one gives both.
#[derive(Debug, Clone, Default)]
pub struct TextStream {
    ids: Vec<u32>,
    prefix: String,
    prefix_index: usize,
}

impl TextStream {
    /// A stream at the beginning of a text.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next token; returns the text it completes, which may be empty. Bytes that turn out to be no character are U+FFFD.
    ///
    /// # Errors
    /// [`DecodeError::Tokenizer`] when the tokenizer's decoder fails; the stream is unchanged then.
    pub fn push(&mut self, tokens: &Tokens, token: u32) -> Result<String, DecodeError> {
        if tokens.is_special(token) {
            return Ok(String::new());
        }
        let mut next = self.clone();
        let piece = step_decode_stream(
            &tokens.tokenizer,
            vec![token],
            true,
            &mut next.ids,
            &mut next.prefix,
            &mut next.prefix_index,
        );
        if let Ok(piece) = piece {
            *self = next;
            return Ok(piece.unwrap_or_default());
        }
        // Where bytes are tokens, a run of them with a broken one in it is decoded as broken from its beginning on, which was said already.
        let mut open = self
            .ids
            .get(self.prefix_index..)
            .unwrap_or_default()
            .to_vec();
        open.push(token);
        let piece = tokens.decode(&open)?;
        *self = Self {
            prefix: tokens.decode(&[token])?,
            ids: vec![token],
            prefix_index: 1,
        };
        Ok(piece)
    }

    /// What `token` would look like here, the broken end of a character as U+FFFD. Changes nothing.
    pub(super) fn peek(&self, tokens: &Tokens, token: u32) -> Result<String, DecodeError> {
        let mut ids = self.ids.clone();
        let before = tokens.decode(&ids)?;
        ids.push(token);
        let after = tokens.decode(&ids)?;
        Ok(after.strip_prefix(&before).unwrap_or(&after).to_owned())
    }

    /// Whether the last token ended inside a character.
    pub(super) fn inside_character(&self, tokens: &Tokens) -> Result<bool, DecodeError> {
        Ok(tokens
            .decode(&self.ids)?
            .ends_with(char::REPLACEMENT_CHARACTER))
    }
}

/// Whether `next` goes on with the word that `last` stands in.
pub(super) fn continues_word(last: Option<char>, next: Option<char>) -> bool {
    let (Some(last), Some(next)) = (last, next) else {
        return false;
    };
    let broken = next == char::REPLACEMENT_CHARACTER && !last.is_whitespace();
    broken || joins(next) || last == ZERO_WIDTH_JOINER || in_word(last) && in_word(next)
}

/// Whether `next` goes on with a number that ends in a stop or comma: `3.` and `5`.
pub(super) fn continues_number(
    before: Option<char>,
    last: Option<char>,
    next: Option<char>,
) -> bool {
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    digit(before) && matches!(last, Some('.' | ',' | ':')) && digit(next)
}

/// The end of a text from where its last sentence begins: what a phrase goes on with. At most 240 characters.
pub(super) fn sentence_so_far(text: &str) -> &str {
    const CHARS_MAX: usize = 240;
    let end = is_sentence_end;
    // A stop at the very end belongs to the sentence before.
    let begin = text.rfind(end).map_or(0, |at| {
        at + text[at..].chars().next().map_or(0, char::len_utf8)
    });
    let sentence = &text[begin..];
    let cut = sentence.char_indices().rev().nth(CHARS_MAX - 1);
    &sentence[cut.map_or(0, |(at, _)| at)..]
}

fn is_sentence_end(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…' | '\n' | '。' | '！' | '？' | '؟')
}

/// Whether a sentence ends with this text.
pub(super) fn ends_sentence(text: &str) -> bool {
    text.ends_with('\n') || text.trim_end().ends_with(is_sentence_end)
}

/// Whether a phrase says a word or a few words three times in a row.
pub(super) fn repeats_itself(phrase: &str) -> bool {
    let words: Vec<String> = phrase.split_whitespace().map(str::to_lowercase).collect();
    (1..=words.len() / 3).any(|n| {
        words
            .windows(3 * n)
            .any(|run| run[..n] == run[n..2 * n] && run[..n] == run[2 * n..])
    })
}

const ZERO_WIDTH_JOINER: char = '\u{200D}';

/// Letters and digits of any script, and what stands inside words.
fn in_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '\'' | '’' | '-')
}

/// Marks that belong to the character before them: combining accents, joiners, variation selectors, skin tones.
fn joins(c: char) -> bool {
    matches!(c,
        ZERO_WIDTH_JOINER | '\u{FE00}'..='\u{FE0F}' | '\u{1F3FB}'..='\u{1F3FF}' | '\u{0300}'..='\u{036F}' | '\u{20D0}'..='\u{20FF}')
}

/// Whether a phrase may end behind this text: behind a stop, a comma, a colon, a line's end.
pub(super) fn ends_phrase(text: &str) -> bool {
    text.ends_with('\n')
        || text.trim_end().ends_with([
            '.', ',', ';', ':', '!', '?', '…', '。', '，', '、', '！', '？', '؟', '،',
        ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four bytes and a letter are tokens.
    fn of_bytes(more: &str) -> Tokens {
        let text = format!(
            r#"{{"version": "1.0", {more} "added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null,
            "decoder": {{"type": "Sequence", "decoders": [{{"type": "ByteFallback"}}, {{"type": "Fuse"}}]}},
            "model": {{"type": "BPE", "unk_token": "<unk>", "byte_fallback": true, "merges": [],
                "vocab": {{"<unk>": 0, "<0xE2>": 1, "<0x80>": 2, "<0x94>": 3, "a": 4}}}}}}"#
        );
        Tokens::parse(Path::new("tokenizer.json"), text.as_bytes(), 5).unwrap()
    }

    #[test]
    fn a_character_that_breaks_off_ends_no_text_and_takes_nothing_back() {
        let tokens = of_bytes("");
        let mut stream = TextStream::new();
        let said = [1, 2, 3, 1, 4, 1, 2, 3, 4].map(|token| stream.push(&tokens, token).unwrap());
        assert_eq!(said.concat(), "—\u{FFFD}a—a");
        assert_eq!(said[..5], ["", "", "—", "", "\u{FFFD}a"]);
    }

    #[test]
    fn a_text_is_neither_cut_nor_filled_up_as_batches_in_training_are() {
        let tokens = of_bytes(
            r#""truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
            "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>"},"#,
        );
        assert_eq!(tokens.encode("aaaaa").unwrap(), [4; 5]);
    }

    #[test]
    fn words_go_on_over_letters_and_not_over_spaces_or_stops() {
        for (last, next, inside) in [
            ('а', 'б', true),
            ('a', '7', true),
            ('n', '\'', true),
            ('a', ' ', false),
            (' ', 'a', false),
            ('a', '.', false),
            ('👨', '\u{200D}', true),
            ('\u{200D}', '👩', true),
            ('👍', '\u{1F3FD}', true),
            ('🌊', '🦊', false),
            ('е', '\u{0308}', true),
            ('👨', '\u{FFFD}', true),
            (' ', '\u{FFFD}', false),
        ] {
            assert_eq!(
                continues_word(Some(last), Some(next)),
                inside,
                "{last:?} {next:?}"
            );
        }
        assert!(!continues_word(None, Some('a')));
        let number = |text: &str, next| {
            let mut back = text.chars().rev();
            let last = back.next();
            continues_number(back.next(), last, Some(next))
        };
        assert!(number("3.", '5') && number("10:", '3'));
        assert!(!number("3.", ' ') && !number("e.", '5') && !number("3", '5'));
    }

    #[test]
    fn a_sentence_begins_behind_the_last_stop() {
        assert_eq!(sentence_so_far("It rained. The fox"), " The fox");
        assert_eq!(sentence_so_far("Лил дождь… Лиса"), " Лиса");
        assert_eq!(sentence_so_far("It rained."), "");
        assert_eq!(sentence_so_far(""), "");
        assert_eq!(sentence_so_far(&"щ".repeat(500)).chars().count(), 240);
    }

    #[test]
    fn words_three_times_in_a_row_are_a_repetition() {
        for (phrase, repeats) in [
            ("no no no", true),
            ("и вот И вот и вот", true),
            ("далеко, далеко", false),
            ("the fox and the hare and the crow", false),
            ("", false),
        ] {
            assert_eq!(repeats_itself(phrase), repeats, "{phrase}");
        }
    }
}
