//! The page: verdict first, then facts, EEG, gaze, tables. One file, nothing loaded from elsewhere, no scripts.

use std::fmt::Write as _;

use super::eeg::push_eeg;
use super::gaze::push_gaze;
use super::grade::{Grade, grade_accuracy, grade_eeg, grade_gaze, grade_loss, grade_precision};
use super::markup::{escape, put};
use super::parameters::push_parameters;
use super::prior;
use super::signal::{channel_name, push_signal};
use crate::GazeQuality;
use crate::error::Result;
use crate::profile::{EegCalibration, Profile};
use crate::session::ReportInput;

const STYLE: &str = include_str!("report.css");

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
        let meaning = gaze_in_words(&gaze.quality);
        let value = format!("{:.2}° mean error", gaze.quality.accuracy_deg);
        put_card(page, "Gaze", grade, &value, &meaning);
    }
    page.push_str("</section>\n");
}

/// What the grade of gaze means, by the figures that made it no better.
fn gaze_in_words(quality: &GazeQuality) -> String {
    let grade = grade_gaze(quality);
    if grade == Grade::Good {
        return "Gaze tells neighbouring options apart.".into();
    }
    let told = [
        (
            grade_accuracy(quality),
            "it is off target: keep options well apart, or calibrate again with the head still",
        ),
        (
            grade_precision(quality),
            "it is noisy: keep options large, and check light and lenses",
        ),
        (
            grade_loss(quality),
            "the eyes are often not seen: check position, light, lids and lenses",
        ),
    ];
    let told = told.into_iter().filter(|(of, _)| *of == grade);
    let told: Vec<&str> = told.map(|(_, words)| words).collect();
    let usable = match grade {
        Grade::Poor => "not good enough",
        _ => "usable",
    };
    format!("Gaze is {usable}; {}.", told.join("; "))
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
                "{} points used, {} not used, {:.0} valid samples per second",
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
