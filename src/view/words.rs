//! What the participant window says, from the message files in `words/`.

use razvilka_dsp::contraction::Muscle;
use razvilka_dsp::deliberate::BlinkKind;
use serde::Deserialize;

use super::scene::Act;
use crate::choice::guard::{Kind, Rung};
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
    pub guard_overload: String,
    pub guard_fatigue: String,
    pub guard_habituation: String,
    pub guard_longer_pauses: String,
    pub guard_fewer_questions: String,
    pub guard_other_modality: String,
    pub guard_break: String,
    pub guard_stop: String,
    pub guard_back: String,
    pub guard_at_ease: String,
    pub guard_carry_on: String,
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

    /// A step of the guard: what the signs speak of, what follows, and how to take it back.
    #[must_use]
    pub fn guard(&self, rung: Rung, up: bool, kind: Option<Kind>) -> String {
        let what = match rung {
            Rung::AtEase => return self.guard_at_ease.clone(),
            Rung::LongerPauses => &self.guard_longer_pauses,
            Rung::FewerQuestions => &self.guard_fewer_questions,
            Rung::OtherModality => &self.guard_other_modality,
            Rung::Break => &self.guard_break,
            Rung::Stop => &self.guard_stop,
        };
        let why = match kind {
            _ if !up => self.guard_back.as_str(),
            Some(Kind::Overload) => &self.guard_overload,
            Some(Kind::Fatigue) => &self.guard_fatigue,
            Some(Kind::Habituation) => &self.guard_habituation,
            None => "",
        };
        let carry_on = if rung == Rung::Stop {
            ""
        } else {
            &self.guard_carry_on
        };
        let sentences = [why, what, carry_on];
        let said: Vec<_> = sentences.into_iter().filter(|s| !s.is_empty()).collect();
        said.join(" ")
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
    fn every_step_of_the_guard_is_told_with_its_reason_and_with_the_way_back() {
        for language in [ViewLanguage::En, ViewLanguage::Ru] {
            let words = Words::of(language);
            let mut told = Vec::new();
            for rung in Rung::ALL {
                for (up, kind) in [
                    (true, Some(Kind::Overload)),
                    (true, Some(Kind::Fatigue)),
                    (true, Some(Kind::Habituation)),
                    (true, None),
                    (false, None),
                ] {
                    if rung == Rung::AtEase && up {
                        continue;
                    }
                    let said = words.guard(rung, up, kind);
                    assert!(!told.contains(&said), "{said}");
                    let ends = [Rung::AtEase, Rung::Stop].contains(&rung);
                    assert_eq!(said.contains(&words.guard_carry_on), !ends, "{said}");
                    told.push(said);
                }
            }
        }
    }

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
