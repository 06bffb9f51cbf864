//! What can be wrong with a model, and with decoding.

use std::path::PathBuf;

use crate::fork::{Fork, ForkId};

/// A model that cannot be used. Found before any of its bytes reach the tensor library; the process's exit code is 4.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file of the folder is not there.
    #[error("{}: not found; a model is a GGUF file, or a folder of config.json, tokenizer.json and *.safetensors", path.display())]
    Missing {
        /// The file looked for.
        path: PathBuf,
    },
    /// A file of an adapter is not there.
    #[error(
        "{}: not found; an adapter is a folder of adapter_config.json and adapter_model.safetensors. One that had learned from a choice that was \
         forgotten is gone with it", path.display()
    )]
    AdapterMissing {
        /// The file looked for.
        path: PathBuf,
    },
    /// In the file's place is a folder, a pipe or a device.
    #[error("{}: not a regular file; copy the model's own file there", path.display())]
    NotAFile {
        /// The file looked for.
        path: PathBuf,
    },
    /// The operating system refused to open or read a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file is larger than this program accepts.
    #[error("{}: {bytes} bytes, the limit is {limit_bytes}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size, bytes.
        bytes: u64,
        /// Largest size accepted, bytes.
        limit_bytes: u64,
    },
    /// A JSON file does not parse.
    #[error("{}: not valid JSON at line {line}, column {column}: {reason}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, from 1.
        column: usize,
        /// What the parser said.
        reason: String,
    },
    /// The architecture is not one this decoder computes.
    #[error(
        "{}: architecture `{found}` is not supported; supported are {} (in GGUF files {})",
        path.display(), super::config::SUPPORTED.join(", "), super::config::SUPPORTED_GGUF.join(", ")
    )]
    Architecture {
        /// The configuration file.
        path: PathBuf,
        /// What it names.
        found: String,
    },
    /// A key of the configuration is missing, of the wrong type, out of range or asks for something not supported.
    #[error("{}: `{key}` is {found}; expected {expected}", path.display())]
    Config {
        /// The configuration file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// Its value, or `absent`.
        found: String,
        /// What it has to be.
        expected: String,
    },
    /// A weights file ends before what it promises, or goes on after it.
    #[error("{}: {what} should end at byte {expected_bytes}, the file has {found_bytes} bytes; fetch it again", path.display())]
    Length {
        /// The weights file.
        path: PathBuf,
        /// Which part of the file.
        what: &'static str,
        /// Where that part has to end, bytes from the beginning.
        expected_bytes: u64,
        /// Length of the file, bytes.
        found_bytes: u64,
    },
    /// The header of a weights file is not a safetensors header.
    #[error("{}: bad safetensors header at byte {offset}: {reason}", path.display())]
    Header {
        /// The weights file.
        path: PathBuf,
        /// Where, bytes from the beginning of the file.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The header of a GGUF file is not one, or lies.
    #[error("{}: bad GGUF header at byte {offset}: {reason}", path.display())]
    Gguf {
        /// The file.
        path: PathBuf,
        /// Where, bytes from the beginning of the file.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The model does not fit into memory.
    #[error(
        "{}: it takes {} MiB of memory, {} MiB of them for keys and values of its text, and {} MiB are available; choose a smaller model or one with \
         fewer bits per weight (GGUF Q8_0, Q4_0), lower writer.context_tokens_max, or close other programs",
        path.display(), needed_bytes >> 20, text_bytes >> 20, available_bytes >> 20
    )]
    Memory {
        /// The folder or file.
        path: PathBuf,
        /// Estimated need, bytes.
        needed_bytes: u64,
        /// Of those, bytes of keys and values.
        text_bytes: u64,
        /// What there is, bytes.
        available_bytes: u64,
    },
    /// A tensor the configuration calls for is in none of the files.
    #[error("{}: tensor `{tensor}` is missing", path.display())]
    TensorMissing {
        /// The folder, or the file the index names.
        path: PathBuf,
        /// Its name.
        tensor: String,
    },
    /// A tensor that a model of this configuration does not have: computing without it would give wrong answers silently.
    #[error("{}: tensor `{tensor}` at byte {offset} is not part of a model of this configuration", path.display())]
    TensorUnknown {
        /// The weights file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// Where its data begins, bytes from the beginning of the file.
        offset: u64,
    },
    /// A tensor's shape disagrees with the configuration.
    #[error("{}: tensor `{tensor}` at byte {offset} has shape {found:?}; the configuration calls for {expected:?}", path.display())]
    TensorShape {
        /// The weights file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// Where its data begins, bytes from the beginning of the file.
        offset: u64,
        /// Shape in the file.
        found: Vec<u64>,
        /// Shape the configuration calls for.
        expected: Vec<u64>,
    },
    /// A tensor is stored in a number format that is not supported.
    #[error("{}: tensor `{tensor}` at byte {offset} is stored as {found}; supported are F32, F16 and BF16, in GGUF files also Q8_0, Q4_0, Q4_K and Q6_K", path.display())]
    TensorFormat {
        /// The weights file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// Where its data begins, bytes from the beginning of the file.
        offset: u64,
        /// The format's name.
        found: String,
    },
    /// Weights that the scale of a block of eight or four bits cannot hold.
    #[error("{}: tensor `{tensor}` has weights too large for eight or four bits; load it with precision f32", path.display())]
    BeyondScale {
        /// The model.
        path: PathBuf,
        /// The first tensor of the matrix.
        tensor: String,
    },
    /// A weight is NaN or infinite.
    #[error("{}: tensor `{tensor}` holds {found} at byte {offset}; the weights are damaged", path.display())]
    NonFinite {
        /// The weights file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// Where the value is, bytes from the beginning of the file.
        offset: u64,
        /// The value.
        found: f32,
    },
    /// The tokenizer does not load.
    #[error("{}: the tokenizer does not load: {reason}", path.display())]
    Tokenizer {
        /// The tokenizer file.
        path: PathBuf,
        /// What the tokenizer library said.
        reason: String,
    },
    /// The tokenizer can say tokens the model has no rows for.
    #[error("{}: the tokenizer says tokens up to {highest}, the model has rows for {rows}; they do not belong together", path.display())]
    Vocabulary {
        /// The tokenizer file.
        path: PathBuf,
        /// Highest token of the tokenizer.
        highest: u32,
        /// Rows of the embedding.
        rows: usize,
    },
    /// A matrix cannot be held in blocks of 32 weights.
    #[error("{}: rows of {inputs} weights cannot be quantised, which takes a multiple of 32; load the model with f32 weights", path.display())]
    Precision {
        /// The folder.
        path: PathBuf,
        /// Weights of a row.
        inputs: usize,
    },
    /// The tensor library refused weights that had passed every check.
    #[error("{}: {source}", path.display())]
    Tensor {
        /// The folder.
        path: PathBuf,
        /// What the library said.
        source: candle_core::Error,
    },
}

/// Decoding could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The model answered with NaN or infinity: nothing may be chosen from that.
    #[error("the model's logits at token {position} are not finite; the token was refused")]
    NonFinite {
        /// Tokens before the place.
        position: usize,
    },
    /// The sentence-embedding model answered with NaN or infinity.
    #[error(
        "the embedder's states of a text are not finite; its weights are damaged, or too large for f32"
    )]
    EmbeddingNonFinite,
    /// No token can follow.
    #[error(
        "no token can follow token {position}: the model gives all its mass to tokens that are not allowed here"
    )]
    NoCandidates {
        /// Tokens before the place.
        position: usize,
    },
    /// Nothing can be learned from this.
    #[error("nothing can be learned: {reason}")]
    Lesson {
        /// What is wrong.
        reason: String,
    },
    /// A learner needs floats.
    #[error(
        "an adapter is learned beside floats, and this model's weights are held in eight or four bits: load it with precision f32"
    )]
    NoFloats,
    /// Numbers of an adapter are no longer finite.
    #[error("learning ran away: a factor is not finite. Lower the rate")]
    Diverged,
    /// Learning was asked to stop; nothing was written.
    #[error("stopped; nothing was written")]
    Cancelled,
    /// A setting is out of its range.
    #[error("setting `{key}` is {found}; allowed is {min} to {max}")]
    Setting {
        /// Its name.
        key: &'static str,
        /// Its value.
        found: f64,
        /// Smallest value allowed.
        min: f64,
        /// Largest value allowed.
        max: f64,
    },
    /// The model's context is too short for branches to be rolled out in it.
    #[error(
        "the model's context of {found_tokens} tokens is too short; these settings need {needed_tokens}"
    )]
    ContextTooShort {
        /// Tokens the model can look back on.
        found_tokens: usize,
        /// Tokens needed.
        needed_tokens: usize,
    },
    /// There is nothing to start from.
    #[error("the prompt is empty and the model has no token that begins a text; give a prompt")]
    EmptyPrompt,
    /// Prompt and one token of an answer do not fit into the context.
    #[error(
        "the prompt has {found_tokens} tokens and the context holds {context_tokens}: there is no room for an answer. Shorten it, or choose a model \
         with a longer context (or a higher limit, if one was set)"
    )]
    PromptTooLong {
        /// Tokens of the prompt.
        found_tokens: usize,
        /// Tokens of prompt and answer together.
        context_tokens: usize,
    },
    /// A token number the model has no row for.
    #[error("token {token} is out of range; the model knows {vocabulary} tokens")]
    UnknownToken {
        /// The token.
        token: u32,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// The writer was asked before `start`.
    #[error("the writer has no text yet; start it with a prompt")]
    NotStarted,
    /// The writer cannot go on before the open fork is decided.
    #[error("fork {} is open; commit a branch, go on, undo or ask for others first", .fork.0)]
    ForkOpen {
        /// The open fork.
        fork: ForkId,
    },
    /// The fork named is not the open one.
    #[error("fork {} is not open", .fork.0)]
    NotOpen {
        /// The fork named.
        fork: ForkId,
    },
    /// The fork has no such branch.
    #[error("fork {} has {branches} branches, there is none of number {branch}", .fork.0)]
    NoSuchBranch {
        /// The fork.
        fork: ForkId,
        /// The number asked for, from 0.
        branch: usize,
        /// How many there are.
        branches: usize,
    },
    /// A conversation cannot be put into the model's form.
    #[error("the conversation cannot be put into the model's form: {reason}")]
    Chat {
        /// Why.
        reason: String,
    },
    /// The tokenizer could not read or write a text.
    #[error("the tokenizer failed: {reason}")]
    Tokenizer {
        /// What the tokenizer library said.
        reason: String,
    },
    /// A device cannot compute this.
    #[error("{device}: {reason}")]
    Device {
        /// Which one.
        device: super::Device,
        /// Why, and what to do.
        reason: String,
    },
    /// The server that has the model cannot be used.
    #[error("{url}: {reason}")]
    Server {
        /// What was asked.
        url: String,
        /// What happened, and what to do.
        reason: String,
        /// Whether waiting may help.
        prospect: Prospect,
    },
    /// The tensor library failed.
    #[error("the tensor library failed: {source}")]
    Tensor {
        /// What it said.
        #[from]
        source: candle_core::Error,
    },
}

/// What to expect of a server that brought nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prospect {
    /// It would say the same again.
    Same,
    /// It is gone or overloaded, and may answer again by itself.
    Gone,
    /// It is there, and still loading its model.
    Loading,
}

impl DecodeError {
    /// Whether waiting may help: a server is gone or still loading, and may come back.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        matches!(
            self,
            Self::Server {
                prospect: Prospect::Gone | Prospect::Loading,
                ..
            }
        )
    }

    /// Whether a server is there, but not ready yet.
    #[must_use]
    pub const fn is_loading(&self) -> bool {
        matches!(
            self,
            Self::Server {
                prospect: Prospect::Loading,
                ..
            }
        )
    }

    /// Why a branch cannot be taken while this fork is open.
    pub(super) fn of_choice(open: &Fork, fork: ForkId, branch: usize) -> Option<Self> {
        let branches = open.branches.len();
        if open.id != fork {
            Some(Self::NotOpen { fork })
        } else if branch >= branches {
            Some(Self::NoSuchBranch {
                fork,
                branch,
                branches,
            })
        } else {
            None
        }
    }

    /// Refuses the first setting outside of its range: key, value, least and greatest.
    pub(super) fn refuse_outside<const N: usize>(
        settings: [(&'static str, f64, f64, f64); N],
    ) -> Result<(), Self> {
        // NaN lies in no range.
        let outside = settings
            .into_iter()
            .find(|(_, found, min, max)| !(*min..=*max).contains(found));
        match outside {
            None => Ok(()),
            Some((key, found, min, max)) => Err(Self::Setting {
                key,
                found,
                min,
                max,
            }),
        }
    }
}

/// Why a piece of decoding stopped before its end: asked to, or failed. Never leaves the room.
#[derive(Debug)]
pub(super) enum Interrupt {
    /// [`Cancel`](super::Cancel) was requested; no state has changed.
    Cancelled,
    /// It failed.
    Failed(DecodeError),
}

impl<E: Into<DecodeError>> From<E> for Interrupt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}
