//! A square for a photodiode, in a corner of the picture.

use eframe::egui::{Color32, CornerRadius, Painter, Rect, pos2, vec2};

use super::draw::Picture;
use crate::config::{Corner, PatchSection, ScreenSection};

/// Draws it: white or black.
pub(super) fn draw(
    painter: &Painter,
    whole: Rect,
    patch: &PatchSection,
    screen: &ScreenSection,
    white: bool,
) {
    let Some(corner) = patch.corner else {
        return;
    };
    let colour = if white {
        Color32::WHITE
    } else {
        Color32::BLACK
    };
    let rect = place(&Picture::within(whole, screen), corner, patch.size_cm);
    painter.rect_filled(rect, CornerRadius::ZERO, colour);
}

/// Where it lies: it touches both edges of its corner, where a diode is taped most easily.
pub(super) fn place(picture: &Picture, corner: Corner, size_cm: f64) -> Rect {
    let rect = picture.rect();
    let side = picture.of_cm(size_cm);
    let (right, bottom) = match corner {
        Corner::TopLeft => (false, false),
        Corner::TopRight => (true, false),
        Corner::BottomLeft => (false, true),
        Corner::BottomRight => (true, true),
    };
    let x = if right {
        rect.right() - side
    } else {
        rect.left()
    };
    let y = if bottom {
        rect.bottom() - side
    } else {
        rect.top()
    };
    Rect::from_min_size(pos2(x, y), vec2(side, side))
}
