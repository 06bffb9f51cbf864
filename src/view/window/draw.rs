//! How everything looks. Positions come in degrees of visual angle, as the engine gives them; nothing here decides where a tile stands.

use std::borrow::Cow;

use eframe::egui::text::{LayoutJob, TextFormat};
use eframe::egui::{
    Align2, CornerRadius, FontId, Id, Painter, Pos2, Rect, Response, Role, Sense, Stroke,
    StrokeKind, Ui, Vec2, WidgetInfo, pos2, vec2,
};
use razvilka_dsp::units::MonoTime;

use super::fit::{Fitted, fit};
use super::patch;
use super::theme::{Theme, paint};
use crate::choice::MAX_FLASH_ITEMS;
use crate::config::{PatchSection, ScanSection, ScreenSection};
use crate::fork::MAX_OPTIONS;
use crate::marker::{OptionKind, OptionTile};
use crate::view::flashing::frame_deg;
use crate::view::layout::text_area;
use crate::view::page::{Author, Page};
use crate::view::scene::{Scene, Stage};
use crate::view::script::is_right_to_left;
use crate::view::words::Words;

/// Height of the running text, of a branch, of a control and of an instruction, relative to the picture's height, at a text scale of 1.
const TEXT: f32 = 0.042;
const BRANCH: f32 = 0.055;
const CONTROL: f32 = 0.036;
const INSTRUCTION: f32 = 0.045;
/// No text on a tile is smaller than this, relative to the picture's height.
const LEAST: f32 = 0.018;
/// How long what was chosen stays on the screen, seconds.
const ANSWER_S: f64 = 0.6;
/// How long a call to act stands out, seconds.
const ACT_S: f64 = 0.9;
/// Radius of a point to look at, degrees: a bull's-eye with a small middle, which is what the eye rests on.
const POINT_DEG: f64 = 0.6;
const POINT_MIDDLE_DEG: f64 = 0.12;

/// What does not change while the window is open.
#[derive(Debug, Clone)]
pub struct Look {
    /// Colours.
    pub theme: Theme,
    /// Strings.
    pub words: Words,
    /// Geometry of the picture.
    pub screen: ScreenSection,
    /// Size of all text.
    pub text_scale: f64,
    /// Solid angle that may flash at once, steradians.
    pub flash_area_sr_max: f64,
    /// Whether anything flashes in this session.
    pub flashes: bool,
    /// Whether keys count, so that tiles carry their numbers.
    pub keys: bool,
    /// A square for a photodiode.
    pub patch: PatchSection,
    /// Scanning by a single switch.
    pub scan: ScanSection,
}

/// What one frame shows.
#[derive(Debug, Clone, Copy)]
pub struct Shot<'a> {
    /// Text.
    pub page: &'a Page,
    /// Everything else.
    pub scene: &'a Scene,
    /// Whether the tiles of an open fork are up yet.
    pub tiles_up: bool,
    /// The item that is lit.
    pub lit: Option<i32>,
    /// Index of the tile that stands out for the single switch.
    pub standing_out: Option<usize>,
    /// How far each option has come, smoothed.
    pub dwell: [f32; MAX_OPTIONS],
    /// A mark, degrees.
    pub mark: Option<(f64, f64)>,
    /// Now.
    pub now: MonoTime,
}

/// The picture on the window: degrees become points.
#[derive(Debug, Clone, Copy)]
pub struct Picture {
    rect: Rect,
    /// Points per centimetre of the picture.
    per_cm: f32,
    distance_cm: f64,
}

impl Picture {
    /// The largest picture of the screen's shape that fits this rectangle.
    #[must_use]
    pub fn within(rect: Rect, screen: &ScreenSection) -> Self {
        let (w, h) = (screen.width_cm as f32, screen.height_cm as f32);
        let per_cm = (rect.width() / w).min(rect.height() / h);
        Self {
            rect: Rect::from_center_size(rect.center(), vec2(w * per_cm, h * per_cm)),
            per_cm,
            distance_cm: screen.distance_cm,
        }
    }

    /// The picture's rectangle.
    #[must_use]
    pub const fn rect(&self) -> Rect {
        self.rect
    }

    /// A length on the screen, centimetres, in points.
    #[must_use]
    pub fn of_cm(&self, cm: f64) -> f32 {
        cm as f32 * self.per_cm
    }

    fn points(&self, deg: f64) -> f32 {
        (deg.to_radians().tan() * self.distance_cm) as f32 * self.per_cm
    }

    /// A place.
    #[must_use]
    pub fn at(&self, x_deg: f64, y_deg: f64) -> Pos2 {
        self.rect.center() + vec2(self.points(x_deg), self.points(y_deg))
    }

    /// A rectangle by its middle and its sides, degrees.
    #[must_use]
    pub fn rect_of(&self, (x, y): (f64, f64), (w, h): (f64, f64)) -> Rect {
        Rect::from_min_max(
            self.at(x - 0.5 * w, y - 0.5 * h),
            self.at(x + 0.5 * w, y + 0.5 * h),
        )
    }

    /// Where a tile stands.
    #[must_use]
    pub fn tile(&self, tile: &OptionTile) -> Rect {
        self.rect_of((tile.x_deg, tile.y_deg), (tile.w_deg, tile.h_deg))
    }
}

/// Draws one frame; gives the item that was clicked, where keys count.
pub fn draw(ui: &mut Ui, look: &Look, shot: &Shot<'_>) -> Option<i32> {
    let whole = ui.max_rect();
    let picture = Picture::within(whole, &look.screen);
    ui.painter()
        .rect_filled(whole, CornerRadius::ZERO, paint(look.theme.background));
    if look.flashes {
        patch::draw(
            ui.painter(),
            whole,
            &look.patch,
            &look.screen,
            shot.lit.is_some(),
        );
    }
    let mut drawing = Drawing { look, picture, ui };
    let clicked = drawing.stage(shot);
    if shot.scene.paused {
        let words = &look.words.paused;
        drawing.instruction(words, 0.12);
    }
    if let Some((x, y)) = shot.mark {
        drawing.mark(x, y);
    }
    clicked
}

/// Draws the warning before the first flash; `true` when its button was clicked.
pub fn draw_warning(ui: &mut Ui, look: &Look) -> bool {
    let whole = ui.max_rect();
    let picture = Picture::within(whole, &look.screen);
    ui.painter()
        .rect_filled(whole, CornerRadius::ZERO, paint(look.theme.background));
    let mut drawing = Drawing { look, picture, ui };
    drawing.instruction(&look.words.seizure_warning, 0.3);
    let words = &look.words.flashes_confirm;
    let rect = picture.rect();
    let room = vec2(0.6 * rect.width(), 0.2 * rect.height());
    let button = Rect::from_center_size(rect.center() + vec2(0.0, 0.2 * rect.height()), room);
    let (least, wish) = (drawing.least(), drawing.size(INSTRUCTION));
    let (painter, colour) = (drawing.painter(), paint(look.theme.tile_text));
    painter.rect_filled(button, CornerRadius::same(12), paint(look.theme.tile));
    let fitted = fit(painter, words, colour, (least, wish), 0.9 * room);
    let top = button.center() - vec2(0.0, 0.5 * fitted.galley.rect.height());
    painter.galley(top, fitted.galley, colour);
    let response = drawing
        .ui
        .interact(button, Id::unique("flashes"), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, words));
    response.clicked()
}

struct Drawing<'a, 'u> {
    look: &'a Look,
    picture: Picture,
    ui: &'u mut Ui,
}

impl Drawing<'_, '_> {
    fn painter(&self) -> &Painter {
        self.ui.painter()
    }

    /// A size relative to the picture, in points.
    fn size(&self, share: f32) -> f32 {
        share * self.picture.rect.height() * self.look.text_scale as f32
    }

    fn least(&self) -> f32 {
        LEAST * self.picture.rect.height()
    }

    fn stage(&mut self, shot: &Shot<'_>) -> Option<i32> {
        let look = self.look;
        let words = &look.words;
        match &shot.scene.stage {
            Stage::Waiting => {
                self.instruction(&words.waiting, 0.3);
                if look.flashes {
                    self.instruction(&words.seizure_warning, 0.6);
                }
            }
            Stage::Rest => {}
            Stage::Point { x_deg, y_deg } => {
                self.point(*x_deg, *y_deg);
            }
            Stage::Pursuit { path, since } => {
                let t_s = shot.now.nanos_since(*since) as f64 * 1e-9;
                let (x, y) = path.at(t_s);
                self.point(x, y);
            }
            Stage::Block { kind, act } => {
                self.instruction(words.block(*kind), 0.25);
                let since_s = |at: &MonoTime| shot.now.nanos_since(*at) as f64 * 1e-9;
                match act.filter(|(_, at)| since_s(at) < ACT_S) {
                    Some((act, _)) => self.call(words.act(act)),
                    None => self.point(0.0, 0.0),
                }
            }
            Stage::Wish { text } => {
                self.instruction(&words.wish, 0.35);
                self.call(text);
            }
            Stage::Options { tiles } => {
                self.instruction(&words.read_options, 0.12);
                self.tiles(tiles, shot, None);
            }
            Stage::Cue { tiles, item } => {
                self.instruction(&words.cue, 0.12);
                self.tiles(tiles, shot, Some(*item));
            }
            Stage::Writing => self.text(shot.page),
            Stage::Fork { tiles, .. } => {
                self.text(shot.page);
                if shot.tiles_up {
                    let clicked = self.tiles(tiles, shot, None);
                    self.fillers(tiles.len(), shot.lit);
                    if look.keys {
                        let scans = look.scan.on;
                        self.hint(if scans { &words.scan } else { &words.keys });
                    }
                    return clicked;
                }
            }
            Stage::Answered { tiles, item, since } => {
                self.text(shot.page);
                let gone_s = shot.now.nanos_since(*since) as f64 * 1e-9;
                let chosen = tiles.iter().find(|tile| Some(tile.item) == *item);
                if let Some(tile) = chosen.filter(|_| gone_s < ANSWER_S) {
                    let shares = [0.0; MAX_OPTIONS];
                    let size = self.branch_size(tiles);
                    self.tile(tile, false, true, &shares, size);
                }
            }
            Stage::Ended => {
                self.text(shot.page);
                self.instruction(&words.ended, 0.6);
            }
        }
        None
    }

    /// A sentence in the middle of the picture, `at` of its height from the top.
    fn instruction(&mut self, words: &str, at: f32) {
        let rect = self.picture.rect;
        let room = vec2(0.8 * rect.width(), 0.24 * rect.height());
        let (least, wish) = (self.least(), self.size(INSTRUCTION));
        let colour = paint(self.look.theme.model);
        let fitted = fit(self.painter(), words, colour, (least, wish), room);
        let top = pos2(rect.center().x, rect.top() + at * rect.height());
        let middle = top - vec2(0.0, 0.5 * fitted.galley.rect.height());
        let place = fitted.galley.rect.translate(middle.to_vec2());
        self.painter().galley(middle, fitted.galley, colour);
        self.label(place, words);
    }

    /// What is to be done or wanted, in the middle.
    fn call(&mut self, words: &str) {
        let rect = self.picture.rect;
        let room = vec2(0.7 * rect.width(), 0.3 * rect.height());
        let (least, wish) = (self.least(), 1.6 * self.size(INSTRUCTION));
        let colour = paint(self.look.theme.chosen);
        let fitted = fit(self.painter(), words, colour, (least, wish), room);
        let top = rect.center() - vec2(0.0, 0.5 * fitted.galley.rect.height());
        let place = fitted.galley.rect.translate(top.to_vec2());
        self.painter().galley(top, fitted.galley, colour);
        self.label(place, words);
    }

    /// Which keys there are, at the foot of the picture.
    fn hint(&mut self, words: &str) {
        let rect = self.picture.rect;
        let colour = paint(self.look.theme.prompt);
        let room = vec2(0.96 * rect.width(), 0.05 * rect.height());
        let (least, wish) = (self.least(), self.size(0.5 * TEXT));
        let fitted = fit(self.painter(), words, colour, (least, wish), room);
        let height = fitted.galley.rect.height();
        let top = pos2(
            rect.center().x,
            rect.bottom() - height - 0.01 * rect.height(),
        );
        self.painter().galley(top, fitted.galley, colour);
    }

    /// Tells assistive software, and whoever asks for the tree of widgets, what stands here.
    fn label(&mut self, rect: Rect, words: &str) {
        let id = self.ui.scope_id().with(words);
        let response = self.ui.interact(rect, id, Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, words));
    }

    fn point(&self, x_deg: f64, y_deg: f64) {
        let at = self.picture.at(x_deg, y_deg);
        let theme = &self.look.theme;
        let radius = self.picture.points(POINT_DEG);
        self.painter().circle_filled(at, radius, paint(theme.model));
        let arm = vec2(radius, 0.0);
        let cross = Stroke::new(
            2.0 * self.picture.points(POINT_MIDDLE_DEG),
            paint(theme.background),
        );
        self.painter().line_segment([at - arm, at + arm], cross);
        let arm = vec2(0.0, radius);
        self.painter().line_segment([at - arm, at + arm], cross);
        let middle = self.picture.points(POINT_MIDDLE_DEG);
        self.painter()
            .circle_filled(at, middle, paint(theme.chosen));
    }

    fn mark(&self, x_deg: f64, y_deg: f64) {
        let at = self.picture.at(x_deg, y_deg);
        let radius = self.picture.points(0.9);
        let stroke = Stroke::new(0.22 * radius, paint(self.look.theme.mark));
        self.painter().circle_stroke(at, radius, stroke);
    }

    /// The end of the text, its last line lowest, so that what is new always stands at the same height.
    fn text(&mut self, page: &Page) {
        let area = text_area(&self.look.screen);
        let rect = self
            .picture
            .rect_of((area.x_deg, area.y_deg), (area.w_deg, area.h_deg))
            .shrink2(vec2(
                0.06 * self.picture.rect.width(),
                0.03 * self.picture.rect.height(),
            ));
        let font = FontId::proportional(self.size(TEXT));
        let mut job = LayoutJob::default();
        job.wrap.max_width = rect.width();
        for span in &page.text {
            let colour = paint(self.look.theme.author(span.author));
            let mut format = TextFormat::simple(font.clone(), colour);
            format.line_height = Some(1.4 * font.size);
            if span.author == Author::Person {
                format.underline = Stroke::new(0.05 * font.size, colour);
            }
            job.append(&in_order(&span.text), 0.0, format);
        }
        let whole: String = page.text.iter().map(|span| span.text.as_str()).collect();
        let galley = self.painter().layout_job(job);
        let height = galley.rect.height();
        // Short texts begin at the top; long ones push their beginning out of it.
        let top = rect.top().min(rect.bottom() - height);
        let colour = paint(self.look.theme.model);
        self.painter()
            .with_clip_rect(rect)
            .galley(pos2(rect.left(), top), galley, colour);
        if !whole.is_empty() {
            self.label(rect, &whole);
        }
    }

    /// One size for all branches: a larger one would draw the eye.
    fn branch_size(&self, tiles: &[OptionTile]) -> f32 {
        tiles
            .iter()
            .filter(|tile| is_read(tile))
            .map(|tile| self.fitted(tile, self.size(BRANCH)).size)
            .fold(f32::INFINITY, f32::min)
    }

    /// All tiles; gives the one that was clicked.
    fn tiles(&mut self, tiles: &[OptionTile], shot: &Shot<'_>, cued: Option<i32>) -> Option<i32> {
        let size = self.branch_size(tiles);
        let mut clicked = None;
        for (index, tile) in tiles.iter().enumerate() {
            let lit = shot.lit == Some(tile.item);
            let marked = cued == Some(tile.item) || shot.standing_out == Some(index);
            if self.tile(tile, lit, marked, &shot.dwell, size).clicked() {
                clicked = Some(tile.item);
            }
        }
        clicked.filter(|_| self.look.keys)
    }

    fn tile(
        &mut self,
        tile: &OptionTile,
        lit: bool,
        marked: bool,
        dwell: &[f32; MAX_OPTIONS],
        branch_size: f32,
    ) -> Response {
        let theme = self.look.theme;
        let rect = self.picture.tile(tile);
        let radius = CornerRadius::same((0.06 * rect.height()).clamp(2.0, 24.0) as u8);
        let painter = self.painter();
        painter.rect_filled(rect, radius, paint(theme.tile));
        let share = usize::try_from(tile.item)
            .ok()
            .and_then(|item| dwell.get(item))
            .copied()
            .unwrap_or(0.0);
        if share > 0.0 {
            // A bar at the foot of the tile: what is read stays as it is.
            let bar = Rect::from_min_max(
                pos2(rect.left(), rect.bottom() - 0.07 * rect.height()),
                pos2(rect.left() + share * rect.width(), rect.bottom()),
            );
            painter.rect_filled(bar, radius, paint(theme.dwell));
        }
        let frame = self
            .picture
            .points(frame_deg(tile, self.look.flash_area_sr_max));
        if lit {
            let stroke = Stroke::new(frame, paint(theme.lit));
            painter.rect_stroke(rect, radius, stroke, StrokeKind::Inside);
        }
        let (width, edge) = if marked {
            (0.006, theme.chosen)
        } else {
            (0.0015, theme.edge)
        };
        let stroke = Stroke::new(width * self.picture.rect.height(), paint(edge));
        painter.rect_stroke(rect, radius, stroke, StrokeKind::Outside);
        let room = self.room_of(tile);
        let size = if is_read(tile) {
            branch_size
        } else {
            self.size(CONTROL)
        };
        let fitted = self.fitted(tile, size);
        let colour = paint(theme.tile_text);
        let words = self.words_on(tile);
        let top = pos2(
            room.center().x,
            room.center().y - 0.5 * fitted.galley.rect.height(),
        );
        self.painter().galley(top, fitted.galley, colour);
        if self.look.keys {
            self.number(tile, rect);
        }
        let id = Id::unique(("tile", tile.item));
        let response = self.ui.interact(rect, id, Sense::click());
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &words));
        response
    }

    /// What stands on a tile.
    fn words_on(&self, tile: &OptionTile) -> String {
        let words = self.look.words.on_tile(tile);
        if words.chars().any(is_right_to_left) {
            self.look.words.cannot_show.clone()
        } else {
            words.to_owned()
        }
    }

    /// It, no larger than `size`, where it has room.
    fn fitted(&self, tile: &OptionTile, size: f32) -> Fitted {
        let colour = paint(self.look.theme.tile_text);
        let room = self.room_of(tile).size();
        fit(
            self.painter(),
            &self.words_on(tile),
            colour,
            (self.least(), size),
            room,
        )
    }

    /// The part of a tile that its text may take: within the frame that flashes, above the bar that fills.
    fn room_of(&self, tile: &OptionTile) -> Rect {
        let rect = self.picture.tile(tile);
        let frame = self
            .picture
            .points(frame_deg(tile, self.look.flash_area_sr_max));
        let mut room = rect.shrink(frame + 0.02 * rect.height());
        room.max.y -= 0.07 * rect.height();
        room
    }

    fn number(&self, tile: &OptionTile, rect: Rect) {
        let size = 0.6 * self.size(CONTROL);
        self.painter().text(
            rect.left_top() + Vec2::splat(0.5 * size),
            Align2::LEFT_TOP,
            (tile.item + 1).to_string(),
            FontId::proportional(size),
            paint(self.look.theme.prompt),
        );
    }

    /// Items without meaning that flash as well, at the foot of the picture, where nobody looks for a choice. Only the one that is lit is
    /// seen.
    fn fillers(&self, options: usize, lit: Option<i32>) {
        let Some(filler) = lit
            .and_then(|item| usize::try_from(item).ok())
            .and_then(|item| item.checked_sub(options))
        else {
            return;
        };
        let rect = self.picture.rect;
        // From both corners inwards: far from each other, and always at the same place.
        let inwards = (filler / 2) as f32 + 0.5;
        let from_left = inwards / MAX_FLASH_ITEMS as f32;
        let share = if filler % 2 == 0 {
            from_left
        } else {
            1.0 - from_left
        };
        let x = rect.left() + share * rect.width();
        let y = rect.bottom() - 0.07 * rect.height();
        let side = 0.035 * rect.height();
        let square = Rect::from_center_size(pos2(x, y), Vec2::splat(side));
        self.painter()
            .rect_filled(square, CornerRadius::ZERO, paint(self.look.theme.lit));
    }
}

/// Whether a tile carries a phrase to be read, and not the name of what it does.
const fn is_read(tile: &OptionTile) -> bool {
    matches!(tile.kind, OptionKind::Branch | OptionKind::Item)
}

/// Text without what runs from right to left: signs in its place, rather than words in the wrong order.
fn in_order(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_right_to_left) {
        let sign = |c| {
            if is_right_to_left(c) {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        };
        Cow::Owned(text.chars().map(sign).collect())
    } else {
        Cow::Borrowed(text)
    }
}
