//! `razvilka generate`: plain decoding, nobody is asked. A prompt, a conversation from a file, or one that is typed; or a session's text from
//! one of its forks on.

mod answer;
mod chat;
mod from;
mod input;
mod output;
mod served;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use self::answer::answer;
use self::input::Input;
use self::output::{Ended, Form, Out, Run};
use super::exit::{Exit, Failure};
use super::model;
use crate::config::is_a_server;
use crate::decode::{
    Device, Floats, Generator, GeneratorSettings, LoadSettings, Model, Precision, Sampling,
    Threads, WhenFull,
};

/// Let a language model write, without asking anybody.
#[derive(Debug, Clone, clap::Args)]
#[command(group = clap::ArgGroup::new("input").multiple(false))]
pub struct Args {
    /// A Hugging Face folder, a GGUF file, hf:organisation/name or a server (http://host:port); the embedded story model when absent
    #[arg(long, value_name = "DIR|FILE")]
    pub model: Option<PathBuf>,
    /// How the text begins; may be empty where the model can begin by itself
    #[arg(long, value_name = "TEXT", default_value = "", group = "input")]
    pub prompt: String,
    /// A file of UTF-8 with the prompt, or - for standard input; one line's end at its end is left out
    #[arg(long, value_name = "FILE|-", group = "input")]
    pub prompt_file: Option<PathBuf>,
    /// One answer to a conversation: a JSON list of objects with `role` and `content`, in a file or - for standard input
    #[arg(long, value_name = "FILE|-", group = "input")]
    pub messages: Option<PathBuf>,
    /// A conversation: every line of standard input is answered. /clear begins anew, /quit or the end of input ends
    #[arg(long, group = "input")]
    pub chat: bool,
    /// A session folder: its text is written again up to --fork and goes on along --branch, by the session's model
    #[arg(long, value_name = "FOLDER", group = "input", requires = "fork", requires = "branch", conflicts_with_all = ["precision", "context"])]
    pub from: Option<PathBuf>,
    /// The fork in that session, by its number in the report
    #[arg(long, value_name = "N", requires = "from")]
    pub fork: Option<u64>,
    /// The branch at that fork, by its number in the report
    #[arg(long, value_name = "K", requires = "from")]
    pub branch: Option<i32>,
    /// What the model is told before the conversation
    #[arg(long, value_name = "TEXT", requires = "chat")]
    pub system: Option<String>,
    /// Same seed, same text
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Tokens to write for one prompt, 1 to 1000000
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub max_tokens: usize,
    /// How freely to draw, 0 (always the likeliest token) to 2
    #[arg(long, value_name = "T", default_value_t = 0.8)]
    pub temperature: f64,
    /// Draw from this many of the likeliest tokens, 0 (any number) to 1000000
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub top_k: usize,
    /// Draw from the likeliest tokens that have this mass together, 0.05 to 1
    #[arg(long, value_name = "P", default_value_t = 0.95)]
    pub top_p: f64,
    /// Draw from tokens at least this likely, relative to the likeliest, 0 to 1
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub min_p: f64,
    /// Make tokens that were written lately less likely, 1 (no) to 2
    #[arg(long, value_name = "R", default_value_t = 1.0)]
    pub repeat_penalty: f64,
    /// How many tokens back is lately, 0 to 32768
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub repeat_last: usize,
    /// End an answer before this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
    /// Tokens that prompt and answer may have together, 2 to 16777216; as many as the model can when absent
    #[arg(long, value_name = "N")]
    pub context: Option<usize>,
    /// When they have: stop, or renew (read the last half again as a fresh context, and go on)
    #[arg(long, value_name = "HOW", default_value = "stop")]
    pub when_full: WhenFull,
    /// A low-rank adapter to add to the model's matrices: a folder of peft
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    /// How to hold the weights: stored (as the file has them), f32, q8 or q4; the embedded model stays f32
    #[arg(long, value_name = "P", default_value = "stored")]
    pub precision: Precision,
    /// Threads that decode, 1 to 64; quantised matrices only are shared out
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub threads: u8,
    /// What computes: cpu, or cuda:N for an NVIDIA card (takes a program built with the feature `cuda`, and weights held as floats)
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: Device,
    /// Which floats the card computes with: f32, f16 or bf16
    #[arg(long, value_name = "F", default_value = "f32")]
    pub floats: Floats,
    /// Print one JSON object per answer instead of text: text, tokens, timings, settings, the model's hashes
    #[arg(long)]
    pub json: bool,
    /// Print a JSON line for each piece of text as it comes, then the object of --json
    #[arg(long, conflicts_with = "json")]
    pub json_lines: bool,
}

impl Args {
    fn settings(&self) -> GeneratorSettings {
        GeneratorSettings {
            seed: self.seed,
            sampling: Sampling {
                temperature: self.temperature,
                top_k: self.top_k,
                top_p: self.top_p,
                min_p: self.min_p,
                repeat_penalty: self.repeat_penalty,
                repeat_last_tokens: self.repeat_last,
            },
            tokens_max: self.max_tokens,
            context_tokens_max: self.context,
            when_full: self.when_full,
            stop: self.stop.clone(),
            end_tokens: Vec::new(),
        }
    }

    fn form(&self) -> Form {
        match (self.json, self.json_lines) {
            (true, _) => Form::Json,
            (_, true) => Form::JsonLines,
            _ => Form::Text,
        }
    }
}

/// Runs `razvilka generate`: the text streams to stdout, figures go to stderr. A reader that closes stdout ends it quietly.
///
/// # Errors
/// [`Failure`]: exit code 4 for the model, 2 for a setting out of range, a prompt that cannot be read or does not fit, or a stdout that
/// cannot be written.
pub fn run(args: &Args) -> Result<(), Failure> {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let typed = stdin.is_terminal();
    let (input, out) = (&mut stdin.lock(), &mut stdout.lock());
    with(args, typed, input, out, &mut io::stderr())
}

/// As [`run`], with its streams given; `typed` says whether somebody types the input.
fn with(
    args: &Args,
    typed: bool,
    stdin: &mut impl BufRead,
    out: &mut impl Write,
    talk: &mut impl Write,
) -> Result<(), Failure> {
    match generate(args, typed, stdin, out, talk) {
        Ok(()) | Err(Ended::Closed) => Ok(()),
        Err(Ended::Refused(error)) => Err(error.into()),
        Err(Ended::Failed(failure)) => Err(failure),
    }
}

fn generate(
    args: &Args,
    typed: bool,
    stdin: &mut impl BufRead,
    out: &mut impl Write,
    talk: &mut impl Write,
) -> Result<(), Ended> {
    let mut settings = args.settings();
    settings.check()?;
    let server = args.model.as_deref().filter(|path| is_a_server(path));
    if let Some(address) = server.filter(|_| args.from.is_none()) {
        return served::write(args, address, stdin, out, talk);
    }
    // A large model takes minutes to load: in vain, if there is no such device.
    args.device.check()?;
    if let Some(folder) = &args.from {
        return from::write(args, folder, settings, out, talk);
    }
    let input = Input::of(args, stdin)?;
    let begun = Instant::now();
    let model = Arc::new(opened(args)?);
    if input.is_conversation() {
        settings.end_tokens = model.turn_ends();
    }
    let how = settings.clone();
    let mut generator = Generator::on(Arc::clone(&model), how, args.device, args.floats)?;
    let run = Run::new(args, &model, begun.elapsed().as_secs_f64(), settings);
    let mut out = Out::new(out, talk, args.form(), run);
    match input {
        Input::Text(prompt) => {
            let tokens = model.prompt(&prompt)?;
            answer(&mut generator, (&tokens, &prompt), &mut out).map(|_| ())
        }
        Input::Messages(messages) => {
            let tokens = model.chat(&messages)?;
            answer(&mut generator, (&tokens, ""), &mut out).map(|_| ())
        }
        Input::Chat => chat::talk(
            &mut generator,
            args.system.as_deref(),
            typed,
            stdin,
            &mut out,
        ),
    }
}

fn opened(args: &Args) -> Result<Model, Failure> {
    let usual = LoadSettings::default();
    let settings = LoadSettings {
        precision: args.precision,
        text_tokens: args.context.unwrap_or(usual.text_tokens),
        ..usual
    };
    let model = model::open_adapted(args.model.as_deref(), &settings, args.adapter.as_deref())?;
    with_threads(model, args)
}

/// The model with as many threads as were asked for.
fn with_threads(model: Model, args: &Args) -> Result<Model, Failure> {
    let threads = Threads {
        count: usize::from(args.threads),
        begin: None,
    };
    model.with_threads(threads).map_err(|error| {
        let said = format!("the system starts no decoding threads: {error}. Use --threads 1");
        Failure::said(Exit::Model, said)
    })
}
