//! The operator's view, on eframe/egui like the participant window, and in a process of its own: whatever happens to it, the session goes on.
//!
//! | file | what |
//! |---|---|
//! | `app` | from frame to frame; buttons |
//! | `traces` | scrolling EEG |
//! | `fork` | posterior, gaze over the options, text |
//! | `gauges` | spectrum, latency, protocol, state of the person, streams and disk |
//! | `frame` | where each part stands, how a part is framed |
//! | `words` | what it says, in each language |

pub mod app;
mod fork;
mod frame;
mod gauges;
#[cfg(test)]
mod tests;
mod traces;
pub mod words;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use eframe::egui::{ViewportBuilder, vec2};
use eframe::{NativeOptions, Renderer};

pub use self::app::{Drawn, OperatorApp};
use super::window::{fonts, has_display, said_by};
use crate::operator::Client;

/// Size of the window when it opens, points.
const SIZE: [f32; 2] = [1_280.0, 800.0];

/// Why there is no view.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// Nothing to show it on.
    #[error(
        "there is no display for the operator's view: neither WAYLAND_DISPLAY nor DISPLAY is set. Start it where there is one, on this or \
         another machine, or print what it knows with --json; the session goes on either way"
    )]
    NoDisplay,
    /// The display or its OpenGL refused.
    #[error(
        "the operator's view cannot be opened: {words}. It needs a display and OpenGL 3.3 or ES 2.0 (Debian: libgl1-mesa-dri); --json prints \
         what it knows without one. The session goes on either way"
    )]
    Refused {
        /// What the system said.
        words: String,
    },
}

/// How it looks, and how long it stays.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Language.
    pub words: words::Words,
    /// Seconds after which it closes by itself; `None`: when it is closed.
    pub seconds: Option<f64>,
    /// Closes it when raised.
    pub stop: Arc<AtomicBool>,
}

/// Opens the view and shows it until it is closed. Must be called on the main thread. Gives what was drawn.
///
/// # Errors
/// [`OperatorError`] when there is no display, or it refuses.
pub fn show(client: Client, shown: Shown) -> Result<Drawn, OperatorError> {
    if !has_display() {
        return Err(OperatorError::NoDisplay);
    }
    let viewport = ViewportBuilder::default()
        .with_title(&shown.words.title)
        .with_app_id("razvilka-operator")
        .with_inner_size(vec2(SIZE[0], SIZE[1]));
    let options = NativeOptions {
        viewport,
        renderer: Renderer::Glow,
        run_and_return: true,
        centered: true,
        // Multisampling smooths nothing here that matters, and costs a software renderer most of its time.
        multisampling: 0,
        ..NativeOptions::default()
    };
    let drawn = Arc::new(std::sync::Mutex::new(Drawn::default()));
    let counted = Arc::clone(&drawn);
    let created = eframe::run_native(
        "razvilka-operator",
        options,
        Box::new(move |creation| {
            let ctx = &creation.egui_ctx;
            ctx.set_fonts(fonts::definitions(Vec::new()));
            app::prepare(ctx);
            Ok(Box::new(OperatorApp::new(Box::new(client), shown, counted)))
        }),
    );
    created.map_err(|error| OperatorError::Refused {
        words: said_by(&error),
    })?;
    let drawn = drawn.lock().map(|drawn| *drawn);
    Ok(drawn.unwrap_or_default())
}
