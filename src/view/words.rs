//! What the participant window says, from the message files in `words/`.

use razvilka_dsp::contraction::Muscle;
use razvilka_dsp::deliberate::BlinkKind;
use serde::Deserialize;

use super::scene::Act;
use crate::config::ViewLanguage;
use crate::marker::{BlockKind, OptionKind, OptionTile};

/// Every string of the window in one language.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "each field is named for where it stands")]
pub struct Words {
    pub title: String,
    pub waiting: String,
    pub seizure_warning: String,
    pub flashes_confirm: String,
    pub rest: String,
    pub paused: String,
    pub ended: String,
    pub other: String,
    pub undo: String,
    pub go_on: String,
    pub point: String,
    pub pursuit: String,
    pub blink_block: String,
    pub signal_block: String,
    pub pupil_block: String,
    pub blink_now: String,
    pub double_blink_now: String,
    pub long_blink_now: String,
    pub jaw_now: String,
    pub brow_now: String,
    pub wish: String,
    pub read_options: String,
    pub cue: String,
    pub cannot_show: String,
    pub keys: String,
    pub scan: String,
}

impl Words {
    /// The strings of a language.
    #[must_use]
    pub fn of(language: ViewLanguage) -> Self {
        let file = match language {
            ViewLanguage::En => include_str!("words/en.toml"),
            ViewLanguage::Ru => include_str!("words/ru.toml"),
        };
        // The files are part of the program; a test reads both.
        toml::from_str(file).unwrap_or_default()
    }

    /// What stands on a tile: a branch's phrase, or the word for what the tile does.
    #[must_use]
    pub fn on_tile<'a>(&'a self, tile: &'a OptionTile) -> &'a str {
        match tile.kind {
            OptionKind::Branch | OptionKind::Item => &tile.text,
            OptionKind::Other => &self.other,
            OptionKind::Undo => &self.undo,
            OptionKind::GoOn => &self.go_on,
        }
    }

    /// What a block is about.
    #[must_use]
    pub fn block(&self, kind: BlockKind) -> &str {
        match kind {
            BlockKind::Blink => &self.blink_block,
            BlockKind::Signal => &self.signal_block,
            BlockKind::Pupil => &self.pupil_block,
        }
    }

    /// What is to be done, now.
    #[must_use]
    pub fn act(&self, act: Act) -> &str {
        match act {
            Act::Blink => &self.blink_now,
            Act::Signal(BlinkKind::Double) => &self.double_blink_now,
            Act::Signal(BlinkKind::Long) => &self.long_blink_now,
            Act::Contract(Muscle::Jaw) => &self.jaw_now,
            Act::Contract(Muscle::Brow) => &self.brow_now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_message_files_say_everything_each_in_its_script() {
        let (en, ru) = (Words::of(ViewLanguage::En), Words::of(ViewLanguage::Ru));
        assert_ne!(en, Words::default());
        assert_ne!(ru, Words::default());
        for (file, cyrillic) in [
            (include_str!("words/en.toml"), false),
            (include_str!("words/ru.toml"), true),
        ] {
            let table: toml::Table = toml::from_str(file).unwrap();
            for (key, value) in &table {
                let text = value.as_str().unwrap();
                let found = text.chars().any(|c| ('а'..='я').contains(&c));
                assert_eq!(found, cyrillic, "{key}: {text}");
            }
        }
    }
}
