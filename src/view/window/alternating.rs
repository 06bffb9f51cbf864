//! A patch that alternates between black and white in whole frames, for `certify --display`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use eframe::egui::{self, Align2, Color32, CornerRadius, FontId, ViewportCommand};

use super::patch;
use crate::config::{PatchSection, ScreenSection};
use crate::engine::certify::display::Alternated;
use crate::rt;
use crate::view::pace::Pace;
use crate::view::present::Notices;
use crate::view::present::stamper::Stamper;
use crate::view::surface::What;

/// Frames before the first alternation: the display and its clock settle.
const FRAMES_BEFORE: u64 = 90;

/// What is to be shown.
#[derive(Debug, Clone)]
pub struct Alternating {
    /// Where the patch is.
    pub patch: PatchSection,
    /// Geometry of the picture.
    pub screen: ScreenSection,
    /// How often it changes.
    pub alternations: u32,
    /// Frames from change to change.
    pub frames_each: u32,
    /// Frames per second at most.
    pub frame_rate_max_hz: f64,
}

/// The window of a certification.
pub(super) struct App {
    what: Alternating,
    stamper: Stamper,
    pace: Pace,
    /// Number of the next frame.
    frame: u64,
    shown: Arc<Mutex<Alternated>>,
    stop: Arc<AtomicBool>,
}

impl App {
    pub(super) fn new(
        what: Alternating,
        notices: Option<Box<dyn Notices>>,
        shown: Arc<Mutex<Alternated>>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        {
            let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.frames_before = FRAMES_BEFORE;
            shown.frames_each = what.frames_each;
            shown.wanted = what.alternations;
        }
        Self {
            what,
            stamper: Stamper::new(notices),
            pace: Pace::default(),
            frame: 0,
            shown,
            stop,
        }
    }

    /// One frame.
    pub(super) fn frame(&mut self, ui: &mut egui::Ui) {
        let mut now = rt::now();
        let settled = self.stamper.settle(now);
        {
            let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.frames.extend(settled);
            shown.stamps = self.stamper.stamps();
        }
        if let Some(turn) = self.pace.not_before(self.what.frame_rate_max_hz)
            && turn > now
        {
            rt::sleep_until(turn);
            now = rt::now();
        }
        let follows = !self.stamper.settling().is_pairing();
        self.pace.frame(now, follows, true);
        let since = self.frame.checked_sub(FRAMES_BEFORE);
        self.stamper
            .begin(now, since.is_some_and(|since| since > 0));
        let number = since.map(|since| since / u64::from(self.what.frames_each.max(1)));
        let wanted = u64::from(self.what.alternations);
        let is_over = number.is_some_and(|number| number >= wanted);
        let white = number.is_some_and(|number| number < wanted && number % 2 == 0);
        let whole = ui.max_rect();
        let painter = ui.painter();
        painter.rect_filled(whole, CornerRadius::ZERO, Color32::BLACK);
        patch::draw(painter, whole, &self.what.patch, &self.what.screen, white);
        let words = format!("{} / {wanted}", number.unwrap_or(0).min(wanted));
        let font = FontId::proportional(0.03 * whole.height());
        painter.text(
            whole.center(),
            Align2::CENTER_CENTER,
            words,
            font,
            Color32::GRAY,
        );
        // Beyond the last alternation frames go on until everything has its stamp.
        if is_over && !self.stamper.is_waiting() || self.stop.load(Ordering::Relaxed) {
            ui.send_viewport_cmd(ViewportCommand::Close);
        }
        if !is_over {
            self.stamper.show([What::Scene(self.frame)]);
            self.frame += 1;
        }
        if self.stamper.settling().is_pairing() {
            ui.request_repaint_after(super::app::PAIRING);
        } else {
            ui.request_repaint();
        }
        self.stamper.drawn(rt::now());
    }
}

impl eframe::App for App {
    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        self.frame(ui);
    }
}
