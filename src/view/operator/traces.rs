//! Scrolling EEG as a picture that is kept: a ring of columns of pixels in a texture. A frame paints the few columns that are new and moves the
//! picture; drawing all lines anew would be a hundred thousand points in every frame.

use std::collections::VecDeque;

use eframe::egui::{
    Color32, ColorImage, Context, Painter, Rect, TextureHandle, TextureOptions, pos2,
};

use crate::operator::{Brain, HISTORY};

/// How the channels lie in the picture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lanes {
    /// Height of the picture, pixels.
    pub(super) height: usize,
    /// Microvolts from one channel's line to the next one's.
    pub(super) gain_uv: f32,
    /// Colour of each channel.
    pub(super) colours: Vec<Color32>,
}

impl Lanes {
    /// Pixels from one channel's line to the next one's.
    fn lane(&self) -> f32 {
        self.height as f32 / self.colours.len().max(1) as f32
    }

    /// Where a value of a channel lies, pixels from the top; at most one and a half lanes away from its line.
    fn at(&self, channel: usize, uv: f32) -> f32 {
        let lane = self.lane();
        let centre = (channel as f32 + 0.5) * lane;
        centre - (uv / self.gain_uv).clamp(-1.5, 1.5) * lane
    }

    /// Paints one column of pixels, from the top: each channel from its smallest to its largest value, joined to the column before.
    pub(super) fn paint(
        &self,
        column: &[[f32; 2]],
        before: Option<&[[f32; 2]]>,
        pixels: &mut [Color32],
    ) {
        for (channel, (range, colour)) in column.iter().zip(&self.colours).enumerate() {
            let [mut low, mut high] = *range;
            if !(low.is_finite() && high.is_finite()) {
                continue;
            }
            if let Some([last_low, last_high]) = before.and_then(|b| b.get(channel)) {
                // `min` and `max` pass over what is no number.
                low = low.min(*last_high);
                high = high.max(*last_low);
            }
            let (top, bottom) = (self.at(channel, high), self.at(channel, low));
            let top = top.floor().max(0.0) as usize;
            let bottom = (bottom.floor().max(0.0) as usize).min(pixels.len().saturating_sub(1));
            if let Some(line) = pixels.get_mut(top..=bottom) {
                line.fill(*colour);
            }
        }
    }
}

/// The picture.
#[derive(Default)]
pub(super) struct Traces {
    texture: Option<TextureHandle>,
    lanes: Option<Lanes>,
    opened: u64,
    /// The columns that are in the picture, oldest first.
    columns: VecDeque<Box<[[f32; 2]]>>,
    total: u64,
    /// How many of them are painted.
    painted: u64,
}

impl Traces {
    /// Takes over what is new; the picture of another stream begins anew.
    pub(super) fn take(&mut self, brain: &Brain) {
        if self.opened != brain.opened {
            *self = Self {
                opened: brain.opened,
                ..Self::default()
            };
        }
        let Some(new) = &brain.columns else { return };
        let skipped = new.total() - self.total.min(new.total()) > HISTORY as u64;
        if skipped {
            self.lanes = None;
        }
        for column in new.since(self.total) {
            if self.columns.len() == HISTORY {
                self.columns.pop_front();
            }
            self.columns.push_back(column.into());
        }
        self.total = new.total();
    }

    /// Columns so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Channels in the picture.
    pub(super) fn channels(&self) -> usize {
        self.columns.back().map_or(0, |column| column.len())
    }

    /// Brings the picture up to date.
    pub(super) fn update(&mut self, ctx: &Context, lanes: &Lanes) {
        if self.columns.is_empty() || lanes.height == 0 {
            return;
        }
        let anew = self.lanes.as_ref() != Some(lanes) || self.texture.is_none();
        let new = if anew {
            self.columns.len()
        } else {
            (self.total.saturating_sub(self.painted) as usize).min(self.columns.len())
        };
        if anew {
            let blank = ColorImage::filled([HISTORY, lanes.height], Color32::TRANSPARENT);
            self.texture = Some(ctx.load_texture("eeg", blank, TextureOptions::NEAREST));
            self.lanes = Some(lanes.clone());
        }
        let first = self.total - new as u64;
        let mut at = first;
        while at < self.total {
            // Up to the ring's end at once.
            let x = (at % HISTORY as u64) as usize;
            let count = ((self.total - at) as usize).min(HISTORY - x);
            let image = self.picture(lanes, at, count);
            if let Some(texture) = &mut self.texture {
                texture.set_partial([x, 0], image, TextureOptions::NEAREST);
            }
            at += count as u64;
        }
        self.painted = self.total;
    }

    /// The columns from number `first` on as a picture.
    fn picture(&self, lanes: &Lanes, first: u64, count: usize) -> ColorImage {
        let oldest = self.total - self.columns.len() as u64;
        let mut image = ColorImage::filled([count, lanes.height], Color32::TRANSPARENT);
        let mut pixels = vec![Color32::TRANSPARENT; lanes.height];
        for number in 0..count {
            let index = (first - oldest) as usize + number;
            let before = index.checked_sub(1).and_then(|b| self.columns.get(b));
            let Some(column) = self.columns.get(index) else {
                continue;
            };
            pixels.fill(Color32::TRANSPARENT);
            lanes.paint(column, before.map(|b| &**b), &mut pixels);
            for (y, colour) in pixels.iter().enumerate() {
                image.pixels[y * count + number] = *colour;
            }
        }
        image
    }

    /// Draws the latest columns into this rectangle, one for each pixel, the newest at its right edge.
    pub(super) fn draw(&self, painter: &Painter, rect: Rect, pixels_per_point: f32) {
        let Some(texture) = &self.texture else { return };
        let wide = ((rect.width() * pixels_per_point) as usize).min(HISTORY);
        let shown = wide.min(self.columns.len());
        let mut right = rect.right();
        let mut end = self.total;
        let mut left_to_draw = shown;
        while left_to_draw > 0 {
            let last = (end - 1) % HISTORY as u64;
            let count = left_to_draw.min(last as usize + 1);
            let width = count as f32 / pixels_per_point;
            let part =
                Rect::from_min_max(pos2(right - width, rect.top()), pos2(right, rect.bottom()));
            let u = |column: f32| column / HISTORY as f32;
            let uv = Rect::from_min_max(
                pos2(u((last + 1) as f32 - count as f32), 0.0),
                pos2(u((last + 1) as f32), 1.0),
            );
            painter.image(texture.id(), part, uv, Color32::WHITE);
            right -= width;
            end -= count as u64;
            left_to_draw -= count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes() -> Lanes {
        Lanes {
            height: 40,
            gain_uv: 100.0,
            colours: vec![Color32::RED, Color32::GREEN],
        }
    }

    fn painted(column: &[[f32; 2]], before: Option<&[[f32; 2]]>) -> Vec<Color32> {
        let mut pixels = vec![Color32::TRANSPARENT; 40];
        lanes().paint(column, before, &mut pixels);
        pixels
    }

    fn rows(pixels: &[Color32], colour: Color32) -> Vec<usize> {
        let rows = pixels.iter().enumerate();
        rows.filter(|(_, found)| **found == colour)
            .map(|(row, _)| row)
            .collect()
    }

    #[test]
    fn each_channel_lies_in_its_lane_from_its_smallest_to_its_largest_value() {
        let pixels = painted(&[[0.0, 0.0], [-25.0, 25.0]], None);
        assert_eq!(rows(&pixels, Color32::RED), [10]);
        assert_eq!(rows(&pixels, Color32::GREEN), (25..=35).collect::<Vec<_>>());
        // However large, it stays within one and a half lanes of its line.
        let pixels = painted(&[[0.0, 0.0], [0.0, 1e9]], None);
        assert_eq!(rows(&pixels, Color32::GREEN).first(), Some(&0));
        let none = painted(&[[f32::NAN, f32::NAN], [0.0, f32::INFINITY]], None);
        assert!(none.iter().all(|pixel| *pixel == Color32::TRANSPARENT));
    }

    #[test]
    fn a_line_has_no_holes_between_two_columns() {
        let before = [[-50.0, -40.0], [0.0, 0.0]];
        let pixels = painted(&[[20.0, 30.0], [0.0, 0.0]], Some(&before));
        let lane = rows(&pixels, Color32::RED);
        // From the column before, whose upper end is -40, to 30.
        assert_eq!((lane[0], lane[lane.len() - 1]), (4, 18));
        assert_eq!(lane.len(), 15);
    }
}
