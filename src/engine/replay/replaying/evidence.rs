//! The gate's inputs made again from the signals, and what the gate answers now.

use razvilka_dsp::units::LslTime;

use super::{Asked, Replaying};
use crate::engine::replay::error::ReplayError;
use crate::gate::{GateInput, Source, Told};
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
        let Some(told) = row.input.told() else {
            self.as_recorded += 1;
            return (row.input, None);
        };
        let now = row.input.now();
        if row.input.source() == Some(Source::Switch) {
            self.as_recorded += 1;
            let item = row.item.and_then(|item| u32::try_from(item).ok());
            return (row.input, item.map(|item| Made::Key { item }));
        }
        let Some((remade, made)) = self.remade.get(&told).copied() else {
            self.not_made(row, &told);
            return (row.input, made_of(row, &told));
        };
        let equal = remade == told && bits_of(&remade) == bits_of(&told);
        self.evidence.note(equal);
        if !equal {
            self.differs(
                Some(row.fork),
                Some(row.step),
                &name_of(&told),
                words(&told),
                words(&remade),
            );
        }
        (remade.input(now), Some(made))
    }

    /// Something that the signals do not give again.
    fn not_made(&mut self, row: &EvidenceRow, told: &Told) {
        let beyond = self
            .known
            .forks
            .get(&told.fork())
            .is_none_or(|(fork, _)| self.remade.ends_before(told, fork));
        if beyond && !self.whole {
            self.evidence.not_recorded += 1;
            return;
        }
        self.evidence.note(false);
        self.differs(
            Some(row.fork),
            Some(row.step),
            &name_of(told),
            words(told),
            "nothing".into(),
        );
    }
}

/// What it is called that was told.
fn name_of(told: &Told) -> String {
    match told {
        Told::Evidence(evidence) => match evidence.source {
            Source::Gaze => format!("gaze word {}", evidence.seq),
            Source::Blink => format!("deliberate blink {}", evidence.seq),
            Source::Pupil => format!("pupil {}", evidence.seq),
            Source::P300 => format!("P300 of flash {}", evidence.seq),
            Source::Contraction | Source::Switch => {
                format!("{:?} evidence {}", evidence.source, evidence.seq)
            }
        },
        Told::Look(look) => format!("look {}", look.seq),
        Told::Contraction(contraction) => format!("contraction {}", contraction.seq),
    }
}

fn words(told: &Told) -> String {
    match told {
        Told::Evidence(item) => format!("{:?} nats at {} s", item.log_lik_nats, item.at.get()),
        Told::Look(look) => format!(
            "item {:?}, {} to {} s, told at {} s",
            look.item,
            look.onset.get(),
            look.last.get(),
            look.at.get()
        ),
        Told::Contraction(contraction) => format!(
            "{} nats, {} to {} s",
            contraction.llr_nats,
            contraction.onset.get(),
            contraction.at.get()
        ),
    }
}

/// Every number of it, bit for bit.
fn bits_of(told: &Told) -> Vec<u64> {
    let stamps = |all: &[LslTime]| all.iter().map(|at| at.get().to_bits()).collect::<Vec<_>>();
    match told {
        Told::Evidence(evidence) => {
            let values = evidence.log_lik_nats.iter().map(|value| value.to_bits());
            values.chain(stamps(&[evidence.at])).collect()
        }
        Told::Look(look) => stamps(&[look.at, look.onset, look.last]),
        Told::Contraction(contraction) => {
            let mut bits = stamps(&[contraction.at, contraction.onset]);
            bits.push(contraction.llr_nats.to_bits());
            bits
        }
    }
}

/// What an item that cannot be made again was made from, as far as its row tells.
fn made_of(row: &EvidenceRow, told: &Told) -> Option<Made> {
    let score = row.raw_score.unwrap_or(f64::NAN);
    let source = match told {
        Told::Evidence(evidence) => evidence.source,
        Told::Look(look) => {
            let item = look.item.and_then(|item| u32::try_from(item).ok());
            let sample = row.onset_sample?;
            return Some(Made::Look { item, sample });
        }
        Told::Contraction(_) => Source::Contraction,
    };
    Some(match source {
        Source::Gaze => Made::Gaze { sample: 0 },
        Source::Contraction => Made::Contraction {
            sample: row.onset_sample?,
            score,
        },
        Source::Blink => Made::Blink {
            item: u32::try_from(row.item?).ok()?,
            sample: row.onset_sample?,
            score,
        },
        Source::Pupil => Made::Pupil {
            item: u32::try_from(row.item?).ok()?,
            sample: row.onset_sample?,
            score,
        },
        Source::Switch => Made::Key {
            item: u32::try_from(row.item?).ok()?,
        },
        Source::P300 => Made::Flash {
            item: u32::try_from(row.item?).ok()?,
            number: u32::try_from(row.flash_seq?).ok()?,
            onset_sample: row.onset_sample?,
            score,
        },
    })
}
