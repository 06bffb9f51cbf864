//! The section of the gaze: where the map comes from, its errors, each eye, and each point.

use std::fmt::Write as _;

use super::gaze_plot;
use super::grade::{grade_accuracy, grade_loss, grade_point, grade_precision, grade_rate};
use super::markup::{escape, figure, open_table, put, put_row};
use crate::error::Result;
use crate::gaze::{EyeCalibration, GazeCalibration, GazeQuality, HeldOut, MapOrder};

pub(super) fn push_gaze(page: &mut String, gaze: &GazeCalibration) -> Result<()> {
    page.push_str("<section>\n<h2>Gaze</h2>\n");
    put!(page, "<p>{}</p>", origin(gaze));
    push_rejected(page, gaze);
    push_figures(page, gaze);
    push_eyes(page, gaze);
    let unused = if gaze.rejected.is_empty() {
        ""
    } else {
        " Slanted crosses: points that are not used."
    };
    let eyes = if gaze.left.is_some() && gaze.right.is_some() {
        " Small triangles: the left (◁) and the right eye (▷) alone."
    } else {
        ""
    };
    figure(
        page,
        &gaze_plot::error_map(gaze)?,
        &format!(
            "Where to look (crosses) and where the gaze was (dots; hollow where the map was fitted on the point), error in degrees beside \
             each pair; ellipses hold 95&nbsp;% of the samples.{unused}{eyes} <span class=\"key good\"></span>good, up to 1°&ensp;<span class=\"key \
             fair\"></span>fair, up to 1.5°&ensp;<span class=\"key poor\"></span>poor."
        ),
    );
    push_points(page, gaze);
    page.push_str("</section>\n");
    Ok(())
}

/// Where the map comes from, and what the accuracy is measured on.
fn origin(gaze: &GazeCalibration) -> String {
    let q = &gaze.quality;
    let judged = gaze.held_out_points();
    if gaze.calibrated {
        return format!(
            "The tracker is calibrated by itself: no map was fitted, its positions were taken as they are and only measured. Accuracy is \
             the error on all {judged} points."
        );
    }
    let map = match gaze.map.order {
        MapOrder::Affine => "affine",
        MapOrder::SecondOrder => "second-order",
    };
    let number = |deg: Option<f64>, none: &str| {
        deg.map_or_else(|| none.to_owned(), |deg| format!("{deg:.2}°"))
    };
    let affine = number(q.affine_deg, "none");
    let second = number(q.second_order_deg, "none (too few points)");
    let errors = format!("{affine} affine, {second} second-order");
    if let Some(pursuit) = &gaze.pursuit {
        return format!(
            "The {map} map was fitted on gaze that followed a moving target, {:.0} ms behind it; in {} of {} tenths of a second the eye \
             did not follow, and they were left out. It was chosen by its error on each eighth of the way by the map of the rest: \
             {errors}. Accuracy is the error on {judged} points that stood still, none of which took part.",
            1e3 * pursuit.lag_s,
            pursuit.not_followed,
            pursuit.windows
        );
    }
    let fitted = match q.held_out {
        HeldOut::LeaveOnePointOut => judged,
        HeldOut::CheckPoints | HeldOut::EveryPoint => gaze.points.len() - judged,
    };
    let accuracy = match q.held_out {
        HeldOut::CheckPoints | HeldOut::EveryPoint => format!(
            "Accuracy is the error on {judged} check points, which took part neither in the fit nor in this choice."
        ),
        HeldOut::LeaveOnePointOut => format!(
            "There were no check points: accuracy is this same error on {judged} points, a little too good because the map was \
             chosen by it."
        ),
    };
    format!(
        "The {map} map was chosen by its error on the {fitted} fit points, each by the map of the others: {errors}. {accuracy}"
    )
}

fn push_rejected(page: &mut String, gaze: &GazeCalibration) {
    if gaze.rejected.is_empty() {
        return;
    }
    page.push_str("<ul>\n");
    for point in &gaze.rejected {
        put!(page, "<li>{}</li>", escape(&point.in_words()));
    }
    page.push_str("</ul>\n");
}

fn push_figures(page: &mut String, gaze: &GazeCalibration) {
    let q = &gaze.quality;
    open_table(page);
    put_row(
        page,
        "Accuracy (mean error)",
        &accuracy(q, gaze.held_out_points()),
        Some(grade_accuracy(q)),
        "good up to 1° and 1.5° at worst, fair up to 1.5° and 2° (SR Research's for a validation; an aim is 0.5°)",
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
    put_row(
        page,
        "Effective rate",
        &rate(q),
        grade_rate(q),
        "valid samples per second; good when the stamps keep the declared rate to 2 %",
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
}

fn accuracy(q: &GazeQuality, n: usize) -> String {
    let median = q
        .median_deg
        .map_or_else(String::new, |deg| format!(", median {deg:.2}°"));
    format!(
        "{:.2}°{median}, worst {:.2}°, n = {n}",
        q.accuracy_deg, q.worst_deg
    )
}

fn rate(q: &GazeQuality) -> String {
    let stamped = q.stamped_rate_hz.map_or_else(String::new, |hz| {
        let declared = q
            .declared_rate_hz
            .map_or_else(String::new, |hz| format!(", {hz:.0} declared"));
        format!(" of {hz:.0} Hz{declared}")
    });
    format!("{:.0}{stamped}", q.rate_hz)
}

fn push_eyes(page: &mut String, gaze: &GazeCalibration) {
    if gaze.left.is_none() && gaze.right.is_none() {
        return;
    }
    page.push_str(
        "<table>\n<caption>Each eye alone; the figures above are of both together</caption>\n<thead><tr><th scope=\"col\">Eye</th>\
         <th scope=\"col\" class=\"number\">Accuracy</th><th scope=\"col\">Grade</th><th scope=\"col\" class=\"number\">SD</th>\
         <th scope=\"col\" class=\"number\">RMS</th><th scope=\"col\" class=\"number\">Loss</th>\
         <th scope=\"col\" class=\"number\">Rate</th></tr></thead>\n<tbody>\n",
    );
    for (name, eye) in [("left", &gaze.left), ("right", &gaze.right)] {
        match eye {
            Some(eye) => put_eye(page, name, eye),
            None => {
                put!(
                    page,
                    "<tr><th scope=\"row\">{name}</th><td colspan=\"6\">could not be calibrated; the other eye stands in</td></tr>"
                );
            }
        }
    }
    page.push_str("</tbody>\n</table>\n");
}

fn put_eye(page: &mut String, name: &str, eye: &EyeCalibration) {
    let q = &eye.quality;
    let judged = eye.points.iter().filter(|point| point.held_out).count();
    put!(
        page,
        "<tr><th scope=\"row\">{name}</th><td class=\"number\">{}</td><td><span class=\"mark {1}\">{1}</span></td>\
         <td class=\"number\">{2:.2}°</td><td class=\"number\">{3:.2}°</td><td class=\"number\">{4:.1} %</td>\
         <td class=\"number\">{5:.0} Hz</td></tr>",
        accuracy(q, judged),
        grade_accuracy(q).word(),
        q.precision_sd_deg,
        q.rms_s2s_deg,
        100.0 * q.data_loss,
        q.rate_hz
    );
}

fn push_points(page: &mut String, gaze: &GazeCalibration) {
    page.push_str(
        "<table>\n<caption>Point by point, degrees</caption>\n<thead><tr><th scope=\"col\" class=\"number\">Target</th>\
         <th scope=\"col\" class=\"number\">Gaze</th><th scope=\"col\" class=\"number\">Error</th>\
         <th scope=\"col\">Grade</th><th scope=\"col\" class=\"number\">SD</th><th scope=\"col\" class=\"number\">Samples</th>\
         <th scope=\"col\">Held out</th></tr></thead>\n<tbody>\n",
    );
    for p in &gaze.points {
        put!(
            page,
            "<tr><td class=\"number\">{:.1}, {:.1}</td><td class=\"number\">{:.2}, {:.2}</td><td class=\"number\">{:.2}</td>\
             <td><span class=\"mark {g}\">{g}</span></td><td class=\"number\">{:.2}</td><td class=\"number\">{}</td><td>{}</td></tr>",
            p.target_deg.0,
            p.target_deg.1,
            p.gaze_deg.0,
            p.gaze_deg.1,
            p.error_deg,
            (p.spread_deg2.0 + p.spread_deg2.1).sqrt(),
            p.samples,
            if p.held_out { "yes" } else { "no" },
            g = grade_point(p.error_deg).word()
        );
    }
    page.push_str("</tbody>\n</table>\n");
}
