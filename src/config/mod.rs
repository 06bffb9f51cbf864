//! The experiment file: what was written becomes a validated [`Plan`] or one clear error.
//!
//! TOML with units in the keys. An unknown key, a value of the wrong type and a number outside its range are refused
//! with key, value and allowed range; nothing is corrected silently. The numbers and their ranges stand in [`limits()`].

mod decoding;
mod limits;
mod person;
mod pupil;
mod sections;
mod signal;
mod view;

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use decoding::DecodeSection;
pub use limits::{explain, limits, own as limit};
pub use sections::{
    AUTO, AdaptationSection, AskSection, BlinkSection, BudgetSection, CalibrationSection,
    ClocksDisagree, ContractionSection, EegSection, EpochSection, FilterSection, GazeOrigin,
    GazeProcedure, GazeSection, GazeUnits, KeysSection, ModelSection, NetworkMode, NetworkSection,
    QualitySection, RealtimeSection, ScreenSection, SessionSection, StateSection, StreamsSection,
    Validity, WhichEyes, WriterSection,
};
pub use signal::{NOTCH_MIN_HZ, check_filter, check_quality};
pub use view::{
    Corner, PatchSection, ScanSection, SurfaceKind, ThemeName, ViewLanguage, ViewSection,
};

use crate::choice::FlashSettings;
use crate::choice::ProtocolSettings;
use crate::decode::{ServerSettings, WriterSettings};
use crate::gate::{GateSettings, SettingsError};
use crate::source::pins::Pins;
use crate::source::{SourceError, named_twice};
use crate::view::flashing::patch_sr;
pub use person::PersonSection;
pub use pupil::PupilSection;
use sections::Checked;
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

/// Whether a model is named as one on a hub, `hf:organisation/name`, and not by a path.
#[must_use]
pub fn is_on_a_hub(named: &Path) -> bool {
    named.to_str().is_some_and(|text| text.starts_with("hf:"))
}

/// Whether a model is named by the address of a server that has it, `http://` or `https://`, and not by a path.
#[must_use]
pub fn is_a_server(named: &Path) -> bool {
    let scheme = |text: &str| text.starts_with("http://") || text.starts_with("https://");
    named.to_str().is_some_and(scheme)
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
    /// The person, whose choices are remembered where they agreed to that.
    pub person: Option<PersonSection>,
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
    /// When a channel is bad.
    #[serde(default)]
    pub quality: QualitySection,
    /// Calibration.
    #[serde(default)]
    pub calibration: CalibrationSection,
    /// A deliberate blink as a signal.
    #[serde(default)]
    pub blink: BlinkSection,
    /// The pupil as evidence.
    #[serde(default)]
    pub pupil: PupilSection,
    /// A contraction of jaw or brow as a signal.
    #[serde(default)]
    pub contraction: ContractionSection,
    /// Language model.
    #[serde(default)]
    pub model: ModelSection,
    /// How the model is computed.
    #[serde(default)]
    pub decode: DecodeSection,
    /// How a server is asked that has the model.
    #[serde(default)]
    pub server: ServerSettings,
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
    /// State of the person.
    #[serde(default)]
    pub state: StateSection,
    /// Learning from confirmed choices.
    #[serde(default)]
    pub adaptation: AdaptationSection,
    /// Latency budgets.
    #[serde(default)]
    pub budget: BudgetSection,
    /// What the person sees.
    #[serde(default)]
    pub view: ViewSection,
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
        for font in plan.view.fonts.iter_mut().filter(|font| font.is_relative()) {
            *font = base.join(&*font);
        }
        let paths = [
            &mut plan.calibration.profile,
            &mut plan.model.path,
            &mut plan.model.embedder,
            &mut plan.model.adapter,
        ];
        for inner in paths.into_iter().flatten() {
            if inner.is_relative() && !is_on_a_hub(inner) && !is_a_server(inner) {
                *inner = base.join(&*inner);
            }
        }
        if let Some(PersonSection { id }) = &mut plan.person
            && id.is_relative()
            && id.components().count() > 1
        {
            *id = base.join(&*id);
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
        check_geometry(&plan, &toml::from_str(text).unwrap_or_default())?;
        Ok(plan)
    }

    /// All numbers with their full keys.
    fn numbers(&self) -> Vec<(&'static str, f64)> {
        let mut all = vec![
            ("network.resolve_s", self.network.resolve_s),
            ("streams.lost_wait_s", self.streams.lost_wait_s),
            ("calibration.blink_s", self.calibration.blink_s),
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
            ("calibration.pursuit_deg_s", self.calibration.pursuit_deg_s),
            ("model.pace_tokens_per_s", self.model.pace_tokens_per_s),
            ("realtime.priority", f64::from(self.realtime.priority)),
        ];
        if let Some(gaze) = &self.gaze {
            all.push(("gaze.confidence_min", gaze.confidence_min));
            all.push(("gaze.rate_hz", gaze.rate_hz));
            all.push(("gaze.margin_deg", gaze.margin_deg));
        }
        let sections: [&dyn Checked; 16] = [
            &self.decode,
            &self.server,
            &self.blink,
            &self.pupil,
            &self.contraction,
            &self.session,
            &self.screen,
            &self.filter,
            &self.epoch,
            &self.quality,
            &self.writer,
            &self.ask,
            &self.state,
            &self.adaptation,
            &self.budget,
            &self.view,
        ];
        for section in sections {
            all.extend(section.numbers());
        }
        all
    }

    /// Whether contractions, where they are wanted, can be seen and be about something.
    fn check_contraction(&self) -> Result<(), String> {
        if !self.contraction.on {
            return Ok(());
        }
        if self.eeg.is_none() {
            return Err("contraction.on = true, but there is no [eeg]: EEG or EMG channels see the muscles. Describe the stream, or set contraction.on = false".into());
        }
        if self.gaze.is_none() {
            return Err("contraction.on = true, but there is no [gaze]: a contraction says yes to the option that the eyes rest on. Describe the tracker's stream, or set contraction.on = false".into());
        }
        let channels = self.contraction.channels.as_ref();
        if channels.is_some_and(Vec::is_empty) {
            return Err("contraction.channels names no channel: list their labels, or leave the key out to use those over jaw and brow".into());
        }
        match channels.and_then(|labels| named_twice(labels)) {
            Some(label) => Err(format!(
                "contraction.channels names '{label}' twice. Name each channel once"
            )),
            None => Ok(()),
        }
    }

    /// Checks every number against [`limits()`], and what must fit together.
    ///
    /// # Errors
    /// [`ConfigError::Number`] or [`ConfigError::Contradiction`].
    pub fn check(&self) -> Result<(), ConfigError> {
        for (key, value) in self.numbers() {
            if let Some(limit) = limits::own(key) {
                limit.check(value).map_err(ConfigError::Number)?;
            }
        }
        self.decode
            .check_cpus()
            .map_err(ConfigError::Contradiction)?;
        let contradiction = |message: String| Err(ConfigError::Contradiction(message));
        if let (Some(adapter), Some(server)) = (
            &self.model.adapter,
            self.model.path.as_deref().filter(|path| is_a_server(path)),
        ) {
            return contradiction(format!(
                "model.adapter = \"{}\" is added to a model that is here, and {} is a server: leave one of them out",
                adapter.display(),
                server.display()
            ));
        }
        if let Some(named) = self
            .model
            .embedder
            .as_ref()
            .filter(|path| is_on_a_hub(path))
        {
            return contradiction(format!(
                "model.embedder = \"{}\": sentence-embedding models are not fetched from a hub. Fetch its folder by hand, and name that",
                named.display()
            ));
        }
        if self.eeg.is_none() && self.gaze.is_none() && self.keys.is_none() {
            return contradiction(
                "no source can choose: give at least one of [eeg], [gaze] and [keys]".into(),
            );
        }
        if self.blink.on && self.gaze.is_none() {
            return contradiction(
                "blink.on = true, but there is no [gaze]: the eye tracker sees the blinks. Describe its stream, or set blink.on = false".into(),
            );
        }
        if self.pupil.on && self.gaze.is_none() {
            return contradiction(
                "pupil.on = true, but there is no [gaze]: the eye tracker sees the pupil. Describe its stream, or set pupil.on = false".into(),
            );
        }
        let person = self.person.as_ref();
        person
            .map_or(Ok(()), PersonSection::check)
            .map_err(ConfigError::Contradiction)?;
        self.check_contraction()
            .map_err(ConfigError::Contradiction)?;
        if let Some(keys) = &self.keys
            && keys.pins.is_none()
            && !keys.terminal
            && !keys.window
        {
            return contradiction(
                "[keys] names no keys: give keys.pins for a stream of them, keys.terminal = true to type them, keys.window = true to press \
                 them in the participant window, or several of these"
                    .into(),
            );
        }
        if self.view.scan.on && !self.window_keys() {
            return contradiction(
                "view.scan.on = true scans options in the participant window, where the space bar takes one: set keys.window = true, too".into(),
            );
        }
        let flash = self.flash.config();
        self.view
            .check(flash.soa_s - flash.soa_jitter_s)
            .map_err(ConfigError::Contradiction)?;
        let patch_sr = patch_sr(&self.view.patch, &self.screen);
        if self.view.flashes && 2.0 * patch_sr > self.view.flash_area_sr_max {
            return contradiction(format!(
                "view.patch.size_cm = {}: the square is {patch_sr:.4} sr at this distance, more than half of view.flash_area_sr_max = {}, which it shares with                  the options. Make it smaller",
                self.view.patch.size_cm, self.view.flash_area_sr_max
            ));
        }
        for pins in self.pins().into_iter().flatten() {
            pins.check().map_err(ConfigError::Pins)?;
        }
        let used = self.eeg.as_ref().and_then(|eeg| eeg.use_channels.as_ref());
        if used.is_some_and(Vec::is_empty) {
            return contradiction(
                "eeg.use_channels names no channel: list their labels, or leave the key out to use all".into(),
            );
        }
        if let Some(label) = used.and_then(|labels| named_twice(labels)) {
            return contradiction(format!(
                "eeg.use_channels names '{label}' twice. Name each channel once: a copy adds nothing, and its covariance cannot be \
                 inverted"
            ));
        }
        let pinned_hz = self.eeg.as_ref().and_then(|eeg| eeg.pins.rate_hz);
        check_filter(&self.filter, pinned_hz).map_err(ConfigError::Contradiction)?;
        check_quality(&self.quality, pinned_hz).map_err(ConfigError::Contradiction)?;
        let AdaptationSection {
            memory_epochs_min: least,
            memory_epochs_max: most,
            ..
        } = self.adaptation;
        if least > most {
            return contradiction(format!(
                "adaptation.memory_epochs_min = {least} must not exceed adaptation.memory_epochs_max = {most}"
            ));
        }
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
        if self.calibration.gaze == GazeProcedure::Pursuit && self.calibration.check_points == 0 {
            return contradiction(
                "calibration.gaze = \"pursuit\" needs points to judge the map by: set calibration.check_points to 1 or more".into(),
            );
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

    /// Whether keys are pressed in the participant window.
    #[must_use]
    pub fn window_keys(&self) -> bool {
        self.keys.as_ref().is_some_and(|keys| keys.window)
    }

    /// The same plan with nothing that flashes: without flashes EEG has nothing to say about options.
    #[must_use]
    pub fn without_flashes(mut self) -> Self {
        self.eeg = None;
        self.view.flashes = false;
        self
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
            top_k: writer.top_k as usize,
            top_p: writer.top_p,
            min_p: writer.min_p,
            repeat_penalty: writer.repeat_penalty,
            repeat_last_tokens: writer.repeat_last_tokens as usize,
            tokens_max: writer.tokens_max as usize,
            context_tokens_max: writer.context_tokens_max as usize,
            second_mass_min: writer.second_mass_min,
            top3_mass_min: writer.top3_mass_min,
            embedder_same_min: writer.embedder_same_min,
            embedder_different_max: writer.embedder_different_max,
            length_ratio_max: writer.length_ratio_max,
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

/// Whether the text states the geometry that gaze rests on: a default would put tiles and looks elsewhere, and nothing would show it.
fn check_geometry(plan: &Plan, text: &toml::Table) -> Result<(), ConfigError> {
    let Some(gaze) = &plan.gaze else {
        return Ok(());
    };
    let screen = text.get("screen").and_then(toml::Value::as_table);
    let in_pixels = gaze.units.is_none_or(|units| units == GazeUnits::Pixels);
    let needed = [
        ("screen.width_cm", true),
        ("screen.height_cm", true),
        ("screen.distance_cm", true),
        ("screen.width_px", in_pixels),
        ("screen.height_px", in_pixels),
    ];
    let missing: Vec<String> = needed
        .into_iter()
        .filter(|(key, needed)| {
            let name = key.trim_start_matches("screen.");
            *needed && screen.is_none_or(|screen| !screen.contains_key(name))
        })
        .filter_map(|(key, _)| limits::own(key))
        .map(|limit| {
            format!(
                "{} ({} to {} {})",
                limit.key, limit.min, limit.max, limit.unit
            )
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(ConfigError::Contradiction(format!(
        "[gaze] rests on the geometry of the screen, which is not given. Measure the visible picture and how far the eye is from it, and \
         state {}",
        missing.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "[eeg]\npins = { source_id = \"amp-1\" }\n";

    const GEOMETRY: &str = "[screen]\nwidth_cm = 53.0\nheight_cm = 30.0\ndistance_cm = 65.0\n";

    #[test]
    fn gaze_without_the_geometry_of_the_screen_is_refused_by_key_and_range() {
        let gaze = "[gaze]\npins = { name = \"g\" }\n";
        let words = parse(gaze).unwrap_err().to_string();
        for part in [
            "screen.width_cm (5 to 500 cm)",
            "screen.height_cm (5 to 500 cm)",
            "screen.distance_cm (10 to 1000 cm)",
            "screen.width_px (1 to 32768 px)",
        ] {
            assert!(words.contains(part), "{words}");
        }
        // Pixels are needed where positions may come in them.
        let words = parse(&format!("{gaze}{GEOMETRY}")).unwrap_err().to_string();
        assert!(
            words.contains("screen.width_px") && !words.contains("width_cm"),
            "{words}"
        );
        parse(&format!(
            "[gaze]\nunits = \"normalised\"\npins = {{ name = \"g\" }}\n{GEOMETRY}"
        ))
        .unwrap();
        parse(&format!(
            "{gaze}{GEOMETRY}width_px = 1920\nheight_px = 1080\n"
        ))
        .unwrap();
        let absurd = format!("{gaze}{}", GEOMETRY.replace("65.0", "1.0"));
        let words = parse(&absurd).unwrap_err().to_string();
        assert!(
            words.contains("screen.distance_cm") && words.contains("10"),
            "{words}"
        );
    }

    fn parse(text: &str) -> Result<Plan, ConfigError> {
        Plan::parse(text, Path::new("experiment.toml"))
    }

    #[test]
    fn every_number_has_a_row_and_every_row_a_number() {
        let plan = parse(&format!(
            "{SMALL}\n[gaze]\nunits = \"degrees\"\npins = {{ name = \"g\" }}\n{GEOMETRY}"
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
    fn a_channel_that_is_named_twice_or_none_at_all_is_refused() {
        for (labels, want) in [
            (
                "[\"Cz\", \"Pz\", \"Cz\"]",
                "eeg.use_channels names 'Cz' twice. Name each channel once",
            ),
            ("[]", "eeg.use_channels names no channel"),
        ] {
            let message = parse(&format!("{SMALL}use_channels = {labels}\n"))
                .unwrap_err()
                .to_string();
            assert!(message.contains(want), "{message}");
        }
        assert!(parse(&format!("{SMALL}use_channels = [\"Cz\", \"cz\"]\n")).is_ok());
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
