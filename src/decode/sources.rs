//! The files a model is made of, opened and checked but for the weights themselves: a Hugging Face folder, or one GGUF file.

use std::path::Path;
use std::sync::Arc;

use super::chat::{self, TEMPLATE_BYTES_MAX, Template};
use super::config::ModelConfig;
use super::error::ModelError;
use super::gguf;
use super::model::{ModelCard, harmless};
use super::plan::{LoadSettings, Plan};
use super::text::Tokens;
use super::weights::{ModelFile, Origin, TOKENIZER_BYTES_MAX, Weights, parse_json};

/// What is known of a model before its weights are read.
pub(super) struct Sources {
    pub(super) origin: Origin,
    pub(super) config: ModelConfig,
    pub(super) tokens: Tokens,
    pub(super) weights: Weights,
    pub(super) chat: Option<Arc<Template>>,
    /// Small files that were read whole.
    files: Vec<ModelFile>,
}

/// A path is a folder's or, when a file is there, a GGUF file's; and the model's name.
pub(super) fn of(path: &Path) -> (Origin, String) {
    let origin = if path.is_file() || path.extension().is_some_and(|e| e == "gguf") {
        Origin::File(path.into())
    } else {
        Origin::Folder(path.into())
    };
    let name = path.file_name().unwrap_or(path.as_os_str());
    (origin, name.to_string_lossy().into_owned())
}

impl Sources {
    pub(super) fn open(origin: &Origin) -> Result<Self, ModelError> {
        match origin {
            Origin::File(_) => Self::gguf(origin),
            _ => Self::folder(origin),
        }
    }

    fn folder(origin: &Origin) -> Result<Self, ModelError> {
        const CONFIG: &str = "config.json";
        const GENERATION: &str = "generation_config.json";
        const TOKENIZER: &str = "tokenizer.json";
        let (bytes, config_file) = origin.read_json(CONFIG)?;
        let mut config = ModelConfig::parse(&origin.path(CONFIG), &bytes)?;
        let (bytes, tokenizer_file) = origin.read(TOKENIZER, TOKENIZER_BYTES_MAX)?;
        let tokens = Tokens::parse(&origin.path(TOKENIZER), &bytes, config.vocabulary)?;
        let mut files = vec![config_file, tokenizer_file];
        if let Some(bytes) = optional(&mut files, origin.read_json(GENERATION))? {
            config.take_ends(&origin.path(GENERATION), &bytes)?;
        }
        let chat = Self::chat_of_folder(origin, &mut files)?;
        Ok(Self {
            origin: origin.clone(),
            config,
            tokens,
            weights: Weights::open(origin)?,
            chat,
            files,
        })
    }

    /// Both files may be missing: a model need not converse.
    fn chat_of_folder(
        origin: &Origin,
        files: &mut Vec<ModelFile>,
    ) -> Result<Option<Arc<Template>>, ModelError> {
        const CONFIG: &str = "tokenizer_config.json";
        const TEMPLATE: &str = "chat_template.jinja";
        let config = optional(files, origin.read_json(CONFIG))?
            .map(|bytes| parse_json(&origin.path(CONFIG), &bytes))
            .transpose()?;
        let alone = optional(files, origin.read(TEMPLATE, TEMPLATE_BYTES_MAX as u64))?
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(chat::of_folder(config.as_ref(), alone))
    }

    fn gguf(origin: &Origin) -> Result<Self, ModelError> {
        let (mut weights, header) = Weights::open_gguf(origin)?;
        let path = origin.path("");
        let config = gguf::configuration(&path, &header)?;
        let tokens = gguf::tokenizer(&path, &header, config.vocabulary)?;
        let chat = header.chat_template();
        let head_dim = header.has_interleaved_heads().then_some(config.head_dim);
        weights.add_gguf(header, head_dim)?;
        Ok(Self {
            origin: origin.clone(),
            config,
            tokens,
            weights,
            chat: chat.map(Arc::new),
            files: Vec::new(),
        })
    }

    /// What all files are. Reads the large ones from beginning to end.
    pub(super) fn describe(&mut self) -> Result<Vec<ModelFile>, ModelError> {
        let mut files = std::mem::take(&mut self.files);
        files.extend(self.weights.describe()?);
        Ok(files)
    }
}

/// A file that may be missing.
fn optional(
    files: &mut Vec<ModelFile>,
    read: Result<(Vec<u8>, ModelFile), ModelError>,
) -> Result<Option<Vec<u8>>, ModelError> {
    match read {
        Ok((bytes, file)) => {
            files.push(file);
            Ok(Some(bytes))
        }
        Err(ModelError::Missing { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Looks at every byte of a model and holds none of its weights.
pub(super) fn verify(
    origin: &Origin,
    name: String,
    settings: &LoadSettings,
) -> Result<ModelCard, ModelError> {
    let mut sources = Sources::open(origin)?;
    let plan = Plan::new(&sources, settings)?;
    let files = sources.describe()?;
    let Sources {
        config, weights, ..
    } = &mut sources;
    for (tensor, shape) in config.tensors() {
        let found = weights.take(&tensor, &shape)?;
        weights.rows(&found, |_| ())?;
    }
    weights.frequencies(config)?;
    weights.finish(harmless(config))?;
    Ok(ModelCard {
        name,
        parameters: sources.config.parameters(),
        precision: plan.precision,
        weights_bytes: plan.weights_bytes as usize,
        needed_bytes: plan.needed_bytes(),
        text_tokens: plan.text_tokens,
        text_bytes: plan.text_bytes,
        kv_bytes_per_token: sources.config.kv_bytes_per_token(),
        tokenizer_tokens: sources.tokens.len(),
        config: sources.config,
        files,
    })
}
