//! How the simulated devices announce themselves.

use crate::source::{Format, StreamSpec};

use super::tracker::{Described, TrackerSettings};
use super::{RealEeg, SimSettings};

/// Name of the amplifier's stream.
pub const EEG_NAME: &str = "RazvilkaSimEEG";
/// Name of the eye tracker's stream.
pub const GAZE_NAME: &str = "RazvilkaSimGaze";
/// Name of the key stream.
pub const KEYS_NAME: &str = "RazvilkaSimKeys";

/// The three streams of a simulated laboratory.
#[derive(Debug, Clone, PartialEq)]
pub struct Streams {
    /// The amplifier: type `EEG`, one channel per electrode, microvolts, float32.
    pub eeg: StreamSpec,
    /// The eye tracker: type `Gaze`, channels `x`, `y`, `confidence` and what else [`SimSettings::tracker`] asks for, float32.
    pub gaze: StreamSpec,
    /// Keys: type `Keys`, one string per key, irregular.
    pub keys: StreamSpec,
}

impl Streams {
    /// The streams of a laboratory with these settings. Source identities end in the seed, so that two laboratories can
    /// stand side by side; hostname and uid are left to the outlet.
    #[must_use]
    pub fn of(settings: &SimSettings) -> Self {
        let screen = settings.screen;
        let describe = |inner: &str| {
            format!(
                "<info><desc><manufacturer>Razvilka</manufacturer><model>simulated</model>{inner}</desc></info>"
            )
        };
        let spec = |name: &str, kind: &str, device: &str| StreamSpec {
            name: name.to_owned(),
            kind: kind.to_owned(),
            source_id: format!("razvilka-sim-{device}-{}", settings.seed),
            hostname: String::new(),
            uid: String::new(),
            rate_hz: 0.0,
            format: Format::Float32,
            labels: Vec::new(),
            units: Vec::new(),
            xml: describe(""),
        };
        let tracker = settings.tracker.channels();
        let channels = described(&settings.tracker, &tracker);
        Self {
            eeg: StreamSpec {
                rate_hz: settings.eeg_rate_hz,
                labels: settings.channels.clone(),
                units: vec!["microvolts".to_owned(); settings.channels.len()],
                ..spec(EEG_NAME, "EEG", "eeg")
            },
            gaze: StreamSpec {
                rate_hz: settings.gaze_rate_hz,
                labels: tracker.iter().map(|c| c.label.clone()).collect(),
                units: tracker.iter().map(|c| c.unit.to_owned()).collect(),
                xml: describe(&format!(
                    "{channels}<display><width_cm>{}</width_cm><height_cm>{}</height_cm><distance_cm>{}</distance_cm></display>",
                    screen.width_cm, screen.height_cm, screen.distance_cm
                )),
                ..spec(GAZE_NAME, "Gaze", "gaze")
            },
            keys: StreamSpec {
                format: Format::String,
                labels: vec!["key".to_owned()],
                ..spec(KEYS_NAME, "Keys", "keys")
            },
        }
    }

    /// The same with a recorded person's EEG: labels, unit and rate of the recording.
    #[must_use]
    pub fn with_recording(settings: &SimSettings, eeg: &RealEeg) -> Self {
        let streams = Self::of(settings);
        Self {
            eeg: StreamSpec {
                rate_hz: eeg.rate_hz(),
                labels: eeg.labels().to_vec(),
                units: eeg.units().to_vec(),
                ..streams.eeg
            },
            ..streams
        }
    }
}

/// What a tracker that tells more than one place says of its channels; nothing of the plain one, whose labels say all.
fn described(settings: &TrackerSettings, channels: &[Described]) -> String {
    if *settings == TrackerSettings::default() {
        return String::new();
    }
    let each = channels.iter().map(|channel| {
        let Described {
            label,
            eye,
            kind,
            unit,
        } = channel;
        format!(
            "<channel><label>{label}</label><eye>{eye}</eye><type>{kind}</type><unit>{unit}</unit></channel>"
        )
    });
    format!("<channels>{}</channels>", each.collect::<String>())
}
