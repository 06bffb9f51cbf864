//! The three words, and the parser that knows no other.

use serde_json::{Value, json};

use crate::source::{Format, StreamSpec};

/// Name of the stream by which `razvilka operator` asks.
pub const CONTROL_STREAM: &str = "RazvilkaControl";
/// Longest word that is looked at, bytes.
pub const WORD_BYTES_MAX: usize = 64;

/// What an operator may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Open no fork; abort the open one.
    Pause,
    /// Go on after a pause.
    Resume,
    /// End the session in order.
    Stop,
}

/// Why a word was not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Longer than any word.
    #[error("longer than {WORD_BYTES_MAX} bytes")]
    TooLong,
    /// None of the three.
    #[error("neither pause, resume nor stop")]
    Unknown,
}

impl Command {
    /// The word as one line of JSON: `{"control":"pause"}`.
    #[must_use]
    pub fn to_json(self) -> String {
        self.value().to_string()
    }

    /// Reads a word.
    ///
    /// # Errors
    /// [`Refused`] for everything that is none of the three.
    pub fn from_json(text: &str) -> Result<Self, Refused> {
        if text.len() > WORD_BYTES_MAX {
            return Err(Refused::TooLong);
        }
        let value: Value = serde_json::from_str(text).map_err(|_| Refused::Unknown)?;
        // Held against the three whole values: what is derived for an enum would let other shapes and more fields pass.
        let mut all = [Self::Pause, Self::Resume, Self::Stop].into_iter();
        all.find(|command| command.value() == value)
            .ok_or(Refused::Unknown)
    }

    fn value(self) -> Value {
        json!({ "control": self.word() })
    }

    /// The word itself.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
        }
    }
}

/// What the stream of an operator says of itself.
#[must_use]
pub fn control_spec(source_id: &str) -> StreamSpec {
    StreamSpec {
        name: CONTROL_STREAM.into(),
        kind: "Control".into(),
        source_id: source_id.into(),
        hostname: String::new(),
        uid: String::new(),
        rate_hz: 0.0,
        format: Format::String,
        labels: vec!["control".into()],
        units: Vec::new(),
        xml: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_three_words_stand_on_the_wire_as_documented() {
        for (command, json) in [
            (Command::Pause, r#"{"control":"pause"}"#),
            (Command::Resume, r#"{"control":"resume"}"#),
            (Command::Stop, r#"{"control":"stop"}"#),
        ] {
            assert_eq!(command.to_json(), json);
            assert_eq!(Command::from_json(json), Ok(command));
            assert_eq!(json, format!("{{\"control\":\"{}\"}}", command.word()));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "pause",
            "{}",
            "null",
            r#"{"control":"select"}"#,
            r#"{"control":"PAUSE"}"#,
            r#"{"control":"pause","item":1}"#,
            r#"{"control":["pause"]}"#,
            r#"{"key":"select","item":1}"#,
            r#"{"control":"pause"}{"control":"stop"}"#,
        ] {
            assert_eq!(Command::from_json(text), Err(Refused::Unknown), "{text}");
        }
        let padded = format!("{{\"control\":\"pause\"{}}}", " ".repeat(64));
        assert_eq!(Command::from_json(&padded), Err(Refused::TooLong));
        let deep = "[".repeat(10_000_000);
        assert_eq!(Command::from_json(&deep), Err(Refused::TooLong));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_none_but_the_three_is_followed(text in ".{0,80}") {
            if let Ok(command) = Command::from_json(&text) {
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(value, serde_json::json!({ "control": command.word() }));
            }
        }
    }
}
