//! Where each part of the view stands, and how a part is framed.

use eframe::egui::{
    Align2, Color32, CornerRadius, FontId, Pos2, Rect, Stroke, StrokeKind, Ui, UiBuilder, Vec2,
    pos2, vec2,
};

use crate::view::window::theme::{Theme, paint};

/// Height of the bar with the buttons, points.
const BAR: f32 = 40.0;
/// Between two parts, points.
const GAP: f32 = 6.0;
/// Height of a part's title, points.
const TITLE: f32 = 20.0;
/// Share of the height below the bar that the upper parts take.
const UPPER: f32 = 0.66;
/// Share of the width that the EEG takes.
const EEG: f32 = 0.58;

/// The rectangles of all parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Places {
    pub(super) bar: Rect,
    pub(super) eeg: Rect,
    pub(super) posterior: Rect,
    pub(super) gaze: Rect,
    pub(super) text: Rect,
    pub(super) spectrum: Rect,
    pub(super) latency: Rect,
    pub(super) protocol: Rect,
    pub(super) state: Rect,
    pub(super) streams: Rect,
}

impl Places {
    /// Parts of a window of this rectangle.
    pub(super) fn within(whole: Rect) -> Self {
        let whole = whole.shrink(GAP);
        let rect =
            |x: (f32, f32), y: (f32, f32)| Rect::from_min_max(pos2(x.0, y.0), pos2(x.1, y.1));
        let bar = rect(
            (whole.left(), whole.right()),
            (whole.top(), whole.top() + BAR),
        );
        let top = bar.bottom() + GAP;
        let middle = top + UPPER * (whole.bottom() - top);
        let split = whole.left() + EEG * whole.width();
        let right = (split + GAP, whole.right());
        let third = (middle - top - 2.0 * GAP) / 3.0;
        let row = |n: f32, height: f32| {
            let from = top + n * (third + GAP);
            (from, from + height)
        };
        let low = (middle + GAP, whole.bottom());
        // Spectrum, latency, protocol with the state below it, streams.
        let shares = [0.26, 0.28, 0.22, 0.24];
        let mut at = whole.left();
        let columns = shares.map(|share| {
            let width = share * (whole.width() - 3.0 * GAP);
            let from = at;
            at += width + GAP;
            (from, from + width)
        });
        let waist = low.0 + 0.35 * (low.1 - low.0);
        Self {
            bar,
            eeg: rect((whole.left(), split), (top, middle)),
            posterior: rect(right, row(0.0, third)),
            gaze: rect(right, row(1.0, third)),
            text: rect(right, (row(2.0, third).0, middle)),
            spectrum: rect(columns[0], low),
            latency: rect(columns[1], low),
            protocol: rect(columns[2], (low.0, waist)),
            state: rect(columns[2], (waist + GAP, low.1)),
            streams: rect(columns[3], low),
        }
    }
}

/// Frames a part and says what it is, on a window that is cleared to the colour of tiles; gives the room inside.
pub(super) fn part(ui: &Ui, theme: &Theme, rect: Rect, title: &str) -> Rect {
    let painter = ui.painter().with_clip_rect(rect);
    // The window is cleared to the parts' colour, and what lies between them is drawn: a software renderer pays for every pixel.
    let between = Stroke::new(GAP, paint(theme.background));
    ui.painter()
        .rect_stroke(rect, CornerRadius::ZERO, between, StrokeKind::Outside);
    let at = rect.left_top() + vec2(8.0, 3.0);
    let colour = paint(theme.prompt);
    painter.text(
        at,
        Align2::LEFT_TOP,
        title,
        FontId::proportional(13.0),
        colour,
    );
    Rect::from_min_max(rect.left_top() + vec2(0.0, TITLE), rect.right_bottom())
        .shrink2(vec2(8.0, 4.0))
}

/// Adds widgets within a rectangle; what has no room is cut off.
pub(super) fn inside<T>(ui: &mut Ui, rect: Rect, add: impl FnOnce(&mut Ui) -> T) -> T {
    ui.scope_builder(UiBuilder::new().max_rect(rect), |ui| {
        ui.set_clip_rect(rect);
        add(ui)
    })
    .inner
}

/// Lines of a name and what is to be said of it, from the top of a rectangle; those that find no room are left out.
pub(super) struct Lines<'a> {
    ui: &'a Ui,
    rect: Rect,
    at: Pos2,
    size: f32,
    theme: &'a Theme,
}

impl<'a> Lines<'a> {
    pub(super) fn new(ui: &'a Ui, theme: &'a Theme, rect: Rect) -> Self {
        Self {
            ui,
            rect,
            at: rect.left_top(),
            size: 13.0,
            theme,
        }
    }

    /// A line: its name to the left, its value to the right.
    pub(super) fn line(&mut self, name: &str, value: &str, colour: Color32) {
        self.cells(
            &[(0.0, Align2::LEFT_TOP, name, paint(self.theme.prompt))],
            0.0,
        );
        self.cells(&[(1.0, Align2::RIGHT_TOP, value, colour)], 1.0);
    }

    /// Text at shares of the width; `step` lines further afterwards.
    pub(super) fn cells(&mut self, cells: &[(f32, Align2, &str, Color32)], step: f32) {
        let height = 1.35 * self.size;
        if self.at.y + self.size > self.rect.bottom() {
            return;
        }
        let painter = self.ui.painter().with_clip_rect(self.rect);
        for (share, align, text, colour) in cells {
            let at = self.at + vec2(share * self.rect.width(), 0.0);
            painter.text(at, *align, text, FontId::proportional(self.size), *colour);
        }
        self.at += Vec2::new(0.0, step * height);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_lies_over_another_one_or_outside_the_window() {
        for size in [
            vec2(1_280.0, 800.0),
            vec2(900.0, 560.0),
            vec2(2_560.0, 1_440.0),
        ] {
            let whole = Rect::from_min_size(pos2(0.0, 0.0), size);
            let p = Places::within(whole);
            let all = [
                p.bar,
                p.eeg,
                p.posterior,
                p.gaze,
                p.text,
                p.spectrum,
                p.latency,
                p.protocol,
                p.state,
                p.streams,
            ];
            for (number, one) in all.iter().enumerate() {
                assert!(whole.contains_rect(*one), "{number} of {size}");
                assert!(
                    one.width() > 40.0 && one.height() > 30.0,
                    "{number} of {size}: {one:?}"
                );
                for other in &all[number + 1..] {
                    assert!(!one.shrink(0.5).intersects(*other), "{one:?} {other:?}");
                }
            }
        }
    }
}
