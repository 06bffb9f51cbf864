//! Text that is made to fit: as large as there is room, never so small that nobody could read it, and then cut with an ellipsis.

use std::sync::Arc;

use eframe::egui::text::{LayoutJob, TextFormat, TextWrapping};
use eframe::egui::{Align, Color32, FontId, Galley, Painter, Vec2};

/// By how much a text that does not fit is made smaller before it is tried again.
const STEP: f32 = 0.92;

/// Text that was fitted.
pub struct Fitted {
    /// As it is painted: centred lines, no wider or higher than the room.
    pub galley: Arc<Galley>,
    /// Its size, points.
    pub size: f32,
}

/// Sets `text` into `room`, between `least` and `wish` points high. Words stay whole as long as they can.
#[must_use]
pub fn fit(
    painter: &Painter,
    text: &str,
    colour: Color32,
    (least, wish): (f32, f32),
    room: Vec2,
) -> Fitted {
    let mut size = wish.max(least);
    loop {
        let last = size <= least;
        let galley = painter.layout_job(job(text, colour, size, room, last));
        let fits = galley.rect.width() <= room.x
            && galley.rect.height() <= room.y
            && (last || widest_word(painter, text, size) <= room.x);
        if fits || last {
            return Fitted { galley, size };
        }
        size = (size * STEP).max(least);
    }
}

fn job(text: &str, colour: Color32, size: f32, room: Vec2, last: bool) -> LayoutJob {
    let format = TextFormat::simple(FontId::proportional(size), colour);
    let mut job = LayoutJob::single_section(text.to_owned(), format);
    job.halign = Align::Center;
    job.break_on_newline = true;
    job.wrap = TextWrapping {
        max_width: room.x,
        // At the smallest size as many lines as there is room for: DejaVu's lines are 1.17 of their size.
        max_rows: if last {
            ((room.y / (1.17 * size)).floor() as usize).max(1)
        } else {
            usize::MAX
        },
        break_anywhere: false,
        overflow_character: Some('…'),
    };
    job
}

fn widest_word(painter: &Painter, text: &str, size: f32) -> f32 {
    let font = FontId::proportional(size);
    text.split_whitespace()
        .map(|word| {
            let word = word.to_owned();
            let set = painter.layout_no_wrap(word, font.clone(), Color32::WHITE);
            set.rect.width()
        })
        .fold(0.0, f32::max)
}
