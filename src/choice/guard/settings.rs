//! The numbers of the guard, with their ranges.

use serde::{Deserialize, Serialize};

use super::words::Rung;
use crate::gate::{Limit, SettingsError};

/// Who may go on choosing when flashes are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithoutFlashes {
    /// Nobody: flashes go on.
    Never,
    /// Gaze, where the gate's settings let it choose alone.
    Gaze,
    /// Gaze, or keys where there is no gaze. Only for somebody who can press them: a keyboard may be the operator's.
    Keys,
}

/// The guard's part of a configuration, not yet checked. Ranges and defaults: [`GuardConfig::LIMITS`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuardConfig {
    /// Whether it watches. On unless switched off: who is overloaded seldom reaches for the settings.
    pub on: bool,
    /// How far it may go by itself. [`Rung::Break`] unless said otherwise: to end a session takes the text out of the hands of
    /// somebody who may not be able to begin another one alone.
    pub highest: Rung,
    /// Who may go on choosing when flashes are left out.
    pub without_flashes: WithoutFlashes,
    /// Answers from which the person's own level is known.
    pub baseline_forks: u32,
    /// Share of questions that may run out of time.
    pub declined_max: f64,
    /// Share of answers that may be corrections.
    pub corrected_max: f64,
    /// Share of answers by rote that may be; more where the person's own first answers had more.
    pub rote_max: f64,
    /// Questions per minute.
    pub questions_per_min_max: f64,
    /// Questions until a share that is just what it may be sounds falsely, on average.
    pub patience: f64,
    /// What a departure must exceed to add up, standard deviations.
    pub slack_sds: f64,
    /// What departures must add up to, standard deviations.
    pub limit_sds: f64,
    /// Probability that an index has moved from its baseline.
    pub index_sure: f64,
    /// Indices that must count at the same time.
    pub indices_min: u32,
    /// Least time from a step up to the next, seconds.
    pub hold_s: f64,
    /// Least number of questions between two steps.
    pub hold_forks: u32,
    /// Questions in a row at which nothing stirred, for a step down.
    pub calm_forks: u32,
    /// How long no step up is taken after the person said that it is not tired, seconds.
    pub carry_on_s: f64,
    /// Longer pauses: time before a question that the person did not ask for, seconds.
    pub pause_s: f64,
    /// Fewer questions: share of every budget of questions that is left.
    pub questions_share: f64,
    /// Length of the break, seconds.
    pub break_s: f64,
}

impl Default for GuardConfig {
    fn default() -> Self {
        let [
            baseline,
            declined,
            corrected,
            rote,
            rate,
            patience,
            slack,
            limit,
            sure,
            indices,
            hold,
            forks,
            calm,
            carry_on,
            pause,
            share,
            rest,
        ] = Self::LIMITS.map(|limit| limit.default);
        Self {
            on: true,
            highest: Rung::Break,
            without_flashes: WithoutFlashes::Gaze,
            baseline_forks: baseline as u32,
            declined_max: declined,
            corrected_max: corrected,
            rote_max: rote,
            questions_per_min_max: rate,
            patience,
            slack_sds: slack,
            limit_sds: limit,
            index_sure: sure,
            indices_min: indices as u32,
            hold_s: hold,
            hold_forks: forks as u32,
            calm_forks: calm as u32,
            carry_on_s: carry_on,
            pause_s: pause,
            questions_share: share,
            break_s: rest,
        }
    }
}

impl GuardConfig {
    /// Every number with its range and default, in the order of the fields.
    pub const LIMITS: [Limit; 17] = [
        Limit::new(
            "guard.baseline_forks",
            "answers",
            (4.0, 200.0),
            20.0,
            "answers from which the person's own time to answer and habits are known",
        ),
        Limit::new(
            "guard.declined_max",
            "",
            (0.01, 0.9),
            0.2,
            "share of questions that may run out of time",
        ),
        Limit::new(
            "guard.corrected_max",
            "",
            (0.01, 0.9),
            0.2,
            "share of answers that may be corrections: other, undo",
        ),
        Limit::new(
            "guard.rote_max",
            "",
            (0.01, 0.8),
            0.35,
            "share of answers in the same place and quicker than the median; more where the first ones had more",
        ),
        Limit::new(
            "guard.questions_per_min_max",
            "1/min",
            (1.0, 60.0),
            20.0,
            "questions per minute over two minutes that are a load by themselves",
        ),
        Limit::new(
            "guard.patience",
            "forks",
            (10.0, 1e6),
            300.0,
            "questions until a share that is just what it may be sounds falsely, on average",
        ),
        Limit::new(
            "guard.slack_sds",
            "sd",
            (0.1, 3.0),
            0.5,
            "departures of time to answer and of indices add up as far as they exceed this",
        ),
        Limit::new(
            "guard.limit_sds",
            "sd",
            (1.0, 20.0),
            6.0,
            "what they must add up to",
        ),
        Limit::new(
            "guard.index_sure",
            "",
            (0.5, 0.999),
            0.95,
            "probability that an index has moved from its baseline, without which it does not count",
        ),
        Limit::new(
            "guard.indices_min",
            "indices",
            (1.0, 8.0),
            2.0,
            "indices of EEG and eyes that must count at the same time",
        ),
        Limit::new(
            "guard.hold_s",
            "s",
            (0.0, 3600.0),
            60.0,
            "least time from a step up to the next",
        ),
        Limit::new(
            "guard.hold_forks",
            "forks",
            (1.0, 200.0),
            5.0,
            "least number of questions between two steps",
        ),
        Limit::new(
            "guard.calm_forks",
            "forks",
            (1.0, 200.0),
            12.0,
            "questions in a row at which nothing stirred, for a step down",
        ),
        Limit::new(
            "guard.carry_on_s",
            "s",
            (0.0, 36_000.0),
            600.0,
            "no step up for so long after the person said that it is not tired",
        ),
        Limit::new(
            "guard.pause_s",
            "s",
            (0.0, 60.0),
            4.0,
            "longer pauses: time before a question that the person did not ask for",
        ),
        Limit::new(
            "guard.questions_share",
            "",
            (0.05, 1.0),
            0.5,
            "fewer questions: what is left of every budget of them; never less than one",
        ),
        Limit::new(
            "guard.break_s",
            "s",
            (0.0, 3600.0),
            60.0,
            "length of a break, unless the person carries on before",
        ),
    ];

    fn values(&self) -> [f64; 17] {
        [
            f64::from(self.baseline_forks),
            self.declined_max,
            self.corrected_max,
            self.rote_max,
            self.questions_per_min_max,
            self.patience,
            self.slack_sds,
            self.limit_sds,
            self.index_sure,
            f64::from(self.indices_min),
            self.hold_s,
            f64::from(self.hold_forks),
            f64::from(self.calm_forks),
            self.carry_on_s,
            self.pause_s,
            self.questions_share,
            self.break_s,
        ]
    }
}

/// Checked settings of the guard. In a file they read and write as [`GuardConfig`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "GuardConfig", into = "GuardConfig")]
pub struct GuardSettings(GuardConfig);

impl GuardSettings {
    /// Checks every number against [`GuardConfig::LIMITS`].
    ///
    /// # Errors
    /// [`SettingsError`] naming the first key that is out of range.
    pub fn new(config: GuardConfig) -> Result<Self, SettingsError> {
        for (limit, value) in GuardConfig::LIMITS.iter().zip(config.values()) {
            limit.check(value)?;
        }
        Ok(Self(config))
    }

    /// The numbers, all within their ranges.
    #[must_use]
    pub const fn config(&self) -> &GuardConfig {
        &self.0
    }
}

impl TryFrom<GuardConfig> for GuardSettings {
    type Error = SettingsError;

    fn try_from(config: GuardConfig) -> Result<Self, SettingsError> {
        Self::new(config)
    }
}

impl From<GuardSettings> for GuardConfig {
    fn from(settings: GuardSettings) -> Self {
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
    fn the_defaults_are_those_of_the_table_and_a_session_is_not_ended_unasked() {
        let config = GuardConfig::default();
        assert!(config.on && config.highest == Rung::Break);
        for (limit, value) in GuardConfig::LIMITS.iter().zip(config.values()) {
            assert_eq!(value, limit.default, "{}", limit.key);
        }
        assert!(GuardSettings::new(config).is_ok());
        let refused = serde_json::from_str::<GuardSettings>(r#"{"questions_share":0.0}"#);
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("guard.questions_share")
        );
    }
}
