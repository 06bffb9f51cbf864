//! The pupil as evidence, as the experiment file says it.

use serde::{Deserialize, Serialize};

use super::sections::{Checked, default_of};

/// Dilation after an option was read: support for an option that the person wants. Needs gaze with a channel of the pupil's size, and a
/// calibration in which it was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PupilSection {
    /// Whether it counts, and is asked for in a live calibration.
    pub on: bool,
    /// How often the person is told what to want in a live calibration.
    pub cues: u32,
    /// How long the person has to take in what it shall want, seconds.
    pub tell_s: f64,
    /// How long the options then stand to be read, seconds.
    pub options_s: f64,
    /// Label of the channel of the pupil's size, of the left eye where `channel_right` is given; absent: as the stream describes itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Label of the right eye's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_right: Option<String>,
}

impl Default for PupilSection {
    fn default() -> Self {
        Self {
            on: false,
            cues: default_of("pupil.cues") as u32,
            tell_s: default_of("pupil.tell_s"),
            options_s: default_of("pupil.options_s"),
            channel: None,
            channel_right: None,
        }
    }
}

impl Checked for PupilSection {
    fn numbers(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("pupil.cues", f64::from(self.cues)),
            ("pupil.tell_s", self.tell_s),
            ("pupil.options_s", self.options_s),
        ]
    }
}
