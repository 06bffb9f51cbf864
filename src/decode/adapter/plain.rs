//! Plain text of a model's own: what it writes when nobody asks it anything. An adapter is held to it.

use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::distribution::probabilities;
use super::super::error::DecodeError;
use super::super::model::Model;
use super::super::runner::{Processor, Runner};

/// Texts that the model draws from itself, each `tokens` long or up to its end, from its first word on. The mean of `-ln p` of such text rises, with
/// another model, by just the divergence between the two.
///
/// # Errors
/// [`DecodeError::EmptyPrompt`] for a model without a token that begins a text: give it texts of another source.
pub fn plain_texts(
    model: &Arc<Model>,
    count: usize,
    tokens: usize,
    seed: u64,
) -> Result<Vec<Vec<u32>>, DecodeError> {
    let begin = model.prompt("")?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut line = Processor::new(Arc::clone(model));
    let mut texts = Vec::with_capacity(count);
    for _ in 0..count {
        let mut text = begin.clone();
        line.cut(0);
        line.read(&text)?;
        while text.len() < tokens {
            let mass = probabilities(line.logits());
            let mut left: f64 = random.random();
            let drawn = mass.iter().position(|p| {
                left -= p;
                left < 0.0
            });
            let next = drawn.unwrap_or(mass.len().saturating_sub(1)) as u32;
            text.push(next);
            if model.is_end(next) {
                break;
            }
            line.read(&[next])?;
        }
        texts.push(text);
    }
    Ok(texts)
}
