//! The experiment file: what was written becomes a validated [`Plan`] or one clear error.
//!
//! TOML with units in the keys. An unknown key, a value of the wrong type and a number outside its range are refused
//! with key, value and allowed range; nothing is corrected silently. The numbers and their ranges stand in [`limits`].

mod limits;
mod signal;

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use limits::{explain, limits, own as limit};
pub use signal::{NOTCH_MIN_HZ, check_filter};

use crate::choice::FlashSettings;
use crate::choice::ProtocolSettings;
use crate::decode::WriterSettings;
use crate::gate::{GateSettings, SettingsError};
use crate::marker::{OptionKind, OptionTile};
use crate::source::SourceError;
use crate::source::pins::Pins;
use signal::Stated;

/// Largest experiment file accepted, bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Longest message of the parser that is passed on, characters.
const WORDS_MAX: usize = 600;

/// Why an experiment file was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the experiment file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Larger than any experiment file.
    #[error(
        "{} holds more than {FILE_BYTES_MAX} bytes: it is no experiment file. examples/experiment.toml is an annotated one", path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Not TOML, an unknown key, or a value of the wrong type; the message names line and key.
    #[error("{}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line and column, and what the parser says.
        message: String,
    },
    /// A number lies outside its range.
    #[error("{0}")]
    Number(SettingsError),
    /// Pins that select nothing, or make no sense.
    #[error("{0}")]
    Pins(SourceError),
    /// The profile that the file names cannot be used.
    #[error("calibration.profile: {0}")]
    Profile(razvilka_calibration::CalibrationError),
    /// Values that are fine alone but not together.
    #[error("{0}")]
    Contradiction(String),
}

macro_rules! section {
    ($(#[$doc:meta])* $name:ident, $prefix:literal { $($(#[$fdoc:meta])* $field:ident : $ty:ty = $key:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty,)+ }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: default_of(concat!($prefix, ".", $key)) as $ty,)+ }
            }
        }

        impl Checked for $name {
            // Fields are f64, u32 and one u64 below 2^53: the cast is exact, but only some of them have a `From`.
            #[allow(clippy::cast_lossless)]
            fn numbers(&self) -> Vec<(&'static str, f64)> {
                vec![$((concat!($prefix, ".", $key), self.$field as f64),)+]
            }
        }
    };
}

/// Where the parser stopped and what it says, in one line of bounded length: the text at fault may be of any length.
fn parser_words(text: &str, error: &toml::de::Error) -> String {
    let mut words = error.message().trim().replace('\n', "; ");
    if let Some((end, _)) = words.char_indices().nth(WORDS_MAX) {
        words.truncate(end);
        words.push_str("...");
    }
    let before = error.span().and_then(|span| text.get(..span.start));
    let Some(before) = before else {
        return words;
    };
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}: {words}")
}

trait Checked {
    /// Full key and value of every number in the section.
    fn numbers(&self) -> Vec<(&'static str, f64)>;
}

fn default_of(key: &str) -> f64 {
    // Every key named in this file has a row: the test `every_number_has_a_row` walks them all.
    limits::own(key).map_or(f64::NAN, |limit| limit.default)
}

section!(
    /// How long the session lasts, and its seed.
    SessionSection, "session" {
        /// Seed of everything random.
        seed: u64 = "seed",
        /// Answered forks until the end.
        forks: u32 = "forks",
        /// Minutes until the end.
        minutes_max: f64 = "minutes_max",
    }
);
section!(
    /// Geometry of the screen.
    ScreenSection, "screen" {
        /// Width of the picture, centimetres.
        width_cm: f64 = "width_cm",
        /// Height of the picture, centimetres.
        height_cm: f64 = "height_cm",
        /// Eye to screen, centimetres.
        distance_cm: f64 = "distance_cm",
        /// Width, pixels.
        width_px: u32 = "width_px",
        /// Height, pixels.
        height_px: u32 = "height_px",
    }
);
section!(
    /// The causal filter.
    FilterSection, "filter" {
        /// Lower edge, hertz.
        low_hz: f64 = "low_hz",
        /// Upper edge, hertz.
        high_hz: f64 = "high_hz",
        /// Butterworth order.
        order: u32 = "order",
        /// Mains notch, hertz; 0 leaves it out.
        notch_hz: f64 = "notch_hz",
    }
);
section!(
    /// What is scored after a flash.
    EpochSection, "epoch" {
        /// Length, seconds.
        length_s: f64 = "length_s",
    }
);
section!(
    /// How the model writes, and how it looks for forks.
    WriterSection, "writer" {
        /// Sampling temperature of banal tokens; 0 is greedy.
        temperature: f64 = "temperature",
        /// Mass of the likeliest tokens that are drawn from.
        top_p: f64 = "top_p",
        /// Tokens of one text, at most.
        tokens_max: u32 = "tokens_max",
        /// How far back the model looks, tokens.
        context_tokens_max: u32 = "context_tokens_max",
        /// Cheap test for a fork: least probability of the second likeliest token.
        second_mass_min: f64 = "second_mass_min",
        /// Cheap test for a fork: least mass of the three likeliest together.
        top3_mass_min: f64 = "top3_mass_min",
        /// Least mass of a meaning that is offered.
        meaning_mass_min: f64 = "meaning_mass_min",
        /// Length of a phrase without a stop, tokens.
        phrase_tokens_max: u32 = "phrase_tokens_max",
        /// Tokens decoded ahead on each branch while the person decides.
        ready_tokens_max: u32 = "ready_tokens_max",
        /// Choices that can be taken back.
        undo_depth: u32 = "undo_depth",
    }
);
section!(
    /// How long the person may read before flashes begin.
    AskSection, "ask" {
        /// Time before the first word, seconds.
        reading_base_s: f64 = "reading_base_s",
        /// Time for each word on the branch tiles, seconds.
        reading_s_per_word: f64 = "reading_s_per_word",
    }
);

impl AskSection {
    /// Expected time to read the branches on these tiles, seconds.
    #[must_use]
    pub fn reading_s(&self, tiles: &[OptionTile]) -> f64 {
        let words: usize = tiles
            .iter()
            .filter(|tile| tile.kind == OptionKind::Branch)
            .map(|tile| tile.text.split_whitespace().count())
            .sum();
        self.reading_base_s + self.reading_s_per_word * words as f64
    }
}

section!(
    /// Latency budgets per stage.
    BudgetSection, "budget" {
        /// Sample stamp to pulled, milliseconds.
        stamp_to_pulled_ms: f64 = "stamp_to_pulled_ms",
        /// Pulled to scored, milliseconds.
        pulled_to_scored_ms: f64 = "pulled_to_scored_ms",
        /// Scored to decided, milliseconds.
        scored_to_decided_ms: f64 = "scored_to_decided_ms",
        /// Decided to committed, milliseconds.
        decided_to_committed_ms: f64 = "decided_to_committed_ms",
        /// Committed to text shown, milliseconds.
        committed_to_shown_ms: f64 = "committed_to_shown_ms",
    }
);

/// Which LSL configuration is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// The machine's own LSL configuration (`LSLAPICFG`, `lsl_api.cfg`).
    Laboratory,
    /// This machine only: 127.0.0.1.
    Loopback,
}

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSection {
    /// Which LSL configuration is used.
    pub mode: NetworkMode,
    /// LSL session id when the mode is `loopback`; empty for the default.
    pub session_id: String,
    /// How long streams are looked for, seconds.
    pub resolve_s: f64,
}

impl Default for NetworkSection {
    fn default() -> Self {
        Self {
            mode: NetworkMode::Laboratory,
            session_id: String::new(),
            resolve_s: default_of("network.resolve_s"),
        }
    }
}

/// What the numbers of a gaze stream mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GazeUnits {
    /// 0..1 across the picture, origin top left.
    Normalised,
    /// Pixels of the picture, origin top left.
    Pixels,
    /// Degrees from the centre, x to the right, y downwards.
    Degrees,
}

impl GazeUnits {
    /// The unit that a stream declares for a channel, as trackers write it; `None` for none, and for one that is not known.
    #[must_use]
    pub fn declared(unit: &str) -> Option<Self> {
        match unit.trim().to_ascii_lowercase().as_str() {
            "normalised" | "normalized" | "norm" | "fraction" => Some(Self::Normalised),
            "pixels" | "pixel" | "px" | "pix" => Some(Self::Pixels),
            "degrees" | "degree" | "deg" | "dva" | "°" => Some(Self::Degrees),
            _ => None,
        }
    }

    /// As the experiment file writes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Normalised => "normalised",
            Self::Pixels => "pixels",
            Self::Degrees => "degrees",
        }
    }
}

/// The gaze stream and how to read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GazeSection {
    /// Which stream.
    pub pins: Pins,
    /// Label of the horizontal channel.
    #[serde(default = "default_x")]
    pub x: String,
    /// Label of the vertical channel.
    #[serde(default = "default_y")]
    pub y: String,
    /// Label of the confidence channel; absent when loss is told by NaN alone.
    #[serde(default)]
    pub confidence: Option<String>,
    /// Samples of less confidence count as lost.
    #[serde(default = "default_confidence")]
    pub confidence_min: f64,
    /// What the numbers mean.
    pub units: GazeUnits,
}

fn default_x() -> String {
    "x".into()
}
fn default_y() -> String {
    "y".into()
}
fn default_confidence() -> f64 {
    default_of("gaze.confidence_min")
}

/// The EEG stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EegSection {
    /// Which stream.
    pub pins: Pins,
    /// Labels of the channels that are used, in this order; all channels when absent.
    #[serde(default)]
    pub use_channels: Option<Vec<String>>,
}

/// Key presses: from a stream, typed in the terminal, or both.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeysSection {
    /// Whether keys are typed in the terminal that the session runs in.
    pub terminal: bool,
    /// Which stream; without it only the terminal's keys count.
    pub pins: Option<Pins>,
}

/// What is done when the clocks of EEG and gaze move against each other: their evidence is never fused then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClocksDisagree {
    /// A fork waits until they agree; after a while the model goes on.
    #[default]
    Wait,
    /// EEG alone chooses until they agree.
    Eeg,
    /// Gaze alone chooses until they agree.
    Gaze,
}

/// What becomes of a session whose streams fail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StreamsSection {
    /// How long a lost stream is looked for before the session ends, seconds; 0 ends it at once.
    pub lost_wait_s: f64,
    /// When the clocks of EEG and gaze disagree.
    pub clocks_disagree: ClocksDisagree,
}

impl Default for StreamsSection {
    fn default() -> Self {
        Self {
            lost_wait_s: default_of("streams.lost_wait_s"),
            clocks_disagree: ClocksDisagree::default(),
        }
    }
}

/// Calibration: a saved profile, or the numbers of a live calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CalibrationSection {
    /// A profile written by `razvilka calibrate`; calibrates live when absent.
    pub profile: Option<PathBuf>,
    /// Cued blocks of flashes.
    pub blocks: u32,
    /// Flashes of each item in a block.
    pub flashes_per_item: u32,
    /// Gaze points that are fitted: 5, 9 or 13.
    pub points: u32,
    /// Gaze points that only judge the map.
    pub check_points: u32,
    /// How long a gaze point stands, seconds.
    pub point_s: f64,
}

impl Default for CalibrationSection {
    fn default() -> Self {
        Self {
            profile: None,
            blocks: default_of("calibration.blocks") as u32,
            flashes_per_item: default_of("calibration.flashes_per_item") as u32,
            points: default_of("calibration.points") as u32,
            check_points: default_of("calibration.check_points") as u32,
            point_s: default_of("calibration.point_s"),
        }
    }
}

/// The language model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSection {
    /// A Llama-shaped Hugging Face folder; the embedded story model when absent.
    pub path: Option<PathBuf>,
    /// Text to go on from.
    pub prompt: String,
    /// How fast text that needs no choice appears.
    pub pace_tokens_per_s: f64,
}

impl Default for ModelSection {
    fn default() -> Self {
        Self {
            path: None,
            prompt: String::new(),
            pace_tokens_per_s: default_of("model.pace_tokens_per_s"),
        }
    }
}

/// What real-time threads ask the system for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RealtimeSection {
    /// SCHED_FIFO priority; 0 asks for none.
    pub priority: u32,
    /// Whether pages are locked into memory.
    pub lock_memory: bool,
}

impl Default for RealtimeSection {
    fn default() -> Self {
        Self {
            priority: default_of("realtime.priority") as u32,
            lock_memory: true,
        }
    }
}

/// The validated experiment file: what a session does. The default names no source, so it is no valid plan yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Length and seed.
    #[serde(default)]
    pub session: SessionSection,
    /// Network.
    #[serde(default)]
    pub network: NetworkSection,
    /// EEG stream; without it gaze or keys choose.
    pub eeg: Option<EegSection>,
    /// Gaze stream; without it EEG or keys choose.
    pub gaze: Option<GazeSection>,
    /// Key presses.
    pub keys: Option<KeysSection>,
    /// Streams that fail.
    #[serde(default)]
    pub streams: StreamsSection,
    /// Screen.
    #[serde(default)]
    pub screen: ScreenSection,
    /// Filter.
    #[serde(default)]
    pub filter: FilterSection,
    /// Epoch.
    #[serde(default)]
    pub epoch: EpochSection,
    /// Calibration.
    #[serde(default)]
    pub calibration: CalibrationSection,
    /// Language model.
    #[serde(default)]
    pub model: ModelSection,
    /// How the model writes.
    #[serde(default)]
    pub writer: WriterSection,
    /// How long the person may read before flashes begin.
    #[serde(default)]
    pub ask: AskSection,
    /// When the person is asked.
    #[serde(default)]
    pub protocol: ProtocolSettings,
    /// Gate.
    #[serde(default)]
    pub gate: GateSettings,
    /// Flashes.
    #[serde(default)]
    pub flash: FlashSettings,
    /// Latency budgets.
    #[serde(default)]
    pub budget: BudgetSection,
    /// Real-time wishes.
    #[serde(default)]
    pub realtime: RealtimeSection,
}

impl Plan {
    /// Reads and validates an experiment file.
    ///
    /// # Errors
    /// [`ConfigError`] naming file, key, value and range.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::read_stated(path).map(|(plan, _)| plan)
    }

    fn read_stated(path: &Path) -> Result<(Self, Stated), ConfigError> {
        let read = || -> std::io::Result<String> {
            let mut text = String::new();
            let file = std::fs::File::open(path)?;
            file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
            Ok(text)
        };
        let text = read().map_err(|source| ConfigError::Read {
            path: path.into(),
            source,
        })?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(ConfigError::TooLarge { path: path.into() });
        }
        let mut plan = Self::parse(&text, path)?;
        // Text that is a plan is a table.
        let stated = Stated::new(toml::from_str(&text).unwrap_or_default());
        // Paths in the file are relative to the file.
        let base = path.parent().unwrap_or_else(|| Path::new("."));
        for inner in [&mut plan.calibration.profile, &mut plan.model.path]
            .into_iter()
            .flatten()
        {
            if inner.is_relative() {
                *inner = base.join(&*inner);
            }
        }
        Ok((plan, stated))
    }

    /// Validates the text of an experiment file; `path` is only named in messages.
    ///
    /// # Errors
    /// As [`Plan::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let plan: Self = toml::from_str(text).map_err(|error| ConfigError::Parse {
            path: path.into(),
            message: parser_words(text, &error),
        })?;
        plan.check()?;
        Ok(plan)
    }

    /// All numbers with their full keys.
    fn numbers(&self) -> Vec<(&'static str, f64)> {
        let mut all = vec![
            ("network.resolve_s", self.network.resolve_s),
            ("streams.lost_wait_s", self.streams.lost_wait_s),
            ("calibration.blocks", f64::from(self.calibration.blocks)),
            (
                "calibration.flashes_per_item",
                f64::from(self.calibration.flashes_per_item),
            ),
            ("calibration.points", f64::from(self.calibration.points)),
            (
                "calibration.check_points",
                f64::from(self.calibration.check_points),
            ),
            ("calibration.point_s", self.calibration.point_s),
            ("model.pace_tokens_per_s", self.model.pace_tokens_per_s),
            ("realtime.priority", f64::from(self.realtime.priority)),
        ];
        if let Some(gaze) = &self.gaze {
            all.push(("gaze.confidence_min", gaze.confidence_min));
        }
        let sections: [&dyn Checked; 7] = [
            &self.session,
            &self.screen,
            &self.filter,
            &self.epoch,
            &self.writer,
            &self.ask,
            &self.budget,
        ];
        for section in sections {
            all.extend(section.numbers());
        }
        all
    }

    /// Checks every number against [`limits`], and what must fit together.
    ///
    /// # Errors
    /// [`ConfigError::Number`] or [`ConfigError::Contradiction`].
    pub fn check(&self) -> Result<(), ConfigError> {
        for (key, value) in self.numbers() {
            if let Some(limit) = limits::own(key) {
                limit.check(value).map_err(ConfigError::Number)?;
            }
        }
        let contradiction = |message: String| Err(ConfigError::Contradiction(message));
        if self.eeg.is_none() && self.gaze.is_none() && self.keys.is_none() {
            return contradiction(
                "no source can choose: give at least one of [eeg], [gaze] and [keys]".into(),
            );
        }
        if let Some(keys) = &self.keys
            && keys.pins.is_none()
            && !keys.terminal
        {
            return contradiction(
                "[keys] names no keys: give keys.pins for a stream of them, keys.terminal = true to type them, or both".into(),
            );
        }
        for pins in self.pins().into_iter().flatten() {
            pins.check().map_err(ConfigError::Pins)?;
        }
        let pinned_hz = self.eeg.as_ref().and_then(|eeg| eeg.pins.rate_hz);
        check_filter(&self.filter, pinned_hz).map_err(ConfigError::Contradiction)?;
        self.check_reading().map_err(ConfigError::Contradiction)?;
        let writer = self.writer_settings();
        if let Err(error) = writer.check() {
            return contradiction(error.to_string());
        }
        if writer.context_tokens_max < writer.context_tokens_needed() {
            return contradiction(format!(
                "writer.context_tokens_max = {} is too short to decode branches in; with writer.phrase_tokens_max = {} set \
                 it to at least {}",
                writer.context_tokens_max,
                writer.phrase_tokens_max,
                writer.context_tokens_needed()
            ));
        }
        if ![5, 9, 13].contains(&self.calibration.points) {
            return contradiction(format!(
                "calibration.points = {} must be 5, 9 or 13",
                self.calibration.points
            ));
        }
        Ok(())
    }

    /// The pins of the streams of EEG, gaze and keys.
    #[must_use]
    pub fn pins(&self) -> [Option<&Pins>; 3] {
        [
            self.eeg.as_ref().map(|eeg| &eeg.pins),
            self.gaze.as_ref().map(|gaze| &gaze.pins),
            self.keys.as_ref().and_then(|keys| keys.pins.as_ref()),
        ]
    }

    /// Whether keys are typed in the terminal.
    #[must_use]
    pub fn typed_keys(&self) -> bool {
        self.keys.as_ref().is_some_and(|keys| keys.terminal)
    }

    /// Whether evidence can come before a fork times out: it begins when the branches could have been read, and there are
    /// at least two of one word; P300 evidence takes another epoch.
    fn check_reading(&self) -> Result<(), String> {
        if !self.needs_profile() {
            return Ok(());
        }
        let reading_s = self.ask.reading_base_s + 2.0 * self.ask.reading_s_per_word;
        let epoch_s = if self.gaze.is_none() {
            self.epoch.length_s
        } else {
            0.0
        };
        let timeout_s = self.gate.config().timeout_s;
        if reading_s + epoch_s < timeout_s {
            return Ok(());
        }
        Err(format!(
            "no evidence could count: the first comes {} s after a fork opens (ask.reading_base_s = {}, two words of \
             ask.reading_s_per_word = {}{}), and gate.timeout_s = {timeout_s}",
            reading_s + epoch_s,
            self.ask.reading_base_s,
            self.ask.reading_s_per_word,
            if epoch_s > 0.0 { ", and an epoch" } else { "" }
        ))
    }

    /// Whether a signal of the person takes part, which must be calibrated; keys need no calibration.
    #[must_use]
    pub fn needs_profile(&self) -> bool {
        self.eeg.is_some() || self.gaze.is_some()
    }

    /// The writer's settings: those of the plan, the session's seed, and the protocol's budget of questions, so that the
    /// detector does not look for forks that would not be asked.
    #[must_use]
    pub fn writer_settings(&self) -> WriterSettings {
        let (writer, protocol) = (&self.writer, self.protocol.config());
        WriterSettings {
            seed: self.session.seed,
            temperature: writer.temperature,
            top_p: writer.top_p,
            tokens_max: writer.tokens_max as usize,
            context_tokens_max: writer.context_tokens_max as usize,
            second_mass_min: writer.second_mass_min,
            top3_mass_min: writer.top3_mass_min,
            meaning_mass_min: writer.meaning_mass_min,
            phrase_tokens_max: writer.phrase_tokens_max as usize,
            ready_tokens_max: writer.ready_tokens_max as usize,
            undo_depth: writer.undo_depth as usize,
            questions_per_100_tokens_max: protocol.questions_per_100_tokens_max as usize,
            distance_tokens_min: protocol.question_distance_tokens_min as usize,
            ..WriterSettings::default()
        }
    }

    /// The plan as TOML: every number stated, none hidden in a default.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // A plan that was parsed serialises: all its types are TOML types.
        toml::to_string(self).unwrap_or_default()
    }

    /// SHA-256 of [`Plan::to_toml`], hexadecimal: the same plan gives the same hash however the file was written.
    #[must_use]
    pub fn sha256(&self) -> String {
        Sha256::digest(self.to_toml().as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "[eeg]\npins = { source_id = \"amp-1\" }\n";

    fn parse(text: &str) -> Result<Plan, ConfigError> {
        Plan::parse(text, Path::new("experiment.toml"))
    }

    #[test]
    fn every_number_has_a_row_and_every_row_a_number() {
        let plan = parse(&format!(
            "{SMALL}\n[gaze]\nunits = \"degrees\"\npins = {{ name = \"g\" }}\n"
        ))
        .unwrap();
        let mut keys: Vec<_> = plan.numbers().into_iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        let mut rows: Vec<_> = limits::OWN.iter().map(|limit| limit.key).collect();
        rows.sort_unstable();
        assert_eq!(keys, rows);
        for limit in limits() {
            assert!(limit.check(limit.default).is_ok(), "{}", limit.key);
        }
    }

    #[test]
    fn the_annotated_example_states_every_number_with_its_default() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/experiment.toml");
        let text = std::fs::read_to_string(file).unwrap();
        parse(&text).unwrap();
        let table: toml::Table = toml::from_str(&text).unwrap();
        for limit in limits() {
            let mut at = &toml::Value::Table(table.clone());
            for part in limit.key.split('.') {
                at = at
                    .get(part)
                    .unwrap_or_else(|| panic!("{} is missing from the example", limit.key));
            }
            let value = at.as_float().or_else(|| at.as_integer().map(|n| n as f64));
            assert_eq!(value, Some(limit.default), "{}", limit.key);
        }
    }

    #[test]
    fn an_unknown_key_is_named() {
        let message = parse(&format!("{SMALL}[gate]\ntreshold = 0.9\n"))
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("treshold") && message.contains("experiment.toml"),
            "{message}"
        );
    }

    #[test]
    fn an_absurd_number_is_refused_with_its_range() {
        for (text, want) in [
            (
                "[gate]\ncommit_threshold = 7.0",
                "gate.commit_threshold is 7",
            ),
            (
                "[gate]\ncommit_threshold = nan",
                "gate.commit_threshold is NaN",
            ),
            (
                "[flash]\nsoa_s = -1.0",
                "flash.soa_s is -1 s: set it within 0.05..=2",
            ),
            ("[session]\nforks = 0", "session.forks is 0: set it"),
            ("[epoch]\nlength_s = inf", "epoch.length_s is inf s"),
        ] {
            let message = parse(&format!("{SMALL}{text}\n")).unwrap_err().to_string();
            assert!(message.contains(want), "{message}");
        }
    }

    #[test]
    fn values_that_contradict_each_other_are_refused() {
        let message = parse(&format!("{SMALL}[filter]\nlow_hz = 20.0\nhigh_hz = 10.0\n"))
            .unwrap_err()
            .to_string();
        assert!(message.contains("must lie below"), "{message}");
        assert!(
            parse("")
                .unwrap_err()
                .to_string()
                .contains("no source can choose")
        );
    }

    #[test]
    fn keys_come_from_a_stream_from_the_terminal_or_from_both_but_not_from_nowhere() {
        let pins = "pins = { source_id = \"switch-1\" }";
        for (keys, typed, stream) in [
            (pins.to_owned(), false, true),
            ("terminal = true".to_owned(), true, false),
            (format!("terminal = true\n{pins}"), true, true),
        ] {
            let plan = parse(&format!("[keys]\n{keys}\n")).unwrap();
            assert_eq!(plan.typed_keys(), typed);
            assert_eq!(plan.pins()[2].is_some(), stream);
            assert!(!plan.needs_profile());
            assert_eq!(parse(&plan.to_toml()).unwrap(), plan);
        }
        for keys in ["", "terminal = false"] {
            let message = parse(&format!("{SMALL}[keys]\n{keys}\n"))
                .unwrap_err()
                .to_string();
            assert!(
                message.contains("keys.pins") && message.contains("keys.terminal = true"),
                "{message}"
            );
        }
        assert!(!parse(SMALL).unwrap().typed_keys());
    }

    #[test]
    fn the_printed_plan_reads_back_as_itself() {
        let plan = parse(SMALL).unwrap();
        let again = parse(&plan.to_toml()).unwrap();
        assert_eq!(plan, again);
        assert_eq!(plan.sha256(), again.sha256());
    }
}
