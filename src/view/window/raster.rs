//! A renderer on the processor, for tests: egui's triangles, filled pixel by pixel. No display, no graphics driver.

use eframe::egui::{Color32, Context, FullOutput, epaint};

/// A picture, row by row from the top.
pub(super) struct Pixels {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) colours: Vec<Color32>,
}

impl Pixels {
    /// How many pixels have this colour, where the middle of each lies within `inside`.
    pub(super) fn count(&self, colour: Color32, inside: impl Fn(f32, f32) -> bool) -> usize {
        let at = |index: usize| (index % self.width, index / self.width);
        let counts = |(index, found): (usize, &Color32)| {
            let (x, y) = at(index);
            *found == colour && inside(x as f32 + 0.5, y as f32 + 0.5)
        };
        self.colours
            .iter()
            .enumerate()
            .filter(|pixel| counts(*pixel))
            .count()
    }
}

/// Fills what was drawn last, at one pixel per point.
pub(super) fn raster(
    ctx: &Context,
    output: &FullOutput,
    (width, height): (usize, usize),
) -> Pixels {
    let atlas = ctx.fonts(|fonts| fonts.image());
    let mut pixels = Pixels {
        width,
        height,
        colours: vec![Color32::BLACK; width * height],
    };
    for clipped in ctx.tessellate(output.shapes.clone(), 1.0) {
        let epaint::Primitive::Mesh(mesh) = clipped.primitive else {
            continue;
        };
        for corners in mesh.indices.chunks_exact(3) {
            let corners = [0, 1, 2].map(|k| mesh.vertices[corners[k] as usize]);
            fill(&mut pixels, &atlas, clipped.clip_rect, corners);
        }
    }
    pixels
}

fn fill(
    pixels: &mut Pixels,
    atlas: &epaint::ColorImage,
    clip: epaint::emath::Rect,
    [a, b, c]: [epaint::Vertex; 3],
) {
    let area = (b.pos - a.pos).x * (c.pos - a.pos).y - (b.pos - a.pos).y * (c.pos - a.pos).x;
    if area == 0.0 {
        return;
    }
    let range = |low: f32, high: f32, most: usize| {
        let low = low.floor().max(0.0) as usize;
        low..(high.ceil().max(0.0) as usize).min(most)
    };
    let least = |f: fn(&epaint::Vertex) -> f32| f(&a).min(f(&b)).min(f(&c));
    let most = |f: fn(&epaint::Vertex) -> f32| f(&a).max(f(&b)).max(f(&c));
    for y in range(least(|v| v.pos.y), most(|v| v.pos.y), pixels.height) {
        for x in range(least(|v| v.pos.x), most(|v| v.pos.x), pixels.width) {
            let at = epaint::emath::pos2(x as f32 + 0.5, y as f32 + 0.5);
            let side = |p: epaint::emath::Pos2, q: epaint::emath::Pos2| {
                ((q - p).x * (at - p).y - (q - p).y * (at - p).x) / area
            };
            let weights = [side(b.pos, c.pos), side(c.pos, a.pos), side(a.pos, b.pos)];
            if weights.iter().any(|w| *w < 0.0) || !clip.contains(at) {
                continue;
            }
            let mix = |f: fn(&epaint::Vertex) -> f32| {
                weights[0] * f(&a) + weights[1] * f(&b) + weights[2] * f(&c)
            };
            let texel = |share: f32, size: usize| {
                ((share * size as f32) as usize).min(size.saturating_sub(1))
            };
            let (u, v) = (mix(|v| v.uv.x), mix(|v| v.uv.y));
            let texture = atlas[(texel(u, atlas.size[0]), texel(v, atlas.size[1]))];
            let channel = |k: usize| {
                let of = |vertex: &epaint::Vertex| f32::from(vertex.color.to_array()[k]) / 255.0;
                let vertex = weights[0] * of(&a) + weights[1] * of(&b) + weights[2] * of(&c);
                vertex * f32::from(texture.to_array()[k]) / 255.0
            };
            let below = &mut pixels.colours[y * pixels.width + x];
            let alpha = channel(3);
            let blended = |k: usize| {
                let under = f32::from(below.to_array()[k]) / 255.0;
                ((channel(k) + under * (1.0 - alpha)) * 255.0).round() as u8
            };
            *below = Color32::from_rgb(blended(0), blended(1), blended(2));
        }
    }
}
