//! Gradient descent on the classifier, and durations from labels.

use razvilka_dsp::gaze::{
    AGE_S, AGES, CLASSES, Durations, FEATURES, FeatureStream, Features, HIDDEN_1, HIDDEN_2,
    OUTPUTS, PARAMETERS, Parameters,
};
use razvilka_dsp::units::Hertz;

use crate::data::{FIXATION, LOST, Random, Recording, Worse};
use crate::teach;
use crate::tune::Numbers;

/// What one sample teaches.
pub(crate) struct Row {
    pub(crate) features: Features,
    /// How much each class is right; together 1.
    pub(crate) target: [f32; CLASSES],
    pub(crate) weight: f32,
    /// Number of the set: each has its own convention.
    pub(crate) set: usize,
}

/// Class of a label; none when it is undefined.
pub(crate) fn class(label: u8) -> Option<usize> {
    (FIXATION..=LOST)
        .contains(&label)
        .then(|| usize::from(label) - 1)
}

/// Settings of a training run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) epochs: usize,
    /// Recordings of a set with more minutes than this are passed over in turn.
    pub(crate) minutes_per_epoch: f64,
    pub(crate) rate: f32,
    /// How many classifiers, of this seed and those after it, teach the one that is made.
    pub(crate) teachers: usize,
}

impl Plan {
    pub(crate) const USUAL: Self = Self {
        seed: 1,
        epochs: 8,
        minutes_per_epoch: 12.0,
        rate: 2e-3,
        teachers: 3,
    };
}

/// Samples of a step.
const BATCH: usize = 256;
/// Share of the first hidden layer's units that are left out at a step (Srivastava et al. 2014).
const DROP: f32 = 0.2;
/// Weights shrink by this times the rate at a step.
const DECAY: f32 = 0.02;
/// Share of recordings that are shown as they are.
const CLEAN: f64 = 0.5;

/// Trains one on these recordings, with what the teachers say.
pub(crate) fn train_one(
    recordings: &[&Recording],
    plan: &Plan,
    teachers: &[Parameters],
) -> Parameters {
    let mut random = Random(plan.seed);
    let mut parameters = begin(&mut random);
    parameters.durations = durations(recordings);
    Numbers::USUAL.put(&mut parameters);
    let mut averaged = parameters.clone();
    let mut adam = Adam::new();
    let mut other = begin(&mut random);
    let mut adam_other = Adam::new();
    for epoch in 0..plan.epochs {
        let mut rows = Vec::new();
        for recording in chosen(recordings, plan, &mut random) {
            let worse = if random.uniform() < CLEAN {
                Worse::NOT
            } else {
                Worse::any(&mut random)
            };
            describe(recording, &worse, &mut random, &mut rows);
        }
        if epoch == 0 {
            standardise(&mut parameters, &rows);
            parameters.durations.share = shares(&rows);
        }
        teach::soften(&mut rows, teachers);
        for k in (1..rows.len()).rev() {
            rows.swap(k, random.below(k + 1));
        }
        let steps = rows.len() / BATCH;
        let mut loss = 0.0;
        for (k, part) in rows.chunks_exact(BATCH).enumerate() {
            let done = (epoch as f32 + k as f32 / steps as f32) / plan.epochs as f32;
            let rate =
                plan.rate * (0.02 + 0.98 * 0.5 * (1.0 + (std::f32::consts::PI * done).cos()));
            loss += adam.step(&mut parameters, part, rate, &mut other, &mut adam_other);
            average(&mut averaged, &mut parameters, epoch, k);
        }
        eprintln!(
            "epoch {epoch}: {} rows, loss {:.4}",
            rows.len(),
            loss / steps as f32
        );
    }
    averaged.durations = parameters.durations;
    (averaged.mean, averaged.per_sd) = (parameters.mean, parameters.per_sd);
    averaged
}

/// The weights' running mean over the last thousand steps or so: less at the mercy of the last rows (Polyak & Juditsky 1992).
fn average(averaged: &mut Parameters, parameters: &mut Parameters, epoch: usize, step: usize) {
    let pull = if epoch == 0 && step < 1000 { 1.0 } else { 1e-3 };
    let mut now = Vec::with_capacity(PARAMETERS);
    flat(parameters, |w| now.push(*w));
    let mut now = now.iter();
    flat(averaged, |w| {
        if let Some(n) = now.next() {
            *w += pull * (n - *w);
        }
    });
}

/// Recordings of each set, up to the minutes planned, in random order.
fn chosen<'a>(
    recordings: &[&'a Recording],
    plan: &Plan,
    random: &mut Random,
) -> Vec<&'a Recording> {
    let mut picked: Vec<&Recording> = recordings.to_vec();
    for k in (1..picked.len()).rev() {
        picked.swap(k, random.below(k + 1));
    }
    // Each of the others is seen twice: as it is and worse.
    let mut minutes = [0.0; 8];
    let mut twice = Vec::new();
    for recording in picked {
        let of_set = &mut minutes[recording.set.min(7)];
        if *of_set < plan.minutes_per_epoch {
            *of_set += recording.minutes();
            twice.extend([recording, recording]);
        }
    }
    twice
}

fn describe(recording: &Recording, worse: &Worse, random: &mut Random, rows: &mut Vec<Row>) {
    let made = worse.apply(recording, random);
    let Ok(mut stream) = Hertz::new(made.rate_hz)
        .map_err(|_| ())
        .and_then(|rate| FeatureStream::new(rate, 0.075).map_err(|_| ()))
    else {
        return;
    };
    // Slow trackers have few samples, fast ones many: all weigh the same.
    let (keep, weight) = if made.rate_hz > 500.0 {
        (500.0 / made.rate_hz, 1.0)
    } else {
        (1.0, (500.0 / made.rate_hz).sqrt() as f32)
    };
    let mut next = 0;
    // Only samples with rising stamps are described; a shaken stamp may drop one.
    let accepted: Vec<usize> = {
        let mut last = f64::NEG_INFINITY;
        (0..made.samples.len())
            .filter(|k| {
                let t = made.samples[*k].t_s;
                let ok = t > last;
                if ok {
                    last = t;
                }
                ok
            })
            .collect()
    };
    for sample in &made.samples {
        stream.push(*sample, &mut |row| {
            let Some(index) = accepted.get(next) else {
                return;
            };
            next += 1;
            let Some(is) =
                class(made.labels[*index]).filter(|_| !row.gone && random.uniform() < keep)
            else {
                return;
            };
            let mut target = [0.0; CLASSES];
            target[is] = 1.0;
            rows.push(Row {
                set: recording.set,
                features: row.features,
                target,
                weight,
            });
        });
    }
}

fn standardise(parameters: &mut Parameters, rows: &[Row]) {
    let n = rows.len() as f64;
    for k in 0..FEATURES {
        let mean = rows.iter().map(|r| f64::from(r.features[k])).sum::<f64>() / n;
        let var = rows
            .iter()
            .map(|r| (f64::from(r.features[k]) - mean).powi(2))
            .sum::<f64>()
            / n;
        parameters.mean[k] = mean as f32;
        parameters.per_sd[k] = (1.0 / var.sqrt().max(1e-3)) as f32;
    }
}

fn shares(rows: &[Row]) -> [f32; CLASSES] {
    let mut sums = [1.0; CLASSES];
    for row in rows {
        if let Some(k) = row.target.iter().position(|t| *t == 1.0) {
            sums[k] += row.weight;
        }
    }
    let total: f32 = sums.iter().sum();
    sums.map(|s| s / total)
}

fn begin(random: &mut Random) -> Parameters {
    let mut p = Parameters::zero();
    let mut fill = |w: &mut f32, n: usize| *w = (random.normal() * (2.0 / n as f64).sqrt()) as f32;
    p.layer_1
        .0
        .iter_mut()
        .flatten()
        .for_each(|w| fill(w, FEATURES));
    p.layer_2
        .0
        .iter_mut()
        .flatten()
        .for_each(|w| fill(w, HIDDEN_1));
    p.layer_3
        .0
        .iter_mut()
        .flatten()
        .for_each(|w| fill(w, HIDDEN_2));
    p
}

/// Hazards, successions and shares from labels.
pub(crate) fn durations(recordings: &[&Recording]) -> Durations {
    let mut ends = [[0.0_f64; AGES]; CLASSES];
    let mut spent = [[0.0_f64; AGES]; CLASSES];
    let mut follows = [[0.5_f64; CLASSES]; CLASSES];
    for recording in recordings {
        let dt = 1.0 / recording.rate_hz;
        let mut from = 0;
        for (k, pair) in recording.labels.windows(2).enumerate() {
            let Some(now) = class(pair[0]) else {
                from = k + 1;
                continue;
            };
            let age = (((k - from) as f64 + 0.5) * dt / AGE_S) as usize;
            let age = age.min(AGES - 1);
            spent[now][age] += dt;
            if pair[1] != pair[0] {
                from = k + 1;
                if let Some(next) = class(pair[1]) {
                    ends[now][age] += 1.0;
                    follows[now][next] += 1.0;
                }
            }
        }
    }
    let mut made = Durations {
        hazard_per_s: [[0.0; AGES]; CLASSES],
        next: [[0.0; CLASSES]; CLASSES],
        share: [0.0; CLASSES],
    };
    let total: f64 = spent.iter().flatten().sum();
    for class in 0..CLASSES {
        let all = ends[class].iter().sum::<f64>() / spent[class].iter().sum::<f64>().max(1e-3);
        for age in 0..AGES {
            made.hazard_per_s[class][age] =
                ((ends[class][age] + 0.02 * all) / (spent[class][age] + 0.02)) as f32;
        }
        follows[class][class] = 0.0;
        let sum: f64 = follows[class].iter().sum();
        made.next[class] = follows[class].map(|f| (f / sum) as f32);
        made.share[class] = (spent[class].iter().sum::<f64>() / total) as f32;
    }
    made
}

/// Adam (Kingma & Ba 2015) with its defaults.
struct Adam {
    first: Vec<f32>,
    second: Vec<f32>,
    steps: i32,
    gradient: Parameters,
    random: Random,
}

impl Adam {
    fn new() -> Self {
        Self {
            first: vec![],
            second: vec![],
            steps: 0,
            gradient: Parameters::zero(),
            random: Random(7),
        }
    }

    /// One step on a batch; gives its mean loss.
    fn step(
        &mut self,
        parameters: &mut Parameters,
        rows: &[Row],
        rate: f32,
        other: &mut Parameters,
        adam_other: &mut Adam,
    ) -> f32 {
        adam_other.gradient = Parameters::zero();
        self.gradient = Parameters::zero();
        let mut loss = 0.0;
        let mut weight = 0.0;
        for row in rows {
            loss += if row.set == 0 {
                backward(
                    parameters,
                    None,
                    &mut self.gradient,
                    None,
                    row,
                    &mut self.random,
                )
            } else {
                backward(
                    parameters,
                    Some(&*other),
                    &mut self.gradient,
                    Some(&mut adam_other.gradient),
                    row,
                    &mut self.random,
                )
            };
            weight += row.weight;
        }
        self.apply(parameters, weight, rate);
        adam_other.apply(other, weight, rate);
        loss / weight
    }
}

impl Adam {
    fn apply(&mut self, parameters: &mut Parameters, weight: f32, rate: f32) {
        let mut g = Vec::with_capacity(PARAMETERS);
        flat(&mut self.gradient, |w| g.push(*w / weight));
        self.first.resize(g.len(), 0.0);
        self.second.resize(g.len(), 0.0);
        self.steps += 1;
        let (c1, c2) = (
            1.0 - 0.9_f32.powi(self.steps),
            1.0 - 0.999_f32.powi(self.steps),
        );
        let mut k = 0;
        let (first, second) = (&mut self.first, &mut self.second);
        flat(parameters, |w| {
            first[k] += 0.1 * (g[k] - first[k]);
            second[k] += 0.001 * (g[k] * g[k] - second[k]);
            *w -= rate * (first[k] / c1 / ((second[k] / c2).sqrt() + 1e-8) + DECAY * *w);
            k += 1;
        });
    }
}

/// The weights that are learned by descent.
fn flat(p: &mut Parameters, mut f: impl FnMut(&mut f32)) {
    let (w, b) = &mut *p.layer_1;
    w.iter_mut().flatten().chain(b).for_each(&mut f);
    let (w, b) = &mut *p.layer_2;
    w.iter_mut().flatten().chain(b).for_each(&mut f);
    let (w, b) = &mut *p.layer_3;
    w.iter_mut().flatten().chain(b).for_each(&mut f);
}

/// Leaves out some units and makes up for it with the others.
fn drop_some(h: &mut [f32], random: &mut Random) {
    let keep = 1.0 / (1.0 - DROP);
    for h in h {
        *h = if random.uniform() < f64::from(DROP) {
            0.0
        } else {
            *h * keep
        };
    }
}

/// Adds the gradient of one row; gives its loss.
fn backward(
    p: &Parameters,
    top_p: Option<&Parameters>,
    g: &mut Parameters,
    top_g: Option<&mut Parameters>,
    row: &Row,
    random: &mut Random,
) -> f32 {
    let last = top_p.map_or(&p.layer_3, |t| &t.layer_3);
    let mut x = [0.0; FEATURES];
    let scale = p.mean.iter().zip(p.per_sd.iter());
    for ((x, f), (mean, per_sd)) in x.iter_mut().zip(&row.features).zip(scale) {
        *x = ((f - mean) * per_sd).clamp(-8.0, 8.0);
    }
    let mut h1 = forward(&x, &p.layer_1.0, &p.layer_1.1).map(|v: f32| v.max(0.0));
    drop_some(&mut h1, random);
    let h2 = forward(&h1, &p.layer_2.0, &p.layer_2.1).map(|v: f32| v.max(0.0));
    let z: [f32; OUTPUTS] = forward(&h2, &last.0, &last.1);
    let top = z[..CLASSES]
        .iter()
        .copied()
        .fold(f32::NEG_INFINITY, f32::max);
    let mut soft = [0.0; CLASSES];
    for k in 0..CLASSES {
        soft[k] = (z[k] - top).exp();
    }
    let sum: f32 = soft.iter().sum();
    let mut dz = [0.0; OUTPUTS];
    for k in 0..CLASSES {
        dz[k] = row.weight * (soft[k] / sum - row.target[k]);
    }
    let d2 = match top_g {
        Some(t) => back(&dz, &h2, &last.0, &mut t.layer_3.0, &mut t.layer_3.1),
        None => back(&dz, &h2, &last.0, &mut g.layer_3.0, &mut g.layer_3.1),
    };
    let keep = 1.0 / (1.0 - DROP);
    let d1 = back(&d2, &h1, &p.layer_2.0, &mut g.layer_2.0, &mut g.layer_2.1).map(|d| d * keep);
    for (gw, x) in g.layer_1.0.iter_mut().zip(x) {
        for (gw, d) in gw.iter_mut().zip(&d1) {
            *gw += x * d;
        }
    }
    for (b, d) in g.layer_1.1.iter_mut().zip(&d1) {
        *b += d;
    }
    let loss = |(share, target): (f32, &f32)| -target * (share / sum).max(1e-12).ln();
    row.weight * soft.into_iter().zip(&row.target).map(loss).sum::<f32>()
}

fn forward<const N: usize, const M: usize>(
    x: &[f32; N],
    w: &[[f32; M]; N],
    b: &[f32; M],
) -> [f32; M] {
    let mut y = *b;
    for (x, row) in x.iter().zip(w) {
        for (y, w) in y.iter_mut().zip(row) {
            *y += x * w;
        }
    }
    y
}

/// Gradients of a layer, and what passes on to the rectified units below.
fn back<const N: usize, const M: usize>(
    d: &[f32; M],
    h: &[f32; N],
    w: &[[f32; M]; N],
    gw: &mut [[f32; M]; N],
    gb: &mut [f32; M],
) -> [f32; N] {
    let mut below = [0.0; N];
    for (((below, h), w), gw) in below.iter_mut().zip(h).zip(w).zip(gw) {
        if *h > 0.0 {
            for (gw, d) in gw.iter_mut().zip(d) {
                *gw += h * d;
            }
            // Eight sums at once, always in the same order.
            let mut lanes = [0.0_f32; 8];
            let (whole, rest) = w.as_chunks::<8>();
            let (whole_d, rest_d) = d.as_chunks::<8>();
            for (w, d) in whole.iter().zip(whole_d) {
                for ((lane, w), d) in lanes.iter_mut().zip(w).zip(d) {
                    *lane += w * d;
                }
            }
            let rest: f32 = rest.iter().zip(rest_d).map(|(w, d)| w * d).sum();
            *below = lanes.iter().sum::<f32>() + rest;
        }
    }
    for (b, d) in gb.iter_mut().zip(d) {
        *b += d;
    }
    below
}
