//! The numbers of the handover, with their ranges.

use serde::{Deserialize, Serialize};

use crate::choice::bound::{AccountSettings, Counted};
use crate::gate::{Limit, SettingsError};

/// The handover's part of a configuration, not yet checked. Ranges and defaults: [`HandoverConfig::LIMITS`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HandoverConfig {
    /// Whether the imitator may ever choose. Off unless switched on.
    pub on: bool,
    /// Of which forks the share below is counted.
    pub counted: Counted,
    /// Largest share of forks that may go another way than the person would have.
    pub disagreement_max: f64,
    /// Probability with which more do.
    pub risk: f64,
    /// From how many counted forks on the share counts.
    pub forks_min: u32,
    /// Least share of sure forks that is audited.
    pub audit_rate_min: f64,
    /// The imitator is sure of a branch from this probability on.
    pub confidence_min: f64,
    /// Mean agreement that has to be shown before it may choose.
    pub agreement_min: f64,
    /// Results until a false alarm, on average.
    pub alarm_patience: f64,
    /// Most questions per minute.
    pub questions_per_min_max: f64,
}

impl Default for HandoverConfig {
    fn default() -> Self {
        let [
            disagreement,
            risk,
            forks,
            audit,
            confidence,
            agreement,
            patience,
            questions,
        ] = Self::LIMITS;
        Self {
            on: false,
            counted: Counted::Decided,
            disagreement_max: disagreement.default,
            risk: risk.default,
            forks_min: forks.default as u32,
            audit_rate_min: audit.default,
            confidence_min: confidence.default,
            agreement_min: agreement.default,
            alarm_patience: patience.default,
            questions_per_min_max: questions.default,
        }
    }
}

impl HandoverConfig {
    /// Every number with its range and default, in the order of the fields.
    pub const LIMITS: [Limit; 8] = [
        Limit::new(
            "protocol.imitate.disagreement_max",
            "",
            (0.01, 0.5),
            0.1,
            "largest share of forks that may go another way than the person would have chosen",
        ),
        Limit::new(
            "protocol.imitate.risk",
            "",
            (0.001, 0.5),
            0.05,
            "probability with which more of a session's forks do at any moment",
        ),
        Limit::new(
            "protocol.imitate.forks_min",
            "forks",
            (1.0, 10_000.0),
            50.0,
            "from so many forks on the share counts; before, as many may go another way as of these",
        ),
        Limit::new(
            "protocol.imitate.audit_rate_min",
            "",
            (0.0, 1.0),
            0.05,
            "least share of the forks the imitator is sure of at which the person is asked all the same",
        ),
        Limit::new(
            "protocol.imitate.confidence_min",
            "",
            (0.5, 0.999),
            0.85,
            "the imitator is sure of a branch from this probability on",
        ),
        Limit::new(
            "protocol.imitate.agreement_min",
            "",
            (0.0, 0.99),
            0.8,
            "mean agreement that is shown, at the confidence 1 - risk, before the imitator chooses; 0: none",
        ),
        Limit::new(
            "protocol.imitate.alarm_patience",
            "forks",
            (10.0, 1e6),
            200.0,
            "answers between two false alarms of dropped agreement, on average",
        ),
        Limit::new(
            "protocol.imitate.questions_per_min_max",
            "1/min",
            (0.1, 60.0),
            6.0,
            "most questions per minute; a tired person is asked less often",
        ),
    ];

    fn values(&self) -> [f64; 8] {
        [
            self.disagreement_max,
            self.risk,
            f64::from(self.forks_min),
            self.audit_rate_min,
            self.confidence_min,
            self.agreement_min,
            self.alarm_patience,
            self.questions_per_min_max,
        ]
    }

    pub(super) const fn account(&self) -> AccountSettings {
        AccountSettings {
            disagreement_max: self.disagreement_max,
            counted: self.counted,
            risk: self.risk,
            forks_min: self.forks_min,
            audit_rate_min: self.audit_rate_min,
        }
    }
}

/// Checked settings of the handover. In a file they read and write as [`HandoverConfig`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "HandoverConfig", into = "HandoverConfig")]
pub struct HandoverSettings(HandoverConfig);

impl HandoverSettings {
    /// Checks every number against [`HandoverConfig::LIMITS`].
    ///
    /// # Errors
    /// [`SettingsError`] naming the first key that is out of range.
    pub fn new(config: HandoverConfig) -> Result<Self, SettingsError> {
        for (limit, value) in HandoverConfig::LIMITS.iter().zip(config.values()) {
            limit.check(value)?;
        }
        Ok(Self(config))
    }

    /// The numbers, all within their ranges.
    #[must_use]
    pub const fn config(&self) -> &HandoverConfig {
        &self.0
    }
}

impl TryFrom<HandoverConfig> for HandoverSettings {
    type Error = SettingsError;

    fn try_from(config: HandoverConfig) -> Result<Self, SettingsError> {
        Self::new(config)
    }
}

impl From<HandoverSettings> for HandoverConfig {
    fn from(settings: HandoverSettings) -> Self {
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
    fn the_defaults_are_those_of_the_table_and_nothing_is_handed_over_unasked() {
        let config = HandoverConfig::default();
        assert!(!config.on);
        for (limit, value) in HandoverConfig::LIMITS.iter().zip(config.values()) {
            assert_eq!(value, limit.default, "{}", limit.key);
        }
        assert!(HandoverSettings::new(config).is_ok());
        let refused = serde_json::from_str::<HandoverSettings>(r#"{"risk":0.9}"#);
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("protocol.imitate.risk")
        );
    }
}
