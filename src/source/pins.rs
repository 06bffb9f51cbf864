//! Which stream is meant: the pins of an experiment file, and how a stream is held against them.
//!
//! Two kinds of pins. *Identity* (name, type, source_id, hostname, uid) selects a stream; several streams that fit are
//! refused, never chosen from. *Shape* (channels, unit, rate, format) is then verified; a stream of the right identity
//! and the wrong shape is an error, not another stream.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Format, SourceError, StreamSpec};

/// Most channels a stream may have to be opened, and be pinned to.
pub const MAX_CHANNELS: usize = 512;
/// Highest nominal rate a stream may have to be opened, and be pinned to, Hz.
pub const MAX_RATE_HZ: f64 = 50_000.0;
/// Longest text of a pin, bytes.
const MAX_TEXT_BYTES: usize = 256;
/// Two nominal rates within this relative distance are the same rate written differently.
const RATE_TOLERANCE: f64 = 1e-6;

/// The pins of one source. Every key is optional, but `name` or `source_id` must be there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// The stream's name, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its content type, exactly: `EEG`, `Gaze`, `Markers`, ...
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Identity of the device; survives restarts, so it is the best single pin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// The machine that serves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// This very outlet; changes at each start, so pin it only to tell two apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Number of channels, or their labels in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Channels>,
    /// Unit of every channel, exactly as the stream writes it, e.g. `microvolts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Nominal rate, 0 (irregular) to 50000 Hz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_hz: Option<f64>,
    /// Sample format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
}

/// Channels as pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Channels {
    /// How many; labels are not looked at.
    Count(usize),
    /// Their labels, in order.
    Labels(Vec<String>),
}

impl Pins {
    /// Pins that hold a stream to everything it says of itself now, but its `uid`: for after a restart, and to paste.
    ///
    /// Keys that the stream leaves empty stay unpinned. Labels are pinned when every channel has one of its own, else the
    /// number of channels; a unit is pinned when all channels share it.
    #[must_use]
    pub fn of(spec: &StreamSpec) -> Self {
        let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let labelled = !spec.labels.is_empty()
            && spec.labels.iter().all(|l| !l.is_empty())
            && repeated(&spec.labels).is_none();
        let channels = if labelled {
            Some(Channels::Labels(spec.labels.clone()))
        } else if spec.labels.is_empty() {
            None
        } else {
            Some(Channels::Count(spec.labels.len()))
        };
        let unit = spec
            .units
            .first()
            .filter(|first| spec.units.iter().all(|unit| unit == *first));
        Self {
            name: said(&spec.name),
            kind: said(&spec.kind),
            source_id: said(&spec.source_id),
            hostname: said(&spec.hostname),
            uid: None,
            channels,
            unit: unit.and_then(|u| said(u)),
            rate_hz: Some(spec.rate_hz),
            format: Some(spec.format),
        }
    }

    /// Whether the pins make sense by themselves.
    ///
    /// # Errors
    /// [`SourceError::Pins`] when neither `name` nor `source_id` is there, when a text is empty or longer than 256
    /// bytes, when channels are none or more than 512, or a rate is no number in 0 to 50000 Hz.
    pub fn check(&self) -> Result<(), SourceError> {
        let refuse = |key: &'static str, problem: String| Err(SourceError::Pins { key, problem });
        if self.name.is_none() && self.source_id.is_none() {
            return refuse(
                "name",
                "is missing; pin at least name or source_id".to_owned(),
            );
        }
        for (key, text) in [
            ("name", &self.name),
            ("type", &self.kind),
            ("source_id", &self.source_id),
            ("hostname", &self.hostname),
            ("uid", &self.uid),
            ("unit", &self.unit),
        ] {
            if let Some(text) = text
                && !(1..=MAX_TEXT_BYTES).contains(&text.len())
            {
                return refuse(
                    key,
                    format!("must have 1 to {MAX_TEXT_BYTES} bytes, has {}", text.len()),
                );
            }
        }
        let count = match &self.channels {
            None => None,
            Some(Channels::Count(count)) => Some(*count),
            Some(Channels::Labels(labels)) => {
                if let Some(twice) = repeated(labels) {
                    return refuse("channels", format!("name {twice:?} twice"));
                }
                Some(labels.len())
            }
        };
        if let Some(count) = count
            && !(1..=MAX_CHANNELS).contains(&count)
        {
            return refuse(
                "channels",
                format!("must be 1 to {MAX_CHANNELS}, got {count}"),
            );
        }
        if let Some(rate) = self.rate_hz
            && !(0.0..=MAX_RATE_HZ).contains(&rate)
        {
            return refuse(
                "rate_hz",
                format!("must lie in 0 (irregular) to {MAX_RATE_HZ}, got {rate}"),
            );
        }
        Ok(())
    }

    /// Whether a stream has the pinned identity. Shape is not looked at.
    #[must_use]
    pub fn identify(&self, spec: &StreamSpec) -> bool {
        self.identity(spec)
            .all(|(pin, said)| pin.is_none_or(|pin| pin == said))
    }

    /// How many identity pins a stream fits; for "did you mean".
    #[must_use]
    pub fn likeness(&self, spec: &StreamSpec) -> usize {
        self.identity(spec)
            .filter(|(pin, said)| *pin == Some(said))
            .count()
    }

    fn identity<'a>(
        &'a self,
        spec: &'a StreamSpec,
    ) -> impl Iterator<Item = (Option<&'a str>, &'a str)> {
        [
            (&self.name, &spec.name),
            (&self.kind, &spec.kind),
            (&self.source_id, &spec.source_id),
            (&self.hostname, &spec.hostname),
            (&self.uid, &spec.uid),
        ]
        .into_iter()
        .map(|(pin, said)| (pin.as_deref(), said.as_str()))
    }

    /// Holds what is known before a stream is described against the pins: number of channels, rate, format.
    ///
    /// # Errors
    /// [`SourceError::Mismatch`] with what was expected and what is there.
    pub fn verify_shape(&self, spec: &StreamSpec, channel_count: u32) -> Result<(), SourceError> {
        let differ = |what: &'static str, expected: String, actual: String| {
            Err(SourceError::Mismatch {
                name: spec.name.clone(),
                what,
                expected,
                actual,
            })
        };
        let count = match &self.channels {
            None => None,
            Some(Channels::Count(count)) => Some(*count),
            Some(Channels::Labels(labels)) => Some(labels.len()),
        };
        if let Some(count) = count
            && count != channel_count as usize
        {
            return differ(
                "the channel count",
                count.to_string(),
                channel_count.to_string(),
            );
        }
        let same_rate = |rate: f64| (rate - spec.rate_hz).abs() <= RATE_TOLERANCE * rate;
        if let Some(rate) = self.rate_hz
            && !same_rate(rate)
        {
            return differ(
                "the rate",
                format!("{rate} Hz"),
                format!("{} Hz", spec.rate_hz),
            );
        }
        if let Some(format) = self.format
            && format != spec.format
        {
            return differ(
                "the format",
                format!("{format:?}").to_lowercase(),
                format!("{:?}", spec.format).to_lowercase(),
            );
        }
        Ok(())
    }

    /// Holds a fully described stream against all pins: identity, shape, labels with their order, unit.
    ///
    /// # Errors
    /// [`SourceError::Mismatch`] with the first difference.
    pub fn verify(&self, spec: &StreamSpec) -> Result<(), SourceError> {
        let differ = |what: &'static str, expected: String, actual: String| {
            Err(SourceError::Mismatch {
                name: spec.name.clone(),
                what,
                expected,
                actual,
            })
        };
        let keys = [
            "the name",
            "the type",
            "the source_id",
            "the hostname",
            "the uid",
        ];
        for (what, (pin, said)) in keys.into_iter().zip(self.identity(spec)) {
            if let Some(pin) = pin
                && pin != said
            {
                return differ(what, format!("{pin:?}"), format!("{said:?}"));
            }
        }
        self.verify_shape(spec, u32::try_from(spec.labels.len()).unwrap_or(u32::MAX))?;
        if let Some(Channels::Labels(labels)) = &self.channels {
            for (number, (label, said)) in labels.iter().zip(&spec.labels).enumerate() {
                if label != said {
                    return differ(
                        "a channel label",
                        format!("{label:?} (channel {})", number + 1),
                        format!("{said:?}"),
                    );
                }
            }
        }
        if let Some(unit) = &self.unit {
            for (number, said) in spec.units.iter().enumerate() {
                if unit != said {
                    return differ(
                        "a channel unit",
                        format!("{unit:?} (channel {})", number + 1),
                        format!("{said:?}"),
                    );
                }
            }
        }
        Ok(())
    }
}

/// In words, for messages: `name "BioSemi", type "EEG"`.
impl fmt::Display for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (key, pin) in [
            ("name", &self.name),
            ("type", &self.kind),
            ("source_id", &self.source_id),
            ("hostname", &self.hostname),
            ("uid", &self.uid),
        ] {
            if let Some(pin) = pin {
                write!(f, "{separator}{key} {pin:?}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

fn repeated(labels: &[String]) -> Option<&str> {
    labels
        .iter()
        .enumerate()
        .find(|(at, label)| labels.iter().skip(at + 1).any(|other| other == *label))
        .map(|(_, label)| label.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> StreamSpec {
        StreamSpec {
            name: "Amp".into(),
            kind: "EEG".into(),
            source_id: "sn-1".into(),
            hostname: "lab".into(),
            uid: "u1".into(),
            rate_hz: 500.0,
            format: Format::Float32,
            labels: vec!["Fz".into(), "Cz".into()],
            units: vec!["microvolts".into(), "microvolts".into()],
            xml: String::new(),
        }
    }

    fn mismatch(pins: &Pins, spec: &StreamSpec) -> String {
        pins.verify(spec).unwrap_err().to_string()
    }

    #[test]
    fn a_stream_fits_the_pins_made_from_it_and_survives_a_new_uid() {
        let pins = Pins::of(&spec());
        pins.check().unwrap();
        let restarted = StreamSpec {
            uid: "u2".into(),
            ..spec()
        };
        assert!(pins.identify(&restarted));
        pins.verify(&restarted).unwrap();
    }

    #[test]
    fn pins_are_read_from_toml_and_back() {
        let text = "name = \"Amp\"\ntype = \"EEG\"\nchannels = [\"Fz\", \"Cz\"]\nrate_hz = 500.0\nformat = \"float32\"\n";
        let pins: Pins = toml::from_str(text).unwrap();
        assert_eq!(
            pins.channels,
            Some(Channels::Labels(vec!["Fz".into(), "Cz".into()]))
        );
        assert_eq!(toml::to_string(&pins).unwrap(), text);
        let counted: Pins = toml::from_str("source_id = \"x\"\nchannels = 8").unwrap();
        assert_eq!(counted.channels, Some(Channels::Count(8)));
        assert!(
            toml::from_str::<Pins>("nmae = \"Amp\"").is_err(),
            "unknown key"
        );
    }

    #[test]
    fn senseless_pins_name_the_key_and_the_range() {
        for (text, words) in [
            ("type = \"EEG\"", "name or source_id"),
            ("name = \"\"", "name must have 1 to 256 bytes"),
            (
                "name = \"a\"\nchannels = 0",
                "channels must be 1 to 512, got 0",
            ),
            ("name = \"a\"\nchannels = 513", "got 513"),
            ("name = \"a\"\nchannels = [\"Fz\", \"Fz\"]", "\"Fz\" twice"),
            ("name = \"a\"\nrate_hz = nan", "rate_hz must lie in"),
            ("name = \"a\"\nrate_hz = -1.0", "rate_hz must lie in"),
            ("name = \"a\"\nrate_hz = 60000.0", "got 60000"),
        ] {
            let pins: Pins = toml::from_str(text).unwrap();
            let message = pins.check().unwrap_err().to_string();
            assert!(message.contains(words), "{text}: {message}");
        }
    }

    #[test]
    fn every_identity_pin_selects() {
        let others = [
            StreamSpec {
                name: "X".into(),
                ..spec()
            },
            StreamSpec {
                kind: "X".into(),
                ..spec()
            },
            StreamSpec {
                source_id: "X".into(),
                ..spec()
            },
            StreamSpec {
                hostname: "X".into(),
                ..spec()
            },
        ];
        for other in &others {
            assert!(!Pins::of(&spec()).identify(other), "{other:?}");
        }
        let mut by_uid = Pins::of(&spec());
        by_uid.uid = Some("u1".into());
        assert!(by_uid.identify(&spec()));
        assert!(!by_uid.identify(&StreamSpec {
            uid: "u2".into(),
            ..spec()
        }));
    }

    #[test]
    fn a_wrong_shape_says_what_was_expected_and_what_is_there() {
        let pins = Pins::of(&spec());
        let swapped = StreamSpec {
            labels: vec!["Cz".into(), "Fz".into()],
            ..spec()
        };
        assert!(mismatch(&pins, &swapped).contains("should be \"Fz\" (channel 1) but is \"Cz\""));
        let more = StreamSpec {
            labels: vec![String::new(); 3],
            ..spec()
        };
        assert!(mismatch(&pins, &more).contains("the channel count should be 2 but is 3"));
        let slow = StreamSpec {
            rate_hz: 250.0,
            ..spec()
        };
        assert!(mismatch(&pins, &slow).contains("the rate should be 500 Hz but is 250 Hz"));
        let no_number = StreamSpec {
            rate_hz: f64::NAN,
            ..spec()
        };
        assert!(mismatch(&pins, &no_number).contains("but is NaN Hz"));
        let wide = StreamSpec {
            format: Format::Int16,
            ..spec()
        };
        assert!(mismatch(&pins, &wide).contains("the format should be float32 but is int16"));
        let volts = StreamSpec {
            units: vec!["microvolts".into(), "volts".into()],
            ..spec()
        };
        assert!(mismatch(&pins, &volts).contains("\"microvolts\" (channel 2) but is \"volts\""));
    }

    #[test]
    fn what_the_stream_does_not_say_is_not_pinned() {
        let bare = StreamSpec {
            kind: String::new(),
            source_id: String::new(),
            labels: vec![String::new(); 2],
            units: vec![String::new(); 2],
            ..spec()
        };
        let pins = Pins::of(&bare);
        assert_eq!(
            (&pins.kind, &pins.source_id, &pins.unit),
            (&None, &None, &None)
        );
        assert_eq!(pins.channels, Some(Channels::Count(2)));
        pins.verify(&bare).unwrap();

        let twice = StreamSpec {
            labels: vec!["Fz".into(), "Fz".into()],
            ..spec()
        };
        let pins = Pins::of(&twice);
        assert_eq!(pins.channels, Some(Channels::Count(2)));
        pins.check().unwrap();
    }
}
