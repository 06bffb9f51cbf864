//! What more calibration would have brought: held-out AUC against the length of the calibration.

use crate::crossval::{FOLDS, MIN_PER_CLASS, contiguous_folds, training_rows};
use crate::epochs::Epochs;
use crate::error::Result;
use crate::lda::LdaModel;
use crate::metrics::{Auc, held_out_auc};

/// Shares of the calibration that are fitted on, beside the whole.
const SHARES: [f64; 3] = [0.25, 0.5, 0.75];

/// How a discriminant does that was fitted on so much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearningPoint {
    /// Epochs fitted on, mean over the folds.
    pub epochs: f64,
    /// Seconds in which so many epochs come, breaks between runs left out.
    pub seconds: f64,
    /// Area under the ROC curve over all held-out epochs.
    pub auc: Auc,
}

/// The shrinkage LDA's held-out AUC when a quarter, half, three quarters and all of the rest of the calibration is fitted on.
///
/// The folds are those of the cross-validation. Less than all is one stretch in time, from right after the fold that is held
/// out, going on from the beginning where the end is reached: what a shorter calibration would have been, with no place in the
/// session preferred. A share that holds fewer than 10 epochs of a class in some fold has no point.
///
/// # Errors
/// As [`LdaModel::fit_rows`] and [`held_out_auc`].
pub fn learning_curve(epochs: &Epochs, purge_s: f64) -> Result<Vec<LearningPoint>> {
    let folds = contiguous_folds(epochs, FOLDS);
    let labels = epochs.labels();
    let seconds_each = seconds(epochs, purge_s) / epochs.len().max(1) as f64;
    let mut points = Vec::with_capacity(SHARES.len() + 1);
    'shares: for share in SHARES.into_iter().chain([1.0]) {
        let mut scores = vec![0.0; epochs.len()];
        let mut fitted_on = 0;
        for fold in &folds {
            let rows = stretch_after(&training_rows(epochs, fold, purge_s), fold, share);
            let targets = rows.iter().filter(|&&row| labels[row]).count();
            if targets.min(rows.len() - targets) < MIN_PER_CLASS {
                continue 'shares;
            }
            fitted_on += rows.len();
            let model = LdaModel::fit_rows(epochs, &rows)?;
            for &row in fold {
                scores[row] = model.score(epochs.row(row));
            }
        }
        let mean = fitted_on as f64 / folds.len().max(1) as f64;
        points.push(LearningPoint {
            epochs: mean,
            seconds: mean * seconds_each,
            auc: held_out_auc(&scores, &labels, folds.len())?,
        });
    }
    Ok(points)
}

/// The first `share` of `rows` from the end of `fold` on and round to its beginning, in the order of time.
fn stretch_after(rows: &[usize], fold: &[usize], share: f64) -> Vec<usize> {
    let last = fold.last().copied().unwrap_or(0);
    let start = rows.partition_point(|&row| row <= last);
    let wanted = (share * rows.len() as f64).round() as usize;
    let (before, after) = rows.split_at(start);
    let mut stretch: Vec<usize> = after.iter().chain(before).copied().take(wanted).collect();
    stretch.sort_unstable();
    stretch
}

/// How long the runs lasted, each from its first onset to the end of its last epoch.
pub(crate) fn seconds(epochs: &Epochs, epoch_s: f64) -> f64 {
    let runs = epochs.info().chunk_by(|a, b| a.run == b.run);
    runs.filter_map(|run| Some(run.last()?.onset_s - run.first()?.onset_s + epoch_s))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_begins_after_the_fold_and_goes_round() {
        let rows = [0, 1, 2, 3, 7, 8];
        assert_eq!(stretch_after(&rows, &[4, 5, 6], 0.5), [0, 7, 8]);
        assert_eq!(stretch_after(&rows, &[4, 5, 6], 1.0), rows);
        assert_eq!(stretch_after(&[2, 3], &[0, 1], 0.5), [2]);
    }
}
