//! What the simulated eye tracker publishes: one eye or two, pupils, lids, and by which words it describes them.

use serde::{Deserialize, Serialize};

use super::settings::{SettingsError, within};
use super::since::{Openings, Since};

/// Most channels: two eyes with position, two flags, pupil and lid with their flags.
pub const GAZE_CHANNELS_MAX: usize = 14;
/// Most losses of one eye.
pub const MAX_EYE_LOSSES: usize = 16;
/// Distance of the lids of an open eye, millimetres.
const LIDS_APART_MM: f64 = 10.0;
/// Longest loss that is not for good, seconds.
const LOSS_MAX_S: f64 = 86_400.0;

/// By which words the tracker describes its channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TrackerForm {
    /// Those of the XDF convention for gaze: `eye`, `type`, `unit`.
    #[default]
    Xdf,
    /// Those of TittaLSL for Tobii's trackers: labels like `diameter.pupil.left_eye`, a flag beside every value.
    Titta,
}

/// One of two eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackedEye {
    /// The left one.
    Left,
    /// The right one.
    Right,
}

/// A time in which the tracker does not see one eye.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EyeLoss {
    /// Which.
    pub eye: TrackedEye,
    /// From when on.
    pub since: Since,
    /// For how long, seconds, 0 to 86,400; `None`: for good.
    pub for_s: Option<f64>,
}

impl std::str::FromStr for EyeLoss {
    type Err = SettingsError;

    /// `left@30+5`: the left eye from 30 s on for 5 s; `right@fork3`: from the third fork on, for good.
    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let wrong = || SettingsError::EyeLoss { text: text.into() };
        let (eye, when) = text.split_once('@').ok_or_else(wrong)?;
        let eye = match eye {
            "left" => TrackedEye::Left,
            "right" => TrackedEye::Right,
            _ => return Err(wrong()),
        };
        let (since, length) = match when.split_once('+') {
            Some((since, length)) => (since, Some(length)),
            None => (when, None),
        };
        let for_s = length.map(|length| length.parse().map_err(|_| wrong()));
        Ok(Self {
            eye,
            since: Since::read(since).ok_or_else(wrong)?,
            for_s: for_s.transpose()?,
        })
    }
}

/// What the simulated tracker publishes. The default: one eye, `x`, `y` and `confidence`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrackerSettings {
    /// Each eye for itself, with its own error, noise and losses; else one eye, which is not named.
    pub two_eyes: bool,
    /// The diameter of the pupil, millimetres.
    pub pupil: bool,
    /// The distance of the lids, millimetres.
    pub openness: bool,
    /// How the channels are described.
    pub form: TrackerForm,
    /// When one of two eyes is lost, at most [`MAX_EYE_LOSSES`].
    pub losses: Vec<EyeLoss>,
}

/// What the tracker sees of one eye.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Sight {
    /// x and y on the screen, 0..1 from the top left corner.
    pub(super) at: Option<[f64; 2]>,
    /// 0..1.
    pub(super) confidence: f64,
    /// Diameter of the pupil, millimetres.
    pub(super) pupil_mm: f64,
    /// How far the lid is closed, 0..1.
    pub(super) closure: f64,
}

/// One channel: label, which eye, type, unit.
pub(super) struct Described {
    pub(super) label: String,
    pub(super) eye: &'static str,
    pub(super) kind: &'static str,
    pub(super) unit: &'static str,
}

impl TrackerSettings {
    /// Checks every number.
    ///
    /// # Errors
    /// [`SettingsError`] for one out of range, and for what does not fit together.
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let losses = self.losses.len() as f64;
        within(
            "tracker.losses",
            "losses",
            losses,
            0.0,
            MAX_EYE_LOSSES as f64,
        )?;
        for loss in &self.losses {
            loss.since.check()?;
            let for_s = loss.for_s.unwrap_or(0.0);
            within("length of an eye's loss", "s", for_s, 0.0, LOSS_MAX_S)?;
        }
        let needs_two = !self.losses.is_empty() || self.form == TrackerForm::Titta;
        if needs_two && !self.two_eyes {
            return Err(SettingsError::OneEye);
        }
        Ok(())
    }

    /// Whether this eye is lost, of two.
    pub(super) fn is_lost(&self, eye: usize, openings: &Openings, t_s: f64) -> bool {
        let wanted = [TrackedEye::Left, TrackedEye::Right];
        self.losses.iter().any(|loss| {
            wanted.get(eye) == Some(&loss.eye) && openings.hold(loss.since, loss.for_s, t_s)
        })
    }

    /// The channels, in their order.
    pub(super) fn channels(&self) -> Vec<Described> {
        let eyes: &[&'static str] = if self.two_eyes {
            &["left", "right"]
        } else {
            &["both"]
        };
        eyes.iter().flat_map(|eye| self.channels_of(eye)).collect()
    }

    fn channels_of(&self, eye: &'static str) -> Vec<Described> {
        let mut channels = Vec::new();
        let mut say = |label: String, kind, unit| {
            channels.push(Described {
                label,
                eye,
                kind,
                unit,
            });
        };
        match self.form {
            TrackerForm::Xdf => {
                let label = |what: &str| match eye {
                    "both" => what.to_owned(),
                    eye => format!("{eye}_{what}"),
                };
                say(label("x"), "ScreenX", "normalized");
                say(label("y"), "ScreenY", "normalized");
                say(label("confidence"), "Confidence", "normalized");
                if self.pupil {
                    say(label("pupil"), "Diameter", "mm");
                }
                if self.openness {
                    say(label("openness"), "EyeLidDistance", "mm");
                }
            }
            TrackerForm::Titta => {
                let place = |axis| format!("{axis}.position_on_display_area.gaze_point.{eye}_eye");
                let valid = |of| format!("valid.{of}.{eye}_eye");
                say(place("x"), "ScreenX", "normalized");
                say(place("y"), "ScreenY", "normalized");
                say(valid("gaze_point"), "ValidFlag", "bool");
                if self.pupil {
                    say(format!("diameter.pupil.{eye}_eye"), "Diameter", "mm");
                    say(valid("pupil"), "ValidFlag", "bool");
                }
                if self.openness {
                    let label = format!("diameter.eye_openness.{eye}_eye");
                    say(label, "EyeLidDistance", "mm");
                    say(valid("eye_openness"), "ValidFlag", "bool");
                }
            }
        }
        channels
    }

    /// One sample of all channels.
    pub(super) fn write(&self, sights: &[Sight; 2], into: &mut Vec<f32>) {
        into.clear();
        for sight in sights.iter().take(if self.two_eyes { 2 } else { 1 }) {
            let [x, y] = sight.at.map_or([f32::NAN; 2], |at| at.map(|v| v as f32));
            let flag = if sight.at.is_some() { 1.0 } else { 0.0 };
            let pupil = sight.at.map_or(f32::NAN, |_| sight.pupil_mm as f32);
            let openness = (LIDS_APART_MM * (1.0 - sight.closure)) as f32;
            match self.form {
                TrackerForm::Xdf => {
                    into.extend([x, y, sight.confidence as f32]);
                    into.extend(self.pupil.then_some(pupil));
                    into.extend(self.openness.then_some(openness));
                }
                TrackerForm::Titta => {
                    into.extend([x, y, flag]);
                    into.extend([pupil, flag].into_iter().filter(|_| self.pupil));
                    into.extend([openness, 1.0].into_iter().filter(|_| self.openness));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_values_as_channels_whatever_is_published() {
        for two_eyes in [false, true] {
            for (pupil, openness) in [(false, false), (true, false), (false, true), (true, true)] {
                for form in [TrackerForm::Xdf, TrackerForm::Titta] {
                    let settings = TrackerSettings {
                        two_eyes,
                        pupil,
                        openness,
                        form,
                        ..TrackerSettings::default()
                    };
                    let mut row = Vec::new();
                    settings.write(&[Sight::default(); 2], &mut row);
                    assert_eq!(row.len(), settings.channels().len());
                    assert!(row.len() <= GAZE_CHANNELS_MAX);
                }
            }
        }
    }

    #[test]
    fn a_loss_of_one_eye_is_read_and_needs_two_eyes() {
        for wrong in [
            "left",
            "both@3",
            "left@x",
            "left@3+y",
            "right@fork",
            "left@fork-1",
        ] {
            let error = wrong.parse::<EyeLoss>().unwrap_err();
            assert!(error.to_string().contains("left@30+5"), "{error}");
        }
        let mut settings = TrackerSettings {
            losses: ["left@30+5", "right@fork2"]
                .map(|loss| loss.parse().unwrap())
                .to_vec(),
            ..TrackerSettings::default()
        };
        assert!(settings.check().is_err());
        settings.two_eyes = true;
        settings.check().unwrap();
        let mut openings = Openings::default();
        let lost =
            |openings: &Openings, t_s| [0, 1].map(|eye| settings.is_lost(eye, openings, t_s));
        assert_eq!(lost(&openings, 29.9), [false, false]);
        assert_eq!(lost(&openings, 30.0), [true, false]);
        openings.fork_opens(20.0);
        assert_eq!(lost(&openings, 31.0), [true, false]);
        openings.fork_opens(32.0);
        assert_eq!(lost(&openings, 31.9), [true, false]);
        assert_eq!(lost(&openings, 32.0), [true, true]);
        assert_eq!(lost(&openings, 35.0), [false, true]);
        assert_eq!(lost(&openings, 1e5), [false, true]);
    }
}
