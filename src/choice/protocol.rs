//! For each fork: is the person asked, and what follows from the answer?
//!
//! Everything here is counted in tokens of text, never in time, so that a replay comes to the same decisions.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::decision::{AskReason, Decision, ModelReason, Presence, Step, Why};
use super::handover::HandoverSettings;
use crate::fork::{Chooser, ForkOrigin};
use crate::gate::{AbortReason, Limit, SettingsError, TimeoutPolicy, Verdict};
use crate::marker::OptionKind;

/// Length of text the question budget speaks of, tokens.
const BUDGET_WINDOW_TOKENS: u64 = 100;

const QUESTIONS_PER_100_TOKENS_MAX: Limit = Limit {
    key: "protocol.questions_per_100_tokens_max",
    unit: "questions",
    min: 0.0,
    max: 50.0,
    default: 12.0,
    about: "most questions within any 100 tokens of text; 0 never asks of its own accord",
};
const QUESTION_DISTANCE_TOKENS_MIN: Limit = Limit {
    key: "protocol.question_distance_tokens_min",
    unit: "tokens",
    min: 0.0,
    max: 1000.0,
    default: 3.0,
    about: "least text between two questions",
};
const RETRIES_MAX: Limit = Limit {
    key: "protocol.retries_max",
    unit: "",
    min: 0.0,
    max: 100.0,
    default: 2.0,
    about: "how often one place is asked again after a timeout or an abort before the model goes on",
};

/// What to do after a doubt closed the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbortPolicy {
    /// Ask again, as a new fork, up to `retries_max` times.
    AskAgain,
    /// The model takes its most likely branch.
    LetModelGoOn,
}

/// The protocol's part of a configuration file, not yet checked. Ranges and defaults: [`ProtocolConfig::LIMITS`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProtocolConfig {
    /// Most questions within any 100 tokens of text.
    pub questions_per_100_tokens_max: u32,
    /// Least text between two questions, tokens.
    pub question_distance_tokens_min: u32,
    /// How often one place is asked again after a timeout or an abort.
    pub retries_max: u32,
    /// What to do after an abort.
    pub after_abort: AbortPolicy,
    /// What may be left to the imitator.
    pub imitate: HandoverSettings,
}

impl Default for ProtocolConfig {
    fn default() -> Self {
        Self {
            questions_per_100_tokens_max: QUESTIONS_PER_100_TOKENS_MAX.default as u32,
            question_distance_tokens_min: QUESTION_DISTANCE_TOKENS_MIN.default as u32,
            retries_max: RETRIES_MAX.default as u32,
            after_abort: AbortPolicy::AskAgain,
            imitate: HandoverSettings::default(),
        }
    }
}

impl ProtocolConfig {
    /// Every number of this configuration with its range and default, in the order of the fields; those of the imitator are
    /// [`HandoverConfig::LIMITS`](super::handover::HandoverConfig::LIMITS).
    pub const LIMITS: [Limit; 3] = [
        QUESTIONS_PER_100_TOKENS_MAX,
        QUESTION_DISTANCE_TOKENS_MIN,
        RETRIES_MAX,
    ];

    fn values(&self) -> [f64; 3] {
        [
            f64::from(self.questions_per_100_tokens_max),
            f64::from(self.question_distance_tokens_min),
            f64::from(self.retries_max),
        ]
    }
}

/// Checked settings of the protocol. In a file they read and write as [`ProtocolConfig`]. The default is that of every number.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "ProtocolConfig", into = "ProtocolConfig")]
pub struct ProtocolSettings(ProtocolConfig);

impl ProtocolSettings {
    /// Checks every number against [`ProtocolConfig::LIMITS`].
    ///
    /// # Errors
    /// [`SettingsError`] naming the first key that is out of range.
    pub fn new(config: ProtocolConfig) -> Result<Self, SettingsError> {
        for (limit, value) in ProtocolConfig::LIMITS.iter().zip(config.values()) {
            limit.check(value)?;
        }
        Ok(Self(config))
    }

    /// The numbers, all within their ranges.
    #[must_use]
    pub const fn config(&self) -> &ProtocolConfig {
        &self.0
    }
}

impl TryFrom<ProtocolConfig> for ProtocolSettings {
    type Error = SettingsError;

    fn try_from(config: ProtocolConfig) -> Result<Self, SettingsError> {
        Self::new(config)
    }
}

impl From<ProtocolSettings> for ProtocolConfig {
    fn from(settings: ProtocolSettings) -> Self {
        settings.0
    }
}

/// A place where the person could be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Why there is a fork here.
    pub origin: ForkOrigin,
    /// Tokens written since the session began. Never falls: tokens taken back by an undo stay counted.
    pub tokens_written: u64,
    /// How often this very place was asked before without an answer (timeouts and aborts); 0 the first time.
    pub attempt: u32,
    /// Whether a person can answer now.
    pub presence: Presence,
}

/// Decides whether to ask, and what follows.
///
/// The budget is a sliding window: within any 100 consecutive tokens at most `questions_per_100_tokens_max` forks are asked, and
/// never two within `question_distance_tokens_min`. What the person asks for is never refused.
#[derive(Debug, Clone)]
pub struct Protocol {
    settings: ProtocolSettings,
    /// Where the questions of the current window were asked, in tokens written; at most the budget's number.
    asked_at: VecDeque<u64>,
    last_asked: Option<u64>,
    tokens_written: u64,
    /// Share of the budget that the guard leaves.
    share: f64,
}

impl Protocol {
    /// A protocol that has asked nothing yet.
    #[must_use]
    pub fn new(settings: ProtocolSettings) -> Self {
        let room = settings.0.questions_per_100_tokens_max as usize + 1;
        Self {
            settings,
            asked_at: VecDeque::with_capacity(room),
            last_asked: None,
            tokens_written: 0,
            share: 1.0,
        }
    }

    /// Leaves this share of the budget, 0 to 1, but never less than one question of it. What is no number changes nothing.
    pub fn leave(&mut self, share: f64) {
        if !share.is_nan() {
            self.share = share.clamp(0.0, 1.0);
        }
    }

    /// Decides on one place; a question is charged to the budget at once.
    pub fn decide(&mut self, ask: &Ask) -> Decision {
        let decision = self.may_ask(ask);
        if decision == Decision::Ask(AskReason::Decisive) {
            self.charge();
        }
        decision
    }

    /// Whether a question would be allowed at one place. A decisive one that is then asked has to be [charged](Self::charge).
    pub(super) fn may_ask(&mut self, ask: &Ask) -> Decision {
        let config = self.settings.0;
        self.tokens_written = self.tokens_written.max(ask.tokens_written);
        match ask.presence {
            Presence::Present => {}
            Presence::Nobody => return Decision::LetModel(ModelReason::NobodyPresent),
            Presence::ClockDoubted => return Decision::LetModel(ModelReason::ClockDoubted),
            Presence::PoorSignal => return Decision::LetModel(ModelReason::PoorSignal),
        }
        // Without retries the first attempt beyond the question itself comes from a pause alone.
        if ask.attempt > config.retries_max.max(1) {
            return Decision::LetModel(ModelReason::RetriesSpent);
        }
        if ask.attempt > 0 {
            return Decision::Ask(AskReason::Retry);
        }
        match ask.origin {
            ForkOrigin::Called => return Decision::Ask(AskReason::Called),
            ForkOrigin::Other => return Decision::Ask(AskReason::Other),
            ForkOrigin::Detected => {}
        }
        let now = self.tokens_written;
        while self
            .asked_at
            .front()
            .is_some_and(|&at| now - at >= BUDGET_WINDOW_TOKENS)
        {
            self.asked_at.pop_front();
        }
        if self.asked_at.len() >= config.questions_per_100_tokens_max as usize {
            return Decision::LetModel(ModelReason::BudgetSpent);
        }
        let distance_min = u64::from(config.question_distance_tokens_min);
        if self.last_asked.is_some_and(|at| now - at < distance_min) {
            return Decision::LetModel(ModelReason::TooClose);
        }
        if self.asked_at.len() >= self.allowed() as usize {
            return Decision::LetModel(ModelReason::Guarded);
        }
        Decision::Ask(AskReason::Decisive)
    }

    /// Questions within 100 tokens that the guard leaves of the budget: one at least, where there is one.
    fn allowed(&self) -> u32 {
        let whole = self.settings.0.questions_per_100_tokens_max;
        let left = (f64::from(whole) * self.share).max(1.0);
        (left.ceil() as u32).min(whole)
    }

    /// Charges a question at the place that was looked at last.
    pub(super) fn charge(&mut self) {
        self.asked_at.push_back(self.tokens_written);
        self.last_asked = Some(self.tokens_written);
    }

    /// What follows when the person was not asked.
    #[must_use]
    pub const fn not_asked(reason: ModelReason) -> Step {
        Step::ModelChooses {
            why: Why::NotAsked(reason),
        }
    }

    /// What follows from a verdict, given the kinds of the fork's options and how often this place was asked before.
    ///
    /// `None` while the fork is open, when none is, or when the verdict names an option that does not exist.
    #[must_use]
    pub fn follow(&self, verdict: &Verdict, kinds: &[OptionKind], attempt: u32) -> Option<Step> {
        let config = self.settings.0;
        let may_retry = attempt < config.retries_max;
        match *verdict {
            Verdict::Closed | Verdict::Waiting { .. } => None,
            Verdict::Committed { option, .. } => Some(match kinds.get(option)? {
                OptionKind::Branch | OptionKind::Item => Step::TakeBranch {
                    option,
                    chooser: Chooser::Human,
                    why: Why::Selected,
                },
                OptionKind::Other => Step::OfferOther { why: Why::Selected },
                OptionKind::Undo => Step::TakeBack { why: Why::Selected },
                OptionKind::GoOn => Step::ModelChooses {
                    why: Why::ToldToGoOn,
                },
            }),
            Verdict::Declined { policy } => {
                let why = Why::TimedOut(policy);
                Some(match policy {
                    TimeoutPolicy::Wait if may_retry => Step::AskAgain { why },
                    TimeoutPolicy::OfferOther if may_retry => Step::OfferOther { why },
                    TimeoutPolicy::Wait
                    | TimeoutPolicy::OfferOther
                    | TimeoutPolicy::LetModelGoOn => Step::ModelChooses { why },
                })
            }
            Verdict::Aborted { reason } => {
                let why = Why::Aborted(reason);
                Some(match config.after_abort {
                    // The place was left, for a fork elsewhere or with its model, or the session is paused: nothing is chosen
                    // here, however often it was asked.
                    _ if matches!(
                        reason,
                        AbortReason::Withdrawn | AbortReason::ModelFailed | AbortReason::Paused
                    ) =>
                    {
                        Step::AskAgain { why }
                    }
                    AbortPolicy::AskAgain if may_retry => Step::AskAgain { why },
                    AbortPolicy::AskAgain | AbortPolicy::LetModelGoOn => Step::ModelChooses { why },
                })
            }
        }
    }

    /// Questions that may still be asked within the last 100 tokens, when so many have been written: of what the guard leaves.
    #[must_use]
    pub fn questions_left(&self, tokens_written: u64) -> u32 {
        let recent = |at: &&u64| tokens_written.saturating_sub(**at) < BUDGET_WINDOW_TOKENS;
        let asked = self.asked_at.iter().filter(recent).count();
        let asked = u32::try_from(asked).unwrap_or(u32::MAX);
        self.allowed().saturating_sub(asked)
    }

    /// Questions charged to the budget within the last 100 tokens, as of the last decision.
    #[must_use]
    pub fn questions_in_window(&self) -> usize {
        self.asked_at.len()
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn detected(tokens_written: u64) -> Ask {
        Ask {
            origin: ForkOrigin::Detected,
            tokens_written,
            attempt: 0,
            presence: Presence::Present,
        }
    }

    proptest! {
        #[test]
        fn no_window_of_100_tokens_holds_more_questions_than_the_budget(
            questions_per_100_tokens_max in 0u32..=50,
            question_distance_tokens_min in 0u32..=150,
            steps in prop::collection::vec(0u64..30, 1..200),
        ) {
            let settings = ProtocolSettings::new(ProtocolConfig {
                questions_per_100_tokens_max,
                question_distance_tokens_min,
                ..ProtocolConfig::default()
            }).unwrap();
            let mut protocol = Protocol::new(settings);
            let mut asked = Vec::new();
            let mut at = 0;
            for step in steps {
                at += step;
                if matches!(protocol.decide(&detected(at)), Decision::Ask(_)) {
                    asked.push(at);
                }
            }
            for (first, &from) in asked.iter().enumerate() {
                let inside = asked[first..].iter().filter(|&&at| at < from + 100).count();
                prop_assert!(inside <= questions_per_100_tokens_max as usize);
                if let Some(next) = asked.get(first + 1) {
                    prop_assert!(next - from >= u64::from(question_distance_tokens_min));
                }
            }
        }
    }

    #[test]
    fn what_the_person_calls_for_is_never_refused_and_costs_nothing() {
        let settings = ProtocolSettings::new(ProtocolConfig {
            questions_per_100_tokens_max: 1,
            question_distance_tokens_min: 50,
            ..ProtocolConfig::default()
        })
        .unwrap();
        let mut protocol = Protocol::new(settings);
        for origin in [ForkOrigin::Called, ForkOrigin::Other] {
            for at in 0..20 {
                let ask = Ask {
                    origin,
                    ..detected(at)
                };
                assert!(matches!(protocol.decide(&ask), Decision::Ask(_)));
            }
        }
        assert_eq!(
            protocol.decide(&detected(20)),
            Decision::Ask(AskReason::Decisive)
        );
        assert_eq!(
            protocol.decide(&detected(80)),
            Decision::LetModel(ModelReason::BudgetSpent)
        );
        assert_eq!(
            protocol.decide(&detected(120)),
            Decision::Ask(AskReason::Decisive)
        );
    }

    #[test]
    fn a_fork_that_the_whole_budget_would_have_asked_is_left_to_the_model_by_name() {
        let asked = |share: f64, distance: u64| {
            let mut protocol = Protocol::new(ProtocolSettings::default());
            protocol.leave(share);
            let decisions: Vec<_> = (0..100 / distance)
                .map(|n| protocol.decide(&detected(distance * n)))
                .collect();
            let of = |wanted: Decision| decisions.iter().filter(|d| **d == wanted).count();
            (
                of(Decision::Ask(AskReason::Decisive)),
                of(Decision::LetModel(ModelReason::Guarded)),
                of(Decision::LetModel(ModelReason::BudgetSpent)),
            )
        };
        // Twelve in 100 tokens; of 20 forks the other eight were nobody's anyway.
        assert_eq!(asked(1.0, 5), (12, 0, 8));
        assert_eq!(asked(0.5, 5), (6, 14, 0));
        assert_eq!(asked(f64::NAN, 5), (12, 0, 8));
        assert_eq!(asked(0.0, 5), (1, 19, 0), "one is always left");
        // And so many are said to be left.
        for (share, left) in [(1.0, 12), (0.5, 6), (0.3, 4), (0.0, 1)] {
            let mut protocol = Protocol::new(ProtocolSettings::default());
            protocol.leave(share);
            assert_eq!(protocol.questions_left(0), left, "{share}");
            assert_eq!(asked(share, 5).0, left as usize);
            protocol.decide(&detected(0));
            assert_eq!(protocol.questions_left(5), left - 1);
        }
        // What the person calls for is asked all the same, and so is the same place again.
        let mut protocol = Protocol::new(ProtocolSettings::default());
        protocol.leave(0.0);
        protocol.decide(&detected(0));
        let called = Ask {
            origin: ForkOrigin::Called,
            ..detected(10)
        };
        assert_eq!(protocol.decide(&called), Decision::Ask(AskReason::Called));
        let again = Ask {
            attempt: 1,
            ..detected(10)
        };
        assert_eq!(protocol.decide(&again), Decision::Ask(AskReason::Retry));
    }

    #[test]
    fn an_undo_that_shortens_the_text_does_not_refill_the_budget() {
        let mut protocol = Protocol::new(ProtocolSettings::default());
        assert_eq!(
            protocol.decide(&detected(50)),
            Decision::Ask(AskReason::Decisive)
        );
        assert_eq!(
            protocol.decide(&detected(10)),
            Decision::LetModel(ModelReason::TooClose)
        );
    }

    #[test]
    fn every_ending_names_who_chose_and_why() {
        use OptionKind::{Branch, GoOn, Other, Undo};
        let protocol = Protocol::new(ProtocolSettings::default());
        let kinds = [Branch, Branch, Other, Undo, GoOn];
        let committed = |option| Verdict::Committed {
            option,
            posterior: 0.95,
            margin: 0.9,
        };
        let selected = Why::Selected;
        assert_eq!(
            protocol.follow(&committed(1), &kinds, 0),
            Some(Step::TakeBranch {
                option: 1,
                chooser: Chooser::Human,
                why: selected
            })
        );
        assert_eq!(
            protocol.follow(&committed(2), &kinds, 0),
            Some(Step::OfferOther { why: selected })
        );
        assert_eq!(
            protocol.follow(&committed(3), &kinds, 0),
            Some(Step::TakeBack { why: selected })
        );
        assert_eq!(
            protocol.follow(&committed(4), &kinds, 0),
            Some(Step::ModelChooses {
                why: Why::ToldToGoOn
            })
        );
        assert_eq!(protocol.follow(&committed(5), &kinds, 0), None);
        assert_eq!(protocol.follow(&Verdict::Closed, &kinds, 0), None);
    }

    #[test]
    fn a_place_without_an_answer_is_asked_again_only_so_often() {
        let mut protocol = Protocol::new(ProtocolSettings::default());
        let aborted = Verdict::Aborted {
            reason: AbortReason::SourceLost,
        };
        let waited = Verdict::Declined {
            policy: TimeoutPolicy::Wait,
        };
        for verdict in [aborted, waited] {
            assert!(matches!(
                protocol.follow(&verdict, &[], 1),
                Some(Step::AskAgain { .. })
            ));
            assert!(matches!(
                protocol.follow(&verdict, &[], 2),
                Some(Step::ModelChooses { .. })
            ));
        }
        let again = |attempt| Ask {
            attempt,
            ..detected(0)
        };
        assert_eq!(protocol.decide(&again(2)), Decision::Ask(AskReason::Retry));
        assert_eq!(
            protocol.decide(&again(3)),
            Decision::LetModel(ModelReason::RetriesSpent)
        );
    }

    #[test]
    fn nobody_present_means_the_model_goes_on_and_says_so() {
        let mut protocol = Protocol::new(ProtocolSettings::default());
        let alone = Ask {
            presence: Presence::Nobody,
            ..detected(0)
        };
        let Decision::LetModel(reason) = protocol.decide(&alone) else {
            panic!("nobody can answer");
        };
        assert_eq!(
            Protocol::not_asked(reason),
            Step::ModelChooses {
                why: Why::NotAsked(ModelReason::NobodyPresent)
            }
        );
    }

    #[test]
    fn the_defaults_are_those_of_the_table() {
        let config = ProtocolConfig::default();
        for (limit, value) in ProtocolConfig::LIMITS.iter().zip(config.values()) {
            assert_eq!(value, limit.default, "{}", limit.key);
        }
        assert!(ProtocolSettings::new(config).is_ok());
        assert!(
            serde_json::from_str::<ProtocolSettings>(r#"{"questions_per_100_tokens_max":51}"#)
                .is_err()
        );
    }
}
