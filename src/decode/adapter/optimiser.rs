//! Adam with weight decay apart from the gradient (Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2).

use candle_core::{Result, Tensor, Var};

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// A number that learns, and the running moments of its gradient.
#[derive(Debug)]
struct Moving {
    var: Var,
    first: Tensor,
    second: Tensor,
}

/// Steps of descent on some variables.
#[derive(Debug)]
pub(super) struct Adam {
    moving: Vec<Moving>,
    steps: i32,
    decay: f64,
}

impl Adam {
    pub(super) fn new(vars: impl IntoIterator<Item = Var>, decay: f64) -> Result<Self> {
        let moving = vars.into_iter().map(|var| {
            Ok(Moving {
                first: var.zeros_like()?,
                second: var.zeros_like()?,
                var,
            })
        });
        Ok(Self {
            moving: moving.collect::<Result<_>>()?,
            steps: 0,
            decay,
        })
    }

    /// One step of size `rate`, with gradients in the order of the variables. They are made shorter when they are longer than `longest`
    /// together; how long they were.
    pub(super) fn step(&mut self, gradients: &[Tensor], rate: f64, longest: f64) -> Result<f64> {
        let mut squares = 0.0;
        for gradient in gradients {
            squares += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
        let length = squares.sqrt();
        let share = if length > longest {
            longest / length
        } else {
            1.0
        };
        self.steps += 1;
        let unbiased = |beta: f64| 1.0 / (1.0 - beta.powi(self.steps));
        let (by_first, by_second) = (unbiased(BETA_1), unbiased(BETA_2));
        for (moving, gradient) in self.moving.iter_mut().zip(gradients) {
            // Without its history, or the graph of every step would be kept.
            let gradient = (gradient.detach() * share)?;
            moving.first = ((&moving.first * BETA_1)? + (&gradient * (1.0 - BETA_1))?)?;
            moving.second = ((&moving.second * BETA_2)? + (gradient.sqr()? * (1.0 - BETA_2))?)?;
            let root = ((&moving.second * by_second)?.sqrt()? + EPSILON)?;
            let step = ((&moving.first * by_first)? / root)?;
            let now = moving.var.as_tensor();
            let kept = (now * (1.0 - rate * self.decay))?;
            moving.var.set(&(kept - (step * rate)?)?.detach())?;
        }
        Ok(length)
    }
}
