//! Chronological cross-validation: an epoch is scored by a classifier that never saw its neighbourhood.

use crate::epochs::Epochs;
use crate::error::{CalibrationError, Result};
use crate::lda::LdaModel;

/// Folds aimed at; fewer only when there are fewer epochs of a class.
pub const FOLDS: usize = 10;
/// Fewest epochs of either class for out-of-fold scores worth a likelihood.
pub(crate) const MIN_PER_CLASS: usize = 10;

/// Contiguous folds, each a list of epoch indices in the order of time.
///
/// With at least `wanted` runs a fold is a group of whole consecutive runs. With fewer, each run is cut into equal
/// consecutive parts, so that a fold never reaches over a break. A run is a maximal stretch of epochs of one run number.
#[must_use]
pub fn contiguous_folds(epochs: &Epochs, wanted: usize) -> Vec<Vec<usize>> {
    let runs: Vec<Vec<usize>> = (0..epochs.len())
        .collect::<Vec<_>>()
        .chunk_by(|&a, &b| epochs.info()[a].run == epochs.info()[b].run)
        .map(<[usize]>::to_vec)
        .collect();
    if runs.is_empty() || wanted == 0 {
        return Vec::new();
    }
    if runs.len() >= wanted {
        let mut folds = vec![Vec::new(); wanted];
        for (index, run) in runs.iter().enumerate() {
            folds[index * wanted / runs.len()].extend_from_slice(run);
        }
        return folds;
    }
    let parts = wanted.div_ceil(runs.len());
    let mut folds = Vec::with_capacity(parts * runs.len());
    for run in &runs {
        let parts = parts.min(run.len());
        for part in 0..parts {
            folds.push(run[part * run.len() / parts..(part + 1) * run.len() / parts].to_vec());
        }
    }
    folds
}

/// Scores of all epochs, in their order, and the fold each was held out in.
#[derive(Debug, Clone, PartialEq)]
pub struct OutOfFold {
    /// Score of each epoch by a classifier trained without its fold.
    pub scores: Vec<f64>,
    /// Index of the fold of each epoch.
    pub fold: Vec<usize>,
    /// Number of folds.
    pub folds: usize,
    /// For each fold the epochs its classifier was trained on: all that neither belong to it nor overlap it in time.
    pub apart: Vec<Vec<usize>>,
}

/// Scores every epoch by a classifier trained on the other folds.
///
/// Epochs of the same run whose onset lies within `purge_s` of the held-out fold are left out of the training too: their
/// signals overlap. Pass the epoch's length.
///
/// # Errors
/// [`CalibrationError::TooFew`] with fewer than 10 epochs of a class, or when a fold leaves too few.
pub fn out_of_fold(epochs: &Epochs, purge_s: f64) -> Result<OutOfFold> {
    enough_of_both(epochs)?;
    let folds = contiguous_folds(epochs, FOLDS);
    let mut scores = vec![0.0; epochs.len()];
    let apart: Vec<Vec<usize>> = folds
        .iter()
        .map(|fold| training_rows(epochs, fold, purge_s))
        .collect();
    for (fold, rows) in folds.iter().zip(&apart) {
        let model = LdaModel::fit_rows(epochs, rows)?;
        for &row in fold {
            scores[row] = model.score(epochs.row(row));
        }
    }
    Ok(OutOfFold {
        apart,
        scores,
        fold: folds_of(&folds, epochs.len()),
        folds: folds.len(),
    })
}

/// The fold of each epoch.
pub(crate) fn folds_of(folds: &[Vec<usize>], epochs: usize) -> Vec<usize> {
    let mut of = vec![0; epochs];
    for (number, fold) in folds.iter().enumerate() {
        for &row in fold {
            of[row] = number;
        }
    }
    of
}

/// Refuses epochs from which no likelihood could be had.
pub(crate) fn enough_of_both(epochs: &Epochs) -> Result<()> {
    let targets = epochs.targets();
    for (what, found) in [
        ("target epochs", targets),
        ("non-target epochs", epochs.len() - targets),
    ] {
        if found < MIN_PER_CLASS {
            return Err(CalibrationError::TooFew {
                what,
                found,
                needed: MIN_PER_CLASS,
            });
        }
    }
    Ok(())
}

/// All epochs but those of the fold and those that overlap it in time.
pub(crate) fn training_rows(epochs: &Epochs, fold: &[usize], purge_s: f64) -> Vec<usize> {
    let info = epochs.info();
    // A fold is contiguous in the order of epochs, so its first and last index bound it.
    let (Some(&first), Some(&last)) = (fold.first(), fold.last()) else {
        return (0..epochs.len()).collect();
    };
    (0..epochs.len())
        .filter(|&row| {
            if row < first {
                info[row].run != info[first].run
                    || info[first].onset_s - info[row].onset_s > purge_s
            } else if row > last {
                info[row].run != info[last].run || info[row].onset_s - info[last].onset_s > purge_s
            } else {
                false
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epochs::EpochInfo;

    fn epochs(runs: &[(u32, usize)]) -> Epochs {
        let mut epochs = Epochs::new(1, 1).unwrap();
        let mut onset_s = 0.0;
        for &(run, count) in runs {
            for i in 0..count {
                onset_s += 0.2;
                let info = EpochInfo {
                    onset_s,
                    target: i % 4 == 0,
                    run,
                };
                epochs
                    .push(info, &[f64::from(u8::from(i % 4 == 0))])
                    .unwrap();
            }
        }
        epochs
    }

    #[test]
    fn every_epoch_is_held_out_exactly_once_and_no_fold_reaches_over_a_run() {
        for layout in [
            vec![(0, 40), (1, 33), (2, 7)],
            vec![(5, 100)],
            (0..23).map(|run| (run, 6)).collect(),
        ] {
            let epochs = epochs(&layout);
            let folds = contiguous_folds(&epochs, FOLDS);
            let all: Vec<usize> = folds.iter().flatten().copied().collect();
            assert_eq!(all, (0..epochs.len()).collect::<Vec<_>>());
            assert!(folds.len() >= FOLDS && folds.iter().all(|fold| !fold.is_empty()));
            if layout.len() < FOLDS {
                for fold in &folds {
                    let run = epochs.info()[fold[0]].run;
                    assert!(fold.iter().all(|&row| epochs.info()[row].run == run));
                }
            }
        }
    }

    #[test]
    fn with_many_runs_a_run_is_never_split() {
        let epochs = epochs(&(0..23).map(|run| (run, 6)).collect::<Vec<_>>());
        for fold in contiguous_folds(&epochs, FOLDS) {
            assert_eq!(fold.len() % 6, 0);
        }
    }

    #[test]
    fn neighbours_in_time_are_not_trained_on_but_other_runs_are() {
        let epochs = epochs(&[(0, 20), (1, 20)]);
        let rows = training_rows(&epochs, &[10, 11, 12], 0.5);
        assert!(!rows.contains(&9) && !rows.contains(&8) && rows.contains(&7));
        assert!(!rows.contains(&13) && !rows.contains(&14) && rows.contains(&15));
        let rows = training_rows(&epochs, &[18, 19], 0.5);
        assert!(rows.contains(&20), "another run does not overlap");
    }
}
