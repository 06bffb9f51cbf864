//! The fonts of the window: DejaVu Sans, which is part of the program, and files that the experiment names.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use eframe::egui::{Context, FontData, FontDefinitions, FontFamily, FontId, RawInput};

use super::WindowError;
use crate::view::script::{self, Unreadable};

/// DejaVu Sans: Latin, Greek, Cyrillic, Armenian, Georgian and more; its licence lies beside it.
const DEJAVU: &[u8] = include_bytes!("../../../fixtures/fonts/DejaVuSans.ttf");
/// Largest font file that is read, bytes: Noto Sans CJK with all its faces has 19 MB.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// How TrueType, OpenType and collections of them begin.
const MAGIC: [&[u8]; 4] = [&[0, 1, 0, 0], b"OTTO", b"true", b"ttcf"];

/// Reads the font files that are named, and checks that they are some.
///
/// # Errors
/// [`WindowError::Font`] with the file and what is wrong with it.
pub fn read(files: &[PathBuf]) -> Result<Vec<Vec<u8>>, WindowError> {
    files.iter().map(|file| read_one(file)).collect()
}

fn read_one(file: &Path) -> Result<Vec<u8>, WindowError> {
    let refused = |what: String| WindowError::Font {
        file: file.into(),
        what,
    };
    let opened = std::fs::File::open(file).map_err(|error| refused(error.to_string()))?;
    let mut bytes = Vec::new();
    let read = opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| refused(error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(refused(format!(
            "it holds more than {} MB",
            FILE_BYTES_MAX >> 20
        )));
    }
    if !MAGIC.iter().any(|magic| bytes.starts_with(magic)) {
        return Err(refused(
            "it is no TrueType or OpenType font (.ttf, .otf, .ttc)".into(),
        ));
    }
    Ok(bytes)
}

/// The bundled font first, then the files in their order.
#[must_use]
pub fn definitions(files: Vec<Vec<u8>>) -> FontDefinitions {
    let mut fonts = FontDefinitions::empty();
    let mut names = vec!["DejaVu Sans".to_owned()];
    let bundled = FontData::from_static(DEJAVU);
    fonts
        .font_data
        .insert("DejaVu Sans".into(), Arc::new(bundled));
    for (number, bytes) in files.into_iter().enumerate() {
        let name = format!("file {number}");
        let data = FontData::from_owned(bytes);
        fonts.font_data.insert(name.clone(), Arc::new(data));
        names.push(name);
    }
    for family in [FontFamily::Proportional, FontFamily::Monospace] {
        fonts.families.insert(family, names.clone());
    }
    fonts
}

/// Whether a text can be shown with these fonts, before there is a window.
///
/// # Errors
/// [`Unreadable`] with the characters at fault.
pub fn check_before(fonts: &FontDefinitions, text: &str) -> Result<(), Unreadable> {
    let ctx = Context::default();
    ctx.set_fonts(fonts.clone());
    // Fonts are there from the first pass on.
    let mut drawn = ctx.run_ui(RawInput::default(), |_| {});
    // Nothing of it is shown.
    drawn.textures_delta.clear();
    check(&ctx, text)
}

/// Whether a text can be shown with the fonts of this context.
///
/// # Errors
/// [`Unreadable`] with the characters at fault.
pub fn check(ctx: &Context, text: &str) -> Result<(), Unreadable> {
    let any_size = FontId::proportional(16.0);
    ctx.fonts_mut(|fonts| script::check(text, |c| fonts.has_glyph(&any_size, c)))
}
