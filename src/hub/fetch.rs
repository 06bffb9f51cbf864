//! Fetching: the list of files, each file with its size and hash, nothing given its name before it is whole.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Http, HubError, Name, plain};

/// Times a file is asked for before it is given up.
const TRIES: u32 = 5;
/// Largest list of files accepted, bytes.
const LIST_BYTES_MAX: u64 = 16 << 20;
/// Largest file accepted, bytes.
const FILE_BYTES_MAX: u64 = 64 << 30;
/// What is fetched of a folder beside its weights.
const SMALL: [&str; 6] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "model.safetensors.index.json",
];

/// How far one file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Its name.
    pub file: &'a str,
    /// What has arrived, bytes.
    pub have_bytes: u64,
    /// Its size, bytes.
    pub size_bytes: u64,
}

#[derive(Debug, Deserialize)]
struct List {
    sha: String,
    siblings: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Large>,
}

#[derive(Debug, Deserialize)]
struct Large {
    sha256: String,
    size: u64,
}

/// A file to be fetched.
struct Wanted {
    name: String,
    size: u64,
    /// Known of large files.
    sha256: Option<String>,
}

/// Fetches a model into a folder of its own below `kept`, unless it is there; returns the folder, or the one file the name asks for.
///
/// # Errors
/// [`HubError`]. What has arrived of a file that was cut off is kept for the next call.
pub fn fetch(
    hub: &Http,
    name: &Name,
    kept: &Path,
    mut told: impl FnMut(Progress<'_>),
) -> Result<PathBuf, HubError> {
    let folder = kept.join(format!("{}--{}", name.organisation, name.name));
    let found = match &name.file {
        None => folder.clone(),
        Some(file) => folder.join(file),
    };
    // Written last: what has it is whole.
    let mark = folder.join(match &name.file {
        None => ".whole".into(),
        Some(file) => format!(".whole-{file}"),
    });
    if mark.is_file() {
        return Ok(found);
    }
    let (commit, wanted) = list(hub, name)?;
    fs::create_dir_all(&folder).map_err(|source| io(&folder, source))?;
    // Held until the end: another process that fetches the same model waits, and then finds it.
    let lock = folder.join(".lock");
    let held = File::create(&lock).map_err(|source| io(&lock, source))?;
    held.lock().map_err(|source| io(&lock, source))?;
    if mark.is_file() {
        return Ok(found);
    }
    begin_anew_unless_same(&folder, &commit, &wanted)?;
    for file in &wanted {
        let url = format!(
            "{}/{}/{}/resolve/{commit}/{}",
            hub.endpoint, name.organisation, name.name, file.name
        );
        one(hub, &url, file, &folder, &mut told)?;
    }
    fs::write(&mark, &commit).map_err(|source| io(&mark, source))?;
    Ok(found)
}

/// What has arrived of another commit is not gone on with: files that belong together would be of two models.
fn begin_anew_unless_same(folder: &Path, commit: &str, wanted: &[Wanted]) -> Result<(), HubError> {
    let stamp = folder.join(".commit");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == commit) {
        return Ok(());
    }
    for file in wanted {
        for path in [
            folder.join(&file.name),
            folder.join(format!("{}.part", file.name)),
        ] {
            match fs::remove_file(&path) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io(&path, source));
                }
                _ => {}
            }
        }
    }
    fs::write(&stamp, commit).map_err(|source| io(&stamp, source))
}

fn io(path: &Path, source: std::io::Error) -> HubError {
    HubError::Io {
        path: path.into(),
        source,
    }
}

/// The commit, and the files of it that are wanted.
fn list(hub: &Http, name: &Name) -> Result<(String, Vec<Wanted>), HubError> {
    let url = format!(
        "{}/api/models/{}/{}/revision/main?blobs=true",
        hub.endpoint, name.organisation, name.name
    );
    let bad = |reason: String| HubError::List {
        url: url.clone(),
        reason,
    };
    let mut bytes = Vec::new();
    let answer = hub.get(&url, 0)?;
    answer
        .body
        .take(LIST_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|e| bad(e.to_string()))?;
    let list: List = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
    if !plain(&list.sha) {
        return Err(bad(format!("`{}` is no commit", list.sha)));
    }
    let is_wanted = |file: &str| match &name.file {
        Some(one) => file == one,
        None => SMALL.contains(&file) || (file.ends_with(".safetensors") && plain(file)),
    };
    let wanted = list
        .siblings
        .into_iter()
        .filter(|file| is_wanted(&file.rfilename))
        .map(|file| {
            let size = file.lfs.as_ref().map(|large| large.size).or(file.size);
            let size = size.filter(|size| *size <= FILE_BYTES_MAX);
            Ok(Wanted {
                size: size
                    .ok_or_else(|| bad(format!("`{}` has no usable size", file.rfilename)))?,
                name: file.rfilename,
                sha256: file.lfs.map(|large| large.sha256.to_lowercase()),
            })
        });
    let wanted = wanted.collect::<Result<Vec<Wanted>, HubError>>()?;
    let has = |end: &str| wanted.iter().any(|file| file.name.ends_with(end));
    let enough = match &name.file {
        Some(_) => !wanted.is_empty(),
        None => has("config.json") && has("tokenizer.json") && has(".safetensors"),
    };
    if !enough {
        return Err(bad(match &name.file {
            Some(file) => format!("the model has no file {file}"),
            None => "the model has no config.json, tokenizer.json and *.safetensors; name one of its GGUF files if it has them".into(),
        }));
    }
    Ok((list.sha, wanted))
}

/// Fetches one file, going on where it was cut.
fn one(
    hub: &Http,
    url: &str,
    file: &Wanted,
    folder: &Path,
    told: &mut impl FnMut(Progress<'_>),
) -> Result<(), HubError> {
    let (whole, part) = (
        folder.join(&file.name),
        folder.join(format!("{}.part", file.name)),
    );
    if whole.metadata().is_ok_and(|meta| meta.len() == file.size) {
        return Ok(());
    }
    let mut arriving = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&part)
        .map_err(|source| io(&part, source))?;
    let mut have = arriving
        .seek(SeekFrom::End(0))
        .map_err(|source| io(&part, source))?;
    let mut tries = 0;
    while have < file.size || (have == 0 && tries == 0 && file.size > 0) || have > file.size {
        if tries == TRIES {
            return Err(HubError::Cut {
                url: url.into(),
                tries,
                have_bytes: have,
                size_bytes: file.size,
            });
        }
        tries += 1;
        let from = if have > file.size { 0 } else { have };
        let mut answer = match hub.get(url, from) {
            Ok(answer) => answer,
            // The first refusal is an answer; later ones may be the same trouble that cut the file.
            Err(error) if tries == 1 => return Err(error),
            Err(_) => continue,
        };
        // A hub that knows no ranges begins anew.
        if answer.from != from && answer.from != 0 {
            continue;
        }
        have = answer.from;
        arriving
            .set_len(have)
            .and_then(|()| arriving.seek(SeekFrom::Start(have)))
            .map_err(|source| io(&part, source))?;
        have = receive(&mut answer.body, &mut arriving, have, file, told)
            .map_err(|source| io(&part, source))?;
        if have > file.size {
            drop(arriving);
            return thrown_away(
                &part,
                url,
                format!("it is longer than the {} bytes of the list", file.size),
            );
        }
    }
    arriving.sync_all().map_err(|source| io(&part, source))?;
    drop(arriving);
    if let Some(expected) = &file.sha256 {
        let found = sha256(&part).map_err(|source| io(&part, source))?;
        if found != *expected {
            return thrown_away(
                &part,
                url,
                format!("its SHA-256 is {found}, the list says {expected}"),
            );
        }
    }
    fs::rename(&part, &whole).map_err(|source| io(&whole, source))
}

fn thrown_away(part: &Path, url: &str, what: String) -> Result<(), HubError> {
    fs::remove_file(part).map_err(|source| io(part, source))?;
    Err(HubError::Damaged {
        url: url.into(),
        what,
    })
}

/// Writes what arrives, at most one byte more than the size; a cut connection is an end. Errors are those of the disk.
fn receive(
    body: &mut dyn Read,
    out: &mut File,
    mut have: u64,
    file: &Wanted,
    told: &mut impl FnMut(Progress<'_>),
) -> std::io::Result<u64> {
    let mut block = vec![0_u8; 1 << 16];
    while have <= file.size {
        let most = (file.size + 1 - have).min(block.len() as u64) as usize;
        let n = match body.read(&mut block[..most]) {
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if n == 0 {
            break;
        }
        out.write_all(&block[..n])?;
        have += n as u64;
        told(Progress {
            file: &file.name,
            have_bytes: have.min(file.size),
            size_bytes: file.size,
        });
    }
    Ok(have)
}

fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut block = vec![0_u8; 1 << 20];
    loop {
        let n = file.read(&mut block)?;
        if n == 0 {
            break;
        }
        hash.update(&block[..n]);
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
