//! The section of the gaze: which map was chosen, its errors, and each point.

use std::fmt::Write as _;

use super::gaze_plot;
use super::grade::{grade_accuracy, grade_loss, grade_precision};
use super::markup::{figure, open_table, put, put_row};
use crate::error::Result;
use crate::gaze::{GazeCalibration, HeldOut, MapOrder};

pub(super) fn push_gaze(page: &mut String, gaze: &GazeCalibration) -> Result<()> {
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
