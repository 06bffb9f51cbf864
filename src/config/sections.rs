//! The sections of the experiment file, one type each, with the defaults of [`mod@super::limits`].

use std::path::PathBuf;

use razvilka_calibration::AdaptRule;
use razvilka_dsp::contraction::Muscle;
use razvilka_dsp::deliberate::BlinkKind;
use razvilka_dsp::gaze::DetectorKind;
use serde::{Deserialize, Serialize};

use super::limits;
use crate::decode::ServerSettings;
use crate::marker::{OptionKind, OptionTile};
use crate::source::pins::Pins;

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

pub(super) trait Checked {
    /// Full key and value of every number in the section.
    fn numbers(&self) -> Vec<(&'static str, f64)>;
}

impl Checked for ServerSettings {
    fn numbers(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("server.connect_s", self.connect_s),
            ("server.first_byte_s", self.first_byte_s),
            ("server.pause_s", self.pause_s),
            ("server.slow_s", self.slow_s),
            ("server.lost_wait_s", self.lost_wait_s),
            ("server.retries", f64::from(self.retries)),
            ("server.parallel", f64::from(self.parallel)),
            ("server.top_logprobs", f64::from(self.top_logprobs)),
            ("server.stretch_tokens", f64::from(self.stretch_tokens)),
            (
                "server.consequence_tokens",
                f64::from(self.consequence_tokens),
            ),
            ("server.answer_kib_max", f64::from(self.answer_kib_max)),
        ]
    }
}

pub(super) fn default_of(key: &str) -> f64 {
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
    /// When a channel is bad; see `razvilka_dsp::quality`.
    QualitySection, "quality" {
        /// Length of a window, seconds.
        window_s: f64 = "window_s",
        /// At this magnitude a channel is railed, microvolts.
        rail_uv: f64 = "rail_uv",
        /// A span up to this is flat, microvolts.
        flat_uv: f64 = "flat_uv",
        /// A filtered value beyond this is a jump, microvolts; 0: not watched.
        swing_uv: f64 = "swing_uv",
        /// Largest deviation of the log-variance, robust standard deviations.
        variance_z_max: f64 = "variance_z_max",
        /// Mains that are watched, hertz; 0: not watched.
        line_hz: f64 = "line_hz",
        /// Largest ratio of mains to signal.
        line_ratio_max: f64 = "line_ratio_max",
        /// Least best correlation with another channel.
        correlation_min: f64 = "correlation_min",
        /// Correlation of a copy.
        copy_min: f64 = "copy_min",
        /// How long a channel stays bad after a jump, seconds.
        settle_s: f64 = "settle_s",
        /// Fewest good channels; 0: half of them, at most 4.
        good_min: u32 = "good_min",
    }
);
section!(
    /// How the model writes, and how it looks for forks.
    WriterSection, "writer" {
        /// Sampling temperature of banal tokens; 0 is greedy.
        temperature: f64 = "temperature",
        /// Number of the likeliest tokens that are drawn from; 0: any.
        top_k: u32 = "top_k",
        /// Mass of the likeliest tokens that are drawn from.
        top_p: f64 = "top_p",
        /// Least probability of a token that is drawn, relative to the likeliest.
        min_p: f64 = "min_p",
        /// Penalty for tokens that were written lately; 1: none.
        repeat_penalty: f64 = "repeat_penalty",
        /// How many tokens back is lately.
        repeat_last_tokens: u32 = "repeat_last_tokens",
        /// Tokens of one text, at most.
        tokens_max: u32 = "tokens_max",
        /// How far back the model looks, tokens.
        context_tokens_max: u32 = "context_tokens_max",
        /// Cheap test for a fork: least probability of the second likeliest token.
        second_mass_min: f64 = "second_mass_min",
        /// Cheap test for a fork: least mass of the three likeliest together.
        top3_mass_min: f64 = "top3_mass_min",
        /// With a model of sentences: branches whose cosine in their sentence is this or more mean the same.
        embedder_same_min: f64 = "embedder_same_min",
        /// With a model of sentences: a wording that takes a branch's cosine below this is none.
        embedder_different_max: f64 = "embedder_different_max",
        /// Longest branch relative to the shortest, in characters.
        length_ratio_max: f64 = "length_ratio_max",
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
    /// 0..1 across the picture.
    Normalised,
    /// Pixels of the picture.
    Pixels,
    /// Degrees from the centre.
    Degrees,
    /// Millimetres on the screen.
    Millimetres,
    /// Metres on the screen.
    Metres,
}

impl GazeUnits {
    /// The unit that a stream declares for a channel, as trackers write it; `None` for none, and for one that is not known.
    #[must_use]
    pub fn declared(unit: &str) -> Option<Self> {
        match unit.trim().to_ascii_lowercase().as_str() {
            "normalised" | "normalized" | "norm" | "fraction" => Some(Self::Normalised),
            "pixels" | "pixel" | "px" | "pix" => Some(Self::Pixels),
            "degrees" | "degree" | "deg" | "dva" | "°" => Some(Self::Degrees),
            "millimetres" | "millimeters" | "millimetre" | "millimeter" | "mm" => {
                Some(Self::Millimetres)
            }
            "metres" | "meters" | "metre" | "meter" | "m" => Some(Self::Metres),
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
            Self::Millimetres => "millimetres",
            Self::Metres => "metres",
        }
    }

    /// From where such numbers count when nothing else is said: shares and pixels from the top left, the others from the centre.
    #[must_use]
    pub const fn usual_origin(self) -> GazeOrigin {
        match self {
            Self::Normalised | Self::Pixels => GazeOrigin::TopLeft,
            Self::Degrees | Self::Millimetres | Self::Metres => GazeOrigin::Centre,
        }
    }
}

/// From where the numbers of a gaze stream count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GazeOrigin {
    /// From the top left of the picture, y downwards.
    TopLeft,
    /// From the bottom left, y upwards.
    BottomLeft,
    /// From the centre, y downwards.
    Centre,
    /// From the centre, y upwards.
    CentreUp,
}

impl GazeOrigin {
    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::TopLeft => "from the top left, y downwards",
            Self::BottomLeft => "from the bottom left, y upwards",
            Self::Centre => "from the centre, y downwards",
            Self::CentreUp => "from the centre, y upwards",
        }
    }
}

/// Which eyes of a stream that tells of both are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhichEyes {
    /// Both; each goes on alone when the other is lost.
    #[default]
    Both,
    /// The left one only.
    Left,
    /// The right one only.
    Right,
}

/// What a tracker's validity code says of a good sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Validity {
    /// 1 is good, 0 is lost.
    One,
    /// 0 is good, 1 probably, 2 to 4 are not.
    Zero,
}

/// What `gaze.x` and `gaze.y` say when the stream's own description is to choose.
pub const AUTO: &str = "auto";

/// The gaze stream and how to read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GazeSection {
    /// Which stream.
    pub pins: Pins,
    /// Label of the horizontal channel, of the left eye where `x_right` is given; `auto`: as the stream describes itself.
    #[serde(default = "auto")]
    pub x: String,
    /// Label of the vertical channel; `auto` as for `x`.
    #[serde(default = "auto")]
    pub y: String,
    /// Label of the confidence channel; absent when loss is told by NaN alone, and for the stream's own description to choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<String>,
    /// Label of the right eye's horizontal channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_right: Option<String>,
    /// Label of the right eye's vertical channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y_right: Option<String>,
    /// Label of the right eye's confidence channel; that of the left eye where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence_right: Option<String>,
    /// Samples of less confidence count as lost.
    #[serde(default = "default_confidence")]
    pub confidence_min: f64,
    /// How a confidence channel is read that holds a validity code; absent: it is a confidence, or the stream says what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validity: Option<Validity>,
    /// Which eyes are read, where the stream tells of both.
    #[serde(default)]
    pub eyes: WhichEyes,
    /// What the numbers mean; absent: as the stream declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<GazeUnits>,
    /// From where they count; absent: as is usual for the unit and the tracker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<GazeOrigin>,
    /// What the tracker's rate really is, hertz; 0: as the stream declares, or as measured at the start.
    #[serde(default = "default_rate")]
    pub rate_hz: f64,
    /// Gaze this much farther outside the picture counts as lost, degrees.
    #[serde(default = "default_margin")]
    pub margin_deg: f64,
    /// Label of the channel that tells how far the lid is open (0 when shut, any unit): with it PERCLOS is measured, without it
    /// taken from the times without an eye.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openness: Option<String>,
    /// What finds fixations and saccades.
    #[serde(default)]
    pub detector: DetectorKind,
}

impl Default for GazeSection {
    fn default() -> Self {
        Self {
            pins: Pins::default(),
            x: auto(),
            y: auto(),
            confidence: None,
            x_right: None,
            y_right: None,
            confidence_right: None,
            confidence_min: default_confidence(),
            validity: None,
            eyes: WhichEyes::default(),
            units: None,
            origin: None,
            rate_hz: default_rate(),
            margin_deg: default_margin(),
            openness: None,
            detector: DetectorKind::default(),
        }
    }
}

fn auto() -> String {
    AUTO.into()
}
fn default_rate() -> f64 {
    default_of("gaze.rate_hz")
}
fn default_margin() -> f64 {
    default_of("gaze.margin_deg")
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

/// Key presses: from a stream, typed in the terminal, pressed in the participant window, or several of these.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeysSection {
    /// Whether keys are typed in the terminal that the session runs in.
    pub terminal: bool,
    /// Whether keys are pressed in the participant window.
    pub window: bool,
    /// Which stream; without it only the keys of terminal and window count.
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

/// How a live calibration comes to a map of gaze.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GazeProcedure {
    /// Points that stand still are fitted, others judge.
    #[default]
    Points,
    /// A target that moves is followed and fitted, points judge.
    Pursuit,
    /// The tracker is calibrated by itself: nothing is fitted, all points judge.
    Check,
}

/// Calibration: a saved profile, or the numbers of a live calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CalibrationSection {
    /// A profile written by `razvilka calibrate`; calibrates live when absent.
    pub profile: Option<PathBuf>,
    /// How long the person blinks on cue, seconds; 0: not at all.
    pub blink_s: f64,
    /// Cued blocks of flashes.
    pub blocks: u32,
    /// Flashes of each item in a block.
    pub flashes_per_item: u32,
    /// How a map of gaze is come to.
    pub gaze: GazeProcedure,
    /// Gaze points that are fitted: 5, 9 or 13.
    pub points: u32,
    /// Gaze points that only judge the map.
    pub check_points: u32,
    /// How long a gaze point stands, seconds.
    pub point_s: f64,
    /// Mean speed of the target that moves, degrees per second.
    pub pursuit_deg_s: f64,
}

impl Default for CalibrationSection {
    fn default() -> Self {
        Self {
            profile: None,
            blink_s: default_of("calibration.blink_s"),
            blocks: default_of("calibration.blocks") as u32,
            flashes_per_item: default_of("calibration.flashes_per_item") as u32,
            gaze: GazeProcedure::default(),
            points: default_of("calibration.points") as u32,
            check_points: default_of("calibration.check_points") as u32,
            point_s: default_of("calibration.point_s"),
            pursuit_deg_s: default_of("calibration.pursuit_deg_s"),
        }
    }
}

/// A deliberate blink as a signal: yes, this one, to the option that the eyes rest on. Needs gaze, and a calibration in which it was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlinkSection {
    /// Whether it counts, and is asked for in a live calibration.
    pub on: bool,
    /// Which blink.
    pub kind: BlinkKind,
    /// How often it is asked for in a live calibration.
    pub cues: u32,
    /// From one time to the next, seconds: in between the person blinks as ever.
    pub cue_every_s: f64,
    /// How long before the blink the look at the option may have ended, seconds.
    pub reach_s: f64,
}

impl Default for BlinkSection {
    fn default() -> Self {
        Self {
            on: false,
            kind: BlinkKind::default(),
            cues: default_of("blink.cues") as u32,
            cue_every_s: default_of("blink.cue_every_s"),
            reach_s: default_of("blink.reach_s"),
        }
    }
}

impl Checked for BlinkSection {
    fn numbers(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("blink.cues", f64::from(self.cues)),
            ("blink.cue_every_s", self.cue_every_s),
            ("blink.reach_s", self.reach_s),
        ]
    }
}

/// A contraction of jaw or brow as a signal: yes, this one, to the option that the eyes rest on. Needs EEG that sees these muscles, gaze, and a
/// calibration in which it was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContractionSection {
    /// Whether it counts, and is asked for in a live calibration.
    pub on: bool,
    /// Which muscle is asked for.
    pub muscle: Muscle,
    /// Labels of the channels that see it; those over these muscles when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<String>>,
    /// How often it is asked for in a live calibration.
    pub cues: u32,
    /// From one time to the next, seconds: in between the person rests, speaks and swallows as ever.
    pub cue_every_s: f64,
}

impl Default for ContractionSection {
    fn default() -> Self {
        Self {
            on: false,
            muscle: Muscle::default(),
            channels: None,
            cues: default_of("contraction.cues") as u32,
            cue_every_s: default_of("contraction.cue_every_s"),
        }
    }
}

impl Checked for ContractionSection {
    fn numbers(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("contraction.cues", f64::from(self.cues)),
            ("contraction.cue_every_s", self.cue_every_s),
        ]
    }
}

/// The language model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSection {
    /// A Hugging Face folder, a GGUF file, `hf:organisation/name` or the address of a server; the embedded story model when
    /// absent.
    pub path: Option<PathBuf>,
    /// A folder of sentence-transformers: one more judge of which branches mean the same.
    pub embedder: Option<PathBuf>,
    /// A folder of peft: a low-rank adapter that is added to the model's matrices. Without it a person's own is used, where there is one.
    pub adapter: Option<PathBuf>,
    /// Text to go on from.
    pub prompt: String,
    /// How fast text that needs no choice appears.
    pub pace_tokens_per_s: f64,
}

impl Default for ModelSection {
    fn default() -> Self {
        Self {
            path: None,
            embedder: None,
            adapter: None,
            prompt: String::new(),
            pace_tokens_per_s: default_of("model.pace_tokens_per_s"),
        }
    }
}

/// State of the person: what is computed beside the gate, published and stored. The P300's amplitude is among it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateSection {
    /// Whether it is computed at all.
    pub on: bool,
    /// How much good EEG of this sitting makes the person's own baseline, seconds; a live calibration counts.
    pub baseline_s: f64,
    /// How far back the present reaches, seconds.
    pub recent_s: f64,
    /// Length of a window of band powers, seconds.
    pub window_s: f64,
    /// A channel that spans more than this within a window is left out of it, microvolts.
    pub artefact_uv: f64,
    /// An alpha spindle's envelope over the baseline's median.
    pub spindle_factor: f64,
    /// Least length of an alpha spindle, seconds.
    pub spindle_min_s: f64,
    /// After so many forks a P300 weighs half.
    pub p300_half_life_forks: f64,
}

impl Default for StateSection {
    fn default() -> Self {
        Self {
            on: true,
            baseline_s: default_of("state.baseline_s"),
            recent_s: default_of("state.recent_s"),
            window_s: default_of("state.window_s"),
            artefact_uv: default_of("state.artefact_uv"),
            spindle_factor: default_of("state.spindle_factor"),
            spindle_min_s: default_of("state.spindle_min_s"),
            p300_half_life_forks: default_of("state.p300_half_life_forks"),
        }
    }
}

impl Checked for StateSection {
    fn numbers(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("state.baseline_s", self.baseline_s),
            ("state.recent_s", self.recent_s),
            ("state.window_s", self.window_s),
            ("state.artefact_uv", self.artefact_uv),
            ("state.spindle_factor", self.spindle_factor),
            ("state.spindle_min_s", self.spindle_min_s),
            ("state.p300_half_life_forks", self.p300_half_life_forks),
        ]
    }
}

/// Learning from confirmed choices while the session runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdaptationSection {
    /// Whether anything is learnt; without it the scorer stays as calibrated.
    pub on: bool,
    /// A new epoch weighs at most as much as one of this many.
    pub memory_epochs_min: f64,
    /// A new epoch weighs at least as much as one of this many.
    pub memory_epochs_max: f64,
    /// Epochs taken from one fork, at most.
    pub epochs_per_fork_max: u32,
    /// An epoch further from the mean of its class is refused, root mean square in standard deviations.
    pub distance_sds_max: f64,
    /// How far the weights may turn in all: 1 minus the correlation with the calibrated ones.
    pub change_max: f64,
    /// The scorer is fitted anew after so many confirmed forks; 0: never.
    pub refit_every_forks: u32,
    /// Epochs of confirmed choices that a fit anew looks at, at most; the latest.
    pub refit_epochs_max: u32,
    /// How far gaze is moved in all after a tracker that drifts, degrees; 0: not at all.
    pub gaze_shift_max_deg: f64,
    /// How far from one fork to the next, degrees.
    pub gaze_step_deg: f64,
}

impl Default for AdaptationSection {
    fn default() -> Self {
        Self {
            on: true,
            memory_epochs_min: default_of("adaptation.memory_epochs_min"),
            memory_epochs_max: default_of("adaptation.memory_epochs_max"),
            epochs_per_fork_max: default_of("adaptation.epochs_per_fork_max") as u32,
            distance_sds_max: default_of("adaptation.distance_sds_max"),
            change_max: default_of("adaptation.change_max"),
            refit_every_forks: default_of("adaptation.refit_every_forks") as u32,
            refit_epochs_max: default_of("adaptation.refit_epochs_max") as u32,
            gaze_shift_max_deg: default_of("adaptation.gaze_shift_max_deg"),
            gaze_step_deg: default_of("adaptation.gaze_step_deg"),
        }
    }
}

impl Checked for AdaptationSection {
    fn numbers(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("adaptation.memory_epochs_min", self.memory_epochs_min),
            ("adaptation.memory_epochs_max", self.memory_epochs_max),
            (
                "adaptation.epochs_per_fork_max",
                f64::from(self.epochs_per_fork_max),
            ),
            ("adaptation.distance_sds_max", self.distance_sds_max),
            ("adaptation.change_max", self.change_max),
            (
                "adaptation.refit_every_forks",
                f64::from(self.refit_every_forks),
            ),
            (
                "adaptation.refit_epochs_max",
                f64::from(self.refit_epochs_max),
            ),
            ("adaptation.gaze_shift_max_deg", self.gaze_shift_max_deg),
            ("adaptation.gaze_step_deg", self.gaze_step_deg),
        ]
    }
}

impl AdaptationSection {
    /// The bounds of each step.
    #[must_use]
    pub fn rule(&self) -> AdaptRule {
        AdaptRule {
            memory_epochs_min: self.memory_epochs_min.min(self.memory_epochs_max),
            memory_epochs_max: self.memory_epochs_max,
            epochs_per_fork_max: self.epochs_per_fork_max as usize,
            distance_sds_max: self.distance_sds_max,
            change_max: self.change_max,
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
