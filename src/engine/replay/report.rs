//! What a replay found, as `replay.json` says it.

use serde::{Deserialize, Serialize};

use super::difference::Difference;

/// Things compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// Made again and compared.
    pub compared: u64,
    /// Of these, equal in every bit.
    pub equal: u64,
    /// Not to be made again: what they rest on is not in the recording.
    pub not_recorded: u64,
}

impl Compared {
    /// Counts one thing that was compared.
    pub(super) fn note(&mut self, equal: bool) {
        self.compared += 1;
        self.equal += u64::from(equal);
    }
}

/// What a replay found; `replay.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayReport {
    /// The session.
    pub session: String,
    /// The build that lived the session, where it was another than this one.
    pub other_build: Option<String>,
    /// Forks as found: place, options, priors, whether to ask.
    pub forks: Compared,
    /// Items of gaze and P300 evidence.
    pub evidence: Compared,
    /// Inputs taken as recorded: keys, aborts, the clock.
    pub inputs_as_recorded: u64,
    /// How forks ended: verdict, posterior, four arms, what was written.
    pub choices: Compared,
    /// Whether text.txt is the same to its end.
    pub text_equal: bool,
    /// Bytes of text.txt, as recorded.
    pub text_bytes: u64,
    /// Whether the new ledger ends in the hash of the recorded one.
    pub ledger_equal: bool,
    /// Whether the recorded one has an older form: then that hash is the one that its rows have in today's.
    #[serde(default)]
    pub ledger_rewritten: bool,
    /// Whether an imitator was at work when its prior was narrower and the price of a question moved in steps: ledgers of an older
    /// form alone. It cannot come to the same courses.
    #[serde(default)]
    pub other_imitator: bool,
    /// The first difference.
    pub first_difference: Option<Difference>,
    /// What the session folder lacks, one sentence each; empty when it is whole.
    pub incomplete: Vec<String>,
    /// Samples that went through the lines.
    pub samples: u64,
    /// Flashes announced to the EEG line.
    pub flashes: u64,
    /// Length of the recording, seconds.
    pub recorded_s: f64,
    /// Duration of the replay, seconds.
    pub seconds: f64,
    /// Recorded seconds per second.
    pub speed: f64,
}

impl ReplayReport {
    /// Whether every fork, item and choice came out as recorded, and text.txt alone did not.
    #[must_use]
    pub fn only_the_text_differs(&self) -> bool {
        let equal = |of: Compared| of.equal == of.compared;
        !self.text_equal
            && self.ledger_equal
            && [self.forks, self.evidence, self.choices]
                .into_iter()
                .all(equal)
    }

    /// Whether everything that was compared is equal, and all of it was compared.
    #[must_use]
    pub fn is_identical(&self) -> bool {
        self.first_difference.is_none() && self.ledger_equal && self.text_equal
    }
}
