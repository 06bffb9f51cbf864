//! What the operator's view says, from the message files in `view/words/`.

use serde::Deserialize;

use crate::choice::handover::Autonomy;
use crate::config::ViewLanguage;
use crate::engine::telemetry::{Phase, StreamState};

/// Every string of the view in one language.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "each field is named for where it stands")]
pub struct Words {
    pub title: String,
    pub looking: String,
    pub silent: String,
    pub paused: String,
    pub writing: String,
    pub held: String,
    pub open: String,
    pub committed: String,
    pub declined: String,
    pub aborted: String,
    pub pause: String,
    pub resume: String,
    pub stop: String,
    pub stop_sure: String,
    pub not_allowed: String,
    pub not_heard: String,
    pub eeg: String,
    pub no_eeg: String,
    pub bad: String,
    pub gain: String,
    pub spectrum: String,
    pub density: String,
    pub posterior: String,
    pub no_fork: String,
    pub gaze: String,
    pub no_gaze: String,
    pub text: String,
    pub latency: String,
    pub latest: String,
    pub budget: String,
    pub misses: String,
    pub protocol: String,
    pub autonomy: String,
    pub asks: String,
    pub watches: String,
    pub often_checked: String,
    pub seldom_checked: String,
    pub no_imitator: String,
    pub answered: String,
    pub questions_left: String,
    pub imitated: String,
    pub state: String,
    pub moved: String,
    pub streams: String,
    pub live: String,
    pub quiet: String,
    pub lost: String,
    pub doubted: String,
    pub doubts: String,
    pub shift: String,
    pub channels_bad: String,
    pub disk: String,
    pub recording: String,
    pub whole: String,
    pub broken: String,
    pub dropped: String,
    pub yes: String,
}

impl Words {
    /// The strings of a language.
    #[must_use]
    pub fn of(language: ViewLanguage) -> Self {
        let file = match language {
            ViewLanguage::En => include_str!("../words/operator.en.toml"),
            ViewLanguage::Ru => include_str!("../words/operator.ru.toml"),
        };
        // The files are part of the program; a test reads both.
        toml::from_str(file).unwrap_or_default()
    }

    /// Where a fork is.
    #[must_use]
    pub fn phase(&self, phase: Phase) -> &str {
        match phase {
            Phase::Writing => &self.writing,
            Phase::Held => &self.held,
            Phase::Open => &self.open,
            Phase::Committed => &self.committed,
            Phase::Declined => &self.declined,
            Phase::Aborted => &self.aborted,
        }
    }

    /// How much is left to the imitator.
    #[must_use]
    pub fn level(&self, level: Option<Autonomy>) -> &str {
        match level {
            None => &self.no_imitator,
            Some(Autonomy::Asks) => &self.asks,
            Some(Autonomy::Watches) => &self.watches,
            Some(Autonomy::OftenChecked) => &self.often_checked,
            Some(Autonomy::SeldomChecked) => &self.seldom_checked,
        }
    }

    /// How it stands with a stream.
    #[must_use]
    pub fn stream(&self, state: StreamState) -> &str {
        match state {
            StreamState::Live => &self.live,
            StreamState::Silent => &self.quiet,
            StreamState::Lost => &self.lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_message_files_say_everything_each_in_its_script() {
        for (language, file, cyrillic) in [
            (
                ViewLanguage::En,
                include_str!("../words/operator.en.toml"),
                false,
            ),
            (
                ViewLanguage::Ru,
                include_str!("../words/operator.ru.toml"),
                true,
            ),
        ] {
            assert_ne!(Words::of(language), Words::default());
            let table: toml::Table = toml::from_str(file).unwrap();
            for (key, value) in &table {
                let text = value.as_str().unwrap();
                let found = text
                    .chars()
                    .any(|c| ('а'..='я').contains(&c) || ('А'..='Я').contains(&c));
                assert_eq!(found, cyrillic, "{key}: {text}");
            }
        }
    }
}
