//! A small classifier: two hidden layers of rectified units over standardised features.

use super::features::{FEATURES, Features};
use super::hsmm::{CLASSES, Durations};
use crate::error::{DspError, count, parameter};

/// Units of the first hidden layer.
pub const HIDDEN_1: usize = 64;
/// Units of the second.
pub const HIDDEN_2: usize = 48;
/// Outputs: the classes.
pub const OUTPUTS: usize = CLASSES;

/// Everything the trained detector has learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    /// Mean of each feature.
    pub mean: Box<[f32; FEATURES]>,
    /// One over the standard deviation of each feature.
    pub per_sd: Box<[f32; FEATURES]>,
    /// Weights by feature and unit, and biases.
    pub layer_1: Box<([[f32; HIDDEN_1]; FEATURES], [f32; HIDDEN_1])>,
    /// Weights by unit and unit, and biases.
    pub layer_2: Box<([[f32; HIDDEN_2]; HIDDEN_1], [f32; HIDDEN_2])>,
    /// Weights by unit and output, and biases.
    pub layer_3: Box<([[f32; OUTPUTS]; HIDDEN_2], [f32; OUTPUTS])>,
    /// Durations and successions of the classes.
    pub durations: Durations,
    /// How outputs and durations are weighed against each other.
    pub tuning: Tuning,
}

/// How the outputs of the classifier become likelihoods.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tuning {
    /// Weight of a sample's evidence, 0.01..=100.
    pub weight: f32,
    /// Added to each output.
    pub bias: [f32; CLASSES],
    /// Factor of each posterior when the largest is chosen, 0..=1e6.
    pub choice: [f32; CLASSES],
}

/// How many numbers there are.
pub const PARAMETERS: usize = 2 * FEATURES
    + (FEATURES + 1) * HIDDEN_1
    + (HIDDEN_1 + 1) * HIDDEN_2
    + (HIDDEN_2 + 1) * OUTPUTS
    + super::hsmm::AGES * CLASSES
    + CLASSES * CLASSES
    + CLASSES
    + 1
    + 2 * CLASSES;

impl Parameters {
    /// All zero.
    #[must_use]
    pub fn zero() -> Self {
        Self {
            mean: Box::new([0.0; FEATURES]),
            per_sd: Box::new([0.0; FEATURES]),
            layer_1: Box::new(([[0.0; HIDDEN_1]; FEATURES], [0.0; HIDDEN_1])),
            layer_2: Box::new(([[0.0; HIDDEN_2]; HIDDEN_1], [0.0; HIDDEN_2])),
            layer_3: Box::new(([[0.0; OUTPUTS]; HIDDEN_2], [0.0; OUTPUTS])),
            durations: Durations {
                hazard_per_s: [[0.0; super::hsmm::AGES]; CLASSES],
                next: [[0.0; CLASSES]; CLASSES],
                share: [0.0; CLASSES],
            },
            tuning: Tuning {
                weight: 1.0,
                bias: [0.0; CLASSES],
                choice: [1.0; CLASSES],
            },
        }
    }

    /// Reads a table of numbers separated by white space, in the order of the fields; lines that begin with `#` are words.
    ///
    /// # Errors
    /// [`DspError::Count`] when there are more or fewer than [`PARAMETERS`] numbers, [`DspError::Parameter`] for one that is none.
    pub fn read(text: &str) -> Result<Self, DspError> {
        let words = || {
            text.lines()
                .filter(|line| !line.starts_with('#'))
                .flat_map(str::split_ascii_whitespace)
        };
        count(
            "numbers of the gaze classifier",
            words().count(),
            PARAMETERS,
            PARAMETERS,
        )?;
        let mut made = Self::zero();
        let mut wrong = None;
        let mut numbers = words();
        made.for_each(|place| {
            let number = numbers.next().and_then(|w| w.parse::<f32>().ok());
            match number.filter(|n| n.is_finite()) {
                Some(number) => *place = number,
                None => wrong = Some(f64::NAN),
            }
        });
        if let Some(wrong) = wrong {
            parameter("a number of the gaze classifier", wrong, -1e30, 1e30)?;
        }
        made.check()?;
        Ok(made)
    }

    /// Checks that no number can lead to one that is not finite.
    ///
    /// # Errors
    /// [`DspError::Parameter`] for one that is none or out of range.
    pub fn check(&self) -> Result<(), DspError> {
        let mut widest = 0.0_f64;
        // A copy, for the walk over all fields is one that may change them.
        self.clone().for_each(|number| {
            let size = f64::from(number.abs());
            widest = if size.is_finite() {
                widest.max(size)
            } else {
                f64::INFINITY
            };
        });
        parameter("a number of the gaze classifier", widest, 0.0, 1e6)?;
        parameter(
            "weight of a sample",
            f64::from(self.tuning.weight),
            0.01,
            100.0,
        )?;
        for factor in self.tuning.choice {
            parameter("factor of a posterior", f64::from(factor), 0.0, 1e6)?;
        }
        self.durations.check()
    }

    /// Every number, in the order in which they are stored.
    pub fn for_each(&mut self, mut f: impl FnMut(&mut f32)) {
        self.mean
            .iter_mut()
            .chain(self.per_sd.iter_mut())
            .for_each(&mut f);
        let (w, b) = &mut *self.layer_1;
        w.iter_mut().flatten().chain(b).for_each(&mut f);
        let (w, b) = &mut *self.layer_2;
        w.iter_mut().flatten().chain(b).for_each(&mut f);
        let (w, b) = &mut *self.layer_3;
        w.iter_mut().flatten().chain(b).for_each(&mut f);
        let d = &mut self.durations;
        let hazards = d.hazard_per_s.iter_mut().flatten();
        hazards
            .chain(d.next.iter_mut().flatten())
            .chain(&mut d.share)
            .for_each(&mut f);
        let t = &mut self.tuning;
        f(&mut t.weight);
        t.bias.iter_mut().chain(&mut t.choice).for_each(&mut f);
    }

    /// Logits of the outputs.
    #[must_use]
    pub fn logits(&self, features: &Features) -> [f32; OUTPUTS] {
        let mut standard = [0.0; FEATURES];
        let scale = self.mean.iter().zip(self.per_sd.iter());
        for ((s, f), (mean, per_sd)) in standard.iter_mut().zip(features).zip(scale) {
            *s = ((f - mean) * per_sd).clamp(-8.0, 8.0);
        }
        let mut hidden_1 = dense(&standard, &self.layer_1.0, &self.layer_1.1);
        rectify(&mut hidden_1);
        let mut hidden_2 = dense(&hidden_1, &self.layer_2.0, &self.layer_2.1);
        rectify(&mut hidden_2);
        dense(&hidden_2, &self.layer_3.0, &self.layer_3.1)
    }
}

fn dense<const N: usize, const M: usize>(
    x: &[f32; N],
    weights: &[[f32; M]; N],
    bias: &[f32; M],
) -> [f32; M] {
    let mut y = *bias;
    // As many sums at once as stay in registers; each adds in the same order.
    let mut from = 0;
    from = blocks::<32, N, M>(x, weights, &mut y, from);
    from = blocks::<16, N, M>(x, weights, &mut y, from);
    for (x, row) in x.iter().zip(weights) {
        for (y, w) in y.iter_mut().zip(row).skip(from) {
            *y += x * w;
        }
    }
    y
}

/// The sums from `from` on, `BLOCK` at a time; gives where the rest begins.
fn blocks<const BLOCK: usize, const N: usize, const M: usize>(
    x: &[f32; N],
    weights: &[[f32; M]; N],
    y: &mut [f32; M],
    mut from: usize,
) -> usize {
    while let Some(part) = y.get_mut(from..from + BLOCK) {
        let mut sums = [0.0; BLOCK];
        sums.copy_from_slice(part);
        for (x, row) in x.iter().zip(weights) {
            let row = row.get(from..from + BLOCK).unwrap_or(&[]);
            for (sum, w) in sums.iter_mut().zip(row) {
                *sum += x * w;
            }
        }
        part.copy_from_slice(&sums);
        from += BLOCK;
    }
    from
}

fn rectify(values: &mut [f32]) {
    for v in values {
        *v = v.max(0.0);
    }
}
