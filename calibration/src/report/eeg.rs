//! The section of the P300: figures of held-out flashes, the scorers compared, the response, and how far the figures can be trusted.

use std::fmt::Write as _;

use super::grade::{grade_auc, grade_ece};
use super::markup::{figure, open_table, put, put_row};
use super::outlook::{push_outlook, push_scalp};
use super::{eeg_plots, prior};
use crate::choice::Selection;
use crate::error::Result;
use crate::metrics::{reliability_diagram, roc};
use crate::model::ScorerKind;
use crate::profile::EegCalibration;
use crate::resample::{REPORT_SEED, roc_band};
use crate::session::EegReport;

/// The colour key of the EEG plots.
const KEY: &str =
    "<span class=\"key target\"></span>target&ensp;<span class=\"key other\"></span>non-target";

pub(super) fn push_eeg(page: &mut String, eeg: &EegCalibration, report: &EegReport) -> Result<()> {
    let m = &eeg.metrics;
    page.push_str("<section>\n<h2>P300</h2>\n");
    let from_others = prior::judged_on_others(eeg);
    match from_others {
        Some(prior) => page.push_str(&prior::figures_in_words(prior)),
        None => {
            put!(
                page,
                "<p>All figures are of flashes held out in {} contiguous folds. Classifier, densities, reliability and base rate of a fold \
                 are fitted on flashes that neither belong to it nor overlap it in time; the profile keeps the fit on all. One tie is left: \
                 the scores behind a fold's densities are of classifiers that, for other folds, were trained on it too. Intervals \
                 allow for folds that share their training (Nadeau &amp; Bengio 2003).{}</p>",
                m.folds,
                doubted_in_words(report)
            );
        }
    }
    open_table(page);
    put_row(
        page,
        "AUC (95 % interval)",
        &format!(
            "{:.3} ({:.3}–{:.3})",
            m.auc.value, m.auc.ci_low, m.auc.ci_high
        ),
        Some(grade_auc(m)),
        "of the scorer taken; good from 0.85 with a lower end from 0.70, fair from 0.70; poor when it cannot be told from chance",
    );
    if report.doubted > 0 {
        let all = report.auc_of_all;
        put_row(
            page,
            "AUC, flashes in doubt included",
            &format!("{:.3} ({:.3}–{:.3})", all.value, all.ci_low, all.ci_high),
            None,
            "for comparison; a session does not score these",
        );
    }
    put_row(
        page,
        "Expected calibration error",
        &format!("{:.3}", m.ece),
        grade_ece(eeg),
        if eeg.reliability > 0.0 {
            "good up to 0.05, fair up to 0.10"
        } else {
            "no grade: with reliability 0 every probability is the base rate"
        },
    );
    let (least, most) = evidence_range(eeg);
    for (name, value, bands) in [
        (
            "Log loss",
            format!("{:.3} nats", m.log_loss),
            format!("always saying the base rate costs {:.3}", m.base_log_loss),
        ),
        (
            "Brier score",
            format!("{:.4}", m.brier),
            format!(
                "always saying the base rate costs {:.4}",
                eeg.base_rate * (1.0 - eeg.base_rate)
            ),
        ),
        (
            "Reliability",
            format!("{:.2}", eeg.reliability),
            "what the gate raises this evidence to; 1 is at its word".to_owned(),
        ),
        (
            "Evidence of one flash",
            format!("{least:+.1} to {most:+.1} nats").replace('-', "\u{2212}"),
            "log-likelihood ratio, bounded by the length of the calibration".to_owned(),
        ),
        (
            "Shrinkage",
            format!("{:.3}", eeg.lda.shrinkage),
            "Ledoit-Wolf; 0 keeps the covariance as measured".to_owned(),
        ),
    ] {
        put_row(page, name, &value, None, &bands);
    }
    page.push_str("</tbody>\n</table>\n");
    push_selection(page, &eeg.selection);

    if from_others.is_some() {
        page.push_str(&prior::no_response());
    } else {
        push_response(page, eeg, report)?;
    }
    page.push_str("<div class=\"pair\">\n");
    figure(
        page,
        &eeg_plots::roc(
            &roc(&report.scores, &report.labels)?,
            &roc_band(&report.scores, &report.labels, &report.fold, REPORT_SEED)?,
            eeg,
        )?,
        "ROC of held-out scores; the grey line is chance. Band: 95&nbsp;% at each false positive rate, by resampling whole folds, widened as the AUC's interval is.",
    );
    figure(
        page,
        &eeg_plots::reliability(&reliability_diagram(&report.p_target, &report.labels)?, eeg)?,
        &format!(
            "Reliability: on the grey line probabilities come true. Bars: 95&nbsp;% Wilson intervals; marks grow with the flashes in \
             a bin, and bins of fewer than {} are hollow and faint.",
            eeg_plots::BIN_FEW
        ),
    );
    page.push_str("</div>\n");
    figure(
        page,
        &eeg_plots::scores(&report.scores, &report.labels, eeg)?,
        &format!(
            "Held-out scores and the Student-t densities that turn them into evidence, fitted on those of all flashes, in doubt or not. {KEY}."
        ),
    );
    push_outlook(page, eeg, report)?;
    page.push_str("</section>\n");
    Ok(())
}

/// What became of the flashes that are fitted on but would bring no evidence.
fn doubted_in_words(report: &EegReport) -> String {
    if report.doubted == 0 {
        return String::new();
    }
    format!(
        " Figures and curves are of the {} flashes that would bring evidence in a session; {} in doubt are fitted on and counted nowhere \
         but where it says so.",
        report.scores.len(),
        report.doubted
    )
}

/// The average responses, and where on the head they are.
fn push_response(page: &mut String, eeg: &EegCalibration, report: &EegReport) -> Result<()> {
    let shown = eeg_plots::shown_channels(&report.erp, &eeg.lda.used).len();
    let in_use = eeg.lda.used.iter().filter(|used| **used).count();
    let note = if shown < in_use {
        format!(" The {shown} of {in_use} channels that differ most.")
    } else {
        String::new()
    };
    figure(
        page,
        &eeg_plots::erp(&report.erp, &eeg.labels, &eeg.lda.used)?,
        &format!(
            "Average response after the causal filter, bands: 95&nbsp;% confidence. {KEY}.{note}"
        ),
    );
    push_scalp(page, eeg, report)
}

/// Which scorers were compared, how each did on flashes it had not seen, and which was taken.
fn push_selection(page: &mut String, selection: &Selection) {
    page.push_str(
        "<h3>Scorers compared</h3>\n<table>\n<thead><tr><th scope=\"col\">scorer</th>\
         <th scope=\"col\">AUC, held out</th><th scope=\"col\">lead over the fusion</th></tr></thead>\n<tbody>\n",
    );
    for candidate in &selection.candidates {
        let lead = if candidate.kind == ScorerKind::Fusion || selection.compared_folds == 0 {
            "\u{2013}".to_owned()
        } else {
            let p = match candidate.kind {
                ScorerKind::Informed => String::new(),
                _ => format!(", p = {:.3}", candidate.p_value(selection.compared_folds)),
            };
            format!(
                "{:+.3} \u{b1} {:.3}{p}",
                candidate.lead, candidate.lead_error
            )
            .replace('-', "\u{2212}")
        };
        let taken = if candidate.kind == selection.picked {
            ", taken"
        } else {
            ""
        };
        page.push_str(&format!(
            "<tr><th scope=\"row\">{}{taken}</th><td>{:.3} \u{b1} {:.3}</td><td>{lead}</td></tr>\n",
            candidate.kind.name(),
            candidate.auc,
            candidate.standard_error,
        ));
    }
    page.push_str(&format!(
        "</tbody>\n</table>\n<p>Taken: {}.",
        selection.in_words()
    ));
    if selection.candidates.len() > 1 {
        page.push_str(&format!(
            " AUC over all flashes fitted on, with its standard error; lead: mean over the {} folds that have two flashes of either \
             class, its standard error, and the one-sided p of one test. Both errors allow for folds that share their training.",
            selection.compared_folds
        ));
    }
    page.push_str("</p>\n");
}

/// The smallest and the largest log-likelihood ratio that one flash can bring, reliability included, nats.
fn evidence_range(eeg: &EegCalibration) -> (f64, f64) {
    let (low, high) = eeg.density.trusted();
    let at = |score| eeg.reliability * eeg.density.llr(score).unwrap_or(0.0);
    (at(low), at(high))
}
