//! Several classifiers teach one: their mean agrees better with people than each of them, and one that has learned it costs no more time.

use razvilka_dsp::gaze::{CLASSES, Parameters};

use crate::data::Recording;
use crate::learn::{Plan, Row, train_one};

/// Share of the teachers in what is taught; the rest is the labels'.
const TAUGHT: f32 = 0.7;

/// Trains on these recordings: first the teachers, then the one whom they teach. All see the same recordings and no others.
pub(crate) fn train(recordings: &[&Recording], plan: &Plan) -> Parameters {
    let seeds = (plan.seed..).take(plan.teachers);
    let teachers: Vec<Parameters> = std::thread::scope(|scope| {
        let runs: Vec<_> = seeds
            .map(|seed| scope.spawn(move || train_one(recordings, &Plan { seed, ..*plan }, &[])))
            .collect();
        // A thread that panics ends the program.
        runs.into_iter().filter_map(|run| run.join().ok()).collect()
    });
    train_one(recordings, plan, &teachers)
}

/// Mixes into the targets what the teachers say, the mean of their probabilities (Hinton, Vinyals & Dean 2015, eq. 1 at temperature 1).
/// Of other conventions than the first they know nothing.
pub(crate) fn soften(rows: &mut [Row], teachers: &[Parameters]) {
    if teachers.is_empty() {
        return;
    }
    for row in rows.iter_mut().filter(|row| row.set == 0) {
        let mut said = [0.0; CLASSES];
        for teacher in teachers {
            let z = teacher.logits(&row.features);
            let top = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let shares = z.map(|z| (z - top).exp());
            let sum: f32 = shares.iter().sum();
            for (said, s) in said.iter_mut().zip(shares) {
                *said += s / sum / teachers.len() as f32;
            }
        }
        for (target, said) in row.target.iter_mut().zip(said) {
            *target += TAUGHT * (said - *target);
        }
    }
}
