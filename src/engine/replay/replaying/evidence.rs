//! The gate's inputs made again from the signals, and what the gate answers now.

use super::{Asked, Replaying};
use crate::engine::replay::error::ReplayError;
use crate::gate::{Evidence, GateInput, Source};
use crate::pipeline::decision::{Made, Record};
use crate::pipeline::trace::Trace;
use crate::session::EvidenceRow;

impl Replaying<'_> {
    pub(super) fn input(&mut self, row: &EvidenceRow) -> Result<(), ReplayError> {
        let (input, made) = self.input_again(row);
        let remade = match self
            .asked
            .as_mut()
            .filter(|asked| asked.question.id == row.fork)
        {
            Some(Asked {
                question,
                gate: Some(gate),
                ..
            }) => {
                let verdict = gate.apply(&input);
                let arms = verdict.is_terminal().then(|| gate.arms());
                let (fork, input) = (row.fork, Some(input));
                let trace = Trace::default();
                question.take(&Record {
                    fork,
                    input,
                    made,
                    verdict,
                    arms,
                    trace,
                })
            }
            _ => None,
        };
        let remade = remade.unwrap_or(*row);
        if remade != *row && self.first.is_none() {
            let (expected, got) = (format!("{row:?}"), format!("{remade:?}"));
            self.differs(
                Some(row.fork),
                Some(row.step),
                "an input of the gate",
                expected,
                got,
            );
        }
        self.ledger.evidence(&remade)?;
        Ok(())
    }

    /// The input as the signals give it now.
    fn input_again(&mut self, row: &EvidenceRow) -> (GateInput, Option<Made>) {
        let GateInput::Evidence { evidence, now } = row.input else {
            self.as_recorded += 1;
            return (row.input, None);
        };
        if evidence.source == Source::Switch {
            self.as_recorded += 1;
            let item = row.item.and_then(|item| u32::try_from(item).ok());
            return (row.input, item.map(|item| Made::Key { item }));
        }
        let Some((remade, made)) = self.remade.get(&evidence).copied() else {
            self.not_made(row, &evidence);
            return (row.input, made_of(row, &evidence));
        };
        let bits = |values: &[f64]| {
            values
                .iter()
                .map(|value| value.to_bits())
                .collect::<Vec<_>>()
        };
        let equal = remade == evidence
            && bits(&remade.log_lik_nats) == bits(&evidence.log_lik_nats)
            && remade.at.get().to_bits() == evidence.at.get().to_bits();
        self.evidence.note(equal);
        if !equal {
            let what = match evidence.source {
                Source::Gaze => format!("gaze word {}", evidence.seq),
                Source::Blink => format!("deliberate blink {}", evidence.seq),
                Source::Pupil => format!("pupil {}", evidence.seq),
                _ => format!("P300 of flash {}", evidence.seq),
            };
            let words =
                |item: &Evidence| format!("{:?} nats at {} s", item.log_lik_nats, item.at.get());
            self.differs(
                Some(row.fork),
                Some(row.step),
                &what,
                words(&evidence),
                words(&remade),
            );
        }
        (
            GateInput::Evidence {
                evidence: remade,
                now,
            },
            Some(made),
        )
    }

    /// An item that the signals do not give again.
    fn not_made(&mut self, row: &EvidenceRow, evidence: &Evidence) {
        let beyond = self
            .known
            .forks
            .get(&evidence.fork)
            .is_none_or(|(fork, _)| self.remade.ends_before(evidence, fork));
        if beyond && !self.whole {
            self.evidence.not_recorded += 1;
            return;
        }
        self.evidence.note(false);
        let what = format!("{:?} evidence {}", evidence.source, evidence.seq);
        let expected = format!("{:?} nats", evidence.log_lik_nats);
        self.differs(
            Some(row.fork),
            Some(row.step),
            &what,
            expected,
            "nothing".into(),
        );
    }
}

/// What an item that cannot be made again was made from, as far as its row tells.
fn made_of(row: &EvidenceRow, evidence: &Evidence) -> Option<Made> {
    Some(match evidence.source {
        Source::Gaze => Made::Gaze { sample: 0 },
        Source::Blink => Made::Blink {
            item: u32::try_from(row.item?).ok()?,
            sample: row.onset_sample?,
            score: row.raw_score.unwrap_or(f64::NAN),
        },
        Source::Pupil => Made::Pupil {
            item: u32::try_from(row.item?).ok()?,
            sample: row.onset_sample?,
            score: row.raw_score.unwrap_or(f64::NAN),
        },
        Source::Switch => Made::Key {
            item: u32::try_from(row.item?).ok()?,
        },
        Source::P300 => Made::Flash {
            item: u32::try_from(row.item?).ok()?,
            number: u32::try_from(row.flash_seq?).ok()?,
            onset_sample: row.onset_sample?,
            score: row.raw_score.unwrap_or(f64::NAN),
        },
    })
}
