//! The gaze error map: where the person was told to look, and where the map says the eye was.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::canvas::{
    Area, Axes, Drawn, FAIR, GOOD, INK, MUTED, POOR, anchored, draw, line, nice_step, pos, ticks,
};
use super::grade::{Grade, grade_point};
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
    for point in &gaze.rejected {
        let (x, y) = point.target_deg;
        bounds = (
            bounds.0.min(x - 0.5),
            bounds.1.max(x + 0.5),
            bounds.2.min(y - 0.5),
            bounds.3.max(y + 0.5),
        );
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
    let two_eyes = gaze.left.is_some() && gaze.right.is_some();
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
            let colour = colour_of(point);
            axes.fill(area, &ellipse(point), colour.mix(0.16))?;
            axes.curve(area, &ellipse(point), line(colour.mix(0.7), 1.0))?;
            axes.curve(area, &[point.target_deg, point.gaze_deg], line(colour, 1.4))?;
            let (x, y) = axes.at(point.target_deg.0, point.target_deg.1);
            let arm = pos(6.0);
            let cross = line(INK, 1.4);
            area.draw(&PathElement::new(vec![(x - arm, y), (x + arm, y)], cross))?;
            area.draw(&PathElement::new(vec![(x, y - arm), (x, y + arm)], cross))?;
            let gaze_at = axes.at(point.gaze_deg.0, point.gaze_deg.1);
            let dot = if point.held_out {
                colour.filled()
            } else {
                line(colour, 1.4)
            };
            area.draw(&Circle::new(gaze_at, pos(3.2), dot))?;
        }
        for (eye, way) in [(&gaze.left, -1.0), (&gaze.right, 1.0)] {
            // One eye alone is what the dots show already.
            for point in eye.iter().filter(|_| two_eyes).flat_map(|eye| &eye.points) {
                triangle(area, axes.at(point.gaze_deg.0, point.gaze_deg.1), way)?;
            }
        }
        for point in &gaze.rejected {
            let (x, y) = axes.at(point.target_deg.0, point.target_deg.1);
            let (arm, stroke) = (pos(4.5), line(MUTED, 1.4));
            for way in [-1, 1] {
                let ends = vec![(x - arm, y - way * arm), (x + arm, y + way * arm)];
                area.draw(&PathElement::new(ends, stroke))?;
            }
        }
        // Figures last, and where nothing else is.
        let marks: Vec<Rect> = gaze.points.iter().map(|p| extent(&axes, p)).collect();
        let (from, to) = (axes.at(x0, y0), axes.at(x1, y1));
        let frame = Rect {
            left: from.0,
            top: from.1,
            right: to.0,
            bottom: to.1,
        };
        let places = free_places(&marks, (pos(24.0), pos(12.0)), frame);
        for (point, place) in gaze.points.iter().zip(places) {
            let style = anchored(10.0, INK, HPos::Center, VPos::Center);
            area.draw_text(&format!("{:.2}", point.error_deg), &style, place.centre())?;
        }
        Ok(())
    })
}

/// The colour of a point's grade.
fn colour_of(point: &PointResult) -> RGBColor {
    match grade_point(point.error_deg) {
        Grade::Good => GOOD,
        Grade::Fair => FAIR,
        Grade::Poor => POOR,
    }
}

/// A small triangle that points to the left (`way` -1) or to the right (1).
fn triangle(area: &Area<'_>, (x, y): (i32, i32), way: f64) -> Drawn {
    let tip = (x + pos(3.2 * way), y);
    let (back, half) = (x - pos(2.4 * way), pos(2.8));
    let outline = vec![tip, (back, y - half), (back, y + half), tip];
    area.draw(&PathElement::new(outline, line(MUTED, 1.0)))?;
    Ok(())
}

/// A rectangle in pixels drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rect {
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
}

impl Rect {
    fn around((x, y): (i32, i32), half_width: i32, half_height: i32) -> Self {
        Self {
            left: x - half_width,
            top: y - half_height,
            right: x + half_width,
            bottom: y + half_height,
        }
    }

    fn centre(&self) -> (i32, i32) {
        (
            i32::midpoint(self.left, self.right),
            i32::midpoint(self.top, self.bottom),
        )
    }

    fn with(&self, other: &Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    /// Area that two rectangles share.
    fn shared(&self, other: &Self) -> i64 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        i64::from(width.max(0)) * i64::from(height.max(0))
    }

    fn area(&self) -> i64 {
        self.shared(self)
    }
}

/// What a point's cross, dot and ellipse cover.
fn extent(axes: &Axes, point: &PointResult) -> Rect {
    let arm = pos(7.0);
    let cross = Rect::around(axes.at(point.target_deg.0, point.target_deg.1), arm, arm);
    ellipse(point)
        .into_iter()
        .map(|(x, y)| Rect::around(axes.at(x, y), pos(2.0), pos(2.0)))
        .fold(cross, |all, one| all.with(&one))
}

/// For each mark a rectangle of this size beside it that covers no mark, no other figure and nothing outside the frame; where
/// there is no such place, the one that covers least.
fn free_places(marks: &[Rect], (width, height): (i32, i32), frame: Rect) -> Vec<Rect> {
    let (half_width, half_height) = (width / 2, height / 2);
    let mut taken = marks.to_vec();
    let mut places = Vec::with_capacity(marks.len());
    for mark in marks {
        let (x, y) = mark.centre();
        let (left, right) = (mark.left - half_width, mark.right + half_width);
        let (above, below) = (mark.top - half_height, mark.bottom + half_height);
        let around = [
            (x, above),
            (x, below),
            (right, y),
            (left, y),
            (right, above),
            (left, above),
            (right, below),
            (left, below),
        ];
        let covered = |place: &Rect| -> i64 {
            let outside = place.area() - place.shared(&frame);
            outside + taken.iter().map(|other| place.shared(other)).sum::<i64>()
        };
        let candidates = around.map(|centre| Rect::around(centre, half_width, half_height));
        // `min_by_key` takes the first of equals: above, if that is free.
        let best = candidates.into_iter().min_by_key(covered);
        let place = best.unwrap_or(*mark);
        taken.push(place);
        places.push(place);
    }
    places
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
    fn figures_cover_neither_marks_nor_each_other_nor_leave_the_frame() {
        let frame = Rect {
            left: 0,
            top: 0,
            right: 400,
            bottom: 300,
        };
        let mut marks: Vec<Rect> = (0..12)
            .map(|i| Rect::around((60 + 90 * (i % 4), 50 + 100 * (i / 4)), 20, 15))
            .collect();
        // In a corner, and two that touch.
        marks.push(Rect::around((15, 12), 15, 12));
        marks.push(Rect::around((190, 150), 20, 15));
        let places = free_places(&marks, (30, 14), frame);
        for (index, place) in places.iter().enumerate() {
            assert_eq!(place.shared(&frame), place.area());
            let others = places.iter().enumerate().filter(|(i, _)| *i != index);
            let covered: i64 = marks
                .iter()
                .chain(others.map(|(_, other)| other))
                .map(|other| place.shared(other))
                .sum();
            assert_eq!(covered, 0, "{index}: {place:?}");
        }
    }

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
