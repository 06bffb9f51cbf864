//! From typed bytes to keys: a state machine without a terminal, a clock or a thread.
//!
//! A digit is the option with that number while a fork is open, and else the count of words that a call for a fork goes
//! back. Capital letters count as small ones, and so do the letters that a Russian keyboard layout gives at the same places.

use crate::marker::Key;

/// The keys, for people.
pub const KEYS: &str = "keys: 0 to 9 takes that option of the open fork; f asks for a fork here, 3f three words back; u takes the last choice back; a asks at every fork, l leaves forks to the imitator again; c carries on as usual, t says that you are tired; q ends the session; ? lists the keys";

/// A count that no call follows within this is forgotten, seconds: it must not surprise a later call.
const COUNT_LASTS_S: f64 = 3.0;
/// Words that a call can go back, at most.
const COUNT_MAX: u32 = 999;
/// An arrow or a function key sends its bytes at once. What comes later was typed by itself.
const SEQUENCE_LASTS_S: f64 = 0.1;

/// What was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typed {
    /// A key as it goes to the engine.
    Key(Key),
    /// The session is to end.
    Quit,
    /// The keys are to be listed.
    Help,
}

/// How far the present character or sequence has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Within {
    /// A character begins.
    #[default]
    Nothing,
    /// ESC was read.
    Escape,
    /// The parameters of a sequence of an arrow or a function key: they may be digits, and mean nothing here.
    Sequence,
    /// A character of several bytes: its bits so far, and how many bytes are still to come.
    Character(u32, u8),
}

/// What has been typed so far.
#[derive(Debug, Clone, Default)]
pub struct Typing {
    within: Within,
    count: Option<u32>,
    at_s: f64,
}

impl Typing {
    /// Takes the next byte, typed at `at_s` (seconds on any clock that does not go back); `fork_open` says whether a
    /// question stands before the person.
    pub fn byte(&mut self, byte: u8, at_s: f64, fork_open: bool) -> Option<Typed> {
        let since_s = at_s - self.at_s;
        self.at_s = at_s;
        if since_s > SEQUENCE_LASTS_S {
            self.within = Within::Nothing;
        }
        if since_s > COUNT_LASTS_S {
            self.count = None;
        }
        let letter = self.letter(byte)?;
        self.key(letter, fork_open)
    }

    /// The character that this byte completes; `None` inside a character, and of sequences.
    fn letter(&mut self, byte: u8) -> Option<char> {
        let (within, letter) = match (self.within, byte) {
            (Within::Escape, b'[' | b'O') | (Within::Sequence, 0x20..=0x3f) => {
                (Within::Sequence, None)
            }
            (_, 0x1b) => (Within::Escape, None),
            // The last byte of a sequence, or a letter with Alt.
            (Within::Escape | Within::Sequence, _) => (Within::Nothing, None),
            (Within::Character(bits, left), 0x80..=0xbf) => {
                let bits = bits << 6 | u32::from(byte & 0x3f);
                if left > 1 {
                    (Within::Character(bits, left - 1), None)
                } else {
                    // An ASCII letter in more than one byte is no UTF-8.
                    let letter = char::from_u32(bits).filter(|letter| !letter.is_ascii());
                    (Within::Nothing, letter)
                }
            }
            (_, 0xc2..=0xdf) => (Within::Character(u32::from(byte & 0x1f), 1), None),
            (_, 0xe0..=0xef) => (Within::Character(u32::from(byte & 0x0f), 2), None),
            (_, 0xf0..=0xf4) => (Within::Character(u32::from(byte & 0x07), 3), None),
            (_, 0..=0x7f) => (Within::Nothing, Some(char::from(byte))),
            (_, _) => (Within::Nothing, None),
        };
        self.within = within;
        letter
    }

    fn key(&mut self, letter: char, fork_open: bool) -> Option<Typed> {
        let count = self.count.take();
        if let Some(digit) = letter.to_digit(10) {
            if fork_open {
                let item = i32::try_from(digit).ok()?;
                return Some(Typed::Key(Key::Select { item }));
            }
            self.count = Some((count.unwrap_or(0) * 10 + digit).min(COUNT_MAX));
            return None;
        }
        match letter {
            'f' | 'F' | 'а' | 'А' => {
                let back = count.unwrap_or(0);
                Some(Typed::Key(Key::Call { back }))
            }
            'u' | 'U' | 'г' | 'Г' => Some(Typed::Key(Key::Undo)),
            'a' | 'A' | 'ф' | 'Ф' => Some(Typed::Key(Key::Ask { on: true })),
            'l' | 'L' | 'д' | 'Д' => Some(Typed::Key(Key::Ask { on: false })),
            'c' | 'C' | 'с' | 'С' => Some(Typed::Key(Key::CarryOn)),
            't' | 'T' | 'е' | 'Е' => Some(Typed::Key(Key::Tired)),
            'q' | 'Q' | 'й' | 'Й' => Some(Typed::Quit),
            '?' => Some(Typed::Help),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: bool = true;
    const CLOSED: bool = false;

    /// What comes of bytes typed one every 0.01 s, from `from_s` on.
    fn after(typing: &mut Typing, bytes: &[u8], from_s: f64, fork_open: bool) -> Vec<Typed> {
        let typed = bytes
            .iter()
            .zip(0u32..)
            .filter_map(|(byte, n)| typing.byte(*byte, from_s + 0.01 * f64::from(n), fork_open));
        typed.collect()
    }

    fn typed(text: &str, fork_open: bool) -> Vec<Typed> {
        after(&mut Typing::default(), text.as_bytes(), 100.0, fork_open)
    }

    fn select(item: i32) -> Typed {
        Typed::Key(Key::Select { item })
    }

    fn call(back: u32) -> Typed {
        Typed::Key(Key::Call { back })
    }

    #[test]
    fn a_digit_takes_the_option_with_that_number_while_a_fork_is_open() {
        for item in 0..10 {
            assert_eq!(typed(&item.to_string(), OPEN), [select(item)]);
        }
        assert_eq!(typed("12", OPEN), [select(1), select(2)]);
    }

    #[test]
    fn a_digit_takes_nothing_while_no_fork_is_open() {
        assert_eq!(typed("123", CLOSED), []);
    }

    #[test]
    fn a_count_before_f_goes_that_many_words_back() {
        assert_eq!(typed("f", CLOSED), [call(0)]);
        assert_eq!(typed("3f", CLOSED), [call(3)]);
        assert_eq!(typed("12ff", CLOSED), [call(12), call(0)]);
        assert_eq!(typed("99999999999f", CLOSED), [call(COUNT_MAX)]);
    }

    #[test]
    fn a_count_is_forgotten_when_another_key_follows_a_fork_opens_or_time_goes_by() {
        assert_eq!(typed("3uf", CLOSED), [Typed::Key(Key::Undo), call(0)]);
        assert_eq!(typed("3 f", CLOSED), [call(0)]);
        let mut typing = Typing::default();
        assert_eq!(after(&mut typing, b"3", 10.0, CLOSED), []);
        assert_eq!(after(&mut typing, b"1", 11.0, OPEN), [select(1)]);
        assert_eq!(after(&mut typing, b"f", 12.0, CLOSED), [call(0)]);
        assert_eq!(after(&mut typing, b"3", 20.0, CLOSED), []);
        assert_eq!(after(&mut typing, b"f", 30.0, CLOSED), [call(0)]);
    }

    #[test]
    fn letters_undo_end_and_list_the_keys_whatever_is_open() {
        for open in [OPEN, CLOSED] {
            assert_eq!(typed("u", open), [Typed::Key(Key::Undo)]);
            for (key, on) in [("a", true), ("l", false)] {
                assert_eq!(typed(key, open), [Typed::Key(Key::Ask { on })]);
            }
            assert_eq!(typed("ct", open), typed("се", open));
            assert_eq!(
                typed("ct", open),
                [Typed::Key(Key::CarryOn), Typed::Key(Key::Tired)]
            );
            assert_eq!(typed("q", open), [Typed::Quit]);
            assert_eq!(typed("?", open), [Typed::Help]);
            assert_eq!(typed("UFQ", open), typed("ufq", open));
            assert_eq!(typed("xyz \r\n\t\u{4}", open), []);
        }
    }

    #[test]
    fn a_russian_layout_gives_the_same_keys_at_the_same_places() {
        assert_eq!(typed("гайфд", CLOSED), typed("ufqal", CLOSED));
        assert_eq!(
            typed("2АГЙ", CLOSED),
            [call(2), Typed::Key(Key::Undo), Typed::Quit]
        );
        assert_eq!(typed("щзъ語🦀", OPEN), []);
    }

    #[test]
    fn digits_inside_the_sequences_of_other_keys_choose_nothing() {
        // Up, F5, Insert, Ctrl-Right, F1, and Alt with a digit.
        for sequence in [
            "\x1b[A",
            "\x1b[15~",
            "\x1b[2~",
            "\x1b[1;5C",
            "\x1bOP",
            "\x1b1",
        ] {
            assert_eq!(typed(sequence, OPEN), [], "{sequence:?}");
            let then = format!("{sequence}1");
            assert_eq!(typed(&then, OPEN), [select(1)], "{sequence:?}");
        }
    }

    #[test]
    fn a_digit_typed_after_the_escape_key_is_not_swallowed() {
        let mut typing = Typing::default();
        assert_eq!(after(&mut typing, b"\x1b", 1.0, OPEN), []);
        assert_eq!(after(&mut typing, b"4", 1.5, OPEN), [select(4)]);
        assert_eq!(after(&mut typing, b"\x1b[", 2.0, OPEN), []);
        assert_eq!(after(&mut typing, b"5", 2.5, OPEN), [select(5)]);
    }

    #[test]
    fn bytes_that_are_no_text_choose_nothing() {
        // A digit in two and three bytes, a lone continuation, a character cut off by a digit.
        for bytes in [&b"\xc0\xb1"[..], b"\xe0\x80\xb1", b"\xb1", b"\xff\xfe\x80"] {
            assert_eq!(
                after(&mut Typing::default(), bytes, 5.0, OPEN),
                [],
                "{bytes:?}"
            );
        }
        let cut = after(&mut Typing::default(), b"\xd0\x32", 5.0, OPEN);
        assert_eq!(cut, [select(2)]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_typed_makes_an_option_of_more_than_one_digit_or_a_panic(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64),
            open in proptest::bool::ANY,
        ) {
            for typed in after(&mut Typing::default(), &bytes, 0.0, open) {
                match typed {
                    Typed::Key(Key::Select { item }) => assert!(open && (0..10).contains(&item)),
                    Typed::Key(Key::Call { back }) => assert!(back <= COUNT_MAX),
                    _ => {}
                }
            }
        }
    }
}
