//! Consent: what a person has agreed to, when, and to which words.

use serde::{Deserialize, Serialize};

use crate::gate::Limit;

/// The name that tells a record of ours from other files.
const FORMAT: &str = "razvilka-person";
/// Raised when a reader of the former form would misread the new one.
const FORMAT_VERSION: u32 = 1;

/// How long choices are remembered.
pub const RETENTION_DAYS: Limit = Limit {
    key: "retention_days",
    unit: "days",
    min: 1.0,
    max: 36_500.0,
    default: 365.0,
    about: "choices older than this are forgotten when the next session of the person begins",
};

/// Raised when the words below change: a person who agreed to others is asked again.
pub const CONSENT_WORDING_VERSION: u32 = 1;

/// What a person agrees to.
pub const CONSENT_WORDING: &str = "\
With learning on, every fork of my sessions is kept in my folder on this machine: the text before it, the options, what was chosen and by whom, \
how long it took, what my eyes and brain said for each option, and the language model's state there. Razvilka uses it to foresee my choices. \
Nothing leaves this machine. I can look at it, export it, and have one choice or all of them deleted at any time; learning can be switched off at any \
time. What a session's own folder holds stays there until I delete that folder.";

/// One decision about learning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// Whether Razvilka may remember and learn.
    pub learning: bool,
    /// When it was said, UTC.
    pub at_utc: String,
    /// Version of the words that were agreed to.
    pub wording: u32,
    /// How long choices are kept, days.
    pub retention_days: u32,
}

/// `person.toml`. The default is that of a person who has not been asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonRecord {
    /// Always `razvilka-person`.
    pub format: String,
    /// Version of this form.
    pub format_version: u32,
    /// When the folder was made, UTC.
    pub created_utc: String,
    /// Everything that was said about learning, oldest first; the last one holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consent: Vec<Consent>,
}

impl PersonRecord {
    pub(super) fn new(created_utc: String) -> Self {
        Self {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            created_utc,
            consent: Vec::new(),
        }
    }

    /// Reads a record, or says why the text is none. The form is asked for first, so that a later one is refused by its version.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Form {
            format: String,
            format_version: u32,
        }
        let form: Form = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        if form.format != FORMAT {
            return Err(format!("its format is `{}`, not `{FORMAT}`", form.format));
        }
        if form.format_version > FORMAT_VERSION {
            return Err(format!(
                "its version is {} and this program reads up to {FORMAT_VERSION}",
                form.format_version
            ));
        }
        let record: Self = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        for consent in &record.consent {
            RETENTION_DAYS
                .check(f64::from(consent.retention_days))
                .map_err(|error| error.to_string())?;
        }
        Ok(record)
    }

    /// The consent that holds now; `None` when learning is off, was never agreed to, or was agreed to in other words.
    #[must_use]
    pub fn agreed(&self) -> Option<&Consent> {
        self.consent
            .last()
            .filter(|consent| consent.learning && consent.wording == CONSENT_WORDING_VERSION)
    }

    /// Why nothing is remembered, in words; `None` when it is.
    #[must_use]
    pub fn off_because(&self) -> Option<&'static str> {
        match self.consent.last() {
            _ if self.agreed().is_some() => None,
            None => Some("nobody has agreed to learning yet"),
            Some(last) if last.learning => {
                Some("the words of the consent have changed since it was given")
            }
            Some(_) => Some("learning is switched off"),
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use super::*;

    fn consent(learning: bool, wording: u32) -> Consent {
        Consent {
            learning,
            at_utc: "2026-11-28T10:00:00.000Z".into(),
            wording,
            retention_days: 30,
        }
    }

    #[test]
    fn the_last_word_about_learning_holds_and_only_for_the_words_it_was_said_to() {
        let mut record = PersonRecord::new("2026-11-28T09:00:00.000Z".into());
        assert!(record.agreed().is_none());
        record.consent.push(consent(true, CONSENT_WORDING_VERSION));
        assert_eq!(record.agreed().map(|c| c.retention_days), Some(30));
        assert_eq!(record.off_because(), None);
        record.consent.push(consent(false, CONSENT_WORDING_VERSION));
        assert_eq!(record.off_because(), Some("learning is switched off"));
        record
            .consent
            .push(consent(true, CONSENT_WORDING_VERSION + 1));
        assert!(record.off_because().unwrap().contains("words"));
        let text = toml::to_string(&record).unwrap();
        assert_eq!(PersonRecord::parse(&text).unwrap(), record);
    }

    #[test]
    fn records_that_are_none_are_refused_with_what_is_wrong() {
        let good = toml::to_string(&PersonRecord::new("t".into())).unwrap();
        let cases = [
            (
                good.replace("razvilka-person", "else"),
                "its format is `else`",
            ),
            (
                good.replace("format_version = 1", "format_version = 9"),
                "its version is 9",
            ),
            (format!("{good}\nshoe_size = 43\n"), "shoe_size"),
            (
                format!(
                    "{good}\n[[consent]]\nlearning = true\nat_utc = \"t\"\nwording = 1\nretention_days = 0\n"
                ),
                "retention_days",
            ),
        ];
        for (text, part) in cases {
            let said = PersonRecord::parse(&text).unwrap_err();
            assert!(said.contains(part), "{said}");
        }
    }
}
