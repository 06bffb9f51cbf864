//! A session's text gone on with: held against the session's own text, and against plain decoding of the text as a prompt.

use std::collections::BTreeMap;

use clap::Parser;
use razvilka_dsp::units::{LslTime, MonoTime};

use super::*;
use crate::choice::{AskReason, Decision, FlashSettings, ModelReason, Why};
use crate::cli::generate::with;
use crate::decode::{self, Backend, Cancel, Decoder};
use crate::engine::conduct::{model_digest, option_rows};
use crate::engine::question::Question;
use crate::fork::{Fork, ForkOrigin, options_of};
use crate::gate::{GateSettings, Lease};
use crate::marker::{OptionKind, Outcome};
use crate::pipeline::scribe::Texts;
use crate::session::{
    ChoiceRow, ConfigRecord, Folder, ForkRow, LedgerWriter, Manifest, SessionFile, SessionRow,
};
use crate::view::layout;

/// What the person does at a fork.
#[derive(Clone, Copy)]
enum Does {
    /// Takes this branch while so many steps are decoded ahead.
    Takes(usize, usize),
    LetsGoOn,
    Undoes,
    AsksForOthers,
    Nothing,
}

/// A session whose text follows the likeliest token everywhere.
struct Session {
    holder: tempfile::TempDir,
    text: String,
    /// Fork, branch taken, and where in the text the fork is, of choices that stand in the text.
    standing: Vec<(u64, i32, usize)>,
    forks: u64,
}

struct Recording {
    plan: Plan,
    model: Backend,
    ledger: LedgerWriter,
    writer: Box<dyn Decoder>,
    position: usize,
    written: u64,
    forks: u64,
}

impl Recording {
    fn count(&mut self, position: usize) {
        self.written += position.saturating_sub(self.position) as u64;
        self.position = position;
    }

    fn asked(&mut self, fork: &Fork) -> (ForkRow, Vec<OptionKind>) {
        self.count(fork.position);
        let id = ForkId(self.forks);
        self.forks += 1;
        let kinds = options_of(fork.branches.len(), self.writer.can_undo());
        let tiles = layout::tiles(fork, &kinds, &self.plan.screen);
        let at = LslTime::new(100.0 + 10.0 * self.forks as f64).unwrap();
        let question = Question::new(id, fork.clone(), 0, kinds.clone(), tiles, at);
        let row = ForkRow {
            fork: id,
            position_tokens: fork.position as u64,
            tokens_written: self.written,
            context: fork.context.clone(),
            origin: ForkOrigin::Detected,
            attempt: 0,
            decision: Decision::Ask(AskReason::Decisive),
            opened_at: at,
            opened_mono: MonoTime::from_nanos(1_000 * self.forks),
            lease: Lease { epoch: 1 },
            gate: GateSettings::default(),
            prior_capped: None,
            eeg_clock: None,
            gaze_clock: None,
            model_sha256: model_digest(&self.model),
            adapter: None,
        };
        self.ledger.fork(&row, &option_rows(&question)).unwrap();
        (row, kinds)
    }

    fn ended(
        &mut self,
        row: &ForkRow,
        kinds: &[OptionKind],
        end: (Option<usize>, Option<Chooser>, Why, String),
    ) {
        let (item, chooser, why, text) = end;
        self.ledger
            .choice(&ChoiceRow {
                fork: row.fork,
                outcome: Some(Outcome::Committed),
                item: item.and_then(|item| i32::try_from(item).ok()),
                kind: item.and_then(|item| kinds.get(item).copied()),
                chooser,
                why,
                text,
                posterior: None,
                arms: None,
                items_gaze: 0,
                items_p300: 0,
                flashes: 0,
                tokens_written: self.written,
                decided_at: row.opened_at,
                decided_mono: row.opened_mono,
                committed_mono: row.opened_mono,
                latency_ns: BTreeMap::new(),
                model_sha256: row.model_sha256.clone(),
                adapter: None,
            })
            .unwrap();
    }
}

fn session(does: &[Does]) -> Session {
    let words = "[keys]\npins = { source_id = \"keys\" }\n[model]\nprompt = \"Once upon a time\"\n\
                 [writer]\ntemperature = 0.0\ntokens_max = 150\n";
    let holder = tempfile::tempdir().unwrap();
    let plan = Plan::parse(words, Path::new("experiment.toml")).unwrap();
    let folder = Folder::create(&holder.path().join("session")).unwrap();
    let mut manifest = Manifest::begin(vec!["razvilka".into()], ConfigRecord::new(plan.to_toml()));
    let ledger = LedgerWriter::create(
        &folder.file(SessionFile::Ledger),
        &SessionRow {
            session: manifest.session.clone(),
            started_utc: manifest.started_utc.clone(),
            razvilka_version: manifest.versions.razvilka.clone(),
            seed: plan.session.seed,
            config_sha256: manifest.config.sha256.clone(),
            flash: FlashSettings::default(),
            protocol: plan.protocol,
        },
    )
    .unwrap();
    let model = Backend::from(Arc::new(Model::embedded().unwrap()));
    let texts = Texts {
        model: model.clone(),
        settings: plan.writer_settings(),
        prompt: plan.model.prompt.clone(),
    };
    let writer = texts.begin(0).unwrap();
    let mut to = Recording {
        position: writer.position(),
        plan,
        model,
        ledger,
        writer,
        written: 0,
        forks: 0,
    };
    let (mut does, mut fork, mut standing) = (does.iter(), None, Vec::new());
    loop {
        let Some(open) = fork.take() else {
            match to.writer.advance(&Cancel::new()).unwrap() {
                decode::Step::Fork(found) => fork = Some(found),
                decode::Step::Text(_) => {}
                _ => break,
            }
            continue;
        };
        let Some(act) = does.next() else {
            break;
        };
        let (row, kinds) = to.asked(&open);
        let at = to.writer.text().len();
        let place = |kind| kinds.iter().position(|found| *found == kind);
        match *act {
            Does::Takes(branch, steps) => {
                for _ in 0..steps {
                    to.writer.think(&Cancel::new()).unwrap();
                }
                let commit = to.writer.commit(open.id, branch).unwrap();
                to.count(to.writer.position());
                to.ended(
                    &row,
                    &kinds,
                    (
                        Some(branch),
                        Some(Chooser::Human),
                        Why::Selected,
                        commit.text,
                    ),
                );
                standing.push((row.fork.0, branch as i32, at));
            }
            Does::LetsGoOn => {
                let commit = to.writer.go_on(open.id).unwrap();
                to.count(to.writer.position());
                let why = Why::NotAsked(ModelReason::BudgetSpent);
                to.ended(
                    &row,
                    &kinds,
                    (Some(commit.branch), Some(Chooser::Model), why, commit.text),
                );
                standing.push((row.fork.0, commit.branch as i32, at));
            }
            Does::Undoes => {
                let undone = to.writer.undo().unwrap().unwrap();
                to.count(to.writer.position());
                to.ended(
                    &row,
                    &kinds,
                    (
                        place(OptionKind::Undo),
                        Some(Chooser::Human),
                        Why::Selected,
                        String::new(),
                    ),
                );
                standing.pop();
                fork = Some(undone.fork);
            }
            Does::AsksForOthers => {
                let other = to.writer.other(open.id).unwrap();
                fork = Some(other.expect("there is something else here"));
                to.ended(
                    &row,
                    &kinds,
                    (
                        place(OptionKind::Other),
                        Some(Chooser::Human),
                        Why::Selected,
                        String::new(),
                    ),
                );
            }
            Does::Nothing => {
                to.ended(
                    &row,
                    &kinds,
                    (
                        None,
                        None,
                        Why::Aborted(crate::gate::AbortReason::SourceLost),
                        String::new(),
                    ),
                );
                fork = Some(open);
            }
        }
    }
    let text = to.writer.text().to_owned();
    let forks = to.forks;
    manifest.ledger = Some(to.ledger.finish().unwrap());
    folder.write_manifest(&manifest).unwrap();
    Session {
        holder,
        text,
        standing,
        forks,
    }
}

impl Session {
    fn folder(&self) -> String {
        self.holder
            .path()
            .join("session")
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// `generate --from` here, along the likeliest tokens.
    fn from(&self, fork: u64, branch: i32, more: &[&str]) -> Result<String, Failure> {
        let (fork, branch) = (fork.to_string(), branch.to_string());
        let folder = self.folder();
        let words = [
            "--from",
            &folder,
            "--fork",
            &fork,
            "--branch",
            &branch,
            "--temperature",
            "0",
        ];
        generated(&[&words[..], more].concat())
    }
}

fn typed(words: &[&str]) -> Args {
    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        args: Args,
    }
    Typed::parse_from(["generate"].iter().chain(words)).args
}

fn generated(words: &[&str]) -> Result<String, Failure> {
    let args = typed(words);
    let mut out = Vec::new();
    with(&args, false, &mut &b""[..], &mut out, &mut Vec::new())?;
    Ok(String::from_utf8(out).unwrap())
}

const AFTERNOON: [Does; 9] = [
    Does::Takes(0, 3),
    Does::Takes(1, 0),
    Does::Undoes,
    Does::Takes(0, 2),
    Does::Nothing,
    Does::AsksForOthers,
    Does::LetsGoOn,
    Does::Takes(1, 6),
    Does::Takes(0, 0),
];

#[test]
fn along_what_was_taken_the_text_is_the_sessions_and_what_plain_decoding_gives() {
    let session = session(&AFTERNOON);
    assert_eq!(session.standing.len(), 5, "five choices stand");
    let mut next: Vec<usize> = session
        .standing
        .iter()
        .skip(1)
        .map(|(.., at)| *at)
        .collect();
    next.push(session.text.len());
    for (&(fork, branch, at), until) in session.standing.iter().zip(next).step_by(2) {
        let text = session.from(fork, branch, &["--max-tokens", "60"]).unwrap();
        // The person's next choice may be another than the likeliest token.
        assert_eq!(text.get(..until), session.text.get(..until), "fork {fork}");
        let phrase = PastText::open(Path::new(&session.folder())).unwrap();
        let model = Arc::new(Model::embedded().unwrap());
        let way = phrase.along(&model, ForkId(fork), branch).unwrap();
        assert_eq!((way.before, &way.text[..at]), (at, &session.text[..at]));
        assert!(session.text.starts_with(&way.text), "fork {fork}");
        // The embedded model's words are its tokens: the text read as a prompt is the same tokens.
        let plain = generated(&[
            "--prompt",
            &way.text,
            "--temperature",
            "0",
            "--max-tokens",
            "60",
        ]);
        assert_eq!(text, plain.unwrap(), "fork {fork}");
    }
}

#[test]
fn along_another_branch_the_text_begins_as_the_session_and_says_the_other() {
    let session = session(&AFTERNOON);
    for &(fork, taken, at) in session.standing.iter().take(2) {
        let other = 1 - taken;
        let text = session.from(fork, other, &["--max-tokens", "5"]).unwrap();
        assert_eq!(text.get(..at), session.text.get(..at));
        assert_ne!(
            text.get(..at + 12),
            session.text.get(..at + 12),
            "fork {fork}"
        );
    }
}

#[test]
fn a_text_longer_than_the_context_is_gone_on_with_from_its_end() {
    let session = session(&AFTERNOON);
    let &(fork, branch, _) = session.standing.last().unwrap();
    let model = Arc::new(Model::embedded().unwrap());
    let past = PastText::open(Path::new(&session.folder())).unwrap();
    let way = past.along(&model, ForkId(fork), branch).unwrap();
    let context = way.tokens.len() - 5;
    let settings = |context_tokens_max| GeneratorSettings {
        sampling: decode::Sampling {
            temperature: 0.0,
            ..decode::Sampling::default()
        },
        tokens_max: 6,
        context_tokens_max,
        ..GeneratorSettings::default()
    };
    let (number, item, folder) = (fork.to_string(), branch.to_string(), session.folder());
    let args = typed(&["--from", &folder, "--fork", &number, "--branch", &item]);
    let (mut out, mut talk) = (Vec::new(), Vec::new());
    let shorter = settings(Some(context));
    write(&args, Path::new(&folder), shorter, &mut out, &mut talk).unwrap();
    let (text, talk) = (
        String::from_utf8(out).unwrap(),
        String::from_utf8(talk).unwrap(),
    );
    assert!(
        talk.contains(&format!("the context holds {context}")),
        "{talk}"
    );

    // As a context that was renewed there.
    let mut fresh = way.tokens[way.tokens.len() - context / 2..].to_vec();
    if let Some(bos) = model.config().bos.filter(|bos| way.tokens[0] == *bos) {
        fresh.insert(0, bos);
    }
    let mut plain = Generator::new(model, settings(None)).unwrap();
    plain.prompt(&fresh).unwrap();
    let mut expected = way.text;
    loop {
        let written = plain.advance().unwrap();
        expected.push_str(&written.text);
        if written.finish.is_some() {
            break;
        }
    }
    assert_eq!(text.trim_end(), expected.trim_end());
}

#[test]
fn an_object_says_which_way_of_which_session_was_gone() {
    let session = session(&AFTERNOON[..2]);
    let model = Arc::new(Model::embedded().unwrap());
    let past = PastText::open(Path::new(&session.folder())).unwrap();
    let way = past.along(&model, ForkId(0), 1).unwrap();
    let told = session
        .from(0, 1, &["--max-tokens", "2", "--json"])
        .unwrap();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let from =
        serde_json::json!({ "session": way.session, "fork": 0, "branch": 1, "words": way.branch });
    assert_eq!(told["from"], from);
    let plain = generated(&["--prompt", "Once", "--max-tokens", "2", "--json"]).unwrap();
    let plain: serde_json::Value = serde_json::from_str(&plain).unwrap();
    assert!(plain.get("from").is_none(), "{plain}");
}

#[test]
fn a_model_that_is_not_where_the_session_had_it_is_refused_with_how_to_name_it() {
    let moved = Plan::parse(
        "[keys]\npins = { source_id = \"keys\" }\n[model]\npath = \"gone/away\"\n",
        Path::new("experiment.toml"),
    )
    .unwrap();
    let refused = |words: &[&str]| opened(&typed(words), &moved).unwrap_err().message;
    assert!(refused(&[]).ends_with(MOVED), "{}", refused(&[]));
    // Who names another place knows how.
    let elsewhere = refused(&["--model", "neither/here"]);
    assert!(!elsewhere.contains(MOVED), "{elsewhere}");
}

#[test]
fn what_is_not_there_or_was_altered_is_refused_with_what_to_do() {
    let session = session(&AFTERNOON[..2]);
    let refused = |fork, branch, more: &[&str]| session.from(fork, branch, more).unwrap_err();
    let no_fork = refused(9, 0, &[]);
    assert_eq!(no_fork.exit, Exit::Usage);
    assert!(
        no_fork
            .message
            .contains(&format!("it has {}", session.forks)),
        "{}",
        no_fork.message
    );
    let no_branch = refused(0, 7, &[]);
    assert_eq!(no_branch.exit, Exit::Usage);
    assert!(
        no_branch.message.contains("offered no branch 7"),
        "{}",
        no_branch.message
    );
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden/decode/qwen3");
    let another = refused(0, 0, &["--model", other.to_str().unwrap()]);
    assert_eq!(another.exit, Exit::Model);
    assert!(
        another.message.contains("Put the session's model"),
        "{}",
        another.message
    );
    let server = refused(0, 0, &["--model", "http://127.0.0.1:1"]);
    assert_eq!(server.exit, Exit::Usage);

    let ledger = session.holder.path().join("session/ledger.sqlite");
    let bytes = std::fs::read(&ledger).unwrap();
    // A letter of an option, wherever the database keeps it.
    let model = Arc::new(Model::embedded().unwrap());
    let way = PastText::open(Path::new(&session.folder())).unwrap();
    let phrase = way.along(&model, ForkId(0), 1).unwrap().branch;
    let at = bytes
        .windows(phrase.len())
        .rposition(|found| found == phrase.as_bytes())
        .unwrap();
    let mut altered = bytes;
    altered[at] ^= 1;
    std::fs::write(&ledger, altered).unwrap();
    let tampered = refused(0, 0, &[]);
    assert_eq!(tampered.exit, Exit::Source);
}
