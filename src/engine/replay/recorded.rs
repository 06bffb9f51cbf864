//! The folder of a session: opened, checked for what belongs together, and replayed into a new one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use razvilka_calibration::{Profile, epochs_beside};

use super::error::ReplayError;
use super::happened::Happened;
use super::replaying::{Guarding, Replaying};
use super::report::{Compared, ReplayReport};
use super::signals::{self, Known};
use super::story::Story;
use super::{PROFILE, REPORT};
use crate::choice::Decider;
use crate::choice::deputy::Deputy;
use crate::choice::guard::Guard;
use crate::config::Plan;
use crate::decode::{Backend, Model};
use crate::engine::conduct::model_digest;
use crate::engine::lines;
use crate::pipeline::scribe::Texts;
use crate::session::{
    AutonomyEvent, ChainHead, Entry, Folder, GuardEvent, Ledger, LedgerWriter, Manifest, ReplayOf,
    SessionFile, SessionRow, TextFile, TextRecord, Versions, sha256_file, sha256_hex,
};

/// A session folder, read and checked.
#[derive(Debug)]
pub struct RecordedSession {
    folder: Folder,
    manifest: Manifest,
    plan: Plan,
    profile: Profile,
    entries: Vec<Entry>,
    session: SessionRow,
    /// The end of its chain; of a ledger of an older form, the end that its rows have in today's.
    head: ChainHead,
    rewritten: bool,
}

/// A ledger's rows, known to be those of the manifest's session.
pub(super) struct Rows {
    pub(super) session: SessionRow,
    pub(super) entries: Vec<Entry>,
    /// The end of its chain; of a ledger of an older form, the end that its rows have in today's.
    head: ChainHead,
    rewritten: bool,
}

/// What the session was asked to do, as the manifest has it.
pub(super) fn plan_of(folder: &Folder, manifest: &Manifest) -> Result<Plan, ReplayError> {
    let digest = sha256_hex(manifest.config.text.as_bytes());
    if digest != manifest.config.sha256 {
        return Err(ReplayError::Changed {
            what: "the configuration in manifest.json",
            expected: manifest.config.sha256.clone(),
            got: digest,
        });
    }
    let file = folder.file(SessionFile::Manifest);
    Ok(Plan::parse(&manifest.config.text, &file)?)
}

/// The ledger's rows, its chain walked and held against the manifest.
pub(super) fn rows_of(folder: &Folder, manifest: &Manifest) -> Result<Rows, ReplayError> {
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
        let (ledger, manifest) = (session.session, manifest.session.clone());
        return Err(ReplayError::Mixed { ledger, manifest });
    }
    let entries = ledger.entries()?;
    let rewritten = ledger.is_older();
    let head = if rewritten {
        Ledger::head_today(&entries)?
    } else {
        head
    };
    Ok(Rows {
        session,
        entries,
        head,
        rewritten,
    })
}

impl RecordedSession {
    /// Opens a session folder: manifest, plan, profile, and the ledger with its whole chain.
    ///
    /// # Errors
    /// [`ReplayError`] when something is missing, was altered, or does not belong together.
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let (folder, manifest) = Folder::open(path)?;
        let plan = plan_of(&folder, &manifest)?;
        let profile_path = path.join(PROFILE);
        // Keys need no calibration: a session of keys alone may have no profile.
        let calibrated =
            plan.needs_profile() || manifest.profile_sha256.is_some() || profile_path.is_file();
        let mut needed = vec![
            (folder.file(SessionFile::Ledger), "what was decided"),
            (folder.file(SessionFile::Recording), "the raw streams"),
            (folder.file(SessionFile::Text), "the text"),
        ];
        if calibrated {
            needed.push((profile_path.clone(), "the person's calibration"));
        }
        for (path, what) in needed {
            if !path.is_file() {
                return Err(ReplayError::Missing { path, what });
            }
        }
        let sealed = [
            (PROFILE, &profile_path, &manifest.profile_sha256),
            (
                SessionFile::Text.name(),
                &folder.file(SessionFile::Text),
                &manifest.text_sha256,
            ),
        ];
        for (what, path, expected) in sealed {
            let Some(expected) = expected else { continue };
            let got = digest_of(path)?;
            if got != *expected {
                let expected = expected.clone();
                return Err(ReplayError::Changed {
                    what,
                    expected,
                    got,
                });
            }
        }
        let profile = if calibrated {
            Profile::load(&profile_path)?
        } else {
            lines::profile_of_keys()
        };
        let Rows {
            session,
            entries,
            head,
            rewritten,
        } = rows_of(&folder, &manifest)?;
        Ok(Self {
            folder,
            manifest,
            plan,
            profile,
            entries,
            session,
            head,
            rewritten,
        })
    }

    /// What the session was asked to do; names its model.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whether the manifest holds the digest of the text: then it is known to be as the session left it.
    #[must_use]
    pub const fn text_is_sealed(&self) -> bool {
        self.manifest.text_sha256.is_some()
    }

    /// Replays the session into a new folder: ledger, text, manifest, `replay.json`, and a copy of the profile, if it has one.
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
        let model = Backend::from(model);
        let model_sha256 = model_digest(&model);
        let adapter = model.adapter();
        let known = self.known();
        for (row, _) in known.forks.values() {
            if row.model_sha256 != model_sha256 {
                let expected = row.model_sha256.clone();
                return Err(ReplayError::Model {
                    expected,
                    got: model_sha256,
                });
            }
            if row.adapter != adapter {
                let in_words =
                    |adapter: Option<&String>| adapter.map_or("none".into(), String::clone);
                return Err(ReplayError::Adapter {
                    expected: in_words(row.adapter.as_ref()),
                    got: in_words(adapter.as_ref()),
                });
            }
        }
        let profile_path = self.folder.path().join(PROFILE);
        let epochs = lines::epochs_of(&self.plan.adaptation, &self.profile, &profile_path)
            .map_err(lines::LineError::from)?;
        let remade = signals::remake(
            &self.folder.file(SessionFile::Recording),
            &self.manifest,
            &self.plan,
            &self.profile,
            epochs,
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
        let deputy = self.deputy()?;
        let other_imitator = self.rewritten && deputy.is_some();
        let mut replaying = Replaying {
            plan: &self.plan,
            known: &known,
            remade,
            gate_settings,
            model_sha256,
            adapter,
            ledger: LedgerWriter::create(&out.file(SessionFile::Ledger), &self.session)?,
            decider: Decider::new(self.plan.protocol, deputy),
            guarding: Guarding::new(self.guard()),
            text_number: 0,
            story: Some(Story::begin(texts, self.manifest.text_holds_prompts())?),
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
        replaying.finish_guard();
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
        // What a session that was killed has of its text may end before a prompt that is made again.
        let chars = text.chars().count() as u64;
        let within = |record: &&TextRecord| record.begins_char + record.prompt_chars <= chars;
        let story = replaying.story.as_ref();
        let records = story.map_or(&[][..], Story::records);
        let texts: Vec<_> = records.iter().filter(within).copied().collect();
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
            ledger_rewritten: self.rewritten,
            other_imitator,
            first_difference: first,
            incomplete,
            samples,
            flashes,
            recorded_s,
            seconds,
            speed: recorded_s / seconds.max(1e-9),
        };
        self.write_folder(out, &report, head, texts, command)?;
        Ok(report)
    }

    /// The deputy as it was when the session began; `None` where none was at work.
    fn deputy(&self) -> Result<Option<Deputy>, ReplayError> {
        let events = self.entries.iter().filter_map(|entry| match entry {
            Entry::Event(row) => AutonomyEvent::of(row),
            _ => None,
        });
        let mut beginnings = events.filter_map(|event| match event {
            AutonomyEvent::Begins(beginning) => Some(beginning),
            _ => None,
        });
        let settings = self.plan.protocol.config().imitate;
        let deputy = beginnings
            .next()
            .map(|beginning| beginning.deputy(settings));
        Ok(deputy.transpose()?)
    }

    /// The guard as it was when the session began; `None` where none watched.
    fn guard(&self) -> Option<Guard> {
        let events = self.entries.iter().filter_map(|entry| match entry {
            Entry::Event(row) => Some(row),
            _ => None,
        });
        GuardEvent::guard(events, self.plan.guard)
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
                    Some(Happened::Exchange(exchange)) => known.exchanges.push(exchange),
                    Some(Happened::Adaptation(adaptation)) => known.adaptations.push(*adaptation),
                    Some(Happened::Gaze(step)) => known.gaze_steps.push(*step),
                    Some(Happened::Restarted { stream, samples }) => {
                        known.restarts.push((stream, samples));
                    }
                    _ => {}
                },
                Entry::Session(_) | Entry::Evidence(_) | Entry::Choice(_) | Entry::State(_) => {}
            }
        }
        known
    }

    fn write_folder(
        &self,
        out: &Folder,
        report: &ReplayReport,
        head: ChainHead,
        texts: Vec<TextRecord>,
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
        let mut copied = Ok(());
        if profile.is_file() {
            files.insert(PROFILE.to_owned(), digest_of(&profile)?);
            let kept = out.path().join(PROFILE);
            copied = kept
                .parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| std::fs::copy(&profile, &kept).map(|_| ()));
            let epochs = epochs_beside(&profile);
            if copied.is_ok() && epochs.is_file() {
                copied = std::fs::copy(epochs, epochs_beside(&kept)).map(|_| ());
            }
        }
        copied
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
        // The text has the form of the one it is compared with.
        manifest.format_version = self.manifest.format_version;
        manifest.texts = texts;
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
        manifest.text_sha256 = Some(digest_of(&out.file(SessionFile::Text))?);
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
