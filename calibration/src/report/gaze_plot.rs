//! The gaze error map: where the person was told to look, and where the map says the eye was.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::canvas::{Axes, INK, MUTED, OTHER, TARGET, anchored, draw, line, nice_step, pos, ticks};
use crate::error::Result;
use crate::gaze::{GazeCalibration, PointResult};

/// Square root of the 95 % quantile of chi-square with two degrees of freedom.
const ELLIPSE_95: f64 = 2.447_746_830_680_816;
/// Width of the plot, pixels shown.
const WIDTH: f64 = 912.0;

/// Targets as crosses, mapped medians as dots, ellipses that hold 95 % of the samples; degrees, y down, equal scales.
pub(super) fn error_map(gaze: &GazeCalibration) -> Result<String> {
    let mut bounds = (-1.0_f64, 1.0_f64, -1.0_f64, 1.0_f64);
    for point in &gaze.points {
        let radius = ELLIPSE_95 * (point.spread_deg2.0 + point.spread_deg2.1).sqrt();
        for (x, y) in [point.target_deg, point.gaze_deg] {
            let r = radius.min(5.0) + 0.5;
            bounds = (
                bounds.0.min(x - r),
                bounds.1.max(x + r),
                bounds.2.min(y - r),
                bounds.3.max(y + r),
            );
        }
    }
    let (x0, x1, y0, y1) = bounds;
    let (left, top, right) = (52.0, 34.0, WIDTH - 16.0);
    let inner_width: f64 = right - left;
    // One degree is as long upwards as sideways, within what fits on a page.
    let inner_height = (inner_width * (y1 - y0) / (x1 - x0)).clamp(160.0, 620.0);
    let scale = ((x1 - x0) / inner_width).max((y1 - y0) / inner_height);
    let grow = |a: f64, b: f64, size: f64| {
        let half = scale * size / 2.0;
        ((a + b) / 2.0 - half, (a + b) / 2.0 + half)
    };
    let (x0, x1) = grow(x0, x1, inner_width);
    let (y0, y1) = grow(y0, y1, inner_height);
    let size = (WIDTH as u32, (inner_height + 90.0) as u32);
    let described = format!(
        "Gaze error map: {} points, mean held-out error {:.2} degrees",
        gaze.points.len(),
        gaze.quality.accuracy_deg
    );
    draw("gaze error map", &described, size, |area| {
        // Downwards is positive, as on the screen.
        let axes = Axes::new((x0, x1), (y1, y0), (left, top, right, top + inner_height));
        let step = nice_step(x1 - x0, 10.0);
        axes.grid(
            area,
            (&ticks(x0, x1, step), step),
            (&ticks(y0, y1, step), step),
            11.0,
        )?;
        axes.titles(area, "degrees to the right", "degrees down", 12.0)?;
        for point in &gaze.points {
            let colour = if point.held_out { TARGET } else { OTHER };
            axes.fill(area, &ellipse(point), colour.mix(0.16))?;
            axes.curve(area, &ellipse(point), line(colour.mix(0.7), 1.0))?;
            axes.curve(area, &[point.target_deg, point.gaze_deg], line(colour, 1.4))?;
            let (x, y) = axes.at(point.target_deg.0, point.target_deg.1);
            let arm = pos(6.0);
            let cross = line(INK, 1.4);
            area.draw(&PathElement::new(vec![(x - arm, y), (x + arm, y)], cross))?;
            area.draw(&PathElement::new(vec![(x, y - arm), (x, y + arm)], cross))?;
            let gaze_at = axes.at(point.gaze_deg.0, point.gaze_deg.1);
            area.draw(&Circle::new(gaze_at, pos(3.2), colour.filled()))?;
            let style = anchored(10.0, MUTED, HPos::Left, VPos::Bottom);
            area.draw_text(
                &format!("{:.2}", point.error_deg),
                &style,
                (x + pos(7.0), y - pos(5.0)),
            )?;
        }
        Ok(())
    })
}

/// The closed outline that holds 95 % of a point's samples.
fn ellipse(point: &PointResult) -> Vec<(f64, f64)> {
    let (xx, yy, xy) = point.spread_deg2;
    // Eigenvalues of the two-by-two covariance and the direction of the larger.
    let (half, difference) = ((xx + yy) / 2.0, (xx - yy) / 2.0);
    let root = difference.hypot(xy);
    let (long, short) = ((half + root).max(0.0).sqrt(), (half - root).max(0.0).sqrt());
    let (sin, cos) = (0.5 * xy.atan2(difference)).sin_cos();
    (0..=48)
        .map(|i| {
            let (s, c) = (f64::from(i) / 48.0 * std::f64::consts::TAU).sin_cos();
            let (u, v) = (ELLIPSE_95 * long * c, ELLIPSE_95 * short * s);
            (
                point.gaze_deg.0 + u * cos - v * sin,
                point.gaze_deg.1 + u * sin + v * cos,
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ellipse_has_the_axes_of_the_covariance() {
        let point = PointResult {
            target_deg: (0.0, 0.0),
            gaze_deg: (1.0, 2.0),
            error_deg: 0.0,
            spread_deg2: (4.0, 1.0, 0.0),
            samples: 10,
            held_out: true,
        };
        let outline = ellipse(&point);
        let widest = outline
            .iter()
            .map(|p| (p.0 - 1.0).abs())
            .fold(0.0, f64::max);
        let highest = outline
            .iter()
            .map(|p| (p.1 - 2.0).abs())
            .fold(0.0, f64::max);
        assert!((widest - 2.0 * ELLIPSE_95).abs() < 1e-9);
        assert!((highest - ELLIPSE_95).abs() < 1e-9);
    }
}
