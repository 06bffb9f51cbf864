//! What sentence-transformers keeps beside the encoder: how states become one vector, what stands before a text, how long it may be.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::decode::config::Keys;
use crate::decode::error::ModelError;
use crate::decode::weights::{ModelFile, Origin, parse_json};

/// How the states of a text's tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The first token's.
    Cls,
}

/// What the small files say; each may be missing.
pub(super) struct Manners {
    pub(super) pooling: Pooling,
    /// Most tokens of a text, where it is said.
    pub(super) tokens_max: Option<usize>,
    /// What stands before every text.
    pub(super) prompt: String,
    pub(super) files: Vec<ModelFile>,
}

const MODULES: &str = "modules.json";
const POOLING: &str = "1_Pooling/config.json";
const LENGTH: &str = "sentence_bert_config.json";
const PROMPTS: &str = "config_sentence_transformers.json";

pub(super) fn manners(origin: &Origin) -> Result<Manners, ModelError> {
    let mut folder = Folder {
        origin,
        files: Vec::new(),
    };
    folder.check_modules()?;
    Ok(Manners {
        pooling: folder.pooling()?,
        tokens_max: folder.tokens_max()?,
        prompt: folder.prompt()?,
        files: folder.files,
    })
}

struct Folder<'a> {
    origin: &'a Origin,
    files: Vec<ModelFile>,
}

impl Folder<'_> {
    /// The bytes of a file that may be missing.
    fn optional(&mut self, name: &str) -> Result<Option<Vec<u8>>, ModelError> {
        match self.origin.read_json(name) {
            Ok((bytes, file)) => {
                self.files.push(file);
                Ok(Some(bytes))
            }
            Err(ModelError::Missing { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Its keys, where it is there.
    fn map(&mut self, name: &str) -> Result<Option<Map<String, Value>>, ModelError> {
        let bytes = self.optional(name)?;
        bytes
            .map(|bytes| parse_json(&self.origin.path(name), &bytes))
            .transpose()
    }

    /// Refuses what comes behind the encoder and is not computed here. Vectors are given length one in any case.
    fn check_modules(&mut self) -> Result<(), ModelError> {
        #[derive(Deserialize)]
        struct Module {
            path: String,
            #[serde(rename = "type")]
            kind: String,
        }
        let Some(bytes) = self.optional(MODULES)? else {
            return Ok(());
        };
        let modules: Vec<Module> = parse_json(&self.origin.path(MODULES), &bytes)?;
        for module in modules {
            let (kind, path) = (
                module.kind.rsplit('.').next().unwrap_or_default(),
                module.path.as_str(),
            );
            if !matches!(
                (kind, path),
                ("Transformer", "") | ("Pooling", "1_Pooling") | ("Normalize", _)
            ) {
                return Err(ModelError::Config {
                    path: self.origin.path(MODULES),
                    key: "type",
                    found: format!("{:?} in {path:?}", module.kind),
                    expected: "Transformer in \"\", Pooling in \"1_Pooling\", and Normalize".into(),
                });
            }
        }
        Ok(())
    }

    /// Without the file it is the mean, as in sentence-transformers.
    fn pooling(&mut self) -> Result<Pooling, ModelError> {
        let Some(map) = self.map(POOLING)? else {
            return Ok(Pooling::Mean);
        };
        let path = self.origin.path(POOLING);
        let keys = Keys::of(&path, &map);
        if !keys.flag("include_prompt", true)? {
            return Err(keys.wrong("include_prompt", &false, "true"));
        }
        for key in [
            "pooling_mode_max_tokens",
            "pooling_mode_mean_sqrt_len_tokens",
            "pooling_mode_weightedmean_tokens",
            "pooling_mode_lasttoken",
        ] {
            if keys.flag(key, false)? {
                return Err(keys.wrong(
                    key,
                    &true,
                    "false: computed are the mean and the first token's state",
                ));
            }
        }
        let mean = keys.flag("pooling_mode_mean_tokens", false)?;
        match (mean, keys.flag("pooling_mode_cls_token", false)?) {
            (true, false) => Ok(Pooling::Mean),
            (false, true) => Ok(Pooling::Cls),
            (both, _) => Err(keys.wrong(
                "pooling_mode_mean_tokens",
                &both,
                "true, or false beside a true pooling_mode_cls_token: one of the two",
            )),
        }
    }

    fn tokens_max(&mut self) -> Result<Option<usize>, ModelError> {
        let Some(map) = self.map(LENGTH)? else {
            return Ok(None);
        };
        let path = self.origin.path(LENGTH);
        let keys = Keys::of(&path, &map);
        if keys.flag("do_lower_case", false)? {
            return Err(keys.wrong(
                "do_lower_case",
                &true,
                "false: the tokenizer itself says whether case counts",
            ));
        }
        match keys.get("max_seq_length") {
            None => Ok(None),
            Some(_) => keys.count("max_seq_length", 1 << 20, None).map(Some),
        }
    }

    fn prompt(&mut self) -> Result<String, ModelError> {
        const KEY: &str = "default_prompt_name";
        let Some(map) = self.map(PROMPTS)? else {
            return Ok(String::new());
        };
        let path = self.origin.path(PROMPTS);
        let keys = Keys::of(&path, &map);
        let Some(name) = keys.get(KEY) else {
            return Ok(String::new());
        };
        let prompts = keys.get("prompts");
        let prompt = name.as_str().and_then(|name| prompts?.get(name)?.as_str());
        prompt
            .map(str::to_owned)
            .ok_or_else(|| keys.wrong(KEY, name, "the name of one of `prompts`"))
    }
}
