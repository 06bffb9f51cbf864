//! What the guard hears and what it says.

use serde::{Deserialize, Serialize};

/// How far the guard has gone. Each rung keeps what those below it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// Nothing is done.
    AtEase,
    /// The person is left alone for a while before each question.
    LongerPauses,
    /// The budget of questions is lowered.
    FewerQuestions,
    /// Nothing flashes: gaze or keys alone choose. Only where they can.
    OtherModality,
    /// A break is suggested: for its length nothing is asked, and the text waits at the next fork.
    Break,
    /// The session ends in order.
    Stop,
}

impl Rung {
    /// From the lowest to the highest.
    pub const ALL: [Self; 6] = [
        Self::AtEase,
        Self::LongerPauses,
        Self::FewerQuestions,
        Self::OtherModality,
        Self::Break,
        Self::Stop,
    ];

    /// The rung in words, for ledger and report.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::AtEase => "as usual",
            Self::LongerPauses => "longer pauses",
            Self::FewerQuestions => "fewer questions",
            Self::OtherModality => "nothing flashes",
            Self::Break => "a break suggested",
            Self::Stop => "the end of the session",
        }
    }
}

/// What a sign speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// More is asked than the person can answer well.
    Overload,
    /// The person tires.
    Fatigue,
    /// It answers without attending.
    Habituation,
}

/// What the guard acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// More questions per minute than `guard.questions_per_min_max`.
    Rate,
    /// Answers have become slower.
    Slow,
    /// More questions run out of time than may.
    Declined,
    /// More choices are corrected than may be.
    Corrected,
    /// Several indices of EEG and eyes have left their course over time on task.
    Fatigue,
    /// Answers come quickly and in the same place.
    Rote,
    /// The response to the attended flash has fallen, and has left its course over time on task.
    Faded,
}

impl Sign {
    /// What it speaks of.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Rate | Self::Slow | Self::Declined | Self::Corrected => Kind::Overload,
            Self::Fatigue => Kind::Fatigue,
            Self::Rote | Self::Faded => Kind::Habituation,
        }
    }

    /// The sign in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Rate => "too many questions per minute",
            Self::Slow => "answers have become slow",
            Self::Declined => "too many questions ran out of time",
            Self::Corrected => "too many choices were corrected",
            Self::Fatigue => "EEG or eyes tell of fatigue",
            Self::Rote => "answers come quickly and in the same place",
            Self::Faded => "the P300 has faded",
        }
    }
}

/// Why a step was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Up: these signs.
    Signs(Vec<Sign>),
    /// Down: none for long enough.
    Calm,
    /// Either way: the person, or whoever is with it, wanted it so.
    Person,
}

/// One step of the ladder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// From here.
    pub from: Rung,
    /// To here.
    pub to: Rung,
    /// Why.
    pub why: Cause,
}

impl Step {
    /// Whether the guard goes further.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.to > self.from
    }

    /// What the first sign speaks of; `None` of a step without signs.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        match &self.why {
            Cause::Signs(signs) => signs.first().map(|sign| sign.kind()),
            Cause::Calm | Cause::Person => None,
        }
    }

    /// The step in words, for ledger and report.
    #[must_use]
    pub fn in_words(&self) -> String {
        let why = match &self.why {
            Cause::Signs(signs) => {
                let words: Vec<_> = signs.iter().map(|sign| sign.words()).collect();
                words.join(", ")
            }
            Cause::Calm => "no sign for long enough".into(),
            Cause::Person => "the person wanted it so".into(),
        };
        format!("{} -> {}: {why}", self.from.words(), self.to.words())
    }
}

/// What the person says of itself, by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// Not tired: everything as usual, and no step up for `guard.carry_on_s`.
    CarryOn,
    /// Tired: one step up.
    Tired,
}

/// What the session can do: known when it begins, and written down with it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ways {
    /// Whether something else than flashes can choose.
    pub without_flashes: bool,
    /// How far back the indices of the state look, seconds: values closer together say the same twice.
    pub recent_s: f64,
}

/// How a question ended. One that a doubt closed says nothing of the person, and is not told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answered {
    /// When, seconds.
    pub at_s: f64,
    /// What was selected; `None` when time ran out.
    pub selected: Option<Selected>,
}

/// What was selected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Selected {
    /// The option's place, from 0.
    pub item: usize,
    /// Whether it corrects: `other`, or undo.
    pub corrects: bool,
    /// Time from the opening to the decision over the time that reading takes.
    pub times_reading: f64,
}
