//! Where an answer goes: text or JSON to stdout, figures to stderr.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;
use serde_json::json;

use super::Args;
use super::answer::Answer;
use crate::cli::exit::{Exit, Failure};
use crate::decode::{
    DecodeError, Device, Finish, Floats, GeneratorSettings, Model, ModelFile, Precision,
};
use crate::engine::replay::AnotherWay;

/// In which form answers go to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As it comes.
    Text,
    /// One object per answer, at its end.
    Json,
    /// A line for each piece, and the object.
    JsonLines,
}

/// What all answers of one run have in common.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    /// Until the first prompt could be read, seconds.
    load_s: f64,
    settings: GeneratorSettings,
    threads: u8,
    device: String,
    /// Of a card; our own kernels compute as the model is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    floats: Option<Floats>,
    model: Loaded,
    /// The session's text that is gone on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Whence>,
    /// Version of this program.
    razvilka: &'static str,
}

/// Where in a session the text comes from, and along which branch it goes on.
#[derive(Debug, Serialize)]
struct Whence {
    session: String,
    fork: u64,
    /// Its item number at the fork.
    branch: i32,
    /// The branch's phrase.
    words: String,
}

#[derive(Debug, Serialize)]
struct Loaded {
    name: String,
    precision: Precision,
    /// With their SHA-256.
    files: Vec<ModelFile>,
}

impl Run {
    pub(super) fn new(
        args: &Args,
        model: &Model,
        load_s: f64,
        settings: GeneratorSettings,
    ) -> Self {
        let card = model.card();
        Self {
            load_s,
            settings,
            threads: args.threads,
            device: args.device.to_string(),
            floats: (args.device != Device::Cpu).then_some(args.floats),
            model: Loaded {
                name: card.name,
                precision: card.precision,
                files: card.files,
            },
            from: None,
            razvilka: env!("CARGO_PKG_VERSION"),
        }
    }

    /// Says that the text is a session's, along the branch with this item number.
    pub(super) fn gone_on_from(self, way: &AnotherWay, item: i32) -> Self {
        Self {
            from: Some(Whence {
                session: way.session.clone(),
                fork: way.fork.0,
                branch: item,
                words: way.branch.clone(),
            }),
            ..self
        }
    }
}

#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    answer: &'a Answer,
    #[serde(flatten)]
    run: &'a Run,
}

/// Why nothing more is written.
#[derive(Debug)]
pub(super) enum Ended {
    /// Whoever read our stdout has had enough.
    Closed,
    /// The decoder refused a prompt, or failed.
    Refused(DecodeError),
    Failed(Failure),
}

impl Ended {
    pub(super) fn internal(error: impl std::error::Error) -> Self {
        Self::Failed(Failure::new(Exit::Internal, error))
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<DecodeError> for Ended {
    fn from(error: DecodeError) -> Self {
        Self::Refused(error)
    }
}

/// Errors of writing to stdout.
impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Failed(Failure::said(
                Exit::Usage,
                format!("cannot write to standard output: {error}"),
            )),
        }
    }
}

/// The two streams that people and programs read.
#[derive(Debug)]
pub(super) struct Out<'a, W, T> {
    out: &'a mut W,
    talk: &'a mut T,
    form: Form,
    run: Run,
}

impl<'a, W: Write, T: Write> Out<'a, W, T> {
    pub(super) fn new(out: &'a mut W, talk: &'a mut T, form: Form, run: Run) -> Self {
        Self {
            out,
            talk,
            form,
            run,
        }
    }

    /// Shows how a text begins that goes on from here.
    pub(super) fn piece_of_prompt(&mut self, prompt: &str) -> io::Result<()> {
        if self.form == Form::Text {
            self.out.write_all(prompt.as_bytes())?;
            self.out.flush()?;
        }
        Ok(())
    }

    /// Shows whole characters as they come.
    pub(super) fn piece(&mut self, text: &str) -> io::Result<()> {
        match self.form {
            _ if text.is_empty() => return Ok(()),
            Form::Json => return Ok(()),
            Form::Text => self.out.write_all(text.as_bytes())?,
            Form::JsonLines => writeln!(self.out, "{}", json!({ "piece": text }))?,
        }
        self.out.flush()
    }

    /// The answer is over.
    pub(super) fn end(&mut self, answer: &Answer, context_tokens: usize) -> io::Result<()> {
        if self.form != Form::Text {
            let run = &self.run;
            serde_json::to_writer(&mut *self.out, &Told { answer, run })?;
        }
        writeln!(self.out)?;
        self.out.flush()?;
        let (prompt, wrote) = (&answer.prompt, &answer.generation);
        let reused = match prompt.reused_tokens {
            0 => String::new(),
            tokens => format!(" ({tokens} of them known)"),
        };
        let why = match answer.finish {
            Finish::EndOfText => "the model ended it".to_owned(),
            Finish::StopText => "a stop text came".to_owned(),
            Finish::TokensMax => "as many as asked for".to_owned(),
            Finish::ContextFull => format!(
                "the context of {context_tokens} tokens is full, so it stops here; --when-full renew forgets the first half and goes on"
            ),
        };
        let per_s = wrote.tokens_per_s;
        let speed = per_s.map_or_else(String::new, |per_s| format!(" ({per_s:.1} per second)"));
        self.say(&format!(
            "prompt {} tokens{reused} in {:.3} s; wrote {} tokens in {:.3} s{speed}; {why}",
            prompt.tokens, prompt.seconds, wrote.tokens, wrote.seconds
        ));
        Ok(())
    }

    /// A line to the person.
    pub(super) fn say(&mut self, line: &str) {
        let _ = writeln!(self.talk, "{line}"); // nobody may be listening
    }

    /// Asks the person for a line.
    pub(super) fn ask(&mut self) {
        let _ = write!(self.talk, "> ").and_then(|()| self.talk.flush()); // nobody may be listening
    }
}
