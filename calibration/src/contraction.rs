//! The calibration of a contraction of jaw or brow: when the person was told to make it, and the rest of the time.

use razvilka_dsp::contraction::{Contraction, ContractionModel, Muscle, PICKED_MAX};
use razvilka_dsp::mask::ChannelMask;
use serde::{Deserialize, Serialize};

use crate::cued::{CuedTrials, fit_cued, per_min};
use crate::error::{Result, in_range};

/// Mains lies within this, Hz.
const MAINS_HZ: (f64, f64) = (40.0, 70.0);

/// Scores of episodes that a muscle at rest is supposed to make where it was hardly seen to make any, nats.
const SUPPOSED_NATS: [f64; 10] = [0.7, 1.5, 1.0, 1.9, 0.8, 1.3, 1.7, 0.9, 1.2, 2.0];
/// Channels made for muscles: where there are any, these alone are looked at.
const MUSCLE_LABELS: &str = "EMG";
/// Channels of the head over the jaw, the temporal muscles, with the brain's own in them too; T3 and T4 are older names of T7 and T8.
const TEMPLE_LABELS: [&str; 12] = [
    "F7", "F8", "FT7", "FT8", "FT9", "FT10", "T3", "T4", "T7", "T8", "TP9", "TP10",
];
/// Channels at the front that see a clench as well.
const FOREHEAD_LABELS: [&str; 5] = ["FP1", "FPZ", "FP2", "AF7", "AF8"];
/// Those over the brow. The score is the lower median over the channels: with those over the temples among them, a frown that hardly
/// shows there would be none, and a clench is the stronger without those at the front.
const FRONT_LABELS: [&str; 8] = ["FP1", "FPZ", "FP2", "AF7", "AF3", "AFZ", "AF4", "AF8"];

/// The channels that see this muscle best, by their labels; none where there are none.
#[must_use]
pub fn muscle_channels(labels: &[String], muscle: Muscle) -> ChannelMask {
    let those = |wanted: &dyn Fn(&str) -> bool| -> ChannelMask {
        let labels = labels.iter().enumerate();
        let found = labels.filter(|(_, label)| wanted(&label.to_ascii_uppercase()));
        found.map(|(channel, _)| channel).take(PICKED_MAX).collect()
    };
    let muscles = those(&|label| label.starts_with(MUSCLE_LABELS));
    match (muscles.is_empty(), muscle) {
        (false, _) => muscles,
        (true, Muscle::Jaw) => {
            let temples = those(&|label| TEMPLE_LABELS.contains(&label));
            // One alone could not be told from a loose contact.
            if temples.iter().count() < 2 {
                those(&|label| TEMPLE_LABELS.contains(&label) || FOREHEAD_LABELS.contains(&label))
            } else {
                temples
            }
        }
        (true, Muscle::Brow) => those(&|label| FRONT_LABELS.contains(&label)),
    }
}

/// What a calibration recorded of contractions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContractionTrials {
    /// Which muscle was asked for.
    pub muscle: Muscle,
    /// Labels of the channels that were looked at, in the order of the stream.
    pub channels: Vec<String>,
    /// Where the notch was, Hz; `None` without one.
    pub mains_hz: Option<f64>,
    /// Stamps of the cues, seconds, rising.
    pub cues_s: Vec<f64>,
    /// Every episode, in the order of time.
    pub scores: Vec<Contraction>,
    /// How long the muscles were watched, answers included, seconds.
    pub watched_s: f64,
}

/// A calibrated contraction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliberateContraction {
    /// Which muscle it is.
    #[serde(default)]
    pub muscle: Muscle,
    /// What a score says.
    pub model: ContractionModel,
    /// Labels of the channels that have to be looked at: a score of others means something else.
    pub channels: Vec<String>,
    /// Where the notch has to be, Hz; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mains_hz: Option<f64>,
    /// What the gate raises its evidence to, 0 to 1; fitted to ratios of held-out episodes.
    pub reliability: f64,
    /// Cues given.
    pub cues: usize,
    /// Cues whose answer, held out, was told.
    pub hits: usize,
    /// Episodes that nobody asked for.
    pub spontaneous: usize,
    /// Of these, held out, told as signals.
    pub false_alarms: usize,
    /// Watched time outside answers, seconds.
    pub rest_s: f64,
}

impl DeliberateContraction {
    /// False alarms per minute of watched time, held out, with the upper end of their 95 % interval (Poisson).
    #[must_use]
    pub fn false_alarms_per_min(&self) -> (f64, f64) {
        per_min(self.false_alarms, self.rest_s)
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`crate::CalibrationError`] for one out of range.
    pub fn validate(&self) -> Result<()> {
        self.model.check()?;
        let channels = self.channels.len() as f64;
        in_range(
            "channels for contractions",
            channels,
            1.0,
            PICKED_MAX as f64,
        )?;
        if let Some(mains_hz) = self.mains_hz {
            in_range("mains in Hz", mains_hz, MAINS_HZ.0, MAINS_HZ.1)?;
        }
        in_range("reliability of the contraction", self.reliability, 0.0, 1.0)?;
        in_range("time between the cues in s", self.rest_s, 1.0, 1e7)?;
        let counts = self.hits <= self.cues && self.false_alarms <= self.spontaneous;
        in_range("contractions told", f64::from(u8::from(counts)), 1.0, 1.0)
    }
}

/// Fits the densities, as [`crate::fit_deliberate_blink`] does: the strongest episode within [`crate::ANSWER_S`] after a cue is its answer, everything
/// outside these times is how this person's muscles act anyway.
///
/// Muscles at rest may make hardly an episode in minutes. Where fewer than ten came unasked they are made up to ten by supposed ones of
/// 0.7 to 2 nats: the density then says 1.2 nats at most (rule of three), and the rate, which counts real ones alone, says the rest.
/// No figure counts a supposed one, but the reliability is fitted with them.
///
/// # Errors
/// [`crate::CalibrationError::TooFew`] below 10 answered cues; as [`crate::fit_score_density`].
pub fn fit_deliberate_contraction(trials: &ContractionTrials) -> Result<DeliberateContraction> {
    let fit = fit_cued(&CuedTrials {
        called: ["contractions made when asked", "contractions made unasked"],
        cues_s: &trials.cues_s,
        scores: trials.scores.iter().map(|s| (s.at_s, s.score)).collect(),
        watched_s: trials.watched_s,
        supposed: &SUPPOSED_NATS,
    })?;
    Ok(DeliberateContraction {
        muscle: trials.muscle,
        model: ContractionModel {
            density: fit.density,
            rate_nats: fit.rate_nats,
        },
        channels: trials.channels.clone(),
        mains_hz: trials.mains_hz,
        reliability: fit.reliability,
        cues: fit.cues,
        hits: fit.hits,
        spontaneous: fit.spontaneous,
        false_alarms: fit.false_alarms,
        rest_s: fit.rest_s,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::CalibrationError;

    /// Cues every 6 s, each answered after a second by an episode of `nats`; a weak one in between.
    fn trials(cues: usize, nats: f64) -> ContractionTrials {
        let mut trials = ContractionTrials {
            channels: vec!["AF7".into(), "AF8".into()],
            mains_hz: Some(50.0),
            watched_s: 20.0 + 6.0 * cues as f64,
            ..ContractionTrials::default()
        };
        for n in 0..cues {
            let cue_s = 10.0 + 6.0 * n as f64;
            let spread = (n * 7 % 11) as f64 / 10.0;
            trials.cues_s.push(cue_s);
            for (after_s, score) in [(1.0, nats + spread), (1.6, 0.8), (4.5, 0.7 + 0.3 * spread)] {
                trials.scores.push(Contraction {
                    onset_s: cue_s + after_s - 0.4,
                    at_s: cue_s + after_s,
                    score,
                });
            }
        }
        trials
    }

    #[test]
    fn contractions_that_were_asked_for_are_told_and_a_tense_muscle_is_not() {
        let fitted = fit_deliberate_contraction(&trials(20, 3.0)).unwrap();
        assert_eq!((fitted.cues, fitted.hits), (20, 20));
        assert_eq!((fitted.spontaneous, fitted.false_alarms), (20, 0));
        fitted.validate().unwrap();
        assert!(fitted.model.llr(3.5).unwrap() > 1.5);
        assert_eq!(fitted.model.llr(0.8), None);
        let written = serde_json::to_string(&fitted).unwrap();
        assert_eq!(
            serde_json::from_str::<DeliberateContraction>(&written).unwrap(),
            fitted
        );
    }

    #[test]
    fn channels_made_for_muscles_come_before_those_of_the_head() {
        let of = |labels: &[&str], muscle| {
            let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
            muscle_channels(&labels, muscle).iter().collect::<Vec<_>>()
        };
        assert_eq!(of(&["Cz", "Fp1", "T8", "Pz"], Muscle::Jaw), [1, 2]);
        assert_eq!(of(&["Cz", "Fp1", "T8", "Pz"], Muscle::Brow), [1]);
        assert_eq!(of(&["TP9", "AF7", "AF8", "TP10"], Muscle::Jaw), [0, 3]);
        assert_eq!(of(&["TP9", "AF7", "AF8", "TP10"], Muscle::Brow), [1, 2]);
        for muscle in [Muscle::Jaw, Muscle::Brow] {
            assert_eq!(of(&["Fp1", "emg1", "Pz", "EMG2"], muscle), [1, 3]);
            assert!(of(&["Cz", "Pz", "Oz"], muscle).is_empty());
        }
    }

    #[test]
    fn a_muscle_that_is_quiet_between_the_cues_is_learnt_all_the_same() {
        let quiet = |nats: f64| {
            let mut quiet = trials(20, nats);
            let cues_s = quiet.cues_s.clone();
            let answers = |at_s: f64| cues_s.iter().any(|cue| (0.0..2.5).contains(&(at_s - cue)));
            quiet.scores.retain(|one| answers(one.at_s));
            fit_deliberate_contraction(&quiet).unwrap()
        };
        let fitted = quiet(3.0);
        assert_eq!(
            (fitted.hits, fitted.spontaneous, fitted.false_alarms),
            (20, 0, 0)
        );
        // ln(10 / 3) of the density, and no more than 3 of the rate.
        let most = fitted.model.llr(8.0).unwrap();
        assert!(most <= (10.0_f64 / 3.0).ln() + 3.0 + 1e-9, "{most}");
        let mut spontaneous = trials(20, 3.0);
        spontaneous.scores.retain(|one| one.score > 0.75);
        assert!(
            fit_deliberate_contraction(&spontaneous)
                .unwrap()
                .model
                .rate_nats
                < fitted.model.rate_nats
        );
    }

    #[test]
    fn too_few_are_refused_and_a_profile_of_no_channel_too() {
        let error = fit_deliberate_contraction(&trials(9, 3.0)).unwrap_err();
        assert!(matches!(error, CalibrationError::TooFew { .. }), "{error}");
        let mut fitted = fit_deliberate_contraction(&trials(20, 3.0)).unwrap();
        fitted.channels.clear();
        assert!(fitted.validate().is_err());
    }

    #[test]
    fn a_contraction_as_weak_as_those_unasked_earns_nothing() {
        let mut same = trials(30, 0.3);
        same.scores.retain(|one| one.score != 0.8);
        for (n, one) in same.scores.iter_mut().enumerate() {
            one.score = 0.7 + (n * 13 % 17) as f64 / 16.0;
        }
        let fitted = fit_deliberate_contraction(&same).unwrap();
        assert!(fitted.hits < 10, "{fitted:?}");
    }
}
