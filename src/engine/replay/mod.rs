//! A session replayed from its folder: the raw recording goes through the very code that ran live, and every decision and
//! every letter must come again, bit for bit.
//!
//! What is made again, and from what:
//!
//! | made again | from |
//! |---|---|
//! | P300 and gaze evidence | raw samples, flash and fork markers, profile, the clock offsets frozen for each fork |
//! | verdicts, posteriors, arms | that evidence, in the recorded order and at the recorded times |
//! | forks, options, priors, the text | model, settings, seed, and the choices that follow from those verdicts |
//! | whether to ask, what follows | protocol, from counts of tokens |
//!
//! What nobody can make again is taken as recorded: when things happened, keys, aborts, whether streams were alive. A new
//! ledger is written from what was made again; as rows are chained by their hashes, two ledgers that end in the same hash
//! agree in every bit of every row.

mod signals;
mod story;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use razvilka_calibration::{CalibrationError, Profile};
use razvilka_dsp::mask::ChannelMask;
use serde::{Deserialize, Serialize};

use super::conduct::{capped_prior, model_digest, option_rows, why_of};
use super::lines;
use super::question::{Done, Question};
use crate::choice::{Ask, Decision, Presence, Protocol, Step};
use crate::config::{ConfigError, Plan};
use crate::decode::{DecodeError, Model};
use crate::fork::{Branch, Fork, ForkId, options_of};
use crate::gate::{Gate, GateInput, GateSettings, Source};
use crate::marker::OptionKind;
use crate::pipeline::decision::{Made, Record};
use crate::pipeline::scribe::Texts;
use crate::pipeline::trace::Trace;
use crate::recording::xdf::XdfError;
use crate::session::{
    ChainHead, ChoiceRow, Entry, EventKind, EventRow, EvidenceRow, Folder, FolderError, ForkRow,
    Ledger, LedgerError, LedgerWriter, Manifest, OptionRow, ReplayOf, SessionFile, SessionRow,
    TextFile, Versions, reopen_gate, sha256_file, sha256_hex,
};
use crate::view::layout;
use signals::{Known, Remade};
use story::{Astray, Story};

/// The profile, inside a session folder.
pub const PROFILE: &str = "calibration/profile.json";
/// Where the replay says what it found, inside its own folder.
pub const REPORT: &str = "replay.json";

/// Why a session cannot be replayed. Every message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The folder is no session folder, or the new one cannot be made.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A file of the session is not there.
    #[error("{} is missing: without {what} the session cannot be replayed. Give the whole session folder", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What it holds.
        what: &'static str,
    },
    /// The configuration in the manifest cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file is not the one that the session used.
    #[error(
        "{what} is not the one that the session used: its SHA-256 is {got}, the manifest says {expected}. Restore the folder from a copy"
    )]
    Changed {
        /// Which.
        what: &'static str,
        /// As recorded.
        expected: String,
        /// As found.
        got: String,
    },
    /// The profile cannot be used.
    #[error(transparent)]
    Profile(#[from] CalibrationError),
    /// The ledger cannot be read, or was altered.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger is sound, but does not end where the manifest says.
    #[error(
        "the ledger ends after {found} rows, the manifest says {expected} and another hash: rows were cut off or added. Restore the folder from a copy"
    )]
    Cut {
        /// Rows according to the manifest.
        expected: i64,
        /// Rows in the ledger.
        found: i64,
    },
    /// Ledger and manifest are of different sessions.
    #[error(
        "the ledger is of session {ledger}, the manifest of {manifest}. Restore the folder from a copy"
    )]
    Mixed {
        /// According to the ledger.
        ledger: String,
        /// According to the manifest.
        manifest: String,
    },
    /// Another model than the session's.
    #[error(
        "the session was written by model {expected} (SHA-256 over its files), this one is {got}. Put the session's model where its configuration says"
    )]
    Model {
        /// As recorded.
        expected: String,
        /// As loaded.
        got: String,
    },
    /// The recording cannot be read.
    #[error(transparent)]
    Recording(#[from] XdfError),
    /// A stream is not in a recording that says it is whole.
    #[error(
        "session.xdf holds no {role} stream, which the manifest names. Restore the folder from a copy"
    )]
    NoStream {
        /// Its role in the manifest.
        role: &'static str,
    },
    /// Profile, plan and streams do not fit together.
    #[error(transparent)]
    Line(#[from] lines::LineError),
    /// No text can be begun.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The new folder cannot be written.
    #[error("{} cannot be written: {source}. Free some space, or name a folder elsewhere with --out", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
}

/// The first place where the replay differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The fork, where it is about one.
    pub fork: Option<ForkId>,
    /// The input of its gate, where it is about one.
    pub step: Option<u64>,
    /// What differs.
    pub what: String,
    /// As recorded.
    pub expected: String,
    /// As made again.
    pub got: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(fork) = self.fork {
            write!(f, "fork {}, ", fork.0)?;
        }
        if let Some(step) = self.step {
            write!(f, "step {step}, ")?;
        }
        write!(
            f,
            "{}: recorded {}, replayed {}",
            self.what, self.expected, self.got
        )
    }
}

/// Things compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// Made again and compared.
    pub compared: u64,
    /// Of these, equal in every bit.
    pub equal: u64,
    /// Not to be made again: what they rest on is not in the recording.
    pub not_recorded: u64,
}

impl Compared {
    fn note(&mut self, equal: bool) {
        self.compared += 1;
        self.equal += u64::from(equal);
    }
}

/// What a replay found; `replay.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayReport {
    /// The session.
    pub session: String,
    /// The build that lived the session, where it was another than this one.
    pub other_build: Option<String>,
    /// Forks as found: place, options, priors, whether to ask.
    pub forks: Compared,
    /// Items of gaze and P300 evidence.
    pub evidence: Compared,
    /// Inputs taken as recorded: keys, aborts, the clock.
    pub inputs_as_recorded: u64,
    /// How forks ended: verdict, posterior, four arms, what was written.
    pub choices: Compared,
    /// Whether text.txt is the same to its end.
    pub text_equal: bool,
    /// Bytes of text.txt, as recorded.
    pub text_bytes: u64,
    /// Whether the new ledger ends in the hash of the recorded one.
    pub ledger_equal: bool,
    /// The first difference.
    pub first_difference: Option<Difference>,
    /// What the session folder lacks, one sentence each; empty when it is whole.
    pub incomplete: Vec<String>,
    /// Samples that went through the lines.
    pub samples: u64,
    /// Flashes announced to the EEG line.
    pub flashes: u64,
    /// Length of the recording, seconds.
    pub recorded_s: f64,
    /// Duration of the replay, seconds.
    pub seconds: f64,
    /// Recorded seconds per second.
    pub speed: f64,
}

impl ReplayReport {
    /// Whether everything that was compared is equal, and all of it was compared.
    #[must_use]
    pub fn is_identical(&self) -> bool {
        self.first_difference.is_none() && self.ledger_equal && self.text_equal
    }
}

/// A session folder, read and checked.
#[derive(Debug)]
pub struct RecordedSession {
    folder: Folder,
    manifest: Manifest,
    plan: Plan,
    profile: Profile,
    entries: Vec<Entry>,
    session: SessionRow,
    head: ChainHead,
}

impl RecordedSession {
    /// Opens a session folder: manifest, plan, profile, and the ledger with its whole chain.
    ///
    /// # Errors
    /// [`ReplayError`] when something is missing, was altered, or does not belong together.
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let (folder, manifest) = Folder::open(path)?;
        let digest = sha256_hex(manifest.config.text.as_bytes());
        if digest != manifest.config.sha256 {
            return Err(ReplayError::Changed {
                what: "the configuration in manifest.json",
                expected: manifest.config.sha256,
                got: digest,
            });
        }
        let plan = Plan::parse(&manifest.config.text, &folder.file(SessionFile::Manifest))?;
        let needed = [
            (folder.file(SessionFile::Ledger), "what was decided"),
            (folder.file(SessionFile::Recording), "the raw streams"),
            (folder.file(SessionFile::Text), "the text"),
            (path.join(PROFILE), "the person's calibration"),
        ];
        for (path, what) in needed {
            if !path.is_file() {
                return Err(ReplayError::Missing { path, what });
            }
        }
        let profile_path = path.join(PROFILE);
        if let Some(expected) = &manifest.profile_sha256 {
            let got = digest_of(&profile_path)?;
            if got != *expected {
                let expected = expected.clone();
                return Err(ReplayError::Changed {
                    what: PROFILE,
                    expected,
                    got,
                });
            }
        }
        let profile = Profile::load(&profile_path)?;
        let ledger = Ledger::open_read_only(&folder.file(SessionFile::Ledger))?;
        let head = ledger.verify()?;
        if let Some(expected) = &manifest.ledger
            && *expected != head
        {
            return Err(ReplayError::Cut {
                expected: expected.rows,
                found: head.rows,
            });
        }
        let session = ledger.session()?;
        if session.session != manifest.session {
            let (ledger, manifest) = (session.session, manifest.session);
            return Err(ReplayError::Mixed { ledger, manifest });
        }
        let entries = ledger.entries()?;
        Ok(Self {
            folder,
            manifest,
            plan,
            profile,
            entries,
            session,
            head,
        })
    }

    /// What the session was asked to do; names its model.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Replays the session into a new folder: ledger, text, manifest, `replay.json`, and a copy of the profile.
    ///
    /// Differences are no error: they are in the report.
    ///
    /// # Errors
    /// [`ReplayError`] when it cannot be replayed, or the new folder cannot be written.
    pub fn replay(
        &self,
        model: Arc<Model>,
        out: &Folder,
        command: Vec<String>,
    ) -> Result<ReplayReport, ReplayError> {
        let begun = Instant::now();
        let model_sha256 = model_digest(&model);
        let known = self.known();
        for (row, _) in known.forks.values() {
            if row.model_sha256 != model_sha256 {
                let expected = row.model_sha256.clone();
                return Err(ReplayError::Model {
                    expected,
                    got: model_sha256,
                });
            }
        }
        let remade = signals::remake(
            &self.folder.file(SessionFile::Recording),
            &self.manifest,
            &self.plan,
            &self.profile,
            &known,
        )?;
        let mut incomplete = self.manifest.recording_incomplete.clone();
        if self.manifest.ended_utc.is_none() {
            incomplete.push("the session did not end by itself: its manifest has no end".into());
        }
        incomplete.extend(remade.lacking.iter().cloned());
        let (recorded_s, samples, flashes) = (remade.seconds, remade.samples, remade.flashes);
        let texts = Texts {
            model,
            settings: self.plan.writer_settings(),
            prompt: self.plan.model.prompt.clone(),
        };
        let gate_settings =
            lines::gate_settings(&self.plan, &self.profile).map_err(lines::LineError::from)?;
        let mut replaying = Replaying {
            plan: &self.plan,
            known: &known,
            remade,
            gate_settings,
            model_sha256,
            ledger: LedgerWriter::create(&out.file(SessionFile::Ledger), &self.session)?,
            protocol: Protocol::new(self.plan.protocol),
            story: Some(Story::begin(texts)?),
            next_question: 0,
            attempt: 0,
            asked: None,
            end: None,
            whole: incomplete.is_empty(),
            forks: Compared::default(),
            evidence: Compared::default(),
            choices: Compared::default(),
            as_recorded: 0,
            first: None,
        };
        for entry in &self.entries {
            replaying.entry(entry)?;
        }
        let recorded_text = read_text(&self.folder.file(SessionFile::Text))?;
        let (text, text_equal) = replaying.finish_text(&recorded_text);
        if replaying.end.is_none() && !text_equal && replaying.first.is_none() {
            incomplete.push(format!(
                "text.txt holds {} bytes, the ledger's choices lead to {}",
                recorded_text.len(),
                text.len()
            ));
        }
        if replaying.evidence.not_recorded > 0 {
            incomplete.push(format!(
                "{} items of evidence rest on samples that are not in session.xdf",
                replaying.evidence.not_recorded
            ));
        }
        let Replaying {
            ledger,
            forks,
            evidence,
            choices,
            as_recorded,
            first,
            ..
        } = replaying;
        let head = ledger.finish()?;
        let mut text_file = out.create_text()?;
        let written = text_file.append(&text).and_then(|()| text_file.sync());
        written.map_err(|source| ReplayError::Write {
            path: out.file(SessionFile::Text),
            source,
        })?;
        let seconds = begun.elapsed().as_secs_f64();
        let report = ReplayReport {
            session: self.manifest.session.clone(),
            other_build: self.other_build(),
            forks,
            evidence,
            inputs_as_recorded: as_recorded,
            choices,
            text_equal,
            text_bytes: recorded_text.len() as u64,
            ledger_equal: head == self.head,
            first_difference: first,
            incomplete,
            samples,
            flashes,
            recorded_s,
            seconds,
            speed: recorded_s / seconds.max(1e-9),
        };
        self.write_folder(out, &report, head, command)?;
        Ok(report)
    }

    fn other_build(&self) -> Option<String> {
        let (lived, here) = (&self.manifest.versions, Versions::here());
        if (&lived.razvilka, &lived.commit) == (&here.razvilka, &here.commit) {
            return None;
        }
        let commit = lived.commit.as_deref().unwrap_or("unknown");
        Some(format!("razvilka {}, commit {commit}", lived.razvilka))
    }

    fn known(&self) -> Known {
        let mut known = Known::default();
        for entry in &self.entries {
            match entry {
                Entry::Fork(row) => {
                    known.forks.insert(row.fork, ((**row).clone(), Vec::new()));
                }
                Entry::Option(row) => {
                    if let Some((_, options)) = known.forks.get_mut(&row.fork) {
                        options.push(row.clone());
                    }
                }
                Entry::Event(row) => match Happened::of(row) {
                    Some(Happened::Exchange { fork, bad_channels }) => {
                        known.exchanges.push((fork, bad_channels));
                    }
                    Some(Happened::Restarted { stream, samples }) => {
                        known.restarts.push((stream, samples));
                    }
                    _ => {}
                },
                Entry::Session(_) | Entry::Evidence(_) | Entry::Choice(_) => {}
            }
        }
        known
    }

    fn write_folder(
        &self,
        out: &Folder,
        report: &ReplayReport,
        head: ChainHead,
        command: Vec<String>,
    ) -> Result<(), ReplayError> {
        let mut files = BTreeMap::new();
        for file in [
            SessionFile::Manifest,
            SessionFile::Recording,
            SessionFile::Ledger,
            SessionFile::Text,
        ] {
            files.insert(file.name().to_owned(), digest_of(&self.folder.file(file))?);
        }
        let profile = self.folder.path().join(PROFILE);
        files.insert(PROFILE.to_owned(), digest_of(&profile)?);
        let kept = out.path().join(PROFILE);
        let copied = kept.parent().map_or(Ok(()), std::fs::create_dir_all);
        copied
            .and_then(|()| std::fs::copy(&profile, &kept).map(|_| ()))
            .and_then(|()| {
                let mut json = serde_json::to_vec_pretty(report)?;
                json.push(b'\n');
                std::fs::write(out.path().join(REPORT), json)
            })
            .map_err(|source| ReplayError::Write {
                path: out.path().to_owned(),
                source,
            })?;
        let mut manifest = Manifest::begin(command, self.manifest.config.clone());
        manifest.session.clone_from(&self.manifest.session);
        manifest.models.clone_from(&self.manifest.models);
        manifest
            .profile_sha256
            .clone_from(&self.manifest.profile_sha256);
        manifest.seeds.clone_from(&self.manifest.seeds);
        manifest.streams.clone_from(&self.manifest.streams);
        manifest.recording_incomplete.clone_from(&report.incomplete);
        manifest
            .recording_incomplete
            .push("a replay has no recording of its own".into());
        manifest.replay_of = Some(ReplayOf {
            session: self.manifest.session.clone(),
            files,
        });
        manifest.end(Some(head));
        out.write_manifest(&manifest)?;
        Ok(())
    }
}

fn digest_of(path: &Path) -> Result<String, ReplayError> {
    sha256_file(path)
        .map(|(digest, _)| digest)
        .map_err(|source| ReplayError::Read {
            path: path.to_owned(),
            source,
        })
}

fn read_text(path: &Path) -> Result<String, ReplayError> {
    TextFile::read(path).map_err(|source| ReplayError::Read {
        path: path.to_owned(),
        source,
    })
}

/// An event that a replay must follow, from its details.
#[derive(Debug, Clone, PartialEq)]
enum Happened {
    /// The person called for a fork.
    Call { text: u64, position: usize },
    /// The person took a choice back by key.
    Undo,
    /// Another scorer took over.
    Exchange {
        fork: ForkId,
        bad_channels: ChannelMask,
    },
    /// A stream that was lost went on, after so many samples.
    Restarted { stream: String, samples: u64 },
    /// The session ended with the decoder here.
    End { text: u64, position: usize },
}

impl Happened {
    fn of(row: &EventRow) -> Option<Self> {
        #[derive(Deserialize)]
        struct Call {
            call: Place,
        }
        #[derive(Deserialize)]
        struct Place {
            text: u64,
            position: usize,
        }
        #[derive(Deserialize)]
        struct Exchange {
            fork: ForkId,
            bad_channels: ChannelMask,
        }
        #[derive(Deserialize)]
        struct Restart {
            restarted: Restarted,
        }
        #[derive(Deserialize)]
        struct Restarted {
            stream: String,
            samples: u64,
        }
        let detail = row.detail.as_str();
        match row.kind {
            EventKind::Source => {
                let Restart { restarted } = serde_json::from_str(detail).ok()?;
                let Restarted { stream, samples } = restarted;
                Some(Self::Restarted { stream, samples })
            }
            EventKind::Operator => match serde_json::from_str::<Call>(detail) {
                Ok(Call {
                    call: Place { text, position },
                }) => Some(Self::Call { text, position }),
                Err(_) => {
                    let detail: serde_json::Value = serde_json::from_str(detail).ok()?;
                    detail.get("undo").map(|_| Self::Undo)
                }
            },
            EventKind::Exchange => serde_json::from_str(detail)
                .ok()
                .map(|Exchange { fork, bad_channels }| Self::Exchange { fork, bad_channels }),
            EventKind::End => serde_json::from_str(detail)
                .ok()
                .map(|Place { text, position }| Self::End { text, position }),
            _ => None,
        }
    }
}

/// A question under way.
struct Asked {
    question: Question,
    decision: Decision,
    gate: Option<Gate>,
}

/// The replay under way: one row after the other.
struct Replaying<'a> {
    plan: &'a Plan,
    known: &'a Known,
    remade: Remade,
    gate_settings: GateSettings,
    model_sha256: String,
    ledger: LedgerWriter,
    protocol: Protocol,
    /// `None` from where the text went another way.
    story: Option<Story>,
    next_question: u64,
    attempt: u32,
    asked: Option<Asked>,
    end: Option<(u64, usize)>,
    /// Whether the folder says that nothing is missing.
    whole: bool,
    forks: Compared,
    evidence: Compared,
    choices: Compared,
    as_recorded: u64,
    first: Option<Difference>,
}

impl Replaying<'_> {
    fn entry(&mut self, entry: &Entry) -> Result<(), ReplayError> {
        match entry {
            // The new ledger began with it; options come with their forks.
            Entry::Session(_) | Entry::Option(_) => {}
            Entry::Fork(row) => self.fork(row)?,
            Entry::Evidence(row) => self.input(row)?,
            Entry::Choice(row) => self.choice(row)?,
            Entry::Event(row) => {
                self.happened(row);
                self.ledger.event(row)?;
            }
        }
        Ok(())
    }

    // --- forks -----------------------------------------------------------------------------------------------------

    fn fork(&mut self, row: &ForkRow) -> Result<(), ReplayError> {
        let empty = Vec::new();
        let options = self
            .known
            .forks
            .get(&row.fork)
            .map_or(&empty, |(_, options)| options);
        let (question, remade) = match self.fork_again(row) {
            Some((question, fork_row)) => {
                let option_rows = option_rows(&question);
                let difference = fork_difference(row, &fork_row)
                    .or_else(|| options_difference(options, &option_rows));
                self.forks.note(difference.is_none());
                if let Some((what, expected, got)) = difference {
                    self.differs(Some(row.fork), None, &what, expected, got);
                }
                (question, Some((fork_row, option_rows)))
            }
            None => (recorded_question(row, options), None),
        };
        let (fork_row, option_rows) = match &remade {
            Some((fork_row, option_rows)) => (fork_row, option_rows),
            None => (row, options),
        };
        self.ledger.fork(fork_row, option_rows)?;
        let gate = match fork_row.decision {
            // A fork that the gate would not take was aborted at once, without an input.
            Decision::Ask(_) => reopen_gate(fork_row, option_rows).ok(),
            Decision::LetModel(_) => None,
        };
        self.asked = Some(Asked {
            question,
            decision: fork_row.decision,
            gate,
        });
        Ok(())
    }

    /// The fork as decoder and protocol find it now; `None` when the text has gone another way.
    fn fork_again(&mut self, row: &ForkRow) -> Option<(Question, ForkRow)> {
        let story = self.story.as_mut()?;
        let (fork, tokens_written) = match story.next_fork(row) {
            Ok(found) => found,
            Err(astray) => {
                let expected = format!("a fork at token {}", row.position_tokens);
                self.astray(Some(row.fork), expected, astray);
                return None;
            }
        };
        let kinds = options_of(fork.branches.len(), story.can_undo());
        let tiles = layout::tiles(&fork, &kinds, &self.plan.screen);
        let decision = self.protocol.decide(&Ask {
            origin: fork.origin,
            tokens_written,
            attempt: self.attempt,
            // Whether streams were alive is known only from what was decided.
            presence: Presence::of(&row.decision),
        });
        let id = ForkId(self.next_question);
        self.next_question += 1;
        let question = Question::new(id, fork, self.attempt, kinds, tiles, row.opened_at);
        let asked = matches!(decision, Decision::Ask(_));
        let fork_row = ForkRow {
            fork: id,
            position_tokens: question.fork.position as u64,
            tokens_written,
            context: question.fork.context.clone(),
            origin: question.fork.origin,
            attempt: self.attempt,
            decision,
            gate: self.gate_settings,
            prior_capped: asked
                .then(|| capped_prior(self.gate_settings, &question))
                .flatten(),
            model_sha256: self.model_sha256.clone(),
            ..row.clone()
        };
        Some((question, fork_row))
    }

    // --- evidence --------------------------------------------------------------------------------------------------

    fn input(&mut self, row: &EvidenceRow) -> Result<(), ReplayError> {
        let (input, made) = self.input_again(row);
        let remade = match self
            .asked
            .as_mut()
            .filter(|asked| asked.question.id == row.fork)
        {
            Some(Asked {
                question,
                gate: Some(gate),
                ..
            }) => {
                let verdict = gate.apply(&input);
                let arms = verdict.is_terminal().then(|| gate.arms());
                let (fork, input) = (row.fork, Some(input));
                let trace = Trace::default();
                question.take(&Record {
                    fork,
                    input,
                    made,
                    verdict,
                    arms,
                    trace,
                })
            }
            _ => None,
        };
        let remade = remade.unwrap_or(*row);
        if remade != *row && self.first.is_none() {
            let (expected, got) = (format!("{row:?}"), format!("{remade:?}"));
            self.differs(
                Some(row.fork),
                Some(row.step),
                "an input of the gate",
                expected,
                got,
            );
        }
        self.ledger.evidence(&remade)?;
        Ok(())
    }

    /// The input as the signals give it now.
    fn input_again(&mut self, row: &EvidenceRow) -> (GateInput, Option<Made>) {
        let GateInput::Evidence { evidence, now } = row.input else {
            self.as_recorded += 1;
            return (row.input, None);
        };
        if evidence.source == Source::Switch {
            self.as_recorded += 1;
            let item = row.item.and_then(|item| u32::try_from(item).ok());
            return (row.input, item.map(|item| Made::Key { item }));
        }
        let Some((remade, made)) = self.remade.get(&evidence).copied() else {
            self.not_made(row, &evidence);
            return (row.input, made_of(row, &evidence));
        };
        let bits = |values: &[f64]| {
            values
                .iter()
                .map(|value| value.to_bits())
                .collect::<Vec<_>>()
        };
        let equal = remade == evidence
            && bits(&remade.log_lik_nats) == bits(&evidence.log_lik_nats)
            && remade.at.get().to_bits() == evidence.at.get().to_bits();
        self.evidence.note(equal);
        if !equal {
            let what = match evidence.source {
                Source::Gaze => format!("gaze word {}", evidence.seq),
                _ => format!("P300 of flash {}", evidence.seq),
            };
            let words = |item: &crate::gate::Evidence| {
                format!("{:?} nats at {} s", item.log_lik_nats, item.at.get())
            };
            self.differs(
                Some(row.fork),
                Some(row.step),
                &what,
                words(&evidence),
                words(&remade),
            );
        }
        (
            GateInput::Evidence {
                evidence: remade,
                now,
            },
            Some(made),
        )
    }

    /// An item that the signals do not give again.
    fn not_made(&mut self, row: &EvidenceRow, evidence: &crate::gate::Evidence) {
        let beyond = self
            .known
            .forks
            .get(&evidence.fork)
            .is_none_or(|(fork, _)| self.remade.ends_before(evidence, fork));
        if beyond && !self.whole {
            self.evidence.not_recorded += 1;
            return;
        }
        self.evidence.note(false);
        let what = format!("{:?} evidence {}", evidence.source, evidence.seq);
        let expected = format!("{:?} nats", evidence.log_lik_nats);
        self.differs(
            Some(row.fork),
            Some(row.step),
            &what,
            expected,
            "nothing".into(),
        );
    }

    // --- choices ---------------------------------------------------------------------------------------------------

    fn choice(&mut self, row: &ChoiceRow) -> Result<(), ReplayError> {
        let asked = self.asked.take_if(|asked| asked.question.id == row.fork);
        let remade = asked.and_then(|asked| self.choice_again(&asked, row));
        let Some(remade) = remade else {
            self.ledger.choice(row)?;
            return Ok(());
        };
        let difference = choice_difference(row, &remade);
        self.choices.note(difference.is_none());
        if let Some((what, expected, got)) = difference {
            self.differs(Some(row.fork), None, &what, expected, got);
        }
        self.ledger.choice(&remade)?;
        Ok(())
    }

    /// How the fork ends now; `None` when the text has gone another way and can tell no more.
    fn choice_again(&mut self, asked: &Asked, row: &ChoiceRow) -> Option<ChoiceRow> {
        let Asked {
            question,
            decision,
            gate,
        } = asked;
        let verdict = match (decision, gate) {
            (Decision::Ask(_), Some(gate)) => Some(gate.verdict()),
            (Decision::Ask(_), None) => return None,
            (Decision::LetModel(_), _) => None,
        };
        let step = match (*decision, verdict) {
            (Decision::LetModel(reason), _) => Some(Protocol::not_asked(reason)),
            (_, Some(verdict)) => self
                .protocol
                .follow(&verdict, &question.kinds, question.attempt),
            _ => None,
        };
        let Some(step) = step else {
            // The gate still waits, though it was recorded as decided.
            let expected = format!("{:?} of item {:?}", row.outcome, row.item);
            self.differs(
                Some(row.fork),
                None,
                "the verdict",
                expected,
                format!("{verdict:?}"),
            );
            self.story = None;
            return None;
        };
        self.attempt = match step {
            Step::AskAgain { .. } => question.attempt + 1,
            _ => 0,
        };
        let story = self.story.as_mut()?;
        let (taken, tokens_written) = match story.follow(&step, &question.kinds, row) {
            Ok(taken) => taken,
            Err(astray) => {
                let expected = format!("{:?} of item {:?}", row.outcome, row.item);
                self.astray(Some(row.fork), expected, astray);
                return None;
            }
        };
        let done = Done {
            item: taken.item.and_then(|item| i32::try_from(item).ok()),
            chooser: taken.chooser,
            why: why_of(&step),
            text: taken.text,
            tokens_written,
            trace: Trace::default(),
            committed: row.committed_mono,
        };
        let flashes = u64::from(question.evidence_counts().0);
        let remade = question.choice_row(&done, |_| row.decided_mono, &self.model_sha256, flashes);
        Some(ChoiceRow {
            latency_ns: row.latency_ns.clone(),
            ..remade
        })
    }

    // --- what happened beside --------------------------------------------------------------------------------------

    fn happened(&mut self, row: &EventRow) {
        let Some(happened) = Happened::of(row) else {
            return;
        };
        let Some(story) = self.story.as_mut() else {
            return;
        };
        let (followed, expected) = match happened {
            Happened::Call { text, position } => (
                story.call(text, position),
                format!("a call behind token {position}"),
            ),
            Happened::Undo => (story.undo(), "a choice taken back".into()),
            Happened::End { text, position } => {
                self.end = Some((text, position));
                return;
            }
            Happened::Exchange { .. } | Happened::Restarted { .. } => return,
        };
        // What is offered now is another fork than the one that was asked before.
        self.attempt = 0;
        if let Err(astray) = followed {
            self.astray(row.fork, expected, astray);
        }
    }

    /// Brings the text to its end. Gives it, and whether it is the recorded one.
    fn finish_text(&mut self, recorded: &str) -> (String, bool) {
        let Some(story) = self.story.as_mut() else {
            return (String::new(), false);
        };
        let ended = match self.end {
            Some((number, position)) => story.finish(number, position),
            None => story.grow_to(recorded.len()),
        };
        let text = match ended {
            Ok(text) => text,
            Err(astray) => {
                let text = story.text();
                self.astray(None, "the text to its end".into(), astray);
                return (text, false);
            }
        };
        if text == recorded {
            return (text, true);
        }
        // Of a session that was killed, text and ledger may end a moment apart.
        let common = text
            .bytes()
            .zip(recorded.bytes())
            .take_while(|(a, b)| a == b)
            .count();
        let one_begins_the_other = common == text.len().min(recorded.len());
        if self.end.is_none() && one_begins_the_other {
            let covered = text.len() >= recorded.len();
            return (if covered { recorded.to_owned() } else { text }, covered);
        }
        let from = |text: &str| {
            let rest = text.bytes().skip(common).take(40).collect::<Vec<_>>();
            format!("{:?} from byte {common}", String::from_utf8_lossy(&rest))
        };
        let (expected, got) = (from(recorded), from(&text));
        self.differs(None, None, "text.txt", expected, got);
        (text, false)
    }

    fn astray(&mut self, fork: Option<ForkId>, expected: String, Astray(got): Astray) {
        self.story = None;
        self.differs(fork, None, "the text", expected, got);
    }

    fn differs(
        &mut self,
        fork: Option<ForkId>,
        step: Option<u64>,
        what: &str,
        expected: String,
        got: String,
    ) {
        let what = what.to_owned();
        self.first.get_or_insert(Difference {
            fork,
            step,
            what,
            expected,
            got,
        });
    }
}

/// What an item that cannot be made again was made from, as far as its row tells.
fn made_of(row: &EvidenceRow, evidence: &crate::gate::Evidence) -> Option<Made> {
    Some(match evidence.source {
        Source::Gaze => Made::Gaze { sample: 0 },
        Source::Switch => Made::Key {
            item: u32::try_from(row.item?).ok()?,
        },
        Source::P300 => Made::Flash {
            item: u32::try_from(row.item?).ok()?,
            number: u32::try_from(row.flash_seq?).ok()?,
            onset_sample: row.onset_sample?,
            score: row.raw_score.unwrap_or(f64::NAN),
        },
    })
}

/// A question as its rows describe it, for when the text cannot be followed any more.
fn recorded_question(row: &ForkRow, options: &[OptionRow]) -> Question {
    let branches = options
        .iter()
        .filter(|option| option.tile.kind == OptionKind::Branch)
        .map(|option| Branch {
            text: option.tile.text.clone(),
            tokens: option.tokens.clone(),
            prior: option.prior,
            log_prob_nats: option.log_prob_nats,
        })
        .collect();
    let fork = Fork {
        id: row.fork,
        position: row.position_tokens as usize,
        context: row.context.clone(),
        branches,
        origin: row.origin,
    };
    let kinds = options.iter().map(|option| option.tile.kind).collect();
    let tiles = options.iter().map(|option| option.tile.clone()).collect();
    Question::new(row.fork, fork, row.attempt, kinds, tiles, row.opened_at)
}

/// What differs, as recorded and as made again, in words.
type Words = (String, String, String);

fn field<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, got: &T) -> Option<Words> {
    (expected != got).then(|| (what.to_owned(), format!("{expected:?}"), format!("{got:?}")))
}

fn fork_difference(expected: &ForkRow, got: &ForkRow) -> Option<Words> {
    field("its number", &expected.fork, &got.fork)
        .or_else(|| field("its place", &expected.position_tokens, &got.position_tokens))
        .or_else(|| field("the text before it", &expected.context, &got.context))
        .or_else(|| field("its origin", &expected.origin, &got.origin))
        .or_else(|| {
            field(
                "tokens written",
                &expected.tokens_written,
                &got.tokens_written,
            )
        })
        .or_else(|| field("the attempt", &expected.attempt, &got.attempt))
        .or_else(|| field("whether to ask", &expected.decision, &got.decision))
        .or_else(|| field("the gate's settings", &expected.gate, &got.gate))
        .or_else(|| {
            field(
                "the capped prior",
                &expected.prior_capped,
                &got.prior_capped,
            )
        })
        .or_else(|| field("its row", expected, got))
}

fn options_difference(expected: &[OptionRow], got: &[OptionRow]) -> Option<Words> {
    let count = field("the number of options", &expected.len(), &got.len());
    count.or_else(|| {
        expected.iter().zip(got).find_map(|(expected, got)| {
            let item = expected.tile.item;
            field(
                &format!("the tokens of option {item}"),
                &expected.tokens,
                &got.tokens,
            )
            .or_else(|| {
                field(
                    &format!("the tile of option {item}"),
                    &expected.tile,
                    &got.tile,
                )
            })
            .or_else(|| {
                field(
                    &format!("the prior of option {item}"),
                    &expected.prior,
                    &got.prior,
                )
            })
            .or_else(|| {
                // NaN, of control options, is equal to itself here.
                let (bits, again) = (expected.log_prob_nats, got.log_prob_nats);
                if bits.is_nan() && again.is_nan() {
                    return None;
                }
                field(
                    &format!("the log-probability of option {item}"),
                    &bits,
                    &again,
                )
            })
        })
    })
}

fn choice_difference(expected: &ChoiceRow, got: &ChoiceRow) -> Option<Words> {
    field("the outcome", &expected.outcome, &got.outcome)
        .or_else(|| field("the item taken", &expected.item, &got.item))
        .or_else(|| field("who took it", &expected.chooser, &got.chooser))
        .or_else(|| field("why", &expected.why, &got.why))
        .or_else(|| field("the posterior", &expected.posterior, &got.posterior))
        .or_else(|| field("the four arms", &expected.arms, &got.arms))
        .or_else(|| field("the text written", &expected.text, &got.text))
        .or_else(|| field("its row", expected, got))
}
