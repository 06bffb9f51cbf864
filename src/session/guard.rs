//! What the ledger says of the guard: how it began, what the person said, each step. A replay begins from the first, hears the
//! second, and comes to the third again.

use serde::{Deserialize, Serialize};

use super::ledger::{EventKind, EventRow, ForkRow};
use crate::choice::guard::{Guard, GuardSettings, Rung, Said, Step, Ways};
use crate::choice::{Decision, ModelReason};

/// The detail of an event of kind [`EventKind::Guard`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardEvent {
    /// It watches from here on. Sessions without this event had no guard.
    Begins(Ways),
    /// What the person says of itself, by key.
    Said(Said),
    /// A step of the ladder.
    Step(Step),
}

impl GuardEvent {
    /// The event in a row; `None` of other kinds, and of what a later program wrote.
    #[must_use]
    pub fn of(row: &EventRow) -> Option<Self> {
        if row.kind != EventKind::Guard {
            return None;
        }
        serde_json::from_str(&row.detail).ok()
    }

    /// The row's detail.
    #[must_use]
    pub fn detail(&self) -> String {
        // Structs of numbers and enums have no failing case in serde_json.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The guard as it was when the session of these events began; `None` where none watched.
    #[must_use]
    pub fn guard<'a>(
        events: impl IntoIterator<Item = &'a EventRow>,
        settings: GuardSettings,
    ) -> Option<Guard> {
        events.into_iter().find_map(|row| match Self::of(row) {
            Some(Self::Begins(ways)) => Some(Guard::new(settings, ways)),
            _ => None,
        })
    }

    /// The event for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            Self::Begins(Ways {
                without_flashes, ..
            }) => {
                let flashes = if *without_flashes { "can" } else { "cannot" };
                format!("it watches; flashes {flashes} be left out")
            }
            Self::Said(Said::CarryOn) => "the person is not tired".into(),
            Self::Said(Said::Tired) => "the person is tired".into(),
            Self::Step(step) => step.in_words(),
        }
    }
}

/// What the guard did in a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardSummary {
    /// Where it stood at the end.
    pub rung: Rung,
    /// The furthest it went.
    pub highest: Rung,
    /// Steps up.
    pub up: u32,
    /// Steps down.
    pub down: u32,
    /// Forks at which the person was not asked as the budget was lowered.
    pub not_asked: u64,
}

impl GuardSummary {
    /// Over a session's rows; `None` where none watched.
    #[must_use]
    pub fn of(events: &[EventRow], forks: &[ForkRow]) -> Option<Self> {
        let mut found = None;
        for event in events.iter().filter_map(GuardEvent::of) {
            if let GuardEvent::Begins(_) = event {
                found.get_or_insert(Self {
                    rung: Rung::AtEase,
                    highest: Rung::AtEase,
                    up: 0,
                    down: 0,
                    not_asked: 0,
                });
            }
            if let (GuardEvent::Step(step), Some(found)) = (event, &mut found) {
                found.rung = step.to;
                found.highest = found.highest.max(step.to);
                found.up += u32::from(step.is_up());
                found.down += u32::from(!step.is_up());
            }
        }
        let guarded = Decision::LetModel(ModelReason::Guarded);
        let not_asked = forks.iter().filter(|fork| fork.decision == guarded).count();
        found.map(|found| Self {
            not_asked: not_asked as u64,
            ..found
        })
    }

    /// All of it in one line.
    #[must_use]
    pub fn in_words(&self) -> String {
        if self.up == 0 {
            return "nothing had to be done".into();
        }
        format!(
            "up to {} ({} up, {} down), at the end {}; forks not asked for its sake {}",
            self.highest.words(),
            self.up,
            self.down,
            self.rung.words(),
            self.not_asked
        )
    }
}
