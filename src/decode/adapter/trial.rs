//! Is a model with an adapter better than without? On choices that it did not learn from, and on plain text.

use serde::{Deserialize, Serialize};

use super::super::dense::log_softmax;
use super::super::error::DecodeError;
use super::lesson::Lesson;
use super::score::{Scorer, of_tokens};

/// A model's agreement with choices, and how it expects plain text.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Trial {
    /// Choices that it was asked about.
    pub choices: usize,
    /// Mean over them of `-sum_k wanted_k ln p_k`, nats, where `p` is the model's probability of each whole option, shared out among those offered.
    pub log_loss_nats: f64,
    /// Choices at which its likeliest option is the one that is wanted most.
    pub right: usize,
    /// Tokens of plain text that it was asked about.
    pub plain_tokens: usize,
    /// Mean over them of `-ln p`, nats: the logarithm of the perplexity.
    pub plain_nats: f64,
}

/// The same choices and texts without an adapter and with it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Without.
    pub before: Trial,
    /// With it.
    pub after: Trial,
    /// By how much the log-loss of a choice fell, mean, nats.
    pub gain_nats: f64,
    /// Standard error of that mean.
    pub gain_se_nats: f64,
}

impl Comparison {
    /// By which factor the perplexity of plain text rose; 1 without plain text.
    #[must_use]
    pub fn perplexity_ratio(&self) -> f64 {
        (self.after.plain_nats - self.before.plain_nats).exp()
    }

    /// Whether it agrees with the choices better by more than a standard error, while plain text became less likely by no more than the
    /// share `worse_max` of its perplexity.
    #[must_use]
    pub fn is_better(&self, worse_max: f64) -> bool {
        self.gain_nats > self.gain_se_nats && self.perplexity_ratio() <= 1.0 + worse_max
    }

    pub(super) fn of(
        before: &mut Scorer,
        after: &mut Scorer,
        lessons: &[&Lesson],
        plain: &[&[u32]],
    ) -> Result<Self, DecodeError> {
        let (mut was, mut is) = (Sums::default(), Sums::default());
        let mut gains = Vec::with_capacity(lessons.len());
        for lesson in lessons {
            let [x, y] = [was.choice(before, lesson)?, is.choice(after, lesson)?];
            gains.push(x - y);
        }
        for text in plain.iter().filter(|text| text.len() > 1) {
            was.text(before, text)?;
            is.text(after, text)?;
        }
        let n = gains.len() as f64;
        let mean = gains.iter().sum::<f64>() / n.max(1.0);
        let squares: f64 = gains.iter().map(|gain| (gain - mean).powi(2)).sum();
        Ok(Self {
            before: was.mean(),
            after: is.mean(),
            gain_nats: mean,
            // Of one choice nobody knows.
            gain_se_nats: if n > 1.0 {
                (squares / (n - 1.0) / n).sqrt()
            } else {
                f64::INFINITY
            },
        })
    }
}

#[derive(Debug, Default)]
struct Sums(Trial);

impl Sums {
    fn choice(&mut self, model: &mut Scorer, lesson: &Lesson) -> Result<f64, DecodeError> {
        let shares: Vec<f32> = log_softmax(&model.options(lesson)?)?.to_vec1()?;
        let wanted = lesson.wanted.iter().zip(&shares);
        let loss = -wanted
            .filter(|(wanted, _)| **wanted > 0.0)
            .map(|(wanted, share)| f64::from(*wanted) * f64::from(*share))
            .sum::<f64>();
        let likeliest = super::largest(shares.iter().map(|share| f64::from(*share)));
        self.0.choices += 1;
        self.0.log_loss_nats += loss;
        self.0.right += usize::from(likeliest == lesson.best());
        Ok(loss)
    }

    fn text(&mut self, model: &mut Scorer, text: &[u32]) -> Result<(), DecodeError> {
        let said = of_tokens(&model.expected(text)?, &text[1..])?;
        self.0.plain_tokens += text.len() - 1;
        self.0.plain_nats -= f64::from(said.sum_all()?.to_scalar::<f32>()?);
        Ok(())
    }

    fn mean(mut self) -> Trial {
        self.0.log_loss_nats /= self.0.choices.max(1) as f64;
        self.0.plain_nats /= self.0.plain_tokens.max(1) as f64;
        self.0
    }
}
