//! What one choice teaches.

use super::super::error::DecodeError;
use super::super::model::Model;

/// A fork, as a learner sees it: what was before it, what was offered, and how much each option is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Lesson {
    /// Tokens before the fork, at least one.
    pub context: Vec<u32>,
    /// Tokens of each option that was offered: two at least, none empty.
    pub options: Vec<Vec<u32>>,
    /// How much each option is wanted, together 1: 1 for the chosen one, or a teacher's probabilities.
    pub wanted: Vec<f32>,
}

impl Lesson {
    /// A fork at which one of the options was chosen.
    #[must_use]
    pub fn chosen(context: Vec<u32>, options: Vec<Vec<u32>>, chosen: usize) -> Self {
        let wanted = (0..options.len())
            .map(|option| f32::from(u8::from(option == chosen)))
            .collect();
        Self {
            context,
            options,
            wanted,
        }
    }

    /// A fork of which one choice was taken back, and nothing else was chosen: any other option is wanted as much as the rest.
    #[must_use]
    pub fn taken_back(context: Vec<u32>, options: Vec<Vec<u32>>, chosen: usize) -> Self {
        let others = options.len().saturating_sub(1).max(1) as f32;
        let wanted = (0..options.len())
            .map(|option| if option == chosen { 0.0 } else { 1.0 / others })
            .collect();
        Self {
            context,
            options,
            wanted,
        }
    }

    /// The option that is wanted most.
    #[must_use]
    pub fn best(&self) -> usize {
        super::largest(self.wanted.iter().map(|wanted| f64::from(*wanted)))
    }

    /// Whether a learner can use it with this model.
    ///
    /// # Errors
    /// [`DecodeError::Lesson`] with what is wrong.
    pub(super) fn check(&self, model: &Model) -> Result<(), DecodeError> {
        let wrong = |reason: &str| {
            Err(DecodeError::Lesson {
                reason: reason.into(),
            })
        };
        let longest = self.options.iter().map(Vec::len).max().unwrap_or(0);
        let sum: f32 = self.wanted.iter().sum();
        let mut tokens = self.options.iter().flatten().chain(&self.context);
        if self.context.is_empty() {
            return wrong("there is nothing before the fork");
        }
        if self.options.len() < 2 || self.options.iter().any(Vec::is_empty) {
            return wrong("a choice is one of two options at least, none of them empty");
        }
        if self.wanted.len() != self.options.len() || !(0.999..=1.001).contains(&sum) {
            return wrong("how much the options are wanted is one number each, together 1");
        }
        if self.context.len() + longest > model.config.context_tokens {
            return wrong("context and options are longer than the model's context");
        }
        if let Some(token) = tokens.find(|token| **token as usize >= model.config.vocabulary) {
            return Err(DecodeError::UnknownToken {
                token: *token,
                vocabulary: model.config.vocabulary,
            });
        }
        Ok(())
    }
}
