//! What a simulated laboratory is made of, as asked for: seed, difficulty, devices, wishes and faults. Checked once.

use razvilka_dsp::contraction::Muscle;
use razvilka_dsp::deliberate::BlinkKind;
use serde::{Deserialize, Serialize};

use super::faults::Fault;
use super::montage;
use super::real::RealEeg;
use super::tracker::TrackerSettings;

/// Most EEG channels.
pub const MAX_CHANNELS: usize = 64;
/// Most goal words.
pub const MAX_GOALS: usize = 64;
/// Most faults at a time.
pub const MAX_FAULTS: usize = 16;

/// Why a laboratory cannot be built as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A number lies outside its range.
    #[error("{key} must lie in {min}..={max}{unit}, got {got}", unit = spaced(unit))]
    OutOfRange {
        /// Which setting.
        key: &'static str,
        /// Its unit.
        unit: &'static str,
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
        /// The value given.
        got: f64,
    },
    /// An electrode is not in the 10-10 system, or is named twice.
    #[error("EEG channel '{label}' {problem}. Use labels of the 10-10 system, each once, e.g. Pz")]
    Electrode {
        /// The label.
        label: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A fault names a channel that the amplifier does not have.
    #[error("fault on channel '{label}', but the amplifier has only {channels}")]
    NoSuchChannel {
        /// The label.
        label: String,
        /// What there is.
        channels: String,
    },
    /// Channels or rate are not those of the recording.
    #[error(
        "the recording has {channels} EEG channels at {rate_hz} Hz; channels and rate are taken from it and cannot be set"
    )]
    Recording {
        /// Its channels.
        channels: usize,
        /// Its rate, Hz.
        rate_hz: f64,
    },
    /// A loss of one eye that cannot be read.
    #[error(
        "'{text}' is no loss of an eye. Write left@30+5 (the left eye, from 30 s on for 5 s), right@60 or right@fork3 (for good, the latter from the third fork on)"
    )]
    EyeLoss {
        /// What was given.
        text: String,
    },
    /// Something that only a tracker of two eyes has.
    #[error(
        "losses of one eye and the form of TittaLSL need a tracker that tells of two eyes: give --two-eyes as well"
    )]
    OneEye,
    /// A fault that cannot be read.
    #[error(
        "'{text}' is no fault. Write railed=Pz, flat=Oz, noisy=Cz, nan=Cz or copy=Pz:Cz, for a while: nan=Cz@10+0.5 (start and length in seconds) or railed=Pz@fork3+8 (8 s from the third fork on); mains@30+2, clench@30+1 or gap@30+2"
    )]
    Fault {
        /// What was given.
        text: String,
    },
}

/// A unit as it follows a number in a sentence; nothing for a bare number.
fn spaced(unit: &str) -> String {
    if unit.is_empty() {
        String::new()
    } else {
        format!(" {unit}")
    }
}

pub(super) fn within(
    key: &'static str,
    unit: &'static str,
    got: f64,
    min: f64,
    max: f64,
) -> Result<(), SettingsError> {
    if (min..=max).contains(&got) {
        Ok(())
    } else {
        Err(SettingsError::OutOfRange {
            key,
            unit,
            min,
            max,
            got,
        })
    }
}

/// How difficult the person and the devices are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// A strong P300, a quiet room, a well fitted eye tracker.
    Easy,
    /// What a laboratory sees on most days.
    #[default]
    Typical,
    /// A weak and variable P300, much noise, gaps in the gaze, a person who tires and errs.
    Hard,
}

/// The screen the person looks at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Screen {
    /// Visible width, centimetres, 10 to 300.
    pub width_cm: f64,
    /// Visible height, centimetres, 10 to 300.
    pub height_cm: f64,
    /// From the eyes to the screen, centimetres, 20 to 300.
    pub distance_cm: f64,
}

impl Default for Screen {
    /// A 24-inch screen at 60 cm: 47 by 28 degrees.
    fn default() -> Self {
        Self {
            width_cm: 52.7,
            height_cm: 29.6,
            distance_cm: 60.0,
        }
    }
}

impl Screen {
    /// Degrees from the centre to screen coordinates, 0..1 from the top left corner; outside the screen beyond that.
    #[must_use]
    pub fn to_normalised(&self, x_deg: f64, y_deg: f64) -> (f64, f64) {
        // 80 degrees to the side is far beyond any screen; the tangent stays finite.
        let cm = |deg: f64| self.distance_cm * deg.clamp(-80.0, 80.0).to_radians().tan();
        (
            0.5 + cm(x_deg) / self.width_cm,
            0.5 + cm(y_deg) / self.height_cm,
        )
    }

    /// Screen coordinates to degrees from the centre.
    #[must_use]
    pub fn to_degrees(&self, x: f64, y: f64) -> (f64, f64) {
        let deg = |cm: f64| (cm / self.distance_cm).atan().to_degrees();
        (
            deg((x - 0.5) * self.width_cm),
            deg((y - 0.5) * self.height_cm),
        )
    }
}

/// A whole simulated laboratory, as asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimSettings {
    /// From this number comes everything: the person, the day's noise, each blink.
    pub seed: u64,
    /// How difficult it is.
    pub preset: Preset,
    /// EEG channels, labels of the 10-10 system, 1 to [`MAX_CHANNELS`].
    pub channels: Vec<String>,
    /// EEG samples per second, 100 to 10,000.
    pub eeg_rate_hz: f64,
    /// Gaze samples per second, 30 to 2,000.
    pub gaze_rate_hz: f64,
    /// Mains frequency, 50 or 60 Hz.
    pub mains_hz: f64,
    /// The screen, which has to be the one the markers' degrees refer to.
    pub screen: Screen,
    /// Words the person wants above all others, at most [`MAX_GOALS`].
    pub goals: Vec<String>,
    /// Share of forks that the person answers by key as well, 0 to 1.
    pub key_share: f64,
    /// How fast the person reads and decides, 0.5 to 2; 1 is an average reader.
    pub pace: f64,
    /// Standard deviation of the eye tracker's noise, degrees, 0 to 5; `None` for the preset's.
    pub gaze_noise_deg: Option<f64>,
    /// Time on task after which two thirds of the tiredness has come, seconds, 60 to 10,000,000; `None` for the preset's.
    pub tires_in_s: Option<f64>,
    /// The blink that the person makes on purpose when it has decided; `None`: none.
    pub blink_signal: Option<BlinkKind>,
    /// The muscle that the person contracts on purpose when it has decided; `None`: none.
    pub contraction_signal: Option<Muscle>,
    /// How often the person swallows, speaks, chews, frowns or clenches its teeth unasked, per minute, 0 to 30.
    pub muscles_per_min: f64,
    /// Faults, at most [`MAX_FAULTS`].
    pub faults: Vec<Fault>,
    /// What the eye tracker publishes.
    pub tracker: TrackerSettings,
    /// How much the pupil widens after the person has read what it wants, millimetres, 0 to 1; `None` for the person's own.
    pub pupil_gain_mm: Option<f64>,
}

impl Default for SimSettings {
    fn default() -> Self {
        Self {
            seed: 1,
            preset: Preset::Typical,
            channels: Self::montage(montage::EIGHT.len()),
            eeg_rate_hz: 250.0,
            gaze_rate_hz: 250.0,
            mains_hz: 50.0,
            screen: Screen::default(),
            goals: Vec::new(),
            key_share: 0.0,
            pace: 1.0,
            gaze_noise_deg: None,
            tires_in_s: None,
            blink_signal: None,
            contraction_signal: None,
            muscles_per_min: 0.0,
            faults: Vec::new(),
            tracker: TrackerSettings::default(),
            pupil_gain_mm: None,
        }
    }
}

impl SimSettings {
    /// Labels of a montage with this many channels: the usual 8 first, then the rest of a 64-channel cap.
    ///
    /// At most [`MAX_CHANNELS`]; the full cap is in its usual order.
    #[must_use]
    pub fn montage(channels: usize) -> Vec<String> {
        if channels >= MAX_CHANNELS {
            return montage::SIXTY_FOUR.map(str::to_owned).to_vec();
        }
        let rest = montage::SIXTY_FOUR
            .iter()
            .filter(|label| !montage::EIGHT.contains(label));
        montage::EIGHT
            .iter()
            .chain(rest)
            .take(channels)
            .map(|label| (*label).to_owned())
            .collect()
    }

    /// These channels, and those over jaw and brow that are not among them.
    #[must_use]
    pub fn with_muscles(mut channels: Vec<String>) -> Vec<String> {
        for label in montage::MUSCLES {
            if channels.len() < MAX_CHANNELS && !channels.iter().any(|own| own == label) {
                channels.push(label.to_owned());
            }
        }
        channels
    }

    /// Checks every number and name.
    ///
    /// # Errors
    /// The first [`SettingsError`] found.
    pub fn check(&self) -> Result<(), SettingsError> {
        within(
            "channels",
            "labels",
            self.channels.len() as f64,
            1.0,
            MAX_CHANNELS as f64,
        )?;
        within("eeg_rate_hz", "Hz", self.eeg_rate_hz, 100.0, 10_000.0)?;
        self.check_channels()?;
        self.check_rest()
    }

    /// These settings with the channels and the rate of a recording.
    #[must_use]
    pub fn with_recording(self, eeg: &RealEeg) -> Self {
        Self {
            channels: eeg.labels().to_vec(),
            eeg_rate_hz: eeg.rate_hz(),
            ..self
        }
    }

    /// Checks every number and name of a laboratory with a recorded person. Labels are whatever the recording says.
    ///
    /// # Errors
    /// The first [`SettingsError`] found; [`SettingsError::Recording`] when channels or rate are not the recording's.
    pub fn check_recorded(&self, eeg: &RealEeg) -> Result<(), SettingsError> {
        if self.channels != eeg.labels() || self.eeg_rate_hz != eeg.rate_hz() {
            return Err(SettingsError::Recording {
                channels: eeg.labels().len(),
                rate_hz: eeg.rate_hz(),
            });
        }
        self.check_rest()
    }

    /// Everything but channels and rate of the EEG.
    fn check_rest(&self) -> Result<(), SettingsError> {
        within("gaze_rate_hz", "Hz", self.gaze_rate_hz, 30.0, 2_000.0)?;
        within("mains_hz", "Hz", self.mains_hz, 45.0, 65.0)?;
        within("screen.width_cm", "cm", self.screen.width_cm, 10.0, 300.0)?;
        within("screen.height_cm", "cm", self.screen.height_cm, 10.0, 300.0)?;
        within(
            "screen.distance_cm",
            "cm",
            self.screen.distance_cm,
            20.0,
            300.0,
        )?;
        within(
            "goals",
            "words",
            self.goals.len() as f64,
            0.0,
            MAX_GOALS as f64,
        )?;
        within("key_share", "", self.key_share, 0.0, 1.0)?;
        within("pace", "", self.pace, 0.5, 2.0)?;
        within(
            "muscles_per_min",
            "per minute",
            self.muscles_per_min,
            0.0,
            30.0,
        )?;
        within(
            "gaze_noise_deg",
            "deg",
            self.gaze_noise_deg.unwrap_or(0.0),
            0.0,
            5.0,
        )?;
        within(
            "tires_in_s",
            "s",
            self.tires_in_s.unwrap_or(60.0),
            60.0,
            1e7,
        )?;
        within(
            "faults",
            "faults",
            self.faults.len() as f64,
            0.0,
            MAX_FAULTS as f64,
        )?;
        within(
            "pupil_gain_mm",
            "mm",
            self.pupil_gain_mm.unwrap_or(0.0),
            0.0,
            1.0,
        )?;
        self.tracker.check()?;
        self.check_faults()?;
        for fault in &self.faults {
            fault.when().check()?;
        }
        Ok(())
    }

    fn check_channels(&self) -> Result<(), SettingsError> {
        for (n, label) in self.channels.iter().enumerate() {
            let problem = if montage::electrode(label).is_none() {
                "is unknown"
            } else if self.channels[..n].contains(label) {
                "is named twice"
            } else {
                continue;
            };
            return Err(SettingsError::Electrode {
                label: label.clone(),
                problem,
            });
        }
        Ok(())
    }

    fn check_faults(&self) -> Result<(), SettingsError> {
        for label in self.faults.iter().flat_map(Fault::channels) {
            if !self.channels.iter().any(|channel| channel == label) {
                return Err(SettingsError::NoSuchChannel {
                    label: label.to_owned(),
                    channels: self.channels.join(", "),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_go_to_the_screen_and_back() {
        let screen = Screen::default();
        assert_eq!(screen.to_normalised(0.0, 0.0), (0.5, 0.5));
        let (x, y) = screen.to_normalised(-10.0, 5.0);
        assert!(x < 0.5 && y > 0.5);
        let (x_deg, y_deg) = screen.to_degrees(x, y);
        assert!((x_deg + 10.0).abs() < 1e-9 && (y_deg - 5.0).abs() < 1e-9);
    }

    #[test]
    fn absurd_settings_are_refused_by_name() {
        let refused = |change: fn(&mut SimSettings)| {
            let mut settings = SimSettings::default();
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        assert!(refused(|s| s.eeg_rate_hz = f64::NAN).starts_with("eeg_rate_hz"));
        assert!(refused(|s| s.gaze_rate_hz = 0.0).starts_with("gaze_rate_hz"));
        assert_eq!(
            refused(|s| s.key_share = 1.5),
            "key_share must lie in 0..=1, got 1.5"
        );
        assert_eq!(refused(|s| s.pace = 3.0), "pace must lie in 0.5..=2, got 3");
        assert!(refused(|s| s.muscles_per_min = 31.0).starts_with("muscles_per_min"));
        assert!(refused(|s| s.screen.distance_cm = -1.0).starts_with("screen.distance_cm"));
        assert!(refused(|s| s.channels.clear()).starts_with("channels"));
        assert!(refused(|s| s.channels.push("Pz".into())).contains("twice"));
        assert!(refused(|s| s.channels.push("A1".into())).contains("unknown"));
        assert!(refused(|s| s.faults.push("railed=Fp1".parse().unwrap())).contains("Fp1"));
        assert!(
            refused(|s| s.faults.push("gap@-1+2".parse().unwrap())).starts_with("start of a fault")
        );
        SimSettings::default().check().unwrap();
    }

    #[test]
    fn montages_of_any_size_are_valid() {
        for channels in 1..=MAX_CHANNELS {
            let settings = SimSettings {
                channels: SimSettings::montage(channels),
                ..SimSettings::default()
            };
            assert_eq!(settings.channels.len(), channels);
            settings.check().unwrap();
        }
    }
}
