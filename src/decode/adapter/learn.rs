//! Adapters from choices.
//!
//! A choice among the options of a fork teaches by the loss of direct preference optimisation, for one best of several (Rafailov et al. 2023,
//! arXiv 2305.18290, equation 7 and appendix A.3, of which only the first place is used):
//!
//! ```text
//! - sum_k wanted_k ln softmax_k( beta (ln p(option_k) - ln q(option_k)) )
//! ```
//!
//! with `p` the model with the adapter and `q` the one without. What was not offered is not spoken of. Beside it plain text is held in place:
//! `anchor` times the divergence `KL(q || p)` of the next token, mean over tokens.

use std::sync::Arc;
use std::time::Instant;

use candle_core::{DType, Device, Tensor, Var};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::super::cancel::Cancel;
use super::super::config::ModelConfig;
use super::super::dense::{LowRank, log_softmax};
use super::super::error::DecodeError;
use super::super::model::Model;
use super::lesson::Lesson;
use super::optimiser::Adam;
use super::score::Scorer;
use super::trial::Comparison;
use super::{Adapter, AdapterShape, Factors, Target};

/// How an adapter learns.
///
/// | key | least | most | default | meaning |
/// |---|---|---|---|---|
/// | `rank` | 1 | 1024 | 8 | rank of the changes |
/// | `alpha` | 0.01 | 10,000 | 16 | the change is `alpha / rank` times the product of its factors |
/// | `layers` | 0 | 256 | 0 | so many of the last layers; 0: all |
/// | `beta` | 0.01 | 10 | 0.5 | how much a change of log-probability counts |
/// | `anchor` | 0 | 1000 | 1 | weight of the divergence on plain text |
/// | `rate` | 1e-6 | 0.1 | 1e-3 | size of the first steps; it falls to a tenth as a cosine |
/// | `decay` | 0 | 1 | 0.01 | decay of the factors, times the rate |
/// | `epochs` | 1 | 1000 | 6 | how often each choice is gone through |
/// | `choices_per_step` | 1 | 1024 | 8 | choices whose gradients are one step |
/// | `context_tokens_max` | 8 | 4096 | 192 | tokens before a fork that are read |
/// | `held_out` | 0.1 | 0.5 | 0.2 | share of the choices that is kept for the trial |
/// | `seconds_max` | 1 | 1e6 | 3600 | no step begins later |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // the table above says it once
pub struct LearnSettings {
    pub rank: usize,
    pub alpha: f64,
    /// Which matrices change.
    pub targets: Vec<Target>,
    pub layers: usize,
    pub beta: f64,
    pub anchor: f64,
    pub rate: f64,
    pub decay: f64,
    pub epochs: usize,
    pub choices_per_step: usize,
    pub context_tokens_max: usize,
    pub held_out: f64,
    pub seconds_max: f64,
    /// Of the order of choices, which are held out, and where factors begin.
    pub seed: u64,
}

impl Default for LearnSettings {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            targets: vec![Target::Query, Target::Value, Target::Down],
            layers: 0,
            beta: 0.5,
            anchor: 1.0,
            rate: 1e-3,
            decay: 0.01,
            epochs: 6,
            choices_per_step: 8,
            context_tokens_max: 192,
            held_out: 0.2,
            seconds_max: 3600.0,
            seed: 0,
        }
    }
}

impl LearnSettings {
    /// Checks every number.
    ///
    /// # Errors
    /// [`DecodeError::Setting`] naming the first one that is out of range.
    pub fn check(&self) -> Result<(), DecodeError> {
        let numbers = [
            ("rank", self.rank as f64, 1.0, super::RANK_MAX as f64),
            ("alpha", self.alpha, 0.01, 1e4),
            ("targets", self.targets.len() as f64, 1.0, 7.0),
            ("layers", self.layers as f64, 0.0, 256.0),
            ("beta", self.beta, 0.01, 10.0),
            ("anchor", self.anchor, 0.0, 1000.0),
            ("rate", self.rate, 1e-6, 0.1),
            ("decay", self.decay, 0.0, 1.0),
            ("epochs", self.epochs as f64, 1.0, 1000.0),
            (
                "choices_per_step",
                self.choices_per_step as f64,
                1.0,
                1024.0,
            ),
            (
                "context_tokens_max",
                self.context_tokens_max as f64,
                8.0,
                4096.0,
            ),
            ("held_out", self.held_out, 0.1, 0.5),
            ("seconds_max", self.seconds_max, 1.0, 1e6),
        ];
        // NaN is in no range.
        let wrong = |(_, found, min, max): &&(_, f64, f64, f64)| !(*min..=*max).contains(found);
        match numbers.iter().find(wrong) {
            None => Ok(()),
            Some(&(key, found, min, max)) => Err(DecodeError::Setting {
                key,
                found,
                min,
                max,
            }),
        }
    }

    fn shape(&self, config: &ModelConfig) -> AdapterShape {
        let first = match self.layers {
            0 => 0,
            layers => config.layers.saturating_sub(layers),
        };
        let mut targets = self.targets.clone();
        targets.sort();
        targets.dedup();
        AdapterShape {
            rank: self.rank,
            alpha: self.alpha as f32,
            targets,
            layers: (first..config.layers).collect(),
        }
    }
}

/// Fewest choices that anything is learned from.
pub(super) const CHOICES_MIN: usize = 10;
/// Gradients longer than this, all factors together, are made as short.
const LONGEST_GRADIENT: f64 = 1.0;
/// Steps that grow to the full rate.
const WARM_UP: f64 = 5.0;

/// How far learning has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Steps done, of all.
    pub step: usize,
    /// All steps, if time allows.
    pub steps: usize,
    /// Mean loss of the choices of the last step, nats.
    pub loss_nats: f64,
    /// Divergence on the plain text of the last step, nats per token.
    pub anchor_nats: f64,
    /// Since the beginning, seconds.
    pub seconds: f64,
}

/// What was learned.
#[derive(Debug, Clone)]
pub struct Learned {
    /// The adapter.
    pub adapter: Adapter,
    /// What it changes on choices that it did not learn from, and on plain text that did not hold it.
    pub held_out: Comparison,
    /// Choices that it learned from.
    pub choices: usize,
    /// Steps done, and those that were meant.
    pub steps: [usize; 2],
    /// Seconds it took, the trial included.
    pub seconds: f64,
}

/// Two factors that learn.
#[derive(Debug)]
pub(super) struct Learning {
    /// Name of the matrix, without `.weight`.
    pub(super) matrix: String,
    pub(super) a: Var,
    pub(super) b: Var,
}

/// Learns from choices. Belongs to one thread; the model's matrices must be floats.
#[derive(Debug)]
pub struct Learner {
    model: Arc<Model>,
    settings: LearnSettings,
    shape: AdapterShape,
    pub(super) own: Scorer,
    pub(super) reference: Scorer,
    pub(super) factors: Vec<Learning>,
    random: ChaCha8Rng,
}

impl Learner {
    /// A learner beside this model. A model that was loaded with an adapter goes on from there: what is learned comes on top of it.
    ///
    /// # Errors
    /// [`DecodeError::Setting`]; [`DecodeError::NoFloats`].
    pub fn new(model: Arc<Model>, settings: LearnSettings) -> Result<Self, DecodeError> {
        settings.check()?;
        let shape = settings.shape(&model.config);
        let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
        let (mut own, reference) = (Scorer::new(&model)?, Scorer::new(&model)?);
        let mut factors = Vec::new();
        for layer in &shape.layers {
            let mut changes = [const { Vec::new() }; 4];
            for target in &shape.targets {
                let [outputs, inputs] = target.shape(&model.config);
                // As peft begins: `A` uniform with a variance of 1 / (3 inputs), `B` nothing, so that nothing changes at first.
                let bound = 1.0 / (inputs as f32).sqrt();
                let a: Vec<f32> = (0..shape.rank * inputs)
                    .map(|_| random.random_range(-bound..bound))
                    .collect();
                let a = Tensor::from_vec(a, (shape.rank, inputs), &Device::Cpu)?;
                let b = Tensor::zeros((outputs, shape.rank), DType::F32, &Device::Cpu)?;
                let (a, b) = (Var::from_tensor(&a)?, Var::from_tensor(&b)?);
                let (product, at) = place(*target, &model.config);
                changes[product].push(LowRank {
                    at,
                    a: a.as_tensor().clone(),
                    b: b.as_tensor().clone(),
                    scale: f64::from(shape.scale()),
                });
                let matrix = target.of_layer(*layer);
                factors.push(Learning { matrix, a, b });
            }
            own.adapt(*layer, changes);
        }
        Ok(Self {
            model,
            settings,
            shape,
            own,
            reference,
            factors,
            random,
        })
    }

    /// Learns from choices, and says on held-out ones what that changed. `plain` is text that is to stay as likely as it is, in tokens; half of it
    /// holds the adapter in place, the other half is for the trial. Longer contexts are cut at their beginning.
    ///
    /// # Errors
    /// [`DecodeError::Lesson`] for fewer than 10 choices, or one that cannot be used; [`DecodeError::Cancelled`]; candle's.
    pub fn learn(
        &mut self,
        lessons: &[Lesson],
        plain: &[Vec<u32>],
        cancel: &Cancel,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Learned, DecodeError> {
        let began = Instant::now();
        if lessons.len() < CHOICES_MIN {
            return Err(DecodeError::Lesson {
                reason: format!(
                    "{} choices are too few, {CHOICES_MIN} are needed: some are held out to see whether what was learned is any good",
                    lessons.len()
                ),
            });
        }
        let mut lessons: Vec<Lesson> = lessons.iter().map(|lesson| self.cut(lesson)).collect();
        for lesson in &lessons {
            lesson.check(&self.model)?;
        }
        shuffle(&mut lessons, &mut self.random);
        let held_out = ((lessons.len() as f64 * self.settings.held_out).round() as usize).max(2);
        let (held_out, seen) = lessons.split_at(held_out);
        let held: Vec<&[u32]> = plain.iter().skip(1).step_by(2).map(Vec::as_slice).collect();
        let anchors: Vec<&[u32]> = plain
            .iter()
            .step_by(2)
            .map(Vec::as_slice)
            .filter(|text| text.len() > 1)
            .collect();

        let vars = self.factors.iter().flat_map(|f| [f.a.clone(), f.b.clone()]);
        let mut adam = Adam::new(vars, self.settings.decay)?;
        let per_step = self.settings.choices_per_step;
        let steps = self.settings.epochs * seen.len().div_ceil(per_step);
        let mut order: Vec<usize> = (0..seen.len()).collect();
        let mut done = 0;
        'learning: for _ in 0..self.settings.epochs {
            shuffle(&mut order, &mut self.random);
            for some in order.chunks(per_step) {
                if cancel.is_requested() {
                    return Err(DecodeError::Cancelled);
                }
                if began.elapsed().as_secs_f64() > self.settings.seconds_max {
                    break 'learning;
                }
                let some: Vec<&Lesson> = some.iter().map(|at| &seen[*at]).collect();
                let anchor = match anchors.as_slice() {
                    [] => None,
                    all => Some(all[self.random.random_range(0..all.len())]),
                };
                let (losses, gradients) = self.gradients(&some, anchor)?;
                let warm = ((done + 1) as f64 / WARM_UP).min(1.0);
                let turn = std::f64::consts::PI * done as f64 / steps as f64;
                let rate = self.settings.rate * warm * (0.1 + 0.45 * (1.0 + turn.cos()));
                adam.step(&gradients, rate, LONGEST_GRADIENT)?;
                done += 1;
                progress(Progress {
                    step: done,
                    steps,
                    loss_nats: losses[0],
                    anchor_nats: losses[1],
                    seconds: began.elapsed().as_secs_f64(),
                });
            }
        }
        let trial: Vec<&Lesson> = held_out.iter().collect();
        let comparison = Comparison::of(&mut self.reference, &mut self.own, &trial, &held)?;
        Ok(Learned {
            adapter: self.adapter()?,
            held_out: comparison,
            choices: seen.len(),
            steps: [done, steps],
            seconds: began.elapsed().as_secs_f64(),
        })
    }

    /// Mean loss of the choices and divergence on the text, and the gradient of their weighted sum by each factor, in their order.
    pub(super) fn gradients(
        &mut self,
        lessons: &[&Lesson],
        anchor: Option<&[u32]>,
    ) -> Result<([f64; 2], Vec<Tensor>), DecodeError> {
        let mut sums: Vec<Option<Tensor>> = vec![None; 2 * self.factors.len()];
        let mut add = |loss: &Tensor, factors: &[Learning]| -> Result<(), DecodeError> {
            let found = loss.backward()?;
            let vars = factors.iter().flat_map(|f| [&f.a, &f.b]);
            for (sum, var) in sums.iter_mut().zip(vars) {
                if let Some(gradient) = found.get(var.as_tensor()) {
                    let gradient = gradient.detach();
                    *sum = Some(match sum.take() {
                        None => gradient,
                        Some(so_far) => (so_far + gradient)?,
                    });
                }
            }
            Ok(())
        };
        let mut losses = [0.0; 2];
        let share = 1.0 / lessons.len().max(1) as f64;
        for lesson in lessons {
            let was = self.reference.options(lesson)?.detach();
            let change = (self.own.options(lesson)? - was)?;
            let shares = log_softmax(&(change * self.settings.beta)?)?;
            let wanted = Tensor::new(lesson.wanted.as_slice(), &Device::Cpu)?;
            let loss = (shares.mul(&wanted)?.sum_all()? * -share)?;
            losses[0] += f64::from(loss.to_scalar::<f32>()?);
            add(&loss, &self.factors)?;
        }
        if let Some(text) = anchor.filter(|_| self.settings.anchor > 0.0) {
            let was = self.reference.expected(text)?.detach();
            let is = self.own.expected(text)?;
            let rows = was.dim(0)? as f64;
            let apart = (was.exp()? * (was - is)?)?.sum_all()?;
            let apart = (apart * (1.0 / rows))?;
            losses[1] = f64::from(apart.to_scalar::<f32>()?);
            add(&(apart * self.settings.anchor)?, &self.factors)?;
        }
        let vars = self.factors.iter().flat_map(|f| [&f.a, &f.b]);
        let gradients = sums.into_iter().zip(vars).map(|(sum, var)| match sum {
            Some(sum) => Ok(sum),
            None => var.zeros_like(),
        });
        Ok((losses, gradients.collect::<candle_core::Result<_>>()?))
    }

    /// The factors as they are now.
    pub(super) fn adapter(&self) -> Result<Adapter, DecodeError> {
        let flat = |var: &Var| var.flatten_all()?.to_vec1::<f32>();
        let factors = self.factors.iter().map(|Learning { matrix, a, b }| {
            let (a, b) = (flat(a)?, flat(b)?);
            if !a.iter().chain(&b).all(|x| x.is_finite()) {
                return Err(DecodeError::Diverged);
            }
            Ok((matrix.clone(), Factors { a, b }))
        });
        Ok(Adapter {
            shape: self.shape.clone(),
            factors: factors.collect::<Result<_, _>>()?,
            name: String::new(),
            files: Vec::new(),
        })
    }

    fn cut(&self, lesson: &Lesson) -> Lesson {
        let from = lesson
            .context
            .len()
            .saturating_sub(self.settings.context_tokens_max);
        Lesson {
            context: lesson.context[from..].to_vec(),
            ..lesson.clone()
        }
    }
}

/// Which product of a layer a matrix is part of, in the order of `Dense::adapt`, and the first of its outputs there.
fn place(target: Target, config: &ModelConfig) -> (usize, usize) {
    let (q, kv) = (
        config.heads * config.head_dim,
        config.kv_heads * config.head_dim,
    );
    match target {
        Target::Query => (0, 0),
        Target::Key => (0, q),
        Target::Value => (0, q + kv),
        Target::Output => (1, 0),
        Target::Gate => (2, 0),
        Target::Up => (2, config.intermediate),
        Target::Down => (3, 0),
    }
}

fn shuffle<T>(items: &mut [T], random: &mut ChaCha8Rng) {
    for k in (1..items.len()).rev() {
        items.swap(k, random.random_range(0..=k));
    }
}
