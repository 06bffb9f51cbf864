//! A choice as it is remembered.

use serde::{Deserialize, Serialize};

use crate::choice::Why;
use crate::fork::{Chooser, ForkId, ForkOrigin};
use crate::marker::{OptionKind, Outcome};

/// How a choice was undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TakenBack {
    /// The person took this very choice back.
    Undo,
    /// The person called for a fork before it: the text behind that place is gone, and with it what was chosen there.
    Call,
}

/// A fork that has ended, as it is remembered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Remembered {
    /// The session.
    pub session: String,
    /// Number of the fork in that session's ledger.
    pub fork: ForkId,
    /// When it ended, UTC.
    pub at_utc: String,
    /// The end of the text before it.
    pub context: String,
    /// Why there was a fork.
    pub origin: ForkOrigin,
    /// How often the place was asked before.
    pub attempt: u32,
    /// Whether the options were shown to the person.
    pub shown: bool,
    /// How the gate ended; `None` when the person was not asked.
    pub outcome: Option<Outcome>,
    /// Who took an option; `None` when nobody did.
    pub chooser: Option<Chooser>,
    /// Why.
    pub why: Why,
    /// The option that was taken in the end, by whomever.
    pub chosen: Option<i32>,
    /// The option that the person selected; `None` when they selected none. After `go on` it is that, and `chosen` the model's branch.
    pub selected: Option<i32>,
    /// From the opening of the gate to its decision, seconds; `None` when the person was not asked.
    pub decision_s: Option<f64>,
    /// Digest of the model. States of different models are never compared.
    pub model_sha256: String,
    /// Whether the choice was taken back.
    pub taken_back: Option<TakenBack>,
    /// The model's hidden state at the fork; `None` behind a server.
    pub state: Option<Vec<f32>>,
    /// The options, by item.
    pub options: Vec<RememberedOption>,
}

/// An option as it was offered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RememberedOption {
    /// Its item number.
    pub item: i32,
    /// What it is.
    pub kind: OptionKind,
    /// The phrase.
    pub text: String,
    /// Its tokens; none for control options.
    pub tokens: Vec<u32>,
    /// The model's share of mass for it.
    pub prior: f64,
    /// Log-probability of the tokens, nats; `None` for control options.
    pub log_prob_nats: Option<f64>,
    /// The gate's posterior at the end; `None` when the person was not asked.
    pub posterior: Option<f64>,
    /// What the memory preferred before the choice; `None` for control options, and where it had no states.
    pub preference: Option<f64>,
    /// Mean hidden state over the phrase; `None` for control options, and behind a server.
    pub embedding: Option<Vec<f32>>,
}

impl Remembered {
    /// Its name for people and commands.
    #[must_use]
    pub fn name(&self) -> ForkName {
        ForkName {
            session: self.session.clone(),
            fork: self.fork,
        }
    }

    /// The option that was taken.
    #[must_use]
    pub fn taken(&self) -> Option<&RememberedOption> {
        let chosen = self.chosen?;
        self.options.iter().find(|option| option.item == chosen)
    }

    /// Whether the person chose one of the branches.
    #[must_use]
    pub fn is_persons_choice(&self) -> bool {
        self.chooser == Some(Chooser::Human)
            && self
                .taken()
                .is_some_and(|taken| taken.kind == OptionKind::Branch)
    }
}

/// `SESSION/FORK`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForkName {
    /// The session.
    pub session: String,
    /// Number of the fork in it.
    pub fork: ForkId,
}

impl std::fmt::Display for ForkName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.session, self.fork.0)
    }
}

impl std::str::FromStr for ForkName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .rsplit_once('/')
            .filter(|(session, _)| !session.is_empty());
        let fork = parts.and_then(|(session, fork)| Some((session, fork.parse().ok()?)));
        let (session, fork) = fork
            .ok_or_else(|| "give SESSION/FORK, as `razvilka choices list` shows it".to_owned())?;
        Ok(Self {
            session: session.to_owned(),
            fork: ForkId(fork),
        })
    }
}

/// Which choices are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Those of a session.
    Session(String),
    /// One.
    Fork(ForkName),
    /// Those of before this moment, UTC.
    Before(String),
}
