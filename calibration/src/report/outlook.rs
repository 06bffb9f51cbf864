//! The page's part on where the response is on the head, and on what a longer calibration and more rounds would bring.

use std::fmt::Write as _;

use super::markup::figure;
use super::prior::judged_on_others;
use super::{curves, scalp_plot};
use crate::error::Result;
use crate::model::ScorerKind;
use crate::profile::EegCalibration;
use crate::resample::{FORK_ITEMS, FORK_OPTIONS};
use crate::session::EegReport;

/// Where on the head the difference is, or why that is not shown.
pub(super) fn push_scalp(
    page: &mut String,
    eeg: &EegCalibration,
    report: &EegReport,
) -> Result<()> {
    let placed = scalp_plot::placed(&eeg.labels, &eeg.lda.used);
    let least = scalp_plot::PLACED_MIN;
    if placed.len() < least {
        let _ = writeln!(
            page,
            "<p>No scalp map: {} of {} channels in use have a label of the 10-20 or 10-10 system, {least} are needed.</p>",
            placed.len(),
            eeg.lda.used.iter().filter(|used| **used).count()
        );
        return Ok(());
    }
    figure(
        page,
        &scalp_plot::scalp(&report.erp, &eeg.labels, &placed)?,
        &format!(
            "Response to targets minus response to non-targets, from above, nose up; orange: targets more positive. Dots: the {} \
             electrodes in use that have a place, by the 10-10 system; between them spherical splines (Perrin et al. 1989), up to \
             {:.0}° from the nearest.",
            placed.len(),
            scalp_plot::REACH_DEG
        ),
    );
    Ok(())
}

/// What a longer calibration, and more rounds, would bring.
pub(super) fn push_outlook(
    page: &mut String,
    eeg: &EegCalibration,
    report: &EegReport,
) -> Result<()> {
    page.push_str("<div class=\"pair\">\n");
    if judged_on_others(eeg).is_some() {
        page.push_str(
            "<p>No learning curve: nothing of this person's was learned from labels.</p>\n",
        );
    } else if report.learning.is_empty() {
        page.push_str(
            "<p>No learning curve: a part of this calibration would have fewer than 10 targets.</p>\n",
        );
    } else {
        let taken = eeg.selection.taken();
        let diamond = taken
            .filter(|taken| taken.kind != ScorerKind::Lda)
            .map_or_else(String::new, |taken| {
                format!(
                    " <span class=\"key target\"></span>diamond: {}, the scorer taken, with all flashes",
                    taken.kind.name()
                )
            });
        figure(
            page,
            &curves::learning(&report.learning, taken)?,
            &format!(
                "Learning curve: <span class=\"key other\"></span>shrinkage LDA fitted on one stretch of so many flashes, tested on the \
                 folds held out; bars: one standard error, widened as folds share their training.{diamond}. Whole calibration: \
                 {:.0} s of flashing.",
                report.seconds
            ),
        );
    }
    let off = if eeg.reliability == 0.0 {
        " With reliability 0 the gate uses none of it."
    } else {
        ""
    };
    let silent = report.doubted + report.rejected;
    let silent = if silent > 0 && judged_on_others(eeg).is_none() {
        format!(
            " {:.1}&nbsp;% of the flashes, left out or in doubt, bring no evidence in it.",
            100.0 * silent as f64 / (report.scores.len() + silent) as f64
        )
    } else {
        String::new()
    };
    figure(
        page,
        &curves::accuracy(&report.accuracy)?,
        &format!(
            "Right choices among {FORK_OPTIONS} options, {FORK_ITEMS} items flashing, by held-out log-likelihood ratios drawn as if \
             flashes were independent, without any prior; a simulation from this calibration, no measured session. Band: 95&nbsp;% by \
             resampling whole folds, widened as they share their training.{silent}{off}"
        ),
    );
    page.push_str("</div>\n");
    Ok(())
}
