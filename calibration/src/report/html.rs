//! The page: verdict first, then facts, EEG, gaze, tables. One file, nothing loaded from elsewhere, no scripts.

use std::fmt::Write as _;

use super::grade::{
    Grade, grade_accuracy, grade_auc, grade_ece, grade_eeg, grade_gaze, grade_loss, grade_precision,
};
use super::outlook::{push_outlook, push_scalp};
use super::parameters::push_parameters;
use super::signal::{channel_name, push_signal};
use super::{eeg_plots, gaze_plot, prior};
use crate::choice::Selection;
use crate::error::Result;
use crate::gaze::{GazeCalibration, HeldOut, MapOrder};
use crate::metrics::{reliability_diagram, roc};
use crate::model::ScorerKind;
use crate::profile::{EegCalibration, Profile};
use crate::resample::{REPORT_SEED, roc_band};
use crate::session::{EegReport, ReportInput};

const STYLE: &str = include_str!("report.css");

/// Text for HTML and for attributes in double quotes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() && c != '\n' => {}
            c => out.push(c),
        }
    }
    out
}

/// The whole report.
///
/// # Errors
/// [`crate::CalibrationError::Plot`], or what the metrics say of scores that do not belong to the profile.
pub fn render(profile: &Profile, input: &ReportInput) -> Result<String> {
    let mut page = String::with_capacity(256 * 1024);
    page.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.push_str("<meta name=\"color-scheme\" content=\"light dark\">\n");
    page.push_str("<title>Razvilka: calibration report</title>\n<style>\n");
    page.push_str(STYLE);
    page.push_str("</style>\n</head>\n<body>\n<main>\n<h1>Calibration report</h1>\n");
    push_verdict(&mut page, profile);
    push_facts(&mut page, profile, input);
    if let (Some(calibration), Some(report)) = (&profile.eeg, &input.eeg) {
        push_eeg(&mut page, calibration, report)?;
        push_signal(&mut page, &calibration.labels, report.signal.as_ref());
    }
    if let Some(gaze) = &profile.gaze {
        push_gaze(&mut page, gaze)?;
    }
    push_parameters(&mut page, profile)?;
    page.push_str("<footer><p>Not a medical device. Neural and gaze data are health data: keep this file private.</p></footer>\n");
    page.push_str("</main>\n</body>\n</html>\n");
    Ok(page)
}

/// Writing to a `String` cannot fail; this keeps the call sites short.
macro_rules! put {
    ($page:expr, $($arg:tt)*) => { let _ = writeln!($page, $($arg)*); };
}

fn push_verdict(page: &mut String, profile: &Profile) {
    page.push_str("<section class=\"verdict\" aria-label=\"Verdict\">\n");
    if let Some(eeg) = &profile.eeg {
        let grade = grade_eeg(eeg);
        let meaning = match grade {
            Grade::Good => "Flashes of the attended option can be told from the others well.",
            Grade::Fair => {
                "The response is there, but weak or roughly calibrated: expect more repetitions per choice."
            }
            Grade::Poor if eeg.reliability == 0.0 => {
                "The response cannot be told from chance. EEG evidence has been switched off (reliability 0)."
            }
            Grade::Poor => {
                "The response is too weak to rely on. Check electrodes and attention, then calibrate again."
            }
        };
        let auc = eeg.metrics.auc;
        let auc = format!(
            "AUC {:.3} (95 % interval {:.2}–{:.2})",
            auc.value, auc.ci_low, auc.ci_high
        );
        match prior::judged_on_others(eeg) {
            Some(prior) => put_card(
                page,
                "P300, expected",
                grade,
                &format!("{auc} expected"),
                &format!("{} {meaning}", prior::verdict_in_words(prior)),
            ),
            None => put_card(page, "P300", grade, &auc, meaning),
        }
    }
    if let Some(gaze) = &profile.gaze {
        let grade = grade_gaze(&gaze.quality);
        let meaning = match grade {
            Grade::Good => "Gaze tells neighbouring options apart.",
            Grade::Fair => "Gaze is usable; keep options well apart.",
            Grade::Poor => {
                "Gaze is too far off, too noisy or too often lost. Check the tracker, then calibrate again."
            }
        };
        let value = format!("{:.2}° mean error", gaze.quality.accuracy_deg);
        put_card(page, "Gaze", grade, &value, meaning);
    }
    page.push_str("</section>\n");
}

fn put_card(page: &mut String, what: &str, grade: Grade, value: &str, meaning: &str) {
    put!(
        page,
        "<div class=\"card {0}\"><h2>{what}: {0}</h2><p class=\"figure\">{1}</p><p>{2}</p></div>",
        grade.word(),
        escape(value),
        escape(meaning)
    );
}

fn push_facts(page: &mut String, profile: &Profile, input: &ReportInput) {
    page.push_str("<section>\n<h2>Facts</h2>\n<dl>\n");
    let mut fact = |name: &str, value: &str| {
        put!(page, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
    };
    fact("Fitted", &profile.provenance.created_utc);
    fact("By", &profile.provenance.software);
    for source in &profile.provenance.sources {
        let short: String = source.sha256.chars().take(16).collect();
        fact("Recording", &format!("{} (sha256 {short}…)", source.name));
    }
    if let Some(eeg) = &profile.eeg {
        fact("EEG", &eeg.montage().to_string());
        let unused = eeg.lda.used.iter().enumerate().filter(|(_, used)| !**used);
        let unused: Vec<String> = unused
            .map(|(channel, _)| channel_name(&eeg.labels, channel))
            .collect();
        if !unused.is_empty() {
            fact("Channels left out", &unused.join(", "));
        }
        fact("Filter", &filter_in_words(eeg));
        let m = &eeg.metrics;
        let (rejected, doubted) = input
            .eeg
            .as_ref()
            .map_or((0, 0), |report| (report.rejected, report.doubted));
        if let Some(prior) = prior::judged_on_others(eeg) {
            fact(
                "Flashes",
                &format!(
                    "{} without a label, {rejected} left out; the figures are of {} flashes of other people, 1 in {:.1} a target",
                    prior.unlabelled,
                    m.epochs,
                    1.0 / eeg.base_rate
                ),
            );
        } else {
            fact(
                "Flashes",
                &format!(
                    "{} fitted on (1 in {:.1} a target), {rejected} left out, {} runs; {} of them would bring evidence in a session ({} \
                     targets), {doubted} are in doubt",
                    m.epochs + doubted,
                    1.0 / eeg.base_rate,
                    m.runs,
                    m.epochs,
                    m.targets
                ),
            );
        }
        for (name, value) in eeg.prior.iter().flat_map(|used| prior::facts(used, false)) {
            fact(name, &value);
        }
    }
    if let Some(gaze) = &profile.gaze {
        let q = &gaze.quality;
        fact(
            "Gaze",
            &format!(
                "{} points used, {} without enough samples, {:.0} valid samples per second",
                q.points_used, q.points_rejected, q.rate_hz
            ),
        );
    }
    page.push_str("</dl>\n</section>\n");
}

fn filter_in_words(eeg: &EegCalibration) -> String {
    let path = &eeg.path;
    let band = path.band.map_or_else(
        || "no band-pass".to_owned(),
        |band| {
            format!(
                "causal Butterworth band-pass {}–{} Hz, order {}",
                band.low.get(),
                band.high.get(),
                band.order
            )
        },
    );
    let notch = path
        .notch
        .map_or_else(String::new, |n| format!(", notch {} Hz", n.centre.get()));
    format!("{band}{notch}; epoch of {} s", path.epoch.length.get())
}

/// A row of a table of figures: name, value, grade and bands.
fn put_row(page: &mut String, name: &str, value: &str, grade: Option<Grade>, bands: &str) {
    let cell = grade.map_or_else(String::new, |g| {
        format!("<span class=\"mark {0}\">{0}</span>", g.word())
    });
    put!(
        page,
        "<tr><th scope=\"row\">{}</th><td class=\"number\">{}</td><td>{cell}</td><td class=\"bands\">{}</td></tr>",
        escape(name),
        escape(value),
        escape(bands)
    );
}

fn open_table(page: &mut String) {
    page.push_str(
        "<table>\n<thead><tr><th scope=\"col\">Figure</th><th scope=\"col\" class=\"number\">Value</th>\
         <th scope=\"col\">Grade</th><th scope=\"col\">Bands</th></tr></thead>\n<tbody>\n",
    );
}

/// A plot with what is to be said of it, which is HTML already.
pub(super) fn figure(page: &mut String, svg: &str, caption: &str) {
    put!(
        page,
        "<figure>{svg}<figcaption>{caption}</figcaption></figure>"
    );
}

/// The colour key of the EEG plots.
const KEY: &str =
    "<span class=\"key target\"></span>target&ensp;<span class=\"key other\"></span>non-target";

fn push_eeg(page: &mut String, eeg: &EegCalibration, report: &EegReport) -> Result<()> {
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

fn push_gaze(page: &mut String, gaze: &GazeCalibration) -> Result<()> {
    let q = &gaze.quality;
    page.push_str("<section>\n<h2>Gaze</h2>\n");
    let judged = gaze.held_out_points();
    let fitted = match q.held_out {
        HeldOut::CheckPoints => gaze.points.len() - judged,
        HeldOut::LeaveOnePointOut => judged,
    };
    let accuracy = match q.held_out {
        HeldOut::CheckPoints => format!(
            "Accuracy is the error on {judged} check points, which took part neither in the fit nor in this choice."
        ),
        HeldOut::LeaveOnePointOut => format!(
            "There were no check points: accuracy is this same error on {judged} points, a little too good because the map was \
             chosen by it."
        ),
    };
    let map = match gaze.map.order {
        MapOrder::Affine => "affine",
        MapOrder::SecondOrder => "second-order",
    };
    let second = q
        .second_order_deg
        .map_or("none (too few points)".to_owned(), |e| format!("{e:.2}°"));
    put!(
        page,
        "<p>The {map} map was chosen by its error on the {fitted} fit points, each by the map of the others: {:.2}° affine, {second} \
         second-order. {accuracy}</p>",
        q.affine_deg
    );
    open_table(page);
    put_row(
        page,
        "Accuracy (mean error)",
        &format!(
            "{:.2}°, worst {:.2}°, n = {judged}",
            q.accuracy_deg, q.worst_deg
        ),
        Some(grade_accuracy(q)),
        "good up to 1°, fair up to 2°",
    );
    put_row(
        page,
        "Precision (SD)",
        &format!("{:.2}°", q.precision_sd_deg),
        Some(grade_precision(q)),
        "good up to 0.5°, fair up to 1°",
    );
    put_row(
        page,
        "Data loss",
        &format!("{:.1} %", 100.0 * q.data_loss),
        Some(grade_loss(q)),
        "good up to 10 %, fair up to 25 %",
    );
    for (name, value, bands) in [
        (
            "Precision (RMS, sample to sample)",
            format!("{:.2}°", q.rms_s2s_deg),
            "noise of the tracker alone",
        ),
        (
            "Error model",
            format!(
                "SD {:.2}° × {:.2}°, {:.1} % outliers",
                gaze.error.sd_x_deg,
                gaze.error.sd_y_deg,
                100.0 * gaze.error.outlier_share
            ),
            "offset and noise together, across × down; what option likelihoods use",
        ),
        (
            "Reliability",
            format!("{:.2}", gaze.reliability),
            "what the gate raises 100 ms of gaze evidence to",
        ),
    ] {
        put_row(page, name, &value, None, bands);
    }
    page.push_str("</tbody>\n</table>\n");
    figure(
        page,
        &gaze_plot::error_map(gaze)?,
        "Where to look (crosses) and where the map puts the eye (dots), error in degrees beside each pair; ellipses hold 95&nbsp;% of the \
         samples. <span class=\"key target\"></span>held out&ensp;<span class=\"key other\"></span>used for the fit.",
    );
    push_points(page, gaze);
    page.push_str("</section>\n");
    Ok(())
}

fn push_points(page: &mut String, gaze: &GazeCalibration) {
    page.push_str(
        "<table>\n<caption>Point by point, degrees</caption>\n<thead><tr><th scope=\"col\" class=\"number\">Target</th>\
         <th scope=\"col\" class=\"number\">Gaze</th><th scope=\"col\" class=\"number\">Error</th>\
         <th scope=\"col\" class=\"number\">SD</th><th scope=\"col\" class=\"number\">Samples</th>\
         <th scope=\"col\">Held out</th></tr></thead>\n<tbody>\n",
    );
    for p in &gaze.points {
        put!(
            page,
            "<tr><td class=\"number\">{:.1}, {:.1}</td><td class=\"number\">{:.2}, {:.2}</td><td class=\"number\">{:.2}</td>\
             <td class=\"number\">{:.2}</td><td class=\"number\">{}</td><td>{}</td></tr>",
            p.target_deg.0,
            p.target_deg.1,
            p.gaze_deg.0,
            p.gaze_deg.1,
            p.error_deg,
            (p.spread_deg2.0 + p.spread_deg2.1).sqrt(),
            p.samples,
            if p.held_out { "yes" } else { "no" }
        );
    }
    page.push_str("</tbody>\n</table>\n");
}
