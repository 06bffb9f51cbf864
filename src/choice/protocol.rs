//! For each fork: is the person asked, and what follows from the answer?
//!
//! Everything here is counted in tokens of text, never in time, so that a replay comes to the same decisions.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::handover::{Course, HandoverSettings, Reason, Unasked};
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

/// Whether a person can answer, and be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// At least one source is live.
    Present,
    /// No source is.
    Nobody,
    /// A stream's clock is doubted, or those of two streams disagree.
    ClockDoubted,
    /// EEG alone can choose, and too few of its channels are good.
    PoorSignal,
}

impl Presence {
    /// The presence that a decision tells of; what else it rests on leaves the person present.
    #[must_use]
    pub const fn of(decision: &Decision) -> Self {
        match decision {
            Decision::LetModel(ModelReason::NobodyPresent) => Self::Nobody,
            Decision::LetModel(ModelReason::ClockDoubted) => Self::ClockDoubted,
            Decision::LetModel(ModelReason::PoorSignal) => Self::PoorSignal,
            Decision::LetModel(_) | Decision::Imitate { .. } | Decision::Ask(_) => Self::Present,
        }
    }
}

/// Who chooses at a fork.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The person: open the gate.
    Ask(AskReason),
    /// The imitator takes a branch.
    Imitate {
        /// Which, from 0.
        branch: usize,
        /// With what probability the person would have, by the imitator.
        probability: f64,
        /// At which rate such a fork is asked all the same.
        audit_rate: f64,
    },
    /// The model.
    LetModel(ModelReason),
}

impl Decision {
    /// What follows when the person is not asked; `None` when it is.
    #[must_use]
    pub const fn step(&self) -> Option<Step> {
        match *self {
            Self::Ask(_) => None,
            Self::LetModel(reason) => Some(Protocol::not_asked(reason)),
            Self::Imitate {
                branch,
                probability,
                audit_rate,
            } => Some(Step::TakeBranch {
                option: branch,
                chooser: Chooser::Imitator,
                why: Why::Imitated {
                    probability,
                    audit_rate,
                },
            }),
        }
    }
}

impl From<Course> for Decision {
    fn from(course: Course) -> Self {
        match course {
            Course::Ask(reason) => Self::Ask(match reason {
                Reason::NoGuess => AskReason::Decisive,
                Reason::Wished => AskReason::Wished,
                Reason::NotSure => AskReason::NotSure,
                Reason::NotShown => AskReason::NotShown,
                Reason::NotSafe => AskReason::NotSafe,
                Reason::Audit => AskReason::Audit,
            }),
            Course::Imitate {
                branch,
                probability,
                audit_rate,
            } => Self::Imitate {
                branch,
                probability,
                audit_rate,
            },
            Course::LetModel { why, .. } => Self::LetModel(match why {
                Unasked::BudgetSpent => ModelReason::MinuteSpent,
                Unasked::NotWorthIt => ModelReason::NotWorthIt,
            }),
        }
    }
}

/// Why the person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AskReason {
    /// A decisive fork, within the budget.
    Decisive,
    /// The person called for it: never refused, and not charged to the budget.
    Called,
    /// The person asked for other branches: never refused, and not charged to the budget.
    Other,
    /// The same place again, after a timeout or an abort: not charged to the budget.
    Retry,
    /// With the imitator at work: the person wants to be asked at every fork.
    Wished,
    /// The imitator is not sure what the person would choose.
    NotSure,
    /// It is sure, and has still to be shown to agree.
    NotShown,
    /// It is sure, but more forks than are allowed might have gone another way.
    NotSafe,
    /// It is sure and would choose: asked all the same, by a coin.
    Audit,
}

impl AskReason {
    /// The reason in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Decisive => "a decisive fork",
            Self::Called => "called by the person",
            Self::Other => "other branches, on request",
            Self::Retry => "asked again",
            Self::Wished => "the person wants to be asked",
            Self::NotSure => "the imitator is not sure",
            Self::NotShown => "the imitator has still to be shown to agree",
            Self::NotSafe => "too many forks might have gone another way",
            Self::Audit => "an audit of the imitator",
        }
    }
}

/// Why the person is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ModelReason {
    /// The questions of the last 100 tokens are used up.
    BudgetSpent,
    /// The last question lies too few tokens back.
    TooClose,
    /// Nobody could answer.
    NobodyPresent,
    /// A stream's clock was doubted, or those of two streams disagreed, for too long.
    ClockDoubted,
    /// EEG alone could choose, and too few of its channels were good for too long.
    PoorSignal,
    /// This place was asked too often without an answer.
    RetriesSpent,
    /// With the imitator at work: the questions of the last minute are used up.
    MinuteSpent,
    /// With the imitator at work: what could be lost here is less than what questions cost now.
    NotWorthIt,
}

impl ModelReason {
    /// The reason in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::BudgetSpent => "the budget of questions was spent",
            Self::TooClose => "too close to the last question",
            Self::NobodyPresent => "nobody could answer",
            Self::ClockDoubted => "a clock was doubted",
            Self::PoorSignal => "too few EEG channels were good",
            Self::RetriesSpent => "asked too often without an answer",
            Self::MinuteSpent => "the questions of the last minute were used up",
            Self::NotWorthIt => "too little was at stake for a question",
        }
    }
}

/// Why a fork was taken as it was; goes into the ledger beside the [`Chooser`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Why {
    /// The person selected it.
    Selected,
    /// The person selected `go on`: the model was told to choose.
    ToldToGoOn,
    /// The person was not asked.
    NotAsked(ModelReason),
    /// Time ran out.
    TimedOut(TimeoutPolicy),
    /// A doubt closed the gate.
    Aborted(AbortReason),
    /// The imitator took it.
    Imitated {
        /// With what probability the person would have, by the imitator.
        probability: f64,
        /// At which rate such a fork is asked all the same.
        audit_rate: f64,
    },
}

/// What the engine does next at a fork that has ended or was not asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// Write this branch.
    TakeBranch {
        /// Index of the option.
        option: usize,
        /// Who chose it.
        chooser: Chooser,
        /// Why.
        why: Why,
    },
    /// The model chooses among its branches.
    ModelChooses {
        /// Why.
        why: Why,
    },
    /// Offer other branches, as a new fork of origin [`ForkOrigin::Other`].
    OfferOther {
        /// Why.
        why: Why,
    },
    /// Take the last choice back.
    TakeBack {
        /// Why.
        why: Why,
    },
    /// Offer the same options again, as a new fork; raise [`Ask::attempt`] by one.
    AskAgain {
        /// Why.
        why: Why,
    },
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
        if ask.attempt > config.retries_max {
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
        Decision::Ask(AskReason::Decisive)
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
                    // The place was left, for a fork elsewhere or with its model: nothing is chosen here, however often it
                    // was asked.
                    _ if matches!(reason, AbortReason::Withdrawn | AbortReason::ModelFailed) => {
                        Step::AskAgain { why }
                    }
                    AbortPolicy::AskAgain if may_retry => Step::AskAgain { why },
                    AbortPolicy::AskAgain | AbortPolicy::LetModelGoOn => Step::ModelChooses { why },
                })
            }
        }
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
