//! What a session has to say in words: the end of the text, the options of the open fork, the latest notes, and which streams it uses.
//!
//! One JSON object in one string sample, told when it has changed and again every two seconds, so that who comes later has all of it at
//! once. Every part is bounded where it is made, and the whole is where it is read: a page comes from the network.

use serde::{Deserialize, Serialize};

use crate::config::{GazeSection, ScreenSection};
use crate::fork::MAX_OPTIONS;
use crate::marker::OptionTile;
use crate::source::{Format, StreamSpec};

/// Name of the stream.
pub const PAGE_STREAM: &str = "RazvilkaPage";
/// Longest page that is read, bytes. The bounds below keep what is told well within it, whatever its characters are.
pub const PAGE_BYTES_MAX: usize = 64 * 1024;
/// Characters of the text, from its end.
const TEXT_CHARS: usize = 1_200;
/// Characters of a phrase, a note, an answer.
const PHRASE_CHARS: usize = 200;
/// Notes, the latest.
const NOTES: usize = 6;
/// Labels of bad channels.
const BAD: usize = 64;
/// Characters of a label.
const LABEL_CHARS: usize = 24;
/// Characters of a stream's uid: those of LSL have 36.
const UID_CHARS: usize = 64;

/// What the stream says of itself.
#[must_use]
pub fn page_spec(session: &str) -> StreamSpec {
    let id = format!("razvilka-page-{session}");
    let mut spec = super::spec(PAGE_STREAM, "Page", &id, Format::String);
    spec.labels = vec!["page".into()];
    spec
}

/// The identity of a stream that the session uses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its content type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Identity of the device.
    pub source_id: String,
    /// The machine that serves it.
    pub hostname: String,
}

impl Named {
    /// The identity of this stream.
    #[must_use]
    pub fn of(spec: &StreamSpec) -> Self {
        Self {
            name: spec.name.clone(),
            kind: spec.kind.clone(),
            source_id: spec.source_id.clone(),
            hostname: spec.hostname.clone(),
        }
    }
}

/// The open fork, in words.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AskedNow {
    /// Its number.
    pub number: u64,
    /// Its options, and where they stand, degrees.
    pub options: Vec<OptionTile>,
}

/// The page.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Page {
    /// Identity of the session.
    pub session: String,
    /// The EEG stream.
    pub eeg: Option<Named>,
    /// The gaze stream.
    pub gaze: Option<Named>,
    /// How the gaze stream is read.
    pub gaze_read: Option<GazeSection>,
    /// Geometry of the participant's screen.
    pub screen: ScreenSection,
    /// The end of the text.
    pub text: String,
    /// The open fork.
    pub fork: Option<AskedNow>,
    /// How the latest fork ended, one line.
    pub answer: String,
    /// EEG channels that are bad now.
    pub bad: Vec<String>,
    /// The latest notes, oldest first.
    pub notes: Vec<String>,
    /// Whether an operator's stream may pause and stop the session.
    pub control: bool,
    /// The operator's stream that is heard, by its uid; empty when none is.
    pub heard: String,
}

/// Why a page cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Larger than any page.
    #[error("a page of {bytes} bytes, at most {PAGE_BYTES_MAX} are read")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// No page of ours.
    #[error("no page of a session: {0}")]
    NoPage(#[from] serde_json::Error),
}

impl Page {
    /// The page as one line of JSON, within the bounds.
    #[must_use]
    pub fn to_json(&self) -> String {
        // A struct of numbers and strings has no failing case in serde_json.
        serde_json::to_string(&self.clone().bounded()).unwrap_or_default()
    }

    /// Reads a page, and holds it to the bounds: it may come from anybody.
    ///
    /// # Errors
    /// [`PageError`] when it is too large or no page.
    pub fn read(text: &str) -> Result<Self, PageError> {
        if text.len() > PAGE_BYTES_MAX {
            return Err(PageError::TooLarge { bytes: text.len() });
        }
        // What is derived for a struct reads a list as well.
        if !text.trim_start().starts_with('{') {
            let no_object = <serde_json::Error as serde::de::Error>::custom("no object");
            return Err(PageError::NoPage(no_object));
        }
        Ok(serde_json::from_str::<Self>(text)?.bounded())
    }

    fn bounded(mut self) -> Self {
        self.text = tail(&self.text, TEXT_CHARS);
        shorten(&mut self.session, PHRASE_CHARS);
        shorten(&mut self.answer, PHRASE_CHARS);
        shorten(&mut self.heard, UID_CHARS);
        if let Some(fork) = &mut self.fork {
            fork.options.truncate(MAX_OPTIONS);
            for option in &mut fork.options {
                shorten(&mut option.text, PHRASE_CHARS);
            }
        }
        self.bad.truncate(BAD);
        for label in &mut self.bad {
            shorten(label, LABEL_CHARS);
        }
        let older = self.notes.len().saturating_sub(NOTES);
        self.notes.drain(..older);
        for note in &mut self.notes {
            shorten(note, PHRASE_CHARS);
        }
        self
    }
}

/// The last `chars` characters of a text.
#[must_use]
pub fn tail(text: &str, chars: usize) -> String {
    let begin = text
        .char_indices()
        .rev()
        .nth(chars.saturating_sub(1))
        .map_or(0, |(at, _)| at);
    text.get(begin..).unwrap_or_default().to_owned()
}

fn shorten(text: &mut String, chars: usize) {
    if let Some((end, _)) = text.char_indices().nth(chars) {
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marker::OptionKind;

    fn tile(text: &str) -> OptionTile {
        OptionTile {
            item: 0,
            kind: OptionKind::Branch,
            text: text.into(),
            x_deg: 0.0,
            y_deg: 0.0,
            w_deg: 1.0,
            h_deg: 1.0,
        }
    }

    #[test]
    fn whatever_a_session_has_to_say_its_page_stays_small_and_can_be_read() {
        // The costliest characters that JSON knows: six bytes for one.
        let long = "\u{1}".repeat(100_000);
        let named = Named {
            name: "\u{1}".repeat(256),
            kind: "\u{1}".repeat(256),
            source_id: "\u{1}".repeat(256),
            hostname: "\u{1}".repeat(256),
        };
        let page = Page {
            session: long.clone(),
            eeg: Some(named.clone()),
            gaze: Some(named),
            gaze_read: Some(GazeSection::default()),
            text: long.clone(),
            fork: Some(AskedNow {
                number: u64::MAX,
                options: vec![tile(&long); 40],
            }),
            answer: long.clone(),
            bad: vec![long.clone(); 512],
            notes: vec![long.clone(); 100],
            heard: long,
            ..Page::default()
        };
        let json = page.to_json();
        assert!(json.len() < PAGE_BYTES_MAX, "{}", json.len());
        let read = Page::read(&json).unwrap();
        assert_eq!(read.notes.len(), NOTES);
        assert_eq!(
            read.fork.as_ref().map(|f| f.options.len()),
            Some(MAX_OPTIONS)
        );
        // What was cut is cut no further.
        assert_eq!(Page::read(&read.to_json()).unwrap(), read);
    }

    #[test]
    fn a_page_says_the_end_of_the_text_in_whole_characters_and_the_latest_notes() {
        let page = Page {
            text: format!("{}лиса", "ё".repeat(3_000)),
            notes: (0..10).map(|n| n.to_string()).collect(),
            ..Page::default()
        };
        let read = Page::read(&page.to_json()).unwrap();
        assert_eq!(read.text.chars().count(), TEXT_CHARS);
        assert!(read.text.ends_with("ёлиса"));
        assert_eq!(read.notes, ["4", "5", "6", "7", "8", "9"]);
        assert_eq!(tail("ab", 5), "ab");
        assert_eq!(tail("", 5), "");
    }

    #[test]
    fn what_is_too_large_or_no_page_is_refused() {
        let large = format!("{{\"text\":\"{}\"}}", "a".repeat(PAGE_BYTES_MAX));
        assert!(matches!(
            Page::read(&large),
            Err(PageError::TooLarge { .. })
        ));
        for text in [
            "",
            "null",
            "[]",
            "{\"text\":1}",
            "{\"screen\":{\"width_cm\":\"x\"}}",
        ] {
            assert!(
                matches!(Page::read(text), Err(PageError::NoPage(_))),
                "{text}"
            );
        }
    }
}
