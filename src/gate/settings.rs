//! The gate's numbers: as written in a configuration file, and checked.

use serde::{Deserialize, Deserializer, Serialize};

use super::evidence::Source;
use super::limit::{Limit, SettingsError};
use super::pupil::PUPIL;
use super::verdict::TimeoutPolicy;

/// Posterior an option must reach.
const COMMIT_THRESHOLD: Limit = Limit {
    key: "gate.commit_threshold",
    unit: "",
    min: 0.5,
    max: 0.9999,
    default: 0.9,
    about: "posterior an option must reach to be committed",
};
const COMMIT_MARGIN: Limit = Limit {
    key: "gate.commit_margin",
    unit: "",
    min: 0.0,
    max: 0.999,
    default: 0.5,
    about: "lead of the best posterior over the second",
};
const PRIOR_RATIO_MAX: Limit = Limit {
    key: "gate.prior_ratio_max",
    unit: "",
    min: 1.0,
    max: 100.0,
    default: 10.0,
    about: "largest prior divided by the smallest, over all options",
};
const CONTROL_MASS_MIN: Limit = Limit {
    key: "gate.control_mass_min",
    unit: "",
    min: 0.0,
    max: 0.5,
    default: 0.1,
    about: "least prior mass of `other`, `undo` and `go on` together",
};
const CONTROL_MASS_MAX: Limit = Limit {
    key: "gate.control_mass_max",
    unit: "",
    min: 0.0,
    max: 0.9,
    default: 0.4,
    about: "most prior mass of `other`, `undo` and `go on` together",
};
const TIMEOUT_S: Limit = Limit {
    key: "gate.timeout_s",
    unit: "s",
    min: 0.5,
    max: 600.0,
    default: 16.0,
    about: "time until an open fork is declined",
};
const EVIDENCE_ITEMS_MIN: Limit = Limit {
    key: "gate.evidence_items_min",
    unit: "",
    min: 1.0,
    max: 1000.0,
    default: 2.0,
    about: "items of gaze and P300 that tell options apart, before a commit (a key press needs none)",
};
const HUMAN_LEAD_NATS_MIN: Limit = Limit {
    key: "gate.human_lead_nats_min",
    unit: "nats",
    min: 0.01,
    max: 20.0,
    default: 1.0,
    about: "lead of the committed option in the person's evidence alone",
};
const ATTENTION_NATS_MIN: Limit = Limit {
    key: "gate.attention_nats_min",
    unit: "nats",
    min: 0.0,
    max: 20.0,
    default: 2.0,
    about: "evidence for the committed option against nobody attending at all",
};
const EVIDENCE_AGE_S_MAX: Limit = Limit {
    key: "gate.evidence_age_s_max",
    unit: "s",
    min: 0.02,
    max: 10.0,
    default: 1.0,
    about: "age of the newest sample of an item beyond which the item is ignored",
};
const CLOCK_SLACK_S: Limit = Limit {
    key: "gate.clock_slack_s",
    unit: "s",
    min: 0.001,
    max: 1.0,
    default: 0.05,
    about: "how far a stamp may lie ahead of the clock, or the clock go back, before the fork is aborted",
};
const CONTRADICTION_CONFIDENCE: Limit = Limit {
    key: "gate.contradiction_confidence",
    unit: "",
    min: 0.5,
    max: 0.999_99,
    default: 0.99,
    about: "posterior of one source alone from which it counts as contradicting a commit",
};
const RELIABILITY: [Limit; 3] = [
    Limit {
        key: "gate.gaze.reliability",
        unit: "",
        min: 0.0,
        max: 1.0,
        default: 1.0,
        about: "exponent of the gaze likelihood; fitted in calibration",
    },
    Limit {
        key: "gate.p300.reliability",
        unit: "",
        min: 0.0,
        max: 1.0,
        default: 1.0,
        about: "exponent of the P300 likelihood; fitted in calibration",
    },
    Limit {
        key: "gate.blink.reliability",
        unit: "",
        min: 0.0,
        max: 1.0,
        default: 1.0,
        about: "exponent of the likelihood of a deliberate blink; fitted in calibration",
    },
];
const ITEM_CLIP_NATS: [Limit; 3] = [
    Limit {
        key: "gate.gaze.item_clip_nats",
        unit: "nats",
        min: 0.1,
        max: 20.0,
        default: 6.0,
        about: "most that one item may separate two options by",
    },
    Limit {
        key: "gate.p300.item_clip_nats",
        unit: "nats",
        min: 0.1,
        max: 20.0,
        // BciPy clips likelihood ratios to 0.01..100, which is 4.6 nats either way.
        default: 4.6,
        about: "most that one flash may separate two options by",
    },
    Limit {
        key: "gate.blink.item_clip_nats",
        unit: "nats",
        min: 0.1,
        max: 20.0,
        default: 2.0,
        about: "most that one deliberate blink may separate two options by",
    },
];
const TOTAL_CLIP_NATS: [Limit; 3] = [
    Limit {
        key: "gate.gaze.total_clip_nats",
        unit: "nats",
        min: 0.1,
        max: 100.0,
        default: 6.0,
        about: "most that gaze as a whole may separate two options by",
    },
    Limit {
        key: "gate.p300.total_clip_nats",
        unit: "nats",
        min: 0.1,
        max: 100.0,
        default: 12.0,
        about: "most that P300 as a whole may separate two options by",
    },
    Limit {
        key: "gate.blink.total_clip_nats",
        unit: "nats",
        min: 0.1,
        max: 100.0,
        default: 2.0,
        about: "most that deliberate blinks and contractions as a whole may separate two options by",
    },
];

/// Of a contraction: reliability, clip of one, how far back the look may lie.
const CONTRACTION: [Limit; 3] = [
    Limit {
        key: "gate.contraction.reliability",
        unit: "",
        min: 0.0,
        max: 1.0,
        default: 1.0,
        about: "exponent of the likelihood of a contraction; fitted in calibration",
    },
    Limit {
        key: "gate.contraction.item_clip_nats",
        unit: "nats",
        min: 0.1,
        max: 20.0,
        default: 2.0,
        about: "most that one contraction may separate two options by; all of them share gate.blink.total_clip_nats",
    },
    Limit {
        key: "gate.contraction.reach_s",
        unit: "s",
        min: 0.1,
        max: 5.0,
        default: 0.7,
        about: "how long before a contraction the look at the option may have ended",
    },
];

/// What to do when a commit is due but another source, by itself, is sure of a different option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContradictionPolicy {
    /// Abort the fork.
    Abort,
    /// Do not commit; wait for the sources to agree, or for time to run out.
    Hold,
    /// Commit: the fused posterior has weighed both.
    Commit,
}

/// How far one source is trusted. Ranges and defaults: [`GateConfig::LIMITS`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SourceConfig {
    /// Exponent of this source's likelihood, 0 (ignored) to 1 (believed as it stands); fitted in calibration.
    pub reliability: f64,
    /// Most that one added item may separate two options by, nats.
    pub item_clip_nats: f64,
    /// Most that the source as a whole may separate two options by, nats; what limits an item that replaces the total.
    pub total_clip_nats: f64,
}

/// How far contractions are trusted. They share [`SourceConfig::total_clip_nats`] with deliberate blinks: both mean the same word. Ranges and
/// defaults: [`GateConfig::LIMITS`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContractionConfig {
    /// Exponent of their likelihood, 0 (ignored) to 1 (believed as it stands); fitted in calibration.
    pub reliability: f64,
    /// Most that one contraction may separate two options by, nats.
    pub item_clip_nats: f64,
    /// How long before a contraction the look at the option may have ended, seconds.
    pub reach_s: f64,
}

impl Default for ContractionConfig {
    fn default() -> Self {
        let [reliability, item_clip_nats, reach_s] = CONTRACTION.map(|limit| limit.default);
        Self {
            reliability,
            item_clip_nats,
            reach_s,
        }
    }
}

/// The gate's part of a configuration file, not yet checked. Ranges and defaults: [`GateConfig::LIMITS`].
///
/// Absent keys take their defaults, unknown ones are refused.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateConfig {
    /// Posterior an option must reach to be committed.
    pub commit_threshold: f64,
    /// Lead of the best posterior over the second.
    pub commit_margin: f64,
    /// Largest prior divided by the smallest, over all options.
    pub prior_ratio_max: f64,
    /// Least prior mass of the control options together.
    pub control_mass_min: f64,
    /// Most prior mass of the control options together.
    pub control_mass_max: f64,
    /// Seconds until an open fork is declined.
    pub timeout_s: f64,
    /// What is to happen then.
    pub timeout_policy: TimeoutPolicy,
    /// Items of evidence, flashes of fillers not counted, that must have come before a commit.
    pub evidence_items_min: u32,
    /// Lead of the committed option in the person's evidence alone, nats.
    pub human_lead_nats_min: f64,
    /// Evidence for the committed option against nobody attending at all, nats.
    pub attention_nats_min: f64,
    /// Age of an item's newest sample beyond which it is ignored, seconds.
    pub evidence_age_s_max: f64,
    /// How far a stamp may lie ahead of the clock, or the clock go back, seconds.
    pub clock_slack_s: f64,
    /// What to do when sources contradict each other.
    pub contradiction: ContradictionPolicy,
    /// Posterior of one source alone from which it can contradict.
    pub contradiction_confidence: f64,
    /// Trust in gaze.
    #[serde(deserialize_with = "gaze_as_written")]
    pub gaze: SourceConfig,
    /// Trust in P300.
    #[serde(deserialize_with = "p300_as_written")]
    pub p300: SourceConfig,
    /// Trust in deliberate blinks. They are no items by which a commit may come ([`Self::evidence_items_min`]).
    #[serde(deserialize_with = "blink_as_written")]
    pub blink: SourceConfig,
    /// Trust in the pupil after an option was read. No item by which a commit may come either, and no sign that somebody attends.
    #[serde(deserialize_with = "pupil_as_written")]
    pub pupil: SourceConfig,
    /// Trust in contractions. They are no items by which a commit may come, either.
    pub contraction: ContractionConfig,
}

impl SourceConfig {
    /// Default trust in the source with this index in the tables above.
    fn default_of(source: usize) -> Self {
        let [reliability, item_clip_nats, total_clip_nats] =
            [&RELIABILITY, &ITEM_CLIP_NATS, &TOTAL_CLIP_NATS]
                .map(|pair| pair.get(source).map_or(1.0, |limit| limit.default));
        Self {
            reliability,
            item_clip_nats,
            total_clip_nats,
        }
    }
}

/// A source's table as written: absent keys keep the defaults of *that* source.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSource {
    reliability: Option<f64>,
    item_clip_nats: Option<f64>,
    total_clip_nats: Option<f64>,
}

impl WrittenSource {
    fn or(self, default: SourceConfig) -> SourceConfig {
        SourceConfig {
            reliability: self.reliability.unwrap_or(default.reliability),
            item_clip_nats: self.item_clip_nats.unwrap_or(default.item_clip_nats),
            total_clip_nats: self.total_clip_nats.unwrap_or(default.total_clip_nats),
        }
    }
}

fn gaze_as_written<'de, D: Deserializer<'de>>(from: D) -> Result<SourceConfig, D::Error> {
    Ok(WrittenSource::deserialize(from)?.or(SourceConfig::default_of(0)))
}

fn p300_as_written<'de, D: Deserializer<'de>>(from: D) -> Result<SourceConfig, D::Error> {
    Ok(WrittenSource::deserialize(from)?.or(SourceConfig::default_of(1)))
}

fn blink_as_written<'de, D: Deserializer<'de>>(from: D) -> Result<SourceConfig, D::Error> {
    Ok(WrittenSource::deserialize(from)?.or(SourceConfig::default_of(2)))
}

fn pupil_as_written<'de, D: Deserializer<'de>>(from: D) -> Result<SourceConfig, D::Error> {
    Ok(WrittenSource::deserialize(from)?.or(default_of_pupil()))
}

fn default_of_pupil() -> SourceConfig {
    let [reliability, item_clip_nats, total_clip_nats] = PUPIL.map(|limit| limit.default);
    SourceConfig {
        reliability,
        item_clip_nats,
        total_clip_nats,
    }
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            commit_threshold: COMMIT_THRESHOLD.default,
            commit_margin: COMMIT_MARGIN.default,
            prior_ratio_max: PRIOR_RATIO_MAX.default,
            control_mass_min: CONTROL_MASS_MIN.default,
            control_mass_max: CONTROL_MASS_MAX.default,
            timeout_s: TIMEOUT_S.default,
            timeout_policy: TimeoutPolicy::LetModelGoOn,
            evidence_items_min: EVIDENCE_ITEMS_MIN.default as u32,
            human_lead_nats_min: HUMAN_LEAD_NATS_MIN.default,
            attention_nats_min: ATTENTION_NATS_MIN.default,
            evidence_age_s_max: EVIDENCE_AGE_S_MAX.default,
            clock_slack_s: CLOCK_SLACK_S.default,
            contradiction: ContradictionPolicy::Abort,
            contradiction_confidence: CONTRADICTION_CONFIDENCE.default,
            gaze: SourceConfig::default_of(0),
            p300: SourceConfig::default_of(1),
            blink: SourceConfig::default_of(2),
            pupil: default_of_pupil(),
            contraction: ContractionConfig::default(),
        }
    }
}

impl GateConfig {
    /// Every number of this configuration with its range and default, in the order of the fields.
    pub const LIMITS: [Limit; 27] = [
        COMMIT_THRESHOLD,
        COMMIT_MARGIN,
        PRIOR_RATIO_MAX,
        CONTROL_MASS_MIN,
        CONTROL_MASS_MAX,
        TIMEOUT_S,
        EVIDENCE_ITEMS_MIN,
        HUMAN_LEAD_NATS_MIN,
        ATTENTION_NATS_MIN,
        EVIDENCE_AGE_S_MAX,
        CLOCK_SLACK_S,
        CONTRADICTION_CONFIDENCE,
        RELIABILITY[0],
        ITEM_CLIP_NATS[0],
        TOTAL_CLIP_NATS[0],
        RELIABILITY[1],
        ITEM_CLIP_NATS[1],
        TOTAL_CLIP_NATS[1],
        RELIABILITY[2],
        ITEM_CLIP_NATS[2],
        TOTAL_CLIP_NATS[2],
        PUPIL[0],
        PUPIL[1],
        PUPIL[2],
        CONTRACTION[0],
        CONTRACTION[1],
        CONTRACTION[2],
    ];

    /// The values in the order of [`GateConfig::LIMITS`].
    fn values(&self) -> [f64; 27] {
        [
            self.commit_threshold,
            self.commit_margin,
            self.prior_ratio_max,
            self.control_mass_min,
            self.control_mass_max,
            self.timeout_s,
            f64::from(self.evidence_items_min),
            self.human_lead_nats_min,
            self.attention_nats_min,
            self.evidence_age_s_max,
            self.clock_slack_s,
            self.contradiction_confidence,
            self.gaze.reliability,
            self.gaze.item_clip_nats,
            self.gaze.total_clip_nats,
            self.p300.reliability,
            self.p300.item_clip_nats,
            self.p300.total_clip_nats,
            self.blink.reliability,
            self.blink.item_clip_nats,
            self.blink.total_clip_nats,
            self.pupil.reliability,
            self.pupil.item_clip_nats,
            self.pupil.total_clip_nats,
            self.contraction.reliability,
            self.contraction.item_clip_nats,
            self.contraction.reach_s,
        ]
    }
}

/// Checked settings of a gate. In a file they read and write as [`GateConfig`]. The default is that of every number.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "GateConfig", into = "GateConfig")]
pub struct GateSettings(GateConfig);

impl GateSettings {
    /// Checks every number against [`GateConfig::LIMITS`].
    ///
    /// # Errors
    /// [`SettingsError`] naming the first key that is out of range, its value and the range.
    pub fn new(config: GateConfig) -> Result<Self, SettingsError> {
        for (limit, value) in GateConfig::LIMITS.iter().zip(config.values()) {
            limit.check(value)?;
        }
        if config.control_mass_min > config.control_mass_max {
            return Err(SettingsError::Order {
                lower_key: CONTROL_MASS_MIN.key,
                lower: config.control_mass_min,
                upper_key: CONTROL_MASS_MAX.key,
                upper: config.control_mass_max,
            });
        }
        Ok(Self(config))
    }

    /// The numbers, all within their ranges.
    #[must_use]
    pub const fn config(&self) -> &GateConfig {
        &self.0
    }

    /// Trust in a source; a switch has none to set.
    pub(super) const fn source(&self, source: Source) -> Option<SourceConfig> {
        match source {
            Source::Gaze => Some(self.0.gaze),
            Source::P300 => Some(self.0.p300),
            Source::Blink => Some(self.0.blink),
            Source::Pupil => Some(self.0.pupil),
            Source::Contraction => Some(SourceConfig {
                reliability: self.0.contraction.reliability,
                item_clip_nats: self.0.contraction.item_clip_nats,
                total_clip_nats: self.0.blink.total_clip_nats,
            }),
            Source::Switch => None,
        }
    }
}

impl TryFrom<GateConfig> for GateSettings {
    type Error = SettingsError;

    fn try_from(config: GateConfig) -> Result<Self, SettingsError> {
        Self::new(config)
    }
}

impl From<GateSettings> for GateConfig {
    fn from(settings: GateSettings) -> Self {
        settings.0
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_table_and_pass_the_check() {
        let config = GateConfig::default();
        for (limit, value) in GateConfig::LIMITS.iter().zip(config.values()) {
            assert_eq!(value, limit.default, "{}", limit.key);
        }
        assert!(GateSettings::new(config).is_ok());
    }

    #[test]
    fn every_number_is_refused_below_and_above_its_range_under_its_own_key() {
        let document = serde_json::to_value(GateConfig::default()).unwrap();
        for limit in GateConfig::LIMITS {
            for bad in [limit.min - 1.0, limit.max + 1.0] {
                let mut document = document.clone();
                let mut at = &mut document;
                for part in limit.key.split('.').skip(1) {
                    assert!(at.get(part).is_some(), "no key {}", limit.key);
                    at = &mut at[part];
                }
                *at = if limit.key.ends_with("items_min") {
                    if bad < 0.0 {
                        continue;
                    }
                    serde_json::json!(bad as u64)
                } else {
                    serde_json::json!(bad)
                };
                let message = serde_json::from_value::<GateSettings>(document)
                    .unwrap_err()
                    .to_string();
                assert!(message.starts_with(limit.key), "{message}");
            }
        }
    }

    #[test]
    fn an_unknown_key_and_a_reversed_pair_are_refused() {
        assert!(serde_json::from_str::<GateSettings>(r#"{"comit_threshold":0.9}"#).is_err());
        let reversed = GateConfig {
            control_mass_min: 0.3,
            control_mass_max: 0.2,
            ..GateConfig::default()
        };
        assert!(matches!(
            GateSettings::new(reversed),
            Err(SettingsError::Order { .. })
        ));
    }

    #[test]
    fn absent_keys_take_their_defaults() {
        let written = r#"{"timeout_s":5.0,"gaze":{"reliability":0.5}}"#;
        let settings: GateSettings = serde_json::from_str(written).unwrap();
        let mut expected = GateConfig {
            timeout_s: 5.0,
            ..GateConfig::default()
        };
        expected.gaze.reliability = 0.5;
        assert_eq!(settings.config(), &expected);
    }
}
