//! Several classifiers teach one: their mean agrees better with people than each of them, and one that has learned it costs no more time.

use razvilka_dsp::gaze::{CLASSES, Parameters};

use crate::data::Recording;
use crate::descent::{Net, Widths};
use crate::learn::{Plan, Row, durations, train_one};
use crate::tune::Numbers;

/// Trains on these recordings: first the teachers, then the one whom they teach. All see the same recordings and no others.
pub(crate) fn train(recordings: &[&Recording], plan: &Plan) -> Parameters {
    let seeds = (plan.seed..).take(plan.teachers);
    let teachers: Vec<Net> = std::thread::scope(|scope| {
        let runs: Vec<_> = seeds
            .map(|seed| {
                let plan = Plan {
                    seed,
                    epochs: plan.teachers_epochs,
                    ..*plan
                };
                scope.spawn(move || train_one(recordings, &plan, plan.teachers_widths, &[]))
            })
            .collect();
        // A thread that panics ends the program.
        runs.into_iter()
            .map(|run| {
                run.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    let mut made = Parameters::zero();
    train_one(recordings, plan, Widths::DETECTOR, &teachers).put(&mut made);
    made.durations = durations(recordings);
    Numbers::USUAL.put(&mut made);
    made
}

/// Mixes into the targets what the teachers say, the mean of their probabilities (Hinton, Vinyals & Dean 2015, eq. 1 at temperature 1).
/// Of other conventions than the first they know nothing.
pub(crate) fn soften(rows: &mut [Row], teachers: &[Net], share: f32) {
    if teachers.is_empty() {
        return;
    }
    let mut said = vec![[0.0; CLASSES]; rows.len()];
    for teacher in teachers {
        teacher.say(rows, |k, shares| {
            for (said, s) in said[k].iter_mut().zip(shares) {
                *said += s / teachers.len() as f32;
            }
        });
    }
    for (row, said) in rows.iter_mut().zip(said).filter(|(row, _)| row.set == 0) {
        for (target, said) in row.target.iter_mut().zip(said) {
            *target += share * (said - *target);
        }
    }
}
