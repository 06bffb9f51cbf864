//! Where the display system tells when this window's frames were presented.

use eframe::CreationContext;
use raw_window_handle::{HasWindowHandle, RawWindowHandle};

use crate::view::present::Notices;
use crate::view::present::x11::X11Notices;

/// Listens to a window that is being made; says why when nothing will be heard.
pub(super) fn of(creation: &CreationContext<'_>) -> Option<Box<dyn Notices>> {
    let why = match number_of(creation) {
        None => "only an X server tells it".to_owned(),
        Some(number) => match X11Notices::open(None, number) {
            Ok(notices) => return Some(Box::new(notices)),
            Err(error) => error.to_string(),
        },
    };
    eprintln!(
        "razvilka: when a frame is presented is not known here, and stamps are taken after the swap: {why}"
    );
    None
}

/// The window's number on an X server; `None` on another display system.
fn number_of(creation: &CreationContext<'_>) -> Option<u32> {
    match creation.window_handle().ok()?.as_raw() {
        RawWindowHandle::Xlib(handle) => u32::try_from(handle.window).ok(),
        RawWindowHandle::Xcb(handle) => Some(handle.window.get()),
        _ => None,
    }
}
