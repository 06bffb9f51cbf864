//! How much of the screen flashes, and how often, against WCAG 2.3.1.
//!
//! WCAG 2.2, success criterion 2.3.1, with its definition of "general flash and red flash thresholds"
//! (<https://www.w3.org/TR/WCAG22/#dfn-general-flash-and-red-flash-thresholds>): a sequence is safe when there are no more than three
//! general flashes in any one second, *or* when the area of flashes that occur at once is no more than 0.006 steradians within any 10
//! degrees of the visual field. A general flash is a pair of opposing changes in relative luminance of 10 % or more of the maximum, where
//! the darker image is below 0.80. Saturated red is judged apart; no theme flashes in it.

use crate::config::{PatchSection, ScreenSection};
use crate::marker::OptionTile;

/// What may flash at once at any rate, steradians within 10 degrees of the visual field.
pub const SAFE_AREA_SR: f64 = 0.006;
/// General flashes in any one second that are safe at any area.
pub const SAFE_RATE_HZ: f64 = 3.0;
/// Least change of relative luminance that makes a general flash.
pub const FLASH_CONTRAST: f64 = 0.1;
/// Where the darker image is at least this light, nothing counts as a flash.
pub const DARKER_MAX: f64 = 0.8;

/// A colour, 8 bits of sRGB each.
pub type Rgb = [u8; 3];

/// Relative luminance of a colour, 0 to 1 (WCAG 2.2, "relative luminance").
#[must_use]
pub fn relative_luminance(colour: Rgb) -> f64 {
    let [r, g, b] = colour.map(|value| {
        let share = f64::from(value) / 255.0;
        if share <= 0.04045 {
            share / 12.92
        } else {
            ((share + 0.055) / 1.055).powf(2.4)
        }
    });
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

/// Solid angle of a rectangle on a flat screen that the eye looks at from straight ahead of its centre, steradians; positions as degrees of
/// visual angle from that centre.
#[must_use]
pub fn solid_angle_sr((left, right): (f64, f64), (top, bottom): (f64, f64)) -> f64 {
    // Of the rectangle from the centre to a corner, on a plane at distance 1: atan(x y / sqrt(1 + x² + y²)).
    let corner = |x_deg: f64, y_deg: f64| {
        let (x, y) = (x_deg.to_radians().tan(), y_deg.to_radians().tan());
        (x * y / (1.0 + x * x + y * y).sqrt()).atan()
    };
    (corner(right, bottom) - corner(left, bottom) - corner(right, top) + corner(left, top)).abs()
}

/// Widest frame, relative to the smaller side of its tile: what is to be read stands within.
const FRAME_SHARE: f64 = 0.2;

/// How thick a frame just within a tile may be, degrees, so that it lights no more than `area_sr_max` and leaves the text alone.
#[must_use]
pub fn frame_deg(tile: &OptionTile, area_sr_max: f64) -> f64 {
    let most = FRAME_SHARE * tile.w_deg.min(tile.h_deg);
    if frame_sr(tile, most) <= area_sr_max {
        return most;
    }
    let (mut thin, mut thick) = (0.0, most);
    // Bisection: the area grows with the thickness.
    for _ in 0..40 {
        let middle = 0.5 * (thin + thick);
        if frame_sr(tile, middle) <= area_sr_max {
            thin = middle;
        } else {
            thick = middle;
        }
    }
    thin
}

/// Solid angle of a frame of this thickness just within a tile, steradians.
#[must_use]
pub fn frame_sr(tile: &OptionTile, frame_deg: f64) -> f64 {
    let area = |inset: f64| {
        let (w, h) = (0.5 * tile.w_deg - inset, 0.5 * tile.h_deg - inset);
        if w <= 0.0 || h <= 0.0 {
            return 0.0;
        }
        solid_angle_sr(
            (tile.x_deg - w, tile.x_deg + w),
            (tile.y_deg - h, tile.y_deg + h),
        )
    };
    area(0.0) - area(frame_deg)
}

/// Solid angle of the square for a photodiode, steradians; 0 without one. Every corner is as far from the eye.
#[must_use]
pub fn patch_sr(patch: &PatchSection, screen: &ScreenSection) -> f64 {
    if patch.corner.is_none() {
        return 0.0;
    }
    let deg = |cm: f64| (cm / screen.distance_cm).atan().to_degrees();
    let side = |half_cm: f64| (deg(half_cm - patch.size_cm), deg(half_cm));
    solid_angle_sr(side(0.5 * screen.width_cm), side(0.5 * screen.height_cm))
}

/// What flashes, computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flashing {
    /// Largest solid angle that flashes at once, steradians.
    pub area_sr: f64,
    /// Most flashes in one second, of all items together.
    pub rate_hz: f64,
    /// Change of relative luminance, of the maximum.
    pub contrast: f64,
    /// Relative luminance of the darker image.
    pub darker: f64,
}

impl Flashing {
    /// The same with a square of `patch_sr` steradians for a photodiode, which goes from black to white with each of them and is counted to
    /// them, wherever it is.
    #[must_use]
    pub fn with_patch(mut self, patch_sr: f64) -> Self {
        if patch_sr > 0.0 {
            self.area_sr += patch_sr;
            self.contrast = 1.0;
            self.darker = 0.0;
        }
        self
    }

    /// Of the square of a photodiode alone, which changes every `every_s` seconds: two changes make a flash.
    #[must_use]
    pub fn of_patch(patch_sr: f64, every_s: f64) -> Self {
        Self {
            area_sr: patch_sr,
            rate_hz: 0.5 / every_s,
            contrast: 1.0,
            darker: 0.0,
        }
    }

    /// Of these tiles' frames: one item at a time, in `lit` instead of `unlit`, each for less time than there is to the next, which comes
    /// after `soa_min_s` at the soonest.
    #[must_use]
    pub fn of(
        tiles: &[OptionTile],
        area_sr_max: f64,
        soa_min_s: f64,
        [unlit, lit]: [Rgb; 2],
    ) -> Self {
        let areas = tiles
            .iter()
            .map(|tile| frame_sr(tile, frame_deg(tile, area_sr_max)));
        let (a, b) = (relative_luminance(unlit), relative_luminance(lit));
        Self {
            area_sr: areas.fold(0.0, f64::max),
            rate_hz: 1.0 / soa_min_s,
            contrast: (a - b).abs(),
            darker: a.min(b),
        }
    }

    /// Whether WCAG 2.3.1 is met.
    #[must_use]
    pub fn is_within_wcag(&self) -> bool {
        let is_flash = self.contrast >= FLASH_CONTRAST && self.darker < DARKER_MAX;
        // A hair above, for what bisection leaves.
        let small = self.area_sr <= SAFE_AREA_SR * (1.0 + 1e-6);
        !is_flash || small || self.rate_hz <= SAFE_RATE_HZ
    }

    /// For people.
    #[must_use]
    pub fn in_words(&self) -> String {
        let verdict = if self.is_within_wcag() {
            "within WCAG 2.3.1"
        } else {
            "NOT within WCAG 2.3.1: lower view.flash_area_sr_max to 0.006, slow the flashes down, or set view.flashes = false"
        };
        format!(
            "flashes: {:.4} sr at once (safe at any rate: {SAFE_AREA_SR}), up to {:.1} in a second (safe at any area: {SAFE_RATE_HZ}), \
             luminance changes by {:.0} %: {verdict}",
            self.area_sr,
            self.rate_hz,
            100.0 * self.contrast
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marker::OptionKind;

    fn tile(x_deg: f64, w_deg: f64, h_deg: f64) -> OptionTile {
        OptionTile {
            item: 0,
            kind: OptionKind::Branch,
            text: String::new(),
            x_deg,
            y_deg: 0.0,
            w_deg,
            h_deg,
        }
    }

    #[test]
    fn solid_angles_and_luminances_are_those_of_the_books() {
        // A face of a cube seen from its middle is a sixth of the sphere.
        let face = solid_angle_sr((-45.0, 45.0), (-45.0, 45.0));
        assert!((face - 4.0 * std::f64::consts::PI / 6.0).abs() < 1e-12);
        // WCAG's own example: 341 x 256 pixels of 1024 x 768 at 15 to 17 inches from 22 to 26 inches: a quarter of 10 degrees' field.
        let field = 2.0 * std::f64::consts::PI * (1.0 - 5.0_f64.to_radians().cos());
        assert!((0.25 * field - SAFE_AREA_SR).abs() < 1e-4);
        assert!((relative_luminance([255, 255, 255]) - 1.0).abs() < 1e-12);
        assert_eq!(relative_luminance([0, 0, 0]), 0.0);
        // #777777 has a contrast ratio of 4.48 to white, as WCAG's techniques state.
        let ratio = 1.05 / (relative_luminance([0x77, 0x77, 0x77]) + 0.05);
        assert!((ratio - 4.48).abs() < 0.005, "{ratio}");
    }

    #[test]
    fn a_frame_is_as_thick_as_the_area_allows_and_no_thicker() {
        for tile in [
            tile(0.0, 11.8, 6.5),
            tile(-15.0, 8.0, 8.0),
            tile(18.0, 3.0, 20.0),
        ] {
            let frame = frame_deg(&tile, SAFE_AREA_SR);
            let area = frame_sr(&tile, frame);
            assert!(
                area <= SAFE_AREA_SR && area > 0.999 * SAFE_AREA_SR,
                "{area}"
            );
        }
        // A small tile keeps most of itself for what is to be read.
        let small = tile(0.0, 4.0, 3.0);
        assert!((frame_deg(&small, SAFE_AREA_SR) - 0.6).abs() < 1e-12);
        assert!(frame_sr(&small, 0.6) < SAFE_AREA_SR);
    }

    #[test]
    fn the_verdict_follows_area_rate_and_contrast() {
        let tiles = [tile(0.0, 11.8, 6.5), tile(-15.0, 11.0, 6.5)];
        let (grey, white) = ([60, 60, 60], [240, 240, 240]);
        let small = Flashing::of(&tiles, SAFE_AREA_SR, 0.1, [grey, white]);
        assert!(small.is_within_wcag(), "{small:?}");
        let large = Flashing::of(&tiles, 0.1, 0.1, [grey, white]);
        assert!(!large.is_within_wcag(), "{large:?}");
        assert!(large.in_words().contains("NOT within WCAG 2.3.1"));
        let slow = Flashing::of(&tiles, 0.1, 0.4, [grey, white]);
        assert!(
            slow.is_within_wcag(),
            "two and a half in a second: {slow:?}"
        );
        let faint = Flashing::of(&tiles, 0.1, 0.1, [[60; 3], [70; 3]]);
        assert!(faint.is_within_wcag(), "{faint:?}");
    }
}
