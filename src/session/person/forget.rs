//! Forgetting: rows are deleted, their bytes overwritten, and the file is searched for what is left of them.

use std::collections::{HashMap, HashSet};
use std::io::{ErrorKind, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rusqlite::{ErrorCode, params_from_iter};

use super::account::AccountFile;
use super::error::PersonError;
use super::remembered::{Remembered, Which};
use super::store::ChoiceStore;

/// Bytes by which a trace is found; shorter texts are not looked for.
const HEAD: usize = 6;
/// A trace is so long, at most: SQLite keeps long values in pieces, which begin where it likes.
const TRACE: usize = 24;
/// Traces looked for, at most; of more, every so manieth.
const TRACES_MAX: usize = 20_000;

/// What was forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// Number of choices.
    pub choices: usize,
    /// Sessions they were made in, whose own folders still hold them.
    pub sessions: Vec<String>,
    /// Pieces of text and states that the files were searched for.
    pub traces: usize,
}

impl ChoiceStore {
    /// Deletes the choices meant, rewrites the file without them, and searches it for what is left of them.
    ///
    /// # Errors
    /// [`PersonError::BeingRead`] while another program reads the memory: then nothing has changed. [`PersonError::StillThere`] when something of them
    /// is left; what SQLite says otherwise.
    pub fn forget(&mut self, which: &Which) -> Result<Forgotten, PersonError> {
        let mut traces = Traces::default();
        let mut forgotten = Forgotten {
            choices: 0,
            sessions: Vec::new(),
            traces: 0,
        };
        self.each(which, |choice| {
            forgotten.choices += 1;
            if !forgotten.sessions.contains(&choice.session) {
                forgotten.sessions.push(choice.session.clone());
            }
            traces.add(&choice);
            ControlFlow::Continue(())
        })?;
        if forgotten.choices == 0 {
            return Ok(forgotten);
        }
        // The log holds the rows as they were written: it is folded in and goes. That takes the file for this process alone, so that
        // nothing is half forgotten while somebody reads it.
        if !self.set_journal("DELETE")? {
            return Err(PersonError::BeingRead {
                path: self.path.clone(),
            });
        }
        let deleted = self.delete(which);
        self.set_journal("WAL")?;
        deleted.map_err(|source| PersonError::sql(&self.path, source))?;
        self.forget_earned(which)?;
        let traces = traces.indexed();
        forgotten.traces = traces.values().map(Vec::len).sum();
        let mut found = HashSet::new();
        for path in self.files() {
            search(&path, &traces, &mut found)?;
        }
        if found.is_empty() {
            return Ok(forgotten);
        }
        // What another choice says too is not forgotten.
        self.each(&Which::All, |kept| {
            let kept = pieces(&kept).fold(Vec::new(), |mut all: Vec<u8>, (_, piece)| {
                all.extend(piece);
                all.push(0);
                all
            });
            found.retain(|(_, trace)| !contains(&kept, trace));
            ControlFlow::Continue(())
        })?;
        match found.into_iter().next() {
            None => Ok(forgotten),
            Some((what, _)) => Err(PersonError::StillThere {
                path: self.path.clone(),
                what,
            }),
        }
    }

    /// What is learnt of choices is not kept: the imitator is made from those that are left. One that never heard of what the person wanted
    /// forgotten has shown nothing yet; what had only grown old had long faded from it.
    fn forget_earned(&self, which: &Which) -> Result<(), PersonError> {
        let Some(person) = self.person() else {
            return Ok(());
        };
        let accounts = AccountFile::in_folder(person.path());
        if self.sessions()?.is_empty() {
            return accounts.delete();
        }
        match which {
            Which::Before(_) => Ok(()),
            Which::All | Which::Session(_) | Which::Fork(_) => accounts.begin_anew(),
        }
    }

    fn delete(&self, which: &Which) -> Result<(), rusqlite::Error> {
        let (clause, values) = which.clause();
        let sql = format!("DELETE FROM choice WHERE {clause}");
        self.connection.execute(&sql, params_from_iter(values))?;
        self.connection.execute_batch("VACUUM")
    }

    /// Sets the way of writing; says whether it is set now.
    fn set_journal(&self, mode: &str) -> Result<bool, PersonError> {
        self.connection
            .pragma_update_and_check(None, "journal_mode", mode, |row| row.get::<_, String>(0))
            .map(|now| now.eq_ignore_ascii_case(mode))
            .or_else(|error| match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Ok(false),
                _ => Err(PersonError::sql(&self.path, error)),
            })
    }

    /// The database and what SQLite keeps beside it.
    fn files(&self) -> [PathBuf; 3] {
        ["", "-wal", "-journal"].map(|end| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        })
    }
}

/// What a choice is known by, with what it is.
fn pieces(choice: &Remembered) -> impl Iterator<Item = (&'static str, Vec<u8>)> + '_ {
    let bytes = |state: &Vec<f32>| state.iter().flat_map(|x| x.to_le_bytes()).collect();
    let own = [
        Some((
            "the text before a fork",
            choice.context.clone().into_bytes(),
        )),
        choice.state.as_ref().map(|state| ("a state", bytes(state))),
    ];
    let options = choice.options.iter().flat_map(move |option| {
        let embedding = option.embedding.as_ref();
        [
            Some(("an option", option.text.clone().into_bytes())),
            embedding.map(|embedding| ("an embedding", bytes(embedding))),
        ]
    });
    own.into_iter().chain(options).flatten()
}

#[derive(Default)]
struct Traces(HashSet<(&'static str, Vec<u8>)>);

type Indexed = HashMap<[u8; HEAD], Vec<(&'static str, Vec<u8>)>>;

impl Traces {
    fn add(&mut self, choice: &Remembered) {
        for (what, piece) in pieces(choice) {
            for trace in piece.chunks(TRACE) {
                // What is the same byte over and over may stand anywhere.
                let telling = trace.iter().any(|byte| Some(byte) != trace.first());
                if trace.len() >= HEAD && telling {
                    self.0.insert((what, trace.to_vec()));
                }
            }
        }
    }

    fn indexed(self) -> Indexed {
        let every = self.0.len().div_ceil(TRACES_MAX).max(1);
        let mut indexed = Indexed::new();
        for (what, trace) in self.0.into_iter().step_by(every) {
            if let Some(head) = trace.first_chunk::<HEAD>() {
                indexed.entry(*head).or_default().push((what, trace));
            }
        }
        indexed
    }
}

fn contains(whole: &[u8], part: &[u8]) -> bool {
    whole.windows(part.len()).any(|window| window == part)
}

/// Adds to `found` the traces that stand in a file; one that is not there holds none.
fn search(
    path: &Path,
    traces: &Indexed,
    found: &mut HashSet<(&'static str, Vec<u8>)>,
) -> Result<(), PersonError> {
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(PersonError::io(path, source)),
    };
    let mut heads = vec![false; 1 << 16];
    for head in traces.keys() {
        heads[usize::from(u16::from_le_bytes([head[0], head[1]]))] = true;
    }
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        // Each part begins with the end of the one before, so that no trace lies between two.
        let kept = bytes.len().min(TRACE - 1);
        bytes.drain(..bytes.len() - kept);
        let read = (&mut file).take(1 << 20).read_to_end(&mut bytes);
        if read.map_err(|source| PersonError::io(path, source))? == 0 {
            return Ok(());
        }
        for at in 0..bytes.len().saturating_sub(HEAD - 1) {
            if !heads[usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))] {
                continue;
            }
            let rest = &bytes[at..];
            let Some(here) = rest.first_chunk::<HEAD>().and_then(|head| traces.get(head)) else {
                continue;
            };
            let stands = here.iter().filter(|(_, trace)| rest.starts_with(trace));
            found.extend(stands.cloned());
        }
    }
}
