//! What the person sees, as the experiment file says it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::sections::{Checked, default_of};

/// Where a session is shown to the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SurfaceKind {
    /// The terminal alone; another program may follow the markers and show them.
    #[default]
    Terminal,
    /// The participant window, and the terminal for the operator.
    Window,
    /// The window where there is a display, else the terminal.
    Auto,
}

/// Language of what the window says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ViewLanguage {
    /// English.
    #[default]
    En,
    /// Russian.
    Ru,
}

/// Colours of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThemeName {
    /// Dark on a warm grey.
    Light,
    /// Light on a dark grey.
    #[default]
    Dark,
    /// White and yellow on black.
    HighContrast,
}

/// A corner of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Corner {
    /// Above, left.
    TopLeft,
    /// Above, right.
    TopRight,
    /// Below, left.
    BottomLeft,
    /// Below, right.
    BottomRight,
}

/// A square for a photodiode: white while something flashes, else black.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PatchSection {
    /// Where it is; no square where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corner: Option<Corner>,
    /// Its side on the screen, centimetres.
    pub size_cm: f64,
}

impl Default for PatchSection {
    fn default() -> Self {
        Self {
            corner: None,
            size_cm: default_of("view.patch.size_cm"),
        }
    }
}

/// Scanning by a single switch: options stand out one after the other, and the space bar takes the one that does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScanSection {
    /// Whether options are scanned.
    pub on: bool,
    /// How long the first option stands out when they go up, seconds: they are still being read.
    pub first_s: f64,
    /// How long each one does from then on, seconds.
    pub period_s: f64,
    /// How often all of them do; then the fork is left to its time.
    pub loops: u32,
}

impl Default for ScanSection {
    fn default() -> Self {
        Self {
            on: false,
            first_s: default_of("view.scan.first_s"),
            period_s: default_of("view.scan.period_s"),
            loops: default_of("view.scan.loops") as u32,
        }
    }
}

/// The participant window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ViewSection {
    /// Where the session is shown.
    pub surface: SurfaceKind,
    /// Language of buttons and instructions.
    pub language: ViewLanguage,
    /// Colours.
    pub theme: ThemeName,
    /// Whether the window covers its monitor; what `[screen]` measures is then that monitor's picture.
    pub full_screen: bool,
    /// Monitor of a full-screen window, from 1, in the system's order; 0: the one that it opens on.
    pub monitor: u32,
    /// Size of all text, relative to what fits the screen.
    pub text_scale: f64,
    /// Font files that are asked for characters that the bundled font lacks, in this order.
    pub fonts: Vec<PathBuf>,
    /// Whether a mark shows where the tracker says that somebody looks: for visitors and for setting up, as it draws the eyes of who looks.
    /// It follows the tracker's own numbers, before any map of a calibration.
    pub gaze_mark: bool,
    /// Whether options flash; without flashes `[eeg]` chooses nothing, and gaze or keys do.
    pub flashes: bool,
    /// Whether whoever looks at the screen was warned of seizures and agreed, as a laboratory's protocol has it: it is not asked for then.
    pub flashes_confirmed: bool,
    /// How long an option flashes, seconds; whole frames of the display.
    pub flash_s: f64,
    /// Largest solid angle that flashes at once, steradians; a frame within the tile is lit that is no larger.
    pub flash_area_sr_max: f64,
    /// Frames per second below which nothing may flash.
    pub frame_rate_min_hz: f64,
    /// Frames per second at most: a display that does not set the pace itself is held to it.
    pub frame_rate_max_hz: f64,
    /// A square for a photodiode.
    pub patch: PatchSection,
    /// Scanning by a single switch.
    pub scan: ScanSection,
}

impl Default for ViewSection {
    fn default() -> Self {
        Self {
            surface: SurfaceKind::default(),
            language: ViewLanguage::default(),
            theme: ThemeName::default(),
            full_screen: true,
            monitor: default_of("view.monitor") as u32,
            text_scale: default_of("view.text_scale"),
            fonts: Vec::new(),
            gaze_mark: false,
            flashes: true,
            flashes_confirmed: false,
            flash_s: default_of("view.flash_s"),
            flash_area_sr_max: default_of("view.flash_area_sr_max"),
            frame_rate_min_hz: default_of("view.frame_rate_min_hz"),
            frame_rate_max_hz: default_of("view.frame_rate_max_hz"),
            patch: PatchSection::default(),
            scan: ScanSection::default(),
        }
    }
}

impl Checked for ViewSection {
    fn numbers(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("view.monitor", f64::from(self.monitor)),
            ("view.text_scale", self.text_scale),
            ("view.flash_s", self.flash_s),
            ("view.flash_area_sr_max", self.flash_area_sr_max),
            ("view.frame_rate_min_hz", self.frame_rate_min_hz),
            ("view.frame_rate_max_hz", self.frame_rate_max_hz),
            ("view.patch.size_cm", self.patch.size_cm),
            ("view.scan.first_s", self.scan.first_s),
            ("view.scan.period_s", self.scan.period_s),
            ("view.scan.loops", f64::from(self.scan.loops)),
        ]
    }
}

impl ViewSection {
    /// What does not fit together, in words.
    pub(super) fn check(&self, soa_min_s: f64) -> Result<(), String> {
        if self.frame_rate_min_hz > self.frame_rate_max_hz {
            return Err(format!(
                "view.frame_rate_min_hz = {} must not exceed view.frame_rate_max_hz = {}",
                self.frame_rate_min_hz, self.frame_rate_max_hz
            ));
        }
        if self.surface != SurfaceKind::Terminal && self.flashes && self.flash_s >= soa_min_s {
            return Err(format!(
                "view.flash_s = {} must be shorter than the shortest time between two flashes, flash.soa_s - flash.soa_jitter_s = \
                 {soa_min_s}: two options would flash at once",
                self.flash_s
            ));
        }
        Ok(())
    }
}
