//! What the ledger says of the imitator: what it began from, what the person wished, how things stood whenever the level of
//! autonomy changed. A replay goes on from the first and comes to the others again.

use serde::{Deserialize, Serialize};

use super::ledger::{EventKind, EventRow};
use crate::choice::deputy::Deputy;
use crate::choice::handover::{Autonomy, Carried, HandoverSettings, Report};
use crate::choice::imitator::{BeliefError, Imitator, ImitatorRecord};

/// What an imitator in a session goes on from: all of it that a replay cannot compute, as the person's memory changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beginning {
    /// Seed of the audits' coins, new in every session.
    pub coins: u64,
    /// What earlier sessions left.
    pub carried: Carried,
    /// What had been learnt of the person's choices.
    pub imitator: ImitatorRecord,
}

impl Beginning {
    /// The deputy that goes on from here: the same, bit for bit, in a session and in its replay.
    ///
    /// # Errors
    /// [`BeliefError`] when the record is of no imitator.
    pub fn deputy(&self, settings: HandoverSettings) -> Result<Deputy, BeliefError> {
        let imitator = Imitator::resumed(&self.imitator)?;
        Ok(Deputy::new(imitator, settings, self.coins, &self.carried))
    }
}

/// The detail of an event of kind [`EventKind::Autonomy`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutonomyEvent {
    /// The imitator is at work from here on.
    Begins(Box<Beginning>),
    /// The person wants to be asked at every fork (`true`), or no longer does.
    AskMe(bool),
    /// The level of autonomy is another than before; how things stand now.
    Stands(Box<Report>),
    /// The session is over; how things stand then.
    Ends(Box<Report>),
}

impl AutonomyEvent {
    /// The event in a row; `None` of other kinds, and of what a later program wrote.
    #[must_use]
    pub fn of(row: &EventRow) -> Option<Self> {
        if row.kind != EventKind::Autonomy {
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
}

impl AutonomyEvent {
    /// The event for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        let stands = |report: &Report| {
            format!(
                "{}; agreement at least {:.2} over {} answers; at most {} of {} counted forks went another way, {} may",
                report.autonomy.words(),
                report.agreement_lower,
                report.shown.answers,
                report.hidden_max,
                report.counted,
                report.allowed
            )
        };
        match self {
            Self::Begins(beginning) => format!(
                "the imitator has learnt from {} answers; coins {}",
                beginning.imitator.learnt, beginning.coins
            ),
            Self::AskMe(true) => "the person wants to be asked at every fork".into(),
            Self::AskMe(false) => "the person leaves forks to the imitator again".into(),
            Self::Stands(report) => stands(report),
            Self::Ends(report) => format!("at the end {}", stands(report)),
        }
    }
}

/// What was left to the imitator in a session, and what may be claimed of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AutonomySummary {
    /// The level at the end.
    pub level: Autonomy,
    /// Forks that the imitator took in this session.
    pub imitated: u64,
    /// Forks in this session at which the person was asked although the imitator was sure.
    pub audits: u64,
    /// Of these, where the person chose as it would have.
    pub agreed: u64,
    /// Forks that are counted, those of earlier sessions among them.
    pub counted: u64,
    /// At most so many of them can have gone another way than the person would have, with probability `1 - risk`.
    pub hidden_max: u64,
    /// So many may have.
    pub allowed: u64,
    /// See [`HandoverConfig`](crate::choice::handover::HandoverConfig).
    pub risk: f64,
}

impl AutonomySummary {
    /// Over a session's events; `None` where no imitator was at work.
    #[must_use]
    pub fn of(events: &[EventRow], settings: &HandoverSettings) -> Option<Self> {
        let (mut begun, mut stands) = (None, None);
        for event in events.iter().filter_map(AutonomyEvent::of) {
            match event {
                AutonomyEvent::Begins(beginning) => begun = Some(beginning.carried.tally),
                AutonomyEvent::Stands(report) | AutonomyEvent::Ends(report) => {
                    stands = Some(report);
                }
                AutonomyEvent::AskMe(_) => {}
            }
        }
        let (before, report) = (begun?, stands?);
        let tally = &report.tally;
        let here = |now: u32, before: u32| u64::from(now.saturating_sub(before));
        let taken = |of: &crate::choice::bound::Tally| of.imitated.iter().copied().sum::<u32>();
        let audits = here(tally.audited, before.audited);
        let caught = here(tally.caught, before.caught);
        Some(Self {
            level: report.autonomy,
            imitated: here(taken(tally), taken(&before)),
            audits,
            agreed: audits.saturating_sub(caught),
            counted: u64::from(report.counted),
            hidden_max: u64::from(report.hidden_max),
            allowed: u64::from(report.allowed),
            risk: settings.config().risk,
        })
    }

    /// All of it in one line.
    #[must_use]
    pub fn in_words(&self) -> String {
        let claim = if self.imitated == 0 && self.hidden_max == 0 {
            String::new()
        } else {
            format!(
                "; with {:.0} % at most {} of {} counted forks went another way than the person would have ({} allowed)",
                100.0 * (1.0 - self.risk),
                self.hidden_max,
                self.counted,
                self.allowed
            )
        };
        format!(
            "{}; forks imitated {}, audits {}, of which agreed {}{claim}",
            self.level.words(),
            self.imitated,
            self.audits,
            self.agreed
        )
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use razvilka_dsp::units::{LslTime, MonoTime};

    use super::*;
    use crate::choice::imitator::ImitatorSettings;

    fn row(event: &AutonomyEvent) -> EventRow {
        EventRow {
            kind: EventKind::Autonomy,
            fork: None,
            at: LslTime::new(1.0).unwrap(),
            mono: MonoTime::from_nanos(1),
            detail: event.detail(),
        }
    }

    #[test]
    fn a_summary_counts_the_session_and_claims_of_the_account() {
        let settings = HandoverSettings::default();
        let imitator = Imitator::new(ImitatorSettings::default());
        let mut carried = Carried::default();
        carried.tally.imitated[4] = 20;
        carried.tally.audited = 6;
        carried.tally.caught = 1;
        carried.tally.asked = 40;
        let beginning = Beginning {
            coins: u64::MAX,
            carried,
            imitator: imitator.record(),
        };
        let deputy = beginning.deputy(settings).unwrap();
        let mut report = deputy.report();
        report.tally.imitated[4] += 3;
        report.tally.audited += 4;
        report.tally.caught += 2;
        let events = [
            AutonomyEvent::Begins(Box::new(beginning)),
            AutonomyEvent::Stands(Box::new(deputy.report())),
            AutonomyEvent::AskMe(true),
            AutonomyEvent::Ends(Box::new(report)),
        ];
        let rows: Vec<_> = events.iter().map(row).collect();
        let read: Vec<_> = rows.iter().filter_map(AutonomyEvent::of).collect();
        assert_eq!(read, events);
        let summary = AutonomySummary::of(&rows, &settings).unwrap();
        assert_eq!(
            (summary.imitated, summary.audits, summary.agreed),
            (3, 4, 2)
        );
        assert_eq!(summary.counted, 66);
        assert_eq!(AutonomySummary::of(&rows[1..], &settings), None);
        assert_eq!(AutonomySummary::of(&[], &settings), None);
        let words = summary.in_words();
        assert!(
            words.starts_with("asks; forks imitated 3, audits 4"),
            "{words}"
        );
        assert!(words.contains("with 95 % at most"), "{words}");
    }
}
