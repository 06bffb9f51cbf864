//! Calm colours. Each theme keeps text at a contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3), the high-contrast one at 7; a test computes it.

use eframe::egui::Color32;

use crate::config::ThemeName;
use crate::view::flashing::Rgb;
use crate::view::page::Author;

/// The colours of a theme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Behind everything.
    pub background: Rgb,
    /// Text of nobody's choice.
    pub model: Rgb,
    /// Text that nobody wrote.
    pub prompt: Rgb,
    /// Text that the person chose; underlined too, as colour alone does not reach everybody.
    pub person: Rgb,
    /// Text that the imitator chose.
    pub imitator: Rgb,
    /// A tile.
    pub tile: Rgb,
    /// Its edge.
    pub edge: Rgb,
    /// What stands on it.
    pub tile_text: Rgb,
    /// The frame of a tile that flashes; without a flash it is the tile's colour.
    pub lit: Rgb,
    /// The bar that fills while a tile is looked at.
    pub dwell: Rgb,
    /// The edge of what was chosen, and of what is to be attended to.
    pub chosen: Rgb,
    /// The mark where somebody looks.
    pub mark: Rgb,
}

impl Theme {
    /// The theme of this name.
    #[must_use]
    pub const fn of(name: ThemeName) -> Self {
        match name {
            ThemeName::Light => Self {
                background: [0xec, 0xe8, 0xe1],
                model: [0x2d, 0x2a, 0x26],
                prompt: [0x65, 0x5f, 0x57],
                person: [0x1d, 0x63, 0x2b],
                imitator: [0x0b, 0x55, 0x7c],
                tile: [0xf7, 0xf4, 0xee],
                edge: [0xb9, 0xb2, 0xa6],
                tile_text: [0x24, 0x21, 0x1d],
                lit: [0x3c, 0x3a, 0x36],
                dwell: [0x6f, 0x98, 0xb5],
                chosen: [0x2f, 0x7d, 0x3f],
                mark: [0xb3, 0x5c, 0x1e],
            },
            ThemeName::Dark => Self {
                background: [0x1e, 0x21, 0x26],
                model: [0xd7, 0xd9, 0xdc],
                prompt: [0x92, 0x98, 0xa1],
                person: [0x9a, 0xd6, 0x9e],
                imitator: [0x83, 0xc4, 0xe6],
                tile: [0x2c, 0x31, 0x38],
                edge: [0x4c, 0x53, 0x5e],
                tile_text: [0xec, 0xef, 0xf2],
                lit: [0xf0, 0xed, 0xe4],
                dwell: [0x4f, 0x7f, 0xa6],
                chosen: [0x9a, 0xd6, 0x9e],
                mark: [0xe3, 0xa8, 0x5c],
            },
            ThemeName::HighContrast => Self {
                background: [0x00, 0x00, 0x00],
                model: [0xff, 0xff, 0xff],
                prompt: [0xc4, 0xc4, 0xc4],
                person: [0xff, 0xe1, 0x4d],
                imitator: [0x66, 0xe0, 0xff],
                tile: [0x00, 0x00, 0x00],
                edge: [0xff, 0xff, 0xff],
                tile_text: [0xff, 0xff, 0xff],
                lit: [0xff, 0xff, 0xff],
                dwell: [0x3d, 0x8b, 0xff],
                chosen: [0xff, 0xe1, 0x4d],
                mark: [0xff, 0x9f, 0x40],
            },
        }
    }

    /// The colour of a part of the text.
    #[must_use]
    pub const fn author(&self, author: Author) -> Rgb {
        match author {
            Author::Prompt => self.prompt,
            Author::Model => self.model,
            Author::Person => self.person,
            Author::Imitator => self.imitator,
        }
    }

    /// A tile's frame without and with a flash.
    #[must_use]
    pub const fn flash(&self) -> [Rgb; 2] {
        [self.tile, self.lit]
    }
}

/// A colour for egui.
#[must_use]
pub const fn paint([r, g, b]: Rgb) -> Color32 {
    Color32::from_rgb(r, g, b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::flashing::{DARKER_MAX, FLASH_CONTRAST, relative_luminance};

    fn ratio(a: Rgb, b: Rgb) -> f64 {
        let (a, b) = (relative_luminance(a), relative_luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn every_text_can_be_read_and_every_flash_be_seen() {
        for (name, least) in [
            (ThemeName::Light, 4.5),
            (ThemeName::Dark, 4.5),
            (ThemeName::HighContrast, 7.0),
        ] {
            let theme = Theme::of(name);
            for author in [
                Author::Prompt,
                Author::Model,
                Author::Person,
                Author::Imitator,
            ] {
                let contrast = ratio(theme.author(author), theme.background);
                assert!(contrast >= least, "{name:?} {author:?}: {contrast:.2}");
            }
            assert!(ratio(theme.tile_text, theme.tile) >= least);
            // Text over the bar that fills: never below what large text needs.
            assert!(ratio(theme.tile_text, theme.dwell) >= 3.0, "{name:?}");
            // Signs that carry meaning need 3 to 1 to what they lie on (WCAG 2.2, 1.4.11).
            for sign in [theme.lit, theme.chosen, theme.mark] {
                assert!(ratio(sign, theme.background) >= 3.0, "{name:?} {sign:?}");
            }
            let [unlit, lit] = theme.flash().map(relative_luminance);
            assert!((lit - unlit).abs() > FLASH_CONTRAST && lit.min(unlit) < DARKER_MAX);
            // Nothing flashes in saturated red: R / (R + G + B) below 0.8.
            let [r, g, b] = theme.lit.map(f64::from);
            assert!(r < 0.8 * (r + g + b));
        }
    }
}
