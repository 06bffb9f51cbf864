//! `razvilka choices authorship`.

use std::io::Write;
use std::path::PathBuf;

use super::list::plain;
use super::unwritten;
use crate::choice::Why;
use crate::cli::exit::{Exit, Failure};
use crate::report::{Alternative, Authorship, AuthorshipError, Choice, Origin, Piece};

/// Print a session's text with the origin of each piece, once ledger and text are verified
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    /// The session folder
    #[arg(value_name = "SESSION")]
    folder: PathBuf,
    /// Everything as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), Failure> {
    let authorship = Authorship::read(&args.folder)?;
    if args.json {
        let json = serde_json::to_string_pretty(&authorship)
            .map_err(|error| Failure::new(Exit::Internal, error))?;
        return writeln!(out, "{json}").map_err(unwritten);
    }
    print(&authorship, out).map_err(unwritten)
}

fn print(authorship: &Authorship, out: &mut dyn Write) -> std::io::Result<()> {
    let Authorship {
        session,
        razvilka_version,
        ledger,
        sealed,
        pieces,
        not_in_text,
    } = authorship;
    let seal = if *sealed {
        "sealed with the text by the manifest"
    } else {
        "not sealed, as the session did not end by itself: rows cut from the end would not be noticed"
    };
    writeln!(
        out,
        "session {session}, razvilka {razvilka_version}\nledger: {} rows, the chain holds up to {}; {seal}\n",
        ledger.rows, ledger.hash
    )?;
    for piece in pieces {
        writeln!(out, "{}", line_of(piece))?;
    }
    let chars = authorship.chars();
    let all: u64 = chars.values().sum();
    let shares: Vec<String> = chars
        .iter()
        .map(|(origin, chars)| {
            let percent = 100.0 * *chars as f64 / all.max(1) as f64;
            format!("{} {chars} ({percent:.1} %)", word_of(*origin))
        })
        .collect();
    writeln!(out, "\ncharacters: {}", shares.join(", "))?;
    if !not_in_text.is_empty() {
        let forks: Vec<String> = not_in_text.iter().map(u64::to_string).collect();
        writeln!(
            out,
            "written at forks {}, and not in the text: taken back, or not found again",
            forks.join(", ")
        )?;
    }
    Ok(())
}

const fn word_of(origin: Origin) -> &'static str {
    match origin {
        Origin::Prompt => "prompt",
        Origin::Model => "model",
        Origin::Person => "person",
        Origin::Imitator => "imitator",
    }
}

fn line_of(piece: &Piece) -> String {
    // Line breaks belong to the text: they are shown, not made.
    let shown = piece.text.replace('\n', "⏎");
    let text: String = shown.chars().map(plain).collect();
    let begin = format!(
        "{:>6}  {:<8}  {text}",
        piece.begins_char,
        word_of(piece.origin)
    );
    match &piece.choice {
        None => begin,
        Some(choice) => format!("{begin}\n                  {}", words_of(choice)),
    }
}

fn words_of(choice: &Choice) -> String {
    let not: Vec<String> = choice.alternatives.iter().map(alternative).collect();
    let mut words = vec![format!("fork {}", choice.fork)];
    if !not.is_empty() {
        words.push(format!("not {}", not.join(" or ")));
    }
    match choice.why {
        Why::ToldToGoOn => words.push("the person told the model to choose".to_owned()),
        Why::TimedOut(_) => words.push("time ran out".to_owned()),
        Why::Aborted(reason) => words.push(format!("nobody was asked any more: {reason}")),
        Why::NotAsked(reason) => words.push(format!("not asked: {}", reason.words())),
        Why::Imitated {
            probability,
            audit_rate,
        } => words.push(format!(
            "nobody was asked: the person would have with p = {probability:.3}, such forks audited at {audit_rate:.2}"
        )),
        Why::Selected => {}
    }
    if let Some(seconds) = choice.decision_s {
        words.push(format!(
            "decided in {seconds:.2} s from {} items of gaze, {} of P300",
            choice.items_gaze, choice.items_p300
        ));
    }
    if let Some(best) = choice.evidence.map(|arms| arms.fused.best()) {
        words.push(format!("posterior {:.3}", best.posterior));
    }
    let model: String = choice.model_sha256.chars().take(12).collect();
    words.push(format!("model {model}"));
    if let Some(adapter) = &choice.adapter {
        words.push(format!("adapter {adapter}"));
    }
    words.join("; ")
}

fn alternative(other: &Alternative) -> String {
    let text: String = other.text.chars().map(plain).collect();
    match other.posterior {
        Some(posterior) => format!("\"{text}\" ({posterior:.3})"),
        None => format!("\"{text}\" (prior {:.3})", other.prior),
    }
}

impl From<AuthorshipError> for Failure {
    fn from(error: AuthorshipError) -> Self {
        match error {
            AuthorshipError::Folder(error) => Self::new(Exit::Usage, error),
            AuthorshipError::Report(error) => error.into(),
            error => Self::new(Exit::Source, error),
        }
    }
}
