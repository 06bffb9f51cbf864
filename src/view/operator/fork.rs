//! The open fork: the posterior of each option, gaze over the options as they stand on the participant's screen, and the text before it.

use std::time::Instant;

use eframe::egui::text::{LayoutJob, TextFormat, TextWrapping};
use eframe::egui::{
    Align2, CornerRadius, FontId, Painter, Rect, Stroke, StrokeKind, Ui, pos2, vec2,
};

use super::words::Words;
use crate::config::ViewLanguage;
use crate::engine::telemetry::{ForkNow, Page, Phase};
use crate::marker::OptionTile;
use crate::operator::{TRAIL_S, Trail};
use crate::view::window::draw::Picture;
use crate::view::window::theme::{Theme, paint};

/// What an option says, or the word for what it does.
fn said<'a>(tile: &'a OptionTile, options: &'a crate::view::words::Words) -> &'a str {
    options.on_tile(tile)
}

/// Words on buttons of the participant's screen.
pub(super) fn options_of(language: ViewLanguage) -> crate::view::words::Words {
    crate::view::words::Words::of(language)
}

/// A text in one line, cut where it finds no room.
fn line(painter: &Painter, rect: Rect, text: &str, size: f32, colour: eframe::egui::Color32) {
    let format = TextFormat::simple(FontId::proportional(size), colour);
    let mut job = LayoutJob::single_section(text.to_owned(), format);
    job.wrap = TextWrapping::truncate_at_width(rect.width());
    let galley = painter.layout_job(job);
    let top = rect.center().y - 0.5 * galley.rect.height();
    painter.galley(pos2(rect.left(), top), galley, colour);
}

/// The posterior of each option as a bar.
pub(super) fn posterior(
    ui: &Ui,
    theme: &Theme,
    words: &Words,
    options: &crate::view::words::Words,
    rect: Rect,
    fork: &ForkNow,
    page: Option<&Page>,
) {
    let painter = ui.painter().with_clip_rect(rect);
    let asked = page.and_then(|page| page.fork.as_ref());
    let asked = asked.filter(|asked| Some(asked.number) == fork.fork);
    if fork.posterior.is_empty() {
        let colour = paint(theme.prompt);
        line(&painter, rect, &words.no_fork, 14.0, colour);
        return;
    }
    let row = (rect.height() / fork.posterior.len() as f32).min(30.0);
    for (number, share) in fork.posterior.iter().enumerate() {
        let top = rect.top() + number as f32 * row;
        let lane = Rect::from_min_max(
            pos2(rect.left(), top + 1.0),
            pos2(rect.right(), top + row - 1.0),
        );
        let bar = Rect::from_min_size(lane.min, vec2(share * lane.width(), lane.height()));
        let taken = fork.taken == Some(number) && fork.phase == Phase::Committed;
        let filled = if taken { theme.chosen } else { theme.dwell };
        painter.rect_filled(lane, CornerRadius::same(2), paint(theme.background));
        painter.rect_filled(
            bar,
            CornerRadius::same(2),
            paint(filled).gamma_multiply(0.6),
        );
        let tile = asked.and_then(|asked| asked.options.get(number));
        let phrase = tile.map_or("", |tile| said(tile, options));
        let text = format!("{number}  {phrase}");
        let colour = paint(theme.tile_text);
        let size = (0.62 * row).clamp(9.0, 15.0);
        line(
            &painter,
            lane.with_max_x(lane.right() - 44.0).shrink2(vec2(6.0, 0.0)),
            &text,
            size,
            colour,
        );
        let at = lane.right_center() - vec2(6.0, 0.0);
        painter.text(
            at,
            Align2::RIGHT_CENTER,
            format!("{share:.2}"),
            FontId::proportional(size),
            colour,
        );
    }
}

/// The participant's screen in small: options where they stand, and where the eyes have been for a second.
pub(super) fn gaze(
    ui: &Ui,
    theme: &Theme,
    options: &crate::view::words::Words,
    rect: Rect,
    page: &Page,
    trail: &Trail,
) {
    let picture = Picture::within(rect, &page.screen);
    let painter = ui.painter().with_clip_rect(picture.rect());
    painter.rect_filled(
        picture.rect(),
        CornerRadius::same(2),
        paint(theme.background),
    );
    for tile in page.fork.iter().flat_map(|fork| &fork.options) {
        let place = picture.tile(tile);
        painter.rect_filled(place, CornerRadius::same(2), paint(theme.tile));
        let stroke = Stroke::new(1.0, paint(theme.edge));
        painter.rect_stroke(place, CornerRadius::same(2), stroke, StrokeKind::Inside);
        let size = (0.3 * place.height()).clamp(8.0, 13.0);
        line(
            &painter,
            place.shrink(3.0),
            said(tile, options),
            size,
            paint(theme.tile_text),
        );
    }
    let places: Vec<_> = trail.recent(Instant::now()).collect();
    for (age_s, (x, y)) in &places {
        let fresh = 1.0 - (age_s / TRAIL_S) as f32;
        let colour = paint(theme.mark).gamma_multiply(0.1 + 0.4 * fresh);
        painter.circle_filled(picture.at(*x, *y), 2.0, colour);
    }
    if let Some((_, (x, y))) = places.last().filter(|_| trail.is_seen()) {
        let stroke = Stroke::new(2.0, paint(theme.mark));
        painter.circle_stroke(picture.at(*x, *y), 6.0, stroke);
    }
}

/// The end of the text, its last line lowest; below it how the latest fork ended.
pub(super) fn text(ui: &Ui, theme: &Theme, rect: Rect, page: &Page) {
    let painter = ui.painter().with_clip_rect(rect);
    let size = 14.0;
    let foot = Rect::from_min_max(pos2(rect.left(), rect.bottom() - 18.0), rect.right_bottom());
    line(&painter, foot, &page.answer, 12.0, paint(theme.person));
    let room = rect.with_max_y(foot.top() - 2.0);
    let format = TextFormat::simple(FontId::proportional(size), paint(theme.model));
    let mut job = LayoutJob::single_section(page.text.clone(), format);
    job.wrap.max_width = room.width();
    let galley = painter.layout_job(job);
    let top = room.top().min(room.bottom() - galley.rect.height());
    painter
        .with_clip_rect(room)
        .galley(pos2(room.left(), top), galley, paint(theme.model));
}
