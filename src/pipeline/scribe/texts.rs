//! One text after the other by one model, each with a seed of its own.

use crate::decode::{Backend, DecodeError, Decoder, WriterSettings};

/// What stands between two texts.
pub const BETWEEN_TEXTS: &str = "\n\n";

/// A succession of texts by one model: when one is over, the next begins with a seed of its own.
#[derive(Debug, Clone)]
pub struct Texts {
    /// The model.
    pub model: Backend,
    /// How each text is written; text number n has this seed plus n.
    pub settings: WriterSettings,
    /// What every text begins with.
    pub prompt: String,
}

impl Texts {
    /// A writer at the beginning of text `number`.
    ///
    /// # Errors
    /// [`DecodeError`] when the settings do not fit the model, or the prompt cannot be read.
    pub fn begin(&self, number: u64) -> Result<Box<dyn Decoder>, DecodeError> {
        let seed = self.settings.seed.wrapping_add(number);
        let mut writer = self.model.writer(WriterSettings {
            seed,
            ..self.settings.clone()
        })?;
        writer.start(&self.prompt)?;
        Ok(writer)
    }
}
