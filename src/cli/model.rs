//! `razvilka model check`: verifies and describes a model without holding it; gives its logits for tokens on request.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::tensor::{Dtype, TensorView};

use super::exit::{Exit, Failure};
use crate::config::{is_a_server, is_on_a_hub};
#[cfg(feature = "server")]
use crate::decode::remote::Server;
use crate::decode::{
    Backend, DecodeError, Embedder, LoadSettings, Model, ModelCard, ModelError, Precision,
    ServerSettings, available_memory_bytes,
};

/// Look at a language model.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// What to do with it
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done with a model.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Action {
    /// Verify every file of a model and describe it
    Check(CheckArgs),
    /// Embed texts with a sentence-embedding model, or verify and describe it
    Embed(EmbedArgs),
}

/// Embed texts with a sentence-embedding model: one JSON object per text on stdout. Without texts: verify and describe it.
#[derive(Debug, Clone, clap::Args)]
pub struct EmbedArgs {
    /// A folder of sentence-transformers whose encoder is of the family of BERT or XLM-R
    pub path: PathBuf,
    /// The texts
    pub texts: Vec<String>,
}

/// Verify every file of a model and describe it.
#[derive(Debug, Clone, clap::Args)]
pub struct CheckArgs {
    /// A Hugging Face folder or a GGUF file of the family of Llama, Mistral, Qwen2 or Qwen3, or hf:organisation/name; the
    /// embedded story model when absent
    pub path: Option<PathBuf>,
    /// How to hold the weights for --tokens: stored (as the file has them), f32, q8 or q4
    #[arg(long, value_name = "P", default_value = "stored", requires = "tokens")]
    pub precision: Precision,
    /// Tokens of text whose keys and values are counted, as writer.context_tokens_max; the model's context if that is shorter
    #[arg(long, value_name = "TOKENS", default_value_t = LoadSettings::default().text_tokens)]
    pub context: usize,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Token numbers, separated by commas, to compute logits for
    #[arg(
        long,
        value_name = "N,N,...",
        value_delimiter = ',',
        requires = "logits"
    )]
    pub tokens: Vec<u32>,
    /// Where to write those logits: a safetensors file with `logits`, f32 [tokens, vocabulary]
    #[arg(long, value_name = "FILE", requires = "tokens")]
    pub logits: Option<PathBuf>,
}

/// Runs `razvilka model`.
///
/// # Errors
/// [`Failure`]: exit code 4 for a model that cannot be used, 2 for tokens it does not know or a file that cannot be written.
pub fn run(args: &Args) -> Result<(), Failure> {
    match &args.action {
        Action::Check(check) => run_check(check),
        Action::Embed(embed) => run_embed(embed),
    }
}

fn run_embed(args: &EmbedArgs) -> Result<(), Failure> {
    let mut lines = Vec::new();
    if args.texts.is_empty() {
        lines.push(serde_json::json!(Embedder::verify(&args.path)?));
    } else {
        let texts: Vec<&str> = args.texts.iter().map(String::as_str).collect();
        let vectors = Embedder::load(&args.path)?.embed(&texts)?;
        let each = texts.iter().zip(vectors);
        lines.extend(
            each.map(
                |(text, embedding)| serde_json::json!({ "text": text, "embedding": embedding }),
            ),
        );
    }
    let mut out = io::stdout().lock();
    let mut written = lines.iter().map(|line| writeln!(out, "{line}"));
    written.try_for_each(|line| line).map_err(unprintable)
}

fn unprintable(error: io::Error) -> Failure {
    Failure::said(
        Exit::Usage,
        format!("cannot write to standard output: {error}"),
    )
}

fn run_check(check: &CheckArgs) -> Result<(), Failure> {
    let settings = LoadSettings {
        precision: check.precision,
        text_tokens: check.context,
        ..LoadSettings::default()
    };
    let card = match (&check.path, &check.logits) {
        // Looked at from beginning to end, and not held.
        (Some(path), None) => Model::verify_with(place_of(path)?, &settings)?,
        (path, logits) => {
            let model = Arc::new(open(path.as_deref(), &settings)?);
            if let Some(logits) = logits {
                write_logits(&model, &check.tokens, logits)?;
            }
            model.card()
        }
    };
    let mut out = io::stdout().lock();
    let written = if check.json {
        serde_json::to_writer(&mut out, &card)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        describe(&card, &mut out)
    };
    written.map_err(unprintable)
}

/// The model of a folder, a file or a hub, loaded as `settings` say, or the embedded one.
///
/// # Errors
/// [`Failure`] with exit code 4.
pub fn open(named: Option<&Path>, settings: &LoadSettings) -> Result<Model, Failure> {
    if let Some(address) = named.filter(|path| is_a_server(path)) {
        // A replay computes the text again, a certificate times steps: neither can be had of a server.
        return Err(Failure::said(
            Exit::Model,
            format!(
                "{}: this needs the model itself, and not a server that has it: a server promises neither the same text again nor the same speed. Name a folder or a file",
                address.display()
            ),
        ));
    }
    Ok(match named {
        Some(named) => Model::load_with(place_of(named)?, settings)?,
        None => Model::embedded()?,
    })
}

/// As [`open`], with an adapter where one is named.
///
/// # Errors
/// [`Failure`] with exit code 4.
pub fn open_adapted(
    named: Option<&Path>,
    settings: &LoadSettings,
    adapter: Option<&Path>,
) -> Result<Model, Failure> {
    let Some(adapter) = adapter else {
        return open(named, settings);
    };
    let place = named.map(place_of).transpose()?;
    Ok(Model::load_adapted(place.as_deref(), settings, adapter)?)
}

/// The model of a server. Its key, if it has one, is in the environment.
///
/// # Errors
/// [`Failure`] with exit code 4.
#[cfg(feature = "server")]
pub fn open_server(address: &Path, settings: &ServerSettings) -> Result<Backend, Failure> {
    let key = match settings.key_env.as_str() {
        "" => None,
        name => std::env::var(name).ok().filter(|key| !key.is_empty()),
    };
    let mut told = false;
    let tell = |error: &DecodeError| {
        if !std::mem::replace(&mut told, true) {
            eprintln!("razvilka: the server is waited for: {error}");
        }
    };
    let address = address.to_string_lossy();
    let server = Server::open_unless(
        &address,
        settings.clone(),
        key,
        tell,
        super::signals::is_stopping,
    )?;
    eprintln!("razvilka: the text is written by {server}; it goes there, prompt and all");
    Ok(Backend::Server(Arc::new(server)))
}

/// The model of a server.
///
/// # Errors
/// [`Failure`] with exit code 4, always.
#[cfg(not(feature = "server"))]
pub fn open_server(address: &Path, _: &ServerSettings) -> Result<Backend, Failure> {
    let said = "this program was built without the feature `server`: build it with `cargo build --release --features server` (it is among the default ones)";
    Err(Failure::said(
        Exit::Model,
        format!("{}: {said}", address.display()),
    ))
}

/// Where a model is that was named: the path itself, or the folder that `hf:organisation/name` was fetched into.
#[cfg(feature = "hub")]
fn place_of(path: &Path) -> Result<PathBuf, Failure> {
    use std::time::{Duration, Instant};

    use crate::hub::{self, Http, Name};

    const PATIENCE: Duration = Duration::from_secs(30);
    const BETWEEN: Duration = Duration::from_millis(500);
    let Some(name) = path.to_str().filter(|_| is_on_a_hub(path)) else {
        return Ok(path.into());
    };
    let failed = |error| Failure::new(Exit::Model, error);
    let name = Name::parse(name).map_err(failed)?;
    let endpoint = std::env::var("HF_ENDPOINT").unwrap_or_else(|_| "https://huggingface.co".into());
    let http = Http::new(&endpoint, PATIENCE);
    let mut last: Option<Instant> = None;
    hub::fetch(&http, &name, &hub::folder(), |progress| {
        let done = progress.have_bytes == progress.size_bytes;
        if done || last.is_none_or(|at| at.elapsed() >= BETWEEN) {
            last = Some(Instant::now());
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            eprintln!(
                "{}: {:.1} of {:.1} MiB",
                progress.file,
                mib(progress.have_bytes),
                mib(progress.size_bytes)
            );
        }
    })
    .map_err(failed)
}

/// Where a model is that was named.
#[cfg(not(feature = "hub"))]
fn place_of(path: &Path) -> Result<PathBuf, Failure> {
    if is_on_a_hub(path) {
        let said = "this program was built without the feature `hub`: build it with `cargo build --release --features hub` (it is among the default ones), or fetch the model's folder \
                    by hand and name that";
        return Err(Failure::said(
            Exit::Model,
            format!("{}: {said}", path.display()),
        ));
    }
    Ok(path.into())
}

fn describe(card: &ModelCard, out: &mut impl Write) -> io::Result<()> {
    const MIB: f64 = (1 << 20) as f64;
    let c = &card.config;
    let mib = |bytes: usize| bytes as f64 / MIB;
    writeln!(out, "model         {} ({:?}): sound", card.name, c.family)?;
    writeln!(
        out,
        "parameters    {:.2} million",
        card.parameters as f64 / 1e6
    )?;
    writeln!(
        out,
        "shape         {} layers of {}, {} heads of {} ({} for keys), feed-forward {}",
        c.layers, c.hidden, c.heads, c.head_dim, c.kv_heads, c.intermediate
    )?;
    writeln!(
        out,
        "vocabulary    {} rows, {} tokens, output {}",
        c.vocabulary,
        card.tokenizer_tokens,
        if c.tied { "tied" } else { "of its own" }
    )?;
    writeln!(out, "context       {} tokens", c.context_tokens)?;
    writeln!(
        out,
        "memory        {:.1} MiB of weights ({}), {:.1} KiB per token of text",
        mib(card.weights_bytes),
        match card.precision {
            Precision::F32 => "floats",
            Precision::Q8 => "eight bits",
            Precision::Q4 => "four bits",
            _ => "of several widths",
        },
        mib(card.kv_bytes_per_token) * 1024.0
    )?;
    let needed = card.needed_bytes as f64 / MIB;
    writeln!(
        out,
        "to load       about {:.0} MiB",
        (card.needed_bytes - card.text_bytes) as f64 / MIB
    )?;
    writeln!(
        out,
        "to write      {:.1} MiB more: keys and values of {} tokens of text",
        card.text_bytes as f64 / MIB,
        card.text_tokens
    )?;
    match available_memory_bytes() {
        None => writeln!(out, "in all        about {needed:.0} MiB")?,
        Some(available) => writeln!(
            out,
            "in all        about {needed:.0} MiB of {:.0} MiB available: {}",
            available as f64 / MIB,
            if card.needed_bytes <= available {
                "fits"
            } else {
                "does not fit"
            }
        )?,
    }
    for file in &card.files {
        writeln!(
            out,
            "file          {} {:>12} bytes  {}",
            file.sha256, file.bytes, file.name
        )?;
    }
    Ok(())
}

fn write_logits(model: &Arc<Model>, tokens: &[u32], path: &Path) -> Result<(), Failure> {
    let logits = model.logits(tokens)?;
    let bytes: Vec<u8> = logits.iter().flat_map(|x| x.to_le_bytes()).collect();
    let shape = vec![tokens.len(), model.config().vocabulary];
    let unwritable = |reason: String| {
        Failure::said(
            Exit::Usage,
            format!("{}: cannot be written: {reason}", path.display()),
        )
    };
    let view = TensorView::new(Dtype::F32, shape, &bytes).map_err(|e| unwritable(e.to_string()))?;
    safetensors::serialize_to_file(HashMap::from([("logits", view)]), None, path)
        .map_err(|e| unwritable(e.to_string()))
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Self::new(Exit::Model, error)
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        let exit = match error {
            DecodeError::Setting { .. }
            | DecodeError::EmptyPrompt
            | DecodeError::PromptTooLong { .. }
            | DecodeError::UnknownToken { .. } => Exit::Usage,
            _ => Exit::Model,
        };
        Self::new(exit, error)
    }
}
