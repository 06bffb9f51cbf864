//! Which texts can be shown: those that run from left to right, in scripts of which a font has the characters.

/// Why a text cannot be shown as it should be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// It runs from right to left.
    #[error(
        "'{sample}' runs from right to left, which the participant window cannot set yet: it would be shown in the wrong order. Show the \
         session in the terminal (view.surface = \"terminal\"), or with a program of your own that follows the marker stream"
    )]
    RightToLeft {
        /// The first such character.
        sample: char,
    },
    /// No font has these characters.
    #[error(
        "no font here has {}: name a font file that does in view.fonts, e.g. of Noto (Debian: fonts-noto-core, fonts-noto-cjk)",
        named(missing)
    )]
    NoGlyph {
        /// The characters, each once, at most [`SAMPLES`].
        missing: Vec<char>,
    },
}

/// Characters that are named when they cannot be shown.
pub const SAMPLES: usize = 8;

fn named(missing: &[char]) -> String {
    let words: Vec<_> = missing
        .iter()
        .map(|c| format!("'{c}' (U+{:04X})", u32::from(*c)))
        .collect();
    words.join(", ")
}

/// Whether a character is strongly right-to-left: bidirectional class R or AL of the Unicode Character Database, by block, with the marks
/// and embeddings that turn the direction.
#[must_use]
pub fn is_right_to_left(c: char) -> bool {
    matches!(u32::from(c),
        0x0590..=0x08FF // Hebrew, Arabic, Syriac, Thaana, NKo, Samaritan, Mandaic, Arabic Extended
        | 0x200F | 0x202B | 0x202E | 0x2067 // RLM, RLE, RLO, RLI
        | 0xFB1D..=0xFDFF | 0xFE70..=0xFEFE // presentation forms
        | 0x1_0800..=0x1_0FFF // Cypriot to Elymaic
        | 0x1_E800..=0x1_EFFF) // Mende Kikakui, Adlam, Arabic mathematical
}

/// Whether a text can be shown, where `has` says of which characters a font has a glyph. White space and controls need none.
///
/// # Errors
/// [`Unreadable`] with the characters at fault.
pub fn check(text: &str, mut has: impl FnMut(char) -> bool) -> Result<(), Unreadable> {
    if let Some(sample) = text.chars().find(|c| is_right_to_left(*c)) {
        return Err(Unreadable::RightToLeft { sample });
    }
    let mut missing = Vec::new();
    for c in text.chars() {
        let needs = !c.is_whitespace() && !c.is_control() && !is_joiner(c);
        if needs && !missing.contains(&c) && !has(c) {
            missing.push(c);
            if missing.len() == SAMPLES {
                break;
            }
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Unreadable::NoGlyph { missing })
    }
}

/// Characters that are never seen: joiners, variation selectors, the soft hyphen.
fn is_joiner(c: char) -> bool {
    matches!(u32::from(c), 0x00AD | 0x200B..=0x200E | 0x2060 | 0xFE00..=0xFE0F | 0xFEFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hebrew_arabic_and_what_turns_the_direction_are_refused() {
        for text in ["שלום", "مرحبا", "ok \u{202E}", "a ﷽", "ܐ", "߀"] {
            let refused = check(text, |_| true).unwrap_err();
            assert!(
                matches!(refused, Unreadable::RightToLeft { .. }),
                "{text}: {refused}"
            );
            assert!(refused.to_string().contains("view.surface = \"terminal\""));
        }
        for text in [
            "Mira",
            "Давным-давно",
            "Ἀχιλλεύς",
            "naïve — “ok”",
            "中文",
            "हिन्दी",
        ] {
            assert_eq!(check(text, |_| true), Ok(()), "{text}");
        }
    }

    #[test]
    fn missing_characters_are_named_once_each_and_not_without_end() {
        let text: String = ('\u{4E00}'..'\u{4E20}').chain(['a', ' ', '\n']).collect();
        let refused = check(&format!("{text}{text}"), |c| c.is_ascii()).unwrap_err();
        let Unreadable::NoGlyph { missing } = &refused else {
            panic!("{refused}");
        };
        assert_eq!(missing.len(), SAMPLES);
        assert!(refused.to_string().contains("'一' (U+4E00)"), "{refused}");
        assert_eq!(check("a\u{200D}b \u{AD}", |c| c.is_ascii()), Ok(()));
    }
}
