//! `razvilka generate`: plain decoding, nobody is asked.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::exit::{Exit, Failure};
use super::model;
use crate::config::is_a_server;
use crate::decode::{Cancel, End, Precision, ServerSettings, Step, WriterSettings};

/// Let a language model write, without asking anybody.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// A Hugging Face folder, a GGUF file, hf:organisation/name or a server (http://host:port); the embedded story model when absent
    #[arg(long, value_name = "DIR|FILE")]
    pub model: Option<PathBuf>,
    /// How the text begins; may be empty where the model can begin by itself
    #[arg(long, default_value = "")]
    pub prompt: String,
    /// Same seed, same text
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Tokens to write after the prompt, 1 to 1000000
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub max_tokens: usize,
    /// How freely to draw, 0 (always the likeliest token) to 2
    #[arg(long, value_name = "T", default_value_t = 0.8)]
    pub temperature: f64,
}

/// Runs `razvilka generate`: the text streams to stdout, figures go to stderr.
///
/// # Errors
/// [`Failure`]: exit code 4 for the model, 2 for a setting out of range or a closed stdout.
pub fn run(args: &Args) -> Result<(), Failure> {
    let settings = WriterSettings {
        seed: args.seed,
        temperature: args.temperature,
        tokens_max: args.max_tokens,
        detect: false,
        ..WriterSettings::default()
    };
    settings.check()?;
    let model = match args.model.as_deref().filter(|path| is_a_server(path)) {
        Some(address) => model::open_server(address, &ServerSettings::default())?,
        None => Arc::new(model::open(args.model.as_deref(), Precision::default())?).into(),
    };
    let mut writer = model.writer(settings)?;
    let mut out = io::stdout().lock();
    let begun = Instant::now();
    writer.start(&args.prompt)?;
    let (prompt, read_s) = (writer.position(), begun.elapsed().as_secs_f64());
    let unwritable =
        |e: io::Error| Failure::said(Exit::Usage, format!("cannot write to standard output: {e}"));
    write!(out, "{}", writer.text()).map_err(unwritable)?;
    let cancel = Cancel::new();
    let begun = Instant::now();
    let end = loop {
        let step = writer.advance(&cancel);
        for remark in writer.remarks() {
            eprintln!("razvilka: {remark}");
        }
        match step? {
            Step::Text(text) => {
                write!(out, "{text}")
                    .and_then(|()| out.flush())
                    .map_err(unwritable)?;
            }
            Step::End(end) => break Some(end),
            Step::Waiting => {}
            // Neither comes: nothing is detected, nobody cancels.
            Step::Fork(_) | Step::Cancelled => break None,
        }
    };
    writeln!(out).map_err(unwritable)?;
    let (written, seconds) = (writer.position() - prompt, begun.elapsed().as_secs_f64());
    let why = match end {
        Some(End::Text) => "the text ended",
        _ => "as many as asked for",
    };
    eprintln!(
        "prompt {prompt} tokens in {read_s:.3} s; wrote {written} tokens in {seconds:.3} s ({:.1} per second); {why}",
        written as f64 / seconds.max(1e-9)
    );
    Ok(())
}
