//! Gradient descent on nets of two hidden layers, a batch at a time, so that a training run takes minutes.

use std::fmt;

use razvilka_dsp::gaze::{CLASSES, FEATURES, Features, HIDDEN_1, HIDDEN_2, Parameters};

use crate::data::{FIXATION, Random, SACCADE};
use crate::learn::Row;

/// Samples of a step.
pub(crate) const BATCH: usize = 256;
/// Of 256 units of the first hidden layer so many are left out at a step (Srivastava et al. 2014).
const DROP: u8 = 51;
/// What makes up for them.
const KEPT: f32 = 256.0 / (256.0 - DROP as f32);
/// Weights shrink by this times the rate at a step.
const DECAY: f32 = 0.02;
/// Features, and zeros up to a multiple of [`HIGH`].
const INPUTS: usize = FEATURES.next_multiple_of(HIGH);
/// Outputs of a convention, and some that stay zero.
const HEAD: usize = 8;
/// Outputs of the convention that is wanted, and of all others.
const HEADS: usize = 2 * HEAD;
/// Products are made in tiles of so many rows and columns.
const HIGH: usize = 4;
const WIDE: usize = 16;

/// Units of the two hidden layers, multiples of [`WIDE`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Widths(usize, usize);

impl Widths {
    /// Those of the detector.
    pub(crate) const DETECTOR: Self = Self(HIDDEN_1, HIDDEN_2);

    /// `None` when products could not be made in tiles.
    pub(crate) fn new(first: usize, second: usize) -> Option<Self> {
        let fits = |n: usize| n > 0 && n.is_multiple_of(WIDE);
        (fits(first) && fits(second)).then_some(Self(first, second))
    }

    /// Where the weights (by input and output) and biases of each layer end.
    fn ends(self) -> [usize; 6] {
        let Self(h1, h2) = self;
        let w1 = INPUTS * h1;
        let w2 = w1 + h1 + h1 * h2;
        let w3 = w2 + h2 + h2 * HEADS;
        [w1, w1 + h1, w2, w2 + h2, w3, w3 + HEADS]
    }
}

impl fmt::Display for Widths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {}", self.0, self.1)
    }
}

/// A classifier that is learned.
#[derive(Debug, Clone)]
pub(crate) struct Net {
    pub(crate) widths: Widths,
    pub(crate) mean: Features,
    pub(crate) per_sd: Features,
    /// Weights and biases, layer after layer.
    pub(crate) numbers: Vec<f32>,
}

impl Net {
    /// Weights and biases of the layers.
    fn layers(&self) -> [(&[f32], &[f32]); 3] {
        let [w1, b1, w2, b2, w3, b3] = self.widths.ends();
        let numbers = &self.numbers;
        [
            (&numbers[..w1], &numbers[w1..b1]),
            (&numbers[b1..w2], &numbers[w2..b2]),
            (&numbers[b2..w3], &numbers[w3..b3]),
        ]
    }

    /// Weights at random (He et al. 2015, eq. 10), biases zero.
    pub(crate) fn new(widths: Widths, random: &mut Random) -> Self {
        let [_, b1, w2, b2, w3, end] = widths.ends();
        let Widths(h1, h2) = widths;
        let mut numbers = vec![0.0; end];
        for (from, to, inputs) in [(0, FEATURES * h1, FEATURES), (b1, w2, h1), (b2, w3, h2)] {
            let sd = (2.0 / inputs as f64).sqrt();
            for w in &mut numbers[from..to] {
                *w = (random.normal() * sd) as f32;
            }
        }
        Self {
            widths,
            mean: [0.0; FEATURES],
            per_sd: [1.0; FEATURES],
            numbers,
        }
    }

    /// Means and deviations of these rows become those of the inputs.
    pub(crate) fn standardise(&mut self, rows: &[Row]) {
        let n = rows.len() as f64;
        for k in 0..FEATURES {
            let all = || rows.iter().map(|r| f64::from(r.features[k]));
            let mean = all().sum::<f64>() / n;
            let var = all().map(|f| (f - mean).powi(2)).sum::<f64>() / n;
            self.mean[k] = mean as f32;
            self.per_sd[k] = (1.0 / var.sqrt().max(1e-3)) as f32;
        }
    }

    /// Puts what was learned where the detector has it; the net is as wide as [`Widths::DETECTOR`].
    pub(crate) fn put(&self, into: &mut Parameters) {
        *into.mean = self.mean;
        *into.per_sd = self.per_sd;
        let [(w1, b1), (w2, b2), (w3, b3)] = self.layers();
        let copy = |to: &mut [f32], from: &[f32]| {
            for (t, f) in to.iter_mut().zip(from) {
                *t = *f;
            }
        };
        copy(into.layer_1.0.as_flattened_mut(), w1);
        copy(&mut into.layer_1.1, b1);
        copy(into.layer_2.0.as_flattened_mut(), w2);
        copy(&mut into.layer_2.1, b2);
        for (to, from) in into.layer_3.0.iter_mut().zip(w3.chunks_exact(HEADS)) {
            copy(to, from);
        }
        copy(&mut into.layer_3.1, b3);
    }

    /// Calls `each` with the shares that the classes of the wanted convention have by each row.
    pub(crate) fn say(&self, rows: &[Row], mut each: impl FnMut(usize, [f32; CLASSES])) {
        let mut pass = Pass::new(self.widths);
        for (batch, part) in rows.chunks(BATCH).enumerate() {
            let part: Vec<&Row> = part.iter().collect();
            pass.forward(self, &part, None);
            for (k, z) in pass.z.chunks_exact(HEADS).take(part.len()).enumerate() {
                let mut said = [0.0; CLASSES];
                said.copy_from_slice(&z[..CLASSES]);
                each(batch * BATCH + k, shares(said));
            }
        }
    }
}

/// Shares of the classes by their logits.
fn shares(z: [f32; CLASSES]) -> [f32; CLASSES] {
    let top = z.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let shares = z.map(|z| (z - top).exp());
    let sum: f32 = shares.iter().sum();
    shares.map(|s| s / sum)
}

/// What a batch is on its way through the net, row after row.
struct Pass {
    widths: Widths,
    x: Vec<f32>,
    h1: Vec<f32>,
    h2: Vec<f32>,
    z: Vec<f32>,
    d1: Vec<f32>,
    d2: Vec<f32>,
    dz: Vec<f32>,
    turned: Vec<f32>,
}

impl Pass {
    fn new(widths: Widths) -> Self {
        let Widths(h1, h2) = widths;
        let rows = |n: usize| vec![0.0; BATCH * n];
        Self {
            widths,
            x: rows(INPUTS),
            h1: rows(h1),
            h2: rows(h2),
            z: rows(HEADS),
            d1: rows(h1),
            d2: rows(h2),
            dz: rows(HEADS),
            turned: vec![0.0; h1.max(HEADS) * h2],
        }
    }

    /// Outputs of at most [`BATCH`] rows; with `drop`, some units are left out and the others make up for them.
    fn forward(&mut self, net: &Net, rows: &[&Row], drop: Option<&mut Random>) {
        for (x, row) in self.x.chunks_exact_mut(INPUTS).zip(rows) {
            let scale = net.mean.iter().zip(&net.per_sd);
            for ((x, f), (mean, per_sd)) in x.iter_mut().zip(&row.features).zip(scale) {
                *x = ((f - mean) * per_sd).clamp(-8.0, 8.0);
            }
        }
        let n = rows.len().next_multiple_of(HIGH);
        let Widths(h1, h2) = self.widths;
        let [l1, l2, l3] = net.layers();
        layer(&mut self.h1, &self.x, l1, (n, INPUTS, h1));
        self.h1.iter_mut().for_each(|h| *h = h.max(0.0));
        if let Some(random) = drop {
            for h in self.h1.chunks_mut(8) {
                for (h, byte) in h.iter_mut().zip(random.bits().to_le_bytes()) {
                    *h = if byte < DROP { 0.0 } else { *h * KEPT };
                }
            }
        }
        layer(&mut self.h2, &self.h1, l2, (n, h1, h2));
        self.h2.iter_mut().for_each(|h| *h = h.max(0.0));
        layer(&mut self.z, &self.h2, l3, (n, h2, HEADS));
    }

    /// Gradient of the mean loss of a batch; gives that loss.
    fn backward(&mut self, net: &Net, rows: &[&Row], gradient: &mut [f32]) -> f32 {
        gradient.fill(0.0);
        self.dz.fill(0.0);
        let total: f32 = rows.iter().map(|r| r.weight).sum();
        let mut loss = 0.0;
        let outputs = self.z.chunks_exact(HEADS);
        for ((row, z), dz) in rows
            .iter()
            .zip(outputs)
            .zip(self.dz.chunks_exact_mut(HEADS))
        {
            let head = if row.set == 0 { 0 } else { HEAD };
            let weight = row.weight / total;
            // What is learned is probability and readiness (Menon et al. 2021, eq. 10).
            let mut probable = [0.0; CLASSES];
            probable.copy_from_slice(&z[head..head + CLASSES]);
            probable[usize::from(SACCADE - FIXATION)] -= row.readiness;
            let said = shares(probable);
            for ((d, s), t) in dz[head..].iter_mut().zip(said).zip(row.target) {
                *d = weight * (s - t);
                loss -= weight * t * s.max(1e-12).ln();
            }
        }
        let n = rows.len();
        let Widths(h1, h2) = self.widths;
        let [_, (w2, _), (w3, _)] = net.layers();
        turn(&mut self.turned, w3, HEADS);
        self.d2.fill(0.0);
        add_product(
            &mut self.d2,
            &self.dz,
            (HEADS, 1),
            &self.turned,
            (n, HEADS, h2),
        );
        pass_on(&mut self.d2, &self.h2, 1.0);
        turn(&mut self.turned, w2, h2);
        self.d1.fill(0.0);
        add_product(&mut self.d1, &self.d2, (h2, 1), &self.turned, (n, h2, h1));
        pass_on(&mut self.d1, &self.h1, KEPT);
        let mut rest = gradient;
        let mut from = 0;
        let [gw1, gb1, gw2, gb2, gw3, gb3] = self.widths.ends().map(|end| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(end - from);
            (rest, from) = (after, end);
            part
        });
        for (gw, gb, input, inputs, d, outputs) in [
            (gw1, gb1, &self.x, INPUTS, &self.d1, h1),
            (gw2, gb2, &self.h1, h1, &self.d2, h2),
            (gw3, gb3, &self.h2, h2, &self.dz, HEADS),
        ] {
            add_product(gw, input, (1, inputs), d, (inputs, n, outputs));
            for d in d.chunks_exact(outputs).take(n) {
                gb.iter_mut().zip(d).for_each(|(b, d)| *b += d);
            }
        }
        loss
    }
}

/// What passes through rectified units, and by how much.
fn pass_on(d: &mut [f32], h: &[f32], gain: f32) {
    for (d, h) in d.iter_mut().zip(h) {
        *d = if *h > 0.0 { *d * gain } else { 0.0 };
    }
}

fn layer(y: &mut [f32], x: &[f32], (w, b): (&[f32], &[f32]), shape: (usize, usize, usize)) {
    for y in y.chunks_exact_mut(b.len()).take(shape.0) {
        y.copy_from_slice(b);
    }
    add_product(y, x, (shape.1, 1), w, shape);
}

/// Rows of `w` become columns.
fn turn(turned: &mut [f32], w: &[f32], columns: usize) {
    let rows = w.len() / columns;
    for (i, row) in w.chunks_exact(columns).enumerate() {
        for (j, w) in row.iter().enumerate() {
            turned[j * rows + i] = *w;
        }
    }
}

/// Adds to `c`, of `rows` and `columns`, the product of `a` (whose rows and columns are `stride` apart) and `b`. Sums are always in the same order.
fn add_product(
    c: &mut [f32],
    a: &[f32],
    stride: (usize, usize),
    b: &[f32],
    (rows, inner, columns): (usize, usize, usize),
) {
    debug_assert!(rows % HIGH == 0 && columns % WIDE == 0);
    for i in (0..rows).step_by(HIGH) {
        for j in (0..columns).step_by(WIDE) {
            let mut tile = [[0.0_f32; WIDE]; HIGH];
            for k in 0..inner {
                let b = &b[k * columns + j..][..WIDE];
                let a = &a[i * stride.0 + k * stride.1..];
                for (h, tile) in tile.iter_mut().enumerate() {
                    let a = a[h * stride.0];
                    for (t, b) in tile.iter_mut().zip(b) {
                        *t += a * b;
                    }
                }
            }
            for (h, tile) in tile.iter().enumerate() {
                let c = &mut c[(i + h) * columns + j..][..WIDE];
                c.iter_mut().zip(tile).for_each(|(c, t)| *c += t);
            }
        }
    }
}

/// Adam (Kingma & Ba 2015) with its defaults, and decay apart from it (Loshchilov & Hutter 2019).
pub(crate) struct Adam {
    first: Vec<f32>,
    second: Vec<f32>,
    gradient: Vec<f32>,
    steps: i32,
    pass: Pass,
    random: Random,
}

impl Adam {
    pub(crate) fn new(net: &Net, random: Random) -> Self {
        let zeros = || vec![0.0; net.numbers.len()];
        Self {
            first: zeros(),
            second: zeros(),
            gradient: zeros(),
            steps: 0,
            pass: Pass::new(net.widths),
            random,
        }
    }

    /// One step on [`BATCH`] rows; gives their mean loss.
    pub(crate) fn step(&mut self, net: &mut Net, rows: &[&Row], rate: f32) -> f32 {
        self.pass.forward(net, rows, Some(&mut self.random));
        let loss = self.pass.backward(net, rows, &mut self.gradient);
        self.steps += 1;
        let (c1, c2) = (
            1.0 - 0.9_f32.powi(self.steps),
            1.0 - 0.999_f32.powi(self.steps),
        );
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((w, g), (first, second)) in net.numbers.iter_mut().zip(&self.gradient).zip(moments) {
            *first += 0.1 * (g - *first);
            *second += 0.001 * (g * g - *second);
            *w -= rate * (*first / c1 / ((*second / c2).sqrt() + 1e-8) + DECAY * *w);
        }
        loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_is_what_small_changes_of_weights_do_to_the_loss() {
        let mut random = Random(3);
        let mut net = Net::new(Widths::DETECTOR, &mut random);
        net.numbers
            .iter_mut()
            .for_each(|w| *w += 0.05 * random.normal() as f32);
        let rows: Vec<Row> = (0..BATCH)
            .map(|k| {
                let mut target = [0.1; CLASSES];
                target[random.below(CLASSES)] += 0.5;
                Row {
                    features: [(); FEATURES].map(|()| random.normal() as f32),
                    target,
                    weight: 0.5 + random.uniform() as f32,
                    set: k % 2,
                    readiness: random.uniform() as f32,
                }
            })
            .collect();
        let rows: Vec<&Row> = rows.iter().collect();
        let mut pass = Pass::new(net.widths);
        let ends = net.widths.ends();
        let mut gradient = vec![0.0; ends[5]];
        let mut loss = |net: &Net, gradient: &mut [f32]| {
            // The same units are left out each time.
            pass.forward(net, &rows, Some(&mut Random(4)));
            f64::from(pass.backward(net, &rows, gradient))
        };
        loss(&net, &mut gradient);
        let mut unused = gradient.clone();
        for layer in 0..6 {
            let from = if layer == 0 { 0 } else { ends[layer - 1] };
            // Along the gradient of a layer the loss grows by its length squared.
            let length: f32 = gradient[from..ends[layer]].iter().map(|g| g * g).sum();
            let step = 1e-2 / length.sqrt();
            let mut along = |by: f32| {
                let mut moved = net.clone();
                let layer = from..ends[layer];
                for (w, g) in moved.numbers[layer.clone()]
                    .iter_mut()
                    .zip(&gradient[layer])
                {
                    *w += by * step * g;
                }
                loss(&moved, &mut unused)
            };
            let slope = (along(1.0) - along(-1.0)) / (2.0 * f64::from(step));
            let expected = f64::from(length);
            assert!(
                (slope - expected).abs() < 0.02 * expected,
                "layer {layer}: {slope} and {expected}"
            );
        }
    }
}
