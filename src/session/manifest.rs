//! The manifest: what a session was made of.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::digest::sha256_hex;
use super::ledger::{ChainHead, SCHEMA_VERSION};
use super::machine::Machine;
use super::utc::{new_session_id, utc_of};
use crate::source::StreamSpec;
use crate::view::surface::Frames;

/// The name that tells a manifest of ours from other JSON.
const FORMAT: &str = "razvilka-session";
/// Raised when a reader of the former form would misread the new one.
const FORMAT_VERSION: u32 = 2;
/// From this version on `text.txt` holds the prompts, and their tokens do not count as written.
const PROMPTS_SINCE: u32 = 2;

/// What a session was made of, and how it ended. Written at the start and again at the end; a session that was killed has
/// `ended_utc` empty and `complete` false.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always `razvilka-session`.
    pub format: String,
    /// Version of this form.
    pub format_version: u32,
    /// Identity of the session; also in the first marker, in the ledger and in the `source_id` of its streams.
    pub session: String,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Start, UTC.
    pub started_utc: String,
    /// End, UTC; absent when the session did not end by itself.
    pub ended_utc: Option<String>,
    /// Whether the session ended by itself and nothing of it is missing.
    pub complete: bool,
    /// What is missing from the recording, and since when; one sentence each.
    pub recording_incomplete: Vec<String>,
    /// Why figures of latency are not certified (say, no real-time priority); one sentence each.
    pub uncertified: Vec<String>,
    /// Versions of the parts.
    pub versions: Versions,
    /// The machine.
    pub machine: Machine,
    /// The configuration, whole.
    pub config: ConfigRecord,
    /// The models and adapters.
    pub models: Vec<ModelRecord>,
    /// SHA-256 of the calibration profile in use.
    pub profile_sha256: Option<String>,
    /// Seeds by the name of what they seed.
    pub seeds: BTreeMap<String, u64>,
    /// The streams, as they said of themselves.
    pub streams: Vec<StreamRecord>,
    /// The last row of the ledger: shows that rows at its end are missing, which the chain alone cannot.
    pub ledger: Option<ChainHead>,
    /// SHA-256 of `text.txt` at the end; absent from a session that did not end by itself, and from folders of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_sha256: Option<String>,
    /// The texts in `text.txt`, in order; empty when the session did not end by itself, and in folders of version 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<TextRecord>,
    /// How the frames of the participant window came, and what its stamps were worth; absent without one, and from folders of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<Frames>,
    /// The session this one replays; absent from one that was lived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<ReplayOf>,
}

/// Where one text begins in `text.txt`, and how much of it nobody wrote. Characters are Unicode scalar values: what Python counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextRecord {
    /// Characters before it.
    pub begins_char: u64,
    /// Characters of its prompt, with which it begins.
    pub prompt_chars: u64,
}

impl TextRecord {
    /// Of a text that begins with `prompt` behind all of `before`.
    #[must_use]
    pub fn behind(before: &str, prompt: &str) -> Self {
        Self {
            begins_char: before.chars().count() as u64,
            prompt_chars: prompt.chars().count() as u64,
        }
    }
}

/// What a replay was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayOf {
    /// Identity of the session.
    pub session: String,
    /// SHA-256 of each of its files that was read, by the file's name.
    pub files: BTreeMap<String, String>,
}

/// Versions of the parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// This program.
    pub razvilka: String,
    /// The commit it was built from (`RAZVILKA_COMMIT` at build time).
    pub commit: Option<String>,
    /// The ledger's tables.
    pub ledger_schema: u32,
    /// The SQLite library.
    pub sqlite: String,
}

impl Versions {
    /// Those of this build.
    #[must_use]
    pub fn here() -> Self {
        Self {
            razvilka: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("RAZVILKA_COMMIT").map(str::to_owned),
            ledger_schema: SCHEMA_VERSION,
            sqlite: rusqlite::version().to_owned(),
        }
    }
}

/// A configuration as it was used, defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigRecord {
    /// The validated plan, as text.
    pub text: String,
    /// SHA-256 of that text.
    pub sha256: String,
}

impl ConfigRecord {
    /// Records a configuration with its digest.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self {
            sha256: sha256_hex(text.as_bytes()),
            text,
        }
    }
}

/// A model or adapter file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecord {
    /// What it is for: `base`, `embedder`, `tokenizer`, `adapter`.
    pub role: String,
    /// File name, or `embedded`.
    pub name: String,
    /// Length, bytes.
    pub bytes: u64,
    /// SHA-256.
    pub sha256: String,
    /// How the matrices of a weights file were held: `f32`, `q8`, `q4`, or `stored` for several widths; absent of other
    /// files, behind a server, and from folders of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<String>,
}

/// A stream and what it was used for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamRecord {
    /// What it was used for: `eeg`, `gaze`, `markers`.
    pub role: String,
    /// What it said of itself.
    pub spec: StreamSpec,
    /// How its numbers were read, in words; of gaze alone, and absent from folders of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_as: Option<String>,
}

impl Manifest {
    /// The manifest of a session that begins now, on this machine.
    #[must_use]
    pub fn begin(command: Vec<String>, config: ConfigRecord) -> Self {
        let now = SystemTime::now();
        Self {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            session: new_session_id(now),
            command,
            started_utc: utc_of(now),
            ended_utc: None,
            complete: false,
            recording_incomplete: Vec::new(),
            uncertified: Vec::new(),
            versions: Versions::here(),
            machine: Machine::here(),
            config,
            models: Vec::new(),
            profile_sha256: None,
            seeds: BTreeMap::new(),
            streams: Vec::new(),
            ledger: None,
            text_sha256: None,
            texts: Vec::new(),
            display: None,
            replay_of: None,
        }
    }

    /// Whether `text.txt` holds the prompts; those of before left them out, and counted their tokens as written.
    #[must_use]
    pub const fn text_holds_prompts(&self) -> bool {
        self.format_version >= PROMPTS_SINCE
    }

    /// Marks the end, now. The session counts as complete unless something is missing.
    pub fn end(&mut self, ledger: Option<ChainHead>) {
        self.ended_utc = Some(utc_of(SystemTime::now()));
        self.ledger = ledger;
        self.complete = self.recording_incomplete.is_empty() && self.ledger.is_some();
    }

    /// Reads a manifest, or says why the text is none. The form is asked for first, so that a later one is refused by its
    /// version and not by a field unknown here.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Form {
            format: String,
            format_version: u32,
        }
        let unreadable = |error| format!("manifest.json cannot be read: {error}");
        let form: Form = serde_json::from_str(text).map_err(unreadable)?;
        if form.format != FORMAT {
            return Err(format!("its format is `{}`", form.format));
        }
        if form.format_version > FORMAT_VERSION {
            return Err(format!(
                "its version is {} and this program reads up to {FORMAT_VERSION}",
                form.format_version
            ));
        }
        serde_json::from_str(text).map_err(unreadable)
    }
}
