//! The participant window, on eframe/egui. Only this room names them, and only with the feature `window`.
//!
//! The window lives on the main thread, as some systems want it, and the session on another one. They share a [`Board`], nothing else.
//!
//! | file | what |
//! |---|---|
//! | `app` | from frame to frame: stamps, flashes, keys |
//! | `patch`, `alternating` | a square for a photodiode; the window of `certify --display` |
//! | `notices` | where the display system tells when frames were presented |
//! | `draw`, `fit` | how everything looks; text that is made to fit |
//! | `theme`, `fonts` | colours; fonts, and what they cannot show |

mod alternating;
pub mod app;
pub mod draw;
pub mod fit;
pub mod fonts;
mod notices;
mod patch;
#[cfg(test)]
mod raster;
#[cfg(test)]
mod tests;
pub mod theme;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam::channel::Sender;
use eframe::egui::{ViewportBuilder, vec2};
use eframe::{NativeOptions, Renderer};

pub use self::alternating::Alternating;
use self::app::Participant;
use self::draw::Look;
use self::theme::Theme;
use super::board::Board;
use super::flashing::{Flashing, patch_sr};
use super::layout;
use super::words::Words;
use crate::config::Plan;
use crate::engine::certify::display::Alternated;

/// Width of a window that does not cover its monitor, points; the height follows from the screen's shape.
const WIDTH: f32 = 1_280.0;

/// Why there is no window.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WindowError {
    /// Nothing to show it on.
    #[error(
        "there is no display for the participant window: neither WAYLAND_DISPLAY nor DISPLAY is set. Start razvilka on the machine's own \
         screen, or leave --window out (view.surface = \"terminal\")"
    )]
    NoDisplay,
    /// The display or its OpenGL refused.
    #[error(
        "the participant window cannot be opened: {words}. It needs a display and OpenGL 3.3 or ES 2.0 (Debian: libgl1-mesa-dri); or leave \
         --window out (view.surface = \"terminal\")"
    )]
    Refused {
        /// What the system said.
        words: String,
    },
    /// A font file that is none.
    #[error("view.fonts: {}: {what}", file.display())]
    Font {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// What the session begins with cannot be shown.
    #[error("model.prompt cannot be shown in the participant window: {0}")]
    Prompt(super::script::Unreadable),
}

/// Whether there is a display to try. A system other than Linux has one.
#[must_use]
pub fn has_display() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(target_os = "linux") || set("WAYLAND_DISPLAY") || set("DISPLAY")
}

/// How the window looks in this experiment.
#[must_use]
pub fn look_of(plan: &Plan) -> Look {
    Look {
        theme: Theme::of(plan.view.theme),
        words: Words::of(plan.view.language),
        screen: plan.screen.clone(),
        text_scale: plan.view.text_scale,
        flash_area_sr_max: plan.view.flash_area_sr_max - patch_sr(&plan.view.patch, &plan.screen),
        patch: plan.view.patch.clone(),
        scan: plan.view.scan.clone(),
        flashes: plan.view.flashes && plan.eeg.is_some(),
        keys: plan.window_keys(),
    }
}

/// What flashes in the window in this experiment, computed; `None` when nothing does.
#[must_use]
pub fn flashing_of(plan: &Plan) -> Option<Flashing> {
    plan.eeg.as_ref()?;
    let flash = plan.flash.config();
    let tiles = layout::calibration_tiles(flash.items_min as usize, &plan.screen);
    let patch_sr = patch_sr(&plan.view.patch, &plan.screen);
    let flashing = Flashing::of(
        &tiles,
        plan.view.flash_area_sr_max - patch_sr,
        flash.soa_s - flash.soa_jitter_s,
        Theme::of(plan.view.theme).flash(),
    );
    Some(flashing.with_patch(patch_sr))
}

/// Opens the window and shows it until it is closed, or nothing more will be shown. Must be called on the main thread. `ready` is told when
/// the first frame has been drawn; without that it never was.
///
/// # Errors
/// [`WindowError`] when there is no display, when it refuses, when a font file is none, or when the prompt cannot be shown.
pub fn show(
    plan: &Plan,
    board: Arc<Board>,
    stop: Arc<AtomicBool>,
    ready: Sender<()>,
) -> Result<(), WindowError> {
    if !has_display() {
        return Err(WindowError::NoDisplay);
    }
    let view = &plan.view;
    let fonts = fonts::definitions(fonts::read(&view.fonts)?);
    fonts::check_before(&fonts, &plan.model.prompt).map_err(WindowError::Prompt)?;
    let look = look_of(plan);
    let options = options_of(plan, &look.words.title);
    let timing = (view.flash_s, view.frame_rate_max_hz);
    let least_hz = view.frame_rate_min_hz;
    let created = eframe::run_native(
        "razvilka",
        options,
        Box::new(move |creation| {
            let ctx = &creation.egui_ctx;
            ctx.set_fonts(fonts);
            // Nothing on the screen is selected, zoomed or moved by accident.
            ctx.options_mut(|options| options.zoom_with_keyboard = false);
            let notices = notices::of(creation);
            let window = Participant::new(board, look, timing, stop, ready);
            Ok(Box::new(window.told_by(notices).flashing_from(least_hz)))
        }),
    );
    created.map_err(|error| refused(&error))
}

/// Opens a window in which a patch alternates, and gives what was shown of it; ends when all was shown, when the window is closed, or when
/// `stop` is raised. Must be called on the main thread.
///
/// # Errors
/// [`WindowError`] when there is no display, or when it refuses.
pub fn alternate(
    plan: &Plan,
    what: Alternating,
    stop: &Arc<AtomicBool>,
) -> Result<Alternated, WindowError> {
    if !has_display() {
        return Err(WindowError::NoDisplay);
    }
    let shown = Arc::new(Mutex::new(Alternated::default()));
    let (kept, stopped) = (Arc::clone(&shown), Arc::clone(stop));
    let options = options_of(plan, "Razvilka: certify --display");
    let created = eframe::run_native(
        "razvilka-certify",
        options,
        Box::new(move |creation| {
            creation.egui_ctx.set_fonts(fonts::definitions(Vec::new()));
            let notices = notices::of(creation);
            Ok(Box::new(alternating::App::new(
                what, notices, kept, stopped,
            )))
        }),
    );
    created.map_err(|error| refused(&error))?;
    let alternated = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(alternated)
}

/// A window as the experiment wants it.
fn options_of(plan: &Plan, title: &str) -> NativeOptions {
    let view = &plan.view;
    let height = WIDTH * (plan.screen.height_cm / plan.screen.width_cm) as f32;
    let mut viewport = ViewportBuilder::default()
        .with_title(title)
        .with_app_id("razvilka")
        .with_inner_size(vec2(WIDTH, height));
    if view.full_screen {
        viewport = viewport.with_fullscreen(true);
        if let Some(monitor) = view.monitor.checked_sub(1) {
            viewport = viewport.with_monitor(monitor as usize);
        }
    }
    NativeOptions {
        viewport,
        renderer: Renderer::Glow,
        run_and_return: true,
        centered: true,
        ..NativeOptions::default()
    }
}

fn refused(error: &eframe::Error) -> WindowError {
    let words = error.to_string();
    // winit names the line of its own source first, which tells nobody anything.
    let told = words
        .split_once(".rs:")
        .and_then(|(_, behind)| behind.split_once(": "));
    let words = told.map_or(words.as_str(), |(_, told)| told);
    WindowError::Refused {
        words: words.trim_end_matches('.').to_owned(),
    }
}
